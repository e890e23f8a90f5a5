package codec

import (
	"bytes"
	"errors"
	"io"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"pgregory.net/rapid"

	"github.com/proposer/proposer/box"
)

// read is all lines, and the error that ended them.
func read(r io.Reader) (lines []*Line, err error) {
	for line, e := range ReadJSONL(r) {
		if e != nil {
			return lines, e
		}
		lines = append(lines, line)
	}
	return lines, nil
}

// What is written is read back, but for what a line cannot hold: parts of a microsecond,
// bytes that are not UTF-8, and the orientation that is none.
func TestReadJSONLRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var text bytes.Buffer
		w := &jsonlWriter{w: &text}
		var want []*Line
		for number := range rapid.IntRange(0, 4).Draw(t, "lines") {
			line := &Line{Number: number + 1}
			if rapid.Bool().Draw(t, "failed") {
				line.Row.File, line.Row.Error = "x\n\".jpg", rapid.StringN(1, -1, -1).Draw(t, "reason")
				if err := w.Write(&line.Row); err != nil {
					t.Fatal(err)
				}
			} else {
				line.Row = drawRow(t)
				line.Row.ID = rapid.SampledFrom([]string{"", "0", "139", "007", "a\n", "18446744073709551616"}).Draw(t, "id")
				line.Row.TextID = line.Row.ID != "" && rapid.Bool().Draw(t, "text")
				line.Row.Orientation = rapid.SampledFrom([]int{0, 2, 8}).Draw(t, "orientation")
				if err := w.Write(&line.Row); err != nil {
					t.Fatal(err)
				}
				line.Row.TextID = line.Row.TextID || line.Row.ID != "" && line.Row.ID != "0" && line.Row.ID != "139"
				line.Row.File = string([]rune(line.Row.File))
				line.Row.SearchTime = line.Row.SearchTime.Round(time.Microsecond)
				line.Row.DecodeTime = line.Row.DecodeTime.Round(time.Microsecond)
			}
			want = append(want, line)
		}
		got, err := read(iotest.HalfReader(&text))
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Fatalf("%v\ngot %+v\nwant %+v", err, got, want)
		}
	})
}

