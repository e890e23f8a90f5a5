package proposalfile

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/proposer/proposer/evaluate"
	"github.com/proposer/proposer/internal/jsonscan"
)

// recognizeObject returns the format of a text that begins with a JSON object.
func recognizeObject(text []byte) fileFormat {
	// What follows the name of the first field; the text may be cut off anywhere.
	name, rest := firstString(bytes.TrimLeft(text[1:], " \t\r\n"))
	rest = bytes.TrimLeft(rest, " \t\r\n:")
	list := len(rest) > 0 && rest[0] == '['
	nested := list && bytes.HasPrefix(bytes.TrimLeft(rest[1:], " \t\r\n"), []byte("["))
	switch name {
	case "info", "licenses", "images", "annotations", "categories", "type":
		return fileFormat{"COCO annotations", readCOCO}
	case "bbox":
		if nested {
			return fileFormat{"JSON of boxes by position", readPositions}
		}
	case "boxes", "scores":
	default:
		if list {
			return fileFormat{"JSON of boxes by name", readNames}
		}
	}
	return fileFormat{"JSON Lines", readLines}
}

// firstString returns the JSON string at the beginning of a text that may be cut off.
func firstString(text []byte) (s string, rest []byte) {
	if len(text) == 0 || text[0] != '"' {
		return "", text
	}
	for i := 1; i < len(text); i++ {
		switch text[i] {
		case '\\':
			i++
		case '"':
			if json.Unmarshal(text[:i+1], &s) != nil {
				s = ""
			}
			return s, text[i+1:]
		}
	}
	return "", nil
}

// readLines reads JSON Lines: each line is an object as in [record].
func readLines(ctx context.Context, in *input, yield func(*Image) error) error {
	var g groups
	lines := bufio.NewScanner(in.Reader)
	lines.Buffer(nil, maxText)
	number := 1
	for ; lines.Scan(); number++ {
		if err := ctx.Err(); err != nil {
			return err
		}
		text := lines.Bytes()
		if len(bytes.TrimSpace(text)) == 0 {
			continue
		}
		place := fmt.Sprint("line ", number)
		if err := validJSON(text); err != nil {
			return fmt.Errorf("%s: %w", place, err)
		}
		if err := readRecord(text, place, &g, yield); err != nil {
			return err
		}
	}
	if errors.Is(lines.Err(), bufio.ErrTooLong) {
		return fmt.Errorf("line %d: too long: want at most %d bytes", number, maxText)
	}
	if lines.Err() != nil {
		return lines.Err()
	}
	return g.yieldAll(yield)
}

// validJSON returns the error of the first character that makes a text invalid.
func validJSON(text []byte) error {
	if json.Valid(text) {
		return nil
	}
	var v json.RawMessage
	return explain(json.Unmarshal(text, &v))
}

// explain adds to a syntax error what Python's NaN and Infinity are.
func explain(err error) error {
	if err != nil && (strings.HasPrefix(err.Error(), "invalid character 'N'") || strings.HasPrefix(err.Error(), "invalid character 'I'")) {
		return fmt.Errorf("%w: JSON has neither NaN nor Infinity: want numbers", err)
	}
	return err
}

// readList reads a list of objects as in [record]: COCO results, and what others write instead of
// JSON Lines.
func readList(ctx context.Context, in *input, yield func(*Image) error) error {
	var g groups
	d := newDecoder(ctx, in)
	err := d.list(func(i int, text []byte) error {
		return readRecord(text, fmt.Sprint("object ", i), &g, yield)
	})
	if err == nil {
		err = d.end()
	}
	if err != nil {
		return err
	}
	return g.yieldAll(yield)
}

// record is an object of a list. It holds an image,
//
//	{"file":"a.jpg","width":640,"height":480,"boxes":[[x0,y0,x1,y1],...],"scores":[...]}
//
// or one box, as COCO's results do:
//
//	{"image_id":139,"bbox":[x,y,w,h],"score":0.5}
//
// Of several names of the file, and of id and image_id, the first counts: in COCO's results, id is that of
// the box.
type record struct {
	files                [4][]byte // file, file_name, filename, image
	ids                  [2][]byte // image_id, id
	width, height        []byte
	orientation, seconds []byte
	boxes, scores, error []byte
	bbox, score          []byte
}

