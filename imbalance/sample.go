package imbalance

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"

	"github.com/proposer/proposer/box"
)

// Sample is a selection of RoIs.
type Sample struct {
	// Indices are the distinct indices of the RoIs: of foreground in ascending order, then of
	// background in ascending order.
	Indices []int32
	// Foreground and Background are the numbers of RoIs of each kind.
	Foreground, Background int
	// MissingForeground is by how many RoIs foreground is short of its fraction, Missing by how many the
	// sample is short of its size.
	MissingForeground, Missing int
}

// Sampler draws a number of RoIs with a fraction of foreground. Missing foreground is replaced by
// background. Missing background is not replaced: there is never more foreground than its fraction.
type Sampler struct {
	// Size is the number of RoIs to draw, at least 0.
	Size int
	// ForegroundFraction is the fraction of foreground, in [0,1]. The number of RoIs is rounded.
	ForegroundFraction float64
}

// FastRCNNSampler returns the minibatch of Fast R-CNN (§2.3): 128 RoIs, a quarter of them foreground.
// In the paper these are 64 RoIs from each of two images. Detectron2's default is 512 RoIs per image,
// with the same fraction.
func FastRCNNSampler() Sampler { return Sampler{Size: 128, ForegroundFraction: 0.25} }

// Random draws foreground and background uniformly without replacement (Fast R-CNN, §2.3). Equal states
// of rng give equal samples; rand.New(rand.NewPCG(seed, 0)) is a good generator. Random takes linear
// time and panics if a field of s is out of range.
func (s Sampler) Random(rng *rand.Rand, rois []RoI) Sample {
	return s.sample(rng, rois, func(background []int32, n int) []int32 { return draw(rng, background, n) })
}

// IoUBalanced draws foreground uniformly and background from bins of IoU (Pang et al., "Libra R-CNN",
// CVPR 2019, §3.1, with 3 bins). The bins divide t.Background evenly. Of N background RoIs, N/bins,
// rounded down, are drawn uniformly from each bin, and the rest uniformly from all that remain. Uniform
// sampling would draw most from the lowest bin, where most of the background is. An IoU outside
// t.Background belongs to the nearest bin. The paper also draws the same number of foreground RoIs for
// each ground-truth box, which IoUBalanced does not.
//
// It takes linear time and panics if s or t is out of range or bins is less than 1.
func (s Sampler) IoUBalanced(rng *rand.Rand, rois []RoI, t Thresholds, bins int) Sample {
	if err := t.Validate(); err != nil {
		panic(err)
	}
	if bins < 1 {
		panic(fmt.Sprintf("imbalance: IoUBalanced: %d bins", bins))
	}
	low, width := t.Background[0], t.Background[1]-t.Background[0]
	return s.sample(rng, rois, func(background []int32, n int) []int32 {
		binned := make([][]int32, bins)
		for _, i := range background {
			k := 0
			if width > 0 {
				k = int(min(max((rois[i].IoU-low)/width*float64(bins), 0), float64(bins-1)))
			}
			binned[k] = append(binned[k], i)
		}
		var drawn, rest []int32
		for _, bin := range binned {
			d := draw(rng, bin, n/bins)
			drawn = append(drawn, d...)
			rest = append(rest, bin[len(d):]...)
		}
		return append(drawn, draw(rng, rest, n-len(drawn))...)
	})
}

// sample draws foreground uniformly and background with a function that returns at most n of all.
func (s Sampler) sample(rng *rand.Rand, rois []RoI, drawBackground func(all []int32, n int) []int32) Sample {
	if s.Size < 0 || !(s.ForegroundFraction >= 0 && s.ForegroundFraction <= 1) {
		panic(fmt.Sprintf("imbalance: %+v: want a size of at least 0 and a fraction in [0,1]", s))
	}
	maxForeground := int(math.Round(float64(s.Size) * s.ForegroundFraction))
	foreground := draw(rng, withLabel(rois, Foreground), maxForeground)
	background := drawBackground(withLabel(rois, Background), s.Size-len(foreground))
	drawn := newSample(foreground, background)
	drawn.MissingForeground = maxForeground - len(foreground)
	drawn.Missing = s.Size - len(drawn.Indices)
	return drawn
}

// withLabel returns the indices of the RoIs with a label in ascending order.
func withLabel(rois []RoI, l Label) []int32 {
	var indices []int32
	for i, r := range rois {
		if r.Label == l {
			indices = append(indices, int32(i))
		}
	}
	return indices
}

