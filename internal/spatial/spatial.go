// Package spatial bins the sizes and positions of boxes, for indexes that find overlapping boxes.
// All functions are monotone, so that a range of sizes or positions is a range of bins.
package spatial

import "math"

// oneBits are the exponent and the first bit of the mantissa of 1.0.
const oneBits = 0x3ff << 1

// SizeBin returns the bin of a side of at least 1. There are two bins to an octave.
func SizeBin(side float64) int {
	return max(int(math.Float64bits(side)>>51)-oneBits, 0)
}

// MinSide returns the smallest side in a size bin.
func MinSide(bin int) float64 {
	return math.Float64frombits(uint64(bin+oneBits) << 51)
}

// Length returns the length of a side. It is exact: a float64 holds any difference of two int32.
func Length(from, to int32) float64 { return float64(to) - float64(from) }

// DoubleCenter returns twice the midpoint of a side, which is exact.
func DoubleCenter(from, to int32) float64 { return float64(from) + float64(to) }

// Extent is the range of the sizes and positions of boxes.
type Extent struct {
	Width, Height            float64 // the largest sides, at least 1
	Left, Right, Top, Bottom float64 // the range of the doubled centers
}

// NewExtent returns the extent of no boxes.
func NewExtent() Extent {
	return Extent{1, 1, math.Inf(1), math.Inf(-1), math.Inf(1), math.Inf(-1)}
}

// Add extends e to a box that is not empty.
func (e *Extent) Add(x0, y0, x1, y1 int32) {
	e.Width = max(e.Width, Length(x0, x1))
	e.Height = max(e.Height, Length(y0, y1))

	x := DoubleCenter(x0, x1)
	e.Left = min(e.Left, x)
	e.Right = max(e.Right, x)

	y := DoubleCenter(y0, y1)
	e.Top = min(e.Top, y)
	e.Bottom = max(e.Bottom, y)
}

// Slots divides a range of positions into N slots of equal length.
type Slots struct {
	N           int
	from, pitch float64
}

// NewSlots divides [from,to] into at most limit slots that are not shorter than pitch.
func NewSlots(from, to, pitch float64, limit int) Slots {
	pitch = max(pitch, (to-from)/float64(limit))
	return Slots{min(int(max(to-from, 0)/pitch)+1, limit), from, pitch}
}

// At returns the slot of a position: the first or the last one if the position is out of range.
func (s Slots) At(v float64) int {
	return int(min(max((v-s.from)/s.pitch, 0), float64(s.N-1)))
}
