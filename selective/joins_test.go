package selective

import (
	"context"
	"reflect"
	"slices"
	"testing"

	"github.com/proposer/proposer/candidate"
	"github.com/proposer/proposer/internal/testutil/scene"
	"github.com/proposer/proposer/objectness"
)

// plainRanker hides the other methods of a ranker and keeps the sizes of the sets.
type plainRanker struct {
	Ranker
	sizes []int
}

func (r *plainRanker) Score(ctx context.Context, scores []float32, set *candidate.Set) error {
	r.sizes = append(r.sizes, len(set.Candidates))
	return r.Ranker.Score(ctx, scores, set)
}

func TestJoins(t *testing.T) {
	img := scene.Render(11, 160, 120, 6).Image
	opts, without, all := testAdded(t, candidate.Joined, Fast(), func(o *Options) *int { return &o.Joins }, 15)
	t.Run("max", func(t *testing.T) {
		opts := opts
		opts.Max = 30
		got := search(t, img, opts)
		for i, p := range got {
			if p.Box != all[i].Box {
				t.Fatalf("proposal %d: got %v, want %v", i, p.Box, all[i].Box)
			}
		}
	})
	t.Run("custom ranker", func(t *testing.T) {
		opts := opts
		r := &plainRanker{Ranker: objectness.Default(len(opts.Strategies))}
		opts.Ranker = r
		if got := search(t, img, opts); !reflect.DeepEqual(got, all) {
			t.Error("without sessions the proposals are others")
		}
		if want := []int{len(without), 15}; !slices.Equal(r.sizes, want) {
			t.Errorf("scored sets of %v, want %v", r.sizes, want)
		}
	})
}
