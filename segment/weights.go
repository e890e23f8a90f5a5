package segment

import (
	"context"

	"github.com/proposer/proposer/internal/simd"
	"github.com/proposer/proposer/raster"
)

// weights are the weights of the grid's edges, by direction and first pixel; noEdge
// where there is none. Around the picture is a border of one pixel without edges.
type weights struct {
	connectivity Connectivity
	stride       int
	planes       [directions][]uint16
}

// row is row y of a direction, nil if there are no such edges. y is −1 to the picture's height.
func (ws *weights) row(direction, y int) []uint16 {
	if direction > down && ws.connectivity == Four {
		return nil
	}
	start := (y+1)*ws.stride + 1
	return ws.planes[direction][start : start+ws.stride-1]
}

// padded is row y with the border's pixels at its ends.
func (ws *weights) padded(direction, y int) []uint16 {
	if direction > down && ws.connectivity == Four {
		return nil
	}
	start := (y + 1) * ws.stride
	return ws.planes[direction][start : start+ws.stride+1]
}

func (ws *weights) compute(ctx context.Context, img *raster.Image, sigma float64, c Connectivity) error {
	w, h := img.Width, img.Height
	ws.connectivity, ws.stride = c, w+1
	for d := range ws.planes {
		if d <= down || c == Eight {
			ws.planes[d] = resize(ws.planes[d], (h+2)*ws.stride+1)
			fill(ws.padded(d, -1))
			fill(ws.padded(d, h))
			fill(ws.padded(d, h-1))
		}
	}
	smoother := raster.NewSmoother(img, sigma)
	here, below := newRows(img), newRows(img)
	below.read(smoother, 0)
	for y := range h {
		if err := ctx.Err(); err != nil {
			return err
		}
		here, below = below, here
		r := ws.padded(right, y)
		distances(r[1:w], here.from(0), here.from(1))
		r[0], r[w], r[w+1] = noEdge, noEdge, noEdge
		if y == h-1 {
			break
		}
		below.read(smoother, y+1)
		d := ws.padded(down, y)
		distances(d[1:w+1], here, below)
		d[0], d[w+1] = noEdge, noEdge
		if c == Eight {
			dr, dl := ws.padded(downRight, y), ws.padded(downLeft, y)
			distances(dr[1:w], here, below.from(1))
			dr[0], dr[w], dr[w+1] = noEdge, noEdge, noEdge
			distances(dl[2:w+1], here.from(1), below)
			dl[0], dl[1], dl[w+1] = noEdge, noEdge, noEdge
		}
	}
	return nil
}

func fill(row []uint16) {
	for i := range row {
		row[i] = noEdge
	}
}

// rows is one row of each plane.
type rows [][]float32

func newRows(img *raster.Image) rows {
	r := make(rows, img.Space.Planes())
	for i := range r {
		r[i] = make([]float32, img.Width)
	}
	return r
}

func (r rows) from(x int) rows {
	s := make(rows, len(r))
	for i := range r {
		s[i] = r[i][x:]
	}
	return s
}

func (r rows) read(s *raster.Smoother, y int) {
	for plane, row := range r {
		s.Row(row, plane, y)
	}
}

func distances(dst []uint16, a, b rows) {
	n := len(dst)
	if len(a) == 1 {
		simd.Distances1(dst, a[0][:n], b[0][:n])
	} else {
		simd.Distances3(dst, a[0][:n], a[1][:n], a[2][:n], b[0][:n], b[1][:n], b[2][:n])
	}
}
