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
