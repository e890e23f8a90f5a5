package npy

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Type is the type of the elements of an array.
type Type struct {
	Kind      byte // as in NumPy: 'f', 'i', 'u', 'b', 'U' (string), 'S' (bytes), 'O' (Python object)
	Size      int  // of an element, in bytes
	BigEndian bool
}

// ParseType parses NumPy's notation of a type: "<f4", "|b1", "<U12". The first character may be
// missing. Types that are neither numbers, texts nor objects are errors.
func ParseType(descr string) (Type, error) {
	text := descr
	var t Type
	switch {
	case strings.HasPrefix(text, ">"):
		t.BigEndian = true
		fallthrough
	case strings.HasPrefix(text, "<"), strings.HasPrefix(text, "|"), strings.HasPrefix(text, "="):
		text = text[1:]
	}
	invalid := fmt.Errorf("type %.40q: want numbers or strings", descr)
	if text == "" {
		return Type{}, invalid
	}
	t.Kind = text[0]
	if t.Kind == 'a' {
		t.Kind = 'S'
	}
	n, err := strconv.ParseUint(text[1:], 10, 31)
	if t.Kind == 'O' {
		return t, nil // the size is that of a pointer
	}
	if err != nil {
		return Type{}, invalid
	}
	t.Size = int(n)
	ok := false
	switch t.Kind {
	case 'f':
		ok = n == 2 || n == 4 || n == 8
	case 'i', 'u':
		ok = n == 1 || n == 2 || n == 4 || n == 8
	case 'b':
		ok = n == 1
	case 'S':
		ok = true
	case 'U':
		ok = n <= math.MaxInt32/4
		t.Size *= 4
	}
	if !ok {
		return Type{}, invalid
	}
	return t, nil
}

// IsNumber reports whether the elements are numbers.
func (t Type) IsNumber() bool { return strings.IndexByte("fiub", t.Kind) >= 0 }

// Float returns the number whose bytes b begins with.
func (t Type) Float(b []byte) float64 {
	var n uint64
	switch t.Size {
	case 1:
		n = uint64(b[0])
	case 2:
		n = uint64(t.order().Uint16(b))
	case 4:
		n = uint64(t.order().Uint32(b))
	default:
		n = t.order().Uint64(b)
	}
	switch t.Kind {
	case 'f':
		switch t.Size {
		case 2:
			return halfFloat(uint16(n))
		case 4:
			return float64(math.Float32frombits(uint32(n)))
		}
		return math.Float64frombits(n)
	case 'i':
		shift := 64 - 8*t.Size
		return float64(int64(n<<shift) >> shift)
	}
	return float64(n)
}

// Int returns the integer whose bytes b begins with, or false if the type is not one of integers or
// the value exceeds an int64.
func (t Type) Int(b []byte) (int64, bool) {
	if t.Kind != 'i' && t.Kind != 'u' {
		return 0, false
	}
	if t.Size == 8 {
		n := t.order().Uint64(b)
		return int64(n), t.Kind == 'i' || n <= math.MaxInt64
	}
	return int64(t.Float(b)), true // exact
}

// halfFloat returns the value of an IEEE 754 half-precision number.
func halfFloat(n uint16) float64 {
	sign, exponent, fraction := n>>15, int(n>>10&31), float64(n&1023)
	var v float64
	switch exponent {
	case 0:
		v = math.Ldexp(fraction, -24)
	case 31:
		v = math.Inf(1)
		if fraction != 0 {
			v = math.NaN()
		}
	default:
		v = math.Ldexp(fraction+1024, exponent-25)
	}
	if sign == 1 {
		v = -v
	}
	return v
}

func (t Type) order() binary.ByteOrder {
	if t.BigEndian {
		return binary.BigEndian
	}
	return binary.LittleEndian
}

