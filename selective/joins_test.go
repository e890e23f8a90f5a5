package selective

import (
	"context"
	"reflect"
	"slices"
	"testing"

	"github.com/proposer/proposer/box"
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
	opts := Fast()
	opts.Joins = 0
	without := search(t, img, opts)
	joined := func(proposals []Proposal) (n int) {
		for _, p := range proposals {
			if p.Kind == candidate.Joined {
				n++
			}
		}
		return n
	}

	opts.Joins = 20
	opts.Threads = 1
	all := search(t, img, opts)
	if joined(without) != 0 || joined(all) != 20 || len(all) != len(without)+20 {
		t.Fatalf("%d joined of %d, without joins %d of %d: want 20 more", joined(all), len(all), joined(without), len(without))
	}

	t.Run("threads", func(t *testing.T) {
		opts := opts
		opts.Threads = 4
		if got := search(t, img, opts); !reflect.DeepEqual(got, all) {
			t.Error("4 threads give other proposals")
		}
	})
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
	t.Run("filters", func(t *testing.T) {
		opts := opts
		opts.MinSide = 15
		opts.Keep = func(b box.Box) bool { return b.X0%2 == 0 }
		got := search(t, img, opts)
		if joined(got) == 0 {
			t.Error("no joined proposals")
		}
		for _, p := range got {
			if p.Box.Width() < 15 || p.Box.Height() < 15 || p.Box.X0%2 != 0 {
				t.Errorf("%v was to be dropped", p.Box)
			}
		}
	})
	t.Run("paper's order", func(t *testing.T) {
		opts := opts
		opts.Order = OrderPaper
		if n := joined(search(t, img, opts)); n != 0 {
			t.Errorf("%d joined, want 0", n)
		}
	})
	t.Run("custom ranker", func(t *testing.T) {
		opts := opts
		r := &plainRanker{Ranker: objectness.Default(len(opts.Strategies))}
		opts.Ranker = r
		if got := search(t, img, opts); !reflect.DeepEqual(got, all) {
			t.Error("without sessions the proposals are others")
		}
		if want := []int{len(without), 20}; !slices.Equal(r.sizes, want) {
			t.Errorf("scored sets of %v, want %v", r.sizes, want)
		}
	})
}
