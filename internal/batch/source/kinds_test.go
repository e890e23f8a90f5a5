package source

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/proposer/proposer/dataset"
	"github.com/proposer/proposer/internal/batch/blobstore"
	"github.com/proposer/proposer/internal/imageio"
	"github.com/proposer/proposer/internal/safefs"
)

// makeTar is the path of an archive of files that have their names for their texts.
func makeTar(t testing.TB, names ...string) string {
	t.Helper()
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	for _, name := range names {
		if err := w.WriteHeader(&tar.Header{Name: name, Size: int64(len(name)), Mode: 0o666}); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte(name)); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return writeTar(t, out.Bytes())
}

func writeTar(t testing.TB, data []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "x.tar")
	if err := os.WriteFile(path, data, 0o666); err != nil {
		t.Fatal(err)
	}
	return path
}

var buckets atomic.Int64

// makeBucket is the URL of a bucket with files that have their names for their texts.
func makeBucket(t testing.TB, names ...string) string {
	t.Helper()
	location := fmt.Sprintf("mem://source-%d/pre/fix", buckets.Add(1))
	s, err := blobstore.Open(t.Context(), location)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		f, err := s.Create(t.Context(), name)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.Write([]byte(name)); err != nil {
			t.Fatal(err)
		}
		if err := f.Commit(); err != nil {
			t.Fatal(err)
		}
	}
	return location
}

func TestTarImages(t *testing.T) {
	long := strings.Repeat("long/", 60) + "é.jpg" // needs an extended header
	s := open(t, makeTar(t, "b.jpg", "sub/a.PNG", "notes.txt", "._b.jpg", ".x/y.jpg", long), Options{})
	wantFiles(t, s, "b.jpg", "sub/a.PNG", long)
	if s.Kind() != "tar" {
		t.Error(s.Kind())
	}
	images, _ := all(t, s)
	if want := (Image{File: "b.jpg", Offset: 512, Size: 5}); images[0] != want {
		t.Errorf("%+v, want %+v", images[0], want)
	}
	if _, err := s.Read(t.Context(), images[1], 8); !errors.As(err, new(*imageio.LimitError)) {
		t.Error(err)
	}
	for _, p := range []Image{
		{File: "b.jpg", Offset: 512, Size: 4},
		{File: "b.jpg", Offset: 513, Size: 5},
		{File: "b.jpg", Offset: 0, Size: 5},
		{File: "b.jpg", Offset: -1, Size: 5},
		{File: "b.jpg", Offset: 512, Size: -1},
		{File: "b.jpg", Offset: 512, Size: 1 << 40},
		{File: "b.jpg", Offset: 1 << 62, Size: 1 << 62},
	} {
		_, err := s.Read(t.Context(), p, 1<<62)
		wantError(t, err, "b.jpg", errMoved)
	}
	wantFiles(t, open(t, makeTar(t), Options{}))
}

func TestTarEntries(t *testing.T) {
	type entry = tar.Header
	good := entry{Name: "good.jpg"}
	for name, c := range map[string]struct {
		entries []entry
		want    string // part of the error; empty if good.jpg is all there is
	}{
		"links": {[]entry{
			{Name: "l.jpg", Typeflag: tar.TypeSymlink, Linkname: "/etc/passwd"},
			{Name: "h.jpg", Typeflag: tar.TypeLink, Linkname: "good.jpg"},
			{Name: "d.jpg/", Typeflag: tar.TypeDir},
			{Name: "p.jpg", Typeflag: tar.TypeFifo},
			{Name: "c.jpg", Typeflag: tar.TypeChar},
			good,
		}, ""},
		"dot":      {[]entry{{Name: "./good.jpg"}}, ""},
		"absolute": {[]entry{good, {Name: "/etc/x.jpg"}}, `entry 2: "/etc/x.jpg" leads out of the archive: want relative names`},
		"up":       {[]entry{good, {Name: "a/../../x.jpg"}}, `entry 2: "a/../../x.jpg" leads out`},
		"twice":    {[]entry{good, {Name: "x/../good.jpg"}}, `entry 2: "good.jpg" repeats number 1`},
	} {
		t.Run(name, func(t *testing.T) {
			var out bytes.Buffer
			w := tar.NewWriter(&out)
			for _, e := range c.entries {
				e.Mode = 0o666
				if err := w.WriteHeader(&e); err != nil {
					t.Fatal(err)
				}
			}
			if err := w.Close(); err != nil {
				t.Fatal(err)
			}
			got, err := all(t, open(t, writeTar(t, out.Bytes()), Options{}))
			if len(got) != 1 || got[0].File != "good.jpg" || (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v, %v; want %q", got, err, c.want)
			}
		})
	}
}

