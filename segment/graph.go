package segment

import (
	"context"
	"fmt"

	"github.com/proposer/proposer/internal/freelist"
	"github.com/proposer/proposer/internal/parallel"
	"github.com/proposer/proposer/raster"
)

// Options are the options of [Graph.Build].
type Options struct {
	// Sigma is the standard deviation of the Gaussian that first smooths the image, in
	// pixels, in [0, raster.MaxSigma]. The paper's 0.8 removes compression artifacts and
	// causes no visible change.
	Sigma float64
	// Connectivity is Four or Eight.
	Connectivity Connectivity
	// MinK is the smallest scale at which the graph will be segmented, in (0, MaxK].
	MinK float64
	// SingleScale says that the graph will be segmented only once. The components that all
	// scales share are then not computed.
	SingleScale bool
	// Runner runs the independent parts of the work. It calls f(0) to f(n−1), in any order
	// and possibly concurrently, and returns their error, if any. Nil is sequential.
	Runner parallel.Runner
}

// Graph is the grid graph of an image, its pixels joined to components as far as the
// segmentations of all scales agree, and the edges between those sorted by weight. Its zero
// value is ready for [Graph.Build]. Once built, it is safe for concurrent use.
type Graph struct {
	width, height int
	minScale      uint32 // the smallest scale, in weight steps

	tiles   []tile
	columns int // of tiles
	strips  []strip
	// labels holds the label of each pixel, in the layout of weights. Its type is that which
	// the kernels take; see label.
	labels   []uint16
	sharedOf []int32 // by tile component: its shared component
	shared   []component
	edges    []edge // between shared components, ascending

	// Reusable memory.
	weights        edgeWeights
	tileComponents []component // of all tiles
	tileEdges      []edge      // between tile components, ascending
	sets           disjointSets
	seenPairs      []uint64
	quantiles      []int32

	// Workspaces for a strip, a tile, a strip, a range of weights, and a scale.
	smoothedRows  freelist.List[smoothedRows]
	tileJoiners   freelist.List[tileJoiner]
	boundaryEdges freelist.List[boundaryEdges]
	edgeMergers   freelist.List[edgeMerger]
	segmentations freelist.List[segmentation]
}

// strip is a part of the rows of a row of tiles.
type strip struct {
	row         int // of tiles
	top, bottom int
	edges       []edge // between tile components, those that begin in the strip, ascending
}

const rowStrips = 2 // per row of tiles

// Build builds the graph of an image of any color space. It reuses the memory of g. The
// edge weights are computed from the image smoothed in float32.
//
// Time is near-linear in the pixels. Memory is about 50 bytes per pixel with eight
// neighbors and 35 with four. Build panics if an option is out of its range or the image
// has more than [MaxPixels]; the only errors are those of the context.
func (g *Graph) Build(ctx context.Context, img *raster.Image, opts Options) error {
	if opts.Connectivity != Four && opts.Connectivity != Eight {
		panic(fmt.Sprintf("segment: Build: connectivity %d: want 4 or 8", opts.Connectivity))
	}
	if img.Width > MaxPixels/img.Height {
		panic(fmt.Sprintf("segment: Build: %d×%d pixels: want at most %d", img.Width, img.Height, MaxPixels))
	}
	g.width, g.height, g.minScale = img.Width, img.Height, steps(opts.MinK)
	g.divide()
	g.weights.resize(g.width, g.height, opts.Connectivity)
	run := opts.Runner.Run
	if err := g.computeWeights(ctx, img, opts.Sigma, run); err != nil {
		return err
	}
	if err := g.joinTiles(ctx, run); err != nil {
		return err
	}
	if err := g.collectEdges(ctx, run); err != nil {
		return err
	}
	if opts.SingleScale {
		g.keepComponents()
		return nil
	}
	return g.reduce(ctx)
}

// computeWeights computes the weights of all edges.
func (g *Graph) computeWeights(ctx context.Context, img *raster.Image, sigma float64, run parallel.Runner) error {
	g.weights.clearRow(-1)
	g.weights.clearRow(g.height)
	return run(len(g.strips), func(i int) error {
		rows := g.smoothedRows.Get()
		defer g.smoothedRows.Put(rows)
		return g.weights.compute(ctx, rows, img, sigma, g.strips[i].top, g.strips[i].bottom)
	})
}

// divide divides the image into tiles, and the rows of tiles into strips.
func (g *Graph) divide() {
	rows := ceilDiv(g.height, tileSide)
	g.columns = ceilDiv(g.width, tileSide)
	g.tiles = freelist.Extend(g.tiles, rows*g.columns)
	g.strips = freelist.Extend(g.strips, rows*rowStrips)
	for i := range rows {
		top, bottom := split(g.height, i, rows), split(g.height, i+1, rows)
		for j := range g.columns {
			t := &g.tiles[i*g.columns+j]
			t.left, t.right = split(g.width, j, g.columns), split(g.width, j+1, g.columns)
			t.top, t.bottom = top, bottom
		}
		for j := range rowStrips {
			s := &g.strips[i*rowStrips+j]
			s.row = i
			s.top = top + split(bottom-top, j, rowStrips)
			s.bottom = top + split(bottom-top, j+1, rowStrips)
		}
	}
}

// ceilDiv returns a/b, rounded up.
func ceilDiv(a, b int) int { return (a + b - 1) / b }

// split returns the start of part i of a length that is split into n about equal parts. The
// product may need more than the 32 bits of an int on some machines.
func split(length, i, n int) int { return int(int64(length) * int64(i) / int64(n)) }

// row returns a row of tiles.
func (g *Graph) row(i int) []tile { return g.tiles[i*g.columns : (i+1)*g.columns] }

// joinTiles joins the pixels of each tile, and numbers the components of all tiles.
func (g *Graph) joinTiles(ctx context.Context, run parallel.Runner) error {
	g.labels = freelist.Resize(g.labels, len(g.weights.planes[right]))
	err := run(len(g.tiles), func(i int) error {
		t := g.tileJoiners.Get()
		defer g.tileJoiners.Put(t)
		return t.join(ctx, g, i)
	})
	if err != nil {
		return err
	}
	g.numberComponents()
	return nil
}

// collectEdges finds the edges between the tile components and sorts them by weight.
func (g *Graph) collectEdges(ctx context.Context, run parallel.Runner) error {
	err := run(len(g.strips), func(i int) error {
		b := g.boundaryEdges.Get()
		defer g.boundaryEdges.Put(b)
		return b.collect(ctx, g, i)
	})
	if err != nil {
		return err
	}
	n := 0
	for i := range g.strips {
		n += len(g.strips[i].edges)
	}
	g.tileEdges = freelist.Resize(g.tileEdges, n)
	bounds := g.weightRanges()
	return run(mergeRanges, func(i int) error {
		m := g.edgeMergers.Get()
		defer g.edgeMergers.Put(m)
		return m.merge(ctx, g, bounds[i], bounds[i+1])
	})
}
