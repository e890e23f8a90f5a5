package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
)

func rectangles() {
	function("rectanglesAVX2", "func(dst *[8]float32, table *[8]uint32, corners *[4]int32, scales *float32, n int, offset, gain *[8]float32)",
		"rectanglesAVX2 needs n to be more than 0.")
	dst, table, corners, scales, n := param("dst"), param("table"), param("corners"), param("scales"), param("n")
	offset, gain := YMM(), YMM()
	VMOVUPS(Mem{Base: param("offset")}, offset)
	VMOVUPS(Mem{Base: param("gain")}, gain)
	Label("loop")
	sum, v := YMM(), YMM()
	for k := 3; k >= 0; k-- {
		corner := GP64()
		MOVLQSX(Mem{Base: corners, Disp: 4 * k}, corner)
		SHLQ(U8(5), corner) // the bytes of an entry
		entry := Mem{Base: table, Index: corner, Scale: 1}
		switch k {
		case 3:
			VMOVDQU(entry, sum)
		case 0:
			VPADDD(entry, sum, sum)
		default:
			VPSUBD(entry, sum, sum)
		}
	}
	scale := YMM()
	VBROADCASTSS(Mem{Base: scales}, scale)
	VCVTDQ2PS(sum, v)
	VMULPS(scale, v, v)
	VSUBPS(offset, v, v)
	VMULPS(gain, v, v)
	VMOVUPS(v, Mem{Base: dst})
	ADDQ(U8(32), dst)
	ADDQ(U8(16), corners)
	ADDQ(U8(4), scales)
	DECQ(n)
	JNZ(LabelRef("loop"))
	finish()
}
