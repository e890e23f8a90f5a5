package objectness

import (
	"errors"
	"fmt"
	"slices"

	"github.com/proposer/proposer/internal/simd"
)

// Depth is the number of questions of a tree.
const Depth = simd.Questions

const leaves = 1 << Depth

// Tree is an oblivious tree: the same questions are asked whatever the answers, so that
// a box needs no jump. Answer i, whether feature Features[i] is at least Thresholds[i],
// is bit i of the leaf's number.
type Tree struct {
	Features   [Depth]int32    `json:"features"`
	Thresholds [Depth]float32  `json:"thresholds"`
	Leaves     [leaves]float32 `json:"leaves"`
}

// Forest is a sum of trees, which are log-odds, after a bias.
type Forest struct {
	Bias  float32 `json:"bias"`
	Trees []Tree  `json:"trees"`
}

// Model gives the log-odds that a box holds an object: those of trees, of a network, or the
// mean of both. It is safe for concurrent use.
type Model struct {
	Trees   *Forest  `json:"trees,omitempty"`
	Network *Network `json:"network,omitempty"`
}

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
	if err := finite("bias", m.Bias); err != nil {
		return err
	}
	for i := range m.Trees {
		t := &m.Trees[i]
		for _, f := range t.Features {
			if f < 0 || int(f) >= features {
				return fmt.Errorf("tree %d asks for feature %d: want 0 to %d", i, f, features-1)
			}
		}
		if err := finite("threshold or leaf", slices.Concat(t.Thresholds[:], t.Leaves[:])...); err != nil {
			return fmt.Errorf("tree %d: %w", i, err)
		}
	}
	return nil
}

// block is the number of boxes that are scored at once: their features fit the nearest cache.
const block = simd.TreeBlock

// scratch is where a block is scored.
type scratch struct {
	scaled [][block]float32
	sums   [2][block]float32
	parts  [2][block]float32
}

// score writes the log-odds of a block of boxes: columns has a feature's values after
// another's. Sums are made in one order, so they are the same everywhere.
func (m *Model) score(dst *[block]float32, columns [][block]float32, s *scratch) {
	switch {
	case m.Network == nil:
		m.Trees.score(dst, columns)
	case m.Trees == nil:
		m.Network.score(dst, columns, s)
	default:
		m.Trees.score(&s.parts[0], columns)
		m.Network.score(&s.parts[1], columns, s)
		for i := range dst {
			dst[i] = (s.parts[0][i] + s.parts[1][i]) / 2
		}
	}
}

// score adds up the trees.
func (m *Forest) score(dst *[block]float32, columns [][block]float32) {
	for i := range dst {
		dst[i] = m.Bias
	}
	for i := range m.Trees {
		t := &m.Trees[i]
		simd.AddTree(dst, columns, &t.Features, &t.Thresholds, &t.Leaves)
	}
}
