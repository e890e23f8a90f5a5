package imageio

import (
	"bytes"
	"compress/zlib"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"image/color"
	"image/png"
	"runtime"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// pngSpec describes a PNG to write.
type pngSpec struct {
	width, height, depth int
	colorType            byte
	interlaced           bool
	palette, trns        []byte
	filter               func(y int) byte // of a row of a pass
	chunk                int              // bytes of a chunk IDAT, 0: one chunk
	before, after        [][]byte         // chunks before the pixels and after them
}

func (s *pngSpec) channels() int {
	return (&pngFormat{colorType: s.colorType}).channels()
}

// file returns the PNG of samples.
func (s *pngSpec) file(pix []uint16) []byte {
	var raw bytes.Buffer
	z := zlib.NewWriter(&raw)
	n := s.channels()
	size := max(1, n*s.depth/8)
	passes := pngPasses[:]
	if !s.interlaced {
		passes = []struct{ x, y, dx, dy int }{{0, 0, 1, 1}}
	}
	for _, p := range passes {
		var above []byte
		for y := p.y; y < s.height; y += p.dy {
			var row []uint16
			for x := p.x; x < s.width; x += p.dx {
				row = append(row, pix[(y*s.width+x)*n:][:n]...)
			}
			if row == nil {
				continue
			}
			packed := (&tiffSpec{depth: s.depth, order: binary.BigEndian}).pack(row)
			if above == nil {
				above = make([]byte, len(packed))
			}
			filter := byte(0)
			if s.filter != nil {
				filter = s.filter(y)
			}
			z.Write([]byte{filter})
			for i, v := range packed {
				a, b, c := 0, int(above[i]), 0
				if i >= size {
					a, c = int(packed[i-size]), int(above[i-size])
				}
				z.Write([]byte{v - byte([]int{0, a, b, (a + b) / 2, paeth(a, b, c)}[filter])})
			}
			above = packed
		}
	}
	z.Close()
	b := []byte(pngMagic)
	ihdr := binary.BigEndian.AppendUint32(nil, uint32(s.width))
	ihdr = binary.BigEndian.AppendUint32(ihdr, uint32(s.height))
	ihdr = append(ihdr, byte(s.depth), s.colorType, 0, 0, 0)
	if s.interlaced {
		ihdr[12] = 1
	}
	b = append(b, pngChunk("IHDR", ihdr)...)
	if s.palette != nil {
		b = append(b, pngChunk("PLTE", s.palette)...)
	}
	if s.trns != nil {
		b = append(b, pngChunk("tRNS", s.trns)...)
	}
	b = append(b, bytes.Join(s.before, nil)...)
	size = s.chunk
	if size == 0 {
		size = raw.Len()
	}
	for part := range slices.Chunk(raw.Bytes(), size) {
		b = append(b, pngChunk("IDAT", part)...)
	}
	b = append(b, bytes.Join(s.after, nil)...)
	return append(b, pngChunk("IEND", nil)...)
}

// paeth is the predictor of the specification.
func paeth(a, b, c int) int {
	abs := func(v int) int { return max(v, -v) }
	p := a + b - c
	pa, pb, pc := abs(p-a), abs(p-b), abs(p-c)
	switch {
	case pa <= pb && pa <= pc:
		return a
	case pb <= pc:
		return b
	}
	return c
}

// drawPNG draws an image of a color type and depth, and its samples.
func drawPNG(t *rapid.T) (*pngSpec, []uint16) {
	s := &pngSpec{
		width: rapid.IntRange(1, 20).Draw(t, "width"), height: rapid.IntRange(1, 20).Draw(t, "height"),
		colorType: rapid.SampledFrom([]byte{0, 2, 3, 4, 6}).Draw(t, "type"), interlaced: rapid.Bool().Draw(t, "interlaced"),
		chunk: rapid.IntRange(0, 50).Draw(t, "chunk"),
	}
	s.depth = rapid.SampledFrom(pngDepths[s.colorType]).Draw(t, "depth")
	filters := rapid.SliceOfN(rapid.ByteMax(4), s.height, s.height).Draw(t, "filters")
	s.filter = func(y int) byte { return filters[y] }
	pix := make([]uint16, s.width*s.height*s.channels())
	for i := range pix {
		pix[i] = rapid.Uint16().Draw(t, "sample") & uint16(1<<s.depth-1)
	}
	transparent := rapid.Bool().Draw(t, "transparent")
	switch s.colorType {
	case pngGray, pngRGB:
		for _, v := range pix[:s.channels()] {
			if transparent {
				s.trns = binary.BigEndian.AppendUint16(s.trns, v)
			}
		}
	case pngPalette:
		n := 3 << s.depth
		s.palette = rapid.SliceOfN(rapid.Byte(), n, n).Draw(t, "palette")
		if transparent {
			s.trns = rapid.SliceOfN(rapid.Byte(), 1, n/3).Draw(t, "alphas")
		}
	}
	return s, pix
}

// TestPNGVariants compares random images with Go's decoder.
func TestPNGVariants(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s, pix := drawPNG(t)
		data := s.file(pix)
		want, err := png.Decode(bytes.NewReader(data))
		if err != nil {
			t.Fatal(err)
		}
		p, err := Decode(t.Context(), data, Options{})
		if err != nil {
			t.Fatal(err)
		}
		for y := range s.height {
			for x := range s.width {
				c := color.NRGBA64Model.Convert(want.At(x, y)).(color.NRGBA64)
				for k, v := range []uint16{c.R, c.G, c.B}[:p.Image.Space.Planes()] {
					a := float64(c.A) / 65535
					over := float64(v)*a/257 + 255*(1-a)
					if d := float64(p.Image.Plane(k)[y*s.width+x]) - over; d < -.6 || d > .6 {
						t.Fatalf("pixel %d,%d, plane %d: got %d, want %.2f", x, y, k, p.Image.Plane(k)[y*s.width+x], over)
					}
				}
			}
		}
	})
}

