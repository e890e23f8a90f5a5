package selective

import (
	"fmt"
	"testing"

	"github.com/proposer/proposer/internal/testutil/benchmetric"
	"github.com/proposer/proposer/internal/testutil/scene"
	"github.com/proposer/proposer/raster"
)

func BenchmarkSearch(b *testing.B) {
	img := scene.Render(1, 640, 480, 12).Image
	for _, mode := range Modes() {
		benchmarkSearch(b, mode, img)
	}
}

// BenchmarkSearch12MP shows whether the time per pixel of a large image is that of a small one.
func BenchmarkSearch12MP(b *testing.B) {
	benchmarkSearch(b, "fast", scene.Render(1, 4000, 3000, 12).Image)
}

func benchmarkSearch(b *testing.B, mode string, img *raster.Image) {
	for _, threads := range []int{1, 2} {
		b.Run(fmt.Sprintf("%s/threads=%d", mode, threads), func(b *testing.B) {
			opts := paper(b, mode)
			opts.Threads = threads
			benchmetric.ReportMegapixels(b, img.Width*img.Height)
			for b.Loop() {
				if _, err := Search(b.Context(), img, opts); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
