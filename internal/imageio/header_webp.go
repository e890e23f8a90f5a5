package imageio

import (
	"encoding/binary"
	"image"
	"math"

	"github.com/proposer/proposer/raster"
)

// Flags of the chunk VP8X.
const (
	webpAnimation = 1 << 1
	webpAlpha     = 1 << 4
)

// Bytes of a frame that no encoder exceeds: tables, and those of a pixel.
const (
	maxWebPOverhead = 1 << 20
	maxWebPPixel    = 16
)

// webpChunks is the state of parseWebPChunks: the chunks seen so far.
type webpChunks struct {
	extended  bool // VP8X
	animation bool
	alpha     []byte // ALPH
	id        string // VP8 or VP8L
	pixels    []byte // its body
}

// webpFrame is the still image or the first frame of a file with a canvas.
type webpFrame struct {
	rect   image.Rectangle // on the canvas
	header Header          // of the file that file returns
	chunks webpChunks
}

// parseWebP checks whatever OpenCV's format detection checks, because OpenCV tries its other
// decoders on files that its WebP decoder refuses.
func (h *Header) parseWebP(b []byte) error {
	riff := int64(binary.LittleEndian.Uint32(b[4:])) + 8
	if riff > int64(len(b)) {
		return h.broken("ends early: %d bytes of %d", len(b), riff)
	}
	if riff < 12 {
		return h.broken("a size of %d bytes", riff)
	}
	var seen webpChunks
	if err := h.parseWebPChunks(b[12:riff], &seen); err != nil {
		return err
	}
	switch {
	case h.webp != nil:
		return nil
	case seen.pixels == nil:
		return h.broken("no frame")
	case seen.extended:
		return h.setFrame(&webpFrame{rect: image.Rect(0, 0, h.Width, h.Height), header: *h, chunks: seen})
	}
	return nil
}

// setFrame sets the frame that is decoded, of which file will make a copy.
func (h *Header) setFrame(f *webpFrame) error {
	n := int64(len(f.chunks.alpha)) + int64(len(f.chunks.pixels))
	width, height := f.rect.Dx(), f.rect.Dy()
	if n > maxWebPOverhead+maxWebPPixel*int64(width)*int64(height) {
		return h.broken("%d bytes for %d×%d pixels", n, width, height)
	}
	h.webp = f
	return nil
}

func (h *Header) parseWebPChunks(b []byte, seen *webpChunks) error {
	for len(b) >= 8 {
		size := int64(binary.LittleEndian.Uint32(b[4:]))
		if size > int64(len(b)-8) {
			return h.broken("chunk of %d bytes in a file with %d left", size, len(b)-8)
		}
		width, height, err := h.parseWebPChunk(string(b[:4]), b[8:8+size], seen)
		if err != nil {
			return err
		}
		switch {
		case width == 0 && height == 0: // the chunk has no size
		case h.Width == 0:
			if err := h.setSize(width, height); err != nil {
				return err
			}
		case width != int64(h.Width) || height != int64(h.Height):
			return h.broken("a frame of %d×%d pixels in a canvas of %d×%d", width, height, h.Width, h.Height)
		}
		b = b[min(8+size+size&1, int64(len(b))):]
	}
	return nil
}

