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
	function("interleavePairsAVX2", "func(pairs *[64][2]int16, columns *[64]int8, n int)",
		"interleavePairsAVX2 needs n > 0 pairs and two columns for each.")
	pairs, columns, n := param("pairs"), param("columns"), param("n")
	Label("loop")
	for i := 0; i < columnBytes/4; i += 16 {
		a, bytes, words := XMM(), XMM(), YMM()
		VMOVDQU(Mem{Base: columns, Disp: i}, a)
		for half, unpack := range []func(...Op){VPUNPCKLBW, VPUNPCKHBW} {
			unpack(Mem{Base: columns, Disp: columnBytes/4 + i}, a, bytes)
			VPMOVSXBW(bytes, words)
			VMOVDQU(words, Mem{Base: pairs, Disp: 4*i + 32*half})
		}
	}
	ADDQ(U32(columnBytes/2), columns)
	ADDQ(U32(columnBytes), pairs)
	DECQ(n)
	JNZ(LabelRef("loop"))
	finish()
}

func dotPairs() {
	function("dotPairsAVX2", "func(dst *[2][64]int32, pairs *[64][2]int16, a, b *[2]int16, n int)",
		"dotPairsAVX2 needs n > 0.")
	const vectors = 4 // of each of the two sums at a time
	dst, pairs, a, b, n := param("dst"), param("pairs"), param("a"), param("b"), param("n")
	for half := 0; half < columnBytes; half += 32 * vectors {
		name := []string{"first", "second"}[half/(32*vectors)]
		var sums [2][vectors]reg.VecVirtual
		for s := range sums {
			for k := range sums[s] {
				sums[s][k] = YMM()
				VPXOR(sums[s][k], sums[s][k], sums[s][k])
			}
		}
		f, column := GP64(), GP64()
		XORQ(f, f)
		MOVQ(pairs, column)
		Label(name)
		var weights [2]reg.VecVirtual
		for s, w := range []reg.Register{a, b} {
			weights[s] = YMM()
			VPBROADCASTD(at(w, f, 4, 0), weights[s])
		}
		for k := range vectors {
			v, p := YMM(), YMM()
			VMOVDQU(Mem{Base: column, Disp: half + 32*k}, v)
			VPMADDWD(weights[0], v, p)
			VPADDD(p, sums[0][k], sums[0][k])
			VPMADDWD(weights[1], v, v)
			VPADDD(v, sums[1][k], sums[1][k])
		}
		ADDQ(U32(columnBytes), column)
		INCQ(f)
		CMPQ(f, n)
		JLT(LabelRef(name))
		for s := range sums {
			for k := range sums[s] {
				VMOVDQU(sums[s][k], Mem{Base: dst, Disp: columnBytes*s + half + 32*k})
			}
		}
	}
	finish()
}