// sparse makes an archive of one file into one of a file with holes, as GNU's tar has them.
func sparse(data []byte) {
	header := data[:blockSize]
	header[156] = tar.TypeGNUSparse
	copy(header[257:], "ustar  \x00")
	copy(header[148:], "        ")
	sum := 0
	for _, b := range header {
		sum += int(b)
	}
	copy(header[148:], fmt.Sprintf("%06o\x00 ", sum))
}

func TestDamagedTar(t *testing.T) {
	path := makeTar(t, "a.jpg", strings.Repeat("b", 90)+".jpg", "c.jpg")
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	holes := bytes.Clone(data)
	sparse(holes)
	for _, c := range []struct {
		data []byte
		n    int
		want string
	}{
		{holes, 0, `entry 1: "a.jpg" is sparse: want an archive written by tar without --sparse`},
		{data[:512*5+2], 2, "entry 3: the archive is truncated"},
		{data[:512*2+700], 2, "entry 3: the archive is truncated"},
		{data[:512*4], 2, "entry 3: the archive is truncated: want zeros"},
		{nil, 0, "entry 1: the archive is truncated: want zeros"},
		{data[:512*3+20], 1, "entry 2: the archive is truncated"},
		{append(bytes.Clone(data[:1024]), bytes.Repeat([]byte("x"), 1024)...), 1, "entry 2: not a header of a tar archive"},
		{[]byte("not a tar"), 0, "entry 1: the archive is truncated"},
	} {
		got, err := all(t, open(t, writeTar(t, c.data), Options{}))
		if len(got) != c.n || err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("of %d bytes: got %d images, %v; want %d, %q", len(c.data), len(got), err, c.n, c.want)
		}
	}

	// One that is written to while it is read is no longer what was listed.
	s := open(t, path, Options{})
	images, err := all(t, s)
	if err != nil {
		t.Fatal(err)
	}
	later := time.Now().Add(time.Hour)
	if err := errors.Join(os.WriteFile(path, bytes.Repeat([]byte("y"), len(data)), 0o666), os.Chtimes(path, later, later)); err != nil {
		t.Fatal(err)
	}
	_, err = s.Read(t.Context(), images[0], 100)
	wantUnavailable(t, s, err)
}

