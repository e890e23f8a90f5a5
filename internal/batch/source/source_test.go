package source

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/proposer/proposer/dataset"
	"github.com/proposer/proposer/internal/batch/blobstore"
	"github.com/proposer/proposer/internal/imageio"
	"github.com/proposer/proposer/internal/safefs"
	"github.com/proposer/proposer/internal/testutil/faultfs"
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

func open(t testing.TB, location string, o Options) *Source {
	t.Helper()
	s, err := Open(t.Context(), location, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// all returns the images of a source, and the error that ended the listing.
func all(t testing.TB, s *Source) (images []Image, err error) {
	t.Helper()
	for p, e := range s.Images(t.Context()) {
		if err != nil {
			t.Fatalf("%v came after %v", p, err)
		}
		if err = e; err == nil {
			images = append(images, p)
		}
	}
	return images, err
}

func fileNames(images []Image) (names []string) {
	for _, p := range images {
		names = append(names, p.File)
	}
	return names
}

// wantFiles checks what is listed, and that each has its name for its text.
func wantFiles(t testing.TB, s *Source, want ...string) {
	t.Helper()
	images, err := all(t, s)
	if got := fileNames(images); err != nil || !slices.Equal(got, want) {
		t.Errorf("got %q, %v\nwant %q", got, err, want)
	}
	for _, p := range images {
		if data, err := s.Read(t.Context(), p, 1000); err != nil || string(data) != p.File {
			t.Errorf("%q: %q, %v", p.File, data, err)
		}
	}
}

func TestFolderOrder(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "b.jpg", "a/z.png", "a/A.TIFF", "a.jpg", "a-b/c.webp", "a/b/c/d.bmp", "a/e.GIF", "ü é.JPEG", "new\nline.jpg",
		"notes.txt", "a/x", ".hidden.jpg", ".git/x.jpg", "a/._b.jpg", "A.jpg")
	s := open(t, dir, Options{})
	wantFiles(t, s, "A.jpg", "a-b/c.webp", "a.jpg", "a/A.TIFF", "a/b/c/d.bmp", "a/e.GIF", "a/z.png", "b.jpg", "new\nline.jpg", "ü é.JPEG")
	wantFiles(t, open(t, "file://"+filepath.ToSlash(dir), Options{Exclude: []string{"a", "new*"}}), "A.jpg", "a-b/c.webp", "a.jpg", "b.jpg", "ü é.JPEG")
	if s.Kind() != "folder" || s.String() != dir {
		t.Error(s.Kind(), s)
	}
	if s := open(t, filepath.Join(dir, "a")+"/../", Options{}); s.String() != dir {
		t.Error(s) // an option of a batch, which is the same
	}
	for range s.Images(t.Context()) {
		break
	}
}

func TestSymbolicLinks(t *testing.T) {
	dir, outside := t.TempDir(), t.TempDir()
	write(t, outside, "far.jpg", "sub/far.jpg")
	write(t, dir, "a/x.jpg", "b/y.jpg", "b/c/z.jpg")
	for link, target := range map[string]string{
		"a/to-b":          "../b",
		"b/to-a":          filepath.Join(dir, "a"), // each leads to the other
		"b/c/up":          "..",                    // a loop
		"b/c/top":         dir,
		"a/self":          ".",
		"file.jpg":        "a/x.jpg",
		"absolute.jpg":    filepath.Join(dir, "b/y.jpg"),
		"out.jpg":         filepath.Join(outside, "far.jpg"),
		"out":             outside,
		"dangling.jpg":    "nowhere.jpg",
		"out-and-in.jpg":  "../" + filepath.Base(dir) + "/a/x.jpg",
		"folder-like.jpg": "b",
		"loop.jpg":        "loop.jpg",
	} {
		if err := os.Symlink(target, filepath.Join(dir, link)); err != nil {
			t.Fatal(err)
		}
	}
	location := filepath.Join(t.TempDir(), "source") // is a link itself
	if err := os.Symlink(dir, location); err != nil {
		t.Fatal(err)
	}
	inside := map[string]any{
		"a/to-b/c/z.jpg": "b/c/z.jpg", "a/to-b/y.jpg": "b/y.jpg", "a/x.jpg": "a/x.jpg",
		"absolute.jpg": "b/y.jpg", "b/c/z.jpg": "b/c/z.jpg", "b/to-a/x.jpg": "a/x.jpg", "b/y.jpg": "b/y.jpg",
		"dangling.jpg": fs.ErrNotExist, "file.jpg": "a/x.jpg", "folder-like.jpg/c/z.jpg": "b/c/z.jpg", "folder-like.jpg/y.jpg": "b/y.jpg",
		"loop.jpg": syscall.ELOOP, "out-and-in.jpg": "a/x.jpg",
	}
	everywhere := maps.Clone(inside)
	maps.Copy(everywhere, map[string]any{"out.jpg": "far.jpg", "out/far.jpg": "far.jpg", "out/sub/far.jpg": "sub/far.jpg"})
	for _, c := range []struct {
		name    string
		o       Options
		want    map[string]any
		leftOut string
	}{
		{"inside", Options{}, inside, "2, out.jpg"},
		{"excluded", Options{Exclude: []string{"out", "none"}}, inside, "1, out.jpg"},
		{"everywhere", Options{Data: dataset.Options{FollowLinks: true}}, everywhere, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			leftOut := ""
			c.o.LeftOut = func(links int, first string) { leftOut += fmt.Sprintf("%d, %s", links, first) }
			s := open(t, location, c.o)
			got, err := all(t, s)
			if err != nil || len(got) != len(c.want) || leftOut != c.leftOut {
				t.Errorf("%q, %v, left out %s, want %s", fileNames(got), err, leftOut, c.leftOut)
			}
			for _, p := range got {
				data, err := s.Read(t.Context(), p, 100)
				switch want := c.want[p.File].(type) {
				case string:
					if string(data) != want || err != nil {
						t.Errorf("%s: %q, %v; want %q", p.File, data, err, want)
					}
				case error:
					wantError(t, err, p.File, want)
				default:
					t.Errorf("%s is listed", p.File)
				}
			}
			for _, file := range []string{"../x", "/etc/passwd", "a/../../x"} {
				if _, err := s.Read(t.Context(), Image{File: file}, 1<<20); err == nil {
					t.Errorf("%s was read", file)
				}
			}
			if c.o.Data.FollowLinks {
				return
			}
			_, err = s.Read(t.Context(), Image{File: "out.jpg"}, 100)
			wantError(t, err, "out.jpg", safefs.ErrOutside)
			if !strings.Contains(err.Error(), "use --follow-links") {
				t.Error(err)
			}
		})
	}
}

