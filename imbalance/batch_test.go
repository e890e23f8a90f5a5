package imbalance

import (
	"encoding/json"
	"errors"
	"math"
	"os"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// The data are 32 examples with three classes from a report, which states a cross entropy of 0.8233.
// That is the mean binary cross entropy of all 96 logits; the softmax of each row would give 1.3568.
// Under the same reading, the focal loss with γ = 2 and α = 0.25 is 0.2228 with Lin et al.'s α_t and
// 0.0896 with α for both classes. The report states 0.1807, which none of these readings and no softmax
// with usual γ and α gives.
func TestBatchOfReportedExample(t *testing.T) {
	text, err := os.ReadFile("testdata/focal_example.json")
	if err != nil {
		t.Fatal(err)
	}
	var report struct{ Logits, Targets [][]float64 }
	if err := json.Unmarshal(text, &report); err != nil {
		t.Fatal(err)
	}
	logits, targets := slices.Concat(report.Logits...), slices.Concat(report.Targets...)
	if len(logits) != 96 || len(targets) != 96 {
		t.Fatalf("got %d logits and %d targets, want 96", len(logits), len(targets))
	}
	for _, c := range []struct {
		name string
		loss Loss
		want float64
	}{
		{"CE", CrossEntropy(), 0.8233},
		{"FL", Focal(), 0.2228},
		{"FL, α = 0.25 for both", Loss{2, Alpha{0.25, 0.25}}, 0.0896},
		{"FL, uniform", Loss{Gamma: 2}, 0.3583},
		{"FL, γ = 0, α = 1", Loss{}, 0.8233},
	} {
		t.Run(c.name, func(t *testing.T) {
			b, err := c.loss.Batch(logits, targets, nil, Mean)
			if err != nil || math.Abs(b.Value-c.want) > 5e-5 {
				t.Errorf("got %v, %v, want %v", b.Value, err, c.want)
			}
		})
	}
	var softmax float64
	for i, row := range report.Logits {
		var sum float64
		for _, x := range row {
			sum += math.Exp(x)
		}
		softmax += math.Log(sum) - row[slices.Index(report.Targets[i], 1)]
	}
	if softmax /= 32; math.Abs(softmax-1.3568) > 5e-5 {
		t.Errorf("softmax cross entropy: got %v, want 1.3568", softmax)
	}
}

// The fraction of the loss due to a million easy negatives (p_t = 0.99) next to ten hard positives
// (p_t = 0.01).
func TestLossOfEasyNegatives(t *testing.T) {
	for _, c := range []struct {
		name string
		loss Loss
		want float64
	}{
		{"CE", CrossEntropy(), 0.995},
		{"FL, uniform", Loss{Gamma: 2}, 0.022},
		{"FL", Focal(), 0.063},
	} {
		t.Run(c.name, func(t *testing.T) {
			b, err := c.loss.Batch([]float64{logit(0.01), logit(0.01)}, []float64{0, 1}, []float64{1e6, 10}, Sum)
			if err != nil {
				t.Fatal(err)
			}
			if got := b.Values[0] / b.Value; math.Abs(got-c.want) > 5e-4 {
				t.Errorf("got %v, want %v", got, c.want)
			}
		})
	}
}

func TestBatchReductions(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		l := anyLoss().Draw(t, "loss")
		n := rapid.IntRange(0, 20).Draw(t, "n")
		logits := rapid.SliceOfN(rapid.Float64Range(-50, 50), n, n).Draw(t, "logits")
		targets := rapid.SliceOfN(anyTarget(), n, n).Draw(t, "targets")
		weights := make([]float64, n)
		for i := range weights {
			weights[i] = 1
		}
		given := []float64(nil)
		if rapid.Bool().Draw(t, "weighted") {
			given = rapid.SliceOfN(rapid.OneOf(rapid.Just(0.0), rapid.Float64Range(0.01, 3)), n, n).Draw(t, "weights")
			weights = given
		}
		var sum, total float64
		for i, w := range weights {
			v, _, _ := l.At(logits[i], targets[i])
			sum, total = sum+w*v, total+w
		}
		for _, r := range []Reduction{None, Mean, Sum} {
			b, err := l.Batch(logits, targets, given, r)
			if err != nil {
				t.Fatal(err)
			}
			value, scale := sum, 1.0
			switch {
			case r == None:
				value = 0
			case r == Mean && total == 0:
				value = 0
			case r == Mean:
				value, scale = sum/total, 1/total
			}
			if !near(b.Value, value, 1e-12) {
				t.Fatalf("reduction %d: got %v, want %v", r, b.Value, value)
			}
			for i, w := range weights {
				v, g, h := l.At(logits[i], targets[i])
				if b.Values[i] != w*v || !near(b.Gradients[i], w*g*scale, 1e-12) || !near(b.Hessians[i], w*h*scale, 1e-12) {
					t.Fatalf("reduction %d, element %d: got %v, %v, %v, want %v, %v, %v",
						r, i, b.Values[i], b.Gradients[i], b.Hessians[i], w*v, w*g*scale, w*h*scale)
				}
			}
		}
	})
}

func TestBatchErrors(t *testing.T) {
	nan, inf := math.NaN(), math.Inf(1)
	for _, c := range []struct {
		x, y, w float64
		what    string
	}{
		{nan, 0, 1, "logit"},
		{inf, 0, 1, "logit"},
		{-inf, 0, 1, "logit"},
		{0, 1.5, 1, "target"},
		{0, -1e-9, 1, "target"},
		{0, nan, 1, "target"},
		{0, 1, -1, "weight"},
		{0, 1, nan, "weight"},
		{0, 1, inf, "weight"},
	} {
		_, err := CrossEntropy().Batch([]float64{0, c.x}, []float64{1, c.y}, []float64{1, c.w}, Mean)
		if e := (*DataError)(nil); !errors.As(err, &e) || e.What != c.what || e.Index != 1 {
			t.Errorf("%+v: got error %v, want one about %s 1", c, err, c.what)
		}
	}
	one := []float64{1}
	for name, f := range map[string]func(){
		"targets":   func() { _, _ = CrossEntropy().Batch(one, nil, nil, Sum) },
		"weights":   func() { _, _ = CrossEntropy().Batch(one, one, []float64{}, Sum) },
		"reduction": func() { _, _ = CrossEntropy().Batch(one, one, nil, Sum+1) },
		"loss":      func() { _, _ = Loss{Gamma: -1}.Batch(one, one, nil, Sum) },
	} {
		t.Run(name, func(t *testing.T) {
			if !panics(f) {
				t.Error("got no panic")
			}
		})
	}
}
