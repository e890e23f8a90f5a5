// Package train trains rankers of package objectness from images with annotated objects.
//
//	trainer := train.NewTrainer(1)
//	for i, img := range images {
//		opts.Ranker = trainer.Hook(i, objects[i]) // collects training samples
//		_, err := selective.Search(ctx, img, opts)
//		...
//	}
//	ranker, err := trainer.Train(ctx, train.DefaultOptions(), objectness.Metadata{}, nil)
//
// A model is the mean of gradient-boosted oblivious trees and a small neural network, under
// any loss of package imbalance.
package train

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
	"github.com/proposer/proposer/objectness"
	"github.com/proposer/proposer/objectness/internal/feature"
)

// A Trainer collects samples with Add and trains rankers from them. It keeps the features of
// the candidates that it samples: about 1,300 bytes each, and about 1,500 candidates of an
// image; training takes three quarters as much on top. It is not safe for concurrent use.
type Trainer struct {
	seed      uint64
	extractor feature.Extractor
	block     feature.Block

	columns [][]float32 // the samples' features, by feature
	targets []float32
	weights []float32
	images  []int32 // by sample: the index of its image

	imageCount, boxCount int
}

// NewTrainer returns a Trainer whose sampling is seeded.
func NewTrainer(seed uint64) *Trainer {
	return &Trainer{seed: seed, columns: make([][]float32, feature.Count())}
}

// Candidates without an object are by far the most, so they are sampled: a quarter of them,
// and fewer if an image has more than maxBackground·4 candidates. Each sample is weighted by
// the inverse of the fraction.
const (
	maxBackgroundFraction = 0.25
	maxBackground         = 1250
)

// maxBackgroundIoU is the IoU below which a candidate counts as background.
const maxBackgroundIoU = 0.4

// objectWeight is the square of the weight of all candidates of an object together, in units
// of the square root of their targets' sum: large objects have hundreds of good candidates,
// small ones a few, and each object is to be found once.
const objectWeight = 20

// targetOf returns the training target of a candidate whose largest IoU with an object is iou:
// 0 up to .5, 1 at 1, and linear in between, as average recall counts it.
func targetOf(iou float64) float64 { return 2 * min(max(iou-.5, 0), .5) }

// Add samples the candidates of an image, given the match of each. The image is an index of
// the caller's, by which [Trainer.Train] selects images. The only errors are the context's;
// after one the trainer must not be used. It panics if there are not as many matches as
// candidates.
func (t *Trainer) Add(ctx context.Context, image int, set *candidate.Set, matches []Match) error {
	if len(matches) != len(set.Candidates) {
		panic(fmt.Sprintf("train: Add: %d matches for %d candidates", len(matches), len(set.Candidates)))
	}
	sampled := t.sample(image, matches)
	defer t.extractor.Release()
	if err := t.extractor.Reset(ctx, set); err != nil {
		return err
	}
	next := 0
	for from := 0; from < len(matches); from += feature.BlockSize {
		if err := ctx.Err(); err != nil {
			return err
		}
		to := min(from+feature.BlockSize, len(matches))
		t.block.Compute(&t.extractor, from, to)
		for ; next < len(sampled) && sampled[next] < to; next++ {
			for f := range t.columns {
				t.columns[f] = append(t.columns[f], t.block.Columns[f][sampled[next]-from])
			}
		}
	}
	return nil
}

// sample appends the targets and weights of the candidates that it samples, and returns their
// indices.
func (t *Trainer) sample(image int, matches []Match) (sampled []int) {
	sums := map[int]float64{} // by object: of the targets of its candidates
	for _, m := range matches {
		sums[m.Object] += targetOf(m.IoU)
	}
	rng := rand.New(rand.NewPCG(t.seed, uint64(image)))
	t.imageCount++
	t.boxCount += len(matches)
	fraction := min(maxBackgroundFraction, maxBackground/float64(len(matches)))
	for i, m := range matches {
		target, weight := targetOf(m.IoU), float32(1)
		switch {
		case target > 0:
			weight = float32(math.Sqrt(objectWeight / sums[m.Object]))
		case m.Ignore:
			continue
		case m.IoU < maxBackgroundIoU:
			if rng.Float64() >= fraction {
				continue
			}
			weight = float32(1 / fraction)
		}
		sampled = append(sampled, i)
		t.targets = append(t.targets, float32(target))
		t.weights = append(t.weights, weight)
		t.images = append(t.images, int32(image))
	}
	return sampled
}

// Samples returns the number of samples.
func (t *Trainer) Samples() int { return len(t.targets) }

// Options configure the training of a model.
type Options struct {
	Loss imbalance.Loss
	// Trees and Network are the parts of the model. One of them may be left out, by 0 trees or
	// 0 epochs.
	Trees   Boosting
	Network AdamOptions
	// Exclude names groups of features that are not used; see [FeatureGroups].
	Exclude []string
	Seed    uint64
	// Threads is the maximum number of goroutines, at least 1. It does not affect the model.
	Threads int
	// Progress, if not nil, is called after each of steps steps of a part of the model, "trees"
	// or "network", with the mean training loss.
	Progress func(part string, step, steps int, loss float64)
}

// DefaultOptions returns options that suit some hundreds of images.
func DefaultOptions() Options {
	return Options{
		Loss:    imbalance.CrossEntropy(),
		Trees:   Boosting{Trees: 400, Rate: .08, L2: 20, Subsample: .25, ColSample: .4},
		Network: AdamOptions{Units: 15, Epochs: 10, Batch: 1024, Rate: .002, Dropout: .2},
		Seed:    1,
		Threads: 1,
	}
}

