package feature

import (
	"context"
	"fmt"

	"github.com/proposer/proposer/internal/freelist"
	"github.com/proposer/proposer/internal/kernels"
	"github.com/proposer/proposer/internal/parallel"
	"github.com/proposer/proposer/objectness/internal/channels"
	"github.com/proposer/proposer/raster"
)

// learned is the means of learned channels in the cells of a grid, which lies as that of the section grid
// does. The network that computes the channels is not symmetric, so in the mirrored image the features
// differ a little from those that mirror maps to.
var learned = section{
	names: func() (names []string) {
		for cell := range gridSide * gridSide {
			for channel := range channels.Count {
				names = append(names, fmt.Sprintf("learned.%d.%d.%d", cell/gridSide, cell%gridSide, channel))
			}
		}
		return names
	}(),
	mirror: func() (mirror []int) {
		for cell := range gridSide * gridSide {
			y, x := cell/gridSide, gridSide-1-cell%gridSide
			for channel := range channels.Count {
				mirror = append(mirror, (y*gridSide+x)*channels.Count+channel)
			}
		}
		return mirror
	}(),
	prepare: func(ctx context.Context, e *Extractor) error {
		return e.learned.build(ctx, channels.Default(), e.set.Run, &e.integral)
	},
	fill: fillLearned,
}

// learnedUnit is the value of a channel that is a feature of 1.
const learnedUnit = 64

// learnedImage is the integral image of the learned channels of an image.
type learnedImage struct {
	shift         int // a cell is 1<<shift pixels wide and high
	width, height int // in cells
	// table is the integral image, with a row and a column of zeros. Sums are exact: an image of
	// maxLearnedCells has at most 2¹⁵ cells here, so they are below 2²⁴.
	table [][kernels.IntegralChannels]float32

	workspace  channels.Workspace
	small, lab raster.Image
}

// maxLearnedCells is the largest number of cells that the channels are computed from. It bounds time and
// memory. Cells are 2×2 pixels if that are not too many, as for images of 524,288 pixels.
const maxLearnedCells = 1 << 17

// build computes the channels of the image of p. The only error is the context's.
func (l *learnedImage) build(ctx context.Context, n *channels.Network, run parallel.Runner, p *integralImage) error {
	l.shift = learnedShift(p)
	lab := &p.lab
	if l.shift > p.shift {
		if err := shrink(ctx, &l.small, &p.small, l.shift-p.shift); err != nil {
			return err
		}
		if _, err := raster.Convert(ctx, &l.lab, &l.small, raster.Lab); err != nil {
			return err
		}
		lab = &l.lab
	}
	if err := n.Compute(ctx, run, &l.workspace, lab); err != nil {
		return err
	}
	l.shift += channels.Shift
	return l.sum(ctx)
}

// learnedShift returns the shift of the smallest cells of which channels are computed.
func learnedShift(p *integralImage) int {
	shift := p.shift
	for width, height := p.width, p.height; width > maxLearnedCells/height; {
		shift++
		width, height = (width-1)>>1+1, (height-1)>>1+1
	}
	return shift
}

// sum sets the table.
func (l *learnedImage) sum(ctx context.Context) error {
	l.width, l.height = l.workspace.Size()
	stride := l.width + 1
	l.table = freelist.Resize(l.table, stride*(l.height+1))
	clear(l.table[:stride])
	for y := range l.height {
		if err := ctx.Err(); err != nil {
			return err
		}
		above, here := l.table[y*stride:][:stride], l.table[(y+1)*stride:][:stride]
		here[0] = [channels.Count]float32{}
		var sums [channels.Count]float32
		values := l.workspace.Row(y)
		for x := range l.width {
			for c, v := range values[x*channels.Count:][:channels.Count] {
				sums[c] += float32(v)
				here[x+1][c] = above[x+1][c] + sums[c]
			}
		}
	}
	return nil
}

func fillLearned(e *Extractor, b *Block, dst Columns) {
	l := &e.learned
	b.learnedCells = freelist.Resize(b.learnedCells, 2*BlockSize*gridSide*gridSide)
	for i := range b.candidates {
		g, box := &b.learnedGrids[i], &b.candidates[i].Box
		gridLines(&g.Rows, &g.RowScales, box.Y0, box.Y1, e.set.Image.Height, l.shift, l.width+1)
		gridLines(&g.Columns, &g.ColumnScales, box.X0, box.X1, e.set.Image.Width, l.shift, 1)
		for k := range g.RowScales {
			g.RowScales[k] /= learnedUnit
		}
	}
	n := len(b.candidates)
	kernels.InterpolatedGridSums(b.learnedCells[:2*n*gridSide*gridSide], l.table, l.width+1, b.learnedGrids[:n])
	kernels.TransposeRows(dst, b.learnedCells)
}

// gridLines sets lines to those between the rows, or columns, of a grid over a box from lo to hi in an
// image of size pixels: a quarter of the side apart, the first a quarter before lo. Cells are 1<<shift
// pixels, a step of pitch entries of the table each. The scales are one over the number of cells between two
// lines, or 0 outside of the image.
func gridLines(
	lines *[gridSide + 1]kernels.InterpolatedLine, scales *[gridSide]float32, lo, hi int32, size, shift, pitch int,
) {
	const quarters = 2 // of a pixel, as a shift
	unit := float32(int64(1) << (shift + quarters))
	end, last := int64(size)<<quarters, int64(size-1)>>shift
	before := int64(0)
	for k := range lines {
		at := min(max(int64(lo)<<quarters+int64(k-1)*int64(hi-lo), 0), end)
		cell := min(at>>(shift+quarters), last)
		lines[k] = kernels.InterpolatedLine{
			At: int32(int(cell) * pitch), Fraction: float32(at-cell<<(shift+quarters)) / unit,
		}
		if k > 0 {
			scales[k-1] = 0
			if at > before {
				scales[k-1] = unit / float32(at-before)
			}
		}
		before = at
	}
}
