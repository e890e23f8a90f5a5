package raster

import (
	"image"
	"image/color"
	"image/color/palette"
	"image/draw"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/proposer/proposer/internal/ycbcr"
	"pgregory.net/rapid"
)

// plain hides the type of an image, so that it has no fast path.
type plain struct{ image.Image }

// randomImages returns an image of each type that has a fast path, with random samples.
func randomImages(rng *rand.Rand, bounds image.Rectangle) map[string]image.Image {
	fill := func(pix []uint8) {
		for i := range pix {
			pix[i] = uint8(rng.Uint32())
		}
	}
	gray, gray16 := image.NewGray(bounds), image.NewGray16(bounds)
	fill(gray.Pix)
	fill(gray16.Pix)
	nrgba, nrgba64 := image.NewNRGBA(bounds), image.NewNRGBA64(bounds)
	fill(nrgba.Pix)
	fill(nrgba64.Pix)
	rgba, rgba64 := image.NewRGBA(bounds), image.NewRGBA64(bounds)
	draw.Draw(rgba, bounds, nrgba, bounds.Min, draw.Src) // premultiplied samples are at most alpha
	draw.Draw(rgba64, bounds, nrgba64, bounds.Min, draw.Src)
	cmyk := image.NewCMYK(bounds)
	fill(cmyk.Pix)
	transparent := color.Palette{color.NRGBA{R: 200, G: 7, B: 90, A: 77}, color.Transparent}
	paletted := image.NewPaletted(bounds, append(transparent, palette.WebSafe...))
	for i := range paletted.Pix {
		paletted.Pix[i] = uint8(rng.IntN(len(paletted.Palette)))
	}
	images := map[string]image.Image{
		"Gray": gray, "Gray16": gray16, "NRGBA": nrgba, "NRGBA64": nrgba64, "RGBA": rgba, "RGBA64": rgba64,
		"CMYK": cmyk, "Paletted": paletted,
	}
	for _, ratio := range []image.YCbCrSubsampleRatio{
		image.YCbCrSubsampleRatio444, image.YCbCrSubsampleRatio422, image.YCbCrSubsampleRatio420,
		image.YCbCrSubsampleRatio440, image.YCbCrSubsampleRatio411, image.YCbCrSubsampleRatio410,
	} {
		ycbcr, alpha := image.NewYCbCr(bounds, ratio), image.NewNYCbCrA(bounds, ratio)
		for _, pix := range [][]uint8{ycbcr.Y, ycbcr.Cb, ycbcr.Cr, alpha.Y, alpha.Cb, alpha.Cr, alpha.A} {
			fill(pix)
		}
		images["YCbCr "+ratio.String()] = ycbcr
		images["NYCbCrA "+ratio.String()] = alpha
	}
	return images
}

// referenceFromImage converts pixel by pixel, as documented.
func referenceFromImage(m image.Image) *Image {
	b := m.Bounds()
	space := RGB
	switch m.(type) {
	case *image.Gray, *image.Gray16:
		space = Gray
	}
	img := New(space, b.Dx(), b.Dy())
	var chroma *Image // interpolated as package ycbcr does, which has its own reference
	switch m := m.(type) {
	case *image.YCbCr:
		chroma = New(RGB, b.Dx(), b.Dy())
		ycbcr.JPEG(chroma.Plane(0), chroma.Plane(1), chroma.Plane(2), m)
	case *image.NYCbCrA:
		chroma = New(RGB, b.Dx(), b.Dy())
		ycbcr.JPEG(chroma.Plane(0), chroma.Plane(1), chroma.Plane(2), &m.YCbCr)
	}
	for y := range img.Height {
		for x := range img.Width {
			at := m.At(b.Min.X+x, b.Min.Y+y)
			if chroma != nil {
				i := y*img.Width + x
				n := color.NRGBA{chroma.Plane(0)[i], chroma.Plane(1)[i], chroma.Plane(2)[i], 255}
				if c, ok := at.(color.NYCbCrA); ok {
					n.A = c.A
				}
				at = n
			}
			c := referenceColor(at, m)
			for p := range space.Planes() {
				img.Plane(p)[y*img.Width+x] = c[p]
			}
		}
	}
	return img
}

