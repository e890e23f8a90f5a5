package objectness

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"math"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/proposer/proposer/box"
	"github.com/proposer/proposer/candidate"
	"github.com/proposer/proposer/hierarchy"
	"github.com/proposer/proposer/imbalance"
	"github.com/proposer/proposer/internal/testutil/candidates"
	"github.com/proposer/proposer/internal/testutil/scene"
	"github.com/proposer/proposer/raster"
)

func drawn(t testing.TB, seed uint64) *raster.Image {
	t.Helper()
	return scene.Render(seed, 160, 120, 4).Image
}

func TestFeaturesAreNumbersAndAllThere(t *testing.T) {
	for _, img := range []*raster.Image{
		drawn(t, 1), raster.New(raster.RGB, 1, 1), raster.New(raster.Gray, 7, 1), raster.New(raster.RGB, 1, 33), raster.New(raster.RGB, 3, 2),
	} {
		e := candidates.Collect(t, img)
		s := new(scenery)
		if err := s.reset(t.Context(), e); err != nil {
			t.Fatal(err)
		}
		d := new(desk)
		for i := range e.Candidates {
			d.describe(s, i, i+1)
			out := &d.column
			if out.at != len(features) {
				t.Fatalf("%d features are put, %d have names", out.at, len(features))
			}
			for f, c := range out.columns {
				if v := float64(c[0]); math.IsNaN(v) || math.IsInf(v, 0) {
					t.Fatalf("%d×%d, box %v: %s is %v", img.Width, img.Height, e.Candidates[i].Box, features[f], v)
				}
			}
		}
	}
}

func TestSumsAreThePixels(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		img := raster.New(raster.RGB, rapid.IntRange(1, 20).Draw(t, "width"), rapid.IntRange(1, 20).Draw(t, "height"))
		copy(img.Pix, rapid.SliceOfN(rapid.Uint8(), len(img.Pix), len(img.Pix)).Draw(t, "pixels"))
		var p picture
		if err := p.reset(context.Background(), img); err != nil {
			t.Fatal(err)
		}
		x0, y0 := rapid.IntRange(0, p.width-1).Draw(t, "x0"), rapid.IntRange(0, p.height-1).Draw(t, "y0")
		c := cells{x0, y0, rapid.IntRange(x0+1, p.width).Draw(t, "x1"), rapid.IntRange(y0+1, p.height).Draw(t, "y1")}
		var v view
		v.add(&p, c)
		v.scales[0] = 1 // sums, not means
		got, want := make([]means, 1), means{}
		v.means(&p, got)
		at := func(plane, x, y int) int32 {
			return int32(p.lab.Plane(plane)[min(max(y, 0), p.height-1)*p.width+min(max(x, 0), p.width-1)])
		}
		abs := func(v int32) int32 { return max(v, -v) }
		for y := c.y0; y < c.y1; y++ {
			for x := c.x0; x < c.x1; x++ {
				var gx, gy, g1, g2 int32
				for k := range 3 {
					dx, dy := at(k, x+1, y)-at(k, x-1, y), at(k, x, y+1)-at(k, x, y-1)
					gx, gy, g1, g2 = gx+abs(dx), gy+abs(dy), g1+abs(dx+dy), g2+abs(dx-dy)
					want[lightness+k] += float32(at(k, x, y))
				}
				want[across] += float32(gx / 3)
				want[down] += float32(gy / 3)
				want[falling] += float32(g1 / 6)
				want[rising] += float32(g2 / 6)
			}
		}
		want[channels-1] = got[0][channels-1] // it has no meaning
		if got[0] != want {
			t.Fatalf("%+v: %v; want %v", c, got, want)
		}
	})
}