func TestReadJSONLGolden(t *testing.T) {
	f, err := os.Open(filepath.Join("testdata", "rows.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	lines, err := read(f)
	if err != nil || len(lines) != len(samples())+1 || lines[1].Row.Error != "no\npicture" || lines[1].Row.ID != "x-7" ||
		lines[3].Row.Orientation != 6 || lines[3].Row.ID != "139" {
		t.Errorf("%v, %+v", err, lines)
	}
}

func TestReadJSONLOfOtherPrograms(t *testing.T) {
	text := `{"boxes": [ [1, 2,3 ,4.0],[-5,-6e0,7,2147483647] ], "file": "a.jpg", "model": {"x": [1]}}` + "\r\n\n" +
		`{"file":"","boxes":[],"scores":[ ]}` + "\n" +
		`{"file":"b","boxes":[[0,0,1,1]],"scores":[-1e-3],"error":null,"seconds":0.5}` + "\n" +
		`{"file":"c","error":""}`
	got, err := read(strings.NewReader(text))
	want := []*Line{
		{Number: 1, Row: Row{File: "a.jpg", Boxes: []box.Box{{X0: 1, Y0: 2, X1: 3, Y1: 4}, {X0: -5, Y0: -6, X1: 7, Y1: math.MaxInt32}}}},
		{Number: 3, Row: Row{}},
		{Number: 4, Row: Row{File: "b", Boxes: []box.Box{{X1: 1, Y1: 1}}, Scores: []float32{-1e-3}, SearchTime: time.Second / 2}},
		{Number: 5, Row: Row{File: "c", Error: "unknown error"}},
	}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%v, got", err)
		for _, l := range got {
			t.Errorf("%+v", l)
		}
	}
}

// masked is a line of two boxes with masks.
func masked(masks string) string {
	return `{"file":"a","width":3,"height":4,"boxes":[[0,0,3,4],[1,2,3,4]],"masks":[` + masks + `]}`
}

// Masks can be read without scores, and empty runs, as written by other programs, are removed.
func TestReadMasksOfOtherPrograms(t *testing.T) {
	got, err := read(strings.NewReader(masked(`{"counts":"0<","size":[ 4.0 , 3 ],"x":1}, {"size":[4,3],"counts":"102203"}`)))
	if err != nil || len(got) != 1 || len(got[0].Row.Masks) != 2 || got[0].Row.Masks[0] != rich().Masks[0] ||
		!slices.Equal(got[0].Row.Masks[1].Counts(), []int{3, 2, 2, 5}) {
		t.Errorf("%v, %+v", err, got)
	}
}

func TestReadJSONLRejectsInvalidLines(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{"x", "line 2: invalid character 'x'"},
		{`{"file":"a","boxes":[]`, "line 2: unexpected end"},
		{"[]", "cannot unmarshal array"},
		{"null", "no file: want the name of the image"},
		{`{"boxes":[]}`, "no file"},
		{`{"file":7,"boxes":[]}`, "cannot unmarshal number"},
		{`{"file":"a"}`, `"a" has neither boxes nor an error`},
		{`{"file":"a","boxes":[],"error":"x"}`, `"a" has both an error and boxes`},
		{`{"file":"a","boxes":null}`, `"a": boxes: want a list of [x0,y0,x1,y1]`},
		{`{"file":"a","boxes":[1]}`, "box 0: want [x0,y0,x1,y1]"},
		{`{"file":"a","boxes":[[1,2,3,4],[1,2,3]]}`, "box 1: want [x0,y0,x1,y1]"},
		{`{"file":"a","boxes":[[1,2,3,4,5]]}`, "box 0: want [x0,y0,x1,y1]"},
		{`{"file":"a","boxes":[[1,2,3,null]]}`, `box 0: "": want integers`},
		{`{"file":"a","boxes":[[1,2,3,"4"]]}`, `box 0: "": want integers`},
		{`{"file":"a","boxes":[[1,2,3,4.5]]}`, `box 0: "4.5": want integers`},
		{`{"file":"a","boxes":[[1,2,3,2147483648]]}`, `box 0: "2147483648": want integers`},
		{`{"file":"a","boxes":[[1,2,3,[4]]]}`, "box 0"},
		{`{"file":"a","boxes":[[1,2,3,4]],"scores":[]}`, `"a" has 1 boxes and 0 scores`},
		{`{"file":"a","boxes":[],"scores":3}`, "scores: want a list of numbers"},
		{`{"file":"a","boxes":[[1,2,3,4]],"scores":[null]}`, `score 0: "": want a number`},
		{`{"file":"a","boxes":[[1,2,3,4]],"scores":[1e39]}`, `score 0: "1e39": want a number`},
		{`{"file":"a","error":"x","masks":[]}`, `"a" has both an error and boxes, scores or masks`},
		{`{"file":"a","boxes":[],"masks":null}`, `"a": masks: want a list of {size,counts}`},
		{masked(`{"size":[4,3],"counts":"0<"}`), `"a": 2 boxes and 1 masks: want equal numbers`},
		{masked(`{"size":[4,3],"counts":"0<"},{"size":[4,3],"counts":"0<"},{"size":[4,3],"counts":"0<"}`), "2 boxes and more masks"},
		{masked(`{"size":[4,3],"counts":"0<"},null`), `mask 1: want {size:[height,width],counts:text}`},
		{masked(`7`), "mask 0: json: cannot unmarshal number"},
		{masked(`{"size":[4,3]}`), "mask 0: want {size"},
		{masked(`{"size":[4,3],"counts":[0,12]}`), "mask 0: json: cannot unmarshal array"},
		{masked(`{"size":[4],"counts":"0<"}`), "mask 0: want {size"},
		{masked(`{"size":[4,3,1],"counts":"0<"}`), "mask 0: want {size"},
		{masked(`{"size":[4,"3"],"counts":"0<"}`), "mask 0: want {size"},
		{masked(`{"size":[3,4],"counts":"0<"}`), "mask 0 is of an image of 4×3: want 3×4"},
		{masked(`{"size":[4,3],"counts":"0;"}`), "mask 0: mask: invalid run-length encoding: the runs have 11 pixels: want 3×4"},
		{masked(`{"size":[4,3],"counts":"0ooooooooooo0"}`), "a number of more than 7 characters"},
		{masked(`{"size":[4,3],"counts":"\u0000"}`), `run 0 has '\x00'`},
		{`{"file":"a","boxes":[[1,2,3,4]],"masks":[{"size":[0,0],"counts":""}]}`, "mask 0: mask: invalid run-length encoding: image of 0×0"},
		{`{"file":"a","width":2147483647,"height":2147483647,"boxes":[[1,2,3,4]],"masks":[{"size":[2147483647,2147483647],"counts":""}]}`, "image of 2147483647×2147483647"},
		{`{"file":"a","boxes":[],"width":-1}`, `"a" is -1 × 0: want sides`},
		{`{"file":"a","id":[],"boxes":[]}`, `"a": id []: want a number or a string`},
		{`{"file":"a","boxes":[],"orientation":9}`, "orientation 9: want 0 to 8"},
		{`{"file":"a","boxes":[],"seconds":-1}`, "took -1 and 0 seconds"},
		{`{"file":"a","boxes":[],"seconds":1e300}`, "took 1e+300"},
	} {
		lines, err := read(strings.NewReader(`{"file":"z","error":"e"}` + "\n" + c.text + "\n{}"))
		e, ok := errors.AsType[*LineError](err)
		if !ok || e.Number != 2 || len(lines) != 1 || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v after %d lines, want %s", c.text, err, len(lines), c.want)
		}
	}
	if _, err := read(iotest.ErrReader(io.ErrClosedPipe)); !errors.Is(err, io.ErrClosedPipe) {
		t.Errorf("a reader's error became %v", err)
	}
}

