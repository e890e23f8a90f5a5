package objectness_test

import (
	"context"
	"testing"

	"github.com/proposer/proposer/internal/testutil/photos"
	"github.com/proposer/proposer/selective"
)

// The cost of a learned order is what Search/objectness takes more than Search/paper.
func BenchmarkSearch(b *testing.B) {
	img := photos.Read(b, photos.Paths(b)[0])
	for _, mode := range []string{"fast", "best", "quality"} {
		for _, order := range []selective.Order{selective.OrderPaper, selective.OrderObjectness} {
			b.Run(mode+"/"+order.String(), func(b *testing.B) {
				opts, err := selective.Mode(mode)
				if err != nil {
					b.Fatal(err)
				}
				opts.Order, opts.Threads, opts.Max = order, 1, 2000
				var boxes int
				for b.Loop() {
					r, err := selective.Search(context.Background(), img, opts)
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