// A grid's cells are rectangles of cells, and like the box where there is no picture.
func TestGrid(t *testing.T) {
	img := drawn(t, 2)
	var s scenery
	s.Set = &candidate.Set{Image: img}
	if err := s.picture.reset(t.Context(), img); err != nil {
		t.Fatal(err)
	}
	p := &s.picture
	rapid.Check(t, func(t *rapid.T) {
		x, y := rapid.IntRange(0, img.Width-1).Draw(t, "x"), rapid.IntRange(0, img.Height-1).Draw(t, "y")
		b := box.Box{X0: int32(x), Y0: int32(y), X1: int32(rapid.IntRange(x+1, img.Width).Draw(t, "x1")), Y1: int32(rapid.IntRange(y+1, img.Height).Draw(t, "y1"))}
		inside := means{10, 20, 30, 40, 50, 60, 70}
		out := column{box: rapid.IntRange(0, block-1).Draw(t, "place")}
		out.reset()
		columns := out.columns[len(features)-grid*grid*(channels-1):]
		out.at = len(features) - (statistics+2+grid*grid)*(channels-1)
		s.lay(b, &inside, &out)
		out.finish(p, out.box+1)
		line := func(from, to int32, k int) int { // in cells, to the nearest
			return int(math.Floor((float64(from)+float64(k-1)*float64(to-from)/4)/2 + .5))
		}
		for cell := range grid * grid {
			cx, cy := cell%grid, cell/grid
			c := cells{line(b.X0, b.X1, cx), line(b.Y0, b.Y1, cy), line(b.X0, b.X1, cx+1), line(b.Y0, b.Y1, cy+1)}
			c.x1, c.y1 = max(c.x1, c.x0+1), max(c.y1, c.y0+1)
			var v view
			v.add(p, c)
			mean := make([]means, 1)
			v.means(p, mean)
			for k := range channels - 1 {
				want := mean[0][k] / (10 + 20 + 2)
				if k >= lightness {
					want = (mean[0][k] - inside[k]) / 32
				}
				if v.scales[0] == 0 {
					want = 0
				}
				if got := columns[cell*(channels-1)+k][out.box]; math.Abs(float64(got-want)) > 1e-4 {
					t.Fatalf("%v, cell %d, channel %d: %v; want %v", b, cell, k, got, want)
				}
			}
		}
	})
}

// What is asked of tree nodes is the largest, the mean and the least of what each of them says.
func TestTreeFeatures(t *testing.T) {
	e := candidates.Collect(t, drawn(t, 4))
	s, d := new(scenery), new(desk)
	if err := s.reset(t.Context(), e); err != nil {
		t.Fatal(err)
	}
	for from := 0; from < len(e.Candidates); from += block {
		to := min(from+block, len(e.Candidates))
		d.describe(s, from, to)
		for i, p := range e.Candidates[from:to] {
			said := map[string][]float64{}
			for _, o := range p.Origins {
				tree := e.Trees[o.Strategy]
				n := &tree.Nodes[tree.At(int(o.Position))]
				born, grow, parent := float64(o.Birth), 0., 0.
				if n.Children[0] < 0 {
					born = leafBirth
				}
				if n.Parent >= 0 {
					up := &tree.Nodes[n.Parent]
					grow = float64(log2(float32(up.Box.Area()) / float32(p.Box.Area())))
					parent = float64(log2(float32(up.Size) / float32(n.Size)))
				}
				for of, v := range map[string]float64{
					"position": float64(log2(float32(o.Position))), "birth": born, "death": float64(o.Death), "life": born - float64(o.Death),
					"fill": float64(n.Size) / float64(p.Box.Area()), "grow": grow, "parent": parent,
				} {
					said[of] = append(said[of], v)
				}
			}
			for of, values := range said {
				sum := 0.
				for _, v := range values {
					sum += v
				}
				for statistic, want := range map[string]float64{"max": slices.Max(values), "mean": sum / float64(len(values)), "min": slices.Min(values)} {
					name := "trees." + of + "." + statistic
					if got := float64(d.column.columns[slices.Index(features, name)][i]); math.Abs(got-want) > 1e-5 {
						t.Fatalf("box %d, %s: %v; want %v", from+i, name, got, want)
					}
				}
			}
		}
	}
}

