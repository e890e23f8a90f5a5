package dataset

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// cocoOf returns an instances file of images.
func cocoOf(files ...string) string {
	var images []string
	for i, file := range files {
		images = append(images, fmt.Sprintf(`{"id": %d, "file_name": %q}`, i+1, file))
	}
	return `{"images": [` + strings.Join(images, ",") + `], "annotations": [{"image_id": 1, "category_id": 1, "bbox": [1, 2, 3, 4]}], "categories": [{"id": 1, "name": "cat"}]}`
}

// TestOpenCOCO looks for images where people lay them out.
func TestOpenCOCO(t *testing.T) {
	coco := cocoOf("1.jpg", "2.jpg")
	const images = "|1.jpg|2.jpg"
	for _, c := range []struct {
		path, files string // folders, each followed by its images
		folder      string // of the images; - if not found
	}{
		{"instances.json", "images" + images, "images"},
		{"x.JSON", "images|z.jpg\n." + images, "."},
		{"annotations/instances_val2017.json", "val2017" + images + "\ntrain2017" + images, "val2017"},
		{"annotations/instances_v.json", "images/v" + images, "images/v"},
		{"annotations/train.json", "train" + images + "\nval" + images, "train"},
		{"annotations/train.json", "images/train" + images + "\nimages/val" + images, "images/train"},
		{"annotations/instances_train2017.json", "images/train2017" + images, "images/train2017"},
		{"annotations/instances_train2017.json", "train2017/train2017" + images, "train2017/train2017"},
		{"annotations/instances_train.json", "train2017" + images, "train2017"},
		{"annotations/instances_train2017.json", "train" + images, "train"},
		{"train.json", "train" + images, "train"},
		{"annotations/instances_minival2014.json", "val2014" + images + "\ntrain2014" + images, "val2014"},
		{"annotations/instances_valminusminival2014.json", "val2014" + images + "\ntrain2014" + images, "val2014"},
		{"annotations/image_info_test-dev2017.json", "test2017" + images, "test2017"},
		{"annotations/image_info_test2017.json", "test2017" + images, "test2017"},
		{"annotations/person_keypoints_val2017.json", "val2017" + images, "val2017"},
		{"annotations/captions_val2014.json", "val2014" + images, "val2014"},
		{"annotations/instances_train2017_1shot.json", "train2017" + images, "train2017"},
		{"annotations/panoptic_val2017.json", "val2017" + images, "val2017"},
		{"train/_annotations.coco.json", "train" + images, "train"},
		{"annotations/instances_valid.json", "valid" + images, "valid"},
		{"annotations/instances_val.json", "valid/images" + images, "valid/images"},
		{"annotations/all.json", "photos" + images, "photos"},
		{"annotations/all.json", "photos" + images + "\nother|1.jpg", "photos"},
		{"annotations/all.json", "photos" + images + "\nother" + images, "-"},
		{"annotations/instances_val.json", "train" + images, "-"}, // the images of another part
		{"annotations/instances_val.json", "train2017" + images, "-"},
		{"annotations/instances_val.json", "val|1.jpg\nimages" + images, "images"}, // most of them
		{"deep/annotations/val.json", "val" + images, "val"},
	} {
		t.Run(c.path+" "+strings.NewReplacer("\n", ",", "|", "_").Replace(c.files), func(t *testing.T) {
			files := map[string]string{c.path: coco}
			for line := range strings.Lines(c.files) {
				names := strings.Split(strings.TrimSpace(line), "|")
				for _, name := range names[1:] {
					files[filepath.Join(names[0], name)] = ""
				}
			}
			dir := writeFiles(t, files)
			d, err := Open(filepath.Join(dir, c.path), Options{})
			if err != nil {
				t.Fatal(err)
			}
			want := filepath.Join(dir, c.folder)
			if c.folder == "-" {
				want = ""
			}
			if d.Folder != want {
				t.Errorf("images in %q, want %q", d.Folder, want)
			}
		})
	}
}

