package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
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

// side is GridSide, and span the bytes of a Span.
const side, span = 6, 12

func rectanglesOfGrid() {
	function("gridAVX2", "func(dst *[8]float32, table *[8]uint32, rows, columns *int32, offset, gain *[8]float32)",
		"gridAVX2 wants the first of GridSide spans each.")
	dst, table, rows, columns := param("dst"), param("table"), param("rows"), param("columns")
	offset, gain := YMM(), YMM()
	VMOVUPS(Mem{Base: param("offset")}, offset)
	VMOVUPS(Mem{Base: param("gain")}, gain)

	// A line is what the entries of a row of the table, at begin or end of a row of the grid,
	// differ by between the begin and the end of each column.
	var line [side]reg.VecVirtual
	for k := range line {
		line[k] = YMM()
	}
	index := GP64()
	// bytes are those before an entry, or a row of entries.
	bytes := func(spans reg.Register, k, field int) {
		MOVLQSX(Mem{Base: spans, Disp: span*k + 4*field}, index)
		SHLQ(U8(5), index)
	}
	differ := func(row reg.Register, k int, dst reg.VecVirtual) {
		bytes(columns, k, 1)
		VMOVDQU(Mem{Base: row, Index: index, Scale: 1}, dst)
		bytes(columns, k, 0)
		VPSUBD(Mem{Base: row, Index: index, Scale: 1}, dst, dst)
	}
	n, row, last := GP64(), GP64(), GP64()
	MOVQ(U64(side), n)
	XORQ(last, last)

	Label("loop")
	bytes(rows, 0, 0)
	LEAQ(Mem{Base: table, Index: index, Scale: 1}, row)
	CMPQ(row, last)
	JE(LabelRef("begun"))
	for k := range line {
		differ(row, k, line[k])
	}
	Label("begun")
	bytes(rows, 0, 1)
	LEAQ(Mem{Base: table, Index: index, Scale: 1}, row)
	MOVQ(row, last)
	down := YMM()
	VBROADCASTSS(Mem{Base: rows, Disp: 8}, down)
	below, v, scale := YMM(), YMM(), YMM()
	for k := range line {
		differ(row, k, below)
		VPSUBD(line[k], below, v)
		VMOVDQA(below, line[k])
		VBROADCASTSS(Mem{Base: columns, Disp: span*k + 8}, scale)
		VMULPS(scale, down, scale)
		VCVTDQ2PS(v, v)
		VMULPS(scale, v, v)
		VSUBPS(offset, v, v)
		VMULPS(gain, v, v)
		VMOVUPS(v, Mem{Base: dst, Disp: 32 * k})
	}
	ADDQ(U8(span), rows)
	ADDQ(U32(32*side), dst)
	DECQ(n)
	JNZ(LabelRef("loop"))
	finish()
}
