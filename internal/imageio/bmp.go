package imageio

import (
	"encoding/binary"
	"math/bits"

	"github.com/proposer/proposer/raster"
)

// decodeBMP decodes the pixels of a BMP whose header has been parsed. Both builds use it: decoders
// differ in how they expand samples of fewer than 8 bits, and in the headers they know.
func (h *Header) decodeBMP(b []byte) (*raster.Image, error) {
	f := h.bmp
	stride := f.stride(h.Width)
	pix := make([]uint8, h.Width*f.channels())
	img := h.newImage()
	l := rowLayout{channels: f.channels(), opaque: !h.Alpha || f.invisible(b, h.Width, h.Height), grayKey: -1}
	// Samples of whole bytes are used as they are.
	whole := f.depth >= 24 && f.masks[0] == 0xff0000 && f.masks[1] == 0xff00 && f.masks[2] == 0xff && f.masks[3]&0xffffff == 0 &&
		(f.masks[3] == 0 || f.masks[3] == 0xff000000)
	if whole {
		l.channels, l.bgr = f.depth/8, true
	}
	palette, colors := f.palette(b)
	if f.runs {
		return img, h.decodeRLE(b[f.pixels:], func(y int, row []uint8) error {
			if x, i := unpackPalette(pix, row, 8, palette, colors); x >= 0 {
				return h.broken("pixel %d,%d has color %d of a palette of %d", x, y, i, colors)
			}
			writeRow(img, y, pix, l)
			return nil
		})
	}
	for y := range h.Height {
		stored := y
		if !f.topDown {
			stored = h.Height - 1 - y
		}
		row := b[f.pixels+stored*stride:][:stride]
		switch {
		case whole:
			writeRow(img, y, row, l)
			continue
		case f.depth <= 8:
			if x, i := unpackPalette(pix, row, f.depth, palette, colors); x >= 0 {
				return nil, h.broken("pixel %d,%d has color %d of a palette of %d", x, y, i, colors)
			}
		default:
			f.unpack(pix, row)
		}
		writeRow(img, y, pix, l)
	}
	return img, nil
}

// decodeRLE decodes the codes of runs of 4 or 8 bits and calls put with the indices of each row, from the
// bottom. Codes can skip pixels, which programs show in different colors: such images are not read.
func (h *Header) decodeRLE(b []byte, put func(y int, row []uint8) error) error {
	row := make([]uint8, h.bmp.stride(h.Width)*8/h.Depth) // some writers also code what fills a row's last word
	x, y := 0, h.Height-1
	for {
		if len(b) < 2 {
			return h.broken("ends early: the pixels of row %d are missing", y)
		}
		n, v := int(b[0]), int(b[1])
		coded := b[1:2]
		b = b[2:]
		switch {
		case n > 0: // a run
		case v <= 1: // the end of the row, or of the image
			if x < h.Width {
				return h.unsupported("pixels without a color in row %d", y)
			}
			if err := put(y, row[:h.Width]); err != nil {
				return err
			}
			x = 0
			if y--; y < 0 {
				return nil
			}
			if v == 1 {
				return h.unsupported("pixels without a color in row %d", y)
			}
			continue
		case v == 2:
			return h.unsupported("pixels without a color in row %d", y)
		default: // indices, of whole words
			size := (v*h.Depth + 15) / 16 * 2
			if len(b) < size {
				return h.broken("ends early: the pixels of row %d are missing", y)
			}
			n, coded, b = v, b[:size], b[size:]
		}
		if n > len(row)-x {
			return h.broken("row %d has more than %d pixels", y, h.Width)
		}
		for i := range n {
			row[x+i] = uint8(sampleAt(coded, i%(len(coded)*8/h.Depth), h.Depth))
		}
		x += n
	}
}

// A bmpFormat describes how the pixels of a BMP are stored.
type bmpFormat struct {
	info    int // bytes of the info header
	pixels  int // offset of the pixels
	depth   int // bits of a pixel
	topDown bool
	runs    bool      // the indices are run-length coded
	colors  int       // number of colors of the palette, 0: as many as the depth allows
	masks   [4]uint32 // bits of red, green, blue and alpha, of 16 bits and more
}

func (f *bmpFormat) channels() int {
	if f.masks[3] != 0 {
		return 4
	}
	return 3
}

// stride returns the number of bytes of a row: rows are of whole words.
func (f *bmpFormat) stride(width int) int { return (width*f.depth + 31) / 32 * 4 }

// paletteEntry returns the number of bytes of a color.
func (f *bmpFormat) paletteEntry() int {
	if f.info == bmpCoreHeader {
		return 3
	}
	return 4
}

// paletteSize returns the number of bytes of the palette.
func (f *bmpFormat) paletteSize() int {
	n := 1 << min(f.depth, 8)
	if f.colors > 0 {
		n = f.colors
	}
	return n * f.paletteEntry()
}

// palette returns the colors that pixels can have, and their number.
func (f *bmpFormat) palette(b []byte) (colors [256][3]uint8, n int) {
	size := f.paletteEntry()
	start := bmpFileHeader + f.info
	n = min(f.paletteSize()/size, 1<<min(f.depth, 8), (f.pixels-start)/size)
	for i := range n {
		c := b[start+i*size:]
		colors[i] = [3]uint8{c[2], c[1], c[0]}
	}
	return colors, n
}

// unpackPalette writes the colors of a row of indices of 1, 2, 4 or 8 bits, the first in the highest
// bits. It returns the first pixel that has none of the n colors, and its index, or -1.
func unpackPalette(dst, row []uint8, depth int, palette [256][3]uint8, n int) (x, index int) {
	for x := 0; 3*x < len(dst); x++ {
		i := sampleAt(row, x, depth)
		if i >= n {
			return x, i
		}
		copy(dst[3*x:], palette[i][:])
	}
	return -1, 0
}

// pixel returns pixel x of a row.
func (f *bmpFormat) pixel(row []uint8, x int) uint32 {
	switch p := row[x*f.depth/8:]; f.depth {
	case 16:
		return uint32(binary.LittleEndian.Uint16(p))
	case 24:
		return uint32(p[0]) | uint32(p[1])<<8 | uint32(p[2])<<16
	default:
		return binary.LittleEndian.Uint32(p)
	}
}

// unpack writes the samples of a row, scaled to 8 bits, so that the largest sample is 255.
func (f *bmpFormat) unpack(dst, row []uint8) {
	n := f.channels()
	var shift [4]int
	var top [4]uint64
	for c, mask := range f.masks {
		shift[c] = bits.TrailingZeros32(mask)
		top[c] = max(uint64(mask)>>shift[c], 1) // 1 instead of 0: the sample is 0
	}
	for x := range len(dst) / n {
		p := f.pixel(row, x)
		for c := range n {
			v := uint64(p&f.masks[c]) >> shift[c]
			dst[x*n+c] = uint8((v*255 + top[c]/2) / top[c])
		}
	}
}

// invisible reports whether all pixels are transparent: writers leave alpha at 0 if they do not use it.
func (f *bmpFormat) invisible(b []byte, width, height int) bool {
	stride := f.stride(width)
	for y := range height {
		row := b[f.pixels+y*stride:]
		for x := range width {
			if f.pixel(row, x)&f.masks[3] != 0 {
				return false
			}
		}
	}
	return true
}
