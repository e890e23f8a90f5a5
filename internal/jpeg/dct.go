package jpeg

// Constants of the algorithm of Loeffler, Ligtenberg and Moschytz in 13 bits of fraction, as in libjpeg's
// jidctint.c.
const (
	dctBits  = 13
	passBits = 2 // of fraction between the two passes

	fix0298 = 2446
	fix0390 = 3196
	fix0541 = 4433
	fix0765 = 6270
	fix0899 = 7373
	fix1175 = 9633
	fix1501 = 12299
	fix1847 = 15137
	fix1961 = 16069
	fix2053 = 16819
	fix2562 = 20995
	fix3072 = 25172
)

// transform writes the inverse discrete cosine transform of a block of coefficients, times the square root of
// 8 in each direction, rounded as libjpeg's jpeg_idct_islow rounds it.
func transform(dst []uint8, stride int, b *[64]int32) {
	for x := range 8 {
		c := b[x:][:57]
		if c[8]|c[16]|c[24]|c[32]|c[40]|c[48]|c[56] == 0 {
			v := c[0] << passBits
			c[0], c[8], c[16], c[24], c[32], c[40], c[48], c[56] = v, v, v, v, v, v, v, v
			continue
		}
		const shift = dctBits - passBits
		c[0], c[8], c[16], c[24], c[32], c[40], c[48], c[56] = transform8(
			c[0], c[8], c[16], c[24], c[32], c[40], c[48], c[56], 1<<(shift-1))
		for i := range 8 {
			c[8*i] >>= shift
		}
	}
	for y := range 8 {
		r := b[8*y:][:8]
		out := dst[y*stride:][:8]
		const shift = dctBits + passBits + 3
		// The sum is rounded, and levels are from -128.
		a0, a1, a2, a3, a4, a5, a6, a7 := transform8(
			r[0], r[1], r[2], r[3], r[4], r[5], r[6], r[7], 1<<(shift-1)+128<<shift)
		out[0], out[1], out[2], out[3] = clamp(a0>>shift), clamp(a1>>shift), clamp(a2>>shift), clamp(a3>>shift)
		out[4], out[5], out[6], out[7] = clamp(a4>>shift), clamp(a5>>shift), clamp(a6>>shift), clamp(a7>>shift)
	}
}

func clamp(v int32) uint8 { return uint8(min(max(v, 0), 255)) }

// transform8 transforms a row or column, with dctBits more bits of fraction. bias is added to the results.
func transform8(i0, i1, i2, i3, i4, i5, i6, i7, bias int32) (o0, o1, o2, o3, o4, o5, o6, o7 int32) {
	// Even part.
	z1 := (i2 + i6) * fix0541
	t2 := z1 - i6*fix1847
	t3 := z1 + i2*fix0765
	t0 := (i0+i4)<<dctBits + bias
	t1 := (i0-i4)<<dctBits + bias
	e0, e3 := t0+t3, t0-t3
	e1, e2 := t1+t2, t1-t2

	// Odd part.
	z5 := (i7 + i3 + i5 + i1) * fix1175
	z3 := z5 - (i7+i3)*fix1961
	z4 := z5 - (i5+i1)*fix0390
	z1 = (i7 + i1) * -fix0899
	z2 := (i5 + i3) * -fix2562
	t0 = i7*fix0298 + z1 + z3
	t1 = i5*fix2053 + z2 + z4
	t2 = i3*fix3072 + z2 + z3
	t3 = i1*fix1501 + z1 + z4

	return e0 + t3, e1 + t2, e2 + t1, e3 + t0, e3 - t0, e2 - t1, e1 - t2, e0 - t3
}
