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
	// L2 is added to the hessian of a leaf.
	L2 float64
	// Subsample and ColSample are the parts, in (0,1], of the samples, as they are and mirrored, and of the
	// features that a tree sees.
	Subsample, ColSample float64
}

// binnedSamples is where trees grow: samples, and then those mirrored, with a feature's levels cut into at
// most mostBins bins, of about as many samples each.
type binnedSamples struct {
	bins [][]uint8 // by feature, then sample
	cuts [][]int8  // by feature: bin i has levels below cuts[i]
}

const mostBins = 64

func newGround(ctx context.Context, r *TrainOptions, s *samples) (*binnedSamples, error) {
	n, f := len(s.targets), len(s.means)
	g := &binnedSamples{make([][]uint8, f), make([][]int8, f)}
	stride := max(1, n/50_000)
	table := make([][levels]uint8, f) // the bin of a level
	err := r.each(ctx, f, func(k int) {
		var counts [levels]int
		for i := 0; i < n; i += stride {
			row := s.row(i)
			counts[number(row[k])]++
			counts[number(row[s.mirror[k]])]++
		}
		g.cuts[k], g.bins[k] = cut(&counts), make([]uint8, 2*n)
		for l := range table[k] {
			for _, c := range g.cuts[k] {
				if l >= number(c) {
					table[k][l]++
				}
			}
		}
	})
	if err != nil {
		return nil, err
	}
	return g, r.each(ctx, (n+chunk-1)/chunk, func(c int) {
		for k := range f {
			bins, mirror := g.bins[k], s.mirror[k]
			for i := c * chunk; i < min((c+1)*chunk, n); i++ {
				row := s.row(i)
				bins[i], bins[n+i] = table[k][number(row[k])], table[k][number(row[mirror])]
			}
		}
	})
}

// cut finds the bins' bounds in how often levels are there.
func cut(counts *[levels]int) (cuts []int8) {
	all := 0
	for _, n := range counts {
		all += n
	}
	below, next := 0, 1
	for l, n := range counts {
		if below > 0 && next*all/mostBins < below+n {
			cuts = append(cuts, int8(l-levels/2))
		}
		below += n
		for next*all/mostBins < below {
			next++
		}
	}
	return cuts
}

// minCurvature keeps a step finite where the focal loss bends down.
const minCurvature = 1e-3

// gradHess is what a sample would have the log-odds do: the slope of its loss, and how that bends.
type gradHess struct{ gradient, hessian float32 }

// cell is a sum of pulls.
type cell struct{ gradient, hessian float64 }

// train grows the trees one after the other. The only errors are the context's.
func (b Boosting) train(ctx context.Context, t *TrainOptions, s *samples) (*Forest, error) {
	g, err := newGround(ctx, t, s)
	if err != nil {
		return nil, err
	}
	n := 2 * len(s.targets)
	rng := rand.New(rand.NewPCG(t.Seed, 0x0b1ec7))
	m := &Forest{Bias: prior(s)}
	logits := make([]float32, n)
	for i := range logits {
		logits[i] = m.Bias
	}
	values := make([][leaves]float32, 0, b.Trees)
	for k := range b.Trees {
		rows := make([]int32, 0, int(float64(n)*b.Subsample)+1)
		for i := range n {
			if rng.Float64() < b.Subsample {
				rows = append(rows, int32(i))
			}
		}
		pulls := make([]gradHess, len(rows))
		losses := make([]struct{ loss, weight float64 }, (len(rows)+chunk-1)/chunk)
		err := t.each(ctx, len(losses), func(c int) {
			for j := c * chunk; j < min((c+1)*chunk, len(rows)); j++ {
				i := rows[j]
				box := int(i) % len(s.targets)
				v, g, h := t.Loss.At(float64(logits[i]), float64(s.targets[box]))
				w := float64(s.weights[box])
				losses[c].loss += v * w
				losses[c].weight += w
				pulls[j] = gradHess{float32(g * w), float32(max(h, minCurvature) * w)}
			}
		})
		if err != nil {
			return nil, err
		}
		var columns []int
		for f := range g.bins {
			if len(g.cuts[f]) > 0 && rng.Float64() < b.ColSample {
				columns = append(columns, f)
			}
		}
		tree, err := b.tree(ctx, t, g, rows, columns, pulls)
		if err != nil {
			return nil, err
		}
		if tree != nil {
			m.Trees, values = append(m.Trees, tree.Tree), append(values, tree.values)
			err = t.each(ctx, (n+chunk-1)/chunk, func(c int) {
				for i := c * chunk; i < min((c+1)*chunk, n); i++ {
					at := 0
					for d, f := range tree.Features {
						if g.bins[f][i] > tree.bins[d] {
							at |= 1 << d
						}
					}
					logits[i] += tree.values[at]
				}
			})
			if err != nil {
				return nil, err
			}
		}
		sum, weight := 0.0, 0.0
		for _, l := range losses {
			sum += l.loss
			weight += l.weight
		}
		t.progress("trees", k, b.Trees, sum/weight)
	}
	m.round(values)
	return m, nil
}

