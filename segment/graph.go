package segment

import (
	"context"
	"fmt"
	"math"
	"slices"

	"github.com/proposer/proposer/raster"
)

const (
	// weightScale is the number of weight steps to a grey level: the finest power
	// of two at which the largest distance, 255·√3, still fits 16 bits.
	weightScale = 128
	weightLimit = 56536 // one past ⌈255·√3·weightScale⌉
	noEdge      = math.MaxUint16
	pollEvery   = 1 << 16
)

// An edge of the grid leads from its first pixel to the right, down, down right or
// down left. Its number, pixel·4 + direction, is what breaks ties between equal weights.
const (
	right = iota
	down
	downRight
	downLeft
	directions
)

// Graph is the grid graph of a picture, with the pixels joined as far as all scales
// from a least one on agree, and the edges that are left sorted by weight.
// It is safe for concurrent use once built.
type Graph struct {
	width, height int
	least         uint32 // the least scale, in weight steps

	bands  []band
	pieces []piece // of all bands
	atoms  []atom
	atomOf []int32 // by piece
	edges  []edge  // between atoms, the lightest of each two, sorted

	weights weights
	// Kept for reuse.
	between []edge // between pieces
	counts  []uint32
	repeat  []uint64
	forest  []node
}

// A band is a row of tiles. The picture is cut into tiles that fit a
// processor's nearest cache, whose pixels are joined first, each by itself.
type band struct {
	top, bottom int
	// pieceOf is the piece of each pixel, counted from the band's first.
	pieceOf []int32
	first   int32 // piece
	pieces  []piece
	between []edge // whose first pixel is in this band, in the order of their numbers
}

// piece is a connected set of a tile's pixels that is in one region at every scale.
type piece struct {
	atom
}

// atom is a set of pixels that is in one region at every scale.
type atom struct {
	size  int32 // number of pixels
	inner int32 // Int(C)
}

// edge is an edge between two pieces or atoms.
type edge struct {
	a, b   int32
	weight int32
}

// NewGraph smooths a picture of any colour space with a Gaussian of sigma pixels
// (the paper's 0.8 takes off what compression leaves, and moves nothing that can
// be seen) and builds its graph, to be segmented at scale k or larger ones. Weights come from the smoothed
// picture in float32, which never exists as a whole. It reuses the memory of dst if
// that is not nil.
//
// Time is near-linear. It panics if
// sigma is not in [0, raster.MaxSigma]; the only errors are the context's.
func NewGraph(ctx context.Context, dst *Graph, img *raster.Image, sigma float64, c Connectivity, k float64) (*Graph, error) {
	if c != Four && c != Eight {
		panic(fmt.Sprintf("segment: NewGraph: connectivity %d: want 4 or 8", c))
	}
	if img.Width > MaxPixels/img.Height {
		panic(fmt.Sprintf("segment: NewGraph: %d×%d pixels: want at most %d", img.Width, img.Height, MaxPixels))
	}
	if dst == nil {
		dst = new(Graph)
	}
	g := dst
	g.width, g.height, g.least = img.Width, img.Height, steps(k)
	g.cut()
	if err := g.weights.compute(ctx, img, sigma, c); err != nil {
		return nil, err
	}
	t := new(tiler)
	for i := range g.bands {
		if err := t.join(ctx, &g.bands[i], &g.weights, g.least); err != nil {
			return nil, err
		}
	}
	g.number()
	for i := range g.bands {
		if err := g.connect(ctx, i); err != nil {
			return nil, err
		}
	}
	if err := g.sort(ctx); err != nil {
		return nil, err
	}
	if err := g.join(ctx); err != nil {
		return nil, err
	}
	return g, g.contract(ctx)
}

// cut cuts the picture into bands of about equal height.
func (g *Graph) cut() {
	n := (g.height + tileSide - 1) / tileSide
	for len(g.bands) < n {
		g.bands = append(g.bands, band{})
	}
	g.bands = g.bands[:n]
	for i := range g.bands {
		b := &g.bands[i]
		b.top, b.bottom = i*g.height/n, (i+1)*g.height/n
		b.pieceOf = resize(b.pieceOf, (b.bottom-b.top)*g.width)
	}
}

// steps is a scale in weight steps.
func steps(k float64) uint32 {
	if !(k > 0 && k <= MaxK) {
		panic(fmt.Sprintf("segment: k = %v: want a number in (0,%g]", k, float64(MaxK)))
	}
	return uint32(math.Round(k * weightScale))
}

func (g *Graph) number() {
	n := 0
	for i := range g.bands {
		g.bands[i].first = int32(n)
		n += len(g.bands[i].pieces)
	}
	g.pieces = resize(g.pieces, n)[:0]
	for i := range g.bands {
		g.pieces = append(g.pieces, g.bands[i].pieces...)
	}
}

// repeatBits is the size of the table that connect finds repeated edges with.
const repeatBits = 11

type listed struct {
	edge
	index int32
}

const pairBits = 15

