package objectness

import (
	"math"
	"math/rand/v2"
	"testing"

	"pgregory.net/rapid"
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
				if math.Abs(float64(got[i])-want) > 1e-3 {
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

// Weights are rounded to the nearest unit, and no sum of them over levels leaves 32 bits.
func TestRound(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		weight := rapid.Custom(func(t *rapid.T) float32 { // none is so small that its unit is no normal number
			return rapid.SampledFrom([]float32{1e-12, 1, mostWeight}).Draw(t, "scale") * float32(rapid.IntRange(-1000, 1000).Draw(t, "part")) / 1000
		})
		weights := rapid.SliceOf(weight).Draw(t, "weights")
		most := 0.
		for _, w := range weights {
			most = max(most, math.Abs(float64(w)))
		}
		r := round(weights)
		unit, sum := float64(r.unit)*127/farthest, 0.
		if most > 0 && len(weights) < 500 && unit > most/32767*1.000001 {
			t.Fatalf("unit %v of weights up to %v", unit, most)
		}
		for f, w := range weights {
			n := float64(r.pairs[f/2][f%2])
			sum += math.Abs(n) * 127
			if math.Abs(n*unit-float64(w)) > unit*.51 {
				t.Fatalf("weight %v is %v units of %v", w, n, unit)
			}
		}
		if sum > math.MaxInt32 {
			t.Fatalf("sums up to %v", sum)
		}
	})
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
	weigh := func(weights []float32) float64 {
		sum, r := 0., round(weights)
		for f := range weights {
			sum += float64(r.pairs[f/2][f%2]) * levels[f]
		}
		return sum * float64(r.unit)
	}
	sum := float64(n.Bias) + weigh(n.Direct)
	for _, u := range n.Units {
		sum += float64(u.Out) * max(float64(u.Bias)+weigh(u.Weights), 0)
	}
	return sum
}
