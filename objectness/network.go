package objectness

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"

	"gonum.org/v1/gonum/blas"
	"gonum.org/v1/gonum/blas/blas32"

	"github.com/proposer/proposer/internal/freelist"
	"github.com/proposer/proposer/internal/kernels"
)

// Network is a small neural network: a weighted sum of the scaled features, and one
// of some hidden units, which are weighted sums where these are above 0. It gives
// log-odds. It is safe for concurrent use.
type Network struct {
	Bias float32 `json:"bias"`
	// Direct are the weights of the features themselves. Without units that is logistic regression.
	Direct []float32    `json:"direct"`
	Units  []HiddenUnit `json:"units"`

	rows []rounded // of Direct, and of each unit
}

// Unit is a hidden unit.
type HiddenUnit struct {
	Bias    float32   `json:"bias"`
	Out     float32   `json:"out"`
	Weights []float32 `json:"weights"`
}

// AdamOptions says how to train a [Network]: stochastic gradient descent by Adam (Kingma and Ba,
// ICLR 2015) at a rate that rises for a tenth of the steps and then falls to 0, with dropout
// (Srivastava et al., JMLR 2014) of the hidden units. Each sample is now and then mirrored.
type AdamOptions struct {
	// Units is the number of hidden units, Epochs how often each sample is seen; Batch is
	// how many samples a step takes.
	Units, Epochs, Batch int
	Rate                 float64
	// Dropout is the part, in [0,1), of the units that a sample does without.
	Dropout float64
}

// parts of a batch are worked on at the same time, and added up in their order.
const parts = 4

// weights are a network's, or their gradient: a row of the features' for each unit and
// behind them, then the biases and what comes of units.
type weights struct {
	rows   blas32.General // units+1 × features: the last is direct
	biases []float32      // units+1
	out    []float32      // units
}

func newWeights(units, features int) weights {
	all := make([]float32, (units+1)*(features+1)+units)
	rows, rest := all[:(units+1)*features], all[(units+1)*features:]
	return weights{
		blas32.General{Rows: units + 1, Cols: features, Stride: features, Data: rows},
		rest[:units+1], rest[units+1:],
	}
}

// all is everything in one slice.
func (w *weights) all() []float32 {
	return w.rows.Data[:len(w.rows.Data)+len(w.biases)+len(w.out)]
}

// train descends. The only errors are the context's.
func (d AdamOptions) train(ctx context.Context, t *TrainOptions, s *samples) (*Network, error) {
	n, f := len(s.targets), len(s.means)
	net := new(Network)
	rng := rand.New(rand.NewPCG(t.Seed, 0x0e7))
	w := newWeights(d.Units, f)
	for i := range w.rows.Data[:d.Units*f] {
		w.rows.Data[i] = float32(rng.NormFloat64() * math.Sqrt(2/float64(f)))
	}
	for i := range w.out {
		w.out[i] = float32(rng.NormFloat64() * math.Sqrt(1/float64(d.Units)))
	}
	w.biases[d.Units] = prior(s)

	var work [parts]*batch
	for i := range work {
		work[i] = newBatch((d.Batch+parts-1)/parts, d.Units, f)
	}
	order := make([]int32, n)
	for i := range order {
		order[i] = int32(i)
	}
	sum := w.all()
	first, second := make([]float32, len(sum)), make([]float32, len(sum))
	perEpoch := max(1, n/d.Batch)
	steps := d.Epochs * perEpoch
	var loss, weight float64
	for step := range steps {
		at := step % perEpoch
		if at == 0 {
			rng.Shuffle(n, func(i, j int) { order[i], order[j] = order[j], order[i] })
			loss, weight = 0, 0
		}
		rows := order[at*d.Batch : min((at+1)*d.Batch, n)]
		err := t.each(ctx, parts, func(k int) {
			from, to := k*len(rows)/parts, (k+1)*len(rows)/parts
			work[k].step(t, d, s, rows[from:to], &w, rand.New(rand.NewPCG(t.Seed+uint64(k), uint64(step))))
		})
		if err != nil {
			return nil, err
		}
		total := 0.0
		for _, b := range work {
			loss += b.loss
			total += b.weight
		}
		weight += total
		rate := d.Rate * schedule(float64(step)/float64(steps))
		const keep1, keep2 = .9, .999
		c1, c2 := 1-math.Pow(keep1, float64(step+1)), 1-math.Pow(keep2, float64(step+1))
		for i := range sum {
			g := 0.0
			for _, b := range work {
				g += float64(b.gradient.all()[i])
			}
			g /= total
			first[i] = float32(keep1*float64(first[i]) + (1-keep1)*g)
			second[i] = float32(keep2*float64(second[i]) + (1-keep2)*g*g)
			sum[i] -= float32(rate * float64(first[i]) / c1 / (math.Sqrt(float64(second[i])/c2) + 1e-8))
		}
		t.progress("network", step, steps, loss/weight)
	}
	for u := range d.Units {
		net.Units = append(net.Units, HiddenUnit{w.biases[u], w.out[u], w.rows.Data[u*f : (u+1)*f]})
	}
	net.Direct, net.Bias = w.rows.Data[d.Units*f:(d.Units+1)*f], w.biases[d.Units]
	return net, nil
}

// schedule is the part of the rate at a time in [0,1).
func schedule(at float64) float64 {
	const up = .1
	return min(at/up+.01, (1-at)/(1-up))
}

