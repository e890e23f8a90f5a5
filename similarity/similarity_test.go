package similarity

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/proposer/proposer/box"
	"github.com/proposer/proposer/internal/testutil/benchmetric"
	"github.com/proposer/proposer/internal/testutil/photos"
	"github.com/proposer/proposer/raster"
)

// partition gives every pixel of a picture one of at most n regions, and the regions' sizes and boxes.
func partition(rng *rand.Rand, width, height, n int) (labels, sizes []int32, boxes []box.Box) {
	labels = make([]int32, width*height)
	for i := range labels {
		labels[i] = int32(rng.IntN(n))
	}
	return measure(labels, width, n)
}

// measure finds sizes and boxes; regions without a pixel get none.
func measure(labels []int32, width, n int) ([]int32, []int32, []box.Box) {
	sizes, boxes := make([]int32, n), make([]box.Box, n)
	for i, r := range labels {
		x, y := int32(i%width), int32(i/width)
		sizes[r]++
		boxes[r] = boxes[r].Union(box.Box{X0: x, Y0: y, X1: x + 1, Y1: y + 1})
	}
	return labels, sizes, boxes
}

func noise(rng *rand.Rand, space raster.Space, width, height int) *raster.Image {
	img := raster.New(space, width, height)
	base, spread := rng.IntN(200), 1+rng.IntN(255)
	for i := range img.Pix {
		img.Pix[i] = uint8(min(255, base+rng.IntN(spread)))
	}
	return img
}

func describe(t interface{ Fatal(...any) }, img *raster.Image, labels, sizes []int32, boxes []box.Box) *Regions {
	f, err := NewBinnedImage(context.Background(), nil, img, nil)
	if err != nil {
		t.Fatal(err)
	}
	r, err := Describe(context.Background(), nil, f, labels, sizes, boxes, nil)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// literal are the descriptors of one region, straight from the definition.
func literal(t interface{ Fatal(...any) }, img *raster.Image, labels []int32, region int32) (colour, texture []float64) {
	planes := img.Space.Planes()
	colour = make([]float64, planes*ColorBins)
	texture = make([]float64, planes*Orientations*TextureBins)
	size := 0.0
	for _, l := range labels {
		if l == region {
			size++
		}
	}
	for p := range planes {
		pix := img.Plane(p)
		err := raster.Gradients(context.Background(), img, p, 1, func(y int, gx, gy []float32) {
			for x := range gx {
				i := y*img.Width + x
				if labels[i] != region {
					continue
				}
				colour[p*ColorBins+int(pix[i])*25/256] += 1 / size
				for o := range Orientations {
					// The derivative along o·45°, its positive half.
					u, v := direction(o)
					d := max(0, u*float64(gx[x])+v*float64(gy[x]))
					bin := min(TextureBins-1, int(d/TextureRange*TextureBins))
					// Opposite orientations lie next to each other.
					at := (p*Orientations + o%4*2 + o/4) * TextureBins
					texture[at+bin] += 1 / size
				}
			}
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return colour, texture
}

func direction(o int) (u, v float64) {
	s := math.Sqrt2 / 2
	return [...]float64{1, s, 0, -s, -1, -s, 0, s}[o], [...]float64{0, s, 1, s, 0, -s, -1, -s}[o]
}

func TestDescriptorsEqualLiteral(t *testing.T) {
	imgs := photos.Crops(t, 8, 48, 40)
	rng := rand.New(rand.NewPCG(3, 4))
	for i, img := range imgs {
		space := raster.Spaces()[i%len(raster.Spaces())]
		img, err := raster.Convert(t.Context(), nil, img, space)
		if err != nil {
			t.Fatal(err)
		}
		labels, sizes, boxes := partition(rng, img.Width, img.Height, 5)
		r := describe(t, img, labels, sizes, boxes)
		for region := range int32(5) {
			colour, texture := literal(t, img, labels, region)
			compare(t, fmt.Sprintf("%v: colour of region %d", space, region), r.colour.normalRow(region)[:len(colour)], colour, 1e-9)
			// A response on the border of two bins may fall into either: it is computed in float32 here.
			compare(t, fmt.Sprintf("%v: texture of region %d", space, region), r.texture.normalRow(region), texture, 1.01/float64(sizes[region]))
		}
	}
}

func compare(t *testing.T, what string, got []uint16, want []float64, tolerance float64) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%s: %d bins, want %d", what, len(got), len(want))
	}
	for i := range got {
		if d := math.Abs(float64(got[i])/one - want[i]); d > tolerance+0.5001/one {
			t.Errorf("%s: bin %d is %v, want %v", what, i, float64(got[i])/one, want[i])
		}
	}
}

// TestMergedEqualsDescribed: merging descriptors, in any order, gives to the bit
// the descriptors of the merged regions.
func TestMergedEqualsDescribed(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rng := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 0))
		w, h := rapid.IntRange(1, 20).Draw(t, "width"), rapid.IntRange(1, 20).Draw(t, "height")
		space := rapid.SampledFrom([]raster.Space{raster.HSV, raster.Gray}).Draw(t, "space")
		img := noise(rng, space, w, h)
		n := rapid.IntRange(2, 12).Draw(t, "regions")
		labels, sizes, boxes := partition(rng, w, h, n)
		r := describe(t, img, labels, sizes, boxes)
		for range n - 1 {
			a, b := int32(rng.IntN(n)), int32(rng.IntN(n))
			if sizes[a] == 0 || sizes[b] == 0 || a == b {
				continue
			}
			r.Merge(a, b)
			for i := range labels {
				if labels[i] == b {
					labels[i] = a
				}
			}
			_, sizes, boxes = measure(labels, w, n)
		}
		whole := describe(t, img, labels, sizes, boxes)
		for i := range int32(n) {
			if sizes[i] == 0 {
				continue
			}
			if r.sizes[i] != whole.sizes[i] || r.boxes[i] != whole.boxes[i] {
				t.Fatalf("region %d: %d pixels in %v, want %d in %v", i, r.sizes[i], r.boxes[i], whole.sizes[i], whole.boxes[i])
			}
			if !slices.Equal(r.colour.normalRow(i), whole.colour.normalRow(i)) {
				t.Fatalf("region %d: merged colours differ", i)
			}
			if !slices.Equal(r.texture.normalRow(i), whole.texture.normalRow(i)) {
				t.Fatalf("region %d: merged textures differ", i)
			}
		}
	})
}

