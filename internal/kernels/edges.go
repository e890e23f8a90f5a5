package kernels

import (
	"fmt"
	"math"
)

// Distances1 writes |a−b| in units of 1/128, rounded to the nearest. Distances must be below 511.9.
func Distances1(dst []uint16, a, b []float32) {
	checkLengths("Distances1", len(dst), len(a), len(b))
	distances1(dst, a, b)
}

func distances1Generic(dst []uint16, a, b []float32) {
	a, b = a[:len(dst)], b[:len(dst)]
	for i := range dst {
		dst[i] = fixedDistance(float32(math.Abs(float64(a[i] - b[i]))))
	}
}

// Distances3 writes the Euclidean distances of the points (a0,a1,a2) and (b0,b1,b2) in units of
// 1/128, rounded to the nearest. Distances must be below 511.9.
func Distances3(dst []uint16, a0, a1, a2, b0, b1, b2 []float32) {
	checkLengths("Distances3", len(dst), len(a0), len(a1), len(a2), len(b0), len(b1), len(b2))
	distances3(dst, a0, a1, a2, b0, b1, b2)
}

func distances3Generic(dst []uint16, a0, a1, a2, b0, b1, b2 []float32) {
	n := len(dst)
	a0, a1, a2, b0, b1, b2 = a0[:n], a1[:n], a2[:n], b0[:n], b1[:n], b2[:n]
	for i := range dst {
		x, y, z := a0[i]-b0[i], a1[i]-b1[i], a2[i]-b2[i]
		dst[i] = fixedDistance(float32(math.Sqrt(float64(float32(x*x) + float32(y*y) + float32(z*z)))))
	}
}

func fixedDistance(distance float32) uint16 {
	return uint16(int32(float32(distance*128) + 0.5))
}

// The following kernels work on the edges of a grid of pixels with 4 or 8 neighbors. Each pixel has
// the edges to its neighbors at the right and below, and with 8 neighbors down right and down left;
// [2][]uint16 and [4][]uint16 are their weights in that order, by the pixel's column.
//
// A cell is a square of 2×2 neighboring pixels, with an edge at the top, left, right and bottom and
// two diagonals. Edges of a cell are compared by weight and, if equal, in the order top, left, down
// right, right, down left, bottom.

// noEdge is the weight of an edge that is not there.
const noEdge = math.MaxUint16

// PruneEdges4 copies the weights of a row's edges to kept, with 65535 in place of each edge that is
// the last of one of its cells. Such an edge is the heaviest of a cycle, so a minimum spanning tree
// does not need it.
//
// above, here and rightBelow are the weights of the row above, of the row, and of the edges to the
// right in the row below. They begin one pixel before kept and end one pixel after it. 65535 stands
// for an edge that is not there.
func PruneEdges4(kept, above, here *[2][]uint16, rightBelow []uint16) {
	n := len(kept[0])
	checkLengths("PruneEdges4", n, len(kept[1]))
	checkLengths("PruneEdges4", n+2, len(above[0]), len(above[1]), len(here[0]), len(here[1]), len(rightBelow))
	pruneEdges4(kept, above, here, rightBelow)
}

func pruneEdges4Generic(kept, above, here *[2][]uint16, rightBelow []uint16) {
	n := len(kept[0])
	keptRight, keptDown := kept[0][:n], kept[1][:n]
	rAbove, dAbove := above[0][:n+2], above[1][:n+2]
	r, d, rBelow := here[0][:n+2], here[1][:n+2], rightBelow[:n+2]
	for x := range n {
		t := r[x+1]
		keptRight[x] = keepUnless(t, t > max(d[x+1], d[x+2], rBelow[x+1]) ||
			t >= max(rAbove[x+1], dAbove[x+1], dAbove[x+2]))
		l := d[x+1]
		keptDown[x] = keepUnless(l, l >= t && l > max(d[x+2], rBelow[x+1]) ||
			l >= max(r[x], d[x]) && l > rBelow[x])
	}
}

