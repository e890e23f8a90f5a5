// Package overlap relates boxes that overlap: [Graph] connects those whose IoU is at least
// one half, and [CoverageOrder] ranks boxes so that overlapping ones share their scores.
package overlap

import (
	"context"
	"errors"
	"slices"
	"sync/atomic"

	"github.com/proposer/proposer/box"
	"github.com/proposer/proposer/internal/freelist"
	"github.com/proposer/proposer/internal/kernels"
	"github.com/proposer/proposer/internal/parallel"
)

// Graph is the graph of the boxes of a list that overlap. The neighbors of a box are itself and
// the boxes whose IoU with it is at least [MinIoU]. The zero value is the graph of an empty list.
// A Graph reuses its memory; once built, it is safe for concurrent use.
//
// The number of edges is bounded to the larger of 2²⁴ and 256 per box, which takes 128 MiB or
// 2 KiB per box, and half as much again while [Graph.Extend] copies them. If a list would have more, only every second box is a neighbor, or every fourth,
// and so on.
type Graph struct {
	// Boxes are stored in the order of a spatial index, so that neighbors are near in memory.
	// A position refers to that order, an id to the caller's list.
	ids       []int32   // by position
	positions []int32   // by id
	boxes     []box.Box // by position

	stride int        // only the boxes at its multiples are neighbors
	edges  []uint32   // see packEdge
	starts []int      // by position: where its edges begin
	stats  []rowStats // by position

	index *index // with positions as its ids; nil if the stride is above 1 or the graph was extended

	newStarts []int // by position
	ends      []int // by position: where its next edge is written
	blocks    []forwardEdges
	matches   freelist.List[matches]
}

// MinIoU is the IoU from which boxes are neighbors.
const MinIoU = 0.5

// Photographs have 9 edges per box in mode fast, 15 in best and 50 in quality.
const (
	maxEdges       = 1 << 24
	maxEdgesPerBox = 256
)

// An edge is packed into 32 bits: the position of the neighbor divided by the stride, and the
// coverage 2·IoU−1 in units of 1/maxCoverage in the lower bits.
const (
	maxCoverage = 1<<kernels.CoverageBits - 1
	maxTarget   = 1<<(32-kernels.CoverageBits) - 1
)

func packEdge(target, coverage uint32) uint32 { return target<<kernels.CoverageBits | coverage }

func edgeTarget(e uint32) uint32 { return e >> kernels.CoverageBits }

func edgeCoverage(e uint32) uint32 { return e & maxCoverage }

// blockSize is the number of boxes in a unit of parallel work.
const blockSize = 256

// pollEvery is the number of boxes between two checks of the context.
const pollEvery = 64

// forwardEdges are the edges that were found from the boxes of a block. With stride 1 those are
// the edges to the box itself and to boxes at higher positions.
type forwardEdges struct {
	edges  []uint32
	starts [blockSize + 1]int32
}

// row returns the edges that were found from the box at an index of the block.
func (f *forwardEdges) row(i int) []uint32 { return f.edges[f.starts[i]:f.starts[i+1]] }

// rowStats summarize the edges of a box.
type rowStats struct {
	histogram Histogram
	density   float32 // the sum of 2·IoU−1
}

// Histogram counts the boxes that overlap a box by an IoU in [.5,.6), [.6,.7), [.7,.8), [.8,.9)
// and [.9,1].
type Histogram [5]int32

var _ [len(Histogram{})]struct{} = [kernels.CoverageBins]struct{}{}

var errTooManyEdges = errors.New("too many edges")

// Build makes g the graph of boxes. The only errors are the context's and the runner's.
func (g *Graph) Build(ctx context.Context, boxes []box.Box, run parallel.Runner) error {
	return g.build(ctx, boxes, max(maxEdges, maxEdgesPerBox*int64(len(boxes))), run)
}

func (g *Graph) build(ctx context.Context, boxes []box.Box, limit int64, run parallel.Runner) error {
	g.ids, g.boxes, g.positions, g.starts = g.ids[:0], g.boxes[:0], g.positions[:0], append(g.starts[:0], 0)
	index := g.appendBoxes(boxes)
	g.index = nil
	for g.stride = 1; ; g.stride *= 2 {
		last := (len(boxes) - 1) / g.stride
		if last > maxTarget {
			continue
		}
		if last == 0 { // the sparsest graph
			limit = int64(len(boxes))
		}
		if g.stride > 1 {
			index = g.sampledIndex()
		}

		err := g.findEdges(ctx, index, 0, limit, run)
		if errors.Is(err, errTooManyEdges) {
			continue
		}
		if err != nil {
			return err
		}
		if g.stride == 1 {
			g.index = index
		}
		if err := g.joinRows(ctx, 0); err != nil {
			return err
		}
		return g.computeStats(ctx, run)
	}
}

