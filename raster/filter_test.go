package raster

import (
	"context"
	"encoding/binary"
	"fmt"
	"hash/fnv"
	"math"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// gradients calls f with the derivatives of each row of a plane.
func gradients(src *Image, plane int, sigma float64, f func(y int, gx, gy []float32)) {
	var d Differentiator
	d.Reset(src, sigma)
	gx, gy := make([]float32, src.Width), make([]float32, src.Width)
	for y := range src.Height {
		d.Row(gx, gy, plane, y)
		f(y, gx, gy)
	}
}

// referenceWeights returns a Gaussian and its derivative at −radius..radius.
func referenceWeights(sigma float64, radius int) (smooth, slope []float64) {
	var sum, ramp float64
	for x := -radius; x <= radius; x++ {
		g := 1.0
		if sigma > 0 {
			g = math.Exp(-float64(x*x) / (2 * sigma * sigma))
		} else if x != 0 {
			g = 0
		}
		d := -float64(x) * g // as a convolution: weighs the sample at −x
		if sigma == 0 {
			d = -float64(x)
		}
		smooth, slope = append(smooth, g), append(slope, d)
		sum += g
		ramp -= d * float64(x)
	}
	for i := range smooth {
		smooth[i] /= sum
		if radius > 0 {
			slope[i] /= ramp
		}
	}
	return smooth, slope
}

// referenceConvolve returns the convolution of a plane with the product of across and down at
// (x,y).
func referenceConvolve(plane []uint8, width, x, y int, across, down []float64) float64 {
	height := len(plane) / width
	radius := len(across) / 2
	sum := 0.0
	for j := -radius; j <= radius; j++ {
		for i := -radius; i <= radius; i++ {
			xx, yy := min(max(x-i, 0), width-1), min(max(y-j, 0), height-1)
			sum += across[radius+i] * down[radius+j] * float64(plane[yy*width+xx])
		}
	}
	return sum
}

const tolerance = 1e-3

func checkFilters(t rapid.TB, src *Image, sigma float64) {
	t.Helper()
	w := src.Width
	smoothed, err := Smooth(context.Background(), nil, src, sigma)
	if err != nil {
		t.Fatal(err)
	}
	if smoothed.Width != w || smoothed.Height != src.Height || smoothed.N != src.Space.Planes() {
		t.Fatalf("got %d planes of %d×%d, want %d of %d×%d", smoothed.N, smoothed.Width, smoothed.Height, src.Space.Planes(), w, src.Height)
	}
	near := func(got float32, want float64) bool { return math.Abs(float64(got)-want) <= tolerance }
	for p := range smoothed.N {
		plane := src.Plane(p)
		smooth, _ := referenceWeights(sigma, int(math.Ceil(4*sigma)))
		for i, got := range smoothed.Plane(p) {
			if want := referenceConvolve(plane, w, i%w, i/w, smooth, smooth); !near(got, want) {
				t.Fatalf("plane %d smoothed at (%d,%d): got %v, want %v", p, i%w, i/w, got, want)
			}
		}
		smooth, slope := referenceWeights(sigma, max(int(math.Ceil(4*sigma)), 1))
		gradients(src, p, sigma, func(y int, gx, gy []float32) {
			for x := range w {
				wantX := referenceConvolve(plane, w, x, y, slope, smooth)
				wantY := referenceConvolve(plane, w, x, y, smooth, slope)
				if !near(gx[x], wantX) || !near(gy[x], wantY) {
					t.Fatalf("gradient of plane %d at (%d,%d): got (%v,%v), want (%v,%v)", p, x, y, gx[x], gy[x], wantX, wantY)
				}
			}
		})
	}
}

func TestFiltersMatchReference(t *testing.T) {
	for _, size := range [][2]int{{1, 1}, {2, 2}, {1, 17}, {17, 1}, {3, 40}, {40, 3}, {31, 23}} {
		for _, sigma := range []float64{0, 0.1, 0.5, 0.8, 1, 1.3, 3} {
			for _, space := range []Space{RGB, Gray} {
				t.Run(fmt.Sprintf("%d×%d σ=%v %v", size[0], size[1], sigma, space), func(t *testing.T) {
					checkFilters(t, noise(space, size[0], size[1]), sigma)
				})
			}
		}
	}
}

func TestFiltersMatchReferenceOnRandomImages(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := New(Gray, rapid.IntRange(1, 12).Draw(t, "width"), rapid.IntRange(1, 12).Draw(t, "height"))
		copy(m.Pix, rapid.SliceOfN(rapid.SampledFrom([]uint8{0, 1, 254, 255}), len(m.Pix), len(m.Pix)).Draw(t, "pix"))
		checkFilters(t, m, rapid.Float64Range(0.05, 2).Draw(t, "sigma"))
	})
}

