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
	bands   []band
	edges   []edge             // in groups, by the upper bits of their keys; those of a group in any order
	ends    [groups + 1]uint32 // by group: its end in edges
	sorters freelist.List[groupSorter]
	// firstKey is the lowest key of edges of which equal ones are sorted: 1 if the order of edges of
	// weight 0 does not matter.
	firstKey uint64
}

// band is the part of an edgeLister for some rows of the image.
type band struct {
	repeated [2][]uint8 // of two rows of cells, by column: a bit for each edge
	edges    []edge
	count    int            // of the edges
	places   [groups]uint32 // by group: the number of edges, then the place of the next one in the lister
}

// groupSorter is the workspace to sort a group.
type groupSorter struct {
	counters counters
	scratch  []edge
}

// The weights of a group differ by at most a quarter. A group mostly fits the second-level cache.
const (
	groupBits   = 10
	groups      = 1 << groupBits
	groupShift  = 31 - groupBits
	groupsAhead = 32 // that are sorted before their edges are used, so that they are in the cache then
)

// minBand is the smallest number of rows of a band.
const minBand = 32

// list lists the edges between components. Of those between the same two components only
// the first counts: when it is rejected, one of the two components has stopped growing (the paper's
// lemma 1), so the others are rejected as well. Many of the others are left out; the rest does no harm.
func (l *edgeLister) list(ctx context.Context, s *Segmenter) error {
	l.bands = freelist.Extend(l.bands, max(1, min(s.pool.Threads(), s.height/minBand)))
	n := len(l.bands)
	err := s.pool.Run(n, func(i int) error {
		return l.bands[i].list(ctx, s, split(s.height, i, n), split(s.height, i+1, n))
	})
	if err != nil {
		return err
	}
	total := uint32(0)
	for group := range groups {
		for i := range l.bands {
			place := &l.bands[i].places[group]
			total, *place = total+*place, total
		}
		l.ends[group] = total
	}
	l.edges = freelist.Resize(l.edges, int(total))
	return s.pool.Run(n, func(i int) error {
		b := &l.bands[i]
		for j := range b.edges[:b.count] {
			place := &b.places[b.edges[j].rank>>(32+groupShift)%groups]
			l.edges[*place] = b.edges[j]
			*place++
		}
		return ctx.Err()
	})
}

// list lists the edges that begin in the given rows.
func (b *band) list(ctx context.Context, s *Segmenter, top, bottom int) error {
	g, n := &s.grid, 0
	for i := range b.repeated {
		b.repeated[i] = freelist.Resize(b.repeated[i], s.width+1)
	}
	clear(b.places[:])
	above, here := b.repeated[0], b.repeated[1] // from the cells left of the image on
	for y := top - 1; y < bottom; y++ {
		if err := ctx.Err(); err != nil {
			return err
		}
		above, here = here, above
		at := g.at(-1, y)
		kernels.RepeatedEdges(here, g.cells(at, len(here)), s.labels[at:][:s.width+2], s.labels[at+g.stride:][:s.width+2])
		if y < top {
			continue
		}
		b.edges = grow(b.edges, n+directions*s.width)
		at++
		// list adds the edges of a direction that are not repeated in any of two cells.
		list := func(direction, step int, first []uint8, firstEdge uint, second []uint8, secondEdge uint) {
			from, keys := s.labels[at:][:s.width], g.keys[direction][at:][:s.width]
			to := s.labels[at+step:][:s.width]
			first, second = first[:s.width], second[:s.width]
			number := edgeNumber(direction<<directionShift | at)
			for x, k := range keys {
				b.edges[n] = edge{uint64(k)<<32 | uint64(number+edgeNumber(x)), [2]int32{from[x], to[x]}}
				listed := less(k, noEdge) &^ uint32(first[x]>>firstEdge|second[x]>>secondEdge)
				b.places[uint32(k)>>groupShift%groups] += listed
				n += int(listed)
			}
		}
		list(right, 1, here[1:], kernels.TopEdge, above[1:], kernels.BottomEdge)
		list(down, g.stride, here[1:], kernels.LeftEdge, here, kernels.RightEdge)
		list(downRight, g.stride+1, here[1:], kernels.DownRightEdge, here[1:], kernels.DownRightEdge)
		list(downLeft, g.stride-1, here, kernels.DownLeftEdge, here, kernels.DownLeftEdge)
	}
	b.count = n
	return ctx.Err()
}

// sortGroups sorts the edges of groupsAhead groups from the given one on.
func (l *edgeLister) sortGroups(ctx context.Context, s *Segmenter, first int) error {
	return s.pool.Run(groupsAhead, func(i int) error {
		edges := l.group(first + i)
		if len(edges) < 2 {
			return ctx.Err()
		}
		w := l.sorters.Get()
		defer l.sorters.Put(w)
		w.scratch = freelist.Resize(w.scratch, len(edges))
		sortEdges(&w.counters, edges, w.scratch, l.firstKey, func(number uint32) (edgeNumber, float64) {
			return edgeNumber(number), s.grid.weight(edgeNumber(number))
		})
		return ctx.Err()
	})
}

// group returns the edges of a group.
func (l *edgeLister) group(i int) []edge {
	start := uint32(0)
	if i > 0 {
		start = l.ends[i-1]
	}
	return l.edges[start:l.ends[i]]
}

// grow returns s with a length greater than n.
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

// counters are those of two counting sorts.
type counters struct {
	low, high [1 << digitBits]uint32
}

const digitBits = 10

// rankOf returns the key of an edge, and below it a number.
func rankOf[T uint64 | edge](e *T) uint64 { return *(*uint64)(unsafe.Pointer(e)) } // begins with it

// sortEdges sorts edges by weight, then number. firstKey is the lowest key of edges of which equal ones
// are sorted. find returns the number and weight of an edge, given the lower half of its rank. Two
// counting sorts by the upper bits of the keys leave little to do.
func sortEdges[T uint64 | edge](s *counters, edges, scratch []T, firstKey uint64, find func(uint32) (edgeNumber, float64)) {
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
	if insertionSort(edges, firstKey) {
		sortEqual(edges, firstKey, find)
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
