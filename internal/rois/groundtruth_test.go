package rois

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/proposer/proposer/box"
)

func TestParseTruth(t *testing.T) {
	for text, want := range map[string]GroundTruth{
		`{"boxes":[]}`:              {Boxes: []box.Box{}},
		`{"boxes":[[0,0,640,480]]}`: {Boxes: []box.Box{{X0: 0, Y0: 0, X1: 640, Y1: 480}}},
		` { "crowd" : [ true, false ] , "classes":[0,2147483647],"boxes":[[1,2,3,4],[5,6,7,8]] } `: {
			Boxes:   []box.Box{{X0: 1, Y0: 2, X1: 3, Y1: 4}, {X0: 5, Y0: 6, X1: 7, Y1: 8}},
			Classes: []int{0, 2147483647}, Crowd: []bool{true, false},
		},
		`{"boxes":[],"classes":[],"crowd":[]}`: {Boxes: []box.Box{}, Classes: []int{}, Crowd: []bool{}},
		// Fractions go to the nearest pixel, also where that is the picture's edge.
		`{"boxes":[[-0.4,0.5,639.6,480.49],[1e1,1.2e1,12.49,1.35E1]]}`: {
			Boxes: []box.Box{{X0: 0, Y0: 1, X1: 640, Y1: 480}, {X0: 10, Y0: 12, X1: 12, Y1: 14}},
		},
	} {
		if got, err := ParseGroundTruth([]byte(text), 640, 480, 2); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s reads as %+v, %v; want %+v", text, got, err, want)
		}
	}
}

func TestParseTruthErrors(t *testing.T) {
	inside := "0 ≤ x0 < x1 ≤ 640 and 0 ≤ y0 < y1 ≤ 480, in whole pixels"
	for text, want := range map[string]GroundTruthError{
		``:                                             {"truth", "byte 0: unexpected end of JSON input", "JSON, " + wantTruth},
		`{"boxes":[[1,2,3,4]}`:                         {"truth", "byte 20: invalid character '}' after array element", "JSON, " + wantTruth},
		`{"boxes":[]} x`:                               {"truth", "byte 14: invalid character 'x' after top-level value", "JSON, " + wantTruth},
		`{"boxes":[[NaN,0,1,1]]}`:                      {"truth", "byte 12: invalid character 'N' looking for beginning of value", "JSON, " + wantTruth},
		`null`:                                         {"truth", "null", wantTruth},
		`[[1,2,3,4]]`:                                  {"truth", "[", wantTruth},
		`{}`:                                           {"truth.boxes", "", wantBoxes},
		`{"boxes":null}`:                               {"truth.boxes", "null", wantBoxes},
		`{"boxes":{"a":1}}`:                            {"truth.boxes", "{", wantBoxes},
		`{"Boxes":[]}`:                                 {"truth", "Boxes", wantTruth},
		`{"boxes":[],"labels":[]}`:                     {"truth", "labels", wantTruth},
		`{"boxes":[],"boxes":[]}`:                      {"truth.boxes", "twice", "it once"},
		`{"boxes":[],"bo\u0078es":[]}`:                 {"truth.boxes", "twice", "it once"},
		`{"boxes":[1,2,3,4]}`:                          {"truth.boxes[0]", "1", wantBox},
		`{"boxes":[[1,2,3,4],[1,2,3]]}`:                {"truth.boxes[1]", "3 items", wantBox},
		`{"boxes":[[1,2,3,4,5]]}`:                      {"truth.boxes[0]", "more than 4 items", "at most 4"},
		`{"boxes":[[1,2,null,4]]}`:                     {"truth.boxes[0][2]", "null", "a finite number"},
		`{"boxes":[[1,2,"3",4]]}`:                      {"truth.boxes[0][2]", "3", "a finite number"},
		`{"boxes":[[1,2,1e999,4]]}`:                    {"truth.boxes[0][2]", "1e999", "a finite number"},
		`{"boxes":[[0,0,641,10]]}`:                     {"truth.boxes[0]", "[0,0,641,10]", inside},
		`{"boxes":[[0,0,640.5,10]]}`:                   {"truth.boxes[0]", "[0,0,640.5,10]", inside},
		`{"boxes":[[-1,0,9,10]]}`:                      {"truth.boxes[0]", "[-1,0,9,10]", inside},
		`{"boxes":[[0,-0.5,9,10]]}`:                    {"truth.boxes[0]", "[0,-0.5,9,10]", inside},
		`{"boxes":[[0,0,9,481]]}`:                      {"truth.boxes[0]", "[0,0,9,481]", inside},
		`{"boxes":[[0,0,1e300,1]]}`:                    {"truth.boxes[0]", "[0,0,1e+300,1]", inside},
		`{"boxes":[[9,0,9,1]]}`:                        {"truth.boxes[0]", "[9,0,9,1]", inside},
		`{"boxes":[[8.6,0,9.4,1]]}`:                    {"truth.boxes[0]", "[8.6,0,9.4,1]", inside},
		`{"boxes":[[0,5,9,1]]}`:                        {"truth.boxes[0]", "[0,5,9,1]", inside},
		`{"boxes":[[0,0,1,1]],"classes":[]}`:           {"truth.classes", "0 items", "1, one a box"},
		`{"boxes":[],"classes":[1]}`:                   {"truth.classes", "1 items", "0, one a box"},
		`{"crowd":[true],"boxes":[]}`:                  {"truth.crowd", "1 items", "0, one a box"},
		`{"classes":[-1],"boxes":[]}`:                  {"truth.classes[0]", "-1", "a whole number from 0 to 2147483647"},
		`{"classes":[0,1.5],"boxes":[]}`:               {"truth.classes[1]", "1.5", "a whole number from 0 to 2147483647"},
		`{"classes":[2147483648],"boxes":[]}`:          {"truth.classes[0]", "2147483648", "a whole number from 0 to 2147483647"},
		`{"classes":["a"],"boxes":[]}`:                 {"truth.classes[0]", "a", "a whole number from 0 to 2147483647"},
		`{"classes":"dog","boxes":[]}`:                 {"truth.classes", "dog", wantClasses},
		`{"crowd":[0],"boxes":[]}`:                     {"truth.crowd[0]", "0", "true or false"},
		`{"crowd":[[]],"boxes":[]}`:                    {"truth.crowd[0]", "[", "true or false"},
		`{"boxes":[[0,0,1,1],[0,0,1,1],[0,0,1,1]]}`:    {"truth.boxes", "more than 2 items", "at most 2"},
		`{"classes":[1,1,1],"boxes":[]}`:               {"truth.classes", "more than 2 items", "at most 2"},
		`{"` + strings.Repeat("é", 99) + `":1}`:        {"truth", strings.Repeat("é", 20) + "…", wantTruth},
		`{"boxes":"x` + strings.Repeat("é", 99) + `"}`: {"truth.boxes", "x" + strings.Repeat("é", 19) + "…", wantBoxes},
	} {
		got, err := ParseGroundTruth([]byte(text), 640, 480, 2)
		e, ok := errors.AsType[*GroundTruthError](err)
		if !ok || *e != want || !reflect.DeepEqual(got, GroundTruth{}) {
			t.Errorf("%s: %+v, %v; want %v", text, got, err, &want)
		}
	}
	_, err := ParseGroundTruth([]byte(`{"boxes":[[0,0,9,9]]}`), 8, 8, 0)
	if want := `truth.boxes[0] "[0,0,9,9]": want 0 ≤ x0 < x1 ≤ 8 and 0 ≤ y0 < y1 ≤ 8, in whole pixels`; err == nil || err.Error() != want {
		t.Errorf("got %v; want %s", err, want)
	}
}

