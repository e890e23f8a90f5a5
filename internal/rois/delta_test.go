package rois

import (
	"math"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/proposer/proposer/box"
)

func TestEncode(t *testing.T) {
	from := box.Box{X0: 10, Y0: 20, X1: 30, Y1: 60} // 20 × 40 with center (20,40)
	far := box.Box{X0: 15, Y0: 40, X1: 55, Y1: 60}  // 40 × 20 with center (35,50): 15 of 20, 10 of 40, twice, half
	for name, c := range map[string]struct {
		to      box.Box
		weights DeltaWeights
		want    Delta
	}{
		"same box":           {from, DeltaWeights{}, Delta{0, 0, 0, 0}},
		"zero weights":       {far, DeltaWeights{}, Delta{0.75, 0.25, 0.6931471805599453, -0.6931471805599453}},
		"unit weights":       {far, DeltaWeights{1, 1, 1, 1}, Delta{0.75, 0.25, 0.6931471805599453, -0.6931471805599453}},
		"detectron2 weights": {far, Detectron2Weights, Delta{7.5, 2.5, 3.4657359027997265, -3.4657359027997265}},
		// 25 × 40 with center (22.5,40). If 1 were added to the sides, the widths' ratio would be 26/21.
		"half-open sides": {box.Box{X0: 10, Y0: 20, X1: 35, Y1: 60}, DeltaWeights{}, Delta{0.125, 0, 0.22314355131420976, 0}},
	} {
		t.Run(name, func(t *testing.T) {
			got := c.weights.Encode(from, c.to)
			for i, v := range got {
				if math.Abs(v-c.want[i]) > 1e-15 {
					t.Fatalf("Encode(%v, %v) = %v, want %v", from, c.to, got, c.want)
				}
			}
			if back := referenceDecode(c.weights, from, got); back != c.to {
				t.Errorf("decoded %v from %v: got %v, want %v", got, from, back, c.to)
			}
		})
	}
}

// referenceDecode inverts Encode. It rounds to whole pixels, halves up.
func referenceDecode(w DeltaWeights, from box.Box, d Delta) box.Box {
	w = w.withDefault()
	side := func(a, b int32, shift, scale float64) (int32, int32) {
		center := doubleCenter(a, b)/2 + float64(shift*length(a, b)) // not fused
		half := float64(length(a, b) / 2 * math.Exp(scale))
		return nearest(center - half), nearest(center + half)
	}
	var b box.Box
	b.X0, b.X1 = side(from.X0, from.X1, d[0]/w[0], d[2]/w[2])
	b.Y0, b.Y1 = side(from.Y0, from.Y1, d[1]/w[1], d[3]/w[3])
	return b
}

// nearest rounds v, halves up, and saturates.
func nearest(v float64) int32 {
	return int32(min(max(math.Floor(v+0.5), math.MinInt32), math.MaxInt32))
}

func anyWeights() *rapid.Generator[DeltaWeights] {
	return rapid.OneOf(rapid.Just(DeltaWeights{}), rapid.Just(Detectron2Weights), rapid.Custom(func(t *rapid.T) (w DeltaWeights) {
		for i := range w {
			w[i] = rapid.Float64Range(MinDeltaWeight, MaxDeltaWeight).Draw(t, "weight")
		}
		return w
	}))
}

// boxWithin draws a box that is not empty with coordinates in ±limit.
func boxWithin(limit int32) *rapid.Generator[box.Box] {
	return rapid.Custom(func(t *rapid.T) box.Box {
		side := rapid.Int32Range(-limit, limit)
		return box.Box{
			X0: side.Draw(t, "x0"), Y0: side.Draw(t, "y0"),
			X1: side.Draw(t, "x1"), Y1: side.Draw(t, "y1"),
		}
	}).Filter(func(b box.Box) bool { return !b.Empty() })
}

func TestEncodeProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		boxes := rapid.OneOf(boxWithin(50), boxWithin(1<<20), boxWithin(1<<30-1))
		from, to := boxes.Draw(t, "from"), boxes.Draw(t, "to")
		w := anyWeights().Draw(t, "weights")
		d := w.Encode(from, to)

		// Decoding is exact where the sides do not differ much.
		got := referenceDecode(w, from, d)
		if float64(to.Width()) < 62.4*float64(from.Width()) && (got.X0 != to.X0 || got.X1 != to.X1) ||
			float64(to.Height()) < 62.4*float64(from.Height()) && (got.Y0 != to.Y0 || got.Y1 != to.Y1) {
			t.Fatalf("decoded %v from %v: got %v, want %v", d, from, got, to)
		}

		// Deltas are invariant under translation.
		if from.Union(to).Area() < 1<<30 {
			dx, dy := rapid.Int32Range(-999, 999).Draw(t, "dx"), rapid.Int32Range(-999, 999).Draw(t, "dy")
			move := func(b box.Box) box.Box {
				return box.Box{X0: b.X0 + dx, Y0: b.Y0 + dy, X1: b.X1 + dx, Y1: b.Y1 + dy}
			}
			if moved := w.Encode(move(from), move(to)); moved != d {
				t.Fatalf("moved by (%d,%d): got %v, want %v", dx, dy, moved, d)
			}
		}

		// Each weight multiplies its own component alone.
		for i, plain := range (DeltaWeights{}).Encode(from, to) {
			if weight := w.withDefault()[i]; d[i] != weight*plain {
				t.Fatalf("component %d with weight %v: got %v, want %v", i, weight, d[i], weight*plain)
			}
		}
	})
}

func TestDeltaWeightsValidate(t *testing.T) {
	for _, w := range []DeltaWeights{{}, {1, 1, 1, 1}, Detectron2Weights, {1e-6, 1e6, 1, 1}} {
		if err := w.Validate(); err != nil {
			t.Errorf("%v: got error %v, want none", w, err)
		}
	}
	for i := range 4 {
		for _, v := range []float64{0, -1, 1e-7, 1e7, math.NaN(), math.Inf(1)} {
			w := Detectron2Weights
			w[i] = v
			if err := w.Validate(); err == nil || !strings.Contains(err.Error(), "weight "+string(rune('0'+i))) {
				t.Errorf("%v: got error %v, want one about weight %d", w, err, i)
			}
		}
	}
}

func TestEncodePanics(t *testing.T) {
	b := box.Box{X0: 0, Y0: 0, X1: 1, Y1: 1}
	for name, f := range map[string]func(){
		"empty from":      func() { DeltaWeights{}.Encode(box.Box{}, b) },
		"empty to":        func() { DeltaWeights{}.Encode(b, box.Box{X0: 5, Y0: 5, X1: 5, Y1: 9}) },
		"invalid weights": func() { DeltaWeights{1, 1, 1, -1}.Encode(b, b) },
	} {
		t.Run(name, func(t *testing.T) {
			defer func() {
				if recover() == nil {
					t.Error("got no panic")
				}
			}()
			f()
		})
	}
}
