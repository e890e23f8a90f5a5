package imageio

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"flag"
	"fmt"
	"image"
	"image/color"
	"image/jpeg"
	"math"
	"math/rand/v2"
	"os"
	"reflect"
	"runtime"
	"strings"
	"testing"

	"github.com/proposer/proposer/box"
	"github.com/proposer/proposer/raster"
	"golang.org/x/image/bmp"
	"golang.org/x/image/tiff"
	"pgregory.net/rapid"
)

var update = flag.Bool("update", false, "write testdata")

// rgbaAt returns a pixel of the test image, which is smooth, has alpha, and differs from all of its
// mirror images.
func rgbaAt(x, y int) [4]uint8 {
	return [4]uint8{uint8(10 + 9*x), uint8(240 - 12*y), uint8(60 + 4*x + 5*y), uint8(255 - 7*x)}
}

const testW, testH = 24, 16

// over composites a sample that is not premultiplied over white.
func over(c, a uint8) uint8 {
	return uint8(((int(c)*int(a)+255*(255-int(a)))*2/255 + 1) / 2)
}

type sample struct {
	name   string
	data   []byte
	gray   bool
	want   func(x, y int) [3]uint8 // in planes: all three of a color image, the first of a gray one
	off    int                     // allowed difference of a pixel
	w, h   int                     // 0: testW, testH
	format string
}