// DescribeAll describes as Describe does, with few cells and with too many.
func TestDescribeAll(t *testing.T) {
	var cells Cells
	dst := []*Regions{new(Regions), new(Regions), new(Regions)}
	rng := rand.New(rand.NewPCG(5, 6))
	for i, regions := range [][]int{{7, 3, 2}, {1, 1, 1}, {40, 30, 35}, {900, 1000, 1100}, {12}, {60, 2}} {
		space := []raster.Space{raster.Lab, raster.Gray}[i%2]
		img := noise(rng, space, 160, 96)
		f, err := NewBinnedImage(t.Context(), nil, img, nil)
		if err != nil {
			t.Fatal(err)
		}
		var segmentations []Segmentation
		for j, n := range regions {
			labels, sizes, boxes := partition(rng, 160, 96, n)
			if i == 5 && j == 1 { // cells of runs, not of single pixels
				for k := range labels {
					labels[k] = int32(k / 160 / 48)
				}
				sizes, boxes = sizes[:2], boxes[:2]
				sizes[0], sizes[1] = 160*48, 160*48
			}
			segmentations = append(segmentations, Segmentation{labels, sizes, boxes})
		}
		if err := DescribeAll(t.Context(), dst[:len(regions)], &cells, f, segmentations, nil); err != nil {
			t.Fatal(err)
		}
		for j, s := range segmentations {
			want, err := Describe(t.Context(), nil, f, s.Labels, s.Sizes, s.Boxes, nil)
			if err != nil {
				t.Fatal(err)
			}
			for _, h := range [][2]*histograms{{&dst[j].colour, &want.colour}, {&dst[j].texture, &want.texture}} {
				if !slices.Equal(h[0].counts, h[1].counts) || !slices.Equal(h[0].normal, h[1].normal) {
					t.Errorf("%v regions: segmentation %d differs from itself alone", regions, j)
				}
			}
		}
	}
}

