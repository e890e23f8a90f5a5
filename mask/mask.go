// Package mask reads and writes masks, sets of pixels of an image, in the compressed
// run-length encoding (RLE) of COCO.
//
// The pixels are numbered column by column from the top: pixel (x, y) of an image of height
// h is number x·h + y. Runs of pixels outside and inside the set alternate. The first run
// is outside and may have length 0; no other run is empty. In the text, each of the first
// three runs is given by its length, and every other run by the difference of its length to
// that of the run two before. A number is written in groups of five bits, the lowest first,
// each as a character from '0' to 'o' whose sixth bit says whether another group follows.
package mask

import (
	"errors"
	"fmt"
	"iter"
	"math"

	"github.com/proposer/proposer/box"
)

// RLE is a set of pixels of an image of Width × Height. Equal sets are equal under ==. The
// zero value is a set without an image. It takes a byte or two per run.
type RLE struct {
	Width, Height int
	counts        string // as written by Encoder
}

// ErrInvalid is the error that all errors of [Parse] wrap.
var ErrInvalid = errors.New("mask: invalid run-length encoding")

// checkSize returns an error if images of this size cannot have masks.
func checkSize(width, height int) error {
	if width < 1 || height < 1 || width > math.MaxInt32/height {
		return fmt.Errorf("image of %d×%d: want sides above 0 and at most %d pixels", width, height, math.MaxInt32)
	}
	return nil
}

// Parse parses the text of [RLE.String] or of another tool. Runs of length 0 are removed. The
// runs must fill the image. Errors wrap [ErrInvalid].
//
// Time and memory are linear in len(s), also for malicious input.
func Parse(s string, width, height int) (RLE, error) {
	fail := func(format string, args ...any) (RLE, error) {
		return RLE{}, fmt.Errorf("%w: %w", ErrInvalid, fmt.Errorf(format, args...))
	}
	if err := checkSize(width, height); err != nil {
		return fail("%w", err)
	}
	e := NewEncoder(width, height)
	var last [2]int64 // the lengths of the previous run and the one before it
	at, total := int64(0), int64(width)*int64(height)
	for run := 0; s != ""; run++ {
		n, length, err := number(s)
		if err != nil {
			return fail("run %d %w", run, err)
		}
		s = s[length:]
		if run > 2 {
			n += last[1]
		}
		if n < 0 || n > total-at {
			return fail("run %d has %d pixels: want 0 to %d, the rest of %d×%d", run, n, total-at, width, height)
		}
		if run%2 == 1 && n > 0 {
			e.Run(int(at), int(at+n))
		}
		at += n
		last = [2]int64{n, last[0]}
	}
	if at != total {
		return fail("the runs have %d pixels: want %d×%d", at, width, height)
	}
	return e.RLE(), nil
}

// String returns COCO's compressed text: ASCII without quotes, but with backslashes.
func (r RLE) String() string { return r.counts }

// Counts returns the lengths of the runs, beginning with a run outside the set.
func (r RLE) Counts() []int {
	var counts []int
	at := 0
	for start, end := range r.runs() {
		counts = append(counts, start-at, end-start)
		at = end
	}
	if total := r.Width * r.Height; at < total || total == 0 {
		counts = append(counts, total-at)
	}
	return counts
}

// Area returns the number of pixels in the set, in time linear in the runs.
func (r RLE) Area() int {
	area := 0
	for start, end := range r.runs() {
		area += end - start
	}
	return area
}

// Box returns the bounding box of the set, the zero Box if the set is empty, in time linear
// in the runs.
func (r RLE) Box() box.Box {
	b := box.Box{X0: math.MaxInt32, Y0: math.MaxInt32}
	h := r.Height
	for start, end := range r.runs() {
		x0, y0 := start/h, start%h
		x1, y1 := (end-1)/h, (end-1)%h
		if x0 < x1 { // the run continues in the next column
			y0, y1 = 0, h-1
		}
		b.X0, b.X1 = min(b.X0, int32(x0)), int32(x1)+1
		b.Y0, b.Y1 = min(b.Y0, int32(y0)), max(b.Y1, int32(y1)+1)
	}
	if b.Empty() {
		return box.Box{}
	}
	return b
}

