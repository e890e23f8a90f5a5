package proposalfile

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"testing"

	"github.com/proposer/proposer/dataset"
	"github.com/proposer/proposer/evaluate"
	"github.com/proposer/proposer/internal/testutil/e2e"
)

// TestReadsWhatPythonWrites reads what NumPy, SciPy and pickle write in the forms of other programs, with
// all protocols, with and without compression.
func TestReadsWhatPythonWrites(t *testing.T) {
	python := e2e.Python(t, "import numpy, scipy.io", "NumPy and SciPy")
	folder := t.TempDir()
	e2e.Output(t, exec.Command(python, filepath.Join("testdata", "write.py"), folder))
	files, err := filepath.Glob(filepath.Join(folder, "*"))
	if err != nil || len(files) < 70 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	want := [][]evaluate.Box{{newBox(20.5, 15, 80, 55.25), newBox(0, 0, 5, 5)}, {newBox(90, 60, 140, 110)}, nil}
	index := NewIndex([]dataset.Image{{File: "1.jpg", ID: "1"}, {File: "2.jpg", ID: "2"}, {File: "3.jpg", ID: "3"}})
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			data, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			images, err := readAll(bytes.NewReader(data))
			if err != nil || len(images) != len(want) {
				t.Fatalf("%d images, %v; want %d", len(images), err, len(want))
			}
			for i, img := range images {
				if img.File != "" || img.ID != "" {
					if found, err := index.Find(img); err != nil || found != i {
						t.Errorf("image %q is number %d, %v; want %d", img.Name(), found, err, i)
					}
				}
				if len(img.Boxes)+len(want[i]) > 0 && !reflect.DeepEqual(img.Boxes, want[i]) {
					t.Errorf("image %d has the boxes %v, want %v", i, img.Boxes, want[i])
				}
			}
		})
	}
}