// Extend adds boxes, whose ids follow those of g. The neighbors of each box, and how much they overlap,
// are those of a graph that Build makes of all boxes. The first call after Build compares only the
// new boxes with the others, unless g would have too many edges. Otherwise Extend builds g again.
// The only errors are the context's and the runner's, after which g must be built.
func (g *Graph) Extend(ctx context.Context, boxes []box.Box, run parallel.Runner) error {
	total := g.Len() + len(boxes)
	return g.extend(ctx, boxes, max(maxEdges, maxEdgesPerBox*int64(total)), run)
}

func (g *Graph) extend(ctx context.Context, boxes []box.Box, limit int64, run parallel.Runner) error {
	base := g.Len()
	if len(boxes) == 0 {
		return nil
	}
	if g.index != nil && base+len(boxes)-1 <= maxTarget {
		index := g.appendBoxes(boxes)
		err := g.findEdges(ctx, index, base, limit, run)
		if err == nil {
			g.index = nil
			if err := g.joinRows(ctx, base); err != nil {
				return err
			}
			return g.computeStats(ctx, run)
		}
		if !errors.Is(err, errTooManyEdges) {
			return err
		}
	}
	all := make([]box.Box, base, base+len(boxes))
	for id := range all {
		all[id] = g.boxes[g.positions[id]]
	}
	return g.build(ctx, append(all, boxes...), limit, run)
}

// appendBoxes appends boxes in the order of a spatial index, empty boxes last, and returns the index,
// whose ids are positions less the number of boxes before.
func (g *Graph) appendBoxes(boxes []box.Box) *index {
	x, base := newIndex(boxes), len(g.boxes)
	indexed := x.ids()
	for _, id := range indexed {
		g.ids = append(g.ids, id+int32(base))
	}
	for i, b := range boxes {
		if b.Empty() {
			g.ids = append(g.ids, int32(base+i))
		}
	}

	g.boxes = slices.Grow(g.boxes, len(boxes))[:base+len(boxes)]
	g.positions = slices.Grow(g.positions, len(boxes))[:base+len(boxes)]
	for pos := base; pos < len(g.ids); pos++ {
		id := g.ids[pos]
		g.boxes[pos] = boxes[id-int32(base)]
		g.positions[id] = int32(pos)
	}
	for pos := range indexed {
		indexed[pos] = int32(pos)
	}
	return x
}

// sampledIndex returns the index of the boxes that are neighbors with the current stride.
func (g *Graph) sampledIndex() *index {
	var sampled []box.Box
	for pos := 0; pos < len(g.boxes); pos += g.stride {
		sampled = append(sampled, g.boxes[pos])
	}
	return newIndex(sampled)
}

// findEdges finds the edges of each block of the boxes from position base on, which x is the index
// of. With stride 1 it searches from the position of each box on: edges to lower positions were found
// from their other end. The boxes below base are in g.index.
func (g *Graph) findEdges(ctx context.Context, x *index, base int, limit int64, run parallel.Runner) error {
	boxes := g.boxes[base:]
	var total atomic.Int64
	total.Store(int64(g.starts[base]))
	g.blocks = freelist.Extend(g.blocks, (len(boxes)+blockSize-1)/blockSize)
	return run.Run(len(g.blocks), func(k int) error {
		if err := ctx.Err(); err != nil {
			return err
		}
		m := g.matches.Get()
		defer g.matches.Put(m)

		block := &g.blocks[k]
		block.edges = block.edges[:0]
		for i, b := range boxes[k*blockSize : min((k+1)*blockSize, len(boxes))] {
			first := 0
			if g.stride == 1 {
				first = k*blockSize + i
			}
			x.search(m, b, MinIoU, int32(first))
			block.add(m, base)
			if base > 0 {
				g.index.search(m, b, MinIoU, 0)
				block.add(m, 0)
			}
			block.starts[i+1] = int32(len(block.edges))

			row := block.row(i)
			if total.Add(int64(len(row)+len(g.mirrored(row)))) > limit {
				return errTooManyEdges
			}
		}
		return nil
	})
}

// add appends an edge for each match. Their ids are targets less base.
func (f *forwardEdges) add(m *matches, base int) {
	n := len(f.edges)
	f.edges = slices.Grow(f.edges, len(m.ids))[:n+len(m.ids)]
	packEdges(f.edges[n:], m.ids, m.ious, base)
}

// packEdges writes an edge for each match.
func packEdges(dst []uint32, targets []int32, ious []float32, base int) {
	targets, ious = targets[:len(dst)], ious[:len(dst)]
	for i := range dst {
		coverage := int32(float32((ious[i]-MinIoU)*(2*maxCoverage)) + .5)
		dst[i] = packEdge(uint32(base)+uint32(targets[i]), uint32(coverage))
	}
}

