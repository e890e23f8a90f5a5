package selective

import (
	"reflect"
	"testing"

	"github.com/proposer/proposer/box"
	"github.com/proposer/proposer/candidate"
	"github.com/proposer/proposer/internal/testutil/scene"
)

func TestUnions(t *testing.T) {
	opts := Fast()
	opts.Joins = 0
	testAdded(t, candidate.Union, opts, func(o *Options) *int { return &o.Unions }, 20)
}

// testAdded tests how many proposals of a kind an option adds if their maximum is 20. It returns the
// options, and the proposals without and with these.
func testAdded(t *testing.T, kind candidate.Kind, opts Options, limit func(*Options) *int, want int) (with Options, without, all []Proposal) {
	img := scene.Render(11, 160, 120, 6).Image
	count := func(proposals []Proposal) (n int) {
		for _, p := range proposals {
			if p.Kind == kind {
				n++
			}
		}
		return n
	}
	*limit(&opts) = 0
	without = search(t, img, opts)
	*limit(&opts) = 20
	opts.Threads = 1
	all = search(t, img, opts)
	if count(without) != 0 || count(all) != want || len(all) != len(without)+want {
		t.Fatalf("%d of kind %v among %d, without the option %d among %d: want %d more", count(all), kind, len(all), count(without), len(without), want)
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
		if count(got) == 0 {
			t.Error("none of the kind")
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
		if n := count(search(t, img, opts)); n != 0 {
			t.Errorf("%d of the kind, want 0", n)
		}
	})
	return opts, without, all
}
