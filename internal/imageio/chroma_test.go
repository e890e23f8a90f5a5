package imageio

import (
	"bytes"
	"fmt"
	"image/png"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/proposer/proposer/internal/ycbcr"
	"github.com/proposer/proposer/raster"
)

// flatImage returns the pixels of the file that subsampledJPEG codes.
func flatImage(w, h int, factors []byte, level func(c, x, y int) uint8, convert bool) *raster.Image {
	var hMax, vMax int
	for _, f := range factors {
		hMax, vMax = max(hMax, int(f>>4)), max(vMax, int(f&15))
	}
	var components []*ycbcr.Upsampler
	for c, f := range factors {
		p := ycbcr.Plane{Stride: 8 * (w/8 + 1), H: hMax / int(f>>4), V: vMax / int(f&15)}
		p.Pix = make([]uint8, p.Stride*8*(h/8+1))
		for i := range p.Pix {
			p.Pix[i] = level(c, i%p.Stride/8, i/p.Stride/8)
		}
		components = append(components, ycbcr.NewUpsampler(p, w, h))
	}
	img := raster.New(raster.RGB, w, h)
	for y := range h {
		var rgb, row [3][]uint8
		for p := range rgb {
			rgb[p] = img.Plane(p)[y*w:][:w]
			row[p] = components[p].Row(y)
			copy(rgb[p], row[p])
		}
		if convert {
			ycbcr.Convert(rgb[0], rgb[1], rgb[2], row[0], row[1], row[2])
		}
		if len(factors) == 3 {
			continue
		}
		for p := range rgb { // as OpenCV converts Adobe's inverted CMYK
			for x, k := range components[3].Row(y) {
				v := int(rgb[p][x])
				if convert {
					v = 255 - v
				}
				rgb[p][x] = uint8(int(k) - (255-v)*int(k)>>8)
			}
		}
	}
	return img
}

// TestSubsampledJPEG compares both builds, of which one has libjpeg-turbo, with package ycbcr. In flat blocks the
// inverse transform does not round.
func TestSubsampledJPEG(t *testing.T) {
	for _, factors := range []string{
		"\x11\x11\x11", "\x12\x12\x12", // 4:4:4
		"\x21\x11\x11", "\x22\x12\x12", "\x41\x21\x21", // 4:2:2
		"\x12\x11\x11", "\x22\x21\x21", // 4:4:0
		"\x22\x11\x11",                 // 4:2:0
		"\x41\x11\x11", "\x42\x11\x11", // 4:1:1 and 4:1:0
		"\x31\x11\x11", "\x14\x11\x11", // others
		"\x22\x21\x11", "\x11\x21\x12", "\x12\x22\x11",
		"\x11\x11\x11\x11", "\x21\x11\x11\x21", "\x22\x11\x11\x22",
		"\x22\x11\x11\x11", // Pillow's CMYK
	} {
		for _, size := range [][2]int{{1, 1}, {3, 5}, {4, 2}, {5, 1}, {16, 16}, {33, 50}, {50, 35}} {
			w, h := size[0], size[1]
			rng := rand.New(rand.NewPCG(uint64(w), 1))
			levels := make([]uint8, 4096)
			for i := range levels {
				levels[i] = uint8(rng.Uint32())
			}
			level := func(c, x, y int) uint8 { return levels[(64*y+4*x+c)%len(levels)] }
			for _, transform := range []byte{0, byte(len(factors) - 2)} { // none, and YCbCr or YCCK
				name := fmt.Sprintf("%d×%d, factors %x, transform %d", w, h, factors, transform)
				got, err := Decode(t.Context(), subsampledJPEG(w, h, []byte(factors), level, adobe(transform)), Options{})
				if err != nil {
					t.Errorf("%s: %v", name, err)
					continue
				}
				want := flatImage(w, h, []byte(factors), level, transform > 0)
				if i := firstDifference(got.Image.Pix, want.Pix); i >= 0 {
					t.Errorf("%s: sample %d is %d, want %d", name, i, got.Image.Pix[i], want.Pix[i])
				}
			}
		}
	}
}

