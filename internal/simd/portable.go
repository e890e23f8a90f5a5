package simd

import "math"

// The twins of the kernels. Products are converted to float32 before they are added:
// without that the compiler may fuse the two on some architectures.

func distances1Go(dst []uint16, a, b []float32) {
	a, b = a[:len(dst)], b[:len(dst)]
	for i := range dst {
		dst[i] = quantise(float32(math.Abs(float64(a[i] - b[i]))))
	}
}

func distances3Go(dst []uint16, a0, a1, a2, b0, b1, b2 []float32) {
	n := len(dst)
	a0, a1, a2, b0, b1, b2 = a0[:n], a1[:n], a2[:n], b0[:n], b1[:n], b2[:n]
	for i := range dst {
		x, y, z := a0[i]-b0[i], a1[i]-b1[i], a2[i]-b2[i]
		dst[i] = quantise(float32(math.Sqrt(float64(float32(x*x) + float32(y*y) + float32(z*z)))))
	}
}

func quantise(distance float32) uint16 {
	return uint16(int32(float32(distance*128) + 0.5))
}
