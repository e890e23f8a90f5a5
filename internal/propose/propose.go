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
	"math"
	"time"

	"github.com/proposer/proposer/box"
	"github.com/proposer/proposer/candidate"
	"github.com/proposer/proposer/internal/imageio"
	"github.com/proposer/proposer/selective"
)

// Run decodes an image and searches it. Errors are those of imageio.Decode and selective.Search.
func Run(ctx context.Context, data []byte, opts Options) (*Result, error) {
	start := time.Now()
	decoded, err := imageio.Decode(ctx, data, opts.Decode)
	if err != nil {
		return nil, err
	}
	decodeTime := time.Since(start)

	search := opts.Search
	// Boxes of a shrunken image can gain or lose a pixel where their edges are rounded. If there is
	// a minimum side, search with one that no box of the result is below, and filter afterwards.
	shrunk := decoded.Image.Width != decoded.Width || decoded.Image.Height != decoded.Height
	filter := shrunk && search.MinSide > 0
	if filter {
		search.MinSide = min(minShrunkSide(search.MinSide, decoded.Image.Width, decoded.Width),
			minShrunkSide(search.MinSide, decoded.Image.Height, decoded.Height))
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
	if search.KeepRegions {
		r.Strategies = search.Strategies
		r.Origins = make([][]candidate.Origin, 0, n)
		r.regions = found.Regions
	}
	for _, p := range found.Proposals {
		b := decoded.ToOriginal(p.Box)
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

// minShrunkSide returns the shortest side in the shrunken image that can map to side pixels of the
// original: rounding adds less than one.
func minShrunkSide(side, shrunk, original int) int {
	return int(int64(side-1)*int64(shrunk)/int64(original)) + 1
}

// pixelsPerRegion is the number of pixels that take as much memory as an initial region and its
// part of the merge tree: 7 KiB.
const pixelsPerRegion = 80

// WorkPixels returns a bound of the memory that [Run] uses for an image, in pixels of about 80
// bytes: the image's pixels, and 80 for each initial region that it can have. With a small min-size
// there can be as many regions as pixels.
func (o *Options) WorkPixels(h imageio.Header) int64 {
	pixels := int64(h.Width) * int64(h.Height)
	searched := pixels
	longest := max(h.Width, h.Height)
	if limit := o.Decode.LongestSide; limit > 0 && limit < longest {
		scale := float64(limit) / float64(longest)
		searched = int64(float64(pixels) * scale * scale)
	}
	minSize := math.MaxInt
	for _, s := range o.Search.Strategies {
		minSize = min(minSize, max(s.EffectiveMinSize(), 1))
	}
	maxRegions := int64(cmp.Or(o.Search.MaxRegions, selective.DefaultMaxRegions))
	return pixels + pixelsPerRegion*min(searched/int64(minSize), maxRegions)
}

// Overlay writes the image, upright and in its original size, with boxes drawn on it, the first on
// top. The format is png or jpeg. Errors are those of imageio and of w.
func Overlay(ctx context.Context, w io.Writer, data []byte, opts Options, boxes []box.Box, format string) error {
	opts.Decode.LongestSide = 0
	decoded, err := imageio.Decode(ctx, data, opts.Decode)
	if err != nil {
		return err
	}
	return imageio.Overlay(w, decoded.Image, boxes, format)
}
