package imageio

import (
	"bytes"
	"encoding/binary"
	"errors"
	"image"
	"os"
	"testing"
)

// webpChunk returns a chunk of a WebP file.
func webpChunk(id string, body []byte) []byte {
	b := append(binary.LittleEndian.AppendUint32([]byte(id), uint32(len(body))), body...)
	return append(b, make([]byte, len(body)&1)...)
}

// webpOf returns a file of chunks. The first one gives the canvas.
func webpOf(flags byte, width, height int, chunks ...[]byte) []byte {
	w, h := width-1, height-1
	body := append([]byte("WEBP"), webpChunk("VP8X", []byte{flags, 0, 0, 0, byte(w), byte(w >> 8), byte(w >> 16), byte(h), byte(h >> 8), byte(h >> 16)})...)
	body = append(body, bytes.Join(chunks, nil)...)
	return append(binary.LittleEndian.AppendUint32([]byte("RIFF"), uint32(len(body))), body...)
}

// webpFrameChunk returns a frame of an animation with chunks of pixels.
func webpFrameChunk(rect image.Rectangle, flags byte, chunks ...[]byte) []byte {
	var b []byte
	for _, v := range []int{rect.Min.X / 2, rect.Min.Y / 2, rect.Dx() - 1, rect.Dy() - 1, 100} {
		b = append(b, byte(v), byte(v>>8), byte(v>>16))
	}
	return webpChunk("ANMF", append(append(b, flags), bytes.Join(chunks, nil)...))
}

// webpBody returns a chunk of a file in testdata.
func webpBody(t testing.TB, file, id string) []byte {
	t.Helper()
	data, err := os.ReadFile("testdata/" + file)
	if err != nil {
		t.Fatal(err)
	}
	for b := data[12:]; len(b) >= 8; {
		n := 8 + int(binary.LittleEndian.Uint32(b[4:]))
		if string(b[:4]) == id {
			return b[:n+n&1]
		}
		b = b[n+n&1:]
	}
	t.Fatalf("%s has no chunk %s", file, id)
	return nil
}

func webpSamples(t testing.TB) []sample {
	opaque := func(x, y int) [3]uint8 { p := rgbaAt(x, y); return [3]uint8(p[:3]) }
	alpha := func(x, y int) [3]uint8 {
		p := rgbaAt(x, y)
		return [3]uint8{over(p[0], p[3]), over(p[1], p[3]), over(p[2], p[3])}
	}
	lossless, losslessAlpha := webpBody(t, "lossless.webp", "VP8L"), webpBody(t, "lossless-alpha.webp", "VP8L")
	lossy := webpBody(t, "lossy.webp", "VP8 ")
	lossyAlpha, plane := webpBody(t, "lossy-alpha.webp", "VP8 "), webpBody(t, "lossy-alpha.webp", "ALPH")
	black := []byte("VP8L\x09\x00\x00\x00\x2f\x07\xc0\x01\x00\x88\x88\xfe\x07\x00\x00\x00") // 8×8
	blackPixel := webpFrameChunk(image.Rect(0, 0, 8, 8), 0, black[:18])
	anim := webpChunk("ANIM", []byte{1, 2, 3, 255, 0, 0})
	whole := image.Rect(0, 0, testW, testH)
	animation := func(flags byte, rect image.Rectangle, chunks ...[]byte) []byte {
		return webpOf(webpAnimation|flags, max(testW, rect.Max.X), max(testH, rect.Max.Y), anim, webpFrameChunk(rect, 1, chunks...), blackPixel)
	}
	at := func(want func(x, y int) [3]uint8, x0, y0 int) func(x, y int) [3]uint8 {
		return func(x, y int) [3]uint8 {
			if x < x0 || y < y0 {
				return [3]uint8{255, 255, 255}
			}
			return want(x-x0, y-y0)
		}
	}
	moved := whole.Add(image.Pt(6, 10))
	return []sample{
		{name: "webp animation, lossless", data: animation(0, whole, lossless), want: opaque},
		{name: "webp animation, lossless alpha", data: animation(webpAlpha, whole, losslessAlpha), want: alpha},
		{name: "webp animation, lossy", data: animation(0, whole, lossy), want: opaque, off: 16},
		{name: "webp animation, lossy alpha", data: animation(webpAlpha, whole, plane, lossyAlpha, webpChunk("ABCD", nil)), want: alpha, off: 16},
		{name: "webp animation, moved", w: 30, h: 26, data: animation(0, moved, lossless), want: at(opaque, 6, 10)},
		{name: "webp animation, moved alpha", w: 30, h: 26, data: animation(0, moved, plane, lossyAlpha), want: at(alpha, 6, 10), off: 16},
		{name: "webp still with the flag of alpha", data: webpOf(webpAlpha, testW, testH, lossy), want: opaque, off: 16},
		{name: "webp still without the flag of alpha", data: webpOf(0, testW, testH, plane, lossyAlpha), want: alpha, off: 16},
		{name: "webp lossless still with alpha twice", data: webpOf(webpAlpha, testW, testH, plane, losslessAlpha), want: alpha},
	}
}

func TestBrokenAnimation(t *testing.T) {
	lossless := webpBody(t, "lossless.webp", "VP8L")
	whole := image.Rect(0, 0, testW, testH)
	for name, c := range map[string]struct {
		chunks [][]byte
		want   string
	}{
		"no frames":             {nil, "no frame"},
		"a still":               {[][]byte{lossless}, "no frame"},
		"a short frame":         {[][]byte{webpChunk("ANMF", make([]byte, 15))}, "a frame without a header"},
		"no pixels":             {[][]byte{webpFrameChunk(whole, 0)}, "a frame without pixels"},
		"other pixels":          {[][]byte{webpFrameChunk(whole, 0, webpChunk("EXIF", nil))}, "a frame without pixels"},
		"a frame in a frame":    {[][]byte{webpFrameChunk(whole, 0, webpFrameChunk(whole, 0, lossless))}, "a frame without pixels"},
		"outside of the canvas": {[][]byte{webpFrameChunk(whole.Add(image.Pt(8, 0)), 0, lossless)}, "a frame of 24×16 pixels at 8,0 in a canvas of 30×16"},
		"another size":          {[][]byte{webpFrameChunk(image.Rect(0, 0, 23, 16), 0, lossless)}, "a frame of 24×16 pixels in a canvas of 23×16"},
		"too many bytes":        {[][]byte{webpFrameChunk(image.Rect(0, 0, 8, 8), 0, webpChunk("VP8L", append([]byte("\x2f\x07\xc0\x01\x00"), make([]byte, 1<<20+1020)...)))}, "1049601 bytes for 8×8 pixels"},
		"a long chunk":          {[][]byte{webpFrameChunk(whole, 0, []byte("VP8L\xff\x00\x00\x00"))}, "chunk of 255 bytes in a file with 0 left"},
	} {
		t.Run(name, func(t *testing.T) {
			data := webpOf(webpAnimation, 30, testH, c.chunks...)
			_, err := Decode(t.Context(), data, Options{})
			if broken, ok := errors.AsType[*FormatError](err); !ok || broken.Error() != "broken webp: "+c.want {
				t.Errorf("got %v, want %s", err, c.want)
			}
		})
	}
}
