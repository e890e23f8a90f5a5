package imageio

import (
	"bytes"
	"fmt"
	"image"
	"image/jpeg"
	"io"
	"math"
	"testing"

	"github.com/proposer/proposer/box"
	"github.com/proposer/proposer/raster"
)

// photo returns a JPEG whose spectrum is similar to that of a photograph.
func photo(t testing.TB, w, h int) []byte {
	m := image.NewRGBA(image.Rect(0, 0, w, h))
	noise := randomImage(raster.Gray, w, h)
	for y := range h {
		for x := range w {
			fx, fy := float64(x), float64(y)
			for c := range 3 {
				v := 128 + 70*math.Sin(fx/50+float64(c))*math.Cos(fy/70) + 30*math.Sin(fx*fy/900) + float64(noise.Pix[y*w+x])/12
				m.Pix[y*m.Stride+4*x+c] = uint8(min(max(v, 0), 255))
			}
			m.Pix[y*m.Stride+4*x+3] = 255
		}
	}
	var b bytes.Buffer
	if err := jpeg.Encode(&b, m, &jpeg.Options{Quality: 90}); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func BenchmarkDecode(b *testing.B) {
	for _, size := range [][2]int{{640, 480}, {4000, 3000}} {
		data := photo(b, size[0], size[1])
		b.Run(fmt.Sprintf("%dx%d", size[0], size[1]), func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(len(data)))
			for b.Loop() {
				if _, err := Decode(b.Context(), data, Options{}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkInspect(b *testing.B) {
	data := photo(b, 640, 480)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Inspect(data, Limits{}); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkApplyOrientation(b *testing.B) {
	src := randomImage(raster.RGB, 4000, 3000)
	for _, o := range []int{3, 6} {
		b.Run(fmt.Sprintf("12MP/%d", o), func(b *testing.B) {
			for b.Loop() {
				applyOrientation(src, o)
			}
		})
	}
}

func BenchmarkShrink(b *testing.B) {
	src := randomImage(raster.RGB, 4000, 3000)
	for _, side := range []int{640, 2000} {
		b.Run(fmt.Sprintf("12MP to %d", side), func(b *testing.B) {
			for b.Loop() {
				shrink(src, side, side*3/4)
			}
		})
	}
}

func BenchmarkOverlay(b *testing.B) {
	src := randomImage(raster.RGB, 640, 480)
	boxes := make([]box.Box, 100)
	for i := range boxes {
		boxes[i] = box.Box{X0: int32(i), Y0: int32(2 * i), X1: int32(640 - 3*i), Y1: int32(480 - i)}
	}
	for b.Loop() {
		if err := Overlay(io.Discard, src, boxes, "png"); err != nil {
			b.Fatal(err)
		}
	}
}
