// Command gen writes the AVX2 kernels of internal/kernels. Every kernel does, lane by
// lane, the operations of its twin in portable.go in the same order, and none of them
// fused: the results are the same to the bit.
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
	thin4()
	thin8Right()
	thin8Down()
	borders4()
	borders8Right()
	borders8Down()
	list4()
	list8()
	columns4("columns4AVX2", false)
	columns4("bothColumns4AVX2", true)
	smoothRow4()
	slopeRow4()
	bins("bins1AVX2", "a")
	bins("bins3AVX2", "a", "b", "c")
	textures()
	differ()
	addBins3()
	addTextures()
	intersections()
	merge()
	addCounts()
	normalise()
	hue()
	hsv()
	lab()
	gray()
	sumTrees()
	overlaps()
	uncovered()
	tally()
	scaleColumns()
	interleave()
	project()
	steepness()
	rectangles()
	grids()
	summarise()
	transpose()
	integrate()
	halve()
	Generate()
}

// packing has eight bytes for every set of eight lanes: the numbers of those in the set.
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

func param(name string) reg.GPVirtual {
	return Load(Param(name), GP64()).(reg.GPVirtual)
}

// address is where a parameter is.
func address(name string) Mem {
	p, err := Param(name).Resolve()
	if err != nil {
		panic(err)
	}
	return p.Addr
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
	nearlyOne      = 0x3f7fc000 // 1 − 2⁻¹⁰
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

// columns4 takes 16 pixels at a time. A weight w is split into 16-bit halves,
// w = 65536·high + low with low signed. The products with low are added in pairs to 32
// bits; of those with high, the lower 16 bits of their sum are all that stays.
func columns4(name string, both bool) {
	signature := "func(even *float32, rows *[9][]uint8, w *[5]int32, n int)"
	if both {
		signature = "func(even, odd *float32, rows *[9][]uint8, w, v *[5]int32, n int)"
	}
	function(name, signature, name+" needs n ≥ 16.")
	w := newTable("w", [][2]int{{0, 1}, {2, 3}, {4, -1}})
	var v table
	if both {
		v = newTable("v", [][2]int{{1, 2}, {3, 4}})
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
		var sums, slopes fixed
		before := load(4)
		sums.addHigh(before, w.high[0])
		var slope reg.VecVirtual
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
				slopes.addHigh(below, v.high[k])
				if k%2 == 0 {
					slopes.addPair(slope, below, v.low[k/2-1])
				}
				slope = below
			}
			before = sum
		}
		sums.addPair(before, before, w.low[2])
		sums.store(even, i)
		if both {
			slopes.store(odd, i)
		}
	})
}

// table has the halves of weights in memory, for 16 pixels.
type table struct {
	low  []Mem // by pair
	high [5]Mem
}

func newTable(name string, pairs [][2]int) (t table) {
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
		Comment("What a negative low half takes, the high half has.")
		ADDL(U32(1<<15), g)
		SHRL(U8(16), g)
		VMOVD(g, x.AsX())
		VPBROADCASTW(x.AsX(), x)
		t.high[k] = AllocLocal(32)
		VMOVDQU(x, t.high[k])
	}
	return t
}

// fixed are the weighted sums of 16 pixels: those of the low halves are apart by the
// half lanes that unpacking takes.
type fixed struct {
	lower, upper, high reg.VecVirtual
}

// add adds term to sum, which is none at first.
func add(sum *reg.VecVirtual, term reg.VecVirtual, op func(...Op)) {
	if *sum == nil {
		*sum = term
	} else {
		op(term, *sum, *sum)
	}
}

func (f *fixed) addHigh(words reg.VecVirtual, weights Mem) {
	t := YMM()
	VPMULLW(weights, words, t)
	add(&f.high, t, VPADDW)
}

func (f *fixed) addPair(a, b reg.VecVirtual, weights Mem) {
	t, u := YMM(), YMM()
	VPUNPCKLWD(b, a, t)
	VPUNPCKHWD(b, a, u)
	VPMADDWD(weights, t, t)
	VPMADDWD(weights, u, u)
	add(&f.lower, t, VPADDD)
	add(&f.upper, u, VPADDD)
}

