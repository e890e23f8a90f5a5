// Package codec writes ranked proposals in the forms that consumers read ([Formats]),
// among them one JSON object a picture, which it reads back ([ReadJSONL]).
//
// The writers stream: a picture is written when it comes. None is safe for concurrent use.
//
// Numbers are exact: a score is the shortest decimal that reads back as the
// same float32, a coordinate is a whole number. Times are rounded to the
// microsecond. File names are written as UTF-8; a byte that is not valid UTF-8
// becomes U+FFFD, because hardly a form can carry it.
package codec

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/proposer/proposer/box"
	"github.com/proposer/proposer/candidate"
	"github.com/proposer/proposer/internal/propose"
	"github.com/proposer/proposer/mask"
	"github.com/proposer/proposer/selective"
)

// Row is one picture and its proposals.
type Row struct {
	// File is the name the picture is known by: its base name, or its path in a data set.
	File string
	// Folder is where File is below, a path or its last name; formats whose names of pictures hold
	// the folder's take it for a File without one. It may be empty.
	Folder string
	// ID is what a data set calls the picture, empty if it does not.
	ID string
	// Width and Height are the upright picture's, in pixels; 0 if they are not known.
	Width, Height int
	// Orientation is the EXIF orientation of the file; 0 and 1 are none.
	Orientation int
	// Search and Decode are the wall times, 0 if they are not to be told.
	SearchTime, DecodeTime time.Duration
	// Boxes are in the picture's pixels, best first; Scores go with them.
	Boxes  []box.Box
	Scores []float32
	// Error is why the picture has no proposals; empty if it has, perhaps none.
	Error string

	// The rest is written by JSONL, masks by all formats that have a place for them, and only
	// what is not nil.

	// Strategies are those of the search; Origins and Tree have their indices.
	Strategies []selective.Strategy
	// Masks are the pixels of the regions that the boxes are of: by box, of the picture.
	Masks []mask.RLE
	// Origins are the tree nodes that the boxes are of: by box, at least one.
	Origins [][]candidate.Origin
	// Tree is that of one strategy.
	Tree *propose.Tree
}

// NewRow returns the row of a result, without masks, origins and tree.
func NewRow(file string, r *propose.Result) *Row {
	return &Row{
		File: file, Width: r.Width, Height: r.Height, Orientation: r.Orientation,
		SearchTime: r.SearchTime, DecodeTime: r.DecodeTime,
		Boxes: r.Boxes, Scores: r.Scores,
	}
}

// ImageID is the picture's ID or, without one, its file's base name without the
// extension; a decimal number, as COCO's names are, without leading zeros.
func (r *Row) ImageID() string {
	id := r.ID
	if id == "" {
		id = path.Base(r.File)
		id = strings.TrimSuffix(id, path.Ext(id))
	}
	if n, err := strconv.ParseUint(id, 10, 63); err == nil {
		return strconv.FormatUint(n, 10)
	}
	return id
}

// Writer writes pictures one after the other.
type Writer interface {
	// Write writes a picture, or keeps it for later. It refuses a row with as many boxes as it
	// has not scores, or masks or origins if it has any, a score that is not finite, sides
	// that are not from 0 to 2³¹−1, or both boxes and an error, and what the format has no
	// place for, and writes nothing of it.
	Write(r *Row) error
	// Close writes what ends the file. A file of no pictures is one, too.
	Close() error
}

// Format is a form of file.
type Format struct {
	Name      string
	Extension string // with its dot
	// Whole says that the form is one file of all pictures; others may be cut in parts.
	SingleFile bool
	// Masks says that the form has a place for the masks of a row.
	Masks bool
	// Key is what the form knows a picture by, which no two pictures of a file may share; nil if
	// that is their place.
	Key func(r *Row) string

	writer func(w io.Writer) Writer
}

// Formats are those that [NewWriter] knows.
func Formats() []Format { return slices.Clone(formats) }