// batch is where a part of a batch is worked on.
type batch struct {
	x, z, dz     blas32.General // samples × features, and × units+1
	gradient     weights
	loss, weight float64
}

func newBatch(samples, units, features int) *batch {
	general := func(cols int) blas32.General {
		return blas32.General{Rows: samples, Cols: cols, Stride: cols, Data: make([]float32, samples*cols)}
	}
	return &batch{x: general(features), z: general(units + 1), dz: general(units + 1), gradient: newWeights(units, features)}
}

// step writes the loss and its gradient over some samples.
func (b *batch) step(t *TrainOptions, d AdamOptions, s *samples, rows []int32, w *weights, rng *rand.Rand) {
	f, units := len(s.means), d.Units
	b.x.Rows, b.z.Rows, b.dz.Rows = len(rows), len(rows), len(rows)
	for i, r := range rows {
		x, levels := b.x.Data[i*f:(i+1)*f], s.row(int(r))
		if rng.Uint64()%2 == 0 {
			for k := range x {
				x[k] = step * float32(levels[s.mirror[k]])
			}
		} else {
			for k := range x {
				x[k] = step * float32(levels[k])
			}
		}
	}
	clear(b.gradient.all())
	b.loss, b.weight = 0, 0
	if len(rows) == 0 {
		return
	}
	blas32.Gemm(blas.NoTrans, blas.Trans, 1, b.x, w.rows, 0, b.z)
	for i, r := range rows {
		z, dz := b.z.Data[i*(units+1):(i+1)*(units+1)], b.dz.Data[i*(units+1):(i+1)*(units+1)]
		logit := z[units] + w.biases[units]
		for u := range units {
			dz[u] = 0
			v := z[u] + w.biases[u]
			if v <= 0 || d.Dropout > 0 && rng.Float64() < d.Dropout {
				z[u] = 0
				continue
			}
			z[u] = v / float32(1-d.Dropout)
			dz[u] = w.out[u] / float32(1-d.Dropout)
			logit += w.out[u] * z[u]
		}
		value, slope, _ := t.Loss.At(float64(logit), float64(s.targets[r]))
		weight := float64(s.weights[r])
		b.loss += value * weight
		b.weight += weight
		g := float32(slope * weight)
		for u := range units {
			b.gradient.out[u] += g * z[u]
			dz[u] *= g
			b.gradient.biases[u] += dz[u]
		}
		dz[units] = g
		b.gradient.biases[units] += g
	}
	blas32.Gemm(blas.Trans, blas.NoTrans, 1, b.dz, b.x, 0, b.gradient.rows)
}

// validate reports what would make scoring fail or give no numbers.
func (n *Network) validate(features int) error {
	if err := finite("bias", n.Bias); err != nil {
		return err
	}
	if err := long(features, "direct weights", n.Direct); err != nil {
		return err
	}
	if len(n.Units) > maxUnits {
		return fmt.Errorf("%d units: want at most %d", len(n.Units), maxUnits)
	}
	for i, u := range n.Units {
		if err := long(features, "weights", u.Weights); err != nil {
			return fmt.Errorf("unit %d: %w", i, err)
		}
		if err := finite("bias or weight", u.Bias, u.Out); err != nil {
			return fmt.Errorf("unit %d: %w", i, err)
		}
	}
	return nil
}

// rounded are the weights of a sum as whole numbers of a unit, by pairs.
type rounded struct {
	pairs [][2]int16
	unit  float32
}

// round takes a unit as small as the whole numbers, and their sums over levels, allow.
func round(weights []float32) rounded {
	most, sum := 0.0, 0.0
	for _, w := range weights {
		v := math.Abs(float64(w))
		most, sum = max(most, v), sum+v
	}
	unit := max(most/math.MaxInt16, sum*kernels.MaxQuantized/(math.MaxInt32-float64(kernels.MaxQuantized*len(weights))))
	r := rounded{pairs: make([][2]int16, kernels.PairCount(len(weights))), unit: float32(unit * farthest / kernels.MaxQuantized)}
	for f, w := range weights {
		if unit > 0 {
			r.pairs[f/2][f%2] = int16(math.RoundToEven(float64(w) / unit))
		}
	}
	return r
}

// prepare makes what score needs.
func (n *Network) prepare() {
	n.rows = append(n.rows[:0], round(n.Direct))
	for i := range n.Units {
		n.rows = append(n.rows, round(n.Units[i].Weights))
	}
}

// score sums up as a block of boxes at a time.
func (n *Network) score(dst *[block]float32, s *scratch) {
	s.pairs = freelist.Resize(s.pairs, kernels.PairCount(len(s.levels)))
	kernels.InterleavePairs(s.pairs, s.levels)
	for from := 0; from < len(n.rows); from += 2 { // two go together
		last := min(from+1, len(n.rows)-1)
		kernels.DotPairs(&s.sums, s.pairs, n.rows[from].pairs, n.rows[last].pairs)
		for k := from; k <= last; k++ {
			sums, unit := &s.sums[k-from], n.rows[k].unit
			if k == 0 { // what is direct
				for i, v := range sums {
					dst[i] = n.Bias + float32(unit*float32(v))
				}
				continue
			}
			u := &n.Units[k-1]
			for i, v := range sums {
				dst[i] += float32(u.Out * max(u.Bias+float32(unit*float32(v)), 0))
			}
		}
	}
}
