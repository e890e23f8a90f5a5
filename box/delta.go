package box

import (
	"fmt"
	"math"
)

// Delta is what box regression learns: the way from a proposal p to the true box g,
// dx, dy, dw and dh, of the appendix C of Girshick et al., "Rich feature hierarchies
// for accurate object detection and semantic segmentation" (CVPR 2014):
//
//	dx = (gx−px)/pw    dw = log(gw/pw)
//	dy = (gy−py)/ph    dh = log(gh/ph)
//
// with x and y of the centre. Boxes are half-open, so w is X1−X0, as in Detectron2; the
// authors' Caffe code has boxes that include their last pixel, and adds 1.
type Delta [4]float64

// DeltaWeights multiply the four numbers of a [Delta], to make them of like size for
// training. Each is in [MinDeltaWeight,MaxDeltaWeight]. The zero DeltaWeights are all 1.
type DeltaWeights [4]float64

// The bounds of a weight.
const (
	MinDeltaWeight = 1e-6
	MaxDeltaWeight = 1e6
)

// Detectron2Weights are the weights of Detectron2's box head: the standard deviations
// 0.1, 0.1, 0.2 and 0.2 of py-faster-rcnn, inverted.
var Detectron2Weights = DeltaWeights{10, 10, 5, 5}

// MaxDeltaScale is what [DeltaWeights.Decode] takes dw and dh for that are larger, once the
// weights are out: log(1000/16), from a box of 16 pixels to one of 1000, as in Detectron2. It
// keeps an early guess from overflowing. There is no bound the other way.
var MaxDeltaScale = math.Log(1000.0 / 16)

// Validate reports the first weight that is out of range.
func (w DeltaWeights) Validate() error {
	for i, v := range w {
		if w != (DeltaWeights{}) && !(v >= MinDeltaWeight && v <= MaxDeltaWeight) {
			return fmt.Errorf("box: delta weight %d is %v: want a number in [%g,%g]", i, v, MinDeltaWeight, MaxDeltaWeight)
		}
	}
	return nil
}

// ones are the weights, with the zero ones as 1.
func (w DeltaWeights) ones() DeltaWeights {
	if err := w.Validate(); err != nil {
		panic(err)
	}
	if w == (DeltaWeights{}) {
		return DeltaWeights{1, 1, 1, 1}
	}
	return w
}

// Encode is the delta from one box to another. It panics if one of them is empty or w is
// not valid. Last bits may differ between architectures, as those of math.Log do.
func (w DeltaWeights) Encode(from, to Box) Delta {
	if from.Empty() || to.Empty() {
		panic(fmt.Sprintf("box: Encode from %v to %v: want boxes that are not empty", from, to))
	}
	w = w.ones()
	pw, ph := span(from.X0, from.X1), span(from.Y0, from.Y1)
	return Delta{
		w[0] * ((centre(to.X0, to.X1) - centre(from.X0, from.X1)) / (2 * pw)), // centre is twice the place
		w[1] * ((centre(to.Y0, to.Y1) - centre(from.Y0, from.Y1)) / (2 * ph)),
		w[2] * math.Log(span(to.X0, to.X1)/pw),
		w[3] * math.Log(span(to.Y0, to.Y1)/ph),
	}
}

// Decode is the way back, rounded to whole pixels: the box that d leads to from a box.
// Nothing clips it to the picture, but coordinates that int32 does not hold become the
// nearest that it does. Of what [DeltaWeights.Encode] gives it is the box that was encoded,
// unless that is more than e^MaxDeltaScale = 62.5 times as wide or high. If one of the four
// is NaN, it is the zero Box. It panics if from is empty or w is not valid.
func (w DeltaWeights) Decode(from Box, d Delta) Box {
	if from.Empty() {
		panic(fmt.Sprintf("box: Decode from %v: want a box that is not empty", from))
	}
	w = w.ones()
	for i, v := range d {
		if math.IsNaN(v) {
			return Box{}
		}
		d[i] = v / w[i]
	}
	side := func(a, b int32, shift, scale float64) (int32, int32) {
		c := centre(a, b)/2 + float64(shift*span(a, b)) // not fused
		half := float64(span(a, b) / 2 * math.Exp(min(scale, MaxDeltaScale)))
		return nearest(c - half), nearest(c + half)
	}
	var b Box
	b.X0, b.X1 = side(from.X0, from.X1, d[0], d[2])
	b.Y0, b.Y1 = side(from.Y0, from.Y1, d[1], d[3])
	return b
}

// nearest is the whole number nearest to v, of those in int32; halves go up.
func nearest(v float64) int32 {
	return int32(min(max(math.Floor(v+0.5), math.MinInt32), math.MaxInt32))
}
