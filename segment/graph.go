package segment

import (
	"context"
	"fmt"
	"math"

	"github.com/proposer/proposer/box"
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

// lightLimit bounds the weights that the pixels are joined by: 32 grey levels. Few
// edges are heavier, and the atoms' edges hold those.
const lightLimit = 32 * weightScale

// An edge leads from its first pixel to the right, down, down right or down left.
// Its number, pixel·4 + direction, is what breaks ties between equal weights.
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
	least         int64 // the least scale, in weight steps

	atomOf []int32 // by pixel
	atoms  []atom  // in the order of their first pixels
	edges  []edge  // between atoms, the lightest of each two, sorted

	// Kept for reuse.
	weights [directions][]uint16 // by first pixel
	light   []uint64
	sorted  []uint32
	forest  []node
	between []edge
	counts  []uint32
	nearest []int32
}

// atom is a set of pixels that is of one region at every scale.
type atom struct {
	size, inner int32 // number of pixels, Int(C)
	box         box.Box
}

// edge is an edge between two atoms, a < b.
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
	if err := g.weigh(ctx, img, sigma, c); err != nil {
		return nil, err
	}
	if err := g.sortLight(ctx, c); err != nil {
		return nil, err
	}
	if err := g.join(ctx); err != nil {
		return nil, err
	}
	if err := g.findAtoms(ctx); err != nil {
		return nil, err
	}
	if err := g.connect(ctx, c); err != nil {
		return nil, err
	}
	return g, nil
}

// steps is a scale in weight steps.
func steps(k float64) int64 {
	if !(k > 0 && k <= MaxK) {
		panic(fmt.Sprintf("segment: k = %v: want a number in (0,%g]", k, float64(MaxK)))
	}
	return int64(math.Round(k * weightScale))
}

// weigh computes the weights of all edges.
func (g *Graph) weigh(ctx context.Context, img *raster.Image, sigma float64, c Connectivity) error {
	n := g.width * g.height
	for d := range g.weights {
		if d <= down || c == Eight {
			g.weights[d] = resize(g.weights[d], n)
		}
	}
	smoother := raster.NewSmoother(img, sigma)
	here, below := newRows(img), newRows(img)
	below.read(smoother, 0)
	w := g.width
	for y := range g.height {
		if err := ctx.Err(); err != nil {
			return err
		}
		here, below = below, here
		base := y * w
		row := func(d int) []uint16 { return g.weights[d][base : base+w] }
		r := row(right)
		distances(r[:w-1], here.from(0), here.from(1))
		r[w-1] = noEdge
		if y == g.height-1 {
			fill(row(down))
			if c == Eight {
				fill(row(downRight))
				fill(row(downLeft))
			}
			break
		}
		below.read(smoother, y+1)
		distances(row(down), here, below)
		if c == Eight {
			dr, dl := row(downRight), row(downLeft)
			distances(dr[:w-1], here, below.from(1))
			dr[w-1] = noEdge
			distances(dl[1:], here.from(1), below)
			dl[0] = noEdge
		}
	}
	return nil
}

func fill(row []uint16) {
	for i := range row {
		row[i] = noEdge
	}
}

// rows is one row of each plane.
type rows [][]float32

func newRows(img *raster.Image) rows {
	r := make(rows, img.Space.Planes())
	for i := range r {
		r[i] = make([]float32, img.Width)
	}
	return r
}

func (r rows) from(x int) rows {
	s := make(rows, len(r))
	for i := range r {
		s[i] = r[i][x:]
	}
	return s
}

func (r rows) read(s *raster.Smoother, y int) {
	for plane, row := range r {
		s.Row(row, plane, y)
	}
}

