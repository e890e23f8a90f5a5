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

	"github.com/proposer/proposer/internal/batch/blobstore"
)

func (s *Source) openList(path string) error {
	if ok, err := s.openSet(path); ok || err != nil {
		return s.wrong("", err)
	}
	f, err := openFiles(filepath.Dir(path))
	if err != nil {
		return s.wrong("", err)
	}
	s.kind, s.any, s.in = "list", true, list{f, path}
	return nil
}

// list is what a list names.
type list struct {
	*files
	path string
}

func (l list) list(ctx context.Context, _ func(string) bool) iter.Seq2[Picture, error] {
	return func(yield func(Picture, error) bool) {
		seen := seen{}
		for line, err := range linesOf(l.path) {
			if err == nil {
				err = ctx.Err()
			}
			if err == nil && line.text == "" {
				continue
			}
			var p Picture
			if err == nil {
				p.File = filepath.ToSlash(filepath.Clean(line.text))
				err = seen.add(p.File, line)
			}
			if err != nil {
				yield(Picture{}, err)
				return
			}
			if !yield(p, nil) {
				return
			}
		}
	}
}

func (l list) read(ctx context.Context, p Picture, limit int64) ([]byte, error) {
	path := filepath.FromSlash(p.File)
	if !filepath.IsAbs(path) {
		path = filepath.Join(l.files.path, path)
	}
	file, info, err := blobstore.OpenRegularPath(path)
	return l.readOpened(ctx, path, file, info, limit, err)
}

// line is a line of a list.
type line struct {
	number int // from 1
	text   string
}

func (l line) wrong(err error) error { return &Error{File: fmt.Sprintf("line %d", l.number), Err: err} }

// longestLine is more than any system's paths have, in bytes.
const longestLine = 64 << 10

// linesOf is the lines of a file.
func linesOf(path string) iter.Seq2[line, error] {
	return func(yield func(line, error) bool) {
		f, _, err := blobstore.OpenRegularPath(path)
		if err != nil {
			yield(line{}, &Error{Err: err})
			return
		}
		defer f.Close()
		for l, err := range lines(f) {
			if !yield(l, err) || err != nil {
				return
			}
		}
	}
}

// lines is what ends with newlines, or with zero bytes if there is one. It reads twice.
func lines(r io.ReadSeeker) iter.Seq2[line, error] {
	return func(yield func(line, error) bool) {
		end := byte('\n')
		zero, err := holdsZero(r)
		if zero {
			end = 0
		}
		if err == nil {
			_, err = r.Seek(0, io.SeekStart)
		}
		if err != nil {
			yield(line{}, err)
			return
		}
		in := bufio.NewReaderSize(r, longestLine)
		for l := (line{number: 1}); ; l.number++ {
			text, err := in.ReadSlice(end)
			if l.number == 1 {
				text = bytes.TrimPrefix(text, []byte("\ufeff"))
			}
			if errors.Is(err, bufio.ErrBufferFull) {
				err = l.wrong(fmt.Errorf("%q… and on: want no line of more than %d bytes", text[:40], longestLine))
			}
			if err != nil && !errors.Is(err, io.EOF) {
				yield(line{}, err)
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

func holdsZero(r io.Reader) (bool, error) {
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

// seen is the names that have been, by as much of their SHA-256 as no two have in common, and
// where.
type seen map[[16]byte]int

func (s seen) add(name string, l line) error {
	sum := sha256.Sum256([]byte(name))
	key := [16]byte(sum[:16])
	if first, ok := s[key]; ok {
		return l.wrong(fmt.Errorf("%q is there before, as number %d: want each picture once", name, first))
	}
	s[key] = l.number
	return nil
}
