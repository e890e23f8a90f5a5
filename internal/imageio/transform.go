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
