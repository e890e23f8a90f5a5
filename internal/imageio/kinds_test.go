package imageio

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"image/png"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/proposer/proposer/raster"
)

// A kind is a file that stands for all of its format, depth, color type, orientation, layout and
// compression.
type kind struct {
	name   string
	data   []byte
	want   *raster.Image // as it is stored; nil if it is refused
	off    int           // allowed difference of a sample
	pillow string        // why Pillow 9.4 shows something else, if it does
}

// quantized returns a sample of the test image in a depth.
func quantized(x, y, c, depth int) uint16 {
	return uint16((int(rgbaAt(x, y)[c])*(1<<depth-1) + 127) / 255)
}

// pictured returns the image of samples of the test image in a depth, of the channels of colors and alpha,
// -1 for none. level maps a color to the one that is shown, in 0 to 1.
func pictured(depth, alpha int, level func(v, a float64) float64, colors ...int) *raster.Image {
	space := raster.RGB
	if len(colors) == 1 {
		space = raster.Gray
	}
	img := raster.New(space, testW, testH)
	top := float64(uint32(1)<<depth - 1)
	for i := range testW * testH {
		x, y := i%testW, i/testW
		a := 1.0
		if alpha >= 0 {
			a = float64(quantized(x, y, alpha, depth)) / top
		}
		for k, c := range colors {
			img.Plane(k)[i] = uint8(255*min(1, level(float64(quantized(x, y, c, depth))/top, a)) + .5)
		}
	}
	return img
}

// samplesOf returns the samples of the test image in a depth, of the given channels.
func samplesOf(depth int, channels ...int) (pix []uint16) {
	for i := range testW * testH {
		for _, c := range channels {
			pix = append(pix, quantized(i%testW, i/testW, c, depth))
		}
	}
	return pix
}

func straight(v, a float64) float64      { return v*a + 1 - a }
func inverted(v, a float64) float64      { return (1-v)*a + 1 - a }
func premultiplied(v, a float64) float64 { return v + 1 - a }

// kinds returns a file of each kind that is read, and of each that is refused.
func kinds(t testing.TB) []kind {
	t.Helper()
	var all []kind
	for _, s := range samples(t) {
		space := raster.RGB
		if s.gray {
			space = raster.Gray
		}
		img := raster.New(space, s.w, s.h)
		for c := range space.Planes() {
			for i := range s.w * s.h {
				img.Plane(c)[i] = s.want(i%s.w, i/s.w)[c]
			}
		}
		why := ""
		switch {
		case strings.HasPrefix(s.name, "png gray 2 key"), strings.HasPrefix(s.name, "png gray 4 key"):
			why = "compares the transparent sample with scaled ones"
		case s.name == "png gray 16 key":
			why = "ignores the transparent sample"
		case strings.HasPrefix(s.name, "tiff") && strings.HasSuffix(s.name, " 16 gray, white is zero"):
			why = noInversion
		case strings.HasPrefix(s.name, "gif"), strings.HasPrefix(s.name, "webp animation"):
			why = "has a background where there is no frame"
		case s.name == "webp still without the flag of alpha":
			why = "needs the flag"
		}
		all = append(all, kind{s.name, s.data, img, s.off, why})
	}
	all = append(all, pngKinds()...)
	all = append(all, tiffKinds()...)
	all = append(all, bmpKinds()...)
	all = append(all, jpegKinds(t)...)
	all = append(all, orientedKinds()...)
	for _, files := range []map[string][]byte{unsupportedFiles(), brokenFiles(t)} {
		for _, name := range slices.Sorted(maps.Keys(files)) {
			if !strings.Contains(name, " bytes of ") { // truncated
				all = append(all, kind{name: "refused: " + name, data: files[name]})
			}
		}
	}
	return all
}

const noInversion = "does not invert samples of 16 bits"

