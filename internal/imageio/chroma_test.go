package imageio

import (
	"bytes"
	"fmt"
	"image"
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

// flatPlanes returns the planes that subsampledJPEG codes.
func flatPlanes(w, h int, ratio image.YCbCrSubsampleRatio, level func(c, x, y int) uint8) *image.YCbCr {
	m := image.NewYCbCr(image.Rect(0, 0, w, h), ratio)
	for c, plane := range [][]uint8{m.Y, m.Cb, m.Cr} {
		stride := m.CStride
		if c == 0 {
			stride = m.YStride
		}
		for i := range plane {
			plane[i] = level(c, i%stride/8, i/stride/8)
		}
	}
	return m
}

// TestSubsampledJPEG compares both builds, of which one has libjpeg-turbo, with package ycbcr. In flat blocks the
// inverse transform does not round.
func TestSubsampledJPEG(t *testing.T) {
	for _, f := range []struct {
		luma, chroma byte
		ratio        image.YCbCrSubsampleRatio
	}{
		{0x11, 0x11, image.YCbCrSubsampleRatio444},
		{0x12, 0x12, image.YCbCrSubsampleRatio444},
		{0x21, 0x11, image.YCbCrSubsampleRatio422},
		{0x22, 0x12, image.YCbCrSubsampleRatio422},
		{0x12, 0x11, image.YCbCrSubsampleRatio440},
		{0x22, 0x21, image.YCbCrSubsampleRatio440},
		{0x22, 0x11, image.YCbCrSubsampleRatio420},
		{0x41, 0x11, image.YCbCrSubsampleRatio411},
		{0x41, 0x21, image.YCbCrSubsampleRatio422},
		{0x42, 0x11, image.YCbCrSubsampleRatio410},
	} {
		for _, size := range [][2]int{{1, 1}, {3, 5}, {4, 2}, {5, 1}, {16, 16}, {33, 50}, {50, 35}} {
			w, h := size[0], size[1]
			rng := rand.New(rand.NewPCG(uint64(w), uint64(f.luma)))
			levels := make([]uint8, 4096)
			for i := range levels {
				levels[i] = uint8(rng.Uint32())
			}
			level := func(c, x, y int) uint8 { return levels[(64*y+4*x+c)%len(levels)] }
			planes := flatPlanes(w, h, f.ratio, level)
			ycc, rgb := raster.New(raster.RGB, w, h), raster.New(raster.RGB, w, h)
			ycbcr.JPEG(ycc.Plane(0), ycc.Plane(1), ycc.Plane(2), planes)
			ycbcr.Upsample(rgb.Plane(0), rgb.Plane(1), rgb.Plane(2), planes)
			ink := func(m *raster.Image, ycck bool) *raster.Image { // as OpenCV converts Adobe's inverted CMYK
				out := raster.New(raster.RGB, w, h)
				for i := range out.Pix {
					x, y := i%(w*h)%w, i%(w*h)/w
					k, v := int(level(3, x/8, y/8)), int(m.Pix[i])
					if ycck {
						v = 255 - v
					}
					out.Pix[i] = uint8(k - (255-v)*k>>8)
				}
				return out
			}
			three, four := []byte{f.luma, f.chroma, f.chroma}, []byte{f.luma, f.chroma, f.chroma, f.luma}
			for name, c := range map[string]struct {
				file []byte
				want *raster.Image
			}{
				"YCbCr": {subsampledJPEG(w, h, three, level), ycc},
				"RGB":   {subsampledJPEG(w, h, three, level, adobe(0)), rgb},
				"CMYK":  {subsampledJPEG(w, h, four, level, adobe(0)), ink(rgb, false)},
				"YCCK":  {subsampledJPEG(w, h, four, level, adobe(2)), ink(ycc, true)},
			} {
				blocks := func(factors byte) byte { return factors >> 4 * (factors & 15) }
				if strings.Contains(name, "K") && 2*blocks(f.luma)+2*blocks(f.chroma) > 10 {
					continue // more than a scan can have
				}
				got, err := Decode(t.Context(), c.file, Options{})
				if err != nil {
					t.Errorf("%s of %d×%d, %x and %x: %v", name, w, h, f.luma, f.chroma, err)
					continue
				}
				if i := firstDifference(got.Image.Pix, c.want.Pix); i >= 0 {
					t.Errorf("%s of %d×%d, %x and %x: sample %d is %d, want %d", name, w, h, f.luma, f.chroma, i, got.Image.Pix[i], c.want.Pix[i])
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
