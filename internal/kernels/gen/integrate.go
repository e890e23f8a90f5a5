package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
)

func integrate() {
	function("integrateAVX2", "func(here, above *[8]uint32, cells *[8]uint8, n int)", "integrateAVX2 needs n to be more than 0.")
	here, above, cells, n := param("here"), param("above"), param("cells"), param("n")
	row := YMM()
	VPXOR(row, row, row)
	Label("loop")
	v := YMM()
	VPMOVZXBD(Mem{Base: cells}, v)
	VPADDD(v, row, row)
	VPADDD(Mem{Base: above}, row, v)
	VMOVDQU(v, Mem{Base: here})
	ADDQ(U8(8), cells)
	ADDQ(U8(32), above)
	ADDQ(U8(32), here)
	DECQ(n)
	JNZ(LabelRef("loop"))
	finish()
}
