package box

import (
	"context"
	"errors"
	"slices"
	"sync/atomic"

	"github.com/proposer/proposer/internal/shelf"
	"github.com/proposer/proposer/internal/simd"
)

// Graph tells which boxes of a list overlap by half. Its zero value is that of an empty list;
// it keeps its memory. Once joined it is safe for concurrent use.
//
// A box's neighbours are those whose IoU with it is at least [GraphFrom], and itself. Where
// there would be more of them than 2²⁴ in all and 256 a box, only every second box is taken for
// a neighbour, or every fourth, and so on: that bounds memory, to 1 KiB a box or 64 MiB, and
// time too.
type Graph struct {
	// Boxes are in the order in which an index has them, so that neighbours are near in memory, too.
	order  []int32 // the boxes' numbers
	places []int32 // by number: the place in the order
	boxes  []Box
	stride int // only boxes at multiples of it are neighbours
	rows   []rows
	sums   []sums

	found shelf.Shelf[Overlaps]
}

// GraphFrom is the IoU from which boxes are neighbours.
const GraphFrom = 0.5

// The bounds of a graph. Photographs have 9 edges a box in mode fast, 15 in best and 50 in quality.
const (
	mostEdges = 1 << 24
	edgesABox = 256
)

// An edge is a neighbour's place, over the stride, and below it 2·IoU−1 in steps of 1/mostCover.
const (
	mostCover = 1<<simd.CoverBits - 1
	mostPlace = 1<<(32-simd.CoverBits) - 1
)

// rowsBlock is how many boxes' neighbours are found by one piece of work.
const rowsBlock = 256

// rows are the neighbours of some boxes.
type rows struct {
	edges  []uint32
	starts [rowsBlock + 1]int32
}

// sums are what is asked of a box's neighbours.
type sums struct {
	votes Votes
	crowd float32 // of 2·IoU−1
}

// Votes are how many boxes overlap one by an IoU of .5 to .6, .6 to .7, .7 to .8, .8 to .9, and
// from .9 on.
type Votes [5]int32

// errEdges is a graph with too many edges.
var errEdges = errors.New("too many edges")

// Join makes it the graph of boxes, whose work each does: n pieces, by any number of threads.
// The only errors are the context's and those of each.
func (g *Graph) Join(ctx context.Context, boxes []Box, each func(n int, work func(i int) error) error) error {
	return g.join(ctx, boxes, max(mostEdges, edgesABox*int64(len(boxes))), each)
}

func (g *Graph) join(ctx context.Context, boxes []Box, most int64, each func(n int, work func(i int) error) error) error {
	index := g.sort(boxes)
	g.rows, g.sums = shelf.Keep(g.rows, (len(boxes)+rowsBlock-1)/rowsBlock), shelf.Resize(g.sums, len(boxes))
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
		var edges atomic.Int64
		err := each(len(g.rows), func(k int) error {
			if err := ctx.Err(); err != nil {
				return err
			}
			found := g.found.Get()
			defer g.found.Put(found)
			r := &g.rows[k]
			r.edges = r.edges[:0]
			for i, b := range g.boxes[k*rowsBlock : min((k+1)*rowsBlock, len(g.boxes))] {
				index.Near(found, b, GraphFrom)
				if edges.Add(int64(len(found.IDs))) > most {
					return errEdges
				}
				from := len(r.edges)
				r.edges = slices.Grow(r.edges, len(found.IDs))[:from+len(found.IDs)]
				g.sums[k*rowsBlock+i] = link(r.edges[from:], found.IDs, found.IoUs)
				r.starts[i+1] = int32(len(r.edges))
			}
			return nil
		})
		if err != errEdges {
			return err
		}
	}
}

// sort puts the boxes into their order, of which empty ones are the last, and returns the
// index of the others, by their places.
func (g *Graph) sort(boxes []Box) *Index {
	index := NewIndex(boxes)
	numbers := index.numbers()
	g.order, g.places = append(g.order[:0], numbers...), shelf.Resize(g.places, len(boxes))
	for i, b := range boxes {
		if b.Empty() {
			g.order = append(g.order, int32(i))
		}
	}
	g.boxes = shelf.Resize(g.boxes, len(boxes))
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

// link writes the edges to a box's neighbours, and sums them up.
func link(dst []uint32, places []int32, ious []float32) (s sums) {
	const bits, most = 12, 1<<12 - 1 // all five counts are in one number
	crowd := int64(0)
	for len(ious) > 0 {
		n := min(most, len(ious))
		edges, ids, some := dst[:n], places[:n], ious[:n]
		dst, places, ious = dst[n:], places[n:], ious[n:]
		count := uint64(0)
		for i, iou := range some {
			over := iou - GraphFrom
			covers := int32(float32(over*(2*mostCover)) + .5)
			edges[i] = uint32(ids[i])<<simd.CoverBits | uint32(covers)
			crowd += int64(covers)
			count += 1 << (bits * min(uint32(int32(over*10)), uint32(len(s.votes)-1)) % 64)
		}
		for k := range s.votes {
			s.votes[k] += int32(count >> (bits * k) & most)
		}
	}
	s.crowd = float32(crowd) / mostCover
	return s
}

// Votes are those of box i's neighbours, without its own: where not every box is taken for a
// neighbour, those that are stand for the others.
func (g *Graph) Votes(i int) Votes {
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

// Size is how many bytes of memory it keeps for neighbours.
func (g *Graph) Size() int {
	size := 0
	for _, r := range g.rows[:cap(g.rows)] {
		size += 4 * cap(r.edges)
	}
	return size
}

// row are the neighbours of the box at a place.
func (g *Graph) row(place int) []uint32 {
	r := &g.rows[place/rowsBlock]
	return r.edges[r.starts[place%rowsBlock]:r.starts[place%rowsBlock+1]]
}
