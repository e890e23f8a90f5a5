package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
)

func summarise() {
	function("summariseAVX2", "func(dst, rows *[8]float32, counts *int32, n int)",
		"summariseAVX2 needs n, and each of n counts, to be more than 0.")
	dst, rows, counts, n := param("dst"), param("rows"), param("counts"), param("n")
	Label("run")
	left := GP64()
	MOVLQSX(Mem{Base: counts}, left)
	many, most, sum, least := YMM(), YMM(), YMM(), YMM()
	VPBROADCASTD(Mem{Base: counts}, many)
	VCVTDQ2PS(many, many)
	VMOVUPS(Mem{Base: rows}, most)
	VMOVAPS(most, sum)
	VMOVAPS(most, least)
	ADDQ(U8(32), rows)
	DECQ(left)
	JZ(LabelRef("summed"))
	Label("loop")
	row := YMM()
	VMOVUPS(Mem{Base: rows}, row)
	VMAXPS(row, most, most)
	VADDPS(row, sum, sum)
	VMINPS(row, least, least)
	ADDQ(U8(32), rows)
	DECQ(left)
	JNZ(LabelRef("loop"))
	Label("summed")
	VDIVPS(many, sum, sum)
	VMOVUPS(most, Mem{Base: dst})
	VMOVUPS(sum, Mem{Base: dst, Disp: 32})
	VMOVUPS(least, Mem{Base: dst, Disp: 64})
	ADDQ(U8(96), dst)
	ADDQ(U8(4), counts)
	DECQ(n)
	JNZ(LabelRef("run"))
	finish()
}
