package segment_test

import (
	"context"
	"fmt"

	"github.com/proposer/proposer/raster"
	"github.com/proposer/proposer/segment"
)

func Example() {
	// An image of 8×4 pixels, dark on the left, light on the right.
	img := raster.New(raster.Gray, 8, 4)
	for i := range img.Pix {
		if i%8 >= 3 {
			img.Pix[i] = 200
		}
	}
	ctx := context.Background()

	var g segment.Graph
	if err := g.Build(ctx, img, segment.Options{Connectivity: segment.Eight, MinK: 100}); err != nil {
		fmt.Println(err)
		return
	}
	for _, k := range []float64{100, 5000} {
		l, err := g.Segment(ctx, nil, k, 0)
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Println(k, l.Sizes, l.Boxes)
	}
	// Output:
	// 100 [12 20] [[0 0 3 4] [3 0 8 4]]
	// 5000 [32] [[0 0 8 4]]
}
