package raster

import (
	"math/rand/v2"
	"testing"
)

// noise is a picture without structure, the worst case for branch prediction.
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
			b.ReportAllocs()
			for b.Loop() {
				dst, _ = Convert(b.Context(), dst, src, to)
			}
		})
	}
}
