package codec

import (
	"io"
	"path"
	"strings"

	"github.com/proposer/proposer/box"
)

// sidesWriter writes a JSON list or object of the boxes of each image, [[x,y,w,h],...], best first.
type sidesWriter struct {
	w          io.Writer
	buf        []byte
	head, tail string
	// appendKey appends what precedes the boxes of an image.
	appendKey func(dst []byte, r *Row) []byte
	// whole gives an image without boxes the box of the whole image, if its size is known.
	whole bool
	count int
}

// newSoCo returns a writer of the proposals that SoCo loads: a JSON object with the boxes of each image
// by its name,
//
//	{
//	"n01440764_18":[[x,y,w,h],...],
//	...
//	}
//
// The name is the base name of the file up to its first dot, as in SoCo, and has to be unique. An image
// with an error has no boxes: SoCo takes the whole image for it.
func newSoCo(w io.Writer) Writer {
	return &sidesWriter{w: w, head: "{\n", tail: "\n}\n", appendKey: func(dst []byte, r *Row) []byte {
		return append(appendString(dst, socoKey(r)), ':')
	}}
}

// socoKey returns the name of an image in SoCo.
func socoKey(r *Row) string {
	name, _, _ := strings.Cut(path.Base(validUTF8(r.File)), ".")
	return name
}

// newORL returns a writer of the proposals that ORL loads: a JSON object with the boxes of all images,
//
//	{"bbox":[
//	[[x,y,w,h],...],
//	...
//	]}
//
// Images are identified by their positions, which have to be those of the data set. ORL fails for an
// image without boxes, so that it has the box of the whole image, or none if it has an error.
func newORL(w io.Writer) Writer {
	return &sidesWriter{w: w, head: `{"bbox":[` + "\n", tail: "\n]}\n", whole: true, appendKey: func(dst []byte, _ *Row) []byte { return dst }}
}

// Write writes the boxes of a row.
func (s *sidesWriter) Write(r *Row) error {
	if err := r.validate(); err != nil {
		return err
	}
	boxes := r.Boxes
	if s.whole && len(boxes) == 0 && r.Width > 0 && r.Height > 0 {
		boxes = []box.Box{{X1: int32(r.Width), Y1: int32(r.Height)}}
	}
	s.buf = append(s.buf[:0], ",\n"...)
	if s.count == 0 {
		s.buf = append(s.buf[:0], s.head...)
	}
	s.count++
	s.buf = appendList(s.appendKey(s.buf, r), boxes, appendSides)
	_, err := s.w.Write(s.buf)
	return err
}

// Close completes the file.
func (s *sidesWriter) Close() error {
	s.buf = append(s.buf[:0], s.tail...)
	if s.count == 0 {
		s.buf = append(append(s.buf[:0], s.head...), s.tail[1:]...)
	}
	_, err := s.w.Write(s.buf)
	return err
}
