package imageio

import (
	"encoding/binary"
	"math"
	"slices"
)

const (
	tiffMagicLittle = "II*\x00"
	tiffMagicBig    = "MM\x00*"
)

// Tags of TIFF 6.0.
const (
	tagImageWidth      = 256
	tagImageLength     = 257
	tagBitsPerSample   = 258
	tagCompression     = 259
	tagPhotometric     = 262
	tagOrientation     = 274
	tagSamplesPerPixel = 277
	tagRowsPerStrip    = 278
	tagPlanarConfig    = 284
	tagTileWidth       = 322
	tagTileLength      = 323
	tagExtraSamples    = 338
	tagSampleFormat    = 339
)

// Values of tags.
const (
	photometricWhiteIsZero = 0
	photometricBlackIsZero = 1
	photometricRGB         = 2
	photometricPalette     = 3

	extraPremultiplied = 1 // associated alpha
	extraAlpha         = 2 // unassociated alpha

	planarChunky   = 1
	formatUnsigned = 1
)

// Readable compressions: none, CCITT, LZW, Deflate, PackBits. Some writers use 0 for none.
var tiffCompressions = []uint32{0, 1, 3, 4, 5, 8, 32773, 32946}

// requiredTags must have a value in the file if they are there: decoders would otherwise read
// beyond its end, or take a default.
var requiredTags = []uint16{
	tagImageWidth, tagImageLength, tagBitsPerSample, tagCompression, tagPhotometric, tagSamplesPerPixel,
	tagRowsPerStrip, tagPlanarConfig, tagTileWidth, tagTileLength, tagExtraSamples, tagSampleFormat,
}

// A tiffDir is the first directory of a TIFF file: entries of 12 bytes, each with a tag, a type,
// a count, and the values or their offset.
type tiffDir struct {
	data    []byte
	order   binary.ByteOrder
	at      int // offset of entries
	entries []byte
}

const tiffEntrySize = 12

// Types of values, with their sizes in bytes.
var tiffTypeSizes = map[uint16]int{
	1: 1, // BYTE
	3: 2, // SHORT
	4: 4, // LONG
}

// openTIFF returns the first directory. missing is the number of its bytes behind the end of the
// data. ok is false if it has no entry.
func openTIFF(b []byte) (d tiffDir, missing int, ok bool) {
	if len(b) < 8 {
		return d, 0, false
	}
	switch string(b[:4]) {
	case tiffMagicLittle:
		d.order = binary.LittleEndian
	case tiffMagicBig:
		d.order = binary.BigEndian
	default:
		return d, 0, false
	}
	at := int64(d.order.Uint32(b[4:]))
	if at < 8 || at > int64(len(b)-2) {
		return d, 0, false
	}
	d.data = b
	d.at = int(at) + 2
	n := int(d.order.Uint16(b[at:])) * tiffEntrySize
	d.entries = b[d.at:min(len(b), d.at+n)]
	return d, n - len(d.entries), n > 0
}

// tag returns the tag of the entry at an offset in d.entries.
func (d tiffDir) tag(at int) uint16 { return d.order.Uint16(d.entries[at:]) }

// values returns the first 8 values of a tag and the offset of its entry. There are none if the
// tag is missing, is not of whole numbers, or points outside the file.
func (d tiffDir) values(tag uint16) (values []uint32, entry int) {
	for i := 0; i+tiffEntrySize <= len(d.entries); i += tiffEntrySize {
		if d.tag(i) == tag {
			return d.entryValues(d.entries[i : i+tiffEntrySize]), d.at + i
		}
	}
	return nil, 0
}

func (d tiffDir) entryValues(entry []byte) (values []uint32) {
	size, ok := tiffTypeSizes[d.order.Uint16(entry[2:])]
	if !ok {
		return nil
	}
	count := int64(d.order.Uint32(entry[4:]))
	raw := entry[8:]
	if count*int64(size) > int64(len(raw)) {
		at := int64(d.order.Uint32(raw))
		if at+count*int64(size) > int64(len(d.data)) {
			return nil
		}
		raw = d.data[at:]
	}
	for range min(count, 8) {
		switch size {
		case 1:
			values = append(values, uint32(raw[0]))
		case 2:
			values = append(values, uint32(d.order.Uint16(raw)))
		case 4:
			values = append(values, d.order.Uint32(raw))
		}
		raw = raw[size:]
	}
	return values
}

