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

// referenceNetwork evaluates one unit after another.
func referenceNetwork(n *Network, levels []float64) float64 {
	inputs := make([]float64, len(levels))
	for f, v := range levels {
		inputs[f] = v * FeatureRange / 127
	}
	outputs := func(l *Layer, inputs []float64) []float64 {
		var all []float64
		for u, bias := range l.Biases {
			sum := 0.
			for k, v := range inputs {
				sum += float64(l.Weights[u*len(inputs)+k]) * float64(l.Steps[u]) * v
			}
			all = append(all, sum+float64(bias))
		}
		return all
	}
	rectify := func(values []float64) []float64 {
		for i, v := range values {
			values[i] = max(v, 0)
		}
		return values
	}
	sum := outputs(&n.Direct, inputs)[0]
	last := rectify(outputs(&n.First, inputs))
	if len(n.Second.Steps) > 0 {
		last = rectify(outputs(&n.Second, last))
	}
	for u, v := range last {
		sum += float64(n.Out[u]) * v
	}
	return sum
}

// randomNetwork returns a network with the weights of a trained one, about.
func randomNetwork(rng *rand.Rand, features, first, second int) *Network {
	numbers := func(n, inputs int) []float32 {
		v := make([]float32, n)
		for i := range v {
			v[i] = float32((2*rng.Float64() - 1) / math.Sqrt(float64(inputs)))
		}
		return v
	}
	layer := func(units, inputs int) Layer {
		var rows [][]float32
		for range units {
			rows = append(rows, numbers(inputs, inputs))
		}
		return NewLayer(numbers(units, inputs), rows)
	}
	n := &Network{Direct: layer(1, features), First: layer(first, features)}
	last := first
	if second > 0 {
		n.Second = layer(second, first)
		last = second
	}
	n.Out = numbers(last, last)
	return n
}

func TestNetworkEqualsReference(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rng := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 1))
		features := rapid.IntRange(1, 40).Draw(t, "features")
		first := rapid.IntRange(0, 30).Draw(t, "first")
		second := rapid.IntRange(0, 20).Draw(t, "second")
		if first == 0 {
			second = 0
		}
		n := randomNetwork(rng, features, first, second)
		if err := n.validate(features); err != nil {
			t.Fatal(err)
		}
		n.prepare()
		w := &modelWorkspace{levels: make([][blockSize]int8, features)}
		for f := range w.levels {
			for i := range w.levels[f] {
				w.levels[f][i] = int8(rng.IntN(255) - 127)
			}
		}
		var got [blockSize]float32
		n.score(&got, w)
		for i, v := range got {
			levels := make([]float64, features)
			for f := range levels {
				levels[f] = float64(w.levels[f][i])
			}
			if want := referenceNetwork(n, levels); math.Abs(float64(v)-want) > 1e-4*(1+math.Abs(want)) {
				t.Fatalf("item %d: got %v, want %v", i, v, want)
			}
		}
	})
}

func TestSumsThatOverflow(t *testing.T) {
	l := Layer{Biases: []float32{0}, Steps: []float32{0}, Weights: make(Weights, 600)}
	fill(l.Weights, math.MinInt16)
	if err := l.validate("first", 600, 1); err == nil {
		t.Error("got no error")
	}
}

// BenchmarkNetwork scores 4,500 candidates whose features are quantized.
func BenchmarkNetwork(b *testing.B) {
	for _, units := range [][2]int{{15, 0}, {64, 0}, {128, 32}} {
		b.Run(fmt.Sprint(units), func(b *testing.B) {
			n := randomNetwork(rand.New(rand.NewPCG(1, 1)), feature.Count(), units[0], units[1])
			n.prepare()
			w := &modelWorkspace{levels: make([][blockSize]int8, feature.Count())}
			var dst [blockSize]float32
			for b.Loop() {
				for range (4500 + blockSize - 1) / blockSize {
					n.score(&dst, w)
				}
			}
		})
	}
}

// Weights are rounded to the nearest step, and no sum of products overflows 32 bits.
func TestNewLayer(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		weight := rapid.Custom(func(t *rapid.T) float32 { // none is so small that its step is subnormal
			scale := rapid.SampledFrom([]float32{1e-12, 1, maxWeight}).Draw(t, "scale")
			return scale * float32(rapid.IntRange(-1000, 1000).Draw(t, "part")) / 1000
		})
		weights := rapid.SliceOf(weight).Draw(t, "weights")
		largest := 0.
		for _, w := range weights {
			largest = max(largest, math.Abs(float64(w)))
		}
		l := NewLayer([]float32{0}, [][]float32{weights})
		step, sum := float64(l.Steps[0]), 0.
		if largest > 0 && len(weights) < 500 && step > largest/32767*1.000001 {
			t.Fatalf("step %v for weights up to %v", step, largest)
		}
		for f, w := range weights {
			n := float64(l.Weights[f])
			sum += math.Abs(n) * 127
			if math.Abs(n*step-float64(w)) > step*.51 {
				t.Fatalf("weight %v is %v steps of %v", w, n, step)
			}
		}
		if sum > math.MaxInt32 {
			t.Fatalf("sums up to %v, want at most %d", sum, math.MaxInt32)
		}
	})
}
