// Package propose goes from the bytes of a picture file to ranked boxes in the
// pixels of that picture. The command line and the service both run it, so they
// answer alike.
//
//	opts, err := propose.ParseOptions(map[string]string{"mode": "quality", "max": "1000"})
//	...
//	result, err := propose.Run(ctx, data, opts)
package propose

import (
	"cmp"
	"context"
	"io"
	"math"
	"slices"
	"time"

	"github.com/proposer/proposer/box"
	"github.com/proposer/proposer/candidate"
	"github.com/proposer/proposer/hierarchy"
	"github.com/proposer/proposer/internal/imageio"
	"github.com/proposer/proposer/mask"
	"github.com/proposer/proposer/selective"
)

// Result is what was found in a picture.
type Result struct {
	// Width and Height are those of the original, in pixels: upright, unless the
	// options ignore its orientation.
	Width, Height int
	Format        string // as imageio names it
	Orientation   int    // EXIF 1..8 as the file has it
	// Boxes are ranked, best first, in the original's pixels; Scores go with them.
	Boxes  []box.Box
	Scores []float32
	// Decode and Search are wall times.
	DecodeTime, SearchTime time.Duration
	// Stages divide the work of Search; summed over its threads.
	Stages selective.Stages

	// Strategies and Origins are there if Options.Search.KeepRegions is set, and with them Masks
	// and Tree. Origins are by box, as selective.Proposal has them: their sizes are in the
	// searched picture's pixels, which max-side may have shrunk.
	Strategies []selective.Strategy
	Origins    [][]candidate.Origin

	regions *selective.Regions
}

// Tree is the merge tree of one strategy.
type Tree struct {
	// Strategy is the index of the tree's strategy.
	Strategy int
	// Width and Height are the size of the searched image, in pixels: the original, possibly shrunk.
	Width, Height int
	// Nodes are those of the hierarchy.Tree, with their boxes in pixels of the original image.
	Nodes []hierarchy.Node
	// Labels run-length encodes the leaf of each pixel of the searched image, in raster order:
	// alternately a leaf and the number of consecutive pixels in it. Runs continue across rows.
	Labels []int32
}

// Leaves returns the number of initial regions.
func (t *Tree) Leaves() int { return (&hierarchy.Tree{Nodes: t.Nodes}).Leaves() }

// Masks are by box, in the original's pixels: of the region that the box is of, the one of
// its first origin. In a shrunken picture each of its pixels stands for the box that the
// boxes' own scaling makes of it, so a mask's box is the box in any case. It panics if
// nothing was kept.
//
// A mask takes a byte or two for each time that a column of the picture enters or leaves the
// region. If all of them take more than limit bytes the error is an *imageio.LimitError; the
// others are the context's.
func (r *Result) Masks(ctx context.Context, limit int64) ([]mask.RLE, error) {
	k := r.keptRegions()
	masks := make([]mask.RLE, 0, len(r.Boxes))
	size := int64(0)
	for _, origins := range r.Origins {
		first := origins[0]
		m, err := k.Mask(ctx, int(first.Strategy), k.Trees[first.Strategy].At(int(first.Position)))
		if err != nil {
			return nil, err
		}
		m = m.Rescale(r.Width, r.Height)
		if size += int64(len(m.String())); size > limit {
			return nil, &imageio.LimitError{What: "bytes of masks", Got: size, Max: limit}
		}
		masks = append(masks, m)
	}
	return masks, nil
}

// Tree is that of a strategy, by its index, with the boxes in the original's pixels. It
// panics if nothing was kept, or there is no such strategy. The only error is the context's.
func (r *Result) Tree(ctx context.Context, strategy int) (*Tree, error) {
	k := r.keptRegions()
	pix, err := k.Pixels(ctx, strategy)
	if err != nil {
		return nil, err
	}
	t := &Tree{
		Strategy: strategy, Width: k.Width, Height: k.Height,
		Nodes: slices.Clone(k.Trees[strategy].Nodes),
	}
	for i := range t.Nodes {
		b := &t.Nodes[i].Box
		*b = b.Rescale(k.Width, k.Height, r.Width, r.Height)
	}
	for start := 0; start < len(pix); {
		end := start + 1
		for end < len(pix) && pix[end] == pix[start] {
			end++
		}
		t.Labels = append(t.Labels, pix[start], int32(end-start))
		start = end
	}
	return t, ctx.Err()
}

