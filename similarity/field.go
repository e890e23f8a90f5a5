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
	ColorBins    = kernels.QuantizeLevels // of a plane
	TextureBins  = kernels.GradientLevels // of a plane and orientation
	Orientations = 8                      // 45° apart
)

// TextureRange is the response at which the last texture bin ends, in grey levels
// a pixel: 255/√(2π), which an edge between black and white just reaches.
//
// Most responses are far smaller and share the lowest bin. Narrower ranges spread
// them over the bins, but find fewer objects: the histograms then tell apart
// regions by their noise.
const TextureRange = 101.7317

const (
	textureSigma = 1
	// Opposite orientations share a response, of which one keeps the positive part
	// and the other the negative part.
	responses    = Orientations / 2
	responseBins = 2 * TextureBins
	bandRows     = 32
)

// BinnedImage is a picture with every sample binned. It is safe for concurrent use.
type BinnedImage struct {
	width, height, planes int

	colours []uint16 // by pixel, as simd.Bins3 has them
	bands   []band
	binners freelist.List[binner]
}

// band has the textures of some rows of a field, by plane.
type band struct {
	top, bottom int
	textures    [3]textures
}

// textures list the samples of a plane that are above the lowest bin in an orientation,
// as simd.Textures does. The rows are cut into parts of as many pixels as that takes.
type textures struct {
	list []uint32
	ends []int // in the list, of the parts
}

// part are the samples of a part of a row.
func (t *textures) part(i int) []uint32 {
	from := 0
	if i > 0 {
		from = t.ends[i-1]
	}
	return t.list[from:t.ends[i]]
}

// NewBinnedImage bins a picture in any colour space, reusing the memory of dst if that is not
// nil. Run, which may be nil, shares out the work. Memory is 2 bytes a pixel and 4 for
// each sample whose texture is not all in the lowest bins, which is one in ten or so of
// a photograph's; the only errors are the context's.
func NewBinnedImage(ctx context.Context, dst *BinnedImage, img *raster.Image, run parallel.Runner) (*BinnedImage, error) {
	if dst == nil {
		dst = new(BinnedImage)
	}
	f := dst
	f.width, f.height, f.planes = img.Width, img.Height, img.Space.Planes()
	f.colours = freelist.Resize(f.colours, f.width*f.height)
	n := (f.height + bandRows - 1) / bandRows
	f.bands = freelist.Extend(f.bands, n)
	return f, share(ctx, run, n, binning{f, img}, binning.band)
}

// binning is a field that is being made.
type binning struct {
	*BinnedImage
	img *raster.Image
}

// binner differentiates rows.
type binner struct {
	filter raster.Differentiator
	gx, gy []float32
}

// band bins a band.
func (b binning) band(ctx context.Context, i int) error {
	t := b.binners.Get()
	defer b.binners.Put(t)
	t.gx, t.gy = freelist.Resize(t.gx, b.width), freelist.Resize(t.gy, b.width)
	t.filter.Reset(b.img, textureSigma)
	band := &b.bands[i]
	band.top, band.bottom = i*bandRows, min((i+1)*bandRows, b.height)
	b.colour(band.top*b.width, band.bottom*b.width)
	for p := range b.planes {
		list := &band.textures[p]
		list.list, list.ends = list.list[:0], list.ends[:0]
		for y := band.top; y < band.bottom; y++ {
			if err := ctx.Err(); err != nil {
				return err
			}
			t.filter.Row(t.gx, t.gy, p, y)
			list.add(t.gx, t.gy)
		}
	}
	return nil
}

// colour bins the colours of the pixels from first to end.
func (b binning) colour(first, end int) {
	dst := b.colours[first:end]
	if b.planes == 1 {
		kernels.Quantize1(dst, b.img.Plane(0)[first:end])
	} else {
		kernels.Quantize3(dst, b.img.Plane(0)[first:end], b.img.Plane(1)[first:end], b.img.Plane(2)[first:end])
	}
}

// add lists the samples of a row with these derivatives.
func (t *textures) add(gx, gy []float32) {
	// A response in bins is a derivative times scale; along a diagonal, times its cosine.
	const scale = TextureBins / TextureRange
	const diagonal = scale * math.Sqrt2 / 2
	for len(gx) > 0 {
		n := min(len(gx), kernels.MaxGradients)
		from, room := len(t.list), n+kernels.GradientPadding
		t.list = slices.Grow(t.list, room)
		from += kernels.ListGradients(t.list[from:from+room], gx[:n], gy[:n], scale, diagonal)
		t.list, t.ends = t.list[:from], append(t.ends, from)
		gx, gy = gx[n:], gy[n:]
	}
}
