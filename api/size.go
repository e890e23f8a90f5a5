package api

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net/http"
	"strconv"
	"strings"

	"github.com/proposer/proposer/box"
	"github.com/proposer/proposer/internal/codec"
	"github.com/proposer/proposer/internal/imageio"
	"github.com/proposer/proposer/internal/propose"
	"github.com/proposer/proposer/mask"
)

// maxResponseBytes limits the response for one image: with boxes, their evidence, masks and a tree. What
// the header and the options say about its size is checked before the search, the rest before the
// response is encoded.
const maxResponseBytes = 64 << 20

// A responseSizeError reports a response that would be too large.
type responseSizeError struct {
	bytes, limit int64
	field        fieldError // what would be right
}

func (e *responseSizeError) Error() string {
	return fmt.Sprintf("the response would have about %d MB: more than %d MB", (e.bytes+999_999)/1_000_000, e.limit/1_000_000)
}

func (e *responseSizeError) problem() *problem {
	return newProblem(http.StatusRequestEntityTooLarge, "size", e.Error(), e.field)
}

// Sizes of parts of a response, in bytes, as measured for photographs of 0.2 to 12 megapixels in modes
// fast and quality. They are typical rather than maximal, so that what usually works is tried.
const (
	boxBytes      = 34
	evidenceBytes = 110
	maskBytes     = 45  // without its runs
	maxRunBytes   = 700 // the runs of a mask have a byte for each pixel of the image's mean side, up to this
	pixelsPerByte = 0.7
)

// checkSize returns a *responseSizeError if the response for an image would be too large. It estimates
// the size only of what the options leave open: max, and a tree.
func (q *query) checkSize(h imageio.Header) error {
	width, height, err := q.Decode.Size(h)
	if err != nil {
		return err
	}
	searched := float64(width) * float64(height)
	tree := 0.
	if q.tree {
		tree = searched / pixelsPerByte
	}
	perBox := float64(boxBytes)
	if q.evidence {
		perBox += evidenceBytes
	}
	if q.masks {
		perBox += maskBytes + min(math.Sqrt(float64(h.Width)*float64(h.Height)), maxRunBytes)
	}
	boxes := q.typicalBoxes(searched)
	size := tree + boxes*perBox
	if size <= maxResponseBytes {
		return nil
	}
	if tree > maxResponseBytes/2 {
		shrink := math.Sqrt(maxResponseBytes / 2 / tree)
		return &responseSizeError{int64(size), maxResponseBytes, fieldError{
			"tree", "1", fmt.Sprintf("0, or a max-side of at most %d", int(float64(max(width, height))*shrink)),
		}}
	}
	return &responseSizeError{int64(size), maxResponseBytes, wantMax(q.Search.Max, (maxResponseBytes-tree)/perBox)}
}

// wantMax returns the error of an option max that is larger than a maximum.
func wantMax(asked int, maximum float64) fieldError {
	return fieldError{"max", strconv.Itoa(asked), fmt.Sprintf("a whole number from 1 to %d, or a smaller max-side", roundDown(maximum))}
}

// roundDown keeps the first digit of a number, at least 1.
func roundDown(v float64) int {
	scale := math.Pow10(int(math.Log10(max(v, 1))))
	return int(max(math.Floor(v/scale)*scale, 1))
}

// typicalBoxes returns the number of boxes that a search of so many pixels typically returns.
func (q *query) typicalBoxes(pixels float64) float64 {
	o := &q.Search
	if o.MinSide > 0 || o.NMS != (box.NMS{}) || q.Filter != (box.Filter{}) {
		return 0 // may drop any number
	}
	perTree := 0.
	for _, s := range o.Strategies {
		regions := pixels / (4 * max(s.K, float64(s.EffectiveMinSize()), 1))
		perTree += math.Pow(regions, .757) / float64(len(o.Strategies))
	}
	boxes := 10 * math.Pow(float64(len(o.Strategies)), .8) * perTree // trees have boxes in common
	if o.Max > 0 {
		return min(boxes, float64(o.Max))
	}
	return boxes
}

// responseMasks returns the masks of a result. The error is a *responseSizeError or the context's.
func (q *query) responseMasks(ctx context.Context, result *propose.Result) ([]mask.RLE, error) {
	masks, err := result.Masks(ctx, maxResponseBytes)
	if e, ok := errors.AsType[*imageio.LimitError](err); ok {
		return nil, sizeError(q.Search.Max, len(result.Boxes), e.Got)
	}
	return masks, err
}

// sizeError reports a response of n bytes or more with a number of boxes, of which at most max were asked for.
func sizeError(asked, boxes int, n int64) error {
	return &responseSizeError{n, maxResponseBytes, wantMax(asked, float64(boxes)*maxResponseBytes/float64(n))}
}

// reserveResponse reserves the memory for a response before it is encoded.
func (q *query) reserveResponse(ctx context.Context, row *codec.Row) error {
	pixels := int64(row.Width) * int64(row.Height)
	var n int64
	switch q.rep.media {
	case "image/png":
		n = 3 * pixels
	case "image/jpeg":
		n = pixels
	case "application/json", ndjson.media:
		n = codec.JSONSize(row)
	default:
		n = codec.BoxesSize(row)
	}
	if n > maxResponseBytes && !strings.HasPrefix(q.rep.media, "image/") {
		return sizeError(q.Search.Max, len(row.Boxes), n)
	}
	return reserveResponse(ctx, n)
}

// limitBoxes returns an encoder that reserves memory before it encodes the boxes and scores of a search
// with the given option max.
func limitBoxes(maxBoxes int, encode encoder) encoder {
	return func(ctx context.Context, result *propose.Result) ([]byte, error) {
		const perBox = 64
		n := int64(len(result.Boxes)) * perBox
		if n > maxResponseBytes {
			return nil, sizeError(maxBoxes, len(result.Boxes), n)
		}
		if err := reserveResponse(ctx, n); err != nil {
			return nil, err
		}
		return encode(ctx, result)
	}
}

type responseMemoryKey struct{}

// responseMemory is the memory that is reserved for a response that is being encoded.
type responseMemory struct {
	*reservation
	bytes int64
}

// withResponseMemory returns a context for reserveResponse. release releases what that has reserved.
func withResponseMemory(ctx context.Context, r *reservation) (_ context.Context, release func()) {
	m := &responseMemory{reservation: r}
	return context.WithValue(ctx, responseMemoryKey{}, m), func() { m.Release(m.bytes) }
}

// reserveResponse reserves memory for a response of n bytes before it is encoded.
func reserveResponse(ctx context.Context, n int64) error {
	m := ctx.Value(responseMemoryKey{}).(*responseMemory)
	if limit := m.memory.total / 2; n > limit { // it would be refused at any time
		return &responseSizeError{n, limit, fieldError{"response", fmt.Sprintf("%d bytes", n), "a smaller max or max-side, or another format"}}
	}
	if err := m.Reserve(n); err != nil {
		return err
	}
	m.bytes += n
	return nil
}
