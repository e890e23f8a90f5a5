package imageio

import (
	"bytes"
	"testing"
)

// TestFirstImage checks files of several images whose first one is read by any decoder.
func TestFirstImage(t *testing.T) {
	rows := rgbRows()
	png := pngFile(testW, testH, 8, 2, rows)
	control := make([]byte, 26)
	copy(control[4:], []byte{0, 0, 0, testW, 0, 0, 0, testH})
	animated := pngFile(testW, testH, 8, 2, rows, pngChunk("acTL", []byte{0, 0, 0, 2, 0, 0, 0, 0}), pngChunk("fcTL", control))
	end := len(animated) - len(pngChunk("IEND", nil))
	later := append(pngChunk("fcTL", append([]byte{0, 0, 0, 1}, control[4:]...)), pngChunk("fdAT", []byte{0, 0, 0, 2, 1, 2, 3})...)
	animated = append(append(animated[:end:end], later...), animated[end:]...)

	levels := []uint8{10, 200, 90}
	jpeg, other := jpegFile(8, 8, 3, levels, adobe(0)), jpegFile(16, 8, 1, []uint8{1, 2})
	app := func(marker byte, text string) []byte { return segment(marker, []byte(text)...) }
	pictures := app(0xe2, "MPF\x00MM\x00*\x00\x00\x00\x08\x00\x00\x00\x00\x00\x00")
	gainMap := app(0xe1, `http://ns.adobe.com/xap/1.0/`+"\x00"+`<x:xmpmeta><rdf:Description hdrgm:Version="1.0"/></x:xmpmeta>`)
	for name, c := range map[string]struct{ data, want []byte }{
		"APNG":      {animated, png},
		"MPO":       {append(jpegFile(8, 8, 3, levels, adobe(0), pictures), other...), jpeg},
		"Ultra HDR": {append(jpegFile(8, 8, 3, levels, adobe(0), gainMap, pictures), other...), jpeg},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := Decode(t.Context(), c.data, Options{})
			if err != nil {
				t.Fatal(err)
			}
			want, err := Decode(t.Context(), c.want, Options{})
			if err != nil {
				t.Fatal(err)
			}
			if got.Width != want.Width || !bytes.Equal(got.Image.Pix, want.Image.Pix) {
				t.Error("got another image")
			}
		})
	}
}
