// Package candidate holds the unranked candidates of a selective search and the evidence
// for each: the distinct boxes of all nodes of all merge trees, and the nodes that they are
// the boxes of. Candidates of another [Kind] have boxes that no node has.
//
// Package selective collects a [Set] and has it ranked; a custom ranker (selective.Ranker)
// reads one.
package candidate

import (
	"context"
	"fmt"
	"math/bits"

	"github.com/proposer/proposer/box"
	"github.com/proposer/proposer/hierarchy"
	"github.com/proposer/proposer/internal/freelist"
	"github.com/proposer/proposer/internal/overlap"
	"github.com/proposer/proposer/internal/parallel"
	"github.com/proposer/proposer/raster"
)

// A Candidate is an unranked box that may hold an object.
type Candidate struct {
	Box box.Box
	// Origins are the nodes that the candidate is made of, as its Kind says: by tree, and within
	// a tree from the root on. There is at least one.
	Origins []Origin
	Kind    Kind
	// Similarity is the largest similarity of the two parts of a union, else 0.
	Similarity float32
}

// A Kind says how a candidate is made of its origins.
type Kind uint8

const (
	// FromTree, the zero value, is a box of one or more nodes, the origins.
	FromTree Kind = iota
	// Union is the box of the union of two touching regions of one tree, which is no region of
	// that tree. The origins are pairs of nodes; the union of each pair has the box.
	Union
	// Joined is the box of two candidates that overlap, mostly regions of different trees. The
	// origins are the nodes of one region of each, without their other regions.
	Joined
	numKinds
)

var kindNames = [numKinds]string{"tree", "union", "joined"}

func (k Kind) String() string {
	if k < numKinds {
		return kindNames[k]
	}
	return fmt.Sprintf("Kind(%d)", uint8(k))
}

// Parts returns how many consecutive ones of a candidate's origins together make one region of
// it: 2 for unions, all for joined ones, else 1.
func (k Kind) Parts(origins int) int {
	switch k {
	case Union:
		return 2
	case Joined:
		return origins
	}
	return 1
}

// An Origin is a node of a merge tree that a candidate is made of. Birth and Death are
// named after those of persistent homology (Edelsbrunner, Letscher and Zomorodian, 2002): the
// longer the interval between them, the more a region stands out.
type Origin struct {
	// Strategy is the index of the tree, which is that of its strategy.
	Strategy int32
	// Position counts the nodes of the tree from the root: 1 is the root, 2 the region that was
	// merged last before it, and so on. [hierarchy.Tree.At] returns the node.
	Position int32
	// Size is the number of pixels of the region.
	Size int32
	// Birth is the similarity of the two regions that were merged into this one, +Inf for an
	// initial region. Death is the similarity of this region and the one that it was merged
	// with, 0 for the root.
	Birth, Death float32
}

// A Set holds the candidates of one search. Its zero value is empty. Methods that fill it
// reuse its memory; the others are safe for concurrent use.
type Set struct {
	// Image is the image that was searched, in RGB or Gray.
	Image *raster.Image
	// Trees are the merge trees, one for each strategy. Spaces are the color spaces of their
	// strategies.
	Trees  []*hierarchy.Tree
	Spaces []raster.Space
	// Run runs tasks on the threads of the search. Nil is sequential.
	Run parallel.Runner
	// Candidates have distinct boxes. Those of nodes come first, then unions, then joined ones. The
	// order of those of nodes and of unions is that of their first origins.
	Candidates []Candidate

	boxes  []box.Box // by candidate
	graph  *overlap.Graph
	offset int // the index in graph of the first candidate

	// Of Collect.
	table  []int32 // hash table, by open addressing: 1 + the index of a candidate, or 0
	counts []int32 // by candidate: number of origins
	nodes  []int32 // by node of all trees: its candidate, or −1

	unions unions // of AddUnions
}

// pollEvery is the number of nodes between two checks of the context.
const pollEvery = 1 << 14

// Collect sets Candidates to the distinct boxes of all nodes of Trees whose sides are at
// least minSide pixels and for which keep, unless it is nil, returns true. The Origins are
// newly allocated, all else is reused by the next call. The only error is the context's. Time
// and memory are linear in the number of nodes.
func (s *Set) Collect(ctx context.Context, minSide int, keep func(box.Box) bool) error {
	total := 0
	for _, t := range s.Trees {
		total += len(t.Nodes)
	}
	if err := s.deduplicate(ctx, total, minSide, keep); err != nil {
		return err
	}
	s.Candidates = s.Candidates[:0]
	origins := make([]Origin, total)
	for i, n := range s.counts {
		s.Candidates = append(s.Candidates, Candidate{Box: s.boxes[i], Origins: origins[:0:n]})
		origins = origins[n:]
	}
	nodes := s.nodes
	for strategy, t := range s.Trees {
		for i := len(t.Nodes) - 1; i >= 0; i-- {
			if err := parallel.Poll(ctx, i, pollEvery); err != nil {
				return err
			}
			index := nodes[0]
			nodes = nodes[1:]
			if index < 0 {
				continue
			}
			c := &s.Candidates[index]
			c.Origins = append(c.Origins, originOf(t, strategy, i))
		}
	}
	return nil
}

