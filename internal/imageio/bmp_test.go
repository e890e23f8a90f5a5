package imageio

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/bits"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// TestBMPSamplesAreScaled checks that samples of any number of bits become 0 to 255.
func TestBMPSamplesAreScaled(t *testing.T) {
	for _, c := range []struct {
		name        string
		info        int
		depth       int
		compression int
		masks       []uint32
	}{
		{"5-5-5", 40, 16, 0, []uint32{0x7c00, 0x3e0, 0x1f}},
		{"5-6-5", 40, 16, 3, []uint32{0xf800, 0x7e0, 0x1f}},
		{"5-6-5, v2", 52, 16, 3, []uint32{0xf800, 0x7e0, 0x1f}},
		{"5-6-5, v3", 56, 16, 3, []uint32{0xf800, 0x7e0, 0x1f, 0}},
		{"5-6-5, v4", 108, 16, 3, []uint32{0xf800, 0x7e0, 0x1f, 0}},
		{"5-6-5, v5", 124, 16, 3, []uint32{0xf800, 0x7e0, 0x1f, 0}},
		{"blue first", 56, 16, 3, []uint32{0x1f, 0x7e0, 0xf800, 0}},
		{"4-4-4", 56, 16, 3, []uint32{0xf00, 0xf0, 0xf, 0}},
		{"1-5-5-5", 56, 16, 3, []uint32{0x7c00, 0x3e0, 0x1f, 0x8000}},
		{"4-4-4-4", 40, 16, 6, []uint32{0xf00, 0xf0, 0xf, 0xf000}},
		{"8-8-8, red first", 40, 32, 3, []uint32{0xff, 0xff00, 0xff0000}},
		{"10-10-10", 40, 32, 3, []uint32{0x3ff00000, 0xffc00, 0x3ff}},
		{"10-10-10-2", 124, 32, 3, []uint32{0x3ff00000, 0xffc00, 0x3ff, 0xc0000000}},
		{"no blue", 40, 16, 3, []uint32{0xff00, 0xff, 0}},
	} {
		t.Run(c.name, func(t *testing.T) {
			const w, h = 5, 3
			var pixels []byte
			var want [3][]uint8
			next := uint32(1)
			for i := range w * h {
				var p uint32
				var v [4]float64
				v[3] = 1
				for k, mask := range c.masks {
					next = next*1664525 + 1013904223
					n := next >> 16
					switch i {
					case 0:
						n = 0
					case 1:
						n = ^uint32(0)
					}
					if mask == 0 {
						continue
					}
					shift := bits.TrailingZeros32(mask)
					p |= n << shift & mask
					v[k] = float64(n<<shift&mask>>shift) / float64(mask>>shift)
				}
				for k := range want {
					want[k] = append(want[k], uint8(255*(v[k]*v[3]+1-v[3])+.5))
				}
				if pixels = binary.LittleEndian.AppendUint32(pixels, p); c.depth == 16 {
					pixels = pixels[:len(pixels)-2]
				}
				if i%w == w-1 {
					pixels = append(pixels, make([]byte, -len(pixels)&3)...)
				}
			}
			masks := c.masks
			if c.compression == 0 {
				masks = nil
			}
			p, err := Decode(t.Context(), bmpFile(c.info, w, -h, c.depth, c.compression, masks, nil, pixels), Options{})
			if err != nil {
				t.Fatal(err)
			}
			for k := range want {
				for i, v := range p.Image.Plane(k) {
					if d := int(v) - int(want[k][i]); d < -1 || d > 1 || len(c.masks) == 3 && d != 0 {
						t.Errorf("pixel %d, channel %d: got %d, want %d", i, k, v, want[k][i])
					}
				}
			}
		})
	}
}

func TestBMPPalette(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		info := rapid.SampledFrom([]int{12, 40, 64, 124}).Draw(t, "info")
		depth := rapid.SampledFrom([]int{1, 2, 4, 8}).Draw(t, "depth")
		w, h := rapid.IntRange(1, 20).Draw(t, "w"), rapid.IntRange(1, 3).Draw(t, "h")
		entry := 4
		if info == 12 {
			entry = 3
		}
		colors := 1 << depth
		if info != 12 {
			colors = rapid.SampledFrom([]int{colors, max(1, colors-1), 1}).Draw(t, "colors")
		}
		palette := rapid.SliceOfN(rapid.Byte(), colors*entry, colors*entry).Draw(t, "palette")
		stride := (w*depth + 31) / 32 * 4
		pixels := rapid.SliceOfN(rapid.Byte(), stride*h, stride*h).Draw(t, "pixels")
		data := bmpFile(info, w, h, depth, 0, nil, palette, pixels)
		if rapid.Bool().Draw(t, "offset without palette") {
			binary.LittleEndian.PutUint32(data[10:], uint32(14+info))
		}
		p, err := Decode(t.Context(), data, Options{})
		var index []int // of each pixel
		bad := false
		for y := range h {
			row := ""
			for _, b := range pixels[(h-1-y)*stride:][:stride] {
				row += fmt.Sprintf("%08b", b)
			}
			for x := range w {
				var i int
				fmt.Sscanf(row[x*depth:(x+1)*depth], "%b", &i)
				index = append(index, i)
				bad = bad || i >= colors
			}
		}
		if bad {
			if !errors.As(err, new(*FormatError)) || !strings.Contains(err.Error(), "of a palette of") {
				t.Fatalf("got %v for an index outside of the palette", err)
			}
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		for k, i := range index {
			for c := range 3 {
				if got, want := p.Image.Plane(c)[k], palette[i*entry+2-c]; got != want {
					t.Fatalf("pixel %d,%d, channel %d: got %d, want %d", k%w, k/w, c, got, want)
				}
			}
		}
	})
}

