// Package evaluate measures how well box proposals cover the annotated objects of a data set.
//
// An [Evaluator] takes images with their ground truth (see package dataset) and their proposals,
// and makes a [Report]. [Run] does that for all images of a data set, in parallel.
//
// The measures, for the N best boxes of each image (a budget) and for all boxes, are:
//
//   - Recall at an IoU threshold: the fraction of the objects that are matched with a box by at least
//     that IoU. Objects and boxes are matched one to one, as in the program of Hosang et al. ("What
//     makes for effective detection proposals?", TPAMI 2016): the pair of the highest IoU first, then
//     the highest of the pairs that remain, and so on.
//   - AR, the average recall of Hosang et al. (§5.2): twice the area under that recall over IoU from
//     0.5 to 1, which equals the mean over the objects of 2·max(IoU−0.5, 0).
//   - COCO's AR, as COCOeval of pycocotools computes it with useCats=0: the mean of recall at the IoUs
//     0.50, 0.55, … 0.95, where at each IoU the boxes in order take the best object that is left.
//   - ABO, the mean over the objects of the IoU with the best box, and MABO, the mean over the classes of
//     the ABO of their objects (Uijlings et al., IJCV 2013, §5). One box may be the best of several
//     objects.
//
// Recall and AR are also those of small, medium and large objects by [dataset.Object.Area].
//
// [Repeatability] measures how stable the proposals are when an image changes slightly.
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

// Options configures an [Evaluator]. The zero value is the default.
type Options struct {
	// Budgets lists the numbers of best boxes to evaluate, each at least 1, in addition to all
	// boxes. Nil means [DefaultBudgets].
	Budgets []int
	// Difficult also counts the objects that are marked as difficult or as a crowd.
	Difficult bool
}

// DefaultBudgets returns the budgets of the zero Options: 10, 100, 300, 1000 and 2000.
func DefaultBudgets() []int { return []int{10, 100, 300, 1000, 2000} }

// maxBudgets bounds the memory of an Evaluator. Useful tables have far fewer rows.
const maxBudgets = 100

// curveBudgets is the numbers of boxes of [Report.Curve]: ten per decade.
var curveBudgets = func() []int {
	var ns []int
	for i := range 51 {
		ns = append(ns, int(math.Round(math.Pow(10, float64(i)/10))))
	}
	return slices.Compact(ns)
}()

// steps is the number of IoU thresholds above 0 for which recall is counted: 1/steps, 2/steps, … 1.
const steps = 100

// unit represents an IoU of 1 in fixed point. Integer sums do not depend on the order of the terms;
// they hold 2³¹ objects.
const unit = 1 << 32

// sums accumulates the matches of a group of objects under one budget.
type sums struct {
	excess    uint64                      // sum of max(IoU−0.5, 0)
	histogram [steps + 1]uint64           // number of IoUs in [i, i+1)/steps
	coco      [len(cocoThresholds)]uint64 // number of objects that COCOeval matches
}

// classSums accumulates the IoUs of the objects of one class with their best boxes.
type classSums struct {
	objects int
	iou     []uint64 // by cutoff
}

// An Evaluator accumulates the results of images. Its memory does not depend on the number of
// images. It is not safe for concurrent use: goroutines use one each and [Evaluator.Merge] them.
type Evaluator struct {
	opts     Options
	cutoffs  []int // numbers of boxes, ascending; the last is all
	sums     [][groups]sums
	objects  [groups]int
	classes  map[string]*classSums
	images   int
	timed    int // images whose time is known
	boxes    int64
	maxBoxes int // of one image
	micros   int64
	matcher  matcher

	converted []Box // reused by Add
}

// New returns an empty Evaluator. It returns an error if a budget is below 1 or if there are more
// than 100.
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
			return nil, fmt.Errorf("evaluate: budget %d: want 1 or more", n)
		}
	}

	e := &Evaluator{opts: opts, classes: map[string]*classSums{}}
	e.cutoffs = slices.Concat(opts.Budgets, curveBudgets, []int{all})
	slices.Sort(e.cutoffs)
	e.cutoffs = slices.Compact(e.cutoffs)
	e.sums = make([][groups]sums, len(e.cutoffs))
	return e, nil
}

// all is the cutoff that takes in every box.
const all = math.MaxInt

// Box is the half-open rectangle [X0, X1) × [Y0, Y1) in pixels. Its corners may have fractions, as those
// of other programs do.
type Box struct{ X0, Y0, X1, Y1 float64 }

func (b *Box) iou(o *dataset.Object) float64 { return o.RectIoU(b.X0, b.Y0, b.X1, b.Y1) }

