package blobstore

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/proposer/proposer/internal/safefs"
	"github.com/proposer/proposer/internal/testutil/faultfs"
)

// What a killed program leaves behind is not listed, and goes when it is old.
func TestFilesOfKilledProgram(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	put(t, s, "a/b", "1")
	f, err := s.Create(t.Context(), "a/b")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Write(make([]byte, 1<<20)); err != nil {
		t.Fatal(err)
	}
	// Here it is killed.
	left, err := filepath.Glob(filepath.Join(dir, "a", ".b.*.tmp"))
	if err != nil || len(left) != 1 || !isTemporary(filepath.ToSlash(left[0])) {
		t.Fatal(left, err)
	}
	again := open(t, dir)
	if got := list(t, again, ""); !slices.Equal(got, []string{"a/b"}) || get(t, again, "a/b") != "1" {
		t.Errorf("%q", got)
	}
	name := "a/" + filepath.Base(left[0])
	_, _, opened := again.Open(t.Context(), name)
	_, created := again.Create(t.Context(), name)
	for _, err := range []error{opened, created, again.Remove(t.Context(), name)} {
		if !errors.Is(err, ErrName) {
			t.Error(err)
		}
	}
	old := time.Now().Add(-2 * time.Hour)
	if err := os.Chtimes(left[0], old, old); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		age  time.Duration
		left bool
	}{{3 * time.Hour, true}, {time.Hour, false}} {
		if err := again.Sweep(t.Context(), c.age); err != nil {
			t.Error(err)
		}
		if _, err := os.Stat(left[0]); (err == nil) != c.left {
			t.Errorf("older than %v: %v", c.age, err)
		}
	}
	if got := get(t, again, "a/b"); got != "1" {
		t.Errorf("swept %q", got)
	}
}

func wantUnavailable(t *testing.T, location string, err error) {
	t.Helper()
	if e, ok := errors.AsType[*UnavailableError](err); !ok || e.Location != location || !strings.Contains(err.Error(), location+" is no longer available: ") {
		t.Errorf("got %v, want an UnavailableError of %s", err, location)
	}
}

// A removed or replaced folder is neither an empty store nor recreated.
func TestFolderRemovedOrReplaced(t *testing.T) {
	for name, replace := range map[string]func(dir string) error{
		"removed":  os.RemoveAll,
		"moved":    func(dir string) error { return os.Rename(dir, dir+"2") },
		"replaced": func(dir string) error { return errors.Join(os.Rename(dir, dir+"2"), os.Mkdir(dir, 0o777)) },
		// The new one may get the number of the old one.
		"recreated": func(dir string) error { return errors.Join(os.RemoveAll(dir), os.Mkdir(dir, 0o777)) },
		"file":      func(dir string) error { return errors.Join(os.RemoveAll(dir), os.WriteFile(dir, nil, 0o666)) },
	} {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "x")
			s := open(t, dir)
			put(t, s, "a", "1")
			f, err := s.Create(t.Context(), "b")
			if err != nil {
				t.Fatal(err)
			}
			defer f.Abort()
			if err := replace(dir); err != nil {
				t.Fatal(err)
			}
			wantUnavailable(t, dir, s.Check(t.Context()))
			wantUnavailable(t, dir, f.Commit())
			_, err = s.Create(t.Context(), "c")
			wantUnavailable(t, dir, err)
			for _, err := range s.List(t.Context(), "") {
				wantUnavailable(t, dir, err)
			}
			if name != "moved" && name != "replaced" {
				_, _, err = s.Open(t.Context(), "a")
				wantUnavailable(t, dir, err)
				wantUnavailable(t, dir, s.Remove(t.Context(), "a"))
			}
			if left, _ := os.ReadDir(dir); len(left) > 0 {
				t.Errorf("%v was written to another folder", left)
			}
		})
	}
	missing := open(t, filepath.Join(t.TempDir(), "x"))
	if err := missing.Check(t.Context()); !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
	if _, _, err := missing.Open(t.Context(), "a"); !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
}

func TestIrregularFilesAreNotOpened(t *testing.T) {
	dir, outside := t.TempDir(), t.TempDir()
	s := open(t, dir)
	put(t, s, "folder/a", "1")
	put(t, open(t, outside), "secret", "2")
	for link, target := range map[string]string{
		"in": "folder/a", "absolute": filepath.Join(dir, "folder/a"), "dangling": "nowhere", "loop": "loop",
		"out": filepath.Join(outside, "secret"), "up": "../" + filepath.Base(outside) + "/secret", "tree": outside,
	} {
		if err := os.Symlink(target, filepath.Join(dir, link)); err != nil {
			t.Fatal(err)
		}
	}
	if err := syscall.Mkfifo(filepath.Join(dir, "pipe"), 0o666); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]error{
		"folder": safefs.ErrNotRegular, "pipe": safefs.ErrNotRegular, "dangling": fs.ErrNotExist, "loop": syscall.ELOOP,
		"out": safefs.ErrOutside, "up": nil, "tree": safefs.ErrOutside, "tree/secret": safefs.ErrOutside, "folder/a/b": syscall.ENOTDIR,
	} {
		_, _, err := s.Open(t.Context(), name)
		if e, ok := errors.AsType[*Error](err); !ok || e.Name != name || want != nil && !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", name, err, want)
		}
	}
	for _, name := range []string{"in", "absolute"} {
		if got := get(t, s, name); got != "1" {
			t.Errorf("%s: %q", name, got)
		}
	}
	if got, want := list(t, s, ""), []string{"absolute", "folder/a", "in"}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	for _, name := range []string{"folder", "folder/a/b", "tree/new", strings.Repeat("x", 256)} {
		if _, err := s.Create(t.Context(), name); err == nil {
			t.Errorf("%s could be created", name)
		}
	}
	if err := s.Remove(t.Context(), "folder"); !errors.Is(err, safefs.ErrNotRegular) {
		t.Error(err)
	}
	if _, err := os.Stat(filepath.Join(outside, "new")); err == nil {
		t.Error("written outside")
	}
}

