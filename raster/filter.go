package raster

import (
	"context"
	"fmt"
	"math"

	"github.com/proposer/proposer/internal/freelist"
	"github.com/proposer/proposer/internal/kernels"
)

// MaxSigma is the largest standard deviation of the Gaussian filters, in pixels.
const MaxSigma = 100

// Planes holds N planes of Width × Height float32 samples, one after the other in Pix, each
// row-major without padding.
type Planes struct {
	Width, Height, N int
	Pix              []float32
}

// Plane returns plane i: Width*Height samples that share the memory of p.
func (p *Planes) Plane(i int) []float32 {
	n := p.Width * p.Height
	return p.Pix[i*n : (i+1)*n : (i+1)*n]
}

// Smooth filters every plane with a Gaussian of standard deviation sigma pixels, in
// [0, MaxSigma], cut off at ⌈4σ⌉ pixels and scaled so that its weights add up to one. Border
// pixels are replicated. Results are on the scale of the samples; sigma 0 copies them.
// Smooth reuses the memory of dst if that is not nil.
//
// Columns are summed exactly, in integers with weights in steps of 1/2^22, and rows in
// float32 without fused operations: the result is the same on every architecture and within
// 1e-3 of the exact one. Time is O(σ) per sample. Smooth panics if sigma is out of range;
// the only errors are those of the context.
func Smooth(ctx context.Context, dst *Planes, src *Image, sigma float64) (*Planes, error) {
	var s Smoother
	s.Reset(src, sigma)
	if dst == nil {
		dst = new(Planes)
	}
	w, h, n := src.Width, src.Height, src.Space.Planes()
	*dst = Planes{w, h, n, freelist.Resize(dst.Pix, n*w*h)}
	for i := range n {
		out := dst.Plane(i)
		for y := range h {
			if pollRow(y, w) {
				if err := ctx.Err(); err != nil {
					return nil, err
				}
			}
			s.Row(out[y*w:(y+1)*w], i, y)
		}
	}
	return dst, nil
}

// A Smoother is [Smooth] row by row, without memory for the whole result. Its zero value must
// be Reset before use. It is not safe for concurrent use.
type Smoother struct {
	src *Image
	k   *kernel
	row columnRow
}

// Reset prepares s to smooth an image and reuses its memory. It panics if sigma is out of
// range.
func (s *Smoother) Reset(src *Image, sigma float64) {
	if s.k == nil || s.k.sigma != sigma {
		s.k = newKernel(sigma)
	}
	s.src = src
	s.row.resize(s.k.radius, src.Width)
}

// Row writes the smoothed row y of a plane to dst, which has the length of a row. Rows may
// be read in any order.
func (s *Smoother) Row(dst []float32, plane, y int) {
	s.k.columns(&s.row, nil, s.src.Plane(plane), s.src.Width, y)
	s.row.replicate()
	s.k.smoothRow(dst, s.row.padded)
}

// A Differentiator computes the derivatives of an image row by row. Its zero value must be
// Reset before use. It is not safe for concurrent use.
//
// The filters are the derivatives of a Gaussian of standard deviation sigma pixels, in
// [0, MaxSigma]: its derivative along one axis and the Gaussian along the other, both cut
// off at ⌈4σ⌉ pixels (but at least one) and scaled so that a ramp that rises by 1 per pixel
// has derivative 1. Sigma 0 gives central differences. Border and precision are those of
// [Smooth].
type Differentiator struct {
	src           *Image
	k             *kernel
	smooth, slope columnRow
}

// Reset prepares d to differentiate an image and reuses its memory. It panics if sigma is
// out of range.
func (d *Differentiator) Reset(src *Image, sigma float64) {
	if d.k == nil || d.k.sigma != sigma {
		d.k = newKernel(sigma)
		d.k.differentiate()
	}
	d.src = src
	d.smooth.resize(d.k.radius, src.Width)
	d.slope.resize(d.k.radius, src.Width)
}

// Row writes the derivatives of row y of a plane to the right and downwards to gx and gy, in
// gray levels per pixel. Both have the length of a row. Rows may be read in any order.
func (d *Differentiator) Row(gx, gy []float32, plane, y int) {
	d.k.columns(&d.smooth, &d.slope, d.src.Plane(plane), d.src.Width, y)
	d.smooth.replicate()
	d.slope.replicate()
	d.k.slopeRow(gx, d.smooth.padded)
	d.k.smoothRow(gy, d.slope.padded)
}

// pollRow reports whether to check the context before row y of an image of width w.
func pollRow(y, w int) bool {
	return y%max(1, pollEvery/w) == 0
}

// fixedBits is the precision of the integer weights. A sum of weighted bytes fits 31 bits, as
// the absolute weights add up to at most one.
const fixedBits = 22

// kernel holds one half of a Gaussian, which is even, and of its derivative, which is odd:
// element i is the weight of the samples at distance i. The integer weights are for the
// columns; the float weights, for the rows, remove their scale.
type kernel struct {
	sigma      float64
	radius     int
	even, odd  []float32
	evenColumn []int32
	oddColumn  []int32 // nil if there is no derivative
}

func newKernel(sigma float64) *kernel {
	if !(sigma >= 0 && sigma <= MaxSigma) {
		panic(fmt.Sprintf("raster: sigma %v: want a number in [0,%d]", sigma, MaxSigma))
	}
	g := gaussian(sigma, int(math.Ceil(4*sigma)))
	k := &kernel{sigma: sigma, radius: len(g) - 1}
	k.even, k.evenColumn = fix(g)
	// The center takes the rounding errors, so that the sum is exactly one.
	k.evenColumn[0] = 1 << fixedBits
	for _, w := range k.evenColumn[1:] {
		k.evenColumn[0] -= 2 * w
	}
	return k
}

