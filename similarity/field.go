package similarity

import (
	"context"
	"math"

	"github.com/proposer/proposer/raster"
)

// The shape of the descriptors.
const (
	ColourBins   = 25 // of a plane
	TextureBins  = 10 // of a plane and orientation
	Orientations = 8  // 45° apart
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
	codeBits     = 5
	codeMask     = 1<<codeBits - 1
)

// Field is a picture with every sample binned. It is safe for concurrent use.
type Field struct {
	width, height, planes int
	// codes has, plane by plane, a word for each pixel: in the lowest five bits the
	// colour bin, then for each of the four responses its place among the 20 bins of the
	// two orientations that share it.
	codes []uint32
}

// NewField bins a picture in any colour space, reusing the memory of dst if that
// is not nil. Memory is 4 bytes a sample; the only errors are the context's.
func NewField(ctx context.Context, dst *Field, img *raster.Image) (*Field, error) {
	if dst == nil {
		dst = new(Field)
	}
	f := dst
	f.width, f.height, f.planes = img.Width, img.Height, img.Space.Planes()
	if n := len(img.Pix); cap(f.codes) < n {
		f.codes = make([]uint32, n)
	} else {
		f.codes = f.codes[:n]
	}
	for p := range f.planes {
		pix, codes := img.Plane(p), f.plane(p)
		err := raster.Gradients(ctx, img, p, textureSigma, func(y int, gx, gy []float32) {
			encode(codes[y*f.width:(y+1)*f.width], pix[y*f.width:(y+1)*f.width], gx, gy)
		})
		if err != nil {
			return nil, err
		}
	}
	return f, nil
}

func (f *Field) plane(p int) []uint32 {
	n := f.width * f.height
	return f.codes[p*n : (p+1)*n]
}

// colourBin maps a sample to its bin.
var colourBin = func() (t [256]uint32) {
	for v := range t {
		t[v] = uint32(v * ColourBins / 256)
	}
	return t
}()

// responseBin maps a response, in bins and limited to ±(TextureBins−1), to its
// place: 0 for a response that neither orientation tells from none, 1..9 for
// the bins of the positive part, 11..19 for those of the negative.
var responseBin = func() (t [2*TextureBins - 1]uint32) {
	for i := 1; i < TextureBins; i++ {
		t[TextureBins-1+i] = uint32(i)
		t[TextureBins-1-i] = uint32(TextureBins + i)
	}
	return t
}()

func encode(codes []uint32, pix []uint8, gx, gy []float32) {
	const scale = TextureBins / TextureRange
	const diagonal = scale * math.Sqrt2 / 2
	pix, gx, gy = pix[:len(codes)], gx[:len(codes)], gy[:len(codes)]
	for x := range codes {
		u, v := gx[x], gy[x]
		codes[x] = colourBin[pix[x]] |
			place(u*scale)<<codeBits |
			place((u+v)*diagonal)<<(2*codeBits) |
			place(v*scale)<<(3*codeBits) |
			place((v-u)*diagonal)<<(4*codeBits)
	}
}

func place(response float32) uint32 {
	const last = TextureBins - 1
	return responseBin[max(-last, min(last, int32(response)))+last]
}

// count adds plane p of the field to the regions' histograms. Of the texture
// bins the lowest are left to complete.
func (r *Regions) count(ctx context.Context, f *Field, p int, labels []int32) error {
	codes := f.plane(p)
	labels = labels[:len(codes)]
	colourAt, textureAt := p*ColourBins, p*responses*responseBins
	for start := 0; start < len(codes); start += pollEvery {
		if err := ctx.Err(); err != nil {
			return err
		}
		stop := min(start+pollEvery, len(codes))
		for i := start; i < stop; {
			label := labels[i]
			colour := r.colour.row(label)[colourAt : colourAt+ColourBins]
			texture := (*[responses * responseBins]uint32)(r.texture.row(label)[textureAt:])
			for ; i < stop && labels[i] == label; i++ {
				c := codes[i]
				colour[c&codeMask]++
				texture[c>>codeBits&codeMask]++
				texture[responseBins+c>>(2*codeBits)&codeMask]++
				texture[2*responseBins+c>>(3*codeBits)&codeMask]++
				texture[3*responseBins+c>>(4*codeBits)]++
			}
		}
	}
	return nil
}

const pollEvery = 1 << 16

// complete fills the lowest bin of every orientation of row i: each pixel that is in none of the others.
func (h *histograms) complete(i, size int32) {
	row := h.row(i)
	for ; len(row) > 0; row = row[TextureBins:] {
		higher := uint32(0)
		for _, c := range row[1:TextureBins] {
			higher += c
		}
		row[0] = uint32(size) - higher
	}
}
