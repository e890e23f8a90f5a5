// Package selective implements selective search (Uijlings et al., "Selective Search for
// Object Recognition", IJCV 2013): it proposes boxes of an image that probably contain
// objects, of any class.
//
// A strategy is a color space, a scale and a set of similarity measures. Each strategy
// segments the image and merges the regions, the most similar neighbors first, into a tree.
// The bounding boxes of all nodes of all trees are the candidates, which are ranked:
//
//	s, err := selective.New(selective.Fast())
//	...
//	result, err := s.Search(ctx, raster.FromImage(img))
//	for _, p := range result.Proposals {
//		fmt.Println(p.Box, p.Score)
//	}
//
// The ranking is learned (package objectness) and orders candidates by what each adds to
// those before it; [Order] has others. Equal images and options give equal results, to the
// bit, whatever the number of threads.
package selective

import (
	"cmp"
	"context"
	"fmt"
	"runtime"
	"slices"

	"github.com/proposer/proposer/box"
	"github.com/proposer/proposer/candidate"
	"github.com/proposer/proposer/internal/freelist"
	"github.com/proposer/proposer/internal/parallel"
	"github.com/proposer/proposer/raster"
	"github.com/proposer/proposer/segment"
)

// A Proposal is a ranked box that may contain an object.
type Proposal struct {
	Box box.Box
	// Score is in (0,1] and strictly decreases over the proposals of a result, so that a
	// consumer that sorts by it keeps the order.
	Score float32
	// Origins are the tree nodes that the proposal is made of, in the order of the strategies,
	// and Kind says how: mostly, Box is the bounding box of each of them.
	Origins []candidate.Origin
	Kind    candidate.Kind
}

// Result is the result of a search.
type Result struct {
	// Proposals are ordered, the best first.
	Proposals []Proposal
	Stages    Stages
	// Regions hold the pixels of the tree nodes if Options.KeepRegions is set.
	Regions *Regions
}

// A Searcher searches images with the same options. It keeps its workspaces: from the second
// image of a size on, a search allocates little more than its result. There is one for each
// search that runs at a time, and they stay as large as the largest search was. A Searcher is
// safe for concurrent use.
type Searcher struct {
	opts       Options
	plan       plan
	workspaces freelist.List[workspace]
}

// New returns a Searcher. The error lists all invalid options; see [Options.Validate].
//
// If opts.Ranker is nil and opts.Order is OrderObjectness, the ranker is that of the mode whose
// strategies opts has ([objectness.ForMode]), otherwise [objectness.Default].
func New(opts Options) (*Searcher, error) {
	s := new(Searcher)
	if err := s.init(opts); err != nil {
		return nil, err
	}
	s.opts.Strategies = slices.Clone(s.opts.Strategies)
	s.opts.Images = slices.Clone(s.opts.Images)
	return s, nil
}

func (s *Searcher) init(opts Options) error {
	if err := opts.Validate(); err != nil {
		return err
	}
	if opts.Order == OrderObjectness && opts.Ranker == nil {
		opts.Ranker = defaultRanker(opts.Strategies)
	}
	s.opts = opts
	s.plan = newPlan(opts.Strategies)
	return nil
}

// Search proposes boxes of img, which is in RGB or Gray. The result belongs to the caller.
//
// At most Options.Threads goroutines work at a time, and all have ended when Search returns.
// Errors are about an invalid image, a [*TooManyRegionsError], those of the ranker, and the
// context's: a search that is canceled ends within milliseconds.
//
// A search takes about 60 bytes a pixel for each color space that is worked on, of which
// there are at most Threads, and one if they would exceed a gigabyte; 4 bytes a pixel for each
// of their scales; 2 KiB for each initial region and grouping that is worked on; and, in
// OrderObjectness, 100 to 500 bytes for each candidate (see [candidate.Set.FindOverlaps]).
// [Regions] come on top.
func (s *Searcher) Search(ctx context.Context, img *raster.Image) (*Result, error) {
	w := s.workspaces.Get()
	defer s.workspaces.Put(w)
	return s.search(ctx, w, img)
}

