package main

/*
#include "proposer.h"
*/
import "C"

import (
	"fmt"
	"math"
	"math/bits"
	"runtime/debug"
	"slices"
	"sync"
	"unsafe"

	"github.com/proposer/proposer/internal/freelist"
	"github.com/proposer/proposer/internal/imageio"
	"github.com/proposer/proposer/internal/kernels"
	"github.com/proposer/proposer/raster"
)

// A layout is a proposer_image.
type layout struct {
	pixels                                unsafe.Pointer
	width, height, channels, order        int
	rowStride, pixelStride, channelStride int
}

// readImage copies an image of C.
func readImage(image *C.proposer_image, limits imageio.Limits) (*raster.Image, error) {
	if image == nil {
		return nil, &imageError{"image: NULL, want a pointer to an image"}
	}
	l := layout{
		pixels: unsafe.Pointer(image.pixels),
		width:  int(image.width), height: int(image.height),
		channels: int(image.channels), order: int(image.channel_order),
		rowStride: int(image.row_stride), pixelStride: int(image.pixel_stride), channelStride: int(image.channel_stride),
	}
	if err := l.check(limits); err != nil {
		return nil, err
	}
	return l.read()
}

// check returns an error if the layout is not that of an image within the limits. It sets strides that
// are not given.
func (l *layout) check(limits imageio.Limits) error {
	switch {
	case l.width <= 0 || l.height <= 0:
		return &imageError{fmt.Sprintf("image of %d×%d pixels: want sides above 0", l.width, l.height)}
	case l.channels != 1 && l.channels != 3 && l.channels != 4:
		return &imageError{fmt.Sprintf("image with channels %d: want 1 (gray), 3 (color) or 4 (color and alpha)", l.channels)}
	case l.order != C.PROPOSER_RGB && l.order != C.PROPOSER_BGR:
		return &imageError{fmt.Sprintf("image with channel_order %d: want PROPOSER_RGB (%d) or PROPOSER_BGR (%d)", l.order, C.PROPOSER_RGB, C.PROPOSER_BGR)}
	case l.pixels == nil:
		return &imageError{"image with pixels NULL: want a pointer to the first pixel"}
	}
	if err := limits.CheckSize(int64(l.width), int64(l.height)); err != nil {
		return err
	}
	if l.rowStride == 0 && l.pixelStride == 0 && l.channelStride == 0 {
		l.rowStride, l.pixelStride, l.channelStride = l.width*l.channels, l.channels, 1
	}
	if !l.inMemory() {
		return l.outside("want pixels within the memory of the process")
	}
	return nil
}

// page is the smallest address that can be that of a sample. A fault below it is not reported with its
// address.
const page = 4096

// inMemory reports whether the addresses of all samples can be computed without overflow.
func (l *layout) inMemory() bool {
	below, above := uint(0), uint(0) // bytes before and after the first sample
	for _, axis := range [][2]int{{l.height, l.rowStride}, {l.width, l.pixelStride}, {l.channels, l.channelStride}} {
		to, stride := &above, uint(axis[1])
		if axis[1] < 0 {
			to, stride = &below, -stride
		}
		high, low := bits.Mul(uint(axis[0]-1), stride)
		sum, carry := bits.Add(*to, low, 0)
		if high != 0 || carry != 0 || sum > math.MaxInt {
			return false
		}
		*to = sum
	}
	first := uint(uintptr(l.pixels))
	_, carry := bits.Add(first, above, 0)
	return below+page <= first && carry == 0
}

// outside returns the error of strides that lead outside of the image.
func (l *layout) outside(text string) error {
	return &imageError{fmt.Sprintf("image of %d×%d pixels with strides of %d, %d and %d bytes: %s",
		l.width, l.height, l.rowStride, l.pixelStride, l.channelStride, text)}
}

// exists runs read, which reads memory of the caller, and reports whether that memory exists.
func exists(read func()) (ok bool) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		p := recover()
		if _, fault := p.(interface{ Addr() uintptr }); !fault && p != nil {
			panic(p)
		}
	}()
	read()
	return true
}

// read copies the pixels to an image in RGB or Gray.
func (l *layout) read() (*raster.Image, error) {
	img := images.Get().(*raster.Image)
	// Strides that lead outside of the image mostly lead to memory that does not exist.
	if !exists(func() { l.readTo(img) }) {
		return nil, l.outside("its pixels are not in the memory of the process")
	}
	return img, nil
}

