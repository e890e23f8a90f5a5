package imageio

import (
	"errors"
	"io"
	"math/bits"
	"strings"
)

// Codes of ITU-T T.4, tables 2 and 3: the runs of 0 to 63 pixels, then those of 64 to 1728 in steps
// of 64, and of both colors those of 1792 to 2560.
const (
	faxWhite = `
00110101 000111 0111 1000 1011 1100 1110 1111 10011 10100 00111 01000 001000 000011 110100 110101 101010
101011 0100111 0001100 0001000 0010111 0000011 0000100 0101000 0101011 0010011 0100100 0011000 00000010
00000011 00011010 00011011 00010010 00010011 00010100 00010101 00010110 00010111 00101000 00101001
00101010 00101011 00101100 00101101 00000100 00000101 00001010 00001011 01010010 01010011 01010100
01010101 00100100 00100101 01011000 01011001 01011010 01011011 01001010 01001011 00110010 00110011
00110100 11011 10010 010111 0110111 00110110 00110111 01100100 01100101 01101000 01100111 011001100
011001101 011010010 011010011 011010100 011010101 011010110 011010111 011011000 011011001 011011010
011011011 010011000 010011001 010011010 011000 010011011`
	faxBlack = `
0000110111 010 11 10 011 0011 0010 00011 000101 000100 0000100 0000101 0000111 00000100 00000111
000011000 0000010111 0000011000 0000001000 00001100111 00001101000 00001101100 00000110111 00000101000
00000010111 00000011000 000011001010 000011001011 000011001100 000011001101 000001101000 000001101001
000001101010 000001101011 000011010010 000011010011 000011010100 000011010101 000011010110 000011010111
000001101100 000001101101 000011011010 000011011011 000001010100 000001010101 000001010110 000001010111
000001100100 000001100101 000001010010 000001010011 000000100100 000000110111 000000111000 000000100111
000000101000 000001011000 000001011001 000000101011 000000101100 000001011010 000001100110 000001100111
0000001111 000011001000 000011001001 000001011011 000000110011 000000110100 000000110101 0000001101100
0000001101101 0000001001010 0000001001011 0000001001100 0000001001101 0000001110010 0000001110011
0000001110100 0000001110101 0000001110110 0000001110111 0000001010010 0000001010011 0000001010100
0000001010101 0000001011010 0000001011011 0000001100100 0000001100101`
	faxLong = `
00000001000 00000001100 00000001101 000000010010 000000010011 000000010100 000000010101 000000010110
000000010111 000000011100 000000011101 000000011110 000000011111`
)

// faxModes are the codes of T.4, table 4, in the order of the constants.
const faxModes = "1 010 011 000010 000011 0000010 0000011 0001 001 0000001"

const (
	faxVertical   = iota // modes 0 to 6, see faxShift
	faxPass       = 7
	faxHorizontal = 8
	faxExtension  = 9
)

// faxShift is the distance of a change from that in the row above, in the vertical modes.
var faxShift = [7]int{0, -1, 1, -2, 2, -3, 3}

// faxBits is the length of the longest code.
const faxBits = 13

// A faxTable has the code at the start of each sequence of faxBits bits.
type faxTable [1 << faxBits]struct {
	value  int16 // run or mode
	length uint8 // 0: invalid
}

var faxRuns, faxModeTable = func() (runs [2]faxTable, modes faxTable) {
	add := func(t *faxTable, code string, value int) {
		first := 0
		for _, c := range code {
			first = first<<1 | int(c-'0')
		}
		free := faxBits - len(code)
		for i := range 1 << free {
			e := &t[first<<free|i]
			e.value, e.length = int16(value), uint8(len(code))
		}
	}
	for color, codes := range []string{faxWhite, faxBlack} {
		for i, code := range strings.Fields(codes + faxLong) {
			add(&runs[color], code, min(i, 64)+64*max(i-64, 0))
		}
	}
	for i, code := range strings.Fields(faxModes) {
		add(&modes, code, i)
	}
	return runs, modes
}()

var (
	errFaxCode      = errors.New("an invalid code")
	errFaxLong      = errors.New("a row is longer than the image is wide")
	errFaxExtension = errors.New("uncompressed data in CCITT codes")
)

// A faxReader decodes rows of pixels of one bit from the codes of facsimile (ITU-T T.4 and T.6), 0 being white.
type faxReader struct {
	data        []byte
	lowFirst    bool  // the first bit of a byte is the lowest one
	pos         int64 // in bits
	width       int
	compression uint32
	mixed       bool  // of compression 3: rows are coded one- or two-dimensionally, as a bit before each says
	above, row  []int // columns at which the color changes, the first one to black, in increasing order
	buf, left   []byte
}

// newFaxReader returns a reader of rows that are packed as in a TIFF.
func newFaxReader(data []byte, width int, compression, options uint32, lowFirst bool) *faxReader {
	return &faxReader{
		data: data, lowFirst: lowFirst, width: width, compression: compression,
		mixed: options&t4TwoDimensional != 0, buf: make([]byte, (width+7)/8),
	}
}

func (f *faxReader) Read(p []byte) (int, error) {
	if len(f.left) == 0 {
		if err := f.next(); err != nil {
			if f.pos >= int64(len(f.data))*8 {
				err = io.ErrUnexpectedEOF
			}
			return 0, err
		}
		f.pack()
		f.left = f.buf
	}
	n := copy(p, f.left)
	f.left = f.left[n:]
	return n, nil
}

