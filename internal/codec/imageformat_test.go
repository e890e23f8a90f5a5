package codec

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"math"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/proposer/proposer/box"
	"github.com/proposer/proposer/internal/testutil/golden"
)

func imageFormat(t testing.TB, name string) ImageFormat {
	t.Helper()
	f, ok := FindImageFormat(name)
	if !ok {
		t.Fatalf("no format %s", name)
	}
	return f
}

func TestImageFileNames(t *testing.T) {
	for _, c := range []struct{ format, file, id, want string }{
		{"detreg", "n01440764/n01440764_10026.JPEG", "", "n01440764_10026.npy"},
		{"detreg", "a.b/c.d.jpg", "7", "c.npy"},
		{"detreg", ".hidden.jpg", "", ".npy"},
		{"siamese-detr", "train2017/000000000009.jpg", "9", "train2017/000000000009.npy"},
		{"siamese-detr", "n01440764/n01440764_10026.JPEG", "", "n01440764/n01440764_10026.npy"},
		{"siamese-detr", "a.b/c.d.jpg", "", "a.npy"},
		{"siamese-detr", "../../val/1.jpg", "", "val/1.npy"},
		{"siamese-detr", "/data/val/1.jpg", "", "data/val/1.npy"},
		{"hosang", "000005.jpg", "000005", "0000/000005.mat"},
		{"hosang", "val/ILSVRC2012_val_00000001.JPEG", "", "ILSV/ILSVRC2012_val_00000001.mat"},
		{"hosang", "val2014/COCO_val2014_000000000042.jpg", "42", "COCO_val2014_0/COCO_val2014_000000000/COCO_val2014_000000000042.mat"},
		{"hosang", "COCO_short.jpg", "", "COCO/COCO_short.mat"},
		{"hosang", "a.b.jpg", "", "a.b/a.b.mat"},
		{"hosang", "ab", "", "ab/ab.mat"},
		{"labels-png", "d/a.b.jpg", "7", "d/a.b.png"},
		{"labels-npy", "d.e/a", "", "d.e/a.npy"},
		{"labels-npy", "/abs/a.jpg", "", "/abs/a.npy"},
		{"wsod2", "JPEGImages/000005.jpg", "000005", "000005.jpg"},
		{"wsod2", "d/a.b.png", "", "a.b.jpg"},
	} {
		if got := imageFormat(t, c.format).FileName(&Row{File: c.file, ID: c.id}); got != c.want {
			t.Errorf("%s: %q, id %q: got %q, want %q", c.format, c.file, c.id, got, c.want)
		}
	}
}

// labeled is a row of a label image with vertical stripes.
func labeled(width, height, regions int) *Row {
	r := &Row{File: "d/street.jpg", Width: width, Height: height}
	for i := range width * height {
		r.Labels = append(r.Labels, int32(int64(i%width)*int64(regions)/int64(width)))
	}
	return r
}

func TestImageFormatsGolden(t *testing.T) {
	for _, f := range ImageFormats() {
		r := &samples()[0]
		if f.Labels {
			r = labeled(7, 3, 5)
		}
		got, err := f.Encode(r)
		if err != nil {
			t.Fatalf("%s: %v", f.Name, err)
		}
		golden.Equal(t, filepath.Join("testdata", "image."+f.Name), got)
	}
}

// An image that failed, and one without boxes, have files of no boxes; only one that failed has no
// labels.
func TestImageFormatsWithoutBoxes(t *testing.T) {
	failed, none := &Row{File: "a.jpg", Error: "broken"}, labeled(2, 2, 1)
	for _, f := range ImageFormats() {
		got, err := f.Encode(failed)
		if err != nil || (got == nil) != f.Labels {
			t.Errorf("%s: failed image: got %d bytes (%v)", f.Name, len(got), err)
		}
		if got, err := f.Encode(none); err != nil || len(got) == 0 {
			t.Errorf("%s: image without boxes: got %d bytes (%v)", f.Name, len(got), err)
		}
	}
}

