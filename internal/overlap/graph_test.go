package overlap

import (
	"context"
	"errors"
	"math"
	"slices"
	"sync"
	"testing"

	"pgregory.net/rapid"

	"github.com/proposer/proposer/box"
)

// concurrent is a runner that makes all calls at the same time, the last one first.
func concurrent(n int, f func(i int) error) error {
	errs := make([]error, n)
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() { errs[n-1-i] = f(n - 1 - i) })
	}
	wg.Wait()
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

func build(tb rapid.TB, boxes []box.Box) *Graph {
	g := new(Graph)
	if err := g.Build(context.Background(), boxes, nil); err != nil {
		tb.Fatal(err)
	}
	return g
}

func drawBoxes(t *rapid.T) []box.Box {
	return rapid.SliceOfN(rapid.Custom(func(t *rapid.T) box.Box {
		x, y := rapid.Int32Range(0, 80).Draw(t, "x"), rapid.Int32Range(0, 80).Draw(t, "y")
		w, h := rapid.Int32Range(0, 60).Draw(t, "w"), rapid.Int32Range(0, 60).Draw(t, "h")
		return box.Box{X0: x, Y0: y, X1: x + w, Y1: y + h}
	}), 1, 60).Draw(t, "boxes")
}

// referenceRow compares a box with every box that may be a neighbor.
func referenceRow(g *Graph, b box.Box) (targets []int32, h Histogram, density float64) {
	for pos := 0; pos < len(g.boxes); pos += g.stride {
		iou := b.IoU(g.boxes[pos])
		if iou < MinIoU {
			continue
		}
		targets = append(targets, int32(pos))
		h[min(int(5*math.Round((2*iou-1)*maxCoverage)/maxCoverage), 4)] += int32(g.stride)
		density += 2*iou - 1
	}
	return targets, h, density
}

// countEdges returns the number of edges that boxes in an order have with a stride.
func countEdges(ordered []box.Box, stride int) (n int64) {
	for _, b := range ordered {
		for pos := 0; pos < len(ordered); pos += stride {
			if b.IoU(ordered[pos]) >= MinIoU {
				n++
			}
		}
	}
	return n
}

func TestGraphEqualsPairwiseComparison(t *testing.T) {
	var g Graph // reuses its memory
	rapid.Check(t, func(t *rapid.T) {
		// More than blockSize boxes are more than one unit of work.
		boxes := slices.Repeat(drawBoxes(t), rapid.SampledFrom([]int{1, 1, 10}).Draw(t, "times"))
		limit := rapid.SampledFrom([]int64{0, 1, 10, 100, maxEdges}).Draw(t, "limit")
		first := rapid.OneOf(rapid.Just(len(boxes)), rapid.IntRange(0, len(boxes))).Draw(t, "first")
		if err := g.build(context.Background(), boxes[:first], limit, concurrent); err != nil {
			t.Fatal(err)
		}
		if first < len(boxes) {
			// Extended again, the graph is built of all boxes.
			second := rapid.OneOf(rapid.Just(len(boxes)), rapid.IntRange(first, len(boxes))).Draw(t, "second")
			for _, added := range [][]box.Box{boxes[first:second], boxes[second:]} {
				if err := g.extend(context.Background(), added, limit, concurrent); err != nil {
					t.Fatal(err)
				}
			}
		}
		if g.Len() != len(boxes) {
			t.Fatalf("Len: got %d, want %d", g.Len(), len(boxes))
		}
		ids := slices.Sorted(slices.Values(g.ids))
		for i, id := range ids {
			if int(id) != i {
				t.Fatalf("ids: got %v, want a permutation", g.ids)
			}
		}
		for pos, id := range g.ids {
			if g.boxes[pos] != boxes[id] {
				t.Fatalf("position %d: got %v, want box %d, %v", pos, g.boxes[pos], id, boxes[id])
			}
		}

		edges := countEdges(g.boxes, g.stride)
		if edges > limit && g.stride < len(boxes) {
			t.Fatalf("stride %d: got %d edges, want at most %d", g.stride, edges, limit)
		}
		if g.stride > 1 && countEdges(g.boxes, g.stride/2) <= limit {
			t.Fatalf("stride %d: want %d, which has at most %d edges", g.stride, g.stride/2, limit)
		}
		if size := g.EdgeBytes(); size < 4*int(edges) {
			t.Fatalf("EdgeBytes: got %d for %d edges, want %d or more", size, edges, 4*edges)
		}
		for pos := range g.boxes {
			checkRow(t, &g, pos)
		}
	})
}

func checkRow(t *rapid.T, g *Graph, pos int) {
	b := g.boxes[pos]
	var targets []int32
	for _, e := range g.row(pos) {
		target := int(edgeTarget(e)) * g.stride
		targets = append(targets, int32(target))
		want := (2*b.IoU(g.boxes[target]) - 1) * maxCoverage
		if got := float64(edgeCoverage(e)); math.Abs(got-want) > .51 {
			t.Fatalf("edge from %d to %d: got coverage %v, want %v", pos, target, got, want)
		}
	}
	slices.Sort(targets)
	wantTargets, wantHistogram, wantDensity := referenceRow(g, b)
	if !slices.Equal(targets, wantTargets) {
		t.Fatalf("position %d: got neighbors %v, want %v", pos, targets, wantTargets)
	}
	if density := float64(g.stats[pos].density); math.Abs(density-wantDensity) > float64(len(targets))/maxCoverage {
		t.Fatalf("position %d: got density %v, want %v", pos, density, wantDensity)
	}
	if slices.Contains(targets, int32(pos)) {
		wantHistogram[len(wantHistogram)-1] -= int32(g.stride) // the box itself does not count
	}
	if got := g.Histogram(int(g.ids[pos])); got != wantHistogram {
		t.Fatalf("position %d: got histogram %v, want %v", pos, got, wantHistogram)
	}
}

func TestBuildReturnsErrors(t *testing.T) {
	boxes := make([]box.Box, 10)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := new(Graph).Build(ctx, boxes, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("canceled: got %v, want %v", err, context.Canceled)
	}
	failed := errors.New("failed")
	err := new(Graph).Build(context.Background(), boxes, func(int, func(int) error) error { return failed })
	if !errors.Is(err, failed) {
		t.Errorf("failing runner: got %v, want %v", err, failed)
	}
}

func TestEmptyGraph(t *testing.T) {
	g := build(t, nil)
	order, gains, err := CoverageOrder(t.Context(), g, nil, 0, true)
	if g.Len() != 0 || len(order) != 0 || len(gains) != 0 || err != nil {
		t.Errorf("got %d boxes in order %v, %v, want none", g.Len(), order, err)
	}
}
