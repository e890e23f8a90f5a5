package batch

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"

	"github.com/proposer/proposer/internal/batch/blobstore"
	"github.com/proposer/proposer/internal/boundedio"
)

// writeFile writes a file atomically, replacing an older one.
func writeFile(ctx context.Context, store blobstore.Store, name string, fill func(*fileWriter) error) error {
	f, err := store.Create(ctx, name)
	return fillFile(ctx, store, f, err, fill)
}

// writeNewFile writes a file atomically. If a file of that name exists, the error wraps
// fs.ErrExist.
func writeNewFile(ctx context.Context, store blobstore.Store, name string, fill func(*fileWriter) error) error {
	f, err := store.CreateNew(ctx, name)
	return fillFile(ctx, store, f, err, fill)
}

// fillFile writes and commits a file that was created with an error err.
func fillFile(ctx context.Context, store blobstore.Store, f blobstore.File, err error, fill func(*fileWriter) error) error {
	if err != nil {
		return storageError(ctx, store, err)
	}
	defer f.Abort() // no effect after Commit

	out := newFileWriter(f)
	if err := fill(out); err != nil {
		return out.cause(ctx, store, err)
	}
	if err := out.Flush(); err != nil {
		return out.cause(ctx, store, err)
	}
	return storageError(ctx, store, f.Commit())
}

// fileWriter is a buffered file that counts and hashes its bytes. It remembers errors of the file,
// to distinguish them from errors of the content.
type fileWriter struct {
	*bufio.Writer
	file  io.Writer
	bytes int64
	hash  hash.Hash
	err   error
}

func newFileWriter(file io.Writer) *fileWriter {
	w := &fileWriter{file: file, hash: sha256.New()}
	w.Writer = bufio.NewWriterSize(unbuffered{w}, 1<<16)
	return w
}

// unbuffered writes to the file of a fileWriter.
type unbuffered struct{ w *fileWriter }

func (u unbuffered) Write(p []byte) (int, error) {
	n, err := u.w.file.Write(p)
	u.w.bytes += int64(n)
	u.w.hash.Write(p[:n])
	if err != nil {
		u.w.err = err
	}
	return n, err
}

// cause returns the file's error as a *[StorageError] if the file has failed, else err.
func (w *fileWriter) cause(ctx context.Context, store blobstore.Store, err error) error {
	if w.err != nil {
		return storageError(ctx, store, w.err)
	}
	return err
}

// digest returns the SHA-256 of the bytes that were flushed.
func (w *fileWriter) digest() string { return hex.EncodeToString(w.hash.Sum(nil)) }

// writeJSON writes v as a line.
func writeJSON(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	return e.Encode(v)
}

// readJSON reads a document of at most maxDocument bytes.
func readJSON(ctx context.Context, store blobstore.Store, name string, into any) error {
	r, size, err := store.Open(ctx, name)
	if err != nil {
		return err
	}
	defer r.Close()
	text, err := boundedio.ReadAll(r, size, maxDocument)
	if _, ok := errors.AsType[*boundedio.LimitError](err); ok {
		return &documentError{name, err}
	}
	if err != nil {
		return err
	}
	if err := json.Unmarshal(text, into); err != nil {
		return &documentError{name, err}
	}
	return nil
}

// documentError reports a file whose content is not as expected.
type documentError struct {
	name string
	err  error
}

func (e *documentError) Error() string { return fmt.Sprintf("%s is damaged: %v", e.name, e.err) }

func (e *documentError) Unwrap() error { return e.err }