// fields returns where the value of a field belongs, or nil if the field is not used.
func (r *record) field(name []byte) *[]byte {
	switch string(name) {
	case `"file"`:
		return &r.files[0]
	case `"file_name"`:
		return &r.files[1]
	case `"filename"`:
		return &r.files[2]
	case `"image"`:
		return &r.files[3]
	case `"image_id"`:
		return &r.ids[0]
	case `"id"`:
		return &r.ids[1]
	case `"width"`:
		return &r.width
	case `"height"`:
		return &r.height
	case `"orientation"`:
		return &r.orientation
	case `"seconds"`:
		return &r.seconds
	case `"boxes"`:
		return &r.boxes
	case `"scores"`:
		return &r.scores
	case `"error"`:
		return &r.error
	case `"bbox"`:
		return &r.bbox
	case `"score"`:
		return &r.score
	}
	return nil
}

// readRecord reads an object. It yields an image, and adds a box to the groups.
func readRecord(text []byte, place string, g *groups, yield func(*Image) error) error {
	fail := func(name string, err error) error {
		if name == "" {
			return fmt.Errorf("%s: %w", place, err)
		}
		return fmt.Errorf("%s: image %q: %w", place, name, err)
	}
	r, err := scanRecord(text)
	if err != nil {
		return fail("", err)
	}
	file, id, err := r.names()
	if err != nil {
		return fail("", err)
	}
	name := file
	if name == "" {
		name = id
	}
	switch {
	case firstOf(r.files[:]) == nil && id == "":
		return fail("", errors.New(`no file: want the name of the image as "file", or its id as "image_id"`))
	case r.bbox != nil && (r.boxes != nil || r.error != nil):
		return fail(name, errors.New(`both "bbox" and "boxes" or "error": want one of them`))
	case r.error != nil && (r.boxes != nil || r.scores != nil):
		return fail(name, errors.New("both an error and boxes or scores: want either"))
	case r.bbox == nil && r.boxes == nil && r.error == nil:
		return fail(name, errors.New("neither boxes nor an error: want either"))
	}
	if r.bbox != nil {
		img := g.image(file, id)
		if err := img.addResult(&r); err != nil {
			return fail(name, err)
		}
		return nil
	}
	img := &Image{File: file, ID: id, Place: place}
	if err := img.parse(&r); err != nil {
		return fail(name, err)
	}
	return yield(img)
}

// scanRecord returns the fields of an object. A null is as if the field were missing.
func scanRecord(text []byte) (r record, err error) {
	err = object(text, func(name, value []byte) error {
		field := r.field(name)
		switch {
		case field == nil || string(value) == "null":
		case *field != nil:
			return fmt.Errorf("field %s is there twice: want one", name)
		default:
			*field = value
		}
		return nil
	})
	return r, err
}

// names returns the file name and the id.
func (r *record) names() (file, id string, err error) {
	if text := firstOf(r.files[:]); text != nil {
		if text[0] != '"' {
			return "", "", fmt.Errorf("file %.40s: want a string", text)
		}
		file = jsonscan.Unquote(text)
	}
	if text := firstOf(r.ids[:]); text != nil {
		id, err = parseID(text)
	}
	return file, id, err
}

// firstOf returns the first text that is there, or nil.
func firstOf(texts [][]byte) []byte {
	for _, text := range texts {
		if text != nil {
			return text
		}
	}
	return nil
}

