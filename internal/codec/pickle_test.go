package codec

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"path"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"

	"pgregory.net/rapid"

	"github.com/proposer/proposer/box"
)

// What a pickle is made of, besides nil, bool, int64, string and []byte.
type (
	pyGlobal string
	pyTuple  []any
	pyList   struct{ items []any }
	pyDict   struct {
		keys   []any
		values map[any]any
	}
	pyObject struct {
		of    any
		args  pyTuple
		state any
	}
	pyMark struct{}
)

// unpickle runs the opcodes that are written here, and no others.
func unpickle(data []byte) (value any, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("%v", r)
		}
	}()
	take := func(n uint64) []byte {
		b := data[:n]
		data = data[n:]
		return b
	}
	line := func() string {
		s, rest, ok := bytes.Cut(data, []byte("\n"))
		if !ok {
			panic("no end of line")
		}
		data = rest
		return string(s)
	}
	var stack []any
	pop := func() any {
		v := stack[len(stack)-1]
		stack = stack[:len(stack)-1]
		return v
	}
	popN := func(n int) pyTuple {
		t := append(pyTuple(nil), stack[len(stack)-n:]...)
		stack = stack[:len(stack)-n]
		return t
	}
	push := func(v any) { stack = append(stack, v) }
	memo := map[byte]any{}
	protocol := string(take(2))
	if protocol != "\x80\x04" && protocol != "\x80\x02" {
		return nil, errors.New("neither of protocol 2 nor 4")
	}
	for {
		op := take(1)[0]
		if protocol == "\x80\x02" && strings.IndexByte("C\x8c\x8d\x8e", op) >= 0 {
			return nil, fmt.Errorf("opcode %q is not of protocol 2", op)
		}
		switch op {
		case '.':
			if len(stack) != 1 || len(data) > 0 {
				return nil, fmt.Errorf("%d values and %d bytes are left", len(stack), len(data))
			}
			return pop(), nil
		case 'c':
			module := line()
			push(pyGlobal(module + "." + line()))
		case 'q':
			memo[take(1)[0]] = stack[len(stack)-1]
		case 'h':
			v, ok := memo[take(1)[0]]
			if !ok {
				return nil, errors.New("nothing in the memo")
			}
			push(v)
		case '0':
			pop()
		case 'N':
			push(nil)
		case 0x88, 0x89:
			push(op == 0x88)
		case 'K':
			push(int64(take(1)[0]))
		case 'J':
			push(int64(int32(binary.LittleEndian.Uint32(take(4)))))
		case 0x8a:
			if n := take(1)[0]; n != 8 {
				return nil, fmt.Errorf("a number of %d bytes", n)
			}
			push(int64(binary.LittleEndian.Uint64(take(8))))
		case 'X', 0x8c, 0x8d:
			n := uint64(0)
			switch op {
			case 'X':
				n = uint64(binary.LittleEndian.Uint32(take(4)))
			case 0x8c:
				n = uint64(take(1)[0])
			default:
				n = binary.LittleEndian.Uint64(take(8))
			}
			s := string(take(n))
			if !utf8.ValidString(s) {
				return nil, fmt.Errorf("%q is not UTF-8", s)
			}
			push(s)
		case 'C':
			push(take(uint64(take(1)[0])))
		case 0x8e:
			push(take(binary.LittleEndian.Uint64(take(8))))
		case '(':
			push(pyMark{})
		case 't':
			n := 0
			for stack[len(stack)-1-n] != any(pyMark{}) {
				n++
			}
			t := popN(n)
			pop()
			push(t)
		case 0x85, 0x86, 0x87:
			push(popN(int(op) - 0x84))
		case 'R':
			args := pop().(pyTuple)
			of := pop()
			if of == any(pyGlobal("_codecs.encode")) && args[1] == "latin1" {
				bytes := []byte{}
				for _, c := range args[0].(string) {
					bytes = append(bytes, byte(c))
				}
				push(bytes)
				break
			}
			push(&pyObject{of: of, args: args})
		case 'b':
			state := pop()
			stack[len(stack)-1].(*pyObject).state = state
		case ']':
			push(&pyList{})
		case 'a':
			v := pop()
			l := stack[len(stack)-1].(*pyList)
			l.items = append(l.items, v)
		case '}':
			push(&pyDict{values: map[any]any{}})
		case 's':
			v := pop()
			k := pop()
			d := stack[len(stack)-1].(*pyDict)
			d.keys = append(d.keys, k)
			d.values[k] = v
		default:
			return nil, fmt.Errorf("opcode %q", op)
		}
	}
}

