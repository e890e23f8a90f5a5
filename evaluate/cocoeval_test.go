package evaluate

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"pgregory.net/rapid"

	"github.com/proposer/proposer/internal/testutil/e2e"
)

// TestCOCOeval compares COCO's AR with that of pycocotools, which has no Debian package:
// docs/evaluation.md says how to build it.
func TestCOCOeval(t *testing.T) {
	e2e.Only(t, "runs pycocotools for half a minute")
	python := e2e.Python(t, "import numpy", "NumPy")
	if out, err := exec.CommandContext(t.Context(), python, "-c", "import pycocotools.cocoeval").CombinedOutput(); err != nil {
		t.Skipf("%s does not find pycocotools: %v\n%s", python, err, out)
	}
	budgets := []int{10, 100, 1000}
	for seed := range 3 {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			inputs := rapid.Custom(drawMany).Example(seed)
			groundTruth, results := writeCOCO(t, inputs)
			args := []string{filepath.Join("testdata", "cocoeval.py"), groundTruth, results}
			for _, n := range budgets {
				args = append(args, fmt.Sprint(n))
			}
			out := bytes.NewReader(e2e.Output(t, exec.CommandContext(t.Context(), python, args...)))
			r := evaluated(t, Options{Budgets: budgets}, inputs).Report()
			for i, n := range budgets {
				b := r.Budgets[i]
				var got int
				var want [groups]float64
				if _, err := fmt.Fscan(out, &got, &want[0], &want[1], &want[2], &want[3]); err != nil || got != n {
					t.Fatalf("%d boxes, %v, want %d", got, err, n)
				}
				for group, s := range []Scores{b.All, b.Small, b.Medium, b.Large} {
					if s.Objects > 0 && !(math.Abs(s.COCO-want[group]) < 1e-6) {
						t.Errorf("%d boxes, group %d: AR of COCO is %v, pycocotools prints %v", n, group, s.COCO, want[group])
					}
				}
			}
		})
	}
}

// writeCOCO writes inputs as an instances file and a results file of COCO.
func writeCOCO(t *testing.T, inputs []input) (groundTruth, results string) {
	t.Helper()
	type object = map[string]any
	images, annotations, found := []object{}, []object{}, []object{}
	for i, p := range inputs {
		images = append(images, object{"id": i, "file_name": p.img.File})
		for _, o := range p.img.Objects {
			crowd := 0
			if o.Difficult {
				crowd = 1
			}
			annotations = append(annotations, object{
				"id": len(annotations) + 1, "image_id": i, "category_id": 1, "iscrowd": crowd,
				"bbox": [4]float64{o.X0, o.Y0, o.X1 - o.X0, o.Y1 - o.Y0}, "area": o.Area,
			})
		}
		for rank, b := range p.boxes {
			found = append(found, object{
				"image_id": i, "category_id": 1, "bbox": [4]int32{b.X0, b.Y0, b.Width(), b.Height()}, "score": 1 / float64(rank+1),
			})
		}
	}
	dir := t.TempDir()
	write := func(name string, v any) string {
		path := filepath.Join(dir, name)
		data, err := json.Marshal(v)
		if err == nil {
			err = os.WriteFile(path, data, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
		return path
	}
	categories := []object{{"id": 1, "name": "object"}}
	return write("instances.json", object{"images": images, "annotations": annotations, "categories": categories}), write("results.json", found)
}
