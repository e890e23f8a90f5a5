package selective

import (
	"context"
	"errors"
	"fmt"
	"math"
	"path/filepath"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"
	"pgregory.net/rapid"

	"github.com/proposer/proposer/box"
	"github.com/proposer/proposer/candidate"
	"github.com/proposer/proposer/hierarchy"
	"github.com/proposer/proposer/internal/parallel"
	"github.com/proposer/proposer/internal/testutil/golden"
	"github.com/proposer/proposer/internal/testutil/photos"
	"github.com/proposer/proposer/internal/testutil/scene"
	"github.com/proposer/proposer/objectness"
	"github.com/proposer/proposer/raster"
	"github.com/proposer/proposer/similarity"
)

// paper returns the options of a mode with the paper's order, which the golden files have.
func paper(tb testing.TB, mode string) Options {
	tb.Helper()
	opts, err := Mode(mode)
	if err != nil {
		tb.Fatal(err)
	}
	opts.Order = OrderPaper
	return opts
}

func search(t testing.TB, img *raster.Image, opts Options) []Proposal {
	t.Helper()
	r, err := Search(t.Context(), img, opts)
	if err != nil {
		t.Fatal(err)
	}
	check(t, img, r.Proposals)
	return r.Proposals
}

// check holds what is true of every result.
func check(t testing.TB, img *raster.Image, proposals []Proposal) {
	t.Helper()
	whole := box.Box{X1: int32(img.Width), Y1: int32(img.Height)}
	seen := map[box.Box]bool{}
	last := float32(math.Inf(1))
	for i, p := range proposals {
		if p.Box.Empty() || p.Box.Union(whole) != whole {
			t.Fatalf("proposal %d: %v is not inside %v", i, p.Box, whole)
		}
		if seen[p.Box] {
			t.Fatalf("proposal %d: %v comes twice", i, p.Box)
		}
		seen[p.Box] = true
		if !(p.Score > 0 && p.Score <= 1 && p.Score < last) {
			t.Fatalf("proposal %d: score %v after %v", i, p.Score, last)
		}
		last = p.Score
		if len(p.Origins) == 0 {
			t.Fatalf("proposal %d: no origin", i)
		}
		for _, o := range p.Origins {
			if o.Size < 1 || int64(o.Size) > p.Box.Area() || o.Position < 1 || !(o.Birth >= 0 && o.Death >= 0) {
				t.Fatalf("proposal %d: impossible origin %+v", i, o)
			}
		}
	}
}