func pngKinds() (all []kind) {
	for _, c := range []struct {
		name      string
		colorType byte
		channels  []int
		alpha     int
	}{
		{"gray", pngGray, []int{0}, -1},
		{"rgb", pngRGB, []int{0, 1, 2}, -1},
		{"gray alpha", pngGrayAlpha, []int{0}, 3},
		{"rgba", pngRGBAlpha, []int{0, 1, 2}, 3},
	} {
		for _, depth := range pngDepths[c.colorType] {
			for _, interlaced := range []bool{false, true} {
				s := &pngSpec{
					width: testW, height: testH, depth: depth, colorType: c.colorType, interlaced: interlaced, chunk: 40,
					filter: func(y int) byte { return byte(y % 5) },
					before: [][]byte{pngChunk("gAMA", []byte{0, 0, 0x40, 0}), pngChunk("pHYs", make([]byte, 9))},
				}
				channels := c.channels
				if c.alpha >= 0 {
					channels = append(slices.Clone(channels), c.alpha)
				}
				k := kind{
					name: fmt.Sprintf("png %s, %d bits, interlaced %v", c.name, depth, interlaced),
					data: s.file(samplesOf(depth, channels...)), want: pictured(depth, c.alpha, straight, c.channels...), off: 1,
				}
				all = append(all, k)
			}
		}
	}
	for _, depth := range pngDepths[pngPalette] {
		for _, transparent := range []bool{false, true} {
			s := &pngSpec{width: testW, height: testH, depth: depth, colorType: pngPalette, interlaced: depth%4 == 0}
			for i := range 1 << depth {
				v := byte(i * 255 / (1<<depth - 1))
				s.palette = append(s.palette, v, 255-v, v/2)
				if transparent && i < 100 {
					s.trns = append(s.trns, byte(255-2*i))
				}
			}
			img := raster.New(raster.RGB, testW, testH)
			for i, v := range samplesOf(depth, 0) {
				a := uint8(255)
				if int(v) < len(s.trns) {
					a = s.trns[v]
				}
				for c := range 3 {
					img.Plane(c)[i] = over(s.palette[3*int(v)+c], a)
				}
			}
			all = append(all, kind{name: fmt.Sprintf("png palette, %d bits, transparent %v", depth, transparent), data: s.file(samplesOf(depth, 0)), want: img})
		}
	}
	return all
}

// paletteOf returns a color map of 16 bits, and the image of the test image's first channel as indices.
func paletteOf(depth int) (values []uint32, img *raster.Image) {
	n := 1 << depth
	values = make([]uint32, 3*n)
	for i := range n {
		v := uint32(i * 255 / (n - 1))
		values[i], values[n+i], values[2*n+i] = v*257, (255-v)*257, v/2*257
	}
	img = raster.New(raster.RGB, testW, testH)
	for i, v := range samplesOf(depth, 0) {
		for c := range 3 {
			img.Plane(c)[i] = uint8(values[c*n+int(v)] >> 8)
		}
	}
	return values, img
}