func TestSmoothWithSigmaZeroCopies(t *testing.T) {
	src := noise(RGB, 33, 9)
	got, err := Smooth(t.Context(), nil, src, 0)
	if err != nil {
		t.Fatal(err)
	}
	for i, v := range got.Pix {
		if v != float32(src.Pix[i]) {
			t.Fatalf("sample %d: got %v, want %d", i, v, src.Pix[i])
		}
	}
}

func TestFiltersOfConstantImage(t *testing.T) {
	src := New(Gray, 20, 30)
	for i := range src.Pix {
		src.Pix[i] = 255
	}
	for _, sigma := range []float64{0, 0.8, 1, 5, MaxSigma} {
		t.Run(fmt.Sprintf("σ=%v", sigma), func(t *testing.T) {
			got, err := Smooth(t.Context(), nil, src, sigma)
			if err != nil {
				t.Fatal(err)
			}
			for i, v := range got.Pix {
				if v != got.Pix[0] || !(math.Abs(float64(v)-255) <= tolerance) {
					t.Fatalf("sample %d: got %v, want 255 and all equal", i, v)
				}
			}
			gradients(src, 0, sigma, func(y int, gx, gy []float32) {
				for x := range gx {
					if gx[x] != 0 || gy[x] != 0 {
						t.Fatalf("gradient at (%d,%d): got (%v,%v), want (0,0)", x, y, gx[x], gy[x])
					}
				}
			})
		})
	}
}

// A plane rises by 2 per pixel to the right and by 1 downwards, everywhere but near its border.
func TestGradientOfRamp(t *testing.T) {
	const w, h = 70, 80
	src := New(Gray, w, h)
	for i := range src.Pix {
		src.Pix[i] = uint8(2*(i%w) + i/w)
	}
	for _, sigma := range []float64{0, 0.001, 0.3, 1, 2.5} {
		t.Run(fmt.Sprintf("σ=%v", sigma), func(t *testing.T) {
			border := max(int(math.Ceil(4*sigma)), 1)
			gradients(src, 0, sigma, func(y int, gx, gy []float32) {
				if y < border || y >= h-border {
					return
				}
				for x := border; x < w-border; x++ {
					if !(math.Abs(float64(gx[x])-2) <= tolerance && math.Abs(float64(gy[x])-1) <= tolerance) {
						t.Fatalf("gradient at (%d,%d): got (%v,%v), want (2,1)", x, y, gx[x], gy[x])
					}
				}
			})
		})
	}
}

