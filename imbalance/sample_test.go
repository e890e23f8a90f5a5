package imbalance

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"reflect"
	"slices"
	"strconv"
	"testing"

	"pgregory.net/rapid"

	"github.com/proposer/proposer/box"
)

func seeded(seed uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, 0)) }

// labeledRoIs returns fg foreground RoIs, then bg background RoIs, then two ignored ones.
func labeledRoIs(fg, bg int) []RoI {
	var rois []RoI
	for range fg {
		rois = append(rois, RoI{Foreground, 0, 0.75})
	}
	for i := range bg {
		rois = append(rois, RoI{Background, -1, 0.5 * float64(i) / float64(bg)})
	}
	return append(rois, RoI{Ignore, -1, 0}, RoI{Ignore, 0, 0.05})
}

func TestSamplerCounts(t *testing.T) {
	for _, c := range []struct {
		sampler Sampler
		fg, bg  int
		want    Sample // without Indices
	}{
		{FastRCNNSampler(), 100, 1000, Sample{Foreground: 32, Background: 96}},
		{Sampler{512, 0.25}, 200, 1000, Sample{Foreground: 128, Background: 384}},
		{FastRCNNSampler(), 5, 1000, Sample{Foreground: 5, Background: 123, MissingForeground: 27}},
		{FastRCNNSampler(), 100, 10, Sample{Foreground: 32, Background: 10, Missing: 86}},
		{FastRCNNSampler(), 5, 10, Sample{Foreground: 5, Background: 10, MissingForeground: 27, Missing: 113}},
		{FastRCNNSampler(), 0, 200, Sample{Background: 128, MissingForeground: 32}},
		{FastRCNNSampler(), 200, 0, Sample{Foreground: 32, Missing: 96}},
		{FastRCNNSampler(), 0, 0, Sample{MissingForeground: 32, Missing: 128}},
		{Sampler{}, 5, 5, Sample{}},
		{Sampler{4, 0}, 5, 5, Sample{Background: 4}},
		{Sampler{4, 1}, 5, 5, Sample{Foreground: 4}},
		{Sampler{100, 0.29}, 50, 100, Sample{Foreground: 29, Background: 71}}, // 100 × 0.29 is slightly below 29 and is rounded
	} {
		for name, got := range map[string]Sample{
			"random":       c.sampler.Random(seeded(1), labeledRoIs(c.fg, c.bg)),
			"IoU-balanced": c.sampler.IoUBalanced(seeded(1), labeledRoIs(c.fg, c.bg), FasterRCNNThresholds(), 3),
		} {
			t.Run(fmt.Sprintf("%s/%d of %d+%d", name, c.sampler.Size, c.fg, c.bg), func(t *testing.T) {
				if got.Indices = nil; !reflect.DeepEqual(got, c.want) {
					t.Errorf("%+v: got %+v, want %+v", c.sampler, got, c.want)
				}
			})
		}
	}
	if got := FastRCNNSampler().Random(seeded(1), nil); len(got.Indices) != 0 || got.Missing != 128 {
		t.Errorf("no RoIs: got %+v, want 128 missing", got)
	}
}

// checkSample fails if the counts of a sample differ from those of its indices, or if indices are
// ignored, repeated or out of order.
func checkSample(t rapid.TB, rois []RoI, s Sample) {
	t.Helper()
	if len(s.Indices) != s.Foreground+s.Background || s.Missing < 0 || s.MissingForeground < 0 {
		t.Fatalf("inconsistent counts: %+v", s)
	}
	for k, i := range s.Indices {
		want := Foreground
		if k >= s.Foreground {
			want = Background
		}
		if rois[i].Label != want || k > 0 && k != s.Foreground && s.Indices[k-1] >= i {
			t.Fatalf("index %d is wrong: %+v of %+v", i, s, rois)
		}
	}
}

func anyRoIs() *rapid.Generator[[]RoI] {
	return rapid.SliceOfN(rapid.Custom(func(t *rapid.T) RoI {
		return RoI{
			Label(rapid.IntRange(-1, 1).Draw(t, "label")), 0,
			rapid.Float64Range(0, 1).Draw(t, "IoU"),
		}
	}), 0, 60)
}

func TestSamplerProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rois, seed := anyRoIs().Draw(t, "rois"), rapid.Uint64().Draw(t, "seed")
		sampler := Sampler{rapid.IntRange(0, 80).Draw(t, "size"), rapid.Float64Range(0, 1).Draw(t, "fraction")}
		bins := rapid.IntRange(1, 8).Draw(t, "bins")
		before := slices.Clone(rois)
		for _, f := range []func() Sample{
			func() Sample { return sampler.Random(seeded(seed), rois) },
			func() Sample { return sampler.IoUBalanced(seeded(seed), rois, FastRCNNThresholds(), bins) },
		} {
			s := f()
			checkSample(t, rois, s)
			limit := int(math.Round(float64(sampler.Size) * sampler.ForegroundFraction))
			fg, bg := len(withLabel(rois, Foreground)), len(withLabel(rois, Background))
			if s.Foreground != min(limit, fg) || s.Background != min(sampler.Size-s.Foreground, bg) ||
				s.MissingForeground != limit-s.Foreground || s.Missing != sampler.Size-len(s.Indices) {
				t.Fatalf("%+v of %d foreground and %d background RoIs: got %+v", sampler, fg, bg, s)
			}
			if again := f(); !reflect.DeepEqual(s, again) {
				t.Fatalf("same seed: got %+v, then %+v", s, again)
			}
		}
		if !slices.Equal(rois, before) {
			t.Fatal("the RoIs were modified")
		}
	})
}

// chiSquare returns the χ² statistic of counts for a uniform distribution.
func chiSquare(counts []int) float64 {
	var sum float64
	for _, n := range counts {
		sum += float64(n)
	}
	want, chi := sum/float64(len(counts)), 0.0
	for _, n := range counts {
		chi += (float64(n) - want) * (float64(n) - want) / want
	}
	return chi
}

func TestRandomIsUniform(t *testing.T) {
	const fg, bg, rounds = 20, 40, 5000
	rois, rng := labeledRoIs(fg, bg), seeded(3)
	counts := make([]int, len(rois))
	for range rounds {
		for _, i := range (Sampler{16, 0.25}).Random(rng, rois).Indices {
			counts[i]++
		}
	}
	// The 99.9th percentiles for 19 and 39 degrees of freedom. Drawing without replacement lowers χ².
	if chi := chiSquare(counts[:fg]); chi > 43.8 {
		t.Errorf("foreground: got χ² = %v, want at most 43.8: %v", chi, counts[:fg])
	}
	if chi := chiSquare(counts[fg : fg+bg]); chi > 72.1 {
		t.Errorf("background: got χ² = %v, want at most 72.1: %v", chi, counts[fg:fg+bg])
	}
	// A fixed rotation would give 0. The bounds are the 0.1st percentiles times 1−n/N.
	if chi := chiSquare(counts[:fg]); chi < 5.4*0.8 {
		t.Errorf("foreground: got χ² = %v, want at least %v", chi, 5.4*0.8)
	}
	if chi := chiSquare(counts[fg : fg+bg]); chi < 17.3*0.7 {
		t.Errorf("background: got χ² = %v, want at least %v", chi, 17.3*0.7)
	}
}

func TestIoUBalanced(t *testing.T) {
	// A typical background: nine in ten RoIs have a small IoU. The bins of [0,0.5) have 90, 6 and 4.
	var rois []RoI
	for bin, n := range []int{90, 6, 4} {
		for range n {
			rois = append(rois, RoI{Background, 0, (float64(bin) + 0.5) / 6})
		}
	}
	bins := func(s Sample) (n [3]int) {
		for _, i := range s.Indices {
			n[int(rois[i].IoU*6)]++
		}
		return n
	}
	for _, c := range []struct {
		size int
		want [3]int
	}{
		{9, [3]int{3, 3, 3}},
		{12, [3]int{4, 4, 4}},
		{30, [3]int{20, 6, 4}}, // 10, 6 and 4, then 10 of the rest
		{100, [3]int{90, 6, 4}},
		{200, [3]int{90, 6, 4}},
		{0, [3]int{}},
	} {
		t.Run(strconv.Itoa(c.size), func(t *testing.T) {
			s := Sampler{c.size, 0}.IoUBalanced(seeded(1), rois, FasterRCNNThresholds(), 3)
			checkSample(t, rois, s)
			if got := bins(s); got != c.want {
				t.Errorf("got %v per bin, want %v", got, c.want)
			}
		})
	}
	// The sampler without bins mostly draws easy RoIs.
	if got := bins(Sampler{9, 0}.Random(seeded(1), rois)); got[0] < 7 {
		t.Errorf("random: got %v per bin, want 7 or more in the lowest", got)
	}
	// IoUs out of bounds belong to the nearest bin, and the width of the bins may be 0.
	out := []RoI{{Background, 0, 0.05}, {Background, 0, 0.9}, {Background, 0, 0.6}}
	if s := (Sampler{2, 0}).IoUBalanced(seeded(1), out, FastRCNNThresholds(), 2); !slices.Contains(s.Indices, 0) {
		t.Errorf("IoUs out of bounds: got %+v, want index 0 among them", s)
	}
	if s := (Sampler{2, 0}).IoUBalanced(seeded(1), out, Thresholds{Foreground: 0.5}, 2); s.Background != 2 {
		t.Errorf("bins of width 0: got %+v, want 2 background RoIs", s)
	}
}

