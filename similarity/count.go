package similarity

import (
	"context"

	"github.com/proposer/proposer/internal/kernels"
)

// The pixels of a labeled image are counted by independent tasks, no two of which write to
// the same counter: task 0 counts the colors, task 1+p the textures of plane p.

// countTasks returns the number of counting tasks.
func (b *BinnedImage) countTasks() int { return 1 + b.planes }

const planeBins = responses * responseBins // of the texture of a plane

// countTable is the part of a table of histograms that one task writes: its bins begin at
// counts[label*stride].
type countTable struct {
	counts []uint32
	stride int
}

const pollEvery = 1 << 16

// count runs a counting task over the labels of all pixels. It leaves out the lowest
// texture bins, which fillLowestBins computes from the others.
func (b *BinnedImage) count(ctx context.Context, t countTable, task int, labels []int32) error {
	if task == 0 {
		return b.countColors(ctx, t, labels)
	}
	return b.countTextures(ctx, t, task-1, labels)
}

func (b *BinnedImage) countColors(ctx context.Context, t countTable, labels []int32) error {
	for start := 0; start < len(labels); start += pollEvery {
		if err := ctx.Err(); err != nil {
			return err
		}
		end := min(start+pollEvery, len(labels))
		colors, labels := b.colors[start:end], labels[start:end]
		if b.planes == 3 {
			kernels.CountQuantized3(t.counts, t.stride, colors, labels)
			continue
		}
		for i, c := range colors {
			t.counts[int(labels[i])*t.stride+int(c)]++
		}
	}
	return nil
}

func (b *BinnedImage) countTextures(ctx context.Context, t countTable, plane int, labels []int32) error {
	for i := range b.bands {
		if err := ctx.Err(); err != nil {
			return err
		}
		band := &b.bands[i]
		chunk := 0
		for y := band.top; y < band.bottom; y++ {
			row := labels[y*b.width : (y+1)*b.width]
			for x := 0; x < len(row); x += kernels.MaxGradients {
				kernels.CountGradients(t.counts, t.stride, band.textures[plane].chunk(chunk), row[x:])
				chunk++
			}
		}
	}
	return nil
}

// fillLowestBins sets the lowest bin of every orientation to the number of the region's
// pixels that are in none of the others.
func fillLowestBins(row []uint32, size int32) {
	for ; len(row) > 0; row = row[TextureBins:] {
		higher := uint32(0)
		for _, c := range row[1:TextureBins] {
			higher += c
		}
		row[0] = uint32(size) - higher
	}
}
