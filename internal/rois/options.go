package rois

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/proposer/proposer/imbalance"
	"github.com/proposer/proposer/internal/optparse"
)

// Sampler is a way to draw RoIs: thresholds, and how background is taken.
type Sampler int

const (
	// FastRCNN is that of Girshick, "Fast R-CNN" (ICCV 2015, §2.3): 128 RoIs, a quarter
	// of them foreground, from an IoU of 0.5; background in [0.1,0.5). It has 64 from each
	// of two pictures: who trains like that asks for a size of 64.
	FastRCNN Sampler = iota
	// Detectron2 is its default: 512 RoIs, a quarter foreground; background in [0,0.5).
	Detectron2
	// IoUBalanced is that of Pang et al., "Libra R-CNN" (CVPR 2019, §3.1): as Detectron2,
	// with background evenly from three bins of IoU.
	IoUBalanced
)

const libraBins = 3

// MaxSize is the largest size of a minibatch.
const MaxSize = 1 << 20

var samplers = [...]struct {
	name       string
	quota      imbalance.Sampler
	thresholds imbalance.Thresholds
}{
	FastRCNN:    {"fast-rcnn", imbalance.FastRCNNSampler(), imbalance.FastRCNNThresholds()},
	Detectron2:  {"detectron2", imbalance.Sampler{Size: 512, ForegroundFraction: 0.25}, imbalance.FasterRCNNThresholds()},
	IoUBalanced: {"iou-balanced", imbalance.Sampler{Size: 512, ForegroundFraction: 0.25}, imbalance.FasterRCNNThresholds()},
}

// Samplers are the names that [ParseSampler] knows.
func Samplers() []string {
	known := make([]string, len(samplers))
	for i, s := range samplers {
		known[i] = s.name
	}
	return known
}

// ParseSampler reads the name of a sampler.
func ParseSampler(s string) (Sampler, error) {
	if i := slices.Index(Samplers(), s); i >= 0 {
		return Sampler(i), nil
	}
	return 0, fmt.Errorf("rois: sampler %q: want one of %s", s, strings.Join(Samplers(), ", "))
}

// String is the name that [ParseSampler] reads.
func (s Sampler) String() string { return samplers[s].name }

// Thresholds say what is foreground and background to the sampler.
func (s Sampler) Thresholds() imbalance.Thresholds { return samplers[s].thresholds }

// Options are the sampler's, with the seed 1, true boxes appended and deltas as they are.
func (s Sampler) Options() Options {
	q := samplers[s].quota
	return Options{s, q.Size, q.ForegroundFraction, 1, true, DeltaWeights{1, 1, 1, 1}}
}

// Options say how to draw a minibatch. Begin with [DefaultOptions], [Sampler.Options] or
// [ParseOptions].
type Options struct {
	Sampler Sampler
	// Size is the number of RoIs, in [1,MaxSize].
	Size int
	// Foreground is the largest share of foreground, in [0,1]; see imbalance.Sampler.
	Foreground float64
	// Seed is that of the draw.
	Seed uint64
	// AppendTruth puts the true boxes among the proposals, as Fast R-CNN's and
	// Detectron2's training do: without them an object may have no foreground at all.
	AppendGroundTruth bool
	// Weights are those of the deltas.
	Weights DeltaWeights
}

// Validate reports the first field that is out of range.
func (o Options) Validate() error {
	switch {
	case o.Sampler < 0 || int(o.Sampler) >= len(samplers):
		return fmt.Errorf("rois: sampler %d: want 0 to %d", int(o.Sampler), len(samplers)-1)
	case o.Size < 1 || o.Size > MaxSize:
		return fmt.Errorf("rois: size %d: want 1 to %d", o.Size, MaxSize)
	case !(o.Foreground >= 0 && o.Foreground <= 1):
		return fmt.Errorf("rois: a share of foreground of %v: want a number in [0,1]", o.Foreground)
	}
	return o.Weights.Validate()
}

// DefaultOptions are those of [ParseOptions] without any value: those of FastRCNN.
func DefaultOptions() Options { return FastRCNN.Options() }

// names of the options, in the order in which errors about them come.
var names = []string{"sampler", "size", "foreground", "rois-seed", "append-truth", "delta-weights"}

// Names lists the options that [ParseOptions] knows.
func Names() []string { return slices.Clone(names) }

// ParseOptions reads options from their texts, in the manner of pipeline.ParseOptions: all
// that is wrong is reported at once, and the error joins a *pipeline.OptionError each.
//
//	sampler        fast-rcnn, detectron2 or iou-balanced; fast-rcnn
//	size           RoIs of a minibatch, 1 to 1048576; the sampler's, 128 or 512
//	foreground     largest share of foreground among them, in [0,1]; the sampler's, 0.25
//	rois-seed      of the draw, a uint64; 1
//	append-truth   true: the true boxes are among the proposals; false; true
//	delta-weights  of dx, dy, dw and dh, separated by commas, as 10,10,5,5 in
//	               Detectron2; 1,1,1,1
func ParseOptions(values map[string]string) (Options, error) {
	return ReadOptions(optparse.New(values, names))
}

// ReadOptions is [ParseOptions] for a parser that may have other options, too. The error includes
// those that the parser already has.
func ReadOptions(r *optparse.Parser) (Options, error) {
	sampler := FastRCNN
	optparse.Value(r, "sampler", "one of "+strings.Join(Samplers(), ", "), ParseSampler, &sampler)
	o := sampler.Options()
	r.Int("size", 1, MaxSize, &o.Size)
	optparse.Value(r, "foreground", "a number from 0 to 1", func(s string) (float64, error) {
		return optparse.ParseFloat(s, func(v float64) bool { return v >= 0 && v <= 1 })
	}, &o.Foreground)
	r.Uint64("rois-seed", &o.Seed)
	optparse.Value(r, "append-truth", "true or false", parseBool, &o.AppendGroundTruth)
	optparse.Value(r, "delta-weights",
		fmt.Sprintf("four numbers from %g to %g, separated by commas", MinDeltaWeight, MaxDeltaWeight), parseWeights, &o.Weights)
	if err := r.Err(); err != nil {
		return Options{}, err
	}
	return o, nil
}

// Values is the canonical form of what [ParseOptions] read: every option, in a text that
// reads as the same.
func (o Options) Values() map[string]string {
	weights := make([]string, len(o.Weights))
	for i, v := range o.Weights {
		weights[i] = fmt.Sprint(v)
	}
	return map[string]string{
		"sampler":       o.Sampler.String(),
		"size":          strconv.Itoa(o.Size),
		"foreground":    fmt.Sprint(o.Foreground),
		"rois-seed":     strconv.FormatUint(o.Seed, 10),
		"append-truth":  strconv.FormatBool(o.AppendGroundTruth),
		"delta-weights": strings.Join(weights, ","),
	}
}

// parseBool takes less than strconv's.
func parseBool(s string) (bool, error) {
	if s != "true" && s != "false" {
		return false, strconv.ErrSyntax
	}
	return s == "true", nil
}

func parseWeights(s string) (w DeltaWeights, err error) {
	items := strings.SplitN(s, ",", len(w)+1)
	if len(items) != len(w) {
		return w, strconv.ErrSyntax
	}
	for i, item := range items {
		// Not Validate alone, for which four zeros are ones.
		w[i], err = optparse.ParseFloat(item, func(v float64) bool { return v >= MinDeltaWeight && v <= MaxDeltaWeight })
		if err != nil {
			return w, err
		}
	}
	return w, nil
}
