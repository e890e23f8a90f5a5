package imageio

import (
	"bytes"
	"encoding/binary"
	"math"

	"github.com/proposer/proposer/raster"
)

// A Header is what a file says of its picture before the pixels.
type Header struct {
	Format        string // "jpeg", "png", "webp", "bmp" or "tiff"
	Width, Height int    // as stored: orientations 5 to 8 exchange them
	Orientation   int    // EXIF 1..8; 1 if there is none
	Depth         int    // bits a sample; of a palette's indices for palettes
	Gray          bool   // one channel, perhaps with alpha
	Alpha         bool   // pixels may be transparent

	limits Limits

	// What a decoder must be told, or must not see.
	grayKey       int // PNG: the grey sample that stands for transparent, -1 if none
	whiteIsZero   bool
	premultiplied bool // TIFF
	orientationAt int  // TIFF: offset of the directory entry, 0 if none
}

// Upright is the picture's size once it is turned as its orientation says.
func (h Header) Upright() (width, height int) {
	if h.Orientation >= 5 {
		return h.Height, h.Width
	}
	return h.Width, h.Height
}

// Inspect reads the header only: it takes no memory for pixels and touches a few
// bytes of each segment. Errors are those of [Decode]. What Inspect accepts may
// still prove broken.
func Inspect(data []byte, lim Limits) (Header, error) {
	h := Header{Orientation: 1, Depth: 8, grayKey: -1, limits: lim.withDefaults()}
	if n := int64(len(data)); n > h.limits.MaxBytes {
		return Header{}, &LimitError{What: "bytes", Got: n, Max: h.limits.MaxBytes}
	}
	starts := func(magic string) bool { return bytes.HasPrefix(data, []byte(magic)) }
	var parse func([]byte) error
	switch {
	case starts("\xff\xd8\xff"):
		h.Format, parse = "jpeg", h.jpeg
	case starts(pngMagic):
		h.Format, parse = "png", h.png
	case starts("RIFF") && len(data) >= 12 && string(data[8:12]) == "WEBP":
		h.Format, parse = "webp", h.webp
	case starts("BM"):
		h.Format, parse = "bmp", h.bmp
	case starts("II*\x00"), starts("MM\x00*"):
		h.Format, parse = "tiff", h.tiff
	default:
		return Header{}, ErrUnsupported
	}
	if err := parse(data); err != nil {
		return Header{}, err
	}
	return h, nil
}

// size checks and keeps the sides. Each parser calls it as soon as it knows them.
func (h *Header) size(width, height int64) error {
	switch lim := h.limits; {
	case width <= 0 || height <= 0:
		return h.broken("%d×%d pixels", width, height)
	case width > int64(lim.MaxSide):
		return &LimitError{What: "pixels wide", Got: width, Max: int64(lim.MaxSide)}
	case height > int64(lim.MaxSide):
		return &LimitError{What: "pixels high", Got: height, Max: int64(lim.MaxSide)}
	case width*height > lim.MaxPixels:
		return &LimitError{What: "pixels", Got: width * height, Max: lim.MaxPixels}
	}
	h.Width, h.Height = int(width), int(height)
	return nil
}

// holds refuses a file of n bytes that cannot code need bytes of samples at the
// format's best ratio, so that a short file does not cost much memory.
func (h *Header) holds(n int, need, ratio int64) error {
	if need > int64(n)*ratio {
		return h.broken("%d bytes cannot hold %d×%d pixels", n, h.Width, h.Height)
	}
	return nil
}

// checkSize holds the decoder to the header.
func (h *Header) checkSize(width, height int) error {
	if width != h.Width || height != h.Height {
		return h.broken("%d×%d pixels, the header says %d×%d", width, height, h.Width, h.Height)
	}
	return nil
}

func (h *Header) newImage() *raster.Image {
	if h.Gray {
		return raster.New(raster.Gray, h.Width, h.Height)
	}
	return raster.New(raster.RGB, h.Width, h.Height)
}

