//go:build !purego

package kernels

import "golang.org/x/sys/cpu"

var (
	avx2 = cpu.X86.HasAVX2 && cpu.X86.HasPOPCNT
	// avx512 reports whether the processor adds products of 16-bit integers in 512-bit vectors.
	avx512 = avx2 && cpu.X86.HasAVX512F && cpu.X86.HasAVX512VNNI
)

func distances1(dst []uint16, a, b []float32) {
	if n := len(dst); avx2 && n >= 8 {
		distances1AVX2(&dst[0], &a[0], &b[0], n)
	} else {
		distances1Generic(dst, a, b)
	}
}

func distances3(dst []uint16, a0, a1, a2, b0, b1, b2 []float32) {
	if n := len(dst); avx2 && n >= 8 {
		distances3AVX2(&dst[0], &a0[0], &a1[0], &a2[0], &b0[0], &b1[0], &b2[0], n)
	} else {
		distances3Generic(dst, a0, a1, a2, b0, b1, b2)
	}
}

func convolveColumnsEven(dst []float32, rows *[9][]uint8, w *[5]int32) {
	if n := len(dst); avx2 && n >= 16 {
		convolveColumnsEvenAVX2(&dst[0], rows, w, n)
	} else {
		convolveColumnsEvenGeneric(dst, rows, w)
	}
}

func convolveColumnsEvenOdd(even, odd []float32, rows *[9][]uint8, w, v *[5]int32) {
	if n := len(even); avx2 && n >= 16 {
		convolveColumnsEvenOddAVX2(&even[0], &odd[0], rows, w, v, n)
	} else {
		convolveColumnsEvenOddGeneric(even, odd, rows, w, v)
	}
}

func convolveRowEven(dst, padded []float32, w *[5]float32) {
	if n := len(dst); avx2 && n >= 8 {
		convolveRowEvenAVX2(&dst[0], &padded[0], w, n)
	} else {
		convolveRowEvenGeneric(dst, padded, w)
	}
}

func convolveRowOdd(dst, padded []float32, w *[5]float32) {
	if n := len(dst); avx2 && n >= 8 {
		convolveRowOddAVX2(&dst[0], &padded[0], w, n)
	} else {
		convolveRowOddGeneric(dst, padded, w)
	}
}

func intersections(sums []uint32, row, rows []uint16, others []int32) {
	if n := len(others); avx2 && n > 0 {
		intersectionsAVX2(&sums[0], &row[0], &rows[0], len(row), &others[0], n)
	} else {
		intersectionsGeneric(sums, row, rows, others)
	}
}

func normalize(normal []uint16, counts []uint32, r reciprocal) {
	if n := len(counts); avx2 && n > 0 {
		normalizeAVX2(&normal[0], &counts[0], n, r.factor, r.half, r.shift)
	} else {
		normalizeGeneric(normal, counts, r)
	}
}

func addNormalize(normal []uint16, sum, a, b []uint32, r reciprocal) {
	if n := len(sum); avx2 && n > 0 {
		addNormalizeAVX2(&normal[0], &sum[0], &a[0], &b[0], n, r.factor, r.half, r.shift)
	} else {
		addNormalizeGeneric(normal, sum, a, b, r)
	}
}

func pruneEdges4(kept, above, here *[2][]uint16, rightBelow []uint16) {
	if n := len(kept[0]); avx2 && n >= 16 {
		pruneEdges4AVX2(&kept[0][0], &kept[1][0], &above[0][0], &above[1][0],
			&here[0][0], &here[1][0], &rightBelow[0], n)
	} else {
		pruneEdges4Generic(kept, above, here, rightBelow)
	}
}

func pruneEdges8(kept, above, here *[4][]uint16, rightBelow []uint16) {
	if n := len(kept[0]); avx2 && n >= 16 {
		pruneEdges8RightAVX2(&kept[0][0], &above[0][0], &above[1][0], &above[2][0], &above[3][0],
			&here[0][0], &here[1][0], &here[2][0], &here[3][0], &rightBelow[0], n)
		pruneEdges8DownAVX2(&kept[1][0], &kept[2][0], &kept[3][0],
			&here[0][0], &here[1][0], &here[2][0], &here[3][0], &rightBelow[0], n)
	} else {
		pruneEdges8Generic(kept, above, here, rightBelow)
	}
}

func boundaryEdges4(kept, weights *[2][]uint16, labels []uint16, stride int) {
	if n := len(kept[0]); avx2 && n >= 16 {
		boundaryEdges4AVX2(&kept[0][0], &kept[1][0], &weights[0][0], &weights[1][0], &labels[0], stride, n)
	} else {
		boundaryEdges4Generic(kept, weights, labels, stride)
	}
}

