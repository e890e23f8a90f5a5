package selective

import (
	"cmp"
	"context"
	"math"
	"math/rand/v2"
	"slices"

	"github.com/proposer/proposer/box"
	"github.com/proposer/proposer/candidate"
	"github.com/proposer/proposer/hierarchy"
	"github.com/proposer/proposer/internal/parallel"
)

// A Ranker estimates how likely candidates hold an object. It must be safe for concurrent use
// and return equal scores for equal sets.
//
// If Options.Joins is not 0, it is called twice in a search: for the candidates of the merge trees
// and, unless there are none, for a set that holds only those that were joined from the best of
// them, with the same image and trees. The scores of both are compared with each other.
type Ranker interface {
	// Score writes the probability, in [0,1], that each candidate holds an object to scores,
	// which has the length of set.Candidates. Neither may be retained.
	Score(ctx context.Context, scores []float32, set *candidate.Set) error
}

// sessionRanker is a ranker that keeps what it computes of an image for the second call in a search.
type sessionRanker interface {
	// Session returns a function that scores candidates as Score does, for the sets of one image. It
	// is used until end is called.
	Session() (score scoreFunc, end func())
}

type scoreFunc = func(ctx context.Context, scores []float32, set *candidate.Set) error

// ranking is the memory of an order by position.
type ranking struct {
	boxes  []box.Box
	order  []rankedCandidate
	random [][]float64 // by strategy and position
}

// rankedCandidate is a candidate and the value that it is sorted by, the lowest first.
type rankedCandidate struct {
	value float64
	index int32
}

// rankByPosition ranks the candidates by OrderPaper or OrderHierarchy.
func (r *ranking) rankByPosition(ctx context.Context, set *candidate.Set, opts *Options) ([]Proposal, error) {
	if err := r.priorities(ctx, set, opts); err != nil {
		return nil, err
	}
	comparisons, canceled := 0, false
	slices.SortFunc(r.order, func(a, b rankedCandidate) int {
		comparisons++
		canceled = canceled || parallel.Poll(ctx, comparisons, pollCandidates) != nil
		switch {
		case canceled: // let the sort end soon
			return 0
		case a.value < b.value:
			return -1
		case a.value > b.value:
			return 1
		}
		return cmp.Compare(a.index, b.index)
	})
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	r.boxes = r.boxes[:0]
	for _, c := range r.order {
		r.boxes = append(r.boxes, set.Candidates[c.index].Box)
	}
	kept, err := opts.NMS.Keep(ctx, r.boxes, opts.Max)
	if err != nil {
		return nil, err
	}
	return assignScores(ctx, kept, func(k int32) (*candidate.Candidate, float32) {
		c := r.order[k]
		return &set.Candidates[c.index], float32(1 / (1 + c.value))
	})
}

// priorities sets order to the candidates, each with the lowest value of its origins.
func (r *ranking) priorities(ctx context.Context, set *candidate.Set, opts *Options) error {
	if opts.Order == OrderPaper {
		if err := r.drawRandom(ctx, set.Trees, opts.Seed); err != nil {
			return err
		}
	}
	r.order = r.order[:0]
	for i := range set.Candidates {
		if err := parallel.Poll(ctx, i, pollCandidates); err != nil {
			return err
		}
		lowest := math.Inf(1)
		for _, origin := range set.Candidates[i].Origins {
			value := float64(origin.Position)
			if opts.Order == OrderPaper {
				value *= r.random[origin.Strategy][origin.Position]
			}
			lowest = min(lowest, value)
		}
		r.order = append(r.order, rankedCandidate{lowest, int32(i)})
	}
	return nil
}

// drawRandom draws a random number for each position of each tree. They depend on the seed,
// the strategy and the position alone, so that more strategies or fewer candidates do not
// change those of others.
func (r *ranking) drawRandom(ctx context.Context, trees []*hierarchy.Tree, seed uint64) error {
	for len(r.random) < len(trees) {
		r.random = append(r.random, nil)
	}
	for i, t := range trees {
		if err := ctx.Err(); err != nil {
			return err
		}
		next := newRandom(seed, i)
		r.random[i] = r.random[i][:0]
		for range len(t.Nodes) + 1 {
			r.random[i] = append(r.random[i], next())
		}
	}
	return nil
}

// newRandom returns a source of random numbers of 53 bits in (0,1].
func newRandom(seed uint64, strategy int) func() float64 {
	rng := rand.NewPCG(seed, uint64(strategy))
	return func() float64 { return float64(rng.Uint64()>>11+1) / (1 << 53) }
}

// pollCandidates is the number of candidates between two checks of the context.
const pollCandidates = 1 << 14

// maxCoverage is how many candidates are ordered by what they add to all before them. The
// rest, beyond the number of proposals that any detector takes, is ordered by what each adds
// to these.
const maxCoverage = 2000

// rankByObjectness ranks the candidates by coverage, weighted by the scores of the ranker.
func rankByObjectness(ctx context.Context, set *candidate.Set, opts *Options) ([]Proposal, error) {
	if err := set.FindOverlaps(ctx); err != nil {
		return nil, err
	}
	score := opts.Ranker.Score
	if r, ok := opts.Ranker.(sessionRanker); ok {
		var end func()
		score, end = r.Session()
		defer end()
	}
	first := len(set.Candidates)
	scores := make([]float32, first, first+opts.Joins)
	if err := score(ctx, scores, set); err != nil {
		return nil, err
	}
	if opts.Joins > 0 {
		order, _, err := set.CoverageOrder(ctx, scores, opts.Joins, false)
		if err != nil {
			return nil, err
		}
		if err := set.AddJoins(ctx, order, opts.Joins, opts.MinSide, opts.Keep); err != nil {
			return nil, err
		}
		if scores = scores[:len(set.Candidates)]; len(scores) > first {
			if err := score(ctx, scores[first:], set.Tail(first)); err != nil {
				return nil, err
			}
		}
	}
	limit, includeRest := maxCoverage, true
	if opts.Max > 0 && opts.NMS == (box.NMS{}) {
		limit, includeRest = min(limit, opts.Max), opts.Max > limit
	}
	order, gains, err := set.CoverageOrder(ctx, scores, limit, includeRest)
	if err != nil {
		return nil, err
	}
	boxes := make([]box.Box, len(order))
	for i, c := range order {
		boxes[i] = set.Candidates[c].Box
	}
	kept, err := opts.NMS.Keep(ctx, boxes, opts.Max)
	if err != nil {
		return nil, err
	}
	return assignScores(ctx, kept, func(k int32) (*candidate.Candidate, float32) {
		return &set.Candidates[order[k]], gains[k] / (1 + gains[k])
	})
}

// minScore is positive, and so are its multiples for all proposals that follow.
const minScore = 1e-30

// assignScores makes proposals of the kept candidates, whose scores at returns by their place
// in the order.
func assignScores(ctx context.Context, kept []int32, at func(k int32) (*candidate.Candidate, float32)) ([]Proposal, error) {
	ranked := make([]Proposal, len(kept))
	for i, k := range kept {
		if err := parallel.Poll(ctx, i, pollCandidates); err != nil {
			return nil, err
		}
		c, score := at(k)
		// A near-duplicate of a better box may add next to nothing, but scores are positive.
		score = max(score, minScore*float32(len(kept)-i))
		if i > 0 {
			// Ties, and values that are equal in float32, step down by one float.
			score = min(score, math.Nextafter32(ranked[i-1].Score, 0))
		}
		ranked[i] = Proposal{Box: c.Box, Score: score, Origins: c.Origins, Kind: c.Kind}
	}
	return ranked, nil
}
