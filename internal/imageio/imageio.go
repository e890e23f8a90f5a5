// Package imageio decodes image files to planar images, and draws boxes on images. It is the only
// package that uses OpenCV.
//
// # Formats
//
//   - JPEG: baseline, extended and progressive with 8 bits; gray, YCbCr, RGB, and Adobe's CMYK and
//     YCCK.
//   - PNG: everything; of an animation the still image.
//   - WebP: lossy and lossless; of an animation the first frame.
//   - GIF: the first image, as wide and high as the screen. What it does not cover is transparent.
//   - BMP: uncompressed with any masks, and runs of 4 or 8 bits that skip no pixel.
//   - TIFF: the first page, unless it is a preview of another one; gray of 1, 2, 4, 8 or 16 bits,
//     palettes of up to 8, RGB of 8 or 16, gray and RGB with alpha or a sample that is ignored,
//     unsigned; uncompressed, PackBits, LZW, Deflate, CCITT. Of repeated tags the first one counts,
//     as in libtiff.
//
// The format is detected from the first bytes, not from a name. Everything else is
// [ErrUnsupported], including formats that OpenCV can read (HDR, EXR, PNM, JPEG 2000, big and
// floating-point TIFF): every decoder that untrusted bytes can reach is a risk, and these formats
// are rarely photographs.
//
// # Pixels
//
// Gray files give one plane, all others R, G and B. Samples of 16 bits are rounded to 8, see
// [Depth]. Samples of fewer bits are scaled to 0 to 255. Transparent pixels are composited over
// white. The EXIF orientation is applied, and of PNG without one that in XMP. A truncated file is an
// error, even if a decoder would fill the rest with gray.
//
// ICC profiles and the color chunks of PNG are ignored, as OpenCV and Pillow ignore them, so that a search
// reads the samples that a detector reads. The effect is small: photographs that were encoded as Display P3 or
// Adobe RGB had an AR of .463 or .466 instead of .468 (mode fast, 1,000 boxes, 150 images of COCO). A
// conversion to Display P3 and back, which only rounds, gave .471.
//
// # Builds
//
// With cgo and the build tag gocv_specific_modules OpenCV decodes the pixels of JPEG and WebP, else
// package jpeg and Go's decoder of WebP do, with conversion of package ycbcr; see [Decoder]. PNG, GIF,
// BMP, TIFF, headers, limits, orientation and shrinking are the same code in both builds. Pixels are
// equal: those of libjpeg-turbo, with its accurate inverse transform and interpolated chroma, and of
// libwebp. Exceptions are progressive JPEG files without their last scans, which libjpeg smooths. Both
// builds refuse the same files: package jpeg checks the codes of JPEG files for OpenCV, which would show
// damaged ones as gray.
//
// OpenCV's codecs print lines on standard error for some files, with texts of these files, which cannot be
// turned off; package cstderr captures them, with [WithObserver].
package imageio

import (
	"context"
	"fmt"
	"math"

	"github.com/proposer/proposer/box"
	"github.com/proposer/proposer/internal/boundedio"
	"github.com/proposer/proposer/raster"
)

// LimitError reports an image that is larger than its reader allows, by its unit: "bytes", "pixels",
// "pixels wide", "pixels high" or "pixels in a tile".
type LimitError = boundedio.LimitError

// A FormatError reports a broken image of a known format.
type FormatError struct {
	Format string // as in [Header]
	Err    error
}

func (e *FormatError) Error() string { return "broken " + e.Format + ": " + e.Err.Error() }

func (e *FormatError) Unwrap() error { return e.Err }

func broken(format, msg string, args ...any) error {
	return &FormatError{format, fmt.Errorf(msg, args...)}
}

// Limits bounds the images that are decoded. They are checked against the header, before memory is
// allocated for pixels. A field that is not positive means its default. [MaxLimits] applies to
// larger values.
type Limits struct {
	MaxBytes  int64 // size of the file; default 64 MiB
	MaxPixels int64 // width × height; default 50,000,000
	MaxSide   int   // width and height; default 65,535
}

// OpenCV counts bytes in int32, at up to 8 bytes per pixel, and does not read longer sides.
const (
	maxBytes  = math.MaxInt32
	maxPixels = math.MaxInt32 / 8
	maxSide   = 1 << 20
)

