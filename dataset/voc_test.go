package dataset

import (
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
)

const smallVOC = `<annotation><folder>x</folder><filename>a.jpg</filename><size><width>640</width><height>480</height><depth>3</depth></size>
	<object><name>cat</name><difficult>0</difficult><bndbox><xmin>1</xmin><ymin>1</ymin><xmax>2</xmax><ymax>3</ymax></bndbox>
		<part><name>head</name><bndbox><xmin>9</xmin><ymin>9</ymin><xmax>9</xmax><ymax>9</ymax></bndbox></part></object>
	<object><name>dog</name><difficult>1</difficult><bndbox><ymin>3.5</ymin><xmin>2.25</xmin><ymax>3.5</ymax><xmax> 9 </xmax></bndbox></object></annotation>`

func TestReadVOC(t *testing.T) {
	small := &Image{"a.jpg", "", 640, 480, []Object{{0, 0, 2, 3, "cat", false, 6}, {1.25, 2.5, 9, 3.5, "dog", true, 7.75}}, false}
	object := func(name, difficult string) string {
		return "<annotation><object><name>" + name + "</name>" + difficult + "<bndbox><xmin>1</xmin><ymin>1</ymin><xmax>2</xmax><ymax>3</ymax></bndbox></object></annotation>"
	}
	one := func(class string) *Image { return &Image{Objects: []Object{{0, 0, 2, 3, class, false, 6}}} }
	declared := func(encoding, name string) string {
		return `<?xml version="1.0" encoding="` + encoding + `"?>` + object(name, "")
	}
	for _, c := range []struct {
		name, text string
		want       *Image
	}{
		{"small", smallVOC, small},
		{"empty", "<annotation/>", &Image{}},
		{"no difficult", object("a", ""), one("a")},
		{"unspecified", object("a", "<difficult>Unspecified</difficult>"), one("a")},
		{"byte order mark", "\xef\xbb\xbf" + object("ä", ""), one("ä")},
		{"byte order mark and another encoding", "\xef\xbb\xbf" + declared("gb2312", "ä"), one("ä")},
		{"UTF-8", declared("utf-8", "ä"), one("ä")},
		{"UTF8", declared("UTF8", "ä"), one("ä")},
		{"US-ASCII", declared("us-ascii", "a"), one("a")},
		{"ISO-8859-1", declared("ISO-8859-1", "\xe4"), one("ä")},
		{"latin1", declared("latin1", "\xe4"), one("ä")},
		{"windows-1252", declared("Windows-1252", "\x80"), one("€")},
		{"unknown size", "<annotation><size><width>0</width><height>-1</height></size></annotation>", &Image{}},
		{"size with a fraction of 0", "<annotation><size><width>640.0</width></size></annotation>", &Image{Width: 640}},
		{"path on another machine", `<annotation><filename>C:\data\a.jpg</filename></annotation>`, &Image{File: "a.jpg"}},
		{"path elsewhere", `<annotation><filename>/data/a.jpg</filename></annotation>`, &Image{File: "a.jpg"}},
		{"path of a folder", `<annotation><filename>..</filename></annotation>`, &Image{}},
		{"path below", `<annotation><filename>x\a.jpg</filename></annotation>`, &Image{File: "x/a.jpg"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := ReadVOC(strings.NewReader(c.text))
			if err != nil || !reflect.DeepEqual(got, c.want) {
				t.Errorf("got %+v, %v\nwant %+v", got, err, c.want)
			}
		})
	}
}

