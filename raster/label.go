package raster

import (
	"fmt"
	"slices"

	"github.com/proposer/proposer/box"
)

// LabelImage is a label image: it assigns every pixel to one of N regions, which are
// numbered 0..N−1.
type LabelImage struct {
	Width, Height int
	// Pix holds the region of each pixel, row-major without padding.
	Pix []int32
	// Sizes holds the number of pixels of each region.
	Sizes []int32
	// Boxes holds the bounding box of each region, the zero Box if it has no pixel.
	Boxes []box.Box
}

// NewLabelImage returns the label image of rows of width pixels, with the sizes and boxes
// of the regions 0 to max(pix). It keeps pix. It panics if pix is empty, is not a whole
// number of rows, or has a negative label.
func NewLabelImage(width int, pix []int32) *LabelImage {
	if width <= 0 || len(pix) == 0 || len(pix)%width != 0 {
		panic(fmt.Sprintf("raster: NewLabelImage: %d labels in rows of %d: want full rows", len(pix), width))
	}
	if least := slices.Min(pix); least < 0 {
		panic(fmt.Sprintf("raster: NewLabelImage: label %d: want 0 or more", least))
	}
	n := int(slices.Max(pix)) + 1
	l := &LabelImage{
		Width: width, Height: len(pix) / width,
		Pix: pix, Sizes: make([]int32, n), Boxes: make([]box.Box, n),
	}
	for i, r := range pix {
		x, y := int32(i%width), int32(i/width)
		l.Sizes[r]++
		l.Boxes[r] = l.Boxes[r].Union(box.Box{X0: x, Y0: y, X1: x + 1, Y1: y + 1})
	}
	return l
}

// Regions returns the number of regions.
func (l *LabelImage) Regions() int { return len(l.Sizes) }
