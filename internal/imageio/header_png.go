package imageio

import "encoding/binary"

const pngMagic = "\x89PNG\r\n\x1a\n"

// Color types of PNG (section 11.2.1 of the specification). Bit 2 is alpha.
const (
	pngGray      = 0
	pngRGB       = 2
	pngPalette   = 3
	pngGrayAlpha = 4
	pngRGBAlpha  = 6
)

// maxDeflateRatio is the best compression of Deflate.
const maxDeflateRatio = 1032

// pngChunkOverhead is the bytes of a chunk's size, type and checksum.
const pngChunkOverhead = 12

func (h *Header) parsePNG(b []byte) error {
	const ihdr = len(pngMagic) + 8 // offset of the first chunk's body
	if len(b) < ihdr+13 {
		return h.broken("ends early: no header")
	}
	if string(b[ihdr-4:ihdr]) != "IHDR" || binary.BigEndian.Uint32(b[ihdr-8:]) != 13 {
		return h.broken("no header")
	}
	width := int64(binary.BigEndian.Uint32(b[ihdr:]))
	height := int64(binary.BigEndian.Uint32(b[ihdr+4:]))
	if err := h.setSize(width, height); err != nil {
		return err
	}
	h.Depth = int(b[ihdr+8])
	colorType := b[ihdr+9]
	channels := map[byte]int{pngGray: 1, pngRGB: 3, pngPalette: 1, pngGrayAlpha: 2, pngRGBAlpha: 4}[colorType]
	if channels == 0 || h.Depth == 0 || h.Depth > 16 {
		return h.broken("color type %d with %d bits", colorType, h.Depth)
	}
	h.Gray = colorType == pngGray || colorType == pngGrayAlpha
	h.Alpha = colorType == pngGrayAlpha || colorType == pngRGBAlpha
	row := (width*int64(channels*h.Depth) + 7) / 8
	if err := h.checkDataSize(len(b), row*height, maxDeflateRatio); err != nil {
		return err
	}
	return h.parsePNGChunks(b[len(pngMagic):], colorType)
}

// parsePNGChunks reads the chunks that describe transparency and orientation.
func (h *Header) parsePNGChunks(b []byte, colorType byte) error {
	for len(b) >= pngChunkOverhead {
		size := binary.BigEndian.Uint32(b)
		if int64(size) > int64(len(b)-pngChunkOverhead) {
			break // it ends early
		}
		body := b[8 : 8+size]
		switch string(b[4:8]) {
		case "tRNS":
			h.Alpha = true
			if colorType == pngGray && len(body) == 2 {
				h.grayKey = int(binary.BigEndian.Uint16(body))
			}
		case "eXIf":
			h.Orientation = exifOrientation(body)
		case "IEND":
			return nil
		}
		b = b[pngChunkOverhead+size:]
	}
	return h.broken("ends early: no end chunk")
}