func TestParseTruthReadsItsOwn(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := anyTruth(t)
		text, err := json.Marshal(plain(want))
		if err != nil {
			t.Fatal(err)
		}
		if got, err := ParseGroundTruth(text, side, side, 0); err != nil || !reflect.DeepEqual(got, want) {
			t.Fatalf("%s reads as %+v, %v; want %+v", text, got, err, want)
		}
	})
}

// plain is a truth as encoding/json writes it.
func plain(t GroundTruth) any {
	return struct {
		Boxes   []box.Box `json:"boxes"`
		Classes []int     `json:"classes,omitzero"`
		Crowd   []bool    `json:"crowd,omitzero"`
	}(t)
}

func FuzzParseTruth(f *testing.F) {
	for _, seed := range []string{
		`{"boxes":[[1,2,3,4],[5.5,6,7,8]],"classes":[1,2],"crowd":[true,false]}`,
		`{"boxes":[]}`, `{"boxes":[[0,0,1e9,1e-9]]}`, `{"boxes":[[1,2,3]]}`, `{"boxes":[null]}`, `[]`, `{"a":{"b":[1]}}`, `{"boxes":[[-0.0,0,1,1]],"boxes":[]}`,
	} {
		f.Add([]byte(seed), 100, 80, 3)
	}
	f.Fuzz(func(t *testing.T, text []byte, width, height, most int) {
		width, height = width%(1<<20), height%(1<<20)
		truth, err := ParseGroundTruth(text, width, height, most)
		if err != nil {
			if _, ok := errors.AsType[*GroundTruthError](err); !ok {
				t.Fatalf("%q: %T", text, err)
			}
			if !reflect.DeepEqual(truth, GroundTruth{}) {
				t.Fatalf("%q: a truth beside the error", text)
			}
			return
		}
		whole := box.Box{X1: int32(width), Y1: int32(height)}
		n := len(truth.Boxes)
		if most > 0 && n > most || truth.Classes != nil && len(truth.Classes) != n || truth.Crowd != nil && len(truth.Crowd) != n {
			t.Fatalf("%q: %+v", text, truth)
		}
		for _, b := range truth.Boxes {
			if b.Empty() || b.Intersect(whole) != b {
				t.Fatalf("%q: %v in %v", text, b, whole)
			}
		}
		// What has been accepted, encoding/json takes for the same.
		var loose struct {
			Boxes   [][]float64
			Classes []int
			Crowd   []bool
		}
		if err := json.Unmarshal(text, &loose); err != nil {
			t.Fatalf("%q: %v", text, err)
		}
		if len(loose.Boxes) != n || fmt.Sprint(loose.Classes, loose.Crowd) != fmt.Sprint(truth.Classes, truth.Crowd) {
			t.Fatalf("%q: %+v; encoding/json: %+v", text, truth, loose)
		}
		again, err := json.Marshal(plain(truth))
		if err != nil {
			t.Fatal(err)
		}
		if got, err := ParseGroundTruth(again, width, height, 0); err != nil || !reflect.DeepEqual(got, truth) {
			t.Fatalf("%s reads as %+v, %v; want %+v", again, got, err, truth)
		}
	})
}