func distances(dst []uint16, a, b rows) {
	if len(a) == 1 {
		for i := range dst {
			dst[i] = quantise(float32(math.Abs(float64(a[0][i] - b[0][i]))))
		}
		return
	}
	a0, a1, a2, b0, b1, b2 := a[0][:len(dst)], a[1][:len(dst)], a[2][:len(dst)], b[0][:len(dst)], b[1][:len(dst)], b[2][:len(dst)]
	for i := range dst {
		dst[i] = quantise(norm(a0[i]-b0[i], a1[i]-b1[i], a2[i]-b2[i]))
	}
}

// norm is the length of a vector. The conversions keep the compiler from fusing
// a multiplication with an addition, which would change weights from one
// architecture to another.
func norm(x, y, z float32) float32 {
	return float32(math.Sqrt(float64(float32(x*x) + float32(y*y) + float32(z*z))))
}

func quantise(distance float32) uint16 {
	return uint16(int32(float32(distance*weightScale) + 0.5))
}

// sortLight lists the light edges that the pixels may be joined by, sorted.
//
// An edge that comes last of a cycle of edges does not join anything: either the others have
// joined its ends by then, or one of them was put off, and both ends are in regions
// that wait. Of each cell of the grid all such are left out: one of four, or three of six.
func (g *Graph) sortLight(ctx context.Context, c Connectivity) error {
	w := g.width
	counts := resize(g.counts, weightLimit)
	g.counts = counts
	counts = counts[:lightLimit]
	clear(counts)
	n := 0
	// Of the right edges of a row: what the cells above left of them.
	top, bottom := make([]uint16, w), make([]uint16, w)
	copy(top, g.weights[right][:w])
	var side, fall, rise []uint16
	side = make([]uint16, w)
	if c == Eight {
		fall, rise = make([]uint16, w), make([]uint16, w)
	}
	for y := range g.height {
		if err := ctx.Err(); err != nil {
			return err
		}
		base := y * w
		copy(side, g.weights[down][base:base+w])
		if c == Eight {
			copy(fall, g.weights[downRight][base:base+w])
			copy(rise, g.weights[downLeft][base:base+w])
		}
		if y < g.height-1 {
			copy(bottom, g.weights[right][base+w:base+2*w])
			if c == Four {
				thin4(top, bottom, side, g.weights[right][base:base+w], g.weights[right][base+w:base+2*w], g.weights[down][base:base+w])
			} else {
				thin8(top, bottom, side, fall, rise, g.weights[right][base:base+w], g.weights[right][base+w:base+2*w], g.weights[down][base:base+w])
			}
		}
		if len(g.light) < n+directions*w {
			light := make([]uint64, max(2*len(g.light), n+directions*w))
			copy(light, g.light)
			g.light = light
		}
		if c == Four {
			n += list2(g.light[n:], uint32(base), top, side)
		} else {
			n += list4(g.light[n:], uint32(base), top, side, fall, rise)
		}
		top, bottom = bottom, top
	}
	for _, key := range g.light[:n] {
		counts[key>>32&(lightLimit-1)]++
	}
	total := uint32(0)
	for w, count := range counts {
		counts[w] = total
		total += count
	}
	g.sorted = resize(g.sorted, n)
	for start := 0; start < n; start += pollEvery {
		if err := ctx.Err(); err != nil {
			return err
		}
		for _, key := range g.light[start:min(start+pollEvery, n)] {
			at := &counts[key>>32&(lightLimit-1)]
			g.sorted[*at] = uint32(key)
			*at++
		}
	}
	return nil
}

// thin4 takes out of each cell the edge that comes last. Equal weights come in the order
// top, left, right, bottom.
func thin4(top, bottom, side, t0, b0, s0 []uint16) {
	n := len(top) - 1
	bottom, t0, b0 = bottom[:n+1], t0[:n+1], b0[:n+1]
	side, s0 = side[:n+1], s0[:n+1]
	l := s0[0]
	for x := range n {
		t, b, r := t0[x], b0[x], s0[x+1]
		switch {
		case b >= max(t, l, r):
			bottom[x] = noEdge
		case r >= max(t, l):
			side[x+1] = noEdge
		case l >= t:
			side[x] = noEdge
		default:
			top[x] = noEdge
		}
		l = r
	}
}

