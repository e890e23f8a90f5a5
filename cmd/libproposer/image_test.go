//go:build cgo

package main

import (
	"bytes"
	"errors"
	"image"
	"image/color"
	"image/png"
	"math"
	"strings"
	"testing"
	"unsafe"

	"pgregory.net/rapid"

	"github.com/proposer/proposer/internal/imageio"
	"github.com/proposer/proposer/raster"
)

// place lays samples, interleaved, out in new memory with gaps, in any order of the axes, each in either
// direction.
func place(t *rapid.T, samples []uint8, width, height, channels, order int) (memory []uint8, l layout) {
	sizes := [3]int{height, width, channels}
	var strides [3]int
	stride := rapid.IntRange(1, 3).Draw(t, "step")
	for _, axis := range rapid.Permutation([]int{0, 1, 2}).Draw(t, "axes") {
		strides[axis] = stride
		stride = stride*sizes[axis] + rapid.IntRange(0, 5).Draw(t, "gap")
	}
	memory = make([]uint8, stride)
	for i := range memory {
		memory[i] = uint8(i*37 + 11)
	}
	first := 0
	for axis := range strides {
		if rapid.Bool().Draw(t, "backwards") {
			first += (sizes[axis] - 1) * strides[axis]
			strides[axis] = -strides[axis]
		}
	}
	for y := range height {
		for x := range width {
			for c := range channels {
				memory[first+y*strides[0]+x*strides[1]+c*strides[2]] = samples[(y*width+x)*channels+c]
			}
		}
	}
	return memory, layout{
		pixels: unsafe.Pointer(&memory[first]), width: width, height: height, channels: channels, order: order,
		rowStride: strides[0], pixelStride: strides[1], channelStride: strides[2],
	}
}

// decoded returns the image that the decoders make of a PNG file with the samples.
func decoded(t *rapid.T, samples []uint8, width, height, channels, order int) *raster.Image {
	var m image.Image
	bounds := image.Rect(0, 0, width, height)
	if channels == 1 {
		m = &image.Gray{Pix: samples, Stride: width, Rect: bounds}
	} else {
		colors := image.NewNRGBA(bounds)
		for i := range width * height {
			p := samples[i*channels:][:channels]
			c := color.NRGBA{R: p[0], G: p[1], B: p[2], A: math.MaxUint8}
			if order == 1 {
				c.R, c.B = c.B, c.R
			}
			if channels == 4 {
				c.A = p[3]
			}
			colors.SetNRGBA(i%width, i/width, c)
		}
		m = colors
	}
	var file bytes.Buffer
	if err := png.Encode(&file, m); err != nil {
		t.Fatal(err)
	}
	d, err := imageio.Decode(t.Context(), file.Bytes(), imageio.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return d.Image
}

// An image in any layout is the image that a file with its pixels has.
func TestReadEqualsDecoder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		width, height := rapid.IntRange(1, 40).Draw(t, "width"), rapid.IntRange(1, 30).Draw(t, "height")
		channels := rapid.SampledFrom([]int{1, 3, 4}).Draw(t, "channels")
		order := rapid.IntRange(0, 1).Draw(t, "order")
		samples := rapid.SliceOfN(rapid.Uint8(), width*height*channels, -1).Draw(t, "samples")[:width*height*channels]
		_, l := place(t, samples, width, height, channels, order)
		if err := l.check(imageio.Limits{}); err != nil {
			t.Fatal(err)
		}
		img, err := l.read()
		if err != nil {
			t.Fatal(err)
		}
		defer recycle(img)
		want := decoded(t, samples, width, height, channels, order)
		if img.Width != want.Width || img.Height != want.Height || img.Space != want.Space || !bytes.Equal(img.Pix, want.Pix) {
			t.Errorf("%v of %d×%d, want %v of %d×%d with equal samples", img.Space, img.Width, img.Height, want.Space, want.Width, want.Height)
		}
	})
}

func TestReadRepeatedSamples(t *testing.T) {
	pix := []uint8{1, 2, 3, 9}
	for _, c := range []struct {
		name string
		l    layout
		want []uint8
	}{
		{"row", layout{width: 1, height: 3, channels: 3, pixelStride: 3, channelStride: 1}, []uint8{1, 1, 1, 2, 2, 2, 3, 3, 3}},
		{"pixel", layout{width: 2, height: 1, channels: 3, rowStride: 3, channelStride: 1}, []uint8{1, 1, 2, 2, 3, 3}},
		{"gray", layout{width: 2, height: 2, channels: 1, channelStride: 1}, []uint8{1, 1, 1, 1}},
		{"packed", layout{width: 2, height: 2, channels: 1}, []uint8{1, 2, 3, 9}},
		{"channels", layout{width: 1, height: 2, channels: 3, rowStride: 1, pixelStride: 1}, []uint8{1, 2, 1, 2, 1, 2}},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.l.pixels = unsafe.Pointer(&pix[0])
			if err := c.l.check(imageio.Limits{}); err != nil {
				t.Fatal(err)
			}
			img, err := c.l.read()
			if err != nil || !bytes.Equal(img.Pix, c.want) {
				t.Errorf("%v, %v, want %v", img.Pix, err, c.want)
			}
		})
	}
}

