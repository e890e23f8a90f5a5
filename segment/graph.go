package segment

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"github.com/proposer/proposer/internal/freelist"
	"github.com/proposer/proposer/internal/kernels"
	"github.com/proposer/proposer/internal/parallel"
	"github.com/proposer/proposer/raster"
)

// Options are how to make a graph.
type Options struct {
	// Sigma is the standard deviation of the Gaussian that smooths the picture first, in
	// pixels, [0, raster.MaxSigma]. The paper's 0.8 takes off what compression leaves,
	// and moves nothing that can be seen.
	Sigma float64
	// Connectivity is Four or Eight.
	Connectivity Connectivity
	// Least is the smallest scale that the graph will be segmented at, in (0, MaxK].
	MinK float64
	// Once tells that it will be segmented once: what several scales would share is not
	// worked out.
	SingleScale bool
	// Runner runs the parts of the work; nil is sequential.
	Runner parallel.Runner
}

// Graph is the grid graph of a picture, its pixels joined to atoms as far as the
// segmentations at all scales from a least one on agree, and the edges between atoms sorted.
// It is safe for concurrent use once built.
type Graph struct {
	width, height int
	least         uint32 // the least scale, in weight steps

	tiles   []tile
	columns int // of tiles
	strips  []strip
	// labels are the pixels' pieces, counted from the first of their tile, and what
	// tells a tile from those beside it; where the weights have theirs.
	labels []uint16
	atomOf []int32 // by piece
	atoms  []part
	edges  []edge // between atoms, in the order of the paper's loop

	// Kept for reuse.
	weights weights
	pieces  []part // of all tiles
	between []edge // between pieces
	forest  forest
	met     []uint64
	// The edges of each strip at some place, by weight.
	quantiles []int32

	// What works on a strip, a tile, some weights, a scale.
	weighers   freelist.List[weigher]
	tilers     freelist.List[tiler]
	connectors freelist.List[connector]
	mergers    freelist.List[merger]
	segmenters freelist.List[segmenter]
}

// A tile is a part of the picture, up to tileSide pixels wide and high.
type tile struct {
	left, top, right, bottom int
	first                    int32 // piece
	pieces                   []part
}

// A strip is some rows of the picture, all in one row of tiles.
type strip struct {
	row         int // of tiles
	top, bottom int
	between     []edge // from the strip's pixels to others, in the order of the paper's loop
}

// Build builds the graph of a picture of any colour space. Weights come from the
// smoothed picture in float32, which never exists as a whole. It reuses the memory of g.
//
// Time is near-linear in the pixels; memory is about 50 bytes a pixel with eight
// neighbours and 35 with four. It panics if an option is out of its range; the only
// errors are the context's.
func (g *Graph) Build(ctx context.Context, img *raster.Image, opts Options) error {
	if opts.Connectivity != Four && opts.Connectivity != Eight {
		panic(fmt.Sprintf("segment: Build: connectivity %d: want 4 or 8", opts.Connectivity))
	}
	if img.Width > MaxPixels/img.Height {
		panic(fmt.Sprintf("segment: Build: %d×%d pixels: want at most %d", img.Width, img.Height, MaxPixels))
	}
	g.width, g.height, g.least = img.Width, img.Height, steps(opts.MinK)
	g.weights.shape(g.width, g.height, opts.Connectivity)
	g.labels = freelist.Resize(g.labels, len(g.weights.planes[right]))
	g.weights.border(-1)
	g.weights.border(g.height)
	g.cut()
	err := opts.Runner.Run(len(g.strips), func(i int) error {
		w := g.weighers.Get()
		defer g.weighers.Put(w)
		return w.weigh(ctx, &g.weights, img, opts.Sigma, g.strips[i].top, g.strips[i].bottom)
	})
	if err != nil {
		return err
	}
	err = opts.Runner.Run(len(g.tiles), func(i int) error {
		t := g.tilers.Get()
		defer g.tilers.Put(t)
		return t.join(ctx, g, i)
	})
	if err != nil {
		return err
	}
	g.gather()
	err = opts.Runner.Run(len(g.strips), func(i int) error {
		c := g.connectors.Get()
		defer g.connectors.Put(c)
		return c.connect(ctx, g, i)
	})
	if err != nil {
		return err
	}
	n := 0
	for i := range g.strips {
		n += len(g.strips[i].between)
	}
	g.between = freelist.Resize(g.between, n)
	bounds := g.bounds()
	err = opts.Runner.Run(merges, func(i int) error {
		m := g.mergers.Get()
		defer g.mergers.Put(m)
		return m.merge(ctx, g, bounds[i], bounds[i+1])
	})
	if err != nil {
		return err
	}
	if opts.SingleScale {
		g.leave()
		return nil
	}
	return g.join(ctx)
}

