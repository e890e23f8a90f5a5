package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// The bits of float32 constants.
const (
	half          = 0x3f000000
	stepsPerLevel = 0x43000000 // 128
	signless      = 0x7fffffff // a mask
)

// fixedDistances stores eight distances in units of 1/128, rounded.
func fixedDistances(distances reg.VecVirtual, steps, half reg.Register, dst Mem) {
	VMULPS(steps, distances, distances)
	VADDPS(half, distances, distances)
	VCVTTPS2DQ(distances, distances)
	VPACKUSDW(distances, distances, distances)
	VPERMQ(U8(0b1000), distances, distances)
	VMOVDQU(distances.AsX(), dst)
}

func distances1() {
	function("distances1AVX2", "func(dst *uint16, a, b *float32, n int)", "distances1AVX2 needs n ≥ 8.")
	dst, a, b := param("dst"), param("a"), param("b")
	steps, half, mask := constant(stepsPerLevel), constant(half), constant(signless)
	each(8, func(i reg.Register) {
		d := YMM()
		VMOVUPS(at(a, i, 4, 0), d)
		VSUBPS(at(b, i, 4, 0), d, d)
		VANDPS(mask, d, d)
		fixedDistances(d, steps, half, at(dst, i, 2, 0))
	})
}

func distances3() {
	function("distances3AVX2", "func(dst *uint16, a0, a1, a2, b0, b1, b2 *float32, n int)", "distances3AVX2 needs n ≥ 8.")
	dst := param("dst")
	a := [3]reg.Register{param("a0"), param("a1"), param("a2")}
	b := [3]reg.Register{param("b0"), param("b1"), param("b2")}
	steps, half := constant(stepsPerLevel), constant(half)
	each(8, func(i reg.Register) {
		var d [3]reg.VecVirtual
		for plane := range d {
			d[plane] = YMM()
			VMOVUPS(at(a[plane], i, 4, 0), d[plane])
			VSUBPS(at(b[plane], i, 4, 0), d[plane], d[plane])
			VMULPS(d[plane], d[plane], d[plane])
		}
		VADDPS(d[1], d[0], d[0])
		VADDPS(d[2], d[0], d[0])
		VSQRTPS(d[0], d[0])
		fixedDistances(d[0], steps, half, at(dst, i, 2, 0))
	})
}

// The edges of a cell, in the order of those with equal weights.
const (
	top = iota
	left
	downRight
	right
	downLeft
	bottom
	cellEdges
)

// words returns 16 words of 1.
func words() reg.VecVirtual {
	v := YMM()
	VPCMPEQW(v, v, v)
	VPSRLW(U8(15), v, v)
	return v
}

// cell addresses the weights of a cell's edges.
type cell struct {
	at  [cellEdges]Mem
	one reg.Register
}

// edge loads the smallest weight with which edge e comes after edge f.
func (c *cell) edge(f, e int) reg.VecVirtual {
	v := YMM()
	VMOVDQU(c.at[f], v)
	if f > e {
		VPADDUSW(c.one, v, v)
	}
	return v
}

// path returns the smallest weight with which edge e comes after all edges of a path.
func (c *cell) path(e int, edges ...int) reg.VecVirtual {
	v := c.edge(edges[0], e)
	for _, f := range edges[1:] {
		VPMAXUW(c.edge(f, e), v, v)
	}
	return v
}

// pruned sets all bits where edge e, with weights w, comes after all edges of one of the paths.
func (c *cell) pruned(e int, w reg.Register, paths ...[]int) reg.VecVirtual {
	smallest := c.path(e, paths[0]...)
	for _, path := range paths[1:] {
		VPMINUW(c.path(e, path...), smallest, smallest)
	}
	VPMAXUW(w, smallest, smallest)
	VPCMPEQW(w, smallest, smallest)
	return smallest
}

// The other paths between the ends of an edge: without diagonals one, with them two of two edges and
// two of three.
var (
	paths4 = [cellEdges][][]int{
		top:    {{left, right, bottom}},
		left:   {{top, right, bottom}},
		right:  {{top, left, bottom}},
		bottom: {{top, left, right}},
	}
	paths8 = [cellEdges][][]int{
		top:       {{left, downLeft}, {downRight, right}, {left, bottom, right}, {downRight, bottom, downLeft}},
		left:      {{top, downLeft}, {downRight, bottom}, {top, right, bottom}, {downRight, right, downLeft}},
		downRight: {{top, right}, {left, bottom}, {top, downLeft, bottom}, {left, downLeft, right}},
		right:     {{top, downRight}, {downLeft, bottom}, {top, left, bottom}, {downRight, left, downLeft}},
		downLeft:  {{top, left}, {right, bottom}, {top, downRight, bottom}, {left, downRight, right}},
		bottom:    {{left, downRight}, {downLeft, right}, {left, top, right}, {downRight, top, downLeft}},
	}
)

