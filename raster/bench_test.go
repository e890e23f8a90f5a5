package raster

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/proposer/proposer/internal/testutil/benchmetric"
)

// noise returns an image without structure, the worst case for branch prediction.
func noise(space Space, width, height int) *Image {
	rng := rand.New(rand.NewPCG(1, 2))
	m := New(space, width, height)
	for i := range m.Pix {
		m.Pix[i] = uint8(rng.Uint32())
	}
	return m
}

func BenchmarkConvert(b *testing.B) {
	src := noise(RGB, 640, 480)
	for _, to := range Spaces() {
		b.Run(to.String(), func(b *testing.B) {
			var dst *Image
			benchmetric.ReportMegapixels(b, 640*480)
			for b.Loop() {
				dst, _ = Convert(b.Context(), dst, src, to)
			}
		})
	}
}

func BenchmarkSmooth(b *testing.B) {
	src := noise(RGB, 640, 480)
	for _, sigma := range []float64{0, 0.8, 2} {
		b.Run(fmt.Sprint("sigma=", sigma), func(b *testing.B) {
			var dst *Planes
			benchmetric.ReportMegapixels(b, 640*480)
			for b.Loop() {
				dst, _ = Smooth(b.Context(), dst, src, sigma)
			}
		})
	}
}

func BenchmarkDifferentiator(b *testing.B) {
	src := noise(RGB, 640, 480)
	benchmetric.ReportMegapixels(b, 640*480)
	for b.Loop() {
		for plane := range 3 {
			gradients(src, plane, 1, func(int, []float32, []float32) {})
		}
	}
}