// samples returns a file of each format, depth and number of channels that Decode documents.
func samples(t testing.TB) []sample {
	t.Helper()
	read := func(name string) []byte {
		b, err := os.ReadFile("testdata/" + name)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	opaque := func(x, y int) [3]uint8 { p := rgbaAt(x, y); return [3]uint8(p[:3]) }
	alpha := func(x, y int) [3]uint8 {
		p := rgbaAt(x, y)
		return [3]uint8{over(p[0], p[3]), over(p[1], p[3]), over(p[2], p[3])}
	}
	// Rows of the test image with the given channels of rgbaAt, at 8 or 16 bits.
	rows := func(order binary.ByteOrder, depth int, channels ...int) (r [][]byte) {
		for y := range testH {
			var row []byte
			for x := range testW {
				for _, c := range channels {
					if v := rgbaAt(x, y)[c]; depth == 8 {
						row = append(row, v)
					} else { // v·257 is v at 16 bits; less than half a level more rounds away
						v16 := min(uint16(v)*257+uint16(x%3), 65535)
						row = append(row, 0, 0)
						order.PutUint16(row[len(row)-2:], v16)
					}
				}
			}
			r = append(r, row)
		}
		return r
	}
	be, le := binary.BigEndian, binary.LittleEndian
	grayOf := func(x, y int) [3]uint8 { return [3]uint8{rgbaAt(x, y)[0]} }
	grayAlpha := func(x, y int) [3]uint8 { p := rgbaAt(x, y); return [3]uint8{over(p[0], p[3])} }

	s := []sample{
		{name: "png gray", data: pngFile(testW, testH, 8, 0, rows(be, 8, 0)), gray: true, want: grayOf},
		{name: "png gray 16", data: pngFile(testW, testH, 16, 0, rows(be, 16, 0)), gray: true, want: grayOf},
		{name: "png gray alpha", data: pngFile(testW, testH, 8, 4, rows(be, 8, 0, 3)), gray: true, want: grayAlpha},
		{name: "png gray alpha 16", data: pngFile(testW, testH, 16, 4, rows(be, 16, 0, 3)), gray: true, want: grayAlpha, off: 1},
		{name: "png rgb", data: pngFile(testW, testH, 8, 2, rows(be, 8, 0, 1, 2)), want: opaque},
		{name: "png rgb 16", data: pngFile(testW, testH, 16, 2, rows(be, 16, 0, 1, 2)), want: opaque},
		{name: "png rgba", data: pngFile(testW, testH, 8, 6, rows(be, 8, 0, 1, 2, 3)), want: alpha},
		{name: "png rgba 16", data: pngFile(testW, testH, 16, 6, rows(be, 16, 0, 1, 2, 3)), want: alpha, off: 1},
		{name: "png gray key", data: pngFile(testW, testH, 8, 0, rows(be, 8, 0), pngChunk("tRNS", []byte{0, 28})), gray: true, want: func(x, y int) [3]uint8 {
			if x == 2 {
				return [3]uint8{255}
			}
			return grayOf(x, y)
		}},
		{name: "png gray 16 key", data: pngFile(testW, testH, 16, 0, rows(be, 16, 0), pngChunk("tRNS", []byte{28, 30})), gray: true, want: func(x, y int) [3]uint8 {
			if x == 2 {
				return [3]uint8{255}
			}
			return grayOf(x, y)
		}},
		{name: "png rgb key", data: pngFile(testW, testH, 8, 2, rows(be, 8, 0, 1, 2), pngChunk("tRNS", []byte{0, 19, 0, 228, 0, 69})), want: func(x, y int) [3]uint8 {
			if x == 1 && y == 1 {
				return [3]uint8{255, 255, 255}
			}
			return opaque(x, y)
		}},
	}
	// Few bits: samples count up along the row. Gray level 1 is transparent.
	for _, depth := range []int{1, 2, 4} {
		top := 1<<depth - 1
		row := make([]byte, 2*depth) // 16 pixels
		for x := range 16 {
			row[x*depth/8] |= byte(x&top) << (8 - depth - x*depth%8)
		}
		s = append(s, sample{
			name: fmt.Sprintf("png gray %d key", depth), gray: true, w: 16, h: 2,
			data: pngFile(16, 2, depth, 0, [][]byte{row, row}, pngChunk("tRNS", []byte{0, 1})),
			want: func(x, _ int) [3]uint8 {
				if x&top == 1 {
					return [3]uint8{255}
				}
				return [3]uint8{uint8((x & top) * 255 / top)}
			},
		})
		var palette, trns []byte
		for i := range top + 1 {
			palette = append(palette, byte(10*i), byte(200-10*i), 7)
			trns = append(trns, byte(255-i))
		}
		s = append(s, sample{
			name: fmt.Sprintf("png palette %d", depth), w: 16, h: 2,
			data: pngFile(16, 2, depth, 3, [][]byte{row, row}, pngChunk("PLTE", palette), pngChunk("tRNS", trns)),
			want: func(x, _ int) [3]uint8 {
				i := x & top
				a := uint8(255 - i)
				return [3]uint8{over(uint8(10*i), a), over(uint8(200-10*i), a), over(7, a)}
			},
		})
	}

	// JPEG: flat blocks, whose level is known.
	level := func(c int) func(x, y int) uint8 {
		return func(x, y int) uint8 { p := rgbaAt(x/8*8, y/8*8); return p[c] }
	}
	blocks := func(channels ...func(x, y int) uint8) (v []uint8) {
		for y := 0; y < testH; y += 8 {
			for x := 0; x < testW; x += 8 {
				for _, c := range channels {
					v = append(v, c(x, y))
				}
			}
		}
		return v
	}
	r, g, b := level(0), level(1), level(2)
	key := func(x, y int) uint8 { return 255 - uint8(x)*3 }
	rgb := func(x, y int) [3]uint8 { return [3]uint8{r(x, y), g(x, y), b(x, y)} }
	ycc := func(x, y int) [3]uint8 {
		rr, gg, bb := color.YCbCrToRGB(r(x, y), g(x, y), b(x, y))
		return [3]uint8{rr, gg, bb}
	}
	ink := func(rgb func(x, y int) [3]uint8) func(x, y int) [3]uint8 { // Adobe stores 255 − ink
		return func(x, y int) [3]uint8 {
			p, k := rgb(x, y), int(key(x/8*8, y/8*8))
			return [3]uint8{uint8(int(p[0]) * k / 255), uint8(int(p[1]) * k / 255), uint8(int(p[2]) * k / 255)}
		}
	}
	smooth := image.NewRGBA(image.Rect(0, 0, testW, testH))
	smoothGray := image.NewGray(smooth.Rect)
	for y := range testH {
		for x := range testW {
			p := rgbaAt(x, y)
			smooth.SetRGBA(x, y, color.RGBA{p[0], p[1], p[2], 255})
			smoothGray.SetGray(x, y, color.Gray{p[0]})
		}
	}
	encoded := func(encode func(w *bytes.Buffer) error) []byte {
		var w bytes.Buffer
		if err := encode(&w); err != nil {
			t.Fatal(err)
		}
		return w.Bytes()
	}
	s = append(s,
		sample{name: "jpeg gray blocks", data: jpegFile(testW, testH, 1, blocks(r)), gray: true, want: func(x, y int) [3]uint8 { return [3]uint8{r(x, y)} }, off: 1},
		sample{name: "jpeg ycc blocks", data: jpegFile(testW, testH, 3, blocks(r, g, b)), want: ycc, off: 2},
		sample{name: "jpeg rgb", data: jpegFile(testW, testH, 3, blocks(r, g, b), adobe(0)), want: rgb, off: 1},
		sample{name: "jpeg cmyk", data: jpegFile(testW, testH, 4, blocks(r, g, b, key), adobe(0)), want: ink(rgb), off: 2},
		sample{name: "jpeg ycck", data: jpegFile(testW, testH, 4, blocks(r, g, b, key), adobe(2)), want: ink(func(x, y int) [3]uint8 { // its colors are inks
			p := ycc(x, y)
			return [3]uint8{255 - p[0], 255 - p[1], 255 - p[2]}
		}), off: 3},
		sample{name: "jpeg gray", data: encoded(func(w *bytes.Buffer) error { return jpeg.Encode(w, smoothGray, &jpeg.Options{Quality: 95}) }), gray: true, want: grayOf, off: 4},
		sample{name: "jpeg 4:2:0", data: encoded(func(w *bytes.Buffer) error { return jpeg.Encode(w, smooth, &jpeg.Options{Quality: 95}) }), want: opaque, off: 16},
		sample{name: "jpeg progressive", data: read("progressive.jpeg"), want: opaque, off: 16},
		sample{name: "webp lossless", data: read("lossless.webp"), want: opaque},
		sample{name: "webp lossless alpha", data: read("lossless-alpha.webp"), want: alpha},
		sample{name: "webp lossy", data: read("lossy.webp"), want: opaque, off: 16},
		sample{name: "webp lossy alpha", data: read("lossy-alpha.webp"), want: alpha, off: 16},
	)

	// BMP: bottom row first, rows of whole words.
	bottomUp := func(rows [][]byte) (b []byte) {
		for y := len(rows) - 1; y >= 0; y-- {
			b = append(append(b, rows[y]...), make([]byte, -len(rows[y])&3)...)
		}
		return b
	}
	masks := []uint32{0xff0000, 0xff00, 0xff, 0xff000000}
	palette := make([]byte, 0, 1024)
	for i := range 256 {
		palette = append(palette, byte(i), byte(255-i), byte(i/2), 0)
	}
	s = append(s,
		sample{name: "bmp 24", data: bmpFile(40, testW, testH, 24, 0, nil, nil, bottomUp(rows(le, 8, 2, 1, 0))), want: opaque},
		sample{name: "bmp 24 top down", data: bmpFile(40, testW, -testH, 24, 0, nil, nil, bytes.Join(rows(le, 8, 2, 1, 0), nil)), want: opaque},
		sample{name: "bmp 32, fourth byte unused", data: bmpFile(40, testW, testH, 32, 0, nil, nil, bottomUp(rows(le, 8, 2, 1, 0, 3))), want: opaque},
		sample{name: "bmp 32 v4 without masks", data: bmpFile(108, testW, testH, 32, 0, nil, nil, bottomUp(rows(le, 8, 2, 1, 0, 3))), want: opaque},
		sample{name: "bmp 32 v5 alpha", data: bmpFile(124, testW, testH, 32, 3, masks, nil, bottomUp(rows(le, 8, 2, 1, 0, 3))), want: alpha},
		sample{name: "bmp palette", data: bmpFile(40, testW, testH, 8, 0, nil, palette, bottomUp(rows(le, 8, 0))), want: func(x, y int) [3]uint8 {
			i := rgbaAt(x, y)[0]
			return [3]uint8{i / 2, 255 - i, i}
		}},
		sample{name: "bmp gray palette", data: encoded(func(w *bytes.Buffer) error { return bmp.Encode(w, smoothGray) }), want: func(x, y int) [3]uint8 {
			v := rgbaAt(x, y)[0]
			return [3]uint8{v, v, v}
		}},
	)

	// TIFF.
	short := func(tag uint16, v ...uint32) tiffTag { return tiffTag{tag, 3, v} }
	for _, o := range []struct {
		name  string
		order interface {
			binary.ByteOrder
			binary.AppendByteOrder
		}
	}{{"II", le}, {"MM", be}} {
		for _, depth := range []uint32{8, 16} {
			d := int(depth)
			name := fmt.Sprintf("tiff %s %d ", o.name, depth)
			file := func(kind uint32, extra []tiffTag, channels ...int) []byte {
				depths := make([]uint32, len(channels))
				for i := range depths {
					depths[i] = depth
				}
				tags := append([]tiffTag{short(258, depths...), short(259, 1), short(262, kind), short(277, uint32(len(channels)))}, extra...)
				return tiffFile(o.order, testW, testH, tags, bytes.Join(rows(o.order, d, channels...), nil))
			}
			invert := func(x, y int) [3]uint8 { return [3]uint8{255 - rgbaAt(x, y)[0]} }
			s = append(s,
				sample{name: name + "gray", data: file(1, nil, 0), gray: true, want: grayOf},
				sample{name: name + "gray, white is zero", data: file(0, nil, 0), gray: true, want: invert},
				sample{name: name + "rgb", data: file(2, nil, 0, 1, 2), want: opaque},
				sample{name: name + "rgba", data: file(2, []tiffTag{short(338, 2)}, 0, 1, 2, 3), want: alpha, off: 1},
				sample{name: name + "premultiplied", data: file(2, []tiffTag{short(338, 1)}, 0, 1, 2, 3), want: func(x, y int) [3]uint8 {
					p := rgbaAt(x, y)
					for c := range 3 {
						p[c] = uint8(min(255, int(p[c])+255-int(p[3])))
					}
					return [3]uint8(p[:3])
				}},
			)
		}
	}
	paletted := image.NewPaletted(smooth.Rect, nil)
	for i := range 256 {
		paletted.Palette = append(paletted.Palette, color.RGBA{uint8(i), uint8(255 - i), uint8(i / 2), 255})
	}
	for y := range testH {
		for x := range testW {
			paletted.SetColorIndex(x, y, rgbaAt(x, y)[0])
		}
	}
	s = append(s,
		sample{name: "tiff palette", data: encoded(func(w *bytes.Buffer) error { return tiff.Encode(w, paletted, nil) }), want: func(x, y int) [3]uint8 {
			i := rgbaAt(x, y)[0]
			return [3]uint8{i, 255 - i, i / 2}
		}},
		sample{name: "tiff deflate with predictor", data: encoded(func(w *bytes.Buffer) error {
			return tiff.Encode(w, smooth, &tiff.Options{Compression: tiff.Deflate, Predictor: true})
		}), want: opaque},
		sample{name: "tiff 1 bit", w: 16, h: 1, gray: true, data: tiffFile(be, 16, 1, []tiffTag{short(258, 1), short(259, 1), short(262, 1), short(277, 1)}, []byte{0xa5, 0x0f}), want: func(x, _ int) [3]uint8 {
			bits := 0xa50f
			return [3]uint8{uint8(bits >> (15 - x) & 1 * 255)}
		}},
	)
	// Strips and tiles, planes and codes.
	var rgb16 []uint16
	var pixels565 []byte
	for y := range testH {
		for x := range testW {
			p := rgbaAt(x, y)
			rgb16 = append(rgb16, uint16(p[0]), uint16(p[1]), uint16(p[2]))
			pixels565 = le.AppendUint16(pixels565, uint16(p[0])>>3<<11|uint16(p[1])>>2<<5|uint16(p[2])>>3)
		}
	}
	for i, compression := range []uint32{compressionNone, compressionLZW, compressionDeflate, compressionPackBits} {
		spec := tiffSpec{
			order: be, width: testW, height: testH, samples: 3, depth: 8, photometric: 2, compression: compression,
			separate: i%2 == 0, lowFirst: i == 1, predictor: i == 2, tiled: i%2 == 1, tileWidth: testW, tileHeight: 5,
		}
		if spec.tiled {
			spec.tileWidth = 16
		}
		s = append(s, sample{name: fmt.Sprintf("tiff rgb, compression %d", compression), data: spec.file(rgb16), want: opaque})
	}
	s = append(s, sample{
		name: "bmp 5-6-5", data: bmpFile(56, testW, -testH, 16, 3, []uint32{0xf800, 0x7e0, 0x1f, 0}, nil, pixels565), want: opaque, off: 8,
	})
	s = append(append(s, gifSamples(t)...), webpSamples(t)...)
	for i := range s {
		if s[i].w == 0 {
			s[i].w, s[i].h = testW, testH
		}
		s[i].format, _, _ = strings.Cut(strings.ReplaceAll(s[i].name, ",", " "), " ")
	}
	return s
}

func TestFormats(t *testing.T) {
	for _, s := range samples(t) {
		t.Run(s.name, func(t *testing.T) {
			h, err := Inspect(s.data, Limits{})
			if err != nil {
				t.Fatal(err)
			}
			if h.Format != s.format || h.Width != s.w || h.Height != s.h || h.Gray != s.gray || h.Orientation != 1 {
				t.Errorf("got header %+v", h)
			}
			p, err := Decode(t.Context(), s.data, Options{})
			if err != nil {
				t.Fatal(err)
			}
			space := raster.RGB
			if s.gray {
				space = raster.Gray
			}
			if p.Format != s.format || p.Width != s.w || p.Height != s.h || p.Orientation != 1 || p.Image.Space != space {
				t.Fatalf("%s %d×%d in %v, orientation %d", p.Format, p.Width, p.Height, p.Image.Space, p.Orientation)
			}
			worst := 0
			for c := range space.Planes() {
				for i, v := range p.Image.Plane(c) {
					want := int(s.want(i%s.w, i/s.w)[c])
					d := max(int(v)-want, want-int(v))
					if d > s.off && d > worst {
						t.Errorf("plane %d at %d,%d: %d, want %d±%d", c, i%s.w, i/s.w, v, want, s.off)
					}
					worst = max(worst, d)
				}
			}
			t.Logf("worst difference %d", worst)
		})
	}
}

func TestOrientations(t *testing.T) {
	plain := pngFile(testW, testH, 8, 2, rgbRows())
	stored, err := Decode(t.Context(), plain, Options{})
	if err != nil {
		t.Fatal(err)
	}
	lossless, err := os.ReadFile("testdata/lossless.webp")
	if err != nil {
		t.Fatal(err)
	}
	var levels []uint8
	for i := range testW / 8 * testH / 8 {
		levels = append(levels, uint8(20*i+10), uint8(200-30*i), 128)
	}
	rgb := tiffTag{258, 3, []uint32{8, 8, 8}}
	pixels := bytes.Join(rgbRows(), nil)
	for o := 0; o <= 9; o++ {
		app1 := segment(0xe1, append([]byte(exifPrefix), exif(o)...)...)
		tags := []tiffTag{rgb, {259, 3, []uint32{1}}, {262, 3, []uint32{2}}, {274, 3, []uint32{uint32(o)}}, {277, 3, []uint32{3}}}
		long := append([]tiffTag(nil), tags...)
		long[3].kind = 4
		for name, data := range map[string][]byte{
			"jpeg":           jpegFile(testW, testH, 3, levels, adobe(0), app1),
			"png":            pngFile(testW, testH, 8, 2, rgbRows(), pngChunk("eXIf", exif(o))),
			"webp":           webpFile(lossless, testW, testH, 0, exif(o)),
			"webp, prefixed": webpFile(lossless, testW, testH, 0, append([]byte(exifPrefix), exif(o)...)),
			"tiff II":        tiffFile(binary.LittleEndian, testW, testH, tags, pixels),
			"tiff MM":        tiffFile(binary.BigEndian, testW, testH, tags, pixels),
			"tiff LONG":      tiffFile(binary.BigEndian, testW, testH, long, pixels),
		} {
			t.Run(fmt.Sprint(name, " ", o), func(t *testing.T) {
				want := stored.Image
				if name == "jpeg" {
					p, err := Decode(t.Context(), jpegFile(testW, testH, 3, levels, adobe(0)), Options{})
					if err != nil {
						t.Fatal(err)
					}
					want = p.Image
				}
				wantO := o
				if o < 1 || o > 8 {
					wantO = 1
				}
				raw, err := Decode(t.Context(), data, Options{IgnoreOrientation: true})
				if err != nil {
					t.Fatal(err)
				}
				if raw.Orientation != wantO || raw.Width != testW || raw.Height != testH || !bytes.Equal(raw.Image.Pix, want.Pix) {
					t.Errorf("as stored: orientation %d, %d×%d, same pixels: %v", raw.Orientation, raw.Width, raw.Height, bytes.Equal(raw.Image.Pix, want.Pix))
				}
				p, err := Decode(t.Context(), data, Options{})
				if err != nil {
					t.Fatal(err)
				}
				turned := referenceUpright(want, wantO)
				if p.Orientation != wantO || p.Width != turned.Width || p.Height != turned.Height || p.Image.Width != turned.Width || !bytes.Equal(p.Image.Pix, turned.Pix) {
					t.Errorf("orientation %d, %d×%d, want %d×%d, same pixels: %v", p.Orientation, p.Width, p.Height, turned.Width, turned.Height, bytes.Equal(p.Image.Pix, turned.Pix))
				}
			})
		}
	}
}

func rgbRows() (rows [][]byte) {
	for y := range testH {
		var row []byte
		for x := range testW {
			p := rgbaAt(x, y)
			row = append(row, p[:3]...)
		}
		rows = append(rows, row)
	}
	return rows
}

// referenceUpright is the table of the EXIF standard: on which visual sides the
// stored row 0 and column 0 lie.
func referenceUpright(src *raster.Image, o int) *raster.Image {
	w, h := src.Width, src.Height
	dw, dh := w, h
	if o >= 5 {
		dw, dh = h, w
	}
	dst := raster.New(src.Space, dw, dh)
	for c := range src.Space.Planes() {
		for row := range h {
			for col := range w {
				at := [9][2]int{
					1: {col, row},                 // top, left
					2: {w - 1 - col, row},         // top, right
					3: {w - 1 - col, h - 1 - row}, // bottom, right
					4: {col, h - 1 - row},         // bottom, left
					5: {row, col},                 // left, top
					6: {h - 1 - row, col},         // right, top
					7: {h - 1 - row, w - 1 - col}, // right, bottom
					8: {row, w - 1 - col},         // left, bottom
				}[o]
				dst.Plane(c)[at[1]*dw+at[0]] = src.Plane(c)[row*w+col]
			}
		}
	}
	return dst
}

func TestOrientationAcrossTiles(t *testing.T) {
	src := randomImage(raster.Gray, 77, 130)
	for o := 1; o <= 8; o++ {
		if got, want := applyOrientation(src, o), referenceUpright(src, o); !bytes.Equal(got.Pix, want.Pix) || got.Width != want.Width {
			t.Errorf("orientation %d differs", o)
		}
	}
}

func randomImage(space raster.Space, w, h int) *raster.Image {
	rng := rand.New(rand.NewPCG(1, 2))
	m := raster.New(space, w, h)
	for i := range m.Pix {
		m.Pix[i] = uint8(rng.Uint32())
	}
	return m
}

// referenceShrink counts, for each pair of pixels, the part of the one in the other.
func referenceShrink(src *raster.Image, dw, dh int) *raster.Image {
	w, h := src.Width, src.Height
	dst := raster.New(src.Space, dw, dh)
	part := func(i, n, j, m int) int { return max(0, min((i+1)*m, (j+1)*n)-max(i*m, j*n)) } // of i in n, j in m
	for c := range src.Space.Planes() {
		for y := range dh {
			for x := range dw {
				sum := 0
				for sy := range h {
					for sx := range w {
						sum += int(src.Plane(c)[sy*w+sx]) * part(x, dw, sx, w) * part(y, dh, sy, h)
					}
				}
				dst.Plane(c)[y*dw+x] = uint8((sum + w*h/2) / (w * h))
			}
		}
	}
	return dst
}

func TestShrinkIsTheMeanOfTheArea(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w, h := rapid.IntRange(1, 40).Draw(t, "w"), rapid.IntRange(1, 40).Draw(t, "h")
		dw, dh := rapid.IntRange(1, w).Draw(t, "dw"), rapid.IntRange(1, h).Draw(t, "dh")
		src := raster.New(raster.RGB, w, h)
		copy(src.Pix, rapid.SliceOfN(rapid.Byte(), len(src.Pix), len(src.Pix)).Draw(t, "pix"))
		if got, want := shrink(src, dw, dh), referenceShrink(src, dw, dh); !bytes.Equal(got.Pix, want.Pix) {
			t.Fatalf("%d×%d to %d×%d: %v, want %v", w, h, dw, dh, got.Pix, want.Pix)
		}
	})
}

