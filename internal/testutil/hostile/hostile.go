// Package hostile has image files that are made to cause trouble.
package hostile

import (
	"bytes"
	"compress/zlib"
	"encoding/binary"
	"hash/crc32"
	"image"
	"image/png"
	"math/rand/v2"
)

// PNG returns a valid image of 64 × 48 pixels about which libpng prints lines: one with the name of a color
// profile, and n others. Without a name there is no profile.
func PNG(profile string, n int) []byte {
	var buf bytes.Buffer
	img := image.NewGray(image.Rect(0, 0, 64, 48))
	for i := range img.Pix {
		img.Pix[i] = uint8(i % 64 / 8 * 30)
	}
	if err := png.Encode(&buf, img); err != nil {
		panic(err) // the image is valid
	}
	const header = 8 + 25 // signature and IHDR
	data := bytes.Clone(buf.Bytes()[:header])
	if profile != "" {
		var packed bytes.Buffer
		z := zlib.NewWriter(&packed)
		random := rand.NewChaCha8([32]byte{})
		content := make([]byte, 1000) // not compressible: libpng wants at least 81 bytes
		_, _ = random.Read(content)   // never fails
		binary.BigEndian.PutUint32(content, uint32(len(content)))
		_, _ = z.Write(content) // to memory
		_ = z.Close()
		data = appendChunk(data, "iCCP", append([]byte(profile+"\x00\x00"), packed.Bytes()...))
	}
	for range n {
		data = appendChunk(data, "tIME", []byte("x"))
	}
	return append(data, buf.Bytes()[header:]...)
}

func appendChunk(dst []byte, kind string, content []byte) []byte {
	dst = binary.BigEndian.AppendUint32(dst, uint32(len(content)))
	body := append([]byte(kind), content...)
	dst = append(dst, body...)
	return binary.BigEndian.AppendUint32(dst, crc32.ChecksumIEEE(body))
}
