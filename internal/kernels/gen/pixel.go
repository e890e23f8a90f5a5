package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// The bits of float32 constants.
const (
	six      = 0x40c00000
	circle   = 0x4b800000 // 256 in 1/65536
	halfByte = 0x47000000 // ½ in 1/65536
	full     = 0x4b7f0000 // 255 in 1/65536
)

// The rounding modes of VROUNDPS, without the inexact exception.
const (
	nearest = U8(8)
	upwards = U8(10)
)

// bytes16 loads 16 bytes.
func bytes16(m Mem) reg.VecVirtual {
	v := XMM()
	VMOVDQU(m, v)
	return v
}

// widen converts 16 bytes to words.
func widen(bytes reg.VecVirtual) reg.VecVirtual {
	v := YMM()
	VPMOVZXBW(bytes, v)
	return v
}

// singles converts signed words to float32: the lower four of each half, then the upper four.
func singles(words reg.VecVirtual) (v [2]reg.VecVirtual) {
	for k, unpack := range []func(...Op){VPUNPCKLWD, VPUNPCKHWD} {
		v[k] = YMM()
		unpack(words, words, v[k])
		VPSRAD(U8(16), v[k], v[k])
		VCVTDQ2PS(v[k], v[k])
	}
	return v
}

func hue() {
	function("hueAVX2", "func(h, red, green, blue *uint8, n int)", "hueAVX2 needs n ≥ 16.")
	smith(false)
}

func hsv() {
	function("hsvAVX2", "func(h, s, v, red, green, blue *uint8, n int)", "hsvAVX2 needs n ≥ 16.")
	smith(true)
}

// smith divides where the portable implementation has tables: for the same operands a float32
// quotient is rounded to the same integer. Products and sums are integers below 2²⁴, which are exact
// in float32. 0/0 becomes −2³¹, whose bits that are used are 0.
func smith(all bool) {
	h, r, g, b := param("h"), param("red"), param("green"), param("blue")
	var s, v reg.Register
	if all {
		s, v = param("s"), param("v")
	}
	six, circle, half := constant(six), constant(circle), constant(halfByte)
	var largest reg.Register
	if all {
		largest = constant(full)
	}
	// round computes numerator·scale, rounded, and keeps the lowest byte of the integer part.
	round := func(numerator, scale reg.VecVirtual) {
		VMULPS(numerator, scale, scale)
		VADDPS(half, scale, scale)
		VCVTPS2DQ(scale, scale)
		VPSLLD(U8(8), scale, scale)
		VPSRLD(U8(24), scale, scale)
	}
	each(16, func(i reg.Register) {
		red, green, blue := bytes16(at(r, i, 1, 0)), bytes16(at(g, i, 1, 0)), bytes16(at(b, i, 1, 0))
		top, spread := XMM(), XMM()
		VPMAXUB(green, red, top)
		VPMAXUB(blue, top, top)
		VPMINUB(green, red, spread)
		VPMINUB(blue, spread, spread)
		VPSUBB(spread, top, spread)
		if all {
			VMOVDQU(top, at(v, i, 1, 0))
		}
		R, G, B, V, D := widen(red), widen(green), widen(blue), widen(top), widen(spread)
		sector, t, mask := YMM(), YMM(), YMM()
		Comment("R−G+4D; B−R+2D where G is the largest; G−B where R is.")
		VPADDW(D, D, t)
		VPADDW(t, t, sector)
		VPADDW(R, sector, sector)
		VPSUBW(G, sector, sector)
		VPADDW(B, t, t)
		VPSUBW(R, t, t)
		VPCMPEQW(G, V, mask)
		VPBLENDVB(mask, t, sector, sector)
		VPSUBW(B, G, t)
		VPCMPEQW(R, V, mask)
		VPBLENDVB(mask, t, sector, sector)

		spreads, sectors := singles(D), singles(sector)
		var hues, saturations, tops [2]reg.VecVirtual
		if all {
			tops = singles(V)
		}
		for k := range hues {
			hues[k] = YMM()
			VMULPS(six, spreads[k], hues[k])
			VDIVPS(hues[k], circle, hues[k])
			VROUNDPS(nearest, hues[k], hues[k])
			round(sectors[k], hues[k])
			if all {
				saturations[k] = tops[k]
				VDIVPS(tops[k], largest, tops[k])
				VROUNDPS(upwards, tops[k], tops[k])
				round(spreads[k], tops[k])
			}
		}
		VPACKUSDW(hues[1], hues[0], hues[0])
		if all {
			VPACKUSDW(saturations[1], saturations[0], saturations[0])
			VPACKUSWB(saturations[0], hues[0], hues[0])
		} else {
			VPACKUSWB(hues[0], hues[0], hues[0])
		}
		VPERMQ(U8(0b11011000), hues[0], hues[0])
		VMOVDQU(hues[0].AsX(), at(h, i, 1, 0))
		if all {
			VEXTRACTI128(U8(1), hues[0], at(s, i, 1, 0))
		}
	})
}

