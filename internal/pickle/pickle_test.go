package pickle

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"strings"
	"testing"
)

func load(text string) (any, error) {
	return Load(context.Background(), strings.NewReader(text), int64(len(text)))
}

// plain returns a value with lists as []any and dictionaries as pairs, for comparison.
func plain(v any) any {
	switch v := v.(type) {
	case *List:
		items := []any{}
		for i := range v.Len() {
			items = append(items, plain(v.At(i)))
		}
		return items
	case *Dict:
		pairs := []any{"dict"}
		for i := range v.Keys {
			pairs = append(pairs, plain(v.Keys[i]), plain(v.Values[i]))
		}
		return pairs
	case *Array:
		elements := []any{fmt.Sprint(v.Shape)}
		for i := range v.Len() {
			elements = append(elements, plain(v.At(i)))
		}
		return elements
	case *Object:
		return []any{v.Class, plain(v.Attributes)}
	}
	return v
}

// short is an array of two int16, as Python 2 pickles it with protocol 2.
const short = "\x80\x02cnumpy.core.multiarray\n_reconstruct\nq\x00cnumpy\nndarray\nq\x01K\x00\x85U\x01b\x87R(K\x01K\x02\x85" +
	"cnumpy\ndtype\nU\x02i2K\x00K\x01\x87R(K\x03U\x01<NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89U\x04\x01\x00\xff\xfftb."

func TestLoad(t *testing.T) {
	for _, c := range []struct {
		name, text string
		want       any
	}{
		{"none", "N.", nil},
		{"bools", "(I00\nI01\n\x88\x89t.", []any{false, true, true, false}},
		{
			"ints", "(I-7\nL12L\nK\xffM\xff\xffJ\xff\xff\xff\xff\x8a\x00\x8a\x01\x80\x8a\x09\x00\x00\x00\x00\x00\x00\x00\x00\x00t.",
			[]any{-7.0, 12.0, 255.0, 65535.0, -1.0, 0.0, -128.0, 0.0},
		},
		{"large int", "\x8a\x08\xff\xff\xff\xff\xff\xff\xff\x7f.", int64(math.MaxInt64)},
		{"floats", "(F-1.5\nG\x3f\xf0\x00\x00\x00\x00\x00\x00t.", []any{-1.5, 1.0}},
		{"mixed", "(K\x01K\x02X\x01\x00\x00\x00at.", []any{int64(1), int64(2), "a"}},
		{
			"strings", "(S'a\\x41\\n\\'\\\\'\nS\"b'\"\nVc\\u20ac\\U0001f600\xe9\nT\x01\x00\x00\x00dU\x01e\x8c\x01f\x8d\x01\x00\x00\x00\x00\x00\x00\x00gt.",
			[]any{"aA\n'\\", "b'", "c€😀é", "d", "e", "f", "g"},
		},
		{
			"bytes", "(B\x01\x00\x00\x00aC\x01b\x8e\x01\x00\x00\x00\x00\x00\x00\x00c\x96\x01\x00\x00\x00\x00\x00\x00\x00dt.",
			[]any{[]byte("a"), []byte("b"), []byte("c"), []byte("d")},
		},
		{"bytes in protocol 2", "c_codecs\nencode\nX\x02\x00\x00\x00\xc3\xa9X\x06\x00\x00\x00latin1\x86R.", []byte{0xe9}},
		{"containers", "(]}\x8f(K\x01\x91)K\x01\x85(lp0\nK\x05a(dp1\nt.", []any{[]any{}, []any{"dict"}, []any{}, []any{1.0}, []any{}, []any{1.0}, []any{5.0}, []any{"dict"}}},
		{"appends", "](K\x01K\x02eK\x03aNaK\x04a.", []any{1.0, 2.0, 3.0, nil, int64(4)}},
		{"dict", "}K\x01Ns(X\x01\x00\x00\x00aK\x02u.", []any{"dict", int64(1), nil, "a", int64(2)}},
		{"set", "\x8f(K\x01K\x02\x90.", []any{1.0, 2.0}},
		{"set of Python 2", "c__builtin__\nset\n](K\x01K\x02e\x85R.", []any{1.0, 2.0}},
		{"OrderedDict", "ccollections\nOrderedDict\n)RK\x01Ns.", []any{"dict", int64(1), nil}},
		{"OrderedDict of Python 2", "ccollections\nOrderedDict\n]](K\x01Nea\x85R.", []any{"dict", int64(1), nil}},
		{"memo", "](K\x01\x94h\x00p7\ng7\nr\x08\x00\x00\x00j\x08\x00\x00\x00e.", []any{1.0, 1.0, 1.0, 1.0}},
		{"pop", "(K\x01K\x020(K\x05K\x061t.", []any{1.0}},
		{"dup", "K\x012\x86.", []any{1.0, 1.0}},
		{"array of Python 2", short, []any{"[2]", int64(1), int64(-1)}},
		{
			"array of protocol 5", "\x80\x05\x8c\x12numpy.core.numeric\x8c\x0b_frombuffer\x93(\x96\x02\x00\x00\x00\x00\x00\x00\x00\x07\x08" +
				"cnumpy\ndtype\n\x8c\x02u1\x89\x88\x87R(K\x03\x8c\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tbK\x02\x85\x8c\x01CtR.",
			[]any{"[2]", int64(7), int64(8)},
		},
		{"scalar", "cnumpy.core.multiarray\nscalar\ncnumpy\ndtype\nU\x02f8K\x00K\x01\x87R(K\x03U\x01>NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb" +
			"U\x08\x3f\xf8\x00\x00\x00\x00\x00\x00\x86R.", 1.5},
		{
			"InstanceData", "cmmengine.structures.instance_data\nInstanceData\n)\x81}X\x06\x00\x00\x00bboxesNsb.",
			[]any{"mmengine.structures.instance_data.InstanceData", []any{"dict", "bboxes", nil}},
		},
		{"enumeration", "cdetectron2.structures.boxes\nBoxMode\nK\x00\x85R.", 0.0},
	} {
		t.Run(c.name, func(t *testing.T) {
			v, err := load(c.text)
			if err != nil || !reflect.DeepEqual(plain(v), c.want) {
				t.Errorf("got %#v, %v; want %#v", plain(v), err, c.want)
			}
		})
	}
}

