package rois

import (
	"fmt"
	"maps"
	"slices"

	"github.com/proposer/proposer/box"
	"github.com/proposer/proposer/dataset"
)

// Classes are the names of the classes that a data set has objects of, in order. A class is
// known by its place in them.
func Classes(d *dataset.Dataset) []string {
	names := map[string]bool{}
	for i := range d.Images {
		for j := range d.Images[i].Objects {
			names[d.Images[i].Objects[j].Class] = true
		}
	}
	return slices.Sorted(maps.Keys(names))
}

// A SizeError says that a picture is not the one that its annotations are of.
type SizeError struct {
	File string
	// Width and Height are the upright picture's.
	Width, Height int
	// AnnotatedWidth and AnnotatedHeight are as the data set has them.
	AnnotatedWidth, AnnotatedHeight int
}

func (e *SizeError) Error() string {
	return fmt.Sprintf("rois: %q has %d × %d pixels, and its annotations are of %d × %d: want those of the upright picture",
		e.File, e.Width, e.Height, e.AnnotatedWidth, e.AnnotatedHeight)
}

// GroundTruthOf is the truth of a data set's picture, which is known to be of width × height pixels
// when it stands upright. Classes are the places of [Classes]; what is difficult, in VOC, or
// iscrowd, in COCO, is a crowd. Boxes are rounded to the nearest pixel as in [ParseGroundTruth]; but
// where that refuses one they are cut to the picture, and left out if no pixel remains, as
// data sets have some that end beyond the edge. No list is nil.
//
// The only error is a [*SizeError], if the data set tells another size. It panics if
// classes lack one of the picture's.
func GroundTruthOf(img *dataset.Image, width, height int, classes map[string]int) (GroundTruth, error) {
	if img.Width > 0 && img.Width != width || img.Height > 0 && img.Height != height {
		return GroundTruth{}, &SizeError{img.File, width, height, img.Width, img.Height}
	}
	t := GroundTruth{Boxes: []box.Box{}, Classes: []int{}, Crowd: []bool{}}
	for i := range img.Objects {
		o := &img.Objects[i]
		class, ok := classes[o.Class]
		if !ok {
			panic(fmt.Sprintf("rois: TruthOf: no class %q: want those of the picture's data set", o.Class))
		}
		b, _ := pixels([4]float64{o.X0, o.Y0, o.X1, o.Y1}, width, height)
		if b.Empty() {
			continue
		}
		t.Boxes, t.Classes, t.Crowd = append(t.Boxes, b), append(t.Classes, class), append(t.Crowd, o.Difficult)
	}
	return t, nil
}
