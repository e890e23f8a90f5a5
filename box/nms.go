package box

import (
	"context"
	"fmt"
	"math"
	"strconv"
)

// NMS is a greedy non-maximum suppression. The zero value is off.
type NMS struct {
	// Threshold is β: a box goes when its IoU with a kept, better box exceeds it. In (0,1]; 0 is off.
	Threshold float64
	// Decay multiplies β after each kept box, in (0,1]; 0 and 1 leave it alone.
	Decay float64
	// Floor is where β stops shrinking, in [0,Threshold].
	Floor float64
}

// AdaptiveFloor is where the β of Adaptive stops shrinking, after 1,470 kept
// boxes. It is our addition: without an end, long lists would come to keep
// nothing but boxes apart from one another.
const AdaptiveFloor = 0.5

// Adaptive is the suppression of Hosang et al., "What makes for effective
// detection proposals?" (PAMI 2016, §5.5): β starts at 0.9, so that the best
// boxes may crowd where the object is, and shrinks by the factor 0.9996 with each
// box kept, to AdaptiveFloor.
func Adaptive() NMS {
	return NMS{Threshold: 0.9, Decay: 0.9996, Floor: AdaptiveFloor}
}

// ParseNMS reads "off", "adaptive" or a threshold in (0,1].
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

// String gives what ParseNMS reads; a decay other than Adaptive's follows the
// threshold, as in 0.9*0.99>=0.3.
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

// Validate reports the first field that is out of range.
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

// Keep takes the boxes in order, best first, and returns the indices of those it
// keeps, in the same order and no more than limit of them (0: all). A box is kept
// unless its IoU with a box already kept, as [Box.IoU] computes it in float64,
// exceeds β. Empty boxes are always kept. It panics if Validate has an error; the
// only errors are the context's.
//
// A box is compared with those kept boxes only that are near enough in width,
// height and horizontal position to exceed β, so that 30,000 boxes of a natural
// picture take milliseconds. The worst case, where all are alike and β is close to
// 1, is quadratic.
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
	index := newIndex(boxes)
	beta := n.Threshold
	for i, b := range boxes {
		if err := poll(ctx, i); err != nil {
			return nil, err
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

// index holds the kept boxes in buckets by width, height and horizontal
// position. IoU(b,c) > β implies that widths and heights differ by less than the
// factor β, and that the left and right sides each differ by less than 1−β of the
// wider box's width.
type index struct {
	first           []int32 // by bucket: 1 + the box last put in, or 0
	kept            []entry
	widths, heights int
	x               slots // of the boxes' horizontal centres, twice
}

type entry struct {
	Box
	area int64
	next int32 // 1 + the next box in the bucket, or 0
}

func newIndex(boxes []Box) *index {
	e := measure(boxes)
	x := &index{widths: scale(e.width) + 1, heights: scale(e.height) + 1, x: newSlots(e.left, e.right, 1, slotsX)}
	x.first = make([]int32, x.widths*x.heights*slotsX)
	return x
}

// span is exact: float64 holds every difference of two int32.
func span(from, to int32) float64 { return float64(to) - float64(from) }

// centre is twice the middle of a side.
func centre(from, to int32) float64 { return float64(from) + float64(to) }

// scale is the bucket of a side: the top bits of a float64, two buckets to the
// octave from 1 on. It is monotone.
func scale(side float64) int {
	const one = 0x3ff << 1
	return max(int(math.Float64bits(side)>>51)-one, 0)
}

// least is the smallest side of a bucket.
func least(scale int) float64 {
	const one = 0x3ff << 1
	return math.Float64frombits(uint64(scale+one) << 51)
}

func (x *index) bucket(width, height, slot int) int {
	return (height*x.widths+width)*slotsX + slot
}

func (x *index) add(b Box) {
	at := x.bucket(scale(span(b.X0, b.X1)), scale(span(b.Y0, b.Y1)), x.x.at(centre(b.X0, b.X1)))
	x.kept = append(x.kept, entry{b, b.Area(), x.first[at]})
	x.first[at] = int32(len(x.kept))
}

// overlaps tells whether b's IoU with a kept box exceeds beta.
func (x *index) overlaps(b Box, beta float64) bool {
	w, h, c, area := span(b.X0, b.X1), span(b.Y0, b.Y1), centre(b.X0, b.X1), b.Area()
	w0, w1 := scale(w*beta), min(scale(w/beta), x.widths-1)
	h0, h1 := scale(h*beta), min(scale(h/beta), x.heights-1)
	// Rounding may move the reach by far less than the pixel that is added to it.
	reach := 2*(1-beta)*w/beta + 1
	s0, s1 := x.x.at(c-reach), x.x.at(c+reach)
	for hh := h0; hh <= h1; hh++ {
		for ww := w0; ww <= w1; ww++ {
			for _, at := range x.first[x.bucket(ww, hh, s0) : x.bucket(ww, hh, s1)+1] {
				for at != 0 {
					e := &x.kept[at-1]
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

// slotsX is how many slots hold the centres.
const slotsX = 16

// extent is how large boxes are at most, but at least 1, and between what their centres
// lie, twice. Empty boxes have no say.
type extent struct{ width, height, left, right, top, bottom float64 }

func measure(boxes []Box) extent {
	e := extent{1, 1, math.Inf(1), math.Inf(-1), math.Inf(1), math.Inf(-1)}
	for _, b := range boxes {
		if b.Empty() {
			continue
		}
		e.width, e.height = max(e.width, span(b.X0, b.X1)), max(e.height, span(b.Y0, b.Y1))
		x, y := centre(b.X0, b.X1), centre(b.Y0, b.Y1)
		e.left, e.right, e.top, e.bottom = min(e.left, x), max(e.right, x), min(e.top, y), max(e.bottom, y)
	}
	return e
}

// slots cut a range into n parts.
type slots struct {
	from, pitch float64
	n           int
}

// newSlots has at most so many, no shorter than pitch.
func newSlots(from, to, pitch float64, most int) slots {
	pitch = max(pitch, (to-from)/float64(most))
	return slots{from, pitch, min(int(max(to-from, 0)/pitch)+1, most)}
}

// at is monotone.
func (s slots) at(v float64) int {
	return int(min(max((v-s.from)/s.pitch, 0), float64(s.n-1)))
}
