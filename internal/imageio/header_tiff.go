package imageio

import (
	"encoding/binary"
	"fmt"
	"math"
	"slices"
)

const (
	tiffMagicLittle = "II*\x00"
	tiffMagicBig    = "MM\x00*"
)

// Tags of TIFF 6.0.
const (
	tagNewSubfileType  = 254
	tagSubfileType     = 255
	tagImageWidth      = 256
	tagImageLength     = 257
	tagBitsPerSample   = 258
	tagCompression     = 259
	tagPhotometric     = 262
	tagFillOrder       = 266
	tagStripOffsets    = 273
	tagOrientation     = 274
	tagSamplesPerPixel = 277
	tagRowsPerStrip    = 278
	tagStripByteCounts = 279
	tagPlanarConfig    = 284
	tagT4Options       = 292
	tagPredictor       = 317
	tagColorMap        = 320
	tagTileWidth       = 322
	tagTileLength      = 323
	tagTileOffsets     = 324
	tagTileByteCounts  = 325
	tagSubIFDs         = 330
	tagExtraSamples    = 338
	tagSampleFormat    = 339
	tagIndexed         = 346
	tagDataType        = 32996 // the sample format, before TIFF 6.0
	tagImageDepth      = 32997
	tagLeafData        = 34310
	tagDNGVersion      = 50706
)

// Values of tags.
const (
	photometricWhiteIsZero = 0
	photometricBlackIsZero = 1
	photometricRGB         = 2
	photometricPalette     = 3
	photometricCFA         = 32803
	photometricLinearRaw   = 34892

	subfileReduced    = 1 // bit of tagNewSubfileType
	oldSubfileReduced = 2 // value of tagSubfileType

	extraUnspecified   = 0
	extraPremultiplied = 1 // associated alpha
	extraAlpha         = 2 // unassociated alpha

	planarChunky   = 1
	planarSeparate = 2
	formatUnsigned = 1

	dataUnsigned = 2 // of tagDataType

	fillOrderHighFirst = 1 // the first pixel is in the highest bit
	fillOrderLowFirst  = 2

	t4TwoDimensional = 1 // bit of tagT4Options

	predictorNone       = 1
	predictorHorizontal = 2

	compressionNone       = 1
	compressionRLE        = 2 // the runs of Group 3
	compressionG3         = 3
	compressionG4         = 4
	compressionLZW        = 5
	compressionDeflate    = 8
	compressionRLEWord    = 32771
	compressionPackBits   = 32773
	compressionOldDeflate = 32946
)

// tiffCompressions are the readable compressions.
var tiffCompressions = []uint32{
	compressionNone, compressionRLE, compressionG3, compressionG4, compressionLZW, compressionDeflate,
	compressionRLEWord, compressionPackBits, compressionOldDeflate,
}

// faxCompressions are those of a [faxReader].
var faxCompressions = []uint32{compressionRLE, compressionG3, compressionG4, compressionRLEWord}

// requiredTags must have a value in the file if they are there: decoders would otherwise read
// beyond its end, or take a default.
var requiredTags = []uint16{
	tagImageWidth, tagImageLength, tagBitsPerSample, tagCompression, tagPhotometric, tagSamplesPerPixel,
	tagRowsPerStrip, tagPlanarConfig, tagTileWidth, tagTileLength, tagExtraSamples, tagSampleFormat,
	tagFillOrder, tagT4Options, tagPredictor, tagColorMap, tagIndexed, tagDataType, tagImageDepth,
	tagStripOffsets, tagStripByteCounts, tagTileOffsets, tagTileByteCounts,
}

// A tiffDir is a directory of a TIFF file: entries of 12 bytes, each with a tag, a type, a count, and
// the values or their offset.
type tiffDir struct {
	data    []byte
	order   binary.ByteOrder
	entries []byte
	next    uint32 // offset of the next directory, 0 if there is none
}

const tiffEntrySize = 12

