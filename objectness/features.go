package objectness

import (
	"context"
	"fmt"
	"math"
	"math/bits"
	"slices"
	"strings"

	"github.com/proposer/proposer/box"
	"github.com/proposer/proposer/candidate"
	"github.com/proposer/proposer/internal/freelist"
	"github.com/proposer/proposer/internal/kernels"
	"github.com/proposer/proposer/raster"
)

// features are what is asked of a box, in the order in which [desk.describe] puts them.
// The part before the point is the group. Logarithms are log2's: exact at powers of two and straight between.
var features = slices.Concat([]string{
	// How many nodes, strategies and colour spaces agree on the very box, and how many of
	// the nodes are first regions.
	"trees.nodes", "trees.strategies", "trees.spaces", "trees.leaves",
	// Size, shape and place, relative to the picture, but for the shorter side in pixels.
	"place.area", "place.width", "place.height", "place.aspect", "place.side",
	"place.x", "place.y", "place.near", "place.far", "place.top", "place.bottom", "place.borders",
	// How many boxes of the pool overlap it by an IoU of .5 and so on, for each strategy,
	// and how sharply they gather.
	"votes.5", "votes.6", "votes.7", "votes.8", "votes.9", "votes.96", "votes.85", "votes.75",
}, treeFeatures(), []string{
	// What is in the box: steepness in four directions beside the picture's, and colour.
	"inside.across", "inside.down", "inside.falling", "inside.rising", "inside.L", "inside.a", "inside.b",
	// The contrast with what is around it, in steepness and colour, and with the picture.
	"around.across", "around.down", "around.L", "around.a", "around.b", "around.colour", "around.picture",
}, gridFeatures())

// treeFeatures are statistics over the tree nodes that the box is the box of: of their place in the tree; the
// similarity at which the region was born and merged away, and how long it lived between;
// how much of the box it fills; by how much its box and its pixels grow when it is merged.
func treeFeatures() (names []string) {
	for _, statistic := range [...]string{"max", "mean", "min"} {
		for _, of := range [...]string{"position", "birth", "death", "life", "fill", "grow", "parent"} {
			names = append(names, "trees."+of+"."+statistic)
		}
	}
	return names
}

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
const grid = 6

// scenery is a picture and its pool, as far as it is looked at.
type scenery struct {
	*candidate.Set
	picture picture
	spaces  []uint8 // by strategy: the number of its colour space
}

func (s *scenery) reset(ctx context.Context, e *candidate.Set) error {
	s.Set = e
	s.spaces = s.spaces[:0]
	seen := map[raster.Space]uint8{}
	for _, space := range e.Spaces {
		if _, ok := seen[space]; !ok {
			seen[space] = uint8(len(seen))
		}
		s.spaces = append(s.spaces, seen[space])
	}
	return s.picture.reset(ctx, e.Image)
}

// column collects the features of a block's boxes: numbers, one of each of the columns, that are put in
// their order for the box that it is at, and cells of seven, which follow.
type column struct {
	columns [][block]float32
	at, box int

	statistics [statistics * block]means // of the tree nodes, as treeFeatures has them
	looks      [2 * block]means          // what is inside and around
	// The grids, and their grid·grid cells.
	lattices [block]kernels.Grid
	cells    []means
}

const statistics = 3

func (c *column) reset() {
	c.columns = freelist.Resize(c.columns, len(features))
	c.cells = freelist.Resize(c.cells, block*grid*grid)
}

func (c *column) put(values ...float32) {
	columns := c.columns[c.at:][:len(values)]
	for i, v := range values {
		columns[i][c.box%block] = v
	}
	c.at += len(values)
}

