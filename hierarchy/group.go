// Package hierarchy groups the regions of a segmentation into a tree (Uijlings
// et al., IJCV 2013, algorithm 1): the two most similar neighbours become one
// region, and again, until one region is left that is the whole picture.
//
// What similar means is the caller's: [Grouper.Group] works on any [Measure].
package hierarchy

import (
	"context"
	"fmt"
	"math"

	"github.com/proposer/proposer/box"
	"github.com/proposer/proposer/internal/freelist"
)

// Measure holds the regions that are still to be grouped, each in the slot of
// one of its first regions, and tells how similar two of them are.
type Measure interface {
	// Similarities writes to dst, which is as long as others, how similar the
	// region in slot a is to each of others: finite and not negative. Others are
	// in no order.
	Similarities(dst []float32, a int32, others []int32)
	// Merge makes slot a the union of the regions in slots a and b; b is not used again.
	Merge(a, b int32)
}

// Node is a region of the tree.
type Node struct {
	Box box.Box
	// Size is the region's number of pixels.
	Size int32
	// Children are the two regions that were merged into this one, the smaller
	// number first; −1 and −1 for a leaf.
	Children [2]int32
	// Parent is the region that this one was merged into; −1 for the root.
	Parent int32
	// Similarity is the one of the two children when they were merged; of a leaf,
	// which was not merged, it is +Inf.
	Similarity float32
}

// Tree is the record of a grouping. Of R first regions it has 2R−1 nodes: the
// leaves 0..R−1 in the order of their labels, then the merged regions in the order
// of their making. The last is the root.
type Tree struct {
	Nodes []Node
}

// Leaves is the number of first regions.
func (t *Tree) Leaves() int { return (len(t.Nodes) + 1) / 2 }

// Position is a node's place from the root: 1 for the root, 2 for the region
// made last before it, and so on to the leaves.
func (t *Tree) Position(node int) int { return len(t.Nodes) - node }

// At is the node at a place from the root, as Position tells it.
func (t *Tree) At(position int) int { return len(t.Nodes) - position }

// Grouper groups, and keeps its memory for the next time. Its zero value is ready;
// it is not safe for concurrent use.
//
// A pair of neighbours belongs to the younger of the two, which weighed it when it
// was made, and only the best pair of each region is in the contest for the next
// merge. When a region's partner is merged away, its pair stands until it comes out
// on top, and only then gives way to the best of those left: a region makes one
// entry, not one for every neighbour.
type Grouper struct {
	tree  *Tree
	slots []int32 // by node: where the Measure has it

	// By slot.
	nodes   []int32 // the number of the node there, or gone
	links   []link
	lists   []list
	contest []uint64 // a tournament tree: entry r+slot is the slot's, entry i the larger of 2i and 2i+1

	// The arena holds the regions' lists in the order of their nodes: their
	// neighbours, as slots that may have been merged away since, and how similar they were.
	near         []int32
	similarities []float32
	used         int32
}

// gone is younger than any node.
const gone = math.MaxInt32

type link struct {
	heir int32 // the slot itself, or one that it was merged into
	seen int32 // the last node whose neighbours it was counted among
}

// list is a region's neighbours, near[start:end]; those in near[start:weighed] it
// has the similarity of.
type list struct{ start, weighed, end, partner int32 }

// entry orders the pairs of one region by similarity, then the partner's number, and
// the best pairs of different regions by similarity, then their own: the larger goes
// first. No entry is 0. The bits of floats that are not negative are in the order of
// their values.
func entry(similarity float32, node int32) uint64 {
	return uint64(math.Float32bits(similarity))<<32 | uint64(^uint32(node))
}

func node(entry uint64) int32         { return int32(^uint32(entry)) }
func similarity(entry uint64) float32 { return math.Float32frombits(uint32(entry >> 32)) }

// pollEvery is the number of pairs to weigh between two looks at the context.
const pollEvery = 1 << 11

// Group merges the most similar pair of neighbours until one region is left.
// Equally similar pairs are taken in the order of the larger of their two node
// numbers, then the smaller: the older pair first. Region r of graph begins in slot
// r of m and has sizes[r] pixels in boxes[r]. It reuses the memory of dst if that is
// not nil.
//
// With E pairs ever weighed, time is O(E) besides E similarities, and O(log R) for
// each merge and each best pair that another merge spoils, which its region then
// looks through its own for; E is the sum of the merged regions' numbers of
// neighbours, in pictures a few times R. Memory is linear in the graph. The only
// errors are the context's. It panics if graph has no region or is not connected.
func (g *Grouper) Group(ctx context.Context, dst *Tree, graph *Graph, sizes []int32, boxes []box.Box, m Measure) (*Tree, error) {
	r := graph.Regions()
	if r == 0 || len(sizes) != r || len(boxes) != r {
		panic(fmt.Sprintf("hierarchy: Group: %d regions with %d sizes and %d boxes", r, len(sizes), len(boxes)))
	}
	if dst == nil {
		dst = new(Tree)
	}
	g.tree = dst
	defer func() { g.tree = nil }() // it is the caller's
	g.begin(graph, sizes, boxes)
	work := pollEvery
	for slot := range int32(r) {
		if work >= pollEvery {
			if err := ctx.Err(); err != nil {
				return nil, err
			}
			work = 0
		}
		g.contest[r+int(slot)] = g.weigh(m, slot)
		work += 1 + int(g.lists[slot].weighed-g.lists[slot].start)
	}
	for i := r - 1; i > 0; i-- {
		g.contest[i] = max(g.contest[2*i], g.contest[2*i+1])
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
		g.enter(b, 0)
		g.enter(a, g.weigh(m, a))
		work += 1 + int(g.lists[a].weighed-g.lists[a].start)
	}
	return dst, nil
}

