package kernels

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// A check reports whether a kernel and its portable implementation give equal results for slices of n
// elements.
type check struct {
	name  string
	equal func(m generator, n int) bool
	// align divides the lengths; 0 stands for 1.
	align int
}

// generator draws arguments from one of several distributions.
type generator struct {
	t            testing.TB
	rng          *rand.Rand
	distribution int
	front        bool // slices begin at a page instead of ending at one
}

const distributions = 4

// floats draws numbers in [low,high]: uniform, the two ends, close to the middle, or constant.
func (m generator) floats(n int, low, high float32) []float32 {
	s := fenced[float32](m.t, n, m.front)
	for i := range s {
		switch m.distribution {
		case 0:
			s[i] = low + (high-low)*m.rng.Float32()
		case 1:
			s[i] = []float32{low, high}[m.rng.IntN(2)]
		case 2:
			s[i] = (low+high)/2 + (high-low)/1000*m.rng.Float32()
		case 3:
			s[i] = high
		}
	}
	return s
}

func (m generator) bytes(n int) []uint8 { return words[uint8](m, n, math.MaxUint8) }

// words draws integers in [0,limit], with the distributions of floats.
func words[T uint8 | uint16 | uint32](m generator, n int, limit T) []T {
	s := fenced[T](m.t, n, m.front)
	for i := range s {
		switch m.distribution {
		case 0:
			s[i] = T(m.rng.Uint64N(uint64(limit) + 1))
		case 1:
			s[i] = limit * T(m.rng.IntN(2))
		case 2:
			s[i] = limit/2 + T(m.rng.IntN(2))*(limit%2)
		case 3:
			s[i] = limit
		}
	}
	return s
}

func (m generator) rows(n int) *[9][]uint8 {
	var rows [9][]uint8
	for i := range rows {
		rows[i] = m.bytes(n)
	}
	return &rows
}

// columnWeights draws weights of any sign and any size that is allowed.
func (m generator) columnWeights() *[5]int32 {
	w := fenced[int32](m.t, 5, m.front)
	bits := m.rng.IntN(21)
	for i := range w {
		w[i] = m.rng.Int32N(2<<bits) - 1<<bits
	}
	return (*[5]int32)(w)
}

func (m generator) numbers(n int, low, high int32) []int32 {
	s := fenced[int32](m.t, n, m.front)
	for i := range s {
		s[i] = int32(int64(low) + m.rng.Int64N(int64(high)-int64(low)+1))
	}
	return s
}

func (m generator) columns(n int) [][BlockSize]float32 {
	s := fenced[[BlockSize]float32](m.t, n, m.front)
	for i := range s {
		copy(s[i][:], m.floats(BlockSize, -4, 4))
	}
	return s
}

func (m generator) levels(n int) [][BlockSize]int8 {
	s := fenced[[BlockSize]int8](m.t, n, m.front)
	for i := range s {
		for k := range s[i] {
			s[i][k] = int8(m.rng.Uint32())
		}
	}
	return s
}

func (m generator) size() int32 {
	return 1 + m.rng.Int32N(1<<m.rng.IntN(31))
}

// doubles draws numbers with the distributions of floats.
func (m generator) doubles(n int) []float64 {
	s := fenced[float64](m.t, n, m.front)
	for i, v := range m.floats(n, -1, 1) {
		s[i] = float64(v) / 3
	}
	return s
}

// cells draws the keys of n cells.
func (m generator) cells(n int) *CellRow {
	keys := func(n int) []int32 { return m.numbers(n, 0, []int32{math.MaxInt32, 2, 20, 0}[m.distribution]) }
	return &CellRow{keys(n), keys(n + 1), keys(n), keys(n + 1), keys(n)}
}

// outputs returns a destination for the kernel and one for the portable implementation.
func outputs[T any](m generator, n int) (kernel, generic []T) {
	return fenced[T](m.t, n, m.front), make([]T, n)
}