var formats = []Format{
	{Name: "jsonl", Extension: ".jsonl", Masks: true, writer: func(w io.Writer) Writer { return &jsonlWriter{w: w} }},
	{Name: "csv", Extension: ".csv", writer: func(w io.Writer) Writer { return &csvWriter{w: w} }},
	{Name: "parquet", Extension: ".parquet", writer: func(w io.Writer) Writer { return newParquet(w) }},
	{Name: "npz", Extension: ".npz", writer: func(w io.Writer) Writer { return newNPZ(w) }},
	{Name: "npy", Extension: ".npy", writer: func(w io.Writer) Writer { return &npyWriter{w: w} }},
	{Name: "coco", Extension: ".json", SingleFile: true, Masks: true, Key: (*Row).ImageID, writer: func(w io.Writer) Writer { return &cocoWriter{w: w} }},
	{Name: "detectron2", Extension: ".pkl", SingleFile: true, Key: detectron2Key, writer: newDetectron2},
	{Name: "mmdet", Extension: ".pkl", SingleFile: true, Key: mmdetKey, writer: newMMDet},
	{Name: "mmdet2", Extension: ".pkl", SingleFile: true, writer: newMMDet2},
	{Name: "mat", Extension: ".mat", SingleFile: true, writer: newMAT},
}

// ParseFormat finds a format by its name.
func ParseFormat(name string) (Format, error) {
	var names []string
	for _, f := range formats {
		if f.Name == name {
			return f, nil
		}
		names = append(names, f.Name)
	}
	return Format{}, fmt.Errorf("export: format %q: want one of %s", name, strings.Join(names, ", "))
}

// NewWriter returns the writer of a format by its name.
func NewWriter(w io.Writer, format string) (Writer, error) {
	f, err := ParseFormat(format)
	if err != nil {
		return nil, err
	}
	return f.NewWriter(w), nil
}

// NewWriter returns the writer of a format that is one of [Formats].
func (f Format) NewWriter(w io.Writer) Writer { return f.writer(w) }

func (r *Row) validate() error {
	if r.Error != "" && len(r.Boxes) > 0 {
		return fmt.Errorf("export: %q has %d boxes and an error: want one of them", r.File, len(r.Boxes))
	}
	if r.Width < 0 || r.Height < 0 || r.Width > math.MaxInt32 || r.Height > math.MaxInt32 {
		return fmt.Errorf("export: %q is %d × %d: want sides from 0 to %d", r.File, r.Width, r.Height, math.MaxInt32)
	}
	if len(r.Boxes) != len(r.Scores) {
		return fmt.Errorf("export: %q has %d boxes and %d scores: want as many", r.File, len(r.Boxes), len(r.Scores))
	}
	for i, s := range r.Scores {
		if f := float64(s); math.IsNaN(f) || math.IsInf(f, 0) {
			return fmt.Errorf("export: %q: score %d is %v: want a finite number", r.File, i, s)
		}
	}
	return r.validateEvidence()
}

// jsonlWriter writes JSON Lines: one object a picture, in the order of the calls,
//
//	{"file":"a.jpg","width":640,"height":480,"seconds":0.2,"decode_seconds":0.01,"boxes":[[x0,y0,x1,y1],...],"scores":[...]}
//
// with the data set's "id" after the file if it has one, a number where that can be; with the
// file's EXIF "orientation" before the seconds if it has one that is not 1; without seconds that
// are not known; and {"file":"b.jpg","error":"..."} for a picture without proposals. Lists are
// never null. After the scores come, of a row that has them,
//
//	"strategies":[{"color":"HSV","k":50,"measures":"CTSF","min_size":50},...]
//	"masks":[{"size":[height,width],"counts":"..."},...]
//	"evidence":[{"strategies":9,"strategy":0,"position":12,"size":4123,"birth":1.5,"death":0.25},...]
//	"tree":{"strategy":0,"width":640,"height":480,"leaves":R,"parents":[...],"similarities":[...],"sizes":[...],"boxes":[...],"labels":[...]}
//
// where masks are COCO's, evidence tells the number of a box's origins and of the first one
// all that candidate.Origin does, and the tree's lists are by node, as [Tree] has them; a
// first region's birth and similarity are null.
type jsonlWriter struct {
	w   io.Writer
	buf []byte
}

// Write writes one line.
func (j *jsonlWriter) Write(r *Row) error {
	line, err := AppendJSON(j.buf[:0], r)
	if err != nil {
		return err
	}
	j.buf = append(line, '\n')
	_, err = j.w.Write(j.buf)
	return err
}

// Close has nothing to write.
func (j *jsonlWriter) Close() error { return nil }

