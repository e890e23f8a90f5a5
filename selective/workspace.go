package selective

import (
	"sync"

	"github.com/proposer/proposer/candidate"
	"github.com/proposer/proposer/hierarchy"
	"github.com/proposer/proposer/internal/freelist"
	"github.com/proposer/proposer/raster"
	"github.com/proposer/proposer/segment"
	"github.com/proposer/proposer/similarity"
)

// workspace is the memory of one search. From the second search of a size on, a search with
// the same workspace allocates little more than its result.
type workspace struct {
	spaces freelist.List[spaceWorkspace]
	scales freelist.List[scaleWorkspace]
	groups freelist.List[groupWorkspace]
	trees  []*hierarchy.Tree // by strategy

	candidates candidate.Set
	ranking    ranking
}

// spaceWorkspace is what the strategies of a color space share.
type spaceWorkspace struct {
	image  raster.Image
	graph  segment.Graph
	binned similarity.BinnedImage
}

// scaleWorkspace is what the strategies of a color space and scale share.
type scaleWorkspace struct {
	labels    raster.LabelImage
	regions   similarity.Regions
	adjacency hierarchy.Graph
}

// groupWorkspace is the memory of one grouping.
type groupWorkspace struct {
	regions similarity.Regions
	grouper hierarchy.Grouper
}

// sharedWorkspaces are those of [Search]. The garbage collector takes back what is not in
// use, but in a busy service none ever is. So a workspace that has grown for a large search
// is not put back: allocating it again is cheap beside such a search.
var sharedWorkspaces = sync.Pool{New: func() any { return new(workspace) }}

// The bounds of a workspace that is shared, some 500 MB in all.
const (
	maxSharedPixels   = 4 << 20
	maxSharedNodes    = 1 << 18   // of all trees
	maxSharedPairs    = 1 << 19   // of all trees
	maxSharedOverlaps = 128 << 20 // bytes
)

// isSmall reports whether the workspace is still small after a search of img.
func (w *workspace) isSmall(img *raster.Image) bool {
	nodes, pairs := 0, 0
	for _, t := range w.trees {
		nodes += cap(t.Nodes)
		pairs += cap(t.Pairs)
	}
	return img.Width*img.Height <= maxSharedPixels && nodes <= maxSharedNodes && pairs <= maxSharedPairs &&
		w.candidates.OverlapMemory() <= maxSharedOverlaps
}