func TestLoadRefuses(t *testing.T) {
	for _, c := range []struct{ name, text, want string }{
		{"function", "cos\nsystem\n(S'ls'\ntR.", "at byte 0: os.system: only containers, numbers, strings and NumPy arrays"},
		{"function of protocol 4", "\x8c\x08builtins\x8c\x04eval\x93.", "builtins.eval: only"},
		{"tensor", "ctorch._utils\n_rebuild_tensor_v2\n.", "PyTorch tensors: want NumPy arrays"},
		{"torch.save", "(X\x01\x00\x00\x00aQ.", "a reference to data outside of the pickle, as torch.save writes"},
		{"buffer", "\x80\x05\x97.", "a buffer outside of the pickle"},
		{"extension", "\x82\x01.", "a registered extension"},
		{"instance", "(ios\nsystem\n.", "an instance of a class of Python 2"},
		{"object", "(cnumpy\ndtype\no.", "an object of a class"},
		{"protocol", "\x80\x06.", "protocol 6: want 0 to 5"},
		{"operation", "z.", "unknown operation 0x7a"},
		{"end", "](", "the file ends early"},
		{"two values", "NN.", "2 values at the end: want one"},
		{"no value", ".", "0 values at the end"},
		{"global alone", "cnumpy\nndarray\n.", "alone"},
		{"stack", "a.", "an operation without its operands"},
		{"mark", "(a.", "an operation without its operands"},
		{"no mark", "t.", "an operation without its operands"},
		{"odd dict", "(Nd.", "an operation without its operands"},
		{"append to none", "NNa.", "items for something that is no container"},
		{"memo", "h\x05.", "memo entry 5: want one that was stored before"},
		{"long int", "\x8a\x09\x00\x00\x00\x00\x00\x00\x00\x00\x01.", "int of 9 bytes: want a number of at most 64 bits"},
		{"int", "I1x\n.", `int "1x": want a number`},
		{"string", "Sabc\n.", "want it in quotes"},
		{"call of a number", "K\x01)R.", "a call of something that is no function"},
		{"call of a class", "cnumpy\nndarray\n)R.", "a call of ndarray"},
		{"shape", strings.Replace(short, "K\x02\x85", "K\x03\x85", 1), "an array of shape [3] with 4 bytes: want 3 of 2 bytes each"},
		{"negative shape", strings.Replace(short, "K\x02\x85", "I-1\n\x85", 1), "want smaller dimensions"},
		{"type", strings.Replace(short, "i2", "c8", 1), `type "c8": want numbers or strings`},
		{"length", "B\xff\xff\xff\xff", "the file ends early"},
		{"long length", "\x8e\xff\xff\xff\xff\xff\xff\xff\xff", "the file ends early"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if v, err := load(c.text); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %#v, %v; want %q", v, err, c.want)
			}
			// The size may be unknown.
			if v, err := Load(t.Context(), strings.NewReader(c.text), -1); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("of unknown size: got %#v, %v; want %q", v, err, c.want)
			}
		})
	}
}

