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

// GroundTruth is the annotation of an image. Classes and Crowd are indexed as Boxes are, or nil.
type GroundTruth struct {
	// Boxes are in pixels of the upright image, as the proposals are.
	Boxes []box.Box
	// Classes are the classes of the boxes, with the numbers that the detector uses.
	Classes []int
	// Crowd marks boxes around groups of objects (COCO's iscrowd). If it is nil, there are none.
	Crowd []bool
}

// split returns the boxes of objects with their indices in t.Boxes, and the boxes of crowds.
func (t GroundTruth) split() (objects []box.Box, indices []int, crowd []box.Box) {
	n := len(t.Boxes)
	if t.Classes != nil && len(t.Classes) != n || t.Crowd != nil && len(t.Crowd) != n {
		panic(fmt.Sprintf("rois: ground truth of %d boxes, %d classes and %d crowd flags: want equal numbers, or nil", n, len(t.Classes), len(t.Crowd)))
	}
	for i, b := range t.Boxes {
		if t.Crowd != nil && t.Crowd[i] {
			crowd = append(crowd, b)
			continue
		}
		objects = append(objects, b)
		indices = append(indices, i)
	}
	return objects, indices, crowd
}

// A GroundTruthError reports an invalid value in a ground truth.
type GroundTruthError struct {
	Name  string // such as truth.boxes[3]
	Value string // such as [0,0,700,10]
	Want  string // description of valid values
}

func (e *GroundTruthError) Error() string {
	return fmt.Sprintf("%s %q: want %s", e.Name, e.Value, e.Want)
}

const (
	wantTruth   = "an object with boxes and optionally classes and crowd"
	wantBoxes   = "an array of [x0,y0,x1,y1]"
	wantBox     = "[x0,y0,x1,y1], four numbers"
	wantClasses = "an array of integers from 0 to 2147483647, one per box"
	wantCrowd   = "an array of true and false, one per box"
)