// next decodes a row.
func (f *faxReader) next() error {
	f.above, f.row = f.row, f.above[:0]
	switch f.compression {
	case compressionG4:
		return f.decode2D()
	case compressionRLE:
		f.pos = (f.pos + 7) &^ 7
	case compressionRLEWord:
		f.pos = (f.pos + 15) &^ 15
	default:
		ended := f.skipEOL()
		if ended && f.skipEOL() { // the end of the page
			return io.ErrUnexpectedEOF
		}
		if f.mixed {
			if !ended {
				return errFaxCode
			}
			oneDimensional := f.peek()>>(faxBits-1) != 0
			f.pos++
			if !oneDimensional {
				return f.decode2D()
			}
		}
	}
	return f.decode1D()
}

// peek returns the next bits. Those behind the end are 0, which no code begins with.
func (f *faxReader) peek() int {
	var v uint32
	at := int(f.pos / 8)
	for i := at; i < at+3; i++ {
		v = v<<8 | uint32(f.byteAt(i))
	}
	return int(v >> (24 - faxBits - f.pos%8) & (1<<faxBits - 1))
}

// byteAt returns a byte, or 0 behind the end.
func (f *faxReader) byteAt(i int) byte {
	switch {
	case i >= len(f.data):
		return 0
	case f.lowFirst:
		return bits.Reverse8(f.data[i])
	}
	return f.data[i]
}

// maxFaxFill bounds the zeros in front of a code, so that they cannot take time in many strips.
const maxFaxFill = 1 << 15

// skipEOL skips the code at the end of a row, and the zeros before it: 11 zeros or more and a one.
func (f *faxReader) skipEOL() bool {
	if f.peek()>>(faxBits-11) != 0 {
		return false
	}
	end := min(f.pos+maxFaxFill, int64(len(f.data))*8)
	for f.pos += 11; f.pos < end; f.pos++ {
		switch v := f.byteAt(int(f.pos / 8)); {
		case v == 0:
			f.pos |= 7
		case v<<(f.pos%8)&0x80 != 0:
			f.pos++
			return true
		}
	}
	return false
}

// run reads the length of a run of a color, 0 or 1.
func (f *faxReader) run(color int) (int, error) {
	for n := 0; ; {
		code := faxRuns[color][f.peek()]
		if code.length == 0 {
			return 0, errFaxCode
		}
		f.pos += int64(code.length)
		if n += int(code.value); n > f.width {
			return 0, errFaxLong
		}
		if code.value < 64 {
			return n, nil
		}
	}
}

// change adds a change of the color. Two changes at a column are none.
func (f *faxReader) change(column int) error {
	n := len(f.row)
	switch {
	case column > f.width:
		return errFaxLong
	case n > 0 && column < f.row[n-1] || column < 0:
		return errFaxCode
	case n > 0 && column == f.row[n-1]:
		f.row = f.row[:n-1]
	default:
		f.row = append(f.row, column)
	}
	return nil
}

// addRun reads a run of a color, which begins at a column, and moves the column to its end.
func (f *faxReader) addRun(column *int, color int) error {
	n, err := f.run(color)
	if err != nil {
		return err
	}
	*column += n
	return f.change(*column)
}

func (f *faxReader) decode1D() error {
	for column, color := 0, 0; column < f.width; color ^= 1 {
		if err := f.addRun(&column, color); err != nil {
			return err
		}
	}
	return nil
}

func (f *faxReader) decode2D() error {
	column, color := -1, 0 // before the row, so that its first column can be a change
	for i := 0; column < f.width; {
		// The next change above to the other color, and the one after it.
		for i > 0 && f.aboveAt(i-1) > column {
			i--
		}
		for i < len(f.above) && f.above[i] <= column {
			i++
		}
		i += (i ^ color) & 1
		first, second := f.aboveAt(i), f.aboveAt(i+1)

		mode := faxModeTable[f.peek()]
		if mode.length == 0 {
			return errFaxCode
		}
		f.pos += int64(mode.length)
		switch mode.value {
		case faxPass:
			column = second
		case faxHorizontal:
			column = max(column, 0)
			for range 2 {
				if err := f.addRun(&column, color); err != nil {
					return err
				}
				color ^= 1
			}
		case faxExtension:
			return errFaxExtension
		default:
			to := first + faxShift[mode.value-faxVertical]
			if to < column {
				return errFaxCode
			}
			column = to
			if err := f.change(column); err != nil {
				return err
			}
			color ^= 1
		}
	}
	return nil
}

// aboveAt returns a change in the row above, which is followed by ones at its end.
func (f *faxReader) aboveAt(i int) int {
	if i < len(f.above) {
		return f.above[i]
	}
	return f.width
}

// pack sets the bits of the decoded row.
func (f *faxReader) pack() {
	clear(f.buf)
	for i := 0; i < len(f.row); i += 2 {
		end := f.width
		if i+1 < len(f.row) {
			end = f.row[i+1]
		}
		for x := f.row[i]; x < end; {
			if x%8 == 0 && end-x >= 8 {
				f.buf[x/8] = 0xff
				x += 8
				continue
			}
			f.buf[x/8] |= 0x80 >> (x % 8)
			x++
		}
	}
}
