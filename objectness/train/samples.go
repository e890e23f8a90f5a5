package train

import (
	"context"
	"math"
	"slices"

	"github.com/proposer/proposer/internal/kernels"
	"github.com/proposer/proposer/objectness"
	"github.com/proposer/proposer/objectness/internal/feature"
)

// samples are the samples that a model is trained on. Each is used as it is and mirrored.
type samples struct {
	means, scales []float32 // by feature: see objectness.Model; a feature with scale 0 is not used
	mirror        []int     // by feature: the one that has its value in the mirrored image
	levels        *levels   // of all samples
	used          []int32   // ascending: the samples, by their index in levels
	targets       []float32 // by index in used, in [0,1]
	weights       []float32 // by index in used
}

// numLevels is the number of int8 levels; the lowest is not used.
const numLevels = 256

// levelIndex returns the index of a level, from 0 on.
func levelIndex(level int8) int { return int(level) + numLevels/2 }

// levelStep is the difference of a standardized feature between two levels.
const levelStep = float32(objectness.FeatureRange) / kernels.MaxQuantized

// Samples are stored and worked on in chunks; between two of them the context is checked.
const (
	chunkBits = 12
	chunkSize = 1 << chunkBits
)

// levels hold the quantized features of samples, in chunks, so that they grow without a copy.
type levels struct {
	features int
	n        int      // samples
	chunks   [][]int8 // each by feature and sample
}

// add appends the first n samples of a block.
func (l *levels) add(block [][feature.BlockSize]int8, n int) {
	for from := 0; from < n; {
		at := l.n % chunkSize
		if at == 0 {
			l.chunks = append(l.chunks, make([]int8, l.features*chunkSize))
		}
		to := min(n, from+chunkSize-at)
		for f := range block {
			copy(l.column(l.n/chunkSize, f)[at:], block[f][from:to])
		}
		l.n += to - from
		from = to
	}
}

// column returns the levels of a feature of a chunk's samples.
func (l *levels) column(chunk, f int) []int8 {
	return l.chunks[chunk][f*chunkSize : (f+1)*chunkSize]
}

// chunkOf returns the chunk of a sample.
func chunkOf(sample int32) int { return int(sample >> chunkBits) }

// inChunk returns the index of a sample in its chunk.
func inChunk(sample int32) int { return int(sample & (chunkSize - 1)) }

// ranges returns, for each chunk, the index of its first sample in used, and at the end the number of
// used samples.
func (s *samples) ranges() []int {
	starts := make([]int, 0, len(s.levels.chunks)+1)
	for c := range s.levels.chunks {
		i, _ := slices.BinarySearch(s.used, int32(c*chunkSize))
		starts = append(starts, i)
	}
	return append(starts, len(s.used))
}

// A sampleBlock holds the features of up to BlockSize samples.
type sampleBlock struct {
	columns feature.Columns
	n       int
}

// standardize returns the mean of the values of a feature and its mirror image, and one over
// their standard deviation, or 0 for a constant feature, which carries no information.
func standardize(blocks []sampleBlock, feature, mirror int) (mean, scale float32) {
	var sumA, sumB, squaresA, squaresB, n float64
	for i := range blocks {
		b := &blocks[i]
		for k := range b.n {
			sumA += float64(b.columns[feature][k])
			sumB += float64(b.columns[mirror][k])
		}
		n += 2 * float64(b.n)
	}
	m := (sumA + sumB) / n
	for i := range blocks {
		b := &blocks[i]
		for k := range b.n {
			a, b := float64(b.columns[feature][k])-m, float64(b.columns[mirror][k])-m
			squaresA += float64(a * a)
			squaresB += float64(b * b)
		}
	}
	if !(squaresA+squaresB > 0) {
		return float32(m), 0
	}
	return float32(m), float32(1 / math.Sqrt((squaresA+squaresB)/n+1e-6))
}

