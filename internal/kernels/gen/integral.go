package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

func gradientMagnitudes() {
	function("gradientMagnitudesAVX2", "func(dst *[8]uint8, here0, up0, down0, here1, up1, down1, here2, up2, down2 *uint8, n int)",
		"gradientMagnitudesAVX2 needs n ≥ 16, and the bytes before and after those of here.")
	dst := param("dst")
	var here, up, low [3]reg.Register
	for c, digit := range []string{"0", "1", "2"} {
		here[c], up[c], low[c] = param("here"+digit), param("up"+digit), param("down"+digit)
	}
	// For sums below 2¹¹ the upper half of the product is a third or a sixth, rounded down.
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
		// Words have two channels each.
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
		// Pixels in pairs: those of the lower half of each half, then of the upper half.
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

func integralRow() {
	function("integralRowAVX2", "func(here, above *[8]uint32, values *[8]uint8, n int)", "integralRowAVX2 needs n > 0.")
	here, above, cells, n := param("here"), param("above"), param("values"), param("n")
	row := YMM()
	VPXOR(row, row, row)
	Label("loop")
	v := YMM()
	VPMOVZXBD(Mem{Base: cells}, v)
	VPADDD(v, row, row)
	VPADDD(Mem{Base: above}, row, v)
	VMOVDQU(v, Mem{Base: here})
	ADDQ(U8(8), cells)
	ADDQ(U8(32), above)
	ADDQ(U8(32), here)
	DECQ(n)
	JNZ(LabelRef("loop"))
	finish()
}

func rectangleSums() {
	function("rectangleSumsAVX2", "func(dst *[8]float32, integral *[8]uint32, corners *[4]int32, scales *float32, n int, offset, gain *[8]float32)",
		"rectangleSumsAVX2 needs n > 0.")
	dst, table, corners, scales, n := param("dst"), param("integral"), param("corners"), param("scales"), param("n")
	offset, gain := YMM(), YMM()
	VMOVUPS(Mem{Base: param("offset")}, offset)
	VMOVUPS(Mem{Base: param("gain")}, gain)
	Label("loop")
	sum, v := YMM(), YMM()
	for k := 3; k >= 0; k-- {
		corner := GP64()
		MOVLQSX(Mem{Base: corners, Disp: 4 * k}, corner)
		SHLQ(U8(5), corner) // to bytes
		entry := Mem{Base: table, Index: corner, Scale: 1}
		switch k {
		case 3:
			VMOVDQU(entry, sum)
		case 0:
			VPADDD(entry, sum, sum)
		default:
			VPSUBD(entry, sum, sum)
		}
	}
	scale := YMM()
	VBROADCASTSS(Mem{Base: scales}, scale)
	VCVTDQ2PS(sum, v)
	VMULPS(scale, v, v)
	VSUBPS(offset, v, v)
	VMULPS(gain, v, v)
	VMOVUPS(v, Mem{Base: dst})
	ADDQ(U8(32), dst)
	ADDQ(U8(16), corners)
	ADDQ(U8(4), scales)
	DECQ(n)
	JNZ(LabelRef("loop"))
	finish()
}

// side is GridSide, and span the size of a Span.
const side, span = 6, 12

// gridSums reads the fields of a Grid: rows, columns, offset, gain.
func gridSums() {
	const (
		columnsAt = side * span
		offsetAt  = 2 * side * span
		gainAt    = offsetAt + 32
		bytes     = gainAt + 32
	)
	function("gridSumsAVX2", "func(dst *[8]float32, integral *[8]uint32, grids *int32, n int)",
		"gridSumsAVX2 takes the first number of n > 0 grids.")
	dst, table, grid, n := param("dst"), param("integral"), param("grids"), param("n")
	// entry returns the offset in bytes of an element of the integral image.
	entry := func(from Mem, to reg.GPVirtual) {
		MOVLQSX(from, to)
		SHLQ(U8(5), to)
	}
	// A line has the differences in a row of the integral image, at the begin or the end of a row of
	// the grid, between the end and the begin of each column.
	var line [side]reg.VecVirtual
	for k := range line {
		line[k] = YMM()
	}

	Label("grid")
	Comment("Prefetch the corners of the next grid, or those of the last again.")
	next := GP64()
	LEAQ(Mem{Base: grid, Disp: bytes}, next)
	CMPQ(n, U8(1))
	CMOVQEQ(grid, next)
	var corners [side + 1]reg.GPVirtual
	for k := range corners {
		corners[k] = GP64()
		from := Mem{Base: next, Disp: columnsAt + span*(k-1) + 4} // an end
		if k == 0 {
			from.Disp = columnsAt
		}
		entry(from, corners[k])
		ADDQ(table, corners[k])
	}
	for k := range side + 1 {
		from := Mem{Base: next, Disp: span*(k-1) + 4}
		if k == 0 {
			from.Disp = 0
		}
		row := GP64()
		entry(from, row)
		for _, c := range corners {
			PREFETCHT0(Mem{Base: c, Index: row, Scale: 1})
		}
	}

	index, row, last, rows, left := GP64(), GP64(), GP64(), GP64(), GP64()
	subtract := func(k int, dst reg.VecVirtual) {
		entry(Mem{Base: grid, Disp: columnsAt + span*k + 4}, index)
		VMOVDQU(Mem{Base: row, Index: index, Scale: 1}, dst)
		entry(Mem{Base: grid, Disp: columnsAt + span*k}, index)
		VPSUBD(Mem{Base: row, Index: index, Scale: 1}, dst, dst)
	}
	MOVQ(grid, rows)
	MOVQ(U64(side), left)
	XORQ(last, last)
	Label("row")
	entry(Mem{Base: rows}, index)
	LEAQ(Mem{Base: table, Index: index, Scale: 1}, row)
	CMPQ(row, last)
	JE(LabelRef("begun"))
	for k := range line {
		subtract(k, line[k])
	}
	Label("begun")
	entry(Mem{Base: rows, Disp: 4}, index)
	LEAQ(Mem{Base: table, Index: index, Scale: 1}, row)
	MOVQ(row, last)
	down := YMM()
	VBROADCASTSS(Mem{Base: rows, Disp: 8}, down)
	below, v, scale := YMM(), YMM(), YMM()
	for k := range line {
		subtract(k, below)
		VPSUBD(line[k], below, v)
		VMOVDQA(below, line[k])
		VBROADCASTSS(Mem{Base: grid, Disp: columnsAt + span*k + 8}, scale)
		VMULPS(scale, down, scale)
		VCVTDQ2PS(v, v)
		VMULPS(scale, v, v)
		VSUBPS(Mem{Base: grid, Disp: offsetAt}, v, v)
		VMULPS(Mem{Base: grid, Disp: gainAt}, v, v)
		VMOVUPS(v, Mem{Base: dst, Disp: 32 * k})
	}
	ADDQ(U8(span), rows)
	ADDQ(U32(32*side), dst)
	DECQ(left)
	JNZ(LabelRef("row"))
	MOVQ(next, grid)
	DECQ(n)
	JNZ(LabelRef("grid"))
	finish()
}

func maxMeanMin() {
	function("maxMeanMinAVX2", "func(dst, rows *[8]float32, counts *int32, n int)",
		"maxMeanMinAVX2 needs n > 0 and n positive counts.")
	dst, rows, counts, n := param("dst"), param("rows"), param("counts"), param("n")
	Label("run")
	left := GP64()
	MOVLQSX(Mem{Base: counts}, left)
	count, largest, sum, smallest := YMM(), YMM(), YMM(), YMM()
	VPBROADCASTD(Mem{Base: counts}, count)
	VCVTDQ2PS(count, count)
	VMOVUPS(Mem{Base: rows}, largest)
	VMOVAPS(largest, sum)
	VMOVAPS(largest, smallest)
	ADDQ(U8(32), rows)
	DECQ(left)
	JZ(LabelRef("summed"))
	Label("loop")
	row := YMM()
	VMOVUPS(Mem{Base: rows}, row)
	VMAXPS(row, largest, largest)
	VADDPS(row, sum, sum)
	VMINPS(row, smallest, smallest)
	ADDQ(U8(32), rows)
	DECQ(left)
	JNZ(LabelRef("loop"))
	Label("summed")
	VDIVPS(count, sum, sum)
	VMOVUPS(largest, Mem{Base: dst})
	VMOVUPS(sum, Mem{Base: dst, Disp: 32})
	VMOVUPS(smallest, Mem{Base: dst, Disp: 64})
	ADDQ(U8(96), dst)
	ADDQ(U8(4), counts)
	DECQ(n)
	JNZ(LabelRef("run"))
	finish()
}

func transposeBlock() {
	function("transposeBlockAVX2", "func(columns *[64]float32, rows *[8]float32, cells int)",
		"transposeBlockAVX2 needs cells > 0.")
	columns, rows, cells := param("columns"), param("rows"), param("cells")
	stride, wide, group := GP64(), GP64(), GP64()
	MOVQ(cells, stride)
	SHLQ(U8(5), stride) // from a row to the same cell of the next item
	LEAQ(Mem{Base: stride, Index: stride, Scale: 2}, wide)
	left := GP64()
	MOVQ(cells, left)
	Label("cell")
	row, to := GP64(), GP64()
	MOVQ(rows, row)
	MOVQ(columns, to)
	MOVQ(U32(8), group)
	Label("group")
	var v [8]reg.VecVirtual
	for half := range 2 {
		base := row
		if half == 1 {
			base = GP64()
			LEAQ(Mem{Base: row, Index: stride, Scale: 4}, base)
		}
		for k := range 4 {
			v[4*half+k] = YMM()
			from := Mem{Base: base}
			switch k {
			case 1, 2:
				from.Index, from.Scale = stride, uint8(k)
			case 3:
				from.Index, from.Scale = wide, 1
			}
			VMOVUPS(from, v[4*half+k])
		}
	}
	var pairs, quads [8]reg.VecVirtual
	for k := 0; k < 8; k += 2 {
		pairs[k], pairs[k+1] = YMM(), YMM()
		VUNPCKLPS(v[k+1], v[k], pairs[k])
		VUNPCKHPS(v[k+1], v[k], pairs[k+1])
	}
	for k := 0; k < 8; k += 4 {
		for j := range 2 {
			quads[k+2*j], quads[k+2*j+1] = YMM(), YMM()
			VUNPCKLPD(pairs[k+2+j], pairs[k+j], quads[k+2*j])
			VUNPCKHPD(pairs[k+2+j], pairs[k+j], quads[k+2*j+1])
		}
	}
	for k := range 4 {
		low, high := YMM(), YMM()
		VPERM2F128(U8(0x20), quads[k+4], quads[k], low)
		VPERM2F128(U8(0x31), quads[k+4], quads[k], high)
		VMOVUPS(low, Mem{Base: to, Disp: columnBytes * k})
		if k < 3 { // the eighth is dropped
			VMOVUPS(high, Mem{Base: to, Disp: columnBytes * (k + 4)})
		}
	}
	LEAQ(Mem{Base: row, Index: stride, Scale: 8}, row)
	ADDQ(U8(32), to)
	DECQ(group)
	JNZ(LabelRef("group"))
	ADDQ(U8(32), rows)
	ADDQ(U32(7*columnBytes), columns)
	DECQ(left)
	JNZ(LabelRef("cell"))
	finish()
}
