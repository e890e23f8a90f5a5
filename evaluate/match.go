package evaluate

import (
	"math/bits"

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

// A matcher matches the objects of an image with its boxes, which are added in order. After each box
// it holds the result for the boxes so far, so that one pass serves all budgets. A box takes
// O(objects) time, and as much again for each match that it changes.
type matcher struct {
	objects []matchedObject
	found   [groups][len(cocoThresholds)]uint64 // number of objects that COCOeval matches
	near    []nearObject
}

// matchedObject is an object and its matches.
type matchedObject struct {
	*dataset.Object
	groups [groups]bool
	best   float64 // IoU with the best box

	// The match by Hosang's rule: the IoU with the box, and its index. The IoU is 0 without a match.
	iou float64
	box int

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
	m.objects = m.objects[:0]
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

// match adds boxes[index]. All boxes before it were added.
func (m *matcher) match(boxes []Box, index int) {
	m.near = m.near[:0]
	improves := false
	for i := range m.objects {
		o := &m.objects[i]
		iou := boxes[index].iou(o.Object)
		if iou > o.iou {
			improves = true
			o.best = max(o.best, iou)
		}
		if iou >= cocoThresholds[0] {
			m.near = append(m.near, nearObject{o, iou, reached(iou)})
		}
	}
	if improves {
		m.assign(boxes, index)
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

// assign updates the matching by Hosang's rule. That rule takes the pair of the highest IoU of all
// boxes and objects, then the highest of the pairs that remain, and so on; of equal pairs the first.
// The result is the stable matching in which boxes and objects prefer partners by IoU. It is unique,
// so that it can be found one box after the other: a box takes the best object that prefers it to
// its present box, which then looks for another object.
func (m *matcher) assign(boxes []Box, index int) {
	for {
		var to *matchedObject
		highest := 0.0
		for i := range m.objects {
			o := &m.objects[i]
			iou := boxes[index].iou(o.Object)
			if iou > highest && (iou > o.iou || iou == o.iou && index < o.box) {
				to, highest = o, iou
			}
		}
		if to == nil {
			return
		}
		displaced, hadBox := to.box, to.iou > 0
		to.iou, to.box = highest, index
		if !hadBox {
			return
		}
		index = displaced
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