// A mirrored box of the mirrored picture has the features that it is told to have.
func TestMirror(t *testing.T) {
	img := drawn(t, 3)
	mirrored := raster.New(img.Space, img.Width, img.Height)
	for i, v := range img.Pix {
		x := i % img.Width
		mirrored.Pix[i-x+img.Width-1-x] = v
	}
	to := mirror()
	rapid.Check(t, func(t *rapid.T) {
		describe := func(img *raster.Image, b box.Box) [][block]float32 {
			e := &candidate.Set{
				Image: img, Candidates: []candidate.Candidate{{Box: b, Origins: []candidate.Origin{{Position: 1, Size: 1}}}},
				Trees: []*hierarchy.Tree{{Nodes: []hierarchy.Node{{Parent: -1}}}}, Spaces: make([]raster.Space, 1),
			}
			if err := e.FindOverlaps(context.Background()); err != nil {
				t.Fatal(err)
			}
			s, d := new(scenery), new(desk)
			if err := s.reset(context.Background(), e); err != nil {
				t.Fatal(err)
			}
			d.describe(s, 0, 1)
			return d.column.columns
		}
		// Of whole cells, so that nothing is rounded.
		w := 8 * int32(rapid.IntRange(1, img.Width/8).Draw(t, "w"))
		x := 2 * int32(rapid.IntRange(0, (img.Width-int(w))/2).Draw(t, "x"))
		y := int32(rapid.IntRange(0, img.Height-2).Draw(t, "y"))
		b := box.Box{X0: x, Y0: y, X1: x + w, Y1: int32(rapid.IntRange(int(y)+1, img.Height).Draw(t, "y1"))}
		got, want := describe(mirrored, box.Box{X0: int32(img.Width) - b.X1, Y0: b.Y0, X1: int32(img.Width) - b.X0, Y1: b.Y1}), describe(img, b)
		for f, name := range features {
			if got, want := got[f][0], want[to[f]][0]; math.Abs(float64(got-want)) > 1e-4 {
				t.Fatalf("%v: mirrored, %s is %v; want %v, as %s", b, name, got, want, features[to[f]])
			}
		}
	})
}

// Large pictures have larger cells, so that sums stay within 32 bits.
func TestCellsOfLargePictures(t *testing.T) {
	img := raster.New(raster.Gray, 1<<21+3, 3)
	for i := range img.Pix {
		img.Pix[i] = 255
	}
	var p picture
	if err := p.reset(t.Context(), img); err != nil {
		t.Fatal(err)
	}
	if n := p.width * p.height; n > maxCells || p.all[lightness] != 255 {
		t.Errorf("%d cells with a mean of %v; want at most %d, of 255", n, p.all[lightness], maxCells)
	}
}

func TestProbability(t *testing.T) {
	for x := float32(-50); x < 50; x += .37 {
		want := 1 / (1 + math.Exp(-float64(x)))
		if got := float64(probability(x)); math.Abs(got-want) > 2e-4*want {
			t.Errorf("probability(%v) = %v; want %v", x, got, want)
		}
	}
	for x := float32(-20); x < 15; x += .01 {
		if probability(x) > probability(x+.01) {
			t.Errorf("probability falls at %v", x)
		}
	}
}

func TestLog2(t *testing.T) {
	for _, v := range []float32{1. / 1024, .5, 1, 2, 65536} {
		if got, want := float64(log2(v)), math.Log2(float64(v)); got != want {
			t.Errorf("log2(%v) = %v; want %v", v, got, want)
		}
	}
	if a, b := log2(3), log2(3.1); a >= b {
		t.Errorf("log2(3) = %v, log2(3.1) = %v", a, b)
	}
}

// game is what toys are made of: a product of two features tells the target, and one is the same in all.
type game struct {
	columns          [][]float32
	mirror           []int
	targets, weights []float32
	used             []int32
}

func play(n int) *game {
	rng := rand.New(rand.NewPCG(1, 1))
	g := &game{columns: make([][]float32, 5), mirror: []int{0, 1, 2, 3, 4}}
	for i := range n {
		var row [5]float32
		for f := range row[:4] {
			row[f] = rng.Float32()*2 - 1
		}
		for f, v := range row {
			g.columns[f] = append(g.columns[f], v)
		}
		target := float32(0)
		if row[0]*row[2] > 0 {
			target = 1
		}
		g.targets, g.weights, g.used = append(g.targets, target), append(g.weights, 1), append(g.used, int32(i))
	}
	return g
}

