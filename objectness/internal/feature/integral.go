package feature

import (
	"context"

	"github.com/proposer/proposer/box"
	"github.com/proposer/proposer/internal/freelist"
	"github.com/proposer/proposer/internal/kernels"
	"github.com/proposer/proposer/raster"
)

// The channels of an image, as [kernels.GradientMagnitudes] writes them: the magnitude of the
// gradient in x, in y and along both diagonals, and the Lab color.
const (
	gradX = iota
	gradY
	gradDiag1 // along the diagonal that falls to the right
	gradDiag2 // along the one that rises
	lightness
	greenRed
	blueYellow
	numChannels
)

// paddedChannels makes the channels of a cell fill half a cache line. The last has no meaning.
const paddedChannels = numChannels + 1

// row is the values of all channels, or seven others.
type row = [paddedChannels]float32

// integralImage is the summed-area table of the channels of an image. Its unit is a cell of
// some pixels: the sum of a channel over any rectangle of cells is that of four entries.
type integralImage struct {
	shift         int // a cell is 1<<shift pixels wide and high
	width, height int // in cells
	table         [][paddedChannels]uint32
	mean          row // of the whole image

	small, lab raster.Image
	channels   [][paddedChannels]uint8 // of a row of cells
}

// maxCells bounds the memory, of 32 bytes a cell, and the sums: 255·2²⁰ is far below 2³².
// Images of up to 4 megapixels have cells of 2×2 pixels.
const maxCells = 1 << 20

// build makes p the integral image of img. The only error is the context's.
func (p *integralImage) build(ctx context.Context, img *raster.Image) error {
	p.shift = 1
	cells := func(pixels int) int { return (pixels-1)>>p.shift + 1 }
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
	p.channels = freelist.Resize(p.channels, p.width)
	for y := range p.height {
		if err := ctx.Err(); err != nil {
			return err
		}
		p.computeChannels(y)
		above, here := p.table[y*stride:(y+1)*stride], p.table[(y+1)*stride:(y+2)*stride]
		here[0] = [paddedChannels]uint32{}
		kernels.IntegralRow(here[1:], above[1:], p.channels)
	}
	for c, sum := range p.table[len(p.table)-1] {
		p.mean[c] = float32(sum) / float32(p.width*p.height)
	}
	return nil
}

// computeChannels sets p.channels to those of row y. Borders are replicated.
func (p *integralImage) computeChannels(y int) {
	w := p.width
	at := func(plane, y int) []uint8 { return p.lab.Plane(plane)[y*w:][:w] }
	var here, above, below [3][]uint8
	for c := range here {
		here[c] = at(c, y)
		above[c] = at(c, max(y-1, 0))
		below[c] = at(c, min(y+1, p.height-1))
	}
	kernels.GradientMagnitudes(p.channels, &here, &above, &below)
}

// shrink sets p.small to the mean of the pixels of each cell; at the right and lower border,
// of those that are in the image.
func (p *integralImage) shrink(ctx context.Context, img *raster.Image) error {
	p.small.Space, p.small.Width, p.small.Height = raster.RGB, p.width, p.height
	p.small.Pix = freelist.Resize(p.small.Pix, 3*p.width*p.height)
	side := 1 << p.shift
	for c := range 3 {
		src, dst := img.Plane(min(c, img.Space.Planes()-1)), p.small.Plane(c)
		for y := range p.height {
			if err := ctx.Err(); err != nil {
				return err
			}
			y0, y1 := y*side, min((y+1)*side, img.Height)
			out := dst[y*p.width : (y+1)*p.width]
			done := 0
			if p.shift == 1 && y1-y0 == 2 {
				done = img.Width / 2
				kernels.Downsample2(out[:done], src[y0*img.Width:][:2*done], src[(y0+1)*img.Width:][:2*done])
			}
			for x := done; x < len(out); x++ {
				x0, x1 := x*side, min((x+1)*side, img.Width)
				out[x] = mean(src, img.Width, x0, y0, x1, y1)
			}
		}
	}
	return nil
}

// mean returns the mean of the samples of a rectangle, rounded to nearest.
func mean(src []uint8, width, x0, y0, x1, y1 int) uint8 {
	sum := 0
	for y := y0; y < y1; y++ {
		for _, v := range src[y*width+x0 : y*width+x1] {
			sum += int(v)
		}
	}
	count := (y1 - y0) * (x1 - x0)
	return uint8((sum + count/2) / count)
}

// rect is a half-open rectangle of cells.
type rect struct{ x0, y0, x1, y1 int }

// cells returns the number of cells.
func (r rect) cells() int { return (r.x1 - r.x0) * (r.y1 - r.y0) }

// cover returns the rectangle of the cells that a box has pixels of.
func (p *integralImage) cover(b box.Box) rect {
	return rect{
		int(b.X0) >> p.shift, int(b.Y0) >> p.shift,
		(int(b.X1)-1)>>p.shift + 1, (int(b.Y1)-1)>>p.shift + 1,
	}
}

// clip returns the part of r that is in the image.
func (p *integralImage) clip(r rect) rect {
	return rect{max(r.x0, 0), max(r.y0, 0), min(r.x1, p.width), min(r.y1, p.height)}
}

// maxRects is the capacity of a rectList: two rectangles for each candidate of a block.
const maxRects = 2 * BlockSize

// rectList is a list of rectangles whose means are computed together.
type rectList struct {
	n       int
	corners [maxRects][4]int32 // indices into the table
	scales  [maxRects]float32  // one over the number of cells; 0 outside of the image
}

func (l *rectList) clear() { l.n = 0 }

// add appends a rectangle and returns the part of it that is in the image.
func (l *rectList) add(p *integralImage, r rect) rect {
	corners, scale := &l.corners[l.n], &l.scales[l.n]
	l.n++
	r = p.clip(r)
	if r.x0 >= r.x1 || r.y0 >= r.y1 {
		*corners, *scale = [4]int32{}, 0
		return rect{}
	}
	stride := p.width + 1
	top, bottom := r.y0*stride, r.y1*stride
	*corners = [4]int32{int32(top + r.x0), int32(top + r.x1), int32(bottom + r.x0), int32(bottom + r.x1)}
	*scale = 1 / float32(r.cells())
	return r
}

// means writes the means of the channels over each rectangle, 0 outside of the image.
func (l *rectList) means(p *integralImage, dst []row) {
	kernels.RectangleSums(dst[:l.n], p.table, l.corners[:l.n], l.scales[:l.n], new(row), &row{1, 1, 1, 1, 1, 1, 1, 1})
}
