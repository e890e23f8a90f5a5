//go:build cgo && gocv_specific_modules

package imageio

import "github.com/proposer/proposer/raster"

// A rowLayout describes the samples in a decoder's row.
type rowLayout struct {
	channels      int // 1: gray; 3: color; 4: color and alpha
	bgr           bool
	premultiplied bool // colors are multiplied by alpha
	opaque        bool // the fourth channel is not used
	invert        bool // 0 is white
	grayKey       int  // the transparent gray sample, -1 if none
}

// writeRow writes row y of a decoded image to the planes of img, composited over white and rounded
// to 8 bits.
func writeRow[T uint8 | uint16](img *raster.Image, y int, row []T, l rowLayout) {
	w := img.Width
	n := len(img.Pix) / img.Space.Planes()
	r := img.Pix[y*w:][:w]
	switch {
	case l.channels == 1:
		for x, v := range row[:w] {
			if l.invert {
				v = ^v
			}
			if int(v) == l.grayKey {
				v = ^T(0)
			}
			r[x] = to8(v)
		}
		if img.Space == raster.RGB {
			copy(img.Pix[n+y*w:][:w], r)
			copy(img.Pix[2*n+y*w:][:w], r)
		}
	case img.Space == raster.Gray: // three equal channels
		for x := range r {
			if p := row[x*l.channels:][:l.channels]; l.channels == 4 {
				r[x] = to8(overWhite(p[0], p[3], l.premultiplied))
			} else {
				r[x] = to8(p[0])
			}
		}
	default:
		g, b := img.Pix[n+y*w:][:w], img.Pix[2*n+y*w:][:w]
		if l.bgr {
			r, b = b, r
		}
		if l.channels == 3 || l.opaque {
			for x := range r {
				p := row[x*l.channels:][:3]
				r[x], g[x], b[x] = to8(p[0]), to8(p[1]), to8(p[2])
			}
			return
		}
		for x := range r {
			p := row[4*x:][:4]
			r[x] = to8(overWhite(p[0], p[3], l.premultiplied))
			g[x] = to8(overWhite(p[1], p[3], l.premultiplied))
			b[x] = to8(overWhite(p[2], p[3], l.premultiplied))
		}
	}
}

// to8 rounds a sample to 8 bits.
func to8[T uint8 | uint16](v T) uint8 {
	if ^T(0) == 0xff {
		return uint8(v)
	}
	return uint8((uint32(v)*255 + 32767) / 65535)
}

// overWhite composites sample c with alpha a over white.
func overWhite[T uint8 | uint16](c, a T, premultiplied bool) T {
	white := uint32(^T(0))
	if premultiplied {
		return T(min(uint32(c)+white-uint32(a), white))
	}
	return T((uint32(c)*uint32(a) + white*(white-uint32(a)) + white/2) / white)
}