// prune stores the weights of an edge, with all bits set where it is pruned in one of its cells.
func prune(dst Mem, e [2]int, cells [2]*cell, paths *[cellEdges][][]int) {
	w := YMM()
	VMOVDQU(cells[0].at[e[0]], w)
	out := YMM()
	VMOVDQA(w, out)
	for i, c := range cells {
		if c != nil {
			VPOR(c.pruned(e[i], w, paths[e[i]]...), out, out)
		}
	}
	VMOVDQU(out, dst)
}

// newCell returns the cell whose top left pixel is displaced by dx from pixel i of the rows.
func newCell(i, one, r, d, f, ri, rBelow reg.Register, dx int) *cell {
	c := &cell{one: one}
	c.at[top], c.at[left], c.at[right], c.at[bottom] = at(r, i, 2, 2*dx), at(d, i, 2, 2*dx), at(d, i, 2, 2*dx+2), at(rBelow, i, 2, 2*dx)
	if f != nil {
		c.at[downRight], c.at[downLeft] = at(f, i, 2, 2*dx), at(ri, i, 2, 2*dx+2)
	}
	return c
}

func pruneEdges4() {
	function("pruneEdges4AVX2", "func(keptRight, keptDown, rightAbove, downAbove, right, down, rightBelow *uint16, n int)",
		"pruneEdges4AVX2 needs n ≥ 16, and weights from one pixel before to one pixel after the n pixels.")
	keptRight, keptDown := param("keptRight"), param("keptDown")
	ra, da, r, d, rb := param("rightAbove"), param("downAbove"), param("right"), param("down"), param("rightBelow")
	one := words()
	each(16, func(i reg.Register) {
		above, here, before := newCell(i, one, ra, da, nil, nil, r, 1), newCell(i, one, r, d, nil, nil, rb, 1), newCell(i, one, r, d, nil, nil, rb, 0)
		prune(at(keptRight, i, 2, 0), [2]int{top, bottom}, [2]*cell{here, above}, &paths4)
		prune(at(keptDown, i, 2, 0), [2]int{left, right}, [2]*cell{here, before}, &paths4)
	})
}

func pruneEdges8Right() {
	function("pruneEdges8RightAVX2", "func(kept, rightAbove, downAbove, downRightAbove, downLeftAbove, right, down, downRight, downLeft, rightBelow *uint16, n int)",
		"pruneEdges8RightAVX2 has the requirements of pruneEdges4AVX2.")
	kept := param("kept")
	ra, da, fa, ia := param("rightAbove"), param("downAbove"), param("downRightAbove"), param("downLeftAbove")
	r, d, f, ri, rb := param("right"), param("down"), param("downRight"), param("downLeft"), param("rightBelow")
	one := words()
	each(16, func(i reg.Register) {
		above, here := newCell(i, one, ra, da, fa, ia, r, 1), newCell(i, one, r, d, f, ri, rb, 1)
		prune(at(kept, i, 2, 0), [2]int{top, bottom}, [2]*cell{here, above}, &paths8)
	})
}

func pruneEdges8Down() {
	function("pruneEdges8DownAVX2", "func(keptDown, keptDownRight, keptDownLeft, right, down, downRight, downLeft, rightBelow *uint16, n int)",
		"pruneEdges8DownAVX2 has the requirements of pruneEdges4AVX2.")
	keptDown, keptDownRight, keptDownLeft := param("keptDown"), param("keptDownRight"), param("keptDownLeft")
	r, d, f, ri, rb := param("right"), param("down"), param("downRight"), param("downLeft"), param("rightBelow")
	one := words()
	each(16, func(i reg.Register) {
		here, before := newCell(i, one, r, d, f, ri, rb, 1), newCell(i, one, r, d, f, ri, rb, 0)
		prune(at(keptDown, i, 2, 0), [2]int{left, right}, [2]*cell{here, before}, &paths8)
		prune(at(keptDownRight, i, 2, 0), [2]int{downRight}, [2]*cell{here}, &paths8)
		prune(at(keptDownLeft, i, 2, 0), [2]int{downLeft}, [2]*cell{before}, &paths8)
	})
}