// An image whose pixels are all transparent is one whose writer does not use alpha.
func TestBMPWithUnusedAlpha(t *testing.T) {
	masks := []uint32{0xff0000, 0xff00, 0xff, 0xff000000}
	p, err := Decode(t.Context(), bmpFile(124, 2, 1, 32, 3, masks, nil, []byte{1, 2, 3, 0, 4, 5, 6, 0}), Options{})
	if err != nil {
		t.Fatal(err)
	}
	if got := p.Image.Plane(0); got[0] != 3 || got[1] != 6 {
		t.Errorf("got red %v, want 3 and 6", got)
	}
}

// rleBMP returns the codes of rows of indices from the bottom, in runs or as they are.
func rleBMP(depth, width int, pix []uint16, literal bool) (b []byte) {
	for y := len(pix)/width - 1; y >= 0; y-- {
		for row := pix[y*width:][:width]; len(row) > 0; {
			n := 1
			for n < len(row) && n < 255 && row[n] == row[0] {
				n++
			}
			if literal && len(row) >= 3 {
				n = min(len(row), 10)
				packed := (&tiffSpec{depth: depth}).pack(row[:n])
				b = append(append(b, 0, byte(n)), packed...)
				b = append(b, make([]byte, len(packed)&1)...)
			} else {
				b = append(b, byte(n), byte(row[0]<<(8-depth)|row[0]))
			}
			row = row[n:]
		}
		b = append(b, 0, 0)
	}
	return append(b, 0, 1)
}

// TestBMPRuns checks codes of runs, those that skip pixels, and damaged ones.
func TestBMPRuns(t *testing.T) {
	palette := make([]byte, 4*16)
	for i := range 16 {
		palette[4*i] = byte(i) // blue
	}
	for _, c := range []struct {
		name  string
		depth int
		codes []byte
		want  string // the blue samples from the top, in hexadecimal digits, or an error
	}{
		{"runs", 8, []byte{4, 1, 0, 0, 3, 2, 1, 3, 0, 0, 0, 4, 4, 5, 6, 7, 0, 1}, "456722231111"},
		{"two indices in turn", 4, []byte{4, 0x12, 0, 0, 3, 0x34, 1, 0x30, 0, 0, 0, 4, 0x56, 0x78, 0, 0}, "567834331212"},
		{"to the end of a word", 4, []byte{8, 0x12, 0, 0, 8, 0x34, 0, 0, 8, 0x56, 0, 1}, "565634341212"},
		{"end of the image", 8, []byte{0, 1}, "pixels without a color in row 2"},
		{"rows that end early", 8, []byte{2, 5, 0, 0}, "pixels without a color in row 2"},
		{"image that ends early", 8, []byte{4, 5, 0, 1}, "pixels without a color in row 1"},
		{"skipped pixels", 8, []byte{1, 7, 0, 2, 1, 1, 1, 8, 0, 1}, "pixels without a color in row 2"},
		{"long run", 8, []byte{5, 1, 0, 1}, "has more than 4 pixels"},
		{"long literal", 8, []byte{2, 1, 0, 3, 1, 1, 1, 0, 0, 1}, "has more than 4 pixels"},
		{"cut", 8, []byte{4, 1, 0, 0}, "ends early: the pixels of row 1"},
		{"cut literal", 8, []byte{0, 4, 1, 2, 3}, "ends early: the pixels of row 2"},
		{"without an end", 8, []byte{4, 1, 0, 0, 4, 2, 0, 0, 4, 3}, "ends early: the pixels of row 0"},
		{"no color", 8, []byte{4, 16, 0, 0}, "has color 16 of a palette of 16"},
	} {
		t.Run(c.name, func(t *testing.T) {
			compression := map[int]int{8: bmpRLE8, 4: bmpRLE4}[c.depth]
			p, err := Decode(t.Context(), bmpFile(40, 4, 3, c.depth, compression, nil, palette, c.codes), Options{})
			got := ""
			if err != nil {
				got = err.Error()
			} else {
				for _, v := range p.Image.Plane(2) {
					got += fmt.Sprintf("%x", v)
				}
			}
			if !strings.Contains(got, c.want) {
				t.Errorf("got %s, want %s", got, c.want)
			}
		})
	}
	for name, data := range map[string][]byte{
		"large image": bmpFile(40, 5000, 5000, 8, bmpRLE8, nil, palette, []byte{0, 1}),
		"top down":    bmpFile(40, 4, -3, 8, bmpRLE8, nil, palette, []byte{0, 1}),
	} {
		if _, err := Inspect(data, Limits{}); !errors.As(err, new(*FormatError)) {
			t.Errorf("%s: got %v", name, err)
		}
	}
}
