package box

import (
	"slices"

	"github.com/proposer/proposer/internal/kernels"
)

// Index finds the boxes of a list that overlap a box. It is safe for concurrent use.
//
// IoU(b,c) ≥ β implies that in width and height the overlap is at least β of the larger side.
// So sides differ by at most the factor β, and centres by at most max(1−β, (1/β−1)/2) sides.
// Boxes are kept in the order of their height, in half octaves, and of their centre's place, in
// steps of that height: a few runs hold all that come into question, and are looked through
// eight boxes at a time.
type Index struct {
	boxes  kernels.Boxes
	starts []int32 // of the slots
	levels []level // by height
}

// level are the boxes of about a height, in rows of slots.
type level struct {
	first int   // of its slots
	x, y  slots // of the centres, twice
}

// A level's slots are as high as its boxes and a quarter as wide, since those of a row cost
// nothing to go through; but there are no more of them than these.
const (
	mostRows    = 32
	mostColumns = 128
)

// NewIndex makes the index of boxes, none of which is found if it is empty. It takes
// time and memory linear in their number.
func NewIndex(boxes []Box) *Index {
	e := measure(boxes)
	x := &Index{levels: make([]level, scale(e.height)+1)}
	n := 0
	for h := range x.levels {
		pitch := 2 * least(h)
		l := level{n, newSlots(e.left, e.right, pitch/4, mostColumns), newSlots(e.top, e.bottom, pitch, mostRows)}
		x.levels[h] = l
		n += l.x.n * l.y.n
	}
	x.starts = make([]int32, n+2)
	for _, b := range boxes {
		if !b.Empty() {
			x.starts[x.slot(b)+2]++
		}
	}
	for i := 1; i < len(x.starts); i++ {
		x.starts[i] += x.starts[i-1]
	}
	n = int(x.starts[len(x.starts)-1])
	for _, side := range []*[]int32{&x.boxes.X0, &x.boxes.Y0, &x.boxes.X1, &x.boxes.Y1, &x.boxes.IDs} {
		*side = make([]int32, n+kernels.BoxPadding)
	}
	x.boxes.Areas = make([]float32, n+kernels.BoxPadding)
	for i, b := range boxes {
		if !b.Empty() {
			next := &x.starts[x.slot(b)+1]
			at := *next
			x.boxes.X0[at], x.boxes.Y0[at], x.boxes.X1[at], x.boxes.Y1[at] = b.X0, b.Y0, b.X1, b.Y1
			x.boxes.IDs[at], x.boxes.Areas[at] = int32(i), float32(b.Area())
			*next++
		}
	}
	return x
}

// numbers are those of the boxes, in the order in which it has them.
func (x *Index) numbers() []int32 { return x.boxes.IDs[:len(x.boxes.IDs)-kernels.BoxPadding] }

func (x *Index) slot(b Box) int {
	l := &x.levels[scale(span(b.Y0, b.Y1))]
	return l.first + l.y.at(centre(b.Y0, b.Y1))*l.x.n + l.x.at(centre(b.X0, b.X1))
}

// Overlaps are boxes of an [Index], by their numbers, and the IoU of each, to the
// precision of a float32.
type Overlaps struct {
	IDs  []int32
	IoUs []float32

	runs [][2]int32
}

// Near writes the boxes whose IoU with b is least or more to dst, whose memory it takes, in
// an order that depends on the boxes alone. Least is in (0,1].
func (x *Index) Near(dst *Overlaps, b Box, least float64) { x.near(dst, b, least, 0) }

// near is Near among the boxes that the index has at a place and behind it.
func (x *Index) near(dst *Overlaps, b Box, least float64, place int32) {
	dst.IDs, dst.IoUs, dst.runs = dst.IDs[:0], dst.IoUs[:0], dst.runs[:0]
	if b.Empty() {
		return
	}
	// A little more than needed, for the rounding.
	beta := least * (1 - 1e-6)
	reach := 2 * max(1-beta, (1/beta-1)/2)
	w, h := span(b.X0, b.X1), span(b.Y0, b.Y1)
	cx, cy := centre(b.X0, b.X1), centre(b.Y0, b.Y1)
	room := kernels.BoxPadding
	for k, last := scale(h*beta), min(scale(h/beta), len(x.levels)-1); k <= last; k++ {
		l := &x.levels[k]
		if x.starts[l.first+l.x.n*l.y.n] <= place {
			continue
		}
		x0, x1 := l.x.at(cx-reach*w-1), l.x.at(cx+reach*w+1)
		for y, last := l.y.at(cy-reach*h-1), l.y.at(cy+reach*h+1); y <= last; y++ {
			row := l.first + y*l.x.n
			if from, to := max(x.starts[row+x0], place), x.starts[row+x1+1]; from < to {
				dst.runs = append(dst.runs, [2]int32{from, to})
				room += int(to - from)
			}
		}
	}
	dst.IDs, dst.IoUs = slices.Grow(dst.IDs, room)[:room], slices.Grow(dst.IoUs, room)[:room]
	n := kernels.Overlaps(dst.IDs, dst.IoUs, &x.boxes, dst.runs, &[4]int32{b.X0, b.Y0, b.X1, b.Y1}, float32(b.Area()), float32(least))
	dst.IDs, dst.IoUs = dst.IDs[:n], dst.IoUs[:n]
}