// PruneEdges8 is [PruneEdges4] for 8 neighbors: it drops the edges that are not in the minimum
// spanning tree of each of their cells.
func PruneEdges8(kept, above, here *[4][]uint16, rightBelow []uint16) {
	n := len(kept[0])
	for d := range kept {
		checkLengths("PruneEdges8", n, len(kept[d]))
		checkLengths("PruneEdges8", n+2, len(above[d]), len(here[d]), len(rightBelow))
	}
	pruneEdges8(kept, above, here, rightBelow)
}

func pruneEdges8Generic(kept, above, here *[4][]uint16, rightBelow []uint16) {
	n := len(kept[0])
	keptRight, keptDown, keptDownRight, keptDownLeft := kept[0][:n], kept[1][:n], kept[2][:n], kept[3][:n]
	rAbove, dAbove, drAbove, dlAbove := above[0][:n+2], above[1][:n+2], above[2][:n+2], above[3][:n+2]
	r, d, dr, dl, rBelow := here[0][:n+2], here[1][:n+2], here[2][:n+2], here[3][:n+2], rightBelow[:n+2]
	before := newCell(r[0], d[0], dr[0], d[1], dl[1], rBelow[0])
	for x := range n {
		above := newCell(rAbove[x+1], dAbove[x+1], drAbove[x+1], dAbove[x+2], dlAbove[x+2], r[x+1])
		here := newCell(r[x+1], d[x+1], dr[x+1], d[x+2], dl[x+2], rBelow[x+1])
		keptRight[x] = keepUnless(r[x+1], above.prunes(bottom, left, downRight, downLeft, right, top) ||
			here.prunes(top, left, downLeft, downRight, right, bottom))
		keptDown[x] = keepUnless(d[x+1], before.prunes(right, top, downRight, downLeft, bottom, left) ||
			here.prunes(left, top, downLeft, downRight, bottom, right))
		keptDownRight[x] = keepUnless(dr[x+1], here.prunes(downRight, top, right, left, bottom, downLeft))
		keptDownLeft[x] = keepUnless(dl[x+1], before.prunes(downLeft, top, left, right, bottom, downRight))
		before = here
	}
}

func keepUnless(weight uint16, pruned bool) uint16 {
	if pruned {
		return noEdge
	}
	return weight
}

// The edges of a cell, in the order of those with equal weights.
const (
	top = iota
	left
	downRight
	right
	downLeft
	bottom
)

// cell holds the keys of a cell's edges, which are ordered by weight and then by edge.
type cell [6]uint32

func newCell(t, l, dr, r, dl, b uint16) cell {
	return cell{
		uint32(t) << 3, uint32(l)<<3 + 1, uint32(dr)<<3 + 2,
		uint32(r)<<3 + 3, uint32(dl)<<3 + 4, uint32(b)<<3 + 5,
	}
}

// prunes reports whether an edge comes after all edges of another path between its ends: of the
// paths a–b and c–d, or the longer ones a–m–d and c–m–b.
func (c *cell) prunes(edge, a, b, cc, d, m int) bool {
	return c[edge] > min(
		max(c[a], c[b]), max(c[cc], c[d]),
		max(c[a], c[m], c[d]), max(c[cc], c[m], c[b]),
	)
}

// corners are the labels of a cell's pixels: top left, top right, bottom left, bottom right.
type corners [4]uint16

// ends are the corners that an edge of a cell connects.
var ends = [6][2]uint8{
	top: {0, 1}, left: {0, 2}, downRight: {0, 3}, right: {1, 3}, downLeft: {1, 2}, bottom: {2, 3},
}

