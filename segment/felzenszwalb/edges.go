package felzenszwalb

import (
	"cmp"
	"context"
	"math/bits"
	"slices"
	"unsafe"

	"github.com/proposer/proposer/internal/freelist"
	"github.com/proposer/proposer/internal/kernels"
)

// edge is an edge between two components.
type edge struct {
	rank uint64 // its key, and below it its number
	ends [2]int32
}

// edgeLister lists the edges between the components of the tiles.
type edgeLister struct {
	repeated [2][]uint8         // of two rows of cells, by column: a bit for each edge
	edges    []edge             // in groups, by the upper bits of their keys; those of a group in any order
	ends     [groups + 1]uint32 // by group: its end in edges
	listed   []edge             // and scratch memory
	sorter   sorter
}

// The weights of a group differ by at most a quarter. A group mostly fits the second-level cache.
const (
	groupBits  = 10
	groups     = 1 << groupBits
	groupShift = 31 - groupBits
)

// list lists the edges between components. Of those between the same two components only
// the first counts: when it is rejected, one of the two components has stopped growing (the paper's
// lemma 1), so the others are rejected as well. Many of the others are left out; the rest does no harm.
func (l *edgeLister) list(ctx context.Context, s *Segmenter) error {
	g, n := &s.grid, 0
	for i := range l.repeated {
		l.repeated[i] = freelist.Resize(l.repeated[i], s.width+1)
	}
	clear(l.ends[:])
	above, here := l.repeated[0], l.repeated[1] // from the cells left of the image on
	for y := -1; y < s.height; y++ {
		if err := ctx.Err(); err != nil {
			return err
		}
		above, here = here, above
		at := g.at(-1, y)
		kernels.RepeatedEdges(here, g.cells(at, len(here)), s.labels[at:][:s.width+2], s.labels[at+g.stride:][:s.width+2])
		if y < 0 {
			continue
		}
		l.listed = grow(l.listed, n+directions*s.width)
		at++
		// list lists the edges of a direction that are not repeated in any of two cells.
		list := func(direction, step int, a []uint8, aEdge uint, b []uint8, bEdge uint) {
			from, keys := s.labels[at:][:s.width], g.keys[direction][at:][:s.width]
			to := s.labels[at+step:][:s.width]
			a, b = a[:s.width], b[:s.width]
			first := edgeNumber(direction<<directionShift | at)
			for x, k := range keys {
				l.listed[n] = edge{uint64(k)<<32 | uint64(first+edgeNumber(x)), [2]int32{from[x], to[x]}}
				listed := less(k, noEdge) &^ uint32(a[x]>>aEdge|b[x]>>bEdge)
				l.ends[uint32(k)>>groupShift%groups] += listed
				n += int(listed)
			}
		}
		list(right, 1, here[1:], kernels.TopEdge, above[1:], kernels.BottomEdge)
		list(down, g.stride, here[1:], kernels.LeftEdge, here, kernels.RightEdge)
		list(downRight, g.stride+1, here[1:], kernels.DownRightEdge, here[1:], kernels.DownRightEdge)
		list(downLeft, g.stride-1, here, kernels.DownLeftEdge, here, kernels.DownLeftEdge)
	}
	l.listed = l.listed[:n]
	l.edges = freelist.Resize(l.edges, n)
	total := uint32(0)
	for i, count := range l.ends {
		l.ends[i] = total
		total += count
	}
	for i := range l.listed {
		end := &l.ends[l.listed[i].rank>>(32+groupShift)%groups]
		l.edges[*end] = l.listed[i]
		*end++
	}
	return ctx.Err()
}

// group returns the edges of a group, ascending.
func (l *edgeLister) group(g *grid, i int) []edge {
	start := uint32(0)
	if i > 0 {
		start = l.ends[i-1]
	}
	edges := l.edges[start:l.ends[i]]
	sortEdges(&l.sorter, edges, l.listed, func(number uint32) (edgeNumber, float64) {
		return edgeNumber(number), g.weight(edgeNumber(number))
	})
	return edges
}

// grow returns s with room for n elements and one more, all of which may be indexed.
func grow[T any](s []T, n int) []T {
	if n < len(s) {
		return s
	}
	s = slices.Grow(s, n+1-len(s))
	return s[:cap(s)]
}

// weightedEdge is an edge whose weight is known.
type weightedEdge[T any] struct {
	edge   T
	number edgeNumber
	weight float64
}

// compareEdges compares two edges of the same key by weight, then number.
func compareEdges[T any](a, b weightedEdge[T]) int {
	if a.weight < b.weight {
		return -1
	}
	if a.weight > b.weight {
		return 1
	}
	return cmp.Compare(a.number, b.number)
}