// begin sets up the leaves.
func (g *Grouper) begin(graph *Graph, sizes []int32, boxes []box.Box) {
	r := len(sizes)
	g.tree.Nodes = freelist.Resize(g.tree.Nodes, 2*r-1)[:r]
	g.slots = freelist.Resize(g.slots, 2*r-1)[:r]
	g.nodes = freelist.Resize(g.nodes, r)
	g.links = freelist.Resize(g.links, r)
	g.lists = freelist.Resize(g.lists, r)
	g.contest = freelist.Resize(g.contest, 2*r)
	// No union has more neighbours than its parts together. So the lists in use
	// never outgrow the first ones, and another as long again can always be made
	// after packing; the last third keeps packing rare.
	g.near = freelist.Resize(g.near, 3*len(graph.ids))
	g.similarities = freelist.Resize(g.similarities, 3*len(graph.ids))
	g.used = int32(copy(g.near, graph.ids))
	for i := range r {
		g.tree.Nodes[i] = Node{
			Box: boxes[i], Size: sizes[i],
			Children: [2]int32{-1, -1}, Parent: -1,
			Similarity: float32(math.Inf(1)),
		}
		slot := int32(i)
		g.slots[i], g.nodes[i] = slot, slot
		g.links[i] = link{heir: slot}
		l := list{start: graph.starts[i], end: graph.starts[i+1]}
		l.weighed = l.start
		for l.weighed < l.end && g.near[l.weighed] < slot {
			l.weighed++
		}
		g.lists[i] = l
	}
}

// weigh asks for the similarities of a region with its neighbours, up to where its
// list says weighed, and returns its entry in the contest.
func (g *Grouper) weigh(m Measure, slot int32) uint64 {
	l := g.lists[slot]
	if l.start == l.weighed {
		return 0
	}
	m.Similarities(g.similarities[l.start:l.weighed], slot, g.near[l.start:l.weighed])
	return g.choose(slot)
}

// choose finds a region's best pair among those whose other region is still there.
// It returns the region's entry in the contest, 0 if there is none.
func (g *Grouper) choose(slot int32) uint64 {
	l, n := &g.lists[slot], g.nodes[slot]
	near := g.near[l.start:l.weighed]
	similarities := g.similarities[l.start:l.weighed][:len(near)]
	nodes := g.nodes
	best := uint64(0)
	for i, x := range near {
		other := nodes[x]
		e := entry(similarities[i], other)
		if other > n { // it changed after they were weighed
			e = 0
		}
		best = max(best, e)
	}
	if best == 0 {
		return 0
	}
	l.partner = g.slots[node(best)]
	return entry(similarity(best), n)
}

// enter sets a slot's entry in the contest.
func (g *Grouper) enter(slot int32, e uint64) {
	contest := g.contest
	i := len(contest)/2 + int(slot)
	contest[i] = e
	for i > 1 {
		e = max(e, contest[i^1])
		i /= 2
		contest[i] = e
	}
}

// best is the most similar pair of regions, older first.
func (g *Grouper) best() (a, b int32, s float32) {
	for {
		e := g.contest[1]
		if e == 0 {
			panic("hierarchy: Group: the adjacency graph is not connected")
		}
		b = g.slots[node(e)]
		if a = g.lists[b].partner; g.nodes[a] < g.nodes[b] {
			return a, b, similarity(e)
		}
		g.enter(b, g.choose(b))
	}
}

// merge adds the union of the regions in slots a and b to the tree, and lists its
// neighbours in slot a.
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
	if la, lb := g.lists[a], g.lists[b]; int(g.used+la.end-la.start+lb.end-lb.start) > len(g.near) {
		g.pack()
	}
	g.nodes[a], g.nodes[b] = id, gone
	g.links[b].heir = a
	g.links[a].seen = id
	near, at := g.near, g.used
	for _, l := range [2]list{g.lists[a], g.lists[b]} {
		for _, x := range near[l.start:l.end] {
			x = g.live(x)
			near[at] = x
			if g.links[x].seen != id {
				at++
			}
			g.links[x].seen = id
		}
	}
	g.lists[a] = list{start: g.used, weighed: at, end: at}
	g.used = at
}

// live is the slot of the region that the one once in slot x is now part of; it
// halves the path on the way.
func (g *Grouper) live(x int32) int32 {
	links := g.links
	for links[x].heir != x {
		links[x].heir = links[links[x].heir].heir
		x = links[x].heir
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
		copy(g.near[at:], g.near[l.start:l.end])
		copy(g.similarities[at:], g.similarities[l.start:l.weighed])
		*l = list{at, at + l.weighed - l.start, at + l.end - l.start, l.partner}
		at = l.end
	}
	g.used = at
}
