package hierarchy

import (
	"context"
	"fmt"
	"math"

	"github.com/proposer/proposer/internal/freelist"
	"github.com/proposer/proposer/raster"
)

// Measure compares and merges regions. Each region is in a slot: an initial region in the
// slot of its label, a merged region in the slot of one of its two parts.
type Measure interface {
	// Similarities writes to dst the similarity of the region in slot a to each of others,
	// which are in no particular order: finite numbers of at least 0. dst has the length
	// of others.
	Similarities(dst []float32, a int32, others []int32)
	// Merge makes slot a the union of the regions in slots a and b; b is not used again.
	Merge(a, b int32)
}

// Grouper builds merge trees and reuses its memory from one tree to the next. Its zero
// value is ready; it is not safe for concurrent use.
//
// Each pair of neighbors belongs to the younger of the two, whose similarities were
// computed when it was created, and only the best pair of each region takes part in the
// tournament for the next merge. When a region's partner is merged away, its pair stays
// until it wins, and only then is it replaced by the best of those left: a region makes one
// update to the tournament, not one for every neighbor.
type Grouper struct {
	// MaxPairs is the maximum number of pairs that are kept in Tree.Pairs.
	MaxPairs int

	tree  *Tree
	slots []int32 // by node: its slot in the Measure

	// By slot.
	nodes      []int32 // the number of the node there, or removed
	links      []link
	lists      []list
	tournament []uint64 // a tree of maxima: entry r+slot is the slot's, entry i the larger of 2i and 2i+1

	// The arena holds the neighbor lists of the regions: their neighbors as slots, which
	// may have been merged away since, and their similarities.
	neighbors    []int32
	similarities []float32
	used         int32
}

// removed marks a slot whose region was merged into another slot. It is larger than any node.
const removed = math.MaxInt32

type link struct {
	parent int32 // the slot itself, or one that it was merged into (disjoint sets)
	seen   int32 // the last node whose neighbors it was counted among
}

// list is the neighbor list of a region, neighbors[start:end]. The similarities of those in
// [start:weighed] are known. The best of them is partner.
type list struct{ start, weighed, end, partner int32 }

// entry returns the sort key of a pair, largest first. The pairs of one region are ordered
// by similarity, then by the partner's node; the best pairs of different regions by
// similarity, then by their own node. Older nodes come first. No entry is 0. The bits of
// non-negative floats are in the order of their values.
func entry(similarity float32, node int32) uint64 {
	return uint64(math.Float32bits(similarity))<<32 | uint64(^uint32(node))
}

func entryNode(entry uint64) int32         { return int32(^uint32(entry)) }
func entrySimilarity(entry uint64) float32 { return math.Float32frombits(uint32(entry >> 32)) }

// pollEvery is the number of similarities to compute between two checks of the context.
const pollEvery = 1 << 11

