package selective

import (
	"reflect"
	"testing"

	"github.com/proposer/proposer/box"
	"github.com/proposer/proposer/candidate"
	"github.com/proposer/proposer/internal/testutil/scene"
)

func TestUnions(t *testing.T) {
	img := scene.Render(11, 160, 120, 6).Image
	opts := Fast()
	opts.Joins, opts.Unions = 0, 0
	without := search(t, img, opts)
	unions := func(proposals []Proposal) (n int) {
		for _, p := range proposals {
			if p.Kind == candidate.Union {
				n++
			}
		}
		return n
	}
	opts.Unions, opts.Threads = 20, 1
	all := search(t, img, opts)
	if unions(without) != 0 || unions(all) != 20 || len(all) != len(without)+20 {
		t.Fatalf("%d unions of %d, without unions %d of %d: want 20 more", unions(all), len(all), unions(without), len(without))
	}

	t.Run("threads", func(t *testing.T) {
		opts := opts
		opts.Threads = 4
		if got := search(t, img, opts); !reflect.DeepEqual(got, all) {
			t.Error("4 threads give other proposals")
		}
	})
	t.Run("filters", func(t *testing.T) {
		opts := opts
		opts.MinSide = 15
		opts.Keep = func(b box.Box) bool { return b.X0%2 == 0 }
		got := search(t, img, opts)
		if unions(got) == 0 {
			t.Error("no unions")
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
		if n := unions(search(t, img, opts)); n != 0 {
			t.Errorf("%d unions, want 0", n)
		}
	})
}
