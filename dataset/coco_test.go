package dataset

import (
	"errors"
	"fmt"
	"io"
	"reflect"
	"strings"
	"testing"
	"testing/iotest"
)

const smallCOCO = `{"info": {"a": [1, {"b": null}]}, "annotations": [
	{"id": 1, "image_id": 7, "category_id": 2, "bbox": [1, 2, 3.5, 4], "iscrowd": 0, "segmentation": [[1, 2, 3]]},
	{"id": 2, "image_id": 5, "category_id": 9, "bbox": [0, 0, 0, 1e2], "iscrowd": 1, "area": 3}],
	"images": [{"id": 5, "file_name": "sub/b.jpg", "width": 640, "height": 480}, {"id": 6, "file_name": "c.jpg"}, {"id": 7, "file_name": "a.jpg"}],
	"categories": [{"id": 2, "name": "cat", "supercategory": "animal"}, {"id": 9, "name": "dog"}], "licenses": []}`

func TestReadCOCO(t *testing.T) {
	images := []Image{
		{File: "sub/b.jpg", ID: "5", Width: 640, Height: 480, Objects: []Object{{0, 0, 0, 100, "dog", true, 3}}},
		{File: "c.jpg", ID: "6"},
		{File: "a.jpg", ID: "7", Objects: []Object{{1, 2, 4.5, 6, "cat", false, 14}}},
	}
	for _, c := range []struct {
		name, text string
		opts       Options
	}{
		{"small", smallCOCO, Options{Strict: true}},
		{"byte order mark", "\xef\xbb\xbf" + smallCOCO, Options{}},
		{"images alone", `{"images": [{"id": 5, "file_name": "sub/b.jpg", "width": 640, "height": 480}, {"id": 6, "file_name": "c.jpg"}, {"id": 7, "file_name": "a.jpg"}]}`, Options{ImagesOnly: true}},
		{"images only", smallCOCO, Options{ImagesOnly: true}},
		{"objects that are not read", strings.Replace(smallCOCO, "3.5", "NaN", 1), Options{ImagesOnly: true}},
	} {
		t.Run(c.name, func(t *testing.T) {
			want := &Dataset{Images: images}
			if c.opts.ImagesOnly {
				want.Images = nil
				for _, img := range images {
					img.Objects = nil
					want.Images = append(want.Images, img)
				}
			}
			for _, r := range []io.Reader{iotest.OneByteReader(strings.NewReader(c.text)), iotest.DataErrReader(strings.NewReader(c.text))} {
				if got, err := ReadCOCO(r, c.opts); err != nil || !reflect.DeepEqual(got, want) {
					t.Errorf("got %+v, %v\nwant %+v", got, err, want)
				}
			}
		})
	}
}