// wantError checks that an error concerns one image only.
func wantError(t testing.TB, err error, file string, want error) {
	t.Helper()
	if e, ok := errors.AsType[*Error](err); !ok || e.File != file || !errors.Is(err, want) {
		t.Errorf("%v: want one of %s that is %v", err, file, want)
	}
}

func wantUnavailable(t testing.TB, s *Source, err error) {
	t.Helper()
	if e, ok := errors.AsType[*UnavailableError](err); !ok || e.Location != s.String() {
		t.Errorf("got %v, want an UnavailableError of %s", err, s)
	}
}

// Unreadable images fail without retries, individually and without allocating memory.
func TestUnreadableImages(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "good.jpg", "closed.jpg", "folder.d/x")
	if err := errors.Join(syscall.Mkfifo(filepath.Join(dir, "pipe.jpg"), 0o666), os.WriteFile(filepath.Join(dir, "large.jpg"), nil, 0o666),
		os.Truncate(filepath.Join(dir, "large.jpg"), 1<<30)); err != nil {
		t.Fatal(err)
	}
	listing := filepath.Join(t.TempDir(), "x.list")
	names := []string{"good.jpg", "pipe.jpg", "large.jpg", "folder.d", "none.jpg"}
	var lines strings.Builder
	for _, name := range append(names, "/dev/zero") {
		if !filepath.IsAbs(name) {
			name = filepath.Join(dir, name)
		}
		fmt.Fprintln(&lines, name)
	}
	if err := os.WriteFile(listing, []byte(lines.String()), 0o666); err != nil {
		t.Fatal(err)
	}
	for location, prefix := range map[string]string{dir: "", listing: filepath.ToSlash(dir) + "/"} {
		s := open(t, location, Options{})
		for file, want := range map[string]error{
			prefix + "pipe.jpg": safefs.ErrNotRegular, prefix + "folder.d": safefs.ErrNotRegular, prefix + "none.jpg": fs.ErrNotExist,
		} {
			_, err := s.Read(t.Context(), Image{File: file}, 100)
			wantError(t, err, file, want)
		}
		_, err := s.Read(t.Context(), Image{File: prefix + "large.jpg"}, 64<<20)
		if e, ok := errors.AsType[*imageio.LimitError](err); !ok || *e != (imageio.LimitError{What: "bytes", Got: 1 << 30, Max: 64 << 20}) {
			t.Error(err)
		}
		if data, err := s.Read(t.Context(), Image{File: prefix + "good.jpg"}, 8); err != nil || string(data) != "good.jpg" {
			t.Errorf("%q, %v", data, err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := s.Read(ctx, Image{File: prefix + "good.jpg"}, 8); !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
		for _, err := range s.Images(ctx) {
			if !errors.Is(err, context.Canceled) {
				t.Error(err)
			}
		}
	}
	s := open(t, listing, Options{})
	_, err := s.Read(t.Context(), Image{File: "/dev/zero"}, 100)
	wantError(t, err, "/dev/zero", safefs.ErrNotRegular)
	s = open(t, dir, Options{})
	for _, file := range []string{"../x", "/etc/passwd", "a/../../x"} {
		if _, err := s.Read(t.Context(), Image{File: file}, 1<<20); err == nil {
			t.Errorf("%s was read", file)
		}
	}
}

func TestMissingPermission(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "a.jpg", "closed/b.jpg", "closed.jpg")
	if err := errors.Join(os.Chmod(filepath.Join(dir, "closed"), 0), os.Chmod(filepath.Join(dir, "closed.jpg"), 0), os.Chmod(filepath.Dir(dir), 0o755)); err != nil {
		t.Fatal(err)
	}
	defer os.Chmod(filepath.Join(dir, "closed"), 0o777)
	faultfs.AsNobody(t, func() {
		s := open(t, dir, Options{})
		got, err := all(t, s)
		wantError(t, err, "closed", fs.ErrPermission)
		if !slices.Equal(fileNames(got), []string{"a.jpg", "closed.jpg"}) || !strings.Contains(err.Error(), "permission denied: grant read permission") {
			t.Errorf("%q, %v", fileNames(got), err)
		}
		_, err = s.Read(t.Context(), Image{File: "closed.jpg"}, 100)
		wantError(t, err, "closed.jpg", fs.ErrPermission)
		got, err = all(t, open(t, dir, Options{Exclude: []string{"closed/**"}}))
		if !slices.Equal(fileNames(got), []string{"a.jpg", "closed.jpg"}) || err != nil {
			t.Errorf("%q, %v", fileNames(got), err)
		}
	})
}

