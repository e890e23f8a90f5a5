package raster

import (
	"context"
	"fmt"
	"math"

	"github.com/proposer/proposer/internal/freelist"
	"github.com/proposer/proposer/internal/kernels"
)

// pollEvery is the number of pixels between two checks of the context.
const pollEvery = 1 << 16

// Convert converts an RGB or Gray image to another color space. It reuses the memory of dst
// if that is not nil; dst must not be src. A Gray image is one with R = G = B. Convert
// panics on an image in any other space.
//
// R, G and B are the samples, 0..255; results are rounded to the nearest integer, halves up.
// The chromaticities of black are those of gray.
//
//	RGB      R, G, B.
//	I        0.299 R + 0.587 G + 0.114 B (ITU-R BT.601).
//	rgI      255 R/(R+G+B), 255 G/(R+G+B), I.
//	rgb      255 R/(R+G+B), 255 G/(R+G+B), 255 B/(R+G+B).
//	R-G-I    R, G, I.
//	HSV      Smith 1978. With V = max(R,G,B) and D = V − min(R,G,B): 256/6 H,
//	         255 D/V, V, where H = (G−B)/D if R is V, else 2 + (B−R)/D if G is V,
//	         else 4 + (R−G)/D, modulo 6; H = 0 if D = 0 and S = 0 if V = 0. The full
//	         circle is 256, so that hue wraps as bytes do.
//	H        The hue of HSV.
//	Lab      CIE 1976 over linear light (sRGB, IEC 61966-2-1) and D65:
//	         255/100 L*, a* + 128, b* + 128.
//	C        (O1/O3, O2/O3, O3) with the opponent colors O1 = (R−G)/√2,
//	         O2 = (R+G−2B)/√6 and O3 = (R+G+B)/√3, each mapped linearly from its
//	         exact range to 0..255: O1/O3 from ±√(3/2), O2/O3 from −√2..1/√2 and O3
//	         from 0..255√3. The two ratios are invariant to the intensity of the light
//	         (Geusebroek et al., PAMI 2001; van de Sande et al., PAMI 2010; Uijlings
//	         et al., IJCV 2013, table 1); to keep O3 beside them is our choice.
//
// All arithmetic is in integers, so every architecture gives the same bytes. I, HSV (its hue
// compared around the circle) and Lab are within 1 of the 8-bit COLOR_RGB2GRAY,
// COLOR_RGB2HSV_FULL and COLOR_RGB2Lab of OpenCV for every color. To that end Lab stores
// linear light in steps of 1/2040, as OpenCV does, which in one of 2,000 colors, all of them
// dark, moves a* or b* by 2 or 3 from the formula. All others are within 1 of their formulas.
//
// Time is linear, a few nanoseconds per pixel. The only errors are those of the context.
func Convert(ctx context.Context, dst, src *Image, to Space) (*Image, error) {
	if src.Space != RGB && src.Space != Gray {
		panic(fmt.Sprintf("raster: Convert from %v: want RGB or I", src.Space))
	}
	if to >= spaces {
		panic(fmt.Sprintf("raster: Convert to %v", to))
	}
	if dst == nil {
		dst = new(Image)
	}
	n := src.Width * src.Height
	*dst = Image{src.Width, src.Height, to, freelist.Resize(dst.Pix, to.Planes()*n)}
	gray := src.Space == Gray
	var curves [3][256]uint8
	if gray {
		curves = grayCurves(to)
	}
	for start := 0; start < n; start += pollEvery {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		end := min(start+pollEvery, n)
		if gray {
			for i := range to.Planes() {
				curve, out := &curves[i], dst.Plane(i)[start:end]
				for j, v := range src.Pix[start:end] {
					out[j] = curve[v]
				}
			}
			continue
		}
		var d, s [3][]uint8
		for i := range s {
			s[i] = src.Plane(i)[start:end]
		}
		for i := range to.Planes() {
			d[i] = dst.Plane(i)[start:end]
		}
		convert(to, &d, &s)
	}
	return dst, nil
}

// grayCurves returns the mapping of a gray sample to each plane of a space.
func grayCurves(to Space) (curves [3][256]uint8) {
	var ramp [256]uint8
	for i := range ramp {
		ramp[i] = uint8(i)
	}
	d := [3][]uint8{curves[0][:], curves[1][:], curves[2][:]}
	convert(to, &d, &[3][]uint8{ramp[:], ramp[:], ramp[:]})
	return curves
}

