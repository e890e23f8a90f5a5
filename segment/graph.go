package segment

import (
	"context"
	"fmt"
	"math/bits"
	"slices"

	"github.com/proposer/proposer/internal/shelf"
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

	bands  []band
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
	pieceOf     []int32 // by pixel, counted from the band's first
	first       int32   // piece
	pieces      []part
	between     []edge // from the band's pixels to others, in the order of their numbers
}

// row are the pieces of row y of the picture.
func (b *band) row(y, width int) []int32 {
	return b.pieceOf[(y-b.top)*width : (y-b.top+1)*width]
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
		return t.join(ctx, &g.bands[i], &g.weights, g.width, g.least)
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
		b.pieceOf = shelf.Resize(b.pieceOf, (b.bottom-b.top)*g.width)
	}
}

// gather numbers the pieces of all bands.
func (g *Graph) gather() {
	n := 0
	for i := range g.bands {
		g.bands[i].first = int32(n)
		n += len(g.bands[i].pieces)
	}
	g.pieces = shelf.Resize(g.pieces, n)
	for i := range g.bands {
		copy(g.pieces[g.bands[i].first:], g.bands[i].pieces)
	}
}

// connector finds the edges between pieces.
type connector struct {
	candidates []uint32
	list       []edge // copied when its length is known: lists that grow leave much behind
	// met remembers an edge between two pieces, each where its hash says, and where in
	// the list it is. That keeps most of those between the same two out of it.
	met []met
}

type met struct {
	edge
	at int32
}

// mostMetBits keeps the table within a processor's second cache: 256 KB.
const mostMetBits = 14

func hash(a, b int32, bits int) uint32 {
	return (uint32(a)*0x9e3779b1 ^ uint32(b)*0x85ebca6b) >> (32 - bits)
}

// connect lists the edges between pieces that begin in band i. Of those between the same
// two the first alone is needed; more do no harm.
func (c *connector) connect(ctx context.Context, g *Graph, i int) error {
	b := &g.bands[i]
	// The pieces along a row, several times over; no more for a picture that is one long row.
	metBits := min(bits.Len(uint(2*g.width)), mostMetBits)
	c.met = shelf.Resize(c.met, 1<<metBits)
	clear(c.met)
	c.candidates = shelf.Resize(c.candidates, directions*g.width)
	list := c.list[:0]
	for y := b.top; y < b.bottom; y++ {
		if err := ctx.Err(); err != nil {
			return err
		}
		// The row below may be in the next band. The last has none, but no edges to it, either.
		here, next := b, b
		if y == b.bottom-1 && y < g.height-1 {
			next = &g.bands[i+1]
		}
		row, below := here.row(y, g.width), here.row(y, g.width)
		if y < g.height-1 {
			below = next.row(y+1, g.width)
		}
		ends := [directions]struct {
			row          []int32
			shift, first int32
			weights      []uint16
		}{
			right:     {row: row, shift: 1, first: here.first},
			down:      {row: below, first: next.first},
			downRight: {row: below, shift: 1, first: next.first},
			downLeft:  {row: below, shift: -1, first: next.first},
		}
		for d := range g.weights.directions() {
			ends[d].weights = g.weights.row(d, y)
		}
		var n int
		if g.weights.connectivity == Four {
			n = borders4(c.candidates, row, below, here.first-next.first)
		} else {
			n = borders8(c.candidates, row, below, here.first-next.first)
		}
		if len(list)+n > cap(list) {
			list = slices.Grow(list, n)
		}
		at := len(list)
		list = list[:at+n]
		for _, e := range c.candidates[:n] {
			x := int32(e / directions)
			end := &ends[e%directions]
			weight := int32(end.weights[x])
			e := edge{row[x] + here.first, end.row[x+end.shift] + end.first, weight}
			m := &c.met[hash(e.a, e.b, metBits)]
			// same is −1 if the two have met, else 0; later if their edge then came first.
			same := ^(-int32(differ(m.a, e.a) | differ(m.b, e.b)))
			later := same & ((m.weight - weight - 1) >> 31)
			// An edge that the new one comes before is superseded.
			old := int32(at) ^ (int32(at)^m.at)&(same&^later)
			list[old].weight = noEdge
			list[at] = e
			m.a, m.b = e.a, e.b
			m.weight = weight ^ (weight^m.weight)&later
			m.at = int32(at) ^ (int32(at)^m.at)&later
			at += int(1 + later)
		}
		list = list[:at]
	}
	c.list = list
	b.between = shelf.Resize(b.between, len(list))
	copy(b.between, list)
	return nil
}

// borders4 lists the edges of a row between different pieces, and perhaps some that
// there are not, each its first pixel times four and its direction. The row below
// numbers pieces from shift on.
func borders4(dst []uint32, row, below []int32, shift int32) int {
	n, last := 0, len(row)-1
	below = below[:len(row)]
	a := row[0]
	for x := range row {
		next := row[min(x+1, last)]
		e := uint32(x) * directions
		dst[n] = e + right
		n += differ(a, next)
		dst[n] = e + down
		n += differ(a+shift, below[x])
		a = next
	}
	return n
}

func borders8(dst []uint32, row, below []int32, shift int32) int {
	n, last := 0, len(row)-1
	below = below[:len(row)]
	a := row[0]
	c, d := a+shift, below[0] // before the first pixel: equal to it
	for x := range row {
		next, after := row[min(x+1, last)], below[min(x+1, last)]
		if x == last {
			after = a + shift
		}
		e := uint32(x) * directions
		dst[n] = e + right
		n += differ(a, next)
		dst[n] = e + down
		n += differ(a+shift, d)
		dst[n] = e + downRight
		n += differ(a+shift, after)
		dst[n] = e + downLeft
		n += differ(a+shift, c)
		a, c, d = next, d, after
	}
	return n
}

// differ is 1 for two different numbers, else 0.
func differ(a, b int32) int {
	d := uint32(a ^ b)
	return int((d | -d) >> 31)
}

// sort sorts the edges between pieces by weight, stably.
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
	for w, count := range counts[:noEdge] {
		counts[w] = total
		total += count
	}
	// Those that have been superseded come last, and fall off.
	dead := counts[noEdge]
	counts[noEdge] = total
	g.between = shelf.Resize(g.between, int(total+dead))
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
	g.between = g.between[:total]
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
	pollEvery = 1 << 16
)
