// Package rois samples the regions of interest (RoIs) on which the second stage of a detector
// trains: a minibatch of the proposals of an image, with labels, classes and box-regression
// targets.
//
//	groundTruth, err := rois.ParseGroundTruth(data, width, height, 0)
//	...
//	m, err := rois.Sample(ctx, proposals, groundTruth, rois.DefaultOptions())
//
// [Sample] labels proposals by their IoU with the ground-truth boxes (imbalance.Thresholds), draws
// a sample with a bounded fraction of foreground (imbalance.Sampler), and encodes the deltas to the
// matched boxes ([DeltaWeights]). [GroundTruthOf] converts the annotations of a data set, and [NPZ]
// writes minibatches for numpy.load. docs/imbalance.md lists the sources.
package rois

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"

	"github.com/proposer/proposer/box"
	"github.com/proposer/proposer/imbalance"
)

// Minibatch is a sample of RoIs. Its slices are indexed by RoI; none but Classes is nil.
type Minibatch struct {
	// Options are the options of the sample.
	Options Options
	// Boxes are the RoIs: foreground, then background, each in the order of Indices.
	Boxes []box.Box
	// Indices are the indices of the RoIs in the pool: the proposals, followed by the ground-truth
	// boxes that were appended.
	Indices []int32
	// Labels are imbalance.Foreground or imbalance.Background.
	Labels []imbalance.Label
	// Classes are the classes of the matched ground-truth boxes, −1 for background; nil if the
	// ground truth has no classes. (NPZ has the number of classes for background, which is not known
	// here.)
	Classes []int
	// Matches are the indices of the matched ground-truth boxes, −1 for background. The match is
	// the box of the highest IoU, the first of equals.
	Matches []int
	// IoUs are the highest IoUs with a ground-truth box that is not a crowd, also for background.
	IoUs []float64
	// Deltas are the deltas from the RoIs to their ground-truth boxes, nil for background.
	Deltas []*Delta
	// Foreground and Background are the numbers of RoIs. MissingForeground is the number of
	// foreground RoIs by which the sample falls short of Options.Foreground, Missing that by which
	// it falls short of Options.Size.
	Foreground, Background     int
	MissingForeground, Missing int
	// Ratio is Background/Foreground, or +Inf without foreground.
	Ratio float64
	// Alpha is the weight of foreground, for imbalance.Balanced, that gives both labels the same
	// total weight in training on this minibatch.
	Alpha float64
	// Pool describes the boxes that the sample was drawn from.
	Pool Pool
}

// Pool counts the boxes that a minibatch is drawn from: the proposals and the appended ground-truth
// boxes.
type Pool struct {
	Foreground int `json:"foreground"`
	Background int `json:"background"`
	// Ignored counts boxes that are neither: their IoU is between the thresholds or below that of
	// background, or they lie in a crowd.
	Ignored int `json:"ignored"`
	// Alpha is as [Minibatch.Alpha], for training on the whole pool instead of a sample.
	Alpha float64 `json:"-"`
}

// Sample draws a minibatch from the proposals of an image. Crowd boxes are not objects: proposals
// in a crowd are ignored, see imbalance.Thresholds.Label. If o.AppendGroundTruth is set, the
// ground-truth boxes that are not among the proposals are appended to them; a box occurs twice only
// if it is proposed twice. For an image without objects, all RoIs are background, and with
// [FastRCNN] there are none, because their IoU must be at least 0.1.
//
// Equal arguments give equal minibatches, except that the last bits of deltas may differ between
// architectures, see [DeltaWeights.Encode]. Sample takes O((proposals + objects) × objects) time.
// It panics if o is invalid or the slices of the ground truth differ in length. The only errors are
// those of ctx.
func Sample(ctx context.Context, proposals []box.Box, groundTruth GroundTruth, o Options) (*Minibatch, error) {
	if err := o.Validate(); err != nil {
		panic(err)
	}
	objects, indices, crowd := groundTruth.split()
	pool := proposals
	if o.AppendGroundTruth {
		pool = appendMissing(proposals, objects)
	}
	labeled, err := o.Sampler.Thresholds().Label(ctx, pool, objects, crowd)
	if err != nil {
		return nil, err
	}
	drawn := o.draw(labeled)

	n := len(drawn.Indices)
	m := &Minibatch{
		Options:           o,
		Boxes:             make([]box.Box, n),
		Indices:           drawn.Indices,
		Labels:            make([]imbalance.Label, n),
		Matches:           make([]int, n),
		IoUs:              make([]float64, n),
		Deltas:            make([]*Delta, n),
		Foreground:        drawn.Foreground,
		Background:        drawn.Background,
		MissingForeground: drawn.MissingForeground,
		Missing:           drawn.Missing,
		Ratio:             math.Inf(1),
		Alpha:             alpha(drawn.Foreground, drawn.Background),
	}
	if m.Foreground > 0 {
		m.Ratio = float64(m.Background) / float64(m.Foreground)
	}
	if groundTruth.Classes != nil {
		m.Classes = make([]int, n)
	}
	for k, i := range drawn.Indices {
		r := labeled[i]
		match, class := -1, -1
		if r.Label == imbalance.Foreground {
			match = indices[r.GroundTruth]
			delta := o.Weights.Encode(pool[i], objects[r.GroundTruth])
			m.Deltas[k] = &delta
			if groundTruth.Classes != nil {
				class = groundTruth.Classes[match]
			}
		}
		m.Boxes[k] = pool[i]
		m.Labels[k] = r.Label
		m.Matches[k] = match
		m.IoUs[k] = r.IoU
		if groundTruth.Classes != nil {
			m.Classes[k] = class
		}
	}
	for _, r := range labeled {
		switch r.Label {
		case imbalance.Foreground:
			m.Pool.Foreground++
		case imbalance.Background:
			m.Pool.Background++
		default:
			m.Pool.Ignored++
		}
	}
	m.Pool.Alpha = alpha(m.Pool.Foreground, m.Pool.Background)
	return m, nil
}