func TestCheckLayout(t *testing.T) {
	pixel := unsafe.Pointer(new(uint8))
	valid := layout{pixels: pixel, width: 4, height: 3, channels: 3}
	for _, c := range []struct {
		want   string
		change func(*layout)
	}{
		{"image of 0×3 pixels: want sides above 0", func(l *layout) { l.width = 0 }},
		{"image of 4×-1 pixels: want sides above 0", func(l *layout) { l.height = -1 }},
		{"image with channels 2: want 1 (gray), 3 (color) or 4 (color and alpha)", func(l *layout) { l.channels = 2 }},
		{"image with channels 0: want 1", func(l *layout) { l.channels = 0 }},
		{"image with channel_order 2: want PROPOSER_RGB (0) or PROPOSER_BGR (1)", func(l *layout) { l.order = 2 }},
		{"image with pixels NULL: want a pointer", func(l *layout) { l.pixels = nil }},
		{"too large: got 70000 pixels wide, want at most 65535", func(l *layout) { l.width = 70000 }},
		{"too large: got 2147483647 pixels high, want at most 65535", func(l *layout) { l.height = math.MaxInt32 }},
		{"too large: got 1000000000 pixels, want at most 50000000", func(l *layout) { l.width, l.height = 20000, 50000 }},
		{"strides of 9223372036854775807, 3 and 1 bytes: want pixels within the memory", func(l *layout) {
			l.rowStride, l.pixelStride, l.channelStride = math.MaxInt, 3, 1
		}},
		{"strides of -9223372036854775808, 3 and 1 bytes: want pixels within the memory", func(l *layout) {
			l.rowStride, l.pixelStride, l.channelStride = math.MinInt, 3, 1
		}},
		{"strides of 12, 4611686018427387904 and 1 bytes: want", func(l *layout) {
			l.rowStride, l.pixelStride, l.channelStride = 12, 1<<62, 1
		}},
		{"strides of 12, 3 and -9223372036854775807 bytes: want", func(l *layout) {
			l.rowStride, l.pixelStride, l.channelStride = 12, 3, -math.MaxInt
		}},
		{"strides of 12, 3 and -4611686018427387904 bytes: want", func(l *layout) {
			l.rowStride, l.pixelStride, l.channelStride = 12, 3, -1<<62
		}},
		{"strides of -4611686018427387904, 3 and 1 bytes: want", func(l *layout) {
			l.rowStride, l.pixelStride, l.channelStride = -1<<62, 3, 1
		}},
	} {
		t.Run(c.want, func(t *testing.T) {
			l := valid
			c.change(&l)
			err := l.check(imageio.Limits{})
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v, want %q", err, c.want)
			}
		})
	}
	if err := valid.check(imageio.Limits{}); err != nil {
		t.Error(err)
	}
}

// Layouts from outside are refused, or read, or reported as not in memory, never worse.
func FuzzLayout(f *testing.F) {
	f.Add(int32(640), int32(480), int32(3), int32(0), 1920, 3, 1)
	f.Add(int32(3), int32(2), int32(4), int32(1), -12, 4, 1<<40)
	f.Add(int32(1), int32(1), int32(1), int32(0), math.MinInt, math.MinInt, math.MinInt)
	pix := make([]uint8, 1<<16)
	f.Fuzz(func(t *testing.T, width, height, channels, order int32, row, pixel, channel int) {
		l := layout{
			unsafe.Pointer(&pix[len(pix)/2]), int(width), int(height), int(channels), int(order), row, pixel, channel,
		}
		if err := l.check(imageio.Limits{MaxPixels: 1 << 16}); err != nil {
			return
		}
		img, err := l.read()
		if err != nil {
			if _, ok := errors.AsType[*imageError](err); !ok {
				t.Errorf("%v, want an imageError", err)
			}
			return
		}
		if len(img.Pix) != img.Space.Planes()*int(width)*int(height) {
			t.Errorf("%d samples of %d×%d", len(img.Pix), width, height)
		}
		recycle(img)
	})
}

// Pixels of three bytes, in either order of the channels, take another way than other layouts.
func TestReadInterleaved(t *testing.T) {
	for _, width := range []int{1, 15, 16, 17, 40} {
		const height = 3
		pix := make([]uint8, 3*width*height)
		for i := range pix {
			pix[i] = uint8(i * 41)
		}
		for order := range 2 {
			forwards := layout{pixels: unsafe.Pointer(&pix[0]), width: width, height: height, channels: 3, order: order}
			backwards := layout{
				pixels: unsafe.Pointer(&pix[2]), width: width, height: height, channels: 3, order: 1 - order,
				rowStride: 3 * width, pixelStride: 3, channelStride: -1,
			}
			for _, l := range []layout{forwards, backwards} {
				if err := l.check(imageio.Limits{}); err != nil {
					t.Fatal(err)
				}
				img, err := l.read()
				if err != nil {
					t.Fatal(err)
				}
				for i := range width * height {
					want := [3]uint8(pix[3*i:])
					if order == 1 { // PROPOSER_BGR
						want[0], want[2] = want[2], want[0]
					}
					if got := [3]uint8{img.Plane(0)[i], img.Plane(1)[i], img.Plane(2)[i]}; got != want {
						t.Fatalf("width %d, order %d, channel stride %d: pixel %d is %v, want %v", width, order, l.channelStride, i, got, want)
					}
				}
			}
		}
	}
}
