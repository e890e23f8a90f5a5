package blobstore

import (
	"bufio"
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"time"
	"unicode/utf8"
)

// folder is a folder. It holds it open from when it is there, so that another folder in its
// place cannot be taken for it.
type folder struct {
	place, path string

	mu   sync.Mutex
	root *os.Root
	info fs.FileInfo
}

func openFolder(place, path string) (Storage, error) {
	d := &folder{place: place, path: path}
	wrong := func(err error) error { return &Error{Place: place, Err: reason(err)} }
	if path == "" {
		return nil, wrong(errors.New("want " + schemes))
	}
	if _, err := d.hold(false); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, wrong(err)
	}
	return d, nil
}

// hold is the folder, which is made if it is missing and was never there.
func (d *folder) hold(create bool) (*os.Root, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.root != nil {
		return d.root, nil
	}
	info, err := os.Stat(d.path) // first: to open a pipe may take for ever
	if create && errors.Is(err, fs.ErrNotExist) {
		if err = makeFolders(d.path, os.Mkdir, syncFolder); err == nil {
			info, err = os.Stat(d.path)
		}
	}
	if err != nil {
		return nil, err
	}
	if !info.IsDir() {
		return nil, errors.New("a file: want " + schemes)
	}
	root, err := os.OpenRoot(d.path)
	if err != nil {
		return nil, err
	}
	if d.info, err = root.Stat("."); err != nil {
		root.Close()
		return nil, err
	}
	d.root = root
	return root, nil
}

// makeFolders makes a folder and those above it, and syncs each that a new one lies in.
func makeFolders(name string, mkdir func(string, fs.FileMode) error, sync func(string) error) error {
	err := mkdir(name, 0o777)
	if errors.Is(err, fs.ErrExist) {
		return nil // what else it may be is told by what is tried next
	}
	up := filepath.Dir(name)
	if errors.Is(err, fs.ErrNotExist) && up != name {
		if err := makeFolders(up, mkdir, sync); err != nil {
			return err
		}
		if err = mkdir(name, 0o777); errors.Is(err, fs.ErrExist) {
			return nil
		}
	}
	if err != nil {
		return err
	}
	return sync(up)
}

func syncFolder(name string) error {
	f, err := os.Open(name)
	return syncOpened(f, err)
}

// syncOpened syncs a folder. Some file systems cannot, and need not.
func syncOpened(f *os.File, err error) error {
	if err != nil {
		return err
	}
	defer f.Close()
	if err := f.Sync(); err != nil && !errors.Is(err, syscall.EINVAL) && !errors.Is(err, errors.ErrUnsupported) {
		return err
	}
	return nil
}

// wrong makes an error of a file out of what the file system says.
func (d *folder) wrong(name string, err error) error {
	if err == nil {
		return nil
	}
	if gone, ok := errors.AsType[*VanishedError](d.alive()); ok {
		return gone
	}
	advice := ""
	switch err = reason(err); {
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		advice = "make room and start the same again, what is finished stays"
	case errors.Is(err, syscall.EROFS), errors.Is(err, fs.ErrPermission):
		advice = "want a folder that this user may read and write"
	case errors.Is(err, syscall.ENAMETOOLONG):
		advice = "want a shorter name"
	}
	if advice != "" {
		err = fmt.Errorf("%w: %s", err, advice)
	}
	return &Error{Place: d.place, Name: name, Err: err}
}

// check refuses names that are none in a folder.
func (d *folder) check(ctx context.Context, name string) error {
	err := ctx.Err()
	if err == nil {
		err = checkName(name)
	}
	if err == nil && (!filepath.IsLocal(filepath.FromSlash(name)) || Temporary(name)) {
		err = ErrName
	}
	if err != nil {
		return &Error{Place: d.place, Name: name, Err: err}
	}
	return nil
}

func (d *folder) Open(ctx context.Context, name string) (io.ReadCloser, int64, error) {
	if err := d.check(ctx, name); err != nil {
		return nil, 0, err
	}
	root, err := d.hold(false)
	if err != nil {
		return nil, 0, d.wrong(name, err)
	}
	f, info, err := OpenRegular(root, name)
	if err != nil {
		return nil, 0, d.wrong(name, err)
	}
	return f, info.Size(), nil
}