func TestMeasures(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rng := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 0))
		w, h := rapid.IntRange(2, 20).Draw(t, "width"), rapid.IntRange(2, 20).Draw(t, "height")
		img := noise(rng, raster.Lab, w, h)
		labels, sizes, boxes := partition(rng, w, h, 2)
		if sizes[0] == 0 || sizes[1] == 0 {
			t.Skip()
		}
		r := describe(t, img, labels, sizes, boxes)
		intersection := func(x, y []float64) (s float64) {
			n := 0.0
			for i := range x {
				s += min(x[i], y[i])
				n += x[i]
			}
			return s / n
		}
		c0, t0 := literal(t, img, labels, 0)
		c1, t1 := literal(t, img, labels, 1)
		pixels := float64(w * h)
		union := boxes[0].Union(boxes[1])
		// A response that lies on the border of two bins costs a pixel.
		slack := 3.0 / float64(min(sizes[0], sizes[1]))
		for _, m := range []struct {
			name      string
			got, want float64
			tolerance float64
		}{
			{"colour", r.Color(0, 1), intersection(c0, c1), 1e-3},
			{"texture", r.Texture(0, 1), intersection(t0, t1), 1e-3 + slack},
			{"size", r.Size(0, 1), 1 - float64(sizes[0]+sizes[1])/pixels, 1e-12},
			{"fill", r.Fill(0, 1), 1 - (float64(union.Area())-float64(sizes[0]+sizes[1]))/pixels, 1e-12},
		} {
			if math.Abs(m.got-m.want) > m.tolerance || m.got < 0 || m.got > 1 {
				t.Fatalf("%s = %v, want %v", m.name, m.got, m.want)
			}
		}
		for _, self := range []float64{r.Color(0, 0), r.Texture(1, 1)} {
			if math.Abs(self-1) > 1e-3 {
				t.Fatalf("a region is %v similar to itself, want 1", self)
			}
		}
		weights := Weights{rng.Float64(), rng.Float64(), rng.Float64(), rng.Float64()}
		got := make([]float32, 2)
		r.WithWeights(nil, weights).Similarities(got, 0, []int32{1, 1})
		want := weights.Color*r.Color(1, 0) + weights.Texture*r.Texture(1, 0) + weights.Size*r.Size(1, 0) + weights.Fill*r.Fill(1, 0)
		if math.Abs(float64(got[0])-want) > 1e-6 || got[0] != got[1] {
			t.Fatalf("weighted sum %v, want %v", got, want)
		}
	})
}

// TestUnderIsIndependent: merging a copy leaves the original alone.
func TestUnderIsIndependent(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	img := noise(rng, raster.HSV, 16, 16)
	labels, sizes, boxes := partition(rng, 16, 16, 3)
	r, untouched := describe(t, img, labels, sizes, boxes), describe(t, img, labels, sizes, boxes)
	for _, set := range []string{"CTSF", "TSF", "C", "F"} {
		w, err := ParseWeights(set)
		if err != nil {
			t.Fatal(err)
		}
		r.WithWeights(nil, w).Merge(0, 1)
		if !slices.Equal(r.sizes, untouched.sizes) || !slices.Equal(r.boxes, untouched.boxes) ||
			!slices.Equal(r.colour.counts, untouched.colour.counts) || !slices.Equal(r.texture.normal, untouched.texture.normal) {
			t.Fatalf("merging under %s changed the original", set)
		}
	}
}

