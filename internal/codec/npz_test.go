package codec

import (
	"archive/zip"
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/proposer/proposer/box"
)

// texts is what NumPy makes of the rows' texts: no NULs at their ends.
func texts(rows []table) []table {
	text := func(s string) string {
		if r := []rune(s); len(r) > maxText {
			s = string(r[:maxText])
		}
		return strings.TrimRight(s, "\x00")
	}
	for i := range rows {
		rows[i].ID, rows[i].File = text(rows[i].ID), text(rows[i].File)
		if rows[i].Error == nil {
			continue
		}
		if *rows[i].Error = text(*rows[i].Error); *rows[i].Error == "" {
			rows[i].Error = nil
		}
	}
	return rows
}

var npyHeader = regexp.MustCompile(`^{'descr': '?(.*?)'?, 'fortran_order': False, 'shape': \((.*)\), } *\n$`)

// readNPY takes a file apart.
func readNPY(t require, file []byte) (descr, shape string, data []byte) {
	t.Helper()
	if len(file) < 10 || string(file[:8]) != "\x93NUMPY\x01\x00" {
		t.Fatalf("%.20q", file)
	}
	end := 10 + int(binary.LittleEndian.Uint16(file[8:]))
	header := npyHeader.FindSubmatch(file[10:end])
	if header == nil {
		t.Fatalf("%q", file[:end])
	}
	return string(header[1]), string(header[2]), file[end:]
}

// readNPZ is what an archive tells.
func readNPZ(t require, file []byte) []table {
	t.Helper()
	z, err := zip.NewReader(bytes.NewReader(file), int64(len(file)))
	if err != nil {
		t.Fatalf("%v", err)
	}
	numbers, words, shapes := map[string][]byte{}, map[string][]string{}, map[string]string{}
	names := ""
	for _, f := range z.File {
		r, err := f.Open()
		if err != nil {
			t.Fatalf("%v", err)
		}
		all, err := io.ReadAll(r)
		if err != nil {
			t.Fatalf("%v", err)
		}
		descr, shape, data := readNPY(t, all)
		names += f.Name + " " + descr + "\n"
		shapes[f.Name], numbers[f.Name] = shape, data
		var width, n int
		if _, err := fmt.Sscanf(descr, "<U%d", &width); err == nil {
			names = strings.TrimRight(names, "0123456789\n") + "\n"
			if _, err := fmt.Sscanf(shape, "%d,", &n); err != nil || len(data) != 4*width*n {
				t.Fatalf("%s of %s: %d bytes", descr, shape, len(data))
			}
			runes := make([]rune, width*n)
			decode(t, data, runes)
			for i := range n {
				words[f.Name] = append(words[f.Name], strings.TrimRight(string(runes[i*width:(i+1)*width]), "\x00"))
			}
		}
	}
	const want = "files.npy <U\nids.npy <U\nsizes.npy <i4\noffsets.npy <i8\nboxes.npy <i4\nscores.npy <f4\nerrors.npy <U\n"
	rows := make([]table, len(words["files.npy"]))
	offsets := make([]int64, len(rows)+1)
	decode(t, numbers["offsets.npy"], offsets)
	sizes, scores, boxes := make([]int32, 2*len(rows)), make([]float32, offsets[len(rows)]), make([]box.Box, offsets[len(rows)])
	decode(t, numbers["sizes.npy"], sizes)
	decode(t, numbers["scores.npy"], scores)
	decode(t, numbers["boxes.npy"], boxes)
	if names != want || shapes["boxes.npy"] != fmt.Sprintf("%d, 4", len(boxes)) || shapes["sizes.npy"] != fmt.Sprintf("%d, 2", len(rows)) {
		t.Fatalf("%s of shapes %v", names, shapes)
	}
	for i := range rows {
		rows[i] = table{
			words["ids.npy"][i], words["files.npy"][i], int(sizes[2*i]), int(sizes[2*i+1]),
			boxes[offsets[i]:offsets[i+1]], scores[offsets[i]:offsets[i+1]], nil,
		}
		if reason := words["errors.npy"][i]; reason != "" {
			rows[i].Error = &reason
		}
	}
	return rows
}

// decode fills v, which takes all of the data.
func decode(t require, data []byte, v any) {
	t.Helper()
	if n, err := binary.Decode(data, binary.LittleEndian, v); err != nil || n != len(data) {
		t.Fatalf("%d bytes of %d: %v", n, len(data), err)
	}
}

func TestNPZRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rows := drawRows(t)
		if got, want := readNPZ(t, fileOf(t, "npz", rows...)), texts(tabled(rows)); !reflect.DeepEqual(got, want) {
			t.Fatalf("got %+v\nwant %+v", got, want)
		}
	})
}

func TestNPZTruncatesStrings(t *testing.T) {
	for length, want := range map[int]int{maxText - 1: maxText - 1, maxText: maxText, maxText + 1: maxText, 1 << 20: maxText} {
		name := strings.Repeat("é", length)
		if got := readNPZ(t, fileOf(t, "npz", Row{File: name, ID: name, Error: name})); len([]rune(got[0].File)) != want ||
			len([]rune(got[0].ID)) != want || len([]rune(*got[0].Error)) != want {
			t.Errorf("%d characters: want %d", length, want)
		}
	}
}

// NumPy reads the same.
func TestNPZConsumer(t *testing.T) {
	for _, rows := range [][]Row{hostile(), nil, {{File: "none"}}} {
		var arrays struct{ Rows []table }
		consumer(t, "numpy", "npz", fileOf(t, "npz", rows...), &arrays)
		if want := texts(tabled(rows)); !reflect.DeepEqual(arrays.Rows, want) {
			t.Errorf("got %+v\nwant %+v", arrays.Rows, want)
		}
	}
}
