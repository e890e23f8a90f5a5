// Package kernels implements the inner loops of the search: AVX2 assembly on amd64, and portable Go
// on other architectures, on processors without AVX2 and with the build tag purego. The products of a
// neural network, which take the longest, have an AVX-512 kernel as well.
//
// The specification of an exported function F is the loop in fGeneric, the portable implementation
// below it. The assembly returns the same bits for all arguments in the documented ranges. In the
// portable loops, products are converted to float32 before they are added, since Go allows fusing
// the two operations otherwise.
//
// Sizes that are compiled into a kernel, such as the number of levels or the depth of a tree, are
// constants of this package. Packages that rely on one declare their own constant; array types or an
// assertion at compile time keep the two equal.
//
// Unless documented otherwise, the slices of a call have the same length and dst does not overlap
// the other slices. The exported functions check lengths once per call and panic if they differ; the
// kernels do not access memory outside the slices.
package kernels

import "fmt"

// checkLengths panics unless all lengths are n.
func checkLengths(name string, n int, lengths ...int) {
	for _, l := range lengths {
		if l != n {
			panic(fmt.Sprintf("kernels: %s: slices of %d and %d elements", name, n, l))
		}
	}
}
