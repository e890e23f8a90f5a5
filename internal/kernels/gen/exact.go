package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// broadcastDouble returns a vector of a parameter.
func broadcastDouble(name string) reg.VecVirtual {
	v := YMM()
	VBROADCASTSD(address(name), v)
	return v
}

func scaleFloat64() {
	function("scaleFloat64AVX2", "func(dst, a *float64, w float64, n int)", "scaleFloat64AVX2 needs n ≥ 4.")
	dst, a, w := param("dst"), param("a"), broadcastDouble("w")
	each(4, func(i reg.Register) {
		v := YMM()
		VMULPD(at(a, i, 8, 0), w, v)
		VMOVUPD(v, at(dst, i, 8, 0))
	})
}

func addScaledSumFloat64() {
	function("addScaledSumFloat64AVX2", "func(dst, a, b *float64, w float64, n int)",
		"addScaledSumFloat64AVX2 needs n > 0, a multiple of 4.")
	dst, a, b, w := param("dst"), param("a"), param("b"), broadcastDouble("w")
	eachWhole(4, func(i reg.Register) {
		v := YMM()
		VMOVUPD(at(a, i, 8, 0), v)
		VADDPD(at(b, i, 8, 0), v, v)
		VMULPD(w, v, v)
		VADDPD(at(dst, i, 8, 0), v, v)
		VMOVUPD(v, at(dst, i, 8, 0))
	})
}

func addSquaresFloat64() {
	function("addSquaresFloat64AVX2", "func(dst, a, b *float64, n int)", "addSquaresFloat64AVX2 needs n > 0, a multiple of 4.")
	dst, a, b := param("dst"), param("a"), param("b")
	eachWhole(4, func(i reg.Register) {
		v := YMM()
		VMOVUPD(at(b, i, 8, 0), v)
		VSUBPD(at(a, i, 8, 0), v, v)
		VMULPD(v, v, v)
		VADDPD(at(dst, i, 8, 0), v, v)
		VMOVUPD(v, at(dst, i, 8, 0))
	})
}

func convolve7Float64() {
	function("convolve7Float64AVX2", "func(dst *float64, rows *[7][]float64, w *[4]float64, n int)", "convolve7Float64AVX2 needs n ≥ 4.")
	dst, rows, weights := param("dst"), param("rows"), param("w")
	var row [7]reg.Register
	for k := range row {
		row[k] = GP64()
		MOVQ(Mem{Base: rows, Disp: 24 * k}, row[k])
	}
	var w [4]reg.VecVirtual
	for k := range w {
		w[k] = YMM()
		VBROADCASTSD(Mem{Base: weights, Disp: 8 * k}, w[k])
	}
	each(4, func(i reg.Register) {
		sum := YMM()
		VMULPD(at(row[3], i, 8, 0), w[0], sum)
		for j := 3; j > 0; j-- {
			v := YMM()
			VMOVUPD(at(row[3-j], i, 8, 0), v)
			VADDPD(at(row[3+j], i, 8, 0), v, v)
			VMULPD(w[j], v, v)
			VADDPD(v, sum, sum)
		}
		VMOVUPD(sum, at(dst, i, 8, 0))
	})
}

func rootKeys() {
	function("rootKeysAVX2", "func(keys *int32, squares *float64, n int)", "rootKeysAVX2 needs n ≥ 4.")
	keys, squares := param("keys"), param("squares")
	nan := constant(0x7fc00000)
	each(4, func(i reg.Register) {
		x := YMM()
		VSQRTPD(at(squares, i, 8, 0), x)
		storeKeys(x, nan, at(keys, i, 4, 0))
	})
}

