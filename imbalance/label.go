package imbalance

import (
	"context"
	"fmt"

	"github.com/proposer/proposer/box"
)

// Label is the class of a RoI in training.
type Label int8

const (
	Ignore     Label = iota - 1 // neither: never sampled
	Background                  // contains no object
	Foreground                  // contains an object
)

// RoI is a labeled region of interest.
type RoI struct {
	Label Label
	// GroundTruth is the index of the ground-truth box with the largest IoU, the first of equal ones,
	// or −1 if the RoI overlaps none. Background also has one.
	GroundTruth int32
	// IoU is the IoU with that box, in [0,1].
	IoU float64
}

// Thresholds determine the label of a RoI.
type Thresholds struct {
	// Foreground is the smallest IoU of foreground, in (0,1].
	Foreground float64
	// Background is the range [low,high) of the IoU of background, with 0 ≤ low ≤ high ≤ Foreground.
	// RoIs in neither range are ignored.
	Background [2]float64
	// Crowd is the fraction of a RoI's area in a crowd region from which a RoI is ignored unless it is
	// foreground, in (0,1]; 0 stands for never.
	Crowd float64
}

// FastRCNNThresholds returns the thresholds of Girshick, "Fast R-CNN" (ICCV 2015, §2.3): foreground
// from 0.5, background in [0.1,0.5). The lower bound is a heuristic for hard examples, as the paper
// says. It excludes hard examples that are far from any object, so [OHEM] should be used without it.
// The paper has no crowd regions; their threshold is that of the IoU, 0.5, as in COCO's evaluation.
func FastRCNNThresholds() Thresholds {
	return Thresholds{Foreground: 0.5, Background: [2]float64{0.1, 0.5}, Crowd: 0.5}
}

// FasterRCNNThresholds returns the thresholds of later detectors, such as Detectron2's: foreground from
// 0.5, all else background.
func FasterRCNNThresholds() Thresholds {
	return Thresholds{Foreground: 0.5, Background: [2]float64{0, 0.5}, Crowd: 0.5}
}

// Validate returns an error for the first field that is out of range.
func (t Thresholds) Validate() error {
	low, high := t.Background[0], t.Background[1]
	switch {
	case !(t.Foreground > 0 && t.Foreground <= 1):
		return fmt.Errorf("imbalance: foreground from IoU %v: want a number in (0,1]", t.Foreground)
	case !(low >= 0 && low <= high && high <= t.Foreground):
		return fmt.Errorf("imbalance: background in [%v,%v): want a range in [0,%v)", low, high, t.Foreground)
	case !(t.Crowd >= 0 && t.Crowd <= 1):
		return fmt.Errorf("imbalance: crowd from %v: want a number in (0,1], or 0 for never", t.Crowd)
	}
	return nil
}

// Label labels each RoI by its largest IoU with the ground-truth boxes. Empty RoIs are ignored. A crowd
// region contains objects that are not annotated one by one: as in COCO's evaluation, its overlap with
// a RoI is relative to the area of the RoI, and the RoI is ignored unless it is foreground.
//
// To have the ground-truth boxes among the examples, as in the training of Fast R-CNN, append them to
// the RoIs. Label takes time proportional to RoIs × (ground truth + crowd). It panics if t is invalid;
// the only errors are the context's.
func (t Thresholds) Label(ctx context.Context, rois, groundTruth, crowd []box.Box) ([]RoI, error) {
	if err := t.Validate(); err != nil {
		panic(err)
	}
	labeled := make([]RoI, len(rois))
	for i, b := range rois {
		if i%256 == 0 {
			if err := ctx.Err(); err != nil {
				return nil, err
			}
		}
		labeled[i] = t.label(b, groundTruth, crowd)
	}
	return labeled, nil
}

func (t Thresholds) label(b box.Box, groundTruth, crowd []box.Box) RoI {
	r := RoI{Label: Ignore, GroundTruth: -1}
	for j, c := range groundTruth {
		if iou := b.IoU(c); iou > r.IoU {
			r.IoU, r.GroundTruth = iou, int32(j)
		}
	}
	switch {
	case b.Empty():
	case r.IoU >= t.Foreground:
		r.Label = Foreground
	case t.Crowd > 0 && inCrowd(b, crowd, t.Crowd):
	case r.IoU >= t.Background[0] && r.IoU < t.Background[1]:
		r.Label = Background
	}
	return r
}

// inCrowd reports whether at least a fraction of b's area is in one of the crowd regions.
func inCrowd(b box.Box, crowd []box.Box, fraction float64) bool {
	for _, c := range crowd {
		if float64(b.Intersect(c).Area()) >= fraction*float64(b.Area()) {
			return true
		}
	}
	return false
}
