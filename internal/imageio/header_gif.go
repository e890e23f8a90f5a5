package imageio

import (
	"encoding/binary"
	"image"
)

const (
	gifMagic87 = "GIF87a"
	gifMagic89 = "GIF89a"
)

// Blocks and flags of GIF.
const (
	gifExtension      = 0x21
	gifGraphicControl = 0xf9
	gifImage          = 0x2c
	gifColorTable     = 1 << 7
	gifInterlaced     = 1 << 6
)

// maxGIFRatio is the best compression of LZW: 4096 pixels in a code of 12 bits.
const maxGIFRatio = 4096 * 8 / 12

// gifFrame is the first image of a GIF.
type gifFrame struct {
	rect        image.Rectangle // on the screen
	colors      []byte          // R, G and B of each
	transparent int             // index of the transparent color, -1 if there is none
	interlaced  bool
	codeSize    int
	data        []byte // sub-blocks of LZW codes
}

// parseGIF reads the blocks of a GIF to its end. Like browsers it enlarges a screen that is too small
// for the first image, and ignores what follows the blocks.
func (h *Header) parseGIF(b []byte) error {
	r := gifReader{rest: b[len(gifMagic89):]}
	screen := r.take(7)
	global := r.colors(screen[4])
	transparent := -1
	for !r.short && len(r.rest) > 0 {
		switch r.take(1)[0] {
		case gifExtension:
			if b := r.rest; len(b) >= 6 && b[0] == gifGraphicControl && b[1] == 4 {
				transparent = -1
				if b[2]&1 != 0 {
					transparent = int(b[5])
				}
			}
			r.take(1)
			r.skipBlocks()
		case gifImage:
			d := r.take(9)
			g := &gifFrame{transparent: transparent, interlaced: d[8]&gifInterlaced != 0, colors: global}
			if local := r.colors(d[8]); local != nil {
				g.colors = local
			}
			g.codeSize = int(r.take(1)[0])
			g.data = r.rest
			r.skipBlocks()
			if h.gif == nil && !r.short {
				h.gif = g
				g.rect = image.Rect(0, 0, gifInt(d[4:]), gifInt(d[6:])).Add(image.Pt(gifInt(d), gifInt(d[2:])))
				g.data = g.data[:len(g.data)-len(r.rest)]
				if err := h.checkGIF(gifInt(screen), gifInt(screen[2:])); err != nil {
					return err
				}
			}
		default: // the trailer
			r.rest = nil
		}
	}
	switch {
	case r.short:
		return h.broken("ends early")
	case h.gif == nil:
		return h.broken("no image")
	}
	return nil
}

// checkGIF checks the first image and sets the size that it results in on a screen.
func (h *Header) checkGIF(width, height int) error {
	g := h.gif
	if g.rect.Empty() {
		return h.broken("an image of %d×%d pixels", g.rect.Dx(), g.rect.Dy())
	}
	if err := h.setSize(int64(max(width, g.rect.Max.X)), int64(max(height, g.rect.Max.Y))); err != nil {
		return err
	}
	if need := int64(g.rect.Dx()) * int64(g.rect.Dy()); need > int64(len(g.data))*maxGIFRatio {
		return h.broken("%d bytes cannot hold %d×%d pixels", len(g.data), g.rect.Dx(), g.rect.Dy())
	}
	if g.colors == nil {
		return h.broken("no color table")
	}
	if g.codeSize < 2 || g.codeSize > 8 {
		return h.broken("pixels of %d bits", g.codeSize)
	}
	h.Alpha = g.transparent >= 0 || g.rect.Dx() < h.Width || g.rect.Dy() < h.Height
	return nil
}

func gifInt(b []byte) int { return int(binary.LittleEndian.Uint16(b)) }

// gifReader reads a GIF. At the end of the data it is short and reads zeros.
type gifReader struct {
	rest  []byte
	short bool
}

func (r *gifReader) take(n int) []byte {
	if n > len(r.rest) {
		r.rest, r.short = nil, true
		return make([]byte, n)
	}
	b := r.rest[:n]
	r.rest = r.rest[n:]
	return b
}

// colors reads the color table that flags announce, or returns nil.
func (r *gifReader) colors(flags byte) []byte {
	if flags&gifColorTable == 0 {
		return nil
	}
	return r.take(3 << (flags&7 + 1))
}

// skipBlocks skips sub-blocks and their terminator.
func (r *gifReader) skipBlocks() {
	for n := r.take(1)[0]; n > 0; n = r.take(1)[0] {
		r.take(int(n))
	}
}