// The corners that an edge of a cell connects: 0 top left, 1 top right, 2 bottom left, 3 bottom right.
var ends = [cellEdges][2]int{top: {0, 1}, left: {0, 2}, downRight: {0, 3}, right: {1, 3}, downLeft: {1, 2}, bottom: {2, 3}}

// planes addresses cells in planes of weights and labels, with three rows each.
type planes struct {
	right, down, downRight, downLeft, labels reg.Register
	rows                                     [3]reg.Register // the offsets of pixel i in the rows above, here and below
	one                                      reg.Register
}

// cell returns the cell whose top left pixel is displaced by dx in a row.
func (f *planes) cell(row, dx int) (c *cell, corners [4]Mem) {
	here, below := f.rows[row], f.rows[row+1]
	c = &cell{one: f.one}
	c.at[top], c.at[bottom] = at(f.right, here, 2, 2*dx), at(f.right, below, 2, 2*dx)
	c.at[left], c.at[right] = at(f.down, here, 2, 2*dx), at(f.down, here, 2, 2*dx+2)
	if f.downRight != nil {
		c.at[downRight], c.at[downLeft] = at(f.downRight, here, 2, 2*dx), at(f.downLeft, here, 2, 2*dx+2)
	}
	corners = [4]Mem{
		at(f.labels, here, 2, 2*dx), at(f.labels, here, 2, 2*dx+2),
		at(f.labels, below, 2, 2*dx), at(f.labels, below, 2, 2*dx+2),
	}
	return c, corners
}

// and and or have the form that add takes.
func and(ops ...Op) { VPAND(ops[0], ops[1], ops[2]) }

func or(ops ...Op) { VPOR(ops[0], ops[1], ops[2]) }

// equal sets all bits where the labels of each pair are equal.
func equal(pairs ...[2]Mem) reg.VecVirtual {
	var all reg.VecVirtual
	for _, p := range pairs {
		v := YMM()
		VMOVDQU(p[0], v)
		VPCMPEQW(p[1], v, v)
		add(&all, v, and)
	}
	return all
}

// precedes sets all bits where an edge that comes before e, with weights w, connects the same two
// labels.
func (c *cell) precedes(e int, w reg.Register, corners [4]Mem) (out reg.VecVirtual) {
	a, b := ends[e][0], ends[e][1]
	for f := range c.at {
		if f == e || c.at[f].Base == nil {
			continue
		}
		s, t := ends[f][0], ends[f][1]
		var same reg.VecVirtual
		switch {
		case a == s:
			same = equal([2]Mem{corners[b], corners[t]})
		case a == t:
			same = equal([2]Mem{corners[b], corners[s]})
		case b == s:
			same = equal([2]Mem{corners[a], corners[t]})
		case b == t:
			same = equal([2]Mem{corners[a], corners[s]})
		default:
			same = equal([2]Mem{corners[a], corners[s]}, [2]Mem{corners[b], corners[t]})
			VPOR(equal([2]Mem{corners[a], corners[t]}, [2]Mem{corners[b], corners[s]}), same, same)
		}
		before := c.edge(f, e)
		VPMAXUW(w, before, before)
		VPCMPEQW(w, before, before)
		VPAND(same, before, before)
		add(&out, before, or)
	}
	return out
}

// position is that of an edge in one of its cells: which edge of the cell it is, and where the cell is.
type position struct{ edge, row, dx int }

// boundary stores the weights of an edge, with all bits set where its ends have the same label or an
// edge of one of its cells precedes it.
func (f *planes) boundary(dst, i reg.Register, positions ...position) {
	var w, out reg.VecVirtual
	for _, p := range positions {
		c, corners := f.cell(p.row, p.dx)
		if w == nil {
			w = YMM()
			VMOVDQU(c.at[p.edge], w)
			out = equal([2]Mem{corners[ends[p.edge][0]], corners[ends[p.edge][1]]})
			VPOR(w, out, out)
		}
		VPOR(c.precedes(p.edge, w, corners), out, out)
	}
	VMOVDQU(out, at(dst, i, 2, 0))
}

