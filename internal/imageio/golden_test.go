//go:build cgo && gocv_specific_modules

package imageio

import (
	"fmt"
	"os"
	"testing"

	"gocv.io/x/gocv"
)

// BenchmarkOpenCV measures the decoder without this package, for comparison with BenchmarkDecode.
func BenchmarkOpenCV(b *testing.B) {
	for _, size := range [][2]int{{640, 480}, {4000, 3000}} {
		data := photo(b, size[0], size[1])
		b.Run(fmt.Sprintf("%dx%d", size[0], size[1]), func(b *testing.B) {
			for b.Loop() {
				mat := gocv.NewMat()
				if err := gocv.IMDecodeIntoMat(data, gocv.IMReadColor, &mat); err != nil {
					b.Fatal(err)
				}
				mat.Close()
			}
		})
	}
}

// TestWriteGolden writes the test image in the formats that Go has no encoder for.
func TestWriteGolden(t *testing.T) {
	if !*update {
		t.Skip("run with -update to write testdata")
	}
	const w, h = testW, testH
	var bgra, bgr []byte
	for y := range h {
		for x := range w {
			p := rgbaAt(x, y)
			bgra = append(bgra, p[2], p[1], p[0], p[3])
			bgr = append(bgr, p[2], p[1], p[0])
		}
	}
	alpha, err := gocv.NewMatFromBytes(h, w, gocv.MatTypeCV8UC4, bgra)
	if err != nil {
		t.Fatal(err)
	}
	defer alpha.Close()
	opaque, err := gocv.NewMatFromBytes(h, w, gocv.MatTypeCV8UC3, bgr)
	if err != nil {
		t.Fatal(err)
	}
	defer opaque.Close()
	for _, f := range []struct {
		name   string
		ext    gocv.FileExt
		mat    gocv.Mat
		params []int
	}{
		{"lossless.webp", ".webp", opaque, []int{gocv.IMWriteWebpQuality, 101}},
		{"lossless-alpha.webp", ".webp", alpha, []int{gocv.IMWriteWebpQuality, 101}},
		{"lossy.webp", ".webp", opaque, []int{gocv.IMWriteWebpQuality, 95}},
		{"lossy-alpha.webp", ".webp", alpha, []int{gocv.IMWriteWebpQuality, 95}},
		{"progressive.jpeg", ".jpg", opaque, []int{gocv.IMWriteJpegProgressive, 1}},
	} {
		buf, err := gocv.IMEncodeWithParams(f.ext, f.mat, f.params)
		if err != nil {
			t.Fatal(f.name, err)
		}
		err = os.WriteFile("testdata/"+f.name, buf.GetBytes(), 0o644)
		buf.Close()
		if err != nil {
			t.Fatal(err)
		}
	}
}
