package objectness

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"

	"github.com/proposer/proposer/candidate"
	"github.com/proposer/proposer/imbalance"
)

// Trainer learns a [Ranker] from pictures with boxes: give it each picture's evidence with
// Add, then let it Train. It keeps the features of the boxes that it drew, about 1,300 bytes
// each, and of a picture about 1,500 boxes; to train takes three quarters as much again. It is not safe for
// concurrent use.
type Trainer struct {
	seed    uint64
	scene   scenery
	desk    desk
	columns [][]float32
	targets []float32
	weights []float32
	from    []int32 // by sample: the number of its picture

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
	// Ignore is a box that may hold objects which nobody drew a box around, as in a crowd: where it
	// is on none that somebody did, it is not learned from.
	Ignore bool
}

// perObject is what an object's boxes weigh together, to the half: large objects have
// hundreds of good boxes, small ones a few, and each object is to be found once.
const perObject = 20

// Add learns the pool of a picture, which has a number, given the match of each proposal. It
// is to be called by a [selective.Ranker] that stands in for one while training. The only
// errors are the context's; after one the trainer is of no use.
func (t *Trainer) Add(ctx context.Context, picture int, e *candidate.Set, best []Match) error {
	if len(best) != len(e.Candidates) {
		panic(fmt.Sprintf("objectness: Add: %d matches for %d proposals", len(best), len(e.Candidates)))
	}
	worth := map[int]float64{} // by object: of all its boxes
	for _, m := range best {
		worth[m.Object] += Target(m.IoU)
	}
	rng := rand.New(rand.NewPCG(t.seed, uint64(picture)))
	t.pictures++
	t.boxes += len(best)
	background := min(mostBackground, backgrounds/float64(len(best)))
	var drawn []int
	for i, m := range best {
		weight := float32(1)
		if target := Target(m.IoU); target > 0 {
			weight = float32(math.Sqrt(perObject / worth[m.Object]))
		} else if m.Ignore {
			continue
		} else if m.IoU < backgroundBelow {
			if rng.Float64() >= background {
				continue
			}
			weight = float32(1 / background)
		}
		drawn = append(drawn, i)
		t.targets = append(t.targets, float32(Target(m.IoU)))
		t.weights = append(t.weights, weight)
		t.from = append(t.from, int32(picture))
	}
	s, d := &t.scene, &t.desk
	defer func() { s.Set = nil }() // it is the search's
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
				t.columns[f] = append(t.columns[f], d.column.columns[f][drawn[next]-from])
			}
		}
	}
	return nil
}

// Samples is how many boxes have been drawn.
func (t *Trainer) Samples() int { return len(t.targets) }

// TrainOptions says how to train a [Model]: of its parts, one may do without.
type TrainOptions struct {
	Loss imbalance.Loss
	// Trees and Network are the two parts; no trees, or no epochs, leave one out.
	Trees   Boosting
	Network AdamOptions
	Seed    uint64
	// Threads bounds the goroutines; at least 1. The model does not depend on it.
	Threads int
	// Progress, if not nil, is told the mean training loss after each of so many steps of
	// a part: "trees" or "network".
	Progress func(part string, step, steps int, loss float64)
}

// DefaultTrainOptions is what suits some hundreds of pictures.
func DefaultTrainOptions() TrainOptions {
	return TrainOptions{
		Loss:    imbalance.CrossEntropy(),
		Trees:   Boosting{Trees: 400, Rate: .08, L2: 20, Subsample: .25, ColSample: .4},
		Network: AdamOptions{Units: 15, Epochs: 10, Batch: 1024, Rate: .002, Dropout: .2},
		Seed:    1, Threads: 1,
	}
}

func (r *TrainOptions) progress(part string, step, steps int, loss float64) {
	if r.Progress != nil {
		r.Progress(part, step, steps, loss)
	}
}

// each does n pieces of work on the threads, in any order.
func (r *TrainOptions) each(ctx context.Context, n int, work func(i int)) error {
	var wg sync.WaitGroup
	threads := max(1, min(r.Threads, n))
	for t := range threads {
		wg.Go(func() {
			for i := t; i < n && ctx.Err() == nil; i += threads {
				work(i)
			}
		})
	}
	wg.Wait()
	return ctx.Err()
}

