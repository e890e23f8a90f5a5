package codec

import (
	"io"
	"strconv"
)

// cocoWriter writes COCO's results, a list with an object a box, each on a line of its own:
//
//	{"image_id":139,"category_id":1,"bbox":[x,y,w,h],"score":0.5}
//
// with the row's mask, if it has masks, as COCO's compressed
//
//	,"segmentation":{"size":[height,width],"counts":"..."}
//
// before the closing brace. All are of category 1, for proposals have none: evaluate them with
// useCats=0. The image_id is [Row.ImageID], a number where it is one, as COCO's own are. The
// form has no place for pictures without boxes or for reasons. Of two pictures with the same
// identity, which [Format.Key] tells, the boxes could not be told apart; it does not look for such.
//
// A file of no boxes is an empty list, which pycocotools' loadRes fails on (it looks at the
// first object); all others it takes, if it knows the image_ids.
type cocoWriter struct {
	w       io.Writer
	buf     []byte
	started bool
}

// Write writes the objects of a picture.
func (c *cocoWriter) Write(r *Row) error {
	if err := r.validate(); err != nil {
		return err
	}
	head := append(appendID([]byte(`{"image_id":`), validUTF8(r.ImageID())), `,"category_id":1,"bbox":[`...)
	c.buf = c.buf[:0]
	for i, b := range r.Boxes {
		c.appendSeparator()
		c.buf = append(c.buf, head...)
		c.buf = strconv.AppendInt(c.buf, int64(b.X0), 10)
		c.buf = append(c.buf, ',')
		c.buf = strconv.AppendInt(c.buf, int64(b.Y0), 10)
		c.buf = append(c.buf, ',')
		c.buf = strconv.AppendInt(c.buf, int64(b.X1)-int64(b.X0), 10)
		c.buf = append(c.buf, ',')
		c.buf = strconv.AppendInt(c.buf, int64(b.Y1)-int64(b.Y0), 10)
		c.buf = append(c.buf, `],"score":`...)
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

// Close ends the list.
func (c *cocoWriter) Close() error {
	c.buf = c.buf[:0]
	if !c.started {
		c.buf = append(c.buf, '[')
	}
	_, err := c.w.Write(append(c.buf, "\n]\n"...))
	return err
}

// appendSeparator begins the list, or parts it from the object before.
func (c *cocoWriter) appendSeparator() {
	if c.started {
		c.buf = append(c.buf, ",\n"...)
		return
	}
	c.buf = append(c.buf, "[\n"...)
	c.started = true
}
