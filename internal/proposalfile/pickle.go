package proposalfile

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"regexp"
	"strconv"

	"github.com/proposer/proposer/evaluate"
	"github.com/proposer/proposer/internal/pickle"
)

// oldGlobal is the beginning of a pickle of protocol 0 to 3 whose first value is of a class.
var oldGlobal = regexp.MustCompile(`^c[A-Za-z_][\w.]*\r?\n[A-Za-z_][\w.]*\r?\n`)

// isPickle reports whether a file begins as a pickle with a container does. That of protocol 0 and 1
// has no header.
func isPickle(head []byte) bool {
	if len(head) < 2 {
		return false
	}
	switch head[0] {
	case 0x80:
		return head[1] <= 5
	case ']', '}':
		return bytes.IndexByte([]byte("qr.(p\r\n"), head[1]) >= 0
	case '(':
		return bytes.IndexByte([]byte("dlt(cISUVXTKJMG"), head[1]) >= 0
	case 'c':
		return oldGlobal.Match(head[:min(len(head), 256)])
	}
	return false
}

// readPickle reads the pickles of four programs.
//
// Detectron2, with boxes x0 y0 x1 y1 as half-open rectangles:
//
//	{"ids": [...], "boxes": [array, ...], "objectness_logits": [array, ...], "bbox_mode": 0}
//
// Detectron, with inclusive x1 and y1, counted from 0; ids may be called indexes:
//
//	{"indexes": [...], "boxes": [array, ...], "scores": [array, ...]}
//
// MMDetection 3, where an entry may also be an InstanceData with the same fields, or one array as below:
//
//	{"folder/a.jpg": {"bboxes": array, "scores": array}, ...}
//
// MMDetection 2, with arrays of shape (n, 4), or (n, 5) with scores, in the order of the data set:
//
//	[array, ...]
//
// Lists may be in place of all arrays.
func readPickle(ctx context.Context, in *input, yield func(*Image) error) error {
	size := int64(-1)
	if in.whole != nil {
		size = in.whole.Size()
	}
	root, err := pickle.Load(ctx, in.Reader, size)
	if err != nil {
		return err
	}
	if d, ok := root.(*pickle.Dict); ok {
		if _, ok := d.Get("boxes"); ok {
			return readDetectron(ctx, d, yield)
		}
		return readMMDet(ctx, d, yield)
	}
	images, ok := sequenceOf(root)
	if !ok {
		return errors.New("want a dictionary of images, or a list of arrays")
	}
	for i := range images.Len() {
		img := &Image{}
		if err := img.setEntry(ctx, images.At(i)); err != nil {
			return fmt.Errorf("entry %d: %w", i, err)
		}
		if err := yield(img); err != nil {
			return err
		}
	}
	return nil
}

// sequence is a list, or an array of one dimension.
type sequence interface {
	Len() int
	At(i int) any
}

func sequenceOf(v any) (sequence, bool) {
	switch v := v.(type) {
	case *pickle.List:
		return v, true
	case *pickle.Array:
		if len(v.Shape) == 1 {
			return v, true
		}
	}
	return nil, false
}

// readDetectron reads the dictionaries of Detectron and Detectron2.
func readDetectron(ctx context.Context, d *pickle.Dict, yield func(*Image) error) error {
	field := func(names ...string) (sequence, string, error) {
		for _, name := range names {
			if v, ok := d.Get(name); ok {
				s, ok := sequenceOf(v)
				if !ok {
					return nil, name, fmt.Errorf("%q: want a list", name)
				}
				return s, name, nil
			}
		}
		return nil, names[0], nil
	}
	ids, idsName, err := field("ids", "indexes")
	if err != nil {
		return err
	}
	if ids == nil {
		return errors.New(`a dictionary with "boxes" but no ids: want "ids" or "indexes"`)
	}
	boxes, _, err := field("boxes")
	if err != nil {
		return err
	}
	scores, scoresName, err := field("objectness_logits", "scores")
	if err != nil {
		return err
	}
	if boxes.Len() != ids.Len() || scores != nil && scores.Len() != ids.Len() {
		return fmt.Errorf("%d %s, %d boxes: want one entry of each, and of scores, for each image", ids.Len(), idsName, boxes.Len())
	}
	_, logits := d.Get("objectness_logits")
	value, hasMode := d.Get("bbox_mode")
	mode := 0.0
	if hasMode {
		var ok bool
		if mode, ok = pickle.Number(value); !ok || mode != 0 && mode != 1 {
			return fmt.Errorf("bbox_mode %v: want 0 (XYXY_ABS) or 1 (XYWH_ABS)", value)
		}
	}
	inclusive := !logits && !hasMode // Detectron 1

	for i := range ids.Len() {
		img := &Image{}
		var ok bool
		if img.ID, ok = text(ids.At(i)); !ok || img.ID == "" {
			return fmt.Errorf("%s[%d]: want an id", idsName, i)
		}
		if err := img.setBoxes(ctx, boxes.At(i), 4); err != nil {
			return fmt.Errorf("image %q: %w", img.ID, err)
		}
		if scores != nil {
			if err := img.setScores(scores.At(i)); err != nil {
				return fmt.Errorf("image %q: %s: %w", img.ID, scoresName, err)
			}
		}
		for k := range img.Boxes {
			b := &img.Boxes[k]
			switch {
			case inclusive:
				b.X1++
				b.Y1++
			case mode == 1:
				*b = fromSize(*b)
			}
		}
		if err := yield(img); err != nil {
			return err
		}
	}
	return nil
}

