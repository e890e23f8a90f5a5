package candidate

import (
	"cmp"
	"context"
	"slices"

	"github.com/proposer/proposer/box"
	"github.com/proposer/proposer/hierarchy"
	"github.com/proposer/proposer/internal/freelist"
	"github.com/proposer/proposer/internal/parallel"
)

// unions is the memory of AddUnions.
type unions struct {
	pairs  []unionPair
	scores []float32 // by box after those of the nodes: the largest of its pairs
	order  []int32   // such boxes
}

// unionPair is a pair of a tree, and the box of its union among those after the nodes'.
type unionPair struct {
	pair     hierarchy.Pair
	strategy int32
	box      int32
}

// MinUnionSide is the shortest side of a union, in pixels.
const MinUnionSide = 10

// AddUnions appends to Candidates the boxes of unions of two touching regions of one tree
// (Tree.Pairs) that are no node's box: the limit best ones, in the order of their first pairs.
func (s *Set) AddUnions(ctx context.Context, limit, minSide int, keep func(box.Box) bool) error {
	if limit <= 0 {
		return nil
	}
	u := &s.unions
	total := len(s.Candidates)
	for _, t := range s.Trees {
		total += len(t.Pairs)
	}
	s.reserve(total)
	for i := range s.Candidates {
		s.insert(s.Candidates[i].Box)
	}
	minSide = max(minSide, MinUnionSide)
	u.pairs, u.scores = u.pairs[:0], u.scores[:0]
	first := len(s.boxes)
	for strategy, t := range s.Trees {
		for i, p := range t.Pairs {
			if err := parallel.Poll(ctx, i, pollEvery); err != nil {
				return err
			}
			x, y := &t.Nodes[p.A], &t.Nodes[p.B]
			b := x.Box.Union(y.Box)
			if x.Parent == y.Parent || int(b.Width()) < minSide || int(b.Height()) < minSide {
				continue
			}
			index := int(s.insert(b)) - first
			if index < 0 || keep != nil && !keep(b) {
				continue
			}
			score := unionScore(t, &p, b)
			if index == len(u.scores) {
				u.scores = append(u.scores, score)
			}
			u.scores[index] = max(u.scores[index], score)
			u.pairs = append(u.pairs, unionPair{p, int32(strategy), int32(index)})
		}
	}
	return s.appendUnions(limit, first)
}

func (s *Set) appendUnions(limit, first int) error {
	u := &s.unions
	u.order = freelist.Resize(u.order, len(u.scores))
	for i := range u.order {
		u.order[i] = int32(i)
	}
	slices.SortFunc(u.order, func(a, b int32) int { return cmp.Or(cmp.Compare(u.scores[b], u.scores[a]), cmp.Compare(a, b)) })
	numbers := make([]int32, len(u.scores)) // 1 + candidate
	chosen := u.order[:min(limit, len(u.order))]
	slices.Sort(chosen)
	start := len(s.Candidates)
	for _, i := range chosen {
		s.Candidates = append(s.Candidates, Candidate{Box: s.boxes[first+int(i)], Kind: Union})
		numbers[i] = int32(len(s.Candidates))
	}
	counts := make([]int, len(s.Candidates)-start)
	total := 0
	for _, p := range u.pairs {
		if n := numbers[p.box]; n > 0 {
			counts[int(n)-1-start] += 2
			total += 2
		}
	}
	origins := make([]Origin, total)
	for i, n := range counts {
		s.Candidates[start+i].Origins = origins[:0:n]
		origins = origins[n:]
	}
	for _, p := range u.pairs {
		if n := numbers[p.box]; n > 0 {
			c, t := &s.Candidates[n-1], s.Trees[p.strategy]
			c.Similarity = max(c.Similarity, p.pair.Similarity)
			c.Origins = append(c.Origins, originOf(t, int(p.strategy), int(p.pair.B)), originOf(t, int(p.strategy), int(p.pair.A)))
		}
	}
	return nil
}

func unionScore(t *hierarchy.Tree, p *hierarchy.Pair, b box.Box) float32 {
	return float32(p.B) - float32(len(t.Nodes))
}
