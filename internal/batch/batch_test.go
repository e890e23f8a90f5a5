package batch

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
	"pgregory.net/rapid"

	"github.com/proposer/proposer/internal/batch/blobstore"
	"github.com/proposer/proposer/internal/batch/source"
	"github.com/proposer/proposer/internal/testutil/filetree"
)

// numbered is a source of n images whose bytes are their numbers. Every seventh cannot be read.
type numbered struct {
	n    int
	read func(i int) error // an error instead of the bytes, if not nil
}

func (s *numbered) Images(ctx context.Context) iter.Seq2[source.Image, error] {
	return func(yield func(source.Image, error) bool) {
		for i := range s.n {
			if !yield(source.Image{File: fmt.Sprintf("%d\n\xff.jpg", i), ID: fmt.Sprint(i)}, ctx.Err()) {
				return
			}
		}
	}
}

var errUnreadable = errors.New("cannot be read")

func (s *numbered) Read(_ context.Context, p source.Image, _ int64) ([]byte, error) {
	var i int
	if _, err := fmt.Sscanf(p.File, "%d\n\xff.jpg", &i); err != nil || fmt.Sprint(i) != p.ID {
		return nil, fmt.Errorf("%q is no image of the source", p.File)
	}
	if s.read != nil {
		if err := s.read(i); err != nil {
			return nil, err
		}
	}
	if i%7 == 3 {
		return nil, errUnreadable
	}
	return fmt.Append(nil, i), nil
}

func (s *numbered) String() string { return "test images" }

// lines writes an item a line.
type lines struct{ w io.Writer }

func (l lines) Write(item string) error {
	_, err := io.WriteString(l.w, item+"\n")
	return err
}

func (l lines) Close() error {
	_, err := io.WriteString(l.w, "end\n")
	return err
}

// readLines reads what lines writes.
func readLines(r io.Reader) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		text, err := io.ReadAll(r)
		if err != nil {
			yield("", err)
			return
		}
		all := strings.Split(strings.TrimSuffix(string(text), "end\n"), "\n")
		for _, line := range all[:len(all)-1] {
			if !yield(line, nil) {
				return
			}
		}
	}
}

func task(merged bool) Task[string] {
	t := Task[string]{
		Name: "things", Format: "lines", Settings: map[string]string{"a": "1"},
		Weight: func(data []byte) (int64, error) { return 10, nil },
		Process: func(_ context.Context, p source.Image, data []byte) (string, Stats, error) {
			if string(data) != p.ID {
				return "", Stats{}, fmt.Errorf("the bytes are %q", data)
			}
			if len(data)%3 == 2 {
				runtime.Gosched() // so that images finish out of order
			}
			return "did " + p.ID, Stats{Boxes: len(data), Decode: 1, Search: 2}, nil
		},
		Failed: func(p source.Image, reason string) string { return "no " + p.ID + ": " + reason },
		Output: Output[string]{Extension: ".txt", Writer: func(w io.Writer) Writer[string] { return lines{w} }},
	}
	if merged {
		t.Merged = &Merged[string]{Extension: ".all", Writer: t.Writer, Read: readLines}
	}
	return t
}

// outputs are the kinds of outputs.
var outputs = map[string]func() Task[string]{
	"shards":      func() Task[string] { return task(false) },
	"merged":      func() Task[string] { return task(true) },
	"image files": fileTask,
}

// fileTask writes a file for each image, but for images 10, 17, 24 …, which fail.
func fileTask() Task[string] {
	t := task(false)
	t.Output = Output[string]{Files: &ImageFiles[string]{
		Name: func(img source.Image) string { return fmt.Sprintf("%c/../%s/%s.txt", img.ID[0], img.ID[:1], img.File) },
		Encode: func(item string) ([]byte, error) {
			if strings.HasPrefix(item, "no ") && !strings.HasPrefix(item, "no 3:") {
				return nil, nil
			}
			return []byte(item), nil
		},
	}}
	return t
}

