package feature

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/proposer/proposer/box"
	"github.com/proposer/proposer/candidate"
	"github.com/proposer/proposer/hierarchy"
	"github.com/proposer/proposer/internal/testutil/candidates"
	"github.com/proposer/proposer/internal/testutil/scene"
	"github.com/proposer/proposer/raster"
)

func render(seed uint64) *raster.Image { return scene.Render(seed, 160, 120, 4).Image }

// The names and their order are part of the format of model files.
func TestNamesAreThoseOfModelFiles(t *testing.T) {
	for _, file := range []string{"fast.json", "best.json", "quality.json"} {
		t.Run(file, func(t *testing.T) {
			data, err := os.ReadFile("../../" + file)
			if err != nil {
				t.Fatal(err)
			}
			var model struct{ Features []string }
			if err := json.Unmarshal(data, &model); err != nil {
				t.Fatal(err)
			}
			if got := Names(); !slices.Equal(got, model.Features) {
				t.Errorf("got names %v, want %v", got, model.Features)
			}
		})
	}
}

func TestGroups(t *testing.T) {
	want := []string{"trees", "place", "votes", "inside", "around", "grid"}
	if got := Groups(); !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestFeaturesAreFinite(t *testing.T) {
	for _, img := range []*raster.Image{
		render(1), raster.New(raster.RGB, 1, 1), raster.New(raster.Gray, 7, 1), raster.New(raster.RGB, 1, 33), raster.New(raster.RGB, 3, 2),
	} {
		t.Run(fmt.Sprintf("%d×%d", img.Width, img.Height), func(t *testing.T) {
			set := candidates.Collect(t, img)
			var e Extractor
			if err := e.Reset(t.Context(), set); err != nil {
				t.Fatal(err)
			}
			var b Block
			for i := range set.Candidates {
				b.Compute(&e, i, i+1)
				if len(b.Columns) != Count() {
					t.Fatalf("got %d columns, want %d", len(b.Columns), Count())
				}
				for f, column := range b.Columns {
					if v := float64(column[0]); math.IsNaN(v) || math.IsInf(v, 0) {
						t.Fatalf("box %v: %s is %v, want a finite number", set.Candidates[i].Box, names[f], v)
					}
				}
			}
		})
	}
}

// Features do not depend on the block in which a candidate is described.
func TestFeaturesDoNotDependOnBlocks(t *testing.T) {
	set := candidates.Collect(t, render(1))
	var e Extractor
	if err := e.Reset(t.Context(), set); err != nil {
		t.Fatal(err)
	}
	n := min(BlockSize, len(set.Candidates))
	var all, one Block
	all.Compute(&e, 0, n)
	for i := range n {
		one.Compute(&e, i, i+1)
		for f, name := range names {
			if got, want := all.Columns[f][i], one.Columns[f][0]; got != want {
				t.Fatalf("candidate %d, %s: got %v, want %v as alone", i, name, got, want)
			}
		}
	}
}

func TestSumsEqualReference(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		img := raster.New(raster.RGB, rapid.IntRange(1, 20).Draw(t, "width"), rapid.IntRange(1, 20).Draw(t, "height"))
		copy(img.Pix, rapid.SliceOfN(rapid.Uint8(), len(img.Pix), len(img.Pix)).Draw(t, "pixels"))
		var p integralImage
		if err := p.build(context.Background(), img); err != nil {
			t.Fatal(err)
		}
		x0, y0 := rapid.IntRange(0, p.width-1).Draw(t, "x0"), rapid.IntRange(0, p.height-1).Draw(t, "y0")
		r := rect{x0, y0, rapid.IntRange(x0+1, p.width).Draw(t, "x1"), rapid.IntRange(y0+1, p.height).Draw(t, "y1")}
		var l rectList
		l.add(&p, r)
		l.scales[0] = 1 // sums instead of means
		got := make([]row, 1)
		l.means(&p, got)
		want := referenceSums(&p.lab, r)
		want[numChannels] = got[0][numChannels] // it has no meaning
		if got[0] != want {
			t.Fatalf("%+v: got %v, want %v", r, got[0], want)
		}
	})
}

