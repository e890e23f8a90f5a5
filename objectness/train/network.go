package train

import (
	"context"
	"math"
	"math/rand/v2"

	"gonum.org/v1/gonum/blas"
	"gonum.org/v1/gonum/blas/blas32"

	"github.com/proposer/proposer/objectness"
)

// AdamOptions configure the training of a network: stochastic gradient descent by Adam (Kingma
// and Ba, ICLR 2015) at a rate that rises for a tenth of the steps and then falls to 0, with
// dropout (Srivastava et al., JMLR 2014) of the hidden units. Half of the samples are mirrored
// each time.
type AdamOptions struct {
	// Units is the number of hidden units.
	Units int
	// Epochs is how often each sample is used, Batch the number of samples of a step.
	Epochs, Batch int
	// Rate is the highest learning rate, in (0,1].
	Rate float64
	// Dropout is the fraction of the hidden units, in [0,1), that are dropped.
	Dropout float64
}

// numParts is the number of parts of a batch that are worked on concurrently. They are summed
// up in order, so that the number of threads has no effect.
const numParts = 4

// networkWeights are the weights of a network, or their gradient, in one slice.
type networkWeights struct {
	rows   blas32.General // (units+1) × features: of each unit, and direct
	biases []float32      // of each unit, and of the output
	out    []float32      // of each unit
}

func newNetworkWeights(units, features int) networkWeights {
	all := make([]float32, (units+1)*(features+1)+units)
	rows, rest := all[:(units+1)*features], all[(units+1)*features:]
	return networkWeights{
		blas32.General{Rows: units + 1, Cols: features, Stride: features, Data: rows},
		rest[:units+1], rest[units+1:],
	}
}

// all returns the one slice.
func (w *networkWeights) all() []float32 {
	return w.rows.Data[:len(w.rows.Data)+len(w.biases)+len(w.out)]
}

// initialize draws the weights; those of the direct connections are 0.
func (w *networkWeights) initialize(rng *rand.Rand, s *samples) {
	units, features := len(w.out), w.rows.Cols
	for i := range w.rows.Data[:units*features] {
		w.rows.Data[i] = float32(rng.NormFloat64() * math.Sqrt(2/float64(features)))
	}
	for i := range w.out {
		w.out[i] = float32(rng.NormFloat64() * math.Sqrt(1/float64(units)))
	}
	w.biases[units] = prior(s)
}

// network returns the network with the weights.
func (w *networkWeights) network() *objectness.Network {
	units, features := len(w.out), w.rows.Cols
	row := func(i int) []float32 { return w.rows.Data[i*features : (i+1)*features] }
	n := &objectness.Network{Bias: w.biases[units], Direct: row(units)}
	for u := range units {
		n.Units = append(n.Units, objectness.HiddenUnit{Bias: w.biases[u], Out: w.out[u], Weights: row(u)})
	}
	return n
}

// train trains a network. The only errors are the context's.
func (a AdamOptions) train(ctx context.Context, o *Options, s *samples) (*objectness.Network, error) {
	n, features := len(s.targets), len(s.means)
	rng := rand.New(rand.NewPCG(o.Seed, 0x0e7))
	w := newNetworkWeights(a.Units, features)
	w.initialize(rng, s)

	var parts [numParts]*batchPart
	for i := range parts {
		parts[i] = newBatchPart((a.Batch+numParts-1)/numParts, a.Units, features)
	}
	buffer := newRowBuffer(s)
	opt := newAdam(len(w.all()))
	perEpoch := max(1, n/a.Batch)
	steps := a.Epochs * perEpoch
	var loss, weight float64
	for step := range steps {
		if step%perEpoch == 0 {
			buffer.shuffle(rng.Shuffle)
			loss, weight = 0, 0
		}
		rows, err := buffer.take(ctx, o, a.Batch, rng.Shuffle)
		if err != nil {
			return nil, err
		}
		err = o.parallel(ctx, numParts, func(k int) {
			from, to := k*len(rows)/numParts, (k+1)*len(rows)/numParts
			rng := rand.New(rand.NewPCG(o.Seed+uint64(k), uint64(step)))
			parts[k].computeGradient(o, buffer, rows[from:to], &w, rng)
		})
		if err != nil {
			return nil, err
		}
		total := 0.0
		for _, p := range parts {
			loss += p.loss
			total += p.weight
		}
		weight += total
		opt.update(w.all(), parts[:], total, a.Rate*schedule(float64(step)/float64(steps)))
		o.progress("network", step, steps, loss/weight)
	}
	return w.network(), nil
}