var checks = []check{
	{name: "Distances1", equal: func(m generator, n int) bool {
		a, b := m.floats(n, 0, 255), m.floats(n, 0, 255)
		got, want := outputs[uint16](m, n)
		Distances1(got, a, b)
		distances1Generic(want, a, b)
		return slices.Equal(got, want)
	}},
	{name: "Distances3", equal: func(m generator, n int) bool {
		a0, a1, a2 := m.floats(n, 0, 255), m.floats(n, 0, 255), m.floats(n, 0, 255)
		b0, b1, b2 := m.floats(n, 0, 255), m.floats(n, 0, 255), m.floats(n, 0, 255)
		got, want := outputs[uint16](m, n)
		Distances3(got, a0, a1, a2, b0, b1, b2)
		distances3Generic(want, a0, a1, a2, b0, b1, b2)
		return slices.Equal(got, want)
	}},
	{name: "ConvolveColumnsEven", equal: func(m generator, n int) bool {
		rows, w := m.rows(n), m.columnWeights()
		got, want := outputs[float32](m, n)
		ConvolveColumnsEven(got, rows, w)
		convolveColumnsEvenGeneric(want, rows, w)
		return slices.Equal(got, want)
	}},
	{name: "ConvolveColumnsEvenOdd", equal: func(m generator, n int) bool {
		rows, w, v := m.rows(n), m.columnWeights(), m.columnWeights()
		even, wantEven := outputs[float32](m, n)
		odd, wantOdd := outputs[float32](m, n)
		ConvolveColumnsEvenOdd(even, odd, rows, w, v)
		convolveColumnsEvenOddGeneric(wantEven, wantOdd, rows, w, v)
		return slices.Equal(even, wantEven) && slices.Equal(odd, wantOdd)
	}},
	{name: "ConvolveRowEven", equal: func(m generator, n int) bool {
		padded, w := m.floats(n+8, -1<<30, 1<<30), (*[5]float32)(m.floats(5, -1, 1))
		got, want := outputs[float32](m, n)
		ConvolveRowEven(got, padded, w)
		convolveRowEvenGeneric(want, padded, w)
		return slices.Equal(got, want)
	}},
	{name: "ConvolveRowOdd", equal: func(m generator, n int) bool {
		padded, w := m.floats(n+8, -1<<30, 1<<30), (*[5]float32)(m.floats(5, -1, 1))
		got, want := outputs[float32](m, n)
		ConvolveRowOdd(got, padded, w)
		convolveRowOddGeneric(want, padded, w)
		return slices.Equal(got, want)
	}},
	{name: "Intersections", align: BinAlign, equal: func(m generator, n int) bool {
		row, rows := words[uint16](m, n, math.MaxUint16), words[uint16](m, 3*n, math.MaxUint16)
		others := fenced[int32](m.t, m.rng.IntN(9), m.front)
		for i := range others {
			others[i] = m.rng.Int32N(3)
		}
		if n == 0 {
			others = nil
		}
		got, want := outputs[uint32](m, len(others))
		Intersections(got, row, rows, others)
		intersectionsGeneric(want, row, rows, others)
		return slices.Equal(got, want)
	}},
	{name: "Normalize", align: BinAlign, equal: func(m generator, n int) bool {
		size := m.size()
		counts := words[uint32](m, n, uint32(size))
		got, want := outputs[uint16](m, n)
		Normalize(got, counts, size)
		normalizeGeneric(want, counts, newReciprocal(size))
		return slices.Equal(got, want)
	}},
	{name: "AddNormalize", align: BinAlign, equal: func(m generator, n int) bool {
		size := m.size()
		a, b := words[uint32](m, n, uint32(size/2)), words[uint32](m, n, uint32(size/2))
		got, want := outputs[uint16](m, n)
		sum, wantSum := outputs[uint32](m, n)
		addNormalizeGeneric(want, wantSum, a, b, newReciprocal(size))
		switch m.rng.IntN(3) {
		case 0:
			AddNormalize(got, sum, a, b, size)
		case 1:
			sum = a
			AddNormalize(got, a, a, b, size)
		case 2:
			sum = b
			AddNormalize(got, b, a, b, size)
		}
		return slices.Equal(got, want) && slices.Equal(sum, wantSum)
	}},
	{name: "AddCounts", align: BinAlign, equal: func(m generator, n int) bool {
		a, got := words[uint32](m, n, 1<<30), words[uint32](m, n, 1<<30)
		want := slices.Clone(got)
		addCountsGeneric(want, a)
		AddCounts(got, a)
		return slices.Equal(got, want)
	}},
	{name: "Forest", equal: func(m generator, n int) bool {
		columns := m.levels(n + 1)
		var f Forest
		var want [BlockSize]int16
		for range n {
			var features [TreeDepth]int32
			var thresholds [TreeDepth]int8
			var leaves [1 << TreeDepth]int16
			for k := range features {
				features[k] = m.rng.Int32N(int32(len(columns)))
				thresholds[k] = int8(m.rng.Uint32())
			}
			for l := range leaves {
				leaves[l] = int16(m.rng.Uint32())
			}
			f.Add(&features, &thresholds, &leaves)
			for i := range want {
				leaf := 0
				for k, column := range features {
					if columns[column][i] >= thresholds[k] {
						leaf |= 1 << k
					}
				}
				want[i] += leaves[leaf]
			}
		}
		got, generic := fenced[[BlockSize]int16](m.t, 1, m.front), new([BlockSize]int16)
		f.Sum(&got[0], columns)
		sumTreesGeneric(generic, columns, f.trees)
		return got[0] == want && *generic == want
	}},
	{name: "CoverageGain", equal: func(m generator, n int) bool {
		weights := m.floats(n+1, 0, 1)
		targets := fenced[Target](m.t, n+1, m.front)
		for i := range targets {
			targets[i] = Target{weights[i], m.rng.Int32N(1 << CoverageBits)}
		}
		edges := words[uint32](m, n, math.MaxUint32)
		for i := range edges {
			edges[i] = edges[i]%(1<<CoverageBits) | m.rng.Uint32N(uint32(len(targets)))<<CoverageBits
		}
		var want [8]float32
		coverageGainGeneric(&want, edges, targets)
		var got [8]float32
		coverageGain(&got, edges, targets)
		return got == want
	}},
	{name: "CoverageHistogram", equal: func(m generator, n int) bool {
		edges := words[uint32](m, n%(1<<CoverageCountBits), math.MaxUint32)
		counts, covers := CoverageHistogram(edges)
		wantCounts, wantCovers := coverageHistogramGeneric(edges)
		return counts == wantCounts && covers == wantCovers
	}},
	{name: "QuantizeColumns", equal: func(m generator, n int) bool {
		got, want := outputs[[BlockSize]int8](m, n)
		columns, means, scales := m.columns(n), m.floats(n, -4, 4), m.floats(n, 0, 4)
		QuantizeColumns(got, columns, means, scales, 3)
		quantizeColumnsGeneric(want, columns, means, scales, 3, MaxQuantized/float32(3))
		return slices.Equal(got, want)
	}},
	{name: "InterleavePairs", equal: func(m generator, n int) bool {
		levels := m.levels(n)
		got, want := outputs[[PairItems][2]int16](m, BlockSize/PairItems*PairCount(n))
		InterleavePairs(got, levels)
		interleavePairsGeneric(want, append(slices.Clone(levels), [BlockSize]int8{}), PairCount(n), PairCount(n))
		return slices.Equal(got, want)
	}},
	{name: "PairLayer", equal: func(m generator, n int) bool {
		pairs := fenced[[PairItems][2]int16](m.t, BlockSize/PairItems*PairCount(n), m.front)
		for k := range pairs {
			for i := range pairs[k] {
				pairs[k][i] = [2]int16{int16(m.rng.Uint32()), int16(m.rng.Uint32())}
			}
		}
		units := m.rng.IntN(20)
		weights := make([]int16, units*n)
		for f := range weights {
			weights[f] = int16(m.rng.Uint32())
		}
		l := NewPairLayer(n, weights, m.floats(units, -1, 1), m.floats(units, -1e6, 1e6), m.floats(units, -1e9, 0))
		got, want := outputs[float32](m, l.Rows()*BlockSize)
		l.Apply(got, pairs)
		l.apply(want, pairs, unitOutputsGeneric)
		return slices.Equal(got, want)
	}},
	{name: "MultiplyAdd", equal: func(m generator, n int) bool {
		n = max(n, 1)
		aRow, aColumn, padding := n, 1, m.rng.IntN(2)
		if m.rng.IntN(2) == 0 {
			aRow, aColumn = 1, TileRows+padding
		}
		cRow, bRow := TileColumns+padding, TileColumns+padding
		a := m.floats((TileRows-1)*aRow+(n-1)*aColumn+1, -4, 4)
		b := m.floats((n-1)*bRow+TileColumns, -4, 4)
		got, want := outputs[float32](m, (TileRows-1)*cRow+TileColumns)
		copy(got, m.floats(len(got), -4, 4))
		copy(want, got)
		MultiplyAdd(got, cRow, a, aRow, aColumn, b, bRow, n)
		multiplyAddGeneric(want, cRow, a, aRow, aColumn, b, bRow, n)
		return slices.Equal(got, want)
	}},
	{name: "Downsample2", equal: func(m generator, n int) bool {
		top, low := m.bytes(2*n), m.bytes(2*n)
		got, want := outputs[uint8](m, n)
		Downsample2(got, top, low)
		downsample2Generic(want, top, low)
		return slices.Equal(got, want)
	}},
	{name: "Split3", equal: func(m generator, n int) bool {
		pixels := m.bytes(3 * n)
		var got, want [3][]uint8
		for c := range got {
			got[c], want[c] = outputs[uint8](m, n)
		}
		Split3(got[0], got[1], got[2], pixels)
		split3Generic(want[0], want[1], want[2], pixels)
		return slices.Equal(got[0], want[0]) && slices.Equal(got[1], want[1]) && slices.Equal(got[2], want[2])
	}},
	{name: "IntegralRow", equal: func(m generator, n int) bool {
		above := fenced[[8]uint32](m.t, n, m.front)
		values := fenced[[8]uint8](m.t, n, m.front)
		for i := range above {
			copy(above[i][:], words[uint32](m, 8, math.MaxUint32))
			copy(values[i][:], m.bytes(8))
		}
		got, want := outputs[[8]uint32](m, n)
		IntegralRow(got, above, values)
		integralRowGeneric(want, above, values)
		return slices.Equal(got, want)
	}},
	{name: "GradientMagnitudes", equal: func(m generator, n int) bool {
		rows := m.rows(n)
		here, up, low := [3][]uint8(rows[0:]), [3][]uint8(rows[3:]), [3][]uint8(rows[6:])
		got, want := outputs[[8]uint8](m, n)
		GradientMagnitudes(got, &here, &up, &low)
		gradientMagnitudesGeneric(want, &here, &up, &low, 0, n)
		return slices.Equal(got, want)
	}},
	{name: "RectangleSums", equal: func(m generator, n int) bool {
		integral := fenced[[8]uint32](m.t, n+1, m.front)
		for i := range integral {
			copy(integral[i][:], words[uint32](m, 8, math.MaxUint32))
		}
		corners := fenced[[4]int32](m.t, n, m.front)
		for i := range corners {
			copy(corners[i][:], m.numbers(4, 0, int32(n)))
		}
		scales := m.floats(n, 0, 1)
		offset, gain := [8]float32(m.floats(8, -9, 9)), [8]float32(m.floats(8, -9, 9))
		got, want := outputs[[8]float32](m, n)
		RectangleSums(got, integral, corners, scales, &offset, &gain)
		rectangleSumsGeneric(want, integral, corners, scales, &offset, &gain)
		return slices.Equal(got, want)
	}},
	{name: "GridSums", equal: func(m generator, n int) bool {
		n %= 300
		integral := fenced[[8]uint32](m.t, 2*n+1, m.front)
		for i := range integral {
			copy(integral[i][:], words[uint32](m, 8, math.MaxUint32))
		}
		grids := fenced[Grid](m.t, n%5, m.front)
		for k := range grids {
			l := &grids[k]
			for _, spans := range []*[GridSide]Span{&l.Rows, &l.Columns} {
				ends, scales := m.numbers(2*GridSide, 0, int32(n)), m.floats(GridSide, 0, 1)
				for i := range spans {
					spans[i] = Span{ends[2*i], ends[2*i+1], scales[i]}
					if i > 0 && m.rng.IntN(2) == 0 {
						spans[i].Begin = spans[i-1].End
					}
				}
			}
			l.Offset, l.Gain = [8]float32(m.floats(8, -9, 9)), [8]float32(m.floats(8, -9, 9))
		}
		got, want := outputs[[8]float32](m, GridSide*GridSide*len(grids))
		GridSums(got, integral, grids)
		gridSumsGeneric(want, integral, grids)
		return slices.Equal(got, want)
	}},
	{name: "MaxMeanMin", equal: func(m generator, n int) bool {
		counts := m.numbers(n%9, 1, 9)
		all := int32(0)
		for _, c := range counts {
			all += c
		}
		rows := fenced[[8]float32](m.t, int(all), m.front)
		for i := range rows {
			copy(rows[i][:], m.floats(8, -4, 4))
		}
		got, want := outputs[[8]float32](m, 3*len(counts))
		MaxMeanMin(got, rows, counts)
		maxMeanMinGeneric(want, rows, counts)
		return slices.Equal(got, want)
	}},
	{name: "TransposeBlock", equal: func(m generator, n int) bool {
		n %= 5
		rows := fenced[[8]float32](m.t, n*BlockSize, m.front)
		for i := range rows {
			copy(rows[i][:], m.floats(8, -4, 4))
		}
		got, want := outputs[[BlockSize]float32](m, 7*n)
		TransposeBlock(got, rows)
		transposeBlockGeneric(want, rows)
		return slices.Equal(got, want)
	}},
	{name: "Overlaps", equal: func(m generator, n int) bool {
		b := Boxes{IDs: m.numbers(n+BoxPadding, 0, 1<<30)}
		low, high := int32(-50), int32(50)
		if m.distribution == 3 {
			low, high = -1<<30, 1<<30-1
		}
		b.X0, b.Y0 = m.numbers(n+BoxPadding, low, high), m.numbers(n+BoxPadding, low, high)
		b.X1, b.Y1 = fenced[int32](m.t, n+BoxPadding, m.front), fenced[int32](m.t, n+BoxPadding, m.front)
		b.Areas = fenced[float32](m.t, n+BoxPadding, m.front)
		for i := range b.X0 {
			b.X1[i], b.Y1[i] = b.X0[i]+1+m.rng.Int32N(high), b.Y0[i]+1+m.rng.Int32N(high)
			b.Areas[i] = float32(int64(b.X1[i]-b.X0[i]) * int64(b.Y1[i]-b.Y0[i]))
		}
		runs := make([][2]int32, m.rng.IntN(4))
		size := BoxPadding
		for i := range runs {
			to := m.rng.Int32N(int32(n + 1))
			runs[i] = [2]int32{m.rng.Int32N(to + 1), to}
			size += int(runs[i][1] - runs[i][0])
		}
		box, area := [4]int32{low, low, high, high}, float32(int64(high-low)*int64(high-low))
		if n > 0 && m.distribution > 0 {
			box, area = [4]int32{b.X0[0], b.Y0[0], b.X1[0], b.Y1[0]}, b.Areas[0]
		}
		minIoU := []float32{1e-9, .1, .5, 1}[m.rng.IntN(4)]
		got, want := outputs[int32](m, size)
		gotIoU, wantIoU := outputs[float32](m, size)
		k := Overlaps(got, gotIoU, &b, runs, &box, area, minIoU)
		l := overlapsGeneric(want, wantIoU, &b, runs, &box, area, minIoU)
		return k == l && slices.Equal(got[:k], want[:l]) && slices.Equal(gotIoU[:k], wantIoU[:l])
	}},
	{name: "Gray", equal: func(m generator, n int) bool {
		c := m.colors(n)
		got, want := outputs[uint8](m, n)
		Gray(got, c[0], c[1], c[2])
		grayGeneric(want, c[0], c[1], c[2])
		return slices.Equal(got, want)
	}},
	{name: "Hue", equal: func(m generator, n int) bool {
		c := m.colors(n)
		got, want := outputs[uint8](m, n)
		Hue(got, c[0], c[1], c[2])
		hueGeneric(want, c[0], c[1], c[2])
		return slices.Equal(got, want)
	}},
	{name: "HSV", equal: func(m generator, n int) bool {
		c := m.colors(n)
		var got, want [3][]uint8
		for i := range got {
			got[i], want[i] = outputs[uint8](m, n)
		}
		HSV(got[0], got[1], got[2], c[0], c[1], c[2])
		hsvGeneric(want[0], want[1], want[2], c[0], c[1], c[2])
		return slices.EqualFunc(got[:], want[:], slices.Equal)
	}},
	{name: "Lab", equal: func(m generator, n int) bool {
		c := m.colors(n)
		// Any tables with results in range.
		var t LabTables
		for i := range t.Linear {
			t.Linear[i] = int32(i * (LabRoots - 1) / 255)
		}
		for i := range t.Roots {
			t.Roots[i] = int32(i%(1<<LabRootBits/4))<<8 | int32(i&255)
		}
		t.Matrix = [3][4]int16{{1000, 2000, 1000, 1}, {4000, 0, 90, 2048}, {1, 2, 4000, 7}}
		var got, want [3][]uint8
		for i := range got {
			got[i], want[i] = outputs[uint8](m, n)
		}
		Lab(got[0], got[1], got[2], c[0], c[1], c[2], &t)
		labGeneric(want[0], want[1], want[2], c[0], c[1], c[2], &t)
		return slices.EqualFunc(got[:], want[:], slices.Equal)
	}},
	{name: "PruneEdges4", equal: func(m generator, n int) bool {
		var got, want, above, here [2][]uint16
		for d := range got {
			got[d], want[d] = outputs[uint16](m, n)
			above[d], here[d] = m.weights(n+2), m.weights(n+2)
		}
		below := m.weights(n + 2)
		PruneEdges4(&got, &above, &here, below)
		pruneEdges4Generic(&want, &above, &here, below)
		return slices.EqualFunc(got[:], want[:], slices.Equal)
	}},
	{name: "PruneEdges8", equal: func(m generator, n int) bool {
		var got, want, above, here [4][]uint16
		for d := range got {
			got[d], want[d] = outputs[uint16](m, n)
			above[d], here[d] = m.weights(n+2), m.weights(n+2)
		}
		below := m.weights(n + 2)
		PruneEdges8(&got, &above, &here, below)
		pruneEdges8Generic(&want, &above, &here, below)
		return slices.EqualFunc(got[:], want[:], slices.Equal)
	}},
	{name: "BoundaryEdges4", equal: func(m generator, n int) bool {
		var got, want, weights [2][]uint16
		stride := n + 1 + m.rng.IntN(3)
		for d := range got {
			got[d], want[d] = outputs[uint16](m, n)
			weights[d] = m.weights(2*stride + n + 2)
		}
		labels := words[uint16](m, 2*stride+n+2, []uint16{2, 3, 4, math.MaxUint16}[m.rng.IntN(4)])
		BoundaryEdges4(&got, &weights, labels, stride)
		boundaryEdges4Generic(&want, &weights, labels, stride)
		return slices.EqualFunc(got[:], want[:], slices.Equal)
	}},
	{name: "BoundaryEdges8", equal: func(m generator, n int) bool {
		var got, want, weights [4][]uint16
		stride := n + 1 + m.rng.IntN(3)
		for d := range got {
			got[d], want[d] = outputs[uint16](m, n)
			weights[d] = m.weights(2*stride + n + 2)
		}
		labels := words[uint16](m, 2*stride+n+2, []uint16{2, 3, 4, math.MaxUint16}[m.rng.IntN(4)])
		BoundaryEdges8(&got, &weights, labels, stride)
		boundaryEdges8Generic(&want, &weights, labels, stride)
		return slices.EqualFunc(got[:], want[:], slices.Equal)
	}},
	{name: "ScaleFloat64", equal: func(m generator, n int) bool {
		a, w := m.doubles(n), m.rng.Float64()
		got, want := outputs[float64](m, n)
		ScaleFloat64(got, a, w)
		scaleFloat64Generic(want, a, w)
		return slices.Equal(got, want)
	}},
	{name: "AddScaledSumFloat64", equal: func(m generator, n int) bool {
		a, b, w := m.doubles(n), m.doubles(n), m.rng.Float64()
		got, want := outputs[float64](m, n)
		copy(got, a)
		copy(want, a)
		AddScaledSumFloat64(got, a, b, w)
		addScaledSumFloat64Generic(want, a, b, w)
		return slices.Equal(got, want)
	}},
	{name: "AddSquaresFloat64", equal: func(m generator, n int) bool {
		a, b := m.doubles(n), m.doubles(n)
		got, want := outputs[float64](m, n)
		copy(got, a)
		copy(want, a)
		AddSquaresFloat64(got, a, b)
		addSquaresFloat64Generic(want, a, b)
		return slices.Equal(got, want)
	}},
	{name: "RootKeys", equal: func(m generator, n int) bool {
		squares := m.doubles(n)
		for i, v := range squares {
			squares[i] = math.Abs(v) * math.Pow(2, float64(m.rng.IntN(1000)-500))
			if m.rng.IntN(10) == 0 {
				squares[i] = []float64{0, math.Inf(1), math.NaN(), 5e-324, 1e300, 1e-90, 1e-76, 1e77}[m.rng.IntN(8)]
			}
		}
		got, want := outputs[int32](m, n)
		RootKeys(got, squares)
		rootKeysGeneric(want, squares)
		return slices.Equal(got, want)
	}},
	{name: "Convolve7Float64", equal: func(m generator, n int) bool {
		var rows [7][]float64
		for i := range rows {
			rows[i] = m.doubles(n)
		}
		w := (*[4]float64)(m.doubles(4))
		got, want := outputs[float64](m, n)
		Convolve7Float64(got, &rows, w)
		convolve7Float64Generic(want, &rows, w)
		return slices.Equal(got, want)
	}},
	{name: "DistanceKeys3", equal: func(m generator, n int) bool {
		var a, b [3][]float64
		for c := range a {
			a[c], b[c] = m.doubles(n), m.doubles(n)
		}
		got, want := outputs[int32](m, n)
		DistanceKeys3(got, &a, &b)
		distanceKeys3Generic(want, &a, &b)
		return slices.Equal(got, want)
	}},
	{name: "CycleEdges", equal: func(m generator, n int) bool {
		c := m.cells(n)
		got, want := outputs[uint8](m, n)
		CycleEdges(got, c)
		cycleEdgesGeneric(want, c)
		return slices.Equal(got, want)
	}},
	{name: "RepeatedEdges", equal: func(m generator, n int) bool {
		c, top, bottom := m.cells(n), m.labels(n+1, 3), m.labels(n+1, 3)
		got, want := outputs[uint8](m, n)
		RepeatedEdges(got, c, top, bottom)
		repeatedEdgesGeneric(want, c, top, bottom)
		return slices.Equal(got, want)
	}},
	{name: "EdgeKeys4", equal: func(m generator, n int) bool {
		r, d := m.weights(n), m.weights(n)
		first, limit := uint32(m.rng.IntN(100)), uint16(m.rng.IntN(math.MaxUint16+1))
		got, want := outputs[uint32](m, 2*n+EdgeKeyPadding)
		g := EdgeKeys4(got, first, limit, r, d)
		w := edgeKeys4Generic(want, 4*first, limit, r, d)
		return slices.Equal(got[:g], want[:w])
	}},
	{name: "EdgeKeys8", equal: func(m generator, n int) bool {
		r, d, f, i := m.weights(n), m.weights(n), m.weights(n), m.weights(n)
		first, limit := uint32(m.rng.IntN(100)), uint16(m.rng.IntN(math.MaxUint16+1))
		got, want := outputs[uint32](m, 4*n+EdgeKeyPadding)
		g := EdgeKeys8(got, first, limit, r, d, f, i)
		w := edgeKeys8Generic(want, 4*first, limit, r, d, f, i)
		return slices.Equal(got[:g], want[:w])
	}},
	{name: "Quantize1", equal: func(m generator, n int) bool {
		a := m.bytes(n)
		got, want := outputs[uint16](m, n)
		Quantize1(got, a)
		quantize1Generic(want, a)
		return slices.Equal(got, want)
	}},
	{name: "Quantize3", equal: func(m generator, n int) bool {
		c := m.colors(n)
		got, want := outputs[uint16](m, n)
		Quantize3(got, c[0], c[1], c[2])
		quantize3Generic(want, c[0], c[1], c[2])
		return slices.Equal(got, want)
	}},
	{name: "ListGradients", equal: func(m generator, n int) bool {
		n = min(n, MaxGradients)
		limit := []float32{1, 2, 12, 300, 10000}[m.rng.IntN(5)] // of responses
		gx, gy := m.floats(n, -limit, limit), m.floats(n, -limit, limit)
		got, want := outputs[uint32](m, n+GradientPadding)
		n = listGradientsGeneric(want, slices.Clone(gx), slices.Clone(gy), 0.9, 0.7)
		k := ListGradients(got, gx, gy, 0.9, 0.7)
		return k == n && slices.Equal(got[:k], want[:k])
	}},
	{name: "DiffMask", equal: func(m generator, n int) bool {
		a, b := fenced[int32](m.t, n, m.front), fenced[int32](m.t, n, m.front)
		for i := range a {
			a[i], b[i] = m.rng.Int32N(3)-1, m.rng.Int32N([]int32{2, 1 << 30, 1, 3}[m.distribution])
		}
		got := m.bytes((n + 7) / 8)
		want := slices.Clone(got)
		DiffMask(got, a, b)
		diffMaskGeneric(want, a, b)
		return slices.Equal(got, want)
	}},
	{name: "CountQuantized3", equal: func(m generator, n int) bool {
		c := m.colors(n)
		bins, labels := fenced[uint16](m.t, n, m.front), m.labels(n, 3)
		Quantize3(bins, c[0], c[1], c[2])
		// The last row is only as long as its bins.
		got, want := outputs[uint32](m, 2*80+3*QuantizeLevels)
		CountQuantized3(got, 80, bins, labels)
		countQuantized3Generic(want, 80, bins, labels)
		return slices.Equal(got, want)
	}},
	{name: "CountGradients", equal: func(m generator, n int) bool {
		n = min(n, MaxGradients)
		labels, list := m.labels(n, 3), fenced[uint32](m.t, n, m.front)
		for i := range list {
			list[i] = uint32(m.rng.IntN(n)) << gradientBits
			for k := range 4 {
				list[i] |= m.rng.Uint32N([]uint32{2 * GradientLevels, 2, 1, 9}[m.distribution]) << (k * fieldBits)
			}
		}
		got, want := outputs[uint32](m, 2*240+8*GradientLevels)
		CountGradients(got, 240, list, labels)
		countGradientsGeneric(want, 240, list, labels)
		return slices.Equal(got, want)
	}},
}

