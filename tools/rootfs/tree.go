package main

import (
	"crypto/md5" //nolint:gosec // dpkg's format
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

// tree is the folder of a root file system. Paths in it are absolute.
type tree struct {
	root string
	sums map[string]string // MD5 of the written files by path, for the package database
	dirs map[string]fs.FileMode
}

// newTree returns the tree in an empty folder, which is created if it is missing.
func newTree(root string) (*tree, error) {
	entries, err := os.ReadDir(root)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	if len(entries) > 0 {
		return nil, fmt.Errorf("-root %s: want an empty folder, it has %d entries", root, len(entries))
	}
	return &tree{root: root, sums: map[string]string{}, dirs: map[string]fs.FileMode{}}, os.MkdirAll(root, 0o755)
}

func (t *tree) mkdir(path string, mode fs.FileMode) error {
	t.dirs[path] = mode
	return os.MkdirAll(t.root+path, 0o755)
}

func (t *tree) has(path string) bool {
	_, err := os.Lstat(t.root + path)
	return err == nil
}

func (t *tree) writeFile(path string, data []byte) error {
	sum := md5.Sum(data) //nolint:gosec // as above
	t.sums[path] = hex.EncodeToString(sum[:])
	if err := os.MkdirAll(filepath.Dir(t.root+path), 0o755); err != nil {
		return err
	}
	return os.WriteFile(t.root+path, data, 0o644)
}

// copyFile copies a file, following links.
func (t *tree) copyFile(from, path string, mode fs.FileMode) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	if err := os.MkdirAll(filepath.Dir(t.root+path), 0o755); err != nil {
		return err
	}
	out, err := os.OpenFile(t.root+path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	sum := md5.New() //nolint:gosec // as above
	_, err = io.Copy(io.MultiWriter(out, sum), in)
	t.sums[path] = hex.EncodeToString(sum.Sum(nil))
	return errors.Join(err, out.Chmod(mode), out.Close())
}

func (t *tree) symlink(target, path string) error {
	if t.has(path) {
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(t.root+path), 0o755); err != nil {
		return err
	}
	return os.Symlink(target, t.root+path)
}

// finish sets the modes of folders and all times.
func (t *tree) finish(mtime time.Time) error {
	var paths []string
	err := filepath.WalkDir(t.root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		paths = append(paths, path)
		if !d.IsDir() {
			return nil
		}
		mode, ok := t.dirs[path[len(t.root):]]
		if !ok {
			mode = 0o755
		}
		return os.Chmod(path, mode)
	})
	ts := unix.NsecToTimespec(mtime.UnixNano())
	for _, path := range paths {
		err = errors.Join(err, unix.UtimesNanoAt(unix.AT_FDCWD, path, []unix.Timespec{ts, ts}, unix.AT_SYMLINK_NOFOLLOW))
	}
	return err
}
