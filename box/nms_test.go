package box

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestParseNMS(t *testing.T) {
	for text, want := range map[string]NMS{
		"off":      {},
		"adaptive": Adaptive(),
		"0.8":      {Threshold: 0.8},
		"1":        {Threshold: 1},
		"1e-3":     {Threshold: 0.001},
	} {
		t.Run(text, func(t *testing.T) {
			if got, err := ParseNMS(text); err != nil || got != want {
				t.Errorf("got %v, %v, want %v", got, err, want)
			}
		})
	}
	for _, text := range []string{"", "Off", "on", "0", "-0.5", "1.01", "NaN", "Inf", "-Inf", "1e999", "0.8 ", "80%"} {
		_, err := ParseNMS(text)
		if err == nil || !strings.Contains(err.Error(), fmt.Sprintf("%q", text)) || !strings.Contains(err.Error(), "(0,1]") {
			t.Errorf("ParseNMS(%q): got error %v, want one with the text and the range", text, err)
		}
	}
}

func FuzzParseNMS(f *testing.F) {
	for _, seed := range []string{"off", "adaptive", "0.8", "1", "NaN", "0x1p-1", ""} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		n, err := ParseNMS(text)
		if err != nil {
			return
		}
		if err := n.Validate(); err != nil {
			t.Errorf("ParseNMS(%q): got %+v, which is invalid: %v", text, n, err)
		}
		if again, err := ParseNMS(n.String()); err != nil || again != n {
			t.Errorf("ParseNMS(%q): got %+v, %v, want %+v", n.String(), again, err, n)
		}
	})
}

func TestNMSString(t *testing.T) {
	for want, n := range map[string]NMS{
		"off":           {},
		"adaptive":      Adaptive(),
		"0.8":           {Threshold: 0.8, Decay: 1},
		"0.9*0.99>=0.3": {Threshold: 0.9, Decay: 0.99, Floor: 0.3},
	} {
		if got := n.String(); got != want {
			t.Errorf("%#v: got %q, want %q", n, got, want)
		}
	}
}

func TestNMSValidate(t *testing.T) {
	for _, n := range []NMS{{}, {Threshold: 1}, {Threshold: 0.5, Decay: 1, Floor: 0.5}, Adaptive()} {
		if err := n.Validate(); err != nil {
			t.Errorf("%+v: got error %v, want none", n, err)
		}
	}
	nan := math.NaN()
	for field, bad := range map[string][]NMS{
		"threshold": {{Threshold: -0.1}, {Threshold: 1.1}, {Threshold: nan}},
		"decay":     {{Threshold: 0.5, Decay: -1}, {Threshold: 0.5, Decay: 1.1}, {Threshold: 0.5, Decay: nan}},
		"floor":     {{Threshold: 0.5, Floor: 0.6}, {Threshold: 0.5, Floor: -1}, {Threshold: 0.5, Floor: nan}},
	} {
		for _, n := range bad {
			if err := n.Validate(); err == nil || !strings.Contains(err.Error(), field) {
				t.Errorf("%+v: got error %v, want one about the %s", n, err, field)
			}
		}
	}
}

func TestNMSKeep(t *testing.T) {
	// The IoU with the first box is 1, 1/2, 1/3, 0.
	boxes := []Box{{0, 0, 4, 2}, {0, 0, 4, 2}, {0, 0, 2, 2}, {2, 0, 6, 2}, {4, 0, 8, 2}}
	for _, c := range []struct {
		nms   NMS
		limit int
		want  []int32
	}{
		{NMS{}, 0, []int32{0, 1, 2, 3, 4}},
		{NMS{}, 2, []int32{0, 1}},
		{NMS{Threshold: 1}, 0, []int32{0, 1, 2, 3, 4}}, // nothing exceeds 1
		{NMS{Threshold: 0.9}, 0, []int32{0, 2, 3, 4}},
		{NMS{Threshold: 0.5}, 0, []int32{0, 2, 3, 4}}, // an IoU of β does not exceed it
		{NMS{Threshold: 0.49}, 0, []int32{0, 3, 4}},
		{NMS{Threshold: 0.49}, 2, []int32{0, 3}},
		{NMS{Threshold: 0.01}, 9, []int32{0, 4}},
		{NMS{Threshold: 0.9, Decay: 0.5}, 0, []int32{0, 3}},                // β is 0.45, then 0.225; box 4 has 1/3 with box 3
		{NMS{Threshold: 0.9, Decay: 0.5, Floor: 0.4}, 0, []int32{0, 3, 4}}, // β stops at 0.4
	} {
		t.Run(fmt.Sprintf("%v/limit %d", c.nms, c.limit), func(t *testing.T) {
			got, err := c.nms.Keep(t.Context(), boxes, c.limit)
			if err != nil || !slices.Equal(got, c.want) {
				t.Errorf("got %v, %v, want %v", got, err, c.want)
			}
		})
	}
}

