package selective

import (
	"cmp"
	"context"
	"sync/atomic"

	"github.com/proposer/proposer/hierarchy"
	"github.com/proposer/proposer/internal/parallel"
	"github.com/proposer/proposer/raster"
	"github.com/proposer/proposer/segment"
	"github.com/proposer/proposer/similarity"
)

// The unions are chosen from the last pairs of the trees: from that many for each union, and in
// each tree from at least minPairs.
const (
	pairsPerUnion = 16
	minPairs      = 256
)

// builder builds the merge trees of one search, as its plan says.
type builder struct {
	*workspace
	ctx   context.Context
	pool  *parallel.Pool
	timer *stageTimer
	img   *raster.Image
	opts  *Options

	// failed holds the errors that are due to the image, by strategy. They do not stop the
	// other strategies, or which one is returned would depend on the schedule.
	failed []error

	// leaves holds the number of initial regions of each strategy, and total those of the strategies
	// that are segmented.
	leaves []int
	total  atomic.Int64

	regions *Regions // nil if regions are not kept
}

// Color spaces are worked on concurrently as long as their workspaces, of about 60 bytes a
// pixel, fit into a gigabyte. One alone has enough tasks for several threads.
const (
	spaceBytesPerPixel = 60
	maxSpaceBytes      = 1 << 30
)

// build builds the trees, by strategy. They belong to the workspace.
func (b *builder) build(p *plan) ([]*hierarchy.Tree, error) {
	for len(b.trees) < p.trees {
		b.trees = append(b.trees, new(hierarchy.Tree))
	}
	b.failed = make([]error, p.trees)
	b.leaves = make([]int, p.trees)
	if b.regions != nil {
		b.regions.columns = make([]*columns, p.trees)
	}
	concurrent := max(1, maxSpaceBytes/spaceBytesPerPixel/(b.img.Width*b.img.Height))
	concurrent = min(concurrent, b.pool.Threads(), len(p.spaces))
	var next atomic.Int64
	err := b.pool.Run(concurrent, func(int) error {
		for {
			i := int(next.Add(1)) - 1
			if i >= len(p.spaces) {
				return nil
			}
			if err := b.buildSpace(&p.spaces[i]); err != nil {
				return err
			}
		}
	})
	if err != nil {
		return nil, err
	}
	b.checkTotal()
	return b.trees[:p.trees], cmp.Or(b.failed...)
}

// checkTotal notes the failure of the first strategy up to which there are too many regions in all.
func (b *builder) checkTotal() {
	total := 0
	for i, n := range b.leaves {
		if total += n; b.opts.MaxTotalRegions > 0 && total > b.opts.MaxTotalRegions {
			if b.failed[i] == nil {
				b.failed[i] = &TooManyRegionsError{b.opts.Strategies[i], total, b.opts.MaxTotalRegions, true}
			}
			return
		}
	}
}

// exceedsTotal reports whether the strategies that are segmented have too many regions in all.
func (b *builder) exceedsTotal() bool {
	return b.opts.MaxTotalRegions > 0 && b.total.Load() > int64(b.opts.MaxTotalRegions)
}

// buildSpace builds the trees of a color space.
func (b *builder) buildSpace(p *spacePlan) error {
	scales := make([]*scaleWorkspace, len(p.scales))
	for i := range scales {
		scales[i] = b.scales.Get()
		defer b.scales.Put(scales[i])
	}
	if err := b.describe(p, scales); err != nil {
		return err
	}
	return b.pool.Run(len(scales), func(i int) error { return b.group(&p.scales[i], scales[i]) })
}

// describe segments the image at all scales of a color space, describes the regions and
// finds their neighbors.
func (b *builder) describe(p *spacePlan, scales []*scaleWorkspace) error {
	w := b.spaces.Get()
	defer b.spaces.Put(w)
	if err := b.prepare(p, w); err != nil {
		return err
	}
	// Much of a segmentation is sequential: other threads bin the image meanwhile.
	err := b.pool.Run(1+len(scales), func(i int) error {
		if i == 0 {
			defer b.timer.start(&b.timer.describe)()
			return w.binned.Build(b.ctx, b.imageOf(p, w), b.run(&b.timer.describe))
		}
		return b.segment(&p.scales[i-1], w, scales[i-1])
	})
	if err != nil {
		return err
	}
	var (
		good    []*scaleWorkspace
		regions []*similarity.Regions
		labels  []*raster.LabelImage
	)
	for i, s := range scales {
		if b.failed[p.scales[i].trees[0]] != nil {
			continue
		}
		good = append(good, s)
		regions = append(regions, &s.regions)
		labels = append(labels, &s.labels)
	}
	return b.pool.Run(1+len(good), func(i int) error {
		if i == 0 {
			defer b.timer.start(&b.timer.describe)()
			return w.binned.Describe(b.ctx, regions, labels, b.run(&b.timer.describe))
		}
		defer b.timer.start(&b.timer.group)()
		s := good[i-1]
		return s.adjacency.Build(b.ctx, &s.labels)
	})
}