// FeatureGroups returns the names of the groups of features.
func FeatureGroups() []string { return feature.Groups() }

// Validate reports the first option that is out of range.
func (o *Options) Validate() error {
	fraction := func(v float64) bool { return v > 0 && v <= 1 }
	b, n := &o.Trees, &o.Network
	switch {
	case b.Trees == 0 && n.Epochs == 0:
		return errors.New("train: neither trees nor epochs of a network: want one of them")
	case b.Trees < 0 || b.Trees > objectness.MaxTrees:
		return fmt.Errorf("train: %d trees: want 0 to %d", b.Trees, objectness.MaxTrees)
	case b.Trees > 0 && !(fraction(b.Rate) && fraction(b.Subsample) && fraction(b.ColSample)):
		return fmt.Errorf("train: rate %v, subsample %v, colsample %v of the trees: want numbers in (0,1]", b.Rate, b.Subsample, b.ColSample)
	case b.Trees > 0 && (!(b.L2 > 0) || math.IsInf(b.L2, 0)):
		return fmt.Errorf("train: L2 regularization %v: want a number above 0", b.L2)
	case n.Epochs < 0 || n.Epochs > maxEpochs:
		return fmt.Errorf("train: %d epochs: want 0 to %d", n.Epochs, maxEpochs)
	case n.Epochs > 0 && (n.Units < 0 || n.Units > objectness.MaxUnits):
		return fmt.Errorf("train: %d hidden units: want 0 to %d", n.Units, objectness.MaxUnits)
	case n.Epochs > 0 && (n.Batch < 1 || n.Batch > maxBatch):
		return fmt.Errorf("train: batches of %d: want 1 to %d", n.Batch, maxBatch)
	case n.Epochs > 0 && !(fraction(n.Rate) && n.Dropout >= 0 && n.Dropout < 1):
		return fmt.Errorf("train: rate %v, dropout %v of the network: want a number in (0,1], and one in [0,1)", n.Rate, n.Dropout)
	}
	groups := FeatureGroups()
	for _, name := range o.Exclude {
		if !slices.Contains(groups, name) {
			return fmt.Errorf("train: unknown feature group %q: want some of %s", name, strings.Join(groups, ", "))
		}
	}
	return o.Loss.Validate()
}

const (
	maxEpochs = 1000
	maxBatch  = 1 << 16
)

// Train trains a ranker from the samples of the images for which include returns true, or of
// all if it is nil. It sets the numbers of images and boxes in the metadata. Errors are those
// of Validate, samples without an object, and the context's.
func (t *Trainer) Train(ctx context.Context, opts Options, metadata objectness.Metadata, include func(image int) bool) (*objectness.Ranker, error) {
	if err := opts.Validate(); err != nil {
		return nil, err
	}
	var used []int32
	hasObjects := false
	for i, image := range t.images {
		if include == nil || include(int(image)) {
			used = append(used, int32(i))
			hasObjects = hasObjects || t.targets[i] > 0
		}
	}
	if !hasObjects {
		return nil, fmt.Errorf("train: none of %d boxes overlaps an object by more than half: want images with objects", len(used))
	}
	columns := slices.Clone(t.columns)
	for f, name := range feature.Names() {
		if slices.Contains(opts.Exclude, feature.Group(name)) {
			columns[f] = nil
		}
	}
	s, err := newSamples(ctx, &opts, columns, feature.Mirror(), t.targets, t.weights, used)
	if err != nil {
		return nil, err
	}
	m, err := opts.train(ctx, s)
	if err != nil {
		return nil, err
	}
	metadata.Images = t.imageCount
	metadata.Boxes = t.boxCount
	return objectness.New(m, metadata)
}

// CrossValidate trains folds rankers, each from all images but those whose index is i modulo
// folds. The result ranks image i by rankers[i%folds], which was not trained with it. Progress
// is called after each, if not nil.
func (t *Trainer) CrossValidate(
	ctx context.Context, opts Options, metadata objectness.Metadata, folds int, progress func(),
) (rankers []*objectness.Ranker, err error) {
	for k := range folds {
		r, err := t.Train(ctx, opts, metadata, func(image int) bool { return image%folds != k })
		if err != nil {
			return nil, err
		}
		rankers = append(rankers, r)
		if progress != nil {
			progress()
		}
	}
	return rankers, nil
}

// train trains the parts of a model.
func (o *Options) train(ctx context.Context, s *samples) (*objectness.Model, error) {
	m := &objectness.Model{Means: s.means, Scales: s.scales}
	var err error
	if o.Network.Epochs > 0 {
		if m.Network, err = o.Network.train(ctx, o, s); err != nil {
			return nil, err
		}
	}
	if o.Trees.Trees > 0 {
		if m.Trees, err = o.Trees.train(ctx, o, s); err != nil {
			return nil, err
		}
	}
	return m, nil
}

func (o *Options) progress(part string, step, steps int, loss float64) {
	if o.Progress != nil {
		o.Progress(part, step, steps, loss)
	}
}

// parallel calls f(0) to f(n−1) on the threads. The only error is the context's.
func (o *Options) parallel(ctx context.Context, n int, f func(i int)) error {
	var wg sync.WaitGroup
	threads := max(1, min(o.Threads, n))
	for t := range threads {
		wg.Go(func() {
			for i := t; i < n && ctx.Err() == nil; i += threads {
				f(i)
			}
		})
	}
	wg.Wait()
	return ctx.Err()
}