// referenceKeep compares each box with all boxes that are kept.
func referenceKeep(n NMS, boxes []Box, limit int) []int32 {
	kept := []int32{}
	beta := n.Threshold
	for i, b := range boxes {
		if limit > 0 && len(kept) == limit {
			break
		}
		if n.Threshold != 0 && slices.ContainsFunc(kept, func(k int32) bool { return b.IoU(boxes[k]) > beta }) {
			continue
		}
		kept = append(kept, int32(i))
		if n.Decay != 0 {
			beta = max(beta*n.Decay, n.Floor)
		}
	}
	return kept
}

func TestNMSKeepEqualsReference(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		boxes := rapid.OneOf(
			rapid.SliceOfN(anyBox(20), 0, 60),
			rapid.SliceOfN(anyBox(1000), 0, 60),
			rapid.SliceOfN(anyBox(1<<29), 0, 20),
			rapid.Custom(func(t *rapid.T) []Box {
				seed := rapid.Uint64().Draw(t, "seed")
				return clustered(seed, rapid.IntRange(1, 400).Draw(t, "n"), 300, 200)
			}),
		).Draw(t, "boxes")
		n := NMS{Threshold: rapid.OneOf(rapid.Float64Range(0, 1), rapid.Just(0.5), rapid.Just(1.0)).Draw(t, "threshold")}
		if rapid.Bool().Draw(t, "adaptive") {
			n.Decay = rapid.Float64Range(0.5, 1).Draw(t, "decay")
			n.Floor = rapid.Float64Range(0, n.Threshold).Draw(t, "floor")
		}
		limit := rapid.IntRange(0, 30).Draw(t, "limit")
		got, err := n.Keep(context.Background(), boxes, limit)
		if want := referenceKeep(n, boxes, limit); err != nil || !slices.Equal(got, want) {
			t.Fatalf("%v: got %v, %v, want %v", n, got, err, want)
		}
	})
}

func TestNMSKeepOfManyBoxesEqualsReference(t *testing.T) {
	boxes := clustered(7, 6000, 640, 480)
	for _, n := range []NMS{{Threshold: 0.3}, {Threshold: 0.7}, {Threshold: 0.8}, {Threshold: 0.95}, {Threshold: 1}, Adaptive()} {
		got, err := n.Keep(t.Context(), boxes, 0)
		if want := referenceKeep(n, boxes, 0); err != nil || !slices.Equal(got, want) {
			t.Errorf("%v: got %d boxes, %v, want %d", n, len(got), err, len(want))
		}
	}
}

func TestNMSKeepIsCanceled(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for _, n := range []NMS{{}, {Threshold: 0.5}} {
		if kept, err := n.Keep(ctx, clustered(1, 10, 64, 64), 0); !errors.Is(err, context.Canceled) {
			t.Errorf("%v: got %v, %v, want %v", n, kept, err, context.Canceled)
		}
	}
}

// clustered draws boxes like those of a search: of all sizes, in clusters of similar boxes.
func clustered(seed uint64, n, width, height int) []Box {
	rng := rand.New(rand.NewPCG(seed, 1))
	boxes := make([]Box, 0, n)
	for len(boxes) < n {
		w := math.Exp(rng.Float64() * math.Log(float64(width)))
		h := math.Exp(rng.Float64() * math.Log(float64(height)))
		x, y := rng.Float64()*(float64(width)-w), rng.Float64()*(float64(height)-h)
		for range 1 + rng.IntN(8) {
			jitter := func(v, size float64) int32 { return int32(v + rng.NormFloat64()*size*0.1) }
			b := Box{jitter(x, w), jitter(y, h), jitter(x+w, w), jitter(y+h, h)}
			b = b.Intersect(Box{0, 0, int32(width), int32(height)})
			if !b.Empty() && len(boxes) < n {
				boxes = append(boxes, b)
			}
		}
	}
	rng.Shuffle(n, func(i, j int) { boxes[i], boxes[j] = boxes[j], boxes[i] })
	return boxes
}

func BenchmarkNMSKeep(b *testing.B) {
	boxes := clustered(1, 30000, 640, 480)
	for _, n := range []NMS{{Threshold: 0.5}, {Threshold: 0.7}, {Threshold: 0.8}, {Threshold: 0.9}, Adaptive()} {
		b.Run(n.String(), func(b *testing.B) {
			var kept []int32
			for b.Loop() {
				kept, _ = n.Keep(b.Context(), boxes, 0)
			}
			b.ReportMetric(float64(len(kept)), "kept")
		})
	}
}
