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

// Thin4 writes the weights of a row of a grid's edges, those to the right and those
// down, with 65535 in the place of each edge that comes last of a cell: of the four
// edges around four neighbouring pixels the heaviest, or of equal ones the last in the
// order top, left, right, bottom. above, here and rightBelow are the weights of the row
// above, of the row and of the edges to the right in the row below; they begin a pixel
// before kept and end one after it. 65535 stands for no edge there, too.
func Thin4(kept, above, here *[2][]uint16, rightBelow []uint16) {
	n := len(kept[0])
	want("Thin4", n, len(kept[1]))
	want("Thin4", n+2, len(above[0]), len(above[1]), len(here[0]), len(here[1]), len(rightBelow))
	thin4(kept, above, here, rightBelow)
}

// Thin8 is Thin4 for a grid with diagonals, whose rows are the edges to the right, down,
// down right and down left. Of the six edges of a cell it leaves the minimum spanning
// tree. The order of equal weights is top, left, down right, right, down left, bottom.
func Thin8(kept, above, here *[4][]uint16, rightBelow []uint16) {
	n := len(kept[0])
	for d := range kept {
		want("Thin8", n, len(kept[d]))
		want("Thin8", n+2, len(above[d]), len(here[d]), len(rightBelow))
	}
	thin8(kept, above, here, rightBelow)
}
