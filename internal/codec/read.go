package codec

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"math"
	"strconv"
	"time"

	"github.com/proposer/proposer/box"
	"github.com/proposer/proposer/internal/jsonscan"
	"github.com/proposer/proposer/mask"
)

// maxLineBytes is the longest line that is read: about seven million boxes.
const maxLineBytes = 256 << 20

// maxSeconds is the longest valid time: about eleven days.
const maxSeconds = 1e6

// Line is a line of JSON Lines.
type Line struct {
	Number int // counted from 1
	Row    Row
}

// LineError reports an invalid line.
type LineError struct {
	Number int
	Err    error
}

func (e *LineError) Error() string { return fmt.Sprintf("codec: line %d: %v", e.Number, e.Err) }

func (e *LineError) Unwrap() error { return e.Err }

// ReadJSONL yields the lines of format jsonl, in order, without strategies, evidence and tree. Lines of
// other programs may omit everything but the file and either boxes or an error, and may have other
// keys. Scores and masks, if present, have one value per box, and masks have the size of the image.
// Empty lines are skipped. The first error ends the iteration: that of r, or a *[LineError].
//
// It buffers one line, of at most 256 MiB. Rows are not reused.
func ReadJSONL(r io.Reader) iter.Seq2[*Line, error] { return readJSONL(r, maxLineBytes) }

func readJSONL(r io.Reader, maxBytes int) iter.Seq2[*Line, error] {
	return func(yield func(*Line, error) bool) {
		in := bufio.NewScanner(r)
		in.Buffer(nil, maxBytes)
		number := 1
		for ; in.Scan(); number++ {
			if len(in.Bytes()) == 0 {
				continue
			}
			line := &Line{Number: number}
			if err := line.parse(in.Bytes()); err != nil {
				yield(nil, &LineError{number, err})
				return
			}
			if !yield(line, nil) {
				return
			}
		}
		if err := in.Err(); errors.Is(err, bufio.ErrTooLong) {
			yield(nil, &LineError{number, fmt.Errorf("too long: want lines of at most %d bytes", maxBytes)})
		} else if err != nil {
			yield(nil, err)
		}
	}
}

// parse reads a line.
func (l *Line) parse(text []byte) error {
	var o struct {
		File        *string         `json:"file"`
		ID          json.RawMessage `json:"id"`
		Width       int             `json:"width"`
		Height      int             `json:"height"`
		Orientation int             `json:"orientation"`
		Search      float64         `json:"seconds"`
		Decode      float64         `json:"decode_seconds"`
		Boxes       json.RawMessage `json:"boxes"`
		Scores      json.RawMessage `json:"scores"`
		Masks       json.RawMessage `json:"masks"`
		Error       *string         `json:"error"`
		Warning     string          `json:"warning"`
	}
	if err := json.Unmarshal(text, &o); err != nil {
		return err
	}
	switch {
	case o.File == nil:
		return errors.New("no file: want the name of the image")
	case o.Error == nil && o.Boxes == nil:
		return fmt.Errorf("%q has neither boxes nor an error: want either", *o.File)
	case o.Error != nil && (o.Boxes != nil || o.Scores != nil || o.Masks != nil):
		return fmt.Errorf("%q has both an error and boxes, scores or masks: want either", *o.File)
	case o.Width < 0 || o.Height < 0 || o.Width > math.MaxInt32 || o.Height > math.MaxInt32:
		return fmt.Errorf("%q is %d × %d: want sides from 0 to %d", *o.File, o.Width, o.Height, math.MaxInt32)
	case o.Orientation < 0 || o.Orientation > 8:
		return fmt.Errorf("%q has orientation %d: want 0 to 8", *o.File, o.Orientation)
	case o.Search < 0 || o.Decode < 0 || o.Search > maxSeconds || o.Decode > maxSeconds:
		return fmt.Errorf("%q took %v and %v seconds: want 0 to %.0f", *o.File, o.Search, o.Decode, maxSeconds)
	}
	l.Row = Row{
		File: *o.File, Width: o.Width, Height: o.Height, Orientation: o.Orientation,
		SearchTime: seconds(o.Search), DecodeTime: seconds(o.Decode), Warning: o.Warning,
	}
	var err error
	if l.Row.ID, err = parseID(o.ID); err != nil {
		return fmt.Errorf("%q: %w", *o.File, err)
	}
	l.Row.TextID = l.Row.ID != "" && o.ID[0] == '"'
	if o.Error != nil {
		l.Row.Error = *o.Error
		if l.Row.Error == "" {
			l.Row.Error = "unknown error"
		}
		return nil
	}
	if l.Row.Boxes, err = parseBoxes(o.Boxes); err != nil {
		return fmt.Errorf("%q: %w", *o.File, err)
	}
	if o.Scores != nil {
		if l.Row.Scores, err = parseScores(o.Scores); err != nil {
			return fmt.Errorf("%q: %w", *o.File, err)
		}
		if n, m := len(l.Row.Boxes), len(l.Row.Scores); n != m {
			return fmt.Errorf("%q has %d boxes and %d scores: want equal numbers, or no scores", *o.File, n, m)
		}
	}
	if o.Masks != nil {
		if l.Row.Masks, err = parseMasks(o.Masks, &l.Row); err != nil {
			return fmt.Errorf("%q: %w", *o.File, err)
		}
	}
	return nil
}

