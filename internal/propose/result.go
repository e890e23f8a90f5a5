package propose

import (
	"context"
	"slices"
	"time"

	"github.com/proposer/proposer/box"
	"github.com/proposer/proposer/candidate"
	"github.com/proposer/proposer/hierarchy"
	"github.com/proposer/proposer/internal/imageio"
	"github.com/proposer/proposer/mask"
	"github.com/proposer/proposer/selective"
)

// Result is the proposals of an image.
type Result struct {
	// Width and Height are the size of the original image, in pixels: upright, unless the options
	// ignore its orientation.
	Width, Height int
	Format        string // as in imageio.Header
	Orientation   int    // EXIF 1..8 as in the file; 1 if there is none
	// Warning says that the image is searched although detail may be lost; empty if none is.
	Warning string
	// Boxes are in pixels of the original, best first. Scores[i] is the score of Boxes[i].
	Boxes  []box.Box
	Scores []float32
	// DecodeTime and SearchTime are wall times.
	DecodeTime, SearchTime time.Duration
	// Stages are the times of the parts of the search, summed over its threads.
	Stages selective.Stages

	// Strategies, Origins and Kinds are set, and Masks and Tree can be used, if
	// Options.Search.KeepRegions is set. Origins[i] are the tree nodes of Boxes[i], and Kinds[i] says
	// how it is made of them. Their sizes are in pixels of the searched image, which may have been
	// resized.
	Strategies []selective.Strategy
	Origins    [][]candidate.Origin
	Kinds      []candidate.Kind

	regions *selective.Regions
}

// Tree is the merge tree of one strategy.
type Tree struct {
	// Strategy is the index of the tree's strategy.
	Strategy int
	// Width and Height are the size of the searched image, in pixels: the original, possibly resized.
	Width, Height int
	// Nodes are those of the hierarchy.Tree, with their boxes in pixels of the original image. In an
	// enlarged image they can be empty.
	Nodes []hierarchy.Node
	// Labels run-length encodes the leaf of each pixel of the searched image, in raster order:
	// alternately a leaf and the number of consecutive pixels in it. Runs continue across rows.
	Labels []int32
}

// Leaves returns the number of initial regions.
func (t *Tree) Leaves() int { return (&hierarchy.Tree{Nodes: t.Nodes}).Leaves() }

// Masks returns a mask for each box, in pixels of the original image: that of the region of its first
// origin, of both regions of its first pair if it is a union, or of all its origins if it is joined. In a
// shrunken image each pixel stands for the box that it is rescaled to, so that the bounding box of a
// mask is always its box. In an enlarged image pixels can vanish, so that the bounding box can be
// smaller. Masks panics if the regions were not kept.
//
// If the encoded masks exceed limit bytes in all, the error is an *imageio.LimitError. If a sample of
// many masks shows that they will exceed it by far, its Got is an estimate. A mask takes one or two
// bytes for each time that a column of the image enters or leaves the region. Other errors are the
// context's.
func (r *Result) Masks(ctx context.Context, limit int64) ([]mask.RLE, error) {
	regions := r.keptRegions()
	n := len(r.Boxes)
	if n >= 4*sampledMasks {
		size := 0.
		for i := range sampledMasks {
			m, err := r.mask(ctx, regions, i*(n/sampledMasks))
			if err != nil {
				return nil, err
			}
			size += float64(len(m.String()))
		}
		if size *= float64(n) / sampledMasks; size > 2*float64(limit) {
			return nil, &imageio.LimitError{What: "bytes of masks", Got: int64(size), Max: limit}
		}
	}
	masks := make([]mask.RLE, 0, n)
	size := int64(0)
	for i := range n {
		m, err := r.mask(ctx, regions, i)
		if err != nil {
			return nil, err
		}
		if size += int64(len(m.String())); size > limit {
			return nil, &imageio.LimitError{What: "bytes of masks", Got: size, Max: limit}
		}
		masks = append(masks, m)
	}
	return masks, nil
}

