package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// The edges of a cell of the grid, in the order of equal weights.
const (
	top = iota
	left
	falling
	right
	rising
	bottom
	cellEdges
)

// words are 16 words of 1.
func words() reg.VecVirtual {
	v := YMM()
	VPCMPEQW(v, v, v)
	VPSRLW(U8(15), v, v)
	return v
}

// cell is where the weights of a cell's edges are.
type cell struct {
	at  [cellEdges]Mem
	one reg.Register
}

// edge loads the least weight with which edge from comes after edge f.
func (c *cell) edge(f, from int) reg.VecVirtual {
	v := YMM()
	VMOVDQU(c.at[f], v)
	if f > from {
		VPADDUSW(c.one, v, v)
	}
	return v
}

// way is the least weight with which edge from comes after all edges of a way.
func (c *cell) way(from int, edges ...int) reg.VecVirtual {
	v := c.edge(edges[0], from)
	for _, f := range edges[1:] {
		VPMAXUW(c.edge(f, from), v, v)
	}
	return v
}

// last is all bits where edge e, with weights w, comes after all edges of a way from
// one of its ends to the other.
func (c *cell) last(e int, w reg.Register, ways ...[]int) reg.VecVirtual {
	least := c.way(e, ways[0]...)
	for _, way := range ways[1:] {
		VPMINUW(c.way(e, way...), least, least)
	}
	VPMAXUW(w, least, least)
	VPCMPEQW(w, least, least)
	return least
}

// The ways around an edge: without diagonals one, with them two of two edges and two of three.
var (
	around4 = [cellEdges][][]int{
		top:    {{left, right, bottom}},
		left:   {{top, right, bottom}},
		right:  {{top, left, bottom}},
		bottom: {{top, left, right}},
	}
	around8 = [cellEdges][][]int{
		top:     {{left, rising}, {falling, right}, {left, bottom, right}, {falling, bottom, rising}},
		left:    {{top, rising}, {falling, bottom}, {top, right, bottom}, {falling, right, rising}},
		falling: {{top, right}, {left, bottom}, {top, rising, bottom}, {left, rising, right}},
		right:   {{top, falling}, {rising, bottom}, {top, left, bottom}, {falling, left, rising}},
		rising:  {{top, left}, {right, bottom}, {top, falling, bottom}, {left, falling, right}},
		bottom:  {{left, falling}, {rising, right}, {left, top, right}, {falling, top, rising}},
	}
)

// thin stores the weights of an edge with all bits set where it is last in one of its cells.
func thin(dst Mem, e [2]int, cells [2]*cell, around *[cellEdges][][]int) {
	w := YMM()
	VMOVDQU(cells[0].at[e[0]], w)
	out := YMM()
	VMOVDQA(w, out)
	for i, c := range cells {
		if c != nil {
			VPOR(c.last(e[i], w, around[e[i]]...), out, out)
		}
	}
	VMOVDQU(out, dst)
}

// grid addresses the cell whose top left pixel is displaced by dx from pixel i of the rows.
func grid(i, one, r, d, f, ri, rBelow reg.Register, dx int) *cell {
	c := &cell{one: one}
	c.at[top], c.at[left], c.at[right], c.at[bottom] = at(r, i, 2, 2*dx), at(d, i, 2, 2*dx), at(d, i, 2, 2*dx+2), at(rBelow, i, 2, 2*dx)
	if f != nil {
		c.at[falling], c.at[rising] = at(f, i, 2, 2*dx), at(ri, i, 2, 2*dx+2)
	}
	return c
}

func thin4() {
	function("thin4AVX2", "func(keptRight, keptDown, rightAbove, downAbove, right, down, rightBelow *uint16, n int)",
		"thin4AVX2 needs n ≥ 16, and the weights from the pixel before the first to the one after the last.")
	keptRight, keptDown := param("keptRight"), param("keptDown")
	ra, da, r, d, rb := param("rightAbove"), param("downAbove"), param("right"), param("down"), param("rightBelow")
	one := words()
	each(16, func(i reg.Register) {
		above, here, before := grid(i, one, ra, da, nil, nil, r, 1), grid(i, one, r, d, nil, nil, rb, 1), grid(i, one, r, d, nil, nil, rb, 0)
		thin(at(keptRight, i, 2, 0), [2]int{top, bottom}, [2]*cell{here, above}, &around4)
		thin(at(keptDown, i, 2, 0), [2]int{left, right}, [2]*cell{here, before}, &around4)
	})
}

