package box

import (
	"context"
	"errors"
	"math"
	"slices"
	"sync"
	"testing"

	"pgregory.net/rapid"

	"github.com/proposer/proposer/internal/kernels"
)

// serial does pieces of work one after the other.
func serial(n int, work func(i int) error) error {
	for i := range n {
		if err := work(i); err != nil {
			return err
		}
	}
	return nil
}

// concurrently does them at the same time, the last one first.
func concurrently(n int, work func(i int) error) error {
	errs := make([]error, n)
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() { errs[n-1-i] = work(n - 1 - i) })
	}
	wg.Wait()
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

func join(t interface{ Fatal(...any) }, boxes []Box) *Graph {
	g := new(Graph)
	if err := g.Build(context.Background(), boxes, serial); err != nil {
		t.Fatal(err)
	}
	return g
}

// The graph finds what a look at every box finds, and keeps to its bounds.
func TestGraph(t *testing.T) {
	var again Graph // keeps the memory of those before
	rapid.Check(t, func(t *rapid.T) {
		// Many are more than one piece of work.
		boxes := slices.Repeat(drawBoxes(t), rapid.SampledFrom([]int{1, 1, 10}).Draw(t, "times"))
		most := rapid.SampledFrom([]int64{0, 1, 10, 100, mostEdges}).Draw(t, "most")
		if err := again.build(context.Background(), boxes, most, concurrently); err != nil {
			t.Fatal(err)
		}
		if again.Len() != len(boxes) {
			t.Fatalf("a graph of %d boxes; want %d", again.Len(), len(boxes))
		}
		edges := func(stride int) (n int64) {
			for _, b := range boxes {
				for place := 0; place < len(boxes); place += stride {
					if b.IoU(boxes[again.order[place]]) >= GraphMinIoU {
						n++
					}
				}
			}
			return n
		}
		stride := again.stride
		if edges(stride) > most && stride < len(boxes) || stride > 1 && edges(stride/2) <= most {
			t.Fatalf("stride %d: %d edges, with half of it %d; want at most %d", stride, edges(stride), edges(stride/2), most)
		}
		for place, id := range again.order {
			b := boxes[id]
			var want []int32
			for other := 0; other < len(boxes); other += stride {
				if b.IoU(boxes[again.order[other]]) >= GraphMinIoU {
					want = append(want, int32(other))
				}
			}
			var votes OverlapHistogram
			crowd := 0.
			var got []int32
			for _, e := range again.row(place) {
				other, covers := int(e>>kernels.CoverageBits)*stride, float64(e&mostCover)
				iou := b.IoU(boxes[again.order[other]])
				if want := (2*iou - 1) * mostCover; math.Abs(covers-want) > .51 {
					t.Fatalf("boxes %d and %d: covered %v of %v; want %v", place, other, covers, mostCover, want)
				}
				if other != place {
					votes[min(int(5*math.Round((2*iou-1)*mostCover)/mostCover), 4)] += int32(stride)
				}
				crowd += 2*iou - 1
				got = append(got, int32(other))
			}
			if got := again.Histogram(int(id)); got != votes {
				t.Fatalf("box %d: votes %v; want %v", id, got, votes)
			}
			if v := float64(again.sums[place].crowd); math.Abs(v-crowd) > float64(len(got))/mostCover {
				t.Fatalf("box %d: a crowd of %v; want %v", id, v, crowd)
			}
			slices.Sort(got)
			if !slices.Equal(got, want) {
				t.Fatalf("box %d: neighbours %v; want %v", place, got, want)
			}
		}
		if n := 4 * int(edges(stride)); again.EdgeBytes() < n {
			t.Fatalf("%d bytes of %d edges; want %d", again.EdgeBytes(), edges(stride), n)
		}
		ids := slices.Clone(again.order)
		slices.Sort(ids)
		for i, id := range ids {
			if int(id) != i {
				t.Fatalf("boxes %v", again.order)
			}
		}
	})
}

func TestGraphIsCancelled(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := new(Graph).Build(ctx, make([]Box, 10), serial); err != context.Canceled {
		t.Errorf("%v; want %v", err, context.Canceled)
	}
	oops := errors.New("oops")
	err := new(Graph).Build(context.Background(), make([]Box, 10), func(int, func(int) error) error { return oops })
	if err != oops {
		t.Errorf("%v; want %v", err, oops)
	}
}

func drawBoxes(t *rapid.T) []Box {
	return rapid.SliceOfN(rapid.Custom(func(t *rapid.T) Box {
		x, y := rapid.Int32Range(0, 80).Draw(t, "x"), rapid.Int32Range(0, 80).Draw(t, "y")
		return Box{x, y, x + rapid.Int32Range(0, 60).Draw(t, "w"), y + rapid.Int32Range(0, 60).Draw(t, "h")}
	}), 1, 60).Draw(t, "boxes")
}