// referenceSums sums up the channels of the pixels of a Lab image.
func referenceSums(lab *raster.Image, r rect) (sums row) {
	at := func(plane, x, y int) int32 {
		return int32(lab.Plane(plane)[min(max(y, 0), lab.Height-1)*lab.Width+min(max(x, 0), lab.Width-1)])
	}
	abs := func(v int32) int32 { return max(v, -v) }
	for y := r.y0; y < r.y1; y++ {
		for x := r.x0; x < r.x1; x++ {
			var gx, gy, g1, g2 int32
			for k := range 3 {
				dx, dy := at(k, x+1, y)-at(k, x-1, y), at(k, x, y+1)-at(k, x, y-1)
				gx += abs(dx)
				gy += abs(dy)
				g1 += abs(dx + dy)
				g2 += abs(dx - dy)
				sums[lightness+k] += float32(at(k, x, y))
			}
			sums[gradX] += float32(gx / 3)
			sums[gradY] += float32(gy / 3)
			sums[gradDiag1] += float32(g1 / 6)
			sums[gradDiag2] += float32(g2 / 6)
		}
	}
	return sums
}

// The cells of a grid are rectangles of the image, and 0 outside of it.
func TestGridEqualsReference(t *testing.T) {
	img := render(2)
	e := Extractor{set: &candidate.Set{Image: img}}
	if err := e.integral.build(t.Context(), img); err != nil {
		t.Fatal(err)
	}
	p := &e.integral
	rapid.Check(t, func(t *rapid.T) {
		x, y := rapid.IntRange(0, img.Width-1).Draw(t, "x"), rapid.IntRange(0, img.Height-1).Draw(t, "y")
		bounds := box.Box{
			X0: int32(x), Y0: int32(y),
			X1: int32(rapid.IntRange(x+1, img.Width).Draw(t, "x1")), Y1: int32(rapid.IntRange(y+1, img.Height).Draw(t, "y1")),
		}
		inside := row{10, 20, 30, 40, 50, 60, 70}
		i := rapid.IntRange(0, BlockSize-1).Draw(t, "index")
		var b Block
		b.candidates = make([]candidate.Candidate, i+1)
		for k := range b.candidates {
			b.candidates[k].Box = bounds
			b.means[2*k] = inside
		}
		columns := make(Columns, len(grid.names))
		fillGrid(&e, &b, columns)

		line := func(lo, hi int32, k int) int { // in cells, to the nearest
			return int(math.Floor((float64(lo)+float64(k-1)*float64(hi-lo)/4)/2 + .5))
		}
		for cell := range gridSide * gridSide {
			cx, cy := cell%gridSide, cell/gridSide
			r := rect{
				line(bounds.X0, bounds.X1, cx), line(bounds.Y0, bounds.Y1, cy),
				line(bounds.X0, bounds.X1, cx+1), line(bounds.Y0, bounds.Y1, cy+1),
			}
			r.x1, r.y1 = max(r.x1, r.x0+1), max(r.y1, r.y0+1)
			var l rectList
			l.add(p, r)
			mean := make([]row, 1)
			l.means(p, mean)
			for c := range numChannels {
				want := mean[0][c] / (10 + 20 + 2)
				if c >= lightness {
					want = (mean[0][c] - inside[c]) / 32
				}
				if l.scales[0] == 0 {
					want = 0
				}
				if got := columns[cell*numChannels+c][i]; math.Abs(float64(got-want)) > 1e-4 {
					t.Fatalf("%v, cell %d, channel %d: got %v, want %v", bounds, cell, c, got, want)
				}
			}
		}
	})
}

func TestTreeStatisticsEqualReference(t *testing.T) {
	set := candidates.Collect(t, render(4))
	var e Extractor
	if err := e.Reset(t.Context(), set); err != nil {
		t.Fatal(err)
	}
	var b Block
	for from := 0; from < len(set.Candidates); from += BlockSize {
		to := min(from+BlockSize, len(set.Candidates))
		b.Compute(&e, from, to)
		for i := range set.Candidates[from:to] {
			for name, want := range referenceStatistics(set, &set.Candidates[from+i]) {
				got := float64(b.Columns[slices.Index(names, name)][i])
				if math.Abs(got-want) > 1e-5 {
					t.Fatalf("candidate %d, %s: got %v, want %v", from+i, name, got, want)
				}
			}
		}
	}
}

