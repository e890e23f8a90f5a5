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
		for name, m := range map[string]*Model{
			"both": &m, "trees": {Means: m.Means, Scales: m.Scales, Trees: m.Trees}, "network": {Means: m.Means, Scales: m.Scales, Network: m.Network},
		} {
			var got [block]float32
			m.score(&got, columns, new(scratch))
			for i := range got {
				row := make([]float32, len(columns))
				for f := range row {
					row[f] = columns[f][i]
				}
				levels, want := m.levels(row), 0.
				if m.Trees != nil {
					want += m.Trees.literal(levels)
				}
				if m.Network != nil {
					want += m.Network.literal(levels)
				}
				if name == "both" {
					want /= 2
				}
				if math.Abs(float64(got[i])-want) > 1e-2 {
					t.Fatalf("%d strategies, %s, box %d: %v; want %v", n, name, i, got[i], want)
				}
			}
		}
	}
}

// levels are what a box's features are worth to trees and network.
func (m *Model) levels(row []float32) (levels []float64) {
	for f, v := range row {
		scaled := min(max((v-m.Means[f])*m.Scales[f], -farthest), farthest)
		levels = append(levels, math.RoundToEven(float64(scaled*(127/float32(farthest)))))
	}
	return levels
}

func (m *Forest) literal(levels []float64) float64 {
	sum := 0
	for _, tree := range m.Trees {
		leaf := 0
		for q, f := range tree.Features {
			if levels[f] >= float64(tree.Thresholds[q]) {
				leaf += 1 << q
			}
		}
		sum += int(tree.Leaves[leaf])
	}
	return float64(m.Bias) + float64(m.Unit)*float64(sum)
}

func (n *Network) literal(levels []float64) float64 {
	weigh := func(weights []float32) (sum float64) {
		for f, w := range weights {
			sum += float64(w) * levels[f] * farthest / 127
		}
		return sum
	}
	sum := float64(n.Bias) + weigh(n.Direct)
	for _, u := range n.Units {
		sum += float64(u.Out) * max(float64(u.Bias)+weigh(u.Weights), 0)
	}
	return sum
}
