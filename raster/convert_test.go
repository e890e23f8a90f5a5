package raster

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"math"
	"os"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// referenceConvert returns a color in a space, computed by the documented formulas and not
// rounded.
func referenceConvert(to Space, red, green, blue uint8) [3]float64 {
	r, g, b := float64(red), float64(green), float64(blue)
	intensity := 0.299*r + 0.587*g + 0.114*b
	sum := r + g + b
	cr, cg, cb := r/sum, g/sum, b/sum
	if sum == 0 {
		cr, cg, cb = 1./3, 1./3, 1./3
	}
	switch to {
	case RGB:
		return [3]float64{r, g, b}
	case Gray:
		return [3]float64{intensity}
	case RGGray:
		return [3]float64{r, g, intensity}
	case RgI:
		return [3]float64{255 * cr, 255 * cg, intensity}
	case NormRGB:
		return [3]float64{255 * cr, 255 * cg, 255 * cb}
	case Opponent:
		// The opponent colors of (r,g,b)/(R+G+B) have the same ratios.
		o1, o2, o3 := (cr-cg)/math.Sqrt2, (cr+cg-2*cb)/math.Sqrt(6), 1/math.Sqrt(3)
		scale := func(v, low, high float64) float64 { return 255 * (v - low) / (high - low) }
		return [3]float64{
			scale(o1/o3, -math.Sqrt(1.5), math.Sqrt(1.5)),
			scale(o2/o3, -math.Sqrt2, 1/math.Sqrt2),
			scale(sum/math.Sqrt(3), 0, 255*math.Sqrt(3)),
		}
	case HSV, Hue:
		v := max(r, g, b)
		d := v - min(r, g, b)
		var h, s float64
		switch {
		case d == 0:
		case v == r:
			h = (g - b) / d
		case v == g:
			h = 2 + (b-r)/d
		default:
			h = 4 + (r-g)/d
		}
		if v > 0 {
			s = 255 * d / v
		}
		return [3]float64{256. / 6 * h, s, v}
	case Lab:
		x, y, z := linear(r/255), linear(g/255), linear(b/255)
		var xyz [3]float64
		for i, m := range toXYZ {
			xyz[i] = labRoot(m[0]*x + m[1]*y + m[2]*z)
		}
		return [3]float64{2.55 * (116*xyz[1] - 16), 500*(xyz[0]-xyz[1]) + 128, 200*(xyz[1]-xyz[2]) + 128}
	}
	panic(to)
}

// distance returns the distance of plane i of a color from its exact value.
func distance(space Space, i int, got uint8, want float64) float64 {
	d := math.Abs(float64(got) - want)
	if i == 0 && (space == HSV || space == Hue) { // around the circle
		d = math.Abs(math.Remainder(d, 256))
	}
	return d
}

func checkColors(t rapid.TB, src *Image) {
	t.Helper()
	for _, to := range Spaces() {
		got, err := Convert(context.Background(), nil, src, to)
		if err != nil {
			t.Errorf("%v: %v", to, err)
			return
		}
		for i := range src.Width * src.Height {
			r, g, b := src.Pix[i], src.Pix[i], src.Pix[i]
			if src.Space == RGB {
				g, b = src.Plane(1)[i], src.Plane(2)[i]
			}
			want := referenceConvert(to, r, g, b)
			for p := range to.Planes() {
				tolerance := 0.51
				if to == Lab {
					tolerance = 1.5 // within 1 once rounded
					if max(r, g, b) < 136 {
						tolerance = 3.5
					}
				}
				if v := got.Plane(p)[i]; distance(to, p, v, want[p]) > tolerance {
					t.Errorf("(%d,%d,%d) in %v: plane %d: got %d, want %.3f", r, g, b, to, p, v, want[p])
					return
				}
			}
		}
	}
}

// cube returns an image of every step-th red, green and blue, and the last of each.
func cube(step int) *Image {
	n := (254+step)/step + 1
	m := New(RGB, n*n, n)
	for i := range n * n * n {
		for p, v := range []int{i / n / n, i / n % n, i % n} {
			m.Plane(p)[i] = uint8(min(v*step, 255))
		}
	}
	return m
}

func TestConvertMatchesReference(t *testing.T) {
	checkColors(t, cube(5))
	ramp := New(Gray, 256, 1)
	for i := range ramp.Pix {
		ramp.Pix[i] = uint8(i)
	}
	checkColors(t, ramp)
}

func TestConvertMatchesReferenceOnRandomImages(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		space := rapid.SampledFrom([]Space{RGB, Gray}).Draw(t, "space")
		m := New(space, rapid.IntRange(1, 40).Draw(t, "width"), rapid.IntRange(1, 40).Draw(t, "height"))
		copy(m.Pix, rapid.SliceOfN(rapid.Uint8(), len(m.Pix), len(m.Pix)).Draw(t, "pix"))
		checkColors(t, m)
	})
}

