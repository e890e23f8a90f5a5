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
	if err := h.checkSize(m.Planes.Rect.Dx(), m.Planes.Rect.Dy()); err != nil {
		return nil, err
	}
	img := h.newImage()
	if m.Color == jpeg.Gray {
		for y := range h.Height {
			copy(img.Pix[y*h.Width:][:h.Width], m.Planes.Y[y*m.Planes.YStride:])
		}
		return img, nil
	}
	if m.Color == jpeg.YCbCr || m.Color == jpeg.YCCK {
		ycbcr.JPEG(img.Plane(0), img.Plane(1), img.Plane(2), &m.Planes)
	} else {
		ycbcr.Upsample(img.Plane(0), img.Plane(1), img.Plane(2), &m.Planes)
	}
	if m.Fourth == nil {
		return img, nil
	}
	for p := range 3 {
		for y := range h.Height {
			row := img.Plane(p)[y*h.Width:][:h.Width]
			for x, k := range m.Fourth[y*m.Planes.YStride:][:h.Width] {
				white := row[x]
				if m.Color == jpeg.CMYK {
					white = 255 - white
				}
				row[x] = k - uint8(uint16(white)*uint16(k)>>8)
			}
		}
	}
	return img, nil
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