// TestReuse: what a field or a set was before does not show, and using it again takes
// no memory.
func TestReuse(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 6))
	var f *BinnedImage
	var r, c *Regions
	for i, space := range []raster.Space{raster.HSV, raster.Gray, raster.Lab} {
		w, h, n := 30-5*i, 20+3*i, 4+i
		img := noise(rng, space, w, h)
		labels, sizes, boxes := partition(rng, w, h, n)
		want := describe(t, img, labels, sizes, boxes)
		all := make([]int32, n)
		for j := range all {
			all[j] = int32(j)
		}
		use := func() {
			var err error
			if f, err = NewBinnedImage(t.Context(), f, img, nil); err != nil {
				t.Fatal(err)
			}
			if r, err = Describe(t.Context(), r, f, labels, sizes, boxes, nil); err != nil {
				t.Fatal(err)
			}
			c = r.WithWeights(c, Weights{Color: 1})
			c.Merge(1, 0)
			c = r.WithWeights(c, Weights{1, 1, 1, 1})
			c.Merge(0, 1)
			c.Merge(2, 0)
		}
		same := func(what string, got, want *Regions) {
			x, y := make([]float32, n), make([]float32, n)
			for _, a := range all {
				got.Similarities(x, a, all)
				want.Similarities(y, a, all)
				if !slices.Equal(x, y) {
					t.Fatalf("%v: %s: slot %d has %v, want %v", space, what, a, x, y)
				}
			}
		}
		use()
		same("described", r, want)
		// A copy of a merged set, and a merged copy, are what the set itself becomes.
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
			t.Errorf("%v: %v allocations, want none", space, n)
		}
	}
}

