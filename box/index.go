package box

import (
	"math"
	"slices"

	"github.com/proposer/proposer/internal/simd"
)

// Index finds the boxes of a list that overlap a box. It is safe for concurrent use.
//
// IoU(b,c) ≥ β implies that in width and height the overlap is at least β of the larger side.
// So sides differ by at most the factor β, and centres by at most max(1−β, (1/β−1)/2) sides.
// Boxes are kept in the order of their height, in half octaves, then of their centre's place,
// in steps of that height, and then of their width: a few runs hold all that come into
// question, and a run is looked through as fast as memory is read.
type Index struct {
	boxes  simd.Boxes
	starts []int32 // of the runs
	levels []level // by height
	widths int
}

// level are the boxes of about a height.
type level struct {
	first int   // of its runs
	y     slots // of the centres, twice
}

// NewIndex makes the index of boxes, none of which is found if it is empty. It takes
// time and memory linear in their number.
func NewIndex(boxes []Box) *Index {
	var width, height float64 = 1, 1
	top, bottom := math.Inf(1), math.Inf(-1)
	for _, b := range boxes {
		if b.Empty() {
			continue
		}
		width, height = max(width, span(b.X0, b.X1)), max(height, span(b.Y0, b.Y1))
		c := centre(b.Y0, b.Y1)
		top, bottom = min(top, c), max(bottom, c)
	}
	x := &Index{widths: scale(width) + 1, levels: make([]level, scale(height)+1)}
	runs := 0
	const most = 32 // slots of a level
	for h := range x.levels {
		pitch := max(2*least(h), (bottom-top)/most, 1)
		x.levels[h] = level{runs, slots{top, pitch, min(int(max(bottom-top, 0)/pitch)+1, most)}}
		runs += x.levels[h].y.n * x.widths
	}
	x.starts = make([]int32, runs+2)
	for _, b := range boxes {
		if !b.Empty() {
			x.starts[x.run(b)+2]++
		}
	}
	for i := 1; i < len(x.starts); i++ {
		x.starts[i] += x.starts[i-1]
	}
	n := int(x.starts[len(x.starts)-1])
	for _, side := range []*[]int32{&x.boxes.X0, &x.boxes.Y0, &x.boxes.X1, &x.boxes.Y1, &x.boxes.IDs} {
		*side = make([]int32, n+simd.OverlapsRoom)
	}
	x.boxes.Areas = make([]float32, n+simd.OverlapsRoom)
	for i, b := range boxes {
		if !b.Empty() {
			next := &x.starts[x.run(b)+1]
			at := *next
			x.boxes.X0[at], x.boxes.Y0[at], x.boxes.X1[at], x.boxes.Y1[at] = b.X0, b.Y0, b.X1, b.Y1
			x.boxes.IDs[at], x.boxes.Areas[at] = int32(i), float32(b.Area())
			*next++
		}
	}
	return x
}

func (x *Index) run(b Box) int {
	l := &x.levels[scale(span(b.Y0, b.Y1))]
	return l.first + l.y.at(centre(b.Y0, b.Y1))*x.widths + scale(span(b.X0, b.X1))
}

// Overlaps are boxes of an [Index], by their numbers, and the IoU of each, to the
// precision of a float32.
type Overlaps struct {
	IDs  []int32
	IoUs []float32
}

// Near writes the boxes whose IoU with b is least or more to dst, whose memory it takes, in
// an order that depends on the boxes alone. Least is in (0,1].
func (x *Index) Near(dst *Overlaps, b Box, least float64) {
	dst.IDs, dst.IoUs = dst.IDs[:0], dst.IoUs[:0]
	if b.Empty() {
		return
	}
	// A little more than needed, for the rounding.
	beta := least * (1 - 1e-6)
	w, h, c := span(b.X0, b.X1), span(b.Y0, b.Y1), centre(b.Y0, b.Y1)
	w0, w1 := scale(w*beta), min(scale(w/beta), x.widths-1)
	h0, h1 := scale(h*beta), min(scale(h/beta), len(x.levels)-1)
	reach := 2*max(1-beta, (1/beta-1)/2)*h + 1
	sides, area := [4]int32{b.X0, b.Y0, b.X1, b.Y1}, float32(b.Area())
	for hh := h0; hh <= h1 && w0 <= w1; hh++ {
		l := &x.levels[hh]
		for y, last := l.y.at(c-reach), l.y.at(c+reach); y <= last; y++ {
			run := l.first + y*x.widths
			from, to := int(x.starts[run+w0]), int(x.starts[run+w1+1])
			if from == to {
				continue
			}
			n, room := len(dst.IDs), to-from+simd.OverlapsRoom
			dst.IDs, dst.IoUs = slices.Grow(dst.IDs, room), slices.Grow(dst.IoUs, room)
			n += simd.Overlaps(dst.IDs[n:n+room], dst.IoUs[n:n+room], &x.boxes, from, to, &sides, area, float32(least))
			dst.IDs, dst.IoUs = dst.IDs[:n], dst.IoUs[:n]
		}
	}
}
