// Package filetree reads and compares all files below a folder.
package filetree

import (
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"pgregory.net/rapid"
)

// Read returns the contents of the files below a folder, by path with slashes relative to it, except
// those whose names begin with a prefix in skip.
func Read(t rapid.TB, dir string, skip ...string) map[string]string {
	t.Helper()
	contents := map[string]string{}
	err := fs.WalkDir(os.DirFS(dir), ".", func(name string, d fs.DirEntry, err error) error {
		skipped := func(prefix string) bool { return strings.HasPrefix(d.Name(), prefix) }
		if err != nil || d.IsDir() || slices.ContainsFunc(skip, skipped) {
			return err
		}
		text, err := os.ReadFile(filepath.Join(dir, filepath.FromSlash(name)))
		contents[name] = string(text)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return contents
}

// Equal fails the test unless got has the files of want with the same contents.
func Equal(t rapid.TB, what string, got, want map[string]string) {
	t.Helper()
	for _, name := range slices.Sorted(maps.Keys(want)) {
		if text, ok := got[name]; !ok {
			t.Errorf("%s: %s is missing", what, name)
		} else if text != want[name] {
			t.Errorf("%s: %s (%d bytes) is\n%.300q\nwant (%d bytes)\n%.300q", what, name, len(text), text, len(want[name]), want[name])
		}
	}
	for _, name := range slices.Sorted(maps.Keys(got)) {
		if _, ok := want[name]; !ok {
			t.Errorf("%s: unexpected file %s", what, name)
		}
	}
}