func tiffKinds() (all []kind) {
	le, be := byteOrder(binary.LittleEndian), byteOrder(binary.BigEndian)
	n := 0
	for _, c := range []struct {
		name               string
		photometric, extra uint32
		channels           []int
		alpha              int
		level              func(v, a float64) float64
		depths             []int
	}{
		{"gray", 1, 0, []int{0}, -1, straight, []int{1, 2, 4, 8, 16}},
		{"inverted gray", 0, 0, []int{0}, -1, inverted, []int{1, 2, 4, 8, 16}},
		{"palette", 3, 0, []int{0}, -1, nil, []int{1, 2, 4, 8}},
		{"rgb", 2, 0, []int{0, 1, 2}, -1, straight, []int{8, 16}},
		{"gray alpha", 1, 2, []int{0}, 3, straight, []int{8, 16}},
		{"premultiplied gray", 1, 1, []int{0}, 3, premultiplied, []int{8, 16}},
		{"rgba", 2, 2, []int{0, 1, 2}, 3, straight, []int{8, 16}},
		{"premultiplied rgba", 2, 1, []int{0, 1, 2}, 3, premultiplied, []int{8, 16}},
	} {
		for _, depth := range c.depths {
			for _, compression := range []uint32{compressionNone, compressionLZW, compressionDeflate, compressionOldDeflate, compressionPackBits} {
				for _, tiled := range []bool{false, true} {
					channels := c.channels
					if c.alpha >= 0 {
						channels = append(slices.Clone(channels), c.alpha)
					}
					s := &tiffSpec{
						order: []byteOrder{le, be}[n%2], width: testW, height: testH, samples: len(channels), depth: depth,
						photometric: c.photometric, extra: c.extra, compression: compression,
						tiled: tiled, tileWidth: testW, tileHeight: 5, separate: n%3 == 0 && len(channels) > 1,
						predictor: n%4 < 2 && depth >= 8 && compression != compressionNone && compression != compressionPackBits,
					}
					if tiled {
						s.tileWidth, s.tileHeight = 16, 16
					}
					n++
					k := kind{off: 1}
					if c.level == nil {
						s.colorMap, k.want = paletteOf(depth)
					} else {
						k.want = pictured(depth, c.alpha, c.level, c.channels...)
					}
					k.data = s.file(samplesOf(depth, channels...))
					k.name = fmt.Sprintf("tiff %s, %d bits, compression %d, tiled %v, separate %v, predictor %v, %v",
						c.name, depth, compression, tiled, s.separate, s.predictor, s.order)
					switch {
					case depth == 16 && c.photometric == 0:
						k.pillow = noInversion
					case s.separate && (depth == 16 || len(channels) == 2):
						k.pillow = "ignores that planes are separate"
					}
					all = append(all, k)
				}
			}
		}
	}
	gray := kind{want: pictured(8, -1, straight, 0), off: 1}
	for _, c := range []struct {
		name string
		set  func(s *tiffSpec)
	}{
		{"low bit first", func(s *tiffSpec) { s.lowFirst = true }},
		{"one row a strip", func(s *tiffSpec) { s.tileHeight = 1 }},
		{"without sizes of strips", func(s *tiffSpec) { s.noSizes = true }},
		{"unsorted tags", func(s *tiffSpec) { s.extraTags = []tiffTag{{254, 4, []uint32{0}}} }},
	} {
		s := &tiffSpec{order: le, width: testW, height: testH, samples: 1, depth: 8, photometric: 1, compression: 1, tileWidth: testW, tileHeight: 7}
		c.set(s)
		k := gray
		k.name, k.data = "tiff gray, "+c.name, s.file(samplesOf(8, 0))
		all = append(all, k)
	}
	// The sample behind RGB is not alpha.
	s := &tiffSpec{
		order: le, width: testW, height: testH, samples: 4, depth: 8, photometric: 2, compression: 1, tileWidth: testW, tileHeight: testH,
		extraTags: []tiffTag{{338, 3, []uint32{0}}},
	}
	all = append(all, kind{name: "tiff rgb and another sample", data: s.file(samplesOf(8, 0, 1, 2, 3)), want: pictured(8, -1, straight, 0, 1, 2)})
	// Color maps of 8 bits.
	values, img := paletteOf(8)
	for i := range values {
		values[i] >>= 8
	}
	s = &tiffSpec{order: be, width: testW, height: testH, samples: 1, depth: 8, photometric: 3, compression: 5, tileWidth: testW, tileHeight: 9, colorMap: values}
	all = append(all, kind{name: "tiff palette, color map of 8 bits", data: s.file(samplesOf(8, 0)), want: img, pillow: "takes it as 16 bits: black"})
	return append(all, faxKinds()...)
}

func faxKinds() (all []kind) {
	pix := samplesOf(1, 0)
	for _, compression := range faxCompressions {
		for photometric := range uint32(2) {
			for _, lowFirst := range []bool{false, true} {
				w := &faxWriter{}
				above := make([]byte, testW)
				for y := range testH {
					row := make([]byte, testW)
					for x := range row {
						row[x] = byte(pix[y*testW+x])
					}
					switch compression {
					case compressionRLE:
						w.align(8)
						w.row1D(row)
					case compressionRLEWord:
						w.align(16)
						w.row1D(row)
					case compressionG3:
						w.code(faxEOL)
						w.row1D(row)
					default:
						w.row2D(above, row)
					}
					above = row
				}
				order, level := uint32(1), []func(v, a float64) float64{inverted, straight}[photometric]
				data := w.bytes()
				if lowFirst {
					order = 2
					data = reversedBits(data)
				}
				tags := []tiffTag{{258, 3, []uint32{1}}, {259, 3, []uint32{compression}}, {262, 3, []uint32{photometric}}, {266, 3, []uint32{order}}}
				all = append(all, kind{
					name: fmt.Sprintf("tiff fax, compression %d, photometric %d, low bit first %v", compression, photometric, lowFirst),
					data: tiffFile(binary.LittleEndian, testW, testH, tags, data), want: pictured(1, -1, level, 0),
				})
			}
		}
	}
	return all
}

