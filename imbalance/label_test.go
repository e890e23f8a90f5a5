package imbalance

import (
	"context"
	"errors"
	"math"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/proposer/proposer/box"
)

func TestLabel(t *testing.T) {
	objects := []box.Box{{X0: 0, Y0: 0, X1: 10, Y1: 10}, {X0: 20, Y0: 0, X1: 30, Y1: 10}}
	crowd := []box.Box{{X0: 0, Y0: 50, X1: 100, Y1: 100}}
	for _, c := range []struct {
		name string
		roi  box.Box
		fast RoI   // with FastRCNNThresholds
		all  Label // with FasterRCNNThresholds
	}{
		{"the object", objects[1], RoI{Foreground, 1, 1}, Foreground},
		{"half of the object", box.Box{X0: 0, Y0: 0, X1: 5, Y1: 10}, RoI{Foreground, 0, 0.5}, Foreground},
		{"a tenth of the object", box.Box{X0: 0, Y0: 0, X1: 1, Y1: 10}, RoI{Background, 0, 0.1}, Background},
		{"less than a tenth", box.Box{X0: 0, Y0: 0, X1: 1, Y1: 9}, RoI{Ignore, 0, 0.09}, Background},
		{"no object", box.Box{X0: 40, Y0: 0, X1: 50, Y1: 10}, RoI{Ignore, -1, 0}, Background},
		{"tie of two objects", box.Box{X0: 0, Y0: 0, X1: 30, Y1: 10}, RoI{Background, 0, 100.0 / 300}, Background},
		{"empty", box.Box{X0: 5, Y0: 5, X1: 5, Y1: 9}, RoI{Ignore, -1, 0}, Ignore},
		{"half in a crowd", box.Box{X0: 40, Y0: 45, X1: 50, Y1: 55}, RoI{Ignore, -1, 0}, Ignore},
		{"less than half in a crowd", box.Box{X0: 40, Y0: 44, X1: 50, Y1: 54}, RoI{Ignore, -1, 0}, Background},
	} {
		t.Run(c.name, func(t *testing.T) {
			rois := []box.Box{c.roi}
			fast, err := FastRCNNThresholds().Label(t.Context(), rois, objects, crowd)
			if err != nil || fast[0] != c.fast {
				t.Errorf("FastRCNNThresholds: got %+v, %v, want %+v", fast, err, c.fast)
			}
			all, err := FasterRCNNThresholds().Label(t.Context(), rois, objects, crowd)
			if err != nil || all[0].Label != c.all {
				t.Errorf("FasterRCNNThresholds: got %+v, %v, want label %d", all, err, c.all)
			}
		})
	}
	// Foreground in a crowd is not ignored. A threshold of 0 ignores nothing.
	inside := []box.Box{{X0: 0, Y0: 60, X1: 10, Y1: 70}, {X0: 50, Y0: 60, X1: 60, Y1: 70}}
	for threshold, want := range map[float64]Label{0: Background, 0.5: Ignore, 1: Ignore} {
		th := FasterRCNNThresholds()
		th.Crowd = threshold
		got, err := th.Label(t.Context(), inside, inside[:1], crowd)
		if err != nil || got[0].Label != Foreground || got[1].Label != want {
			t.Errorf("crowd threshold %v: got %+v, %v, want label %d for the second", threshold, got, err, want)
		}
	}
	for _, rois := range [][]box.Box{nil, {{X1: 1, Y1: 1}}} {
		got, err := FasterRCNNThresholds().Label(t.Context(), rois, nil, nil)
		if err != nil || len(got) != len(rois) || len(got) > 0 && got[0].Label != Background {
			t.Errorf("no objects: got %+v, %v, want background", got, err)
		}
	}
}

func anyBox() *rapid.Generator[box.Box] {
	return rapid.Custom(func(t *rapid.T) box.Box {
		c, side := rapid.Int32Range(0, 30), rapid.Int32Range(0, 20)
		x, y := c.Draw(t, "x"), c.Draw(t, "y")
		return box.Box{X0: x, Y0: y, X1: x + side.Draw(t, "width"), Y1: y + side.Draw(t, "height")}
	})
}

func TestLabelProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		boxes := rapid.SliceOfN(anyBox(), 0, 20)
		rois, objects, crowd := boxes.Draw(t, "rois"), boxes.Draw(t, "objects"), boxes.Draw(t, "crowd")
		th := rapid.SampledFrom([]Thresholds{
			FastRCNNThresholds(), FasterRCNNThresholds(), {Foreground: 0.7, Background: [2]float64{0, 0.3}},
		}).Draw(t, "thresholds")
		got, err := th.Label(context.Background(), rois, objects, crowd)
		if err != nil {
			t.Fatal(err)
		}
		for i, r := range got {
			best := 0.0
			for _, b := range objects {
				best = max(best, rois[i].IoU(b))
			}
			if r.IoU != best || best > 0 && rois[i].IoU(objects[r.GroundTruth]) != best || best == 0 && r.GroundTruth != -1 {
				t.Fatalf("%v: got %+v, want IoU %v", rois[i], r, best)
			}
			if (r.Label == Foreground) != (best >= th.Foreground) {
				t.Fatalf("%v: got %+v with thresholds %+v", rois[i], r, th)
			}
			if r.Label == Background && (best < th.Background[0] || best >= th.Background[1]) {
				t.Fatalf("%v: got %+v with thresholds %+v", rois[i], r, th)
			}
		}
	})
}

func TestThresholdsValidate(t *testing.T) {
	nan := math.NaN()
	for _, th := range []Thresholds{FastRCNNThresholds(), FasterRCNNThresholds(), {Foreground: 1}} {
		if err := th.Validate(); err != nil {
			t.Errorf("%+v: got error %v, want none", th, err)
		}
	}
	for field, bad := range map[string][]Thresholds{
		"foreground": {{}, {Foreground: 1.1}, {Foreground: nan}},
		"background": {
			{Foreground: 0.5, Background: [2]float64{0, 0.6}},
			{Foreground: 0.5, Background: [2]float64{0.3, 0.2}},
			{Foreground: 0.5, Background: [2]float64{-0.1, 0.2}},
			{Foreground: 0.5, Background: [2]float64{nan, nan}},
		},
		"crowd": {{Foreground: 0.5, Crowd: -1}, {Foreground: 0.5, Crowd: 2}, {Foreground: 0.5, Crowd: nan}},
	} {
		for _, th := range bad {
			if err := th.Validate(); err == nil || !strings.Contains(err.Error(), field) {
				t.Errorf("%+v: got error %v, want one about %s", th, err, field)
			}
			if !panics(func() { _, _ = th.Label(context.Background(), nil, nil, nil) }) {
				t.Errorf("%+v: got no panic", th)
			}
		}
	}
}

func TestLabelIsCanceled(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := FastRCNNThresholds().Label(ctx, slices.Repeat([]box.Box{{}}, 3), nil, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("got error %v, want %v", err, context.Canceled)
	}
}
