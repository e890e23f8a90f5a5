// Package ycbcr converts YCbCr images with subsampled chroma to RGB, in the arithmetic of libjpeg-turbo and
// libwebp. Package image repeats each chroma sample instead of interpolating.
package ycbcr

import "image"

// JPEG converts m, whose samples have the full range of JFIF, to planes of its width and height. Chroma is
// interpolated as by an [Upsampler]. The bounds of m must not be negative.
func JPEG(r, g, b []uint8, m *image.YCbCr) { convert(r, g, b, m, false, Convert) }

// WebP converts m, whose samples have the range of video, to planes of its width and height. As in libwebp the
// chroma is interpolated. m has the ratio 4:2:0, and its bounds begin at (0, 0).
func WebP(r, g, b []uint8, m *image.YCbCr) { convert(r, g, b, m, true, webpRow) }

// convert calls row for the rows of m, with chroma of the image's width.
func convert(r, g, b []uint8, m *image.YCbCr, webp bool, row func(r, g, b, y, cb, cr []uint8)) {
	w, height := m.Rect.Dx(), m.Rect.Dy()
	h, v := 1, 1
	switch m.SubsampleRatio {
	case image.YCbCrSubsampleRatio444:
	case image.YCbCrSubsampleRatio422:
		h = 2
	case image.YCbCrSubsampleRatio440:
		v = 2
	case image.YCbCrSubsampleRatio420:
		h, v = 2, 2
	case image.YCbCrSubsampleRatio411:
		h = 4
	case image.YCbCrSubsampleRatio410:
		h, v = 4, 2
	}
	cb := newUpsampler(Plane{m.Cb, m.CStride, h, v}, m.Rect, webp)
	cr := newUpsampler(Plane{m.Cr, m.CStride, h, v}, m.Rect, webp)
	for y := range height {
		row(r[y*w:][:w], g[y*w:][:w], b[y*w:][:w], m.Y[y*m.YStride:][:w], cb.Row(y), cr.Row(y))
	}
}

// A Plane is the samples of a component of an image.
type Plane struct {
	Pix    []uint8
	Stride int
	H, V   int // pixels that a sample covers in a row and in a column
}

// An Upsampler enlarges the rows of a plane to the image's width. As in libjpeg-turbo a plane of half the width,
// the height or both is interpolated, unless it has half the width and at most two samples in a row; samples of
// others are repeated.
type Upsampler struct {
	Plane
	columns, rows int // of samples
	width         int // of the image, in pixels
	left, top     int // pixels of the first sample that are outside of the image
	webp          bool
	buf           []uint8
}

// NewUpsampler returns the upsampler of a plane of a JPEG file of w×h pixels.
func NewUpsampler(p Plane, w, h int) *Upsampler {
	return newUpsampler(p, image.Rect(0, 0, w, h), false)
}

func newUpsampler(p Plane, r image.Rectangle, webp bool) *Upsampler {
	u := &Upsampler{Plane: p, width: r.Dx(), left: r.Min.X % p.H, top: r.Min.Y % p.V, webp: webp}
	u.columns = (u.left + u.width + u.H - 1) / u.H
	u.rows = (u.top + r.Dy() + u.V - 1) / u.V
	if u.H > 1 || u.V > 1 {
		u.buf = make([]uint8, u.columns*u.H)
	}
	return u
}

// Row returns the samples of row y of the image, which are valid until the next call.
func (u *Upsampler) Row(y int) []uint8 {
	y += u.top
	near := u.samples(y / u.V)
	if u.buf == nil {
		return near
	}
	far := near
	if u.V == 2 {
		// The second nearest row is above the upper row of pixels and below the lower one.
		far = u.samples(min(max(y/2-1+y%2*2, 0), u.rows-1))
	}
	switch {
	case u.webp:
		webpH2V2(u.buf, near, far)
	case u.H == 1 && u.V == 2:
		jpegH1V2(u.buf, near, far, uint16(1+y%2))
	case u.H == 2 && u.V == 1 && u.columns > 2:
		jpegH2V1(u.buf, near)
	case u.H == 2 && u.V == 2 && u.columns > 2:
		jpegH2V2(u.buf, near, far)
	default:
		for x := range u.buf {
			u.buf[x] = near[x/u.H]
		}
	}
	return u.buf[u.left:][:u.width]
}

