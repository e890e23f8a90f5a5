package train_test

import (
	"context"
	"fmt"
	"math/rand/v2"

	"github.com/proposer/proposer/dataset"
	"github.com/proposer/proposer/objectness"
	"github.com/proposer/proposer/objectness/train"
	"github.com/proposer/proposer/raster"
	"github.com/proposer/proposer/selective"
)

// paint returns a noisy image with a bright rectangle, and the rectangle.
func paint(seed uint64) (*raster.Image, dataset.Object) {
	rng := rand.New(rand.NewPCG(seed, 0))
	img := raster.New(raster.RGB, 160, 120)
	for i := range img.Pix {
		img.Pix[i] = uint8(60 + rng.IntN(40))
	}
	x0, y0 := rng.IntN(100), rng.IntN(80)
	x1, y1 := x0+20+rng.IntN(40), y0+20+rng.IntN(20)
	for p := range 3 {
		for y := y0; y < y1; y++ {
			for x := x0; x < x1; x++ {
				img.Plane(p)[y*img.Width+x] += 100
			}
		}
	}
	return img, dataset.Object{X0: float64(x0), Y0: float64(y0), X1: float64(x1), Y1: float64(y1)}
}

func ExampleTrainer() {
	ctx := context.Background()
	trainer := train.NewTrainer(train.DefaultSampling())
	opts := selective.Fast()
	for i := range 3 {
		img, object := paint(uint64(i))
		hook := trainer.Hook(i, train.Labels{Objects: []dataset.Object{object}})
		opts.Ranker = hook
		if _, err := selective.Search(ctx, img, opts); err != nil {
			panic(err)
		}
		trainer.Add(hook)
	}
	small := train.DefaultOptions()
	small.Trees.Trees = 10
	small.Network.Epochs = 1
	ranker, err := trainer.Train(ctx, small, objectness.Metadata{Data: "rectangles", Mode: "fast"}, nil)
	if err != nil {
		panic(err)
	}
	fmt.Println(ranker.Metadata().Images, "images of", ranker.Metadata().Data)
	// Output: 3 images of rectangles
}
