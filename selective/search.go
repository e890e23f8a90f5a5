// Package selective is selective search (Uijlings et al., "Selective Search for
// Object Recognition", IJCV 2013): it proposes boxes of a picture that probably
// hold objects, of any class.
//
// A strategy is a colour space, a scale and a set of similarity measures. Each
// strategy segments the picture and groups the regions into a tree; the box of every
// node of every tree is a proposal. The proposals of all strategies are pooled,
// equal boxes become one, and the pool is ranked:
//
//	opts, err := selective.Preset("fast")
//	...
//	result, err := selective.Search(ctx, img, opts)
//	for _, p := range result.Proposals {
//		fmt.Println(p.Box, p.Score)
//	}
//
// Equal pictures and options give equal results, to the bit, whatever the number
// of threads.
package selective

import (
	"cmp"
	"context"
	"fmt"
	"runtime"
	"sync"
	"time"

	"github.com/proposer/proposer/box"
	"github.com/proposer/proposer/internal/parallel"
	"github.com/proposer/proposer/raster"
	"github.com/proposer/proposer/segment"
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

// Origin is the evidence that one node of one tree gives for a proposal.
type Origin struct {
	// Strategy is the index into Options.Strategies.
	Strategy int32
	// Position is the node's place in its tree: 1 for the root, 2 for the region
	// merged last before it, and so on; hierarchy.Tree.At tells the node.
	Position int32
	// Size is the region's number of pixels.
	Size int32
	// Birth is the similarity of the two regions that were merged into this one,
	// +Inf for a first region; Death that of this one and the one it was merged with,
	// 0 for the root.
	Birth, Death float32
}

// Stages is where the time went, summed over all threads.
type Stages struct {
	Segment  time.Duration // colour conversion, smoothing, graph and segmentation
	Describe time.Duration // derivatives and histograms
	Group    time.Duration // adjacency and grouping
	Rank     time.Duration // pool, duplicates, order and suppression
}

// Result is what a search found.
type Result struct {
	// Proposals are the ranked boxes, best first.
	Proposals []Proposal
	Stages    Stages
	// Regions are what the proposals are the boxes of, if Options.Keep asks for them.
	Regions *Regions
}

// Search searches with a [Searcher] that is free, or a new one. It is safe for concurrent use.
func Search(ctx context.Context, img *raster.Image, opts Options) (*Result, error) {
	s := searchers.Get().(*Searcher)
	result, err := s.Search(ctx, img, opts)
	if err == nil && s.small(img) {
		searchers.Put(s)
	}
	return result, err
}

// The collector takes back those that lie unused. In a service none ever does, so one that has
// grown for a large search, or may have, is not kept: who often searches such pictures has a
// Searcher of his own, and what it takes to make the memory anew is little beside the search.
var searchers = sync.Pool{New: func() any { return new(Searcher) }}

// smallPixels, smallNodes, of all trees together, and smallGraph, in bytes, bound the searches
// whose memory is kept: to some 500 MB.
const (
	smallPixels = 4 << 20
	smallNodes  = 1 << 18
	smallGraph  = 128 << 20
)

func (s *Searcher) small(img *raster.Image) bool {
	nodes := 0
	for _, t := range s.trees {
		nodes += cap(t.Nodes)
	}
	return img.Width*img.Height <= smallPixels && nodes <= smallNodes && s.pooler.graph.EdgeBytes() <= smallGraph
}

// Search proposes boxes of img, which is RGB or Gray. The result is the caller's own.
//
// At most Options.Threads goroutines are at work at once, and all have ended when it
// returns. Its errors are those of Options.Validate, a picture that is none, a
// *RegionsError, and the context's: a cancelled search stops within milliseconds.
//
// Memory is about 60 bytes a pixel for each colour space at work, of which there are
// at most Threads, and one alone above a gigabyte; 4 bytes a pixel for each scale of
// theirs; and 2 KiB for each first region and grouping at work. To order them by objectness
// takes 100 to 500 bytes for each box of the pool. What Options.Keep keeps
// comes on top; see [Regions].
func (s *Searcher) Search(ctx context.Context, img *raster.Image, opts Options) (*Result, error) {
	if err := opts.Validate(); err != nil {
		return nil, err
	}
	if img.Space != raster.RGB && img.Space != raster.Gray {
		return nil, fmt.Errorf("selective: picture in %v: want RGB or I", img.Space)
	}
	if img.Width <= 0 || img.Height <= 0 || img.Width > segment.MaxPixels/img.Height {
		return nil, fmt.Errorf("selective: picture of %d×%d: want sides above 0 and at most %d pixels",
			img.Width, img.Height, segment.MaxPixels)
	}
	if want := img.Space.Planes() * img.Width * img.Height; len(img.Pix) != want {
		return nil, fmt.Errorf("selective: picture of %d×%d in %v with %d samples: want %d",
			img.Width, img.Height, img.Space, len(img.Pix), want)
	}
	var clock clock
	threads := parallel.NewPool(cmp.Or(opts.Threads, runtime.GOMAXPROCS(0)))
	var regions *Regions
	if opts.Keep {
		regions = &Regions{Width: img.Width, Height: img.Height}
	}
	trees, err := s.grow(ctx, img, opts, threads, &clock, regions)
	if err != nil {
		return nil, err
	}
	if regions != nil {
		regions.own(trees)
	}
	stop := clock.start(&clock.rank)
	pool, err := s.pooler.pool(ctx, trees, opts.MinSide)
	if err != nil {
		return nil, err
	}
	var proposals []Proposal
	if opts.Order == OrderObjectness {
		proposals, err = s.pooler.rankBy(ctx, opts, &Evidence{
			Image: img, Strategies: opts.Strategies, Trees: trees, Proposals: pool,
			Run: func(n int, work func(i int) error) error { return threads.RunTimed(n, &clock.rank, work) },
		})
	} else {
		proposals, err = s.pooler.rank(ctx, pool, trees, opts)
	}
	if err != nil {
		return nil, err
	}
	stop()
	return &Result{proposals, clock.stages(), regions}, nil
}
