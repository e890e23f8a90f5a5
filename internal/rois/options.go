package rois

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/proposer/proposer/imbalance"
	"github.com/proposer/proposer/internal/optparse"
)

// Sampler is a method of sampling RoIs: the IoU thresholds of the labels, and how background is
// drawn.
type Sampler int

const (
	// FastRCNN is the sampler of Girshick, "Fast R-CNN" (ICCV 2015, §2.3): 128 RoIs, at most a
	// quarter of them foreground, whose IoU is at least 0.5; that of background is in [0.1,0.5).
	// The paper draws 64 from each of two images: set Options.Size to 64 for that.
	FastRCNN Sampler = iota
	// Detectron2 is the default of Detectron2: 512 RoIs, at most a quarter foreground; background
	// in [0,0.5).
	Detectron2
	// IoUBalanced is the sampler of Pang et al., "Libra R-CNN" (CVPR 2019, §3.1): as Detectron2,
	// but background is drawn evenly from three bins of IoU.
	IoUBalanced
)

// iouBins is the number of bins of IoUBalanced.
const iouBins = 3

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

// Samplers returns the names that [ParseSampler] accepts.
func Samplers() []string {
	names := make([]string, len(samplers))
	for i, s := range samplers {
		names[i] = s.name
	}
	return names
}

// ParseSampler returns the sampler with the given name.
func ParseSampler(s string) (Sampler, error) {
	if i := slices.Index(Samplers(), s); i >= 0 {
		return Sampler(i), nil
	}
	return 0, fmt.Errorf("rois: sampler %q: want one of %s", s, strings.Join(Samplers(), ", "))
}

// String returns the name of the sampler.
func (s Sampler) String() string { return samplers[s].name }

// Thresholds returns the IoU thresholds of foreground and background.
func (s Sampler) Thresholds() imbalance.Thresholds { return samplers[s].thresholds }

// Options returns the options of the sampler, with the seed 1, ground-truth boxes appended and
// delta weights of 1.
func (s Sampler) Options() Options {
	q := samplers[s].quota
	return Options{s, q.Size, q.ForegroundFraction, 1, true, DeltaWeights{1, 1, 1, 1}}
}

// Options configures [Sample]. Start from [DefaultOptions], [Sampler.Options] or [ParseOptions].
type Options struct {
	Sampler Sampler
	// Size is the number of RoIs, in [1,MaxSize].
	Size int
	// Foreground is the maximum fraction of foreground, in [0,1]; see imbalance.Sampler.
	Foreground float64
	// Seed seeds the random draw.
	Seed uint64
	// AppendGroundTruth adds the ground-truth boxes to the proposals, as the training of Fast R-CNN
	// and of Detectron2 does. Without them an object may have no foreground.
	AppendGroundTruth bool
	// Weights are the weights of the deltas.
	Weights DeltaWeights
}

// Validate returns an error for the first field that is out of range.
func (o Options) Validate() error {
	switch {
	case o.Sampler < 0 || int(o.Sampler) >= len(samplers):
		return fmt.Errorf("rois: sampler %d: want 0 to %d", int(o.Sampler), len(samplers)-1)
	case o.Size < 1 || o.Size > MaxSize:
		return fmt.Errorf("rois: size %d: want 1 to %d", o.Size, MaxSize)
	case !(o.Foreground >= 0 && o.Foreground <= 1):
		return fmt.Errorf("rois: foreground %v: want a number in [0,1]", o.Foreground)
	}
	return o.Weights.Validate()
}

// DefaultOptions returns the options of [FastRCNN], which are also the defaults of [ParseOptions].
func DefaultOptions() Options { return FastRCNN.Options() }

// optionNames is the names of the options, in the order in which errors are reported.
var optionNames = []string{"sampler", "size", "foreground", "rois-seed", "append-truth", "delta-weights"}

// OptionNames returns the names of the options of [ParseOptions].
func OptionNames() []string { return slices.Clone(optionNames) }

// ParseOptions parses options by name, as propose.ParseOptions does. The error joins a
// *propose.OptionError for each of the first invalid options, and the number of the others.
//
//	option         value                                                default
//	sampler        fast-rcnn, detectron2 or iou-balanced                fast-rcnn
//	size           RoIs of a minibatch, 1 to 1048576                    the sampler's, 128 or 512
//	foreground     maximum fraction of foreground, in [0,1]             the sampler's, 0.25
//	rois-seed      seed of the random draw, a uint64                    1
//	append-truth   true or false: add ground-truth boxes to proposals   true
//	delta-weights  weights of dx, dy, dw and dh, such as 10,10,5,5      1,1,1,1
func ParseOptions(values map[string]string) (Options, error) {
	return ReadOptions(optparse.New(values, optionNames))
}

// ReadOptions is [ParseOptions] for a parser that can have other options as well. The error includes
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

// Values returns all options in canonical form: [ParseOptions] of them returns o.
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

// parseBool accepts only true and false, unlike strconv.ParseBool.
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
		// Validate accepts four zeros, which stand for ones.
		w[i], err = optparse.ParseFloat(item, func(v float64) bool { return v >= MinDeltaWeight && v <= MaxDeltaWeight })
		if err != nil {
			return w, err
		}
	}
	return w, nil
}
