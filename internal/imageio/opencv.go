//go:build cgo && gocv_specific_modules

package imageio

import (
	"bytes"

	"github.com/proposer/proposer/raster"
	"gocv.io/x/gocv"
)

// Decoder returns the name of the decoder of pixels in this build: opencv and its version, or go.
func Decoder() string { return "opencv " + gocv.OpenCVVersion() }

func decodePixels(data []byte, h Header, depth Depth) (*raster.Image, *LowRange, error) {
	flags := gocv.IMReadUnchanged // keeps alpha and 16 bits, and ignores the orientation
	switch {
	case h.Format == "bmp":
		return h.decodeBMP(data), nil, nil
	case h.Format == "tiff":
		return h.decodeTIFF(depth)
	case h.Format == "jpeg" && h.Gray:
		flags = gocv.IMReadGrayScale | gocv.IMReadIgnoreOrientation
	case h.Format == "jpeg":
		flags = gocv.IMReadColor | gocv.IMReadIgnoreOrientation // converts CMYK to BGR
	case h.Format == "webp" && len(data) < minWebP:
		data = append(bytes.Clone(data), make([]byte, minWebP-len(data))...)
	}

	mat := gocv.NewMat()
	defer mat.Close()
	// Not IMDecode, which reports errors in a global variable.
	if err := gocv.IMDecodeIntoMat(data, flags, &mat); err != nil {
		return nil, nil, h.broken("%w", err)
	}
	if mat.Empty() {
		return nil, nil, h.broken("the pixels cannot be decoded")
	}
	if err := h.checkSize(mat.Cols(), mat.Rows()); err != nil {
		return nil, nil, err
	}
	l := rowLayout{channels: mat.Channels(), bgr: true, opaque: !h.Alpha, grayKey: h.grayKey}
	img := h.newImage()
	switch mat.Type() {
	case gocv.MatTypeCV8UC1, gocv.MatTypeCV8UC3, gocv.MatTypeCV8UC4:
		if h.Depth < 8 && l.grayKey >= 0 { // the decoder has scaled the samples to 8 bits
			l.grayKey *= 255 / (1<<h.Depth - 1)
		}
		pix, err := mat.DataPtrUint8()
		if err != nil {
			return nil, nil, h.broken("%w", err)
		}
		writeRows(img, pix, l)
	case gocv.MatTypeCV16UC1, gocv.MatTypeCV16UC3, gocv.MatTypeCV16UC4:
		pix, err := mat.DataPtrUint16()
		if err != nil {
			return nil, nil, h.broken("%w", err)
		}
		stride := h.Width * l.channels
		low, err := writeRows16(img, func(y int) []uint16 { return pix[y*stride:][:stride] }, l, depth)
		return img, low, err
	default:
		return nil, nil, h.broken("decoded to %v", mat.Type())
	}
	return img, nil, nil
}

// minWebP is the least number of bytes of a file that OpenCV recognizes as WebP. It ignores those
// behind the end.
const minWebP = 32
