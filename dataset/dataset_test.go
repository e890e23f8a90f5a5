package dataset

import (
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/proposer/proposer/box"
	"github.com/proposer/proposer/internal/testutil/e2e"
)

const (
	smallCOCO = `{"info": {"a": [1, {"b": null}]}, "annotations": [
		{"id": 1, "image_id": 7, "category_id": 2, "bbox": [1, 2, 3.5, 4], "iscrowd": 0, "segmentation": [[1, 2, 3]]},
		{"id": 2, "image_id": 5, "category_id": 9, "bbox": [0, 0, 0, 1e2], "iscrowd": 1, "area": 3}],
		"images": [{"id": 5, "file_name": "sub/b.jpg", "width": 640, "height": 480}, {"id": 6, "file_name": "c.jpg"}, {"id": 7, "file_name": "a.jpg"}],
		"categories": [{"id": 2, "name": "cat", "supercategory": "animal"}, {"id": 9, "name": "dog"}], "licenses": []}`
	smallVOC = `<annotation><folder>x</folder><filename>a.jpg</filename><size><width>640</width><height>480</height><depth>3</depth></size>
		<object><name>cat</name><difficult>0</difficult><bndbox><xmin>1</xmin><ymin>1</ymin><xmax>2</xmax><ymax>3</ymax></bndbox>
			<part><name>head</name><bndbox><xmin>9</xmin><ymin>9</ymin><xmax>9</xmax><ymax>9</ymax></bndbox></part></object>
		<object><name>dog</name><difficult>1</difficult><bndbox><ymin>3.5</ymin><xmin>2.25</xmin><ymax>3.5</ymax><xmax> 9 </xmax></bndbox></object></annotation>`
)

func TestReadCOCO(t *testing.T) {
	got, err := ReadCOCO(iotest.OneByteReader(strings.NewReader(smallCOCO)))
	want := &Dataset{Images: []Image{
		{File: "sub/b.jpg", ID: "5", Width: 640, Height: 480, Objects: []Object{{0, 0, 0, 100, "dog", true, 3}}},
		{File: "c.jpg", ID: "6"},
		{File: "a.jpg", ID: "7", Objects: []Object{{1, 2, 4.5, 6, "cat", false, 14}}},
	}}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, %v\nwant %+v", got, err, want)
	}
}

func TestReadVOC(t *testing.T) {
	got, err := ReadVOC(strings.NewReader(smallVOC))
	want := &Image{"a.jpg", "", 640, 480, []Object{{0, 0, 2, 3, "cat", false, 6}, {1.25, 2.5, 9, 3.5, "dog", true, 7.75}}}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, %v\nwant %+v", got, err, want)
	}
	if got, err := ReadVOC(strings.NewReader("<annotation/>")); err != nil || !reflect.DeepEqual(got, &Image{}) {
		t.Errorf("empty annotation: got %+v, %v; want a zero Image", got, err)
	}
}

