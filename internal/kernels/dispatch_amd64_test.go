//go:build !purego

package kernels

import "testing"

// TestKernelsEqualGenericWithoutAVX512 tests the kernels that processors without AVX-512 use.
func TestKernelsEqualGenericWithoutAVX512(t *testing.T) {
	if !avx512 {
		t.Skip("the processor has no AVX-512: the other tests use these kernels")
	}
	avx512 = false
	defer func() { avx512 = true }()
	TestKernelsEqualGenericForRandomLengths(t)
}