// Rescale returns the set in the image resized to width × height: each pixel becomes the box
// that [box.Box.Rescale] makes of it. Pixels may vanish if a side becomes shorter. Time is
// linear in the runs of both sets.
func (r RLE) Rescale(width, height int) RLE {
	if width == r.Width && height == r.Height {
		return r
	}
	e := NewEncoder(width, height)
	var (
		column int      // of r
		spans  [][2]int // its runs, in rows of the result
	)
	flush := func() {
		if len(spans) == 0 {
			return
		}
		left, right := box.Rescale(int32(column), r.Width, width), box.Rescale(int32(column)+1, r.Width, width)
		for x := int(left); x < int(right); x++ {
			for _, s := range spans {
				e.Run(x*height+s[0], x*height+s[1])
			}
		}
		spans = spans[:0]
	}
	for start, end := range r.runs() {
		for start < end {
			x := start / r.Height
			if x != column {
				flush()
				column = x
			}
			top, bottom := start-x*r.Height, min(end-x*r.Height, r.Height)
			spans = append(spans, [2]int{
				int(box.Rescale(int32(top), r.Height, height)),
				int(box.Rescale(int32(bottom), r.Height, height)),
			})
			start = x*r.Height + bottom
		}
	}
	flush()
	return e.RLE()
}

// Union returns the pixels that are in r or in s, which are sets of pixels of images of the same size;
// it panics if they are not. Time is linear in the runs of both.
func (r RLE) Union(s RLE) RLE {
	if r.Width != s.Width || r.Height != s.Height {
		panic(fmt.Sprintf("mask: Union: sets of %d×%d and %d×%d: want one size", r.Width, r.Height, s.Width, s.Height))
	}
	e := NewEncoder(r.Width, r.Height)
	next, stop := iter.Pull2(s.runs())
	defer stop()
	start, end, ok := next()
	at := 0 // up to which pixel runs are written
	add := func(from, to int) {
		if from = max(from, at); from < to {
			e.Run(from, to)
			at = to
		}
	}
	for from, to := range r.runs() {
		for ; ok && start < from; start, end, ok = next() {
			add(start, end)
		}
		add(from, to)
	}
	for ; ok; start, end, ok = next() {
		add(start, end)
	}
	return e.RLE()
}

// runs yields the runs of pixels inside the set as ranges of their numbers, [start, end).
func (r RLE) runs() iter.Seq2[int, int] {
	return func(yield func(start, end int) bool) {
		var last [2]int64
		at := int64(0)
		for run, s := 0, r.counts; s != ""; run++ {
			n, length, _ := number(s)
			s = s[length:]
			if run > 2 {
				n += last[1]
			}
			if run%2 == 1 && !yield(int(at), int(at+n)) {
				return
			}
			at += n
			last = [2]int64{n, last[0]}
		}
	}
}

// digits is the largest number of characters of a number: 33 bits in groups of five.
const digits = 7

// number parses the number at the beginning of s, which must not be empty, and returns it
// and its length.
func number(s string) (n int64, length int, err error) {
	for shift := 0; length < len(s); shift += 5 {
		if s[length] < '0' || s[length] > 'o' {
			return 0, length, fmt.Errorf("has %q: want characters from '0' to 'o'", s[length])
		}
		if length == digits {
			return 0, length, fmt.Errorf("has a number of more than %d characters", digits)
		}
		c := int64(s[length] - '0')
		length++
		n |= c & 31 << shift
		if c&32 == 0 {
			if c&16 != 0 {
				n -= 32 << shift
			}
			return n, length, nil
		}
	}
	return 0, length, errors.New("ends within a number")
}
