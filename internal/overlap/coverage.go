package overlap

import (
	"context"
	"fmt"
	"math"
	"slices"

	"github.com/proposer/proposer/internal/kernels"
	"github.com/proposer/proposer/internal/parallel"
)

// CoverageOrder returns an order of the boxes of g in which every prefix is useful by itself: each
// box is the one that adds the most to the boxes before it. Scores are by id and at least 0, as the
// probabilities to contain an object. CoverageOrder panics if there is not one for each box.
//
// Heavily overlapping boxes usually score high because of the same object, so they share their
// scores. Let the coverage of boxes i and j be c(i,j) = max(0, 2·IoU−1), which is what average
// recall integrates. Box j stands for an object that may be there, of weight
//
//	w(j) = (score(j) / Σᵢ c(i,j))^¾
//
// where the sum includes c(j,j) = 1. Given the set S of the boxes before it, box i has the gain
//
//	gain(i|S) = score(i)^¼ · Σⱼ w(j) · max(0, c(i,j) − max{c(s,j) : s ∈ S})
//
// The factor score^¼ prefers the box with the higher score among those that cover the same objects.
// Without it this is weighted coverage, for which the greedy order has at least 1−1/e of the optimum
// (Nemhauser, Wolsey and Fisher, 1978). As gains never increase, a box is evaluated again only when
// it comes to the top of the queue (Minoux, 1978).
//
// After k boxes (0: all) the order ends, or, if includeRest is true, continues with all other boxes
// by their gains at that point. Ties are broken by id. Gains are by position in the order and do not
// increase. The only errors are the context's. The time is linear in the edges of g, plus about a
// dozen visits to the neighbors of each of the k boxes.
func CoverageOrder(
	ctx context.Context, g *Graph, scores []float32, k int, includeRest bool,
) (order []int32, gains []float32, err error) {
	if g.Len() != len(scores) {
		panic(fmt.Sprintf("overlap: CoverageOrder: %d boxes, %d scores", g.Len(), len(scores)))
	}
	if k <= 0 || k > len(scores) {
		k = len(scores)
	}
	c := newCoverage(g, scores)
	q, err := c.queue(ctx)
	if err != nil {
		return nil, nil, err
	}

	for evaluated := 0; len(order) < k; evaluated++ {
		if err := parallel.Poll(ctx, evaluated, pollEvery); err != nil {
			return nil, nil, err
		}
		id := q[0].id()
		gain := c.gain(g.positions[id])
		if item := newLazyItem(gain, id); item < q[0] { // the gain has decreased since
			q[0] = item
			q.siftDown(0)
			continue
		}
		last := len(q) - 1
		q[0] = q[last]
		q = q[:last]
		q.siftDown(0)
		order = append(order, id)
		gains = append(gains, gain)
		c.add(g.positions[id])
	}
	if !includeRest {
		return order, gains, nil
	}

	for i, item := range q {
		if err := parallel.Poll(ctx, i, pollEvery); err != nil {
			return nil, nil, err
		}
		q[i] = newLazyItem(c.gain(g.positions[item.id()]), item.id())
	}
	slices.Sort(q)
	for _, item := range slices.Backward(q) {
		order = append(order, item.id())
		gains = append(gains, item.gain())
	}
	return order, gains, nil
}

// coverage is how much of each object the boxes of an order cover so far.
type coverage struct {
	graph   *Graph
	targets []kernels.Target // by target of an edge: the object that its box stands for
	factors []float32        // by position: score^¼
}

func newCoverage(g *Graph, scores []float32) *coverage {
	n := g.Len()
	c := &coverage{
		graph:   g,
		targets: make([]kernels.Target, (n+g.stride-1)/g.stride),
		factors: make([]float32, n),
	}
	for i := range c.targets {
		pos := i * g.stride
		root := math.Sqrt(float64(scores[g.ids[pos]] / max(g.stats[pos].density, 1)))
		c.targets[i].Weight = float32(root*math.Sqrt(root)) / maxCoverage
	}
	for pos, id := range g.ids {
		c.factors[pos] = float32(math.Sqrt(math.Sqrt(float64(scores[id]))))
	}
	return c
}

// queue returns a heap of all boxes.
func (c *coverage) queue(ctx context.Context) (lazyQueue, error) {
	q := make(lazyQueue, len(c.graph.ids))
	for pos, id := range c.graph.ids {
		if err := parallel.Poll(ctx, pos, pollEvery); err != nil {
			return nil, err
		}
		q[pos] = newLazyItem(c.gain(int32(pos)), id)
	}
	for i := len(q)/2 - 1; i >= 0; i-- {
		q.siftDown(i)
	}
	return q, nil
}

// gain returns the gain of the box at a position. It never increases, also when rounded: the terms of
// the sum do not, and rounded sums and products are monotone.
func (c *coverage) gain(pos int32) float32 {
	return kernels.CoverageGain(c.graph.row(int(pos)), c.targets) * c.factors[pos]
}

// add adds the box at a position to those that cover.
func (c *coverage) add(pos int32) {
	for _, e := range c.graph.row(int(pos)) {
		t := &c.targets[edgeTarget(e)]
		t.Covered = max(t.Covered, int32(edgeCoverage(e)))
	}
}

// lazyItem is a box with an upper bound of its gain: the gain when it was last evaluated. The bits
// of the float32, which are ordered like the number, are above MaxInt32−id, so that the larger item
// has the larger gain or, of equal ones, the smaller id.
type lazyItem uint64

func newLazyItem(gain float32, id int32) lazyItem {
	gain += 0 // −0 becomes 0
	return lazyItem(math.Float32bits(gain))<<32 | lazyItem(math.MaxInt32-id)
}

func (item lazyItem) id() int32 { return math.MaxInt32 - int32(uint32(item)) }

func (item lazyItem) gain() float32 { return math.Float32frombits(uint32(item >> 32)) }

// lazyQueue is a max-heap.
type lazyQueue []lazyItem

// siftDown restores the heap below i.
func (q lazyQueue) siftDown(i int) {
	if i >= len(q) {
		return
	}
	item := q[i]
	for {
		child := 2*i + 1
		if child >= len(q) {
			break
		}
		if child+1 < len(q) && q[child+1] > q[child] {
			child++
		}
		if q[child] <= item {
			break
		}
		q[i] = q[child]
		i = child
	}
	q[i] = item
}
