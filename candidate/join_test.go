package candidate

import (
	"context"
	"errors"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/proposer/proposer/box"
)

// referenceJoins returns the pairs that AddJoins joins, and their boxes.
func referenceJoins(s *Set, order []int32, limit, minSide int, keep func(box.Box) bool) (pairs [][2]int32, boxes []box.Box) {
	for _, c := range s.Candidates {
		boxes = append(boxes, c.Box)
	}
	for i, seed := range order {
		var partners []int32
		for _, other := range order[:i] {
			if iou := boxes[seed].IoU(boxes[other]); iou >= .1 && iou <= .9 {
				partners = append(partners, other)
			}
		}
		for _, other := range partners[:min(MaxPartners, len(partners))] {
			b := boxes[seed].Union(boxes[other])
			if !slices.Contains(boxes, b) && min(b.Width(), b.Height()) >= int32(minSide) && keep(b) && len(pairs) < limit {
				pairs = append(pairs, [2]int32{other, seed})
				boxes = append(boxes, b)
			}
		}
	}
	return pairs, boxes
}

func TestAddJoinsEqualsReference(t *testing.T) {
	var s Set // reuses its memory
	rapid.Check(t, func(t *rapid.T) {
		s.Candidates = s.Candidates[:0]
		known := map[box.Box]bool{}
		for i := range rapid.IntRange(0, 40).Draw(t, "candidates") {
			x, y := rapid.Int32Range(0, 30).Draw(t, "x"), rapid.Int32Range(0, 30).Draw(t, "y")
			w, h := rapid.Int32Range(1, 30).Draw(t, "w"), rapid.Int32Range(1, 30).Draw(t, "h")
			b := box.Box{X0: x, Y0: y, X1: x + w, Y1: y + h}
			if !known[b] {
				known[b] = true
				origins := []Origin{{Strategy: 0, Position: int32(i)}, {Strategy: 1, Position: int32(i)}, {Strategy: 1, Position: int32(i + 1)}}
				kind := rapid.SampledFrom([]Kind{FromTree, Union}).Draw(t, "kind")
				s.Candidates = append(s.Candidates, Candidate{Box: b, Origins: origins, Kind: kind})
			}
		}
		n := len(s.Candidates)
		if err := s.FindOverlaps(t.Context()); err != nil {
			t.Fatal(err)
		}
		var order []int32
		for i := range n {
			order = append(order, int32(i))
		}
		order = rapid.Permutation(order).Draw(t, "order")[:rapid.IntRange(0, n).Draw(t, "seeds")]
		limit := rapid.SampledFrom([]int{0, 1, 5, 1000}).Draw(t, "limit")
		minSide := rapid.SampledFrom([]int{0, 20}).Draw(t, "minSide")
		keep := func(b box.Box) bool { return b.Area()%5 != 0 }

		pairs, boxes := referenceJoins(&s, order, limit, minSide, keep)
		if err := s.AddJoins(t.Context(), order, limit, minSide, keep); err != nil {
			t.Fatal(err)
		}
		if len(s.Candidates) != len(boxes) {
			t.Fatalf("got %d candidates, want %d", len(s.Candidates), len(boxes))
		}
		for i, c := range s.Candidates {
			if c.Box != boxes[i] {
				t.Fatalf("candidate %d: got %v, want %v", i, c.Box, boxes[i])
			}
		}
		tail := s.Tail(n)
		for i, pair := range pairs {
			a, b, joined := &s.Candidates[pair[0]], &s.Candidates[pair[1]], &tail.Candidates[i]
			want := slices.Concat(a.region(), b.region())
			if joined.Kind != Joined || len(joined.Origins) != len(want) {
				t.Fatalf("%v of %v and %v", joined, a, b)
			}
			for _, o := range want {
				if !slices.Contains(joined.Origins, o) {
					t.Fatalf("%v: want origin %v", joined, o)
				}
			}
			for k, o := range joined.Origins[1:] {
				if o.Strategy < joined.Origins[k].Strategy {
					t.Fatalf("%v: want origins by tree", joined)
				}
			}
		}

		// The overlaps are those of all candidates.
		all := Set{Candidates: s.Candidates}
		if err := all.FindOverlaps(t.Context()); err != nil {
			t.Fatal(err)
		}
		for i := range s.Candidates {
			if got, want := s.OverlapHistogram(i), all.OverlapHistogram(i); got != want {
				t.Fatalf("overlaps of candidate %d: got %v, want %v", i, got, want)
			}
		}
		for i := range tail.Candidates {
			if got, want := tail.OverlapHistogram(i), all.OverlapHistogram(n+i); got != want {
				t.Fatalf("overlaps of joined candidate %d: got %v, want %v", i, got, want)
			}
		}
	})
}

func TestAddJoinsIsCanceled(t *testing.T) {
	s := Set{Candidates: []Candidate{
		{Box: box.Box{X1: 30, Y1: 10}, Origins: []Origin{{}}},
		{Box: box.Box{X0: 10, X1: 40, Y1: 10}, Origins: []Origin{{}}},
	}}
	if err := s.FindOverlaps(t.Context()); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.AddJoins(ctx, []int32{0, 1}, 1, 0, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want %v", err, context.Canceled)
	}
}
