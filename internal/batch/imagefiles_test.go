package batch

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/proposer/proposer/internal/batch/blobstore"
	"github.com/proposer/proposer/internal/batch/source"
	"github.com/proposer/proposer/internal/testutil/filetree"
)

func TestRunWritesImageFiles(t *testing.T) {
	dir := t.TempDir()
	job := Job{Source: &numbered{n: 25}, Store: open(t, dir), ShardSize: 10, Workers: 3}
	s, err := Run(t.Context(), job, fileTask())
	if err != nil || s.Failed != 4 || s.AllFailed != 4 || !s.Finished {
		t.Fatalf("got %+v (%v), want 4 failures", s, err)
	}
	files := filetree.Read(t, dir)
	for i := range 25 {
		name := fmt.Sprintf("things/%.1s/%d\n\xff.jpg.txt", fmt.Sprint(i), i)
		want := fmt.Sprint("did ", i)
		if i == 3 {
			want = "no 3: cannot be read"
		}
		got, ok := files[name]
		if fails := i%7 == 3 && i != 3; ok == fails || ok && got != want {
			t.Errorf("%q: got %q, want %q", name, got, want)
		}
		delete(files, name)
	}
	want := []string{
		"failures.jsonl", "job.json", "manifest.json", "pictures.index", "pictures.jsonl",
		"shards/000000.json", "shards/000000.jsonl", "shards/000001.json", "shards/000001.jsonl", "shards/000002.json", "shards/000002.jsonl",
	}
	if names := slices.Sorted(maps.Keys(files)); !slices.Equal(names, want) {
		t.Errorf("got other files %q, want %q", names, want)
	}
	line, _, _ := strings.Cut(files["shards/000000.jsonl"], "\n")
	var e fileEntry
	if err := json.Unmarshal([]byte(line), &e); err != nil || e.name() != "things/0/0\n\xff.jpg.txt" || e.ID != "0" || e.Bytes != 5 ||
		e.SHA256 != "f8de682086b2466ee5023bcaa1c7f1be35d6b7f777b749a7eb573fd8da9c034a" {
		t.Errorf("got %+v (%v)", e, err)
	}
	if n := strings.Count(files["shards/000001.jsonl"], `"output"`); n != 8 {
		t.Errorf("got %d files in the second shard, want 8: %s", n, files["shards/000001.jsonl"])
	}
}

// Files that are missing or have another size are found, and their shard is repeated.
func TestRunRepairsImageFiles(t *testing.T) {
	const image = "things/1/12\n\xff.jpg.txt"
	for name, damage := range map[string]func(dir string) error{
		"file cut":       func(dir string) error { return os.Truncate(filepath.Join(dir, image), 2) },
		"file lost":      func(dir string) error { return os.Remove(filepath.Join(dir, image)) },
		"folder lost":    func(dir string) error { return os.RemoveAll(filepath.Join(dir, "things")) },
		"list cut":       func(dir string) error { return os.Truncate(filepath.Join(dir, "shards/000001.jsonl"), 2) },
		"list lost":      func(dir string) error { return os.Remove(filepath.Join(dir, "shards/000001.jsonl")) },
		"list scrambled": func(dir string) error { return scramble(filepath.Join(dir, "shards/000001.jsonl")) },
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			job := Job{Source: &numbered{n: 30}, Store: open(t, dir), ShardSize: 10}
			if _, err := Run(t.Context(), job, fileTask()); err != nil {
				t.Fatal(err)
			}
			want := filetree.Read(t, dir)
			if err := damage(dir); err != nil {
				t.Fatal(err)
			}
			// merge, which cannot repair, reports it despite the manifest.
			_, err := Finalize(t.Context(), job.Store, fileTask().Output)
			if _, ok := errors.AsType[*DamagedError](err); !ok {
				t.Errorf("got %v, want a *DamagedError", err)
			}
			if s, err := Run(t.Context(), job, fileTask()); err != nil || name != "folder lost" && s.Done != 10 {
				t.Errorf("got %+v (%v), want one shard repeated", s, err)
			}
			filetree.Equal(t, name, filetree.Read(t, dir), want)
		})
	}
}

