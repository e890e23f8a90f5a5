//go:build !purego

package kernels

import "golang.org/x/sys/cpu"

var avx2 = cpu.X86.HasAVX2 && cpu.X86.HasPOPCNT

func distances1(dst []uint16, a, b []float32) {
	if n := len(dst); avx2 && n >= 8 {
		distances1AVX2(&dst[0], &a[0], &b[0], n)
	} else {
		distances1Go(dst, a, b)
	}
}

func distances3(dst []uint16, a0, a1, a2, b0, b1, b2 []float32) {
	if n := len(dst); avx2 && n >= 8 {
		distances3AVX2(&dst[0], &a0[0], &a1[0], &a2[0], &b0[0], &b1[0], &b2[0], n)
	} else {
		distances3Go(dst, a0, a1, a2, b0, b1, b2)
	}
}

func columns4(dst []float32, rows *[9][]uint8, w *[5]int32) {
	if n := len(dst); avx2 && n >= 16 {
		columns4AVX2(&dst[0], rows, w, n)
	} else {
		columns4Go(dst, rows, w)
	}
}

func bothColumns4(even, odd []float32, rows *[9][]uint8, w, v *[5]int32) {
	if n := len(even); avx2 && n >= 16 {
		bothColumns4AVX2(&even[0], &odd[0], rows, w, v, n)
	} else {
		bothColumns4Go(even, odd, rows, w, v)
	}
}

func smoothRow4(dst, padded []float32, w *[5]float32) {
	if n := len(dst); avx2 && n >= 8 {
		smoothRow4AVX2(&dst[0], &padded[0], w, n)
	} else {
		smoothRow4Go(dst, padded, w)
	}
}

func slopeRow4(dst, padded []float32, w *[5]float32) {
	if n := len(dst); avx2 && n >= 8 {
		slopeRow4AVX2(&dst[0], &padded[0], w, n)
	} else {
		slopeRow4Go(dst, padded, w)
	}
}

func intersections(sums []uint32, row, rows []uint16, others []int32) {
	if n := len(others); avx2 && n > 0 {
		intersectionsAVX2(&sums[0], &row[0], &rows[0], len(row), &others[0], n)
	} else {
		intersectionsGo(sums, row, rows, others)
	}
}

func normalise(normal []uint16, counts []uint32, s scale) {
	if n := len(counts); avx2 && n > 0 {
		normaliseAVX2(&normal[0], &counts[0], n, s.reciprocal, s.half, s.shift)
	} else {
		normaliseGo(normal, counts, s)
	}
}

func merge(normal []uint16, sum, a, b []uint32, s scale) {
	if n := len(sum); avx2 && n > 0 {
		mergeAVX2(&normal[0], &sum[0], &a[0], &b[0], n, s.reciprocal, s.half, s.shift)
	} else {
		mergeGo(normal, sum, a, b, s)
	}
}

func thin4(kept, above, here *[2][]uint16, rightBelow []uint16) {
	if n := len(kept[0]); avx2 && n >= 16 {
		thin4AVX2(&kept[0][0], &kept[1][0], &above[0][0], &above[1][0], &here[0][0], &here[1][0], &rightBelow[0], n)
	} else {
		thin4Go(kept, above, here, rightBelow)
	}
}

func thin8(kept, above, here *[4][]uint16, rightBelow []uint16) {
	if n := len(kept[0]); avx2 && n >= 16 {
		thin8RightAVX2(&kept[0][0], &above[0][0], &above[1][0], &above[2][0], &above[3][0],
			&here[0][0], &here[1][0], &here[2][0], &here[3][0], &rightBelow[0], n)
		thin8DownAVX2(&kept[1][0], &kept[2][0], &kept[3][0],
			&here[0][0], &here[1][0], &here[2][0], &here[3][0], &rightBelow[0], n)
	} else {
		thin8Go(kept, above, here, rightBelow)
	}
}

func borders4(kept, weights *[2][]uint16, labels []uint16, stride int) {
	if n := len(kept[0]); avx2 && n >= 16 {
		borders4AVX2(&kept[0][0], &kept[1][0], &weights[0][0], &weights[1][0], &labels[0], stride, n)
	} else {
		borders4Go(kept, weights, labels, stride)
	}
}

func borders8(kept, weights *[4][]uint16, labels []uint16, stride int) {
	if n := len(kept[0]); avx2 && n >= 16 {
		r, d, f, i := &weights[0][0], &weights[1][0], &weights[2][0], &weights[3][0]
		borders8RightAVX2(&kept[0][0], r, d, f, i, &labels[0], stride, n)
		borders8DownAVX2(&kept[1][0], &kept[2][0], &kept[3][0], r, d, f, i, &labels[0], stride, n)
	} else {
		borders8Go(kept, weights, labels, stride)
	}
}