// Train learns from what was added, or the pictures of it, by their numbers, that learned
// holds for. Features whose names begin with one of without are not asked for.
func (t *Trainer) Train(ctx context.Context, r TrainOptions, metadata Metadata, learned func(picture int) bool, without ...string) (*Ranker, error) {
	if err := r.Validate(); err != nil {
		return nil, err
	}
	var used []int32
	objects := false
	for i, picture := range t.from {
		if learned == nil || learned(int(picture)) {
			used = append(used, int32(i))
			objects = objects || t.targets[i] > 0
		}
	}
	if !objects {
		return nil, fmt.Errorf("objectness: none of %d boxes overlaps an object by more than half: want pictures with objects", len(used))
	}
	columns := slices.Clone(t.columns)
	for f, name := range features {
		if slices.ContainsFunc(without, func(p string) bool { return p != "" && strings.HasPrefix(name, p) }) {
			columns[f] = nil
		}
	}
	s, err := newSamples(ctx, &r, columns, mirror(), t.targets, t.weights, used)
	if err != nil {
		return nil, err
	}
	m, err := r.train(ctx, s)
	if err != nil {
		return nil, err
	}
	metadata.Pictures, metadata.Boxes = t.pictures, t.boxes
	return &Ranker{File: File{Format: formatVersion, Metadata: metadata, Features: slices.Clone(features), Model: *m}}, nil
}

func (r *TrainOptions) train(ctx context.Context, s *samples) (*Model, error) {
	m := &Model{Means: s.means, Scales: s.scales}
	var err error
	if r.Network.Epochs > 0 {
		if m.Network, err = r.Network.train(ctx, r, s); err != nil {
			return nil, err
		}
	}
	if r.Trees.Trees > 0 {
		if m.Trees, err = r.Trees.train(ctx, r, s); err != nil {
			return nil, err
		}
	}
	m.prepare()
	return m, nil
}

// Validate reports the first setting that is out of range.
func (r *TrainOptions) Validate() error {
	part := func(v float64) bool { return v > 0 && v <= 1 }
	b, d := &r.Trees, &r.Network
	switch {
	case b.Trees == 0 && d.Epochs == 0:
		return errors.New("objectness: neither trees nor epochs of a network: want one of them")
	case b.Trees < 0 || b.Trees > maxTrees:
		return fmt.Errorf("objectness: %d trees: want 0 to %d", b.Trees, maxTrees)
	case b.Trees > 0 && !(part(b.Rate) && part(b.Subsample) && part(b.ColSample)):
		return fmt.Errorf("objectness: rate %v, subsample %v, colsample %v: want numbers in (0,1]", b.Rate, b.Subsample, b.ColSample)
	case b.Trees > 0 && (!(b.L2 > 0) || math.IsInf(b.L2, 0)):
		return fmt.Errorf("objectness: ridge %v: want a number above 0", b.L2)
	case d.Epochs < 0 || d.Epochs > maxEpochs:
		return fmt.Errorf("objectness: %d epochs: want 0 to %d", d.Epochs, maxEpochs)
	case d.Epochs > 0 && (d.Units < 0 || d.Units > maxUnits):
		return fmt.Errorf("objectness: %d units: want 0 to %d", d.Units, maxUnits)
	case d.Epochs > 0 && (d.Batch < 1 || d.Batch > maxBatch):
		return fmt.Errorf("objectness: batches of %d: want 1 to %d", d.Batch, maxBatch)
	case d.Epochs > 0 && !(part(d.Rate) && d.Dropout >= 0 && d.Dropout < 1):
		return fmt.Errorf("objectness: rate %v, dropout %v of the network: want a number in (0,1], and one in [0,1)", d.Rate, d.Dropout)
	}
	return r.Loss.Validate()
}

const (
	maxEpochs = 1000
	maxBatch  = 1 << 16
)
