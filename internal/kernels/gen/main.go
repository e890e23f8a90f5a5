// Command gen writes the AVX2 and AVX-512 kernels of internal/kernels. Each kernel performs, lane by
// lane, the operations of its portable implementation in the same order and without fusing them, so
// that the results are the same to the bit.
package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

//go:generate go run . -out ../kernels_amd64.s -stubs ../kernels_amd64.go -pkg kernels

func main() {
	ConstraintExpr("!purego")
	packing = newPacking()
	distances1()
	distances3()
	pruneEdges4()
	pruneEdges8Right()
	pruneEdges8Down()
	boundaryEdges4()
	boundaryEdges8Right()
	boundaryEdges8Down()
	edgeKeys4()
	edgeKeys8()
	convolveColumns("convolveColumnsEvenAVX2", false)
	convolveColumns("convolveColumnsEvenOddAVX2", true)
	convolveRowEven()
	convolveRowOdd()
	quantize("quantize1AVX2", "a")
	quantize("quantize3AVX2", "a", "b", "c")
	listGradients()
	diffMask()
	countQuantized3()
	countGradients()
	intersections()
	addNormalize()
	addCounts()
	normalize()
	hue()
	hsv()
	lab()
	gray()
	sumTrees()
	overlaps()
	coverageGain()
	coverageHistogram()
	quantizeColumns()
	interleavePairs()
	unitOutputs()
	unitOutputs512()
	multiplyAdd()
	gradientMagnitudes()
	rectangleSums()
	gridSums()
	maxMeanMin()
	transposeBlock()
	integralRow()
	downsample2()
	scaleFloat64()
	addScaledSumFloat64()
	addSquaresFloat64()
	convolve7Float64()
	rootKeys()
	distanceKeys3()
	cycleEdges()
	repeatedEdges()
	split3()
	Generate()
}

// packing has eight bytes for every set of eight lanes: the indices of the lanes in the set.
var packing Mem

func newPacking() Mem {
	table := GLOBL("packing", RODATA|NOPTR)
	for set := range 256 {
		row, n := uint64(0), 0
		for lane := range 8 {
			if set>>lane&1 != 0 {
				row |= uint64(lane) << (8 * n)
				n++
			}
		}
		DATA(8*set, U64(row))
	}
	return table
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

// param loads a parameter.
func param(name string) reg.GPVirtual {
	return Load(Param(name), GP64()).(reg.GPVirtual)
}

// address returns the address of a parameter.
func address(name string) Mem {
	p, err := Param(name).Resolve()
	if err != nil {
		panic(err)
	}
	return p.Addr
}

// each runs body at i = 0, step, 2·step and so on below n−step, and at n−step. The last two may
// overlap, so body must be a pure map. n must be at least step.
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

// at addresses element i, of size bytes, of an array.
func at(pointer, i reg.Register, size uint8, displacement int) Mem {
	return Mem{Base: pointer, Index: i, Scale: size, Disp: displacement}
}

// constant returns a vector of a 32-bit constant.
func constant(bits uint32) reg.VecVirtual {
	g, v := GP32(), YMM()
	MOVL(U32(bits), g)
	VMOVD(g, v.AsX())
	VPBROADCASTD(v.AsX(), v)
	return v
}

// add adds term to sum, which is nil at first.
func add(sum *reg.VecVirtual, term reg.VecVirtual, op func(...Op)) {
	if *sum == nil {
		*sum = term
	} else {
		op(term, *sum, *sum)
	}
}
