package imageio

import (
	"bytes"
	stdlzw "compress/lzw"
	"compress/zlib"
	"encoding/binary"
	"errors"
	"math"
	"math/bits"
	"slices"
	"strings"
	"testing"

	"github.com/proposer/proposer/raster"
	"pgregory.net/rapid"
)

type byteOrder interface {
	binary.ByteOrder
	binary.AppendByteOrder
}

// tiffSpec describes a TIFF to write.
type tiffSpec struct {
	order                 byteOrder
	width, height         int
	samples, depth        int
	photometric, extra    uint32
	compression           uint32
	separate, lowFirst    bool
	predictor             bool
	tiled                 bool
	tileWidth, tileHeight int // of strips: the width and the rows
	colorMap              []uint32
	extraTags             []tiffTag
	noSizes               bool // without StripByteCounts
}

// file returns the TIFF of samples, in the order of the pixels.
func (s *tiffSpec) file(pix []uint16) []byte {
	planes, samples := 1, s.samples
	if s.separate {
		planes, samples = s.samples, 1
	}
	var data []byte
	var offsets, sizes []uint32
	for plane := range planes {
		for y0 := 0; y0 < s.height; y0 += s.tileHeight {
			for x0 := 0; x0 < s.width; x0 += s.tileWidth {
				rows := s.tileHeight
				if !s.tiled {
					rows = min(rows, s.height-y0)
				}
				var raw []byte
				for y := y0; y < y0+rows; y++ {
					var row []uint16
					for x := x0; x < x0+s.tileWidth; x++ {
						for c := range samples {
							v := uint16(0x55) & (1<<s.depth - 1) // outside the image
							if x < s.width && y < s.height {
								v = pix[(y*s.width+x)*s.samples+plane+c]
							}
							row = append(row, v)
						}
					}
					if s.predictor {
						for i := len(row) - 1; i >= samples; i-- {
							row[i] -= row[i-samples]
						}
					}
					raw = append(raw, s.pack(row)...)
				}
				coded := s.compress(raw)
				if s.lowFirst {
					for i, b := range coded {
						coded[i] = bits.Reverse8(b)
					}
				}
				offsets = append(offsets, uint32(8+len(data)))
				sizes = append(sizes, uint32(len(coded)))
				data = append(data, coded...)
			}
		}
	}
	short := func(tag uint16, v ...uint32) tiffTag { return tiffTag{tag, 3, v} }
	tags := []tiffTag{
		{256, 4, []uint32{uint32(s.width)}},
		{257, 4, []uint32{uint32(s.height)}},
		{258, 3, slices.Repeat([]uint32{uint32(s.depth)}, s.samples)},
		short(259, s.compression), short(262, s.photometric), short(277, uint32(s.samples)),
	}
	if s.lowFirst {
		tags = append(tags, short(266, 2))
	}
	if s.separate {
		tags = append(tags, short(284, 2))
	}
	if s.predictor {
		tags = append(tags, short(317, 2))
	}
	if s.colorMap != nil {
		tags = append(tags, short(320, s.colorMap...))
	}
	if s.extra != 0 {
		tags = append(tags, short(338, s.extra))
	}
	if s.tiled {
		tags = append(tags, short(322, uint32(s.tileWidth)), short(323, uint32(s.tileHeight)), tiffTag{324, 4, offsets}, tiffTag{325, 4, sizes})
	} else {
		tags = append(tags, short(278, uint32(s.tileHeight)), tiffTag{273, 4, offsets})
		if !s.noSizes {
			tags = append(tags, tiffTag{279, 4, sizes})
		}
	}
	tags = append(tags, s.extraTags...)
	if s.extraTags == nil {
		slices.SortFunc(tags, func(a, b tiffTag) int { return int(a.tag) - int(b.tag) })
	}
	return rawTIFF(s.order, tags, data)
}

