//go:build !purego

package simd

import "golang.org/x/sys/cpu"

var avx2 = cpu.X86.HasAVX2

func distances1(dst []uint16, a, b []float32) {
	if n := len(dst); avx2 && n >= 8 {
		distances1AVX2(&dst[0], &a[0], &b[0], n)
	} else {
		distances1Go(dst, a, b)
	}
}

func distances3(dst []uint16, a0, a1, a2, b0, b1, b2 []float32) {
	if n := len(dst); avx2 && n >= 8 {
		distances3AVX2(&dst[0], &a0[0], &a1[0], &a2[0], &b0[0], &b1[0], &b2[0], n)
	} else {
		distances3Go(dst, a0, a1, a2, b0, b1, b2)
	}
}
