package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

const (
	oneBits        = 0x3f800000 // of the float32 1
	greaterOrEqual = U8(29)     // of VCMPPS
)

// quantize stores the levels of 16 pixels, those of a plane above those of the plane before.
func quantize(name string, planes ...string) {
	list := planes[0]
	for _, p := range planes[1:] {
		list += ", " + p
	}
	function(name, "func(dst *uint16, "+list+" *uint8, n int)", name+" needs n ≥ 16.")
	dst := param("dst")
	from := make([]reg.Register, len(planes))
	for i, p := range planes {
		from[i] = param(p)
	}
	levels := constant(25<<16 | 25)
	each(16, func(i reg.Register) {
		var out reg.VecVirtual
		for p := range from {
			v := YMM()
			VPMOVZXBW(at(from[p], i, 1, 0), v)
			VPMULLW(levels, v, v)
			VPSRLW(U8(8), v, v)
			if p == 0 {
				out = v
				continue
			}
			VPSLLW(U8(5*p), v, v)
			VPOR(v, out, out)
		}
		VMOVDQU(out, at(dst, i, 2, 0))
	})
}

// listGradients first moves the derivatives and the numbers of the listed samples to the front, and
// then computes their bins, which most samples do not need.
func listGradients() {
	function("listGradientsAVX2", "func(list *uint32, gx, gy *float32, scale, diagonal float32, n int) int",
		"listGradientsAVX2 needs n ≥ 8 and a list of n+7 elements. It overwrites gx and gy.")
	list, gx, gy, n := param("list"), param("gx"), param("gy"), param("n")
	scale, diagonal := YMM(), YMM()
	VBROADCASTSS(address("scale"), scale)
	VBROADCASTSS(address("diagonal"), diagonal)
	rows, i, k := GP64(), GP64(), GP64()
	LEAQ(packing, rows)
	SUBQ(U8(8), n)
	Comment("The last vector ends with the slices; samples of the vector before are left out.")
	lastU, lastV, ahead := YMM(), YMM(), constant(8)
	VMOVUPS(at(gx, n, 4, 0), lastU)
	VMOVUPS(at(gy, n, 4, 0), lastV)
	first := YMM()
	VPXOR(first, first, first)

	// listed returns the set of eight samples with a response of magnitude 1 or more. The larger of
	// the two diagonal ones is |u|+|v|.
	magnitude, one := constant(signless), constant(oneBits)
	listed := func(u, v reg.Register) reg.GPVirtual {
		a, b, largest, set := YMM(), YMM(), YMM(), GP32()
		VANDPS(magnitude, u, a)
		VANDPS(magnitude, v, b)
		VMAXPS(a, b, largest)
		VADDPS(a, b, a)
		VMULPS(scale, largest, largest)
		VMULPS(diagonal, a, a)
		VMAXPS(a, largest, largest)
		VCMPPS(greaterOrEqual, one, largest, largest)
		VMOVMSKPS(largest, set)
		return set
	}
	// pack moves the derivatives of a set of the eight samples from first on to the front, and
	// returns their numbers.
	pack := func(set reg.GPVirtual, u, v reg.Register) (number reg.VecVirtual) {
		lanes := YMM()
		VPMOVZXBD(at(rows, set.As64(), 8, 0), lanes)
		VPERMPS(u, lanes, u)
		VPERMPS(v, lanes, v)
		VPADDD(first, lanes, lanes)
		POPCNTL(set, set)
		return lanes
	}
	XORQ(i, i)
	XORQ(k, k)
	JMP(LabelRef("test"))
	Label("loop")
	{
		u, v := YMM(), YMM()
		VMOVUPS(at(gx, i, 4, 0), u)
		VMOVUPS(at(gy, i, 4, 0), v)
		set := listed(u, v)
		VMOVDQU(pack(set, u, v), at(list, k, 4, 0))
		VMOVUPS(u, at(gx, k, 4, 0))
		VMOVUPS(v, at(gy, k, 4, 0))
		ADDQ(set.As64(), k)
	}
	VPADDD(ahead, first, first)
	ADDQ(U8(8), i)
	Label("test")
	CMPQ(i, n)
	JLT(LabelRef("loop"))

	MOVQ(i, reg.RCX)
	SUBQ(n, reg.RCX)
	among := GP32()
	MOVL(U32(1<<32-1), among)
	SHLL(reg.CL, among)
	set := listed(lastU, lastV)
	ANDL(among, set)
	VMOVD(n.As32(), first.AsX())
	VPBROADCASTD(first.AsX(), first)
	lastNumber := pack(set, lastU, lastV)

	last, bins, fields := constant(9<<16|9), constant(10<<16|10), constant(1<<21|1)
	// responseBins returns the bins of two responses, in alternate words.
	responseBins := func(r, s reg.VecVirtual) reg.VecVirtual {
		negative := YMM()
		VCVTTPS2DQ(r, r)
		VCVTTPS2DQ(s, s)
		VPSLLD(U8(16), s, s)
		VPBLENDW(U8(0b10101010), s, r, r)
		VPSRAW(U8(15), r, negative)
		VPABSW(r, r)
		VPMINUW(last, r, r)
		VPAND(bins, negative, negative)
		VPADDW(negative, r, r)
		VPMADDWD(fields, r, r)
		return r
	}
	code := func(number, u, v reg.VecVirtual, dst Mem) {
		sum, difference := YMM(), YMM()
		VADDPS(v, u, sum)
		VSUBPS(u, v, difference)
		VMULPS(scale, u, u)
		VMULPS(scale, v, v)
		VMULPS(diagonal, sum, sum)
		VMULPS(diagonal, difference, difference)
		low, high := responseBins(u, sum), responseBins(v, difference)
		VPSLLD(U8(10), high, high)
		VPSLLD(U8(20), number, number)
		VPOR(high, low, low)
		VPOR(number, low, low)
		VMOVDQU(low, dst)
	}
	XORQ(i, i)
	JMP(LabelRef("testCodes"))
	Label("codes")
	{
		number, u, v := YMM(), YMM(), YMM()
		VMOVDQU(at(list, i, 4, 0), number)
		VMOVUPS(at(gx, i, 4, 0), u)
		VMOVUPS(at(gy, i, 4, 0), v)
		code(number, u, v, at(list, i, 4, 0))
	}
	ADDQ(U8(8), i)
	Label("testCodes")
	CMPQ(i, k)
	JLT(LabelRef("codes"))
	code(lastNumber, lastU, lastV, at(list, k, 4, 0))
	ADDQ(set.As64(), k)
	Store(k, ReturnIndex(0))
	finish()
}

