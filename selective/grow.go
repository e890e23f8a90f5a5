package selective

import (
	"cmp"
	"context"
	"math"
	"slices"
	"sync/atomic"
	"time"

	"github.com/proposer/proposer/hierarchy"
	"github.com/proposer/proposer/internal/parallel"
	"github.com/proposer/proposer/raster"
	"github.com/proposer/proposer/segment"
	"github.com/proposer/proposer/similarity"
)

// grower grows the trees of all strategies. What strategies share is made once: the graph
// and the binned picture of a colour space, the segmentation and the descriptors of a
// colour space and scale.
type grower struct {
	*Searcher
	ctx   context.Context
	pool  *parallel.Pool
	clock *clock
	img   *raster.Image
	opts  Options

	// failed has the errors that are the picture's, by strategy. They do not stop the
	// others, or which one is told of would be a matter of chance.
	failed []error

	keep *Regions // nil: nothing is to be kept
}

// Several colour spaces are worked on at once only as long as their buffers, of
// about 60 bytes a pixel, fit a gigabyte. There is enough to do for several threads
// within one.
const (
	spaceMemory  = 60
	spacesMemory = 1 << 30
)

// grow grows the trees, by strategy. They are the Searcher's, until the next search. What
// else there is to keep is put into keep, if that is not nil.
func (s *Searcher) grow(ctx context.Context, img *raster.Image, opts Options, pool *parallel.Pool, c *clock, keep *Regions) ([]*hierarchy.Tree, error) {
	n := len(opts.Strategies)
	for len(s.trees) < n {
		s.trees = append(s.trees, new(hierarchy.Tree))
	}
	g := &grower{
		Searcher: s, ctx: ctx, pool: pool, clock: c, img: img, opts: opts,
		failed: make([]error, n), keep: keep,
	}
	if keep != nil {
		keep.columns = make([]*columns, n)
	}
	bySpace := split(opts.Strategies, all(n), func(s Strategy) raster.Space { return s.Space })
	atOnce := min(pool.Threads(), len(bySpace), max(1, spacesMemory/spaceMemory/(img.Width*img.Height)))
	var next atomic.Int64
	err := g.pool.Run(atOnce, func(int) error {
		for {
			i := int(next.Add(1)) - 1
			if i >= len(bySpace) {
				return nil
			}
			if err := g.space(bySpace[i]); err != nil {
				return err
			}
		}
	})
	if err != nil {
		return nil, err
	}
	return s.trees[:n], cmp.Or(g.failed...)
}

// space grows the trees of the strategies which, all of one colour space.
func (g *grower) space(which []int) error {
	type scale struct {
		k       float64
		minSize int
	}
	byScale := split(g.opts.Strategies, which, func(s Strategy) scale { return scale{s.K, s.MinSize} })
	scales := make([]*scaleBuffer, len(byScale))
	for i := range scales {
		scales[i] = g.scales.Get()
		defer g.scales.Put(scales[i])
	}
	if err := g.describe(scales, byScale); err != nil {
		return err
	}
	return g.pool.Run(len(byScale), func(i int) error { return g.group(scales[i], byScale[i]) })
}

// describe segments the picture at all scales of a colour space, describes the regions
// and finds their neighbours.
func (g *grower) describe(scales []*scaleBuffer, byScale [][]int) error {
	b := g.spaces.Get()
	defer g.spaces.Put(b)
	if err := g.prepare(b, byScale); err != nil {
		return err
	}
	// Much of a segmentation is one thread's work, at one scale all of it: the field is kept for the others.
	err := g.pool.Run(1+len(scales), func(i int) error {
		if i == 0 {
			defer g.clock.start(&g.clock.describe)()
			return b.field.Build(g.ctx, &b.image, g.timed(&g.clock.describe))
		}
		return g.segment(b, scales[i-1], byScale[i-1][0])
	})
	if err != nil {
		return err
	}
	var (
		good    []*scaleBuffer
		regions []*similarity.Regions
		labels  []*raster.LabelImage
	)
	for i, s := range scales {
		if g.failed[byScale[i][0]] != nil {
			continue
		}
		good = append(good, s)
		regions = append(regions, &s.regions)
		labels = append(labels, &s.labels)
	}
	return g.pool.Run(1+len(good), func(i int) error {
		if i == 0 {
			defer g.clock.start(&g.clock.describe)()
			return b.field.Describe(g.ctx, regions, labels, g.timed(&g.clock.describe))
		}
		defer g.clock.start(&g.clock.group)()
		s := good[i-1]
		return s.adjacency.Build(g.ctx, &s.labels)
	})
}