// colors draws three planes of samples with few or all levels.
func (m generator) colors(n int) (planes [3][]uint8) {
	for p := range planes {
		planes[p] = fenced[uint8](m.t, n, m.front)
		for i := range planes[p] {
			planes[p][i] = uint8(m.rng.IntN([]int{256, 2, 20, 256}[m.distribution]))
			if m.distribution == 3 && p > 0 { // gray
				planes[p][i] = planes[0][i]
			}
		}
	}
	return planes
}

// labels draws the labels of n samples in a number of regions, uniformly or all of the last one.
func (m generator) labels(n int, regions int32) []int32 {
	labels := fenced[int32](m.t, n, m.front)
	for i := range labels {
		labels[i] = regions - 1
		if m.distribution != 3 {
			labels[i] = m.rng.Int32N(regions)
		}
	}
	return labels
}

// weights draws edge weights with ties and missing edges.
func (m generator) weights(n int) []uint16 {
	s := fenced[uint16](m.t, n, m.front)
	for i := range s {
		s[i] = uint16(m.rng.IntN([]int{1 << 16, 3, 50, 1}[m.distribution]))
		if m.rng.IntN(20) == 0 {
			s[i] = noEdge
		}
	}
	return s
}

// Slices lie between memory pages that fault on access.
func TestKernelsEqualGeneric(t *testing.T) {
	for _, c := range checks {
		t.Run(c.name, func(t *testing.T) {
			lengths := []int{639, 1000, 4096, 5003}
			for n := range 71 {
				lengths = append(lengths, n)
			}
			for _, n := range lengths {
				n *= max(1, c.align)
				for seed := range 2 * distributions {
					m := generator{t, rand.New(rand.NewPCG(uint64(n), uint64(seed))), seed % distributions, seed < distributions}
					t.Run(fmt.Sprintf("%d/%d", n, seed), func(t *testing.T) {
						m.t = t
						if !c.equal(m, n) {
							t.Error("kernel and portable implementation differ")
						}
					})
				}
			}
		})
	}
}