// increment adds one to the counts of a row at n bins, which are packed into five bits each. Nothing
// is above the highest one.
func increment(row, fields reg.Register, step int, n int) {
	for k := range n {
		bin := GP32()
		MOVL(fields, bin)
		if k > 0 {
			SHRL(U8(5*k), bin)
		}
		if k < n-1 {
			ANDL(U8(31), bin)
		}
		INCL(Mem{Base: row, Index: bin.As64(), Scale: 4, Disp: 4 * step * k})
	}
}

// rowOf returns the row of a label, or jumps to the end if that is beyond the last row.
func rowOf(label Mem, counts, row, last reg.Register) reg.GPVirtual {
	p := GP64()
	MOVL(label, p.As32())
	IMULQ(row, p)
	CMPQ(p, last)
	JGT(LabelRef("end"))
	LEAQ(at(counts, p, 4, 0), p)
	return p
}

// countQuantized3 alternates between two ranges of samples: adjacent samples often share a counter,
// so that the second would wait for the first.
func countQuantized3() {
	function("countQuantized3AMD64", "func(counts *uint32, row, last int, bins *uint16, labels *int32, n int) int",
		"countQuantized3AMD64 counts elements i and n+i until i = n or one of them has no row, and returns i.")
	counts, row, last, n := param("counts"), param("row"), param("last"), param("n")
	bins, labels := param("bins"), param("labels")
	upperBins, upperLabels, i := GP64(), GP64(), GP64()
	LEAQ(at(bins, n, 2, 0), upperBins)
	LEAQ(at(labels, n, 4, 0), upperLabels)
	XORQ(i, i)
	JMP(LabelRef("test"))
	Label("loop")
	for _, from := range [][2]reg.Register{{bins, labels}, {upperBins, upperLabels}} {
		fields := GP32()
		MOVWLZX(at(from[0], i, 2, 0), fields)
		increment(rowOf(at(from[1], i, 4, 0), counts, row, last), fields, 25, 3)
	}
	INCQ(i)
	Label("test")
	CMPQ(i, n)
	JLT(LabelRef("loop"))
	Label("end")
	Store(i, ReturnIndex(0))
	RET()
}

