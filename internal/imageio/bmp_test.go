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