// parseWebPChunk reads a chunk. Of a chunk without an image size it returns 0, 0.
func (h *Header) parseWebPChunk(id string, body []byte, seen *webpChunks) (width, height int64, err error) {
	still := seen.pixels == nil && !seen.animation
	switch {
	case id == "VP8X" && !seen.extended && seen.pixels == nil && len(body) == 10:
		seen.extended = true
		seen.animation = body[0]&webpAnimation != 0
		h.Alpha = body[0]&webpAlpha != 0
		width = 1 + int64(binary.LittleEndian.Uint32(body[4:])&0xffffff)
		height = 1 + int64(binary.LittleEndian.Uint32(body[6:])>>8)
	case id == "ANMF" && seen.animation && h.webp == nil:
		return 0, 0, h.parseWebPFrame(body)
	case id == "ALPH" && still && seen.extended && seen.alpha == nil:
		seen.alpha = body
	case id == "VP8 " && still:
		// A visible key frame of profile 0 to 3, see RFC 6386, section 9.1.
		if len(body) < 10 || body[0]&0x19 != 0x10 || string(body[3:6]) != "\x9d\x01\x2a" {
			return 0, 0, h.broken("no key frame")
		}
		seen.id, seen.pixels = id, body
		h.Alpha = h.Alpha || seen.alpha != nil
		width = int64(binary.LittleEndian.Uint16(body[6:]) & 0x3fff)
		height = int64(binary.LittleEndian.Uint16(body[8:]) & 0x3fff)
	case id == "VP8L" && still:
		if len(body) < 5 || body[0] != 0x2f || body[4]>>5 != 0 {
			return 0, 0, h.broken("no lossless frame")
		}
		seen.id, seen.pixels = id, body
		// 14 bits of width, 14 of height, 1 of alpha.
		v := binary.LittleEndian.Uint32(body[1:])
		width = 1 + int64(v&0x3fff)
		height = 1 + int64(v>>14&0x3fff)
		h.Alpha = h.Alpha || v>>28&1 != 0
	case id == "EXIF":
		h.Orientation = exifOrientation(body)
	case !seen.extended && seen.pixels == nil:
		return 0, 0, h.broken("begins with chunk %q", id)
	}
	return width, height, nil
}

// parseWebPFrame reads the first frame of an animation on the canvas of h.
func (h *Header) parseWebPFrame(body []byte) error {
	if len(body) < 16 {
		return h.broken("a frame without a header")
	}
	u24 := func(i int) int { return int(binary.LittleEndian.Uint32(body[i:]) & 0xffffff) }
	size := image.Rect(0, 0, 1+u24(6), 1+u24(9))
	f := &webpFrame{rect: size.Add(image.Pt(2*u24(0), 2*u24(3)))}
	if !f.rect.In(image.Rect(0, 0, h.Width, h.Height)) {
		return h.broken("a frame of %d×%d pixels at %d,%d in a canvas of %d×%d", size.Dx(), size.Dy(), f.rect.Min.X, f.rect.Min.Y, h.Width, h.Height)
	}
	f.header = Header{Format: h.Format, Width: size.Dx(), Height: size.Dy(), Orientation: 1, Depth: 8, limits: h.limits}
	f.chunks.extended = true
	if err := f.header.parseWebPChunks(body[16:], &f.chunks); err != nil {
		return err
	}
	if f.chunks.pixels == nil {
		return h.broken("a frame without pixels")
	}
	h.Alpha = f.header.Alpha || size.Dx() < h.Width || size.Dy() < h.Height
	return h.setFrame(f)
}

// file returns a file of only the frame, as decoders read no animations and not all orders of chunks.
func (f *webpFrame) file() []byte {
	c := f.chunks
	b := make([]byte, 0, 64+len(c.alpha)+len(c.pixels))
	b = append(b, "RIFF\x00\x00\x00\x00WEBP"...)
	chunk := func(id string, body []byte) {
		b = append(b, id...)
		b = binary.LittleEndian.AppendUint32(b, uint32(len(body)))
		b = append(append(b, body...), make([]byte, len(body)&1)...)
	}
	if c.id == "VP8 " && c.alpha != nil {
		w, h := uint32(f.header.Width-1), uint32(f.header.Height-1)
		chunk("VP8X", []byte{webpAlpha, 0, 0, 0, byte(w), byte(w >> 8), byte(w >> 16), byte(h), byte(h >> 8), byte(h >> 16)})
		chunk("ALPH", c.alpha)
	}
	chunk(c.id, c.pixels)
	binary.LittleEndian.PutUint32(b[4:], uint32(len(b)-8))
	return b
}

// onCanvas returns the canvas with the frame on it. Like browsers it ignores the color of the
// canvas's background, so that pixels without a frame are transparent.
func (h *Header) onCanvas(frame *raster.Image) *raster.Image {
	rect := h.webp.rect
	if rect.Dx() == h.Width && rect.Dy() == h.Height {
		return frame
	}
	img := h.newImage()
	for p := range img.Space.Planes() {
		to, from := img.Plane(p), frame.Plane(p)
		for i := range to {
			to[i] = math.MaxUint8
		}
		for y := range rect.Dy() {
			copy(to[(rect.Min.Y+y)*h.Width+rect.Min.X:][:rect.Dx()], from[y*rect.Dx():])
		}
	}
	return img
}
