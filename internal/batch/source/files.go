package source

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"sync"
	"syscall"

	"github.com/proposer/proposer/internal/batch/blobstore"
	"github.com/proposer/proposer/internal/imageio"
)

// files are files in a folder, which is held open, so that another folder in its place cannot
// be taken for it.
type files struct {
	path string
	root *os.Root
	info fs.FileInfo

	mu sync.RWMutex
	// disks is a folder that pictures were read from, by the number of the disk that it is on:
	// a disk below the folder may be unmounted, too.
	disks map[uint64]string
}

func openFiles(folder string) (*files, error) {
	root, err := os.OpenRoot(folder)
	if err != nil {
		return nil, err
	}
	f := &files{path: folder, root: root, disks: map[uint64]string{}}
	if f.info, err = root.Stat("."); err != nil {
		root.Close()
		return nil, err
	}
	return f, nil
}

func (f *files) read(ctx context.Context, p Picture, limit int64) ([]byte, error) {
	file, info, err := blobstore.OpenRegular(f.root, p.File)
	return f.readOpened(ctx, filepath.Join(f.path, filepath.FromSlash(p.File)), file, info, limit, err)
}

// readOpened reads a file that was opened, unless there is an error.
func (f *files) readOpened(ctx context.Context, path string, file *os.File, info fs.FileInfo, limit int64, err error) ([]byte, error) {
	if err != nil {
		return nil, err
	}
	defer file.Close()
	f.remember(path, info)
	return imageio.ReadAll(&polling{ctx, file}, info.Size(), limit)
}

// polling reads until a context ends.
type polling struct {
	ctx context.Context
	r   io.Reader
}

func (p *polling) Read(b []byte) (int, error) {
	if err := p.ctx.Err(); err != nil {
		return 0, err
	}
	return p.r.Read(b)
}

// remember keeps the folder of the first picture that is read from a disk.
func (f *files) remember(path string, info fs.FileInfo) {
	disk, ok := device(info)
	if !ok {
		return
	}
	f.mu.RLock()
	_, known := f.disks[disk]
	f.mu.RUnlock()
	if known {
		return
	}
	if target, err := filepath.EvalSymlinks(path); err == nil {
		path = target
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.disks[disk] = filepath.Dir(path)
}

func (f *files) alive(context.Context) error {
	if err := blobstore.SameFolder(f.path, f.info); err != nil {
		return err
	}
	f.mu.RLock()
	defer f.mu.RUnlock()
	for disk, folder := range f.disks {
		if err := onDisk(folder, disk); err != nil {
			return err
		}
	}
	return nil
}

// onDisk fails if a folder, or what is left of the path to it, is not on a disk.
func onDisk(folder string, disk uint64) error {
	for {
		info, err := os.Stat(folder)
		if err == nil {
			if now, ok := device(info); ok && now != disk {
				return fmt.Errorf("the disk at %s is another than before", folder)
			}
			return nil
		}
		up := filepath.Dir(folder)
		if !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, fs.ErrPermission) || up == folder {
			return err
		}
		folder = up
	}
}

// passing: file systems that come over a network have errors that pass.
func (*files) passing(err error) bool {
	for _, e := range []error{syscall.EIO, syscall.ESTALE, syscall.ETIMEDOUT, syscall.EAGAIN, syscall.EHOSTDOWN, syscall.ENOTCONN} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

func (f *files) folder() string {
	name, err := filepath.Abs(f.path)
	if err != nil || filepath.Dir(name) == name {
		return "" // nobody knows, or it is the root
	}
	return filepath.Base(name)
}

func (f *files) close() error { return f.root.Close() }

// tree is all that lies in a folder.
type tree struct{ *files }

func openFolder(folder string) (kind, error) {
	f, err := openFiles(folder)
	return tree{f}, err
}

func (t tree) list(ctx context.Context, excluded func(string) bool) iter.Seq2[Picture, error] {
	return func(yield func(Picture, error) bool) {
		for name, err := range blobstore.Walk(ctx, t.root, func(name string) bool { return hidden(name) || excluded(name) }) {
			if !yield(Picture{File: name}, err) || err != nil {
				return
			}
		}
	}
}

// named is files that are known by name from the start.
type named struct {
	*files
	pictures []Picture
}

func (n named) list(context.Context, func(string) bool) iter.Seq2[Picture, error] {
	return func(yield func(Picture, error) bool) {
		for _, p := range n.pictures {
			if !yield(p, nil) {
				return
			}
		}
	}
}