func boundaryEdges8(kept, weights *[4][]uint16, labels []uint16, stride int) {
	if n := len(kept[0]); avx2 && n >= 16 {
		r, d, dr, dl := &weights[0][0], &weights[1][0], &weights[2][0], &weights[3][0]
		boundaryEdges8RightAVX2(&kept[0][0], r, d, dr, dl, &labels[0], stride, n)
		boundaryEdges8DownAVX2(&kept[1][0], &kept[2][0], &kept[3][0], r, d, dr, dl, &labels[0], stride, n)
	} else {
		boundaryEdges8Generic(kept, weights, labels, stride)
	}
}

func edgeKeys4(dst []uint32, number uint32, limit uint16, r, d []uint16) int {
	n, whole := 0, 0
	if avx2 && len(r) >= 4 {
		whole = len(r) &^ 3
		n = edgeKeys4AVX2(&dst[0], &r[0], &d[0], whole, number, uint32(limit), &numbers4)
	}
	return n + edgeKeys4Generic(dst[n:], number+4*uint32(whole), limit, r[whole:], d[whole:])
}

func edgeKeys8(dst []uint32, number uint32, limit uint16, r, d, dr, dl []uint16) int {
	n, whole := 0, 0
	if avx2 && len(r) >= 4 {
		whole = len(r) &^ 3
		n = edgeKeys8AVX2(&dst[0], &r[0], &d[0], &dr[0], &dl[0], whole, number, uint32(limit), &numbers8)
	}
	return n + edgeKeys8Generic(dst[n:], number+4*uint32(whole), limit,
		r[whole:], d[whole:], dr[whole:], dl[whole:])
}

// numbers4 and numbers8 are the numbers of the first eight edges.
var (
	numbers4 = [8]uint8{0, 1, 4, 5, 8, 9, 12, 13}
	numbers8 = [8]uint8{0, 1, 2, 3, 4, 5, 6, 7}
)

// Backend returns the name of the implementation: AVX-512, AVX2 or portable.
func Backend() string {
	switch {
	case avx512:
		return "AVX-512"
	case avx2:
		return "AVX2"
	}
	return "portable"
}

func addCounts(sum, a []uint32) {
	if n := len(sum); avx2 && n > 0 {
		addCountsAVX2(&sum[0], &a[0], n)
	} else {
		addCountsGeneric(sum, a)
	}
}

func gray(y, r, g, b []uint8) {
	if n := len(y); avx2 && n >= 16 {
		grayAVX2(&y[0], &r[0], &g[0], &b[0], n)
	} else {
		grayGeneric(y, r, g, b)
	}
}

func hue(h, r, g, b []uint8) {
	if n := len(h); avx2 && n >= 16 {
		hueAVX2(&h[0], &r[0], &g[0], &b[0], n)
	} else {
		hueGeneric(h, r, g, b)
	}
}

func hsv(h, s, v, r, g, b []uint8) {
	if n := len(h); avx2 && n >= 16 {
		hsvAVX2(&h[0], &s[0], &v[0], &r[0], &g[0], &b[0], n)
	} else {
		hsvGeneric(h, s, v, r, g, b)
	}
}

func lab(l, a, b, red, green, blue []uint8, t *LabTables) {
	if n := len(l); avx2 && n >= 8 {
		labAVX2(&l[0], &a[0], &b[0], &red[0], &green[0], &blue[0], &t.Linear[0], &t.Roots[0], &t.Matrix, n)
	} else {
		labGeneric(l, a, b, red, green, blue, t)
	}
}

func quantize1(dst []uint16, a []uint8) {
	if n := len(dst); avx2 && n >= 16 {
		quantize1AVX2(&dst[0], &a[0], n)
	} else {
		quantize1Generic(dst, a)
	}
}

func quantize3(dst []uint16, a, b, c []uint8) {
	if n := len(dst); avx2 && n >= 16 {
		quantize3AVX2(&dst[0], &a[0], &b[0], &c[0], n)
	} else {
		quantize3Generic(dst, a, b, c)
	}
}

func listGradients(list []uint32, gx, gy []float32, scale, diagonal float32) int {
	if n := len(gx); avx2 && n >= 8 {
		return listGradientsAVX2(&list[0], &gx[0], &gy[0], scale, diagonal, n)
	}
	return listGradientsGeneric(list, gx, gy, scale, diagonal)
}

func diffMask(bits []uint8, a, b []int32) {
	n := 0
	if avx2 && len(a) >= 8 {
		n = len(a) / 8
		diffMaskAVX2(&bits[0], &a[0], &b[0], n)
	}
	diffMaskGeneric(bits[n:], a[8*n:], b[8*n:])
}

