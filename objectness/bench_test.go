package objectness_test

import (
	"testing"

	"github.com/proposer/proposer/internal/testutil/photos"
	"github.com/proposer/proposer/selective"
)

// BenchmarkSearch shows the cost of the ranking: the difference of order objectness to paper.
func BenchmarkSearch(b *testing.B) {
	img := photos.Read(b, photos.Paths(b)[0])
	for _, mode := range []string{"fast", "best", "quality"} {
		for _, order := range []selective.Order{selective.OrderPaper, selective.OrderObjectness} {
			b.Run(mode+"/"+order.String(), func(b *testing.B) {
				opts, err := selective.Mode(mode)
				if err != nil {
					b.Fatal(err)
				}
				opts.Order = order
				opts.Threads = 1
				opts.Max = 2000
				boxes := 0
				for b.Loop() {
					r, err := selective.Search(b.Context(), img, opts)
					if err != nil {
						b.Fatal(err)
					}
					boxes = len(r.Proposals)
				}
				b.ReportMetric(float64(boxes), "boxes")
			})
		}
	}
}
