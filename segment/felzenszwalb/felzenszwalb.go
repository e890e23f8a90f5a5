// Package felzenszwalb computes the segmentation of scikit-image's
// skimage.segmentation.felzenszwalb, with equal labels, in a fraction of its time.
//
// Package segment is the one that a search uses: it segments at several scales, and rounds
// weights to make that fast. This package rounds nothing: samples, the smoothed image and
// weights are float64, and every operation is the one that scikit-image 0.19 performs, in
// the same order. Two things are left to chance there, and are defined here:
//
//   - Edges of equal weight are taken in the order in which scikit-image lists them. It sorts
//     them with NumPy's unstable sort, whose order depends on NumPy's version and on the
//     processor. Weights of 0 join in any order, so only other equal weights matter.
//   - The weights of the Gaussian are NumPy's only if they are given, as NumPy's exponential
//     function differs from others in the last bit. See [Options.Kernel].
//
// # Algorithm
//
// The steps are those of package segment: the pixels of each tile are joined, in the order
// of their edges' weights, for as long as no edge that is undecided touches a component; then
// the components of all tiles are joined.
//
// Edges are sorted and compared by keys, the weights rounded down to float32. That is exact:
// scikit-image rounds the largest weight that a component accepts to float32, and a number is
// less than a float32 if and only if it is so when rounded down. Of equal keys, the weights are
// compared.
package felzenszwalb

import (
	"context"
	"fmt"
	"math"

	"github.com/proposer/proposer/internal/freelist"
)

// The limits of the package.
const (
	MaxPixels = 1 << 28
	MaxSigma  = 1000
)

// Image is an image with any number of channels.
type Image struct {
	Width, Height, Channels int
	// Row writes the samples of a channel of row y to dst, whose length is the width. Each row
	// is read once or twice, except that a kernel of more rows than the image reads some again.
	Row func(dst []float64, channel, y int)
}

// Options are the options of a segmentation, with the names of scikit-image.
type Options struct {
	// Scale is k, for samples from 0 to 255: scikit-image divides it by 255, and so does this
	// package. Scales that are not positive join nothing.
	Scale float64
	// Sigma is the standard deviation of the Gaussian that first smooths the image, from 0 to
	// MaxSigma.
	Sigma float64
	// MinSize is the smallest size of a region, in pixels.
	MinSize int
	// Kernel, if not nil, has the weights of the Gaussian in place of Sigma: that of the center,
	// and those at distances 1, 2 and so on.
	Kernel []float64

	// The two options below, and a Kernel, make the segmentation that of OpenCV's ximgproc, whose
	// float32 samples and weights differ in the last bits.

	// Four says that only the four nearest pixels are neighbors, in place of eight.
	Four bool
	// Mirror continues the image beyond its borders as c b | a b c | b a, in place of
	// b a | a b c | c b.
	Mirror bool
}

// Segmenter segments images. It reuses its memory. Its zero value is ready for use. It is not safe
// for concurrent use.
type Segmenter struct {
	width, height int
	scale         float64 // for samples from 0 to 1
	four          bool    // as in Options
	grid          grid
	smoother      smoother
	tiles         tileJoiner
	components    []component // of all tiles
	labels        []int32     // by pixel: its component; in the layout of grid
	lister        edgeLister
	sets          disjointSets
	rejected      [][2]int32 // the ends of the rejected edges, ascending by weight
	regions       []int32    // by component that is a root: its region, −1 if none yet
}

// component is a set of pixels that are in one region.
type component struct {
	size     int32   // number of pixels
	internal float64 // the largest weight that was joined
}

// Segment writes the region of each pixel to labels, row by row, and returns the number of regions.
// They are numbered in the order of their first pixels.
//
// Time is near-linear in the pixels, times the width of the Gaussian for smoothing. Memory is up to
// 100 bytes per pixel. Segment panics if labels has another length than the image, or if the image
// or an option is out of its range; the only errors are those of the context.
func (s *Segmenter) Segment(ctx context.Context, labels []int32, img *Image, opts Options) (int, error) {
	if img.Width < 1 || img.Height < 1 || img.Channels < 1 || img.Width > MaxPixels/img.Height {
		panic(fmt.Sprintf("felzenszwalb: %d×%d pixels, %d channels: want at least 1 of each, and at most %d pixels",
			img.Width, img.Height, img.Channels, MaxPixels))
	}
	if len(labels) != img.Width*img.Height {
		panic(fmt.Sprintf("felzenszwalb: %d labels: want %d×%d", len(labels), img.Width, img.Height))
	}
	kernel := opts.Kernel
	if kernel == nil {
		if !(opts.Sigma >= 0 && opts.Sigma <= MaxSigma) {
			panic(fmt.Sprintf("felzenszwalb: sigma %v: want 0 to %v", opts.Sigma, MaxSigma))
		}
		kernel = gaussian(opts.Sigma)
	}
	s.width, s.height = img.Width, img.Height
	s.scale = opts.Scale / 255
	if !(s.scale > 0) {
		s.scale = 0
	}
	if s.lister.sorter.firstKey = 1; s.scale == 0 {
		s.lister.sorter.firstKey = 0 // edges of weight 0 do not join
	}
	s.four, s.smoother.mirror = opts.Four, opts.Mirror
	if err := s.computeWeights(ctx, img, kernel); err != nil {
		return 0, err
	}
	if err := s.joinTiles(ctx); err != nil {
		return 0, err
	}
	if err := s.lister.list(ctx, s); err != nil {
		return 0, err
	}
	if err := s.joinComponents(ctx); err != nil {
		return 0, err
	}
	if err := s.mergeSmall(ctx, opts.MinSize); err != nil {
		return 0, err
	}
	return s.writeLabels(ctx, labels)
}

