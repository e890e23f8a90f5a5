package selective

import (
	"context"
	"time"

	"github.com/proposer/proposer/box"
	"github.com/proposer/proposer/raster"
)

// Proposal is a box that may hold an object.
type Proposal struct {
	Box box.Box
	// Score is higher for better proposals, in (0,1], and strictly decreasing over
	// the returned list, so that a consumer that sorts by it keeps the order.
	Score float32
	// Origins are the tree nodes that this box is the box of, in strategy order.
	Origins []Origin
}

// Origin is the evidence that one tree gives for a proposal.
type Origin struct {
	// Strategy is the index into Options.Strategies.
	Strategy int32
	// Node is the index in the strategy's tree, leaves first.
	Node int32
	// Position is 1 for the root, 2 for the region merged last before it, and so on.
	Position int32
	// Size is the region's number of pixels.
	Size int32
	// Birth is the similarity at which the region was made, Death the one at which it was merged away.
	Birth, Death float32
}

// Stages is where the time went, summed over the threads.
type Stages struct {
	Segment, Describe, Group, Rank time.Duration
}

// Result is what a search found.
type Result struct {
	// Proposals are the ranked boxes, best first.
	Proposals []Proposal
	Stages    Stages
}

// Search proposes boxes of img, an RGB or Gray picture.
func Search(ctx context.Context, img *raster.Image, opts Options) (*Result, error) {
	panic("TODO")
}
