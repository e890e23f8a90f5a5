package evaluate

import (
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/proposer/proposer/box"
	"github.com/proposer/proposer/dataset"
	"github.com/proposer/proposer/internal/testutil/e2e"
)

// input is an image as Add takes it.
type input struct {
	img   dataset.Image
	boxes []box.Box
	took  time.Duration
}

// evaluated returns an Evaluator to which inputs were added.
func evaluated(t rapid.TB, opts Options, inputs []input) *Evaluator {
	t.Helper()
	e, err := New(opts)
	if err != nil {
		t.Fatal(err)
	}
	for i := range inputs {
		e.Add(&inputs[i].img, inputs[i].boxes, inputs[i].took)
	}
	return e
}

// drawInputs draws objects and boxes that often overlap, and often by a round fraction.
func drawInputs(t *rapid.T) []input {
	side := rapid.IntRange(0, 12)
	var all []input
	for i := range rapid.IntRange(0, 5).Draw(t, "images") {
		scale := rapid.SampledFrom([]float64{.25, 1, 7, 40}).Draw(t, "scale")
		p := input{img: dataset.Image{File: fmt.Sprint(i, ".jpg")}, took: time.Duration(rapid.IntRange(0, 1000).Draw(t, "ms")) * time.Millisecond}
		for range rapid.IntRange(0, 5).Draw(t, "objects") {
			x, y := float64(side.Draw(t, "x")), float64(side.Draw(t, "y"))
			o := dataset.Object{
				X0: x * scale, Y0: y * scale,
				X1: (x + float64(side.Draw(t, "w"))) * scale, Y1: (y + float64(side.Draw(t, "h"))) * scale,
				Class: rapid.SampledFrom([]string{"a", "b", "c"}).Draw(t, "class"), Difficult: rapid.Bool().Draw(t, "difficult"),
			}
			o.Area = rapid.SampledFrom([]float64{o.BoxArea(), o.BoxArea() / 2, 0, 32 * 32, 96 * 96}).Draw(t, "area")
			p.img.Objects = append(p.img.Objects, o)
		}
		for range rapid.IntRange(0, 30).Draw(t, "boxes") {
			x, y := side.Draw(t, "bx"), side.Draw(t, "by")
			p.boxes = append(p.boxes, box.Box{
				X0: int32(float64(x) * scale), Y0: int32(float64(y) * scale),
				X1: int32(float64(x+side.Draw(t, "bw")) * scale), Y1: int32(float64(y+side.Draw(t, "bh")) * scale),
			})
		}
		all = append(all, p)
	}
	return all
}

// referenceReport follows the definitions, budget by budget and object by object.
func referenceReport(opts Options, inputs []input) *Report {
	r := &Report{Images: len(inputs)}
	var seconds []float64
	for _, p := range inputs {
		r.Boxes += float64(len(p.boxes)) / float64(len(inputs))
		if p.took > 0 {
			seconds = append(seconds, p.took.Seconds())
		}
	}
	r.Seconds = average(seconds)
	for _, n := range slices.Concat(opts.Budgets, []int{0}) {
		r.Budgets = append(r.Budgets, referenceBudget(r, n, opts.Difficult, inputs))
	}
	r.Objects = r.Budgets[0].All.Objects
	return r
}

