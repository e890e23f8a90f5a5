package imageio

import (
	"fmt"
	"math/bits"
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
	return fmt.Sprintf("imageio: depth %v: the image has a sample of %d: want a depth of %d or more, or %s",
		e.Depth, e.Sample, bits.Len16(e.Sample), autoDepth)
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
	return fmt.Sprintf("the samples are %d to %d, less than a sixteenth of %d bits, and the image is nearly uniform: set depth to %s",
		r.Low, r.High, int(r.bits()), want)
}

func (r *LowRange) bits() Depth {
	if r.Depth == 0 {
		return maxDepth
	}
	return r.Depth
}
