package segment

import (
	"context"
	"math"

	"github.com/proposer/proposer/internal/freelist"
	"github.com/proposer/proposer/internal/kernels"
	"github.com/proposer/proposer/raster"
)

// The directions of the edges of the grid, from their first pixel. An edge has the number
// pixel·4 + direction, which breaks ties between equal weights.
const (
	right = iota
	down
	downRight
	downLeft
	directions
)

const (
	weightLimit = 56536 // one more than ⌈255·√3·weightScale⌉
	noEdge      = math.MaxUint16
)

// edgeKey is an edge of the grid as listed by kernels.EdgeKeys4 and EdgeKeys8: its weight,
// and below it the number of the edge among those of a tile or of a chunk of a row.
type edgeKey uint32

const (
	edgeBits = 16                         // of an edge's number
	chunk    = 1 << edgeBits / directions // pixels whose edges have numbers of that many bits
)

func (k edgeKey) weight() uint32    { return uint32(k >> edgeBits) }
func (k edgeKey) pixel() uint32     { return uint32(k % (chunk * directions) / directions) }
func (k edgeKey) direction() uint32 { return uint32(k % directions) }

// edgeKeys writes the keys of the edges of a row that are lighter than
// limit to dst, and returns their number. The row's first pixel has number first.
func edgeKeys(dst []uint32, first uint32, limit uint16, row *[directions][]uint16) int {
	if row[downRight] == nil {
		return kernels.EdgeKeys4(dst, first, limit, row[right], row[down])
	}
	return kernels.EdgeKeys8(dst, first, limit, row[right], row[down], row[downRight], row[downLeft])
}

// edgeWeights holds the weights of the edges of the grid, by direction and first pixel,
// with noEdge where there is none. They have a border of one pixel without edges, whose
// left and right columns are the same memory.
type edgeWeights struct {
	connectivity Connectivity
	stride       int
	planes       [directions][]uint16
}

// resize makes room for width × height pixels.
func (w *edgeWeights) resize(width, height int, c Connectivity) {
	w.connectivity, w.stride = c, width+1
	for d := range w.directions() {
		w.planes[d] = freelist.Resize(w.planes[d], (height+2)*w.stride+1)
		w.planes[d][0] = noEdge
	}
}

// directions returns the number of directions in which there are edges.
func (w *edgeWeights) directions() int { return int(w.connectivity) / 2 }

// at returns the index of the edges of pixel (x, y).
func (w *edgeWeights) at(x, y int) int { return (y+1)*w.stride + 1 + x }

// row returns row y of a direction without the border; y is −1 to the height.
func (w *edgeWeights) row(direction, y int) []uint16 {
	return w.planes[direction][w.at(0, y):w.at(-1, y+1)]
}

// padded returns row y with the border.
func (w *edgeWeights) padded(direction, y int) []uint16 {
	return w.planes[direction][w.at(-1, y) : w.at(-1, y+1)+1]
}

// clearRow removes the edges of row y and the border at its right.
func (w *edgeWeights) clearRow(y int) {
	for d := range w.directions() {
		row := w.padded(d, y)[1:]
		for i := range row {
			row[i] = noEdge
		}
	}
}

// compute computes the weights of the edges that begin in the rows top to bottom−1.
func (w *edgeWeights) compute(
	ctx context.Context, r *smoothedRows, img *raster.Image, sigma float64, top, bottom int,
) error {
	r.smoother.Reset(img, sigma)
	r.readBelow(img, top)
	n := img.Width
	for y := top; y < bottom; y++ {
		if err := ctx.Err(); err != nil {
			return err
		}
		r.here, r.below = r.below, r.here
		if y == img.Height-1 {
			w.clearRow(y)
		} else {
			r.readBelow(img, y+1)
			r.distances(w.row(down, y), 0, &r.below, 0)
			if w.connectivity == Eight {
				r.distances(w.row(downRight, y)[:n-1], 0, &r.below, 1)
				r.distances(w.row(downLeft, y)[1:], 1, &r.below, 0)
			}
		}
		r.distances(w.row(right, y)[:n-1], 0, &r.here, 1)
		for d := range w.directions() {
			row := w.padded(d, y)[1:] // the border at the left belongs to the row above
			row[n] = noEdge
			switch d {
			case right, downRight:
				row[n-1] = noEdge
			case downLeft:
				row[0] = noEdge
			}
		}
	}
	return nil
}

// smoothedRows holds two rows of the smoothed image, which never exists as a whole.
type smoothedRows struct {
	smoother    raster.Smoother
	here, below [3][]float32 // by plane
}

// readBelow smooths row y into below.
func (r *smoothedRows) readBelow(img *raster.Image, y int) {
	for plane := range r.below {
		r.below[plane] = r.below[plane][:0]
		if plane < img.Space.Planes() {
			r.below[plane] = freelist.Resize(r.below[plane], img.Width)
			r.smoother.Row(r.below[plane], plane, y)
		}
	}
}

// distances computes the weights of the edges from the pixels of here, from column a on, to
// those of the row to, from column b on.
func (r *smoothedRows) distances(dst []uint16, a int, to *[3][]float32, b int) {
	f, n := &r.here, len(dst)
	if len(f[1]) == 0 {
		kernels.Distances1(dst, f[0][a:a+n], to[0][b:b+n])
		return
	}
	kernels.Distances3(dst, f[0][a:a+n], f[1][a:a+n], f[2][a:a+n], to[0][b:b+n], to[1][b:b+n], to[2][b:b+n])
}
