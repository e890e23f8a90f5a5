package raster

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"math"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// weights are a Gaussian's and its derivative's at −radius..radius.
func weights(sigma float64, radius int) (smooth, slope []float64) {
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

// convolve is the convolution of a plane with the product of across and down at (x,y).
func convolve(plane []uint8, width, x, y int, across, down []float64) float64 {
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

func checkFilters(src *Image, sigma float64) error {
	w := src.Width
	smoothed, err := Smooth(context.Background(), nil, src, sigma)
	if err != nil {
		return err
	}
	if smoothed.Width != w || smoothed.Height != src.Height || smoothed.N != src.Space.Planes() {
		return fmt.Errorf("%d planes of %d × %d", smoothed.N, smoothed.Width, smoothed.Height)
	}
	for p := range smoothed.N {
		plane := src.Plane(p)
		smooth, _ := weights(sigma, int(math.Ceil(4*sigma)))
		for i, got := range smoothed.Plane(p) {
			if want := convolve(plane, w, i%w, i/w, smooth, smooth); !(math.Abs(float64(got)-want) <= tolerance) {
				return fmt.Errorf("plane %d at (%d,%d): %v; want %v", p, i%w, i/w, got, want)
			}
		}
		smooth, slope := weights(sigma, max(int(math.Ceil(4*sigma)), 1))
		rows := 0
		err := Gradients(context.Background(), src, p, sigma, func(y int, gx, gy []float32) {
			if y != rows || len(gx) != w || len(gy) != w {
				err = fmt.Errorf("row %d of %d, %d samples in the place of row %d", y, len(gx), len(gy), rows)
				return
			}
			rows++
			for x := range w {
				wantX, wantY := convolve(plane, w, x, y, slope, smooth), convolve(plane, w, x, y, smooth, slope)
				if !(math.Abs(float64(gx[x])-wantX) <= tolerance && math.Abs(float64(gy[x])-wantY) <= tolerance) {
					err = fmt.Errorf("gradient of plane %d at (%d,%d): (%v,%v); want (%v,%v)", p, x, y, gx[x], gy[x], wantX, wantY)
				}
			}
		})
		if err == nil && rows != src.Height {
			err = fmt.Errorf("%d rows of %d", rows, src.Height)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func TestFiltersAreConvolutions(t *testing.T) {
	for _, size := range [][2]int{{1, 1}, {2, 2}, {1, 17}, {17, 1}, {3, 40}, {40, 3}, {31, 23}} {
		for _, sigma := range []float64{0, 0.1, 0.5, 0.8, 1, 1.3, 3} {
			for _, space := range []Space{RGB, Gray} {
				if err := checkFilters(noise(space, size[0], size[1]), sigma); err != nil {
					t.Errorf("%d × %d, σ = %v, %v: %v", size[0], size[1], sigma, space, err)
				}
			}
		}
	}
}

func TestFiltersOfAnyPicture(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := New(Gray, rapid.IntRange(1, 12).Draw(t, "width"), rapid.IntRange(1, 12).Draw(t, "height"))
		copy(m.Pix, rapid.SliceOfN(rapid.SampledFrom([]uint8{0, 1, 254, 255}), len(m.Pix), len(m.Pix)).Draw(t, "pix"))
		if err := checkFilters(m, rapid.Float64Range(0.05, 2).Draw(t, "sigma")); err != nil {
			t.Fatal(err)
		}
	})
}

func TestSmoothNothing(t *testing.T) {
	src := noise(RGB, 33, 9)
	got, err := Smooth(t.Context(), nil, src, 0)
	if err != nil {
		t.Fatal(err)
	}
	for i, v := range got.Pix {
		if v != float32(src.Pix[i]) {
			t.Fatalf("sample %d: %v; want %d", i, v, src.Pix[i])
		}
	}
}

func TestConstantPicture(t *testing.T) {
	src := New(Gray, 20, 30)
	for i := range src.Pix {
		src.Pix[i] = 255
	}
	for _, sigma := range []float64{0, 0.8, 1, 5, MaxSigma} {
		got, err := Smooth(t.Context(), nil, src, sigma)
		if err != nil {
			t.Fatal(err)
		}
		for i, v := range got.Pix {
			if v != got.Pix[0] || !(math.Abs(float64(v)-255) <= tolerance) {
				t.Fatalf("σ = %v, sample %d: %v", sigma, i, v)
			}
		}
		err = Gradients(t.Context(), src, 0, sigma, func(y int, gx, gy []float32) {
			for x := range gx {
				if gx[x] != 0 || gy[x] != 0 {
					t.Fatalf("σ = %v: gradient (%v,%v) at (%d,%d)", sigma, gx[x], gy[x], x, y)
				}
			}
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}

// A plane that rises by 2 to the right and by 1 downwards does so everywhere but near the border.
func TestRamp(t *testing.T) {
	const w, h = 70, 80
	src := New(Gray, w, h)
	for i := range src.Pix {
		src.Pix[i] = uint8(2*(i%w) + i/w)
	}
	for _, sigma := range []float64{0, 0.001, 0.3, 1, 2.5} {
		border := max(int(math.Ceil(4*sigma)), 1)
		err := Gradients(t.Context(), src, 0, sigma, func(y int, gx, gy []float32) {
			if y < border || y >= h-border {
				return
			}
			for x := border; x < w-border; x++ {
				if !(math.Abs(float64(gx[x])-2) <= tolerance && math.Abs(float64(gy[x])-1) <= tolerance) {
					t.Fatalf("σ = %v: gradient (%v,%v) at (%d,%d); want (2,1)", sigma, gx[x], gy[x], x, y)
				}
			}
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}

// Every architecture has to find these sums; change them with the algorithm only.
func TestSameBitsEverywhere(t *testing.T) {
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
		t.Errorf("colours: %#x", got)
	}
	sums.Reset()
	for _, sigma := range []float64{0.8, 1, 2} {
		smoothed, err := Smooth(t.Context(), nil, src, sigma)
		if err != nil {
			t.Fatal(err)
		}
		err = errors.Join(
			binary.Write(sums, binary.LittleEndian, smoothed.Pix),
			Gradients(t.Context(), src, 1, sigma, func(_ int, gx, gy []float32) {
				_ = binary.Write(sums, binary.LittleEndian, gx)
				_ = binary.Write(sums, binary.LittleEndian, gy)
			}))
		if err != nil {
			t.Fatal(err)
		}
	}
	if got := sums.Sum64(); got != 0x1016e37955e9fa56 {
		t.Errorf("filters: %#x", got)
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
	if err != nil || again != dst || &again.Pix[0] != pix || len(again.Pix) != 30*20 {
		t.Errorf("%v; new planes %t, new memory %t, %d samples", err, again != dst, &again.Pix[0] != pix, len(again.Pix))
	}
}

func TestFiltersPanic(t *testing.T) {
	for _, sigma := range []float64{-0.1, MaxSigma + 1, math.NaN(), math.Inf(1)} {
		for name, filter := range map[string]func(){
			"Smooth":    func() { _, _ = Smooth(t.Context(), nil, New(Gray, 1, 1), sigma) },
			"Gradients": func() { _ = Gradients(t.Context(), New(Gray, 1, 1), 0, sigma, func(int, []float32, []float32) {}) },
		} {
			func() {
				defer func() {
					if recover() == nil {
						t.Errorf("%s, σ = %v: no panic", name, sigma)
					}
				}()
				filter()
			}()
		}
	}
}

// TestFiltersReset: what a filter was before does not show, and using it again takes
// no memory.
func TestFiltersReset(t *testing.T) {
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
		err = Gradients(t.Context(), c.src, 0, c.sigma, func(y int, wantX, wantY []float32) {
			s.Row(got, 0, y)
			if !slices.Equal(got, p.Plane(0)[y*w:][:w]) {
				t.Fatalf("sigma %v: row %d is smoothed otherwise", c.sigma, y)
			}
			d.Row(gx, gy, 0, y)
			if !slices.Equal(gx, wantX) || !slices.Equal(gy, wantY) {
				t.Fatalf("sigma %v: row %d is differentiated otherwise", c.sigma, y)
			}
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	gx, gy := make([]float32, small.Width), make([]float32, small.Width)
	if n := testing.AllocsPerRun(10, func() {
		s.Reset(small, 0)
		d.Reset(small, 0)
		s.Row(gx, 0, 1)
		d.Row(gx, gy, 0, 1)
	}); n != 0 {
		t.Errorf("%v allocations, want none", n)
	}
}
