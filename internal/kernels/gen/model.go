package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// sumTrees reads the fields of a tree: six int32 offsets, six int8 thresholds and two bytes of
// padding, the 64 low bytes of the leaves and the 64 high ones.
func sumTrees() {
	const (
		depth, block, vector = 6, 64, 32
		thresholds           = 4 * depth
		low                  = thresholds + 8
		high                 = low + 1<<depth
		bytes                = high + 1<<depth
		shuffled             = 4 // levels whose comparisons select one of the 16 bytes of a shuffle
	)
	function("sumTreesAVX2", "func(sums *[64]int16, columns *[64]int8, trees *int32, n int)",
		"sumTreesAVX2 takes the first number of n > 0 trees.")
	sums, columns, trees, n := param("sums"), param("columns"), param("trees"), param("n")
	var total [block / vector][2]reg.VecVirtual
	for half := range total {
		for k := range total[half] {
			total[half][k] = YMM()
			VPXOR(total[half][k], total[half][k], total[half][k])
		}
	}
	Label("loop")
	var column [depth]reg.GPVirtual
	for q := range column {
		column[q] = GP64()
		MOVLQSX(Mem{Base: trees, Disp: 4 * q}, column[q])
	}
	for half := range total {
		var below [depth]reg.VecVirtual // −1 where the value is below the threshold
		for q := range below {
			below[q] = YMM()
			VPBROADCASTB(Mem{Base: trees, Disp: thresholds + q}, below[q])
			VPCMPGTB(Mem{Base: columns, Index: column[q], Scale: 1, Disp: vector * half}, below[q], below[q])
		}
		leaf := below[shuffled-1]
		for q := shuffled - 2; q >= 0; q-- {
			VPADDB(leaf, leaf, leaf)
			VPADDB(below[q], leaf, leaf)
		}
		VPABSB(leaf, leaf)
		var choose func(plane, q, first int) reg.VecVirtual
		choose = func(plane, q, first int) reg.VecVirtual {
			v := YMM()
			if q < shuffled {
				VBROADCASTI128(Mem{Base: trees, Disp: plane + first}, v)
				VPSHUFB(leaf, v, v)
				return v
			}
			above := choose(plane, q-1, first)
			VPBLENDVB(below[q], choose(plane, q-1, first+1<<q), above, v)
			return v
		}
		l, h := choose(low, depth-1, 0), choose(high, depth-1, 0)
		wide := YMM()
		VPUNPCKLBW(h, l, wide)
		VPADDW(wide, total[half][0], total[half][0])
		VPUNPCKHBW(h, l, wide)
		VPADDW(wide, total[half][1], total[half][1])
	}
	ADDQ(U32(bytes), trees)
	DECQ(n)
	JNZ(LabelRef("loop"))
	Comment("Unpacking widened the bytes within each half of a register.")
	for half, t := range total {
		for k, halves := range []uint64{0x20, 0x31} {
			v := YMM()
			VPERM2I128(U8(halves), t[1], t[0], v)
			VMOVDQU(v, Mem{Base: sums, Disp: 2 * (vector*half + 16*k)})
		}
	}
	finish()
}

// columnBytes is the size of a column of float32 or int32.
const columnBytes = 256

func quantizeColumns() {
	function("quantizeColumnsAVX2", "func(dst *[64]int8, columns *[64]float32, means, scales *float32, limit, unit float32, n int)",
		"quantizeColumnsAVX2 needs n > 0.")
	dst, columns := param("dst"), param("columns")
	means, scales, n := param("means"), param("scales"), param("n")
	limit, negative, unit, order := YMM(), YMM(), YMM(), newOrder()
	VBROADCASTSS(address("limit"), limit)
	VXORPS(constant(1<<31), limit, negative)
	VBROADCASTSS(address("unit"), unit)
	f := GP64()
	XORQ(f, f)
	Label("loop")
	mean, scale := YMM(), YMM()
	VBROADCASTSS(at(means, f, 4, 0), mean)
	VBROADCASTSS(at(scales, f, 4, 0), scale)
	for i := 0; i < columnBytes; i += 128 {
		var v [4]reg.VecVirtual
		for k := range v {
			v[k] = YMM()
			VMOVUPS(Mem{Base: columns, Disp: i + 32*k}, v[k])
			VSUBPS(mean, v[k], v[k])
			VMULPS(scale, v[k], v[k])
			VMAXPS(negative, v[k], v[k])
			VMINPS(limit, v[k], v[k])
			VMULPS(unit, v[k], v[k])
			VCVTPS2DQ(v[k], v[k])
		}
		VMOVDQU(packBytes(v, order), Mem{Base: dst, Disp: i / 4})
	}
	ADDQ(U32(columnBytes), columns)
	ADDQ(U32(columnBytes/4), dst)
	INCQ(f)
	CMPQ(f, n)
	JLT(LabelRef("loop"))
	finish()
}

