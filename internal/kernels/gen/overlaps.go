package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

func overlaps() {
	function("overlapsAVX2", "func(found *int32, ious *float32, x0, y0, x1, y1, ids *int32, areas *float32, runs *[2]int32, n int, box *[4]int32, area, least float32) int",
		"overlapsAVX2 reads up to seven elements behind each of the n runs, and needs n to be more than 0.")
	found, ious := param("found"), param("ious")
	var sides [4]reg.Register
	for i, name := range []string{"x0", "y0", "x1", "y1"} {
		sides[i] = param(name)
	}
	ids, areas, runs, n := param("ids"), param("areas"), param("runs"), param("n")
	box, one := param("box"), [4]reg.VecVirtual{}
	for i := range one {
		one[i] = YMM()
		VPBROADCASTD(Mem{Base: box, Disp: 4 * i}, one[i])
	}
	area, least, lanes, left, eight := YMM(), YMM(), YMM(), YMM(), constant(8)
	VBROADCASTSS(address("area"), area)
	VBROADCASTSS(address("least"), least)
	bound := YMM()
	VMULPS(constant(nearlyOne), least, bound)
	rows := GP64()
	LEAQ(packing, rows)
	VPMOVZXBD(Mem{Base: rows, Disp: 8 * 255}, lanes)
	i, to, count := GP64(), GP64(), GP64()
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
	Label("run")
	MOVLQSX(Mem{Base: runs}, i)
	MOVLQSX(Mem{Base: runs, Disp: 4}, to)
	ADDQ(U8(8), runs)
	CMPQ(i, to)
	JGE(LabelRef("next"))
	Comment("What is left, beside the lanes' numbers, tells which lanes are of the run.")
	rest := GP64()
	MOVQ(to, rest)
	SUBQ(i, rest)
	VMOVD(rest.As32(), left.AsX())
	VPBROADCASTD(left.AsX(), left)
	Label("loop")
	inter, union, yes, order, mask := along(0), YMM(), YMM(), YMM(), GP64()
	VMULPS(along(1), inter, inter)
	VADDPS(at(areas, i, 4, 0), area, union)
	VSUBPS(inter, union, union)
	Comment("Most are out of the question: of those no IoU is needed. Lower than least, as bound is, no rounding matters.")
	VMULPS(bound, union, yes)
	VCMPPS(U8(0x1d), yes, inter, yes)
	VMOVMSKPS(yes, mask.As32())
	TESTL(mask.As32(), mask.As32())
	JZ(LabelRef("none"))
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
	Label("none")
	ADDQ(U8(8), i)
	VPSUBD(eight, left, left)
	CMPQ(i, to)
	JLT(LabelRef("loop"))
	Label("next")
	DECQ(n)
	JNZ(LabelRef("run"))
	Store(count, ReturnIndex(0))
	finish()
}