func (f *fixed) store(dst, i reg.Register) {
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

// floats are the five weights of a row, each in all lanes.
func floats() (w [5]reg.VecVirtual) {
	weights := param("w")
	for k := range w {
		w[k] = YMM()
		VBROADCASTSS(Mem{Base: weights, Disp: 4 * k}, w[k])
	}
	return w
}

func smoothRow4() {
	function("smoothRow4AVX2", "func(dst, padded *float32, w *[5]float32, n int)", "smoothRow4AVX2 needs n ≥ 8.")
	dst, padded := param("dst"), param("padded")
	w := floats()
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

func slopeRow4() {
	function("slopeRow4AVX2", "func(dst, padded *float32, w *[5]float32, n int)", "slopeRow4AVX2 needs n ≥ 8.")
	dst, padded := param("dst"), param("padded")
	w := floats()
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

// intersections adds signed words in pairs: the smaller of two unsigned ones, less 32768.
func intersections() {
	function("intersectionsAVX2", "func(sums *uint32, row, rows *uint16, bins int, others *int32, n int)",
		"intersectionsAVX2 needs bins, a multiple of 16, and n to be more than 0.")
	sums, row, rows, others := param("sums"), param("row"), param("rows"), param("others")
	bins, n := param("bins"), param("n")
	bias, ones := constant(1<<31|1<<15), constant(1<<16|1)
	taken := GP64()
	Comment("The rows' ends; they are counted up to from below.")
	MOVQ(bins, taken)
	SHLQ(U8(15), taken)
	ADDQ(bins, bins)
	ADDQ(bins, row)
	ADDQ(bins, rows)
	other, i := GP64(), GP64()
	Label("other")
	MOVLQSX(Mem{Base: others}, other)
	IMULQ(bins, other)
	ADDQ(rows, other)
	MOVQ(bins, i)
	NEGQ(i)
	sum := YMM()
	VPXOR(sum, sum, sum)
	Label("bins")
	t := YMM()
	VMOVDQU(at(row, i, 1, 0), t)
	VPMINUW(at(other, i, 1, 0), t, t)
	VPXOR(bias, t, t)
	VPMADDWD(ones, t, t)
	VPADDD(t, sum, sum)
	ADDQ(U8(32), i)
	JNE(LabelRef("bins"))
	half := YMM()
	VEXTRACTI128(U8(1), sum, half.AsX())
	VPADDD(half.AsX(), sum.AsX(), sum.AsX())
	VPSHUFD(U8(0b01001110), sum.AsX(), half.AsX())
	VPADDD(half.AsX(), sum.AsX(), sum.AsX())
	VPSHUFD(U8(0b10110001), sum.AsX(), half.AsX())
	VPADDD(half.AsX(), sum.AsX(), sum.AsX())
	VMOVD(sum.AsX(), i.As32())
	ADDL(taken.As32(), i.As32())
	MOVL(i.As32(), Mem{Base: sums})
	ADDQ(U8(4), others)
	ADDQ(U8(4), sums)
	DECQ(n)
	JNE(LabelRef("other"))
	finish()
}

func merge() {
	function("mergeAVX2", "func(normal *uint16, sum, a, b *uint32, n int, reciprocal, half, shift uint64)",
		"mergeAVX2 needs n, a multiple of 16, to be more than 0.")
	sum, a, b := param("sum"), param("a"), param("b")
	scale(func(i reg.Register, offset int) reg.VecVirtual {
		counts := YMM()
		VMOVDQU(at(a, i, 4, offset), counts)
		VPADDD(at(b, i, 4, offset), counts, counts)
		VMOVDQU(counts, at(sum, i, 4, offset))
		return counts
	})
}

func addCounts() {
	function("addAVX2", "func(sum, a *uint32, n int)", "addAVX2 needs n, a multiple of 16, to be more than 0.")
	sum, a, n := param("sum"), param("a"), param("n")
	i := GP64()
	XORQ(i, i)
	Label("loop")
	for k := range 2 {
		counts := YMM()
		VMOVDQU(at(a, i, 4, 32*k), counts)
		VPADDD(at(sum, i, 4, 32*k), counts, counts)
		VMOVDQU(counts, at(sum, i, 4, 32*k))
	}
	ADDQ(U8(16), i)
	CMPQ(i, n)
	JLT(LabelRef("loop"))
	finish()
}

func normalise() {
	function("normaliseAVX2", "func(normal *uint16, counts *uint32, n int, reciprocal, half, shift uint64)",
		"normaliseAVX2 needs n, a multiple of 16, to be more than 0.")
	from := param("counts")
	scale(func(i reg.Register, offset int) reg.VecVirtual {
		counts := YMM()
		VMOVDQU(at(from, i, 4, offset), counts)
		return counts
	})
}

// scale normalises the counts that load gives, eight of 16 at a time.
func scale(load func(i reg.Register, offset int) reg.VecVirtual) {
	normal, n := param("normal"), param("n")
	reciprocal, half, shift := YMM(), YMM(), YMM()
	VPBROADCASTQ(address("reciprocal"), reciprocal)
	VPBROADCASTQ(address("half"), half)
	VPBROADCASTQ(address("shift"), shift)
	i := GP64()
	XORQ(i, i)
	Label("loop")
	var scaled [2]reg.VecVirtual
	for k := range scaled {
		even, odd := load(i, 32*k), YMM()
		VPSRLQ(U8(32), even, odd)
		for _, v := range []reg.VecVirtual{even, odd} {
			VPMULUDQ(reciprocal, v, v)
			VPADDQ(half, v, v)
			VPSRLQ(shift.AsX(), v, v)
		}
		VPSLLQ(U8(32), odd, odd)
		VPOR(odd, even, even)
		scaled[k] = even
	}
	VPACKUSDW(scaled[1], scaled[0], scaled[0])
	VPERMQ(U8(0b11011000), scaled[0], scaled[0])
	VMOVDQU(scaled[0], at(normal, i, 2, 0))
	ADDQ(U8(16), i)
	CMPQ(i, n)
	JLT(LabelRef("loop"))
	finish()
}
