package segment

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"sort"
	"testing"

	"golang.org/x/sync/errgroup"
	"pgregory.net/rapid"

	"github.com/proposer/proposer/box"
	"github.com/proposer/proposer/internal/kernels"
	"github.com/proposer/proposer/internal/testutil/benchmetric"
	"github.com/proposer/proposer/internal/testutil/photos"
	"github.com/proposer/proposer/raster"
)

// literal is the algorithm word by word (Felzenszwalb and Huttenlocher, §4.1),
// with the second pass over small regions: slow, and free of the tricks of the real one.
// Weights come from weigh, which counts in steps of 1/unit grey level.
func literal(img *raster.Planes, c Connectivity, k float64, minSize int, weigh func(d [3]float32) float64, unit float64) []int32 {
	type edge struct {
		from, to int
		weight   float64
	}
	var edges []edge
	add := func(x, y, dx, dy int) {
		if x+dx < 0 || x+dx >= img.Width || y+dy >= img.Height {
			return
		}
		from, to := y*img.Width+x, (y+dy)*img.Width+x+dx
		var d [3]float32
		for p := range img.N {
			d[p] = img.Plane(p)[from] - img.Plane(p)[to]
		}
		edges = append(edges, edge{from, to, weigh(d)})
	}
	for y := range img.Height {
		for x := range img.Width {
			add(x, y, 1, 0)
			add(x, y, 0, 1)
			if c == Eight {
				add(x, y, 1, 1)
				add(x, y, -1, 1)
			}
		}
	}
	sort.SliceStable(edges, func(i, j int) bool { return edges[i].weight < edges[j].weight })

	component := make([]int, img.Width*img.Height)
	members := make([][]int, len(component))
	internal := make([]float64, len(component))
	for i := range component {
		component[i], members[i] = i, []int{i}
	}
	join := func(a, b int, w float64) {
		if len(members[a]) < len(members[b]) {
			a, b = b, a
		}
		for _, m := range members[b] {
			component[m] = a
		}
		members[a] = append(members[a], members[b]...)
		members[b] = nil
		internal[a] = w
	}
	for _, e := range edges {
		a, b := component[e.from], component[e.to]
		tau := func(c int) float64 { return k * unit / float64(len(members[c])) }
		if a != b && e.weight <= min(internal[a]+tau(a), internal[b]+tau(b)) {
			join(a, b, e.weight)
		}
	}
	for _, e := range edges {
		a, b := component[e.from], component[e.to]
		if a != b && (len(members[a]) < minSize || len(members[b]) < minSize) {
			join(a, b, 0)
		}
	}
	labels := make([]int32, len(component))
	numbers := map[int]int32{}
	for i, c := range component {
		if _, ok := numbers[c]; !ok {
			numbers[c] = int32(len(numbers))
		}
		labels[i] = numbers[c]
	}
	return labels
}

// rounded are the weights that the real one uses.
func rounded(d [3]float32) float64 {
	length := float32(math.Sqrt(float64(float32(d[0]*d[0]) + float32(d[1]*d[1]) + float32(d[2]*d[2]))))
	return math.Floor(float64(float32(length*weightScale) + 0.5))
}

func exact(d [3]float32) float64 {
	x, y, z := float64(d[0]), float64(d[1]), float64(d[2])
	return math.Sqrt(x*x + y*y + z*z)
}

func convert(t testing.TB, img *raster.Image, space raster.Space) *raster.Image {
	t.Helper()
	img, err := raster.Convert(t.Context(), nil, img, space)
	if err != nil {
		t.Fatal(err)
	}
	return img
}

type fataler interface {
	Helper()
	Fatal(...any)
	Fatalf(string, ...any)
}

