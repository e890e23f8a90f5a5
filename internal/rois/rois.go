// Package rois makes of the proposals and the true boxes of a picture the minibatch of
// regions of interest that the second stage of a detector trains on: which RoIs, what
// they hold, and the way from each to its object.
//
//	truth, err := rois.ParseTruth(data, width, height, 0)
//	...
//	m, err := rois.Sample(ctx, proposals, truth, rois.DefaultOptions())
//
// RoIs are labelled by their IoU with the true boxes (imbalance.Thresholds), drawn so
// that a share of them is foreground (imbalance.Sampler), and told the deltas to the box they
// were matched with (DeltaWeights). Those of a data set ([GroundTruthOf]) are written for
// numpy.load ([NPZ]). docs/imbalance.md has the sources.
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

// Minibatch is what was drawn. Its lists go with one another; none is nil but Classes.
type Minibatch struct {
	// Options are those it was drawn by.
	Options Options
	// Boxes are the RoIs: foreground, then background, each by its place in the pool.
	Boxes []box.Box
	// Indices are these places: below the number of proposals a proposal's, from there on
	// those of the true boxes that were appended.
	Indices []int32
	// Labels are imbalance.Foreground or imbalance.Background.
	Labels []imbalance.Label
	// Classes are those of the matched true boxes, −1 for background; nil if the truth has
	// none. The number of classes, which Detectron2 has for background, is not known here.
	Classes []int
	// Truth is the number of the true box that the RoI was matched with: the one of the
	// largest IoU, the first of equals. It is −1 for background, whatever that touches.
	Matches []int
	// IoUs are the largest with any true box that is not a crowd, those of background too.
	IoUs []float64
	// Deltas lead from the RoI to its true box; nil for background.
	Deltas []*Delta
	// Foreground and Background are how many RoIs there are of each, MissingForeground how
	// many fewer than the share of foreground asks for, Missing how many fewer than Size.
	Foreground, Background     int
	MissingForeground, Missing int
	// Ratio is Background/Foreground, +Inf without foreground.
	Ratio float64
	// Alpha is the weight of foreground that makes both kinds of the minibatch count alike:
	// the α of imbalance.Balanced for who trains on these RoIs.
	Alpha float64
	// Pool is what they were drawn from.
	Pool Pool
}

// Pool counts what a minibatch is drawn from: the proposals and the true boxes appended.
type Pool struct {
	Foreground int `json:"foreground"`
	Background int `json:"background"`
	// Ignored are neither: too near an object, too far from any, or in a crowd.
	Ignored int `json:"ignored"`
	// Alpha is as [Minibatch.Alpha], for who trains on the whole pool and not a sample of it.
	Alpha float64 `json:"-"`
}

// Sample draws a minibatch from the proposals of a picture. Crowd regions are no objects:
// what lies in one is ignored, see imbalance.Thresholds.Label. If o.AppendTruth, the true
// boxes that are not among the proposals are appended to them, so no box is drawn twice
// that is not proposed twice. A picture without objects gives background, and under
// [FastRCNN] nothing, as no RoI has an IoU of 0.1.
//
// Equal arguments give equal minibatches, but for the last bits of deltas on other
// architectures, see DeltaWeights.Encode. It takes time in (proposals + truth) × truth.
// It panics if o is not valid or the truth's lists differ in length; the only errors are the
// context's.
func Sample(ctx context.Context, proposals []box.Box, truth GroundTruth, o Options) (*Minibatch, error) {
	if err := o.Validate(); err != nil {
		panic(err)
	}
	objects, numbers, crowd := truth.split()
	pool := proposals
	if o.AppendGroundTruth {
		pool = appendMissing(proposals, objects)
	}
	labelled, err := o.Sampler.Thresholds().Label(ctx, pool, objects, crowd)
	if err != nil {
		return nil, err
	}
	drawn := o.draw(labelled)

	n := len(drawn.Indices)
	m := &Minibatch{
		Options: o,
		Boxes:   make([]box.Box, n), Indices: drawn.Indices,
		Labels: make([]imbalance.Label, n), Matches: make([]int, n),
		IoUs: make([]float64, n), Deltas: make([]*Delta, n),
		Foreground: drawn.Foreground, Background: drawn.Background,
		MissingForeground: drawn.MissingForeground, Missing: drawn.Missing,
		Ratio: math.Inf(1),
		Alpha: alpha(drawn.Foreground, drawn.Background),
	}
	if m.Foreground > 0 {
		m.Ratio = float64(m.Background) / float64(m.Foreground)
	}
	if truth.Classes != nil {
		m.Classes = make([]int, n)
	}
	for k, i := range drawn.Indices {
		r, number, class := labelled[i], -1, -1
		if r.Label == imbalance.Foreground {
			number = numbers[r.GroundTruth]
			delta := o.Weights.Encode(pool[i], objects[r.GroundTruth])
			m.Deltas[k] = &delta
			if truth.Classes != nil {
				class = truth.Classes[number]
			}
		}
		m.Boxes[k], m.Labels[k], m.Matches[k], m.IoUs[k] = pool[i], r.Label, number, r.IoU
		if truth.Classes != nil {
			m.Classes[k] = class
		}
	}
	for _, r := range labelled {
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

// draw takes RoIs as the sampler does.
func (o Options) draw(labelled []imbalance.RoI) imbalance.Sample {
	rng := rand.New(rand.NewPCG(o.Seed, 0))
	quota := imbalance.Sampler{Size: o.Size, ForegroundFraction: o.Foreground}
	if o.Sampler == IoUBalanced {
		return quota.IoUBalanced(rng, labelled, o.Sampler.Thresholds(), libraBins)
	}
	return quota.Random(rng, labelled)
}

// appendMissing appends, to a copy, the objects that are not there yet.
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

// alpha is the share of foreground's weight in the sum of imbalance.InverseFrequency's
// two, which is background's share of the RoIs. Where one of the two is missing there is
// nothing to balance, and each has a half.
func alpha(foreground, background int) float64 {
	if foreground == 0 || background == 0 {
		return 0.5
	}
	w := imbalance.InverseFrequency(1e-12, int64(foreground), int64(background))
	return w[0] / (w[0] + w[1])
}

// AppendJSON appends the minibatch of a file, of width × height pixels, as an object
// without a line's end:
//
//	{"file":"a.jpg","width":640,"height":480,"sampler":"fast-rcnn","seed":1,
//	"rois":[[x0,y0,x1,y1],...],"labels":[1,...,0,...],"classes":[3,...,-1,...],
//	"truth":[0,...,-1,...],"ious":[0.8,...],"deltas":[[dx,dy,dw,dh],...,null,...],
//	"foreground":32,"background":96,"missing_foreground":0,"missing":0,"ratio":3,"alpha":0.75,
//	"pool":{"foreground":41,"background":1200,"ignored":759}}
//
// There are no classes if the truth has none, and ratio is null without foreground.
// Deltas and alpha are float32, as they are trained with; IoUs, which decide on the label,
// and the ratio float64. A byte of the name that is not valid UTF-8 becomes U+FFFD.
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
		panic(fmt.Sprintf("rois: AppendJSON: a minibatch that Sample did not make: %v", err))
	}
	return append(dst, bytes.TrimSuffix(text.Bytes(), []byte("\n"))...)
}