func (g *game) samples(t *testing.T) *samples {
	r := small()
	s, err := newSamples(t.Context(), &r, g.columns, g.mirror, g.targets, g.weights, g.used)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func toy(t *testing.T, n int) *samples { return play(n).samples(t) }

// small is a recipe for toys.
func small() TrainOptions {
	r := DefaultTrainOptions()
	r.Trees.Trees, r.Trees.Rate = 60, .3
	r.Network.Batch, r.Network.Epochs, r.Network.Rate = 64, 30, .01
	return r
}

func TestEveryLossLearns(t *testing.T) {
	s := toy(t, 4000)
	for name, loss := range map[string]imbalance.Loss{
		"ce": imbalance.CrossEntropy(), "focal": imbalance.Focal(), "alpha": {Alpha: imbalance.Balanced(.25)},
	} {
		r := small()
		r.Loss = loss
		losses := map[string][]float64{}
		r.Progress = func(part string, step, steps int, l float64) {
			if step != len(losses[part]) || step >= steps {
				t.Fatalf("%s: step %d of %d after %d", part, step, steps, len(losses[part]))
			}
			losses[part] = append(losses[part], l)
		}
		if _, err := r.train(t.Context(), s); err != nil {
			t.Fatal(err)
		}
		for _, part := range []string{"trees", "network"} {
			l := losses[part]
			if first, last := l[0], l[len(l)-1]; last > first/2 {
				t.Errorf("%s of %s: loss from %v to %v; want less than half", name, part, first, last)
			}
		}
	}
}

// What one feature tells of the samples, its mirror image tells of them mirrored.
func TestMirroredSamplesAreLearned(t *testing.T) {
	for name, part := range map[string]func(*TrainOptions){
		"trees": func(r *TrainOptions) { r.Network.Epochs = 0 }, "network": func(r *TrainOptions) { r.Trees.Trees = 0 },
	} {
		for _, mirrored := range []bool{false, true} {
			g := play(4000)
			if mirrored {
				g.mirror[0], g.mirror[1] = 1, 0
			}
			for i, v := range g.columns[0] {
				g.targets[i] = 0
				if v > 0 {
					g.targets[i] = 1
				}
			}
			r := small()
			part(&r)
			m, err := r.train(t.Context(), g.samples(t))
			if err != nil {
				t.Fatal(err)
			}
			columns := make([][block]float32, 5)
			columns[0], columns[1] = [block]float32{0: 0, 1: 0, 2: -.5, 3: .5}, [block]float32{0: -.5, 1: .5}
			var got [block]float32
			m.score(&got, columns, new(scratch))
			if d := got[3] - got[2]; d < 1 {
				t.Errorf("%s, mirrored %v: %v more by the feature; want more than 1", name, mirrored, d)
			}
			if d := got[1] - got[0]; !mirrored && math.Abs(float64(d)) > .5 || mirrored && d < 1 {
				t.Errorf("%s, mirrored %v: %v more by its mirror image", name, mirrored, d)
			}
		}
	}
}

// What a network says of a toy is the sign of the product; without units it cannot know.
func TestNetworkNeedsUnits(t *testing.T) {
	for units, most := range map[int]float64{31: .1, 0: 1} {
		r := small()
		r.Trees.Trees, r.Network.Units = 0, units
		m, err := r.train(t.Context(), toy(t, 4000))
		if err != nil {
			t.Fatal(err)
		}
		s, wrong := play(8000), 0.
		for i := 4000; i < 8000; i++ {
			row := []float32{s.columns[0][i], s.columns[1][i], s.columns[2][i], s.columns[3][i], 9} // never seen
			if (m.Network.literal(m.levels(row)) > 0) != (s.targets[i] > 0) {
				wrong += 1. / 4000
			}
		}
		if wrong > most || units == 0 && wrong < .3 {
			t.Errorf("%d units: %.3f wrong", units, wrong)
		}
	}
}

// Bins begin where sorted levels say.
func TestCuts(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		some := rapid.SliceOf(rapid.Int8Range(-127, 127)).Draw(t, "levels")
		if rapid.Bool().Draw(t, "many") {
			for l := range 127 {
				some = append(some, int8(l), int8(-l/2))
			}
		}
		var counts [levels]int
		for _, l := range some {
			counts[number(l)]++
		}
		slices.Sort(some)
		var want []int8
		for i := 1; i < mostBins && len(some) > 0; i++ {
			if l := some[i*len(some)/mostBins]; l > some[0] && !slices.Contains(want, l) {
				want = append(want, l)
			}
		}
		if got := cut(&counts); !slices.Equal(got, want) {
			t.Fatalf("%v; want %v", got, want)
		}
	})
}

// The gradient is that of the loss.
func TestNetworkGradient(t *testing.T) {
	s := toy(t, 50)
	r := small()
	r.Loss = imbalance.Focal()
	d := AdamOptions{Units: 3, Batch: 50}
	w := newWeights(d.Units, 5)
	rng := rand.New(rand.NewPCG(3, 3))
	for i := range w.all() {
		w.all()[i] = float32(rng.NormFloat64())
	}
	rows := make([]int32, 50)
	for i := range rows {
		rows[i] = int32(i)
	}
	b := newBatch(50, d.Units, 5)
	loss := func() float64 {
		b.step(&r, d, s, rows, &w, rng)
		return b.loss
	}
	loss()
	gradient := slices.Clone(b.gradient.all())
	for i, g := range gradient {
		const h = 1e-2
		v := &w.all()[i]
		at := *v
		*v = at + h
		above := loss()
		*v = at - h
		below := loss()
		*v = at
		if slope := (above - below) / (2 * h); math.Abs(slope-float64(g)) > .02+.02*math.Abs(slope) {
			t.Errorf("weight %d: %v; want %v", i, g, slope)
		}
	}
}

