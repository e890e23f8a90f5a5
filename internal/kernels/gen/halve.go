package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

func halve() {
	function("halveAVX2", "func(dst, top, low *uint8, n int)", "halveAVX2 needs n to be 16 or more.")
	dst, top, low := param("dst"), param("top"), param("low")
	ones, two := constant(0x01010101), constant(0x00020002)
	each(16, func(i reg.Register) {
		sum, other := YMM(), YMM()
		VMOVDQU(at(top, i, 2, 0), sum)
		VMOVDQU(at(low, i, 2, 0), other)
		VPMADDUBSW(ones, sum, sum)
		VPMADDUBSW(ones, other, other)
		VPADDW(other, sum, sum)
		VPADDW(two, sum, sum)
		VPSRLW(U8(2), sum, sum)
		VPACKUSWB(sum, sum, sum)
		VPERMQ(U8(0b1000), sum, sum)
		VMOVDQU(sum.AsX(), at(dst, i, 1, 0))
	})
}