func bmpKinds() (all []kind) {
	for _, c := range []struct {
		name         string
		info         int
		depth, codes int
		masks        []uint32
		why          string
	}{
		{"5-5-5", 40, 16, 0, nil, ""},
		{"5-6-5", 40, 16, 3, []uint32{0xf800, 0x7e0, 0x1f}, ""},
		{"5-6-5, v2", 52, 16, 3, []uint32{0xf800, 0x7e0, 0x1f}, ""},
		{"5-6-5, v3", 56, 16, 3, []uint32{0xf800, 0x7e0, 0x1f, 0}, ""},
		{"5-6-5, v4", 108, 16, 3, []uint32{0xf800, 0x7e0, 0x1f, 0}, ""},
		{"5-6-5, v5", 124, 16, 3, []uint32{0xf800, 0x7e0, 0x1f, 0}, ""},
		{"5-5-5, v5", 124, 16, 3, []uint32{0x7c00, 0x3e0, 0x1f, 0}, ""},
		{"4-4-4", 124, 16, 3, []uint32{0xf00, 0xf0, 0xf, 0}, ""},
		{"10-10-10", 40, 32, 3, []uint32{0x3ff00000, 0xffc00, 0x3ff}, ""},
		{"8-8-8, red first", 124, 32, 3, []uint32{0xff, 0xff00, 0xff0000, 0}, ""},
		{"alpha, v4", 108, 32, 3, []uint32{0xff0000, 0xff00, 0xff, 0xff000000}, ""},
		{"alpha of 1 bit", 124, 16, 3, []uint32{0x7c00, 0x3e0, 0x1f, 0x8000}, "ignores alpha of 16 bits"},
		{"24", 40, 24, 0, nil, ""},
		{"24, OS/2", 12, 24, 0, nil, ""},
		{"24, OS/2 2", 64, 24, 0, nil, ""},
		{"32", 40, 32, 0, nil, ""},
	} {
		for _, topDown := range []bool{false, true} {
			if topDown && c.info == 12 { // its height is unsigned
				continue
			}
			f := &bmpFormat{masks: [4]uint32{0xff0000, 0xff00, 0xff}}
			if c.depth == 16 {
				f.masks = [4]uint32{0x7c00, 0x3e0, 0x1f}
			}
			copy(f.masks[:], c.masks)
			img := raster.New(raster.RGB, testW, testH)
			var rows [][]byte
			for y := range testH {
				var row []byte
				for x := range testW {
					var p uint32
					v := [4]float64{3: 1}
					for k, mask := range f.masks {
						if mask == 0 {
							continue
						}
						top := mask / (mask & -mask)
						s := (uint32(rgbaAt(x, y)[k])*top + 127) / 255
						if k == 3 && top == 1 { // else all are opaque
							s = uint32(x+y) & 1
						}
						if top > 255 {
							s = uint32(uint64(rgbaAt(x, y)[k]) * uint64(top) / 255)
						}
						p |= s * (mask & -mask)
						v[k] = float64(s) / float64(top)
					}
					row = append(row, binary.LittleEndian.AppendUint32(nil, p)[:c.depth/8]...)
					for k := range 3 {
						img.Plane(k)[y*testW+x] = uint8(255*straight(v[k], v[3]) + .5)
					}
				}
				rows = append(rows, append(row, make([]byte, -len(row)&3)...))
			}
			height := -testH
			if !topDown {
				height = testH
				slices.Reverse(rows)
			}
			all = append(all, kind{
				name: fmt.Sprintf("bmp %s, top down %v", c.name, topDown),
				data: bmpFile(c.info, testW, height, c.depth, c.codes, c.masks, nil, bytes.Join(rows, nil)), want: img, off: 1, pillow: c.why,
			})
		}
	}
	for _, depth := range []int{1, 2, 4, 8} {
		for _, info := range []int{12, 40, 64, 108, 124} {
			values, img := paletteOf(depth)
			var palette []byte
			for i := range 1 << depth {
				palette = append(palette, byte(values[2<<depth+i]>>8), byte(values[1<<depth+i]>>8), byte(values[i]>>8))
				if info != 12 {
					palette = append(palette, 0)
				}
			}
			var pixels []byte
			for y := testH - 1; y >= 0; y-- {
				row := (&tiffSpec{depth: depth}).pack(samplesOf(depth, 0)[y*testW:][:testW])
				pixels = append(append(pixels, row...), make([]byte, -len(row)&3)...)
			}
			k := kind{name: fmt.Sprintf("bmp palette, %d bits, header of %d", depth, info), data: bmpFile(info, testW, testH, depth, 0, nil, palette, pixels), want: img}
			all = append(all, k)
			if depth < 4 || info == 12 {
				continue
			}
			for _, literal := range []bool{false, true} {
				k.name = fmt.Sprintf("bmp runs, %d bits, header of %d, literal %v", depth, info, literal)
				k.data = bmpFile(info, testW, testH, depth, map[int]int{8: bmpRLE8, 4: bmpRLE4}[depth], nil, palette, rleBMP(depth, testW, samplesOf(depth, 0), literal))
				all = append(all, k)
			}
		}
	}
	return all
}

