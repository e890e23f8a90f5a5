package evaluate

import (
	"cmp"
	"math/bits"
	"slices"

	"github.com/proposer/proposer/dataset"
)

// The groups of objects with scores of their own. The size groups are COCO's area ranges: up to 32²
// pixels, from 32² to 96², and from 96². As in COCOeval, an object on a bound is in both groups.
const (
	anySize = iota
	small
	medium
	large
	groups // the number of groups
)

// groupsOf reports of each group whether the object is in it.
func groupsOf(o *dataset.Object) [groups]bool {
	return [groups]bool{
		anySize: true,
		small:   o.Area <= 32*32,
		medium:  o.Area >= 32*32 && o.Area <= 96*96,
		large:   o.Area >= 96*96,
	}
}

// cocoThresholds holds the IoU thresholds of COCOeval, which computes them with NumPy's linspace.
// One of them is not the nearest number to its name.
var cocoThresholds = [...]float64{.5, .55, .6, .65, .7, .75, .8, .85, .8999999999999999, .95}

// A matcher matches the objects of an image with its boxes, which are added in order. It can be asked
// for the result of the boxes so far at any time, so that one pass serves all budgets.
type matcher struct {
	objects []matchedObject
	found   [groups][len(cocoThresholds)]uint64 // number of objects that COCOeval matches
	near    []nearObject
	waiting []indexedBox // boxes that may change the match of an object by Hosang's rule
}

// indexedBox is the index of a box and its IoU with the best object.
type indexedBox struct {
	index   int
	highest float64
}

// matchedObject is an object and its matches.
type matchedObject struct {
	*dataset.Object
	groups [groups]bool
	best   float64 // IoU with the best box

	// The match by Hosang's rule. The IoU is 0 without a match.
	iou     float64
	matched indexedBox

	// taken holds for each group the thresholds at which COCOeval has matched the object, as bits.
	// Those of a group that the object is not in are all set.
	taken [groups]uint16
}

// nearObject is an object whose IoU with the current box reaches some of COCO's thresholds.
type nearObject struct {
	*matchedObject
	iou     float64
	reached uint16 // the thresholds, as bits
}

// reset begins an image with the objects that count.
func (m *matcher) reset(objects []dataset.Object, difficult bool) {
	m.objects, m.waiting = m.objects[:0], m.waiting[:0]
	m.found = [groups][len(cocoThresholds)]uint64{}
	for i := range objects {
		o := &objects[i]
		if o.Difficult && !difficult {
			continue
		}
		matched := matchedObject{Object: o, groups: groupsOf(o)}
		for group, in := range matched.groups {
			if !in {
				matched.taken[group] = 1<<len(cocoThresholds) - 1
			}
		}
		m.objects = append(m.objects, matched)
	}
}

// match adds boxes[index]. All boxes before it were added. The matches by Hosang's rule are then those
// of the last call of settle.
func (m *matcher) match(boxes []Box, index int) {
	m.near = m.near[:0]
	improves, highest := false, 0.0
	for i := range m.objects {
		o := &m.objects[i]
		iou := boxes[index].iou(o.Object)
		if iou > o.iou {
			improves = true
			o.best = max(o.best, iou)
		}
		highest = max(highest, iou)
		if iou >= cocoThresholds[0] {
			m.near = append(m.near, nearObject{o, iou, reached(iou)})
		}
	}
	if improves {
		m.waiting = append(m.waiting, indexedBox{index, highest})
	}
	if len(m.near) > 0 {
		m.matchCOCO()
	}
}

// reached returns the thresholds that an IoU reaches, as bits.
func reached(iou float64) (set uint16) {
	for i, threshold := range cocoThresholds {
		if iou >= threshold {
			set |= 1 << i
		}
	}
	return set
}

// settle completes the matches by Hosang's rule. That rule takes the pair of the highest IoU of all
// objects and boxes, then the highest of the pairs that remain, and so on; of equal pairs the first.
// The result is the stable matching in which both sides prefer partners by IoU. It is unique, so the
// boxes can be assigned in any order, and a box without a match never gets one. In the order of their
// highest IoU few boxes displace others, even if objects are equal.
func (m *matcher) settle(boxes []Box) {
	if len(m.waiting) == 0 {
		return
	}
	for i := range m.objects {
		o := &m.objects[i]
		if o.iou > 0 {
			m.waiting = append(m.waiting, o.matched)
			o.iou = 0
		}
	}
	slices.SortFunc(m.waiting, func(a, b indexedBox) int {
		return cmp.Or(cmp.Compare(b.highest, a.highest), cmp.Compare(a.index, b.index))
	})
	for _, b := range m.waiting {
		m.assign(boxes, b)
	}
	m.waiting = m.waiting[:0]
}

// assign gives a box its best object of those that prefer it to their present box. That box then
// takes another object in the same way.
func (m *matcher) assign(boxes []Box, b indexedBox) {
	for {
		var to *matchedObject
		highest := 0.0
		for i := range m.objects {
			o := &m.objects[i]
			iou := boxes[b.index].iou(o.Object)
			if iou > highest && (iou > o.iou || iou == o.iou && b.index < o.matched.index) {
				to, highest = o, iou
			}
		}
		if to == nil {
			return
		}
		displaced, hadBox := to.matched, to.iou > 0
		to.iou, to.matched = highest, b
		if !hadBox {
			return
		}
		b = displaced
	}
}

// matchCOCO matches the current box by COCOeval's rule: for each group and threshold, with the
// object of the highest IoU of those that have no box yet, of equal ones the last. Objects that
// COCOeval ignores are left out, because a box takes one of them only if there is no other.
func (m *matcher) matchCOCO() {
	for group := range groups {
		var open uint16
		for _, o := range m.near {
			open |= o.reached &^ o.taken[group]
		}
		for ; open != 0; open &= open - 1 {
			threshold := bits.TrailingZeros16(open)
			m.takeBest(group, threshold)
			m.found[group][threshold]++
		}
	}
}

func (m *matcher) takeBest(group, threshold int) {
	bit := uint16(1) << threshold
	var best *nearObject
	for i := range m.near {
		o := &m.near[i]
		if o.reached&^o.taken[group]&bit != 0 && (best == nil || o.iou >= best.iou) {
			best = o
		}
	}
	best.taken[group] |= bit
}
