//go:build !amd64 || purego

package simd

func distances1(dst []uint16, a, b []float32) { distances1Go(dst, a, b) }

func distances3(dst []uint16, a0, a1, a2, b0, b1, b2 []float32) {
	distances3Go(dst, a0, a1, a2, b0, b1, b2)
}
