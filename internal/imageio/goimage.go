//go:build !cgo || !gocv_specific_modules

package imageio

import (
	"bytes"
	"errors"
	"image"
	"image/jpeg"
	"math"

	"github.com/proposer/proposer/internal/ycbcr"
	"github.com/proposer/proposer/raster"
	"golang.org/x/image/webp"
)

// Decoder returns the name of the decoder of pixels in this build: opencv and its version, or go.
func Decoder() string { return "go" }

func decodePixels(data []byte, h Header) (img *raster.Image, err error) {
	// The decoders of x/image have panicked on hostile files before; one image
	// must not end the process.
	defer func() {
		if p := recover(); p != nil {
			img, err = nil, h.broken("the decoder panics: %v", p)
		}
	}()
	r := bytes.NewReader(data)
	var m image.Image
	if h.Format == "webp" {
		m, err = webp.Decode(r)
	} else {
		m, err = jpeg.Decode(r)
	}
	if err != nil {
		return nil, h.goError(err)
	}
	if err := h.checkSize(m.Bounds().Dx(), m.Bounds().Dy()); err != nil {
		return nil, err
	}
	if h.Format == "webp" {
		return h.webpToRaster(m), nil
	}
	return h.toRaster(m), nil
}

// goError returns the error of this package for a decoder's error.
func (h *Header) goError(err error) error {
	var j jpeg.UnsupportedError
	if errors.As(err, &j) {
		return h.unsupported("%v", err)
	}
	return h.broken("%w", err)
}

// stripRows is the number of rows that toRaster converts at a time, to need little memory.
const stripRows = 64

// toRaster converts a decoded image. The header decides whether it has one plane or three, and
// whether its alpha counts, as decoders have more general types than necessary.
func (h *Header) toRaster(m image.Image) *raster.Image {
	if m, ok := m.(*image.YCbCr); ok {
		return raster.FromImage(m)
	}
	if m, ok := m.(*image.NRGBA); ok && !h.Alpha {
		for i := 3; i < len(m.Pix); i += 4 {
			m.Pix[i] = math.MaxUint8
		}
	}
	img := h.newImage()
	bounds := m.Bounds()
	for y := 0; y < h.Height; y += stripRows {
		strip := bounds
		strip.Min.Y += y
		strip.Max.Y = min(strip.Min.Y+stripRows, bounds.Max.Y)
		part := m.(interface {
			SubImage(r image.Rectangle) image.Image
		}).SubImage(strip)
		from := raster.FromImage(part)
		for p := range img.Space.Planes() {
			// All planes of a gray image are equal.
			copy(img.Plane(p)[y*h.Width:], from.Plane(min(p, from.Space.Planes()-1)))
		}
	}
	return img
}

// webpToRaster converts a lossy frame of a WebP file as libwebp does, and others as toRaster does.
func (h *Header) webpToRaster(m image.Image) *raster.Image {
	var alpha *image.NYCbCrA
	planes, _ := m.(*image.YCbCr)
	if planes == nil {
		if alpha, _ = m.(*image.NYCbCrA); alpha == nil {
			return h.toRaster(m)
		}
		planes = &alpha.YCbCr
	}
	img := h.newImage()
	ycbcr.WebP(img.Plane(0), img.Plane(1), img.Plane(2), planes)
	if alpha == nil || !h.Alpha {
		return img
	}
	for p := range 3 {
		for y := range h.Height {
			row := img.Plane(p)[y*h.Width:][:h.Width]
			for x, a := range alpha.A[y*alpha.AStride:][:h.Width] {
				row[x] = overWhite(row[x], a, false)
			}
		}
	}
	return img
}
