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
	i := GP64()
	XORQ(i, i)
	Label("loop")
	var yes [questions]reg.VecVirtual // −1 where it is
	for q := range yes {
		yes[q] = YMM()
		Comment("At most the value, and not a NaN.")
		VCMPPS(U8(0x12), Mem{Base: column[q], Index: i, Scale: 4}, threshold[q], yes[q])
	}
	Comment("The first three answers choose of eight leaves at a time, the others of these eights: quicker than to gather.")
	low := YMM()
	VPADDD(yes[2], yes[2], low)
	VPADDD(yes[1], low, low)
	VPADDD(low, low, low)
	VPADDD(yes[0], low, low)
	VPABSD(low, low)
	var choose func(q, first int) reg.VecVirtual
	choose = func(q, first int) reg.VecVirtual {
		v := YMM()
		if q < 3 {
			VPERMPS(Mem{Base: leaves, Disp: 4 * first}, low, v)
			return v
		}
		no := choose(q-1, first)
		VBLENDVPS(yes[q], choose(q-1, first+1<<q), no, v)
		return v
	}
	value := choose(questions-1, 0)
	VADDPS(Mem{Base: dst, Index: i, Scale: 4}, value, value)
	VMOVUPS(value, Mem{Base: dst, Index: i, Scale: 4})
	ADDQ(U8(8), i)
	CMPQ(i, U8(block))
	JLT(LabelRef("loop"))
	finish()
}