// referenceStatistics returns the features of treeStatistics by name.
func referenceStatistics(set *candidate.Set, c *candidate.Candidate) map[string]float64 {
	values := map[string][]float64{}
	for _, o := range c.Origins {
		tree := set.Trees[o.Strategy]
		n := &tree.Nodes[tree.At(int(o.Position))]
		birth, grow, parent := float64(o.Birth), 0., 0.
		if n.Children[0] < 0 {
			birth = leafBirth
		}
		if n.Parent >= 0 {
			up := &tree.Nodes[n.Parent]
			grow = float64(log2(float32(up.Box.Area()) / float32(c.Box.Area())))
			parent = float64(log2(float32(up.Size) / float32(n.Size)))
		}
		for name, v := range map[string]float64{
			"position": float64(log2(float32(o.Position))), "birth": birth, "death": float64(o.Death), "life": birth - float64(o.Death),
			"fill": float64(n.Size) / float64(c.Box.Area()), "grow": grow, "parent": parent,
		} {
			values[name] = append(values[name], v)
		}
	}
	statistics := map[string]float64{}
	for name, v := range values {
		sum := 0.
		for _, x := range v {
			sum += x
		}
		statistics["trees."+name+".max"] = slices.Max(v)
		statistics["trees."+name+".mean"] = sum / float64(len(v))
		statistics["trees."+name+".min"] = slices.Min(v)
	}
	return statistics
}

// A mirrored box of the mirrored image has the features that Mirror maps to.
func TestMirror(t *testing.T) {
	img := render(3)
	mirrored := raster.New(img.Space, img.Width, img.Height)
	for i, v := range img.Pix {
		x := i % img.Width
		mirrored.Pix[i-x+img.Width-1-x] = v
	}
	mirror := Mirror()
	rapid.Check(t, func(t *rapid.T) {
		describe := func(img *raster.Image, b box.Box) Columns {
			set := &candidate.Set{
				Image: img, Candidates: []candidate.Candidate{{Box: b, Origins: []candidate.Origin{{Position: 1, Size: 1}}}},
				Trees: []*hierarchy.Tree{{Nodes: []hierarchy.Node{{Parent: -1}}}}, Spaces: make([]raster.Space, 1),
			}
			if err := set.FindOverlaps(context.Background()); err != nil {
				t.Fatal(err)
			}
			var e Extractor
			if err := e.Reset(context.Background(), set); err != nil {
				t.Fatal(err)
			}
			var block Block
			block.Compute(&e, 0, 1)
			return block.Columns
		}
		// Boxes of whole cells, so that nothing is rounded.
		w := 8 * int32(rapid.IntRange(1, img.Width/8).Draw(t, "w"))
		x := 2 * int32(rapid.IntRange(0, (img.Width-int(w))/2).Draw(t, "x"))
		y := int32(rapid.IntRange(0, img.Height-2).Draw(t, "y"))
		b := box.Box{X0: x, Y0: y, X1: x + w, Y1: int32(rapid.IntRange(int(y)+1, img.Height).Draw(t, "y1"))}
		want := describe(img, b)
		got := describe(mirrored, box.Box{X0: int32(img.Width) - b.X1, Y0: b.Y0, X1: int32(img.Width) - b.X0, Y1: b.Y1})
		for f, name := range names {
			if got, want := got[f][0], want[mirror[f]][0]; math.Abs(float64(got-want)) > 1e-4 {
				t.Fatalf("%v: %s of the mirrored image is %v, want %v, as %s", b, name, got, want, names[mirror[f]])
			}
		}
	})
}

// Large images have larger cells, so that sums stay within 32 bits.
func TestLargeImage(t *testing.T) {
	img := raster.New(raster.Gray, 1<<21+3, 3)
	for i := range img.Pix {
		img.Pix[i] = 255
	}
	var p integralImage
	if err := p.build(t.Context(), img); err != nil {
		t.Fatal(err)
	}
	if n := p.width * p.height; n > maxCells {
		t.Errorf("%d cells, want at most %d", n, maxCells)
	}
	if p.mean[lightness] != 255 {
		t.Errorf("mean lightness %v, want 255", p.mean[lightness])
	}
}

func TestLog2(t *testing.T) {
	for _, v := range []float32{1. / 1024, .5, 1, 2, 65536} {
		if got, want := float64(log2(v)), math.Log2(float64(v)); got != want {
			t.Errorf("log2(%v) = %v, want %v", v, got, want)
		}
	}
	if a, b := log2(3), log2(3.1); a >= b {
		t.Errorf("log2(3) = %v, log2(3.1) = %v: want an increasing function", a, b)
	}
}
