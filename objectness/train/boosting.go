package train

import (
	"context"
	"math"
	"math/rand/v2"
	"slices"

	"github.com/proposer/proposer/internal/freelist"
	"github.com/proposer/proposer/objectness"
)

// Boosting configures gradient boosting with Newton steps (Friedman, 2001; Chen and Guestrin,
// "XGBoost", KDD 2016) of oblivious trees (Prokhorenkova et al., "CatBoost", NeurIPS 2018).
type Boosting struct {
	// Trees is the number of trees.
	Trees int
	// Rate is the learning rate, in (0,1].
	Rate float64
	// L2 is the L2 regularization of the leaves, which is added to the sum of their hessians.
	L2 float64
	// Subsample is the fraction, in (0,1], of the samples, mirrored or not, that a tree is grown
	// on. ColSample is that of the features.
	Subsample, ColSample float64
	// MaxSamples is the number of samples, about, to which Subsample is reduced. It bounds the time
	// and, with a byte for each feature that is drawn, the memory of a tree.
	MaxSamples int
}

const (
	depth     = objectness.Depth
	numLeaves = 1 << depth
)

// bins group the levels of a feature into at most maxBins bins of about as many samples each.
// Those of a feature and of its mirror image are equal, as both count all samples and all mirrored
// samples. So the bins of the mirrored samples need no memory.
type bins struct {
	cuts []int8           // bin i has the levels below cuts[i]
	of   [numLevels]uint8 // bin of each level
}

const maxBins = 64

// binSampling is the number of samples, about, that the bins are chosen by.
const binSampling = 50_000

// newBins returns the bins of each feature. Features that are not used have one bin.
func newBins(ctx context.Context, o *Options, s *samples) ([]bins, error) {
	all := make([]bins, len(s.means))
	stride := max(1, len(s.used)/binSampling)
	return all, o.parallel(ctx, len(all), func(k int) {
		if s.scales[k] == 0 {
			return
		}
		var counts [numLevels]int
		for i := 0; i < len(s.used); i += stride {
			u := s.used[i]
			counts[levelIndex(s.levels.column(chunkOf(u), k)[inChunk(u)])]++
			counts[levelIndex(s.levels.column(chunkOf(u), s.mirror[k])[inChunk(u)])]++
		}
		b := &all[k]
		b.cuts = quantileCuts(&counts)
		for l := range b.of {
			for _, c := range b.cuts {
				if l >= levelIndex(c) {
					b.of[l]++
				}
			}
		}
	})
}

// quantileCuts returns the levels that begin a bin, given the number of samples at each level.
func quantileCuts(counts *[numLevels]int) (cuts []int8) {
	total := 0
	for _, n := range counts {
		total += n
	}
	below, next := 0, 1
	for l, n := range counts {
		if below > 0 && next*total/maxBins < below+n {
			cuts = append(cuts, int8(l-numLevels/2))
		}
		below += n
		for next*total/maxBins < below {
			next++
		}
	}
	return cuts
}

// minHessian keeps a step finite where the focal loss is concave.
const minHessian = 1e-3

// gradHess is the first and second derivative of the loss of a sample with respect to its
// log-odds, times the weight of the sample.
type gradHess struct{ gradient, hessian float32 }

// gradHessSum is a sum of derivatives.
type gradHessSum struct{ gradient, hessian float64 }

func (s *gradHessSum) add(g gradHess) {
	s.gradient += float64(g.gradient)
	s.hessian += float64(g.hessian)
}

// fixedSum is a sum of derivatives in fixed point: the gradient in the high 32 bits, the hessian, which
// is not negative, in the low ones. One addition adds both, and sums and differences are exact.
type fixedSum int64

// fixed rounds derivatives to multiples of units.
func (g gradHess) fixed(units gradHessSum) fixedSum {
	return fixedSum(math.RoundToEven(float64(g.gradient)/units.gradient))<<32 +
		fixedSum(math.RoundToEven(float64(g.hessian)/units.hessian))
}

func (s fixedSum) times(units gradHessSum) gradHessSum {
	return gradHessSum{float64(s>>32) * units.gradient, float64(uint32(s)) * units.hessian}
}

