package selective_test

import (
	"context"
	"fmt"

	"github.com/proposer/proposer/box"
	"github.com/proposer/proposer/raster"
	"github.com/proposer/proposer/segment"
	"github.com/proposer/proposer/selective"
	"github.com/proposer/proposer/similarity"
)

// paint returns a dark image with a bright square.
func paint() *raster.Image {
	img := raster.New(raster.RGB, 100, 80)
	for p := range 3 {
		for y := 20; y < 50; y++ {
			for x := 30; x < 60; x++ {
				img.Plane(p)[y*100+x] = 220
			}
		}
	}
	return img
}

func Example() {
	opts := selective.Fast()
	opts.Sigma = 0 // the image is drawn and has no noise
	opts.Max = 3
	s, err := selective.New(opts)
	if err != nil {
		panic(err)
	}
	result, err := s.Search(context.Background(), paint())
	if err != nil {
		panic(err)
	}
	for _, p := range result.Proposals {
		fmt.Println(p.Box, "from", len(p.Origins), "nodes")
	}
	// Output:
	// [30 20 60 50] from 8 nodes
	// [0 0 100 80] from 16 nodes
}

// A filter applies before the ranking, so that Max boxes remain.
func ExampleOptions_keep() {
	img := paint()
	filter := box.Filter{MinSide: 20, MaxArea: 0.5}
	opts := selective.Fast()
	opts.Sigma = 0 // the image is drawn and has no noise
	opts.Max = 1
	opts.Keep = func(b box.Box) bool { return filter.Keep(b, img.Width, img.Height) }
	result, err := selective.Search(context.Background(), img, opts)
	if err != nil {
		panic(err)
	}
	fmt.Println(result.Proposals[0].Box)
	// Output: [30 20 60 50]
}

func ExampleSearch() {
	opts := selective.Single()
	opts.Sigma = 0 // the image is drawn and has no noise
	opts.Order = selective.OrderHierarchy
	result, err := selective.Search(context.Background(), paint(), opts)
	if err != nil {
		panic(err)
	}
	for _, p := range result.Proposals {
		fmt.Println(p.Box, p.Score)
	}
	// Output:
	// [0 0 100 80] 0.5
	// [30 20 60 50] 0.33333334
}

func ExampleCombine() {
	opts := selective.Single()
	opts.Strategies = selective.Combine(
		[]raster.Space{raster.Lab, raster.Opponent},
		[]float64{80, 160},
		[]similarity.Weights{{Color: 1, Texture: 0.5, Size: 1, Fill: 1}},
		64,
	)
	opts.Connectivity = segment.Four
	fmt.Println(len(opts.Strategies), opts.Strategies[0].Space, opts.Strategies[0].Weights)
	// Output: 4 Lab CT0.5SF
}

func ExampleRegions() {
	opts := selective.Single()
	opts.KeepRegions = true
	opts.Sigma = 0
	opts.Order = selective.OrderPaper
	opts.Strategies[0].K = 5
	img := raster.New(raster.RGB, 10, 8)
	for p := range 3 {
		for y := 2; y < 7; y++ {
			for x := 3; x < 3+y; x++ {
				img.Plane(p)[y*10+x] = 220
			}
		}
	}
	ctx := context.Background()
	result, err := selective.Search(ctx, img, opts)
	if err != nil {
		panic(err)
	}
	for _, p := range result.Proposals {
		o := p.Origins[0]
		tree := result.Regions.Trees[o.Strategy]
		m, err := result.Regions.Mask(ctx, int(o.Strategy), tree.At(int(o.Position)))
		if err != nil {
			panic(err)
		}
		fmt.Println(p.Box, m.Area(), "pixels:", m)
	}
	// Output:
	// [0 0 10 8] 80 pixels: 0`2
	// [3 2 9 7] 20 pixels: j05301O1O1O1O2
}

// A strategy can use another image of the scene, here one of depths, as it is.
func ExampleGiven() {
	img, depth := raster.New(raster.RGB, 100, 80), raster.New(raster.Gray, 100, 80)
	for y := 20; y < 50; y++ {
		for x := 30; x < 60; x++ {
			depth.Pix[y*100+x] = 200 // an object of the color of its background
		}
	}
	opts := selective.Single()
	opts.Sigma = 0 // the image is drawn and has no noise
	opts.Images = []*raster.Image{depth}
	opts.Strategies[0].Space = selective.Given(0)
	result, err := selective.Search(context.Background(), img, opts)
	if err != nil {
		panic(err)
	}
	for _, p := range result.Proposals {
		fmt.Println(p.Box)
	}
	// Output:
	// [0 0 100 80]
	// [30 20 60 50]
}