func TestImageFormatsRejectInvalidRows(t *testing.T) {
	one := []box.Box{{X1: 1, Y1: 1}}
	exact := map[string]int32{"hosang": math.MaxInt32 - 1, "npy": 1 << 24, "detreg": 1 << 24, "siamese-detr": 1 << 24}
	for name, r := range map[string]*Row{
		"more boxes": {Boxes: one},
		"NaN":        {Boxes: one, Scores: []float32{float32(math.NaN())}},
		"an error":   {Boxes: one, Scores: []float32{1}, Error: "broken"},
		"a side":     {Width: -1},
		"labels":     {Width: 2, Height: 2, Labels: make([]int32, 3)},
		"no labels":  {Width: 2, Height: 2},
	} {
		for _, f := range ImageFormats() {
			if strings.Contains(name, "labels") && !f.Labels {
				continue
			}
			if got, err := f.Encode(r); err == nil {
				t.Errorf("%s, %s: got %d bytes, want an error", f.Name, name, len(got))
			}
		}
	}
	for format, largest := range exact {
		for _, x := range []int32{largest, largest + 1} {
			_, err := imageFormat(t, format).Encode(&Row{Boxes: []box.Box{{X0: x, X1: x}}, Scores: []float32{1}})
			if (err != nil) != (x > largest) {
				t.Errorf("%s, coordinate %d: got %v, want an error: %t", format, x, err, x > largest)
			}
		}
	}
}

// decodeLabels returns the pixels of a PNG of labels.
func decodeLabels(t rapid.TB, data []byte) (image.Image, []int32) {
	t.Helper()
	img, err := png.Decode(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	var labels []int32
	for y := range img.Bounds().Dy() {
		for x := range img.Bounds().Dx() {
			switch c := img.At(x, y).(type) {
			case color.Gray:
				labels = append(labels, int32(c.Y))
			case color.Gray16:
				labels = append(labels, int32(c.Y))
			case color.RGBA:
				labels = append(labels, int32(c.R)|int32(c.G)<<8|int32(c.B)<<16)
			default:
				t.Fatalf("got a pixel of %T", c)
			}
		}
	}
	return img, labels
}

func TestLabelImages(t *testing.T) {
	png, wsod2 := imageFormat(t, "labels-png"), imageFormat(t, "wsod2")
	for _, c := range []struct {
		regions int
		want    string // the type of a pixel, or an error
	}{
		{1, "color.Gray"},
		{256, "color.Gray"},
		{257, "color.Gray16"},
		{65536, "color.Gray16"},
		{65537, `"d/street.jpg" has 65537 initial regions, and a PNG at most 65536: want a larger k or min-size, or format labels-npy`},
	} {
		r := labeled(c.regions, 2, c.regions)
		data, err := png.Encode(r)
		if err != nil {
			if !strings.Contains(err.Error(), c.want) {
				t.Errorf("%d regions: got %v, want %s", c.regions, err, c.want)
			}
		} else if img, labels := decodeLabels(t, data); fmt.Sprintf("%T", img.At(0, 0)) != c.want || !slices.Equal(labels, r.Labels) {
			t.Errorf("%d regions: got pixels of %T, or other labels, want %s", c.regions, img.At(0, 0), c.want)
		}
		if data, err = wsod2.Encode(r); err != nil {
			t.Fatal(err)
		}
		if _, labels := decodeLabels(t, data); !slices.Equal(labels, r.Labels) {
			t.Errorf("%d regions: got other labels from wsod2", c.regions)
		}
	}
}

func TestImageFilesContainTheRow(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := drawRow(t)
		r.Error = ""
		for i, b := range r.Boxes { // integers that a float32 represents exactly
			r.Boxes[i] = box.Box{X0: b.X0 >> 8, Y0: b.Y0 >> 8, X1: b.X1 >> 8, Y1: b.Y1 >> 8}
		}
		labels := labeled(rapid.IntRange(1, 40).Draw(t, "width"), rapid.IntRange(1, 9).Draw(t, "height"), rapid.IntRange(1, 300).Draw(t, "regions"))
		for _, f := range ImageFormats() {
			row := &r
			if f.Labels {
				row = labels
			}
			data, err := f.Encode(row)
			if err != nil {
				t.Fatal(err)
			}
			switch f.Name {
			case "npy":
				var want []float32
				for i, b := range r.Boxes {
					want = append(want, float32(b.X0), float32(b.Y0), float32(b.X1), float32(b.Y1), r.Scores[i])
				}
				if !slices.Equal(float32s(data[len(data)-4*len(want):]), want) {
					t.Errorf("%s: got other boxes or scores", f.Name)
				}
			case "detreg":
				if want := 4 * 4 * len(r.Boxes); !slices.Equal(float32s(data[len(data)-want:]), corners(&r)) {
					t.Errorf("%s: got other boxes", f.Name)
				}
			case "siamese-detr":
				if !bytes.Contains(data, []byte("\x8c\x03box")) || !bytes.Contains(data, floatBytes(corners(&r))) || !bytes.Contains(data, floatBytes(r.Scores)) {
					t.Errorf("%s: got other boxes or scores", f.Name)
				}
			case "hosang":
				if want := 128 + (8 + 16 + 16 + 16 + 8 + 16*len(r.Boxes)) + (8 + 16 + 16 + 16 + 8 + 8*len(r.Boxes)) + (8 + 16 + 16 + 24 + 8); len(data) != want {
					t.Errorf("%s: got %d bytes, want %d", f.Name, len(data), want)
				}
			case "labels-npy":
				var got []int32
				for i := len(data) - 4*len(row.Labels); i < len(data); i += 4 {
					got = append(got, int32(binary.LittleEndian.Uint32(data[i:])))
				}
				if !slices.Equal(got, row.Labels) {
					t.Errorf("%s: got other labels", f.Name)
				}
			case "labels-png", "wsod2":
				if _, got := decodeLabels(t, data); !slices.Equal(got, row.Labels) {
					t.Errorf("%s: got other labels", f.Name)
				}
			default:
				t.Errorf("%s has no test", f.Name)
			}
		}
	})
}

