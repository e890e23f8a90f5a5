// Package simd has the loops that a search spends its time in, as AVX2 kernels on
// amd64 and as portable Go elsewhere, with the tag purego, and on processors without
// AVX2. Both give the same results to the bit, for all input in the ranges told.
//
// Slices of one call are equally long unless told otherwise, and dst shares no memory
// with the others. Whoever breaks that is panicked at: lengths are checked here, once a
// call, and a kernel touches nothing outside them.
package simd

import "fmt"

// want panics unless all lengths are n.
func want(name string, n int, lengths ...int) {
	for _, l := range lengths {
		if l != n {
			panic(fmt.Sprintf("simd: %s: slices of %d and %d elements", name, n, l))
		}
	}
}

// Distances1 writes |a−b|, in 1/128 and rounded to the nearest. Distances must be less
// than 511.9.
func Distances1(dst []uint16, a, b []float32) {
	want("Distances1", len(dst), len(a), len(b))
	distances1(dst, a, b)
}

// Distances3 writes the Euclidean distances of the points (a0,a1,a2) and (b0,b1,b2), in
// 1/128 and rounded to the nearest. Distances must be less than 511.9.
func Distances3(dst []uint16, a0, a1, a2, b0, b1, b2 []float32) {
	want("Distances3", len(dst), len(a0), len(a1), len(a2), len(b0), len(b1), len(b2))
	distances3(dst, a0, a1, a2, b0, b1, b2)
}
