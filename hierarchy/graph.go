package hierarchy

import (
	"context"
	"encoding/binary"
	"math"
	"math/bits"
	"slices"

	"github.com/proposer/proposer/internal/freelist"
	"github.com/proposer/proposer/internal/kernels"
)

// Graph is a region adjacency graph: which regions touch.
type Graph struct {
	// The neighbours of region r are ids[starts[r]:starts[r+1]], ascending.
	starts []int32
	ids    []int32

	// Kept for reuse.
	contacts contacts
	scratch  []int32
}

// NewGraph finds the neighbours of the regions 0..regions−1 of a label picture,
// row-major and width pixels wide. Two regions are neighbours when a pixel of one
// is directly left of, right of, above or below a pixel of the other. It reuses the
// memory of dst if that is not nil.
//
// Time is linear in the pixels and regions; the only errors are the context's.
func NewGraph(ctx context.Context, dst *Graph, labels []int32, width, regions int) (*Graph, error) {
	if dst == nil {
		dst = new(Graph)
	}
	if err := dst.contacts.scan(ctx, labels, width); err != nil {
		return nil, err
	}
	if err := dst.connect(ctx, dst.contacts.pairs, regions); err != nil {
		return nil, err
	}
	return dst, nil
}

// connect makes the graph of the pairs of touching regions, smaller<<32 | larger, in
// any order and any number of times each; a region's with itself are dropped, which is
// cheaper than asking at each pixel. It sorts by counting, twice.
func (g *Graph) connect(ctx context.Context, pairs []uint64, regions int) error {
	g.scratch = freelist.Resize(g.scratch, 3*(regions+1)+2*len(pairs))
	rest := g.scratch
	part := func(n int) (p []int32) {
		p, rest = rest[:n], rest[n:]
		return p
	}
	// Smaller regions by the larger, then larger ones by the smaller.
	ends, smaller := part(regions+1), part(len(pairs))
	begins, counts, larger := part(regions+1), part(regions+1), part(len(pairs))
	clear(ends)
	clear(begins)
	clear(counts)
	for chunk := range slices.Chunk(pairs, pollPairs) {
		if err := ctx.Err(); err != nil {
			return err
		}
		for _, p := range chunk {
			ends[uint32(p)+1]++
			begins[p>>32+1]++
		}
	}
	accumulate(ends)
	accumulate(begins)
	for chunk := range slices.Chunk(pairs, pollPairs) {
		if err := ctx.Err(); err != nil {
			return err
		}
		for _, p := range chunk {
			end := &ends[uint32(p)] // the begin, until all are in
			smaller[*end] = int32(p >> 32)
			*end++
		}
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	// Each region's larger neighbours come ascending, so that a pair meets its repetition.
	g.starts = freelist.Resize(g.starts, regions+1)
	clear(g.starts)
	begin := int32(0)
	for hi := range int32(regions) {
		for _, lo := range smaller[begin:ends[hi]] {
			i := begins[lo] + counts[lo]
			if lo == hi || counts[lo] > 0 && larger[i-1] == hi {
				continue
			}
			larger[i] = hi
			counts[lo]++
			g.starts[lo+1]++
			g.starts[hi+1]++
		}
		begin = ends[hi]
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	accumulate(g.starts)
	g.ids = freelist.Resize(g.ids, int(g.starts[regions]))
	// When a region's turn comes, its smaller neighbours are all in, ascending.
	fill := ends
	copy(fill, g.starts)
	for lo := range int32(regions) {
		near := larger[begins[lo]:][:counts[lo]]
		copy(g.ids[fill[lo]:], near)
		for _, hi := range near {
			g.ids[fill[hi]] = lo
			fill[hi]++
		}
	}
	return nil
}

// pollPairs is the number of pairs to sort between two looks at the context.
const pollPairs = 1 << 17

// accumulate makes each element the sum of those up to it.
func accumulate(s []int32) {
	sum := int32(0)
	for i, n := range s {
		sum += n
		s[i] = sum
	}
}

// contacts are the pairs of touching regions of a picture, smaller<<32 | larger, in
// no order and some of them several times; some are of a region with itself.
type contacts struct {
	pairs []uint64
	// A border is many pixels long: remembering pairs, each where its hash says,
	// keeps nearly all repetitions out of the list.
	met [1 << metBits]uint64
	// A bit for each pixel of a row: is the one to its right another region's, is it so
	// in the row above, and is the pixel above another region's?
	right, rightAbove, down []uint8
}

const metBits = 11

func (c *contacts) meet(a, b int32) {
	p := uint64(min(a, b))<<32 | uint64(max(a, b))
	if at := &c.met[p*0x9e3779b97f4a7c15>>(64-metBits)]; *at != p {
		*at = p
		c.pairs = append(c.pairs, p)
	}
}

// pollPixels is the number of pixels of a row to compare between two looks at the context.
const pollPixels = 1 << 17

// scan finds the contacts of a picture. Of the pixels
//
//	q a
//	l p
//
// p has contacts that were not found at a or l only if neither the rows nor the
// columns are alike.
func (c *contacts) scan(ctx context.Context, labels []int32, width int) error {
	c.pairs = c.pairs[:0]
	clear(c.met[:]) // 0 is a region with itself
	size := (width + 63) / 64 * 8
	c.right, c.rightAbove, c.down = freelist.Resize(c.right, size), freelist.Resize(c.rightAbove, size), freelist.Resize(c.down, size)
	clear(c.right)
	for start := 0; start < len(labels); start += width {
		row := labels[start : start+width]
		above := row
		if start > 0 {
			above = labels[start-width : start]
		}
		c.right, c.rightAbove = c.rightAbove, c.right
		if err := differ(ctx, c.right, row[:width-1], row[1:]); err != nil {
			return err
		}
		if err := differ(ctx, c.down, above, row); err != nil {
			return err
		}
		if start == 0 { // the first row has none above: its own contacts are all new
			for i := range c.down {
				c.down[i] = math.MaxUint8
			}
		}
		c.meet(above[0], row[0])
		if err := c.scanRow(ctx, row, above); err != nil {
			return err
		}
	}
	return nil
}

// differ sets the bits of elements that differ, and no others.
func differ(ctx context.Context, bits []uint8, a, b []int32) error {
	clear(bits)
	for from := 0; from < len(a); from += pollPixels {
		if err := ctx.Err(); err != nil {
			return err
		}
		to := min(from+pollPixels, len(a))
		kernels.DiffMask(bits[from/8:(to+7)/8], a[from:to], b[from:to])
	}
	return nil
}

// scanRow finds the contacts of all pixels of a row but the first, 64 at a time.
func (c *contacts) scanRow(ctx context.Context, row, above []int32) error {
	for at := 0; at < len(c.right); at += 8 {
		if at%(pollPixels/8) == 0 {
			if err := ctx.Err(); err != nil {
				return err
			}
		}
		down, next := binary.LittleEndian.Uint64(c.down[at:]), uint64(0)
		if at+8 < len(c.down) {
			next = uint64(c.down[at+8])
		}
		right := binary.LittleEndian.Uint64(c.right[at:]) | binary.LittleEndian.Uint64(c.rightAbove[at:])
		for events := right & (down | down>>1 | next<<63); events != 0; events &= events - 1 {
			l := 8*at + bits.TrailingZeros64(events)
			c.meet(row[l], row[l+1])
			c.meet(above[l+1], row[l+1])
		}
	}
	return nil
}

// Regions is the number of regions.
func (g *Graph) Regions() int { return len(g.starts) - 1 }

// Neighbors are the regions that touch r, ascending. The slice is the graph's own.
func (g *Graph) Neighbors(r int) []int32 { return g.ids[g.starts[r]:g.starts[r+1]] }
