package rois

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"math"
	"reflect"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/proposer/proposer/box"
	"github.com/proposer/proposer/imbalance"
)

// side is the side of the images of drawn boxes.
const side = 60

func drawBox(t *rapid.T) box.Box {
	x, y := rapid.Int32Range(0, side-1).Draw(t, "x"), rapid.Int32Range(0, side-1).Draw(t, "y")
	return box.Box{X0: x, Y0: y, X1: rapid.Int32Range(x+1, side).Draw(t, "x1"), Y1: rapid.Int32Range(y+1, side).Draw(t, "y1")}
}

func drawGroundTruth(t *rapid.T) GroundTruth {
	n := rapid.IntRange(0, 5).Draw(t, "objects")
	groundTruth := GroundTruth{Boxes: make([]box.Box, n)}
	for i := range groundTruth.Boxes {
		groundTruth.Boxes[i] = drawBox(t)
	}
	if rapid.Bool().Draw(t, "classes") {
		groundTruth.Classes = rapid.SliceOfN(rapid.IntRange(0, 9), n, n).Draw(t, "classes")
	}
	if rapid.Bool().Draw(t, "crowd") {
		groundTruth.Crowd = rapid.SliceOfN(rapid.Bool(), n, n).Draw(t, "crowd")
	}
	return groundTruth
}

// drawProposals draws boxes, about half of them close to the ground truth.
func drawProposals(t *rapid.T, groundTruth []box.Box) []box.Box {
	proposals := make([]box.Box, rapid.IntRange(0, 60).Draw(t, "proposals"))
	for i := range proposals {
		if len(groundTruth) == 0 || rapid.Bool().Draw(t, "anywhere") {
			proposals[i] = drawBox(t)
			continue
		}
		b := rapid.SampledFrom(groundTruth).Draw(t, "near")
		j := rapid.Int32Range(-3, 3)
		b = box.Box{X0: b.X0 + j.Draw(t, "x0"), Y0: b.Y0 + j.Draw(t, "y0"), X1: b.X1 + j.Draw(t, "x1"), Y1: b.Y1 + j.Draw(t, "y1")}
		proposals[i] = b.Intersect(box.Box{X1: side, Y1: side})
	}
	return proposals
}

func drawOptions(t *rapid.T) Options {
	o := Sampler(rapid.IntRange(0, len(samplers)-1).Draw(t, "sampler")).Options()
	if rapid.Bool().Draw(t, "small") {
		o.Size = rapid.IntRange(1, 40).Draw(t, "size")
		o.Foreground = rapid.Float64Range(0, 1).Draw(t, "foreground")
	}
	o.Seed = rapid.Uint64().Draw(t, "seed")
	o.AppendGroundTruth = rapid.Bool().Draw(t, "append ground truth")
	o.Weights = rapid.SampledFrom([]DeltaWeights{{}, {1, 1, 1, 1}, Detectron2Weights}).Draw(t, "weights")
	return o
}

