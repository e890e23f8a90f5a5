package main

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/proposer/proposer/dataset"
	"github.com/proposer/proposer/internal/imageio"
	"github.com/proposer/proposer/internal/testutil/scene"
)

func drawn(t *testing.T, part, n int, s settings) map[string][]byte {
	t.Helper()
	folder := t.TempDir()
	if err := draw(folder, part, n, s); err != nil {
		t.Fatal(err)
	}
	names, err := filepath.Glob(filepath.Join(folder, "*"))
	if err != nil {
		t.Fatal(err)
	}
	files := map[string][]byte{}
	for _, name := range names {
		if files[filepath.Base(name)], err = os.ReadFile(name); err != nil {
			t.Fatal(err)
		}
	}
	return files
}

// The output is a valid COCO data set.
func TestDraw(t *testing.T) {
	s := settings{width: 96, height: 64, objects: 5, seed: 7}
	files := drawn(t, 0, 6, s)
	if len(files) != 7 {
		t.Fatalf("got %d files, want six images and instances.json", len(files))
	}
	data, err := dataset.ReadCOCO(bytes.NewReader(files["instances.json"]), dataset.Options{})
	if err != nil {
		t.Fatal(err)
	}
	objects := 0
	for i := range data.Images {
		img := &data.Images[i]
		h, err := imageio.Inspect(files[img.File], imageio.DefaultLimits())
		if err != nil || h.Width != s.width || h.Height != s.height || img.Width != s.width || img.Height != s.height {
			t.Errorf("%s: got %+v, %v; want %d × %d", img.File, h, err, img.Width, img.Height)
		}
		objects += len(img.Objects)
		for _, o := range img.Objects {
			if !slices.Contains(scene.Classes(), o.Class) || o.X0 < 0 || o.Y0 < 0 || o.X1 > 96 || o.Y1 > 64 || (o.X1-o.X0)*(o.Y1-o.Y0) < minArea {
				t.Errorf("%s: %+v", img.File, o)
			}
		}
	}
	if len(data.Images) != 6 || objects < 12 || objects > 30 {
		t.Errorf("got %d images, %d objects", len(data.Images), objects)
	}

	for name, again := range drawn(t, 0, 6, s) {
		if !bytes.Equal(again, files[name]) {
			t.Errorf("%s differs between equal runs", name)
		}
	}
	other := drawn(t, 1, 6, s)
	s.seed++
	for what, files2 := range map[string]map[string][]byte{"part": other, "seed": drawn(t, 0, 6, s)} {
		for name, b := range files2 {
			for was, a := range files {
				if bytes.Equal(a, b) {
					t.Errorf("%s of another %s equals %s", name, what, was)
				}
			}
		}
	}
}
