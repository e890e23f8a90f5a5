package box

import (
	"context"
	"errors"
	"slices"
	"sync/atomic"

	"github.com/proposer/proposer/internal/freelist"
	"github.com/proposer/proposer/internal/kernels"
	"github.com/proposer/proposer/internal/parallel"
)

// Graph tells which boxes of a list overlap by half. Its zero value is that of an empty list;
// it keeps its memory. Once joined it is safe for concurrent use.
//
// A box's neighbours are those whose IoU with it is at least [GraphMinIoU], and itself. Where
// there would be more of them than 2²⁴ in all and 256 a box, only every second box is taken for
// a neighbour, or every fourth, and so on: that bounds memory, to 2 KiB a box or 128 MiB, and
// time too.
type Graph struct {
	// Boxes are in the order in which an index has them, so that neighbours are near in memory, too.
	order  []int32 // the boxes' numbers
	places []int32 // by number: the place in the order
	boxes  []Box
	stride int // only boxes at multiples of it are neighbours
	edges  []uint32
	starts []int // of the edges, by place
	sums   []sums

	ends  []int   // where the next edge of a row goes
	ahead []ahead // by blocks of boxes
	found freelist.List[Overlaps]
}

// GraphMinIoU is the IoU from which boxes are neighbours.
const GraphMinIoU = 0.5

// The bounds of a graph. Photographs have 9 edges a box in mode fast, 15 in best and 50 in quality.
const (
	mostEdges = 1 << 24
	edgesABox = 256
)

// An edge is a neighbour's place, over the stride, and below it 2·IoU−1 in steps of 1/mostCover.
const (
	mostCover = 1<<kernels.CoverageBits - 1
	mostPlace = 1<<(32-kernels.CoverageBits) - 1
)

// aheadBlock is how many boxes' neighbours are found by one piece of work.
const aheadBlock = 256

// ahead are edges of some boxes, from which the graph is made.
type ahead struct {
	edges  []uint32
	starts [aheadBlock + 1]int32
}

// sums are what is asked of a box's neighbours.
type sums struct {
	votes OverlapHistogram
	crowd float32 // of 2·IoU−1
}

// OverlapHistogram are how many boxes overlap one by an IoU of .5 to .6, .6 to .7, .7 to .8, .8 to .9, and
// from .9 on.
type OverlapHistogram [kernels.CoverageBins]int32

// errEdges is a graph with too many edges.
var errEdges = errors.New("too many edges")

// Build makes it the graph of boxes, whose work run does.
// The only errors are the context's and those of run.
func (g *Graph) Build(ctx context.Context, boxes []Box, run parallel.Runner) error {
	return g.build(ctx, boxes, max(mostEdges, edgesABox*int64(len(boxes))), run)
}

func (g *Graph) build(ctx context.Context, boxes []Box, most int64, run parallel.Runner) error {
	index := g.sort(boxes)
	g.ahead = freelist.Extend(g.ahead, (len(boxes)+aheadBlock-1)/aheadBlock)
	for g.stride = 1; ; g.stride *= 2 {
		last := (len(boxes) - 1) / g.stride
		if last > mostPlace {
			continue
		}
		if last == 0 { // there is no less
			most = int64(len(boxes))
		}
		if g.stride > 1 {
			var some []Box
			for i := 0; i < len(g.boxes); i += g.stride {
				some = append(some, g.boxes[i])
			}
			index = NewIndex(some)
		}
		if err := g.look(ctx, index, most, run); err == errEdges {
			continue
		} else if err != nil {
			return err
		}
		if err := g.gather(ctx); err != nil {
			return err
		}
		g.sums = freelist.Resize(g.sums, len(boxes))
		return run.Run(len(g.ahead), func(k int) error {
			for place := k * aheadBlock; place < min((k+1)*aheadBlock, len(g.sums)); place++ {
				g.sums[place] = sum(g.row(place))
			}
			return ctx.Err()
		})
	}
}

// look finds edges. Where all boxes are neighbours, it looks for each box's behind its place, and
// those before it have found it.
func (g *Graph) look(ctx context.Context, index *Index, most int64, run parallel.Runner) error {
	var edges atomic.Int64
	return run.Run(len(g.ahead), func(k int) error {
		if err := ctx.Err(); err != nil {
			return err
		}
		found := g.found.Get()
		defer g.found.Put(found)
		a := &g.ahead[k]
		a.edges = a.edges[:0]
		for i, b := range g.boxes[k*aheadBlock : min((k+1)*aheadBlock, len(g.boxes))] {
			place := 0
			if g.stride == 1 {
				place = k*aheadBlock + i
			}
			index.near(found, b, GraphMinIoU, int32(place))
			from := len(a.edges)
			a.edges = slices.Grow(a.edges, len(found.IDs))[:from+len(found.IDs)]
			row := a.edges[from:]
			link(row, found.IDs, found.IoUs)
			a.starts[i+1] = int32(len(a.edges))
			if edges.Add(int64(len(row)+len(g.twice(row)))) > most {
				return errEdges
			}
		}
		return nil
	})
}