func TestPathList(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "a.jpg", "sub/b", "#c.jpg", " d.jpg ", "new\nline.jpg", "é.png")
	other := t.TempDir()
	write(t, other, "far.jpg=x")
	far := filepath.ToSlash(other) + "/far.jpg"
	for name, c := range map[string]struct {
		text string
		want []string
	}{
		"lines":        {"sub/b\na.jpg\n", []string{"sub/b", "a.jpg"}},
		"no end":       {"sub/b\na.jpg", []string{"sub/b", "a.jpg"}},
		"empty":        {"", nil},
		"blank lines":  {"\n\na.jpg\n\n#c.jpg\n", []string{"a.jpg", "#c.jpg"}},
		"windows":      {"\ufeffa.jpg\r\nsub/b\r\n\r\n", []string{"a.jpg", "sub/b"}},
		"spaces":       {" d.jpg \né.png", []string{" d.jpg ", "é.png"}},
		"zeros":        {"new\nline.jpg\x00a.jpg\x00", []string{"new\nline.jpg", "a.jpg"}},
		"zero at last": {"a.jpg\x00", []string{"a.jpg"}},
		"clean":        {"./sub//b\nsub/../a.jpg", []string{"sub/b", "a.jpg"}},
	} {
		t.Run(name, func(t *testing.T) {
			list := filepath.Join(dir, "pictures.txt")
			write(t, dir, "pictures.txt="+c.text)
			s := open(t, list, Options{})
			wantFiles(t, s, c.want...)
			if s.Kind() != "list" || s.String() != list {
				t.Error(s.Kind(), s)
			}
		})
	}
	write(t, dir, "far.lst="+far+"\n../"+filepath.Base(dir)+"/a.jpg\nmissing.jpg\n")
	s := open(t, filepath.Join(dir, "far.lst"), Options{Include: []string{"**/*.jpg"}})
	images, err := all(t, s)
	if err != nil || len(images) != 3 || images[0].File != far {
		t.Fatal(images, err)
	}
	for i, want := range []string{"x", "a.jpg"} {
		if data, err := s.Read(t.Context(), images[i], 9); err != nil || string(data) != want {
			t.Errorf("%q, %v", data, err)
		}
	}
	_, err = s.Read(t.Context(), images[2], 9)
	wantError(t, err, "missing.jpg", fs.ErrNotExist)

	for text, want := range map[string]string{
		"a.jpg\nb\n./a.jpg":                     `line 3: "a.jpg" repeats number 1: want each image once`,
		"a\n" + strings.Repeat("x", 1<<17):      "line 2: \"xxxx",
		"a\x00b\x00" + "a\x00":                  `line 3: "a" repeats number`,
		strings.Repeat("x", 1<<17) + "\x00":     "want lines of at most 65536 bytes",
		"a\n" + strings.Repeat("\n", 9) + "\na": "line 12:",
	} {
		write(t, dir, "bad.txt="+text)
		_, err := all(t, open(t, filepath.Join(dir, "bad.txt"), Options{}))
		if e, ok := errors.AsType[*Error](err); !ok || !strings.Contains(err.Error(), want) || e.Location != filepath.Join(dir, "bad.txt") {
			t.Errorf("%.30q: %v, want %q", text, err, want)
		}
	}
}

const coco = `{"images": [{"id": 12, "file_name": "b.jpg"}, {"id": 7, "file_name": "sub/a.xyz"}, {"id": 9, "file_name": "c.jpg"}],
	"annotations": [{"id": 1, "image_id": 7, "category_id": 1, "bbox": [0, 0, 1, 1]}], "categories": [{"id": 1, "name": "cat"}]}`

func TestCOCODataset(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "annotations/instances_val.json="+coco, "val/b.jpg", "val/sub/a.xyz=sub/a.xyz", "val/other.jpg")
	want := []Image{{File: "b.jpg", ID: "12"}, {File: "sub/a.xyz", ID: "7"}, {File: "c.jpg", ID: "9"}}
	for _, location := range []string{dir, filepath.Join(dir, "annotations/instances_val.json")} {
		s := open(t, location, Options{})
		got, err := all(t, s)
		if err != nil || !reflect.DeepEqual(got, want) || s.Kind() != "dataset" || s.Folder() != "val" {
			t.Errorf("%+v, %v of %s", got, err, s.Kind())
		}
		if data, err := s.Read(t.Context(), got[1], 99); err != nil || string(data) != "sub/a.xyz" {
			t.Errorf("%q, %v", data, err)
		}
		_, err = s.Read(t.Context(), got[2], 99)
		wantError(t, err, "c.jpg", fs.ErrNotExist)
	}
	if got, err := all(t, open(t, dir, Options{Include: []string{"sub/**"}})); err != nil || len(got) != 1 || got[0].ID != "7" {
		t.Error(got, err)
	}
	write(t, dir, "photos/b.jpg=another", "photos/sub/a.xyz")
	s := open(t, dir, Options{Data: dataset.Options{Images: filepath.Join(dir, "photos")}})
	if data, err := s.Read(t.Context(), want[0], 99); err != nil || string(data) != "another" || s.Folder() != "photos" {
		t.Errorf("%q, %v in %s", data, err, s.Folder())
	}

	write(t, dir, "annotations/instances_train.json="+coco)
	if _, err := Open(t.Context(), dir, Options{}); !errors.As(err, new(*dataset.Error)) || !strings.Contains(err.Error(), "2 instances files") {
		t.Error(err)
	}
	lost := t.TempDir()
	write(t, lost, "x/y/instances.json="+coco)
	for _, location := range []string{filepath.Join(lost, "x/y"), filepath.Join(lost, "x/y/instances.json")} {
		if _, err := Open(t.Context(), location, Options{}); !errors.As(err, new(*NoImagesError)) || !strings.Contains(err.Error(), `the first is "b.jpg": use --images`) {
			t.Error(err)
		}
	}
	write(t, lost, `x/none.json={"images": [], "annotations": [], "categories": []}`)
	wantFiles(t, open(t, filepath.Join(lost, "x/none.json"), Options{}))
}

