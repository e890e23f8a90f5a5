package segment

import (
	"cmp"
	"context"
	"slices"

	"github.com/proposer/proposer/internal/freelist"
	"github.com/proposer/proposer/internal/kernels"
)

// numberComponents numbers the components of all tiles.
func (g *Graph) numberComponents() {
	n := 0
	for i := range g.tiles {
		g.tiles[i].first = int32(n)
		n += len(g.tiles[i].components)
	}
	g.tileComponents = slices.Grow(g.tileComponents[:0], n)
	for i := range g.tiles {
		g.tileComponents = append(g.tileComponents, g.tiles[i].components...)
	}
}

// componentRow writes the tile components of row y of the image, which lies in tiles.
func (g *Graph) componentRow(dst []int32, tiles []tile, y int) {
	row := g.labels[g.weights.at(0, y):]
	for i := range tiles {
		t := &tiles[i]
		labels := row[t.left:t.right]
		ids := dst[t.left:t.right][:len(labels)]
		for x, l := range labels {
			ids[x] = t.first + int32(label(l).local())
		}
	}
}

// boundaryEdges finds the edges between tile components.
type boundaryEdges struct {
	kept [directions][]uint16 // of a row: the weights of the edges that are listed
	ids  []int32              // the tile components of two rows
	keys []uint32             // edgeKey, of a chunk of a row
	// The edges of a strip, and the same sorted by their lower bits. They are copied to the
	// strip when their number is known, as growing lists leave much garbage.
	list, sorted []edge
}

// collect lists the edges between tile components that begin in strip i, ascending. Of those
// between the same two only the first is needed; the others do no harm.
func (b *boundaryEdges) collect(ctx context.Context, g *Graph, i int) error {
	s, w := &g.strips[i], &g.weights
	for d := range w.directions() {
		b.kept[d] = freelist.Resize(b.kept[d], g.width)
	}
	b.ids = freelist.Resize(b.ids, 2*g.width)
	b.keys = freelist.Resize(b.keys, w.directions()*min(g.width, chunk)+kernels.EdgeKeyPadding)
	list := b.list[:0]
	here, below := 0, g.width // where the rows' ids begin
	tiles := g.row(s.row)
	g.componentRow(b.ids[:g.width], tiles, s.top)
	for y := s.top; y < s.bottom; y++ {
		if err := ctx.Err(); err != nil {
			return err
		}
		if y+1 < g.height {
			if y+1 == tiles[0].bottom {
				tiles = g.row(s.row + 1)
			}
			g.componentRow(b.ids[below:][:g.width], tiles, y+1)
		}
		b.dedupe(g, y)
		step := [directions]int{right: 1, down: below - here, downRight: below - here + 1, downLeft: below - here - 1}
		for left := 0; left < g.width; left += chunk {
			var part [directions][]uint16
			for d := range w.directions() {
				part[d] = b.kept[d][left:min(left+chunk, g.width)]
			}
			n := edgeKeys(b.keys, 0, noEdge, &part)
			list = slices.Grow(list, n)
			at := len(list)
			list = list[:at+n]
			for i, k := range b.keys[:n] {
				key := edgeKey(k)
				p := here + left + int(key.pixel())
				list[at+i] = edge{b.ids[p], b.ids[p+step[key.direction()]], int32(key.weight())}
			}
		}
		here, below = below, here
	}
	b.list = list
	b.sorted = freelist.Resize(b.sorted, len(list))
	s.edges = freelist.Resize(s.edges, len(list))
	sortEdges(s.edges, list, b.sorted)
	return nil
}

// dedupe keeps, of the edges that begin in row y, those between different components, and
// of those along one boundary little more than the first.
func (b *boundaryEdges) dedupe(g *Graph, y int) {
	w := &g.weights
	from, to := w.at(-1, y-1), w.at(-1, y+2)+1
	var rows [directions][]uint16
	for d := range w.directions() {
		rows[d] = w.planes[d][from:to]
	}
	if w.connectivity == Four {
		kernels.BoundaryEdges4((*[2][]uint16)(b.kept[:]), (*[2][]uint16)(rows[:]), g.labels[from:to], w.stride)
	} else {
		kernels.BoundaryEdges8(&b.kept, &rows, g.labels[from:to], w.stride)
	}
}

// sortEdges sorts edges by weight, stably, by two counting sorts of one byte each.
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

// mergeRanges is the number of ranges of weights that are merged independently.
const mergeRanges = 8

// weightRanges returns the bounds of ranges of weights with about equally many edges. The
// first is 0, and the last is above all weights.
func (g *Graph) weightRanges() (bounds [mergeRanges + 1]int32) {
	for i := 1; i < mergeRanges; i++ {
		// The median over the strips of their quantile i.
		g.quantiles = g.quantiles[:0]
		for j := range g.strips {
			if s := g.strips[j].edges; len(s) > 0 {
				g.quantiles = append(g.quantiles, s[split(len(s), i, mergeRanges)].weight)
			}
		}
		slices.Sort(g.quantiles)
		if n := len(g.quantiles); n > 0 {
			bounds[i] = g.quantiles[n/2]
		}
	}
	bounds[mergeRanges] = noEdge
	return bounds
}

// edgeMerger merges the sorted edges of the strips.
type edgeMerger struct {
	edges  [][]edge // by strip
	counts []uint32 // by weight
}

// merge writes the edges with weights from low to high−1 to their places among all edges.
func (m *edgeMerger) merge(ctx context.Context, g *Graph, low, high int32) error {
	if low >= high {
		return nil
	}
	m.counts = freelist.Resize(m.counts, int(high-low))
	clear(m.counts)
	m.edges = m.edges[:0]
	defer func() { clear(m.edges) }() // the memory belongs to the strips
	total := uint32(0)
	for i := range g.strips {
		if err := ctx.Err(); err != nil {
			return err
		}
		edges := g.strips[i].edges
		first := countBelow(edges, low)
		total += uint32(first)
		edges = edges[first:]
		edges = edges[:countBelow(edges, high)]
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
			g.tileEdges[*at] = e
			*at++
		}
	}
	return nil
}

// countBelow returns the number of edges in a sorted list that are lighter than limit.
func countBelow(edges []edge, limit int32) int {
	n, _ := slices.BinarySearchFunc(edges, limit, func(e edge, limit int32) int { return cmp.Compare(e.weight, limit) })
	return n
}
