package selective

import (
	"context"
	"errors"
	"reflect"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/proposer/proposer/candidate"
	"github.com/proposer/proposer/hierarchy"
	"github.com/proposer/proposer/internal/testutil/photos"
	"github.com/proposer/proposer/internal/testutil/scene"
	"github.com/proposer/proposer/mask"
	"github.com/proposer/proposer/raster"
)

// kept is a search that keeps its regions.
func kept(t testing.TB, img *raster.Image, opts Options) *Result {
	t.Helper()
	opts.KeepRegions = true
	r, err := Search(t.Context(), img, opts)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func maskOf(t testing.TB, r *Regions, strategy, node int) mask.RLE {
	t.Helper()
	m, err := r.Mask(t.Context(), strategy, node)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// referenceMask collects the leaves of a node and tests for each pixel whether it is in one of them.
func referenceMask(r *Regions, pix []int32, strategy, node int) mask.RLE {
	nodes := r.Trees[strategy].Nodes
	leaves := map[int32]bool{}
	var down func(n int32)
	down = func(n int32) {
		if nodes[n].Children[0] < 0 {
			leaves[n] = true
			return
		}
		down(nodes[n].Children[0])
		down(nodes[n].Children[1])
	}
	down(int32(node))
	e := mask.NewEncoder(r.Width, r.Height)
	for x := range r.Width {
		for y := range r.Height {
			if leaves[pix[y*r.Width+x]] {
				e.Run(x*r.Height+y, x*r.Height+y+1)
			}
		}
	}
	return e.RLE()
}

// The initial regions are those of the segmentation, and the mask of a node is the union of its leaves'.
func TestMasksEqualReference(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		w, h := rapid.IntRange(1, 40).Draw(rt, "width"), rapid.IntRange(1, 40).Draw(rt, "height")
		img := raster.New(raster.RGB, w, h)
		for i := range img.Pix {
			img.Pix[i] = rapid.SampledFrom([]uint8{0, 10, 200}).Draw(rt, "sample")
		}
		opts := paper(t, "fast")
		opts.Sigma = 0
		for i := range opts.Strategies {
			opts.Strategies[i].K /= 10
			opts.Strategies[i].MinSize = rapid.IntRange(1, 6).Draw(rt, "min size")
		}
		r := kept(t, img, opts).Regions
		for s, tree := range r.Trees {
			pix, err := r.Pixels(t.Context(), s)
			if err != nil {
				rt.Fatal(err)
			}
			for n := range tree.Nodes {
				if got, want := maskOf(t, r, s, n), referenceMask(r, pix, s, n); got != want {
					rt.Fatalf("strategy %d, node %d: %v, want %v", s, n, got.Counts(), want.Counts())
				}
			}
		}
	})
}

// TestPixels: the pixels are those that the search labeled.
func TestPixels(t *testing.T) {
	img := scene.Render(4, 130, 90, 5).Image
	opts := paper(t, "single")
	opts.KeepRegions = true
	s, err := New(opts)
	if err != nil {
		t.Fatal(err)
	}
	var w workspace
	got, err := s.search(t.Context(), &w, img)
	if err != nil {
		t.Fatal(err)
	}
	pix, err := got.Regions.Pixels(t.Context(), 0)
	if want := w.scales.Get().labels.Pix; err != nil || !slices.Equal(pix, want) {
		t.Errorf("%v, other pixels than the segmentation's", err)
	}
}

// checkRegions holds what is true of the regions of every search.
func checkRegions(t testing.TB, r *Result, strategies []Strategy) {
	t.Helper()
	if len(r.Regions.Trees) != len(strategies) {
		t.Fatalf("%d trees, want %d", len(r.Regions.Trees), len(strategies))
	}
	for i, p := range r.Proposals {
		if p.Kind == candidate.Union {
			checkUnion(t, r.Regions, &p)
			continue
		}
		for _, o := range p.Origins {
			tree := r.Regions.Trees[o.Strategy]
			m := maskOf(t, r.Regions, int(o.Strategy), tree.At(int(o.Position)))
			if m.Box() != p.Box || m.Area() != int(o.Size) {
				t.Fatalf("proposal %d, %v, %+v: a mask of %d pixels in %v", i, p.Box, o, m.Area(), m.Box())
			}
		}
	}
	for s, tree := range r.Regions.Trees {
		for n, node := range tree.Nodes {
			if node.Children[0] < 0 {
				continue
			}
			// Masks of these areas and this union have no pixel in common.
			a, b := maskOf(t, r.Regions, s, int(node.Children[0])), maskOf(t, r.Regions, s, int(node.Children[1]))
			m := maskOf(t, r.Regions, s, n)
			if u := union(a, b); u != m || a.Area()+b.Area() != m.Area() {
				t.Fatalf("strategy %d, node %d is not the disjoint union of %v", s, n, node.Children)
			}
		}
	}
}

