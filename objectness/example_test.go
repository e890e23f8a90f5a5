package objectness_test

import (
	"bytes"
	"context"
	"fmt"

	"github.com/proposer/proposer/objectness"
	"github.com/proposer/proposer/raster"
	"github.com/proposer/proposer/selective"
)

// A ranker that was read from a file replaces the default.
func ExampleRead() {
	var file bytes.Buffer
	if err := objectness.Default(8).Write(&file); err != nil {
		panic(err)
	}
	ranker, err := objectness.Read(&file)
	if err != nil {
		panic(err)
	}
	fmt.Println("trained in mode", ranker.Metadata().Mode)

	img := raster.New(raster.RGB, 100, 80)
	for p := range 3 {
		for y := 20; y < 50; y++ {
			for x := 30; x < 60; x++ {
				img.Plane(p)[y*img.Width+x] = 220
			}
		}
	}
	opts := selective.Fast()
	opts.Sigma = 0 // the image is drawn and has no noise
	opts.Ranker = ranker
	result, err := selective.Search(context.Background(), img, opts)
	if err != nil {
		panic(err)
	}
	for _, p := range result.Proposals {
		fmt.Println(p.Box)
	}
	// Output:
	// trained in mode fast
	// [30 20 60 50]
	// [0 0 100 80]
}