// addResult adds the box of a record.
func (img *Image) addResult(r *record) error {
	s := jsonscan.New(r.bbox)
	b, err := readBox(&s)
	if err != nil {
		return fmt.Errorf("bbox %.80s: want [x,y,w,h]", r.bbox)
	}
	if b.X1 < 0 || b.Y1 < 0 {
		return fmt.Errorf("box %d: %g × %g pixels: want a width and height of 0 or more", len(img.Boxes), b.X1, b.Y1)
	}
	if (r.score != nil) != (img.scores != nil) && len(img.Boxes) > 0 {
		return fmt.Errorf("box %d: scores of some boxes: want scores of all or none", len(img.Boxes))
	}
	if len(img.Boxes) >= maxBoxes {
		return fmt.Errorf("more than %d boxes: want fewer", maxBoxes)
	}
	if r.score != nil {
		s, err := strconv.ParseFloat(string(r.score), 64)
		if err != nil {
			return fmt.Errorf("score %.40s: want a number", r.score)
		}
		img.scores = append(img.scores, s)
	}
	img.Boxes = append(img.Boxes, fromSize(b))
	return nil
}

// fromSize returns the box whose width and height are in place of the lower right corner.
func fromSize(b evaluate.Box) evaluate.Box { return newBox(b.X0, b.Y0, b.X0+b.X1, b.Y0+b.Y1) }

// parse reads the fields of an image.
func (img *Image) parse(r *record) error {
	for _, f := range []struct {
		name string
		text []byte
		v    *int
	}{{"width", r.width, &img.Width}, {"height", r.height, &img.Height}, {"orientation", r.orientation, &img.Orientation}} {
		if f.text == nil {
			continue
		}
		v, err := strconv.ParseFloat(string(f.text), 64)
		if err != nil || v != math.Trunc(v) || math.Abs(v) > maxCoordinate {
			return fmt.Errorf("%s %.40s: want a whole number", f.name, f.text)
		}
		*f.v = int(v)
	}
	if r.seconds != nil {
		s, err := strconv.ParseFloat(string(r.seconds), 64)
		if err != nil {
			return fmt.Errorf("seconds %.40s: want a number", r.seconds)
		}
		if img.SearchTime, err = duration(s); err != nil {
			return err
		}
	}
	if r.error != nil {
		if r.error[0] != '"' {
			return fmt.Errorf("error %.40s: want a string", r.error)
		}
		if img.Error = jsonscan.Unquote(r.error); img.Error == "" {
			img.Error = "unknown error"
		}
		return nil
	}
	var err error
	if img.Boxes, err = parseBoxes(r.boxes, "[x0,y0,x1,y1]"); err != nil || r.scores == nil {
		return err
	}
	img.scores, err = parseScores(r.scores)
	return err
}

// parseID reads an id. A whole number loses its fraction of 0, as of 139.0.
func parseID(text []byte) (string, error) {
	switch c := text[0]; {
	case c == '"':
		return jsonscan.Unquote(text), nil
	case c != '-' && (c < '0' || c > '9'):
		return "", fmt.Errorf("id %.40s: want a number or a string", text)
	}
	if f, err := strconv.ParseFloat(string(text), 64); err == nil && bytes.ContainsAny(text, ".eE") && f == math.Trunc(f) && math.Abs(f) < 1<<53 {
		return strconv.FormatInt(int64(f), 10), nil
	}
	return string(text), nil
}

// parseBoxes reads a list of four numbers each.
func parseBoxes(text []byte, form string) ([]evaluate.Box, error) {
	s := jsonscan.New(text)
	boxes := []evaluate.Box{}
	err := s.Array(func() error {
		if len(boxes) >= maxBoxes {
			return fmt.Errorf("more than %d boxes: want fewer", maxBoxes)
		}
		b, err := readBox(&s)
		if err != nil {
			return fmt.Errorf("box %d: want %s", len(boxes), form)
		}
		boxes = append(boxes, b)
		return nil
	})
	if errors.Is(err, jsonscan.ErrNotArray) {
		err = fmt.Errorf("boxes: want a list of %s", form)
	}
	return boxes, err
}

var errNotBox = errors.New("not a list of four numbers")

// readBox reads a list of four numbers.
func readBox(s *jsonscan.Scanner) (evaluate.Box, error) {
	var v [4]float64
	n := 0
	err := s.Array(func() error {
		f, err := strconv.ParseFloat(string(s.Number()), 64)
		if err != nil || n == len(v) {
			return errNotBox
		}
		v[n] = f
		n++
		return nil
	})
	if err == nil && n != len(v) {
		err = errNotBox
	}
	return newBox(v[0], v[1], v[2], v[3]), err
}