// fixedUnits returns the smallest units for which no sum of the derivatives overflows.
func fixedUnits(all []gradHess) gradHessSum {
	var sum gradHessSum
	for _, g := range all {
		sum.gradient += math.Abs(float64(g.gradient))
		sum.hessian += float64(g.hessian)
	}
	rounded := float64(len(all)) // each may be rounded up
	return gradHessSum{
		max(sum.gradient/(math.MaxInt32-rounded), math.SmallestNonzeroFloat32),
		max(sum.hessian/(math.MaxUint32-rounded), math.SmallestNonzeroFloat32),
	}
}

// boosting is the state of a training.
type boosting struct {
	Boosting
	opts    *Options
	samples *samples
	starts  []int     // ranges of the samples
	bins    []bins    // by feature
	logits  []float32 // by sample and mirrored sample

	// Memory that the trees reuse: without it, the garbage would reach the size of the samples.
	rows      []int32
	gradients []gradHess
	grower    treeGrower
}

// train grows the trees one after another. The only errors are the context's.
func (b Boosting) train(ctx context.Context, o *Options, s *samples) (*objectness.Ensemble, error) {
	bins, err := newBins(ctx, o, s)
	if err != nil {
		return nil, err
	}
	t := &boosting{Boosting: b, opts: o, samples: s, starts: s.ranges(), bins: bins, logits: make([]float32, 2*len(s.targets))}
	e := &objectness.Ensemble{Bias: prior(s)}
	for i := range t.logits {
		t.logits[i] = e.Bias
	}
	rng := rand.New(rand.NewPCG(o.Seed, 0x0b1ec7))
	values := make([][numLeaves]float32, 0, b.Trees)
	for k := range b.Trees {
		t.drawRows(rng)
		loss, err := t.computeGradients(ctx)
		if err != nil {
			return nil, err
		}
		tree, err := t.grow(ctx, t.drawFeatures(rng))
		if err != nil {
			return nil, err
		}
		if tree != nil {
			e.Trees = append(e.Trees, tree.Tree)
			values = append(values, tree.values)
			if err := t.update(ctx, tree); err != nil {
				return nil, err
			}
		}
		o.progress("trees", k, b.Trees, loss)
	}
	quantizeLeaves(e, values)
	return e, nil
}

// drawRows draws the samples of a tree, in ascending order.
func (t *boosting) drawRows(rng *rand.Rand) {
	n := len(t.logits)
	fraction := min(t.Subsample, float64(t.MaxSamples)/float64(n))
	t.rows = t.rows[:0]
	for i := range n {
		if rng.Float64() < fraction {
			t.rows = append(t.rows, int32(i))
		}
	}
}

// drawFeatures draws the features of a tree from those that vary.
func (t *boosting) drawFeatures(rng *rand.Rand) (features []int) {
	for f := range t.bins {
		if len(t.bins[f].cuts) > 0 && rng.Float64() < t.ColSample {
			features = append(features, f)
		}
	}
	return features
}

// computeGradients sets the derivatives of the loss of each row, and returns the mean loss.
func (t *boosting) computeGradients(ctx context.Context) (loss float64, err error) {
	t.gradients = freelist.Resize(t.gradients, len(t.rows))
	chunks := make([]struct{ loss, weight float64 }, (len(t.rows)+chunkSize-1)/chunkSize)
	err = t.opts.parallel(ctx, len(chunks), func(c int) {
		for j := c * chunkSize; j < min((c+1)*chunkSize, len(t.rows)); j++ {
			i := t.rows[j]
			sample := int(i) % len(t.samples.targets)
			v, g, h := t.opts.Loss.At(float64(t.logits[i]), float64(t.samples.targets[sample]))
			w := float64(t.samples.weights[sample])
			chunks[c].loss += v * w
			chunks[c].weight += w
			t.gradients[j] = gradHess{float32(g * w), float32(max(h, minHessian) * w)}
		}
	})
	sum, weight := 0.0, 0.0
	for _, c := range chunks {
		sum += c.loss
		weight += c.weight
	}
	return sum / weight, err
}