// Group merges the most similar pair of neighbors until one region is left. Equally similar
// pairs are taken in the order of the larger of their two node numbers, then of the
// smaller: the older pair first. graph is the region adjacency graph of labels; region r
// begins in slot r of m. Group reuses the memory of dst if that is not nil.
//
// With E the number of similarities computed, which is the sum of the merged regions'
// numbers of neighbors and in images a few times R, time is O(E), plus O(log R) for each
// merge and for each best pair that another merge invalidates. Memory is linear in the
// graph. The only errors are those of the context. Group panics if graph has no region, is
// not connected, or does not have the regions of labels.
func (g *Grouper) Group(ctx context.Context, dst *Tree, graph *Graph, labels *raster.LabelImage, m Measure) (*Tree, error) {
	r := graph.Regions()
	if r == 0 || len(labels.Sizes) != r || len(labels.Boxes) != r {
		panic(fmt.Sprintf("hierarchy: Group: graph of %d regions, %d sizes and %d boxes: want equal numbers above 0",
			r, len(labels.Sizes), len(labels.Boxes)))
	}
	if dst == nil {
		dst = new(Tree)
	}
	g.tree = dst
	defer func() { g.tree = nil }() // it is the caller's
	g.begin(graph, labels)
	work := pollEvery
	for slot := range int32(r) {
		if work >= pollEvery {
			if err := ctx.Err(); err != nil {
				return nil, err
			}
			work = 0
		}
		g.tournament[r+int(slot)] = g.weigh(m, slot)
		g.keepPairs(slot)
		work += 1 + int(g.lists[slot].weighed-g.lists[slot].start)
	}
	for i := r - 1; i > 0; i-- {
		g.tournament[i] = max(g.tournament[2*i], g.tournament[2*i+1])
	}
	for len(dst.Nodes) < 2*r-1 {
		if work >= pollEvery {
			if err := ctx.Err(); err != nil {
				return nil, err
			}
			work = 0
		}
		a, b, s := g.best()
		g.merge(a, b, s)
		m.Merge(a, b)
		g.update(b, 0)
		g.update(a, g.weigh(m, a))
		g.keepPairs(a)
		work += 1 + int(g.lists[a].weighed-g.lists[a].start)
	}
	dst.Pairs = dst.Pairs[max(len(dst.Pairs)-g.MaxPairs, 0):]
	return dst, nil
}

// begin sets up the leaves.
func (g *Grouper) begin(graph *Graph, labels *raster.LabelImage) {
	r := labels.Regions()
	g.tree.Pairs = g.tree.Pairs[:0]
	g.tree.Nodes = freelist.Resize(g.tree.Nodes, 2*r-1)[:r]
	g.slots = freelist.Resize(g.slots, 2*r-1)[:r]
	g.nodes = freelist.Resize(g.nodes, r)
	g.links = freelist.Resize(g.links, r)
	g.lists = freelist.Resize(g.lists, r)
	g.tournament = freelist.Resize(g.tournament, 2*r)
	// A union has no more neighbors than its two parts together. So the lists in use never
	// outgrow the initial ones, and after packing there is always room for another list of
	// that total length; the last third keeps packing rare.
	g.neighbors = freelist.Resize(g.neighbors, 3*len(graph.ids))
	g.similarities = freelist.Resize(g.similarities, 3*len(graph.ids))
	g.used = int32(copy(g.neighbors, graph.ids))
	for i := range r {
		g.tree.Nodes[i] = Node{
			Box: labels.Boxes[i], Size: labels.Sizes[i],
			Children: [2]int32{-1, -1}, Parent: -1,
			Similarity: float32(math.Inf(1)),
		}
		slot := int32(i)
		g.slots[i], g.nodes[i] = slot, slot
		g.links[i] = link{parent: slot}
		l := list{start: graph.starts[i], end: graph.starts[i+1]}
		l.weighed = l.start
		for l.weighed < l.end && g.neighbors[l.weighed] < slot {
			l.weighed++
		}
		g.lists[i] = l
	}
}

// weigh computes the similarities of a region to its neighbors in [start:weighed] and
// returns its tournament entry.
func (g *Grouper) weigh(m Measure, slot int32) uint64 {
	l := g.lists[slot]
	if l.start == l.weighed {
		return 0
	}
	m.Similarities(g.similarities[l.start:l.weighed], slot, g.neighbors[l.start:l.weighed])
	return g.choose(slot)
}

// keepPairs appends the pairs of a region whose similarities have just been computed. The list grows
// to twice MaxPairs before the oldest are removed, which takes amortized constant time per pair.
func (g *Grouper) keepPairs(slot int32) {
	if g.MaxPairs <= 0 {
		return
	}
	l, pairs := &g.lists[slot], g.tree.Pairs
	if n := len(pairs) - g.MaxPairs; n >= g.MaxPairs {
		pairs = append(pairs[:0], pairs[n:]...)
	}
	for i, x := range g.neighbors[l.start:l.weighed] {
		pairs = append(pairs, Pair{g.nodes[x], g.nodes[slot], g.similarities[int(l.start)+i]})
	}
	g.tree.Pairs = pairs
}