// referenceBudget returns the result of the n best boxes and adds to r.Classes.
func referenceBudget(r *Report, n int, difficult bool, inputs []input) BudgetResult {
	b := BudgetResult{N: n}
	var best []float64
	classes := map[string][]float64{}
	ranges := [groups][2]float64{{0, 1e5 * 1e5}, {0, 32 * 32}, {32 * 32, 96 * 96}, {96 * 96, 1e5 * 1e5}}
	var overlaps [groups][]float64
	var images []cocoImage
	for _, p := range inputs {
		boxes := p.boxes
		if n > 0 {
			boxes = boxes[:min(n, len(boxes))]
		}
		images = append(images, newCOCOImage(p.img.Objects, p.boxes, difficult))
		objects := slices.DeleteFunc(slices.Clone(p.img.Objects), func(o dataset.Object) bool { return o.Difficult && !difficult })
		matched := closestCandidates(objects, boxes)
		for i, o := range objects {
			highest := 0.0
			for _, c := range boxes {
				highest = max(highest, referenceIoU(o, c))
			}
			best = append(best, highest)
			classes[o.Class] = append(classes[o.Class], highest)
			for group, limits := range ranges {
				if o.Area >= limits[0] && o.Area <= limits[1] {
					overlaps[group] = append(overlaps[group], matched[i])
				}
			}
		}
	}

	b.ABO = average(best)
	for group, s := range []*Scores{&b.All, &b.Small, &b.Medium, &b.Large} {
		*s = scores(overlaps[group])
		maxDet := n
		if n == 0 {
			maxDet = all
		}
		var objects int
		if s.COCO, objects = cocoRecall(images, ranges[group], maxDet); objects != s.Objects {
			panic(fmt.Sprintf("COCO has %d objects, want %d", objects, s.Objects))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(classes)) {
		abo := average(classes[name])
		b.MABO += abo / float64(len(classes))
		i := slices.IndexFunc(r.Classes, func(c ClassResult) bool { return c.Name == name })
		if i < 0 {
			i = len(r.Classes)
			r.Classes = append(r.Classes, ClassResult{Name: name, Objects: len(classes[name])})
		}
		r.Classes[i].ABO = append(r.Classes[i].ABO, abo)
	}
	return b
}

func referenceIoU(o dataset.Object, b box.Box) float64 {
	w := min(o.X1, float64(b.X1)) - max(o.X0, float64(b.X0))
	h := min(o.Y1, float64(b.Y1)) - max(o.Y0, float64(b.Y0))
	if w <= 0 || h <= 0 {
		return 0
	}
	inter := w * h
	return inter / ((o.X1-o.X0)*(o.Y1-o.Y0) + float64(b.Area()) - inter)
}

func average(v []float64) float64 {
	sum := 0.0
	for _, x := range v {
		sum += x
	}
	return sum / max(1, float64(len(v)))
}

// scores returns the scores of matched objects, except for COCO's.
func scores(overlaps []float64) Scores {
	s := Scores{Objects: len(overlaps)}
	for _, o := range overlaps {
		s.AR += 2 * min(max(o-.5, 0), .5) / float64(len(overlaps))
		for i := range s.Recall {
			if o >= float64(i)/100 {
				s.Recall[i] += 1 / float64(len(overlaps))
			}
		}
	}
	if len(overlaps) > 0 {
		if sampled := computeAverageRecall(overlaps); math.Abs(s.AR-sampled) > .0011 {
			panic(fmt.Sprintf("AR is %v, compute_average_recall.m returns %v", s.AR, sampled))
		}
	}
	return s
}

// equalReports fails the test unless two values agree within about 2⁻³², field by field.
func equalReports(t rapid.TB, path string, got, want reflect.Value) {
	t.Helper()
	switch got.Kind() {
	case reflect.Pointer:
		equalReports(t, path, got.Elem(), want.Elem())
	case reflect.Struct:
		for i := range got.NumField() {
			equalReports(t, path+"."+got.Type().Field(i).Name, got.Field(i), want.Field(i))
		}
	case reflect.Slice, reflect.Array:
		if got.Len() != want.Len() {
			t.Fatalf("%s: %d items, want %d", path, got.Len(), want.Len())
		}
		for i := range got.Len() {
			equalReports(t, fmt.Sprintf("%s[%d]", path, i), got.Index(i), want.Index(i))
		}
	case reflect.Float64:
		if d := got.Float() - want.Float(); !(math.Abs(d) < 1e-9) {
			t.Fatalf("%s: %v, want %v", path, got.Float(), want.Float())
		}
	default:
		if !got.Equal(want) {
			t.Fatalf("%s: %v, want %v", path, got, want)
		}
	}
}

func drawOptions(t *rapid.T) Options {
	return Options{
		Budgets:   slices.Compact(slices.Sorted(slices.Values(rapid.SliceOfN(rapid.IntRange(1, 40), 1, 5).Draw(t, "budgets")))),
		Difficult: rapid.Bool().Draw(t, "count difficult"),
	}
}

func TestReportMatchesReference(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		opts, inputs := drawOptions(t), drawInputs(t)
		got, want := evaluated(t, opts, inputs).Report(), referenceReport(opts, inputs)

		most := 0
		for _, p := range inputs {
			most = max(most, len(p.boxes))
		}
		for i, p := range got.Curve {
			ar := referenceReport(Options{Budgets: []int{p.N}, Difficult: opts.Difficult}, inputs).Budgets[0].All.AR
			if math.Abs(p.AR-ar) > 1e-9 || i > 0 && got.Curve[i-1].N >= most || i == len(got.Curve)-1 && p.N < most {
				t.Fatalf("point %d of the curve is %v, want AR %v; the most boxes are %d", i, p, ar, most)
			}
		}
		got.Curve = nil
		equalReports(t, "report", reflect.ValueOf(got), reflect.ValueOf(want))
	})
}

