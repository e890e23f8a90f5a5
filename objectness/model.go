package objectness

import (
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/proposer/proposer/internal/freelist"
	"github.com/proposer/proposer/internal/kernels"
	"github.com/proposer/proposer/objectness/internal/feature"
)

// Depth is the depth of a tree: the number of its splits.
const Depth = 6

// A Tree is an oblivious tree: all nodes of a level have the same split, so that it is
// evaluated without branches. Split i is whether the quantized value of feature Features[i] is
// at least Thresholds[i]; the outcome is bit i of the index of the leaf.
type Tree struct {
	Features   [Depth]int32      `json:"features"`
	Thresholds [Depth]int8       `json:"thresholds"`
	Leaves     [1 << Depth]int16 `json:"leaves"`
}

// An Ensemble is a sum of trees: the log-odds are Bias plus Unit times the sum of the leaves.
type Ensemble struct {
	Bias  float32 `json:"bias"`
	Unit  float32 `json:"unit"`
	Trees []Tree  `json:"trees"`

	kernel *kernels.Forest
}

// A Model computes the log-odds that a candidate contains an object: those of an ensemble of
// trees, of a network, or the mean of both.
type Model struct {
	// Means and Scales, by feature, standardize features: the quantized value is the value less
	// the mean, times the scale, clipped to ±FeatureRange and rounded to one of 255 levels.
	Means   []float32 `json:"means"`
	Scales  []float32 `json:"scales"`
	Trees   *Ensemble `json:"trees,omitempty"`
	Network *Network  `json:"network,omitempty"`
}

// FeatureRange is the absolute value to which standardized features are clipped: how far
// an outlier lies outside has no effect.
const FeatureRange = 4

// Bounds of a model.
const (
	MaxTrees       = 10_000
	MaxUnits       = 512 // of the first hidden layer
	MaxSecondUnits = 128

	maxWeight      = 1e12 // keeps sums of products finite
	maxLayerWeight = 1e6  // and those of a hidden layer
)

// validate reports what would make scoring fail or give no numbers.
func (m *Model) validate(features int) error {
	if m.Trees == nil && m.Network == nil {
		return errors.New("neither trees nor a network")
	}
	if err := validateVector(features, "means", m.Means); err != nil {
		return err
	}
	if err := validateVector(features, "scales", m.Scales); err != nil {
		return err
	}
	if m.Trees != nil {
		if err := m.Trees.validate(features); err != nil {
			return err
		}
	}
	if m.Network != nil {
		return m.Network.validate(features)
	}
	return nil
}

func (e *Ensemble) validate(features int) error {
	if len(e.Trees) == 0 || len(e.Trees) > MaxTrees {
		return fmt.Errorf("%d trees: want 1 to %d", len(e.Trees), MaxTrees)
	}
	if err := validateNumbers("bias or unit", e.Bias, e.Unit); err != nil {
		return err
	}
	largestSum := 0
	for i := range e.Trees {
		t := &e.Trees[i]
		for _, f := range t.Features {
			if f < 0 || int(f) >= features {
				return fmt.Errorf("tree %d splits by feature %d: want 0 to %d", i, f, features-1)
			}
		}
		largestSum += max(-int(slices.Min(t.Leaves[:])), int(slices.Max(t.Leaves[:])))
	}
	if largestSum > math.MaxInt16 {
		return fmt.Errorf("leaves that sum to %d: want at most %d", largestSum, math.MaxInt16)
	}
	return nil
}

// validateVector reports numbers that are not one finite number for each feature.
func validateVector(features int, name string, v []float32) error {
	if len(v) != features {
		return fmt.Errorf("%d %s: want %d", len(v), name, features)
	}
	return validateNumbers(name, v...)
}

// validateNumbers reports a number that is NaN or too large.
func validateNumbers(name string, values ...float32) error {
	for _, v := range values {
		if math.IsNaN(float64(v)) || math.Abs(float64(v)) > maxWeight {
			return fmt.Errorf("%s %v: want a number within ±%g", name, v, float64(maxWeight))
		}
	}
	return nil
}

// blockSize is the number of candidates that are scored together: their quantized features
// fit the L1 cache.
const blockSize = feature.BlockSize

// modelWorkspace is the memory to score a block.
type modelWorkspace struct {
	levels [][blockSize]int8 // quantized features
	leaves [blockSize]int16
	pairs  [][kernels.PairItems][2]int16
	parts  [2][blockSize]float32

	first, second []float32 // outputs of the layers of a network: a row of blockSize for each unit
}

// score writes the log-odds of a block of candidates. Sums have one order, so they are equal
// on all machines.
func (m *Model) score(dst *[blockSize]float32, columns feature.Columns, w *modelWorkspace) {
	w.levels = freelist.Resize(w.levels, len(columns))
	kernels.QuantizeColumns(w.levels, columns, m.Means, m.Scales, FeatureRange)
	switch {
	case m.Network == nil:
		m.Trees.score(dst, w)
	case m.Trees == nil:
		m.Network.score(dst, w)
	default:
		m.Trees.score(&w.parts[0], w)
		m.Network.score(&w.parts[1], w)
		for i := range dst {
			dst[i] = (w.parts[0][i] + w.parts[1][i]) / 2
		}
	}
}

// prepare computes what score needs.
func (m *Model) prepare() {
	if m.Trees != nil {
		m.Trees.prepare()
	}
	if m.Network != nil {
		m.Network.prepare()
	}
}

func (e *Ensemble) prepare() {
	e.kernel = new(kernels.Forest)
	for i := range e.Trees {
		t := &e.Trees[i]
		e.kernel.Add(&t.Features, &t.Thresholds, &t.Leaves)
	}
}

func (e *Ensemble) score(dst *[blockSize]float32, w *modelWorkspace) {
	e.kernel.Sum(&w.leaves, w.levels)
	for i, v := range w.leaves {
		dst[i] = e.Bias + float32(e.Unit*float32(v))
	}
}