func distanceKeys3() {
	function("distanceKeys3AVX2", "func(keys *int32, a, b *[3][]float64, n int)", "distanceKeys3AVX2 needs n ≥ 4.")
	keys, ends := param("keys"), [2]reg.Register{param("a"), param("b")}
	var planes [2][3]reg.Register
	for k, end := range ends {
		for c := range planes[k] {
			planes[k][c] = GP64()
			MOVQ(Mem{Base: end, Disp: 24 * c}, planes[k][c])
		}
	}
	nan := constant(0x7fc00000)
	each(4, func(i reg.Register) {
		var sum reg.VecVirtual
		for c := range 3 {
			v := YMM()
			VMOVUPD(at(planes[1][c], i, 8, 0), v)
			VSUBPD(at(planes[0][c], i, 8, 0), v, v)
			VMULPD(v, v, v)
			add(&sum, v, func(ops ...Op) { VADDPD(ops[0], ops[1], ops[2]) })
		}
		VSQRTPD(sum, sum)
		storeKeys(sum, nan, at(keys, i, 4, 0))
	})
}

// storeKeys stores four numbers rounded down to float32.
func storeKeys(x, nan reg.VecVirtual, dst Mem) {
	f, back, above, unordered := XMM(), YMM(), YMM(), YMM()
	VCVTPD2PSY(x, f)
	VCVTPS2PD(f, back)
	Comment("Subtract 1 from the bits of those that were rounded up.")
	const greater, notANumber = 30, 3
	VCMPPD(U8(greater), x, back, above)
	VCMPPD(U8(notANumber), x, x, unordered)
	packDoubleMask(above)
	packDoubleMask(unordered)
	VPADDD(above.AsX(), f, f)
	VPBLENDVB(unordered.AsX(), nan.AsX(), f, f)
	VMOVDQU(f, dst)
}

// packDoubleMask moves the four masks of 64 bits in a vector to 32 bits each in its lower half.
func packDoubleMask(v reg.VecVirtual) {
	t := XMM()
	VEXTRACTF128(U8(1), v, t)
	VSHUFPS(U8(0b10001000), t, v.AsX(), v.AsX())
}

// eachWhole runs body at i = 0, step, 2·step and so on below n, a multiple of step above 0.
func eachWhole(step int, body func(i reg.Register)) {
	n := param("n")
	i := GP64()
	XORQ(i, i)
	Label("loop")
	body(i)
	ADDQ(U8(step), i)
	CMPQ(i, n)
	JLT(LabelRef("loop"))
	finish()
}

// cellKeys loads the keys of eight cells.
func cellKeys(i reg.Register, t, side, dr, dl, b reg.Register) (e [cellEdges]reg.VecVirtual) {
	for k, m := range [cellEdges]Mem{
		top: at(t, i, 4, 0), left: at(side, i, 4, 0), downRight: at(dr, i, 4, 0),
		right: at(side, i, 4, 4), downLeft: at(dl, i, 4, 4), bottom: at(b, i, 4, 0),
	} {
		e[k] = YMM()
		VMOVDQU(m, e[k])
	}
	return e
}

// storeCellBits stores the bits of eight cells, given as masks of one bit each in a vector.
func storeCellBits(v reg.VecVirtual, dst Mem) {
	t := XMM()
	VEXTRACTI128(U8(1), v, t)
	VPACKSSDW(t, v.AsX(), v.AsX())
	VPACKUSWB(v.AsX(), v.AsX(), v.AsX())
	VMOVQ(v.AsX(), dst)
}

func cycleEdges() {
	function("cycleEdgesAVX2", "func(dst *uint8, top, side, downRight, downLeft, bottom *int32, n int)", "cycleEdgesAVX2 needs n ≥ 8.")
	dst := param("dst")
	t, side, dr, dl, b := param("top"), param("side"), param("downRight"), param("downLeft"), param("bottom")
	var order [cellEdges]Mem
	for e := range order {
		if e > 0 {
			order[e] = AllocLocal(32)
			VMOVDQU(constant(uint32(e)), order[e])
		}
	}
	each(8, func(i reg.Register) {
		keys := cellKeys(i, t, side, dr, dl, b)
		for e := 1; e < cellEdges; e++ {
			VPMAXSD(order[e], keys[e], keys[e])
		}
		var out reg.VecVirtual
		for e, paths := range paths8 {
			var least reg.VecVirtual
			for _, path := range paths {
				heaviest := YMM()
				VPMAXSD(keys[path[1]], keys[path[0]], heaviest)
				for _, f := range path[2:] {
					VPMAXSD(keys[f], heaviest, heaviest)
				}
				add(&least, heaviest, func(ops ...Op) { VPMINSD(ops[0], ops[1], ops[2]) })
			}
			VPCMPGTD(least, keys[e], least)
			VPSRLD(U8(31), least, least)
			if e > 0 {
				VPSLLD(U8(e), least, least)
			}
			add(&out, least, or)
		}
		storeCellBits(out, at(dst, i, 1, 0))
	})
}