// adam is the state of Adam: running means of the gradient and of its square.
type adam struct {
	step          int
	first, second []float32
}

func newAdam(weights int) *adam {
	return &adam{first: make([]float32, weights), second: make([]float32, weights)}
}

// update takes a step by the gradient that is the sum of the parts' over the total weight of
// their samples.
func (a *adam) update(weights []float32, parts []*batchPart, total, rate float64) {
	const decay1, decay2 = .9, .999
	a.step++
	correction1 := 1 - math.Pow(decay1, float64(a.step))
	correction2 := 1 - math.Pow(decay2, float64(a.step))
	for i := range weights {
		g := 0.0
		for _, p := range parts {
			g += float64(p.gradient.all()[i])
		}
		g /= total
		a.first[i] = float32(decay1*float64(a.first[i]) + (1-decay1)*g)
		a.second[i] = float32(decay2*float64(a.second[i]) + (1-decay2)*g*g)
		weights[i] -= float32(rate * float64(a.first[i]) / correction1 / (math.Sqrt(float64(a.second[i])/correction2) + 1e-8))
	}
}

// schedule returns the fraction of the rate at a time in [0,1).
func schedule(at float64) float64 {
	const up = .1
	return min(at/up+.01, (1-at)/(1-up))
}

// batchPart is a part of a batch: its samples, activations and gradient.
type batchPart struct {
	x, z, dz     blas32.General // samples × features; activations and derivatives, samples × (units+1)
	gradient     networkWeights
	loss, weight float64
}

func newBatchPart(samples, units, features int) *batchPart {
	general := func(cols int) blas32.General {
		return blas32.General{Rows: samples, Cols: cols, Stride: cols, Data: make([]float32, samples*cols)}
	}
	return &batchPart{
		x: general(features), z: general(units + 1), dz: general(units + 1),
		gradient: newNetworkWeights(units, features),
	}
}

// computeGradient sets loss, weight and gradient to the sums over some rows of a buffer.
func (p *batchPart) computeGradient(o *Options, b *rowBuffer, rows []int32, w *networkWeights, rng *rand.Rand) {
	s := b.samples
	p.x.Rows, p.z.Rows, p.dz.Rows = len(rows), len(rows), len(rows)
	p.read(b, rows, rng)
	clear(p.gradient.all())
	p.loss, p.weight = 0, 0
	if len(rows) == 0 {
		return
	}
	blas32.Gemm(blas.NoTrans, blas.Trans, 1, p.x, w.rows, 0, p.z)
	units, dropout := len(w.out), o.Network.Dropout
	for i, row := range rows {
		r := b.sources[row]
		z, dz := p.z.Data[i*(units+1):(i+1)*(units+1)], p.dz.Data[i*(units+1):(i+1)*(units+1)]
		logit := z[units] + w.biases[units]
		for u := range units {
			dz[u] = 0
			v := z[u] + w.biases[u]
			if v <= 0 || dropout > 0 && rng.Float64() < dropout {
				z[u] = 0
				continue
			}
			z[u] = v / float32(1-dropout)
			dz[u] = w.out[u] / float32(1-dropout)
			logit += w.out[u] * z[u]
		}
		value, slope, _ := o.Loss.At(float64(logit), float64(s.targets[r]))
		weight := float64(s.weights[r])
		p.loss += value * weight
		p.weight += weight
		g := float32(slope * weight)
		for u := range units {
			p.gradient.out[u] += g * z[u]
			dz[u] *= g
			p.gradient.biases[u] += dz[u]
		}
		dz[units] = g
		p.gradient.biases[units] += g
	}
	blas32.Gemm(blas.Trans, blas.NoTrans, 1, p.dz, p.x, 0, p.gradient.rows)
}

// read sets x to the standardized features of some rows, half of them mirrored.
func (p *batchPart) read(b *rowBuffer, rows []int32, rng *rand.Rand) {
	features, mirror := b.samples.levels.features, b.samples.mirror
	for i, r := range rows {
		x, levels := p.x.Data[i*features:(i+1)*features], b.row(int(r))
		if rng.Uint64()%2 == 0 {
			for k := range x {
				x[k] = levelStep * float32(levels[mirror[k]])
			}
		} else {
			for k := range x {
				x[k] = levelStep * float32(levels[k])
			}
		}
	}
}
