package imbalance

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"slices"
)

// Mining finds the hard negatives among very many by turns of training and
// searching, called bootstrapping by Sung and Poggio ("Example-based Learning for
// View-based Human Face Detection", PAMI 1998): train on a few, add the false
// positives of the model that came out, and again. Felzenszwalb et al. ("Object
// Detection with Discriminatively Trained Part-Based Models", PAMI 2010, §4.4 and
// §5) also drop what has become easy, so that the cache stays small, and show that
// an exact trainer of a hinge loss then ends at the model of all negatives.
//
// For the first, Easy is −Inf and Hard the detection threshold; for the second both
// are −1, the margin of a hinge loss (theirs is a little lower, for rounding). There
// new negatives enter as they are found, until memory is full; here the hardest go
// first.
type Mining struct {
	// Rounds is the most rounds, at least 1.
	MaxRounds int
	// Hard is the least score of a negative that is mined.
	AddThreshold float64
	// Easy is the score below which a cached negative is dropped, at most Hard.
	DropThreshold float64
	// Grow is the most negatives to add in a round, Cache the most to hold; 0 is no limit.
	MaxAdded, MaxCache int
}

// Round is what happened in one round of mining.
type Round struct {
	// Trained is how many negatives the model was trained on, Found how many others
	// then were hard.
	Trained, Found int
	// Dropped and Added are how the cache changed. Both are 0 in the last round, so
	// that the cache is what the model was trained on.
	Dropped, Added int
}

// MiningResult is what mining ended with.
type MiningResult struct {
	// Cache is the negatives of the last training, ascending.
	Cache []int32
	// Rounds are all rounds, in order.
	Rounds []Round
	// Converged tells that no hard negative was left outside the cache.
	Converged bool
}

// Run mines among the negatives 0 to n−1, beginning with some of them, which may be
// none. Each round calls train with a copy of the cache, ascending, and then
// score, which fills in what the model gives each of the n: higher is more like
// an object. It ends when no negative outside the cache is hard, when the cache
// would not change, as it is full of hard ones, or after m.Rounds. Of equal scores
// the first negative is added first.
//
// Errors are those of the functions, the context's, and a [*DataError], if a score is
// NaN; with each comes what was mined before the round that failed, or was under
// way. It panics if m or a start is out of range, or one starts twice.
func (m Mining) Run(ctx context.Context, n int, start []int32,
	train func(ctx context.Context, negatives []int32) error,
	score func(ctx context.Context, scores []float64) error,
) (MiningResult, error) {
	if m.MaxRounds < 1 || !(m.DropThreshold <= m.AddThreshold) || m.MaxAdded < 0 || m.MaxCache < 0 {
		panic(fmt.Sprintf("imbalance: %+v: want a round or more, Easy at most Hard, limits of at least 0", m))
	}
	cached := make([]bool, n)
	for _, i := range start {
		if cached[i] {
			panic(fmt.Sprintf("imbalance: mining starts with %d twice", i))
		}
		cached[i] = true
	}
	if m.MaxCache > 0 && len(start) > m.MaxCache {
		panic(fmt.Sprintf("imbalance: mining starts with %d negatives, a cache holds %d", len(start), m.MaxCache))
	}
	next := slices.Sorted(slices.Values(start))
	scores := make([]float64, n)
	var done MiningResult
	for {
		if err := m.turn(ctx, next, scores, train, score); err != nil {
			return done, err
		}
		r := Round{Trained: len(next)}
		var kept, found []int32
		for i, s := range scores {
			switch {
			case cached[i] && s >= m.DropThreshold:
				kept = append(kept, int32(i))
			case !cached[i] && s >= m.AddThreshold:
				found = append(found, int32(i))
			}
		}
		r.Found = len(found)
		add := len(found)
		if m.MaxAdded > 0 {
			add = min(add, m.MaxAdded)
		}
		if m.MaxCache > 0 {
			add = min(add, m.MaxCache-len(kept))
		}
		dropped := len(next) - len(kept)
		done.Cache, done.Converged = next, len(found) == 0
		if done.Converged || add == 0 && dropped == 0 || len(done.Rounds)+1 == m.MaxRounds {
			done.Rounds = append(done.Rounds, r)
			return done, nil
		}
		r.Dropped, r.Added = dropped, add
		done.Rounds = append(done.Rounds, r)
		slices.SortFunc(found, func(i, j int32) int {
			return cmp.Or(cmp.Compare(scores[j], scores[i]), cmp.Compare(i, j))
		})
		next = append(kept, found[:add]...)
		slices.Sort(next)
		clear(cached)
		for _, i := range next {
			cached[i] = true
		}
	}
}

// turn trains and scores, once.
func (m Mining) turn(ctx context.Context, cache []int32, scores []float64,
	train func(context.Context, []int32) error, score func(context.Context, []float64) error,
) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := train(ctx, slices.Clone(cache)); err != nil {
		return err
	}
	if err := score(ctx, scores); err != nil {
		return err
	}
	for i, s := range scores {
		if math.IsNaN(s) {
			return &DataError{"score", i, s, "a number"}
		}
	}
	return ctx.Err()
}
