package segment

import (
	"math"

	"github.com/proposer/proposer/internal/freelist"
)

// component is a set of pixels that are in one region at every scale.
type component struct {
	size     int32 // number of pixels
	internal int32 // Int(C), in weight steps
}

// edge is an edge between two components.
type edge struct{ a, b, weight int32 }

// threshold is the largest weight that may join a component, Int(C) + k/|C|, in weight
// steps. As weights are whole numbers, rounding it down loses nothing. The sign bit marks a
// blocked component, which accepts no weight.
type threshold int32

const blockedBit threshold = math.MinInt32

// accepts reports whether the component may be joined by an edge of weight w.
func (t threshold) accepts(w int32) bool { return w <= int32(t) }

// blocked returns the threshold of the component when it is blocked.
func (t threshold) blocked() threshold { return t | blockedBit }

// weight returns the threshold without regard to whether the component is blocked.
func (t threshold) weight() int32 { return int32(t &^ blockedBit) }

// disjointSets is a union-find structure whose trees have height one: find takes a single
// look-up. A union updates each node of the smaller set, O(n log n) for all unions together.
type disjointSets struct {
	nodes []node
	scale uint32 // k, in weight steps
}

type node struct {
	root int32 // the representative of its set
	next int32 // in the ring of the nodes of its set

	// Of a root.
	size      int32 // number of pixels of its set
	threshold threshold
}

// init makes a set of each component.
func (s *disjointSets) init(components []component, scale uint32) {
	s.scale = scale
	s.nodes = freelist.Resize(s.nodes, len(components))
	for i, c := range components {
		s.nodes[i] = node{int32(i), int32(i), c.size, threshold(c.internal + s.tau(c.size))}
	}
}

// tau returns k/|C|, rounded down.
func (s *disjointSets) tau(size int32) int32 { return int32(s.scale / uint32(size)) }

// find returns the root of the set of x.
func (s *disjointSets) find(x int32) int32 { return s.nodes[x].root }

// threshold returns the largest weight that joins the sets of two roots.
func (s *disjointSets) threshold(a, b int32) threshold {
	return min(s.nodes[a].threshold, s.nodes[b].threshold)
}

// block keeps the set of a root from being joined.
func (s *disjointSets) block(a int32) { s.nodes[a].threshold = s.nodes[a].threshold.blocked() }

// component returns the set of a root.
func (s *disjointSets) component(a int32) component {
	n := &s.nodes[a]
	return component{n.size, n.threshold.weight() - s.tau(n.size)}
}

// join joins the sets of two roots; w becomes its Int(C).
func (s *disjointSets) join(a, b, w int32) {
	nodes := s.nodes
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
	na.next, nb.next = nb.next, na.next // joins the two rings
	na.size, na.threshold = size, threshold(w+s.tau(size))
}
