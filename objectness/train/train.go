// Package train trains rankers of package objectness from images with annotated objects.
//
//	trainer := train.NewTrainer(train.DefaultSampling())
//	for i, img := range images {
//		hook := trainer.Hook(i, train.Labels{Objects: objects[i]})
//		opts.Ranker = hook // collects training samples
//		_, err := selective.Search(ctx, img, opts)
//		...
//		trainer.Add(hook)
//	}
//	ranker, err := trainer.Train(ctx, train.DefaultOptions(), objectness.Metadata{}, nil)
//
// A model is the mean of gradient-boosted oblivious trees and a small neural network, under
// any loss of package imbalance.
package train

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strings"
	"sync"

	"github.com/proposer/proposer/imbalance"
	"github.com/proposer/proposer/internal/freelist"
	"github.com/proposer/proposer/internal/kernels"
	"github.com/proposer/proposer/objectness"
	"github.com/proposer/proposer/objectness/internal/feature"
)

// Sampling says which candidates of an image are samples.
type Sampling struct {
	Seed uint64
	// MaxSamples is the maximum number of samples of an image, separately of those on the
	// background and of the others.
	MaxSamples int
	// Ranker scores the candidates, which chooses those that a search joins, if it does. They are
	// samples as well, and MaxSamples applies to them separately. Without it the scores are 0.
	Ranker *objectness.Ranker
}

// DefaultSampling returns a sampling that suits some hundreds of images.
func DefaultSampling() Sampling { return Sampling{Seed: 1, MaxSamples: 1250} }

// A Trainer keeps the samples of images and trains rankers from them. A sample takes a byte for each
// feature. Training takes little more: 8 bytes a sample, a byte for each feature of the samples that
// a tree is grown on, and for each of the 2^18 samples that are shuffled at a time for the network.
//
// Features are quantized after they are standardized, by the mean and deviation of the first samples,
// about 2^17, so images should be added in random order. Until then samples take four times as much.
//
// Only Hook and its search are safe for concurrent use.
type Trainer struct {
	sampling   Sampling
	workspaces freelist.List[workspace]

	pending       []sampleBlock // samples that are not quantized yet
	means, scales []float32     // by feature; nil before they are known
	levels        levels

	targets []float32
	weights []float32
	images  []int32 // by sample: the index of its image

	imageCount, boxCount int
}

// workspace is the memory to compute features.
type workspace struct {
	extractor feature.Extractor
	block     feature.Block
}

// standardizedBy is the number of samples, about, by which features are standardized.
const standardizedBy = 1 << 17

// NewTrainer returns a Trainer without samples. It panics if MaxSamples is below 1.
func NewTrainer(sampling Sampling) *Trainer {
	if sampling.MaxSamples < 1 {
		panic(fmt.Sprintf("train: NewTrainer: at most %d samples of an image: want at least 1", sampling.MaxSamples))
	}
	return &Trainer{sampling: sampling, levels: levels{features: feature.Count()}}
}

// maxBackgroundFraction is the fraction of the background that is sampled, as it is by far the most.
// Samples are weighted by the inverse of the fraction.
const maxBackgroundFraction = 0.25

// maxBackgroundIoU is the IoU below which a candidate counts as background.
const maxBackgroundIoU = 0.4

// objectWeight is the square of the weight of all candidates of an object together, in units
// of the square root of their targets' sum: large objects have hundreds of good candidates,
// small ones a few, and each object is to be found once.
const objectWeight = 20

// targetOf returns the training target of a candidate whose largest IoU with an object is iou:
// 0 up to .5, 1 at 1, and linear in between, as average recall counts it.
func targetOf(iou float64) float64 { return 2 * min(max(iou-.5, 0), .5) }

// Add adds the samples of a hook after its search, and takes them from it. Models depend on the order
// in which hooks are added.
func (t *Trainer) Add(h *Hook) {
	t.imageCount++
	t.boxCount += h.boxes
	t.targets = append(t.targets, h.targets...)
	t.weights = append(t.weights, h.weights()...)
	for range h.targets {
		t.images = append(t.images, int32(h.image))
	}
	if t.means != nil {
		t.quantize(h.blocks)
	} else if t.pending = append(t.pending, h.blocks...); len(t.targets) >= standardizedBy {
		t.standardize(feature.Mirror())
	}
	*h = Hook{}
}

// standardize standardizes and quantizes the pending samples.
func (t *Trainer) standardize(mirror []int) {
	t.means, t.scales = make([]float32, len(mirror)), make([]float32, len(mirror))
	for f, m := range mirror {
		t.means[f], t.scales[f] = standardize(t.pending, f, m)
	}
	t.quantize(t.pending)
	t.pending = nil
}

// quantize adds samples.
func (t *Trainer) quantize(blocks []sampleBlock) {
	quantized := make([][feature.BlockSize]int8, t.levels.features)
	for i := range blocks {
		b := &blocks[i]
		kernels.QuantizeColumns(quantized, b.columns, t.means, t.scales, objectness.FeatureRange)
		t.levels.add(quantized, b.n)
	}
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
		Trees:   Boosting{Trees: 400, Rate: .08, L2: 20, Subsample: .25, ColSample: .4, MaxSamples: 500_000},
		Network: AdamOptions{Units: []int{15}, Epochs: 10, Batch: 1024, Rate: .002, Dropout: .2},
		Seed:    1,
		Threads: 1,
	}
}