// A folder with other annotations, or annotations beside its images, is a folder of images.
func TestFolderWithAnnotations(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "a.jpg", "b.jpg", "a.xml=<annotation><filename>a.jpg</filename></annotation>", "annotations/xmls/b.xml", "annotations/c.txt")
	wantFiles(t, open(t, dir, Options{}), "a.jpg", "b.jpg")
	write(t, dir, "Annotations/a.xml=<annotation><filename>a.jpg</filename></annotation>")
	wantFiles(t, open(t, dir, Options{}), "a.jpg")
}

// Only data sets have a folder of images.
func TestImagesOfOtherSources(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "a.jpg", "list.txt=a.jpg", "annotations/notes.txt")
	for _, location := range []string{dir, filepath.Join(dir, "list.txt"), makeTar(t, "a.jpg"), makeBucket(t, "a.jpg")} {
		_, err := Open(t.Context(), location, Options{Data: dataset.Options{Images: dir}})
		if e, ok := errors.AsType[*NotDatasetError](err); !ok || e.Location != location {
			t.Errorf("%s: %v", location, err)
		}
	}
}

func TestIsNumber(t *testing.T) {
	for id, want := range map[string]bool{
		"0": true, "139": true, "-5": true, "18446744073709551615": true, "-9223372036854775808": true,
		"": false, "007": false, "-0": false, "+1": false, "1.0": false, "18446744073709551616": false, "2008_000002": false, "x": false,
	} {
		if isNumber(id) != want {
			t.Errorf("%q: got %t, want %t", id, !want, want)
		}
	}
}

func TestVOCDataset(t *testing.T) {
	dir := t.TempDir()
	annotation := func(name string) string {
		return "Annotations/" + name + ".xml=<annotation><filename>" + name + ".jpg</filename></annotation>"
	}
	write(t, dir, annotation("2"), annotation("10"), annotation("3"), "JPEGImages/2.jpg=2.jpg", "JPEGImages/10.jpg=10.jpg", "JPEGImages/3.jpg=3.jpg",
		"JPEGImages/4.png=4.png", "ImageSets/Main/val.txt=3\n10  1\r\n4 -1\n\nnone\n", "ImageSets/x.txt=2\n",
		"ImageSets/Main/twice.txt=3\n2\n3 1\n", "ImageSets/Main/up.txt=../../x\n", "ImageSets/Main/train.lst=2 1\n", "elsewhere/val.txt=../JPEGImages/2.jpg",
		"ImageSets/paths.txt=\n../JPEGImages/4.png\n")
	s := open(t, dir, Options{})
	if s.Kind() != "dataset" || s.Folder() != "JPEGImages" {
		t.Error(s.Kind(), s.Folder())
	}
	got, err := all(t, s)
	want := []Image{{File: "10.jpg", ID: "10"}, {File: "2.jpg", ID: "2"}, {File: "3.jpg", ID: "3"}}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%+v, %v", got, err)
	}

	s = open(t, filepath.Join(dir, "ImageSets/Main/val.txt"), Options{})
	got, err = all(t, s)
	want = []Image{
		{File: "3.jpg", ID: "3", TextID: true, OwnTextID: true},
		{File: "10.jpg", ID: "10", TextID: true, OwnTextID: true},
		{File: "4.png", ID: "4", TextID: true, OwnTextID: true},
		{File: "none.jpg", ID: "none", TextID: true, OwnTextID: true},
	}
	if err != nil || !reflect.DeepEqual(got, want) || s.Kind() != "dataset" {
		t.Errorf("%+v, %v of %s", got, err, s.Kind())
	}
	if data, err := s.Read(t.Context(), got[2], 99); err != nil || string(data) != "4.png" {
		t.Errorf("%q, %v", data, err)
	}
	_, err = s.Read(t.Context(), got[3], 99)
	wantError(t, err, "none.jpg", fs.ErrNotExist)

	t.Chdir(filepath.Join(dir, "ImageSets"))
	wantFiles(t, open(t, "x.txt", Options{}), "2.jpg")
	wantFiles(t, open(t, "Main/train.lst", Options{}), "2.jpg")
	for name, want := range map[string]string{
		"twice.txt": `line 3: `,
		"up.txt":    `line 1: `,
	} {
		if _, err := Open(t.Context(), filepath.Join("Main", name), Options{}); !errors.As(err, new(*dataset.Error)) || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
	for name, want := range map[string]string{"elsewhere/val.txt": "../JPEGImages/2.jpg", "ImageSets/paths.txt": "../JPEGImages/4.png"} {
		s := open(t, filepath.Join(dir, name), Options{})
		if got, err := all(t, s); err != nil || len(got) != 1 || got[0].File != want || s.Kind() != "list" {
			t.Errorf("%s: %v, %v of %s", name, got, err, s.Kind())
		}
	}
}