func TestIoUBalancedIsUniform(t *testing.T) {
	rois, rng := labeledRoIs(0, 60), seeded(5)
	counts := make([]int, 60)
	for range 4000 {
		for _, i := range (Sampler{12, 0}).IoUBalanced(rng, rois, FasterRCNNThresholds(), 3).Indices {
			counts[i]++
		}
	}
	for bin := range 3 {
		if chi := chiSquare(counts[bin*20 : bin*20+20]); chi > 43.8 || chi < 5.4*0.8 {
			t.Errorf("bin %d: got χ² = %v, want %v to 43.8: %v", bin, chi, 5.4*0.8, counts[bin*20:bin*20+20])
		}
	}
}

func TestOHEM(t *testing.T) {
	rois := []RoI{{Background, -1, 0}, {Foreground, 0, 0.8}, {Background, 0, 0.3}, {Ignore, 0, 0}, {Foreground, 0, 0.9}}
	boxes := []box.Box{
		{X0: 50, Y0: 0, X1: 60, Y1: 10},
		{X0: 0, Y0: 0, X1: 10, Y1: 10},
		{X0: 0, Y0: 0, X1: 10, Y1: 9}, // IoU 0.9 with the box before
		{X0: 90, Y0: 0, X1: 99, Y1: 10},
		{X0: 20, Y0: 0, X1: 30, Y1: 10},
	}
	losses := []float64{1, 2, 3, 99, 1}
	for _, c := range []struct {
		size int
		nms  box.NMS
		want Sample
	}{
		{4, box.NMS{}, Sample{Indices: []int32{1, 4, 0, 2}, Foreground: 2, Background: 2}},
		{2, box.NMS{}, Sample{Indices: []int32{1, 2}, Foreground: 1, Background: 1}},
		{2, OHEMNMS(), Sample{Indices: []int32{0, 2}, Background: 2}}, // 2 suppresses 1; 0 and 4 are tied
		{3, OHEMNMS(), Sample{Indices: []int32{4, 0, 2}, Foreground: 1, Background: 2}},
		{9, OHEMNMS(), Sample{Indices: []int32{4, 0, 2}, Foreground: 1, Background: 2, Missing: 6}},
		{0, OHEMNMS(), Sample{}},
	} {
		t.Run(fmt.Sprintf("%d with NMS %v", c.size, c.nms), func(t *testing.T) {
			got, err := OHEM(t.Context(), rois, boxes, losses, c.size, c.nms)
			if err != nil || !slices.Equal(got.Indices, c.want.Indices) {
				t.Errorf("got %+v, %v, want %+v", got, err, c.want)
			}
			if got.Indices = c.want.Indices; !reflect.DeepEqual(got, c.want) {
				t.Errorf("got %+v, want %+v", got, c.want)
			}
		})
	}
	if got, err := OHEM(t.Context(), nil, nil, nil, 3, OHEMNMS()); err != nil || len(got.Indices) != 0 || got.Missing != 3 {
		t.Errorf("no RoIs: got %+v, %v, want 3 missing", got, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := OHEM(ctx, rois, boxes, losses, 2, OHEMNMS()); !errors.Is(err, context.Canceled) {
		t.Errorf("canceled: got error %v, want %v", err, context.Canceled)
	}
}

// referenceOHEM is the loop of the paper: select the largest loss and drop the RoIs that overlap it.
func referenceOHEM(rois []RoI, boxes []box.Box, losses []float64, size int) (selected []int32) {
	done := make([]bool, len(rois))
	for len(selected) < size {
		best := -1
		for i, r := range rois {
			if !done[i] && r.Label != Ignore && (best < 0 || losses[i] > losses[best]) {
				best = i
			}
		}
		if best < 0 {
			break
		}
		selected = append(selected, int32(best))
		for i := range rois {
			done[i] = done[i] || i == best || boxes[best].IoU(boxes[i]) > 0.7
		}
	}
	return selected
}

func TestOHEMEqualsReference(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rois := anyRoIs().Draw(t, "rois")
		n := len(rois)
		boxes := rapid.SliceOfN(anyBox(), n, n).Draw(t, "boxes")
		losses := rapid.SliceOfN(rapid.SampledFrom([]float64{0, 0.5, 1, 2, math.Inf(1)}), n, n).Draw(t, "losses")
		size := rapid.IntRange(0, 40).Draw(t, "size")
		got, err := OHEM(context.Background(), rois, boxes, losses, size, OHEMNMS())
		if err != nil {
			t.Fatal(err)
		}
		checkSample(t, rois, got)
		want := referenceOHEM(rois, boxes, losses, size)
		if set := slices.Sorted(slices.Values(got.Indices)); !slices.Equal(set, slices.Sorted(slices.Values(want))) || got.Missing != size-len(want) {
			t.Fatalf("got %+v, want %v", got, want)
		}
	})
}

