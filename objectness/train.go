package objectness

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"

	"github.com/proposer/proposer/selective"
)

// Trainer learns a [Ranker] from pictures with boxes: give it each picture's evidence with
// Add, then let it Train. It keeps the features of the boxes that it drew, about 300 bytes
// each, and of a picture about 1,500 boxes. It is not safe for concurrent use.
type Trainer struct {
	seed    uint64
	scene   scenery
	desk    desk
	columns [][]float32
	targets []float32
	weights []float32

	pictures, boxes int
}

// NewTrainer makes a trainer whose draws follow from seed.
func NewTrainer(seed uint64) *Trainer {
	return &Trainer{seed: seed, columns: make([][]float32, len(features))}
}

// A Trainer learns from a part of the boxes with no object: they are by far the most. What
// is drawn stands for what is not. It is a quarter of them, or fewer where a picture has
// more than these.
const (
	mostBackground = 0.25
	backgrounds    = 1250
)

// backgroundBelow is the IoU below which a box counts as background.
const backgroundBelow = 0.4

// Target is what a box with a best IoU is worth: 0 at .5, 1 at 1, and straight between,
// which is what average recall counts.
func Target(iou float64) float64 { return 2 * min(max(iou-.5, 0), .5) }

// Match is the object that a box overlaps most, and by how much.
type Match struct {
	Object int
	IoU    float64
}

// perObject is what an object's boxes weigh together, to the half: large objects have
// hundreds of good boxes, small ones a few, and each object is to be found once.
const perObject = 20

// Add learns the pool of a picture, given the match of each proposal. It is to be called by
// a [selective.Ranker] that stands in for one while training.
func (t *Trainer) Add(ctx context.Context, e *selective.Evidence, best []Match) error {
	if len(best) != len(e.Proposals) {
		panic(fmt.Sprintf("objectness: Add: %d matches for %d proposals", len(best), len(e.Proposals)))
	}
	worth := map[int]float64{} // by object: of all its boxes
	for _, m := range best {
		worth[m.Object] += Target(m.IoU)
	}
	rng := rand.New(rand.NewPCG(t.seed, uint64(t.pictures)))
	t.pictures++
	t.boxes += len(best)
	background := min(mostBackground, backgrounds/float64(len(best)))
	var drawn []int
	for i, m := range best {
		weight := float32(1)
		if target := Target(m.IoU); target > 0 {
			weight = float32(math.Sqrt(perObject / worth[m.Object]))
		} else if m.IoU < backgroundBelow {
			if rng.Float64() >= background {
				continue
			}
			weight = float32(1 / background)
		}
		drawn = append(drawn, i)
		t.targets = append(t.targets, float32(Target(m.IoU)))
		t.weights = append(t.weights, weight)
	}
	s, d := &t.scene, &t.desk
	defer func() { s.Evidence = nil }() // it is the search's
	if err := s.reset(ctx, e); err != nil {
		return err
	}
	for from, next := 0, 0; from < len(best); from += block {
		if err := ctx.Err(); err != nil {
			return err
		}
		to := min(from+block, len(best))
		d.describe(s, from, to)
		for ; next < len(drawn) && drawn[next] < to; next++ {
			for f := range features {
				t.columns[f] = append(t.columns[f], d.columns[f][drawn[next]-from])
			}
		}
	}
	return nil
}

// Samples is how many boxes have been drawn.
func (t *Trainer) Samples() int { return len(t.targets) }

// Train learns from what was added. Features whose names begin with one of without are not
// asked for.
func (t *Trainer) Train(ctx context.Context, b Boosting, about About, without ...string) (*Ranker, error) {
	if err := b.Validate(); err != nil {
		return nil, err
	}
	if !slices.ContainsFunc(t.targets, func(v float32) bool { return v > 0 }) {
		return nil, fmt.Errorf("objectness: none of the %d boxes overlaps an object by more than half: want pictures with objects", len(t.targets))
	}
	s := &samples{targets: t.targets, weights: t.weights, bins: make([][]uint8, len(features)), cuts: make([][]float32, len(features))}
	err := b.each(ctx, len(features), func(f int) {
		if slices.ContainsFunc(without, func(p string) bool { return p != "" && strings.HasPrefix(features[f], p) }) {
			return
		}
		values := t.columns[f]
		stride := max(1, len(values)/50_000)
		var some []float32
		for i := 0; i < len(values); i += stride {
			some = append(some, values[i])
		}
		s.cuts[f] = cut(some)
		s.bins[f] = make([]uint8, len(values))
		for i, v := range values {
			s.bins[f][i] = bin(s.cuts[f], v)
		}
	})
	if err != nil {
		return nil, err
	}
	progress := b.Progress
	b.Progress = func(tree int, loss float64) {
		about.Value = loss
		if progress != nil {
			progress(tree, loss)
		}
	}
	m, err := b.train(ctx, s)
	if err != nil {
		return nil, err
	}
	about.Pictures, about.Boxes = t.pictures, t.boxes
	return &Ranker{File: File{Format: formatVersion, About: about, Features: slices.Clone(features), Model: *m}}, nil
}

// Validate reports the first setting that is out of range.
func (b Boosting) Validate() error {
	part := func(v float64) bool { return v > 0 && v <= 1 }
	switch {
	case b.Trees < 1 || b.Trees > maxTrees:
		return fmt.Errorf("objectness: %d trees: want 1 to %d", b.Trees, maxTrees)
	case !part(b.Rate), !part(b.Rows), !part(b.Columns):
		return fmt.Errorf("objectness: rate %v, rows %v, columns %v: want numbers in (0,1]", b.Rate, b.Rows, b.Columns)
	case !(b.Ridge > 0) || math.IsInf(b.Ridge, 0):
		return fmt.Errorf("objectness: ridge %v: want a number above 0", b.Ridge)
	}
	return b.Loss.Validate()
}
