package imbalance

import (
	"math"
	"math/big"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// near reports whether got equals want up to a tolerance, absolute near 0 and relative elsewhere.
func near(got, want, tolerance float64) bool {
	return math.Abs(got-want) <= tolerance*max(1, math.Abs(want))
}

// anyLoss draws valid losses, often with the usual γ and α.
func anyLoss() *rapid.Generator[Loss] {
	return rapid.Custom(func(t *rapid.T) Loss {
		weights := rapid.Float64Range(0, 10)
		return Loss{
			Gamma: rapid.OneOf(rapid.SampledFrom([]float64{0, 1, 2}), rapid.Float64Range(0, 6)).Draw(t, "gamma"),
			Alpha: rapid.OneOf(
				rapid.SampledFrom([]Alpha{{}, Uniform, Balanced(0.25)}),
				rapid.Custom(func(t *rapid.T) Alpha {
					return Alpha{weights.Draw(t, "positive"), weights.Draw(t, "negative")}
				}),
			).Draw(t, "alpha"),
		}
	})
}

func anyTarget() *rapid.Generator[float64] {
	return rapid.OneOf(rapid.SampledFrom([]float64{0, 1}), rapid.Float64Range(0, 1))
}

// referenceLoss is the definition of the loss by probabilities.
func referenceLoss(l Loss, x, y float64) float64 {
	p := 1 / (1 + math.Exp(-x))
	a := l.Alpha
	if a == (Alpha{}) {
		a = Uniform
	}
	return -y*a.Positive*math.Pow(1-p, l.Gamma)*math.Log(p) - (1-y)*a.Negative*math.Pow(p, l.Gamma)*math.Log(1-p)
}

func TestAtEqualsDefinition(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		l, y := anyLoss().Draw(t, "loss"), anyTarget().Draw(t, "target")
		x := rapid.Float64Range(-12, 12).Draw(t, "logit")
		if v, _, _ := l.At(x, y); !near(v, referenceLoss(l, x, y), 1e-9) {
			t.Fatalf("got %v, want %v", v, referenceLoss(l, x, y))
		}
	})
}

// checkDerivatives compares the gradient and the hessian to central differences of the value and of
// the gradient.
func checkDerivatives(t rapid.TB, l Loss, x, y float64) {
	t.Helper()
	const h = 1e-5
	v0, g0, _ := l.At(x-h, y)
	v1, g1, _ := l.At(x+h, y)
	_, g, hess := l.At(x, y)
	scale := 1 + max(l.Alpha.Positive, l.Alpha.Negative)*(1+l.Gamma)*(1+l.Gamma)*(1+math.Abs(x))
	if want := (v1 - v0) / (2 * h); math.Abs(g-want) > 1e-9*scale {
		t.Errorf("%+v at %v for target %v: got gradient %v, want %v", l, x, y, g, want)
	}
	if want := (g1 - g0) / (2 * h); math.Abs(hess-want) > 1e-9*scale {
		t.Errorf("%+v at %v for target %v: got hessian %v, want %v", l, x, y, hess, want)
	}
}

func TestDerivatives(t *testing.T) {
	for _, gamma := range []float64{0, 0.5, 1, 2, 5} {
		for _, alpha := range []Alpha{Uniform, Balanced(0.25), {3, 0}} {
			for _, y := range []float64{0, 0.3, 1} {
				for x := -20.0; x <= 20; x += 0.25 {
					checkDerivatives(t, Loss{gamma, alpha}, x, y)
				}
			}
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		checkDerivatives(t, anyLoss().Draw(t, "loss"), rapid.Float64Range(-40, 40).Draw(t, "logit"), anyTarget().Draw(t, "target"))
	})
}

// With γ = 0 and α = 1 the focal loss is cross entropy to the bit.
func TestFocalWithoutFocusIsCrossEntropy(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		x, y := rapid.Float64().Draw(t, "logit"), anyTarget().Draw(t, "target")
		for _, l := range []Loss{{}, {Gamma: 0, Alpha: Alpha{1, 1}}} {
			v, g, h := l.At(x, y)
			v0, g0, h0 := CrossEntropy().At(x, y)
			if v != v0 || g != g0 || h != h0 {
				t.Fatalf("%+v: got %v, %v, %v, want %v, %v, %v", l, v, g, h, v0, g0, h0)
			}
		}
		// The loss is continuous at γ = 0.
		v, g, h := Loss{Gamma: math.SmallestNonzeroFloat64}.At(x, y)
		v0, g0, h0 := CrossEntropy().At(x, y)
		if v != v0 || g != g0 || h != h0 {
			t.Fatalf("with the smallest γ: got %v, %v, %v, want %v, %v, %v", v, g, h, v0, g0, h0)
		}
	})
	for _, x := range []float64{-3, 0, 0.5} {
		p := 1 / (1 + math.Exp(-x))
		for _, y := range []float64{0, 0.4, 1} {
			v, g, h := CrossEntropy().At(x, y)
			if want := -y*math.Log(p) - (1-y)*math.Log(1-p); !near(v, want, 1e-15) || !near(g, p-y, 1e-15) || !near(h, p*(1-p), 1e-15) {
				t.Errorf("at %v for target %v: got %v, %v, %v, want %v, %v, %v", x, y, v, g, h, want, p-y, p*(1-p))
			}
		}
	}
}

