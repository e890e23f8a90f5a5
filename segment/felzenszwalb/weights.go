package felzenszwalb

import (
	"context"
	"math"

	"github.com/proposer/proposer/internal/freelist"
)

// The directions of the edges of the grid, from their first pixel, in scikit-image's order.
const (
	right = iota
	down
	downRight
	downLeft
	directions
)

// Keys of special edges.
const (
	infinity   = 0x7f800000 // the key of +Inf
	notANumber = 0x7fc00000
	noEdge     = math.MaxInt32 // of an edge that is not there
)

// edgeNumber is the number of an edge in scikit-image's order: its direction in the upper bits, and
// below them its place in the planes of the grid.
type edgeNumber uint32

const directionShift = 30

func (n edgeNumber) direction() uint32 { return uint32(n >> directionShift) }
func (n edgeNumber) place() uint32     { return uint32(n % (1 << directionShift)) }

// grid holds the weights and keys of the edges of the grid, by direction and first pixel. It has a
// border of one pixel without edges, whose left and right columns are the same memory.
type grid struct {
	height, stride int
	weights        [directions][]float64
	keys           [directions][]int32 // noEdge where there is no edge
}

// resize makes room for width × height pixels.
func (g *grid) resize(width, height int) {
	g.height, g.stride = height, width+1
	for d := range directions {
		g.weights[d] = freelist.Resize(g.weights[d], (height+2)*g.stride+1)
		g.keys[d] = freelist.Resize(g.keys[d], (height+2)*g.stride+1)
		g.keys[d][0] = noEdge
	}
	g.clearRow(-1)
	g.clearRow(height)
}

// at returns the place of the edges of pixel (x, y).
func (g *grid) at(x, y int) int { return (y+1)*g.stride + 1 + x }

// weight returns the weight of an edge.
func (g *grid) weight(n edgeNumber) float64 { return g.weights[n.direction()][n.place()] }

// padded returns the keys of row y with the border; y is −1 to the height.
func (g *grid) padded(direction, y int) []int32 {
	return g.keys[direction][g.at(-1, y) : g.at(-1, y+1)+1]
}

// clearRow removes the edges of row y and the border at its right.
func (g *grid) clearRow(y int) {
	for d := range directions {
		g.clear(d, y)
	}
}

// clear removes the edges of a direction of row y and the border at its right.
func (g *grid) clear(direction, y int) {
	row := g.padded(direction, y)[1:]
	for i := range row {
		row[i] = noEdge
	}
}

// key returns a weight rounded down to float32, as bits: they are in the same order. A weight that is
// not a number follows all others.
func key(w float64) int32 {
	f := float32(w)
	k := int32(math.Float32bits(f))
	if float64(f) > w {
		k--
	}
	if w != w {
		return notANumber
	}
	return k
}

