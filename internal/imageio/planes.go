package imageio

import (
	"math"

	"github.com/proposer/proposer/raster"
)

// A rowLayout describes the samples in a decoder's row.
type rowLayout struct {
	channels      int // 1: gray; 2: gray and alpha; 3: color; 4: color and alpha
	bgr           bool
	premultiplied bool // colors are multiplied by alpha
	opaque        bool // alpha is not used
	invert        bool // 0 is white
	grayKey       int  // the transparent gray sample, -1 if none
}

// alpha returns the channel of alpha, or -1 if there is none or it is not used.
func (l *rowLayout) alpha() int {
	if l.opaque || l.channels == 1 || l.channels == 3 {
		return -1
	}
	return l.channels - 1
}

// colors returns the number of channels that are not alpha.
func (l *rowLayout) colors() int {
	if l.channels <= 2 {
		return 1
	}
	return 3
}

// writeRow writes row y of a decoded image to the planes of img, composited over white and rounded
// to 8 bits.
func writeRow[T uint8 | uint16](img *raster.Image, y int, row []T, l rowLayout) {
	w := img.Width
	n := len(img.Pix) / img.Space.Planes()
	r := img.Pix[y*w:][:w]
	alpha := l.alpha()
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
	case img.Space == raster.Gray: // equal color channels
		for x := range r {
			p := row[x*l.channels:][:l.channels]
			v := p[0]
			if l.invert {
				v = ^v
			}
			if alpha >= 0 {
				v = overWhite(v, p[alpha], l.premultiplied)
			}
			r[x] = to8(v)
		}
	default:
		g, b := img.Pix[n+y*w:][:w], img.Pix[2*n+y*w:][:w]
		if l.bgr {
			r, b = b, r
		}
		if alpha < 0 {
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

// writeRows writes all rows of a decoded image.
func writeRows[T uint8 | uint16](img *raster.Image, pix []T, l rowLayout) {
	stride := img.Width * l.channels
	for y := range img.Height {
		writeRow(img, y, pix[y*stride:][:stride], l)
	}
}

// writeRows16 writes an image of 16-bit samples of a depth. row returns row y, which writeRows16 may
// change; it is called twice for each row.
func writeRows16(img *raster.Image, row func(y int) []uint16, l rowLayout, depth Depth) (*LowRange, error) {
	var used sampleRange
	for y := range img.Height {
		used.add(row(y), l)
	}
	low, err := used.check(depth)
	if err != nil {
		return nil, err
	}
	black, white := used.levels(depth, l)
	stretched := l
	stretched.grayKey = -1
	for y := range img.Height {
		r := row(y)
		if black == 0 && white == math.MaxUint16 {
			writeRow(img, y, r, l)
			continue
		}
		stretch(r, l, black, white)
		writeRow(img, y, r, stretched)
	}
	return low, nil
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