func list4(dst []uint32, number uint32, limit uint16, r, d []uint16) int {
	n, whole := 0, 0
	if avx2 && len(r) >= 4 {
		whole = len(r) &^ 3
		n = list4AVX2(&dst[0], &r[0], &d[0], whole, number, uint32(limit), &numbers4)
	}
	return n + list4Go(dst[n:], number+4*uint32(whole), limit, r[whole:], d[whole:])
}

func list8(dst []uint32, number uint32, limit uint16, r, d, f, i []uint16) int {
	n, whole := 0, 0
	if avx2 && len(r) >= 4 {
		whole = len(r) &^ 3
		n = list8AVX2(&dst[0], &r[0], &d[0], &f[0], &i[0], whole, number, uint32(limit), &numbers8)
	}
	return n + list8Go(dst[n:], number+4*uint32(whole), limit, r[whole:], d[whole:], f[whole:], i[whole:])
}

// The numbers of the first eight edges.
var (
	numbers4 = [8]uint8{0, 1, 4, 5, 8, 9, 12, 13}
	numbers8 = [8]uint8{0, 1, 2, 3, 4, 5, 6, 7}
)

// Backend names what the loops run on.
func Backend() string {
	if avx2 {
		return "AVX2"
	}
	return "portable"
}

func add(sum, a []uint32) {
	if n := len(sum); avx2 && n > 0 {
		addAVX2(&sum[0], &a[0], n)
	} else {
		addGo(sum, a)
	}
}

func gray(y, r, g, b []uint8) {
	if n := len(y); avx2 && n >= 16 {
		grayAVX2(&y[0], &r[0], &g[0], &b[0], n)
	} else {
		grayGo(y, r, g, b)
	}
}

func hue(h, r, g, b []uint8) {
	if n := len(h); avx2 && n >= 16 {
		hueAVX2(&h[0], &r[0], &g[0], &b[0], n)
	} else {
		hueGo(h, r, g, b)
	}
}

func hsv(h, s, v, r, g, b []uint8) {
	if n := len(h); avx2 && n >= 16 {
		hsvAVX2(&h[0], &s[0], &v[0], &r[0], &g[0], &b[0], n)
	} else {
		hsvGo(h, s, v, r, g, b)
	}
}

func lab(l, a, b, red, green, blue []uint8, t *LabTables) {
	if n := len(l); avx2 && n >= 8 {
		labAVX2(&l[0], &a[0], &b[0], &red[0], &green[0], &blue[0], &t.Linear[0], &t.Roots[0], &t.Matrix, n)
	} else {
		labGo(l, a, b, red, green, blue, t)
	}
}

func bins1(dst []uint16, a []uint8) {
	if n := len(dst); avx2 && n >= 16 {
		bins1AVX2(&dst[0], &a[0], n)
	} else {
		bins1Go(dst, a)
	}
}

func bins3(dst []uint16, a, b, c []uint8) {
	if n := len(dst); avx2 && n >= 16 {
		bins3AVX2(&dst[0], &a[0], &b[0], &c[0], n)
	} else {
		bins3Go(dst, a, b, c)
	}
}

func textures(list []uint32, gx, gy []float32, scale, diagonal float32) int {
	if n := len(gx); avx2 && n >= 8 {
		return texturesAVX2(&list[0], &gx[0], &gy[0], scale, diagonal, n)
	}
	return texturesGo(list, gx, gy, scale, diagonal)
}

func differ(bits []uint8, a, b []int32) {
	n := 0
	if avx2 && len(a) >= 8 {
		n = len(a) / 8
		differAVX2(&bits[0], &a[0], &b[0], n)
	}
	differGo(bits[n:], a[8*n:], b[8*n:])
}

func addBins3(counts []uint32, row int, bins []uint16, labels []int32) {
	n := len(bins) / 2
	if len(counts) == 0 {
		n = 0
	}
	if n > 0 && addBins3AMD64(&counts[0], row, len(counts)-3*QuantizeLevels, &bins[0], &labels[0], n) < n {
		panic("kernels: AddBins3: a label has no row")
	}
	addBins3Go(counts, row, bins[2*n:], labels[2*n:])
}

func addTextures(counts []uint32, row int, list []uint32, labels []int32) {
	n := len(list)
	if n == 0 || len(counts) == 0 || len(labels) == 0 {
		addTexturesGo(counts, row, list, labels)
	} else if addTexturesAMD64(&counts[0], row, len(counts)-8*GradientLevels, &list[0], n, &labels[0], len(labels)) < n {
		panic("kernels: AddTextures: a sample has no label or row")
	}
}

