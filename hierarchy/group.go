// Package hierarchy groups the regions of a segmentation into a tree (Uijlings
// et al., IJCV 2013, algorithm 1): the two most similar neighbours become one
// region, and again, until one region is left that is the whole picture.
//
// What similar means is the caller's: [Group] works on any [Measure].
package hierarchy

import (
	"context"
	"fmt"
	"math"
	"slices"

	"github.com/proposer/proposer/box"
)

// Measure holds the regions that are still to be grouped, each in the slot of
// one of its first regions, and tells how similar two of them are.
type Measure interface {
	// Similarities writes to dst, which is as long as others, how similar the
	// region in slot a is to each of others: finite and not negative.
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

// Group merges the most similar pair of neighbours until one region is left.
// Equally similar pairs are taken in the order of the larger of their two node
// numbers, then the smaller: the older pair first. Region r of g begins in slot r
// of m and has sizes[r] pixels in boxes[r].
//
// The pairs wait in a heap, and a pair whose regions are gone is dropped when it
// comes up. With E pairs ever made, time is O(E log E) besides E similarities; E
// is the sum of the merged regions' numbers of neighbours, in pictures a few
// times R. The only errors are the context's. It panics if g has no region or is not connected.
func Group(ctx context.Context, g *Graph, sizes []int32, boxes []box.Box, m Measure) (*Tree, error) {
	r := g.Regions()
	if r == 0 || len(sizes) != r || len(boxes) != r {
		panic(fmt.Sprintf("hierarchy: Group: %d regions with %d sizes and %d boxes", r, len(sizes), len(boxes)))
	}
	s := newGrouping(g, sizes, boxes)
	for b := range int32(r) {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		near := g.Neighbours(int(b))
		older, _ := slices.BinarySearch(near, b)
		s.push(m, b, near[:older])
	}
	for len(s.nodes) < 2*r-1 {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		p, similarity := s.pop()
		near := s.merge(p, similarity)
		m.Merge(s.slots[p.a], s.slots[p.b])
		s.push(m, int32(len(s.nodes)-1), near)
	}
	return &Tree{Nodes: s.nodes}, nil
}

// pair is two regions that touch, a < b.
type pair struct{ a, b int32 }

// grouping is the state of Group.
type grouping struct {
	nodes []Node
	slots []int32   // by node: where the Measure has it
	near  [][]int32 // by node: the neighbours it was born with, which may have been merged away since
	heirs []int32   // by node: itself, or a node that it is now part of

	pairs []pair // every pair ever made, in the order that ties are taken
	queue queue

	seen         []int32   // by node: the last node whose neighbours it was counted among
	similarities []float32 // scratch
	others       []int32   // scratch
}

func newGrouping(g *Graph, sizes []int32, boxes []box.Box) *grouping {
	r := g.Regions()
	s := &grouping{
		nodes: make([]Node, r, 2*r-1),
		slots: make([]int32, r, 2*r-1),
		near:  make([][]int32, r, 2*r-1),
		pairs: make([]pair, 0, 4*len(g.ids)),
		queue: make(queue, 0, 2*len(g.ids)),
		heirs: make([]int32, 2*r-1),
		seen:  make([]int32, 2*r-1),
	}
	for i := range s.heirs {
		s.heirs[i] = int32(i)
	}
	for i := range s.nodes {
		s.nodes[i] = Node{
			Box: boxes[i], Size: sizes[i],
			Children: [2]int32{-1, -1}, Parent: -1,
			Similarity: float32(math.Inf(1)),
		}
		s.slots[i] = int32(i)
		s.near[i] = g.Neighbours(i)
	}
	return s
}

// push queues the pairs of region b with its older neighbours near, ascending.
func (s *grouping) push(m Measure, b int32, near []int32) {
	if len(near) == 0 {
		return
	}
	s.others = s.others[:0]
	for _, a := range near {
		s.others = append(s.others, s.slots[a])
	}
	s.similarities = slices.Grow(s.similarities[:0], len(near))[:len(near)]
	m.Similarities(s.similarities, s.slots[b], s.others)
	for i, a := range near {
		s.queue.push(entry(s.similarities[i], len(s.pairs)))
		s.pairs = append(s.pairs, pair{a, b})
	}
}

// pop is the most similar pair of regions that are both still there.
func (s *grouping) pop() (pair, float32) {
	for len(s.queue) > 0 {
		e := s.queue.pop()
		if p := s.pairs[e.pair()]; s.nodes[p.a].Parent < 0 && s.nodes[p.b].Parent < 0 {
			return p, e.similarity()
		}
	}
	panic("hierarchy: Group: the adjacency graph is not connected")
}

// merge adds the union of a pair to the tree and returns its neighbours, ascending.
func (s *grouping) merge(p pair, similarity float32) []int32 {
	id := int32(len(s.nodes))
	a, b := &s.nodes[p.a], &s.nodes[p.b]
	a.Parent, b.Parent = id, id
	s.heirs[p.a], s.heirs[p.b] = id, id
	node := Node{
		Box: a.Box.Union(b.Box), Size: a.Size + b.Size,
		Children: [2]int32{p.a, p.b}, Parent: -1,
		Similarity: similarity,
	}
	near := make([]int32, 0, len(s.near[p.a])+len(s.near[p.b]))
	s.nodes = append(s.nodes, node)
	for _, list := range [2][]int32{s.near[p.a], s.near[p.b]} {
		for _, x := range list {
			if x = s.live(x); x != id && s.seen[x] != id {
				s.seen[x] = id
				near = append(near, x)
			}
		}
	}
	s.near[p.a], s.near[p.b] = nil, nil
	slices.Sort(near)
	s.near = append(s.near, near)
	s.slots = append(s.slots, s.slots[p.a])
	return near
}

// live is the region that x is now part of; it halves the path on the way.
func (s *grouping) live(x int32) int32 {
	for s.heirs[x] != x {
		s.heirs[x] = s.heirs[s.heirs[x]]
		x = s.heirs[x]
	}
	return x
}
