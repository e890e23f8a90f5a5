//go:build !cgo || !gocv_specific_modules

package imageio

import (
	"bytes"
	"encoding/binary"
	"errors"
	"image"
	"image/color"
	"image/jpeg"
	"image/png"
	"math"

	"github.com/proposer/proposer/internal/ycbcr"
	"github.com/proposer/proposer/raster"
	"golang.org/x/image/webp"
)

// Decoder returns the name of the decoder of pixels in this build: opencv and its version, or go.
func Decoder() string { return "go" }

func decodePixels(data []byte, h Header, depth Depth) (img *raster.Image, low *LowRange, err error) {
	// The decoders of x/image have panicked on hostile files before; one image
	// must not end the process.
	defer func() {
		if p := recover(); p != nil {
			img, low, err = nil, nil, h.broken("the decoder panics: %v", p)
		}
	}()
	r := bytes.NewReader(data)
	var m image.Image
	switch h.Format {
	case "bmp":
		return h.decodeBMP(data), nil, nil
	case "tiff":
		return h.decodeTIFF(depth)
	case "jpeg":
		m, err = jpeg.Decode(r)
	case "png":
		m, err = png.Decode(r)
	case "webp":
		m, err = webp.Decode(r)
	}
	if err != nil {
		return nil, nil, h.goError(err)
	}
	if err := h.checkSize(m.Bounds().Dx(), m.Bounds().Dy()); err != nil {
		return nil, nil, err
	}
	if row, l := h.rows16(m); row != nil {
		img := h.newImage()
		low, err := writeRows16(img, row, l, depth)
		return img, low, err
	}
	if h.Format == "webp" {
		return h.webpToRaster(m), nil, nil
	}
	return h.toRaster(m), nil, nil
}

// rows16 returns the rows of an image of 16-bit samples, and nil for others. The result of a call is
// valid until the next one.
func (h *Header) rows16(m image.Image) (row func(y int) []uint16, l rowLayout) {
	l = rowLayout{channels: 4, opaque: !h.Alpha, grayKey: -1}
	var pix []uint8
	var stride int
	switch m := m.(type) {
	case *image.Gray16:
		pix, stride = m.Pix, m.Stride
		l.channels = 1
	case *image.NRGBA64:
		pix, stride = m.Pix, m.Stride
	case *image.RGBA64: // opaque, as PNG is not premultiplied
		pix, stride = m.Pix, m.Stride
	default:
		return nil, l
	}
	samples := make([]uint16, h.Width*l.channels)
	return func(y int) []uint16 {
		for i := range samples {
			samples[i] = binary.BigEndian.Uint16(pix[y*stride+2*i:])
		}
		return samples
	}, l
}

// goError returns the error of this package for a decoder's error.
func (h *Header) goError(err error) error {
	var j jpeg.UnsupportedError
	var p png.UnsupportedError
	if errors.As(err, &j) || errors.As(err, &p) {
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
	if !h.Alpha {
		dropAlpha(m)
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

// dropAlpha makes an image opaque without changing its colors.
func dropAlpha(m image.Image) {
	opaque := func(pix []uint8, pixel, alpha int) {
		for i := 0; i < len(pix); i += pixel {
			for j := i + pixel - alpha; j < i+pixel; j++ {
				pix[j] = math.MaxUint8
			}
		}
	}
	switch m := m.(type) {
	case *image.NRGBA:
		opaque(m.Pix, 4, 1)
	case *image.RGBA:
		opaque(m.Pix, 4, 1)
	case *image.NRGBA64:
		opaque(m.Pix, 8, 2)
	case *image.RGBA64:
		opaque(m.Pix, 8, 2)
	case *image.Paletted:
		for i, c := range m.Palette {
			n := color.NRGBAModel.Convert(c).(color.NRGBA)
			n.A = math.MaxUint8
			m.Palette[i] = n
		}
	}
}