// precedes reports whether one of others comes before an edge and connects the same two labels.
func (c *cell) precedes(l *corners, edge int, others ...uint8) bool {
	a, b := l[ends[edge][0]], l[ends[edge][1]]
	for _, o := range others {
		s, t := l[ends[o][0]], l[ends[o][1]]
		if c[o] < c[edge] && (s == a && t == b || s == b && t == a) {
			return true
		}
	}
	return false
}

// BoundaryEdges4 copies the weights of a row's edges to kept, with 65535 in place of each edge whose
// ends have the same label, or for which a cell of the edge has an edge before it that connects the
// same two labels.
//
// weights and labels are those of the row above, the row and the row below, at multiples of stride.
// They begin one pixel before kept and end one pixel after it.
func BoundaryEdges4(kept, weights *[2][]uint16, labels []uint16, stride int) {
	n := len(kept[0])
	checkLengths("BoundaryEdges4", n, len(kept[1]))
	checkLengths("BoundaryEdges4", 2*stride+n+2, len(weights[0]), len(weights[1]), len(labels))
	boundaryEdges4(kept, weights, labels, stride)
}

func boundaryEdges4Generic(kept, weights *[2][]uint16, labels []uint16, stride int) {
	n := len(kept[0])
	keptRight, keptDown, r, d := kept[0][:n], kept[1][:n], weights[0], weights[1]
	at := func(i int) (cell, corners) {
		j := i + stride
		return newCell(r[i], d[i], noEdge, d[i+1], noEdge, r[j]),
			corners{labels[i], labels[i+1], labels[j], labels[j+1]}
	}
	for x := range n {
		i := stride + 1 + x
		keptRight[x], keptDown[x] = noEdge, noEdge
		if labels[i] != labels[i+1] {
			here, l := at(i)
			above, m := at(i - stride)
			keptRight[x] = keepUnless(r[i], here.precedes(&l, top, left, right, bottom) ||
				above.precedes(&m, bottom, top, left, right))
		}
		if labels[i] != labels[i+stride] {
			here, l := at(i)
			before, m := at(i - 1)
			keptDown[x] = keepUnless(d[i], here.precedes(&l, left, top, right, bottom) ||
				before.precedes(&m, right, top, left, bottom))
		}
	}
}

// BoundaryEdges8 is [BoundaryEdges4] for 8 neighbors.
func BoundaryEdges8(kept, weights *[4][]uint16, labels []uint16, stride int) {
	n := len(kept[0])
	for d := range kept {
		checkLengths("BoundaryEdges8", n, len(kept[d]))
		checkLengths("BoundaryEdges8", 2*stride+n+2, len(weights[d]), len(labels))
	}
	boundaryEdges8(kept, weights, labels, stride)
}

func boundaryEdges8Generic(kept, weights *[4][]uint16, labels []uint16, stride int) {
	n := len(kept[0])
	keptRight, keptDown, keptDownRight, keptDownLeft := kept[0][:n], kept[1][:n], kept[2][:n], kept[3][:n]
	r, d, dr, dl := weights[0], weights[1], weights[2], weights[3]
	at := func(i int) (cell, corners) {
		j := i + stride
		return newCell(r[i], d[i], dr[i], d[i+1], dl[i+1], r[j]),
			corners{labels[i], labels[i+1], labels[j], labels[j+1]}
	}
	for x := range n {
		i := stride + 1 + x
		keptRight[x], keptDown[x], keptDownRight[x], keptDownLeft[x] = noEdge, noEdge, noEdge, noEdge
		here, l := at(i)
		if l[0] != l[1] {
			above, m := at(i - stride)
			keptRight[x] = keepUnless(r[i], here.precedes(&l, top, left, downRight, right, downLeft, bottom) ||
				above.precedes(&m, bottom, top, left, downRight, right, downLeft))
		}
		before, m := at(i - 1)
		if l[0] != l[2] {
			keptDown[x] = keepUnless(d[i], here.precedes(&l, left, top, downRight, right, downLeft, bottom) ||
				before.precedes(&m, right, top, left, downRight, downLeft, bottom))
		}
		if l[0] != l[3] {
			keptDownRight[x] = keepUnless(dr[i], here.precedes(&l, downRight, top, left, right, downLeft, bottom))
		}
		if m[1] != m[2] {
			keptDownLeft[x] = keepUnless(dl[i], before.precedes(&m, downLeft, top, left, downRight, right, bottom))
		}
	}
}