func corners(r *Row) (v []float32) {
	for _, b := range r.Boxes {
		v = append(v, float32(b.X0), float32(b.Y0), float32(b.X1), float32(b.Y1))
	}
	return v
}

func floatBytes(v []float32) (data []byte) {
	for _, f := range v {
		data = appendFloat(data, f)
	}
	return data
}

func float32s(data []byte) (v []float32) {
	for ; len(data) >= 4; data = data[4:] {
		v = append(v, math.Float32frombits(binary.LittleEndian.Uint32(data)))
	}
	return v
}

// BenchmarkEncodeImage encodes 2000 boxes, or 1000 regions in 640×480 pixels.
func BenchmarkEncodeImage(b *testing.B) {
	for _, f := range ImageFormats() {
		row := &many(1, 2000)[0]
		if f.Labels {
			row = labeled(640, 480, 1000)
		}
		b.Run(f.Name, func(b *testing.B) {
			for b.Loop() {
				data, err := f.Encode(row)
				if err != nil {
					b.Fatal(err)
				}
				b.SetBytes(int64(len(data)))
			}
		})
	}
}

// EncodeLabelsPNG always has 16 bits.
func TestEncodeLabelsPNG(t *testing.T) {
	for _, regions := range []int{1, 256, 257, 65536} {
		t.Run(fmt.Sprint(regions), func(t *testing.T) {
			r := labeled(regions, 2, regions)
			data, err := EncodeLabelsPNG(r.Width, r.Height, r.Labels)
			if err != nil {
				t.Fatal(err)
			}
			if img, labels := decodeLabels(t, data); img.ColorModel() != color.Gray16Model || !slices.Equal(labels, r.Labels) {
				t.Error("got other labels, or not 16 bits")
			}
		})
	}
	r := labeled(65537, 2, 65537)
	if _, err := EncodeLabelsPNG(r.Width, r.Height, r.Labels); err == nil || err.Error() != "65537 regions: a PNG has at most 65536" {
		t.Errorf("65537 regions: got %v", err)
	}
}