// Swapping the classes mirrors the loss.
func TestAtIsSymmetric(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		l, x := anyLoss().Draw(t, "loss"), rapid.Float64().Draw(t, "logit")
		y := float64(rapid.IntRange(0, 1).Draw(t, "target"))
		v, g, h := l.At(x, y)
		swapped := Loss{l.Gamma, Alpha{l.Alpha.Negative, l.Alpha.Positive}}
		if v1, g1, h1 := swapped.At(-x, 1-y); v != v1 || g != -g1 || h != h1 {
			t.Fatalf("got %v, %v, %v, mirrored %v, %v, %v", v, g, h, v1, -g1, h1)
		}
	})
}

func TestAtLargeLogits(t *testing.T) {
	far := []float64{37, 40, 700, 710, 745, 746, 1e4, 1e100, math.MaxFloat64}
	for _, gamma := range []float64{0, 0.5, 1, 2, MaxGamma} {
		for _, x := range far {
			l := Loss{Gamma: gamma}
			for _, y := range []float64{0, 0.5, 1} {
				for _, x := range []float64{x, -x} {
					v, g, h := l.At(x, y)
					for _, f := range []float64{v, g, h} {
						if math.IsNaN(f) || math.IsInf(f, 0) {
							t.Errorf("γ = %v at %v for target %v: got %v, %v, %v, want finite numbers", gamma, x, y, v, g, h)
						}
					}
				}
			}
			// For a wrong prediction the loss grows like the logit; for a right one it vanishes.
			if v, g, _ := l.At(-x, 1); !near(v/x, 1, 1e-12) || !near(g, -1, 1e-12) {
				t.Errorf("γ = %v at %v: got value %v, gradient %v, want %v, −1", gamma, -x, v, g, x)
			}
			if v, g, h := l.At(x, 1); !(v >= 0 && v < 1e-15) || !(g <= 0 && g > -1e-15) || !(h >= 0 && h < 1e-15) {
				t.Errorf("γ = %v at %v: got %v, %v, %v, want about 0", gamma, x, v, g, h)
			}
		}
	}
	// Small values keep their precision: log(1+e^-40) is e^-40 to 17 digits.
	if v, g, h := CrossEntropy().At(40, 1); !near(v*math.Exp(40), 1, 1e-14) || !near(-g*math.Exp(40), 1, 1e-14) || !near(h*math.Exp(40), 1, 1e-14) {
		t.Errorf("at 40: got %v, %v, %v, want e^-40", v, g, h)
	}
	for _, c := range [][2]float64{{math.NaN(), 0}, {math.NaN(), 1}, {0, math.NaN()}} {
		if v, g, h := Focal().At(c[0], c[1]); !math.IsNaN(v) || !math.IsNaN(g) || !math.IsNaN(h) {
			t.Errorf("at %v: got %v, %v, %v, want NaN", c, v, g, h)
		}
	}
}

// The focal factor |γ p_t log p_t + p_t − 1| is at most 1 + γ e^(−1−1/γ), where
// p_t = e^(−1−1/γ), and the focal gradient at most (1+γ)(1−p_t)^γ of that of cross
// entropy. It is larger than it for bad examples, but never by more than a half for γ of up to 5.
func TestFocalBounds(t *testing.T) {
	for _, c := range []struct{ gamma, factor, ratio float64 }{
		{0.5, 1.0249, 1.0765},
		{1, 1.1353, 1.1353},
		{2, 1.4463, 1.2246},
		{3, 1.7908, 1.2923},
		{5, 2.5060, 1.3936},
	} {
		bound := 1 + c.gamma*math.Exp(-1-1/c.gamma)
		if !near(bound, c.factor, 5e-5) {
			t.Errorf("γ = %v: got bound %v, want %v", c.gamma, bound, c.factor)
		}
		var factor, ratio float64
		for x := -30.0; x < 30; x += 1.0 / 1024 {
			p, q, _, _ := logistic(x)
			_, g, _ := Loss{Gamma: c.gamma}.At(x, 1)
			_, ce, _ := CrossEntropy().At(x, 1)
			m := math.Pow(q, c.gamma)
			factor, ratio = max(factor, -g/m), max(ratio, g/ce)
			if want := m * (c.gamma*p*math.Log(p) + p - 1); !near(g, want, 1e-12) {
				t.Fatalf("γ = %v at %v: got gradient %v, want %v", c.gamma, x, g, want)
			}
			if -g > m*bound*(1+1e-9) || g/ce > (1+c.gamma)*m*(1+1e-9) {
				t.Fatalf("γ = %v at %v: gradient %v exceeds its bounds", c.gamma, x, g)
			}
		}
		if !near(factor, bound, 1e-6) || !near(ratio, c.ratio, 5e-5) {
			t.Errorf("γ = %v: got factor up to %v, gradient ratio up to %v, want %v, %v", c.gamma, factor, ratio, bound, c.ratio)
		}
	}
}