// draw draws a sample of the labeled boxes.
func (o Options) draw(labeled []imbalance.RoI) imbalance.Sample {
	rng := rand.New(rand.NewPCG(o.Seed, 0))
	quota := imbalance.Sampler{Size: o.Size, ForegroundFraction: o.Foreground}
	if o.Sampler == IoUBalanced {
		return quota.IoUBalanced(rng, labeled, o.Sampler.Thresholds(), iouBins)
	}
	return quota.Random(rng, labeled)
}

// appendMissing returns a copy of the proposals followed by the objects that are not among them.
func appendMissing(proposals, objects []box.Box) []box.Box {
	missing := map[box.Box]bool{}
	for _, b := range objects {
		missing[b] = true
	}
	for _, b := range proposals {
		delete(missing, b)
	}
	pool := make([]box.Box, len(proposals), len(proposals)+len(missing))
	copy(pool, proposals)
	for _, b := range objects {
		if missing[b] {
			pool = append(pool, b)
			delete(missing, b)
		}
	}
	return pool
}

// alpha returns the weight of foreground if the two labels are weighted by inverse frequency and
// the weights add up to 1, or 0.5 if one of the labels is missing.
func alpha(foreground, background int) float64 {
	if foreground == 0 || background == 0 {
		return 0.5
	}
	w := imbalance.InverseFrequency(1e-12, int64(foreground), int64(background))
	return w[0] / (w[0] + w[1])
}

// AppendJSON appends the minibatch of an image file of width × height pixels as a JSON object,
// without a newline:
//
//	{"file":"a.jpg","width":640,"height":480,"sampler":"fast-rcnn","seed":1,
//	"rois":[[x0,y0,x1,y1],...],"labels":[1,...,0,...],"classes":[3,...,-1,...],
//	"truth":[0,...,-1,...],"ious":[0.8,...],"deltas":[[dx,dy,dw,dh],...,null,...],
//	"foreground":32,"background":96,"missing_foreground":0,"missing":0,"ratio":3,"alpha":0.75,
//	"pool":{"foreground":41,"background":1200,"ignored":759}}
//
// The field classes is absent if the ground truth has no classes, and ratio is null without
// foreground. Deltas and alpha have the precision of float32, IoUs and ratio that of float64. Bytes
// of the file name that are not valid UTF-8 become U+FFFD.
func (m *Minibatch) AppendJSON(dst []byte, file string, width, height int) []byte {
	o := struct {
		File       string            `json:"file"`
		Width      int               `json:"width"`
		Height     int               `json:"height"`
		Sampler    string            `json:"sampler"`
		Seed       uint64            `json:"seed"`
		RoIs       []box.Box         `json:"rois"`
		Labels     []imbalance.Label `json:"labels"`
		Classes    []int             `json:"classes,omitzero"`
		Truth      []int             `json:"truth"`
		IoUs       []float64         `json:"ious"`
		Deltas     []*[4]float32     `json:"deltas"`
		Foreground int               `json:"foreground"`
		Background int               `json:"background"`

		MissingForeground int      `json:"missing_foreground"`
		Missing           int      `json:"missing"`
		Ratio             *float64 `json:"ratio"`
		Alpha             float32  `json:"alpha"`
		Pool              Pool     `json:"pool"`
	}{
		file, width, height, m.Options.Sampler.String(), m.Options.Seed,
		m.Boxes, m.Labels, m.Classes, m.Matches, m.IoUs, make([]*[4]float32, len(m.Deltas)),
		m.Foreground, m.Background, m.MissingForeground, m.Missing, nil, float32(m.Alpha), m.Pool,
	}
	for i, d := range m.Deltas {
		if d != nil {
			o.Deltas[i] = &[4]float32{float32(d[0]), float32(d[1]), float32(d[2]), float32(d[3])}
		}
	}
	if m.Foreground > 0 {
		o.Ratio = &m.Ratio
	}
	var text bytes.Buffer
	e := json.NewEncoder(&text)
	e.SetEscapeHTML(false)
	if err := e.Encode(o); err != nil {
		panic(fmt.Sprintf("rois: AppendJSON: invalid minibatch: %v", err))
	}
	return append(dst, bytes.TrimSuffix(text.Bytes(), []byte("\n"))...)
}
