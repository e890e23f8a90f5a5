//go:build !cgo || !gocv_specific_modules

package imageio

import (
	"bytes"
	"errors"
	"image"
	"image/color"
	"image/draw"
	"image/jpeg"
	"image/png"

	"github.com/proposer/proposer/raster"
	"golang.org/x/image/bmp"
	"golang.org/x/image/tiff"
	"golang.org/x/image/webp"
)

// Decoder names what decodes the pixels in this build.
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
	switch h.Format {
	case "jpeg":
		m, err = jpeg.Decode(r)
	case "png":
		m, err = png.Decode(r)
	case "webp":
		m, err = webp.Decode(r)
	case "bmp":
		m, err = bmp.Decode(r)
	case "tiff":
		m, err = tiff.Decode(r)
	}
	if err != nil {
		return nil, h.goError(err)
	}
	if err := h.checkSize(m.Bounds().Dx(), m.Bounds().Dy()); err != nil {
		return nil, err
	}
	img = h.newImage()
	h.spread(img, m)
	return img, nil
}

// goError sorts a decoder's error into the variants it does not know and the files
// that are broken.
func (h *Header) goError(err error) error {
	var j jpeg.UnsupportedError
	var p png.UnsupportedError
	var t tiff.UnsupportedError
	if errors.As(err, &j) || errors.As(err, &p) || errors.As(err, &t) || errors.Is(err, bmp.ErrUnsupported) {
		return h.unsupported("%v", err)
	}
	return h.broken("%w", err)
}

func (h *Header) spread(img *raster.Image, m image.Image) {
	l := rowLayout{channels: 4, opaque: !h.Alpha, grayKey: -1}
	switch m := m.(type) {
	case *image.Gray:
		l.channels = 1
		rows(img, m.Pix, m.Stride, l)
	case *image.NRGBA:
		rows(img, m.Pix, m.Stride, l)
	case *image.RGBA:
		l.premultiplied = true
		rows(img, m.Pix, m.Stride, l)
	case *image.Gray16:
		l.channels = 1
		rows16(img, m.Pix, m.Stride, l)
	case *image.NRGBA64:
		rows16(img, m.Pix, m.Stride, l)
	case *image.RGBA64:
		l.premultiplied = true
		rows16(img, m.Pix, m.Stride, l)
	case *image.Paletted:
		var table [256][4]uint8
		for i, c := range m.Palette {
			n := color.NRGBAModel.Convert(c).(color.NRGBA)
			table[i] = [4]uint8{n.R, n.G, n.B, n.A}
		}
		row := make([]uint8, 4*img.Width)
		for y := range img.Height {
			for x, i := range m.Pix[y*m.Stride:][:img.Width] {
				copy(row[4*x:], table[i][:])
			}
			writeRow(img, y, row, l)
		}
	case *image.YCbCr:
		h.ycbcr(img, m, nil, 0, l)
	case *image.NYCbCrA:
		h.ycbcr(img, &m.YCbCr, m.A, m.AStride, l)
	default: // CMYK
		row := image.NewRGBA(image.Rect(0, 0, img.Width, 1))
		for y := range img.Height {
			draw.Draw(row, row.Rect, m, m.Bounds().Min.Add(image.Pt(0, y)), draw.Src)
			writeRow(img, y, row.Pix, l)
		}
	}
}

// ycbcr converts JPEG's full range through image/draw. WebP's is that of video,
// Y in 16..235 and colors in 16..240 (ITU-R BT.601), which package image does not
// know.
func (h *Header) ycbcr(img *raster.Image, m *image.YCbCr, alpha []uint8, alphaStride int, l rowLayout) {
	row := image.NewRGBA(image.Rect(0, 0, img.Width, 1))
	for y := range img.Height {
		if h.Format == "webp" {
			for x := range img.Width {
				c := m.COffset(x, y)
				luma, u, v := 298*(int32(m.Y[m.YOffset(x, y)])-16), int32(m.Cb[c])-128, int32(m.Cr[c])-128
				p := row.Pix[4*x:][:3]
				p[0] = clamp8((luma + 409*v + 128) >> 8)
				p[1] = clamp8((luma - 100*u - 208*v + 128) >> 8)
				p[2] = clamp8((luma + 516*u + 128) >> 8)
			}
		} else {
			draw.Draw(row, row.Rect, m, image.Pt(m.Rect.Min.X, m.Rect.Min.Y+y), draw.Src)
		}
		if alpha != nil {
			for x, v := range alpha[y*alphaStride:][:img.Width] {
				row.Pix[4*x+3] = v
			}
		}
		writeRow(img, y, row.Pix, l)
	}
}

func clamp8(v int32) uint8 { return uint8(min(max(v, 0), 255)) }

func rows(img *raster.Image, pix []uint8, stride int, l rowLayout) {
	for y := range img.Height {
		writeRow(img, y, pix[y*stride:][:img.Width*l.channels], l)
	}
}

// rows16 is rows for samples of 16 bits, the higher byte first.
func rows16(img *raster.Image, pix []uint8, stride int, l rowLayout) {
	row := make([]uint16, img.Width*l.channels)
	for y := range img.Height {
		for i := range row {
			row[i] = uint16(pix[y*stride+2*i])<<8 | uint16(pix[y*stride+2*i+1])
		}
		writeRow(img, y, row, l)
	}
}