// convert converts a run of RGB pixels.
func convert(to Space, d, s *[3][]uint8) {
	switch to {
	case RGB:
		for i := range s {
			copy(d[i], s[i])
		}
	case Gray:
		kernels.Gray(d[0], s[0], s[1], s[2])
	case RGGray:
		copy(d[0], s[0])
		copy(d[1], s[1])
		kernels.Gray(d[2], s[0], s[1], s[2])
	case RgI:
		toChromaticity(d, s)
		kernels.Gray(d[2], s[0], s[1], s[2])
	case NormRGB:
		toChromaticity(d, s)
	case HSV:
		kernels.HSV(d[0], d[1], d[2], s[0], s[1], s[2])
	case Hue:
		kernels.Hue(d[0], s[0], s[1], s[2])
	case Lab:
		kernels.Lab(d[0], d[1], d[2], s[0], s[1], s[2], &lab)
	case Opponent:
		toOpponent(d, s)
	}
}

// ratioBits is the precision of the reciprocals of chromaticities: 2·255·2^22 still fits 32 bits.
const ratioBits = 22

// reciprocals holds 255/n in steps of 1/2^ratioBits, rounded up. With that, halves are rounded
// up for every n, and all grays have the same opponent colors.
var reciprocals = func() (t [1024]uint32) {
	for n := uint32(1); n <= 3*255; n++ {
		t[n] = (255<<ratioBits + n - 1) / n
	}
	return t
}()

func toChromaticity(d, s *[3][]uint8) {
	const half = 1 << (ratioBits - 1)
	r := s[0]
	g, b := s[1][:len(r)], s[2][:len(r)]
	d0, d1, d2 := d[0][:len(r)], d[1][:len(r)], d[2][:len(r)]
	for i := range r {
		u, v, w := uint32(r[i]), uint32(g[i]), uint32(b[i])
		if u+v+w == 0 {
			u, v, w = 1, 1, 1
		}
		q := reciprocals[(u+v+w)&1023]
		d0[i] = uint8((u*q + half) >> ratioBits)
		d1[i] = uint8((v*q + half) >> ratioBits)
		d2[i] = uint8((w*q + half) >> ratioBits)
	}
}

func toOpponent(d, s *[3][]uint8) {
	const half = 1 << (ratioBits - 1)
	r := s[0]
	g, b := s[1][:len(r)], s[2][:len(r)]
	d0, d1, d2 := d[0][:len(r)], d[1][:len(r)], d[2][:len(r)]
	for i := range r {
		u, v, w := uint32(r[i]), uint32(g[i]), uint32(b[i])
		d2[i] = uint8(((u+v+w)*(1<<16/3+1) + 1<<15) >> 16)
		if u+v+w == 0 {
			u, v, w = 1, 1, 1
		}
		q := reciprocals[(u+v+w)&1023]
		// With n = R+G+B the ratios are √(3/2)·(R−G)/n and (1−3B/n)/√2: on 0..255
		// they are 255·(n+R−G)/2n and 255·(n−B)/n.
		d0[i] = uint8(((2*u+w)*q + 2*half) >> (ratioBits + 1))
		d1[i] = uint8(((u+v)*q + half) >> ratioBits)
	}
}

const lightSteps = 255 * 8 // the full scale of linear light

// toXYZ converts linear sRGB to X, Y, Z, each divided by that of D65 white.
var toXYZ = [3][3]float64{
	{0.412453 / 0.950456, 0.357580 / 0.950456, 0.180423 / 0.950456},
	{0.212671, 0.715160, 0.072169},
	{0.019334 / 1.088754, 0.119193 / 1.088754, 0.950227 / 1.088754},
}

var lab = func() (t kernels.LabTables) {
	for i := range t.Linear {
		t.Linear[i] = int32(math.Round(lightSteps * linear(float64(i)/255)))
	}
	for i, row := range toXYZ {
		for j, m := range row {
			t.Matrix[i][j] = int16(math.Round(m * (1 << kernels.LabXYZBits)))
		}
		t.Matrix[i][3] = 1 << (kernels.LabXYZBits - 1)
	}
	for i := range t.Roots {
		f := labRoot(min(float64(i)/lightSteps, 1))
		l := math.Round((float64(116*f) - 16) * 255 / 100)
		t.Roots[i] = int32(math.Round(f*(1<<kernels.LabRootBits)))<<8 | int32(l)
	}
	return t
}()

// linear returns the linear light of an sRGB sample, both in 0..1.
func linear(v float64) float64 {
	if v <= 0.04045 {
		return v / 12.92
	}
	return math.Pow((v+0.055)/1.055, 2.4)
}

// labRoot is the f of CIE Lab: the cube root, but linear near 0. The conversion of the
// product keeps it from being fused with the sum.
func labRoot(t float64) float64 {
	if t <= 216.0/24389 {
		return float64(841.0/108*t) + 16.0/116
	}
	return math.Cbrt(t)
}