func countGradients() {
	function("countGradientsAMD64", "func(counts *uint32, row, last int, list *uint32, n int, labels *int32, labeled int) int",
		"countGradientsAMD64 counts elements i until i = n or the element has no label or no row, and returns i.")
	counts, row, last, n := param("counts"), param("row"), param("last"), param("n")
	list, labels, labeled := param("list"), param("labels"), param("labeled")
	i := GP64()
	XORQ(i, i)
	JMP(LabelRef("test"))
	Label("loop")
	fields, number := GP32(), GP64()
	MOVL(at(list, i, 4, 0), fields)
	MOVL(fields, number.As32())
	SHRL(U8(20), number.As32())
	CMPQ(number, labeled)
	JGE(LabelRef("end"))
	p := rowOf(at(labels, number, 4, 0), counts, row, last)
	ANDL(U32(1<<20-1), fields)
	increment(p, fields, 20, 4)
	INCQ(i)
	Label("test")
	CMPQ(i, n)
	JLT(LabelRef("loop"))
	Label("end")
	Store(i, ReturnIndex(0))
	RET()
}

// intersections adds pairs of signed words: the smaller of two unsigned ones, minus 32768.
func intersections() {
	function("intersectionsAVX2", "func(sums *uint32, row, rows *uint16, bins int, others *int32, n int)",
		"intersectionsAVX2 needs n > 0 and bins > 0, a multiple of 16.")
	sums, row, rows, others := param("sums"), param("row"), param("rows"), param("others")
	bins, n := param("bins"), param("n")
	bias, ones := constant(1<<31|1<<15), constant(1<<16|1)
	taken := GP64()
	Comment("The ends of the rows; the index counts up to 0.")
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

func addNormalize() {
	function("addNormalizeAVX2", "func(normal *uint16, sum, a, b *uint32, n int, reciprocal, half, shift uint64)",
		"addNormalizeAVX2 needs n > 0, a multiple of 16.")
	sum, a, b := param("sum"), param("a"), param("b")
	normalizeEach(func(i reg.Register, offset int) reg.VecVirtual {
		counts := YMM()
		VMOVDQU(at(a, i, 4, offset), counts)
		VPADDD(at(b, i, 4, offset), counts, counts)
		VMOVDQU(counts, at(sum, i, 4, offset))
		return counts
	})
}

func addCounts() {
	function("addCountsAVX2", "func(sum, a *uint32, n int)", "addCountsAVX2 needs n > 0, a multiple of 16.")
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

func normalize() {
	function("normalizeAVX2", "func(normal *uint16, counts *uint32, n int, reciprocal, half, shift uint64)",
		"normalizeAVX2 needs n > 0, a multiple of 16.")
	from := param("counts")
	normalizeEach(func(i reg.Register, offset int) reg.VecVirtual {
		counts := YMM()
		VMOVDQU(at(from, i, 4, offset), counts)
		return counts
	})
}

// normalizeEach normalizes 16 counts at a time, which load loads in two vectors.
func normalizeEach(load func(i reg.Register, offset int) reg.VecVirtual) {
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
