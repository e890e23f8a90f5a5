package safefs

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"pgregory.net/rapid"
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
	outside := makeTree(t, "f", "sub/g", "sub/again -> ..", "other -> OTHER/deep").Name()
	other := makeTree(t, "deep/h", "deep/back -> OUTSIDE/sub").Name()
	for link, target := range map[string]string{filepath.Join(outside, "other"): filepath.Join(other, "deep"), filepath.Join(other, "deep/back"): outside} {
		if err := errors.Join(os.Remove(link), os.Symlink(target, link)); err != nil {
			t.Fatal(err)
		}
	}
	root := makeTree(t, "a/1", "a/2", "a.b", "b/skipped/3", "b/4", "c -> a", "b/up -> ..", "a/twice -> ../b", "file -> a.b", "none -> /does/not/exist",
		"top -> ..", "out -> "+outside, "out2 -> "+outside+"/sub", "out.f -> "+outside+"/f", "z/nested -> "+outside+"/sub/g", "zz -> z")
	inside := []string{"a.b", "a/1", "a/2", "a/twice/4", "a/twice/skipped/3", "b/4", "c/1", "c/2", "file", "none"}
	for _, c := range []struct {
		name          string
		follow        bool
		want, leftOut []string
	}{
		{"inside", false, inside, []string{"out.f", "out/", "out2/", "z/nested", "zz/nested"}},
		{"everywhere", true, slices.Concat(inside, []string{
			"out.f", "out/f", "out/other/h", "out/sub/g", "out2/g",
			"z/nested", "zz/nested",
		}), nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			var got, leftOut []string
			opts := WalkOptions{
				Skip:        func(name string) bool { return name == "b/skipped/" },
				FollowLinks: c.follow,
				LeftOut:     func(name string) { leftOut = append(leftOut, name) },
			}
			for name, err := range Walk(t.Context(), root, opts) {
				if err != nil {
					t.Fatal(err)
				}
				got = append(got, name)
			}
			slices.Sort(leftOut)
			if !slices.Equal(got, c.want) || !slices.Equal(leftOut, c.leftOut) {
				t.Errorf("got %q, want %q\nleft out %q, want %q", got, c.want, leftOut, c.leftOut)
			}
		})
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

// Folders of which each has two links to the next are not listed once for each path to them.
func TestWalkOfManyLinksIsBounded(t *testing.T) {
	outside := t.TempDir()
	const folders = 40
	for i := range folders {
		dir := filepath.Join(outside, strconv.Itoa(i))
		next := filepath.Join(outside, strconv.Itoa(i+1))
		err := errors.Join(os.Mkdir(dir, 0o777), os.WriteFile(filepath.Join(dir, "x"), nil, 0o600),
			os.Symlink(next, filepath.Join(dir, "a")), os.Symlink(next, filepath.Join(dir, "b")))
		if err != nil {
			t.Fatal(err)
		}
	}
	root := makeTree(t, "in -> "+filepath.Join(outside, "0"))
	files := 0
	for name, err := range Walk(t.Context(), root, WalkOptions{FollowLinks: true}) {
		if err != nil {
			t.Fatal(err)
		}
		if strings.HasSuffix(name, "x") {
			files++
		}
	}
	if files != folders {
		t.Errorf("got %d files, want each of %d once", files, folders)
	}
}

// What Walk yields can be opened, what it leaves out leads outside, and nothing is yielded twice.
func TestWalkYieldsWhatCanBeOpened(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		top, err := os.MkdirTemp(t.TempDir(), "")
		if err != nil {
			rt.Fatal(err)
		}
		paths := []string{"in", "in/a", "in/a/b", "in/c", "out", "out/d", "out/d/e"}
		for _, path := range paths {
			err := errors.Join(os.Mkdir(filepath.Join(top, path), 0o777), os.WriteFile(filepath.Join(top, path, "f"), nil, 0o600))
			if err != nil {
				rt.Fatal(err)
			}
		}
		for i := range rapid.IntRange(0, 8).Draw(rt, "links") {
			link := filepath.Join(rapid.SampledFrom(paths).Draw(rt, "folder"), strconv.Itoa(i))
			target := rapid.SampledFrom(append([]string{"in/f", "in/a/f", "out/f", "out/d/f", "in/0", "out/1", "none", ""}, paths...)).Draw(rt, "target")
			target = filepath.Join(top, target)
			if rapid.Bool().Draw(rt, "relative") {
				if target, err = filepath.Rel(filepath.Join(top, filepath.Dir(link)), target); err != nil {
					rt.Fatal(err)
				}
			}
			if err := os.Symlink(target, filepath.Join(top, link)); err != nil {
				rt.Fatal(err)
			}
		}
		root, err := os.OpenRoot(filepath.Join(top, "in"))
		if err != nil {
			rt.Fatal(err)
		}
		defer root.Close()

		walk := func(follow bool) (names, leftOut []string) {
			opts := WalkOptions{FollowLinks: follow, LeftOut: func(name string) { leftOut = append(leftOut, name) }}
			for name, err := range Walk(t.Context(), root, opts) {
				if err != nil {
					rt.Fatal(err)
				}
				names = append(names, name)
			}
			if !slices.IsSorted(names) || len(slices.Compact(slices.Clone(names))) != len(names) {
				rt.Errorf("not in order, or repeated: %q", names)
			}
			return names, leftOut
		}
		inside, leftOut := walk(false)
		for _, name := range inside {
			if _, err := StatIn(root, name); errors.Is(err, ErrOutside) {
				rt.Errorf("%s is yielded: %v", name, err)
			}
		}
		for _, name := range leftOut {
			if _, err := StatIn(root, strings.TrimSuffix(name, "/")); !errors.Is(err, ErrOutside) {
				rt.Errorf("%s is left out: %v", name, err)
			}
		}
		everywhere, none := walk(true)
		if len(none) > 0 {
			rt.Errorf("left out %q in spite of FollowLinks", none)
		}
		for _, name := range inside {
			if !slices.Contains(everywhere, name) {
				rt.Errorf("%s is yielded only without FollowLinks", name)
			}
		}
	})
}
