package objectness

import (
	"context"
	"math"
	"math/rand/v2"
	"slices"
	"sync"

	"github.com/proposer/proposer/imbalance"
)

// Boosting says how to train a [Model]: gradient boosting with Newton steps (Friedman,
// 2001; Chen and Guestrin, "XGBoost", KDD 2016) of oblivious trees (Prokhorenkova et al.,
// "CatBoost", NeurIPS 2018).
type Boosting struct {
	Loss imbalance.Loss
	// Trees is their number, Rate what each takes of its step.
	Trees int
	Rate  float64
	// Ridge is added to the curvature of a leaf.
	Ridge float64
	// Rows and Columns are the parts, in (0,1], of the samples and features that a tree sees.
	Rows, Columns float64
	Seed          uint64
	// Threads bounds the goroutines; at least 1. The model does not depend on it.
	Threads int
	// Progress, if not nil, is told the mean training loss after each tree.
	Progress func(tree int, loss float64)
}

// DefaultBoosting is what suits some hundreds of pictures.
func DefaultBoosting() Boosting {
	return Boosting{
		Loss: imbalance.CrossEntropy(), Trees: 400, Rate: .08, Ridge: 20,
		Rows: .5, Columns: .4, Seed: 1, Threads: 1,
	}
}

// samples are boxes to learn from. A feature's values are cut into at most mostBins bins, of
// about as many samples each.
type samples struct {
	bins    [][]uint8   // by feature, then sample
	cuts    [][]float32 // by feature: bin i has values below cuts[i]
	targets []float32   // in [0,1]
	weights []float32
}

const mostBins = 64

// cut finds the bins' bounds in some of the feature's values.
func cut(values []float32) []float32 {
	slices.Sort(values)
	var cuts []float32
	for i := 1; i < mostBins; i++ {
		v := values[i*len(values)/mostBins]
		if v > values[0] && (len(cuts) == 0 || v > cuts[len(cuts)-1]) {
			cuts = append(cuts, v)
		}
	}
	return cuts
}

// bin is the number of cuts that v is at least.
func bin(cuts []float32, v float32) uint8 {
	at, found := slices.BinarySearch(cuts, v)
	if found {
		at++
	}
	return uint8(at)
}

// minCurvature keeps a step finite where the focal loss bends down.
const minCurvature = 1e-3

type cell struct{ gradient, curvature float64 }

// train grows the trees one after the other. The only errors are the context's.
func (b Boosting) train(ctx context.Context, s *samples) (*Model, error) {
	n := len(s.targets)
	rng := rand.New(rand.NewPCG(b.Seed, 0x0b1ec7))
	m := &Model{Bias: prior(s)}
	logits := make([]float32, n)
	for i := range logits {
		logits[i] = m.Bias
	}
	gradients, curvatures := make([]float32, n), make([]float32, n)
	leaf := make([]uint8, n)
	losses := make([]float64, (n+chunk-1)/chunk)
	for k := range b.Trees {
		err := b.each(ctx, len(losses), func(c int) {
			losses[c] = 0
			for i := c * chunk; i < min((c+1)*chunk, n); i++ {
				v, g, h := b.Loss.At(float64(logits[i]), float64(s.targets[i]))
				w := float64(s.weights[i])
				losses[c] += v * w
				gradients[i], curvatures[i] = float32(g*w), float32(max(h, minCurvature)*w)
			}
		})
		if err != nil {
			return nil, err
		}
		rows := make([]int32, 0, int(float64(n)*b.Rows)+1)
		for i := range n {
			if rng.Float64() < b.Rows {
				rows = append(rows, int32(i))
			}
		}
		var columns []int
		for f := range s.bins {
			if len(s.cuts[f]) > 0 && rng.Float64() < b.Columns {
				columns = append(columns, f)
			}
		}
		t, err := b.tree(ctx, s, rows, columns, gradients, curvatures, leaf)
		if err != nil {
			return nil, err
		}
		if t != nil {
			m.Trees = append(m.Trees, t.Tree)
			err = b.each(ctx, len(losses), func(c int) {
				for i := c * chunk; i < min((c+1)*chunk, n); i++ {
					at := 0
					for d, f := range t.Features {
						if s.bins[f][i] > t.bins[d] {
							at |= 1 << d
						}
					}
					logits[i] += t.Leaves[at]
				}
			})
			if err != nil {
				return nil, err
			}
		}
		if b.Progress != nil {
			sum, weight := 0.0, 0.0
			for _, l := range losses {
				sum += l
			}
			for _, w := range s.weights {
				weight += float64(w)
			}
			b.Progress(k, sum/weight)
		}
	}
	return m, nil
}