// gather makes rows of the edges that were found: from the places before a box to those behind it.
func (g *Graph) gather(ctx context.Context) error {
	g.starts = freelist.Resize(g.starts, len(g.boxes)+1)
	clear(g.starts)
	for place := range g.boxes {
		if err := poll(ctx, place); err != nil {
			return err
		}
		row := g.behind(place)
		g.starts[place+1] += len(row)
		for _, e := range g.twice(row) {
			g.starts[e>>kernels.CoverageBits+1]++
		}
	}
	for place := range g.boxes {
		g.starts[place+1] += g.starts[place]
	}
	g.edges = freelist.Resize(g.edges, g.starts[len(g.boxes)])
	g.ends = append(g.ends[:0], g.starts...)
	for place := range g.boxes {
		if err := poll(ctx, place); err != nil {
			return err
		}
		row := g.behind(place)
		copy(g.edges[g.ends[place]:], row)
		for _, e := range g.twice(row) {
			end := &g.ends[e>>kernels.CoverageBits]
			g.edges[*end] = uint32(place)<<kernels.CoverageBits | e&mostCover
			*end++
		}
	}
	return nil
}

// behind are the edges that were found from a place on.
func (g *Graph) behind(place int) []uint32 {
	a := &g.ahead[place/aheadBlock]
	return a.edges[a.starts[place%aheadBlock]:a.starts[place%aheadBlock+1]]
}

// twice are those of a box's edges behind it that its neighbours have, too: not the first, which is to itself.
func (g *Graph) twice(row []uint32) []uint32 {
	if g.stride > 1 || len(row) == 0 {
		return nil
	}
	return row[1:]
}

// sort puts the boxes into their order, of which empty ones are the last, and returns the
// index of the others, by their places.
func (g *Graph) sort(boxes []Box) *Index {
	index := NewIndex(boxes)
	numbers := index.numbers()
	g.order, g.places = append(g.order[:0], numbers...), freelist.Resize(g.places, len(boxes))
	for i, b := range boxes {
		if b.Empty() {
			g.order = append(g.order, int32(i))
		}
	}
	g.boxes = freelist.Resize(g.boxes, len(boxes))
	for place, id := range g.order {
		g.boxes[place], g.places[id] = boxes[id], int32(place)
	}
	for place := range numbers { // as if it had been made of them in this order
		numbers[place] = int32(place)
	}
	return index
}

// Len is the number of boxes.
func (g *Graph) Len() int { return len(g.order) }

// link writes the edges to a box's neighbours.
func link(dst []uint32, places []int32, ious []float32) {
	places, ious = places[:len(dst)], ious[:len(dst)]
	for i := range dst {
		covers := int32(float32((ious[i]-GraphMinIoU)*(2*mostCover)) + .5)
		dst[i] = uint32(places[i])<<kernels.CoverageBits | uint32(covers)
	}
}

// sum sums up a box's edges: a fifth of mostCover is a tenth of IoU.
func sum(row []uint32) (s sums) {
	const most = 1<<kernels.CoverageCountBits - 1
	crowd := uint64(0)
	for len(row) > 0 {
		some := row[:min(most, len(row))]
		row = row[len(some):]
		counts, covers := kernels.CoverageHistogram(some)
		crowd += covers
		for k := range s.votes {
			s.votes[k] += int32(counts >> (kernels.CoverageCountBits * k) & most)
		}
	}
	s.crowd = float32(crowd) / mostCover
	return s
}

// Histogram are those of box i's neighbours, without its own: where not every box is taken for a
// neighbour, those that are stand for the others.
func (g *Graph) Histogram(i int) OverlapHistogram {
	place := int(g.places[i])
	votes := g.sums[place].votes
	if place%g.stride == 0 && !g.boxes[place].Empty() {
		votes[len(votes)-1]--
	}
	for k := range votes {
		votes[k] *= int32(g.stride)
	}
	return votes
}

// EdgeBytes is how many bytes of memory it keeps for edges.
func (g *Graph) EdgeBytes() int {
	size := 4 * cap(g.edges)
	for _, a := range g.ahead[:cap(g.ahead)] {
		size += 4 * cap(a.edges)
	}
	return size
}

// row are the edges of the box at a place.
func (g *Graph) row(place int) []uint32 { return g.edges[g.starts[place]:g.starts[place+1]] }
