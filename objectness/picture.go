package objectness

import (
	"context"

	"github.com/proposer/proposer/box"
	"github.com/proposer/proposer/internal/freelist"
	"github.com/proposer/proposer/internal/kernels"
	"github.com/proposer/proposer/raster"
)

// The channels of a picture, as [kernels.GradientMagnitudes] has them: how steep it is across and down and
// along both diagonals, and its Lab colour. The last is there to make a cell as long as a cache
// likes it.
const (
	across = iota
	down
	falling
	rising
	lightness
	greenRed
	blueYellow
	_
	channels
)

// means are the channels' over some cells.
type means = [channels]float32

// picture is the integral image of a picture's channels, in cells of some pixels: a channel's
// sum over any rectangle of cells is that of four of its entries.
type picture struct {
	shift         int // a cell is 1<<shift pixels wide and high
	width, height int // in cells
	table         [][channels]uint32
	all           means

	small, lab raster.Image
	row        [][channels]uint8
}

// maxCells bounds the memory, of 32 bytes a cell, and with it what a sum can be: 255·2²⁰
// is far from 2³². Pictures up to 4 megapixels have cells of 2×2 pixels.
const maxCells = 1 << 20

func (p *picture) reset(ctx context.Context, img *raster.Image) error {
	p.shift = 1
	cells := func(n int) int { return (n-1)>>p.shift + 1 }
	for cells(img.Width) > maxCells/cells(img.Height) {
		p.shift++
	}
	p.width, p.height = cells(img.Width), cells(img.Height)
	if err := p.shrink(ctx, img); err != nil {
		return err
	}
	if _, err := raster.Convert(ctx, &p.lab, &p.small, raster.Lab); err != nil {
		return err
	}
	stride := p.width + 1
	p.table = freelist.Resize(p.table, stride*(p.height+1))
	clear(p.table[:stride])
	p.row = freelist.Resize(p.row, p.width)
	for y := range p.height {
		if err := ctx.Err(); err != nil {
			return err
		}
		p.describe(y)
		above, here := p.table[y*stride:(y+1)*stride], p.table[(y+1)*stride:(y+2)*stride]
		here[0] = [channels]uint32{}
		kernels.IntegralRow(here[1:], above[1:], p.row)
	}
	for c, v := range p.table[len(p.table)-1] {
		p.all[c] = float32(v) / float32(p.width*p.height)
	}
	return nil
}

// describe fills the row with the channels of row y.
func (p *picture) describe(y int) {
	w := p.width
	at := func(plane, y int) []uint8 { return p.lab.Plane(plane)[y*w:][:w] }
	var rows, up, low [3][]uint8
	for c := range rows {
		rows[c], up[c], low[c] = at(c, y), at(c, max(y-1, 0)), at(c, min(y+1, p.height-1))
	}
	kernels.GradientMagnitudes(p.row, &rows, &up, &low)
}

// shrink averages the pixels of each cell; those that the picture has of it, at its right
// and lower border.
func (p *picture) shrink(ctx context.Context, img *raster.Image) error {
	n := p.width * p.height
	p.small.Space, p.small.Width, p.small.Height = raster.RGB, p.width, p.height
	p.small.Pix = freelist.Resize(p.small.Pix, 3*n)
	side := 1 << p.shift
	for c := range 3 {
		from, to := img.Plane(min(c, img.Space.Planes()-1)), p.small.Plane(c)
		for y := range p.height {
			if err := ctx.Err(); err != nil {
				return err
			}
			y0, y1 := y*side, min((y+1)*side, img.Height)
			out := to[y*p.width : (y+1)*p.width]
			done := 0
			if p.shift == 1 && y1-y0 == 2 {
				done = img.Width / 2
				kernels.Downsample2(out[:done], from[y0*img.Width:][:2*done], from[(y0+1)*img.Width:][:2*done])
			}
			for x := done; x < len(out); x++ {
				x0, x1 := x*side, min((x+1)*side, img.Width)
				sum := 0
				for yy := y0; yy < y1; yy++ {
					for _, v := range from[yy*img.Width+x0 : yy*img.Width+x1] {
						sum += int(v)
					}
				}
				count := (y1 - y0) * (x1 - x0)
				out[x] = uint8((sum + count/2) / count)
			}
		}
	}
	return nil
}

// cells are the rectangle of the cells that a box has pixels of.
type cells struct{ x0, y0, x1, y1 int }

func (p *picture) cells(b box.Box) cells {
	return cells{
		int(b.X0) >> p.shift, int(b.Y0) >> p.shift,
		(int(b.X1)-1)>>p.shift + 1, (int(b.Y1)-1)>>p.shift + 1,
	}
}

func (c cells) count() int { return (c.x1 - c.x0) * (c.y1 - c.y0) }

// within is what of the rectangle is in the picture.
func (p *picture) within(c cells) cells {
	return cells{max(c.x0, 0), max(c.y0, 0), min(c.x1, p.width), min(c.y1, p.height)}
}

// rectangles are how many a view holds at most: two of each box of a block.
const rectangles = 2 * block

// view is a list of rectangles to look at.
type view struct {
	n       int
	corners [rectangles][4]int32 // in the table
	scales  [rectangles]float32  // one over the number of cells; 0 if none is in the picture
}

func (v *view) clear() { v.n = 0 }

// add adds a rectangle, and returns what of it is in the picture.
func (v *view) add(p *picture, c cells) cells {
	corners, scale := &v.corners[v.n], &v.scales[v.n]
	v.n++
	c = p.within(c)
	if c.x0 >= c.x1 || c.y0 >= c.y1 {
		*corners, *scale = [4]int32{}, 0
		return cells{}
	}
	stride := p.width + 1
	top, low := c.y0*stride, c.y1*stride
	*corners = [4]int32{int32(top + c.x0), int32(top + c.x1), int32(low + c.x0), int32(low + c.x1)}
	*scale = 1 / float32(c.count())
	return c
}

// means writes the rectangles' means; 0 is that of none.
func (v *view) means(p *picture, dst []means) {
	kernels.RectangleSums(dst[:v.n], p.table, v.corners[:v.n], v.scales[:v.n], new(means), &means{1, 1, 1, 1, 1, 1, 1, 1})
}