// The index finds what a look at every box finds.
func TestNear(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		boxes := drawBoxes(t)
		least := rapid.SampledFrom([]float64{.05, .3, .5, .7, .95, 1}).Draw(t, "least")
		index := NewIndex(boxes)
		var near Overlaps
		for i, b := range boxes {
			var want []int32
			for j, c := range boxes {
				// At the very bound a float32 may fall on either side.
				if iou := b.IoU(c); !b.Empty() && iou >= least && math.Abs(iou-least) > 1e-6 {
					want = append(want, int32(j))
				}
			}
			var got []int32
			index.Near(&near, b, least)
			for k, id := range near.IDs {
				iou := b.IoU(boxes[id])
				if math.Abs(float64(near.IoUs[k])-iou) > 1e-6 {
					t.Fatalf("IoU %v of %v and %v: want %v", near.IoUs[k], b, boxes[id], iou)
				}
				if math.Abs(iou-least) > 1e-6 {
					got = append(got, id)
				}
			}
			slices.Sort(got)
			if !slices.Equal(got, want) {
				t.Fatalf("near box %d %v: %v; want %v", i, b, got, want)
			}
		}
	})
}

// Cover does what its sentences say, one box at a time.
func TestCoverIsTheLiteralLoop(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		boxes := drawBoxes(t)
		worths := rapid.SliceOfN(rapid.SampledFrom([]float32{0, .1, .25, .5, .9, 1}), len(boxes), len(boxes)).Draw(t, "worths")
		limit := rapid.IntRange(0, len(boxes)+1).Draw(t, "limit")
		order, worth, err := CoverageOrder(context.Background(), join(t, boxes), worths, limit, true)
		if err != nil {
			t.Fatal(err)
		}
		covers := func(b, c int) float64 { return max(2*boxes[b].IoU(boxes[c])-1, 0) }
		mass := make([]float64, len(boxes))
		for i := range boxes {
			crowd := 0.
			for j := range boxes {
				crowd += covers(i, j)
			}
			mass[i] = float64(worths[i]) / math.Pow(max(crowd, 1), .75)
		}
		covered := make([]float64, len(boxes))
		adds := func(i int) float64 {
			left := 0.
			for j := range boxes {
				left += mass[j] * max(covers(i, j)-covered[j], 0)
			}
			return left * math.Pow(float64(worths[i]), .25)
		}
		if limit == 0 {
			limit = len(boxes)
		}
		const rounding = 1. / mostCover
		taken := make([]bool, len(boxes))
		for place, got := range order {
			if place > 0 && worth[place] > worth[place-1] {
				t.Fatalf("place %d: %v after %v", place, worth[place], worth[place-1])
			}
			if v := adds(int(got)); math.Abs(v-float64(worth[place])) > rounding {
				t.Fatalf("place %d: box %d adds %v; want %v", place, got, worth[place], v)
			}
			for i := range boxes {
				if v := adds(i); !taken[i] && v > float64(worth[place])+rounding {
					t.Fatalf("place %d: box %d for %v; want box %d for %v", place, got, worth[place], i, v)
				}
			}
			if taken[got] {
				t.Fatalf("box %d twice", got)
			}
			taken[got] = true
			if place < limit {
				for j := range boxes {
					covered[j] = max(covered[j], covers(int(got), j))
				}
			}
		}
		if len(order) != len(boxes) {
			t.Fatalf("%d of %d boxes", len(order), len(boxes))
		}
		short, _, err := CoverageOrder(context.Background(), join(t, boxes), worths, limit, false)
		if err != nil || !slices.Equal(short, order[:min(limit, len(boxes))]) {
			t.Fatalf("%v, %v without the rest; want the first %d of %v", short, err, limit, order)
		}
	})
}

// Where several boxes tell of the same object, the one in their midst comes first, and then
// something else.
func TestCoverTakesTheMidst(t *testing.T) {
	boxes := []Box{{10, 10, 50, 50}, {14, 10, 54, 50}, {18, 10, 58, 50}, {100, 100, 140, 140}}
	order, _, err := CoverageOrder(context.Background(), join(t, boxes), []float32{.5, .5, .5, .55}, 0, true)
	if want := []int32{1, 3}; err != nil || !slices.Equal(order[:2], want) {
		t.Errorf("%v, %v; want %v first", order, err, want)
	}
}

func TestCoverIsCancelled(t *testing.T) {
	g := join(t, make([]Box, 10))
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, _, err := CoverageOrder(ctx, g, make([]float32, 10), 0, true); err != context.Canceled {
		t.Errorf("%v; want %v", err, context.Canceled)
	}
}
