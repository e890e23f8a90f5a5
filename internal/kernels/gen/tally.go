package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

func tally() {
	const coverBits = 12
	function("tallyAVX2", "func(edges *uint32, groups int) (counts, covers uint64)",
		"tallyAVX2 takes groups of eight edges, of which there is at least one and fewer than 2¹².")
	edges, groups := param("edges"), param("groups")
	mask, four := constant(1<<coverBits-1), constant(4)
	one := YMM()
	VPSRLD(U8(2), four, one)
	VPMOVZXDQ(one.AsX(), one)
	counts, covers := YMM(), YMM()
	VPXOR(counts, counts, counts)
	VPXOR(covers, covers, covers)
	Label("loop")
	cover, vote, bits := YMM(), YMM(), YMM()
	VPAND(Mem{Base: edges}, mask, cover)
	VPADDD(cover, covers, covers)
	VPSLLD(U8(2), cover, vote)
	VPADDD(cover, vote, vote)
	VPADDD(four, vote, vote)
	VPSRLD(U8(coverBits), vote, vote)
	Comment("A count has 12 bits.")
	VPSLLD(U8(2), vote, bits)
	VPSLLD(U8(3), vote, vote)
	VPADDD(vote, bits, bits)
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
