package objectness

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"reflect"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/proposer/proposer/box"
	"github.com/proposer/proposer/imbalance"
	"github.com/proposer/proposer/internal/scene"
	"github.com/proposer/proposer/raster"
	"github.com/proposer/proposer/selective"
)

// catch hands the evidence of a search to a test.
type catch func(e *selective.Evidence) error

func (c catch) Score(_ context.Context, _ []float32, e *selective.Evidence) error { return c(e) }

func search(t testing.TB, img *raster.Image, r selective.Ranker, threads int) []selective.Proposal {
	t.Helper()
	opts, err := selective.Preset("fast")
	if err != nil {
		t.Fatal(err)
	}
	opts.Order, opts.Ranker, opts.Threads = selective.OrderObjectness, r, threads
	found, err := selective.Search(t.Context(), img, opts)
	if err != nil {
		t.Fatal(err)
	}
	return found.Proposals
}

func drawn(t testing.TB, seed uint64) *raster.Image {
	t.Helper()
	return scene.Render(seed, 160, 120, 4).Image
}

func TestFeaturesAreNumbersAndAllThere(t *testing.T) {
	for _, img := range []*raster.Image{
		drawn(t, 1), raster.New(raster.RGB, 1, 1), raster.New(raster.Gray, 7, 1), raster.New(raster.RGB, 1, 33), raster.New(raster.RGB, 3, 2),
	} {
		search(t, img, catch(func(e *selective.Evidence) error {
			s := new(scenery)
			if err := s.reset(t.Context(), e); err != nil {
				return err
			}
			columns := make([][block]float32, len(features))
			for i := range e.Proposals {
				out := column{columns: columns}
				s.describe(i, &out, new(box.Overlaps))
				if out.at != len(features) {
					t.Fatalf("%d features are put, %d have names", out.at, len(features))
				}
				for f, c := range columns {
					if v := float64(c[0]); math.IsNaN(v) || math.IsInf(v, 0) {
						t.Fatalf("%d×%d, box %v: %s is %v", img.Width, img.Height, e.Proposals[i].Box, features[f], v)
					}
				}
			}
			return nil
		}), 1)
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
		var got, want sums
		p.sum(&got, c)
		at := func(plane, x, y int) int32 {
			return int32(p.lab.Plane(plane)[min(max(y, 0), p.height-1)*p.width+min(max(x, 0), p.width-1)])
		}
		abs := func(v int32) uint32 { return uint32(max(v, -v)) }
		for y := c.y0; y < c.y1; y++ {
			for x := c.x0; x < c.x1; x++ {
				var gx, gy, g1, g2 uint32
				for k := range 3 {
					dx, dy := at(k, x+1, y)-at(k, x-1, y), at(k, x, y+1)-at(k, x, y-1)
					gx, gy, g1, g2 = gx+abs(dx), gy+abs(dy), g1+abs(dx+dy), g2+abs(dx-dy)
					want[lightness+k] += uint32(at(k, x, y))
				}
				want[across] += gx / 3
				want[down] += gy / 3
				want[falling] += g1 / 6
				want[rising] += g2 / 6
			}
		}
		if got != want {
			t.Fatalf("%+v: %v; want %v", c, got, want)
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
	if n := p.width * p.height; n > maxCells || p.all[lightness] != 255*uint32(n) {
		t.Errorf("%d cells with a sum of %d; want at most %d, of 255 each", n, p.all[lightness], maxCells)
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

// toy are samples of which a product of two features tells the target.
func toy(n int) *samples {
	rng := rand.New(rand.NewPCG(1, 1))
	s := &samples{bins: make([][]uint8, 4), cuts: make([][]float32, 4)}
	values := make([][]float32, 4)
	for range n {
		var row [4]float32
		for f := range row {
			row[f] = rng.Float32()*2 - 1
			values[f] = append(values[f], row[f])
		}
		target := float32(0)
		if row[0]*row[2] > 0 {
			target = 1
		}
		s.targets, s.weights = append(s.targets, target), append(s.weights, 1)
	}
	for f := range values {
		s.cuts[f] = cut(slices.Clone(values[f]))
		for _, v := range values[f] {
			s.bins[f] = append(s.bins[f], bin(s.cuts[f], v))
		}
	}
	return s
}

func TestEveryLossLearns(t *testing.T) {
	s := toy(4000)
	for name, loss := range map[string]imbalance.Loss{
		"ce": imbalance.CrossEntropy(), "focal": imbalance.Focal(), "alpha": {Alpha: imbalance.Balanced(.25)},
	} {
		b := DefaultBoosting()
		b.Loss, b.Trees, b.Rate = loss, 60, .3
		var losses []float64
		b.Progress = func(_ int, l float64) { losses = append(losses, l) }
		if _, err := b.train(t.Context(), s); err != nil {
			t.Fatal(err)
		}
		if first, last := losses[0], losses[len(losses)-1]; last > first/2 {
			t.Errorf("%s: loss from %v to %v; want less than half", name, first, last)
		}
	}
}

func TestTrainingDoesNotDependOnThreads(t *testing.T) {
	s := toy(40_000)
	var models []*Model
	for _, threads := range []int{1, 3} {
		b := DefaultBoosting()
		b.Trees, b.Threads = 5, threads
		m, err := b.train(t.Context(), s)
		if err != nil {
			t.Fatal(err)
		}
		models = append(models, m)
	}
	if !reflect.DeepEqual(models[0], models[1]) {
		t.Error("another number of threads, another model")
	}
}

func TestTrainingIsCancelled(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := DefaultBoosting().train(ctx, toy(100)); !errors.Is(err, context.Canceled) {
		t.Errorf("%v; want %v", err, context.Canceled)
	}
}

func TestRankersOfThePackage(t *testing.T) {
	for n, mode := range map[int]string{1: "fast", 8: "fast", 16: "best", 80: "quality"} {
		if r := Default(n); r.About.Mode != mode || r.About.Pictures == 0 {
			t.Errorf("%d strategies: %+v; want one for %s", n, r.About, mode)
		}
	}
}

func TestScoresDoNotDependOnThreads(t *testing.T) {
	img := drawn(t, 3)
	want := search(t, img, Default(8), 1)
	for i, p := range want {
		if !(p.Score > 0 && p.Score < 1) || i > 0 && p.Score >= want[i-1].Score {
			t.Fatalf("score %d is %v: want it in (0,1), below the one before", i, p.Score)
		}
	}
	if got := search(t, img, Default(8), 4); !reflect.DeepEqual(got, want) {
		t.Error("other proposals on four threads")
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
		file.Features, file.Model.Trees = slices.Clone(file.Features), slices.Clone(file.Model.Trees[:2])
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
		"another format": change(func(f *File) { f.Format = 2 }),
		"other features": change(func(f *File) { f.Features[3] = "luck" }),
		"no trees":       change(func(f *File) { f.Model.Trees = nil }),
		"beyond":         change(func(f *File) { f.Model.Trees[1].Features[2] = int32(len(features)) }),
		"before":         change(func(f *File) { f.Model.Trees[1].Features[2] = -1 }),
		"a huge number":  bytes.Replace(change(func(*File) {}), []byte(`"bias":`), []byte(`"bias":1e99,"x":`), 1),
	} {
		if _, err := Read(bytes.NewReader(data)); !errors.Is(err, ErrRanker) {
			t.Errorf("%s: %v; want %v", name, err, ErrRanker)
		}
	}
}

func FuzzRead(f *testing.F) {
	var file bytes.Buffer
	if err := Default(8).Write(&file); err != nil {
		f.Fatal(err)
	}
	f.Add(file.Bytes()[:2000])
	f.Add([]byte(`{"format":1,"features":[],"model":{"trees":[{"features":[1,2,3]}]}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		r, err := Read(bytes.NewReader(data))
		if err != nil {
			return
		}
		var dst [block]float32
		r.Model.score(&dst, make([][block]float32, len(features)))
	})
}

func TestTrainerWantsObjects(t *testing.T) {
	trainer := NewTrainer(1)
	search(t, drawn(t, 1), catch(func(e *selective.Evidence) error {
		return trainer.Add(t.Context(), e, make([]Match, len(e.Proposals)))
	}), 1)
	if _, err := trainer.Train(t.Context(), DefaultBoosting(), About{}); err == nil {
		t.Error("it learned from pictures without an object")
	}
}

var update = flag.Bool("update", false, "write the golden files anew")

// The order is the same on every machine, to the bit of the scores.
func TestGolden(t *testing.T) {
	var got bytes.Buffer
	for _, p := range search(t, drawn(t, 5), Default(8), 1)[:300] {
		fmt.Fprintln(&got, p.Box, p.Score)
	}
	const name = "testdata/fast.golden"
	if *update {
		if err := os.WriteFile(name, got.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got.Bytes(), want) {
		t.Errorf("another order than in %s: if that is meant, run with -update", name)
	}
}