// The checksums are the same on every architecture. They change only with the algorithm.
func TestResultsArePinned(t *testing.T) {
	sums := fnv.New64a()
	src := noise(RGB, 97, 61)
	for _, to := range Spaces() {
		converted, err := Convert(t.Context(), nil, src, to)
		if err != nil {
			t.Fatal(err)
		}
		sums.Write(converted.Pix)
	}
	if got := sums.Sum64(); got != 0xa81a9138ec58caf5 {
		t.Errorf("colors: got checksum %#x, want 0xa81a9138ec58caf5", got)
	}
	sums.Reset()
	for _, sigma := range []float64{0.8, 1, 2} {
		smoothed, err := Smooth(t.Context(), nil, src, sigma)
		if err != nil {
			t.Fatal(err)
		}
		write := func(samples []float32) {
			if err := binary.Write(sums, binary.LittleEndian, samples); err != nil {
				t.Fatal(err)
			}
		}
		write(smoothed.Pix)
		gradients(src, 1, sigma, func(_ int, gx, gy []float32) {
			write(gx)
			write(gy)
		})
	}
	if got := sums.Sum64(); got != 0x1016e37955e9fa56 {
		t.Errorf("filters: got checksum %#x, want 0x1016e37955e9fa56", got)
	}
}

func TestSmoothReusesMemory(t *testing.T) {
	src := noise(RGB, 64, 48)
	dst, err := Smooth(t.Context(), nil, src, 0.8)
	if err != nil {
		t.Fatal(err)
	}
	pix := &dst.Pix[0]
	again, err := Smooth(t.Context(), dst, noise(Gray, 30, 20), 0.8)
	if err != nil {
		t.Fatal(err)
	}
	if again != dst || &again.Pix[0] != pix || len(again.Pix) != 30*20 {
		t.Errorf("new planes %t, new memory %t, %d samples, want the same with %d", again != dst, &again.Pix[0] != pix, len(again.Pix), 30*20)
	}
}

func TestFiltersPanicOnInvalidSigma(t *testing.T) {
	for _, sigma := range []float64{-0.1, MaxSigma + 1, math.NaN(), math.Inf(1)} {
		for name, filter := range map[string]func(){
			"Smooth":         func() { _, _ = Smooth(t.Context(), nil, New(Gray, 1, 1), sigma) },
			"Smoother":       func() { new(Smoother).Reset(New(Gray, 1, 1), sigma) },
			"Differentiator": func() { new(Differentiator).Reset(New(Gray, 1, 1), sigma) },
		} {
			t.Run(fmt.Sprintf("%s σ=%v", name, sigma), func(t *testing.T) {
				defer func() {
					if recover() == nil {
						t.Error("got no panic")
					}
				}()
				filter()
			})
		}
	}
}

// A filter's results do not depend on what it filtered before, and reusing it does not
// allocate.
func TestFilterReset(t *testing.T) {
	large, small := noise(RGB, 50, 9), noise(Gray, 7, 5)
	var s Smoother
	var d Differentiator
	for _, c := range []struct {
		src   *Image
		sigma float64
	}{{large, 2}, {small, 1}, {large, 1}, {small, 0}} {
		s.Reset(c.src, c.sigma)
		d.Reset(c.src, c.sigma)
		p, err := Smooth(t.Context(), nil, c.src, c.sigma)
		if err != nil {
			t.Fatal(err)
		}
		w := c.src.Width
		got, gx, gy := make([]float32, w), make([]float32, w), make([]float32, w)
		gradients(c.src, 0, c.sigma, func(y int, wantX, wantY []float32) {
			s.Row(got, 0, y)
			if !slices.Equal(got, p.Plane(0)[y*w:][:w]) {
				t.Fatalf("σ = %v: smoothed row %d differs from that of a new filter", c.sigma, y)
			}
			d.Row(gx, gy, 0, y)
			if !slices.Equal(gx, wantX) || !slices.Equal(gy, wantY) {
				t.Fatalf("σ = %v: gradients of row %d differ from those of a new filter", c.sigma, y)
			}
		})
	}
	gx, gy := make([]float32, small.Width), make([]float32, small.Width)
	if n := testing.AllocsPerRun(10, func() {
		s.Reset(small, 0)
		d.Reset(small, 0)
		s.Row(gx, 0, 1)
		d.Row(gx, gy, 0, 1)
	}); n != 0 {
		t.Errorf("got %v allocations, want none", n)
	}
}
