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

	"github.com/proposer/proposer/internal/safefs"
)

// dirStore is a folder. It holds it open from when it is there, so that another folder in its
// place cannot be taken for it.
type dirStore struct {
	location, path string

	mu   sync.Mutex
	root *os.Root
	info fs.FileInfo
}

func openDir(location, path string) (Store, error) {
	d := &dirStore{location: location, path: path}
	wrap := func(err error) error { return &Error{Location: location, Err: safefs.WithoutPath(err)} }
	if path == "" {
		return nil, wrap(errors.New("want " + schemes))
	}
	if _, err := d.openRoot(false); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, wrap(err)
	}
	return d, nil
}

// openRoot is the folder, which is made if it is missing and was never there.
func (d *dirStore) openRoot(create bool) (*os.Root, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.root != nil {
		return d.root, nil
	}
	info, err := os.Stat(d.path) // first: to open a pipe may take for ever
	if create && errors.Is(err, fs.ErrNotExist) {
		if err = mkdirAll(d.path, os.Mkdir, syncDir); err == nil {
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

// mkdirAll makes a folder and those above it, and syncs each that a new one lies in.
func mkdirAll(name string, mkdir func(string, fs.FileMode) error, sync func(string) error) error {
	err := mkdir(name, 0o777)
	if errors.Is(err, fs.ErrExist) {
		return nil // what else it may be is told by what is tried next
	}
	up := filepath.Dir(name)
	if errors.Is(err, fs.ErrNotExist) && up != name {
		if err := mkdirAll(up, mkdir, sync); err != nil {
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

func syncDir(name string) error {
	f, err := os.Open(name)
	return syncFile(f, err)
}

// syncFile syncs a folder. Some file systems cannot, and need not.
func syncFile(f *os.File, err error) error {
	if err != nil {
		return err
	}
	defer f.Close()
	if err := f.Sync(); err != nil && !errors.Is(err, syscall.EINVAL) && !errors.Is(err, errors.ErrUnsupported) {
		return err
	}
	return nil
}

// wrapError makes an error of a file out of what the file system says.
func (d *dirStore) wrapError(name string, err error) error {
	if err == nil {
		return nil
	}
	if unavailable, ok := errors.AsType[*UnavailableError](d.checkAlive()); ok {
		return unavailable
	}
	hint := ""
	switch err = safefs.WithoutPath(err); {
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		hint = "make room and start the same again, what is finished stays"
	case errors.Is(err, syscall.EROFS), errors.Is(err, fs.ErrPermission):
		hint = "want a folder that this user may read and write"
	case errors.Is(err, syscall.ENAMETOOLONG):
		hint = "want a shorter name"
	}
	if hint != "" {
		err = fmt.Errorf("%w: %s", err, hint)
	}
	return &Error{Location: d.location, Name: name, Err: err}
}

// check refuses names that are none in a folder.
func (d *dirStore) check(ctx context.Context, name string) error {
	err := ctx.Err()
	if err == nil {
		err = checkName(name)
	}
	if err == nil && (!filepath.IsLocal(filepath.FromSlash(name)) || isTemporary(name)) {
		err = ErrName
	}
	if err != nil {
		return &Error{Location: d.location, Name: name, Err: err}
	}
	return nil
}

func (d *dirStore) Open(ctx context.Context, name string) (io.ReadCloser, int64, error) {
	if err := d.check(ctx, name); err != nil {
		return nil, 0, err
	}
	root, err := d.openRoot(false)
	if err != nil {
		return nil, 0, d.wrapError(name, err)
	}
	f, info, err := safefs.OpenIn(root, name)
	if err != nil {
		return nil, 0, d.wrapError(name, err)
	}
	return f, info.Size(), nil
}

func (d *dirStore) OpenRange(ctx context.Context, name string, offset, length int64) (io.ReadCloser, error) {
	r, _, err := d.Open(ctx, name)
	if err != nil {
		return nil, err
	}
	if _, err := r.(io.Seeker).Seek(offset, io.SeekStart); err != nil {
		r.Close()
		return nil, d.wrapError(name, err)
	}
	return &limitedFile{io.LimitReader(r, length), r}, nil
}

// limitedFile is a part of a file.
type limitedFile struct {
	io.Reader
	io.Closer
}

func (d *dirStore) Create(ctx context.Context, name string) (File, error) {
	return d.create(ctx, name, false)
}

func (d *dirStore) CreateNew(ctx context.Context, name string) (File, error) {
	return d.create(ctx, name, true)
}

func (d *dirStore) create(ctx context.Context, name string, exclusive bool) (File, error) {
	if err := d.check(ctx, name); err != nil {
		return nil, err
	}
	root, err := d.openRoot(true)
	if err != nil {
		return nil, d.wrapError(name, err)
	}
	if unavailable, ok := errors.AsType[*UnavailableError](d.checkAlive()); ok {
		return nil, unavailable // root would still be what is gone
	}
	// What could not be renamed to should fail now, not when all is written.
	if info, err := root.Lstat(filepath.FromSlash(name)); err == nil && info.IsDir() {
		return nil, d.wrapError(name, safefs.CheckRegular(info))
	} else if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, d.wrapError(name, err)
	}
	f := &dirFile{ctx: ctx, store: d, root: root, name: name, tempName: newTempName(name), exclusive: exclusive}
	if err := mkdirAll(filepath.Dir(filepath.FromSlash(name)), root.Mkdir, f.syncDir); err != nil {
		return nil, d.wrapError(name, err)
	}
	f.file, err = root.OpenFile(f.tempName, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o666)
	if err != nil {
		return nil, d.wrapError(name, err)
	}
	f.buf = bufio.NewWriterSize(f.file, 64<<10)
	return f, nil
}

func (d *dirStore) List(ctx context.Context, prefix string) iter.Seq2[Entry, error] {
	return func(yield func(Entry, error) bool) {
		root, err := d.openRoot(false)
		if errors.Is(err, fs.ErrNotExist) {
			return
		}
		if err == nil {
			// The root may still be open where another folder has its place.
			if unavailable, ok := errors.AsType[*UnavailableError](d.checkAlive()); ok {
				yield(Entry{}, unavailable)
				return
			}
		} else {
			yield(Entry{}, d.wrapError("", err))
			return
		}
		skip := func(name string) bool {
			isFolder := strings.HasSuffix(name, "/")
			return !strings.HasPrefix(name, prefix) && !(isFolder && strings.HasPrefix(prefix, name)) || isTemporary(name)
		}
		for name, err := range safefs.Walk(ctx, root, skip) {
			if err == nil {
				var info fs.FileInfo
				if info, err = safefs.StatIn(root, name); notAFile(err) {
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
			yield(Entry{}, d.wrapError(name, err))
			return
		}
	}
}

// notAFile tells that there is something, or was, but no file that could be opened.
func notAFile(err error) bool {
	for _, e := range []error{fs.ErrNotExist, safefs.ErrNotRegular, safefs.ErrOutside, syscall.ELOOP} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

func (d *dirStore) Remove(ctx context.Context, name string) error {
	if err := d.check(ctx, name); err != nil {
		return err
	}
	root, err := d.openRoot(false)
	if err == nil {
		var info fs.FileInfo
		if info, err = root.Lstat(filepath.FromSlash(name)); err == nil && info.IsDir() {
			err = safefs.CheckRegular(info)
		}
	}
	if err == nil {
		err = root.Remove(filepath.FromSlash(name))
	}
	return d.wrapError(name, err)
}

func (d *dirStore) Sweep(ctx context.Context, age time.Duration) error {
	root, err := d.openRoot(false)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return d.wrapError("", err)
	}
	for name, err := range safefs.Walk(ctx, root, func(name string) bool { return !strings.HasSuffix(name, "/") && !isTemporary(name) }) {
		var info fs.FileInfo
		if err == nil {
			info, err = root.Lstat(filepath.FromSlash(name))
		}
		if err == nil && info.Mode().IsRegular() && time.Since(info.ModTime()) > age {
			err = root.Remove(filepath.FromSlash(name))
		}
		if err != nil && (name == "" || !errors.Is(err, fs.ErrNotExist)) {
			return d.wrapError(name, err)
		}
	}
	return nil
}

func (d *dirStore) Check(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	return d.checkAlive()
}

func (d *dirStore) checkAlive() error {
	if _, err := d.openRoot(false); err != nil {
		return &Error{Location: d.location, Err: safefs.WithoutPath(err)}
	}
	if err := safefs.SameFolder(d.path, d.info); err != nil {
		return &UnavailableError{d.location, err}
	}
	return nil
}

func (d *dirStore) String() string { return d.location }

func (d *dirStore) Close() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.root == nil {
		return nil
	}
	return d.root.Close()
}

// dirFile is a file that is being written.
type dirFile struct {
	ctx            context.Context
	store          *dirStore
	root           *os.Root
	name, tempName string
	exclusive      bool
	file           *os.File // nil when it is done with
	buf            *bufio.Writer
}

func (f *dirFile) Write(p []byte) (int, error) {
	if f.file == nil {
		return 0, f.store.wrapError(f.name, fs.ErrClosed)
	}
	if err := f.ctx.Err(); err != nil {
		return 0, &Error{f.store.location, f.name, err}
	}
	n, err := f.buf.Write(p)
	return n, f.store.wrapError(f.name, err)
}

func (f *dirFile) Commit() error {
	if f.file == nil {
		return f.store.wrapError(f.name, fs.ErrClosed)
	}
	if err := f.ctx.Err(); err != nil {
		f.Abort()
		return &Error{f.store.location, f.name, err}
	}
	err := f.buf.Flush()
	if err == nil {
		err = f.file.Sync()
	}
	if err == nil {
		if err = f.file.Close(); err == nil {
			// Renamed in a folder that was replaced it would be lost without a word.
			err = f.store.checkAlive()
		}
		if err == nil {
			err = f.rename()
		}
	}
	if err != nil {
		f.Abort()
		return f.store.wrapError(f.name, err)
	}
	f.file = nil
	return f.store.wrapError(f.name, f.syncDir(filepath.Dir(f.tempName)))
}

// rename gives the file its name.
func (f *dirFile) rename() error {
	name := filepath.FromSlash(f.name)
	if !f.exclusive {
		return f.root.Rename(f.tempName, name)
	}
	err := f.root.Link(f.tempName, name)
	switch {
	case err == nil:
		f.root.Remove(f.tempName) // if it cannot be, Sweep will
		return nil
	case errors.Is(err, fs.ErrExist):
		return err
	}
	// A file system without links. Two that commit at the very same time both go on.
	if _, err := f.root.Lstat(name); err == nil {
		return fs.ErrExist
	}
	return f.root.Rename(f.tempName, name)
}

func (f *dirFile) Abort() {
	if f.file != nil {
		f.file.Close()
		f.root.Remove(f.tempName) // if it cannot be, Sweep will
		f.file = nil
	}
}

// syncDir syncs a folder below the root.
func (f *dirFile) syncDir(name string) error { return syncFile(f.root.Open(name)) }

// maxNameBytes is that of the file systems that are common, in bytes.
const maxNameBytes = 255

var temporaryPattern = regexp.MustCompile(`(?s)^\..*\.[0-9a-f]{16}\.tmp$`)

// isTemporary tells the names of files that are being written to, or were when the program
// was killed.
func isTemporary(name string) bool { return temporaryPattern.MatchString(path.Base(name)) }

// newTempName is a name beside that of a file, cut where it would be too long for one.
func newTempName(name string) string {
	var random [8]byte
	rand.Read(random[:]) // never fails
	dir, base := path.Split(name)
	end := "." + hex.EncodeToString(random[:]) + ".tmp"
	base = "." + base
	if n := maxNameBytes - len(end); len(base) > n {
		for n > 1 && !utf8.RuneStart(base[n]) {
			n--
		}
		base = base[:n]
	}
	return filepath.FromSlash(dir + base + end)
}
