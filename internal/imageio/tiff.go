package imageio

import (
	"bufio"
	"bytes"
	stdlzw "compress/lzw"
	"compress/zlib"
	"errors"
	"io"
	"math/bits"
	"slices"

	"github.com/proposer/proposer/raster"
	"golang.org/x/image/tiff/lzw"
)

// decodeTIFF decodes the pixels of a TIFF whose header has been parsed. Both builds use it: other
// decoders read fewer combinations of samples and tags, and some of them wrongly without an error.
func (h *Header) decodeTIFF(depth Depth) (*raster.Image, *LowRange, error) {
	f := h.tiff
	img := h.newImage()
	n := f.samples
	// position returns the index of a pixel's first sample in a plane, and the distance to the next one.
	position := func(pixel, plane int) (i, step int) {
		if f.separate {
			return pixel*n + plane, n
		}
		return pixel * n, 1
	}
	l := rowLayout{channels: n, premultiplied: h.premultiplied, opaque: !h.Alpha, invert: h.whiteIsZero, grayKey: -1}
	switch {
	case f.photometric == photometricPalette:
		palette := f.palette(h.Depth)
		return img, nil, h.readTIFF(func(pixel, _, pixels int, row []byte) {
			for x := range pixels {
				for c, v := range palette[sampleAt(row, x, h.Depth)] {
					img.Plane(c)[pixel+x] = v
				}
			}
		})
	case h.Depth == 16:
		pix := make([]uint16, h.Width*h.Height*n)
		if err := h.readTIFF(func(pixel, plane, _ int, row []byte) {
			for i, step := position(pixel, plane); len(row) > 0; row = row[2:] {
				pix[i] = f.dir.order.Uint16(row)
				i += step
			}
		}); err != nil {
			return nil, nil, err
		}
		stride := h.Width * n
		low, err := writeRows16(img, func(y int) []uint16 { return pix[y*stride:][:stride] }, l, depth)
		return img, low, err
	}
	pix := make([]uint8, h.Width*h.Height*n)
	if err := h.readTIFF(func(pixel, plane, pixels int, row []byte) {
		i, step := position(pixel, plane)
		switch {
		case h.Depth < 8:
			for x := range pixels {
				pix[i+x] = uint8(sampleAt(row, x, h.Depth) * 255 / (1<<h.Depth - 1))
			}
		case step == 1:
			copy(pix[i:], row)
		default:
			for _, v := range row {
				pix[i] = v
				i += step
			}
		}
	}); err != nil {
		return nil, nil, err
	}
	writeRows(img, pix, l)
	return img, nil, nil
}

// sampleAt returns sample x of a row of samples of at most 8 bits, the first in the highest bits.
func sampleAt(row []byte, x, depth int) int {
	bit := x * depth
	return int(row[bit/8]) >> (8 - depth - bit%8) & (1<<depth - 1)
}

// palette returns the colors of the color map, in 8 bits. Some writers fill it with values of 8 bits
// instead of 16.
func (f *tiffFormat) palette(depth int) [][3]uint8 {
	colors := make([][3]uint8, 1<<depth)
	values := f.dir.list(tagColorMap) // all red values, then green, then blue
	shift := 0
	for i := range 3 * len(colors) {
		if values.at(i) > 0xff {
			shift = 8
			break
		}
	}
	for i := range colors {
		for c := range 3 {
			colors[i][c] = uint8(min(values.at(c*len(colors)+i)>>shift, 0xff))
		}
	}
	return colors
}

// readTIFF reads all strips or tiles and calls put with each row of them, cut to the image: the number
// of its first pixel, its plane, and its number of pixels. Of separate planes a row has only one.
func (h *Header) readTIFF(put func(pixel, plane, pixels int, row []byte)) error {
	f := h.tiff
	planes, samples := 1, f.samples
	if f.separate {
		planes, samples = f.samples, 1
	}
	offsets, sizes := f.segments()
	across := (h.Width + f.tileWidth - 1) / f.tileWidth
	down := (h.Height + f.tileHeight - 1) / f.tileHeight
	if n := across * down * planes; offsets.len() < n {
		return h.broken("has %d of %d strips or tiles", offsets.len(), n)
	}
	row := make([]byte, (f.tileWidth*samples*h.Depth+7)/8)
	for i := range across * down * planes {
		plane, tile := i/(across*down), i%(across*down)
		x, y := tile%across*f.tileWidth, tile/across*f.tileHeight
		rows := min(f.tileHeight, h.Height-y)
		r, err := h.openSegment(offsets.at(i), sizes, i)
		if err != nil {
			return err
		}
		pixels := min(f.tileWidth, h.Width-x)
		for y := y; rows > 0; rows-- {
			if _, err := io.ReadFull(r, row); err != nil {
				if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
					return h.broken("ends early: the pixels of row %d are missing", y)
				}
				return h.broken("row %d: %w", y, err)
			}
			if f.predictor {
				f.undoPredictor(row, samples, h.Depth)
			}
			put(y*h.Width+x, plane, pixels, row[:(pixels*samples*h.Depth+7)/8])
			y++
		}
	}
	return nil
}

