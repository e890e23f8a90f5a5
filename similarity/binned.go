package similarity

import (
	"context"
	"math"
	"slices"

	"github.com/proposer/proposer/internal/freelist"
	"github.com/proposer/proposer/internal/kernels"
	"github.com/proposer/proposer/internal/parallel"
	"github.com/proposer/proposer/raster"
)

// The shape of the descriptors.
const (
	ColorBins    = 25 // per plane
	TextureBins  = 10 // per plane and orientation
	Orientations = 8  // 45° apart
)

// The kernels are written for these numbers of bins.
var (
	_ [0]struct{} = [ColorBins - kernels.QuantizeLevels]struct{}{}
	_ [0]struct{} = [TextureBins - kernels.GradientLevels]struct{}{}
)

// TextureRange is the response at which the last texture bin ends, in gray levels
// per pixel: 255/√(2π), the response to an edge between black and white.
//
// Most responses are far smaller and share the lowest bin. A narrower range spreads
// them over the bins but finds fewer objects, because the histograms then tell
// regions apart by their noise.
const TextureRange = 101.7317

const (
	textureSigma = 1
	// Opposite orientations share a response: one has its positive part, the other its
	// negative part.
	responses    = Orientations / 2
	responseBins = 2 * TextureBins
	bandRows     = 32
)

// BinnedImage is an image whose samples are assigned to the bins of the color and
// texture histograms. Its zero value is ready for [BinnedImage.Build]. Once built, it is
// safe for concurrent use.
type BinnedImage struct {
	width, height, planes int

	colors []uint16 // by pixel, as written by kernels.Quantize1 and kernels.Quantize3
	bands  []band

	// Reusable memory.
	workspaces freelist.List[bandWorkspace]
	overlays   freelist.List[overlay]
}

// band holds the texture lists of some consecutive rows, by plane.
type band struct {
	top, bottom int
	textures    [3]textureList
}

// textureList lists the samples of a plane that lie above the lowest bin in at least one
// orientation, in the format of kernels.ListGradients. Rows are split into chunks of
// kernels.MaxGradients pixels.
type textureList struct {
	entries []uint32
	ends    []int // of the chunks, in entries
}

// chunk returns the entries of chunk i.
func (l *textureList) chunk(i int) []uint32 {
	start := 0
	if i > 0 {
		start = l.ends[i-1]
	}
	return l.entries[start:l.ends[i]]
}

// appendRow appends the chunks of a row with the derivatives gx and gy.
func (l *textureList) appendRow(gx, gy []float32) {
	// A derivative times scale is a response in bins; along a diagonal, the cosine is a factor.
	const scale = TextureBins / TextureRange
	const diagonal = scale * math.Sqrt2 / 2
	for len(gx) > 0 {
		n := min(len(gx), kernels.MaxGradients)
		end, room := len(l.entries), n+kernels.GradientPadding
		l.entries = slices.Grow(l.entries, room)
		end += kernels.ListGradients(l.entries[end:end+room], gx[:n], gy[:n], scale, diagonal)
		l.entries = l.entries[:end]
		l.ends = append(l.ends, end)
		gx, gy = gx[n:], gy[n:]
	}
}

// Build bins an image of any color space. It reuses the memory of b. Its tasks are
// passed to run, which calls f(0) to f(n−1), in any order and possibly concurrently, and
// returns their error, if any; nil is sequential.
//
// Memory is 2 bytes per pixel and 4 for each sample whose texture is not entirely in the
// lowest bins, about one in ten in photographs. The only errors are those of the context.
func (b *BinnedImage) Build(ctx context.Context, img *raster.Image, run parallel.Runner) error {
	b.width, b.height, b.planes = img.Width, img.Height, img.Space.Planes()
	b.colors = freelist.Resize(b.colors, b.width*b.height)
	n := (b.height + bandRows - 1) / bandRows
	b.bands = freelist.Extend(b.bands, n)
	return forEach(ctx, run, n, binning{b, img}, binning.band)
}

// binning is a BinnedImage under construction.
type binning struct {
	*BinnedImage
	img *raster.Image
}

// bandWorkspace is the memory for binning a band.
type bandWorkspace struct {
	differentiator raster.Differentiator
	gx, gy         []float32
}

// band bins the rows of band i.
func (b binning) band(ctx context.Context, i int) error {
	w := b.workspaces.Get()
	defer b.workspaces.Put(w)
	w.gx = freelist.Resize(w.gx, b.width)
	w.gy = freelist.Resize(w.gy, b.width)
	w.differentiator.Reset(b.img, textureSigma)

	band := &b.bands[i]
	band.top, band.bottom = i*bandRows, min((i+1)*bandRows, b.height)
	b.binColors(band.top*b.width, band.bottom*b.width)
	for p := range b.planes {
		list := &band.textures[p]
		list.entries, list.ends = list.entries[:0], list.ends[:0]
		for y := band.top; y < band.bottom; y++ {
			if err := ctx.Err(); err != nil {
				return err
			}
			w.differentiator.Row(w.gx, w.gy, p, y)
			list.appendRow(w.gx, w.gy)
		}
	}
	return nil
}

// binColors bins the colors of the pixels start to end−1.
func (b binning) binColors(start, end int) {
	dst := b.colors[start:end]
	if b.planes == 1 {
		kernels.Quantize1(dst, b.img.Plane(0)[start:end])
	} else {
		kernels.Quantize3(dst, b.img.Plane(0)[start:end], b.img.Plane(1)[start:end], b.img.Plane(2)[start:end])
	}
}

// forEach calls work(t, ctx, i) for i from 0 to n−1. Unlike run.Run with a closure it does
// not allocate when run is nil.
func forEach[T any](
	ctx context.Context, run parallel.Runner, n int, t T, work func(t T, ctx context.Context, i int) error,
) error {
	if run == nil {
		for i := range n {
			if err := work(t, ctx, i); err != nil {
				return err
			}
		}
		return nil
	}
	return run(n, func(i int) error { return work(t, ctx, i) })
}
