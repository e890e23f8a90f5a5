package mask

import "fmt"

// Encoder makes an [RLE] of runs that are told in their order.
type Encoder struct {
	width, height int
	text          []byte
	written       int    // the pixels that are in text
	start, end    int    // the last run, which is not in text yet
	last          [2]int // the run written last, and the one before that
	runs          int    // in text
}

// NewEncoder begins an empty set of the pixels of a picture, which has at least one and at
// most 2³¹−1.
func NewEncoder(width, height int) *Encoder {
	if err := checkSize(width, height); err != nil {
		panic("mask: NewEncoder: " + err.Error())
	}
	return &Encoder{width: width, height: height}
}

// Run adds the pixels start to end−1, which come after those of the runs before. Runs
// that touch become one.
func (e *Encoder) Run(start, end int) {
	if start != e.end {
		e.begin(start)
	}
	e.end = end
}

// begin writes the last run, and begins another one.
func (e *Encoder) begin(start int) {
	if start < e.end || e.start > e.end {
		panic(fmt.Sprintf("mask: Encoder: a run from %d after one from %d to %d", start, e.start, e.end))
	}
	e.flush()
	e.start = start
}

func (e *Encoder) flush() {
	if e.start < e.end {
		e.write(e.start - e.written)
		e.write(e.end - e.start)
		e.written = e.end
	}
}

// write appends a run's length.
func (e *Encoder) write(n int) {
	v := int64(n)
	if e.runs > 2 {
		v -= int64(e.last[1])
	}
	e.last = [2]int{n, e.last[0]}
	e.runs++
	for v < -16 || v > 15 {
		e.text = append(e.text, '0'+byte(v&31|32))
		v >>= 5
	}
	e.text = append(e.text, '0'+byte(v&31))
}

// Len is the length of the text so far, in bytes.
func (e *Encoder) Len() int { return len(e.text) }

// RLE is the set. It ends the encoding: another set begins with another Encoder.
func (e *Encoder) RLE() RLE {
	total := e.width * e.height
	if e.end > total || e.start > e.end {
		panic(fmt.Sprintf("mask: Encoder: a run from %d to %d of a picture of %d pixels", e.start, e.end, total))
	}
	e.flush()
	if e.written < total {
		e.write(total - e.written)
	}
	return RLE{e.width, e.height, string(e.text)}
}