// A missing source is distinguished from a missing image.
func TestSourceRemovedOrReplaced(t *testing.T) {
	for name, replace := range map[string]func(dir string) error{
		"removed":  os.RemoveAll,
		"replaced": func(dir string) error { return errors.Join(os.Rename(dir, dir+"2"), os.Mkdir(dir, 0o777)) },
		// The new one may get the number of the old one.
		"recreated": func(dir string) error { return errors.Join(os.RemoveAll(dir), os.Mkdir(dir, 0o777)) },
	} {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "x")
			write(t, dir, "a.jpg", "b.jpg", "list.txt=a.jpg")
			folder, list := open(t, dir, Options{}), open(t, filepath.Join(dir, "list.txt"), Options{})
			if err := os.Remove(filepath.Join(dir, "b.jpg")); err != nil {
				t.Fatal(err)
			}
			for _, s := range []*Source{folder, list} {
				_, err := s.Read(t.Context(), Image{File: "b.jpg"}, 100)
				wantError(t, err, "b.jpg", fs.ErrNotExist)
			}
			if err := replace(dir); err != nil {
				t.Fatal(err)
			}
			for _, s := range []*Source{folder, list} {
				_, err := s.Read(t.Context(), Image{File: "b.jpg"}, 100)
				wantUnavailable(t, s, err)
				got, err := all(t, s)
				wantUnavailable(t, s, err)
				if len(got) != 0 {
					t.Errorf("lists %q", fileNames(got))
				}
			}
		})
	}
}

