package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// nearlyOne is the float32 1 − 2⁻¹⁰.
const nearlyOne = 0x3f7fc000

func overlaps() {
	function("overlapsAVX2", "func(dst *int32, ious *float32, x0, y0, x1, y1, ids *int32, areas *float32, runs *[2]int32, n int, box *[4]int32, area, minIoU float32) int",
		"overlapsAVX2 needs n > 0 and reads up to seven elements after each of the n runs.")
	found, ious := param("dst"), param("ious")
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
	area, minIoU, lanes, left, eight := YMM(), YMM(), YMM(), YMM(), constant(8)
	VBROADCASTSS(address("area"), area)
	VBROADCASTSS(address("minIoU"), minIoU)
	bound := YMM()
	VMULPS(constant(nearlyOne), minIoU, bound)
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
	Comment("Lanes with an index below the number of boxes left belong to the run.")
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
	Comment("Most boxes are rejected without a division, by a bound below minIoU that allows for rounding.")
	VMULPS(bound, union, yes)
	VCMPPS(U8(0x1d), yes, inter, yes)
	VMOVMSKPS(yes, mask.As32())
	TESTL(mask.As32(), mask.As32())
	JZ(LabelRef("none"))
	VDIVPS(union, inter, inter)
	Comment("Greater or equal, and not a NaN.")
	VCMPPS(U8(0x1d), minIoU, inter, yes)
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

func coverageGain() {
	const coverageBits = 12
	function("coverageGainAVX2", "func(sums *[8]float32, edges *uint32, targets *float32, groups int, last uint32) int",
		"coverageGainAVX2 sums groups > 0 of eight edges up to the first group with a target above the last one. It returns the number of groups left.")
	edges, targets, groups := param("edges"), param("targets"), param("groups")
	last, sums, covers := YMM(), YMM(), constant(1<<coverageBits-1)
	VBROADCASTSS(address("last"), last)
	VXORPS(sums, sums, sums)
	Label("loop")
	group, indices, apart := YMM(), YMM(), YMM()
	VMOVDQU(Mem{Base: edges}, group)
	VPSRLD(U8(coverageBits), group, indices)
	VPMINUD(last, indices, apart)
	VPXOR(indices, apart, apart)
	VPTEST(apart, apart)
	JNZ(LabelRef("end"))
	Comment("Eight loads are faster than a gather.")
	var pairs [4]reg.VecVirtual
	for k := range 2 * len(pairs) {
		index := GP64()
		MOVL(Mem{Base: edges, Disp: 4 * k}, index.As32())
		SHRL(U8(coverageBits), index.As32())
		target := at(targets, index, 8, 0)
		if k%2 == 0 {
			pairs[k/2] = YMM()
			VMOVQ(target, pairs[k/2].AsX())
		} else {
			VMOVHPS(target, pairs[k/2].AsX(), pairs[k/2].AsX())
		}
	}
	for k := range 2 {
		VINSERTF128(U8(1), pairs[k+2].AsX(), pairs[k], pairs[k])
	}
	weight, covered, more := YMM(), YMM(), YMM()
	VSHUFPS(U8(0x88), pairs[1], pairs[0], weight)
	VSHUFPS(U8(0xdd), pairs[1], pairs[0], covered)
	VPAND(covers, group, more)
	VPMAXSD(covered, more, more)
	VPSUBD(covered, more, more)
	VCVTDQ2PS(more, more)
	VMULPS(weight, more, more)
	VADDPS(more, sums, sums)
	ADDQ(U8(32), edges)
	DECQ(groups)
	JNZ(LabelRef("loop"))
	Label("end")
	VMOVUPS(sums, Mem{Base: param("sums")})
	Store(groups, ReturnIndex(0))
	finish()
}

func coverageHistogram() {
	const coverageBits = 12
	function("coverageHistogramAVX2", "func(edges *uint32, groups int) (counts, sum uint64)",
		"coverageHistogramAVX2 needs groups > 0 of eight edges, fewer than 2¹² edges.")
	edges, groups := param("edges"), param("groups")
	mask, four := constant(1<<coverageBits-1), constant(4)
	one := YMM()
	VPSRLD(U8(2), four, one)
	VPMOVZXDQ(one.AsX(), one)
	counts, covers := YMM(), YMM()
	VPXOR(counts, counts, counts)
	VPXOR(covers, covers, covers)
	Label("loop")
	cover, bin, bits := YMM(), YMM(), YMM()
	VPAND(Mem{Base: edges}, mask, cover)
	VPADDD(cover, covers, covers)
	VPSLLD(U8(2), cover, bin)
	VPADDD(cover, bin, bin)
	VPADDD(four, bin, bin)
	VPSRLD(U8(coverageBits), bin, bin)
	Comment("Each count has 12 bits.")
	VPSLLD(U8(2), bin, bits)
	VPSLLD(U8(3), bin, bin)
	VPADDD(bin, bits, bits)
	for half := range 2 {
		wide := YMM()
		if half == 1 {
			VEXTRACTI128(U8(1), bits, bits.AsX())
		}
		VPMOVZXDQ(bits.AsX(), wide)
		VPSLLVQ(wide, one, wide)
		VPADDQ(wide, counts, counts)
	}
	ADDQ(U8(32), edges)
	DECQ(groups)
	JNZ(LabelRef("loop"))
	wide, sum := YMM(), GP64()
	VEXTRACTI128(U8(1), covers, wide.AsX())
	VPADDD(wide.AsX(), covers.AsX(), covers.AsX())
	VPMOVZXDQ(covers.AsX(), covers)
	for k, v := range []reg.VecVirtual{counts, covers} {
		VEXTRACTI128(U8(1), v, wide.AsX())
		VPADDQ(wide.AsX(), v.AsX(), v.AsX())
		VPSHUFD(U8(0xee), v.AsX(), wide.AsX())
		VPADDQ(wide.AsX(), v.AsX(), v.AsX())
		VMOVQ(v.AsX(), sum)
		Store(sum, ReturnIndex(k))
	}
	finish()
}
