package kernels

import "math"

// The kernels of this file are for segmentation with weights in float64.

// ScaleFloat64 writes a·w to dst.
func ScaleFloat64(dst, a []float64, w float64) {
	checkLengths("ScaleFloat64", len(dst), len(a))
	scaleFloat64(dst, a, w)
}

func scaleFloat64Generic(dst, a []float64, w float64) {
	a = a[:len(dst)]
	for i := range dst {
		dst[i] = a[i] * w
	}
}

// AddScaledSumFloat64 adds (a+b)·w to dst.
func AddScaledSumFloat64(dst, a, b []float64, w float64) {
	checkLengths("AddScaledSumFloat64", len(dst), len(a), len(b))
	addScaledSumFloat64(dst, a, b, w)
}

func addScaledSumFloat64Generic(dst, a, b []float64, w float64) {
	a, b = a[:len(dst)], b[:len(dst)]
	for i := range dst {
		dst[i] += float64((a[i] + b[i]) * w)
	}
}

// Convolve7Float64 convolves seven rows with an even kernel: w₀ is the weight of the middle row. The
// terms are added from the middle, then from the outermost rows inwards.
func Convolve7Float64(dst []float64, rows *[7][]float64, w *[4]float64) {
	for _, r := range rows {
		checkLengths("Convolve7Float64", len(dst), len(r))
	}
	convolve7Float64(dst, rows, w)
}

func convolve7Float64Generic(dst []float64, rows *[7][]float64, w *[4]float64) {
	scaleFloat64Generic(dst, rows[3], w[0])
	for j := 3; j > 0; j-- {
		addScaledSumFloat64Generic(dst, rows[3-j], rows[3+j], w[j])
	}
}

// AddSquaresFloat64 adds (b−a)² to dst.
func AddSquaresFloat64(dst, a, b []float64) {
	checkLengths("AddSquaresFloat64", len(dst), len(a), len(b))
	addSquaresFloat64(dst, a, b)
}

func addSquaresFloat64Generic(dst, a, b []float64) {
	a, b = a[:len(dst)], b[:len(dst)]
	for i := range dst {
		d := b[i] - a[i]
		dst[i] += float64(d * d)
	}
}

// RootKeys writes the square roots of numbers, which are not negative, rounded down to float32, as bits.
// That of a NaN is 0x7fc00000.
func RootKeys(keys []int32, squares []float64) {
	checkLengths("RootKeys", len(keys), len(squares))
	rootKeys(keys, squares)
}

func rootKeysGeneric(keys []int32, squares []float64) {
	keys = keys[:len(squares)]
	for i, x := range squares {
		x = math.Sqrt(x)
		f := float32(x)
		k := int32(math.Float32bits(f))
		if float64(f) > x {
			k--
		}
		if x != x {
			k = 0x7fc00000
		}
		keys[i] = k
	}
}

// DistanceKeys3 writes the keys, as [RootKeys] does, of the squared distances of the points a and b. The
// squares of the differences are added in order.
func DistanceKeys3(keys []int32, a, b *[3][]float64) {
	for c := range a {
		checkLengths("DistanceKeys3", len(keys), len(a[c]), len(b[c]))
	}
	distanceKeys3(keys, a, b)
}

func distanceKeys3Generic(keys []int32, a, b *[3][]float64) {
	var square [1]float64
	for i := range keys {
		square[0] = 0
		for c := range a {
			addSquaresFloat64Generic(square[:], a[c][i:i+1], b[c][i:i+1])
		}
		rootKeysGeneric(keys[i:i+1], square[:])
	}
}

// A CellRow is a row of cells, of which there is one for each pixel but the last of a row. The edges of
// a cell have keys that are not negative.
type CellRow struct {
	Top, Side, DownRight, DownLeft, Bottom []int32 // by the first pixel of an edge
}

// The bits of a cell's edges.
const (
	TopEdge = iota
	LeftEdge
	DownRightEdge
	RightEdge
	DownLeftEdge
	BottomEdge
)

func (c *CellRow) check(name string, n int) {
	checkLengths(name, n, len(c.Top), len(c.DownRight), len(c.Bottom))
	checkLengths(name, n+1, len(c.Side), len(c.DownLeft))
}

// edges returns the keys of the edges of cell x.
func (c *CellRow) edges(x int) [6]int32 {
	return [6]int32{
		TopEdge: c.Top[x], LeftEdge: c.Side[x], DownRightEdge: c.DownRight[x],
		RightEdge: c.Side[x+1], DownLeftEdge: c.DownLeft[x+1], BottomEdge: c.Bottom[x],
	}
}