func (u *Upsampler) samples(row int) []uint8 { return u.Pix[row*u.Stride:][:u.columns] }

// The filters of libjpeg-turbo (jdsample.c) weight the nearest sample by 3/4 and the second nearest by 1/4, in
// each direction. They round halves up and down in turn. At the edges the image is continued by its last
// sample.

func jpegH2V1(dst, src []uint8) {
	last := uint32(src[0])
	this := last
	for _, v := range src[1:] {
		next := uint32(v)
		dst[0] = uint8((3*this + last + 1) >> 2)
		dst[1] = uint8((3*this + next + 2) >> 2)
		dst = dst[2:]
		last, this = this, next
	}
	dst[0] = uint8((3*this + last + 1) >> 2)
	dst[1] = uint8(this)
}

func jpegH1V2(dst, near, far []uint8, bias uint16) {
	far = far[:len(near)]
	dst = dst[:len(near)]
	for x, v := range near {
		dst[x] = uint8((3*uint16(v) + uint16(far[x]) + bias) >> 2)
	}
}

func jpegH2V2(dst, near, far []uint8) {
	last := 3*uint32(near[0]) + uint32(far[0])
	this := last
	far = far[1:len(near)]
	for x, v := range near[1:] {
		next := 3*uint32(v) + uint32(far[x])
		d := dst[2*x:][:2]
		d[0] = uint8((3*this + last + 8) >> 4)
		d[1] = uint8((3*this + next + 7) >> 4)
		last, this = this, next
	}
	dst = dst[2*len(far):]
	dst[0] = uint8((3*this + last + 8) >> 4)
	dst[1] = uint8((4*this + 7) >> 4)
}

// webpH2V2 is the filter of libwebp (upsampling.c), with the weights of jpegH2V2.
func webpH2V2(dst, near, far []uint8) {
	a, c := uint32(near[0]), uint32(far[0])
	dst[0] = uint8((3*a + c + 2) >> 2)
	far = far[1:len(near)]
	for x, v := range near[1:] {
		b, d := uint32(v), uint32(far[x])
		sum := a + b + c + d + 8
		p := dst[2*x+1:][:2]
		p[0] = uint8(((sum+2*(b+c))>>3 + a) >> 1)
		p[1] = uint8(((sum+2*(a+d))>>3 + b) >> 1)
		a, c = b, d
	}
	dst[2*len(far)+1] = uint8((3*a + c + 2) >> 2)
}

// Convert converts a row of JFIF's YCbCr to RGB (jdcolor.c). The rows have the length of y.
func Convert(r, g, b, y, cb, cr []uint8) {
	const half = 1 << 15
	r, g, b, cb, cr = r[:len(y)], g[:len(y)], b[:len(y)], cb[:len(y)], cr[:len(y)]
	for x, v := range y {
		luma, u, v := int32(v), int32(cb[x])-128, int32(cr[x])-128
		r[x] = clamp(luma + (91881*v+half)>>16)
		g[x] = clamp(luma + (-22554*u-46802*v+half)>>16)
		b[x] = clamp(luma + (116130*u+half)>>16)
	}
}

// webpRow converts a row of video's YCbCr (libwebp's yuv.h).
func webpRow(r, g, b, y, cb, cr []uint8) {
	r, g, b, cb, cr = r[:len(y)], g[:len(y)], b[:len(y)], cb[:len(y)], cr[:len(y)]
	for x, v := range y {
		luma, u, v := int32(v)*19077>>8, int32(cb[x]), int32(cr[x])
		r[x] = clamp((luma + v*26149>>8 - 14234) >> 6)
		g[x] = clamp((luma - u*6419>>8 - v*13320>>8 + 8708) >> 6)
		b[x] = clamp((luma + u*33050>>8 - 17685) >> 6)
	}
}

func clamp(v int32) uint8 { return uint8(min(max(v, 0), 255)) }