func jpegKinds(t testing.TB) (all []kind) {
	t.Helper()
	const w, h = 41, 30
	level := func(c, x, y int) uint8 { return uint8(90 + 40*c + 9*x - 7*y) }
	for _, c := range []struct {
		name    string
		factors string
		convert bool
		extra   [][]byte
	}{
		{"4:4:4", "\x11\x11\x11", true, nil},
		{"4:2:2", "\x21\x11\x11", true, nil},
		{"4:4:0", "\x12\x11\x11", true, nil},
		{"4:2:0", "\x22\x11\x11", true, nil},
		{"4:1:1", "\x41\x11\x11", true, nil},
		{"4:1:0", "\x42\x11\x11", true, nil},
		{"equal factors", "\x12\x12\x12", true, nil},
		{"subsampled luma", "\x11\x21\x12", true, nil},
		{"unequal chroma", "\x22\x21\x12", true, nil},
		{"Adobe YCbCr", "\x22\x11\x11", true, [][]byte{adobe(1)}},
		{"Adobe RGB", "\x11\x11\x11", false, [][]byte{adobe(0)}},
		{"CMYK", "\x11\x11\x11\x11", false, [][]byte{adobe(0)}},
		{"YCCK", "\x11\x11\x11\x11", true, [][]byte{adobe(2)}},
		{"YCCK 4:2:0", "\x22\x11\x11\x22", true, [][]byte{adobe(2)}},
	} {
		all = append(all, kind{
			name: "jpeg flat, " + c.name, data: subsampledJPEG(w, h, []byte(c.factors), level, c.extra...),
			want: flatImage(w, h, []byte(c.factors), level, c.convert), off: 1,
		})
	}
	// Files of other encoders, with the pixels of libjpeg-turbo and libwebp.
	names, err := filepath.Glob("testdata/reference/*.png")
	if err != nil || len(names) == 0 {
		t.Fatal("no files", err)
	}
	for _, name := range names {
		name = strings.TrimSuffix(name, ".png")
		data, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		f, err := os.Open(name + ".png")
		if err != nil {
			t.Fatal(err)
		}
		m, err := png.Decode(f)
		f.Close()
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, kind{name: filepath.Ext(name)[1:] + " " + filepath.Base(name), data: data, want: raster.FromImage(m), off: 2})
	}
	return all
}

