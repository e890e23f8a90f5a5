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
	"sync"
	"testing"

	"pgregory.net/rapid"

	"github.com/proposer/proposer/box"
	"github.com/proposer/proposer/candidate"
	"github.com/proposer/proposer/dataset"
	"github.com/proposer/proposer/imbalance"
	"github.com/proposer/proposer/internal/testutil/candidates"
	"github.com/proposer/proposer/internal/testutil/scene"
	"github.com/proposer/proposer/objectness"
	"github.com/proposer/proposer/objectness/internal/feature"
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
	var blocks []sampleBlock
	for i := range s.targets {
		if i%feature.BlockSize == 0 {
			blocks = append(blocks, sampleBlock{columns: make(feature.Columns, len(s.columns))})
		}
		b := &blocks[len(blocks)-1]
		for f, column := range s.columns {
			b.columns[f][b.n] = column[i]
		}
		b.n++
	}
	trainer := &Trainer{levels: levels{features: len(s.columns)}, pending: blocks}
	trainer.standardize(s.mirror)
	samples := &samples{means: trainer.means, scales: trainer.scales, mirror: s.mirror, levels: &trainer.levels, used: s.used}
	for _, u := range s.used {
		samples.targets = append(samples.targets, s.targets[u])
		samples.weights = append(samples.weights, s.weights[u])
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
		layer := func(l *objectness.Layer, inputs []float64) (outputs []float64) {
			for u, bias := range l.Biases {
				dot := 0.
				for k, v := range inputs {
					dot += float64(l.Weights[u*len(inputs)+k]) * float64(l.Steps[u]) * v
				}
				outputs = append(outputs, dot+float64(bias))
			}
			return outputs
		}
		inputs := slices.Clone(levels)
		for f := range inputs {
			inputs[f] *= float64(levelStep)
		}
		sum += layer(&n.Direct, inputs)[0]
		for _, l := range []*objectness.Layer{&n.First, &n.Second} {
			if len(l.Steps) > 0 {
				inputs = layer(l, inputs)
				for u, v := range inputs {
					inputs[u] = max(v, 0)
				}
			}
		}
		for u, v := range n.Out {
			sum += float64(v) * inputs[u]
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
		units              []int
		minError, maxError float64
	}{{[]int{31}, 0, .1}, {[]int{31, 5}, 0, .1}, {nil, .3, 1}} {
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
	for _, units := range [][]int{nil, {3}, {18, 2}, {3, 5}} {
		t.Run(fmt.Sprint(units), func(t *testing.T) {
			s := newSynthetic(50).samples(t)
			o := smallOptions()
			o.Loss = imbalance.Focal()
			o.Network = AdamOptions{Units: units, Batch: 50}
			first, second := o.Network.layers()
			w := newNetworkWeights(first, second, 5)
			rng := rand.New(rand.NewPCG(3, 3))
			w.initialize(rng, s)
			p := newBatchPart(50, first, second, 5)
			transposed := newTransposed(&w)
			buffer := newRowBuffer(s)
			rows, err := buffer.take(t.Context(), &o, 50, rng.Shuffle)
			if err != nil {
				t.Fatal(err)
			}
			loss := func() float64 {
				transposed.set(&w)
				p.computeGradient(&o, buffer, rows, &w, transposed, rng)
				return p.loss
			}
			check := func(values []float32, gradient func() []float32) {
				loss()
				for i, got := range slices.Clone(gradient()) {
					const h = 3e-3
					v := &values[i]
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
			for u := range first + 1 {
				check(w.row(u), func() []float32 { return p.gradient.row(u) })
			}
			for u := range second {
				check(w.row2(u), func() []float32 { return p.gradient.row2(u) })
			}
			check(w.biases, func() []float32 { return p.gradient.biases })
			check(w.biases2, func() []float32 { return p.gradient.biases2 })
			check(w.out, func() []float32 { return p.gradient.out })

			padding := newNetworkWeights(first, second, 5)
			copy(padding.all, p.gradient.all)
			for u := range first + 1 {
				clear(padding.row(u))
			}
			for u := range second {
				clear(padding.row2(u))
			}
			if g := padding.all[:len(padding.rows)+len(padding.second)]; slices.Min(g) != 0 || slices.Max(g) != 0 {
				t.Error("the gradient of the padding is not 0")
			}
		})
	}
}

func TestModelDoesNotDependOnThreads(t *testing.T) {
	s := newSynthetic(20_000).samples(t)
	var models []*objectness.Model
	for _, threads := range []int{1, 3} {
		o := DefaultOptions()
		o.Network.Units = []int{20, 5}
		o.Trees.Trees, o.Network.Epochs, o.Threads = 5, 1, threads
		models = append(models, mustTrain(t, o, s))
	}
	if !reflect.DeepEqual(models[0], models[1]) {
		t.Error("the model with 3 threads differs from that with 1")
	}
}

func TestModelDoesNotDependOnOtherSamples(t *testing.T) {
	var models []*objectness.Model
	for _, noise := range []int8{0, 9} {
		synthetic := newSynthetic(9000)
		synthetic.used = slices.DeleteFunc(synthetic.used, func(i int32) bool { return i%3 == 2 || i < 4500 && i > 100 })
		s := synthetic.samples(t)
		for i := range int32(9000) {
			if !slices.Contains(s.used, i) {
				for f := range s.levels.features {
					s.levels.column(chunkOf(i), f)[inChunk(i)] += noise
				}
			}
		}
		o := smallOptions()
		o.Trees.Trees, o.Network.Epochs = 3, 1
		models = append(models, mustTrain(t, o, s))
	}
	if !reflect.DeepEqual(models[0], models[1]) {
		t.Error("the model depends on samples that are not used")
	}
}

// So the mirrored samples need no copy.
func TestMirroredFeaturesAreQuantizedEqually(t *testing.T) {
	s := newSynthetic(4000)
	s.mirror = []int{1, 0, 3, 2, 4}
	for i := range s.columns[1] {
		s.columns[1][i] *= 3
	}
	samples := s.samples(t)
	o := smallOptions()
	bins, err := newBins(t.Context(), &o, samples)
	if err != nil {
		t.Fatal(err)
	}
	for f, m := range s.mirror {
		if samples.means[f] != samples.means[m] || samples.scales[f] != samples.scales[m] || !reflect.DeepEqual(bins[f], bins[m]) {
			t.Errorf("feature %d is not quantized as its mirror image", f)
		}
	}
}

// The columns of a tree are those of a copy of all samples and all mirrored samples.
func TestColumnsEqualReference(t *testing.T) {
	synthetic := newSynthetic(3*chunkSize + 100)
	synthetic.mirror = []int{1, 0, 2, 3, 4}
	synthetic.used = slices.DeleteFunc(synthetic.used, func(i int32) bool { return i%5 == 0 || chunkOf(i) == 1 })
	s := synthetic.samples(t)
	o := smallOptions()
	bins, err := newBins(t.Context(), &o, s)
	if err != nil {
		t.Fatal(err)
	}
	b := &boosting{Boosting: o.Trees, opts: &o, samples: s, starts: s.ranges(), bins: bins, logits: make([]float32, 2*len(s.used))}
	b.drawRows(rand.New(rand.NewPCG(1, 2)))
	g := &treeGrower{boosting: b}
	for f := range s.mirror {
		got := make([]uint8, len(b.rows))
		g.readColumn(got, f)
		for k, r := range b.rows {
			from, u := f, s.used[int(r)%len(s.used)]
			if int(r) >= len(s.used) {
				from = s.mirror[f]
			}
			if want := bins[f].of[levelIndex(s.levels.column(chunkOf(u), from)[inChunk(u)])]; got[k] != want {
				t.Fatalf("feature %d, row %d: got bin %d, want %d", f, k, got[k], want)
			}
		}
	}
}

// Sums in fixed point do not overflow, and differ little from those in floating point.
func TestFixedSums(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		scale := rapid.Float32Range(1e-6, 1e6).Draw(t, "scale")
		var all []gradHess
		for range rapid.IntRange(1, 1000).Draw(t, "rows") {
			all = append(all, gradHess{scale * rapid.Float32Range(-1, 1).Draw(t, "gradient"), scale * rapid.Float32Range(0, 1).Draw(t, "hessian")})
		}
		if rapid.Bool().Draw(t, "one sign") {
			for i := range all {
				all[i].gradient = -abs(all[i].gradient)
			}
		}
		units := fixedUnits(all)
		var sum, absolute gradHessSum
		var fixed fixedSum
		for _, g := range all {
			sum.add(g)
			absolute.add(gradHess{abs(g.gradient), g.hessian})
			fixed += g.fixed(units)
		}
		got := fixed.times(units)
		if math.Abs(got.gradient-sum.gradient) > 1e-6*absolute.gradient || math.Abs(got.hessian-sum.hessian) > 1e-6*absolute.hessian {
			t.Errorf("got %v, want %v", got, sum)
		}
	})
}

func abs(v float32) float32 { return max(v, -v) }

// An epoch has each sample once, with its features.
func TestRowBuffer(t *testing.T) {
	synthetic := newSynthetic((bufferedChunks+2)*chunkSize + 100)
	synthetic.used = slices.DeleteFunc(synthetic.used, func(i int32) bool { return i%3 == 0 })
	s := synthetic.samples(t)
	s.scales[2] = 0 // not used
	o := smallOptions()
	o.Threads = 2
	b := newRowBuffer(s)
	rng := rand.New(rand.NewPCG(1, 2))
	for range 2 {
		b.shuffle(rng.Shuffle)
		seen := make([]int, len(s.used))
		ascending := 0
		for last := int32(0); ; {
			rows, err := b.take(t.Context(), &o, 1000, rng.Shuffle)
			if err != nil {
				t.Fatal(err)
			}
			for _, r := range rows {
				i := b.sources[r]
				seen[i]++
				if i > last {
					ascending++
				}
				last = i
				for f, got := range b.row(int(r)) {
					want := s.levels.column(chunkOf(s.used[i]), f)[inChunk(s.used[i])]
					if f == 2 {
						want = 0
					}
					if got != want {
						t.Fatalf("sample %d, feature %d: got %d, want %d", i, f, got, want)
					}
				}
			}
			if len(rows) < 1000 {
				break
			}
		}
		if slices.Min(seen) != 1 || slices.Max(seen) != 1 {
			t.Errorf("got samples %d to %d times, want each once", slices.Min(seen), slices.Max(seen))
		}
		if fraction := float64(ascending) / float64(len(seen)); fraction < .45 || fraction > .55 {
			t.Errorf("got a fraction of %.2f ascending samples, want about half", fraction)
		}
		if limit := (bufferedChunks + 1) * chunkSize * s.levels.features; cap(b.rows) > limit {
			t.Errorf("got a buffer of %d bytes, want at most %d", cap(b.rows), limit)
		}
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
	for name, c := range map[string]struct {
		modify func(*Options)
		option string
	}{
		"no part":       {func(o *Options) { o.Trees.Trees, o.Network.Epochs = 0, 0 }, "Network.Epochs"},
		"trees":         {func(o *Options) { o.Trees.Trees = -1 }, "Trees.Trees"},
		"rate of trees": {func(o *Options) { o.Trees.Rate = 0 }, "Trees.Rate"},
		"L2":            {func(o *Options) { o.Trees.L2 = math.NaN() }, "Trees.L2"},
		"subsample":     {func(o *Options) { o.Trees.Subsample = 2 }, "Trees.Subsample"},
		"colsample":     {func(o *Options) { o.Trees.ColSample = 0 }, "Trees.ColSample"},
		"samples":       {func(o *Options) { o.Trees.MaxSamples = 0 }, "Trees.MaxSamples"},
		"epochs":        {func(o *Options) { o.Network.Epochs = 1e6 }, "Network.Epochs"},
		"units":         {func(o *Options) { o.Network.Units = []int{-1} }, "Network.Units"},
		"second layer":  {func(o *Options) { o.Network.Units = []int{9, 129} }, "Network.Units"},
		"no first":      {func(o *Options) { o.Network.Units = []int{0, 9} }, "Network.Units"},
		"three layers":  {func(o *Options) { o.Network.Units = []int{9, 9, 9} }, "Network.Units"},
		"batch":         {func(o *Options) { o.Network.Batch = 0 }, "Network.Batch"},
		"network rate":  {func(o *Options) { o.Network.Rate = 2 }, "Network.Rate"},
		"dropout":       {func(o *Options) { o.Network.Dropout = 1 }, "Network.Dropout"},
		"loss":          {func(o *Options) { o.Loss.Gamma = -1 }, ""},
		"exclude":       {func(o *Options) { o.Exclude = []string{"votes", "sides"} }, "Exclude"},
		"exclude empty": {func(o *Options) { o.Exclude = []string{""} }, "Exclude"},
	} {
		t.Run(name, func(t *testing.T) {
			o := DefaultOptions()
			c.modify(&o)
			err := o.Validate()
			if err == nil {
				t.Fatal("got no error")
			}
			if e, ok := errors.AsType[*OptionError](err); ok != (c.option != "") || ok && e.Option != c.option {
				t.Errorf("got error %v, want one about option %q", err, c.option)
			}
		})
	}
	o := DefaultOptions()
	o.Exclude = []string{"sides"}
	if err := o.Validate(); err == nil || !strings.Contains(err.Error(), "trees, place, votes, inside, around, grid") {
		t.Errorf("unknown group: got error %v, want one that lists the known groups", err)
	}
}

// sampled returns a hook that has sampled the candidates of a drawn image, with a match each.
func sampled(t *testing.T, trainer *Trainer, image int, labels Labels, match func(i int) Match) *Hook {
	t.Helper()
	set := candidates.Collect(t, scene.Render(1, 160, 120, 4).Image)
	matches := make([]Match, len(set.Candidates))
	for i := range matches {
		matches[i] = match(i)
	}
	h := trainer.Hook(image, labels)
	if err := h.collect(t.Context(), set, matches); err != nil {
		t.Fatal(err)
	}
	return h
}

func TestIgnoredBoxesAreNotBackground(t *testing.T) {
	t.Run("half on an object", func(t *testing.T) {
		h := sampled(t, NewTrainer(DefaultSampling()), 0, Labels{}, func(i int) Match { return Match{IoU: .6 * float64(1-i%2), Ignore: true} })
		if got, want := len(h.targets), (h.boxes+1)/2; got != want || got == 0 {
			t.Errorf("got %d samples, want %d", got, want)
		}
		if slices.Contains(h.targets, 0) {
			t.Error("got a sample with target 0, want those on objects alone")
		}
	})
	t.Run("none on an object", func(t *testing.T) {
		h := sampled(t, NewTrainer(DefaultSampling()), 0, Labels{}, func(int) Match { return Match{IoU: .45, Ignore: true} })
		if got := len(h.targets); got != 0 {
			t.Errorf("got %d samples, want 0", got)
		}
	})
}

func TestPartialLabels(t *testing.T) {
	for _, c := range []struct {
		name    string
		match   Match
		partial bool
		want    bool // any samples
	}{
		{"background", Match{}, false, true},
		{"disjoint", Match{}, true, false},
		{"hardly overlaps", Match{IoU: MinPartialIoU - .001}, true, false},
		{"overlaps", Match{IoU: MinPartialIoU}, true, true},
		{"overlaps, ignored", Match{IoU: .3, Ignore: true}, true, false},
		{"on an object", Match{IoU: .8}, true, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := sampled(t, NewTrainer(DefaultSampling()), 0, Labels{Partial: c.partial}, func(int) Match { return c.match })
			if got := len(h.targets) > 0; got != c.want {
				t.Errorf("got %d samples, want some: %v", len(h.targets), c.want)
			}
		})
	}
}

func TestWeights(t *testing.T) {
	match := func(i int) Match { return Match{IoU: float64(i%10) / 10} }
	plain := sampled(t, NewTrainer(DefaultSampling()), 0, Labels{}, match)
	half := sampled(t, NewTrainer(DefaultSampling()), 0, Labels{Weight: .5}, match)
	if !slices.Equal(plain.targets, half.targets) {
		t.Fatal("the weight changes the samples")
	}
	got := half.weights()
	for i, w := range plain.weights() {
		if got[i] != w/2 {
			t.Fatalf("sample %d: got weight %v, want %v", i, got[i], w/2)
		}
	}
}

// The number of samples is bounded, and the total weight does not depend on the bound.
func TestMaxSamples(t *testing.T) {
	match := func(i int) Match { return Match{IoU: .7 * float64(i%2)} }
	weights := func(h *Hook) (sums [2]float64) {
		for i, w := range h.weights() {
			if h.targets[i] > 0 {
				sums[1] += float64(w)
			} else {
				sums[0] += float64(w)
			}
		}
		return sums
	}
	all := sampled(t, NewTrainer(Sampling{Seed: 1, MaxSamples: 1 << 20}), 0, Labels{}, match)
	want := weights(all)
	for _, limit := range []int{1, 7} {
		t.Run(fmt.Sprint(limit), func(t *testing.T) {
			h := sampled(t, NewTrainer(Sampling{Seed: 1, MaxSamples: limit}), 0, Labels{}, match)
			if len(h.targets) != 2*limit {
				t.Errorf("got %d samples, want %d", len(h.targets), 2*limit)
			}
			samples := 0
			for _, b := range h.blocks {
				samples += b.n
			}
			if samples != len(h.targets) {
				t.Errorf("got the features of %d samples, want %d", samples, len(h.targets))
			}
			got := weights(h)
			for k := range got {
				if math.Abs(got[k]-want[k]) > 1e-3*want[k] {
					t.Errorf("got a total weight of %v, want %v", got, want)
				}
			}
		})
	}
}

// Candidates that are sampled in two parts, as joined ones are, share the weights of their objects.
func TestCandidatesInTwoParts(t *testing.T) {
	set := candidates.Collect(t, scene.Render(1, 160, 120, 4).Image)
	first := len(set.Candidates) / 3
	matches := make([]Match, len(set.Candidates))
	for i := range matches {
		matches[i] = Match{Object: i % 3, IoU: .5 + float64(i%5)/10}
	}
	trainer := NewTrainer(DefaultSampling())
	whole, parts := trainer.Hook(0, Labels{}), trainer.Hook(0, Labels{})
	whole.sample(matches)
	parts.sample(matches[:first])
	parts.sample(matches[first:])
	if got, want := parts.weights(), whole.weights(); !slices.Equal(got, want) || parts.boxes != whole.boxes {
		t.Errorf("got weights %v of %d candidates, want %v of %d", got, parts.boxes, want, whole.boxes)
	}
}

// Searches with hooks of one trainer run concurrently.
func TestHooksAreConcurrent(t *testing.T) {
	set := candidates.Collect(t, scene.Render(1, 160, 120, 4).Image)
	trainer := NewTrainer(DefaultSampling())
	var hooks [4]*Hook
	var wg sync.WaitGroup
	for i := range hooks {
		hooks[i] = trainer.Hook(7, Labels{})
		wg.Go(func() {
			if err := hooks[i].Score(t.Context(), nil, set); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	for i := range hooks {
		if !reflect.DeepEqual(hooks[i].blocks, hooks[0].blocks) || len(hooks[i].blocks) == 0 {
			t.Errorf("the samples of hook %d differ from those of hook 0", i)
		}
	}
}

// Samples that come after the features were standardized are quantized in the same way.
func TestSamplesAreQuantizedOnce(t *testing.T) {
	match := func(i int) Match { return Match{IoU: float64(i%4) / 4} }
	trainer := NewTrainer(DefaultSampling())
	trainer.Add(sampled(t, trainer, 0, Labels{}, match))
	n := trainer.Samples()
	o := DefaultOptions()
	o.Trees.Trees, o.Network.Epochs = 1, 0
	if _, err := trainer.Train(t.Context(), o, objectness.Metadata{}, nil); err != nil {
		t.Fatal(err)
	}
	trainer.Add(sampled(t, trainer, 0, Labels{}, match))
	if len(trainer.pending) != 0 || trainer.levels.n != 2*n {
		t.Fatalf("got %d blocks of floating point and %d samples, want 0 and %d", len(trainer.pending), trainer.levels.n, 2*n)
	}
	for f := range feature.Count() {
		column := trainer.levels.column(0, f)
		if !slices.Equal(column[:n], column[n:2*n]) {
			t.Fatalf("feature %d: the same samples are quantized differently", f)
		}
	}
}

// Images beyond those that are validated train all rankers.
func TestCrossValidate(t *testing.T) {
	trainer := NewTrainer(DefaultSampling())
	for image := range 6 {
		trainer.Add(sampled(t, trainer, image, Labels{}, func(i int) Match { return Match{IoU: float64((i+image)%5) / 5} }))
	}
	o := DefaultOptions()
	o.Trees.Trees, o.Network.Epochs = 2, 0
	got, err := trainer.CrossValidate(t.Context(), o, objectness.Metadata{}, 4, 2, nil)
	if err != nil {
		t.Fatal(err)
	}
	for k, images := range [][]int{{1, 3, 4, 5}, {0, 2, 4, 5}} {
		want, err := trainer.Train(t.Context(), o, objectness.Metadata{}, func(image int) bool { return slices.Contains(images, image) })
		if err != nil {
			t.Fatal(err)
		}
		if file(t, got[k]) != file(t, want) {
			t.Errorf("ranker %d is not trained on images %v", k, images)
		}
	}
}

// file returns the model file of a ranker.
func file(t *testing.T, r *objectness.Ranker) string {
	t.Helper()
	var file bytes.Buffer
	if err := r.Write(&file); err != nil {
		t.Fatal(err)
	}
	return file.String()
}

func TestTrainNeedsObjects(t *testing.T) {
	trainer := NewTrainer(DefaultSampling())
	trainer.Add(sampled(t, trainer, 0, Labels{}, func(int) Match { return Match{} }))
	if _, err := trainer.Train(t.Context(), DefaultOptions(), objectness.Metadata{}, nil); err == nil {
		t.Error("got no error for images without objects")
	}
}

// Excluded features are not standardized, so no part of a model can use them.
func TestExclude(t *testing.T) {
	trainer := NewTrainer(DefaultSampling())
	trainer.Add(sampled(t, trainer, 0, Labels{}, func(i int) Match { return Match{IoU: float64(i%4) / 4} }))
	o := DefaultOptions()
	o.Trees.Trees, o.Network.Epochs = 3, 1
	o.Exclude = []string{"votes", "grid"}
	ranker, err := trainer.Train(t.Context(), o, objectness.Metadata{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	var got struct {
		Features []string
		Model    struct{ Scales []float32 }
	}
	if err := json.Unmarshal([]byte(file(t, ranker)), &got); err != nil {
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