func repeatedEdges() {
	function("repeatedEdgesAVX2", "func(dst *uint8, top, side, downRight, downLeft, bottom, labels, labelsBelow *int32, n int)",
		"repeatedEdgesAVX2 needs n ≥ 8.")
	dst := param("dst")
	t, side, dr, dl, b := param("top"), param("side"), param("downRight"), param("downLeft"), param("bottom")
	above, below := param("labels"), param("labelsBelow")
	var same, bits [cellEdges]Mem
	for e := range same {
		same[e], bits[e] = AllocLocal(32), AllocLocal(32)
	}
	each(8, func(i reg.Register) {
		corners := [4]Mem{at(above, i, 4, 0), at(above, i, 4, 4), at(below, i, 4, 0), at(below, i, 4, 4)}
		for e, ends := range ends {
			v := YMM()
			VMOVDQU(corners[ends[0]], v)
			VPCMPEQD(corners[ends[1]], v, v)
			VMOVDQU(v, same[e])
			VMOVDQU(v, bits[e])
		}
		keys := cellKeys(i, t, side, dr, dl, b)
		compare := func(e, f int, same Op) {
			v := YMM()
			VPCMPGTD(keys[f], keys[e], v)
			VPAND(same, v, v)
			VPOR(bits[e], v, v)
			VMOVDQU(v, bits[e])
			w := YMM()
			VPCMPGTD(keys[e], keys[f], w)
			VPAND(same, w, w)
			VPOR(bits[f], w, w)
			VMOVDQU(w, bits[f])
		}
		for e := range cellEdges {
			for f := e + 1; f < cellEdges; f++ {
				if g, ok := third(e, f); ok {
					compare(e, f, same[g])
				}
			}
		}
		opposite := [3][2]int{{top, bottom}, {left, right}, {downRight, downLeft}}
		for k, p := range opposite {
			q, r := opposite[(k+1)%3], opposite[(k+2)%3]
			v, w := YMM(), YMM()
			VMOVDQU(same[q[0]], v)
			VPAND(same[q[1]], v, v)
			VMOVDQU(same[r[0]], w)
			VPAND(same[r[1]], w, w)
			VPOR(w, v, v)
			compare(p[0], p[1], v)
		}
		var out reg.VecVirtual
		for e := range cellEdges {
			v := YMM()
			VMOVDQU(bits[e], v)
			VPSRLD(U8(31), v, v)
			if e > 0 {
				VPSLLD(U8(e), v, v)
			}
			add(&out, v, or)
		}
		storeCellBits(out, at(dst, i, 1, 0))
	})
}

// third returns the edge between the other ends of two edges with a common end.
func third(e, f int) (int, bool) {
	var others []int
	for _, p := range []int{ends[e][0], ends[e][1], ends[f][0], ends[f][1]} {
		n := 0
		for _, q := range []int{ends[e][0], ends[e][1], ends[f][0], ends[f][1]} {
			if p == q {
				n++
			}
		}
		if n == 1 {
			others = append(others, p)
		}
	}
	for g, q := range ends {
		if len(others) == 2 && q == [2]int{min(others[0], others[1]), max(others[0], others[1])} {
			return g, true
		}
	}
	return 0, false
}
