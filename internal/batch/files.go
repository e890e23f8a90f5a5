package batch

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"hash"
	"io"

	"github.com/proposer/proposer/internal/batch/blobstore"
)

// writeFile writes a file whole, or not at all.
func writeFile(ctx context.Context, store blobstore.Store, name string, fill func(*fileWriter) error) error {
	return writeWith(ctx, store, name, store.Create, fill)
}

// writeNewFile is write for a file that must not be there: if it is the error wraps fs.ErrExist.
func writeNewFile(ctx context.Context, store blobstore.Store, name string, fill func(*fileWriter) error) error {
	return writeWith(ctx, store, name, store.CreateNew, fill)
}

func writeWith(ctx context.Context, store blobstore.Store, name string, create func(context.Context, string) (blobstore.File, error), fill func(*fileWriter) error) error {
	f, err := create(ctx, name)
	if err != nil {
		return storageError(ctx, store, err)
	}
	out := newFileWriter(f)
	if err = fill(out); err == nil {
		err = out.Flush()
	}
	if err != nil {
		f.Abort() // the reason for that is told
		return out.cause(ctx, store, err)
	}
	return storageError(ctx, store, f.Commit())
}

// fileWriter is a file with a buffer that knows which failures are its own.
type fileWriter struct {
	*bufio.Writer
	file  io.Writer
	bytes int64
	sum   hash.Hash
	err   error
}

func newFileWriter(file io.Writer) *fileWriter {
	s := &fileWriter{file: file, sum: sha256.New()}
	s.Writer = bufio.NewWriterSize(unbuffered{s}, 1<<16)
	return s
}

// unbuffered is what is behind a sink's buffer.
type unbuffered struct{ s *fileWriter }

func (u unbuffered) Write(p []byte) (int, error) {
	n, err := u.s.file.Write(p)
	u.s.bytes += int64(n)
	u.s.sum.Write(p[:n])
	if err != nil {
		u.s.err = err
	}
	return n, err
}

// cause tells of the destination if that is what failed, else of what is written.
func (s *fileWriter) cause(ctx context.Context, store blobstore.Store, err error) error {
	if s.err != nil {
		return storageError(ctx, store, s.err)
	}
	return err
}

// digest is the SHA-256 of what was flushed.
func (s *fileWriter) digest() string { return hex.EncodeToString(s.sum.Sum(nil)) }

// writeJSON writes a line.
func writeJSON(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	return e.Encode(v)
}

// readJSON reads a document of bounded length.
func readJSON(ctx context.Context, store blobstore.Store, name string, into any) error {
	r, size, err := store.Open(ctx, name)
	if err != nil {
		return err
	}
	defer r.Close()
	if size > maxDocument {
		return &documentError{name, fmt.Errorf("has %d bytes: want at most %d", size, maxDocument)}
	}
	text, err := io.ReadAll(io.LimitReader(r, maxDocument))
	if err != nil {
		return err
	}
	if err := json.Unmarshal(text, into); err != nil {
		return &documentError{name, err}
	}
	return nil
}

// documentError is a file that is there and not what it should be.
type documentError struct {
	name string
	err  error
}

func (e *documentError) Error() string { return fmt.Sprintf("%s is damaged: %v", e.name, e.err) }

func (e *documentError) Unwrap() error { return e.err }
