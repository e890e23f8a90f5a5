package similarity

import (
	"context"

	"github.com/proposer/proposer/internal/kernels"
	"github.com/proposer/proposer/internal/parallel"
)

// share runs n pieces of work on t. Without a runner it allocates no closure.
func share[T any](ctx context.Context, run parallel.Runner, n int, t T, work func(t T, ctx context.Context, i int) error) error {
	if run == nil {
		for i := range n {
			if err := work(t, ctx, i); err != nil {
				return err
			}
		}
		return nil
	}
	return run(n, func(i int) error { return work(t, ctx, i) })
}

// Counting has pieces of which no two share a counter: the colours are the first, the
// textures of each plane one more.
func (f *BinnedImage) pieces() int { return 1 + f.planes }

const planeBins = responses * responseBins // of the texture

// rows are a piece's counts of regions or cells: so many from the beginning of each row.
type rows struct {
	counts []uint32
	row    int // from one to the next
}

const pollEvery = 1 << 16

// count adds a piece to the counts of the regions or cells of the pixels. Of the texture
// bins the lowest are left to complete.
func (f *BinnedImage) count(ctx context.Context, r rows, piece int, labels []int32) error {
	if piece == 0 {
		return f.countColours(ctx, r, labels)
	}
	return f.countTextures(ctx, r, piece-1, labels)
}

func (f *BinnedImage) countColours(ctx context.Context, r rows, labels []int32) error {
	for start := 0; start < len(labels); start += pollEvery {
		if err := ctx.Err(); err != nil {
			return err
		}
		end := min(start+pollEvery, len(labels))
		colours, labels := f.colours[start:end], labels[start:end]
		if f.planes == 3 {
			kernels.CountQuantized3(r.counts, r.row, colours, labels)
			continue
		}
		for i, c := range colours {
			r.counts[int(labels[i])*r.row+int(c)]++
		}
	}
	return nil
}

func (f *BinnedImage) countTextures(ctx context.Context, r rows, plane int, labels []int32) error {
	for i := range f.bands {
		if err := ctx.Err(); err != nil {
			return err
		}
		b := &f.bands[i]
		part := 0
		for y := b.top; y < b.bottom; y++ {
			row := labels[y*f.width : (y+1)*f.width]
			for x := 0; x < len(row); x += kernels.MaxGradients {
				kernels.CountGradients(r.counts, r.row, b.textures[plane].part(part), row[x:])
				part++
			}
		}
	}
	return nil
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
