package objectness

import (
	"fmt"
	"math"

	"github.com/proposer/proposer/internal/freelist"
	"github.com/proposer/proposer/internal/kernels"
)

// A Network is a neural network with one hidden layer of rectified linear units and direct
// connections from the features to the output. The inputs are standardized features; see
// [Model]. The output is log-odds.
type Network struct {
	Bias float32 `json:"bias"`
	// Direct are the weights from the features to the output. Without hidden units the network
	// is logistic regression.
	Direct []float32    `json:"direct"`
	Units  []HiddenUnit `json:"units"`

	rows []fixedPoint // Direct, and the weights of each unit
}

// A HiddenUnit is a unit of the hidden layer.
type HiddenUnit struct {
	Bias    float32   `json:"bias"`
	Out     float32   `json:"out"`     // weight to the output
	Weights []float32 `json:"weights"` // by feature
}

func (n *Network) validate(features int) error {
	if err := validateNumbers("bias", n.Bias); err != nil {
		return err
	}
	if err := validateVector(features, "direct weights", n.Direct); err != nil {
		return err
	}
	if len(n.Units) > MaxUnits {
		return fmt.Errorf("%d hidden units: want at most %d", len(n.Units), MaxUnits)
	}
	for i, u := range n.Units {
		if err := validateVector(features, "weights", u.Weights); err != nil {
			return fmt.Errorf("hidden unit %d: %w", i, err)
		}
		if err := validateNumbers("bias or weight", u.Bias, u.Out); err != nil {
			return fmt.Errorf("hidden unit %d: %w", i, err)
		}
	}
	return nil
}

// fixedPoint is the weights of a sum over quantized features, in 16-bit fixed point. The
// weights of two consecutive features are a pair.
type fixedPoint struct {
	pairs [][2]int16
	unit  float32
}

// toFixedPoint rounds weights to multiples of the smallest unit for which neither a weight
// nor a sum of products overflows.
func toFixedPoint(weights []float32) fixedPoint {
	largest, sum := 0.0, 0.0
	for _, w := range weights {
		v := math.Abs(float64(w))
		largest = max(largest, v)
		sum += v
	}
	unit := max(largest/math.MaxInt16, sum*kernels.MaxQuantized/(math.MaxInt32-float64(kernels.MaxQuantized*len(weights))))
	p := fixedPoint{
		pairs: make([][2]int16, kernels.PairCount(len(weights))),
		unit:  float32(unit * FeatureRange / kernels.MaxQuantized),
	}
	for f, w := range weights {
		if unit > 0 {
			p.pairs[f/2][f%2] = int16(math.RoundToEven(float64(w) / unit))
		}
	}
	return p
}

// prepare computes what score needs.
func (n *Network) prepare() {
	n.rows = append(n.rows[:0], toFixedPoint(n.Direct))
	for i := range n.Units {
		n.rows = append(n.rows, toFixedPoint(n.Units[i].Weights))
	}
}

func (n *Network) score(dst *[blockSize]float32, w *modelWorkspace) {
	w.pairs = freelist.Resize(w.pairs, kernels.PairCount(len(w.levels)))
	kernels.InterleavePairs(w.pairs, w.levels)
	for first := 0; first < len(n.rows); first += 2 { // the kernel computes two sums
		last := min(first+1, len(n.rows)-1)
		kernels.DotPairs(&w.sums, w.pairs, n.rows[first].pairs, n.rows[last].pairs)
		for k := first; k <= last; k++ {
			sums, unit := &w.sums[k-first], n.rows[k].unit
			if k == 0 { // the direct connections
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