// thin8 takes out of each cell the three edges that are no part of its minimum
// spanning tree. Equal weights come in the order top, left, falling, right, rising, bottom.
func thin8(top, bottom, side, fall, rise, t0, b0, s0 []uint16) {
	n := len(top) - 1
	for x := range n {
		t, b, l, r, f, i := uint32(t0[x])<<3, uint32(b0[x])<<3+5, uint32(s0[x])<<3+1, uint32(s0[x+1])<<3+3, uint32(fall[x])<<3+2, uint32(rise[x+1])<<3+4
		// corners: A top left, B top right, C bottom left, D bottom right
		// t=AB b=CD l=AC r=BD f=AD i=BC
		if t > min(max(l, i), max(f, r), max(l, b, r), max(f, b, i)) {
			top[x] = noEdge
		}
		if b > min(max(l, f), max(i, r), max(l, t, r), max(f, t, i)) {
			bottom[x] = noEdge
		}
		if l > min(max(t, i), max(f, b), max(t, r, b), max(f, r, i)) {
			side[x] = noEdge
		}
		if r > min(max(t, f), max(i, b), max(t, l, b), max(f, l, i)) {
			side[x+1] = noEdge
		}
		if f > min(max(t, r), max(l, b), max(t, i, b), max(l, i, r)) {
			fall[x] = noEdge
		}
		if i > min(max(t, l), max(r, b), max(t, f, b), max(l, f, r)) {
			rise[x+1] = noEdge
		}
	}
}

func list2(dst []uint64, base uint32, r, d []uint16) int {
	n := 0
	d = d[:len(r)]
	for x := range r {
		e := uint64(base+uint32(x)) * directions
		w := uint64(r[x])
		dst[n] = w<<32 | (e + right)
		n += light(w)
		w = uint64(d[x])
		dst[n] = w<<32 | (e + down)
		n += light(w)
	}
	return n
}

func list4(dst []uint64, base uint32, r, d, dr, dl []uint16) int {
	n := 0
	d, dr, dl = d[:len(r)], dr[:len(r)], dl[:len(r)]
	for x := range r {
		e := uint64(base+uint32(x)) * directions
		w := uint64(r[x])
		dst[n] = w<<32 | (e + right)
		n += light(w)
		w = uint64(d[x])
		dst[n] = w<<32 | (e + down)
		n += light(w)
		w = uint64(dr[x])
		dst[n] = w<<32 | (e + downRight)
		n += light(w)
		w = uint64(dl[x])
		dst[n] = w<<32 | (e + downLeft)
		n += light(w)
	}
	return n
}

// light is 1 for a weight below lightLimit, else 0, without a jump.
func light(w uint64) int { return int((w - lightLimit) >> 63) }

// join joins the pixels by the light edges as long as the least scale, and with it
// all larger ones, agrees. Two regions that it does not join here may be joined at
// a larger scale: what becomes of them is no longer common to all, and they wait.
func (g *Graph) join(ctx context.Context) error {
	g.forest = resize(g.forest, g.width*g.height)
	nodes := g.forest
	for start := 0; start < len(nodes); start += pollEvery {
		if err := ctx.Err(); err != nil {
			return err
		}
		chunk := nodes[start:min(start+pollEvery, len(nodes))]
		for i := range chunk {
			chunk[i] = node{parent: -1, limit: int32(g.least)}
		}
	}
	f := forest{nodes, uint32(g.least)}
	step := [directions]uint32{right: 1, down: uint32(g.width), downRight: uint32(g.width + 1), downLeft: uint32(g.width - 1)}
	next := uint32(0)
	poll := uint32(0)
	for w, end := range g.counts[:lightLimit] {
		for next < end {
			if next >= poll {
				if err := ctx.Err(); err != nil {
					return err
				}
				poll = next + pollEvery
			}
			stop := min(end, poll)
			for _, e := range g.sorted[next:stop] {
				p := e / directions
				a, b := f.find(p), f.find(p+step[e%directions])
				if a == b {
					continue
				}
				na, nb := &nodes[a], &nodes[b]
				if int32(w) <= min(na.limit, nb.limit) {
					f.join(a, b, int32(w))
				} else {
					na.limit |= math.MinInt32
					nb.limit |= math.MinInt32
				}
			}
			next = stop
		}
	}
	return nil
}

