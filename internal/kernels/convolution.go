package kernels

import (
	"fmt"
	"math"
)

// MaxActivation is the largest magnitude of the values that a [Convolution] reads and writes.
const MaxActivation = 4095

// Convolution is a layer of a convolutional network in fixed point. It is safe for concurrent use.
type Convolution struct {
	shape     ConvolutionShape
	low, high float32
	// weights are, for each group of 16 output channels, and one of 8 if that is left, by tap and pair
	// of input channels: two weights for each output channel of the group.
	weights [][2]int16
	// wide are the weights for the portable implementation: for each 8 output channels, by tap and input
	// channel, the weight of every second output channel plus 2³² times that of the next.
	wide   [][groupSize / 2]int64
	bias   []int32
	scales []float32
}

// ConvolutionShape is the shape of the weights of a convolution of Side×Side taps.
type ConvolutionShape struct {
	Side, Stride int
	In, Out      int // numbers of channels: multiples of 4 and of 8
	Low, High    int // bounds of the output, within ±MaxActivation
}

// NewConvolution returns a convolution. Weights are in the order output channel, row, column, input
// channel. The output is (sum + bias)·scale, limited to the shape's bounds and rounded to the nearest,
// halves to even. The magnitude of no sum may exceed an int32, nor any scale be infinite or no number.
func NewConvolution(shape ConvolutionShape, weights []int8, bias []int32, scales []float32) *Convolution {
	if shape.Side < 1 || shape.Stride < 1 || shape.In < 1 || shape.In%4 != 0 || shape.Out < 1 || shape.Out%groupSize != 0 ||
		shape.Low > shape.High || shape.Low < -MaxActivation || shape.High > MaxActivation {
		panic(fmt.Sprintf("kernels: NewConvolution: shape %+v", shape))
	}
	taps := shape.Side * shape.Side * shape.In
	checkLengths("NewConvolution", shape.Out, len(bias), len(scales))
	checkLengths("NewConvolution", shape.Out*taps, len(weights))
	c := &Convolution{
		shape: shape, low: float32(shape.Low), high: float32(shape.High),
		weights: make([][2]int16, 0, len(weights)/2), wide: make([][groupSize / 2]int64, 0, len(weights)/groupSize),
		bias: bias, scales: scales,
	}
	for first := 0; first < shape.Out; {
		width := c.groupWidth(first)
		for pair := range taps / 2 {
			for k := range width {
				w := weights[(first+k)*taps+2*pair:]
				c.weights = append(c.weights, [2]int16{int16(w[0]), int16(w[1])})
			}
		}
		first += width
	}
	for first := 0; first < shape.Out; first += groupSize {
		for tap := range taps {
			var wide [groupSize / 2]int64
			for k := range wide {
				w := weights[(first+2*k)*taps+tap:]
				wide[k] = int64(w[0]) + int64(w[taps])<<32
			}
			c.wide = append(c.wide, wide)
		}
	}
	return c
}

const groupSize = 8

// groupWidth returns the number of output channels that are computed together.
func (c *Convolution) groupWidth(first int) int { return min(c.shape.Out-first, 2*groupSize) }

// Activations are rows of pixels, Stride values apart, with the channels of a pixel side by side.
type Activations struct {
	Values []int16
	Stride int
}

// Apply writes height rows of width pixels. src begins at the first tap of the first pixel: borders are
// part of src. All values of src are within ±MaxActivation. Apply panics if dst or src is too short.
func (c *Convolution) Apply(dst, src Activations, width, height int) {
	c.apply(dst, src, width, height, false)
}

