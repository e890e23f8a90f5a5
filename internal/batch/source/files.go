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

	"github.com/proposer/proposer/dataset"
	"github.com/proposer/proposer/internal/boundedio"
	"github.com/proposer/proposer/internal/safefs"
)

// dirFiles reads files below a folder, which stays open so that a replacement is detected.
type dirFiles struct {
	path          string
	root          *os.Root
	info          fs.FileInfo
	followLinks   bool // out of the folder
	absolutePaths bool // read absolute names

	mu sync.RWMutex
	// devices maps each device number to a folder on it from which an image was read, to detect
	// that a disk mounted below the folder was unmounted.
	devices map[uint64]string
}

func openFiles(folder string, o dataset.Options) (*dirFiles, error) {
	root, err := os.OpenRoot(folder)
	if err != nil {
		return nil, err
	}
	f := &dirFiles{path: folder, root: root, followLinks: o.FollowLinks, absolutePaths: o.AbsolutePaths, devices: map[uint64]string{}}
	if f.info, err = root.Stat("."); err != nil {
		root.Close()
		return nil, err
	}
	return f, nil
}

func (f *dirFiles) read(ctx context.Context, img Image, limit int64) ([]byte, error) {
	path, file, info, err := f.open(img)
	return f.readOpened(ctx, path, file, info, limit, err)
}

// readStart implements [Source.ReadStart].
func (f *dirFiles) readStart(img Image, n int64) ([]byte, error) {
	_, file, _, err := f.open(img)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	return io.ReadAll(io.LimitReader(file, n))
}

// open opens an image and returns its path.
func (f *dirFiles) open(img Image) (path string, file *os.File, info fs.FileInfo, err error) {
	name := filepath.FromSlash(img.File)
	path = filepath.Join(f.path, name)
	if filepath.IsAbs(name) {
		path = name
	}
	if filepath.IsAbs(name) && f.absolutePaths || filepath.IsLocal(name) && f.followLinks {
		file, info, err = safefs.Open(path)
	} else {
		file, info, err = safefs.OpenIn(f.root, img.File)
	}
	return path, file, info, err
}

// readOpened reads and closes a file that was opened with an error err.
func (f *dirFiles) readOpened(ctx context.Context, path string, file *os.File, info fs.FileInfo, limit int64, err error) ([]byte, error) {
	if err != nil {
		return nil, err
	}
	defer file.Close()
	f.recordDevice(path, info)
	return boundedio.ReadAll(&contextReader{ctx, file}, info.Size(), limit)
}

// contextReader reads until a context ends.
type contextReader struct {
	ctx context.Context
	r   io.Reader
}

func (p *contextReader) Read(b []byte) (int, error) {
	if err := p.ctx.Err(); err != nil {
		return 0, err
	}
	return p.r.Read(b)
}

// recordDevice records the folder of the first image that is read from a device.
func (f *dirFiles) recordDevice(path string, info fs.FileInfo) {
	disk, ok := deviceID(info)
	if !ok {
		return
	}
	f.mu.RLock()
	_, known := f.devices[disk]
	f.mu.RUnlock()
	if known {
		return
	}
	if target, err := filepath.EvalSymlinks(path); err == nil {
		path = target
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.devices[disk] = filepath.Dir(path)
}

func (f *dirFiles) check(context.Context) error {
	if err := safefs.SameFolder(f.path, f.info); err != nil {
		return err
	}
	f.mu.RLock()
	defer f.mu.RUnlock()
	for disk, folder := range f.devices {
		if err := checkDevice(folder, disk); err != nil {
			return err
		}
	}
	return nil
}

// checkDevice returns an error unless a folder, or its deepest existing parent, is on a device.
func checkDevice(folder string, disk uint64) error {
	for {
		info, err := os.Stat(folder)
		if err == nil {
			if now, ok := deviceID(info); ok && now != disk {
				return fmt.Errorf("another disk is mounted at %s", folder)
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

// retryable reports the transient errors of network file systems.
func (*dirFiles) retryable(err error) bool {
	for _, e := range []error{syscall.EIO, syscall.ESTALE, syscall.ETIMEDOUT, syscall.EAGAIN, syscall.EHOSTDOWN, syscall.ENOTCONN} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

func (f *dirFiles) folder() string {
	name, err := filepath.Abs(f.path)
	if err != nil || filepath.Dir(name) == name {
		return "" // unknown, or the root
	}
	return filepath.Base(name)
}

func (f *dirFiles) close() error { return f.root.Close() }

// folderImages are all images below a folder.
type folderImages struct{ *dirFiles }

func (t folderImages) list(ctx context.Context, sel selection) iter.Seq2[Image, error] {
	return func(yield func(Image, error) bool) {
		opts := safefs.WalkOptions{
			Skip:        func(name string) bool { return hidden(name) || sel.excluded(name) },
			FollowLinks: t.followLinks,
			LeftOut:     sel.leftOut,
		}
		for name, err := range safefs.Walk(ctx, t.root, opts) {
			if !yield(Image{File: name}, err) || err != nil {
				return
			}
		}
	}
}
