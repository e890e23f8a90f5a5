package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

const (
	oneBin  = 0x3f800000 // 1
	notLess = U8(29)     // of VCMPPS
)

// bins stores the bins of 16 pixels' samples, those of a plane above those of the one before.
func bins(name string, planes ...string) {
	list := planes[0]
	for _, p := range planes[1:] {
		list += ", " + p
	}
	function(name, "func(dst *uint16, "+list+" *uint8, n int)", name+" needs n ≥ 16.")
	dst := param("dst")
	from := make([]reg.Register, len(planes))
	for i, p := range planes {
		from[i] = param(p)
	}
	colours := constant(25<<16 | 25)
	each(16, func(i reg.Register) {
		var out reg.VecVirtual
		for p := range from {
			v := YMM()
			VPMOVZXBW(at(from[p], i, 1, 0), v)
			VPMULLW(colours, v, v)
			VPSRLW(U8(8), v, v)
			if p == 0 {
				out = v
				continue
			}
			VPSLLW(U8(5*p), v, v)
			VPOR(v, out, out)
		}
		VMOVDQU(out, at(dst, i, 2, 0))
	})
}

// textures packs the derivatives and the numbers of what it lists to the front, and then
// finds the places: of most samples it needs none.
func textures() {
	function("texturesAVX2", "func(list *uint32, gx, gy *float32, scale, diagonal float32, n int) int",
		"texturesAVX2 needs n ≥ 8, and room for n+7 in the list.")
	list, gx, gy, n := param("list"), param("gx"), param("gy"), param("n")
	scale, diagonal := YMM(), YMM()
	VBROADCASTSS(address("scale"), scale)
	VBROADCASTSS(address("diagonal"), diagonal)
	rows, i, k := GP64(), GP64(), GP64()
	LEAQ(packing, rows)
	SUBQ(U8(8), n)
	Comment("The last vector ends with the slices; what it has of the one before is left out.")
	lastU, lastV, ahead := YMM(), YMM(), constant(8)
	VMOVUPS(at(gx, n, 4, 0), lastU)
	VMOVUPS(at(gy, n, 4, 0), lastV)
	first := YMM()
	VPXOR(first, first, first)

	// listed are those of eight samples with a response of 1 or more. Of the diagonal
	// ones the greater is |u|+|v|.
	magnitude, one := constant(withoutTheSign), constant(oneBin)
	listed := func(u, v reg.Register) reg.GPVirtual {
		a, b, most, set := YMM(), YMM(), YMM(), GP32()
		VANDPS(magnitude, u, a)
		VANDPS(magnitude, v, b)
		VMAXPS(a, b, most)
		VADDPS(a, b, a)
		VMULPS(scale, most, most)
		VMULPS(diagonal, a, a)
		VMAXPS(a, most, most)
		VCMPPS(notLess, one, most, most)
		VMOVMSKPS(most, set)
		return set
	}
	// pack packs the derivatives of a set of the samples from first on, and their numbers.
	pack := func(set reg.GPVirtual, u, v reg.Register) (number reg.VecVirtual) {
		lanes := YMM()
		VPMOVZXBD(at(rows, set.As64(), 8, 0), lanes)
		VPERMPS(u, lanes, u)
		VPERMPS(v, lanes, v)
		VPADDD(first, lanes, lanes)
		POPCNTL(set, set)
		return lanes
	}
	XORQ(i, i)
	XORQ(k, k)
	JMP(LabelRef("test"))
	Label("loop")
	{
		u, v := YMM(), YMM()
		VMOVUPS(at(gx, i, 4, 0), u)
		VMOVUPS(at(gy, i, 4, 0), v)
		set := listed(u, v)
		VMOVDQU(pack(set, u, v), at(list, k, 4, 0))
		VMOVUPS(u, at(gx, k, 4, 0))
		VMOVUPS(v, at(gy, k, 4, 0))
		ADDQ(set.As64(), k)
	}
	VPADDD(ahead, first, first)
	ADDQ(U8(8), i)
	Label("test")
	CMPQ(i, n)
	JLT(LabelRef("loop"))

	MOVQ(i, reg.RCX)
	SUBQ(n, reg.RCX)
	among := GP32()
	MOVL(U32(1<<32-1), among)
	SHLL(reg.CL, among)
	set := listed(lastU, lastV)
	ANDL(among, set)
	VMOVD(n.As32(), first.AsX())
	VPBROADCASTD(first.AsX(), first)
	lastNumber := pack(set, lastU, lastV)

	last, bins, fields := constant(9<<16|9), constant(10<<16|10), constant(1<<21|1)
	// places are those of two responses, one in a word and one in the next.
	places := func(r, s reg.VecVirtual) reg.VecVirtual {
		negative := YMM()
		VCVTTPS2DQ(r, r)
		VCVTTPS2DQ(s, s)
		VPSLLD(U8(16), s, s)
		VPBLENDW(U8(0b10101010), s, r, r)
		VPSRAW(U8(15), r, negative)
		VPABSW(r, r)
		VPMINUW(last, r, r)
		VPAND(bins, negative, negative)
		VPADDW(negative, r, r)
		VPMADDWD(fields, r, r)
		return r
	}
	code := func(number, u, v reg.VecVirtual, dst Mem) {
		sum, difference := YMM(), YMM()
		VADDPS(v, u, sum)
		VSUBPS(u, v, difference)
		VMULPS(scale, u, u)
		VMULPS(scale, v, v)
		VMULPS(diagonal, sum, sum)
		VMULPS(diagonal, difference, difference)
		low, high := places(u, sum), places(v, difference)
		VPSLLD(U8(10), high, high)
		VPSLLD(U8(20), number, number)
		VPOR(high, low, low)
		VPOR(number, low, low)
		VMOVDQU(low, dst)
	}
	XORQ(i, i)
	JMP(LabelRef("testCodes"))
	Label("codes")
	{
		number, u, v := YMM(), YMM(), YMM()
		VMOVDQU(at(list, i, 4, 0), number)
		VMOVUPS(at(gx, i, 4, 0), u)
		VMOVUPS(at(gy, i, 4, 0), v)
		code(number, u, v, at(list, i, 4, 0))
	}
	ADDQ(U8(8), i)
	Label("testCodes")
	CMPQ(i, k)
	JLT(LabelRef("codes"))
	code(lastNumber, lastU, lastV, at(list, k, 4, 0))
	ADDQ(set.As64(), k)
	Store(k, ReturnIndex(0))
	finish()
}