func TestReadCOCOErrors(t *testing.T) {
	image := `"images": [{"id": 1, "file_name": "a.jpg"}], "categories": [{"id": 1, "name": "cat"}], `
	of := func(annotation string) string { return "{" + image + `"annotations": [` + annotation + "]}" }
	for _, c := range []struct{ text, want string }{
		{"", "unexpected EOF"},
		{"[]", "want an object with images"},
		{"{}", "want an object with images"},
		{"{" + image + `"info": 1}`, "want an object with images"},
		{smallCOCO[:200], "annotation 2: unexpected EOF"},
		{smallCOCO + "{}", "data after the end"},
		{`{"images": 3}`, "images: want an array"},
		{"{" + image + image + `"annotations": []}`, "images: duplicate key"},
		{`{"images": [{"id": 1}]}`, "image 1: want an id and a file_name"},
		{`{"images": [{"id": "1", "file_name": "a.jpg"}]}`, "image 1: json: cannot unmarshal string"},
		{`{"images": [{"id": 1, "file_name": "../a.jpg"}]}`, `image 1: image file "../a.jpg": want a path inside`},
		{`{"images": [{"id": 1, "file_name": ""}]}`, `image 1: image file ""`},
		{`{"images": [{"id": 1, "file_name": "a", "width": -1}]}`, "image 1: image of -1 × 0"},
		{`{"images": [{"id": 1, "file_name": "a"}, {"id": 1, "file_name": "b"}]}`, "image 2: duplicate id 1"},
		{`{"images": [{"id": 1, "file_name": "a"}, {"id": 2, "file_name": "a"}], "categories": [], "annotations": []}`, `image 2: duplicate file_name "a"`},
		{`{"categories": [{"id": 1}]}`, "category 1: want an id and a name"},
		{`{"categories": [{"id": 1, "name": "a"}, {"id": 1, "name": "b"}]}`, "category 2: duplicate id 1"},
		{of(`{"image_id": 1, "bbox": [1, 2, 3, 4]}`), "annotation 1: want an image_id and a category_id"},
		{of(`{"image_id": 1, "category_id": 1}`), "annotation 1: bbox of 0 numbers"},
		{of(`{"image_id": 1, "category_id": 1, "bbox": [1, 2, null, 4]}`), "null in bbox"},
		{of(`{"image_id": 1, "category_id": 1, "bbox": [1, 2, -3, 4]}`), "box of -3 × 4 pixels: want sides of 0 or more"},
		{of(`{"image_id": 1, "category_id": 1, "bbox": [1, 2, 1e308, 4]}`), "box coordinate 1e+308"},
		{of(`{"image_id": 1, "category_id": 1, "bbox": [1, 2, 1e999, 4]}`), "annotation 1: json:"},
		{of(`{"image_id": 2, "category_id": 1, "bbox": [1, 2, 3, 4]}`), "annotation 1: unknown image_id 2"},
		{of(`{"image_id": 1, "category_id": 2, "bbox": [1, 2, 3, 4]}`), "annotation 1: unknown category_id 2"},
		{`{"info": ` + strings.Repeat("[", 200) + "}", "info: invalid character"},
	} {
		t.Run(c.want, func(t *testing.T) {
			d, err := ReadCOCO(strings.NewReader(c.text))
			if _, ok := errors.AsType[*Error](err); !ok || d != nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("ReadCOCO(%.80q) = %v, %v; want nil and %q", c.text, d, err, c.want)
			}
		})
	}
	if _, err := ReadCOCO(iotest.ErrReader(io.ErrClosedPipe)); !errors.Is(err, io.ErrClosedPipe) {
		t.Errorf("got error %v, want that of the reader", err)
	}
}

// endless is a reader of a text without an end.
type endless struct{ n int }

func (e *endless) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = 'x'
	}
	e.n += len(p)
	return len(p), nil
}

func TestReadersBoundMemory(t *testing.T) {
	for _, begin := range []string{`{"images": [{"id": "`, `{"info": "`} {
		rest := &endless{}
		t.Run(begin, func(t *testing.T) {
			_, err := ReadCOCO(io.MultiReader(strings.NewReader(begin), rest))
			if err == nil || !strings.Contains(err.Error(), "is longer than 16777216 bytes") || rest.n > 4*maxEntry {
				t.Errorf("got %v after %d bytes, want an error about the length within %d bytes", err, rest.n, 4*maxEntry)
			}
		})
	}
	t.Run("annotation", func(t *testing.T) {
		if _, err := ReadVOC(&endless{}); err == nil || !strings.Contains(err.Error(), "is longer than 4194304 bytes") {
			t.Errorf("got %v, want an error about the length", err)
		}
	})
}