func TestOpenCOCOWithURLs(t *testing.T) {
	entry := func(id int, url string) string { return fmt.Sprintf(`{"id": %d, "coco_url": %q}`, id, url) }
	const host = "http://images.cocodataset.org/"
	for _, c := range []struct {
		name   string
		urls   []string
		folder string
		want   []string
	}{
		{"one folder", []string{host + "val2017/1.jpg", host + "val2017/2.jpg"}, "val2017", []string{"1.jpg", "2.jpg"}},
		{"two folders", []string{host + "val2017/1.jpg", host + "train2017/3.jpg"}, ".", []string{"val2017/1.jpg", "train2017/3.jpg"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			var entries []string
			for i, url := range c.urls {
				entries = append(entries, entry(i+1, url))
			}
			dir := writeFiles(t, map[string]string{
				"annotations/lvis_v1.json": `{"images": [` + strings.Join(entries, ",") + `]}`,
				"val2017/1.jpg":            "", "val2017/2.jpg": "", "train2017/3.jpg": "",
			})
			d, err := Open(filepath.Join(dir, "annotations/lvis_v1.json"), Options{ImagesOnly: true})
			if err != nil {
				t.Fatal(err)
			}
			if got := fileNames(d); d.Folder != filepath.Join(dir, c.folder) || !slices.Equal(got, c.want) {
				t.Errorf("got %q in %s, want %q in %s", got, d.Folder, c.want, c.folder)
			}
		})
	}
}

// TestOpenCOCO2014 finds the images of trainval35k, which are in two folders.
func TestOpenCOCO2014(t *testing.T) {
	train, val := "COCO_train2014_000000000009.jpg", "COCO_val2014_000000000042.jpg"
	dir := writeFiles(t, map[string]string{"annotations/instances_trainval35k.json": cocoOf(train, val), "train2014/" + train: "", "val2014/" + val: ""})
	d, err := Open(filepath.Join(dir, "annotations/instances_trainval35k.json"), Options{})
	if err != nil {
		t.Fatal(err)
	}
	if got, want := fileNames(d), []string{"train2014/" + train, "val2014/" + val}; !slices.Equal(got, want) || d.Folder != dir {
		t.Errorf("got %q in %s, want %q in %s", got, d.Folder, want, dir)
	}
}

// TestOpenImagesOptionOfNamesWithFolder gives the folder that the images' names already contain.
func TestOpenImagesOptionOfNamesWithFolder(t *testing.T) {
	dir := writeFiles(t, map[string]string{"a.json": cocoOf("set/x/1.jpg", "set/y/2.jpg"), "b.json": cocoOf("x/1.jpg", "y/1.jpg"), "x/1.jpg": ""})
	for file, want := range map[string][]string{"a.json": {"1.jpg", "2.jpg"}, "b.json": {"x/1.jpg", "y/1.jpg"}} {
		d, err := Open(filepath.Join(dir, file), Options{Images: filepath.Join(dir, "x")})
		if err != nil || !slices.Equal(fileNames(d), want) {
			t.Errorf("%s: got %q, %v; want %q", file, fileNames(d), err, want)
		}
	}
}

func fileNames(d *Dataset) []string {
	var names []string
	for _, img := range d.Images {
		names = append(names, img.File)
	}
	return names
}