// chunk is how many samples are worked on between two looks at the context.
const chunk = 1 << 14

// prior is the log-odds of the mean target: boosting begins there, as the detector of
// Lin et al. does (2017, §3.3), so that the many negatives do not swamp the first steps.
func prior(s *samples) float32 {
	sum, weight := 1.0, 2.0
	for i, t := range s.targets {
		sum += float64(t * s.weights[i])
		weight += float64(s.weights[i])
	}
	return float32(math.Log(sum / (weight - sum)))
}

// grown is a tree with its thresholds as bins: the answer is yes above.
type grown struct {
	Tree
	bins [Depth]uint8
}

// tree grows a tree on some samples and features; nil if there is nothing to ask.
func (b Boosting) tree(ctx context.Context, s *samples, rows []int32, columns []int, gradients, curvatures []float32, leaf []uint8) (*grown, error) {
	if len(rows) == 0 || len(columns) == 0 {
		return nil, nil
	}
	for _, r := range rows {
		leaf[r] = 0
	}
	type candidate struct {
		gain float64
		bin  int
	}
	t := new(grown)
	best := make([]candidate, len(columns))
	for depth := range Depth {
		n := 1 << depth
		err := b.each(ctx, len(columns), func(c int) {
			f := columns[c]
			table := make([]cell, n*mostBins)
			bins := s.bins[f]
			for _, r := range rows {
				e := &table[int(leaf[r])*mostBins+int(bins[r])]
				e.gradient += float64(gradients[r])
				e.curvature += float64(curvatures[r])
			}
			gains := make([]float64, len(s.cuts[f]))
			for l := range n {
				row := table[l*mostBins : (l+1)*mostBins]
				var all, low cell
				for _, e := range row {
					all.gradient += e.gradient
					all.curvature += e.curvature
				}
				whole := b.gain(all)
				for i := range gains {
					low.gradient += row[i].gradient
					low.curvature += row[i].curvature
					gains[i] += b.gain(low) + b.gain(cell{all.gradient - low.gradient, all.curvature - low.curvature}) - whole
				}
			}
			best[c] = candidate{gain: -1}
			for i, g := range gains {
				if g > best[c].gain {
					best[c] = candidate{g, i}
				}
			}
		})
		if err != nil {
			return nil, err
		}
		top := 0
		for c := range best {
			if best[c].gain > best[top].gain {
				top = c
			}
		}
		f := columns[top]
		t.Features[depth], t.bins[depth] = int32(f), uint8(best[top].bin)
		t.Thresholds[depth] = s.cuts[f][best[top].bin]
		for _, r := range rows {
			if s.bins[f][r] > t.bins[depth] {
				leaf[r] |= 1 << depth
			}
		}
	}
	var sums [leaves]cell
	for _, r := range rows {
		e := &sums[leaf[r]]
		e.gradient += float64(gradients[r])
		e.curvature += float64(curvatures[r])
	}
	for l, e := range sums {
		t.Leaves[l] = float32(-b.Rate * e.gradient / (e.curvature + b.Ridge))
	}
	return t, nil
}

func (b Boosting) gain(c cell) float64 { return c.gradient * c.gradient / (c.curvature + b.Ridge) }

// each does n pieces of work on the threads, in any order.
func (b Boosting) each(ctx context.Context, n int, work func(i int)) error {
	var wg sync.WaitGroup
	threads := max(1, min(b.Threads, n))
	for t := range threads {
		wg.Go(func() {
			for i := t; i < n && ctx.Err() == nil; i += threads {
				work(i)
			}
		})
	}
	wg.Wait()
	return ctx.Err()
}
