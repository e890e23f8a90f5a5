package evaluate

import (
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/proposer/proposer/box"
	"github.com/proposer/proposer/dataset"
)

// drawCrowded draws objects and boxes on a grid so small that many of them are equal, empty, or
// overlap by the same IoU.
func drawCrowded(t *rapid.T) ([]dataset.Object, []box.Box) {
	corner := rapid.IntRange(0, 4)
	draw := func() (x0, y0, x1, y1 int) {
		x0, y0 = corner.Draw(t, "x0"), rapid.IntRange(0, 1).Draw(t, "y0")
		return x0, y0, rapid.IntRange(x0, 5).Draw(t, "x1"), rapid.IntRange(y0, 2).Draw(t, "y1")
	}
	var objects []dataset.Object
	for range rapid.IntRange(0, 6).Draw(t, "objects") {
		x0, y0, x1, y1 := draw()
		objects = append(objects, dataset.Object{
			X0: float64(x0), Y0: float64(y0), X1: float64(x1), Y1: float64(y1),
			Area:      rapid.SampledFrom([]float64{1, 32 * 32, 5000, 96 * 96, 1e6}).Draw(t, "area"),
			Difficult: rapid.IntRange(0, 3).Draw(t, "difficult") == 0,
		})
	}
	boxes := make([]box.Box, rapid.IntRange(0, 15).Draw(t, "boxes"))
	for i := range boxes {
		x0, y0, x1, y1 := draw()
		boxes[i] = box.Box{X0: int32(x0), Y0: int32(y0), X1: int32(x1), Y1: int32(y1)}
	}
	return objects, boxes
}

// matched calls f with a matcher after each number of boxes.
func matched(objects []dataset.Object, boxes []box.Box, difficult bool, f func(n int, m *matcher)) {
	var m matcher
	m.reset(objects, difficult)
	f(0, &m)
	for i := range boxes {
		m.match(appendBoxes(nil, boxes), i)
		m.settle(appendBoxes(nil, boxes))
		f(i+1, &m)
	}
}

func TestMatchesHosang(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		objects, boxes := drawCrowded(t)
		matched(objects, boxes, true, func(n int, m *matcher) {
			want := closestCandidates(objects, boxes[:n])
			for i, o := range m.objects {
				if o.iou != want[i] {
					t.Fatalf("%d boxes: IoU of object %d is %v, closest_candidates.m returns %v", n, i, o.iou, want)
				}
			}
		})
	})
}

func TestMatchesCOCO(t *testing.T) {
	thresholds := linspace(.5, .95, 10)
	if !slices.Equal(cocoThresholds[:], thresholds) {
		t.Fatalf("thresholds are %v, COCOeval's are %v", cocoThresholds, thresholds)
	}
	ranges := [groups][2]float64{{0, 1e5 * 1e5}, {0, 32 * 32}, {32 * 32, 96 * 96}, {96 * 96, 1e5 * 1e5}}
	rapid.Check(t, func(t *rapid.T) {
		objects, boxes := drawCrowded(t)
		difficult := rapid.Bool().Draw(t, "count difficult")
		img := newCOCOImage(objects, boxes, difficult)
		matched(objects, boxes, difficult, func(n int, m *matcher) {
			for group, limits := range ranges {
				dtm, dtIg, _ := cocoEvaluateImg(img, limits, n, thresholds)
				for threshold, got := range m.found[group] {
					want := uint64(0)
					for d, id := range dtm[threshold] {
						if id != 0 && !dtIg[threshold][d] {
							want++
						}
					}
					if got != want {
						t.Fatalf("%d boxes, area range %v, IoU %v: %d objects, COCOeval matches %d", n, limits, thresholds[threshold], got, want)
					}
				}
			}
		})
	})
}