// Types of whole numbers, with their sizes in bytes. Like libtiff this package reads them in every tag.
var tiffTypeSizes = map[uint16]int{
	1:  1, // BYTE
	3:  2, // SHORT
	4:  4, // LONG
	6:  1, // SBYTE
	8:  2, // SSHORT
	9:  4, // SLONG
	13: 4, // IFD
	16: 8, // LONG8, of BigTIFF
	17: 8, // SLONG8
	18: 8, // IFD8
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
	d.data = b
	return d.directory(d.order.Uint32(b[4:]))
}

// directory returns the directory at an offset of the file, as openTIFF does.
func (d tiffDir) directory(offset uint32) (_ tiffDir, missing int, ok bool) {
	at := int64(offset)
	if at < 8 || at > int64(len(d.data)-2) {
		return tiffDir{order: d.order}, 0, false
	}
	b := d.data[at+2:]
	n := int(d.order.Uint16(d.data[at:])) * tiffEntrySize
	d.entries = b[:min(len(b), n)]
	d.next = 0
	if len(b) >= n+4 {
		d.next = d.order.Uint32(b[n:])
	}
	return d, n - len(d.entries), n > 0
}

// tag returns the tag of the entry at an offset in d.entries.
func (d tiffDir) tag(at int) uint16 { return d.order.Uint16(d.entries[at:]) }

// find returns the first entry of a tag, nil if there is none. Like libtiff it ignores the later ones,
// and the order of the tags.
func (d tiffDir) find(tag uint16) (entry []byte) {
	for i := 0; i+tiffEntrySize <= len(d.entries); i += tiffEntrySize {
		if d.tag(i) == tag {
			return d.entries[i : i+tiffEntrySize]
		}
	}
	return nil
}

func (d tiffDir) has(tag uint16) bool { return d.find(tag) != nil }

// isCut reports whether the values of a tag are behind the end of the data.
func (d tiffDir) isCut(tag uint16) bool {
	entry := d.find(tag)
	if entry == nil {
		return false
	}
	n := int64(d.order.Uint32(entry[4:])) * int64(tiffTypeSizes[d.order.Uint16(entry[2:])])
	return n > 4 && int64(d.order.Uint32(entry[8:]))+n > int64(len(d.data))
}

// list returns the values of a tag. It is empty if the tag is missing, is not of whole numbers, or
// points outside the file.
func (d tiffDir) list(tag uint16) tiffList {
	entry := d.find(tag)
	if entry == nil {
		return tiffList{}
	}
	kind := d.order.Uint16(entry[2:])
	size, ok := tiffTypeSizes[kind]
	if !ok {
		return tiffList{}
	}
	n := int64(d.order.Uint32(entry[4:])) * int64(size)
	raw := entry[8:]
	if n > int64(len(raw)) {
		at := int64(d.order.Uint32(raw))
		if at+n > int64(len(d.data)) {
			return tiffList{}
		}
		raw = d.data[at:]
	}
	return tiffList{raw[:n], kind, size, d.order}
}

// A tiffList are the values of a tag in a file.
type tiffList struct {
	raw   []byte
	kind  uint16
	size  int // bytes of a value
	order binary.ByteOrder
}

func (l tiffList) len() int {
	if l.size == 0 {
		return 0
	}
	return len(l.raw) / l.size
}

// at returns a value. Those that no tag can have, negative and large ones, are 2^32-1.
func (l tiffList) at(i int) uint32 {
	var v uint64
	switch raw := l.raw[i*l.size:]; l.kind {
	case 1:
		return uint32(raw[0])
	case 3:
		return uint32(l.order.Uint16(raw))
	case 6:
		v = uint64(int8(raw[0]))
	case 8:
		v = uint64(int16(l.order.Uint16(raw)))
	case 9:
		v = uint64(int32(l.order.Uint32(raw)))
	case 4, 13:
		return l.order.Uint32(raw)
	default:
		v = l.order.Uint64(raw)
	}
	return uint32(min(v, math.MaxUint32))
}

