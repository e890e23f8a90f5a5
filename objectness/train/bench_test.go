package train

import (
	"math/rand/v2"
	"runtime"
	"testing"

	"github.com/proposer/proposer/objectness/internal/feature"
)

// benchmarkSamples returns samples with random features.
func benchmarkSamples(n, features int) *samples {
	rng := rand.New(rand.NewPCG(1, 2))
	s := &samples{levels: &levels{features: features}}
	block := make([][feature.BlockSize]int8, features)
	for f := range features {
		s.mirror = append(s.mirror, f^1)
		s.means = append(s.means, 0)
		s.scales = append(s.scales, 1)
	}
	for i := range n {
		if i%feature.BlockSize == 0 {
			for f := range block {
				for k := range block[f] {
					block[f][k] = int8(min(max(rng.NormFloat64()*32, -127), 127))
				}
			}
			s.levels.add(block, min(feature.BlockSize, n-i))
		}
		s.used = append(s.used, int32(i))
		s.targets = append(s.targets, max(0, rng.Float32()-.8))
		s.weights = append(s.weights, 1)
	}
	return s
}

func benchmarkTraining(b *testing.B, n, features int, set func(*Options)) {
	s := benchmarkSamples(n, features)
	o := DefaultOptions()
	o.Threads = runtime.GOMAXPROCS(0)
	set(&o)
	b.ResetTimer()
	for b.Loop() {
		if _, err := o.train(b.Context(), s); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkTrees grows 4 trees on a quarter of the samples and mirrored samples each.
func BenchmarkTrees(b *testing.B) {
	benchmarkTraining(b, 200_000, 320, func(o *Options) { o.Trees.Trees, o.Network.Epochs = 4, 0 })
}

// BenchmarkNetwork trains networks for an epoch.
func BenchmarkNetwork(b *testing.B) {
	for name, units := range map[string][]int{"15 units": {15}, "64 units": {64}, "128 and 32 units": {128, 32}} {
		b.Run(name, func(b *testing.B) {
			benchmarkTraining(b, 50_000, 320, func(o *Options) { o.Trees.Trees, o.Network.Epochs, o.Network.Units = 0, 1, units })
		})
	}
}
