package train

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/proposer/proposer/box"
	"github.com/proposer/proposer/candidate"
	"github.com/proposer/proposer/dataset"
	"github.com/proposer/proposer/imbalance"
	"github.com/proposer/proposer/internal/testutil/candidates"
	"github.com/proposer/proposer/internal/testutil/scene"
	"github.com/proposer/proposer/objectness"
)

// synthetic is a data set whose target is 1 where the product of features 0 and 2 is
// positive. Features 1 and 3 are noise, feature 4 is constant.
type synthetic struct {
	columns          [][]float32
	mirror           []int
	targets, weights []float32
	used             []int32
}

func newSynthetic(n int) *synthetic {
	rng := rand.New(rand.NewPCG(1, 1))
	s := &synthetic{columns: make([][]float32, 5), mirror: []int{0, 1, 2, 3, 4}}
	for i := range n {
		var row [5]float32
		for f := range row[:4] {
			row[f] = rng.Float32()*2 - 1
		}
		for f, v := range row {
			s.columns[f] = append(s.columns[f], v)
		}
		target := float32(0)
		if row[0]*row[2] > 0 {
			target = 1
		}
		s.targets = append(s.targets, target)
		s.weights = append(s.weights, 1)
		s.used = append(s.used, int32(i))
	}
	return s
}

func (s *synthetic) samples(t *testing.T) *samples {
	t.Helper()
	o := smallOptions()
	samples, err := newSamples(t.Context(), &o, s.columns, s.mirror, s.targets, s.weights, s.used)
	if err != nil {
		t.Fatal(err)
	}
	return samples
}

// smallOptions suit the synthetic data set.
func smallOptions() Options {
	o := DefaultOptions()
	o.Trees.Trees, o.Trees.Rate = 60, .3
	o.Network.Batch, o.Network.Epochs, o.Network.Rate = 64, 30, .01
	return o
}

func mustTrain(t *testing.T, o Options, s *samples) *objectness.Model {
	t.Helper()
	m, err := o.train(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// referenceLogOdds evaluates a model in floating point.
func referenceLogOdds(m *objectness.Model, row []float32) float64 {
	levels := make([]float64, len(row))
	for f, v := range row {
		scaled := min(max((v-m.Means[f])*m.Scales[f], -objectness.FeatureRange), objectness.FeatureRange)
		levels[f] = math.RoundToEven(float64(scaled / levelStep))
	}
	sum, parts := 0., 0.
	if e := m.Trees; e != nil {
		parts++
		sum += float64(e.Bias)
		for _, tree := range e.Trees {
			leaf := 0
			for d, f := range tree.Features {
				if levels[f] >= float64(tree.Thresholds[d]) {
					leaf |= 1 << d
				}
			}
			sum += float64(e.Unit) * float64(tree.Leaves[leaf])
		}
	}
	if n := m.Network; n != nil {
		parts++
		dot := func(weights []float32) float64 {
			sum := 0.
			for f, w := range weights {
				sum += float64(w) * levels[f] * float64(levelStep)
			}
			return sum
		}
		sum += float64(n.Bias) + dot(n.Direct)
		for _, u := range n.Units {
			sum += float64(u.Out) * max(float64(u.Bias)+dot(u.Weights), 0)
		}
	}
	return sum / parts
}

func TestTrainingReducesLoss(t *testing.T) {
	s := newSynthetic(4000).samples(t)
	for name, loss := range map[string]imbalance.Loss{
		"ce": imbalance.CrossEntropy(), "focal": imbalance.Focal(), "alpha": {Alpha: imbalance.Balanced(.25)},
	} {
		t.Run(name, func(t *testing.T) {
			o := smallOptions()
			o.Loss = loss
			losses := map[string][]float64{}
			o.Progress = func(part string, step, steps int, l float64) {
				if step != len(losses[part]) || step >= steps {
					t.Fatalf("%s: got step %d of %d, want %d", part, step, steps, len(losses[part]))
				}
				losses[part] = append(losses[part], l)
			}
			mustTrain(t, o, s)
			for _, part := range []string{"trees", "network"} {
				l := losses[part]
				if first, last := l[0], l[len(l)-1]; last > first/2 {
					t.Errorf("%s: loss from %v to %v, want less than half", part, first, last)
				}
			}
		})
	}
}

// If feature 1 is the mirror image of feature 0, what is learned of one holds for the other.
func TestMirroredSamples(t *testing.T) {
	for part, omitOther := range map[string]func(*Options){
		"trees":   func(o *Options) { o.Network.Epochs = 0 },
		"network": func(o *Options) { o.Trees.Trees = 0 },
	} {
		for _, mirrored := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, mirrored %v", part, mirrored), func(t *testing.T) {
				s := newSynthetic(4000)
				if mirrored {
					s.mirror[0], s.mirror[1] = 1, 0
				}
				for i, v := range s.columns[0] {
					s.targets[i] = 0
					if v > 0 {
						s.targets[i] = 1
					}
				}
				o := smallOptions()
				omitOther(&o)
				m := mustTrain(t, o, s.samples(t))
				effect := func(feature int) float64 {
					low, high := make([]float32, 5), make([]float32, 5)
					low[feature], high[feature] = -.5, .5
					return referenceLogOdds(m, high) - referenceLogOdds(m, low)
				}
				if d := effect(0); d < 1 {
					t.Errorf("feature 0 changes the log-odds by %v, want more than 1", d)
				}
				if d := effect(1); mirrored && d < 1 {
					t.Errorf("feature 1 changes the log-odds by %v, want more than 1", d)
				} else if !mirrored && math.Abs(d) > .5 {
					t.Errorf("feature 1 changes the log-odds by %v, want at most 0.5", d)
				}
			})
		}
	}
}

