// Package similarity describes regions by color, texture, size and position, and
// measures how similar two of them are (Uijlings et al., IJCV 2013, §3.2).
//
// [BinnedImage.Build] assigns the pixels of an image to histogram bins.
// [BinnedImage.Describe] counts the bins of each region of one or more segmentations of the
// image. The resulting [Regions] compare regions and merge them; they implement
// hierarchy.Measure.
//
// # Descriptors
//
// The color descriptor is a histogram of 25 equal bins over 0..255 for each plane. The
// texture descriptor is, for each plane and each of 8 orientations 45° apart, a histogram
// of 10 equal bins over 0..[TextureRange] of the response to a Gaussian derivative, σ = 1,
// half-wave rectified. The range is the same in every color space. As the derivative is
// steerable and opposite orientations are the two signs of one response, two filters
// suffice for all eight.
//
// A region keeps its counts. As counts add up, the descriptor of a merged region equals,
// to the bit, the descriptor of all its pixels. For the measures, each histogram of counts
// is L1-normalized in 16-bit fixed point. The paper merges normalized histograms by their
// size-weighted mean, which is the same but for rounding.
package similarity

import (
	"context"
	"fmt"

	"github.com/proposer/proposer/box"
	"github.com/proposer/proposer/internal/freelist"
	"github.com/proposer/proposer/internal/parallel"
	"github.com/proposer/proposer/raster"
)

// Regions is a set of regions with their descriptors, each in a slot. Its zero value is
// empty; [BinnedImage.Describe] fills it. Regions are merged one pair at a time; their
// similarity is the sum of the four measures under the set's weights.
//
// Regions is not safe for concurrent use; [Regions.WithWeights] makes independent copies.
type Regions struct {
	weights        Weights
	pixels         float64 // of the image
	sizes          []int32
	boxes          []box.Box
	merged         []bool // by slot
	color, texture histograms
}

// Describe computes the descriptors of the regions of one or more segmentations of the
// image. Set dst[i] becomes that of labels[i]: region r comes into slot r, and all
// measures have weight 1. A region without pixels has similarity 0 in color and texture to
// any other. Describe reuses the memory of the sets; their copies must no longer be used.
// The tasks are passed to run as in [BinnedImage.Build].
//
// The results are the same as those of separate calls, but several segmentations in one
// call take less time, as each pixel is counted once for all of them unless the
// segmentations are very fine.
//
// Time is linear in the pixels. Memory is 6 bytes per bin and region, with 320 bins for
// three planes and 112 for one, and 4 bytes per pixel for several segmentations. Describe
// panics if the sizes of the label images are not that of the image. The only errors are
// those of the context.
func (b *BinnedImage) Describe(ctx context.Context, dst []*Regions, labels []*raster.LabelImage, run parallel.Runner) error {
	if len(dst) != len(labels) {
		panic(fmt.Sprintf("similarity: Describe: %d sets of regions for %d label images", len(dst), len(labels)))
	}
	for i, r := range dst {
		r.reset(b, labels[i])
	}
	o := b.overlays.Get()
	defer b.overlays.Put(o)
	overlaid, err := o.build(ctx, labels)
	if err != nil {
		return err
	}
	if overlaid {
		if err := forEach(ctx, run, b.countTasks(), summing{o, b, dst}, summing.task); err != nil {
			return err
		}
	}
	for i, r := range dst {
		if !overlaid {
			if err := forEach(ctx, run, b.countTasks(), counting{b, r, labels[i].Pix}, counting.task); err != nil {
				return err
			}
		}
		if err := r.finish(ctx, run); err != nil {
			return err
		}
	}
	return nil
}

// counting counts the pixels of the regions of one label image.
type counting struct {
	img     *BinnedImage
	regions *Regions
	labels  []int32
}

func (c counting) task(ctx context.Context, task int) error {
	return c.img.count(ctx, c.regions.countTable(task), task, c.labels)
}

// countTable returns the counters of a counting task.
func (r *Regions) countTable(task int) countTable {
	if task == 0 {
		return countTable{r.color.counts, r.color.bins}
	}
	return countTable{r.texture.counts[(task-1)*planeBins:], r.texture.bins}
}

// reset makes r the set of the regions of a label image, with no pixel counted yet.
func (r *Regions) reset(img *BinnedImage, l *raster.LabelImage) {
	n := l.Regions()
	if l.Width != img.width || l.Height != img.height || len(l.Pix) != img.width*img.height || n != len(l.Boxes) {
		panic(fmt.Sprintf("similarity: Describe: %d×%d label image of %d labels, %d sizes, %d boxes: want the image's %d×%d",
			l.Width, l.Height, len(l.Pix), n, len(l.Boxes), img.width, img.height))
	}
	r.weights = Weights{1, 1, 1, 1}
	r.pixels = float64(len(l.Pix))
	r.sizes = append(r.sizes[:0], l.Sizes...)
	r.boxes = append(r.boxes[:0], l.Boxes...)
	r.merged = freelist.Resize(r.merged, n)
	clear(r.merged)
	r.color.reset(img.planes, ColorBins, n)
	r.texture.reset(img.planes*Orientations, TextureBins, n)
}