// readMMDet reads the dictionary of MMDetection 3.
func readMMDet(ctx context.Context, d *pickle.Dict, yield func(*Image) error) error {
	for i, key := range d.Keys {
		img := &Image{}
		name, ok := text(key)
		if !ok {
			return fmt.Errorf("key %d of the dictionary: want the name or id of an image", i)
		}
		if _, ok := pickle.Number(key); ok {
			img.ID = name
		} else {
			img.File = name
		}
		if err := img.setEntry(ctx, d.Values[i]); err != nil {
			return fmt.Errorf("image %q: %w", name, err)
		}
		if err := yield(img); err != nil {
			return err
		}
	}
	return nil
}

// setEntry sets the boxes and scores of an entry of MMDetection.
func (img *Image) setEntry(ctx context.Context, entry any) error {
	if o, ok := entry.(*pickle.Object); ok {
		entry = o.Attributes
	}
	d, ok := entry.(*pickle.Dict)
	if !ok {
		return img.setBoxes(ctx, entry, 5)
	}
	first := func(names ...string) any {
		for _, name := range names {
			if v, ok := d.Get(name); ok {
				return v
			}
		}
		return nil
	}
	boxes := first("bboxes", "boxes", "box")
	if boxes == nil {
		return errors.New(`a dictionary without "bboxes": want the boxes of the image`)
	}
	if err := img.setBoxes(ctx, boxes, 5); err != nil {
		return err
	}
	if scores := first("scores", "score"); scores != nil {
		return img.setScores(scores)
	}
	return nil
}

// text returns a name, or an integer as a text.
func text(v any) (string, bool) {
	switch v := v.(type) {
	case string:
		return v, true
	case []byte:
		return string(v), true
	case int64:
		return strconv.FormatInt(v, 10), true
	case float64:
		if v == float64(int64(v)) {
			return strconv.FormatInt(int64(v), 10), true
		}
	}
	return "", false
}

// setBoxes sets boxes of four numbers, or up to maxWidth with their scores.
func (img *Image) setBoxes(ctx context.Context, v any, maxWidth int) error {
	form := "want an array of shape (n, 4)"
	if maxWidth == 5 {
		form += " or (n, 5)"
	}
	invalid := errors.New("boxes that are no array of numbers: " + form)
	add := func(width int, at func(k int) float64) {
		img.Boxes = append(img.Boxes, newBox(at(0), at(1), at(2), at(3)))
		if width == 5 {
			img.scores = append(img.scores, at(4))
		}
	}
	a, ok := v.(*pickle.Array)
	if ok && a.Type.Kind != 'O' {
		if !a.Type.IsNumber() {
			return invalid
		}
		if len(a.Data) == 0 {
			return nil
		}
		if len(a.Shape) != 2 || a.Shape[1] < 4 || a.Shape[1] > maxWidth {
			return fmt.Errorf("boxes of shape %v: %s", a.Shape, form)
		}
		n, width, size := a.Shape[0], a.Shape[1], a.Type.Size
		if n > maxBoxes {
			return fmt.Errorf("%d boxes: want at most %d", n, maxBoxes)
		}
		row, column := width*size, size
		if a.Fortran {
			row, column = size, n*size
		}
		img.Boxes = make([]evaluate.Box, 0, n)
		for i := range n {
			if i%4096 == 0 && ctx.Err() != nil {
				return ctx.Err()
			}
			add(width, func(k int) float64 { return a.Type.Float(a.Data[i*row+k*column:]) })
		}
		return nil
	}

	rows, ok := sequenceOf(v)
	if !ok {
		return invalid
	}
	if rows.Len() > maxBoxes {
		return fmt.Errorf("%d boxes: want at most %d", rows.Len(), maxBoxes)
	}
	for i := range rows.Len() {
		if i%4096 == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		numbers, ok := numbersOf(rows.At(i), maxWidth)
		if !ok || len(numbers) < 4 || i > 0 && len(img.scores) > 0 != (len(numbers) == 5) {
			return fmt.Errorf("box %d: %s", i, form)
		}
		add(len(numbers), func(k int) float64 { return numbers[k] })
	}
	return nil
}

// numbersOf returns the numbers of a list or an array of one dimension, if it has at most limit.
func numbersOf(v any, limit int) ([]float64, bool) {
	switch v := v.(type) {
	case *pickle.List:
		numbers, ok := v.Numbers()
		return numbers, ok && len(numbers) <= limit
	case *pickle.Array:
		elements := len(v.Data) / max(1, v.Type.Size)
		column := len(v.Shape) == 1 || len(v.Shape) == 2 && (v.Shape[0] == 1 || v.Shape[1] == 1) || elements == 0
		if !v.Type.IsNumber() || !column || elements > limit {
			return nil, false
		}
		numbers := make([]float64, elements)
		for i := range numbers {
			numbers[i] = v.Type.Float(v.Data[i*v.Type.Size:])
		}
		return numbers, true
	}
	return nil, false
}

// setScores sets the scores of the boxes.
func (img *Image) setScores(v any) error {
	numbers, ok := numbersOf(v, max(len(img.Boxes), 1))
	if !ok || len(numbers) != len(img.Boxes) {
		return fmt.Errorf("want one number for each of the %d boxes", len(img.Boxes))
	}
	// Never nil: all boxes have scores, even if there are none.
	img.scores = append([]float64{}, numbers...)
	return nil
}
