package similarity

import (
	"context"
	"encoding/binary"
	"fmt"
	"math"
	"math/bits"

	"github.com/proposer/proposer/box"
	"github.com/proposer/proposer/internal/freelist"
	"github.com/proposer/proposer/internal/kernels"
	"github.com/proposer/proposer/internal/parallel"
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
	cells         []int32 // by pixel
	above, left   []uint8 // bits, by pixel of a stretch
	counts        freelist.List[[]uint32]
}

const (
	mostCells = 1 << 13 // of 320 bytes run, for each thread
	fewPixels = 64
)

// DescribeAll is Describe of several segmentations of one picture, dst[i] that of
// segmentations[i]. Each pixel is counted once, for its cell; the counts of a region are
// the sums of its cells', so results are the same to the bit. Where there are too many
// cells, each segmentation is described for itself. That takes 4 bytes a pixel.
func DescribeAll(ctx context.Context, dst []*Regions, c *Cells, f *BinnedImage, segmentations []Segmentation, run parallel.Runner) error {
	if len(dst) != len(segmentations) {
		panic(fmt.Sprintf("similarity: DescribeAll: %d sets of regions for %d segmentations", len(dst), len(segmentations)))
	}
	if len(dst) < 2 || !c.expect(f, segmentations) {
		return describeEach(ctx, dst, f, segmentations, run)
	}
	defer func() { c.segmentations = nil }()
	for i, r := range dst {
		r.reset(f, &segmentations[i])
	}
	if ok, err := c.overlay(ctx, f.width); err != nil {
		return err
	} else if !ok {
		return describeEach(ctx, dst, f, segmentations, run)
	}
	if err := share(ctx, run, f.pieces(), summing{c, f, dst}, summing.piece); err != nil {
		return err
	}
	for _, r := range dst {
		if err := r.finish(ctx, run); err != nil {
			return err
		}
	}
	return nil
}

func describeEach(ctx context.Context, dst []*Regions, f *BinnedImage, segmentations []Segmentation, run parallel.Runner) error {
	for i, s := range segmentations {
		if _, err := Describe(ctx, dst[i], f, s.Labels, s.Sizes, s.Boxes, run); err != nil {
			return err
		}
	}
	return nil
}

// summing counts the pixels of cells and sums those up to regions.
type summing struct {
	*Cells
	f   *BinnedImage
	dst []*Regions
}

func (s summing) piece(ctx context.Context, i int) error {
	counts := s.counts.Get()
	defer s.counts.Put(counts)
	bins := planeBins
	if i == 0 {
		bins = rowBins(s.f.planes, ColorBins)
	}
	*counts = freelist.Resize(*counts, s.n*bins)
	clear(*counts)
	if err := s.f.count(ctx, rows{*counts, bins}, i, s.cells); err != nil {
		return err
	}
	for cell := range s.n {
		if cell%1024 == 0 {
			if err := ctx.Err(); err != nil {
				return err
			}
		}
		from := (*counts)[cell*bins : (cell+1)*bins]
		for j, label := range s.labels[cell*len(s.dst) : (cell+1)*len(s.dst)] {
			to := s.dst[j].piece(i)
			kernels.AddCounts(to.counts[int(label)*to.row:][:bins], from)
		}
	}
	return nil
}

// expect makes ready for an overlay. It is false if there will be too many cells.
func (c *Cells) expect(f *BinnedImage, segmentations []Segmentation) bool {
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
	c.cells = freelist.Resize(c.cells, f.width*f.height)
	c.table = freelist.Resize(c.table, 1<<bits.Len(uint(2*c.most)))
	clear(c.table)
	return true
}

// overlay finds the cells. It is false if there are too many.
//
// A pixel has the cell of the one some rows above, if all its labels are the same, or
// else of the one to the left, or else it is looked for.
func (c *Cells) overlay(ctx context.Context, width int) (bool, error) {
	up := (fewPixels/width + 1) * width
	for start, stop := 0, 0; start < len(c.cells); start = stop {
		if err := ctx.Err(); err != nil {
			return false, err
		}
		stop = min(start+min(up, pollEvery), len(c.cells))
		above, left := c.differ(&c.above, start, stop, up), c.differ(&c.left, start, stop, 1)
		copy(c.cells[start:stop], c.cells[max(0, start-up):])
		if !c.stretch(start, above, left) {
			return false, nil
		}
	}
	return true, nil
}

// differ has a bit for each pixel of a stretch: is it in another cell than the one so far back?
func (c *Cells) differ(memory *[]uint8, start, stop, back int) []uint8 {
	n := stop - start
	others := freelist.Resize(*memory, (n+63)/64*8)
	*memory = others
	clear(others)
	bits := others[:(n+7)/8]
	if start < back {
		for i := range bits {
			bits[i] = math.MaxUint8
		}
		bits[len(bits)-1] >>= 8*len(bits) - n
		return others
	}
	for _, s := range c.segmentations {
		kernels.DiffMask(bits, s.Labels[start:stop], s.Labels[start-back:stop-back])
	}
	return others
}

// stretch finds the cells of the pixels from start on that are not in those of the pixels above.
func (c *Cells) stretch(start int, above, left []uint8) bool {
	for at := 0; at < len(above); at += 8 {
		others := binary.LittleEndian.Uint64(above[at:]) & binary.LittleEndian.Uint64(left[at:])
		for ; others != 0; others &= others - 1 {
			i := start + 8*at + bits.TrailingZeros64(others)
			cell := c.find(i)
			if cell < 0 {
				return false
			}
			c.cells[i] = int32(cell)
		}
	}
	for at := 0; at < len(above); at += 8 {
		others := binary.LittleEndian.Uint64(above[at:]) &^ binary.LittleEndian.Uint64(left[at:])
		for ; others != 0; others &= others - 1 {
			// The first of all is not among them: it has none to the left.
			i := start + 8*at + bits.TrailingZeros64(others)
			c.cells[i] = c.cells[i-1]
		}
	}
	return true
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
