package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// columnBytes are those of a block of values.
const columnBytes = 256

func scaleColumns() {
	function("scaleColumnsAVX2", "func(dst, columns *[64]float32, means, scales *float32, most float32, n int)",
		"scaleColumnsAVX2 needs n to be more than 0.")
	dst, columns, means, scales, n := param("dst"), param("columns"), param("means"), param("scales"), param("n")
	most, least := YMM(), YMM()
	VBROADCASTSS(address("most"), most)
	VXORPS(constant(1<<31), most, least)
	f := GP64()
	XORQ(f, f)
	Label("loop")
	mean, scale := YMM(), YMM()
	VBROADCASTSS(at(means, f, 4, 0), mean)
	VBROADCASTSS(at(scales, f, 4, 0), scale)
	for i := 0; i < columnBytes; i += 32 {
		v := YMM()
		VMOVUPS(Mem{Base: columns, Disp: i}, v)
		VSUBPS(mean, v, v)
		VMULPS(scale, v, v)
		VMAXPS(least, v, v)
		VMINPS(most, v, v)
		VMOVUPS(v, Mem{Base: dst, Disp: i})
	}
	ADDQ(U32(columnBytes), columns)
	ADDQ(U32(columnBytes), dst)
	INCQ(f)
	CMPQ(f, n)
	JLT(LabelRef("loop"))
	finish()
}

func project() {
	function("projectAVX2", "func(dst *[2][64]float32, columns *[64]float32, a, b *float32, n int)",
		"projectAVX2 needs n to be more than 0.")
	const vectors = 4 // at once, of each of the two sums
	dst, columns, a, b, n := param("dst"), param("columns"), param("a"), param("b"), param("n")
	for half := 0; half < columnBytes; half += 32 * vectors {
		name := []string{"first", "second"}[half/(32*vectors)]
		var sums [2][vectors]reg.VecVirtual
		for s := range sums {
			for k := range sums[s] {
				sums[s][k] = YMM()
				VMOVUPS(Mem{Base: dst, Disp: columnBytes*s + half + 32*k}, sums[s][k])
			}
		}
		f, column := GP64(), GP64()
		XORQ(f, f)
		MOVQ(columns, column)
		Label(name)
		var weights [2]reg.VecVirtual
		for s, w := range []reg.Register{a, b} {
			weights[s] = YMM()
			VBROADCASTSS(at(w, f, 4, 0), weights[s])
		}
		for k := range vectors {
			v, p, q := YMM(), YMM(), YMM()
			VMOVUPS(Mem{Base: column, Disp: half + 32*k}, v)
			VMULPS(weights[0], v, p)
			VADDPS(p, sums[0][k], sums[0][k])
			VMULPS(weights[1], v, q)
			VADDPS(q, sums[1][k], sums[1][k])
		}
		ADDQ(U32(columnBytes), column)
		INCQ(f)
		CMPQ(f, n)
		JLT(LabelRef(name))
		for s := range sums {
			for k := range sums[s] {
				VMOVUPS(sums[s][k], Mem{Base: dst, Disp: columnBytes*s + half + 32*k})
			}
		}
	}
	finish()
}