// apply is Apply, by the portable implementation if portable.
func (c *Convolution) apply(dst, src Activations, width, height int, portable bool) {
	if width <= 0 || height <= 0 {
		return
	}
	s := &c.shape
	checkActivations("dst", dst, width*s.Out, height)
	checkActivations("src", src, ((width-1)*s.Stride+s.Side)*s.In, (height-1)*s.Stride+s.Side)
	for first := 0; first < s.Out; {
		n, pairs := c.groupWidth(first), s.Side*s.Side*s.In/2
		g := convolutionGroup{
			rows: s.Side, pairs: s.Side * s.In / 2, stride: src.Stride, step: s.Stride * s.In, channels: s.Out,
			low: c.low, high: c.high, bias: c.bias[first:][:n], scales: c.scales[first:][:n],
			weights: c.weights[first*pairs:][:n*pairs],
			wide:    c.wide[first/groupSize*2*pairs:][:n/groupSize*2*pairs],
		}
		for y := range height {
			to, from := dst.Values[y*dst.Stride+first:], src.Values[y*s.Stride*src.Stride:]
			if portable {
				convolveGeneric(to, from, width, &g)
			} else {
				convolve(to, from, width, &g)
			}
		}
		first += n
	}
}

func checkActivations(name string, a Activations, row, rows int) {
	if a.Stride < 0 || int64(rows-1)*int64(a.Stride)+int64(row) > int64(len(a.Values)) {
		panic(fmt.Sprintf("kernels: Convolution: %s has %d values in rows of %d: want %d rows with %d of them",
			name, len(a.Values), a.Stride, rows, row))
	}
}

// convolutionGroup is what a row of some output channels is computed from.
type convolutionGroup struct {
	rows, pairs int // of the taps of a pixel; the pairs of a row are side by side
	stride      int // from a row of the input to the next
	step        int // from the taps of a pixel to those of the next
	channels    int // from a pixel of the output to the next
	low, high   float32
	weights     [][2]int16
	wide        [][groupSize / 2]int64
	bias        []int32
	scales      []float32
}

// convolveGeneric computes two sums at a time, in the halves of an integer of 64 bits.
func convolveGeneric(dst, src []int16, width int, g *convolutionGroup) {
	n := len(g.bias)
	for x := range width {
		out, wide := dst[x*g.channels:][:n], g.wide
		for first := 0; first < n; first += groupSize {
			var s0, s1, s2, s3 int64
			for row := range g.rows {
				for _, v := range src[row*g.stride+x*g.step:][:2*g.pairs] {
					w := &wide[0]
					wide = wide[1:]
					s0 += int64(v) * w[0]
					s1 += int64(v) * w[1]
					s2 += int64(v) * w[2]
					s3 += int64(v) * w[3]
				}
			}
			bias, scales, to := g.bias[first:][:groupSize], g.scales[first:][:groupSize], out[first:][:groupSize]
			for k, s := range [groupSize / 2]int64{s0, s1, s2, s3} {
				low := int32(s)
				for lane, sum := range [2]int32{low, int32((s - int64(low)) >> 32)} {
					i := 2*k + lane
					v := min(max(float32(float32(sum+bias[i])*scales[i]), g.low), g.high)
					to[i] = int16(math.RoundToEven(float64(v)))
				}
			}
		}
	}
}

// AddUpsampled adds to each pixel of a row that of src at half its position, and limits the sums to 0 to
// MaxActivation. All values are within ±MaxActivation. Pixels have channels values, a multiple of 16.
func AddUpsampled(dst, src []int16, channels int) {
	if channels <= 0 || channels%16 != 0 || len(dst)%channels != 0 {
		panic(fmt.Sprintf("kernels: AddUpsampled: %d values in pixels of %d channels", len(dst), channels))
	}
	checkLengths("AddUpsampled", (len(dst)/channels+1)/2*channels, len(src))
	addUpsampled(dst, src, channels)
}

func addUpsampledGeneric(dst, src []int16, channels int) {
	for x := 0; x < len(dst)/channels; x++ {
		to, from := dst[x*channels:][:channels], src[x/2*channels:][:channels]
		for k, v := range from {
			to[k] = min(max(to[k]+v, 0), MaxActivation)
		}
	}
}

// InterpolatedLine is a line of an [InterpolatedGrid]: it lies Fraction of a cell, 0 to 1, after the entry
// At of the integral image.
type InterpolatedLine struct {
	At       int32
	Fraction float32
}

