package similarity

import (
	"github.com/proposer/proposer/internal/freelist"
	"github.com/proposer/proposer/internal/kernels"
)

// one is the fixed-point 1 of a normalized histogram.
const one = kernels.UnitSum

// histograms holds the descriptors of one kind of a set of regions. Each region has a row
// of bins that consists of several histograms, each of which counts every pixel of the region.
type histograms struct {
	bins  int // per row, padded with zeros to a multiple of kernels.BinAlign
	parts int // histograms per row
	// counts holds the counts of the described regions. Copies share it; it is not
	// written to once described. The counts of merged regions are in merged.
	counts []uint32
	merged []uint32
	normal []uint16 // the counts, each histogram scaled to a sum of one

	own []uint32 // memory for counts, which may belong to another set
}

// reset makes room for the given number of rows, all of whose counts are 0.
func (h *histograms) reset(parts, bins, rows int) {
	h.parts = parts
	h.bins = rowBins(parts, bins)
	h.own = freelist.Resize(h.own, rows*h.bins)
	clear(h.own)
	h.counts = h.own
	h.normal = freelist.Resize(h.normal, rows*h.bins)
}

// rowBins returns the length of a row of parts histograms.
func rowBins(parts, bins int) int {
	return (parts*bins + kernels.BinAlign - 1) / kernels.BinAlign * kernels.BinAlign
}

// described returns the counts of row i as they were described.
func (h *histograms) described(i int32) []uint32 {
	return h.counts[int(i)*h.bins : int(i+1)*h.bins]
}

// row returns the counts of row i: those of the merged region if merged is true.
func (h *histograms) row(i int32, merged bool) []uint32 {
	if !merged {
		return h.described(i)
	}
	if len(h.merged) < len(h.counts) {
		h.merged = freelist.Resize(h.merged, len(h.counts))
	}
	return h.merged[int(i)*h.bins : int(i+1)*h.bins]
}

// normalRow returns the normalized row i.
func (h *histograms) normalRow(i int32) []uint16 {
	return h.normal[int(i)*h.bins : int(i+1)*h.bins]
}

// copyFrom makes h a copy of from that shares the counts of regions that are not merged.
func (h *histograms) copyFrom(from *histograms, merged []bool) {
	h.parts, h.bins, h.counts = from.parts, from.bins, from.counts
	h.normal = append(h.normal[:0], from.normal...)
	for i, m := range merged {
		if m {
			copy(h.row(int32(i), true), from.row(int32(i), true))
		}
	}
}

// disable makes h a set without bins.
func (h *histograms) disable() {
	h.parts, h.bins, h.counts, h.normal = 0, 0, nil, h.normal[:0]
}

// merge adds row b to row a, whose region then has size pixels.
func (h *histograms) merge(a, b int32, merged []bool, size int32) {
	kernels.AddNormalize(h.normalRow(a), h.row(a, true), h.row(a, merged[a]), h.row(b, merged[b]), size)
}

func (h *histograms) normalize(i, size int32) {
	kernels.Normalize(h.normalRow(i), h.described(i), size)
}

// intersections writes to sums the intersection of row a with each of others, Σ min(a_i, b_i):
// at most parts · (65535 + rounding), with up to 24 parts.
func (h *histograms) intersections(sums []uint32, a int32, others []int32) {
	kernels.Intersections(sums, h.normalRow(a), h.normal, others)
}

// fraction scales an intersection to [0,1]. Rounded bins can add up to slightly more than one.
func (h *histograms) fraction(sum uint32) float64 {
	return min(1, float64(sum)/float64(h.parts*one))
}

func (h *histograms) intersection(a, b int32) float64 {
	var sum [1]uint32
	h.intersections(sum[:], a, []int32{b})
	return h.fraction(sum[0])
}