func TestLongestSide(t *testing.T) {
	file := func(w, h int) []byte {
		rows := make([][]byte, h)
		for y := range rows {
			rows[y] = bytes.Repeat([]byte{100}, w)
		}
		return pngFile(w, h, 8, 0, rows, pngChunk("eXIf", exif(6)))
	}
	for _, c := range []struct{ w, h, side, wantW, wantH int }{
		{640, 480, 0, 480, 640},
		{640, 480, 640, 480, 640},
		{640, 480, 1000, 480, 640},
		{640, 480, 320, 240, 320},
		{640, 479, 320, 240, 320}, // 239.5 rounds up
		{3, 1000, 10, 10, 1},
		{1, 300, 7, 7, 1},
		{1, 1, 1, 1, 1},
		{50, 50, 1, 1, 1},
	} {
		t.Run(fmt.Sprintf("%dx%d to %d", c.w, c.h, c.side), func(t *testing.T) {
			p, err := Decode(t.Context(), file(c.w, c.h), Options{LongestSide: c.side})
			if err != nil {
				t.Fatal(err)
			}
			if p.Width != c.h || p.Height != c.w || p.Image.Width != c.wantW || p.Image.Height != c.wantH {
				t.Errorf("got %d×%d of %d×%d, want %d×%d of %d×%d",
					p.Image.Width, p.Image.Height, p.Width, p.Height, c.wantW, c.wantH, c.h, c.w)
			}
			if !bytes.Equal(p.Image.Pix, bytes.Repeat([]byte{100}, c.wantW*c.wantH)) {
				t.Error("the image is not flat")
			}
		})
	}
}