func thin8Right() {
	function("thin8RightAVX2", "func(kept, rightAbove, downAbove, fallingAbove, risingAbove, right, down, falling, rising, rightBelow *uint16, n int)",
		"thin8RightAVX2 needs what thin4AVX2 needs.")
	kept := param("kept")
	ra, da, fa, ia := param("rightAbove"), param("downAbove"), param("fallingAbove"), param("risingAbove")
	r, d, f, ri, rb := param("right"), param("down"), param("falling"), param("rising"), param("rightBelow")
	one := words()
	each(16, func(i reg.Register) {
		above, here := grid(i, one, ra, da, fa, ia, r, 1), grid(i, one, r, d, f, ri, rb, 1)
		thin(at(kept, i, 2, 0), [2]int{top, bottom}, [2]*cell{here, above}, &around8)
	})
}

func thin8Down() {
	function("thin8DownAVX2", "func(keptDown, keptFalling, keptRising, right, down, falling, rising, rightBelow *uint16, n int)",
		"thin8DownAVX2 needs what thin4AVX2 needs.")
	keptDown, keptFalling, keptRising := param("keptDown"), param("keptFalling"), param("keptRising")
	r, d, f, ri, rb := param("right"), param("down"), param("falling"), param("rising"), param("rightBelow")
	one := words()
	each(16, func(i reg.Register) {
		here, before := grid(i, one, r, d, f, ri, rb, 1), grid(i, one, r, d, f, ri, rb, 0)
		thin(at(keptDown, i, 2, 0), [2]int{left, right}, [2]*cell{here, before}, &around8)
		thin(at(keptFalling, i, 2, 0), [2]int{falling}, [2]*cell{here}, &around8)
		thin(at(keptRising, i, 2, 0), [2]int{rising}, [2]*cell{before}, &around8)
	})
}

// The ends of an edge of a cell, whose corners are top left, top right, bottom left and bottom right.
var ends = [cellEdges][2]int{top: {0, 1}, left: {0, 2}, falling: {0, 3}, right: {1, 3}, rising: {1, 2}, bottom: {2, 3}}

// field addresses cells in planes of weights and of labels, three rows of each.
type field struct {
	right, down, falling, rising, labels reg.Register
	rows                                 [3]reg.Register // what to add to a pixel's place: above, here, below
	one                                  reg.Register
}

// cell is the one whose top left pixel is displaced by dx in a row.
func (f *field) cell(row, dx int) (c *cell, corners [4]Mem) {
	here, below := f.rows[row], f.rows[row+1]
	c = &cell{one: f.one}
	c.at[top], c.at[bottom] = at(f.right, here, 2, 2*dx), at(f.right, below, 2, 2*dx)
	c.at[left], c.at[right] = at(f.down, here, 2, 2*dx), at(f.down, here, 2, 2*dx+2)
	if f.falling != nil {
		c.at[falling], c.at[rising] = at(f.falling, here, 2, 2*dx), at(f.rising, here, 2, 2*dx+2)
	}
	corners = [4]Mem{
		at(f.labels, here, 2, 2*dx), at(f.labels, here, 2, 2*dx+2),
		at(f.labels, below, 2, 2*dx), at(f.labels, below, 2, 2*dx+2),
	}
	return c, corners
}

// As add takes them.
func and(ops ...Op) { VPAND(ops[0], ops[1], ops[2]) }
func or(ops ...Op)  { VPOR(ops[0], ops[1], ops[2]) }

// alike is all bits where both pairs of labels are equal.
func alike(pairs ...[2]Mem) reg.VecVirtual {
	var all reg.VecVirtual
	for _, p := range pairs {
		v := YMM()
		VMOVDQU(p[0], v)
		VPCMPEQW(p[1], v, v)
		add(&all, v, and)
	}
	return all
}

