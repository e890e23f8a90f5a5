// Package export writes ranked proposals in the forms that consumers read: one
// JSON object a picture ([JSONL]) and one line a box ([CSV]); and reads the former
// back ([ReadJSONL]).
//
// The writers stream: a picture is one call and one Write, nothing is kept between
// pictures but the buffer. Neither is safe for concurrent use.
//
// Numbers are exact: a score is the shortest decimal that reads back as the
// same float32, a coordinate is a whole number. Times are rounded to the
// microsecond. File names are written as UTF-8; a byte that is not valid UTF-8
// becomes U+FFFD, because neither form can carry it.
package export

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/proposer/proposer/box"
	"github.com/proposer/proposer/mask"
	"github.com/proposer/proposer/selective"
)

// Row is one picture and its proposals.
type Row struct {
	// File is the name the picture is known by, mostly its base name.
	File string
	// Width and Height are the upright picture's, in pixels.
	Width, Height int
	// Orientation is the EXIF orientation of the file; 0 and 1 are none.
	Orientation int
	// Search and Decode are the wall times.
	Search, Decode time.Duration
	// Boxes are in the picture's pixels, best first; Scores go with them.
	Boxes  []box.Box
	Scores []float32

	// The rest is written by JSONL alone, and only what is not nil.

	// Strategies are those of the search; Origins and Tree have their indices.
	Strategies []selective.Strategy
	// Masks are the pixels of the regions that the boxes are of: by box, of the picture.
	Masks []mask.RLE
	// Origins are the tree nodes that the boxes are of: by box, at least one.
	Origins [][]selective.Origin
	// Tree is that of one strategy.
	Tree *Tree
}

// Writer writes pictures one after the other.
type Writer interface {
	// Write writes a picture. It refuses a row with as many boxes as it has not
	// scores, or masks or origins if it has any, or a score that is not finite, and writes
	// nothing of it.
	Write(r *Row) error
	// WriteError says that a picture has no proposals, and why.
	WriteError(file string, reason error) error
}

// NewWriter returns the writer of a format by its name, one of [Formats].
func NewWriter(w io.Writer, format string) (Writer, error) {
	switch format {
	case "jsonl":
		return &JSONL{w: w}, nil
	case "csv":
		return &CSV{w: w}, nil
	}
	return nil, fmt.Errorf("export: format %q: want %s", format, strings.Join(Formats(), " or "))
}

// Formats are the names that [NewWriter] knows.
func Formats() []string { return []string{"jsonl", "csv"} }

func (r *Row) check() error {
	if len(r.Boxes) != len(r.Scores) {
		return fmt.Errorf("export: %q has %d boxes and %d scores: want as many", r.File, len(r.Boxes), len(r.Scores))
	}
	for i, s := range r.Scores {
		if f := float64(s); math.IsNaN(f) || math.IsInf(f, 0) {
			return fmt.Errorf("export: %q: score %d is %v: want a finite number", r.File, i, s)
		}
	}
	return r.checkEvidence()
}

// JSONL writes JSON Lines: one object a picture, in the order of the calls,
//
//	{"file":"a.jpg","width":640,"height":480,"seconds":0.2,"decode_seconds":0.01,"boxes":[[x0,y0,x1,y1],...],"scores":[...]}
//
// with the file's EXIF "orientation" before the seconds if it has one that is not 1, and
// {"file":"b.jpg","error":"..."} for a picture without proposals. Lists are
// never null. After the scores come, of a row that has them,
//
//	"strategies":[{"color":"HSV","k":50,"measures":"CTSF","min_size":50},...]
//	"masks":[{"size":[height,width],"counts":"..."},...]
//	"evidence":[{"strategies":9,"strategy":0,"position":12,"size":4123,"birth":1.5,"death":0.25},...]
//	"tree":{"strategy":0,"width":640,"height":480,"leaves":R,"parents":[...],"similarities":[...],"sizes":[...],"boxes":[...],"labels":[...]}
//
// where masks are COCO's, evidence tells the number of a box's origins and of the first one
// all that selective.Origin does, and the tree's lists are by node, as [Tree] has them; a
// first region's birth and similarity are null.
type JSONL struct {
	w   io.Writer
	buf []byte
}

// Write writes one line.
func (j *JSONL) Write(r *Row) error {
	line, err := AppendJSON(j.buf[:0], r)
	if err != nil {
		return err
	}
	j.buf = append(line, '\n')
	_, err = j.w.Write(j.buf)
	return err
}

// WriteError writes one line.
func (j *JSONL) WriteError(file string, reason error) error {
	j.buf = append(j.buf[:0], `{"file":`...)
	j.buf = appendString(j.buf, file)
	j.buf = append(j.buf, `,"error":`...)
	j.buf = appendString(j.buf, reason.Error())
	j.buf = append(j.buf, "}\n"...)
	_, err := j.w.Write(j.buf)
	return err
}

