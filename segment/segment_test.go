package segment

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"golang.org/x/sync/errgroup"
	"pgregory.net/rapid"

	"github.com/proposer/proposer/internal/kernels"
	"github.com/proposer/proposer/internal/parallel"
	"github.com/proposer/proposer/internal/testutil/benchmetric"
	"github.com/proposer/proposer/internal/testutil/photos"
	"github.com/proposer/proposer/raster"
)

func convert(t testing.TB, img *raster.Image, space raster.Space) *raster.Image {
	t.Helper()
	img, err := raster.Convert(t.Context(), nil, img, space)
	if err != nil {
		t.Fatal(err)
	}
	return img
}

func smooth(t rapid.TB, img *raster.Image, sigma float64) *raster.Planes {
	t.Helper()
	p, err := raster.Smooth(context.Background(), nil, img, sigma)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func build(t rapid.TB, g *Graph, img *raster.Image, opts Options) {
	t.Helper()
	if err := g.Build(context.Background(), img, opts); err != nil {
		t.Fatal(err)
	}
}

// segment reuses the memory of dst if that is not nil.
func segment(t rapid.TB, g *Graph, dst *raster.LabelImage, k float64, minSize int) *raster.LabelImage {
	t.Helper()
	l, err := g.Segment(context.Background(), dst, k, minSize)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func buildAndSegment(t rapid.TB, img *raster.Image, opts Options, minSize int) *raster.LabelImage {
	t.Helper()
	var g Graph
	build(t, &g, img, opts)
	return segment(t, &g, nil, opts.MinK, minSize)
}

// check compares a label image with the reference implementation, and its sizes and boxes
// with its labels.
func check(t rapid.TB, img *raster.Image, l *raster.LabelImage, opts Options, k float64, minSize int) {
	t.Helper()
	labels := referenceSegment(smooth(t, img, opts.Sigma), opts.Connectivity, k, minSize, roundedWeight, weightScale)
	want := raster.NewLabelImage(img.Width, labels)
	name := fmt.Sprintf("%d×%d in %v, sigma %v, %d neighbors, k %v, min size %d",
		img.Width, img.Height, img.Space, opts.Sigma, opts.Connectivity, k, minSize)
	if l.Width != want.Width || l.Height != want.Height || !slices.Equal(l.Pix, want.Pix) {
		t.Fatalf("%s: labels differ from the reference", name)
	}
	if !slices.Equal(l.Sizes, want.Sizes) || !slices.Equal(l.Boxes, want.Boxes) {
		t.Fatalf("%s: got sizes %v and boxes %v, want %v and %v", name, l.Sizes, l.Boxes, want.Sizes, want.Boxes)
	}
}

func TestSegmentMatchesReferenceOnNoise(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w, h := rapid.IntRange(1, 24).Draw(t, "width"), rapid.IntRange(1, 24).Draw(t, "height")
		space := rapid.SampledFrom([]raster.Space{raster.Gray, raster.RGB}).Draw(t, "space")
		sigma := rapid.SampledFrom([]float64{0, 0, 0.5, 0.8, 2}).Draw(t, "sigma")
		levels := rapid.IntRange(1, 255).Draw(t, "levels") // few levels make many ties
		seed := rapid.Uint64().Draw(t, "seed")
		k := rapid.Float64Range(1, 600).Draw(t, "k")
		k = float64(int(k*weightScale)) / weightScale // the reference does not round k
		minSize := rapid.IntRange(0, 40).Draw(t, "minSize")
		c := rapid.SampledFrom([]Connectivity{Four, Eight}).Draw(t, "connectivity")
		rng := rand.New(rand.NewPCG(seed, 1))
		img := raster.New(space, w, h)
		for i := range img.Pix {
			img.Pix[i] = uint8(rng.IntN(levels+1) * 255 / levels)
		}
		opts := Options{Sigma: sigma, Connectivity: c, MinK: k}
		check(t, img, buildAndSegment(t, img, opts, minSize), opts, k, minSize)
	})
}