// pack returns a row of samples as bytes.
func (s *tiffSpec) pack(row []uint16) (b []byte) {
	switch s.depth {
	case 16:
		for _, v := range row {
			b = s.order.AppendUint16(b, v)
		}
	default:
		b = make([]byte, (len(row)*s.depth+7)/8)
		for i, v := range row {
			bit := i * s.depth
			b[bit/8] |= byte(v&(1<<s.depth-1)) << (8 - s.depth - bit%8)
		}
	}
	return b
}

func (s *tiffSpec) compress(raw []byte) []byte {
	var b bytes.Buffer
	switch s.compression {
	case compressionDeflate, compressionOldDeflate:
		z := zlib.NewWriter(&b)
		z.Write(raw)
		z.Close()
	case compressionPackBits:
		for len(raw) > 0 {
			run := 1
			for run < min(len(raw), 128) && raw[run] == raw[0] {
				run++
			}
			if run > 1 {
				b.Write([]byte{byte(1 - run), raw[0]})
			} else {
				b.Write([]byte{0x80, 0, raw[0]}) // -128 is skipped
			}
			raw = raw[run:]
		}
	case compressionLZW: // codes of 9 bits, with a new table before they would grow
		var acc, n uint32
		put := func(code uint32) {
			acc, n = acc<<9|code, n+9
			for n >= 8 {
				n -= 8
				b.WriteByte(byte(acc >> n))
			}
		}
		for i, v := range raw {
			if i%200 == 0 {
				put(256)
			}
			put(uint32(v))
		}
		put(257)
		put(0)
	default:
		b.Write(raw)
	}
	return b.Bytes()
}

// TestTIFFVariants reads random samples in every layout.
func TestTIFFVariants(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		kind := rapid.SampledFrom([]struct {
			photometric, extra uint32
			samples            int
			depths             []int
		}{
			{0, 0, 1, []int{1, 2, 4, 8, 16}},
			{1, 0, 1, []int{1, 2, 4, 8, 16}},
			{2, 0, 3, []int{8, 16}},
			{3, 0, 1, []int{1, 2, 4, 8}},
			{0, 2, 2, []int{8, 16}},
			{1, 1, 2, []int{8, 16}},
			{2, 1, 4, []int{8, 16}},
			{2, 2, 4, []int{8, 16}},
		}).Draw(t, "kind")
		s := &tiffSpec{
			order: rapid.SampledFrom([]byteOrder{binary.LittleEndian, binary.BigEndian}).Draw(t, "order"),
			width: rapid.IntRange(1, 40).Draw(t, "width"), height: rapid.IntRange(1, 40).Draw(t, "height"),
			samples: kind.samples, photometric: kind.photometric, extra: kind.extra,
			depth:       rapid.SampledFrom(kind.depths).Draw(t, "depth"),
			compression: rapid.SampledFrom([]uint32{1, 5, 8, 32773, 32946}).Draw(t, "compression"),
			lowFirst:    rapid.Bool().Draw(t, "lowFirst"),
			separate:    kind.samples > 1 && rapid.Bool().Draw(t, "separate"),
			tiled:       rapid.Bool().Draw(t, "tiled"),
		}
		s.predictor = s.depth >= 8 && s.compression != 1 && s.compression != 32773 && rapid.Bool().Draw(t, "predictor")
		s.tileWidth, s.tileHeight = s.width, rapid.IntRange(1, 40).Draw(t, "tileHeight")
		if s.tiled {
			s.tileWidth = rapid.SampledFrom([]int{8, 16, 32, 48}).Draw(t, "tileWidth")
		}
		top := uint16(1<<s.depth - 1)
		pix := make([]uint16, s.width*s.height*s.samples)
		for i := range pix {
			pix[i] = rapid.Uint16().Draw(t, "sample") & top
		}
		if kind.photometric == 3 {
			for range 3 << s.depth {
				s.colorMap = append(s.colorMap, uint32(rapid.Uint16().Draw(t, "color")))
			}
			s.colorMap[0] |= 0x100 // else all could be of 8 bits
			s.colorMap[0] |= 0x100 // smaller values alone would be of 8 bits
		}
		p, err := Decode(t.Context(), s.file(pix), Options{})
		if err != nil {
			t.Fatal(err)
		}
		if s.photometric < 2 != (p.Image.Space == raster.Gray) {
			t.Fatalf("got %v", p.Image.Space)
		}
		for i := range s.width * s.height {
			for c := range p.Image.Space.Planes() {
				got, want := int(p.Image.Plane(c)[i]), s.want(pix[i*s.samples:][:s.samples], c)
				if d := got - want; d < -1 || d > 1 || d != 0 && s.extra == 0 {
					t.Fatalf("pixel %d, plane %d: got %d, want %d", i, c, got, want)
				}
			}
		}
	})
}

