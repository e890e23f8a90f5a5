package kernels

// The convolutions have 9 taps. The weights w₀ to w₄ are those of the center and of the taps at
// distance 1 to 4; an even kernel adds the two taps at a distance, an odd one subtracts them.

// ConvolveColumnsEven convolves the columns of nine rows of bytes with an even kernel. The sums are
// integers; the magnitudes of the nine weights must add up to less than 2²³.
func ConvolveColumnsEven(dst []float32, rows *[9][]uint8, w *[5]int32) {
	for _, r := range rows {
		checkLengths("ConvolveColumnsEven", len(dst), len(r))
	}
	convolveColumnsEven(dst, rows, w)
}

func convolveColumnsEvenGeneric(dst []float32, rows *[9][]uint8, w *[5]int32) {
	n := len(dst)
	a4, a3, a2, a1, c := rows[0][:n], rows[1][:n], rows[2][:n], rows[3][:n], rows[4][:n]
	b1, b2, b3, b4 := rows[5][:n], rows[6][:n], rows[7][:n], rows[8][:n]
	w0, w1, w2, w3, w4 := w[0], w[1], w[2], w[3], w[4]
	for x := range dst {
		dst[x] = float32(w0*int32(c[x]) +
			w1*(int32(a1[x])+int32(b1[x])) + w2*(int32(a2[x])+int32(b2[x])) +
			w3*(int32(a3[x])+int32(b3[x])) + w4*(int32(a4[x])+int32(b4[x])))
	}
}

// ConvolveColumnsEvenOdd convolves the columns of nine rows with the even kernel w, as
// [ConvolveColumnsEven] does, and with the odd kernel v, whose v₀ is not used.
func ConvolveColumnsEvenOdd(even, odd []float32, rows *[9][]uint8, w, v *[5]int32) {
	checkLengths("ConvolveColumnsEvenOdd", len(even), len(odd))
	for _, r := range rows {
		checkLengths("ConvolveColumnsEvenOdd", len(even), len(r))
	}
	convolveColumnsEvenOdd(even, odd, rows, w, v)
}

func convolveColumnsEvenOddGeneric(even, odd []float32, rows *[9][]uint8, w, v *[5]int32) {
	n := len(even)
	odd = odd[:n]
	a4, a3, a2, a1, c := rows[0][:n], rows[1][:n], rows[2][:n], rows[3][:n], rows[4][:n]
	b1, b2, b3, b4 := rows[5][:n], rows[6][:n], rows[7][:n], rows[8][:n]
	for x := range even {
		p, q := int32(a1[x]), int32(b1[x])
		s, d := w[0]*int32(c[x])+w[1]*(p+q), v[1]*(q-p)
		p, q = int32(a2[x]), int32(b2[x])
		s, d = s+w[2]*(p+q), d+v[2]*(q-p)
		p, q = int32(a3[x]), int32(b3[x])
		s, d = s+w[3]*(p+q), d+v[3]*(q-p)
		p, q = int32(a4[x]), int32(b4[x])
		s, d = s+w[4]*(p+q), d+v[4]*(q-p)
		even[x], odd[x] = float32(s), float32(d)
	}
}

// ConvolveRowEven convolves a row with an even kernel. The row is padded by four samples at each end.
func ConvolveRowEven(dst, padded []float32, w *[5]float32) {
	checkLengths("ConvolveRowEven", len(dst)+8, len(padded))
	convolveRowEven(dst, padded, w)
}

func convolveRowEvenGeneric(dst, padded []float32, w *[5]float32) {
	w0, w1, w2, w3, w4 := w[0], w[1], w[2], w[3], w[4]
	for x := range dst {
		p := (*[9]float32)(padded[x:])
		dst[x] = float32(w0*p[4]) + float32(w1*(p[3]+p[5])) + float32(w2*(p[2]+p[6])) +
			float32(w3*(p[1]+p[7])) + float32(w4*(p[0]+p[8]))
	}
}

// ConvolveRowOdd convolves a row with an odd kernel, whose w₀ is not used. The row is padded by four
// samples at each end.
func ConvolveRowOdd(dst, padded []float32, w *[5]float32) {
	checkLengths("ConvolveRowOdd", len(dst)+8, len(padded))
	convolveRowOdd(dst, padded, w)
}

func convolveRowOddGeneric(dst, padded []float32, w *[5]float32) {
	w1, w2, w3, w4 := w[1], w[2], w[3], w[4]
	for x := range dst {
		p := (*[9]float32)(padded[x:])
		dst[x] = float32(w1*(p[5]-p[3])) + float32(w2*(p[6]-p[2])) +
			float32(w3*(p[7]-p[1])) + float32(w4*(p[8]-p[0]))
	}
}
