package codec

import (
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"path"
	"strings"
	"unicode/utf8"

	"github.com/proposer/proposer/box"
)

// matWriter writes the selective search proposals that Fast R-CNN, OICR and WSDDN load: a MAT-file of
// level 5 with, for P images, the 1×P cell arrays
//
//	boxes      matrices of doubles, one box per row: y1 x1 y2 x2
//	images     the base names of the files without their extensions
//	boxScores  columns of single-precision numbers: the score of each box
//
// Boxes are in MATLAB's convention: the first pixel is 1, and y2 and x2 are inclusive. The best boxes
// come first. Images are identified by their positions, which have to be those of the data set. An
// image with an error has no boxes.
//
// Like MATLAB, it stores doubles with integer values in fewer bytes, 16 per box: SciPy reads int32.
//
// The header contains sizes that are known only at the end, so the contents are kept in the folder of
// temporary files ([os.TempDir]) until Close. A variable is limited to 4 GiB, about 130,000 images of
// 2000 boxes; the image that would exceed this is rejected. One image is kept in memory.
type matWriter struct {
	w                     io.Writer
	buf                   []byte
	boxes, images, scores cellArray
}

func newMAT(w io.Writer) Writer { return &matWriter{w: w} }

// Data types and array classes.
const (
	miINT8, miINT32, miUINT32, miSINGLE, miDOUBLE, miMATRIX, miUTF8 = 1, 5, 6, 7, 9, 14, 16

	mxCELL, mxCHAR, mxDOUBLE, mxSINGLE = 1, 4, 6, 7
)

// matHead is the file header: a text, no subsystem data, the version and the byte order.
var matHead = fmt.Sprintf("%-116s%8s\x00\x01IM", "MATLAB 5.0 MAT-file, proposals of selective search", "")

// cellsHeadBytes is the maximum length of the header before the cells, without the tag.
const cellsHeadBytes = 16 + 16 + 24

// Write keeps a row.
func (m *matWriter) Write(r *Row) error {
	if err := r.validate(); err != nil {
		return err
	}
	if err := checkOneBased(r); err != nil {
		return err
	}
	name := path.Base(r.File)
	name = validUTF8(strings.TrimSuffix(name, path.Ext(name)))

	m.buf = appendBoxesCell(m.buf[:0], r.Boxes)
	n := len(m.buf)
	m.buf = appendNameCell(m.buf, name)
	k := len(m.buf)
	m.buf = appendScoresCell(m.buf, r.Scores)
	boxes, images, scores := m.buf[:n], m.buf[n:k], m.buf[k:]
	if !m.boxes.fits(boxes) || !m.images.fits(images) || !m.scores.fits(scores) {
		return fmt.Errorf("codec: %q: with its %d boxes, %d images exceed the 4 GiB of a MAT-file: want fewer boxes per image, or images in several files",
			r.File, len(r.Boxes), m.boxes.count+1)
	}
	if err := m.boxes.add(boxes); err != nil {
		return err
	}
	if err := m.images.add(images); err != nil {
		return err
	}
	return m.scores.add(scores)
}

// checkOneBased returns an error if a box cannot be counted from 1.
func checkOneBased(r *Row) error {
	for i, b := range r.Boxes {
		if max(b.X0, b.Y0) == math.MaxInt32 {
			return fmt.Errorf("codec: %q: box %d begins at %d, %d: want less than %d, because coordinates are 1-based", r.File, i, b.X0, b.Y0, math.MaxInt32)
		}
	}
	return nil
}

// Close writes the file, and removes the temporary files.
func (m *matWriter) Close() error {
	defer m.boxes.remove()
	defer m.images.remove()
	defer m.scores.remove()
	if _, err := io.WriteString(m.w, matHead); err != nil {
		return err
	}
	if err := m.boxes.writeTo(m.w, "boxes"); err != nil {
		return err
	}
	if err := m.images.writeTo(m.w, "images"); err != nil {
		return err
	}
	return m.scores.writeTo(m.w, "boxScores")
}

