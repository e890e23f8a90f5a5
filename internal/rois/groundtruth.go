package rois

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/proposer/proposer/box"
)

// GroundTruth is what a picture holds. Classes and Crowd go with Boxes, or are nil.
type GroundTruth struct {
	// Boxes are in the pixels of the upright picture, as the proposals are.
	Boxes []box.Box
	// Classes are what the boxes hold, in whatever numbers the detector has.
	Classes []int
	// Crowd says which of them are regions of objects that nobody drew apart, COCO's
	// iscrowd. Without it none is.
	Crowd []bool
}

// split is the boxes of objects, with their numbers, and those of crowds.
func (t GroundTruth) split() (objects []box.Box, numbers []int, crowd []box.Box) {
	n := len(t.Boxes)
	if t.Classes != nil && len(t.Classes) != n || t.Crowd != nil && len(t.Crowd) != n {
		panic(fmt.Sprintf("rois: truth of %d boxes, %d classes, %d crowd: want as many, or nil", n, len(t.Classes), len(t.Crowd)))
	}
	for i, b := range t.Boxes {
		if t.Crowd != nil && t.Crowd[i] {
			crowd = append(crowd, b)
			continue
		}
		objects, numbers = append(objects, b), append(numbers, i)
	}
	return objects, numbers, crowd
}

// A TruthError names what in a truth is wrong, and what would be right.
type GroundTruthError struct {
	Name, Value, Want string // as in truth.boxes[3], [0,0,700,10]
}

func (e *GroundTruthError) Error() string {
	return fmt.Sprintf("%s %q: want %s", e.Name, e.Value, e.Want)
}

const (
	wantTruth   = "an object of boxes and, as one likes, classes and crowd"
	wantBoxes   = "a list of [x0,y0,x1,y1]"
	wantBox     = "[x0,y0,x1,y1], four numbers"
	wantClasses = "a list of whole numbers from 0 to 2147483647, one a box"
	wantCrowd   = "a list of true and false, one a box"
)

// ParseGroundTruth reads the truth of a picture of width × height pixels,
//
//	{"boxes":[[x0,y0,x1,y1],...],"classes":[3,...],"crowd":[false,...]}
//
// of which only the boxes have to be there, and may be none. Boxes are half-open, in
// pixels; fractions, as COCO has them, are rounded to the nearest pixel. Then a box has to
// lie in the picture and hold a pixel. Keys are as they are written here, each once, and
// no others. Lists are as long as that of the boxes, which are at most maxBoxes (0: as
// many as there are).
//
// It takes linear time, and memory for what it has accepted. The only error is a [*TruthError].
func ParseGroundTruth(data []byte, width, height, maxBoxes int) (GroundTruth, error) {
	var whole json.RawMessage
	if err := json.Unmarshal(data, &whole); err != nil {
		at := len(data)
		if e, ok := errors.AsType[*json.SyntaxError](err); ok {
			at = int(e.Offset)
		}
		return GroundTruth{}, &GroundTruthError{"truth", fmt.Sprintf("byte %d: %v", at, err), "JSON, " + wantTruth}
	}
	if maxBoxes <= 0 {
		maxBoxes = math.MaxInt32
	}
	p := parser{json.NewDecoder(bytes.NewReader(data)), width, height}
	p.d.UseNumber()
	t, wrong := p.truth(maxBoxes)
	if wrong != nil {
		wrong.Name = "truth" + wrong.Name
		return GroundTruth{}, wrong
	}
	return t, nil
}

// parser goes through a text that is valid JSON. Not in encoding/json's own way: that takes
// keys in any case and more than once, null for 0, and lists of any length. The names of its
// errors begin where it was.
type parser struct {
	d             *json.Decoder
	width, height int
}