// cut cuts the picture into tiles, and the rows of tiles into strips.
func (g *Graph) cut() {
	rows := ceil(g.height, tileSide)
	g.columns = ceil(g.width, tileSide)
	g.tiles = freelist.Extend(g.tiles, rows*g.columns)
	g.strips = freelist.Extend(g.strips, rows*rowStrips)
	for i := range rows {
		top, bottom := cut(g.height, i, rows), cut(g.height, i+1, rows)
		for j := range g.columns {
			t := &g.tiles[i*g.columns+j]
			t.left, t.right = cut(g.width, j, g.columns), cut(g.width, j+1, g.columns)
			t.top, t.bottom = top, bottom
		}
		for j := range rowStrips {
			s := &g.strips[i*rowStrips+j]
			s.row, s.top, s.bottom = i, top+cut(bottom-top, j, rowStrips), top+cut(bottom-top, j+1, rowStrips)
		}
	}
}

// row is a row of tiles.
func (g *Graph) row(i int) []tile { return g.tiles[i*g.columns : (i+1)*g.columns] }

// gather numbers the pieces of all tiles.
func (g *Graph) gather() {
	n := 0
	for i := range g.tiles {
		g.tiles[i].first = int32(n)
		n += len(g.tiles[i].pieces)
	}
	g.pieces = slices.Grow(g.pieces[:0], n)
	for i := range g.tiles {
		g.pieces = append(g.pieces, g.tiles[i].pieces...)
	}
}

// piecesOf writes the pieces of row y of the picture, which is in tiles.
func (g *Graph) piecesOf(dst []int32, tiles []tile, y int) {
	row := g.labels[g.weights.at(0, y):]
	for i := range tiles {
		t := &tiles[i]
		labels := row[t.left:t.right]
		ids := dst[t.left:t.right][:len(labels)]
		for x, l := range labels {
			ids[x] = t.first + int32(l&tileMask)
		}
	}
}

// connector finds the edges between pieces.
type connector struct {
	kept [directions][]uint16 // the weights of a row
	ids  []int32              // of two rows
	keys []uint32
	// Two lists, of which one is the other sorted. Copied when their length is known:
	// lists that grow leave much behind.
	list, sorted []edge
}

// connect lists the edges between pieces that begin in strip i, by weight. Of those between
// the same two the first alone is needed; more do no harm.
func (c *connector) connect(ctx context.Context, g *Graph, i int) error {
	s, w := &g.strips[i], &g.weights
	for d := range w.directions() {
		c.kept[d] = freelist.Resize(c.kept[d], g.width)
	}
	c.ids = freelist.Resize(c.ids, 2*g.width)
	c.keys = freelist.Resize(c.keys, w.directions()*min(g.width, chunk)+kernels.EdgeKeyPadding)
	list := c.list[:0]
	here, below := 0, g.width
	row := g.row(s.row)
	g.piecesOf(c.ids[:g.width], row, s.top)
	for y := s.top; y < s.bottom; y++ {
		if err := ctx.Err(); err != nil {
			return err
		}
		if y+1 < g.height {
			if y+1 == row[0].bottom {
				row = g.row(s.row + 1)
			}
			g.piecesOf(c.ids[below:][:g.width], row, y+1)
		}
		c.thin(g, y)
		step := [directions]int{right: 1, down: below - here, downRight: below - here + 1, downLeft: below - here - 1}
		for left := 0; left < g.width; left += chunk {
			var part [directions][]uint16
			for d := range w.directions() {
				part[d] = c.kept[d][left:min(left+chunk, g.width)]
			}
			n := listRow(c.keys, 0, noEdge, &part)
			list = slices.Grow(list, n)
			at := len(list)
			list = list[:at+n]
			for i, key := range c.keys[:n] {
				p := here + left + int(key%(directions*chunk)/directions)
				list[at+i] = edge{c.ids[p], c.ids[p+step[key%directions]], int32(key >> edgeBits)}
			}
		}
		here, below = below, here
	}
	c.list = list
	c.sorted = freelist.Resize(c.sorted, len(list))
	s.between = freelist.Resize(s.between, len(list))
	sortEdges(s.between, list, c.sorted)
	return nil
}

// thin leaves of the edges that begin in row y those that are between pieces, and of a
// border's edges hardly more than the first.
func (c *connector) thin(g *Graph, y int) {
	w := &g.weights
	from, to := w.at(-1, y-1), w.at(-1, y+2)+1
	var rows [directions][]uint16
	for d := range w.directions() {
		rows[d] = w.planes[d][from:to]
	}
	if w.connectivity == Four {
		kernels.BoundaryEdges4((*[2][]uint16)(c.kept[:]), (*[2][]uint16)(rows[:]), g.labels[from:to], w.stride)
	} else {
		kernels.BoundaryEdges8(&c.kept, &rows, g.labels[from:to], w.stride)
	}
}

// sortEdges sorts edges by weight, stably.
func sortEdges(dst, edges, scratch []edge) {
	var low, high [256]uint32
	for i := range edges {
		w := uint32(edges[i].weight)
		low[w&255]++
		high[w>>8&255]++
	}
	for _, counts := range []*[256]uint32{&low, &high} {
		total := uint32(0)
		for i, n := range counts {
			counts[i] = total
			total += n
		}
	}
	for _, e := range edges {
		at := &low[e.weight&255]
		scratch[*at] = e
		*at++
	}
	for _, e := range scratch {
		at := &high[e.weight>>8&255]
		dst[*at] = e
		*at++
	}
}