func TestShrinkAndOrientationCommute(t *testing.T) {
	src := randomImage(raster.RGB, 61, 47)
	for o := 1; o <= 8; o++ {
		a, b := applyOrientation(shrink(src, 20, 15), o), applyOrientation(src, o)
		if b = shrink(b, a.Width, a.Height); !bytes.Equal(a.Pix, b.Pix) {
			t.Errorf("orientation %d", o)
		}
	}
}

// referenceEnlarge is Matlab's imresize in floating point: the weights of a target sample are the
// cubic filter at the distances of the source samples, which continue as their mirror image.
func referenceEnlarge(src *raster.Image, dw, dh int) [][]float64 {
	cubic := func(x float64) float64 {
		switch x = math.Abs(x); {
		case x <= 1:
			return 1.5*x*x*x - 2.5*x*x + 1
		case x <= 2:
			return -.5*x*x*x + 2.5*x*x - 4*x + 2
		}
		return 0
	}
	at := func(i, n int) int {
		for i < 0 || i >= n {
			if i < 0 {
				i = -1 - i
			} else {
				i = 2*n - 1 - i
			}
		}
		return i
	}
	resample := func(in []float64, n int) []float64 {
		out := make([]float64, n)
		for i := range out {
			u := (float64(i)+.5)*float64(len(in))/float64(n) - .5
			for j := int(math.Floor(u)) - 2; j <= int(math.Floor(u))+3; j++ {
				out[i] += in[at(j, len(in))] * cubic(u-float64(j))
			}
		}
		return out
	}
	var planes [][]float64
	for c := range src.Space.Planes() {
		wide := make([][]float64, src.Height)
		for y := range wide {
			row := make([]float64, src.Width)
			for x := range row {
				row[x] = float64(src.Plane(c)[y*src.Width+x])
			}
			wide[y] = resample(row, dw)
		}
		plane := make([]float64, dw*dh)
		for x := range dw {
			column := make([]float64, src.Height)
			for y := range column {
				column[y] = wide[y][x]
			}
			for y, v := range resample(column, dh) {
				plane[y*dw+x] = min(max(v, 0), 255)
			}
		}
		planes = append(planes, plane)
	}
	return planes
}