func (r *Result) keptRegions() *selective.Regions {
	if r.regions == nil {
		panic("propose: the search was not told to keep its regions")
	}
	return r.regions
}

// Run decodes a picture and searches it. Errors are those of imageio.Decode, of
// selective.Search, and of the context, as they came.
func Run(ctx context.Context, data []byte, opts Options) (*Result, error) {
	start := time.Now()
	picture, err := imageio.Decode(ctx, data, opts.Decode)
	if err != nil {
		return nil, err
	}
	r := &Result{
		Width: picture.Width, Height: picture.Height,
		Format: picture.Format, Orientation: picture.Orientation,
		DecodeTime: time.Since(start),
	}

	search := opts.Search
	filter := search.MinSide > 0 && (picture.Image.Width != picture.Width || picture.Image.Height != picture.Height)
	if filter {
		// A box of the shrunken picture may gain or lose a pixel where its edges are
		// rounded: search with a bound that loses none, decide in the original.
		search.MinSide = min(minShrunkSide(search.MinSide, picture.Image.Width, picture.Width),
			minShrunkSide(search.MinSide, picture.Image.Height, picture.Height))
		search.Max = 0
	}
	start = time.Now()
	found, err := selective.Search(ctx, picture.Image, search)
	if err != nil {
		return nil, err
	}
	r.SearchTime = time.Since(start)
	r.Stages = found.Stages
	r.Boxes = make([]box.Box, 0, len(found.Proposals))
	r.Scores = make([]float32, 0, len(found.Proposals))
	if search.KeepRegions {
		r.Strategies, r.Origins, r.regions = search.Strategies, make([][]candidate.Origin, 0, len(found.Proposals)), found.Regions
	}
	for _, p := range found.Proposals {
		b := picture.ToOriginal(p.Box)
		if filter && min(int(b.Width()), int(b.Height())) < opts.Search.MinSide {
			continue
		}
		if opts.Search.Max > 0 && len(r.Boxes) == opts.Search.Max {
			break
		}
		r.Boxes = append(r.Boxes, b)
		r.Scores = append(r.Scores, p.Score)
		if search.KeepRegions {
			r.Origins = append(r.Origins, p.Origins)
		}
	}
	return r, nil
}

// pixelsPerRegion is how many pixels take as much memory as a first region and what is grouped
// of it: 7 KiB.
const pixelsPerRegion = 80

// WorkPixels is what [Run] may take for a picture, in pixels of some 80 bytes: its own, and 80 for
// each first region that it may make at worst, which a small min-size lets be as many as its
// pixels.
func (o *Options) WorkPixels(h imageio.Header) int64 {
	pixels := int64(h.Width) * int64(h.Height)
	searched := pixels
	if longest, most := max(h.Width, h.Height), o.Decode.LongestSide; most > 0 && most < longest {
		scale := float64(most) / float64(longest)
		searched = int64(float64(pixels) * scale * scale)
	}
	least := math.MaxInt
	for _, s := range o.Search.Strategies {
		least = min(least, max(s.EffectiveMinSize(), 1))
	}
	regions := min(searched/int64(least), int64(cmp.Or(o.Search.MaxRegions, selective.DefaultMaxRegions)))
	return pixels + pixelsPerRegion*regions
}

// minShrunkSide is the shortest side in the shrunken picture that may map to side
// pixels of the original: rounding adds less than one.
func minShrunkSide(side, shrunk, original int) int {
	return int(int64(side-1)*int64(shrunk)/int64(original)) + 1
}

// Overlay writes the picture, upright and in its own size, as png or jpeg with
// boxes drawn on it, the first on top. Errors are those of imageio and of w.
func Overlay(ctx context.Context, w io.Writer, data []byte, opts Options, boxes []box.Box, format string) error {
	opts.Decode.LongestSide = 0
	picture, err := imageio.Decode(ctx, data, opts.Decode)
	if err != nil {
		return err
	}
	return imageio.Overlay(w, picture.Image, boxes, format)
}