// want returns the value of a plane, computed with fractions.
func (s *tiffSpec) want(pixel []uint16, c int) int {
	top := float64(uint32(1)<<s.depth - 1)
	v, a := float64(pixel[min(c, len(pixel)-1)])/top, 1.0
	if s.photometric == 3 {
		return int(s.colorMap[c<<s.depth+int(pixel[0])] >> 8)
	}
	if s.photometric == 0 {
		v = 1 - v
	}
	if s.extra != 0 {
		a = float64(pixel[len(pixel)-1]) / top
	}
	if s.extra == 2 {
		v *= a
	}
	if s.depth < 8 {
		v = float64(int(v*255+1e-9)) / 255
	}
	return int(255*min(v+1-a, 1) + .5)
}

func grayTIFF() (*tiffSpec, []uint16) {
	s := &tiffSpec{order: binary.LittleEndian, width: 5, height: 4, samples: 1, depth: 8, photometric: 1, compression: 1, tileWidth: 5, tileHeight: 2}
	pix := make([]uint16, 20)
	for i := range pix {
		pix[i] = uint16(10 * i)
	}
	return s, pix
}

func decodeGray(t *testing.T, data []byte) []uint8 {
	t.Helper()
	p, err := Decode(t.Context(), data, Options{})
	if err != nil {
		t.Fatal(err)
	}
	return p.Image.Plane(0)
}

// TestTIFFTags checks that of repeated tags the first one counts, in any order, as in libtiff.
func TestTIFFTags(t *testing.T) {
	s, pix := grayTIFF()
	want := decodeGray(t, s.file(pix))
	for name, tags := range map[string][]tiffTag{
		"repeated":          {{262, 3, []uint32{0}}},
		"repeated width":    {{256, 3, []uint32{7}}},
		"repeated, broken":  {{258, 3, nil}},
		"unsorted":          {{254, 4, []uint32{0}}},
		"repeated, orient.": {{274, 3, []uint32{1}}, {274, 3, []uint32{3}}},
		"unknown":           {{1, 7, []uint32{0}}, {65000, 99, []uint32{0}}},
	} {
		t.Run(name, func(t *testing.T) {
			s, pix := grayTIFF()
			s.extraTags = tags
			if got := decodeGray(t, s.file(pix)); !bytes.Equal(got, want) {
				t.Errorf("got %v, want %v", got, want)
			}
		})
	}
	t.Run("without sizes", func(t *testing.T) {
		for _, compression := range []uint32{1, 5, 8, 32773} {
			s, pix := grayTIFF()
			s.compression, s.noSizes = compression, true
			if got := decodeGray(t, s.file(pix)); !bytes.Equal(got, want) {
				t.Errorf("compression %d: got %v, want %v", compression, got, want)
			}
		}
	})
	t.Run("one depth for all samples", func(t *testing.T) {
		rgb := bytes.Join(rgbRows(), nil)
		tags := []tiffTag{{258, 3, []uint32{8}}, {259, 3, []uint32{1}}, {262, 3, []uint32{2}}, {277, 3, []uint32{3}}}
		p, err := Decode(t.Context(), tiffFile(binary.BigEndian, testW, testH, tags, rgb), Options{})
		if err != nil || p.Image.Plane(1)[0] != rgb[1] {
			t.Errorf("got %v", err)
		}
	})
}