// CycleEdges writes, for each cell, the bits of the edges that come after all edges of another path
// between their ends. Edges of equal keys are not after each other, unless the key is less than 6:
// those edges are in the order of the bits.
func CycleEdges(dst []uint8, cells *CellRow) {
	cells.check("CycleEdges", len(dst))
	cycleEdges(dst, cells)
}

func cycleEdgesGeneric(dst []uint8, cells *CellRow) {
	for x := range dst {
		e := cells.edges(x)
		for i := range e {
			e[i] = max(e[i], int32(i))
		}
		t, l, dr, r, dl, b := e[0], e[1], e[2], e[3], e[4], e[5]
		throughTop := min(max(l, dl), max(dr, r), max(l, b, r), max(dr, b, dl))
		throughLeft := min(max(t, dl), max(dr, b), max(t, r, b), max(dr, r, dl))
		throughDownRight := min(max(t, r), max(l, b), max(t, dl, b), max(l, dl, r))
		throughRight := min(max(t, dr), max(dl, b), max(t, l, b), max(dl, l, dr))
		throughDownLeft := min(max(t, l), max(r, b), max(t, dr, b), max(r, dr, l))
		throughBottom := min(max(l, dr), max(dl, r), max(l, t, r), max(dl, t, dr))
		dst[x] = uint8(less32(throughTop, t)<<TopEdge | less32(throughLeft, l)<<LeftEdge |
			less32(throughDownRight, dr)<<DownRightEdge | less32(throughRight, r)<<RightEdge |
			less32(throughDownLeft, dl)<<DownLeftEdge | less32(throughBottom, b)<<BottomEdge)
	}
}

// less32 returns 1 if a < b, else 0. Neither is negative.
func less32(a, b int32) uint32 { return uint32(a-b) >> 31 }

// RepeatedEdges writes, for each cell, the bits of the edges whose ends have the same label, and of
// those that are heavier than another edge between the same two labels. top and bottom are the labels
// of the pixels of the cells.
func RepeatedEdges(dst []uint8, cells *CellRow, top, bottom []int32) {
	cells.check("RepeatedEdges", len(dst))
	checkLengths("RepeatedEdges", len(dst)+1, len(top), len(bottom))
	repeatedEdges(dst, cells, top, bottom)
}

// oppositeEdges are the edges of a cell, and adjacentEdges the pairs of edges with a common end
// and the edge between their other ends.
var (
	oppositeEdges = [3][2]int{{TopEdge, BottomEdge}, {LeftEdge, RightEdge}, {DownRightEdge, DownLeftEdge}}
	adjacentEdges = [12][3]int{
		{TopEdge, LeftEdge, DownLeftEdge},
		{TopEdge, DownRightEdge, RightEdge},
		{LeftEdge, DownRightEdge, BottomEdge},
		{TopEdge, RightEdge, DownRightEdge},
		{TopEdge, DownLeftEdge, LeftEdge},
		{RightEdge, DownLeftEdge, BottomEdge},
		{LeftEdge, DownLeftEdge, TopEdge},
		{LeftEdge, BottomEdge, DownRightEdge},
		{DownLeftEdge, BottomEdge, RightEdge},
		{DownRightEdge, RightEdge, TopEdge},
		{DownRightEdge, BottomEdge, LeftEdge},
		{RightEdge, BottomEdge, DownLeftEdge},
	}
)

func repeatedEdgesGeneric(dst []uint8, cells *CellRow, top, bottom []int32) {
	for x := range dst {
		e := cells.edges(x)
		a, b, c, d := top[x], top[x+1], bottom[x], bottom[x+1]
		same := [6]bool{
			TopEdge: a == b, LeftEdge: a == c, DownRightEdge: a == d, RightEdge: b == d, DownLeftEdge: b == c, BottomEdge: c == d,
		}
		bits := uint8(0)
		for i, s := range same {
			if s {
				bits |= 1 << i
			}
		}
		compare := func(i, j int) {
			if e[i] > e[j] {
				bits |= 1 << i
			} else if e[j] > e[i] {
				bits |= 1 << j
			}
		}
		for _, p := range adjacentEdges {
			if same[p[2]] {
				compare(p[0], p[1])
			}
		}
		for i, p := range oppositeEdges {
			q, r := oppositeEdges[(i+1)%3], oppositeEdges[(i+2)%3]
			if same[q[0]] && same[q[1]] || same[r[0]] && same[r[1]] {
				compare(p[0], p[1])
			}
		}
		dst[x] = bits
	}
}
