package imageio

import (
	"bytes"
	"compress/zlib"
	"encoding/binary"
	"encoding/hex"
	"io"
	"regexp"
	"slices"
)

const pngMagic = "\x89PNG\r\n\x1a\n"

// Color types of PNG (section 11.2.1 of the specification). Bit 2 is alpha.
const (
	pngGray      = 0
	pngRGB       = 2
	pngPalette   = 3
	pngGrayAlpha = 4
	pngRGBAlpha  = 6
)

// pngDepths are the depths of each color type.
var pngDepths = map[byte][]int{
	pngGray: {1, 2, 4, 8, 16}, pngRGB: {8, 16}, pngPalette: {1, 2, 4, 8}, pngGrayAlpha: {8, 16}, pngRGBAlpha: {8, 16},
}

// maxDeflateRatio is the best compression of Deflate.
const maxDeflateRatio = 1032

// pngChunkOverhead is the bytes of a chunk's size, type and checksum.
const pngChunkOverhead = 12

func (h *Header) parsePNG(b []byte) error {
	const ihdr = len(pngMagic) + 8 // offset of the first chunk's body
	if len(b) < ihdr+13 {
		return h.broken("ends early: no header")
	}
	if string(b[ihdr-4:ihdr]) == "CgBI" {
		return h.unsupported("an image that Xcode has changed for iPhones (CgBI)")
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
	f := &pngFormat{colorType: b[ihdr+9], interlaced: b[ihdr+12] == 1}
	channels := f.channels()
	if !slices.Contains(pngDepths[f.colorType], h.Depth) {
		return h.broken("color type %d with %d bits", f.colorType, h.Depth)
	}
	if b[ihdr+10] != 0 || b[ihdr+11] != 0 || b[ihdr+12] > 1 {
		return h.unsupported("compression %d, filter %d, interlacing %d", b[ihdr+10], b[ihdr+11], b[ihdr+12])
	}
	h.Gray = f.colorType == pngGray || f.colorType == pngGrayAlpha
	row := (width*int64(channels*h.Depth) + 7) / 8
	if err := h.checkDataSize(len(b), row*height, maxDeflateRatio); err != nil {
		return err
	}
	if err := h.parsePNGChunks(f, b[len(pngMagic):]); err != nil {
		return err
	}
	h.Alpha = f.colorType == pngGrayAlpha || f.colorType == pngRGBAlpha || f.transparency != nil
	h.png = f
	return nil
}

// parsePNGChunks reads the chunks that describe colors, transparency and orientation. It checks those that
// it uses and ignores other ancillary ones, as their damage does not matter.
func (h *Header) parsePNGChunks(f *pngFormat, b []byte) error {
	var orientations [3]int // of eXIf, of its predecessor, of XMP: the first one counts
	ended := false
	for first := true; !ended; first = false {
		chunk, next, ok := nextPNGChunk(b)
		if !ok {
			return h.broken("ends early: no end chunk")
		}
		kind, body := string(chunk[4:8]), chunk[8:len(chunk)-4]
		used := true
		switch kind {
		case "IHDR":
			if !first {
				return h.broken("two headers")
			}
		case "PLTE":
			if f.palette != nil || f.pixels != nil || len(body) == 0 || len(body)%3 != 0 {
				return h.broken("a palette of %d bytes: want one, in front of the pixels, of 3 bytes a color", len(body))
			}
			f.palette = body
		case "tRNS":
			want := map[byte]int{pngGray: 2, pngRGB: 6, pngPalette: len(f.palette) / 3}[f.colorType]
			if used = f.colorType != pngGrayAlpha && f.colorType != pngRGBAlpha; !used {
				break
			}
			if f.pixels != nil || f.transparency != nil || len(body) == 0 || len(body) > want || len(body) < want && f.colorType != pngPalette {
				return h.broken("a transparency of %d bytes: want one of %d, in front of the pixels", len(body), want)
			}
			f.transparency = body
		case "IDAT":
			if f.colorType == pngPalette && f.palette == nil {
				return h.broken("no palette")
			}
			if f.pixels == nil {
				f.pixels = b
			}
			used = false // checked when it is read
		case "IEND":
			ended = true
		case "eXIf":
			orientations[0] = exifOrientation(body)
		case "zTXt", "tEXt", "iTXt":
			profile, text, compressed := pngProfile(kind, body)
			if used = profile != 0 && orientations[profile] == 0; used {
				if compressed {
					text = inflate(text)
				}
				orientations[profile] = profileOrientation(profile, text)
			}
		default:
			if used = kind[0]&0x20 == 0; used {
				return h.unsupported("chunk %q", kind)
			}
		}
		if used && !checkPNGChunk(chunk) {
			return h.broken("chunk %s has a wrong checksum", kind)
		}
		b = next
	}
	if f.pixels == nil {
		return h.broken("no pixels")
	}
	for _, o := range orientations {
		if o > 0 {
			h.Orientation = o
			break
		}
	}
	return nil
}

// maxPNGText bounds the texts that are read.
const maxPNGText = 1 << 18

// xmpOrientation is the orientation in XMP, as an attribute or an element.
var xmpOrientation = regexp.MustCompile(`tiff:Orientation(?:=["']|>)([1-8])`)

// Profiles with an orientation in texts of PNG. Like Pillow this package reads both.
const (
	pngRawEXIF = 1 // as ImageMagick writes it, in hexadecimal digits
	pngXMP     = 2
)

// pngProfile returns which profile a text is, 0 if none, and the profile.
func pngProfile(kind string, body []byte) (profile int, text []byte, compressed bool) {
	keyword, text, _ := bytes.Cut(body, []byte{0})
	switch k := string(keyword); {
	case kind == "iTXt" && k == "XML:com.adobe.xmp" && len(text) > 2:
		compressed = text[0] != 0
		text = text[2:]
		for range 2 { // language, translated keyword
			_, text, _ = bytes.Cut(text, []byte{0})
		}
		return pngXMP, text, compressed
	case kind != "iTXt" && (k == "Raw profile type exif" || k == "Raw profile type APP1") && len(text) > 1:
		if kind == "zTXt" {
			return pngRawEXIF, text[1:], true
		}
		return pngRawEXIF, text, false
	}
	return 0, nil, false
}

func profileOrientation(profile int, text []byte) int {
	text = text[:min(len(text), maxPNGText)]
	if profile == pngXMP {
		if m := xmpOrientation.FindSubmatch(text); m != nil {
			return int(m[1][0] - '0')
		}
		return 1
	}
	// A line end, the type, the number of bytes, and their digits.
	fields := bytes.Fields(text)
	if len(fields) < 3 {
		return 1
	}
	data, err := hex.AppendDecode(nil, bytes.Join(fields[2:], nil))
	if err != nil {
		return 1
	}
	return exifOrientation(data)
}

// inflate returns the start of compressed data.
func inflate(b []byte) []byte {
	z, err := zlib.NewReader(bytes.NewReader(b))
	if err != nil {
		return nil
	}
	text, _ := io.ReadAll(io.LimitReader(z, maxPNGText))
	return text
}
