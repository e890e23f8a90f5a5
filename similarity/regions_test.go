package similarity

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/proposer/proposer/raster"
)

// Merging descriptors, in any order, gives the descriptors of the merged regions to the bit.
func TestMergeEqualsDescribe(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rng := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 0))
		w, h := rapid.IntRange(1, 20).Draw(t, "width"), rapid.IntRange(1, 20).Draw(t, "height")
		space := rapid.SampledFrom([]raster.Space{raster.HSV, raster.Gray}).Draw(t, "space")
		b := bin(t, noise(rng, space, w, h))
		l := partition(rng, w, h, rapid.IntRange(2, 12).Draw(t, "regions"))
		r := describe(t, b, l)
		pix, sizes := slices.Clone(l.Pix), slices.Clone(l.Sizes)
		for range l.Regions() - 1 {
			x, y := rng.Int32N(int32(l.Regions())), rng.Int32N(int32(l.Regions()))
			if sizes[x] == 0 || sizes[y] == 0 || x == y {
				continue
			}
			r.Merge(x, y)
			for i := range pix {
				if pix[i] == y {
					pix[i] = x
				}
			}
			sizes[x], sizes[y] = sizes[x]+sizes[y], 0
		}
		merged := raster.NewLabelImage(w, pix)
		want := describe(t, b, merged)
		for i := range int32(merged.Regions()) {
			if merged.Sizes[i] == 0 {
				continue
			}
			if r.sizes[i] != want.sizes[i] || r.boxes[i] != want.boxes[i] {
				t.Fatalf("region %d: got %d pixels in %v, want %d in %v", i, r.sizes[i], r.boxes[i], want.sizes[i], want.boxes[i])
			}
			if !slices.Equal(r.color.normalRow(i), want.color.normalRow(i)) {
				t.Fatalf("region %d: color descriptors differ", i)
			}
			if !slices.Equal(r.texture.normalRow(i), want.texture.normalRow(i)) {
				t.Fatalf("region %d: texture descriptors differ", i)
			}
		}
	})
}

func TestMeasures(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rng := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 0))
		w, h := rapid.IntRange(2, 20).Draw(t, "width"), rapid.IntRange(2, 20).Draw(t, "height")
		img := noise(rng, raster.Lab, w, h)
		l := partition(rng, w, h, 2)
		if l.Regions() < 2 || l.Sizes[0] == 0 {
			t.Skip()
		}
		r := describe(t, bin(t, img), l)
		intersection := func(x, y []float64) (s float64) {
			n := 0.0
			for i := range x {
				s += min(x[i], y[i])
				n += x[i]
			}
			return s / n
		}
		c0, t0 := referenceDescriptor(img, l, 0)
		c1, t1 := referenceDescriptor(img, l, 1)
		pixels := float64(w * h)
		union := l.Boxes[0].Union(l.Boxes[1])
		both := float64(l.Sizes[0] + l.Sizes[1])
		// A response on the border of two bins shifts a pixel.
		slack := 3.0 / float64(min(l.Sizes[0], l.Sizes[1]))
		for _, m := range []struct {
			name      string
			got, want float64
			tolerance float64
		}{
			{"color", r.Color(0, 1), intersection(c0, c1), 1e-3},
			{"texture", r.Texture(0, 1), intersection(t0, t1), 1e-3 + slack},
			{"size", r.Size(0, 1), 1 - both/pixels, 1e-12},
			{"fill", r.Fill(0, 1), 1 - (float64(union.Area())-both)/pixels, 1e-12},
		} {
			if math.Abs(m.got-m.want) > m.tolerance || m.got < 0 || m.got > 1 {
				t.Fatalf("%s: got %v, want %v", m.name, m.got, m.want)
			}
		}
		for name, self := range map[string]float64{"color": r.Color(0, 0), "texture": r.Texture(1, 1)} {
			if math.Abs(self-1) > 1e-3 {
				t.Fatalf("%s of a region and itself: got %v, want 1", name, self)
			}
		}
		weights := Weights{rng.Float64(), rng.Float64(), rng.Float64(), rng.Float64()}
		got := make([]float32, 2)
		r.WithWeights(nil, weights).Similarities(got, 0, []int32{1, 1})
		want := weights.Color*r.Color(1, 0) + weights.Texture*r.Texture(1, 0) +
			weights.Size*r.Size(1, 0) + weights.Fill*r.Fill(1, 0)
		if math.Abs(float64(got[0])-want) > 1e-6 || got[0] != got[1] {
			t.Fatalf("weighted sum: got %v, want %v twice", got, want)
		}
	})
}

