//go:build cgo

package main

import (
	"testing"
	"unsafe"

	"github.com/proposer/proposer/internal/imageio"
)

func BenchmarkReadImage(b *testing.B) {
	const w, h = 640, 480
	pix := make([]uint8, w*h*4)
	for name, l := range map[string]layout{
		"rgb":    {width: w, height: h, channels: 3},
		"bgr":    {width: w, height: h, channels: 3, order: 1},
		"rgba":   {width: w, height: h, channels: 4},
		"gray":   {width: w, height: h, channels: 1},
		"planar": {width: w, height: h, channels: 3, rowStride: w, pixelStride: 1, channelStride: w * h},
	} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				l := l
				l.pixels = unsafe.Pointer(&pix[0])
				if err := l.check(imageio.Limits{}); err != nil {
					b.Fatal(err)
				}
				img, err := l.read()
				if err != nil {
					b.Fatal(err)
				}
				recycle(img)
			}
		})
	}
}
