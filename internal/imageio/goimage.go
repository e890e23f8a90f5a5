//go:build !cgo || !gocv_specific_modules

package imageio

import (
	"bytes"
	"image"

	"github.com/proposer/proposer/internal/jpeg"
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
	if h.Format == "webp" {
		return h.decodeWebP(data)
	}
	return h.decodeJPEG(data)
}

// decodeJPEG decodes a JPEG file to the pixels that OpenCV makes of it with libjpeg-turbo.
func (h *Header) decodeJPEG(data []byte) (*raster.Image, error) {
	m, err := jpeg.Decode(data)
	if err != nil {
		return nil, h.jpegError(err)
	}
	if err := h.checkSize(m.Width, m.Height); err != nil {
		return nil, err
	}
	img := h.newImage()
	var components []*ycbcr.Upsampler
	for _, c := range m.Components {
		components = append(components, ycbcr.NewUpsampler(ycbcr.Plane(c), m.Width, m.Height))
	}
	for y := range h.Height {
		var row [4][]uint8
		for i, c := range components {
			row[i] = c.Row(y)
		}
		h.writeJPEGRow(img, y, row, m.Color)
	}
	return img, nil
}

// writeJPEGRow writes row y of a JPEG file to the planes of img.
func (h *Header) writeJPEGRow(img *raster.Image, y int, row [4][]uint8, color jpeg.Color) {
	var dst [3][]uint8
	for p := range img.Space.Planes() {
		dst[p] = img.Plane(p)[y*h.Width:][:h.Width]
	}
	if color == jpeg.YCbCr || color == jpeg.YCCK {
		ycbcr.Convert(dst[0], dst[1], dst[2], row[0], row[1], row[2])
	} else {
		for p := range img.Space.Planes() {
			copy(dst[p], row[p])
		}
	}
	if row[3] == nil {
		return
	}
	for p := range dst {
		for x, k := range row[3] { // as OpenCV, with 8 bits
			ink := dst[p][x]
			if color == jpeg.CMYK {
				ink = 255 - ink
			}
			dst[p][x] = k - uint8(uint16(ink)*uint16(k)>>8)
		}
	}
}

// decodeWebP decodes a WebP file to the pixels that libwebp makes of it.
func (h *Header) decodeWebP(data []byte) (*raster.Image, error) {
	m, err := webp.Decode(bytes.NewReader(data))
	if err != nil {
		return nil, h.broken("%w", err)
	}
	if err := h.checkSize(m.Bounds().Dx(), m.Bounds().Dy()); err != nil {
		return nil, err
	}
	img := h.newImage()
	switch m := m.(type) {
	case *image.NRGBA: // lossless
		writeRows(img, m.Pix, rowLayout{channels: 4, opaque: !h.Alpha, grayKey: -1})
	case *image.YCbCr:
		ycbcr.WebP(img.Plane(0), img.Plane(1), img.Plane(2), m)
	case *image.NYCbCrA:
		ycbcr.WebP(img.Plane(0), img.Plane(1), img.Plane(2), &m.YCbCr)
		if h.Alpha {
			overWhitePlanes(img, m)
		}
	default:
		return nil, h.broken("decoded to %T", m)
	}
	return img, nil
}

// overWhitePlanes composites the planes of img with the alpha of m over white.
func overWhitePlanes(img *raster.Image, m *image.NYCbCrA) {
	w := img.Width
	for p := range 3 {
		for y := range img.Height {
			row := img.Plane(p)[y*w:][:w]
			for x, a := range m.A[y*m.AStride:][:w] {
				row[x] = overWhite(row[x], a, false)
			}
		}
	}
}
