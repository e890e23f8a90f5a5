package jpeg

import (
	"bytes"
	"encoding/binary"
	"errors"
	"image"
	"image/color"
	"image/jpeg"
	"maps"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/proposer/proposer/internal/testutil/benchmetric"
	"pgregory.net/rapid"
)

// encoded returns a file of smooth noise with 4:2:0, or a gray one.
func encoded(t testing.TB, w, h, quality int, gray bool) []byte {
	rng := rand.New(rand.NewPCG(uint64(w), uint64(h)))
	at := func(x, y, c int) uint8 {
		v := 128 + 90*math.Sin(float64(x)/9+float64(c))*math.Cos(float64(y)/13) + 12*rng.NormFloat64()
		return uint8(min(max(v, 0), 255))
	}
	var m image.Image
	if gray {
		g := image.NewGray(image.Rect(0, 0, w, h))
		for i := range g.Pix {
			g.Pix[i] = at(i%w, i/w, 0)
		}
		m = g
	} else {
		rgba := image.NewRGBA(image.Rect(0, 0, w, h))
		for i := range w * h {
			x, y := i%w, i/w
			rgba.SetRGBA(x, y, color.RGBA{at(x, y, 0), at(x, y, 1), at(x, y, 2), 255})
		}
		m = rgba
	}
	var b bytes.Buffer
	if err := jpeg.Encode(&b, m, &jpeg.Options{Quality: quality}); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// The files of package imageio whose pixels are compared with those of libjpeg-turbo: progressive, with restarts
// and of other samplings.
func files(t testing.TB) map[string][]byte {
	names, err := filepath.Glob("../imageio/testdata/reference/*.jpg")
	if err != nil || len(names) == 0 {
		t.Fatal("no files", err)
	}
	all := map[string][]byte{}
	for _, name := range names {
		if all[filepath.Base(name)], err = os.ReadFile(name); err != nil {
			t.Fatal(err)
		}
	}
	return all
}

// A fataler is a test of packages testing and rapid.
type fataler interface {
	Fatal(args ...any)
	Fatalf(format string, args ...any)
}

// compare checks that samples differ by no more than the roundings of two inverse transforms.
func compare(t fataler, name string, got, want []uint8, gotStride, wantStride, w, h int) {
	for y := range h {
		for x := range w {
			if a, b := int(got[y*gotStride+x]), int(want[y*wantStride+x]); max(a-b, b-a) > 1 {
				t.Fatalf("%s: sample (%d, %d) is %d, in image/jpeg %d", name, x, y, a, b)
			}
		}
	}
}

func compareFile(t fataler, data []byte) {
	want, err := jpeg.Decode(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	got, err := Decode(data)
	if err != nil {
		t.Fatal(err)
	}
	w, h := want.Bounds().Dx(), want.Bounds().Dy()
	if got.Width != w || got.Height != h {
		t.Fatalf("%d×%d pixels, want %d×%d", got.Width, got.Height, w, h)
	}
	y := got.Components[0]
	switch m := want.(type) {
	case *image.Gray:
		compare(t, "gray", y.Pix, m.Pix, y.Stride, m.Stride, w, h)
	case *image.YCbCr:
		cb, cr := got.Components[1], got.Components[2]
		columns, rows := (w+cb.H-1)/cb.H, (h+cb.V-1)/cb.V
		compare(t, "Y", y.Pix, m.Y, y.Stride, m.YStride, w, h)
		compare(t, "Cb", cb.Pix, m.Cb, cb.Stride, m.CStride, columns, rows)
		compare(t, "Cr", cr.Pix, m.Cr, cr.Stride, m.CStride, columns, rows)
	}
}

func TestMatchesImageJPEG(t *testing.T) {
	for name, data := range files(t) {
		if name == "cmyk-420.jpg" {
			continue // image/jpeg does not read it
		}
		t.Run(name, func(t *testing.T) { compareFile(t, data) })
	}
	rapid.Check(t, func(rt *rapid.T) {
		w, h := rapid.IntRange(1, 40).Draw(rt, "width"), rapid.IntRange(1, 40).Draw(rt, "height")
		data := encoded(t, w, h, rapid.IntRange(1, 100).Draw(rt, "quality"), rapid.Bool().Draw(rt, "gray"))
		compareFile(rt, data)
	})
}

// The transform is the mathematical one, rounded.
func TestTransform(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for range 200 {
		var b [64]int32
		for i := range 1 + rng.IntN(20) {
			b[zigzag[i]] = int32(rng.NormFloat64() * 100)
		}
		in := b
		var got [64]uint8
		transform(got[:], 8, &b)
		for y := range 8 {
			for x := range 8 {
				var sum float64
				for v := range 8 {
					for u := range 8 {
						c := float64(in[8*v+u]) / 4
						if u == 0 {
							c /= math.Sqrt2
						}
						if v == 0 {
							c /= math.Sqrt2
						}
						sum += c * math.Cos(float64((2*x+1)*u)*math.Pi/16) * math.Cos(float64((2*y+1)*v)*math.Pi/16)
					}
				}
				want := min(max(sum+128, 0), 255)
				if math.Abs(float64(got[8*y+x])-want) > 0.6 {
					t.Fatalf("sample (%d, %d) of %v is %d, want %.2f", x, y, in, got[8*y+x], want)
				}
			}
		}
	}
}

// A file that ends early is an error, even if it has an end marker.
func TestTruncated(t *testing.T) {
	for name, data := range files(t) {
		scan := bytes.LastIndex(data, []byte{0xff, markerSOS})
		for n := range data {
			_, err := Decode(data[:n])
			if err == nil {
				t.Errorf("%s: no error after %d of %d bytes", name, n, len(data))
			}
			// The last scan of a progressive file can end with bits that no block needs, in its last bytes.
			if n > scan+20 && n < len(data)-6 && data[n-1] != 0xff {
				if _, err := Decode(append(data[:n:n], 0xff, markerEOI)); err == nil {
					t.Errorf("%s: no error with an end marker after %d of %d bytes", name, n, len(data))
				}
			}
		}
	}
}

func segment(marker byte, body ...byte) []byte {
	return append(binary.BigEndian.AppendUint16([]byte{0xff, marker}, uint16(len(body)+2)), body...)
}

func TestColor(t *testing.T) {
	data := encoded(t, 20, 20, 80, false)
	adobe := func(transform byte) []byte {
		return segment(markerAPP14, append([]byte("Adobe\x00\x64\x00\x00\x00\x00"), transform)...)
	}
	jfif := segment(markerAPP0, []byte("JFIF\x00\x01\x01\x00\x00\x01\x00\x01\x00\x00")...)
	const letters = "RGB"
	for _, c := range []struct {
		name     string
		segments []byte
		ids      string
		want     Color
	}{
		{"plain", nil, "\x01\x02\x03", YCbCr},
		{"other numbers", nil, "\x00\x01\x02", YCbCr},
		{"letters", nil, letters, RGB},
		{"JFIF and letters", jfif, letters, YCbCr},
		{"short JFIF", segment(markerAPP0, []byte("JFIF\x00")...), letters, RGB},
		{"Adobe 0", adobe(0), "\x01\x02\x03", RGB},
		{"Adobe 1 and letters", adobe(1), letters, YCbCr},
		{"Adobe 7", adobe(7), "\x01\x02\x03", YCbCr},
		{"JFIF and Adobe 0", append(jfif, adobe(0)...), "\x01\x02\x03", YCbCr},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := append(append([]byte{0xff, markerSOI}, c.segments...), data[2:]...)
			frame := b[bytes.Index(b, []byte{0xff, markerSOF0}):]
			scan := b[bytes.Index(b, []byte{0xff, markerSOS}):]
			for i := range 3 {
				frame[10+3*i], scan[5+2*i] = c.ids[i], c.ids[i]
			}
			// Markers behind the first scan do not count.
			b = append(b[:len(b)-2:len(b)-2], adobe(0)...)
			m, err := Decode(append(b, 0xff, markerEOI))
			if err != nil {
				t.Fatal(err)
			}
			if m.Color != c.want {
				t.Errorf("color %d, want %d", m.Color, c.want)
			}
		})
	}
}