// update adds a tree to the log-odds of all samples.
func (t *boosting) update(ctx context.Context, tree *trainedTree) error {
	s, n := t.samples, len(t.samples.used)
	return t.opts.parallel(ctx, len(s.levels.chunks), func(c int) {
		from, to := t.starts[c], t.starts[c+1]
		for _, mirrored := range []bool{false, true} {
			var leaves [chunkSize]uint8
			logits := t.logits[from:to]
			if mirrored {
				logits = t.logits[n+from : n+to]
			}
			for d, f := range tree.Features {
				if mirrored {
					f = int32(s.mirror[f])
				}
				column, threshold := s.levels.column(c, int(f)), tree.Thresholds[d]
				for i, u := range s.used[from:to] {
					if column[inChunk(u)] >= threshold {
						leaves[i] |= 1 << d
					}
				}
			}
			for i := range logits {
				logits[i] += tree.values[leaves[i]]
			}
		}
	})
}

// quantizeLeaves sets the leaves to values, in the smallest unit for which their sum does not
// overflow.
func quantizeLeaves(e *objectness.Ensemble, values [][numLeaves]float32) {
	largestSum := 0.0
	for i := range values {
		largestSum += float64(max(-slices.Min(values[i][:]), slices.Max(values[i][:])))
	}
	e.Unit = 1
	if largestSum > 0 {
		e.Unit = float32(largestSum / float64(math.MaxInt16-len(values))) // each may be rounded up
	}
	for i := range values {
		for l, v := range values[i] {
			e.Trees[i].Leaves[l] = int16(math.RoundToEven(float64(v / e.Unit)))
		}
	}
}

// trainedTree is a tree with the values of its leaves.
type trainedTree struct {
	objectness.Tree
	values [numLeaves]float32
}

// split is the best split by a feature: at bins above bin.
type split struct {
	gain float64
	bin  int
}

// histogram holds the sums of the leaves of a level but the last, maxBins entries each. It fits the L1
// cache.
type histogram [numLeaves / 2 * maxBins]fixedSum

// countedRow is a row that is summed up in a histogram.
type countedRow struct {
	row  int32 // index into rows
	base int32 // entry of the histogram at which its leaf begins
	sum  fixedSum
}

// treeGrower is the state of growing one tree.
type treeGrower struct {
	*boosting
	features []int
	units    gradHessSum

	leaf       []uint8         // by row
	columns    [][]uint8       // by feature: bins by row
	histograms [][2]*histogram // by feature: of even and of odd levels
	best       []split         // by feature

	// The histograms of the smaller child of each leaf are summed up over its rows. Those of the
	// larger child follow by subtraction from the parent's.
	counted    []countedRow    // rows in smaller children
	subtracted [numLeaves]bool // larger children
}

// grow grows a tree, level by level, or returns nil if there is nothing to split. The only
// error is the context's.
func (t *boosting) grow(ctx context.Context, features []int) (*trainedTree, error) {
	if len(t.rows) == 0 || len(features) == 0 {
		return nil, nil
	}
	g := &t.grower
	g.boosting, g.features, g.units = t, features, fixedUnits(t.gradients)
	g.leaf = freelist.Resize(g.leaf, len(t.rows))
	clear(g.leaf)
	g.columns = freelist.Extend(g.columns, len(features))
	g.histograms = freelist.Extend(g.histograms, len(features))
	g.best = freelist.Resize(g.best, len(features))
	g.subtracted = [numLeaves]bool{}
	g.count()
	tree := new(trainedTree)
	for level := range depth {
		leaves := 1 << level
		err := t.opts.parallel(ctx, len(features), func(c int) {
			if level == 0 {
				g.columns[c] = freelist.Resize(g.columns[c], len(t.rows))
				g.readColumn(g.columns[c], features[c])
				if g.histograms[c][0] == nil {
					g.histograms[c] = [2]*histogram{new(histogram), new(histogram)}
				}
			}
			h := g.histograms[c][level%2]
			g.sum(h, c, leaves)
			g.subtract(h, g.histograms[c][1-level%2], leaves)
			g.best[c] = g.bestSplit(h, leaves, len(t.bins[features[c]].cuts))
		})
		if err != nil {
			return nil, err
		}
		top := 0
		for c := range g.best {
			if g.best[c].gain > g.best[top].gain {
				top = c
			}
		}
		f, bin := features[top], g.best[top].bin
		tree.Features[level] = int32(f)
		tree.Thresholds[level] = t.bins[f].cuts[bin]
		g.partition(level, g.columns[top], uint8(bin))
	}
	tree.values = g.leafValues()
	return tree, nil
}

