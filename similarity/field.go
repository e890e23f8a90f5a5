package similarity

import (
	"context"
	"math"

	"github.com/proposer/proposer/internal/shelf"
	"github.com/proposer/proposer/internal/simd"
	"github.com/proposer/proposer/raster"
)

// The shape of the descriptors.
const (
	ColourBins   = simd.ColourBins  // of a plane
	TextureBins  = simd.TextureBins // of a plane and orientation
	Orientations = 8                // 45° apart
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
	codeBits     = simd.CodeBits
	codeMask     = 1<<codeBits - 1
)

// Field is a picture with every sample binned. It is safe for concurrent use.
type Field struct {
	width, height, planes int
	// codes has, plane by plane, a word for each pixel: in the lowest five bits the
	// colour bin, then for each of the four responses its place among the 20 bins of the
	// two orientations that share it.
	codes []uint32

	filter raster.Differentiator // kept for reuse, as the rows are
	gx, gy []float32
}

// NewField bins a picture in any colour space, reusing the memory of dst if that
// is not nil. Memory is 4 bytes a sample; the only errors are the context's.
func NewField(ctx context.Context, dst *Field, img *raster.Image) (*Field, error) {
	// A response in bins is a derivative times scale; along a diagonal, times its cosine.
	const scale = TextureBins / TextureRange
	const diagonal = scale * math.Sqrt2 / 2
	if dst == nil {
		dst = new(Field)
	}
	f := dst
	f.width, f.height, f.planes = img.Width, img.Height, img.Space.Planes()
	f.codes = shelf.Resize(f.codes, len(img.Pix))
	f.gx, f.gy = shelf.Resize(f.gx, f.width), shelf.Resize(f.gy, f.width)
	f.filter.Reset(img, textureSigma)
	for p := range f.planes {
		pix, codes := img.Plane(p), f.plane(p)
		for y := range f.height {
			if err := ctx.Err(); err != nil {
				return nil, err
			}
			f.filter.Row(f.gx, f.gy, p, y)
			from, to := y*f.width, (y+1)*f.width
			simd.Encode(codes[from:to], pix[from:to], f.gx, f.gy, scale, diagonal)
		}
	}
	return f, nil
}

func (f *Field) plane(p int) []uint32 {
	n := f.width * f.height
	return f.codes[p*n : (p+1)*n]
}

// count adds the field to the regions' histograms.
func (r *Regions) count(ctx context.Context, f *Field, labels []int32) error {
	for start := 0; start < len(labels); start += pollEvery {
		if err := ctx.Err(); err != nil {
			return err
		}
		stop := min(start+pollEvery, len(labels))
		for i := start; i < stop; {
			first, label := i, labels[i]
			for i++; i < stop && labels[i] == label; i++ {
			}
			f.count(r.colour.described(label), r.texture.described(label), first, i)
		}
	}
	return nil
}

// count adds the pixels from first to end to rows of counts. Of the texture bins the
// lowest are left to complete.
func (f *Field) count(colours, textures []uint32, first, end int) {
	for p := range f.planes {
		colour := (*[ColourBins]uint32)(colours[p*ColourBins:])
		texture := (*[responses * responseBins]uint32)(textures[p*responses*responseBins:])
		for _, c := range f.plane(p)[first:end] {
			colour[c&codeMask]++
			texture[c>>codeBits&codeMask]++
			texture[responseBins+c>>(2*codeBits)&codeMask]++
			texture[2*responseBins+c>>(3*codeBits)&codeMask]++
			texture[3*responseBins+c>>(4*codeBits)]++
		}
	}
}

const pollEvery = 1 << 16

// complete fills the lowest bin of every orientation of row i: each pixel that is in none of the others.
func (h *histograms) complete(i, size int32) {
	row := h.described(i)
	for ; len(row) > 0; row = row[TextureBins:] {
		higher := uint32(0)
		for _, c := range row[1:TextureBins] {
			higher += c
		}
		row[0] = uint32(size) - higher
	}
}
