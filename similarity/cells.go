package similarity

import (
	"context"
	"fmt"
	"math/bits"
	"slices"

	"github.com/proposer/proposer/box"
	"github.com/proposer/proposer/internal/shelf"
	"github.com/proposer/proposer/internal/simd"
)

// Segmentation is a segmentation of a picture: the pixels' regions, 0 to len(Sizes)−1,
// and the regions' numbers of pixels and bounding boxes.
type Segmentation struct {
	Labels, Sizes []int32
	Boxes         []box.Box
}

// Cells are the cells of an overlay of segmentations: the sets of pixels that are in one
// region of each. What DescribeAll takes; the zero value is ready.
type Cells struct {
	segmentations []Segmentation
	n, most       int
	labels        []int32 // by cell, of each segmentation
	table         []int32 // 1 + a cell, near where the hash of its labels says
	// The counts of the cells, in rows as the regions' are.
	colour, texture         []uint32
	colourBins, textureBins int
}

const (
	mostCells = 1 << 13 // of 1.3 KB each
	fewPixels = 64
)

// DescribeAll is Describe of several segmentations of one picture, dst[i] that of
// segmentations[i]. Each pixel is counted once, for its cell; the counts of a region are
// the sums of its cells', so results are the same to the bit. Where there are too many
// cells, each segmentation is described for itself.
func DescribeAll(ctx context.Context, dst []*Regions, c *Cells, f *Field, segmentations []Segmentation) error {
	if len(dst) != len(segmentations) {
		panic(fmt.Sprintf("similarity: DescribeAll: %d sets of regions for %d segmentations", len(dst), len(segmentations)))
	}
	if len(dst) < 2 || !c.expect(f, segmentations) {
		return describeEach(ctx, dst, f, segmentations)
	}
	for i, r := range dst {
		r.reset(f, &segmentations[i])
	}
	if ok, err := c.count(ctx, f); err != nil {
		return err
	} else if !ok {
		return describeEach(ctx, dst, f, segmentations)
	}
	for cell := range c.n {
		if cell%1024 == 0 {
			if err := ctx.Err(); err != nil {
				return err
			}
		}
		colour, texture := c.row(cell)
		for i, label := range c.labels[cell*len(dst) : (cell+1)*len(dst)] {
			simd.Add(dst[i].colour.described(label), colour)
			simd.Add(dst[i].texture.described(label), texture)
		}
	}
	for _, r := range dst {
		if err := r.finish(ctx); err != nil {
			return err
		}
	}
	return nil
}

func describeEach(ctx context.Context, dst []*Regions, f *Field, segmentations []Segmentation) error {
	for i, s := range segmentations {
		if _, err := Describe(ctx, dst[i], f, s.Labels, s.Sizes, s.Boxes); err != nil {
			return err
		}
	}
	return nil
}

// expect makes ready for an overlay. It is false if there will be too many cells.
func (c *Cells) expect(f *Field, segmentations []Segmentation) bool {
	regions := 0
	for _, s := range segmentations {
		regions = max(regions, len(s.Sizes))
	}
	// With cells of a few pixels there is nothing to be gained.
	c.most = min(f.width*f.height/fewPixels, mostCells)
	if 2*regions > c.most {
		return false
	}
	c.segmentations, c.n, c.labels = segmentations, 0, c.labels[:0]
	c.colour, c.texture = c.colour[:0], c.texture[:0]
	c.colourBins, c.textureBins = rowBins(f.planes, ColourBins), rowBins(f.planes*Orientations, TextureBins)
	c.table = shelf.Resize(c.table, 1<<bits.Len(uint(2*c.most)))
	clear(c.table)
	return true
}

// row are the counts of a cell.
func (c *Cells) row(cell int) (colour, texture []uint32) {
	return c.colour[cell*c.colourBins:][:c.colourBins], c.texture[cell*c.textureBins:][:c.textureBins]
}

// count finds the cells and counts their pixels. It is false if there are too many.
func (c *Cells) count(ctx context.Context, f *Field) (bool, error) {
	defer func() { c.segmentations = nil }()
	n := f.width * f.height
	for start := 0; start < n; start += pollEvery {
		if err := ctx.Err(); err != nil {
			return false, err
		}
		stop := min(start+pollEvery, n)
		for i := start; i < stop; {
			end := stop
			for _, s := range c.segmentations {
				labels := s.Labels[i:end]
				run := 1
				for run < len(labels) && labels[run] == labels[0] {
					run++
				}
				end = i + run
			}
			cell := c.find(i)
			if cell < 0 {
				return false, nil
			}
			colour, texture := c.row(cell)
			f.count(colour, texture, i, end)
			i = end
		}
	}
	return true, nil
}

// find is the cell of pixel i, which it makes if there is none; −1 if there are too many.
func (c *Cells) find(i int) int {
	h := uint64(0)
	for _, s := range c.segmentations {
		h = (h ^ uint64(s.Labels[i])) * 0x9e3779b97f4a7c15
		h ^= h >> 32
	}
	mask := len(c.table) - 1
	for at := int(h) & mask; ; at = (at + 1) & mask {
		cell := int(c.table[at]) - 1
		if cell < 0 {
			if c.n == c.most {
				return -1
			}
			for _, s := range c.segmentations {
				c.labels = append(c.labels, s.Labels[i])
			}
			c.colour = extend(c.colour, c.colourBins)
			c.texture = extend(c.texture, c.textureBins)
			c.n++
			c.table[at] = int32(c.n)
			return c.n - 1
		}
		labels := c.labels[cell*len(c.segmentations):]
		same := true
		for j, s := range c.segmentations {
			same = same && labels[j] == s.Labels[i]
		}
		if same {
			return cell
		}
	}
}

// extend adds n zeros.
func extend(s []uint32, n int) []uint32 {
	s = slices.Grow(s, n)
	s = s[:len(s)+n]
	clear(s[len(s)-n:])
	return s
}
