package imageio

import (
	"encoding/binary"
	"fmt"
	"math/bits"
)

const (
	bmpFileHeader = 14 // bytes before the info header
	bmpCoreHeader = 12 // bytes of the oldest info header
	bmpMasks      = bmpFileHeader + 40
)

// Compressions of BMP.
const (
	bmpRGB            = 0
	bmpRLE8           = 1
	bmpRLE4           = 2
	bmpBitFields      = 3
	bmpAlphaBitFields = 6
)

func (h *Header) parseBMP(b []byte) error {
	if len(b) < bmpFileHeader+4 {
		return h.broken("ends early: no header")
	}
	le := binary.LittleEndian
	f := &bmpFormat{}
	pixels := int64(le.Uint32(b[10:]))
	info := int64(le.Uint32(b[bmpFileHeader:]))
	if info != bmpCoreHeader && (info < 40 || info > 124) {
		return h.unsupported("header of %d bytes", info)
	}
	if int64(len(b)) < bmpFileHeader+info {
		return h.broken("ends early: %d bytes of the header", len(b))
	}
	var width, height, compression int64
	if info == bmpCoreHeader {
		width, height = int64(le.Uint16(b[18:])), int64(le.Uint16(b[20:]))
		f.depth = int(le.Uint16(b[24:]))
	} else {
		width, height = int64(int32(le.Uint32(b[18:]))), int64(int32(le.Uint32(b[22:])))
		f.depth, compression = int(le.Uint16(b[28:])), int64(le.Uint32(b[30:]))
		f.colors = int(min(le.Uint32(b[46:]), 1<<16))
	}
	if height < 0 {
		f.topDown = true
		height = -height
	}
	if err := h.setSize(width, height); err != nil {
		return err
	}
	switch d := f.depth; {
	case compression == bmpRLE8 && d == 8 || compression == bmpRLE4 && d == 4:
		if f.topDown {
			return h.broken("run-length coding from the top")
		}
		f.runs = true
	case compression != bmpRGB && !((compression == bmpBitFields || compression == bmpAlphaBitFields) && (d == 16 || d == 32)):
		return h.unsupported("%s", bmpCompressionName(compression))
	case d != 1 && d != 2 && d != 4 && d != 8 && d != 16 && d != 24 && d != 32:
		return h.unsupported("%d bits a pixel", d)
	}
	end, err := h.parseMasks(f, b, info, compression)
	if err != nil {
		return err
	}
	f.info = int(info)
	if f.depth <= 8 && pixels == end { // counted without the palette
		pixels += int64(f.paletteSize())
	}
	h.Depth = min(f.depth, 8)
	h.Alpha = f.masks[3] != 0
	need := int64(f.stride(h.Width)) * height
	if f.runs {
		need = 2 // for the end of the image
		if err := h.checkDataSize(len(b), width*height, maxRLERatio); err != nil {
			return err
		}
	}
	if pixels < end || int64(len(b))-pixels < need {
		return h.broken("ends early: %d bytes, want %d at %d", len(b), need, pixels)
	}
	f.pixels = int(pixels)
	h.bmp = f
	return nil
}

// parseMasks sets the masks of the samples and returns the end of the headers.
func (h *Header) parseMasks(f *bmpFormat, b []byte, info, compression int64) (end int64, err error) {
	end = bmpFileHeader + info
	switch {
	case compression == bmpRGB && f.depth == 16:
		f.masks = [4]uint32{0x7c00, 0x3e0, 0x1f}
	case compression == bmpRGB && f.depth > 16:
		f.masks = [4]uint32{0xff0000, 0xff00, 0xff}
	case f.depth > 8:
		n := 3
		if compression == bmpAlphaBitFields || info >= 56 {
			n = 4
		}
		end = max(end, bmpMasks+4*int64(n)) // after a header of 40 bytes
		if int64(len(b)) < end {
			return 0, h.broken("ends early: %d bytes of the header", len(b))
		}
		for c := range n {
			f.masks[c] = binary.LittleEndian.Uint32(b[bmpMasks+4*c:])
		}
	}
	if f.depth > 8 && f.masks[0]|f.masks[1]|f.masks[2] == 0 {
		return 0, h.broken("no masks")
	}
	used := uint32(0)
	for _, mask := range f.masks {
		run := mask >> bits.TrailingZeros32(mask)
		switch {
		case run&(run+1) != 0 || mask&used != 0:
			return 0, h.unsupported("masks %x", f.masks)
		case f.depth == 16 && mask > 0xffff:
			return 0, h.broken("masks %x of 16 bits", f.masks)
		}
		used |= mask
	}
	return end, nil
}

// maxRLERatio is the most pixels that a byte codes.
const maxRLERatio = 128

func bmpCompressionName(compression int64) string {
	switch compression {
	case 1, 2:
		return "run-length coding"
	case 4, 5:
		return "JPEG or PNG inside"
	}
	return fmt.Sprintf("compression %d", compression)
}
