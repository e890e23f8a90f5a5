package objectness

import (
	"context"
	"fmt"
	"math"
	"math/bits"
	"slices"
	"strings"

	"github.com/proposer/proposer/box"
	"github.com/proposer/proposer/internal/shelf"
	"github.com/proposer/proposer/internal/simd"
	"github.com/proposer/proposer/raster"
	"github.com/proposer/proposer/selective"
)

// features are what is asked of a box, in the order in which [scenery.describe] puts them.
// The part before the point is the group; a statistic is over the tree nodes that the box
// is the box of. Logarithms are log2's: exact at powers of two and straight between.
var features = append([]string{
	// How many nodes, strategies and colour spaces agree on the very box, and how many of
	// the nodes are first regions.
	"trees.nodes", "trees.strategies", "trees.spaces", "trees.leaves",
	// The place in the tree; the similarity at which the region was born and merged away,
	// and how long it lived between; how much of the box it fills; by how much its box and
	// its pixels grow when it is merged.
	"trees.position.max", "trees.position.mean", "trees.position.min",
	"trees.birth.max", "trees.birth.mean", "trees.birth.min",
	"trees.death.max", "trees.death.mean", "trees.death.min",
	"trees.life.max", "trees.life.mean", "trees.life.min",
	"trees.fill.max", "trees.fill.mean", "trees.fill.min",
	"trees.grow.max", "trees.grow.mean", "trees.grow.min",
	"trees.parent.max", "trees.parent.mean", "trees.parent.min",
	// Size, shape and place, relative to the picture, but for the shorter side in pixels.
	"place.area", "place.width", "place.height", "place.aspect", "place.side",
	"place.x", "place.y", "place.near", "place.far", "place.top", "place.bottom", "place.borders",
	// How many boxes of the pool overlap it by an IoU of .5 and so on, for each strategy,
	// and how sharply they gather.
	"votes.5", "votes.6", "votes.7", "votes.8", "votes.9", "votes.96", "votes.85", "votes.75",
	// What is in the box: steepness in four directions beside the picture's, and colour.
	"inside.across", "inside.down", "inside.falling", "inside.rising", "inside.L", "inside.a", "inside.b",
	// The contrast with what is around it, in steepness and colour, and with the picture.
	"around.across", "around.down", "around.L", "around.a", "around.b", "around.colour", "around.picture",
}, gridFeatures()...)

// gridFeatures are the channels of each cell of a grid that is laid over the box and a quarter of
// its sides around it, beside those of the box. The cells on the border lie outside.
func gridFeatures() (names []string) {
	for cell := range grid * grid {
		for _, c := range [...]string{"across", "down", "falling", "rising", "L", "a", "b"} {
			names = append(names, fmt.Sprintf("grid.%d.%d.%s", cell/grid, cell%grid, c))
		}
	}
	return names
}

// mirror is, by feature, the number of the one that has its value if the picture is mirrored.
func mirror() []int {
	to := make([]int, len(features))
	for f, name := range features {
		var row, column int
		var channel string
		if n, _ := fmt.Sscanf(name, "grid.%d.%d.%s", &row, &column, &channel); n == 3 {
			name = fmt.Sprintf("grid.%d.%d.%s", row, grid-1-column, channel)
		}
		to[f] = slices.Index(features, strings.NewReplacer("falling", "rising", "rising", "falling").Replace(name))
	}
	return to
}

// grid is how many cells a grid has on a side.
const grid = simd.GridSide

// scenery is a picture and its pool, as far as it is looked at.
type scenery struct {
	*selective.Evidence
	picture picture
	spaces  []uint8 // by strategy: the number of its colour space
}

func (s *scenery) reset(ctx context.Context, e *selective.Evidence) error {
	s.Evidence = e
	s.spaces = s.spaces[:0]
	seen := map[raster.Space]uint8{}
	for _, st := range e.Strategies {
		if _, ok := seen[st.Space]; !ok {
			seen[st.Space] = uint8(len(seen))
		}
		s.spaces = append(s.spaces, seen[st.Space])
	}
	return s.picture.reset(ctx, e.Image)
}

// column collects the features of a box, which are one of each of the columns.
type column struct {
	columns [][block]float32
	at, box int
	grids   []means // of the block's boxes, grid·grid each
}

func (c *column) reset() {
	c.columns = shelf.Resize(c.columns, len(features))
	c.grids = shelf.Resize(c.grids, block*grid*grid)
}

// finish puts the grids of all boxes.
func (c *column) finish() {
	simd.Transpose(c.columns[len(c.columns)-grid*grid*(channels-1):], c.grids)
}