func TestReadVOCErrors(t *testing.T) {
	object := func(s string) string { return "<annotation><object><name>a</name>" + s + "</object></annotation>" }
	corners := "<bndbox><xmin>%s</xmin><ymin>1</ymin><xmax>5</xmax><ymax>%s</ymax></bndbox>"
	// On 32 bits this is no number at all.
	huge := "image of 3000000000 × 0"
	if strconv.IntSize == 32 {
		huge = `size "3000000000": want a number`
	}
	for _, c := range []struct{ text, want string }{
		{"", "unexpected EOF"},
		{"no xml", "EOF"},
		{"<image/>", "expected element type <annotation>"},
		{smallVOC[:400], "XML syntax error"},
		{"<annotation><filename>/etc/passwd</filename></annotation>", `image file "/etc/passwd": want a path inside`},
		{"<annotation><size><width>wide</width></size></annotation>", `size "wide": want a number`},
		{"<annotation><size><width>3000000000</width></size></annotation>", huge},
		{"<annotation><object/></annotation>", "object 1: want a name"},
		{object(""), "object 1: want a bndbox"},
		{object("<difficult>yes</difficult>" + corners), `object 1: difficult "yes": want 0 or 1`},
		{object(fmt.Sprintf(corners, "x", "9")), `object 1: "x" in bndbox: want four numbers`},
		{object(fmt.Sprintf(corners, "NaN", "9")), `object 1: "NaN" in bndbox`},
		{object(fmt.Sprintf(corners, "-Inf", "9")), "object 1: box coordinate -Inf"},
		{object(fmt.Sprintf(corners, "7", "9")), "object 1: box of -1 × 9 pixels"},
		{object("<bndbox/>"), `object 1: "" in bndbox`},
	} {
		t.Run(c.want, func(t *testing.T) {
			img, err := ReadVOC(strings.NewReader(c.text))
			if _, ok := errors.AsType[*Error](err); !ok || img != nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("ReadVOC(%.120q) = %v, %v; want nil and %q", c.text, img, err, c.want)
			}
		})
	}
	if _, err := ReadVOC(iotest.ErrReader(io.ErrClosedPipe)); !errors.Is(err, io.ErrClosedPipe) {
		t.Errorf("got error %v, want that of the reader", err)
	}
}

// writeFiles writes files to a new folder.
func writeFiles(t testing.TB, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		path := filepath.Join(dir, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, []byte(text), 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestOpen(t *testing.T) {
	coco := strings.ReplaceAll(smallCOCO, "sub/", "")
	bare := "<annotation/>" // the name of the image is that of the file
	for _, c := range []struct {
		name, path string
		files      map[string]string
		images     int
		folder     string // of the images; - if not found
	}{
		{"instances.json", "", map[string]string{"instances.json": coco, "images/a.jpg": ""}, 3, "images"},
		{"instances file", "instances.json", map[string]string{"instances.json": coco, "images/a.jpg": ""}, 3, "images"},
		{"images beside the file", "x.JSON", map[string]string{"x.JSON": coco, "c.jpg": "", "images/z.jpg": ""}, 3, "."},
		{"as COCO is distributed", "annotations/instances_val2017.json", map[string]string{
			"annotations/instances_val2017.json": coco, "annotations/instances_train2017.json": "", "val2017/a.jpg": "",
		}, 3, "val2017"},
		{"images in the parent folder", "", map[string]string{"annotations/instances_v.json": coco, "annotations/captions_v.json": "", "images/v/a.jpg": ""}, 3, "images/v"},
		{"VOC", "", map[string]string{"Annotations/a.xml": smallVOC, "Annotations/0.xml": bare, "Annotations/readme": "", "JPEGImages/0.jpg": ""}, 2, "JPEGImages"},
		{"folder of VOC annotations", "Annotations", map[string]string{"Annotations/a.xml": smallVOC, "images/a.jpg": ""}, 1, "images"},
		{"VOC annotations beside the images", "", map[string]string{"a.xml": smallVOC, "a.jpg": ""}, 1, "."},
		{"VOC image set", "ImageSets/Main/val.txt", map[string]string{
			"ImageSets/Main/val.txt": "0\n\n2 -1\r\n", "Annotations/0.xml": bare, "Annotations/1.xml": bare, "Annotations/2.xml": bare, "JPEGImages/2.jpg": "",
		}, 2, "JPEGImages"},
		{"no images", "", map[string]string{"Annotations/a.xml": smallVOC, "images/b.jpg": ""}, 1, "-"},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := writeFiles(t, c.files)
			d, err := Open(filepath.Join(dir, c.path), Options{})
			if err != nil || len(d.Images) != c.images {
				t.Fatalf("got %+v, %v; want %d images", d, err, c.images)
			}
			want := filepath.Join(dir, c.folder)
			if c.folder == "-" {
				want = ""
			}
			if got := filepath.Clean(d.Folder); d.Folder != want && got != want {
				t.Errorf("images in %s, want %s", d.Folder, want)
			}
		})
	}
}

