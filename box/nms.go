package box

import (
	"context"
	"fmt"
	"strconv"

	"github.com/proposer/proposer/internal/spatial"
)

// NMS is a greedy non-maximum suppression: of boxes that overlap by more than a threshold, it keeps
// the best. The zero value suppresses nothing.
type NMS struct {
	// Threshold is β: a box is suppressed if its IoU with a better box that is kept exceeds it.
	// It is in (0,1]; 0 turns suppression off.
	Threshold float64
	// Decay multiplies β after each box that is kept. It is in (0,1]; 0 stands for 1.
	Decay float64
	// Floor is the lower bound of β, in [0,Threshold].
	Floor float64
}

// Adaptive returns the suppression of Hosang et al., "What makes for effective detection
// proposals?" (PAMI 2016, §5.5): β starts at 0.9, so that many boxes on the best objects are kept,
// and is multiplied by 0.9996 after each kept box. The lower bound of 0.5, which is reached after 1,470
// kept boxes, is not in the paper: without it, long lists would end up with disjoint boxes only.
func Adaptive() NMS {
	return NMS{Threshold: 0.9, Decay: 0.9996, Floor: 0.5}
}

// ParseNMS parses "off", "adaptive" or a threshold in (0,1].
func ParseNMS(s string) (NMS, error) {
	switch s {
	case "off":
		return NMS{}, nil
	case "adaptive":
		return Adaptive(), nil
	}
	v, err := strconv.ParseFloat(s, 64)
	if err != nil || !(v > 0 && v <= 1) {
		return NMS{}, fmt.Errorf("box: NMS %q: want off, adaptive or a number in (0,1]", s)
	}
	return NMS{Threshold: v}, nil
}

// String returns the form that [ParseNMS] parses. A decay other than that of [Adaptive] is appended
// to the threshold, as in 0.9*0.99>=0.3, which ParseNMS does not parse.
func (n NMS) String() string {
	switch {
	case n.Threshold == 0:
		return "off"
	case n == Adaptive():
		return "adaptive"
	}
	s := strconv.FormatFloat(n.Threshold, 'g', -1, 64)
	if n.decays() {
		s += fmt.Sprintf("*%g>=%g", n.Decay, n.Floor)
	}
	return s
}

func (n NMS) decays() bool { return n.Decay != 0 && n.Decay != 1 }

// Validate returns an error for the first field that is out of range.
func (n NMS) Validate() error {
	switch {
	case !(n.Threshold >= 0 && n.Threshold <= 1):
		return fmt.Errorf("box: NMS threshold %v: want a number in (0,1], or 0 for off", n.Threshold)
	case !(n.Decay >= 0 && n.Decay <= 1):
		return fmt.Errorf("box: NMS decay %v: want a number in (0,1], or 0 for none", n.Decay)
	case !(n.Floor >= 0 && n.Floor <= n.Threshold):
		return fmt.Errorf("box: NMS floor %v: want a number in [0,%v]", n.Floor, n.Threshold)
	}
	return nil
}

// Keep returns the indices of the boxes that are kept, in order and at most limit of them (0: all).
// The boxes are in decreasing order of score. A box is kept unless its IoU with a box that is kept
// already, computed in float64 as by [Box.IoU], exceeds β. Empty boxes are always kept. Keep panics
// if n is invalid; the only errors are the context's.
//
// A box is compared only with kept boxes whose width, height and horizontal position allow an IoU
// above β, so that 30,000 boxes of a photograph take milliseconds. The worst case, similar boxes
// with β close to 1, is quadratic.
func (n NMS) Keep(ctx context.Context, boxes []Box, limit int) ([]int32, error) {
	if err := n.Validate(); err != nil {
		panic(err)
	}
	if limit <= 0 {
		limit = len(boxes)
	}
	limit = min(limit, len(boxes))
	kept := make([]int32, 0, limit)
	if n.Threshold == 0 {
		for i := range limit {
			kept = append(kept, int32(i))
		}
		return kept, ctx.Err()
	}

	index := newKeptIndex(boxes)
	beta := n.Threshold
	for i, b := range boxes {
		if i%64 == 0 {
			if err := ctx.Err(); err != nil {
				return nil, err
			}
		}
		if len(kept) == limit {
			break
		}
		if !b.Empty() {
			if index.overlaps(b, beta) {
				continue
			}
			index.add(b)
		}
		kept = append(kept, int32(i))
		if n.decays() {
			beta = max(beta*n.Decay, n.Floor)
		}
	}
	return kept, nil
}

