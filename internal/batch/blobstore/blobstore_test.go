package blobstore

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"pgregory.net/rapid"
)

func put(t testing.TB, s Store, name, text string) {
	t.Helper()
	f, err := s.Create(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Abort()
	if n, err := io.WriteString(f, text); err != nil || n != len(text) {
		t.Fatal(n, err)
	}
	if err := f.Commit(); err != nil {
		t.Fatal(err)
	}
}

func get(t testing.TB, s Store, name string) string {
	t.Helper()
	r, size, err := s.Open(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	data, err := io.ReadAll(r)
	if err != nil || size != int64(len(data)) {
		t.Fatal(size, len(data), err)
	}
	return string(data)
}

func list(t testing.TB, s Store, prefix string) (names []string) {
	t.Helper()
	for e, err := range s.List(t.Context(), prefix) {
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, e.Name)
	}
	return names
}

func open(t testing.TB, location string) Store {
	t.Helper()
	s, err := Open(t.Context(), location)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

var buckets atomic.Int64

// places are new, empty places of each kind.
var places = map[string]func(t *testing.T) string{
	"folder": func(t *testing.T) string { return filepath.Join(t.TempDir(), "a", "b") },
	"file":   func(t *testing.T) string { return "file://" + filepath.ToSlash(t.TempDir()) },
	"mem":    func(t *testing.T) string { return fmt.Sprintf("mem://%d", buckets.Add(1)) },
	"prefix": func(t *testing.T) string { return fmt.Sprintf("mem://%d/x/y", buckets.Add(1)) },
	"s3":     fakeS3,
}

func testStores(t *testing.T, test func(t *testing.T, location string)) {
	for kind, location := range places {
		t.Run(kind, func(t *testing.T) { test(t, location(t)) })
	}
}

func TestStoreConformance(t *testing.T) {
	testStores(t, func(t *testing.T, location string) {
		s := open(t, location)
		if got := list(t, s, ""); got != nil {
			t.Errorf("an empty place lists %q", got)
		}
		if err := s.Sweep(t.Context(), 0); err != nil {
			t.Error(err)
		}
		files := map[string]string{
			"b.txt": "1", "a/b/c.jsonl": "22", "a/b.txt": "", "a-b": "4444", "a.b": "5", "é/ü ö%2F&?#.txt": "6", "new\nline": "7",
			"big": strings.Repeat("0123456789abcdef", 1<<14), "huge": strings.Repeat("0123456789abcdef", 21<<16), // in parts
		}
		for name, text := range files {
			put(t, s, name, text)
		}
		for name, text := range files {
			if got := get(t, s, name); got != text {
				t.Errorf("%q: %d bytes, want %d", name, len(got), len(text))
			}
		}
		want := []string{"a-b", "a.b", "a/b.txt", "a/b/c.jsonl", "b.txt", "big", "huge", "new\nline", "é/ü ö%2F&?#.txt"}
		if got := list(t, s, ""); !slices.Equal(got, want) {
			t.Errorf("lists %q, want %q", got, want)
		}
		for prefix, want := range map[string][]string{
			"a/": {"a/b.txt", "a/b/c.jsonl"}, "a/b/c": {"a/b/c.jsonl"}, "a.": {"a.b"}, "none": nil, "a/b/c.jsonl/": nil,
		} {
			if got := list(t, s, prefix); !slices.Equal(got, want) {
				t.Errorf("with prefix %q lists %q, want %q", prefix, got, want)
			}
		}
		for e, err := range s.List(t.Context(), "big") {
			if err != nil || e != (Entry{"big", 1 << 18}) {
				t.Error(e, err)
			}
		}
		for range s.List(t.Context(), "") {
			break
		}

		// Another who opens the place sees the same, and what is replaced.
		put(t, s, "b.txt", "replaced")
		if got := get(t, open(t, location), "b.txt"); got != "replaced" {
			t.Error(got)
		}
		if err := s.Remove(t.Context(), "b.txt"); err != nil {
			t.Error(err)
		}
		if got := list(t, s, "b.txt"); got != nil {
			t.Error(got)
		}
		_, _, err := s.Open(t.Context(), "b.txt")
		for _, err := range []error{err, s.Remove(t.Context(), "b.txt")} {
			e, ok := errors.AsType[*Error](err)
			if !ok || !errors.Is(err, fs.ErrNotExist) || e.Name != "b.txt" || e.Location != s.String() {
				t.Errorf("%v: want an error of b.txt that wraps ErrNotExist", err)
			}
		}
		if err := s.Check(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

func TestOpenRange(t *testing.T) {
	testStores(t, func(t *testing.T, location string) {
		s := open(t, location)
		put(t, s, "a/file", "0123456789")
		for _, c := range []struct {
			offset, length int64
			want           string
		}{{0, 10, "0123456789"}, {3, 4, "3456"}, {0, 1, "0"}, {9, 1, "9"}, {7, 99, "789"}} {
			r, err := s.OpenRange(t.Context(), "a/file", c.offset, c.length)
			if err != nil {
				t.Fatalf("%+v: %v", c, err)
			}
			got, err := io.ReadAll(r)
			if err := errors.Join(err, r.Close()); err != nil || string(got) != c.want {
				t.Errorf("%+v: %q, %v", c, got, err)
			}
		}
		if _, err := s.OpenRange(t.Context(), "none", 0, 1); !errors.Is(err, fs.ErrNotExist) {
			t.Error(err)
		}
	})
}

// Of several that write a new file the first has it, and nobody replaces it.
func TestCreateNew(t *testing.T) {
	testStores(t, func(t *testing.T, location string) {
		s := open(t, location)
		var files []File
		long := strings.Repeat(" ", 6<<20) // so that S3 gets it in parts
		for i := range 3 {
			f, err := s.CreateNew(t.Context(), "a/new")
			if err != nil {
				t.Fatal(err)
			}
			if _, err := fmt.Fprint(f, i, long); err != nil {
				t.Fatal(err)
			}
			files = append(files, f)
		}
		for i, f := range files {
			if err := f.Commit(); (err == nil) != (i == 0) || err != nil && !errors.Is(err, fs.ErrExist) {
				t.Errorf("%d: %v", i, err)
			}
		}
		if got := get(t, s, "a/new"); got != "0"+long {
			t.Errorf("%.10q, want what the first has written", got)
		}
		if got := list(t, s, ""); !slices.Equal(got, []string{"a/new"}) {
			t.Errorf("%q", got)
		}
		if err := s.Sweep(t.Context(), 0); err != nil {
			t.Error(err)
		}
		if got := get(t, s, "a/new"); got != "0"+long {
			t.Errorf("%.10q after a sweep", got)
		}
	})
}

func TestUncommittedFilesAreInvisible(t *testing.T) {
	testStores(t, func(t *testing.T, location string) {
		s := open(t, location)
		put(t, s, "a", "old")
		for _, size := range []int{0, 3, 1000, 21 << 20} {
			// Nothing is seen while it is written, nor after Abort.
			f, err := s.Create(t.Context(), "a")
			if err != nil {
				t.Fatal(err)
			}
			if _, err := f.Write(make([]byte, size)); err != nil {
				t.Fatal(err)
			}
			if got := list(t, s, ""); !slices.Equal(got, []string{"a"}) || get(t, s, "a") != "old" {
				t.Errorf("while it is written: %q", got)
			}
			f.Abort()
			f.Abort()
			if got := list(t, s, ""); !slices.Equal(got, []string{"a"}) || get(t, s, "a") != "old" {
				t.Errorf("given up: %q", got)
			}
			if _, err := f.Write([]byte{1}); !errors.Is(err, fs.ErrClosed) {
				t.Error(err)
			}
			if err := f.Commit(); !errors.Is(err, fs.ErrClosed) {
				t.Error(err)
			}

			// A context that ended gives it up.
			ctx, cancel := context.WithCancel(t.Context())
			if f, err = s.Create(ctx, "a"); err != nil {
				t.Fatal(err)
			}
			if _, err := f.Write(make([]byte, size)); err != nil {
				t.Fatal(err)
			}
			cancel()
			if _, err := f.Write([]byte{1}); !errors.Is(err, context.Canceled) {
				t.Error(err)
			}
			if err := f.Commit(); !errors.Is(err, context.Canceled) {
				t.Error(err)
			}
			if got := list(t, s, ""); !slices.Equal(got, []string{"a"}) || get(t, s, "a") != "old" {
				t.Errorf("with a context that ended: %q", got)
			}
		}
		f, err := s.Create(t.Context(), "empty")
		if err != nil {
			t.Fatal(err)
		}
		if err := f.Commit(); err != nil {
			t.Fatal(err)
		}
		f.Abort() // after Commit does nothing
		if got := get(t, s, "empty"); got != "" {
			t.Errorf("%q", got)
		}
	})
}

func TestInvalidNamesAreRejected(t *testing.T) {
	testStores(t, func(t *testing.T, location string) {
		s := open(t, location)
		for _, name := range []string{"", ".", "..", "../x", "a/../../x", "a/..", "./x", "/x", "/etc/passwd", "x/", "a/./b", "a\x00b"} {
			_, _, opened := s.Open(t.Context(), name)
			f, created := s.Create(t.Context(), name)
			if f != nil {
				f.Abort()
			}
			for _, err := range []error{opened, created, s.Remove(t.Context(), name)} {
				if _, ok := errors.AsType[*Error](err); !ok || !errors.Is(err, ErrName) {
					t.Errorf("%q: %v, want that it is no name", name, err)
				}
			}
		}
		if f, err := s.Create(t.Context(), "a//b"); !errors.Is(err, ErrName) {
			f.Abort()
			t.Error(err)
		}
		long := strings.Repeat("é", 120) + "123456789012345"
		put(t, s, long, "255 bytes")
		if got := get(t, s, long); got != "255 bytes" || !slices.Equal(list(t, s, ""), []string{long}) {
			t.Errorf("%q, %q", got, list(t, s, ""))
		}
	})
}

func TestCanceledContext(t *testing.T) {
	testStores(t, func(t *testing.T, location string) {
		s := open(t, location)
		put(t, s, "a", "")
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		_, _, opened := s.Open(ctx, "a")
		_, created := s.Create(ctx, "a")
		var listed error
		for _, err := range s.List(ctx, "") {
			listed = err
		}
		for i, err := range []error{opened, created, listed, s.Remove(ctx, "a"), s.Check(ctx)} {
			if !errors.Is(err, context.Canceled) {
				t.Errorf("%d: %v", i, err)
			}
			if _, ok := errors.AsType[*UnavailableError](err); ok {
				t.Errorf("%d: %v", i, err)
			}
		}
	})
}

func TestListOfManyFiles(t *testing.T) {
	testStores(t, func(t *testing.T, location string) {
		s := open(t, location)
		var all sync.WaitGroup
		for i := range 8 {
			all.Go(func() {
				for j := range 10 {
					name := fmt.Sprintf("%d/%d/x", j%3, i*10+j)
					put(t, s, name, name)
					if got := get(t, s, name); got != name {
						t.Error(got)
					}
				}
			})
		}
		all.Wait()
		if got := list(t, s, ""); len(got) != 80 || !slices.IsSorted(got) {
			t.Errorf("%d files", len(got))
		}
	})
}

// A place is as a map from names to texts.
func TestStoreBehavesLikeMap(t *testing.T) {
	testStores(t, func(t *testing.T, location string) {
		s := open(t, location)
		rapid.Check(t, func(rt *rapid.T) {
			for _, name := range list(t, s, "") {
				if err := s.Remove(t.Context(), name); err != nil {
					rt.Fatal(err)
				}
			}
			want := map[string]string{}
			for range rapid.IntRange(1, 8).Draw(rt, "steps") {
				name := rapid.StringMatching(`[abAB.\-0]{1,2}(/[ab~]{1,2}){0,2}x`).Draw(rt, "name")
				if checkName(name) != nil || conflicts(want, name) {
					continue
				}
				text := rapid.StringN(0, 9, -1).Draw(rt, "text")
				put(t, s, name, text)
				want[name] = text
			}
			got := map[string]string{}
			names := list(t, s, "")
			for _, name := range names {
				got[name] = get(t, s, name)
			}
			if !reflect.DeepEqual(got, want) || !slices.IsSorted(names) {
				rt.Fatalf("%q, want %q; in the order %q", got, want, names)
			}
		})
	})
}

// conflicts reports whether a name would be both a file and a folder.
func conflicts(names map[string]string, name string) bool {
	for other := range names {
		if strings.HasPrefix(other, name+"/") || strings.HasPrefix(name, other+"/") {
			return true
		}
	}
	return false
}

func TestOpen(t *testing.T) {
	t.Setenv("AWS_EC2_METADATA_DISABLED", "true")
	for location, want := range map[string]string{
		"":                          "want a folder, or a URL",
		"http://example.com/x":      "unknown scheme http: want a folder, or a URL",
		"s3:bucket":                 "want s3://NAME",
		"s3://":                     "want s3://NAME",
		"gs:///x":                   "want gs://NAME",
		"mem:":                      "want mem://NAME",
		"mem://a/../b":              "invalid name",
		"mem://a?x=y":               "want no query after",
		"file://host/x":             `on host "host": want file:///PATH`,
		"file:///x?y":               "%3F",
		"file:":                     "want a path",
		"s3://b?no_such=x":          "no_such",
		"s3://a b":                  "invalid URL",
		"blobstore_test.go":         "is a file: want a folder",
		"blobstore_test.go/x":       "not a directory",
		"azblob://box?no_such=true": "no_such",
	} {
		s, err := Open(t.Context(), location)
		if _, ok := errors.AsType[*Error](err); !ok || !strings.Contains(err.Error(), want) || s != nil || !strings.Contains(err.Error(), location) {
			t.Errorf("%q: %v; want %q", location, err, want)
		}
	}
	dir := t.TempDir()
	for location, want := range map[string]string{
		"file:///a%20b%3F": "/a b?", "file:a/b": "a/b", "FILE://localhost/x": "/x", "a:b": "a:b", "./s3:x": "./s3:x", dir: dir,
	} {
		if got, err := LocalPath(location); err != nil || got != want || IsBucket(location) {
			t.Errorf("%s: %s, %v; want %s", location, got, err, want)
		}
	}
	for _, location := range []string{"s3://b", "gs://b/x", "azblob://b", "mem://x", "http://x"} {
		if got, err := LocalPath(location); err == nil || !IsBucket(location) {
			t.Errorf("%s: %s", location, got)
		}
	}
}

func TestTemporaryNames(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		dir := rapid.SampledFrom([]string{"", "a/", "a/.b/"}).Draw(t, "dir")
		base := rapid.StringMatching(`(?s)[^/\x00]{1,300}`).Draw(t, "base")
		name := filepath.ToSlash(newTempName(dir + base))
		rest, ok := strings.CutPrefix(name, dir)
		if !ok || !isTemporary(name) || len(rest) > maxNameBytes || isTemporary(base) || name == filepath.ToSlash(newTempName(dir+base)) {
			t.Fatalf("%q for %q", name, dir+base)
		}
	})
	for _, name := range []string{"", "a", ".a.tmp", ".a.0123456789abcde.tmp", "a.0123456789abcdef.tmp", ".a.0123456789abcdef.tmp/x", ".a.0123456789abcdeF.tmp"} {
		if isTemporary(name) {
			t.Errorf("%q", name)
		}
	}
}