// TestReadCOCOValues reads values in the forms that programs write.
func TestReadCOCOValues(t *testing.T) {
	object := Object{1, 2, 4, 6, "cat", false, 12}
	crowd := object
	crowd.Difficult = true
	for _, c := range []struct {
		name, image, annotation string
		want                    Image
	}{
		{
			"whole numbers with a fraction", `{"id": 1.0, "file_name": "a.jpg", "width": 640.0, "height": 4.8e2}`,
			`{"image_id": 1, "category_id": 3.0, "bbox": [1.0, 2, 3, 4]}`,
			Image{"a.jpg", "1", 640, 480, []Object{object}, false},
		},
		{
			"numbers in quotes", `{"id": 1, "file_name": "a.jpg", "width": "640", "height": "480"}`,
			`{"image_id": "1", "category_id": "3", "bbox": ["1", "2.0", "3", "4"], "iscrowd": "1", "area": "12"}`,
			Image{"a.jpg", "1", 640, 480, []Object{crowd}, false},
		},
		{"booleans", `{"id": 1, "file_name": "a.jpg"}`, `{"image_id": 1, "category_id": 3, "bbox": [1, 2, 3, 4], "iscrowd": true}`, Image{"a.jpg", "1", 0, 0, []Object{crowd}, false}},
		{
			"difficult of PASCAL VOC", `{"id": 1, "file_name": "a.jpg"}`,
			`{"image_id": 1, "category_id": 3, "bbox": [1, 2, 3, 4], "iscrowd": 0, "difficult": 1}`,
			Image{"a.jpg", "1", 0, 0, []Object{crowd}, false},
		},
		{
			"a key of that name with another meaning", `{"id": 1, "file_name": "a.jpg"}`,
			`{"image_id": 1, "category_id": 3, "bbox": [1, 2, 3, 4], "difficult": {"level": "hard"}}`,
			Image{"a.jpg", "1", 0, 0, []Object{object}, false},
		},
		{"number in quotes as an id", `{"id": "7", "file_name": "a.jpg"}`, `{"image_id": 7, "category_id": 3, "bbox": [1, 2, 3, 4]}`, Image{"a.jpg", "7", 0, 0, []Object{object}, true}},
		{
			"unknown values", `{"id": 1, "file_name": "a.jpg", "width": null, "height": -1}`,
			`{"image_id": 1, "category_id": 3, "bbox": [1, 2, 3, 4], "iscrowd": null, "area": null}`,
			Image{"a.jpg", "1", 0, 0, []Object{object}, false},
		},
		{"id of text", `{"id": "007", "file_name": "a.jpg"}`, `{"image_id": "007", "category_id": 3, "bbox": [1, 2, 3, 4]}`, Image{"a.jpg", "007", 0, 0, []Object{object}, true}},
		{"texts are not numbers", `{"id": "007", "file_name": "a.jpg"}`, `{"image_id": 7, "category_id": 3, "bbox": [1, 2, 3, 4]}`, Image{"a.jpg", "007", 0, 0, nil, true}},
		{
			"large id", `{"id": 18446744073709551615, "file_name": "a.jpg"}`,
			`{"image_id": 18446744073709551615, "category_id": 3, "bbox": [1, 2, 3, 4]}`,
			Image{"a.jpg", "18446744073709551615", 0, 0, []Object{object}, false},
		},
		{
			"large ids differ in the last digit", `{"id": 18446744073709551615, "file_name": "a.jpg"}`,
			`{"image_id": 18446744073709551614, "category_id": 3, "bbox": [1, 2, 3, 4]}`,
			Image{"a.jpg", "18446744073709551615", 0, 0, nil, false},
		},
		{
			"negative id", `{"id": -9007199254740993, "file_name": "a.jpg"}`,
			`{"image_id": -9007199254740993, "category_id": 3, "bbox": [1, 2, 3, 4]}`,
			Image{"a.jpg", "-9007199254740993", 0, 0, []Object{object}, false},
		},
		{
			"duplicate and escaped keys", `{"id": 5, "file_name": "b.jpg", "\u0069d": 1, "file\u005fname": "\u0061.jpg"}`,
			`{"bbox": null, "image_id": 1, "category_id": 3, "bbox": [1, 2, 3, 4]}`,
			Image{"a.jpg", "1", 0, 0, []Object{object}, false},
		},
		{"backslashes", `{"id": 1, "file_name": "train\\sub\\a.jpg"}`, `{"image_id": 1, "category_id": 3, "bbox": [1, 2, 3, 4]}`, Image{"train/sub/a.jpg", "1", 0, 0, []Object{object}, false}},
		{"coco_url", `{"id": 1, "coco_url": "http://images.cocodataset.org/val2017/a.jpg"}`, `{}`, Image{"a.jpg", "1", 0, 0, nil, false}},
		{"flickr_url", `{"id": 1, "file_name": null, "coco_url": "", "flickr_url": "https://farm1.staticflickr.com/1/a.jpg?x=1/2"}`, `{}`, Image{"a.jpg", "1", 0, 0, nil, false}},
		{"a URL as file_name", `{"id": 1, "file_name": "https://example.com/set/a.jpg"}`, `{}`, Image{"a.jpg", "1", 0, 0, nil, false}},
		{"no id", `{"file_name": "a.jpg"}`, `{}`, Image{"a.jpg", "", 0, 0, nil, false}},
		{
			"area of 0", `{"id": 1, "file_name": "a.jpg"}`, `{"image_id": 1, "category_id": 3, "bbox": [1, 2, 3, 4], "area": 0}`,
			Image{"a.jpg", "1", 0, 0, []Object{{1, 2, 4, 6, "cat", false, 0}}, false},
		},
		{"invalid area", `{"id": 1, "file_name": "a.jpg"}`, `{"image_id": 1, "category_id": 3, "bbox": [1, 2, 3, 4], "area": NaN}`, Image{"a.jpg", "1", 0, 0, []Object{object}, false}},
		{"bytes that are not UTF-8", "{\"id\": 1, \"file_name\": \"\xe4.jpg\"}", `{}`, Image{"\xe4.jpg", "1", 0, 0, nil, false}},
	} {
		t.Run(c.name, func(t *testing.T) {
			text := fmt.Sprintf(`{"annotations": [%s], "images": [%s], "categories": [{"id": 3, "name": "cat"}]}`, c.annotation, c.image)
			got, err := ReadCOCO(strings.NewReader(text), Options{})
			if err != nil || len(got.Images) != 1 || !reflect.DeepEqual(got.Images[0], c.want) {
				t.Errorf("%s\ngot %+v, %v\nwant %+v", text, got, err, c.want)
			}
		})
	}
}

