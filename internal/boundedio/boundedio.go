// Package boundedio reads files and streams of limited size: input that is too long is an error
// before memory is allocated for it.
package boundedio

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"

	"github.com/proposer/proposer/internal/safefs"
)

// A LimitError reports an input that is larger than its reader allows.
type LimitError struct {
	What     string // the unit, such as "bytes", "pixels" or "pixels wide"
	Got, Max int64
}

func (e *LimitError) Error() string {
	return fmt.Sprintf("too large: got %d %s, want at most %d %s", e.Got, e.What, e.Max, e.What)
}

// ReadAll reads r to its end. An input of more than limit bytes is a *[LimitError], for which
// little more than limit bytes are read and allocated. size is the number of bytes to allocate in
// advance: the size of the input where it is known, else 0.
func ReadAll(r io.Reader, size, limit int64) ([]byte, error) {
	if size > limit {
		return nil, &LimitError{What: "bytes", Got: size, Max: limit}
	}
	var buf bytes.Buffer
	buf.Grow(int(max(size, 0)) + bytes.MinRead)
	n, err := buf.ReadFrom(io.LimitReader(r, limit+1))
	if err != nil {
		return nil, err
	}
	if n > limit {
		return nil, &LimitError{What: "bytes", Got: n, Max: limit}
	}
	return buf.Bytes(), nil
}

// ReadFile reads the regular file at path, of at most limit bytes, and returns its metadata. A pipe
// or a device is refused without opening it. Errors are *[fs.PathError]; they wrap a *[LimitError]
// or [safefs.ErrNotRegular].
func ReadFile(path string, limit int64) ([]byte, fs.FileInfo, error) {
	f, info, err := safefs.Open(path)
	if err != nil {
		return nil, nil, err
	}
	defer f.Close()
	data, err := ReadAll(f, info.Size(), limit)
	if err != nil {
		if _, ok := errors.AsType[*fs.PathError](err); ok {
			return nil, nil, err
		}
		return nil, nil, &fs.PathError{Op: "read", Path: path, Err: err}
	}
	return data, info, nil
}
