package similarity

import (
	"context"

	"github.com/proposer/proposer/internal/simd"
)

// Each runs work(0) to work(n−1), in any order and perhaps side by side, and returns
// when all have; its error is one of theirs. Nil is a loop.
type Each func(n int, work func(i int) error) error

// share does n pieces of work on t.
func share[T any](ctx context.Context, each Each, n int, t T, work func(t T, ctx context.Context, i int) error) error {
	if each == nil {
		for i := range n {
			if err := work(t, ctx, i); err != nil {
				return err
			}
		}
		return nil
	}
	return each(n, func(i int) error { return work(t, ctx, i) })
}

// Counting has pieces of which no two share a counter: the colours are the first, the
// textures of each plane one more.
func (f *Field) pieces() int { return 1 + f.planes }

const planeBins = responses * responseBins // of the texture

// rows are a piece's counts of regions or cells: so many from the beginning of each row.
type rows struct {
	counts []uint32
	row    uint // from one to the next
}

// label is the number of a region or a cell.
type label interface{ int32 | uint16 }

const pollEvery = 1 << 16

// count adds a piece to the counts of what labels gives the pixels. Of the texture bins
// the lowest are left to complete.
func count[L label](ctx context.Context, r rows, f *Field, piece int, labels []L) error {
	if piece == 0 {
		return countColours(ctx, r, f, labels)
	}
	return countTextures(ctx, r, f, piece-1, labels)
}

func countColours[L label](ctx context.Context, r rows, f *Field, labels []L) error {
	for start := 0; start < len(labels); start += pollEvery {
		if err := ctx.Err(); err != nil {
			return err
		}
		end := min(start+pollEvery, len(labels))
		if f.planes == 1 {
			addColours1(r.counts, r.row, f.colours[start:end], labels[start:end])
		} else {
			addColours3(r.counts, r.row, f.colours[start:end], labels[start:end])
		}
	}
	return nil
}

// The loops below look an index up as a sum, and stay out of their callers: else the
// compiler runs out of registers.

//go:noinline
func addColours1[L label](counts []uint32, row uint, colours []uint16, labels []L) {
	labels = labels[:len(colours)]
	for i, c := range colours {
		counts[uint(labels[i])*row+uint(c)]++
	}
}

// addColours3 counts at two places in turn: neighbours often share a counter, and the
// second then waits for the first.
//
//go:noinline
func addColours3[L label](counts []uint32, row uint, colours []uint16, labels []L) {
	half := len(colours) / 2
	if last := 2 * half; last < len(colours) {
		add3(counts, uint(labels[last])*row, uint(colours[last]))
	}
	behind, labelsBehind := colours[half:2*half], labels[half:2*half]
	colours, labels = colours[:half], labels[:half]
	for i := range half {
		add3(counts, uint(labels[i])*row, uint(colours[i]))
		add3(counts, uint(labelsBehind[i])*row, uint(behind[i]))
	}
}

func add3(counts []uint32, at, c uint) {
	counts[at+c&binMask]++
	counts[at+(ColourBins+c>>simd.BinBits&binMask)]++
	counts[at+(2*ColourBins+c>>(2*simd.BinBits))]++
}

const binMask = 1<<simd.BinBits - 1

func countTextures[L label](ctx context.Context, r rows, f *Field, plane int, labels []L) error {
	for i := range f.bands {
		if err := ctx.Err(); err != nil {
			return err
		}
		b := &f.bands[i]
		part := 0
		for y := b.top; y < b.bottom; y++ {
			row := labels[y*f.width : (y+1)*f.width]
			for x := 0; x < len(row); x += simd.MostTextures {
				addTextures(r.counts, r.row, b.textures[plane].part(part), row[x:])
				part++
			}
		}
	}
	return nil
}

//go:noinline
func addTextures[L label](counts []uint32, row uint, list []uint32, labels []L) {
	for _, t := range list {
		t, at := uint(t), uint(labels[t>>simd.TextureBits])*row
		counts[at+t&binMask]++
		counts[at+(responseBins+t>>simd.BinBits&binMask)]++
		counts[at+(2*responseBins+t>>(2*simd.BinBits)&binMask)]++
		counts[at+(3*responseBins+t>>(3*simd.BinBits)&binMask)]++
	}
}

// complete fills the lowest bin of every orientation of a row: each pixel that is in none of the others.
func complete(row []uint32, size int32) {
	for ; len(row) > 0; row = row[TextureBins:] {
		higher := uint32(0)
		for _, c := range row[1:TextureBins] {
			higher += c
		}
		row[0] = uint32(size) - higher
	}
}