func open(t testing.TB, dir string) blobstore.Store {
	t.Helper()
	s, err := blobstore.Open(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func undisturbed(t testing.TB, job Job, task Task[string]) map[string]string {
	t.Helper()
	dir := t.TempDir()
	job.Store, job.Index, job.Count = open(t, dir), 0, 1
	if _, err := Run(t.Context(), job, task); err != nil {
		t.Fatal(err)
	}
	return filetree.Read(t, dir)
}

func TestRunWritesShards(t *testing.T) { testRun(t, false) }
func TestRunMergesShards(t *testing.T) { testRun(t, true) }

func testRun(t *testing.T, merged bool) {
	dir := t.TempDir()
	counts := new(counts)
	job := Job{Source: &numbered{n: 25}, Store: open(t, dir), Version: "v1", ShardSize: 10, Workers: 3, Observer: counts}
	s, err := Run(t.Context(), job, task(merged))
	if err != nil {
		t.Fatal(err)
	}
	if s.Images != 25 || s.Done != 25 || s.Failed != 4 || s.AllFailed != 4 || s.Shards != 3 || !s.Finished || s.Skipped != 0 ||
		s.Boxes != 9+2*12 || s.Seconds <= 0 || s.DecodeSeconds != 21e-9 || s.SearchSeconds != 42e-9 || s.Workers != 3 {
		t.Errorf("got %+v", s)
	}
	if c := counts.String(); c != "25 of 0, 3 of 0 shards; 25 images, 4 failed, 3 shards" {
		t.Errorf("observer: got %s", c)
	}
	files := filetree.Read(t, dir)
	var want strings.Builder
	for i := range 25 {
		if i%7 == 3 {
			fmt.Fprintf(&want, "no %d: cannot be read\n", i)
		} else {
			fmt.Fprintf(&want, "did %d\n", i)
		}
	}
	all := []string{"failures.jsonl", "job.json", "manifest.json", "pictures.index", "pictures.jsonl", "shards/000000.json", "shards/000001.json", "shards/000002.json"}
	if merged {
		all = append(all, "shards/000000.txt", "shards/000001.txt", "shards/000002.txt", "things.all")
		if files["things.all"] != want.String()+"end\n" {
			t.Errorf("things.all: got %q", files["things.all"])
		}
	} else {
		all = append(all, "things-000000.txt", "things-000001.txt", "things-000002.txt")
		text := strings.ReplaceAll(files["things-000000.txt"]+files["things-000001.txt"]+files["things-000002.txt"], "end\n", "")
		if text != want.String() {
			t.Errorf("shards: got %q, want %q", text, want.String())
		}
	}
	slices.Sort(all)
	if names := slices.Sorted(maps.Keys(files)); !slices.Equal(names, all) {
		t.Errorf("got files %q, want %q", names, all)
	}
	if f := files["failures.jsonl"]; strings.Count(f, "\n") != 4 || !strings.HasPrefix(f, "{\"file\":\"3\\n\ufffd.jpg\",\"id\":\"3\",\"error\":\"cannot be read\"}\n") {
		t.Errorf("failures.jsonl: got %q", f)
	}
	var m Manifest
	if err := json.Unmarshal([]byte(files["manifest.json"]), &m); err != nil || m.Images != 25 || m.Failed != 4 || m.Boxes != 33 ||
		len(m.Shards) != 3 || m.Shards[2].Images != 5 || m.Shards[1].Failures != nil || m.Version != "v1" || merged != (m.File == "things.all") {
		t.Errorf("manifest: got %+v (%v)", m, err)
	}

	// A second run has nothing to do and changes nothing, but removes temporary files.
	f, err := job.Store.Create(t.Context(), "summary.json")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(f.Abort)
	s, err = Run(t.Context(), job, task(merged))
	if err != nil || s.Done != 0 || s.Skipped != 25 || s.AllFailed != 4 || !s.Finished {
		t.Errorf("second run: got %+v (%v), want nothing done", s, err)
	}
	filetree.Equal(t, "second run", filetree.Read(t, dir), files)
}

// counts is an Observer that counts its calls.
type counts struct {
	mu                                                    sync.Mutex
	images, done                                          int64
	shards, shardsDone, seenImages, seenFailed, seenShard int
}

func (c *counts) Begin(images, done int64, shards, shardsDone int) {
	c.images, c.done, c.shards, c.shardsDone = images, done, shards, shardsDone
}

func (c *counts) ImageDone(_ source.Image, _ Stats, failure string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.seenImages++
	if failure != "" {
		c.seenFailed++
	}
}

func (c *counts) ShardDone() { c.seenShard++ }

func (c *counts) String() string {
	return fmt.Sprintf("%d of %d, %d of %d shards; %d images, %d failed, %d shards",
		c.images, c.done, c.shards, c.shardsDone, c.seenImages, c.seenFailed, c.seenShard)
}

var errBroken = errors.New("broken")

// breaking is a store that fails permanently after a number of operations.
type breaking struct {
	blobstore.Store
	left *atomic.Int64
}

func (b breaking) fail() error {
	if b.left.Add(-1) < 0 {
		return errBroken
	}
	return nil
}

func (b breaking) file(f blobstore.File, err error) (blobstore.File, error) {
	if err == nil {
		err = b.fail()
	}
	if err != nil {
		if f != nil {
			f.Abort()
		}
		return nil, err
	}
	return breakingFile{f, b}, nil
}

func (b breaking) Create(ctx context.Context, name string) (blobstore.File, error) {
	return b.file(b.Store.Create(ctx, name))
}

func (b breaking) CreateNew(ctx context.Context, name string) (blobstore.File, error) {
	return b.file(b.Store.CreateNew(ctx, name))
}

func (b breaking) Open(ctx context.Context, name string) (io.ReadCloser, int64, error) {
	if err := b.fail(); err != nil {
		return nil, 0, err
	}
	return b.Store.Open(ctx, name)
}

func (b breaking) OpenRange(ctx context.Context, name string, offset, length int64) (io.ReadCloser, error) {
	if err := b.fail(); err != nil {
		return nil, err
	}
	return b.Store.OpenRange(ctx, name, offset, length)
}

type breakingFile struct {
	blobstore.File
	b breaking
}

func (f breakingFile) Write(p []byte) (int, error) {
	if err := f.b.fail(); err != nil {
		n, _ := f.File.Write(p[:len(p)/2])
		return n, err
	}
	return f.File.Write(p)
}

func (f breakingFile) Commit() error {
	if err := f.b.fail(); err != nil {
		f.Abort()
		return err
	}
	return f.File.Commit()
}

// A run that fails at any point can be resumed, on any number of machines, and the files are those of
// an undisturbed run.
func TestResumeAfterFailureAnywhere(t *testing.T) {
	base := Job{Source: &numbered{n: 41}, ShardSize: 6, Version: "v1"}
	want := map[string]map[string]string{}
	for output, task := range outputs {
		want[output] = undisturbed(t, base, task())
	}
	rapid.Check(t, func(rt *rapid.T) {
		output := rapid.SampledFrom(slices.Sorted(maps.Keys(outputs))).Draw(rt, "output")
		task := outputs[output]
		dir, err := os.MkdirTemp("", "batch")
		if err != nil {
			rt.Fatal(err)
		}
		defer os.RemoveAll(dir)
		store := open(t, dir)
		parts := rapid.IntRange(1, 4).Draw(rt, "parts")
		for part := range parts {
			for attempt := 0; ; attempt++ {
				job := base
				job.Index, job.Count, job.Workers = part, parts, rapid.IntRange(1, 5).Draw(rt, "workers")
				job.Pixels = rapid.Int64Range(1, 40).Draw(rt, "pixels")
				var left atomic.Int64
				left.Store(1 << 40)
				job.Store = breaking{store, &left}
				ctx, cancel := context.WithCancel(t.Context())
				wants := func(error) bool { return false }
				at := rapid.IntRange(0, 50).Draw(rt, "at")
				if attempt < 4 {
					switch rapid.SampledFrom([]string{"none", "storage", "cancel", "unavailable"}).Draw(rt, "how") {
					case "storage":
						left.Store(int64(at))
						wants = func(err error) bool {
							_, ok := errors.AsType[*StorageError](err)
							return ok && errors.Is(err, errBroken)
						}
					case "cancel":
						job.Source = &numbered{41, func(i int) error {
							if i == at {
								cancel()
							}
							return nil
						}}
						wants = func(err error) bool { return errors.Is(err, context.Canceled) }
					case "unavailable":
						job.Source = &numbered{41, func(i int) error {
							if i == at {
								return &source.UnavailableError{Location: "test images", Err: io.EOF}
							}
							return nil
						}}
						wants = func(err error) bool {
							_, ok := errors.AsType[*source.UnavailableError](err)
							return ok
						}
					}
				}
				_, err := Run(ctx, job, task())
				cancel()
				if err == nil {
					break
				}
				if !wants(err) {
					rt.Fatalf("attempt %d: %v", attempt, err)
				}
			}
		}
		if parts > 1 {
			if _, err := Finalize(t.Context(), store, task().Output); err != nil {
				rt.Fatal(err)
			}
		}
		filetree.Equal(rt, fmt.Sprint(parts, " parts"), filetree.Read(rt, dir), want[output])
	})
}

func TestConcurrentRunsShareOneList(t *testing.T) {
	base := Job{Source: &numbered{n: 60}, ShardSize: 7}
	want := undisturbed(t, base, task(true))
	dir := t.TempDir()
	var wg sync.WaitGroup
	for part := range 4 {
		wg.Go(func() {
			job := base
			job.Store, job.Index, job.Count = open(t, dir), part, 4
			if s, err := Run(t.Context(), job, task(true)); err != nil || s.Finished {
				t.Errorf("part %d: %v, %+v", part, err, s)
			}
		})
	}
	wg.Wait()
	if _, err := Finalize(t.Context(), open(t, dir), task(true).Output); err != nil {
		t.Fatal(err)
	}
	filetree.Equal(t, "four concurrent runs", filetree.Read(t, dir), want)
}

var buckets atomic.Int64

// A bucket contains the same files as a folder, and runs resume in it.
func TestRunToBucket(t *testing.T) {
	base := Job{Source: &numbered{n: 60}, ShardSize: 7}
	want := undisturbed(t, base, task(true))
	place := fmt.Sprintf("mem://%d/to", buckets.Add(1))
	store := open(t, place)
	for part := range 2 {
		job := base
		job.Store, job.Index, job.Count = store, part, 2
		if _, err := Run(t.Context(), job, task(true)); err != nil {
			t.Fatal(err)
		}
	}
	base.Store = open(t, place)
	s, err := Run(t.Context(), base, task(true))
	if err != nil || s.Done != 0 || !s.Finished {
		t.Errorf("%v, %+v", err, s)
	}
	got := map[string]string{}
	for e, err := range store.List(t.Context(), "") {
		if err != nil {
			t.Fatal(err)
		}
		r, _, err := store.Open(t.Context(), e.Name)
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(r)
		if err := errors.Join(err, r.Close()); err != nil {
			t.Fatal(err)
		}
		got[e.Name] = string(text)
	}
	filetree.Equal(t, "in a bucket", got, want)
}

func TestImportFromOtherStores(t *testing.T) {
	base := Job{Source: &numbered{n: 60}, ShardSize: 7}
	want := undisturbed(t, base, task(true))
	dirs := []string{t.TempDir(), t.TempDir(), t.TempDir()}
	for part, dir := range dirs {
		job := base
		job.Store, job.Index, job.Count = open(t, dir), part, len(dirs)
		if _, err := Run(t.Context(), job, task(true)); err != nil {
			t.Fatal(err)
		}
	}
	dir := t.TempDir()
	store := open(t, dir)
	_, err := Finalize(t.Context(), open(t, dirs[1]), task(true).Output)
	if e, ok := errors.AsType[*UnfinishedError](err); !ok || e.Shards != 9 || !slices.Equal(e.Missing, []int{0, 2, 3, 5, 6, 8}) {
		t.Errorf("%v", err)
	}
	for range 2 {
		for _, from := range dirs {
			if err := Import(t.Context(), store, open(t, from)); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := Finalize(t.Context(), store, task(true).Output); err != nil {
			t.Fatal(err)
		}
		filetree.Equal(t, "imported", filetree.Read(t, dir), want)
	}

	other := base
	other.Source, other.Store = &numbered{n: 61}, open(t, t.TempDir())
	if _, err := Run(t.Context(), other, task(true)); err != nil {
		t.Fatal(err)
	}
	if e, ok := errors.AsType[*ConfigMismatchError](Import(t.Context(), store, other.Store)); !ok || len(e.Changes) != 1 || e.Changes[0].Name != "images" {
		t.Errorf("%v", e)
	}
}

func TestRunRejectsOtherSettings(t *testing.T) {
	dir := t.TempDir()
	job := Job{Source: &numbered{n: 9}, Store: open(t, dir), Version: "v1", ShardSize: 4}
	if _, err := Run(t.Context(), job, task(false)); err != nil {
		t.Fatal(err)
	}
	files := filetree.Read(t, dir)
	for want, change := range map[string]func(j *Job, t *Task[string]){
		`version was "v1" and is "v2"`:              func(j *Job, _ *Task[string]) { j.Version = "v2" },
		`shard-size was "4" and is "5"`:             func(j *Job, _ *Task[string]) { j.ShardSize = 5 },
		`format was "lines" and is "x"`:             func(_ *Job, t *Task[string]) { t.Format = "x" },
		`a was "1" and is "2", b was "" and is "3"`: func(_ *Job, t *Task[string]) { t.Settings = map[string]string{"a": "2", "b": "3"} },
		`a was "1" and is ""`:                       func(_ *Job, t *Task[string]) { t.Settings = nil },
	} {
		j, k := job, task(false)
		change(&j, &k)
		_, err := Run(t.Context(), j, k)
		if e, ok := errors.AsType[*ConfigMismatchError](err); !ok || !strings.Contains(e.Error(), "different settings ("+want+"): use the same settings or another output location") {
			t.Errorf("%v, want %s", err, want)
		}
	}
	filetree.Equal(t, "after rejected runs", filetree.Read(t, dir), files)
}

// Truncated or missing files are written again; intact shards are kept.
func TestRunRepairsDamage(t *testing.T) {
	for name, damage := range map[string]func(dir string) error{
		"shard cut":    func(dir string) error { return os.Truncate(filepath.Join(dir, "shards/000001.txt"), 5) },
		"shard lost":   func(dir string) error { return os.Remove(filepath.Join(dir, "shards/000001.txt")) },
		"record cut":   func(dir string) error { return os.Truncate(filepath.Join(dir, "shards/000001.json"), 5) },
		"record empty": func(dir string) error { return os.Truncate(filepath.Join(dir, "shards/000001.json"), 0) },
		"record lost":  func(dir string) error { return os.Remove(filepath.Join(dir, "shards/000001.json")) },
		"record's number": func(dir string) error {
			return os.Rename(filepath.Join(dir, "shards/000002.json"), filepath.Join(dir, "shards/000001.json"))
		},
		"manifest lost":    func(dir string) error { return os.Remove(filepath.Join(dir, "manifest.json")) },
		"merged file cut":  func(dir string) error { return os.Truncate(filepath.Join(dir, "things.all"), 3) },
		"merged file lost": func(dir string) error { return os.Remove(filepath.Join(dir, "things.all")) },
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			job := Job{Source: &numbered{n: 30}, Store: open(t, dir), ShardSize: 10}
			if _, err := Run(t.Context(), job, task(true)); err != nil {
				t.Fatal(err)
			}
			want := filetree.Read(t, dir)
			if err := damage(dir); err != nil {
				t.Fatal(err)
			}
			if s, err := Run(t.Context(), job, task(true)); err != nil || s.Done > 20 {
				t.Errorf("got %+v (%v), want at most 20 images done", s, err)
			}
			filetree.Equal(t, name, filetree.Read(t, dir), want)
		})
	}
}

func TestFinalizeChecksShardsDespiteManifest(t *testing.T) {
	dir := t.TempDir()
	job := Job{Source: &numbered{n: 30}, Store: open(t, dir), ShardSize: 10}
	if _, err := Run(t.Context(), job, task(false)); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(dir, "things-000001.txt")); err != nil {
		t.Fatal(err)
	}
	_, err := Finalize(t.Context(), job.Store, task(false).Output)
	if e, ok := errors.AsType[*DamagedError](err); !ok || e.File != "things-000001.txt" {
		t.Errorf("got %v, want a *DamagedError of things-000001.txt", err)
	}
}