const finishRegions = 256 // per task

// finish completes and normalizes the descriptors after all pixels have been counted.
func (r *Regions) finish(ctx context.Context, run parallel.Runner) error {
	n := (len(r.sizes) + finishRegions - 1) / finishRegions
	return forEach(ctx, run, n, r, (*Regions).finishTask)
}

func (r *Regions) finishTask(ctx context.Context, task int) error {
	start := task * finishRegions
	for i := start; i < min(start+finishRegions, len(r.sizes)); i++ {
		fillLowestBins(r.texture.described(int32(i)), r.sizes[i])
		r.color.normalize(int32(i), r.sizes[i])
		r.texture.normalize(int32(i), r.sizes[i])
	}
	return ctx.Err()
}

// WithWeights returns a copy of the set with other weights. The copy is independent of r
// and of other copies. It has no descriptors of weight 0, and no copy of it can have them.
// WithWeights reuses the memory of dst, a set that is no longer used, if that is not nil.
// It panics if the weights are invalid or need a descriptor that r does not have.
//
// Memory is 2 bytes per bin and region, and 4 more for each region that is merged. The
// other counts are shared with r, which may be merged but must not be described again
// while its copies are in use.
func (r *Regions) WithWeights(dst *Regions, w Weights) *Regions {
	if err := w.Validate(); err != nil {
		panic("similarity: WithWeights: " + err.Error())
	}
	switch {
	case dst == r:
		panic("similarity: WithWeights: a set cannot be its own copy")
	case w.Color != 0 && r.weights.Color == 0, w.Texture != 0 && r.weights.Texture == 0:
		panic("similarity: WithWeights: a descriptor is missing, its weight was 0")
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
	}{{w.Color, &c.color, &r.color}, {w.Texture, &c.texture, &r.texture}} {
		if h.weight != 0 {
			h.to.copyFrom(h.from, r.merged)
		} else {
			h.to.disable()
		}
	}
	return c
}

// Color returns the color similarity of slots a and b in [0,1]: the intersection
// Σ min(c_a, c_b) of their color histograms.
func (r *Regions) Color(a, b int32) float64 { return r.color.intersection(a, b) }

// Texture returns the texture similarity of slots a and b in [0,1]: the intersection
// Σ min(t_a, t_b) of their texture histograms.
func (r *Regions) Texture(a, b int32) float64 { return r.texture.intersection(a, b) }

// Size returns 1 − (|a|+|b|)/|image| in [0,1]: small regions merge early.
func (r *Regions) Size(a, b int32) float64 {
	return 1 - float64(int64(r.sizes[a])+int64(r.sizes[b]))/r.pixels
}

// Fill returns 1 − (|BB|−|a|−|b|)/|image| in [0,1], where BB is the bounding box of both:
// regions that fit into each other merge early.
func (r *Regions) Fill(a, b int32) float64 {
	gap := r.boxes[a].Union(r.boxes[b]).Area() - int64(r.sizes[a]) - int64(r.sizes[b])
	return 1 - float64(gap)/r.pixels
}

// Similarities writes to dst the weighted sum a1·Color + a2·Texture + a3·Size + a4·Fill of
// slot a with each of others. dst has the length of others.
func (r *Regions) Similarities(dst []float32, a int32, others []int32) {
	w := r.weights
	var colors, textures [64]uint32
	for len(others) > 0 {
		n := min(len(others), len(colors))
		if w.Color != 0 {
			r.color.intersections(colors[:n], a, others[:n])
		}
		if w.Texture != 0 {
			r.texture.intersections(textures[:n], a, others[:n])
		}
		for i, b := range others[:n] {
			// The conversions round each product, so that no architecture fuses it with the sum.
			s := 0.0
			if w.Color != 0 {
				s += float64(w.Color * r.color.fraction(colors[i]))
			}
			if w.Texture != 0 {
				s += float64(w.Texture * r.texture.fraction(textures[i]))
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

// Merge makes slot a the union of slots a and b. Slot b must not be used afterwards.
func (r *Regions) Merge(a, b int32) {
	r.sizes[a] += r.sizes[b]
	r.boxes[a] = r.boxes[a].Union(r.boxes[b])
	if r.weights.Color != 0 {
		r.color.merge(a, b, r.merged, r.sizes[a])
	}
	if r.weights.Texture != 0 {
		r.texture.merge(a, b, r.merged, r.sizes[a])
	}
	r.merged[a] = true
}