// Images that are links to another folder need FollowLinks; a folder of images may be such a link.
func TestDatasetOfLinks(t *testing.T) {
	disk := t.TempDir()
	write(t, disk, "b.jpg", "sub/a.xyz=sub/a.xyz", "c.jpg")
	for _, c := range []struct {
		name    string
		links   map[string]string
		outside bool
	}{
		{"folder", map[string]string{"val": disk}, false},
		{"folder inside", map[string]string{"val/sub": filepath.Join(disk, "sub"), "val/b.jpg": filepath.Join(disk, "b.jpg"), "val/c.jpg": filepath.Join(disk, "c.jpg")}, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			write(t, dir, "annotations/instances_val.json="+coco)
			for link, target := range c.links {
				path := filepath.Join(dir, link)
				if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o777), os.Symlink(target, path)); err != nil {
					t.Fatal(err)
				}
			}
			for _, follow := range []bool{false, true} {
				s := open(t, dir, Options{Data: dataset.Options{FollowLinks: follow}})
				images, err := all(t, s)
				if err != nil || len(images) != 3 {
					t.Fatal(images, err)
				}
				for _, img := range images {
					data, err := s.Read(t.Context(), img, 99)
					if c.outside && !follow {
						wantError(t, err, img.File, safefs.ErrOutside)
					} else if err != nil || string(data) != img.File {
						t.Errorf("%s: %q, %v", img.File, data, err)
					}
				}
			}
		})
	}
}

func TestAbsolutePaths(t *testing.T) {
	dir, disk := t.TempDir(), t.TempDir()
	write(t, disk, "far.jpg")
	far := filepath.Join(disk, "far.jpg")
	data := &dataset.Dataset{Images: []dataset.Image{{File: far, ID: "1"}}}
	for _, absolute := range []bool{false, true} {
		s, err := FromDataset(filepath.Join(dir, "instances.json"), data, Options{Data: dataset.Options{AbsolutePaths: absolute}})
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		images, err := all(t, s)
		if err != nil || len(images) != 1 || images[0].File != filepath.ToSlash(far) {
			t.Fatal(images, err)
		}
		if text, err := s.Read(t.Context(), images[0], 99); (err == nil) != absolute {
			t.Errorf("absolute paths %v: %q, %v", absolute, text, err)
		}
	}
}

