package box

import (
	"context"
	"fmt"
	"math"
	"slices"

	"github.com/proposer/proposer/internal/kernels"
)

// CoverageOrder is the order in which boxes are best taken, of which any beginning is of use by
// itself: the next is the one that adds the most to those before it. Worths, by box of the
// graph, are at least 0, as the probability to hold an object.
//
// Where many boxes overlap one another, one object is likely to be what all of them are worth.
// So each box stands for an object that may be there, with a mass of worth/crowd^¾, where the crowd
// is the sum of 2·IoU−1 with its neighbours, its own 1 among them. A box covers its neighbours up to
// 2·IoU−1, which is what average recall counts. It adds what it covers of their mass and those before
// it do not, times worth^¼: of those that cover as much, the one that is likelier by itself comes
// first, and one of no worth adds nothing.
//
// That is weighted coverage, of which the greedy order has at least 1−1/e of the best (Nemhauser,
// Wolsey and Fisher, 1978) where boxes add their mass alone. What a box adds only falls,
// so that it is looked at again when it seems the most, and not before (Minoux, 1978).
//
// From limit boxes on (0: all) boxes follow by what they add then, if rest is true. Equal
// ones are taken by their numbers. Worth, by place in the order, is what a box added: it does not
// rise. It panics if there are not as many worths as boxes; the only errors are the context's.
// Time is some dozen looks at a box's neighbours for each box that is taken, and two for each of
// the graph.
func CoverageOrder(ctx context.Context, g *Graph, worths []float32, limit int, rest bool) (order []int32, worth []float32, err error) {
	if g.Len() != len(worths) {
		panic(fmt.Sprintf("box: Cover: %d boxes, %d worths", g.Len(), len(worths)))
	}
	if limit <= 0 || limit > len(worths) {
		limit = len(worths)
	}
	c, q, err := newCover(ctx, g, worths)
	if err != nil {
		return nil, nil, err
	}
	for looks := 0; len(order) < limit; looks++ {
		if err := poll(ctx, looks); err != nil {
			return nil, nil, err
		}
		id := q[0].id()
		now := c.adds(c.places[id])
		if w := wait(now, id); w < q[0] { // others have taken from it since
			q[0] = w
			q.sink(0)
			continue
		}
		last := len(q) - 1
		q[0] = q[last]
		q = q[:last]
		q.sink(0)
		order, worth = append(order, id), append(worth, now)
		c.take(c.places[id])
	}
	if !rest {
		return order, worth, nil
	}
	for i, w := range q {
		if err := poll(ctx, i); err != nil {
			return nil, nil, err
		}
		q[i] = wait(c.adds(c.places[w.id()]), w.id())
	}
	slices.Sort(q)
	for _, w := range slices.Backward(q) {
		order, worth = append(order, w.id()), append(worth, w.worth())
	}
	return order, worth, nil
}

// cover is what is taken so far: all is by a box's place in the graph.
type cover struct {
	*Graph
	objects []kernels.Target // by the places that neighbours have: one that may be there, and has a box
	shares  []float32        // what a box adds of the mass that it covers
}

// newCover makes one with nothing taken, and has all boxes wait.
func newCover(ctx context.Context, g *Graph, worths []float32) (*cover, queue, error) {
	n := g.Len()
	c := &cover{g, make([]kernels.Target, (n+g.stride-1)/g.stride), make([]float32, n)}
	for i := range c.objects {
		place := i * g.stride
		root := math.Sqrt(float64(max(g.sums[place].crowd, 1)))
		c.objects[i].Weight = worths[g.order[place]] / (mostCover * float32(root*math.Sqrt(root)))
	}
	q := make(queue, n)
	for place, id := range g.order {
		if err := poll(ctx, place); err != nil {
			return nil, nil, err
		}
		c.shares[place] = float32(math.Sqrt(math.Sqrt(float64(worths[id]))))
		q[place] = wait(c.adds(int32(place)), id)
	}
	q.order()
	return c, q, nil
}

// adds is what a box adds to those that are taken. It never rises: nor does any sum of numbers
// that do not, however it is rounded.
func (c *cover) adds(place int32) float32 {
	return kernels.CoverageGain(c.row(int(place)), c.objects) * c.shares[place]
}

func (c *cover) take(place int32) {
	for _, e := range c.row(int(place)) {
		o := &c.objects[e>>kernels.CoverageBits]
		o.Covered = max(o.Covered, int32(e&mostCover))
	}
}

// poll looks at the context now and then: i counts the rounds of a loop.
func poll(ctx context.Context, i int) error {
	if i%64 == 0 {
		return ctx.Err()
	}
	return nil
}

// waiting is a box that is not taken yet: what it added when last looked at, of which the
// bits have the order of the numbers, and what its number is short of the largest.
type waiting uint64

// wait takes −0 for 0.
func wait(worth float32, id int32) waiting {
	return waiting(math.Float32bits(worth+0))<<32 | waiting(math.MaxInt32-id)
}

func (w waiting) id() int32 { return math.MaxInt32 - int32(uint32(w)) }

func (w waiting) worth() float32 { return math.Float32frombits(uint32(w >> 32)) }

// queue is a heap of boxes, some of which would add less than they say: they are found out when
// they come to the top.
type queue []waiting

// order makes a heap of it.
func (q queue) order() {
	for i := len(q)/2 - 1; i >= 0; i-- {
		q.sink(i)
	}
}

// sink moves a box down to where it belongs.
func (q queue) sink(i int) {
	if i >= len(q) {
		return
	}
	w := q[i]
	for {
		child := 2*i + 1
		if child >= len(q) {
			break
		}
		if child+1 < len(q) && q[child+1] > q[child] {
			child++
		}
		if q[child] <= w {
			break
		}
		q[i] = q[child]
		i = child
	}
	q[i] = w
}