// ParseGroundTruth parses the ground truth of an image of width × height pixels,
//
//	{"boxes":[[x0,y0,x1,y1],...],"classes":[3,...],"crowd":[false,...]}
//
// of which only boxes is required; it may be empty. Boxes are half-open, in pixels. Coordinates
// with a fraction, as in COCO, are rounded to the nearest pixel; the rounded box must lie in the
// image and not be empty. Other keys, keys in other case and duplicate keys are errors. The arrays
// must have equal lengths, of at most maxBoxes (0: no limit).
//
// ParseGroundTruth takes linear time, and memory for what it has accepted. The only error is a
// [*GroundTruthError].
func ParseGroundTruth(data []byte, width, height, maxBoxes int) (GroundTruth, error) {
	var valid json.RawMessage
	if err := json.Unmarshal(data, &valid); err != nil {
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
	t, invalid := p.groundTruth(maxBoxes)
	if invalid != nil {
		invalid.Name = "truth" + invalid.Name
		return GroundTruth{}, invalid
	}
	return t, nil
}

// parser parses a text that is valid JSON. Unlike json.Unmarshal, it does not accept keys in other
// case, duplicate keys, null for 0, or arrays of any length. The names in errors are relative to
// the value that is parsed.
type parser struct {
	d             *json.Decoder
	width, height int
}

func (p parser) groundTruth(maxBoxes int) (t GroundTruth, err *GroundTruthError) {
	if first := p.token(); first != json.Delim('{') {
		return t, unexpected(first, wantTruth)
	}
	seen := map[string]bool{}
	for p.d.More() {
		key, _ := p.token().(string)
		if seen[key] {
			return t, &GroundTruthError{"." + key, "duplicate", "the key once"}
		}
		seen[key] = true
		switch key {
		case "boxes":
			t.Boxes, err = parseArray(p, maxBoxes, wantBoxes, p.box)
		case "classes":
			t.Classes, err = parseArray(p, maxBoxes, wantClasses, p.class)
		case "crowd":
			t.Crowd, err = parseArray(p, maxBoxes, wantCrowd, p.flag)
		default:
			return t, &GroundTruthError{"", clip(key), wantTruth}
		}
		if err != nil {
			err.Name = "." + key + err.Name
			return t, err
		}
	}
	n := len(t.Boxes)
	switch {
	case !seen["boxes"]:
		return t, &GroundTruthError{".boxes", "", wantBoxes}
	case seen["classes"] && len(t.Classes) != n:
		return t, &GroundTruthError{".classes", fmt.Sprintf("%d items", len(t.Classes)), fmt.Sprintf("%d, one per box", n)}
	case seen["crowd"] && len(t.Crowd) != n:
		return t, &GroundTruthError{".crowd", fmt.Sprintf("%d items", len(t.Crowd)), fmt.Sprintf("%d, one per box", n)}
	}
	return t, nil
}

// token returns the next token, nil for null.
func (p parser) token() json.Token {
	t, err := p.d.Token()
	if err != nil {
		return nil // which no caller accepts
	}
	return t
}

// parseArray parses an array of at most maxLen items. The result is not nil.
func parseArray[T any](p parser, maxLen int, want string, item func() (T, *GroundTruthError)) ([]T, *GroundTruthError) {
	if t := p.token(); t != json.Delim('[') {
		return nil, unexpected(t, want)
	}
	items := []T{}
	for p.d.More() {
		if len(items) == maxLen {
			return nil, &GroundTruthError{"", fmt.Sprintf("more than %d items", maxLen), fmt.Sprintf("at most %d", maxLen)}
		}
		v, err := item()
		if err != nil {
			err.Name = fmt.Sprintf("[%d]%s", len(items), err.Name)
			return nil, err
		}
		items = append(items, v)
	}
	p.token() // the closing bracket
	return items, nil
}

func (p parser) box() (box.Box, *GroundTruthError) {
	v, err := parseArray(p, 4, wantBox, p.number)
	if err != nil {
		return box.Box{}, err
	}
	if len(v) != 4 {
		return box.Box{}, &GroundTruthError{"", fmt.Sprintf("%d items", len(v)), wantBox}
	}
	b, inside := roundToPixels([4]float64(v), p.width, p.height)
	if !inside || b.Empty() {
		return box.Box{}, &GroundTruthError{
			"", fmt.Sprintf("[%v,%v,%v,%v]", v[0], v[1], v[2], v[3]),
			fmt.Sprintf("0 ≤ x0 < x1 ≤ %d and 0 ≤ y0 < y1 ≤ %d, after rounding to pixels", p.width, p.height),
		}
	}
	return b, nil
}

// roundToPixels rounds the corners x0, y0, x1 and y1 to the nearest pixel and clips the box to the
// image. It also reports whether the rounded box was inside the image.
func roundToPixels(v [4]float64, width, height int) (b box.Box, inside bool) {
	inside = true
	round := func(v float64, limit int) int32 {
		v = math.Round(v)
		clipped := min(max(v, 0), float64(limit))
		inside = inside && clipped == v
		return int32(clipped)
	}
	return box.Box{X0: round(v[0], width), Y0: round(v[1], height), X1: round(v[2], width), Y1: round(v[3], height)}, inside
}

func (p parser) number() (float64, *GroundTruthError) {
	t := p.token()
	if n, ok := t.(json.Number); ok {
		if v, err := n.Float64(); err == nil {
			return v, nil
		}
	}
	return 0, unexpected(t, "a finite number")
}

func (p parser) class() (int, *GroundTruthError) {
	t := p.token()
	if n, ok := t.(json.Number); ok {
		if v, err := strconv.ParseInt(n.String(), 10, 32); err == nil && v >= 0 {
			return int(v), nil
		}
	}
	return 0, unexpected(t, "an integer from 0 to 2147483647")
}

func (p parser) flag() (bool, *GroundTruthError) {
	t := p.token()
	v, ok := t.(bool)
	if !ok {
		return false, unexpected(t, "true or false")
	}
	return v, nil
}

// unexpected returns an error about a token.
func unexpected(t json.Token, want string) *GroundTruthError {
	value := "null"
	if t != nil {
		value = clip(fmt.Sprint(t))
	}
	return &GroundTruthError{"", value, want}
}

// clip shortens untrusted text for messages.
func clip(s string) string {
	const maxLen = 40
	if len(s) > maxLen {
		return strings.ToValidUTF8(s[:maxLen], "") + "…"
	}
	return s
}
