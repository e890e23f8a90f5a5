package kernels

import (
	"fmt"
	"math"
	"math/bits"
)

// The sizes of the quantized samples.
const (
	QuantizeLevels = 25 // levels of a sample
	GradientLevels = 10 // levels of the magnitude of a gradient
	fieldBits      = 5  // bits of a packed level
	fieldMask      = 1<<fieldBits - 1
)

// Quantize1 writes the levels of samples, ⌊25·sample/256⌋.
func Quantize1(dst []uint16, a []uint8) {
	checkLengths("Quantize1", len(dst), len(a))
	quantize1(dst, a)
}

func quantize1Generic(dst []uint16, a []uint8) {
	dst = dst[:len(a)]
	for x, v := range a {
		dst[x] = quantize(v)
	}
}

func quantize(v uint8) uint16 { return uint16(v) * QuantizeLevels >> 8 }

// Quantize3 writes the levels of three planes of samples, packed into 5 bits each from the lowest.
func Quantize3(dst []uint16, a, b, c []uint8) {
	checkLengths("Quantize3", len(dst), len(a), len(b), len(c))
	quantize3(dst, a, b, c)
}

func quantize3Generic(dst []uint16, a, b, c []uint8) {
	b, c, dst = b[:len(a)], c[:len(a)], dst[:len(a)]
	for x, v := range a {
		dst[x] = quantize(v) | quantize(b[x])<<fieldBits | quantize(c[x])<<(2*fieldBits)
	}
}

// The limits of [ListGradients].
const (
	MaxGradients    = 1 << 12       // samples of a call
	GradientPadding = 7             // by how much the list must be longer than the samples
	gradientBits    = 4 * fieldBits // bits of an entry below the number of the sample
)

// ListGradients lists the samples with a response of magnitude 1 or more and returns their number.
// The four responses of a sample are its derivatives in the directions x, x+y, y and y−x. They must
// be in ±2¹⁵.
//
// An entry is the number of the sample above the bins of its four responses, packed into 5 bits each
// from the lowest. The bin of a response is its magnitude rounded down, at most 9, plus 10 if it is
// −1 or less. After the call, gx, gy and the elements of list after the entries are undefined.
func ListGradients(list []uint32, gx, gy []float32, scale, diagonal float32) int {
	checkLengths("ListGradients", len(gx), len(gy), len(list)-GradientPadding)
	if len(gx) > MaxGradients {
		panic(fmt.Sprintf("kernels: ListGradients: %d samples: want at most %d", len(gx), MaxGradients))
	}
	return listGradients(list, gx, gy, scale, diagonal)
}

func listGradientsGeneric(list []uint32, gx, gy []float32, scale, diagonal float32) int {
	gy = gy[:len(gx)]
	n := 0
	for x, u := range gx {
		v := gy[x]
		entry := responseBin(u*scale) |
			responseBin((u+v)*diagonal)<<fieldBits |
			responseBin(v*scale)<<(2*fieldBits) |
			responseBin((v-u)*diagonal)<<(3*fieldBits)
		// Always written, since the branch is hard to predict.
		list[n] = uint32(x)<<gradientBits | entry
		if entry != 0 {
			n++
		}
	}
	return n
}

func responseBin(response float32) uint32 {
	const limit = GradientLevels - 1
	return responseBins[max(-limit, min(limit, int32(response)))+limit]
}

// responseBins[GradientLevels−1+v] is the bin of a response v, rounded toward 0 and limited.
var responseBins = func() (t [2*GradientLevels - 1]uint32) {
	for i := 1; i < GradientLevels; i++ {
		t[GradientLevels-1+i] = uint32(i)
		t[GradientLevels-1-i] = uint32(GradientLevels + i)
	}
	return t
}()

// CountQuantized3 counts the samples that [Quantize3] packed. Each sample adds one to each of its
// three levels in the row of its label; the levels of a plane follow those of the plane before. Rows
// begin row elements apart. CountQuantized3 panics if a label has no row.
func CountQuantized3(counts []uint32, row int, packed []uint16, labels []int32) {
	checkLengths("CountQuantized3", len(packed), len(labels))
	countQuantized3(counts, row, packed, labels)
}

func countQuantized3Generic(counts []uint32, row int, packed []uint16, labels []int32) {
	labels = labels[:len(packed)]
	for i, p := range packed {
		p, at := uint(p), uint(labels[i])*uint(row)
		counts[at+p&fieldMask]++
		counts[at+(QuantizeLevels+p>>fieldBits&fieldMask)]++
		counts[at+(2*QuantizeLevels+p>>(2*fieldBits))]++
	}
}

