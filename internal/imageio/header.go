package imageio

import (
	"bytes"

	"github.com/proposer/proposer/raster"
)

// A Header describes an image without its pixels.
type Header struct {
	Format        string // "jpeg", "png", "webp", "gif", "bmp" or "tiff"
	Width, Height int    // as stored: orientations 5 to 8 exchange them
	Orientation   int    // EXIF 1..8; 1 if there is none
	Depth         int    // bits per sample; of the indices if there is a palette
	Gray          bool   // one channel, possibly with alpha
	Alpha         bool   // pixels can be transparent

	limits Limits

	// For the decoders.
	whiteIsZero   bool // TIFF
	premultiplied bool // TIFF
	gif           *gifFrame
	webp          *webpFrame // nil if the file has no canvas
	png           *pngFormat
	bmp           *bmpFormat
	tiff          *tiffFormat
}

// Upright returns the image's size after its orientation is applied.
func (h Header) Upright() (width, height int) {
	if h.Orientation >= 5 {
		return h.Height, h.Width
	}
	return h.Width, h.Height
}

// Inspect reads the header of an image. It allocates no memory for pixels and reads a few bytes
// of each segment. Errors are those of [Decode]. [Decode] can still fail after Inspect succeeds.
func Inspect(data []byte, lim Limits) (Header, error) {
	h := Header{Orientation: 1, Depth: 8, limits: lim.WithDefaults()}
	if n := int64(len(data)); n > h.limits.MaxBytes {
		return Header{}, &LimitError{What: "bytes", Got: n, Max: h.limits.MaxBytes}
	}
	hasPrefix := func(magic string) bool { return bytes.HasPrefix(data, []byte(magic)) }
	var parse func([]byte) error
	switch {
	case hasPrefix(jpegMagic):
		h.Format, parse = "jpeg", h.parseJPEG
	case hasPrefix(pngMagic):
		h.Format, parse = "png", h.parsePNG
	case hasPrefix("RIFF") && len(data) >= 12 && string(data[8:12]) == "WEBP":
		h.Format, parse = "webp", h.parseWebP
	case hasPrefix(gifMagic87), hasPrefix(gifMagic89):
		h.Format, parse = "gif", h.parseGIF
	case hasPrefix("BM"):
		h.Format, parse = "bmp", h.parseBMP
	case hasPrefix(tiffMagicLittle), hasPrefix(tiffMagicBig):
		h.Format, parse = "tiff", h.parseTIFF
	default:
		return Header{}, unsupportedData(data)
	}
	if err := parse(data); err != nil {
		return Header{}, err
	}
	return h, nil
}

// setSize sets Width and Height if they are within the limits. Each parser calls it as soon as it
// knows them.
func (h *Header) setSize(width, height int64) error {
	if width <= 0 || height <= 0 {
		return h.broken("%d×%d pixels", width, height)
	}
	if err := h.limits.CheckSize(width, height); err != nil {
		return err
	}
	h.Width, h.Height = int(width), int(height)
	return nil
}

// checkDataSize returns an error if a file of n bytes cannot encode need bytes of samples at the
// format's best compression ratio. A short file can therefore not use much memory.
func (h *Header) checkDataSize(n int, need, ratio int64) error {
	if need > int64(n)*ratio {
		return h.broken("%d bytes cannot hold %d×%d pixels", n, h.Width, h.Height)
	}
	return nil
}

// checkSize returns an error if the decoder's size is not the header's.
func (h *Header) checkSize(width, height int) error {
	if width != h.Width || height != h.Height {
		return h.broken("%d×%d pixels, the header says %d×%d", width, height, h.Width, h.Height)
	}
	return nil
}

func (h *Header) newImage() *raster.Image {
	if h.Gray {
		return raster.New(raster.Gray, h.Width, h.Height)
	}
	return raster.New(raster.RGB, h.Width, h.Height)
}

func (h *Header) broken(msg string, args ...any) error { return broken(h.Format, msg, args...) }

func (h *Header) unsupported(msg string, args ...any) error {
	return unsupported(h.Format, msg, args...)
}
