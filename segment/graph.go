package segment

import (
	"context"
	"fmt"
	"slices"

	"github.com/proposer/proposer/internal/shelf"
	"github.com/proposer/proposer/internal/simd"
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
	Least float64
	// Once tells that it will be segmented once: what several scales would share is not
	// worked out.
	Once bool
	// Each runs work(0) to work(n−1), in any order and perhaps side by side, and
	// returns when all have; its error is one of theirs. Nil is a loop.
	Each func(n int, work func(i int) error) error
}

// Graph is the grid graph of a picture, its pixels joined to atoms as far as the
// segmentations at all scales from a least one on agree, and the edges between atoms sorted.
// It is safe for concurrent use once built.
type Graph struct {
	width, height int
	least         uint32 // the least scale, in weight steps

	bands []band
	// labels are the pixels' pieces, counted from the first of their tile, and what
	// tells a tile from those beside it; where the weights have theirs.
	labels []uint16
	atomOf []int32 // by piece
	atoms  []part
	edges  []edge // between atoms, in the order of the paper's loop

	// Kept for reuse.
	weights weights
	pieces  []part // of all bands
	between []edge // between pieces
	counts  []uint32
	forest  forest
	met     []uint64

	// What works on a band, and on a scale.
	weighers   shelf.Shelf[weigher]
	tilers     shelf.Shelf[tiler]
	connectors shelf.Shelf[connector]
	segmenters shelf.Shelf[segmenter]
}

// A band is a row of tiles.
type band struct {
	top, bottom int
	firsts      []int32 // by tile: its first piece, until they are gathered counted from the band's first
	pieces      []part
	between     []edge // from the band's pixels to others, in the order of the paper's loop
}

// NewGraph builds the graph of a picture of any colour space. Weights come from the
// smoothed picture in float32, which never exists as a whole. It reuses the memory of
// dst if that is not nil.
//
// Time is near-linear in the pixels; memory is about 45 bytes a pixel with eight
// neighbours and 30 with four. It panics if an option is out of its range; the only
// errors are the context's.
func NewGraph(ctx context.Context, dst *Graph, img *raster.Image, opts Options) (*Graph, error) {
	if opts.Connectivity != Four && opts.Connectivity != Eight {
		panic(fmt.Sprintf("segment: NewGraph: connectivity %d: want 4 or 8", opts.Connectivity))
	}
	if img.Width > MaxPixels/img.Height {
		panic(fmt.Sprintf("segment: NewGraph: %d×%d pixels: want at most %d", img.Width, img.Height, MaxPixels))
	}
	each := opts.Each
	if each == nil {
		each = func(n int, work func(i int) error) error {
			for i := range n {
				if err := work(i); err != nil {
					return err
				}
			}
			return nil
		}
	}
	if dst == nil {
		dst = new(Graph)
	}
	g := dst
	g.width, g.height, g.least = img.Width, img.Height, steps(opts.Least)
	g.cut()
	g.weights.shape(g.width, g.height, opts.Connectivity)
	g.labels = shelf.Resize(g.labels, len(g.weights.planes[right]))
	g.weights.border(-1)
	g.weights.border(g.height)
	err := each(len(g.bands), func(i int) error {
		w := g.weighers.Get()
		defer g.weighers.Put(w)
		return w.weigh(ctx, &g.weights, img, opts.Sigma, g.bands[i].top, g.bands[i].bottom)
	})
	if err != nil {
		return nil, err
	}
	err = each(len(g.bands), func(i int) error {
		t := g.tilers.Get()
		defer g.tilers.Put(t)
		return t.join(ctx, g, i)
	})
	if err != nil {
		return nil, err
	}
	g.gather()
	err = each(len(g.bands), func(i int) error {
		c := g.connectors.Get()
		defer g.connectors.Put(c)
		return c.connect(ctx, g, i)
	})
	if err != nil {
		return nil, err
	}
	if err := g.sort(ctx); err != nil {
		return nil, err
	}
	if opts.Once {
		g.leave()
		return g, nil
	}
	return g, g.join(ctx)
}

// cut cuts the picture into bands of about the same height.
func (g *Graph) cut() {
	n := ceil(g.height, tileSide)
	g.bands = g.bands[:cap(g.bands)] // with the memory of all
	g.bands = slices.Grow(g.bands, max(0, n-len(g.bands)))[:n]
	for i := range g.bands {
		b := &g.bands[i]
		b.top, b.bottom = cut(g.height, i, n), cut(g.height, i+1, n)
		b.firsts = shelf.Resize(b.firsts, ceil(g.width, tileSide))
	}
}

// gather numbers the pieces of all bands.
func (g *Graph) gather() {
	n := 0
	for i := range g.bands {
		b := &g.bands[i]
		for j := range b.firsts {
			b.firsts[j] += int32(n)
		}
		n += len(b.pieces)
	}
	g.pieces = g.pieces[:0]
	g.pieces = slices.Grow(g.pieces, n)
	for i := range g.bands {
		g.pieces = append(g.pieces, g.bands[i].pieces...)
	}
}