// readTo copies the pixels to img, whose memory it reuses.
func (l *layout) readTo(img *raster.Image) {
	img.Width, img.Height, img.Space = l.width, l.height, raster.RGB
	if l.channels == 1 {
		img.Space = raster.Gray
	}
	img.Pix = freelist.Resize(img.Pix, img.Space.Planes()*l.width*l.height)
	if l.channels == 1 || l.channels == 3 && l.pixelStride == 1 {
		for c := range img.Space.Planes() {
			l.readPlane(img.Plane(l.plane(c)), c)
		}
		return
	}
	red, green, blue := img.Plane(l.plane(0)), img.Plane(1), img.Plane(l.plane(2))
	for y := range l.height {
		row := unsafe.Add(l.pixels, y*l.rowStride)
		r := red[y*l.width:][:l.width]
		g := green[y*l.width:][:l.width]
		b := blue[y*l.width:][:l.width]
		if l.channels == 4 {
			l.readRowOverWhite(r, g, b, row)
		} else {
			l.readRow(r, g, b, row)
		}
	}
}

// images are the images that recycle was given.
var images = sync.Pool{New: func() any { return new(raster.Image) }}

// maxRecycledPixels is the size of the largest images that are reused.
const maxRecycledPixels = 4 << 20

// recycle reuses the memory of an image of readImage, to which no reference may be left.
func recycle(img *raster.Image) {
	if img.Width*img.Height <= maxRecycledPixels {
		images.Put(img)
	}
}

// plane returns the plane of a channel.
func (l *layout) plane(channel int) int {
	if l.order == C.PROPOSER_BGR && l.channels > 1 {
		return 2 - channel
	}
	return channel
}

// readPlane copies the samples of a channel.
func (l *layout) readPlane(dst []uint8, channel int) {
	plane := unsafe.Add(l.pixels, channel*l.channelStride)
	for y := range l.height {
		row := unsafe.Add(plane, y*l.rowStride)
		d := dst[y*l.width:][:l.width]
		if l.pixelStride == 1 {
			copy(d, unsafe.Slice((*uint8)(row), l.width))
			continue
		}
		for x := range d {
			d[x] = *(*uint8)(unsafe.Add(row, x*l.pixelStride))
		}
	}
}

// readRow copies a row of three channels.
func (l *layout) readRow(r, g, b []uint8, row unsafe.Pointer) {
	channel := l.channelStride
	switch {
	case l.pixelStride == 3 && channel == 1:
		kernels.Split3(r, g, b, unsafe.Slice((*uint8)(row), 3*len(r)))
		return
	case l.pixelStride == 3 && channel == -1:
		kernels.Split3(b, g, r, unsafe.Slice((*uint8)(unsafe.Add(row, -2)), 3*len(r)))
		return
	}
	g, b = g[:len(r)], b[:len(r)]
	for x := range r {
		p := unsafe.Add(row, x*l.pixelStride)
		r[x] = *(*uint8)(p)
		g[x] = *(*uint8)(unsafe.Add(p, channel))
		b[x] = *(*uint8)(unsafe.Add(p, 2*channel))
	}
}

// readRowOverWhite copies a row of three channels and alpha, composited over white and rounded to the
// nearest sample, as the decoders do.
func (l *layout) readRowOverWhite(r, g, b []uint8, row unsafe.Pointer) {
	channel := l.channelStride
	g, b = g[:len(r)], b[:len(r)]
	for x := range r {
		p := unsafe.Add(row, x*l.pixelStride)
		red, green, blue := *(*uint8)(p), *(*uint8)(unsafe.Add(p, channel)), *(*uint8)(unsafe.Add(p, 2*channel))
		if alpha := uint32(*(*uint8)(unsafe.Add(p, 3*channel))); alpha != 255 {
			white := 255*(255-alpha) + 127
			red = uint8((uint32(red)*alpha + white) / 255)
			green = uint8((uint32(green)*alpha + white) / 255)
			blue = uint8((uint32(blue)*alpha + white) / 255)
		}
		r[x], g[x], b[x] = red, green, blue
	}
}

// readFile copies the bytes of an encoded image.
func readFile(data unsafe.Pointer, size uint64, limits imageio.Limits) (file []byte, err error) {
	if limit := limits.WithDefaults().MaxBytes; size > uint64(limit) {
		return nil, &imageio.LimitError{What: "bytes", Got: int64(min(size, math.MaxInt64)), Max: limit}
	}
	if data == nil && size > 0 {
		return nil, &imageError{"data: NULL, want a pointer to the bytes of an image file"}
	}
	// Nobody can change the copy after its header has been checked.
	if !exists(func() { file = slices.Clone(unsafe.Slice((*byte)(data), size)) }) {
		return nil, &imageError{fmt.Sprintf("data of %d bytes: they are not in the memory of the process", size)}
	}
	return file, nil
}
