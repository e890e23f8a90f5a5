package felzenszwalb

import (
	"cmp"
	"context"
	"math/bits"
	"slices"

	"github.com/proposer/proposer/internal/freelist"
)

// edgeLister lists the edges between the components of the tiles.
type edgeLister struct {
	ends    [][2]int32   // by index
	numbers []edgeNumber // by index
	sorted  []uint64     // the key of an edge, and below it its index
	scratch []uint64
	seen    []pair
	sorter  sorter
}

// pair is a pair of components, and the index of their edge.
type pair struct{ a, b, index int32 }

const seenBits = 15 // of the hash of a pair

func hashPair(a, b int32) uint32 {
	return (uint32(a)*0x9e3779b1 ^ uint32(b)*0x85ebca6b) >> (32 - seenBits)
}

// list lists the edges between components, ascending. Of those between the same two components only
// the first counts: when it is rejected, one of the two components has stopped growing (the paper's
// lemma 1), so the others are rejected as well. A direct-mapped cache of pairs, indexed by their
// hashes, keeps most of the others out of the list; those that are left do no harm.
func (l *edgeLister) list(ctx context.Context, s *Segmenter) error {
	l.seen = freelist.Resize(l.seen, 1<<seenBits)
	for i := range l.seen {
		l.seen[i] = pair{-1, -1, -1}
	}
	l.ends, l.numbers, l.sorted = l.ends[:0], l.numbers[:0], l.sorted[:0]
	g := &s.grid
	steps := [directions]int{right: 1, down: g.stride, downRight: g.stride + 1, downLeft: g.stride - 1}
	for y := range s.height {
		if err := ctx.Err(); err != nil {
			return err
		}
		for d, step := range steps {
			if d != right && y == s.height-1 {
				continue
			}
			at := g.at(0, y)
			from := s.labels[at:][:s.width]
			to := s.labels[at+step:][:s.width]
			keys := g.keys[d][at:][:s.width]
			for x, a := range from {
				b, k := to[x], keys[x]
				if a == b || k == noEdge {
					continue
				}
				l.add(g, min(a, b), max(a, b), k, edgeNumber(d<<directionShift|(at+x)))
			}
		}
	}
	l.scratch = freelist.Resize(l.scratch, len(l.sorted))
	l.sorter.sort(l.sorted, l.scratch, func(index uint32) (edgeNumber, float64) {
		return l.numbers[index], g.weight(l.numbers[index])
	})
	return ctx.Err()
}

// add adds an edge unless the last one between its ends precedes it.
func (l *edgeLister) add(g *grid, a, b, key int32, number edgeNumber) {
	seen := &l.seen[hashPair(a, b)]
	if seen.a == a && seen.b == b {
		i := seen.index
		if last := int32(l.sorted[i] >> 32); key < last || key == last && compareEdges(
			number, g.weight(number), l.numbers[i], g.weight(l.numbers[i])) < 0 {
			l.sorted[i] = uint64(key)<<32 | uint64(i)
			l.numbers[i] = number
		}
		return
	}
	i := len(l.sorted)
	*seen = pair{a, b, int32(i)}
	l.ends = append(l.ends, [2]int32{a, b})
	l.numbers = append(l.numbers, number)
	l.sorted = append(l.sorted, uint64(key)<<32|uint64(i))
}

// compareEdges compares two edges by weight, then number.
func compareEdges(a edgeNumber, aWeight float64, b edgeNumber, bWeight float64) int {
	if aWeight < bWeight {
		return -1
	}
	if aWeight > bWeight {
		return 1
	}
	return cmp.Compare(a, b)
}

// sorter sorts edges by weight, then number.
type sorter struct {
	// firstKey is the lowest key of edges of which equal ones are sorted: 1 if the order of edges of
	// weight 0 does not matter.
	firstKey  uint64
	low, high [1 << digitBits]uint32
}

const digitBits = 11

// sort sorts edges that are given by their keys and, below each, any 32 bits; edge returns the number
// and weight of an edge for these. Two counting sorts by the upper bits of the keys leave little to do.
func (s *sorter) sort(edges, scratch []uint64, edge func(uint32) (edgeNumber, float64)) {
	first, last := int64(noEdge), int64(0) // of the keys that are not 0
	for _, e := range edges {
		k := int64(e >> 32)
		first = min(first, k|int64(less(0, int32(k))-1)&noEdge)
		last = max(last, k)
	}
	// The keys are counted from base on, so that 0 has a place of its own.
	shift := uint(max(0, bits.Len64(uint64(max(first, last)-first))+1-2*digitBits))
	base := first - 1<<shift
	const mask = 1<<digitBits - 1
	clear(s.low[:])
	clear(s.high[:])
	for _, e := range edges {
		k := max(int64(e>>32)-base, 0) >> shift
		s.low[k&mask]++
		s.high[k>>digitBits&mask]++
	}
	low, high := uint32(0), uint32(0)
	for i := range s.low {
		low, s.low[i] = low+s.low[i], low
		high, s.high[i] = high+s.high[i], high
	}
	for _, e := range edges {
		at := &s.low[max(int64(e>>32)-base, 0)>>shift&mask]
		scratch[*at] = e
		*at++
	}
	for _, e := range scratch[:len(edges)] {
		at := &s.high[max(int64(e>>32)-base, 0)>>shift>>digitBits&mask]
		edges[*at] = e
		*at++
	}
	insertionSort(edges)
	sortEqual(edges, s.firstKey, edge)
}

// insertionSort sorts elements that are nearly in order. If they are not, it sorts them otherwise.
func insertionSort(edges []uint64) {
	moves := 4 * len(edges)
	for i := 1; i < len(edges); i++ {
		e, j := edges[i], i
		for ; j > 0 && edges[j-1] > e; j-- {
			edges[j] = edges[j-1]
			if moves--; moves < 0 {
				edges[j-1] = e
				slices.Sort(edges)
				return
			}
		}
		edges[j] = e
	}
}

// sortEqual sorts edges with equal keys by weight, then number, if their keys are at least first.
func sortEqual(edges []uint64, first uint64, edge func(uint32) (edgeNumber, float64)) {
	for start := 0; start < len(edges); {
		k, end := edges[start]>>32, start+1
		for end < len(edges) && edges[end]>>32 == k {
			end++
		}
		if end > start+1 && k >= first {
			slices.SortFunc(edges[start:end], func(a, b uint64) int {
				aNumber, aWeight := edge(uint32(a))
				bNumber, bWeight := edge(uint32(b))
				return compareEdges(aNumber, aWeight, bNumber, bWeight)
			})
		}
		start = end
	}
}
