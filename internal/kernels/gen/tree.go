package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// sumTrees has the layout of a tree: six int32 offsets, six int8 thresholds and two bytes
// of room, 64 low bytes of leaves and 64 high ones.
func sumTrees() {
	const (
		questions, block, vector = 6, 64, 32
		thresholds               = 4 * questions
		low                      = thresholds + 8
		high                     = low + 1<<questions
		bytes                    = high + 1<<questions
		inBytes                  = 4 // questions, whose answers choose of the 16 bytes of a shuffle
	)
	function("sumTreesAVX2", "func(sums *[64]int16, levels *[64]int8, trees *int32, n int)",
		"sumTreesAVX2 wants the first number of n trees, and n to be more than 0.")
	sums, levels, trees, n := param("sums"), param("levels"), param("trees"), param("n")
	var total [block / vector][2]reg.VecVirtual
	for half := range total {
		for k := range total[half] {
			total[half][k] = YMM()
			VPXOR(total[half][k], total[half][k], total[half][k])
		}
	}
	Label("loop")
	var column [questions]reg.GPVirtual
	for q := range column {
		column[q] = GP64()
		MOVLQSX(Mem{Base: trees, Disp: 4 * q}, column[q])
	}
	for half := range total {
		var no [questions]reg.VecVirtual // −1 where it is
		for q := range no {
			no[q] = YMM()
			VPBROADCASTB(Mem{Base: trees, Disp: thresholds + q}, no[q])
			VPCMPGTB(Mem{Base: levels, Index: column[q], Scale: 1, Disp: vector * half}, no[q], no[q])
		}
		leaf := no[inBytes-1]
		for q := inBytes - 2; q >= 0; q-- {
			VPADDB(leaf, leaf, leaf)
			VPADDB(no[q], leaf, leaf)
		}
		VPABSB(leaf, leaf)
		var choose func(plane, q, first int) reg.VecVirtual
		choose = func(plane, q, first int) reg.VecVirtual {
			v := YMM()
			if q < inBytes {
				VBROADCASTI128(Mem{Base: trees, Disp: plane + first}, v)
				VPSHUFB(leaf, v, v)
				return v
			}
			yes := choose(plane, q-1, first)
			VPBLENDVB(no[q], choose(plane, q-1, first+1<<q), yes, v)
			return v
		}
		l, h := choose(low, questions-1, 0), choose(high, questions-1, 0)
		wide := YMM()
		VPUNPCKLBW(h, l, wide)
		VPADDW(wide, total[half][0], total[half][0])
		VPUNPCKHBW(h, l, wide)
		VPADDW(wide, total[half][1], total[half][1])
	}
	ADDQ(U32(bytes), trees)
	DECQ(n)
	JNZ(LabelRef("loop"))
	Comment("Bytes were made words within each half of a register.")
	for half, t := range total {
		for k, halves := range []uint64{0x20, 0x31} {
			v := YMM()
			VPERM2I128(U8(halves), t[1], t[0], v)
			VMOVDQU(v, Mem{Base: sums, Disp: 2 * (vector*half + 16*k)})
		}
	}
	finish()
}