func TestPresets(t *testing.T) {
	for name, want := range map[string]int{
		"single": 1, "fast": 8, "quality": 80,
		"opencv-single": 1, "opencv-fast": 12, "opencv-quality": 100,
	} {
		o := paper(t, name)
		if len(o.Strategies) != want {
			t.Errorf("%s: %d strategies, want %d", name, len(o.Strategies), want)
		}
		if err := o.Validate(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if !slices.Contains(Modes(), name) {
			t.Errorf("%s is not among %v", name, Modes())
		}
	}
	if _, err := Mode("best-ever"); err == nil || !strings.Contains(err.Error(), "quality") {
		t.Errorf("unknown preset: %v, want an error that names the known ones", err)
	}
}

// A search is ranked by the ranker of the mode whose strategies it has.
func TestRankerOfMode(t *testing.T) {
	all := Quality()
	few := Quality()
	few.Strategies = few.Strategies[:16]
	best := Best()
	best.Sigma, best.Max = 1, 5
	own := Fast()
	own.Ranker = objectness.ForMode("best")
	for name, c := range map[string]struct {
		opts Options
		mode string
	}{
		"single":                     {Single(), "fast"},
		"fast":                       {Fast(), "fast"},
		"best with other options":    {best, "best"},
		"quality":                    {all, "quality"},
		"16 strategies of quality":   {few, "best"},
		"fast with another ranker":   {own, "best"},
		"opencv-fast, 12 other ones": {mustMode("opencv-fast"), "fast"},
	} {
		t.Run(name, func(t *testing.T) {
			s, err := New(c.opts)
			if err != nil {
				t.Fatal(err)
			}
			if s.opts.Ranker != Ranker(objectness.ForMode(c.mode)) {
				t.Errorf("got another ranker than that of mode %s", c.mode)
			}
		})
	}
}

// TestShapes runs the pictures that others fall over.
func TestShapes(t *testing.T) {
	for _, size := range [][2]int{{1, 1}, {1, 300}, {300, 1}, {2, 2}, {3, 2}, {64, 64}, {20000, 10}, {10, 20000}} {
		for _, space := range []raster.Space{raster.RGB, raster.Gray} {
			for _, uniform := range []bool{true, false} {
				img := raster.New(space, size[0], size[1])
				if !uniform {
					for i := range img.Pix {
						img.Pix[i] = uint8(i * i / 7)
					}
				}
				for _, mode := range []string{"fast", "opencv-single"} {
					got := search(t, img, paper(t, mode))
					whole := box.Box{X1: int32(size[0]), Y1: int32(size[1])}
					if !slices.ContainsFunc(got, func(p Proposal) bool { return p.Box == whole }) {
						t.Errorf("%v %v uniform=%v %s: the whole picture is not among %d proposals", size, space, uniform, mode, len(got))
					}
					if uniform && len(got) != 1 {
						t.Errorf("%v %v uniform %s: %d proposals, want 1", size, space, mode, len(got))
					}
				}
			}
		}
	}
}

func TestEverySpace(t *testing.T) {
	img := scene.Render(4, 120, 90, 4).Image
	for _, space := range raster.Spaces() {
		o := paper(t, "single")
		o.Strategies[0].Space = space
		if got := search(t, img, o); len(got) < 3 {
			t.Errorf("%v: %d proposals", space, len(got))
		}
	}
}

// TestDeterministic: the same result at any number of threads and processors, to the bit.
func TestDeterministic(t *testing.T) {
	img := scene.Render(7, 160, 120, 6).Image
	modes := []string{"single", "fast", "quality"}
	if testing.Short() {
		modes = modes[:2]
	}
	for _, mode := range modes {
		opts := paper(t, mode)
		opts.Threads = 1
		want := search(t, img, opts)
		for _, procs := range []int{1, 2, 8} {
			before := runtime.GOMAXPROCS(procs)
			for _, threads := range []int{0, 1, 2, 3, 16} {
				opts.Threads = threads
				if got := search(t, img, opts); !reflect.DeepEqual(got, want) {
					t.Errorf("%s: other proposals with %d threads on %d processors", mode, threads, procs)
				}
			}
			runtime.GOMAXPROCS(before)
		}
	}
}

// The candidates and the orders equal those of a direct implementation.
func TestCandidatesEqualReference(t *testing.T) {
	img := scene.Render(3, 140, 100, 5).Image
	for _, order := range []Order{OrderPaper, OrderHierarchy} {
		opts := paper(t, "fast")
		opts.Order = order
		trees := buildTrees(t, img, opts)
		type reference struct {
			best    float64
			origins []candidate.Origin
		}
		want := map[box.Box]*reference{}
		nodes := 0
		for s, tree := range trees {
			rng := newRandom(opts.Seed, s)
			rng() // position 0 is nobody's
			for position := 1; position <= len(tree.Nodes); position++ {
				node := tree.Nodes[len(tree.Nodes)-position]
				value := float64(position)
				if order == OrderPaper {
					value *= rng()
				}
				w := want[node.Box]
				if w == nil {
					w = &reference{best: math.Inf(1)}
					want[node.Box] = w
				}
				death := float32(0)
				if node.Parent >= 0 {
					death = tree.Nodes[node.Parent].Similarity
				}
				w.best = min(w.best, value)
				w.origins = append(w.origins, candidate.Origin{
					Strategy: int32(s), Position: int32(position), Size: node.Size, Birth: node.Similarity, Death: death,
				})
				nodes++
			}
		}
		got := search(t, img, opts)
		if len(got) != len(want) {
			t.Fatalf("%v: %d proposals, want the %d different boxes of %d nodes", order, len(got), len(want), nodes)
		}
		last := 0.0
		for i, p := range got {
			w := want[p.Box]
			if w == nil || !slices.Equal(p.Origins, w.origins) {
				t.Fatalf("%v: proposal %d %v has origins %v, want %v", order, i, p.Box, p.Origins, w)
			}
			if w.best < last {
				t.Fatalf("%v: proposal %d %v of value %v comes after %v", order, i, p.Box, w.best, last)
			}
			last = w.best
			if math.Abs(float64(p.Score)-1/(1+w.best)) > 1e-4 {
				t.Fatalf("%v: proposal %d: score %v of value %v", order, i, p.Score, w.best)
			}
		}
	}
}

func TestSelection(t *testing.T) {
	img := scene.Render(11, 160, 120, 6).Image
	full := search(t, img, paper(t, "fast"))
	rapid.Check(t, func(rt *rapid.T) {
		opts := paper(t, "fast")
		opts.MinSide = rapid.IntRange(0, 80).Draw(rt, "minSide")
		keep := func(box.Box) bool { return true }
		if n := rapid.Int32Range(0, 3).Draw(rt, "keep"); n > 0 {
			keep = func(b box.Box) bool { return b.X0%n == 0 }
			opts.Keep = keep
		}
		opts.Max = rapid.IntRange(0, len(full)+10).Draw(rt, "max")
		opts.NMS = rapid.SampledFrom([]box.NMS{{}, {Threshold: 0.5}, {Threshold: 0.8}, box.Adaptive()}).Draw(rt, "nms")
		got := search(t, img, opts)

		// What comes out is the full list, filtered, in the same order.
		var large []Proposal
		for _, p := range full {
			if int(p.Box.Width()) >= opts.MinSide && int(p.Box.Height()) >= opts.MinSide && keep(p.Box) {
				large = append(large, p)
			}
		}
		boxes := make([]box.Box, len(large))
		for i, p := range large {
			boxes[i] = p.Box
		}
		kept, err := opts.NMS.Keep(t.Context(), boxes, opts.Max)
		if err != nil {
			rt.Fatal(err)
		}
		if len(got) != len(kept) || opts.Max > 0 && len(got) > opts.Max {
			rt.Fatalf("%d proposals, want %d", len(got), len(kept))
		}
		for i, k := range kept {
			if got[i].Box != large[k].Box || !slices.Equal(got[i].Origins, large[k].Origins) {
				rt.Fatalf("proposal %d: %v, want %v", i, got[i].Box, large[k].Box)
			}
		}
	})
}

func TestSeed(t *testing.T) {
	img := scene.Render(5, 120, 90, 5).Image
	opts := paper(t, "single")
	one := search(t, img, opts)
	opts.Seed = 2
	two := search(t, img, opts)
	if reflect.DeepEqual(one, two) {
		t.Error("seeds 1 and 2 give the same order")
	}
	sorted := func(ps []Proposal) []string {
		var s []string
		for _, p := range ps {
			s = append(s, p.Box.String())
		}
		slices.Sort(s)
		return s
	}
	if !slices.Equal(sorted(one), sorted(two)) {
		t.Error("seeds 1 and 2 give different boxes")
	}
}

func TestValidate(t *testing.T) {
	img := raster.New(raster.RGB, 8, 8)
	for name, spoil := range map[string]func(*Options){
		"0 strategies":              func(o *Options) { o.Strategies = nil },
		"257 strategies":            func(o *Options) { o.Strategies = make([]Strategy, MaxStrategies+1) },
		"color space":               func(o *Options) { o.Strategies[0].Space = 99 },
		"k = 0":                     func(o *Options) { o.Strategies[0].K = 0 },
		"k = NaN":                   func(o *Options) { o.Strategies[0].K = math.NaN() },
		"k = +Inf":                  func(o *Options) { o.Strategies[0].K = math.Inf(1) },
		"min size":                  func(o *Options) { o.Strategies[0].MinSize = -1 },
		"weights are 0":             func(o *Options) { o.Strategies[0].Weights = similarity.Weights{} },
		"weight C":                  func(o *Options) { o.Strategies[0].Weights.Color = 2 },
		"equals":                    func(o *Options) { o.Strategies[1] = o.Strategies[0] },
		"sigma":                     func(o *Options) { o.Sigma = math.NaN() },
		"sigma 17":                  func(o *Options) { o.Sigma = 17 },
		"connectivity":              func(o *Options) { o.Connectivity = 6 },
		"Order(9)":                  func(o *Options) { o.Order = 9 },
		"NMS":                       func(o *Options) { o.NMS.Threshold = -1 },
		"minimum side":              func(o *Options) { o.MinSide = -1 },
		"maximum":                   func(o *Options) { o.Max = -1 },
		"maximum number of regions": func(o *Options) { o.MaxRegions = -1 },
		"regions of all strategies": func(o *Options) { o.MaxTotalRegions = -1 },
		"threads":                   func(o *Options) { o.Threads = -1 },
	} {
		opts := paper(t, "fast")
		spoil(&opts)
		if _, err := Search(t.Context(), img, opts); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: error %v", name, err)
		}
	}
	opts := paper(t, "fast")
	opts.Sigma, opts.Max = -1, -1
	if err := opts.Validate(); err == nil || !strings.Contains(err.Error(), "sigma") || !strings.Contains(err.Error(), "maximum") {
		t.Errorf("two bad settings: %v, want both named", err)
	}
	opts = paper(t, "fast")
	opts.Strategies[0].K = math.NaN() // not equal to itself
	if err := opts.Validate(); err == nil || strings.Contains(err.Error(), "equals") {
		t.Errorf("k = NaN: %v, want an error of k alone", err)
	}
	for name, img := range map[string]*raster.Image{
		"space":   raster.New(raster.Lab, 4, 4),
		"empty":   {Space: raster.RGB},
		"samples": {Width: 4, Height: 4, Space: raster.RGB, Pix: make([]uint8, 16)},
		"huge":    {Width: 1 << 20, Height: 1 << 20, Space: raster.Gray},
	} {
		if _, err := Search(t.Context(), img, paper(t, "fast")); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

// TestMaxRegions: a stranger's options do not take all memory.
func TestMaxRegions(t *testing.T) {
	img := raster.New(raster.RGB, 600, 600)
	for i := range img.Pix {
		img.Pix[i] = uint8(i * i >> 3)
	}
	opts := paper(t, "single")
	opts.Sigma = 0
	opts.Strategies[0].K, opts.Strategies[0].MinSize = 1e-9, 1
	_, err := Search(t.Context(), img, opts)
	var tooMany *TooManyRegionsError
	if !errors.As(err, &tooMany) || tooMany.Max != DefaultMaxRegions || tooMany.Regions <= tooMany.Max || tooMany.Strategy != opts.Strategies[0] {
		t.Fatalf("%v, want a TooManyRegionsError", err)
	}
	// The error is that of the first strategy that fails, in any order of execution.
	many := paper(t, "fast")
	many.MaxRegions = 3
	for range 10 {
		if _, err := Search(t.Context(), img, many); !errors.As(err, &tooMany) || tooMany.Strategy != many.Strategies[0] {
			t.Fatalf("%v, want the first strategy's TooManyRegionsError", err)
		}
	}
	opts = paper(t, "single")
	opts.MaxRegions = 3
	if _, err := Search(t.Context(), img, opts); !errors.As(err, &tooMany) || tooMany.Max != 3 {
		t.Errorf("%v, want a TooManyRegionsError", err)
	}
	opts.MaxRegions = tooMany.Regions
	search(t, img, opts)
}

// TestMaxTotalRegions checks that the error names the first strategy up to which there are too many
// regions in all, in any order of execution.
func TestMaxTotalRegions(t *testing.T) {
	img := scene.Render(4, 160, 120, 6).Image
	opts := paper(t, "fast")
	opts.KeepRegions = true
	result, err := Search(t.Context(), img, opts)
	if err != nil {
		t.Fatal(err)
	}
	var sums []int
	total := 0
	for _, tree := range result.Regions.Trees {
		total += tree.Leaves()
		sums = append(sums, total)
	}
	opts.MaxTotalRegions = total
	search(t, img, opts)
	for i, sum := range sums {
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			opts := opts
			opts.MaxTotalRegions = sum - 1
			_, err := Search(t.Context(), img, opts)
			want := TooManyRegionsError{opts.Strategies[i], sum, sum - 1, true}
			if got, ok := errors.AsType[*TooManyRegionsError](err); !ok || *got != want {
				t.Errorf("got error %v, want %v", err, &want)
			}
		})
	}
}