// readColumn sets column to the bins of a feature by row.
func (g *treeGrower) readColumn(column []uint8, f int) {
	s, n, of := g.samples, len(g.samples.used), &g.bins[f].of
	for k := 0; k < len(g.rows); {
		first, from := 0, f
		if int(g.rows[k]) >= n {
			first, from = n, s.mirror[f]
		}
		c := chunkOf(s.used[int(g.rows[k])-first])
		levels, end := s.levels.column(c, from), first+g.starts[c+1]
		for ; k < len(g.rows) && int(g.rows[k]) < end; k++ {
			column[k] = of[levelIndex(levels[inChunk(s.used[int(g.rows[k])-first])])]
		}
	}
}

// sum sums up the derivatives of the counted rows by leaf and bin of a feature.
func (g *treeGrower) sum(h *histogram, c, leaves int) {
	clear(h[:leaves*maxBins])
	bins := g.columns[c]
	for i := range g.counted {
		r := &g.counted[i]
		h[(uint(r.base)+uint(bins[r.row]))%uint(len(h))] += r.sum // never beyond, which the compiler cannot know
	}
}

// subtract sets the histograms of the larger children to those of the parents minus those of
// the smaller children.
func (g *treeGrower) subtract(h, parents *histogram, leaves int) {
	for l := range leaves / 2 {
		smaller, larger, parent := l, l+leaves/2, parents[l*maxBins:][:maxBins]
		if g.subtracted[smaller] {
			smaller, larger = larger, smaller
		}
		for i, e := range h[smaller*maxBins:][:maxBins] {
			h[larger*maxBins+i] = parent[i] - e
		}
	}
}

// bestSplit returns the split with the largest gain over all leaves.
func (g *treeGrower) bestSplit(h *histogram, leaves, cuts int) split {
	gains := make([]float64, cuts)
	for l := range leaves {
		row := h[l*maxBins : (l+1)*maxBins]
		var total, left fixedSum
		for _, e := range row {
			total += e
		}
		unsplit := g.score(total.times(g.units))
		for i := range gains {
			left += row[i]
			gains[i] += g.score(left.times(g.units)) + g.score((total - left).times(g.units)) - unsplit
		}
	}
	best := split{gain: -1}
	for i, gain := range gains {
		if gain > best.gain {
			best = split{gain, i}
		}
	}
	return best
}

// score is twice the decrease of the loss by the best value of a leaf.
func (b Boosting) score(s gradHessSum) float64 { return s.gradient * s.gradient / (s.hessian + b.L2) }

// partition splits all leaves of a level at bins above bin.
func (g *treeGrower) partition(level int, bins []uint8, bin uint8) {
	var counts [numLeaves]int
	for k, b := range bins {
		if b > bin {
			g.leaf[k] |= 1 << level
		}
		counts[g.leaf[k]]++
	}
	leaves := 1 << level
	for l := range leaves {
		g.subtracted[l] = counts[l] > counts[l+leaves]
		g.subtracted[l+leaves] = !g.subtracted[l]
	}
	if level+1 < depth {
		g.count()
	}
}

// count sets the counted rows.
func (g *treeGrower) count() {
	g.counted = g.counted[:0]
	for k, l := range g.leaf {
		if !g.subtracted[l] {
			g.counted = append(g.counted, countedRow{int32(k), int32(l) * maxBins, g.gradients[k].fixed(g.units)})
		}
	}
}

// leafValues returns a Newton step of each leaf, times the learning rate.
func (g *treeGrower) leafValues() (values [numLeaves]float32) {
	var sums [numLeaves]gradHessSum
	for k, l := range g.leaf {
		sums[l].add(g.gradients[k])
	}
	for l, s := range sums {
		values[l] = float32(-g.Rate * s.gradient / (s.hessian + g.L2))
	}
	return values
}
