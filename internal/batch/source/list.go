package source

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"iter"
	"path/filepath"

	"github.com/proposer/proposer/dataset"
	"github.com/proposer/proposer/internal/safefs"
)

func (s *Source) openList(path string) error {
	f, err := openFiles(filepath.Dir(path), dataset.Options{})
	if err != nil {
		return err
	}
	s.kind, s.anyExtension, s.backend = "list", true, pathList{f, path}
	return nil
}

// pathList are the images named in a list.
type pathList struct {
	*dirFiles
	path string
}

func (l pathList) list(ctx context.Context, _ selection) iter.Seq2[Image, error] {
	return func(yield func(Image, error) bool) {
		seen := nameSet{}
		for line, err := range fileLines(l.path) {
			if err == nil {
				err = ctx.Err()
			}
			if err == nil && line.text == "" {
				continue
			}
			var img Image
			if err == nil {
				img.File = filepath.ToSlash(filepath.Clean(line.text))
				err = seen.add(img.File, line)
			}
			if err != nil {
				yield(Image{}, err)
				return
			}
			if !yield(img, nil) {
				return
			}
		}
	}
}

func (l pathList) read(ctx context.Context, img Image, limit int64) ([]byte, error) {
	path := filepath.FromSlash(img.File)
	if !filepath.IsAbs(path) {
		path = filepath.Join(l.dirFiles.path, path)
	}
	file, info, err := safefs.Open(path)
	return l.readOpened(ctx, path, file, info, limit, err)
}

// numberedLine is a line of a list.
type numberedLine struct {
	number int // from 1
	text   string
}

func (l numberedLine) wrapError(err error) error {
	return &Error{File: fmt.Sprintf("line %d", l.number), Err: err}
}

// maxLineBytes exceeds the longest path of any system.
const maxLineBytes = 64 << 10

// fileLines yields the lines of a file.
func fileLines(path string) iter.Seq2[numberedLine, error] {
	return func(yield func(numberedLine, error) bool) {
		f, _, err := safefs.Open(path)
		if err != nil {
			yield(numberedLine{}, &Error{Err: err})
			return
		}
		defer f.Close()
		for l, err := range splitLines(f) {
			if !yield(l, err) || err != nil {
				return
			}
		}
	}
}

// splitLines yields the lines of r, which are separated by zero bytes if r contains any. It reads r twice.
func splitLines(r io.ReadSeeker) iter.Seq2[numberedLine, error] {
	return func(yield func(numberedLine, error) bool) {
		end := byte('\n')
		zero, err := containsNUL(r)
		if zero {
			end = 0
		}
		if err == nil {
			_, err = r.Seek(0, io.SeekStart)
		}
		if err != nil {
			yield(numberedLine{}, err)
			return
		}
		in := bufio.NewReaderSize(r, maxLineBytes)
		for l := (numberedLine{number: 1}); ; l.number++ {
			text, err := in.ReadSlice(end)
			if l.number == 1 {
				text = bytes.TrimPrefix(text, []byte("\ufeff"))
			}
			if errors.Is(err, bufio.ErrBufferFull) {
				err = l.wrapError(fmt.Errorf("%q… is too long: want lines of at most %d bytes", text[:40], maxLineBytes))
			}
			if err != nil && !errors.Is(err, io.EOF) {
				yield(numberedLine{}, err)
				return
			}
			text = bytes.TrimSuffix(text, []byte{end})
			if !zero {
				text = bytes.TrimSuffix(text, []byte("\r"))
			}
			l.text = string(text)
			if !yield(l, nil) || err != nil {
				return
			}
		}
	}
}

func containsNUL(r io.Reader) (bool, error) {
	buf := make([]byte, 64<<10)
	for {
		n, err := r.Read(buf)
		if bytes.IndexByte(buf[:n], 0) >= 0 {
			return true, nil
		}
		if errors.Is(err, io.EOF) {
			return false, nil
		}
		if err != nil {
			return false, err
		}
	}
}

// nameSet maps the names seen to their positions. Names are represented by half of their SHA-256.
type nameSet map[[16]byte]int

func (s nameSet) add(name string, l numberedLine) error {
	sum := sha256.Sum256([]byte(name))
	key := [16]byte(sum[:16])
	if first, ok := s[key]; ok {
		return l.wrapError(fmt.Errorf("%q repeats number %d: want each image once", name, first))
	}
	s[key] = l.number
	return nil
}