func TestParseOrder(t *testing.T) {
	for _, o := range []Order{OrderObjectness, OrderPaper, OrderHierarchy} {
		if got, err := ParseOrder(o.String()); err != nil || got != o {
			t.Errorf("ParseOrder(%q) = %v, %v", o, got, err)
		}
	}
	if _, err := ParseOrder("best"); err == nil || !strings.Contains(err.Error(), "hierarchy") {
		t.Errorf("unknown order: %v", err)
	}
}

// pollingContext counts the calls of Err, and is canceled by the call with number limit.
type pollingContext struct {
	context.Context
	cancel context.CancelFunc
	polls  atomic.Int64
	limit  int64
}

func newPollingContext(parent context.Context, limit int64) *pollingContext {
	ctx, cancel := context.WithCancel(parent)
	return &pollingContext{Context: ctx, cancel: cancel, limit: limit}
}

func (c *pollingContext) Err() error {
	if c.polls.Add(1) == c.limit {
		c.cancel()
	}
	return c.Context.Err()
}

// A search polls its context often, and a canceled one does no work that
// would poll it again.
func TestCancel(t *testing.T) {
	if testing.Short() {
		t.Skip("slow")
	}
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	img := scene.Render(1, 1600, 1200, 30).Image
	opts := paper(t, "fast")
	opts.Threads = 2

	whole := newPollingContext(t.Context(), 0)
	defer whole.cancel()
	if _, err := Search(whole, img, opts); err != nil {
		t.Fatal(err)
	}
	polls := whole.polls.Load()
	t.Logf("%d polls", polls)
	if polls < 2000 {
		t.Errorf("a search polled its context %d times, want at least 2000", polls)
	}
	for _, percent := range []int64{0, 10, 25, 50, 75, 90} {
		t.Run(fmt.Sprintf("at %d%%", percent), func(t *testing.T) {
			ctx := newPollingContext(t.Context(), 1+polls*percent/100)
			defer ctx.cancel()
			if _, err := Search(ctx, img, opts); !errors.Is(err, context.Canceled) {
				t.Fatalf("got error %v, want %v", err, context.Canceled)
			}
			// Each of the two goroutines, and the calls that it is in, may notice once.
			if after := ctx.polls.Load() - ctx.limit; after > 50 {
				t.Errorf("polled its context %d times after it was canceled, want at most 50", after)
			}
		})
	}
}

