// Package safefs opens and lists files in folders that other users may write to: pipes and devices
// are never opened, and symbolic links do not lead out of a folder.
package safefs

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// ErrOutside is wrapped by the error for a symbolic link whose target is outside its folder.
var ErrOutside = errors.New("a symbolic link that leads out of the folder")

// ErrNotRegular is wrapped by the error for a folder, a pipe, a socket or a device.
var ErrNotRegular = errors.New("want a regular file")

// Open opens the regular file at path and returns its metadata. Anything else is refused without
// opening it, because opening a pipe may block and opening a device may have effects; the error
// then wraps [ErrNotRegular]. Errors are *[fs.PathError].
func Open(path string) (*os.File, fs.FileInfo, error) {
	info, err := os.Stat(path)
	if err == nil {
		err = CheckRegular(info)
	}
	return open(path, err, func(flag int) (*os.File, error) { return os.OpenFile(path, flag, 0) })
}

// OpenIn is [Open] for a slash-separated name below root. Links are followed as long as they stay
// inside root; otherwise the error wraps [ErrOutside].
func OpenIn(root *os.Root, name string) (*os.File, fs.FileInfo, error) {
	path, _, err := find(root, name)
	return open(name, err, func(flag int) (*os.File, error) { return root.OpenFile(path, flag, 0) })
}

// StatIn returns the metadata of the regular file that [OpenIn] would open.
func StatIn(root *os.Root, name string) (fs.FileInfo, error) {
	_, info, err := find(root, name)
	return info, err
}

// open opens a file that was just found to be regular, and checks that it still is.
func open(name string, err error, open func(flag int) (*os.File, error)) (*os.File, fs.FileInfo, error) {
	fail := func(err error) (*os.File, fs.FileInfo, error) {
		return nil, nil, &fs.PathError{Op: "open", Path: name, Err: WithoutPath(err)}
	}
	if err != nil {
		return fail(err)
	}
	f, err := open(os.O_RDONLY | syscall.O_NONBLOCK) // it may have become a pipe
	if err != nil {
		return fail(err)
	}
	info, err := f.Stat()
	if err == nil {
		err = CheckRegular(info)
	}
	if err != nil {
		f.Close()
		return fail(err)
	}
	return f, info, nil
}

// find returns the path below root of a regular file.
func find(root *os.Root, name string) (string, fs.FileInfo, error) {
	path := filepath.FromSlash(name)
	info, err := root.Stat(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		// os.Root refuses absolute links and links that leave root and return.
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
		err = CheckRegular(info)
	}
	return path, info, err
}

// CheckRegular returns an error that wraps [ErrNotRegular] unless info is of a regular file.
func CheckRegular(info fs.FileInfo) error {
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

// notRegular is an [ErrNotRegular] that names the kind of file.
type notRegular string

func (e notRegular) Error() string { return string(e) + ": " + ErrNotRegular.Error() }

func (e notRegular) Unwrap() error { return ErrNotRegular }

// SameFolder returns an error unless path still leads to the folder that before describes. That
// folder has to be open, so that its inode number cannot be reused.
func SameFolder(path string, before fs.FileInfo) error {
	now, err := os.Stat(path)
	if err != nil {
		return WithoutPath(err)
	}
	if !os.SameFile(now, before) {
		return errors.New("it was replaced by another folder")
	}
	return nil
}

// WithoutPath returns the cause of a file system error, for messages that name the file already.
func WithoutPath(err error) error {
	if e, ok := errors.AsType[*fs.PathError](err); ok {
		return e.Err
	}
	if e, ok := errors.AsType[*os.LinkError](err); ok {
		return e.Err
	}
	return err
}