// Lab is off by more than 1 as rarely as its documentation says.
func TestLabPrecision(t *testing.T) {
	src := cube(3)
	got, err := Convert(t.Context(), nil, src, Lab)
	if err != nil {
		t.Fatal(err)
	}
	off := 0
	n := src.Width * src.Height
	for i := range n {
		want := referenceConvert(Lab, src.Plane(0)[i], src.Plane(1)[i], src.Plane(2)[i])
		for p := range 3 {
			if math.Abs(float64(got.Plane(p)[i])-math.Floor(want[p]+0.5)) > 1 {
				off++
				break
			}
		}
	}
	if off > n/1500 {
		t.Errorf("got %d of %d colors off by more than 1, want at most %d", off, n, n/1500)
	}
}

// Halves are rounded the same in all colors that must not differ.
func TestGraysHaveOneHue(t *testing.T) {
	src := New(Gray, 256, 1)
	for i := range src.Pix {
		src.Pix[i] = uint8(i)
	}
	for to, planes := range map[Space]int{NormRGB: 3, RgI: 2, Opponent: 2, HSV: 2, Hue: 1} {
		got, err := Convert(t.Context(), nil, src, to)
		if err != nil {
			t.Fatal(err)
		}
		for p := range planes {
			if v := got.Plane(p); bytes.Count(v, v[:1]) != len(v) {
				t.Errorf("%v: plane %d: got %v, want equal samples", to, p, v)
			}
		}
	}
}

func TestConvertColors(t *testing.T) {
	for _, c := range []struct {
		rgb  [3]uint8
		to   Space
		want []uint8
	}{
		{[3]uint8{0, 0, 0}, NormRGB, []uint8{85, 85, 85}},
		{[3]uint8{0, 0, 0}, RgI, []uint8{85, 85, 0}},
		{[3]uint8{0, 0, 0}, Opponent, []uint8{128, 170, 0}},
		{[3]uint8{255, 255, 255}, Opponent, []uint8{128, 170, 255}},
		{[3]uint8{255, 0, 0}, Opponent, []uint8{255, 255, 85}},
		{[3]uint8{0, 0, 255}, Opponent, []uint8{128, 0, 85}},
		{[3]uint8{0, 0, 0}, HSV, []uint8{0, 0, 0}},
		{[3]uint8{255, 0, 0}, HSV, []uint8{0, 255, 255}},
		{[3]uint8{0, 128, 0}, HSV, []uint8{85, 255, 128}},
		{[3]uint8{128, 128, 255}, HSV, []uint8{171, 127, 255}},
		{[3]uint8{255, 0, 1}, Hue, []uint8{0}}, // wraps
		{[3]uint8{0, 0, 0}, Lab, []uint8{0, 128, 128}},
		{[3]uint8{255, 255, 255}, Lab, []uint8{255, 128, 128}},
		{[3]uint8{255, 0, 0}, Lab, []uint8{136, 208, 195}},
		{[3]uint8{255, 255, 255}, Gray, []uint8{255}},
		{[3]uint8{10, 20, 30}, RGGray, []uint8{10, 20, 18}},
	} {
		t.Run(fmt.Sprintf("%v %v", c.rgb, c.to), func(t *testing.T) {
			got, err := Convert(t.Context(), nil, &Image{1, 1, RGB, c.rgb[:]}, c.to)
			if err != nil || string(got.Pix) != string(c.want) {
				t.Errorf("got %v, %v, want %v", got.Pix, err, c.want)
			}
		})
	}
}

// testdata/opencv.py writes the file and documents its format.
func TestConvertAgreesWithOpenCV(t *testing.T) {
	data, err := os.ReadFile("testdata/opencv.bin")
	if err != nil {
		t.Fatal(err)
	}
	n := len(data) / 10
	src := New(RGB, n, 1)
	for i := range n {
		for p := range 3 {
			src.Plane(p)[i] = data[10*i+p]
		}
	}
	at := 3
	for _, to := range []Space{Gray, HSV, Lab} {
		got, err := Convert(t.Context(), nil, src, to)
		if err != nil {
			t.Fatal(err)
		}
		for p := range to.Planes() {
			for i, v := range got.Plane(p) {
				if want := data[10*i+at]; distance(to, p, v, float64(want)) > 1 {
					t.Errorf("%v in %v: plane %d: got %d, OpenCV has %d", data[10*i:10*i+3], to, p, v, want)
				}
			}
			at++
		}
	}
}

