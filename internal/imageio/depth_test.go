package imageio

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestParseDepth(t *testing.T) {
	for text, want := range map[string]Depth{"16": 0, "8": 8, "12": 12, "auto": AutoDepth} {
		got, err := ParseDepth(text)
		if err != nil || got != want || got.String() != text {
			t.Errorf("%q: got %v, %v", text, got, err)
		}
	}
	for _, text := range []string{"", "0", "7", "17", "-1", "Auto", "12.0"} {
		if got, err := ParseDepth(text); err == nil {
			t.Errorf("%q: got %v, want an error", text, got)
		}
	}
}

// gray16 returns a PNG and a TIFF of one row of 16-bit samples.
func gray16(samples ...uint16) map[string][]byte {
	var row []byte
	for _, v := range samples {
		row = binary.BigEndian.AppendUint16(row, v)
	}
	n := len(samples)
	tags := func(photometric uint32) []tiffTag {
		return []tiffTag{{258, 3, []uint32{16}}, {262, 3, []uint32{photometric}}}
	}
	return map[string][]byte{
		"png":                 pngFile(n, 1, 16, 0, [][]byte{row}),
		"png with alpha":      pngFile(n, 1, 16, 4, [][]byte{withAlpha(row)}),
		"png rgb":             pngFile(n, 1, 16, 2, [][]byte{triple(row)}),
		"tiff":                tiffFile(binary.BigEndian, n, 1, tags(1), row),
		"tiff, white is zero": tiffFile(binary.BigEndian, n, 1, tags(0), row),
	}
}

func withAlpha(row []byte) (b []byte) {
	for ; len(row) > 0; row = row[2:] {
		b = append(b, row[0], row[1], 255, 255)
	}
	return b
}

func triple(row []byte) (b []byte) {
	for ; len(row) > 0; row = row[2:] {
		b = append(b, row[0], row[1], row[0], row[1], row[0], row[1])
	}
	return b
}

func TestDepth(t *testing.T) {
	for _, c := range []struct {
		depth   Depth
		samples []uint16
		want    []uint8
		low     string // part of the warning
	}{
		{0, []uint16{0, 257, 65535}, []uint8{0, 1, 255}, ""},
		{0, []uint16{0, 4096}, []uint8{0, 16}, ""},
		{0, []uint16{0, 4095}, []uint8{0, 16}, "samples from 0 to 4095 of 0 to 65535 leave 17 of 256 levels: set the option depth to 12 or auto"},
		{0, []uint16{30000, 33000}, []uint8{117, 128}, "leave 12 of 256 levels: set the option depth to auto"},
		{0, []uint16{3, 7}, []uint8{0, 0}, "set the option depth to 8 or auto"},
		{0, []uint16{500, 500}, []uint8{2, 2}, ""}, // uniform
		{12, []uint16{0, 2048, 4095}, []uint8{0, 128, 255}, ""},
		{12, []uint16{0, 255}, []uint8{0, 16}, "samples from 0 to 255 of 0 to 4095 leave 17 of 256 levels: set the option depth to 8 or auto"},
		{14, []uint16{0, 16383}, []uint8{0, 255}, ""},
		{10, []uint16{0, 1, 2, 3, 1023}, []uint8{0, 0, 0, 1, 255}, ""},
		{8, []uint16{0, 1, 255}, []uint8{0, 1, 255}, ""},
		{AutoDepth, []uint16{0, 2048, 4095}, []uint8{0, 128, 255}, ""},
		{AutoDepth, []uint16{0, 512, 1023}, []uint8{0, 128, 255}, ""},
		{AutoDepth, []uint16{0, 257, 65535}, []uint8{0, 1, 255}, ""},
		{AutoDepth, []uint16{0, 40000}, []uint8{0, 156}, ""},
		{AutoDepth, []uint16{0, 1, 2}, []uint8{0, 128, 255}, ""}, // less than a sixteenth of 8 bits
		{AutoDepth, []uint16{40000, 40500, 41000}, []uint8{0, 128, 255}, ""},
		{AutoDepth, []uint16{40000, 40000}, []uint8{156, 156}, ""},
		{AutoDepth, []uint16{0, 0}, []uint8{0, 0}, ""},
	} {
		for name, data := range gray16(c.samples...) {
			t.Run(fmt.Sprintf("%v %v %s", c.depth, c.samples, name), func(t *testing.T) {
				p, err := Decode(t.Context(), data, Options{Depth: c.depth})
				if err != nil {
					t.Fatal(err)
				}
				want := slices.Clone(c.want)
				if strings.HasSuffix(name, "zero") {
					for i, v := range want {
						want[i] = 255 - v
					}
				}
				for plane := range p.Image.Space.Planes() {
					if got := p.Image.Plane(plane); !slices.Equal(got, want) {
						t.Errorf("got %v, want %v", got, want)
					}
				}
				if got := p.LowRange; (got != nil) != (c.low != "") || got != nil && !strings.Contains(got.String(), c.low) {
					t.Errorf("got warning %v, want %q", got, c.low)
				}
			})
		}
	}
}

