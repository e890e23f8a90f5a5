package feature

import (
	"fmt"

	"github.com/proposer/proposer/internal/freelist"
	"github.com/proposer/proposer/internal/kernels"
)

// appearance is the content of the box (inside): gradient magnitudes in four directions,
// relative to those of the image, and the mean Lab color; and its contrast (around) with a
// ring around it in gradients and color, and with the whole image in color.
var appearance = section{
	names: []string{
		"inside.across", "inside.down", "inside.falling", "inside.rising", "inside.L", "inside.a", "inside.b",
		"around.across", "around.down", "around.L", "around.a", "around.b", "around.colour", "around.picture",
	},
	mirror: swap(14, 2, 3),
	fill:   fillAppearance,
}

// grid is the channels of the cells of a grid, relative to those of the box. The grid covers
// the box and a quarter of its sides around it, so that the cells on the border lie outside.
var grid = section{
	names: func() (names []string) {
		for cell := range gridSide * gridSide {
			for _, channel := range [...]string{"across", "down", "falling", "rising", "L", "a", "b"} {
				names = append(names, fmt.Sprintf("grid.%d.%d.%s", cell/gridSide, cell%gridSide, channel))
			}
		}
		return names
	}(),
	mirror: func() (mirror []int) {
		channels := swap(numChannels, gradDiag1, gradDiag2)
		for cell := range gridSide * gridSide {
			y, x := cell/gridSide, gridSide-1-cell%gridSide
			for _, channel := range channels {
				mirror = append(mirror, (y*gridSide+x)*numChannels+channel)
			}
		}
		return mirror
	}(),
	fill: fillGrid,
}

// gridSide is the number of cells on a side of the grid.
const gridSide = 6

// swap returns the identity over n indices with i and j exchanged.
func swap(n, i, j int) []int {
	all := make([]int, n)
	for k := range all {
		all[k] = k
	}
	all[i], all[j] = j, i
	return all
}

// gatherMeans reads the means of the channels over each box, and over the box with a ring of
// a quarter of its sides around it.
func (b *Block) gatherMeans(img *integralImage) {
	b.rects.clear()
	for i := range b.candidates {
		r := img.cover(b.candidates[i].Box)
		dx, dy := (r.x1-r.x0)/4+2, (r.y1-r.y0)/4+2
		b.rectCells[2*i] = b.rects.add(img, r).cells()
		b.rectCells[2*i+1] = b.rects.add(img, rect{r.x0 - dx, r.y0 - dy, r.x1 + dx, r.y1 + dy}).cells()
	}
	b.rects.means(img, b.means[:])
}

func fillAppearance(e *Extractor, b *Block, dst Columns) {
	whole := &e.integral.mean
	gradient := whole[gradX] + whole[gradY] + 1
	for i := range b.candidates {
		inside, outside := &b.means[2*i], &b.means[2*i+1]
		b.appearance[2*i] = row{
			(inside[gradX] + .5) / gradient, (inside[gradY] + .5) / gradient,
			(inside[gradDiag1] + .5) / gradient, (inside[gradDiag2] + .5) / gradient,
			inside[lightness], inside[greenRed], inside[blueYellow],
		}
		if n, m := float32(b.rectCells[2*i]), float32(b.rectCells[2*i+1]); m > n {
			for c := range outside {
				outside[c] = (float32(outside[c]*m) - float32(inside[c]*n)) / (m - n)
			}
		} else { // the box fills the image
			outside = inside
		}
		b.appearance[2*i+1] = row{
			log2((outside[gradX] + 1) / (inside[gradX] + 1)), log2((outside[gradY] + 1) / (inside[gradY] + 1)),
			absDiff(inside[lightness], outside[lightness]), absDiff(inside[greenRed], outside[greenRed]),
			absDiff(inside[blueYellow], outside[blueYellow]),
			colorDistance(inside, outside), colorDistance(inside, whole),
		}
	}
	kernels.TransposeBlock(dst, b.appearance[:])
}

func fillGrid(e *Extractor, b *Block, dst Columns) {
	b.gridCells = freelist.Resize(b.gridCells, BlockSize*gridSide*gridSide)
	for i := range b.candidates {
		b.placeGrid(&e.integral, i)
	}
	n := len(b.candidates)
	kernels.GridSums(b.gridCells[:n*gridSide*gridSide], e.integral.table, b.grids[:n])
	for i := range n {
		b.clearOutside(i)
	}
	kernels.TransposeBlock(dst, b.gridCells)
}

// placeGrid places the grid of candidate i over its box.
func (b *Block) placeGrid(img *integralImage, i int) {
	box, inside, g := &b.candidates[i].Box, &b.means[2*i], &b.grids[i]
	gridSpans(&g.Rows, box.Y0, box.Y1, img.shift, img.height, img.width+1)
	gridSpans(&g.Columns, box.X0, box.X1, img.shift, img.width, 1)
	const colorGain = 1. / 32
	gain := 1 / (inside[gradX] + inside[gradY] + 2)
	g.Gain = row{gain, gain, gain, gain, colorGain, colorGain, colorGain}
	g.Offset = row{lightness: inside[lightness], greenRed: inside[greenRed], blueYellow: inside[blueYellow]}
}

// clearOutside sets the cells of candidate i that lie outside of the image to 0, as if they
// were like the box.
func (b *Block) clearOutside(i int) {
	g, cells := &b.grids[i], b.gridCells[i*gridSide*gridSide:][:gridSide*gridSide]
	for k := range gridSide {
		if g.Rows[k].Scale == 0 {
			clear(cells[k*gridSide:][:gridSide])
		}
		for x := k; g.Columns[k].Scale == 0 && x < len(cells); x += gridSide {
			cells[x] = row{}
		}
	}
}

// gridSpans sets dst to the rows, or columns, of a grid over a box from lo to hi. Each is a
// quarter of the side wide, but at least a cell of the integral image; the first begins a
// quarter before lo. The image has size cells, a step of pitch entries of the table each.
// The scale is one over the number of cells, or 0 outside of the image.
func gridSpans(dst *[gridSide]kernels.Span, lo, hi int32, shift, size, pitch int) {
	line := func(k int) int { return (4*int(lo) + (k-1)*int(hi-lo) + 2<<shift) >> (shift + 2) }
	at := line(0)
	for k := range dst {
		next := line(k + 1)
		begin, end := min(max(at, 0), size), min(max(next, at+1, 0), size)
		dst[k] = kernels.Span{Begin: int32(begin * pitch), End: int32(end * pitch)}
		if begin < end {
			dst[k].Scale = 1 / float32(end-begin)
		}
		at = next
	}
}

func absDiff(a, b float32) float32 { return max(a-b, b-a) }

// colorDistance is the L1 distance of two mean colors.
func colorDistance(a, b *row) float32 {
	return absDiff(a[lightness], b[lightness]) + absDiff(a[greenRed], b[greenRed]) + absDiff(a[blueYellow], b[blueYellow])
}