// maxTIFFValues bounds what values returns: no more samples of a pixel are read.
const maxTIFFValues = 8

// values returns the first values of a tag.
func (d tiffDir) values(tag uint16) (values []uint32) {
	l := d.list(tag)
	for i := range min(l.len(), maxTIFFValues) {
		values = append(values, l.at(i))
	}
	return values
}

// value returns the first value of a tag, or missing.
func (d tiffDir) value(tag uint16, missing uint32) uint32 {
	if l := d.list(tag); l.len() > 0 {
		return l.at(0)
	}
	return missing
}

// orientation returns the orientation, 1 if there is none.
func (d tiffDir) orientation() int {
	if l := d.list(tagOrientation); l.len() == 1 && l.at(0) >= 1 && l.at(0) <= 8 {
		return int(l.at(0))
	}
	return 1
}

// A tiffFormat describes how the samples of a TIFF are stored.
type tiffFormat struct {
	dir         tiffDir
	compression uint32
	samples     int // of a pixel
	photometric uint32
	separate    bool // a plane for each sample
	lowFirst    bool // the first pixel is in the lowest bit
	predictor   bool // samples are differences from those at their left
	t4Options   uint32

	// Tiles are stored row by row, those of separate planes plane by plane. A strip is a tile as wide
	// as the image, of which the last one may be shorter.
	tiled                 bool
	tileWidth, tileHeight int
}

func (h *Header) parseTIFF(b []byte) error {
	d, missing, ok := openTIFF(b)
	switch {
	case len(b) < 8:
		return h.broken("ends early: no directory")
	case !ok && int64(d.order.Uint32(b[4:])) > int64(len(b)-2):
		return h.broken("ends early: its directory is at %d, and it has %d bytes", d.order.Uint32(b[4:]), len(b))
	case !ok:
		return h.broken("no directory")
	case missing > 0:
		return h.broken("ends early: %d bytes of the directory are missing", missing)
	}
	if err := h.checkPages(d); err != nil {
		return err
	}
	for i := 0; i < len(d.entries); i += tiffEntrySize {
		switch tag := d.tag(i); {
		case !slices.Contains(requiredTags, tag) || d.list(tag).len() > 0:
		case d.isCut(tag):
			return h.broken("ends early: the values of tag %d are missing", tag)
		default:
			return h.broken("tag %d has no value", tag)
		}
	}
	if err := h.setSize(int64(d.value(tagImageWidth, 0)), int64(d.value(tagImageLength, 0))); err != nil {
		return err
	}
	f := &tiffFormat{dir: d}
	if err := h.parseSamples(f); err != nil {
		return err
	}
	if err := h.parseCompression(f); err != nil {
		return err
	}
	if err := h.parseTiles(f); err != nil {
		return err
	}
	h.Orientation = d.orientation()
	h.tiff = f
	return nil
}

// maxPages bounds the directories that checkPages reads.
const maxPages = 16

// checkPages returns an error if the first page of a TIFF is not the image: that of a camera raw file is
// a small preview or has the samples of a sensor, and that of others can be a preview as well.
func (h *Header) checkPages(first tiffDir) error {
	raw := first.has(tagDNGVersion) || first.has(tagLeafData)
	if b := first.data; len(b) >= 12 {
		raw = raw || string(b[8:10]) == "CR" || string(b[8:12]) == "IIII" || string(b[8:12]) == "MMMM" // Canon, Phase One
	}
	next := first.next
	for n := 0; next != 0 && n < maxPages; n++ {
		d, _, ok := first.directory(next)
		if !ok {
			break
		}
		raw = raw || d.isSensor()
		next = d.next
	}
	larger := false
	size := first.pixels()
	for subs, i := first.list(tagSubIFDs), 0; i < min(subs.len(), maxPages); i++ {
		if d, _, ok := first.directory(subs.at(i)); ok {
			raw = raw || d.isSensor()
			larger = larger || d.pixels() > size
		}
	}
	reduced := first.value(tagNewSubfileType, 0)&subfileReduced != 0 || first.value(tagSubfileType, 0) == oldSubfileReduced
	switch {
	case raw || first.isSensor() || reduced && first.has(tagSubIFDs):
		return identified(rawImage)
	case larger || reduced && first.next != 0:
		return h.unsupported("its first page is a preview of another one")
	}
	return nil
}