func parseScores(text []byte) ([]float64, error) {
	s := jsonscan.New(text)
	scores := []float64{}
	err := s.Array(func() error {
		v, err := strconv.ParseFloat(string(s.Number()), 64)
		if err != nil {
			return fmt.Errorf("score %d: want a number", len(scores))
		}
		scores = append(scores, v)
		return nil
	})
	if errors.Is(err, jsonscan.ErrNotArray) {
		err = errors.New("scores: want a list of numbers")
	}
	return scores, err
}

// object calls f for each field of an object, which has to be valid JSON. The names are quoted.
func object(text []byte, f func(name, value []byte) error) error {
	s := jsonscan.New(text)
	if !s.Consume('{') {
		return fmt.Errorf("%.40s: want an object", bytes.TrimSpace(text))
	}
	for !s.Consume('}') {
		name := s.Value()
		s.Consume(':')
		s.Peek() // the value is without the white space before it
		if err := f(name, s.Value()); err != nil {
			return err
		}
		s.Consume(',')
	}
	return nil
}

// readCOCO reads COCO annotations, where the boxes are the proposals:
//
//	{"images":[{"id":139,"file_name":"a.jpg",...},...],"annotations":[{"image_id":139,"bbox":[x,y,w,h]},...]}
//
// Annotations may have scores.
func readCOCO(ctx context.Context, in *input, yield func(*Image) error) error {
	var g groups
	var images []*Image
	named := map[string]bool{}
	d := newDecoder(ctx, in)
	err := d.object(func(name string) error {
		switch name {
		case "images":
			return d.list(func(i int, text []byte) error {
				r, err := scanRecord(text)
				img := &Image{Place: fmt.Sprint("image ", i)}
				if err == nil {
					img.File, img.ID, err = r.names()
				}
				if err == nil && (img.ID == "" || named[img.ID]) {
					err = fmt.Errorf("id %q: want a unique id", img.ID)
				}
				if err != nil {
					return fmt.Errorf("%s: %w", img.Place, err)
				}
				named[img.ID] = true
				images = append(images, img)
				return nil
			})
		case "annotations":
			return d.list(func(i int, text []byte) error {
				r, err := scanRecord(text)
				if err == nil && (r.ids[0] == nil || r.bbox == nil) {
					err = errors.New("want an image_id and a bbox")
				}
				var id string
				if err == nil {
					id, err = parseID(r.ids[0])
				}
				if err == nil {
					err = g.image("", id).addResult(&r)
				}
				if err != nil {
					return fmt.Errorf("annotation %d: %w", i, err)
				}
				return nil
			})
		}
		return d.skip()
	})
	if err == nil {
		err = d.end()
	}
	if err != nil {
		return err
	}
	for _, img := range images {
		if boxes := g.index[[2]string{"", img.ID}]; boxes != nil {
			img.Boxes, img.scores = boxes.Boxes, boxes.scores
		}
		if err := yield(img); err != nil {
			return err
		}
	}
	g.images = slices.DeleteFunc(g.images, func(img *Image) bool { return named[img.ID] })
	return g.yieldAll(yield)
}

// readNames reads an object with the boxes of each image under its name:
//
//	{"a.jpg":[[x,y,w,h],...],...}
func readNames(ctx context.Context, in *input, yield func(*Image) error) error {
	d := newDecoder(ctx, in)
	err := d.object(func(name string) error {
		text, err := d.value()
		if err != nil {
			return err
		}
		return yieldSizes(&Image{File: name}, text, yield)
	})
	if err != nil {
		return err
	}
	return d.end()
}

// readPositions reads an object with the boxes of each image in the order of the data set:
//
//	{"bbox":[[[x,y,w,h],...],...]}
func readPositions(ctx context.Context, in *input, yield func(*Image) error) error {
	d := newDecoder(ctx, in)
	err := d.object(func(name string) error {
		if name != "bbox" {
			return d.skip()
		}
		return d.list(func(i int, text []byte) error { return yieldSizes(&Image{Position: i}, text, yield) })
	})
	if err != nil {
		return err
	}
	return d.end()
}

