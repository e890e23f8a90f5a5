package imbalance

import (
	"context"
	"fmt"

	"github.com/proposer/proposer/box"
)

// Label is what a RoI teaches.
type Label int8

const (
	Ignore     Label = iota - 1 // nothing: it is never sampled
	Background                  // the RoI holds no object
	Foreground                  // the RoI holds an object
)

// RoI is a region of interest after labelling.
type RoI struct {
	Label Label
	// Truth is the true box of the largest IoU, the first of equals, or −1 if none
	// is touched. It is given for background, too.
	GroundTruth int32
	// IoU is with that box, in [0,1].
	IoU float64
}

// Thresholds turn an IoU into a label.
type Thresholds struct {
	// Foreground is the least IoU of foreground, in (0,1].
	Foreground float64
	// Background is where background lies, at least [0] and below [1], with
	// 0 ≤ [0] ≤ [1] ≤ Foreground. What is in neither is ignored.
	Background [2]float64
	// Crowd is the least share of a RoI's area in a crowd region from which a RoI
	// that is not foreground is ignored, in (0,1]; 0 is never.
	Crowd float64
}

// FastRCNNThresholds are the thresholds of Girshick, "Fast R-CNN" (ICCV 2015, §2.3): from 0.5
// foreground, in [0.1,0.5) background. The lower bound is, as the paper says, a
// heuristic for hard examples; it loses those that are hard but far from any object,
// which is why [OHEM] comes without. The paper has no crowd regions; for them
// COCO's evaluation takes the IoU threshold, 0.5.
func FastRCNNThresholds() Thresholds {
	return Thresholds{Foreground: 0.5, Background: [2]float64{0.1, 0.5}, Crowd: 0.5}
}

// FasterRCNNThresholds are the thresholds in use since, in Detectron2 among others: all that
// is below 0.5 is background.
func FasterRCNNThresholds() Thresholds {
	return Thresholds{Foreground: 0.5, Background: [2]float64{0, 0.5}, Crowd: 0.5}
}

// Validate reports the first field that is out of range.
func (t Thresholds) Validate() error {
	low, high := t.Background[0], t.Background[1]
	switch {
	case !(t.Foreground > 0 && t.Foreground <= 1):
		return fmt.Errorf("imbalance: foreground from IoU %v: want a number in (0,1]", t.Foreground)
	case !(low >= 0 && low <= high && high <= t.Foreground):
		return fmt.Errorf("imbalance: background in [%v,%v): want it in [0,%v)", low, high, t.Foreground)
	case !(t.Crowd >= 0 && t.Crowd <= 1):
		return fmt.Errorf("imbalance: crowd from %v: want a number in (0,1], or 0 for never", t.Crowd)
	}
	return nil
}

// Label labels each RoI by its largest IoU with the true boxes. A crowd region
// holds objects that nobody drew apart: as in COCO's evaluation, what a RoI shares
// with it is measured over the RoI's area alone, and the RoI ignored unless it has
// an object of its own. An empty RoI is ignored.
//
// Whoever wants the true boxes among the examples, as Fast R-CNN's training does,
// appends them to the RoIs. It takes time in RoIs × (truth + crowd). It panics if
// t is not valid; the only errors are the context's.
func (t Thresholds) Label(ctx context.Context, rois, truth, crowd []box.Box) ([]RoI, error) {
	if err := t.Validate(); err != nil {
		panic(err)
	}
	labelled := make([]RoI, len(rois))
	for i, b := range rois {
		if i%256 == 0 {
			if err := ctx.Err(); err != nil {
				return nil, err
			}
		}
		labelled[i] = t.label(b, truth, crowd)
	}
	return labelled, nil
}

func (t Thresholds) label(b box.Box, truth, crowd []box.Box) RoI {
	r := RoI{Label: Ignore, GroundTruth: -1}
	for j, c := range truth {
		if iou := b.IoU(c); iou > r.IoU {
			r.IoU, r.GroundTruth = iou, int32(j)
		}
	}
	switch {
	case b.Empty():
	case r.IoU >= t.Foreground:
		r.Label = Foreground
	case t.Crowd > 0 && crowded(b, crowd, t.Crowd):
	case r.IoU >= t.Background[0] && r.IoU < t.Background[1]:
		r.Label = Background
	}
	return r
}

// crowded tells whether a share of b's area, of at least least, lies in one of the crowd regions.
func crowded(b box.Box, crowd []box.Box, least float64) bool {
	for _, c := range crowd {
		if float64(b.Intersect(c).Area()) >= least*float64(b.Area()) {
			return true
		}
	}
	return false
}