func TestKernelsEqualGenericForRandomLengths(t *testing.T) {
	for _, c := range checks {
		t.Run(c.name, c.testRandomLengths)
	}
}

func (c check) testRandomLengths(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		seed := rapid.Uint64().Draw(r, "seed")
		n := rapid.IntRange(0, 200).Draw(r, "n") * max(1, c.align)
		m := generator{t, rand.New(rand.NewPCG(seed, 0)), rapid.IntRange(0, distributions-1).Draw(r, "kind"), seed%2 == 0}
		if !c.equal(m, n) {
			r.Fatal("kernel and portable implementation differ")
		}
	})
}

// Distances at the ends of the range and between two steps, where adding one half rounds up.
func TestDistances(t *testing.T) {
	a := []float32{0.49999997 / 128, 255, 1, 1, 0, 3.5 / 128, 2.4999 / 128, 255, 0}
	b := []float32{0, 0, 1 + 1.0/128, 2, 255, 0, 0, 0, 511.9}
	want := []uint16{1, 32640, 1, 128, 32640, 4, 2, 32640, 65523}
	got := make([]uint16, len(a))
	Distances1(got, a, b)
	if !slices.Equal(got, want) {
		t.Errorf("Distances1: got %v, want %v", got, want)
	}
	// 255·√3·128 is 56533.7.
	zero, largest := make([]float32, 9), slices.Repeat([]float32{255}, 9)
	Distances3(got, zero, largest, zero, largest, zero, largest)
	if !slices.Equal(got, slices.Repeat([]uint16{56534}, 9)) {
		t.Errorf("Distances3: got %v, want 56534", got)
	}
}