// The product of two features needs hidden units.
func TestNetworkNeedsUnits(t *testing.T) {
	for _, c := range []struct {
		units              int
		minError, maxError float64
	}{{31, 0, .1}, {0, .3, 1}} {
		t.Run(fmt.Sprint(c.units), func(t *testing.T) {
			o := smallOptions()
			o.Trees.Trees = 0
			o.Network.Units = c.units
			m := mustTrain(t, o, newSynthetic(4000).samples(t))
			s, wrong := newSynthetic(8000), 0.
			for i := 4000; i < 8000; i++ {
				row := []float32{s.columns[0][i], s.columns[1][i], s.columns[2][i], s.columns[3][i], 9} // 9 was never seen
				if (referenceLogOdds(m, row) > 0) != (s.targets[i] > 0) {
					wrong += 1. / 4000
				}
			}
			if wrong < c.minError || wrong > c.maxError {
				t.Errorf("got an error rate of %.3f, want %v to %v", wrong, c.minError, c.maxError)
			}
		})
	}
}

func TestQuantileCutsEqualReference(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		levels := rapid.SliceOf(rapid.Int8Range(-127, 127)).Draw(t, "levels")
		if rapid.Bool().Draw(t, "many") {
			for l := range 127 {
				levels = append(levels, int8(l), int8(-l/2))
			}
		}
		var counts [numLevels]int
		for _, l := range levels {
			counts[levelIndex(l)]++
		}
		slices.Sort(levels)
		var want []int8
		for i := 1; i < maxBins && len(levels) > 0; i++ {
			if l := levels[i*len(levels)/maxBins]; l > levels[0] && !slices.Contains(want, l) {
				want = append(want, l)
			}
		}
		if got := quantileCuts(&counts); !slices.Equal(got, want) {
			t.Fatalf("got %v, want %v", got, want)
		}
	})
}

