package kernels

import (
	"fmt"
	"math"
)

// BlockSize is the number of items that the kernels of a model evaluate at once.
const BlockSize = 64

// TreeDepth is the depth of the trees of a [Forest].
const TreeDepth = 6

// Forest is a sum of oblivious trees. Its zero value has no trees. It is safe for concurrent use once
// all trees are added.
type Forest struct {
	trees   []tree
	columns int // the number of columns that the trees read
}

// tree has the layout that the assembly reads.
type tree struct {
	offsets    [TreeDepth]int32 // of the columns, in bytes
	thresholds [TreeDepth]int8
	_          [2]int8
	low, high  [1 << TreeDepth]uint8 // the bytes of the leaves, in reverse order
}

// Add adds a tree. Bit i of the index of an item's leaf is set if the item's value in column
// columns[i] is at least thresholds[i]. Add panics if a column is negative.
func (f *Forest) Add(columns *[TreeDepth]int32, thresholds *[TreeDepth]int8, leaves *[1 << TreeDepth]int16) {
	t := tree{thresholds: *thresholds}
	for i, column := range columns {
		if column < 0 || column > math.MaxInt32/BlockSize {
			panic(fmt.Sprintf("kernels: Forest: column %d", column))
		}
		t.offsets[i] = BlockSize * column
		f.columns = max(f.columns, int(column)+1)
	}
	for i, v := range leaves {
		reversed := len(leaves) - 1 - i
		t.low[reversed], t.high[reversed] = uint8(v), uint8(uint16(v)>>8)
	}
	f.trees = append(f.trees, t)
}

// Sum writes the sum of the trees' leaves for each item of a block. Sums wrap around. Sum panics if
// there are fewer columns than the trees read.
func (f *Forest) Sum(sums *[BlockSize]int16, columns [][BlockSize]int8) {
	if len(columns) < f.columns {
		panic(fmt.Sprintf("kernels: Forest: %d columns: want %d", len(columns), f.columns))
	}
	sumTrees(sums, columns, f.trees)
}

func sumTreesGeneric(sums *[BlockSize]int16, columns [][BlockSize]int8, trees []tree) {
	*sums = [BlockSize]int16{}
	for k := range trees {
		t := &trees[k]
		var leaf [BlockSize]uint8 // the reversed index: a bit is set if the value is below the threshold
		for level, offset := range t.offsets {
			threshold := t.thresholds[level]
			for i, v := range columns[offset/BlockSize] {
				below := uint8(0)
				if v < threshold {
					below = 1
				}
				leaf[i] |= below << level
			}
		}
		for i, l := range leaf {
			l %= 1 << TreeDepth
			sums[i] += int16(uint16(t.high[l])<<8 | uint16(t.low[l]))
		}
	}
}

// MaxQuantized is the largest magnitude that [QuantizeColumns] writes.
const MaxQuantized = 127

// QuantizeColumns standardizes each column to (v−mean)·scale, limits it to ±limit and writes it in
// steps of limit/MaxQuantized, rounded to the nearest, halves to even. All values are finite.
func QuantizeColumns(
	dst [][BlockSize]int8, columns [][BlockSize]float32, means, scales []float32, limit float32,
) {
	checkLengths("QuantizeColumns", len(dst), len(columns), len(means), len(scales))
	quantizeColumns(dst, columns, means, scales, limit, MaxQuantized/limit)
}

func quantizeColumnsGeneric(
	dst [][BlockSize]int8, columns [][BlockSize]float32, means, scales []float32, limit, unit float32,
) {
	for f, mean := range means {
		scale, to := scales[f], &dst[f]
		for i, v := range columns[f] {
			scaled := min(max(float32((v-mean)*scale), -limit), limit)
			to[i] = int8(math.RoundToEven(float64(float32(scaled * unit))))
		}
	}
}

// PairCount returns the number of pairs of n columns, the last of which may be incomplete.
func PairCount(n int) int { return (n + 1) / 2 }

// InterleavePairs interleaves each two columns. A missing last column is 0.
func InterleavePairs(pairs [][BlockSize][2]int16, columns [][BlockSize]int8) {
	checkLengths("InterleavePairs", len(pairs), PairCount(len(columns)))
	complete := len(columns) / 2
	interleavePairs(pairs[:complete], columns[:2*complete])
	if complete < len(pairs) {
		for i, v := range columns[2*complete] {
			pairs[complete][i] = [2]int16{int16(v), 0}
		}
	}
}

func interleavePairsGeneric(pairs [][BlockSize][2]int16, columns [][BlockSize]int8) {
	for k := range pairs {
		for i := range pairs[k] {
			pairs[k][i] = [2]int16{int16(columns[2*k][i]), int16(columns[2*k+1][i])}
		}
	}
}

// DotPairs writes the dot product of each item with the weights a to dst[0] and with b to dst[1].
// Sums wrap around.
func DotPairs(dst *[2][BlockSize]int32, pairs [][BlockSize][2]int16, a, b [][2]int16) {
	checkLengths("DotPairs", len(pairs), len(a), len(b))
	dotPairs(dst, pairs, a, b)
}

func dotPairsGeneric(dst *[2][BlockSize]int32, pairs [][BlockSize][2]int16, a, b [][2]int16) {
	*dst = [2][BlockSize]int32{}
	for s, weights := range [2][][2]int16{a, b} {
		for f, w := range weights {
			for i, v := range pairs[f] {
				dst[s][i] += int32(w[0])*int32(v[0]) + int32(w[1])*int32(v[1])
			}
		}
	}
}
