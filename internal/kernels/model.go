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

// PairItems is the number of items whose pairs [InterleavePairs] writes together.
const PairItems = 16

// The number of items and of units that a [PairLayer] computes at a time.
const (
	layerItems = 2 * PairItems
	pairUnits  = 6
)

// InterleavePairs interleaves each two columns: it writes all pairs of the first PairItems items, then
// those of the next. A missing last column is 0.
func InterleavePairs(pairs [][PairItems][2]int16, columns [][BlockSize]int8) {
	n := PairCount(len(columns))
	checkLengths("InterleavePairs", len(pairs), BlockSize/PairItems*n)
	complete := len(columns) / 2
	interleavePairs(pairs, columns, n, complete)
	if complete < n {
		for i, v := range columns[2*complete] {
			pairs[i/PairItems*n+complete][i%PairItems] = [2]int16{int16(v), 0}
		}
	}
}

// interleavePairsGeneric interleaves the complete ones of n pairs.
func interleavePairsGeneric(pairs [][PairItems][2]int16, columns [][BlockSize]int8, n, complete int) {
	for k := range complete {
		for i, v := range columns[2*k] {
			pairs[i/PairItems*n+k][i%PairItems] = [2]int16{int16(v), int16(columns[2*k+1][i])}
		}
	}
}

// PairLayer is a layer of units whose inputs are pairs of quantized columns. It is safe for concurrent use.
type PairLayer struct {
	pairs   int
	weights [][pairUnits][2]int16 // by group of units, and pair
	units   []unitGroup
}

// unitGroup is how the outputs of some units are computed from their sums. The assembly reads it.
type unitGroup struct{ scales, biases, low [pairUnits]float32 }

// NewPairLayer returns a layer. Weights are in the order unit, column. The output of a unit is its sum
// of products times its scale, plus its bias, but at least low. Sums wrap around.
func NewPairLayer(columns int, weights []int16, scales, biases, low []float32) *PairLayer {
	checkLengths("NewPairLayer", len(scales), len(biases), len(low))
	checkLengths("NewPairLayer", len(weights), len(scales)*columns)
	groups := (len(scales) + pairUnits - 1) / pairUnits
	l := &PairLayer{pairs: PairCount(columns), units: make([]unitGroup, groups)}
	l.weights = make([][pairUnits][2]int16, groups*l.pairs)
	for u := range scales {
		group, k := u/pairUnits, u%pairUnits
		for f, w := range weights[u*columns:][:columns] {
			l.weights[group*l.pairs+f/2][k][f%2] = w
		}
		g := &l.units[group]
		g.scales[k], g.biases[k], g.low[k] = scales[u], biases[u], low[u]
	}
	return l
}

// Rows returns the number of rows that Apply writes: one for each unit, and at the end some without
// meaning.
func (l *PairLayer) Rows() int { return len(l.units) * pairUnits }

// Apply writes the outputs of each unit for the items of a block: rows of BlockSize. Apply panics if there
// are not Rows rows, or not as many pairs as the layer's columns have.
func (l *PairLayer) Apply(dst []float32, pairs [][PairItems][2]int16) {
	l.apply(dst, pairs, unitOutputs)
}

func (l *PairLayer) apply(
	dst []float32, pairs [][PairItems][2]int16,
	outputs func([]float32, [][PairItems][2]int16, [][pairUnits][2]int16, *unitGroup),
) {
	checkLengths("PairLayer", len(dst), l.Rows()*BlockSize)
	checkLengths("PairLayer", len(pairs), BlockSize/PairItems*l.pairs)
	for first := 0; first < BlockSize; first += layerItems { // their pairs fit the L1 cache
		items := pairs[first/PairItems*l.pairs:][:layerItems/PairItems*l.pairs]
		for g := range l.units {
			outputs(dst[g*pairUnits*BlockSize+first:], items, l.weights[g*l.pairs:][:l.pairs], &l.units[g])
		}
	}
}

// unitOutputsGeneric writes the outputs for layerItems items.
func unitOutputsGeneric(dst []float32, pairs [][PairItems][2]int16, weights [][pairUnits][2]int16, g *unitGroup) {
	n := len(weights)
	for first := 0; first < layerItems; first += PairItems {
		pairItemOutputsGeneric(dst[first:], pairs[first/PairItems*n:][:n], weights, g)
	}
}

// pairItemOutputsGeneric writes the outputs for PairItems items.
func pairItemOutputsGeneric(dst []float32, pairs [][PairItems][2]int16, weights [][pairUnits][2]int16, g *unitGroup) {
	for u := range pairUnits {
		var sums [PairItems]int32
		for f := range weights {
			w := weights[f][u]
			for i, v := range pairs[f] {
				sums[i] += int32(w[0])*int32(v[0]) + int32(w[1])*int32(v[1])
			}
		}
		for i, sum := range sums {
			dst[u*BlockSize+i] = max(float32(float32(sum)*g.scales[u])+g.biases[u], g.low[u])
		}
	}
}
