package felzenszwalb

import (
	"context"
	"math"

	"github.com/proposer/proposer/internal/freelist"
	"github.com/proposer/proposer/internal/kernels"
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

// grid holds the keys of the edges of the grid, by direction and first pixel. It has a border of one
// pixel without edges, whose left and right columns are the same memory.
type grid struct {
	height, stride int
	keys           [directions][]int32 // noEdge where there is no edge
	smoothed       [][]float64         // the smoothed image by channel, in the same layout
	squares        []float64           // of the differences of an edge's ends, by channel; of computeKeys
}

// resize allocates the planes for an image.
func (g *grid) resize(width, height, channels int) {
	g.height, g.stride = height, width+1
	for d := range directions {
		g.keys[d] = freelist.Resize(g.keys[d], (height+2)*g.stride+1)
		g.keys[d][0] = noEdge
	}
	g.clearRow(-1)
	g.clearRow(height)
	g.smoothed = freelist.Extend(g.smoothed, channels)
	for c := range g.smoothed {
		g.smoothed[c] = freelist.Resize(g.smoothed[c], (height+1)*g.stride)
	}
	g.squares = freelist.Resize(g.squares, channels)
}

// at returns the place of the edges of pixel (x, y).
func (g *grid) at(x, y int) int { return (y+1)*g.stride + 1 + x }

// weight returns the weight of an edge. It is needed rarely.
func (g *grid) weight(n edgeNumber) float64 {
	var buffer [pairwise]float64
	squares := buffer[:0]
	p := int(n.place())
	q := p + [directions]int{right: 1, down: g.stride, downRight: g.stride + 1, downLeft: g.stride - 1}[n.direction()]
	for _, plane := range g.smoothed {
		d := plane[q] - plane[p]
		squares = append(squares, d*d)
	}
	return math.Sqrt(sum(squares))
}

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

// cells returns n cells whose first edges have the given place.
func (g *grid) cells(place, n int) *kernels.CellRow {
	return &kernels.CellRow{
		Top: g.keys[right][place:][:n], Side: g.keys[down][place:][:n+1],
		DownRight: g.keys[downRight][place:][:n], DownLeft: g.keys[downLeft][place:][:n+1],
		Bottom: g.keys[right][place+g.stride:][:n],
	}
}

// less returns 1 if a < b, else 0. Neither is negative.
func less(a, b int32) uint32 { return uint32(a-b) >> 31 }

// computeKeys smooths the image and computes the keys of all edges.
func (s *Segmenter) computeKeys(ctx context.Context, img *Image, kernel []float64) error {
	g, n := &s.grid, s.width
	g.resize(s.width, s.height, img.Channels)
	s.smoother.reset(img, kernel)
	s.sums = freelist.Resize(s.sums, n)
	s.smoother.row(g, 0)
	for y := range s.height {
		if err := ctx.Err(); err != nil {
			return err
		}
		if y == s.height-1 {
			g.clearRow(y)
		} else {
			s.smoother.row(g, y+1)
			s.distances(down, y, 0, n, g.stride)
			if s.four {
				g.clear(downRight, y)
				g.clear(downLeft, y)
			} else {
				s.distances(downRight, y, 0, n-1, g.stride+1)
				s.distances(downLeft, y, 1, n-1, g.stride-1)
			}
		}
		s.distances(right, y, 0, n-1, 1)
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

// distances computes the keys of n edges of row y from column x on, whose ends are step pixels apart.
func (s *Segmenter) distances(direction, y, x, n, step int) {
	g, at, sums := &s.grid, s.grid.at(x, y), s.sums[:n]
	keys := g.keys[direction][at:][:n]
	switch channels := len(g.smoothed); {
	case channels == 3:
		var a, b [3][]float64
		for c, plane := range g.smoothed {
			a[c], b[c] = plane[at:][:n], plane[at+step:][:n]
		}
		kernels.DistanceKeys3(keys, &a, &b)
		return
	case channels < pairwise:
		clear(sums)
		for _, plane := range g.smoothed {
			kernels.AddSquaresFloat64(sums, plane[at:][:n], plane[at+step:][:n])
		}
	default:
		for i := range sums {
			for c, plane := range g.smoothed {
				d := plane[at+step+i] - plane[at+i]
				g.squares[c] = d * d
			}
			sums[i] = sum(g.squares)
		}
	}
	kernels.RootKeys(keys, sums)
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
	mirror bool // as in Options
	img    *Image
	kernel []float64
	read   [][]float64 // rows of the image, by row and channel
	rowOf  []int       // by place in read: the number of the row, −1 if none
	column []float64   // a row of sums of columns, extended by the radius at both ends
}

func (m *smoother) reset(img *Image, kernel []float64) {
	m.img, m.kernel = img, kernel
	radius := len(kernel) - 1
	n := min(2*radius+1, img.Height)
	m.rowOf = freelist.Resize(m.rowOf, n)
	for i := range m.rowOf {
		m.rowOf[i] = -1
	}
	m.read = freelist.Extend(m.read, n*img.Channels)
	for i := range m.read {
		m.read[i] = freelist.Resize(m.read[i], img.Width)
	}
	m.column = freelist.Resize(m.column, img.Width+2*radius)
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

// row writes row y of the smoothed image.
func (m *smoother) row(g *grid, y int) {
	radius, n := len(m.kernel)-1, m.img.Width
	for c, plane := range g.smoothed {
		dst := plane[g.at(0, y):][:n]
		if radius == 0 && m.kernel[0] == 1 {
			copy(dst, m.source(c, y))
			continue
		}
		column := m.column[radius:][:n]
		m.convolve(column, func(j int) []float64 { return m.source(c, y+j) })
		for i := range radius {
			m.column[radius-1-i] = column[m.reflect(-1-i, n)]
			m.column[radius+n+i] = column[m.reflect(n+i, n)]
		}
		m.convolve(dst, func(j int) []float64 { return m.column[radius+j:][:n] })
	}
}

// convolve convolves rows from −radius to radius.
func (m *smoother) convolve(dst []float64, row func(j int) []float64) {
	radius := len(m.kernel) - 1
	if radius == 3 { // that of the default sigma
		var rows [7][]float64
		for j := range rows {
			rows[j] = row(j - 3)
		}
		kernels.Convolve7Float64(dst, &rows, (*[4]float64)(m.kernel))
		return
	}
	kernels.ScaleFloat64(dst, row(0), m.kernel[0])
	for j := radius; j > 0; j-- {
		kernels.AddScaledSumFloat64(dst, row(-j), row(j), m.kernel[j])
	}
}