// keptIndex holds the boxes kept so far in buckets by width, height and horizontal position.
// IoU(b,c) > β implies that widths and heights differ by less than the factor β, and that the left
// and right sides each differ by less than 1−β of the wider box's width.
type keptIndex struct {
	first           []int32 // by bucket: 1 + the entry added last, or 0
	entries         []keptBox
	widths, heights int           // the numbers of size bins
	x               spatial.Slots // of the doubled horizontal centers
}

type keptBox struct {
	Box
	area int64
	next int32 // 1 + the next entry of the bucket, or 0
}

// maxSlots is the largest number of slots of horizontal centers.
const maxSlots = 16

func newKeptIndex(boxes []Box) *keptIndex {
	e := spatial.NewExtent()
	for _, b := range boxes {
		if !b.Empty() {
			e.Add(b.X0, b.Y0, b.X1, b.Y1)
		}
	}
	x := &keptIndex{
		widths:  spatial.SizeBin(e.Width) + 1,
		heights: spatial.SizeBin(e.Height) + 1,
		x:       spatial.NewSlots(e.Left, e.Right, 1, maxSlots),
	}
	x.first = make([]int32, x.widths*x.heights*maxSlots)
	return x
}

func (x *keptIndex) bucket(width, height, slot int) int {
	return (height*x.widths+width)*maxSlots + slot
}

func (x *keptIndex) add(b Box) {
	w, h := spatial.Length(b.X0, b.X1), spatial.Length(b.Y0, b.Y1)
	slot := x.x.At(spatial.DoubleCenter(b.X0, b.X1))
	bucket := x.bucket(spatial.SizeBin(w), spatial.SizeBin(h), slot)
	x.entries = append(x.entries, keptBox{b, b.Area(), x.first[bucket]})
	x.first[bucket] = int32(len(x.entries))
}

// overlaps reports whether the IoU of b with a kept box exceeds beta.
func (x *keptIndex) overlaps(b Box, beta float64) bool {
	w, h := spatial.Length(b.X0, b.X1), spatial.Length(b.Y0, b.Y1)
	w0, w1 := spatial.SizeBin(w*beta), min(spatial.SizeBin(w/beta), x.widths-1)
	h0, h1 := spatial.SizeBin(h*beta), min(spatial.SizeBin(h/beta), x.heights-1)
	reach := 2*(1-beta)*w/beta + 1 // 1 covers rounding errors
	center := spatial.DoubleCenter(b.X0, b.X1)
	s0, s1 := x.x.At(center-reach), x.x.At(center+reach)
	area := b.Area()

	for height := h0; height <= h1; height++ {
		for width := w0; width <= w1; width++ {
			for _, at := range x.first[x.bucket(width, height, s0) : x.bucket(width, height, s1)+1] {
				for at != 0 {
					e := &x.entries[at-1]
					at = e.next
					dx := int64(min(b.X1, e.X1)) - int64(max(b.X0, e.X0))
					dy := int64(min(b.Y1, e.Y1)) - int64(max(b.Y0, e.Y0))
					if dx <= 0 || dy <= 0 {
						continue
					}
					inter := dx * dy
					if float64(inter)/float64(area+e.area-inter) > beta {
						return true
					}
				}
			}
		}
	}
	return false
}