// AppendJSON appends the object that [JSONL] writes for a picture, without the
// line's end. On an error dst comes back as it was.
func AppendJSON(dst []byte, r *Row) ([]byte, error) {
	if err := r.check(); err != nil {
		return dst, err
	}
	dst = append(dst, `{"file":`...)
	dst = appendString(dst, r.File)
	dst = append(dst, `,"width":`...)
	dst = strconv.AppendInt(dst, int64(r.Width), 10)
	dst = append(dst, `,"height":`...)
	dst = strconv.AppendInt(dst, int64(r.Height), 10)
	if r.Orientation > 1 {
		dst = append(dst, `,"orientation":`...)
		dst = strconv.AppendInt(dst, int64(r.Orientation), 10)
	}
	dst = append(dst, `,"seconds":`...)
	dst = appendSeconds(dst, r.Search)
	dst = append(dst, `,"decode_seconds":`...)
	dst = appendSeconds(dst, r.Decode)
	dst = append(dst, `,"boxes":`...)
	dst = appendList(dst, r.Boxes, appendCorners)
	dst = append(dst, `,"scores":`...)
	dst = appendList(dst, r.Scores, appendScore)
	dst = appendEvidence(dst, r)
	return append(dst, '}'), nil
}

// csvHeader names the columns of CSV.
const csvHeader = "file,width,height,rank,x0,y0,x1,y1,score\n"

// CSV writes RFC 4180 with a header, lines ending in LF, one line a box:
//
//	file,width,height,rank,x0,y0,x1,y1,score
//
// Rank is 1 for a picture's best box. A picture without proposals has no line:
// every column but the file stays a number, whatever failed, so that readers
// infer the right types; who needs the reasons in the data takes JSONL.
// Times are left out, so equal proposals are equal files.
type CSV struct {
	w      io.Writer
	buf    []byte
	headed bool
}

// Write writes the picture's lines.
func (c *CSV) Write(r *Row) error {
	if err := r.check(); err != nil {
		return err
	}
	c.begin()
	start := len(c.buf)
	c.buf = appendField(c.buf, r.File)
	c.buf = append(c.buf, ',')
	c.buf = strconv.AppendInt(c.buf, int64(r.Width), 10)
	c.buf = append(c.buf, ',')
	c.buf = strconv.AppendInt(c.buf, int64(r.Height), 10)
	c.buf = append(c.buf, ',')
	prefix := bytes.Clone(c.buf[start:])
	c.buf = c.buf[:start]
	for i, b := range r.Boxes {
		c.buf = append(c.buf, prefix...)
		c.buf = strconv.AppendInt(c.buf, int64(i)+1, 10)
		c.buf = append(c.buf, ',')
		c.buf = appendBox(c.buf, b)
		c.buf = append(c.buf, ',')
		c.buf = appendScore(c.buf, r.Scores[i])
		c.buf = append(c.buf, '\n')
	}
	return c.flush()
}

// WriteError writes no line but the header, if that is still to come.
func (c *CSV) WriteError(string, error) error {
	c.begin()
	return c.flush()
}

func (c *CSV) begin() {
	c.buf = c.buf[:0]
	if !c.headed {
		c.buf = append(c.buf, csvHeader...)
	}
}

func (c *CSV) flush() error {
	if len(c.buf) == 0 {
		return nil
	}
	c.headed = true
	_, err := c.w.Write(c.buf)
	return err
}

// appendField quotes what RFC 4180 wants quoted, and a leading space, which
// some readers trim.
func appendField(dst []byte, s string) []byte {
	s = string([]rune(s)) // U+FFFD for each bad byte, as in JSON
	if !strings.ContainsAny(s, "\",\r\n") && !strings.HasPrefix(s, " ") && s != "" {
		return append(dst, s...)
	}
	dst = append(dst, '"')
	dst = append(dst, strings.ReplaceAll(s, `"`, `""`)...)
	return append(dst, '"')
}

// appendCorners writes a list.
func appendCorners(dst []byte, b box.Box) []byte {
	dst = append(dst, '[')
	dst = appendBox(dst, b)
	return append(dst, ']')
}

func appendBox(dst []byte, b box.Box) []byte {
	dst = strconv.AppendInt(dst, int64(b.X0), 10)
	dst = append(dst, ',')
	dst = strconv.AppendInt(dst, int64(b.Y0), 10)
	dst = append(dst, ',')
	dst = strconv.AppendInt(dst, int64(b.X1), 10)
	dst = append(dst, ',')
	return strconv.AppendInt(dst, int64(b.Y1), 10)
}

// appendScore writes a number as encoding/json does.
func appendScore(dst []byte, s float32) []byte {
	a := float32(math.Abs(float64(s)))
	if a == 0 || a >= 1e-6 && a < 1e21 {
		return strconv.AppendFloat(dst, float64(s), 'f', -1, 32)
	}
	dst = strconv.AppendFloat(dst, float64(s), 'e', -1, 32)
	if n := len(dst); dst[n-4] == 'e' && dst[n-3] == '-' && dst[n-2] == '0' {
		dst = append(dst[:n-2], dst[n-1]) // e-07 is e-7
	}
	return dst
}

func appendSeconds(dst []byte, d time.Duration) []byte {
	// Not Duration.Seconds: its sum of seconds and a fraction may be off in the last place.
	return strconv.AppendFloat(dst, float64(d.Round(time.Microsecond).Microseconds())/1e6, 'f', -1, 64)
}

// appendString writes a JSON string, with &, < and > as they are. Once a
// picture, so encoding/json may do it.
func appendString(dst []byte, s string) []byte {
	var buf bytes.Buffer
	e := json.NewEncoder(&buf)
	e.SetEscapeHTML(false)
	if err := e.Encode(s); err != nil {
		panic(errors.Join(errors.New("export: a string that encoding/json refuses"), err))
	}
	return append(dst, bytes.TrimSuffix(buf.Bytes(), []byte("\n"))...)
}