// orientedKinds returns images of each format in each orientation, which is applied in all of them.
func orientedKinds() (all []kind) {
	stored, flat := pictured(8, -1, straight, 0, 1, 2), raster.New(raster.RGB, testW, testH)
	var levels []uint8 // of blocks
	for y := 0; y < testH; y += 8 {
		for x := 0; x < testW; x += 8 {
			p := rgbaAt(x, y)
			levels = append(levels, p[:3]...)
		}
	}
	for c := range 3 {
		for i := range testW * testH {
			flat.Plane(c)[i] = rgbaAt(i%testW/8*8, i/testW/8*8)[c]
		}
	}
	pix := samplesOf(8, 0, 1, 2)
	for o := 2; o <= 8; o++ {
		want := referenceUpright(stored, o)
		add := func(name string, data []byte, why string) {
			all = append(all, kind{name: fmt.Sprintf("%s, orientation %d", name, o), data: data, want: want, pillow: why})
		}
		app1 := func(exif []byte) []byte { return segment(0xe1, append([]byte(exifPrefix), exif...)...) }
		little := rawTIFF(binary.LittleEndian, []tiffTag{{274, 3, []uint32{uint32(o)}}}, nil)
		for _, c := range []struct {
			name  string
			extra [][]byte
		}{
			{"jpeg", [][]byte{app1(exif(o))}},
			{"jpeg, little endian", [][]byte{app1(little)}},
			{"jpeg, EXIF after XMP", [][]byte{segment(0xe1, []byte("http://ns.adobe.com/xap/1.0/\x00<x/>")...), app1(little)}},
			{"jpeg, two EXIF segments", [][]byte{app1(exif(o)), app1(exif(o%8 + 1))}},
		} {
			all = append(all, kind{
				name: fmt.Sprintf("%s, orientation %d", c.name, o), data: jpegFile(testW, testH, 3, levels, append(c.extra, adobe(0))...),
				want: referenceUpright(flat, o), off: 1,
			})
		}
		p := &pngSpec{width: testW, height: testH, depth: 8, colorType: pngRGB, before: [][]byte{pngChunk("eXIf", exif(o))}}
		add("png", p.file(pix), "")
		for _, typ := range []uint16{1, 3, 4, 6, 8, 9} {
			s := &tiffSpec{
				order: binary.BigEndian, width: testW, height: testH, samples: 3, depth: 8, photometric: 2, compression: 8,
				tileWidth: testW, tileHeight: 4, extraTags: []tiffTag{{274, typ, []uint32{uint32(o)}}},
			}
			why := ""
			if typ == 1 {
				why = "ignores an orientation of type BYTE"
			}
			add(fmt.Sprintf("tiff, orientation of type %d", typ), s.file(pix), why)
		}
	}
	return all
}

// TestKinds compares the pixels of each kind with those that it was written from, and the sizes, checksums
// and errors with a list that both builds share.
func TestKinds(t *testing.T) {
	const golden = "testdata/kinds.txt"
	var list strings.Builder
	seen := map[string]bool{}
	for _, k := range kinds(t) {
		if seen[k.name] {
			t.Errorf("two kinds %q", k.name)
		}
		seen[k.name] = true
		d, err := Decode(t.Context(), k.data, Options{})
		switch {
		case err != nil && k.want != nil:
			t.Errorf("%s: %v", k.name, err)
		case err != nil:
			fmt.Fprintf(&list, "%s: %s\n", k.name, errorClass(err))
		case k.want == nil:
			t.Errorf("%s: read", k.name)
		default:
			if worst := worstDifference(d.Image, k.want); worst > k.off {
				t.Errorf("%s: a difference of %d", k.name, worst)
			}
			fmt.Fprintf(&list, "%s: %d×%d %v %08x\n", k.name, d.Image.Width, d.Image.Height, d.Image.Space, crc32.ChecksumIEEE(d.Image.Pix))
		}
	}
	if *update {
		if err := os.WriteFile(golden, []byte(list.String()), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	got, lines := strings.Split(list.String(), "\n"), strings.Split(string(want), "\n")
	for i := range max(len(got), len(lines)) {
		g, w := "", ""
		if i < len(got) {
			g = got[i]
		}
		if i < len(lines) {
			w = lines[i]
		}
		if g != w {
			t.Fatalf("line %d of %s is %q, want %q: both builds must agree, -update writes it", i+1, golden, g, w)
		}
	}
}

// errorClass returns what an error of Decode is, without the wording of a decoder.
func errorClass(err error) string {
	if f := (*FormatError)(nil); errors.As(err, &f) {
		return "broken " + f.Format
	}
	if l := (*LimitError)(nil); errors.As(err, &l) {
		return "limit: " + l.Error()
	}
	class, _, _ := strings.Cut(err.Error(), ": convert it")
	return class
}

// worstDifference returns the largest difference of two samples, or a large number if the sizes differ.
func worstDifference(a, b *raster.Image) int {
	if a.Width != b.Width || a.Height != b.Height || a.Space != b.Space {
		return math.MaxInt
	}
	worst := 0
	for i, v := range a.Pix {
		worst = max(worst, int(v)-int(b.Pix[i]), int(b.Pix[i])-int(v))
	}
	return worst
}