// bounds are weights between which there are about equally many edges in the strips. The
// first is 0, and the last above all.
func (g *Graph) bounds() (bounds [merges + 1]int32) {
	for i := 1; i < merges; i++ {
		g.quantiles = g.quantiles[:0]
		for j := range g.strips {
			if s := g.strips[j].between; len(s) > 0 {
				g.quantiles = append(g.quantiles, s[cut(len(s), i, merges)].weight)
			}
		}
		slices.Sort(g.quantiles)
		if n := len(g.quantiles); n > 0 {
			bounds[i] = g.quantiles[n/2]
		}
	}
	bounds[merges] = noEdge
	return bounds
}

// merger merges edges of the strips.
type merger struct {
	edges  [][]edge // by strip
	counts []uint32 // by weight
}

// merge writes the edges with weights from low to below high to where they come in the order of all.
func (m *merger) merge(ctx context.Context, g *Graph, low, high int32) error {
	if low >= high {
		return nil
	}
	m.counts = freelist.Resize(m.counts, int(high-low))
	clear(m.counts)
	m.edges = m.edges[:0]
	defer func() { clear(m.edges) }() // the memory is the strips'
	total := uint32(0)
	for i := range g.strips {
		if err := ctx.Err(); err != nil {
			return err
		}
		edges := g.strips[i].between
		first := lighter(edges, low)
		total += uint32(first)
		edges = edges[first:]
		edges = edges[:lighter(edges, high)]
		m.edges = append(m.edges, edges)
		for i := range edges {
			m.counts[edges[i].weight-low]++
		}
	}
	for w, count := range m.counts {
		m.counts[w] = total
		total += count
	}
	for _, edges := range m.edges {
		if err := ctx.Err(); err != nil {
			return err
		}
		for _, e := range edges {
			at := &m.counts[e.weight-low]
			g.between[*at] = e
			*at++
		}
	}
	return nil
}

// lighter is how many of sorted edges are lighter than limit.
func lighter(edges []edge, limit int32) int {
	n, _ := slices.BinarySearchFunc(edges, limit, func(e edge, limit int32) int { return cmp.Compare(e.weight, limit) })
	return n
}

// leave leaves every piece as an atom of its own.
func (g *Graph) leave() {
	g.atoms, g.pieces = g.pieces, g.atoms
	g.edges = g.between
	g.atomOf = freelist.Resize(g.atomOf, len(g.atoms))
	for i := range g.atomOf {
		g.atomOf[i] = int32(i)
	}
}

// hash has atomBits bits.
func hash(a, b int32) uint32 {
	return (uint32(a)*0x9e3779b1 ^ uint32(b)*0x85ebca6b) >> (32 - atomBits)
}

// join joins the pieces to atoms, as long as the least scale, and with it all larger
// ones, agrees, and lists the edges between atoms.
func (g *Graph) join(ctx context.Context) error {
	f := &g.forest
	f.plant(g.pieces, g.least)
	// As in connect, but the first edge between two atoms comes first here.
	g.met = freelist.Resize(g.met, 1<<atomBits)
	clear(g.met)
	g.edges = g.between[:0] // never beyond the edge that was read last
	for start := 0; start < len(g.between); start += pollEvery {
		if err := ctx.Err(); err != nil {
			return err
		}
		for _, e := range g.between[start:min(start+pollEvery, len(g.between))] {
			a, b := f.find(e.a), f.find(e.b)
			if a == b {
				continue
			}
			if e.weight <= f.limit(a, b) {
				f.join(a, b, e.weight)
				continue
			}
			f.wait(a)
			f.wait(b)
			a, b = min(a, b), max(a, b)
			pair := uint64(a)<<32 | uint64(b)
			if m := &g.met[hash(a, b)]; *m != pair {
				*m = pair
				g.edges = append(g.edges, edge{a, b, e.weight})
			}
		}
	}
	g.atoms = g.atoms[:0]
	g.atomOf = freelist.Resize(g.atomOf, len(g.pieces))
	for i := range g.atomOf {
		if f.find(int32(i)) == int32(i) {
			g.atomOf[i] = int32(len(g.atoms))
			g.atoms = append(g.atoms, f.part(int32(i)))
		}
	}
	// Trees that wait do not grow: the ends of the edges are roots still.
	for i := range g.edges {
		e := &g.edges[i]
		e.a, e.b = g.atomOf[e.a], g.atomOf[e.b]
	}
	for i := range g.atomOf {
		g.atomOf[i] = g.atomOf[f.find(int32(i))]
	}
	return ctx.Err()
}

const (
	rowStrips = 2 // to a row of tiles
	merges    = 8 // of the strips' edges
	atomBits  = 15
	chunk     = 1 << (edgeBits - 2) // pixels of a row that an edge's number has room for
	pollEvery = 1 << 16
)