// TestSample checks one object, one crowd and a RoI of each kind against numbers calculated by hand.
func TestSample(t *testing.T) {
	groundTruth := GroundTruth{
		Boxes:   []box.Box{{X0: 0, Y0: 50, X1: 100, Y1: 100}, {X0: 10, Y0: 10, X1: 30, Y1: 30}},
		Classes: []int{7, 3},
		Crowd:   []bool{true, false},
	}
	proposals := []box.Box{
		{X0: 60, Y0: 0, X1: 80, Y1: 20},   // far from all: ignored
		{X0: 10, Y0: 20, X1: 30, Y1: 40},  // IoU 200/600: background
		{X0: 10, Y0: 10, X1: 30, Y1: 20},  // IoU 200/400: foreground
		{X0: 0, Y0: 50, X1: 100, Y1: 100}, // the crowd itself: ignored
		{X0: 10, Y0: 10, X1: 20, Y1: 20},  // IoU 100/400: background
		{X0: 50, Y0: 60, X1: 60, Y1: 70},  // in the crowd: ignored
	}
	o := DefaultOptions()
	o.Size, o.Foreground, o.Weights = 8, 0.5, Detectron2Weights
	want := &Minibatch{
		Options:           o,
		Boxes:             []box.Box{proposals[2], groundTruth.Boxes[1], proposals[1], proposals[4]},
		Indices:           []int32{2, 6, 1, 4},
		Labels:            []imbalance.Label{1, 1, 0, 0},
		Classes:           []int{3, 3, -1, -1},
		Matches:           []int{1, 1, -1, -1},
		IoUs:              []float64{0.5, 1, 1.0 / 3, 0.25},
		Deltas:            []*Delta{{0, 5, 0, 3.4657359027997265}, {}, nil, nil}, // 10·(20−15)/10, 5·log(20/10)
		Foreground:        2,
		Background:        2,
		MissingForeground: 2,
		Missing:           4,
		Ratio:             1,
		Alpha:             0.5,
		Pool:              Pool{2, 2, 3, 0.5},
	}
	got, err := Sample(t.Context(), proposals, groundTruth, o)
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, %v\nwant %+v", got, err, want)
	}

	// Without appended ground truth and without classes; all boxes outside the crowd count.
	o.Sampler = Detectron2
	o.AppendGroundTruth = false
	groundTruth.Classes = nil
	got, err = Sample(t.Context(), proposals, groundTruth, o)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(got.Indices, []int32{2, 0, 1, 4}) || got.Classes != nil || got.Pool.Ignored != 2 || got.Ratio != 3 ||
		math.Abs(got.Alpha-0.75) > 1e-9 || math.Abs(got.Pool.Alpha-0.75) > 1e-9 || got.IoUs[1] != 0 || got.Matches[1] != -1 {
		t.Errorf("got %+v, want RoIs 2, 0, 1 and 4, no classes, 2 ignored, ratio 3 and α 0.75", got)
	}
}

// TestSampleCounts draws from a pool that is large enough for each sampler.
func TestSampleCounts(t *testing.T) {
	groundTruth := GroundTruth{Boxes: []box.Box{{X0: 100, Y0: 100, X1: 200, Y1: 200}}}
	var proposals []box.Box
	for i := range int32(300) {
		proposals = append(proposals,
			box.Box{X0: 100, Y0: 100, X1: 200, Y1: 201 + i%90},        // foreground
			box.Box{X0: 100, Y0: 100, X1: 120 + i%29, Y1: 200},        // background, from 0.2
			box.Box{X0: 150, Y0: 100 + i%50, X1: 250, Y1: 200 + i%50}, // background, below 1/3
			box.Box{X0: 300, Y0: 300, X1: 400 + i%7, Y1: 400},         // background, 0
			box.Box{X0: 190, Y0: 190 + i%10, X1: 290, Y1: 290},        // background, below 0.01
		)
	}
	for _, s := range []Sampler{FastRCNN, Detectron2, IoUBalanced} {
		t.Run(s.String(), func(t *testing.T) {
			o := s.Options()
			m, err := Sample(t.Context(), proposals, groundTruth, o)
			if err != nil || m.Foreground != o.Size/4 || m.Background != o.Size*3/4 || m.Missing+m.MissingForeground != 0 || m.Ratio != 3 {
				t.Fatalf("got %+v, %v; want a quarter of %d RoIs as foreground", m, err, o.Size)
			}
			bins := [3]int{}
			for _, iou := range m.IoUs[m.Foreground:] {
				bins[int(iou*6)]++
			}
			if want := [3]int{128, 128, 128}; s == IoUBalanced && bins != want {
				t.Errorf("background by IoU: got %v, want %v", bins, want)
			}
			if s == Detectron2 && bins[0] < 160 { // half of the pool is in the first bin
				t.Errorf("background by IoU: got %v, want 160 or more in the first bin", bins)
			}
			want := float64(m.Pool.Background) / float64(m.Pool.Foreground+m.Pool.Background)
			if m.Pool.Foreground != 301 || math.Abs(m.Pool.Alpha-want) > 1e-9 || math.Abs(m.Alpha-0.75) > 1e-9 {
				t.Errorf("got α %v and pool %+v; want 0.75, 301 foreground and α %v", m.Alpha, m.Pool, want)
			}
		})
	}
}