func TestRunReportsDamagedPlanAndList(t *testing.T) {
	for _, file := range []string{"job.json", "pictures.index", "pictures.jsonl"} {
		t.Run(file, func(t *testing.T) {
			dir := t.TempDir()
			job := Job{Source: &numbered{n: 30}, Store: open(t, dir), ShardSize: 10, Retry: true}
			if _, err := Run(t.Context(), job, task(true)); err != nil {
				t.Fatal(err)
			}
			if err := os.Truncate(filepath.Join(dir, file), 11); err != nil {
				t.Fatal(err)
			}
			if _, err := Run(t.Context(), job, task(true)); err == nil || !strings.Contains(err.Error(), file) {
				t.Errorf("got %v, want an error that names the file", err)
			}
		})
	}
}

func TestRetryRepeatsFailedShards(t *testing.T) {
	dir := t.TempDir()
	flaky := &numbered{n: 30, read: func(i int) error {
		if i == 15 {
			return errUnreadable
		}
		return nil
	}}
	job := Job{Source: flaky, Store: open(t, dir), ShardSize: 3}
	if s, err := Run(t.Context(), job, task(false)); err != nil || s.Failed != 5 {
		t.Fatalf("%v, %+v", err, s)
	}
	job.Source, job.Retry = &numbered{n: 30}, true
	s, err := Run(t.Context(), job, task(false))
	if err != nil || s.Done != 12 || s.Failed != 4 || s.AllFailed != 4 {
		t.Errorf("%v, %+v", err, s)
	}
	job.Retry = false
	filetree.Equal(t, "after retry", filetree.Read(t, dir), undisturbed(t, job, task(false)))
}

