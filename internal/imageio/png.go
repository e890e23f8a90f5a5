package imageio

import (
	"bytes"
	"compress/zlib"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io"
	"math"

	"github.com/proposer/proposer/raster"
)

// decodePNG decodes the pixels of a PNG whose header has been parsed. Both builds use it: other
// decoders differ in the damage that they accept.
func (h *Header) decodePNG(depth Depth) (*raster.Image, *LowRange, error) {
	f := h.png
	r := &pngReader{h: h, data: f.pixels}
	z, err := zlib.NewReader(r)
	if err != nil {
		return nil, nil, h.pngError(err, 0)
	}
	img := h.newImage()
	l := rowLayout{channels: f.layout(), grayKey: -1}
	if f.colorType == pngGray {
		if l.grayKey = f.key(0); l.grayKey >= 0 && h.Depth < 16 {
			l.grayKey &= 1<<h.Depth - 1
			l.grayKey *= math.MaxUint8 / (1<<min(h.Depth, 8) - 1)
		}
	}
	var low *LowRange
	switch {
	case h.Depth == 16:
		// All samples are needed to scale them.
		n := h.Width * l.channels
		pix := make([]uint16, n*h.Height)
		if err := h.readPNG(z, func(row []byte, y, x, step int) {
			f.expand16(pix[y*n:][:n], row, x, step)
		}); err != nil {
			return nil, nil, err
		}
		if low, err = writeRows16(img, func(y int) []uint16 { return pix[y*n:][:n] }, l, depth); err != nil {
			return nil, nil, err
		}
	default:
		n := h.Width * l.channels
		rows := 1
		if f.interlaced {
			rows = h.Height
		}
		pix := make([]uint8, n*rows)
		if err := h.readPNG(z, func(row []byte, y, x, step int) {
			if f.interlaced {
				f.expand(pix[y*n:][:n], row, h.Depth, x, step)
				return
			}
			f.expand(pix, row, h.Depth, x, step)
			writeRow(img, y, pix, l)
		}); err != nil {
			return nil, nil, err
		}
		if f.interlaced {
			writeRows(img, pix, l)
		}
	}
	return img, low, nil
}

// pngPasses are the first pixel and the distances of the pixels of each pass of an interlaced image.
var pngPasses = [7]struct{ x, y, dx, dy int }{
	{0, 0, 8, 8}, {4, 0, 8, 8}, {0, 4, 4, 8}, {2, 0, 4, 4}, {0, 2, 2, 4}, {1, 0, 2, 2}, {0, 1, 1, 2},
}

// readPNG reads all rows and calls put with each of them: with the row and the column of its first
// pixel in the image, and the distance of the columns.
func (h *Header) readPNG(z io.Reader, put func(row []byte, y, x, step int)) error {
	passes := pngPasses[:]
	if !h.png.interlaced {
		passes = []struct{ x, y, dx, dy int }{{0, 0, 1, 1}}
	}
	bitsPerPixel := h.Depth * h.png.channels()
	size := (h.Width*bitsPerPixel + 7) / 8
	row, above := make([]byte, 1+size), make([]byte, 1+size)
	for _, p := range passes {
		width := (h.Width - p.x + p.dx - 1) / p.dx
		if width <= 0 {
			continue
		}
		n := 1 + (width*bitsPerPixel+7)/8
		clear(above)
		for y := p.y; y < h.Height; y += p.dy {
			if _, err := io.ReadFull(z, row[:n]); err != nil {
				return h.pngError(err, y)
			}
			if !unfilterPNG(row[0], row[1:n], above[1:n], (bitsPerPixel+7)/8) {
				return h.broken("row %d: filter %d", y, row[0])
			}
			put(row[1:n], y, p.x, p.dx)
			row, above = above, row
		}
	}
	// The checksum is at the end of the pixels. Like libpng this package ignores pixels behind the last row.
	if n, err := z.Read(row[:1]); n == 0 && err != nil && !errors.Is(err, io.EOF) {
		return h.pngError(err, h.Height)
	}
	return nil
}

func (h *Header) pngError(err error, y int) error {
	if _, ok := errors.AsType[*FormatError](err); ok {
		return err
	}
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return h.broken("ends early: the pixels of row %d are missing", y)
	}
	return h.broken("row %d: %w", y, err)
}

// unfilterPNG restores the bytes of a row. A pixel has n bytes, or is smaller than one. It returns false
// if there is no such filter.
func unfilterPNG(filter byte, row, above []byte, n int) bool {
	above = above[:len(row)]
	switch filter {
	case 0: // none
	case 1: // sub
		for i := n; i < len(row); i++ {
			row[i] += row[i-n]
		}
	case 2: // up
		for i, v := range above {
			row[i] += v
		}
	case 3: // average
		for i := range min(n, len(row)) {
			row[i] += above[i] / 2
		}
		for i := n; i < len(row); i++ {
			row[i] += uint8((int(row[i-n]) + int(above[i])) / 2)
		}
	case 4: // Paeth
		for i := range min(n, len(row)) {
			row[i] += above[i]
		}
		for i := n; i < len(row); i++ {
			a, b, c := int(row[i-n]), int(above[i]), int(above[i-n])
			pa, pb := b-c, a-c
			pc := pa + pb
			pa, pb, pc = max(pa, -pa), max(pb, -pb), max(pc, -pc)
			switch {
			case pa <= pb && pa <= pc:
				row[i] += uint8(a)
			case pb <= pc:
				row[i] += uint8(b)
			default:
				row[i] += uint8(c)
			}
		}
	default:
		return false
	}
	return true
}