// A full disk is an error, leaves no temporary file, and works again when space is freed.
func TestDiskFull(t *testing.T) {
	dir := t.TempDir()
	faultfs.MountTmpfs(t, dir, "256k")
	s := open(t, dir)
	defer s.Close()
	put(t, s, "a", "kept")
	f, err := s.Create(t.Context(), "b")
	if err != nil {
		t.Fatal(err)
	}
	for range 8 {
		if _, err = f.Write(make([]byte, 64<<10)); err != nil {
			break
		}
	}
	if err == nil {
		err = f.Commit()
	}
	f.Abort()
	if !errors.Is(err, syscall.ENOSPC) || !strings.Contains(err.Error(), dir+": b: no space left on device: free some space") {
		t.Error(err)
	}
	if left, err := os.ReadDir(dir); len(left) != 1 || err != nil {
		t.Error(left, err)
	}
	put(t, s, "b", strings.Repeat("x", 100<<10))
	if get(t, s, "a") != "kept" {
		t.Error("what was there is lost")
	}
}

// A disk that is unmounted leaves an empty folder.
func TestUnmountedDisk(t *testing.T) {
	dir := t.TempDir()
	disk := faultfs.MountTmpfs(t, dir, "256k")
	s := open(t, dir)
	put(t, s, "a", "1")
	disk.Unmount()
	wantUnavailable(t, dir, s.Check(t.Context()))
	_, err := s.Create(t.Context(), "b")
	wantUnavailable(t, dir, err)
	if left, err := os.ReadDir(dir); len(left) != 0 || err != nil {
		t.Error(left, err)
	}
}

func TestMissingPermission(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	put(t, s, "a", "1")
	put(t, s, "closed/b", "2")
	if err := errors.Join(os.Chmod(filepath.Join(dir, "a"), 0), os.Chmod(filepath.Join(dir, "closed"), 0), os.Chmod(dir, 0o555),
		os.Chmod(filepath.Dir(dir), 0o755)); err != nil {
		t.Fatal(err)
	}
	defer os.Chmod(filepath.Join(dir, "closed"), 0o777)
	faultfs.AsNobody(t, func() {
		_, _, opened := s.Open(t.Context(), "a")
		_, created := s.Create(t.Context(), "c")
		var listed error
		for _, err := range s.List(t.Context(), "") {
			listed = err
		}
		for name, err := range map[string]error{"a": opened, "c": created, "closed": listed} {
			if !errors.Is(err, fs.ErrPermission) || !strings.Contains(err.Error(), dir+": "+name+": permission denied: want a folder with read and write permission") {
				t.Errorf("%s: %v", name, err)
			}
		}
	})
}

// Errors of the service are distinguished from missing objects.
func TestBucketErrors(t *testing.T) {
	location := fakeS3(t)
	for _, c := range []struct{ place, id, want string }{
		{location, "other", "want permission to list, read and write: credentials come from AWS_ACCESS_KEY_ID"},
		{strings.Replace(location, "s3://bucket", "s3://nobucket", 1), "id", "no such bucket"},
		{"s3://bucket?region=us-east-1&use_path_style=true&endpoint=http://127.0.0.1:1", "id", "connection refused"},
		{"s3://bucket", "id", "the region from AWS_REGION or ?region="},
		{"s3://bucket?region=us-east-1", "", "credentials come from AWS_ACCESS_KEY_ID"},
	} {
		t.Setenv("AWS_ACCESS_KEY_ID", c.id)
		s, err := Open(t.Context(), c.place)
		if e, ok := errors.AsType[*Error](err); !ok || e.Location != c.place || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "\n") || s != nil {
			t.Errorf("%s: %v, want %q", c.place, err, c.want)
		}
	}
	t.Setenv("AWS_ACCESS_KEY_ID", "id")
	s := open(t, location)
	put(t, s, "a", "1")
	for _, name := range []string{"a//b", "//", "a/"} {
		if _, _, err := s.Open(t.Context(), name); err == nil || name == "a//b" && !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: %v", name, err)
		}
	}
	stopS3()
	wantUnavailable(t, s.String(), s.Check(t.Context()))
}