// CountGradients counts the samples that [ListGradients] listed. Each sample adds one to each of its
// four bins, of 20, in the row of its label. labels are those of all samples, also of those not in
// the list. CountGradients panics if a sample has no label or a label has no row.
func CountGradients(counts []uint32, row int, list []uint32, labels []int32) {
	countGradients(counts, row, list, labels)
}

func countGradientsGeneric(counts []uint32, row int, list []uint32, labels []int32) {
	const responseBins = 2 * GradientLevels
	for _, t := range list {
		t, at := uint(t), uint(labels[t>>gradientBits])*uint(row)
		counts[at+t&fieldMask]++
		counts[at+(responseBins+t>>fieldBits&fieldMask)]++
		counts[at+(2*responseBins+t>>(2*fieldBits)&fieldMask)]++
		counts[at+(3*responseBins+t>>(3*fieldBits)&fieldMask)]++
	}
}

// BinAlign divides the number of bins of the histograms below. Histograms are filled up with zeros.
const BinAlign = 16

func checkBins(name string, n int, lengths ...int) {
	checkLengths(name, n, lengths...)
	if n%BinAlign != 0 {
		panic(fmt.Sprintf("kernels: %s: %d bins: want a multiple of %d", name, n, BinAlign))
	}
}

// AddCounts adds a to sum.
func AddCounts(sum, a []uint32) {
	checkBins("AddCounts", len(sum), len(a))
	addCounts(sum, a)
}

func addCountsGeneric(sum, a []uint32) {
	a = a[:len(sum)]
	for i := range sum {
		sum[i] += a[i]
	}
}

// UnitSum is the fixed-point 1 of normalized bins.
const UnitSum = math.MaxUint16

// reciprocal divides counts by a size: count/size is (count·factor + half) >> shift. The factor has
// 32 bits, which makes an error of less than 2⁻¹⁵ of a step.
type reciprocal struct{ factor, half, shift uint64 }

func newReciprocal(size int32) reciprocal {
	shift := 15 + bits.Len32(uint32(size))
	return reciprocal{(UnitSum << shift) / uint64(max(size, 1)), 1 << (shift - 1), uint64(shift)}
}

// Normalize writes UnitSum·count/size, rounded to the nearest, for counts of at most size.
func Normalize(normal []uint16, counts []uint32, size int32) {
	checkBins("Normalize", len(counts), len(normal))
	normalize(normal, counts, newReciprocal(size))
}

func normalizeGeneric(normal []uint16, counts []uint32, r reciprocal) {
	normal = normal[:len(counts)]
	for i, c := range counts {
		normal[i] = uint16((uint64(c)*r.factor + r.half) >> (r.shift & 63))
	}
}

// AddNormalize writes a+b to sum and the normalized sum to normal; see [Normalize]. sum may be a or b.
func AddNormalize(normal []uint16, sum, a, b []uint32, size int32) {
	checkBins("AddNormalize", len(normal), len(sum), len(a), len(b))
	addNormalize(normal, sum, a, b, newReciprocal(size))
}

func addNormalizeGeneric(normal []uint16, sum, a, b []uint32, r reciprocal) {
	a, b = a[:len(sum)], b[:len(sum)]
	for i := range sum {
		sum[i] = a[i] + b[i]
	}
	normalizeGeneric(normal, sum, r)
}

// Intersections writes the histogram intersection, modulo 2³², of row with each of the rows that
// others number. rows has consecutive rows of the length of row, which may be one of them.
func Intersections(sums []uint32, row, rows []uint16, others []int32) {
	checkBins("Intersections", len(row))
	checkLengths("Intersections", len(others), len(sums))
	if len(row) == 0 {
		clear(sums)
		return
	}
	n := uint(len(rows) / len(row))
	for _, o := range others {
		if uint(o) >= n {
			panic(fmt.Sprintf("kernels: Intersections: row %d of %d", o, n))
		}
	}
	intersections(sums, row, rows, others)
}

func intersectionsGeneric(sums []uint32, row, rows []uint16, others []int32) {
	for i, o := range others {
		other := rows[int(o)*len(row):][:len(row)]
		var sum uint32
		for j, v := range row {
			sum += uint32(min(v, other[j]))
		}
		sums[i] = sum
	}
}