// yieldSizes yields an image with boxes of the form [x,y,w,h].
func yieldSizes(img *Image, text []byte, yield func(*Image) error) error {
	boxes, err := parseBoxes(text, "[x,y,w,h]")
	if err != nil {
		return fmt.Errorf("image %q: %w", img.Name(), err)
	}
	for i, b := range boxes {
		if b.X1 < 0 || b.Y1 < 0 {
			return fmt.Errorf("image %q: box %d: %g × %g pixels: want a width and height of 0 or more", img.Name(), i, b.X1, b.Y1)
		}
		boxes[i] = fromSize(b)
	}
	img.Boxes = boxes
	return yield(img)
}

// decoder reads the values of one large JSON text, one at a time.
type decoder struct {
	ctx  context.Context
	json *json.Decoder
	in   *limitReader
	buf  json.RawMessage
}

func newDecoder(ctx context.Context, in *input) *decoder {
	limited := &limitReader{r: in.Reader}
	return &decoder{ctx: ctx, json: json.NewDecoder(limited), in: limited}
}

// limitReader fails if a single value is too long. Its limit is renewed at each value.
type limitReader struct {
	r    io.Reader
	left int64
}

func (l *limitReader) Read(p []byte) (int, error) {
	if l.left <= 0 {
		return 0, fmt.Errorf("too long: want lists of at most %d bytes for an image", maxText)
	}
	n, err := l.r.Read(p)
	l.left -= int64(n)
	return n, err
}

// value returns the next value, valid until the next call.
func (d *decoder) value() ([]byte, error) {
	if err := d.ctx.Err(); err != nil {
		return nil, err
	}
	d.in.left = maxText
	d.buf = d.buf[:0]
	if err := d.json.Decode(&d.buf); err != nil {
		return nil, d.fail(err)
	}
	return d.buf, nil
}

func (d *decoder) skip() error {
	_, err := d.value()
	return err
}

func (d *decoder) token() (json.Token, error) {
	d.in.left = maxText
	t, err := d.json.Token()
	if err != nil {
		return nil, d.fail(err)
	}
	return t, nil
}

// fail returns an error with its position.
func (d *decoder) fail(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return errors.New("the file ends within a value: want complete JSON")
	}
	if _, ok := errors.AsType[*json.SyntaxError](err); ok {
		return fmt.Errorf("at byte %d: %w", d.json.InputOffset(), explain(err))
	}
	return err
}

// list calls f with each value of the list that is next.
func (d *decoder) list(f func(i int, text []byte) error) error {
	t, err := d.token()
	if err != nil {
		return err
	}
	if t == nil { // null
		return nil
	}
	if t != json.Delim('[') {
		return fmt.Errorf("at byte %d: want a list", d.json.InputOffset())
	}
	for i := 0; d.more(); i++ {
		text, err := d.value()
		if err != nil {
			return err
		}
		if err := f(i, text); err != nil {
			return err
		}
	}
	_, err = d.token()
	return err
}

// object calls f for each field of the object that is next. f has to read the value.
func (d *decoder) object(f func(name string) error) error {
	if _, err := d.token(); err != nil { // {
		return err
	}
	for d.more() {
		name, err := d.token()
		if err != nil {
			return err
		}
		text, ok := name.(string)
		if !ok {
			return fmt.Errorf("at byte %d: want the name of a field", d.json.InputOffset())
		}
		if err := f(text); err != nil {
			return err
		}
	}
	_, err := d.token()
	return err
}

func (d *decoder) more() bool {
	d.in.left = maxText
	return d.json.More()
}

// end returns an error if something follows the value.
func (d *decoder) end() error {
	d.in.left = maxText
	if _, err := d.json.Token(); !errors.Is(err, io.EOF) {
		return fmt.Errorf("at byte %d: want nothing after the end of the list", d.json.InputOffset())
	}
	return nil
}
