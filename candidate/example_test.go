package candidate_test

import (
	"context"
	"fmt"
	"image"
	"image/color"
	"image/draw"

	"github.com/proposer/proposer/candidate"
	"github.com/proposer/proposer/raster"
	"github.com/proposer/proposer/selective"
)

// byOrigins scores a candidate by the number of tree nodes that agree on its box.
type byOrigins struct{}

func (byOrigins) Score(_ context.Context, scores []float32, set *candidate.Set) error {
	for i, c := range set.Candidates {
		scores[i] = min(float32(len(c.Origins))/float32(2*len(set.Trees)), 1)
	}
	return nil
}

// A custom ranker replaces the learned one.
func ExampleSet() {
	img := image.NewRGBA(image.Rect(0, 0, 120, 90))
	draw.Draw(img, img.Bounds(), image.NewUniform(color.RGBA{40, 90, 160, 255}), image.Point{}, draw.Src)
	draw.Draw(img, image.Rect(30, 20, 80, 60), image.NewUniform(color.RGBA{220, 200, 60, 255}), image.Point{}, draw.Src)

	opts := selective.Fast()
	opts.Ranker = byOrigins{}
	opts.Max = 2
	searcher, err := selective.New(opts)
	if err != nil {
		fmt.Println(err)
		return
	}
	result, err := searcher.Search(context.Background(), raster.FromImage(img))
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, p := range result.Proposals {
		fmt.Println(p.Box, len(p.Origins))
	}
	// Output:
	// [30 20 80 60] 15
	// [0 0 120 90] 18
}
