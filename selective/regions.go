package selective

import (
	"context"
	"slices"

	"github.com/proposer/proposer/box"
	"github.com/proposer/proposer/hierarchy"
	"github.com/proposer/proposer/mask"
	"github.com/proposer/proposer/raster"
)

// Regions are the merge trees of a search and the pixels of every node. They are immutable, so
// they are safe for concurrent use.
//
// For each color space and scale they take 8 bytes for each change of the initial region down a
// column of the image: photographs have one in 10 pixels, noise one in 6, and no image more
// than one a pixel. Each node takes 44 bytes.
type Regions struct {
	// Width and Height are those of the searched image, in pixels.
	Width, Height int
	// Trees are by strategy.
	Trees []*hierarchy.Tree

	columns []*columns // by strategy; shared by those of one color space and scale
	spans   [][]span   // by strategy and node
}

// columns is a label image, run-length encoded down the columns.
type columns struct {
	// runs are in the order of their pixels. A run ends where the next one starts; a sentinel
	// follows the last.
	runs   []run
	starts []int32 // by column: its first run; and the number of runs
}

// run is a run of pixels with one label. The start is x·height + y.
type run struct{ start, label int32 }

// span is the range of a node's leaves in an order of all leaves in which those of every node
// are contiguous.
type span struct{ first, leaves int32 }

// pollEvery is the number of runs between two checks of the context.
const pollEvery = 1 << 16

// Mask returns the pixels of the union of nodes, of which there is at least one, in the tree of a
// strategy. It takes time linear in the number of nodes and in that of the runs of initial regions
// in the columns of the union's box. The only error is the context's.
func (r *Regions) Mask(ctx context.Context, strategy int, nodes ...int) (mask.RLE, error) {
	c, spans := r.columns[strategy], r.spans[strategy]
	var b box.Box
	for _, node := range nodes {
		b = b.Union(r.Trees[strategy].Nodes[node].Box)
	}
	e := mask.NewEncoder(r.Width, r.Height)
	end := c.starts[b.X1]
	for start := c.starts[b.X0]; start < end; start += pollEvery {
		if err := ctx.Err(); err != nil {
			return mask.RLE{}, err
		}
		runs := c.runs[start : min(start+pollEvery, end)+1]
		for i, run := range runs[:len(runs)-1] {
			leaf := spans[run.label].first
			for _, node := range nodes {
				if s := spans[node]; uint32(leaf-s.first) < uint32(s.leaves) {
					e.Run(int(run.start), int(runs[i+1].start))
					break
				}
			}
		}
	}
	return e.RLE(), nil
}

// Pixels returns, for each pixel of the image in row-major order, the leaf of the tree of a
// strategy that it belongs to. The only error is the context's.
func (r *Regions) Pixels(ctx context.Context, strategy int) ([]int32, error) {
	c := r.columns[strategy]
	pix := make([]int32, r.Width*r.Height)
	for x := range r.Width {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		at := x
		for i := c.starts[x]; i < c.starts[x+1]; i++ {
			for range c.runs[i+1].start - c.runs[i].start {
				pix[at] = c.runs[i].label
				at += r.Width
			}
		}
	}
	return pix, nil
}

// newColumns encodes a label image. The only error is the context's.
func newColumns(ctx context.Context, l *raster.LabelImage) (*columns, error) {
	w, h := l.Width, l.Height
	c := &columns{starts: make([]int32, w+1)}
	counts := c.starts[1:]
	for x := range counts {
		counts[x] = 1
	}
	for y := 1; y < h; y++ {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		above, row := l.Pix[(y-1)*w:y*w], l.Pix[y*w:(y+1)*w]
		for x, label := range row {
			if label != above[x] {
				counts[x]++
			}
		}
	}
	for x := range counts {
		counts[x] += c.starts[x]
	}
	c.runs = make([]run, c.starts[w]+1)
	c.runs[c.starts[w]].start = int32(w * h)
	next := slices.Clone(c.starts[:w])
	for y := range h {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		row := l.Pix[y*w : (y+1)*w]
		for x, label := range row {
			if y == 0 || label != l.Pix[(y-1)*w+x] {
				c.runs[next[x]] = run{int32(x*h + y), label}
				next[x]++
			}
		}
	}
	return c, nil
}

// copyTrees copies the trees, which belong to a workspace.
func (r *Regions) copyTrees(trees []*hierarchy.Tree) {
	for _, t := range trees {
		nodes := slices.Clone(t.Nodes)
		spans := make([]span, len(nodes))
		for i := range nodes {
			if children := nodes[i].Children; children[0] < 0 {
				spans[i].leaves = 1
			} else {
				spans[i].leaves = spans[children[0]].leaves + spans[children[1]].leaves
			}
		}

		for i := len(nodes) - 1; i >= t.Leaves(); i-- { // parents come after their children
			children := nodes[i].Children
			spans[children[0]].first = spans[i].first
			spans[children[1]].first = spans[i].first + spans[children[0]].leaves
		}
		r.Trees = append(r.Trees, &hierarchy.Tree{Nodes: nodes})
		r.spans = append(r.spans, spans)
	}
}
