package imageio

import (
	"bytes"
	"compress/zlib"
	"encoding/binary"
	"hash/crc32"
	"math/bits"
)

// Functions that write small files which Go's encoders cannot write.

// pngFile returns a PNG of packed rows without filter bytes. Extra chunks come
// before the pixels.
func pngFile(width, height, depth, kind int, rows [][]byte, extra ...[]byte) []byte {
	var raw bytes.Buffer
	z := zlib.NewWriter(&raw)
	for _, row := range rows {
		z.Write([]byte{0})
		z.Write(row)
	}
	z.Close()
	b := []byte(pngMagic)
	ihdr := binary.BigEndian.AppendUint32(nil, uint32(width))
	ihdr = binary.BigEndian.AppendUint32(ihdr, uint32(height))
	b = append(b, pngChunk("IHDR", append(ihdr, byte(depth), byte(kind), 0, 0, 0))...)
	b = append(b, bytes.Join(extra, nil)...)
	b = append(b, pngChunk("IDAT", raw.Bytes())...)
	return append(b, pngChunk("IEND", nil)...)
}

func pngChunk(kind string, body []byte) []byte {
	b := binary.BigEndian.AppendUint32(nil, uint32(len(body)))
	b = append(append(b, kind...), body...)
	return binary.BigEndian.AppendUint32(b, crc32.ChecksumIEEE(b[4:]))
}

func segment(marker byte, body ...byte) []byte {
	return append(binary.BigEndian.AppendUint16([]byte{0xff, marker}, uint16(len(body)+2)), body...)
}

// adobe returns Adobe's segment, which gives the color transform: 0 for none, 2 for YCCK.
func adobe(transform byte) []byte {
	return segment(0xee, 'A', 'd', 'o', 'b', 'e', 0, 100, 0, 0, 0, 0, transform)
}

// jpegFile returns an image of flat blocks of 8×8. levels holds the channels of each block, row by row, or as
// many as the file has; extra segments come first.
func jpegFile(width, height, channels int, levels []uint8, extra ...[]byte) []byte {
	w := newJPEGWriter(width, height, bytes.Repeat([]byte{0x11}, channels), extra)
	for i, level := range levels {
		w.block(i%channels, level)
	}
	return w.end()
}

// subsampledJPEG returns an image of flat blocks of 8×8. factors are the sampling factors of each channel, as in
// the file, and level returns that of block (x, y) of channel c. Extra segments come first.
func subsampledJPEG(width, height int, factors []byte, level func(c, x, y int) uint8, extra ...[]byte) []byte {
	w := newJPEGWriter(width, height, factors, extra)
	columns, rows := 8, 8 // pixels in a minimum coded unit
	for _, f := range factors {
		columns, rows = max(columns, 8*int(f>>4)), max(rows, 8*int(f&15))
	}
	for y := range (height + rows - 1) / rows {
		for x := range (width + columns - 1) / columns {
			for c, f := range factors {
				h, v := int(f>>4), int(f&15)
				for i := range h * v {
					w.block(c, level(c, x*h+i%h, y*v+i/h))
				}
			}
		}
	}
	return w.end()
}

// A jpegWriter writes flat blocks: the DC coefficients are all it codes, with a quantizer of 8 they are the levels
// less 128.
type jpegWriter struct {
	b    []byte
	acc  uint64
	n    int
	last []int
}

func newJPEGWriter(width, height int, factors []byte, extra [][]byte) *jpegWriter {
	channels := len(factors)
	b := append([]byte{0xff, 0xd8}, bytes.Join(extra, nil)...)
	b = append(b, segment(0xdb, append([]byte{0}, bytes.Repeat([]byte{8}, 64)...)...)...)
	frame := []byte{8, byte(height >> 8), byte(height), byte(width >> 8), byte(width), byte(channels)}
	scan := []byte{byte(channels)}
	for c, f := range factors {
		frame = append(frame, byte(c+1), f, 0)
		scan = append(scan, byte(c+1), 0)
	}
	b = append(b, segment(0xc0, frame...)...)
	// DC: 12 sizes, each a code of 4 bits. AC: only "end of block", in one bit.
	b = append(b, segment(0xc4, 0, 0, 0, 0, 12, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11)...)
	b = append(b, segment(0xc4, 0x10, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0)...)
	b = append(b, segment(0xda, append(scan, 0, 63, 0)...)...)
	return &jpegWriter{b: b, last: make([]int, channels)}
}

func (w *jpegWriter) put(v uint64, size int) {
	w.acc, w.n = w.acc<<size|v, w.n+size
	for w.n >= 8 {
		w.n -= 8
		c := byte(w.acc >> w.n)
		if w.b = append(w.b, c); c == 0xff {
			w.b = append(w.b, 0)
		}
	}
}

func (w *jpegWriter) block(c int, level uint8) {
	diff := int(level) - 128 - w.last[c]
	w.last[c] += diff
	size := bits.Len(uint(max(diff, -diff)))
	w.put(uint64(size), 4)
	if diff < 0 {
		diff += 1<<size - 1
	}
	w.put(uint64(diff), size)
	w.put(0, 1)
}