// array is the numbers of an array that is made as numpy makes them, of the shape.
func array(v any, shape ...int64) ([]float32, error) {
	o, ok := v.(*pyObject)
	if !ok {
		return nil, fmt.Errorf("%v is no array", v)
	}
	var t pyTuple
	size := int64(1)
	for _, n := range shape {
		t = append(t, n)
		size *= n
	}
	data := o.state.(pyTuple)[4].([]byte)
	dtype := &pyObject{pyGlobal("numpy.dtype"), pyTuple{"f4", false, true}, pyTuple{int64(3), "<", nil, nil, nil, int64(-1), int64(-1), int64(0)}}
	want := &pyObject{
		pyGlobal("numpy.core.multiarray._reconstruct"),
		pyTuple{pyGlobal("numpy.ndarray"), pyTuple{int64(0)}, []byte("b")},
		pyTuple{int64(1), t, dtype, false, data},
	}
	if o.args[2] == any("b") { // in protocol 2
		want.args[2] = "b"
	}
	if !reflect.DeepEqual(o, want) || int64(len(data)) != 4*size {
		return nil, fmt.Errorf("array of %d bytes is\n%v %v %v, want\n%v %v %v", len(data), o.of, o.args, o.state, want.of, want.args, want.state)
	}
	numbers := make([]float32, size)
	_, err := binary.Decode(data, binary.LittleEndian, numbers)
	return numbers, err
}

// holds reports whether an array has the boxes and, if it has five columns, the scores.
func holds(v any, r *Row, columns int64) error {
	got, err := array(v, int64(len(r.Boxes)), columns)
	if err != nil {
		return err
	}
	var want []float32
	for i, b := range r.Boxes {
		want = append(want, float32(b.X0), float32(b.Y0), float32(b.X1), float32(b.Y1))
		if columns == 5 {
			want = append(want, r.Scores[i])
		}
	}
	return equal(got, want)
}

func holdsScores(v any, r *Row) error {
	got, err := array(v, int64(len(r.Boxes)))
	if err != nil {
		return err
	}
	return equal(got, r.Scores)
}

func equal(got, want []float32) error {
	for i := range want {
		if math.Float32bits(got[i]) != math.Float32bits(want[i]) {
			return fmt.Errorf("number %d is %v, want %v", i, got[i], want[i])
		}
	}
	return nil
}

// exact returns the number next to v that a float32 represents, as all below it.
func exact(v int32) int32 { return max(min(v, 1<<24), -1<<24) }

// drawRanked draws rows whose keys differ, whose scores decrease, and whose coordinates are float32.
func drawRanked(t *rapid.T) []Row {
	name := rapid.OneOf(
		rapid.Map(rapid.SliceOf(rapid.Byte()), func(b []byte) string { return string(b) }),
		rapid.String(),
		rapid.Map(rapid.IntRange(250, 260), func(n int) string { return strings.Repeat("x", n) }),
		rapid.SampledFrom([]string{"", "a/../b.jpg", "a\nb/c.jpg", "\xff/\xfe.png", "000000000139.jpg", "dir/000005.jpg"}),
	)
	id := rapid.OneOf(rapid.Just(""), name, rapid.Map(rapid.Uint64(), func(n uint64) string { return strconv.FormatUint(n, 10) }))
	rows := make([]Row, rapid.IntRange(0, 5).Draw(t, "pictures"))
	seen := map[string]bool{}
	for i := range rows {
		r := drawRow(t)
		r.File, r.ID, r.Folder = fmt.Sprintf("%s%d", name.Draw(t, "file"), i), id.Draw(t, "id"), rapid.SampledFrom([]string{"", "f", "/d/f", "f/"}).Draw(t, "folder")
		if r.ID != "" {
			r.ID += strconv.Itoa(i)
		}
		if ids, names := "id "+detectron2Key(&r), "name "+mmdetKey(&r); seen[ids] || seen[names] {
			r.File, r.ID = fmt.Sprint("other", i), ""
		} else {
			seen[ids], seen[names] = true, true
		}
		for j, b := range r.Boxes {
			r.Boxes[j] = box.Box{X0: exact(b.X0), Y0: exact(b.Y0), X1: exact(b.X1), Y1: exact(b.Y1)}
		}
		s := float32(1)
		for j := range r.Scores {
			s = math.Nextafter32(s-rapid.Float32Range(0, .5).Draw(t, "step"), float32(math.Inf(-1)))
			r.Scores[j] = s
		}
		if rapid.IntRange(0, 3).Draw(t, "fails") == 0 {
			r = Row{File: r.File, ID: r.ID, Folder: r.Folder, Error: "no picture"}
		}
		rows[i] = r
	}
	return rows
}

func unpickled(t require, format string, rows ...Row) any {
	t.Helper()
	v, err := unpickle(fileOf(t, format, rows...))
	if err != nil {
		t.Fatalf("%s: %v", format, err)
	}
	return v
}

