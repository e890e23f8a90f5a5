package objectness

import (
	"context"
	"math"
	"math/rand/v2"
	"slices"
)

// Boosting says how to train trees: gradient boosting with Newton steps (Friedman, 2001;
// Chen and Guestrin, "XGBoost", KDD 2016) of oblivious trees (Prokhorenkova et al.,
// "CatBoost", NeurIPS 2018).
type Boosting struct {
	// Trees is their number, Rate what each takes of its step.
	Trees int
	Rate  float64
	// Ridge is added to the curvature of a leaf.
	Ridge float64
	// Rows and Columns are the parts, in (0,1], of the samples, as they are and mirrored, and of the
	// features that a tree sees.
	Rows, Columns float64
}

// samples are boxes to learn from. A feature's values are cut into at most mostBins bins, of
// about as many samples each.
type samples struct {
	columns [][]float32 // by feature, then sample
	mirror  []int       // by feature: the one that has its value if the picture is mirrored
	bins    [][]uint8   // by feature, then sample, and then that one mirrored
	cuts    [][]float32 // by feature: bin i has values below cuts[i]
	targets []float32   // in [0,1]
	weights []float32
	used    []int32 // those that are learned from
}

// mirrored are the values of a feature in the mirrored pictures.
func (s *samples) mirrored(f int) []float32 { return s.columns[s.mirror[f]] }

// bin fills the bins.
func (s *samples) bin(ctx context.Context, r *Recipe) error {
	s.bins, s.cuts = make([][]uint8, len(s.columns)), make([][]float32, len(s.columns))
	return r.each(ctx, len(s.columns), func(f int) {
		forms := [...][]float32{s.columns[f], s.mirrored(f)}
		stride := max(1, len(s.used)/50_000)
		var some []float32
		for _, values := range forms {
			for i := 0; i < len(s.used); i += stride {
				some = append(some, values[s.used[i]])
			}
		}
		s.cuts[f] = cut(some)
		s.bins[f] = make([]uint8, 0, len(forms)*len(s.columns[f]))
		for _, values := range forms {
			for _, v := range values {
				s.bins[f] = append(s.bins[f], bin(s.cuts[f], v))
			}
		}
	})
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
func (b Boosting) train(ctx context.Context, t *Recipe, s *samples) (*Forest, error) {
	if err := s.bin(ctx, t); err != nil {
		return nil, err
	}
	targets, weights := slices.Concat(s.targets, s.targets), slices.Concat(s.weights, s.weights)
	used := slices.Clone(s.used)
	for _, i := range s.used {
		used = append(used, i+int32(len(s.targets)))
	}
	n := len(used)
	rng := rand.New(rand.NewPCG(t.Seed, 0x0b1ec7))
	m := &Forest{Bias: prior(s)}
	logits := make([]float32, len(targets))
	for i := range logits {
		logits[i] = m.Bias
	}
	gradients, curvatures := make([]float32, len(logits)), make([]float32, len(logits))
	leaf := make([]uint8, len(logits))
	losses := make([]float64, (n+chunk-1)/chunk)
	for k := range b.Trees {
		err := t.each(ctx, len(losses), func(c int) {
			losses[c] = 0
			for _, i := range used[c*chunk : min((c+1)*chunk, n)] {
				v, g, h := t.Loss.At(float64(logits[i]), float64(targets[i]))
				w := float64(weights[i])
				losses[c] += v * w
				gradients[i], curvatures[i] = float32(g*w), float32(max(h, minCurvature)*w)
			}
		})
		if err != nil {
			return nil, err
		}
		rows := make([]int32, 0, int(float64(n)*b.Rows)+1)
		for _, i := range used {
			if rng.Float64() < b.Rows {
				rows = append(rows, i)
			}
		}
		var columns []int
		for f := range s.bins {
			if len(s.cuts[f]) > 0 && rng.Float64() < b.Columns {
				columns = append(columns, f)
			}
		}
		tree, err := b.tree(ctx, t, s, rows, columns, gradients, curvatures, leaf)
		if err != nil {
			return nil, err
		}
		if tree != nil {
			m.Trees = append(m.Trees, tree.Tree)
			err = t.each(ctx, len(losses), func(c int) {
				for _, i := range used[c*chunk : min((c+1)*chunk, n)] {
					at := 0
					for d, f := range tree.Features {
						if s.bins[f][i] > tree.bins[d] {
							at |= 1 << d
						}
					}
					logits[i] += tree.Leaves[at]
				}
			})
			if err != nil {
				return nil, err
			}
		}
		sum, weight := 0.0, 0.0
		for _, l := range losses {
			sum += l
		}
		for _, i := range used {
			weight += float64(weights[i])
		}
		t.progress("trees", k, b.Trees, sum/weight)
	}
	return m, nil
}

// chunk is how many samples are worked on between two looks at the context.
const chunk = 1 << 14

// prior is the log-odds of the mean target: boosting begins there, as the detector of
// Lin et al. does (2017, §3.3), so that the many negatives do not swamp the first steps.
func prior(s *samples) float32 {
	sum, weight := 1.0, 2.0
	for _, i := range s.used {
		sum += float64(s.targets[i] * s.weights[i])
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
func (b Boosting) tree(ctx context.Context, r *Recipe, s *samples, rows []int32, columns []int, gradients, curvatures []float32, leaf []uint8) (*grown, error) {
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
		err := r.each(ctx, len(columns), func(c int) {
			f := columns[c]
			table := make([]cell, n*mostBins)
			bins := s.bins[f]
			for _, i := range rows {
				e := &table[int(leaf[i])*mostBins+int(bins[i])]
				e.gradient += float64(gradients[i])
				e.curvature += float64(curvatures[i])
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
