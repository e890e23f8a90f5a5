package source

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/proposer/proposer/internal/imageio"
	"github.com/proposer/proposer/internal/safefs"
)

var errCompressed = errors.New("compressed archive: unpack it into a folder or an uncompressed .tar (gzip -d for .tar.gz)")

// tarArchive is a tar archive.
type tarArchive struct {
	path string
	file *os.File
	info fs.FileInfo
}

func (a *tarArchive) folder() string {
	base := filepath.Base(a.path)
	return strings.TrimSuffix(base, filepath.Ext(base))
}

func openTar(name string) (backend, error) {
	f, info, err := safefs.Open(name)
	if err != nil {
		return nil, err
	}
	var magic [4]byte
	if _, err := f.ReadAt(magic[:], 0); err != nil && !errors.Is(err, io.EOF) {
		f.Close()
		return nil, err
	}
	for _, m := range []string{"\x1f\x8b", "BZh", "\xfd7zX", "\x28\xb5\x2f\xfd", "PK\x03\x04"} {
		if strings.HasPrefix(string(magic[:]), m) {
			f.Close()
			return nil, errCompressed
		}
	}
	return &tarArchive{name, f, info}, nil
}

func (a *tarArchive) list(ctx context.Context, _ selection) iter.Seq2[Image, error] {
	return func(yield func(Image, error) bool) {
		seen := nameSet{}
		// The section can seek, so the contents of files are not read.
		section := io.NewSectionReader(a.file, 0, a.info.Size())
		entries := tar.NewReader(section)
		for n := 1; ; n++ {
			h, err := entries.Next()
			if errors.Is(err, io.EOF) {
				if a.atEnd(section) {
					return
				}
				err = io.ErrUnexpectedEOF
			}
			var img Image
			var ok bool
			if err == nil {
				err = ctx.Err()
			}
			if err == nil {
				img, ok, err = entryImage(h)
			}
			if err == nil && ok {
				err = seen.add(img.File, numberedLine{number: n})
			}
			if err == nil && ok {
				img.Offset, err = section.Seek(0, io.SeekCurrent)
			}
			if err == nil && img.Size > a.info.Size()-img.Offset {
				err = io.ErrUnexpectedEOF
			}
			if err != nil {
				if ctx.Err() == nil {
					err = entryError(n, err)
				}
				yield(Image{}, err)
				return
			}
			if ok && !yield(img, nil) {
				return
			}
		}
	}
}

// atEnd reports whether zeros end the archive where it was read to: otherwise it may be truncated.
func (a *tarArchive) atEnd(r io.Seeker) bool {
	var block [blockSize]byte
	end, err := r.Seek(0, io.SeekCurrent)
	if err == nil {
		_, err = a.file.ReadAt(block[:], end-blockSize)
	}
	return err == nil && block == [blockSize]byte{}
}

func entryError(n int, err error) error {
	if e, ok := errors.AsType[*Error](err); ok {
		err = e.Err
	}
	switch {
	case errors.Is(err, io.ErrUnexpectedEOF):
		err = errors.New("the archive is truncated: want zeros at its end")
	case errors.Is(err, tar.ErrHeader):
		err = errors.New("not a header of a tar archive: want a complete, uncompressed .tar")
	}
	return &Error{File: fmt.Sprintf("entry %d", n), Err: err}
}

// entryImage returns the image of an entry; ok is false for entries that are not listed.
func entryImage(h *tar.Header) (img Image, ok bool, err error) {
	sparse := h.Typeflag == tar.TypeGNUSparse
	for key := range h.PAXRecords {
		sparse = sparse || strings.HasPrefix(key, "GNU.sparse.")
	}
	if h.Typeflag != tar.TypeReg && !sparse || strings.HasSuffix(h.Name, "/") {
		return img, false, nil
	}
	file := path.Clean(h.Name)
	if path.IsAbs(file) || file == "." || file == ".." || strings.HasPrefix(file, "../") || strings.ContainsRune(file, 0) {
		return img, false, fmt.Errorf("%q leads out of the archive: want relative names, as written by tar without -P", h.Name)
	}
	if anyHidden(file) {
		return img, false, nil
	}
	if sparse {
		return img, false, fmt.Errorf("%q is sparse: want an archive written by tar without --sparse", h.Name)
	}
	return Image{File: file, Size: h.Size}, true, nil
}

// blockSize is the size of a header, which precedes the bytes of an entry.
const blockSize = 512

var errMoved = errors.New("is no longer at its offset: the archive has changed")

func (a *tarArchive) read(_ context.Context, img Image, limit int64) ([]byte, error) {
	if img.Size > limit {
		return nil, &imageio.LimitError{What: "bytes", Got: img.Size, Max: limit}
	}
	if img.Offset < blockSize || img.Offset%blockSize != 0 || img.Size < 0 || img.Offset > a.info.Size() || img.Size > a.info.Size()-img.Offset {
		return nil, errMoved
	}
	h, err := tar.NewReader(io.NewSectionReader(a.file, img.Offset-blockSize, blockSize+img.Size)).Next()
	if err != nil || h.Size != img.Size {
		return nil, errMoved
	}
	data := make([]byte, img.Size)
	if _, err := a.file.ReadAt(data, img.Offset); err != nil && img.Size > 0 {
		return nil, err
	}
	return data, nil
}

// check returns an error if the archive has changed, because offsets may be wrong.
func (a *tarArchive) check(context.Context) error {
	now, err := os.Stat(a.path)
	if err != nil {
		return err
	}
	if !os.SameFile(now, a.info) || now.Size() != a.info.Size() || !now.ModTime().Equal(a.info.ModTime()) {
		return errors.New("it was replaced or modified")
	}
	return nil
}

func (*tarArchive) retryable(err error) bool { return (*dirFiles)(nil).retryable(err) }

func (a *tarArchive) close() error { return a.file.Close() }
