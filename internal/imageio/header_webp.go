package imageio

import (
	"bytes"
	"encoding/binary"
)

// Flags of the chunk VP8X.
const (
	webpAnimation = 1 << 1
	webpAlpha     = 1 << 4
)

// webpChunks is the state of parseWebP: the chunks seen so far.
type webpChunks struct {
	extended bool // VP8X
	frame    bool // VP8 or VP8L
}

// parseWebP checks whatever OpenCV's format detection checks, because OpenCV tries its other
// decoders on files that its WebP decoder refuses.
func (h *Header) parseWebP(b []byte) error {
	riff := int64(binary.LittleEndian.Uint32(b[4:])) + 8
	if riff > int64(len(b)) {
		return h.broken("ends early: %d bytes of %d", len(b), riff)
	}
	if riff < 12 {
		return h.broken("a size of %d bytes", riff)
	}
	var seen webpChunks
	for b = b[12:riff]; len(b) >= 8; {
		size := int64(binary.LittleEndian.Uint32(b[4:]))
		if size > int64(len(b)-8) {
			return h.broken("chunk of %d bytes in a file with %d left", size, len(b)-8)
		}
		width, height, err := h.parseWebPChunk(string(b[:4]), b[8:8+size], &seen)
		if err != nil {
			return err
		}
		switch {
		case width == 0 && height == 0: // the chunk has no size
		case h.Width == 0:
			if err := h.setSize(width, height); err != nil {
				return err
			}
		case width != int64(h.Width) || height != int64(h.Height):
			return h.broken("a frame of %d×%d pixels in a canvas of %d×%d", width, height, h.Width, h.Height)
		}
		b = b[min(8+size+size&1, int64(len(b))):]
	}
	if !seen.frame {
		return h.broken("no frame")
	}
	return nil
}

// parseWebPChunk reads a chunk. Of a chunk without an image size it returns 0, 0.
func (h *Header) parseWebPChunk(id string, body []byte, seen *webpChunks) (width, height int64, err error) {
	switch {
	case id == "VP8X" && !seen.extended && !seen.frame && len(body) == 10:
		seen.extended = true
		if body[0]&webpAnimation != 0 {
			return 0, 0, h.unsupported("an animation")
		}
		h.Alpha = body[0]&webpAlpha != 0
		width = 1 + int64(binary.LittleEndian.Uint32(body[4:])&0xffffff)
		height = 1 + int64(binary.LittleEndian.Uint32(body[6:])>>8)
	case id == "VP8 " && !seen.frame:
		// A visible key frame of profile 0 to 3, see RFC 6386, section 9.1.
		if len(body) < 10 || body[0]&0x19 != 0x10 || string(body[3:6]) != "\x9d\x01\x2a" {
			return 0, 0, h.broken("no key frame")
		}
		seen.frame = true
		width = int64(binary.LittleEndian.Uint16(body[6:]) & 0x3fff)
		height = int64(binary.LittleEndian.Uint16(body[8:]) & 0x3fff)
	case id == "VP8L" && !seen.frame:
		if len(body) < 5 || body[0] != 0x2f || body[4]>>5 != 0 {
			return 0, 0, h.broken("no lossless frame")
		}
		seen.frame = true
		// 14 bits of width, 14 of height, 1 of alpha.
		v := binary.LittleEndian.Uint32(body[1:])
		width = 1 + int64(v&0x3fff)
		height = 1 + int64(v>>14&0x3fff)
		h.Alpha = h.Alpha || v>>28&1 != 0
	case id == "EXIF":
		h.Orientation = exifOrientation(bytes.TrimPrefix(body, []byte(exifPrefix)))
	case !seen.extended && !seen.frame:
		return 0, 0, h.broken("begins with chunk %q", id)
	}
	return width, height, nil
}
