//go:build cgo && gocv_specific_modules

package imageio

import (
	"bytes"

	"github.com/proposer/proposer/internal/jpeg"
	"github.com/proposer/proposer/raster"
	"gocv.io/x/gocv"
)

// Decoder returns the name of the decoder of pixels in this build: opencv and its version, or go.
func Decoder() string { return "opencv " + gocv.OpenCVVersion() }

func decodePixels(data []byte, h Header) (*raster.Image, error) {
	flags := gocv.IMReadUnchanged // keeps alpha, and ignores the orientation
	switch {
	case h.Format == "jpeg":
		// OpenCV shows damaged codes as gray.
		if err := jpeg.Check(data); err != nil {
			return nil, h.jpegError(err)
		}
		flags = gocv.IMReadIgnoreOrientation
		if h.Gray {
			flags |= gocv.IMReadGrayScale
		} else {
			flags |= gocv.IMReadColor // converts CMYK to BGR
		}
	case h.Format == "webp" && len(data) < minWebP:
		data = append(bytes.Clone(data), make([]byte, minWebP-len(data))...)
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
	switch mat.Type() {
	case gocv.MatTypeCV8UC1, gocv.MatTypeCV8UC3, gocv.MatTypeCV8UC4:
	default:
		return nil, h.broken("decoded to %v", mat.Type())
	}
	pix, err := mat.DataPtrUint8()
	if err != nil {
		return nil, h.broken("%w", err)
	}
	img := h.newImage()
	writeRows(img, pix, rowLayout{channels: mat.Channels(), bgr: true, opaque: !h.Alpha, grayKey: -1})
	return img, nil
}

// minWebP is the least number of bytes of a file that OpenCV recognizes as WebP. It ignores those
// behind the end.
const minWebP = 32