// A workspace carries nothing over from one search to the next.
func TestWorkspaceIsReusable(t *testing.T) {
	var w workspace
	for i, mode := range []string{"fast", "quality", "opencv-single", "fast", "opencv-fast"} {
		opts := paper(t, mode)
		img := scene.Render(uint64(i), 90+40*i, 150-25*i, 3).Image
		want := search(t, img, opts)
		s, err := New(opts)
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := s.search(ctx, &w, img); !errors.Is(err, context.Canceled) {
			t.Errorf("search %d, %s: got error %v, want %v", i, mode, err, context.Canceled)
		}
		got, err := s.search(t.Context(), &w, img)
		if err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(got.Proposals, want) {
			t.Errorf("search %d, %s: other proposals than with a new workspace", i, mode)
		}
	}
}

// A Searcher is safe for concurrent use, by any number of searches of different images.
func TestConcurrentSearches(t *testing.T) {
	s, err := New(Fast())
	if err != nil {
		t.Fatal(err)
	}
	images := make([]*raster.Image, 4)
	want := make([][]Proposal, len(images))
	for i := range images {
		images[i] = scene.Render(uint64(i), 90+20*i, 120-15*i, 4).Image
		want[i] = search(t, images[i], Fast())
	}
	var all sync.WaitGroup
	for i := range 3 * len(images) {
		all.Go(func() {
			k := i % len(images)
			got, err := s.Search(t.Context(), images[k])
			if err != nil {
				t.Error(err)
			} else if !reflect.DeepEqual(got.Proposals, want[k]) {
				t.Errorf("search %d: other proposals than alone", i)
			}
		})
	}
	all.Wait()
}

