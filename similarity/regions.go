// Package similarity describes regions by colour, texture, size and place, and
// measures how similar two of them are (Uijlings et al., IJCV 2013, §3.2).
//
// A picture's pixels are binned once by [NewBinnedImage]; [Describe] counts the bins of
// each region of a segmentation; the [Regions] it returns tell how similar two
// regions are, and merge them.
//
// # Descriptors
//
// Colour is a histogram of 25 equal bins over 0..255 for each plane. Texture is,
// for each plane and each of 8 orientations 45° apart, a histogram of 10 bins over
// the response of a Gaussian derivative, σ = 1, half-wave rectified. Bins are
// equal over 0..TextureRange, in every colour space. The derivative is steerable
// and opposite orientations are the two signs of one response, so two filters serve
// all eight.
//
// A region keeps its counts, and counts add: the descriptor of merged regions is,
// to the bit, the descriptor of all their pixels. For the measures each histogram
// of counts is L1-normalised in 16-bit fixed point. The paper merges normalised
// histograms by their mean weighted by size, which is the same but for rounding.
package similarity

import (
	"context"
	"fmt"

	"github.com/proposer/proposer/box"
	"github.com/proposer/proposer/internal/freelist"
	"github.com/proposer/proposer/internal/parallel"
)

// Regions is a set of regions with their descriptors, each in a slot, to be merged
// one by one under some weights. It is a hierarchy.Measure.
// It is not safe for concurrent use; [Regions.WithWeights] makes independent copies.
type Regions struct {
	weights         Weights
	pixels          float64 // of the picture
	sizes           []int32
	boxes           []box.Box
	merged          []bool // by slot
	colour, texture histograms
}

// Describe counts the descriptors of the regions 0..len(sizes)−1 that labels
// gives the pixels of the field. Region i, of sizes[i] pixels in boxes[i], comes
// into slot i; one without a pixel has nothing in common with any. All measures
// have weight 1. It reuses the memory of dst if that is not nil, which ends all
// copies that were made of dst. Run, which may be nil, shares out the work.
//
// Time is linear in the pixels; memory is 6 bytes a bin and region, 320 bins with
// three planes and 112 with one. The only errors are the context's.
func Describe(ctx context.Context, dst *Regions, f *BinnedImage, labels, sizes []int32, boxes []box.Box, run parallel.Runner) (*Regions, error) {
	if dst == nil {
		dst = new(Regions)
	}
	dst.reset(f, &Segmentation{labels, sizes, boxes})
	if err := share(ctx, run, f.pieces(), counting{f, dst, labels}, counting.piece); err != nil {
		return nil, err
	}
	return dst, dst.finish(ctx, run)
}

// counting counts the pixels of regions.
type counting struct {
	*BinnedImage
	regions *Regions
	labels  []int32
}

func (c counting) piece(ctx context.Context, i int) error {
	return c.count(ctx, c.regions.piece(i), i, c.labels)
}

// piece are the counts of a piece of counting.
func (r *Regions) piece(i int) rows {
	if i == 0 {
		return rows{r.colour.counts, r.colour.bins}
	}
	return rows{r.texture.counts[(i-1)*planeBins:], r.texture.bins}
}

// reset makes a set of the regions of a segmentation, with no pixel counted yet.
func (r *Regions) reset(f *BinnedImage, s *Segmentation) {
	n := len(s.Sizes)
	if len(s.Labels) != f.width*f.height || n != len(s.Boxes) {
		panic(fmt.Sprintf("similarity: Describe: %d labels for %d×%d pixels, %d sizes with %d boxes",
			len(s.Labels), f.width, f.height, n, len(s.Boxes)))
	}
	r.weights = Weights{1, 1, 1, 1}
	r.pixels = float64(len(s.Labels))
	r.sizes = append(r.sizes[:0], s.Sizes...)
	r.boxes = append(r.boxes[:0], s.Boxes...)
	r.merged = freelist.Resize(r.merged, n)
	clear(r.merged)
	r.colour.describe(f.planes, ColorBins, n)
	r.texture.describe(f.planes*Orientations, TextureBins, n)
}

const finishRegions = 256

// finish completes and normalises the descriptors when all pixels are counted.
func (r *Regions) finish(ctx context.Context, run parallel.Runner) error {
	n := (len(r.sizes) + finishRegions - 1) / finishRegions
	return share(ctx, run, n, r, (*Regions).finishSome)
}

