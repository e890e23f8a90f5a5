package boundedio

import (
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"
)

func TestReadAll(t *testing.T) {
	for _, c := range []struct{ length, size, limit int64 }{
		{0, 0, 10},
		{10, 10, 10},
		{10, 0, 10},
		{10, 99, 100},
		{5000, 3, 5000},
		{11, 0, 10},
		{11, 11, 10},
		{1 << 20, 5, 10},
	} {
		in := strings.Repeat("x", int(c.length))
		r := &counter{r: iotest.HalfReader(strings.NewReader(in))}
		got, err := ReadAll(r, c.size, c.limit)
		if c.length <= c.limit {
			if err != nil || string(got) != in {
				t.Errorf("%+v: %d bytes, %v", c, len(got), err)
			}
			continue
		}
		e, ok := errors.AsType[*LimitError](err)
		if !ok || e.What != "bytes" || e.Max != c.limit || e.Got <= c.limit || r.n > c.limit+1 {
			t.Errorf("%+v: %v after %d bytes", c, err, r.n)
		}
	}
	if _, err := ReadAll(iotest.ErrReader(io.ErrClosedPipe), 0, 5); !errors.Is(err, io.ErrClosedPipe) {
		t.Errorf("a reader's error became %v", err)
	}
}

type counter struct {
	r io.Reader
	n int64
}

func (c *counter) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += int64(n)
	return n, err
}
