// Package codec writes ranked proposals in the file formats that consumers read ([Formats] and, of one
// file per image, [ImageFormats]), and reads JSON Lines back ([ReadJSONL]).
//
// The writers stream: each image is written when it is added, except where a format's documentation
// says otherwise. They are not safe for concurrent use.
//
// Numbers are exact: a score is the shortest decimal that parses to the same float32, a coordinate is
// an integer. Times are rounded to microseconds. File names are written as UTF-8; an invalid byte
// becomes U+FFFD, because most formats cannot represent it.
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

// Row is an image and its proposals.
type Row struct {
	// File is the name of the image: its path as it was given, or in a data set.
	File string
	// Folder is the path or base name of the folder of File. Formats that identify images by folder
	// and name use it for a File without a folder. It may be empty.
	Folder string
	// ID is the id of the image in its data set; empty if there is none.
	ID string
	// TextID reports that ids are texts even if they are numbers. Formats that can have both write
	// numbers without it.
	TextID bool
	// Width and Height are the size of the upright image, in pixels; 0 if unknown.
	Width, Height int
	// Orientation is the EXIF orientation of the file; 0 and 1 mean upright.
	Orientation int
	// SearchTime and DecodeTime are wall times; 0 omits them.
	SearchTime, DecodeTime time.Duration
	// Warning is that of the search, for people; empty if there is none. It is written only by jsonl.
	Warning string
	// Boxes are in pixels of the image, best first; Scores has the score of each.
	Boxes  []box.Box
	Scores []float32
	// Error is the reason why the image failed; empty if it was searched.
	Error string

	// The fields below, up to Tree, are written only by jsonl, except for Masks (Format.Masks), and
	// only if they are not nil.

	// Strategies are those of the search; Origins and Tree refer to them by index.
	Strategies []selective.Strategy
	// Masks has, for each box, the mask of its region in the image.
	Masks []mask.RLE
	// Origins has, for each box, the tree nodes that it is made of: one or more. Kinds says how.
	Origins [][]candidate.Origin
	Kinds   []candidate.Kind
	// Tree is the merge tree of one strategy.
	Tree *propose.Tree

	// Labels is the initial region of each pixel, in raster order, for an [ImageFormat] of labels.
	Labels []int32
}

// NewRow returns the row of a result, without masks, origins and tree.
func NewRow(file string, r *propose.Result) *Row {
	return &Row{
		File: file, Width: r.Width, Height: r.Height, Orientation: r.Orientation,
		SearchTime: r.SearchTime, DecodeTime: r.DecodeTime, Warning: r.Warning,
		Boxes: r.Boxes, Scores: r.Scores,
	}
}

// ImageID returns ID or, if it is empty, an id made from the base name of File without its extension:
// if that is a decimal number, as in COCO, without its leading zeros.
func (r *Row) ImageID() string {
	if r.ID != "" {
		return r.ID
	}
	name := path.Base(r.File)
	return CanonicalID(strings.TrimSuffix(name, path.Ext(name)))
}

// CanonicalID returns a decimal number without leading zeros, and other ids as they are.
func CanonicalID(id string) string {
	if n, err := strconv.ParseUint(id, 10, 63); err == nil {
		return strconv.FormatUint(n, 10)
	}
	return id
}

// Writer writes rows to a file.
type Writer interface {
	// Write writes a row, or keeps it until Close. An invalid row is an error and is not written:
	// numbers of boxes and scores (or masks or origins, if present) that differ, a score that is
	// not finite, a width or height outside 0 to 2³¹−1, both boxes and an error, or values that
	// the format cannot represent.
	Write(r *Row) error
	// Close completes the file. A file of no images is valid.
	Close() error
}

// Format is a file format.
type Format struct {
	Name      string
	Extension string // with the dot
	// SingleFile reports whether all images have to be in one file; other formats may be divided.
	SingleFile bool
	// COCO reports whether ids are those of a COCO file: each a number or a text as the file of the
	// data set has it. Ids of other data sets are numbers if they can be, see [CanonicalID].
	COCO bool
	// Masks reports whether the format contains the masks of a row.
	Masks bool
	// Key returns the name by which the format identifies an image, which has to be unique in a
	// file, or an error if the format cannot identify the image; nil if images are identified by
	// position.
	Key func(r *Row) (string, error)

	writer func(w io.Writer) Writer
}

// Formats returns all formats.
func Formats() []Format { return slices.Clone(formats) }

