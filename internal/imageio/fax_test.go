package imageio

import (
	"bytes"
	"errors"
	"io"
	"math/bits"
	"slices"
	"strings"
	"testing"

	"golang.org/x/image/ccitt"
	"pgregory.net/rapid"
)

// faxWriter codes rows of pixels, of which 1 is black.
type faxWriter struct {
	bits []byte // 0 or 1
}

func (w *faxWriter) code(s string) {
	for _, c := range s {
		w.bits = append(w.bits, byte(c-'0'))
	}
}

// align adds zeros up to a multiple of n bits.
func (w *faxWriter) align(n int) {
	for len(w.bits)%n != 0 {
		w.bits = append(w.bits, 0)
	}
}

func (w *faxWriter) bytes() (b []byte) {
	w.align(8)
	for i := 0; i < len(w.bits); i += 8 {
		v := byte(0)
		for _, bit := range w.bits[i : i+8] {
			v = v<<1 | bit
		}
		b = append(b, v)
	}
	return b
}

func (w *faxWriter) run(color, n int) {
	codes := strings.Fields([]string{faxWhite, faxBlack}[color] + faxLong)
	for ; n > 2560; n -= 2560 {
		w.code(codes[63+2560/64])
	}
	if n >= 64 {
		w.code(codes[63+n/64])
	}
	w.code(codes[n%64])
}

// next returns the first column after x whose color differs from the one before it, which is color at first.
func nextChange(row []byte, x int, color byte) int {
	for x < len(row) && row[x] == color {
		x++
	}
	return x
}

func (w *faxWriter) row1D(row []byte) {
	for x, color := 0, byte(0); x < len(row); color ^= 1 {
		end := nextChange(row, x, color)
		w.run(int(color), end-x)
		x = end
	}
}

func (w *faxWriter) row2D(above, row []byte) {
	modes := strings.Fields(faxModes)
	at := func(row []byte, x int) byte {
		if x < 0 {
			return 0
		}
		return row[x]
	}
	for x := -1; x < len(row); {
		color := at(row, x)
		a1 := nextChange(row, max(x, 0), color)
		b1 := x + 1
		for b1 < len(row) && (above[b1] == color || at(above, b1-1) != color) {
			b1++
		}
		b2 := b1
		if b1 < len(row) {
			b2 = nextChange(above, b1, above[b1])
		}
		i := slices.Index(faxShift[:], a1-b1)
		switch {
		case b2 < a1:
			w.code(modes[faxPass])
			x = b2
			continue
		case i >= 0:
			w.code(modes[i])
			x = a1
		default:
			w.code(modes[faxHorizontal])
			a2 := len(row)
			if a1 < len(row) {
				a2 = nextChange(row, a1, row[a1])
			}
			w.run(int(color), a1-max(x, 0))
			w.run(int(color^1), a2-a1)
			x = a2
		}
	}
}

func reversedBits(data []byte) []byte {
	data = slices.Clone(data)
	for i, v := range data {
		data[i] = bits.Reverse8(v)
	}
	return data
}

const faxEOL = "000000000001"