func TestOpenImagesOption(t *testing.T) {
	dir := writeFiles(t, map[string]string{
		"annotations/instances_val.json": cocoOf("1.jpg"), "val/1.jpg": "", "other/1.jpg": "", "other/b.PNG": "", "other/x.jpg": "",
		"voc/Annotations/b.xml": smallVOC, "voc/JPEGImages/b.jpg": "", "voc/ImageSets/Main/val.txt": "b",
	})
	for path, file := range map[string]string{"annotations/instances_val.json": "1.jpg", "voc": "b.PNG", "voc/ImageSets/Main/val.txt": "b.PNG"} {
		for _, imagesOnly := range []bool{false, true} {
			d, err := Open(filepath.Join(dir, path), Options{Images: filepath.Join(dir, "other"), ImagesOnly: imagesOnly})
			if err != nil || d.Path(&d.Images[0]) != filepath.Join(dir, "other", file) {
				t.Errorf("%s: got %+v, %v; want other/%s", path, d, err, file)
			}
		}
	}
	for _, folder := range []string{"missing", "val/1.jpg"} {
		_, err := Open(filepath.Join(dir, "voc"), Options{Images: filepath.Join(dir, folder)})
		if e, ok := errors.AsType[*Error](err); !ok || e.File != filepath.Join(dir, folder) {
			t.Errorf("images in %s: got %v, want an error", folder, err)
		}
	}
}