func TestPanicFailsOneImage(t *testing.T) {
	dir := t.TempDir()
	k := task(false)
	do := k.Process
	k.Process = func(ctx context.Context, p source.Image, data []byte) (string, Stats, error) {
		if p.ID == "5" {
			panic("at the image")
		}
		return do(ctx, p, data)
	}
	s, err := Run(t.Context(), Job{Source: &numbered{n: 9}, Store: open(t, dir)}, k)
	if err != nil || s.Failed != 2 || !strings.Contains(filetree.Read(t, dir)["failures.jsonl"], "panic: at the image") {
		t.Errorf("%v, %+v", err, s)
	}
}

func TestRunWithoutImages(t *testing.T) {
	dir := t.TempDir()
	_, err := Run(t.Context(), Job{Source: &numbered{}, Store: open(t, dir)}, task(false))
	if !errors.Is(err, ErrNoImages) || len(filetree.Read(t, dir)) > 0 {
		t.Errorf("%v, %q", err, filetree.Read(t, dir))
	}
	if _, err := Finalize(t.Context(), open(t, dir), task(false).Output); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%v", err)
	}
	// With more runs than shards, some have nothing to do.
	if s, err := Run(t.Context(), Job{Source: &numbered{n: 3}, Store: open(t, dir), Index: 5, Count: 9}, task(false)); err != nil || s.Images != 0 || s.Finished {
		t.Errorf("%v, %+v", err, s)
	}
}