func TestSegmentMatchesReferenceOnPhotographs(t *testing.T) {
	// The memory is reused: a result must not depend on the one before.
	var g Graph
	var l *raster.LabelImage
	for i, img := range photos.Crops(t, 200, 40, 32) {
		k := []float64{50, 100, 300, 12.5}[i/2%4]
		minSize := []int{int(k), 20, 0}[i%3]
		img := convert(t, img, raster.Spaces()[i%len(raster.Spaces())])
		opts := Options{Sigma: 0.8, Connectivity: []Connectivity{Eight, Four}[i/3%2], MinK: k, SingleScale: i%2 == 0}
		build(t, &g, img, opts)
		l = segment(t, &g, l, k, minSize)
		check(t, img, l, opts, k, minSize)
	}
}

// The images have several tiles, and all scales share a graph.
func TestSegmentMatchesReferenceAcrossTiles(t *testing.T) {
	images := photos.Crops(t, 8, 3*tileSide, 2*tileSide+9)
	for i := range 4 { // with many ties, and none of the noise of photographs
		rng := rand.New(rand.NewPCG(uint64(i), 7))
		img := raster.New(raster.RGB, 2*tileSide+1+i, tileSide*(1+i/2)+i)
		for j := range img.Pix {
			img.Pix[j] = uint8(rng.IntN(2+i) * 9)
		}
		images = append(images, img)
	}
	var g Graph
	var l *raster.LabelImage
	for i, img := range images {
		t.Run(fmt.Sprintf("image %d", i), func(t *testing.T) {
			img := convert(t, img, []raster.Space{raster.Lab, raster.HSV, raster.Gray}[i%3])
			opts := Options{Sigma: []float64{0.8, 0}[i/8], Connectivity: []Connectivity{Four, Eight}[i%2], MinK: 40}
			build(t, &g, img, opts)
			for _, k := range []float64{40, 150, 450} {
				l = segment(t, &g, l, k, int(k))
				check(t, img, l, opts, k, int(k))
			}
			opts.SingleScale = true
			build(t, &g, img, opts)
			l = segment(t, &g, l, 100, 100)
			check(t, img, l, opts, 100, 100)
		})
	}
}

// Every edge of a flat image weighs as little as those that leave the tile. Its tiles must be
// joined nonetheless, up to pixels that are connected only through the next tile.
func TestFlatImagesHaveFewTileComponents(t *testing.T) {
	for _, c := range []Connectivity{Four, Eight} {
		t.Run(fmt.Sprintf("%d neighbors", c), func(t *testing.T) {
			var g Graph
			build(t, &g, raster.New(raster.RGB, 3*tileSide+5, 2*tileSide+1), Options{Connectivity: c, MinK: 50})
			if limit := 2 * tileSide * len(g.tiles); len(g.tileComponents) > limit {
				t.Errorf("got %d components in %d tiles, want at most %d", len(g.tileComponents), len(g.tiles), limit)
			}
		})
	}
}

func TestSegmentMatchesReferenceOnFlatPatches(t *testing.T) {
	for _, c := range []Connectivity{Four, Eight} {
		rng := rand.New(rand.NewPCG(7, uint64(c)))
		img := raster.New(raster.Gray, 2*tileSide+9, tileSide+20)
		for range 60 {
			x0, y0, v := rng.IntN(img.Width), rng.IntN(img.Height), uint8(rng.IntN(4))
			for y := y0; y < min(y0+rng.IntN(60), img.Height); y++ {
				for x := x0; x < min(x0+40, img.Width); x++ {
					img.Pix[y*img.Width+x] = v
				}
			}
		}
		for _, k := range []float64{1, 20, 100} {
			t.Run(fmt.Sprintf("%d neighbors k=%v", c, k), func(t *testing.T) {
				opts := Options{Connectivity: c, MinK: k}
				check(t, img, buildAndSegment(t, img, opts, 5), opts, k, 5)
			})
		}
	}
}