// scramble makes a JSON file invalid without changing its size.
func scramble(name string) error {
	text, err := os.ReadFile(name)
	if err != nil {
		return err
	}
	return os.WriteFile(name, bytes.Replace(text, []byte("{"), []byte("["), 1), 0o600)
}

func TestImportImageFiles(t *testing.T) {
	base := Job{Source: &numbered{n: 60}, ShardSize: 7}
	want := undisturbed(t, base, fileTask())
	dir := t.TempDir()
	for part := range 3 {
		job := base
		job.Store, job.Index, job.Count = open(t, t.TempDir()), part, 3
		if _, err := Run(t.Context(), job, fileTask()); err != nil {
			t.Fatal(err)
		}
		for range 2 {
			if err := Import(t.Context(), open(t, dir), job.Store); err != nil {
				t.Fatal(err)
			}
		}
	}
	if _, err := Finalize(t.Context(), open(t, dir), fileTask().Output); err != nil {
		t.Fatal(err)
	}
	filetree.Equal(t, "imported", filetree.Read(t, dir), want)
}

// A bucket contains the same image files as a folder; their names have to be UTF-8.
func TestImageFilesInBucket(t *testing.T) {
	job := Job{Source: &numbered{n: 20}, ShardSize: 7, Store: open(t, fmt.Sprintf("mem://%d/to", buckets.Add(1)))}
	if _, err := Run(t.Context(), job, fileTask()); err == nil || !strings.Contains(err.Error(), "want UTF-8 in a bucket") {
		t.Errorf("got %v, want an error about UTF-8", err)
	}
	k := fileTask()
	k.Files.Name = func(img source.Image) string { return img.ID }
	want := undisturbed(t, job, k)
	for part := range 2 {
		job.Index, job.Count = part, 2
		if _, err := Run(t.Context(), job, k); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := Finalize(t.Context(), job.Store, k.Output); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for e, err := range job.Store.List(t.Context(), "") {
		if err == nil {
			err = copyFile(t.Context(), open(t, dir), job.Store, e.Name)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	filetree.Equal(t, "in a bucket", filetree.Read(t, dir), want)
}

// A list of another destination cannot name files outside the task's folder.
func TestImportRejectsForeignNames(t *testing.T) {
	for _, name := range []string{"job.json", "things/../job.json", "../x", "/etc/passwd", "things"} {
		t.Run(name, func(t *testing.T) {
			from := open(t, t.TempDir())
			if _, err := Run(t.Context(), Job{Source: &numbered{n: 1}, Store: from, Index: 0, Count: 2}, fileTask()); err != nil {
				t.Fatal(err)
			}
			err := writeFile(t.Context(), from, "shards/000000.jsonl", func(w *fileWriter) error {
				return writeJSON(w, &fileEntry{File: "x", Output: name, Bytes: 1})
			})
			if err != nil {
				t.Fatal(err)
			}
			dir := t.TempDir()
			if err := Import(t.Context(), open(t, dir), from); err == nil {
				t.Error("got no error")
			}
			if _, err := ReadPlan(t.Context(), open(t, dir)); err != nil {
				t.Error(err)
			}
		})
	}
}

// A file of an image that fails when its shard is repeated is removed.
func TestRetryRemovesFilesOfFailedImages(t *testing.T) {
	dir := t.TempDir()
	job := Job{Source: &numbered{n: 20}, Store: open(t, dir), ShardSize: 30}
	if _, err := Run(t.Context(), job, fileTask()); err != nil {
		t.Fatal(err)
	}
	const name = "things/1/12\n\xff.jpg.txt"
	if _, err := os.Stat(filepath.Join(dir, name)); err != nil {
		t.Fatal(err)
	}
	job.Retry = true
	job.Source = &numbered{n: 20, read: func(i int) error {
		if i == 12 {
			return errUnreadable
		}
		return nil
	}}
	if s, err := Run(t.Context(), job, fileTask()); err != nil || s.Failed != 4 {
		t.Errorf("got %+v (%v), want 4 failures", s, err)
	}
	if _, err := os.Stat(filepath.Join(dir, name)); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("got %v, want no file", err)
	}
}

// An error of Encode fails one image.
func TestEncodeErrorFailsOneImage(t *testing.T) {
	k := fileTask()
	encode := k.Files.Encode
	k.Files.Encode = func(item string) ([]byte, error) {
		if item == "did 5" {
			return nil, errBroken
		}
		return encode(item)
	}
	dir := t.TempDir()
	s, err := Run(t.Context(), Job{Source: &numbered{n: 9}, Store: open(t, dir)}, k)
	if failures := filetree.Read(t, dir)["failures.jsonl"]; err != nil || s.Failed != 2 || !strings.Contains(failures, `"id":"5","error":"broken"`) {
		t.Errorf("got %+v (%v), failures %s", s, err, failures)
	}
	k.Files.Encode = func(string) ([]byte, error) { return nil, errBroken }
	if _, err := Run(t.Context(), Job{Source: &numbered{n: 9}, Store: open(t, t.TempDir())}, k); !errors.Is(err, errBroken) {
		t.Errorf("got %v, want the error of Encode for the item of a failed image", err)
	}
}

// named is a source of images with these names and no bytes.
type named []string

func (s named) Images(context.Context) iter.Seq2[source.Image, error] {
	return func(yield func(source.Image, error) bool) {
		for _, name := range s {
			if !yield(source.Image{File: name}, nil) {
				return
			}
		}
	}
}

func (s named) Read(context.Context, source.Image, int64) ([]byte, error) { return nil, nil }

func (s named) String() string { return "named images" }

func TestNamesOfImageFiles(t *testing.T) {
	long := strings.Repeat("n", 252)
	for _, c := range []struct {
		name   string
		images []string
		files  []string // nil if they are rejected
		err    string
	}{
		{"plain", []string{"a.jpg", "d/a.jpg", "a"}, []string{"a.jpg.txt", "a.txt", "d/a.jpg.txt"}, ""},
		{"outside", []string{"../a", "/etc/passwd", "b/../../../c", "./d"}, []string{"a.txt", "c.txt", "d.txt", "etc/passwd.txt"}, ""},
		{"odd", []string{"..", "a b\n", "\xff", "C:\\x", ".hidden/y", "."}, []string{"...txt", "..txt", ".hidden/y.txt", "C:\\x.txt", "a b\n.txt", "\xff.txt"}, ""},
		{"equal", []string{"a", "d/../a"}, nil, `"a" and "d/../a" would both be named "things/a.txt"`},
		{"equal to one outside", []string{"../a", "a"}, nil, `"../a" and "a" would both be named "things/a.txt"`},
		{"file, then folder", []string{"a", "a.txt/b/c"}, nil, `"a" and "a.txt/b/c" would both be named "things/a.txt"`},
		{"folder, then file", []string{"d/e", "a.txt/b/c", "a.txt/b/d", "a"}, nil, `"a.txt/b/c" and "a" would both be named "things/a.txt"`},
		{"too long", []string{long}, nil, "want at most 255 bytes in each part"},
		{"too deep", []string{strings.Repeat("d/", 600)}, nil, "want at most 1024 bytes"},
		{"NUL", []string{"a\x00b"}, nil, "want a name without NUL"},
	} {
		t.Run(c.name, func(t *testing.T) {
			k := fileTask()
			k.Files.Name = func(img source.Image) string { return img.File + ".txt" }
			k.Process = func(context.Context, source.Image, []byte) (string, Stats, error) { return "x", Stats{}, nil }
			above := t.TempDir()
			dir := filepath.Join(above, "dest")
			_, err := Run(t.Context(), Job{Source: named(c.images), Store: open(t, dir)}, k)
			if c.files == nil {
				if err == nil || !strings.Contains(err.Error(), c.err) {
					t.Errorf("got %v, want %s", err, c.err)
				}
				if got := filetree.Read(t, above); len(got) > 0 {
					t.Errorf("got files %q, want none", slices.Collect(maps.Keys(got)))
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for name := range filetree.Read(t, above) {
				name, inside := strings.CutPrefix(name, "dest/")
				if !inside {
					t.Errorf("%q is outside the destination", name)
				}
				if name, ok := strings.CutPrefix(name, "things/"); ok {
					got = append(got, name)
				}
			}
			if slices.Sort(got); !slices.Equal(got, c.files) {
				t.Errorf("got %q, want %q", got, c.files)
			}
		})
	}
}

// Contents that wait for a slow store are bounded.
func TestStoredContentsAreBounded(t *testing.T) {
	release := make(chan struct{})
	var waiting, peak atomic.Int64
	k := fileTask()
	k.Files.Encode = func(string) ([]byte, error) { return make([]byte, storeBytes/4), nil }
	store := slowStore{open(t, fmt.Sprintf("mem://%d", buckets.Add(1))), func() {
		n := waiting.Add(1)
		if n == 4 {
			close(release) // the budget is used up
		}
		<-release
		for old := peak.Load(); n > old && !peak.CompareAndSwap(old, n); {
			old = peak.Load()
		}
		waiting.Add(-1)
	}}
	k.Files.Name = func(img source.Image) string { return img.ID }
	if _, err := Run(t.Context(), Job{Source: &numbered{n: 12}, Store: store, Workers: 6}, k); err != nil {
		t.Fatal(err)
	}
	if got := peak.Load(); got != 4 {
		t.Errorf("got %d contents at the same time, want 4", got)
	}
}

// slowStore calls a function before an image's file is created.
type slowStore struct {
	blobstore.Store
	wait func()
}

func (s slowStore) Create(ctx context.Context, name string) (blobstore.File, error) {
	if strings.HasPrefix(name, "things/") {
		s.wait()
	}
	return s.Store.Create(ctx, name)
}

// A damaged list, or record, of images' files never ends a run with a panic, and what it misses is
// written again.
func FuzzDamagedImageLists(f *testing.F) {
	dir := f.TempDir()
	if _, err := Run(context.Background(), Job{Source: &numbered{n: 5}, Store: open(f, dir), ShardSize: 3}, fileTask()); err != nil {
		f.Fatal(err)
	}
	want := filetree.Read(f, dir)
	for _, name := range []string{"shards/000000.jsonl", "shards/000000.json", "manifest.json"} {
		f.Add(name, []byte(want[name]), false)
		f.Add(name, []byte(want[name]), true)
	}
	f.Fuzz(func(t *testing.T, name string, text []byte, lost bool) {
		if _, ok := want[name]; !ok || !strings.HasPrefix(filepath.Ext(name), ".json") || name == "job.json" {
			return
		}
		dir := t.TempDir()
		for name, text := range want {
			path := filepath.Join(dir, name)
			if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(text), 0o644)); err != nil {
				t.Fatal(err)
			}
		}
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o644); err != nil {
			t.Fatal(err)
		}
		image := filepath.Join(dir, "things/4/4\n\xff.jpg.txt")
		if lost {
			if err := os.Remove(image); err != nil {
				t.Fatal(err)
			}
		}
		_, err := Run(t.Context(), Job{Source: &numbered{n: 5}, Store: open(t, dir), ShardSize: 3}, fileTask())
		if _, statErr := os.Stat(image); err == nil && statErr != nil {
			t.Error(statErr)
		}
	})
}

func FuzzImageFileName(f *testing.F) {
	for _, name := range []string{"a.jpg", "../a", "/", "..", "a/../../b", "a\x00", "a//b", "\xff/.."} {
		f.Add(name)
	}
	f.Fuzz(func(t *testing.T, name string) {
		k := fileTask()
		k.Files.Name = func(img source.Image) string { return img.File }
		got := k.Files.path("things", source.Image{File: name})
		if checkImageFile(name, got, false) != nil {
			return
		}
		if !strings.HasPrefix(got, "things/") || !filepath.IsLocal(got) || filepath.Clean(got) != got {
			t.Errorf("%q: got %q, want a path below things", name, got)
		}
	})
}
