package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// convolveColumns takes 16 pixels at a time. A weight w is split into 16-bit halves,
// w = 65536·high + low with low signed. The products with low are added in pairs to 32
// bits; of the products with high, only the lower 16 bits of the sum remain.
func convolveColumns(name string, both bool) {
	signature := "func(even *float32, rows *[9][]uint8, w *[5]int32, n int)"
	if both {
		signature = "func(even, odd *float32, rows *[9][]uint8, w, v *[5]int32, n int)"
	}
	function(name, signature, name+" needs n ≥ 16.")
	w := newWeightTable("w", [][2]int{{0, 1}, {2, 3}, {4, -1}})
	var v weightTable
	if both {
		v = newWeightTable("v", [][2]int{{1, 2}, {3, 4}})
	}
	rows := param("rows")
	var row [9]reg.Register
	for k := range row {
		row[k] = GP64()
		MOVQ(Mem{Base: rows, Disp: 24 * k}, row[k])
	}
	even := param("even")
	var odd reg.Register
	if both {
		odd = param("odd")
	}
	each(16, func(i reg.Register) {
		load := func(k int) reg.VecVirtual {
			words := YMM()
			VPMOVZXBW(at(row[k], i, 1, 0), words)
			return words
		}
		var sums, differences weightedSums
		before := load(4)
		sums.addHigh(before, w.high[0])
		var difference reg.VecVirtual
		for k := 1; k <= 4; k++ {
			above, below := load(4-k), load(4+k)
			sum := YMM()
			VPADDW(below, above, sum)
			sums.addHigh(sum, w.high[k])
			if k%2 == 1 {
				sums.addPair(before, sum, w.low[k/2])
			}
			if both {
				VPSUBW(above, below, below)
				differences.addHigh(below, v.high[k])
				if k%2 == 0 {
					differences.addPair(difference, below, v.low[k/2-1])
				}
				difference = below
			}
			before = sum
		}
		sums.addPair(before, before, w.low[2])
		sums.store(even, i)
		if both {
			differences.store(odd, i)
		}
	})
}

// weightTable holds the halves of the weights in memory, for 16 pixels.
type weightTable struct {
	low  []Mem // by pair
	high [5]Mem
}

func newWeightTable(name string, pairs [][2]int) (t weightTable) {
	weights := param(name)
	g, h, x := GP32(), GP32(), YMM()
	for _, p := range pairs {
		MOVWLZX(Mem{Base: weights, Disp: 4 * p[0]}, g)
		if p[1] >= 0 {
			MOVL(Mem{Base: weights, Disp: 4 * p[1]}, h)
			SHLL(U8(16), h)
			ORL(h, g)
		}
		VMOVD(g, x.AsX())
		VPBROADCASTD(x.AsX(), x)
		at := AllocLocal(32)
		VMOVDQU(x, at)
		t.low = append(t.low, at)
	}
	for k := range t.high {
		MOVL(Mem{Base: weights, Disp: 4 * k}, g)
		Comment("The high half compensates for a negative low half.")
		ADDL(U32(1<<15), g)
		SHRL(U8(16), g)
		VMOVD(g, x.AsX())
		VPBROADCASTW(x.AsX(), x)
		t.high[k] = AllocLocal(32)
		VMOVDQU(x, t.high[k])
	}
	return t
}

// weightedSums are the sums of 16 pixels. Those of the low halves are separated by the half lanes
// that unpacking reads.
type weightedSums struct {
	lower, upper, high reg.VecVirtual
}

func (f *weightedSums) addHigh(words reg.VecVirtual, weights Mem) {
	t := YMM()
	VPMULLW(weights, words, t)
	add(&f.high, t, VPADDW)
}

func (f *weightedSums) addPair(a, b reg.VecVirtual, weights Mem) {
	t, u := YMM(), YMM()
	VPUNPCKLWD(b, a, t)
	VPUNPCKHWD(b, a, u)
	VPMADDWD(weights, t, t)
	VPMADDWD(weights, u, u)
	add(&f.lower, t, VPADDD)
	add(&f.upper, u, VPADDD)
}

func (f *weightedSums) store(dst, i reg.Register) {
	zero, t := YMM(), YMM()
	VPXOR(zero, zero, zero)
	VPUNPCKLWD(f.high, zero, t)
	VPADDD(t, f.lower, f.lower)
	VPUNPCKHWD(f.high, zero, t)
	VPADDD(t, f.upper, f.upper)
	VCVTDQ2PS(f.lower, f.lower)
	VCVTDQ2PS(f.upper, f.upper)
	VMOVUPS(f.lower.AsX(), at(dst, i, 4, 0))
	VMOVUPS(f.upper.AsX(), at(dst, i, 4, 16))
	VEXTRACTF128(U8(1), f.lower, at(dst, i, 4, 32))
	VEXTRACTF128(U8(1), f.upper, at(dst, i, 4, 48))
}

// rowWeights loads the five weights of a row, each into all lanes.
func rowWeights() (w [5]reg.VecVirtual) {
	weights := param("w")
	for k := range w {
		w[k] = YMM()
		VBROADCASTSS(Mem{Base: weights, Disp: 4 * k}, w[k])
	}
	return w
}

func convolveRowEven() {
	function("convolveRowEvenAVX2", "func(dst, padded *float32, w *[5]float32, n int)", "convolveRowEvenAVX2 needs n ≥ 8.")
	dst, padded := param("dst"), param("padded")
	w := rowWeights()
	each(8, func(i reg.Register) {
		sum := YMM()
		VMULPS(at(padded, i, 4, 16), w[0], sum)
		for k := 1; k <= 4; k++ {
			t := YMM()
			VMOVUPS(at(padded, i, 4, 16-4*k), t)
			VADDPS(at(padded, i, 4, 16+4*k), t, t)
			VMULPS(w[k], t, t)
			VADDPS(t, sum, sum)
		}
		VMOVUPS(sum, at(dst, i, 4, 0))
	})
}

func convolveRowOdd() {
	function("convolveRowOddAVX2", "func(dst, padded *float32, w *[5]float32, n int)", "convolveRowOddAVX2 needs n ≥ 8.")
	dst, padded := param("dst"), param("padded")
	w := rowWeights()
	each(8, func(i reg.Register) {
		var sum reg.VecVirtual
		for k := 1; k <= 4; k++ {
			t := YMM()
			VMOVUPS(at(padded, i, 4, 16+4*k), t)
			VSUBPS(at(padded, i, 4, 16-4*k), t, t)
			VMULPS(w[k], t, t)
			add(&sum, t, VADDPS)
		}
		VMOVUPS(sum, at(dst, i, 4, 0))
	})
}
