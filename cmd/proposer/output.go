package main

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/proposer/proposer/internal/batch/blobstore"
	"github.com/proposer/proposer/internal/safefs"
)

// writeOutput writes a file that appears complete or not at all. Missing folders are created. What is
// not a regular file, such as /dev/null or a pipe, is written to.
func writeOutput(ctx context.Context, name string, data []byte) error {
	info, err := os.Stat(name)
	if err == nil && !info.Mode().IsRegular() && !info.IsDir() {
		return os.WriteFile(name, data, 0)
	}
	if err == nil {
		// A link keeps leading to its file.
		if name, err = filepath.EvalSymlinks(name); err != nil {
			return err
		}
	} else if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	err = writeAtomically(ctx, name, data)
	if e, ok := errors.AsType[*blobstore.Error](err); ok {
		return &fs.PathError{Op: "write", Path: name, Err: safefs.WithoutPath(e.Err)}
	}
	return err
}

func writeAtomically(ctx context.Context, name string, data []byte) error {
	folder, err := filepath.Abs(filepath.Dir(name)) // is not taken for a URL
	if err != nil {
		return err
	}
	store, err := blobstore.Open(ctx, folder)
	if err != nil {
		return err
	}
	defer store.Close()
	f, err := store.Create(ctx, filepath.Base(name))
	if err != nil {
		return err
	}
	defer f.Abort() // no effect after Commit
	if _, err := f.Write(data); err != nil {
		return err
	}
	return f.Commit()
}
