// Package evaluate judges proposals by the objects that people have drawn boxes around.
//
// [Open] reads a data set, COCO's or PASCAL VOC's. An [Evaluator] is fed pictures and their
// proposals, and makes a [Report] of them:
//
//	data, err := dataset.Open("VOCdevkit/VOC2007")
//	...
//	tally, err := evaluate.New(evaluate.Options{})
//	...
//	for i := range data.Images {
//		tally.Add(&data.Images[i], boxes[i], took[i])
//	}
//	fmt.Println(tally.Report().Budgets[0].All.AR)
//
// What is measured, for the N best boxes of each picture and for all of them:
//
//   - recall at an IoU: the part of the objects that a box overlaps by so much;
//   - AR, the average recall of Hosang et al. ("What makes for effective detection
//     proposals?", TPAMI 2016, §5.2): twice the area under recall over IoU from .5 to 1,
//     which is the mean over the objects of 2·max(IoU−.5, 0); and COCO's, the mean of
//     recall at .50, .55, … .95;
//   - ABO, the average best overlap of a class's objects, and MABO, the mean over the
//     classes (Uijlings et al., IJCV 2013, §5).
package evaluate

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"time"

	"github.com/proposer/proposer/box"
	"github.com/proposer/proposer/dataset"
)

// Options say how to judge. The zero value is the default.
type Options struct {
	// Budgets are the numbers of best boxes, from 1 on, that are judged beside all of
	// them; nil stands for 10, 100, 300, 1000 and 2000.
	Budgets []int
	// Difficult counts difficult objects and crowds, too.
	Difficult bool
}

// DefaultBudgets are those of the zero Options.
func DefaultBudgets() []int { return []int{10, 100, 300, 1000, 2000} }

// maxBudgets is more than a table has room for.
const maxBudgets = 100

// curve is the numbers of boxes at which AR is drawn: ten a decade.
var curve = func() []int {
	var ns []int
	for i := range 51 {
		ns = append(ns, int(math.Round(math.Pow(10, float64(i)/10))))
	}
	return slices.Compact(ns)
}()

// The areas of objects, COCO's: below 32², below 96², and the rest. It goes by the area
// of the outline, which VOC has not; here it is the box's.
const (
	small = iota
	medium
	large
	areas
)

func areaOf(o *dataset.Object) int {
	switch a := o.Area(); {
	case a < 32*32:
		return small
	case a < 96*96:
		return medium
	}
	return large
}

// steps is in how many thresholds of IoU, from 1/steps to 1, recall is counted.
const steps = 100

// unit is an overlap of 1. Sums are whole numbers, so that they are the same in any
// order, and hold two thousand million objects.
const unit = 1 << 32

// count is what is known of some objects under some number of boxes.
type count struct {
	overlap uint64            // sum of the best IoUs
	over    uint64            // sum of what they are above .5, at most half
	reached [steps + 1]uint64 // how many best IoUs are in [i, i+1)/steps
}

// class is what is known of a class's objects.
type class struct {
	objects int
	overlap []uint64 // by number of boxes
}

// An Evaluator gathers what a Report tells, picture by picture: its size does not grow with
// them. It is not safe for concurrent use; each thread may have its own, to be merged.
type Evaluator struct {
	opts    Options
	cuts    []int // numbers of boxes, rising; the last is all
	counts  [][areas]count
	objects [areas]int
	classes map[string]*class
	images  int
	timed   int
	boxes   int64
	most    int // boxes of a picture
	micros  int64
	best    []float64 // of an object, by cut
}

// New makes an empty Evaluator. It refuses budgets below 1, and more than 100.
func New(opts Options) (*Evaluator, error) {
	if opts.Budgets == nil {
		opts.Budgets = DefaultBudgets()
	}
	if len(opts.Budgets) > maxBudgets {
		return nil, fmt.Errorf("evaluate: %d budgets: want at most %d", len(opts.Budgets), maxBudgets)
	}
	opts.Budgets = slices.Sorted(slices.Values(opts.Budgets))
	opts.Budgets = slices.Compact(opts.Budgets)
	for _, n := range opts.Budgets {
		if n < 1 {
			return nil, fmt.Errorf("evaluate: budget %d: want 1 box or more", n)
		}
	}
	t := &Evaluator{opts: opts, classes: map[string]*class{}}
	t.cuts = slices.Concat(opts.Budgets, curve, []int{all})
	slices.Sort(t.cuts)
	t.cuts = slices.Compact(t.cuts)
	t.counts = make([][areas]count, len(t.cuts))
	t.best = make([]float64, len(t.cuts))
	return t, nil
}

