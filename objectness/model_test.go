package objectness

import (
	"math"
	"math/rand/v2"
	"testing"
)

// The model alone, for 10,000 boxes.
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
	var s scratch
	for b.Loop() {
		for range (10_000 + block - 1) / block {
			m.score(&dst, columns, &s)
		}
	}
}

// A block's scores are what a walk down each tree, and a look at each unit, give.
func TestModelIsItsTreesAndItsNetwork(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	columns := make([][block]float32, len(features))
	for f := range columns {
		for i := range columns[f] {
			columns[f][i] = 10*rng.Float32() - 5
		}
	}
	for _, n := range []int{8, 16, 80} {
		m := Default(n).Model
		for name, m := range map[string]*Model{"both": &m, "trees": {Trees: m.Trees}, "network": {Network: m.Network}} {
			var got [block]float32
			m.score(&got, columns, new(scratch))
			for i := range got {
				row := make([]float32, len(columns))
				for f := range row {
					row[f] = columns[f][i]
				}
				var want float64
				if m.Trees != nil {
					want += m.Trees.literal(row)
				}
				if m.Network != nil {
					want += m.Network.literal(row)
				}
				if name == "both" {
					want /= 2
				}
				if math.Abs(float64(got[i])-want) > 1e-3 {
					t.Fatalf("%d strategies, %s, box %d: %v; want %v", n, name, i, got[i], want)
				}
			}
		}
	}
}

func (m *Forest) literal(row []float32) float64 {
	sum := float64(m.Bias)
	for _, tree := range m.Trees {
		leaf := 0
		for q, f := range tree.Features {
			if row[f] >= tree.Thresholds[q] {
				leaf += 1 << q
			}
		}
		sum += float64(tree.Leaves[leaf])
	}
	return sum
}

func (n *Network) literal(row []float32) float64 {
	sum := float64(n.Bias)
	scaled := make([]float64, len(row))
	for f, v := range row {
		scaled[f] = min(max(float64((v-n.Means[f])*n.Scales[f]), -farthest), farthest)
		sum += scaled[f] * float64(n.Direct[f])
	}
	for _, u := range n.Units {
		v := float64(u.Bias)
		for f, w := range u.Weights {
			v += float64(w) * scaled[f]
		}
		sum += float64(u.Out) * max(v, 0)
	}
	return sum
}
