package propose

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/proposer/proposer/internal/imageio"
	"github.com/proposer/proposer/internal/optparse"
	"github.com/proposer/proposer/internal/parallel"
	"github.com/proposer/proposer/raster"
	"github.com/proposer/proposer/segment"
	"github.com/proposer/proposer/selective"
)

// segmentOptionNames are the names of the options, in the order in which errors about them are
// reported.
var segmentOptionNames = []string{
	"color", "k", "sigma", "min-size", "connectivity",
	"max-side", "resize-width", "orientation", "depth", "threads",
}

// SegmentOptionNames returns the names of the options of [ParseSegmentOptions].
func SegmentOptionNames() []string { return slices.Clone(segmentOptionNames) }

// SegmentOptions are the options of [Segment]. Start with [DefaultSegmentOptions] or
// [ParseSegmentOptions].
type SegmentOptions struct {
	// Decode has the limits, and max-side and resize-width as LongestSide and Width.
	Decode imageio.Options
	// Space is the color space in which colors are compared.
	Space raster.Space
	// K is the scale, in (0, segment.MaxK]: the larger, the larger are the regions.
	K float64
	// Sigma is the smoothing in pixels, in [0, selective.MaxSigma].
	Sigma float64
	// MinSize is the smallest size of a region in pixels of the segmented image; 0 stands for K.
	MinSize int
	// Connectivity is that of the pixel grid.
	Connectivity segment.Connectivity
	// Threads is the maximum number of goroutines; 0 means GOMAXPROCS.
	Threads int
}

// DefaultSegmentOptions returns the options that [ParseSegmentOptions] returns for no values.
func DefaultSegmentOptions() SegmentOptions {
	return SegmentOptions{Space: raster.RGB, K: 100, Sigma: 0.8, Connectivity: segment.Eight}
}

// ParseSegmentOptions parses options. Command line flags and query parameters have these names:
//
//	color     the color space; RGB
//	k         scale of the segmentation in (0,1e6]; 100
//	sigma     smoothing in pixels; 0.8
//	min-size  minimum size of a region in pixels; 0: k; 0
//	connectivity  neighbors of a pixel, 4 or 8; 8
//	max-side, resize-width, orientation, depth, threads  as those of [ParseOptions]
//
// The error is as that of [ParseOptions].
func ParseSegmentOptions(values map[string]string) (SegmentOptions, error) {
	return ReadSegmentOptions(optparse.New(values, segmentOptionNames))
}

// ReadSegmentOptions is [ParseSegmentOptions] for a parser that can have other options as well. The
// error includes the parser's earlier ones.
func ReadSegmentOptions(r *optparse.Parser) (SegmentOptions, error) {
	o := DefaultSegmentOptions()
	optparse.Value(r, "color", "one of "+spaceNames(), raster.ParseSpace, &o.Space)
	optparse.Value(r, "k", wantK, parseK, &o.K)
	optparse.Value(r, "sigma", wantSigma, parseSigma, &o.Sigma)
	r.Int("min-size", 0, maxInt, &o.MinSize)
	optparse.Value(r, "connectivity", "4 or 8", parseConnectivity, &o.Connectivity)
	readDecode(r, &o.Decode)
	r.Int("threads", 0, maxThreads, &o.Threads)
	if err := r.Err(); err != nil {
		return SegmentOptions{}, err
	}
	return o, nil
}

func parseConnectivity(s string) (segment.Connectivity, error) {
	switch s {
	case "4":
		return segment.Four, nil
	case "8":
		return segment.Eight, nil
	}
	return 0, strconv.ErrSyntax
}

// Values returns all options in canonical form. [ParseSegmentOptions] parses them to equal options.
func (o SegmentOptions) Values() map[string]string {
	return map[string]string{
		"color":        o.Space.String(),
		"k":            fmt.Sprint(o.K),
		"sigma":        fmt.Sprint(o.Sigma),
		"min-size":     strconv.Itoa(o.MinSize),
		"connectivity": strconv.Itoa(int(o.Connectivity)),
		"max-side":     strconv.Itoa(o.Decode.LongestSide),
		"resize-width": strconv.Itoa(o.Decode.Width),
		"orientation":  orientationName(o.Decode),
		"depth":        o.Decode.Depth.String(),
		"threads":      strconv.Itoa(o.Threads),
	}
}

// Segmentation is the label image of an image.
type Segmentation struct {
	// Width and Height are the size of the original image, in pixels: upright, unless the options
	// ignore its orientation.
	Width, Height int
	Format        string // as in imageio.Header; empty for an image of pixels
	Orientation   int    // EXIF 1..8 as in the file; 1 if there is none
	// Warning says that the image is segmented although detail may be lost; empty if none is.
	Warning string
	// Labels are the regions of the pixels of the original, in raster order. Regions are numbered
	// from 0 in the order of their first pixels, without gaps.
	Labels []int32
	// Regions is the number of regions.
	Regions int
	// DecodeTime and SegmentTime are wall times.
	DecodeTime, SegmentTime time.Duration
}

