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

func TestParseGroundTruth(t *testing.T) {
	for text, want := range map[string]GroundTruth{
		`{"boxes":[]}`:              {Boxes: []box.Box{}},
		`{"boxes":[[0,0,640,480]]}`: {Boxes: []box.Box{{X0: 0, Y0: 0, X1: 640, Y1: 480}}},
		` { "crowd" : [ true, false ] , "classes":[0,2147483647],"boxes":[[1,2,3,4],[5,6,7,8]] } `: {
			Boxes:   []box.Box{{X0: 1, Y0: 2, X1: 3, Y1: 4}, {X0: 5, Y0: 6, X1: 7, Y1: 8}},
			Classes: []int{0, 2147483647}, Crowd: []bool{true, false},
		},
		`{"boxes":[],"classes":[],"crowd":[]}`: {Boxes: []box.Box{}, Classes: []int{}, Crowd: []bool{}},
		// Corners are rounded to the nearest pixel, which may be on the border of the image.
		`{"boxes":[[-0.4,0.5,639.6,480.49],[1e1,1.2e1,12.49,1.35E1]]}`: {
			Boxes: []box.Box{{X0: 0, Y0: 1, X1: 640, Y1: 480}, {X0: 10, Y0: 12, X1: 12, Y1: 14}},
		},
	} {
		t.Run(text, func(t *testing.T) {
			if got, err := ParseGroundTruth([]byte(text), 640, 480, 2); err != nil || !reflect.DeepEqual(got, want) {
				t.Errorf("got %+v, %v; want %+v", got, err, want)
			}
		})
	}
}

func TestParseGroundTruthErrors(t *testing.T) {
	inside := "0 ≤ x0 < x1 ≤ 640 and 0 ≤ y0 < y1 ≤ 480, after rounding to pixels"
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
		`{"boxes":[],"boxes":[]}`:                      {"truth.boxes", "duplicate", "the key once"},
		`{"boxes":[],"bo\u0078es":[]}`:                 {"truth.boxes", "duplicate", "the key once"},
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
		`{"boxes":[[0,0,1,1]],"classes":[]}`:           {"truth.classes", "0 items", "1, one per box"},
		`{"boxes":[],"classes":[1]}`:                   {"truth.classes", "1 items", "0, one per box"},
		`{"crowd":[true],"boxes":[]}`:                  {"truth.crowd", "1 items", "0, one per box"},
		`{"classes":[-1],"boxes":[]}`:                  {"truth.classes[0]", "-1", "an integer from 0 to 2147483647"},
		`{"classes":[0,1.5],"boxes":[]}`:               {"truth.classes[1]", "1.5", "an integer from 0 to 2147483647"},
		`{"classes":[2147483648],"boxes":[]}`:          {"truth.classes[0]", "2147483648", "an integer from 0 to 2147483647"},
		`{"classes":["a"],"boxes":[]}`:                 {"truth.classes[0]", "a", "an integer from 0 to 2147483647"},
		`{"classes":"dog","boxes":[]}`:                 {"truth.classes", "dog", wantClasses},
		`{"crowd":[0],"boxes":[]}`:                     {"truth.crowd[0]", "0", "true or false"},
		`{"crowd":[[]],"boxes":[]}`:                    {"truth.crowd[0]", "[", "true or false"},
		`{"boxes":[[0,0,1,1],[0,0,1,1],[0,0,1,1]]}`:    {"truth.boxes", "more than 2 items", "at most 2"},
		`{"classes":[1,1,1],"boxes":[]}`:               {"truth.classes", "more than 2 items", "at most 2"},
		`{"` + strings.Repeat("é", 99) + `":1}`:        {"truth", strings.Repeat("é", 20) + "…", wantTruth},
		`{"boxes":"x` + strings.Repeat("é", 99) + `"}`: {"truth.boxes", "x" + strings.Repeat("é", 19) + "…", wantBoxes},
	} {
		t.Run(text, func(t *testing.T) {
			got, err := ParseGroundTruth([]byte(text), 640, 480, 2)
			e, ok := errors.AsType[*GroundTruthError](err)
			if !ok || *e != want || !reflect.DeepEqual(got, GroundTruth{}) {
				t.Errorf("got %+v, %v; want %v", got, err, &want)
			}
		})
	}
	_, err := ParseGroundTruth([]byte(`{"boxes":[[0,0,9,9]]}`), 8, 8, 0)
	if want := `truth.boxes[0] "[0,0,9,9]": want 0 ≤ x0 < x1 ≤ 8 and 0 ≤ y0 < y1 ≤ 8, after rounding to pixels`; err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
}

func TestParseGroundTruthRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := drawGroundTruth(t)
		text, err := json.Marshal(jsonForm(want))
		if err != nil {
			t.Fatal(err)
		}
		if got, err := ParseGroundTruth(text, side, side, 0); err != nil || !reflect.DeepEqual(got, want) {
			t.Fatalf("ParseGroundTruth(%s) = %+v, %v; want %+v", text, got, err, want)
		}
	})
}

// jsonForm returns a ground truth in a form that encoding/json writes as ParseGroundTruth reads it.
func jsonForm(t GroundTruth) any {
	return struct {
		Boxes   []box.Box `json:"boxes"`
		Classes []int     `json:"classes,omitzero"`
		Crowd   []bool    `json:"crowd,omitzero"`
	}(t)
}

func FuzzParseGroundTruth(f *testing.F) {
	for _, seed := range []string{
		`{"boxes":[[1,2,3,4],[5.5,6,7,8]],"classes":[1,2],"crowd":[true,false]}`,
		`{"boxes":[]}`, `{"boxes":[[0,0,1e9,1e-9]]}`, `{"boxes":[[1,2,3]]}`, `{"boxes":[null]}`, `[]`, `{"a":{"b":[1]}}`, `{"boxes":[[-0.0,0,1,1]],"boxes":[]}`,
	} {
		f.Add([]byte(seed), 100, 80, 3)
	}
	f.Fuzz(func(t *testing.T, text []byte, width, height, maxBoxes int) {
		width, height = width%(1<<20), height%(1<<20)
		groundTruth, err := ParseGroundTruth(text, width, height, maxBoxes)
		if err != nil {
			if _, ok := errors.AsType[*GroundTruthError](err); !ok {
				t.Fatalf("%q: error of type %T", text, err)
			}
			if !reflect.DeepEqual(groundTruth, GroundTruth{}) {
				t.Fatalf("%q: got a ground truth and an error", text)
			}
			return
		}
		whole := box.Box{X1: int32(width), Y1: int32(height)}
		n := len(groundTruth.Boxes)
		if maxBoxes > 0 && n > maxBoxes || groundTruth.Classes != nil && len(groundTruth.Classes) != n || groundTruth.Crowd != nil && len(groundTruth.Crowd) != n {
			t.Fatalf("%q: invalid lengths in %+v", text, groundTruth)
		}
		for _, b := range groundTruth.Boxes {
			if b.Empty() || b.Intersect(whole) != b {
				t.Fatalf("%q: %v is not in %v", text, b, whole)
			}
		}
		// encoding/json, which accepts more, reads the same values.
		var loose struct {
			Boxes   [][]float64
			Classes []int
			Crowd   []bool
		}
		if err := json.Unmarshal(text, &loose); err != nil {
			t.Fatalf("%q: %v", text, err)
		}
		if len(loose.Boxes) != n || fmt.Sprint(loose.Classes, loose.Crowd) != fmt.Sprint(groundTruth.Classes, groundTruth.Crowd) {
			t.Fatalf("%q: %+v; encoding/json: %+v", text, groundTruth, loose)
		}
		again, err := json.Marshal(jsonForm(groundTruth))
		if err != nil {
			t.Fatal(err)
		}
		if got, err := ParseGroundTruth(again, width, height, 0); err != nil || !reflect.DeepEqual(got, groundTruth) {
			t.Fatalf("ParseGroundTruth(%s) = %+v, %v; want %+v", again, got, err, groundTruth)
		}
	})
}
