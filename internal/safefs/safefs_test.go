package safefs

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// makeTree creates files, and symbolic links written as "name -> target", in a new folder.
func makeTree(t *testing.T, names ...string) *os.Root {
	t.Helper()
	dir := t.TempDir()
	for _, name := range names {
		name, target, isLink := strings.Cut(name, " -> ")
		path := filepath.Join(dir, name)
		err := os.MkdirAll(filepath.Dir(path), 0o777)
		if err == nil && isLink {
			err = os.Symlink(target, path)
		} else if err == nil {
			err = os.WriteFile(path, []byte(name), 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { root.Close() })
	return root
}

func TestWalkOrderAndLinks(t *testing.T) {
	root := makeTree(t, "a/1", "a/2", "a.b", "b/skipped/3", "b/4", "c -> a", "b/up -> ..", "a/twice -> ../b", "out -> /", "file -> a.b")
	var got []string
	skip := func(name string) bool { return name == "b/skipped/" }
	for name, err := range Walk(t.Context(), root, skip) {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, name)
	}
	want := []string{"a.b", "a/1", "a/2", "a/twice/4", "a/twice/skipped/3", "b/4", "c/1", "c/2", "file"}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestOpenInRefusesWhatIsNotARegularFileInside(t *testing.T) {
	root := makeTree(t, "dir/file", "in -> dir/file", "out -> /etc/hosts")
	if err := syscall.Mkfifo(filepath.Join(root.Name(), "pipe"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]error{
		"dir/file": nil, "in": nil, "dir": ErrNotRegular, "pipe": ErrNotRegular, "out": ErrOutside, "missing": fs.ErrNotExist,
	} {
		t.Run(name, func(t *testing.T) {
			f, info, err := OpenIn(root, name)
			if !errors.Is(err, want) {
				t.Fatalf("got %v, want %v", err, want)
			}
			if _, statErr := StatIn(root, name); !errors.Is(statErr, want) {
				t.Errorf("StatIn: got %v, want %v", statErr, want)
			}
			if want != nil {
				if _, ok := errors.AsType[*fs.PathError](err); !ok {
					t.Errorf("got a %T, want a *fs.PathError", err)
				}
				return
			}
			defer f.Close()
			if text, err := io.ReadAll(f); err != nil || string(text) != "dir/file" || info.Size() != int64(len(text)) {
				t.Errorf("got %q, %d bytes (%v)", text, info.Size(), err)
			}
		})
	}
}

func TestSameFolderAfterReplacement(t *testing.T) {
	root := makeTree(t, "a/file")
	path := filepath.Join(root.Name(), "a")
	open, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer open.Close()
	before, err := open.Stat()
	if err != nil {
		t.Fatal(err)
	}
	if err := SameFolder(path, before); err != nil {
		t.Errorf("unchanged folder: got %v", err)
	}
	if err := os.Rename(path, path+"2"); err != nil {
		t.Fatal(err)
	}
	if err := SameFolder(path, before); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("moved folder: got %v, want fs.ErrNotExist", err)
	}
	if err := os.Mkdir(path, 0o777); err != nil {
		t.Fatal(err)
	}
	if err := SameFolder(path, before); err == nil {
		t.Error("replaced folder: got no error")
	}
}