// lab gathers from the tables. Indices of roots are masked; those of linear light are bytes.
func lab() {
	function("labAVX2", "func(l, a, b, red, green, blue *uint8, linear, roots *int32, matrix *[3][4]int16, n int)", "labAVX2 needs n ≥ 8.")
	dst := [3]reg.Register{param("l"), param("a"), param("b")}
	src := [3]reg.Register{param("red"), param("green"), param("blue")}
	lights, roots, matrix := param("linear"), param("roots"), param("matrix")
	var rows [3][2]Mem
	for k := range rows {
		for j := range rows[k] {
			v := YMM()
			VPBROADCASTD(Mem{Base: matrix, Disp: 8*k + 4*j}, v)
			rows[k][j] = AllocLocal(32)
			VMOVDQU(v, rows[k][j])
		}
	}
	one, mask, low := constant(1<<16), constant(2047), constant(255)
	toA, toB, center := constant(500), constant(200), constant(128<<20|1<<19)
	gather := func(table reg.Register, index reg.VecVirtual) reg.VecVirtual {
		v, all := YMM(), YMM()
		VPXOR(v, v, v)
		VPCMPEQD(all, all, all)
		VPGATHERDD(all, at(table, index, 4, 0), v)
		return v
	}
	each(8, func(i reg.Register) {
		var light [3]reg.VecVirtual
		for k := range light {
			index := YMM()
			VPMOVZXBD(at(src[k], i, 1, 0), index)
			light[k] = gather(lights, index)
		}
		Comment("The words to sum: red and green, blue and 1.")
		VPSLLD(U8(16), light[1], light[1])
		VPOR(light[1], light[0], light[0])
		VPOR(one, light[2], light[2])
		var f [3]reg.VecVirtual
		for k := range f {
			t, u := YMM(), YMM()
			VPMADDWD(rows[k][0], light[0], t)
			VPMADDWD(rows[k][1], light[2], u)
			VPADDD(u, t, t)
			VPSRLD(U8(12), t, t)
			VPAND(mask, t, t)
			f[k] = gather(roots, t)
		}
		lightness := YMM()
		VPAND(low, f[1], lightness)
		for k := range f {
			VPSRLD(U8(8), f[k], f[k])
		}
		VPSUBD(f[1], f[0], f[0])
		VPSUBD(f[2], f[1], f[1])
		VPMULLD(toA, f[0], f[0])
		VPMULLD(toB, f[1], f[1])
		VPADDD(center, f[0], f[0])
		VPADDD(center, f[1], f[1])
		VPSRAD(U8(20), f[0], f[0])
		VPSRAD(U8(20), f[1], f[1])
		VPACKUSDW(f[0], lightness, lightness)
		VPACKUSDW(f[1], f[1], f[1])
		VPACKUSWB(f[1], lightness, lightness)
		x, upper, bs := lightness.AsX(), XMM(), XMM()
		VEXTRACTI128(U8(1), lightness, upper)
		VPUNPCKHDQ(upper, x, bs)
		VPUNPCKLDQ(upper, x, upper)
		VMOVQ(upper, at(dst[0], i, 1, 0))
		VMOVHPS(upper, at(dst[1], i, 1, 0))
		VMOVQ(bs, at(dst[2], i, 1, 0))
	})
}