// From the second search on, a search allocates less than a megabyte. With more threads the
// number of workspaces in use at a time depends on the schedule.
func TestSearchReusesMemory(t *testing.T) {
	opts := paper(t, "fast")
	opts.Threads = 1
	img := scene.Render(2, 640, 480, 12).Image
	s, err := New(opts)
	if err != nil {
		t.Fatal(err)
	}
	run := func() {
		if _, err := s.Search(t.Context(), img); err != nil {
			t.Fatal(err)
		}
	}
	for range 2 {
		run()
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	const rounds = 5
	for range rounds {
		run()
	}
	runtime.ReadMemStats(&after)
	bytes := (after.TotalAlloc - before.TotalAlloc) / rounds
	if bytes >= 1<<20 {
		t.Errorf("%d bytes a search, want less than %d", bytes, 1<<20)
	}
	t.Logf("%d bytes a search", bytes)
}

// Ranking checks the context.
func TestRankingIsCanceled(t *testing.T) {
	img := scene.Render(1, 80, 60, 3).Image
	opts := paper(t, "single")
	set := candidate.Set{Trees: buildTrees(t, img, opts)}
	if err := set.Collect(t.Context(), 0, nil); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for _, opts.Order = range []Order{OrderPaper, OrderHierarchy} {
		if _, err := new(ranking).rankByPosition(ctx, &set, &opts); !errors.Is(err, context.Canceled) {
			t.Errorf("order %v: got error %v, want %v", opts.Order, err, context.Canceled)
		}
	}
}

// buildTrees returns the trees of img.
func buildTrees(tb testing.TB, img *raster.Image, opts Options) []*hierarchy.Tree {
	tb.Helper()
	b := builder{workspace: new(workspace), ctx: tb.Context(), pool: parallel.NewPool(2), timer: new(stageTimer), img: img, opts: &opts}
	p := newPlan(opts.Strategies)
	trees, err := b.build(&p)
	if err != nil {
		tb.Fatal(err)
	}
	return trees
}

func TestDeadline(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Nanosecond)
	defer cancel()
	<-ctx.Done()
	if _, err := Search(ctx, raster.New(raster.RGB, 300, 300), paper(t, "fast")); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%v, want context.DeadlineExceeded", err)
	}
}

