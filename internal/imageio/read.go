package imageio

import (
	"bytes"
	"io"
)

// ReadAll reads a file of at most limit bytes, or fails with *[LimitError]
// having taken little more memory than that. Memory for size bytes is taken at
// once, so size is what is known for sure, or 0.
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
