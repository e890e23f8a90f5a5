package train

import (
	"context"
	"math"
	"math/rand/v2"

	"github.com/proposer/proposer/candidate"
	"github.com/proposer/proposer/dataset"
	"github.com/proposer/proposer/objectness/internal/feature"
)

// A Match is the object that a candidate overlaps most.
type Match struct {
	Object int // index of the object
	IoU    float64
	// Ignore marks a candidate that may contain objects without annotation, as in a crowd. It is
	// excluded from training unless it matches an annotated object.
	Ignore bool
}

// minIgnoreIoA is the fraction of a candidate in a difficult object from which it is ignored.
const minIgnoreIoA = .5

// Matches returns the match of each candidate. A candidate is ignored if half of it lies in an
// object that is difficult, which crowds are: nobody annotated what is there one by one.
func Matches(candidates []candidate.Candidate, objects []dataset.Object) []Match {
	matches := make([]Match, len(candidates))
	for i := range candidates {
		b, m := &candidates[i].Box, &matches[i]
		for k := range objects {
			if o := &objects[k]; o.Difficult {
				m.Ignore = m.Ignore || o.IoA(b) >= minIgnoreIoA
			} else if v := o.IoU(b); v > m.IoU {
				m.Object = k
				m.IoU = v
			}
		}
	}
	return matches
}

// Labels are the annotations of an image.
type Labels struct {
	// Objects are in pixels of the searched image. Of difficult ones, see [Matches].
	Objects []dataset.Object
	// Partial says that the image may show objects that are not annotated, such as those of
	// classes that the data set does not have. Candidates that overlap no object by at least
	// MinPartialIoU are then excluded from training: they may contain one.
	Partial bool
	// Weight multiplies the weights of the samples. 0 is 1.
	Weight float64
}

// MinPartialIoU is the IoU with an object from which a candidate of an image with partial labels is
// background: a box of a part of an object, of its surroundings, or of it with others.
const MinPartialIoU = .05

// A Hook samples the candidates of a search. It implements the Ranker interface of package
// selective but scores only if the sampling has a ranker. Without one the result of the search has no
// meaning, and joined candidates would be of arbitrary ones: set Options.Joins to 0.
type Hook struct {
	trainer *Trainer
	image   int
	labels  Labels

	rng     *rand.Rand
	boxes   int             // number of candidates
	sums    map[int]float64 // by object: of the targets of its candidates
	blocks  []sampleBlock
	targets []float32
	objects []int32   // by sample
	factors []float64 // by sample: the weight, but for that of the object
}

// Hook returns a hook for one search of an image, with an index of the caller's, by which
// [Trainer.Train] selects images. After the search, [Trainer.Add] adds the samples. Searches with
// hooks of one trainer may run concurrently.
func (t *Trainer) Hook(image int, labels Labels) *Hook {
	rng := rand.New(rand.NewPCG(t.sampling.Seed, uint64(image)))
	return &Hook{trainer: t, image: image, labels: labels, rng: rng, sums: make(map[int]float64)}
}

// Score samples the candidates, and scores them by the ranker of the sampling, if it has one.
func (h *Hook) Score(ctx context.Context, scores []float32, set *candidate.Set) error {
	if r := h.trainer.sampling.Ranker; r != nil {
		if err := r.Score(ctx, scores, set); err != nil {
			return err
		}
	}
	return h.collect(ctx, set, Matches(set.Candidates, h.labels.Objects))
}

// collect samples the candidates, given the match of each. The only errors are the context's.
func (h *Hook) collect(ctx context.Context, set *candidate.Set, matches []Match) error {
	sampled := h.sample(matches)
	w := h.trainer.workspaces.Get()
	defer h.trainer.workspaces.Put(w)
	defer w.extractor.Release()
	if err := w.extractor.Reset(ctx, set); err != nil {
		return err
	}
	next := 0
	for from := 0; from < len(matches); from += feature.BlockSize {
		if err := ctx.Err(); err != nil {
			return err
		}
		to := min(from+feature.BlockSize, len(matches))
		if next == len(sampled) || sampled[next] >= to {
			continue
		}
		w.block.Compute(&w.extractor, from, to)
		for ; next < len(sampled) && sampled[next] < to; next++ {
			h.append(w.block.Columns, sampled[next]-from)
		}
	}
	return nil
}

// append adds the features of candidate i of a block.
func (h *Hook) append(columns feature.Columns, i int) {
	last := len(h.blocks) - 1
	if last < 0 || h.blocks[last].n == feature.BlockSize {
		h.blocks = append(h.blocks, sampleBlock{columns: make(feature.Columns, len(columns))})
		last++
	}
	b := &h.blocks[last]
	for f := range columns {
		b.columns[f][b.n] = columns[f][i]
	}
	b.n++
}

// kind says what a candidate is sampled as.
type kind int

const (
	excluded kind = iota
	background
	onObject
	numKinds
)

func (h *Hook) kindOf(m Match) kind {
	switch {
	case targetOf(m.IoU) > 0:
		return onObject
	case m.Ignore:
		return excluded
	case m.IoU >= maxBackgroundIoU:
		return onObject
	case h.labels.Partial && m.IoU < MinPartialIoU:
		return excluded
	}
	return background
}

// sample adds the targets and weights of the candidates that it samples, and returns their indices.
// Of the candidates of a kind it draws a number that is fixed, each as likely as the others (Knuth,
// The Art of Computer Programming, 3.4.2, algorithm S).
func (h *Hook) sample(matches []Match) (sampled []int) {
	h.boxes += len(matches)
	var left, wanted [numKinds]int
	for _, m := range matches {
		h.sums[m.Object] += targetOf(m.IoU)
		left[h.kindOf(m)]++
	}
	limit := h.trainer.sampling.MaxSamples
	wanted[background] = min(int(math.Ceil(maxBackgroundFraction*float64(left[background]))), limit)
	wanted[onObject] = min(left[onObject], limit)
	var factors [numKinds]float64
	for k := range factors {
		factors[k] = float64(left[k]) / float64(max(1, wanted[k]))
		if h.labels.Weight > 0 {
			factors[k] *= h.labels.Weight
		}
	}
	for i, m := range matches {
		k := h.kindOf(m)
		if k == excluded {
			continue
		}
		drawn := wanted[k] == left[k] || h.rng.Float64()*float64(left[k]) < float64(wanted[k])
		left[k]--
		if !drawn {
			continue
		}
		wanted[k]--
		sampled = append(sampled, i)
		h.targets = append(h.targets, float32(targetOf(m.IoU)))
		h.objects = append(h.objects, int32(m.Object))
		h.factors = append(h.factors, factors[k])
	}
	return sampled
}

// weights returns the weights of the samples.
func (h *Hook) weights() []float32 {
	weights := make([]float32, len(h.targets))
	for i, w := range h.factors {
		if h.targets[i] > 0 {
			w *= math.Sqrt(objectWeight / h.sums[int(h.objects[i])])
		}
		weights[i] = float32(w)
	}
	return weights
}