// RunLengths run-length encodes the labels: alternately a label and the number of consecutive pixels that
// have it. Runs continue across rows.
func (s *Segmentation) RunLengths() []int32 { return runLengths(s.Labels) }

// Segment decodes an image and segments it. Errors are those of imageio.Decode and the context's.
func Segment(ctx context.Context, data []byte, opts SegmentOptions) (*Segmentation, error) {
	start := time.Now()
	decoded, err := imageio.Decode(ctx, data, opts.Decode)
	if err != nil {
		return nil, err
	}
	return segmentDecoded(ctx, decoded, time.Since(start), opts)
}

// SegmentImage segments an image in RGB or Gray. The orientation and the depth of the options do not
// matter. Errors are those of imageio.Resize and the context's.
func SegmentImage(ctx context.Context, img *raster.Image, opts SegmentOptions) (*Segmentation, error) {
	start := time.Now()
	decoded, err := imageio.Resize(ctx, img, opts.Decode)
	if err != nil {
		return nil, err
	}
	return segmentDecoded(ctx, decoded, time.Since(start), opts)
}

// segmentWorkspace is the memory of a segmentation.
type segmentWorkspace struct {
	image raster.Image
	graph segment.Graph
}

// segmentWorkspaces are those of small images: allocating one again is cheap beside the segmentation
// of a large image.
var segmentWorkspaces = sync.Pool{New: func() any { return new(segmentWorkspace) }}

// maxPooledPixels is the size of the largest images whose workspaces are reused.
const maxPooledPixels = 4 << 20

func segmentDecoded(ctx context.Context, decoded *imageio.Decoded, decodeTime time.Duration, opts SegmentOptions) (*Segmentation, error) {
	start := time.Now()
	s := &Segmentation{
		Width: decoded.Width, Height: decoded.Height,
		Format: decoded.Format, Orientation: decoded.Orientation, DecodeTime: decodeTime,
	}
	if decoded.LowRange != nil {
		s.Warning = decoded.LowRange.String()
	}
	w := segmentWorkspaces.Get().(*segmentWorkspace)
	if _, err := raster.Convert(ctx, &w.image, decoded.Image, opts.Space); err != nil {
		return nil, err
	}
	err := w.graph.Build(ctx, &w.image, segment.Options{
		Sigma: opts.Sigma, Connectivity: opts.Connectivity, MinK: opts.K, SingleScale: true,
		Runner: parallel.NewPool(cmp.Or(opts.Threads, runtime.GOMAXPROCS(0))).Run,
	})
	if err != nil {
		return nil, err
	}
	minSize := selective.Strategy{K: opts.K, MinSize: opts.MinSize}.EffectiveMinSize()
	labels, err := w.graph.Segment(ctx, nil, opts.K, minSize)
	if err != nil {
		return nil, err
	}
	if w.image.Width*w.image.Height <= maxPooledPixels {
		segmentWorkspaces.Put(w)
	}
	s.Labels, s.Regions = labels.Pix, labels.Regions()
	if labels.Width != s.Width || labels.Height != s.Height {
		if s.Labels, err = resizeLabels(ctx, labels.Pix, labels.Width, labels.Height, s.Width, s.Height); err != nil {
			return nil, err
		}
		s.Regions = renumber(s.Labels, s.Regions)
	}
	s.SegmentTime = time.Since(start)
	return s, nil
}

// renumber numbers the regions that have pixels in the order of their first ones, and returns how
// many there are. All labels must be below n.
func renumber(labels []int32, n int) int {
	number := make([]int32, n) // by label; 0 if it has none yet
	count := int32(0)
	for i, label := range labels {
		if number[label] == 0 {
			count++
			number[label] = count
		}
		labels[i] = number[label] - 1
	}
	return int(count)
}

// spaceNames returns the names of the color spaces.
func spaceNames() string { return strings.ReplaceAll(joinValues(raster.Spaces()), ",", ", ") }

// WorkPixels returns a bound of the memory that [Segment] uses for an image, in pixels of
// [BytesPerWorkPixel]: the pixels of the image, as it is or resized, and 3 for each pixel that is segmented, because
// in noise every one can be a region before the small ones are merged. The error is a
// *imageio.LimitError if the image would become too large.
func (o *SegmentOptions) WorkPixels(h imageio.Header) (int64, error) {
	width, height, err := o.Decode.Size(h)
	if err != nil {
		return 0, err
	}
	segmented := int64(width) * int64(height)
	return max(int64(h.Width)*int64(h.Height), segmented) + 3*segmented, nil
}

// SegmentOverlay writes the image, upright and in its original size, with the boundaries of the regions
// drawn on it. The format is png or jpeg. Errors are those of imageio and of w.
func SegmentOverlay(ctx context.Context, w io.Writer, data []byte, opts SegmentOptions, s *Segmentation, format string) error {
	opts.Decode.LongestSide, opts.Decode.Width = 0, 0
	decoded, err := imageio.Decode(ctx, data, opts.Decode)
	if err != nil {
		return err
	}
	return imageio.OverlayBoundaries(ctx, w, decoded.Image, s.Labels, format)
}