var formats = []Format{
	{Name: "jsonl", Extension: ".jsonl", Masks: true, writer: func(w io.Writer) Writer { return &jsonlWriter{w: w} }},
	{Name: "csv", Extension: ".csv", writer: func(w io.Writer) Writer { return &csvWriter{w: w} }},
	{Name: "parquet", Extension: ".parquet", writer: func(w io.Writer) Writer { return newParquet(w) }},
	{Name: "npz", Extension: ".npz", writer: func(w io.Writer) Writer { return newNPZ(w) }},
	{Name: "coco", Extension: ".json", SingleFile: true, COCO: true, Masks: true, Key: keyed(cocoID), writer: func(w io.Writer) Writer { return &cocoWriter{w: w} }},
	{Name: "coco-annotations", Extension: ".json", SingleFile: true, COCO: true, Masks: true, Key: keyed(cocoID), writer: func(w io.Writer) Writer { return &annotationsWriter{w: w} }},
	{Name: "detectron", Extension: ".pkl", SingleFile: true, Key: detectronKey(wholeNumber), writer: newDetectron(wholeNumber)},
	{Name: "detectron-no-year", Extension: ".pkl", SingleFile: true, Key: detectronKey(numberWithoutYear), writer: newDetectron(numberWithoutYear)},
	{Name: "detectron2", Extension: ".pkl", SingleFile: true, Key: keyed(detectron2Key), writer: newDetectron2},
	{Name: "mmdet", Extension: ".pkl", SingleFile: true, Key: keyed(mmdetKey), writer: newMMDet},
	{Name: "mmdet2", Extension: ".pkl", SingleFile: true, writer: newMMDet2},
	{Name: "mat", Extension: ".mat", SingleFile: true, writer: newMAT},
	{Name: "soco", Extension: ".json", SingleFile: true, Key: keyed(socoKey), writer: newSoCo},
	{Name: "orl", Extension: ".json", SingleFile: true, writer: newORL},
}

// keyed returns a Format.Key of a format that can identify any image.
func keyed(key func(r *Row) string) func(r *Row) (string, error) {
	return func(r *Row) (string, error) { return key(r), nil }
}

// ParseFormat returns the format with a name.
func ParseFormat(name string) (Format, error) {
	var names []string
	for _, f := range formats {
		if f.Name == name {
			return f, nil
		}
		names = append(names, f.Name)
	}
	return Format{}, fmt.Errorf("codec: format %q: want one of %s", name, strings.Join(names, ", "))
}

// NewWriter returns a writer of the format with a name.
func NewWriter(w io.Writer, format string) (Writer, error) {
	f, err := ParseFormat(format)
	if err != nil {
		return nil, err
	}
	return f.NewWriter(w), nil
}

// NewWriter returns a writer of a format from [Formats].
func (f Format) NewWriter(w io.Writer) Writer { return f.writer(w) }

func (r *Row) validate() error {
	if r.Error != "" && len(r.Boxes) > 0 {
		return fmt.Errorf("codec: %q has %d boxes and an error: want one of them", r.File, len(r.Boxes))
	}
	if r.Width < 0 || r.Height < 0 || r.Width > math.MaxInt32 || r.Height > math.MaxInt32 {
		return fmt.Errorf("codec: %q is %d × %d: want sides from 0 to %d", r.File, r.Width, r.Height, math.MaxInt32)
	}
	if len(r.Boxes) != len(r.Scores) {
		return fmt.Errorf("codec: %q has %d boxes and %d scores: want equal numbers", r.File, len(r.Boxes), len(r.Scores))
	}
	for i, s := range r.Scores {
		if f := float64(s); math.IsNaN(f) || math.IsInf(f, 0) {
			return fmt.Errorf("codec: %q: score %d is %v: want a finite number", r.File, i, s)
		}
	}
	return r.validateEvidence()
}

// jsonlWriter writes JSON Lines: one object per image, in the order of the calls,
//
//	{"file":"a.jpg","width":640,"height":480,"seconds":0.2,"decode_seconds":0.01,"boxes":[[x0,y0,x1,y1],...],"scores":[...]}
//
// with the "id" of the data set after the file, as a number if it is one and not Row.TextID; with the
// EXIF "orientation" before the seconds if it is not 1; without seconds that are 0; with a "warning"
// before the boxes if there is one; and {"file":"b.jpg","error":"..."} for an image that failed. Lists
// are never null. If the row has them, these follow the scores:
//
//	"strategies":[{"color":"HSV","k":50,"measures":"CTSF","min_size":50},...]
//	"masks":[{"size":[height,width],"counts":"..."},...]
//	"evidence":[{"strategies":9,"strategy":0,"position":12,"size":4123,"birth":1.5,"death":0.25},...]
//	"tree":{"strategy":0,"width":640,"height":480,"leaves":R,"parents":[...],"similarities":[...],"sizes":[...],"boxes":[...],"labels":[...]}
//
// Masks are those of COCO. Evidence has the number of origins of a box ("strategies") and the fields
// of the first one. The lists of the tree have one value per node, see [propose.Tree]. The birth and
// the similarity of an initial region are null.
type jsonlWriter struct {
	w   io.Writer
	buf []byte
}

