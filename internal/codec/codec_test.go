package codec

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/proposer/proposer/box"
	"github.com/proposer/proposer/internal/testutil/golden"
)

// object is the row as a consumer reads it.
type object struct {
	File          string    `json:"file"`
	Width         int       `json:"width"`
	Height        int       `json:"height"`
	Seconds       float64   `json:"seconds"`
	DecodeSeconds float64   `json:"decode_seconds"`
	Boxes         [][]int32 `json:"boxes"`
	Scores        []float32 `json:"scores"`
}

func samples() []Row {
	return []Row{
		{
			File: "street.jpg", Width: 640, Height: 480,
			SearchTime: 183456789 * time.Nanosecond, DecodeTime: 12 * time.Millisecond,
			Boxes:  []box.Box{{X1: 640, Y1: 480}, {X0: 12, Y0: 7, X1: 201, Y1: 333}},
			Scores: []float32{1, 0.1},
		},
		{File: "no boxes.png", Width: 1, Height: 1, Orientation: 1},
		{File: "a/turned.jpg", ID: "139", Width: 1, Height: 1, Orientation: 6},
		{
			File: "quote\" comma, line\nfeed, tab\t, \xff byte, <&> and \u2028.png", Width: 3, Height: 2,
			SearchTime: 5865294 * time.Microsecond, DecodeTime: time.Hour,
			Boxes:  []box.Box{{X1: 3, Y1: 2}},
			Scores: []float32{math.SmallestNonzeroFloat32},
		},
	}
}

func TestGolden(t *testing.T) {
	for _, format := range Formats() {
		t.Run(format.Name, func(t *testing.T) {
			var got bytes.Buffer
			w, err := NewWriter(&got, format.Name)
			if err != nil {
				t.Fatal(err)
			}
			rows := slices.Insert(samples(), 1, Row{File: "bad \"one\".jpg", ID: "x-7", Error: "no\npicture"})
			for i, r := range rows {
				if format.Key != nil {
					if _, err := format.Key(&r); err != nil {
						r.ID = strconv.Itoa(100 - i) // it has to be a number
					}
				}
				if err := w.Write(&r); err != nil {
					t.Fatal(err)
				}
			}
			if err := w.Close(); err != nil {
				t.Fatal(err)
			}
			golden.Equal(t, filepath.Join("testdata", "rows."+format.Name), got.Bytes())
		})
	}
}