// joinRows writes the rows of all boxes. The row of a box from position base on is the edges that
// were found from its neighbors, then those that were found from itself; the rows below base exist,
// and edges that were found from their neighbors are added to them.
func (g *Graph) joinRows(ctx context.Context, base int) error {
	n := len(g.boxes)
	g.newStarts = freelist.Resize(g.newStarts, n+1)
	clear(g.newStarts)
	for pos := range base {
		g.newStarts[pos+1] = g.starts[pos+1] - g.starts[pos]
	}
	for pos := base; pos < n; pos++ {
		if err := parallel.Poll(ctx, pos, pollEvery); err != nil {
			return err
		}
		row := g.forward(pos - base)
		g.newStarts[pos+1] += len(row)
		for _, e := range g.mirrored(row) {
			g.newStarts[edgeTarget(e)+1]++
		}
	}
	for pos := range g.boxes {
		g.newStarts[pos+1] += g.newStarts[pos]
	}

	g.edges = slices.Grow(g.edges[:g.starts[base]], g.newStarts[n]-g.starts[base])[:g.newStarts[n]]
	g.ends = append(g.ends[:0], g.newStarts...)
	for pos := base - 1; pos >= 0; pos-- { // rows move towards the end
		if err := parallel.Poll(ctx, pos, pollEvery); err != nil {
			return err
		}
		g.ends[pos] += copy(g.edges[g.newStarts[pos]:], g.row(pos))
	}
	g.starts, g.newStarts = g.newStarts, g.starts
	for pos := base; pos < n; pos++ {
		if err := parallel.Poll(ctx, pos, pollEvery); err != nil {
			return err
		}
		row := g.forward(pos - base)
		copy(g.edges[g.ends[pos]:], row)
		for _, e := range g.mirrored(row) {
			end := &g.ends[edgeTarget(e)]
			g.edges[*end] = packEdge(uint32(pos), edgeCoverage(e))
			*end++
		}
	}
	return nil
}

// forward returns the edges that were found from a box, by its index among the boxes that findEdges
// was called for.
func (g *Graph) forward(i int) []uint32 {
	return g.blocks[i/blockSize].row(i % blockSize)
}

// mirrored returns the forward edges that are also stored at their other end: with stride 1 all but
// the self-loop, which is the first.
func (g *Graph) mirrored(row []uint32) []uint32 {
	if g.stride > 1 || len(row) == 0 {
		return nil
	}
	return row[1:]
}

func (g *Graph) computeStats(ctx context.Context, run parallel.Runner) error {
	g.stats = freelist.Resize(g.stats, len(g.boxes))
	return run.Run((len(g.boxes)+blockSize-1)/blockSize, func(k int) error {
		for pos := k * blockSize; pos < min((k+1)*blockSize, len(g.stats)); pos++ {
			g.stats[pos] = newRowStats(g.row(pos))
		}
		return ctx.Err()
	})
}

// newRowStats summarizes edges. A bin is a fifth of maxCoverage, which is a tenth of IoU.
func newRowStats(row []uint32) (s rowStats) {
	const maxCount = 1<<kernels.CoverageCountBits - 1
	density := uint64(0)
	for len(row) > 0 {
		part := row[:min(maxCount, len(row))]
		row = row[len(part):]
		counts, coverage := kernels.CoverageHistogram(part)
		density += coverage
		for k := range s.histogram {
			s.histogram[k] += int32(counts >> (kernels.CoverageCountBits * k) & maxCount)
		}
	}
	s.density = float32(density) / maxCoverage
	return s
}

// Len returns the number of boxes.
func (g *Graph) Len() int { return len(g.ids) }

// Histogram returns the histogram of the overlaps of box id with other boxes. If not every box is
// a neighbor, the counts are scaled up to estimate those of all boxes.
func (g *Graph) Histogram(id int) Histogram {
	pos := int(g.positions[id])
	h := g.stats[pos].histogram
	if pos%g.stride == 0 && !g.boxes[pos].Empty() {
		h[len(h)-1]-- // the box itself
	}
	for k := range h {
		h[k] *= int32(g.stride)
	}
	return h
}

// EdgeBytes returns the size of the memory that g holds for edges.
func (g *Graph) EdgeBytes() int {
	size := 4 * cap(g.edges)
	for _, block := range g.blocks[:cap(g.blocks)] {
		size += 4 * cap(block.edges)
	}
	return size
}

// row returns the edges of the box at a position.
func (g *Graph) row(pos int) []uint32 { return g.edges[g.starts[pos]:g.starts[pos+1]] }