// threshold returns the key of the weights that a component does not accept: those from it on.
func threshold(internal, scale float64, size int32) int32 {
	return int32(math.Float32bits(float32(internal + scale/float64(size))))
}

// pollEvery is the number of edges between two checks of the context.
const pollEvery = 1 << 16

// joinComponents joins the components of all tiles by the sorted edges.
func (s *Segmenter) joinComponents(ctx context.Context) error {
	sets, l := &s.sets, &s.lister
	sets.init(s.components, s.scale)
	s.rejected = freelist.Resize(s.rejected, len(l.sorted))
	n := 0
	for start := 0; start < len(l.sorted); start += pollEvery {
		if err := ctx.Err(); err != nil {
			return err
		}
		for _, k := range l.sorted[start:min(start+pollEvery, len(l.sorted))] {
			ends := l.ends[uint32(k)]
			a, b := sets.nodes[ends[0]].root, sets.nodes[ends[1]].root
			if a == b {
				continue
			}
			if int32(k>>32) < min(sets.nodes[a].threshold, sets.nodes[b].threshold) {
				sets.join(a, b, s.grid.weight(l.numbers[uint32(k)]))
			} else {
				s.rejected[n] = [2]int32{a, b}
				n++
			}
		}
	}
	s.rejected = s.rejected[:n]
	return nil
}

// mergeSmall is the second pass: over the rejected edges it joins components if either is smaller
// than minSize.
func (s *Segmenter) mergeSmall(ctx context.Context, minSize int) error {
	sets := &s.sets
	limit := int32(max(0, min(minSize, math.MaxInt32)))
	if limit <= 1 {
		return nil
	}
	for start := 0; start < len(s.rejected); start += pollEvery {
		if err := ctx.Err(); err != nil {
			return err
		}
		for _, ends := range s.rejected[start:min(start+pollEvery, len(s.rejected))] {
			a, b := sets.nodes[ends[0]].root, sets.nodes[ends[1]].root
			if a != b && min(sets.nodes[a].size, sets.nodes[b].size) < limit {
				sets.join(a, b, 0)
			}
		}
	}
	return nil
}

// writeLabels labels the pixels with their regions, which it numbers in raster order.
func (s *Segmenter) writeLabels(ctx context.Context, labels []int32) (int, error) {
	nodes := s.sets.nodes
	s.regions = freelist.Resize(s.regions, len(nodes))
	for i := range s.regions {
		s.regions[i] = -1
	}
	n := int32(0)
	for y := range s.height {
		if y%64 == 0 && ctx.Err() != nil {
			return 0, ctx.Err()
		}
		dst := labels[y*s.width:][:s.width]
		row := s.labels[s.grid.at(0, y):][:len(dst)]
		last, region := int32(-1), int32(-1)
		for x, c := range row {
			if c != last {
				last = c
				r := &s.regions[nodes[c].root]
				if *r < 0 {
					*r = n
					n++
				}
				region = *r
			}
			dst[x] = region
		}
	}
	return int(n), nil
}

// disjointSets is a union-find structure whose trees have height one: find takes a single look-up. A
// union updates each node of the smaller set, O(n log n) for all unions together.
type disjointSets struct {
	nodes []node
	scale float64
}

type node struct {
	root int32 // the representative of its set
	next int32 // in the ring of the nodes of its set

	// Of a root.
	size      int32 // number of pixels of its set
	threshold int32 // see the function threshold
}

// init makes a set of each component.
func (s *disjointSets) init(components []component, scale float64) {
	s.scale = scale
	s.nodes = freelist.Resize(s.nodes, len(components))
	for i, c := range components {
		s.nodes[i] = node{int32(i), int32(i), c.size, threshold(c.internal, scale, c.size)}
	}
}

// join joins the sets of two roots; w becomes the largest weight in it.
func (s *disjointSets) join(a, b int32, w float64) {
	nodes := s.nodes
	size := nodes[a].size + nodes[b].size
	if nodes[a].size < nodes[b].size {
		a, b = b, a
	}
	for x := b; ; {
		n := &nodes[x]
		n.root = a
		if x = n.next; x == b {
			break
		}
	}
	na, nb := &nodes[a], &nodes[b]
	na.next, nb.next = nb.next, na.next // joins the two rings
	na.size, na.threshold = size, threshold(w, s.scale, size)
}