// newOrder is what packBytes needs.
func newOrder() reg.VecVirtual {
	order := YMM()
	Comment("Packing leaves fours of the vectors in turn.")
	g := GP64()
	MOVQ(U64(0x0703060205010400), g)
	VMOVQ(g, order.AsX())
	VPMOVZXBD(order.AsX(), order)
	return order
}

// packBytes packs four vectors of 32 bits into one of bytes, in the first of them.
func packBytes(v [4]reg.VecVirtual, order reg.VecVirtual) reg.VecVirtual {
	VPACKSSDW(v[1], v[0], v[0])
	VPACKSSDW(v[3], v[2], v[2])
	VPACKSSWB(v[2], v[0], v[0])
	VPERMD(v[0], order, v[0])
	return v[0]
}

func differ() {
	function("differAVX2", "func(bits *uint8, a, b *int32, n int)", "differAVX2 takes n bytes of bits.")
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

// increment adds one to the counts of a row, at the places that fields of five bits tell,
// the highest of which has nothing above it.
func increment(row, fields reg.Register, step int, n int) {
	for k := range n {
		place := GP32()
		MOVL(fields, place)
		if k > 0 {
			SHRL(U8(5*k), place)
		}
		if k < n-1 {
			ANDL(U8(31), place)
		}
		INCL(Mem{Base: row, Index: place.As64(), Scale: 4, Disp: 4 * step * k})
	}
}

// rowOf is the row of a label, or it jumps to the end if that is beyond the last.
func rowOf(label Mem, counts, row, last reg.Register) reg.GPVirtual {
	p := GP64()
	MOVL(label, p.As32())
	IMULQ(row, p)
	CMPQ(p, last)
	JGT(LabelRef("end"))
	LEAQ(at(counts, p, 4, 0), p)
	return p
}

// addBins3 counts at two places in turn: neighbours often share a counter, and the second
// then waits for the first.
func addBins3() {
	function("addBins3AMD64", "func(counts *uint32, row, last int, bins *uint16, labels *int32, n int) int",
		"addBins3AMD64 counts elements i and n+i until i is n, or the row of one would begin behind the last.")
	counts, row, last, n := param("counts"), param("row"), param("last"), param("n")
	bins, labels := param("bins"), param("labels")
	binsBehind, labelsBehind, i := GP64(), GP64(), GP64()
	LEAQ(at(bins, n, 2, 0), binsBehind)
	LEAQ(at(labels, n, 4, 0), labelsBehind)
	XORQ(i, i)
	JMP(LabelRef("test"))
	Label("loop")
	for _, from := range [][2]reg.Register{{bins, labels}, {binsBehind, labelsBehind}} {
		fields := GP32()
		MOVWLZX(at(from[0], i, 2, 0), fields)
		increment(rowOf(at(from[1], i, 4, 0), counts, row, last), fields, 25, 3)
	}
	INCQ(i)
	Label("test")
	CMPQ(i, n)
	JLT(LabelRef("loop"))
	Label("end")
	Store(i, ReturnIndex(0))
	RET()
}

func addTextures() {
	function("addTexturesAMD64", "func(counts *uint32, row, last int, list *uint32, n int, labels *int32, labelled int) int",
		"addTexturesAMD64 counts until i is n, or an element has no label, or its row would begin behind the last.")
	counts, row, last, n := param("counts"), param("row"), param("last"), param("n")
	list, labels, labelled := param("list"), param("labels"), param("labelled")
	i := GP64()
	XORQ(i, i)
	JMP(LabelRef("test"))
	Label("loop")
	fields, number := GP32(), GP64()
	MOVL(at(list, i, 4, 0), fields)
	MOVL(fields, number.As32())
	SHRL(U8(20), number.As32())
	CMPQ(number, labelled)
	JGE(LabelRef("end"))
	p := rowOf(at(labels, number, 4, 0), counts, row, last)
	ANDL(U32(1<<20-1), fields)
	increment(p, fields, 20, 4)
	INCQ(i)
	Label("test")
	CMPQ(i, n)
	JLT(LabelRef("loop"))
	Label("end")
	Store(i, ReturnIndex(0))
	RET()
}
