package simd

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// A check runs a kernel and its twin on equal input of n elements a slice.
type check struct {
	name  string
	equal func(m maker, n int) bool
	// whole is what lengths are multiples of, if not 1.
	whole int
}

// maker makes input, from one of several distributions.
type maker struct {
	t     testing.TB
	rng   *rand.Rand
	kind  int
	front bool
}

const kinds = 4

// floats are in [low,high]: at random, or its ends, or close to each other.
func (m maker) floats(n int, low, high float32) []float32 {
	s := fenced[float32](m.t, n, m.front)
	for i := range s {
		switch m.kind {
		case 0:
			s[i] = low + (high-low)*m.rng.Float32()
		case 1:
			s[i] = []float32{low, high}[m.rng.IntN(2)]
		case 2:
			s[i] = (low+high)/2 + (high-low)/1000*m.rng.Float32()
		case 3:
			s[i] = high
		}
	}
	return s
}

func pair[T any](m maker, n int) (kernel, twin []T) {
	return fenced[T](m.t, n, m.front), make([]T, n)
}

var checks = []check{
	{name: "Distances1", equal: func(m maker, n int) bool {
		a, b := m.floats(n, 0, 255), m.floats(n, 0, 255)
		got, want := pair[uint16](m, n)
		Distances1(got, a, b)
		distances1Go(want, a, b)
		return slices.Equal(got, want)
	}},
	{name: "Distances3", equal: func(m maker, n int) bool {
		a0, a1, a2 := m.floats(n, 0, 255), m.floats(n, 0, 255), m.floats(n, 0, 255)
		b0, b1, b2 := m.floats(n, 0, 255), m.floats(n, 0, 255), m.floats(n, 0, 255)
		got, want := pair[uint16](m, n)
		Distances3(got, a0, a1, a2, b0, b1, b2)
		distances3Go(want, a0, a1, a2, b0, b1, b2)
		return slices.Equal(got, want)
	}},
	{name: "Thin4", equal: func(m maker, n int) bool {
		var got, want, above, here [2][]uint16
		for d := range got {
			got[d], want[d] = pair[uint16](m, n)
			above[d], here[d] = m.weights(n+2), m.weights(n+2)
		}
		below := m.weights(n + 2)
		Thin4(&got, &above, &here, below)
		thin4Go(&want, &above, &here, below)
		return slices.EqualFunc(got[:], want[:], slices.Equal)
	}},
	{name: "Thin8", equal: func(m maker, n int) bool {
		var got, want, above, here [4][]uint16
		for d := range got {
			got[d], want[d] = pair[uint16](m, n)
			above[d], here[d] = m.weights(n+2), m.weights(n+2)
		}
		below := m.weights(n + 2)
		Thin8(&got, &above, &here, below)
		thin8Go(&want, &above, &here, below)
		return slices.EqualFunc(got[:], want[:], slices.Equal)
	}},
}

// weights are of a few levels, with ties and edges that are not there.
func (m maker) weights(n int) []uint16 {
	s := fenced[uint16](m.t, n, m.front)
	for i := range s {
		s[i] = uint16(m.rng.IntN([]int{1 << 16, 3, 50, 1}[m.kind]))
		if m.rng.IntN(20) == 0 {
			s[i] = noEdge
		}
	}
	return s
}

// TestKernelsEqualTwins holds every kernel to its twin, between pages that fault.
func TestKernelsEqualTwins(t *testing.T) {
	for _, c := range checks {
		t.Run(c.name, func(t *testing.T) {
			lengths := []int{639, 1000, 4096, 5003}
			for n := range 71 {
				lengths = append(lengths, n)
			}
			for _, n := range lengths {
				n *= max(1, c.whole)
				for seed := range 2 * kinds {
					m := maker{t, rand.New(rand.NewPCG(uint64(n), uint64(seed))), seed % kinds, seed < kinds}
					t.Run(fmt.Sprintf("%d/%d", n, seed), func(t *testing.T) {
						m.t = t
						if !c.equal(m, n) {
							t.Error("kernel and twin differ")
						}
					})
				}
			}
		})
	}
}

func TestKernelsOnAnyInput(t *testing.T) {
	for _, c := range checks {
		t.Run(c.name, func(t *testing.T) {
			rapid.Check(t, func(r *rapid.T) {
				seed := rapid.Uint64().Draw(r, "seed")
				n := rapid.IntRange(0, 200).Draw(r, "n") * max(1, c.whole)
				m := maker{t, rand.New(rand.NewPCG(seed, 0)), rapid.IntRange(0, kinds-1).Draw(r, "kind"), seed%2 == 0}
				if !c.equal(m, n) {
					r.Fatal("kernel and twin differ")
				}
			})
		})
	}
}

// Distances at the ends of their range and on the border of two steps.
func TestDistances(t *testing.T) {
	a := []float32{0, 255, 1, 1, 0, 3.5 / 128, 2.4999 / 128, 255, 0}
	b := []float32{0, 0, 1 + 1.0/128, 2, 255, 0, 0, 0, 511.9}
	want := []uint16{0, 32640, 1, 128, 32640, 4, 2, 32640, 65523}
	got := make([]uint16, len(a))
	Distances1(got, a, b)
	if !slices.Equal(got, want) {
		t.Errorf("Distances1: %v, want %v", got, want)
	}
	// 255·√3·128 is 56533.7.
	zero, most := make([]float32, 9), slices.Repeat([]float32{255}, 9)
	Distances3(got, zero, most, zero, most, zero, most)
	if !slices.Equal(got, slices.Repeat([]uint16{56534}, 9)) {
		t.Errorf("Distances3: %v, want 56534", got)
	}
}

func TestUnequalLengthsPanic(t *testing.T) {
	f, u := make([]float32, 9), make([]uint16, 9)
	for name, call := range map[string]func(){
		"Distances1": func() { Distances1(u, f, f[:8]) },
		"Distances3": func() { Distances3(u, f, f, f[:8], f, f, f) },
	} {
		t.Run(name, func(t *testing.T) {
			defer func() {
				if recover() == nil {
					t.Error("no panic")
				}
			}()
			call()
		})
	}
}

const row = 640 // elements a benchmark works on

func bench(b *testing.B, kernel, twin func()) {
	b.Run("kernel", func(b *testing.B) {
		for b.Loop() {
			kernel()
		}
	})
	b.Run("twin", func(b *testing.B) {
		for b.Loop() {
			twin()
		}
	})
}

func newMaker(b *testing.B) maker { return maker{b, rand.New(rand.NewPCG(1, 2)), 0, false} }

func BenchmarkDistances1(b *testing.B) {
	m := newMaker(b)
	dst, x, y := make([]uint16, row), m.floats(row, 0, 255), m.floats(row, 0, 255)
	bench(b, func() { Distances1(dst, x, y) }, func() { distances1Go(dst, x, y) })
}

func BenchmarkDistances3(b *testing.B) {
	m := newMaker(b)
	dst, x, y, z := make([]uint16, row), m.floats(row, 0, 255), m.floats(row, 0, 255), m.floats(row, 0, 255)
	bench(b, func() { Distances3(dst, x, y, z, y, z, x) }, func() { distances3Go(dst, x, y, z, y, z, x) })
}