func TestErrors(t *testing.T) {
	good := encoded(t, 20, 20, 80, false)
	find := func(b []byte, marker byte) []byte { return b[bytes.Index(b, []byte{0xff, marker}):] }
	for name, c := range map[string]struct {
		edit func(b []byte) []byte
		want string
	}{
		"not a JPEG": {func([]byte) []byte { return []byte("GIF89a") }, "no start marker"},
		"two frames": {func(b []byte) []byte {
			frame := find(b, markerSOF0)[:19]
			return append(append([]byte{0xff, markerSOI}, frame...), b[2:]...)
		}, "two frames"},
		"12 bits":      {func(b []byte) []byte { find(b, markerSOF0)[4] = 12; return b }, "8 bits"},
		"no height":    {func(b []byte) []byte { copy(find(b, markerSOF0)[5:], []byte{0, 0}); return b }, "no pixels"},
		"sampling 0":   {func(b []byte) []byte { find(b, markerSOF0)[11] = 0x02; return b }, "wrong channel"},
		"fraction":     {func(b []byte) []byte { find(b, markerSOF0)[11], find(b, markerSOF0)[14] = 0x31, 0x21; return b }, "fraction"},
		"lossless":     {func(b []byte) []byte { find(b, markerSOF0)[1] = 0xc3; return b }, "lossless"},
		"arithmetic":   {func(b []byte) []byte { find(b, markerSOF0)[1] = 0xc9; return b }, "arithmetic"},
		"pixels first": {func(b []byte) []byte { find(b, markerSOF0)[1] = markerCOM; return b }, "before the frame"},
		"no quantizer": {func(b []byte) []byte { find(b, markerDQT)[1] = markerCOM; return b }, "no quantization table"},
		"other height": {func(b []byte) []byte {
			return append(b[:len(b)-2:len(b)-2], 0xff, markerDNL, 0, 4, 0, 21, 0xff, markerEOI)
		}, "height"},
		"no Huffman table": {func(b []byte) []byte { find(b, markerSOS)[6] = 0x22; return b }, "without its Huffman table"},
		"long Huffman table": {func(b []byte) []byte {
			find(b, markerDHT)[5] = 3 // three codes of one bit
			return b
		}, "Huffman table"},
		"unknown channel": {func(b []byte) []byte { find(b, markerSOS)[5] = 9; return b }, "unknown channel"},
		"channel twice":   {func(b []byte) []byte { find(b, markerSOS)[7] = 1; return b }, "one twice"},
		"a missing scan": {func(b []byte) []byte {
			scan := bytes.Index(b, []byte{0xff, markerSOS})
			return append(b[:scan:scan], 0xff, markerEOI)
		}, "channel without pixels"},
		"restart": {func(b []byte) []byte {
			return append(append([]byte{0xff, markerSOI}, segment(markerDRI, 0, 1)...), b[2:]...)
		}, "restart marker"},
		"segment too long": {func(b []byte) []byte { copy(find(b, markerDQT)[2:], []byte{255, 255}); return b }, "wrong size"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Decode(c.edit(bytes.Clone(good)))
			var format FormatError
			var unsupported UnsupportedError
			if err == nil || !strings.Contains(err.Error(), c.want) || !errors.As(err, &format) && !errors.As(err, &unsupported) {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
}

// TestCheck changes bytes of files: Check finds the errors that Decode finds.
func TestCheck(t *testing.T) {
	all := files(t)
	all["gray"] = encoded(t, 64, 48, 70, true)
	names := slices.Sorted(maps.Keys(all))
	broken := 0
	rapid.Check(t, func(t *rapid.T) {
		data := bytes.Clone(all[rapid.SampledFrom(names).Draw(t, "file")])
		start := bytes.Index(data, []byte{0xff, markerSOS})
		for range rapid.IntRange(0, 3).Draw(t, "changes") {
			data[rapid.IntRange(start, len(data)-1).Draw(t, "at")] = rapid.Byte().Draw(t, "byte")
		}
		_, want := Decode(data)
		if got := Check(data); got != want {
			t.Fatalf("got %v, Decode returns %v", got, want)
		}
		if want != nil {
			broken++
		}
	})
	if broken == 0 {
		t.Error("no file was broken")
	}
}

// TestStandardTables reads a file without its tables, which are the standard ones, and with its height again.
func TestStandardTables(t *testing.T) {
	data := encoded(t, 40, 30, 80, false)
	want, err := Decode(data)
	if err != nil {
		t.Fatal(err)
	}
	for {
		i := bytes.Index(data, []byte{0xff, markerDHT})
		if i < 0 {
			break
		}
		data = slices.Delete(data, i, i+2+int(binary.BigEndian.Uint16(data[i+2:])))
	}
	data = append(data[:len(data)-2], 0xff, markerDNL, 0, 4, 0, 30, 0xff, markerEOI)
	got, err := Decode(data)
	if err != nil {
		t.Fatal(err)
	}
	for i, c := range got.Components {
		if !bytes.Equal(c.Pix, want.Components[i].Pix) {
			t.Errorf("component %d differs", i)
		}
	}
}

// Channels of the same number are in their order.
func TestEqualNumbers(t *testing.T) {
	data := encoded(t, 40, 30, 80, false)
	want, err := Decode(data)
	if err != nil {
		t.Fatal(err)
	}
	frame, scan := bytes.Index(data, []byte{0xff, markerSOF0}), bytes.Index(data, []byte{0xff, markerSOS})
	for i := range 3 {
		data[frame+10+3*i], data[scan+5+2*i] = 1, 1
	}
	got, err := Decode(data)
	if err != nil {
		t.Fatal(err)
	}
	for i, c := range got.Components {
		if !bytes.Equal(c.Pix, want.Components[i].Pix) {
			t.Errorf("other samples in channel %d", i)
		}
	}
}

func FuzzDecode(f *testing.F) {
	for _, data := range files(f) {
		f.Add(data)
	}
	f.Add(encoded(f, 17, 9, 50, true))
	f.Fuzz(func(t *testing.T, data []byte) {
		// The caller bounds the size of the frame and the number of scans.
		for i := 0; i+9 < len(data); i++ {
			if data[i] == 0xff && data[i+1] >= markerSOF0 && data[i+1] <= markerSOF2 && (data[i+5] > 0 || data[i+7] > 0) {
				return
			}
		}
		if bytes.Count(data, []byte{0xff, markerSOS}) > 20 {
			return
		}
		m, err := Decode(data)
		if got := Check(data); got != err {
			t.Errorf("Check returns %v, Decode %v", got, err)
		}
		if err != nil {
			return
		}
		for i, c := range m.Components {
			columns, rows := (m.Width+c.H-1)/c.H, (m.Height+c.V-1)/c.V
			if len(c.Pix) < (rows-1)*c.Stride+columns {
				t.Errorf("%d samples of channel %d for %d×%d pixels", len(c.Pix), i, m.Width, m.Height)
			}
		}
	})
}

func BenchmarkDecode(b *testing.B) {
	data := encoded(b, 640, 480, 90, false)
	b.Run("jpeg", func(b *testing.B) {
		benchmetric.ReportMegapixels(b, 640*480)
		for b.Loop() {
			if _, err := Decode(data); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("check", func(b *testing.B) {
		benchmetric.ReportMegapixels(b, 640*480)
		for b.Loop() {
			if err := Check(data); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("image/jpeg", func(b *testing.B) {
		benchmetric.ReportMegapixels(b, 640*480)
		for b.Loop() {
			if _, err := jpeg.Decode(bytes.NewReader(data)); err != nil {
				b.Fatal(err)
			}
		}
	})
}
