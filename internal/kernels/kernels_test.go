package kernels

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// A check runs a kernel and its twin on equal input of n elements a slice.
type check struct {
	name  string
	equal func(m maker, n int) bool
	// whole is what lengths are multiples of, if not 1.
	whole int
}

// maker makes input, from one of several distributions.
type maker struct {
	t     testing.TB
	rng   *rand.Rand
	kind  int
	front bool
}

const kinds = 4

// floats are in [low,high]: at random, or its ends, or close to each other.
func (m maker) floats(n int, low, high float32) []float32 {
	s := fenced[float32](m.t, n, m.front)
	for i := range s {
		switch m.kind {
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

func (m maker) bytes(n int) []uint8 { return words[uint8](m, n, math.MaxUint8) }

// words are in [0,limit], as floats are.
func words[T uint8 | uint16 | uint32](m maker, n int, limit T) []T {
	s := fenced[T](m.t, n, m.front)
	for i := range s {
		switch m.kind {
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

func (m maker) rows(n int) *[9][]uint8 {
	var rows [9][]uint8
	for i := range rows {
		rows[i] = m.bytes(n)
	}
	return &rows
}

// columnWeights are of any sign and size that fits.
func (m maker) columnWeights() *[5]int32 {
	w := fenced[int32](m.t, 5, m.front)
	bits := m.rng.IntN(21)
	for i := range w {
		w[i] = m.rng.Int32N(2<<bits) - 1<<bits
	}
	return (*[5]int32)(w)
}

func (m maker) numbers(n int, low, high int32) []int32 {
	s := fenced[int32](m.t, n, m.front)
	for i := range s {
		s[i] = int32(int64(low) + m.rng.Int64N(int64(high)-int64(low)+1))
	}
	return s
}

func (m maker) columns(n int) [][BlockSize]float32 {
	s := fenced[[BlockSize]float32](m.t, n, m.front)
	for i := range s {
		copy(s[i][:], m.floats(BlockSize, -4, 4))
	}
	return s
}

func (m maker) levels(n int) [][BlockSize]int8 {
	s := fenced[[BlockSize]int8](m.t, n, m.front)
	for i := range s {
		for k := range s[i] {
			s[i][k] = int8(m.rng.Uint32())
		}
	}
	return s
}

func (m maker) size() int32 {
	return 1 + m.rng.Int32N(1<<m.rng.IntN(31))
}

func pair[T any](m maker, n int) (kernel, twin []T) {
	return fenced[T](m.t, n, m.front), make([]T, n)
}

var checks = []check{
	{name: "Distances1", equal: func(m maker, n int) bool {
		a, b := m.floats(n, 0, 255), m.floats(n, 0, 255)
		got, want := pair[uint16](m, n)
		Distances1(got, a, b)
		distances1Go(want, a, b)
		return slices.Equal(got, want)
	}},
	{name: "Distances3", equal: func(m maker, n int) bool {
		a0, a1, a2 := m.floats(n, 0, 255), m.floats(n, 0, 255), m.floats(n, 0, 255)
		b0, b1, b2 := m.floats(n, 0, 255), m.floats(n, 0, 255), m.floats(n, 0, 255)
		got, want := pair[uint16](m, n)
		Distances3(got, a0, a1, a2, b0, b1, b2)
		distances3Go(want, a0, a1, a2, b0, b1, b2)
		return slices.Equal(got, want)
	}},
	{name: "Columns4", equal: func(m maker, n int) bool {
		rows, w := m.rows(n), m.columnWeights()
		got, want := pair[float32](m, n)
		ConvolveColumnsEven(got, rows, w)
		columns4Go(want, rows, w)
		return slices.Equal(got, want)
	}},
	{name: "BothColumns4", equal: func(m maker, n int) bool {
		rows, w, v := m.rows(n), m.columnWeights(), m.columnWeights()
		even, wantEven := pair[float32](m, n)
		odd, wantOdd := pair[float32](m, n)
		ConvolveColumnsEvenOdd(even, odd, rows, w, v)
		bothColumns4Go(wantEven, wantOdd, rows, w, v)
		return slices.Equal(even, wantEven) && slices.Equal(odd, wantOdd)
	}},
	{name: "SmoothRow4", equal: func(m maker, n int) bool {
		padded, w := m.floats(n+8, -1<<30, 1<<30), (*[5]float32)(m.floats(5, -1, 1))
		got, want := pair[float32](m, n)
		ConvolveRowEven(got, padded, w)
		smoothRow4Go(want, padded, w)
		return slices.Equal(got, want)
	}},
	{name: "SlopeRow4", equal: func(m maker, n int) bool {
		padded, w := m.floats(n+8, -1<<30, 1<<30), (*[5]float32)(m.floats(5, -1, 1))
		got, want := pair[float32](m, n)
		ConvolveRowOdd(got, padded, w)
		slopeRow4Go(want, padded, w)
		return slices.Equal(got, want)
	}},
	{name: "Intersections", whole: BinAlign, equal: func(m maker, n int) bool {
		row, rows := words[uint16](m, n, math.MaxUint16), words[uint16](m, 3*n, math.MaxUint16)
		others := fenced[int32](m.t, m.rng.IntN(9), m.front)
		for i := range others {
			others[i] = m.rng.Int32N(3)
		}
		if n == 0 {
			others = nil
		}
		got, want := pair[uint32](m, len(others))
		Intersections(got, row, rows, others)
		intersectionsGo(want, row, rows, others)
		return slices.Equal(got, want)
	}},
	{name: "Normalise", whole: BinAlign, equal: func(m maker, n int) bool {
		size := m.size()
		counts := words[uint32](m, n, uint32(size))
		got, want := pair[uint16](m, n)
		Normalize(got, counts, size)
		normaliseGo(want, counts, newScale(size))
		return slices.Equal(got, want)
	}},
	{name: "Merge", whole: BinAlign, equal: func(m maker, n int) bool {
		size := m.size()
		a, b := words[uint32](m, n, uint32(size/2)), words[uint32](m, n, uint32(size/2))
		got, want := pair[uint16](m, n)
		sum, wantSum := pair[uint32](m, n)
		mergeGo(want, wantSum, a, b, newScale(size))
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
	{name: "Add", whole: BinAlign, equal: func(m maker, n int) bool {
		a, got := words[uint32](m, n, 1<<30), words[uint32](m, n, 1<<30)
		want := slices.Clone(got)
		addGo(want, a)
		AddCounts(got, a)
		return slices.Equal(got, want)
	}},
	{name: "Sum", equal: func(m maker, n int) bool {
		levels := m.levels(n + 1)
		trees := make([]Tree, n)
		for i := range trees {
			for q := range trees[i].Features {
				trees[i].Features[q] = m.rng.Int32N(int32(len(levels)))
				trees[i].Thresholds[q] = int8(m.rng.Uint32())
			}
			for l := range trees[i].Leaves {
				trees[i].Leaves[l] = int16(m.rng.Uint32())
			}
		}
		var want [BlockSize]int16
		for i := range want {
			for _, tree := range trees {
				leaf := 0
				for q, f := range tree.Features {
					if levels[f][i] >= tree.Thresholds[q] {
						leaf |= 1 << q
					}
				}
				want[i] += tree.Leaves[leaf]
			}
		}
		f := NewForest(trees)
		got, twin := fenced[[BlockSize]int16](m.t, 1, m.front), new([BlockSize]int16)
		f.Sum(&got[0], levels)
		sumTreesGo(twin, levels, f.trees)
		return got[0] == want && *twin == want
	}},
	{name: "Uncovered", equal: func(m maker, n int) bool {
		masses := m.floats(n+1, 0, 1)
		objects := fenced[Target](m.t, n+1, m.front)
		for i := range objects {
			objects[i] = Target{masses[i], m.rng.Int32N(1 << CoverageBits)}
		}
		edges := words[uint32](m, n, math.MaxUint32)
		for i := range edges {
			edges[i] = edges[i]%(1<<CoverageBits) | m.rng.Uint32N(uint32(len(objects)))<<CoverageBits
		}
		var want [8]float32
		uncoveredGo(&want, edges, objects)
		var got [8]float32
		uncovered(&got, edges, objects)
		return got == want
	}},
	{name: "Tally", equal: func(m maker, n int) bool {
		edges := words[uint32](m, n%(1<<CoverageCountBits), math.MaxUint32)
		counts, covers := CoverageHistogram(edges)
		wantCounts, wantCovers := tallyGo(edges)
		return counts == wantCounts && covers == wantCovers
	}},
	{name: "Scale", equal: func(m maker, n int) bool {
		got, want := pair[[BlockSize]int8](m, n)
		columns, means, scales := m.columns(n), m.floats(n, -4, 4), m.floats(n, 0, 4)
		QuantizeColumns(got, columns, means, scales, 3)
		scaleColumnsGo(want, columns, means, scales, 3, MaxQuantized/float32(3))
		return slices.Equal(got, want)
	}},
	{name: "Interleave", equal: func(m maker, n int) bool {
		levels := m.levels(n)
		got, want := pair[[BlockSize][2]int16](m, PairCount(n))
		InterleavePairs(got, levels)
		interleaveGo(want, append(slices.Clone(levels), [BlockSize]int8{}))
		return slices.Equal(got, want)
	}},
	{name: "Project", equal: func(m maker, n int) bool {
		pairs := fenced[[BlockSize][2]int16](m.t, n, m.front)
		for k := range pairs {
			for i := range pairs[k] {
				pairs[k][i] = [2]int16{int16(m.rng.Uint32()), int16(m.rng.Uint32())}
			}
		}
		var weights [2][][2]int16
		for k := range weights {
			weights[k] = fenced[[2]int16](m.t, n, m.front)
			for f := range weights[k] {
				weights[k][f] = [2]int16{int16(m.rng.Uint32()), int16(m.rng.Uint32())}
			}
		}
		var got, want [2][BlockSize]int32
		DotPairs(&got, pairs, weights[0], weights[1])
		projectGo(&want, pairs, weights[0], weights[1])
		return got == want
	}},
	{name: "Halve", equal: func(m maker, n int) bool {
		top, low := m.bytes(2*n), m.bytes(2*n)
		got, want := pair[uint8](m, n)
		Downsample2(got, top, low)
		halveGo(want, top, low)
		return slices.Equal(got, want)
	}},
	{name: "Integrate", equal: func(m maker, n int) bool {
		above := fenced[[8]uint32](m.t, n, m.front)
		cells := fenced[[8]uint8](m.t, n, m.front)
		for i := range above {
			copy(above[i][:], words[uint32](m, 8, math.MaxUint32))
			copy(cells[i][:], m.bytes(8))
		}
		got, want := pair[[8]uint32](m, n)
		IntegralRow(got, above, cells)
		integrateGo(want, above, cells)
		return slices.Equal(got, want)
	}},
	{name: "Steepness", equal: func(m maker, n int) bool {
		rows := m.rows(n)
		here, up, low := [3][]uint8(rows[0:]), [3][]uint8(rows[3:]), [3][]uint8(rows[6:])
		got, want := pair[[8]uint8](m, n)
		GradientMagnitudes(got, &here, &up, &low)
		steepnessGo(want, &here, &up, &low, 0, n)
		return slices.Equal(got, want)
	}},
	{name: "Rectangles", equal: func(m maker, n int) bool {
		table := fenced[[8]uint32](m.t, n+1, m.front)
		for i := range table {
			copy(table[i][:], words[uint32](m, 8, math.MaxUint32))
		}
		corners := fenced[[4]int32](m.t, n, m.front)
		for i := range corners {
			copy(corners[i][:], m.numbers(4, 0, int32(n)))
		}
		scales := m.floats(n, 0, 1)
		offset, gain := [8]float32(m.floats(8, -9, 9)), [8]float32(m.floats(8, -9, 9))
		got, want := pair[[8]float32](m, n)
		RectangleSums(got, table, corners, scales, &offset, &gain)
		rectanglesGo(want, table, corners, scales, &offset, &gain)
		return slices.Equal(got, want)
	}},
	{name: "Grids", equal: func(m maker, n int) bool {
		n %= 300
		table := fenced[[8]uint32](m.t, 2*n+1, m.front)
		for i := range table {
			copy(table[i][:], words[uint32](m, 8, math.MaxUint32))
		}
		lattices := fenced[Grid](m.t, n%5, m.front)
		for k := range lattices {
			l := &lattices[k]
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
		got, want := pair[[8]float32](m, GridSide*GridSide*len(lattices))
		GridSums(got, table, lattices)
		gridsGo(want, table, lattices)
		return slices.Equal(got, want)
	}},
	{name: "Summarise", equal: func(m maker, n int) bool {
		counts := m.numbers(n%9, 1, 9)
		all := int32(0)
		for _, c := range counts {
			all += c
		}
		rows := fenced[[8]float32](m.t, int(all), m.front)
		for i := range rows {
			copy(rows[i][:], m.floats(8, -4, 4))
		}
		got, want := pair[[8]float32](m, MaxMeanMinRows*len(counts))
		MaxMeanMin(got, rows, counts)
		summariseGo(want, rows, counts)
		return slices.Equal(got, want)
	}},
	{name: "Transpose", equal: func(m maker, n int) bool {
		n %= 5
		rows := fenced[[8]float32](m.t, n*BlockSize, m.front)
		for i := range rows {
			copy(rows[i][:], m.floats(8, -4, 4))
		}
		got, want := pair[[BlockSize]float32](m, 7*n)
		TransposeBlock(got, rows)
		transposeGo(want, rows)
		return slices.Equal(got, want)
	}},
	{name: "Overlaps", equal: func(m maker, n int) bool {
		b := Boxes{IDs: m.numbers(n+BoxPadding, 0, 1<<30)}
		low, high := int32(-50), int32(50)
		if m.kind == 3 {
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
		room := BoxPadding
		for i := range runs {
			to := m.rng.Int32N(int32(n + 1))
			runs[i] = [2]int32{m.rng.Int32N(to + 1), to}
			room += int(runs[i][1] - runs[i][0])
		}
		box, area := [4]int32{low, low, high, high}, float32(int64(high-low)*int64(high-low))
		if n > 0 && m.kind > 0 {
			box, area = [4]int32{b.X0[0], b.Y0[0], b.X1[0], b.Y1[0]}, b.Areas[0]
		}
		least := []float32{1e-9, .1, .5, 1}[m.rng.IntN(4)]
		got, want := pair[int32](m, room)
		gotIoU, wantIoU := pair[float32](m, room)
		k := Overlaps(got, gotIoU, &b, runs, &box, area, least)
		l := overlapsGo(want, wantIoU, &b, runs, &box, area, least)
		return k == l && slices.Equal(got[:k], want[:l]) && slices.Equal(gotIoU[:k], wantIoU[:l])
	}},
	{name: "Gray", equal: func(m maker, n int) bool {
		c := m.colours(n)
		got, want := pair[uint8](m, n)
		Gray(got, c[0], c[1], c[2])
		grayGo(want, c[0], c[1], c[2])
		return slices.Equal(got, want)
	}},
	{name: "Hue", equal: func(m maker, n int) bool {
		c := m.colours(n)
		got, want := pair[uint8](m, n)
		Hue(got, c[0], c[1], c[2])
		hueGo(want, c[0], c[1], c[2])
		return slices.Equal(got, want)
	}},
	{name: "HSV", equal: func(m maker, n int) bool {
		c := m.colours(n)
		var got, want [3][]uint8
		for i := range got {
			got[i], want[i] = pair[uint8](m, n)
		}
		HSV(got[0], got[1], got[2], c[0], c[1], c[2])
		hsvGo(want[0], want[1], want[2], c[0], c[1], c[2])
		return slices.EqualFunc(got[:], want[:], slices.Equal)
	}},
	{name: "Lab", equal: func(m maker, n int) bool {
		c := m.colours(n)
		// Any tables will do whose results are in range.
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
			got[i], want[i] = pair[uint8](m, n)
		}
		Lab(got[0], got[1], got[2], c[0], c[1], c[2], &t)
		labGo(want[0], want[1], want[2], c[0], c[1], c[2], &t)
		return slices.EqualFunc(got[:], want[:], slices.Equal)
	}},
	{name: "Thin4", equal: func(m maker, n int) bool {
		var got, want, above, here [2][]uint16
		for d := range got {
			got[d], want[d] = pair[uint16](m, n)
			above[d], here[d] = m.weights(n+2), m.weights(n+2)
		}
		below := m.weights(n + 2)
		PruneEdges4(&got, &above, &here, below)
		thin4Go(&want, &above, &here, below)
		return slices.EqualFunc(got[:], want[:], slices.Equal)
	}},
	{name: "Thin8", equal: func(m maker, n int) bool {
		var got, want, above, here [4][]uint16
		for d := range got {
			got[d], want[d] = pair[uint16](m, n)
			above[d], here[d] = m.weights(n+2), m.weights(n+2)
		}
		below := m.weights(n + 2)
		PruneEdges8(&got, &above, &here, below)
		thin8Go(&want, &above, &here, below)
		return slices.EqualFunc(got[:], want[:], slices.Equal)
	}},
	{name: "Borders4", equal: func(m maker, n int) bool {
		var got, want, weights [2][]uint16
		stride := n + 1 + m.rng.IntN(3)
		for d := range got {
			got[d], want[d] = pair[uint16](m, n)
			weights[d] = m.weights(2*stride + n + 2)
		}
		labels := words[uint16](m, 2*stride+n+2, []uint16{2, 3, 4, math.MaxUint16}[m.rng.IntN(4)])
		BoundaryEdges4(&got, &weights, labels, stride)
		borders4Go(&want, &weights, labels, stride)
		return slices.EqualFunc(got[:], want[:], slices.Equal)
	}},
	{name: "Borders8", equal: func(m maker, n int) bool {
		var got, want, weights [4][]uint16
		stride := n + 1 + m.rng.IntN(3)
		for d := range got {
			got[d], want[d] = pair[uint16](m, n)
			weights[d] = m.weights(2*stride + n + 2)
		}
		labels := words[uint16](m, 2*stride+n+2, []uint16{2, 3, 4, math.MaxUint16}[m.rng.IntN(4)])
		BoundaryEdges8(&got, &weights, labels, stride)
		borders8Go(&want, &weights, labels, stride)
		return slices.EqualFunc(got[:], want[:], slices.Equal)
	}},
	{name: "List4", equal: func(m maker, n int) bool {
		r, d := m.weights(n), m.weights(n)
		first, limit := uint32(m.rng.IntN(100)), uint16(m.rng.IntN(math.MaxUint16+1))
		got, want := pair[uint32](m, 2*n+EdgeKeyPadding)
		g := EdgeKeys4(got, first, limit, r, d)
		w := list4Go(want, 4*first, limit, r, d)
		return slices.Equal(got[:g], want[:w])
	}},
	{name: "List8", equal: func(m maker, n int) bool {
		r, d, f, i := m.weights(n), m.weights(n), m.weights(n), m.weights(n)
		first, limit := uint32(m.rng.IntN(100)), uint16(m.rng.IntN(math.MaxUint16+1))
		got, want := pair[uint32](m, 4*n+EdgeKeyPadding)
		g := EdgeKeys8(got, first, limit, r, d, f, i)
		w := list8Go(want, 4*first, limit, r, d, f, i)
		return slices.Equal(got[:g], want[:w])
	}},
	{name: "Bins1", equal: func(m maker, n int) bool {
		a := m.bytes(n)
		got, want := pair[uint16](m, n)
		Quantize1(got, a)
		bins1Go(want, a)
		return slices.Equal(got, want)
	}},
	{name: "Bins3", equal: func(m maker, n int) bool {
		c := m.colours(n)
		got, want := pair[uint16](m, n)
		Quantize3(got, c[0], c[1], c[2])
		bins3Go(want, c[0], c[1], c[2])
		return slices.Equal(got, want)
	}},
	{name: "Textures", equal: func(m maker, n int) bool {
		n = min(n, MaxGradients)
		limit := []float32{1, 2, 12, 300, 10000}[m.rng.IntN(5)] // of responses
		gx, gy := m.floats(n, -limit, limit), m.floats(n, -limit, limit)
		got, want := pair[uint32](m, n+GradientPadding)
		n = texturesGo(want, slices.Clone(gx), slices.Clone(gy), 0.9, 0.7)
		k := ListGradients(got, gx, gy, 0.9, 0.7)
		return k == n && slices.Equal(got[:k], want[:k])
	}},
	{name: "Differ", equal: func(m maker, n int) bool {
		a, b := fenced[int32](m.t, n, m.front), fenced[int32](m.t, n, m.front)
		for i := range a {
			a[i], b[i] = m.rng.Int32N(3)-1, m.rng.Int32N([]int32{2, 1 << 30, 1, 3}[m.kind])
		}
		got := m.bytes((n + 7) / 8)
		want := slices.Clone(got)
		DiffMask(got, a, b)
		differGo(want, a, b)
		return slices.Equal(got, want)
	}},
	{name: "AddBins3", equal: func(m maker, n int) bool {
		c := m.colours(n)
		bins, labels := fenced[uint16](m.t, n, m.front), m.labels(n, 3)
		Quantize3(bins, c[0], c[1], c[2])
		// The last row ends with its bins.
		got, want := pair[uint32](m, 2*80+3*QuantizeLevels)
		CountQuantized3(got, 80, bins, labels)
		addBins3Go(want, 80, bins, labels)
		return slices.Equal(got, want)
	}},
	{name: "AddTextures", equal: func(m maker, n int) bool {
		n = min(n, MaxGradients)
		labels, list := m.labels(n, 3), fenced[uint32](m.t, n, m.front)
		for i := range list {
			list[i] = uint32(m.rng.IntN(n)) << GradientBits
			for k := range 4 {
				list[i] |= m.rng.Uint32N([]uint32{2 * GradientLevels, 2, 1, 9}[m.kind]) << (k * FieldBits)
			}
		}
		got, want := pair[uint32](m, 2*240+8*GradientLevels)
		CountGradients(got, 240, list, labels)
		addTexturesGo(want, 240, list, labels)
		return slices.Equal(got, want)
	}},
}

// colours are three planes of samples, of few or all levels.
func (m maker) colours(n int) (planes [3][]uint8) {
	for p := range planes {
		planes[p] = fenced[uint8](m.t, n, m.front)
		for i := range planes[p] {
			planes[p][i] = uint8(m.rng.IntN([]int{256, 2, 20, 256}[m.kind]))
			if m.kind == 3 && p > 0 { // grey
				planes[p][i] = planes[0][i]
			}
		}
	}
	return planes
}

// labels are those of n samples in so many regions, at random or all of the last.
func (m maker) labels(n int, regions int32) []int32 {
	labels := fenced[int32](m.t, n, m.front)
	for i := range labels {
		labels[i] = regions - 1
		if m.kind != 3 {
			labels[i] = m.rng.Int32N(regions)
		}
	}
	return labels
}

// weights are of a few levels, with ties and edges that are not there.
func (m maker) weights(n int) []uint16 {
	s := fenced[uint16](m.t, n, m.front)
	for i := range s {
		s[i] = uint16(m.rng.IntN([]int{1 << 16, 3, 50, 1}[m.kind]))
		if m.rng.IntN(20) == 0 {
			s[i] = noEdge
		}
	}
	return s
}

// TestKernelsEqualTwins holds every kernel to its twin, between pages that fault.
func TestKernelsEqualTwins(t *testing.T) {
	for _, c := range checks {
		t.Run(c.name, func(t *testing.T) {
			lengths := []int{639, 1000, 4096, 5003}
			for n := range 71 {
				lengths = append(lengths, n)
			}
			for _, n := range lengths {
				n *= max(1, c.whole)
				for seed := range 2 * kinds {
					m := maker{t, rand.New(rand.NewPCG(uint64(n), uint64(seed))), seed % kinds, seed < kinds}
					t.Run(fmt.Sprintf("%d/%d", n, seed), func(t *testing.T) {
						m.t = t
						if !c.equal(m, n) {
							t.Error("kernel and twin differ")
						}
					})
				}
			}
		})
	}
}

func TestKernelsOnAnyInput(t *testing.T) {
	for _, c := range checks {
		t.Run(c.name, func(t *testing.T) {
			rapid.Check(t, func(r *rapid.T) {
				seed := rapid.Uint64().Draw(r, "seed")
				n := rapid.IntRange(0, 200).Draw(r, "n") * max(1, c.whole)
				m := maker{t, rand.New(rand.NewPCG(seed, 0)), rapid.IntRange(0, kinds-1).Draw(r, "kind"), seed%2 == 0}
				if !c.equal(m, n) {
					r.Fatal("kernel and twin differ")
				}
			})
		})
	}
}

// Distances at the ends of their range and on the border of two steps, which the sum
// with a half is rounded to before it is cut.
func TestDistances(t *testing.T) {
	a := []float32{0.49999997 / 128, 255, 1, 1, 0, 3.5 / 128, 2.4999 / 128, 255, 0}
	b := []float32{0, 0, 1 + 1.0/128, 2, 255, 0, 0, 0, 511.9}
	want := []uint16{1, 32640, 1, 128, 32640, 4, 2, 32640, 65523}
	got := make([]uint16, len(a))
	Distances1(got, a, b)
	if !slices.Equal(got, want) {
		t.Errorf("Distances1: %v, want %v", got, want)
	}
	// 255·√3·128 is 56533.7.
	zero, most := make([]float32, 9), slices.Repeat([]float32{255}, 9)
	Distances3(got, zero, most, zero, most, zero, most)
	if !slices.Equal(got, slices.Repeat([]uint16{56534}, 9)) {
		t.Errorf("Distances3: %v, want 56534", got)
	}
}

func TestBins(t *testing.T) {
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
			t.Errorf("%d: bin %d, want %d", v, bin, want)
		}
	}
	Quantize3(got, a, b, c)
	for v, bins := range got {
		if want := v*QuantizeLevels/256 | (255-v)*QuantizeLevels/256<<FieldBits; int(bins) != want {
			t.Errorf("%d: bins %#x, want %#x", v, bins, want)
		}
	}
}

func TestTextures(t *testing.T) {
	for _, c := range []struct {
		gx, gy float32
		places [4]uint32
	}{
		{0, 0, [4]uint32{}},
		{0.99, -0.99, [4]uint32{}},
		{1, -1, [4]uint32{1, 0, 11, 11}},
		{9, 100, [4]uint32{9, 9, 9, 9}},
		{-32767, 2, [4]uint32{19, 19, 2, 9}},
	} {
		const n = 9
		code := uint32(0)
		for i, p := range c.places {
			code |= p << (i * FieldBits)
		}
		var want []uint32
		for x := range uint32(n) {
			if code != 0 {
				want = append(want, x<<GradientBits|code)
			}
		}
		got := make([]uint32, n+GradientPadding)
		got = got[:ListGradients(got, slices.Repeat([]float32{c.gx}, n), slices.Repeat([]float32{c.gy}, n), 1, 0.5)]
		if !slices.Equal(got, want) {
			t.Errorf("%v, %v: %#x, want %#x", c.gx, c.gy, got, want)
		}
	}
}

// TestNormalise holds the reciprocal to exact division.
func TestNormalise(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		size := rapid.Int32Range(1, 1<<30).Draw(t, "size")
		count := rapid.Int32Range(0, size).Draw(t, "count")
		counts, normal := make([]uint32, BinAlign), make([]uint16, BinAlign)
		counts[0], counts[1] = uint32(count), uint32(size)
		Normalize(normal, counts, size)
		if want := float64(count) / float64(size) * UnitSum; math.Abs(float64(normal[0])-want) > 0.5+1.0/(1<<15) {
			t.Fatalf("%d of %d: %d, want %v", count, size, normal[0], want)
		}
		if normal[1] != UnitSum || normal[2] != 0 {
			t.Fatalf("all and nothing of %d: %d and %d, want %d and 0", size, normal[1], normal[2], UnitSum)
		}
	})
}

func TestUnequalLengthsPanic(t *testing.T) {
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

		"Columns4":     func() { ConvolveColumnsEven(f, &short, new([5]int32)) },
		"BothColumns4": func() { ConvolveColumnsEvenOdd(f, f[:8], rows, new([5]int32), new([5]int32)) },
		"SmoothRow4":   func() { ConvolveRowEven(f[:2], f, new([5]float32)) },
		"SlopeRow4":    func() { ConvolveRowOdd(f, f, new([5]float32)) },
		"Bins1":        func() { Quantize1(u, make([]uint8, 8)) },
		"Bins3":        func() { Quantize3(u, rows[0], rows[1], short[7]) },

		"Differ":       func() { DiffMask(make([]uint8, 2), make([]int32, 9), make([]int32, 8)) },
		"Differ: bits": func() { DiffMask(make([]uint8, 1), make([]int32, 9), make([]int32, 9)) },

		"AddBins3":         func() { CountQuantized3(counts, 1, u, make([]int32, 8)) },
		"AddBins3: beyond": func() { CountQuantized3(make([]uint32, 80), 80, u, slices.Repeat([]int32{1}, 9)) },
		"AddBins3: before": func() { CountQuantized3(make([]uint32, 80), 80, u, slices.Repeat([]int32{-1}, 9)) },
		"AddBins3: none":   func() { CountQuantized3(nil, 80, u, make([]int32, 9)) },

		"AddTextures: beyond":  func() { CountGradients(make([]uint32, 80), 80, list, []int32{1}) },
		"AddTextures: before":  func() { CountGradients(make([]uint32, 80), 80, list, []int32{-1}) },
		"AddTextures: none":    func() { CountGradients(nil, 80, list, []int32{0}) },
		"AddTextures: labels":  func() { CountGradients(make([]uint32, 80), 80, list, nil) },
		"AddTextures: samples": func() { CountGradients(make([]uint32, 80), 80, []uint32{1 << GradientBits}, []int32{0}) },

		"Textures":       func() { ListGradients(list, f, f[:8], 1, 1) },
		"Textures: room": func() { ListGradients(list[1:], f, f, 1, 1) },
		"Textures: many": func() {
			f := make([]float32, MaxGradients+1)
			ListGradients(make([]uint32, len(f)+GradientPadding), f, f, 1, 1)
		},

		"Intersections: sums":   func() { Intersections(counts[:1], bins, bins, []int32{0, 0}) },
		"Intersections: bins":   func() { Intersections(counts[:1], bins[:15], bins, []int32{0}) },
		"Intersections: beyond": func() { Intersections(counts[:1], bins, bins, []int32{1}) },
		"Intersections: before": func() { Intersections(counts[:1], bins, bins, []int32{-1}) },
		"Normalise":             func() { Normalize(bins[:9], counts[:9], 1) },
		"Add":                   func() { AddCounts(counts, counts[:0]) },
		"NewForest":             func() { NewForest([]Tree{{Features: [TreeDepth]int32{0, -1}}}) },
		"Sum": func() {
			NewForest([]Tree{{Features: [TreeDepth]int32{0, 1, 2, 3}}}).Sum(new([BlockSize]int16), make([][BlockSize]int8, 3))
		},
		"Overlaps": func() {
			Overlaps(make([]int32, 20), make([]float32, 20), &Boxes{make([]int32, 9), make([]int32, 9), make([]int32, 9), make([]int32, 9), make([]int32, 9), make([]float32, 9)}, [][2]int32{{0, 2}}, new([4]int32), 1, 1)
		},
		"Uncovered": func() { CoverageGain(make([]uint32, 8), nil) },
		"Uncovered: beyond": func() {
			CoverageGain(append(make([]uint32, 15), 2<<CoverageBits), make([]Target, 2))
		},
		"Uncovered: rest": func() { CoverageGain([]uint32{2 << CoverageBits}, make([]Target, 2)) },
		"Tally":           func() { CoverageHistogram(make([]uint32, 1<<CoverageCountBits)) },
		"Scale": func() {
			QuantizeColumns(make([][BlockSize]int8, 3), make([][BlockSize]float32, 3), make([]float32, 3), make([]float32, 2), 1)
		},
		"Interleave": func() { InterleavePairs(make([][BlockSize][2]int16, 1), make([][BlockSize]int8, 3)) },
		"Project": func() {
			DotPairs(new([2][BlockSize]int32), make([][BlockSize][2]int16, 3), make([][2]int16, 3), make([][2]int16, 2))
		},
		"Summarise: a run of none": func() { MaxMeanMin(make([][8]float32, 3), nil, []int32{0}) },
		"Summarise: few rows":      func() { MaxMeanMin(make([][8]float32, 3), make([][8]float32, 1), []int32{2}) },
		"Transpose":                func() { TransposeBlock(make([][BlockSize]float32, 7), make([][8]float32, 2*BlockSize)) },
		"Integrate":                func() { IntegralRow(make([][8]uint32, 3), make([][8]uint32, 3), make([][8]uint8, 2)) },
		"Steepness": func() {
			rows, longer := [3][]uint8{{1}, {1}, {1}}, [3][]uint8{{1}, {1, 2}, {1}}
			GradientMagnitudes(make([][8]uint8, 1), &rows, &longer, &rows)
		},
		"Grids": func() { GridSums(make([][8]float32, GridSide*GridSide), make([][8]uint32, 9), make([]Grid, 2)) },
		"Grids: beyond": func() {
			l := Grid{Rows: [GridSide]Span{{Begin: 4}, {}, {}, {}, {}, {End: 1}}, Columns: [GridSide]Span{{}, {End: 5}}}
			GridSums(make([][8]float32, GridSide*GridSide), make([][8]uint32, 9), []Grid{l})
		},
		"Rectangles": func() {
			RectangleSums(make([][8]float32, 1), make([][8]uint32, 9), [][4]int32{{0, 1, -1, 2}}, make([]float32, 1), new([8]float32), new([8]float32))
		},
		"Merge": func() { AddNormalize(bins, counts, counts[:0], counts, 1) },
	} {
		t.Run(name, func(t *testing.T) {
			defer func() {
				if recover() == nil {
					t.Error("no panic")
				}
			}()
			call()
		})
	}
}

const row = 640 // elements a benchmark works on

func bench(b *testing.B, kernel, twin func()) {
	b.Run("kernel", func(b *testing.B) {
		for b.Loop() {
			kernel()
		}
	})
	b.Run("twin", func(b *testing.B) {
		for b.Loop() {
			twin()
		}
	})
}

func newMaker(b *testing.B) maker { return maker{b, rand.New(rand.NewPCG(1, 2)), 0, false} }

func BenchmarkDistances1(b *testing.B) {
	m := newMaker(b)
	dst, x, y := make([]uint16, row), m.floats(row, 0, 255), m.floats(row, 0, 255)
	bench(b, func() { Distances1(dst, x, y) }, func() { distances1Go(dst, x, y) })
}

func BenchmarkDistances3(b *testing.B) {
	m := newMaker(b)
	dst, x, y, z := make([]uint16, row), m.floats(row, 0, 255), m.floats(row, 0, 255), m.floats(row, 0, 255)
	bench(b, func() { Distances3(dst, x, y, z, y, z, x) }, func() { distances3Go(dst, x, y, z, y, z, x) })
}

func BenchmarkColumns4(b *testing.B) {
	m := newMaker(b)
	dst, rows, w := make([]float32, row), m.rows(row), m.columnWeights()
	bench(b, func() { ConvolveColumnsEven(dst, rows, w) }, func() { columns4Go(dst, rows, w) })
}

func BenchmarkBothColumns4(b *testing.B) {
	m := newMaker(b)
	even, odd, rows, w := make([]float32, row), make([]float32, row), m.rows(row), m.columnWeights()
	bench(b, func() { ConvolveColumnsEvenOdd(even, odd, rows, w, w) }, func() { bothColumns4Go(even, odd, rows, w, w) })
}

func BenchmarkSmoothRow4(b *testing.B) {
	m := newMaker(b)
	dst, padded, w := make([]float32, row), m.floats(row+8, 0, 255), (*[5]float32)(m.floats(5, 0, 1))
	bench(b, func() { ConvolveRowEven(dst, padded, w) }, func() { smoothRow4Go(dst, padded, w) })
}

func BenchmarkSlopeRow4(b *testing.B) {
	m := newMaker(b)
	dst, padded, w := make([]float32, row), m.floats(row+8, 0, 255), (*[5]float32)(m.floats(5, 0, 1))
	bench(b, func() { ConvolveRowOdd(dst, padded, w) }, func() { slopeRow4Go(dst, padded, w) })
}

func BenchmarkBins3(b *testing.B) {
	m := newMaker(b)
	dst, x, y, z := make([]uint16, row), m.bytes(row), m.bytes(row), m.bytes(row)
	bench(b, func() { Quantize3(dst, x, y, z) }, func() { bins3Go(dst, x, y, z) })
}

func BenchmarkTextures(b *testing.B) {
	m := newMaker(b)
	list, gx, gy := make([]uint32, row+GradientPadding), m.floats(row, -11, 11), m.floats(row, -11, 11)
	x, y := make([]float32, row), make([]float32, row)
	again := func(textures func(list []uint32, gx, gy []float32, scale, diagonal float32) int) func() {
		return func() {
			copy(x, gx)
			copy(y, gy)
			textures(list, x, y, 0.1, 0.07)
		}
	}
	bench(b, again(ListGradients), again(texturesGo))
}

func BenchmarkDiffer(b *testing.B) {
	bits, x, y := make([]uint8, row/8), make([]int32, row), make([]int32, row)
	bench(b, func() { DiffMask(bits, x, y) }, func() { differGo(bits, x, y) })
}

func BenchmarkAddBins3(b *testing.B) {
	m := newMaker(b)
	c, bins, labels, counts := m.colours(row), make([]uint16, row), m.labels(row, 9), make([]uint32, 9*80)
	Quantize3(bins, c[0], c[1], c[2])
	bench(b, func() { CountQuantized3(counts, 80, bins, labels) }, func() { addBins3Go(counts, 80, bins, labels) })
}

func BenchmarkAddTextures(b *testing.B) {
	m := newMaker(b)
	list, labels, counts := make([]uint32, row+GradientPadding), m.labels(row, 9), make([]uint32, 9*240)
	list = list[:ListGradients(list, m.floats(row, -11, 11), m.floats(row, -11, 11), 0.1, 0.07)]
	bench(b, func() { CountGradients(counts, 240, list, labels) }, func() { addTexturesGo(counts, 240, list, labels) })
}

const texture = 240 // bins

func BenchmarkIntersections(b *testing.B) {
	m := newMaker(b)
	rows, others, sums := words[uint16](m, 10*texture, 1000), []int32{0, 1, 2, 3, 4, 5, 6, 7, 8, 9}, make([]uint32, 10)
	row := rows[:texture]
	bench(b, func() { Intersections(sums, row, rows, others) }, func() { intersectionsGo(sums, row, rows, others) })
}

func BenchmarkNormalise(b *testing.B) {
	m := newMaker(b)
	normal, counts := make([]uint16, texture), words[uint32](m, texture, 100)
	bench(b, func() { Normalize(normal, counts, 1000) }, func() { normaliseGo(normal, counts, newScale(1000)) })
}

func BenchmarkMerge(b *testing.B) {
	m := newMaker(b)
	normal, sum, x, y := make([]uint16, texture), make([]uint32, texture), words[uint32](m, texture, 100), words[uint32](m, texture, 100)
	bench(b, func() { AddNormalize(normal, sum, x, y, 1000) }, func() { mergeGo(normal, sum, x, y, newScale(1000)) })
}
