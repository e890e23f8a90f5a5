package imageio

import (
	"bytes"
	"compress/lzw"
	"encoding/binary"
	"errors"
	"image"
	"image/color"
	"image/gif"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// gifFile returns a GIF with a screen of a size and a global color table of a power of two colors.
func gifFile(width, height int, colors []byte, blocks ...[]byte) []byte {
	b := append([]byte(gifMagic89), gifScreen(width, height, colors)...)
	return append(append(b, bytes.Join(blocks, nil)...), ';')
}

func gifScreen(width, height int, colors []byte) []byte {
	b := binary.LittleEndian.AppendUint16(binary.LittleEndian.AppendUint16(nil, uint16(width)), uint16(height))
	return append(append(b, gifTableFlags(colors), 0, 0), colors...)
}

func gifTableFlags(colors []byte) byte {
	for bits := range 8 {
		if len(colors) == 3<<(bits+1) {
			return gifColorTable | byte(bits)
		}
	}
	return 0
}

// gifControlBlock makes a color of the next image transparent.
func gifControlBlock(transparent byte) []byte {
	return []byte{gifExtension, gifGraphicControl, 4, 1, 0, 0, transparent, 0}
}

// gifImageBlock returns an image of the pixels in the order of the file.
func gifImageBlock(rect image.Rectangle, colors []byte, interlaced bool, bits int, pixels []byte) []byte {
	b := []byte{gifImage}
	for _, v := range []int{rect.Min.X, rect.Min.Y, rect.Dx(), rect.Dy()} {
		b = binary.LittleEndian.AppendUint16(b, uint16(v))
	}
	flags := gifTableFlags(colors)
	if interlaced {
		flags |= gifInterlaced
	}
	b = append(append(append(b, flags), colors...), byte(bits))
	var codes bytes.Buffer
	w := lzw.NewWriter(&codes, lzw.LSB, bits)
	w.Write(pixels)
	w.Close()
	return append(b, gifSubBlocks(codes.Bytes(), 255)...)
}

func gifSubBlocks(data []byte, size int) (b []byte) {
	for len(data) > 0 {
		n := min(size, len(data))
		b = append(append(b, byte(n)), data[:n]...)
		data = data[n:]
	}
	return append(b, 0)
}

// gifColorsOf returns a table of n colors. gifColorAt returns one of them.
func gifColorsOf(n int) (b []byte) {
	for i := range n {
		c := gifColorAt(i)
		b = append(b, c[:]...)
	}
	return b
}

func gifColorAt(i int) [3]uint8 { return [3]uint8{uint8(i), uint8(255 - i), uint8(i / 2)} }

func gifIndex(x, y int) int { return (11*x + 5*y) & 0xff }

func gifSamples(t testing.TB) []sample {
	white := [3]uint8{255, 255, 255}
	plain := func(x, y int) [3]uint8 { return gifColorAt(gifIndex(x, y)) }
	pixels := func(w, h int) (b []byte) {
		for y := range h {
			for x := range w {
				b = append(b, byte(gifIndex(x, y)))
			}
		}
		return b
	}
	whole, all, colors := image.Rect(0, 0, testW, testH), pixels(testW, testH), gifColorsOf(256)
	var interlaced []byte
	for _, pass := range [][2]int{{0, 8}, {4, 8}, {2, 4}, {1, 2}} {
		for y := pass[0]; y < testH; y += pass[1] {
			interlaced = append(interlaced, all[y*testW:][:testW]...)
		}
	}
	still := gifImageBlock(whole, nil, false, 8, all)
	paletted := image.NewPaletted(whole, nil)
	for i := range 256 {
		c := gifColorAt(i)
		paletted.Palette = append(paletted.Palette, color.RGBA{c[0], c[1], c[2], 255})
	}
	copy(paletted.Pix, all)
	var encoded bytes.Buffer
	if err := gif.Encode(&encoded, paletted, nil); err != nil {
		t.Fatal(err)
	}
	// An image of 8×6 at 5,3, and what it gives on a screen.
	small := func(w, h int) func(x, y int) [3]uint8 {
		return func(x, y int) [3]uint8 {
			if x < 5 || y < 3 || x >= 5+w || y >= 3+h {
				return white
			}
			return plain(x-5, y-3)
		}
	}
	part := gifImageBlock(image.Rect(5, 3, 13, 9), nil, false, 8, pixels(8, 6))
	few := []byte{0, 1, 2, 3, 3, 2, 1, 0}
	fewWant := func(x, y int) [3]uint8 { return gifColorAt(int(few[y*4+x])) }
	comment := append([]byte{gifExtension, 0xfe}, gifSubBlocks([]byte("comment"), 3)...)
	loop := append(append([]byte{gifExtension, 0xff, 11}, "NETSCAPE2.0"...), 3, 1, 0, 0, 0)
	return []sample{
		{name: "gif of package gif", data: encoded.Bytes(), want: plain},
		{name: "gif", data: gifFile(testW, testH, colors, still), want: plain},
		{name: "gif 87a", data: append([]byte(gifMagic87), gifFile(testW, testH, colors, still)[6:]...), want: plain},
		{name: "gif, interlaced, local colors", data: gifFile(testW, testH, gifColorsOf(4), gifImageBlock(whole, colors, true, 8, interlaced)), want: plain},
		{name: "gif, a transparent color", data: gifFile(testW, testH, colors, gifControlBlock(11), still), want: func(x, y int) [3]uint8 {
			if gifIndex(x, y) == 11 {
				return white
			}
			return plain(x, y)
		}},
		{name: "gif, an image on the screen", w: 20, h: 10, data: gifFile(20, 10, colors, part), want: small(8, 6)},
		{name: "gif, an image outside of the screen", w: 13, h: 9, data: gifFile(6, 5, colors, part), want: small(8, 6)},
		{name: "gif, no screen", w: 13, h: 9, data: gifFile(0, 0, colors, part), want: small(8, 6)},
		{name: "gif, 2 bits", w: 4, h: 2, data: gifFile(4, 2, gifColorsOf(4), gifImageBlock(image.Rect(0, 0, 4, 2), nil, false, 2, few)), want: fewWant},
		{name: "gif, 2 bits of 8 colors", w: 4, h: 2, data: gifFile(4, 2, gifColorsOf(8), gifImageBlock(image.Rect(0, 0, 4, 2), nil, false, 2, few)), want: fewWant},
		{name: "gif, an animation", data: gifFile(testW, testH, colors, loop, comment, gifControlBlock(200), gifControlBlock(255), still,
			gifControlBlock(3), gifImageBlock(image.Rect(40, 40, 43, 41), nil, false, 8, few[:3]), comment), want: func(x, y int) [3]uint8 {
			if gifIndex(x, y) == 255 {
				return white
			}
			return plain(x, y)
		}},
	}
}

func TestBrokenGIF(t *testing.T) {
	rect := image.Rect(0, 0, 4, 2)
	colors, pixels := gifColorsOf(4), []byte{0, 1, 2, 3, 3, 2, 1, 0}
	file := func(blocks ...[]byte) []byte { return gifFile(4, 2, colors, blocks...) }
	block := func(pixels []byte) []byte { return gifImageBlock(rect, nil, false, 2, pixels) }
	header := block(nil)[:10]
	codes := func(b ...byte) []byte { return file(header, append([]byte{2}, gifSubBlocks(b, 255)...)) }
	for name, c := range map[string]struct {
		data []byte
		want string
	}{
		"no image":           {file(), "no image"},
		"garbage":            {file([]byte("garbage")), "no image"},
		"no colors":          {gifFile(4, 2, nil, block(pixels)), "no color table"},
		"too few colors":     {gifFile(4, 2, gifColorsOf(2), block(pixels)), "row 0: color 2, the table has 2"},
		"too few pixels":     {file(block(pixels[:7])), "the image ends before its last row"},
		"no pixels":          {file(header, []byte{2, 0}), "the image ends before its last row"},
		"an invalid code":    {codes(0x3c), "row 0: lzw: invalid code"},
		"pixels of a bit":    {file(header, []byte{1, 0}), "pixels of 1 bits"},
		"pixels of 9 bits":   {file(header, []byte{9, 0}), "pixels of 9 bits"},
		"an empty image":     {file(gifImageBlock(image.Rect(1, 1, 1, 3), nil, false, 2, nil)), "an image of 0×2 pixels"},
		"too few bytes":      {file(gifImageBlock(image.Rect(0, 0, 5000, 5000), nil, false, 2, nil)), "3 bytes cannot hold 5000×5000 pixels"},
		"header only":        {[]byte(gifMagic89), "ends early"},
		"ends in the colors": {file()[:20], "ends early"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Decode(t.Context(), c.data, Options{})
			if broken, ok := errors.AsType[*FormatError](err); !ok || broken.Error() != "broken gif: "+c.want {
				t.Errorf("got %v, want %s", err, c.want)
			}
		})
	}
	// An animation that ends anywhere in a block, also in one of an image that is not used. The trailer
	// is not necessary.
	animation := file(block(pixels), gifControlBlock(1), block(pixels))
	ends := map[int]bool{len(animation): true, len(animation) - 1: true}
	first := len(file(block(pixels))) - 1
	ends[first], ends[first+len(gifControlBlock(1))] = true, true
	for n := 6; n <= len(animation); n++ {
		_, err := Decode(t.Context(), animation[:n], Options{})
		early := err != nil && strings.Contains(err.Error(), "ends early")
		if noImage := n == 25; ends[n] && err != nil || !ends[n] && !early && !noImage {
			t.Errorf("%d bytes of %d: got %v", n, len(animation), err)
		}
	}
}

