// Package npy writes and reads NumPy files: the header of a .npy file, and elements of arrays. It writes
// .npz archives of arrays in one pass; all numbers are then little-endian, all arrays in C order.
package npy

import (
	"archive/zip"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"io"
	"math"
	"strconv"
	"strings"
	"unicode/utf8"
)

const (
	magic = "\x93NUMPY"
	// align is the alignment of the array in the file.
	align = 64
	// growthDigits is the room that numpy.save leaves for the first dimension, so that it can be
	// updated when rows are appended.
	growthDigits = 21
)

// AppendHeader appends the header of a .npy file, byte for byte as written by numpy.save (1.24 and
// newer): format version 1.0, or 2.0 if it is longer than 65535 bytes. The array has to follow; it
// begins at a multiple of 64 bytes if the header does. descr is the type in NumPy's notation: '<f4',
// '|b1', '<U12', or a structured type such as
//
//	[('x', '<i4'), ('score', '<f4')]
//
// It panics if the type is empty or not ASCII, or if a dimension is negative.
func AppendHeader(dst []byte, descr string, shape ...int) []byte {
	if descr == "" || strings.ContainsFunc(descr, func(r rune) bool { return r < ' ' || r > '~' }) {
		panic(fmt.Sprintf("npy: type %q: want a NumPy type in ASCII", descr))
	}
	if descr[0] != '[' {
		descr = "'" + descr + "'"
	}
	var sides strings.Builder
	for i, n := range shape {
		if n < 0 {
			panic(fmt.Sprintf("npy: shape %v: want no negative dimension", shape))
		}
		if i > 0 {
			sides.WriteString(", ")
		}
		sides.WriteString(strconv.Itoa(n))
	}
	if len(shape) == 1 {
		sides.WriteString(",")
	}
	header := fmt.Sprintf("{'descr': %s, 'fortran_order': False, 'shape': (%s), }", descr, &sides)
	if len(shape) > 0 {
		header += strings.Repeat(" ", growthDigits-len(strconv.Itoa(shape[0])))
	}

	length := func(prefix int) int { // of the header with its padding and newline
		n := prefix + len(header) + 1
		return n + align - n%align - prefix
	}
	n := length(len(magic) + 4)
	dst = append(dst, magic...)
	if n <= math.MaxUint16 {
		dst = append(dst, 1, 0)
		dst = binary.LittleEndian.AppendUint16(dst, uint16(n))
	} else {
		n = length(len(magic) + 6)
		dst = append(dst, 2, 0)
		dst = binary.LittleEndian.AppendUint32(dst, uint32(n))
	}
	dst = append(dst, header...)
	for range n - len(header) - 1 {
		dst = append(dst, ' ')
	}
	return append(dst, '\n')
}

// Writer writes an .npz archive for numpy.load. Arrays are stored uncompressed and without times, so
// equal arrays are equal bytes. Their lengths precede them, so that the archive can be read as a
// stream. Arrays are not kept in memory.
//
// Each method for a type writes one array under a unique name. A nil shape means one dimension. The
// methods panic if the number of values does not match the shape, or if the name is empty or not
// unique. Errors are those of the underlying writer.
type Writer struct {
	zip   *zip.Writer
	names map[string]bool
	buf   []byte
}

// NewWriter returns a Writer of an archive to w.
func NewWriter(w io.Writer) *Writer {
	return &Writer{zip: zip.NewWriter(w), names: map[string]bool{}}
}

// Float32s writes an array of float32.
func (z *Writer) Float32s(name string, shape []int, v []float32) error {
	return writeArray(z, name, "<f4", shape, v, func(dst []byte, x float32) []byte {
		return binary.LittleEndian.AppendUint32(dst, math.Float32bits(x))
	})
}

// Int32s writes an array of int32.
func (z *Writer) Int32s(name string, shape []int, v []int32) error {
	return writeArray(z, name, "<i4", shape, v, func(dst []byte, x int32) []byte { return binary.LittleEndian.AppendUint32(dst, uint32(x)) })
}

// Int64s writes an array of int64.
func (z *Writer) Int64s(name string, shape []int, v []int64) error {
	return writeArray(z, name, "<i8", shape, v, func(dst []byte, x int64) []byte { return binary.LittleEndian.AppendUint64(dst, uint64(x)) })
}

// Bools writes an array of bool.
func (z *Writer) Bools(name string, shape []int, v []bool) error {
	return writeArray(z, name, "|b1", shape, v, func(dst []byte, x bool) []byte {
		if x {
			return append(dst, 1)
		}
		return append(dst, 0)
	})
}

// Strings writes an array of strings. NumPy stores all of them with the length of the longest, 4 bytes
// per code point, and reads trailing NULs as padding: "a\x00" becomes "a". An invalid UTF-8 byte
// becomes U+FFFD.
func (z *Writer) Strings(name string, v []string) error {
	longest := 1
	for _, s := range v {
		longest = max(longest, utf8.RuneCountInString(s))
	}
	return writeArray(z, name, fmt.Sprintf("<U%d", longest), nil, v, func(dst []byte, s string) []byte {
		n := longest
		for _, r := range s {
			dst = binary.LittleEndian.AppendUint32(dst, uint32(r))
			n--
		}
		return append(dst, make([]byte, 4*n)...)
	})
}

// Close completes the archive. It does not close the underlying writer.
func (z *Writer) Close() error { return z.zip.Close() }

// chunkBytes is the number of bytes per write.
const chunkBytes = 1 << 16

func writeArray[T any](z *Writer, name, descr string, shape []int, v []T, appendTo func([]byte, T) []byte) error {
	if shape == nil {
		shape = []int{len(v)}
	}
	n := 1
	for _, side := range shape {
		n *= side
	}
	if n != len(v) {
		panic(fmt.Sprintf("npy: array %q: %d values for the shape %v: want %d", name, len(v), shape, n))
	}
	if name == "" || z.names[name] {
		panic(fmt.Sprintf("npy: array %q: want a unique name", name))
	}
	z.names[name] = true

	write := func(w io.Writer) error {
		z.buf = AppendHeader(z.buf[:0], descr, shape...)
		for _, x := range v {
			z.buf = appendTo(z.buf, x)
			if len(z.buf) >= chunkBytes {
				if _, err := w.Write(z.buf); err != nil {
					return err
				}
				z.buf = z.buf[:0]
			}
		}
		_, err := w.Write(z.buf)
		return err
	}
	var m checksumWriter
	if err := write(&m); err != nil {
		return err
	}
	entry := &zip.FileHeader{
		Name: name + ".npy", Method: zip.Store,
		CRC32: m.sum, CompressedSize64: m.length, UncompressedSize64: m.length,
		CreatorVersion: 20, ReaderVersion: 20,
	}
	// 1980-01-01, the earliest date. CreateRaw uses only this field.
	entry.ModifiedDate = 1<<5 | 1 //nolint:staticcheck // Modified would leave month and day at 0
	w, err := z.zip.CreateRaw(entry)
	if err != nil {
		return err
	}
	return write(w)
}

// checksumWriter computes the length and the checksum of its input.
type checksumWriter struct {
	sum    uint32
	length uint64
}

func (m *checksumWriter) Write(p []byte) (int, error) {
	m.sum = crc32.Update(m.sum, crc32.IEEETable, p)
	m.length += uint64(len(p))
	return len(p), nil
}
