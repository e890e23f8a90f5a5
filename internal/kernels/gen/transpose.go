package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

func transpose() {
	function("transposeAVX2", "func(columns *[64]float32, rows *[8]float32, cells int)",
		"transposeAVX2 needs cells to be more than 0.")
	columns, rows, cells := param("columns"), param("rows"), param("cells")
	stride, wide, group := GP64(), GP64(), GP64()
	MOVQ(cells, stride)
	SHLQ(U8(5), stride) // from a row to the next
	LEAQ(Mem{Base: stride, Index: stride, Scale: 2}, wide)
	left := GP64()
	MOVQ(cells, left)
	Label("cell")
	row, to := GP64(), GP64()
	MOVQ(rows, row)
	MOVQ(columns, to)
	MOVQ(U32(8), group)
	Label("group")
	var v [8]reg.VecVirtual
	for half := range 2 {
		base := row
		if half == 1 {
			base = GP64()
			LEAQ(Mem{Base: row, Index: stride, Scale: 4}, base)
		}
		for k := range 4 {
			v[4*half+k] = YMM()
			from := Mem{Base: base}
			switch k {
			case 1, 2:
				from.Index, from.Scale = stride, uint8(k)
			case 3:
				from.Index, from.Scale = wide, 1
			}
			VMOVUPS(from, v[4*half+k])
		}
	}
	var pairs, quads [8]reg.VecVirtual
	for k := 0; k < 8; k += 2 {
		pairs[k], pairs[k+1] = YMM(), YMM()
		VUNPCKLPS(v[k+1], v[k], pairs[k])
		VUNPCKHPS(v[k+1], v[k], pairs[k+1])
	}
	for k := 0; k < 8; k += 4 {
		for j := range 2 {
			quads[k+2*j], quads[k+2*j+1] = YMM(), YMM()
			VUNPCKLPD(pairs[k+2+j], pairs[k+j], quads[k+2*j])
			VUNPCKHPD(pairs[k+2+j], pairs[k+j], quads[k+2*j+1])
		}
	}
	for k := range 4 {
		low, high := YMM(), YMM()
		VPERM2F128(U8(0x20), quads[k+4], quads[k], low)
		VPERM2F128(U8(0x31), quads[k+4], quads[k], high)
		VMOVUPS(low, Mem{Base: to, Disp: columnBytes * k})
		if k < 3 { // the eighth is not kept
			VMOVUPS(high, Mem{Base: to, Disp: columnBytes * (k + 4)})
		}
	}
	LEAQ(Mem{Base: row, Index: stride, Scale: 8}, row)
	ADDQ(U8(32), to)
	DECQ(group)
	JNZ(LabelRef("group"))
	ADDQ(U8(32), rows)
	ADDQ(U32(7*columnBytes), columns)
	DECQ(left)
	JNZ(LabelRef("cell"))
	finish()
}
