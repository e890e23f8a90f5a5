package rois

import (
	"archive/zip"
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os/exec"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/proposer/proposer/box"
	"github.com/proposer/proposer/imbalance"
	"github.com/proposer/proposer/internal/testutil/e2e"
)

func TestForImage(t *testing.T) {
	o := Detectron2.Options()
	o.Seed = 258
	sum := sha256.Sum256([]byte("\x02\x01\x00\x00\x00\x00\x00\x00a/b.jpg"))
	want := o
	want.Seed = binary.LittleEndian.Uint64(sum[:8])
	if got := o.ForImage("a/b.jpg"); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	if o.Seed != 258 {
		t.Error("the receiver was modified")
	}
	seen := map[uint64]bool{}
	for _, file := range []string{"", "a/b.jpg", "b.jpg", "a/b.jpg\x00"} {
		for seed := range uint64(5) {
			o.Seed = seed
			seen[o.ForImage(file).Seed] = true
		}
	}
	if len(seen) != 20 {
		t.Errorf("got %d different seeds, want 20", len(seen))
	}
}

// TestForImageSamples checks that two images with equal pools get different samples, always the same.
func TestForImageSamples(t *testing.T) {
	groundTruth := GroundTruth{Boxes: []box.Box{{X1: 20, Y1: 20}}}
	var pool []box.Box
	for i := range int32(200) {
		pool = append(pool, box.Box{X1: 20, Y1: 4 + i%20})
	}
	o := DefaultOptions()
	o.Size = 32
	draw := func(file string) []int32 {
		m, err := Sample(t.Context(), pool, groundTruth, o.ForImage(file))
		if err != nil {
			t.Fatal(err)
		}
		return m.Indices
	}
	if a := draw("a.jpg"); slices.Equal(a, draw("b.jpg")) || !slices.Equal(a, draw("a.jpg")) {
		t.Error("samples do not depend on the image alone")
	}
}

var classNames = []string{"ant", "bee", "𝄞 cow", "dog\n", "eel", "fly", "gnu", "hen", "ibis", "jay"}

func drawItem(t *rapid.T) Item {
	item := Item{
		File:  rapid.SampledFrom([]string{"a.jpg", "ä/𝄞.png", "two\nlines.jpg", "\xff.jpg", "long/" + strings.Repeat("é", 99), ""}).Draw(t, "file"),
		ID:    rapid.SampledFrom([]string{"", "17", "000042", "x"}).Draw(t, "id"),
		Width: side, Height: side,
	}
	if rapid.IntRange(0, 4).Draw(t, "fails") == 0 {
		item.Error, item.Width, item.Height = "not an image", 0, 0
		return item
	}
	item.GroundTruth = drawGroundTruth(t)
	if item.GroundTruth.Classes == nil {
		item.GroundTruth.Classes = make([]int, len(item.GroundTruth.Boxes))
	}
	m, err := Sample(t.Context(), drawProposals(t, item.GroundTruth.Boxes), item.GroundTruth, drawOptions(t))
	if err != nil {
		t.Fatal(err)
	}
	item.Minibatch = m
	return item
}

