package objectness

import (
	"fmt"
	"math"
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

// Model is a sum of trees: the log-odds that a box holds an object, after a bias.
// It is safe for concurrent use.
type Model struct {
	Bias  float32 `json:"bias"`
	Trees []Tree  `json:"trees"`
}

// validate reports what would make scoring fail or give no numbers.
func (m *Model) validate(features int) error {
	finite := func(v float32) bool { return !math.IsNaN(float64(v)) && !math.IsInf(float64(v), 0) }
	if !finite(m.Bias) {
		return fmt.Errorf("bias %v: want a finite number", m.Bias)
	}
	for i := range m.Trees {
		t := &m.Trees[i]
		for _, f := range t.Features {
			if f < 0 || int(f) >= features {
				return fmt.Errorf("tree %d asks for feature %d: want 0 to %d", i, f, features-1)
			}
		}
		for _, v := range slices.Concat(t.Thresholds[:], t.Leaves[:]) {
			if !finite(v) {
				return fmt.Errorf("tree %d has the number %v: want finite ones", i, v)
			}
		}
	}
	return nil
}

// block is the number of boxes that are scored at once: their features fit the nearest cache.
const block = simd.TreeBlock

// score adds up the trees for a block of boxes: columns has a feature's values after
// another's. The sums are made in the order of the trees, so they are the same everywhere.
func (m *Model) score(dst *[block]float32, columns [][block]float32) {
	for i := range dst {
		dst[i] = m.Bias
	}
	for i := range m.Trees {
		t := &m.Trees[i]
		simd.AddTree(dst, columns, &t.Features, &t.Thresholds, &t.Leaves)
	}
}