func TestDetectron2(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rows := drawRanked(t)
		d := unpickled(t, "detectron2", rows...).(*pyDict)
		if !reflect.DeepEqual(d.keys, []any{"ids", "boxes", "objectness_logits", "bbox_mode"}) || d.values["bbox_mode"] != int64(0) {
			t.Fatalf("%v, mode %v", d.keys, d.values["bbox_mode"])
		}
		ids, boxes, scores := d.values["ids"].(*pyList).items, d.values["boxes"].(*pyList).items, d.values["objectness_logits"].(*pyList).items
		if len(ids) != len(rows) || len(boxes) != len(rows) || len(scores) != len(rows) {
			t.Fatalf("%d ids, %d arrays of boxes and %d of scores of %d images", len(ids), len(boxes), len(scores), len(rows))
		}
		for i := range rows {
			if err := errors.Join(holds(boxes[i], &rows[i], 4), holdsScores(scores[i], &rows[i])); err != nil {
				t.Fatal(err)
			}
			if fmt.Sprint(ids[i]) != detectron2Key(&rows[i]) {
				t.Fatalf("%+v has the id %q", rows[i], ids[i])
			}
		}
	})
}

func TestDetectron2IDs(t *testing.T) {
	for _, c := range []struct {
		file, id string
		want     any
	}{
		{"a/000000000139.jpg", "", int64(139)},
		{"000005.jpg", "000005", "000005"}, // VOC's, which Detectron2 has as a text
		{"x.jpg", "139", int64(139)},
		{"x.jpg", "0", int64(0)},
		{"x.jpg", "255", int64(255)},
		{"x.jpg", "256", int64(256)},
		{"x.jpg", "2147483647", int64(math.MaxInt32)},
		{"x.jpg", "2147483648", int64(math.MaxInt32 + 1)},
		{"x.jpg", "9223372036854775807", int64(math.MaxInt64)},
		{"x.jpg", "9223372036854775808", "9223372036854775808"},
		{"x.jpg", "-1", "-1"},
		{"x.jpg", "+1", "+1"},
		{"x.jpg", "1_0", "1_0"},
		{"2008_000008.jpg", "", "2008_000008"},
		{"\xff\xfe.jpg", "", "\ufffd\ufffd"},
	} {
		v := unpickled(t, "detectron2", Row{File: c.file, ID: c.id})
		if got := v.(*pyDict).values["ids"].(*pyList).items[0]; got != c.want {
			t.Errorf("%q of %q: %T %v, want %T %v", c.id, c.file, got, got, c.want, c.want)
		}
	}
	v := unpickled(t, "detectron2", Row{File: "x.jpg", ID: "139", TextID: true})
	if got := v.(*pyDict).values["ids"].(*pyList).items[0]; got != any("139") {
		t.Errorf("an id that is a text: %T %v", got, got)
	}
}

func TestMMDet(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rows := drawRanked(t)
		d := unpickled(t, "mmdet", rows...).(*pyDict)
		if len(d.keys) != len(rows) || len(d.values) != len(rows) {
			t.Fatalf("%d keys and %d values of %d images", len(d.keys), len(d.values), len(rows))
		}
		for i := range rows {
			if d.keys[i] != mmdetKey(&rows[i]) {
				t.Fatalf("%+v has the key %q", rows[i], d.keys[i])
			}
			entry := d.values[d.keys[i]].(*pyDict)
			if err := errors.Join(holds(entry.values["bboxes"], &rows[i], 4), holdsScores(entry.values["scores"], &rows[i])); err != nil || len(entry.keys) != 2 {
				t.Fatal(entry.keys, err)
			}
		}
	})
}

func TestMMDetKeys(t *testing.T) {
	for _, c := range []struct{ folder, file, want string }{
		{"val2017", "000000000139.jpg", "val2017/000000000139.jpg"},
		{"/data/coco/val2017/", "a.jpg", "val2017/a.jpg"},
		{"s3://bucket/val", "a.jpg", "val/a.jpg"},
		{"coco", "val2017/a.jpg", "val2017/a.jpg"},
		{"coco", "x/val2017/a.jpg", "val2017/a.jpg"},
		{"", "x/val2017/a.jpg", "val2017/a.jpg"},
		{"", "a.jpg", "a.jpg"},
		{"", "/a.jpg", "a.jpg"},
		{"x", "/a.jpg", "a.jpg"},
		{"x", "y//a.jpg", "y/a.jpg"},
		{"x", "./a.jpg", "./a.jpg"},
		{"x", "../a.jpg", "../a.jpg"},
		{"x", "", "x/"},
		{"/", "a.jpg", "a.jpg"},
		{"a\nb", "\xff.jpg", "a\nb/\ufffd.jpg"},
	} {
		if got := mmdetKey(&Row{Folder: c.folder, File: c.file}); got != c.want {
			t.Errorf("%q in %q: %q, want %q", c.file, c.folder, got, c.want)
		}
	}
}