func (c *column) put(values ...float32) {
	columns := c.columns[c.at:][:len(values)]
	for i, v := range values {
		columns[i][c.box%block] = v
	}
	c.at += len(values)
}

func (c *column) stat(s *stat) { c.put(s.max, s.sum/s.n, s.min) }

type stat struct{ n, sum, max, min float32 }

func (t *stat) add(v float32) {
	if t.n == 0 {
		t.max, t.min = v, v
	}
	t.max, t.min = max(t.max, v), min(t.min, v)
	t.sum += v
	t.n++
}

// log2 is exact at the powers of two and straight between: it keeps the order, which is
// all that trees ask for, and is the same on every machine. Of 0 it is −127.
func log2(v float32) float32 {
	const one, bits = 127, 23
	return float32(math.Float32bits(v))/(1<<bits) - one
}

// glance is what a block of boxes needs of memory that is far away. It is asked for in loops so
// short that the processor waits for many boxes' at a time.
type glance struct {
	votes [block]box.Votes
	kin   []kin // of the boxes' origins, one box after the other
	left  []kin // those of boxes that are not described yet
	// Two a box: itself, and with a ring around it.
	view   view
	counts [rectangles]int // of their cells
	means  [rectangles]means
}

// kin is what is asked of the node of an origin, and of its parent, if that is not below 0.
type kin struct {
	leaf       bool
	parent     int32
	area, size float32 // of the parent
}

// mostKin is far more than photographs have in a block: but all regions of a picture may have one box.
const mostKin = 1 << 16

// reset asks for what is needed of the proposals from one to another.
func (g *glance) reset(s *scenery, from, to int) {
	proposals := s.Proposals[from:to]
	for i := range proposals {
		g.votes[i] = s.Graph.Votes(from + i)
	}
	g.kin = g.kin[:0]
	for i := range proposals {
		for _, o := range proposals[i].Origins {
			nodes := s.Trees[o.Strategy].Nodes
			n := &nodes[len(nodes)-int(o.Position)]
			g.kin = append(g.kin, kin{leaf: n.Children[0] < 0, parent: n.Parent})
		}
	}
	next := 0
	for i := range proposals {
		for _, o := range proposals[i].Origins {
			k := &g.kin[next]
			next++
			if k.parent >= 0 {
				n := &s.Trees[o.Strategy].Nodes[k.parent]
				k.area, k.size = float32(n.Box.Area()), float32(n.Size)
			}
		}
	}
	g.left = g.kin
	p, v := &s.picture, &g.view
	v.clear()
	for i := range proposals {
		c := p.cells(proposals[i].Box)
		dx, dy := (c.x1-c.x0)/4+2, (c.y1-c.y0)/4+2
		g.counts[2*i] = v.add(p, c).count()
		g.counts[2*i+1] = v.add(p, cells{c.x0 - dx, c.y0 - dy, c.x1 + dx, c.y1 + dy}).count()
	}
	v.means(p, g.means[:])
}

// leafBirth stands for the birth of a first region, which was not merged: more than four
// similarities of at most 1.
const leafBirth = 4

// describe puts the features of proposal i, the next of those that a glance was of. A float32
// product that is added to something is converted first, here and below, so that it is not fused
// with the sum.
func (s *scenery) describe(i int, g *glance, out *column) {
	p := &s.Proposals[i]
	b := p.Box
	width, height := float32(s.Image.Width), float32(s.Image.Height)
	w, h := float32(b.Width()), float32(b.Height())
	area := float32(b.Area())

	var position, birth, death, life, fill, grow, parent stat
	var spaces uint64
	strategies, last, first := float32(0), int32(-1), float32(0)
	family := g.left[:len(p.Origins)]
	g.left = g.left[len(p.Origins):]
	for k, o := range p.Origins {
		if o.Strategy != last { // they come in the strategies' order
			strategies++
			last = o.Strategy
		}
		spaces |= 1 << (s.spaces[o.Strategy] % 64)
		born := o.Birth
		n := &family[k]
		if n.leaf {
			first++
			born = leafBirth
		}
		position.add(log2(float32(o.Position)))
		birth.add(born)
		death.add(o.Death)
		life.add(born - o.Death)
		fill.add(float32(o.Size) / area)
		if n.parent < 0 {
			grow.add(0)
			parent.add(0)
			continue
		}
		grow.add(log2(n.area / area))
		parent.add(log2(n.size / float32(o.Size)))
	}
	out.put(log2(position.n), strategies, float32(bits.OnesCount64(spaces)), first/position.n)
	for _, t := range [...]*stat{&position, &birth, &death, &life, &fill, &grow, &parent} {
		out.stat(t)
	}

	left, right := float32(b.X0), width-float32(b.X1)
	top, bottom := float32(b.Y0), height-float32(b.Y1)
	borders := float32(0)
	for _, d := range [...]float32{left, right, top, bottom} {
		if d == 0 {
			borders++
		}
	}
	middle := float32(b.X0+b.X1)/(2*width) - .5
	out.put(log2(area/float32(width*height)), w/width, h/height, log2(w/h), log2(min(w, h)),
		max(middle, -middle), float32(b.Y0+b.Y1)/(2*height), min(left, right)/width, max(left, right)/width,
		top/height, bottom/height, borders)

	counts := &g.votes[out.box]
	var votes [len(counts)]float32
	sum := float32(0)
	for k, v := range slices.Backward(counts[:]) {
		sum += float32(v)
		votes[k] = sum
	}
	for _, v := range votes {
		out.put(log2((v + 1) / float32(len(s.Trees))))
	}
	out.put(votes[4]/(votes[1]+1), votes[3]/(votes[0]+1), votes[2]/(votes[0]+1))

	s.look(g, out)
	s.lay(b, &g.means[2*out.box], out)
}

