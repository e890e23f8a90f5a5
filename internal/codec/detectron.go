package codec

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// detectronWriter writes the proposals that Detectron and the weakly supervised detectors derived from
// it load (PCL, wetectron, OD-WSCL, WeakSAM): a pickle of
//
//	{"boxes": [array...], "scores": [array...], "indexes": [int...]}
//
// where the lists have one entry per image, sorted by index: its boxes x1 y1 x2 y2 as float32 of shape
// (n, 4), its scores as float32 of shape (n,), and its id. Coordinates count from 0 and are inclusive:
// x2 is the last column of the box. An image with an error has no boxes. Boxes of one pixel in width or
// height are omitted, because some of these programs treat boxes with x1 = x2 as empty.
//
// The id is that of the data set as an int, as Python's int reads it: VOC's "000005" is 5, and
// "2008_000002" is 2008000002. In format detectron-no-year it is the number after the year, 2, which
// wetectron looks for in the test set of VOC 2012. Other ids, and duplicate ids, are errors.
//
// The pickle is of protocol 2, which Python 2 can read. The images are kept in a temporary file until
// Close, and about 150 bytes per image in memory.
type detectronWriter struct {
	w      io.Writer
	number func(id string) string // returns the digits of an id
	buf    []byte
	// corners and values are the numbers of an image's arrays.
	corners, values []byte

	images spool
	index  []spooledImage
	ids    map[int64]string // file by id
}

// spooledImage is the place of an image in a spool.
type spooledImage struct{ id, offset, size int64 }

// detectronHead is pickleHead in protocol 2, followed by three empty lists, which are 3 to 5 in the memo.
const detectronHead = "\x80\x02" +
	"cnumpy.core.multiarray\n_reconstruct\n" + "q\x000" +
	"cnumpy\nndarray\n" + "K\x00\x85" + "X\x01\x00\x00\x00b" + "\x87q\x010" +
	"cnumpy\ndtype\n" + "X\x02\x00\x00\x00f4\x89\x88\x87R" +
	"(K\x03X\x01\x00\x00\x00<NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb" + "q\x020" +
	// 6 is the function that makes bytes of a text, 7 its second argument
	"c_codecs\nencode\n" + "q\x060" + "X\x06\x00\x00\x00latin1" + "q\x070" +
	"}X\x05\x00\x00\x00boxes]q\x03s" + "X\x06\x00\x00\x00scores]q\x04s" + "X\x07\x00\x00\x00indexes]q\x05s"

func newDetectron(number func(id string) string) func(w io.Writer) Writer {
	return func(w io.Writer) Writer { return &detectronWriter{w: w, number: number, ids: map[int64]string{}} }
}

// detectronKey returns a Format.Key.
func detectronKey(number func(id string) string) func(r *Row) (string, error) {
	return func(r *Row) (string, error) {
		id, err := detectronID(r, number)
		return strconv.FormatInt(id, 10), err
	}
}

// wholeNumber returns the digits of an id, in which single underscores may separate groups.
func wholeNumber(id string) string {
	groups := strings.Split(id, "_")
	if slices.Contains(groups, "") {
		return ""
	}
	return strings.Join(groups, "")
}

// numberWithoutYear returns what follows the first underscore of an id, or an id without one.
func numberWithoutYear(id string) string {
	if _, number, ok := strings.Cut(id, "_"); ok {
		return number
	}
	return id
}

func detectronID(r *Row, number func(id string) string) (int64, error) {
	id := r.ImageID()
	n, err := strconv.ParseUint(number(id), 10, 63)
	if err != nil {
		return 0, fmt.Errorf("codec: %.100q has the id %.100q: want a number below 2^63, such as 000005 or 2008_000002, or another format than Detectron's", r.File, id)
	}
	return int64(n), nil
}

// Write keeps a row.
func (d *detectronWriter) Write(r *Row) error {
	if err := r.validateRanked(); err != nil {
		return err
	}
	id, err := detectronID(r, d.number)
	if err != nil {
		return err
	}
	if file, taken := d.ids[id]; taken {
		return fmt.Errorf("codec: %q has the id %d in the file, like %q: want distinct ids", r.File, id, file)
	}
	d.corners, d.values = d.corners[:0], d.values[:0]
	n := 0
	for i, b := range r.Boxes {
		if int64(b.X1)-int64(b.X0) <= 1 || int64(b.Y1)-int64(b.Y0) <= 1 {
			continue
		}
		for _, v := range [4]int32{b.X0, b.Y0, b.X1 - 1, b.Y1 - 1} {
			d.corners = appendFloat(d.corners, float32(v))
		}
		d.values = appendFloat(d.values, r.Scores[i])
		n++
	}
	d.buf = appendLatin1Array(append(d.buf[:0], "h\x03"...), d.corners, n, 4)
	d.buf = appendLatin1Array(append(d.buf, "a0h\x04"...), d.values, n, 0)
	d.buf = appendPickledInt(append(d.buf, "a0h\x05"...), id)
	d.buf = append(d.buf, "a0"...)
	img := spooledImage{id, d.images.size, int64(len(d.buf))}
	if err := d.images.add(d.buf); err != nil {
		return err
	}
	d.index = append(d.index, img)
	d.ids[id] = r.File
	return nil
}

// Close writes the pickle, and removes the temporary file.
func (d *detectronWriter) Close() error {
	defer d.images.remove()
	if _, err := io.WriteString(d.w, detectronHead); err != nil {
		return err
	}
	slices.SortFunc(d.index, func(a, b spooledImage) int { return cmp.Compare(a.id, b.id) })
	for _, img := range d.index {
		if err := d.images.copyRange(d.w, img.offset, img.size); err != nil {
			return err
		}
	}
	_, err := io.WriteString(d.w, ".")
	return err
}

// appendLatin1Array appends a float32 array of shape (n,) or, if columns > 0, (n, columns), in protocol
// 2: its bytes are those of a text in Latin-1, because Python 2 and 3 have no common type for bytes.
func appendLatin1Array(dst, numbers []byte, n, columns int) []byte {
	dst = appendPickledShape(dst, n, columns)
	dst = append(dst, "h\x02\x89h\x06X\x00\x00\x00\x00"...)
	start := len(dst)
	for _, c := range numbers {
		dst = utf8.AppendRune(dst, rune(c))
	}
	binary.LittleEndian.PutUint32(dst[start-4:], uint32(len(dst)-start))
	return append(dst, "h\x07\x86R"+pickledArrayEnd...)
}
