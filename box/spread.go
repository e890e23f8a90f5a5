package box

import (
	"cmp"
	"container/heap"
	"context"
	"fmt"
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
// From limit boxes on (0: all) boxes follow by what they are worth then. Equal worths are
// taken by their numbers. Worth, by place in the order, is what a box was taken for: it
// does not rise.
// It panics if worths and boxes are not as many or the exponent is not above 0; the only
// errors are the context's.
func Spread(ctx context.Context, boxes []Box, worths []float32, exponent int, limit int) (order []int32, worth []float32, err error) {
	if len(boxes) != len(worths) || exponent < 1 {
		panic(fmt.Sprintf("box: Spread: %d boxes, %d worths, exponent %v", len(boxes), len(worths), exponent))
	}
	if limit <= 0 || limit > len(boxes) {
		limit = len(boxes)
	}
	index := NewIndex(boxes)
	q := queue{now: append([]float32(nil), worths...)}
	for i, w := range worths {
		q.items = append(q.items, waiting{w, int32(i)})
	}
	heap.Init(&q)
	var near Overlaps
	for polled := 0; len(order) < limit; polled++ {
		if polled%64 == 0 {
			if err := ctx.Err(); err != nil {
				return nil, nil, err
			}
		}
		top := &q.items[0]
		if now := q.now[top.id]; now < top.worth {
			top.worth = now
			heap.Fix(&q, 0)
			continue
		}
		id := top.id
		last := len(q.items) - 1
		q.Swap(0, last)
		q.items = q.items[:last]
		if last > 0 {
			heap.Fix(&q, 0)
		}
		order, worth = append(order, id), append(worth, q.now[id])
		index.Near(&near, boxes[id], SpreadFrom)
		for k, other := range near.IDs {
			part := float32(1)
			for range exponent {
				part = float32(part * near.IoUs[k])
			}
			q.now[other] = float32(q.now[other] * (1 - part))
		}
	}
	for i := range q.items {
		q.items[i].worth = q.now[q.items[i].id]
	}
	slices.SortFunc(q.items, func(a, b waiting) int {
		return cmp.Or(cmp.Compare(b.worth, a.worth), cmp.Compare(a.id, b.id))
	})
	for _, w := range q.items {
		order, worth = append(order, w.id), append(worth, w.worth)
	}
	return order, worth, nil
}

// waiting is a box that is not taken yet, and what it was worth when last looked at.
type waiting struct {
	worth float32
	id    int32
}

// queue is a heap of boxes, of which some have lost worth since: they are found out when
// they come to the top.
type queue struct {
	items []waiting
	now   []float32
}

func (q *queue) Len() int { return len(q.items) }

func (q *queue) Less(i, j int) bool {
	a, b := q.items[i], q.items[j]
	return a.worth > b.worth || a.worth == b.worth && a.id < b.id
}

func (q *queue) Swap(i, j int) { q.items[i], q.items[j] = q.items[j], q.items[i] }

// Push and Pop are of heap.Interface, and not used.
func (q *queue) Push(any) { panic("box: a queue does not grow") }
func (q *queue) Pop() any { panic("box: a queue is cut by its owner") }
