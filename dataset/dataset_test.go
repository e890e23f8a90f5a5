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
		{File: "sub/b.jpg", ID: "5", Width: 640, Height: 480, Objects: []Object{{0, 0, 0, 100, "dog", true}}},
		{File: "c.jpg", ID: "6"},
		{File: "a.jpg", ID: "7", Objects: []Object{{1, 2, 4.5, 6, "cat", false}}},
	}}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, %v\nwant %+v", got, err, want)
	}
}

func TestReadVOC(t *testing.T) {
	got, err := ReadVOC(strings.NewReader(smallVOC))
	want := &Image{"a.jpg", "", 640, 480, []Object{{0, 0, 2, 3, "cat", false}, {1.25, 2.5, 9, 3.5, "dog", true}}}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, %v\nwant %+v", got, err, want)
	}
	if got, err := ReadVOC(strings.NewReader("<annotation/>")); err != nil || !reflect.DeepEqual(got, &Image{}) {
		t.Errorf("of nothing: %+v, %v", got, err)
	}
}

func TestMalformedCOCO(t *testing.T) {
	image := `"images": [{"id": 1, "file_name": "a.jpg"}], "categories": [{"id": 1, "name": "cat"}], `
	of := func(annotation string) string { return "{" + image + `"annotations": [` + annotation + "]}" }
	for _, c := range []struct{ text, want string }{
		{"", "unexpected EOF"},
		{"[]", "want an object with images"},
		{"{}", "want an object with images"},
		{"{" + image + `"info": 1}`, "want an object with images"},
		{smallCOCO[:200], "annotation 2: unexpected EOF"},
		{smallCOCO + "{}", "goes on after the end"},
		{`{"images": 3}`, "images: want a list"},
		{"{" + image + image + `"annotations": []}`, "images: there twice"},
		{`{"images": [{"id": 1}]}`, "image 1: want an id and a file_name"},
		{`{"images": [{"id": "1", "file_name": "a.jpg"}]}`, "image 1: json: cannot unmarshal string"},
		{`{"images": [{"id": 1, "file_name": "../a.jpg"}]}`, `image 1: picture file "../a.jpg": want a path below`},
		{`{"images": [{"id": 1, "file_name": ""}]}`, `image 1: picture file ""`},
		{`{"images": [{"id": 1, "file_name": "a", "width": -1}]}`, "image 1: a picture of -1 × 0"},
		{`{"images": [{"id": 1, "file_name": "a"}, {"id": 1, "file_name": "b"}]}`, "image 2: id 1: another image has it"},
		{`{"images": [{"id": 1, "file_name": "a"}, {"id": 2, "file_name": "a"}], "categories": [], "annotations": []}`, `image 2: file_name "a": another`},
		{`{"categories": [{"id": 1}]}`, "category 1: want an id and a name"},
		{`{"categories": [{"id": 1, "name": "a"}, {"id": 1, "name": "b"}]}`, "category 2: id 1: another category has it"},
		{of(`{"image_id": 1, "bbox": [1, 2, 3, 4]}`), "annotation 1: want an image_id and a category_id"},
		{of(`{"image_id": 1, "category_id": 1}`), "annotation 1: a bbox of 0 numbers"},
		{of(`{"image_id": 1, "category_id": 1, "bbox": [1, 2, null, 4]}`), "null in its bbox"},
		{of(`{"image_id": 1, "category_id": 1, "bbox": [1, 2, -3, 4]}`), "a box of -3 × 4 pixels: want no side below 0"},
		{of(`{"image_id": 1, "category_id": 1, "bbox": [1, 2, 1e308, 4]}`), "a corner at 1e+308"},
		{of(`{"image_id": 1, "category_id": 1, "bbox": [1, 2, 1e999, 4]}`), "annotation 1: json:"},
		{of(`{"image_id": 2, "category_id": 1, "bbox": [1, 2, 3, 4]}`), "annotation 1: image_id 2: no image has that id"},
		{of(`{"image_id": 1, "category_id": 2, "bbox": [1, 2, 3, 4]}`), "annotation 1: category_id 2: no category has that id"},
		{`{"info": ` + strings.Repeat("[", 200) + "}", "info: invalid character"},
	} {
		d, err := ReadCOCO(strings.NewReader(c.text))
		if _, ok := errors.AsType[*Error](err); !ok || d != nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%.80s: %v, want %s", c.text, err, c.want)
		}
	}
	if _, err := ReadCOCO(iotest.ErrReader(io.ErrClosedPipe)); !errors.Is(err, io.ErrClosedPipe) {
		t.Errorf("a reader's error became %v", err)
	}
}

// endless is a string in JSON without an end.
type endless struct{ n int }

func (e *endless) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = 'x'
	}
	e.n += len(p)
	return len(p), nil
}

