package objectness

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"

	"github.com/proposer/proposer/objectness/internal/feature"
)

func TestSigmoid(t *testing.T) {
	for x := float32(-50); x < 50; x += .37 {
		want := 1 / (1 + math.Exp(-float64(x)))
		if got := float64(sigmoid(x)); math.Abs(got-want) > 2e-4*want {
			t.Errorf("sigmoid(%v) = %v, want %v", x, got, want)
		}
	}
	for x := float32(-20); x < 15; x += .01 {
		if sigmoid(x) > sigmoid(x+.01) {
			t.Errorf("sigmoid decreases at %v", x)
		}
	}
}

func TestDefault(t *testing.T) {
	for _, c := range []struct {
		strategies int
		mode       string
	}{{1, "fast"}, {8, "fast"}, {15, "fast"}, {16, "best"}, {30, "best"}, {49, "best"}, {50, "quality"}, {80, "quality"}} {
		t.Run(fmt.Sprint(c.strategies), func(t *testing.T) {
			m := Default(c.strategies).Metadata()
			if m.Mode != c.mode {
				t.Errorf("got mode %q, want %q", m.Mode, c.mode)
			}
			if m.Images == 0 || len(m.Metrics) == 0 {
				t.Errorf("got metadata %+v, want images and metrics", m)
			}
		})
	}
}

func TestForMode(t *testing.T) {
	modes := []string{"best", "fast", "quality"}
	if got := slices.Sorted(maps.Keys(rankers)); !slices.Equal(got, modes) {
		t.Errorf("rankers of the modes %q, want %q", got, modes)
	}
	for _, mode := range modes {
		if r := ForMode(mode); r.Metadata().Mode != mode {
			t.Errorf("ranker of mode %s: trained on mode %q", mode, r.Metadata().Mode)
		}
	}
	for _, mode := range []string{"single", "", "best.json"} {
		if ForMode(mode) != nil {
			t.Errorf("mode %q: got a ranker, want none", mode)
		}
	}
}

func TestWithMetrics(t *testing.T) {
	r := Default(8)
	before := r.Metadata()
	metrics := []Metric{{Boxes: 10, AR: .5}}
	got := r.WithMetrics("data", metrics).Metadata()
	if got.EvaluatedOn != "data" || !slices.Equal(got.Metrics, metrics) || got.Mode != before.Mode {
		t.Errorf("got %+v, want the metrics %v on data", got, metrics)
	}
	if !reflect.DeepEqual(r.Metadata(), before) {
		t.Error("the metadata of the original changed")
	}
}

func TestWriteAndRead(t *testing.T) {
	var file bytes.Buffer
	if err := Default(8).Write(&file); err != nil {
		t.Fatal(err)
	}
	r, err := Read(&file)
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(r.Metadata(), Default(8).Metadata()) || !reflect.DeepEqual(r.model, Default(8).model) {
		t.Error("got another ranker than the one written")
	}
}

// A ranker that is read is written byte for byte.
func TestWriteIsStable(t *testing.T) {
	for _, name := range []string{"fast.json", "best.json", "quality.json"} {
		t.Run(name, func(t *testing.T) {
			want, err := files.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			r, err := Read(bytes.NewReader(want))
			if err != nil {
				t.Fatal(err)
			}
			var got bytes.Buffer
			if err := r.Write(&got); err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(bytes.TrimSpace(got.Bytes()), bytes.TrimSpace(want)) {
				t.Errorf("got %d bytes that differ from the %d bytes read", got.Len(), len(want))
			}
		})
	}
}

