package hierarchy

import "math"

// queueEntry is a pair's similarity and, below it, its number turned over: as
// one integer, the larger is the more similar, and of equals the older. The bits
// of floats that are not negative are in the order of their values.
type queueEntry uint64

func entry(similarity float32, pair int) queueEntry {
	return queueEntry(math.Float32bits(similarity))<<32 | queueEntry(^uint32(pair))
}

func (e queueEntry) similarity() float32 { return math.Float32frombits(uint32(e >> 32)) }
func (e queueEntry) pair() uint32        { return ^uint32(e) }

// queue is a binary heap with the largest entry first. The entries are plain
// integers, which container/heap would box one by one.
type queue []queueEntry

func (q *queue) push(e queueEntry) {
	h := append(*q, e)
	i := len(h) - 1
	for i > 0 {
		up := (i - 1) / 2
		if h[up] >= e {
			break
		}
		h[i] = h[up]
		i = up
	}
	h[i] = e
	*q = h
}

func (q *queue) pop() queueEntry {
	h := *q
	top, e := h[0], h[len(h)-1]
	h = h[:len(h)-1]
	*q = h
	if len(h) == 0 {
		return top
	}
	i := 0
	for {
		c := 2*i + 1
		if c >= len(h) {
			break
		}
		if c+1 < len(h) && h[c+1] > h[c] {
			c++
		}
		if h[c] <= e {
			break
		}
		h[i] = h[c]
		i = c
	}
	h[i] = e
	return top
}
