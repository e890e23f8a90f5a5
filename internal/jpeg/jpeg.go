// Package jpeg decodes JPEG files (ITU-T T.81) to the samples of their components, as libjpeg-turbo does.
//
// Unlike image/jpeg it has the inverse transform of libjpeg, so that samples are equal to those of most programs,
// and it does not convert colors. It decodes the Huffman-coded baseline, extended and progressive processes with
// 8 bits.
package jpeg

import (
	"bytes"
	"encoding/binary"
)

// A FormatError reports a broken file.
type FormatError string

func (e FormatError) Error() string { return string(e) }

// An UnsupportedError reports a file that the package cannot decode.
type UnsupportedError string

func (e UnsupportedError) Error() string { return string(e) }

// Color is the color space of the components of a file, decided as libjpeg does.
type Color int

// Color spaces.
const (
	Gray  Color = iota
	YCbCr       // with the range of JFIF
	RGB
	CMYK // 255 minus ink
	YCCK // YCbCr of the ink, and 255 minus black
)

// An Image is a decoded file.
type Image struct {
	Color         Color
	Width, Height int
	Components    []Component // 1, 3 or 4
}

// A Component is the samples of a channel.
type Component struct {
	Pix    []uint8
	Stride int
	H, V   int // pixels that a sample covers in a row and in a column
}

// Markers.
const (
	markerSOF0  = 0xc0
	markerSOF2  = 0xc2
	markerDHT   = 0xc4
	markerRST0  = 0xd0
	markerRST7  = 0xd7
	markerSOI   = 0xd8
	markerEOI   = 0xd9
	markerSOS   = 0xda
	markerDQT   = 0xdb
	markerDNL   = 0xdc
	markerDRI   = 0xdd
	markerAPP0  = 0xe0
	markerAPP14 = 0xee
	markerCOM   = 0xfe
)

// A component is a channel of the frame.
type component struct {
	id            uint8
	h, v          int // sampling factors
	table         int // of quantization
	quant         [64]int32
	width, height int      // in blocks, without those that only fill the last MCU
	stride        int      // in blocks, with them
	rows          int      // in blocks, with them
	pix           []uint8  // of stride×rows blocks
	coefficients  []int16  // progressive: 64 for each block, in the natural order
	set           []uint64 // in a check of a progressive file: a bit for each coefficient that is not 0, of each block
	scanned       bool     // has a scan with DC coefficients
}

type decoder struct {
	bits          bitReader // also holds the file
	width, height int
	progressive   bool
	comps         []component
	hMax, vMax    int
	mcusX, mcusY  int
	quant         [4]*[64]int32
	huff          [2][4]*huffman // DC and AC
	interval      int            // of restarts, in MCUs; 0: none
	jfif, adobe   bool
	transform     uint8 // of Adobe
	color         Color
	anyScan       bool
	check         bool // only for errors
}

// Decode decodes a file. The memory that it takes is a byte for each sample, and 3 in the progressive process, of
// the size in the frame header, which the caller checks before. Errors are a [FormatError] or an
// [UnsupportedError].
func Decode(data []byte) (*Image, error) {
	return (&decoder{bits: bitReader{data: data}}).decode()
}

// Check returns the error that [Decode] returns for a file. It takes less time, and memory of a bit for each sample
// in the progressive process, else none.
func Check(data []byte) error {
	_, err := (&decoder{bits: bitReader{data: data}, check: true}).decode()
	return err
}

// decode reads the file. In a check the image has no samples.
func (d *decoder) decode() (*Image, error) {
	data := d.bits.data
	if len(data) < 2 || data[0] != 0xff || data[1] != markerSOI {
		return nil, FormatError("no start marker")
	}
	d.bits.pos = 2
	for {
		marker, err := d.bits.nextMarker()
		if err != nil {
			return nil, err
		}
		if marker == markerEOI {
			return d.finish()
		}
		if marker >= markerRST0 && marker <= markerRST7 {
			continue // after the last interval of a scan
		}
		body, err := d.bits.segment()
		if err != nil {
			return nil, err
		}
		if err := d.read(marker, body); err != nil {
			return nil, err
		}
	}
}

// read reads a segment, and the coded data of a scan.
func (d *decoder) read(marker byte, body []byte) error {
	switch {
	case marker >= markerSOF0 && marker <= markerSOF2:
		return d.readFrame(body, marker == markerSOF2)
	case marker == markerDHT:
		return d.readHuffman(body)
	case marker == markerDQT:
		return d.readQuantization(body)
	case marker == markerDRI:
		if len(body) != 2 {
			return FormatError("restart interval of a wrong size")
		}
		d.interval = int(binary.BigEndian.Uint16(body))
	case marker == markerSOS:
		return d.readScan(body)
	case marker == markerAPP0 && len(body) >= 14 && bytes.HasPrefix(body, []byte("JFIF\x00")):
		d.jfif = true
	case marker == markerAPP14 && len(body) >= 12 && bytes.HasPrefix(body, []byte("Adobe")):
		d.adobe, d.transform = true, body[11]
	case marker == markerDNL:
		// Few decoders read a height that follows the pixels; it has to be that of the frame.
		if d.comps == nil || len(body) != 2 || int(binary.BigEndian.Uint16(body)) != d.height {
			return FormatError("a height that is not that of the frame")
		}
	case marker >= markerAPP0 && marker <= 0xef || marker == markerCOM:
	case marker < markerSOF0:
		return FormatError("unknown marker")
	default:
		return UnsupportedError("lossless, hierarchical or arithmetic coding")
	}
	return nil
}