func TestEnlargeIsCubic(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w, h := rapid.IntRange(1, 12).Draw(t, "w"), rapid.IntRange(1, 12).Draw(t, "h")
		dw, dh := rapid.IntRange(w, 50).Draw(t, "dw"), rapid.IntRange(h, 50).Draw(t, "dh")
		src := raster.New(raster.RGB, w, h)
		copy(src.Pix, rapid.SliceOfN(rapid.Byte(), len(src.Pix), len(src.Pix)).Draw(t, "pix"))
		got := enlarge(src, dw, dh)
		for c, want := range referenceEnlarge(src, dw, dh) {
			for i, v := range got.Plane(c) {
				if math.Abs(float64(v)-want[i]) > .6 { // rounding, of the weights as well
					t.Fatalf("%d×%d to %d×%d: plane %d, sample %d is %d, want %v", w, h, dw, dh, c, i, v, want[i])
				}
			}
		}
	})
}

// A uniform image stays uniform, and an image of its own size stays as it is.
func TestEnlargeKeeps(t *testing.T) {
	for v := range 256 {
		src := raster.New(raster.Gray, 3, 2)
		for i := range src.Pix {
			src.Pix[i] = uint8(v)
		}
		for i, got := range enlarge(src, 997, 13).Pix {
			if int(got) != v {
				t.Fatalf("sample %d is %d, want %d", i, got, v)
			}
		}
	}
	src := randomImage(raster.RGB, 31, 17)
	if !bytes.Equal(enlarge(src, 31, 17).Pix, src.Pix) {
		t.Error("an image that is enlarged to its own size changes")
	}
}

func TestWidth(t *testing.T) {
	file := func(w, h int) []byte {
		rows := make([][]byte, h)
		for y := range rows {
			rows[y] = bytes.Repeat([]byte{100}, w)
		}
		return pngFile(w, h, 8, 0, rows, pngChunk("eXIf", exif(6)))
	}
	for _, c := range []struct{ w, h, width, wantW, wantH int }{ // stored; upright
		{64, 48, 0, 48, 64},
		{64, 48, 48, 48, 64},
		{64, 48, 24, 24, 32},
		{64, 48, 500, 500, 667}, // 666.67
		{63, 48, 24, 24, 32},    // 31.5 rounds up
		{3, 1000, 10, 10, 1},    // not less than 1
		{1, 300, 301, 301, 1},
		{1, 1, 500, 500, 500},
	} {
		t.Run(fmt.Sprintf("%d×%d to %d", c.w, c.h, c.width), func(t *testing.T) {
			opts := Options{Width: c.width}
			p, err := Decode(t.Context(), file(c.w, c.h), opts)
			if err != nil {
				t.Fatal(err)
			}
			if p.Image.Width != c.wantW || p.Image.Height != c.wantH || p.Width != c.h || p.Height != c.w {
				t.Errorf("got %d×%d of %d×%d, want %d×%d", p.Image.Width, p.Image.Height, p.Width, p.Height, c.wantW, c.wantH)
			}
			if p.Enlarged() != (c.wantW > c.h) {
				t.Errorf("Enlarged: got %t", p.Enlarged())
			}
			opts.IgnoreOrientation = true
			if p, err = Decode(t.Context(), file(c.h, c.w), opts); err != nil || p.Image.Width != c.wantW || p.Image.Height != c.wantH {
				t.Errorf("stored: got %d×%d, %v, want %d×%d", p.Image.Width, p.Image.Height, err, c.wantW, c.wantH)
			}
		})
	}
}

// The limits also apply to an enlarged image, which is refused before its pixels are decoded.
func TestEnlargedLimits(t *testing.T) {
	limits := Limits{MaxPixels: 10_000, MaxSide: 1000}
	for _, c := range []struct {
		w, h, width int
		want        LimitError
	}{
		{1, 1000, 11, LimitError{What: "pixels high when resized", Got: 11_000, Max: 1000}},
		{2, 2, 1001, LimitError{What: "pixels wide when resized", Got: 1001, Max: 1000}},
		{10, 10, 101, LimitError{What: "pixels when resized", Got: 101 * 101, Max: 10_000}},
		{1, 1000, 1 << 20, LimitError{What: "pixels wide when resized", Got: 1 << 20, Max: 1000}},
	} {
		t.Run(fmt.Sprintf("%d×%d to %d", c.w, c.h, c.width), func(t *testing.T) {
			file := pngFile(c.w, c.h, 8, 0, nil) // it has no pixels
			_, err := Decode(t.Context(), file, Options{Limits: limits, Width: c.width})
			if limit, ok := errors.AsType[*LimitError](err); !ok || *limit != c.want {
				t.Errorf("got %v, want %v", err, &c.want)
			}
		})
	}
	if w, h, err := (Options{Limits: limits, Width: 100}).Size(Header{Width: 10, Height: 10}); w != 100 || h != 100 || err != nil {
		t.Errorf("at the limits: %d×%d, %v", w, h, err)
	}
	// The largest image that is within any limits.
	largest := Limits{MaxPixels: math.MaxInt64, MaxSide: math.MaxInt}
	if _, _, err := (Options{Limits: largest, Width: maxSide}).Size(Header{Width: 1, Height: maxSide}); err == nil {
		t.Error("2^40 pixels are accepted")
	}
}

func TestToOriginal(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w, h := rapid.IntRange(1, 70000).Draw(t, "w"), rapid.IntRange(1, 70000).Draw(t, "h")
		p := &Decoded{Width: w, Height: h, Image: &raster.Image{
			Width: rapid.IntRange(1, w).Draw(t, "iw"), Height: rapid.IntRange(1, h).Draw(t, "ih"),
		}}
		whole := box.Box{X1: int32(p.Image.Width), Y1: int32(p.Image.Height)}
		if got := p.ToOriginal(whole); got != (box.Box{X1: int32(w), Y1: int32(h)}) {
			t.Fatalf("the whole image maps to %v of %d×%d", got, w, h)
		}
		draw := func(name string) box.Box {
			x, y := rapid.Int32Range(0, whole.X1-1).Draw(t, name+"x"), rapid.Int32Range(0, whole.Y1-1).Draw(t, name+"y")
			return box.Box{X0: x, Y0: y, X1: rapid.Int32Range(x+1, whole.X1).Draw(t, name+"X"), Y1: rapid.Int32Range(y+1, whole.Y1).Draw(t, name+"Y")}
		}
		a, b := draw("a"), draw("b")
		oa, ob := p.ToOriginal(a), p.ToOriginal(b)
		if oa.Empty() || oa.X0 < 0 || oa.Y0 < 0 || int(oa.X1) > w || int(oa.Y1) > h {
			t.Fatalf("%v to %v of %d×%d", a, oa, w, h)
		}
		if (a.X0 <= b.X0 && oa.X0 > ob.X0) || (a.Y1 <= b.Y1 && oa.Y1 > ob.Y1) {
			t.Fatalf("not monotone: %v %v to %v %v", a, b, oa, ob)
		}
		if p.Image.Width == w && p.Image.Height == h && oa != a {
			t.Fatalf("%v to %v where nothing was shrunk", a, oa)
		}
	})
}