// newPlanes loads the parameters, which begin at the pixel before the first one of the row above.
func newPlanes(diagonals bool) *planes {
	f := &planes{right: param("right"), down: param("down"), one: words()}
	if diagonals {
		f.downRight, f.downLeft = param("downRight"), param("downLeft")
	}
	f.labels = param("labels")
	for k := range f.rows {
		f.rows[k] = GP64()
	}
	return f
}

// each is the function each that also computes the offsets of the rows.
func (f *planes) each(body func(i reg.Register)) {
	stride := param("stride")
	each(16, func(i reg.Register) {
		LEAQ(Mem{Base: i, Disp: 1}, f.rows[0])
		LEAQ(Mem{Base: f.rows[0], Index: stride, Scale: 1}, f.rows[1])
		LEAQ(Mem{Base: f.rows[1], Index: stride, Scale: 1}, f.rows[2])
		body(i)
	})
}

func boundaryEdges4() {
	function("boundaryEdges4AVX2", "func(keptRight, keptDown, right, down, labels *uint16, stride, n int)",
		"boundaryEdges4AVX2 needs n ≥ 16, and three rows from one pixel before to one pixel after the n pixels.")
	keptRight, keptDown := param("keptRight"), param("keptDown")
	f := newPlanes(false)
	f.each(func(i reg.Register) {
		f.boundary(keptRight, i, position{top, 1, 0}, position{bottom, 0, 0})
		f.boundary(keptDown, i, position{left, 1, 0}, position{right, 1, -1})
	})
}

func boundaryEdges8Right() {
	function("boundaryEdges8RightAVX2", "func(kept, right, down, downRight, downLeft, labels *uint16, stride, n int)",
		"boundaryEdges8RightAVX2 has the requirements of boundaryEdges4AVX2.")
	kept := param("kept")
	f := newPlanes(true)
	f.each(func(i reg.Register) {
		f.boundary(kept, i, position{top, 1, 0}, position{bottom, 0, 0})
	})
}

func boundaryEdges8Down() {
	function("boundaryEdges8DownAVX2", "func(keptDown, keptDownRight, keptDownLeft, right, down, downRight, downLeft, labels *uint16, stride, n int)",
		"boundaryEdges8DownAVX2 has the requirements of boundaryEdges4AVX2.")
	keptDown, keptDownRight, keptDownLeft := param("keptDown"), param("keptDownRight"), param("keptDownLeft")
	f := newPlanes(true)
	f.each(func(i reg.Register) {
		f.boundary(keptDown, i, position{left, 1, 0}, position{right, 1, -1})
		f.boundary(keptDownRight, i, position{downRight, 1, 0})
		f.boundary(keptDownLeft, i, position{downLeft, 1, -1})
	})
}

func edgeKeys4() {
	function("edgeKeys4AVX2", "func(dst *uint32, right, down *uint16, n int, first, limit uint32, numbers *[8]uint8) int",
		"edgeKeys4AVX2 needs n > 0, a multiple of 4.")
	r, d := param("right"), param("down")
	eachKeys(16, func(i reg.Register, pack func(words reg.VecVirtual)) {
		words, other := XMM(), XMM()
		VMOVQ(at(r, i, 2, 0), words)
		VMOVQ(at(d, i, 2, 0), other)
		VPUNPCKLWD(other, words, words)
		pack(words)
	})
}

func edgeKeys8() {
	function("edgeKeys8AVX2", "func(dst *uint32, right, down, downRight, downLeft *uint16, n int, first, limit uint32, numbers *[8]uint8) int",
		"edgeKeys8AVX2 needs n > 0, a multiple of 4.")
	rows := [4]reg.Register{param("right"), param("down"), param("downRight"), param("downLeft")}
	eachKeys(8, func(i reg.Register, pack func(words reg.VecVirtual)) {
		var v [4]reg.VecVirtual
		for k := range v {
			v[k] = XMM()
			VMOVQ(at(rows[k], i, 2, 0), v[k])
		}
		VPUNPCKLWD(v[1], v[0], v[0])
		VPUNPCKLWD(v[3], v[2], v[2])
		VPUNPCKLDQ(v[2], v[0], v[1])
		VPUNPCKHDQ(v[2], v[0], v[3])
		pack(v[1])
		pack(v[3])
	})
}

