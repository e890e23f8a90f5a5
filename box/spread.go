package box

import (
	"context"
	"fmt"
	"math"
	"slices"
)

// How boxes take from each other's worth.
const (
	// SpreadFrom is the IoU from which they do.
	SpreadFrom = 0.5
	// SpreadFirst is how many boxes are to be apart from one another; from there on what is
	// nearly one of them may be a better fit.
	SpreadFirst = 1000
)

// Spread is the order in which boxes are best taken, of which any beginning is of use by
// itself: the next is the one that adds the most to those before it. Worths, by box, are
// at least 0, as the probability to hold an object. A box loses the part IoU⁴ of what it
// is still worth to each box before it that it overlaps by SpreadFrom or more; among those
// that come after the first SpreadFirst, as if it had been IoU⁶ all the time.
//
// That is Soft-NMS (Bodla et al., ICCV 2017) with a power of the IoU that follows the
// number of boxes; nothing is dropped. From limit boxes on (0: all) boxes follow by what they are
// worth then, if rest is true. Equal worths are taken by their numbers. Worth, by place in the order,
// is what a box was taken for: it does not rise, for which all are scaled down at SpreadFirst.
// It panics if worths and boxes are not as many; the only errors are the context's.
func Spread(ctx context.Context, boxes []Box, worths []float32, limit int, rest bool) (order []int32, worth []float32, err error) {
	return spread(ctx, boxes, worths, SpreadFirst, limit, rest)
}

func spread(ctx context.Context, boxes []Box, worths []float32, first, limit int, rest bool) (order []int32, worth []float32, err error) {
	if len(boxes) != len(worths) {
		panic(fmt.Sprintf("box: Spread: %d boxes, %d worths", len(boxes), len(worths)))
	}
	if limit <= 0 || limit > len(boxes) {
		limit = len(boxes)
	}
	index := NewIndex(boxes)
	now, later := slices.Clone(worths), slices.Clone(worths)
	q := make(queue, len(boxes))
	for i := range q {
		q[i] = wait(now[i], int32(i))
	}
	q.order()
	var near Overlaps
	for polled := 0; len(order) < limit; polled++ {
		if polled%64 == 0 {
			if err := ctx.Err(); err != nil {
				return nil, nil, err
			}
		}
		id := q[0].id()
		if w := wait(now[id], id); w < q[0] { // it has lost since
			q[0] = w
			q.sink(0)
			continue
		}
		last := len(q) - 1
		q[0] = q[last]
		q = q[:last]
		q.sink(0)
		order, worth = append(order, id), append(worth, now[id])
		index.Near(&near, boxes[id], SpreadFrom)
		for k, other := range near.IDs {
			square := float32(near.IoUs[k] * near.IoUs[k])
			fourth := float32(square * square)
			later[other] = float32(later[other] * (1 - min(float32(fourth*square), 1)))
			if len(order) <= first {
				now[other] = float32(now[other] * (1 - min(fourth, 1)))
			}
		}
		if len(order) == first {
			now = later // from here on they are one
			q.scale(now, worth[first-1])
		}
	}
	if !rest {
		return order, worth, nil
	}
	for i, w := range q {
		q[i] = wait(now[w.id()], w.id())
	}
	slices.Sort(q)
	for _, w := range slices.Backward(q) {
		order, worth = append(order, w.id()), append(worth, now[w.id()])
	}
	return order, worth, nil
}

// waiting is a box that is not taken yet: what it was worth when last looked at, of which the
// bits have the order of the numbers, and what its number is short of the largest.
type waiting uint64

// wait takes −0 for 0.
func wait(worth float32, id int32) waiting {
	return waiting(math.Float32bits(worth+0))<<32 | waiting(math.MaxInt32-id)
}

func (w waiting) id() int32 { return math.MaxInt32 - int32(uint32(w)) }

// queue is a heap of boxes, of which some have lost worth since: they are found out when
// they come to the top.
type queue []waiting

// order makes a heap of it.
func (q queue) order() {
	for i := len(q)/2 - 1; i >= 0; i-- {
		q.sink(i)
	}
}

// scale has the boxes wait for what they are worth now, scaled so that none is worth more
// than most.
func (q queue) scale(now []float32, most float32) {
	top := most
	for _, w := range q {
		top = max(top, now[w.id()])
	}
	for i, w := range q {
		v := &now[w.id()]
		if top > most {
			*v = min(float32(*v*most)/top, most)
		}
		q[i] = wait(*v, w.id())
	}
	q.order()
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