func TestRunnerDoesNotChangeResults(t *testing.T) {
	img := textured(3*tileSide, 5*tileSide)
	backwards := func(n int, f func(i int) error) error {
		for i := n - 1; i >= 0; i-- {
			if err := f(i); err != nil {
				return err
			}
		}
		return nil
	}
	concurrent := func(n int, f func(i int) error) error {
		var group errgroup.Group
		for i := range n {
			group.Go(func() error { return f(i) })
		}
		return group.Wait()
	}
	opts := Options{Sigma: 0.8, Connectivity: Eight, MinK: 100}
	want := buildAndSegment(t, img, opts, 20)
	for name, run := range map[string]parallel.Runner{"backwards": backwards, "concurrent": concurrent} {
		t.Run(name, func(t *testing.T) {
			opts := opts
			opts.Runner = run
			if got := buildAndSegment(t, img, opts, 20); !slices.Equal(got.Pix, want.Pix) {
				t.Error("labels differ from those of a sequential run")
			}
		})
	}
}

func TestSegmentNarrowImages(t *testing.T) {
	for _, size := range [][2]int{{1, 1}, {1, 50}, {50, 1}, {2, 2}, {3, 200}, {200, 3}, {chunk + 77, 2}} {
		for _, space := range []raster.Space{raster.Gray, raster.HSV} {
			for _, c := range []Connectivity{Four, Eight} {
				t.Run(fmt.Sprintf("%d×%d %v %d neighbors", size[0], size[1], space, c), func(t *testing.T) {
					img := raster.New(space, size[0], size[1])
					l := buildAndSegment(t, img, Options{Sigma: 0.8, Connectivity: c, MinK: 100}, 100)
					if l.Regions() != 1 {
						t.Errorf("uniform image: got %d regions, want 1", l.Regions())
					}
					for i := range img.Pix {
						img.Pix[i] = uint8(i * 37)
					}
					opts := Options{Sigma: 0.8, Connectivity: c, MinK: 10}
					check(t, img, buildAndSegment(t, img, opts, 3), opts, 10, 3)
				})
			}
		}
	}
}

// The workspace of a strip does not grow with the width of the image, except by its share
// of the pixels.
func TestEdgeKeysDoNotGrowWithWidth(t *testing.T) {
	img := raster.New(raster.Gray, 1<<20, 1)
	for i := range img.Pix {
		img.Pix[i] = uint8(i * 37)
	}
	var g Graph
	build(t, &g, img, Options{Connectivity: Eight, MinK: 10})
	limit := directions*chunk + kernels.EdgeKeyPadding
	if n := len(g.boundaryEdges.Get().keys); n == 0 || n > limit {
		t.Errorf("got room for %d keys, want 1 to %d", n, limit)
	}
}

// A step of height d between two flat halves of n pixels each is kept if d > k/n.
func TestMeaningOfK(t *testing.T) {
	img := raster.New(raster.Gray, 20, 10)
	for i := range img.Pix {
		if i%20 >= 10 {
			img.Pix[i] = 3
		}
	}
	for _, test := range []struct {
		k    float64
		want int
	}{{299, 2}, {300, 1}, {301, 1}} {
		t.Run(fmt.Sprintf("k=%v", test.k), func(t *testing.T) {
			l := buildAndSegment(t, img, Options{Connectivity: Eight, MinK: test.k}, 0)
			if l.Regions() != test.want {
				t.Errorf("got %d regions, want %d", l.Regions(), test.want)
			}
		})
	}
}