func (d *decoder) readFrame(body []byte, progressive bool) error {
	if d.comps != nil {
		return FormatError("two frames")
	}
	if len(body) < 6 || len(body) != 6+3*int(body[5]) {
		return FormatError("frame header of a wrong size")
	}
	if body[0] != 8 {
		return UnsupportedError("other than 8 bits a sample")
	}
	d.height = int(binary.BigEndian.Uint16(body[1:]))
	d.width = int(binary.BigEndian.Uint16(body[3:]))
	d.progressive = progressive
	n := int(body[5])
	if n != 1 && n != 3 && n != 4 {
		return UnsupportedError("other than 1, 3 or 4 channels")
	}
	if d.width == 0 || d.height == 0 {
		return FormatError("no pixels")
	}
	d.comps = make([]component, n)
	d.hMax, d.vMax = 1, 1
	for i := range d.comps {
		c, b := &d.comps[i], body[6+3*i:]
		c.id, c.h, c.v, c.table = b[0], int(b[1]>>4), int(b[1]&15), int(b[2])
		if c.h == 0 || c.h > 4 || c.v == 0 || c.v > 4 || c.table > 3 {
			return FormatError("frame header with a wrong channel")
		}
		if n == 1 {
			c.h, c.v = 1, 1 // have no meaning without other components
		}
		d.hMax, d.vMax = max(d.hMax, c.h), max(d.vMax, c.v)
	}
	for _, c := range d.comps {
		if d.hMax%c.h != 0 || d.vMax%c.v != 0 {
			return UnsupportedError("subsampling by a fraction")
		}
	}
	d.mcusX = ceilDiv(d.width, 8*d.hMax)
	d.mcusY = ceilDiv(d.height, 8*d.vMax)
	for i := range d.comps {
		c := &d.comps[i]
		c.width = ceilDiv(ceilDiv(d.width*c.h, d.hMax), 8)
		c.height = ceilDiv(ceilDiv(d.height*c.v, d.vMax), 8)
		c.stride, c.rows = d.mcusX*c.h, d.mcusY*c.v
	}
	return nil
}

func ceilDiv(a, b int) int { return (a + b - 1) / b }

// colorSpace decides as libjpeg's default_decompress_parms does.
func (d *decoder) colorSpace() Color {
	switch {
	case len(d.comps) == 1:
		return Gray
	case len(d.comps) == 4 && (!d.adobe || d.transform == 0):
		return CMYK
	case len(d.comps) == 4:
		return YCCK
	case d.jfif:
		return YCbCr
	case d.adobe && d.transform == 0, !d.adobe && d.comps[0].id == 'R' && d.comps[1].id == 'G' && d.comps[2].id == 'B':
		return RGB
	}
	return YCbCr
}

// zigzag has the natural position of each coefficient in the order of the file.
var zigzag = [64]uint8{
	0, 1, 8, 16, 9, 2, 3, 10,
	17, 24, 32, 25, 18, 11, 4, 5,
	12, 19, 26, 33, 40, 48, 41, 34,
	27, 20, 13, 6, 7, 14, 21, 28,
	35, 42, 49, 56, 57, 50, 43, 36,
	29, 22, 15, 23, 30, 37, 44, 51,
	58, 59, 52, 45, 38, 31, 39, 46,
	53, 60, 61, 54, 47, 55, 62, 63,
}

func (d *decoder) readQuantization(body []byte) error {
	for len(body) > 0 {
		wide, id := body[0]>>4, body[0]&15
		size := 64 * (1 + int(wide))
		if wide > 1 || id > 3 || len(body) < 1+size {
			return FormatError("wrong quantization table")
		}
		var q [64]int32
		for i, at := range zigzag {
			if wide == 1 {
				q[at] = int32(binary.BigEndian.Uint16(body[1+2*i:]))
			} else {
				q[at] = int32(body[1+i])
			}
		}
		d.quant[id] = &q
		body = body[1+size:]
	}
	return nil
}

func (d *decoder) readHuffman(body []byte) error {
	for len(body) > 0 {
		if len(body) < 17 {
			return FormatError("short Huffman table")
		}
		class, id := body[0]>>4, body[0]&15
		n := 0
		for _, count := range body[1:17] {
			n += int(count)
		}
		if class > 1 || id > 3 || n > 256 || len(body) < 17+n {
			return FormatError("wrong Huffman table")
		}
		h, ok := newHuffman([16]uint8(body[1:17]), body[17:][:n])
		if !ok {
			return FormatError("wrong Huffman table")
		}
		d.huff[class][id] = h
		body = body[17+n:]
	}
	return nil
}

// finish returns the image after the last scan.
func (d *decoder) finish() (*Image, error) {
	if d.comps == nil {
		return nil, FormatError("no frame")
	}
	m := &Image{Color: d.color, Width: d.width, Height: d.height}
	for i := range d.comps {
		c := &d.comps[i]
		if !c.scanned {
			return nil, FormatError("a channel without pixels")
		}
		if d.progressive && !d.check {
			c.transformAll()
		}
		m.Components = append(m.Components, Component{c.pix, 8 * c.stride, d.hMax / c.h, d.vMax / c.v})
	}
	return m, nil
}