// Text returns the string in the first t.Size bytes of b, without NULs at the end. Bytes are UTF-8 or,
// where they are not, ISO 8859-1.
func (t Type) Text(b []byte) string {
	var text []rune
	if t.Kind == 'S' {
		s := strings.TrimRight(string(b[:t.Size]), "\x00")
		if utf8.ValidString(s) {
			return s
		}
		for i := range len(s) {
			text = append(text, rune(s[i]))
		}
		return string(text)
	}
	for i := 0; i+4 <= t.Size; i += 4 {
		text = append(text, rune(t.order().Uint32(b[i:])))
	}
	return strings.TrimRight(string(text), "\x00")
}

// Header is the header of a .npy file.
type Header struct {
	Type    Type
	Fortran bool // elements are stored in column-major order
	Shape   []int
}

// Elements returns the number of elements, at most [math.MaxInt32] squared.
func (h *Header) Elements() int64 {
	n := int64(1)
	for _, side := range h.Shape {
		n *= int64(side)
	}
	return n
}

// maxHeader is the number of bytes of a header.
const maxHeader = 1 << 20

var (
	descrField   = regexp.MustCompile(`['"]descr['"]\s*:\s*['"]([^'"]*)['"]`)
	structField  = regexp.MustCompile(`['"]descr['"]\s*:\s*\[`)
	fortranField = regexp.MustCompile(`['"]fortran_order['"]\s*:\s*(True|False)`)
	shapeField   = regexp.MustCompile(`['"]shape['"]\s*:\s*\(([0-9L,\s]*)\)`)
)

// ReadHeader reads the header of a .npy file and leaves r at the first element. Structured types are
// errors.
func ReadHeader(r io.Reader) (*Header, error) {
	invalid := errors.New("not a .npy file: want the header of NumPy")
	var head [10]byte
	if _, err := io.ReadFull(r, head[:]); err != nil || string(head[:6]) != magic {
		return nil, invalid
	}
	length := int64(binary.LittleEndian.Uint16(head[8:]))
	if head[6] >= 2 {
		var rest [2]byte
		if _, err := io.ReadFull(r, rest[:]); err != nil {
			return nil, invalid
		}
		length |= int64(binary.LittleEndian.Uint16(rest[:])) << 16
	}
	if head[6] < 1 || head[6] > 3 || length > maxHeader {
		return nil, invalid
	}
	text := make([]byte, length)
	if _, err := io.ReadFull(r, text); err != nil {
		return nil, invalid
	}

	if structField.Match(text) {
		return nil, errors.New("a structured type: want an array of numbers")
	}
	descr, fortran, shape := descrField.FindSubmatch(text), fortranField.FindSubmatch(text), shapeField.FindSubmatch(text)
	if descr == nil || fortran == nil || shape == nil {
		return nil, invalid
	}
	h := &Header{Fortran: string(fortran[1]) == "True"}
	var err error
	if h.Type, err = ParseType(string(descr[1])); err != nil {
		return nil, err
	}
	for _, field := range strings.Split(string(shape[1]), ",") {
		if field = strings.TrimSuffix(strings.TrimSpace(field), "L"); field == "" {
			continue
		}
		n, err := strconv.ParseInt(field, 10, 64)
		if err != nil {
			return nil, invalid
		}
		if n != int64(int(n)) { // in 32 bits
			return nil, tooLarge(string(shape[1]))
		}
		h.Shape = append(h.Shape, int(n))
	}
	return h, CheckShape(h.Shape)
}

// CheckShape returns an error unless an array of a shape has at most three dimensions, of 0 to
// [math.MaxInt32] and at most 2⁴⁸ elements.
func CheckShape(shape []int) error {
	n := int64(1)
	for _, side := range shape {
		if side < 0 || side > math.MaxInt32 || int64(side) > (1<<48)/max(n, 1) {
			return tooLarge(fmt.Sprint(shape))
		}
		n *= int64(side)
	}
	if len(shape) > 3 {
		return fmt.Errorf("%d dimensions: want at most 3", len(shape))
	}
	return nil
}

func tooLarge(shape string) error {
	return fmt.Errorf("shape %.80s: want smaller dimensions", shape)
}