// prepare converts the picture to a colour space, and builds its graph.
func (g *grower) prepare(b *spaceBuffer, byScale [][]int) error {
	least := math.Inf(1)
	for _, which := range byScale {
		least = min(least, g.opts.Strategies[which[0]].K)
	}
	defer g.clock.start(&g.clock.segment)()
	_, err := raster.Convert(g.ctx, &b.image, g.img, g.opts.Strategies[byScale[0][0]].Space)
	if err != nil {
		return err
	}
	return b.graph.Build(g.ctx, &b.image, segment.Options{
		Sigma: g.opts.Sigma, Connectivity: g.opts.Connectivity, MinK: least, SingleScale: len(byScale) == 1,
		Runner: g.timed(&g.clock.segment),
	})
}

// timed is the pool, with the time of its workers added to a stage.
func (g *grower) timed(stage *atomic.Int64) parallel.Runner {
	return func(n int, work func(i int) error) error { return g.pool.RunTimed(n, stage, work) }
}

// segment segments the picture for a strategy. It notes the failure of the strategy if there are too many.
func (g *grower) segment(b *spaceBuffer, s *scaleBuffer, strategy int) error {
	st := g.opts.Strategies[strategy]
	defer g.clock.start(&g.clock.segment)()
	labels, err := b.graph.Segment(g.ctx, &s.labels, st.K, st.LeastSize())
	if err != nil {
		return err
	}
	if most := cmp.Or(g.opts.MaxRegions, DefaultMaxRegions); labels.Regions() > most {
		g.failed[strategy] = &RegionsError{st, labels.Regions(), most}
	}
	return nil
}

// group grows the trees of the strategies which, all of one colour space and scale, and
// keeps what is to be kept of the first regions.
func (g *grower) group(s *scaleBuffer, which []int) error {
	if g.failed[which[0]] != nil {
		return nil
	}
	labels := &s.labels
	n := len(which)
	if g.keep != nil {
		n++
	}
	return g.pool.Run(n, func(i int) error {
		defer g.clock.start(&g.clock.group)()
		if i == len(which) {
			c, err := newColumns(g.ctx, labels)
			for _, strategy := range which {
				g.keep.columns[strategy] = c
			}
			return err
		}
		b := g.groups.Get()
		defer g.groups.Put(b)
		s.regions.WithWeights(&b.regions, g.opts.Strategies[which[i]].Weights)
		_, err := b.grouper.Group(g.ctx, g.trees[which[i]], &s.adjacency, labels, &b.regions)
		return err
	})
}

func all(n int) []int {
	s := make([]int, n)
	for i := range s {
		s[i] = i
	}
	return s
}

// split parts the strategies which by a key, keeping their order.
func split[K comparable](strategies []Strategy, which []int, key func(Strategy) K) [][]int {
	var keys []K
	var parts [][]int
	for _, i := range which {
		k := key(strategies[i])
		at := slices.Index(keys, k)
		if at < 0 {
			at = len(keys)
			keys, parts = append(keys, k), append(parts, nil)
		}
		parts[at] = append(parts[at], i)
	}
	return parts
}

// clock adds up the time that each stage took on all threads.
type clock struct{ segment, describe, group, rank atomic.Int64 }

func (c *clock) start(stage *atomic.Int64) (stop func()) {
	begin := time.Now()
	return func() { stage.Add(int64(time.Since(begin))) }
}

func (c *clock) stages() Stages {
	return Stages{
		Segment:  time.Duration(c.segment.Load()),
		Describe: time.Duration(c.describe.Load()),
		Group:    time.Duration(c.group.Load()),
		Rank:     time.Duration(c.rank.Load()),
	}
}