func TestOpenErrors(t *testing.T) {
	for _, c := range []struct {
		path, want string
		files      map[string]string
	}{
		{"missing", "missing: no such file or directory", nil},
		{"", ": no annotations: want", nil},
		{"a.txt", "a.txt: no annotations: want", map[string]string{"a.txt": smallCOCO}},
		{"ImageSets/a.txt", "x.xml: no such file or directory", map[string]string{"ImageSets/a.txt": "x"}},
		{"ImageSets/Main/a.txt", `line 2: "../x": want the name of an image`, map[string]string{"ImageSets/Main/a.txt": "\n../x"}},
		{"ImageSets/Main/a.txt", `line 3: "x" is a duplicate of line 1`, map[string]string{"ImageSets/Main/a.txt": "x\ny\nx 1"}},
		{"", "2 instances files: want the path of one of them, such as ", map[string]string{"annotations/instances_a.json": "", "annotations/instances_b.json": ""}},
		{"", "instances.json: want an object", map[string]string{"instances.json": "[]"}},
		{"", "b.xml: object 1: want a name", map[string]string{"a.xml": smallVOC, "b.xml": "<annotation><object/></annotation>"}},
		{"", "b.xml: annotates \"a.jpg\", as ", map[string]string{"a.xml": smallVOC, "b.xml": smallVOC}},
	} {
		t.Run(c.want, func(t *testing.T) {
			d, err := Open(filepath.Join(writeFiles(t, c.files), c.path), Options{})
			e, ok := errors.AsType[*Error](err)
			if !ok || d != nil || !strings.Contains(err.Error(), c.want) || strings.Count(err.Error(), e.File+": ") != 1 {
				t.Errorf("got %v, %v; want nil and %q", d, err, c.want)
			}
		})
	}
}

