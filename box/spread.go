package box

import (
	"context"
	"fmt"
	"math"
	"slices"
)

// SpreadFrom is the IoU from which boxes take from each other's worth.
const SpreadFrom = 0.5

// Spread is the order in which boxes are best taken, of which any beginning is of use by
// itself: the next is the one that adds the most to those before it. Worths, by box, are
// at least 0, as the probability to hold an object. A box loses the part IoU^exponent of what it
// is still worth to each box before it that it overlaps by SpreadFrom or more.
//
// That is Soft-NMS (Bodla et al., ICCV 2017) with a power of the IoU; nothing is dropped.
// From limit boxes on (0: all) boxes follow by what they are worth then, if rest is true. Equal
// worths are taken by their numbers. Worth, by place in the order, is what a box was taken for: it
// does not rise.
// It panics if worths and boxes are not as many or the exponent is not above 0; the only
// errors are the context's.
func Spread(ctx context.Context, boxes []Box, worths []float32, exponent, limit int, rest bool) (order []int32, worth []float32, err error) {
	if len(boxes) != len(worths) || exponent < 1 {
		panic(fmt.Sprintf("box: Spread: %d boxes, %d worths, exponent %v", len(boxes), len(worths), exponent))
	}
	if limit <= 0 || limit > len(boxes) {
		limit = len(boxes)
	}
	index := NewIndex(boxes)
	now := slices.Clone(worths)
	q := make(queue, len(boxes))
	for i, w := range worths {
		q[i] = wait(w, int32(i))
	}
	for i := len(q)/2 - 1; i >= 0; i-- {
		q.sink(i)
	}
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
			part := float32(1)
			for range exponent {
				part = float32(part * near.IoUs[k])
			}
			now[other] = float32(now[other] * (1 - min(part, 1)))
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