// TestMatchOneToOne has boxes that serve two objects: the measures of one-to-one matching count one.
func TestMatchOneToOne(t *testing.T) {
	object := dataset.Object{X1: 10, Y1: 10, Area: 100, Class: "a"}
	shifted := dataset.Object{X0: 1, X1: 11, Y1: 10, Area: 100, Class: "a"}
	whole, part := box.Box{X1: 10, Y1: 10}, box.Box{X1: 10, Y1: 6}
	for _, c := range []struct {
		name                  string
		objects               []dataset.Object
		boxes                 []box.Box
		abo, ar, coco, recall float64 // recall at IoU .5
	}{
		{"equal objects", []dataset.Object{object, object}, []box.Box{whole}, 1, .5, .5, .5},
		{"equal objects, equal boxes", []dataset.Object{object, object}, []box.Box{whole, whole}, 1, 1, 1, 1},
		{"equal objects, a worse box first", []dataset.Object{object, object}, []box.Box{part, whole}, 1, .6, .65, 1},
		{"a crowd beside an object", []dataset.Object{{X1: 20, Y1: 20, Difficult: true}, object}, []box.Box{whole}, 1, 1, 1, 1},
		{"a box between two objects", []dataset.Object{object, shifted}, []box.Box{{X0: 1, X1: 10, Y1: 10}, whole}, .95, .9, .95, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			e, err := New(Options{})
			if err != nil {
				t.Fatal(err)
			}
			e.Add(&dataset.Image{Objects: c.objects}, c.boxes, 0)
			budgets := e.Report().Budgets
			b := budgets[len(budgets)-1]
			got := [4]float64{b.ABO, b.All.AR, b.All.COCO, b.All.Recall[50]}
			for i, want := range [4]float64{c.abo, c.ar, c.coco, c.recall} {
				if d := got[i] - want; d > 1e-9 || d < -1e-9 {
					t.Errorf("ABO, AR, COCO's AR and recall are %v, want %v", got, [4]float64{c.abo, c.ar, c.coco, c.recall})
					break
				}
			}
		})
	}
}

// TestMatchDisplacedTie has a box that loses its object to a better box and then takes another
// object from a later box of the same IoU, which finds a third.
func TestMatchDisplacedTie(t *testing.T) {
	objects := []dataset.Object{{X1: 1, Y1: 1}, {X1: 2, Y1: 1}, {X1: 3, Y1: 1}}
	boxes := []box.Box{{X0: 1, X1: 3, Y1: 2}, {X1: 2, Y1: 1}, {X1: 2, Y1: 2}}
	matched(objects, boxes, false, func(n int, m *matcher) {
		want := closestCandidates(objects, boxes[:n])
		for i, o := range m.objects {
			if o.iou != want[i] {
				t.Errorf("%d boxes: IoU of object %d is %v, want %v", n, i, o.iou, want[i])
			}
		}
	})
}

// TestAddBoxes checks that boxes with fractions are matched as they are, and others as by Add.
func TestAddBoxes(t *testing.T) {
	img := &dataset.Image{Objects: []dataset.Object{{X0: 20.5, Y0: 15.25, X1: 80, Y1: 55, Class: "a", Area: 2000}}}
	report := func(add func(e *Evaluator)) *Report {
		e, err := New(Options{})
		if err != nil {
			t.Fatal(err)
		}
		add(e)
		return e.Report()
	}
	if r := report(func(e *Evaluator) { e.AddBoxes(img, []Box{{20.5, 15.25, 80, 55}}, 0) }); r.Budgets[0].ABO != 1 {
		t.Errorf("the IoU of the object's own box is %v, want 1", r.Budgets[0].ABO)
	}
	boxes := []box.Box{{X0: 1, Y0: 1, X1: 9, Y1: 9}, {X0: 20, Y0: 15, X1: 80, Y1: 55}}
	want := report(func(e *Evaluator) { e.Add(img, boxes, 0) })
	got := report(func(e *Evaluator) { e.AddBoxes(img, []Box{{1, 1, 9, 9}, {20, 15, 80, 55}}, 0) })
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

func BenchmarkAdd(b *testing.B) {
	r := rand.New(rand.NewPCG(1, 2))
	draw := func() box.Box {
		w, h := 1+r.Int32N(300), 1+r.Int32N(250)
		x, y := r.Int32N(640-w), r.Int32N(480-h)
		return box.Box{X0: x, Y0: y, X1: x + w, Y1: y + h}
	}
	var img dataset.Image
	for range 50 {
		o := draw()
		img.Objects = append(img.Objects, dataset.Object{X0: float64(o.X0), Y0: float64(o.Y0), X1: float64(o.X1), Y1: float64(o.Y1), Class: "a"})
	}
	boxes := make([]box.Box, 20000)
	for i := range boxes {
		boxes[i] = draw()
	}
	e, err := New(Options{})
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		e.Add(&img, boxes, 0)
	}
}