// The focal loss is convex where p_t exceeds 0.0578 and nowhere else.
func TestFocalHessianSign(t *testing.T) {
	for _, c := range []struct {
		p      float64
		convex bool
	}{{1e-6, false}, {0.01, false}, {0.0578, false}, {0.0579, true}, {0.5, true}, {0.999, true}} {
		if _, _, h := Focal().At(logit(c.p), 1); (h > 0) != c.convex {
			t.Errorf("p_t = %v: got hessian %v, want positive: %v", c.p, h, c.convex)
		}
	}
}

func logit(p float64) float64 { return math.Log(p) - math.Log1p(-p) }

// The reference has 300 bits. The arguments include 0, where the branches meet, and extremes.
func TestLogisticEqualsReference(t *testing.T) {
	for _, x := range []float64{0, 1e-300, -1e-300, 1e-9, -1e-9, 0.3, -0.3, 5, -5, 36, -36} {
		p, q, logP, logQ := logistic(x)
		// e^x is e^(x/2¹⁰), by its series, squared ten times.
		e, term := big.NewFloat(1).SetPrec(300), big.NewFloat(1).SetPrec(300)
		small := new(big.Float).SetPrec(300).SetFloat64(x)
		small.SetMantExp(small, -10)
		for n := 1; n < 40; n++ {
			term.Mul(term, small).Quo(term, new(big.Float).SetInt64(int64(n)))
			e.Add(e, term)
		}
		for range 10 {
			e.Mul(e, e)
		}
		all := new(big.Float).Add(big.NewFloat(1).SetPrec(300), e)
		wantP, _ := new(big.Float).Quo(e, all).Float64()
		wantQ, _ := new(big.Float).Quo(big.NewFloat(1).SetPrec(300), all).Float64()
		for _, c := range [][2]float64{{p, wantP}, {q, wantQ}, {math.Exp(logP), wantP}, {math.Exp(logQ), wantQ}} {
			if !near(c[0]/c[1], 1, 1e-14) {
				t.Errorf("at %v: got %v, want %v", x, c[0], c[1])
			}
		}
	}
}

func TestInverseFrequency(t *testing.T) {
	for _, c := range []struct {
		eps    float64
		counts []int64
		want   []float64
	}{
		{1e-9, []int64{1, 3}, []float64{4, 4.0 / 3}},
		{0.25, []int64{1, 3}, []float64{2, 1}},
		{0.01, []int64{0, 5}, []float64{100, 1 / 1.01}},
		{0.5, []int64{0, 0}, []float64{2, 2}},
		{0.5, nil, nil},
		{1e-3, []int64{math.MaxInt64, math.MaxInt64}, []float64{1 / 0.501, 1 / 0.501}},
	} {
		got := InverseFrequency(c.eps, c.counts...)
		if len(got) != len(c.want) {
			t.Fatalf("%v: got %v, want %v", c.counts, got, c.want)
		}
		for i := range got {
			if !near(got[i], c.want[i], 1e-8) {
				t.Errorf("%v: got %v, want %v", c.counts, got, c.want)
			}
		}
	}
}

func TestLossValidate(t *testing.T) {
	nan, inf := math.NaN(), math.Inf(1)
	for _, l := range []Loss{{}, CrossEntropy(), Focal(), {MaxGamma, Alpha{0, 1e9}}} {
		if err := l.Validate(); err != nil {
			t.Errorf("%+v: got error %v, want none", l, err)
		}
	}
	for field, bad := range map[string][]Loss{
		"gamma": {{Gamma: -1}, {Gamma: MaxGamma + 1}, {Gamma: nan}},
		"alpha": {{Alpha: Alpha{-1, 1}}, {Alpha: Alpha{1, inf}}, {Alpha: Alpha{nan, 1}}},
	} {
		for _, l := range bad {
			if err := l.Validate(); err == nil || !strings.Contains(err.Error(), field) {
				t.Errorf("%+v: got error %v, want one about %s", l, err, field)
			}
		}
	}
}

func panics(f func()) (did bool) {
	defer func() { did = recover() != nil }()
	f()
	return false
}

func TestLossPanics(t *testing.T) {
	for name, f := range map[string]func(){
		"alpha above 1":  func() { Balanced(1.5) },
		"alpha is NaN":   func() { Balanced(math.NaN()) },
		"eps is 0":       func() { InverseFrequency(0, 1) },
		"negative count": func() { InverseFrequency(1, -1) },
	} {
		t.Run(name, func(t *testing.T) {
			if !panics(f) {
				t.Error("got no panic")
			}
		})
	}
}

func BenchmarkAt(b *testing.B) {
	for name, l := range map[string]Loss{"cross entropy": CrossEntropy(), "focal": Focal()} {
		b.Run(name, func(b *testing.B) {
			x := 0.1
			for b.Loop() {
				_, g, _ := l.At(x, 1)
				x += g * 1e-9
			}
		})
	}
}