func (d *folder) OpenRange(ctx context.Context, name string, offset, length int64) (io.ReadCloser, error) {
	r, _, err := d.Open(ctx, name)
	if err != nil {
		return nil, err
	}
	if _, err := r.(io.Seeker).Seek(offset, io.SeekStart); err != nil {
		r.Close()
		return nil, d.wrong(name, err)
	}
	return &part{io.LimitReader(r, length), r}, nil
}

// part is a part of a file.
type part struct {
	io.Reader
	io.Closer
}

func (d *folder) Create(ctx context.Context, name string) (File, error) {
	return d.create(ctx, name, false)
}

func (d *folder) CreateNew(ctx context.Context, name string) (File, error) {
	return d.create(ctx, name, true)
}

func (d *folder) create(ctx context.Context, name string, exclusive bool) (File, error) {
	if err := d.check(ctx, name); err != nil {
		return nil, err
	}
	root, err := d.hold(true)
	if err != nil {
		return nil, d.wrong(name, err)
	}
	if gone, ok := errors.AsType[*VanishedError](d.alive()); ok {
		return nil, gone // root would still be what is gone
	}
	// What could not be renamed to should fail now, not when all is written.
	if info, err := root.Lstat(filepath.FromSlash(name)); err == nil && info.IsDir() {
		return nil, d.wrong(name, checkRegular(info))
	} else if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, d.wrong(name, err)
	}
	f := &folderFile{ctx: ctx, d: d, root: root, name: name, temporary: temporaryName(name), exclusive: exclusive}
	if err := makeFolders(filepath.Dir(filepath.FromSlash(name)), root.Mkdir, f.sync); err != nil {
		return nil, d.wrong(name, err)
	}
	f.file, err = root.OpenFile(f.temporary, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o666)
	if err != nil {
		return nil, d.wrong(name, err)
	}
	f.buf = bufio.NewWriterSize(f.file, 64<<10)
	return f, nil
}

func (d *folder) List(ctx context.Context, prefix string) iter.Seq2[Entry, error] {
	return func(yield func(Entry, error) bool) {
		root, err := d.hold(false)
		if errors.Is(err, fs.ErrNotExist) {
			return
		}
		if err == nil {
			// The root may still be open where another folder has its place.
			if gone, ok := errors.AsType[*VanishedError](d.alive()); ok {
				yield(Entry{}, gone)
				return
			}
		} else {
			yield(Entry{}, d.wrong("", err))
			return
		}
		skip := func(name string) bool {
			isFolder := strings.HasSuffix(name, "/")
			return !strings.HasPrefix(name, prefix) && !(isFolder && strings.HasPrefix(prefix, name)) || Temporary(name)
		}
		for name, err := range Walk(ctx, root, skip) {
			if err == nil {
				var info fs.FileInfo
				if _, info, err = findRegular(root, name); noFile(err) {
					continue
				}
				if err == nil {
					if !yield(Entry{name, info.Size()}, nil) {
						return
					}
					continue
				}
			}
			if p, ok := errors.AsType[*fs.PathError](err); ok {
				name = filepath.ToSlash(p.Path)
			}
			yield(Entry{}, d.wrong(name, err))
			return
		}
	}
}

// noFile tells that there is something, or was, but no file that could be opened.
func noFile(err error) bool {
	for _, e := range []error{fs.ErrNotExist, ErrNotRegular, ErrOutside, syscall.ELOOP} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

func (d *folder) Remove(ctx context.Context, name string) error {
	if err := d.check(ctx, name); err != nil {
		return err
	}
	root, err := d.hold(false)
	if err == nil {
		var info fs.FileInfo
		if info, err = root.Lstat(filepath.FromSlash(name)); err == nil && info.IsDir() {
			err = checkRegular(info)
		}
	}
	if err == nil {
		err = root.Remove(filepath.FromSlash(name))
	}
	return d.wrong(name, err)
}

func (d *folder) Sweep(ctx context.Context, age time.Duration) error {
	root, err := d.hold(false)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return d.wrong("", err)
	}
	for name, err := range Walk(ctx, root, func(name string) bool { return !strings.HasSuffix(name, "/") && !Temporary(name) }) {
		var info fs.FileInfo
		if err == nil {
			info, err = root.Lstat(filepath.FromSlash(name))
		}
		if err == nil && info.Mode().IsRegular() && time.Since(info.ModTime()) > age {
			err = root.Remove(filepath.FromSlash(name))
		}
		if err != nil && (name == "" || !errors.Is(err, fs.ErrNotExist)) {
			return d.wrong(name, err)
		}
	}
	return nil
}