func countQuantized3(counts []uint32, row int, packed []uint16, labels []int32) {
	n := len(packed) / 2
	if len(counts) == 0 {
		n = 0
	}
	if n > 0 && countQuantized3AMD64(&counts[0], row, len(counts)-3*QuantizeLevels, &packed[0], &labels[0], n) < n {
		panic("kernels: CountQuantized3: a label has no row")
	}
	countQuantized3Generic(counts, row, packed[2*n:], labels[2*n:])
}

func countGradients(counts []uint32, row int, list []uint32, labels []int32) {
	n := len(list)
	if n == 0 || len(counts) == 0 || len(labels) == 0 {
		countGradientsGeneric(counts, row, list, labels)
	} else if countGradientsAMD64(&counts[0], row, len(counts)-8*GradientLevels,
		&list[0], n, &labels[0], len(labels)) < n {
		panic("kernels: CountGradients: a sample has no label or row")
	}
}

func sumTrees(sums *[BlockSize]int16, columns [][BlockSize]int8, trees []tree) {
	if n := len(trees); avx2 && n > 0 {
		sumTreesAVX2(sums, &columns[0], &trees[0].offsets[0], n)
	} else {
		sumTreesGeneric(sums, columns, trees)
	}
}

func overlaps(ids []int32, ious []float32, b *Boxes, runs [][2]int32, box *[4]int32, area, minIoU float32) int {
	if n := len(runs); avx2 && n > 0 {
		return overlapsAVX2(&ids[0], &ious[0], &b.X0[0], &b.Y0[0], &b.X1[0], &b.Y1[0],
			&b.IDs[0], &b.Areas[0], &runs[0], n, box, area, minIoU)
	}
	return overlapsGeneric(ids, ious, b, runs, box, area, minIoU)
}

func coverageGain(sums *[8]float32, edges []uint32, targets []Target) {
	groups := len(edges) / len(sums)
	if !avx2 || len(targets) == 0 {
		groups = 0
	}
	if groups > 0 && coverageGainAVX2(sums, &edges[0], &targets[0].Weight, groups, uint32(len(targets)-1)) > 0 {
		panic("kernels: CoverageGain: an edge has no target")
	}
	coverageGainGeneric(sums, edges[groups*len(sums):], targets)
}

func coverageHistogram(edges []uint32) (counts, sum uint64) {
	groups := len(edges) / 8
	if avx2 && groups > 0 {
		counts, sum = coverageHistogramAVX2(&edges[0], groups)
		edges = edges[8*groups:]
	}
	restCounts, restSum := coverageHistogramGeneric(edges)
	return counts + restCounts, sum + restSum
}

func quantizeColumns(
	dst [][BlockSize]int8, columns [][BlockSize]float32, means, scales []float32, limit, unit float32,
) {
	if n := len(means); avx2 && n > 0 {
		quantizeColumnsAVX2(&dst[0], &columns[0], &means[0], &scales[0], limit, unit, n)
	} else {
		quantizeColumnsGeneric(dst, columns, means, scales, limit, unit)
	}
}

func interleavePairs(pairs [][PairItems][2]int16, columns [][BlockSize]int8, n, complete int) {
	if avx2 && complete > 0 {
		interleavePairsAVX2(&pairs[0], &columns[0], n, complete)
	} else {
		interleavePairsGeneric(pairs, columns, n, complete)
	}
}

func unitOutputs(dst []float32, pairs [][PairItems][2]int16, weights [][pairUnits][2]int16, g *unitGroup) {
	n := len(weights)
	switch {
	case n == 0 || !avx2:
		unitOutputsGeneric(dst, pairs, weights, g)
	case avx512:
		unitOutputsAVX512(&dst[0], &pairs[0], &weights[0], &g.scales[0], n)
	default:
		unitOutputsAVX2(&dst[0], &pairs[0], &weights[0], &g.scales[0], n)
		unitOutputsAVX2(&dst[PairItems], &pairs[n], &weights[0], &g.scales[0], n)
	}
}

func multiplyAdd(c []float32, cRow int, a []float32, aRow, aColumn int, b []float32, bRow, n int) {
	if avx2 {
		multiplyAddAVX2(&c[0], cRow, &a[0], aRow, aColumn, &b[0], bRow, n)
	} else {
		multiplyAddGeneric(c, cRow, a, aRow, aColumn, b, bRow, n)
	}
}

func downsample2(dst, top, bottom []uint8) {
	if n := len(dst); avx2 && n >= 16 {
		downsample2AVX2(&dst[0], &top[0], &bottom[0], n)
	} else {
		downsample2Generic(dst, top, bottom)
	}
}

func split3(a, b, c, pixels []uint8) {
	if n := len(a); avx2 && n >= 16 {
		split3AVX2(&a[0], &b[0], &c[0], &pixels[0], n)
	} else {
		split3Generic(a, b, c, pixels)
	}
}

