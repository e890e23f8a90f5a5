package similarity

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"

	"pgregory.net/rapid"

	"github.com/proposer/proposer/internal/kernels"
	"github.com/proposer/proposer/raster"
)

// together does all pieces of work at once.
func together(n int, work func(i int) error) error {
	var group sync.WaitGroup
	failed := make([]error, n)
	for i := range n {
		group.Go(func() { failed[i] = work(i) })
	}
	group.Wait()
	return errors.Join(failed...)
}

// literalCounts are the counts of all regions, pixel by pixel.
func literalCounts(img *raster.Image, labels []int32, sizes []int32) (colour, texture []uint32) {
	const scale = float32(TextureBins / TextureRange)
	const diagonal = float32(TextureBins / TextureRange * math.Sqrt2 / 2)
	planes := img.Space.Planes()
	colourRow, textureRow := rowBins(planes, ColorBins), planes*planeBins
	colour, texture = make([]uint32, len(sizes)*colourRow), make([]uint32, len(sizes)*textureRow)
	for p := range planes {
		pix := img.Plane(p)
		err := raster.Gradients(context.Background(), img, p, textureSigma, func(y int, gx, gy []float32) {
			for x, u := range gx {
				i, v := y*img.Width+x, gy[x]
				label := int(labels[i])
				colour[label*colourRow+p*ColorBins+int(pix[i])*ColorBins/256]++
				for k, response := range [responses]float32{u * scale, (u + v) * diagonal, v * scale, (v - u) * diagonal} {
					bins := texture[label*textureRow+p*planeBins+k*responseBins:][:responseBins]
					positive, negative := int(max(0, response)), int(max(0, -response))
					bins[min(positive, TextureBins-1)]++
					bins[TextureBins+min(negative, TextureBins-1)]++
				}
			}
		})
		if err != nil {
			panic(err)
		}
	}
	return colour, texture
}

func checkCounts(t interface {
	Helper()
	Fatal(...any)
}, img *raster.Image, labels, sizes []int32, r *Regions,
) {
	t.Helper()
	colour, texture := literalCounts(img, labels, sizes)
	if !slices.Equal(r.colour.counts, colour) {
		t.Fatal("colours are miscounted")
	}
	if !slices.Equal(r.texture.counts, texture) {
		t.Fatal("textures are miscounted")
	}
}

// TestCounts holds counts to literal ones: in flat pictures and such where nearly every
// sample is listed, of one pixel on, with one plane and three.
func TestCounts(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rng := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 0))
		w, h := rapid.IntRange(1, 70).Draw(t, "width"), rapid.IntRange(1, 2*bandRows+3).Draw(t, "height")
		img := raster.New(rapid.SampledFrom(raster.Spaces()).Draw(t, "space"), w, h)
		spread := rapid.IntRange(1, 256).Draw(t, "spread")
		for i := range img.Pix {
			img.Pix[i] = uint8(rng.IntN(spread))
		}
		labels, sizes, boxes := partition(rng, w, h, rapid.IntRange(1, 9).Draw(t, "regions"))
		checkCounts(t, img, labels, sizes, describe(t, img, labels, sizes, boxes))
	})
}

// Rows of more pixels than are listed at a time.
func TestCountsOfLongRows(t *testing.T) {
	rng := rand.New(rand.NewPCG(7, 8))
	for _, width := range []int{kernels.MaxGradients - 1, kernels.MaxGradients, kernels.MaxGradients + 1, 2*kernels.MaxGradients + 3} {
		img := noise(rng, raster.Lab, width, 3)
		labels, sizes, boxes := partition(rng, width, 3, 5)
		checkCounts(t, img, labels, sizes, describe(t, img, labels, sizes, boxes))
	}
}

// blocks are regions of n labels that are wider than high, or the other way round.
func blocks(rng *rand.Rand, width, height, n int) []int32 {
	w, h := 1+rng.IntN(width), 1+rng.IntN(height)
	numbers := make([]int32, (width/w+1)*(height/h+1))
	for i := range numbers {
		numbers[i] = rng.Int32N(int32(n))
	}
	labels := make([]int32, width*height)
	for i := range labels {
		labels[i] = numbers[i/width/h*(width/w+1)+i%width/w]
	}
	return labels
}

// TestShared: what is counted cell by cell, and by several at a time, is what is counted
// for each segmentation alone, in pictures of any shape.
func TestShared(t *testing.T) {
	s := newShared()
	rapid.Check(t, func(t *rapid.T) {
		rng := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 0))
		w := rapid.SampledFrom([]int{1, 2, 63, 64, 65, 100, 255, 256, 257, 700}).Draw(t, "width")
		h := rapid.IntRange(1, 3000/w).Draw(t, "height")
		s.check(t, rng, w, h, rapid.IntRange(2, 3).Draw(t, "segmentations"))
	})
}

// Rows of more pixels than are looked at between two looks at the context.
func TestSharedLongRows(t *testing.T) {
	rng := rand.New(rand.NewPCG(9, 10))
	for _, height := range []int{1, 3} {
		newShared().check(t, rng, pollEvery+3, height, 2)
	}
}

// shared is what is used again.
type shared struct {
	field BinnedImage
	cells Cells
	dst   []*Regions
}

func newShared() *shared { return &shared{dst: []*Regions{new(Regions), new(Regions), new(Regions)}} }

func (s *shared) check(t interface {
	Helper()
	Fatal(...any)
}, rng *rand.Rand, w, h, n int,
) {
	t.Helper()
	img := noise(rng, []raster.Space{raster.Lab, raster.Gray}[rng.IntN(2)], w, h)
	if _, err := NewBinnedImage(context.Background(), &s.field, img, together); err != nil {
		t.Fatal(err)
	}
	segmentations := make([]Segmentation, n)
	for i := range segmentations {
		labels, sizes, boxes := measure(blocks(rng, w, h, 4), w, 4)
		segmentations[i] = Segmentation{labels, sizes, boxes}
	}
	if err := DescribeAll(context.Background(), s.dst[:n], &s.cells, &s.field, segmentations, together); err != nil {
		t.Fatal(err)
	}
	for i, alone := range segmentations {
		checkCounts(t, img, alone.Labels, alone.Sizes, s.dst[i])
		want := describe(t, img, alone.Labels, alone.Sizes, alone.Boxes)
		if !slices.Equal(s.dst[i].colour.normal, want.colour.normal) || !slices.Equal(s.dst[i].texture.normal, want.texture.normal) {
			t.Fatal("not normalised")
		}
	}
}

func TestSharedErrors(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	img := raster.New(raster.RGB, 300, 300)
	f, err := NewBinnedImage(t.Context(), nil, img, together)
	if err != nil {
		t.Fatal(err)
	}
	labels, sizes, boxes := partition(rand.New(rand.NewPCG(1, 1)), 300, 300, 2)
	s := Segmentation{labels, sizes, boxes}
	for name, call := range map[string]func() error{
		"DescribeAll": func() error {
			return DescribeAll(ctx, []*Regions{new(Regions), new(Regions)}, new(Cells), f, []Segmentation{s, s}, together)
		},
		"Describe": func() error { _, err := Describe(ctx, nil, f, labels, sizes, boxes, together); return err },
		"NewField": func() error { _, err := NewBinnedImage(ctx, nil, img, together); return err },
	} {
		if err := call(); !errors.Is(err, context.Canceled) {
			t.Error(fmt.Errorf("%s: %w, want context.Canceled", name, err))
		}
	}
}
