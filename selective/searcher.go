package selective

import (
	"github.com/proposer/proposer/hierarchy"
	"github.com/proposer/proposer/internal/freelist"
	"github.com/proposer/proposer/raster"
	"github.com/proposer/proposer/segment"
	"github.com/proposer/proposer/similarity"
)

// Searcher searches pictures, and keeps the memory of one search for the next: from
// the second picture of a size on, it takes hardly more than the result's. Its zero value
// is ready. It is not safe for concurrent use; one search uses several threads by itself.
//
// What it keeps is as large as its largest search; see [Searcher.Search].
type Searcher struct {
	spaces freelist.List[spaceBuffer]
	scales freelist.List[scaleBuffer]
	groups freelist.List[groupBuffer]
	trees  []*hierarchy.Tree // by strategy
	pooler pooler
}

// spaceBuffer is what the strategies of a colour space share.
type spaceBuffer struct {
	image raster.Image
	graph segment.Graph
	field similarity.BinnedImage
}

// scaleBuffer is what the strategies of a colour space and scale share.
type scaleBuffer struct {
	labels    raster.LabelImage
	regions   similarity.Regions
	adjacency hierarchy.Graph
}

// groupBuffer is what a grouping takes.
type groupBuffer struct {
	regions similarity.Regions
	grouper hierarchy.Grouper
}
