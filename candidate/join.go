package candidate

import (
	"cmp"
	"context"
	"slices"

	"github.com/proposer/proposer/box"
	"github.com/proposer/proposer/internal/parallel"
)

// A candidate is joined with up to MaxPartners others whose IoU is minJoinIoU to maxJoinIoU.
const (
	MaxPartners = 5

	minJoinIoU = 0.1
	maxJoinIoU = 0.9
)

// AddJoins appends candidates of kind [Joined], at most limit, and their overlaps, which need
// [Set.FindOverlaps]. Order lists the indices of the best candidates, the best first. Each in turn
// is joined with the first MaxPartners of those before it that overlap it by an IoU of 0.1 to 0.9:
// where no region is a whole object, regions of different trees often hold different parts of it.
// Boxes that exist are dropped, and so are those that minSide or keep drops, as in [Set.Collect].
//
// The time is that of n²/2 comparisons of boxes for an order of length n, and of finding the
// overlaps of the new ones. Errors are the context's and those of Run.
func (s *Set) AddJoins(ctx context.Context, order []int32, limit, minSide int, keep func(box.Box) bool) error {
	if limit <= 0 {
		return nil
	}
	first := len(s.Candidates)
	limit = min(limit, MaxPartners*len(order))
	s.insertCandidates(limit)
	boxes := make([]box.Box, len(order))
	for i, c := range order {
		boxes[i] = s.Candidates[c].Box
	}
	for i, b := range boxes {
		if err := parallel.Poll(ctx, i, pollJoins); err != nil {
			return err
		}
		partners := 0
		for k, c := range boxes[:i] {
			if len(s.Candidates) == first+limit {
				break
			}
			if !joinable(b, c) {
				continue
			}
			s.join(order[k], order[i], b.Union(c), minSide, keep)
			if partners++; partners == MaxPartners {
				break
			}
		}
	}
	return s.graph.Extend(ctx, s.boxes[first:], s.Run)
}

// pollJoins is the number of candidates of the order between two checks of the context.
const pollJoins = 1 << 6

// joinable reports whether the IoU of two boxes is in the range of partners.
func joinable(b, c box.Box) bool {
	w := min(b.X1, c.X1) - max(b.X0, c.X0)
	h := min(b.Y1, c.Y1) - max(b.Y0, c.Y0)
	if w <= 0 || h <= 0 {
		return false
	}
	inter := float64(w) * float64(h)
	union := float64(b.Area()+c.Area()) - inter
	return inter >= minJoinIoU*union && inter <= maxJoinIoU*union
}

// join appends the candidate that joins two, unless it exists or is dropped.
func (s *Set) join(i, k int32, b box.Box, minSide int, keep func(box.Box) bool) {
	if dropped(b, minSide, keep) {
		return
	}
	known := len(s.boxes)
	if int(s.insert(b)) < known {
		return
	}
	origins := slices.Concat(s.Candidates[i].region(), s.Candidates[k].region())
	slices.SortFunc(origins, func(a, b Origin) int {
		return cmp.Or(cmp.Compare(a.Strategy, b.Strategy), cmp.Compare(a.Position, b.Position))
	})
	s.Candidates = append(s.Candidates, Candidate{Box: b, Origins: origins, Kind: Joined})
}

// region returns the origins of the first region of a candidate.
func (c *Candidate) region() []Origin { return c.Origins[:c.Kind.Parts(len(c.Origins))] }

// Tail returns a set of the candidates from index first on, whose overlaps are those with all
// candidates of s. It shares the memory of s and is for reading.
func (s *Set) Tail(first int) *Set {
	return &Set{
		Image: s.Image, Trees: s.Trees, Spaces: s.Spaces, Run: s.Run,
		Candidates: s.Candidates[first:], graph: s.graph, offset: s.offset + first,
	}
}
