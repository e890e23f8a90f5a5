package imbalance

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"slices"
)

// Mining finds the hard negatives among very many by alternating between training and scoring. Sung and
// Poggio ("Example-based Learning for View-based Human Face Detection", PAMI 1998) call it
// bootstrapping: train on a few negatives, add the false positives of the model, and repeat.
// Felzenszwalb et al. ("Object Detection with Discriminatively Trained Part-Based Models", PAMI 2010,
// §4.4 and §5) also drop negatives that have become easy, so that the cache stays small, and show that
// an exact trainer of a hinge loss then ends with the model of all negatives.
//
// For the former method, DropThreshold is −Inf and AddThreshold the detection threshold. For the latter,
// both are −1, the margin of a hinge loss (theirs is slightly lower to allow for rounding). It adds
// negatives as they are found until memory is full, while Mining adds the hardest first.
type Mining struct {
	// MaxRounds is the largest number of rounds, at least 1.
	MaxRounds int
	// AddThreshold is the smallest score of a negative that is added to the cache.
	AddThreshold float64
	// DropThreshold is the score below which a cached negative is dropped, at most AddThreshold.
	DropThreshold float64
	// MaxAdded limits the negatives added in a round, and MaxCache those in the cache; 0 is no limit.
	MaxAdded, MaxCache int
}

// Round describes a round of mining.
type Round struct {
	// Trained is the number of negatives that the model was trained on, and Found the number of hard
	// negatives outside of the cache that it then found.
	Trained, Found int
	// Dropped and Added are the changes of the cache. Both are 0 in the last round, so that the cache
	// is what the model was trained on.
	Dropped, Added int
}

// MiningResult is the result of [Mining.Run].
type MiningResult struct {
	// Cache has the negatives of the last training in ascending order.
	Cache []int32
	// Rounds has the completed rounds in order.
	Rounds []Round
	// Converged reports whether no hard negative is left outside of the cache.
	Converged bool
}

// Run mines the negatives 0 to n−1. The cache begins with the negatives in start, of which there may be
// none. Each round calls train with a copy of the cache in ascending order and then score, which writes
// the model's score of each of the n negatives: the higher, the more like an object. Run ends when no
// negative outside of the cache is hard, when the cache would not change because it is full of hard
// negatives, or after m.MaxRounds. Ties of scores are broken by index.
//
// The errors are those of the two functions, the context's, and a [*DataError] if a score is NaN. With
// an error, Run returns the result of the rounds that were completed. It panics if m or an element of
// start is out of range, or start has duplicates.
func (m Mining) Run(ctx context.Context, n int, start []int32,
	train func(ctx context.Context, negatives []int32) error,
	score func(ctx context.Context, scores []float64) error,
) (MiningResult, error) {
	cached := m.startCache(n, start)
	cache := slices.Sorted(slices.Values(start))
	scores := make([]float64, n)
	var result MiningResult
	for {
		if err := trainAndScore(ctx, cache, scores, train, score); err != nil {
			return result, err
		}
		var kept, found []int32
		for i, s := range scores {
			switch {
			case cached[i] && s >= m.DropThreshold:
				kept = append(kept, int32(i))
			case !cached[i] && s >= m.AddThreshold:
				found = append(found, int32(i))
			}
		}
		round := Round{Trained: len(cache), Found: len(found)}
		dropped, added := len(cache)-len(kept), m.limit(len(found), len(kept))
		result.Cache, result.Converged = cache, len(found) == 0
		if result.Converged || added == 0 && dropped == 0 || len(result.Rounds)+1 == m.MaxRounds {
			result.Rounds = append(result.Rounds, round)
			return result, nil
		}
		round.Dropped, round.Added = dropped, added
		result.Rounds = append(result.Rounds, round)

		slices.SortFunc(found, func(i, j int32) int {
			return cmp.Or(cmp.Compare(scores[j], scores[i]), cmp.Compare(i, j))
		})
		cache = append(kept, found[:added]...)
		slices.Sort(cache)
		clear(cached)
		for _, i := range cache {
			cached[i] = true
		}
	}
}

// startCache checks the arguments of Run and returns which negatives are in the cache.
func (m Mining) startCache(n int, start []int32) []bool {
	if m.MaxRounds < 1 || !(m.DropThreshold <= m.AddThreshold) || m.MaxAdded < 0 || m.MaxCache < 0 {
		panic(fmt.Sprintf(
			"imbalance: %+v: want 1 round or more, DropThreshold at most AddThreshold, limits of at least 0", m))
	}
	if m.MaxCache > 0 && len(start) > m.MaxCache {
		panic(fmt.Sprintf("imbalance: mining starts with %d negatives: want at most MaxCache, %d", len(start), m.MaxCache))
	}
	cached := make([]bool, n)
	for _, i := range start {
		if cached[i] {
			panic(fmt.Sprintf("imbalance: mining starts with negative %d twice", i))
		}
		cached[i] = true
	}
	return cached
}

// limit returns how many of the negatives found are added to those kept.
func (m Mining) limit(found, kept int) int {
	if m.MaxAdded > 0 {
		found = min(found, m.MaxAdded)
	}
	if m.MaxCache > 0 {
		found = min(found, m.MaxCache-kept)
	}
	return found
}

func trainAndScore(ctx context.Context, cache []int32, scores []float64,
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