func TestTrainingDoesNotDependOnThreads(t *testing.T) {
	s := toy(t, 20_000)
	var models []*Model
	for _, threads := range []int{1, 3} {
		r := DefaultTrainOptions()
		r.Trees.Trees, r.Network.Epochs, r.Threads = 5, 1, threads
		m, err := r.train(t.Context(), s)
		if err != nil {
			t.Fatal(err)
		}
		models = append(models, m)
	}
	if !reflect.DeepEqual(models[0], models[1]) {
		t.Error("another number of threads, another model")
	}
}

// What is left out has no say.
func TestOthersAreNotLearnedFrom(t *testing.T) {
	var models []*Model
	for _, noise := range []float32{0, 9} {
		g := play(3000)
		g.used = g.used[:2000]
		for i := 2000; i < 3000; i++ {
			g.targets[i], g.weights[i] = noise/9, 1+noise
			for _, c := range g.columns {
				c[i] += noise
			}
		}
		r := small()
		r.Trees.Trees, r.Network.Epochs = 3, 1
		m, err := r.train(t.Context(), g.samples(t))
		if err != nil {
			t.Fatal(err)
		}
		models = append(models, m)
	}
	if !reflect.DeepEqual(models[0], models[1]) {
		t.Error("other samples beside those that are used, another model")
	}
}

func TestTrainingIsCancelled(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for _, part := range []func(*TrainOptions){func(r *TrainOptions) { r.Trees.Trees = 0 }, func(r *TrainOptions) { r.Network.Epochs = 0 }} {
		r := small()
		part(&r)
		if _, err := r.train(ctx, toy(t, 100)); !errors.Is(err, context.Canceled) {
			t.Errorf("%v; want %v", err, context.Canceled)
		}
	}
}

