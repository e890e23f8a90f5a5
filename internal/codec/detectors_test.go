package codec

import (
	"encoding/json"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"strings"
	"testing"

	"github.com/proposer/proposer/box"
)

// consumed is an image as read by a consumer of proposals.
type consumed struct {
	Path   string `json:"path"`
	ID     any    `json:"id"`
	Width  int    `json:"width"`
	Height int    `json:"height"`
}

// Detectron2, MMDetection and Fast R-CNN find in the files what was written in them.
func TestDetectorsLoadProposals(t *testing.T) {
	large := many(1, 3000)[0]
	large.Folder, large.File, large.ID = "/data/coco/val2017", "000000000139.jpg", "139"
	one := Row{
		File: "JPEGImages/000005.jpg", ID: "000005", Folder: "VOC2007", Width: 500, Height: 375,
		Boxes: []box.Box{{X1: 500, Y1: 375}}, Scores: []float32{.25},
	}
	sets := map[string][]Row{
		"none":  {},
		"one":   {one},
		"empty": {{File: "000001.jpg", Width: 3, Height: 2}},
		"mixed": {
			large,
			one,
			{File: "d/no boxes.jpg", ID: "9223372036854775807", Width: 10, Height: 10},
			{File: "d/e/broken.jpg", ID: "7", Width: 10, Height: 10, Error: "no picture"},
			{File: "two\nlines/a\nb.jpg", ID: "a\nb", Width: 9, Height: 9, Boxes: []box.Box{{X0: 8, Y0: 8, X1: 9, Y1: 9}, {X1: 1, Y1: 1}}, Scores: []float32{1e-30, -1e30}},
			{File: "Gemälde/Öl \U0001f600'\"\\.jpg", Width: 9, Height: 9, Boxes: []box.Box{{X1: 9, Y1: 9}}, Scores: []float32{0}},
			{File: "bad \xff/\xfe\xfd.jpg", Folder: "x", Width: 9, Height: 9, Boxes: []box.Box{{X1: 9, Y1: 8}}, Scores: []float32{.1}},
			{File: "long/" + strings.Repeat("n", 5000) + ".jpg", Width: 9, Height: 9, Boxes: []box.Box{{X1: 7, Y1: 8}}, Scores: []float32{.2}},
			{File: "abcd.jpg", Folder: "short", Width: 60000, Height: 60000, Boxes: []box.Box{{X0: 40000, Y0: 50000, X1: 60000, Y1: 60000}}, Scores: []float32{.3}},
			{File: "bare.jpg", Width: 1, Height: 1, Boxes: []box.Box{{X1: 1, Y1: 1}}, Scores: []float32{.4}},
		},
	}
	type job struct {
		Format   string     `json:"format"`
		File     string     `json:"file"`
		Pictures []consumed `json:"pictures"`
	}
	var jobs []job
	var rows [][]Row
	for name, set := range sets {
		images := []consumed{}
		for _, r := range set {
			p := consumed{Path: path.Join(r.Folder, validUTF8(r.File)), ID: detectron2Key(&r), Width: r.Width, Height: r.Height}
			if r.ID == "139" { // COCO's are numbers
				p.ID = 139
			}
			images = append(images, p)
		}
		for _, format := range []string{"detectron2", "mmdet", "mmdet2", "mat"} {
			file := filepath.Join(t.TempDir(), name)
			if err := os.WriteFile(file, fileOf(t, format, set...), 0o600); err != nil {
				t.Fatal(err)
			}
			jobs, rows = append(jobs, job{format, file, images}), append(rows, set)
		}
	}
	question, err := json.Marshal(jobs)
	if err != nil {
		t.Fatal(err)
	}
	var answers [][]struct {
		Boxes  [][4]float64
		Scores []float32
	}
	if consumer(t, "numpy, scipy.io", "detectors", question, &answers); len(answers) != len(jobs) {
		t.Fatalf("%d answers to %d questions", len(answers), len(jobs))
	}
	for i, j := range jobs {
		if len(answers[i]) != len(rows[i]) {
			t.Fatalf("%s of %s: %d answers of %d images", j.Format, j.File, len(answers[i]), len(rows[i]))
		}
		for n, r := range rows[i] {
			got := answers[i][n]
			inclusive := int32(0)
			if j.Format == "mat" {
				inclusive, r.Scores = 1, nil
			}
			var want [][4]float64
			for _, b := range r.Boxes {
				want = append(want, [4]float64{float64(b.X0), float64(b.Y0), float64(b.X1 - inclusive), float64(b.Y1 - inclusive)})
			}
			if g, w := fmt.Sprint(got.Boxes, got.Scores), fmt.Sprint(want, r.Scores); g != w {
				t.Errorf("%s: %.80q\ngot  %.300s\nwant %.300s", j.Format, r.File, g, w)
			}
		}
	}
}
