package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

func steepness() {
	function("steepnessAVX2", "func(dst *[8]uint8, here0, up0, low0, here1, up1, low1, here2, up2, low2 *uint8, n int)",
		"steepnessAVX2 needs n ≥ 16, and the bytes before and behind those of here.")
	dst := param("dst")
	var here, up, low [3]reg.Register
	for c, digit := range []string{"0", "1", "2"} {
		here[c], up[c], low[c] = param("here"+digit), param("up"+digit), param("low"+digit)
	}
	// Of sums below 2^11 the upper half of the product is the third or the sixth, cut.
	byThree, bySix := constant(21846<<16|21846), constant(10923<<16|10923)
	each(16, func(i reg.Register) {
		var sums [4]reg.VecVirtual
		dx, dy, v := YMM(), YMM(), YMM()
		add := func(k, c int) { // v's magnitude
			VPABSW(v, v)
			if c == 0 {
				sums[k] = YMM()
				VMOVDQA(v, sums[k])
				return
			}
			VPADDW(v, sums[k], sums[k])
		}
		for c := range here {
			VPMOVZXBW(at(here[c], i, 1, 1), dx)
			VPMOVZXBW(at(here[c], i, 1, -1), v)
			VPSUBW(v, dx, dx)
			VPMOVZXBW(at(low[c], i, 1, 0), dy)
			VPMOVZXBW(at(up[c], i, 1, 0), v)
			VPSUBW(v, dy, dy)
			VMOVDQA(dx, v)
			add(0, c)
			VMOVDQA(dy, v)
			add(1, c)
			VPADDW(dx, dy, v)
			add(2, c)
			VPSUBW(dy, dx, v)
			add(3, c)
		}
		for k, part := range []reg.Register{byThree, byThree, bySix, bySix} {
			VPMULHUW(part, sums[k], sums[k])
		}
		// Words of two channels each.
		join := func(low, high reg.VecVirtual) reg.VecVirtual {
			VPSLLW(U8(8), high, high)
			VPOR(high, low, low)
			return low
		}
		first, second := join(sums[0], sums[1]), join(sums[2], sums[3])
		VPMOVZXBW(at(here[0], i, 1, 0), dx)
		VPMOVZXBW(at(here[1], i, 1, 0), dy)
		third := join(dx, dy)
		VPMOVZXBW(at(here[2], i, 1, 0), v) // the eighth channel is 0
		// Cells, two by two: those of the lower half of each half, then of the upper.
		var cells [4]reg.VecVirtual
		for k, unpack := range []func(...Op){VPUNPCKLWD, VPUNPCKHWD} {
			front, back := YMM(), YMM()
			unpack(second, first, front)
			unpack(v, third, back)
			cells[2*k], cells[2*k+1] = YMM(), YMM()
			VPUNPCKLDQ(back, front, cells[2*k])
			VPUNPCKHDQ(back, front, cells[2*k+1])
		}
		for k, pair := range [][3]int{{0, 1, 0x20}, {2, 3, 0x20}, {0, 1, 0x31}, {2, 3, 0x31}} {
			out := YMM()
			VPERM2I128(U8(pair[2]), cells[pair[1]], cells[pair[0]], out)
			VMOVDQU(out, at(dst, i, 8, 32*k))
		}
	})
}