func TestReadErrors(t *testing.T) {
	modified := func(modify func(*modelFile)) []byte {
		r := Default(8)
		model := r.model
		model.Trees = &Ensemble{Unit: 1, Trees: slices.Clone(r.model.Trees.Trees[:2])}
		model.Network = randomNetwork(rand.New(rand.NewPCG(1, 1)), feature.Count(), 3, 2)
		file := modelFile{Format: formatVersion, Features: feature.Names(), Model: &model}
		modify(&file)
		data, err := json.Marshal(&file)
		if err != nil {
			t.Fatal(err)
		}
		return data
	}
	for name, data := range map[string][]byte{
		"empty":          nil,
		"not JSON":       []byte("ranker"),
		"other format":   modified(func(f *modelFile) { f.Format = 1 }),
		"other features": modified(func(f *modelFile) { f.Features[3] = "luck" }),
		"no trees":       modified(func(f *modelFile) { f.Model.Trees.Trees = nil }),
		"large feature":  modified(func(f *modelFile) { f.Model.Trees.Trees[1].Features[2] = int32(feature.Count()) }),
		"negative feature": modified(func(f *modelFile) {
			f.Model.Trees.Trees[1].Features[2] = -1
		}),
		"empty model": modified(func(f *modelFile) { f.Model = new(Model) }),
		"no model":    modified(func(f *modelFile) { f.Model = nil }),
		"short means": modified(func(f *modelFile) { f.Model.Means = f.Model.Means[1:] }),
		"long scales": modified(func(f *modelFile) { f.Model.Scales = append(slices.Clone(f.Model.Scales), 1) }),
		"large leaves": modified(func(f *modelFile) {
			f.Model.Trees.Trees[0].Leaves[0] = math.MinInt16
			f.Model.Trees.Trees[1].Leaves[9] = 1
		}),
		"no direct":      modified(func(f *modelFile) { f.Model.Network.Direct = Layer{} }),
		"short direct":   modified(func(f *modelFile) { f.Model.Network.Direct.Weights = f.Model.Network.Direct.Weights[1:] }),
		"short weights":  modified(func(f *modelFile) { f.Model.Network.First.Weights = f.Model.Network.First.Weights[1:] }),
		"short second":   modified(func(f *modelFile) { f.Model.Network.Second.Weights = nil }),
		"short out":      modified(func(f *modelFile) { f.Model.Network.Out = nil }),
		"few biases":     modified(func(f *modelFile) { f.Model.Network.Second.Biases = f.Model.Network.Second.Biases[1:] }),
		"no first":       modified(func(f *modelFile) { f.Model.Network.First = Layer{} }),
		"too many units": modified(func(f *modelFile) { f.Model.Network.First.Steps = make([]float32, MaxUnits+1) }),
		"large bias":     modified(func(f *modelFile) { f.Model.Network.First.Biases[0] = 1e20 }),
		"large step":     modified(func(f *modelFile) { f.Model.Network.Second.Steps[1] = 1e20 }),
		"negative step":  modified(func(f *modelFile) { f.Model.Network.Second.Steps[1] = -1e-3 }),
		"large weights": modified(func(f *modelFile) {
			f.Model.Network.First.Steps[0] = 1
			fill(f.Model.Network.First.Weights, math.MinInt16)
		}),
		"large output":    modified(func(f *modelFile) { f.Model.Network.Out[1] = 1e20 }),
		"half a weight":   bytes.Replace(modified(func(*modelFile) {}), []byte(`"weights":"`), []byte(`"weights":"AAAA","weights":"AA==","x":"`), 1),
		"not base64":      bytes.Replace(modified(func(*modelFile) {}), []byte(`"weights":"`), []byte(`"weights":"!`), 1),
		"number overflow": bytes.Replace(modified(func(*modelFile) {}), []byte(`"steps":`), []byte(`"steps":[1e99],"x":`), 1),
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := Read(bytes.NewReader(data)); !errors.Is(err, ErrInvalidModel) {
				t.Errorf("got error %v, want %v", err, ErrInvalidModel)
			}
		})
	}
}

// The largest model can be read.
func TestLargestModel(t *testing.T) {
	tree := Tree{}
	for i := range tree.Features {
		tree.Features[i], tree.Thresholds[i] = int32(feature.Count()-1), -127
	}
	for i := range tree.Leaves {
		tree.Leaves[i] = -3
	}
	m := &Model{
		Means: make([]float32, feature.Count()), Scales: make([]float32, feature.Count()),
		Trees:   &Ensemble{Trees: slices.Repeat([]Tree{tree}, MaxTrees)},
		Network: randomNetwork(rand.New(rand.NewPCG(1, 1)), feature.Count(), MaxUnits, MaxSecondUnits),
	}
	r, err := New(m, Metadata{})
	if err != nil {
		t.Fatal(err)
	}
	var file bytes.Buffer
	if err := r.Write(&file); err != nil {
		t.Fatal(err)
	}
	if _, err := Read(&file); err != nil {
		t.Error(err)
	}
}

func fill(weights Weights, w int16) {
	for i := range weights {
		weights[i] = w
	}
}

func FuzzRead(f *testing.F) {
	var file bytes.Buffer
	if err := Default(8).Write(&file); err != nil {
		f.Fatal(err)
	}
	f.Add(file.Bytes()[:2000])
	f.Add([]byte(`{"format":4,"features":[],"model":{"trees":{"trees":[{"features":[1,2,3]}]}}}`))
	f.Add([]byte(`{"format":4,"features":[],"model":{"network":{"first":{"biases":[1],"steps":[1],"weights":"AQID"}}}}`))
	r, err := New(&Model{
		Means: make([]float32, feature.Count()), Scales: make([]float32, feature.Count()),
		Network: randomNetwork(rand.New(rand.NewPCG(1, 1)), feature.Count(), 2, 1),
	}, Metadata{})
	if err != nil {
		f.Fatal(err)
	}
	file.Reset()
	if err := r.Write(&file); err != nil {
		f.Fatal(err)
	}
	f.Add(file.Bytes())
	f.Fuzz(func(t *testing.T, data []byte) {
		r, err := Read(bytes.NewReader(data))
		if err != nil {
			return
		}
		var dst [blockSize]float32
		r.model.score(&dst, make(feature.Columns, feature.Count()), new(modelWorkspace))
	})
}