// Add adds an image with its ground truth and its proposals, best first. Took is the time of the
// search, or 0 if it is unknown. An image without proposals counts: its objects are missed. Add
// usually takes O(objects × boxes) time.
func (e *Evaluator) Add(img *dataset.Image, boxes []box.Box, took time.Duration) {
	e.converted = appendBoxes(e.converted[:0], boxes)
	e.AddBoxes(img, e.converted, took)
}

func appendBoxes(dst []Box, boxes []box.Box) []Box {
	for _, b := range boxes {
		dst = append(dst, Box{float64(b.X0), float64(b.Y0), float64(b.X1), float64(b.Y1)})
	}
	return dst
}

// AddBoxes is [Evaluator.Add] for boxes with fractions.
func (e *Evaluator) AddBoxes(img *dataset.Image, boxes []Box, took time.Duration) {
	e.images++
	e.boxes += int64(len(boxes))
	e.maxBoxes = max(e.maxBoxes, len(boxes))
	if took > 0 {
		e.timed++
		e.micros += took.Microseconds()
	}

	m := &e.matcher
	m.reset(img.Objects, e.opts.Difficult)
	for i := range m.objects {
		o := &m.objects[i]
		e.class(o.Class).objects++
		for group, in := range o.groups {
			if in {
				e.objects[group]++
			}
		}
	}
	cutoff := 0
	for i := range boxes {
		for i >= e.cutoffs[cutoff] {
			e.count(cutoff, boxes)
			cutoff++
		}
		m.match(boxes, i)
	}
	for ; cutoff < len(e.cutoffs); cutoff++ {
		e.count(cutoff, boxes)
	}
}

// count adds the matches with the boxes so far to the sums of a cutoff.
func (e *Evaluator) count(cutoff int, boxes []Box) {
	e.matcher.settle(boxes)
	sums := &e.sums[cutoff]
	for i := range e.matcher.objects {
		o := &e.matcher.objects[i]
		e.class(o.Class).iou[cutoff] += fixed(o.best)
		excess, at := max(fixed(o.iou), unit/2)-unit/2, step(o.iou)
		for group, in := range o.groups {
			if in {
				sums[group].excess += excess
				sums[group].histogram[at]++
			}
		}
	}
	for group := range sums {
		for threshold, n := range e.matcher.found[group] {
			sums[group].coco[threshold] += n
		}
	}
}

// fixed returns an IoU in fixed point.
func fixed(iou float64) uint64 { return uint64(math.Round(iou * unit)) }

// class returns the sums of the named class.
func (e *Evaluator) class(name string) *classSums {
	c := e.classes[name]
	if c == nil {
		c = &classSums{iou: make([]uint64, len(e.cutoffs))}
		e.classes[name] = c
	}
	return c
}

// step returns the largest i for which iou >= i/steps. The product iou*steps may round to either
// side.
func step(iou float64) int {
	i := min(int(iou*steps), steps)
	if i > 0 && iou < float64(i)/steps {
		i--
	} else if i < steps && iou >= float64(i+1)/steps {
		i++
	}
	return i
}

// Merge adds the results of another Evaluator. The report does not depend on the order of merging.
// Merge returns an error if the options of the two differ.
func (e *Evaluator) Merge(other *Evaluator) error {
	if e.opts.Difficult != other.opts.Difficult || !slices.Equal(e.opts.Budgets, other.opts.Budgets) {
		return errors.New("evaluate: merge of evaluators with different options: want equal options")
	}

	e.images += other.images
	e.timed += other.timed
	e.boxes += other.boxes
	e.maxBoxes = max(e.maxBoxes, other.maxBoxes)
	e.micros += other.micros
	for group, n := range other.objects {
		e.objects[group] += n
	}
	for cutoff := range other.sums {
		for group := range groups {
			e.sums[cutoff][group].add(&other.sums[cutoff][group])
		}
	}
	for name, from := range other.classes {
		c := e.class(name)
		c.objects += from.objects
		for cutoff, v := range from.iou {
			c.iou[cutoff] += v
		}
	}
	return nil
}

func (s *sums) add(t *sums) {
	s.excess += t.excess
	for i, n := range t.histogram {
		s.histogram[i] += n
	}
	for i, n := range t.coco {
		s.coco[i] += n
	}
}

// Report is the result of an evaluation. Means over nothing are 0. All measures are in [0,1].
type Report struct {
	// Images is the number of images, Objects the number of objects that count.
	Images  int `json:"images"`
	Objects int `json:"objects"`
	// Boxes is the mean number of proposals per image.
	Boxes float64 `json:"boxes"`
	// Seconds is the mean search time over the images whose time is known.
	Seconds float64 `json:"seconds"`
	// Budgets holds the results of the budgets, ascending, and last that of all boxes.
	Budgets []BudgetResult `json:"levels"`
	// Classes holds the results of the classes, sorted by name.
	Classes []ClassResult `json:"classes"`
	// Curve is AR over the number of boxes, up to the largest number of boxes of an image.
	Curve []CurvePoint `json:"curve"`
}