// isSensor reports whether a page has the samples of a sensor.
func (d tiffDir) isSensor() bool {
	p := d.value(tagPhotometric, 0)
	return p == photometricCFA || p == photometricLinearRaw
}

func (d tiffDir) pixels() int64 {
	return int64(d.value(tagImageWidth, 0)) * int64(min(d.value(tagImageLength, 0), math.MaxInt32))
}

// parseSamples reads what the samples of a pixel are.
func (h *Header) parseSamples(f *tiffFormat) error {
	d := f.dir
	n := int(min(d.value(tagSamplesPerPixel, 1), maxTIFFValues+1))
	depths := d.values(tagBitsPerSample)
	switch {
	case len(depths) == 0:
		depths = []uint32{1}
	case len(depths) > 1 && len(depths) < n: // one is that of all samples
		return h.unsupported("%d samples a pixel, %d depths", n, len(depths))
	}
	depth := depths[0]
	for _, v := range depths[:min(n, len(depths))] {
		if v != depth {
			return h.unsupported("samples of unequal depth")
		}
	}
	h.Depth = int(min(depth, 64))
	f.samples = n

	for _, format := range d.values(tagSampleFormat) {
		if format != formatUnsigned {
			return h.unsupported("samples that are not unsigned whole numbers")
		}
	}
	switch {
	case d.value(tagDataType, dataUnsigned) != dataUnsigned && !d.has(tagSampleFormat):
		return h.unsupported("samples that are not unsigned whole numbers")
	case d.value(tagImageDepth, 1) > 1:
		return h.unsupported("a volume")
	}

	photometric := d.value(tagPhotometric, math.MaxUint32)
	f.photometric = photometric
	is8or16 := depth == 8 || depth == 16
	extra := d.value(tagExtraSamples, math.MaxUint32)
	known := extra <= extraAlpha
	switch {
	case photometric <= photometricBlackIsZero && (n == 1 && (depth == 1 || depth == 2 || depth == 4 || is8or16) || n == 2 && is8or16 && known):
		h.Gray = true
		h.whiteIsZero = photometric == photometricWhiteIsZero
	case photometric == photometricRGB && is8or16 && (n == 3 || n == 4 && known):
	case photometric == photometricPalette && n == 1 && (depth == 1 || depth == 2 || depth == 4 || depth == 8):
		if d.list(tagColorMap).len() < 3<<depth {
			return h.broken("no color map of %d colors", 1<<depth)
		}
	case photometric == photometricRGB && is8or16 && n == 4:
		return h.unsupported("RGB with a fourth sample of unknown meaning")
	default:
		return h.unsupported("%s with %d samples of %d bits a pixel", photometricName(photometric), n, depth)
	}
	h.Alpha = (n == 2 || n == 4) && extra != extraUnspecified
	h.premultiplied = h.Alpha && extra == extraPremultiplied
	if d.value(tagIndexed, 0) != 0 && photometric != photometricPalette {
		return h.unsupported("samples that are indices")
	}
	switch planar := d.value(tagPlanarConfig, planarChunky); {
	case planar == planarSeparate:
		f.separate = n > 1
	case planar != planarChunky && n > 1:
		return h.unsupported("planar configuration %d", planar)
	}
	return nil
}