func TestLimits(t *testing.T) {
	small := pngFile(testW, testH, 8, 2, rgbRows())
	at := func(name string, opts Limits, data []byte, what string, got, most int64) {
		t.Helper()
		for _, err := range []error{second(Inspect(data, opts)), second(Decode(t.Context(), data, Options{Limits: opts}))} {
			var limit *LimitError
			if !errors.As(err, &limit) {
				t.Errorf("%s: error %v", name, err)
			} else if *limit != (LimitError{What: what, Got: got, Max: most}) {
				t.Errorf("%s: %v", name, limit)
			}
		}
	}
	n := int64(len(small))
	at("bytes", Limits{MaxBytes: n - 1}, small, "bytes", n, n-1)
	at("pixels", Limits{MaxPixels: 24*16 - 1}, small, "pixels", 24*16, 24*16-1)
	at("width", Limits{MaxSide: 23}, small, "pixels wide", 24, 23)
	at("height", Limits{MaxSide: 30}, pngFile(24, 31, 8, 0, nil), "pixels high", 31, 30)
	if _, err := Decode(t.Context(), small, Options{Limits: Limits{n, 24 * 16, 24}}); err != nil {
		t.Error("at the limits:", err)
	}
	// Files of a hundred bytes whose headers give 2.5 billion pixels, or a tile of them.
	gray := []tiffTag{{258, 3, []uint32{8}}, {262, 3, []uint32{1}}}
	tile := append(gray, tiffTag{322, 4, []uint32{1 << 20}}, tiffTag{323, 4, []uint32{1 << 20}})
	const side, pixels = 50_000, 2_500_000_000
	for name, data := range map[string][]byte{
		"png":            pngFile(side, side, 8, 2, nil),
		"jpeg":           jpegFile(side, side, 1, nil),
		"bmp":            bmpFile(40, side, -side, 24, 0, nil, nil, nil),
		"tiff":           tiffFile(binary.LittleEndian, side, side, gray, nil),
		"webp":           webpFile(make([]byte, 12), side, side, 0, nil),
		"webp animation": webpFile(make([]byte, 12), side, side, webpAnimation, nil),
		"gif":            gifFile(side, side, gifColorsOf(2), gifImageBlock(image.Rect(0, 0, 1, 1), nil, false, 2, []byte{1})),
		"gif frame":      gifFile(1, 1, gifColorsOf(2), gifImageBlock(image.Rect(side-1, side-1, side, side), nil, false, 2, []byte{1})),
	} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		at(name, Limits{}, data, "pixels", pixels, 50_000_000)
		runtime.ReadMemStats(&after)
		if got := after.TotalAlloc - before.TotalAlloc; got > 100_000 {
			t.Errorf("%s: %d bytes allocated", name, got)
		}
	}
	at("tile", Limits{}, tiffFile(binary.BigEndian, 100, 100, tile, nil), "pixels in a tile", 1<<40, 50_000_000)
	if got := (Limits{math.MaxInt64, math.MaxInt64, math.MaxInt}).WithDefaults(); got != MaxLimits() {
		t.Errorf("the largest limits are %+v, want %+v", got, MaxLimits())
	}
	at("above the decoders' limits", Limits{MaxPixels: 1 << 60, MaxSide: 1 << 30},
		tiffFile(binary.BigEndian, 1<<21, 1, gray, nil), "pixels wide", 1<<21, 1<<20)
}

func second[T any](_ T, err error) error { return err }

// unsupportedFiles returns files of formats and variants that Decode does not read.
func unsupportedFiles() map[string][]byte {
	short := func(tag uint16, v ...uint32) tiffTag { return tiffTag{tag, 3, v} }
	tiffOf := func(tags ...tiffTag) []byte {
		return tiffFile(binary.LittleEndian, 8, 8, tags, make([]byte, 8*8*16))
	}
	flat := jpegFile(8, 8, 1, []uint8{9})
	sof := func(marker byte) []byte {
		return bytes.Replace(flat, []byte{0xff, 0xc0}, []byte{0xff, marker}, 1)
	}
	return map[string][]byte{
		"nothing":           nil,
		"text":              []byte("not an image"),
		"pnm":               []byte("P5 1 1 255 x"),
		"hdr":               []byte("#?RADIANCE\n"),
		"exr":               []byte("\x76\x2f\x31\x01"),
		"jpeg 2000":         []byte("\x00\x00\x00\x0cjP  \r\n\x87\n"),
		"big tiff":          []byte("II+\x00\x08\x00\x00\x00"),
		"jpeg lossless":     sof(0xc3),
		"jpeg arithmetic":   sof(0xc9),
		"jpeg 12 bits":      bytes.Replace(flat, []byte{0xff, 0xc0, 0, 11, 8}, []byte{0xff, 0xc0, 0, 11, 12}, 1),
		"jpeg two channels": jpegFile(8, 8, 2, []uint8{9, 9}),
		"jpeg four unknown": jpegFile(8, 8, 4, []uint8{9, 9, 9, 9}),
		"jpeg 101 scans":    bytes.Join([][]byte{flat[:len(flat)-2], bytes.Repeat(segment(0xda, 1, 1, 0, 0, 63, 0), 100), flat[len(flat)-2:]}, nil),
		"bmp rle 24":        bmpFile(64, 8, 8, 24, 4, nil, nil, make([]byte, 64)),
		"bmp huffman":       bmpFile(64, 8, 8, 1, 3, nil, make([]byte, 8), make([]byte, 64)),
		"bmp jpeg":          bmpFile(40, 8, 8, 0, 4, nil, nil, make([]byte, 64)),
		"bmp gaps in masks": bmpFile(40, 8, 8, 16, 3, []uint32{0x5000, 0x3e0, 0x1f}, nil, make([]byte, 140)),
		"bmp masks overlap": bmpFile(56, 8, 8, 16, 3, []uint32{0xf800, 0x7e0, 0x3f}, nil, make([]byte, 140)),
		"tiff float":        tiffOf(short(258, 32), short(262, 1), short(339, 3)),
		"tiff float 16":     tiffOf(short(258, 16), short(262, 1), short(339, 3)),
		"tiff signed":       tiffOf(short(258, 8), short(262, 1), short(339, 2)),
		"tiff cmyk":         tiffOf(short(258, 8, 8, 8, 8), short(262, 5), short(277, 4)),
		"tiff jpeg":         tiffOf(short(258, 8), short(259, 7), short(262, 1)),
		"tiff ycbcr":        tiffOf(short(258, 8, 8, 8), short(262, 6), short(277, 3)),
		"tiff lab":          tiffOf(short(258, 8, 8, 8), short(262, 8), short(277, 3)),
		"tiff 12 bits":      tiffOf(short(258, 12), short(262, 1)),
		"tiff 5 bands":      tiffOf(short(258, 8, 8, 8, 8, 8), short(262, 2), short(277, 5)),
		"tiff 4 bands":      tiffOf(short(258, 8, 8, 8, 8), short(262, 2), short(277, 4)),
		"tiff predictor 3":  tiffOf(short(258, 8), short(259, 5), short(262, 1), short(317, 3)),
		"tiff lzw 4 bits":   tiffOf(short(258, 4), short(259, 5), short(262, 1), short(317, 2)),
		"tiff fax of gray":  tiffOf(short(258, 8), short(259, 4), short(262, 1)),
		"tiff many tiles":   tiffFile(binary.LittleEndian, 4096, 4096, []tiffTag{short(258, 8), short(262, 1), short(322, 1), short(323, 1)}, make([]byte, 64)),
	}
}