// InterpolatedGrid is a grid of rectangles whose sides may lie inside of cells. The index of an entry of
// the integral image is the sum of those of its row and column. The sum over a rectangle is multiplied by
// the product of the scales of its row and column.
type InterpolatedGrid struct {
	Rows, Columns           [GridSide + 1]InterpolatedLine
	RowScales, ColumnScales [GridSide]float32
}

// IntegralChannels is the number of channels of the integral image of [InterpolatedGridSums].
const IntegralChannels = 16

// InterpolatedGridSums writes the scaled sums of each rectangle of each grid, row by row, each as two rows
// of eight channels. Entries of the integral image are integers below 2²⁴; its rows are stride entries
// apart. InterpolatedGridSums panics if a line needs entries outside of the image.
func InterpolatedGridSums(dst [][8]float32, integral [][IntegralChannels]float32, stride int, grids []InterpolatedGrid) {
	checkLengths("InterpolatedGridSums", len(dst), 2*GridSide*GridSide*len(grids))
	for k := range grids {
		g := &grids[k]
		var largest [2]uint32
		for i, lines := range [2]*[GridSide + 1]InterpolatedLine{&g.Rows, &g.Columns} {
			for _, l := range lines {
				largest[i] = max(largest[i], uint32(l.At))
			}
		}
		if stride < 0 || int64(largest[0])+int64(largest[1])+int64(stride)+1 >= int64(len(integral)) {
			panic(fmt.Sprintf("kernels: InterpolatedGridSums: rows %v and columns %v in an integral image of %d, %d a row",
				g.Rows, g.Columns, len(integral), stride))
		}
	}
	interpolatedGridSums(dst, integral, stride, grids)
}

func interpolatedGridSumsGeneric(
	dst [][8]float32, integral [][IntegralChannels]float32, stride int, grids []InterpolatedGrid,
) {
	for i := range grids {
		g := &grids[i]
		var above [GridSide][IntegralChannels]float32 // the sums above the last line, by column
		for row, r := range g.Rows {
			top, bottom := integral[r.At:], integral[int(r.At)+stride:]
			var last [IntegralChannels]lineSums
			for column, l := range g.Columns {
				scale := float32(0)
				if row > 0 && column > 0 {
					scale = float32(g.RowScales[row-1] * g.ColumnScales[column-1])
				}
				top0, top1, bottom0, bottom1 := &top[l.At], &top[l.At+1], &bottom[l.At], &bottom[l.At+1]
				for c := range last {
					here := lineSums{
						top0[c], float32((top1[c] - top0[c]) * l.Fraction),
						bottom0[c], float32((bottom1[c] - bottom0[c]) * l.Fraction),
					}
					if column > 0 {
						upper := (here.top - last[c].top) + (here.topPart - last[c].topPart)
						lower := (here.bottom - last[c].bottom) + (here.bottomPart - last[c].bottomPart)
						v := upper + float32((lower-upper)*r.Fraction)
						if row > 0 {
							dst[2*((row-1)*GridSide+column-1)+c/8][c%8] = float32((v - above[column-1][c]) * scale)
						}
						above[column-1][c] = v
					}
					last[c] = here
				}
			}
		}
		dst = dst[2*GridSide*GridSide:]
	}
}

// lineSums is the sums of a channel to the left of a column line, above the upper and the lower of the two
// rows of entries between which a row line lies: the entry, and the part of the next cell. Differences of
// entries are exact, so they are taken before parts are added.
type lineSums struct{ top, topPart, bottom, bottomPart float32 }

// TransposeRows is [TransposeBlock] for all eight elements of each row.
func TransposeRows(columns [][BlockSize]float32, rows [][8]float32) {
	checkLengths("TransposeRows", len(rows)*8, len(columns)*BlockSize)
	transposeRows(columns, rows)
}

func transposeRowsGeneric(columns [][BlockSize]float32, rows [][8]float32) {
	cells := len(rows) / BlockSize
	for i, row := range rows {
		for k, v := range row {
			columns[i%cells*8+k][i/cells] = v
		}
	}
}
