package objectness

import (
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/proposer/proposer/internal/freelist"
	"github.com/proposer/proposer/internal/kernels"
)

// A Network is a neural network with up to two hidden layers of rectified linear units, and direct
// connections from the features to the output. The inputs are standardized features; see
// [Model]. The output is log-odds.
type Network struct {
	// Direct has one unit: the weights from the features to the output, and the bias of the output.
	// Without hidden units the network is logistic regression.
	Direct Layer `json:"direct"`
	// First and Second are the hidden layers. Without Second the output is computed from First.
	First  Layer `json:"first,omitzero"`
	Second Layer `json:"second,omitzero"`
	// Out are the weights from the units of the last hidden layer to the output.
	Out []float32 `json:"out,omitempty"`

	inputs *kernels.PairLayer // Direct and First
	second []float32          // the weights of Second, by unit and input, and rows of zeros up to a whole tile
}

// A Layer is the weights and biases of the units of a layer. Weights are integers.
type Layer struct {
	Biases []float32 `json:"biases"`
	// Steps are what the weights of each unit are multiples of, at least 0.
	Steps []float32 `json:"steps"`
	// Weights are in the order unit, input.
	Weights Weights `json:"weights"`
}

// Weights are integers, in JSON a base64 text of their 16 bits, the low byte first.
type Weights []int16

// MarshalText implements [encoding.TextMarshaler].
func (w Weights) MarshalText() ([]byte, error) {
	data, err := binary.Append(nil, binary.LittleEndian, []int16(w))
	return []byte(base64.StdEncoding.EncodeToString(data)), err
}

// UnmarshalText implements [encoding.TextUnmarshaler].
func (w *Weights) UnmarshalText(text []byte) error {
	data, err := base64.StdEncoding.AppendDecode(nil, text)
	if err != nil {
		return err
	}
	if len(data)%2 != 0 {
		return fmt.Errorf("weights of %d bytes: want two for each", len(data))
	}
	*w = make(Weights, len(data)/2)
	_, err = binary.Decode(data, binary.LittleEndian, []int16(*w))
	return err
}

// NewLayer returns a layer whose weights are rounded to multiples of the smallest steps for which
// neither a weight nor a sum of products with quantized features overflows. Weights are by unit.
func NewLayer(biases []float32, weights [][]float32) Layer {
	l := Layer{Biases: slices.Clone(biases)}
	for _, row := range weights {
		largest, sum := 0.0, 0.0
		for _, w := range row {
			v := math.Abs(float64(w))
			largest = max(largest, v)
			sum += v
		}
		step := float64(float32(max(largest/math.MaxInt16, sum/(maxWeightSum-float64(len(row))))))
		l.Steps = append(l.Steps, float32(step))
		for _, w := range row {
			n := 0.0
			if step > 0 {
				n = math.RoundToEven(float64(w) / step)
			}
			l.Weights = append(l.Weights, int16(min(max(n, -math.MaxInt16), math.MaxInt16)))
		}
	}
	return l
}

// maxWeightSum is the largest sum of the magnitudes of a unit's weights: sums of products with
// quantized features fit 32 bits.
const maxWeightSum = math.MaxInt32 / kernels.MaxQuantized

// units returns the number of units.
func (l *Layer) units() int { return len(l.Steps) }

// row returns the weights of a unit.
func (l *Layer) row(unit int) []int16 {
	n := len(l.Weights) / l.units()
	return l.Weights[unit*n:][:n]
}

