// Package photos gives tests natural pictures: photographs of the data set that
// may lie beside the project's folder. Without it the tests that ask are skipped.
package photos

import (
	"image"
	_ "image/jpeg" // the photographs are JPEG
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"github.com/proposer/proposer/raster"
)

// Files lists the development photographs, sorted by name.
func Files(t testing.TB) []string {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			break
		}
		up := filepath.Dir(dir)
		if up == dir {
			t.Fatal("the test does not run inside the module")
		}
		dir = up
	}
	files, err := filepath.Glob(filepath.Join(dir, "..", "shared", "data", "coco-dev", "images", "*.jpg"))
	if err != nil {
		t.Fatal(err)
	}
	if len(files) == 0 {
		t.Skip("no photographs in ../shared/data/coco-dev")
	}
	return files
}

// Read decodes a photograph to RGB.
func Read(t testing.TB, file string) *raster.Image {
	t.Helper()
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	src, _, err := image.Decode(f)
	if err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	return planar(src)
}

// Crops cuts n pieces of at most width × height pixels out of the photographs,
// the same ones for the same arguments.
func Crops(t testing.TB, n, width, height int) []*raster.Image {
	t.Helper()
	files := Files(t)
	rng := rand.New(rand.NewPCG(uint64(n), uint64(width*height)))
	var crops []*raster.Image
	for len(crops) < n {
		img := Read(t, files[rng.IntN(len(files))])
		// A decoded picture serves for several pieces.
		for range min(10, n-len(crops)) {
			w, h := min(width, img.Width), min(height, img.Height)
			crops = append(crops, cut(img, rng.IntN(img.Width-w+1), rng.IntN(img.Height-h+1), w, h))
		}
	}
	return crops
}

func planar(src image.Image) *raster.Image {
	r := src.Bounds()
	img := raster.New(raster.RGB, r.Dx(), r.Dy())
	red, green, blue := img.Plane(0), img.Plane(1), img.Plane(2)
	for y := range r.Dy() {
		for x := range r.Dx() {
			i := y*r.Dx() + x
			cr, cg, cb, _ := src.At(r.Min.X+x, r.Min.Y+y).RGBA()
			red[i], green[i], blue[i] = uint8(cr>>8), uint8(cg>>8), uint8(cb>>8)
		}
	}
	return img
}

func cut(src *raster.Image, x0, y0, w, h int) *raster.Image {
	img := raster.New(src.Space, w, h)
	for p := range src.Space.Planes() {
		from, to := src.Plane(p), img.Plane(p)
		for y := range h {
			copy(to[y*w:(y+1)*w], from[(y0+y)*src.Width+x0:])
		}
	}
	return img
}