func referenceColor(c color.Color, m image.Image) [3]uint8 {
	if _, ok := m.(*image.Paletted); ok {
		c = color.NRGBAModel.Convert(c)
	}
	var r, g, b, a uint64
	switch c := c.(type) {
	case color.CMYK:
		x, y, z := color.CMYKToRGB(c.C, c.M, c.Y, c.K)
		return [3]uint8{x, y, z}
	case color.NRGBA64:
		// Composited with one rounding, and then rounded to 8 bits.
		over := func(v uint16) uint64 {
			return (2*(uint64(v)*uint64(c.A)+0xffff*(0xffff-uint64(c.A))) + 0xffff) / (2 * 0xffff)
		}
		r, g, b, a = over(c.R), over(c.G), over(c.B), 0xffff
	default:
		x, y, z, alpha := c.RGBA()
		r, g, b, a = uint64(x), uint64(y), uint64(z), uint64(alpha)
	}
	round := func(v uint64) uint8 { return uint8((2*min(v+0xffff-a, 0xffff)*255 + 0xffff) / (2 * 0xffff)) }
	return [3]uint8{round(r), round(g), round(b)}
}

func TestFromImageMatchesReference(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rng := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 0))
		x, y := rapid.IntRange(-9, 9).Draw(t, "left"), rapid.IntRange(-9, 9).Draw(t, "top")
		w, h := rapid.IntRange(1, 12).Draw(t, "width"), rapid.IntRange(1, 12).Draw(t, "height")
		whole := image.Rect(x-3, y-2, x+w+4, y+h+1)
		for name, m := range randomImages(rng, whole) {
			if strings.Contains(name, "YC") && (whole.Min.X < 0 || whole.Min.Y < 0) {
				continue // package image does not support subsampling at negative coordinates
			}
			part := m.(interface {
				SubImage(image.Rectangle) image.Image
			}).SubImage(image.Rect(x, y, x+w, y+h))
			for _, m := range []image.Image{m, part} {
				got, want := FromImage(m), referenceFromImage(m)
				if got.Width != want.Width || got.Height != want.Height || got.Space != want.Space || !slices.Equal(got.Pix, want.Pix) {
					t.Fatalf("%s in %v: got %v, want %v", name, m.Bounds(), got, want)
				}
			}
		}
	})
}

// Images of unknown types are read by At, and give the same pixels where the fast path does
// not truncate.
func TestFromImageOfUnknownType(t *testing.T) {
	images := randomImages(rand.New(rand.NewPCG(1, 2)), image.Rect(-3, 5, 40, 60))
	for _, name := range []string{"Gray", "Gray16", "NRGBA", "RGBA", "RGBA64", "Paletted"} {
		t.Run(name, func(t *testing.T) {
			m := images[name]
			want, err := Convert(t.Context(), nil, FromImage(m), RGB)
			if err != nil {
				t.Fatal(err)
			}
			if got := FromImage(plain{m}); !slices.Equal(got.Pix, want.Pix) {
				t.Error("samples differ from those of the fast path")
			}
		})
	}
}

// All pairs of a sample and an alpha give the same in 8 bits as through the 16 bits of
// color.Color.
func TestFromImageCompositesExactly(t *testing.T) {
	m := image.NewNRGBA(image.Rect(0, 0, 256, 256))
	for y := range 256 {
		for x := range 256 {
			m.SetNRGBA(x, y, color.NRGBA{R: uint8(x), G: uint8(255 - x), B: uint8(x), A: uint8(y)})
		}
	}
	got, want := FromImage(m), FromImage(plain{m})
	for i := range got.Pix {
		if got.Pix[i] != want.Pix[i] {
			t.Fatalf("sample %d: got %d, want %d", i, got.Pix[i], want.Pix[i])
		}
	}
}

func TestFromImagePanicsOnEmptyImages(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("got no panic")
		}
	}()
	FromImage(image.NewRGBA(image.Rect(0, 0, 0, 5)))
}

func TestToImage(t *testing.T) {
	for _, space := range Spaces() {
		t.Run(space.String(), func(t *testing.T) {
			img := noise(space, 7, 5)
			m := img.ToImage()
			if want := image.Rect(0, 0, 7, 5); m.Bounds() != want {
				t.Fatalf("got bounds %v, want %v", m.Bounds(), want)
			}
			if _, gray := m.(*image.Gray); gray != (space.Planes() == 1) {
				t.Errorf("got %T for %d planes", m, space.Planes())
			}
			if back := FromImage(m); !slices.Equal(back.Pix, img.Pix) {
				t.Error("FromImage does not give the samples back")
			}
		})
	}
}

func BenchmarkFromImage(b *testing.B) {
	images := randomImages(rand.New(rand.NewPCG(1, 2)), image.Rect(0, 0, 640, 480))
	images["other"] = plain{images["RGBA"]}
	for _, name := range []string{"Gray", "RGBA", "NRGBA", "YCbCr YCbCrSubsampleRatio420", "NRGBA64", "other"} {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(640 * 480)
			for b.Loop() {
				FromImage(images[name])
			}
		})
	}
}