// A disk below the folder that is unmounted leaves a folder that is empty, and of the same name.
func TestUnmountedDisk(t *testing.T) {
	dir := t.TempDir()
	disk := filepath.Join(dir, "disk")
	write(t, dir, "a.jpg", "disk/under.jpg")
	mounted := faultfs.MountTmpfs(t, disk, "256k")
	write(t, disk, "sub/b.jpg", "sub/c.jpg")
	if err := os.WriteFile(filepath.Join(dir, "all.txt"), []byte(disk+"/sub/b.jpg\n"+disk+"/sub/c.jpg\n"), 0o666); err != nil {
		t.Fatal(err)
	}
	folder, list := open(t, dir, Options{}), open(t, filepath.Join(dir, "all.txt"), Options{})
	for s, prefix := range map[*Source]string{folder: "disk/", list: filepath.ToSlash(disk) + "/"} {
		if _, err := s.Read(t.Context(), Image{File: prefix + "sub/b.jpg"}, 100); err != nil {
			t.Fatal(err)
		}
	}
	// A removed folder is not an unmounted disk.
	if err := os.RemoveAll(filepath.Join(disk, "sub")); err != nil {
		t.Fatal(err)
	}
	_, err := folder.Read(t.Context(), Image{File: "disk/sub/c.jpg"}, 100)
	wantError(t, err, "disk/sub/c.jpg", fs.ErrNotExist)
	mounted.Unmount()
	for s, prefix := range map[*Source]string{folder: "disk/", list: filepath.ToSlash(disk) + "/"} {
		_, err := s.Read(t.Context(), Image{File: prefix + "sub/c.jpg"}, 100)
		wantUnavailable(t, s, err)
	}
}

// Listing goes on while the folder changes: what is there all the time is listed once, in order.
func TestFolderChangesWhileListed(t *testing.T) {
	dir := t.TempDir()
	var want []string
	for i := range 40 {
		for j := range 5 {
			want = append(want, fmt.Sprintf("%02d/stays-%d.jpg", i, j))
		}
	}
	write(t, dir, want...)
	for i := range 40 {
		write(t, dir, fmt.Sprintf("%02d-goes/x/y.jpg", i), fmt.Sprintf("%02d/goes.jpg", i))
	}
	stop, changed := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(changed)
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			case <-time.After(50 * time.Microsecond):
			}
			at := i % 40
			os.RemoveAll(filepath.Join(dir, fmt.Sprintf("%02d-goes", at)))
			os.Remove(filepath.Join(dir, fmt.Sprintf("%02d/goes.jpg", at)))
			os.WriteFile(filepath.Join(dir, fmt.Sprintf("%02d/comes-%d.jpg", at, i)), nil, 0o666)
			os.Mkdir(filepath.Join(dir, fmt.Sprintf("%02d-comes-%d", at, i)), 0o777)
		}
	}()
	s := open(t, dir, Options{})
	for range 3 {
		images, err := all(t, s)
		names := fileNames(images)
		if err != nil || !slices.IsSorted(names) || len(slices.Compact(slices.Clone(names))) != len(names) {
			t.Errorf("%v; in order: %v", err, slices.IsSorted(names))
		}
		if got := slices.DeleteFunc(names, func(name string) bool { return !strings.Contains(name, "stays") }); !slices.Equal(got, want) {
			t.Errorf("got %d of the images that were not changed, want %d", len(got), len(want))
		}
	}
	close(stop)
	<-changed
}