func TestSamplesAboveTheDepth(t *testing.T) {
	for name, data := range gray16(0, 4096) {
		t.Run(name, func(t *testing.T) {
			_, err := Decode(t.Context(), data, Options{Depth: 12})
			var e *DepthError
			if !errors.As(err, &e) || *e != (DepthError{12, 4096}) || !strings.Contains(err.Error(), "want a depth of 13 or more, or auto") {
				t.Errorf("got %v", err)
			}
		})
	}
	if got := (&DepthError{12, 65535}).Want(); got != "16 or auto" {
		t.Errorf("got %q", got)
	}
}

// Samples that cannot be seen do not count: of transparent pixels, and of the transparent gray level.
func TestDepthOfTransparentPixels(t *testing.T) {
	row := []byte{0x0f, 0xff, 255, 255, 0xff, 0xff, 0, 0, 0, 0, 255, 255}
	for name, data := range map[string][]byte{
		"alpha": pngFile(3, 1, 16, 4, [][]byte{row}),
		"key":   pngFile(3, 1, 16, 0, [][]byte{{0x0f, 0xff, 0x12, 0x34, 0, 0}}, pngChunk("tRNS", []byte{0x12, 0x34})),
	} {
		t.Run(name, func(t *testing.T) {
			for _, depth := range []Depth{12, AutoDepth} {
				p, err := Decode(t.Context(), data, Options{Depth: depth})
				if err != nil || !slices.Equal(p.Image.Plane(0), []uint8{255, 255, 0}) {
					t.Errorf("depth %v: got %v, %v", depth, p, err)
				}
			}
			if p, err := Decode(t.Context(), data, Options{}); err != nil || p.LowRange == nil {
				t.Errorf("got %v, %v, want a warning", p, err)
			}
		})
	}
}

// Alpha has 16 bits at any depth.
func TestDepthWithAlpha(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		depth := rapid.IntRange(8, 15).Draw(t, "depth")
		top := uint16(1<<depth - 1)
		v, a := rapid.Uint16Range(0, top).Draw(t, "v"), rapid.Uint16().Draw(t, "a")
		row := binary.BigEndian.AppendUint16(binary.BigEndian.AppendUint16(nil, v), a)
		p, err := Decode(t.Context(), pngFile(1, 1, 16, 4, [][]byte{row}), Options{Depth: Depth(depth)})
		if err != nil {
			t.Fatal(err)
		}
		alpha := float64(a) / 65535
		want := int(255*(float64(v)/float64(top)*alpha+1-alpha) + .5)
		if d := int(p.Image.Pix[0]) - want; d < -1 || d > 1 {
			t.Fatalf("got %d, want %d", p.Image.Pix[0], want)
		}
	})
}

func TestDepthOf8BitsIsIgnored(t *testing.T) {
	for _, depth := range []Depth{8, 10, AutoDepth} {
		p, err := Decode(t.Context(), pngFile(2, 1, 8, 0, [][]byte{{3, 9}}), Options{Depth: depth})
		if err != nil || !slices.Equal(p.Image.Pix, []uint8{3, 9}) || p.LowRange != nil {
			t.Errorf("depth %v: got %v, %v", depth, p, err)
		}
	}
}