func grayPNG() (*pngSpec, []uint16) {
	pix := make([]uint16, 12)
	for i := range pix {
		pix[i] = uint16(20 * i)
	}
	return &pngSpec{width: 4, height: 3, depth: 8}, pix
}

// TestPNGChunks checks which damage and which chunks are errors.
func TestPNGChunks(t *testing.T) {
	wrong := func(chunk []byte) []byte { chunk[len(chunk)-1]++; return chunk }
	idat := func(data []byte) []byte { // with a wrong checksum
		i := bytes.Index(data, []byte("IDAT"))
		data[i+4+int(binary.BigEndian.Uint32(data[i-4:]))]++
		return data
	}
	rgb := func(s *pngSpec) { s.colorType, s.width = pngRGB, 4/3 }
	palette := func(s *pngSpec) { s.colorType, s.depth = pngPalette, 8; s.palette = make([]byte, 768) }
	for _, c := range []struct {
		name string
		set  func(s *pngSpec)
		edit func(data []byte) []byte
		want string // "": read
	}{
		{"plain", func(*pngSpec) {}, nil, ""},
		{"ancillary chunk with a wrong checksum", func(s *pngSpec) { s.before = [][]byte{wrong(pngChunk("gAMA", []byte{1, 2, 3, 4}))} }, nil, ""},
		{"text with a wrong checksum", func(s *pngSpec) { s.before = [][]byte{wrong(pngChunk("tEXt", []byte("a\x00b")))} }, nil, ""},
		{"unknown ancillary chunk", func(s *pngSpec) { s.before = [][]byte{pngChunk("abCd", nil)} }, nil, ""},
		{"frames of an animation", func(s *pngSpec) {
			s.before, s.after = [][]byte{pngChunk("acTL", make([]byte, 8))}, [][]byte{pngChunk("fdAT", []byte{0, 0, 0, 1, 2})}
		}, nil, ""},
		{"data at the end", func(*pngSpec) {}, func(data []byte) []byte { return append(data, "more"...) }, ""},
		{"palette of gray", func(s *pngSpec) { s.palette = make([]byte, 9) }, nil, ""},
		{"transparency of gray with alpha", func(s *pngSpec) { s.colorType, s.width = pngGrayAlpha, 2; s.trns = []byte{1} }, nil, ""},
		{"transparency with a wrong checksum", func(s *pngSpec) { s.before = [][]byte{wrong(pngChunk("tRNS", []byte{0, 1}))} }, nil, "chunk tRNS has a wrong checksum"},
		{"orientation with a wrong checksum", func(s *pngSpec) { s.before = [][]byte{wrong(pngChunk("eXIf", exif(6)))} }, nil, "chunk eXIf has a wrong checksum"},
		{"pixels with a wrong checksum", func(*pngSpec) {}, idat, "IDAT has a wrong checksum"},
		{"unknown critical chunk", func(s *pngSpec) { s.before = [][]byte{pngChunk("ABCD", nil)} }, nil, `unsupported variant: chunk "ABCD"`},
		{"CgBI", func(*pngSpec) {}, func(data []byte) []byte {
			return slices.Concat([]byte(pngMagic), pngChunk("CgBI", make([]byte, 4)), data[len(pngMagic):])
		}, "CgBI"},
		{"two headers", func(s *pngSpec) { s.before = [][]byte{pngChunk("IHDR", make([]byte, 13))} }, nil, "two headers"},
		{"no palette", func(s *pngSpec) { palette(s); s.palette = nil }, nil, "no palette"},
		{"two palettes", func(s *pngSpec) { palette(s); s.before = [][]byte{pngChunk("PLTE", make([]byte, 768))} }, nil, "palette of 768 bytes"},
		{"half a color", func(s *pngSpec) { palette(s); s.palette = make([]byte, 767) }, nil, "palette of 767 bytes"},
		{"transparency before the palette", func(s *pngSpec) {
			palette(s)
			s.before, s.palette, s.trns = [][]byte{pngChunk("PLTE", s.palette)}, nil, []byte{1}
		}, nil, "transparency of 1 byte"},
		{"long transparency", func(s *pngSpec) { palette(s); s.trns = make([]byte, 257) }, nil, "transparency of 257 bytes"},
		{"short transparency", func(s *pngSpec) { rgb(s); s.trns = []byte{1, 2} }, nil, "transparency of 2 bytes"},
		{"transparency behind the pixels", func(s *pngSpec) { s.after = [][]byte{pngChunk("tRNS", []byte{0, 1})} }, nil, "transparency of 2 bytes"},
		{"filter 5", func(s *pngSpec) { s.height = 2 }, func(data []byte) []byte {
			var z bytes.Buffer
			w := zlib.NewWriter(&z)
			w.Write([]byte{0, 1, 2, 3, 4, 5, 1, 2, 3, 4})
			w.Close()
			return slices.Concat(data[:33], pngChunk("IDAT", z.Bytes()), pngChunk("IEND", nil))
		}, "filter 5"},
		{"wrong checksum of the pixels", func(*pngSpec) {}, func(data []byte) []byte {
			i := bytes.Index(data, []byte("IDAT"))
			body := slices.Clone(data[i+4:][:binary.BigEndian.Uint32(data[i-4:])])
			body[len(body)-1]++
			return slices.Concat(data[:33], pngChunk("IDAT", body), pngChunk("IEND", nil))
		}, "checksum"},
		{"missing rows", func(*pngSpec) {}, func(data []byte) []byte { data[23]++; return rewriteIHDR(data) }, "ends early: the pixels of row 3"},
		{"more rows", func(*pngSpec) {}, func(data []byte) []byte { data[23]--; return rewriteIHDR(data) }, ""},
		{"3 bits", func(*pngSpec) {}, func(data []byte) []byte { data[24] = 3; return rewriteIHDR(data) }, "color type 0 with 3 bits"},
		{"interlacing 2", func(*pngSpec) {}, func(data []byte) []byte { data[28] = 2; return rewriteIHDR(data) }, "interlacing 2"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, pix := grayPNG()
			c.set(s)
			data := s.file(pix[:max(s.width*s.height*s.channels(), 1)])
			if c.edit != nil {
				data = c.edit(data)
			}
			_, err := Decode(t.Context(), data, Options{})
			switch {
			case c.want == "" && err != nil:
				t.Errorf("got %v", err)
			case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)):
				t.Errorf("got %v, want %q", err, c.want)
			case err != nil && !errors.Is(err, ErrUnsupported) && !errors.As(err, new(*FormatError)):
				t.Errorf("got %T", err)
			}
		})
	}
}

