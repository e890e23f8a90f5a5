package similarity

import (
	"context"
	"encoding/binary"
	"math"
	"math/bits"

	"github.com/proposer/proposer/internal/freelist"
	"github.com/proposer/proposer/internal/kernels"
	"github.com/proposer/proposer/raster"
)

// overlay is the overlay of several label images of one image. Its cells are the sets of
// pixels that have the same label in each. The histograms of a region are the sums of
// those of its cells, so each pixel needs to be counted only once, for its cell.
type overlay struct {
	images  []*raster.LabelImage
	n       int     // number of cells
	limit   int     // largest number of cells that is worth it
	labels  []int32 // by cell, one for each image
	table   []int32 // hash table of cells by their labels: 1 + the cell, 0 if free
	cellOf  []int32 // by pixel
	differs struct{ above, left []uint8 }

	counts freelist.List[[]uint32] // by cell, reusable memory
}

const (
	maxCells      = 1 << 13 // 320 bytes each, per thread
	minCellPixels = 64      // mean; smaller cells do not pay off
)

// build finds the cells of the overlay. It reports false if there are too many.
func (o *overlay) build(ctx context.Context, images []*raster.LabelImage) (bool, error) {
	if len(images) < 2 {
		return false, nil
	}
	regions := 0
	for _, l := range images {
		regions = max(regions, l.Regions())
	}
	pixels := len(images[0].Pix)
	o.limit = min(pixels/minCellPixels, maxCells)
	if 2*regions > o.limit {
		return false, nil
	}
	o.images = images
	defer func() { o.images = nil }() // they are the caller's
	o.n, o.labels = 0, o.labels[:0]
	o.cellOf = freelist.Resize(o.cellOf, pixels)
	o.table = freelist.Resize(o.table, 1<<bits.Len(uint(2*o.limit)))
	clear(o.table)
	return o.assign(ctx, images[0].Width)
}

// assign assigns a cell to every pixel. It reports false if there are too many cells.
//
// A pixel takes the cell of the pixel some rows above it if they agree in all labels, or
// else that of the pixel to its left if those agree; or else its cell is looked up.
func (o *overlay) assign(ctx context.Context, width int) (bool, error) {
	up := (minCellPixels/width + 1) * width
	for start, end := 0, 0; start < len(o.cellOf); start = end {
		if err := ctx.Err(); err != nil {
			return false, err
		}
		end = min(start+min(up, pollEvery), len(o.cellOf))
		above := o.compare(&o.differs.above, start, end, up)
		left := o.compare(&o.differs.left, start, end, 1)
		copy(o.cellOf[start:end], o.cellOf[max(0, start-up):])
		if !o.assignRun(start, above, left) {
			return false, nil
		}
	}
	return true, nil
}

// compare returns a bit for each pixel from start to end−1: whether it is in another cell
// than the pixel at the given distance before it. It reuses the given memory.
func (o *overlay) compare(memory *[]uint8, start, end, distance int) []uint8 {
	n := end - start
	differs := freelist.Resize(*memory, (n+63)/64*8)
	*memory = differs
	clear(differs)
	bits := differs[:(n+7)/8]
	if start < distance {
		for i := range bits {
			bits[i] = math.MaxUint8
		}
		bits[len(bits)-1] >>= 8*len(bits) - n
		return differs
	}
	for _, l := range o.images {
		kernels.DiffMask(bits, l.Pix[start:end], l.Pix[start-distance:end-distance])
	}
	return differs
}

// assignRun assigns cells to those pixels of a run that are not in the cell of the pixel above.
func (o *overlay) assignRun(start int, above, left []uint8) bool {
	for at := 0; at < len(above); at += 8 {
		unknown := binary.LittleEndian.Uint64(above[at:]) & binary.LittleEndian.Uint64(left[at:])
		for ; unknown != 0; unknown &= unknown - 1 {
			i := start + 8*at + bits.TrailingZeros64(unknown)
			cell := o.find(i)
			if cell < 0 {
				return false
			}
			o.cellOf[i] = int32(cell)
		}
	}
	for at := 0; at < len(above); at += 8 {
		sameAsLeft := binary.LittleEndian.Uint64(above[at:]) &^ binary.LittleEndian.Uint64(left[at:])
		for ; sameAsLeft != 0; sameAsLeft &= sameAsLeft - 1 {
			// Never pixel 0: it has none to the left and is always unknown.
			i := start + 8*at + bits.TrailingZeros64(sameAsLeft)
			o.cellOf[i] = o.cellOf[i-1]
		}
	}
	return true
}

// find returns the cell of pixel i, which it adds if there is none yet; −1 if there are
// too many.
func (o *overlay) find(i int) int {
	h := uint64(0)
	for _, l := range o.images {
		h = (h ^ uint64(l.Pix[i])) * 0x9e3779b97f4a7c15
		h ^= h >> 32
	}
	mask := len(o.table) - 1
	for at := int(h) & mask; ; at = (at + 1) & mask {
		cell := int(o.table[at]) - 1
		if cell < 0 {
			if o.n == o.limit {
				return -1
			}
			for _, l := range o.images {
				o.labels = append(o.labels, l.Pix[i])
			}
			o.n++
			o.table[at] = int32(o.n)
			return o.n - 1
		}
		labels := o.labels[cell*len(o.images):]
		same := true
		for j, l := range o.images {
			same = same && labels[j] == l.Pix[i]
		}
		if same {
			return cell
		}
	}
}

// summing counts the pixels of the cells and adds up the counts of each region's cells.
type summing struct {
	*overlay
	img *BinnedImage
	dst []*Regions
}

func (s summing) task(ctx context.Context, task int) error {
	counts := s.counts.Get()
	defer s.counts.Put(counts)
	bins := planeBins
	if task == 0 {
		bins = rowBins(s.img.planes, ColorBins)
	}
	*counts = freelist.Resize(*counts, s.n*bins)
	clear(*counts)
	if err := s.img.count(ctx, countTable{*counts, bins}, task, s.cellOf); err != nil {
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
			to := s.dst[j].countTable(task)
			kernels.AddCounts(to.counts[int(label)*to.stride:][:bins], from)
		}
	}
	return nil
}
