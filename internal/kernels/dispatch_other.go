//go:build !amd64 || purego

package kernels

func distances1(dst []uint16, a, b []float32) { distances1Go(dst, a, b) }

func distances3(dst []uint16, a0, a1, a2, b0, b1, b2 []float32) {
	distances3Go(dst, a0, a1, a2, b0, b1, b2)
}

func columns4(dst []float32, rows *[9][]uint8, w *[5]int32) { columns4Go(dst, rows, w) }

func bothColumns4(even, odd []float32, rows *[9][]uint8, w, v *[5]int32) {
	bothColumns4Go(even, odd, rows, w, v)
}

func smoothRow4(dst, padded []float32, w *[5]float32) { smoothRow4Go(dst, padded, w) }

func slopeRow4(dst, padded []float32, w *[5]float32) { slopeRow4Go(dst, padded, w) }

func intersections(sums []uint32, row, rows []uint16, others []int32) {
	intersectionsGo(sums, row, rows, others)
}

func normalise(normal []uint16, counts []uint32, s scale) { normaliseGo(normal, counts, s) }

func merge(normal []uint16, sum, a, b []uint32, s scale) { mergeGo(normal, sum, a, b, s) }

func thin4(kept, above, here *[2][]uint16, rightBelow []uint16) {
	thin4Go(kept, above, here, rightBelow)
}

func thin8(kept, above, here *[4][]uint16, rightBelow []uint16) {
	thin8Go(kept, above, here, rightBelow)
}

func borders4(kept, weights *[2][]uint16, labels []uint16, stride int) {
	borders4Go(kept, weights, labels, stride)
}

func borders8(kept, weights *[4][]uint16, labels []uint16, stride int) {
	borders8Go(kept, weights, labels, stride)
}

func list4(dst []uint32, number uint32, limit uint16, r, d []uint16) int {
	return list4Go(dst, number, limit, r, d)
}

func list8(dst []uint32, number uint32, limit uint16, r, d, f, i []uint16) int {
	return list8Go(dst, number, limit, r, d, f, i)
}

// Backend names what the loops run on.
func Backend() string { return "portable" }

func add(sum, a []uint32)     { addGo(sum, a) }
func gray(y, r, g, b []uint8) { grayGo(y, r, g, b) }

func hue(h, r, g, b []uint8) { hueGo(h, r, g, b) }

func hsv(h, s, v, r, g, b []uint8) { hsvGo(h, s, v, r, g, b) }

func lab(l, a, b, red, green, blue []uint8, t *LabTables) {
	labGo(l, a, b, red, green, blue, t)
}

func bins1(dst []uint16, a []uint8) { bins1Go(dst, a) }

func bins3(dst []uint16, a, b, c []uint8) { bins3Go(dst, a, b, c) }

func textures(list []uint32, gx, gy []float32, scale, diagonal float32) int {
	return texturesGo(list, gx, gy, scale, diagonal)
}

func differ(bits []uint8, a, b []int32) { differGo(bits, a, b) }

func addBins3(counts []uint32, row int, bins []uint16, labels []int32) {
	addBins3Go(counts, row, bins, labels)
}

func addTextures(counts []uint32, row int, list []uint32, labels []int32) {
	addTexturesGo(counts, row, list, labels)
}

func sumTrees(sums *[BlockSize]int16, levels [][BlockSize]int8, trees []tree) {
	sumTreesGo(sums, levels, trees)
}

func overlaps(found []int32, ious []float32, b *Boxes, runs [][2]int32, box *[4]int32, area, least float32) int {
	return overlapsGo(found, ious, b, runs, box, area, least)
}

func uncovered(sums *[8]float32, edges []uint32, objects []Target) {
	uncoveredGo(sums, edges, objects)
}

func tally(edges []uint32) (counts, covers uint64) { return tallyGo(edges) }

func scaleColumns(levels [][BlockSize]int8, columns [][BlockSize]float32, means, scales []float32, most, unit float32) {
	scaleColumnsGo(levels, columns, means, scales, most, unit)
}

func interleave(pairs [][BlockSize][2]int16, levels [][BlockSize]int8) { interleaveGo(pairs, levels) }

func project(dst *[2][BlockSize]int32, pairs [][BlockSize][2]int16, a, b [][2]int16) {
	projectGo(dst, pairs, a, b)
}

func halve(dst, top, low []uint8) { halveGo(dst, top, low) }

func steepness(dst [][8]uint8, here, up, low *[3][]uint8) {
	steepnessGo(dst, here, up, low, 0, len(dst))
}

func integrate(here, above [][8]uint32, cells [][8]uint8) { integrateGo(here, above, cells) }

func grids(dst [][8]float32, table [][8]uint32, lattices []Grid) {
	gridsGo(dst, table, lattices)
}

func rectangles(dst [][8]float32, table [][8]uint32, corners [][4]int32, scales []float32, offset, gain *[8]float32) {
	rectanglesGo(dst, table, corners, scales, offset, gain)
}

func summarise(dst, rows [][8]float32, counts []int32) { summariseGo(dst, rows, counts) }

func transpose(columns [][BlockSize]float32, rows [][8]float32) { transposeGo(columns, rows) }