func TestRunRejectsInvalidJobs(t *testing.T) {
	for _, job := range []Job{
		{Index: 1, Count: 1},
		{Index: -1, Count: 2},
		{Count: -1},
		{ShardSize: -1},
		{ShardSize: MaxShardSize + 1},
		{Workers: -1},
		{Pixels: -1},
	} {
		job.Source, job.Store = &numbered{n: 1}, open(t, t.TempDir())
		if _, err := Run(t.Context(), job, task(false)); err == nil || !strings.Contains(err.Error(), "want") {
			t.Errorf("%+v: %v", job, err)
		}
	}
}

func TestPixelsBoundConcurrentWeight(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var current, peak atomic.Int64
		k := task(false)
		k.Weight = func(data []byte) (int64, error) { return int64(len(data)) * 10, nil }
		process := k.Process
		k.Process = func(ctx context.Context, img source.Image, data []byte) (string, Stats, error) {
			weight := int64(len(data)) * 10
			n := current.Add(weight)
			for old := peak.Load(); n > old && !peak.CompareAndSwap(old, n); {
				old = peak.Load()
			}
			time.Sleep(time.Duration(1+rand.IntN(200)) * time.Microsecond) // of the bubble's clock
			current.Add(-weight)
			return process(ctx, img, data)
		}
		if _, err := Run(t.Context(), Job{Source: &numbered{n: 200}, Store: open(t, t.TempDir()), Workers: 8, Pixels: 45}, k); err != nil {
			t.Fatal(err)
		}
		if got := peak.Load(); got > 45 || got < 30 {
			t.Errorf("got %d concurrent pixels, want 30 to 45", got)
		}
	})
}