// A listing needs the memory of its largest folder, not of all names.
func TestListingMemory(t *testing.T) {
	if testing.Short() {
		t.Skip("makes 20,000 files")
	}
	dir := t.TempDir()
	const folders, each = 200, 100
	for i := range folders {
		sub := filepath.Join(dir, fmt.Sprintf("%02d/%02d", i/20, i%20))
		if err := os.MkdirAll(sub, 0o777); err != nil {
			t.Fatal(err)
		}
		for j := range each {
			if err := os.WriteFile(filepath.Join(sub, fmt.Sprintf("an image with a name that is not short %03d.jpg", j)), nil, 0o666); err != nil {
				t.Fatal(err)
			}
		}
	}
	s := open(t, dir, Options{})
	heap := func() uint64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	before, most := heap(), uint64(0)
	var start, end runtime.MemStats
	runtime.ReadMemStats(&start)
	n := 0
	for _, err := range s.Images(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		if n++; n%2500 == 0 {
			most = max(most, heap())
		}
	}
	runtime.ReadMemStats(&end)
	if n != folders*each {
		t.Errorf("got %d images, want %d", n, folders*each)
	}
	if most > before+1<<20 { // all names take twice that
		t.Errorf("got %d KiB in use, want those of one folder", (most-before)>>10)
	}
	if bytes := (end.TotalAlloc - start.TotalAlloc) / uint64(n); bytes > 1000 {
		t.Errorf("got %d bytes allocated per image, want at most 1000", bytes)
	}
}

func TestConcurrentReads(t *testing.T) {
	dir := t.TempDir()
	var names []string
	for i := range 50 {
		names = append(names, fmt.Sprintf("%d/%02d.jpg", i%5, i))
	}
	write(t, dir, names...)
	for _, s := range []*Source{open(t, dir, Options{}), open(t, makeTar(t, names...), Options{}), open(t, makeBucket(t, names...), Options{})} {
		images, err := all(t, s)
		if err != nil || len(images) != 50 {
			t.Fatal(len(images), err)
		}
		var readers sync.WaitGroup
		for range 8 {
			readers.Go(func() {
				for _, p := range images {
					if data, err := s.Read(t.Context(), p, 100); err != nil || string(data) != p.File {
						t.Errorf("%s: %q, %v", p.File, data, err)
					}
				}
			})
		}
		readers.Wait()
	}
}

// stub is a source that fails a number of times.
type stub struct {
	backend
	fails int
	err   error
	gone  error
	reads int
}

func (s *stub) read(context.Context, Image, int64) ([]byte, error) {
	if s.reads++; s.reads <= s.fails {
		return nil, s.err
	}
	return []byte("x"), nil
}

func (s *stub) list(context.Context, selection) iter.Seq2[Image, error] {
	return func(yield func(Image, error) bool) { yield(Image{}, s.err) }
}

func (s *stub) check(context.Context) error { return s.gone }
func (s *stub) retryable(err error) bool    { return (*dirFiles)(nil).retryable(err) }