func sumTrees(sums *[BlockSize]int16, levels [][BlockSize]int8, trees []tree) {
	if n := len(trees); avx2 && n > 0 {
		sumTreesAVX2(sums, &levels[0], &trees[0].offsets[0], n)
	} else {
		sumTreesGo(sums, levels, trees)
	}
}

func overlaps(found []int32, ious []float32, b *Boxes, runs [][2]int32, box *[4]int32, area, least float32) int {
	if n := len(runs); avx2 && n > 0 {
		return overlapsAVX2(&found[0], &ious[0], &b.X0[0], &b.Y0[0], &b.X1[0], &b.Y1[0], &b.IDs[0], &b.Areas[0], &runs[0], n, box, area, least)
	}
	return overlapsGo(found, ious, b, runs, box, area, least)
}

func uncovered(sums *[8]float32, edges []uint32, objects []Target) {
	groups := len(edges) / len(sums)
	if !avx2 || len(objects) == 0 {
		groups = 0
	}
	if groups > 0 && uncoveredAVX2(sums, &edges[0], &objects[0].Weight, groups, uint32(len(objects)-1)) > 0 {
		panic("kernels: Uncovered: an edge has no object")
	}
	uncoveredGo(sums, edges[groups*len(sums):], objects)
}

func tally(edges []uint32) (counts, covers uint64) {
	groups := len(edges) / 8
	if avx2 && groups > 0 {
		counts, covers = tallyAVX2(&edges[0], groups)
		edges = edges[8*groups:]
	}
	n, sum := tallyGo(edges)
	return counts + n, covers + sum
}

func scaleColumns(levels [][BlockSize]int8, columns [][BlockSize]float32, means, scales []float32, most, unit float32) {
	if n := len(means); avx2 && n > 0 {
		scaleColumnsAVX2(&levels[0], &columns[0], &means[0], &scales[0], most, unit, n)
	} else {
		scaleColumnsGo(levels, columns, means, scales, most, unit)
	}
}

func interleave(pairs [][BlockSize][2]int16, levels [][BlockSize]int8) {
	if n := len(pairs); avx2 && n > 0 {
		interleaveAVX2(&pairs[0], &levels[0], n)
	} else {
		interleaveGo(pairs, levels)
	}
}

func project(dst *[2][BlockSize]int32, pairs [][BlockSize][2]int16, a, b [][2]int16) {
	if n := len(a); avx2 && n > 0 {
		projectAVX2(dst, &pairs[0], &a[0], &b[0], n)
	} else {
		projectGo(dst, pairs, a, b)
	}
}

func halve(dst, top, low []uint8) {
	if n := len(dst); avx2 && n >= 16 {
		halveAVX2(&dst[0], &top[0], &low[0], n)
	} else {
		halveGo(dst, top, low)
	}
}

func steepness(dst [][8]uint8, here, up, low *[3][]uint8) {
	if n := len(dst); avx2 && n >= 16+2 {
		steepnessGo(dst, here, up, low, 0, 1)
		steepnessAVX2(&dst[1], &here[0][1], &up[0][1], &low[0][1], &here[1][1], &up[1][1], &low[1][1], &here[2][1], &up[2][1], &low[2][1], n-2)
		steepnessGo(dst, here, up, low, n-1, n)
	} else {
		steepnessGo(dst, here, up, low, 0, n)
	}
}

func integrate(here, above [][8]uint32, cells [][8]uint8) {
	if n := len(here); avx2 && n > 0 {
		integrateAVX2(&here[0], &above[0], &cells[0], n)
	} else {
		integrateGo(here, above, cells)
	}
}

func grids(dst [][8]float32, table [][8]uint32, lattices []Grid) {
	if n := len(lattices); avx2 && n > 0 {
		gridsAVX2(&dst[0], &table[0], &lattices[0].Rows[0].Begin, n)
	} else {
		gridsGo(dst, table, lattices)
	}
}

func rectangles(dst [][8]float32, table [][8]uint32, corners [][4]int32, scales []float32, offset, gain *[8]float32) {
	if n := len(dst); avx2 && n > 0 {
		rectanglesAVX2(&dst[0], &table[0], &corners[0], &scales[0], n, offset, gain)
	} else {
		rectanglesGo(dst, table, corners, scales, offset, gain)
	}
}

func summarise(dst, rows [][8]float32, counts []int32) {
	if n := len(counts); avx2 && n > 0 {
		summariseAVX2(&dst[0], &rows[0], &counts[0], n)
	} else {
		summariseGo(dst, rows, counts)
	}
}

func transpose(columns [][BlockSize]float32, rows [][8]float32) {
	if n := len(rows) / BlockSize; avx2 && n > 0 {
		transposeAVX2(&columns[0], &rows[0], n)
	} else {
		transposeGo(columns, rows)
	}
}