// gray splits the weight of green, which exceeds a signed word, in two.
func gray() {
	function("grayAVX2", "func(y, red, green, blue *uint8, n int)", "grayAVX2 needs n ≥ 16.")
	y, r, g, b := param("y"), param("red"), param("green"), param("blue")
	redGreen, greenBlue, half := constant(19235<<16|19595), constant(7471<<16|19235), constant(1<<15)
	each(16, func(i reg.Register) {
		var words [3]reg.VecVirtual
		for k, p := range []reg.Register{r, g, b} {
			words[k] = YMM()
			VPMOVZXBW(at(p, i, 1, 0), words[k])
		}
		var sums [2]reg.VecVirtual
		for k, unpack := range []func(...Op){VPUNPCKLWD, VPUNPCKHWD} {
			t := YMM()
			sums[k] = YMM()
			unpack(words[1], words[0], sums[k])
			unpack(words[2], words[1], t)
			VPMADDWD(redGreen, sums[k], sums[k])
			VPMADDWD(greenBlue, t, t)
			VPADDD(t, sums[k], sums[k])
			VPADDD(half, sums[k], sums[k])
			VPSRLD(U8(16), sums[k], sums[k])
		}
		VPACKUSDW(sums[1], sums[0], sums[0])
		VPACKUSWB(sums[0], sums[0], sums[0])
		VPERMQ(U8(0b1000), sums[0], sums[0])
		VMOVDQU(sums[0].AsX(), at(y, i, 1, 0))
	})
}

func downsample2() {
	function("downsample2AVX2", "func(dst, top, bottom *uint8, n int)", "downsample2AVX2 needs n ≥ 16.")
	dst, top, low := param("dst"), param("top"), param("bottom")
	ones, two := constant(0x01010101), constant(0x00020002)
	each(16, func(i reg.Register) {
		sum, other := YMM(), YMM()
		VMOVDQU(at(top, i, 2, 0), sum)
		VMOVDQU(at(low, i, 2, 0), other)
		VPMADDUBSW(ones, sum, sum)
		VPMADDUBSW(ones, other, other)
		VPADDW(other, sum, sum)
		VPADDW(two, sum, sum)
		VPSRLW(U8(2), sum, sum)
		VPACKUSWB(sum, sum, sum)
		VPERMQ(U8(0b1000), sum, sum)
		VMOVDQU(sum.AsX(), at(dst, i, 1, 0))
	})
}

// split3 collects the bytes of a plane from three vectors of interleaved ones.
func split3() {
	masks := newSplitting()
	function("split3AVX2", "func(a, b, c, pixels *uint8, n int)", "split3AVX2 needs n ≥ 16.")
	planes := [3]reg.GPVirtual{param("a"), param("b"), param("c")}
	pixels := param("pixels")
	each(16, func(i reg.Register) {
		from := GP64()
		LEAQ(Mem{Base: i, Index: i, Scale: 2}, from)
		var in [3]reg.VecVirtual
		for k := range in {
			in[k] = bytes16(at(pixels, from, 1, 16*k))
		}
		for c, plane := range planes {
			var out reg.VecVirtual
			for k := range in {
				part := XMM()
				VPSHUFB(masks.Offset(16*(3*c+k)), in[k], part)
				add(&out, part, func(ops ...Op) { VPOR(ops[0], ops[1], ops[2]) })
			}
			VMOVDQU(out, at(plane, i, 1, 0))
		}
	})
}

// newSplitting has, for each plane and each of the three vectors, the positions in the vector of the
// plane's 16 bytes; 0x80, which gives 0, for those of other vectors.
func newSplitting() Mem {
	table := GLOBL("splitting", RODATA|NOPTR)
	for c := range 3 {
		for k := range 3 {
			for i := range 16 {
				position := U8(0x80)
				if from := 3*i + c; from/16 == k {
					position = U8(from % 16)
				}
				DATA(16*(3*c+k)+i, position)
			}
		}
	}
	return table
}