func TestTransientErrorsAreRetried(t *testing.T) {
	unavailable := errors.New("no answer")
	for name, c := range map[string]struct {
		stub
		reads int
		want  error
	}{
		"transient":               {stub{fails: 3, err: &fs.PathError{Err: syscall.ESTALE}}, 4, nil},
		"permanent":               {stub{fails: 9, err: syscall.EIO}, 4, syscall.EIO},
		"source unavailable":      {stub{fails: 9, err: syscall.EIO, gone: unavailable}, 4, unavailable},
		"missing":                 {stub{fails: 9, err: fs.ErrNotExist}, 1, fs.ErrNotExist},
		"missing with its source": {stub{fails: 9, err: fs.ErrNotExist, gone: unavailable}, 1, unavailable},
		"larger than the limit":   {stub{fails: 9, err: &imageio.LimitError{What: "bytes"}, gone: unavailable}, 1, nil},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := &Source{location: "here", backend: &c.stub}
				_, err := s.Read(t.Context(), Image{File: "a"}, 1)
				if c.want != nil && !errors.Is(err, c.want) || c.stub.reads != c.reads {
					t.Errorf("got %v after %d reads, want %v after %d", err, c.stub.reads, c.want, c.reads)
				}
				if c.want == unavailable {
					wantUnavailable(t, s, err)
					_, err := all(t, s)
					wantUnavailable(t, s, err)
				}
			})
		})
	}
}

func TestReadEndsWithContextBeforeRetry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), retryDelays[0]/2)
		defer cancel()
		s := &Source{backend: &stub{fails: 9, err: syscall.EIO}}
		if _, err := s.Read(ctx, Image{}, 1); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v, want context.DeadlineExceeded", err)
		}
	})
}

func TestIncludeAndExclude(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "a.jpg", "b.JPG", "c.dat", "x/a.jpg", "x/y/d.png", "thumbs/a.jpg", "x/thumbs/b.jpg")
	for _, c := range []struct {
		include, exclude []string
		want             []string
	}{
		{nil, nil, []string{"a.jpg", "b.JPG", "thumbs/a.jpg", "x/a.jpg", "x/thumbs/b.jpg", "x/y/d.png"}},
		{[]string{"*.jpg"}, nil, []string{"a.jpg", "thumbs/a.jpg", "x/a.jpg", "x/thumbs/b.jpg"}},
		{[]string{"./*.jpg", "*/a.jpg"}, nil, []string{"thumbs/a.jpg", "x/a.jpg"}},
		{[]string{"x/**"}, nil, []string{"x/a.jpg", "x/thumbs/b.jpg", "x/y/d.png"}},
		{[]string{"**/*.{png,dat}"}, nil, []string{"c.dat", "x/y/d.png"}},
		{nil, []string{"thumbs"}, []string{"a.jpg", "b.JPG", "x/a.jpg", "x/y/d.png"}},
		{nil, []string{"thumbs/**"}, []string{"a.jpg", "b.JPG", "x/a.jpg", "x/thumbs/b.jpg", "x/y/d.png"}},
		{nil, []string{"**/thumbs/**", "[ab].*"}, []string{"x/y/d.png"}},
		{[]string{"x/y/*"}, []string{"x"}, nil},
		{[]string{"*"}, []string{"*.jpg"}, []string{"b.JPG", "c.dat", "x/y/d.png"}},
	} {
		o := Options{Include: c.include, Exclude: c.exclude}
		wantFiles(t, open(t, dir, o), c.want...)
		bucket := makeBucket(t, "a.jpg", "b.JPG", "c.dat", "x/a.jpg", "x/y/d.png", "thumbs/a.jpg", "x/thumbs/b.jpg")
		wantFiles(t, open(t, bucket, o), c.want...)
	}
	for _, pattern := range []string{"", "[", "{a", "a\\"} {
		for _, o := range []Options{{Include: []string{pattern}}, {Exclude: []string{pattern}}} {
			if _, err := Open(t.Context(), dir, o); err == nil || !strings.Contains(err.Error(), fmt.Sprintf("pattern %q: want one as in", pattern)) {
				t.Error(err)
			}
		}
	}
}

