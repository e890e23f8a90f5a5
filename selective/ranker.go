package selective

import (
	"context"

	"github.com/proposer/proposer/hierarchy"
	"github.com/proposer/proposer/internal/overlap"
	"github.com/proposer/proposer/internal/parallel"
	"github.com/proposer/proposer/raster"
)

// Evidence is all that a search knows of a picture when it comes to rank the pool.
type Evidence struct {
	Image      *raster.Image
	Strategies []Strategy
	Trees      []*hierarchy.Tree // by strategy
	// Proposals are the pool, in no order of worth and without scores.
	Proposals []Proposal
	// Graph tells which of them overlap by half.
	Graph *overlap.Graph
	// Run does n pieces of work on the threads that the search may use.
	Run parallel.Runner
}

// A Ranker tells objects from background. It must be safe for concurrent use, and give
// equal scores for equal evidence.
type Ranker interface {
	// Score writes to scores, by proposal, how probably it holds an object, in [0,1]. What
	// it is given is the search's, and not to be kept.
	Score(ctx context.Context, scores []float32, e *Evidence) error
}
