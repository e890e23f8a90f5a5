package rois

import (
	"encoding/json"
	"reflect"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/proposer/proposer/box"
	"github.com/proposer/proposer/dataset"
)

func TestClasses(t *testing.T) {
	d := &dataset.Dataset{Images: []dataset.Image{
		{Objects: []dataset.Object{{Class: "dog"}, {Class: "Ant"}, {Class: "dog"}}},
		{},
		{Objects: []dataset.Object{{Class: "bee", Difficult: true}, {Class: "ant"}, {Class: ""}}},
	}}
	if got, want := Classes(d), []string{"", "Ant", "ant", "bee", "dog"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	if got := Classes(&dataset.Dataset{}); len(got) > 0 {
		t.Errorf("classes of an empty data set: got %q, want none", got)
	}
}

func TestGroundTruthOf(t *testing.T) {
	classes := map[string]int{"ant": 0, "bee": 1}
	img := &dataset.Image{File: "a.jpg", Width: 640, Objects: []dataset.Object{
		{X0: 10.4, Y0: 0.5, X1: 20.5, Y1: 30.49, Class: "bee"},
		{X0: 1, Y0: 1, X1: 1, Y1: 9, Class: "ant"},                        // empty
		{X0: 1.6, Y0: 1, X1: 2.4, Y1: 9, Class: "ant"},                    // empty when rounded
		{X0: -0.4, Y0: -7, X1: 640.4, Y1: 2e9, Class: "ant"},              // clipped to the image
		{X0: 640, Y0: 0, X1: 650, Y1: 9, Class: "ant"},                    // outside
		{X0: -9, Y0: 0, X1: -2, Y1: 9, Class: "ant"},                      // outside
		{X0: 5, Y0: 470, X1: 6, Y1: 480, Class: "ant", Difficult: true},   // at the edge
		{X0: 5, Y0: 479.6, X1: 6, Y1: 480, Class: "ant", Difficult: true}, // empty when rounded
	}}
	want := GroundTruth{
		Boxes:   []box.Box{{X0: 10, Y0: 1, X1: 21, Y1: 30}, {X0: 0, Y0: 0, X1: 640, Y1: 480}, {X0: 5, Y0: 470, X1: 6, Y1: 480}},
		Classes: []int{1, 0, 0},
		Crowd:   []bool{false, false, true},
	}
	if got := GroundTruthOf(img.Objects, 640, 480, classes); !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
	none := GroundTruth{[]box.Box{}, []int{}, []bool{}}
	if got := GroundTruthOf(nil, 1, 1, nil); !reflect.DeepEqual(got, none) {
		t.Errorf("got %+v, want slices that are not nil", got)
	}
}

func TestGroundTruthOfUnknownClassPanics(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("got no panic for an unknown class")
		}
	}()
	img := &dataset.Image{Objects: []dataset.Object{{Class: "cow"}}}
	GroundTruthOf(img.Objects, 9, 9, map[string]int{"ant": 0, "bee": 1})
}

// TestGroundTruthOfMatchesParse checks that a ground truth that ParseGroundTruth accepts equals that of
// a data set, and that it accepts every ground truth of a data set.
func TestGroundTruthOfMatchesParse(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		number := rapid.OneOf(rapid.Float64Range(-2, side+2), rapid.Float64Range(-1e10, 1e10), rapid.SampledFrom([]float64{-0.5, 0, 0.5, side - 0.5, side, side + 0.5}))
		o := dataset.Object{X0: number.Draw(t, "x0"), Y0: number.Draw(t, "y0"), X1: number.Draw(t, "x1"), Y1: number.Draw(t, "y1")}
		got := GroundTruthOf([]dataset.Object{o}, side, side, map[string]int{"": 0})
		text, err := json.Marshal(map[string]any{"boxes": [][]float64{{o.X0, o.Y0, o.X1, o.Y1}}})
		if err != nil {
			t.Fatal(err)
		}
		if parsed, err := ParseGroundTruth(text, side, side, 0); err == nil && !slices.Equal(parsed.Boxes, got.Boxes) {
			t.Fatalf("%s: parsed %v, from a data set %v", text, parsed.Boxes, got.Boxes)
		}
		if text, err = json.Marshal(jsonForm(got)); err != nil {
			t.Fatal(err)
		}
		if again, err := ParseGroundTruth(text, side, side, 0); err != nil || !reflect.DeepEqual(again, got) {
			t.Fatalf("ParseGroundTruth(%s) = %+v, %v; want %+v", text, again, err, got)
		}
	})
}