// connect lists the edges between pieces that begin in a band. Of those between the same two only the first matters.
func (g *Graph) connect(ctx context.Context, i int) error {
	w := g.width
	bd := &g.bands[i]
	var repeat [1 << repeatBits]listed
	list := bd.between[:0]
	cand := make([]uint32, directions*w)
	var planes [directions][]uint16
	ws := &g.weights
	for y := bd.top; y < bd.bottom; y++ {
		if err := ctx.Err(); err != nil {
			return err
		}
		base := (y - bd.top) * w
		for d := range planes {
			planes[d] = ws.row(d, y)
		}
		here := bd.pieceOf[base : base+w]
		first, firstBelow := bd.first, bd.first
		below := here
		if y < bd.bottom-1 {
			below = bd.pieceOf[base+w : base+2*w]
		} else if y < g.height-1 {
			next := &g.bands[i+1]
			below = next.pieceOf[:w]
			firstBelow = next.first
		}
		ends := [directions]struct {
			of    []int32
			shift int
			first int32
		}{{here, 1, first}, {below, 0, firstBelow}, {below, 1, firstBelow}, {below, -1, firstBelow}}
		n := 0
		if ws.connectivity == Four {
			n = borders4(cand, here, below, first-firstBelow)
		} else {
			n = borders8(cand, here, below, first-firstBelow)
		}
		for _, e := range cand[:n] {
			x := int(e / directions)
			dir := e % directions
			a := here[x] + first
			b := ends[dir].of[(x+ends[dir].shift)] + ends[dir].first
			weight := int32(planes[dir][x])
			if weight == noEdge {
				continue
			}
			at := &repeat[(uint32(a)*0x9e3779b1^uint32(b)*0x85ebca6b)>>(32-repeatBits)]
			if at.a == a && at.b == b {
				if at.weight <= weight {
					continue
				}
				list[at.index].a = -1 // superseded
			}
			*at = listed{edge{a, b, weight}, int32(len(list))}
			list = append(list, edge{a, b, weight})
		}
	}
	bd.between = list
	return nil
}

func borders4(dst []uint32, here, below []int32, shift int32) int {
	n := 0
	below = below[:len(here)]
	dst = dst[:2*len(here)]
	a := here[0]
	for x := range here {
		next := here[min(x+1, len(here)-1)]
		dst[n] = uint32(x) * directions
		n += differ(a, next)
		dst[n] = uint32(x)*directions + down
		n += differ(a+shift, below[x])
		a = next
	}
	return n
}

func borders8(dst []uint32, here, below []int32, shift int32) int {
	n := 0
	below = below[:len(here)]
	a := here[0]
	l, m := below[0], below[0]
	for x := range here {
		next, r := here[min(x+1, len(here)-1)], below[min(x+1, len(here)-1)]
		dst[n] = uint32(x) * directions
		n += differ(a, next)
		dst[n] = uint32(x)*directions + down
		n += differ(a+shift, m)
		if x < len(here)-1 {
			dst[n] = uint32(x)*directions + downRight
			n += differ(a+shift, r)
		}
		if x > 0 {
			dst[n] = uint32(x)*directions + downLeft
			n += differ(a+shift, l)
		}
		a, l, m = next, m, r
	}
	return n
}

// differ is 1 for two different numbers, else 0, without a jump.
func differ(a, b int32) int {
	d := uint32(a ^ b)
	return int((d | -d) >> 31)
}

// sort sorts the edges between pieces by weight, stably.
func (g *Graph) sort(ctx context.Context) error {
	g.counts = resize(g.counts, weightLimit)
	counts := g.counts
	clear(counts)
	for i := range g.bands {
		for _, e := range g.bands[i].between {
			if e.a >= 0 {
				counts[e.weight]++
			}
		}
	}
	total := uint32(0)
	for w, count := range counts {
		counts[w] = total
		total += count
	}
	g.between = resize(g.between, int(total))
	for i := range g.bands {
		if err := ctx.Err(); err != nil {
			return err
		}
		for _, e := range g.bands[i].between {
			if e.a >= 0 {
				at := &counts[e.weight]
				g.between[*at] = e
				*at++
			}
		}
	}
	return nil
}

// join joins the pieces by their edges as long as the least scale, and with it
// all larger ones, agrees. Two regions that it does not join here may be joined at
// a larger scale: what becomes of them is no longer common to all, and they wait.
func (g *Graph) join(ctx context.Context) error {
	g.forest = resize(g.forest, len(g.pieces))
	f := forest{g.forest, g.least}
	for i := range f.nodes {
		p := &g.pieces[i]
		f.nodes[i] = node{int32(i), int32(i), p.size, p.inner + f.tau(p.size)}
	}
	g.repeat = resize(g.repeat, 1<<pairBits)
	clear(g.repeat)
	list := g.edges[:0]
	for chunk := range slices.Chunk(g.between, pollEvery) {
		if err := ctx.Err(); err != nil {
			return err
		}
		for _, e := range chunk {
			a, b := f.find(e.a), f.find(e.b)
			if a == b {
				continue
			}
			na, nb := &f.nodes[a], &f.nodes[b]
			if e.weight <= min(na.limit, nb.limit) {
				f.join(a, b, e.weight)
				continue
			}
			na.limit |= math.MinInt32
			nb.limit |= math.MinInt32
			a, b = min(a, b), max(a, b)
			pair := uint64(a)<<32 | uint64(b)
			at := &g.repeat[(uint32(a)*0x9e3779b1^uint32(b)*0x85ebca6b)>>(32-pairBits)]
			if *at != pair {
				*at = pair
				list = append(list, edge{a, b, e.weight})
			}
		}
	}
	g.edges = list
	return nil
}

// contract makes atoms of the trees of pieces.
func (g *Graph) contract(ctx context.Context) error {
	g.atomOf = resize(g.atomOf, len(g.forest))
	g.atoms = g.atoms[:0]
	for i := range g.forest {
		nd := &g.forest[i]
		g.atomOf[i] = int32(len(g.atoms))
		if nd.root == int32(i) {
			inner := nd.limit&math.MaxInt32 - int32(g.least/uint32(nd.size))
			g.atoms = append(g.atoms, atom{nd.size, inner})
		}
	}
	for i := range g.edges {
		e := &g.edges[i]
		e.a, e.b = g.atomOf[e.a], g.atomOf[e.b]
	}
	for i := range g.forest {
		if r := g.forest[i].root; r != int32(i) {
			g.atomOf[i] = g.atomOf[r]
		}
	}
	return nil
}