// cellArray is a cell array with one row, of unknown length.
type cellArray struct {
	spool
	count int
}

func (c *cellArray) fits(cell []byte) bool {
	return cellsHeadBytes+c.size+int64(len(cell)) <= math.MaxUint32
}

func (c *cellArray) add(cell []byte) error {
	if err := c.spool.add(cell); err != nil {
		return err
	}
	c.count++
	return nil
}

// writeTo writes the array.
func (c *cellArray) writeTo(w io.Writer, name string) error {
	head := appendArrayHead(nil, mxCELL, 1, c.count, name)
	head = append(appendTag(nil, miMATRIX, len(head)+int(c.size)), head...)
	if _, err := w.Write(head); err != nil {
		return err
	}
	return c.copyTo(w)
}

func appendBoxesCell(dst []byte, boxes []box.Box) []byte {
	dst = appendTag(dst, miMATRIX, 16+16+8+8+16*len(boxes))
	dst = appendArrayHead(dst, mxDOUBLE, len(boxes), 4, "")
	dst = appendTag(dst, miINT32, 16*len(boxes))
	// Matrices are stored by column.
	for _, b := range boxes {
		dst = appendInt32(dst, b.Y0+1)
	}
	for _, b := range boxes {
		dst = appendInt32(dst, b.X0+1)
	}
	for _, b := range boxes {
		dst = appendInt32(dst, b.Y1)
	}
	for _, b := range boxes {
		dst = appendInt32(dst, b.X1)
	}
	return dst
}

func appendScoresCell(dst []byte, scores []float32) []byte {
	start := len(dst)
	dst = appendTag(dst, miMATRIX, 0)
	dst = appendArrayHead(dst, mxSINGLE, len(scores), 1, "")
	dst = appendTag(dst, miSINGLE, 4*len(scores))
	for _, s := range scores {
		dst = appendFloat(dst, s)
	}
	dst = append(dst, make([]byte, 4*(len(scores)%2))...) // padding
	binary.LittleEndian.PutUint32(dst[start+4:], uint32(len(dst)-start-8))
	return dst
}

func appendNameCell(dst []byte, name string) []byte {
	start := len(dst)
	dst = appendTag(dst, miMATRIX, 0)
	dst = appendArrayHead(dst, mxCHAR, 1, utf8.RuneCountInString(name), "")
	dst = appendText(dst, miUTF8, name)
	binary.LittleEndian.PutUint32(dst[start+4:], uint32(len(dst)-start-8))
	return dst
}

// appendArrayHead appends the class, the dimensions and the name of an array.
func appendArrayHead(dst []byte, class uint32, rows, columns int, name string) []byte {
	dst = appendTag(dst, miUINT32, 8)
	dst = binary.LittleEndian.AppendUint32(dst, class)
	dst = binary.LittleEndian.AppendUint32(dst, 0)
	dst = appendTag(dst, miINT32, 8)
	dst = appendInt32(dst, int32(rows))
	dst = appendInt32(dst, int32(columns))
	return appendText(dst, miINT8, name)
}

// appendText appends bytes, padded to a multiple of eight. Up to four are stored in the tag.
func appendText(dst []byte, kind uint32, s string) []byte {
	if n := len(s); n > 0 && n <= 4 {
		dst = binary.LittleEndian.AppendUint32(dst, kind|uint32(n)<<16)
		dst = append(dst, s...)
		return append(dst, make([]byte, 4-n)...)
	}
	dst = appendTag(dst, kind, len(s))
	dst = append(dst, s...)
	return append(dst, make([]byte, -len(s)&7)...)
}

func appendTag(dst []byte, kind uint32, size int) []byte {
	dst = binary.LittleEndian.AppendUint32(dst, kind)
	return binary.LittleEndian.AppendUint32(dst, uint32(size))
}

func appendInt32(dst []byte, n int32) []byte {
	return binary.LittleEndian.AppendUint32(dst, uint32(n))
}