// TestOpenVOC matches annotations with images.
func TestOpenVOC(t *testing.T) {
	// named returns an annotation with a <filename>.
	named := func(name string) string {
		return "<annotation><folder>photos</folder><filename>" + name + "</filename><object><name>cat</name><bndbox><xmin>1</xmin><ymin>1</ymin><xmax>2</xmax><ymax>3</ymax></bndbox></object></annotation>"
	}
	const otherName, byFileName = reasonOtherName, reasonByFileName
	for _, c := range []struct {
		name, path string
		files      map[string]string
		want       string // files in their folder, with ids
		reports    []string
	}{
		{
			"folder", "",
			map[string]string{"Annotations/a.xml": named("a.jpg"), "Annotations/0.xml": named(""), "Annotations/readme": "", "JPEGImages/0.jpg": "", "JPEGImages/a.jpg": ""},
			"JPEGImages: 0=0.jpg a=a.jpg", nil,
		},
		{"folder of annotations", "Annotations", map[string]string{"Annotations/a.xml": named("a.jpg"), "images/a.jpg": ""}, "images: a=a.jpg", nil},
		{"annotations beside the images", "", map[string]string{"a.xml": named("a.jpg"), "a.jpg": ""}, ".: a=a.jpg", nil},
		{"image set", "ImageSets/Main/val.txt", map[string]string{
			"ImageSets/Main/val.txt": "0\n\n2 -1\r\n", "Annotations/0.xml": named("0.jpg"), "Annotations/1.xml": "", "Annotations/2.xml": named(""), "JPEGImages/2.jpg": "", "JPEGImages/0.jpg": "",
		}, "JPEGImages: 0=0.jpg 2=2.jpg", nil},
		{"any extension in any case", "", map[string]string{
			"Annotations/a.xml": named(""), "Annotations/b.xml": named(""), "Annotations/c.XML": named(""), "Annotations/d.e.xml": named(""), "Annotations/f.xml": named(""),
			"JPEGImages/a.JPEG": "", "JPEGImages/b.Png": "", "JPEGImages/c.tif": "", "JPEGImages/d.e.webp": "", "JPEGImages/a.txt": "", "JPEGImages/d.jpg": "", "JPEGImages/f.GIF": "",
		}, "JPEGImages: a=a.JPEG b=b.Png c=c.tif d.e=d.e.webp f=f.GIF", nil},
		{
			"file name of another image", "",
			map[string]string{"Annotations/1.xml": named("2.jpg"), "Annotations/2.xml": named("1.jpg"), "JPEGImages/1.jpg": "", "JPEGImages/2.jpg": ""},
			"JPEGImages: 1=1.jpg 2=2.jpg",
			[]string{otherName + ": 2"},
		},
		{"file name with another extension", "", map[string]string{"Annotations/1.xml": named("1.png"), "JPEGImages/1.jpg": ""}, "JPEGImages: 1=1.jpg", nil},
		{"file name without an extension", "", map[string]string{"Annotations/1.xml": named("1"), "JPEGImages/1.jpg": ""}, "JPEGImages: 1=1.jpg", nil},
		{"two files of a name", "", map[string]string{
			"Annotations/1.xml": named("1.png"), "Annotations/2.xml": named("x"), "JPEGImages/1.jpg": "", "JPEGImages/1.png": "", "JPEGImages/2.png": "", "JPEGImages/2.JPG": "", "JPEGImages/2.jpg": "",
		}, "JPEGImages: 1=1.png 2=2.jpg", []string{otherName + ": 1"}},
		{
			"file name alone finds the image", "",
			map[string]string{"Annotations/1.xml": named("x.jpg"), "Annotations/2.xml": named("y"), "Annotations/3.xml": named(""), "JPEGImages/x.jpg": "", "JPEGImages/y.png": "", "JPEGImages/3.jpg": ""},
			"JPEGImages: 1=x.jpg 2=y.png 3=3.jpg",
			[]string{byFileName + ": 2"},
		},
		{
			"file name of an image with its own annotation", "",
			map[string]string{"Annotations/1.xml": named("2.jpg"), "Annotations/2.xml": named("2.jpg"), "JPEGImages/2.jpg": ""},
			"JPEGImages: 1=1.jpg 2=2.jpg",
			[]string{otherName + ": 1"},
		},
		{"file names find the folder", "", map[string]string{"Annotations/1.xml": named("x.jpg"), "photos/x.jpg": ""}, "photos: 1=x.jpg", []string{byFileName + ": 1"}},
		{"folder named by the annotations", "", map[string]string{"Annotations/1.xml": named("x.jpg"), "photos/1.jpg": ""}, "photos: 1=1.jpg", []string{otherName + ": 1"}},
		{"another folder", "", map[string]string{"Annotations/1.xml": named(""), "pics/1.png": ""}, "pics: 1=1.png", nil},
		{"two other folders", "", map[string]string{"Annotations/1.xml": named(""), "pics/1.png": "", "more/1.jpg": ""}, "-: 1=1.jpg", nil},
		{"no images", "", map[string]string{"Annotations/a.xml": named("x.jpg"), "images/b.jpg": ""}, "-: a=x.jpg", nil},
		{"images in images", "ImageSets/Main/val.txt", map[string]string{"ImageSets/Main/val.txt": "1", "Annotations/1.xml": named(""), "images/1.jpg": ""}, "images: 1=1.jpg", nil},
		{
			"lines with extensions", "ImageSets/val.txt",
			map[string]string{"ImageSets/val.txt": "1.jpg\n2.JPG 1", "Annotations/1.xml": named(""), "Annotations/2.xml": named(""), "JPEGImages/1.jpg": "", "JPEGImages/2.JPG": ""},
			"JPEGImages: 1=1.jpg 2=2.JPG", nil,
		},
		{
			"lines that name annotations", "ImageSets/val.txt",
			map[string]string{"ImageSets/val.txt": "1.xml\n2.XML 1", "Annotations/1.xml": named(""), "Annotations/2.XML": named(""), "JPEGImages/1.jpg": "", "JPEGImages/2.jpg": ""},
			"JPEGImages: 1=1.jpg 2=2.jpg", nil,
		},
		{"annotations in lower case", "", map[string]string{"annotations/1.xml": named("1.jpg"), "images/1.jpg": ""}, "images: 1=1.jpg", nil},
		{"annotations of Oxford-IIIT Pet", "", map[string]string{"annotations/list.txt": "", "annotations/xmls/1.xml": named("1.jpg"), "images/1.jpg": ""}, "images: 1=1.jpg", nil},
		{"annotations named with the extension", "ImageSets/val.txt", map[string]string{"ImageSets/val.txt": "1.jpg", "Annotations/1.jpg.xml": named(""), "JPEGImages/1.jpg": ""}, "JPEGImages: 1.jpg=1.jpg", nil},
		{"spaces", "ImageSets/Main/val.txt", map[string]string{
			"ImageSets/Main/val.txt":     "my photo 1\nmy photo  -1\nold\t1\nnew one.png 0",
			"Annotations/my photo 1.xml": named(""), "Annotations/my photo.xml": named(""), "Annotations/old.xml": named(""), "Annotations/new one.xml": named(""),
			"JPEGImages/my photo 1.jpg": "", "JPEGImages/my photo.jpg": "", "JPEGImages/old.jpg": "", "JPEGImages/new one.png": "",
		}, "JPEGImages: my photo 1=my photo 1.jpg my photo=my photo.jpg old=old.jpg new one=new one.png", nil},
		{"folders of ids", "ImageSets/Main/val.txt", map[string]string{
			"ImageSets/Main/val.txt": "a/1\nb\\1 1", "Annotations/a/1.xml": named(""), "Annotations/b/1.xml": named(""), "JPEGImages/a/1.jpg": "", "JPEGImages/b/1.jpg": "",
		}, "JPEGImages: a/1=a/1.jpg b/1=b/1.jpg", nil},
		{"ILSVRC", "ImageSets/DET/train_1.txt", map[string]string{
			"ImageSets/DET/train_1.txt": "ILSVRC2014_train_0000/ILSVRC2014_train_00000001 1",
			"Annotations/DET/train/ILSVRC2014_train_0000/ILSVRC2014_train_00000001.xml": named("ILSVRC2014_train_00000001"),
			"Data/DET/train/ILSVRC2014_train_0000/ILSVRC2014_train_00000001.JPEG":       "",
		}, "Data/DET/train: ILSVRC2014_train_0000/ILSVRC2014_train_00000001=ILSVRC2014_train_0000/ILSVRC2014_train_00000001.JPEG", nil},
		{"folder of ILSVRC", "Annotations/DET/val", map[string]string{"Annotations/DET/val/1.xml": named("1"), "Data/DET/val/1.JPEG": ""}, "Data/DET/val: 1=1.JPEG", nil},
		{
			"invalid annotations", "",
			map[string]string{"Annotations/1.xml": named(""), "Annotations/2.xml": "<annotation><object/>", "Annotations/3.xml": "<x/>", "images/1.jpg": "", "images/2.jpg": "", "images/3.jpg": ""},
			"images: 1=1.jpg",
			[]string{reasonBadFile + ": 2", "objects without a name: 1"},
		},
		{
			"ids without an annotation", "ImageSets/val.txt",
			map[string]string{"ImageSets/val.txt": "1\n2\n3", "Annotations/1.xml": named(""), "images/1.jpg": "", "images/2.jpg": "", "images/3.jpg": ""},
			"images: 1=1.jpg",
			[]string{reasonNoAnnotation + ": 2"},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := writeFiles(t, c.files)
			d, err := Open(filepath.Join(dir, c.path), Options{})
			if err != nil {
				t.Fatal(err)
			}
			if got := describe(dir, d); got != c.want {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
			var reports []string
			for _, s := range d.Skipped {
				reports = append(reports, fmt.Sprintf("%s: %d", s.Reason, s.Count))
			}
			for _, w := range d.Warnings {
				reports = append(reports, fmt.Sprintf("%s: %d", w.Reason, w.Count))
			}
			slices.Sort(reports)
			if !slices.Equal(reports, c.reports) {
				t.Errorf("got reports %q, want %q", reports, c.reports)
			}
			for _, img := range d.Images {
				if len(img.Objects) != 1 {
					t.Errorf("%s has objects %v, want one", img.ID, img.Objects)
				}
			}

			// Without objects every id has the same image.
			only, err := Open(filepath.Join(dir, c.path), Options{ImagesOnly: true})
			if err != nil || len(only.Skipped) > 0 {
				t.Fatalf("images only: %+v, %v", only, err)
			}
			for _, img := range d.Images {
				img.Objects = nil
				if !slices.ContainsFunc(only.Images, func(other Image) bool { return other.ID == img.ID && other.File == img.File && other.Objects == nil }) {
					t.Errorf("images only: got %+v, want %+v", only.Images, img)
				}
			}
		})
	}
}