func TestQuantize(t *testing.T) {
	a, got := make([]uint8, 256), make([]uint16, 256)
	for v := range a {
		a[v] = uint8(v)
	}
	b, c := slices.Clone(a), slices.Clone(a)
	slices.Reverse(b)
	clear(c)
	Quantize1(got, a)
	for v, bin := range got {
		if want := v * QuantizeLevels / 256; int(bin) != want {
			t.Errorf("sample %d: got level %d, want %d", v, bin, want)
		}
	}
	Quantize3(got, a, b, c)
	for v, bins := range got {
		if want := v*QuantizeLevels/256 | (255-v)*QuantizeLevels/256<<fieldBits; int(bins) != want {
			t.Errorf("sample %d: got levels %#x, want %#x", v, bins, want)
		}
	}
}

func TestListGradients(t *testing.T) {
	for _, c := range []struct {
		gx, gy float32
		bins   [4]uint32
	}{
		{0, 0, [4]uint32{}},
		{0.99, -0.99, [4]uint32{}},
		{1, -1, [4]uint32{1, 0, 11, 11}},
		{9, 100, [4]uint32{9, 9, 9, 9}},
		{-32767, 2, [4]uint32{19, 19, 2, 9}},
	} {
		const n = 9
		code := uint32(0)
		for i, p := range c.bins {
			code |= p << (i * fieldBits)
		}
		var want []uint32
		for x := range uint32(n) {
			if code != 0 {
				want = append(want, x<<gradientBits|code)
			}
		}
		got := make([]uint32, n+GradientPadding)
		got = got[:ListGradients(got, slices.Repeat([]float32{c.gx}, n), slices.Repeat([]float32{c.gy}, n), 1, 0.5)]
		if !slices.Equal(got, want) {
			t.Errorf("%v, %v: %#x, want %#x", c.gx, c.gy, got, want)
		}
	}
}