// TestGIFLikePackageGIF compares with Go's decoder, which knows no screens that are too small.
func TestGIFLikePackageGIF(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w, h := rapid.IntRange(1, 40).Draw(t, "w"), rapid.IntRange(1, 40).Draw(t, "h")
		x, y := rapid.IntRange(0, 9).Draw(t, "x"), rapid.IntRange(0, 9).Draw(t, "y")
		bits := rapid.IntRange(2, 8).Draw(t, "bits")
		pixels := rapid.SliceOfN(rapid.ByteRange(0, byte(1<<bits-1)), w*h, w*h).Draw(t, "pixels")
		rect := image.Rect(x, y, x+w, y+h)
		blocks := [][]byte{gifImageBlock(rect, nil, rapid.Bool().Draw(t, "interlaced"), bits, pixels)}
		if rapid.Bool().Draw(t, "transparent") {
			blocks = append([][]byte{gifControlBlock(pixels[0])}, blocks...)
		}
		data := gifFile(x+w, y+h, gifColorsOf(1<<bits), blocks...)
		want, err := gif.Decode(bytes.NewReader(data))
		if err != nil {
			t.Fatal(err)
		}
		got, err := Decode(t.Context(), data, Options{})
		if err != nil {
			t.Fatal(err)
		}
		for i := range (x + w) * (y + h) {
			p := [3]uint8{255, 255, 255}
			if r, g, b, a := want.At(i%(x+w), i/(x+w)).RGBA(); a > 0 && image.Pt(i%(x+w), i/(x+w)).In(rect) {
				p = [3]uint8{uint8(r >> 8), uint8(g >> 8), uint8(b >> 8)}
			}
			for c := range p {
				if v := got.Image.Plane(c)[i]; v != p[c] {
					t.Fatalf("plane %d at %d: %d, want %d", c, i, v, p[c])
				}
			}
		}
	})
}

func BenchmarkGIF(b *testing.B) {
	const w, h = 1000, 1000
	pixels := make([]byte, w*h)
	for i := range pixels {
		pixels[i] = byte(i*i>>8) ^ byte(i%w/8)
	}
	data := gifFile(w, h, gifColorsOf(256), gifImageBlock(image.Rect(0, 0, w, h), nil, false, 8, pixels))
	for name, decode := range map[string]func() error{
		"this package": func() error { _, err := Decode(b.Context(), data, Options{}); return err },
		"package gif":  func() error { _, err := gif.Decode(bytes.NewReader(data)); return err },
	} {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(w * h)
			for b.Loop() {
				if err := decode(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
