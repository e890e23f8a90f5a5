package ycbcr

import (
	"image"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/proposer/proposer/internal/testutil/benchmetric"
	"pgregory.net/rapid"
)

var ratios = []image.YCbCrSubsampleRatio{
	image.YCbCrSubsampleRatio444, image.YCbCrSubsampleRatio422, image.YCbCrSubsampleRatio420,
	image.YCbCrSubsampleRatio440, image.YCbCrSubsampleRatio411, image.YCbCrSubsampleRatio410,
}

// factors returns the pixels in a row and in a column that share a sample.
func factors(ratio image.YCbCrSubsampleRatio) (h, v int) {
	switch ratio {
	case image.YCbCrSubsampleRatio422:
		return 2, 1
	case image.YCbCrSubsampleRatio420:
		return 2, 2
	case image.YCbCrSubsampleRatio440:
		return 1, 2
	case image.YCbCrSubsampleRatio411:
		return 4, 1
	case image.YCbCrSubsampleRatio410:
		return 4, 2
	}
	return 1, 1
}

func randomImage(seed uint64, r image.Rectangle, ratio image.YCbCrSubsampleRatio) *image.YCbCr {
	rng := rand.New(rand.NewPCG(seed, 0))
	// As in a JPEG file, the planes are larger than the image.
	m := image.NewYCbCr(image.Rect(0, 0, (r.Max.X+15)/16*16, (r.Max.Y+15)/16*16), ratio)
	for _, pix := range [][]uint8{m.Y, m.Cb, m.Cr} {
		for i := range pix {
			pix[i] = uint8(rng.Uint32())
		}
	}
	return m.SubImage(r).(*image.YCbCr)
}

// A filter returns the weighted sum of the nearest sample, of the second nearest ones in its row and in its column,
// and of the one diagonal to it.
type filter func(near, row, column, diagonal, x, y int) int

// reference returns the chroma at a pixel.
func reference(pix []uint8, m *image.YCbCr, x, y int, f filter) int {
	h, v := factors(m.SubsampleRatio)
	at := func(column, row int) int {
		column = min(max(column, m.Rect.Min.X/h), (m.Rect.Max.X-1)/h) - m.Rect.Min.X/h
		row = min(max(row, m.Rect.Min.Y/v), (m.Rect.Max.Y-1)/v) - m.Rect.Min.Y/v
		return int(pix[row*m.CStride+column])
	}
	column, row := x/h, y/v
	nextColumn, nextRow := column, row
	if h == 2 {
		nextColumn += 2*(x%2) - 1
	}
	if v == 2 {
		nextRow += 2*(y%2) - 1
	}
	return f(at(column, row), at(nextColumn, row), at(column, nextRow), at(nextColumn, nextRow), x, y)
}

func jpegFilter(m *image.YCbCr) filter {
	h, _ := factors(m.SubsampleRatio)
	columns := (m.Rect.Max.X+h-1)/h - m.Rect.Min.X/h
	switch m.SubsampleRatio {
	case image.YCbCrSubsampleRatio422:
		if columns > 2 {
			return func(near, row, _, _, x, _ int) int { return (3*near + row + 1 + x%2) / 4 }
		}
	case image.YCbCrSubsampleRatio440:
		return func(near, _, column, _, _, y int) int { return (3*near + column + 1 + y%2) / 4 }
	case image.YCbCrSubsampleRatio420:
		if columns > 2 {
			return func(near, row, column, diagonal, x, _ int) int {
				return (9*near + 3*row + 3*column + diagonal + 8 - x%2) / 16
			}
		}
	}
	return func(near, _, _, _, _, _ int) int { return near }
}

func webpFilter(near, row, column, diagonal, _, _ int) int {
	return ((near+row+column+diagonal+8+2*(row+column))/8 + near) / 2
}

func round8(v float64) uint8 { return uint8(min(max(math.Floor(v), 0), 255)) }

// jfif converts a color, with the 16-bit coefficients of libjpeg.
func jfif(y, cb, cr int) [3]uint8 {
	const one = 1 << 16
	fix := func(v float64) float64 { return math.Round(v*one) / one }
	l, u, v := float64(y)+0.5, float64(cb-128), float64(cr-128)
	return [3]uint8{
		round8(l + fix(1.402)*v), round8(l - fix(0.34414)*u - fix(0.71414)*v), round8(l + fix(1.772)*u),
	}
}

// video converts a color as libwebp does: with six bits of fraction, and each product rounded down.
func video(y, cb, cr int) [3]uint8 {
	part := func(sample, coefficient int) float64 { return float64(sample * coefficient / 256) }
	l := part(y, 19077)
	return [3]uint8{
		round8((l + part(cr, 26149) - 14234) / 64),
		round8((l - part(cb, 6419) - part(cr, 13320) + 8708) / 64),
		round8((l + part(cb, 33050) - 17685) / 64),
	}
}

// upsample copies the planes of m, whose bounds begin at (0, 0).
func upsample(r, g, b []uint8, m *image.YCbCr) {
	w := m.Rect.Dx()
	h, v := factors(m.SubsampleRatio)
	for i, p := range []struct {
		dst []uint8
		Plane
	}{{r, Plane{m.Y, m.YStride, 1, 1}}, {g, Plane{m.Cb, m.CStride, h, v}}, {b, Plane{m.Cr, m.CStride, h, v}}} {
		u := NewUpsampler(p.Plane, w, m.Rect.Dy())
		for y := range m.Rect.Dy() {
			if copy(p.dst[y*w:], u.Row(y)) != w {
				panic(i)
			}
		}
	}
}

