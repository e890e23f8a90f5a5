package blobstore

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
)

// ErrOutside is wrapped by the error for a symbolic link that leads out of its place.
var ErrOutside = errors.New("a symbolic link that leads out of the folder")

// ErrNotRegular is wrapped by the error for a folder, a pipe, a device.
var ErrNotRegular = errors.New("want a regular file")

// Walk is the names of all that is below a folder and no folder itself, in the order of
// their bytes. What skip tells true of is left out; it is asked for a folder with a slash
// behind its name, before that is read. An error is the last that comes, an
// *[fs.PathError]. Memory is that of the names in a folder and in those above it.
//
// A link to a folder is followed if that lies in root, but is not one that the link lies
// in, and if no link led to the link: what it leads to is listed where it is, too. Folders
// that vanish meanwhile are as if they had never been.
func Walk(ctx context.Context, root *os.Root, skip func(name string) bool) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		w := &walker{ctx, root, skip, yield}
		if err := w.walk("", ".", false); err != nil && !errors.Is(err, errStop) {
			yield("", err)
		}
	}
}

type walker struct {
	ctx   context.Context
	root  *os.Root
	skip  func(string) bool
	yield func(string, error) bool
}

var errStop = errors.New("stop")

// dirEntry is what lies in a folder; its name ends in a slash if it is one, so that sorting
// sorts whole paths.
type dirEntry struct {
	name string
	link bool
}

// walk walks a folder: its name ends in a slash, or is empty for the root; path is where
// it is; linked tells that a link led there.
func (w *walker) walk(name, path string, linked bool) error {
	children, err := w.read(name, path, linked)
	if errors.Is(err, fs.ErrNotExist) && name != "" {
		return nil
	}
	if err != nil {
		return err
	}
	for i := range children {
		c := children[i]
		if err := w.ctx.Err(); err != nil {
			return err
		}
		below, isFolder := strings.CutSuffix(c.name, "/")
		if !isFolder {
			if !w.yield(name+c.name, nil) {
				return errStop
			}
			continue
		}
		below = filepath.Join(path, filepath.FromSlash(below))
		if c.link {
			if below, err = resolve(w.root, below); err != nil || inside(path, below) {
				continue // it has changed meanwhile
			}
		}
		if err := w.walk(name+c.name, below, linked || c.link); err != nil {
			return err
		}
	}
	return nil
}

// read is what lies in a folder, in order.
func (w *walker) read(name, path string, linked bool) ([]dirEntry, error) {
	f, err := w.root.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var children []dirEntry
	for {
		if err := w.ctx.Err(); err != nil {
			return nil, err
		}
		entries, err := f.ReadDir(1 << 10)
		for _, e := range entries {
			c := dirEntry{name: e.Name(), link: e.Type()&fs.ModeSymlink != 0}
			if e.IsDir() || c.link && w.isDirLink(filepath.Join(path, c.name)) {
				if c.link && (linked || !w.follow(path, c.name)) {
					continue
				}
				c.name += "/"
			}
			if !w.skip(name + c.name) {
				children = append(children, c)
			}
		}
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, &fs.PathError{Op: "read", Path: path, Err: withoutPath(err)}
		}
	}
	slices.SortFunc(children, func(a, b dirEntry) int { return strings.Compare(a.name, b.name) })
	return children, nil
}

// isDirLink tells whether a link leads to a folder, wherever that is.
func (w *walker) isDirLink(path string) bool {
	info, err := os.Stat(filepath.Join(w.root.Name(), path))
	return err == nil && info.IsDir()
}

// follow tells whether a link in the folder path leads to a folder in the root that the
// link does not lie in.
func (w *walker) follow(path, name string) bool {
	target, err := resolve(w.root, filepath.Join(path, name))
	return err == nil && !inside(path, target)
}

// inside tells whether path is folder or lies in it.
func inside(path, folder string) bool {
	rel, err := filepath.Rel(folder, path)
	return err == nil && filepath.IsLocal(rel)
}

// resolve is where in the root a path leads, links followed; absolute ones, too, which
// [os.Root] does not.
func resolve(root *os.Root, path string) (string, error) {
	top, err := filepath.EvalSymlinks(root.Name())
	if err != nil {
		return "", err
	}
	target, err := filepath.EvalSymlinks(filepath.Join(root.Name(), path))
	if err != nil {
		return "", err
	}
	if top, err = filepath.Abs(top); err != nil {
		return "", err
	}
	if target, err = filepath.Abs(target); err != nil {
		return "", err
	}
	rel, err := filepath.Rel(top, target)
	if err != nil || !filepath.IsLocal(rel) {
		return "", ErrOutside
	}
	return rel, nil
}

// OpenRegular opens a regular file in a folder and tells what is known of it. Links are
// followed as far as they stay in the folder, else the error wraps [ErrOutside]. Pipes and
// devices, which may never open or do something when they are, are refused unopened, with
// [ErrNotRegular]. Its errors are *[fs.PathError].
func OpenRegular(root *os.Root, name string) (*os.File, fs.FileInfo, error) {
	path, _, err := findRegular(root, name)
	return openRegular(name, err, func(flag int) (*os.File, error) { return root.OpenFile(path, flag, 0) })
}

// OpenRegularPath is [OpenRegular] for the path of a file anywhere.
func OpenRegularPath(path string) (*os.File, fs.FileInfo, error) {
	info, err := os.Stat(path)
	if err == nil {
		err = checkRegular(info)
	}
	return openRegular(path, err, func(flag int) (*os.File, error) { return os.OpenFile(path, flag, 0) })
}

// openRegular opens what was just found to be regular, if it is so still.
func openRegular(name string, err error, open func(flag int) (*os.File, error)) (*os.File, fs.FileInfo, error) {
	var f *os.File
	if err == nil {
		f, err = open(os.O_RDONLY | syscall.O_NONBLOCK) // should it be a pipe by now
	}
	if err == nil {
		var info fs.FileInfo
		if info, err = f.Stat(); err == nil {
			err = checkRegular(info)
		}
		if err == nil {
			return f, info, nil
		}
		f.Close()
	}
	return nil, nil, &fs.PathError{Op: "open", Path: name, Err: withoutPath(err)}
}

// findRegular is where in the root a regular file is.
func findRegular(root *os.Root, name string) (string, fs.FileInfo, error) {
	path := filepath.FromSlash(name)
	info, err := root.Stat(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		// Perhaps a link that is absolute, or leads out and in again.
		target, outside := resolve(root, path)
		if errors.Is(outside, ErrOutside) {
			return "", nil, outside
		}
		if outside == nil {
			path = target
			info, err = root.Stat(path)
		}
	}
	if err == nil {
		err = checkRegular(info)
	}
	return path, info, err
}

func checkRegular(info fs.FileInfo) error {
	switch mode := info.Mode(); {
	case mode.IsRegular():
		return nil
	case mode.IsDir():
		return notRegular("a folder")
	case mode&fs.ModeNamedPipe != 0:
		return notRegular("a pipe")
	case mode&fs.ModeSocket != 0:
		return notRegular("a socket")
	}
	return notRegular("a device")
}

type notRegular string

func (e notRegular) Error() string { return string(e) + ": " + ErrNotRegular.Error() }

func (e notRegular) Unwrap() error { return ErrNotRegular }

// withoutPath is an error without the path that it is of.
func withoutPath(err error) error {
	if p, ok := errors.AsType[*fs.PathError](err); ok {
		return p.Err
	}
	if l, ok := errors.AsType[*os.LinkError](err); ok {
		return l.Err
	}
	return err
}
