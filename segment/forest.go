package segment

import (
	"math"

	"github.com/proposer/proposer/internal/freelist"
)

// part is what counts of a set of pixels that is in one region at every scale.
type part struct {
	size  int32 // number of pixels
	inner int32 // Int(C)
}

// edge is an edge between two parts.
type edge struct{ a, b, weight int32 }

// forest is a union-find forest of trees of height one: to find a root takes one look,
// at any time. To join two trees takes a look at each node of the smaller, O(n log n)
// for all joins together.
type forest struct {
	nodes []node
	scale uint32 // k in weight steps
}

type node struct {
	root  int32 // of its tree
	next  int32 // of its tree's nodes, which make a ring
	size  int32 // of a root: the tree's pixels
	limit int32 // of a root: Int(C) + k/|C|, rounded down; negative if the tree waits
}

// plant makes a tree of every part.
func (f *forest) plant(parts []part, scale uint32) {
	f.scale = scale
	f.nodes = freelist.Resize(f.nodes, len(parts))
	for i, p := range parts {
		f.nodes[i] = node{int32(i), int32(i), p.size, p.inner + f.tau(p.size)}
	}
}

// tau is k/|C|, rounded down.
func (f *forest) tau(size int32) int32 { return int32(f.scale / uint32(size)) }

// find is the root of x's tree.
func (f *forest) find(x int32) int32 { return f.nodes[x].root }

// limit is the largest weight that joins two roots. As weights are whole numbers of
// steps, rounding limits down loses nothing.
func (f *forest) limit(a, b int32) int32 { return min(f.nodes[a].limit, f.nodes[b].limit) }

// wait keeps a root from being joined.
func (f *forest) wait(a int32) { f.nodes[a].limit |= math.MinInt32 }

// part is a root's tree.
func (f *forest) part(a int32) part {
	n := &f.nodes[a]
	return part{n.size, n.limit&math.MaxInt32 - f.tau(n.size)}
}

// join makes one tree of two roots; w becomes its Int(C).
func (f *forest) join(a, b, w int32) {
	nodes := f.nodes
	size := nodes[a].size + nodes[b].size
	if nodes[a].size < nodes[b].size {
		a, b = b, a
	}
	for x := b; ; {
		n := &nodes[x]
		n.root = a
		if x = n.next; x == b {
			break
		}
	}
	na, nb := &nodes[a], &nodes[b]
	na.next, nb.next = nb.next, na.next
	na.size, na.limit = size, w+f.tau(size)
}
