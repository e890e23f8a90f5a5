package imbalance

import (
	"context"
	"errors"
	"math"
	"reflect"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// threshold is a model that scores a number by its difference to the largest one in its training.
type threshold struct {
	values []float64
	at     float64
	seen   [][]int32
}

func (m *threshold) train(_ context.Context, negatives []int32) error {
	m.seen = append(m.seen, slices.Clone(negatives))
	m.at = 0
	for _, i := range negatives {
		m.at = max(m.at, m.values[i])
	}
	clear(negatives) // a copy
	return nil
}

func (m *threshold) score(_ context.Context, scores []float64) error {
	for i, v := range m.values {
		scores[i] = v - m.at
	}
	return nil
}

func TestMining(t *testing.T) {
	values := []float64{1, 5, 2, 8, 3, 9, 4}
	for _, c := range []struct {
		name   string
		mining Mining
		start  []int32
		want   MiningResult
	}{
		{
			"add all hard ones, drop none", // Sung and Poggio
			Mining{MaxRounds: 9, AddThreshold: 0.5, DropThreshold: math.Inf(-1)},
			[]int32{4},
			MiningResult{[]int32{1, 3, 4, 5, 6}, []Round{{1, 4, 0, 4}, {5, 0, 0, 0}}, true},
		},
		{
			"add one per round, the hardest first",
			Mining{MaxRounds: 9, AddThreshold: 0.5, DropThreshold: math.Inf(-1), MaxAdded: 1},
			[]int32{4},
			MiningResult{[]int32{4, 5}, []Round{{1, 4, 0, 1}, {2, 0, 0, 0}}, true},
		},
		{
			"drop easy ones", // Felzenszwalb
			Mining{MaxRounds: 9, AddThreshold: -1, DropThreshold: -1, MaxAdded: 1},
			[]int32{2, 0},
			MiningResult{[]int32{3, 5}, []Round{{2, 5, 0, 1}, {3, 1, 2, 1}, {2, 0, 0, 0}}, true},
		},
		{
			"cache full of hard ones",
			Mining{MaxRounds: 9, AddThreshold: -2, DropThreshold: -2, MaxCache: 1},
			[]int32{5},
			MiningResult{[]int32{5}, []Round{{1, 1, 0, 0}}, false},
		},
		{
			"last round",
			Mining{MaxRounds: 1, AddThreshold: 0.5, DropThreshold: 0.5},
			[]int32{0},
			MiningResult{[]int32{0}, []Round{{1, 6, 0, 0}}, false},
		},
		{
			"empty start",
			Mining{MaxRounds: 9, AddThreshold: 0.5, DropThreshold: math.Inf(-1), MaxCache: 2},
			nil,
			MiningResult{[]int32{3, 5}, []Round{{0, 7, 0, 2}, {2, 0, 0, 0}}, true},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := &threshold{values: values}
			got, err := c.mining.Run(t.Context(), len(values), c.start, m.train, m.score)
			if err != nil || !reflect.DeepEqual(got, c.want) {
				t.Errorf("got %+v, %v, want %+v", got, err, c.want)
			}
		})
	}
}

func TestMiningProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		values := rapid.SliceOfN(rapid.Float64Range(-5, 5), 0, 40).Draw(t, "values")
		m := Mining{
			MaxRounds:    rapid.IntRange(1, 8).Draw(t, "max rounds"),
			AddThreshold: rapid.Float64Range(-2, 1).Draw(t, "add threshold"),
			MaxAdded:     rapid.IntRange(0, 9).Draw(t, "max added"),
			MaxCache:     rapid.IntRange(0, 9).Draw(t, "max cache"),
		}
		m.DropThreshold = m.AddThreshold - rapid.SampledFrom([]float64{0, 0.5, math.Inf(1)}).Draw(t, "slack")
		var start []int32
		for i := range values {
			if (m.MaxCache == 0 || len(start) < m.MaxCache) && rapid.Bool().Draw(t, "start") {
				start = append(start, int32(i))
			}
		}
		model := &threshold{values: values}
		got, err := m.Run(context.Background(), len(values), start, model.train, model.score)
		if err != nil {
			t.Fatal(err)
		}
		rounds := len(got.Rounds)
		if rounds < 1 || rounds > m.MaxRounds || len(model.seen) != rounds || !slices.Equal(model.seen[rounds-1], got.Cache) {
			t.Fatalf("got %+v after training on %v", got, model.seen)
		}
		for k, r := range got.Rounds {
			if r.Trained != len(model.seen[k]) || !slices.IsSorted(model.seen[k]) || m.MaxCache > 0 && r.Trained > m.MaxCache ||
				m.MaxAdded > 0 && r.Added > m.MaxAdded || r.Added > r.Found {
				t.Fatalf("round %d: got %+v with training on %v", k, r, model.seen[k])
			}
			if k+1 < rounds && got.Rounds[k+1].Trained != r.Trained-r.Dropped+r.Added {
				t.Fatalf("got %+v after %+v", got.Rounds[k+1], r)
			}
		}
		if last := got.Rounds[rounds-1]; last.Dropped != 0 || last.Added != 0 || got.Converged != (last.Found == 0) {
			t.Fatalf("last round: got %+v", got)
		}
		for i, v := range values {
			if got.Converged && v-model.at >= m.AddThreshold && !slices.Contains(got.Cache, int32(i)) {
				t.Fatalf("got %+v without the hard negative %d", got, i)
			}
		}
	})
}

func TestMiningErrors(t *testing.T) {
	values := []float64{1, 5, 2}
	mining := Mining{MaxRounds: 9, AddThreshold: 0.5, DropThreshold: math.Inf(-1), MaxAdded: 1}
	broken := errors.New("broken")
	for _, name := range []string{"train", "score", "NaN"} {
		m, calls := &threshold{values: values}, 0
		fails := func(step string) bool { return name == step && calls == 2 }
		got, err := mining.Run(t.Context(), 3, []int32{0},
			func(ctx context.Context, negatives []int32) error {
				if calls++; fails("train") {
					return broken
				}
				return m.train(ctx, negatives)
			},
			func(ctx context.Context, scores []float64) error {
				_ = m.score(ctx, scores)
				switch {
				case fails("score"):
					return broken
				case fails("NaN"):
					scores[2] = math.NaN()
				}
				return nil
			})
		e := (*DataError)(nil)
		if isNaN := errors.As(err, &e) && e.What == "score" && e.Index == 2; !errors.Is(err, broken) && !isNaN || (name == "NaN") != isNaN {
			t.Errorf("%s fails: got error %v", name, err)
		}
		if want := (MiningResult{Cache: []int32{0}, Rounds: []Round{{1, 2, 0, 1}}}); !reflect.DeepEqual(got, want) {
			t.Errorf("%s fails: got %+v, want %+v", name, got, want)
		}
	}
	m := &threshold{values: values}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if got, err := mining.Run(ctx, 3, nil, m.train, m.score); !errors.Is(err, context.Canceled) || len(m.seen) > 0 || len(got.Rounds) > 0 {
		t.Errorf("canceled: got %+v, %v, want %v", got, err, context.Canceled)
	}
	for name, f := range map[string]func(m Mining, start []int32) (Mining, []int32){
		"no rounds":    func(m Mining, start []int32) (Mining, []int32) { m.MaxRounds = 0; return m, start },
		"thresholds":   func(m Mining, start []int32) (Mining, []int32) { m.DropThreshold = m.AddThreshold + 1; return m, start },
		"NaN":          func(m Mining, start []int32) (Mining, []int32) { m.AddThreshold = math.NaN(); return m, start },
		"max added":    func(m Mining, start []int32) (Mining, []int32) { m.MaxAdded = -1; return m, start },
		"max cache":    func(m Mining, start []int32) (Mining, []int32) { m.MaxCache = -1; return m, start },
		"long start":   func(m Mining, start []int32) (Mining, []int32) { m.MaxCache = 1; return m, start },
		"duplicate":    func(m Mining, start []int32) (Mining, []int32) { return m, []int32{1, 1} },
		"out of range": func(m Mining, start []int32) (Mining, []int32) { return m, []int32{3} },
	} {
		t.Run(name, func(t *testing.T) {
			bad, start := f(mining, []int32{0, 1})
			if !panics(func() { _, _ = bad.Run(t.Context(), 3, start, m.train, m.score) }) {
				t.Error("got no panic")
			}
		})
	}
}
