package hierarchy

import (
	"context"
	"encoding/binary"
	"math"
	"math/bits"
	"slices"

	"github.com/proposer/proposer/internal/freelist"
	"github.com/proposer/proposer/internal/kernels"
	"github.com/proposer/proposer/raster"
)

// Graph is a region adjacency graph: it lists for each region the regions that touch it.
// Its zero value is ready for [Graph.Build]. Once built, it is safe for concurrent use.
type Graph struct {
	// The neighbors of region r are ids[starts[r]:starts[r+1]], ascending.
	starts []int32
	ids    []int32

	// Reusable memory.
	scanner contactScanner
	scratch []int32
}

// Build finds the neighbors of the regions of a label image. Two regions are neighbors if
// a pixel of one is directly left of, right of, above or below a pixel of the other. Build
// reuses the memory of g.
//
// Time is linear in the pixels and regions; the only errors are those of the context.
func (g *Graph) Build(ctx context.Context, labels *raster.LabelImage) error {
	if err := g.scanner.scan(ctx, labels.Pix, labels.Width); err != nil {
		return err
	}
	return g.connect(ctx, g.scanner.pairs, labels.Regions())
}

// connect builds the graph from the pairs of touching regions, smaller<<32 | larger, in
// any order and with repetitions. Pairs of a region with itself are dropped, which is
// cheaper than testing for them at each pixel. It runs two counting sorts.
func (g *Graph) connect(ctx context.Context, pairs []uint64, regions int) error {
	g.scratch = freelist.Resize(g.scratch, 3*(regions+1)+2*len(pairs))
	rest := g.scratch
	take := func(n int) (s []int32) {
		s, rest = rest[:n], rest[n:]
		return s
	}
	// The smaller region of each pair by the larger, then the larger by the smaller.
	ends, smaller := take(regions+1), take(len(pairs))
	begins, counts, larger := take(regions+1), take(regions+1), take(len(pairs))
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

	// The larger neighbors of each region arrive in ascending order, so repetitions are adjacent.
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
	// When the loop reaches a region, its smaller neighbors are complete and ascending.
	fill := ends
	copy(fill, g.starts)
	for lo := range int32(regions) {
		neighbors := larger[begins[lo]:][:counts[lo]]
		copy(g.ids[fill[lo]:], neighbors)
		for _, hi := range neighbors {
			g.ids[fill[hi]] = lo
			fill[hi]++
		}
	}
	return nil
}

// pollPairs is the number of pairs to sort between two checks of the context.
const pollPairs = 1 << 17

// accumulate replaces each element by the sum of all elements up to it.
func accumulate(s []int32) {
	sum := int32(0)
	for i, n := range s {
		sum += n
		s[i] = sum
	}
}

// contactScanner finds the pairs of touching regions of a label image.
type contactScanner struct {
	// pairs holds smaller<<32 | larger in no order, with repetitions and pairs of a
	// region with itself.
	pairs []uint64
	// seen is a direct-mapped cache of pairs, indexed by their hashes. As a border is many
	// pixels long, it keeps nearly all repetitions out of pairs.
	seen [1 << seenBits]uint64
	// Bits by pixel of a row: whether the pixel to its right has another label, the same
	// for the row above, and whether the pixel above has another label.
	right, rightAbove, down []uint8
}

const seenBits = 11

// add adds the contact of regions a and b.
func (c *contactScanner) add(a, b int32) {
	p := uint64(min(a, b))<<32 | uint64(max(a, b))
	if at := &c.seen[p*0x9e3779b97f4a7c15>>(64-seenBits)]; *at != p {
		*at = p
		c.pairs = append(c.pairs, p)
	}
}

// pollPixels is the number of pixels of a row to compare between two checks of the context.
const pollPixels = 1 << 17

// scan finds the contacts of all pixels. Of the pixels
//
//	q a
//	l p
//
// p has contacts that were not found at a or l only if the two rows differ in some column
// and the two columns in some row.
func (c *contactScanner) scan(ctx context.Context, labels []int32, width int) error {
	c.pairs = c.pairs[:0]
	clear(c.seen[:]) // 0 is the pair of region 0 with itself
	size := (width + 63) / 64 * 8
	c.right = freelist.Resize(c.right, size)
	c.rightAbove = freelist.Resize(c.rightAbove, size)
	c.down = freelist.Resize(c.down, size)
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
		if start == 0 { // there is no row above in which contacts may have been found
			for i := range c.down {
				c.down[i] = math.MaxUint8
			}
		}
		c.add(above[0], row[0])
		if err := c.scanRow(ctx, row, above); err != nil {
			return err
		}
	}
	return nil
}

// differ sets the bits of the elements that differ and clears all others.
func differ(ctx context.Context, bits []uint8, a, b []int32) error {
	clear(bits)
	for start := 0; start < len(a); start += pollPixels {
		if err := ctx.Err(); err != nil {
			return err
		}
		end := min(start+pollPixels, len(a))
		kernels.DiffMask(bits[start/8:(end+7)/8], a[start:end], b[start:end])
	}
	return nil
}

// scanRow finds the contacts of all pixels of a row but the first, 64 pixels at a time.
func (c *contactScanner) scanRow(ctx context.Context, row, above []int32) error {
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
			c.add(row[l], row[l+1])
			c.add(above[l+1], row[l+1])
		}
	}
	return nil
}

// Regions returns the number of regions.
func (g *Graph) Regions() int { return len(g.starts) - 1 }

// Neighbors returns the regions that touch region r, ascending. The slice belongs to the graph.
func (g *Graph) Neighbors(r int) []int32 { return g.ids[g.starts[r]:g.starts[r+1]] }
