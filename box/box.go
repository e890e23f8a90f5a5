// Package box defines axis-aligned boxes, their intersection over union, and greedy non-maximum
// suppression.
//
// There is one convention: a [Box] is half-open, [X0,X1) × [Y0,Y1), in pixels, with the origin at
// the top left, x to the right and y down. In text, JSON and arrays it is [x0, y0, x1, y1]. Packages
// that read or write formats with other conventions, such as 1-based inclusive coordinates, convert
// at the edge.
package box

import (
	"encoding/json"
	"fmt"
	"slices"
)

// Box is the half-open rectangle [X0,X1) × [Y0,Y1) in pixels.
// The zero Box is empty.
type Box struct {
	X0, Y0, X1, Y1 int32
}

// Width returns X1−X0.
func (b Box) Width() int32 { return b.X1 - b.X0 }

// Height returns Y1−Y0.
func (b Box) Height() int32 { return b.Y1 - b.Y0 }

// Empty reports whether b contains no pixels.
func (b Box) Empty() bool { return b.X0 >= b.X1 || b.Y0 >= b.Y1 }

// Area returns the number of pixels in b, which is 0 if b is empty. Width and height must fit int32.
func (b Box) Area() int64 {
	if b.Empty() {
		return 0
	}
	return int64(b.X1-b.X0) * int64(b.Y1-b.Y0)
}

// Union returns the smallest box that contains b and c. Empty boxes are ignored.
func (b Box) Union(c Box) Box {
	switch {
	case b.Empty():
		return c
	case c.Empty():
		return b
	}
	return Box{min(b.X0, c.X0), min(b.Y0, c.Y0), max(b.X1, c.X1), max(b.Y1, c.Y1)}
}

// Intersect returns the box of the pixels in both b and c, or the zero Box if there are none.
func (b Box) Intersect(c Box) Box {
	r := Box{max(b.X0, c.X0), max(b.Y0, c.Y0), min(b.X1, c.X1), min(b.Y1, c.Y1)}
	if r.Empty() {
		return Box{}
	}
	return r
}

// IoU returns the area of the intersection divided by the area of the union, in [0,1].
// It is 0 if either box is empty.
func (b Box) IoU(c Box) float64 {
	inter := b.Intersect(c).Area()
	if inter == 0 {
		return 0
	}
	return float64(inter) / float64(b.Area()+c.Area()-inter)
}

// Rescale maps a box in an image of width × height to the same image resized to toWidth ×
// toHeight, each edge with [Rescale]. The whole image maps to the whole image, containment is
// preserved, and a box that is not empty does not become empty in a larger image.
func (b Box) Rescale(width, height, toWidth, toHeight int) Box {
	return Box{
		Rescale(b.X0, width, toWidth), Rescale(b.Y0, height, toHeight),
		Rescale(b.X1, width, toWidth), Rescale(b.Y1, height, toHeight),
	}
}

// Rescale returns v·to/from for v ≥ 0, rounded to the nearest integer, halves up.
func Rescale(v int32, from, to int) int32 {
	return int32((2*int64(v)*int64(to) + int64(from)) / (2 * int64(from)))
}

// String returns [x0 y0 x1 y1].
func (b Box) String() string { return fmt.Sprintf("[%d %d %d %d]", b.X0, b.Y0, b.X1, b.Y1) }

// MarshalJSON encodes b as [x0,y0,x1,y1].
func (b Box) MarshalJSON() ([]byte, error) {
	return fmt.Appendf(nil, "[%d,%d,%d,%d]", b.X0, b.Y0, b.X1, b.Y1), nil
}

// UnmarshalJSON decodes [x0,y0,x1,y1], which must be four integers.
func (b *Box) UnmarshalJSON(data []byte) error {
	var v []*int32 // pointers detect null
	if err := json.Unmarshal(data, &v); err != nil {
		return fmt.Errorf("box: want [x0,y0,x1,y1]: %w", err)
	}
	if len(v) != 4 || slices.Contains(v, nil) {
		return fmt.Errorf("box: %s: want four numbers, [x0,y0,x1,y1]", data)
	}
	*b = Box{*v[0], *v[1], *v[2], *v[3]}
	return nil
}