// EdgeKeyPadding is by how much the dst of [EdgeKeys4] and [EdgeKeys8] must be longer than the
// number of edges.
const EdgeKeyPadding = 8

// EdgeKeys4 writes the keys of the edges of a row that are lighter than limit and returns their
// number. A key is the weight<<16 | number, and the number of an edge is that of its pixel times 4
// plus its direction: 0 to the right, 1 down. Pixels are numbered from first, up to 2¹⁴.
func EdgeKeys4(dst []uint32, first uint32, limit uint16, right, down []uint16) int {
	n := len(right)
	checkLengths("EdgeKeys4", n, len(down))
	checkKeys("EdgeKeys4", len(dst), 2*n, first, n)
	return edgeKeys4(dst, 4*first, limit, right, down)
}

func edgeKeys4Generic(dst []uint32, number uint32, limit uint16, r, d []uint16) int {
	n := 0
	d = d[:len(r)]
	for x, w := range r {
		e := number + 4*uint32(x)
		dst[n] = uint32(w)<<16 | e
		n += less(w, limit)
		w = d[x]
		dst[n] = uint32(w)<<16 | (e + 1)
		n += less(w, limit)
	}
	return n
}

// EdgeKeys8 is [EdgeKeys4] for 8 neighbors, with 2 for down right and 3 for down left.
func EdgeKeys8(dst []uint32, first uint32, limit uint16, right, down, downRight, downLeft []uint16) int {
	n := len(right)
	checkLengths("EdgeKeys8", n, len(down), len(downRight), len(downLeft))
	checkKeys("EdgeKeys8", len(dst), 4*n, first, n)
	return edgeKeys8(dst, 4*first, limit, right, down, downRight, downLeft)
}

func edgeKeys8Generic(dst []uint32, number uint32, limit uint16, r, d, dr, dl []uint16) int {
	n := 0
	d, dr, dl = d[:len(r)], dr[:len(r)], dl[:len(r)]
	for x := range r {
		e := number + 4*uint32(x)
		for k, w := range [4]uint16{r[x], d[x], dr[x], dl[x]} {
			dst[n] = uint32(w)<<16 | (e + uint32(k))
			n += less(w, limit)
		}
	}
	return n
}

// less returns 1 if a < b, else 0, without a branch: on images it would often be mispredicted.
func less(a, b uint16) int { return int((uint32(a) - uint32(b)) >> 31) }

// checkKeys panics if the keys of n pixels may not fit dst, or the numbers their bits.
func checkKeys(name string, size, edges int, first uint32, n int) {
	if size < edges+EdgeKeyPadding {
		panic(fmt.Sprintf("kernels: %s: dst has %d elements: want %d", name, size, edges+EdgeKeyPadding))
	}
	if int64(first)+int64(n) > 1<<14 {
		panic(fmt.Sprintf("kernels: %s: %d pixels from %d on: want at most %d", name, n, first, 1<<14))
	}
}

// DiffMask sets the bits of the elements that differ, from the lowest bit of the first byte on, and
// leaves the other bits as they are. bits has a byte for every eight elements, rounded up.
func DiffMask(bits []uint8, a, b []int32) {
	checkLengths("DiffMask", len(a), len(b))
	checkLengths("DiffMask", (len(a)+7)/8, len(bits))
	diffMask(bits, a, b)
}

func diffMaskGeneric(bits []uint8, a, b []int32) {
	b = b[:len(a)]
	for i, v := range a {
		if v != b[i] {
			bits[i/8] |= 1 << (i % 8)
		}
	}
}