func TestUnsupported(t *testing.T) {
	for name, data := range unsupportedFiles() {
		t.Run(name, func(t *testing.T) {
			_, err := Decode(t.Context(), data, Options{})
			var f *FormatError
			if !errors.Is(err, ErrUnsupported) || errors.As(err, &f) {
				t.Errorf("got error %v, want ErrUnsupported", err)
			}
		})
	}
}

// brokenFiles returns damaged files.
func brokenFiles(t testing.TB) map[string][]byte {
	t.Helper()
	s := map[string][]byte{}
	for _, v := range samples(t) {
		s[v.name] = v.data
	}
	j := s["jpeg 4:2:0"]
	sos := bytes.Index(j, []byte{0xff, 0xda})
	sof := bytes.Index(j, []byte{0xff, 0xc0})
	frame := j[sof : sof+19]
	hidden := bytes.Clone(s["webp lossy"])
	hidden[20] &^= 0x10
	files := map[string][]byte{
		"jpeg of two frames":     append(append(append([]byte(nil), j[:sof]...), frame...), j[sof:]...),
		"jpeg without pixels":    append(append([]byte(nil), j[:sos]...), 0xff, 0xd9),
		"jpeg without frame":     append(append([]byte(nil), j[:sof]...), j[sos:]...),
		"jpeg of 0 pixels":       jpegFile(8, 0, 1, nil),
		"jpeg too short for it":  jpegFile(5000, 5000, 1, nil),
		"png too short for it":   pngFile(5000, 5000, 8, 2, nil),
		"png of 0 pixels":        pngFile(0, 5, 8, 2, nil),
		"png of a bad kind":      pngFile(5, 5, 8, 5, nil),
		"png without pixels":     pngFile(5, 5, 8, 0, nil),
		"bmp of 0 pixels":        bmpFile(40, 0, 5, 24, 0, nil, nil, nil),
		"bmp of negative width":  bmpFile(40, -5, 5, 24, 0, nil, nil, make([]byte, 100)),
		"webp of a hidden frame": hidden,
		"webp canvas and frame":  webpFile(s["webp lossless"], testW, testH+1, 0, nil),
		"webp of no frame":       webpFile(make([]byte, 12), testW, testH, 0, nil),
		"bmp without masks":      bmpFile(56, 8, 8, 16, 3, nil, nil, make([]byte, 140)),
		"bmp of long masks":      bmpFile(56, 8, 8, 16, 3, []uint32{0x1f0000, 0x7e0, 0x1f}, nil, make([]byte, 140)),
		"tiff no color map":      tiffFile(binary.LittleEndian, 8, 8, []tiffTag{{258, 3, []uint32{8}}, {262, 3, []uint32{3}}, {320, 3, make([]uint32, 3*255)}}, make([]byte, 64)),
		"tiff fill order 3":      tiffFile(binary.LittleEndian, 8, 8, []tiffTag{{258, 3, []uint32{8}}, {262, 3, []uint32{1}}, {266, 3, []uint32{3}}}, make([]byte, 64)),
		"tiff of 0 rows a strip": tiffFile(binary.LittleEndian, 8, 8, []tiffTag{{258, 3, []uint32{8}}, {262, 3, []uint32{1}}, {278, 3, []uint32{0}}, {278, 3, []uint32{0}}}, make([]byte, 64)),
		"tiff of 0 wide tiles":   tiffFile(binary.LittleEndian, 8, 8, []tiffTag{{258, 3, []uint32{8}}, {262, 3, []uint32{1}}, {322, 3, []uint32{0}}}, make([]byte, 64)),
		"tiff without tiles":     tiffFile(binary.LittleEndian, 64, 64, []tiffTag{{258, 3, []uint32{8}}, {262, 3, []uint32{1}}, {322, 3, []uint32{16}}, {323, 3, []uint32{16}}}, make([]byte, 64)),
		"tiff without pixels":    tiffFile(binary.LittleEndian, 8, 8, []tiffTag{{258, 3, []uint32{8}}, {262, 3, []uint32{1}}}, make([]byte, 63)),
		"tiff without directory": []byte("II*\x00\xff\x00\x00\x00"),
		"tiff without sides":     []byte("II*\x00\x08\x00\x00\x00\x01\x00\x12\x01\x03\x00\x01\x00\x00\x00\x01\x00\x00\x00"),
	}
	// Files that end early, in the header and after it.
	for _, name := range []string{"jpeg 4:2:0", "jpeg progressive", "png rgba", "webp lossless", "webp lossy", "bmp 24", "tiff II 8 rgb"} {
		for n := 20; n < len(s[name]); n += max(1, len(s[name])/50) {
			files[fmt.Sprintf("%s, %d bytes of %d", name, n, len(s[name]))] = s[name][:n]
		}
	}
	return files
}

func TestBrokenFiles(t *testing.T) {
	for name, data := range brokenFiles(t) {
		t.Run(name, func(t *testing.T) {
			_, err := Decode(t.Context(), data, Options{})
			var f *FormatError
			if !errors.As(err, &f) || name[:3] != f.Format[:3] {
				t.Errorf("got error %v, want a *FormatError", err)
			}
		})
	}
}

// TestTrailingData appends what phones and other programs append: gain maps and further images, in
// JPEG, or a video.
func TestTrailingData(t *testing.T) {
	trailers := map[string][]byte{
		"jpeg":  jpegFile(8, 8, 1, []uint8{9}),
		"video": []byte("\x00\x00\x00\x14ftypmp42\x00\x00\x00\x00isom\x00\x00\x00\x08mdat"),
		"text":  []byte("SEFT garbage"),
	}
	for _, s := range samples(t) {
		want, err := Decode(t.Context(), s.data, Options{})
		if err != nil {
			t.Fatal(err)
		}
		for name, trailer := range trailers {
			got, err := Decode(t.Context(), append(s.data[:len(s.data):len(s.data)], trailer...), Options{})
			if err != nil || !reflect.DeepEqual(got, want) {
				t.Errorf("%s and %s: got another image, %v", s.name, name, err)
			}
		}
	}
}