// segments returns the offsets and sizes of the strips or tiles. The sizes may be missing.
func (f *tiffFormat) segments() (offsets, sizes tiffList) {
	if offsets, sizes = f.dir.list(tagTileOffsets), f.dir.list(tagTileByteCounts); f.tiled && offsets.len() > 0 {
		return offsets, sizes
	}
	return f.dir.list(tagStripOffsets), f.dir.list(tagStripByteCounts)
}

// openSegment returns a reader of the samples of strip or tile i.
func (h *Header) openSegment(offset uint32, sizes tiffList, i int) (io.Reader, error) {
	f := h.tiff
	data := f.dir.data[min(int64(offset), int64(len(f.dir.data))):]
	if i < sizes.len() && sizes.at(i) > 0 {
		if int64(sizes.at(i)) <= int64(len(data)) {
			data = data[:sizes.at(i)]
		} else if f.compression != compressionNone { // uncompressed, only the rows have to be there
			return nil, h.broken("ends early: %d bytes of %d at %d", len(data), sizes.at(i), offset)
		}
	}
	var r io.Reader = bytes.NewReader(data)
	if slices.Contains(faxCompressions, f.compression) { // whose white is 0, whatever the tags say, as in libtiff
		return newFaxReader(data, f.tileWidth, f.compression, f.t4Options, f.lowFirst), nil
	}
	if f.lowFirst {
		r = bitReverser{r}
	}
	switch f.compression {
	case compressionLZW:
		// Old versions of libtiff wrote the codes, of which the first one is 256, in another order.
		first := make([]byte, 2)
		if n := copy(first, data); f.lowFirst {
			for k := range first[:n] {
				first[k] = bits.Reverse8(first[k])
			}
		}
		if first[0] == 0 && first[1]&1 != 0 {
			return stdlzw.NewReader(r, stdlzw.LSB, 8), nil
		}
		return lzw.NewReader(r, lzw.MSB, 8), nil
	case compressionDeflate, compressionOldDeflate:
		z, err := zlib.NewReader(r)
		if err != nil {
			return nil, h.broken("%w", err)
		}
		return z, nil
	case compressionPackBits:
		return &packBits{r: bufio.NewReader(r)}, nil
	}
	return r, nil
}

// undoPredictor adds to each sample that of the pixel at its left.
func (f *tiffFormat) undoPredictor(row []byte, samples, depth int) {
	if depth == 8 {
		for i := samples; i < len(row); i++ {
			row[i] += row[i-samples]
		}
		return
	}
	order := f.dir.order
	for i := 2 * samples; i < len(row); i += 2 {
		order.PutUint16(row[i:], order.Uint16(row[i:])+order.Uint16(row[i-2*samples:]))
	}
}

// A bitReverser reverses the bits of each byte.
type bitReverser struct{ io.Reader }

func (r bitReverser) Read(p []byte) (int, error) {
	n, err := r.Reader.Read(p)
	for i, v := range p[:n] {
		p[i] = bits.Reverse8(v)
	}
	return n, err
}

// packBits reads data that is coded with PackBits: a byte n of 0 to 127 precedes n+1 bytes, one of
// -127 to -1 precedes a byte that is repeated 1-n times.
type packBits struct {
	r        *bufio.Reader
	left     int // bytes of the current run
	value    byte
	repeated bool
}

func (p *packBits) Read(b []byte) (int, error) {
	for p.left == 0 {
		n, err := p.r.ReadByte()
		if err != nil {
			return 0, err
		}
		switch count := int8(n); {
		case count >= 0:
			p.left, p.repeated = int(count)+1, false
		case count != -128: // which is skipped
			p.left, p.repeated = 1-int(count), true
			if p.value, err = p.r.ReadByte(); err != nil {
				return 0, io.ErrUnexpectedEOF
			}
		}
	}
	b = b[:min(len(b), p.left)]
	n := len(b)
	if p.repeated {
		for i := range b {
			b[i] = p.value
		}
	} else {
		var err error
		if n, err = p.r.Read(b); err != nil {
			return n, err
		}
	}
	p.left -= n
	return n, nil
}