func TestBucketImages(t *testing.T) {
	s := open(t, makeBucket(t, "b.jpg", "a/x.PNG", "notes.txt", "a/.hidden/x.jpg", ".x.jpg"), Options{})
	wantFiles(t, s, "a/x.PNG", "b.jpg")
	if s.Kind() != "bucket" || !strings.HasPrefix(s.String(), "mem://") {
		t.Error(s.Kind(), s)
	}
	if _, err := s.Read(t.Context(), Image{File: "b.jpg"}, 4); !errors.As(err, new(*imageio.LimitError)) {
		t.Error(err)
	}
	_, err := s.Read(t.Context(), Image{File: "none.jpg"}, 4)
	wantError(t, err, "none.jpg", fs.ErrNotExist)
	_, err = s.Read(t.Context(), Image{File: "../none.jpg"}, 4)
	wantError(t, err, "../none.jpg", blobstore.ErrName)
}

// Whatever is in a list, names come once, and not empty.
func FuzzList(f *testing.F) {
	for _, text := range []string{"a\nb\n", "a\x00b", "\ufeff\r\n", "\n\n", "#x\n ..\n/", "a\n./a"} {
		f.Add([]byte(text))
	}
	path := filepath.Join(f.TempDir(), "x.txt")
	f.Fuzz(func(t *testing.T, text []byte) {
		if err := os.WriteFile(path, text, 0o666); err != nil {
			t.Fatal(err)
		}
		s := open(t, path, Options{})
		defer s.Close()
		images, err := all(t, s)
		if err != nil && !errors.As(err, new(*Error)) {
			t.Fatalf("%T: %v", err, err)
		}
		seen := map[string]bool{}
		for _, p := range images {
			if p.File == "" || seen[p.File] || len(p.File) > maxLineBytes {
				t.Fatalf("%q among %d", p.File, len(images))
			}
			seen[p.File] = true
		}
		if ends := bytes.Count(text, []byte("\n")) + bytes.Count(text, []byte{0}); len(images) > ends+1 {
			t.Fatalf("got %d images of %d lines", len(images), ends)
		}
	})
}

// Whatever is in an archive, what is listed lies in it, and can be read.
func FuzzTar(f *testing.F) {
	for _, path := range []string{makeTar(f, "a.jpg", "b/c.png"), makeTar(f, strings.Repeat("é", 200)+".jpg"), makeTar(f)} {
		data, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Add([]byte("\x1f\x8b"))
	path := filepath.Join(f.TempDir(), "x.tar")
	f.Fuzz(func(t *testing.T, data []byte) {
		if err := os.WriteFile(path, data, 0o666); err != nil {
			t.Fatal(err)
		}
		s, err := Open(t.Context(), path, Options{Include: []string{"**"}})
		if err != nil {
			return
		}
		defer s.Close()
		images, err := all(t, s)
		if err != nil && !errors.As(err, new(*Error)) {
			t.Fatalf("%T: %v", err, err)
		}
		seen := map[string]bool{}
		for _, p := range images {
			if !filepath.IsLocal(p.File) || seen[p.File] {
				t.Fatalf("%q", p.File)
			}
			seen[p.File] = true
			got, err := s.Read(t.Context(), p, int64(len(data)))
			if err != nil && !errors.Is(err, errMoved) || err == nil && !bytes.Equal(got, data[p.Offset:p.Offset+p.Size]) {
				t.Fatalf("%+v: %d bytes, %v", p, len(got), err)
			}
		}
	})
}

// Whatever a place is called, storage opens it or says what is wrong. The test is here because
// storage's own take in the clouds' libraries, which are long to build for fuzzing.
func FuzzOpen(f *testing.F) {
	for _, location := range []string{"/data", "file:///a%20b", "file:%", "mem://x/y", "mem://%41/..", "a:b", "https://x", "s3://x", "file://localhost/?", "mem://\x00"} {
		f.Add(location)
	}
	f.Fuzz(func(t *testing.T, location string) {
		s, err := blobstore.Open(t.Context(), location)
		if (s == nil) == (err == nil) {
			t.Fatal(s, err)
		}
		if err != nil {
			if _, ok := errors.AsType[*blobstore.Error](err); !ok {
				t.Fatalf("%T: %v", err, err)
			}
			return
		}
		defer s.Close()
		if path, err := blobstore.LocalPath(location); (err == nil) == blobstore.IsBucket(location) || err == nil && path == "" {
			t.Fatalf("%q: %q, %v", location, path, err)
		}
	})
}
