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
	"github.com/proposer/proposer/internal/parallel"
	"github.com/proposer/proposer/internal/testutil/photos"
	"github.com/proposer/proposer/raster"
)

// partition returns a label image that assigns each pixel one of n regions at random.
func partition(rng *rand.Rand, width, height, n int) *raster.LabelImage {
	pix := make([]int32, width*height)
	for i := range pix {
		pix[i] = int32(rng.IntN(n))
	}
	return raster.NewLabelImage(width, pix)
}

// blocks returns a label image of rectangles of one size with one of n labels each.
func blocks(rng *rand.Rand, width, height, n int) *raster.LabelImage {
	w, h := 1+rng.IntN(width), 1+rng.IntN(height)
	numbers := make([]int32, (width/w+1)*(height/h+1))
	for i := range numbers {
		numbers[i] = rng.Int32N(int32(n))
	}
	pix := make([]int32, width*height)
	for i := range pix {
		pix[i] = numbers[i/width/h*(width/w+1)+i%width/w]
	}
	return raster.NewLabelImage(width, pix)
}

func noise(rng *rand.Rand, space raster.Space, width, height int) *raster.Image {
	img := raster.New(space, width, height)
	base, spread := rng.IntN(200), 1+rng.IntN(255)
	for i := range img.Pix {
		img.Pix[i] = uint8(min(255, base+rng.IntN(spread)))
	}
	return img
}

// concurrent runs every task on a goroutine of its own.
func concurrent(n int, f func(i int) error) error {
	var group sync.WaitGroup
	errs := make([]error, n)
	for i := range n {
		group.Go(func() { errs[i] = f(i) })
	}
	group.Wait()
	return errors.Join(errs...)
}

func bin(t rapid.TB, img *raster.Image) *BinnedImage {
	t.Helper()
	b := new(BinnedImage)
	if err := b.Build(context.Background(), img, nil); err != nil {
		t.Fatal(err)
	}
	return b
}

func describe(t rapid.TB, b *BinnedImage, l *raster.LabelImage) *Regions {
	t.Helper()
	r := new(Regions)
	if err := b.Describe(context.Background(), []*Regions{r}, []*raster.LabelImage{l}, nil); err != nil {
		t.Fatal(err)
	}
	return r
}

// referenceDescriptor computes the descriptors of one region directly from the definition.
func referenceDescriptor(img *raster.Image, l *raster.LabelImage, region int32) (color, texture []float64) {
	planes := img.Space.Planes()
	color = make([]float64, planes*ColorBins)
	texture = make([]float64, planes*Orientations*TextureBins)
	size := float64(l.Sizes[region])
	for p := range planes {
		pix := img.Plane(p)
		gradients(img, p, func(y int, gx, gy []float32) {
			for x := range gx {
				i := y*img.Width + x
				if l.Pix[i] != region {
					continue
				}
				color[p*ColorBins+int(pix[i])*25/256] += 1 / size
				for o := range Orientations {
					// The positive half of the derivative along o·45°.
					u, v := direction(o)
					d := max(0, u*float64(gx[x])+v*float64(gy[x]))
					bin := min(TextureBins-1, int(d/TextureRange*TextureBins))
					// Opposite orientations are adjacent.
					at := (p*Orientations + o%4*2 + o/4) * TextureBins
					texture[at+bin] += 1 / size
				}
			}
		})
	}
	return color, texture
}

// gradients calls f with the derivatives of each row of a plane.
func gradients(img *raster.Image, plane int, f func(y int, gx, gy []float32)) {
	var d raster.Differentiator
	d.Reset(img, textureSigma)
	gx, gy := make([]float32, img.Width), make([]float32, img.Width)
	for y := range img.Height {
		d.Row(gx, gy, plane, y)
		f(y, gx, gy)
	}
}

func direction(o int) (u, v float64) {
	s := math.Sqrt2 / 2
	return [...]float64{1, s, 0, -s, -1, -s, 0, s}[o], [...]float64{0, s, 1, s, 0, -s, -1, -s}[o]
}

