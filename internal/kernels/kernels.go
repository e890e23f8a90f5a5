// Package kernels has the loops that a search spends its time in, as AVX2 kernels on
// amd64 and as portable Go elsewhere, with the tag purego, and on processors without
// AVX2. Both give the same results to the bit, for all input in the ranges told.
//
// Slices of one call are equally long unless told otherwise, and dst shares no memory
// with the others. Whoever breaks that is panicked at: lengths are checked here, once a
// call, and a kernel touches nothing outside them.
package kernels

import (
	"fmt"
	"math"
	"math/bits"
)

// want panics unless all lengths are n.
func want(name string, n int, lengths ...int) {
	for _, l := range lengths {
		if l != n {
			panic(fmt.Sprintf("kernels: %s: slices of %d and %d elements", name, n, l))
		}
	}
}

// Distances1 writes |a−b|, in 1/128 and rounded to the nearest. Distances must be less
// than 511.9.
func Distances1(dst []uint16, a, b []float32) {
	want("Distances1", len(dst), len(a), len(b))
	distances1(dst, a, b)
}

// Distances3 writes the Euclidean distances of the points (a0,a1,a2) and (b0,b1,b2), in
// 1/128 and rounded to the nearest. Distances must be less than 511.9.
func Distances3(dst []uint16, a0, a1, a2, b0, b1, b2 []float32) {
	want("Distances3", len(dst), len(a0), len(a1), len(a2), len(b0), len(b1), len(b2))
	distances3(dst, a0, a1, a2, b0, b1, b2)
}

// ConvolveColumnsEven weighs the bytes of nine rows: dst is w₀·r₄ + Σ wₖ·(r₄₋ₖ + r₄₊ₖ), summed in
// integers, for which the magnitudes of all nine weights must add up to less than 2²³.
func ConvolveColumnsEven(dst []float32, rows *[9][]uint8, w *[5]int32) {
	for _, r := range rows {
		want("Columns4", len(dst), len(r))
	}
	columns4(dst, rows, w)
}

// ConvolveColumnsEvenOdd is Columns4 into even and Σ vₖ·(r₄₊ₖ − r₄₋ₖ), without v₀, into odd.
func ConvolveColumnsEvenOdd(even, odd []float32, rows *[9][]uint8, w, v *[5]int32) {
	want("BothColumns4", len(even), len(odd))
	for _, r := range rows {
		want("BothColumns4", len(even), len(r))
	}
	bothColumns4(even, odd, rows, w, v)
}

// ConvolveRowEven weighs a row p that begins four samples before dst and ends four behind it:
// dst is w₀·p₄ + Σ wₖ·(p₄₋ₖ + p₄₊ₖ).
func ConvolveRowEven(dst, padded []float32, w *[5]float32) {
	want("SmoothRow4", len(dst)+8, len(padded))
	smoothRow4(dst, padded, w)
}

// ConvolveRowOdd is SmoothRow4 with Σ wₖ·(p₄₊ₖ − p₄₋ₖ), without w₀.
func ConvolveRowOdd(dst, padded []float32, w *[5]float32) {
	want("SlopeRow4", len(dst)+8, len(padded))
	slopeRow4(dst, padded, w)
}

// The bins of a picture's samples.
const (
	QuantizeLevels = 25
	GradientLevels = 10 // of an orientation
	FieldBits      = 5  // of a field of a word
)

// Quantize1 writes the colour bins of samples.
func Quantize1(dst []uint16, a []uint8) {
	want("Bins1", len(dst), len(a))
	bins1(dst, a)
}

// Quantize3 writes the colour bins of three samples a word, in fields of BinBits from the lowest.
func Quantize3(dst []uint16, a, b, c []uint8) {
	want("Bins3", len(dst), len(a), len(b), len(c))
	bins3(dst, a, b, c)
}

// What Textures takes and lists.
const (
	MaxGradients    = 1 << 12 // samples
	GradientPadding = 7       // that the list is longer than the samples are many
	GradientBits    = 4 * FieldBits
)