// firstDifference returns the index of the first samples that differ, or -1.
func firstDifference(a, b []uint8) int {
	if slices.Equal(a, b) {
		return -1
	}
	for i := range a {
		if i == len(b) || a[i] != b[i] {
			return i
		}
	}
	return len(a)
}

// TestReferencePixels compares files with the pixels that libjpeg-turbo and libwebp make of them.
func TestReferencePixels(t *testing.T) {
	files, err := filepath.Glob("testdata/reference/*.png")
	if err != nil || len(files) == 0 {
		t.Fatal("no files", err)
	}
	for _, name := range files {
		t.Run(filepath.Base(name), func(t *testing.T) {
			data, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			m, err := png.Decode(bytes.NewReader(data))
			if err != nil {
				t.Fatal(err)
			}
			want := raster.FromImage(m)
			data, err = os.ReadFile(strings.TrimSuffix(name, ".png"))
			if err != nil {
				t.Fatal(err)
			}
			got, err := Decode(t.Context(), data, Options{})
			if err != nil {
				t.Fatal(err)
			}
			if a, b := fmt.Sprint(got.Image.Space, got.Width, got.Height), fmt.Sprint(want.Space, want.Width, want.Height); a != b {
				t.Fatalf("got %s, want %s", a, b)
			}
			if i := firstDifference(got.Image.Pix, want.Pix); i >= 0 {
				t.Errorf("sample %d is %d, want %d", i, got.Image.Pix[i], want.Pix[i])
			}
		})
	}
}

// Color profiles do not change samples.
func TestColorProfiles(t *testing.T) {
	level := func(c, x, y int) uint8 { return uint8(40 + 50*c + 7*x + 11*y) }
	jpeg := func(extra ...[]byte) []byte {
		return subsampledJPEG(30, 20, []byte{0x22, 0x11, 0x11}, level, extra...)
	}
	png := func(extra ...[]byte) []byte {
		return pngFile(2, 1, 8, 2, [][]byte{{200, 100, 50, 10, 20, 30}}, extra...)
	}
	profile := bytes.Repeat([]byte{7}, 200)
	gamma := []byte{0, 1, 0x86, 0xa0} // 1
	for name, files := range map[string][2][]byte{
		"JPEG": {jpeg(), jpeg(segment(0xe2, append([]byte("ICC_PROFILE\x00\x01\x01"), profile...)...))},
		"PNG":  {png(), png(pngChunk("iCCP", append([]byte("p\x00\x00"), profile...)), pngChunk("gAMA", gamma))},
	} {
		plain, err := Decode(t.Context(), files[0], Options{})
		if err != nil {
			t.Fatal(name, err)
		}
		got, err := Decode(t.Context(), files[1], Options{})
		if err != nil {
			t.Fatal(name, err)
		}
		if i := firstDifference(got.Image.Pix, plain.Image.Pix); i >= 0 {
			t.Errorf("%s: sample %d is %d, without a profile %d", name, i, got.Image.Pix[i], plain.Image.Pix[i])
		}
	}
}

// TestEqualChannelNumbers reads a file that breaks the standard, as libjpeg-turbo does.
func TestEqualChannelNumbers(t *testing.T) {
	level := func(c, x, y int) uint8 { return uint8(40 + 50*c + 7*x + 11*y) }
	file := subsampledJPEG(30, 20, []byte{0x22, 0x11, 0x11}, level)
	want, err := Decode(t.Context(), file, Options{})
	if err != nil {
		t.Fatal(err)
	}
	frame, scan := bytes.Index(file, []byte{0xff, markerSOF0}), bytes.Index(file, []byte{0xff, markerSOS})
	for i := range 3 {
		file[frame+10+3*i], file[scan+5+2*i] = 7, 7
	}
	got, err := Decode(t.Context(), file, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if i := firstDifference(got.Image.Pix, want.Image.Pix); i >= 0 {
		t.Errorf("sample %d is %d, want %d", i, got.Image.Pix[i], want.Image.Pix[i])
	}
}