// all is more boxes than there are.
const all = math.MaxInt

// Add counts a picture, its proposals, best first, and how long they took, 0 if nobody
// knows. Without proposals its objects count as missed. Time is O(objects × boxes).
func (t *Evaluator) Add(img *dataset.Image, boxes []box.Box, took time.Duration) {
	t.images++
	t.boxes += int64(len(boxes))
	t.most = max(t.most, len(boxes))
	if took > 0 {
		t.timed++
		t.micros += took.Microseconds()
	}
	for i := range img.Objects {
		o := &img.Objects[i]
		if o.Difficult && !t.opts.Difficult {
			continue
		}
		area := areaOf(o)
		t.objects[area]++
		c := t.classes[o.Class]
		if c == nil {
			c = &class{overlap: make([]uint64, len(t.cuts))}
			t.classes[o.Class] = c
		}
		c.objects++
		t.bestIoUs(o, boxes)
		for cut, best := range t.best {
			overlap := uint64(math.Round(best * unit))
			c.overlap[cut] += overlap
			n := &t.counts[cut][area]
			n.overlap += overlap
			n.over += max(overlap, unit/2) - unit/2
			n.reached[step(best)]++
		}
	}
}

// bestIoUs finds the best IoU with an object among the first boxes, for each cut.
func (t *Evaluator) bestIoUs(o *dataset.Object, boxes []box.Box) {
	best, cut := 0.0, 0
	for i := range boxes {
		for i >= t.cuts[cut] {
			t.best[cut] = best
			cut++
		}
		best = max(best, o.IoU(&boxes[i]))
	}
	for ; cut < len(t.cuts); cut++ {
		t.best[cut] = best
	}
}

// step is the highest threshold, in 1/steps, that an overlap reaches.
func step(overlap float64) int {
	i := min(int(overlap*steps), steps)
	if i > 0 && overlap < float64(i)/steps {
		i--
	} else if i < steps && overlap >= float64(i+1)/steps {
		i++
	}
	return i
}

// Merge adds what another Evaluator of equal options has counted; the order of merging does
// not show in the Report. It refuses one of other options.
func (t *Evaluator) Merge(u *Evaluator) error {
	if !slices.Equal(t.cuts, u.cuts) || t.opts.Difficult != u.opts.Difficult || !slices.Equal(t.opts.Budgets, u.opts.Budgets) {
		return errors.New("evaluate: tallies of other budgets, or that count other objects: want equal options")
	}
	t.images += u.images
	t.timed += u.timed
	t.boxes += u.boxes
	t.most = max(t.most, u.most)
	t.micros += u.micros
	for area, n := range u.objects {
		t.objects[area] += n
	}
	for cut := range u.counts {
		for area := range areas {
			t.counts[cut][area].add(&u.counts[cut][area])
		}
	}
	for name, from := range u.classes {
		c := t.classes[name]
		if c == nil {
			c = &class{overlap: make([]uint64, len(t.cuts))}
			t.classes[name] = c
		}
		c.objects += from.objects
		for cut, v := range from.overlap {
			c.overlap[cut] += v
		}
	}
	return nil
}

func (c *count) add(d *count) {
	c.overlap += d.overlap
	c.over += d.over
	for i, n := range d.reached {
		c.reached[i] += n
	}
}

// Report is how good the proposals of some pictures are. Means over nothing are 0.
type Report struct {
	// Images are all, Objects those that count.
	Images  int `json:"images"`
	Objects int `json:"objects"`
	// Boxes is the mean number a picture, Seconds the mean over the pictures of which
	// a time is known.
	Boxes   float64 `json:"boxes"`
	Seconds float64 `json:"seconds"`
	// Budgets are of the budgets, rising, and at last of all boxes.
	Budgets []BudgetResult `json:"levels"`
	// Classes are those of the objects, by name.
	Classes []ClassResult `json:"classes"`
	// Curve is AR over the number of boxes, up to where more do not add to it.
	Curve []CurvePoint `json:"curve"`
}

