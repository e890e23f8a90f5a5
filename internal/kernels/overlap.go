package kernels

import "fmt"

// Boxes are half-open boxes with sides below 2³¹. The slices have the same length; their last
// BoxPadding elements are not boxes.
type Boxes struct {
	X0, Y0, X1, Y1 []int32
	IDs            []int32
	Areas          []float32 // positive
}

// BoxPadding is by how much the slices of [Boxes] and the dst slices of [Overlaps] are longer than the
// number of boxes.
const BoxPadding = 8

// Overlaps finds the boxes whose intersection over union with a box of the given corners and area is
// at least minIoU, which is positive. It compares those in runs, each from an index to below another.
// It writes the ids and IoUs of the matches in order and returns their number.
func Overlaps(ids []int32, ious []float32, b *Boxes, runs [][2]int32, box *[4]int32, area, minIoU float32) int {
	checkLengths("Overlaps", len(b.X0), len(b.Y0), len(b.X1), len(b.Y1), len(b.IDs), len(b.Areas))
	checkLengths("Overlaps", len(ids), len(ious))
	n := 0
	for _, r := range runs {
		if r[0] < 0 || r[0] > r[1] || int(r[1]) > len(b.X0)-BoxPadding {
			panic(fmt.Sprintf("kernels: Overlaps: run %v of %d boxes", r, len(b.X0)-BoxPadding))
		}
		n += int(r[1] - r[0])
	}
	if len(ids) < n+BoxPadding {
		panic(fmt.Sprintf("kernels: Overlaps: dst has %d elements: want %d", len(ids), n+BoxPadding))
	}
	return overlaps(ids, ious, b, runs, box, area, minIoU)
}

func overlapsGeneric(
	ids []int32, ious []float32, b *Boxes, runs [][2]int32, box *[4]int32, area, minIoU float32,
) int {
	n := 0
	for _, r := range runs {
		for i := r[0]; i < r[1]; i++ {
			x0, y0 := max(b.X0[i], box[0]), max(b.Y0[i], box[1])
			x1, y1 := min(b.X1[i], box[2]), min(b.Y1[i], box[3])
			if x0 >= x1 || y0 >= y1 {
				continue
			}
			inter := float32(float32(x1-x0) * float32(y1-y0)) // not fused with the subtraction
			if iou := inter / (area + b.Areas[i] - inter); iou >= minIoU {
				ids[n], ious[n] = b.IDs[i], iou
				n++
			}
		}
	}
	return n
}

// CoverageBits is the number of the lower bits of an edge that hold its coverage. The bits above hold
// the index of its target.
const CoverageBits = 12

const coverageMask = 1<<CoverageBits - 1

// Target is what an edge leads to. Covered is the largest coverage of it so far, at least 0.
type Target struct {
	Weight  float32
	Covered int32
}

// CoverageGain returns the sum of weight·max(0, coverage−covered) over edges. It panics if an edge has
// no target. The order of the additions is fixed: every eighth edge goes to one of eight sums.
func CoverageGain(edges []uint32, targets []Target) float32 {
	var sums [8]float32
	coverageGain(&sums, edges, targets)
	return ((sums[0] + sums[4]) + (sums[2] + sums[6])) + ((sums[1] + sums[5]) + (sums[3] + sums[7]))
}

func coverageGainGeneric(sums *[8]float32, edges []uint32, targets []Target) {
	for k, e := range edges {
		t := &targets[e>>CoverageBits]
		sums[k%len(sums)] += float32(t.Weight * float32(max(int32(e&coverageMask), t.Covered)-t.Covered))
	}
}

// The sizes of [CoverageHistogram].
const (
	CoverageBins      = 5
	CoverageCountBits = 12
)

// CoverageHistogram returns the sum of the coverages of fewer than 4096 edges and their histogram: bin k
// counts the coverages from k/5 to below (k+1)/5 of the largest, and bin 4 also the largest one. The
// count of bin k is at bit k·CoverageCountBits of counts.
func CoverageHistogram(edges []uint32) (counts, sum uint64) {
	if len(edges) >= 1<<CoverageCountBits {
		panic(fmt.Sprintf("kernels: CoverageHistogram: %d edges: want fewer than %d", len(edges), 1<<CoverageCountBits))
	}
	return coverageHistogram(edges)
}

func coverageHistogramGeneric(edges []uint32) (counts, sum uint64) {
	for _, e := range edges {
		coverage := e & coverageMask
		sum += uint64(coverage)
		bin := (CoverageBins*coverage + CoverageBins - 1) >> CoverageBits
		counts += 1 << (CoverageCountBits * bin % 64)
	}
	return counts, sum
}
