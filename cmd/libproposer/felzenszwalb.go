package main

/*
#include "proposer.h"
*/
import "C"

import (
	"context"
	"fmt"
	"math"
	"sync"
	"unsafe"

	"github.com/proposer/proposer/internal/freelist"
	"github.com/proposer/proposer/internal/imageio"
	"github.com/proposer/proposer/segment/felzenszwalb"
)

//export goFelzenszwalb
func goFelzenszwalb(
	samples *C.proposer_samples, scale, sigma C.double, minSize C.int64_t, kernel *C.double, kernelSize, threads C.int32_t,
	token C.uintptr_t, result **C.proposer_labels,
) C.int {
	return call(token, result, func(ctx context.Context) (*C.proposer_labels, error) {
		opts := felzenszwalb.Options{Scale: float64(scale), Sigma: float64(sigma), MinSize: int(minSize)}
		if !(opts.Sigma >= 0 && opts.Sigma <= felzenszwalb.MaxSigma) {
			return nil, &argumentError{fmt.Sprintf("sigma %v: want a number from 0 to %v", opts.Sigma, felzenszwalb.MaxSigma)}
		}
		if math.IsNaN(opts.Scale) {
			return nil, &argumentError{"scale NaN: want a number"}
		}
		if kernel != nil {
			if n, most := int(kernelSize), 4*felzenszwalb.MaxSigma+1; n < 1 || n > most {
				return nil, &argumentError{fmt.Sprintf("kernel_size %d: want 1 to %d", n, most)}
			}
			opts.Kernel = unsafe.Slice((*float64)(kernel), int(kernelSize))
		}
		return segmentSamples(ctx, samples, opts, threads)
	})
}

// segmentSamples segments an image of C.
func segmentSamples(
	ctx context.Context, samples *C.proposer_samples, opts felzenszwalb.Options, threads C.int32_t,
) (*C.proposer_labels, error) {
	if threads < 0 {
		return nil, &argumentError{fmt.Sprintf("threads %d: want 0 or more", threads)}
	}
	opts.Threads = min(int(threads), maxThreads)
	if samples == nil {
		return nil, &imageError{"image: NULL, want a pointer to an image"}
	}
	l := sampleLayout{kind: int(samples._type), layout: layout{
		pixels: samples.samples,
		width:  int(samples.width), height: int(samples.height), channels: int(samples.channels),
		rowStride: int(samples.row_stride), pixelStride: int(samples.pixel_stride), channelStride: int(samples.channel_stride),
	}}
	if err := l.check(); err != nil {
		return nil, err
	}
	f := segmenters.Get().(*felzenszwalbLabels)
	labels, err := f.segment(ctx, &l, opts)
	if l.width*l.height <= maxRecycledPixels/4 { // at up to 250 bytes per pixel
		segmenters.Put(f)
	}
	return labels, err
}

// A felzenszwalbLabels is reusable memory of goFelzenszwalb.
type felzenszwalbLabels struct {
	segmenter felzenszwalb.Segmenter
	labels    []int32
}

var segmenters = sync.Pool{New: func() any { return new(felzenszwalbLabels) }}

// segment segments an image.
func (f *felzenszwalbLabels) segment(
	ctx context.Context, l *sampleLayout, opts felzenszwalb.Options,
) (*C.proposer_labels, error) {
	f.labels = freelist.Resize(f.labels, l.width*l.height)
	img := &felzenszwalb.Image{Width: l.width, Height: l.height, Channels: l.channels, Row: l.row}
	var n int
	var err error
	if !exists(func() { n, err = f.segmenter.Segment(ctx, f.labels, img, opts) }) {
		return nil, l.outside("its pixels are not in the memory of the process")
	}
	if err != nil {
		return nil, err
	}
	return labelsInC(l.width, l.height, n, f.labels, "")
}

// A sampleLayout is a proposer_samples.
type sampleLayout struct {
	layout
	kind int // the type of the samples
}

// maxThreads is the largest number of threads, as in the options.
const maxThreads = 1024

// maxChannels is the largest number of channels of a proposer_samples.
const maxChannels = 1024

// check returns an error if the layout is not that of an image within the limits. It sets strides that
// are not given.
func (l *sampleLayout) check() error {
	size := map[int]int{C.PROPOSER_UINT8: 1, C.PROPOSER_FLOAT64: 8}[l.kind]
	switch {
	case size == 0:
		return &imageError{fmt.Sprintf("image with type %d: want PROPOSER_UINT8 (%d) or PROPOSER_FLOAT64 (%d)",
			l.kind, C.PROPOSER_UINT8, C.PROPOSER_FLOAT64)}
	case l.width <= 0 || l.height <= 0:
		return &imageError{fmt.Sprintf("image of %d×%d pixels: want sides above 0", l.width, l.height)}
	case l.channels < 1 || l.channels > maxChannels:
		return &imageError{fmt.Sprintf("image with channels %d: want 1 to %d", l.channels, maxChannels)}
	case l.pixels == nil:
		return &imageError{"image with samples NULL: want a pointer to the first sample"}
	}
	if err := (imageio.Limits{}).CheckSize(int64(l.width), int64(l.height)); err != nil {
		return err
	}
	if l.rowStride == 0 && l.pixelStride == 0 && l.channelStride == 0 {
		l.rowStride, l.pixelStride, l.channelStride = size*l.width*l.channels, size*l.channels, size
	}
	if !l.inMemory() {
		return l.outside("want pixels within the memory of the process")
	}
	return nil
}

// unitLevels are the bytes as numbers from 0 to 1, as skimage.img_as_float64 converts them.
var unitLevels = func() (levels [256]float64) {
	step := 1 / 255.
	for i := range levels {
		levels[i] = float64(i) * step
	}
	return levels
}()

// row reads a row of a channel.
func (l *sampleLayout) row(dst []float64, channel, y int) {
	p := unsafe.Add(l.pixels, y*l.rowStride+channel*l.channelStride)
	if l.kind == C.PROPOSER_UINT8 {
		for x := range dst {
			dst[x] = unitLevels[*(*uint8)(unsafe.Add(p, x*l.pixelStride))]
		}
		return
	}
	for x := range dst {
		dst[x] = *(*float64)(unsafe.Add(p, x*l.pixelStride))
	}
}
