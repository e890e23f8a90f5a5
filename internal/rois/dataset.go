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

// A SizeError reports an image whose size differs from that in its annotations.
type SizeError struct {
	File string
	// Width and Height are the size of the upright image.
	Width, Height int
	// AnnotatedWidth and AnnotatedHeight are the size according to the data set.
	AnnotatedWidth, AnnotatedHeight int
}

func (e *SizeError) Error() string {
	return fmt.Sprintf("rois: %q has %d × %d pixels, its annotations are for %d × %d: want the size of the upright image",
		e.File, e.Width, e.Height, e.AnnotatedWidth, e.AnnotatedHeight)
}

// GroundTruthOf returns the ground truth of an image of a data set, given the size of the upright
// image. The map classes gives the number of each class by name, see [Classes]. Objects that are
// difficult (VOC) or iscrowd (COCO) are crowds. Corners are rounded to the nearest pixel. Unlike
// [ParseGroundTruth], GroundTruthOf accepts boxes that extend beyond the image, which data sets
// contain: it clips them, and omits those that become empty. No slice of the result is nil.
//
// The only error is a [*SizeError]. GroundTruthOf panics if classes lacks a class of the image.
func GroundTruthOf(img *dataset.Image, width, height int, classes map[string]int) (GroundTruth, error) {
	if img.Width > 0 && img.Width != width || img.Height > 0 && img.Height != height {
		return GroundTruth{}, &SizeError{img.File, width, height, img.Width, img.Height}
	}

	t := GroundTruth{Boxes: []box.Box{}, Classes: []int{}, Crowd: []bool{}}
	for i := range img.Objects {
		o := &img.Objects[i]
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
	return t, nil
}
