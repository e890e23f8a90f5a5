package selective

import (
	"cmp"
	"context"
	"math"
	"runtime"
	"slices"
	"sync"
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
	g := &grower{
		crew: crew, clock: c, img: img, opts: opts,
		trees:  make([]*hierarchy.Tree, len(opts.Strategies)),
		failed: make([]error, len(opts.Strategies)),
	}
	bySpace := split(opts.Strategies, all(len(opts.Strategies)), func(s Strategy) raster.Space { return s.Space })
	var err error
	atOnce := max(1, spacesMemory/spaceMemory/(img.Width*img.Height))
	for chunk := range slices.Chunk(bySpace, atOnce) {
		g.open.Wait()
		g.open.Add(len(chunk))
		if err = crew.each(len(chunk), func(i int) error { return g.space(chunk[i]) }, func() {}); err != nil {
			break
		}
	}
	if err := crew.wait(err); err != nil {
		return nil, err
	}
	return g.trees, cmp.Or(g.failed...)
}

type grower struct {
	crew  *crew
	clock *clock
	img   *raster.Image
	opts  Options
	trees []*hierarchy.Tree // by strategy

	// failed has the errors that are the picture's, by strategy. They do not stop the
	// others, or which one is told of would be a matter of chance.
	failed []error

	open sync.WaitGroup // of the colour spaces that hold buffers
}

// Several colour spaces are worked on at once only as long as their buffers, of
// about 60 bytes a pixel, fit a gigabyte. There is enough to do for several threads
// within one.
const (
	spaceMemory  = 60
	spacesMemory = 1 << 30
)

// The large buffers of a search, finished or not, are used again by the next: at
// twelve megapixels taking them anew, zeroed, costs more than some stages. The
// collector takes back what lies unused.
var (
	spaceBuffers = sync.Pool{New: func() any {
		return &spaceBuffer{new(raster.Image), new(segment.Graph), new(similarity.Field)}
	}}
	scaleBuffers = sync.Pool{New: func() any { return new(segment.Labels) }}
)

type spaceBuffer struct {
	image *raster.Image
	graph *segment.Graph
	field *similarity.Field
}

// space grows the trees of the strategies which, all of one colour space, and is
// done with open when nobody works on them any more.
func (g *grower) space(which []int) error {
	b := spaceBuffers.Get().(*spaceBuffer)
	done := func() {
		spaceBuffers.Put(b)
		g.open.Done()
	}
	if err := g.prepare(b, which); err != nil {
		done()
		return err
	}
	type scale struct {
		k       float64
		minSize int
	}
	byScale := split(g.opts.Strategies, which, func(s Strategy) scale { return scale{s.K, s.MinSize} })
	return g.crew.each(len(byScale), func(i int) error { return g.scale(b, byScale[i]) }, done)
}

// prepare makes what all strategies of a colour space share.
func (g *grower) prepare(b *spaceBuffer, which []int) error {
	ctx := g.crew.ctx
	space, least := g.opts.Strategies[which[0]].Space, math.Inf(1)
	for _, i := range which {
		least = min(least, g.opts.Strategies[i].K)
	}
	done := g.clock.start(&g.clock.segment)
	_, err := raster.Convert(ctx, b.image, g.img, space)
	done()
	if err != nil {
		return err
	}
	binned := g.crew.fork(func() error {
		defer g.clock.start(&g.clock.describe)()
		_, err := similarity.NewField(ctx, b.field, b.image)
		return err
	})
	done = g.clock.start(&g.clock.segment)
	_, err = segment.NewGraph(ctx, b.graph, b.image, segment.Options{Sigma: g.opts.Sigma, Connectivity: g.opts.Connectivity, Least: least})
	done()
	// The other work on b must have ended, whatever became of this.
	return cmp.Or(binned(), err)
}

// scale grows the trees of the strategies which, all of one colour space and scale.
func (g *grower) scale(b *spaceBuffer, which []int) error {
	labels := scaleBuffers.Get().(*segment.Labels)
	adjacency, regions, err := g.describe(b, labels, which[0])
	if err != nil || regions == nil {
		scaleBuffers.Put(labels)
		return err
	}
	group := func(i int) (err error) {
		defer g.clock.start(&g.clock.group)()
		weights := g.opts.Strategies[which[i]].Weights
		g.trees[which[i]], err = new(hierarchy.Grouper).Group(g.crew.ctx, nil, adjacency, labels.Sizes, labels.Boxes, regions.Under(nil, weights))
		return err
	}
	return g.crew.each(len(which), group, func() { scaleBuffers.Put(labels) })
}

// describe makes what all strategies of a colour space and scale share. It notes
// the failure of the first of them, and returns no regions, if there are too many.
func (g *grower) describe(b *spaceBuffer, labels *segment.Labels, first int) (*hierarchy.Graph, *similarity.Regions, error) {
	ctx, s := g.crew.ctx, g.opts.Strategies[first]
	minSize := s.MinSize
	if minSize == 0 {
		minSize = int(math.Round(s.K))
	}
	done := g.clock.start(&g.clock.segment)
	_, err := b.graph.Segment(ctx, labels, s.K, minSize)
	done()
	if err != nil {
		return nil, nil, err
	}
	if most := cmp.Or(g.opts.MaxRegions, DefaultMaxRegions); labels.N() > most {
		g.failed[first] = &RegionsError{s, labels.N(), most}
		return nil, nil, nil
	}
	done = g.clock.start(&g.clock.describe)
	regions, err := similarity.Describe(ctx, nil, b.field, labels.Pix, labels.Sizes, labels.Boxes)
	done()
	if err != nil {
		return nil, nil, err
	}
	defer g.clock.start(&g.clock.group)()
	adjacency, err := hierarchy.NewGraph(ctx, nil, labels.Pix, labels.Width, labels.N())
	return adjacency, regions, err
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

// each does n pieces of work; some may still be under way when it returns. Whoever
// ends the last calls after, however the work ended.
func (c *crew) each(n int, work func(i int) error, after func()) error {
	var left atomic.Int64
	left.Store(int64(n))
	do := func(i int) error {
		err := work(i)
		if left.Add(-1) == 0 {
			after()
		}
		return err
	}
	var first error
	for i := range n {
		if i < n-1 && c.group.TryGo(func() error { return do(i) }) {
			continue
		}
		if err := do(i); err != nil && first == nil {
			first = err
			c.cancel() // the rest ends at its first look at the context
		}
	}
	return first
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

// wait waits for all work; err is how the caller's own ended.
func (c *crew) wait(err error) error {
	defer c.cancel()
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