// sampledMasks is the number of masks whose size is that of the others, more or less.
const sampledMasks = 256

// mask returns the mask of a box.
func (r *Result) mask(ctx context.Context, regions *selective.Regions, i int) (mask.RLE, error) {
	m, err := maskOf(ctx, regions, r.Origins[i][:r.Kinds[i].Parts(len(r.Origins[i]))])
	if err != nil {
		return mask.RLE{}, err
	}
	return m.Rescale(r.Width, r.Height), nil
}

// maskOf returns the pixels of all nodes, which are in the order of their strategies.
func maskOf(ctx context.Context, regions *selective.Regions, origins []candidate.Origin) (mask.RLE, error) {
	var all mask.RLE
	for first := true; len(origins) > 0; first = false {
		strategy := origins[0].Strategy
		var nodes []int
		for ; len(origins) > 0 && origins[0].Strategy == strategy; origins = origins[1:] {
			nodes = append(nodes, regions.Trees[strategy].At(int(origins[0].Position)))
		}
		m, err := regions.Mask(ctx, int(strategy), nodes...)
		if err != nil {
			return mask.RLE{}, err
		}
		if first {
			all = m
		} else {
			all = all.Union(m)
		}
	}
	return all, nil
}

// Tree returns the merge tree of the strategy with the given index. It panics if there is no such
// strategy or the regions were not kept. The only error is the context's.
func (r *Result) Tree(ctx context.Context, strategy int) (*Tree, error) {
	regions := r.keptRegions()
	pix, err := regions.Pixels(ctx, strategy)
	if err != nil {
		return nil, err
	}
	t := &Tree{
		Strategy: strategy, Width: regions.Width, Height: regions.Height,
		Nodes:  slices.Clone(regions.Trees[strategy].Nodes),
		Labels: runLengths(pix),
	}
	for i := range t.Nodes {
		b := &t.Nodes[i].Box
		*b = b.Rescale(regions.Width, regions.Height, r.Width, r.Height)
	}
	return t, ctx.Err()
}

// Labels returns, for each pixel of the original image in raster order, the leaf of the tree of the
// strategy with the given index. In a resized image it is that of the pixel between whose rescaled
// edges the center lies; if the image was enlarged, leaves can be without pixels. Labels panics if
// there is no such strategy or the regions were not kept. The only error is the context's.
func (r *Result) Labels(ctx context.Context, strategy int) ([]int32, error) {
	regions := r.keptRegions()
	pix, err := regions.Pixels(ctx, strategy)
	if err != nil || regions.Width == r.Width && regions.Height == r.Height {
		return pix, err
	}
	return resizeLabels(ctx, pix, regions.Width, regions.Height, r.Width, r.Height)
}

// resizeLabels returns the labels of the pixels of an original image of another size: each is that of
// the pixel between whose rescaled edges its center lies.
func resizeLabels(ctx context.Context, pix []int32, width, height, originalWidth, originalHeight int) ([]int32, error) {
	// The last searched pixel whose first edge is before the center of an original one.
	searched := func(v, from, to int) int { return int(((2*int64(v)+1)*int64(to) - 1) / (2 * int64(from))) }
	columns := make([]int, originalWidth)
	for x := range columns {
		columns[x] = searched(x, originalWidth, width)
	}
	labels := make([]int32, 0, originalWidth*originalHeight)
	for y := range originalHeight {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		row := pix[searched(y, originalHeight, height)*width:]
		for _, x := range columns {
			labels = append(labels, row[x])
		}
	}
	return labels, nil
}

// runLengths returns alternately a value and the number of its consecutive occurrences.
func runLengths(values []int32) (runs []int32) {
	for start := 0; start < len(values); {
		end := start + 1
		for end < len(values) && values[end] == values[start] {
			end++
		}
		runs = append(runs, values[start], int32(end-start))
		start = end
	}
	return runs
}

func (r *Result) keptRegions() *selective.Regions {
	if r.regions == nil {
		panic("propose: the search did not keep its regions")
	}
	return r.regions
}
