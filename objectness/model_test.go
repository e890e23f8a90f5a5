package objectness

import (
	"math/rand/v2"
	"testing"
)

// The trees alone, for 10,000 boxes.
func BenchmarkModel(b *testing.B) {
	rng := rand.New(rand.NewPCG(1, 1))
	columns := make([][block]float32, len(features))
	for f := range columns {
		for i := range columns[f] {
			columns[f][i] = rng.Float32()
		}
	}
	m := &Default(8).Model
	var dst [block]float32
	for b.Loop() {
		for range (10_000 + block - 1) / block {
			m.score(&dst, columns)
		}
	}
}

// A block's scores are what a walk down each tree gives.
func TestModelIsTheSumOfItsTrees(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	columns := make([][block]float32, len(features))
	for f := range columns {
		for i := range columns[f] {
			columns[f][i] = 10*rng.Float32() - 5
		}
	}
	for _, n := range []int{8, 16, 80} {
		m := &Default(n).Model
		var got [block]float32
		m.score(&got, columns)
		for i := range got {
			want := m.Bias
			for _, tree := range m.Trees {
				leaf := 0
				for q, f := range tree.Features {
					if columns[f][i] >= tree.Thresholds[q] {
						leaf += 1 << q
					}
				}
				want += tree.Leaves[leaf]
			}
			if got[i] != want {
				t.Fatalf("%d strategies, box %d: %v; want %v", n, i, got[i], want)
			}
		}
	}
}
