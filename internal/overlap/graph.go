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
// 2 KiB per box. If a list would have more, only every second box is a neighbor, or every fourth,
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

	ends    []int // by position: where its next edge is written
	blocks  []forwardEdges
	matches freelist.List[matches]
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
	index := g.sortBoxes(boxes)
	g.blocks = freelist.Extend(g.blocks, (len(boxes)+blockSize-1)/blockSize)
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

		err := g.findEdges(ctx, index, limit, run)
		if errors.Is(err, errTooManyEdges) {
			continue
		}
		if err != nil {
			return err
		}
		if err := g.joinRows(ctx); err != nil {
			return err
		}
		return g.computeStats(ctx, run)
	}
}

// sortBoxes orders the boxes by a spatial index, empty boxes last, and returns the index with
// positions as its ids.
func (g *Graph) sortBoxes(boxes []box.Box) *index {
	x := newIndex(boxes)
	indexed := x.ids()
	g.ids = append(g.ids[:0], indexed...)
	for i, b := range boxes {
		if b.Empty() {
			g.ids = append(g.ids, int32(i))
		}
	}

	g.positions = freelist.Resize(g.positions, len(boxes))
	g.boxes = freelist.Resize(g.boxes, len(boxes))
	for pos, id := range g.ids {
		g.boxes[pos] = boxes[id]
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

// findEdges finds the edges of each block. With stride 1 it searches from the position of each box
// on: edges to lower positions were found from their other end.
func (g *Graph) findEdges(ctx context.Context, x *index, limit int64, run parallel.Runner) error {
	var total atomic.Int64
	return run.Run(len(g.blocks), func(k int) error {
		if err := ctx.Err(); err != nil {
			return err
		}
		m := g.matches.Get()
		defer g.matches.Put(m)

		block := &g.blocks[k]
		block.edges = block.edges[:0]
		for i, b := range g.boxes[k*blockSize : min((k+1)*blockSize, len(g.boxes))] {
			first := 0
			if g.stride == 1 {
				first = k*blockSize + i
			}
			x.search(m, b, MinIoU, int32(first))
			n := len(block.edges)
			block.edges = slices.Grow(block.edges, len(m.ids))[:n+len(m.ids)]
			packEdges(block.edges[n:], m.ids, m.ious)
			block.starts[i+1] = int32(len(block.edges))

			row := block.row(i)
			if total.Add(int64(len(row)+len(g.mirrored(row)))) > limit {
				return errTooManyEdges
			}
		}
		return nil
	})
}

// packEdges writes an edge for each match.
func packEdges(dst []uint32, targets []int32, ious []float32) {
	targets, ious = targets[:len(dst)], ious[:len(dst)]
	for i := range dst {
		coverage := int32(float32((ious[i]-MinIoU)*(2*maxCoverage)) + .5)
		dst[i] = packEdge(uint32(targets[i]), uint32(coverage))
	}
}

// joinRows writes the row of each box: the edges to lower positions, then its forward edges.
func (g *Graph) joinRows(ctx context.Context) error {
	g.starts = freelist.Resize(g.starts, len(g.boxes)+1)
	clear(g.starts)
	for pos := range g.boxes {
		if err := parallel.Poll(ctx, pos, pollEvery); err != nil {
			return err
		}
		row := g.forward(pos)
		g.starts[pos+1] += len(row)
		for _, e := range g.mirrored(row) {
			g.starts[edgeTarget(e)+1]++
		}
	}
	for pos := range g.boxes {
		g.starts[pos+1] += g.starts[pos]
	}

	g.edges = freelist.Resize(g.edges, g.starts[len(g.boxes)])
	g.ends = append(g.ends[:0], g.starts...)
	for pos := range g.boxes {
		if err := parallel.Poll(ctx, pos, pollEvery); err != nil {
			return err
		}
		row := g.forward(pos)
		copy(g.edges[g.ends[pos]:], row)
		for _, e := range g.mirrored(row) {
			end := &g.ends[edgeTarget(e)]
			g.edges[*end] = packEdge(uint32(pos), edgeCoverage(e))
			*end++
		}
	}
	return nil
}

// forward returns the edges that were found from a position.
func (g *Graph) forward(pos int) []uint32 {
	return g.blocks[pos/blockSize].row(pos % blockSize)
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
	return run.Run(len(g.blocks), func(k int) error {
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