func (w *jpegWriter) end() []byte {
	w.put(0x7f, 7)
	return append(w.b, 0xff, 0xd9)
}

// bmpFile returns a BMP with a header of info bytes. pixels are the rows as stored. Masks that the
// header has no room for follow it.
func bmpFile(info, width, height, depth, compression int, masks []uint32, palette, pixels []byte) []byte {
	le := binary.LittleEndian
	h := make([]byte, max(14+info, 54*min(len(masks), 1)+4*len(masks)))
	copy(h, "BM")
	le.PutUint32(h[2:], uint32(len(h)+len(palette)+len(pixels)))
	le.PutUint32(h[10:], uint32(len(h)+len(palette)))
	le.PutUint32(h[14:], uint32(info))
	le.PutUint32(h[18:], uint32(width))
	le.PutUint32(h[22:], uint32(height))
	if info == 12 {
		le.PutUint16(h[18:], uint16(width))
		le.PutUint16(h[20:], uint16(height))
		le.PutUint16(h[22:], 1)
		le.PutUint16(h[24:], uint16(depth))
	}
	if info >= 40 {
		le.PutUint16(h[26:], 1)
		le.PutUint16(h[28:], uint16(depth))
		le.PutUint32(h[30:], uint32(compression))
		le.PutUint32(h[46:], uint32(len(palette)/4))
	}
	for i, m := range masks {
		le.PutUint32(h[54+4*i:], m)
	}
	return append(append(h, palette...), pixels...)
}

type tiffTag struct {
	tag, kind uint16 // kind 3: SHORT, 4: LONG, see tiffTypeSizes
	values    []uint32
}

// tiffFile returns a TIFF with the pixels in one uncompressed strip. tags are sorted, without
// those of the strip and the sides.
func tiffFile(order binary.AppendByteOrder, width, height int, tags []tiffTag, pixels []byte) []byte {
	all := []tiffTag{{256, 4, []uint32{uint32(width)}}, {257, 4, []uint32{uint32(height)}}}
	strip := []tiffTag{{273, 4, []uint32{8}}, {278, 4, []uint32{uint32(height)}}, {279, 4, []uint32{uint32(len(pixels))}}}
	for _, t := range tags {
		for len(strip) > 0 && strip[0].tag < t.tag {
			all, strip = append(all, strip[0]), strip[1:]
		}
		all = append(all, t)
	}
	return rawTIFF(order, append(all, strip...), pixels)
}

// rawTIFF returns a TIFF with a directory of these tags, as they are, after the data at offset 8.
func rawTIFF(order binary.AppendByteOrder, all []tiffTag, data []byte) []byte {
	b := []byte("II*\x00")
	if order == binary.AppendByteOrder(binary.BigEndian) {
		b = []byte("MM\x00*")
	}
	pixels := append(data[:len(data):len(data)], make([]byte, len(data)&1)...)
	at := uint32(8 + len(pixels))
	b = append(order.AppendUint32(b, at), pixels...)
	b = order.AppendUint16(b, uint16(len(all)))
	far := at + 2 + 12*uint32(len(all)) + 4
	var tail []byte
	for _, t := range all {
		var v []byte
		for _, x := range t.values {
			switch tiffTypeSizes[t.kind] {
			case 1:
				v = append(v, byte(x))
			case 2:
				v = order.AppendUint16(v, uint16(x))
			case 8:
				v = order.AppendUint64(v, uint64(x))
			default:
				v = order.AppendUint32(v, x)
			}
		}
		b = order.AppendUint16(b, t.tag)
		b = order.AppendUint16(b, t.kind)
		b = order.AppendUint32(b, uint32(len(t.values)))
		if len(v) > 4 {
			b = order.AppendUint32(b, far+uint32(len(tail)))
			tail = append(tail, v...)
		} else {
			b = append(append(b, v...), make([]byte, 4-len(v))...)
		}
	}
	return append(append(b, 0, 0, 0, 0), tail...)
}

// exif returns EXIF data with only an orientation.
func exif(orientation int) []byte {
	return tiffFile(binary.BigEndian, 1, 1, []tiffTag{{274, 3, []uint32{uint32(orientation)}}}, nil)
}

// webpFile returns a simple file wrapped in the extended format with an EXIF chunk.
func webpFile(simple []byte, width, height int, flags byte, exif []byte) []byte {
	chunk := func(id string, body []byte) []byte {
		b := append(binary.LittleEndian.AppendUint32([]byte(id), uint32(len(body))), body...)
		return append(b, make([]byte, len(body)&1)...)
	}
	w, h := width-1, height-1
	x := []byte{flags | 8, 0, 0, 0, byte(w), byte(w >> 8), byte(w >> 16), byte(h), byte(h >> 8), byte(h >> 16)}
	body := append([]byte("WEBP"), chunk("VP8X", x)...)
	body = append(append(body, simple[12:]...), chunk("EXIF", exif)...)
	return append(binary.LittleEndian.AppendUint32([]byte("RIFF"), uint32(len(body))), body...)
}
