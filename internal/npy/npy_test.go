package npy

import (
	"archive/zip"
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os/exec"
	"reflect"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/proposer/proposer/internal/testutil/e2e"
)

func TestAppendHeader(t *testing.T) {
	for _, c := range []struct {
		descr string
		shape []int
		want  string // without the spaces at the end
	}{
		{"<f4", []int{2, 5}, "\x01\x00\x76\x00{'descr': '<f4', 'fortran_order': False, 'shape': (2, 5), }"},
		{"<i8", []int{0}, "\x01\x00\x76\x00{'descr': '<i8', 'fortran_order': False, 'shape': (0,), }"},
		{"|i1", nil, "\x01\x00\x76\x00{'descr': '|i1', 'fortran_order': False, 'shape': (), }"},
		// All aligned before the padding, which then is 64 bytes and not none.
		{"<U100000000000000000000000000000000", []int{3, 1, 1, 1}, "\x01\x00\xb6\x00{'descr': '<U100000000000000000000000000000000', 'fortran_order': False, 'shape': (3, 1, 1, 1), }"},
		{"[('x', '<i4'), ('score', '<f4')]", []int{7}, "\x01\x00\x76\x00{'descr': [('x', '<i4'), ('score', '<f4')], 'fortran_order': False, 'shape': (7,), }"},
	} {
		got := string(AppendHeader([]byte("x"), c.descr, c.shape...))
		head, spaces, _ := strings.Cut(got, ", }")
		if head+", }" != "x\x93NUMPY"+c.want || strings.Trim(spaces, " ") != "\n" || len(got)%64 != 1 {
			t.Errorf("%s %v: %q", c.descr, c.shape, got)
		}
	}

	long := "[" + strings.Repeat("('x', '<i4'), ", 5000) + "]"
	got := AppendHeader(nil, long, 1)
	if string(got[:8]) != "\x93NUMPY\x02\x00" || len(got)%64 != 0 || int(binary.LittleEndian.Uint32(got[8:])) != len(got)-12 {
		t.Errorf("a long header of %d bytes begins with %q", len(got), got[:12])
	}
}

func TestAppendHeaderPanics(t *testing.T) {
	for _, c := range []struct {
		descr string
		shape []int
	}{{"", nil}, {"<f4", []int{-1}}, {"[('é', '<f4')]", nil}, {"<f4\n", nil}} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%q %v is taken", c.descr, c.shape)
				}
			}()
			AppendHeader(nil, c.descr, c.shape...)
		}()
	}
}

// array is one of each kind; values are its Go slice.
type array struct {
	name, descr string
	shape       []int // nil as it is given, else that of the file
	values      any
}

func (a array) write(z *Writer) error {
	switch v := a.values.(type) {
	case []float32:
		return z.Float32s(a.name, a.shape, v)
	case []int32:
		return z.Int32s(a.name, a.shape, v)
	case []int64:
		return z.Int64s(a.name, a.shape, v)
	case []bool:
		return z.Bools(a.name, a.shape, v)
	default:
		return z.Strings(a.name, v.([]string))
	}
}

