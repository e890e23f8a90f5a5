package felzenszwalb

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/proposer/proposer/internal/testutil/photos"
)

// fromSamples returns an image of samples in the order of rows, columns and channels.
func fromSamples(width, height, channels int, samples []float64) *Image {
	return &Image{width, height, channels, func(dst []float64, channel, y int) {
		for x := range dst {
			dst[x] = samples[(y*width+x)*channels+channel]
		}
	}}
}

func TestEqualsReference(t *testing.T) {
	var s Segmenter
	rapid.Check(t, func(t *rapid.T) {
		width, height := rapid.IntRange(1, 150).Draw(t, "width"), rapid.IntRange(1, 150).Draw(t, "height")
		channels := rapid.SampledFrom([]int{1, 2, 3, 4, 9}).Draw(t, "channels")
		levels := rapid.SampledFrom([]float64{1, 2, 8, 256, 1e9}).Draw(t, "levels")
		unit := rapid.SampledFrom([]float64{1. / 255, 1, 1e-200, 1e200, 1e-40}).Draw(t, "unit")
		block := rapid.IntRange(1, 40).Draw(t, "block")
		broken := rapid.SampledFrom([]float64{0, math.NaN(), math.Inf(1), -1e308}).Draw(t, "broken")
		r := rand.New(rand.NewPCG(1, rapid.Uint64().Draw(t, "seed")))
		samples := make([]float64, width*height*channels)
		for i := range samples {
			samples[i] = math.Floor(r.Float64()*levels) * unit
			x, y := i/channels%width, i/channels/width
			if x%block != 0 && r.IntN(50) > 0 {
				samples[i] = samples[i-channels]
			} else if y%block != 0 && r.IntN(50) > 0 {
				samples[i] = samples[i-channels*width]
			}
		}
		if broken != 0 {
			samples[r.IntN(len(samples))] = broken
		}
		opts := Options{
			Scale:   rapid.SampledFrom([]float64{0, 1, 30, 300, 1e5, -1, math.NaN(), math.Inf(1)}).Draw(t, "scale"),
			Sigma:   rapid.SampledFrom([]float64{0, 0.05, 0.5, 0.8, 2, 30}).Draw(t, "sigma"),
			MinSize: rapid.SampledFrom([]int{-1, 0, 1, 2, 20, 500, math.MaxInt}).Draw(t, "min size"),
			Four:    rapid.Bool().Draw(t, "four"),
			Mirror:  rapid.Bool().Draw(t, "mirror"),
			Threads: rapid.IntRange(0, 4).Draw(t, "threads"),
		}
		img := fromSamples(width, height, channels, samples)
		labels := make([]int32, width*height)
		n, err := s.Segment(context.Background(), labels, img, opts)
		if err != nil {
			t.Fatal(err)
		}
		want := reference(img, opts)
		if !slices.Equal(labels, want) {
			t.Fatalf("labels differ from the reference: %d regions, want %d", n, slices.Max(want)+1)
		}
		if n != int(slices.Max(want))+1 {
			t.Fatalf("%d regions, want %d", n, slices.Max(want)+1)
		}
	})
}

func TestSegmentStopsWhenCanceled(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	var s Segmenter
	img := fromSamples(100, 100, 1, make([]float64, 10000))
	if _, err := s.Segment(ctx, make([]int32, 10000), img, Options{}); !errors.Is(err, context.Canceled) {
		t.Fatalf("error %v, want %v", err, context.Canceled)
	}
}

func TestSegmentPanics(t *testing.T) {
	flat := func(width, height, channels int) *Image {
		return &Image{width, height, channels, func(dst []float64, _, _ int) { clear(dst) }}
	}
	for name, c := range map[string]struct {
		labels int
		img    *Image
		opts   Options
	}{
		"labels":     {labels: 11, img: flat(4, 3, 1)},
		"no pixels":  {img: flat(0, 3, 1)},
		"channels":   {labels: 12, img: flat(4, 3, 0)},
		"too large":  {img: flat(1<<20, 1<<20, 1)},
		"sigma":      {labels: 12, img: flat(4, 3, 1), opts: Options{Sigma: -1}},
		"sigma, NaN": {labels: 12, img: flat(4, 3, 1), opts: Options{Sigma: math.NaN()}},
	} {
		t.Run(name, func(t *testing.T) {
			defer func() {
				if recover() == nil {
					t.Error("no panic")
				}
			}()
			var s Segmenter
			s.Segment(t.Context(), make([]int32, c.labels), c.img, c.opts)
		})
	}
}

func BenchmarkSegment(b *testing.B) {
	src := photos.Read(b, photos.Paths(b)[0])
	img := &Image{src.Width, src.Height, src.Space.Planes(), func(dst []float64, channel, y int) {
		for x, v := range src.Plane(channel)[y*src.Width:][:src.Width] {
			dst[x] = float64(v) / 255
		}
	}}
	labels := make([]int32, src.Width*src.Height)
	for _, threads := range []int{1, 2} {
		b.Run(fmt.Sprintf("threads=%d", threads), func(b *testing.B) {
			var s Segmenter
			opts := Options{Scale: 300, Sigma: 0.8, MinSize: 20, Threads: threads}
			for b.Loop() {
				if _, err := s.Segment(b.Context(), labels, img, opts); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
