package feature

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/proposer/proposer/box"
	"github.com/proposer/proposer/candidate"
	"github.com/proposer/proposer/internal/testutil/networks"
	"github.com/proposer/proposer/objectness/internal/channels"
	"github.com/proposer/proposer/raster"
)

func randomNetwork(tb testing.TB) *channels.Network {
	tb.Helper()
	n, err := channels.Read(networks.Random(1).Encode(tb))
	if err != nil {
		tb.Fatal(err)
	}
	return n
}

// newLearned returns an extractor with the learned channels of an image.
func newLearned(tb testing.TB, img *raster.Image) *Extractor {
	tb.Helper()
	e := &Extractor{set: &candidate.Set{Image: img}}
	if err := e.integral.build(tb.Context(), img); err != nil {
		tb.Fatal(err)
	}
	if err := e.learned.build(tb.Context(), randomNetwork(tb), nil, &e.integral); err != nil {
		tb.Fatal(err)
	}
	return e
}

// referenceLearned returns the features of a box: each is the mean over all quarters of pixels of a cell of
// the grid that lie in the image.
func referenceLearned(e *Extractor, b box.Box) []float64 {
	img, l := e.set.Image, &e.learned
	// spans returns the begin and end of the rows, or columns, of the grid in quarters of pixels.
	spans := func(lo, hi int32, size int) (spans [gridSide][2]int) {
		for k := range spans {
			for end := range 2 {
				spans[k][end] = min(max(4*int(lo)+(k+end-1)*int(hi-lo), 0), 4*size)
			}
		}
		return spans
	}
	// weights returns how much of each cell of the channels is in a span.
	weights := func(span [2]int) map[int]float64 {
		w := map[int]float64{}
		for q := span[0]; q < span[1]; q++ {
			w[q/4>>l.shift] += 1 / float64(int(4)<<l.shift)
		}
		return w
	}
	var features []float64
	for _, rows := range spans(b.Y0, b.Y1, img.Height) {
		for _, columns := range spans(b.X0, b.X1, img.Width) {
			area := float64(rows[1]-rows[0]) * float64(columns[1]-columns[0]) / float64(int(16)<<(2*l.shift))
			var sums [channels.Count]float64
			for y, wy := range weights(rows) {
				for x, wx := range weights(columns) {
					for c, v := range l.workspace.Row(y)[x*channels.Count:][:channels.Count] {
						sums[c] += wy * wx * float64(v)
					}
				}
			}
			for _, sum := range sums {
				if area > 0 {
					sum /= area
				}
				features = append(features, sum/64)
			}
		}
	}
	return features
}

func TestLearnedEqualsReference(t *testing.T) {
	for _, size := range [][2]int{{160, 120}, {161, 77}, {1, 1}, {3, 40}} {
		t.Run(fmt.Sprintf("%d×%d", size[0], size[1]), func(t *testing.T) {
			img := raster.New(raster.RGB, size[0], size[1])
			for i := range img.Pix {
				img.Pix[i] = uint8(rand.N(256))
			}
			e := newLearned(t, img)
			rapid.Check(t, func(t *rapid.T) {
				var b Block
				b.candidates = make([]candidate.Candidate, rapid.IntRange(1, 3).Draw(t, "candidates"))
				for i := range b.candidates {
					x, y := rapid.IntRange(0, img.Width-1).Draw(t, "x"), rapid.IntRange(0, img.Height-1).Draw(t, "y")
					b.candidates[i].Box = box.Box{
						X0: int32(x), Y0: int32(y),
						X1: int32(rapid.IntRange(x+1, img.Width).Draw(t, "x1")), Y1: int32(rapid.IntRange(y+1, img.Height).Draw(t, "y1")),
					}
				}
				dst := make(Columns, len(learned.names))
				learned.fill(e, &b, dst)
				for i := range b.candidates {
					for f, want := range referenceLearned(e, b.candidates[i].Box) {
						if got := float64(dst[f][i]); math.Abs(got-want) > 2e-3 {
							t.Fatalf("%v: %s is %v, want %v", b.candidates[i].Box, learned.names[f], got, want)
						}
					}
				}
			})
		})
	}
}

// If the channels are mirrored, so are the features.
func TestLearnedMirror(t *testing.T) {
	img := render(3) // of whole cells
	e, mirrored := newLearned(t, img), newLearned(t, img)
	l := &mirrored.learned
	for y := range l.height {
		row := l.workspace.Row(y)
		for x := range l.width / 2 {
			left, right := row[x*channels.Count:][:channels.Count], row[(l.width-1-x)*channels.Count:][:channels.Count]
			for c := range left {
				left[c], right[c] = right[c], left[c]
			}
		}
	}
	if err := l.sum(t.Context()); err != nil {
		t.Fatal(err)
	}
	var a, b Block
	a.candidates = []candidate.Candidate{{Box: box.Box{X0: 13, Y0: 20, X1: 77, Y1: 63}}}
	w := int32(img.Width)
	b.candidates = []candidate.Candidate{{Box: box.Box{X0: w - 77, Y0: 20, X1: w - 13, Y1: 63}}}
	want, got := make(Columns, len(learned.names)), make(Columns, len(learned.names))
	learned.fill(e, &a, want)
	learned.fill(mirrored, &b, got)
	for f, name := range learned.names {
		if got, want := got[f][0], want[learned.mirror[f]][0]; math.Abs(float64(got-want)) > 1e-4 {
			t.Errorf("%s is %v, want %v", name, got, want)
		}
	}
}

