package segment

import (
	"context"
	"math"

	"github.com/proposer/proposer/internal/freelist"
	"github.com/proposer/proposer/internal/kernels"
	"github.com/proposer/proposer/raster"
)

// An edge of the grid leads from its first pixel to the right, down, down right or
// down left. Its number, pixel·4 + direction, is what breaks ties between equal weights.
const (
	right = iota
	down
	downRight
	downLeft
	directions
)

const (
	weightLimit = 56536 // one past ⌈255·√3·weightScale⌉
	noEdge      = math.MaxUint16
)

// weights are the weights of edges of the grid, by direction and first pixel; noEdge
// where there is none. Around them is a border of one pixel without edges.
type weights struct {
	connectivity Connectivity
	stride       int
	planes       [directions][]uint16
}

// shape makes room for width × height pixels. The border at the left and right is one
// and the same column.
func (w *weights) shape(width, height int, c Connectivity) {
	w.connectivity, w.stride = c, width+1
	for d := range w.directions() {
		w.planes[d] = freelist.Resize(w.planes[d], (height+2)*w.stride+1)
		w.planes[d][0] = noEdge
	}
}

// directions are those that there are edges in.
func (w *weights) directions() int { return int(w.connectivity) / 2 }

// at is where the edges of pixel x, y are.
func (w *weights) at(x, y int) int { return (y+1)*w.stride + 1 + x }

// row is row y of a direction without the border; y is −1 to the height.
func (w *weights) row(direction, y int) []uint16 {
	return w.planes[direction][w.at(0, y):w.at(-1, y+1)]
}

// padded is row y with the border.
func (w *weights) padded(direction, y int) []uint16 {
	return w.planes[direction][w.at(-1, y) : w.at(-1, y+1)+1]
}

// border takes out row y of all directions, and the border at its right.
func (w *weights) border(y int) {
	for d := range w.directions() {
		row := w.padded(d, y)[1:]
		for i := range row {
			row[i] = noEdge
		}
	}
}

// weigher weighs edges. It holds two rows of the smoothed picture, which never exists as a whole.
type weigher struct {
	smoother    raster.Smoother
	here, below [3][]float32 // by plane
}

// weigh weighs the edges that begin in the rows from top to bottom.
func (r *weigher) weigh(ctx context.Context, w *weights, img *raster.Image, sigma float64, top, bottom int) error {
	r.smoother.Reset(img, sigma)
	r.read(img, top)
	n := img.Width
	for y := top; y < bottom; y++ {
		if err := ctx.Err(); err != nil {
			return err
		}
		r.here, r.below = r.below, r.here
		if y == img.Height-1 {
			w.border(y)
		} else {
			r.read(img, y+1)
			r.distances(w.row(down, y), 0, r.below, 0)
			if w.connectivity == Eight {
				r.distances(w.row(downRight, y)[:n-1], 0, r.below, 1)
				r.distances(w.row(downLeft, y)[1:], 1, r.below, 0)
			}
		}
		r.distances(w.row(right, y)[:n-1], 0, r.here, 1)
		for d := range w.directions() {
			row := w.padded(d, y)[1:] // the border at the left is that of the row above
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

// read reads row y into below.
func (r *weigher) read(img *raster.Image, y int) {
	for plane := range r.below {
		r.below[plane] = r.below[plane][:0]
		if plane < img.Space.Planes() {
			r.below[plane] = freelist.Resize(r.below[plane], img.Width)
			r.smoother.Row(r.below[plane], plane, y)
		}
	}
}

// distances weighs the edges from here, from pixel a on, to the row to, from pixel b on.
func (r *weigher) distances(dst []uint16, a int, to [3][]float32, b int) {
	f, n := &r.here, len(dst)
	if len(f[1]) == 0 {
		kernels.Distances1(dst, f[0][a:a+n], to[0][b:b+n])
		return
	}
	kernels.Distances3(dst, f[0][a:a+n], f[1][a:a+n], f[2][a:a+n], to[0][b:b+n], to[1][b:b+n], to[2][b:b+n])
}
