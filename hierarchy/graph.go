package hierarchy

import (
	"context"
	"slices"
)

// Graph is a region adjacency graph: which regions touch.
type Graph struct {
	// The neighbours of region r are ids[starts[r]:starts[r+1]], ascending.
	starts []int32
	ids    []int32
}

// NewGraph finds the neighbours of the regions 0..regions−1 of a label picture,
// row-major and width pixels wide. Two regions are neighbours when a pixel of one
// is directly left of, right of, above or below a pixel of the other.
//
// Time is linear in the pixels, plus sorting the pairs; the only errors are the context's.
func NewGraph(ctx context.Context, labels []int32, width, regions int) (*Graph, error) {
	pairs, err := contacts(ctx, labels, width, regions)
	if err != nil {
		return nil, err
	}
	g := &Graph{starts: make([]int32, regions+1), ids: make([]int32, 2*len(pairs))}
	for _, p := range pairs {
		g.starts[p>>32+1]++
		g.starts[p&0xffffffff+1]++
	}
	for r := range regions {
		g.starts[r+1] += g.starts[r]
	}
	fill := slices.Clone(g.starts)
	// Pairs are sorted by (smaller, larger): first every region's smaller
	// neighbours, then its larger ones, comes out ascending.
	for _, p := range pairs {
		lo, hi := p>>32, p&0xffffffff
		g.ids[fill[hi]] = int32(lo)
		fill[hi]++
	}
	for _, p := range pairs {
		lo, hi := p>>32, p&0xffffffff
		g.ids[fill[lo]] = int32(hi)
		fill[lo]++
	}
	return g, nil
}

// contacts lists the pairs of touching regions, smaller<<32 | larger, sorted, each once.
func contacts(ctx context.Context, labels []int32, width, regions int) ([]uint64, error) {
	var pairs []uint64
	// A border is many pixels long: remembering the last partner that each region
	// met keeps nearly all repetitions out of the list.
	last := make([]int32, regions)
	for i := range last {
		last[i] = -1
	}
	meet := func(a, b int32) {
		if a > b {
			a, b = b, a
		}
		if last[b] != a {
			last[b] = a
			pairs = append(pairs, uint64(a)<<32|uint64(b))
		}
	}
	for start := 0; start < len(labels); start += width {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		row := labels[start : start+width]
		left := row[0]
		if start == 0 {
			for _, l := range row {
				if l != left {
					meet(left, l)
				}
				left = l
			}
			continue
		}
		above := labels[start-width : start]
		for x, l := range row {
			if l != left {
				meet(left, l)
			}
			if a := above[x]; l != a {
				meet(a, l)
			}
			left = l
		}
	}
	slices.Sort(pairs)
	return slices.Compact(pairs), nil
}

// Regions is the number of regions.
func (g *Graph) Regions() int { return len(g.starts) - 1 }

// Neighbours are the regions that touch r, ascending. The slice is the graph's own.
func (g *Graph) Neighbours(r int) []int32 { return g.ids[g.starts[r]:g.starts[r+1]] }
