package codec

import (
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"os"
	"path"
	"strings"
	"unicode/utf8"

	"github.com/proposer/proposer/box"
)

// matWriter writes what Fast R-CNN loads as the proposals of selective search: a MAT-file of level 5 with
//
//	boxes    a 1×P cell array, by picture a matrix of doubles, a row a box: y1 x1 y2 x2
//	images   a P×1 cell array, by picture its file's base name without the extension
//
// Boxes are as MATLAB counts: a pixel is 1 or more, and y2 and x2 are the last that are in the box. Best
// boxes come first. Pictures are known by their places, which have to be those of the data set. A picture
// with an error has no boxes.
//
// As MATLAB does, it stores doubles that are whole in fewer bytes, 16 a box: SciPy has them as int32.
//
// The file's head tells sizes that are known at the end, so until [MAT.Close] what is written waits in
// the folder of temporary files ([os.TempDir]). A variable has less than 4 GiB, some 130,000 pictures of
// 2000 boxes; the picture that would break that is refused. It holds one picture at a time.
type matWriter struct {
	w             io.Writer
	buf           []byte
	boxes, images cellArray
}

func newMAT(w io.Writer) Writer { return &matWriter{w: w} }

// Types of data and classes of arrays.
const (
	miINT8, miINT32, miUINT32, miMATRIX, miUTF8 = 1, 5, 6, 14, 16

	mxCELL, mxCHAR, mxDOUBLE = 1, 4, 6
)

// matHead begins the file: a text, no data of subsystems, the version, and the bytes' order.
var matHead = fmt.Sprintf("%-116s%8s\x00\x01IM", "MATLAB 5.0 MAT-file, proposals of selective search", "")

// cellsHeadBytes is the length in bytes of what comes before the cells, without the tag.
const cellsHeadBytes = 16 + 16 + 16

// Write writes a picture.
func (m *matWriter) Write(r *Row) error {
	if err := r.validate(); err != nil {
		return err
	}
	for i, b := range r.Boxes {
		if max(b.X0, b.Y0) == math.MaxInt32 {
			return fmt.Errorf("export: %q: box %d begins at %d, %d: want less than %d, for one more has to be told", r.File, i, b.X0, b.Y0, math.MaxInt32)
		}
	}
	name := path.Base(r.File)
	name = validUTF8(strings.TrimSuffix(name, path.Ext(name)))

	m.buf = appendBoxesCell(m.buf[:0], r.Boxes)
	n := len(m.buf)
	m.buf = appendNameCell(m.buf, name)
	boxes, images := m.buf[:n], m.buf[n:]
	if !m.boxes.fits(boxes) || !m.images.fits(images) {
		return fmt.Errorf("export: %q: with its %d boxes those of %d pictures pass the 4 GiB that a MAT-file holds: want fewer boxes of each picture, or the pictures in several files",
			r.File, len(r.Boxes), m.boxes.count+1)
	}
	if err := m.boxes.add(boxes); err != nil {
		return err
	}
	return m.images.add(images)
}

// Close writes the file, and removes what was waiting.
func (m *matWriter) Close() error {
	defer m.boxes.remove()
	defer m.images.remove()
	if _, err := io.WriteString(m.w, matHead); err != nil {
		return err
	}
	if err := m.boxes.writeTo(m.w, "boxes", 1, m.boxes.count); err != nil {
		return err
	}
	return m.images.writeTo(m.w, "images", m.images.count, 1)
}

// cellArray are those of a cell array whose length is not known yet.
type cellArray struct {
	count int
	size  int64
	file  *os.File // nil before the first
}

func (c *cellArray) fits(cell []byte) bool {
	return cellsHeadBytes+c.size+int64(len(cell)) <= math.MaxUint32
}

func (c *cellArray) add(cell []byte) error {
	if c.file == nil {
		f, err := os.CreateTemp("", "proposer-*.mat.part")
		if err != nil {
			return spoolError(err)
		}
		// Where the system lets it go at once, not even a process that is killed leaves it behind.
		_ = os.Remove(f.Name())
		c.file = f
	}
	if _, err := c.file.Write(cell); err != nil {
		return spoolError(err)
	}
	c.count++
	c.size += int64(len(cell))
	return nil
}

func spoolError(err error) error {
	return fmt.Errorf("export: a MAT-file waits in the folder of temporary files until its sizes are known: %w: want room there, or another folder in TMPDIR", err)
}

// writeTo writes the array.
func (c *cellArray) writeTo(w io.Writer, name string, rows, columns int) error {
	head := appendTag(nil, miMATRIX, int(cellsHeadBytes+c.size))
	head = appendArrayHead(head, mxCELL, rows, columns, name)
	if _, err := w.Write(head); err != nil || c.file == nil {
		return err
	}
	if _, err := c.file.Seek(0, io.SeekStart); err != nil {
		return spoolError(err)
	}
	n, err := io.Copy(w, c.file)
	if err == nil && n != c.size {
		err = spoolError(fmt.Errorf("%d bytes of %d came back", n, c.size))
	}
	return err
}

func (c *cellArray) remove() {
	if c.file != nil {
		_ = c.file.Close()
		_ = os.Remove(c.file.Name())
	}
}

func appendBoxesCell(dst []byte, boxes []box.Box) []byte {
	dst = appendTag(dst, miMATRIX, 16+16+8+8+16*len(boxes))
	dst = appendArrayHead(dst, mxDOUBLE, len(boxes), 4, "")
	dst = appendTag(dst, miINT32, 16*len(boxes))
	// Column by column.
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

func appendNameCell(dst []byte, name string) []byte {
	start := len(dst)
	dst = appendTag(dst, miMATRIX, 0)
	dst = appendArrayHead(dst, mxCHAR, 1, utf8.RuneCountInString(name), "")
	dst = appendText(dst, miUTF8, name)
	binary.LittleEndian.PutUint32(dst[start+4:], uint32(len(dst)-start-8))
	return dst
}

// appendArrayHead appends an array's class, sides and name.
func appendArrayHead(dst []byte, class uint32, rows, columns int, name string) []byte {
	dst = appendTag(dst, miUINT32, 8)
	dst = binary.LittleEndian.AppendUint32(dst, class)
	dst = binary.LittleEndian.AppendUint32(dst, 0)
	dst = appendTag(dst, miINT32, 8)
	dst = appendInt32(dst, int32(rows))
	dst = appendInt32(dst, int32(columns))
	return appendText(dst, miINT8, name)
}

// appendText appends an element of bytes, padded to a multiple of eight; up to four are put in the tag.
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
