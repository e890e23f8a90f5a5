//go:build !purego

package kernels

import "testing"

// TestPairLayerWithoutAVX512 tests the AVX2 kernel on processors that have AVX-512.
func TestPairLayerWithoutAVX512(t *testing.T) {
	if !avx512 {
		t.Skip("the processor has no AVX-512: the other tests use this kernel")
	}
	avx512 = false
	defer func() { avx512 = true }()
	for _, c := range checks {
		if c.name == "PairLayer" {
			c.testRandomLengths(t)
		}
	}
}