// TestTIFFOldLZW reads LZW with the codes in the order of old versions of libtiff.
func TestTIFFOldLZW(t *testing.T) {
	s, pix := grayTIFF()
	s.tileHeight = s.height
	var raw []byte
	for _, v := range pix {
		raw = append(raw, byte(v))
	}
	var b bytes.Buffer
	w := stdlzw.NewWriter(&b, stdlzw.LSB, 8)
	w.Write(raw)
	w.Close()
	data := tiffFile(binary.LittleEndian, s.width, s.height, []tiffTag{{258, 3, []uint32{8}}, {259, 3, []uint32{5}}, {262, 3, []uint32{1}}}, b.Bytes())
	if got := decodeGray(t, data); !bytes.Equal(got, raw) {
		t.Errorf("got %v, want %v", got, raw)
	}
}

// TestTIFFColorMapOf8Bits reads a color map with values of 8 bits instead of 16.
func TestTIFFColorMapOf8Bits(t *testing.T) {
	for depth := 1; depth <= 8; depth *= 2 {
		s := &tiffSpec{order: binary.BigEndian, width: 2, height: 1, samples: 1, depth: depth, photometric: 3, compression: 1, tileWidth: 2, tileHeight: 1}
		s.colorMap = make([]uint32, 3<<depth)
		s.colorMap[1], s.colorMap[1<<depth+1], s.colorMap[2<<depth+1] = 255, 128, 7
		p, err := Decode(t.Context(), s.file([]uint16{0, 1}), Options{})
		if err != nil {
			t.Fatal(err)
		}
		if got := p.Image.Pix; !bytes.Equal(got, []uint8{0, 255, 0, 128, 0, 7}) {
			t.Errorf("%d bits: got %v", depth, got)
		}
	}
}

// TestTruncatedFax checks that codes behind the end of the file are missed.
func TestTruncatedFax(t *testing.T) {
	for _, compression := range []uint32{3, 4} {
		data := tiffFile(binary.LittleEndian, 8, 8, []tiffTag{{258, 3, []uint32{1}}, {259, 3, []uint32{compression}}, {262, 3, []uint32{0}}}, make([]byte, 40))
		binary.LittleEndian.PutUint32(data[bytes.Index(data, []byte{0x11, 1, 4, 0, 1, 0, 0, 0})+8:], uint32(len(data)-20)) // StripOffsets
		_, err := Decode(t.Context(), data, Options{})
		if err == nil || !strings.Contains(err.Error(), "ends early") {
			t.Errorf("compression %d: got %v", compression, err)
		}
	}
}

// TestTIFFFax reads CCITT codes: a white row, a row that begins with 3 black pixels, and a white one.
func TestTIFFFax(t *testing.T) {
	// Group 4: V0; horizontal 0 white 3 black, then V0 at the end of the row; pass and V0.
	codes := "1" + "001" + "00110101" + "10" + "1" + "0001" + "1" + "000000000001000000000001"
	for len(codes)%8 != 0 {
		codes += "0"
	}
	var data []byte
	for i := 0; i < len(codes); i += 8 {
		v := byte(0)
		for _, c := range codes[i : i+8] {
			v = v<<1 | byte(c-'0')
		}
		data = append(data, v)
	}
	white := bytes.Repeat([]byte{255}, 8)
	image := slices.Concat(white, []byte{0, 0, 0, 255, 255, 255, 255, 255}, white)
	negative := slices.Clone(image)
	for i := range negative {
		negative[i] = ^negative[i]
	}
	for _, c := range []struct {
		name        string
		photometric uint32
		low         bool
		want        []uint8
	}{{"white is zero", 0, false, image}, {"black is zero", 1, false, negative}, {"low bit first", 0, true, image}} {
		t.Run(c.name, func(t *testing.T) {
			tags := []tiffTag{{258, 3, []uint32{1}}, {259, 3, []uint32{4}}, {262, 3, []uint32{c.photometric}}}
			coded := slices.Clone(data)
			if c.low {
				for i, b := range coded {
					coded[i] = bits.Reverse8(b)
				}
				tags = append(tags, tiffTag{266, 3, []uint32{2}})
			}
			if got := decodeGray(t, tiffFile(binary.LittleEndian, 8, 3, tags, coded)); !bytes.Equal(got, c.want) {
				t.Errorf("got %v, want %v", got, c.want)
			}
		})
	}
}

