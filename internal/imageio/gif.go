package imageio

import (
	"compress/lzw"
	"errors"
	"io"
	"iter"
	"math"

	"github.com/proposer/proposer/raster"
)

// decodeGIF decodes the first image of a GIF. Like browsers it ignores the color of the screen's
// background, so that pixels without an image are transparent.
func (h *Header) decodeGIF() (*raster.Image, error) {
	g := h.gif
	var rgb [3][256]uint8
	colors := len(g.colors) / 3
	for i := range colors {
		rgb[0][i], rgb[1][i], rgb[2][i] = g.colors[3*i], g.colors[3*i+1], g.colors[3*i+2]
	}
	if g.transparent >= 0 {
		for p := range rgb {
			rgb[p][g.transparent] = math.MaxUint8
		}
	}
	img := h.newImage()
	if g.rect.Dx() < h.Width || g.rect.Dy() < h.Height {
		fillWhite(img)
	}
	row := make([]byte, g.rect.Dx())
	pixels := lzw.NewReader(&gifBlocks{data: g.data}, lzw.LSB, g.codeSize)
	for y := range g.rows() {
		if _, err := io.ReadFull(pixels, row); err != nil {
			if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
				return nil, h.broken("the image ends before its last row")
			}
			return nil, h.broken("row %d: %w", y, err)
		}
		at := (g.rect.Min.Y+y)*h.Width + g.rect.Min.X
		red, green, blue := img.Plane(0)[at:][:len(row)], img.Plane(1)[at:][:len(row)], img.Plane(2)[at:][:len(row)]
		for x, i := range row {
			if int(i) >= colors && int(i) != g.transparent {
				return nil, h.broken("row %d: color %d, the table has %d", y, i, colors)
			}
			red[x], green[x], blue[x] = rgb[0][i], rgb[1][i], rgb[2][i]
		}
	}
	return img, nil
}

// rows returns the rows of the image in the order of the file.
func (g *gifFrame) rows() iter.Seq[int] {
	passes := [][2]int{{0, 1}}
	if g.interlaced {
		passes = [][2]int{{0, 8}, {4, 8}, {2, 4}, {1, 2}}
	}
	return func(yield func(int) bool) {
		for _, p := range passes {
			for y := p[0]; y < g.rect.Dy(); y += p[1] {
				if !yield(y) {
					return
				}
			}
		}
	}
}

// gifBlocks reads the bytes of sub-blocks, which are complete. It implements io.ByteReader so that
// package lzw adds no buffer.
type gifBlocks struct {
	data    []byte
	at, end int // of the current sub-block
}

func (b *gifBlocks) ReadByte() (byte, error) {
	if b.at == b.end {
		n := int(b.data[b.at])
		if n == 0 {
			return 0, io.EOF
		}
		b.at++
		b.end = b.at + n
	}
	c := b.data[b.at]
	b.at++
	return c, nil
}

func (b *gifBlocks) Read(p []byte) (int, error) {
	for i := range p {
		c, err := b.ReadByte()
		if err != nil {
			return i, err
		}
		p[i] = c
	}
	return len(p), nil
}

func fillWhite(img *raster.Image) {
	for i := range img.Pix {
		img.Pix[i] = math.MaxUint8
	}
}
