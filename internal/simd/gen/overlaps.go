package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

func overlaps() {
	function("overlapsAVX2", "func(found *int32, ious *float32, x0, y0, x1, y1, ids *int32, areas *float32, n int, box *[4]int32, area, least float32) int",
		"overlapsAVX2 reads up to seven elements behind the first n.")
	found, ious := param("found"), param("ious")
	var sides [4]reg.Register
	for i, name := range []string{"x0", "y0", "x1", "y1"} {
		sides[i] = param(name)
	}
	ids, areas, n := param("ids"), param("areas"), param("n")
	box, one := param("box"), [4]reg.VecVirtual{}
	for i := range one {
		one[i] = YMM()
		VPBROADCASTD(Mem{Base: box, Disp: 4 * i}, one[i])
	}
	area, least, lanes, left, eight := YMM(), YMM(), YMM(), YMM(), constant(8)
	VBROADCASTSS(address("area"), area)
	VBROADCASTSS(address("least"), least)
	rows := GP64()
	LEAQ(packing, rows)
	Comment("What is left, beside the lanes' numbers, tells which lanes are of the first n.")
	VPMOVZXBD(Mem{Base: rows, Disp: 8 * 255}, lanes)
	VMOVD(n.As32(), left.AsX())
	VPBROADCASTD(left.AsX(), left)
	i, count := GP64(), GP64()
	XORQ(i, i)
	XORQ(count, count)
	along := func(axis int) reg.VecVirtual {
		low, high, apart := YMM(), YMM(), YMM()
		VPMAXSD(at(sides[axis], i, 4, 0), one[axis], low)
		VPMINSD(at(sides[axis+2], i, 4, 0), one[axis+2], high)
		VPCMPGTD(low, high, apart)
		VPSUBD(low, high, high)
		VPAND(apart, high, high)
		VCVTDQ2PS(high, high)
		return high
	}
	JMP(LabelRef("test"))
	Label("loop")
	inter, union, yes, order, mask := along(0), YMM(), YMM(), YMM(), GP64()
	VMULPS(along(1), inter, inter)
	VADDPS(at(areas, i, 4, 0), area, union)
	VSUBPS(inter, union, union)
	VDIVPS(union, inter, inter)
	Comment("At least, and not a NaN.")
	VCMPPS(U8(0x1d), least, inter, yes)
	VPCMPGTD(lanes, left, order)
	VPAND(order, yes, yes)
	VMOVMSKPS(yes, mask.As32())
	VPMOVZXBD(at(rows, mask, 8, 0), order)
	VPERMPS(inter, order, inter)
	VMOVUPS(inter, at(ious, count, 4, 0))
	VPERMD(at(ids, i, 4, 0), order, order)
	VMOVDQU(order, at(found, count, 4, 0))
	POPCNTL(mask.As32(), mask.As32())
	ADDQ(mask, count)
	ADDQ(U8(8), i)
	VPSUBD(eight, left, left)
	Label("test")
	CMPQ(i, n)
	JLT(LabelRef("loop"))
	Store(count, ReturnIndex(0))
	finish()
}