func TestNormalizeEqualsDivision(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		size := rapid.Int32Range(1, 1<<30).Draw(t, "size")
		count := rapid.Int32Range(0, size).Draw(t, "count")
		counts, normal := make([]uint32, BinAlign), make([]uint16, BinAlign)
		counts[0], counts[1] = uint32(count), uint32(size)
		Normalize(normal, counts, size)
		if want := float64(count) / float64(size) * UnitSum; math.Abs(float64(normal[0])-want) > 0.5+1.0/(1<<15) {
			t.Fatalf("%d of %d: got %d, want %v", count, size, normal[0], want)
		}
		if normal[1] != UnitSum || normal[2] != 0 {
			t.Fatalf("all and none of %d: got %d and %d, want %d and 0", size, normal[1], normal[2], UnitSum)
		}
	})
}

func TestInvalidArgumentsPanic(t *testing.T) {
	f, u := make([]float32, 9), make([]uint16, 9)
	bins, counts, list := make([]uint16, BinAlign), make([]uint32, BinAlign), make([]uint32, 9+GradientPadding)
	rows := new([9][]uint8)
	for i := range rows {
		rows[i] = make([]uint8, 9)
	}
	short := *rows
	short[7] = short[7][1:]
	for name, call := range map[string]func(){
		"Distances1": func() { Distances1(u, f, f[:8]) },
		"Distances3": func() { Distances3(u, f, f, f[:8], f, f, f) },

		"ConvolveColumnsEven":    func() { ConvolveColumnsEven(f, &short, new([5]int32)) },
		"ConvolveColumnsEvenOdd": func() { ConvolveColumnsEvenOdd(f, f[:8], rows, new([5]int32), new([5]int32)) },
		"ConvolveRowEven":        func() { ConvolveRowEven(f[:2], f, new([5]float32)) },
		"ConvolveRowOdd":         func() { ConvolveRowOdd(f, f, new([5]float32)) },
		"Quantize1":              func() { Quantize1(u, make([]uint8, 8)) },
		"Quantize3":              func() { Quantize3(u, rows[0], rows[1], short[7]) },

		"ScaleFloat64":        func() { ScaleFloat64(make([]float64, 9), make([]float64, 8), 1) },
		"AddScaledSumFloat64": func() { AddScaledSumFloat64(make([]float64, 9), make([]float64, 9), make([]float64, 8), 1) },
		"AddSquaresFloat64":   func() { AddSquaresFloat64(make([]float64, 9), make([]float64, 8), make([]float64, 9)) },
		"Convolve7Float64":    func() { Convolve7Float64(make([]float64, 9), new([7][]float64), new([4]float64)) },
		"DistanceKeys3":       func() { DistanceKeys3(make([]int32, 9), new([3][]float64), new([3][]float64)) },
		"RootKeys":            func() { RootKeys(make([]int32, 9), make([]float64, 8)) },
		"CycleEdges":          func() { CycleEdges(make([]uint8, 9), new(CellRow)) },
		"RepeatedEdges":       func() { RepeatedEdges(make([]uint8, 9), new(CellRow), nil, nil) },

		"DiffMask":       func() { DiffMask(make([]uint8, 2), make([]int32, 9), make([]int32, 8)) },
		"DiffMask: bits": func() { DiffMask(make([]uint8, 1), make([]int32, 9), make([]int32, 9)) },

		"CountQuantized3":         func() { CountQuantized3(counts, 1, u, make([]int32, 8)) },
		"CountQuantized3: beyond": func() { CountQuantized3(make([]uint32, 80), 80, u, slices.Repeat([]int32{1}, 9)) },
		"CountQuantized3: before": func() { CountQuantized3(make([]uint32, 80), 80, u, slices.Repeat([]int32{-1}, 9)) },
		"CountQuantized3: none":   func() { CountQuantized3(nil, 80, u, make([]int32, 9)) },

		"CountGradients: beyond":  func() { CountGradients(make([]uint32, 80), 80, list, []int32{1}) },
		"CountGradients: before":  func() { CountGradients(make([]uint32, 80), 80, list, []int32{-1}) },
		"CountGradients: none":    func() { CountGradients(nil, 80, list, []int32{0}) },
		"CountGradients: labels":  func() { CountGradients(make([]uint32, 80), 80, list, nil) },
		"CountGradients: samples": func() { CountGradients(make([]uint32, 80), 80, []uint32{1 << gradientBits}, []int32{0}) },

		"ListGradients":             func() { ListGradients(list, f, f[:8], 1, 1) },
		"ListGradients: short list": func() { ListGradients(list[1:], f, f, 1, 1) },
		"ListGradients: too many samples": func() {
			f := make([]float32, MaxGradients+1)
			ListGradients(make([]uint32, len(f)+GradientPadding), f, f, 1, 1)
		},

		"Intersections: sums":   func() { Intersections(counts[:1], bins, bins, []int32{0, 0}) },
		"Intersections: bins":   func() { Intersections(counts[:1], bins[:15], bins, []int32{0}) },
		"Intersections: beyond": func() { Intersections(counts[:1], bins, bins, []int32{1}) },
		"Intersections: before": func() { Intersections(counts[:1], bins, bins, []int32{-1}) },
		"Normalize":             func() { Normalize(bins[:9], counts[:9], 1) },
		"AddCounts":             func() { AddCounts(counts, counts[:0]) },
		"Forest.Add":            func() { new(Forest).Add(&[TreeDepth]int32{0, -1}, new([TreeDepth]int8), new([1 << TreeDepth]int16)) },
		"Forest.Sum": func() {
			var f Forest
			f.Add(&[TreeDepth]int32{0, 1, 2, 3}, new([TreeDepth]int8), new([1 << TreeDepth]int16))
			f.Sum(new([BlockSize]int16), make([][BlockSize]int8, 3))
		},
		"Overlaps": func() {
			side := make([]int32, 9)
			boxes := Boxes{side, side, side, side, side, make([]float32, 9)}
			Overlaps(make([]int32, 20), make([]float32, 20), &boxes, [][2]int32{{0, 2}}, new([4]int32), 1, 1)
		},
		"CoverageGain": func() { CoverageGain(make([]uint32, 8), nil) },
		"CoverageGain: beyond": func() {
			CoverageGain(append(make([]uint32, 15), 2<<CoverageBits), make([]Target, 2))
		},
		"CoverageGain: rest": func() { CoverageGain([]uint32{2 << CoverageBits}, make([]Target, 2)) },
		"CoverageHistogram":  func() { CoverageHistogram(make([]uint32, 1<<CoverageCountBits)) },
		"QuantizeColumns": func() {
			QuantizeColumns(make([][BlockSize]int8, 3), make([][BlockSize]float32, 3), make([]float32, 3), make([]float32, 2), 1)
		},
		"InterleavePairs": func() { InterleavePairs(make([][PairItems][2]int16, 7), make([][BlockSize]int8, 3)) },
		"NewPairLayer":    func() { NewPairLayer(3, make([]int16, 5), make([]float32, 2), make([]float32, 2), make([]float32, 2)) },
		"PairLayer": func() {
			l := NewPairLayer(3, make([]int16, 6), make([]float32, 2), make([]float32, 2), make([]float32, 2))
			l.Apply(make([]float32, 6*BlockSize), make([][PairItems][2]int16, 7))
		},
		"MultiplyAdd: n":            func() { MultiplyAdd(make([]float32, 64), 16, make([]float32, 4), 1, 4, make([]float32, 16), 16, 0) },
		"MultiplyAdd: a":            func() { MultiplyAdd(make([]float32, 64), 16, make([]float32, 7), 2, 4, make([]float32, 32), 16, 2) },
		"MultiplyAdd: b":            func() { MultiplyAdd(make([]float32, 64), 16, make([]float32, 8), 1, 4, make([]float32, 31), 16, 2) },
		"MultiplyAdd: c":            func() { MultiplyAdd(make([]float32, 63), 16, make([]float32, 8), 1, 4, make([]float32, 32), 16, 2) },
		"MaxMeanMin: a run of none": func() { MaxMeanMin(make([][8]float32, 3), nil, []int32{0}) },
		"MaxMeanMin: few rows":      func() { MaxMeanMin(make([][8]float32, 3), make([][8]float32, 1), []int32{2}) },
		"TransposeBlock":            func() { TransposeBlock(make([][BlockSize]float32, 7), make([][8]float32, 2*BlockSize)) },
		"IntegralRow":               func() { IntegralRow(make([][8]uint32, 3), make([][8]uint32, 3), make([][8]uint8, 2)) },
		"GradientMagnitudes": func() {
			rows, longer := [3][]uint8{{1}, {1}, {1}}, [3][]uint8{{1}, {1, 2}, {1}}
			GradientMagnitudes(make([][8]uint8, 1), &rows, &longer, &rows)
		},
		"GridSums": func() { GridSums(make([][8]float32, GridSide*GridSide), make([][8]uint32, 9), make([]Grid, 2)) },
		"GridSums: beyond": func() {
			l := Grid{Rows: [GridSide]Span{{Begin: 4}, {}, {}, {}, {}, {End: 1}}, Columns: [GridSide]Span{{}, {End: 5}}}
			GridSums(make([][8]float32, GridSide*GridSide), make([][8]uint32, 9), []Grid{l})
		},
		"RectangleSums": func() {
			RectangleSums(make([][8]float32, 1), make([][8]uint32, 9), [][4]int32{{0, 1, -1, 2}},
				make([]float32, 1), new([8]float32), new([8]float32))
		},
		"AddNormalize": func() { AddNormalize(bins, counts, counts[:0], counts, 1) },
	} {
		t.Run(name, func(t *testing.T) {
			defer func() {
				if recover() == nil {
					t.Error("got no panic")
				}
			}()
			call()
		})
	}
}