// prior returns the log-odds of the mean target. Training begins there, as that of the
// detector of Lin et al. does (2017, §3.3), so that the many negatives do not dominate the
// first steps.
func prior(s *samples) float32 {
	sum, weight := 1.0, 2.0
	for i, w := range s.weights {
		sum += float64(s.targets[i] * w)
		weight += float64(w)
	}
	return float32(math.Log(sum / (weight - sum)))
}

// rowBuffer reads the samples of an epoch in random order. Chunks are drawn at random, and the samples
// of up to bufferedChunks chunks are shuffled, which bounds the memory for features by rows.
type rowBuffer struct {
	samples *samples
	starts  []int   // ranges of the samples
	chunks  []int   // in the order of the epoch
	next    int     // chunk to read next
	rows    []int8  // features of the buffered samples
	sources []int32 // by row: index in used
	order   []int32 // rows that were not returned yet
}

const bufferedChunks = 64

func newRowBuffer(s *samples) *rowBuffer {
	b := &rowBuffer{samples: s, starts: s.ranges(), chunks: make([]int, len(s.levels.chunks))}
	for c := range b.chunks {
		b.chunks[c] = c
	}
	return b
}

// shuffle begins an epoch. The function shuffles as [rand.Rand.Shuffle].
func (b *rowBuffer) shuffle(shuffle func(n int, swap func(i, j int))) {
	shuffle(len(b.chunks), func(i, j int) { b.chunks[i], b.chunks[j] = b.chunks[j], b.chunks[i] })
	b.next = 0
	b.sources = b.sources[:0]
	b.order = b.order[:0]
}

// take returns n rows of the buffer, or as many as the epoch has left. They are valid until the
// next call.
func (b *rowBuffer) take(
	ctx context.Context, o *Options, n int, shuffle func(n int, swap func(i, j int)),
) (rows []int32, err error) {
	if len(b.order) < n && b.next < len(b.chunks) {
		if err := b.fill(ctx, o, n); err != nil {
			return nil, err
		}
		shuffle(len(b.order), func(i, j int) { b.order[i], b.order[j] = b.order[j], b.order[i] })
	}
	n = min(n, len(b.order))
	rows, b.order = b.order[:n], b.order[n:]
	return rows, nil
}

// fill keeps the rows that were not returned yet, and reads chunks until there are n rows, and
// at least bufferedChunks of them.
func (b *rowBuffer) fill(ctx context.Context, o *Options, n int) error {
	s := b.samples
	features := s.levels.features
	kept := make([]int8, 0, len(b.order)*features)
	sources := make([]int32, 0, len(b.order))
	for _, row := range b.order {
		kept = append(kept, b.row(int(row))...)
		sources = append(sources, b.sources[row])
	}
	for first := b.next; b.next < len(b.chunks) && (b.next < first+bufferedChunks || len(sources) < n); b.next++ {
		c := b.chunks[b.next]
		for i := b.starts[c]; i < b.starts[c+1]; i++ {
			sources = append(sources, int32(i))
		}
	}
	b.sources = sources
	if size := len(sources) * features; cap(b.rows) < size {
		b.rows = make([]int8, size)
	} else {
		b.rows = b.rows[:size]
	}
	copied := copy(b.rows, kept) / features
	b.order = make([]int32, len(sources))
	for i := range b.order {
		b.order[i] = int32(i)
	}
	const step = 256 // rows that are transposed at a time
	return o.parallel(ctx, (len(sources)-copied+step-1)/step, func(k int) {
		from := copied + k*step
		b.transpose(from, min(from+step, len(sources)))
	})
}

// transpose sets the rows from to to−1.
func (b *rowBuffer) transpose(from, to int) {
	s := b.samples
	for f := range s.levels.features {
		at := from * s.levels.features
		for _, i := range b.sources[from:to] {
			level := int8(0)
			if s.scales[f] != 0 {
				level = s.levels.column(chunkOf(s.used[i]), f)[inChunk(s.used[i])]
			}
			b.rows[at+f] = level
			at += s.levels.features
		}
	}
}

// row returns the quantized features of a row.
func (b *rowBuffer) row(i int) []int8 {
	features := b.samples.levels.features
	return b.rows[i*features : (i+1)*features]
}
