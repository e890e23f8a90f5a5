package overlap

import (
	"context"
	"errors"
	"math"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/proposer/proposer/box"
)

// referenceCoverage evaluates the formulas of CoverageOrder for all pairs of boxes.
type referenceCoverage struct {
	boxes   []box.Box
	scores  []float32
	weights []float64
	covered []float64
}

func newReferenceCoverage(boxes []box.Box, scores []float32) *referenceCoverage {
	r := &referenceCoverage{boxes, scores, make([]float64, len(boxes)), make([]float64, len(boxes))}
	for i := range boxes {
		density := 0.
		for j := range boxes {
			density += r.coverage(i, j)
		}
		r.weights[i] = math.Pow(float64(scores[i])/max(density, 1), .75)
	}
	return r
}

func (r *referenceCoverage) coverage(i, j int) float64 {
	return max(2*r.boxes[i].IoU(r.boxes[j])-1, 0)
}

func (r *referenceCoverage) gain(i int) float64 {
	sum := 0.
	for j := range r.boxes {
		sum += r.weights[j] * max(r.coverage(i, j)-r.covered[j], 0)
	}
	return sum * math.Pow(float64(r.scores[i]), .25)
}

func (r *referenceCoverage) add(i int) {
	for j := range r.boxes {
		r.covered[j] = max(r.covered[j], r.coverage(i, j))
	}
}

func TestCoverageOrderIsGreedy(t *testing.T) {
	const rounding = 1. / maxCoverage
	rapid.Check(t, func(t *rapid.T) {
		boxes := drawBoxes(t)
		scores := rapid.SliceOfN(rapid.SampledFrom([]float32{0, .1, .25, .5, .9, 1}), len(boxes), len(boxes)).Draw(t, "scores")
		k := rapid.IntRange(0, len(boxes)+1).Draw(t, "k")
		order, gains, err := CoverageOrder(context.Background(), build(t, boxes), scores, k, true)
		if err != nil {
			t.Fatal(err)
		}
		if len(order) != len(boxes) || len(gains) != len(boxes) {
			t.Fatalf("got %d boxes with %d gains, want %d", len(order), len(gains), len(boxes))
		}
		if k == 0 {
			k = len(boxes)
		}

		r := newReferenceCoverage(boxes, scores)
		chosen := make([]bool, len(boxes))
		for at, id := range order {
			gain := float64(gains[at])
			if at > 0 && gains[at] > gains[at-1] {
				t.Fatalf("rank %d: gain %v is above the one before, %v", at, gain, gains[at-1])
			}
			if chosen[id] {
				t.Fatalf("rank %d: box %d is there twice", at, id)
			}
			if want := r.gain(int(id)); math.Abs(gain-want) > rounding {
				t.Fatalf("rank %d, box %d: got gain %v, want %v", at, id, gain, want)
			}
			for i := range boxes {
				if other := r.gain(i); !chosen[i] && other > gain+rounding {
					t.Fatalf("rank %d: got box %d with gain %v, want box %d with %v", at, id, gain, i, other)
				}
			}
			chosen[id] = true
			if at < k {
				r.add(int(id))
			}
		}

		prefix, _, err := CoverageOrder(context.Background(), build(t, boxes), scores, k, false)
		if want := order[:min(k, len(boxes))]; err != nil || !slices.Equal(prefix, want) {
			t.Fatalf("without the rest: got %v, %v, want %v", prefix, err, want)
		}
	})
}

func TestCoverageOrderPrefersTheCenterOfACluster(t *testing.T) {
	boxes := []box.Box{
		{X0: 10, Y0: 10, X1: 50, Y1: 50},
		{X0: 14, Y0: 10, X1: 54, Y1: 50},
		{X0: 18, Y0: 10, X1: 58, Y1: 50},
		{X0: 100, Y0: 100, X1: 140, Y1: 140},
	}
	order, _, err := CoverageOrder(t.Context(), build(t, boxes), []float32{.5, .5, .5, .55}, 0, true)
	if want := []int32{1, 3}; err != nil || !slices.Equal(order[:2], want) {
		t.Errorf("got %v, %v, want %v first", order, err, want)
	}
}

func TestCoverageOrderBreaksTiesByID(t *testing.T) {
	boxes := slices.Repeat([]box.Box{{X0: 10, Y0: 10, X1: 50, Y1: 50}}, 5)
	order, _, err := CoverageOrder(t.Context(), build(t, boxes), []float32{.5, .5, .5, .5, .5}, 0, true)
	if want := []int32{0, 1, 2, 3, 4}; err != nil || !slices.Equal(order, want) {
		t.Errorf("got %v, %v, want %v", order, err, want)
	}
}

func TestCoverageOrderIsCanceled(t *testing.T) {
	g := build(t, make([]box.Box, 10))
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, _, err := CoverageOrder(ctx, g, make([]float32, 10), 0, true); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want %v", err, context.Canceled)
	}
}
