package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

func uncovered() {
	const coverBits = 12
	function("uncoveredAVX2", "func(sums *[8]float32, edges *uint32, objects *float32, groups int, last uint32) int",
		"uncoveredAVX2 wants groups of eight edges, and returns how many are left at the first with an object behind the last. Groups must be more than 0.")
	edges, objects, groups := param("edges"), param("objects"), param("groups")
	last, sums, covers := YMM(), YMM(), constant(1<<coverBits-1)
	VBROADCASTSS(address("last"), last)
	VXORPS(sums, sums, sums)
	Label("loop")
	group, places, apart := YMM(), YMM(), YMM()
	VMOVDQU(Mem{Base: edges}, group)
	VPSRLD(U8(coverBits), group, places)
	VPMINUD(last, places, apart)
	VPXOR(places, apart, apart)
	VPTEST(apart, apart)
	JNZ(LabelRef("end"))
	Comment("Eight loads are quicker than to gather.")
	var pairs [4]reg.VecVirtual
	for k := range 2 * len(pairs) {
		place := GP64()
		MOVL(Mem{Base: edges, Disp: 4 * k}, place.As32())
		SHRL(U8(coverBits), place.As32())
		object := at(objects, place, 8, 0)
		if k%2 == 0 {
			pairs[k/2] = YMM()
			VMOVQ(object, pairs[k/2].AsX())
		} else {
			VMOVHPS(object, pairs[k/2].AsX(), pairs[k/2].AsX())
		}
	}
	for k := range 2 {
		VINSERTF128(U8(1), pairs[k+2].AsX(), pairs[k], pairs[k])
	}
	mass, covered, more := YMM(), YMM(), YMM()
	VSHUFPS(U8(0x88), pairs[1], pairs[0], mass)
	VSHUFPS(U8(0xdd), pairs[1], pairs[0], covered)
	VPAND(covers, group, more)
	VPMAXSD(covered, more, more)
	VPSUBD(covered, more, more)
	VCVTDQ2PS(more, more)
	VMULPS(mass, more, more)
	VADDPS(more, sums, sums)
	ADDQ(U8(32), edges)
	DECQ(groups)
	JNZ(LabelRef("loop"))
	Label("end")
	VMOVUPS(sums, Mem{Base: param("sums")})
	Store(groups, ReturnIndex(0))
	finish()
}