func interleavePairs() {
	function("interleavePairsAVX2", "func(pairs *[16][2]int16, columns *[64]int8, stride, n int)",
		"interleavePairsAVX2 needs n > 0 pairs and two columns for each. Rows of pairs are stride pairs apart.")
	pairs, columns, stride, n := param("pairs"), param("columns"), param("stride"), param("n")
	const itemBytes = columnBytes / 4 // of 16 items of a pair
	SHLQ(U8(6), stride)
	Label("loop")
	to := GP64()
	MOVQ(pairs, to)
	for i := 0; i < columnBytes/4; i += 16 {
		a, bytes, words := XMM(), XMM(), YMM()
		VMOVDQU(Mem{Base: columns, Disp: i}, a)
		for half, unpack := range []func(...Op){VPUNPCKLBW, VPUNPCKHBW} {
			unpack(Mem{Base: columns, Disp: columnBytes/4 + i}, a, bytes)
			VPMOVSXBW(bytes, words)
			VMOVDQU(words, Mem{Base: to, Disp: 32 * half})
		}
		ADDQ(stride, to)
	}
	ADDQ(U32(columnBytes/2), columns)
	ADDQ(U32(itemBytes), pairs)
	DECQ(n)
	JNZ(LabelRef("loop"))
	finish()
}

// The units of a group.
const groupUnits = 6

func unitOutputs() {
	function("unitOutputsAVX2", "func(dst *float32, pairs *[16][2]int16, weights *[6][2]int16, group *float32, n int)",
		"unitOutputsAVX2 writes the outputs for 16 items. It needs n > 0.")
	var items [2]reg.VecVirtual
	pairs := param("pairs")
	sumProducts(YMM, items[:], func() {
		for k := range items {
			items[k] = YMM()
			VMOVDQU(Mem{Base: pairs, Disp: 32 * k}, items[k])
		}
		ADDQ(U8(32*len(items)), pairs)
	}, func(w, items, sum reg.VecVirtual) {
		product := YMM()
		VPMADDWD(items, w, product)
		VPADDD(product, sum, sum)
	})
}

func unitOutputs512() {
	function("unitOutputsAVX512", "func(dst *float32, pairs *[16][2]int16, weights *[6][2]int16, group *float32, n int)",
		"unitOutputsAVX512 writes the outputs for 32 items, the pairs of 16 after those of the others. It needs n > 0.")
	var items [2]reg.VecVirtual
	pairs, next := param("pairs"), param("n")
	SHLQ(U8(6), next)
	ADDQ(pairs, next)
	sumProducts(ZMM, items[:], func() {
		for k, from := range []reg.GPVirtual{pairs, next} {
			items[k] = ZMM()
			VMOVDQU32(Mem{Base: from}, items[k])
			ADDQ(U8(64), from)
		}
	}, func(w, items, sum reg.VecVirtual) { VPDPWSSD(items, w, sum) })
}

// sumProducts computes the outputs of a group. Load loads the next pair of each vector of items;
// multiplyAdd adds the products of weights and items to sums.
func sumProducts(vector func() reg.VecVirtual, items []reg.VecVirtual, load func(), multiplyAdd func(w, items, sum reg.VecVirtual)) {
	dst, weights, group, n := param("dst"), param("weights"), param("group"), param("n")
	var sums [groupUnits][]reg.VecVirtual
	for u := range sums {
		for range items {
			v := vector()
			if v.Size() == 64 {
				VPXORD(v, v, v)
			} else {
				VPXOR(v, v, v)
			}
			sums[u] = append(sums[u], v)
		}
	}
	Label("loop")
	load()
	for u := range sums {
		w := vector()
		VPBROADCASTD(Mem{Base: weights, Disp: 4 * u}, w)
		for k, v := range items {
			multiplyAdd(w, v, sums[u][k])
		}
	}
	ADDQ(U8(4*groupUnits), weights)
	DECQ(n)
	JNZ(LabelRef("loop"))
	for u := range sums {
		scale, bias := vector(), vector()
		VBROADCASTSS(Mem{Base: group, Disp: 4 * u}, scale)
		VBROADCASTSS(Mem{Base: group, Disp: 4 * (groupUnits + u)}, bias)
		for _, v := range sums[u] {
			VCVTDQ2PS(v, v)
			VMULPS(scale, v, v)
			VADDPS(bias, v, v)
		}
		low := scale
		VBROADCASTSS(Mem{Base: group, Disp: 4 * (2*groupUnits + u)}, low)
		for k, v := range sums[u] {
			VMAXPS(low, v, v)
			VMOVUPS(v, Mem{Base: dst, Disp: columnBytes*u + int(v.Size())*k})
		}
	}
	finish()
}