// file is what the archive should hold of it.
func (a array) file(t require) []byte {
	v, shape := a.values, a.shape
	if shape == nil {
		shape = []int{reflect.ValueOf(v).Len()}
	}
	if texts, ok := v.([]string); ok {
		var width int
		if _, err := fmt.Sscanf(a.descr, "<U%d", &width); err != nil {
			t.Fatal(err)
		}
		points := make([]int32, 0, width*len(texts))
		for i, s := range texts {
			points = append(points, []rune(s)...)
			points = append(points, make([]int32, (i+1)*width-len(points))...)
		}
		v = points
	}
	b, err := binary.Append(AppendHeader(nil, a.descr, shape...), binary.LittleEndian, v)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

type require interface{ Fatal(args ...any) }

func archive(t require, arrays []array) []byte {
	var b bytes.Buffer
	z := NewWriter(&b)
	for _, a := range arrays {
		if err := a.write(z); err != nil {
			t.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func anyArrays(t *rapid.T) []array {
	arrays := make([]array, rapid.IntRange(0, 5).Draw(t, "arrays"))
	for i := range arrays {
		a := &arrays[i]
		a.name = fmt.Sprint("a", i)
		n := rapid.SampledFrom([]int{0, 1, 2, 12, 30000}).Draw(t, "n")
		if rapid.Bool().Draw(t, "shaped") && n <= 12 {
			a.shape = rapid.SampledFrom(map[int][][]int{
				0: {{0}, {0, 4}, {3, 0}}, 1: {{}, {1}, {1, 1, 1}}, 2: {{2}, {1, 2}}, 12: {{12}, {3, 4}, {2, 3, 2}},
			}[n]).Draw(t, "shape")
		}
		seed := rapid.Uint32().Draw(t, "seed") // a long list drawn one by one takes too long
		number := func(i int) uint64 { return (uint64(seed) + uint64(i)) * 0x9e3779b97f4a7c15 }
		switch rapid.IntRange(0, 4).Draw(t, "type") {
		case 0:
			v := make([]float32, n)
			for i := range v {
				if v[i] = math.Float32frombits(uint32(number(i))); v[i] != v[i] {
					v[i] = float32(math.Inf(-1))
				}
			}
			a.descr, a.values = "<f4", v
		case 1:
			v := make([]int32, n)
			for i := range v {
				v[i] = int32(number(i))
			}
			a.descr, a.values = "<i4", v
		case 2:
			v := make([]int64, n)
			for i := range v {
				v[i] = int64(number(i))
			}
			a.descr, a.values = "<i8", v
		case 3:
			v := make([]bool, n)
			for i := range v {
				v[i] = number(i)>>63 == 1
			}
			a.descr, a.values = "|b1", v
		default:
			v := rapid.SliceOfN(rapid.SampledFrom([]string{"", "a", "b/é.jpg", "𝄞🎼", "two\nlines\r\n", "\xff\xfe", "nul\x00", "\x00", "日本", "\ufeff"}), 0, 20).Draw(t, "texts")
			longest := 1
			for _, s := range v {
				longest = max(longest, len([]rune(s)))
			}
			a.descr, a.shape, a.values = fmt.Sprint("<U", longest), nil, v
		}
	}
	return arrays
}

// What the archive holds, read back by archive/zip, is the arrays' files one after the other,
// as they are, each with its length before it.
func TestWriter(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		arrays := anyArrays(t)
		data := archive(t, arrays)
		if !bytes.Equal(data, archive(t, arrays)) {
			t.Fatal("equal arrays are other bytes")
		}
		z, err := zip.NewReader(bytes.NewReader(data), int64(len(data)))
		if err != nil {
			t.Fatal(err)
		}
		if len(z.File) != len(arrays) {
			t.Fatalf("%d files of %d arrays", len(z.File), len(arrays))
		}
		at := 0
		for i, f := range z.File {
			want := arrays[i].file(t)
			r, err := f.Open()
			if err != nil {
				t.Fatal(err)
			}
			got, err := io.ReadAll(r) // which holds it to its sum
			if err != nil || f.Name != arrays[i].name+".npy" || !bytes.Equal(got, want) {
				t.Fatalf("%s of %+v: %v\n%q\nwant\n%q", f.Name, arrays[i], err, clip(got), clip(want))
			}
			local := data[at:]
			if f.Method != zip.Store || f.Flags != 0 || f.Modified.Format("2006-01-02 15:04:05") != "1980-01-01 00:00:00" ||
				int(binary.LittleEndian.Uint32(local[18:])) != len(want) || int(binary.LittleEndian.Uint32(local[22:])) != len(want) {
				t.Fatalf("%+v, after %q", f.FileHeader, local[:30])
			}
			at += 30 + len(f.Name) + len(want)
		}
	})
}

func clip(b []byte) []byte { return b[:min(len(b), 300)] }

// numpy runs a Python program that may use NumPy, with in as its standard input, and returns its output.
func numpy(t *testing.T, program string, in []byte) []byte {
	t.Helper()
	python := e2e.Python(t, "import numpy.lib.format as f; f.GROWTH_AXIS_MAX_DIGITS", "NumPy 1.24 or newer")
	cmd := exec.CommandContext(t.Context(), python, "-c", program)
	cmd.Stdin = bytes.NewReader(in)
	return e2e.Output(t, cmd)
}

// The headers are NumPy's own.
func TestHeadersEqualNumPys(t *testing.T) {
	type header struct {
		Descr string `json:"descr"`
		Shape []int  `json:"shape"`
	}
	var headers []header
	for n := range 70 { // each padding there is
		name := strings.Repeat("n", n)
		headers = append(headers, header{fmt.Sprintf("[('%s', '<i4'), ('y', '|b1')]", name), []int{n}}, header{"<f4", make([]int, n)})
	}
	for _, n := range []int{5040, 5041, 5042, 5043, 5044, 5045, 5046, 5047, 9000} { // on both sides of 65535 bytes
		headers = append(headers, header{"[" + strings.Repeat("('xy', '<i2'), ", 4360) + fmt.Sprintf("('%s', '<i2')]", strings.Repeat("z", n-4950)), []int{n}})
	}
	for _, descr := range []string{"<f4", "<i4", "<i8", "|u1", "|i1", "|b1", "<U1", "<U12345"} {
		for _, shape := range [][]int{{}, {0}, {1}, {math.MaxInt}, {0, 4}, {123456, 4}} {
			headers = append(headers, header{descr, shape})
		}
	}
	in, err := json.Marshal(headers)
	if err != nil {
		t.Fatal(err)
	}
	out := numpy(t, `
import ast, base64, io, json, sys
from numpy.lib import format
for h in json.load(sys.stdin):
    descr = h["descr"]
    if descr[0] == "[":
        descr = ast.literal_eval(descr)
    d = {"descr": descr, "fortran_order": False, "shape": tuple(h["shape"])}
    f = io.BytesIO()
    try:
        format.write_array_header_1_0(f, d)
    except ValueError:
        format.write_array_header_2_0(f, d)
    print(base64.b64encode(f.getvalue()).decode())
`, in)
	lines := slices.Collect(strings.Lines(string(out)))
	if len(lines) != len(headers) {
		t.Fatalf("%d lines of %d headers", len(lines), len(headers))
	}
	versions := map[byte]int{}
	for i, h := range headers {
		want, err := base64.StdEncoding.DecodeString(strings.TrimSpace(lines[i]))
		if err != nil {
			t.Fatal(err)
		}
		versions[want[6]]++
		if got := AppendHeader(nil, h.Descr, h.Shape...); !bytes.Equal(got, want) {
			t.Errorf("%.100s %v: %d bytes\n%.200q\nwant %d\n%.200q", h.Descr, h.Shape, len(got), got, len(want), want)
		}
	}
	if versions[1] < 100 || versions[2] < 2 {
		t.Errorf("there were %v of each version", versions)
	}
}

// NumPy loads what was written, and would have written the same.
func TestNumPyLoads(t *testing.T) {
	texts := []string{"", "a.jpg", "𝄞/é.png", "two\nlines", "nul\x00", "\x00in\x00side", "\xff"}
	arrays := []array{
		{"floats", "<f4", []int{2, 2}, []float32{0, -1.5, math.MaxFloat32, math.SmallestNonzeroFloat32}},
		{"ints", "<i4", nil, []int32{math.MinInt32, -1, 0, math.MaxInt32}},
		{"longs", "<i8", []int{1, 3}, []int64{math.MinInt64, 0, math.MaxInt64}},
		{"bools", "|b1", nil, []bool{true, false}},
		{"texts", "<U9", nil, texts},
		{"scalar", "<i4", []int{}, []int32{7}},
		{"nothing", "<f4", []int{0, 4}, []float32{}},
		{"no_texts", "<U1", nil, []string{}},
		{"empty_texts", "<U1", nil, []string{"", ""}},
		{"nil", "<i8", nil, []int64(nil)},
		{"long", "<i4", []int{25000, 4}, make([]int32, 100000)},
	}
	for seed := range 20 {
		for _, a := range rapid.Custom(anyArrays).Example(seed) {
			a.name = fmt.Sprint(seed, a.name)
			arrays = append(arrays, a)
		}
	}
	out := numpy(t, `
import io, json, sys, zipfile
import numpy as np
data = io.BytesIO(sys.stdin.buffer.read())
found = []
with np.load(data) as arrays, zipfile.ZipFile(data) as z:
    assert z.testzip() is None
    for name in arrays.files:
        a = arrays[name]
        f = io.BytesIO()
        np.save(f, a)
        same = f.getvalue() == z.read(name + ".npy")
        values = a.tolist() if a.size < 1000 and a.dtype.kind != "f" else None
        found.append({"name": name, "descr": a.dtype.str, "shape": a.shape, "same": same, "values": values})
json.dump(found, sys.stdout)
`, archive(t, arrays))
	var found []struct {
		Name, Descr string
		Shape       []int
		Same        bool
		Values      json.RawMessage
	}
	if err := json.Unmarshal(out, &found); err != nil {
		t.Fatal(err)
	}
	if len(found) != len(arrays) {
		t.Fatalf("%d arrays, want %d", len(found), len(arrays))
	}
	for i, f := range found {
		a := arrays[i]
		if a.shape == nil {
			a.shape = []int{reflect.ValueOf(a.values).Len()}
		}
		if f.Name != a.name || f.Descr != a.descr || !slices.Equal(f.Shape, a.shape) || !f.Same {
			t.Errorf("%s %s %v, as NumPy writes it: %v; want %s %s %v", f.Name, f.Descr, f.Shape, f.Same, a.name, a.descr, a.shape)
		}
	}
	for name, want := range map[string]string{
		"ints":        "[-2147483648, -1, 0, 2147483647]",
		"longs":       "[[-9223372036854775808, 0, 9223372036854775807]]",
		"bools":       "[true, false]",
		"texts":       `["", "a.jpg", "\ud834\udd1e/\u00e9.png", "two\nlines", "nul", "\u0000in\u0000side", "\ufffd"]`,
		"scalar":      "7",
		"nothing":     "null",
		"no_texts":    "[]",
		"empty_texts": `["", ""]`,
	} {
		i := slices.IndexFunc(arrays, func(a array) bool { return a.name == name })
		if got := string(found[i].Values); got != want && want != "null" {
			t.Errorf("%s: %s, want %s", name, got, want)
		}
	}
}

// A structured array is a header with rows behind it, and may be mapped into memory.
func TestNumPyLoadsStructuredArray(t *testing.T) {
	data := AppendHeader(nil, "[('picture', '<i8'), ('x0', '<i4'), ('score', '<f4')]", 2)
	var err error
	for i := range 2 {
		data, err = binary.Append(data, binary.LittleEndian, struct {
			Picture int64
			X0      int32
			Score   float32
		}{int64(i) << 40, -int32(i), 0.5})
		if err != nil {
			t.Fatal(err)
		}
	}
	out := numpy(t, `
import io, sys, tempfile
import numpy as np
data = sys.stdin.buffer.read()
with tempfile.NamedTemporaryFile() as f:
    f.write(data)
    f.flush()
    a = np.load(f.name, mmap_mode="r")
    b = io.BytesIO()
    np.save(b, a)
    print(a["picture"], a["x0"], a["score"], b.getvalue() == data)
`, data)
	if want := "[            0 1099511627776] [ 0 -1] [0.5 0.5] True\n"; string(out) != want {
		t.Errorf("%s, want %s", out, want)
	}
}

func TestWriterPanics(t *testing.T) {
	for name, wrong := range map[string]func(z *Writer) error{
		"a shape for others": func(z *Writer) error { return z.Int32s("a", []int{2, 3}, make([]int32, 5)) },
		"no shape for a few": func(z *Writer) error { return z.Int32s("a", []int{}, nil) },
		"a side below 0":     func(z *Writer) error { return z.Int32s("a", []int{-1, -1}, make([]int32, 1)) },
		"no name":            func(z *Writer) error { return z.Strings("", nil) },
		"a name twice":       func(z *Writer) error { return z.Bools("b", nil, nil) },
	} {
		t.Run(name, func(t *testing.T) {
			z := NewWriter(io.Discard)
			if err := z.Int64s("b", nil, nil); err != nil {
				t.Fatal(err)
			}
			defer func() {
				if recover() == nil {
					t.Error("it is taken")
				}
			}()
			if err := wrong(z); err != nil {
				t.Error(err)
			}
		})
	}
}

type full struct{ room int }

var errFull = errors.New("no space left on device")

func (f *full) Write(p []byte) (int, error) {
	if len(p) > f.room {
		return 0, errFull
	}
	f.room -= len(p)
	return len(p), nil
}

// A failure of the underlying writer at any position is returned.
func TestWriterReturnsWriteErrors(t *testing.T) {
	arrays := []array{{"a", "", nil, make([]int32, 100000)}, {"b", "", nil, []string{"x"}}}
	whole := len(archive(t, arrays))
	for room := 0; room < whole; room += 997 {
		z := NewWriter(&full{room})
		if err := errors.Join(arrays[0].write(z), arrays[1].write(z), z.Close()); !errors.Is(err, errFull) {
			t.Errorf("room for %d bytes of %d: %v", room, whole, err)
		}
	}
}