func (h *Header) broken(msg string, args ...any) error { return broken(h.Format, msg, args...) }

func (h *Header) unsupported(msg string, args ...any) error {
	return unsupported(h.Format, msg, args...)
}

// jpegSegment gives the next segment at or after b[i:], passing over coded data,
// restart markers and, as decoders do, rubbish. The markers SOI and EOI have no
// body. next is where to go on; it is 0 when the file ends before the segment.
func jpegSegment(b []byte, i int) (marker byte, body []byte, next int) {
	for {
		n := bytes.IndexByte(b[i:], 0xff)
		if n < 0 {
			return 0, nil, 0
		}
		for i += n; i < len(b) && b[i] == 0xff; {
			i++
		}
		if i == len(b) {
			return 0, nil, 0
		}
		m := b[i]
		i++
		switch {
		case m <= 1 || m >= 0xd0 && m <= 0xd7: // a stuffed byte, TEM, RST
			continue
		case m == 0xd8 || m == 0xd9:
			return m, nil, i
		}
		if len(b)-i < 2 {
			return 0, nil, 0
		}
		size := int(binary.BigEndian.Uint16(b[i:]))
		if size < 2 || size > len(b)-i {
			return 0, nil, 0
		}
		return m, b[i+2 : i+size], i + size
	}
}

func (h *Header) jpeg(b []byte) error {
	channels, adobe, exif := 0, false, false
	for i := 2; ; {
		marker, body, next := jpegSegment(b, i)
		if next == 0 {
			return h.broken("ends before the pixels")
		}
		i = next
		switch {
		case marker >= 0xc0 && marker <= 0xc2:
			if channels != 0 {
				return h.broken("two frames")
			}
			if len(body) < 6 {
				return h.broken("short frame header")
			}
			if body[0] != 8 {
				return h.unsupported("%d bits a sample", body[0])
			}
			height, width := binary.BigEndian.Uint16(body[1:]), binary.BigEndian.Uint16(body[3:])
			if err := h.size(int64(width), int64(height)); err != nil {
				return err
			}
			// A block of 8×8 costs a bit or more.
			if err := h.holds(len(b), int64(width)*int64(height), 512); err != nil {
				return err
			}
			channels = int(body[5])
			if channels != 1 && channels != 3 && channels != 4 {
				return h.unsupported("%d channels", channels)
			}
			h.Gray = channels == 1
		case marker > 0xc2 && marker <= 0xcf && marker != 0xc4 && marker != 0xc8 && marker != 0xcc:
			return h.unsupported("lossless, hierarchical or arithmetic coding")
		case marker == 0xe1 && !exif:
			var tiff []byte
			if tiff, exif = bytes.CutPrefix(body, []byte(exifPrefix)); exif {
				h.Orientation = exifOrientation(tiff)
			}
		case marker == 0xee && bytes.HasPrefix(body, []byte("Adobe")) && len(body) >= 12:
			adobe = true
		case marker == 0xd8 || marker == 0xd9:
			return h.broken("no pixels")
		case marker == 0xda:
			if channels == 0 {
				return h.broken("pixels before the frame header")
			}
			if channels == 4 && !adobe {
				return h.unsupported("four channels of unknown meaning")
			}
			return nil
		}
	}
}

// checkScans walks a JPEG to its end marker. OpenCV fills what is missing with
// grey and does not say so. It also bounds the scans, each of which may cost a
// pass over the picture for a few bytes; encoders write about ten.
func (h *Header) checkScans(b []byte) error {
	scans := 0
	for i := 2; ; {
		marker, _, next := jpegSegment(b, i)
		switch {
		case next == 0:
			return h.broken("ends early: no end marker")
		case marker == 0xd9:
			return nil
		case marker == 0xda:
			if scans++; scans > 100 {
				return h.unsupported("more than 100 scans")
			}
		}
		i = next
	}
}

const pngMagic = "\x89PNG\r\n\x1a\n"

