// Package propose searches an encoded image: from the bytes of a file to ranked boxes in its pixels.
// The command line and the service both use it, so that they give the same results.
//
//	opts, err := propose.ParseOptions(map[string]string{"mode": "quality", "max": "1000"})
//	...
//	result, err := propose.Run(ctx, data, opts)
package propose

import (
	"cmp"
	"context"
	"io"
	"time"

	"github.com/proposer/proposer/box"
	"github.com/proposer/proposer/candidate"
	"github.com/proposer/proposer/internal/imageio"
	"github.com/proposer/proposer/raster"
	"github.com/proposer/proposer/selective"
)

// Run decodes an image and searches it. Errors are those of imageio.Decode and selective.Search.
func Run(ctx context.Context, data []byte, opts Options) (*Result, error) {
	return decodeAndSearch(ctx, opts, func() (*imageio.Decoded, error) { return imageio.Decode(ctx, data, opts.Decode) })
}

// RunImage searches an image in RGB or Gray. The result is that of [Run] for a file with these pixels,
// but has no format. Errors are those of imageio.Resize and selective.Search.
func RunImage(ctx context.Context, img *raster.Image, opts Options) (*Result, error) {
	return decodeAndSearch(ctx, opts, func() (*imageio.Decoded, error) { return imageio.Resize(ctx, img, opts.Decode) })
}

func decodeAndSearch(ctx context.Context, opts Options, decode func() (*imageio.Decoded, error)) (*Result, error) {
	start := time.Now()
	decoded, err := decode()
	if err != nil {
		return nil, err
	}
	decodeTime := time.Since(start)

	search := opts.SearchOptions(decoded)
	// Different boxes of an enlarged image can be equal in the original. The best one is kept.
	var seen map[box.Box]bool
	if decoded.Enlarged() {
		seen = map[box.Box]bool{}
		search.Max = 0
	}
	start = time.Now()
	found, err := selective.Search(ctx, decoded.Image, search)
	if err != nil {
		return nil, err
	}

	n := len(found.Proposals)
	r := &Result{
		Width: decoded.Width, Height: decoded.Height,
		Format: decoded.Format, Orientation: decoded.Orientation,
		DecodeTime: decodeTime, SearchTime: time.Since(start), Stages: found.Stages,
		Boxes: make([]box.Box, 0, n), Scores: make([]float32, 0, n),
	}
	if decoded.LowRange != nil {
		r.Warning = decoded.LowRange.String()
	}
	if search.KeepRegions {
		r.Strategies = search.Strategies
		r.Origins = make([][]candidate.Origin, 0, n)
		r.Kinds = make([]candidate.Kind, 0, n)
		r.regions = found.Regions
	}
	for _, p := range found.Proposals {
		b := decoded.ToOriginal(p.Box)
		if seen != nil {
			if seen[b] {
				continue
			}
			seen[b] = true
		}
		if opts.Search.Max > 0 && len(r.Boxes) == opts.Search.Max {
			break
		}
		r.Boxes = append(r.Boxes, b)
		r.Scores = append(r.Scores, p.Score)
		if search.KeepRegions {
			r.Origins = append(r.Origins, p.Origins)
			r.Kinds = append(r.Kinds, p.Kind)
		}
	}
	return r, nil
}

// SearchOptions returns the options to search a decoded image with. They drop the boxes that Filter
// drops in the original, and those that are less than half a pixel there.
func (o *Options) SearchOptions(decoded *imageio.Decoded) selective.Options {
	search, filter := o.Search, o.Filter
	if filter == (box.Filter{}) && !decoded.Enlarged() {
		return search
	}
	search.Keep = func(b box.Box) bool {
		b = decoded.ToOriginal(b)
		return !b.Empty() && filter.Keep(b, decoded.Width, decoded.Height)
	}
	return search
}

// BytesPerWorkPixel is the memory of each of the pixels that WorkPixels returns, in bytes.
const BytesPerWorkPixel = 80

// pixelsPerRegion is the number of pixels that take as much memory as an initial region with its
// description: 2 KiB.
const pixelsPerRegion = 30

// pixelsPerLeaf is the same for an initial region's part of the merge tree of one strategy and of its
// candidates: 700 bytes.
const pixelsPerLeaf = 8

// pixelsPerUnion is the same for a union, with the pairs of regions that it is chosen from and its
// overlaps, or for a joined candidate: 4 KiB.
const pixelsPerUnion = 50

// WorkPixels returns a bound of the memory that [Run] uses for an image, in pixels of
// [BytesPerWorkPixel]: the pixels of the image, as it is or resized, 30 for each initial region that it can have, 8 for
// each that all strategies together can have, and 50 for each union and joined box that is asked for. With
// a small min-size there can be as many regions as pixels. The error is a *imageio.LimitError if the image
// would become too large.
func (o *Options) WorkPixels(h imageio.Header) (int64, error) {
	width, height, err := o.Decode.Size(h)
	if err != nil {
		return 0, err
	}
	searched := int64(width) * int64(height)
	pixels := max(int64(h.Width)*int64(h.Height), searched)
	maxRegions := int64(cmp.Or(o.Search.MaxRegions, selective.DefaultMaxRegions))
	var regions, total int64
	for _, s := range o.Search.Strategies {
		n := min(searched/int64(max(s.EffectiveMinSize(), 1)), maxRegions)
		regions = max(regions, n)
		total += n
	}
	if limit := int64(o.Search.MaxTotalRegions); limit > 0 {
		total = min(total, limit)
	}
	work := pixels + pixelsPerRegion*regions + pixelsPerLeaf*total
	if o.Search.Order == selective.OrderObjectness {
		work += pixelsPerUnion * int64(o.Search.Unions+o.Search.Joins)
	}
	return work, nil
}

// Overlay writes the image, upright and in its original size, with boxes drawn on it, the first on
// top. The format is png or jpeg. Errors are those of imageio and of w.
func Overlay(ctx context.Context, w io.Writer, data []byte, opts Options, boxes []box.Box, format string) error {
	opts.Decode.LongestSide, opts.Decode.Width = 0, 0
	decoded, err := imageio.Decode(ctx, data, opts.Decode)
	if err != nil {
		return err
	}
	return imageio.Overlay(w, decoded.Image, boxes, format)
}