// value returns the first value of a tag, or missing.
func (d tiffDir) value(tag uint16, missing uint32) uint32 {
	if v, _ := d.values(tag); len(v) > 0 {
		return v[0]
	}
	return missing
}

// orientation returns the orientation and the offset of its entry: 1, 0 if there is none.
func (d tiffDir) orientation() (value, entry int) {
	v, entry := d.values(tagOrientation)
	if len(v) == 1 && v[0] >= 1 && v[0] <= 8 {
		return int(v[0]), entry
	}
	return 1, entry
}

func (h *Header) parseTIFF(b []byte) error {
	d, missing, ok := openTIFF(b)
	if !ok || missing > 0 {
		return h.broken("no directory")
	}
	if err := h.checkTags(d); err != nil {
		return err
	}
	if err := h.setSize(int64(d.value(tagImageWidth, 0)), int64(d.value(tagImageLength, 0))); err != nil {
		return err
	}
	if err := h.parseSamples(d); err != nil {
		return err
	}
	if c := d.value(tagCompression, 1); !slices.Contains(tiffCompressions, c) {
		return h.unsupported("compression %d", c)
	}
	if err := h.checkTiles(d); err != nil {
		return err
	}
	h.Orientation, h.orientationAt = d.orientation()
	return nil
}

// checkTags refuses duplicate tags, of which readers use different ones, and tags without values.
func (h *Header) checkTags(d tiffDir) error {
	for i := tiffEntrySize; i < len(d.entries); i += tiffEntrySize {
		if d.tag(i) <= d.tag(i-tiffEntrySize) {
			return h.broken("directory out of order")
		}
	}
	for i := 0; i < len(d.entries); i += tiffEntrySize {
		tag := d.tag(i)
		if v, _ := d.values(tag); v == nil && slices.Contains(requiredTags, tag) {
			return h.broken("tag %d has no value in the file", tag)
		}
	}
	return nil
}

// parseSamples reads what the samples of a pixel are.
func (h *Header) parseSamples(d tiffDir) error {
	depths, _ := d.values(tagBitsPerSample)
	if len(depths) == 0 {
		depths = []uint32{1}
	}
	depth := depths[0]
	for _, v := range depths {
		if v != depth {
			return h.unsupported("samples of unequal depth")
		}
	}
	h.Depth = int(min(depth, 64))
	n := len(depths)
	if samples := d.value(tagSamplesPerPixel, 1); samples != uint32(n) {
		return h.unsupported("%d samples a pixel, %d depths", samples, n)
	}

	photometric, extra := d.value(tagPhotometric, math.MaxUint32), d.value(tagExtraSamples, 0)
	is8or16 := depth == 8 || depth == 16
	switch {
	case photometric <= photometricBlackIsZero && n == 1 && (depth == 1 || is8or16):
		h.Gray = true
		h.whiteIsZero = photometric == photometricWhiteIsZero
	case photometric == photometricRGB && n == 3 && is8or16:
	case photometric == photometricRGB && n == 4 && is8or16 && (extra == extraPremultiplied || extra == extraAlpha):
		h.Alpha = true
		h.premultiplied = extra == extraPremultiplied
	case photometric == photometricPalette && n == 1 && (depth == 1 || depth == 8):
	default:
		return h.unsupported("photometric interpretation %d with %d samples of %d bits", int32(photometric), n, depth)
	}

	formats, _ := d.values(tagSampleFormat)
	for _, format := range formats {
		if format != formatUnsigned {
			return h.unsupported("samples that are not unsigned whole numbers")
		}
	}
	if d.value(tagPlanarConfig, planarChunky) != planarChunky && n > 1 {
		return h.unsupported("separate planes")
	}
	return nil
}

// checkTiles bounds the size of a strip or tile: decoders allocate memory for a whole one.
func (h *Header) checkTiles(d tiffDir) error {
	width := int64(h.Width)
	height := min(int64(d.value(tagRowsPerStrip, math.MaxUint32)), int64(h.Height))
	if v, _ := d.values(tagTileWidth); v != nil {
		width = int64(v[0])
		height = int64(d.value(tagTileLength, 0))
	}
	if n := width * height; n > h.limits.MaxPixels {
		return &LimitError{What: "pixels in a tile", Got: n, Max: h.limits.MaxPixels}
	}
	return nil
}