func (h *Header) png(b []byte) error {
	const ihdr = len(pngMagic) + 8
	if len(b) < ihdr+13 || string(b[ihdr-4:ihdr]) != "IHDR" || binary.BigEndian.Uint32(b[ihdr-8:]) != 13 {
		return h.broken("no header")
	}
	width, height := binary.BigEndian.Uint32(b[ihdr:]), binary.BigEndian.Uint32(b[ihdr+4:])
	if err := h.size(int64(width), int64(height)); err != nil {
		return err
	}
	h.Depth = int(b[ihdr+8])
	kind := b[ihdr+9]
	channels := map[byte]int{0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[kind]
	if channels == 0 || h.Depth == 0 || h.Depth > 16 {
		return h.broken("colour type %d with %d bits", kind, h.Depth)
	}
	h.Gray = kind == 0 || kind == 4
	h.Alpha = kind >= 4
	row := (int64(width)*int64(channels*h.Depth) + 7) / 8
	if err := h.holds(len(b), row*int64(height), 1032); err != nil { // 1032: Deflate
		return err
	}
	for b = b[len(pngMagic):]; len(b) >= 12; {
		size := binary.BigEndian.Uint32(b)
		if int64(size) > int64(len(b)-12) {
			break // the decoder will say so
		}
		body := b[8 : 8+size]
		switch string(b[4:8]) {
		case "tRNS":
			h.Alpha = true
			if kind == 0 && len(body) == 2 {
				h.grayKey = int(binary.BigEndian.Uint16(body))
			}
		case "eXIf":
			h.Orientation = exifOrientation(body)
		case "IEND":
			return nil
		}
		b = b[12+size:]
	}
	return h.broken("ends early")
}

// webp checks what OpenCV's own sniffing does: what that refuses is offered to its
// other decoders.
func (h *Header) webp(b []byte) error {
	riff := int64(binary.LittleEndian.Uint32(b[4:])) + 8
	if riff > int64(len(b)) || riff < 12 {
		return h.broken("%d bytes of %d", len(b), riff)
	}
	b = b[:riff]
	extended, found := false, false
	for b = b[12:]; len(b) >= 8; {
		size := int64(binary.LittleEndian.Uint32(b[4:]))
		if size > int64(len(b)-8) {
			return h.broken("chunk of %d bytes in a file with %d left", size, len(b)-8)
		}
		body := b[8 : 8+size]
		var width, height int64
		switch id := string(b[:4]); {
		case id == "VP8X" && !extended && !found && size == 10:
			extended = true
			if body[0]&2 != 0 {
				return h.unsupported("an animation")
			}
			h.Alpha = body[0]&16 != 0
			width = 1 + int64(binary.LittleEndian.Uint32(body[4:])&0xffffff)
			height = 1 + int64(binary.LittleEndian.Uint32(body[6:])>>8)
		case id == "VP8 " && !found:
			// A shown key frame of profile 0 to 3.
			if size < 10 || body[0]&0x19 != 0x10 || string(body[3:6]) != "\x9d\x01\x2a" {
				return h.broken("no key frame")
			}
			found = true
			width = int64(binary.LittleEndian.Uint16(body[6:]) & 0x3fff)
			height = int64(binary.LittleEndian.Uint16(body[8:]) & 0x3fff)
		case id == "VP8L" && !found:
			if size < 5 || body[0] != 0x2f || body[4]>>5 != 0 {
				return h.broken("no lossless frame")
			}
			found = true
			v := binary.LittleEndian.Uint32(body[1:])
			width, height = 1+int64(v&0x3fff), 1+int64(v>>14&0x3fff)
			h.Alpha = h.Alpha || v>>28&1 != 0
		case id == "EXIF":
			h.Orientation = exifOrientation(bytes.TrimPrefix(body, []byte(exifPrefix)))
		case !extended && !found:
			return h.broken("begins with chunk %q", id)
		}
		switch {
		case width == 0 && height == 0:
		case h.Width == 0:
			if err := h.size(width, height); err != nil {
				return err
			}
		case width != int64(h.Width) || height != int64(h.Height):
			return h.broken("a frame of %d×%d pixels in a canvas of %d×%d", width, height, h.Width, h.Height)
		}
		b = b[min(8+size+size&1, int64(len(b))):]
	}
	if !found {
		return h.broken("no frame")
	}
	return nil
}

func (h *Header) bmp(b []byte) error {
	const file = 14 // bytes of the file header
	if len(b) < file+4 {
		return h.broken("no header")
	}
	le := binary.LittleEndian
	pixels, info := int64(le.Uint32(b[10:])), int64(le.Uint32(b[file:]))
	if info < 40 || info > 124 {
		return h.unsupported("header of %d bytes", info)
	}
	if int64(len(b)) < file+info {
		return h.broken("short header")
	}
	width, height := int64(int32(le.Uint32(b[18:]))), int64(int32(le.Uint32(b[22:])))
	if height < 0 { // top row first
		height = -height
	}
	depth, compression := int64(le.Uint16(b[28:])), int64(le.Uint32(b[30:]))
	if err := h.size(width, height); err != nil {
		return err
	}
	switch {
	case compression != 0 && !(compression == 3 && (depth == 16 || depth == 32)):
		return h.unsupported("compression %d", compression)
	case depth != 1 && depth != 4 && depth != 8 && depth != 16 && depth != 24 && depth != 32:
		return h.unsupported("%d bits a pixel", depth)
	}
	h.Depth = int(min(depth, 8))
	h.Alpha = depth == 32 && compression == 3 && info >= 56 && le.Uint32(b[66:]) != 0 // alpha's mask
	if need := (width*depth + 31) / 32 * 4 * height; pixels < file+info || int64(len(b))-pixels < need {
		return h.broken("ends early: %d bytes, want %d at %d", len(b), need, pixels)
	}
	return nil
}

// A tiffDir is the first directory of a TIFF file: entries of 12 bytes with tag,
// type, count, and the values or where they are.
type tiffDir struct {
	data    []byte
	order   binary.ByteOrder
	at      int // offset of entries
	entries []byte
}

// openTIFF finds the first directory. missing is the part of it that lies behind
// the end of the data, in bytes; ok is false if it has no entry at all.
func openTIFF(b []byte) (d tiffDir, missing int, ok bool) {
	if len(b) < 8 {
		return d, 0, false
	}
	switch string(b[:4]) {
	case "II*\x00":
		d.order = binary.LittleEndian
	case "MM\x00*":
		d.order = binary.BigEndian
	default:
		return d, 0, false
	}
	at := int64(d.order.Uint32(b[4:]))
	if at < 8 || at > int64(len(b)-2) {
		return d, 0, false
	}
	d.data, d.at = b, int(at)+2
	n := int(d.order.Uint16(b[at:])) * 12
	d.entries = b[d.at:min(len(b), d.at+n)]
	return d, n - len(d.entries), n > 0
}

// values gives the first 8 values of a tag and the offset of its entry; none if
// the tag is missing, is not of whole numbers, or points outside.
func (d tiffDir) values(tag uint16) (v []uint32, entry int) {
	for i := 0; i+12 <= len(d.entries); i += 12 {
		e := d.entries[i : i+12]
		if d.order.Uint16(e) != tag {
			continue
		}
		entry = d.at + i
		size, ok := map[uint16]int{1: 1, 3: 2, 4: 4}[d.order.Uint16(e[2:])]
		if !ok {
			return nil, entry
		}
		count := int64(d.order.Uint32(e[4:]))
		raw := e[8:]
		if count*int64(size) > 4 {
			at := int64(d.order.Uint32(raw))
			if at+count*int64(size) > int64(len(d.data)) {
				return nil, entry
			}
			raw = d.data[at:]
		}
		for range min(count, 8) {
			switch size {
			case 1:
				v = append(v, uint32(raw[0]))
			case 2:
				v = append(v, uint32(d.order.Uint16(raw)))
			case 4:
				v = append(v, d.order.Uint32(raw))
			}
			raw = raw[size:]
		}
		return v, entry
	}
	return nil, 0
}

func (d tiffDir) value(tag uint16, missing uint32) uint32 {
	if v, _ := d.values(tag); len(v) > 0 {
		return v[0]
	}
	return missing
}

func (h *Header) tiff(b []byte) error {
	d, missing, ok := openTIFF(b)
	if !ok || missing > 0 {
		return h.broken("no directory")
	}
	for i := 12; i < len(d.entries); i += 12 {
		// Readers differ in which of two equal tags they believe.
		if d.order.Uint16(d.entries[i:]) <= d.order.Uint16(d.entries[i-12:]) {
			return h.broken("directory out of order")
		}
	}
	for i := 0; i < len(d.entries); i += 12 {
		switch tag := d.order.Uint16(d.entries[i:]); tag {
		case 256, 257, 258, 259, 262, 277, 278, 284, 322, 323, 338, 339:
			if v, _ := d.values(tag); v == nil {
				return h.broken("tag %d has no value in the file", tag)
			}
		}
	}
	if err := h.size(int64(d.value(256, 0)), int64(d.value(257, 0))); err != nil {
		return err
	}
	depths, _ := d.values(258)
	if len(depths) == 0 {
		depths = []uint32{1}
	}
	for _, v := range depths {
		if v != depths[0] {
			return h.unsupported("samples of unequal depth")
		}
	}
	depth, kind, extra := depths[0], d.value(262, math.MaxUint32), d.value(338, 0)
	h.Depth = int(min(depth, 64))
	if n := d.value(277, 1); n != uint32(len(depths)) {
		return h.unsupported("%d samples a pixel, %d depths", n, len(depths))
	}
	switch n := len(depths); {
	case kind <= 1 && n == 1 && (depth == 1 || depth == 8 || depth == 16): // grey
		h.Gray, h.whiteIsZero = true, kind == 0
	case kind == 2 && n == 3 && (depth == 8 || depth == 16): // RGB
	case kind == 2 && n == 4 && (depth == 8 || depth == 16) && (extra == 1 || extra == 2):
		h.Alpha, h.premultiplied = true, extra == 1
	case kind == 3 && n == 1 && (depth == 1 || depth == 8): // palette
	default:
		return h.unsupported("photometric interpretation %d with %d samples of %d bits", int32(kind), n, depth)
	}
	formats, _ := d.values(339)
	for _, f := range formats {
		if f != 1 {
			return h.unsupported("samples that are not unsigned whole numbers")
		}
	}
	if d.value(284, 1) != 1 && len(depths) > 1 {
		return h.unsupported("separate planes")
	}
	switch c := d.value(259, 1); c {
	case 0, 1, 3, 4, 5, 8, 32773, 32946:
	default:
		return h.unsupported("compression %d", c)
	}
	// Decoders take the memory of a whole strip or tile.
	bw, bh := int64(h.Width), min(int64(d.value(278, math.MaxUint32)), int64(h.Height))
	if v, _ := d.values(322); v != nil {
		bw, bh = int64(v[0]), int64(d.value(323, 0))
	}
	if bw*bh > h.limits.MaxPixels {
		return &LimitError{What: "pixels in a tile", Got: bw * bh, Max: h.limits.MaxPixels}
	}
	h.Orientation, h.orientationAt = d.orientation()
	return nil
}

const exifPrefix = "Exif\x00\x00"

// exifOrientation reads the orientation from the TIFF file that EXIF data is; 1 if
// there is none or it makes no sense.
func exifOrientation(b []byte) int {
	d, _, _ := openTIFF(b)
	o, _ := d.orientation()
	return o
}

func (d tiffDir) orientation() (value, entry int) {
	v, entry := d.values(274)
	if len(v) == 1 && v[0] >= 1 && v[0] <= 8 {
		return int(v[0]), entry
	}
	return 1, entry
}