// draw moves n elements, drawn uniformly, to the front of from and returns them. If there are no more
// than n it returns all.
func draw(rng *rand.Rand, from []int32, n int) []int32 {
	if n >= len(from) {
		return from
	}
	for i := range n {
		j := i + rng.IntN(len(from)-i)
		from[i], from[j] = from[j], from[i]
	}
	return from[:n:n]
}

// newSample returns the sample of the given RoIs, which it sorts.
func newSample(foreground, background []int32) Sample {
	slices.Sort(foreground)
	slices.Sort(background)
	return Sample{
		Indices:    slices.Concat(foreground, background),
		Foreground: len(foreground),
		Background: len(background),
	}
}

// OHEMNMS returns the suppression that Shrivastava et al. use in [OHEM].
func OHEMNMS() box.NMS { return box.NMS{Threshold: 0.7} }

// OHEM selects the size RoIs with the largest losses, foreground or background (online hard example
// mining: Shrivastava, Gupta, Girshick, "Training Region-based Object Detectors with Online Hard Example
// Mining", CVPR 2016, §4). RoIs that overlap one with a larger loss are suppressed first, as otherwise
// the loss of one object would count many times. Ties are broken by index.
//
// boxes and losses have an element for each RoI. The errors are a [*DataError], if a loss is NaN, and
// the context's. OHEM panics if lengths differ, size is negative or nms is invalid. It takes the time of
// sorting and of [box.NMS.Keep].
func OHEM(
	ctx context.Context, rois []RoI, boxes []box.Box, losses []float64, size int, nms box.NMS,
) (Sample, error) {
	if len(boxes) != len(rois) || size < 0 {
		panic(fmt.Sprintf("imbalance: OHEM: %d of %d RoIs, %d boxes", size, len(rois), len(boxes)))
	}
	order := slices.Concat(withLabel(rois, Foreground), withLabel(rois, Background))
	if err := sortByLoss(order, rois, losses); err != nil {
		return Sample{}, err
	}
	sorted := make([]box.Box, len(order))
	for k, i := range order {
		sorted[k] = boxes[i]
	}
	kept, err := nms.Keep(ctx, sorted, max(size, 1)) // 0 would be all
	if err != nil {
		return Sample{}, err
	}
	var foreground, background []int32
	for _, k := range kept[:min(size, len(kept))] {
		if i := order[k]; rois[i].Label == Foreground {
			foreground = append(foreground, i)
		} else {
			background = append(background, i)
		}
	}
	s := newSample(foreground, background)
	s.Missing = size - len(s.Indices)
	return s, nil
}

// HardNegatives selects all foreground, and for each foreground RoI ratio background RoIs with the
// largest losses, rounded down in total: 3 in Liu et al., "SSD" (ECCV 2016, §2.2). Without foreground
// the sample is empty. Ties are broken by index. Missing counts the background RoIs that are missing.
//
// The only error is a [*DataError], if a loss is NaN. HardNegatives panics if there is not one loss per
// RoI, or ratio is negative or not finite. It takes the time of sorting.
func HardNegatives(rois []RoI, losses []float64, ratio float64) (Sample, error) {
	if !weight(ratio) {
		panic(fmt.Sprintf("imbalance: HardNegatives: ratio %v: want a finite number of at least 0", ratio))
	}
	foreground, background := withLabel(rois, Foreground), withLabel(rois, Background)
	if err := sortByLoss(background, rois, losses); err != nil {
		return Sample{}, err
	}
	n := int(min(ratio*float64(len(foreground)), math.MaxInt32))
	s := newSample(foreground, background[:min(n, len(background))])
	s.Missing = n - s.Background
	return s, nil
}

// sortByLoss sorts indices of RoIs by decreasing loss, then by index.
func sortByLoss(order []int32, rois []RoI, losses []float64) error {
	if len(losses) != len(rois) {
		panic(fmt.Sprintf("imbalance: %d losses for %d RoIs", len(losses), len(rois)))
	}
	for _, i := range order {
		if math.IsNaN(losses[i]) {
			return &DataError{"loss", int(i), losses[i], "a number"}
		}
	}
	slices.SortFunc(order, func(i, j int32) int {
		return cmp.Or(cmp.Compare(losses[j], losses[i]), cmp.Compare(i, j))
	})
	return nil
}
