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

// Sample is what a sampler took.
type Sample struct {
	// Indices are of RoIs, each at most once: foreground, ascending, then background, ascending.
	Indices []int32
	// Foreground and Background are how many there are of each.
	Foreground, Background int
	// MissingForeground is how many fewer there are than the sampler's share of
	// foreground asks for, Missing how many fewer in all than its size.
	MissingForeground, Missing int
}

// Sampler is how many RoIs to take, and how many of them foreground. Where
// foreground is short, background fills up. Where background is short, the sample
// is: more foreground than its share is never taken.
type Sampler struct {
	// Size is the number of RoIs, at least 0.
	Size int
	// Foreground is the share of foreground, in [0,1], rounded to whole RoIs.
	ForegroundFraction float64
}

// FastRCNNSampler is a quarter of 128: the batch of Fast R-CNN (§2.3), which is 64
// RoIs from each of two pictures. Detectron2's default is Sampler{512, 0.25} a picture.
func FastRCNNSampler() Sampler { return Sampler{128, 0.25} }

// Random takes foreground and background uniformly, without replacement (Fast
// R-CNN, §2.3). Equal generators give equal samples, as rand.New(rand.NewPCG(seed, 0))
// for equal seeds. It takes linear time, and panics if q is out of range.
func (q Sampler) Random(rng *rand.Rand, rois []RoI) Sample {
	return q.take(rng, rois, func(background []int32, n int) []int32 { return choose(rng, background, n) })
}

// IoUBalanced takes foreground uniformly and background from bins of equal width in
// IoU, which divide t.Background: N/bins, rounded down, uniformly from each, and
// what is then missing of N uniformly from all that is left (Pang et al., "Libra
// R-CNN", CVPR 2019, §3.1, with 3 bins). Uniform sampling would take most from the lowest
// bin, where most of background is. Of an IoU outside t.Background the nearest bin
// is taken. The paper also takes equally many foreground RoIs for each true box;
// this does not.
//
// It takes linear time, and panics if q or t is out of range or bins below 1.
func (q Sampler) IoUBalanced(rng *rand.Rand, rois []RoI, t Thresholds, bins int) Sample {
	if err := t.Validate(); err != nil {
		panic(err)
	}
	if bins < 1 {
		panic(fmt.Sprintf("imbalance: IoUBalanced: %d bins", bins))
	}
	low, width := t.Background[0], t.Background[1]-t.Background[0]
	return q.take(rng, rois, func(background []int32, n int) []int32 {
		parts := make([][]int32, bins)
		for _, i := range background {
			k := 0
			if width > 0 {
				k = int(min(max((rois[i].IoU-low)/width*float64(bins), 0), float64(bins-1)))
			}
			parts[k] = append(parts[k], i)
		}
		var taken, left []int32
		for _, part := range parts {
			chosen := choose(rng, part, n/bins)
			taken = append(taken, chosen...)
			left = append(left, part[len(chosen):]...)
		}
		return append(taken, choose(rng, left, n-len(taken))...)
	})
}

// take fills the quota, with background as it is given, n at most.
func (q Sampler) take(rng *rand.Rand, rois []RoI, background func(all []int32, n int) []int32) Sample {
	if q.Size < 0 || !(q.ForegroundFraction >= 0 && q.ForegroundFraction <= 1) {
		panic(fmt.Sprintf("imbalance: a quota of %d RoIs, %v of them foreground: want a size of at least 0, a share in [0,1]", q.Size, q.ForegroundFraction))
	}
	share := int(math.Round(float64(q.Size) * q.ForegroundFraction))
	fg := choose(rng, with(rois, Foreground), share)
	bg := background(with(rois, Background), q.Size-len(fg))
	s := sample(fg, bg)
	s.MissingForeground, s.Missing = share-len(fg), q.Size-len(s.Indices)
	return s
}