func smooth(t fataler, img *raster.Image, sigma float64) *raster.Planes {
	t.Helper()
	p, err := raster.Smooth(context.Background(), nil, img, sigma)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func run(t testing.TB, img *raster.Image, sigma float64, c Connectivity, k float64, minSize int) *raster.LabelImage {
	t.Helper()
	var g Graph
	if err := g.Build(t.Context(), img, Options{Sigma: sigma, Connectivity: c, MinK: k}); err != nil {
		t.Fatal(err)
	}
	l, err := g.Segment(t.Context(), nil, k, minSize)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// check compares with the literal implementation, and sizes and boxes with the labels.
func check(t fataler, img *raster.Image, sigma float64, l *raster.LabelImage, c Connectivity, k float64, minSize int) {
	t.Helper()
	if want := literal(smooth(t, img, sigma), c, k, minSize, rounded, weightScale); !slices.Equal(l.Pix, want) {
		t.Fatalf("%d×%d in %v, sigma %v, %d neighbours, k %v, min size %d: labels differ from the literal implementation",
			img.Width, img.Height, img.Space, sigma, c, k, minSize)
	}
	sizes, boxes := make([]int32, l.Regions()), make([]box.Box, l.Regions())
	for i, r := range l.Pix {
		x, y := int32(i%l.Width), int32(i/l.Width)
		sizes[r]++
		boxes[r] = boxes[r].Union(box.Box{X0: x, Y0: y, X1: x + 1, Y1: y + 1})
	}
	if !slices.Equal(sizes, l.Sizes) || !slices.Equal(boxes, l.Boxes) {
		t.Fatalf("sizes or boxes are not those of the labels")
	}
}

func TestEqualsLiteralOnRandomPictures(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w, h := rapid.IntRange(1, 24).Draw(t, "width"), rapid.IntRange(1, 24).Draw(t, "height")
		space := rapid.SampledFrom([]raster.Space{raster.Gray, raster.RGB}).Draw(t, "space")
		sigma := rapid.SampledFrom([]float64{0, 0, 0.5, 0.8, 2}).Draw(t, "sigma")
		levels := rapid.IntRange(1, 255).Draw(t, "levels") // few levels make many ties
		seed := rapid.Uint64().Draw(t, "seed")
		k := rapid.Float64Range(1, 600).Draw(t, "k")
		k = float64(int(k*weightScale)) / weightScale // the literal one does not round k
		minSize := rapid.IntRange(0, 40).Draw(t, "minSize")
		c := rapid.SampledFrom([]Connectivity{Four, Eight}).Draw(t, "connectivity")
		rng := rand.New(rand.NewPCG(seed, 1))
		img := raster.New(space, w, h)
		for i := range img.Pix {
			img.Pix[i] = uint8(rng.IntN(levels+1) * 255 / levels)
		}
		var g Graph
		if err := g.Build(context.Background(), img, Options{Sigma: sigma, Connectivity: c, MinK: k}); err != nil {
			t.Fatal(err)
		}
		l, err := g.Segment(context.Background(), nil, k, minSize)
		if err != nil {
			t.Fatal(err)
		}
		check(t, img, sigma, l, c, k, minSize)
	})
}

func TestEqualsLiteralOnNaturalPictures(t *testing.T) {
	var g Graph
	var l *raster.LabelImage
	for i, img := range photos.Crops(t, 200, 40, 32) {
		space := raster.Spaces()[i%len(raster.Spaces())]
		c := []Connectivity{Eight, Four}[i/3%2]
		k := []float64{50, 100, 300, 12.5}[i/2%4]
		minSize := []int{int(k), 20, 0}[i%3]
		img := convert(t, img, space)
		// Memory that is used again must not carry anything over.
		var err error
		if err := g.Build(t.Context(), img, Options{Sigma: 0.8, Connectivity: c, MinK: k, SingleScale: i%2 == 0}); err != nil {
			t.Fatal(err)
		}
		if l, err = g.Segment(t.Context(), l, k, minSize); err != nil {
			t.Fatal(err)
		}
		check(t, img, 0.8, l, c, k, minSize)
	}
}

// Pictures of several tiles, whose scales share a graph that was made for the least.
func TestEqualsLiteralAcrossTiles(t *testing.T) {
	crops := photos.Crops(t, 8, 3*tileSide, 2*tileSide+9)
	for i := range 4 { // with many ties, with none of the noise of photographs
		rng := rand.New(rand.NewPCG(uint64(i), 7))
		img := raster.New(raster.RGB, 2*tileSide+1+i, tileSide*(1+i/2)+i)
		for j := range img.Pix {
			img.Pix[j] = uint8(rng.IntN(2+i) * 9)
		}
		crops = append(crops, img)
	}
	var g Graph
	var l *raster.LabelImage
	for i, img := range crops {
		c := []Connectivity{Four, Eight}[i%2]
		img := convert(t, img, []raster.Space{raster.Lab, raster.HSV, raster.Gray}[i%3])
		sigma := []float64{0.8, 0}[i/8]
		var err error
		if err := g.Build(t.Context(), img, Options{Sigma: sigma, Connectivity: c, MinK: 40}); err != nil {
			t.Fatal(err)
		}
		for _, k := range []float64{40, 150, 450} {
			if l, err = g.Segment(t.Context(), l, k, int(k)); err != nil {
				t.Fatal(err)
			}
			check(t, img, sigma, l, c, k, int(k))
		}
		if err := g.Build(t.Context(), img, Options{Sigma: sigma, Connectivity: c, MinK: 40, SingleScale: true}); err != nil {
			t.Fatal(err)
		}
		if l, err = g.Segment(t.Context(), l, 100, 100); err != nil {
			t.Fatal(err)
		}
		check(t, img, sigma, l, c, 100, 100)
	}
}