// A pngFormat describes how the pixels of a PNG are stored.
type pngFormat struct {
	colorType    byte
	interlaced   bool
	palette      []byte // colors of 3 bytes
	transparency []byte // the body of tRNS: alphas of the palette, or the samples that are transparent
	pixels       []byte // the file from the first chunk IDAT on
}

// channels returns the number of samples of a stored pixel.
func (f *pngFormat) channels() int {
	return map[byte]int{pngGray: 1, pngRGB: 3, pngPalette: 1, pngGrayAlpha: 2, pngRGBAlpha: 4}[f.colorType]
}

// layout returns the number of samples of an expanded pixel.
func (f *pngFormat) layout() int {
	switch {
	case f.colorType == pngPalette || f.colorType == pngRGB:
		if f.transparency != nil {
			return 4
		}
		return 3
	}
	return f.channels()
}

// key returns the sample of a channel that stands for transparent, -1 if there is none.
func (f *pngFormat) key(c int) int {
	if f.transparency == nil {
		return -1
	}
	return int(binary.BigEndian.Uint16(f.transparency[2*c:]))
}

// expand writes the pixels of a row of samples of up to 8 bits to every step-th pixel of dst from x on.
func (f *pngFormat) expand(dst, row []byte, depth, x, step int) {
	n := f.layout()
	switch {
	case f.colorType == pngPalette:
		alphas := f.transparency
		for i := 0; x*n < len(dst); i++ {
			v := sampleAt(row, i, depth)
			p := dst[x*n:][:n]
			p[0], p[1], p[2] = 0, 0, 0 // without a color, as the specification wants
			if 3*v < len(f.palette) {
				copy(p, f.palette[3*v:][:3])
			}
			if n == 4 {
				p[3] = math.MaxUint8
				if v < len(alphas) {
					p[3] = alphas[v]
				}
			}
			x += step
		}
	case depth < 8:
		for i := 0; x < len(dst); i++ {
			dst[x] = uint8(sampleAt(row, i, depth) * math.MaxUint8 / (1<<depth - 1))
			x += step
		}
	case f.colorType == pngRGB && n == 4:
		r, g, b := uint8(f.key(0)), uint8(f.key(1)), uint8(f.key(2))
		for ; len(row) > 0; row = row[3:] {
			p := dst[4*x:][:4]
			copy(p, row[:3])
			p[3] = math.MaxUint8
			if p[0] == r && p[1] == g && p[2] == b {
				p[3] = 0
			}
			x += step
		}
	case step == 1:
		copy(dst, row)
	default:
		for ; len(row) > 0; row = row[n:] {
			copy(dst[x*n:][:n], row)
			x += step
		}
	}
}

// expand16 is expand for samples of 16 bits.
func (f *pngFormat) expand16(dst []uint16, row []byte, x, step int) {
	n, stored := f.layout(), f.channels()
	r, g, b := -1, -1, -1
	if n > stored {
		r, g, b = f.key(0), f.key(1), f.key(2)
	}
	for ; len(row) > 0; x += step {
		p := dst[x*n:][:n]
		for c := range stored {
			p[c] = binary.BigEndian.Uint16(row)
			row = row[2:]
		}
		if n > stored {
			p[3] = math.MaxUint16
			if int(p[0]) == r && int(p[1]) == g && int(p[2]) == b {
				p[3] = 0
			}
		}
	}
}

// A pngReader reads the bodies of the consecutive chunks IDAT.
type pngReader struct {
	h    *Header
	data []byte // from the next chunk on
	body []byte // what is left of the current one
}

func (r *pngReader) Read(p []byte) (int, error) {
	for len(r.body) == 0 {
		chunk, next, ok := nextPNGChunk(r.data)
		if !ok || !bytes.Equal(chunk[4:8], []byte("IDAT")) {
			return 0, io.EOF
		}
		if !checkPNGChunk(chunk) {
			return 0, r.h.broken("a chunk IDAT has a wrong checksum")
		}
		r.body, r.data = chunk[8:len(chunk)-4], next
	}
	n := copy(p, r.body)
	r.body = r.body[n:]
	return n, nil
}

// ReadByte implements io.ByteReader, which saves the decompressor a buffer.
func (r *pngReader) ReadByte() (byte, error) {
	var b [1]byte
	_, err := r.Read(b[:])
	return b[0], err
}

// nextPNGChunk returns the first chunk, with its size, type and checksum, and what follows it. ok is
// false if it ends early.
func nextPNGChunk(b []byte) (chunk, next []byte, ok bool) {
	if len(b) < pngChunkOverhead {
		return nil, nil, false
	}
	size := int64(binary.BigEndian.Uint32(b))
	if size > int64(len(b)-pngChunkOverhead) {
		return nil, nil, false
	}
	return b[:pngChunkOverhead+size], b[pngChunkOverhead+size:], true
}

// checkPNGChunk reports whether the checksum of a chunk is right.
func checkPNGChunk(chunk []byte) bool {
	end := len(chunk) - 4
	return crc32.ChecksumIEEE(chunk[4:end]) == binary.BigEndian.Uint32(chunk[end:])
}
