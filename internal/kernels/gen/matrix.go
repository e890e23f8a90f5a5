package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

func multiplyAdd() {
	function("multiplyAddAVX2", "func(c *float32, cRow int, a *float32, aRow, aColumn int, b *float32, bRow, n int)",
		"multiplyAddAVX2 needs n > 0.")
	const rows, vectors = 4, 2
	c, a, b, n := param("c"), param("a"), param("b"), param("n")
	bytes := func(name string) reg.GPVirtual {
		stride := param(name)
		SHLQ(U8(2), stride)
		return stride
	}
	cRow, aRow, aColumn, bRow := bytes("cRow"), bytes("aRow"), bytes("aColumn"), bytes("bRow")
	aRow3 := GP64()
	LEAQ(Mem{Base: aRow, Index: aRow, Scale: 2}, aRow3)
	var sums [rows][vectors]reg.VecVirtual
	row := GP64()
	MOVQ(c, row)
	for i := range sums {
		for k := range sums[i] {
			sums[i][k] = YMM()
			VMOVUPS(Mem{Base: row, Disp: 32 * k}, sums[i][k])
		}
		ADDQ(cRow, row)
	}
	Label("loop")
	var factors [vectors]reg.VecVirtual
	for k := range factors {
		factors[k] = YMM()
		VMOVUPS(Mem{Base: b, Disp: 32 * k}, factors[k])
	}
	for i, element := range [rows]Mem{
		{Base: a},
		{Base: a, Index: aRow, Scale: 1},
		{Base: a, Index: aRow, Scale: 2},
		{Base: a, Index: aRow3, Scale: 1},
	} {
		v := YMM()
		VBROADCASTSS(element, v)
		for k := range factors {
			product := YMM()
			VMULPS(factors[k], v, product)
			VADDPS(product, sums[i][k], sums[i][k])
		}
	}
	ADDQ(aColumn, a)
	ADDQ(bRow, b)
	DECQ(n)
	JNZ(LabelRef("loop"))
	for i := range sums {
		for k := range sums[i] {
			VMOVUPS(sums[i][k], Mem{Base: c, Disp: 32 * k})
		}
		ADDQ(cRow, c)
	}
	finish()
}