// finish looks at the grids of the first n boxes, and puts all cells.
func (c *column) finish(p *picture, n int) {
	kernels.GridSums(c.cells[:n*grid*grid], p.table, c.lattices[:n])
	for i := range n { // what is not in the picture is like the box
		l, cells := &c.lattices[i], c.cells[i*grid*grid:][:grid*grid]
		for k := range grid {
			if l.Rows[k].Scale == 0 {
				clear(cells[k*grid:][:grid])
			}
			for x := k; l.Columns[k].Scale == 0 && x < len(cells); x += grid {
				cells[x] = means{}
			}
		}
	}
	for _, cells := range [...][]means{c.statistics[:], c.looks[:], c.cells} {
		many := len(cells) / block * (channels - 1)
		kernels.TransposeBlock(c.columns[c.at:][:many], cells)
		c.at += many
	}
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
	votes [block]candidate.Histogram
	kin   []kin   // of the boxes' origins, one box after the other
	nodes []means // what is asked of them
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
	proposals := s.Candidates[from:to]
	for i := range proposals {
		g.votes[i] = s.OverlapHistogram(from + i)
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

// describe puts the features of the proposals from one to another, which a glance was of. A float32
// product that is added to something is converted first, here and below, so that it is not fused
// with the sum.
func (s *scenery) describe(from, to int, g *glance, out *column) {
	var counts [block]int32
	kin := g.kin
	g.nodes = g.nodes[:0]
	for out.box = range to - from {
		p := &s.Candidates[from+out.box]
		n := len(p.Origins)
		counts[out.box] = int32(n)
		out.at = 0
		s.ask(p, kin[:n], g, out)
		s.place(p.Box, out)
		s.count(&g.votes[out.box], out)
		s.look(g, out)
		s.lay(p.Box, &g.means[2*out.box], out)
		kin = kin[n:]
	}
	kernels.MaxMeanMin(out.statistics[:statistics*(to-from)], g.nodes, counts[:to-from])
	out.finish(&s.picture, to-from)
}

// ask puts what is of the trees, and lists what is asked of the nodes.
func (s *scenery) ask(p *candidate.Candidate, kin []kin, g *glance, out *column) {
	var spaces uint64
	strategies, last, first := float32(0), int32(-1), float32(0)
	area := float32(p.Box.Area())
	for i, o := range p.Origins {
		if o.Strategy != last { // they come in the strategies' order
			strategies++
			last = o.Strategy
		}
		spaces |= 1 << (s.spaces[o.Strategy] % 64)
		k, born, size := &kin[i], o.Birth, float32(o.Size)
		if k.leaf {
			first++
			born = leafBirth
		}
		node := means{log2(float32(o.Position)), born, o.Death, born - o.Death, size / area}
		if k.parent >= 0 {
			node[5], node[6] = log2(k.area/area), log2(k.size/size)
		}
		g.nodes = append(g.nodes, node)
	}
	n := float32(len(p.Origins))
	out.put(log2(n), strategies, float32(bits.OnesCount64(spaces)), first/n)
}

// place puts what is of the box alone.
func (s *scenery) place(b box.Box, out *column) {
	width, height := float32(s.Image.Width), float32(s.Image.Height)
	w, h := float32(b.Width()), float32(b.Height())
	left, right := float32(b.X0), width-float32(b.X1)
	top, bottom := float32(b.Y0), height-float32(b.Y1)
	borders := float32(0)
	for _, d := range [...]float32{left, right, top, bottom} {
		if d == 0 {
			borders++
		}
	}
	middle := float32(b.X0+b.X1)/(2*width) - .5
	out.put(log2(float32(b.Area())/float32(width*height)), w/width, h/height, log2(w/h), log2(min(w, h)),
		max(middle, -middle), float32(b.Y0+b.Y1)/(2*height), min(left, right)/width, max(left, right)/width,
		top/height, bottom/height, borders)
}

// count puts the votes.
func (s *scenery) count(counts *candidate.Histogram, out *column) {
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
}

// look fills the cells of what is inside and around.
func (s *scenery) look(g *glance, out *column) {
	theBox, theRing := 2*out.box, 2*out.box+1
	inside, outside, whole := &g.means[theBox], &g.means[theRing], &s.picture.all
	steep := whole[across] + whole[down] + 1
	out.looks[theBox] = means{
		(inside[across] + .5) / steep, (inside[down] + .5) / steep, (inside[falling] + .5) / steep, (inside[rising] + .5) / steep,
		inside[lightness], inside[greenRed], inside[blueYellow],
	}
	if n, m := float32(g.counts[theBox]), float32(g.counts[theRing]); m > n {
		for i := range outside {
			outside[i] = (float32(outside[i]*m) - float32(inside[i]*n)) / (m - n)
		}
	} else {
		outside = inside
	}
	out.looks[theRing] = means{
		log2((outside[across] + 1) / (inside[across] + 1)), log2((outside[down] + 1) / (inside[down] + 1)),
		absDiff(inside[lightness], outside[lightness]), absDiff(inside[greenRed], outside[greenRed]),
		absDiff(inside[blueYellow], outside[blueYellow]),
		difference(inside, outside), difference(inside, whole),
	}
}

// lay lays the grid over the box.
func (s *scenery) lay(b box.Box, inside *means, out *column) {
	p, l := &s.picture, &out.lattices[out.box]
	spans(&l.Rows, b.Y0, b.Y1, p.shift, p.height, p.width+1)
	spans(&l.Columns, b.X0, b.X1, p.shift, p.width, 1)
	const colourUnit = 1. / 32
	steep := 1 / (inside[across] + inside[down] + 2)
	l.Gain = means{steep, steep, steep, steep, colourUnit, colourUnit, colourUnit}
	l.Offset = means{lightness: inside[lightness], greenRed: inside[greenRed], blueYellow: inside[blueYellow]}
}

// spans are where the grid's rows, or columns, begin and end in the picture, in steps of pitch
// entries of the table, and one over how many cells of the picture they are wide, which is at
// least one: 0 for those that are not in the picture. They are a quarter of the box's side apart, from a quarter before it on.
func spans(dst *[grid]kernels.Span, from, to int32, shift, most, pitch int) {
	line := func(k int) int { return (4*int(from) + (k-1)*int(to-from) + 2<<shift) >> (shift + 2) }
	at := line(0)
	for k := range dst {
		next := line(k + 1)
		a, b := min(max(at, 0), most), min(max(next, at+1, 0), most)
		dst[k] = kernels.Span{Begin: int32(a * pitch), End: int32(b * pitch)}
		if a < b {
			dst[k].Scale = 1 / float32(b-a)
		}
		at = next
	}
}

func absDiff(a, b float32) float32 { return max(a-b, b-a) }

// difference is that of two colours.
func difference(a, b *means) float32 {
	return absDiff(a[lightness], b[lightness]) + absDiff(a[greenRed], b[greenRed]) + absDiff(a[blueYellow], b[blueYellow])
}