func TestCSVHeader(t *testing.T) {
	var got bytes.Buffer
	w := &csvWriter{w: &got}
	for range 2 {
		if err := w.Write(&Row{File: "a", Error: "broken"}); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if got.String() != csvHeader {
		t.Errorf("got %q, want the header alone", got.String())
	}
}

func TestInvalidRowsAreRejected(t *testing.T) {
	one := []box.Box{{X1: 1, Y1: 1}}
	for name, r := range map[string]Row{
		"more boxes":  {Boxes: one},
		"more scores": {Scores: []float32{1}},
		"NaN":         {Boxes: one, Scores: []float32{float32(math.NaN())}},
		"infinite":    {Boxes: one, Scores: []float32{float32(math.Inf(-1))}},
		"an error":    {Boxes: one, Scores: []float32{1}, Error: "broken"},
		"a side":      {Width: -1},
	} {
		for _, format := range Formats() {
			var got bytes.Buffer
			w := format.NewWriter(&got)
			if err := w.Write(&r); err == nil || got.Len() != 0 {
				t.Errorf("%s, %s: error %v, wrote %q", name, format.Name, err, got.String())
			}
		}
	}
	if _, err := NewWriter(io.Discard, "xml"); err == nil || !strings.Contains(err.Error(), "want one of jsonl, csv") {
		t.Errorf("format xml: %v", err)
	}
}

func TestWriteErrors(t *testing.T) {
	r := samples()[0]
	for _, format := range Formats() {
		w := format.NewWriter(failing{})
		if err := errors.Join(w.Write(&r), w.Close()); !errors.Is(err, io.ErrShortWrite) {
			t.Errorf("%s: %v", format.Name, err)
		}
	}
}

type failing struct{}

func (failing) Write([]byte) (int, error) { return 0, io.ErrShortWrite }

func drawRow(t *rapid.T) Row {
	n := rapid.IntRange(0, 20).Draw(t, "n")
	r := Row{
		File:       string(rapid.SliceOf(rapid.Byte()).Draw(t, "file")),
		Width:      rapid.IntRange(1, 1<<20).Draw(t, "width"),
		Height:     rapid.IntRange(1, 1<<20).Draw(t, "height"),
		SearchTime: time.Duration(rapid.Int64Range(0, int64(time.Hour)).Draw(t, "search")),
		DecodeTime: time.Duration(rapid.Int64Range(0, int64(time.Hour)).Draw(t, "decode")),
	}
	for range n {
		v := rapid.SliceOfN(rapid.Int32(), 4, 4).Draw(t, "box")
		r.Boxes = append(r.Boxes, box.Box{X0: v[0], Y0: v[1], X1: v[2], Y1: v[3]})
		r.Scores = append(r.Scores, rapid.Float32().Filter(func(f float32) bool {
			return !math.IsInf(float64(f), 0) && !math.IsNaN(float64(f))
		}).Draw(t, "score"))
	}
	return r
}

// The line is what encoding/json reads the same values from, and its lists are
// byte for byte what encoding/json writes.
func TestJSONRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := drawRow(t)
		var out bytes.Buffer
		if err := (&jsonlWriter{w: &out}).Write(&r); err != nil {
			t.Fatal(err)
		}
		if n := bytes.Count(out.Bytes(), []byte("\n")); n != 1 {
			t.Fatalf("%d line ends in %q", n, out.Bytes())
		}
		var got object
		if err := json.Unmarshal(out.Bytes(), &got); err != nil {
			t.Fatalf("%v in %s", err, out.Bytes())
		}
		if got.File != string([]rune(r.File)) {
			t.Fatalf("file %q became %q", r.File, got.File)
		}
		if got.Width != r.Width || got.Height != r.Height ||
			math.Abs(got.Seconds-r.SearchTime.Seconds()) > 6e-7 || math.Abs(got.DecodeSeconds-r.DecodeTime.Seconds()) > 6e-7 {
			t.Fatalf("%+v became %+v", r, got)
		}
		if got.Boxes == nil || got.Scores == nil {
			t.Fatalf("null list in %s", out.Bytes())
		}
		boxes, _ := json.Marshal(got.Boxes)
		scores, _ := json.Marshal(got.Scores)
		if want := fmt.Sprintf(`"boxes":%s,"scores":%s}`+"\n", boxes, scores); !strings.HasSuffix(out.String(), want) {
			t.Fatalf("%s does not end in %s", out.Bytes(), want)
		}
		for i, b := range r.Boxes {
			if !slices.Equal(got.Boxes[i], []int32{b.X0, b.Y0, b.X1, b.Y1}) || got.Scores[i] != r.Scores[i] {
				t.Fatalf("box %d: %v %v became %v %v", i, b, r.Scores[i], got.Boxes[i], got.Scores[i])
			}
		}
	})
}

func TestCSVRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rows := []Row{drawRow(t), drawRow(t)}
		var out bytes.Buffer
		w := &csvWriter{w: &out}
		for i := range rows {
			if err := w.Write(&rows[i]); err != nil {
				t.Fatal(err)
			}
		}
		lines, err := csv.NewReader(&out).ReadAll()
		if err != nil {
			t.Fatal(err)
		}
		var want [][]string
		want = append(want, strings.Split(strings.TrimSpace(csvHeader), ","))
		for _, r := range rows {
			// encoding/csv reads CRLF inside quotes as LF.
			file := strings.ReplaceAll(string([]rune(r.File)), "\r\n", "\n")
			for i, b := range r.Boxes {
				want = append(want, []string{
					file, strconv.Itoa(r.Width), strconv.Itoa(r.Height), strconv.Itoa(i + 1),
					fmt.Sprint(b.X0), fmt.Sprint(b.Y0), fmt.Sprint(b.X1), fmt.Sprint(b.Y1), lines[len(want)][8],
				})
				if s, err := strconv.ParseFloat(lines[len(want)-1][8], 32); err != nil || float32(s) != r.Scores[i] {
					t.Fatalf("score %v became %q (%v)", r.Scores[i], lines[len(want)-1][8], err)
				}
			}
		}
		if !slices.EqualFunc(lines, want, slices.Equal) {
			t.Fatalf("got %q\nwant %q", lines, want)
		}
	})
}