func (p parser) truth(most int) (t GroundTruth, wrong *GroundTruthError) {
	if first := p.token(); first != json.Delim('{') {
		return t, bad(first, wantTruth)
	}
	seen := map[string]bool{}
	for p.d.More() {
		key, _ := p.token().(string)
		if seen[key] {
			return t, &GroundTruthError{"." + key, "twice", "it once"}
		}
		seen[key] = true
		switch key {
		case "boxes":
			t.Boxes, wrong = list(p, most, wantBoxes, p.box)
		case "classes":
			t.Classes, wrong = list(p, most, wantClasses, p.class)
		case "crowd":
			t.Crowd, wrong = list(p, most, wantCrowd, p.flag)
		default:
			return t, &GroundTruthError{"", clip(key), wantTruth}
		}
		if wrong != nil {
			wrong.Name = "." + key + wrong.Name
			return t, wrong
		}
	}
	n := len(t.Boxes)
	switch {
	case !seen["boxes"]:
		return t, &GroundTruthError{".boxes", "", wantBoxes}
	case seen["classes"] && len(t.Classes) != n:
		return t, &GroundTruthError{".classes", fmt.Sprintf("%d items", len(t.Classes)), fmt.Sprintf("%d, one a box", n)}
	case seen["crowd"] && len(t.Crowd) != n:
		return t, &GroundTruthError{".crowd", fmt.Sprintf("%d items", len(t.Crowd)), fmt.Sprintf("%d, one a box", n)}
	}
	return t, nil
}

// token is the next, nil for null.
func (p parser) token() json.Token {
	t, err := p.d.Token()
	if err != nil {
		return nil // which nobody wants
	}
	return t
}

// list reads a list, never as nil, of at most so many items.
func list[T any](p parser, most int, want string, item func() (T, *GroundTruthError)) ([]T, *GroundTruthError) {
	if t := p.token(); t != json.Delim('[') {
		return nil, bad(t, want)
	}
	items := []T{}
	for p.d.More() {
		if len(items) == most {
			return nil, &GroundTruthError{"", fmt.Sprintf("more than %d items", most), fmt.Sprintf("at most %d", most)}
		}
		v, wrong := item()
		if wrong != nil {
			wrong.Name = fmt.Sprintf("[%d]%s", len(items), wrong.Name)
			return nil, wrong
		}
		items = append(items, v)
	}
	p.token() // the end
	return items, nil
}

func (p parser) box() (box.Box, *GroundTruthError) {
	v, wrong := list(p, 4, wantBox, p.number)
	if wrong != nil {
		return box.Box{}, wrong
	}
	if len(v) != 4 {
		return box.Box{}, &GroundTruthError{"", fmt.Sprintf("%d items", len(v)), wantBox}
	}
	b, inside := pixels([4]float64(v), p.width, p.height)
	if !inside || b.Empty() {
		return box.Box{}, &GroundTruthError{
			"", fmt.Sprintf("[%v,%v,%v,%v]", v[0], v[1], v[2], v[3]),
			fmt.Sprintf("0 ≤ x0 < x1 ≤ %d and 0 ≤ y0 < y1 ≤ %d, in whole pixels", p.width, p.height),
		}
	}
	return b, nil
}

// pixels is a box x0, y0, x1, y1 of fractions in whole pixels: each corner goes to the nearest.
// inside tells whether it then lies in the picture; it is cut to that.
func pixels(v [4]float64, width, height int) (b box.Box, inside bool) {
	inside = true
	to := func(v float64, most int) int32 {
		v = math.Round(v)
		cut := min(max(v, 0), float64(most))
		inside = inside && cut == v
		return int32(cut)
	}
	return box.Box{X0: to(v[0], width), Y0: to(v[1], height), X1: to(v[2], width), Y1: to(v[3], height)}, inside
}

func (p parser) number() (float64, *GroundTruthError) {
	t := p.token()
	if n, ok := t.(json.Number); ok {
		if v, err := n.Float64(); err == nil {
			return v, nil
		}
	}
	return 0, bad(t, "a finite number")
}

func (p parser) class() (int, *GroundTruthError) {
	t := p.token()
	if n, ok := t.(json.Number); ok {
		if v, err := strconv.ParseInt(n.String(), 10, 32); err == nil && v >= 0 {
			return int(v), nil
		}
	}
	return 0, bad(t, "a whole number from 0 to 2147483647")
}

func (p parser) flag() (bool, *GroundTruthError) {
	t := p.token()
	v, ok := t.(bool)
	if !ok {
		return false, bad(t, "true or false")
	}
	return v, nil
}

// bad is about a token that is not what it should be.
func bad(t json.Token, want string) *GroundTruthError {
	value := "null"
	if t != nil {
		value = clip(fmt.Sprint(t))
	}
	return &GroundTruthError{"", value, want}
}

// clip shortens what a stranger has written.
func clip(s string) string {
	const most = 40
	if len(s) > most {
		return strings.ToValidUTF8(s[:most], "") + "…"
	}
	return s
}