// look puts the features that are of the picture.
func (s *scenery) look(g *glance, out *column) {
	theBox, theRing := 2*out.box, 2*out.box+1
	inside, outside, whole := &g.means[theBox], &g.means[theRing], &s.picture.all
	steep := whole[across] + whole[down] + 1
	for _, m := range inside[:lightness] {
		out.put((m + .5) / steep)
	}
	out.put(inside[lightness:][:3]...)

	if n, m := float32(g.counts[theBox]), float32(g.counts[theRing]); m > n {
		for i := range outside {
			outside[i] = (float32(outside[i]*m) - float32(inside[i]*n)) / (m - n)
		}
	} else {
		outside = inside
	}
	out.put(log2((outside[across]+1)/(inside[across]+1)), log2((outside[down]+1)/(inside[down]+1)))
	for k := lightness; k <= blueYellow; k++ {
		out.put(apart(inside[k], outside[k]))
	}
	out.put(difference(inside, outside), difference(inside, whole))
}

// lay looks at the grid, which [column.finish] puts.
func (s *scenery) lay(b box.Box, inside *means, out *column) {
	p := &s.picture
	var rows, columns [grid]simd.Span
	whole := spans(&rows, b.Y0, b.Y1, p.shift, p.height, p.width+1)
	whole = spans(&columns, b.X0, b.X1, p.shift, p.width, 1) && whole
	// As they come, but for what is not in the picture: that is like the box.
	const colourUnit = 32
	gain := means{lightness: 1. / colourUnit, greenRed: 1. / colourUnit, blueYellow: 1. / colourUnit}
	offset := means{lightness: inside[lightness], greenRed: inside[greenRed], blueYellow: inside[blueYellow]}
	steep := 1 / (inside[across] + inside[down] + 2)
	for k := range lightness {
		gain[k] = steep
	}
	cells := (*[grid * grid]means)(out.grids[out.box*grid*grid:])
	simd.Grid(cells, p.table, &rows, &columns, &offset, &gain)
	if whole {
		return
	}
	for k := range grid {
		if rows[k].Scale == 0 {
			clear(cells[k*grid:][:grid])
		}
		for i := k; columns[k].Scale == 0 && i < len(cells); i += grid {
			cells[i] = means{}
		}
	}
}

// spans are where the grid's rows, or columns, begin and end in the picture, in steps of pitch
// entries of the table, and one over how many cells of the picture they are wide, which is at
// least one: 0 for those that are not in the picture, of which there is none if whole is true.
// They are a quarter of the box's side apart, from a quarter before it on.
func spans(dst *[grid]simd.Span, from, to int32, shift, most, pitch int) (whole bool) {
	line := func(k int) int { return (4*int(from) + (k-1)*int(to-from) + 2<<shift) >> (shift + 2) }
	at := line(0)
	whole = true
	for k := range dst {
		next := line(k + 1)
		a, b := min(max(at, 0), most), min(max(next, at+1, 0), most)
		dst[k] = simd.Span{Begin: int32(a * pitch), End: int32(b * pitch)}
		if a < b {
			dst[k].Scale = 1 / float32(b-a)
		} else {
			whole = false
		}
		at = next
	}
	return whole
}

func apart(a, b float32) float32 { return max(a-b, b-a) }

// difference is that of two colours.
func difference(a, b *means) float32 {
	return apart(a[lightness], b[lightness]) + apart(a[greenRed], b[greenRed]) + apart(a[blueYellow], b[blueYellow])
}
