package codec

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"

	"pgregory.net/rapid"

	"github.com/proposer/proposer/box"
)

// matArray is an array of a MAT-file: of cells, numbers or characters.
type matArray struct {
	name          string
	class         uint32
	rows, columns int
	cells         []matArray
	numbers       []int32
	singles       []float32
	text          string
}

// element takes one from data, which it has to be padded in.
func element(data []byte) (kind uint32, body, rest []byte, err error) {
	if len(data) < 8 {
		return 0, nil, nil, fmt.Errorf("%d bytes for a tag", len(data))
	}
	kind = binary.LittleEndian.Uint32(data)
	if n := kind >> 16; n > 0 {
		if n > 4 {
			return 0, nil, nil, fmt.Errorf("%d bytes in a tag", n)
		}
		return kind & 0xffff, data[4 : 4+n], data[8:], nil
	}
	n := int(binary.LittleEndian.Uint32(data[4:]))
	padded := (n + 7) &^ 7
	if padded > len(data)-8 {
		return 0, nil, nil, fmt.Errorf("an element of %d bytes in %d", n, len(data)-8)
	}
	return kind, data[8 : 8+n], data[8+padded:], nil
}

// parts takes elements of the kinds.
func parts(data []byte, kinds ...uint32) (bodies [][]byte, rest []byte, err error) {
	for _, want := range kinds {
		kind, body, after, err := element(data)
		if err != nil || kind != want {
			return nil, nil, fmt.Errorf("an element of type %d, want %d: %w", kind, want, err)
		}
		bodies, data = append(bodies, body), after
	}
	return bodies, data, nil
}

func readMatrix(data []byte) (a matArray, rest []byte, err error) {
	kind, body, rest, err := element(data)
	if err != nil || kind != miMATRIX {
		return a, nil, fmt.Errorf("type %d: %w", kind, err)
	}
	head, body, err := parts(body, miUINT32, miINT32, miINT8)
	if err != nil || len(head[0]) != 8 || len(head[1]) != 8 {
		return a, nil, fmt.Errorf("head %q: %w", head, err)
	}
	a.class, a.name = binary.LittleEndian.Uint32(head[0]), string(head[2])
	a.rows, a.columns = int(binary.LittleEndian.Uint32(head[1])), int(binary.LittleEndian.Uint32(head[1][4:]))
	switch a.class {
	case mxCELL:
		for len(body) > 0 {
			var cell matArray
			if cell, body, err = readMatrix(body); err != nil {
				return a, nil, err
			}
			a.cells = append(a.cells, cell)
		}
		if len(a.cells) != a.rows*a.columns {
			return a, nil, fmt.Errorf("%d cells of %d×%d", len(a.cells), a.rows, a.columns)
		}
	case mxDOUBLE:
		numbers, left, err := parts(body, miINT32)
		if err != nil || len(left) > 0 || len(numbers[0]) != 4*a.rows*a.columns {
			return a, nil, fmt.Errorf("%d bytes are left of %d×%d numbers: %w", len(left), a.rows, a.columns, err)
		}
		a.numbers = make([]int32, a.rows*a.columns)
		if _, err := binary.Decode(numbers[0], binary.LittleEndian, a.numbers); err != nil {
			return a, nil, err
		}
	case mxSINGLE:
		numbers, left, err := parts(body, miSINGLE)
		if err != nil || len(left) > 0 || len(numbers[0]) != 4*a.rows*a.columns {
			return a, nil, fmt.Errorf("%d bytes are left of %d×%d numbers: %w", len(left), a.rows, a.columns, err)
		}
		a.singles = make([]float32, a.rows*a.columns)
		if _, err := binary.Decode(numbers[0], binary.LittleEndian, a.singles); err != nil {
			return a, nil, err
		}
	case mxCHAR:
		text, left, err := parts(body, miUTF8)
		if err != nil || len(left) > 0 || utf8.RuneCount(text[0]) != a.columns || a.rows != 1 || !utf8.Valid(text[0]) {
			return a, nil, fmt.Errorf("%q of %d×%d: %w", text, a.rows, a.columns, err)
		}
		a.text = string(text[0])
	default:
		return a, nil, fmt.Errorf("class %d", a.class)
	}
	return a, rest, nil
}

// readMAT reads the arrays of a file.
func readMAT(data []byte) (boxes, images, scores matArray, err error) {
	if len(data) < 128 || string(data[124:128]) != "\x00\x01IM" || strings.Trim(string(data[116:124]), " ") != "" || !strings.HasPrefix(string(data), "MATLAB 5.0 MAT-file") {
		return boxes, images, scores, fmt.Errorf("head %.128q", data)
	}
	rest := data[128:]
	for _, a := range []struct {
		name string
		*matArray
	}{{"boxes", &boxes}, {"images", &images}, {"boxScores", &scores}} {
		if *a.matArray, rest, err = readMatrix(rest); err != nil {
			return boxes, images, scores, err
		}
		if a.matArray.name != a.name || a.rows != 1 || a.columns != boxes.columns {
			return boxes, images, scores, fmt.Errorf("%q of %d×%d, want %q of 1×%d", a.matArray.name, a.rows, a.columns, a.name, boxes.columns)
		}
	}
	if len(rest) > 0 {
		return boxes, images, scores, fmt.Errorf("%d bytes are left", len(rest))
	}
	return boxes, images, scores, nil
}

func TestMATRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rows := drawRanked(t)
		for i := range rows {
			for j, b := range rows[i].Boxes {
				rows[i].Boxes[j].X0, rows[i].Boxes[j].Y0 = min(b.X0, math.MaxInt32-1), min(b.Y0, math.MaxInt32-1)
			}
		}
		boxes, images, scores, err := readMAT(fileOf(t, "mat", rows...))
		if err != nil || len(boxes.cells) != len(rows) {
			t.Fatalf("%d cells of %d images: %v", len(boxes.cells), len(rows), err)
		}
		for i, r := range rows {
			m := boxes.cells[i]
			if m.rows != len(r.Boxes) || m.columns != 4 || m.class != mxDOUBLE {
				t.Fatalf("a matrix of %d×%d for %d boxes", m.rows, m.columns, len(r.Boxes))
			}
			for j, b := range r.Boxes {
				n := len(r.Boxes)
				if got := (box.Box{X0: m.numbers[n+j] - 1, Y0: m.numbers[j] - 1, X1: m.numbers[3*n+j], Y1: m.numbers[2*n+j]}); got != b {
					t.Fatalf("%v became %v", b, got)
				}
			}
			if s := scores.cells[i]; s.rows != len(r.Boxes) || s.columns != 1 || equal(s.singles, r.Scores) != nil {
				t.Fatalf("the scores %v of %d×%d, want %v", s.singles, s.rows, s.columns, r.Scores)
			}
			name := path.Base(r.File)
			if want := validUTF8(strings.TrimSuffix(name, path.Ext(name))); images.cells[i].text != want {
				t.Fatalf("%q is called %q, want %q", r.File, images.cells[i].text, want)
			}
		}
	})
}

// Nothing but the file is left, however it ends.
func TestMATRemovesTemporaryFiles(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("TMPDIR", dir)
	t.Setenv("TMP", dir)
	rows := many(1, 10)
	for _, out := range []io.Writer{io.Discard, failing{}} {
		w := newMAT(out)
		for range 3 {
			if err := w.Write(&rows[0]); err != nil {
				t.Fatal(err)
			}
		}
		if err := w.Close(); (err == nil) != (out == io.Discard) {
			t.Error(err)
		}
	}
	if left, err := filepath.Glob(filepath.Join(dir, "*")); err != nil || len(left) > 0 {
		t.Errorf("%q are left, %v", left, err)
	}
}

func TestMATWithoutTemporaryFolder(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "none")
	t.Setenv("TMPDIR", dir)
	t.Setenv("TMP", dir)
	w := newMAT(io.Discard)
	if err := w.Write(&many(1, 1)[0]); !errors.Is(err, os.ErrNotExist) || !strings.Contains(err.Error(), "TMPDIR") {
		t.Error(err)
	}
}

func TestMATLimits(t *testing.T) {
	m := &matWriter{w: io.Discard}
	for _, b := range []box.Box{{X0: math.MaxInt32}, {Y0: math.MaxInt32}} {
		if err := m.Write(&Row{File: "a", Boxes: []box.Box{b}, Scores: []float32{1}}); err == nil || !strings.Contains(err.Error(), `"a": box 0 begins at`) {
			t.Error(err)
		}
	}
	r := &many(1, 100)[0] // a cell of 56 + 1600 bytes
	for _, c := range []struct {
		boxes, images int64
		fits          bool
	}{
		{1<<32 - 1 - 56 - 1656, 0, true},
		{1<<32 - 56 - 1656, 0, false},
		{0, 1<<32 - 1 - 56, false},
	} {
		m.boxes.size, m.images.size = c.boxes, c.images
		count := m.boxes.count
		err := m.Write(r)
		if (err == nil) != c.fits || err != nil && !strings.Contains(err.Error(), "4 GiB of a MAT-file: want fewer boxes per image, or images in several files") {
			t.Errorf("after %d and %d bytes: %v", c.boxes, c.images, err)
		}
		if c.fits != (m.boxes.count == count+1) || m.boxes.count != m.images.count {
			t.Errorf("%d and %d cells after %d", m.boxes.count, m.images.count, count)
		}
	}
	m.boxes.remove()
	m.images.remove()
	m.scores.remove()
}

func FuzzMATNames(f *testing.F) {
	for _, name := range []string{"a/000005.jpg", "\xff\n\x00é\U0001f600.jpg", "", "abcd.x", "abcde"} {
		f.Add(name)
	}
	f.Fuzz(func(t *testing.T, file string) {
		_, images, _, err := readMAT(fileOf(t, "mat", Row{File: file, Error: "x"}))
		if err != nil || !bytes.HasPrefix([]byte(validUTF8(path.Base(file))), []byte(images.cells[0].text)) {
			t.Errorf("%q became %+v, %v", file, images, err)
		}
	})
}
