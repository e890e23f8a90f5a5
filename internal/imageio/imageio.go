// Package imageio turns the bytes of a picture file into the planar picture that
// the search wants, and draws boxes on pictures. It is the only package that
// knows OpenCV.
//
// # What is read
//
//   - JPEG: baseline, extended and progressive, 8 bits; grey, YCbCr, RGB, and
//     Adobe's CMYK and YCCK.
//   - PNG: all of it; of an animation the still picture.
//   - WebP: lossy and lossless stills.
//   - BMP: uncompressed.
//   - TIFF: the first page; 1, 8 or 16 bits of unsigned grey, palette, RGB or
//     RGB with alpha; uncompressed, PackBits, LZW, Deflate, CCITT.
//
// The format is told from the first bytes, never from a name. Everything else is
// [ErrUnsupported], also what OpenCV could read (GIF, HDR, EXR, PNM, JPEG 2000,
// big and floating-point TIFF, ...): each decoder that a stranger's bytes can
// reach is a risk, and these are rarely photographs.
//
// # What comes out
//
// Grey sources give one plane, all others R, G and B. Samples of 16 bits are
// rounded to 8. Transparency is composited over white. Colour profiles are
// ignored. The picture is turned upright as EXIF says. A file that ends early is
// broken, even where a decoder would fill the rest with grey.
//
// # Two builds
//
// With cgo and the build tag gocv_specific_modules the pixels are decoded by
// OpenCV, else by Go's own decoders ([Decoder] tells). Headers, limits,
// orientation and shrinking are the same code in both; pixels of lossy formats
// differ by the decoders' rounding and chroma interpolation. Go's decoders refuse
// a few rare variants ([ErrUnsupported]) and are stricter about damage.
// OpenCV's codecs write a line on standard error for some damaged files, and have
// no switch for it; damage to the coded pixels of a complete JPEG is not told, and
// decoded as well as can be.
package imageio

import (
	"context"
	"errors"
	"fmt"
	"math"

	"github.com/proposer/proposer/box"
	"github.com/proposer/proposer/internal/boundedio"
	"github.com/proposer/proposer/raster"
)

// ErrUnsupported is wrapped by the error for bytes that are no picture, or of a
// format or variant that is not read.
var ErrUnsupported = errors.New("not a picture that can be read: want JPEG, PNG, WebP, BMP or TIFF")

func unsupported(format, msg string, args ...any) error {
	return fmt.Errorf("imageio: %s: %s: %w", format, fmt.Sprintf(msg, args...), ErrUnsupported)
}

// LimitError reports an image that is larger than its reader allows, by its unit: "bytes", "pixels",
// "pixels wide", "pixels high" or "pixels in a tile".
type LimitError = boundedio.LimitError

// A FormatError says that a picture of a known format is broken.
type FormatError struct {
	Format string // as in [Header]
	Err    error  // what is wrong
}

func (e *FormatError) Error() string { return "imageio: broken " + e.Format + ": " + e.Err.Error() }

func (e *FormatError) Unwrap() error { return e.Err }

func broken(format, msg string, args ...any) error {
	return &FormatError{format, fmt.Errorf(msg, args...)}
}

// Limits bounds what is decoded. They are checked against the header, before any
// memory is taken for pixels. A field that is not positive means its default; more
// than 2 GiB, 268,435,455 pixels or a side of 1,048,576 is never read.
type Limits struct {
	MaxBytes  int64 // length of the file; default 64 MiB
	MaxPixels int64 // width × height; default 50,000,000
	MaxSide   int   // width and height; default 65,535
}

// OpenCV counts bytes in int32, at up to 8 bytes a pixel, and reads no longer side.
const (
	maxBytes  = math.MaxInt32
	maxPixels = math.MaxInt32 / 8
	maxSide   = 1 << 20
)

func (l Limits) withDefaults() Limits {
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

// MaxLimits are those that no Limits goes beyond, whatever it says.
func MaxLimits() Limits { return Limits{maxBytes, maxPixels, maxSide} }

// DefaultLimits are the limits that the zero Limits stands for.
func DefaultLimits() Limits { return Limits{}.withDefaults() }

// Options says how to decode. The zero value is the default.
type Options struct {
	Limits            Limits
	IgnoreOrientation bool // leave the pixels as they are stored
	LongestSide       int  // shrink to this longest side, in pixels; 0: never; never enlarges
}

// A Picture is a decoded file.
type Decoded struct {
	Image         *raster.Image // RGB or Gray, upright, perhaps shrunk
	Width, Height int           // of the upright original, in pixels
	Format        string        // as in [Header]
	Orientation   int           // EXIF 1..8 as the file has it; 1 if it has none
}

// ToOriginal maps a box of p.Image to the pixels of the original. Edges are scaled
// and rounded half up, so order is kept, a box that holds a pixel still does, and
// the whole picture maps to the whole picture.
func (p *Decoded) ToOriginal(b box.Box) box.Box {
	return b.Rescale(p.Image.Width, p.Image.Height, p.Width, p.Height)
}

// Decode reads a picture. It costs the decoder's time and a few ns a pixel; memory
// peaks at 6 bytes a pixel, 9 for a progressive JPEG, 11 for 16 bits with alpha.
//
// Errors wrap [ErrUnsupported], *[LimitError], *[FormatError] or the context's
// error. The decoders cannot be interrupted: the context is looked at between
// the steps, so a cancelled Decode may take as long as the decoder alone.
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
	img, err := decodePixels(data, h)
	if err != nil {
		return nil, err
	}
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("imageio: %w", err)
	}
	p := &Decoded{Width: h.Width, Height: h.Height, Format: h.Format, Orientation: h.Orientation}
	// Shrinking first leaves less to turn; the filter is symmetric, so the order does not show.
	if n := opts.LongestSide; n > 0 && n < max(img.Width, img.Height) {
		longest := max(img.Width, img.Height)
		img = shrink(img, max(1, int(box.Rescale(int32(img.Width), longest, n))), max(1, int(box.Rescale(int32(img.Height), longest, n))))
		if err := ctx.Err(); err != nil {
			return nil, fmt.Errorf("imageio: %w", err)
		}
	}
	if !opts.IgnoreOrientation {
		img = applyOrientation(img, h.Orientation)
		p.Width, p.Height = h.Upright()
	}
	p.Image = img
	return p, nil
}