// TestTIFFTypes checks that whole numbers of all types are read, in any tag.
func TestTIFFTypes(t *testing.T) {
	s, pix := grayTIFF()
	want := decodeGray(t, s.file(pix))
	for _, order := range []byteOrder{binary.LittleEndian, binary.BigEndian} {
		for kind := range tiffTypeSizes {
			s.order = order
			tags := []tiffTag{
				{256, kind, []uint32{5}},
				{257, kind, []uint32{4}},
				{258, kind, []uint32{8}},
				{259, kind, []uint32{1}},
				{262, kind, []uint32{1}},
				{273, kind, []uint32{8}},
				{274, kind, []uint32{3}},
				{277, kind, []uint32{1}},
				{279, kind, []uint32{20}},
			}
			var pixels []byte
			for _, v := range pix {
				pixels = append(pixels, byte(v))
			}
			got := decodeGray(t, rawTIFF(order, tags, pixels))
			slices.Reverse(got)
			if !bytes.Equal(got, want) {
				t.Errorf("%v, type %d: got %v, want %v", order, kind, got, want)
			}
		}
	}
	for kind := range tiffTypeSizes {
		e := rawTIFF(binary.BigEndian, []tiffTag{{274, kind, []uint32{6}}}, nil)
		if got := exifOrientation(e); got != 6 {
			t.Errorf("orientation of type %d: got %d, want 6", kind, got)
		}
	}
	if got := exifOrientation(rawTIFF(binary.BigEndian, []tiffTag{{274, 9, []uint32{math.MaxUint32}}}, nil)); got != 1 {
		t.Errorf("orientation -1: got %d, want 1", got)
	}
}

// TestTIFFPages checks that a page that is a preview of another one is not taken for the image.
func TestTIFFPages(t *testing.T) {
	short := func(tag uint16, v ...uint32) tiffTag { return tiffTag{tag, 3, v} }
	// page returns a page of zeros.
	page := func(width, height uint32, tags ...tiffTag) []tiffTag {
		return append([]tiffTag{short(256, width), short(257, height), short(258, 8), short(262, 1), {273, 4, []uint32{8}}}, tags...)
	}
	reduced, full := tiffTag{254, 4, []uint32{1}}, tiffTag{254, 4, []uint32{0}}
	sensor := page(4, 4)
	sensor[3] = short(262, 32803)
	for _, c := range []struct {
		name  string
		pages [][]tiffTag // the first one, and those that follow it or are below it
		below bool
		want  string // "": read
	}{
		{"one page", [][]tiffTag{page(4, 4)}, false, ""},
		{"one reduced page", [][]tiffTag{page(4, 4, reduced)}, false, ""},
		{"pages", [][]tiffTag{page(4, 4), page(8, 8)}, false, ""},
		{"reduced pages at the end", [][]tiffTag{page(4, 4, full), page(2, 2, reduced)}, false, ""},
		{"smaller pages below", [][]tiffTag{page(4, 4, full), page(2, 2, reduced)}, true, ""},
		{"reduced page first", [][]tiffTag{page(4, 4, reduced), page(8, 8)}, false, "preview of another"},
		{"reduced page first, old tag", [][]tiffTag{page(4, 4, short(255, 2)), page(8, 8)}, false, "preview of another"},
		{"larger page below", [][]tiffTag{page(4, 4), page(8, 8)}, true, "preview of another"},
		{"reduced page with others below", [][]tiffTag{page(4, 4, reduced), page(2, 2)}, true, rawImage},
		{"sensor at the end", [][]tiffTag{page(4, 4), page(2, 2), sensor}, false, rawImage},
		{"sensor below", [][]tiffTag{page(4, 4), sensor}, true, rawImage},
		{"linear sensor", [][]tiffTag{page(4, 4), {short(262, 34892)}}, true, rawImage},
		{"Leaf", [][]tiffTag{page(4, 4, tiffTag{34310, 7, []uint32{1}})}, false, rawImage},
	} {
		for _, order := range []byteOrder{binary.LittleEndian, binary.BigEndian} {
			if _, err := Decode(t.Context(), tiffPages(order, c.pages, c.below), Options{}); c.want == "" && err != nil ||
				c.want != "" && (!errors.Is(err, ErrUnsupported) || !strings.Contains(err.Error(), c.want)) {
				t.Errorf("%s: got %v, want %q", c.name, err, c.want)
			}
		}
	}
	for _, magic := range []string{"CR\x02\x00", "IIII", "MMMM"} {
		data := rawTIFF(binary.LittleEndian, page(2, 2), []byte(magic+"\x00\x00\x00\x00"))
		if _, err := Decode(t.Context(), data, Options{}); !errors.Is(err, ErrUnsupported) || !strings.Contains(err.Error(), rawImage) {
			t.Errorf("%q: got %v", magic, err)
		}
	}
	// A chain without an end.
	data := rawTIFF(binary.LittleEndian, page(2, 2), make([]byte, 8))
	n := len(data) - 4
	binary.LittleEndian.PutUint32(data[n:], binary.LittleEndian.Uint32(data[4:]))
	if _, err := Decode(t.Context(), data, Options{}); err != nil {
		t.Errorf("page that follows itself: got %v", err)
	}
}