// piecesOf writes the pieces of row y of the picture, which is in band b.
func (g *Graph) piecesOf(dst []int32, b *band, y int) {
	row := g.labels[g.weights.at(0, y):]
	for i, first := range b.firsts {
		left, right := cut(g.width, i, len(b.firsts)), cut(g.width, i+1, len(b.firsts))
		labels := row[left:right]
		ids := dst[left:right][:len(labels)]
		for x, l := range labels {
			ids[x] = first + int32(l&tileMask)
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

// connect lists the edges between pieces that begin in band i, by weight. Of those between
// the same two the first alone is needed; more do no harm.
func (c *connector) connect(ctx context.Context, g *Graph, i int) error {
	b, w := &g.bands[i], &g.weights
	for d := range w.directions() {
		c.kept[d] = shelf.Resize(c.kept[d], g.width)
	}
	c.ids = shelf.Resize(c.ids, 2*g.width)
	c.keys = shelf.Resize(c.keys, w.directions()*min(g.width, chunk)+listSlack)
	list := c.list[:0]
	g.piecesOf(c.ids[:g.width], b, b.top)
	here, below := 0, g.width
	for y := b.top; y < b.bottom; y++ {
		if err := ctx.Err(); err != nil {
			return err
		}
		if y+1 < b.bottom {
			g.piecesOf(c.ids[below:][:g.width], b, y+1)
		} else if y+1 < g.height {
			g.piecesOf(c.ids[below:][:g.width], &g.bands[i+1], y+1)
		}
		c.thin(g, y)
		step := [directions]int{right: 1, down: below - here, downRight: below - here + 1, downLeft: below - here - 1}
		for left := 0; left < g.width; left += chunk {
			var row [directions][]uint16
			for d := range w.directions() {
				row[d] = c.kept[d][left:min(left+chunk, g.width)]
			}
			n := listRow(c.keys, 0, noEdge, &row)
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
	c.sorted = shelf.Resize(c.sorted, len(list))
	b.between = shelf.Resize(b.between, len(list))
	sortEdges(b.between, list, c.sorted)
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
		simd.Borders4((*[2][]uint16)(c.kept[:]), (*[2][]uint16)(rows[:]), g.labels[from:to], w.stride)
	} else {
		simd.Borders8(&c.kept, &rows, g.labels[from:to], w.stride)
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

// differ is 1 for two different numbers, else 0.
func differ(a, b int32) int {
	d := uint32(a ^ b)
	return int((d | -d) >> 31)
}

// sort merges the bands' edges between pieces, by weight and stably.
func (g *Graph) sort(ctx context.Context) error {
	g.counts = shelf.Resize(g.counts, noEdge+1)
	clear(g.counts)
	counts := g.counts
	for i := range g.bands {
		if err := ctx.Err(); err != nil {
			return err
		}
		for _, e := range g.bands[i].between {
			counts[e.weight&noEdge]++
		}
	}
	total := uint32(0)
	for w, count := range counts {
		counts[w] = total
		total += count
	}
	g.between = shelf.Resize(g.between, int(total))
	for i := range g.bands {
		if err := ctx.Err(); err != nil {
			return err
		}
		for _, e := range g.bands[i].between {
			at := &counts[e.weight&noEdge]
			g.between[*at] = e
			*at++
		}
	}
	return nil
}

// leave leaves every piece as an atom of its own.
func (g *Graph) leave() {
	g.atoms, g.pieces = g.pieces, g.atoms
	g.edges = g.between
	g.atomOf = shelf.Resize(g.atomOf, len(g.atoms))
	for i := range g.atomOf {
		g.atomOf[i] = int32(i)
	}
}

func hash(a, b int32, bits int) uint32 {
	return (uint32(a)*0x9e3779b1 ^ uint32(b)*0x85ebca6b) >> (32 - bits)
}

// join joins the pieces to atoms, as long as the least scale, and with it all larger
// ones, agrees, and lists the edges between atoms.
func (g *Graph) join(ctx context.Context) error {
	f := &g.forest
	f.plant(g.pieces, g.least)
	// As in connect, but the first edge between two atoms comes first here.
	g.met = shelf.Resize(g.met, 1<<atomBits)
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
			if m := &g.met[hash(a, b, atomBits)]; *m != pair {
				*m = pair
				g.edges = append(g.edges, edge{a, b, e.weight})
			}
		}
	}
	g.atoms = g.atoms[:0]
	g.atomOf = shelf.Resize(g.atomOf, len(g.pieces))
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
	atomBits  = 15
	chunk     = 1 << (edgeBits - 2) // pixels of a row that an edge's number has room for
	pollEvery = 1 << 16
)
