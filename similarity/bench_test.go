package similarity

import (
	"math/rand/v2"
	"testing"

	"github.com/proposer/proposer/internal/testutil/benchmetric"
	"github.com/proposer/proposer/raster"
)

func BenchmarkBuild(b *testing.B) {
	img := noise(rand.New(rand.NewPCG(1, 2)), raster.Lab, 640, 480)
	var binned BinnedImage
	benchmetric.ReportMegapixels(b, 640*480)
	for b.Loop() {
		if err := binned.Build(b.Context(), img, nil); err != nil {
			b.Fatal(err)
		}
	}
}

// squares returns an image of noise and a label image of squares.
func squares(b *testing.B) (*BinnedImage, *raster.LabelImage) {
	img := noise(rand.New(rand.NewPCG(1, 2)), raster.Lab, 640, 480)
	pix := make([]int32, 640*480)
	for i := range pix {
		pix[i] = int32(i%640/20 + i/640/20*32)
	}
	return bin(b, img), raster.NewLabelImage(640, pix)
}

func BenchmarkDescribe(b *testing.B) {
	img, l := squares(b)
	flat := bin(b, raster.New(raster.Lab, 640, 480))
	for name, img := range map[string]*BinnedImage{"noise": img, "flat": flat} {
		b.Run(name, func(b *testing.B) {
			dst, labels := []*Regions{new(Regions)}, []*raster.LabelImage{l}
			benchmetric.ReportMegapixels(b, 640*480)
			for b.Loop() {
				if err := img.Describe(b.Context(), dst, labels, nil); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkSimilarities(b *testing.B) {
	img, l := squares(b)
	r := describe(b, img, l)
	dst, others := make([]float32, 10), []int32{1, 2, 3, 32, 33, 34, 64, 65, 66, 67}
	for b.Loop() {
		r.Similarities(dst, 0, others)
	}
}

func BenchmarkMerge(b *testing.B) {
	img, l := squares(b)
	r := describe(b, img, l)
	for b.Loop() {
		r.sizes[0] = 400 // keep it from outgrowing the image
		r.Merge(0, 1)
	}
}
