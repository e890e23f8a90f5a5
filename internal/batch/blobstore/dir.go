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

// dirStore is a [Store] in a folder. It keeps the folder open, so that a replacement is detected.
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
		return nil, wrap(errors.New("want " + supported))
	}
	if _, err := d.openRoot(false); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, wrap(err)
	}
	return d, nil
}

// openRoot returns the open folder. If it never existed and create is set, it is created.
func (d *dirStore) openRoot(create bool) (*os.Root, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.root != nil {
		return d.root, nil
	}
	info, err := os.Stat(d.path) // before opening: opening a pipe may block
	if create && errors.Is(err, fs.ErrNotExist) {
		if err = mkdirAll(d.path, os.Mkdir, syncDir); err == nil {
			info, err = os.Stat(d.path)
		}
	}
	if err != nil {
		return nil, err
	}
	if !info.IsDir() {
		return nil, errors.New("is a file: want " + supported)
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

// mkdirAll creates a folder and its parents, and syncs the parent of each new one.
func mkdirAll(name string, mkdir func(string, fs.FileMode) error, sync func(string) error) error {
	err := mkdir(name, 0o777)
	if errors.Is(err, fs.ErrExist) {
		return nil // if it is not a folder, the next operation fails
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

// syncFile syncs a folder. Some file systems do not support this, and do not need it.
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

// wrapError returns an error of the file system as an *[Error], or as an *[UnavailableError] if the
// folder was removed or replaced.
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
		hint = "free some space and run the same command again, finished files are kept"
	case errors.Is(err, syscall.EROFS), errors.Is(err, fs.ErrPermission):
		hint = "want a folder with read and write permission for this user"
	case errors.Is(err, syscall.ENAMETOOLONG):
		hint = "want a shorter name"
	}
	if hint != "" {
		err = fmt.Errorf("%w: %s", err, hint)
	}
	return &Error{Location: d.location, Name: name, Err: err}
}

// check returns an error if the context has ended or the name is invalid.
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

// limitedFile reads part of a file.
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
		return nil, unavailable // root would be the removed folder
	}
	// Fail now, not at Commit, if a folder has the name.
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
		if err != nil {
			yield(Entry{}, d.wrapError("", err))
			return
		}
		// root stays open when another folder replaces it.
		if unavailable, ok := errors.AsType[*UnavailableError](d.checkAlive()); ok {
			yield(Entry{}, unavailable)
			return
		}
		skip := func(name string) bool {
			isFolder := strings.HasSuffix(name, "/")
			return !strings.HasPrefix(name, prefix) && !(isFolder && strings.HasPrefix(prefix, name)) || isTemporary(name)
		}
		for name, err := range safefs.Walk(ctx, root, safefs.WalkOptions{Skip: skip}) {
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

// notAFile reports whether an error means that a directory entry is not a file, or no longer exists.
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
	skip := func(name string) bool { return !strings.HasSuffix(name, "/") && !isTemporary(name) }
	for name, err := range safefs.Walk(ctx, root, safefs.WalkOptions{Skip: skip}) {
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

// dirFile is a [File] in a folder.
type dirFile struct {
	ctx            context.Context
	store          *dirStore
	root           *os.Root
	name, tempName string
	exclusive      bool
	file           *os.File // nil after Commit or Abort
	buf            *bufio.Writer
}

func (f *dirFile) Write(p []byte) (int, error) {
	if f.file == nil {
		return 0, f.store.wrapError(f.name, fs.ErrClosed)
	}
	if err := f.ctx.Err(); err != nil {
		return 0, &Error{Location: f.store.location, Name: f.name, Err: err}
	}
	n, err := f.buf.Write(p)
	return n, f.store.wrapError(f.name, err)
}

func (f *dirFile) Commit() error {
	if f.file == nil {
		return f.store.wrapError(f.name, fs.ErrClosed)
	}
	defer f.Abort() // no effect after publish
	if err := f.ctx.Err(); err != nil {
		return &Error{Location: f.store.location, Name: f.name, Err: err}
	}
	if err := f.publish(); err != nil {
		return f.store.wrapError(f.name, err)
	}
	return f.store.wrapError(f.name, f.syncDir(filepath.Dir(f.tempName)))
}

// publish writes the file to disk and renames it.
func (f *dirFile) publish() error {
	if err := f.buf.Flush(); err != nil {
		return err
	}
	if err := f.file.Sync(); err != nil {
		return err
	}
	if err := f.file.Close(); err != nil {
		return err
	}
	if err := f.store.checkAlive(); err != nil {
		return err // renamed in a folder that was replaced, the file would be lost silently
	}
	if err := f.rename(); err != nil {
		return err
	}
	f.file = nil
	return nil
}

// rename gives the file its final name.
func (f *dirFile) rename() error {
	name := filepath.FromSlash(f.name)
	if !f.exclusive {
		return f.root.Rename(f.tempName, name)
	}
	err := f.root.Link(f.tempName, name)
	switch {
	case err == nil:
		_ = f.root.Remove(f.tempName) // on failure Sweep removes it
		return nil
	case errors.Is(err, fs.ErrExist):
		return err
	}
	// The file system has no links. Two writers that commit at the same moment may both succeed.
	if _, err := f.root.Lstat(name); err == nil {
		return fs.ErrExist
	}
	return f.root.Rename(f.tempName, name)
}

func (f *dirFile) Abort() {
	if f.file != nil {
		f.file.Close()
		_ = f.root.Remove(f.tempName) // on failure Sweep removes it
		f.file = nil
	}
}

// syncDir syncs a folder below the root.
func (f *dirFile) syncDir(name string) error { return syncFile(f.root.Open(name)) }

// maxNameBytes is the longest name in common file systems.
const maxNameBytes = 255

var temporaryPattern = regexp.MustCompile(`(?s)^\..*\.[0-9a-f]{16}\.tmp$`)

// isTemporary reports whether a name is that of a file being written, or left by a killed program.
func isTemporary(name string) bool { return temporaryPattern.MatchString(path.Base(name)) }

// newTempName returns a random name in the folder of name, truncated to maxNameBytes.
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
