package train

import (
	"context"
	"math"

	"github.com/proposer/proposer/internal/kernels"
	"github.com/proposer/proposer/objectness"
	"github.com/proposer/proposer/objectness/internal/feature"
)

// samples are training samples with quantized features. Each is used as it is and mirrored.
type samples struct {
	means, scales []float32 // by feature: see objectness.Model
	mirror        []int     // by feature: the one that has its value in the mirrored image
	levels        []int8    // quantized features, a row for each sample
	targets       []float32 // in [0,1]
	weights       []float32
}

// numLevels is the number of int8 levels; the lowest is not used.
const numLevels = 256

// levelIndex returns the index of a level, from 0 on.
func levelIndex(level int8) int { return int(level) + numLevels/2 }

// levelStep is the difference of a standardized feature between two levels.
const levelStep = float32(objectness.FeatureRange) / kernels.MaxQuantized

// row returns the quantized features of a sample.
func (s *samples) row(i int) []int8 { return s.levels[i*len(s.means) : (i+1)*len(s.means)] }

// chunkSize is the number of samples between two checks of the context.
const chunkSize = 1 << 12

// newSamples quantizes the used ones of samples. Columns are the features' values; nil columns
// are not used.
func newSamples(
	ctx context.Context, o *Options, columns [][]float32, mirror []int, targets, weights []float32, used []int32,
) (*samples, error) {
	f, n := len(columns), len(used)
	s := &samples{
		means: make([]float32, f), scales: make([]float32, f), mirror: mirror, levels: make([]int8, f*n),
		targets: make([]float32, n), weights: make([]float32, n),
	}
	for k, i := range used {
		s.targets[k] = targets[i]
		s.weights[k] = weights[i]
	}
	err := o.parallel(ctx, f, func(k int) {
		if columns[k] != nil && columns[mirror[k]] != nil {
			s.means[k], s.scales[k] = standardize(columns[k], columns[mirror[k]], used)
		}
	})
	if err != nil {
		return nil, err
	}
	return s, o.parallel(ctx, (n+chunkSize-1)/chunkSize, func(c int) {
		s.quantize(columns, used, c*chunkSize, min((c+1)*chunkSize, n))
	})
}

// quantize sets the levels of the samples from to to−1.
func (s *samples) quantize(columns [][]float32, used []int32, from, to int) {
	values := make(feature.Columns, len(columns))
	levels := make([][feature.BlockSize]int8, len(columns))
	for ; from < to; from += feature.BlockSize {
		block := used[from:min(from+feature.BlockSize, len(used))]
		for k, column := range columns {
			if column != nil {
				for i, u := range block {
					values[k][i] = column[u]
				}
			}
		}
		kernels.QuantizeColumns(levels, values, s.means, s.scales, objectness.FeatureRange)
		for i := range block {
			row := s.row(from + i)
			for k := range row {
				row[k] = levels[k][i]
			}
		}
	}
}

// standardize returns the mean of the values of a feature and its mirror image, and one over
// their standard deviation, or 0 for a constant feature, which carries no information.
func standardize(a, b []float32, used []int32) (mean, scale float32) {
	var sumA, sumB, squaresA, squaresB float64
	for _, i := range used {
		sumA += float64(a[i])
		sumB += float64(b[i])
	}
	n := 2 * float64(len(used))
	m := (sumA + sumB) / n
	for _, i := range used {
		squaresA += (float64(a[i]) - m) * (float64(a[i]) - m)
		squaresB += (float64(b[i]) - m) * (float64(b[i]) - m)
	}
	if squaresA+squaresB == 0 {
		return float32(m), 0
	}
	return float32(m), float32(1 / math.Sqrt((squaresA+squaresB)/n+1e-6))
}

// prior returns the log-odds of the mean target. Training begins there, as that of the
// detector of Lin et al. does (2017, §3.3), so that the many negatives do not dominate the
// first steps.
func prior(s *samples) float32 {
	sum, weight := 1.0, 2.0
	for i, w := range s.weights {
		sum += float64(s.targets[i] * w)
		weight += float64(w)
	}
	return float32(math.Log(sum / (weight - sum)))
}