// choose finds a region's best pair among those whose other region still exists, and
// returns the region's tournament entry, 0 if there is none.
func (g *Grouper) choose(slot int32) uint64 {
	l, n := &g.lists[slot], g.nodes[slot]
	neighbors := g.neighbors[l.start:l.weighed]
	similarities := g.similarities[l.start:l.weighed][:len(neighbors)]
	nodes := g.nodes
	best := uint64(0)
	for i, x := range neighbors {
		other := nodes[x]
		e := entry(similarities[i], other)
		if other > n { // it was merged after its similarity was computed
			e = 0
		}
		best = max(best, e)
	}
	if best == 0 {
		return 0
	}
	l.partner = g.slots[entryNode(best)]
	return entry(entrySimilarity(best), n)
}

// update sets a slot's tournament entry.
func (g *Grouper) update(slot int32, e uint64) {
	tournament := g.tournament
	i := len(tournament)/2 + int(slot)
	tournament[i] = e
	for i > 1 {
		e = max(e, tournament[i^1])
		i /= 2
		tournament[i] = e
	}
}

// best returns the slots of the most similar pair of regions, the older region first.
func (g *Grouper) best() (a, b int32, s float32) {
	for {
		e := g.tournament[1]
		if e == 0 {
			panic("hierarchy: Group: the adjacency graph is not connected")
		}
		b = g.slots[entryNode(e)]
		if a = g.lists[b].partner; g.nodes[a] < g.nodes[b] {
			return a, b, entrySimilarity(e)
		}
		g.update(b, g.choose(b))
	}
}

// merge adds the union of the regions in slots a and b to the tree and lists its neighbors
// in slot a.
func (g *Grouper) merge(a, b int32, s float32) {
	id := int32(len(g.tree.Nodes))
	na, nb := g.nodes[a], g.nodes[b]
	x, y := &g.tree.Nodes[na], &g.tree.Nodes[nb]
	x.Parent, y.Parent = id, id
	g.tree.Nodes = append(g.tree.Nodes, Node{
		Box: x.Box.Union(y.Box), Size: x.Size + y.Size,
		Children: [2]int32{na, nb}, Parent: -1,
		Similarity: s,
	})
	g.slots = append(g.slots, a)
	if la, lb := g.lists[a], g.lists[b]; int(g.used+la.end-la.start+lb.end-lb.start) > len(g.neighbors) {
		g.pack()
	}
	g.nodes[a], g.nodes[b] = id, removed
	g.links[b].parent = a
	g.links[a].seen = id
	neighbors, at := g.neighbors, g.used
	for _, l := range [2]list{g.lists[a], g.lists[b]} {
		for _, x := range neighbors[l.start:l.end] {
			x = g.find(x)
			neighbors[at] = x
			if g.links[x].seen != id {
				at++
			}
			g.links[x].seen = id
		}
	}
	g.lists[a] = list{start: g.used, weighed: at, end: at}
	g.used = at
}

// find returns the slot of the region that slot x was merged into. It halves the path.
func (g *Grouper) find(x int32) int32 {
	links := g.links
	for links[x].parent != x {
		links[x].parent = links[links[x].parent].parent
		x = links[x].parent
	}
	return x
}

// pack moves the lists in use to the front of the arena.
func (g *Grouper) pack() {
	at := int32(0)
	for n, slot := range g.slots {
		if g.nodes[slot] != int32(n) {
			continue
		}
		l := &g.lists[slot]
		copy(g.neighbors[at:], g.neighbors[l.start:l.end])
		copy(g.similarities[at:], g.similarities[l.start:l.weighed])
		*l = list{at, at + l.weighed - l.start, at + l.end - l.start, l.partner}
		at = l.end
	}
	g.used = at
}
