package mask

import "fmt"

// Encoder encodes a set that is given as ascending runs of pixels.
type Encoder struct {
	width, height int
	text          []byte
	written       int    // the number of pixels encoded in text
	start, end    int    // the last run, which is not in text yet, as it may grow
	last          [2]int // the lengths of the last run in text and the one before it
	runs          int    // in text
}

// NewEncoder returns an Encoder of a set of pixels of an image. It panics unless the image
// has 1 to 2³¹−1 pixels.
func NewEncoder(width, height int) *Encoder {
	if err := checkSize(width, height); err != nil {
		panic("mask: NewEncoder: " + err.Error())
	}
	return &Encoder{width: width, height: height}
}

// Run adds the pixels start to end−1, which must come after those of all previous runs. Runs
// that touch are joined. It panics if a run overlaps or precedes the previous one.
func (e *Encoder) Run(start, end int) {
	if start != e.end {
		e.begin(start)
	}
	e.end = end
}

// begin writes the last run and begins another one.
func (e *Encoder) begin(start int) {
	if start < e.end || e.start > e.end {
		panic(fmt.Sprintf("mask: Encoder: run from %d after one from %d to %d: want ascending runs", start, e.start, e.end))
	}
	e.flush()
	e.start = start
}

// flush writes the last run and the one outside the set before it.
func (e *Encoder) flush() {
	if e.start < e.end {
		e.write(e.start - e.written)
		e.write(e.end - e.start)
		e.written = e.end
	}
}

// write appends the length of a run.
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

// Len returns the length of the text so far, in bytes.
func (e *Encoder) Len() int { return len(e.text) }

// RLE returns the set. The encoder must not be used afterwards. It panics if the last run
// exceeds the image.
func (e *Encoder) RLE() RLE {
	total := e.width * e.height
	if e.end > total || e.start > e.end {
		panic(fmt.Sprintf("mask: Encoder: run from %d to %d: want it within the %d pixels of the image", e.start, e.end, total))
	}
	e.flush()
	if e.written < total {
		e.write(total - e.written)
	}
	return RLE{e.width, e.height, string(e.text)}
}
