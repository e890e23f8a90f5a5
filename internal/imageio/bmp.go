package imageio

import (
	"encoding/binary"
	"math/bits"

	"github.com/proposer/proposer/raster"
)

// decodeBMP decodes the pixels of a BMP whose header has been parsed. Both builds use it: decoders
// differ in how they expand samples of fewer than 8 bits, and in the headers they know.
func (h *Header) decodeBMP(b []byte) *raster.Image {
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
	palette := f.palette(b)
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
			unpackPalette(pix, row, f.depth, palette)
		default:
			f.unpack(pix, row)
		}
		writeRow(img, y, pix, l)
	}
	return img
}

// A bmpFormat describes how the pixels of a BMP are stored.
type bmpFormat struct {
	info    int // bytes of the info header
	pixels  int // offset of the pixels
	depth   int // bits of a pixel
	topDown bool
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

// palette returns 256 colors. Those that are missing in the file are black.
func (f *bmpFormat) palette(b []byte) (colors [256][3]uint8) {
	size := 4
	if f.info == bmpCoreHeader {
		size = 3
	}
	n := 1 << min(f.depth, 8)
	if f.colors > 0 {
		n = min(n, f.colors)
	}
	start := bmpFileHeader + f.info
	n = min(n, (len(b)-start)/size) // some writers count the pixels from the start of the palette
	for i := range n {
		c := b[start+i*size:]
		colors[i] = [3]uint8{c[2], c[1], c[0]}
	}
	return colors
}

// unpackPalette writes the colors of a row of indices of 1, 2, 4 or 8 bits, the first in the highest
// bits.
func unpackPalette(dst, row []uint8, depth int, palette [256][3]uint8) {
	for x := 0; 3*x < len(dst); x++ {
		bit := x * depth
		i := row[bit/8] >> (8 - depth - bit%8) & (1<<depth - 1)
		copy(dst[3*x:], palette[i][:])
	}
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
