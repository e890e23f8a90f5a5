package objectness_test

import (
	"context"
	"fmt"

	"github.com/proposer/proposer/box"
	"github.com/proposer/proposer/candidate"
	"github.com/proposer/proposer/internal/testutil/scene"
	"github.com/proposer/proposer/objectness"
	"github.com/proposer/proposer/selective"
)

// The ranker that ships with the package puts boxes that hold objects first.
func Example() {
	picture := scene.Render(7, 320, 240, 1)
	result, err := selective.Search(context.Background(), picture.Image, selective.Fast())
	if err != nil {
		panic(err)
	}
	best := 0.
	for _, p := range result.Proposals[:20] {
		best = max(best, p.Box.IoU(picture.Boxes[0]))
	}
	fmt.Printf("one of the first 20 boxes overlaps the %s by more than half: %v\n", picture.Classes[0], best > .5)
	// Output: one of the first 20 boxes overlaps the star by more than half: true
}

// pupil stands in for a ranker, and hands a trainer what the search knows.
type pupil struct {
	trainer *objectness.Trainer
	picture int
	objects []box.Box
}

func (p pupil) Score(ctx context.Context, _ []float32, e *candidate.Set) error {
	best := make([]objectness.Match, len(e.Candidates))
	for i := range e.Candidates {
		for k, o := range p.objects {
			if iou := e.Candidates[i].Box.IoU(o); iou > best[i].IoU {
				best[i] = objectness.Match{Object: k, IoU: iou}
			}
		}
	}
	return p.trainer.Add(ctx, p.picture, e, best)
}

func ExampleTrainer() {
	ctx := context.Background()
	trainer := objectness.NewTrainer(1)
	opts := selective.Fast()
	for seed := range uint64(3) {
		picture := scene.Render(seed, 160, 120, 3)
		opts.Ranker = pupil{trainer, int(seed), picture.Boxes}
		if _, err := selective.Search(ctx, picture.Image, opts); err != nil {
			panic(err)
		}
	}
	recipe := objectness.DefaultTrainOptions()
	recipe.Trees.Trees, recipe.Network.Epochs = 10, 1
	ranker, err := trainer.Train(ctx, recipe, objectness.Metadata{Data: "scenes", Mode: "fast"}, nil)
	if err != nil {
		panic(err)
	}
	fmt.Println(ranker.Metadata.Pictures, "pictures,", len(ranker.Model.Trees.Trees), "trees")
	// Output: 3 pictures, 10 trees
}
