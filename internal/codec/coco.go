package codec

import (
	"io"
	"strconv"

	"github.com/proposer/proposer/box"
)

// cocoWriter writes COCO results, a list with one object per box, each on its own line:
//
//	{"image_id":139,"category_id":1,"bbox":[x,y,w,h],"score":0.5}
//
// If the row has masks, COCO's compressed mask precedes the closing brace:
//
//	,"segmentation":{"size":[height,width],"counts":"..."}
//
// The category is always 1, because proposals have none: evaluate with useCats=0. The image_id is
// [Row.ImageID]: a text if Row.TextID, otherwise a number without leading zeros if it is one. Images
// without boxes and errors are not represented. Images with equal image_ids, see [Format.Key], cannot
// be distinguished; the writer does not detect them.
//
// A file without boxes is an empty list, which the loadRes of pycocotools rejects because it inspects
// the first object.
type cocoWriter struct {
	w       io.Writer
	buf     []byte
	started bool
}

// cocoID returns the text of an image_id.
func cocoID(r *Row) string {
	id := validUTF8(r.ImageID())
	if r.TextID {
		return id
	}
	return CanonicalID(id)
}

// appendCOCOID appends an image_id as JSON.
func appendCOCOID(dst []byte, r *Row) []byte {
	if r.TextID {
		return appendString(dst, cocoID(r))
	}
	return appendID(dst, cocoID(r))
}

// Write writes the objects of a row.
func (c *cocoWriter) Write(r *Row) error {
	if err := r.validate(); err != nil {
		return err
	}
	head := append(appendCOCOID([]byte(`{"image_id":`), r), `,"category_id":1,"bbox":`...)
	c.buf = c.buf[:0]
	for i, b := range r.Boxes {
		c.appendSeparator()
		c.buf = append(c.buf, head...)
		c.buf = appendSides(c.buf, b)
		c.buf = append(c.buf, `,"score":`...)
		c.buf = appendScore(c.buf, r.Scores[i])
		if r.Masks != nil {
			c.buf = append(c.buf, `,"segmentation":`...)
			c.buf = appendMask(c.buf, r.Masks[i])
		}
		c.buf = append(c.buf, '}')
	}
	_, err := c.w.Write(c.buf)
	return err
}

// appendSides appends [x,y,w,h].
func appendSides(dst []byte, b box.Box) []byte {
	dst = append(dst, '[')
	dst = strconv.AppendInt(dst, int64(b.X0), 10)
	dst = append(dst, ',')
	dst = strconv.AppendInt(dst, int64(b.Y0), 10)
	dst = append(dst, ',')
	dst = strconv.AppendInt(dst, int64(b.X1)-int64(b.X0), 10)
	dst = append(dst, ',')
	dst = strconv.AppendInt(dst, int64(b.Y1)-int64(b.Y0), 10)
	return append(dst, ']')
}

// Close completes the list.
func (c *cocoWriter) Close() error {
	c.buf = c.buf[:0]
	if !c.started {
		c.buf = append(c.buf, '[')
	}
	_, err := c.w.Write(append(c.buf, "\n]\n"...))
	return err
}

// appendSeparator appends the beginning of the list or the separator of two objects.
func (c *cocoWriter) appendSeparator() {
	if c.started {
		c.buf = append(c.buf, ",\n"...)
		return
	}
	c.buf = append(c.buf, "[\n"...)
	c.started = true
}
