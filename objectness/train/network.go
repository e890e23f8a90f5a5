package train

import (
	"context"
	"math"
	"math/rand/v2"

	"github.com/proposer/proposer/internal/kernels"
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

// networkWeights are the weights of a network, or their gradient, in one slice. They are padded with
// zeros to whole tiles of [kernels.MultiplyAdd], and keep them: their gradient is 0.
type networkWeights struct {
	units, features int
	width, stride   int       // numbers of units, with the output, and of features, padded
	rows            []float32 // width × stride: of each unit, and direct
	biases          []float32 // of each unit, and of the output
	out             []float32 // of each unit
}

// padded returns n rounded up to a multiple of the columns of a tile, which is one of the rows of a tile.
func padded(n int) int {
	return (n + kernels.TileColumns - 1) / kernels.TileColumns * kernels.TileColumns
}

func newNetworkWeights(units, features int) networkWeights {
	width, stride := padded(units+1), padded(features)
	all := make([]float32, width*stride+units+1+units)
	rows, rest := all[:width*stride], all[width*stride:]
	return networkWeights{units, features, width, stride, rows, rest[:units+1], rest[units+1:]}
}

// all returns the one slice.
func (w *networkWeights) all() []float32 {
	return w.rows[:len(w.rows)+len(w.biases)+len(w.out)]
}

// row returns the weights of a unit, or the direct ones.
func (w *networkWeights) row(i int) []float32 { return w.rows[i*w.stride:][:w.features] }

// initialize draws the weights; those of the direct connections are 0.
func (w *networkWeights) initialize(rng *rand.Rand, s *samples) {
	for u := range w.units {
		row := w.row(u)
		for f := range row {
			row[f] = float32(rng.NormFloat64() * math.Sqrt(2/float64(w.features)))
		}
	}
	for i := range w.out {
		w.out[i] = float32(rng.NormFloat64() * math.Sqrt(1/float64(w.units)))
	}
	w.biases[w.units] = prior(s)
}

// network returns the network with the weights.
func (w *networkWeights) network() *objectness.Network {
	n := &objectness.Network{Bias: w.biases[w.units], Direct: w.row(w.units)}
	for u := range w.units {
		n.Units = append(n.Units, objectness.HiddenUnit{Bias: w.biases[u], Out: w.out[u], Weights: w.row(u)})
	}
	return n
}

// transpose sets dst to the rows by feature, in tiles of TileColumns units.
func (w *networkWeights) transpose(dst []float32) {
	at := 0
	for first := 0; first < w.width; first += kernels.TileColumns {
		for f := range w.features {
			for u := range kernels.TileColumns {
				dst[at+u] = w.rows[(first+u)*w.stride+f]
			}
			at += kernels.TileColumns
		}
	}
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
	transposed := make([]float32, w.width*features)
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
		w.transpose(transposed)
		err = o.parallel(ctx, numParts, func(k int) {
			from, to := k*len(rows)/numParts, (k+1)*len(rows)/numParts
			rng := rand.New(rand.NewPCG(o.Seed+uint64(k), uint64(step)))
			parts[k].computeGradient(o, buffer, rows[from:to], &w, transposed, rng)
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
	x            []float32 // samples × stride
	z, dz        []float32 // activations and derivatives, samples × width
	gradient     networkWeights
	loss, weight float64
}

func newBatchPart(samples, units, features int) *batchPart {
	p := &batchPart{gradient: newNetworkWeights(units, features)}
	samples = padded(samples)
	p.x = make([]float32, samples*p.gradient.stride)
	p.z = make([]float32, samples*p.gradient.width)
	p.dz = make([]float32, samples*p.gradient.width)
	return p
}

// computeGradient sets loss, weight and gradient to the sums over some rows of a buffer. Transposed
// are the weights of w.
func (p *batchPart) computeGradient(o *Options, b *rowBuffer, rows []int32, w *networkWeights, transposed []float32, rng *rand.Rand) {
	s := b.samples
	p.read(b, rows, rng)
	clear(p.gradient.all())
	p.loss, p.weight = 0, 0
	if len(rows) == 0 {
		return
	}
	clear(p.z)
	width, stride := w.width, w.stride
	for u := 0; u < width; u += kernels.TileColumns {
		for i := 0; i < len(rows); i += kernels.TileRows {
			kernels.MultiplyAdd(p.z[i*width+u:], width, p.x[i*stride:], stride, 1, transposed[u*w.features:], kernels.TileColumns, w.features)
		}
	}
	units, dropout := w.units, o.Network.Dropout
	for i, row := range rows {
		r := b.sources[row]
		z, dz := p.z[i*width:][:units+1], p.dz[i*width:][:units+1]
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
	for f := 0; f < stride; f += kernels.TileColumns {
		for u := 0; u <= units; u += kernels.TileRows {
			kernels.MultiplyAdd(p.gradient.rows[u*stride+f:], stride, p.dz[u:], 1, width, p.x[f:], stride, len(rows))
		}
	}
}

// read sets x to the standardized features of some rows, half of them mirrored.
func (p *batchPart) read(b *rowBuffer, rows []int32, rng *rand.Rand) {
	features, mirror := b.samples.levels.features, b.samples.mirror
	for i, r := range rows {
		x, levels := p.x[i*p.gradient.stride:][:features], b.row(int(r))
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