// While the first image is in progress, the number of items that wait to be written is bounded by the
// window, not by the number of images.
func TestFinishedItemsAreBounded(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	const workers = 2
	var processed, written, peak atomic.Int64
	windowFull := make(chan struct{})
	k := task(false)
	process := k.Process
	k.Process = func(ctx context.Context, img source.Image, data []byte) (string, Stats, error) {
		if img.ID == "0" {
			<-windowFull
		}
		return process(ctx, img, data)
	}
	k.Writer = func(w io.Writer) Writer[string] { return countingWriter{lines{w}, &written} }
	finished := func(source.Image, Stats, string) {
		n := processed.Add(1)
		if n == window {
			close(windowFull)
		}
		n -= written.Load()
		for old := peak.Load(); n > old && !peak.CompareAndSwap(old, n); {
			old = peak.Load()
		}
	}
	job := Job{
		Source: &numbered{n: 2000}, Store: open(t, t.TempDir()), Workers: workers, ShardSize: 100,
		Observer: observerFunc(finished),
	}
	if _, err := Run(t.Context(), job, k); err != nil {
		t.Fatal(err)
	}
	if got, limit := peak.Load(), int64(window+workers+1); got < window || got > limit {
		t.Errorf("got %d items waiting, want %d to %d", got, window, limit)
	}
}