// TestGolden pins the results: a change of any stage, and any difference between
// architectures, shows here.
func TestGolden(t *testing.T) {
	img := scene.Render(2, 200, 150, 7).Image
	for _, mode := range Modes() {
		var b strings.Builder
		proposals := search(t, img, paper(t, mode))
		fmt.Fprintf(&b, "%d proposals\n", len(proposals))
		for _, p := range proposals[:min(60, len(proposals))] {
			fmt.Fprintf(&b, "%v %v %d\n", p.Box, p.Score, len(p.Origins))
		}
		golden.Equal(t, filepath.Join("testdata", mode+".golden"), []byte(b.String()))
	}
}

// TestFindsObjects: on rendered scenes nearly every object has a box that fits well.
func TestFindsObjects(t *testing.T) {
	found, objects := 0, 0
	for seed := range uint64(6) {
		s := scene.Render(seed, 320, 240, 6)
		proposals := search(t, s.Image, paper(t, "fast"))
		for _, object := range s.Boxes {
			best := 0.0
			for _, p := range proposals {
				best = max(best, p.Box.IoU(object))
			}
			objects++
			if best >= 0.5 {
				found++
			}
		}
	}
	t.Logf("%d of %d objects", found, objects)
	if found*10 < objects*8 {
		t.Errorf("%d of %d objects found at IoU 0.5, want at least eight of ten", found, objects)
	}
}

func TestNaturalPictures(t *testing.T) {
	for _, file := range photos.Paths(t)[:5] {
		img := photos.Read(t, file)
		if got := search(t, img, paper(t, "fast")); len(got) < 500 {
			t.Errorf("%s: %d proposals", filepath.Base(file), len(got))
		}
	}
}

// Workspaces that have grown for a large search are not shared.
func TestIsSmall(t *testing.T) {
	img := scene.Render(1, 64, 48, 3).Image
	s, err := New(Single())
	if err != nil {
		t.Fatal(err)
	}
	var w workspace
	if _, err := s.search(t.Context(), &w, img); err != nil {
		t.Fatal(err)
	}
	if !w.isSmall(img) {
		t.Error("small search: got false, want true")
	}
	if w.isSmall(raster.New(raster.Gray, maxSharedPixels+1, 1)) {
		t.Error("large image: got true, want false")
	}
	tree := *w.trees[0]
	w.trees[0].Pairs = make([]hierarchy.Pair, maxSharedPairs+1)
	if w.isSmall(img) {
		t.Error("many pairs: got true, want false")
	}
	*w.trees[0] = tree
	w.trees[0].Nodes = make([]hierarchy.Node, maxSharedNodes+1)
	if w.isSmall(img) {
		t.Error("many nodes: got true, want false")
	}
}
