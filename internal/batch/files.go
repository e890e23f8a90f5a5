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

// write writes a file whole, or not at all.
func write(ctx context.Context, dest blobstore.Storage, name string, fill func(*sink) error) error {
	return writeTo(ctx, dest, name, dest.Create, fill)
}

// writeNew is write for a file that must not be there: if it is the error wraps fs.ErrExist.
func writeNew(ctx context.Context, dest blobstore.Storage, name string, fill func(*sink) error) error {
	return writeTo(ctx, dest, name, dest.CreateNew, fill)
}

func writeTo(ctx context.Context, dest blobstore.Storage, name string, create func(context.Context, string) (blobstore.File, error), fill func(*sink) error) error {
	f, err := create(ctx, name)
	if err != nil {
		return destError(ctx, dest, err)
	}
	out := newSink(f)
	if err = fill(out); err == nil {
		err = out.Flush()
	}
	if err != nil {
		f.Abort() // the reason for that is told
		return out.blame(ctx, dest, err)
	}
	return destError(ctx, dest, f.Commit())
}

// sink is a file with a buffer that knows which failures are its own.
type sink struct {
	*bufio.Writer
	file  io.Writer
	bytes int64
	sum   hash.Hash
	err   error
}

func newSink(file io.Writer) *sink {
	s := &sink{file: file, sum: sha256.New()}
	s.Writer = bufio.NewWriterSize(unbuffered{s}, 1<<16)
	return s
}

// unbuffered is what is behind a sink's buffer.
type unbuffered struct{ s *sink }

func (u unbuffered) Write(p []byte) (int, error) {
	n, err := u.s.file.Write(p)
	u.s.bytes += int64(n)
	u.s.sum.Write(p[:n])
	if err != nil {
		u.s.err = err
	}
	return n, err
}

// blame tells of the destination if that is what failed, else of what is written.
func (s *sink) blame(ctx context.Context, dest blobstore.Storage, err error) error {
	if s.err != nil {
		return destError(ctx, dest, s.err)
	}
	return err
}

// digest is the SHA-256 of what was flushed.
func (s *sink) digest() string { return hex.EncodeToString(s.sum.Sum(nil)) }

// writeJSON writes a line.
func writeJSON(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	return e.Encode(v)
}

// readJSON reads a document of bounded length.
func readJSON(ctx context.Context, dest blobstore.Storage, name string, into any) error {
	r, size, err := dest.Open(ctx, name)
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