func (d *folder) Alive(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	return d.alive()
}

func (d *folder) alive() error {
	if _, err := d.hold(false); err != nil {
		return &Error{Place: d.place, Err: reason(err)}
	}
	if err := SameFolder(d.path, d.info); err != nil {
		return &VanishedError{d.place, err}
	}
	return nil
}

// SameFolder fails if a path does not lead to the folder that it led to before, which has
// to be open still: else another may get its number.
func SameFolder(path string, before fs.FileInfo) error {
	now, err := os.Stat(path)
	if err != nil {
		return reason(err)
	}
	if !os.SameFile(now, before) {
		return errors.New("another folder is in its place")
	}
	return nil
}

func (d *folder) String() string { return d.place }

func (d *folder) Close() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.root == nil {
		return nil
	}
	return d.root.Close()
}

// folderFile is a file that is being written.
type folderFile struct {
	ctx             context.Context
	d               *folder
	root            *os.Root
	name, temporary string
	exclusive       bool
	file            *os.File // nil when it is done with
	buf             *bufio.Writer
}

func (f *folderFile) Write(p []byte) (int, error) {
	if f.file == nil {
		return 0, f.d.wrong(f.name, fs.ErrClosed)
	}
	if err := f.ctx.Err(); err != nil {
		return 0, &Error{f.d.place, f.name, err}
	}
	n, err := f.buf.Write(p)
	return n, f.d.wrong(f.name, err)
}

func (f *folderFile) Commit() error {
	if f.file == nil {
		return f.d.wrong(f.name, fs.ErrClosed)
	}
	if err := f.ctx.Err(); err != nil {
		f.Abort()
		return &Error{f.d.place, f.name, err}
	}
	err := f.buf.Flush()
	if err == nil {
		err = f.file.Sync()
	}
	if err == nil {
		if err = f.file.Close(); err == nil {
			// Renamed in a folder that was replaced it would be lost without a word.
			err = f.d.alive()
		}
		if err == nil {
			err = f.rename()
		}
	}
	if err != nil {
		f.Abort()
		return f.d.wrong(f.name, err)
	}
	f.file = nil
	return f.d.wrong(f.name, f.sync(filepath.Dir(f.temporary)))
}

// rename gives the file its name.
func (f *folderFile) rename() error {
	name := filepath.FromSlash(f.name)
	if !f.exclusive {
		return f.root.Rename(f.temporary, name)
	}
	err := f.root.Link(f.temporary, name)
	switch {
	case err == nil:
		f.root.Remove(f.temporary) // if it cannot be, Sweep will
		return nil
	case errors.Is(err, fs.ErrExist):
		return err
	}
	// A file system without links. Two that commit at the very same time both go on.
	if _, err := f.root.Lstat(name); err == nil {
		return fs.ErrExist
	}
	return f.root.Rename(f.temporary, name)
}

func (f *folderFile) Abort() {
	if f.file != nil {
		f.file.Close()
		f.root.Remove(f.temporary) // if it cannot be, Sweep will
		f.file = nil
	}
}

// sync syncs a folder below the root.
func (f *folderFile) sync(name string) error { return syncOpened(f.root.Open(name)) }

// longestName is that of the file systems that are common, in bytes.
const longestName = 255

var temporary = regexp.MustCompile(`(?s)^\..*\.[0-9a-f]{16}\.tmp$`)

// Temporary tells the names of files that are being written to, or were when the program
// was killed.
func Temporary(name string) bool { return temporary.MatchString(path.Base(name)) }

// temporaryName is a name beside that of a file, cut where it would be too long for one.
func temporaryName(name string) string {
	var random [8]byte
	rand.Read(random[:]) // never fails
	dir, base := path.Split(name)
	end := "." + hex.EncodeToString(random[:]) + ".tmp"
	base = "." + base
	if n := longestName - len(end); len(base) > n {
		for n > 1 && !utf8.RuneStart(base[n]) {
			n--
		}
		base = base[:n]
	}
	return filepath.FromSlash(dir + base + end)
}