func TestHardNegatives(t *testing.T) {
	rois := []RoI{
		{Background, -1, 0},
		{Foreground, 0, 0.8},
		{Background, 0, 0.3},
		{Ignore, 0, 0},
		{Background, 0, 0},
		{Background, 0, 0},
		{Background, 0, 0},
	}
	losses := []float64{1, 0, 3, 99, 2, 2, math.Inf(1)}
	for _, c := range []struct {
		ratio float64
		want  Sample
	}{
		{3, Sample{Indices: []int32{1, 2, 4, 6}, Foreground: 1, Background: 3}},
		{2.9, Sample{Indices: []int32{1, 2, 6}, Foreground: 1, Background: 2}},
		{0, Sample{Indices: []int32{1}, Foreground: 1}},
		{8, Sample{Indices: []int32{1, 0, 2, 4, 5, 6}, Foreground: 1, Background: 5, Missing: 3}},
	} {
		if got, err := HardNegatives(rois, losses, c.ratio); err != nil || !reflect.DeepEqual(got, c.want) {
			t.Errorf("ratio %v: got %+v, %v, want %+v", c.ratio, got, err, c.want)
		}
	}
	for _, rois := range [][]RoI{nil, labeledRoIs(0, 5)} {
		if got, err := HardNegatives(rois, make([]float64, len(rois)), 3); err != nil || len(got.Indices) != 0 || got.Missing != 0 {
			t.Errorf("no foreground: got %+v, %v, want an empty sample", got, err)
		}
	}
}

func TestHardNegativesProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rois := anyRoIs().Draw(t, "rois")
		losses := rapid.SliceOfN(rapid.Float64(), len(rois), len(rois)).Draw(t, "losses")
		s, err := HardNegatives(rois, losses, 3)
		if err != nil {
			t.Fatal(err)
		}
		checkSample(t, rois, s)
		bg := withLabel(rois, Background)
		if s.Foreground != len(withLabel(rois, Foreground)) || s.Background != min(3*s.Foreground, len(bg)) || s.Missing != 3*s.Foreground-s.Background {
			t.Fatalf("wrong counts: %+v", s)
		}
		for _, selected := range s.Indices[s.Foreground:] {
			for _, i := range bg {
				if losses[i] > losses[selected] && !slices.Contains(s.Indices, i) {
					t.Fatalf("got %+v without %d, which has a larger loss than %d", s, i, selected)
				}
			}
		}
	})
}

func TestSampleErrors(t *testing.T) {
	rois, nan := labeledRoIs(1, 1), math.NaN()
	boxes := make([]box.Box, len(rois))
	losses := []float64{0, nan, nan, nan} // those of ignored RoIs do not matter
	_, err := HardNegatives(rois, losses, 3)
	if e := (*DataError)(nil); !errors.As(err, &e) || e.What != "loss" || e.Index != 1 {
		t.Errorf("HardNegatives with a loss of NaN: got error %v, want one about loss 1", err)
	}
	_, err = OHEM(t.Context(), rois, boxes, losses, 3, OHEMNMS())
	if e := (*DataError)(nil); !errors.As(err, &e) || e.What != "loss" || e.Index != 1 {
		t.Errorf("OHEM with a loss of NaN: got error %v, want one about loss 1", err)
	}
	for name, f := range map[string]func(){
		"size":       func() { Sampler{-1, 0}.Random(seeded(1), rois) },
		"fraction":   func() { Sampler{1, 1.5}.Random(seeded(1), rois) },
		"NaN":        func() { Sampler{1, nan}.Random(seeded(1), rois) },
		"bins":       func() { Sampler{1, 1}.IoUBalanced(seeded(1), rois, FastRCNNThresholds(), 0) },
		"thresholds": func() { Sampler{1, 1}.IoUBalanced(seeded(1), rois, Thresholds{}, 1) },
		"ratio":      func() { _, _ = HardNegatives(rois, losses, -1) },
		"losses":     func() { _, _ = HardNegatives(rois, losses[1:], 1) },
		"boxes":      func() { _, _ = OHEM(t.Context(), rois, boxes[1:], losses, 1, box.NMS{}) },
		"ohem size":  func() { _, _ = OHEM(t.Context(), rois, boxes, losses, -1, box.NMS{}) },
		"nms":        func() { _, _ = OHEM(t.Context(), rois, boxes, make([]float64, 4), 1, box.NMS{Threshold: 2}) },
	} {
		t.Run(name, func(t *testing.T) {
			if !panics(f) {
				t.Error("got no panic")
			}
		})
	}
}
