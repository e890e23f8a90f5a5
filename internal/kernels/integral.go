package kernels

import "fmt"

// GradientMagnitudes writes eight channels for each pixel of a row of three planes: the magnitudes of
// the horizontal, vertical and two diagonal differences, averaged over the planes and the diagonal
// ones halved; the samples of the planes; and 0. up and down are the rows above and below. At the
// ends of the row a pixel is its own missing neighbor.
func GradientMagnitudes(dst [][8]uint8, here, up, down *[3][]uint8) {
	for _, rows := range [3]*[3][]uint8{here, up, down} {
		for _, row := range rows {
			checkLengths("GradientMagnitudes", len(dst), len(row))
		}
	}
	gradientMagnitudes(dst, here, up, down)
}

// gradientMagnitudesGeneric writes the pixels from start to below end.
func gradientMagnitudesGeneric(dst [][8]uint8, here, up, down *[3][]uint8, start, end int) {
	magnitude := func(v int32) int32 { return max(v, -v) }
	for x := start; x < end; x++ {
		left, right := max(x-1, 0), min(x+1, len(dst)-1)
		var horizontal, vertical, falling, rising int32
		for c := range here {
			dx := int32(here[c][right]) - int32(here[c][left])
			dy := int32(down[c][x]) - int32(up[c][x])
			horizontal += magnitude(dx)
			vertical += magnitude(dy)
			falling += magnitude(dx + dy)
			rising += magnitude(dx - dy)
		}
		dst[x] = [8]uint8{
			uint8(uint32(horizontal) / 3), uint8(uint32(vertical) / 3),
			uint8(uint32(falling) / 6), uint8(uint32(rising) / 6),
			here[0][x], here[1][x], here[2][x],
		}
	}
}

// IntegralRow writes a row of an integral image of eight channels from the row above it and the
// row's values. Sums wrap around.
func IntegralRow(here, above [][8]uint32, values [][8]uint8) {
	checkLengths("IntegralRow", len(here), len(above), len(values))
	integralRow(here, above, values)
}

func integralRowGeneric(here, above [][8]uint32, values [][8]uint8) {
	var row [8]uint32
	for i := range here {
		for k, v := range values[i] {
			row[k] += uint32(v)
			here[i][k] = above[i][k] + row[k]
		}
	}
}

// RectangleSums writes (sum·scale − offset)·gain for each rectangle and channel. Rectangles are given
// by the indices in an integral image of their corners: top left, top right, bottom left and bottom
// right. Sums must be below 2³¹. RectangleSums panics if a corner is outside of the image.
func RectangleSums(
	dst [][8]float32, integral [][8]uint32, corners [][4]int32, scales []float32, offset, gain *[8]float32,
) {
	checkLengths("RectangleSums", len(dst), len(corners), len(scales))
	for _, c := range corners {
		largest := max(uint32(c[0]), uint32(c[1]), uint32(c[2]), uint32(c[3]))
		if int64(largest) >= int64(len(integral)) {
			panic(fmt.Sprintf("kernels: RectangleSums: corners %v in an integral image of %d", c, len(integral)))
		}
	}
	rectangleSums(dst, integral, corners, scales, offset, gain)
}

func rectangleSumsGeneric(
	dst [][8]float32, integral [][8]uint32, corners [][4]int32, scales []float32, offset, gain *[8]float32,
) {
	for i, c := range corners {
		to, scale := &dst[i], scales[i]
		lt, rt, lb, rb := &integral[c[0]], &integral[c[1]], &integral[c[2]], &integral[c[3]]
		for k := range to {
			mean := float32(float32(int32(rb[k]-lb[k]-rt[k]+lt[k])) * scale)
			to[k] = float32((mean - offset[k]) * gain[k])
		}
	}
}

// GridSide is the number of rows and of columns of a [Grid].
const GridSide = 6

// Span is a row or a column of a [Grid]. The index of a corner in the integral image is Begin or End
// of its row plus that of its column; the scale of a rectangle is the product of the two scales.
type Span struct {
	Begin, End int32
	Scale      float32
}

// Grid is a grid of rectangles, with the offset and the gain of [RectangleSums].
type Grid struct {
	Rows, Columns [GridSide]Span
	Offset, Gain  [8]float32
}

// GridSums writes what [RectangleSums] writes for the rectangles of each grid, row by row. Adjacent
// rows, each beginning where the one before ends, take less time.
func GridSums(dst [][8]float32, integral [][8]uint32, grids []Grid) {
	checkLengths("GridSums", len(dst), GridSide*GridSide*len(grids))
	for k := range grids {
		g := &grids[k]
		var largest [2]uint32
		for i, spans := range [2]*[GridSide]Span{&g.Rows, &g.Columns} {
			for _, s := range spans {
				largest[i] = max(largest[i], uint32(s.Begin), uint32(s.End))
			}
		}
		if int64(largest[0])+int64(largest[1]) >= int64(len(integral)) {
			panic(fmt.Sprintf("kernels: GridSums: rows %v and columns %v in an integral image of %d",
				g.Rows, g.Columns, len(integral)))
		}
	}
	gridSums(dst, integral, grids)
}

func gridSumsGeneric(dst [][8]float32, integral [][8]uint32, grids []Grid) {
	for i := range grids {
		g := &grids[i]
		for _, r := range g.Rows {
			for _, c := range g.Columns {
				corners := [4]int32{r.Begin + c.Begin, r.Begin + c.End, r.End + c.Begin, r.End + c.End}
				scale := float32(r.Scale * c.Scale)
				rectangleSumsGeneric(dst[:1], integral, [][4]int32{corners}, []float32{scale}, &g.Offset, &g.Gain)
				dst = dst[1:]
			}
		}
	}
}

// MaxMeanMin writes three rows for each run of rows: the elementwise maximum, mean and minimum.
// counts are the lengths of the runs, at least 1, which follow one another. No element is a NaN.
func MaxMeanMin(dst, rows [][8]float32, counts []int32) {
	checkLengths("MaxMeanMin", len(dst), 3*len(counts))
	total := 0
	for _, n := range counts {
		if n < 1 {
			panic(fmt.Sprintf("kernels: MaxMeanMin: a run of %d rows", n))
		}
		total += int(n)
	}
	checkLengths("MaxMeanMin", len(rows), total)
	maxMeanMin(dst, rows, counts)
}

func maxMeanMinGeneric(dst, rows [][8]float32, counts []int32) {
	for i, n := range counts {
		largest, sum, smallest := rows[0], rows[0], rows[0]
		for _, row := range rows[1:n] {
			for k, v := range row {
				largest[k], smallest[k] = max(largest[k], v), min(smallest[k], v)
				sum[k] += v
			}
		}
		for k := range sum {
			sum[k] /= float32(n)
		}
		dst[3*i], dst[3*i+1], dst[3*i+2] = largest, sum, smallest
		rows = rows[n:]
	}
}

// TransposeBlock writes the first seven elements of each row to seven columns. The rows are those of
// the cells of BlockSize items, item by item.
func TransposeBlock(columns [][BlockSize]float32, rows [][8]float32) {
	checkLengths("TransposeBlock", len(rows)*7, len(columns)*BlockSize)
	transposeBlock(columns, rows)
}

func transposeBlockGeneric(columns [][BlockSize]float32, rows [][8]float32) {
	cells := len(rows) / BlockSize
	for i, row := range rows {
		for k, v := range row[:7] {
			columns[i%cells*7+k][i/cells] = v
		}
	}
}