// describe returns the folder, the ids and the images of a data set.
func describe(dir string, d *Dataset) string {
	folder := "-"
	if d.Folder != "" {
		folder, _ = filepath.Rel(dir, d.Folder)
	}
	s := folder + ":"
	for _, img := range d.Images {
		s += " " + img.ID + "=" + img.File
	}
	return s
}

func TestOpenImageSetWithoutAnnotations(t *testing.T) {
	dir := writeFiles(t, map[string]string{"ImageSets/Main/test.txt": "a\nb 1\nmy c -1\nd", "JPEGImages/a.jpg": "", "JPEGImages/b.png": "", "JPEGImages/my c.jpg": ""})
	path := filepath.Join(dir, "ImageSets/Main/test.txt")
	d, err := Open(path, Options{ImagesOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	if got, want := describe(dir, d), "JPEGImages: a=a.jpg b=b.png my c=my c.jpg d=d.jpg"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if _, err := Open(path, Options{}); err == nil || !strings.Contains(err.Error(), `no annotation is valid: skipped images of the set that have no annotation: 4, the first is "a": want Annotations/a.xml`) {
		t.Errorf("with objects: got %v", err)
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
		{"ImageSets/a.txt", `"x": want Annotations/x.xml`, map[string]string{"ImageSets/a.txt": "x"}},
		{"ImageSets/Main/a.txt", `line 2: "../x": want the name of an image`, map[string]string{"ImageSets/Main/a.txt": "\n../x"}},
		{"ImageSets/Main/a.txt", `line 1: "/x": want the name of an image`, map[string]string{"ImageSets/Main/a.txt": "/x"}},
		{"ImageSets/Main/a.txt", `line 3: "x" is a duplicate of line 1`, map[string]string{"ImageSets/Main/a.txt": "x\ny\nx 1"}},
		{"ImageSets/Main/a.txt", `encoding "UTF-16"`, map[string]string{"ImageSets/Main/a.txt": "x\x00\n\x00"}},
		{"", "2 instances files: want the path of one of them, such as ", map[string]string{"annotations/instances_a.json": "", "annotations/instances_b.json": ""}},
		{"", "instances.json: want an object", map[string]string{"instances.json": "[]"}},
		{"a.json", "a.json: the file is empty", map[string]string{"a.json": ""}},
		{"a.json", "a.json: a Git LFS pointer", map[string]string{"a.json": "version https://git-lfs.github.com/spec/v1\n"}},
		{"a.json", "a.json: HTML or XML", map[string]string{"a.json": "\n<!DOCTYPE html>"}},
		{"a.json", "a.json: a compressed file", map[string]string{"a.json": "\x1f\x8b\x08"}},
		{"", "no annotation is valid: skipped annotation files that are invalid: 1, the first is ", map[string]string{"b.xml": "<annotations/>"}},
		{"", "b.xml: text is in the encoding", map[string]string{"a.xml": smallVOC, "b.xml": `<?xml version="1.0" encoding="GB2312"?><annotation/>`}},
		{"", "b.xml: annotates \"a.jpg\", as ", map[string]string{"a.xml": smallVOC, "b.xml": smallVOC}},
		{"", "has the same name as another annotation", map[string]string{"a.xml": smallVOC, "a.XML": smallVOC}},
	} {
		t.Run(c.want, func(t *testing.T) {
			d, err := Open(filepath.Join(writeFiles(t, c.files), c.path), Options{})
			e, ok := errors.AsType[*Error](err)
			if !ok || d != nil || !strings.Contains(err.Error(), c.want) || strings.Count(err.Error(), e.File+": ") != 1 {
				t.Errorf("got %v, %v; want nil and %q", d, err, c.want)
			}
		})
	}
	t.Run("strict", func(t *testing.T) {
		dir := writeFiles(t, map[string]string{"a.xml": "<annotation/>", "b.xml": "<annotation><object/></annotation>"})
		_, err := Open(dir, Options{Strict: true})
		if err == nil || !strings.HasSuffix(err.Error(), "b.xml: object 1: want a name") {
			t.Errorf("got %v", err)
		}
	})
}

// TestManyNames lists more folders than are kept.
func TestManyNames(t *testing.T) {
	dir := writeFiles(t, map[string]string{"a/1.jpg": "", "b/1.JPG": "", "b/1.png": ""})
	f := newFolder(dir, imageExtensions)
	f.names = maxNames - 1
	for range 3 {
		for id, want := range map[string]string{"a/1": "a/1.jpg", "b/1": "b/1.JPG", "b/1.png": "b/1.png", "b/2": "", "c/1": "", "../a/1": "", "a/1.jpg/x": ""} {
			if got, _, err := f.find(id, ""); got != want || err != nil {
				t.Errorf("%s: got %q, %v; want %q", id, got, err, want)
			}
		}
	}
	if os.Getuid() != 0 {
		if err := os.Chmod(filepath.Join(dir, "a"), 0); err != nil {
			t.Fatal(err)
		}
		if _, _, err := newFolder(dir, imageExtensions).find("a/1", ""); err == nil {
			t.Error("a folder that cannot be read: got no error")
		}
	}
}

// Names of the machine of the annotator are looked up in the folder that the caller names.
func TestOpenCOCONamesWithOtherFolders(t *testing.T) {
	for name, c := range map[string]struct {
		files []string // on disk
		names []string // in the instances file
		want  []string // error, if it has one element
	}{
		"below another folder":       {[]string{"1.jpg", "2.jpg"}, []string{"images/4/1.jpg", "images/4/2.jpg"}, []string{"1.jpg", "2.jpg"}},
		"fewer folders":              {[]string{"patch8/1.jpg", "patch9/1.jpg"}, []string{"images/v1/patch8/1.jpg", "images/v1/patch9/1.jpg"}, []string{"patch8/1.jpg", "patch9/1.jpg"}},
		"outside":                    {[]string{"1.jpg", "2.jpg"}, []string{`..\\..\\media\\1.jpg`, "2.jpg"}, []string{"1.jpg", "2.jpg"}},
		"absolute":                   {[]string{"1.jpg", "2.jpg"}, []string{"/home/x/1.jpg", `C:\\x\\2.jpg`}, []string{"1.jpg", "2.jpg"}},
		"equal names":                {[]string{"1.jpg"}, []string{"a/1.jpg", "b/1.jpg"}, []string{"a/1.jpg", "b/1.jpg"}},
		"equal names outside":        {[]string{"1.jpg"}, []string{"/a/1.jpg", "/b/1.jpg"}, []string{`image "1.jpg": several images have this name without their folders`}},
		"no name without the folder": {[]string{"1.jpg"}, []string{"/a/..", "1.jpg"}, []string{`image file "/a/..": want a path inside the folder`}},
	} {
		t.Run(name, func(t *testing.T) {
			files := map[string]string{"x.json": fmt.Sprintf(`{"images": [{"id": 1, "file_name": "%s"}, {"id": 2, "file_name": "%s"}]}`, c.names[0], c.names[1])}
			for _, file := range c.files {
				files["there/"+file] = ""
			}
			dir := writeFiles(t, files)
			d, err := Open(filepath.Join(dir, "x.json"), Options{Images: filepath.Join(dir, "there"), ImagesOnly: true})
			if len(c.want) == 1 {
				if err == nil || !strings.Contains(err.Error(), c.want[0]) {
					t.Errorf("got %v, want %s", err, c.want[0])
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if got := fileNames(d); !slices.Equal(got, c.want) {
				t.Errorf("got %v, want %v", got, c.want)
			}
		})
	}
}
