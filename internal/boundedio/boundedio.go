// Package boundedio reads files that a person wrote: settings, keys, names. One that is longer
// than it may be is an error before its memory is taken, and a pipe or a device, which might
// never end, is one too.
package boundedio

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
)

// Read reads a regular file of at most limit bytes, and tells what is known of it. Its errors
// are *[fs.PathError].
func Read(name string, limit int64) ([]byte, fs.FileInfo, error) {
	wrong := func(err error) error { return &fs.PathError{Op: "read", Path: name, Err: err} }
	info, err := os.Stat(name) // first: to open a pipe may take for ever
	if err != nil {
		return nil, nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, nil, wrong(errors.New("want a regular file"))
	}
	f, err := os.Open(name)
	if err != nil {
		return nil, nil, err
	}
	defer f.Close()
	if info, err = f.Stat(); err != nil {
		return nil, nil, err
	}
	data, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err != nil {
		return nil, nil, err
	}
	if int64(len(data)) > limit {
		return nil, nil, wrong(fmt.Errorf("want at most %d bytes", limit))
	}
	return data, info, nil
}