// with is the RoIs with a label, ascending.
func with(rois []RoI, l Label) []int32 {
	var found []int32
	for i, r := range rois {
		if r.Label == l {
			found = append(found, int32(i))
		}
	}
	return found
}

// choose moves n elements, uniformly drawn, or all if there are fewer, to the front.
func choose(rng *rand.Rand, from []int32, n int) []int32 {
	if n >= len(from) {
		return from
	}
	for i := range n {
		j := i + rng.IntN(len(from)-i)
		from[i], from[j] = from[j], from[i]
	}
	return from[:n:n]
}

// sample is foreground and background in the order of [Sample.Indices].
func sample(fg, bg []int32) Sample {
	slices.Sort(fg)
	slices.Sort(bg)
	return Sample{Indices: slices.Concat(fg, bg), Foreground: len(fg), Background: len(bg)}
}

// OHEMNMS is the suppression of Shrivastava et al. for [OHEM].
func OHEMNMS() box.NMS { return box.NMS{Threshold: 0.7} }

// OHEM is online hard example mining (Shrivastava, Gupta, Girshick, "Training
// Region-based Object Detectors with Online Hard Example Mining", CVPR 2016, §4):
// the size RoIs of the largest loss, whatever their label but Ignore, after a
// suppression in which the loss is the score. Without it the loss of one spot would
// count many times. Of equal losses the first RoI comes first.
//
// Boxes and losses are those of the RoIs. Errors are a [*DataError], if a loss is
// NaN, and the context's. It panics if lengths differ, size is negative or nms not
// valid. Time is that of sorting and of [box.NMS.Keep].
func OHEM(ctx context.Context, rois []RoI, boxes []box.Box, losses []float64, size int, nms box.NMS) (Sample, error) {
	if len(boxes) != len(rois) || size < 0 {
		panic(fmt.Sprintf("imbalance: Hardest: %d of %d RoIs, %d boxes", size, len(rois), len(boxes)))
	}
	order := slices.Concat(with(rois, Foreground), with(rois, Background))
	if err := hardestFirst(order, rois, losses); err != nil {
		return Sample{}, err
	}
	sorted := make([]box.Box, len(order))
	for k, i := range order {
		sorted[k] = boxes[i]
	}
	kept, err := nms.Keep(ctx, sorted, max(size, 1)) // 0 is all
	if err != nil {
		return Sample{}, err
	}
	var fg, bg []int32
	for _, k := range kept[:min(size, len(kept))] {
		if i := order[k]; rois[i].Label == Foreground {
			fg = append(fg, i)
		} else {
			bg = append(bg, i)
		}
	}
	s := sample(fg, bg)
	s.Missing = size - len(s.Indices)
	return s, nil
}

// HardNegatives takes all foreground, and for each of them the ratio background
// RoIs of the largest loss, together and rounded down: 3 in Liu et al., "SSD" (ECCV 2016,
// §2.2). Where there is no foreground it takes nothing. Of equal losses the first
// RoI comes first. Missing counts the background that is short.
//
// The only error is a [*DataError], if a loss is NaN. It panics if there is not one
// loss a RoI, or ratio is negative or not finite. Time is that of sorting.
func HardNegatives(rois []RoI, losses []float64, ratio float64) (Sample, error) {
	if !weight(ratio) {
		panic(fmt.Sprintf("imbalance: HardNegatives: ratio %v: want a finite number of at least 0", ratio))
	}
	fg, bg := with(rois, Foreground), with(rois, Background)
	if err := hardestFirst(bg, rois, losses); err != nil {
		return Sample{}, err
	}
	asked := ratio * float64(len(fg))
	want := int(min(asked, math.MaxInt32))
	s := sample(fg, bg[:min(want, len(bg))])
	s.Missing = want - s.Background
	return s, nil
}

// hardestFirst sorts RoIs by loss, falling, then number.
func hardestFirst(order []int32, rois []RoI, losses []float64) error {
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
