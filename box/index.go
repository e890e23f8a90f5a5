package box

import "math"

// Index finds the boxes of a list that overlap a box. It is safe for concurrent use.
//
// IoU(b,c) ≥ β implies that widths and heights differ by at most the factor β, and that the
// centres are at most (1−β)/β widths apart. So boxes are kept in the order of their width and
// height, in half octaves, and of the place of their centre.
type Index struct {
	entries         []indexed
	starts          []int32 // of the buckets, in entries
	widths, heights int
	left, pitch     float64 // of the slots, which hold twice the boxes' horizontal centres
}

type indexed struct {
	Box
	area float32
	id   int32
}

// indexSlots is the number of buckets by horizontal position.
const indexSlots = 64

// NewIndex makes the index of boxes, none of which is found if it is empty. It takes
// time and memory linear in their number.
func NewIndex(boxes []Box) *Index {
	var width, height float64 = 1, 1
	left, right := math.Inf(1), math.Inf(-1)
	for _, b := range boxes {
		if b.Empty() {
			continue
		}
		width, height = max(width, span(b.X0, b.X1)), max(height, span(b.Y0, b.Y1))
		left, right = min(left, centre(b)), max(right, centre(b))
	}
	x := &Index{widths: scale(width) + 1, heights: scale(height) + 1, left: left, pitch: max((right-left)/indexSlots, 1)}
	x.starts = make([]int32, x.widths*x.heights*indexSlots+2)
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
	return (scale(span(b.Y0, b.Y1))*x.widths+scale(span(b.X0, b.X1)))*indexSlots + x.slot(centre(b))
}

// slot is monotone.
func (x *Index) slot(c float64) int {
	return int(min(max((c-x.left)/x.pitch, 0), indexSlots-1))
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
	w, h, c, area := span(b.X0, b.X1), span(b.Y0, b.Y1), centre(b), float32(b.Area())
	// A little more than needed, for the rounding.
	beta, floor := least*(1-1e-6), float32(least)
	w0, w1 := scale(w*beta), min(scale(w/beta), x.widths-1)
	h0, h1 := scale(h*beta), min(scale(h/beta), x.heights-1)
	reach := 2*(1-beta)*w/beta + 1
	s0, s1 := x.slot(c-reach), x.slot(c+reach)
	for hh := h0; hh <= h1; hh++ {
		for ww := w0; ww <= w1; ww++ {
			at := (hh*x.widths + ww) * indexSlots
			entries := x.entries[x.starts[at+s0]:x.starts[at+s1+1]]
			for i := range entries {
				e := &entries[i]
				dx := min(b.X1, e.X1) - max(b.X0, e.X0)
				dy := min(b.Y1, e.Y1) - max(b.Y0, e.Y0)
				if dx <= 0 || dy <= 0 {
					continue
				}
				inter := float32(float32(dx) * float32(dy)) // never fused with the subtraction
				if iou := inter / (area + e.area - inter); iou >= floor {
					dst = append(dst, Overlap{e.id, iou})
				}
			}
		}
	}
	return dst
}
