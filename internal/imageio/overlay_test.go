package imageio

import (
	"bytes"
	"image"
	"image/color"
	"image/jpeg"
	"image/png"
	"os"
	"testing"

	"github.com/proposer/proposer/box"
	"github.com/proposer/proposer/raster"
)

func TestOverlay(t *testing.T) {
	p, err := Decode(t.Context(), pngFile(testW, testH, 8, 2, rgbRows()), Options{})
	if err != nil {
		t.Fatal(err)
	}
	// Best first; the second crosses the first, the last two extend beyond the image.
	boxes := []box.Box{{X0: 3, Y0: 2, X1: 15, Y1: 12}, {X0: 8, Y0: 5, X1: 22, Y1: 15}, {X0: -5, Y0: 6, X1: 40, Y1: 9}, {X0: 100, Y0: 100, X1: 101, Y1: 101}}
	var out bytes.Buffer
	if err := Overlay(&out, p.Image, boxes, "png"); err != nil {
		t.Fatal(err)
	}
	const golden = "testdata/overlay.png"
	if *update {
		if err := os.WriteFile(golden, out.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	f, err := os.Open(golden)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	want, err := png.Decode(f)
	if err != nil {
		t.Fatal(err)
	}
	got, err := png.Decode(&out)
	if err != nil {
		t.Fatal(err)
	}
	same := got.Bounds() == want.Bounds()
	for i := 0; same && i < testW*testH; i++ {
		same = got.At(i%testW, i/testW) == want.At(i%testW, i/testW)
	}
	if !same {
		t.Error("differs from", golden)
	}
	// The best is whole; what it does not cover of the second shows.
	for _, at := range []struct {
		x, y int
		want color.RGBA
	}{{3, 2, rankColor(0)}, {14, 5, rankColor(0)}, {14, 11, rankColor(0)}, {15, 5, rankColor(1)}, {8, 6, rankColor(1)}, {0, 6, rankColor(2)}, {0, 0, color.RGBA{10, 240, 60, 255}}} {
		if c := color.RGBAModel.Convert(got.At(at.x, at.y)); c != at.want {
			t.Errorf("%d,%d: %v, want %v", at.x, at.y, c, at.want)
		}
	}
}

func TestOverlayFormats(t *testing.T) {
	gray := raster.New(raster.Gray, 2000, 10)
	var out bytes.Buffer
	if err := Overlay(&out, gray, []box.Box{{X1: 2000, Y1: 10}}, "jpeg"); err != nil {
		t.Fatal(err)
	}
	m, err := jpeg.Decode(&out)
	if err != nil || m.Bounds() != image.Rect(0, 0, 2000, 10) {
		t.Error(m.Bounds(), err)
	}
	if err := Overlay(&out, gray, nil, "gif"); err == nil {
		t.Error("no error for gif")
	}
	if err := Overlay(&out, raster.New(raster.Lab, 1, 1), nil, "png"); err == nil {
		t.Error("no error for Lab")
	}
	if err := Overlay(failing{}, gray, nil, "png"); err == nil {
		t.Error("no error for a writer that fails")
	}
}

type failing struct{}

func (failing) Write([]byte) (int, error) { return 0, os.ErrClosed }