func TestMMDet2(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rows := drawRanked(t)
		items := unpickled(t, "mmdet2", rows...).(*pyList).items
		if len(items) != len(rows) {
			t.Fatalf("%d arrays of %d images", len(items), len(rows))
		}
		for i := range rows {
			if err := holds(items[i], &rows[i], 5); err != nil {
				t.Fatal(err)
			}
		}
	})
}

// A rejected row does not change the file.
func TestPicklesRejectInvalidRows(t *testing.T) {
	two := []box.Box{{X1: 1, Y1: 1}, {X1: 2, Y1: 2}}
	first := Row{File: "v/a.jpg", ID: "7", Boxes: two, Scores: []float32{1, 0}}
	for _, c := range []struct {
		format string
		row    Row
		want   string
	}{
		{"detectron2", Row{File: "w/a.jpg", ID: "7"}, `"w/a.jpg" has the name "7" in the file, like image 1: want distinct names`},
		{"detectron2", Row{File: "w/0007.jpg"}, `"w/0007.jpg" has the name "7"`},
		{"mmdet", Row{File: "x/v/a.jpg"}, `"x/v/a.jpg" has the name "v/a.jpg" in the file, like image 1`},
		{"mmdet", Row{File: "a.jpg", Folder: "v"}, `"a.jpg" has the name "v/a.jpg"`},
		{"detectron2", Row{File: "b", Boxes: two, Scores: []float32{.5, .5}}, `"b": score 1 is 0.5 after 0.5: want strictly decreasing scores`},
		{"mmdet", Row{File: "b", Boxes: two, Scores: []float32{.5, .6}}, `score 1 is 0.6 after 0.5`},
		{"mmdet2", Row{File: "b", Boxes: two, Scores: []float32{0, float32(math.Copysign(0, -1))}}, `score 1 is -0 after 0`},
	} {
		var file bytes.Buffer
		w, err := NewWriter(&file, c.format)
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(w.Write(&first), w.Write(&Row{File: "other"})); err != nil {
			t.Fatal(err)
		}
		if err := w.Write(&c.row); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %s", c.format, err, c.want)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		if want := fileOf(t, c.format, first, Row{File: "other"}); !bytes.Equal(file.Bytes(), want) {
			t.Errorf("%s: %q, want %q", c.format, file.Bytes(), want)
		}
	}
}

// Format.Key returns the name that is written.
func TestFormatKeys(t *testing.T) {
	r := &Row{File: "a/007.jpg"}
	for name, want := range map[string]string{"coco": "7", "detectron": "7", "detectron2": "7", "mmdet": "a/007.jpg"} {
		f, err := ParseFormat(name)
		if err != nil || !f.SingleFile {
			t.Fatalf("%s: %v, %+v", name, err, f)
		}
		if got, err := f.Key(r); err != nil || got != want {
			t.Errorf("%s: %q, %v, want %q", name, got, err, want)
		}
	}
}

// An array may be longer than 4 GiB.
func TestPickledStringLengths(t *testing.T) {
	head := appendPickledArray(nil, 1<<29, 4)
	if n := binary.LittleEndian.Uint64(head[len(head)-8:]); n != 1<<33 {
		t.Errorf("%d bytes, want %d", n, uint64(1<<33))
	}
	if want := "J\x00\x00\x00\x20K\x04\x86"; !bytes.Contains(head, []byte(want)) {
		t.Errorf("%q has no shape %q", head, want)
	}
}

func FuzzPickledNames(f *testing.F) {
	f.Add("a/000000000139.jpg", "val2017", "139")
	f.Add("\xff\n\x00/é\U0001f600.jpg", "", "")
	f.Add(strings.Repeat("n", 300), "/x//", "000005")
	f.Fuzz(func(t *testing.T, file, folder, id string) {
		rows := []Row{{File: file, Folder: folder, ID: id}}
		ids := unpickled(t, "detectron2", rows...).(*pyDict).values["ids"].(*pyList).items
		want := validUTF8(id)
		if id == "" {
			want = validUTF8(rows[0].ImageID())
		}
		if len(ids) != 1 || fmt.Sprint(ids[0]) != want {
			t.Errorf("%q of %q is %q", id, file, ids)
		}
		keys := unpickled(t, "mmdet", rows...).(*pyDict).keys
		if len(keys) != 1 || !strings.HasSuffix(keys[0].(string), validUTF8(file[strings.LastIndexByte(file, '/')+1:])) ||
			strings.Count(keys[0].(string), "/") > 1 {
			t.Errorf("%q in %q is %q", file, folder, keys)
		}
		if dir := path.Dir(file); dir != "." && path.Clean(file) == file && !strings.HasPrefix(file, "/") && keys[0] != validUTF8(path.Base(dir)+"/"+path.Base(file)) {
			t.Errorf("%q in %q is %q", file, folder, keys)
		}
	})
}