func TestReadCOCOWithoutCategories(t *testing.T) {
	for _, categories := range []string{"", `, "categories": []`} {
		text := `{"images": [{"id": 1, "file_name": "a"}], "annotations": [{"image_id": 1, "bbox": [1, 2, 3, 4]}, {"image_id": 1, "category_id": 5, "bbox": [2, 2, 3, 4]}]` + categories + `}`
		d, err := ReadCOCO(strings.NewReader(text), Options{Strict: true})
		want := []Object{{1, 2, 4, 6, "object", false, 12}, {2, 2, 5, 6, "object", false, 12}}
		if err != nil || !reflect.DeepEqual(d.Images[0].Objects, want) {
			t.Errorf("got %+v, %v; want %+v", d, err, want)
		}
	}
}

// TestReadCOCOInvalidEntries checks that an invalid entry is left out and counted, and that Strict
// refuses it.
func TestReadCOCOInvalidEntries(t *testing.T) {
	images := `{"id": 1, "file_name": "a.jpg"}, {"id": 2, "file_name": "b.jpg"}`
	good := `{"id": 10, "image_id": 1, "category_id": 1, "bbox": [1, 2, 3, 4]}`
	categories := `{"id": 1, "name": "cat"}, {"id": 2, "name": "dog"}`
	lists := func(images, annotations, categories string) string {
		return fmt.Sprintf(`{"images": [%s], "annotations": [%s], "categories": [%s]}`, images, annotations, categories)
	}
	annotation := func(s string) string { return lists(images, good+", "+s+", "+s, categories) }
	for _, c := range []struct {
		name, text string
		reason     string // of two entries
		first      string
		objects    int
	}{
		{"null", annotation(`null`), "annotations that are not objects", "annotation 2: null: want an object", 1},
		{"no image", annotation(`{"category_id": 1, "bbox": [1, 2, 3, 4]}`), "annotations without an image_id", "annotation 2: image_id nothing", 1},
		{"image of another type", annotation(`{"image_id": [1], "category_id": 1, "bbox": [1, 2, 3, 4]}`), "annotations without an image_id", "annotation 2: image_id [1]", 1},
		{"category of another type", annotation(`{"image_id": 1, "category_id": true, "bbox": [1, 2, 3, 4]}`), "annotations without a category_id", "category_id true", 1},
		{"no category", annotation(`{"image_id": 1, "bbox": [1, 2, 3, 4]}`), "annotations of an unknown category_id", "category_id (none)", 1},
		{"no bbox", annotation(`{"image_id": 1, "category_id": 1}`), "annotations without a bbox", "annotation 2: want a bbox", 1},
		{"empty bbox", annotation(`{"image_id": 1, "category_id": 1, "bbox": []}`), "annotations whose bbox is not four numbers", "annotation 2: bbox []", 1},
		{"bbox of three numbers", annotation(`{"image_id": 1, "category_id": 1, "bbox": [1, 2, 3]}`), "annotations whose bbox is not four numbers", "bbox [1, 2, 3]", 1},
		{"bbox of five numbers", annotation(`{"image_id": 1, "category_id": 1, "bbox": [1, 2, 3, 4, 5]}`), "annotations whose bbox is not four numbers", "bbox [1, 2, 3, 4, 5]", 1},
		{"null in bbox", annotation(`{"image_id": 1, "category_id": 1, "bbox": [1, 2, null, 4]}`), "annotations whose bbox is not four numbers", "bbox [1, 2, null, 4]", 1},
		{"bbox is a number", annotation(`{"image_id": 1, "category_id": 1, "bbox": 5}`), "annotations whose bbox is not four numbers", "bbox 5", 1},
		{"NaN", annotation(`{"image_id": 1, "category_id": 1, "bbox": [NaN, 2, 3, 4]}`), "annotations whose bbox is not finite", "bbox [NaN, 2, 3, 4]: want finite numbers", 1},
		{"Infinity", annotation(`{"image_id": 1, "category_id": 1, "bbox": [1, -Infinity, 3, 4]}`), "annotations whose bbox is not finite", "bbox [1, -Infinity, 3, 4]", 1},
		{"number out of range", annotation(`{"image_id": 1, "category_id": 1, "bbox": [1, 2, 1e999, 4]}`), "annotations whose bbox is not finite", "bbox [1, 2, 1e999, 4]", 1},
		{"far away", annotation(`{"image_id": 1, "category_id": 1, "bbox": [1, 2, 1e308, 4]}`), "annotations with coordinates out of range", "box coordinate 1e+308", 1},
		{"negative side", annotation(`{"image_id": 1, "category_id": 1, "bbox": [1, 2, -3, 4]}`), "annotations with a negative side", "annotation 2: bbox [1, 2, -3, 4]: want sides of 0 or more", 1},
		{"iscrowd of another type", annotation(`{"image_id": 1, "category_id": 1, "bbox": [1, 2, 3, 4], "iscrowd": []}`), "annotations whose iscrowd is invalid", "iscrowd []: want 0 or 1", 1},
		{"unknown image", annotation(`{"image_id": 9, "category_id": 1, "bbox": [1, 2, 3, 4]}`), "annotations of an unknown image_id", "annotation 2: image_id 9, category_id 1: want", 1},
		{"unknown image, a text", annotation(`{"image_id": "x", "category_id": 1, "bbox": [1, 2, 3, 4]}`), "annotations of an unknown image_id", `image_id x`, 1},
		{"unknown category", annotation(`{"image_id": 1, "category_id": 9, "bbox": [1, 2, 3, 4]}`), "annotations of an unknown category_id", "category_id 9", 1},
		{"repeated annotation", lists(images, good+","+good+","+good, categories), "annotations that repeat another of the same image", "annotation 2: id 10", 1},
		{
			"repeated annotation of a repeated image", lists(images+`, {"id": 3, "file_name": "a.jpg"}`, good+`, {"id": 11, "image_id": 3, "category_id": 1, "bbox": [1, 2, 3, 4]},
			{"id": 12, "image_id": 3, "category_id": 1, "bbox": [1, 2, 3, 4]}, {"id": 13, "image_id": 3, "category_id": 2, "bbox": [1, 2, 3, 4]}`, categories),
			"annotations that repeat another of the same image", "annotation 2: id 11", 2,
		},
		{"images without a name", lists(images+`, {"id": 3}, {"id": 4, "file_name": 5}`, good, categories), "images without a file_name", "image 3: want a file_name", 1},
		{"images that are not objects", lists(images+`, [], "x"`, good, categories), "images that are not objects", "image 3: []: want an object", 1},
		{"categories without an id", lists(images, good, categories+`, {"name": "x"}, {"id": null, "name": "y"}`), "categories without an id", "category 3: id nothing", 1},
		{"categories that are not objects", lists(images, good, categories+`, "cat", "dog"`), "categories that are not objects", `category 3: "cat": want an object`, 1},
		{
			"categories of one id", lists(images, good+`, {"image_id": 1, "category_id": 2, "bbox": [1, 2, 3, 4]}, {"image_id": 2, "category_id": 2, "bbox": [1, 2, 3, 4]}`, categories+`, {"id": 2, "name": "cow"}`),
			"annotations of a category_id that several categories have", "annotation 2: image_id 1, category_id 2", 1,
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			d, err := ReadCOCO(strings.NewReader(c.text), Options{})
			if err != nil {
				t.Fatal(err)
			}
			s := d.Skipped
			if len(s) != 1 || s[0].Reason != c.reason || s[0].Count != 2 || !strings.Contains(s[0].First, c.first) {
				t.Errorf("skipped %+v\nwant two of %q, the first with %q", s, c.reason, c.first)
			}
			if len(d.Warnings) > 0 && !strings.Contains(c.name, "of a repeated image") && !strings.HasPrefix(c.name, "categories of") {
				t.Errorf("got warnings %+v, want none", d.Warnings)
			}
			if n := len(d.Images[0].Objects) + len(d.Images[1].Objects); n != c.objects || len(d.Images) != 2 {
				t.Errorf("got %d objects of %d images, want %d of 2", n, len(d.Images), c.objects)
			}
			_, err = ReadCOCO(strings.NewReader(c.text), Options{Strict: true})
			if _, ok := errors.AsType[*Error](err); !ok {
				t.Errorf("strict: got %v, want an *Error", err)
			}
			d, err = ReadCOCO(strings.NewReader(c.text), Options{ImagesOnly: true})
			if err != nil || len(d.Images) != 2 {
				t.Errorf("images only: got %+v, %v; want two images", d, err)
			}
		})
	}
}