func TestLearnedShift(t *testing.T) {
	for _, c := range []struct{ width, height, want int }{
		{1, 1, 1},
		{640, 480, 1},
		{1001, 801, 2},
		{1 << 18, 1, 1},
		{1<<18 + 1, 1, 2},
		{1, 1 << 23, 6},
	} {
		t.Run(fmt.Sprintf("%d×%d", c.width, c.height), func(t *testing.T) {
			var p integralImage
			if err := p.build(t.Context(), raster.New(raster.Gray, c.width, c.height)); err != nil {
				t.Fatal(err)
			}
			got := learnedShift(&p)
			if got != c.want {
				t.Errorf("got %d, want %d", got, c.want)
			}
			size := func(pixels int) int { return (pixels-1)>>(got+channels.Shift) + 1 }
			if sum := size(c.width) * size(c.height) * channels.Max; sum >= 1<<24 {
				t.Errorf("sums up to %d, which are not exact", sum)
			}
		})
	}
}

// The channels of large images are computed in larger cells.
func TestLearnedLargeImage(t *testing.T) {
	img := raster.New(raster.RGB, 1001, 803)
	for i := range img.Pix {
		img.Pix[i] = uint8(rand.N(256))
	}
	l := &newLearned(t, img).learned

	var half, quarter, lab raster.Image
	for _, s := range []struct{ dst, src *raster.Image }{{&half, img}, {&quarter, &half}} {
		if err := shrink(t.Context(), s.dst, s.src, 1); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := raster.Convert(t.Context(), &lab, &quarter, raster.Lab); err != nil {
		t.Fatal(err)
	}
	var w channels.Workspace
	if err := randomNetwork(t).Compute(t.Context(), nil, &w, &lab); err != nil {
		t.Fatal(err)
	}
	if l.shift != 4 || l.width != 63 || l.height != 51 {
		t.Errorf("got %d×%d cells with a shift of %d, want 63×51 with 4", l.width, l.height, l.shift)
	}
	for y := range l.height {
		if !slices.Equal(l.workspace.Row(y), w.Row(y)) {
			t.Fatalf("row %d: got other channels than those of an image of a quarter of the size", y)
		}
	}
}

// With the section among those of model files, features are those of the section alone.
func TestLearnedAmongSections(t *testing.T) {
	img := render(1)
	e := newLearned(t, img)
	saved, savedNames := sections, names
	defer func() { sections, names = saved, savedNames }()
	s := learned
	s.prepare = func(ctx context.Context, e *Extractor) error {
		return e.learned.build(ctx, randomNetwork(t), e.set.Run, &e.integral)
	}
	sections = append(slices.Clone(sections), s)
	names = append(slices.Clone(names), s.names...)

	set := &candidate.Set{Image: img}
	var all Extractor
	if err := all.Reset(t.Context(), set); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(all.learned.table, e.learned.table) {
		t.Error("got another table from Reset")
	}
	if len(Mirror()) != len(names) || Groups()[len(Groups())-1] != "learned" {
		t.Errorf("%d mirror images in groups %v", len(Mirror()), Groups())
	}
}

// benchmarkBoxes returns the candidates of an image of 640×480 pixels.
func benchmarkBoxes() (*raster.Image, []candidate.Candidate) {
	img := raster.New(raster.RGB, 640, 480)
	rng := rand.New(rand.NewPCG(1, 2))
	for i := range img.Pix {
		img.Pix[i] = uint8(rng.IntN(256))
	}
	boxes := make([]candidate.Candidate, 4500)
	for i := range boxes {
		x, y := rng.IntN(img.Width-10), rng.IntN(img.Height-10)
		boxes[i].Box = box.Box{
			X0: int32(x), Y0: int32(y),
			X1: int32(min(x+10+rng.IntN(200), img.Width)), Y1: int32(min(y+10+rng.IntN(200), img.Height)),
		}
	}
	return img, boxes
}

// The features of 4,500 boxes.
func BenchmarkFill(b *testing.B) {
	img, boxes := benchmarkBoxes()
	e := newLearned(b, img)
	for name, s := range map[string]*section{"grid": &grid, "learned": &learned} {
		b.Run(name, func(b *testing.B) {
			var block Block
			dst := make(Columns, len(s.names))
			for b.Loop() {
				for rest := boxes; len(rest) > 0; {
					n := min(len(rest), BlockSize)
					block.candidates, rest = rest[:n], rest[n:]
					if s == &grid {
						block.gatherMeans(&e.integral)
					}
					s.fill(e, &block, dst)
				}
			}
		})
	}
}

func BenchmarkLearnedSum(b *testing.B) {
	img, _ := benchmarkBoxes()
	e := newLearned(b, img)
	for b.Loop() {
		if err := e.learned.sum(b.Context()); err != nil {
			b.Fatal(err)
		}
	}
}
