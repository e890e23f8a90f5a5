package source

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// write writes files, each with its name for its text unless one is given, as in "a.jpg=text".
func write(t testing.TB, dir string, names ...string) {
	t.Helper()
	for _, name := range names {
		name, text, ok := strings.Cut(name, "=")
		if !ok {
			text = name
		}
		path := filepath.Join(dir, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o777), os.WriteFile(path, []byte(text), 0o666)); err != nil {
			t.Fatal(err)
		}
	}
}

func open(t testing.TB, place string, o Options) *Source {
	t.Helper()
	s, err := Open(t.Context(), place, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// all is the source's pictures, and the error that their listing ended with.
func all(t testing.TB, s *Source) (pictures []Picture, err error) {
	t.Helper()
	for p, e := range s.Pictures(t.Context()) {
		if err != nil {
			t.Fatalf("%v came after %v", p, err)
		}
		if err = e; err == nil {
			pictures = append(pictures, p)
		}
	}
	return pictures, err
}

func files0(pictures []Picture) (names []string) {
	for _, p := range pictures {
		names = append(names, p.File)
	}
	return names
}

// wantFiles checks what is listed, and that each has its name for its text.
func wantFiles(t testing.TB, s *Source, want ...string) {
	t.Helper()
	pictures, err := all(t, s)
	if got := files0(pictures); err != nil || !slices.Equal(got, want) {
		t.Errorf("got %q, %v\nwant %q", got, err, want)
	}
	for _, p := range pictures {
		if data, err := s.Read(t.Context(), p, 1000); err != nil || string(data) != p.File {
			t.Errorf("%q: %q, %v", p.File, data, err)
		}
	}
}

func TestFolder(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "b.jpg", "a/z.png", "a/A.TIFF", "a.jpg", "a-b/c.webp", "a/b/c/d.bmp", "ü é.JPEG", "new\nline.jpg",
		"notes.txt", "a/x", ".hidden.jpg", ".git/x.jpg", "a/._b.jpg", "A.jpg")
	s := open(t, dir, Options{})
	wantFiles(t, s, "A.jpg", "a-b/c.webp", "a.jpg", "a/A.TIFF", "a/b/c/d.bmp", "a/z.png", "b.jpg", "new\nline.jpg", "ü é.JPEG")
	wantFiles(t, open(t, "file://"+filepath.ToSlash(dir), Options{Exclude: []string{"a", "new*"}}), "A.jpg", "a-b/c.webp", "a.jpg", "b.jpg", "ü é.JPEG")
	if s.Kind() != "folder" || s.String() != dir {
		t.Error(s.Kind(), s)
	}
	for range s.Pictures(t.Context()) {
		break
	}
}