// rewriteIHDR corrects the checksum of the header.
func rewriteIHDR(data []byte) []byte {
	return slices.Concat(data[:8], pngChunk("IHDR", data[16:29]), data[33:])
}

// TestPNGTextOrientation checks the profiles in which Pillow finds an orientation as well.
func TestPNGTextOrientation(t *testing.T) {
	raw := fmt.Sprintf("\nexif\n%8d\n%s\n", 6+len(exif(6)), hex.EncodeToString(append([]byte(exifPrefix), exif(6)...)))
	deflated := func(s string) string {
		var b bytes.Buffer
		z := zlib.NewWriter(&b)
		z.Write([]byte(s))
		z.Close()
		return b.String()
	}
	text := func(kind, s string) []byte { return pngChunk(kind, []byte(s)) }
	const xmp = `<rdf:Description tiff:Orientation="6"/>`
	for _, c := range []struct {
		name   string
		chunks [][]byte
		want   int
	}{
		{"raw profile", [][]byte{text("tEXt", "Raw profile type exif\x00"+raw)}, 6},
		{"raw profile APP1", [][]byte{text("tEXt", "Raw profile type APP1\x00"+raw)}, 6},
		{"compressed raw profile", [][]byte{text("zTXt", "Raw profile type exif\x00\x00"+deflated(raw))}, 6},
		{"XMP", [][]byte{text("iTXt", "XML:com.adobe.xmp\x00\x00\x00\x00\x00"+xmp)}, 6},
		{"XMP element", [][]byte{text("iTXt", "XML:com.adobe.xmp\x00\x00\x00en\x00x\x00<tiff:Orientation>8</tiff:Orientation>")}, 8},
		{"compressed XMP", [][]byte{text("iTXt", "XML:com.adobe.xmp\x00\x01\x00\x00\x00"+deflated(xmp))}, 6},
		{"EXIF first", [][]byte{text("iTXt", "XML:com.adobe.xmp\x00\x00\x00\x00\x00"+xmp), text("eXIf", string(exif(3)))}, 3},
		{"EXIF with prefix", [][]byte{text("eXIf", exifPrefix+string(exif(3)))}, 3},
		{"upright EXIF", [][]byte{text("iTXt", "XML:com.adobe.xmp\x00\x00\x00\x00\x00"+xmp), text("eXIf", string(exif(1)))}, 1},
		{"other text", [][]byte{text("iTXt", "Comment\x00\x00\x00\x00\x00"+xmp), text("tEXt", "Raw profile type xmp\x00"+raw)}, 1},
		{"damaged", [][]byte{text("zTXt", "Raw profile type exif\x00\x00xyz"), text("tEXt", "Raw profile type APP1\x00\nexif\n 5\nxx"), text("iTXt", "XML:com.adobe.xmp\x00\x01")}, 1},
	} {
		for _, after := range []bool{false, true} {
			s, pix := grayPNG()
			if s.before = c.chunks; after {
				s.before, s.after = nil, c.chunks
			}
			h, err := Inspect(s.file(pix), Limits{})
			if err != nil || h.Orientation != c.want {
				t.Errorf("%s: got %d, %v, want %d", c.name, h.Orientation, err, c.want)
			}
		}
	}
}

// TestPNGTextMemory checks that compressed texts take little memory.
func TestPNGTextMemory(t *testing.T) {
	var b bytes.Buffer
	z := zlib.NewWriter(&b)
	z.Write(bytes.Repeat([]byte("6 "), 32<<20))
	z.Close()
	s, pix := grayPNG()
	for range 50 {
		s.before = append(s.before, pngChunk("zTXt", append([]byte("Raw profile type exif\x00\x00"), b.Bytes()...)))
	}
	data := s.file(pix)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	if _, err := Inspect(data, Limits{}); err != nil {
		t.Fatal(err)
	}
	runtime.ReadMemStats(&after)
	if got := after.TotalAlloc - before.TotalAlloc; got > 16<<20 {
		t.Errorf("%d bytes allocated", got)
	}
}