const row = 640 // elements of a benchmark

func bench(b *testing.B, kernel, generic func()) {
	b.Run("kernel", func(b *testing.B) {
		for b.Loop() {
			kernel()
		}
	})
	b.Run("generic", func(b *testing.B) {
		for b.Loop() {
			generic()
		}
	})
}

func newGenerator(b *testing.B) generator { return generator{b, rand.New(rand.NewPCG(1, 2)), 0, false} }

func BenchmarkDistances1(b *testing.B) {
	m := newGenerator(b)
	dst, x, y := make([]uint16, row), m.floats(row, 0, 255), m.floats(row, 0, 255)
	bench(b, func() { Distances1(dst, x, y) }, func() { distances1Generic(dst, x, y) })
}

func BenchmarkDistances3(b *testing.B) {
	m := newGenerator(b)
	dst, x, y, z := make([]uint16, row), m.floats(row, 0, 255), m.floats(row, 0, 255), m.floats(row, 0, 255)
	bench(b, func() { Distances3(dst, x, y, z, y, z, x) }, func() { distances3Generic(dst, x, y, z, y, z, x) })
}

func BenchmarkConvolveColumnsEven(b *testing.B) {
	m := newGenerator(b)
	dst, rows, w := make([]float32, row), m.rows(row), m.columnWeights()
	bench(b, func() { ConvolveColumnsEven(dst, rows, w) }, func() { convolveColumnsEvenGeneric(dst, rows, w) })
}