func TestIndex(t *testing.T) {
	d := Dataset{Images: []Image{{File: "a.jpg"}, {File: "x/b.jpg"}, {File: "x/c.jpg"}, {File: "y/c.jpg"}, {File: "y/a.jpg"}, {File: "z/c.jpg"}}}
	want := map[string]int{"a.jpg": 0, "x/b.jpg": 1, "b.jpg": 1, "x/c.jpg": 2, "y/c.jpg": 3, "y/a.jpg": 4, "z/c.jpg": 5}
	if got := d.Index(); !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestIoA(t *testing.T) {
	o := Object{X0: 10, Y0: 10, X1: 20.5, Y1: 30}
	for b, want := range map[box.Box]float64{
		{X0: 12, Y0: 12, X1: 14, Y1: 20}: 1, {X0: 0, Y0: 10, X1: 20, Y1: 20}: .5, {X0: 20, Y0: 0, X1: 24, Y1: 20}: 1. / 16,
		{X0: 20, Y0: 30, X1: 24, Y1: 40}: 0, {X0: 12, Y0: 12, X1: 12, Y1: 20}: 0,
	} {
		if got := o.IoA(&b); math.Abs(got-want) > 1e-12 {
			t.Errorf("IoA(%v) = %v, want %v", b, got, want)
		}
	}
}

// TestCOCOAndVOCAgree reads the development set in both formats.
func TestCOCOAndVOCAgree(t *testing.T) {
	coco, err := Open(e2e.Data(t, "coco-dev"), Options{})
	if err != nil {
		t.Fatal(err)
	}
	voc, err := Open(e2e.Data(t, "coco-dev", "voc"), Options{})
	if err != nil {
		t.Fatal(err)
	}
	objects := 0
	byName := voc.Index()
	for _, img := range coco.Images {
		i, ok := byName[img.File]
		if !ok {
			t.Fatalf("%s has no annotation of VOC", img.File)
		}
		other := voc.Images[i]
		objects += len(img.Objects)
		if len(other.Objects) != len(img.Objects) || other.Width != img.Width || other.Height != img.Height {
			t.Fatalf("%s: COCO %+v\nVOC %+v", img.File, img, other)
		}
		for j, o := range img.Objects {
			p := other.Objects[j]
			// The annotations of VOC are rounded to pixels.
			far := max(math.Abs(o.X0-p.X0), math.Abs(o.Y0-p.Y0), math.Abs(o.X1-p.X1), math.Abs(o.Y1-p.Y1))
			if o.Class != p.Class || o.Difficult != p.Difficult || far > 1 {
				t.Errorf("%s: COCO %+v\nVOC %+v", img.File, o, p)
			}
		}
	}
	if len(coco.Images) != 292 || len(voc.Images) != 292 || objects != 2509 {
		t.Errorf("%d and %d images, %d objects; want 292, 292 and 2509", len(coco.Images), len(voc.Images), objects)
	}
	for _, d := range []*Dataset{coco, voc} {
		if _, err := os.Stat(d.Path(&d.Images[291])); err != nil {
			t.Error(err)
		}
	}
}

// checkDataset checks the invariants of images that were read.
func checkDataset(t *testing.T, images []Image) {
	for _, img := range images {
		if img.Width < 0 || img.Height < 0 {
			t.Fatalf("negative size in %+v", img)
		}
		for _, o := range img.Objects {
			if !(o.BoxArea() >= 0) || math.IsInf(o.BoxArea(), 0) || o.X1 < o.X0 {
				t.Fatalf("invalid box in %+v", o)
			}
		}
	}
}

func FuzzReadCOCO(f *testing.F) {
	f.Add(smallCOCO)
	f.Add(`{"images":[],"annotations":[],"categories":[]}`)
	f.Add(`{"images":[{"id":1,"file_name":"a"}],"annotations":[{"image_id":1,"category_id":1,"bbox":[1,1,1e400,null]}],"categories":[]}`)
	f.Fuzz(func(t *testing.T, text string) {
		d, err := ReadCOCO(strings.NewReader(text))
		if _, ok := errors.AsType[*Error](err); ok == (d != nil) {
			t.Fatalf("%+v, %v", d, err)
		}
		if d != nil {
			checkDataset(t, d.Images)
		}
	})
}

// FuzzReadImageSet checks that ids are unique and that none leads out of a folder.
func FuzzReadImageSet(f *testing.F) {
	f.Add("2008_000008 -1\n\n2008_000015  1\r\n")
	f.Fuzz(func(t *testing.T, text string) {
		ids, err := ReadImageSet(strings.NewReader(text))
		if err != nil {
			return
		}
		seen := map[string]bool{}
		for _, id := range ids {
			if seen[id] || filepath.Base(id) != id || !filepath.IsLocal(id+".xml") {
				t.Errorf("id %q in %q: want unique names", id, text)
			}
			seen[id] = true
		}
	})
}

func FuzzReadVOC(f *testing.F) {
	f.Add(smallVOC)
	f.Add("<annotation/>")
	f.Add(`<?xml version="1.0" encoding="latin1"?><annotation></annotation>`)
	f.Fuzz(func(t *testing.T, text string) {
		img, err := ReadVOC(strings.NewReader(text))
		if _, ok := errors.AsType[*Error](err); ok == (img != nil) {
			t.Fatalf("%+v, %v", img, err)
		}
		if img != nil {
			checkDataset(t, []Image{*img})
		}
	})
}
