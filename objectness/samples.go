package objectness

import (
	"context"
	"math"

	"github.com/proposer/proposer/internal/kernels"
)

// samples are boxes to learn from, as they are and mirrored.
type samples struct {
	means, scales []float32 // by feature: see Model
	mirror        []int     // by feature: the one that has its value if the picture is mirrored
	levels        []int8    // a row of the features' for each sample
	targets       []float32 // in [0,1]
	weights       []float32
}

// levels is how many levels there are; of 256, one is not used.
const levels = 256

// number is a level's, from 0 on.
func number(level int8) int { return int(level) + levels/2 }

// step is what a scaled feature is from one level to the next.
const step = float32(farthest) / kernels.MaxQuantized

// row are the levels of a sample.
func (s *samples) row(i int) []int8 { return s.levels[i*len(s.means) : (i+1)*len(s.means)] }

// newSamples makes them of the used ones of columns, which have a feature's values of all
// samples, or are nil where a feature is not to be asked for.
func newSamples(ctx context.Context, r *TrainOptions, columns [][]float32, mirror []int, targets, weights []float32, used []int32) (*samples, error) {
	f, n := len(columns), len(used)
	s := &samples{
		means: make([]float32, f), scales: make([]float32, f), mirror: mirror, levels: make([]int8, f*n),
		targets: make([]float32, n), weights: make([]float32, n),
	}
	for k, i := range used {
		s.targets[k], s.weights[k] = targets[i], weights[i]
	}
	err := r.each(ctx, f, func(k int) {
		if columns[k] != nil && columns[mirror[k]] != nil {
			s.means[k], s.scales[k] = moments(columns[k], columns[mirror[k]], used)
		}
	})
	if err != nil {
		return nil, err
	}
	return s, r.each(ctx, (n+chunk-1)/chunk, func(c int) {
		values, level := make([][block]float32, f), make([][block]int8, f)
		for from := c * chunk; from < min((c+1)*chunk, n); from += block {
			some := used[from:min(from+block, n)]
			for k, column := range columns {
				if column != nil {
					for i, u := range some {
						values[k][i] = column[u]
					}
				}
			}
			kernels.QuantizeColumns(level, values, s.means, s.scales, farthest)
			for i := range some {
				row := s.row(from + i)
				for k := range row {
					row[k] = level[k][i]
				}
			}
		}
	})
}

// moments are the mean of a feature's values and its mirror image's, and one over their deviation,
// which is 0 for what does not vary: it tells nothing.
func moments(a, b []float32, used []int32) (mean, scale float32) {
	var sumA, sumB, squaresA, squaresB float64
	for _, i := range used {
		sumA += float64(a[i])
		sumB += float64(b[i])
	}
	n := 2 * float64(len(used))
	middle := (sumA + sumB) / n
	for _, i := range used {
		squaresA += (float64(a[i]) - middle) * (float64(a[i]) - middle)
		squaresB += (float64(b[i]) - middle) * (float64(b[i]) - middle)
	}
	if squaresA+squaresB == 0 {
		return float32(middle), 0
	}
	return float32(middle), float32(1 / math.Sqrt((squaresA+squaresB)/n+1e-6))
}