// round makes the leaves of values: in units as small as their sum allows.
func (m *Forest) round(values [][leaves]float32) {
	most := 0.0
	for i := range values {
		most += float64(max(-slices.Min(values[i][:]), slices.Max(values[i][:])))
	}
	m.Unit = 1
	if most > 0 {
		m.Unit = float32(most / float64(math.MaxInt16-len(values))) // each may be rounded up
	}
	for i := range values {
		for l, v := range values[i] {
			m.Trees[i].Leaves[l] = int16(math.RoundToEven(float64(v / m.Unit)))
		}
	}
}

// chunk is how many samples are worked on between two looks at the context.
const chunk = 1 << 12

// prior is the log-odds of the mean target: boosting begins there, as the detector of
// Lin et al. does (2017, §3.3), so that the many negatives do not swamp the first steps.
func prior(s *samples) float32 {
	sum, weight := 1.0, 2.0
	for i, w := range s.weights {
		sum += float64(s.targets[i] * w)
		weight += float64(w)
	}
	return float32(math.Log(sum / (weight - sum)))
}

// trainedTree is a tree with its thresholds as bins, where the answer is yes above, and what its leaves say.
type trainedTree struct {
	Tree
	bins   [Depth]uint8
	values [leaves]float32
}

// tree grows a tree on some samples and features; nil if there is nothing to ask.
func (b Boosting) tree(ctx context.Context, r *TrainOptions, s *binnedSamples, rows []int32, columns []int, pulls []gradHess) (*trainedTree, error) {
	if len(rows) == 0 || len(columns) == 0 {
		return nil, nil
	}
	leaf := make([]uint8, len(rows))
	type candidate struct {
		gain float64
		bin  int
	}
	t := new(trainedTree)
	best := make([]candidate, len(columns))
	tables := make([][]gradHess, len(columns)) // by leaf and bin: they fit the nearest cache
	some := make([]int32, len(rows))           // the rows to add up
	for k := range some {
		some[k] = int32(k)
	}
	var rest [leaves]bool // the leaves that have what of the one that they come from the other has not
	for depth := range Depth {
		n := 1 << depth
		err := r.each(ctx, len(columns), func(c int) {
			f := columns[c]
			table := make([]gradHess, n*mostBins)
			bins := s.bins[f]
			for _, k := range some {
				e, p := &table[int(leaf[k])*mostBins+int(bins[rows[k]])], &pulls[k]
				e.gradient += p.gradient
				e.hessian += p.hessian
			}
			for l := range n / 2 {
				part, other, before := l, l+n/2, tables[c][l*mostBins:]
				if rest[part] {
					part, other = other, part
				}
				for i, e := range table[part*mostBins:][:mostBins] {
					table[other*mostBins+i] = gradHess{before[i].gradient - e.gradient, before[i].hessian - e.hessian}
				}
			}
			tables[c] = table
			gains := make([]float64, len(s.cuts[f]))
			for l := range n {
				row := table[l*mostBins : (l+1)*mostBins]
				var all, low cell
				for _, e := range row {
					all.add(e)
				}
				whole := b.gain(all)
				for i := range gains {
					low.add(row[i])
					gains[i] += b.gain(low) + b.gain(cell{all.gradient - low.gradient, all.hessian - low.hessian}) - whole
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
		var counts [leaves]int
		for k, i := range rows {
			if s.bins[f][i] > t.bins[depth] {
				leaf[k] |= 1 << depth
			}
			counts[leaf[k]]++
		}
		for l := range n { // of each two the smaller
			rest[l] = counts[l] > counts[l+n]
			rest[l+n] = !rest[l]
		}
		some = some[:0]
		for k, l := range leaf {
			if !rest[l] {
				some = append(some, int32(k))
			}
		}
	}
	var sums [leaves]cell
	for k, l := range leaf {
		sums[l].add(pulls[k])
	}
	for l, e := range sums {
		t.values[l] = float32(-b.Rate * e.gradient / (e.hessian + b.L2))
	}
	return t, nil
}

func (c *cell) add(p gradHess) {
	c.gradient += float64(p.gradient)
	c.hessian += float64(p.hessian)
}

func (b Boosting) gain(c cell) float64 { return c.gradient * c.gradient / (c.hessian + b.L2) }
