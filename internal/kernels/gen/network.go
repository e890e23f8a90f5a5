package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// columnBytes are those of a block of values.
const columnBytes = 256

func scaleColumns() {
	function("scaleColumnsAVX2", "func(levels *[64]int8, columns *[64]float32, means, scales *float32, most, unit float32, n int)",
		"scaleColumnsAVX2 needs n to be more than 0.")
	levels, columns := param("levels"), param("columns")
	means, scales, n := param("means"), param("scales"), param("n")
	most, least, unit, order := YMM(), YMM(), YMM(), newOrder()
	VBROADCASTSS(address("most"), most)
	VXORPS(constant(1<<31), most, least)
	VBROADCASTSS(address("unit"), unit)
	f := GP64()
	XORQ(f, f)
	Label("loop")
	mean, scale := YMM(), YMM()
	VBROADCASTSS(at(means, f, 4, 0), mean)
	VBROADCASTSS(at(scales, f, 4, 0), scale)
	for i := 0; i < columnBytes; i += 128 {
		var v [4]reg.VecVirtual
		for k := range v {
			v[k] = YMM()
			VMOVUPS(Mem{Base: columns, Disp: i + 32*k}, v[k])
			VSUBPS(mean, v[k], v[k])
			VMULPS(scale, v[k], v[k])
			VMAXPS(least, v[k], v[k])
			VMINPS(most, v[k], v[k])
			VMULPS(unit, v[k], v[k])
			VCVTPS2DQ(v[k], v[k])
		}
		VMOVDQU(packBytes(v, order), Mem{Base: levels, Disp: i / 4})
	}
	ADDQ(U32(columnBytes), columns)
	ADDQ(U32(columnBytes/4), levels)
	INCQ(f)
	CMPQ(f, n)
	JLT(LabelRef("loop"))
	finish()
}

func interleave() {
	function("interleaveAVX2", "func(pairs *[64][2]int16, levels *[64]int8, n int)",
		"interleaveAVX2 takes two columns for each of n pairs. n must be more than 0.")
	pairs, levels, n := param("pairs"), param("levels"), param("n")
	Label("loop")
	for i := 0; i < columnBytes/4; i += 16 {
		a, bytes, words := XMM(), XMM(), YMM()
		VMOVDQU(Mem{Base: levels, Disp: i}, a)
		for half, unpack := range []func(...Op){VPUNPCKLBW, VPUNPCKHBW} {
			unpack(Mem{Base: levels, Disp: columnBytes/4 + i}, a, bytes)
			VPMOVSXBW(bytes, words)
			VMOVDQU(words, Mem{Base: pairs, Disp: 4*i + 32*half})
		}
	}
	ADDQ(U32(columnBytes/2), levels)
	ADDQ(U32(columnBytes), pairs)
	DECQ(n)
	JNZ(LabelRef("loop"))
	finish()
}

func project() {
	function("projectAVX2", "func(dst *[2][64]int32, pairs *[64][2]int16, a, b *[2]int16, n int)",
		"projectAVX2 needs n to be more than 0.")
	const vectors = 4 // at once, of each of the two sums
	dst, pairs, a, b, n := param("dst"), param("pairs"), param("a"), param("b"), param("n")
	for half := 0; half < columnBytes; half += 32 * vectors {
		name := []string{"first", "second"}[half/(32*vectors)]
		var sums [2][vectors]reg.VecVirtual
		for s := range sums {
			for k := range sums[s] {
				sums[s][k] = YMM()
				VPXOR(sums[s][k], sums[s][k], sums[s][k])
			}
		}
		f, column := GP64(), GP64()
		XORQ(f, f)
		MOVQ(pairs, column)
		Label(name)
		var weights [2]reg.VecVirtual
		for s, w := range []reg.Register{a, b} {
			weights[s] = YMM()
			VPBROADCASTD(at(w, f, 4, 0), weights[s])
		}
		for k := range vectors {
			v, p := YMM(), YMM()
			VMOVDQU(Mem{Base: column, Disp: half + 32*k}, v)
			VPMADDWD(weights[0], v, p)
			VPADDD(p, sums[0][k], sums[0][k])
			VPMADDWD(weights[1], v, v)
			VPADDD(v, sums[1][k], sums[1][k])
		}
		ADDQ(U32(columnBytes), column)
		INCQ(f)
		CMPQ(f, n)
		JLT(LabelRef(name))
		for s := range sums {
			for k := range sums[s] {
				VMOVDQU(sums[s][k], Mem{Base: dst, Disp: columnBytes*s + half + 32*k})
			}
		}
	}
	finish()
}
