package train

import (
	"context"
	"math"
	"math/rand/v2"
	"slices"

	"github.com/proposer/proposer/internal/kernels"
	"github.com/proposer/proposer/objectness"
)

// AdamOptions configure the training of a network: stochastic gradient descent by Adam (Kingma
// and Ba, ICLR 2015) at a rate that rises for a tenth of the steps and then falls to 0, with
// dropout (Srivastava et al., JMLR 2014) of the hidden units. Half of the samples are mirrored
// each time.
type AdamOptions struct {
	// Units are the numbers of units of the hidden layers, at most two. Without any the network is
	// logistic regression.
	Units []int
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

// layers returns the numbers of units of the hidden layers.
func (a *AdamOptions) layers() (first, second int) {
	units := append(slices.Clone(a.Units), 0, 0)
	return units[0], units[1]
}

// validUnits reports whether there are at most two layers, within bounds, and no second without a first.
func (a *AdamOptions) validUnits() bool {
	first, second := a.layers()
	return len(a.Units) <= 2 && first >= 0 && first <= objectness.MaxUnits &&
		second >= 0 && second <= objectness.MaxSecondUnits && (first > 0 || second == 0)
}

// networkWeights are the weights of a network, or their gradient, in one slice. They are padded with
// zeros to whole tiles of [kernels.MultiplyAdd], and keep them: their gradient is 0.
type networkWeights struct {
	all           []float32 // the one slice
	features      int
	units, units2 int       // of the first and second hidden layer
	width, width2 int       // numbers of units, with the output in the first, padded
	stride        int       // number of features, padded
	rows          []float32 // width × stride: of each unit of the first layer, and direct
	second        []float32 // width2 × width: of each unit of the second layer
	biases        []float32 // of each unit of the first layer, and of the output
	biases2       []float32
	out           []float32 // of each unit of the last hidden layer
}

// padded returns n rounded up to a multiple of the columns of a tile, which is one of the rows of a tile.
func padded(n int) int {
	return (n + kernels.TileColumns - 1) / kernels.TileColumns * kernels.TileColumns
}

func newNetworkWeights(units, units2, features int) networkWeights {
	w := networkWeights{
		features: features, units: units, units2: units2,
		width: padded(units + 1), width2: padded(units2), stride: padded(features),
	}
	last := units
	if units2 > 0 {
		last = units2
	}
	sizes := []int{w.width * w.stride, w.width2 * w.width, units + 1, units2, last}
	for _, n := range sizes {
		w.all = append(w.all, make([]float32, n)...)
	}
	rest := w.all
	for i, part := range []*[]float32{&w.rows, &w.second, &w.biases, &w.biases2, &w.out} {
		*part, rest = rest[:sizes[i]], rest[sizes[i]:]
	}
	return w
}

// row returns the weights of a unit of the first layer, or the direct ones.
func (w *networkWeights) row(i int) []float32 { return w.rows[i*w.stride:][:w.features] }

// row2 returns the weights of a unit of the second layer.
func (w *networkWeights) row2(i int) []float32 { return w.second[i*w.width:][:w.units] }

// initialize draws the weights and biases of units from uniform distributions as wide as the inverse
// root of the number of their inputs. The weights of the direct connections are 0.
func (w *networkWeights) initialize(rng *rand.Rand, s *samples) {
	draw := func(inputs int, values []float32) {
		for i := range values {
			values[i] = float32((2*rng.Float64() - 1) / math.Sqrt(float64(inputs)))
		}
	}
	for u := range w.units {
		draw(w.features, w.row(u))
	}
	draw(w.features, w.biases[:w.units])
	for u := range w.units2 {
		draw(w.units, w.row2(u))
	}
	draw(w.units, w.biases2)
	draw(len(w.out), w.out)
	w.biases[w.units] = prior(s)
}

// network returns the network with the weights.
func (w *networkWeights) network() *objectness.Network {
	var first, second [][]float32
	for u := range w.units {
		first = append(first, w.row(u))
	}
	for u := range w.units2 {
		second = append(second, w.row2(u))
	}
	return &objectness.Network{
		Direct: objectness.NewLayer(w.biases[w.units:], [][]float32{w.row(w.units)}),
		First:  objectness.NewLayer(w.biases[:w.units], first),
		Second: objectness.NewLayer(w.biases2, second),
		Out:    slices.Clone(w.out),
	}
}

// transposed is the weights of the layers by input, in tiles of TileColumns units.
type transposed struct{ rows, second []float32 }

func newTransposed(w *networkWeights) *transposed {
	return &transposed{make([]float32, w.width*w.features), make([]float32, w.width2*w.units)}
}

func (t *transposed) set(w *networkWeights) {
	transpose(t.rows, w.rows, w.stride, w.features)
	transpose(t.second, w.second, w.width, w.units)
}

// transpose transposes the first inputs columns of rows that begin stride apart.
func transpose(dst, rows []float32, stride, inputs int) {
	for first := 0; len(dst) > 0; first += kernels.TileColumns {
		for k := range inputs {
			for u := range kernels.TileColumns {
				dst[u] = rows[(first+u)*stride+k]
			}
			dst = dst[kernels.TileColumns:]
		}
	}
}

// train trains a network. The only errors are the context's.
func (a AdamOptions) train(ctx context.Context, o *Options, s *samples) (*objectness.Network, error) {
	n, features := len(s.targets), len(s.means)
	rng := rand.New(rand.NewPCG(o.Seed, 0x0e7))
	units, units2 := a.layers()
	w := newNetworkWeights(units, units2, features)
	w.initialize(rng, s)

	var parts [numParts]*batchPart
	for i := range parts {
		parts[i] = newBatchPart((a.Batch+numParts-1)/numParts, units, units2, features)
	}
	transposed := newTransposed(&w)
	buffer := newRowBuffer(s)
	opt := newAdam(len(w.all))
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
		transposed.set(&w)
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
		opt.update(w.all, parts[:], total, a.Rate*schedule(float64(step)/float64(steps)))
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
			g += float64(p.gradient.all[i])
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
	z, dz        []float32 // activations and derivatives of the first layer, samples × width
	z2, dz2      []float32 // and of the second, samples × width2
	gradient     networkWeights
	loss, weight float64
}

func newBatchPart(samples, units, units2, features int) *batchPart {
	p := &batchPart{gradient: newNetworkWeights(units, units2, features)}
	samples = padded(samples)
	p.x = make([]float32, samples*p.gradient.stride)
	p.z = make([]float32, samples*p.gradient.width)
	p.dz = make([]float32, samples*p.gradient.width)
	p.z2 = make([]float32, samples*p.gradient.width2)
	p.dz2 = make([]float32, samples*p.gradient.width2)
	return p
}

// computeGradient sets loss, weight and gradient to the sums over some rows of a buffer. Transposed
// are the weights of w.
func (p *batchPart) computeGradient(o *Options, b *rowBuffer, rows []int32, w *networkWeights, t *transposed, rng *rand.Rand) {
	s := b.samples
	p.read(b, rows, rng)
	clear(p.gradient.all)
	p.loss, p.weight = 0, 0
	if len(rows) == 0 {
		return
	}
	n, g := len(rows), &p.gradient
	forward(p.z, w.width, p.x, w.stride, t.rows, w.features, n)
	// Derivatives first hold the slope of each unit. The output is not an input of the second layer.
	z, dz, width := p.z, p.dz, w.width
	logits := make([]float32, n)
	for i := range n {
		logits[i] = z[i*width+w.units] + w.biases[w.units]
		z[i*width+w.units] = 0
		rectify(z[i*width:], dz[i*width:], w.biases[:w.units], o.Network.Dropout, rng)
	}
	biases := g.biases[:w.units]
	if w.units2 > 0 {
		forward(p.z2, w.width2, z, width, t.second, w.units, n)
		z, dz, width, biases = p.z2, p.dz2, w.width2, g.biases2
		for i := range n {
			rectify(z[i*width:], dz[i*width:], w.biases2, o.Network.Dropout, rng)
		}
	}
	for i, row := range rows {
		r := b.sources[row]
		z, dz := z[i*width:][:len(w.out)], dz[i*width:][:len(w.out)]
		for u, out := range w.out {
			logits[i] += out * z[u]
		}
		value, slope, _ := o.Loss.At(float64(logits[i]), float64(s.targets[r]))
		weight := float64(s.weights[r])
		p.loss += value * weight
		p.weight += weight
		d := float32(slope * weight)
		for u, out := range w.out {
			g.out[u] += d * z[u]
			dz[u] *= d * out
			biases[u] += dz[u]
		}
		p.dz[i*w.width+w.units] = d
		g.biases[w.units] += d
	}
	if w.units2 > 0 {
		p.backward(w, n)
	}
	addProducts(g.rows, p.dz, p.x, w.units+1, w.width, w.stride, n)
}

// backward computes the gradient of the second layer, and the derivatives of the first.
func (p *batchPart) backward(w *networkWeights, n int) {
	g := &p.gradient
	addProducts(g.second, p.dz2, p.z, w.units2, w.width2, w.width, n)
	for u := 0; u < w.units; u += kernels.TileColumns {
		for i := 0; i < n; i += kernels.TileRows {
			var sums [kernels.TileRows * kernels.TileColumns]float32
			kernels.MultiplyAdd(sums[:], kernels.TileColumns, p.dz2[i*w.width2:], w.width2, 1, w.second[u:], w.width, w.units2)
			for k := range min(kernels.TileRows, n-i) {
				for c := range min(kernels.TileColumns, w.units-u) {
					dz := &p.dz[(i+k)*w.width+u+c]
					*dz *= sums[k*kernels.TileColumns+c]
					g.biases[u+c] += *dz
				}
			}
		}
	}
}

// forward sets z to the products of n samples x with transposed weights.
func forward(z []float32, width int, x []float32, stride int, transposed []float32, inputs, n int) {
	clear(z)
	for u := 0; u < width; u += kernels.TileColumns {
		for i := 0; i < n; i += kernels.TileRows {
			kernels.MultiplyAdd(z[i*width+u:], width, x[i*stride:], stride, 1, transposed[u*inputs:], kernels.TileColumns, inputs)
		}
	}
}

// addProducts adds the products of the derivatives dz of some units with their inputs x, over n samples.
func addProducts(gradient, dz, x []float32, units, width, stride, n int) {
	for f := 0; f < stride; f += kernels.TileColumns {
		for u := 0; u < units; u += kernels.TileRows {
			kernels.MultiplyAdd(gradient[u*stride+f:], stride, dz[u:], 1, width, x[f:], stride, n)
		}
	}
}

// rectify computes the outputs of the units of a layer from their sums z, and their slopes.
func rectify(z, slopes, biases []float32, dropout float64, rng *rand.Rand) {
	scale := float32(1 / (1 - dropout))
	for u, bias := range biases {
		v := z[u] + bias
		if v <= 0 || dropout > 0 && rng.Float64() < dropout {
			z[u], slopes[u] = 0, 0
		} else {
			z[u], slopes[u] = v*scale, scale
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
