package rois

import (
	"fmt"
	"math"

	"github.com/proposer/proposer/box"
)

// Delta is the target of box regression: the offsets dx, dy, dw and dh from a proposal p to a
// ground-truth box g, as defined in appendix C of Girshick et al., "Rich feature hierarchies
// for accurate object detection and semantic segmentation" (CVPR 2014):
//
//	dx = (gx−px)/pw    dw = log(gw/pw)
//	dy = (gy−py)/ph    dh = log(gh/ph)
//
// where x and y are the coordinates of the center. Boxes are half-open, so the width is X1−X0,
// as in Detectron2. The authors' Caffe code includes the last pixel and adds 1.
type Delta [4]float64

// DeltaWeights multiply the four components of a [Delta] so that they have similar magnitudes
// in training. Each weight is in [MinDeltaWeight,MaxDeltaWeight]. The zero DeltaWeights are all 1.
type DeltaWeights [4]float64

// MinDeltaWeight and MaxDeltaWeight bound a weight.
const (
	MinDeltaWeight = 1e-6
	MaxDeltaWeight = 1e6
)

// Detectron2Weights are the weights of Detectron2's box head: the inverses of py-faster-rcnn's
// standard deviations 0.1, 0.1, 0.2 and 0.2.
var Detectron2Weights = DeltaWeights{10, 10, 5, 5}

// Validate returns an error for the first weight that is out of range.
func (w DeltaWeights) Validate() error {
	if w == (DeltaWeights{}) {
		return nil
	}
	for i, v := range w {
		if !(v >= MinDeltaWeight && v <= MaxDeltaWeight) {
			return fmt.Errorf("rois: delta weight %d is %v: want a number in [%g,%g]", i, v, MinDeltaWeight, MaxDeltaWeight)
		}
	}
	return nil
}

// withDefault returns w, or all ones for the zero value.
func (w DeltaWeights) withDefault() DeltaWeights {
	if err := w.Validate(); err != nil {
		panic(err)
	}
	if w == (DeltaWeights{}) {
		return DeltaWeights{1, 1, 1, 1}
	}
	return w
}

// Encode returns the weighted delta from one box to another. It panics if either box is empty
// or w is invalid. The last bits may differ between architectures, as those of math.Log do.
func (w DeltaWeights) Encode(from, to box.Box) Delta {
	if from.Empty() || to.Empty() {
		panic(fmt.Sprintf("rois: Encode from %v to %v: want boxes that are not empty", from, to))
	}
	w = w.withDefault()
	width, height := length(from.X0, from.X1), length(from.Y0, from.Y1)
	return Delta{
		w[0] * ((doubleCenter(to.X0, to.X1) - doubleCenter(from.X0, from.X1)) / (2 * width)),
		w[1] * ((doubleCenter(to.Y0, to.Y1) - doubleCenter(from.Y0, from.Y1)) / (2 * height)),
		w[2] * math.Log(length(to.X0, to.X1)/width),
		w[3] * math.Log(length(to.Y0, to.Y1)/height),
	}
}

// length returns the length of a side. It is exact: a float64 holds any difference of two int32.
func length(from, to int32) float64 { return float64(to) - float64(from) }

// doubleCenter returns twice the midpoint of a side, which is exact.
func doubleCenter(from, to int32) float64 { return float64(from) + float64(to) }
