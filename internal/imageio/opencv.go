//go:build cgo && gocv_specific_modules

package imageio

import (
	"bytes"

	"github.com/proposer/proposer/raster"
	"gocv.io/x/gocv"
)

// Decoder returns the name of the decoder of pixels in this build: opencv and its version, or go.
func Decoder() string { return "opencv " + gocv.OpenCVVersion() }

func decodePixels(data []byte, h Header) (*raster.Image, error) {
	flags := gocv.IMReadUnchanged // keeps alpha and 16 bits, and ignores the orientation
	switch {
	case h.Format == "jpeg" && h.Gray:
		flags = gocv.IMReadGrayScale | gocv.IMReadIgnoreOrientation
	case h.Format == "jpeg":
		flags = gocv.IMReadColor | gocv.IMReadIgnoreOrientation // converts CMYK to BGR
	case h.Format == "tiff":
		data = h.withoutOrientation(data)
	}

	mat := gocv.NewMat()
	defer mat.Close()
	// Not IMDecode, which reports errors in a global variable.
	if err := gocv.IMDecodeIntoMat(data, flags, &mat); err != nil {
		return nil, h.broken("%w", err)
	}
	if mat.Empty() {
		return nil, h.broken("the pixels cannot be decoded")
	}
	if err := h.checkSize(mat.Cols(), mat.Rows()); err != nil {
		return nil, err
	}
	l := rowLayout{channels: mat.Channels(), bgr: true, premultiplied: h.premultiplied, opaque: !h.Alpha, grayKey: h.grayKey}
	img := h.newImage()
	switch mat.Type() {
	case gocv.MatTypeCV8UC1, gocv.MatTypeCV8UC3, gocv.MatTypeCV8UC4:
		l.premultiplied = h.Format == "tiff" // by libtiff
		if h.Depth < 8 && l.grayKey >= 0 {   // the decoder has scaled the samples to 8 bits
			l.grayKey *= 255 / (1<<h.Depth - 1)
		}
		pix, err := mat.DataPtrUint8()
		if err != nil {
			return nil, h.broken("%w", err)
		}
		spread(img, pix, l)
	case gocv.MatTypeCV16UC1, gocv.MatTypeCV16UC3, gocv.MatTypeCV16UC4:
		l.invert = h.whiteIsZero // with 8 bits the decoder inverts
		pix, err := mat.DataPtrUint16()
		if err != nil {
			return nil, h.broken("%w", err)
		}
		spread(img, pix, l)
	default:
		return nil, h.broken("decoded to %v", mat.Type())
	}
	return img, nil
}

func spread[T uint8 | uint16](img *raster.Image, pix []T, l rowLayout) {
	stride := img.Width * l.channels
	for y := range img.Height {
		writeRow(img, y, pix[y*stride:][:stride], l)
	}
}

// withoutOrientation returns a TIFF file without its orientation, which OpenCV would apply
// regardless of the flags.
func (h *Header) withoutOrientation(data []byte) []byte {
	if h.orientationAt == 0 {
		return data
	}
	entry := []byte{3, 0, 1, 0, 0, 0, 1, 0, 0, 0} // SHORT, one value, 1
	if data[0] == 'M' {
		entry = []byte{0, 3, 0, 0, 0, 1, 0, 1, 0, 0}
	}
	data = bytes.Clone(data)
	copy(data[h.orientationAt+2:], entry)
	return data
}