// observerFunc is an Observer of images only.
type observerFunc func(img source.Image, s Stats, failure string)

func (observerFunc) Begin(int64, int64, int, int) {}

func (f observerFunc) ImageDone(img source.Image, s Stats, failure string) { f(img, s, failure) }

func (observerFunc) ShardDone() {}

// countingWriter counts the items written.
type countingWriter struct {
	Writer[string]
	n *atomic.Int64
}

func (w countingWriter) Write(item string) error {
	w.n.Add(1)
	return w.Writer.Write(item)
}

func TestWriterErrorIsNotAStorageError(t *testing.T) {
	k := task(false)
	k.Writer = func(w io.Writer) Writer[string] { return refusing{} }
	_, err := Run(t.Context(), Job{Source: &numbered{n: 3}, Store: open(t, t.TempDir())}, k)
	if _, ok := errors.AsType[*StorageError](err); ok || !errors.Is(err, errBroken) {
		t.Errorf("%v", err)
	}
}

type refusing struct{}

func (refusing) Write(string) error { return errBroken }
func (refusing) Close() error       { return nil }

func FuzzDamagedDocuments(f *testing.F) {
	dir := f.TempDir()
	if _, err := Run(context.Background(), Job{Source: &numbered{n: 5}, Store: open(f, dir), ShardSize: 3}, task(true)); err != nil {
		f.Fatal(err)
	}
	want := filetree.Read(f, dir)
	for _, name := range []string{"job.json", "pictures.jsonl", "shards/000000.json", "manifest.json"} {
		f.Add(name, []byte(want[name]))
	}
	f.Fuzz(func(t *testing.T, name string, text []byte) {
		if _, ok := want[name]; !ok || !strings.Contains(name, ".json") {
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
		_, err := Run(t.Context(), Job{Source: &numbered{n: 5}, Store: open(t, dir), ShardSize: 3}, task(true))
		if err == nil && !bytes.Equal(text, []byte(want[name])) && name == "job.json" {
			var p Plan
			if json.Unmarshal(text, &p) != nil || p.Hash != p.computeHash() {
				t.Errorf("job.json %q was accepted", text)
			}
		}
	})
}