// TestReadCOCOWarnings checks that doubtful entries are read and counted, and that Strict refuses
// them.
func TestReadCOCOWarnings(t *testing.T) {
	const rest = `], "annotations": [{"id": 1, "image_id": 1, "category_id": 1, "bbox": [1, 2, 3, 4]}, {"id": 2, "image_id": 2, "category_id": 1, "bbox": [1, 2, 3, 5]}], "categories": [{"id": 1, "name": "cat"}]}`
	for _, c := range []struct {
		name, text string
		objects    int
		reason     string
		first      string
	}{
		{
			"two ids of one file", `{"images": [{"id": 1, "file_name": "a.jpg"}, {"id": 2, "file_name": "./a.jpg", "width": 3, "height": 4}` + rest, 2,
			"images that repeat a file_name and were merged with the first", `image "./a.jpg": ids 1 and 2`,
		},
		{
			"no id", `{"images": [{"id": 1, "file_name": "a.jpg"}, {"id": 2, "file_name": "b.jpg"}, {"file_name": "c.jpg"}` + rest, 2,
			"images without an id, which no annotation refers to", "image 3: id nothing",
		},
		{
			"invalid width", `{"images": [{"id": 1, "file_name": "a.jpg", "width": -7, "height": 3}, {"id": 2, "file_name": "b.jpg"}` + rest, 2,
			"images of an invalid width or height, which counts as unknown", "image 1: image of -7 × 3 pixels",
		},
		{
			"one id of two annotations", `{"images": [{"id": 1, "file_name": "a.jpg"}, {"id": 2, "file_name": "b.jpg"}` + strings.Replace(rest, `"id": 2, "image_id"`, `"id": 1, "image_id"`, 1), 2,
			"annotations of an id that another annotation has", "annotation 2: id 1",
		},
		{
			"invalid area", `{"images": [{"id": 1, "file_name": "a.jpg"}, {"id": 2, "file_name": "b.jpg"}` + strings.Replace(rest, `"bbox"`, `"area": -1, "bbox"`, 1), 2,
			"annotations of an invalid area, for which that of the box is taken", "annotation 1: area -1",
		},
		{
			"category without a name", `{"images": [{"id": 1, "file_name": "a.jpg"}, {"id": 2, "file_name": "b.jpg"}` + strings.Replace(rest, `"cat"`, "null", 1), 2,
			"categories without a name, named by their id", "category 1: name null",
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			d, err := ReadCOCO(strings.NewReader(c.text), Options{})
			if err != nil {
				t.Fatal(err)
			}
			if w := d.Warnings; len(w) != 1 || w[0].Reason != c.reason || w[0].Count != 1 || !strings.Contains(w[0].First, c.first) {
				t.Errorf("got warnings %+v\nwant %q, %q", w, c.reason, c.first)
			}
			n := 0
			for _, img := range d.Images {
				n += len(img.Objects)
			}
			if n != c.objects {
				t.Errorf("got %d objects, want %d", n, c.objects)
			}
			if _, err := ReadCOCO(strings.NewReader(c.text), Options{Strict: true}); err == nil {
				t.Error("strict: got no error")
			}
		})
	}
	t.Run("one id of two images", func(t *testing.T) {
		d, err := ReadCOCO(strings.NewReader(`{"images": [{"id": 1, "file_name": "a.jpg"}, {"id": 1, "file_name": "b.jpg"}]}`), Options{ImagesOnly: true})
		if err != nil || len(d.Images) != 2 || len(d.Warnings) != 1 {
			t.Errorf("images only: got %+v, %v; want both images and a warning", d, err)
		}
	})
}