func (r *Regions) finishSome(ctx context.Context, part int) error {
	from := part * finishRegions
	for i := from; i < min(from+finishRegions, len(r.sizes)); i++ {
		complete(r.texture.described(int32(i)), r.sizes[i])
		r.colour.normalise(int32(i), r.sizes[i])
		r.texture.normalise(int32(i), r.sizes[i])
	}
	return ctx.Err()
}

// WithWeights is a copy of the set to be merged under other weights, independent of it and
// of other copies. Descriptors whose weight is 0 are left out. It reuses the memory of
// dst, another set that is of use no more, if that is not nil.
//
// Memory is 2 bytes a bin and region, and 4 more for each that is merged: the counts
// of the others are those of r, which may be merged, but not described anew, as long
// as its copies are of use.
func (r *Regions) WithWeights(dst *Regions, w Weights) *Regions {
	if err := w.Validate(); err != nil {
		panic("similarity: Under: " + err.Error())
	}
	switch {
	case dst == r:
		panic("similarity: Under: a set cannot be its own copy")
	case w.Color != 0 && r.weights.Color == 0, w.Texture != 0 && r.weights.Texture == 0:
		panic("similarity: Under: weights of descriptors that are left out")
	}
	if dst == nil {
		dst = new(Regions)
	}
	c := dst
	c.weights, c.pixels = w, r.pixels
	c.sizes = append(c.sizes[:0], r.sizes...)
	c.boxes = append(c.boxes[:0], r.boxes...)
	c.merged = append(c.merged[:0], r.merged...)
	for _, h := range []struct {
		weight   float64
		to, from *histograms
	}{{w.Color, &c.colour, &r.colour}, {w.Texture, &c.texture, &r.texture}} {
		if h.weight != 0 {
			h.to.copy(h.from, r.merged)
		} else {
			h.to.leaveOut()
		}
	}
	return c
}

// Color is the colour similarity of slots a and b in [0,1]: the intersection
// Σ min(c_a, c_b) of their colour histograms.
func (r *Regions) Color(a, b int32) float64 { return r.colour.intersection(a, b) }

// Texture is the texture similarity of slots a and b in [0,1]: the intersection
// Σ min(t_a, t_b) of their texture histograms.
func (r *Regions) Texture(a, b int32) float64 { return r.texture.intersection(a, b) }

// Size is 1 − (|a|+|b|)/|picture| in [0,1]: small regions merge early.
func (r *Regions) Size(a, b int32) float64 {
	return 1 - float64(int64(r.sizes[a])+int64(r.sizes[b]))/r.pixels
}

// Fill is 1 − (|BB|−|a|−|b|)/|picture| in [0,1], BB being the box around both:
// regions that fit into each other merge early.
func (r *Regions) Fill(a, b int32) float64 {
	gap := r.boxes[a].Union(r.boxes[b]).Area() - int64(r.sizes[a]) - int64(r.sizes[b])
	return 1 - float64(gap)/r.pixels
}

// Similarities writes to dst, which is as long as others, the weighted sum
// a1·Colour + a2·Texture + a3·Size + a4·Fill of slot a with each of others.
func (r *Regions) Similarities(dst []float32, a int32, others []int32) {
	w := r.weights
	var colours, textures [64]uint32
	for len(others) > 0 {
		n := min(len(others), len(colours))
		if w.Color != 0 {
			r.colour.intersections(colours[:n], a, others[:n])
		}
		if w.Texture != 0 {
			r.texture.intersections(textures[:n], a, others[:n])
		}
		for i, b := range others[:n] {
			// Each product is rounded by its conversion: no architecture may fuse it with the sum.
			s := 0.0
			if w.Color != 0 {
				s += float64(w.Color * r.colour.share(colours[i]))
			}
			if w.Texture != 0 {
				s += float64(w.Texture * r.texture.share(textures[i]))
			}
			if w.Size != 0 {
				s += float64(w.Size * r.Size(a, b))
			}
			if w.Fill != 0 {
				s += float64(w.Fill * r.Fill(a, b))
			}
			dst[i] = float32(s)
		}
		dst, others = dst[n:], others[n:]
	}
}

// Merge makes slot a the union of slots a and b; slot b is not of use thereafter.
func (r *Regions) Merge(a, b int32) {
	r.sizes[a] += r.sizes[b]
	r.boxes[a] = r.boxes[a].Union(r.boxes[b])
	if r.weights.Color != 0 {
		r.colour.merge(a, b, r.merged, r.sizes[a])
	}
	if r.weights.Texture != 0 {
		r.texture.merge(a, b, r.merged, r.sizes[a])
	}
	r.merged[a] = true
}
