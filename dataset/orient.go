package dataset

import "fmt"

// A SizeError reports an image whose size differs from that in its annotations.
type SizeError struct {
	File string
	// Width and Height are the size of the upright image.
	Width, Height int
	// AnnotatedWidth and AnnotatedHeight are the size according to the data set.
	AnnotatedWidth, AnnotatedHeight int
}

func (e *SizeError) Error() string {
	return fmt.Sprintf("dataset: %q has %d × %d pixels, its annotations are for %d × %d: want the size of the upright image",
		e.File, e.Width, e.Height, e.AnnotatedWidth, e.AnnotatedHeight)
}

// Orient returns the objects in pixels of the upright image, given its size and the EXIF orientation
// of the file. Many data sets are annotated in pixels of the stored image, before its orientation is
// applied: if the annotated size is that of the upright image with width and height swapped, and the
// orientation swaps them (5 to 8), Orient turns the boxes with the image and reports turned.
// Otherwise the result is img.Objects itself.
//
// The size cannot tell the stored from the upright image if it is square or not annotated, or if the
// orientation is 2 to 4, which mirror or turn the image by 180°. The objects are then taken to be in
// pixels of the upright image.
//
// The error is a [*SizeError] if the annotated size agrees with neither.
func (img *Image) Orient(width, height, orientation int) (objects []Object, turned bool, err error) {
	agrees := func(width, height int) bool {
		return (img.Width == 0 || img.Width == width) && (img.Height == 0 || img.Height == height)
	}
	if agrees(width, height) {
		return img.Objects, false, nil
	}
	if orientation < 5 || orientation > 8 || !agrees(height, width) {
		return nil, false, &SizeError{img.File, width, height, img.Width, img.Height}
	}
	objects = make([]Object, len(img.Objects))
	for i, o := range img.Objects {
		// Transpose the box, then mirror it where the orientation says so.
		o.X0, o.Y0, o.X1, o.Y1 = o.Y0, o.X0, o.Y1, o.X1
		if orientation == 6 || orientation == 7 {
			o.X0, o.X1 = float64(width)-o.X1, float64(width)-o.X0
		}
		if orientation == 7 || orientation == 8 {
			o.Y0, o.Y1 = float64(height)-o.Y1, float64(height)-o.Y0
		}
		objects[i] = o
	}
	return objects, true, nil
}