func TestSampleSmallPools(t *testing.T) {
	b := box.Box{X0: 0, Y0: 0, X1: 10, Y1: 10}
	for _, c := range []struct {
		name        string
		sampler     Sampler
		proposals   []box.Box
		groundTruth GroundTruth
		fg, bg      int
		pool        Pool
		ratio       float64
	}{
		{"nothing", FastRCNN, nil, GroundTruth{}, 0, 0, Pool{0, 0, 0, 0.5}, math.Inf(1)},
		{"no objects", FastRCNN, []box.Box{b}, GroundTruth{}, 0, 0, Pool{0, 0, 1, 0.5}, math.Inf(1)},
		{"no objects, all background", Detectron2, []box.Box{b}, GroundTruth{}, 0, 1, Pool{0, 1, 0, 0.5}, math.Inf(1)},
		{"no proposals", FastRCNN, nil, GroundTruth{Boxes: []box.Box{b}}, 1, 0, Pool{1, 0, 0, 0.5}, 0},
		{"only a crowd", Detectron2, []box.Box{b}, GroundTruth{Boxes: []box.Box{b}, Crowd: []bool{true}}, 0, 0, Pool{0, 0, 1, 0.5}, math.Inf(1)},
		{"proposed and annotated twice", Detectron2, []box.Box{b}, GroundTruth{Boxes: []box.Box{b, b}}, 1, 0, Pool{1, 0, 0, 0.5}, 0},
		{"annotated twice", Detectron2, nil, GroundTruth{Boxes: []box.Box{b, b}}, 1, 0, Pool{1, 0, 0, 0.5}, 0},
		{"empty object", Detectron2, nil, GroundTruth{Boxes: []box.Box{{}}}, 0, 0, Pool{0, 0, 1, 0.5}, math.Inf(1)},
	} {
		t.Run(c.name, func(t *testing.T) {
			m, err := Sample(t.Context(), c.proposals, c.groundTruth, c.sampler.Options())
			if err != nil || m.Foreground != c.fg || m.Background != c.bg || m.Pool != c.pool || m.Ratio != c.ratio || m.Alpha != 0.5 {
				t.Errorf("got %+v, %v; want %d foreground and %d background of %+v", m, err, c.fg, c.bg, c.pool)
			}
			text := m.AppendJSON(nil, "", 10, 10)
			if !json.Valid(text) || c.fg == 0 != bytes.Contains(text, []byte(`"ratio":null`)) || bytes.Contains(text, []byte(`s":null`)) {
				t.Errorf("AppendJSON: got %s", text)
			}
		})
	}
}

func TestSampleProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		groundTruth := drawGroundTruth(t)
		proposals := drawProposals(t, groundTruth.Boxes)
		o := drawOptions(t)
		before := slices.Clone(proposals)
		m, err := Sample(context.Background(), proposals, groundTruth, o)
		if err != nil {
			t.Fatal(err)
		}
		if again, err := Sample(context.Background(), proposals, groundTruth, o); err != nil || !reflect.DeepEqual(again, m) {
			t.Fatalf("got %+v, then %+v", m, again)
		}
		if !slices.Equal(proposals, before) {
			t.Fatal("the proposals were modified")
		}

		// The counts add up.
		n := len(m.Boxes)
		for what, length := range map[string]int{
			"indices": len(m.Indices), "labels": len(m.Labels), "matches": len(m.Matches), "IoUs": len(m.IoUs), "deltas": len(m.Deltas),
			"foreground and background": m.Foreground + m.Background, "RoIs that are not missing": o.Size - m.Missing,
		} {
			if length != n {
				t.Fatalf("%d %s for %d RoIs", length, what, n)
			}
		}
		if (m.Classes != nil) != (groundTruth.Classes != nil) || m.Classes != nil && len(m.Classes) != n {
			t.Fatalf("%d classes for %d RoIs", len(m.Classes), n)
		}
		maxForeground := int(math.Round(float64(o.Size) * o.Foreground))
		pooled := m.Pool.Foreground + m.Pool.Background + m.Pool.Ignored
		if m.Foreground != min(maxForeground, m.Pool.Foreground) || m.MissingForeground != maxForeground-m.Foreground ||
			m.Background != min(o.Size-m.Foreground, m.Pool.Background) ||
			pooled < len(proposals) || pooled > len(proposals)+len(groundTruth.Boxes) || !o.AppendGroundTruth && pooled != len(proposals) {
			t.Fatalf("wrong counts in %+v of %d proposals", m, len(proposals))
		}
		if m.Foreground > 0 && m.Ratio != float64(m.Background)/float64(m.Foreground) || m.Foreground == 0 && !math.IsInf(m.Ratio, 1) {
			t.Fatalf("wrong ratio in %+v", m)
		}
		// α gives both labels the same total weight.
		for _, c := range []struct {
			alpha  float64
			fg, bg int
		}{{m.Alpha, m.Foreground, m.Background}, {m.Pool.Alpha, m.Pool.Foreground, m.Pool.Background}} {
			a := imbalance.Balanced(c.alpha)
			if c.fg > 0 && c.bg > 0 && math.Abs(a.Positive*float64(c.fg)-a.Negative*float64(c.bg)) > 1e-9 ||
				(c.fg == 0 || c.bg == 0) && c.alpha != 0.5 {
				t.Fatalf("α = %v for %d foreground and %d background", c.alpha, c.fg, c.bg)
			}
		}

		// Each RoI has the right label, match, class and delta.
		th := o.Sampler.Thresholds()
		seen := map[int32]bool{}
		for k, i := range m.Indices {
			b := m.Boxes[k]
			if seen[i] {
				t.Fatalf("RoI %d is a duplicate", i)
			}
			seen[i] = true
			if int(i) < len(proposals) && proposals[i] != b || int(i) >= pooled ||
				int(i) >= len(proposals) && (slices.Contains(proposals, b) || !slices.Contains(groundTruth.Boxes, b)) {
				t.Fatalf("RoI %d is %v, which is not in the pool at that index", i, b)
			}
			best, match, crowded := 0.0, -1, false
			for j, c := range groundTruth.Boxes {
				if groundTruth.Crowd != nil && groundTruth.Crowd[j] {
					crowded = crowded || 2*b.Intersect(c).Area() >= b.Area()
				} else if iou := b.IoU(c); iou > best {
					best, match = iou, j
				}
			}
			if m.IoUs[k] != best {
				t.Fatalf("%v: IoU %v, want %v", b, m.IoUs[k], best)
			}
			if k >= m.Foreground {
				if m.Labels[k] != imbalance.Background || best < th.Background[0] || best >= th.Background[1] || crowded ||
					m.Matches[k] != -1 || m.Deltas[k] != nil || m.Classes != nil && m.Classes[k] != -1 {
					t.Fatalf("%v is wrong as RoI %d of %+v", b, k, m)
				}
				continue
			}
			if m.Labels[k] != imbalance.Foreground || best < th.Foreground || m.Matches[k] != match ||
				m.Classes != nil && m.Classes[k] != groundTruth.Classes[match] || referenceDecode(o.Weights, b, *m.Deltas[k]) != groundTruth.Boxes[match] {
				t.Fatalf("%v is wrong as RoI %d of %+v", b, k, m)
			}
		}
	})
}

func TestSampleDependsOnSeed(t *testing.T) {
	groundTruth := GroundTruth{Boxes: []box.Box{{X0: 0, Y0: 0, X1: 5, Y1: 5}}}
	var proposals []box.Box
	for i := range int32(1000) {
		proposals = append(proposals, box.Box{X0: 10, Y0: i, X1: 20, Y1: i + 10})
	}
	o := Detectron2.Options()
	one, err1 := Sample(t.Context(), proposals, groundTruth, o)
	o.Seed = 2
	two, err2 := Sample(t.Context(), proposals, groundTruth, o)
	if err1 != nil || err2 != nil || slices.Equal(one.Indices, two.Indices) {
		t.Errorf("seeds 1 and 2 give equal samples (errors %v, %v)", err1, err2)
	}
}

func TestSampleCanceled(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if m, err := Sample(ctx, make([]box.Box, 10), GroundTruth{}, DefaultOptions()); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, %v; want %v", m, err, context.Canceled)
	}
}

func TestSamplePanics(t *testing.T) {
	boxes := make([]box.Box, 2)
	for name, f := range map[string]func(){
		"options": func() { _, _ = Sample(t.Context(), nil, GroundTruth{}, Options{}) },
		"classes": func() {
			_, _ = Sample(t.Context(), nil, GroundTruth{Boxes: boxes, Classes: []int{1}}, DefaultOptions())
		},
		"crowd": func() { _, _ = Sample(t.Context(), nil, GroundTruth{Boxes: boxes, Crowd: []bool{}}, DefaultOptions()) },
	} {
		t.Run(name, func(t *testing.T) {
			defer func() {
				if recover() == nil {
					t.Error("got no panic")
				}
			}()
			f()
		})
	}
}