// written returns the archive of items.
func written(t rapid.TB, items []Item) []byte {
	t.Helper()
	var b bytes.Buffer
	z := NewNPZ(&b, classNames)
	for _, item := range items {
		if err := z.Write(item); err != nil {
			t.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// array is an array of an archive.
type array struct {
	Descr  string
	Shape  []int
	Values []any // flat: strings or float64
}

var header = regexp.MustCompile(`^\{'descr': '([^']*)', 'fortran_order': False, 'shape': \(([0-9, ]*)\), \} *\n$`)

// arrays reads what [NPZ] writes.
func arrays(t rapid.TB, data []byte) map[string]array {
	z, err := zip.NewReader(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]array{}
	for _, f := range z.File {
		r, err := f.Open()
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		n := 10 + int(binary.LittleEndian.Uint16(b[8:]))
		m := header.FindStringSubmatch(string(b[10:n]))
		if m == nil {
			t.Fatalf("%s: invalid header %q", f.Name, b[:n])
		}
		a := array{Descr: m[1]}
		count := 1
		for side := range strings.FieldsFuncSeq(m[2], func(r rune) bool { return r == ',' || r == ' ' }) {
			n, err := strconv.Atoi(side)
			if err != nil {
				t.Fatal(err)
			}
			a.Shape = append(a.Shape, n)
			count *= n
		}
		b = b[n:]
		if count > 0 && len(b)%count != 0 || count == 0 && len(b) > 0 {
			t.Fatalf("%s: %d bytes for %d values", f.Name, len(b), count)
		}
		for ; len(b) > 0; count-- {
			size := len(b) / count
			a.Values = append(a.Values, value(t, a.Descr, b[:size]))
			b = b[size:]
		}
		all[strings.TrimSuffix(f.Name, ".npy")] = a
	}
	return all
}

func value(t rapid.TB, descr string, b []byte) any {
	switch descr {
	case "|b1":
		return float64(b[0])
	case "<i4":
		return float64(int32(binary.LittleEndian.Uint32(b)))
	case "<i8":
		return float64(int64(binary.LittleEndian.Uint64(b)))
	case "<f4":
		return float64(math.Float32frombits(binary.LittleEndian.Uint32(b)))
	}
	if descr != fmt.Sprint("<U", len(b)/4) {
		t.Fatalf("unknown type %q", descr)
	}
	var s strings.Builder
	for ; len(b) > 0; b = b[4:] {
		s.WriteRune(rune(binary.LittleEndian.Uint32(b)))
	}
	return strings.TrimRight(s.String(), "\x00")
}

// referenceArrays returns the arrays of items, image by image.
func referenceArrays(items []Item) map[string]array {
	w := map[string]array{}
	for name, descr := range map[string]string{
		"files": "U", "ids": "U", "errors": "U", "class_names": "U", "sizes": "<i4", "offsets": "<i8", "rois": "<i4", "labels": "<i8",
		"classes": "<i8", "truth": "<i8", "ious": "<f4", "deltas": "<f4",
		"truth_offsets": "<i8", "truth_boxes": "<i4", "truth_classes": "<i8", "truth_crowd": "|b1",
	} {
		w[name] = array{Descr: descr}
	}
	put := func(name string, values ...any) {
		a := w[name]
		a.Values = append(a.Values, values...)
		w[name] = a
	}
	corners := func(name string, b box.Box) {
		put(name, float64(b.X0), float64(b.Y0), float64(b.X1), float64(b.Y1))
	}
	for _, name := range classNames {
		put("class_names", name)
	}
	rois, objects := 0, 0
	put("offsets", 0.0)
	put("truth_offsets", 0.0)
	for _, item := range items {
		put("files", strings.ToValidUTF8(item.File, "\ufffd"))
		put("ids", item.ID)
		put("errors", item.Error)
		put("sizes", float64(item.Width), float64(item.Height))
		for i, b := range item.GroundTruth.Boxes {
			corners("truth_boxes", b)
			put("truth_classes", float64(item.GroundTruth.Classes[i]))
			crowd := 0.0
			if item.GroundTruth.Crowd != nil && item.GroundTruth.Crowd[i] {
				crowd = 1
			}
			put("truth_crowd", crowd)
		}
		objects += len(item.GroundTruth.Boxes)
		put("truth_offsets", float64(objects))
		if m := item.Minibatch; m != nil {
			rois += len(m.Boxes)
			for k, b := range m.Boxes {
				corners("rois", b)
				put("labels", float64(m.Labels[k]))
				if m.Matches[k] < 0 {
					put("classes", float64(len(classNames)))
				} else {
					put("classes", float64(m.Classes[k]))
				}
				put("truth", float64(m.Matches[k]))
				put("ious", float64(float32(m.IoUs[k])))
				for j := range 4 {
					d := 0.0
					if m.Deltas[k] != nil {
						d = float64(float32(m.Deltas[k][j]))
					}
					put("deltas", d)
				}
			}
		}
		put("offsets", float64(rois))
	}
	for name, a := range w {
		width := map[string]int{"sizes": 2, "rois": 4, "deltas": 4, "truth_boxes": 4}[name]
		if width > 0 {
			a.Shape = []int{len(a.Values) / width, width}
		} else {
			a.Shape = []int{len(a.Values)}
		}
		if a.Descr == "U" {
			longest := 1
			for _, s := range a.Values {
				longest = max(longest, len([]rune(s.(string))))
			}
			a.Descr = fmt.Sprint("<U", longest)
		}
		w[name] = a
	}
	return w
}

func TestNPZ(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		items := rapid.SliceOfN(rapid.Custom(drawItem), 0, 4).Draw(t, "items")
		data := written(t, items)
		if !bytes.Equal(data, written(t, items)) {
			t.Fatal("equal items give different bytes")
		}
		got, want := arrays(t, data), referenceArrays(items)
		for name := range want {
			if !reflect.DeepEqual(got[name], want[name]) {
				t.Fatalf("%s: got %v\nwant %v", name, got[name], want[name])
			}
		}
		if len(got) != len(want) {
			t.Fatalf("got %d arrays, want %d", len(got), len(want))
		}
	})
}

func TestNPZLoadsInNumPy(t *testing.T) {
	python := e2e.Python(t, "import numpy", "NumPy")
	var items []Item
	for seed := range 30 {
		items = append(items, rapid.Custom(drawItem).Example(seed))
	}
	for _, items := range [][]Item{items, nil} {
		cmd := exec.CommandContext(t.Context(), python, "-c", `
import io, json, sys
import numpy as np
with np.load(io.BytesIO(sys.stdin.buffer.read())) as z:
    found = {}
    for name in z.files:
        a = z[name]
        flat = a.ravel()
        if a.dtype.kind in "bif":
            flat = flat.astype(np.float64)
        found[name] = {"Descr": a.dtype.str, "Shape": a.shape, "Values": flat.tolist()}
    for i in range(len(z["files"])):
        rois = slice(*z["offsets"][i:i + 2])
        truth = slice(*z["truth_offsets"][i:i + 2])
        held = z["truth"][rois] >= 0
        assert (held == (z["labels"][rois] == 1)).all() and (held == (z["classes"][rois] < len(z["class_names"]))).all()
        assert (z["truth_classes"][truth][z["truth"][rois][held]] == z["classes"][rois][held]).all()
        assert not z["truth_crowd"][truth][z["truth"][rois][held]].any()
json.dump(found, sys.stdout)
`)
		cmd.Stdin = bytes.NewReader(written(t, items))
		out := e2e.Output(t, cmd)
		var got map[string]array
		if err := json.Unmarshal(out, &got); err != nil {
			t.Fatal(err)
		}
		want := referenceArrays(items)
		for name, w := range want {
			if g := got[name]; g.Descr != w.Descr || !slices.Equal(g.Shape, w.Shape) || !slices.Equal(g.Values, w.Values) {
				t.Errorf("%s: got %v\nwant %v", name, g, w)
			}
		}
		if len(got) != len(want) {
			t.Errorf("got %d arrays, want %d", len(got), len(want))
		}
	}
}

// PyTorch takes labels and classes as targets; torchvision has background first.
func TestNPZTargets(t *testing.T) {
	python := e2e.Python(t, "import numpy, torch", "NumPy and PyTorch")
	var items []Item
	for seed := range 30 {
		items = append(items, rapid.Custom(drawItem).Example(seed))
	}
	cmd := exec.CommandContext(t.Context(), python, "-c", `
import io, sys
import numpy as np
import torch
from torch.nn import functional as F
z = np.load(io.BytesIO(sys.stdin.buffer.read()))
labels, classes, truth = (torch.from_numpy(z[name]) for name in ("labels", "classes", "truth"))
n, c = len(classes), len(z["class_names"])
assert n > 100 and (truth >= 0).any() and (truth < 0).any()
assert torch.isfinite(F.cross_entropy(torch.randn(n, c + 1), classes))
assert torch.isfinite(F.cross_entropy(torch.randn(n, 2), labels))
assert ((classes == c) == (truth < 0)).all()
first = (classes + 1) % (c + 1)
assert ((first == 0) == (truth < 0)).all() and (first[truth >= 0] == classes[truth >= 0] + 1).all()
image = torch.from_numpy(np.searchsorted(z["offsets"], np.arange(n), side="right") - 1)
own = torch.from_numpy(z["truth_offsets"])[image] + truth
assert (torch.from_numpy(z["truth_classes"])[own[truth >= 0]] == classes[truth >= 0]).all()
`)
	cmd.Stdin = bytes.NewReader(written(t, items))
	e2e.Output(t, cmd)
}

func TestNPZWriteErrors(t *testing.T) {
	object := []box.Box{{X1: 9, Y1: 9}}
	drawn := &Minibatch{
		Boxes: object, Labels: []imbalance.Label{1}, Matches: []int{0}, IoUs: []float64{1}, Deltas: []*Delta{{}},
	}
	for want, item := range map[string]Item{
		`"a" : minibatch present: false, error ""`: {},
		`minibatch present: true, error "no"`:      {Minibatch: drawn, Error: "no", GroundTruth: GroundTruth{Boxes: object, Classes: []int{0}}},
		"-1 × 5 pixels":                            {Width: -1, Height: 5, Error: "no"},
		"0 classes for 1 ground-truth boxes":       {Minibatch: drawn, GroundTruth: GroundTruth{Boxes: object}},
		"2 crowd flags for 1 ground-truth boxes":   {Minibatch: drawn, GroundTruth: GroundTruth{object, []int{0}, make([]bool, 2)}},
		"class 10: want 0 to 9 (10 class names)":   {Minibatch: drawn, GroundTruth: GroundTruth{Boxes: object, Classes: []int{10}}},
		"class -1":                                 {Minibatch: drawn, GroundTruth: GroundTruth{Boxes: object, Classes: []int{-1}}},
		"match with ground-truth box 0 of 0: want the ground truth of the minibatch": {Minibatch: drawn},
	} {
		t.Run(want, func(t *testing.T) {
			item.File = "a"
			want := strings.Replace(want, `"a" :`, `rois: "a":`, 1)
			var b bytes.Buffer
			z := NewNPZ(&b, classNames)
			if err := z.Write(item); err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("Write: got %v, want %s", err, want)
			}
			if err := z.Close(); err != nil || !bytes.Equal(b.Bytes(), written(t, nil)) {
				t.Errorf("Close: got %v and %d bytes, want an empty archive", err, b.Len())
			}
		})
	}
}

var errFull = errors.New("no space left on device")

// fullWriter fails after some bytes.
type fullWriter struct{ capacity int }

func (w *fullWriter) Write(p []byte) (int, error) {
	if w.capacity -= len(p); w.capacity < 0 {
		return 0, errFull
	}
	return len(p), nil
}

func TestNPZReportsWriteErrors(t *testing.T) {
	item := Item{File: "a.jpg", Error: strings.Repeat("x", 50000)}
	size := len(written(t, []Item{item}))
	for capacity := 0; capacity < size; capacity += 1999 {
		z := NewNPZ(&fullWriter{capacity}, classNames)
		if err := errors.Join(z.Write(item), z.Close()); !errors.Is(err, errFull) || strings.Count(err.Error(), errFull.Error()) != 1 {
			t.Errorf("writer for %d of %d bytes: got %v, want %v once", capacity, size, err, errFull)
		}
	}
}