func TestMergeOrderDoesNotMatter(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		opts, inputs := drawOptions(t), drawInputs(t)
		want := evaluated(t, opts, inputs).Report()
		parts := []*Evaluator{evaluated(t, opts, nil), evaluated(t, opts, nil), evaluated(t, opts, nil)}
		for _, p := range rapid.Permutation(inputs).Draw(t, "order") {
			parts[rapid.IntRange(0, 2).Draw(t, "part")].Add(&p.img, p.boxes, p.took)
		}
		parts = rapid.Permutation(parts).Draw(t, "merging")
		for _, p := range parts[1:] {
			if err := parts[0].Merge(p); err != nil {
				t.Fatal(err)
			}
		}
		if got := parts[0].Report(); !reflect.DeepEqual(got, want) {
			t.Fatalf("got %+v\nwant %+v", got, want)
		}
	})
}

// TestReportIsMonotonic checks that more boxes never lower a score, that recall falls with the IoU,
// and that a box equal to the object finds it at each IoU.
func TestReportIsMonotonic(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		opts, inputs := drawOptions(t), drawInputs(t)
		r := evaluated(t, opts, inputs).Report()
		for i := 1; i < len(r.Budgets); i++ {
			a, b := r.Budgets[i-1], r.Budgets[i]
			if a.MABO > b.MABO || a.ABO > b.ABO || a.All.AR > b.All.AR || a.All.COCO > b.All.COCO || a.Small.AR > b.Small.AR {
				t.Fatalf("budget %+v has a better score than %+v", a, b)
			}
		}
		for _, l := range r.Budgets {
			for i := range steps {
				if l.All.Recall[i] < l.All.Recall[i+1] {
					t.Fatalf("recall rises with the IoU, at %d: %v", i, l.All.Recall)
				}
			}
		}
	})
	exact := []input{{img: dataset.Image{Objects: []dataset.Object{{X0: 3, Y0: 4, X1: 50, Y1: 60, Class: "a", Area: 47 * 56}}}, boxes: []box.Box{{X0: 3, Y0: 4, X1: 50, Y1: 60}}}}
	l := evaluated(t, Options{}, exact).Report().Budgets[0]
	if l.MABO != 1 || l.All.AR != 1 || math.Abs(l.All.COCO-1) > 1e-12 || l.All.Recall[steps] != 1 || l.Medium.AR != 1 || l.Small.Objects != 0 {
		t.Errorf("%+v", l)
	}
}

func TestStep(t *testing.T) {
	for i := range steps + 1 {
		at := float64(i) / steps
		if got := step(at); got != i {
			t.Errorf("step(%v) is %d, want %d", at, got, i)
		}
		if got := step(math.Nextafter(at, -1)); i > 0 && got != i-1 {
			t.Errorf("just below %v it is %d, want %d", at, got, i-1)
		}
	}
}

func TestNewErrors(t *testing.T) {
	for _, c := range []struct {
		budgets []int
		want    string
	}{
		{[]int{10, 0}, "budget 0: want 1"},
		{[]int{-1}, "budget -1"},
		{make([]int, 101), "101 budgets: want at most 100"},
	} {
		t.Run(c.want, func(t *testing.T) {
			if _, err := New(Options{Budgets: c.budgets}); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("New with %d budgets: got %v, want %q", len(c.budgets), err, c.want)
			}
		})
	}
}

func TestMergeOptions(t *testing.T) {
	for _, c := range []struct {
		name string
		opts Options
		ok   bool
	}{
		{"equal", Options{Budgets: []int{2000, 10, 100, 300, 1000, 10}}, true},
		{"other budgets", Options{Budgets: []int{7}}, false},
		{"other objects", Options{Difficult: true}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			if err := evaluated(t, Options{}, nil).Merge(evaluated(t, c.opts, nil)); (err == nil) != c.ok {
				t.Errorf("got %v, want success: %v", err, c.ok)
			}
		})
	}
}

