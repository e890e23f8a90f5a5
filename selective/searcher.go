package selective

import (
	"sync"

	"github.com/proposer/proposer/hierarchy"
	"github.com/proposer/proposer/raster"
	"github.com/proposer/proposer/segment"
	"github.com/proposer/proposer/similarity"
)

// Searcher searches pictures, and keeps the memory of one search for the next: from
// the second picture of a size on, it takes hardly more than the result's. Its zero value is ready.
// It is not safe for concurrent use; one search uses several threads by itself.
//
// What it keeps is as large as its largest search; see [Searcher.Search].
type Searcher struct {
	spaces shelf[spaceBuffer]
	scales shelf[scaleBuffer]
	groups shelf[groupBuffer]
	trees  []*hierarchy.Tree // by strategy
	pooler pooler
}

// spaceBuffer is what the strategies of a colour space share.
type spaceBuffer struct {
	image raster.Image
	graph segment.Graph
	field similarity.Field
	cells similarity.Cells
}

// scaleBuffer is what the strategies of a colour space and scale share.
type scaleBuffer struct {
	labels    segment.Labels
	regions   similarity.Regions
	adjacency hierarchy.Graph
}

// groupBuffer is what a grouping takes.
type groupBuffer struct {
	regions similarity.Regions
	grouper hierarchy.Grouper
}

// shelf holds what is not in use.
type shelf[T any] struct {
	mutex sync.Mutex
	items []*T
}

func (s *shelf[T]) get() *T {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	last := len(s.items) - 1
	if last < 0 {
		return new(T)
	}
	item := s.items[last]
	s.items = s.items[:last]
	return item
}

func (s *shelf[T]) put(item *T) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	s.items = append(s.items, item)
}
