// Package benchmetric adds metrics to benchmarks of image processing.
package benchmetric

import "testing"

// ReportMegapixels makes a benchmark report its allocations and, for iterations that process the
// given number of pixels each, its throughput in Mpx/s.
func ReportMegapixels(b *testing.B, pixels int) {
	b.ReportAllocs()
	b.Cleanup(func() {
		if s := b.Elapsed().Seconds(); s > 0 {
			b.ReportMetric(float64(pixels)*float64(b.N)/s/1e6, "Mpx/s")
		}
	})
}