func TestLargestWeights(t *testing.T) {
	// The largest distance, and one that exceeds it by the rounding of the smoothing.
	for _, v := range []float32{255, 255.0005} {
		if w := roundedWeight([3]float32{v, v, v}); w < 56534 || w >= weightLimit {
			t.Errorf("black beside %v: got weight %v, want 56534 or 56535", v, w)
		}
	}
	img := raster.New(raster.RGB, 2, 1)
	img.Plane(0)[1], img.Plane(1)[1], img.Plane(2)[1] = 255, 255, 255
	if l := buildAndSegment(t, img, Options{Connectivity: Eight, MinK: 100}, 0); l.Regions() != 2 {
		t.Errorf("black beside white: got %d regions, want 2", l.Regions())
	}
}

func TestCancel(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	img := raster.New(raster.Gray, 64, 64)
	opts := Options{Sigma: 0.8, Connectivity: Eight, MinK: 100}
	var g Graph
	build(t, &g, img, opts)
	if _, err := g.Segment(ctx, nil, 100, 0); !errors.Is(err, context.Canceled) {
		t.Errorf("Segment: got error %v, want context.Canceled", err)
	}
	if err := g.Build(ctx, img, opts); !errors.Is(err, context.Canceled) {
		t.Errorf("Build: got error %v, want context.Canceled", err)
	}
}

// TestRoundingOfWeights measures the effect of rounded weights on the labels; the numbers
// are those of the package documentation.
func TestRoundingOfWeights(t *testing.T) {
	if testing.Short() {
		t.Skip("slow")
	}
	var pixels, moved, regions, exactRegions int
	for _, img := range photos.Crops(t, 80, 120, 90) {
		img := convert(t, img, raster.Lab)
		l := buildAndSegment(t, img, Options{Sigma: 0.8, Connectivity: Eight, MinK: 100}, 100)
		exact := referenceSegment(smooth(t, img, 0.8), Eight, 100, 100, exactWeight, 1)
		n := int(slices.Max(exact)) + 1
		regions += l.Regions()
		exactRegions += n
		// Count the pixels outside of the exact region that shares most with their own.
		shared := make([]int, l.Regions()*n)
		for i, r := range l.Pix {
			shared[int(r)*n+int(exact[i])]++
		}
		for r := range l.Regions() {
			moved += int(l.Sizes[r]) - slices.Max(shared[r*n:(r+1)*n])
		}
		pixels += len(l.Pix)
	}
	fraction := float64(moved) / float64(pixels)
	t.Logf("%.3f %% of %d pixels differ; %d regions, %d with exact weights", 100*fraction, pixels, regions, exactRegions)
	if fraction > 0.02 {
		t.Errorf("rounded weights move %.3f %% of the pixels, want at most 2 %%", 100*fraction)
	}
}

func BenchmarkBuild(b *testing.B) {
	img := convert(b, textured(640, 480), raster.Lab)
	var g Graph
	benchmetric.ReportMegapixels(b, 640*480)
	for b.Loop() {
		build(b, &g, img, Options{Sigma: 0.8, Connectivity: Eight, MinK: 100})
	}
}

func BenchmarkSegment(b *testing.B) {
	var g Graph
	build(b, &g, convert(b, textured(640, 480), raster.Lab), Options{Sigma: 0.8, Connectivity: Eight, MinK: 50})
	for _, k := range []float64{50, 100, 300} {
		b.Run(fmt.Sprintf("k=%v", k), func(b *testing.B) {
			var l *raster.LabelImage
			benchmetric.ReportMegapixels(b, 640*480)
			for b.Loop() {
				l = segment(b, &g, l, k, int(k))
			}
		})
	}
}

// textured returns an image of blocks with noise.
func textured(w, h int) *raster.Image {
	rng := rand.New(rand.NewPCG(1, 2))
	img := raster.New(raster.RGB, w, h)
	for p := range 3 {
		pix := img.Plane(p)
		for i := range pix {
			x, y := i%w/40, i/w/40
			pix[i] = uint8((x*53+y*97+p*61)%200 + rng.IntN(30))
		}
	}
	return img
}