// checkUnion holds what is true of all pairs of a union.
func checkUnion(t testing.TB, r *Regions, p *Proposal) {
	t.Helper()
	for pair := range slices.Chunk(p.Origins, 2) {
		a, b := pair[0], pair[1]
		tree := r.Trees[a.Strategy]
		x, y := tree.At(int(a.Position)), tree.At(int(b.Position))
		m, err := r.Mask(t.Context(), int(a.Strategy), x, y)
		if err != nil {
			t.Fatal(err)
		}
		if a.Strategy != b.Strategy || m.Box() != p.Box || m.Area() != int(a.Size+b.Size) ||
			m != union(maskOf(t, r, int(a.Strategy), x), maskOf(t, r, int(a.Strategy), y)) {
			t.Fatalf("union %v of %+v and %+v: a mask of %d pixels in %v", p.Box, a, b, m.Area(), m.Box())
		}
	}
}

// union is all pixels of a and b, by their runs.
func union(a, b mask.RLE) mask.RLE {
	type span struct{ start, end int }
	var spans []span
	for _, m := range []mask.RLE{a, b} {
		at := 0
		for i, n := range m.Counts() {
			if i%2 == 1 {
				spans = append(spans, span{at, at + n})
			}
			at += n
		}
	}
	slices.SortFunc(spans, func(a, b span) int { return a.start - b.start })
	e := mask.NewEncoder(a.Width, a.Height)
	for _, s := range spans {
		e.Run(s.start, s.end)
	}
	return e.RLE()
}

func TestRegions(t *testing.T) {
	for seed, mode := range []string{"single", "fast", "quality", "opencv-fast"} {
		opts := paper(t, mode)
		img := scene.Render(uint64(seed), 150-20*seed, 90+10*seed, 5).Image
		r := kept(t, img, opts)
		checkRegions(t, r, opts.Strategies)
		// What is kept changes nothing.
		if !reflect.DeepEqual(r.Proposals, search(t, img, opts)) {
			t.Errorf("%s: other proposals when the regions are kept", mode)
		}
	}
}

func TestRegionsOfUnions(t *testing.T) {
	opts := Fast()
	opts.Unions, opts.Joins = 100, 0
	checkRegions(t, kept(t, scene.Render(3, 150, 100, 6).Image, opts), opts.Strategies)
}

func TestRegionsOfNaturalPictures(t *testing.T) {
	opts := paper(t, "fast")
	for _, img := range photos.Crops(t, 3, 200, 150) {
		checkRegions(t, kept(t, img, opts), opts.Strategies)
	}
}

// The regions are the caller's own: the next search leaves them as they are, and they
// are the same at any number of threads.
func TestRegionsStay(t *testing.T) {
	opts := paper(t, "fast")
	opts.KeepRegions = true
	all := func(r *Regions) (texts []string) {
		for strategy, tree := range r.Trees {
			for n := range tree.Nodes {
				texts = append(texts, maskOf(t, r, strategy, n).String())
			}
		}
		return texts
	}
	img := scene.Render(1, 120, 100, 6).Image
	r, err := Search(t.Context(), img, opts)
	if err != nil {
		t.Fatal(err)
	}
	want := all(r.Regions)
	trees := slices.Clone(r.Regions.Trees)
	for i, tree := range trees {
		trees[i] = &hierarchy.Tree{Nodes: slices.Clone(tree.Nodes)}
	}
	for _, opts.Threads = range []int{1, 2, 5} {
		if _, err := Search(t.Context(), scene.Render(2, 140, 110, 6).Image, opts); err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(all(r.Regions), want) || !reflect.DeepEqual(r.Regions.Trees, trees) {
			t.Fatal("another search changed the regions")
		}
		if again := kept(t, img, opts).Regions; !slices.Equal(all(again), want) || !reflect.DeepEqual(again.Trees, trees) {
			t.Fatalf("other regions with %d threads", opts.Threads)
		}
	}
	opts.KeepRegions = false
	if r, err = Search(t.Context(), img, opts); err != nil || r.Regions != nil {
		t.Errorf("%v, and regions that nobody asked for", err)
	}
}

func TestCancelRegions(t *testing.T) {
	r := kept(t, scene.Render(1, 80, 60, 3).Image, paper(t, "single")).Regions
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := r.Mask(ctx, 0, len(r.Trees[0].Nodes)-1); !errors.Is(err, context.Canceled) {
		t.Errorf("Mask: %v, want context.Canceled", err)
	}
	if _, err := r.Pixels(ctx, 0); !errors.Is(err, context.Canceled) {
		t.Errorf("Pixels: %v, want context.Canceled", err)
	}
}

// BenchmarkMasks makes the masks of the 2,000 best boxes.
func BenchmarkMasks(b *testing.B) {
	b.Run("scene", func(b *testing.B) { benchmarkMasks(b, scene.Render(1, 640, 480, 12).Image) })
	b.Run("photograph", func(b *testing.B) { benchmarkMasks(b, photos.Read(b, photos.Paths(b)[0])) })
}

func benchmarkMasks(b *testing.B, img *raster.Image) {
	opts := paper(b, "fast")
	opts.Max = 2000
	r := kept(b, img, opts)
	b.ReportAllocs()
	bytes := 0
	for b.Loop() {
		bytes = 0
		for _, p := range r.Proposals {
			o := p.Origins[0]
			m, err := r.Regions.Mask(b.Context(), int(o.Strategy), r.Regions.Trees[o.Strategy].At(int(o.Position)))
			if err != nil {
				b.Fatal(err)
			}
			bytes += len(m.String())
		}
	}
	b.ReportMetric(float64(len(r.Proposals)), "masks")
	b.ReportMetric(float64(bytes), "text-B")
}
