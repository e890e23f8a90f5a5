package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

func list4() {
	function("list4AVX2", "func(dst *uint32, right, down *uint16, n int, first, limit uint32, numbers *[8]uint8) int",
		"list4AVX2 needs n, a multiple of 4, to be more than 0.")
	r, d := param("right"), param("down")
	listEach(16, func(i reg.Register, pack func(words reg.VecVirtual)) {
		words, other := XMM(), XMM()
		VMOVQ(at(r, i, 2, 0), words)
		VMOVQ(at(d, i, 2, 0), other)
		VPUNPCKLWD(other, words, words)
		pack(words)
	})
}

func list8() {
	function("list8AVX2", "func(dst *uint32, right, down, falling, rising *uint16, n int, first, limit uint32, numbers *[8]uint8) int",
		"list8AVX2 needs n, a multiple of 4, to be more than 0.")
	rows := [4]reg.Register{param("right"), param("down"), param("falling"), param("rising")}
	listEach(8, func(i reg.Register, pack func(words reg.VecVirtual)) {
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

// listEach runs body on every fourth pixel. It packs the weights of eight edges at a
// time, the numbers of the next are step higher, below the limit to the front.
func listEach(step uint32, body func(i reg.Register, pack func(words reg.VecVirtual))) {
	dst, n, rows := param("dst"), param("n"), GP64()
	LEAQ(packing, rows)
	sign, steps := constant(1<<31), constant(step)
	Comment("Without their highest bits unsigned numbers compare as signed ones do.")
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

// broadcast is a 32-bit parameter, repeated.
func broadcast(name string) reg.VecVirtual {
	g, v := Load(Param(name), GP32()), YMM()
	VMOVD(g, v.AsX())
	VPBROADCASTD(v.AsX(), v)
	return v
}