// referenceCounts counts the bins of all regions pixel by pixel, with the same roundings as
// the kernels.
func referenceCounts(img *raster.Image, l *raster.LabelImage) (color, texture []uint32) {
	const scale = float32(TextureBins / TextureRange)
	const diagonal = float32(TextureBins / TextureRange * math.Sqrt2 / 2)
	planes := img.Space.Planes()
	colorRow, textureRow := rowBins(planes, ColorBins), planes*planeBins
	color, texture = make([]uint32, l.Regions()*colorRow), make([]uint32, l.Regions()*textureRow)
	for p := range planes {
		pix := img.Plane(p)
		gradients(img, p, func(y int, gx, gy []float32) {
			for x, u := range gx {
				i, v := y*img.Width+x, gy[x]
				label := int(l.Pix[i])
				color[label*colorRow+p*ColorBins+int(pix[i])*ColorBins/256]++
				for k, response := range [responses]float32{u * scale, (u + v) * diagonal, v * scale, (v - u) * diagonal} {
					bins := texture[label*textureRow+p*planeBins+k*responseBins:][:responseBins]
					positive, negative := int(max(0, response)), int(max(0, -response))
					bins[min(positive, TextureBins-1)]++
					bins[TextureBins+min(negative, TextureBins-1)]++
				}
			}
		})
	}
	return color, texture
}

func checkCounts(t rapid.TB, img *raster.Image, l *raster.LabelImage, r *Regions) {
	t.Helper()
	color, texture := referenceCounts(img, l)
	if !slices.Equal(r.color.counts, color) {
		t.Fatal("color counts differ from the reference")
	}
	if !slices.Equal(r.texture.counts, texture) {
		t.Fatal("texture counts differ from the reference")
	}
}

func TestDescribeMatchesDefinition(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	for i, img := range photos.Crops(t, 8, 48, 40) {
		space := raster.Spaces()[i%len(raster.Spaces())]
		t.Run(fmt.Sprintf("%d %v", i, space), func(t *testing.T) {
			img, err := raster.Convert(t.Context(), nil, img, space)
			if err != nil {
				t.Fatal(err)
			}
			l := partition(rng, img.Width, img.Height, 5)
			r := describe(t, bin(t, img), l)
			for region := range int32(5) {
				color, texture := referenceDescriptor(img, l, region)
				compareBins(t, fmt.Sprintf("color of region %d", region), r.color.normalRow(region)[:len(color)], color, 1e-9)
				// A response on the border of two bins may fall into either, as it is computed in float32.
				compareBins(t, fmt.Sprintf("texture of region %d", region), r.texture.normalRow(region), texture, 1.01/float64(l.Sizes[region]))
			}
		})
	}
}

func compareBins(t *testing.T, name string, got []uint16, want []float64, tolerance float64) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%s: got %d bins, want %d", name, len(got), len(want))
	}
	for i := range got {
		if d := math.Abs(float64(got[i])/one - want[i]); d > tolerance+0.5001/one {
			t.Errorf("%s: bin %d: got %v, want %v", name, i, float64(got[i])/one, want[i])
		}
	}
}

// The images range from flat ones to those in which nearly every sample is listed, from one
// pixel up, with one plane and three.
func TestCountsMatchReference(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rng := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 0))
		w, h := rapid.IntRange(1, 70).Draw(t, "width"), rapid.IntRange(1, 2*bandRows+3).Draw(t, "height")
		img := raster.New(rapid.SampledFrom(raster.Spaces()).Draw(t, "space"), w, h)
		spread := rapid.IntRange(1, 256).Draw(t, "spread")
		for i := range img.Pix {
			img.Pix[i] = uint8(rng.IntN(spread))
		}
		l := partition(rng, w, h, rapid.IntRange(1, 9).Draw(t, "regions"))
		checkCounts(t, img, l, describe(t, bin(t, img), l))
	})
}

// Rows are longer than a chunk of a texture list.
func TestCountsMatchReferenceInLongRows(t *testing.T) {
	rng := rand.New(rand.NewPCG(7, 8))
	for _, width := range []int{kernels.MaxGradients - 1, kernels.MaxGradients, kernels.MaxGradients + 1, 2*kernels.MaxGradients + 3} {
		t.Run(fmt.Sprint(width), func(t *testing.T) {
			img := noise(rng, raster.Lab, width, 3)
			l := partition(rng, width, 3, 5)
			checkCounts(t, img, l, describe(t, bin(t, img), l))
		})
	}
}

// describer checks calls of Describe with several label images and reuses its memory.
type describer struct {
	img BinnedImage
	dst []*Regions
}

func newDescriber() *describer {
	return &describer{dst: []*Regions{new(Regions), new(Regions), new(Regions)}}
}

