package box

import (
	"math"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestEncode(t *testing.T) {
	from := Box{10, 20, 30, 60} // 20 × 40 around (20,40)
	for _, c := range []struct {
		to      Box
		weights DeltaWeights
		want    Delta
	}{
		{from, DeltaWeights{}, Delta{0, 0, 0, 0}},
		// 40 × 20 around (35,50): 15 of 20, 10 of 40, twice, half.
		{Box{15, 40, 55, 60}, DeltaWeights{}, Delta{0.75, 0.25, 0.6931471805599453, -0.6931471805599453}},
		{Box{15, 40, 55, 60}, DeltaWeights{1, 1, 1, 1}, Delta{0.75, 0.25, 0.6931471805599453, -0.6931471805599453}},
		{Box{15, 40, 55, 60}, Detectron2Weights, Delta{7.5, 2.5, 3.4657359027997265, -3.4657359027997265}},
		// 25 × 40 around (22.5,40): with 1 added to the sides it would be 26/21.
		{Box{10, 20, 35, 60}, DeltaWeights{}, Delta{0.125, 0, 0.22314355131420976, 0}},
	} {
		got := c.weights.Encode(from, c.to)
		for i, v := range got {
			if math.Abs(v-c.want[i]) > 1e-15 {
				t.Errorf("to %v, weights %v: %v; want %v", c.to, c.weights, got, c.want)
				break
			}
		}
		if back := c.weights.Decode(from, got); back != c.to {
			t.Errorf("%v from %v, weights %v: %v; want %v", got, from, c.weights, back, c.to)
		}
	}
}

func TestDecode(t *testing.T) {
	from, inf, far := Box{10, 20, 30, 60}, math.Inf(1), int32(math.MaxInt32)
	for _, c := range []struct {
		d    Delta
		want Box
	}{
		{Delta{}, from},
		{Delta{0.04, 0.01, 0, 0}, Box{11, 20, 31, 60}},                     // 0.8 and 0.4 of a pixel
		{Delta{0, 0, MaxDeltaScale, 0}, Box{-605, 20, 645, 60}},            // 62.5 × 20
		{Delta{0, 0, 1e300, inf}, Box{-605, -1210, 645, 1290}},             // and no more
		{Delta{0, 0, -inf, 0}, Box{20, 20, 20, 60}},                        // but less is allowed
		{Delta{1e300, -inf, 0, 0}, Box{far, -far - 1, far, -far - 1}},      // far away
		{Delta{math.NaN(), 0, 0, 0}, Box{}},                                // nowhere
		{Delta{0, 0, 0, math.NaN()}, Box{}},                                //
		{Delta{-1, 0, math.Log(0.5), math.Log(0.5)}, Box{-5, 30, 5, 50}},   // outside of the picture
		{Delta{0.025, 0.0125, 0, 0}, Box{11, 21, 31, 61}},                  // half a pixel goes up
		{Delta{-0.025, -0.0125, 0, 0}, Box{10, 20, 30, 60}},                //
		{Delta{0, 0, math.Log(1.05), math.Log(1.05)}, Box{10, 19, 31, 61}}, // 21 × 42
	} {
		if got := (DeltaWeights{}).Decode(from, c.d); got != c.want {
			t.Errorf("%v: %v; want %v", c.d, got, c.want)
		}
	}
}

func anyWeights() *rapid.Generator[DeltaWeights] {
	return rapid.OneOf(rapid.Just(DeltaWeights{}), rapid.Just(Detectron2Weights), rapid.Custom(func(t *rapid.T) (w DeltaWeights) {
		for i := range w {
			w[i] = rapid.Float64Range(MinDeltaWeight, MaxDeltaWeight).Draw(t, "weight")
		}
		return w
	}))
}

func TestDeltaProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		whole := rapid.OneOf(anyBox(50), anyBox(1<<20), anyBox(1<<30-1)).Filter(func(b Box) bool { return !b.Empty() })
		from, to := whole.Draw(t, "from"), whole.Draw(t, "to")
		w := anyWeights().Draw(t, "weights")
		d := w.Encode(from, to)
		got := w.Decode(from, d)
		if float64(to.Width()) < 62.4*float64(from.Width()) && (got.X0 != to.X0 || got.X1 != to.X1) ||
			float64(to.Height()) < 62.4*float64(from.Height()) && (got.Y0 != to.Y0 || got.Y1 != to.Y1) {
			t.Fatalf("from %v to %v by %v: %v", from, to, d, got)
		}
		// Where both are makes no difference.
		if from.Union(to).Area() < 1<<30 {
			dx, dy := rapid.Int32Range(-999, 999).Draw(t, "dx"), rapid.Int32Range(-999, 999).Draw(t, "dy")
			move := func(b Box) Box { return Box{b.X0 + dx, b.Y0 + dy, b.X1 + dx, b.Y1 + dy} }
			if moved := w.Encode(move(from), move(to)); moved != d {
				t.Fatalf("%v, after moving %v", d, moved)
			}
		}
		// A weight does to its number what it says, and to no other.
		for i, plain := range (DeltaWeights{}).Encode(from, to) {
			if weight := w.ones()[i]; d[i] != weight*plain {
				t.Fatalf("%v of %v by %v: %v", i, plain, weight, d[i])
			}
		}
	})
}

func TestDeltaWeightsValidate(t *testing.T) {
	for _, w := range []DeltaWeights{{}, {1, 1, 1, 1}, Detectron2Weights, {1e-6, 1e6, 1, 1}} {
		if err := w.Validate(); err != nil {
			t.Errorf("%v: %v", w, err)
		}
	}
	for i := range 4 {
		for _, v := range []float64{0, -1, 1e-7, 1e7, math.NaN(), math.Inf(1)} {
			w := Detectron2Weights
			w[i] = v
			if err := w.Validate(); err == nil || !strings.Contains(err.Error(), "weight "+string(rune('0'+i))) {
				t.Errorf("%v: error %v: want one about weight %d", w, err, i)
			}
		}
	}
}

func TestDeltaPanics(t *testing.T) {
	b := Box{0, 0, 1, 1}
	for name, f := range map[string]func(){
		"from":    func() { DeltaWeights{}.Encode(Box{}, b) },
		"to":      func() { DeltaWeights{}.Encode(b, Box{5, 5, 5, 9}) },
		"decode":  func() { DeltaWeights{}.Decode(Box{}, Delta{}) },
		"weights": func() { DeltaWeights{1, 1, 1, -1}.Encode(b, b) },
		"back":    func() { DeltaWeights{1, 1, 1, 0}.Decode(b, Delta{}) },
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s: no panic", name)
				}
			}()
			f()
		}()
	}
}