// eachKeys runs body on every fourth pixel. Its pack stores the keys of eight edges at a time, those
// below the limit first; the numbers of the next eight are higher by step.
func eachKeys(step uint32, body func(i reg.Register, pack func(words reg.VecVirtual))) {
	dst, n, rows := param("dst"), param("n"), GP64()
	LEAQ(packing, rows)
	sign, steps := constant(1<<31), constant(step)
	Comment("With the highest bit flipped, unsigned numbers compare as signed ones.")
	limit := broadcast("limit")
	VPSLLD(U8(16), limit, limit)
	VPXOR(sign, limit, limit)
	from, numbers := param("numbers"), YMM()
	VPMOVZXBD(Mem{Base: from}, numbers)
	VPADDD(broadcast("first"), numbers, numbers)
	i, found := GP64(), GP64()
	XORQ(i, i)
	XORQ(found, found)
	pack := func(words reg.VecVirtual) {
		key, t, order, mask := YMM(), YMM(), YMM(), GP64()
		VPMOVZXWD(words, key)
		VPSLLD(U8(16), key, key)
		VPOR(numbers, key, key)
		VPADDD(steps, numbers, numbers)
		VPXOR(sign, key, t)
		VPCMPGTD(t, limit, t)
		VMOVMSKPS(t, mask.As32())
		VPMOVZXBD(at(rows, mask, 8, 0), order)
		VPERMD(key, order, key)
		VMOVDQU(key, Mem{Base: dst, Index: found, Scale: 4})
		POPCNTL(mask.As32(), mask.As32())
		ADDQ(mask, found)
	}
	Label("loop")
	body(i, pack)
	ADDQ(U8(4), i)
	CMPQ(i, n)
	JLT(LabelRef("loop"))
	Store(found, ReturnIndex(0))
	finish()
}

// broadcast returns a vector of a 32-bit parameter.
func broadcast(name string) reg.VecVirtual {
	g, v := Load(Param(name), GP32()), YMM()
	VMOVD(g, v.AsX())
	VPBROADCASTD(v.AsX(), v)
	return v
}

// newOrder returns the permutation that packBytes takes.
func newOrder() reg.VecVirtual {
	order := YMM()
	Comment("Packing interleaves groups of four bytes of the vectors.")
	g := GP64()
	MOVQ(U64(0x0703060205010400), g)
	VMOVQ(g, order.AsX())
	VPMOVZXBD(order.AsX(), order)
	return order
}

// packBytes packs four vectors of 32-bit elements into one of bytes, in place of the first.
func packBytes(v [4]reg.VecVirtual, order reg.VecVirtual) reg.VecVirtual {
	VPACKSSDW(v[1], v[0], v[0])
	VPACKSSDW(v[3], v[2], v[2])
	VPACKSSWB(v[2], v[0], v[0])
	VPERMD(v[0], order, v[0])
	return v[0]
}

func diffMask() {
	function("diffMaskAVX2", "func(bits *uint8, a, b *int32, n int)", "diffMaskAVX2 needs 8·n elements for n bytes of bits.")
	bits, a, b, n := param("bits"), param("a"), param("b"), param("n")
	order := newOrder()
	mask := GP32()
	equal := func(k int) reg.VecVirtual {
		v := YMM()
		VMOVDQU(Mem{Base: a, Disp: 32 * k}, v)
		VPCMPEQD(Mem{Base: b, Disp: 32 * k}, v, v)
		return v
	}
	next := func(vectors int) {
		ADDQ(U32(32*vectors), a)
		ADDQ(U32(32*vectors), b)
		ADDQ(U8(vectors), bits)
		SUBQ(U8(vectors), n)
	}
	JMP(LabelRef("testFour"))
	Label("four")
	v := packBytes([4]reg.VecVirtual{equal(0), equal(1), equal(2), equal(3)}, order)
	VPMOVMSKB(v, mask)
	NOTL(mask)
	ORL(mask, Mem{Base: bits})
	next(4)
	Label("testFour")
	CMPQ(n, U8(4))
	JGE(LabelRef("four"))
	JMP(LabelRef("test"))
	Label("loop")
	VMOVMSKPS(equal(0), mask)
	XORL(U32(255), mask)
	ORB(mask.As8(), Mem{Base: bits})
	next(1)
	Label("test")
	CMPQ(n, U8(0))
	JNE(LabelRef("loop"))
	finish()
}