func TestEntriesHaveAnEnd(t *testing.T) {
	for _, begin := range []string{`{"images": [{"id": "`, `{"info": "`} {
		rest := &endless{}
		_, err := ReadCOCO(io.MultiReader(strings.NewReader(begin), rest))
		if err == nil || !strings.Contains(err.Error(), "of more than 16777216 bytes") || rest.n > 4*maxEntry {
			t.Errorf("%s: %v after %d bytes", begin, err, rest.n)
		}
	}
	if _, err := ReadVOC(&endless{}); err == nil || !strings.Contains(err.Error(), "more than 4194304 bytes") {
		t.Error(err)
	}
}

func TestMalformedVOC(t *testing.T) {
	object := func(s string) string { return "<annotation><object><name>a</name>" + s + "</object></annotation>" }
	corners := "<bndbox><xmin>%s</xmin><ymin>1</ymin><xmax>5</xmax><ymax>%s</ymax></bndbox>"
	// On 32 bits this is no number at all.
	huge := "a picture of 3000000000 × 0"
	if strconv.IntSize == 32 {
		huge = `size "3000000000": want a number`
	}
	for _, c := range []struct{ text, want string }{
		{"", "unexpected EOF"},
		{"no xml", "EOF"},
		{"<picture/>", "expected element type <annotation>"},
		{smallVOC[:400], "XML syntax error"},
		{"<annotation><filename>/etc/passwd</filename></annotation>", `picture file "/etc/passwd": want a path below`},
		{"<annotation><size><width>wide</width></size></annotation>", `size "wide": want a number`},
		{"<annotation><size><width>3000000000</width></size></annotation>", huge},
		{"<annotation><object/></annotation>", "object 1: want a name"},
		{object(""), "object 1: want a bndbox"},
		{object("<difficult>yes</difficult>" + corners), `object 1: difficult "yes": want 0 or 1`},
		{object(fmt.Sprintf(corners, "x", "9")), `object 1: "x" in its bndbox: want four numbers`},
		{object(fmt.Sprintf(corners, "NaN", "9")), `object 1: "NaN" in its bndbox`},
		{object(fmt.Sprintf(corners, "-Inf", "9")), "object 1: a corner at -Inf"},
		{object(fmt.Sprintf(corners, "7", "9")), "object 1: a box of -1 × 9 pixels"},
		{object("<bndbox/>"), `object 1: "" in its bndbox`},
	} {
		img, err := ReadVOC(strings.NewReader(c.text))
		if _, ok := errors.AsType[*Error](err); !ok || img != nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%.120s: %v, want %s", c.text, err, c.want)
		}
	}
	if _, err := ReadVOC(iotest.ErrReader(io.ErrClosedPipe)); !errors.Is(err, io.ErrClosedPipe) {
		t.Errorf("a reader's error became %v", err)
	}
}

// tree writes files below a new folder.
func tree(t testing.TB, files map[string]string) string {
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
	bare := "<annotation/>" // named by its file
	for _, c := range []struct {
		name, path string
		files      map[string]string
		images     int
		folder     string // where the pictures are; - is nowhere
	}{
		{"instances.json", "", map[string]string{"instances.json": coco, "images/a.jpg": ""}, 3, "images"},
		{"the file", "instances.json", map[string]string{"instances.json": coco, "images/a.jpg": ""}, 3, "images"},
		{"beside the file", "x.JSON", map[string]string{"x.JSON": coco, "c.jpg": "", "images/z.jpg": ""}, 3, "."},
		{"as COCO is unpacked", "annotations/instances_val2017.json", map[string]string{
			"annotations/instances_val2017.json": coco, "annotations/instances_train2017.json": "", "val2017/a.jpg": "",
		}, 3, "val2017"},
		{"with images above", "", map[string]string{"annotations/instances_v.json": coco, "annotations/captions_v.json": "", "images/v/a.jpg": ""}, 3, "images/v"},
		{"VOC", "", map[string]string{"Annotations/a.xml": smallVOC, "Annotations/0.xml": bare, "Annotations/readme": "", "JPEGImages/0.jpg": ""}, 2, "JPEGImages"},
		{"VOC's annotations", "Annotations", map[string]string{"Annotations/a.xml": smallVOC, "images/a.jpg": ""}, 1, "images"},
		{"VOC beside its pictures", "", map[string]string{"a.xml": smallVOC, "a.jpg": ""}, 1, "."},
		{"VOC's image set", "ImageSets/Main/val.txt", map[string]string{
			"ImageSets/Main/val.txt": "0\n\n2 -1\r\n", "Annotations/0.xml": bare, "Annotations/1.xml": bare, "Annotations/2.xml": bare, "JPEGImages/2.jpg": "",
		}, 2, "JPEGImages"},
		{"without pictures", "", map[string]string{"Annotations/a.xml": smallVOC, "images/b.jpg": ""}, 1, "-"},
	} {
		dir := tree(t, c.files)
		d, err := Open(filepath.Join(dir, c.path))
		if err != nil || len(d.Images) != c.images {
			t.Errorf("%s: %+v, %v", c.name, d, err)
			continue
		}
		want := filepath.Join(dir, c.folder)
		if c.folder == "-" {
			want = ""
		}
		if got := filepath.Clean(d.Folder); d.Folder != want && got != want {
			t.Errorf("%s: pictures in %s, want %s", c.name, d.Folder, want)
		}
	}
}

