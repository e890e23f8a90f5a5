package overlap

import (
	"slices"

	"github.com/proposer/proposer/box"
	"github.com/proposer/proposer/internal/kernels"
	"github.com/proposer/proposer/internal/spatial"
)

// index finds the boxes of a list that overlap a box. It is safe for concurrent use.
//
// IoU(b,c) ≥ β implies that in width and height the overlap is at least β of the larger side. So
// sides differ by at most the factor β, and centers by at most max(1−β, (1/β−1)/2) sides. Boxes are
// ordered by height, in half octaves, and by the position of the center, in steps of that height: a
// few runs of this order hold all candidates, which a kernel compares eight at a time.
type index struct {
	boxes  kernels.Boxes
	starts []int32 // by cell: where its boxes begin
	levels []level // by size bin of the height
}

// level is the grid of the boxes of about one height.
type level struct {
	first int           // its first cell
	x, y  spatial.Slots // of the doubled centers
}

// A cell is as high as the boxes of its level and a quarter as wide, since the cells of a row are
// read in one run. These bound the number of cells.
const (
	maxRows    = 32
	maxColumns = 128
)

// newIndex returns the index of boxes. Empty boxes are never found. It takes time and memory linear
// in the number of boxes.
func newIndex(boxes []box.Box) *index {
	e := spatial.NewExtent()
	for _, b := range boxes {
		if !b.Empty() {
			e.Add(b.X0, b.Y0, b.X1, b.Y1)
		}
	}
	x := &index{levels: make([]level, spatial.SizeBin(e.Height)+1)}
	cells := 0
	for h := range x.levels {
		pitch := 2 * spatial.MinSide(h)
		l := level{
			first: cells,
			x:     spatial.NewSlots(e.Left, e.Right, pitch/4, maxColumns),
			y:     spatial.NewSlots(e.Top, e.Bottom, pitch, maxRows),
		}
		x.levels[h] = l
		cells += l.x.N * l.y.N
	}

	// A counting sort by cell. While boxes are placed, starts[c+1] is where the next box of cell c goes.
	x.starts = make([]int32, cells+2)
	for _, b := range boxes {
		if !b.Empty() {
			x.starts[x.cell(b)+2]++
		}
	}
	for i := 1; i < len(x.starts); i++ {
		x.starts[i] += x.starts[i-1]
	}
	n := int(x.starts[len(x.starts)-1])
	for _, side := range []*[]int32{&x.boxes.X0, &x.boxes.Y0, &x.boxes.X1, &x.boxes.Y1, &x.boxes.IDs} {
		*side = make([]int32, n+kernels.BoxPadding)
	}
	x.boxes.Areas = make([]float32, n+kernels.BoxPadding)
	for i, b := range boxes {
		if b.Empty() {
			continue
		}
		next := &x.starts[x.cell(b)+1]
		at := *next
		x.boxes.X0[at], x.boxes.Y0[at], x.boxes.X1[at], x.boxes.Y1[at] = b.X0, b.Y0, b.X1, b.Y1
		x.boxes.IDs[at], x.boxes.Areas[at] = int32(i), float32(b.Area())
		*next++
	}
	return x
}

// ids returns the ids of the boxes in the order of the index.
func (x *index) ids() []int32 { return x.boxes.IDs[:len(x.boxes.IDs)-kernels.BoxPadding] }

// cell returns the cell of a box that is not empty.
func (x *index) cell(b box.Box) int {
	l := &x.levels[spatial.SizeBin(spatial.Length(b.Y0, b.Y1))]
	row := l.y.At(spatial.DoubleCenter(b.Y0, b.Y1))
	return l.first + row*l.x.N + l.x.At(spatial.DoubleCenter(b.X0, b.X1))
}

// matches are the boxes that a search found: their ids, and their IoUs to float32 precision.
type matches struct {
	ids  []int32
	ious []float32

	runs [][2]int32 // scratch: the runs of boxes to compare
}

// search overwrites dst with the boxes whose IoU with b is at least minIoU, of those at the index's
// position first and above. minIoU is in (0,1]. The order depends on the indexed boxes alone.
func (x *index) search(dst *matches, b box.Box, minIoU float64, first int32) {
	dst.ids, dst.ious, dst.runs = dst.ids[:0], dst.ious[:0], dst.runs[:0]
	if b.Empty() {
		return
	}
	beta := minIoU * (1 - 1e-6) // covers rounding errors
	reach := 2 * max(1-beta, (1/beta-1)/2)
	w, h := spatial.Length(b.X0, b.X1), spatial.Length(b.Y0, b.Y1)
	cx, cy := spatial.DoubleCenter(b.X0, b.X1), spatial.DoubleCenter(b.Y0, b.Y1)

	size := kernels.BoxPadding
	for k, last := spatial.SizeBin(h*beta), min(spatial.SizeBin(h/beta), len(x.levels)-1); k <= last; k++ {
		l := &x.levels[k]
		if x.starts[l.first+l.x.N*l.y.N] <= first {
			continue
		}
		x0, x1 := l.x.At(cx-reach*w-1), l.x.At(cx+reach*w+1)
		for y, last := l.y.At(cy-reach*h-1), l.y.At(cy+reach*h+1); y <= last; y++ {
			row := l.first + y*l.x.N
			if from, to := max(x.starts[row+x0], first), x.starts[row+x1+1]; from < to {
				dst.runs = append(dst.runs, [2]int32{from, to})
				size += int(to - from)
			}
		}
	}

	dst.ids, dst.ious = slices.Grow(dst.ids, size)[:size], slices.Grow(dst.ious, size)[:size]
	corners := [4]int32{b.X0, b.Y0, b.X1, b.Y1}
	n := kernels.Overlaps(dst.ids, dst.ious, &x.boxes, dst.runs, &corners, float32(b.Area()), float32(minIoU))
	dst.ids, dst.ious = dst.ids[:n], dst.ious[:n]
}
