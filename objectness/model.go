package objectness

import (
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/proposer/proposer/internal/freelist"
	"github.com/proposer/proposer/internal/kernels"
)

// Depth is the depth of a tree.
const Depth = 6

const leaves = 1 << Depth

// Tree is an oblivious tree: the same questions are asked whatever the answers, so that
// a box needs no jump. Answer i, whether the level of feature Features[i] is at least Thresholds[i],
// is bit i of the leaf's number.
type Tree struct {
	Features   [Depth]int32  `json:"features"`
	Thresholds [Depth]int8   `json:"thresholds"`
	Leaves     [leaves]int16 `json:"leaves"`
}

// Forest is a sum of trees, whose leaves are log-odds in units, after a bias.
type Forest struct {
	Bias  float32 `json:"bias"`
	Unit  float32 `json:"unit"`
	Trees []Tree  `json:"trees"`

	kernel *kernels.Forest
}

// Model gives the log-odds that a box holds an object: those of trees, of a network, or the
// mean of both. It is safe for concurrent use.
type Model struct {
	// Means and Scales, by feature, bring features to one scale: their values less the mean, times
	// the scale, and no farther from 0 than 4, in levels: 127 above 0, and 127 below.
	Means   []float32 `json:"means"`
	Scales  []float32 `json:"scales"`
	Trees   *Forest   `json:"trees,omitempty"`
	Network *Network  `json:"network,omitempty"`
}

// farthest bounds what a scaled feature is: an outlier says no more than that it is one.
const farthest = 4

// The bounds of what is read.
const (
	maxTrees = 10_000
	maxUnits = 256
)

// validate reports what would make scoring fail or give no numbers.
func (m *Model) validate(features int) error {
	if m.Trees == nil && m.Network == nil {
		return errors.New("neither trees nor a network")
	}
	if err := long(features, "means", m.Means); err != nil {
		return err
	}
	if err := long(features, "scales", m.Scales); err != nil {
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

func (m *Forest) validate(features int) error {
	if len(m.Trees) == 0 || len(m.Trees) > maxTrees {
		return fmt.Errorf("%d trees: want 1 to %d", len(m.Trees), maxTrees)
	}
	if err := finite("bias or unit", m.Bias, m.Unit); err != nil {
		return err
	}
	most := 0
	for i := range m.Trees {
		t := &m.Trees[i]
		for _, f := range t.Features {
			if f < 0 || int(f) >= features {
				return fmt.Errorf("tree %d asks for feature %d: want 0 to %d", i, f, features-1)
			}
		}
		most += max(-int(slices.Min(t.Leaves[:])), int(slices.Max(t.Leaves[:])))
	}
	if most > math.MaxInt16 {
		return fmt.Errorf("leaves that add up to %d: want at most %d", most, math.MaxInt16)
	}
	return nil
}

// long reports numbers that are not one for each feature.
func long(features int, what string, v []float32) error {
	if len(v) != features {
		return fmt.Errorf("%d %s: want %d", len(v), what, features)
	}
	return finite(what, v...)
}

// finite reports a number that is none.
func finite(what string, values ...float32) error {
	for _, v := range values {
		if math.IsNaN(float64(v)) || math.Abs(float64(v)) > mostWeight {
			return fmt.Errorf("%s %v: want a number within ±%g", what, v, float64(mostWeight))
		}
	}
	return nil
}

// mostWeight keeps sums of products finite.
const mostWeight = 1e12

// block is the number of boxes that are scored at once: their levels fit the nearest cache.
const block = 64

// scratch is where a block is scored.
type scratch struct {
	levels [][block]int8
	leaves [block]int16
	pairs  [][block][2]int16
	sums   [2][block]int32
	parts  [2][block]float32
}

// score writes the log-odds of a block of boxes: columns has a feature's values after
// another's. Sums are made in one order, so they are the same everywhere.
func (m *Model) score(dst *[block]float32, columns [][block]float32, s *scratch) {
	s.levels = freelist.Resize(s.levels, len(columns))
	kernels.QuantizeColumns(s.levels, columns, m.Means, m.Scales, farthest)
	switch {
	case m.Network == nil:
		m.Trees.score(dst, s)
	case m.Trees == nil:
		m.Network.score(dst, s)
	default:
		m.Trees.score(&s.parts[0], s)
		m.Network.score(&s.parts[1], s)
		for i := range dst {
			dst[i] = (s.parts[0][i] + s.parts[1][i]) / 2
		}
	}
}

// prepare makes what score needs.
func (m *Model) prepare() {
	if m.Trees != nil {
		m.Trees.prepare()
	}
	if m.Network != nil {
		m.Network.prepare()
	}
}

func (m *Forest) prepare() {
	m.kernel = new(kernels.Forest)
	for i := range m.Trees {
		t := &m.Trees[i]
		m.kernel.Add(&t.Features, &t.Thresholds, &t.Leaves)
	}
}

// score adds up the trees.
func (m *Forest) score(dst *[block]float32, s *scratch) {
	m.kernel.Sum(&s.leaves, s.levels)
	for i, v := range s.leaves {
		dst[i] = m.Bias + float32(m.Unit*float32(v))
	}
}
