package imageio

import (
	"fmt"
	"math"
	"math/bits"
	"slices"
	"strconv"
)

// A Depth is the number of significant bits of the samples of a 16-bit file: the file's white is
// 2^Depth-1. Files of fewer bits ignore it. 0 means 16.
type Depth int

const (
	// AutoDepth chooses the depth by the samples of each image: the fewest bits, at least 8, that
	// hold the largest one. If the image uses less than a sixteenth of their range, its least sample
	// is black and its largest is white.
	AutoDepth Depth = -1

	minDepth Depth = 8
	maxDepth Depth = 16
)

// DepthSyntax is what [ParseDepth] wants.
const DepthSyntax = "a whole number from 8 to 16, or auto"

const autoDepth = "auto"

// ParseDepth parses a depth. Its inverse is [Depth.String].
func ParseDepth(s string) (Depth, error) {
	if s == autoDepth {
		return AutoDepth, nil
	}
	n, err := strconv.Atoi(s)
	if err != nil {
		return 0, err
	}
	switch d := Depth(n); {
	case d == maxDepth:
		return 0, nil
	case d >= minDepth && d < maxDepth:
		return d, nil
	}
	return 0, strconv.ErrRange
}

func (d Depth) String() string {
	switch d {
	case AutoDepth:
		return autoDepth
	case 0:
		d = maxDepth
	}
	return strconv.Itoa(int(d))
}

// A DepthError reports a sample that is larger than [Options.Depth] allows.
type DepthError struct {
	Depth  Depth
	Sample uint16
}

func (e *DepthError) Error() string {
	return fmt.Sprintf("a sample of %d does not fit in %v bits: want a depth of %s", e.Sample, e.Depth, e.Want())
}

// Want returns the depths that the image has.
func (e *DepthError) Want() string {
	if fits := Depth(bits.Len16(e.Sample)); fits < maxDepth {
		return fmt.Sprintf("%d or more, or %s", int(fits), autoDepth)
	}
	return fmt.Sprintf("%d or %s", int(maxDepth), autoDepth)
}

// A LowRange describes a 16-bit image whose samples use less than a sixteenth of the range of
// [Options.Depth], so that with 8 bits little of it is left.
type LowRange struct {
	Low, High uint16 // the least and the largest sample
	Depth     Depth
}

func (r *LowRange) String() string {
	want := autoDepth
	if fits := max(Depth(bits.Len16(r.High)), minDepth); fits < r.bits() {
		want = fmt.Sprintf("%d or %s", int(fits), autoDepth)
	}
	top := 1<<r.bits() - 1
	levels := (int(r.High)*math.MaxUint8+top/2)/top - (int(r.Low)*math.MaxUint8+top/2)/top + 1
	return fmt.Sprintf("samples from %d to %d of 0 to %d leave %d of 256 levels: set the option depth to %s",
		r.Low, r.High, top, levels, want)
}

func (r *LowRange) bits() Depth {
	if r.Depth == 0 {
		return maxDepth
	}
	return r.Depth
}

// A sampleRange is the range of the color samples of an image that can be seen.
type sampleRange struct {
	low, high uint16
	any       bool
}

func (r *sampleRange) add(row []uint16, l rowLayout) {
	alpha, colors := l.alpha(), l.colors()
	if colors == l.channels && l.grayKey < 0 && len(row) > 0 { // all samples count
		low, high := slices.Min(row), slices.Max(row)
		if r.any {
			low, high = min(low, r.low), max(high, r.high)
		}
		*r = sampleRange{low, high, true}
		return
	}
	for ; len(row) >= l.channels; row = row[l.channels:] {
		if alpha >= 0 && row[alpha] == 0 || l.channels == 1 && int(row[0]) == l.grayKey {
			continue
		}
		for _, v := range row[:colors] {
			if !r.any {
				*r = sampleRange{v, v, true}
			}
			r.low, r.high = min(r.low, v), max(r.high, v)
		}
	}
}

// check returns an error if a sample is too large for the depth, and a [LowRange] if they use little
// of its range. Of a uniform image there is nothing to lose.
func (r *sampleRange) check(depth Depth) (*LowRange, error) {
	if depth == AutoDepth {
		return nil, nil
	}
	low := &LowRange{Low: r.low, High: r.high, Depth: depth}
	if bits.Len16(r.high) > int(low.bits()) {
		return nil, &DepthError{Depth: depth, Sample: r.high}
	}
	if r.low == r.high || int(r.high-r.low) >= 1<<low.bits()/16 {
		return nil, nil
	}
	return low, nil
}

// levels returns the samples that become black and white, of files whose 0 is black.
func (r *sampleRange) levels(depth Depth, l rowLayout) (black, white uint16) {
	switch depth {
	case 0:
		return 0, math.MaxUint16
	case AutoDepth:
		white = 1<<max(bits.Len16(r.high), int(minDepth)) - 1
		// Premultiplied samples cannot be shifted.
		if r.low < r.high && !l.premultiplied && r.high-r.low < white/16 {
			return r.low, r.high
		}
		return 0, white
	}
	return 0, 1<<depth - 1
}

// stretch maps the color samples from black to white to 0 to 65535. Without alpha the result is that
// of rounding to 8 bits once. A transparent gray sample becomes white.
func stretch(row []uint16, l rowLayout, black, white uint16) {
	alpha, colors := l.alpha(), l.colors()
	span := uint32(white - black)
	for ; len(row) >= l.channels; row = row[l.channels:] {
		if l.channels == 1 && int(row[0]) == l.grayKey {
			row[0] = math.MaxUint16
			continue
		}
		for c, v := range row[:colors] {
			d := uint32(min(max(v, black), white) - black)
			if alpha >= 0 {
				row[c] = uint16((uint64(d)*math.MaxUint16 + uint64(span)/2) / uint64(span))
			} else {
				row[c] = uint16((d*math.MaxUint8+span/2)/span) * 257
			}
		}
	}
}
