package imageio

import "encoding/binary"

const bmpFileHeader = 14 // bytes before the info header

// Compressions of BMP.
const (
	bmpRGB       = 0
	bmpBitFields = 3
)

func (h *Header) parseBMP(b []byte) error {
	if len(b) < bmpFileHeader+4 {
		return h.broken("no header")
	}
	le := binary.LittleEndian
	pixels := int64(le.Uint32(b[10:])) // offset of the pixels
	info := int64(le.Uint32(b[bmpFileHeader:]))
	if info < 40 || info > 124 {
		return h.unsupported("header of %d bytes", info)
	}
	if int64(len(b)) < bmpFileHeader+info {
		return h.broken("short header")
	}
	width, height := int64(int32(le.Uint32(b[18:]))), int64(int32(le.Uint32(b[22:])))
	if height < 0 { // the top row is first
		height = -height
	}
	depth, compression := int64(le.Uint16(b[28:])), int64(le.Uint32(b[30:]))
	if err := h.setSize(width, height); err != nil {
		return err
	}
	switch {
	case compression != bmpRGB && !(compression == bmpBitFields && (depth == 16 || depth == 32)):
		return h.unsupported("compression %d", compression)
	case depth != 1 && depth != 4 && depth != 8 && depth != 16 && depth != 24 && depth != 32:
		return h.unsupported("%d bits a pixel", depth)
	}
	h.Depth = int(min(depth, 8))
	h.Alpha = depth == 32 && compression == bmpBitFields && info >= 56 && le.Uint32(b[66:]) != 0 // alpha's mask
	need := (width*depth + 31) / 32 * 4 * height
	if pixels < bmpFileHeader+info || int64(len(b))-pixels < need {
		return h.broken("ends early: %d bytes, want %d at %d", len(b), need, pixels)
	}
	return nil
}