// WithDefaults returns the limits that [Decode] applies for l.
func (l Limits) WithDefaults() Limits {
	if l.MaxBytes <= 0 {
		l.MaxBytes = 64 << 20
	}
	if l.MaxPixels <= 0 {
		l.MaxPixels = 50_000_000
	}
	if l.MaxSide <= 0 {
		l.MaxSide = math.MaxUint16
	}
	l.MaxBytes = min(l.MaxBytes, maxBytes)
	l.MaxPixels = min(l.MaxPixels, maxPixels)
	l.MaxSide = min(l.MaxSide, maxSide)
	return l
}

// MaxLimits returns the largest supported limits: 2 GiB - 1, 268,435,455 pixels and a side of
// 1,048,576.
func MaxLimits() Limits {
	return Limits{MaxBytes: maxBytes, MaxPixels: maxPixels, MaxSide: maxSide}
}

// DefaultLimits returns the limits that the zero Limits stands for.
func DefaultLimits() Limits { return Limits{}.WithDefaults() }

// Options are the options of [Decode]. The zero value is the default.
type Options struct {
	Limits            Limits
	IgnoreOrientation bool // keep the pixels as they are stored
	LongestSide       int  // shrink a larger image to this longest side, in pixels; 0: never
	Depth             Depth
	// Width is the width in pixels to which the upright image is shrunk or enlarged, with the
	// height in proportion; 0: its own. LongestSide is ignored unless it is 0.
	Width int
}

// Size returns the size of the image that [Decode] returns for a file with header h. The error is a
// *[LimitError] if enlarging it exceeds the limits.
func (o Options) Size(h Header) (width, height int, err error) {
	width, height = h.Width, h.Height
	if !o.IgnoreOrientation {
		width, height = h.Upright()
	}
	longest := max(width, height)
	switch {
	case o.Width > 0 && o.Width != width:
		scaled := max(1, (2*int64(height)*int64(o.Width)+int64(width))/(2*int64(width)))
		if o.Width > width {
			if err := o.Limits.WithDefaults().checkEnlarged(int64(o.Width), scaled); err != nil {
				return 0, 0, err
			}
		}
		return o.Width, int(scaled), nil
	case o.Width == 0 && o.LongestSide > 0 && o.LongestSide < longest:
		width = max(1, int(box.Rescale(int32(width), longest, o.LongestSide)))
		height = max(1, int(box.Rescale(int32(height), longest, o.LongestSide)))
	}
	return width, height, nil
}

// CheckSize returns a *[LimitError] if an image of this size exceeds the limits.
func (l Limits) CheckSize(width, height int64) error {
	switch l := l.WithDefaults(); {
	case width > int64(l.MaxSide):
		return &LimitError{What: "pixels wide", Got: width, Max: int64(l.MaxSide)}
	case height > int64(l.MaxSide):
		return &LimitError{What: "pixels high", Got: height, Max: int64(l.MaxSide)}
	case width*height > l.MaxPixels:
		return &LimitError{What: "pixels", Got: width * height, Max: l.MaxPixels}
	}
	return nil
}

func (l Limits) checkEnlarged(width, height int64) error {
	switch {
	case width > int64(l.MaxSide):
		return &LimitError{What: "pixels wide when resized", Got: width, Max: int64(l.MaxSide)}
	case height > int64(l.MaxSide):
		return &LimitError{What: "pixels high when resized", Got: height, Max: int64(l.MaxSide)}
	case width*height > l.MaxPixels:
		return &LimitError{What: "pixels when resized", Got: width * height, Max: l.MaxPixels}
	}
	return nil
}

// Decoded is a decoded image file.
type Decoded struct {
	Image         *raster.Image // RGB or Gray, upright, possibly resized
	Width, Height int           // of the upright original, in pixels
	Format        string        // as in [Header]
	Orientation   int           // EXIF 1..8 as in the file; 1 if there is none
	LowRange      *LowRange     // not nil if a 16-bit image uses little of its range
}

// ToOriginal maps a box of d.Image to the original. Edges are scaled and rounded half up: their
// order is kept, and the whole image maps to the whole original. A box that is not empty stays so
// unless the image is enlarged.
func (d *Decoded) ToOriginal(b box.Box) box.Box {
	return b.Rescale(d.Image.Width, d.Image.Height, d.Width, d.Height)
}

// Enlarged reports whether d.Image is larger than the original.
func (d *Decoded) Enlarged() bool {
	return d.Image.Width > d.Width || d.Image.Height > d.Height
}