// check compares the descriptors of label images that were described in one call with the
// reference and with those described in a call of their own.
func (d *describer) check(t rapid.TB, img *raster.Image, labels []*raster.LabelImage, run parallel.Runner) {
	t.Helper()
	if err := d.img.Build(context.Background(), img, run); err != nil {
		t.Fatal(err)
	}
	dst := d.dst[:len(labels)]
	if err := d.img.Describe(context.Background(), dst, labels, run); err != nil {
		t.Fatal(err)
	}
	alone := bin(t, img)
	for i, l := range labels {
		checkCounts(t, img, l, dst[i])
		want := describe(t, alone, l)
		if !slices.Equal(dst[i].color.normal, want.color.normal) || !slices.Equal(dst[i].texture.normal, want.texture.normal) {
			t.Fatalf("label image %d of %d: descriptors differ from those of a call of its own", i, len(labels))
		}
	}
}

func TestDescribeSeveral(t *testing.T) {
	d := newDescriber()
	rng := rand.New(rand.NewPCG(5, 6))
	for i, test := range []struct {
		name    string
		regions []int
	}{
		{"few cells", []int{7, 3, 2}},
		{"one cell", []int{1, 1, 1}},
		{"too many cells", []int{40, 30, 35}},
		{"too many regions", []int{900, 1000, 1100}},
		{"one label image", []int{12}},
	} {
		t.Run(test.name, func(t *testing.T) {
			img := noise(rng, []raster.Space{raster.Lab, raster.Gray}[i%2], 160, 96)
			var labels []*raster.LabelImage
			for _, n := range test.regions {
				labels = append(labels, partition(rng, 160, 96, n))
			}
			d.check(t, img, labels, nil)
		})
	}
	t.Run("halves", func(t *testing.T) {
		halves := make([]int32, 160*96)
		for i := range halves {
			halves[i] = int32(i / 160 / 48)
		}
		labels := []*raster.LabelImage{partition(rng, 160, 96, 60), raster.NewLabelImage(160, halves)}
		d.check(t, noise(rng, raster.Gray, 160, 96), labels, nil)
	})
}

func TestDescribeSeveralConcurrently(t *testing.T) {
	d := newDescriber()
	rapid.Check(t, func(t *rapid.T) {
		rng := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 0))
		w := rapid.SampledFrom([]int{1, 2, 63, 64, 65, 100, 255, 256, 257, 700}).Draw(t, "width")
		h := rapid.IntRange(1, 3000/w).Draw(t, "height")
		d.checkBlocks(t, rng, w, h, rapid.IntRange(2, 3).Draw(t, "label images"))
	})
}

// Rows are longer than the number of pixels between two checks of the context.
func TestDescribeSeveralInLongRows(t *testing.T) {
	rng := rand.New(rand.NewPCG(9, 10))
	for _, height := range []int{1, 3} {
		newDescriber().checkBlocks(t, rng, pollEvery+3, height, 2)
	}
}

func (d *describer) checkBlocks(t rapid.TB, rng *rand.Rand, w, h, n int) {
	t.Helper()
	img := noise(rng, []raster.Space{raster.Lab, raster.Gray}[rng.IntN(2)], w, h)
	labels := make([]*raster.LabelImage, n)
	for i := range labels {
		labels[i] = blocks(rng, w, h, 4)
	}
	d.check(t, img, labels, concurrent)
}

func TestCancel(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	img := raster.New(raster.RGB, 300, 300)
	b := bin(t, img)
	l := partition(rand.New(rand.NewPCG(1, 1)), 300, 300, 2)
	for name, run := range map[string]parallel.Runner{"sequential": nil, "concurrent": concurrent} {
		for call, f := range map[string]func() error{
			"Build": func() error { return new(BinnedImage).Build(ctx, img, run) },
			"Describe": func() error {
				return b.Describe(ctx, []*Regions{new(Regions)}, []*raster.LabelImage{l}, run)
			},
			"Describe several": func() error {
				return b.Describe(ctx, []*Regions{new(Regions), new(Regions)}, []*raster.LabelImage{l, l}, run)
			},
		} {
			t.Run(call+" "+name, func(t *testing.T) {
				if err := f(); !errors.Is(err, context.Canceled) {
					t.Errorf("got error %v, want context.Canceled", err)
				}
			})
		}
	}
}