// findAtoms numbers the trees of the forest in the order of their first pixels, which are their roots.
func (g *Graph) findAtoms(ctx context.Context) error {
	g.atomOf = resize(g.atomOf, len(g.forest))
	g.atoms = g.atoms[:0]
	w := g.width
	for y := range g.height {
		if err := ctx.Err(); err != nil {
			return err
		}
		base := y * w
		nodes := g.forest[base : base+w]
		row := g.atomOf[base : base+w]
		for x, nd := range nodes {
			var id int32
			if nd.parent < 0 {
				id = int32(len(g.atoms))
				size := -nd.parent
				inner := nd.limit&math.MaxInt32 - int32(uint32(g.least)/uint32(size))
				g.atoms = append(g.atoms, atom{size, inner, box.Box{X0: int32(x), Y0: int32(y), X1: int32(x + 1), Y1: int32(y + 1)}})
			} else {
				id = g.atomOf[nd.parent]
				b := &g.atoms[id].box
				b.X0, b.X1, b.Y1 = min(b.X0, int32(x)), max(b.X1, int32(x+1)), int32(y+1)
			}
			row[x] = id
		}
	}
	return nil
}

// nearestBits is the size of the table that connect finds repeated edges with.
const nearestBits = 14

// connect lists the edges between atoms, sorted. Of those between the same two only the first matters.
func (g *Graph) connect(ctx context.Context, c Connectivity) error {
	w := g.width
	g.nearest = resize(g.nearest, 1<<nearestBits)
	clear(g.nearest)
	list := append(g.between[:0], edge{a: -1})
	add := func(a, b int32, weight uint16) {
		if weight == noEdge {
			return
		}
		if a > b {
			a, b = b, a
		}
		at := &g.nearest[(uint32(a)*0x9e3779b1+uint32(b)*0x85ebca6b)>>(32-nearestBits)]
		if e := &list[*at]; e.a == a && e.b == b {
			if e.weight <= int32(weight) {
				return
			}
			e.a = -1 // superseded
		}
		*at = int32(len(list))
		list = append(list, edge{a, b, int32(weight)})
	}
	for y := range g.height {
		if err := ctx.Err(); err != nil {
			return err
		}
		base := y * w
		here := g.atomOf[base : base+w]
		below := here
		if y < g.height-1 {
			below = g.atomOf[base+w : base+2*w]
		}
		for x, a := range here {
			i := base + x
			if x < w-1 {
				if b := here[x+1]; a != b {
					add(a, b, g.weights[right][i])
				}
			}
			if b := below[x]; a != b {
				add(a, b, g.weights[down][i])
			}
			if c == Eight {
				if x < w-1 {
					if b := below[x+1]; a != b {
						add(a, b, g.weights[downRight][i])
					}
				}
				if x > 0 {
					if b := below[x-1]; a != b {
						add(a, b, g.weights[downLeft][i])
					}
				}
			}
		}
	}
	g.between = list
	counts := g.counts[:weightLimit]
	clear(counts)
	for _, e := range list {
		if e.a >= 0 {
			counts[e.weight]++
		}
	}
	total := uint32(0)
	for w, count := range counts {
		counts[w] = total
		total += count
	}
	g.edges = resize(g.edges, int(total))
	for _, e := range list {
		if e.a >= 0 {
			at := &counts[e.weight]
			g.edges[*at] = e
			*at++
		}
	}
	return nil
}