// FeatureGroups returns the names of the groups of features.
func FeatureGroups() []string { return feature.Groups() }

// An OptionError reports an option that is out of range.
type OptionError struct {
	Option string // name of the field, such as "Trees.Rate"
	Value  any
	Want   string // such as "a number above 0, at most 1"
}

func (e *OptionError) Error() string {
	return fmt.Sprintf("train: %s %v: want %s", e.Option, e.Value, e.Want)
}

// Validate reports the first option that is out of range: an [OptionError], or an error of the loss.
func (o *Options) Validate() error {
	b, n := &o.Trees, &o.Network
	check := func(name string, value any, ok bool, want string) error {
		if ok {
			return nil
		}
		return &OptionError{name, value, want}
	}
	whole := func(name string, value, low, high int) error {
		return check(name, value, value >= low && value <= high, fmt.Sprintf("%d to %d", low, high))
	}
	fraction := func(name string, value float64) error {
		return check(name, value, value > 0 && value <= 1, "a number above 0, at most 1")
	}
	errs := []error{
		whole("Trees.Trees", b.Trees, 0, objectness.MaxTrees),
		whole("Network.Epochs", n.Epochs, 0, maxEpochs),
	}
	if b.Trees == 0 {
		errs = append(errs, check("Network.Epochs", n.Epochs, n.Epochs != 0, "at least 1 if there are no trees"))
	} else {
		errs = append(errs,
			fraction("Trees.Rate", b.Rate), fraction("Trees.Subsample", b.Subsample), fraction("Trees.ColSample", b.ColSample),
			check("Trees.L2", b.L2, b.L2 > 0 && !math.IsInf(b.L2, 0), "a number above 0"),
			whole("Trees.MaxSamples", b.MaxSamples, 1, maxTreeSamples),
		)
	}
	if n.Epochs > 0 {
		errs = append(errs,
			check("Network.Units", n.Units, n.validUnits(),
				fmt.Sprintf("0 to %d, and after a first layer at most %d of a second", objectness.MaxUnits, objectness.MaxSecondUnits)),
			whole("Network.Batch", n.Batch, 1, maxBatch),
			fraction("Network.Rate", n.Rate),
			check("Network.Dropout", n.Dropout, n.Dropout >= 0 && n.Dropout < 1, "a number from 0, below 1"),
		)
	}
	groups := FeatureGroups()
	for _, name := range o.Exclude {
		errs = append(errs, check("Exclude", fmt.Sprintf("%q", name), slices.Contains(groups, name), "some of "+strings.Join(groups, ", ")))
	}
	for _, err := range append(errs, o.Loss.Validate()) {
		if err != nil {
			return err
		}
	}
	return nil
}

const (
	maxTreeSamples = 1 << 24 // so that sums in fixed point are precise
	maxEpochs      = 1000
	maxBatch       = 1 << 16
)

// Train trains a ranker from the samples of the images for which include returns true, or of
// all if it is nil. It sets the numbers of images and boxes in the metadata. Errors are those
// of Validate, samples without an object, and the context's.
func (t *Trainer) Train(ctx context.Context, opts Options, metadata objectness.Metadata, include func(image int) bool) (*objectness.Ranker, error) {
	if err := opts.Validate(); err != nil {
		return nil, err
	}
	if t.means == nil {
		t.standardize(feature.Mirror())
	}
	s := &samples{means: t.means, scales: slices.Clone(t.scales), mirror: feature.Mirror(), levels: &t.levels}
	hasObjects := false
	for i, image := range t.images {
		if include == nil || include(int(image)) {
			s.used = append(s.used, int32(i))
			s.targets = append(s.targets, t.targets[i])
			s.weights = append(s.weights, t.weights[i])
			hasObjects = hasObjects || t.targets[i] > 0
		}
	}
	if !hasObjects {
		return nil, fmt.Errorf("train: none of %d boxes overlaps an object by more than half: want images with objects", len(s.used))
	}
	for f, name := range feature.Names() {
		if slices.Contains(opts.Exclude, feature.Group(name)) {
			s.scales[f] = 0
		}
	}
	m, err := opts.train(ctx, s)
	if err != nil {
		return nil, err
	}
	metadata.Images = t.imageCount
	metadata.Boxes = t.boxCount
	return objectness.New(m, metadata)
}

// CrossValidate trains folds rankers, each from all images but those of an index below images that is
// i modulo folds. The result ranks image i by rankers[i%folds], which was not trained with it. Images
// of other indices train all rankers. Progress is called after each, if not nil.
func (t *Trainer) CrossValidate(
	ctx context.Context, opts Options, metadata objectness.Metadata, images, folds int, progress func(),
) (rankers []*objectness.Ranker, err error) {
	for k := range folds {
		r, err := t.Train(ctx, opts, metadata, func(image int) bool { return image >= images || image%folds != k })
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
