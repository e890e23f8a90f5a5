//go:build !amd64 || purego

package kernels

func distances1(dst []uint16, a, b []float32) { distances1Generic(dst, a, b) }

func distances3(dst []uint16, a0, a1, a2, b0, b1, b2 []float32) {
	distances3Generic(dst, a0, a1, a2, b0, b1, b2)
}

func convolveColumnsEven(dst []float32, rows *[9][]uint8, w *[5]int32) {
	convolveColumnsEvenGeneric(dst, rows, w)
}

func convolveColumnsEvenOdd(even, odd []float32, rows *[9][]uint8, w, v *[5]int32) {
	convolveColumnsEvenOddGeneric(even, odd, rows, w, v)
}

func convolveRowEven(dst, padded []float32, w *[5]float32) { convolveRowEvenGeneric(dst, padded, w) }

func convolveRowOdd(dst, padded []float32, w *[5]float32) { convolveRowOddGeneric(dst, padded, w) }

func intersections(sums []uint32, row, rows []uint16, others []int32) {
	intersectionsGeneric(sums, row, rows, others)
}

func normalize(normal []uint16, counts []uint32, r reciprocal) { normalizeGeneric(normal, counts, r) }

func addNormalize(normal []uint16, sum, a, b []uint32, r reciprocal) {
	addNormalizeGeneric(normal, sum, a, b, r)
}

func pruneEdges4(kept, above, here *[2][]uint16, rightBelow []uint16) {
	pruneEdges4Generic(kept, above, here, rightBelow)
}

func pruneEdges8(kept, above, here *[4][]uint16, rightBelow []uint16) {
	pruneEdges8Generic(kept, above, here, rightBelow)
}

func boundaryEdges4(kept, weights *[2][]uint16, labels []uint16, stride int) {
	boundaryEdges4Generic(kept, weights, labels, stride)
}

func boundaryEdges8(kept, weights *[4][]uint16, labels []uint16, stride int) {
	boundaryEdges8Generic(kept, weights, labels, stride)
}

func edgeKeys4(dst []uint32, number uint32, limit uint16, r, d []uint16) int {
	return edgeKeys4Generic(dst, number, limit, r, d)
}

func edgeKeys8(dst []uint32, number uint32, limit uint16, r, d, dr, dl []uint16) int {
	return edgeKeys8Generic(dst, number, limit, r, d, dr, dl)
}

// Backend returns the name of the implementation: portable.
func Backend() string { return "portable" }

func addCounts(sum, a []uint32) { addCountsGeneric(sum, a) }
func gray(y, r, g, b []uint8)   { grayGeneric(y, r, g, b) }

func hue(h, r, g, b []uint8) { hueGeneric(h, r, g, b) }

func hsv(h, s, v, r, g, b []uint8) { hsvGeneric(h, s, v, r, g, b) }

func lab(l, a, b, red, green, blue []uint8, t *LabTables) {
	labGeneric(l, a, b, red, green, blue, t)
}

func quantize1(dst []uint16, a []uint8) { quantize1Generic(dst, a) }

func quantize3(dst []uint16, a, b, c []uint8) { quantize3Generic(dst, a, b, c) }

func listGradients(list []uint32, gx, gy []float32, scale, diagonal float32) int {
	return listGradientsGeneric(list, gx, gy, scale, diagonal)
}

func diffMask(bits []uint8, a, b []int32) { diffMaskGeneric(bits, a, b) }

func countQuantized3(counts []uint32, row int, packed []uint16, labels []int32) {
	countQuantized3Generic(counts, row, packed, labels)
}

func countGradients(counts []uint32, row int, list []uint32, labels []int32) {
	countGradientsGeneric(counts, row, list, labels)
}

func sumTrees(sums *[BlockSize]int16, columns [][BlockSize]int8, trees []tree) {
	sumTreesGeneric(sums, columns, trees)
}

func overlaps(ids []int32, ious []float32, b *Boxes, runs [][2]int32, box *[4]int32, area, minIoU float32) int {
	return overlapsGeneric(ids, ious, b, runs, box, area, minIoU)
}

func coverageGain(sums *[8]float32, edges []uint32, targets []Target) {
	coverageGainGeneric(sums, edges, targets)
}

func coverageHistogram(edges []uint32) (counts, sum uint64) { return coverageHistogramGeneric(edges) }

func quantizeColumns(
	dst [][BlockSize]int8, columns [][BlockSize]float32, means, scales []float32, limit, unit float32,
) {
	quantizeColumnsGeneric(dst, columns, means, scales, limit, unit)
}

func interleavePairs(pairs [][PairItems][2]int16, columns [][BlockSize]int8, n, complete int) {
	interleavePairsGeneric(pairs, columns, n, complete)
}

func unitOutputs(dst []float32, pairs [][PairItems][2]int16, weights [][pairUnits][2]int16, g *unitGroup) {
	unitOutputsGeneric(dst, pairs, weights, g)
}

func multiplyAdd(c []float32, cRow int, a []float32, aRow, aColumn int, b []float32, bRow, n int) {
	multiplyAddGeneric(c, cRow, a, aRow, aColumn, b, bRow, n)
}

func downsample2(dst, top, bottom []uint8) { downsample2Generic(dst, top, bottom) }

func split3(a, b, c, pixels []uint8) { split3Generic(a, b, c, pixels) }

func gradientMagnitudes(dst [][8]uint8, here, up, down *[3][]uint8) {
	gradientMagnitudesGeneric(dst, here, up, down, 0, len(dst))
}

func integralRow(here, above [][8]uint32, values [][8]uint8) { integralRowGeneric(here, above, values) }

func gridSums(dst [][8]float32, integral [][8]uint32, grids []Grid) {
	gridSumsGeneric(dst, integral, grids)
}

func rectangleSums(
	dst [][8]float32, integral [][8]uint32, corners [][4]int32, scales []float32, offset, gain *[8]float32,
) {
	rectangleSumsGeneric(dst, integral, corners, scales, offset, gain)
}

func maxMeanMin(dst, rows [][8]float32, counts []int32) { maxMeanMinGeneric(dst, rows, counts) }

func transposeBlock(columns [][BlockSize]float32, rows [][8]float32) {
	transposeBlockGeneric(columns, rows)
}

func scaleFloat64(dst, a []float64, w float64) { scaleFloat64Generic(dst, a, w) }

func addScaledSumFloat64(dst, a, b []float64, w float64) { addScaledSumFloat64Generic(dst, a, b, w) }

func convolve7Float64(dst []float64, rows *[7][]float64, w *[4]float64) {
	convolve7Float64Generic(dst, rows, w)
}

func distanceKeys3(keys []int32, a, b *[3][]float64) { distanceKeys3Generic(keys, a, b) }

func addSquaresFloat64(dst, a, b []float64) { addSquaresFloat64Generic(dst, a, b) }

func rootKeys(keys []int32, squares []float64) { rootKeysGeneric(keys, squares) }

func cycleEdges(dst []uint8, cells *CellRow) { cycleEdgesGeneric(dst, cells) }

func repeatedEdges(dst []uint8, cells *CellRow, top, bottom []int32) {
	repeatedEdgesGeneric(dst, cells, top, bottom)
}