func TestUnderPanics(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	labels, sizes, boxes := partition(rng, 9, 9, 2)
	r := describe(t, noise(rng, raster.Gray, 9, 9), labels, sizes, boxes)
	for name, call := range map[string]func(){
		"itself":   func() { r.WithWeights(r, Weights{Size: 1}) },
		"left out": func() { r.WithWeights(nil, Weights{Size: 1}).WithWeights(nil, Weights{Color: 1}) },
		"none":     func() { r.WithWeights(nil, Weights{}) },
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

// More others than are compared at a time.
func TestSimilaritiesOfMany(t *testing.T) {
	rng := rand.New(rand.NewPCG(2, 3))
	labels, sizes, boxes := partition(rng, 20, 20, 8)
	r := describe(t, noise(rng, raster.Lab, 20, 20), labels, sizes, boxes)
	others := make([]int32, 150)
	for i := range others {
		others[i] = rng.Int32N(8)
	}
	got, one := make([]float32, len(others)), make([]float32, 1)
	r.Similarities(got, 3, others)
	for i, b := range others {
		if r.Similarities(one, 3, []int32{b}); one[0] != got[i] {
			t.Fatalf("other %d: %v, want %v", i, got[i], one[0])
		}
	}
}

func TestCancel(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	img := raster.New(raster.RGB, 300, 300)
	f, err := NewBinnedImage(t.Context(), nil, img, nil)
	if err != nil {
		t.Fatal(err)
	}
	labels, sizes, boxes := partition(rand.New(rand.NewPCG(1, 1)), 300, 300, 2)
	if _, err := Describe(ctx, nil, f, labels, sizes, boxes, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("Describe: %v, want context.Canceled", err)
	}
	if _, err := NewBinnedImage(ctx, f, img, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("NewField: %v, want context.Canceled", err)
	}
}

func TestParseWeights(t *testing.T) {
	for _, test := range []struct {
		in   string
		want Weights
	}{
		{"CTSF", Weights{1, 1, 1, 1}},
		{"TSF", Weights{0, 1, 1, 1}},
		{"F", Weights{Fill: 1}},
		{"FC", Weights{Color: 1, Fill: 1}},
		{"C0.5TS0.25", Weights{0.5, 1, 0.25, 0}},
		{"T1e-3", Weights{Texture: 1e-3}},
	} {
		got, err := ParseWeights(test.in)
		if err != nil || got != test.want {
			t.Errorf("ParseWeights(%q) = %v, %v; want %v", test.in, got, err, test.want)
		}
	}
	for _, bad := range []string{"", "X", "CC", "C0", "C2", "C-1", "CNaN", "CInf", "c", "C T", "0.5", "C0.5.5"} {
		if w, err := ParseWeights(bad); err == nil {
			t.Errorf("ParseWeights(%q) = %v, want an error", bad, w)
		}
	}
}

func FuzzParseWeights(f *testing.F) {
	for _, s := range []string{"CTSF", "C0.5TS0.25", "F", "CC", "T1e-3", "C0x1p-2", "CInf"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		w, err := ParseWeights(s)
		if err != nil {
			return
		}
		if err := w.Validate(); err != nil {
			t.Fatalf("%q parses to %v: %v", s, w, err)
		}
		if again, err := ParseWeights(w.String()); err != nil || again != w {
			t.Fatalf("%q parses to %v, whose string %q parses to %v, %v", s, w, w.String(), again, err)
		}
	})
}

func ExampleRegions() {
	// Two halves of a picture, one black and one white: nothing alike but the
	// texture of their flat insides, and a perfect fit.
	img := raster.New(raster.Gray, 40, 10)
	labels := make([]int32, 400)
	for i := range labels {
		if i%40 >= 20 {
			img.Pix[i], labels[i] = 255, 1
		}
	}
	ctx := context.Background()
	field, err := NewBinnedImage(ctx, nil, img, nil)
	if err != nil {
		panic(err)
	}
	sizes := []int32{200, 200}
	boxes := []box.Box{{X0: 0, Y0: 0, X1: 20, Y1: 10}, {X0: 20, Y0: 0, X1: 40, Y1: 10}}
	r, err := Describe(ctx, nil, field, labels, sizes, boxes, nil)
	if err != nil {
		panic(err)
	}
	fmt.Printf("%.2f %.2f %.2f %.2f\n", r.Color(0, 1), r.Texture(0, 1), r.Size(0, 1), r.Fill(0, 1))
	// Output: 0.00 1.00 0.00 1.00
}

func BenchmarkNewField(b *testing.B) {
	img := noise(rand.New(rand.NewPCG(1, 2)), raster.Lab, 640, 480)
	var f *BinnedImage
	benchmetric.ReportMegapixels(b, 640*480)
	for b.Loop() {
		var err error
		if f, err = NewBinnedImage(b.Context(), f, img, nil); err != nil {
			b.Fatal(err)
		}
	}
}

// tiles is a picture of tiles as regions.
func tiles(b *testing.B) (f *BinnedImage, labels, sizes []int32, boxes []box.Box) {
	img := noise(rand.New(rand.NewPCG(1, 2)), raster.Lab, 640, 480)
	f, err := NewBinnedImage(b.Context(), nil, img, nil)
	if err != nil {
		b.Fatal(err)
	}
	labels = make([]int32, 640*480)
	for i := range labels {
		labels[i] = int32(i%640/20 + i/640/20*32)
	}
	labels, sizes, boxes = measure(labels, 640, 32*24)
	return f, labels, sizes, boxes
}

func BenchmarkDescribe(b *testing.B) {
	f, labels, sizes, boxes := tiles(b)
	flat, err := NewBinnedImage(b.Context(), nil, raster.New(raster.Lab, 640, 480), nil)
	if err != nil {
		b.Fatal(err)
	}
	for name, f := range map[string]*BinnedImage{"noise": f, "flat": flat} {
		b.Run(name, func(b *testing.B) {
			var r *Regions
			benchmetric.ReportMegapixels(b, 640*480)
			for b.Loop() {
				var err error
				if r, err = Describe(b.Context(), r, f, labels, sizes, boxes, nil); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkSimilarities(b *testing.B) {
	f, labels, sizes, boxes := tiles(b)
	r, err := Describe(b.Context(), nil, f, labels, sizes, boxes, nil)
	if err != nil {
		b.Fatal(err)
	}
	dst, others := make([]float32, 10), []int32{1, 2, 3, 32, 33, 34, 64, 65, 66, 67}
	for b.Loop() {
		r.Similarities(dst, 0, others)
	}
}

func BenchmarkMerge(b *testing.B) {
	f, labels, sizes, boxes := tiles(b)
	r, err := Describe(b.Context(), nil, f, labels, sizes, boxes, nil)
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		r.sizes[0] = 400 // do not let it outgrow the picture
		r.Merge(0, 1)
	}
}