func TestReadVOCErrors(t *testing.T) {
	object := func(s string) string { return "<annotation><object><name>a</name>" + s + "</object></annotation>" }
	corners := "<bndbox><xmin>%s</xmin><ymin>1</ymin><xmax>5</xmax><ymax>%s</ymax></bndbox>"
	for _, c := range []struct{ text, want string }{
		{"", "unexpected end"},
		{"no xml", "unexpected end"},
		{"<image/>", "want an annotation of PASCAL VOC"},
		{"<annotation/><annotation/>", "want an annotation of PASCAL VOC"},
		{"<annotation/></x>", "invalid XML in line 1"},
		{smallVOC[:400], "invalid XML in line 4"},
		{"<annotation><size><width>wide</width></size></annotation>", `size "wide" × "": want numbers of pixels`},
		{"<annotation><size><width>3000000000</width></size></annotation>", `size "3000000000" × ""`},
		{"<annotation><object/></annotation>", "object 1: want a name"},
		{object(""), "object 1: want a bndbox"},
		{object("<difficult>yes</difficult>" + corners), `object 1: difficult "yes": want 0 or 1`},
		{object(fmt.Sprintf(corners, "x", "9")), `object 1: "x" in bndbox: want four numbers`},
		{object(fmt.Sprintf(corners, "NaN", "9")), `object 1: "NaN" in bndbox`},
		{object(fmt.Sprintf(corners, "-Inf", "9")), `object 1: "-Inf" in bndbox`},
		{object(fmt.Sprintf(corners, "-1e99", "9")), "object 1: box coordinate -1e+99"},
		{object(fmt.Sprintf(corners, "7", "9")), "object 1: box of -1 × 9 pixels"},
		{object("<bndbox/>"), `object 1: "" in bndbox`},
		{`<?xml version="1.0" encoding="gb2312"?><annotation/>`, `text is in the encoding "gb2312": want UTF-8, US-ASCII, ISO-8859-1 or Windows-1252; convert it to UTF-8`},
		{"\xff\xfe<\x00a\x00", `text is in the encoding "UTF-16"`},
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

func TestImageSetLines(t *testing.T) {
	for text, want := range map[string][]string{
		"000001":         {"000001"},
		"000001 -1":      {"000001 -1", "000001"},
		"000001.jpg":     {"000001.jpg", "000001"},
		"a.JPEG  1":      {"a.JPEG  1", "a.JPEG", "a"},
		"my image 1":     {"my image 1", "my image"},
		"my image":       {"my image"},
		"train/x/y\t1":   {"train/x/y\t1", "train/x/y"},
		"a.b":            {"a.b"},
		"b b.jpg 1":      {"b b.jpg 1", "b b.jpg", "b b"},
		"a.jpg.png 0":    {"a.jpg.png 0", "a.jpg.png", "a.jpg"},
		"Abyss_1 1 2 30": {"Abyss_1 1 2 30", "Abyss_1 1 2", "Abyss_1 1", "Abyss_1"},
	} {
		if got := (line{text: text}).forms(); !slices.Equal(got, want) {
			t.Errorf("%q: got %q, want %q", text, got, want)
		}
	}
	lines, err := readLines(strings.NewReader("\xef\xbb\xbfa 1\r\n\n  sub\\b  "))
	if want := []line{{"a 1", 1}, {"sub/b", 3}}; err != nil || !slices.Equal(lines, want) {
		t.Errorf("got %v, %v; want %v", lines, err, want)
	}
}

// FuzzImageSet checks that no id leads out of a folder.
func FuzzImageSet(f *testing.F) {
	f.Add("2008_000008 -1\n\n2008_000015  1\r\n")
	f.Add("a b.jpg 1\nc/d/../e\n")
	f.Fuzz(func(t *testing.T, text string) {
		lines, err := readLines(strings.NewReader(text))
		if err != nil {
			return
		}
		empty := newFolder("", imageExtensions)
		ids, err := (&opener{annotations: &annotations{folder: empty}, images: empty}).resolve(lines)
		if err != nil {
			return
		}
		seen := map[string]bool{}
		for _, id := range ids {
			if seen[id] || !filepath.IsLocal(id+".xml") {
				t.Errorf("id %q in %q: want unique names inside the folder", id, text)
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
		lenient, lenientErr := readVOC(strings.NewReader(text), &report{})
		if err == nil && (lenientErr != nil || !reflect.DeepEqual(&lenient.Image, img)) {
			t.Fatalf("strict %+v, otherwise %+v, %v", img, lenient, lenientErr)
		}
		if lenientErr == nil {
			checkDataset(t, []Image{lenient.Image})
		}
	})
}