func TestConvertReusesMemory(t *testing.T) {
	src := noise(RGB, 64, 48)
	dst := New(RGB, 64, 48)
	pix := &dst.Pix[0]
	for _, to := range []Space{Gray, Lab, Hue, HSV} {
		got, err := Convert(t.Context(), dst, src, to)
		if err != nil || got != dst || &got.Pix[0] != pix || len(got.Pix) != to.Planes()*64*48 || got.Space != to {
			t.Errorf("%v: error %v, new image %t, new memory %t, %d bytes", to, err, got != dst, &got.Pix[0] != pix, len(got.Pix))
		}
	}
	allocations := testing.AllocsPerRun(5, func() {
		for _, to := range Spaces() {
			_, _ = Convert(context.Background(), dst, src, to)
		}
	})
	if allocations != 0 {
		t.Errorf("got %v allocations, want none", allocations)
	}
	small, err := Convert(t.Context(), New(Gray, 2, 2), src, Lab)
	if err != nil || small.Width != 64 || len(small.Pix) != 3*64*48 {
		t.Errorf("too small a destination: got error %v, width %d, %d bytes", err, small.Width, len(small.Pix))
	}
}

func TestConvertPanics(t *testing.T) {
	for _, c := range []struct{ from, to Space }{{Lab, RGB}, {Hue, Hue}, {RGB, spaces}} {
		t.Run(fmt.Sprintf("%v to %v", c.from, c.to), func(t *testing.T) {
			defer func() {
				if recover() == nil {
					t.Error("got no panic")
				}
			}()
			_, _ = Convert(t.Context(), nil, New(c.from, 1, 1), c.to)
		})
	}
}

func TestParseSpace(t *testing.T) {
	for _, s := range Spaces() {
		if got, err := ParseSpace(s.String()); err != nil || got != s {
			t.Errorf("ParseSpace(%q): got %v, %v, want %v", s.String(), got, err, s)
		}
	}
	for name, want := range map[string]Space{"hsv": HSV, "lab": Lab, "LAB": Lab, "i": Gray, "h": Hue, "c": Opponent} {
		if got, err := ParseSpace(name); err != nil || got != want {
			t.Errorf("ParseSpace(%q): got %v, %v, want %v", name, got, err, want)
		}
	}
	for _, name := range []string{"", "Rgb", "rgi", "RGI", "r-g-i", "HSV ", "Space(9)", "XYZ"} {
		_, err := ParseSpace(name)
		if err == nil || !strings.Contains(err.Error(), fmt.Sprintf("%q", name)) || !strings.Contains(err.Error(), "RGB, I, rgI, Lab, HSV, H, rgb, C, R-G-I") {
			t.Errorf("ParseSpace(%q): got error %v, want one that quotes the name and lists the spaces", name, err)
		}
	}
}

// countdown is a context that is canceled at its n-th check.
type countdown struct {
	context.Context
	n int
}

func (c *countdown) Err() error {
	if c.n--; c.n <= 0 {
		return context.Canceled
	}
	return nil
}

// Every loop checks its context at least every two hundred thousand samples.
func TestCancel(t *testing.T) {
	for _, size := range [][2]int{{1000, 700}, {100000, 7}, {7, 100000}} {
		src := New(RGB, size[0], size[1])
		gray := New(Gray, size[0], size[1])
		for name, run := range map[string]func(context.Context) error{
			"Convert":      func(ctx context.Context) error { _, err := Convert(ctx, nil, src, HSV); return err },
			"Convert gray": func(ctx context.Context) error { _, err := Convert(ctx, nil, gray, HSV); return err },
			"Smooth":       func(ctx context.Context) error { _, err := Smooth(ctx, nil, src, 0.8); return err },
		} {
			t.Run(fmt.Sprintf("%s %d×%d", name, size[0], size[1]), func(t *testing.T) {
				if err := run(&countdown{t.Context(), 4}); !errors.Is(err, context.Canceled) {
					t.Errorf("canceled at the fourth check: got error %v, want context.Canceled", err)
				}
				if err := run(t.Context()); err != nil {
					t.Error(err)
				}
			})
		}
	}
}

// The conversions of all 2^24 colors are the same in the kernels and their portable
// implementations, and on all architectures.
func TestConversionsOfAllColorsArePinned(t *testing.T) {
	img := New(RGB, 4096, 4096)
	for i := range 1 << 24 {
		img.Plane(0)[i], img.Plane(1)[i], img.Plane(2)[i] = uint8(i>>16), uint8(i>>8), uint8(i)
	}
	var out *Image
	for space, want := range map[Space]uint32{
		Gray: 0x15a2d22c, HSV: 0x89be6cfe, Hue: 0xbaad24c3, Lab: 0x89433369,
		RgI: 0xbe8f8544, RGGray: 0x7074c75e, NormRGB: 0xd45c10a2, Opponent: 0xf0647c62,
	} {
		t.Run(space.String(), func(t *testing.T) {
			var err error
			if out, err = Convert(t.Context(), out, img, space); err != nil {
				t.Fatal(err)
			}
			if got := crc32.ChecksumIEEE(out.Pix); got != want {
				t.Errorf("got checksum %#x, want %#x", got, want)
			}
		})
	}
}