// Write writes a line.
func (j *jsonlWriter) Write(r *Row) error {
	line, err := AppendJSON(j.buf[:0], r)
	if err != nil {
		return err
	}
	j.buf = append(line, '\n')
	_, err = j.w.Write(j.buf)
	return err
}

// Close has no effect.
func (j *jsonlWriter) Close() error { return nil }

// AppendJSON appends a row as the JSON object of format jsonl, without a newline. On an error it
// returns dst unchanged.
func AppendJSON(dst []byte, r *Row) ([]byte, error) {
	if err := r.validate(); err != nil {
		return dst, err
	}
	dst = append(dst, `{"file":`...)
	dst = appendString(dst, r.File)
	if r.ID != "" {
		dst = append(dst, `,"id":`...)
		if r.TextID {
			dst = appendString(dst, r.ID)
		} else {
			dst = appendID(dst, r.ID)
		}
	}
	if r.Error != "" {
		dst = append(dst, `,"error":`...)
		dst = appendString(dst, r.Error)
		return append(dst, '}'), nil
	}
	dst = appendSearched(dst, r)
	dst = append(dst, `,"boxes":`...)
	dst = appendList(dst, r.Boxes, appendBoxArray)
	dst = append(dst, `,"scores":`...)
	dst = appendList(dst, r.Scores, appendScore)
	dst = appendEvidence(dst, r)
	return append(dst, '}'), nil
}

// appendSearched appends what is known of an image after its search.
func appendSearched(dst []byte, r *Row) []byte {
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
	if r.Warning != "" {
		dst = append(dst, `,"warning":`...)
		dst = appendString(dst, r.Warning)
	}
	return dst
}

// csvHeader is the first line of a CSV file.
const csvHeader = "file,width,height,rank,x0,y0,x1,y1,score\n"

// csvWriter writes RFC 4180 with a header and LF line ends, one line per box:
//
//	file,width,height,rank,x0,y0,x1,y1,score
//
// Rank is 1 for the best box of an image. An image without proposals has no line, so that all columns
// but the file are numeric. Times are omitted, so equal proposals are equal files.
type csvWriter struct {
	w             io.Writer
	buf           []byte
	headerWritten bool
}

// Write writes the lines of a row.
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

// Close writes the header if there was no row.
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

// appendCSVField appends a field, quoted if RFC 4180 requires it or if it has a leading space, which
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

// validUTF8 returns s with U+FFFD for each invalid byte, as in JSON.
func validUTF8(s string) string {
	if utf8.ValidString(s) {
		return s
	}
	return string([]rune(s))
}

// appendBoxArray appends [x0,y0,x1,y1].
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

// appendScore appends a number as encoding/json does.
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
	// Duration.Seconds adds seconds and a fraction, which may be off in the last digit.
	return strconv.AppendFloat(dst, float64(d.Round(time.Microsecond).Microseconds())/1e6, 'f', -1, 64)
}

// appendID appends a JSON number if id is an integer of 64 bits in canonical form, else a string.
func appendID(dst []byte, id string) []byte {
	if n, err := strconv.ParseUint(id, 10, 64); err == nil && strconv.FormatUint(n, 10) == id {
		return append(dst, id...)
	}
	if n, err := strconv.ParseInt(id, 10, 64); err == nil && strconv.FormatInt(n, 10) == id {
		return append(dst, id...)
	}
	return appendString(dst, id)
}

// appendString appends a JSON string without escaping &, < and >.
func appendString(dst []byte, s string) []byte {
	var buf bytes.Buffer
	e := json.NewEncoder(&buf)
	e.SetEscapeHTML(false)
	if err := e.Encode(s); err != nil {
		panic(errors.Join(errors.New("codec: a string that encoding/json refuses"), err))
	}
	return append(dst, bytes.TrimSuffix(buf.Bytes(), []byte("\n"))...)
}
