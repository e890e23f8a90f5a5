package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// convolve computes a row of some vectors of eight output channels each, some pixels at a time.
func convolve(name string, vectors, pixels int) {
	doc := name + " needs n ≥ 1, rows ≥ 1, and an even number of pairs, at least 2."
	if pixels > 1 {
		doc = name + " needs n ≥ 4, rows ≥ 1, and an even number of pairs, at least 2."
	}
	function(name, "func(dst, src, weights *int16, bias *int32, scales *float32, low, high float32, stride, step, channels, rows, pairs, n int)", doc)
	dst, src, stride, step, next := param("dst"), param("src"), param("stride"), param("step"), param("channels")
	SHLQ(U8(1), stride) // to bytes
	SHLQ(U8(1), step)
	SHLQ(U8(1), next)
	var wide reg.GPVirtual // three steps
	if pixels > 1 {
		wide = GP64()
		LEAQ(Mem{Base: step, Index: step, Scale: 2}, wide)
	}
	n := param("n")

	Label("block")
	sums := make([][]reg.VecVirtual, pixels)
	bias := param("bias")
	for p := range sums {
		sums[p] = make([]reg.VecVirtual, vectors)
		for q := range sums[p] {
			sums[p][q] = YMM()
			if p == 0 {
				VMOVDQU(Mem{Base: bias, Disp: 32 * q}, sums[p][q])
			} else {
				VMOVDQA(sums[0][q], sums[p][q])
			}
		}
	}
	row, rows, weights := GP64(), param("rows"), param("weights")
	MOVQ(src, row)
	Label("row")
	tap, left := GP64(), param("pairs")
	MOVQ(row, tap)
	SHRQ(U8(1), left)
	Label("pairs")
	w := make([]reg.VecVirtual, vectors)
	for pair := range 2 {
		for q := range w {
			w[q] = YMM()
			VMOVDQU(Mem{Base: weights, Disp: 32 * (vectors*pair + q)}, w[q])
		}
		for p := range pixels {
			from := Mem{Base: tap, Disp: 4 * pair}
			switch p {
			case 1, 2:
				from.Index, from.Scale = step, uint8(p)
			case 3:
				from.Index, from.Scale = wide, 1
			}
			v := YMM()
			VPBROADCASTD(from, v)
			for q := range w {
				product := YMM()
				VPMADDWD(w[q], v, product)
				VPADDD(product, sums[p][q], sums[p][q])
			}
		}
	}
	ADDQ(U8(8), tap)
	ADDQ(U32(64*vectors), weights)
	DECQ(left)
	JNZ(LabelRef("pairs"))
	ADDQ(stride, row)
	DECQ(rows)
	JNZ(LabelRef("row"))

	low, high, scales := YMM(), YMM(), param("scales")
	VBROADCASTSS(address("low"), low)
	VBROADCASTSS(address("high"), high)
	to := GP64()
	MOVQ(dst, to)
	for p := range sums {
		for q, v := range sums[p] {
			VCVTDQ2PS(v, v)
			VMULPS(Mem{Base: scales, Disp: 32 * q}, v, v)
			VMAXPS(low, v, v)
			VMINPS(high, v, v)
			VCVTPS2DQ(v, v)
		}
		v := sums[p][0]
		Comment("Packing leaves the halves of the vectors interleaved.")
		VPACKSSDW(sums[p][vectors-1], v, v)
		VPERMQ(U8(0xd8), v, v)
		if vectors == 2 {
			VMOVDQU(v, Mem{Base: to})
		} else {
			VMOVDQU(v.AsX(), Mem{Base: to})
		}
		if p < pixels-1 {
			ADDQ(next, to)
		}
	}

	if pixels == 1 {
		ADDQ(step, src)
		ADDQ(next, dst)
		DECQ(n)
		JNZ(LabelRef("block"))
		finish()
		return
	}
	SUBQ(U8(pixels), n)
	JZ(LabelRef("done"))
	Comment("The last block ends with the row.")
	count, offset := GP64(), GP64()
	MOVQ(U32(uint32(pixels)), count)
	CMPQ(n, count)
	CMOVQLT(n, count)
	MOVQ(count, offset)
	IMULQ(step, offset)
	ADDQ(offset, src)
	IMULQ(next, count)
	ADDQ(count, dst)
	MOVQ(U32(uint32(pixels)), count)
	CMPQ(n, count)
	CMOVQLT(count, n)
	JMP(LabelRef("block"))
	Label("done")
	finish()
}