// BudgetResult is the result for the N best boxes of each image.
type BudgetResult struct {
	N int `json:"n"` // 0 means all boxes
	// ABO is the mean over the objects of the IoU with the best box, MABO the mean over the classes
	// of their ABO.
	ABO  float64 `json:"abo"`
	MABO float64 `json:"mabo"`
	// All holds the scores of all objects. The others are of objects with an area of up to 32²
	// pixels, from 32² to 96², and from 96². As in COCO's, an object on a bound is in both groups.
	All    Scores `json:"all"`
	Small  Scores `json:"small"`
	Medium Scores `json:"medium"`
	Large  Scores `json:"large"`
}

// Scores is the recall of some objects.
type Scores struct {
	Objects int `json:"objects"`
	// AR is Hosang's average recall, COCO that of COCOeval.
	AR   float64 `json:"ar"`
	COCO float64 `json:"ar_coco"`
	// Recall[i] is the fraction of the objects that are matched with an IoU of at least i/100, by
	// Hosang's matching.
	Recall [101]float64 `json:"recall"`
}

// ClassResult is the average best overlap of the objects of a class.
type ClassResult struct {
	Name    string    `json:"name"`
	Objects int       `json:"objects"`
	ABO     []float64 `json:"abo"` // by index of [Report.Budgets]
}

// CurvePoint is the AR of the N best boxes.
type CurvePoint struct {
	N  int     `json:"n"`
	AR float64 `json:"ar"`
}

// Report returns the result of the images added so far.
func (e *Evaluator) Report() *Report {
	r := &Report{
		Images:  e.images,
		Objects: e.objects[anySize],
		Boxes:   mean(float64(e.boxes), e.images),
		Seconds: mean(float64(e.micros)/1e6, e.timed),
	}
	var reported []int // indices of e.cutoffs
	for cutoff, n := range e.cutoffs {
		if _, ok := slices.BinarySearch(e.opts.Budgets, n); ok || n == all {
			reported = append(reported, cutoff)
			r.Budgets = append(r.Budgets, e.budgetResult(cutoff))
		}
	}

	for _, name := range slices.Sorted(maps.Keys(e.classes)) {
		c := e.classes[name]
		result := ClassResult{Name: name, Objects: c.objects}
		for i, cutoff := range reported {
			abo := mean(float64(c.iou[cutoff])/unit, c.objects)
			result.ABO = append(result.ABO, abo)
			r.Budgets[i].MABO += abo
		}
		r.Classes = append(r.Classes, result)
	}
	for i := range r.Budgets {
		r.Budgets[i].MABO = mean(r.Budgets[i].MABO, len(r.Classes))
	}
	r.Curve = e.curve()
	return r
}

func (e *Evaluator) budgetResult(cutoff int) BudgetResult {
	b := BudgetResult{N: e.cutoffs[cutoff]}
	if b.N == all {
		b.N = 0
	}
	for group, scores := range []*Scores{&b.All, &b.Small, &b.Medium, &b.Large} {
		*scores = e.sums[cutoff][group].scores(e.objects[group])
	}
	var iou uint64
	for _, c := range e.classes {
		iou += c.iou[cutoff]
	}
	b.ABO = mean(float64(iou)/unit, e.objects[anySize])
	return b
}

func (s *sums) scores(objects int) Scores {
	scores := Scores{Objects: objects, AR: s.ar(objects)}
	var found uint64
	for i := steps; i >= 0; i-- {
		found += s.histogram[i]
		scores.Recall[i] = mean(float64(found), objects)
	}
	found = 0
	for _, n := range s.coco {
		found += n
	}
	scores.COCO = mean(float64(found)/float64(len(s.coco)), objects)
	return scores
}

func (s *sums) ar(objects int) float64 { return mean(2*float64(s.excess)/unit, objects) }

// curve returns AR at the curve's budgets, up to the first at which no image has more boxes.
func (e *Evaluator) curve() []CurvePoint {
	var points []CurvePoint
	for cutoff, n := range e.cutoffs {
		if _, ok := slices.BinarySearch(curveBudgets, n); !ok {
			continue
		}
		points = append(points, CurvePoint{n, e.sums[cutoff][anySize].ar(e.objects[anySize])})
		if n >= e.maxBoxes {
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