// BudgetResult is how good the N best boxes of each picture are.
type BudgetResult struct {
	N int `json:"n"` // 0 is all
	// ABO is the mean over the objects of the best overlap, MABO the mean over the classes.
	ABO  float64 `json:"abo"`
	MABO float64 `json:"mabo"`
	// All objects; and by their area, below 32², below 96² and above.
	All    Scores `json:"all"`
	Small  Scores `json:"small"`
	Medium Scores `json:"medium"`
	Large  Scores `json:"large"`
}

// Scores are of objects.
type Scores struct {
	Objects int `json:"objects"`
	// AR is Hosang's, COCO the mean of recall at .50, .55, … .95.
	AR   float64 `json:"ar"`
	COCO float64 `json:"ar_coco"`
	// Recall is the part of the objects that are found at an IoU of i/100 or more.
	Recall [steps + 1]float64 `json:"recall"`
}

// Class is the average best overlap of a class.
type ClassResult struct {
	Name    string    `json:"name"`
	Objects int       `json:"objects"`
	ABO     []float64 `json:"abo"` // by level
}

// CurvePoint is the AR of the N best boxes.
type CurvePoint struct {
	N  int     `json:"n"`
	AR float64 `json:"ar"`
}

// Report tells what was counted until now.
func (t *Evaluator) Report() *Report {
	r := &Report{Images: t.images, Boxes: mean(float64(t.boxes), t.images), Seconds: mean(float64(t.micros)/1e6, t.timed)}
	for _, n := range t.objects {
		r.Objects += n
	}
	var levels []int // of the cuts
	for cut, n := range t.cuts {
		if _, ok := slices.BinarySearch(t.opts.Budgets, n); ok || n == all {
			levels = append(levels, cut)
			r.Budgets = append(r.Budgets, t.budgetResult(cut, r.Objects))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(t.classes)) {
		c := t.classes[name]
		k := ClassResult{Name: name, Objects: c.objects}
		for i, cut := range levels {
			abo := mean(float64(c.overlap[cut])/unit, c.objects)
			k.ABO = append(k.ABO, abo)
			r.Budgets[i].MABO += abo
		}
		r.Classes = append(r.Classes, k)
	}
	for i := range r.Budgets {
		r.Budgets[i].MABO = mean(r.Budgets[i].MABO, len(r.Classes))
	}
	r.Curve = t.curve(r.Objects)
	return r
}

func (t *Evaluator) budgetResult(cut, objects int) BudgetResult {
	l := BudgetResult{N: t.cuts[cut]}
	if l.N == all {
		l.N = 0
	}
	var sum count
	for area, into := range []*Scores{&l.Small, &l.Medium, &l.Large} {
		c := &t.counts[cut][area]
		sum.add(c)
		*into = c.scores(t.objects[area])
	}
	l.All = sum.scores(objects)
	l.ABO = mean(float64(sum.overlap)/unit, objects)
	return l
}

func (c *count) scores(objects int) Scores {
	s := Scores{Objects: objects, AR: c.ar(objects)}
	var found uint64
	for i := steps; i >= 0; i-- {
		found += c.reached[i]
		s.Recall[i] = mean(float64(found), objects)
	}
	for i := 50; i < 100; i += 5 {
		s.COCO += s.Recall[i] / 10
	}
	return s
}

func (c *count) ar(objects int) float64 { return mean(2*float64(c.over)/unit, objects) }

// curve ends where no picture has more boxes.
func (t *Evaluator) curve(objects int) []CurvePoint {
	var points []CurvePoint
	for cut, n := range t.cuts {
		if _, ok := slices.BinarySearch(curve, n); !ok {
			continue
		}
		var sum count
		for area := range areas {
			sum.add(&t.counts[cut][area])
		}
		points = append(points, CurvePoint{n, sum.ar(objects)})
		if n >= t.most {
			break
		}
	}
	return points
}

func mean(sum float64, n int) float64 {
	if n == 0 {
		return 0
	}
	return sum / float64(n)
}