func (l *Layer) validate(name string, inputs, maxUnits int) error {
	if l.units() > maxUnits {
		return fmt.Errorf("%s layer of %d units: want at most %d", name, l.units(), maxUnits)
	}
	if len(l.Biases) != l.units() || len(l.Weights) != l.units()*inputs {
		return fmt.Errorf("%s layer of %d units: %d biases and %d weights, want %d and %d",
			name, l.units(), len(l.Biases), len(l.Weights), l.units(), l.units()*inputs)
	}
	for u, step := range l.Steps {
		sum := 0
		for _, w := range l.row(u) {
			sum += max(int(w), -int(w))
		}
		if sum > maxWeightSum {
			return fmt.Errorf("%s layer, unit %d: weights of %d steps: want at most %d", name, u, sum, maxWeightSum)
		}
		if step < 0 {
			return fmt.Errorf("%s layer, unit %d: step %v: want at least 0", name, u, step)
		}
		for _, v := range []float64{float64(step), float64(step) * float64(sum), float64(l.Biases[u])} {
			if !(math.Abs(v) <= maxLayerWeight) {
				return fmt.Errorf("%s layer, unit %d: bias, step or sum of weights %v: want a number within ±%g", name, u, v, float64(maxLayerWeight))
			}
		}
	}
	return nil
}

func (n *Network) validate(features int) error {
	for _, err := range []error{
		n.Direct.validate("direct", features, 1),
		n.First.validate("first", features, MaxUnits),
		n.Second.validate("second", n.First.units(), MaxSecondUnits),
		validateNumbers("output weight", n.Out...),
	} {
		if err != nil {
			return err
		}
	}
	last := n.First.units()
	if n.Second.units() > 0 {
		if last == 0 {
			return errors.New("a second hidden layer without a first")
		}
		last = n.Second.units()
	}
	switch {
	case n.Direct.units() != 1:
		return fmt.Errorf("direct layer of %d units: want 1", n.Direct.units())
	case len(n.Out) != last:
		return fmt.Errorf("%d output weights: want %d", len(n.Out), last)
	}
	return nil
}

// prepare computes what score needs.
func (n *Network) prepare() {
	var weights []int16
	var scales, biases, low []float32
	for k, l := range []*Layer{&n.Direct, &n.First} {
		weights = append(weights, l.Weights...)
		biases = append(biases, l.Biases...)
		for _, step := range l.Steps {
			scales = append(scales, float32(float64(step)*FeatureRange/kernels.MaxQuantized))
			low = append(low, []float32{-math.MaxFloat32, 0}[k])
		}
	}
	n.inputs = kernels.NewPairLayer(len(n.Direct.Weights), weights, scales, biases, low)
	n.second = make([]float32, wholeTiles(n.Second.units())*n.First.units())
	for u, step := range n.Second.Steps {
		for k, w := range n.Second.row(u) {
			n.second[u*n.First.units()+k] = float32(step * float32(w))
		}
	}
}

// wholeTiles returns units rounded up to whole tiles of [kernels.MultiplyAdd].
func wholeTiles(units int) int {
	return (units + kernels.TileRows - 1) / kernels.TileRows * kernels.TileRows
}

func (n *Network) score(dst *[blockSize]float32, w *modelWorkspace) {
	w.pairs = freelist.Resize(w.pairs, blockSize/kernels.PairItems*kernels.PairCount(len(w.levels)))
	kernels.InterleavePairs(w.pairs, w.levels)
	w.first = freelist.Resize(w.first, n.inputs.Rows()*blockSize)
	n.inputs.Apply(w.first, w.pairs)
	*dst = [blockSize]float32(w.first)
	units := w.first[blockSize:]
	if n.Second.units() > 0 {
		n.scoreSecond(w, units)
		units = w.second
	}
	for u, out := range n.Out {
		for i, v := range units[u*blockSize:][:blockSize] {
			dst[i] += float32(out * v)
		}
	}
}

// scoreSecond computes the second layer from the first.
func (n *Network) scoreSecond(w *modelWorkspace, first []float32) {
	units, inputs := n.Second.units(), n.First.units()
	w.second = freelist.Resize(w.second, wholeTiles(units)*blockSize)
	for u, bias := range n.Second.Biases {
		row := w.second[u*blockSize:][:blockSize]
		for i := range row {
			row[i] = bias
		}
	}
	for u := 0; u < units; u += kernels.TileRows {
		for i := 0; i < blockSize; i += kernels.TileColumns {
			kernels.MultiplyAdd(w.second[u*blockSize+i:], blockSize, n.second[u*inputs:], inputs, 1, first[i:], blockSize, inputs)
		}
	}
	for i, v := range w.second {
		w.second[i] = max(v, 0)
	}
}
