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

// WalkOptions selects what [Walk] yields.
type WalkOptions struct {
	// Skip excludes entries; nil excludes none. It is called with the name of each file, and with
	// the name of each folder, followed by a slash, before that folder is read.
	Skip func(name string) bool
	// FollowLinks also follows symbolic links that lead out of root.
	FollowLinks bool
	// LeftOut is called with the name of each symbolic link that is left out because it leads out
	// of root. The name of a folder ends in a slash. It may be nil.
	LeftOut func(name string)
}

// Walk yields the names of all files below root, ordered by the bytes of their paths. Names use
// slashes. An error ends the iteration; it is an *[fs.PathError] or the context's. Memory is
// proportional to the number of entries in a folder and in the folders above it.
//
// A symbolic link is followed if its target is inside root, or anywhere with
// [WalkOptions.FollowLinks]. A link to a folder is not followed if its target contains the link, or
// a link through which it was reached. If a link to a folder was itself reached through a link, it
// is followed only if its target is outside root, since other targets are listed where they are,
// and only the first of several such links to a target is. Folders that disappear during the walk
// are ignored.
func Walk(ctx context.Context, root *os.Root, opts WalkOptions) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		w := &walker{ctx: ctx, root: root, opts: opts, yield: yield, visited: map[string]bool{}}
		if err := w.walk("", folder{path: "."}); err != nil && !errors.Is(err, errStop) {
			yield("", err)
		}
	}
}

type walker struct {
	ctx     context.Context
	root    *os.Root
	opts    WalkOptions
	yield   func(string, error) bool
	visited map[string]bool // targets of links that were reached through links
}

// errStop ends a walk whose caller has stopped iterating.
var errStop = errors.New("stop")

// folder is the resolved location of a folder.
type folder struct {
	path    string   // relative to root, or absolute if it is outside
	outside bool     // of root
	links   []string // the locations of the folders that contain the links to it
}

// child returns a folder or a file in f.
func (f *folder) child(name string) folder {
	return folder{filepath.Join(f.path, name), f.outside, f.links}
}

// dirEntry is an entry of a folder. The name of a folder ends in a slash, so that sorting names
// sorts whole paths.
type dirEntry struct {
	name string
	link bool
}

// walk lists one folder. Its name ends in a slash, or is empty for the root.
func (w *walker) walk(name string, f folder) error {
	entries, err := w.read(name, f)
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
		base, isFolder := strings.CutSuffix(e.name, "/")
		if !isFolder {
			if !w.yield(name+e.name, nil) {
				return errStop
			}
			continue
		}
		child := f.child(base)
		if e.link {
			var d decision
			if child, d = w.target(f, base); d != follow {
				continue
			}
			if len(f.links) > 0 {
				if w.visited[child.path] {
					continue
				}
				w.visited[child.path] = true
			}
		}
		if err := w.walk(name+e.name, child); err != nil {
			return err
		}
	}
	return nil
}

// read returns the sorted entries of a folder.
func (w *walker) read(name string, in folder) ([]dirEntry, error) {
	f, err := w.open(in)
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
			isFolder, decision := d.IsDir(), follow
			if e.link {
				isFolder, decision = w.examine(in, e.name)
			}
			if isFolder {
				e.name += "/"
			}
			switch {
			case decision == ignore, w.opts.Skip != nil && w.opts.Skip(name+e.name):
			case decision == follow:
				entries = append(entries, e)
			case w.opts.LeftOut != nil:
				w.opts.LeftOut(name + e.name)
			}
		}
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, &fs.PathError{Op: "read", Path: in.path, Err: WithoutPath(err)}
		}
	}
	slices.SortFunc(entries, func(a, b dirEntry) int { return strings.Compare(a.name, b.name) })
	return entries, nil
}

func (w *walker) open(f folder) (*os.File, error) {
	if f.outside {
		return os.Open(f.path)
	}
	return w.root.Open(f.path)
}

// decision is what to do with a symbolic link.
type decision int

const (
	follow decision = iota
	ignore
	leaveOut // because it leads out of root
)

// examine reports whether a link leads to a folder, and what to do with it. A link to what does not
// exist is yielded like a file, so that a disk that is not mounted is noticed.
func (w *walker) examine(in folder, name string) (isFolder bool, d decision) {
	path := in.child(name).path
	info, err := w.root.Stat(path)
	if in.outside || err != nil {
		// os.Root refuses absolute links and links that leave root and return.
		if info, err = os.Stat(w.join(path)); err != nil {
			return false, follow
		}
		if !w.opts.FollowLinks {
			if _, err := resolve(w.root, path); errors.Is(err, ErrOutside) {
				d = leaveOut
			}
		}
	}
	if info.IsDir() {
		_, d = w.target(in, name)
	}
	return info.IsDir(), d
}

// target returns the location of the folder that a link leads to, and what to do with the link.
func (w *walker) target(in folder, name string) (folder, decision) {
	var locations [3]string
	for i, path := range []string{".", in.path, in.child(name).path} {
		var err error
		if locations[i], err = filepath.EvalSymlinks(w.join(path)); err == nil {
			locations[i], err = filepath.Abs(locations[i])
		}
		if err != nil {
			return folder{}, ignore // the link has changed since it was read
		}
	}
	top, at, path := locations[0], locations[1], locations[2]
	target := folder{path: path, outside: !inside(path, top), links: append(slices.Clip(in.links), at)}
	if slices.ContainsFunc(target.links, func(link string) bool { return inside(link, path) }) {
		return target, ignore
	}
	switch rel, err := filepath.Rel(top, path); {
	case target.outside && !w.opts.FollowLinks:
		return target, leaveOut
	case target.outside:
		return target, follow
	case err != nil, len(in.links) > 0:
		return target, ignore
	default:
		target.path = rel
		return target, follow
	}
}

// join returns the path of a location that is relative to root or absolute.
func (w *walker) join(path string) string {
	if filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(w.root.Name(), path)
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
