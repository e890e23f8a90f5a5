package rois

import (
	"fmt"
	"maps"
	"slices"

	"github.com/proposer/proposer/box"
	"github.com/proposer/proposer/dataset"
)

// Classes returns the names of the classes of the objects of a data set, sorted. The index of a
// name is the number of the class.
func Classes(d *dataset.Dataset) []string {
	names := map[string]bool{}
	for i := range d.Images {
		for j := range d.Images[i].Objects {
			names[d.Images[i].Objects[j].Class] = true
		}
	}
	return slices.Sorted(maps.Keys(names))
}

// GroundTruthOf returns the ground truth of the objects of an image, in pixels of the image, whose
// size is given; see [dataset.Image.Orient]. The map classes gives the number of each class by name,
// see [Classes]. Objects that are difficult (VOC) or iscrowd (COCO) are crowds. Corners are rounded to
// the nearest pixel. Unlike [ParseGroundTruth], GroundTruthOf accepts boxes that extend beyond the
// image, which data sets contain: it clips them, and omits those that become empty. No slice of the
// result is nil. GroundTruthOf panics if classes lacks the class of an object.
func GroundTruthOf(objects []dataset.Object, width, height int, classes map[string]int) GroundTruth {
	t := GroundTruth{Boxes: []box.Box{}, Classes: []int{}, Crowd: []bool{}}
	for i := range objects {
		o := &objects[i]
		class, ok := classes[o.Class]
		if !ok {
			panic(fmt.Sprintf("rois: GroundTruthOf: unknown class %q: want the classes of the data set", o.Class))
		}
		b, _ := roundToPixels([4]float64{o.X0, o.Y0, o.X1, o.Y1}, width, height)
		if b.Empty() {
			continue
		}
		t.Boxes = append(t.Boxes, b)
		t.Classes = append(t.Classes, class)
		t.Crowd = append(t.Crowd, o.Difficult)
	}
	return t
}
