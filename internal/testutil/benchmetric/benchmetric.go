// Package benchmetric tells how many pixels a benchmark works through.
package benchmetric

import "testing"

// Pixels makes a benchmark that works on n pixels each round report its allocations and
// its megapixels a second.
func Pixels(b *testing.B, n int) {
	b.ReportAllocs()
	b.Cleanup(func() {
		if s := b.Elapsed().Seconds(); s > 0 {
			b.ReportMetric(float64(n)*float64(b.N)/s/1e6, "Mpx/s")
		}
	})
}
