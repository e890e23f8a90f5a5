package codec

import (
	"io"
	"strconv"
)

// annotationsWriter writes proposals as COCO annotations, for training on them as on labeled objects:
//
//	{"images":[
//	{"id":139,"file_name":"000000000139.jpg","width":640,"height":426},
//	...
//	],"annotations":[
//	{"id":1,"image_id":139,"category_id":1,"bbox":[x,y,w,h],"area":1200,"iscrowd":0,"score":0.5},
//	...
//	],"categories":[
//	{"id":1,"name":"selective_search"}
//	]}
//
// The annotations of an image are in the order of its boxes. If the row has masks, COCO's compressed
// mask follows the score as "segmentation"; the area is that of the box in any case. The ids of images
// are those of COCO results. An image with an error is in the list, with its size unknown (0 × 0) and
// without annotations.
//
// The annotations are kept in a temporary file until Close. One image is kept in memory.
type annotationsWriter struct {
	w           io.Writer
	buf         []byte
	images      int
	count       int64 // of annotations
	annotations spool
}

// Write writes an image and keeps its annotations.
func (a *annotationsWriter) Write(r *Row) error {
	if err := r.validate(); err != nil {
		return err
	}
	id := appendCOCOID(nil, r)
	a.buf = a.buf[:0]
	for i, b := range r.Boxes {
		a.count++
		if a.count > 1 {
			a.buf = append(a.buf, ",\n"...)
		}
		a.buf = append(a.buf, `{"id":`...)
		a.buf = strconv.AppendInt(a.buf, a.count, 10)
		a.buf = append(a.buf, `,"image_id":`...)
		a.buf = append(a.buf, id...)
		a.buf = append(a.buf, `,"category_id":1,"bbox":`...)
		a.buf = appendSides(a.buf, b)
		a.buf = append(a.buf, `,"area":`...)
		a.buf = strconv.AppendInt(a.buf, b.Area(), 10)
		a.buf = append(a.buf, `,"iscrowd":0,"score":`...)
		a.buf = appendScore(a.buf, r.Scores[i])
		if r.Masks != nil {
			a.buf = append(a.buf, `,"segmentation":`...)
			a.buf = appendMask(a.buf, r.Masks[i])
		}
		a.buf = append(a.buf, '}')
	}
	if err := a.annotations.add(a.buf); err != nil {
		return err
	}
	a.buf = append(a.buf[:0], a.separator()...)
	a.images++
	a.buf = append(a.buf, `{"id":`...)
	a.buf = append(a.buf, id...)
	a.buf = append(a.buf, `,"file_name":`...)
	a.buf = appendString(a.buf, r.File)
	a.buf = appendField(a.buf, `,"width":`, r.Width)
	a.buf = appendField(a.buf, `,"height":`, r.Height)
	a.buf = append(a.buf, '}')
	_, err := a.w.Write(a.buf)
	return err
}

// separator returns what precedes an image.
func (a *annotationsWriter) separator() string {
	if a.images > 0 {
		return ",\n"
	}
	return `{"images":[` + "\n"
}

// Close completes the file, and removes the temporary file.
func (a *annotationsWriter) Close() error {
	defer a.annotations.remove()
	head := "\n],\"annotations\":[\n"
	if a.images == 0 {
		head = a.separator() + head[1:]
	}
	if _, err := io.WriteString(a.w, head); err != nil {
		return err
	}
	if err := a.annotations.copyTo(a.w); err != nil {
		return err
	}
	tail := "\n],\"categories\":[\n{\"id\":1,\"name\":\"selective_search\"}\n]}\n"
	if a.count == 0 {
		tail = tail[1:]
	}
	_, err := io.WriteString(a.w, tail)
	return err
}