func TestNetworkGradient(t *testing.T) {
	s := newSynthetic(50).samples(t)
	o := smallOptions()
	o.Loss = imbalance.Focal()
	o.Network = AdamOptions{Units: 3, Batch: 50}
	w := newNetworkWeights(o.Network.Units, 5)
	rng := rand.New(rand.NewPCG(3, 3))
	for i := range w.all() {
		w.all()[i] = float32(rng.NormFloat64())
	}
	p := newBatchPart(50, o.Network.Units, 5)
	rows := make([]int32, 50)
	for i := range rows {
		rows[i] = int32(i)
	}
	loss := func() float64 {
		p.computeGradient(&o, s, rows, &w, rng)
		return p.loss
	}
	loss()
	gradient := slices.Clone(p.gradient.all())
	for i, got := range gradient {
		const h = 1e-2
		v := &w.all()[i]
		at := *v
		*v = at + h
		above := loss()
		*v = at - h
		below := loss()
		*v = at
		if want := (above - below) / (2 * h); math.Abs(want-float64(got)) > .02+.02*math.Abs(want) {
			t.Errorf("weight %d: got %v, want %v", i, got, want)
		}
	}
}

func TestModelDoesNotDependOnThreads(t *testing.T) {
	s := newSynthetic(20_000).samples(t)
	var models []*objectness.Model
	for _, threads := range []int{1, 3} {
		o := DefaultOptions()
		o.Trees.Trees, o.Network.Epochs, o.Threads = 5, 1, threads
		models = append(models, mustTrain(t, o, s))
	}
	if !reflect.DeepEqual(models[0], models[1]) {
		t.Error("the model with 3 threads differs from that with 1")
	}
}

func TestModelDoesNotDependOnOtherSamples(t *testing.T) {
	var models []*objectness.Model
	for _, noise := range []float32{0, 9} {
		s := newSynthetic(3000)
		s.used = s.used[:2000]
		for i := 2000; i < 3000; i++ {
			s.targets[i] = noise / 9
			s.weights[i] = 1 + noise
			for _, c := range s.columns {
				c[i] += noise
			}
		}
		o := smallOptions()
		o.Trees.Trees, o.Network.Epochs = 3, 1
		models = append(models, mustTrain(t, o, s.samples(t)))
	}
	if !reflect.DeepEqual(models[0], models[1]) {
		t.Error("the model depends on samples that are not used")
	}
}

func TestTrainingIsCanceled(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for part, omitOther := range map[string]func(*Options){
		"trees":   func(o *Options) { o.Network.Epochs = 0 },
		"network": func(o *Options) { o.Trees.Trees = 0 },
	} {
		t.Run(part, func(t *testing.T) {
			o := smallOptions()
			omitOther(&o)
			if _, err := o.train(ctx, newSynthetic(100).samples(t)); !errors.Is(err, context.Canceled) {
				t.Errorf("got error %v, want %v", err, context.Canceled)
			}
		})
	}
}

func TestValidate(t *testing.T) {
	valid := DefaultOptions()
	if err := valid.Validate(); err != nil {
		t.Fatal(err)
	}
	for name, modify := range map[string]func(*Options){
		"no part":       func(o *Options) { o.Trees.Trees, o.Network.Epochs = 0, 0 },
		"trees":         func(o *Options) { o.Trees.Trees = -1 },
		"rate of trees": func(o *Options) { o.Trees.Rate = 0 },
		"L2":            func(o *Options) { o.Trees.L2 = math.NaN() },
		"subsample":     func(o *Options) { o.Trees.Subsample = 2 },
		"colsample":     func(o *Options) { o.Trees.ColSample = 0 },
		"epochs":        func(o *Options) { o.Network.Epochs = 1e6 },
		"units":         func(o *Options) { o.Network.Units = -1 },
		"batch":         func(o *Options) { o.Network.Batch = 0 },
		"network rate":  func(o *Options) { o.Network.Rate = 2 },
		"dropout":       func(o *Options) { o.Network.Dropout = 1 },
		"loss":          func(o *Options) { o.Loss.Gamma = -1 },
		"exclude":       func(o *Options) { o.Exclude = []string{"votes", "sides"} },
		"exclude empty": func(o *Options) { o.Exclude = []string{""} },
	} {
		t.Run(name, func(t *testing.T) {
			o := DefaultOptions()
			modify(&o)
			if o.Validate() == nil {
				t.Error("got no error")
			}
		})
	}
	o := DefaultOptions()
	o.Exclude = []string{"sides"}
	if err := o.Validate(); err == nil || !strings.Contains(err.Error(), "trees, place, votes, inside, around, grid") {
		t.Errorf("unknown group: got error %v, want one that lists the known groups", err)
	}
}