func TestAppendJSON(t *testing.T) {
	groundTruth := GroundTruth{Boxes: []box.Box{{X0: 10, Y0: 10, X1: 30, Y1: 30}}, Classes: []int{3}}
	proposals := []box.Box{
		{X0: 10, Y0: 10, X1: 30, Y1: 20},
		{X0: 10, Y0: 10, X1: 20, Y1: 20},
		{X0: 10, Y0: 20, X1: 30, Y1: 40},
		{X0: 0, Y0: 40, X1: 9, Y1: 49},
	}
	o := Detectron2.Options()
	o.Size, o.Seed, o.AppendGroundTruth = 16, 1<<63+1, false
	m, err := Sample(t.Context(), proposals, groundTruth, o)
	if err != nil {
		t.Fatal(err)
	}
	want := `before {"file":"a & b\ufffd.jpg","width":640,"height":480,"sampler":"detectron2","seed":9223372036854775809,` +
		`"rois":[[10,10,30,20],[10,10,20,20],[10,20,30,40],[0,40,9,49]],"labels":[1,0,0,0],"classes":[3,-1,-1,-1],` +
		`"truth":[0,-1,-1,-1],"ious":[0.5,0.25,0.3333333333333333,0],"deltas":[[0,0.5,0,0.6931472],null,null,null],` +
		`"foreground":1,"background":3,"missing_foreground":3,"missing":12,"ratio":3,"alpha":0.75,` +
		`"pool":{"foreground":1,"background":3,"ignored":0}}`
	if got := string(m.AppendJSON([]byte("before "), "a & b\xff.jpg", 640, 480)); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

// TestAppendJSONRoundTrip decodes the object with exactly the documented keys.
func TestAppendJSONRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		groundTruth, o := drawGroundTruth(t), drawOptions(t)
		m, err := Sample(context.Background(), drawProposals(t, groundTruth.Boxes), groundTruth, o)
		if err != nil {
			t.Fatal(err)
		}
		text := m.AppendJSON(nil, "x.png", side, side)
		var got struct {
			File                   string
			Width, Height          int
			Sampler                string
			Seed                   uint64
			RoIs                   []box.Box
			Labels                 []imbalance.Label
			Classes                []int
			Truth                  []int
			IoUs                   []float64
			Deltas                 [][]float64
			Foreground, Background int
			MissingForeground      *int `json:"missing_foreground"`
			Missing                *int
			Ratio                  *float64
			Alpha                  float64
			Pool                   map[string]int
		}
		d := json.NewDecoder(strings.NewReader(string(text)))
		d.DisallowUnknownFields()
		if err := d.Decode(&got); err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		if got.File != "x.png" || got.Width != side || got.Height != side || got.Sampler != o.Sampler.String() || got.Seed != o.Seed ||
			!reflect.DeepEqual(got.RoIs, m.Boxes) || !reflect.DeepEqual(got.Labels, m.Labels) || !reflect.DeepEqual(got.Classes, m.Classes) ||
			!reflect.DeepEqual(got.Truth, m.Matches) || !reflect.DeepEqual(got.IoUs, m.IoUs) || len(got.Deltas) != len(m.Deltas) ||
			got.Foreground != m.Foreground || got.Background != m.Background || *got.MissingForeground != m.MissingForeground || *got.Missing != m.Missing ||
			(got.Ratio == nil) != (m.Foreground == 0) || got.Ratio != nil && *got.Ratio != m.Ratio || math.Abs(got.Alpha-m.Alpha) > 1e-7 ||
			!reflect.DeepEqual(got.Pool, map[string]int{"foreground": m.Pool.Foreground, "background": m.Pool.Background, "ignored": m.Pool.Ignored}) {
			t.Fatalf("got %s of %+v", text, m)
		}
		for i, d := range m.Deltas {
			if (d == nil) != (got.Deltas[i] == nil) {
				t.Fatalf("got %s of %+v", text, m)
			}
			for j := range got.Deltas[i] {
				if len(got.Deltas[i]) != 4 || float32(got.Deltas[i][j]) != float32(d[j]) {
					t.Fatalf("got %s of %+v", text, m)
				}
			}
		}
	})
}
