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
// less than a float32 if and only if it is so when rounded down. Weights are computed again in the few
// cases that need them: of edges with equal keys, and of a component's largest weight when the key of
// an edge is not enough to decide.
package felzenszwalb

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"runtime"

	"github.com/proposer/proposer/internal/freelist"
	"github.com/proposer/proposer/internal/parallel"
)

// The limits of the package.
const (
	MaxPixels = 1 << 28
	MaxSigma  = 1000
)

// Image is an image with any number of channels.
type Image struct {
	Width, Height, Channels int
	// Row writes the samples of a channel of row y to dst, whose length is the width. Each row is read
	// once.
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

	// Threads is the maximum number of goroutines that work at a time; 0 means GOMAXPROCS. Labels do
	// not depend on it.
	Threads int
}

// Segmenter segments images. It reuses its memory. Its zero value is ready for use. It is not safe
// for concurrent use.
type Segmenter struct {
	width, height int
	scale         float64 // for samples from 0 to 1
	four          bool    // as in Options
	grid          grid
	smoother      smoother
	sums          []float64 // of a row: the squares of weights
	pool          *parallel.Pool
	joiners       freelist.List[tileJoiner]
	parts         [][]component // by tile: its components
	components    []component   // of all tiles
	labels        []int32       // by pixel: its component; in the layout of grid
	lister        edgeLister
	sets          disjointSets
	rejected      [][2]int32 // the ends of the rejected edges, ascending by weight
	regions       []int32    // by component that is a root: its region, −1 if none yet
}

// component is a set of pixels that are in one region.
type component struct {
	size int32      // number of pixels
	key  int32      // of the last edge that was joined, 0 if none
	last edgeNumber // of that edge
}

// Segment writes the region of each pixel to labels, row by row, and returns the number of regions.
// They are numbered in the order of their first pixels.
//
// Time is near-linear in the pixels, times the width of the Gaussian for smoothing. Memory is 100 to
// 230 bytes per pixel, plus 8 for each channel. Segment panics if labels has another length than the image, or if the image
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
	if s.lister.firstKey = 1; s.scale == 0 {
		s.lister.firstKey = 0 // edges of weight 0 do not join
	}
	s.four, s.smoother.mirror = opts.Four, opts.Mirror
	s.pool = parallel.NewPool(cmp.Or(max(0, opts.Threads), runtime.GOMAXPROCS(0)))
	if err := s.computeKeys(ctx, img, kernel); err != nil {
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

// threshold returns the key of the smallest weights that a component does not accept, given its largest
// weight plus the scale divided by its size.
//
// If the weight is that of its key, which is at most one unit in the last place of a float32 too small,
// the threshold may be one too small as well. So it is certain except for edges whose key is the threshold.
func threshold(w float64) int32 { return int32(math.Float32bits(float32(w))) }

// weightOf returns the smallest weight with a key.
func weightOf(key int32) float64 { return float64(math.Float32frombits(uint32(key))) }

// pollEvery is the number of edges between two checks of the context.
const pollEvery = 1 << 16

// joinComponents joins the components of all tiles by the sorted edges.
func (s *Segmenter) joinComponents(ctx context.Context) error {
	sets := &s.sets
	sets.init(s.components, s.scale)
	s.rejected = freelist.Resize(s.rejected, len(s.lister.edges))
	n := 0
	for i := range groups {
		if i%groupsAhead == 0 {
			if err := s.lister.sortGroups(ctx, s, i); err != nil {
				return err
			}
		}
		for _, e := range s.lister.group(i) {
			a, b := sets.nodes[e.ends[0]].root, sets.nodes[e.ends[1]].root
			if a == b {
				continue
			}
			k, least := int32(e.rank>>32), min(sets.nodes[a].threshold, sets.nodes[b].threshold)
			if k < least || k == least && sets.accept(&s.grid, k, a, b) {
				root, size := sets.join(a, b)
				sets.nodes[root].threshold = threshold(weightOf(k) + s.scale/float64(size))
				sets.last[root] = edgeNumber(e.rank)
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
				sets.join(a, b)
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
	last  []edgeNumber // by root: the last edge that was joined
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
	s.last = freelist.Resize(s.last, len(components))
	for i, c := range components {
		s.nodes[i] = node{int32(i), int32(i), c.size, threshold(weightOf(c.key) + scale/float64(c.size))}
		s.last[i] = c.last
	}
}

// accept reports whether two roots accept an edge whose key is the lower of their thresholds.
func (s *disjointSets) accept(g *grid, k, a, b int32) bool {
	exact := func(a int32) int32 {
		w, size := 0.0, s.nodes[a].size
		if size > 1 {
			w = g.weight(s.last[a])
		}
		return threshold(w + s.scale/float64(size))
	}
	return k < min(exact(a), exact(b))
}

// join joins the sets of two roots. It returns the root and size of the union.
func (s *disjointSets) join(a, b int32) (root, size int32) {
	nodes := s.nodes
	size = nodes[a].size + nodes[b].size
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
	na.size = size
	return a, size
}