// sorter sorts edges by weight, then number.
type sorter struct {
	// firstKey is the lowest key of edges of which equal ones are sorted: 1 if the order of edges of
	// weight 0 does not matter.
	firstKey  uint64
	low, high [1 << digitBits]uint32
}

const digitBits = 10

// rankOf returns the key of an edge, and below it a number.
func rankOf[T uint64 | edge](e *T) uint64 { return *(*uint64)(unsafe.Pointer(e)) } // begins with it

// sortEdges sorts edges; find returns the number and weight of an edge, given the lower half of its rank.
// Two counting sorts by the upper bits of the keys leave little to do.
func sortEdges[T uint64 | edge](s *sorter, edges, scratch []T, find func(uint32) (edgeNumber, float64)) {
	if len(edges) < 2 {
		return
	}
	first, last := int64(noEdge), int64(0) // of the keys that are not 0
	for i := range edges {
		k := int64(rankOf(&edges[i]) >> 32)
		first = min(first, k|int64(less(0, int32(k))-1)&noEdge)
		last = max(last, k)
	}
	// The keys are counted from base on, so that 0 has a place of its own.
	shift := uint(max(0, bits.Len64(uint64(max(first, last)-first))+1-2*digitBits))
	base := first - 1<<shift
	const mask = 1<<digitBits - 1
	clear(s.low[:])
	clear(s.high[:])
	for i := range edges {
		k := max(int64(rankOf(&edges[i])>>32)-base, 0) >> (shift & 63)
		s.low[k&mask]++
		s.high[k>>digitBits&mask]++
	}
	low, high := uint32(0), uint32(0)
	for i := range s.low {
		low, s.low[i] = low+s.low[i], low
		high, s.high[i] = high+s.high[i], high
	}
	for i := range edges {
		at := &s.low[max(int64(rankOf(&edges[i])>>32)-base, 0)>>(shift&63)&mask]
		scratch[*at] = edges[i]
		*at++
	}
	scratch = scratch[:len(edges)]
	for i := range scratch {
		at := &s.high[max(int64(rankOf(&scratch[i])>>32)-base, 0)>>(shift&63)>>digitBits&mask]
		edges[*at] = scratch[i]
		*at++
	}
	if insertionSort(edges, s.firstKey) {
		sortEqual(edges, s.firstKey, find)
	}
}

// insertionSort sorts edges by key that are nearly in order. If they are not, it sorts them otherwise.
// It reports whether there may be equal keys that are at least first.
func insertionSort[T uint64 | edge](edges []T, first uint64) (equal bool) {
	moves := 4 * len(edges)
	last := rankOf(&edges[0]) >> 32
	for i := 1; i < len(edges); i++ {
		k := rankOf(&edges[i]) >> 32
		if k > last {
			last = k
			continue
		}
		equal = equal || k >= first
		if k == last {
			continue
		}
		e, j := edges[i], i
		for ; j > 0 && rankOf(&edges[j-1])>>32 > k; j-- {
			edges[j] = edges[j-1]
			moves--
		}
		edges[j] = e
		if moves < 0 {
			slices.SortFunc(edges, func(a, b T) int { return cmp.Compare(rankOf(&a), rankOf(&b)) })
			return true
		}
	}
	return equal
}

// sortEqual sorts edges with equal keys by weight, then number, if their keys are at least first.
func sortEqual[T uint64 | edge](edges []T, first uint64, find func(uint32) (edgeNumber, float64)) {
	for start := 0; start < len(edges); {
		k, end := rankOf(&edges[start])>>32, start+1
		for end < len(edges) && rankOf(&edges[end])>>32 == k {
			end++
		}
		switch n := end - start; {
		case n == 1 || k < first:
		case n == 2: // nearly always
			aNumber, aWeight := find(uint32(rankOf(&edges[start])))
			bNumber, bWeight := find(uint32(rankOf(&edges[start+1])))
			if aWeight > bWeight || !(aWeight < bWeight) && aNumber > bNumber {
				edges[start], edges[start+1] = edges[start+1], edges[start]
			}
		default:
			weighted := make([]weightedEdge[T], end-start)
			for i, e := range edges[start:end] {
				number, weight := find(uint32(rankOf(&e)))
				weighted[i] = weightedEdge[T]{e, number, weight}
			}
			slices.SortFunc(weighted, compareEdges[T])
			for i := range weighted {
				edges[start+i] = weighted[i].edge
			}
		}
		start = end
	}
}