func TestMatchesReference(t *testing.T) {
	plain := func(y, cb, cr int) [3]uint8 { return [3]uint8{uint8(y), uint8(cb), uint8(cr)} }
	rapid.Check(t, func(t *rapid.T) {
		left, top := rapid.IntRange(0, 9).Draw(t, "left"), rapid.IntRange(0, 9).Draw(t, "top")
		w, h := rapid.IntRange(1, 20).Draw(t, "width"), rapid.IntRange(1, 9).Draw(t, "height")
		seed := rapid.Uint64().Draw(t, "seed")
		check := func(name string, f func(r, g, b []uint8, m *image.YCbCr), m *image.YCbCr, chroma filter, color func(y, cb, cr int) [3]uint8) {
			r, g, b := make([]uint8, w*h), make([]uint8, w*h), make([]uint8, w*h)
			f(r, g, b, m)
			for y := m.Rect.Min.Y; y < m.Rect.Max.Y; y++ {
				for x := m.Rect.Min.X; x < m.Rect.Max.X; x++ {
					want := color(int(m.Y[m.YOffset(x, y)]), reference(m.Cb, m, x, y, chroma), reference(m.Cr, m, x, y, chroma))
					i := (y-m.Rect.Min.Y)*w + x - m.Rect.Min.X
					if got := [3]uint8{r[i], g[i], b[i]}; got != want {
						t.Fatalf("%s, %v, pixel (%d, %d) of %v: got %v, want %v", name, m.SubsampleRatio, x, y, m.Rect, got, want)
					}
				}
			}
		}
		for _, ratio := range ratios {
			m := randomImage(seed, image.Rect(left, top, left+w, top+h), ratio)
			check("JPEG", JPEG, m, jpegFilter(m), jfif)
			m = randomImage(seed, image.Rect(0, 0, w, h), ratio)
			check("Upsampler", upsample, m, jpegFilter(m), plain)
		}
		check("WebP", WebP, randomImage(seed, image.Rect(0, 0, w, h), image.YCbCrSubsampleRatio420), webpFilter, video)
	})
}

// All combinations of samples at a spacing that does not divide 256.
func TestColors(t *testing.T) {
	const step = 5
	n := 255/step + 1
	m := image.NewYCbCr(image.Rect(0, 0, n*n, n), image.YCbCrSubsampleRatio444)
	for i := range m.Y {
		m.Y[i], m.Cb[i], m.Cr[i] = uint8(i%n*step), uint8(i/n%n*step), uint8(i/n/n*step)
	}
	r, g, b := make([]uint8, len(m.Y)), make([]uint8, len(m.Y)), make([]uint8, len(m.Y))
	for name, f := range map[string]struct {
		row   func(r, g, b, y, cb, cr []uint8)
		color func(y, cb, cr int) [3]uint8
	}{"JPEG": {Convert, jfif}, "WebP": {webpRow, video}} {
		f.row(r, g, b, m.Y, m.Cb, m.Cr)
		for i := range m.Y {
			want := f.color(int(m.Y[i]), int(m.Cb[i]), int(m.Cr[i]))
			if got := [3]uint8{r[i], g[i], b[i]}; got != want {
				t.Fatalf("%s: %d, %d, %d becomes %v, want %v", name, m.Y[i], m.Cb[i], m.Cr[i], got, want)
			}
		}
	}
}

// Samples of other factors are repeated.
func TestOtherFactors(t *testing.T) {
	p := Plane{Pix: []uint8{10, 20, 30, 99, 40, 50, 60, 99}, Stride: 4}
	for _, c := range []struct {
		h, v int
		want []uint8
	}{
		{3, 1, []uint8{10, 10, 10, 20, 20, 20, 30, 40, 40, 40, 50, 50, 50, 60}},
		{3, 2, []uint8{10, 10, 10, 20, 20, 20, 30, 10, 10, 10, 20, 20, 20, 30, 40, 40, 40, 50, 50, 50, 60}},
		{3, 4, []uint8{10, 10, 10, 20, 20, 20, 30}},
	} {
		p.H, p.V = c.h, c.v
		u := NewUpsampler(p, 7, len(c.want)/7)
		var got []uint8
		for y := range len(c.want) / 7 {
			got = append(got, u.Row(y)...)
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("factors %d and %d: got %v, want %v", c.h, c.v, got, c.want)
		}
	}
}

func BenchmarkConvert(b *testing.B) {
	const w, h = 640, 480
	for name, f := range map[string]func(r, g, b []uint8, m *image.YCbCr){"JPEG": JPEG, "WebP": WebP} {
		for _, ratio := range ratios {
			if name == "WebP" && ratio != image.YCbCrSubsampleRatio420 {
				continue
			}
			m := randomImage(1, image.Rect(0, 0, w, h), ratio)
			red, green, blue := make([]uint8, w*h), make([]uint8, w*h), make([]uint8, w*h)
			b.Run(name+"/"+ratio.String(), func(b *testing.B) {
				benchmetric.ReportMegapixels(b, w*h)
				for b.Loop() {
					f(red, green, blue, m)
				}
			})
		}
	}
}
