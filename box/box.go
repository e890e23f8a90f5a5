// Package box holds the axis-aligned boxes that every other package speaks in,
// and what one does with them: area, union, intersection over union and
// non-maximum suppression.
//
// There is one convention and it never changes: a [Box] is half-open,
// [X0,X1) × [Y0,Y1), in pixels, origin at the top left, x to the right, y down.
// As text and in arrays it is [x0, y0, x1, y1]. File formats that count from one
// or include the last pixel are converted where they are read or written.
package box

import (
	"encoding/json"
	"fmt"
	"slices"
)

// Box is the half-open rectangle [X0,X1) × [Y0,Y1) in pixels.
// The zero Box is empty. Coordinates of a picture fit int32 with room to spare.
type Box struct {
	X0, Y0, X1, Y1 int32
}

// Width is X1−X0; it is not positive for an empty box.
func (b Box) Width() int32 { return b.X1 - b.X0 }

// Height is Y1−Y0; it is not positive for an empty box.
func (b Box) Height() int32 { return b.Y1 - b.Y0 }

// Empty reports whether the box holds no pixel.
func (b Box) Empty() bool { return b.X0 >= b.X1 || b.Y0 >= b.Y1 }

// Area is the number of pixels in the box, 0 if it is empty. Sides must fit int32.
func (b Box) Area() int64 {
	if b.Empty() {
		return 0
	}
	return int64(b.X1-b.X0) * int64(b.Y1-b.Y0)
}

// Union is the smallest box that holds both b and c; an empty box adds nothing.
func (b Box) Union(c Box) Box {
	switch {
	case b.Empty():
		return c
	case c.Empty():
		return b
	}
	return Box{min(b.X0, c.X0), min(b.Y0, c.Y0), max(b.X1, c.X1), max(b.Y1, c.Y1)}
}

// Intersect is the box of the pixels in both b and c, the zero Box if there are none.
func (b Box) Intersect(c Box) Box {
	r := Box{max(b.X0, c.X0), max(b.Y0, c.Y0), min(b.X1, c.X1), min(b.Y1, c.Y1)}
	if r.Empty() {
		return Box{}
	}
	return r
}

// IoU is the intersection over the union of the two areas, in [0,1].
// It is 0 when either box is empty.
func (b Box) IoU(c Box) float64 {
	inter := b.Intersect(c).Area()
	if inter == 0 {
		return 0
	}
	return float64(inter) / float64(b.Area()+c.Area()-inter)
}

// Rescale maps a box of a picture of width × height to the same picture of toWidth ×
// toHeight, edge by edge with [Rescale]: order is kept, the whole picture maps to the whole
// picture, and in a larger picture a box that holds a pixel still does.
func (b Box) Rescale(width, height, toWidth, toHeight int) Box {
	return Box{
		Rescale(b.X0, width, toWidth), Rescale(b.Y0, height, toHeight),
		Rescale(b.X1, width, toWidth), Rescale(b.Y1, height, toHeight),
	}
}

// Rescale is v·to/from, rounded half up, for v ≥ 0.
func Rescale(v int32, from, to int) int32 {
	return int32((2*int64(v)*int64(to) + int64(from)) / (2 * int64(from)))
}

// String gives [x0 y0 x1 y1].
func (b Box) String() string { return fmt.Sprintf("[%d %d %d %d]", b.X0, b.Y0, b.X1, b.Y1) }

// MarshalJSON writes [x0,y0,x1,y1].
func (b Box) MarshalJSON() ([]byte, error) {
	return fmt.Appendf(nil, "[%d,%d,%d,%d]", b.X0, b.Y0, b.X1, b.Y1), nil
}

// UnmarshalJSON reads [x0,y0,x1,y1], all four whole numbers.
func (b *Box) UnmarshalJSON(data []byte) error {
	var v []*int32 // null is not a number
	if err := json.Unmarshal(data, &v); err != nil {
		return fmt.Errorf("box: want [x0,y0,x1,y1]: %w", err)
	}
	if len(v) != 4 || slices.Contains(v, nil) {
		return fmt.Errorf("box: %s: want four numbers, [x0,y0,x1,y1]", data)
	}
	*b = Box{*v[0], *v[1], *v[2], *v[3]}
	return nil
}