// Search is New and Searcher.Search in one, for options that change from call to call. The
// workspaces of small searches, below some 500 MB, are shared by all calls; those that
// are not used for a while are left to the garbage collector. It is safe for concurrent use.
func Search(ctx context.Context, img *raster.Image, opts Options) (*Result, error) {
	var s Searcher
	if err := s.init(opts); err != nil {
		return nil, err
	}
	w := sharedWorkspaces.Get().(*workspace)
	result, err := s.search(ctx, w, img)
	if err == nil && w.isSmall(img) {
		sharedWorkspaces.Put(w)
	}
	return result, err
}

func (s *Searcher) search(ctx context.Context, w *workspace, img *raster.Image) (*Result, error) {
	if err := validateImages(img, s.opts.Images); err != nil {
		return nil, fmt.Errorf("selective: %w", err)
	}
	var timer stageTimer
	b := &builder{
		workspace: w, ctx: ctx, timer: &timer, img: img, opts: &s.opts,
		pool: parallel.NewPool(cmp.Or(s.opts.Threads, runtime.GOMAXPROCS(0))),
	}
	if s.opts.KeepRegions {
		b.regions = &Regions{Width: img.Width, Height: img.Height}
	}
	trees, err := b.build(&s.plan)
	if err != nil {
		return nil, err
	}
	if b.regions != nil {
		b.regions.copyTrees(trees)
	}

	stop := timer.start(&timer.rank)
	set := &w.candidates
	set.Image, set.Trees, set.Run = img, trees, b.run(&timer.rank)
	defer func() { set.Image, set.Run = nil, nil }()
	set.Spaces = set.Spaces[:0]
	for _, strategy := range s.opts.Strategies {
		set.Spaces = append(set.Spaces, strategy.Space)
	}
	if err := set.Collect(ctx, s.opts.MinSide, s.opts.Keep); err != nil {
		return nil, err
	}
	var proposals []Proposal
	if s.opts.Order == OrderObjectness {
		if err := set.AddUnions(ctx, s.opts.Unions, s.opts.MinSide, s.opts.Keep); err != nil {
			return nil, err
		}
		proposals, err = rankByObjectness(ctx, set, &s.opts)
	} else {
		proposals, err = w.ranking.rankByPosition(ctx, set, &s.opts)
	}
	if err != nil {
		return nil, err
	}
	stop()
	return &Result{proposals, timer.stages(), b.regions}, nil
}

// validateImages returns an error if the searched image or one of Options.Images is invalid.
func validateImages(img *raster.Image, images []*raster.Image) error {
	if err := validateImage(img); err != nil {
		return err
	}
	for i, other := range images {
		if err := validateImage(other); err != nil {
			return fmt.Errorf("image %d: %w", i, err)
		}
		if other.Width != img.Width || other.Height != img.Height {
			return fmt.Errorf("image %d of %d×%d: want %d×%d, as the searched image",
				i, other.Width, other.Height, img.Width, img.Height)
		}
	}
	return nil
}

func validateImage(img *raster.Image) error {
	if img.Space != raster.RGB && img.Space != raster.Gray {
		return fmt.Errorf("image in %v: want RGB or I", img.Space)
	}
	if img.Width <= 0 || img.Height <= 0 || img.Width > segment.MaxPixels/img.Height {
		return fmt.Errorf("image of %d×%d: want sides above 0 and at most %d pixels",
			img.Width, img.Height, segment.MaxPixels)
	}
	if want := img.Space.Planes() * img.Width * img.Height; len(img.Pix) != want {
		return fmt.Errorf("image of %d×%d in %v with %d samples: want %d",
			img.Width, img.Height, img.Space, len(img.Pix), want)
	}
	return nil
}