// differentiate adds the weights of the derivative.
func (k *kernel) differentiate() {
	if k.radius == 0 {
		k.radius = 1
		k.even = append(k.even, 0)
		k.evenColumn = append(k.evenColumn, 0)
	}
	d := make([]float64, k.radius+1)
	g := gaussian(k.sigma, k.radius)
	slope := 0.0
	for i := 1; i < len(d); i++ {
		d[i] = float64(i) * g[i]
		slope += float64(2 * float64(i) * d[i]) // not fused: see below
	}
	if slope == 0 { // too narrow for float64: take the limit
		d[1], slope = 1, 2
	}
	for i := range d {
		d[i] /= slope
	}
	k.odd, k.oddColumn = fix(d)
}

// gaussian returns the right half of a Gaussian whose sum over both halves is one.
func gaussian(sigma float64, radius int) []float64 {
	g := make([]float64, radius+1)
	g[0] = 1
	sum := 1.0
	for i := 1; i <= radius; i++ {
		if sigma > 0 {
			t := float64(i) / sigma
			g[i] = math.Exp(-t * t / 2)
		}
		sum += 2 * g[i]
	}
	for i := range g {
		g[i] /= sum
	}
	return g
}

// fix returns weights for the rows and in fixed point for the columns.
func fix(weights []float64) (row []float32, column []int32) {
	for _, w := range weights {
		row = append(row, float32(math.Ldexp(w, -fixedBits)))
		column = append(column, int32(math.Round(math.Ldexp(w, fixedBits))))
	}
	return row, column
}

// columnRow is a row of column sums, with room for the replicated border.
type columnRow struct {
	padded []float32 // radius, width, radius
	inner  []float32
	sums   []int32
}

func (r *columnRow) resize(radius, width int) {
	r.padded = freelist.Resize(r.padded, width+2*radius)
	r.inner = r.padded[radius : radius+width]
	r.sums = freelist.Resize(r.sums, width)
}

// replicate fills the border.
func (r *columnRow) replicate() {
	pad := (len(r.padded) - len(r.inner)) / 2
	for i := range pad {
		r.padded[i] = r.inner[0]
		r.padded[len(r.padded)-1-i] = r.inner[len(r.inner)-1]
	}
}

// columns filters the columns at row y of a plane: with the Gaussian to even and, if odd is
// not nil, with its derivative to odd. Results are scaled by 2^fixedBits.
func (k *kernel) columns(even, odd *columnRow, plane []uint8, width, y int) {
	last := len(plane)/width - 1
	at := func(y int) []uint8 {
		y = min(max(y, 0), last)
		return plane[y*width : (y+1)*width]
	}
	if k.radius == 4 { // σ = 0.8 and 1, as in nearly every search
		rows := [9][]uint8{at(y - 4), at(y - 3), at(y - 2), at(y - 1), at(y), at(y + 1), at(y + 2), at(y + 3), at(y + 4)}
		if odd == nil {
			kernels.ConvolveColumnsEven(even.inner, &rows, (*[5]int32)(k.evenColumn))
		} else {
			kernels.ConvolveColumnsEvenOdd(even.inner, odd.inner, &rows, (*[5]int32)(k.evenColumn), (*[5]int32)(k.oddColumn))
		}
		return
	}
	center, sums := at(y), even.sums
	for x, v := range center {
		sums[x] = k.evenColumn[0] * int32(v)
	}
	for i := 1; i <= k.radius; i++ {
		above, below, w := at(y - i)[:len(sums)], at(y + i)[:len(sums)], k.evenColumn[i]
		for x := range sums {
			sums[x] += w * (int32(above[x]) + int32(below[x]))
		}
	}
	even.toFloat()
	if odd == nil {
		return
	}
	sums = odd.sums
	clear(sums)
	for i := 1; i <= k.radius; i++ {
		above, below, w := at(y - i)[:len(sums)], at(y + i)[:len(sums)], k.oddColumn[i]
		for x := range sums {
			sums[x] += w * (int32(below[x]) - int32(above[x]))
		}
	}
	odd.toFloat()
}

// toFloat converts the sums to inner.
func (r *columnRow) toFloat() {
	out := r.inner[:len(r.sums)]
	for x, v := range r.sums {
		out[x] = float32(v)
	}
}

// The row sums convert every product to float32. Otherwise the compiler might fuse it with
// the addition on some architectures, and the results would differ.

// smoothRow filters a padded row with the Gaussian.
func (k *kernel) smoothRow(out, padded []float32) {
	if k.radius == 4 {
		kernels.ConvolveRowEven(out, padded, (*[5]float32)(k.even))
		return
	}
	r := k.radius
	for x := range out {
		p := padded[x : x+2*r+1]
		sum := float32(k.even[0] * p[r])
		for i := 1; i <= r; i++ {
			sum += float32(k.even[i] * (p[r-i] + p[r+i]))
		}
		out[x] = sum
	}
}

// slopeRow filters a padded row with the derivative.
func (k *kernel) slopeRow(out, padded []float32) {
	if k.radius == 4 {
		kernels.ConvolveRowOdd(out, padded, (*[5]float32)(k.odd))
		return
	}
	r := k.radius
	for x := range out {
		p := padded[x : x+2*r+1]
		sum := float32(0)
		for i := 1; i <= r; i++ {
			sum += float32(k.odd[i] * (p[r+i] - p[r-i]))
		}
		out[x] = sum
	}
}