// originOf returns a node of the tree of a strategy as an origin.
func originOf(t *hierarchy.Tree, strategy, i int) Origin {
	node := &t.Nodes[i]
	o := Origin{Strategy: int32(strategy), Position: int32(t.Position(i)), Size: node.Size, Birth: node.Similarity}
	if node.Parent >= 0 {
		o.Death = t.Nodes[node.Parent].Similarity
	}
	return o
}

// deduplicate numbers the distinct boxes of all nodes, total in number.
func (s *Set) deduplicate(ctx context.Context, total, minSide int, keep func(box.Box) bool) error {
	s.reserve(total)
	s.nodes = s.nodes[:0]
	for _, t := range s.Trees {
		for i := len(t.Nodes) - 1; i >= 0; i-- {
			if err := parallel.Poll(ctx, i, pollEvery); err != nil {
				return err
			}
			b := t.Nodes[i].Box
			if dropped(b, minSide, keep) {
				s.nodes = append(s.nodes, -1)
				continue
			}
			index := s.insert(b)
			s.nodes = append(s.nodes, index)
			s.counts[index]++
		}
	}
	return nil
}

// dropped reports whether the filters of Collect drop a box.
func dropped(b box.Box, minSide int, keep func(box.Box) bool) bool {
	return int(b.Width()) < minSide || int(b.Height()) < minSide || keep != nil && !keep(b)
}

// insertCandidates resets the table to the boxes of all candidates, and allocates entries for more.
func (s *Set) insertCandidates(more int) {
	s.reserve(len(s.Candidates) + more)
	for i := range s.Candidates {
		s.insert(s.Candidates[i].Box)
	}
}

// reserve empties the table and makes room for a number of boxes.
func (s *Set) reserve(boxes int) {
	s.table = freelist.Resize(s.table, 1<<bits.Len(uint(2*boxes))) // at most half full
	clear(s.table)
	s.boxes = s.boxes[:0]
	s.counts = s.counts[:0]
}

// insert returns the index of the candidate with box b, which it adds if there is none.
func (s *Set) insert(b box.Box) int32 {
	h := (uint64(uint32(b.X0))<<32|uint64(uint32(b.Y0)))*0x9e3779b97f4a7c15 ^
		(uint64(uint32(b.X1))<<32|uint64(uint32(b.Y1)))*0xd6e8feb86659fd93
	h ^= h >> 32
	h *= 0x9e3779b97f4a7c15
	mask := len(s.table) - 1
	for i := int(h>>32) & mask; ; i = (i + 1) & mask {
		index := s.table[i] - 1
		if index < 0 {
			s.boxes = append(s.boxes, b)
			s.counts = append(s.counts, 0)
			s.table[i] = int32(len(s.boxes))
			return int32(len(s.boxes) - 1)
		}
		if s.boxes[index] == b {
			return index
		}
	}
}

// FindOverlaps finds the pairs of candidates with an IoU of at least 0.5, on which
// [Set.OverlapHistogram] and [Set.CoverageOrder] rest. Errors are the context's and those of
// Run. It keeps 100 to 500 bytes for each candidate of photographs, 2 KiB at most, or 128 MiB
// if there are few candidates.
func (s *Set) FindOverlaps(ctx context.Context) error {
	s.boxes = s.boxes[:0]
	for i := range s.Candidates {
		s.boxes = append(s.boxes, s.Candidates[i].Box)
	}
	if s.graph == nil {
		s.graph = new(overlap.Graph)
	}
	return s.graph.Build(ctx, s.boxes, s.Run)
}

// A Histogram counts the candidates that overlap one by an IoU of .5 to .6, .6 to .7, .7 to .8,
// .8 to .9, and from .9 on.
type Histogram = overlap.Histogram

// OverlapHistogram counts the candidates that overlap candidate i, without itself. It is
// estimated from a subset where there are very many. It needs [Set.FindOverlaps].
func (s *Set) OverlapHistogram(i int) Histogram { return s.graph.Histogram(s.offset + i) }

// CoverageOrder returns candidates in the order in which they are best taken, given their
// scores, and what each added. It needs [Set.FindOverlaps]; see [overlap.CoverageOrder].
func (s *Set) CoverageOrder(ctx context.Context, scores []float32, limit int, includeRest bool) (order []int32, gains []float32, err error) {
	return overlap.CoverageOrder(ctx, s.graph, scores, limit, includeRest)
}

// OverlapMemory returns the number of bytes that are kept for overlaps.
func (s *Set) OverlapMemory() int {
	if s.graph == nil {
		return 0
	}
	return s.graph.EdgeBytes()
}