// parseMasks parses one mask per box of the row. It stops at the first error, so that a line of a
// million empty objects needs no memory.
func parseMasks(text []byte, r *Row) ([]mask.RLE, error) {
	const want = "want {size:[height,width],counts:text}"
	if text[0] != '[' {
		return nil, errors.New("masks: want a list of {size,counts}")
	}
	in := json.NewDecoder(bytes.NewReader(text))
	if _, err := in.Token(); err != nil {
		return nil, err
	}
	masks := []mask.RLE{}
	for in.More() {
		if len(masks) == len(r.Boxes) {
			return nil, fmt.Errorf("%d boxes and more masks: want equal numbers, or no masks", len(r.Boxes))
		}
		var m struct {
			Size   json.RawMessage `json:"size"`
			Counts *string         `json:"counts"`
		}
		if err := in.Decode(&m); err != nil {
			return nil, fmt.Errorf("mask %d: %w: %s", len(masks), err, want)
		}
		var size [2]int32
		n := 0
		c := jsonscan.New(m.Size)
		err := c.Array(func() error {
			v, err := parseInteger(c.Number())
			if err != nil || n == len(size) {
				return jsonscan.ErrNotArray
			}
			size[n] = v
			n++
			return nil
		})
		if err != nil || n != len(size) || m.Counts == nil {
			return nil, fmt.Errorf("mask %d: %s", len(masks), want)
		}
		if int(size[0]) != r.Height || int(size[1]) != r.Width {
			return nil, fmt.Errorf("mask %d is of an image of %d×%d: want %d×%d", len(masks), size[1], size[0], r.Width, r.Height)
		}
		parsed, err := mask.Parse(*m.Counts, r.Width, r.Height)
		if err != nil {
			return nil, fmt.Errorf("mask %d: %w", len(masks), err)
		}
		masks = append(masks, parsed)
	}
	if n, m := len(r.Boxes), len(masks); n != m {
		return nil, fmt.Errorf("%d boxes and %d masks: want equal numbers, or no masks", n, m)
	}
	return masks, nil
}

// parseID parses a string, or a number, whose text it keeps.
func parseID(text json.RawMessage) (id string, err error) {
	if len(text) == 0 || string(text) == "null" {
		return "", nil
	}
	if text[0] != '"' {
		if text[0] == '-' || text[0] >= '0' && text[0] <= '9' {
			return string(text), nil
		}
		return "", fmt.Errorf("id %.40s: want a number or a string", text)
	}
	err = json.Unmarshal(text, &id)
	return id, err
}

// seconds returns a duration, rounded to the precision of the format.
func seconds(s float64) time.Duration {
	return time.Duration(math.Round(s*1e6)) * time.Microsecond
}

// The lists of numbers, most of a line, are scanned without encoding/json, which is slow and accepts
// null as 0. The text has been checked to be valid JSON.

func parseBoxes(text []byte) ([]box.Box, error) {
	c := jsonscan.New(text)
	var boxes []box.Box
	err := c.Array(func() error {
		var v [4]int32
		n := 0
		err := c.Array(func() error {
			token := c.Number()
			i, err := parseInteger(token)
			if err != nil {
				return fmt.Errorf("box %d: %.40q: want integers", len(boxes), token)
			}
			if n < 4 {
				v[n] = i
			}
			n++
			return nil
		})
		if err == nil && n != 4 {
			err = errNotBox
		}
		if errors.Is(err, jsonscan.ErrNotArray) || errors.Is(err, errNotBox) {
			err = fmt.Errorf("box %d: want [x0,y0,x1,y1]", len(boxes))
		}
		boxes = append(boxes, box.Box{X0: v[0], Y0: v[1], X1: v[2], Y1: v[3]})
		return err
	})
	if errors.Is(err, jsonscan.ErrNotArray) {
		err = errors.New("boxes: want a list of [x0,y0,x1,y1]")
	}
	return boxes, err
}

func parseScores(text []byte) ([]float32, error) {
	c := jsonscan.New(text)
	var scores []float32
	err := c.Array(func() error {
		token := c.Number()
		s, err := strconv.ParseFloat(string(token), 32)
		if err != nil {
			return fmt.Errorf("score %d: %.40q: want a number", len(scores), token)
		}
		scores = append(scores, float32(s))
		return nil
	})
	if errors.Is(err, jsonscan.ErrNotArray) {
		err = errors.New("scores: want a list of numbers")
	}
	return scores, err
}

// parseInteger parses an integer, also if it is written as 12.0.
func parseInteger(token []byte) (int32, error) {
	i, err := strconv.ParseInt(string(token), 10, 32)
	if err == nil {
		return int32(i), nil
	}
	f, err := strconv.ParseFloat(string(token), 64)
	if err != nil || f != math.Trunc(f) || math.Abs(f) > math.MaxInt32 {
		return 0, strconv.ErrSyntax
	}
	return int32(f), nil
}

var errNotBox = errors.New("not four numbers")
