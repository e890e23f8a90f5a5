package boundedio

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"pgregory.net/rapid"
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

// budget is a Budget that records its peak.
type budget struct{ limit, used, peak int64 }

var errBudget = errors.New("no memory")

func (b *budget) Reserve(n int64) error {
	if b.used+n > b.limit {
		return errBudget
	}
	b.used += n
	b.peak = max(b.peak, b.used)
	return nil
}

func (b *budget) Release(n int64) { b.used -= n }

// ReadReserved reads what ReadAll reads, and reserves in proportion to what has arrived.
func TestReadReserved(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		const maxLength = 64 << 10
		length := rapid.OneOf(rapid.Just(0), rapid.IntRange(0, maxLength)).Draw(t, "length")
		limit := int64(rapid.OneOf(rapid.Just(length), rapid.IntRange(0, maxLength)).Draw(t, "limit"))
		announced := int64(rapid.OneOf(rapid.Just(length), rapid.Just(0), rapid.IntRange(0, 1<<30)).Draw(t, "announced"))
		b := &budget{limit: rapid.Int64Range(0, 4*maxLength).Draw(t, "memory")}
		in := make([]byte, length)
		for i := range in {
			in[i] = byte(i ^ i>>8)
		}
		reader := rapid.SampledFrom([]func(io.Reader) io.Reader{
			func(r io.Reader) io.Reader { return r }, iotest.HalfReader, iotest.DataErrReader, iotest.OneByteReader,
		}).Draw(t, "reader")
		r := &counter{r: reader(bytes.NewReader(in))}
		got, err := ReadReserved(r, announced, limit, b)

		peak := 3 * int64(length)
		if announced == int64(length) {
			peak = 3*int64(length)/2 + 2 // rounded up
		}
		peak = max(peak, 2*minBuffer)
		if most := min(max(3*r.n, 2*minBuffer), peak); b.peak > most {
			t.Fatalf("reserved %d bytes when %d had arrived: want at most %d", b.peak, r.n, most)
		}
		_, limited := errors.AsType[*LimitError](err)
		switch {
		case err == nil:
			if !bytes.Equal(got, in) || int64(cap(got)) != b.used || int64(length) > limit || announced > limit {
				t.Fatalf("%d bytes in %d, %d reserved; want %d, at most %d", len(got), cap(got), b.used, length, limit)
			}
		case limited && (int64(length) > limit || announced > limit), errors.Is(err, errBudget) && b.limit < peak:
			if got != nil || b.used != 0 || r.n > limit+1 {
				t.Fatalf("%v: %d bytes, %d read, %d reserved", err, len(got), r.n, b.used)
			}
		default:
			t.Fatal(err)
		}
	})
	b := &budget{limit: 1 << 20}
	if _, err := ReadReserved(iotest.ErrReader(io.ErrClosedPipe), 0, 5, b); !errors.Is(err, io.ErrClosedPipe) || b.used != 0 {
		t.Errorf("a reader's error became %v; %d bytes remain reserved", err, b.used)
	}
}
