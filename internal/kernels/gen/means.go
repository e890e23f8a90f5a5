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

// grids has the layout of a lattice: rows, columns, offset, gain.
func grids() {
	const (
		columnsAt = side * span
		offsetAt  = 2 * side * span
		gainAt    = offsetAt + 32
		bytes     = gainAt + 32
	)
	function("gridsAVX2", "func(dst *[8]float32, table *[8]uint32, lattices *int32, n int)",
		"gridsAVX2 wants the first number of n lattices, and n to be more than 0.")
	dst, table, lattice, n := param("dst"), param("table"), param("lattices"), param("n")
	// entry is the number of bytes before an entry of the table.
	entry := func(from Mem, to reg.GPVirtual) {
		MOVLQSX(from, to)
		SHLQ(U8(5), to)
	}
	// A line is what the entries of a row of the table, at begin or end of a row of the grid,
	// differ by between the begin and the end of each column.
	var line [side]reg.VecVirtual
	for k := range line {
		line[k] = YMM()
	}

	Label("lattice")
	Comment("Corners of the next lattice, or of the last again.")
	next := GP64()
	LEAQ(Mem{Base: lattice, Disp: bytes}, next)
	CMPQ(n, U8(1))
	CMOVQEQ(lattice, next)
	var corners [side + 1]reg.GPVirtual
	for k := range corners {
		corners[k] = GP64()
		from := Mem{Base: next, Disp: columnsAt + span*(k-1) + 4} // an end
		if k == 0 {
			from.Disp = columnsAt
		}
		entry(from, corners[k])
		ADDQ(table, corners[k])
	}
	for k := range side + 1 {
		from := Mem{Base: next, Disp: span*(k-1) + 4}
		if k == 0 {
			from.Disp = 0
		}
		row := GP64()
		entry(from, row)
		for _, c := range corners {
			PREFETCHT0(Mem{Base: c, Index: row, Scale: 1})
		}
	}

	index, row, last, rows, left := GP64(), GP64(), GP64(), GP64(), GP64()
	differ := func(k int, dst reg.VecVirtual) {
		entry(Mem{Base: lattice, Disp: columnsAt + span*k + 4}, index)
		VMOVDQU(Mem{Base: row, Index: index, Scale: 1}, dst)
		entry(Mem{Base: lattice, Disp: columnsAt + span*k}, index)
		VPSUBD(Mem{Base: row, Index: index, Scale: 1}, dst, dst)
	}
	MOVQ(lattice, rows)
	MOVQ(U64(side), left)
	XORQ(last, last)
	Label("row")
	entry(Mem{Base: rows}, index)
	LEAQ(Mem{Base: table, Index: index, Scale: 1}, row)
	CMPQ(row, last)
	JE(LabelRef("begun"))
	for k := range line {
		differ(k, line[k])
	}
	Label("begun")
	entry(Mem{Base: rows, Disp: 4}, index)
	LEAQ(Mem{Base: table, Index: index, Scale: 1}, row)
	MOVQ(row, last)
	down := YMM()
	VBROADCASTSS(Mem{Base: rows, Disp: 8}, down)
	below, v, scale := YMM(), YMM(), YMM()
	for k := range line {
		differ(k, below)
		VPSUBD(line[k], below, v)
		VMOVDQA(below, line[k])
		VBROADCASTSS(Mem{Base: lattice, Disp: columnsAt + span*k + 8}, scale)
		VMULPS(scale, down, scale)
		VCVTDQ2PS(v, v)
		VMULPS(scale, v, v)
		VSUBPS(Mem{Base: lattice, Disp: offsetAt}, v, v)
		VMULPS(Mem{Base: lattice, Disp: gainAt}, v, v)
		VMOVUPS(v, Mem{Base: dst, Disp: 32 * k})
	}
	ADDQ(U8(span), rows)
	ADDQ(U32(32*side), dst)
	DECQ(left)
	JNZ(LabelRef("row"))
	MOVQ(next, lattice)
	DECQ(n)
	JNZ(LabelRef("lattice"))
	finish()
}