func TestOpenRefuses(t *testing.T) {
	for _, c := range []struct {
		path, want string
		files      map[string]string
	}{
		{"missing", "missing: no such file or directory", nil},
		{"", ": no annotations: want", nil},
		{"a.txt", "a.txt: no annotations: want", map[string]string{"a.txt": smallCOCO}},
		{"ImageSets/a.txt", "x.xml: no such file or directory", map[string]string{"ImageSets/a.txt": "x"}},
		{"ImageSets/Main/a.txt", `line 2: "../x": want a line to begin with the name of a picture`, map[string]string{"ImageSets/Main/a.txt": "\n../x"}},
		{"ImageSets/Main/a.txt", `line 3: "x" is in line 1, too: want each picture once`, map[string]string{"ImageSets/Main/a.txt": "x\ny\nx 1"}},
		{"", "2 sets of instances: want the path of one, as in ", map[string]string{"annotations/instances_a.json": "", "annotations/instances_b.json": ""}},
		{"", "instances.json: want an object", map[string]string{"instances.json": "[]"}},
		{"", "b.xml: object 1: want a name", map[string]string{"a.xml": smallVOC, "b.xml": "<annotation><object/></annotation>"}},
		{"", "b.xml: is of \"a.jpg\", as ", map[string]string{"a.xml": smallVOC, "b.xml": smallVOC}},
	} {
		d, err := Open(filepath.Join(tree(t, c.files), c.path))
		e, ok := errors.AsType[*Error](err)
		if !ok || d != nil || !strings.Contains(err.Error(), c.want) || strings.Count(err.Error(), e.File+": ") != 1 {
			t.Errorf("%s: %v, want %s", c.path, err, c.want)
		}
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
			t.Errorf("of %v the object holds %v, want %v", b, got, want)
		}
	}
}

// The data sets beside the project: the same boxes in both forms.
func TestBothFormsAgree(t *testing.T) {
	coco, err := Open(e2e.Data(t, "coco-dev"))
	if err != nil {
		t.Fatal(err)
	}
	voc, err := Open(e2e.Data(t, "coco-dev", "voc"))
	if err != nil {
		t.Fatal(err)
	}
	objects := 0
	byName := voc.Index()
	for _, img := range coco.Images {
		i, ok := byName[img.File]
		if !ok {
			t.Fatalf("%s is not among VOC's", img.File)
		}
		other := voc.Images[i]
		objects += len(img.Objects)
		if len(other.Objects) != len(img.Objects) || other.Width != img.Width || other.Height != img.Height {
			t.Fatalf("%s: %+v\n%+v", img.File, img, other)
		}
		for j, o := range img.Objects {
			p := other.Objects[j]
			// VOC's are rounded to pixels.
			far := max(math.Abs(o.X0-p.X0), math.Abs(o.Y0-p.Y0), math.Abs(o.X1-p.X1), math.Abs(o.Y1-p.Y1))
			if o.Class != p.Class || o.Difficult != p.Difficult || far > 1 {
				t.Errorf("%s: %+v\n%+v", img.File, o, p)
			}
		}
	}
	if len(coco.Images) != 292 || len(voc.Images) != 292 || objects != 2509 {
		t.Errorf("%d and %d pictures, %d objects", len(coco.Images), len(voc.Images), objects)
	}
	for _, d := range []*Dataset{coco, voc} {
		if _, err := os.Stat(d.Path(&d.Images[291])); err != nil {
			t.Error(err)
		}
	}
}

// checkDataset tells what every data set that is read must hold.
func checkDataset(t *testing.T, images []Image) {
	for _, img := range images {
		if img.Width < 0 || img.Height < 0 {
			t.Fatalf("%+v", img)
		}
		for _, o := range img.Objects {
			if !(o.Area() >= 0) || math.IsInf(o.Area(), 0) || o.X1 < o.X0 {
				t.Fatalf("%+v", o)
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

// Whatever is in a set, its ids come once, and none leads out of a folder.
func FuzzReadSet(f *testing.F) {
	f.Add("2008_000008 -1\n\n2008_000015  1\r\n")
	f.Fuzz(func(t *testing.T, text string) {
		ids, err := ReadImageSet(strings.NewReader(text))
		if err != nil {
			return
		}
		seen := map[string]bool{}
		for _, id := range ids {
			if seen[id] || filepath.Base(id) != id || !filepath.IsLocal(id+".xml") {
				t.Errorf("%q in %q", id, text)
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