func BenchmarkConvolveColumnsEvenOdd(b *testing.B) {
	m := newGenerator(b)
	even, odd, rows, w := make([]float32, row), make([]float32, row), m.rows(row), m.columnWeights()
	bench(b, func() { ConvolveColumnsEvenOdd(even, odd, rows, w, w) }, func() { convolveColumnsEvenOddGeneric(even, odd, rows, w, w) })
}

func BenchmarkConvolveRowEven(b *testing.B) {
	m := newGenerator(b)
	dst, padded, w := make([]float32, row), m.floats(row+8, 0, 255), (*[5]float32)(m.floats(5, 0, 1))
	bench(b, func() { ConvolveRowEven(dst, padded, w) }, func() { convolveRowEvenGeneric(dst, padded, w) })
}

func BenchmarkConvolveRowOdd(b *testing.B) {
	m := newGenerator(b)
	dst, padded, w := make([]float32, row), m.floats(row+8, 0, 255), (*[5]float32)(m.floats(5, 0, 1))
	bench(b, func() { ConvolveRowOdd(dst, padded, w) }, func() { convolveRowOddGeneric(dst, padded, w) })
}

func BenchmarkQuantize3(b *testing.B) {
	m := newGenerator(b)
	dst, x, y, z := make([]uint16, row), m.bytes(row), m.bytes(row), m.bytes(row)
	bench(b, func() { Quantize3(dst, x, y, z) }, func() { quantize3Generic(dst, x, y, z) })
}

func BenchmarkListGradients(b *testing.B) {
	m := newGenerator(b)
	list, gx, gy := make([]uint32, row+GradientPadding), m.floats(row, -11, 11), m.floats(row, -11, 11)
	x, y := make([]float32, row), make([]float32, row)
	again := func(textures func(list []uint32, gx, gy []float32, scale, diagonal float32) int) func() {
		return func() {
			copy(x, gx)
			copy(y, gy)
			textures(list, x, y, 0.1, 0.07)
		}
	}
	bench(b, again(ListGradients), again(listGradientsGeneric))
}

func BenchmarkDiffMask(b *testing.B) {
	bits, x, y := make([]uint8, row/8), make([]int32, row), make([]int32, row)
	bench(b, func() { DiffMask(bits, x, y) }, func() { diffMaskGeneric(bits, x, y) })
}

func BenchmarkCountQuantized3(b *testing.B) {
	m := newGenerator(b)
	c, bins, labels, counts := m.colors(row), make([]uint16, row), m.labels(row, 9), make([]uint32, 9*80)
	Quantize3(bins, c[0], c[1], c[2])
	bench(b, func() { CountQuantized3(counts, 80, bins, labels) }, func() { countQuantized3Generic(counts, 80, bins, labels) })
}

func BenchmarkCountGradients(b *testing.B) {
	m := newGenerator(b)
	list, labels, counts := make([]uint32, row+GradientPadding), m.labels(row, 9), make([]uint32, 9*240)
	list = list[:ListGradients(list, m.floats(row, -11, 11), m.floats(row, -11, 11), 0.1, 0.07)]
	bench(b, func() { CountGradients(counts, 240, list, labels) }, func() { countGradientsGeneric(counts, 240, list, labels) })
}

const histogramBins = 240

func BenchmarkIntersections(b *testing.B) {
	m := newGenerator(b)
	rows, others, sums := words[uint16](m, 10*histogramBins, 1000), []int32{0, 1, 2, 3, 4, 5, 6, 7, 8, 9}, make([]uint32, 10)
	row := rows[:histogramBins]
	bench(b, func() { Intersections(sums, row, rows, others) }, func() { intersectionsGeneric(sums, row, rows, others) })
}

func BenchmarkNormalize(b *testing.B) {
	m := newGenerator(b)
	normal, counts := make([]uint16, histogramBins), words[uint32](m, histogramBins, 100)
	bench(b, func() { Normalize(normal, counts, 1000) }, func() { normalizeGeneric(normal, counts, newReciprocal(1000)) })
}

func BenchmarkAddNormalize(b *testing.B) {
	m := newGenerator(b)
	normal, sum, x, y := make([]uint16, histogramBins), make([]uint32, histogramBins), words[uint32](m, histogramBins, 100), words[uint32](m, histogramBins, 100)
	bench(b, func() { AddNormalize(normal, sum, x, y, 1000) }, func() { addNormalizeGeneric(normal, sum, x, y, newReciprocal(1000)) })
}

func BenchmarkPairLayer(b *testing.B) {
	const columns, units = 311, 129
	l := NewPairLayer(columns, make([]int16, columns*units), make([]float32, units), make([]float32, units), make([]float32, units))
	pairs := make([][PairItems][2]int16, BlockSize/PairItems*PairCount(columns))
	dst := make([]float32, l.Rows()*BlockSize)
	for b.Loop() {
		l.Apply(dst, pairs)
	}
}