// Decode decodes an image file. Memory peaks at 6 bytes per pixel, 7 for CMYK and for interlaced PNG and
// TIFF with alpha, 9 for a progressive JPEG, 11 for 16 bits with alpha, 3 more for each pixel of an enlarged
// image, and the bytes of the frame of an animated WebP.
//
// Errors wrap [ErrUnsupported], *[LimitError], *[FormatError], *[DepthError] or the context's error. Decoders
// cannot be interrupted: the context is checked between the steps, so that a canceled Decode can
// take as long as the decoder.
func Decode(ctx context.Context, data []byte, opts Options) (*Decoded, error) {
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("imageio: %w", err)
	}
	h, err := Inspect(data, opts.Limits)
	if err != nil {
		return nil, err
	}
	if h.Format == "jpeg" {
		if err := h.checkScans(data); err != nil {
			return nil, err
		}
	}
	width, height, err := opts.Size(h)
	if err != nil {
		return nil, err
	}
	img, low, err := h.decodeObserved(ctx, data, opts.Depth)
	if err != nil {
		return nil, err
	}
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("imageio: %w", err)
	}

	d := &Decoded{Width: h.Width, Height: h.Height, Format: h.Format, Orientation: h.Orientation, LowRange: low}
	orientation := 1
	if !opts.IgnoreOrientation {
		orientation = h.Orientation
		d.Width, d.Height = h.Upright()
	}
	// Turning the smaller image leaves fewer pixels to turn. The filter that shrinks is symmetric, so
	// that the order does not change the result.
	if width < d.Width || height < d.Height {
		if orientation >= 5 {
			img = shrink(img, height, width)
		} else {
			img = shrink(img, width, height)
		}
		if err := ctx.Err(); err != nil {
			return nil, fmt.Errorf("imageio: %w", err)
		}
	}
	img = applyOrientation(img, orientation)
	if width > d.Width {
		img = enlarge(img, width, height)
		if err := ctx.Err(); err != nil {
			return nil, fmt.Errorf("imageio: %w", err)
		}
	}
	d.Image = img
	return d, nil
}

// decode decodes the pixels as they are stored.
func (h *Header) decode(data []byte, depth Depth) (img *raster.Image, low *LowRange, err error) {
	switch {
	case h.gif != nil:
		img, err = h.decodeGIF()
		return img, nil, err
	case h.webp != nil:
		if img, err = decodePixels(h.webp.file(), h.webp.header); err != nil {
			return nil, nil, err
		}
		return h.onCanvas(img), nil, nil
	case h.png != nil:
		return h.decodePNG(depth)
	case h.tiff != nil:
		return h.decodeTIFF(depth)
	case h.bmp != nil:
		img, err = h.decodeBMP(data)
		return img, nil, err
	}
	img, err = decodePixels(data, *h)
	return img, nil, err
}

type observerKey struct{}

// WithObserver returns a context for [Decode]. It calls begin before it decodes the pixels of a file, and
// afterwards the function that begin returned.
func WithObserver(ctx context.Context, begin func() (end func())) context.Context {
	return context.WithValue(ctx, observerKey{}, begin)
}

func (h *Header) decodeObserved(ctx context.Context, data []byte, depth Depth) (*raster.Image, *LowRange, error) {
	if begin, ok := ctx.Value(observerKey{}).(func() func()); ok {
		defer begin()()
	}
	return h.decode(data, depth)
}

// Resize returns an image of pixels as [Decode] returns that of a file: resized as LongestSide and
// Width say. img is upright, in RGB or Gray; it is kept if its size remains. Errors are a
// *[LimitError] or wrap the context's.
func Resize(ctx context.Context, img *raster.Image, opts Options) (*Decoded, error) {
	if err := opts.Limits.CheckSize(int64(img.Width), int64(img.Height)); err != nil {
		return nil, err
	}
	width, height, err := opts.Size(Header{Width: img.Width, Height: img.Height, Orientation: 1})
	if err != nil {
		return nil, err
	}
	d := &Decoded{Image: img, Width: img.Width, Height: img.Height, Orientation: 1}
	switch {
	case width > img.Width:
		d.Image = enlarge(img, width, height)
	case width < img.Width || height < img.Height:
		d.Image = shrink(img, width, height)
	}
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("imageio: %w", err)
	}
	return d, nil
}