// photometricName returns what a photometric interpretation is.
func photometricName(p uint32) string {
	names := map[uint32]string{
		photometricWhiteIsZero: "gray", photometricBlackIsZero: "gray", photometricRGB: "RGB", photometricPalette: "a palette",
		4: "a transparency mask", 5: "CMYK", 6: "YCbCr", 8: "CIE L*a*b*", 9: "ICC L*a*b*", 10: "ITU L*a*b*",
		32844: "CIE Log2(L)", 32845: "CIE Log2(L) (u',v')", math.MaxUint32: "colors of unknown meaning",
	}
	if name, ok := names[p]; ok {
		return name
	}
	return fmt.Sprintf("photometric interpretation %d", p)
}

// compressionName returns the name of a compression that is not read.
func compressionName(c uint32) string {
	names := map[uint32]string{
		6: "old-style JPEG", 7: "JPEG compression", 9: "JBIG compression", 10: "JBIG compression",
		32766: "NeXT compression", 32809: "ThunderScan compression", 32895: "IT8 compression", 32908: "Pixar film compression",
		32909: "PixarLog compression", 34676: "SGILog coding", 34677: "SGILog coding", 34712: "JPEG 2000 compression", 34887: "LERC compression",
		34925: "LZMA compression", 50000: "Zstandard compression", 50001: "WebP compression", 50002: "JPEG XL compression",
	}
	if name, ok := names[c]; ok {
		return name
	}
	return fmt.Sprintf("compression %d", c)
}

// parseCompression reads how the samples are coded.
func (h *Header) parseCompression(f *tiffFormat) error {
	d := f.dir
	f.compression = d.value(tagCompression, compressionNone)
	if f.compression == 0 { // of some writers
		f.compression = compressionNone
	}
	if !slices.Contains(tiffCompressions, f.compression) {
		return h.unsupported("%s", compressionName(f.compression))
	}
	switch order := d.value(tagFillOrder, fillOrderHighFirst); order {
	case fillOrderHighFirst:
	case fillOrderLowFirst:
		f.lowFirst = true
	default:
		return h.broken("fill order %d", order)
	}
	switch f.compression {
	case compressionRLE, compressionG3, compressionG4, compressionRLEWord:
		if h.Depth != 1 || f.samples != 1 {
			return h.unsupported("compression %d with %d samples of %d bits", f.compression, f.samples, h.Depth)
		}
		f.t4Options = d.value(tagT4Options, 0)
	case compressionLZW, compressionDeflate, compressionOldDeflate:
		switch p := d.value(tagPredictor, predictorNone); {
		case p == predictorHorizontal && h.Depth >= 8:
			f.predictor = true
		case p != predictorNone:
			return h.unsupported("predictor %d with samples of %d bits", p, h.Depth)
		}
	}
	return nil
}

// maxTiles bounds the time to decode a file: each tile has a cost.
const maxTiles = 1 << 21

// parseTiles bounds the size of a strip or tile, and the samples that are decoded in all: those of a
// tile that is wider than the image are decoded and dropped.
func (h *Header) parseTiles(f *tiffFormat) error {
	d := f.dir
	width := int64(h.Width)
	height := min(int64(d.value(tagRowsPerStrip, math.MaxUint32)), int64(h.Height))
	if d.has(tagTileWidth) {
		f.tiled = true
		width = int64(d.value(tagTileWidth, 0))
		height = int64(d.value(tagTileLength, 0))
	}
	if width <= 0 || height <= 0 {
		return h.broken("tiles of %d×%d pixels", width, height)
	}
	if n := width * height; n > h.limits.MaxPixels {
		return &LimitError{What: "pixels in a tile", Got: n, Max: h.limits.MaxPixels}
	}
	if n := (int64(h.Width) + width - 1) / width * ((int64(h.Height) + height - 1) / height) * int64(f.samples); n > maxTiles {
		return h.unsupported("%d tiles", n)
	}
	if n := max(width, int64(h.Width)) * int64(h.Height); n > h.limits.MaxPixels {
		return &LimitError{What: "pixels in tiles", Got: n, Max: h.limits.MaxPixels}
	}
	f.tileWidth, f.tileHeight = int(width), int(height)
	return nil
}