// TestFaxCodes reads what other code writes, in each compression, and compares it with x/image where
// that reads it as well.
func TestFaxCodes(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		width := rapid.SampledFrom([]int{1, 7, 8, 9, 40, 200, 5300}).Draw(t, "width")
		height := rapid.IntRange(1, 5).Draw(t, "height")
		compression := rapid.SampledFrom(faxCompressions).Draw(t, "compression")
		mixed := compression == compressionG3 && rapid.Bool().Draw(t, "mixed")
		fill := compression == compressionG3 && rapid.Bool().Draw(t, "fill")
		lowFirst := rapid.Bool().Draw(t, "lowFirst")
		w := &faxWriter{}
		above := make([]byte, width)
		var want []byte
		for y := range height {
			// Rows that resemble the one above, so that all modes occur.
			row := slices.Clone(above)
			for range rapid.IntRange(0, 6).Draw(t, "changes") {
				x0 := rapid.IntRange(0, width).Draw(t, "x0")
				x1 := min(width, x0+rapid.SampledFrom([]int{1, 2, 3, 60, 64, 3000}).Draw(t, "run"))
				color := byte(rapid.IntRange(0, 1).Draw(t, "color"))
				for x := x0; x < x1; x++ {
					row[x] = color
				}
			}
			packed := make([]byte, (width+7)/8)
			for x, v := range row {
				packed[x/8] |= v << (7 - x%8)
			}
			want = append(want, packed...)
			switch compression {
			case compressionRLE:
				w.align(8)
				w.row1D(row)
			case compressionRLEWord:
				w.align(16)
				w.row1D(row)
			case compressionG4:
				w.row2D(above, row)
			default:
				if fill {
					for len(w.bits)%8 != 4 { // the code ends with a byte
						w.code("0")
					}
				}
				w.code(faxEOL)
				flat := y%2 == 0
				switch {
				case mixed && flat:
					w.code("1")
					w.row1D(row)
				case mixed:
					w.code("0")
					w.row2D(above, row)
				default:
					w.row1D(row)
				}
			}
			above = row
		}
		end := 6 // codes at the end of a page
		if compression == compressionG4 {
			end = 2
		}
		if compression == compressionG3 || compression == compressionG4 {
			for range end {
				w.code(faxEOL)
				if mixed {
					w.code("1")
				}
			}
		}
		data := w.bytes()
		order := ccitt.MSB
		if lowFirst {
			order = ccitt.LSB
			data = reversedBits(data)
		}
		options := uint32(0)
		if mixed {
			options = t4TwoDimensional
		}
		r := newFaxReader(data, width, compression, options, lowFirst)
		got := make([]byte, len(want))
		if _, err := io.ReadFull(r, got); err != nil || !bytes.Equal(got, want) {
			t.Fatalf("got %x, %v, want %x", got, err, want)
		}
		if compression == compressionG4 || compression == compressionG3 && !mixed && !fill {
			format := map[uint32]ccitt.SubFormat{compressionG3: ccitt.Group3, compressionG4: ccitt.Group4}[compression]
			other := make([]byte, len(want))
			if _, err := io.ReadFull(ccitt.NewReader(bytes.NewReader(data), order, format, width, height, &ccitt.Options{Invert: true}), other); err != nil || !bytes.Equal(other, want) {
				t.Fatalf("x/image reads %x, %v, want %x", other, err, want)
			}
		}
		// A row more than there is.
		if n, err := io.ReadFull(r, got[:len(want)/height]); err == nil && (compression == compressionG4 || compression == compressionG3) {
			t.Fatalf("read %d bytes behind the end", n)
		}
	})
}

func TestFaxDamage(t *testing.T) {
	for name, c := range map[string]struct {
		compression, options uint32
		codes                string
		want                 error
	}{
		"empty":                  {compressionG4, 0, "", io.ErrUnexpectedEOF},
		"no code":                {compressionRLE, 0, "00000000000000000000000000000000", errFaxCode},
		"long row":               {compressionRLE, 0, "110110011", errFaxLong},                     // 64 white pixels of 10
		"change before":          {compressionG4, 0, "010" + "0000010" + "0000000000", errFaxCode}, // to column 9, then 7
		"uncompressed":           {compressionG4, 0, "0000001111000000000000000", errFaxExtension}, // mode 10
		"end of page":            {compressionG4, 0, faxEOL + faxEOL + "0000000000000000", errFaxCode},
		"end of page of group 3": {compressionG3, 0, faxEOL + faxEOL + "0000000000000000", io.ErrUnexpectedEOF},
		"no tag":                 {compressionG3, t4TwoDimensional, "11111111111111111", errFaxCode},
		"long fill":              {compressionG3, 0, strings.Repeat("0", maxFaxFill+100) + "1", errFaxCode},
		"pixel too many":         {compressionG4, 0, "001" + "10011" + "10" + "0000000000000", errFaxLong}, // 8 white, 3 black of 10
	} {
		t.Run(name, func(t *testing.T) {
			w := &faxWriter{}
			w.code(c.codes)
			_, err := newFaxReader(w.bytes(), 10, c.compression, c.options, false).Read(make([]byte, 2))
			if !errors.Is(err, c.want) {
				t.Errorf("got %v, want %v", err, c.want)
			}
		})
	}
}

// FuzzFax checks that rows end and have the width of the image.
func FuzzFax(f *testing.F) {
	for i := range faxCompressions {
		f.Add([]byte("\x26\xa1\x00\x10\x01\x35\x35\x35"), uint8(i), uint16(40), false, false)
		f.Add([]byte("\x00\x10\x01\x9a\x80\x08\x00"), uint8(i), uint16(9), true, true)
	}
	f.Fuzz(func(t *testing.T, data []byte, compression uint8, width uint16, mixed, lowFirst bool) {
		if width == 0 {
			return
		}
		options := uint32(0)
		if mixed {
			options = t4TwoDimensional
		}
		r := newFaxReader(data, int(width), faxCompressions[int(compression)%len(faxCompressions)], options, lowFirst)
		for range 8*len(data) + 1 { // a row takes a bit
			err := r.next()
			if err != nil {
				return
			}
			r.pack()
			last := -1
			for _, x := range r.row {
				if x <= last || x > int(width) {
					t.Fatalf("changes at %v in a row of %d", r.row, width)
				}
				last = x
			}
		}
		if r.pos <= int64(len(data))*8 {
			t.Fatal("a row of no code")
		}
	})
}