func gradientMagnitudes(dst [][8]uint8, here, up, down *[3][]uint8) {
	if n := len(dst); avx2 && n >= 16+2 {
		gradientMagnitudesGeneric(dst, here, up, down, 0, 1)
		gradientMagnitudesAVX2(&dst[1],
			&here[0][1], &up[0][1], &down[0][1],
			&here[1][1], &up[1][1], &down[1][1],
			&here[2][1], &up[2][1], &down[2][1], n-2)
		gradientMagnitudesGeneric(dst, here, up, down, n-1, n)
	} else {
		gradientMagnitudesGeneric(dst, here, up, down, 0, n)
	}
}

func integralRow(here, above [][8]uint32, values [][8]uint8) {
	if n := len(here); avx2 && n > 0 {
		integralRowAVX2(&here[0], &above[0], &values[0], n)
	} else {
		integralRowGeneric(here, above, values)
	}
}

func gridSums(dst [][8]float32, integral [][8]uint32, grids []Grid) {
	if n := len(grids); avx2 && n > 0 {
		gridSumsAVX2(&dst[0], &integral[0], &grids[0].Rows[0].Begin, n)
	} else {
		gridSumsGeneric(dst, integral, grids)
	}
}

func rectangleSums(
	dst [][8]float32, integral [][8]uint32, corners [][4]int32, scales []float32, offset, gain *[8]float32,
) {
	if n := len(dst); avx2 && n > 0 {
		rectangleSumsAVX2(&dst[0], &integral[0], &corners[0], &scales[0], n, offset, gain)
	} else {
		rectangleSumsGeneric(dst, integral, corners, scales, offset, gain)
	}
}

func maxMeanMin(dst, rows [][8]float32, counts []int32) {
	if n := len(counts); avx2 && n > 0 {
		maxMeanMinAVX2(&dst[0], &rows[0], &counts[0], n)
	} else {
		maxMeanMinGeneric(dst, rows, counts)
	}
}

func transposeBlock(columns [][BlockSize]float32, rows [][8]float32) {
	if n := len(rows) / BlockSize; avx2 && n > 0 {
		transposeBlockAVX2(&columns[0], &rows[0], n)
	} else {
		transposeBlockGeneric(columns, rows)
	}
}

func scaleFloat64(dst, a []float64, w float64) {
	if n := len(dst); avx2 && n >= 4 {
		scaleFloat64AVX2(&dst[0], &a[0], w, n)
	} else {
		scaleFloat64Generic(dst, a, w)
	}
}

func addScaledSumFloat64(dst, a, b []float64, w float64) {
	n := 0
	if avx2 && len(dst) >= 4 {
		n = len(dst) &^ 3
		addScaledSumFloat64AVX2(&dst[0], &a[0], &b[0], w, n)
	}
	addScaledSumFloat64Generic(dst[n:], a[n:], b[n:], w)
}

func convolve7Float64(dst []float64, rows *[7][]float64, w *[4]float64) {
	if n := len(dst); avx2 && n >= 4 {
		convolve7Float64AVX2(&dst[0], rows, w, n)
	} else {
		convolve7Float64Generic(dst, rows, w)
	}
}

func distanceKeys3(keys []int32, a, b *[3][]float64) {
	if n := len(keys); avx2 && n >= 4 {
		distanceKeys3AVX2(&keys[0], a, b, n)
	} else {
		distanceKeys3Generic(keys, a, b)
	}
}

func addSquaresFloat64(dst, a, b []float64) {
	n := 0
	if avx2 && len(dst) >= 4 {
		n = len(dst) &^ 3
		addSquaresFloat64AVX2(&dst[0], &a[0], &b[0], n)
	}
	addSquaresFloat64Generic(dst[n:], a[n:], b[n:])
}

func rootKeys(keys []int32, squares []float64) {
	if n := len(keys); avx2 && n >= 4 {
		rootKeysAVX2(&keys[0], &squares[0], n)
	} else {
		rootKeysGeneric(keys, squares)
	}
}

func cycleEdges(dst []uint8, c *CellRow) {
	if n := len(dst); avx2 && n >= 8 {
		cycleEdgesAVX2(&dst[0], &c.Top[0], &c.Side[0], &c.DownRight[0], &c.DownLeft[0], &c.Bottom[0], n)
	} else {
		cycleEdgesGeneric(dst, c)
	}
}

func repeatedEdges(dst []uint8, c *CellRow, top, bottom []int32) {
	if n := len(dst); avx2 && n >= 8 {
		repeatedEdgesAVX2(&dst[0], &c.Top[0], &c.Side[0], &c.DownRight[0], &c.DownLeft[0], &c.Bottom[0],
			&top[0], &bottom[0], n)
	} else {
		repeatedEdgesGeneric(dst, c, top, bottom)
	}
}