func TestReadCOCOErrors(t *testing.T) {
	image := `"images": [{"id": 1, "file_name": "a.jpg"}], "categories": [{"id": 1, "name": "cat"}], `
	for _, c := range []struct{ text, want string }{
		{"", "unexpected end"},
		{"  \n", "unexpected end"},
		{"\xef\xbb\xbf", "unexpected end"},
		{"[]", "want an object with images"},
		{"{}", "want an object with images"},
		{"version https://git-lfs.github.com/spec/v1", "want an object with images"},
		{"{" + image + `"info": 1}`, "want an object with images and annotations"},
		{smallCOCO[:200], "annotation 2: invalid JSON at byte 200: unexpected end"},
		{smallCOCO + "{}", "after the end"},
		{`{"images": 3}`, "images: want an array"},
		{`{"images": null}`, "images: want an array"},
		{`{"images": [1 2]}`, `images: invalid JSON at byte 14: '2': want a comma or ']'`},
		{`{"images": [{"id": 1, "file_name": "a}]}`, "image 1: invalid JSON at byte 40: unexpected end"},
		{"{" + image + image + `"annotations": []}`, "images: duplicate key"},
		{`{"images": [{"id": 1}]}`, "want an object with images and annotations"},
		{`{"images": [{"id": 1}], "annotations": []}`, "no image is valid: skipped images without a file_name: 1, the first is image 1"},
		{`{"images": [{"id": 1, "file_name": "../a.jpg"}]}`, `image 1: image file "../a.jpg": want a path inside`},
		{`{"images": [{"id": 1, "file_name": "/a.jpg"}]}`, `image 1: image file "/a.jpg": want a path inside the folder of the images, or --absolute-paths`},
		{`{"images": [{"id": 1, "file_name": "C:\\a.jpg"}]}`, `image 1: image file "C:/a.jpg": want a path inside the folder of the images, or --absolute-paths`},
		{`{"images": [{"id": 1, "file_name": "a\u0000.jpg"}]}`, `image 1: image file "a\x00.jpg"`},
		{`{"images": [{"id": 1, "file_name": "a"}, {"id": 1.0, "file_name": "b"}], "annotations": []}`, `image "b": duplicate id 1, which "a" has`},
		{`{"info": ` + strings.Repeat("[", 200) + "}", "info: invalid JSON at byte 209"},
		{`{"info": ` + strings.Repeat("[", 1<<20), "info: invalid JSON at byte 10009: nested more than 10000 times"},
		{"\xff\xfe{\x00}\x00", "UTF-16"},
		{"{\x00\"\x00", "UTF-16"},
	} {
		t.Run(c.want, func(t *testing.T) {
			d, err := ReadCOCO(strings.NewReader(c.text), Options{})
			if _, ok := errors.AsType[*Error](err); !ok || d != nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("ReadCOCO(%.80q) = %v, %v; want nil and %q", c.text, d, err, c.want)
			}
		})
	}
	if _, err := ReadCOCO(iotest.ErrReader(io.ErrClosedPipe), Options{}); !errors.Is(err, io.ErrClosedPipe) {
		t.Errorf("got error %v, want that of the reader", err)
	}
	t.Run("absolute path", func(t *testing.T) {
		d, err := ReadCOCO(strings.NewReader(`{"images": [{"id": 1, "file_name": "/x/../a.jpg"}]}`), Options{ImagesOnly: true, AbsolutePaths: true})
		if err != nil || d.Images[0].File != "/x/../a.jpg" || d.Path(&d.Images[0]) != "/x/../a.jpg" {
			t.Errorf("got %+v, %v; want the absolute path", d, err)
		}
	})
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
	for _, begin := range []string{`{"images": [{"id": "`, `{"info": "`, `{"images": [`, `{"`} {
		rest := &endless{}
		t.Run(begin, func(t *testing.T) {
			_, err := ReadCOCO(io.MultiReader(strings.NewReader(begin), rest), Options{})
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

func FuzzReadCOCO(f *testing.F) {
	f.Add(smallCOCO)
	f.Add(`{"images":[],"annotations":[],"categories":[]}`)
	f.Add(`{"images":[{"id":1,"file_name":"a"}],"annotations":[{"image_id":1,"category_id":1,"bbox":[1,1,1e400,null]}],"categories":[]}`)
	f.Add(`{"images":[{"id":"1","coco_url":"http://h/f/a"},{"id":1.0,"file_name":"b"}],"annotations":[{"image_id":"x","bbox":[NaN,1,2,3]}]}`)
	f.Fuzz(func(t *testing.T, text string) {
		for _, opts := range []Options{{}, {Strict: true}, {ImagesOnly: true}} {
			d, err := ReadCOCO(strings.NewReader(text), opts)
			if _, ok := errors.AsType[*Error](err); ok == (d != nil) {
				t.Fatalf("%+v: %+v, %v", opts, d, err)
			}
			if d != nil {
				checkDataset(t, d.Images)
			}
		}
	})
}
