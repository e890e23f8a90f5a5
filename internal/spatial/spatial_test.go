package spatial

import (
	"math"
	"testing"

	"pgregory.net/rapid"
)

func TestSizeBin(t *testing.T) {
	for side, want := range map[float64]int{0: 0, .5: 0, 1: 0, 1.49: 0, 1.5: 1, 2: 2, 2.9: 2, 3: 3, 4: 4, 1 << 31: 62} {
		if got := SizeBin(side); got != want {
			t.Errorf("SizeBin(%v): got %d, want %d", side, got, want)
		}
	}
	for bin := range 64 {
		if got := SizeBin(MinSide(bin)); got != bin {
			t.Errorf("SizeBin(MinSide(%d)): got %d", bin, got)
		}
		if below := math.Nextafter(MinSide(bin), 0); bin > 0 && SizeBin(below) != bin-1 {
			t.Errorf("SizeBin(%v): got %d, want %d", below, SizeBin(below), bin-1)
		}
	}
}

func TestSlots(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		coordinate := rapid.Float64Range(-1e9, 1e9)
		from := coordinate.Draw(t, "from")
		to := from + rapid.Float64Range(0, 1e9).Draw(t, "length")
		limit := rapid.IntRange(1, 100).Draw(t, "limit")
		s := NewSlots(from, to, rapid.Float64Range(.25, 1e6).Draw(t, "pitch"), limit)
		if s.N < 1 || s.N > limit {
			t.Fatalf("got %d slots, want 1 to %d", s.N, limit)
		}
		a, b := coordinate.Draw(t, "a"), coordinate.Draw(t, "b")
		if a > b {
			a, b = b, a
		}
		if s.At(a) < 0 || s.At(a) > s.At(b) || s.At(b) >= s.N {
			t.Fatalf("got slots %d of %v and %d of %v, of %d", s.At(a), a, s.At(b), b, s.N)
		}
	})
}

func TestSlotsOfNothing(t *testing.T) {
	e := NewExtent()
	if s := NewSlots(e.Left, e.Right, 1, 16); s.N != 1 || s.At(5) != 0 {
		t.Errorf("got %+v with slot %d, want one slot", s, s.At(5))
	}
}
