package box

import "math"

// Index finds the boxes of a list that overlap a box. It is safe for concurrent use.
//
// IoU(b,c) ≥ β implies that in width and height the overlap is at least β of the larger side.
// So sides differ by at most the factor β, and centres by at most max(1−β, (1/β−1)/2) sides.
// Boxes are kept in the order of their height and width, in half octaves, and of their
// centre's place in a grid.
type Index struct {
	entries         []indexed
	starts          []int32 // of the buckets, in entries
	widths, heights int
	x, y            slots // of the boxes' centres, twice
}

type indexed struct {
	Box
	area float32
	id   int32
}

// The grid of the centres.
const (
	slotsX = 16
	slotsY = 8
)

// slots cut a range into n parts.
type slots struct {
	from, pitch float64
	n           int
}

// at is monotone.
func (s slots) at(v float64) int {
	return int(min(max((v-s.from)/s.pitch, 0), float64(s.n-1)))
}

// NewIndex makes the index of boxes, none of which is found if it is empty. It takes
// time and memory linear in their number.
func NewIndex(boxes []Box) *Index {
	var width, height float64 = 1, 1
	left, right, top, bottom := math.Inf(1), math.Inf(-1), math.Inf(1), math.Inf(-1)
	for _, b := range boxes {
		if b.Empty() {
			continue
		}
		width, height = max(width, span(b.X0, b.X1)), max(height, span(b.Y0, b.Y1))
		cx, cy := centre(b.X0, b.X1), centre(b.Y0, b.Y1)
		left, right, top, bottom = min(left, cx), max(right, cx), min(top, cy), max(bottom, cy)
	}
	x := &Index{
		widths: scale(width) + 1, heights: scale(height) + 1,
		x: slots{left, max((right-left)/slotsX, 1), slotsX}, y: slots{top, max((bottom-top)/slotsY, 1), slotsY},
	}
	x.starts = make([]int32, x.widths*x.heights*slotsX*slotsY+2)
	for _, b := range boxes {
		if !b.Empty() {
			x.starts[x.bucket(b)+2]++
		}
	}
	for i := 1; i < len(x.starts); i++ {
		x.starts[i] += x.starts[i-1]
	}
	x.entries = make([]indexed, x.starts[len(x.starts)-1])
	for i, b := range boxes {
		if !b.Empty() {
			at := &x.starts[x.bucket(b)+1]
			x.entries[*at] = indexed{b, float32(b.Area()), int32(i)}
			*at++
		}
	}
	return x
}

func (x *Index) bucket(b Box) int {
	size := scale(span(b.Y0, b.Y1))*x.widths + scale(span(b.X0, b.X1))
	return (size*slotsY+x.y.at(centre(b.Y0, b.Y1)))*slotsX + x.x.at(centre(b.X0, b.X1))
}

// Overlap is a box of an [Index], by its number, and its IoU, to the precision of a float32.
type Overlap struct {
	ID  int32
	IoU float32
}

// Near appends the boxes whose IoU with b is least or more to dst, in an order that
// depends on the boxes alone. Least is in (0,1].
func (x *Index) Near(dst []Overlap, b Box, least float64) []Overlap {
	if b.Empty() {
		return dst
	}
	w, h, area := span(b.X0, b.X1), span(b.Y0, b.Y1), float32(b.Area())
	// A little more than needed, for the rounding.
	beta, floor := least*(1-1e-6), float32(least)
	most := float32(least / (1 + least) * (1 - 1e-5)) // of the sum of the areas: below it the IoU is too small
	w0, w1 := scale(w*beta), min(scale(w/beta), x.widths-1)
	h0, h1 := scale(h*beta), min(scale(h/beta), x.heights-1)
	reach := 2 * max(1-beta, (1/beta-1)/2)
	cx, cy := centre(b.X0, b.X1), centre(b.Y0, b.Y1)
	x0, x1 := x.x.at(cx-reach*w-1), x.x.at(cx+reach*w+1)
	y0, y1 := x.y.at(cy-reach*h-1), x.y.at(cy+reach*h+1)
	for hh := h0; hh <= h1; hh++ {
		for ww := w0; ww <= w1; ww++ {
			size := (hh*x.widths + ww) * slotsX * slotsY
			if x.starts[size] == x.starts[size+slotsX*slotsY] {
				continue
			}
			for y := y0; y <= y1; y++ {
				at := size + y*slotsX
				entries := x.entries[x.starts[at+x0]:x.starts[at+x1+1]]
				for i := range entries {
					e := &entries[i]
					dx := max(min(b.X1, e.X1)-max(b.X0, e.X0), 0)
					dy := max(min(b.Y1, e.Y1)-max(b.Y0, e.Y0), 0)
					inter := float32(float32(dx) * float32(dy)) // never fused with the subtraction
					if both := area + e.area; inter >= float32(most*both) {
						if iou := inter / (both - inter); iou >= floor {
							dst = append(dst, Overlap{e.id, iou})
						}
					}
				}
			}
		}
	}
	return dst
}
