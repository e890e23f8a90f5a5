package safefs

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
)

// Walk yields the names of all files below root, ordered by the bytes of their paths. Names use
// slashes. skip excludes entries: it is called with the name of each file, and with the name of
// each folder, followed by a slash, before that folder is read. An error ends the iteration; it is
// an *[fs.PathError] or the context's. Memory is proportional to the number of entries in a folder
// and in the folders above it.
//
// A symbolic link to a folder is followed if the target is inside root, does not contain the link,
// and was not itself reached through a link: such targets are also listed where they are. Folders
// that disappear during the walk are ignored.
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

// errStop ends a walk whose caller has stopped iterating.
var errStop = errors.New("stop")

// dirEntry is an entry of a folder. The name of a folder ends in a slash, so that sorting names
// sorts whole paths.
type dirEntry struct {
	name string
	link bool
}

// walk lists one folder. Its name ends in a slash, or is empty for the root; path is its resolved
// location; linked reports whether it was reached through a link.
func (w *walker) walk(name, path string, linked bool) error {
	entries, err := w.read(name, path, linked)
	if errors.Is(err, fs.ErrNotExist) && name != "" {
		return nil
	}
	if err != nil {
		return err
	}
	for _, e := range entries {
		if err := w.ctx.Err(); err != nil {
			return err
		}
		child, isFolder := strings.CutSuffix(e.name, "/")
		if !isFolder {
			if !w.yield(name+e.name, nil) {
				return errStop
			}
			continue
		}
		child = filepath.Join(path, filepath.FromSlash(child))
		if e.link {
			if child, err = resolve(w.root, child); err != nil || inside(path, child) {
				continue // the link has changed since it was read
			}
		}
		if err := w.walk(name+e.name, child, linked || e.link); err != nil {
			return err
		}
	}
	return nil
}

// read returns the sorted entries of a folder.
func (w *walker) read(name, path string, linked bool) ([]dirEntry, error) {
	f, err := w.root.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()

	var entries []dirEntry
	for {
		if err := w.ctx.Err(); err != nil {
			return nil, err
		}
		batch, err := f.ReadDir(1 << 10)
		for _, d := range batch {
			e := dirEntry{name: d.Name(), link: d.Type()&fs.ModeSymlink != 0}
			if d.IsDir() || e.link && w.leadsToFolder(filepath.Join(path, e.name)) {
				if e.link && (linked || !w.follows(path, e.name)) {
					continue
				}
				e.name += "/"
			}
			if !w.skip(name + e.name) {
				entries = append(entries, e)
			}
		}
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, &fs.PathError{Op: "read", Path: path, Err: WithoutPath(err)}
		}
	}
	slices.SortFunc(entries, func(a, b dirEntry) int { return strings.Compare(a.name, b.name) })
	return entries, nil
}

// leadsToFolder reports whether a link leads to a folder, inside or outside root.
func (w *walker) leadsToFolder(path string) bool {
	info, err := os.Stat(filepath.Join(w.root.Name(), path))
	return err == nil && info.IsDir()
}

// follows reports whether the link name in the folder path leads to a folder in root that does not
// contain the link.
func (w *walker) follows(path, name string) bool {
	target, err := resolve(w.root, filepath.Join(path, name))
	return err == nil && !inside(path, target)
}

// inside reports whether path is folder or below it.
func inside(path, folder string) bool {
	rel, err := filepath.Rel(folder, path)
	return err == nil && filepath.IsLocal(rel)
}

// resolve returns the path below root that path leads to. Unlike [os.Root], it also follows
// absolute links, and links that leave root and return.
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
