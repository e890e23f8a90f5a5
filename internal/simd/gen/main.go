// Command gen writes the AVX2 kernels of internal/simd. Every kernel does, lane by
// lane, the operations of its twin in portable.go in the same order, and none of them
// fused: the results are the same to the bit.
package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

//go:generate go run . -out ../kernels_amd64.s -stubs ../kernels_amd64.go -pkg simd

func main() {
	ConstraintExpr("!purego")
	distances1()
	distances3()
	thin4()
	thin8Right()
	thin8Down()
	Generate()
}

// function begins a kernel.
func function(name, signature, doc string) {
	TEXT(name, NOSPLIT, signature)
	Pragma("noescape")
	Doc(doc)
}

// finish ends a kernel.
func finish() {
	VZEROUPPER()
	RET()
}

func param(name string) reg.GPVirtual {
	return Load(Param(name), GP64()).(reg.GPVirtual)
}

// each runs body at i = 0, step, 2·step and so on below n−step, and at n−step: the
// last two may overlap, so that body has to be a pure map. n must be step or more.
func each(step int, body func(i reg.Register)) {
	n := param("n")
	i := GP64()
	SUBQ(U8(step), n)
	XORQ(i, i)
	JMP(LabelRef("test"))
	Label("loop")
	body(i)
	ADDQ(U8(step), i)
	Label("test")
	CMPQ(i, n)
	JLT(LabelRef("loop"))
	MOVQ(n, i)
	Comment("The last vector ends with the slices.")
	body(i)
	finish()
}

// at is element i of size bytes behind a pointer.
func at(pointer, i reg.Register, size uint8, displacement int) Mem {
	return Mem{Base: pointer, Index: i, Scale: size, Disp: displacement}
}

// constant is 32 equal bits, repeated.
func constant(bits uint32) reg.VecVirtual {
	g, v := GP32(), YMM()
	MOVL(U32(bits), g)
	VMOVD(g, v.AsX())
	VPBROADCASTD(v.AsX(), v)
	return v
}

// The bits of float32 constants.
const (
	half           = 0x3f000000
	stepsPerLevel  = 0x43000000 // 128
	withoutTheSign = 0x7fffffff
)

// quantise stores eight distances in 1/128, rounded.
func quantise(distances reg.VecVirtual, steps, half reg.Register, dst Mem) {
	VMULPS(steps, distances, distances)
	VADDPS(half, distances, distances)
	VCVTTPS2DQ(distances, distances)
	VPACKUSDW(distances, distances, distances)
	VPERMQ(U8(0b1000), distances, distances)
	VMOVDQU(distances.AsX(), dst)
}

func distances1() {
	function("distances1AVX2", "func(dst *uint16, a, b *float32, n int)", "distances1AVX2 needs n ≥ 8.")
	dst, a, b := param("dst"), param("a"), param("b")
	steps, half, mask := constant(stepsPerLevel), constant(half), constant(withoutTheSign)
	each(8, func(i reg.Register) {
		d := YMM()
		VMOVUPS(at(a, i, 4, 0), d)
		VSUBPS(at(b, i, 4, 0), d, d)
		VANDPS(mask, d, d)
		quantise(d, steps, half, at(dst, i, 2, 0))
	})
}

func distances3() {
	function("distances3AVX2", "func(dst *uint16, a0, a1, a2, b0, b1, b2 *float32, n int)", "distances3AVX2 needs n ≥ 8.")
	dst := param("dst")
	a := [3]reg.Register{param("a0"), param("a1"), param("a2")}
	b := [3]reg.Register{param("b0"), param("b1"), param("b2")}
	steps, half := constant(stepsPerLevel), constant(half)
	each(8, func(i reg.Register) {
		var d [3]reg.VecVirtual
		for plane := range d {
			d[plane] = YMM()
			VMOVUPS(at(a[plane], i, 4, 0), d[plane])
			VSUBPS(at(b[plane], i, 4, 0), d[plane], d[plane])
			VMULPS(d[plane], d[plane], d[plane])
		}
		VADDPS(d[1], d[0], d[0])
		VADDPS(d[2], d[0], d[0])
		VSQRTPS(d[0], d[0])
		quantise(d[0], steps, half, at(dst, i, 2, 0))
	})
}