// There are more others than Similarities compares at a time.
func TestSimilaritiesToManyRegions(t *testing.T) {
	rng := rand.New(rand.NewPCG(2, 3))
	l := partition(rng, 20, 20, 8)
	r := describe(t, bin(t, noise(rng, raster.Lab, 20, 20)), l)
	others := make([]int32, 150)
	for i := range others {
		others[i] = rng.Int32N(8)
	}
	got, one := make([]float32, len(others)), make([]float32, 1)
	r.Similarities(got, 3, others)
	for i, b := range others {
		if r.Similarities(one, 3, []int32{b}); one[0] != got[i] {
			t.Fatalf("other %d: got %v, want %v", i, got[i], one[0])
		}
	}
}

func TestWithWeightsIsIndependent(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	b := bin(t, noise(rng, raster.HSV, 16, 16))
	l := partition(rng, 16, 16, 3)
	for _, measures := range []string{"CTSF", "TSF", "C", "F"} {
		t.Run(measures, func(t *testing.T) {
			r, untouched := describe(t, b, l), describe(t, b, l)
			w, err := ParseWeights(measures)
			if err != nil {
				t.Fatal(err)
			}
			r.WithWeights(nil, w).Merge(0, 1)
			if !slices.Equal(r.sizes, untouched.sizes) || !slices.Equal(r.boxes, untouched.boxes) ||
				!slices.Equal(r.color.counts, untouched.color.counts) || !slices.Equal(r.texture.normal, untouched.texture.normal) {
				t.Error("merging the copy changed the original")
			}
		})
	}
}

func TestWithWeightsPanics(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	r := describe(t, bin(t, noise(rng, raster.Gray, 9, 9)), partition(rng, 9, 9, 2))
	for name, call := range map[string]func(){
		"copy of itself":     func() { r.WithWeights(r, Weights{Size: 1}) },
		"missing descriptor": func() { r.WithWeights(nil, Weights{Size: 1}).WithWeights(nil, Weights{Color: 1}) },
		"no weight":          func() { r.WithWeights(nil, Weights{}) },
	} {
		t.Run(name, func(t *testing.T) {
			defer func() {
				if recover() == nil {
					t.Error("got no panic")
				}
			}()
			call()
		})
	}
}

// Results do not depend on what the memory held before, and reusing it does not allocate.
func TestReuse(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 6))
	var (
		b    BinnedImage
		r    Regions
		c    *Regions
		sets = []*Regions{&r}
	)
	for i, space := range []raster.Space{raster.HSV, raster.Gray, raster.Lab} {
		t.Run(space.String(), func(t *testing.T) {
			w, h, n := 30-5*i, 20+3*i, 4+i
			img := noise(rng, space, w, h)
			labels := []*raster.LabelImage{partition(rng, w, h, n)}
			want := describe(t, bin(t, img), labels[0])
			all := make([]int32, n)
			for j := range all {
				all[j] = int32(j)
			}
			use := func() {
				if err := b.Build(t.Context(), img, nil); err != nil {
					t.Fatal(err)
				}
				if err := b.Describe(t.Context(), sets, labels, nil); err != nil {
					t.Fatal(err)
				}
				c = r.WithWeights(c, Weights{Color: 1})
				c.Merge(1, 0)
				c = r.WithWeights(c, Weights{1, 1, 1, 1})
				c.Merge(0, 1)
				c.Merge(2, 0)
			}
			same := func(name string, got, want *Regions) {
				t.Helper()
				x, y := make([]float32, n), make([]float32, n)
				for _, a := range all {
					got.Similarities(x, a, all)
					want.Similarities(y, a, all)
					if !slices.Equal(x, y) {
						t.Fatalf("%s: slot %d: got %v, want %v", name, a, x, y)
					}
				}
			}
			use()
			same("described", &r, want)
			// A copy of a merged set, and a merged copy, equal the merged original.
			copied := c.WithWeights(nil, Weights{1, 1, 1, 1})
			want.Merge(0, 1)
			want.Merge(2, 0)
			same("merged", c, want)
			same("copied", copied, want)
			copied.Merge(2, 3)
			same("merged after it was copied", c, want)
			want.Merge(2, 3)
			same("copied and merged", copied, want)
			if n := testing.AllocsPerRun(5, use); n != 0 {
				t.Errorf("got %v allocations, want none", n)
			}
		})
	}
}
