package similarity

import (
	"math"
	"math/bits"
	"slices"
)

// one is the fixed-point 1 of a normalised histogram.
const one = math.MaxUint16

// histograms are the descriptors of one kind of a set of regions: for each slot a
// row of bins, made of several histograms that each count every pixel of the region.
type histograms struct {
	bins  int // of a row
	parts int // histograms of a row
	// counts are exact; normal are the same, each histogram scaled to one.
	counts []uint32
	normal []uint16
}

func newHistograms(parts, bins, slots int) histograms {
	bins *= parts
	return histograms{bins, parts, make([]uint32, slots*bins), make([]uint16, slots*bins)}
}

func (h *histograms) row(i int32) []uint32 { return h.counts[int(i)*h.bins : int(i+1)*h.bins] }

func (h *histograms) normalRow(i int32) []uint16 {
	return h.normal[int(i)*h.bins : int(i+1)*h.bins]
}

func (h *histograms) clone() histograms {
	c := *h
	c.counts, c.normal = slices.Clone(h.counts), slices.Clone(h.normal)
	return c
}

// merge adds row b to row a, whose region has size pixels thereafter.
func (h *histograms) merge(a, b, size int32) {
	to, from := h.row(a), h.row(b)
	for i, c := range from {
		to[i] += c
	}
	h.normalise(a, size)
}

// normalise sets the normalised bins of row i to 65535·count/size, rounded to the
// nearest. It multiplies with a 32-bit reciprocal, which errs by less than 2⁻¹⁵ of a step.
func (h *histograms) normalise(i, size int32) {
	shift := 15 + bits.Len32(uint32(size))
	reciprocal := (one << shift) / uint64(max(size, 1))
	half := uint64(1) << (shift - 1)
	counts, normal := h.row(i), h.normalRow(i)
	for j, c := range counts {
		normal[j] = uint16((uint64(c)*reciprocal + half) >> (shift & 63))
	}
}

// intersection is the histogram intersection of rows a and b in [0,1].
func (h *histograms) intersection(a, b int32) float64 {
	x, y := h.normalRow(a), h.normalRow(b)
	y = y[:len(x)]
	var sum uint32 // at most 24 histograms · (65535 + rounding)
	for i, v := range x {
		sum += uint32(min(v, y[i]))
	}
	// Rounded bins can add up to a little more than one.
	return min(1, float64(sum)/float64(h.parts*one))
}
