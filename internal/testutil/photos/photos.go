// Package photos loads photographs of the COCO development set for tests.
//
// They are in coco-dev/images below the folder of [e2e.Data]; without them tests are skipped, or
// fail with PROPOSER_E2E=1.
package photos

import (
	"image"
	_ "image/jpeg" // the photographs are JPEG
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"github.com/proposer/proposer/internal/testutil/e2e"
	"github.com/proposer/proposer/raster"
)

// Paths returns the files of the development photographs, sorted by name.
func Paths(t testing.TB) []string {
	t.Helper()
	pattern := filepath.Join(e2e.Data(t, "coco-dev", "images"), "*.jpg")
	paths, err := filepath.Glob(pattern)
	if err != nil {
		t.Fatal(err)
	}
	if len(paths) == 0 {
		e2e.Missing(t, "no photographs match "+pattern)
	}
	return paths
}

// Read decodes a photograph to RGB.
func Read(t testing.TB, path string) *raster.Image {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	src, _, err := image.Decode(f)
	if err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	img, err := raster.Convert(t.Context(), nil, raster.FromImage(src), raster.RGB)
	if err != nil {
		t.Fatal(err)
	}
	return img
}

// Crops returns n random crops of at most width × height pixels. Equal arguments give equal crops.
func Crops(t testing.TB, n, width, height int) []*raster.Image {
	t.Helper()
	paths := Paths(t)
	rng := rand.New(rand.NewPCG(uint64(n), uint64(width*height)))
	var crops []*raster.Image
	for len(crops) < n {
		img := Read(t, paths[rng.IntN(len(paths))])
		// Several crops of each photograph save decoding.
		for range min(10, n-len(crops)) {
			w, h := min(width, img.Width), min(height, img.Height)
			crops = append(crops, crop(img, rng.IntN(img.Width-w+1), rng.IntN(img.Height-h+1), w, h))
		}
	}
	return crops
}

func crop(src *raster.Image, x0, y0, w, h int) *raster.Image {
	img := raster.New(src.Space, w, h)
	for p := range src.Space.Planes() {
		from, to := src.Plane(p), img.Plane(p)
		for y := range h {
			copy(to[y*w:(y+1)*w], from[(y0+y)*src.Width+x0:])
		}
	}
	return img
}