// ListGradients lists the samples with a response of 1 or more, in their order, and returns
// how many they are; what is behind them in the list is not of use. The responses are
// gx·scale, (gx+gy)·diagonal, gy·scale and (gy−gx)·diagonal, and must be in ±2¹⁵. Their
// places are in fields of BinBits from the lowest, and above TextureBits is the sample's
// number. A response's place is its magnitude rounded down, at most 9, and 10 more than
// that if it is −1 or less.
func ListGradients(list []uint32, gx, gy []float32, scale, diagonal float32) int {
	want("Textures", len(gx), len(gy), len(list)-GradientPadding)
	if len(gx) > MaxGradients {
		panic(fmt.Sprintf("kernels: Textures: %d samples: want at most %d", len(gx), MaxGradients))
	}
	return textures(list, gx, gy, scale, diagonal)
}

// BinAlign divides the number of bins of the rows that Intersections, Normalise and Merge
// take; bins of zeros fill them up.
const BinAlign = 16

func wantBins(name string, n int, lengths ...int) {
	want(name, n, lengths...)
	if n%BinAlign != 0 {
		panic(fmt.Sprintf("kernels: %s: %d bins: want a multiple of %d", name, n, BinAlign))
	}
}

// Intersections writes for each of others the sum, modulo 2³², of the smaller of each
// two bins of row and of that row of rows, which are as long as row and one after the
// other. Row may be one of rows; sums is as long as others.
func Intersections(sums []uint32, row, rows []uint16, others []int32) {
	wantBins("Intersections", len(row))
	want("Intersections", len(others), len(sums))
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

// UnitSum is the fixed-point 1 of normalised bins.
const UnitSum = math.MaxUint16

// Normalize writes One·count/size, rounded to the nearest, for counts of at most size.
// It multiplies with a 32-bit reciprocal, which errs by less than 2⁻¹⁵ of a step.
func Normalize(normal []uint16, counts []uint32, size int32) {
	wantBins("Normalise", len(counts), len(normal))
	normalise(normal, counts, newScale(size))
}

// AddNormalize writes a+b to sum, which may be either, and the sum normalised to normal.
func AddNormalize(normal []uint16, sum, a, b []uint32, size int32) {
	wantBins("Merge", len(normal), len(sum), len(a), len(b))
	merge(normal, sum, a, b, newScale(size))
}

// AddCounts adds a to sum.
func AddCounts(sum, a []uint32) {
	wantBins("Add", len(sum), len(a))
	add(sum, a)
}

// scale normalises a count to (count·reciprocal + half) >> shift.
type scale struct{ reciprocal, half, shift uint64 }

func newScale(size int32) scale {
	shift := 15 + bits.Len32(uint32(size))
	return scale{(UnitSum << shift) / uint64(max(size, 1)), 1 << (shift - 1), uint64(shift)}
}

// PruneEdges4 writes the weights of a row of a grid's edges, those to the right and those
// down, with 65535 in the place of each edge that comes last of a cell: of the four
// edges around four neighbouring pixels the heaviest, or of equal ones the last in the
// order top, left, right, bottom. above, here and rightBelow are the weights of the row
// above, of the row and of the edges to the right in the row below; they begin a pixel
// before kept and end one after it. 65535 stands for no edge there, too.
func PruneEdges4(kept, above, here *[2][]uint16, rightBelow []uint16) {
	n := len(kept[0])
	want("Thin4", n, len(kept[1]))
	want("Thin4", n+2, len(above[0]), len(above[1]), len(here[0]), len(here[1]), len(rightBelow))
	thin4(kept, above, here, rightBelow)
}

// PruneEdges8 is Thin4 for a grid with diagonals, whose rows are the edges to the right, down,
// down right and down left. Of the six edges of a cell it leaves the minimum spanning
// tree. The order of equal weights is top, left, down right, right, down left, bottom.
func PruneEdges8(kept, above, here *[4][]uint16, rightBelow []uint16) {
	n := len(kept[0])
	for d := range kept {
		want("Thin8", n, len(kept[d]))
		want("Thin8", n+2, len(above[d]), len(here[d]), len(rightBelow))
	}
	thin8(kept, above, here, rightBelow)
}

// BoundaryEdges4 writes the weights of a row of a grid's edges, those to the right and those
// down, with 65535 in the place of each that is not the first between two labels: whose
// ends have the same label, or that another edge of one of its cells, between the same two
// labels, is lighter than or equal to and before in Thin4's order. Weights and labels are
// those of the row above, the row and the row below, stride apart; they begin a pixel
// before kept and end one after it.
func BoundaryEdges4(kept, weights *[2][]uint16, labels []uint16, stride int) {
	n := len(kept[0])
	want("Borders4", n, len(kept[1]))
	want("Borders4", 2*stride+n+2, len(weights[0]), len(weights[1]), len(labels))
	borders4(kept, weights, labels, stride)
}

// BoundaryEdges8 is Borders4 for the grid of Thin8, in its order.
func BoundaryEdges8(kept, weights *[4][]uint16, labels []uint16, stride int) {
	n := len(kept[0])
	for d := range kept {
		want("Borders8", n, len(kept[d]))
		want("Borders8", 2*stride+n+2, len(weights[d]), len(labels))
	}
	borders8(kept, weights, labels, stride)
}

// EdgeKeyPadding is how much longer a list of edges is than there are edges.
const EdgeKeyPadding = 8

// EdgeKeys4 lists the edges of a row of the grid of Thin4 that are lighter than limit, pixel
// by pixel, each its weight and in the lower 16 bits its number: four times that of its
// first pixel, of which the row's first has number first, and its direction. It returns
// how many there are; dst has to have room for all of the row, and ListRoom more.
func EdgeKeys4(dst []uint32, first uint32, limit uint16, right, down []uint16) int {
	n := len(right)
	want("List4", n, len(down))
	wantRoom("List4", len(dst), 2*n, first, n)
	return list4(dst, 4*first, limit, right, down)
}

// EdgeKeys8 is List4 for the grid of Thin8.
func EdgeKeys8(dst []uint32, first uint32, limit uint16, right, down, falling, rising []uint16) int {
	n := len(right)
	want("List8", n, len(down), len(falling), len(rising))
	wantRoom("List8", len(dst), 4*n, first, n)
	return list8(dst, 4*first, limit, right, down, falling, rising)
}

// wantRoom panics if n pixels have edges for which there is too little room, or higher numbers than fit.
func wantRoom(name string, room, edges int, first uint32, n int) {
	if room < edges+EdgeKeyPadding {
		panic(fmt.Sprintf("kernels: %s: room for %d of %d edges and %d more", name, room, edges, EdgeKeyPadding))
	}
	if int64(first)+int64(n) > 1<<14 {
		panic(fmt.Sprintf("kernels: %s: %d pixels from %d on: want at most %d", name, n, first, 1<<14))
	}
}

// Gray writes (19595·r + 38470·g + 7471·b)/65536, rounded to the nearest.
func Gray(y, r, g, b []uint8) {
	want("Gray", len(y), len(r), len(g), len(b))
	gray(y, r, g, b)
}

// Hue writes the hue of HSV.
func Hue(h, r, g, b []uint8) {
	want("Hue", len(h), len(r), len(g), len(b))
	hue(h, r, g, b)
}

// HSV writes Smith's hue, of which 256 are the circle, saturation in 1/255 and value,
// rounded to the nearest. Hue is 0 where it is undefined, and so is saturation.
func HSV(h, s, v, r, g, b []uint8) {
	want("HSV", len(h), len(s), len(v), len(r), len(g), len(b))
	hsv(h, s, v, r, g, b)
}

// Lab's fixed point.
const (
	LabXYZBits  = 12   // of Matrix
	LabRootBits = 20   // of the f of Roots
	LabRoots    = 2048 // steps of X, Y and Z
)

// LabTables are the tables of Lab.
type LabTables struct {
	Linear [256]int32 // of a sample, less than LabRoots
	// Roots are f<<8 | l of X, Y and Z: CIE's f in 1/2^LabRootBits, at most 1, and L*.
	Roots [LabRoots]int32
	// A row of Matrix sums light to X, Y or Z, and its last number rounds; together they
	// must stay below LabRoots<<LabXYZBits.
	Matrix [3][4]int16
}

// Lab writes l, 500·(f(X)−f(Y))+128 and 200·(f(Y)−f(Z))+128, rounded to the nearest. The
// latter two must be in 0..255.
func Lab(l, a, b, red, green, blue []uint8, t *LabTables) {
	want("Lab", len(l), len(a), len(b), len(red), len(green), len(blue))
	lab(l, a, b, red, green, blue, t)
}

// DiffMask sets the bits, from the lowest of the first byte on, of elements that differ.
// There are as many bytes as it takes.
func DiffMask(bits []uint8, a, b []int32) {
	want("Differ", len(a), len(b))
	want("Differ", (len(a)+7)/8, len(bits))
	differ(bits, a, b)
}

// CountQuantized3 counts samples that Bins3 binned: each adds one at its three bins, those of a
// plane behind those of the one before, in the row of its label. Rows begin row elements
// apart. A label that has none is panicked at.
func CountQuantized3(counts []uint32, row int, bins []uint16, labels []int32) {
	want("AddBins3", len(bins), len(labels))
	addBins3(counts, row, bins, labels)
}

// CountGradients counts samples that Textures listed as AddBins3 does, each at its four
// places of 20; labels are those of all samples.
func CountGradients(counts []uint32, row int, list []uint32, labels []int32) {
	addTextures(counts, row, list, labels)
}

// The shape of a tree, and how many boxes it is asked about at once.
const (
	TreeDepth = 6
	BlockSize = 64
)

// Tree is an oblivious tree: question q is whether the level in column Features[q] is at least
// Thresholds[q]; the answer is bit q of the leaf's number.
type Tree struct {
	Features   [TreeDepth]int32
	Thresholds [TreeDepth]int8
	Leaves     [1 << TreeDepth]int16
}

// Forest is trees whose leaves are added up. It is safe for concurrent use.
type Forest struct {
	trees   []tree
	columns int // that they ask for
}

// tree is one as a kernel likes it.
type tree struct {
	offsets    [TreeDepth]int32 // of the columns, in bytes
	thresholds [TreeDepth]int8
	_          [2]int8
	low, high  [1 << TreeDepth]uint8 // the leaves' bytes; here a bit of the number is set for no
}

// NewForest makes one. A feature below 0 is panicked at.
func NewForest(trees []Tree) *Forest {
	f := &Forest{trees: make([]tree, len(trees))}
	for i := range trees {
		from, to := &trees[i], &f.trees[i]
		to.thresholds = from.Thresholds
		for q, column := range from.Features {
			if column < 0 || column > math.MaxInt32/BlockSize {
				panic(fmt.Sprintf("kernels: NewForest: feature %d", column))
			}
			to.offsets[q] = BlockSize * column
			f.columns = max(f.columns, int(column)+1)
		}
		for l, v := range from.Leaves {
			no := len(from.Leaves) - 1 - l
			to.low[no], to.high[no] = uint8(v), uint8(uint16(v)>>8)
		}
	}
	return f
}

// Sum writes the sums of the trees' leaves, which wrap around.
func (f *Forest) Sum(sums *[BlockSize]int16, levels [][BlockSize]int8) {
	if len(levels) < f.columns {
		panic(fmt.Sprintf("kernels: Sum: %d columns: want %d", len(levels), f.columns))
	}
	sumTrees(sums, levels, f.trees)
}

// Boxes are the half-open boxes that Overlaps looks through: slices of one length, of which
// the last OverlapsRoom elements are not looked at.
type Boxes struct {
	X0, Y0, X1, Y1 []int32
	IDs            []int32
	Areas          []float32 // above 0
}

// BoxPadding is how much longer Boxes are, and what Overlaps writes to, than there are boxes.
const BoxPadding = 8

// Overlaps finds the boxes of some runs, each from a number to below another, whose
// intersection over union with a box of that area is at least least, which is above 0. It
// writes their IDs and IoUs, run by run, and returns how many there are. All sides are
// below 2³¹.
func Overlaps(found []int32, ious []float32, b *Boxes, runs [][2]int32, box *[4]int32, area, least float32) int {
	want("Overlaps", len(b.X0), len(b.Y0), len(b.X1), len(b.Y1), len(b.IDs), len(b.Areas))
	want("Overlaps", len(found), len(ious))
	n := 0
	for _, r := range runs {
		if r[0] < 0 || r[0] > r[1] || int(r[1]) > len(b.X0)-BoxPadding {
			panic(fmt.Sprintf("kernels: Overlaps: boxes %v of %d: want %d behind them", r, len(b.X0), BoxPadding))
		}
		n += int(r[1] - r[0])
	}
	if len(found) < n+BoxPadding {
		panic(fmt.Sprintf("kernels: Overlaps: room for %d of %d boxes and %d more", len(found), n, BoxPadding))
	}
	return overlaps(found, ious, b, runs, box, area, least)
}

// Target is what edges lead to: its mass, and the most of it that is covered, at least 0.
type Target struct {
	Weight  float32
	Covered int32
}

// CoverageBits are the lower bits of an edge of Uncovered.
const CoverageBits = 12

// CoverageGain is what edges cover of their objects that is not covered: the sum of mass·(cover −
// covered) where that is above 0. An edge's lower bits are what it covers, above them is the number
// of its object; one that has none is panicked at. Each eighth edge is summed up, and then those sums.
func CoverageGain(edges []uint32, objects []Target) float32 {
	var sums [8]float32
	uncovered(&sums, edges, objects)
	return ((sums[0] + sums[4]) + (sums[2] + sums[6])) + ((sums[1] + sums[5]) + (sums[3] + sums[7]))
}

// CoverageBins and TallyBits are what Tally counts, and the bits of a count.
const (
	CoverageBins      = 5
	CoverageCountBits = 12
)

// CoverageHistogram adds up what edges cover, and counts by it: from 0 on, from a fifth of 1<<CoverBits−1 on, and so on.
// Count k of five is at bit k·TallyBits; there are fewer than 1<<TallyBits edges.
func CoverageHistogram(edges []uint32) (counts, covers uint64) {
	if len(edges) >= 1<<CoverageCountBits {
		panic(fmt.Sprintf("kernels: Tally: %d edges", len(edges)))
	}
	return tally(edges)
}

// MaxQuantized is the largest level that Scale writes, and the least is −MostLevel.
const MaxQuantized = 127

// QuantizeColumns writes (v−means)·scales of each column's values, bounded to ±most, as levels: in
// steps of most/MostLevel, rounded to the nearest. All values are finite.
func QuantizeColumns(levels [][BlockSize]int8, columns [][BlockSize]float32, means, scales []float32, most float32) {
	want("Scale", len(levels), len(columns), len(means), len(scales))
	scaleColumns(levels, columns, means, scales, most, MaxQuantized/most)
}

// PairCount is how many pairs n columns make, of which the last may have but one.
func PairCount(n int) int { return (n + 1) / 2 }

// InterleavePairs writes the columns by pairs, with 0 for one that is not there.
func InterleavePairs(pairs [][BlockSize][2]int16, levels [][BlockSize]int8) {
	want("Interleave", len(pairs), PairCount(len(levels)))
	whole := len(levels) / 2
	interleave(pairs[:whole], levels[:2*whole])
	if whole < len(pairs) {
		for i, v := range levels[2*whole] {
			pairs[whole][i] = [2]int16{int16(v), 0}
		}
	}
}

// DotPairs writes to dst[0] the sum of the columns weighed by a, and to dst[1] that of them weighed by b,
// which wrap around.
func DotPairs(dst *[2][BlockSize]int32, pairs [][BlockSize][2]int16, a, b [][2]int16) {
	want("Project", len(pairs), len(a), len(b))
	project(dst, pairs, a, b)
}

// Downsample2 writes the mean of each two samples of two rows, rounded to the nearest. The rows
// are twice as long as dst.
func Downsample2(dst, top, low []uint8) {
	want("Halve", 2*len(dst), len(top), len(low))
	halve(dst, top, low)
}

// GradientMagnitudes writes eight channels of each pixel of a row of three planes: by how much the
// pixels beside it differ, across, down, and along both diagonals, in the mean of the planes
// and for the diagonals half of it; the planes themselves; and 0. Up and low are the rows
// above and below. At the row's ends a pixel stands for the one that is missing.
func GradientMagnitudes(dst [][8]uint8, here, up, low *[3][]uint8) {
	for _, rows := range [3]*[3][]uint8{here, up, low} {
		for _, row := range rows {
			want("Steepness", len(dst), len(row))
		}
	}
	steepness(dst, here, up, low)
}

// IntegralRow writes a row of an integral image of eight channels: what the row above it has,
// and the sum of the cells up to here. Sums wrap around.
func IntegralRow(here, above [][8]uint32, cells [][8]uint8) {
	want("Integrate", len(here), len(above), len(cells))
	integrate(here, above, cells)
}

// RectangleSums writes the sums over rectangles of an integral image of eight channels: each
// is (table[c₃] − table[c₂] − table[c₁] + table[c₀])·scale, less offset and then times gain
// by channel. Corners are in the table, and sums below 2³¹.
func RectangleSums(dst [][8]float32, table [][8]uint32, corners [][4]int32, scales []float32, offset, gain *[8]float32) {
	want("Rectangles", len(dst), len(corners), len(scales))
	for _, c := range corners {
		if most := max(uint32(c[0]), uint32(c[1]), uint32(c[2]), uint32(c[3])); int64(most) >= int64(len(table)) {
			panic(fmt.Sprintf("kernels: Rectangles: corners %v of a table of %d", c, len(table)))
		}
	}
	rectangles(dst, table, corners, scales, offset, gain)
}

// GridSide is how many rectangles a grid has on a side.
const GridSide = 6

// Span is a row or a column of a grid: where in the table it begins and ends, a row's in
// entries, a column's in those of a row; and its part of the scales.
type Span struct {
	Begin, End int32
	Scale      float32
}

// Grid is a grid of rectangles: their corners are the sums of a row's begin or end and a
// column's, their scales the products.
type Grid struct {
	Rows, Columns [GridSide]Span
	Offset, Gain  [8]float32
}

// GridSums writes what [RectangleSums] does for those of each lattice, row by row. Rows that begin
// where the one before ends take less time. It asks for a lattice's corners while it is at the one before.
func GridSums(dst [][8]float32, table [][8]uint32, lattices []Grid) {
	want("Grids", len(dst), GridSide*GridSide*len(lattices))
	for k := range lattices {
		l := &lattices[k]
		var most [2]uint32
		for i, spans := range [2]*[GridSide]Span{&l.Rows, &l.Columns} {
			for _, s := range spans {
				most[i] = max(most[i], uint32(s.Begin), uint32(s.End))
			}
		}
		if int64(most[0])+int64(most[1]) >= int64(len(table)) {
			panic(fmt.Sprintf("kernels: Grids: rows %v and columns %v of a table of %d", l.Rows, l.Columns, len(table)))
		}
	}
	grids(dst, table, lattices)
}

// MaxMeanMinRows is how many Summarise writes.
const MaxMeanMinRows = 3

// MaxMeanMin writes the largest, the mean and the least of each of a run's numbers: counts has the number of rows
// of each run, at least one, and the runs follow each other. No number is a NaN.
func MaxMeanMin(dst, rows [][8]float32, counts []int32) {
	want("Summarise", len(dst), MaxMeanMinRows*len(counts))
	all := 0
	for _, n := range counts {
		if n < 1 {
			panic(fmt.Sprintf("kernels: Summarise: a run of %d", n))
		}
		all += int(n)
	}
	want("Summarise", len(rows), all)
	summarise(dst, rows, counts)
}

// TransposeBlock writes the first seven numbers of each cell of a block of rows, which have as
// many cells each, to seven columns a cell.
func TransposeBlock(columns [][BlockSize]float32, rows [][8]float32) {
	want("Transpose", len(rows)*7, len(columns)*BlockSize)
	transpose(columns, rows)
}
