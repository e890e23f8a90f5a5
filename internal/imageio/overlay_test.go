package imageio

import (
	"bytes"
	"context"
	"image"
	"image/color"
	"image/jpeg"
	"image/png"
	"io"
	"os"
	"testing"

	"pgregory.net/rapid"

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

// A pixel is drawn if it, or one up to line-1 pixels to the left and above, is the last before a boundary.
func TestOverlayBoundaries(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		width := rapid.SampledFrom([]int{1, 2, 7, 30, 959, 960, 1599, 1601}).Draw(t, "width")
		height := rapid.IntRange(1, 12).Draw(t, "height")
		line := 1
		switch {
		case width >= 1600:
			line = 3
		case width >= 960:
			line = 2
		}
		img := raster.New(raster.Gray, width, height)
		labels := make([]int32, width*height)
		for i := range labels { // rectangles of 5 × 3 pixels, some of which are equal
			labels[i] = int32(i%width/5*i/width/3) % 4
		}
		for range rapid.IntRange(0, 5).Draw(t, "pixels") {
			labels[rapid.IntRange(0, len(labels)-1).Draw(t, "pixel")] = 9
		}
		last := func(x, y int) bool {
			if x < 0 || y < 0 {
				return false
			}
			i := y*width + x
			return x+1 < width && labels[i+1] != labels[i] || y+1 < height && labels[i+width] != labels[i]
		}
		var out bytes.Buffer
		if err := OverlayBoundaries(context.Background(), &out, img, labels, "png"); err != nil {
			t.Fatal(err)
		}
		m, err := png.Decode(&out)
		if err != nil || m.Bounds() != image.Rect(0, 0, width, height) {
			t.Fatal(m.Bounds(), err)
		}
		for i := range labels {
			x, y := i%width, i/width
			want := color.RGBA{A: 255}
			for d := range line * line {
				if last(x-d%line, y-d/line) {
					want = boundaryColor
				}
			}
			if got := color.RGBAModel.Convert(m.At(x, y)); got != want {
				t.Fatalf("got %v at %d, %d, want %v", got, x, y, want)
			}
		}
	})
}

func TestOverlayBoundariesErrors(t *testing.T) {
	img, labels := raster.New(raster.RGB, 4, 2), make([]int32, 8)
	canceled, cancel := context.WithCancel(t.Context())
	cancel()
	for _, c := range []struct {
		name   string
		ctx    context.Context
		w      io.Writer
		img    *raster.Image
		format string
	}{
		{"format", t.Context(), io.Discard, img, "gif"},
		{"space", t.Context(), io.Discard, raster.New(raster.Lab, 4, 2), "png"},
		{"context", canceled, io.Discard, img, "png"},
		{"writer", t.Context(), failing{}, img, "jpeg"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if err := OverlayBoundaries(c.ctx, c.w, c.img, labels, c.format); err == nil {
				t.Error("no error")
			}
		})
	}
}

type failing struct{}

func (failing) Write([]byte) (int, error) { return 0, os.ErrClosed }