// prepare converts the image to a color space, unless that is given, and builds the graph of
// its pixels.
func (b *builder) prepare(p *spacePlan, w *spaceWorkspace) error {
	defer b.timer.start(&b.timer.segment)()
	if _, ok := given(p.space); !ok {
		if _, err := raster.Convert(b.ctx, &w.image, b.img, p.space); err != nil {
			return err
		}
	}
	return w.graph.Build(b.ctx, b.imageOf(p, w), segment.Options{
		Sigma: cmp.Or(p.sigma, b.opts.Sigma), Connectivity: b.opts.Connectivity,
		MinK: p.minK, SingleScale: len(p.scales) == 1,
		Runner: b.run(&b.timer.segment),
	})
}

// imageOf returns the image of a color space, once it is prepared.
func (b *builder) imageOf(p *spacePlan, w *spaceWorkspace) *raster.Image {
	if i, ok := given(p.space); ok {
		return b.opts.Images[i]
	}
	return &w.image
}

// segment segments the image at a scale. Too many regions are noted as the failure of the
// first strategy of the scale.
func (b *builder) segment(p *scalePlan, w *spaceWorkspace, s *scaleWorkspace) error {
	defer b.timer.start(&b.timer.segment)()
	first := p.trees[0]
	strategy := b.opts.Strategies[first]
	labels, err := w.graph.Segment(b.ctx, &s.labels, p.k, strategy.EffectiveMinSize())
	if err != nil {
		return err
	}
	for _, i := range p.trees {
		b.leaves[i] = labels.Regions()
	}
	b.total.Add(int64(len(p.trees) * labels.Regions()))
	if limit := cmp.Or(b.opts.MaxRegions, DefaultMaxRegions); labels.Regions() > limit {
		b.failed[first] = &TooManyRegionsError{strategy, labels.Regions(), limit, false}
	}
	return nil
}

// group builds the trees of a scale and, if they are kept, the columns of its segmentation. It does nothing
// if the search has too many regions in all. The other strategies are still segmented, as the error names
// the first strategy that exceeds the limit.
func (b *builder) group(p *scalePlan, s *scaleWorkspace) error {
	if b.failed[p.trees[0]] != nil || b.exceedsTotal() {
		return nil
	}
	n := len(p.trees)
	if b.regions != nil {
		n++
	}
	return b.pool.Run(n, func(i int) error {
		defer b.timer.start(&b.timer.group)()
		if i == len(p.trees) {
			return b.keepColumns(p, s)
		}
		return b.buildTree(p.trees[i], s)
	})
}

// buildTree builds the tree of a strategy.
func (b *builder) buildTree(strategy int, s *scaleWorkspace) error {
	w := b.groups.Get()
	defer b.groups.Put(w)
	s.regions.WithWeights(&w.regions, b.opts.Strategies[strategy].Weights)
	w.grouper.MaxPairs = b.maxPairs()
	_, err := w.grouper.Group(b.ctx, b.trees[strategy], &s.adjacency, &s.labels, &w.regions)
	return err
}

// maxPairs returns the number of pairs to keep of each tree, from which unions are chosen.
func (b *builder) maxPairs() int {
	if b.opts.Unions == 0 || b.opts.Order != OrderObjectness {
		return 0
	}
	return max(minPairs, pairsPerUnion*b.opts.Unions/len(b.opts.Strategies))
}

// keepColumns keeps the segmentation of a scale for Result.Regions.
func (b *builder) keepColumns(p *scalePlan, s *scaleWorkspace) error {
	c, err := newColumns(b.ctx, &s.labels)
	for _, strategy := range p.trees {
		b.regions.columns[strategy] = c
	}
	return err
}

// run returns a Runner that adds the time of the threads that join to a stage.
func (b *builder) run(stage *atomic.Int64) parallel.Runner {
	return func(n int, f func(i int) error) error { return b.pool.RunTimed(n, stage, f) }
}
