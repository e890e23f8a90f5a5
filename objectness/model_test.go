package objectness

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"pgregory.net/rapid"

	"github.com/proposer/proposer/objectness/internal/feature"
)

// BenchmarkModel scores 10,000 candidates whose features are known.
func BenchmarkModel(b *testing.B) {
	rng := rand.New(rand.NewPCG(1, 1))
	columns := make(feature.Columns, feature.Count())
	for f := range columns {
		for i := range columns[f] {
			columns[f][i] = rng.Float32()
		}
	}
	m := &Default(8).model
	var dst [blockSize]float32
	var w modelWorkspace
	for b.Loop() {
		for range (10_000 + blockSize - 1) / blockSize {
			m.score(&dst, columns, &w)
		}
	}
}

func TestScoreEqualsReference(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	columns := make(feature.Columns, feature.Count())
	for f := range columns {
		for i := range columns[f] {
			columns[f][i] = 10*rng.Float32() - 5
		}
	}
	for _, n := range []int{8, 16, 80} {
		m := Default(n).model
		for name, m := range map[string]*Model{
			"both":    &m,
			"trees":   {Means: m.Means, Scales: m.Scales, Trees: m.Trees},
			"network": {Means: m.Means, Scales: m.Scales, Network: m.Network},
		} {
			t.Run(fmt.Sprintf("%d strategies, %s", n, name), func(t *testing.T) {
				var got [blockSize]float32
				m.score(&got, columns, new(modelWorkspace))
				for i := range got {
					row := make([]float32, len(columns))
					for f := range row {
						row[f] = columns[f][i]
					}
					if want := referenceScore(m, row); math.Abs(float64(got[i])-want) > 1e-3 {
						t.Fatalf("candidate %d: got %v, want %v", i, got[i], want)
					}
				}
			})
		}
	}
}

// referenceScore evaluates one tree and one unit after another.
func referenceScore(m *Model, row []float32) float64 {
	levels := make([]float64, len(row))
	for f, v := range row {
		clipped := min(max((v-m.Means[f])*m.Scales[f], -FeatureRange), FeatureRange)
		levels[f] = math.RoundToEven(float64(clipped * (127 / float32(FeatureRange))))
	}
	sum, parts := 0., 0.
	if m.Trees != nil {
		parts++
		sum += referenceTrees(m.Trees, levels)
	}
	if m.Network != nil {
		parts++
		sum += referenceNetwork(m.Network, levels)
	}
	return sum / parts
}

func referenceTrees(e *Ensemble, levels []float64) float64 {
	sum := 0
	for _, tree := range e.Trees {
		leaf := 0
		for d, f := range tree.Features {
			if levels[f] >= float64(tree.Thresholds[d]) {
				leaf += 1 << d
			}
		}
		sum += int(tree.Leaves[leaf])
	}
	return float64(e.Bias) + float64(e.Unit)*float64(sum)
}

func referenceNetwork(n *Network, levels []float64) float64 {
	dot := func(weights []float32) float64 {
		sum, p := 0., toFixedPoint(weights)
		for f := range weights {
			sum += float64(p.pairs[f/2][f%2]) * levels[f]
		}
		return sum * float64(p.unit)
	}
	sum := float64(n.Bias) + dot(n.Direct)
	for _, u := range n.Units {
		sum += float64(u.Out) * max(float64(u.Bias)+dot(u.Weights), 0)
	}
	return sum
}

// Weights are rounded to the nearest unit, and no sum of products overflows 32 bits.
func TestToFixedPoint(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		weight := rapid.Custom(func(t *rapid.T) float32 { // none is so small that its unit is subnormal
			scale := rapid.SampledFrom([]float32{1e-12, 1, maxWeight}).Draw(t, "scale")
			return scale * float32(rapid.IntRange(-1000, 1000).Draw(t, "part")) / 1000
		})
		weights := rapid.SliceOf(weight).Draw(t, "weights")
		largest := 0.
		for _, w := range weights {
			largest = max(largest, math.Abs(float64(w)))
		}
		p := toFixedPoint(weights)
		unit, sum := float64(p.unit)*127/FeatureRange, 0.
		if largest > 0 && len(weights) < 500 && unit > largest/32767*1.000001 {
			t.Fatalf("unit %v for weights up to %v", unit, largest)
		}
		for f, w := range weights {
			n := float64(p.pairs[f/2][f%2])
			sum += math.Abs(n) * 127
			if math.Abs(n*unit-float64(w)) > unit*.51 {
				t.Fatalf("weight %v is %v units of %v", w, n, unit)
			}
		}
		if sum > math.MaxInt32 {
			t.Fatalf("sums up to %v, want at most %d", sum, math.MaxInt32)
		}
	})
}
