package npy

import (
	"bytes"
	"fmt"
	"math"
	"reflect"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestReadHeader(t *testing.T) {
	for _, c := range []struct {
		text string
		want Header
	}{
		{string(AppendHeader(nil, "<f4", 3, 5)), Header{Type: Type{'f', 4, false}, Shape: []int{3, 5}}},
		{string(AppendHeader(nil, "<U12", 0)), Header{Type: Type{'U', 48, false}, Shape: []int{0}}},
		{string(AppendHeader(nil, "|O")), Header{Type: Type{Kind: 'O'}}},
		{string(AppendHeader(nil, "|b1", 70000)) + "x", Header{Type: Type{'b', 1, false}, Shape: []int{70000}}},
		{magic + "\x02\x00\x39\x00\x00\x00" + `{"shape": (2L, ), "fortran_order": True, "descr": ">i8"}  `, Header{Type: Type{'i', 8, true}, Fortran: true, Shape: []int{2}}},
	} {
		t.Run(c.text[10:], func(t *testing.T) {
			got, err := ReadHeader(strings.NewReader(c.text))
			if err != nil || !reflect.DeepEqual(*got, c.want) {
				t.Errorf("got %+v, %v; want %+v", got, err, c.want)
			}
		})
	}
}

func TestReadHeaderRefuses(t *testing.T) {
	header := func(text string) string { return magic + "\x01\x00" + string(rune(len(text))) + "\x00" + text }
	for _, c := range []struct{ text, want string }{
		{"", "not a .npy file"},
		{magic + "\x04\x00\x00\x00", "not a .npy file"},
		{magic + "\x01\x00\xff\xff", "not a .npy file"},
		{header("{}"), "not a .npy file"},
		{header("{'descr': '<c8', 'fortran_order': False, 'shape': (3,)}"), `type "<c8": want numbers or strings`},
		{header("{'descr': [('x', '<f4')], 'fortran_order': False, 'shape': (3,)}"), "a structured type"},
		{header("{'descr': '<f4', 'fortran_order': False, 'shape': (1,1,1,1)}"), "4 dimensions"},
		{header("{'descr': '<f4', 'fortran_order': False, 'shape': (9999999999,)}"), "want smaller dimensions"},
		{header("{'descr': '<f4', 'fortran_order': False, 'shape': (2147483647,2147483647)}"), "want smaller dimensions"},
	} {
		t.Run(c.want, func(t *testing.T) {
			if h, err := ReadHeader(strings.NewReader(c.text)); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %+v, %v; want %q", h, err, c.want)
			}
		})
	}
}

func TestElements(t *testing.T) {
	for _, c := range []struct {
		descr, data string
		want        any
	}{
		{"|b1", "\x01", 1.0},
		{"|u1", "\xff", 255.0},
		{"|i1", "\xff", -1.0},
		{"<i2", "\xfe\xff", -2.0},
		{">i2", "\xff\xfe", -2.0},
		{"<u2", "\xfe\xff", 65534.0},
		{"<i4", "\xff\xff\xff\xff", -1.0},
		{"<u4", "\xff\xff\xff\xff", 4294967295.0},
		{">i8", "\x00\x00\x00\x00\x00\x00\x01\x00", 256.0},
		{"<f2", "\x00\x3c", 1.0},
		{"<f2", "\x01\x80", -math.Ldexp(1, -24)},
		{"<f2", "\x00\x7c", math.Inf(1)},
		{"<f4", "\x00\x00\x20\xc0", -2.5},
		{">f8", "\x3f\xf8\x00\x00\x00\x00\x00\x00", 1.5},
		{"|S4", "ab\x00\x00", "ab"},
		{"|S1", "\xe9", "é"},
		{"<U3", "a\x00\x00\x00\xac\x20\x00\x00\x00\x00\x00\x00", "a€"},
		{">U1", "\x00\x00\x00a", "a"},
	} {
		t.Run(fmt.Sprintf("%s %q", c.descr, c.data), func(t *testing.T) {
			kind, err := ParseType(c.descr)
			if err != nil || kind.Size != len(c.data) {
				t.Fatalf("%+v, %v; want %d bytes", kind, err, len(c.data))
			}
			var got any
			if kind.IsNumber() {
				got = kind.Float([]byte(c.data))
			} else {
				got = kind.Text([]byte(c.data))
			}
			if got != c.want {
				t.Errorf("got %v, want %v", got, c.want)
			}
		})
	}
	kind := Type{'u', 8, false}
	if n, ok := kind.Int([]byte("\xff\xff\xff\xff\xff\xff\xff\xff")); ok {
		t.Errorf("a uint64 beyond int64 is %d, want none", n)
	}
}

// TestReadsItsStrings checks that strings are read as they were written, without NULs at their ends.
func TestReadsItsStrings(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := strings.TrimRight(rapid.String().Draw(t, "s"), "\x00")
		n := len([]rune(s))
		kind, err := ParseType(fmt.Sprint("<U", n))
		if err != nil {
			t.Fatal(err)
		}
		var data []byte
		for _, r := range s {
			data = append(data, byte(r), byte(r>>8), byte(r>>16), 0)
		}
		if got := kind.Text(data); got != s {
			t.Errorf("got %q, want %q", got, s)
		}
	})
}

func FuzzReadHeader(f *testing.F) {
	f.Add(AppendHeader(nil, "<f4", 3, 5))
	f.Fuzz(func(t *testing.T, data []byte) {
		if h, err := ReadHeader(bytes.NewReader(data)); err == nil && h.Elements() < 0 {
			t.Errorf("%d elements", h.Elements())
		}
	})
}