// beaten is all bits where an edge that comes before e, with weights w, lies between the
// same two labels.
func (c *cell) beaten(e int, w reg.Register, corners [4]Mem) (out reg.VecVirtual) {
	a, b := ends[e][0], ends[e][1]
	for f := range c.at {
		if f == e || c.at[f].Base == nil {
			continue
		}
		s, t := ends[f][0], ends[f][1]
		var same reg.VecVirtual
		switch {
		case a == s:
			same = alike([2]Mem{corners[b], corners[t]})
		case a == t:
			same = alike([2]Mem{corners[b], corners[s]})
		case b == s:
			same = alike([2]Mem{corners[a], corners[t]})
		case b == t:
			same = alike([2]Mem{corners[a], corners[s]})
		default:
			same = alike([2]Mem{corners[a], corners[s]}, [2]Mem{corners[b], corners[t]})
			VPOR(alike([2]Mem{corners[a], corners[t]}, [2]Mem{corners[b], corners[s]}), same, same)
		}
		before := c.edge(f, e)
		VPMAXUW(w, before, before)
		VPCMPEQW(w, before, before)
		VPAND(same, before, before)
		add(&out, before, or)
	}
	return out
}

// place is that of an edge in one of its cells: which edge it is there, and where the cell is.
type place struct{ edge, row, dx int }

// border stores the weights of an edge with all bits set where it is within a label, or
// beaten in one of its cells.
func (f *field) border(dst, i reg.Register, places ...place) {
	var w, out reg.VecVirtual
	for _, p := range places {
		c, corners := f.cell(p.row, p.dx)
		if w == nil {
			w = YMM()
			VMOVDQU(c.at[p.edge], w)
			out = alike([2]Mem{corners[ends[p.edge][0]], corners[ends[p.edge][1]]})
			VPOR(w, out, out)
		}
		VPOR(c.beaten(p.edge, w, corners), out, out)
	}
	VMOVDQU(out, at(dst, i, 2, 0))
}

// newField takes planes from the pixel before the first of the row above on.
func newField(diagonals bool) *field {
	f := &field{right: param("right"), down: param("down"), one: words()}
	if diagonals {
		f.falling, f.rising = param("falling"), param("rising")
	}
	f.labels = param("labels")
	for k := range f.rows {
		f.rows[k] = GP64()
	}
	return f
}

// each is the other each, with the rows' places at hand.
func (f *field) each(body func(i reg.Register)) {
	stride := param("stride")
	each(16, func(i reg.Register) {
		LEAQ(Mem{Base: i, Disp: 1}, f.rows[0])
		LEAQ(Mem{Base: f.rows[0], Index: stride, Scale: 1}, f.rows[1])
		LEAQ(Mem{Base: f.rows[1], Index: stride, Scale: 1}, f.rows[2])
		body(i)
	})
}

func borders4() {
	function("borders4AVX2", "func(keptRight, keptDown, right, down, labels *uint16, stride, n int)",
		"borders4AVX2 needs n ≥ 16, and three rows from the pixel before the first to the one after the last.")
	keptRight, keptDown := param("keptRight"), param("keptDown")
	f := newField(false)
	f.each(func(i reg.Register) {
		f.border(keptRight, i, place{top, 1, 0}, place{bottom, 0, 0})
		f.border(keptDown, i, place{left, 1, 0}, place{right, 1, -1})
	})
}

func borders8Right() {
	function("borders8RightAVX2", "func(kept, right, down, falling, rising, labels *uint16, stride, n int)",
		"borders8RightAVX2 needs what borders4AVX2 needs.")
	kept := param("kept")
	f := newField(true)
	f.each(func(i reg.Register) {
		f.border(kept, i, place{top, 1, 0}, place{bottom, 0, 0})
	})
}

func borders8Down() {
	function("borders8DownAVX2", "func(keptDown, keptFalling, keptRising, right, down, falling, rising, labels *uint16, stride, n int)",
		"borders8DownAVX2 needs what borders4AVX2 needs.")
	keptDown, keptFalling, keptRising := param("keptDown"), param("keptFalling"), param("keptRising")
	f := newField(true)
	f.each(func(i reg.Register) {
		f.border(keptDown, i, place{left, 1, 0}, place{right, 1, -1})
		f.border(keptFalling, i, place{falling, 1, 0})
		f.border(keptRising, i, place{rising, 1, -1})
	})
}