// AppendJSON appends the object that [jsonlWriter] writes for a picture, without the
// line's end. On an error dst comes back as it was.
func AppendJSON(dst []byte, r *Row) ([]byte, error) {
	if err := r.validate(); err != nil {
		return dst, err
	}
	dst = append(dst, `{"file":`...)
	dst = appendString(dst, r.File)
	if r.ID != "" {
		dst = append(dst, `,"id":`...)
		dst = appendID(dst, r.ID)
	}
	if r.Error != "" {
		dst = append(dst, `,"error":`...)
		dst = appendString(dst, r.Error)
		return append(dst, '}'), nil
	}
	dst = appendField(dst, `,"width":`, r.Width)
	dst = appendField(dst, `,"height":`, r.Height)
	if r.Orientation > 1 {
		dst = appendField(dst, `,"orientation":`, r.Orientation)
	}
	if r.SearchTime > 0 {
		dst = append(dst, `,"seconds":`...)
		dst = appendSeconds(dst, r.SearchTime)
	}
	if r.DecodeTime > 0 {
		dst = append(dst, `,"decode_seconds":`...)
		dst = appendSeconds(dst, r.DecodeTime)
	}
	dst = append(dst, `,"boxes":`...)
	dst = appendList(dst, r.Boxes, appendBoxArray)
	dst = append(dst, `,"scores":`...)
	dst = appendList(dst, r.Scores, appendScore)
	dst = appendEvidence(dst, r)
	return append(dst, '}'), nil
}

// csvHeader names the columns of CSV.
const csvHeader = "file,width,height,rank,x0,y0,x1,y1,score\n"

// csvWriter writes RFC 4180 with a header, lines ending in LF, one line a box:
//
//	file,width,height,rank,x0,y0,x1,y1,score
//
// Rank is 1 for a picture's best box. A picture without proposals has no line:
// every column but the file stays a number, whatever failed, so that readers
// infer the right types; who needs the reasons in the data takes JSONL.
// Times are left out, so equal proposals are equal files.
type csvWriter struct {
	w             io.Writer
	buf           []byte
	headerWritten bool
}

// Write writes the picture's lines.
func (c *csvWriter) Write(r *Row) error {
	if err := r.validate(); err != nil {
		return err
	}
	c.reset()
	start := len(c.buf)
	c.buf = appendCSVField(c.buf, r.File)
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
		c.buf = appendCoordinates(c.buf, b)
		c.buf = append(c.buf, ',')
		c.buf = appendScore(c.buf, r.Scores[i])
		c.buf = append(c.buf, '\n')
	}
	return c.flush()
}

// Close writes the header, if there was no picture.
func (c *csvWriter) Close() error {
	c.reset()
	return c.flush()
}

func (c *csvWriter) reset() {
	c.buf = c.buf[:0]
	if !c.headerWritten {
		c.buf = append(c.buf, csvHeader...)
	}
}

func (c *csvWriter) flush() error {
	if len(c.buf) == 0 {
		return nil
	}
	c.headerWritten = true
	_, err := c.w.Write(c.buf)
	return err
}

// appendCSVField quotes what RFC 4180 wants quoted, and a leading space, which
// some readers trim.
func appendCSVField(dst []byte, s string) []byte {
	s = validUTF8(s)
	if !strings.ContainsAny(s, "\",\r\n") && !strings.HasPrefix(s, " ") && s != "" {
		return append(dst, s...)
	}
	dst = append(dst, '"')
	dst = append(dst, strings.ReplaceAll(s, `"`, `""`)...)
	return append(dst, '"')
}

// validUTF8 is s with U+FFFD for each byte that is not UTF-8, as JSON has it.
func validUTF8(s string) string {
	if utf8.ValidString(s) {
		return s
	}
	return string([]rune(s))
}

// appendBoxArray writes a list.
func appendBoxArray(dst []byte, b box.Box) []byte {
	dst = append(dst, '[')
	dst = appendCoordinates(dst, b)
	return append(dst, ']')
}

func appendCoordinates(dst []byte, b box.Box) []byte {
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

// appendID writes a number where it is one as JSON has them, else a string.
func appendID(dst []byte, id string) []byte {
	if n, err := strconv.ParseUint(id, 10, 63); err == nil && strconv.FormatUint(n, 10) == id {
		return append(dst, id...)
	}
	return appendString(dst, id)
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