// The graph is the same whoever does the work, in whatever order.
// A flat picture is a few pieces a tile before the tiles are joined, though every edge weighs
// as little as those that leave the tile: what is more hangs together by edges of the next
// tile alone. And flat patches with steps between them are right.
func TestFlat(t *testing.T) {
	for _, c := range []Connectivity{Four, Eight} {
		flat := raster.New(raster.RGB, 3*tileSide+5, 2*tileSide+1)
		var g Graph
		if err := g.Build(t.Context(), flat, Options{Connectivity: c, MinK: 50}); err != nil {
			t.Fatal(err)
		}
		if len(g.pieces) > 2*tileSide*len(g.tiles) {
			t.Errorf("%d neighbours: %d pieces in %d tiles", c, len(g.pieces), len(g.tiles))
		}
		rng := rand.New(rand.NewPCG(7, uint64(c)))
		patches := raster.New(raster.Gray, 2*tileSide+9, tileSide+20)
		for range 60 {
			x0, y0, v := rng.IntN(patches.Width), rng.IntN(patches.Height), uint8(rng.IntN(4))
			for y := y0; y < min(y0+rng.IntN(60), patches.Height); y++ {
				for x := x0; x < min(x0+40, patches.Width); x++ {
					patches.Pix[y*patches.Width+x] = v
				}
			}
		}
		for _, k := range []float64{1, 20, 100} {
			check(t, patches, 0, run(t, patches, 0, c, k, 5), c, k, 5)
		}
	}
}

func TestEach(t *testing.T) {
	img := textured(3*tileSide, 5*tileSide)
	backwards := func(n int, work func(i int) error) error {
		for i := n - 1; i >= 0; i-- {
			if err := work(i); err != nil {
				return err
			}
		}
		return nil
	}
	concurrently := func(n int, work func(i int) error) error {
		var group errgroup.Group
		for i := range n {
			group.Go(func() error { return work(i) })
		}
		return group.Wait()
	}
	want := run(t, img, 0.8, Eight, 100, 20)
	for name, each := range map[string]func(int, func(int) error) error{"backwards": backwards, "concurrently": concurrently} {
		var g Graph
		if err := g.Build(t.Context(), img, Options{Sigma: 0.8, Connectivity: Eight, MinK: 100, Runner: each}); err != nil {
			t.Fatal(err)
		}
		l, err := g.Segment(t.Context(), nil, 100, 20)
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(l.Pix, want.Pix) {
			t.Errorf("%s: labels differ", name)
		}
	}
}

func TestShapes(t *testing.T) {
	for _, size := range [][2]int{{1, 1}, {1, 50}, {50, 1}, {2, 2}, {3, 200}, {200, 3}, {chunk + 77, 2}} {
		for _, space := range []raster.Space{raster.Gray, raster.HSV} {
			for _, c := range []Connectivity{Four, Eight} {
				img := raster.New(space, size[0], size[1])
				if l := run(t, img, 0.8, c, 100, 100); l.Regions() != 1 {
					t.Errorf("uniform %v in %v: %d regions, want 1", size, space, l.Regions())
				}
				for i := range img.Pix {
					img.Pix[i] = uint8(i * 37)
				}
				check(t, img, 0.8, run(t, img, 0.8, c, 10, 3), c, 10, 3)
			}
		}
	}
}

// What a band takes besides its pixels' share does not grow with the width of a picture.
func TestWidePictureTakesNoMore(t *testing.T) {
	img := raster.New(raster.Gray, 1<<20, 1)
	for i := range img.Pix {
		img.Pix[i] = uint8(i * 37)
	}
	var g Graph
	if err := g.Build(t.Context(), img, Options{Connectivity: Eight, MinK: 10}); err != nil {
		t.Fatal(err)
	}
	if c := g.connectors.Get(); len(c.keys) == 0 || len(c.keys) > directions*chunk+kernels.EdgeKeyPadding {
		t.Errorf("room for the keys of %d edges, want at most %d", len(c.keys), directions*chunk)
	}
}

// TestContrast pins the meaning of k: a step of height d between two flat halves
// of n pixels each is kept when d > k/n.
func TestContrast(t *testing.T) {
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
		if got := run(t, img, 0, Eight, test.k, 0).Regions(); got != test.want {
			t.Errorf("k = %v: %d regions, want %d", test.k, got, test.want)
		}
	}
}

