package candidate

import (
	"context"
	"math"
	"slices"

	"github.com/proposer/proposer/box"
	"github.com/proposer/proposer/hierarchy"
	"github.com/proposer/proposer/internal/freelist"
	"github.com/proposer/proposer/internal/parallel"
)

// unions is the memory of AddUnions.
type unions struct {
	of     []int32   // by pair of all trees: the union whose box it has, or −1
	values []float32 // by union: the lowest of its pairs
	keys   []uint64  // the value and the number of each union
}

// MinUnionSide is the shortest side of a union, in pixels.
const MinUnionSide = 10

// AddUnions appends candidates of kind [Union]: the boxes of two touching regions of one tree that
// were not merged with each other, from Tree.Pairs. It follows [Set.Collect] and has its filters.
// Boxes that are candidates already, or have a side below MinUnionSide, are left out, and of the
// others at most limit are added: those with the lowest
//
//	log2(p·q) + 20·w + 9·(1−s)
//
// of a pair, where p and q are the positions of the two regions in their tree, w is the width of
// the box as a fraction of the image's, and s is the share of the smaller region in the pixels of
// both. They are added in the order of the first pairs with their boxes.
//
// Combinations of touching regions of a hierarchy are those of Arbeláez et al. (CVPR 2014, MCG)
// and Pont-Tuset et al. (TPAMI 2017), who also rank them before use. The formula is rounded from
// logistic regression on the pairs of 200 photographs of COCO, for by how much the IoU with an
// object exceeds that of all boxes of nodes. Similarities did not contribute; the height did, but
// not on other photographs.
//
// The only error is the context's. With P pairs and C candidates, time is O(P log P + C) and
// memory is 40 bytes for each.
func (s *Set) AddUnions(ctx context.Context, limit, minSide int, keep func(box.Box) bool) error {
	if limit <= 0 {
		return nil
	}
	pairs := 0
	for _, t := range s.Trees {
		pairs += len(t.Pairs)
	}
	s.insertCandidates(pairs)
	if err := s.numberUnions(ctx, max(minSide, MinUnionSide), keep); err != nil {
		return err
	}
	s.selectUnions(limit)
	return s.appendUnions(ctx)
}

// numberUnions sets unions.of and unions.values.
func (s *Set) numberUnions(ctx context.Context, minSide int, keep func(box.Box) bool) error {
	u := &s.unions
	u.of, u.values = u.of[:0], u.values[:0]
	first := int32(len(s.boxes))
	for _, t := range s.Trees {
		root := &t.Nodes[len(t.Nodes)-1]
		scale := 1 / float32(root.Box.Width())
		for i := len(t.Pairs) - 1; i >= 0; i-- {
			if err := parallel.Poll(ctx, i, pollEvery); err != nil {
				return err
			}
			p := &t.Pairs[i]
			x, y := &t.Nodes[p.A], &t.Nodes[p.B]
			b := x.Box.Union(y.Box)
			u.of = append(u.of, -1)
			if x.Parent == y.Parent || dropped(b, minSide, keep) {
				continue
			}
			n := s.insert(b) - first
			if n < 0 {
				continue
			}
			v := unionValue(t, p, float32(b.Width())*scale)
			if int(n) == len(u.values) {
				u.values = append(u.values, v)
			}
			u.values[n] = min(u.values[n], v)
			u.of[len(u.of)-1] = n
		}
	}
	return nil
}

// unionValue returns the value of a pair whose union has a width, relative to the image's.
func unionValue(t *hierarchy.Tree, p *hierarchy.Pair, width float32) float32 {
	x, y := float32(t.Nodes[p.A].Size), float32(t.Nodes[p.B].Size)
	positions := float32(t.Position(int(p.A))) * float32(t.Position(int(p.B)))
	return log2(positions) + float32(20*width) + float32(9*(1-min(x, y)/(x+y)))
}

// log2 is exact at the powers of two and linear in between, which is the same on every machine.
func log2(v float32) float32 { return float32(math.Float32bits(v))/(1<<23) - 127 }

// selectUnions renumbers unions.of: the limit best ones are candidates, the others −1.
func (s *Set) selectUnions(limit int) {
	u := &s.unions
	u.keys = freelist.Resize(u.keys, len(u.values))
	for i, v := range u.values { // bits of positive floats are in the order of their values
		u.keys[i] = uint64(math.Float32bits(v))<<32 | uint64(i)
	}
	slices.Sort(u.keys)
	last := ^uint64(0)
	if limit < len(u.keys) {
		last = u.keys[limit-1]
	}
	first := len(s.boxes) - len(u.values)
	numbers := freelist.Resize(s.nodes, len(u.values))
	s.nodes = numbers
	for i, v := range u.values {
		numbers[i] = -1
		if uint64(math.Float32bits(v))<<32|uint64(i) <= last {
			numbers[i] = int32(len(s.Candidates))
			s.Candidates = append(s.Candidates, Candidate{Box: s.boxes[first+i], Kind: Union})
		}
	}
	for i, n := range u.of {
		if n >= 0 {
			u.of[i] = numbers[n]
		}
	}
}

// appendUnions sets the origins and similarities of unions.
func (s *Set) appendUnions(ctx context.Context) error {
	of := s.unions.of
	s.counts = freelist.Resize(s.counts, len(s.Candidates))
	clear(s.counts)
	total := 0
	for _, n := range of {
		if n >= 0 {
			s.counts[n] += 2
			total += 2
		}
	}
	origins := make([]Origin, total)
	for i, n := range s.counts {
		if n > 0 {
			s.Candidates[i].Origins = origins[:0:n]
			origins = origins[n:]
		}
	}
	for strategy, t := range s.Trees {
		for i := len(t.Pairs) - 1; i >= 0; i-- {
			if err := parallel.Poll(ctx, i, pollEvery); err != nil {
				return err
			}
			n := of[0]
			of = of[1:]
			if n < 0 {
				continue
			}
			c, p := &s.Candidates[n], &t.Pairs[i]
			c.Similarity = max(c.Similarity, p.Similarity)
			c.Origins = append(c.Origins, originOf(t, strategy, int(p.B)), originOf(t, strategy, int(p.A)))
		}
	}
	return nil
}