// tiffPages returns a TIFF of pages without values outside of their directories. The others follow the
// first one or are below it.
func tiffPages(order byteOrder, pages [][]tiffTag, below bool) []byte {
	const data = 64
	at := uint32(8 + data)
	var offsets []uint32
	for _, tags := range pages[1:] {
		offsets = append(offsets, at)
		at += uint32(6 + 12*len(tags))
	}
	b := rawTIFF(order, nil, make([]byte, data))[:8+data]
	directory := func(tags []tiffTag, next uint32) {
		file := rawTIFF(order, tags, nil)
		b = append(b, file[8:8+2+12*len(tags)]...)
		b = order.AppendUint32(b, next)
	}
	for i, tags := range pages[1:] {
		next := uint32(0)
		if !below && i+1 < len(offsets) {
			next = offsets[i+1]
		}
		directory(tags, next)
	}
	order.PutUint32(b[4:], at)
	first, next := pages[0], uint32(0)
	switch {
	case len(offsets) == 0:
	case below:
		first = append(first, tiffTag{330, 4, offsets})
	default:
		next = offsets[0]
	}
	directory(first, next)
	return b
}

// TestTIFFExtraSamples checks that a sample that is not alpha is ignored.
func TestTIFFExtraSamples(t *testing.T) {
	for _, c := range []struct {
		photometric uint32
		samples     int
	}{{1, 2}, {2, 4}} {
		s := &tiffSpec{
			order: binary.LittleEndian, width: 2, height: 1, samples: c.samples, depth: 8, photometric: c.photometric, compression: 1,
			tileWidth: 2, tileHeight: 1, extraTags: []tiffTag{{338, 3, []uint32{0}}},
		}
		pix := []uint16{10, 20, 30, 40, 50, 60, 70, 80}[:2*c.samples]
		p, err := Decode(t.Context(), s.file(pix), Options{})
		if err != nil {
			t.Fatal(err)
		}
		if got := p.Image.Plane(0); got[0] != 10 || got[1] != uint8(pix[c.samples]) {
			t.Errorf("%d samples: got %v", c.samples, got)
		}
	}
}

// TestTIFFSampleFormats checks that samples which are not unsigned whole numbers are refused.
func TestTIFFSampleFormats(t *testing.T) {
	for name, tag := range map[string]tiffTag{
		"signed":         {339, 3, []uint32{2}},
		"floating point": {339, 3, []uint32{3}},
		"signed, old":    {32996, 3, []uint32{1}},
		"volume":         {32997, 4, []uint32{2}},
		"indexed":        {346, 3, []uint32{1}},
	} {
		s, pix := grayTIFF()
		s.extraTags = []tiffTag{tag}
		if _, err := Decode(t.Context(), s.file(pix), Options{}); !errors.Is(err, ErrUnsupported) {
			t.Errorf("%s: got %v", name, err)
		}
	}
}
