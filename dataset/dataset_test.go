package dataset

import (
	"errors"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"testing"

	"github.com/proposer/proposer/box"
	"github.com/proposer/proposer/internal/testutil/e2e"
)

func TestIndex(t *testing.T) {
	d := Dataset{Images: []Image{{File: "a.jpg"}, {File: "x/b.jpg"}, {File: "x/c.jpg"}, {File: "y/c.jpg"}, {File: "y/a.jpg"}, {File: "z/c.jpg"}}}
	want := map[string]int{"a.jpg": 0, "x/b.jpg": 1, "b.jpg": 1, "x/c.jpg": 2, "y/c.jpg": 3, "y/a.jpg": 4, "z/c.jpg": 5}
	if got := d.Index(); !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestIoA(t *testing.T) {
	o := Object{X0: 10, Y0: 10, X1: 20.5, Y1: 30}
	for b, want := range map[box.Box]float64{
		{X0: 12, Y0: 12, X1: 14, Y1: 20}: 1, {X0: 0, Y0: 10, X1: 20, Y1: 20}: .5, {X0: 20, Y0: 0, X1: 24, Y1: 20}: 1. / 16,
		{X0: 20, Y0: 30, X1: 24, Y1: 40}: 0, {X0: 12, Y0: 12, X1: 12, Y1: 20}: 0,
	} {
		if got := o.IoA(&b); math.Abs(got-want) > 1e-12 {
			t.Errorf("IoA(%v) = %v, want %v", b, got, want)
		}
	}
}

// TestCOCOAndVOCAgree reads the development set in both formats.
func TestCOCOAndVOCAgree(t *testing.T) {
	coco, err := Open(e2e.Data(t, "coco-dev"), Options{})
	if err != nil {
		t.Fatal(err)
	}
	voc, err := Open(e2e.Data(t, "coco-dev", "voc"), Options{})
	if err != nil {
		t.Fatal(err)
	}
	objects := 0
	byName := voc.Index()
	for _, img := range coco.Images {
		i, ok := byName[img.File]
		if !ok {
			t.Fatalf("%s has no annotation of VOC", img.File)
		}
		other := voc.Images[i]
		objects += len(img.Objects)
		if len(other.Objects) != len(img.Objects) || other.Width != img.Width || other.Height != img.Height {
			t.Fatalf("%s: COCO %+v\nVOC %+v", img.File, img, other)
		}
		for j, o := range img.Objects {
			p := other.Objects[j]
			// The annotations of VOC are rounded to pixels.
			far := max(math.Abs(o.X0-p.X0), math.Abs(o.Y0-p.Y0), math.Abs(o.X1-p.X1), math.Abs(o.Y1-p.Y1))
			if o.Class != p.Class || o.Difficult != p.Difficult || far > 1 {
				t.Errorf("%s: COCO %+v\nVOC %+v", img.File, o, p)
			}
		}
	}
	if len(coco.Images) != 292 || len(voc.Images) != 292 || objects != 2509 {
		t.Errorf("%d and %d images, %d objects; want 292, 292 and 2509", len(coco.Images), len(voc.Images), objects)
	}
	for _, d := range []*Dataset{coco, voc} {
		if _, err := os.Stat(d.Path(&d.Images[291])); err != nil {
			t.Error(err)
		}
	}
}

// checkDataset checks the invariants of images that were read.
func checkDataset(t *testing.T, images []Image) {
	for _, img := range images {
		if img.Width < 0 || img.Height < 0 {
			t.Fatalf("negative size in %+v", img)
		}
		for _, o := range img.Objects {
			if !(o.BoxArea() >= 0) || math.IsInf(o.BoxArea(), 0) || o.X1 < o.X0 {
				t.Fatalf("invalid box in %+v", o)
			}
		}
	}
}

// writeFiles writes files to a new folder.
func writeFiles(t testing.TB, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		path := filepath.Join(dir, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, []byte(text), 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}