// A folder, a list of it, an archive and a bucket contain the same images.
func TestAllKindsReturnSameImages(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		dir, err := os.MkdirTemp(t.TempDir(), "")
		if err != nil {
			rt.Fatal(err)
		}
		used := map[string]bool{} // as a file or as a folder
		var names []string
		for _, name := range rapid.SliceOfN(rapid.StringMatching(`[a.\-ü ]{0,2}[aü](/[a.A]{0,2}b){0,3}\.(jpg|PNG|txt)`), 1, 12).Draw(rt, "names") {
			if !fs.ValidPath(name) || used[name] {
				continue
			}
			used[name] = true
			names = append(names, name)
		}
		write(t, dir, names...)
		slices.Sort(names)
		var want []string
		for _, name := range names {
			if !anyHidden(name) && !strings.HasSuffix(name, ".txt") {
				want = append(want, name)
			}
		}
		folder := open(t, dir, Options{})
		defer folder.Close()
		wantFiles(t, folder, want...)
		packed := open(t, makeTar(t, names...), Options{})
		defer packed.Close()
		wantFiles(t, packed, want...)
		wantFiles(t, open(t, makeBucket(t, names...), Options{}), want...)
		write(t, dir, "all.list="+strings.Join(want, "\n"))
		list := open(t, filepath.Join(dir, "all.list"), Options{})
		defer list.Close()
		wantFiles(t, list, want...)
		if t.Failed() {
			rt.FailNow()
		}
	})
}

func TestOpenErrors(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "a.jpg", "x.tar.gz", "x.TGZ", "y.tar=\x1f\x8b\x08 and so on", "z.zip", "no.json", "list.txt/a.jpg=a.jpg")
	if err := syscall.Mkfifo(filepath.Join(dir, "pipe.txt"), 0o666); err != nil {
		t.Fatal(err)
	}
	unpack := "unpack it into a folder or an uncompressed .tar"
	for location, want := range map[string]string{
		filepath.Join(dir, "a.jpg"):    "want a folder, a list of paths",
		filepath.Join(dir, "pipe.txt"): "want a folder, a list of paths",
		filepath.Join(dir, "x.tar.gz"): unpack,
		filepath.Join(dir, "x.TGZ"):    unpack,
		filepath.Join(dir, "y.tar"):    unpack,
		filepath.Join(dir, "z.zip"):    unpack,
		filepath.Join(dir, "none"):     "no such file or directory",
		filepath.Join(dir, "no.json"):  "want an object with images",
		"mem://x/y.tar":                "copy a list, a data set or an archive to a folder first",
		"http://example.com":           "unknown scheme http",
		"s3://b/x":                     "want it to import internal/batch/blobstore/cloud",
		"":                             "no such file",
		"file://host/x":                "three slashes",
	} {
		s, err := Open(t.Context(), location, Options{})
		if err == nil || s != nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), location) {
			t.Errorf("%s: %v, want %q", location, err, want)
		}
		_, ours := errors.AsType[*Error](err)
		_, storages := errors.AsType[*blobstore.Error](err)
		_, dataset := errors.AsType[*dataset.Error](err)
		if !ours && !storages && !dataset {
			t.Errorf("%s: %T", location, err)
		}
	}
	wantFiles(t, open(t, filepath.Join(dir, "list.txt"), Options{}), "a.jpg") // a folder, though called so
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Open(ctx, dir, Options{}); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

func TestExtensions(t *testing.T) {
	for file, want := range map[string]bool{
		"a.jpeg": true, "a/b.GIF": true, "IMG_1.HEIC": true, "a.avif": true, "a.mov": false, "heic": false, "a.jpg.aae": false,
	} {
		if got := isImage(file); got != want {
			t.Errorf("%s: got %v", file, got)
		}
	}
}