func addUpsampled() {
	function("addUpsampledAVX2", "func(dst, src *int16, channels, n int)",
		"addUpsampledAVX2 needs a multiple of 16 channels and n > 0 pixels of src, each for two of dst.")
	dst, src, pixel, n := param("dst"), param("src"), param("channels"), param("n")
	SHLQ(U8(1), pixel) // to bytes
	zero, limit := YMM(), constant(4095<<16|4095)
	VPXOR(zero, zero, zero)
	Label("pixel")
	left := GP64()
	MOVQ(pixel, left)
	Label("channels")
	v, sum := YMM(), YMM()
	VMOVDQU(Mem{Base: src}, v)
	for _, to := range []Mem{{Base: dst}, {Base: dst, Index: pixel, Scale: 1}} {
		VPADDW(to, v, sum)
		VPMAXSW(zero, sum, sum)
		VPMINSW(limit, sum, sum)
		VMOVDQU(sum, to)
	}
	ADDQ(U8(32), src)
	ADDQ(U8(32), dst)
	SUBQ(U8(32), left)
	JNZ(LabelRef("channels"))
	ADDQ(pixel, dst)
	DECQ(n)
	JNZ(LabelRef("pixel"))
	finish()
}

// interpolatedGridSums reads the fields of an InterpolatedGrid: lines of the rows and of the columns, each
// an index and a fraction, and the scales of both.
func interpolatedGridSums() {
	const (
		line           = 8
		columnsAt      = line * (side + 1)
		rowScalesAt    = 2 * columnsAt
		columnScalesAt = rowScalesAt + 4*side
		bytes          = columnScalesAt + 4*side
	)
	function("interpolatedGridSumsAVX2", "func(dst *[8]float32, integral *[16]float32, stride int, grids *int32, n int)",
		"interpolatedGridSumsAVX2 takes the first number of n > 0 grids.")
	dst, table, stride, grid, n := param("dst"), param("integral"), param("stride"), param("grids"), param("n")
	SHLQ(U8(6), stride)            // to bytes
	var above [side]reg.VecVirtual // the sums above the last line
	for k := range above {
		above[k] = YMM()
	}
	// lineSums replaces above by the sums above a line, and writes the scaled differences unless
	// it is the first.
	lineSums := func(lines, scales, to reg.GPVirtual, disp int) {
		top, bottom := GP64(), GP64()
		MOVLQSX(Mem{Base: lines}, top)
		SHLQ(U8(6), top)
		LEAQ(Mem{Base: table, Index: top, Scale: 1, Disp: disp}, top)
		LEAQ(Mem{Base: top, Index: stride, Scale: 1}, bottom)
		type entry struct{ whole, part reg.VecVirtual }
		var last [2]entry
		for k := range side + 1 {
			column := GP64()
			MOVLQSX(Mem{Base: grid, Disp: columnsAt + line*k}, column)
			SHLQ(U8(6), column)
			fraction := YMM()
			VBROADCASTSS(Mem{Base: grid, Disp: columnsAt + line*k + 4}, fraction)
			var here [2]entry
			for i, base := range []reg.GPVirtual{top, bottom} {
				here[i] = entry{YMM(), YMM()}
				VMOVUPS(Mem{Base: base, Index: column, Scale: 1}, here[i].whole)
				VMOVUPS(Mem{Base: base, Index: column, Scale: 1, Disp: 64}, here[i].part)
				VSUBPS(here[i].whole, here[i].part, here[i].part)
				VMULPS(fraction, here[i].part, here[i].part)
			}
			if k > 0 {
				for i := range here {
					VSUBPS(last[i].whole, here[i].whole, last[i].whole)
					VSUBPS(last[i].part, here[i].part, last[i].part)
					VADDPS(last[i].part, last[i].whole, last[i].whole)
				}
				v, factor := last[1].whole, last[1].part
				VBROADCASTSS(Mem{Base: lines, Disp: 4}, factor)
				VSUBPS(last[0].whole, v, v)
				VMULPS(factor, v, v)
				VADDPS(v, last[0].whole, v)
				if scales != nil {
					VBROADCASTSS(Mem{Base: scales}, factor)
					scale := last[0].part
					VBROADCASTSS(Mem{Base: grid, Disp: columnScalesAt + 4*(k-1)}, scale)
					VMULPS(scale, factor, factor)
					VSUBPS(above[k-1], v, last[0].whole)
					VMULPS(factor, last[0].whole, last[0].whole)
					VMOVUPS(last[0].whole, Mem{Base: to, Disp: 64 * (k - 1)})
				}
				VMOVAPS(v, above[k-1])
			}
			last = here
		}
	}

	Label("grid")
	for part, name := range []string{"low", "high"} {
		lines, scales, to, left := GP64(), GP64(), GP64(), GP64()
		lineSums(grid, nil, nil, 32*part)
		LEAQ(Mem{Base: grid, Disp: line}, lines)
		LEAQ(Mem{Base: grid, Disp: rowScalesAt}, scales)
		LEAQ(Mem{Base: dst, Disp: 32 * part}, to)
		MOVQ(U32(side), left)
		Label(name)
		lineSums(lines, scales, to, 32*part)
		ADDQ(U8(line), lines)
		ADDQ(U8(4), scales)
		ADDQ(U32(64*side), to)
		DECQ(left)
		JNZ(LabelRef(name))
	}
	ADDQ(U32(64*side*side), dst)
	ADDQ(U32(bytes), grid)
	DECQ(n)
	JNZ(LabelRef("grid"))
	finish()
}
