package similarity

import (
	"github.com/proposer/proposer/internal/freelist"
	"github.com/proposer/proposer/internal/kernels"
)

// one is the fixed-point 1 of a normalised histogram.
const one = kernels.UnitSum

// histograms are the descriptors of one kind of a set of regions: for each slot a
// row of bins, made of several histograms that each count every pixel of the region.
type histograms struct {
	bins  int // of a row, filled up with zeros to a multiple of simd.Lanes
	parts int // histograms of a row
	// counts are those of the regions as they were described. Copies share them, and
	// nobody writes to them. A slot that has been merged has its counts in merged.
	counts []uint32
	merged []uint32
	normal []uint16 // the counts, each histogram scaled to one

	own []uint32 // memory for counts, which may be another set's
}

// describe makes room for a set of regions, with no pixel counted yet.
func (h *histograms) describe(parts, bins, slots int) {
	h.parts = parts
	h.bins = rowBins(parts, bins)
	h.own = freelist.Resize(h.own, slots*h.bins)
	clear(h.own)
	h.counts = h.own
	h.normal = freelist.Resize(h.normal, slots*h.bins)
}

// rowBins are the bins of a row of parts histograms.
func rowBins(parts, bins int) int {
	return (parts*bins + kernels.BinAlign - 1) / kernels.BinAlign * kernels.BinAlign
}

// described are the counts of row i as it was described.
func (h *histograms) described(i int32) []uint32 {
	return h.counts[int(i)*h.bins : int(i+1)*h.bins]
}

// row are the counts of row i, if it has been merged those of the merged region.
func (h *histograms) row(i int32, merged bool) []uint32 {
	if !merged {
		return h.described(i)
	}
	if len(h.merged) < len(h.counts) {
		h.merged = freelist.Resize(h.merged, len(h.counts))
	}
	return h.merged[int(i)*h.bins : int(i+1)*h.bins]
}

func (h *histograms) normalRow(i int32) []uint16 {
	return h.normal[int(i)*h.bins : int(i+1)*h.bins]
}

// copy makes h a copy of from, which shares the counts of what is not merged.
func (h *histograms) copy(from *histograms, merged []bool) {
	h.parts, h.bins, h.counts = from.parts, from.bins, from.counts
	h.normal = append(h.normal[:0], from.normal...)
	for i, m := range merged {
		if m {
			copy(h.row(int32(i), true), from.row(int32(i), true))
		}
	}
}

// leaveOut makes h a set without a bin.
func (h *histograms) leaveOut() {
	h.parts, h.bins, h.counts, h.normal = 0, 0, nil, h.normal[:0]
}

// merge adds row b to row a, whose region has size pixels thereafter.
func (h *histograms) merge(a, b int32, merged []bool, size int32) {
	kernels.AddNormalize(h.normalRow(a), h.row(a, true), h.row(a, merged[a]), h.row(b, merged[b]), size)
}

func (h *histograms) normalise(i, size int32) {
	kernels.Normalize(h.normalRow(i), h.described(i), size)
}

// intersections writes the sums of the smaller bins of row a and each of others: at
// most parts · (65535 + rounding), with up to 24 parts.
func (h *histograms) intersections(sums []uint32, a int32, others []int32) {
	kernels.Intersections(sums, h.normalRow(a), h.normal, others)
}

// share is a sum of intersections in [0,1]. Rounded bins can add up to a little more
// than one.
func (h *histograms) share(sum uint32) float64 {
	return min(1, float64(sum)/float64(h.parts*one))
}

func (h *histograms) intersection(a, b int32) float64 {
	var sum [1]uint32
	h.intersections(sum[:], a, []int32{b})
	return h.share(sum[0])
}