// computeWeights smooths the image and computes the weights of all edges.
func (s *Segmenter) computeWeights(ctx context.Context, img *Image, kernel []float64) error {
	g, m := &s.grid, &s.smoother
	g.resize(s.width, s.height)
	m.reset(img, kernel)
	n := s.width
	here, below := m.rows[0], m.rows[1]
	m.row(below, 0)
	for y := range s.height {
		if err := ctx.Err(); err != nil {
			return err
		}
		here, below = below, here
		if y == s.height-1 {
			g.clearRow(y)
		} else {
			m.row(below, y+1)
			s.distances(down, y, 0, n, here, below, 0)
			if s.four {
				g.clear(downRight, y)
				g.clear(downLeft, y)
			} else {
				s.distances(downRight, y, 0, n-1, here, below, 1)
				s.distances(downLeft, y, 1, n-1, here, below, 0)
			}
		}
		s.distances(right, y, 0, n-1, here, here, 1)
		for d := range directions {
			row := g.padded(d, y)[1:] // the border at the left belongs to the row above
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

// distances computes the weights of n edges of row y, from the pixels of here from column x on to
// those of the row to from column b on.
func (s *Segmenter) distances(direction, y, x, n int, here, to [][]float64, b int) {
	at := s.grid.at(x, y)
	weights, keys := s.grid.weights[direction][at:][:n], s.grid.keys[direction][at:][:n]
	if len(here) < pairwise {
		clear(weights)
		for c := range here {
			p, q := here[c][x:][:n], to[c][b:][:n]
			for i := range weights {
				d := q[i] - p[i]
				weights[i] += float64(d * d)
			}
		}
	} else {
		squares := s.smoother.squares
		for i := range weights {
			for c := range squares {
				d := to[c][b+i] - here[c][x+i]
				squares[c] = d * d
			}
			weights[i] = sum(squares)
		}
	}
	for i, w := range weights {
		w = math.Sqrt(w)
		weights[i], keys[i] = w, key(w)
	}
}

// pairwise is the number of summands from which on NumPy does not add one after the other.
const pairwise = 8

// sum returns the sum of numbers as NumPy adds them: in eight interleaved parts, and halves of more
// than 128 numbers by themselves.
func sum(v []float64) float64 {
	if len(v) > 128 {
		half := len(v) / 2 &^ (pairwise - 1)
		return sum(v[:half]) + sum(v[half:])
	}
	total, i := 0.0, 0
	if len(v) >= pairwise {
		parts := [pairwise]float64(v)
		for i = pairwise; i+pairwise <= len(v); i += pairwise {
			for j := range parts {
				parts[j] += v[i+j]
			}
		}
		total = ((parts[0] + parts[1]) + (parts[2] + parts[3])) + ((parts[4] + parts[5]) + (parts[6] + parts[7]))
	}
	for ; i < len(v); i++ {
		total += v[i]
	}
	return total
}

// gaussian returns the weights of the Gaussian as SciPy computes them, up to rounding: from the center on.
func gaussian(sigma float64) []float64 {
	if sigma <= 1e-15 {
		return []float64{1}
	}
	radius := int(4*sigma + 0.5)
	full := make([]float64, 2*radius+1)
	for i := range full {
		x := float64(i - radius)
		full[i] = math.Exp(float64(-0.5 / float64(sigma*sigma) * float64(x*x)))
	}
	total := sum(full)
	for i := range full {
		full[i] /= total
	}
	return full[radius:]
}

// smoother smooths an image, row by row, as scipy.ndimage.gaussian_filter does: first the columns,
// then the rows, with the image reflected at its borders, and the weights taken from the outermost
// to the innermost after that of the center.
type smoother struct {
	mirror  bool // as in Options
	img     *Image
	kernel  []float64
	read    [][]float64    // rows of the image, by row and channel
	rowOf   []int          // by place in read: the number of the row, −1 if none
	column  []float64      // a row of sums of columns, extended by the radius at both ends
	rows    [2][][]float64 // two smoothed rows, by channel
	squares []float64
}

func (m *smoother) reset(img *Image, kernel []float64) {
	m.img, m.kernel = img, kernel
	radius := len(kernel) - 1
	n := min(2*radius+1, img.Height)
	m.rowOf = freelist.Resize(m.rowOf, n)
	for i := range m.rowOf {
		m.rowOf[i] = -1
	}
	resize := func(rows [][]float64, n int) [][]float64 {
		rows = freelist.Extend(rows, n)
		for i := range rows {
			rows[i] = freelist.Resize(rows[i], img.Width)
		}
		return rows
	}
	m.read = resize(m.read, n*img.Channels)
	for i := range m.rows {
		m.rows[i] = resize(m.rows[i], img.Channels)
	}
	m.column = freelist.Resize(m.column, img.Width+2*radius)
	m.squares = freelist.Resize(m.squares, img.Channels)
}

// reflect returns the number of the row or column at place i beyond the borders of an image with n of
// them: d c b a | a b c d | d c b a, or, if the image is mirrored, d c b | a b c d | c b a.
func (m *smoother) reflect(i, n int) int {
	period, last := 2*n, 2*n-1
	if m.mirror {
		period, last = max(1, 2*n-2), 2*n-2
	}
	i %= period
	if i < 0 {
		i += period
	}
	return min(i, last-i)
}

// source returns a row of a channel of the image, at y beyond its borders.
func (m *smoother) source(channel, y int) []float64 {
	y = m.reflect(y, m.img.Height)
	i := y % len(m.rowOf)
	rows := m.read[i*m.img.Channels:][:m.img.Channels]
	if m.rowOf[i] != y {
		m.rowOf[i] = y
		for c := range rows {
			m.img.Row(rows[c], c, y)
		}
	}
	return rows[channel]
}

// row writes row y of the smoothed image to dst.
func (m *smoother) row(dst [][]float64, y int) {
	radius := len(m.kernel) - 1
	if radius == 0 && m.kernel[0] == 1 {
		for c := range dst {
			copy(dst[c], m.source(c, y))
		}
		return
	}
	n := m.img.Width
	for c := range dst {
		column := m.column[radius:][:n]
		scale(column, m.source(c, y), m.kernel[0])
		for j := radius; j > 0; j-- {
			addSymmetric(column, m.source(c, y-j), m.source(c, y+j), m.kernel[j])
		}
		for i := range radius {
			m.column[radius-1-i] = column[m.reflect(-1-i, n)]
			m.column[radius+n+i] = column[m.reflect(n+i, n)]
		}
		scale(dst[c], column, m.kernel[0])
		for j := radius; j > 0; j-- {
			addSymmetric(dst[c], m.column[radius-j:][:n], m.column[radius+j:][:n], m.kernel[j])
		}
	}
}

// scale writes a·w to dst.
func scale(dst, a []float64, w float64) {
	a = a[:len(dst)]
	for i := range dst {
		dst[i] = a[i] * w
	}
}

// addSymmetric adds (a+b)·w to dst.
func addSymmetric(dst, a, b []float64, w float64) {
	a, b = a[:len(dst)], b[:len(dst)]
	for i := range dst {
		dst[i] += float64((a[i] + b[i]) * w)
	}
}