func TestRecipesAreChecked(t *testing.T) {
	for name, change := range map[string]func(*TrainOptions){
		"nothing":        func(r *TrainOptions) { r.Trees.Trees, r.Network.Epochs = 0, 0 },
		"trees":          func(r *TrainOptions) { r.Trees.Trees = -1 },
		"rate":           func(r *TrainOptions) { r.Trees.Rate = 0 },
		"ridge":          func(r *TrainOptions) { r.Trees.L2 = math.NaN() },
		"epochs":         func(r *TrainOptions) { r.Network.Epochs = 1e6 },
		"units":          func(r *TrainOptions) { r.Network.Units = -1 },
		"batch":          func(r *TrainOptions) { r.Network.Batch = 0 },
		"network's rate": func(r *TrainOptions) { r.Network.Rate = 2 },
		"dropout":        func(r *TrainOptions) { r.Network.Dropout = 1 },
		"loss":           func(r *TrainOptions) { r.Loss.Gamma = -1 },
	} {
		r := DefaultTrainOptions()
		if err := r.Validate(); err != nil {
			t.Fatal(err)
		}
		change(&r)
		if r.Validate() == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func TestRankersOfThePackage(t *testing.T) {
	for n, mode := range map[int]string{1: "fast", 8: "fast", 16: "best", 80: "quality"} {
		if r := Default(n); r.Metadata.Mode != mode || r.Metadata.Pictures == 0 || len(r.Metadata.Metrics) == 0 {
			t.Errorf("%d strategies: %+v; want one for %s", n, r.Metadata, mode)
		}
	}
}

func TestFileComesBack(t *testing.T) {
	var file bytes.Buffer
	if err := Default(8).Write(&file); err != nil {
		t.Fatal(err)
	}
	r, err := Read(&file)
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(r.File, Default(8).File) {
		t.Error("what was read is not what was written")
	}
}

func TestReadRefuses(t *testing.T) {
	change := func(f func(*File)) []byte {
		file := Default(8).File
		file.Features = slices.Clone(file.Features)
		file.Model.Trees = &Forest{Unit: 1, Trees: slices.Clone(file.Model.Trees.Trees[:2])}
		network := *file.Model.Network
		network.Units = slices.Clone(network.Units[:2])
		file.Model.Network = &network
		f(&file)
		data, err := json.Marshal(&file)
		if err != nil {
			t.Fatal(err)
		}
		return data
	}
	for name, data := range map[string][]byte{
		"nothing":        nil,
		"no JSON":        []byte("ranker"),
		"another format": change(func(f *File) { f.Format = 1 }),
		"other features": change(func(f *File) { f.Features[3] = "luck" }),
		"no trees":       change(func(f *File) { f.Model.Trees.Trees = nil }),
		"beyond":         change(func(f *File) { f.Model.Trees.Trees[1].Features[2] = int32(len(features)) }),
		"before":         change(func(f *File) { f.Model.Trees.Trees[1].Features[2] = -1 }),
		"no model":       change(func(f *File) { f.Model = Model{} }),
		"short means":    change(func(f *File) { f.Model.Means = f.Model.Means[1:] }),
		"long scales":    change(func(f *File) { f.Model.Scales = append(slices.Clone(f.Model.Scales), 1) }),
		"deep leaves":    change(func(f *File) { f.Model.Trees.Trees[0].Leaves[0], f.Model.Trees.Trees[1].Leaves[9] = math.MinInt16, 1 }),
		"short direct":   change(func(f *File) { f.Model.Network.Direct = nil }),
		"short weights":  change(func(f *File) { f.Model.Network.Units[1].Weights = nil }),
		"many units":     change(func(f *File) { f.Model.Network.Units = make([]HiddenUnit, maxUnits+1) }),
		"large":          change(func(f *File) { f.Model.Network.Bias = 1e20 }),
		"a huge number":  bytes.Replace(change(func(*File) {}), []byte(`"bias":`), []byte(`"bias":1e99,"x":`), 1),
	} {
		if _, err := Read(bytes.NewReader(data)); !errors.Is(err, ErrInvalidModel) {
			t.Errorf("%s: %v; want %v", name, err, ErrInvalidModel)
		}
	}
}

func FuzzRead(f *testing.F) {
	var file bytes.Buffer
	if err := Default(8).Write(&file); err != nil {
		f.Fatal(err)
	}
	f.Add(file.Bytes()[:2000])
	f.Add([]byte(`{"format":3,"features":[],"model":{"trees":{"trees":[{"features":[1,2,3]}]}}}`))
	f.Add([]byte(`{"format":3,"features":[],"model":{"network":{"units":[{"weights":[1,2,3]}]}}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		r, err := Read(bytes.NewReader(data))
		if err != nil {
			return
		}
		var dst [block]float32
		r.Model.score(&dst, make([][block]float32, len(features)), new(scratch))
	})
}

// A box that may hold an object which nobody drew a box around is not learned from, unless it is on one that somebody did.
func TestUnsureBoxesAreNoBackground(t *testing.T) {
	learn := func(match func(i int) Match) *Trainer {
		trainer := NewTrainer(1)
		e := candidates.Collect(t, drawn(t, 1))
		best := make([]Match, len(e.Candidates))
		for i := range best {
			best[i] = match(i)
		}
		if err := trainer.Add(t.Context(), 0, e, best); err != nil {
			t.Fatal(err)
		}
		return trainer
	}
	got := learn(func(i int) Match { return Match{IoU: .6 * float64(1-i%2), Ignore: true} })
	if got.Samples() == 0 || got.Samples() != (got.boxes+1)/2 || slices.Contains(got.targets, 0) {
		t.Errorf("%d samples, of targets from %v, of %d boxes, half of which are on an object: want these",
			got.Samples(), slices.Min(got.targets), got.boxes)
	}
	if got := learn(func(int) Match { return Match{IoU: .45, Ignore: true} }).Samples(); got != 0 {
		t.Errorf("%d samples of unsure boxes: want none", got)
	}
}

func TestTrainerWantsObjects(t *testing.T) {
	trainer := NewTrainer(1)
	e := candidates.Collect(t, drawn(t, 1))
	if err := trainer.Add(t.Context(), 0, e, make([]Match, len(e.Candidates))); err != nil {
		t.Fatal(err)
	}
	if _, err := trainer.Train(t.Context(), DefaultTrainOptions(), Metadata{}, nil); err == nil {
		t.Error("it learned from pictures without an object")
	}
}