func TestCanceled(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Decode(ctx, pngFile(testW, testH, 8, 2, rgbRows()), Options{}); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

// cancelingContext is canceled once Err has been called n times.
type cancelingContext struct {
	context.Context
	n int
}

func (c *cancelingContext) Err() error {
	if c.n--; c.n < 0 {
		return context.Canceled
	}
	return nil
}

func TestCanceledBetweenSteps(t *testing.T) {
	data := pngFile(testW, testH, 8, 2, rgbRows())
	for n := range 4 {
		p, err := Decode(&cancelingContext{t.Context(), n}, data, Options{LongestSide: 10})
		if n < 3 && !errors.Is(err, context.Canceled) || n == 3 && err != nil || (p == nil) != (err != nil) {
			t.Errorf("canceled at poll %d: got %v", n, err)
		}
	}
}

// TestShortWebP reads a file that is shorter than OpenCV wants WebP to be: 8×8 black pixels.
func TestShortWebP(t *testing.T) {
	data := []byte("RIFF\x16\x00\x00\x00WEBPVP8L\x09\x00\x00\x00\x2f\x07\xc0\x01\x00\x88\x88\xfe\x07\x00")
	if len(data) >= 32 {
		t.Fatalf("got %d bytes", len(data))
	}
	p, err := Decode(t.Context(), data, Options{})
	if err != nil || !bytes.Equal(p.Image.Pix, make([]byte, 8*8*3)) {
		t.Fatalf("got %+v, %v", p, err)
	}
}

// typed reports whether an error is of a type that Decode documents.
func typed(err error) bool {
	var f *FormatError
	var l *LimitError
	var d *DepthError
	return errors.As(err, &f) || errors.As(err, &l) || errors.As(err, &d) || errors.Is(err, ErrUnsupported)
}

// Damaged files give an image of the size in the header, or a typed error.
func TestMutatedFiles(t *testing.T) {
	opts := Options{Limits: Limits{MaxPixels: 1 << 20}}
	read := 0
	for i, data := range mutated(t, 1000) {
		p, err := Decode(t.Context(), data, opts)
		switch {
		case err != nil && !typed(err):
			t.Errorf("file %d: error %v", i, err)
		case err == nil:
			read++
			if len(p.Image.Pix) != p.Width*p.Height*p.Image.Space.Planes() {
				t.Errorf("file %d: %d bytes for %d×%d", i, len(p.Image.Pix), p.Width, p.Height)
			}
		}
	}
	t.Logf("%d of 1000 read", read)
	if read == 0 || read == 1000 {
		t.Errorf("%d of 1000 read", read)
	}
}

// mutated returns n damaged sample files, always the same ones.
func mutated(t *testing.T, n int) [][]byte {
	all := samples(t)
	rng := rand.New(rand.NewPCG(3, 4))
	files := make([][]byte, n)
	for i := range files {
		data := bytes.Clone(all[i%len(all)].data)
		switch rng.IntN(4) {
		case 0:
			data = data[:rng.IntN(len(data))]
		case 1:
			other := all[rng.IntN(len(all))].data
			data = append(data[:rng.IntN(len(data))], other[rng.IntN(len(other)):]...)
		default:
			for range 1 + rng.IntN(8) {
				if rng.IntN(2) == 0 {
					data[rng.IntN(len(data))] ^= 1 << rng.IntN(8)
				} else {
					data[rng.IntN(min(len(data), 64))] = byte(rng.Uint32())
				}
			}
		}
		files[i] = data
	}
	return files
}

// seeds returns files to begin fuzzing with: all would leave no time for it.
func seeds(f *testing.F) (files [][]byte) {
	for i, k := range kinds(f) {
		if i%8 == 0 {
			files = append(files, k.data)
		}
	}
	return files
}

func FuzzDecode(f *testing.F) {
	for _, data := range seeds(f) {
		f.Add(data, false, 0, 0)
	}
	for _, s := range samples(f) {
		f.Add(s.data, false, 0, -1)
	}
	f.Add(pngFile(testW, testH, 8, 2, rgbRows(), pngChunk("eXIf", exif(6))), false, 10, 12)
	f.Fuzz(func(t *testing.T, data []byte, ignore bool, side, bits int) {
		depth := Depth(bits)
		if depth.String() != "16" {
			var err error
			if depth, err = ParseDepth(depth.String()); err != nil {
				return
			}
		}
		p, err := Decode(t.Context(), data, Options{Limits: Limits{MaxPixels: 1 << 16}, IgnoreOrientation: ignore, LongestSide: side, Depth: depth})
		if err != nil {
			if !typed(err) {
				t.Fatal(err)
			}
			return
		}
		whole := p.ToOriginal(box.Box{X1: int32(p.Image.Width), Y1: int32(p.Image.Height)})
		if int(whole.X1) != p.Width || int(whole.Y1) != p.Height || p.Orientation < 1 || p.Orientation > 8 {
			t.Fatalf("%+v", p)
		}
		if side > 0 && max(p.Image.Width, p.Image.Height) > max(side, 1) {
			t.Fatalf("%d×%d, longest side %d", p.Image.Width, p.Image.Height, side)
		}
	})
}

func FuzzInspect(f *testing.F) {
	for _, data := range seeds(f) {
		f.Add(data)
	}
	f.Add(exif(6))
	f.Fuzz(func(t *testing.T, data []byte) {
		if o := exifOrientation(data); o < 1 || o > 8 {
			t.Fatalf("orientation %d", o)
		}
		h, err := Inspect(data, Limits{MaxPixels: 1 << 16})
		if err != nil {
			if !typed(err) {
				t.Fatal(err)
			}
			return
		}
		if h.Width < 1 || h.Height < 1 || h.Width*h.Height > 1<<16 || h.Orientation < 1 || h.Orientation > 8 {
			t.Fatalf("%+v", h)
		}
	})
}

// Resize returns what Decode returns for a file of the same pixels.
func TestResize(t *testing.T) {
	file := pngFile(testW, testH, 8, 2, rgbRows())
	whole, err := Decode(t.Context(), file, Options{})
	if err != nil {
		t.Fatal(err)
	}
	for _, opts := range []Options{{}, {LongestSide: 7}, {LongestSide: 1000}, {Width: 5}, {Width: testW}, {Width: 61}} {
		t.Run(fmt.Sprintf("%+v", opts), func(t *testing.T) {
			want, err := Decode(t.Context(), file, opts)
			if err != nil {
				t.Fatal(err)
			}
			got, err := Resize(t.Context(), whole.Image, opts)
			if err != nil {
				t.Fatal(err)
			}
			want.Format = ""
			if !reflect.DeepEqual(got, want) {
				t.Error("got another image")
			}
		})
	}
	for want, limits := range map[string]Limits{
		"too large: got 24 pixels wide, want at most 23 pixels wide":                    {MaxSide: testW - 1},
		"too large: got 384 pixels, want at most 383 pixels":                            {MaxPixels: testW*testH - 1},
		"too large: got 1536 pixels when resized, want at most 400 pixels when resized": {MaxPixels: 400},
	} {
		if _, err := Resize(t.Context(), whole.Image, Options{Limits: limits, Width: 48}); err == nil || err.Error() != want {
			t.Errorf("%+v: got %v, want %s", limits, err, want)
		}
	}
	canceled, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Resize(canceled, whole.Image, Options{}); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want context.Canceled", err)
	}
}
