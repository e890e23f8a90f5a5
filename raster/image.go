package raster

import (
	"image"
	"image/color"
	"math"

	"github.com/proposer/proposer/internal/ycbcr"
)

// FromImage returns a copy of m: in Gray if m is an [image.Gray] or [image.Gray16], else in
// RGB. Pixel (0, 0) of the copy is m.Bounds().Min.
//
// Transparent pixels are composited over white. Samples of 16 bits are rounded to 8, except
// that the colors of a palette are truncated, as by [color.NRGBAModel]. CMYK is converted by
// [color.CMYKToRGB]. YCbCr has the range of JFIF, and its chroma is interpolated as libjpeg-turbo
// does; m.At repeats each chroma sample instead. Pixels of [image/jpeg] then differ from those of
// libjpeg-turbo by the rounding of its inverse transform: by 1 in 3 % of the samples, at most 3.
//
// The types that the decoders of the standard library return are read directly, at a few
// nanoseconds per pixel; all others by m.At, which takes several times as long. FromImage
// panics if m is empty.
func FromImage(m image.Image) *Image {
	bounds := m.Bounds()
	w, h := bounds.Dx(), bounds.Dy()
	switch m := m.(type) {
	case *image.Gray:
		img := New(Gray, w, h)
		for y := range h {
			copy(img.Pix[y*w:][:w], m.Pix[m.PixOffset(bounds.Min.X, bounds.Min.Y+y):])
		}
		return img
	case *image.Gray16:
		img := New(Gray, w, h)
		for i := range img.Pix {
			img.Pix[i] = round8(m.Gray16At(bounds.Min.X+i%w, bounds.Min.Y+i/w).Y)
		}
		return img
	}
	img := New(RGB, w, h)
	red, green, blue := img.Plane(0), img.Plane(1), img.Plane(2)
	if bounds.Min.X >= 0 && bounds.Min.Y >= 0 { // package image has no others
		switch m := m.(type) {
		case *image.YCbCr:
			ycbcr.JPEG(red, green, blue, m)
			return img
		case *image.NYCbCrA:
			ycbcr.JPEG(red, green, blue, &m.YCbCr)
			for y := range h {
				for x, a := range m.A[y*m.AStride:][:w] {
					i := y*w + x
					c := overWhite(color.NRGBA{R: red[i], G: green[i], B: blue[i], A: a})
					red[i], green[i], blue[i] = c[0], c[1], c[2]
				}
			}
			return img
		}
	}
	read := rowReader(m)
	row := make([][3]uint8, w)
	for y := range h {
		read(row, bounds.Min.Y+y)
		r := red[y*w:][:len(row)]
		g := green[y*w:][:len(row)]
		b := blue[y*w:][:len(row)]
		for x := range row {
			r[x], g[x], b[x] = row[x][0], row[x][1], row[x][2]
		}
	}
	return img
}

// rowReader returns a function that reads row y of m, composited over white.
func rowReader(m image.Image) func(dst [][3]uint8, y int) {
	left := m.Bounds().Min.X
	switch m := m.(type) {
	case *image.RGBA:
		return func(dst [][3]uint8, y int) {
			pix := m.Pix[m.PixOffset(left, y):][:4*len(dst)]
			for x := range dst {
				p := pix[4*x:][:4]
				white := math.MaxUint8 - uint32(p[3])
				dst[x] = [3]uint8{addWhite(p[0], white), addWhite(p[1], white), addWhite(p[2], white)}
			}
		}
	case *image.NRGBA:
		return func(dst [][3]uint8, y int) {
			pix := m.Pix[m.PixOffset(left, y):][:4*len(dst)]
			for x := range dst {
				p := pix[4*x:][:4]
				dst[x] = overWhite(color.NRGBA{R: p[0], G: p[1], B: p[2], A: p[3]})
			}
		}
	case *image.NRGBA64:
		return func(dst [][3]uint8, y int) {
			for x := range dst {
				c := m.NRGBA64At(left+x, y)
				dst[x] = [3]uint8{overWhite16(c.R, c.A), overWhite16(c.G, c.A), overWhite16(c.B, c.A)}
			}
		}
	case *image.RGBA64:
		return func(dst [][3]uint8, y int) {
			for x := range dst {
				c := m.RGBA64At(left+x, y)
				dst[x] = premultiplied(uint32(c.R), uint32(c.G), uint32(c.B), uint32(c.A))
			}
		}
	case *image.Paletted:
		var palette [256][3]uint8
		for i, c := range m.Palette {
			palette[i] = overWhite(color.NRGBAModel.Convert(c).(color.NRGBA))
		}
		return func(dst [][3]uint8, y int) {
			for x, i := range m.Pix[m.PixOffset(left, y):][:len(dst)] {
				dst[x] = palette[i]
			}
		}
	case *image.CMYK:
		return func(dst [][3]uint8, y int) {
			for x := range dst {
				c := m.CMYKAt(left+x, y)
				r, g, b := color.CMYKToRGB(c.C, c.M, c.Y, c.K)
				dst[x] = [3]uint8{r, g, b}
			}
		}
	}
	return func(dst [][3]uint8, y int) {
		for x := range dst {
			dst[x] = premultiplied(m.At(left+x, y).RGBA())
		}
	}
}

// round8 rounds a sample of 16 bits to 8.
func round8(v uint16) uint8 {
	return uint8((uint32(v)*math.MaxUint8 + math.MaxUint16/2) / math.MaxUint16)
}

// overWhite composites a color over white, rounded to the nearest sample.
func overWhite(c color.NRGBA) [3]uint8 {
	if c.A == math.MaxUint8 {
		return [3]uint8{c.R, c.G, c.B}
	}
	const one = math.MaxUint8
	a := uint32(c.A)
	white := one*(one-a) + one/2
	return [3]uint8{
		uint8((uint32(c.R)*a + white) / one),
		uint8((uint32(c.G)*a + white) / one),
		uint8((uint32(c.B)*a + white) / one),
	}
}

// overWhite16 composites a sample of 16 bits over white.
func overWhite16(v, alpha uint16) uint8 {
	const one = math.MaxUint16
	a := uint32(alpha)
	return round8(uint16((uint32(v)*a + one*(one-a) + one/2) / one))
}

// premultiplied composites an alpha-premultiplied color of 16 bits over white.
func premultiplied(r, g, b, a uint32) [3]uint8 {
	const one = math.MaxUint16
	white := one - a
	return [3]uint8{
		round8(uint16(min(r+white, one))),
		round8(uint16(min(g+white, one))),
		round8(uint16(min(b+white, one))),
	}
}

// addWhite adds what an alpha-premultiplied sample lets through of white.
func addWhite(v uint8, white uint32) uint8 { return uint8(min(uint32(v)+white, math.MaxUint8)) }

// ToImage returns a copy of the image: an [image.Gray] if it has one plane, else an opaque
// [image.RGBA] of its three planes. RGB and Gray are thus shown as they are and all other
// spaces in false colors; they are not converted back.
func (m *Image) ToImage() image.Image {
	bounds := image.Rect(0, 0, m.Width, m.Height)
	if m.Space.Planes() == 1 {
		dst := image.NewGray(bounds)
		copy(dst.Pix, m.Pix)
		return dst
	}
	dst := image.NewRGBA(bounds)
	r, g, b := m.Plane(0), m.Plane(1), m.Plane(2)
	g, b = g[:len(r)], b[:len(r)]
	for i := range r {
		p := dst.Pix[4*i:][:4]
		p[0], p[1], p[2], p[3] = r[i], g[i], b[i], math.MaxUint8
	}
	return dst
}