// TestLoadBoundsMemory checks that small pickles that claim or build large values do not take more memory
// than the bound.
func TestLoadBoundsMemory(t *testing.T) {
	long := binary.LittleEndian.AppendUint64([]byte("\x8e"), 1<<40)
	for _, c := range []struct{ name, text string }{
		{"claimed length", string(long)},
		{"empty lists", "(" + strings.Repeat("]", 4<<20) + "l."},
		{"nested lists", strings.Repeat("]", 4<<20) + strings.Repeat("a", 4<<20-1) + "."},
		{"doubled lists", "]" + strings.Repeat("2\x862", 1<<20)},
		{"copies of a list", "c__builtin__\nlist\nq\x00](" + strings.Repeat("K\x01", 1<<20) + "eq\x010" + strings.Repeat("h\x00h\x01\x85R0", 1<<20)},
		{"memo", "N" + strings.Repeat("\x94", 8<<20)},
		{"sparse memo", "N" + strings.Repeat("r\x00\x00\x00\x80r\x00\x00\x00\x81", 1<<20)},
		{"strings as bytes", "X\x00\x00\x10\x00" + strings.Repeat("a", 1<<20) + "q\x00c_codecs\nencode\nq\x01" +
			strings.Repeat("h\x01h\x00X\x06\x00\x00\x00latin1\x86R", 1<<10)},
	} {
		t.Run(c.name, func(t *testing.T) {
			var before, after runtime.MemStats
			runtime.GC()
			runtime.ReadMemStats(&before)
			v, err := Load(t.Context(), struct{ io.Reader }{strings.NewReader(c.text)}, -1)
			runtime.GC()
			runtime.ReadMemStats(&after)
			runtime.KeepAlive(v)
			if held := int64(after.HeapAlloc) - int64(before.HeapAlloc); held > slack+factor*int64(len(c.text))+1<<20 {
				t.Errorf("%d bytes are held after %v", held, err)
			}
		})
	}
}

func TestLoadStopsWhenCanceled(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Load(ctx, strings.NewReader("N."), 2); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want the error of the context", err)
	}
}

func FuzzLoad(f *testing.F) {
	f.Add([]byte(short))
	for _, name := range []string{"rows.detectron", "rows.detectron2", "rows.mmdet", "rows.mmdet2"} {
		data, err := os.ReadFile(filepath.Join("..", "codec", "testdata", name))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		_, err := Load(t.Context(), bytes.NewReader(data), int64(len(data)))
		_, err2 := Load(t.Context(), struct{ io.Reader }{bytes.NewReader(data)}, -1)
		if (err == nil) != (err2 == nil) {
			t.Errorf("%v with the size, %v without", err, err2)
		}
	})
}
