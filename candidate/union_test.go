package candidate_test

import (
	"context"
	"errors"
	"math"
	"reflect"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/proposer/proposer/box"
	"github.com/proposer/proposer/candidate"
	"github.com/proposer/proposer/internal/testutil/candidates"
	"github.com/proposer/proposer/internal/testutil/scene"
)

// referenceUnions returns all unions that AddUnions selects from, and their values: it groups all
// pairs by their box.
func referenceUnions(set *candidate.Set, minSide int, keep func(box.Box) bool) (unions []candidate.Candidate, values []float64) {
	known := map[box.Box]bool{}
	for _, c := range set.Candidates {
		known[c.Box] = true
	}
	number := map[box.Box]int{}
	for s, t := range set.Trees {
		for _, p := range slices.Backward(t.Pairs) {
			x, y := t.Nodes[p.A], t.Nodes[p.B]
			b := x.Box.Union(y.Box)
			if x.Parent == y.Parent || known[b] || int(min(b.Width(), b.Height())) < max(minSide, candidate.MinUnionSide) || !keep(b) {
				continue
			}
			i, ok := number[b]
			if !ok {
				i = len(unions)
				number[b] = i
				unions = append(unions, candidate.Candidate{Box: b, Kind: candidate.Union})
				values = append(values, math.Inf(1))
			}
			width := t.Nodes[len(t.Nodes)-1].Box.Width()
			share := float64(min(x.Size, y.Size)) / float64(x.Size+y.Size)
			v := log2(float64(t.Position(int(p.A))*t.Position(int(p.B)))) + 20*float64(b.Width())/float64(width) + 9*(1-share)
			values[i] = min(values[i], v)
			for _, n := range []int32{p.B, p.A} {
				o := candidate.Origin{
					Strategy: int32(s), Position: int32(t.Position(int(n))),
					Size: t.Nodes[n].Size, Birth: t.Nodes[n].Similarity,
				}
				if parent := t.Nodes[n].Parent; parent >= 0 {
					o.Death = t.Nodes[parent].Similarity
				}
				unions[i].Origins = append(unions[i].Origins, o)
			}
			unions[i].Similarity = max(unions[i].Similarity, p.Similarity)
		}
	}
	return unions, values
}

// log2 is the logarithm, interpolated between powers of two.
func log2(v float64) float64 {
	low := math.Floor(math.Log2(v))
	return low + v/math.Exp2(low) - 1
}

func TestAddUnionsEqualsReference(t *testing.T) {
	trees := candidates.Collect(t, scene.Render(3, 160, 120, 6).Image).Trees
	var set candidate.Set // reused: a result must not depend on the one before
	rapid.Check(t, func(t *rapid.T) {
		ctx := context.Background()
		set.Trees = trees[:rapid.IntRange(1, len(trees)).Draw(t, "trees")]
		minSide := rapid.SampledFrom([]int{0, 5, 20}).Draw(t, "side")
		n := rapid.Int32Range(1, 3).Draw(t, "keep")
		keep := func(b box.Box) bool { return b.X0%n == 0 }
		limit := rapid.OneOf(rapid.IntRange(0, 50), rapid.Just(1<<17)).Draw(t, "limit")
		if err := set.Collect(ctx, minSide, keep); err != nil {
			t.Fatal(err)
		}
		first := len(set.Candidates)
		all, values := referenceUnions(&set, minSide, keep)
		if err := set.AddUnions(ctx, limit, minSide, keep); err != nil {
			t.Fatal(err)
		}
		got := set.Candidates[first:]
		if want := min(limit, len(all)); len(got) != want {
			t.Fatalf("got %d unions, want %d", len(got), want)
		}
		selected, others := math.Inf(-1), math.Inf(1)
		for i, u := range all {
			if len(got) > 0 && reflect.DeepEqual(got[0], u) {
				got = got[1:]
				selected = max(selected, values[i])
			} else {
				others = min(others, values[i])
			}
		}
		if len(got) > 0 {
			t.Fatalf("%d unions are not those of the reference, or in another order: the first is %v", len(got), got[0])
		}
		if selected > others+1e-4 { // values are rounded
			t.Fatalf("selected a union of value %v, but not one of %v", selected, others)
		}
	})
}

func TestAddUnionsIsCanceled(t *testing.T) {
	set := candidates.Collect(t, scene.Render(3, 160, 120, 6).Image)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := set.AddUnions(ctx, math.MaxInt16, 0, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want %v", err, context.Canceled)
	}
}