// Names, ids and reasons go through every format, whatever they are.
func FuzzStrings(f *testing.F) {
	for _, s := range []string{
		"", "a.jpg", "\"", "\xff\xfe", "a\r\nb,c", " lead", "=cmd()", "\x00", "end\x00", "\ufeffx", "𝄞/0007.jpg",
		"9223372036854775807.jpg", "9223372036854775808", "\\", "\u2028", "\xed\xa0\x80", "..", "/",
	} {
		f.Add(s, "", "reason")
		f.Add("a", s, s)
	}
	f.Fuzz(func(t *testing.T, file, id, reason string) {
		rows := []Row{
			{File: "the first/of two", ID: "the first of two", Error: "not " + reason},
			{File: file, ID: id, Boxes: []box.Box{{X1: 3, Y1: 4}, {X0: 1, X1: 2, Y1: 1}}, Scores: []float32{1, .5}},
		}
		files := map[string][]byte{}
		for _, format := range Formats() {
			if format.Key != nil {
				first, err0 := format.Key(&rows[0])
				second, err1 := format.Key(&rows[1])
				if err0 != nil || err1 != nil {
					continue
				}
				if first == second {
					t.Skip("equal keys")
				}
			}
			files[format.Name] = fileOf(t, format.Name, rows...)
		}
		want := tabled(rows)

		lines, err := read(bytes.NewReader(files["jsonl"]))
		if err != nil || len(lines) != 2 || bytes.Count(files["jsonl"], []byte("\n")) != 2 {
			t.Fatalf("%v: %q", err, files["jsonl"])
		}
		if got := tabled([]Row{lines[0].Row, lines[1].Row}); !reflect.DeepEqual(got, want) {
			t.Fatalf("jsonl: %+v, want %+v", got, want)
		}
		cells, err := csv.NewReader(bytes.NewReader(files["csv"])).ReadAll()
		if err != nil || len(cells) != 3 || len(cells[1]) != 9 ||
			cells[1][0] != strings.ReplaceAll(validUTF8(file), "\r\n", "\n") {
			t.Fatalf("%q: %v, %q", file, err, cells)
		}
		if got, _ := readParquet(t, files["parquet"]); !reflect.DeepEqual(got, want) {
			t.Fatalf("parquet: %+v, want %+v", got, want)
		}
		if got, want := readNPZ(t, files["npz"]), texts(tabled(rows)); !reflect.DeepEqual(got, want) {
			t.Fatalf("npz: %+v, want %+v", got, want)
		}
		all := results(t, files["coco"])
		if len(all) != 2 || all[0].Image != imageID(&rows[1]) || all[1].Image != all[0].Image {
			t.Fatalf("coco: %+v of %+v", all, rows)
		}
	})
}

// many returns rows with a number of boxes each.
func many(images, boxes int) []Row {
	rows := make([]Row, images)
	for p := range rows {
		r := &rows[p]
		*r = Row{File: fmt.Sprintf("val2017/%012d.jpg", p), Width: 640, Height: 480}
		for i := range boxes {
			v := int32(i + p)
			r.Boxes = append(r.Boxes, box.Box{X0: v % 300, Y0: v % 200, X1: 300 + v%340, Y1: 200 + v%280})
			r.Scores = append(r.Scores, 1/float32(i+1))
		}
	}
	return rows
}

func writeAll(t testing.TB, f Format, rows []Row) {
	w := f.NewWriter(io.Discard)
	for i := range rows {
		if err := w.Write(&rows[i]); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
}

// Nothing is allocated by the box: what a file takes may grow with its buffers alone.
func TestNoAllocationPerBox(t *testing.T) {
	few, all := many(20, 100), many(20, 4000)
	for _, format := range Formats() {
		before := testing.AllocsPerRun(3, func() { writeAll(t, format, few) })
		after := testing.AllocsPerRun(3, func() { writeAll(t, format, all) })
		if after-before > 300 {
			t.Errorf("%s: %.0f allocations for 2000 boxes, %.0f for 80000", format.Name, before, after)
		}
	}
}

// BenchmarkWrite writes a file of 20 images with 2000 boxes each.
func BenchmarkWrite(b *testing.B) {
	rows := many(20, 2000)
	for _, format := range Formats() {
		b.Run(format.Name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				writeAll(b, format, rows)
			}
		})
	}
}

func TestImageID(t *testing.T) {
	for _, c := range []struct{ file, id, want string }{
		{"val2017/000000000139.jpg", "", "139"},
		{"000.png", "", "0"},
		{"JPEGImages/2007_000027.jpg", "", "2007_000027"},
		{"a/b.c.jpg", "", "b.c"},
		{"a/none", "", "none"},
		{"a/7.jpg", "12", "12"},
		{"a/7.jpg", "007", "007"},
		{"a/7.jpg", "-1", "-1"},
		{"99999999999999999999.jpg", "", "99999999999999999999"},
		{"", "", ""},
	} {
		if got := (&Row{File: c.file, ID: c.id}).ImageID(); got != c.want {
			t.Errorf("%q, %q: %q, want %q", c.file, c.id, got, c.want)
		}
	}
}
