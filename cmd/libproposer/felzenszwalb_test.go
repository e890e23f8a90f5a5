//go:build cgo

package main

import (
	"math"
	"slices"
	"testing"
	"unsafe"
)

func TestSampleLayoutRow(t *testing.T) {
	const width, height, channels = 5, 4, 3
	bytes, doubles := make([]uint8, width*height*channels), make([]float64, width*height*channels)
	for i := range bytes {
		bytes[i], doubles[i] = uint8(4*i), float64(i)/3
	}
	for name, c := range map[string]struct {
		layout sampleLayout
		index  func(x, y, c int) int
		double bool
	}{
		"bytes": {
			layout: sampleLayout{layout: layout{pixels: unsafe.Pointer(&bytes[0])}},
			index:  func(x, y, c int) int { return (y*width+x)*channels + c },
		},
		"doubles": {
			layout: sampleLayout{layout: layout{pixels: unsafe.Pointer(&doubles[0])}, kind: 1},
			index:  func(x, y, c int) int { return (y*width+x)*channels + c },
			double: true,
		},
		"doubles, planar, bottom up": {
			layout: sampleLayout{layout: layout{
				pixels:    unsafe.Pointer(&doubles[(height-1)*width]),
				rowStride: -8 * width, pixelStride: 8, channelStride: 8 * width * height,
			}, kind: 1},
			index:  func(x, y, c int) int { return (c*height+height-1-y)*width + x },
			double: true,
		},
	} {
		t.Run(name, func(t *testing.T) {
			l := c.layout
			l.width, l.height, l.channels = width, height, channels
			if err := l.check(); err != nil {
				t.Fatal(err)
			}
			got, want := make([]float64, width), make([]float64, width)
			for y := range height {
				for channel := range channels {
					for x := range want {
						i := c.index(x, y, channel)
						if want[x] = doubles[i]; !c.double {
							want[x] = float64(bytes[i]) * (1 / 255.)
						}
					}
					if l.row(got, channel, y); !slices.Equal(got, want) {
						t.Errorf("channel %d of row %d: %v, want %v", channel, y, got, want)
					}
				}
			}
		})
	}
}

func TestSampleLayoutErrors(t *testing.T) {
	var pixel float64
	valid := sampleLayout{layout: layout{pixels: unsafe.Pointer(&pixel), width: 1, height: 1, channels: 1}, kind: 1}
	for want, change := range map[string]func(*sampleLayout){
		"": func(*sampleLayout) {},
		"image with type 7: want PROPOSER_UINT8 (0) or PROPOSER_FLOAT64 (1)": func(l *sampleLayout) { l.kind = 7 },
		"image of 0×1 pixels: want sides above 0":                            func(l *sampleLayout) { l.width = 0 },
		"image of 1×-1 pixels: want sides above 0":                           func(l *sampleLayout) { l.height = -1 },
		"image with channels 1025: want 1 to 1024":                           func(l *sampleLayout) { l.channels = 1025 },
		"image with samples NULL: want a pointer to the first sample":        func(l *sampleLayout) { l.pixels = nil },
		"image of 2×2 pixels with strides of 9223372036854775807, 8 and 8 bytes: want pixels within the memory of the process": func(l *sampleLayout) {
			l.width, l.height, l.rowStride, l.pixelStride, l.channelStride = 2, 2, math.MaxInt, 8, 8
		},
	} {
		l, got := valid, ""
		change(&l)
		if err := l.check(); err != nil {
			got = err.Error()
		}
		if got != want {
			t.Errorf("error %q, want %q", got, want)
		}
	}
}