func TestReadJSONLLimitsLineLength(t *testing.T) {
	text := `{"file":"a","error":"b"}` + "\n" + strings.Repeat(" ", 1000)
	n := 0
	for _, err := range readJSONL(strings.NewReader(text), 500) {
		if n++; n == 2 && (err == nil || err.Error() != "codec: line 2: too long: want lines of at most 500 bytes") {
			t.Error(err)
		}
	}
	if n != 2 {
		t.Errorf("%d lines", n)
	}
}

func TestReadJSONLStopsEarly(t *testing.T) {
	for line, err := range ReadJSONL(strings.NewReader("{\"file\":\"a\",\"boxes\":[]}\n{")) {
		if err != nil || line.Number != 1 {
			t.Errorf("%+v, %v", line, err)
		}
		break
	}
}

func FuzzReadJSONL(f *testing.F) {
	golden, err := os.ReadFile(filepath.Join("testdata", "rows.jsonl"))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(golden)
	f.Add([]byte(`{"file":"a","boxes":[[1,2,3,4e0],[ ]],"scores":[1,-0.5]}`))
	f.Add([]byte(`{"file":"a","boxes":[[[1]],{}]}`))
	f.Add([]byte(masked(`{"size":[4,3],"counts":"0<"},{"size":[4,3],"counts":"12203"}`)))
	f.Fuzz(func(t *testing.T, text []byte) {
		lines, err := read(bytes.NewReader(text))
		if _, ok := errors.AsType[*LineError](err); err != nil && !ok {
			t.Fatal(err)
		}
		// What is read is written and read again as it was.
		for _, l := range lines {
			if l.Row.Error != "" {
				continue
			}
			l.Row.Scores = slices.Grow(l.Row.Scores, len(l.Row.Boxes))[:len(l.Row.Boxes)]
			line, err := AppendJSON(nil, &l.Row)
			if err != nil {
				t.Fatal(err)
			}
			again, err := read(bytes.NewReader(line))
			if err != nil || len(again) != 1 {
				t.Fatalf("%v of %s", err, line)
			}
			got := again[0].Row
			got.Orientation = l.Row.Orientation
			if !slices.Equal(got.Boxes, l.Row.Boxes) || !slices.Equal(got.Scores, l.Row.Scores) ||
				!reflect.DeepEqual(got.Masks, l.Row.Masks) || got.File != l.Row.File || got.Width != l.Row.Width || got.SearchTime != l.Row.SearchTime {
				t.Fatalf("%+v became %+v", l.Row, got)
			}
		}
	})
}
