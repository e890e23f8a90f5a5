package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

func addTree() {
	const questions, block = 6, 64
	function("addTreeAVX2", "func(dst *[64]float32, columns *[64]float32, features *[6]int32, thresholds *[6]float32, leaves *[64]float32)", "")
	dst, columns := param("dst"), param("columns")
	features, thresholds, leaves := param("features"), param("thresholds"), param("leaves")
	var column [questions]reg.GPVirtual
	var threshold [questions]reg.VecVirtual
	for q := range questions {
		column[q], threshold[q] = GP64(), YMM()
		MOVLQSX(Mem{Base: features, Disp: 4 * q}, column[q])
		SHLQ(U8(8), column[q]) // the bytes of a column
		ADDQ(columns, column[q])
		VBROADCASTSS(Mem{Base: thresholds, Disp: 4 * q}, threshold[q])
	}
	one := constant(1)
	i := GP64()
	XORQ(i, i)
	Label("loop")
	leaf := YMM()
	VPXOR(leaf, leaf, leaf)
	for q := range questions {
		yes := YMM()
		VMOVUPS(Mem{Base: column[q], Index: i, Scale: 4}, yes)
		Comment("At least, and not a NaN.")
		VCMPPS(U8(0x1d), threshold[q], yes, yes)
		bit := one
		if q > 0 {
			bit = YMM()
			VPSLLD(U8(q), one, bit)
		}
		VPAND(bit, yes, yes)
		VPOR(yes, leaf, leaf)
	}
	all, value := YMM(), YMM()
	VPCMPEQD(all, all, all)
	VGATHERDPS(all, Mem{Base: leaves, Index: leaf, Scale: 4}, value)
	VADDPS(Mem{Base: dst, Index: i, Scale: 4}, value, value)
	VMOVUPS(value, Mem{Base: dst, Index: i, Scale: 4})
	ADDQ(U8(8), i)
	CMPQ(i, U8(block))
	JLT(LabelRef("loop"))
	finish()
}
