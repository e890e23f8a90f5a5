package selective

import (
	"context"
	"math"
	"runtime"
	"slices"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/proposer/proposer/hierarchy"
	"github.com/proposer/proposer/raster"
	"github.com/proposer/proposer/segment"
	"github.com/proposer/proposer/similarity"
)

// grow builds the tree of every strategy. What strategies share is made once:
// the sorted graph and the binned picture of a colour space, the segmentation and
// the descriptors of a colour space and scale.
func grow(ctx context.Context, img *raster.Image, opts Options, c *clock) ([]*hierarchy.Tree, error) {
	threads := opts.Threads
	if threads == 0 {
		threads = runtime.GOMAXPROCS(0)
	}
	crew := newCrew(ctx, threads)
	g := &grower{crew: crew, clock: c, img: img, opts: opts, trees: make([]*hierarchy.Tree, len(opts.Strategies))}
	bySpace := split(opts.Strategies, all(len(opts.Strategies)), func(s Strategy) raster.Space { return s.Space })
	err := crew.each(len(bySpace), func(i int) error { return g.space(bySpace[i]) })
	if err := crew.wait(err); err != nil {
		return nil, err
	}
	return g.trees, nil
}

type grower struct {
	crew  *crew
	clock *clock
	img   *raster.Image
	opts  Options
	trees []*hierarchy.Tree // by strategy
}

// space grows the trees of the strategies which, all of one colour space.
func (g *grower) space(which []int) error {
	ctx := g.crew.ctx
	done := g.clock.start(&g.clock.segment)
	img, err := raster.Convert(ctx, nil, g.img, g.opts.Strategies[which[0]].Space)
	done()
	if err != nil {
		return err
	}
	var field *similarity.Field
	binned := g.crew.fork(func() (err error) {
		defer g.clock.start(&g.clock.describe)()
		field, err = similarity.NewField(ctx, nil, img)
		return err
	})
	graph, err := g.graph(img)
	if err != nil {
		return err
	}
	if err := binned(); err != nil {
		return err
	}
	type scale struct {
		k       float64
		minSize int
	}
	byScale := split(g.opts.Strategies, which, func(s Strategy) scale { return scale{s.K, s.MinSize} })
	return g.crew.each(len(byScale), func(i int) error { return g.scale(graph, field, byScale[i]) })
}

func (g *grower) graph(img *raster.Image) (*segment.Graph, error) {
	defer g.clock.start(&g.clock.segment)()
	smooth, err := raster.Smooth(g.crew.ctx, nil, img, g.opts.Sigma)
	if err != nil {
		return nil, err
	}
	return segment.NewGraph(g.crew.ctx, nil, smooth, g.opts.Connectivity)
}

// scale grows the trees of the strategies which, all of one colour space and scale.
func (g *grower) scale(graph *segment.Graph, field *similarity.Field, which []int) error {
	ctx := g.crew.ctx
	s := g.opts.Strategies[which[0]]
	minSize := s.MinSize
	if minSize == 0 {
		minSize = int(math.Round(s.K))
	}
	done := g.clock.start(&g.clock.segment)
	labels, err := graph.Segment(ctx, nil, s.K, minSize)
	done()
	if err != nil {
		return err
	}
	done = g.clock.start(&g.clock.describe)
	regions, err := similarity.Describe(ctx, field, labels.Pix, labels.Sizes, labels.Boxes)
	done()
	if err != nil {
		return err
	}
	done = g.clock.start(&g.clock.group)
	adjacency, err := hierarchy.NewGraph(ctx, labels.Pix, labels.Width, labels.N())
	done()
	if err != nil {
		return err
	}
	return g.crew.each(len(which), func(i int) (err error) {
		defer g.clock.start(&g.clock.group)()
		weights := g.opts.Strategies[which[i]].Weights
		g.trees[which[i]], err = hierarchy.Group(ctx, adjacency, labels.Sizes, labels.Boxes, regions.Under(weights))
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

// crew runs work on a bounded number of goroutines, the caller's included. Work
// that finds no one idle is done by the one that brings it, so that work may bring
// more work without waiting for a place.
type crew struct {
	ctx    context.Context // ends with the first error
	cancel context.CancelFunc
	group  *errgroup.Group
}

func newCrew(ctx context.Context, threads int) *crew {
	ctx, cancel := context.WithCancel(ctx)
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(threads - 1)
	return &crew{ctx, cancel, group}
}

// each does n pieces of work; some may still be under way when it returns.
func (c *crew) each(n int, work func(i int) error) error {
	for i := range n {
		if i < n-1 && c.group.TryGo(func() error { return work(i) }) {
			continue
		}
		if err := work(i); err != nil {
			return err
		}
	}
	return nil
}

// fork does a piece of work, beside the caller if someone is idle. The function it
// returns waits for the end.
func (c *crew) fork(work func() error) (wait func() error) {
	end := make(chan error, 1)
	run := func() error {
		err := work()
		end <- err
		return err
	}
	if !c.group.TryGo(run) {
		_ = run() // wait returns it
	}
	return func() error { return <-end }
}

// wait waits for all work, and ends it early if err, how the caller's own ended, is not nil.
func (c *crew) wait(err error) error {
	defer c.cancel()
	if err != nil {
		c.cancel()
	}
	if groupErr := c.group.Wait(); err == nil {
		err = groupErr
	}
	return err
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