// TestReportMatchesReferenceProgram compares reports with the output of an independent program in
// Python. Its AR and recall let a box match several objects and are therefore at least as high.
func TestReportMatchesReferenceProgram(t *testing.T) {
	program := e2e.Data(t, "..", "tools", "evaluate.py")
	python := e2e.Python(t, "import numpy", "NumPy")
	for seed := range 3 {
		r := rapid.Custom(drawMany).Example(seed)
		groundTruth := map[string][][6]any{}
		var lines strings.Builder
		for _, p := range r {
			groundTruth[p.img.File] = [][6]any{}
			for _, o := range p.img.Objects {
				difficult := 0
				if o.Difficult {
					difficult = 1
				}
				groundTruth[p.img.File] = append(groundTruth[p.img.File], [6]any{o.X0, o.Y0, o.X1, o.Y1, o.Class, difficult})
			}
			boxes := slices.Clip(append([]box.Box{}, p.boxes...))
			row, err := json.Marshal(map[string]any{"file": p.img.File, "seconds": p.took.Seconds(), "boxes": boxes})
			if err != nil {
				t.Fatal(err)
			}
			lines.Write(append(row, '\n'))
		}
		gt, err := json.Marshal(groundTruth)
		if err != nil {
			t.Fatal(err)
		}
		dir := t.TempDir()
		files := []string{filepath.Join(dir, "gt.json"), filepath.Join(dir, "boxes.jsonl")}
		for i, data := range []string{string(gt), lines.String()} {
			if err := os.WriteFile(files[i], []byte(data), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		out := e2e.Output(t, exec.CommandContext(t.Context(), python, program, files[0], files[1], "x"))
		got := evaluated(t, Options{}, r).Report()
		allBoxes := got.Budgets[len(got.Budgets)-1]
		values := map[string]float64{
			"images": float64(got.Images), "objects": float64(got.Objects), "boxes": got.Boxes, "seconds": got.Seconds,
			"MABO": allBoxes.MABO, "ABO": allBoxes.ABO,
		}
		lower := map[string]float64{
			"R@0.5": allBoxes.All.Recall[50], "R@0.7": allBoxes.All.Recall[70], "R@0.8": allBoxes.All.Recall[80], "AR@all": allBoxes.All.AR,
		}
		for _, l := range got.Budgets[:len(got.Budgets)-1] {
			lower[fmt.Sprint("AR@", l.N)] = l.All.AR
		}
		compared := 0
		for field := range strings.FieldsSeq(string(out)) {
			name, text, _ := strings.Cut(field, "=")
			if name == "name" || strings.HasPrefix(name, "cocoAR") { // of equal IoUs the program takes another than COCOeval
				continue
			}
			compared++
			within := 6e-5
			if name == "boxes" {
				within = 6e-2
			}
			var want float64
			if err := json.Unmarshal([]byte(text), &want); err != nil {
				t.Fatalf("%s: %v", field, err)
			}
			if v, ok := lower[name]; ok && v > want+within || !ok && math.Abs(values[name]-want) > within {
				t.Errorf("%s = %v, the program prints %s", name, max(v, values[name]), text)
			}
		}
		if compared != 15 {
			t.Errorf("%d values compared, want 15: %s", compared, out)
		}
	}
}

// drawMany draws images with many boxes, some close to the objects, and with a time each. There are
// no empty boxes: the reference program divides by 0 for two of them.
func drawMany(t *rapid.T) []input {
	var all []input
	for range 10 {
		for _, p := range drawInputs(t) {
			p.img.File = fmt.Sprint(len(all), ".jpg")
			p.took += time.Millisecond
			p.img.Objects = slices.DeleteFunc(p.img.Objects, func(o dataset.Object) bool { return o.BoxArea() == 0 })
			for i := range int32(2500) {
				k := i * 7919 % 10007
				p.boxes = append(p.boxes, box.Box{X0: k % 40, Y0: k % 37, X1: k%40 + 1 + k%61, Y1: k%37 + 1 + k%59})
			}
			for i, o := range p.img.Objects {
				near := box.Box{X0: int32(o.X0), Y0: int32(o.Y0), X1: int32(o.X1) + 1, Y1: int32(o.Y1) + 1}
				p.boxes = slices.Insert(p.boxes, (len(all)+i)*97%2500, near)
			}
			p.boxes = slices.DeleteFunc(p.boxes, box.Box.Empty)
			all = append(all, p)
		}
	}
	return all
}
