package imageio

import "github.com/proposer/proposer/raster"

// applyOrientation returns the upright image of an EXIF orientation. 2, 3, 6 and 7 count columns of
// the upright image from the right; 3, 4, 7 and 8 count rows from the bottom; from 5 on the stored
// rows are columns.
func applyOrientation(src *raster.Image, orientation int) *raster.Image {
	if orientation < 2 || orientation > 8 {
		return src
	}
	w, h := src.Width, src.Height
	dw, dh := w, h
	if orientation >= 5 {
		dw, dh = h, w
	}
	origin, dx, dy := 0, 1, dw // steps in the target for a column and a row of the source
	switch orientation {
	case 2, 3, 6, 7:
		origin, dx = dw-1, -1
	}
	switch orientation {
	case 3, 4, 7, 8:
		origin, dy = origin+(dh-1)*dw, -dw
	}
	if orientation >= 5 {
		dx, dy = dy, dx
	}
	dst := raster.New(src.Space, dw, dh)
	const tile = 32 // keeps both sides of a transposition in the cache
	for c := range src.Space.Planes() {
		s, d := src.Plane(c), dst.Plane(c)
		for y0 := 0; y0 < h; y0 += tile {
			for x0 := 0; x0 < w; x0 += tile {
				x1 := min(x0+tile, w)
				for y := y0; y < min(y0+tile, h); y++ {
					to := origin + x0*dx + y*dy
					for _, v := range s[y*w+x0 : y*w+x1] {
						d[to] = v
						to += dx
					}
				}
			}
		}
	}
	return dst
}

// shrink resamples an image by area: each target pixel is the mean of the source pixels that it
// covers, weighted by the covered part, in integers and rounded half up. Both builds use it, so
// that they give the same image.
func shrink(src *raster.Image, dw, dh int) *raster.Image {
	w, h := src.Width, src.Height
	dst := raster.New(src.Space, dw, dh)
	row, sum := make([]uint32, dw), make([]uint64, dw)
	area := uint64(w) * uint64(h)
	for c := range src.Space.Planes() {
		s, d := src.Plane(c), dst.Plane(c)
		y, left := -1, 0 // row holds source row y, of whose dh parts left are unused
		for dy := range dh {
			for x := range sum {
				sum[x] = area / 2
			}
			for need := h; need > 0; {
				if left == 0 {
					y++
					left = dh
					shrinkRow(row, s[y*w:(y+1)*w])
				}
				part := min(need, left)
				for x, v := range row {
					sum[x] += uint64(v) * uint64(part)
				}
				need -= part
				left -= part
			}
			out := d[dy*dw : (dy+1)*dw]
			for x, v := range sum {
				out[x] = uint8(v / area)
			}
		}
	}
	return dst
}

// shrinkRow sets each target sample to the sum of the source samples under it: a source sample has
// len(dst) parts, and a target takes len(src) of them, at least as many.
func shrinkRow(dst []uint32, src []uint8) {
	parts := len(dst)
	x, left := 0, parts // of src[x]
	for i := range dst {
		v := uint32(src[x]) * uint32(left)
		need := len(src) - left
		x++
		var whole uint32
		for _, p := range src[x : x+need/parts] {
			whole += uint32(p)
		}
		v += whole * uint32(parts)
		x += need / parts
		need %= parts
		left = parts - need
		if need > 0 {
			v += uint32(src[x]) * uint32(need)
		}
		dst[i] = v
	}
}

// enlarge resamples an image with the cubic filter of Keys (a = -1/2), which Matlab's imresize uses
// as well. The image continues beyond its edges as its mirror image. All is in integers, so that
// the result is the same on every machine.
func enlarge(src *raster.Image, dw, dh int) *raster.Image {
	dst := raster.New(src.Space, dw, dh)
	columns, rows := cubicTaps(src.Width, dw), cubicTaps(src.Height, dh)
	var (
		wide  [4][]int32 // rows of the source in the target's width, each at its number modulo 4
		which [4]int     // their numbers
	)
	for i := range wide {
		wide[i] = make([]int32, dw)
	}
	for c := range src.Space.Planes() {
		s, d := src.Plane(c), dst.Plane(c)
		which = [4]int{-1, -1, -1, -1}
		for y, tap := range rows {
			var in [4][]int32
			for i, row := range tap.at {
				slot := row % 4 // the rows of a tap are four consecutive ones, or mirror them
				if which[slot] != row {
					which[slot] = row
					enlargeRow(wide[slot], s[row*src.Width:(row+1)*src.Width], columns)
				}
				in[i] = wide[slot]
			}
			out := d[y*dw : (y+1)*dw]
			for x := range out {
				v := int64(1) << (2*cubicBits - 1) // one half
				for i := range in {
					v += int64(in[i][x]) * int64(tap.weight[i])
				}
				out[x] = uint8(min(max(v>>(2*cubicBits), 0), 255))
			}
		}
	}
	return dst
}

func enlargeRow(dst []int32, src []uint8, taps []cubicTap) {
	for x := range dst {
		t := &taps[x]
		var v int32
		for i := range t.at {
			v += int32(src[t.at[i]]) * t.weight[i]
		}
		dst[x] = v
	}
}

// cubicBits are the fractional bits of the weights of a [cubicTap].
const cubicBits = 14

// A cubicTap is the four samples that a target sample is the weighted mean of.
type cubicTap struct {
	at     [4]int
	weight [4]int32 // the sum is 1<<cubicBits
}

// cubicTaps returns the taps of n target samples for size source samples.
func cubicTaps(size, n int) []cubicTap {
	const bits = 16 // of the position between two samples
	taps := make([]cubicTap, n)
	for i := range taps {
		// Pixel centers are at halves: the target's lies at twice/(2n) - 1/2 in the source.
		twice := (2*int64(i)+1)*int64(size) + int64(n) // 2n more, to be positive
		base := int(twice/(2*int64(n))) - 1
		t := (twice % (2 * int64(n))) << bits / (2 * int64(n))
		t2, t3 := t*t, t*t*t
		weight := func(cubic, square, linear int64) int32 {
			const shift = 3*bits + 1 - cubicBits // the weights are halved
			return int32((cubic*t3 + square*t2<<bits + linear*t<<(2*bits) + 1<<(shift-1)) >> shift)
		}
		tap := &taps[i]
		tap.weight = [4]int32{weight(-1, 2, -1), 0, weight(-3, 4, 1), weight(1, -1, 0)}
		tap.weight[1] = 1<<cubicBits - tap.weight[0] - tap.weight[2] - tap.weight[3]
		for j := range tap.at {
			tap.at[j] = mirror(base-1+j, size)
		}
	}
	return taps
}

// mirror returns the sample of size at which position i, outside by at most 2, is mirrored.
func mirror(i, size int) int {
	i = (i + 2*size) % (2 * size)
	return min(i, 2*size-1-i)
}