// addCandidates adds the candidates of a drawn image, with a match each.
func addCandidates(t *testing.T, trainer *Trainer, match func(i int) Match) {
	t.Helper()
	set := candidates.Collect(t, scene.Render(1, 160, 120, 4).Image)
	matches := make([]Match, len(set.Candidates))
	for i := range matches {
		matches[i] = match(i)
	}
	if err := trainer.Add(t.Context(), 0, set, matches); err != nil {
		t.Fatal(err)
	}
}

func TestIgnoredBoxesAreNotBackground(t *testing.T) {
	t.Run("half on an object", func(t *testing.T) {
		trainer := NewTrainer(1)
		addCandidates(t, trainer, func(i int) Match { return Match{IoU: .6 * float64(1-i%2), Ignore: true} })
		if got, want := trainer.Samples(), (trainer.boxCount+1)/2; got != want || got == 0 {
			t.Errorf("got %d samples, want %d", got, want)
		}
		if slices.Contains(trainer.targets, 0) {
			t.Error("got a sample with target 0, want those on objects alone")
		}
	})
	t.Run("none on an object", func(t *testing.T) {
		trainer := NewTrainer(1)
		addCandidates(t, trainer, func(int) Match { return Match{IoU: .45, Ignore: true} })
		if got := trainer.Samples(); got != 0 {
			t.Errorf("got %d samples, want 0", got)
		}
	})
}

func TestTrainNeedsObjects(t *testing.T) {
	trainer := NewTrainer(1)
	addCandidates(t, trainer, func(int) Match { return Match{} })
	if _, err := trainer.Train(t.Context(), DefaultOptions(), objectness.Metadata{}, nil); err == nil {
		t.Error("got no error for images without objects")
	}
}

// Excluded features are not standardized, so no part of a model can use them.
func TestExclude(t *testing.T) {
	trainer := NewTrainer(1)
	addCandidates(t, trainer, func(i int) Match { return Match{IoU: float64(i%4) / 4} })
	o := DefaultOptions()
	o.Trees.Trees, o.Network.Epochs = 3, 1
	o.Exclude = []string{"votes", "grid"}
	ranker, err := trainer.Train(t.Context(), o, objectness.Metadata{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	var file bytes.Buffer
	if err := ranker.Write(&file); err != nil {
		t.Fatal(err)
	}
	var got struct {
		Features []string
		Model    struct{ Scales []float32 }
	}
	if err := json.Unmarshal(file.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	for f, name := range got.Features {
		if group, _, _ := strings.Cut(name, "."); slices.Contains(o.Exclude, group) && got.Model.Scales[f] != 0 {
			t.Errorf("%s: got scale %v, want 0", name, got.Model.Scales[f])
		}
	}
}

func TestMatches(t *testing.T) {
	objects := []dataset.Object{
		{X0: 0, Y0: 0, X1: 10, Y1: 10},
		{X0: 0, Y0: 0, X1: 100, Y1: 50, Difficult: true},
		{X0: 0, Y0: 0, X1: 10, Y1: 20},
	}
	for _, c := range []struct {
		name string
		box  box.Box
		want Match
	}{
		{"in both an object and a difficult one", box.Box{X1: 10, Y1: 18}, Match{Object: 2, IoU: .9, Ignore: true}},
		{"half in a difficult object", box.Box{X1: 100, Y1: 100}, Match{Object: 2, IoU: .02, Ignore: true}},
		{"less than half in a difficult object", box.Box{X1: 100, Y1: 101}, Match{Object: 2, IoU: 200. / 10100}},
		{"disjoint", box.Box{X0: 200, X1: 201, Y1: 1}, Match{}},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := Matches([]candidate.Candidate{{Box: c.box}}, objects)[0]; got != c.want {
				t.Errorf("got %+v, want %+v", got, c.want)
			}
		})
	}
}
