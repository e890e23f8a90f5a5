package codec

import (
	"bytes"
	"encoding/json"
	"reflect"
	"strconv"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/proposer/proposer/box"
)

// result is an object of COCO's list as a consumer reads it.
type result struct {
	Image        any        `json:"image_id"`
	Category     int        `json:"category_id"`
	Box          [4]int64   `json:"bbox"`
	Score        float32    `json:"score"`
	Segmentation *segmented `json:"segmentation"`
}

type segmented struct {
	Size   [2]int `json:"size"`
	Counts string `json:"counts"`
}

// results are the objects of a file, with whole numbers as json.Number.
func results(t require, text []byte) (all []result) {
	t.Helper()
	in := json.NewDecoder(bytes.NewReader(text))
	in.UseNumber()
	if err := in.Decode(&all); err != nil || all == nil {
		t.Fatalf("%v in %s", err, text)
	}
	return all
}

// fileOf is the file of the rows in a format.
func fileOf(t require, format string, rows ...Row) []byte {
	t.Helper()
	var out bytes.Buffer
	w, err := NewWriter(&out, format)
	if err != nil {
		t.Fatalf("%v", err)
	}
	for i := range rows {
		if err := w.Write(&rows[i]); err != nil {
			t.Fatalf("%v", err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatalf("%v", err)
	}
	return out.Bytes()
}

// imageID returns the id of an image in COCO's files.
func imageID(r *Row) any {
	id := cocoID(r)
	if r.TextID {
		return id
	}
	if _, err := strconv.ParseUint(id, 10, 64); err == nil && (id[0] != '0' || id == "0") {
		return json.Number(id)
	}
	if _, err := strconv.ParseInt(id, 10, 64); err == nil && strings.HasPrefix(id, "-") && id[1] != '0' {
		return json.Number(id)
	}
	return id
}

// require is what tests, properties and fuzz targets have in common.
type require interface {
	Helper()
	Fatalf(format string, args ...any)
}

// The text is as it is documented.
func TestCOCOText(t *testing.T) {
	r := rich()
	got := fileOf(t, "coco",
		Row{File: "none.png"}, Row{File: "0.png", Error: "broken"}, r,
		Row{File: "val/000000000139.jpg", Boxes: []box.Box{{X0: 1, Y0: 2, X1: 4, Y1: 6}}, Scores: []float32{1e-7}})
	const want = `[
{"image_id":"rich","category_id":1,"bbox":[0,0,3,4],"score":1,"segmentation":{"size":[4,3],"counts":"0<"}},
{"image_id":"rich","category_id":1,"bbox":[0,1,2,2],"score":0.5,"segmentation":{"size":[4,3],"counts":"12203"}},
{"image_id":139,"category_id":1,"bbox":[1,2,3,4],"score":1e-7}
]
`
	if string(got) != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	if got := fileOf(t, "coco"); len(results(t, got)) != 0 {
		t.Errorf("file without images: got %s", got)
	}
	if got := fileOf(t, "coco", Row{File: "none.png"}); len(results(t, got)) != 0 {
		t.Errorf("no boxes are %s", got)
	}
}

func TestCOCORoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var want []result
		rows := make([]Row, rapid.IntRange(0, 3).Draw(t, "rows"))
		for k := range rows {
			r := drawRich(t)
			r.ID = rapid.SampledFrom([]string{"", "0", "007", "9223372036854775807", "9223372036854775808", "-1", "a\"b"}).Draw(t, "id")
			r.TextID = rapid.Bool().Draw(t, "text")
			rows[k] = r
			id := imageID(&r)
			for i, b := range r.Boxes {
				one := result{
					Image: id, Category: 1, Score: r.Scores[i],
					Box: [4]int64{int64(b.X0), int64(b.Y0), int64(b.X1) - int64(b.X0), int64(b.Y1) - int64(b.Y0)},
				}
				if r.Masks != nil {
					one.Segmentation = &segmented{[2]int{r.Height, r.Width}, r.Masks[i].String()}
				}
				want = append(want, one)
			}
		}
		got := results(t, fileOf(t, "coco", rows...))
		if len(got)+len(want) > 0 && !reflect.DeepEqual(got, want) {
			t.Fatalf("got %+v\nwant %+v", got, want)
		}
	})
}

// Masks survive the conversion from JSON Lines to COCO.
func TestCOCOOfJSONLines(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := drawRich(t)
		var again []Row
		for line, err := range ReadJSONL(bytes.NewReader(fileOf(t, "jsonl", r))) {
			if err != nil {
				t.Fatal(err)
			}
			again = append(again, line.Row)
		}
		if got, want := fileOf(t, "coco", again...), fileOf(t, "coco", r); !bytes.Equal(got, want) {
			t.Fatalf("got\n%s\nwant\n%s", got, want)
		}
	})
}