func TestExtremeWeights(t *testing.T) {
	// The largest distance there is, and one past it by the smoothing's rounding, fit
	// the counting sort.
	for _, v := range []float32{255, 255.0005} {
		if w := rounded([3]float32{v, v, v}); w < 56534 || w >= weightLimit {
			t.Errorf("black beside %v: weight %v, want 56534 or one more", v, w)
		}
	}
	img := raster.New(raster.RGB, 2, 1)
	img.Plane(0)[1], img.Plane(1)[1], img.Plane(2)[1] = 255, 255, 255
	if got := run(t, img, 0, Eight, 100, 0).Regions(); got != 2 {
		t.Errorf("black beside white: %d regions, want 2", got)
	}
}

func TestCancel(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	img := raster.New(raster.Gray, 64, 64)
	var g Graph
	if err := g.Build(t.Context(), img, Options{Sigma: 0.8, Connectivity: Eight, MinK: 100}); err != nil {
		t.Fatal(err)
	}
	if _, err := g.Segment(ctx, nil, 100, 0); !errors.Is(err, context.Canceled) {
		t.Errorf("Segment: %v, want context.Canceled", err)
	}
	if err := new(Graph).Build(ctx, img, Options{Sigma: 0.8, Connectivity: Eight, MinK: 100}); !errors.Is(err, context.Canceled) {
		t.Errorf("Build: %v, want context.Canceled", err)
	}
}

// TestQuantisation measures what rounding the weights does to the labels, and
// holds it to what the package documentation says.
func TestQuantisation(t *testing.T) {
	if testing.Short() {
		t.Skip("slow")
	}
	var pixels, differ, regions, exactRegions int
	for _, img := range photos.Crops(t, 40, 120, 90) {
		img := convert(t, img, raster.Lab)
		l := run(t, img, 0.8, Eight, 100, 100)
		exact := literal(smooth(t, img, 0.8), Eight, 100, 100, exact, 1)
		n := int(slices.Max(exact)) + 1
		regions, exactRegions = regions+l.Regions(), exactRegions+n
		// Count the pixels outside of the region that shares most with their own.
		shared := make([]int, l.Regions()*n)
		for i, r := range l.Pix {
			shared[int(r)*n+int(exact[i])]++
		}
		for r := range l.Regions() {
			differ += int(l.Sizes[r]) - slices.Max(shared[r*n:(r+1)*n])
		}
		pixels += len(l.Pix)
	}
	share := float64(differ) / float64(pixels)
	t.Logf("%.3f %% of %d pixels differ; %d regions, exactly %d", 100*share, pixels, regions, exactRegions)
	if share > 0.02 {
		t.Errorf("rounded weights move %.3f %% of the pixels, want at most 2 %%", 100*share)
	}
}

func ExampleGraph_Segment() {
	// A picture of 8×4 pixels, dark on the left, light on the right.
	img := raster.New(raster.Gray, 8, 4)
	for i := range img.Pix {
		if i%8 >= 3 {
			img.Pix[i] = 200
		}
	}
	var g Graph
	if err := g.Build(context.Background(), img, Options{Sigma: 0, Connectivity: Eight, MinK: 100}); err != nil {
		panic(err)
	}
	l, err := g.Segment(context.Background(), nil, 100, 0)
	if err != nil {
		panic(err)
	}
	fmt.Println(l.Regions(), l.Sizes, l.Boxes)
	// Output: 2 [12 20] [[0 0 3 4] [3 0 8 4]]
}

func BenchmarkBuild(b *testing.B) {
	img := convert(b, textured(640, 480), raster.Lab)
	var g Graph
	benchmetric.ReportMegapixels(b, 640*480)
	for b.Loop() {
		if err := g.Build(b.Context(), img, Options{Sigma: 0.8, Connectivity: Eight, MinK: 100}); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkSegment(b *testing.B) {
	var g Graph
	if err := g.Build(b.Context(), convert(b, textured(640, 480), raster.Lab), Options{Sigma: 0.8, Connectivity: Eight, MinK: 50}); err != nil {
		b.Fatal(err)
	}
	for _, k := range []float64{50, 100, 300} {
		b.Run(fmt.Sprintf("k=%v", k), func(b *testing.B) {
			var l *raster.LabelImage
			benchmetric.ReportMegapixels(b, 640*480)
			for b.Loop() {
				var err error
				if l, err = g.Segment(b.Context(), l, k, int(k)); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// textured is a picture of blocks with noise.
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
