package evaluate

import (
	"bytes"
	"context"
	"fmt"
	"image"
	"image/jpeg"
	"math"
	"slices"

	"golang.org/x/image/draw"

	"github.com/proposer/proposer/box"
	"github.com/proposer/proposer/dataset"
	"github.com/proposer/proposer/raster"
)

// SearchFunc finds the boxes of a picture, which is RGB or Gray, best first.
type SearchFunc func(ctx context.Context, img *raster.Image) ([]box.Box, error)

// mostRepeated is how many of the best boxes are compared; both numbers of a pair fit
// pairBits.
const (
	mostRepeated = 1000
	pairBits     = 10
)

// perturbations are the slight changes under which proposals should stay.
var perturbations = []struct {
	name  string
	apply func(ctx context.Context, img *raster.Image) (*raster.Image, error)
}{
	{"none", func(_ context.Context, img *raster.Image) (*raster.Image, error) { return img, nil }},
	{"JPEG 90", reencoded(90)},
	{"JPEG 50", reencoded(50)},
	{"size 0.9", resized(.9)},
	{"size 1.1", resized(1.1)},
	{"blur 1", blurred(1)},
	{"blur 2", blurred(2)},
}

// Perturbations are the names of what [Repeatability] does to a picture: nothing, JPEG of
// that quality, another size, a Gaussian of so many pixels.
func Perturbations() []string {
	var names []string
	for _, p := range perturbations {
		names = append(names, p.name)
	}
	return names
}

// Repeatability searches a picture and, slightly changed, again, and tells for each of
// [Perturbations] how well the 1000 best boxes come back: from 0 to 1, which no change
// has to give. A picture without boxes gives 0.
//
// The test is that of Hosang et al. (TPAMI 2016, §3): the boxes of the changed picture are
// projected back and matched one to one with those of the original, the pairs of the
// highest IoU first; what counts is the area under recall over IoU from 0 to 1, which is
// the mean over the original's boxes of the IoU they are matched at. They do that for ten
// sizes of boxes apart, and rotate and darken pictures, too; here all sizes are one.
//
// Errors are the search's, the context's, and that of a picture too large for JPEG.
func Repeatability(ctx context.Context, img *raster.Image, search SearchFunc) ([]float64, error) {
	original, err := search(ctx, img)
	if err != nil {
		return nil, err
	}
	original = original[:min(len(original), mostRepeated)]
	var areas []float64
	for _, p := range perturbations {
		changed, err := p.apply(ctx, img)
		if err != nil {
			return nil, fmt.Errorf("evaluate: %s: %w", p.name, err)
		}
		boxes, err := search(ctx, changed)
		if err != nil {
			return nil, err
		}
		boxes = boxes[:min(len(boxes), mostRepeated)]
		back := make([]dataset.Object, len(boxes))
		x, y := float64(img.Width)/float64(changed.Width), float64(img.Height)/float64(changed.Height)
		for i, b := range boxes {
			back[i] = dataset.Object{X0: x * float64(b.X0), Y0: y * float64(b.Y0), X1: x * float64(b.X1), Y1: y * float64(b.Y1)}
		}
		areas = append(areas, matched(original, back))
	}
	return areas, nil
}

// matched pairs boxes greedily and gives the mean IoU over the originals. Pairs whose IoUs
// differ by less than 1/unit are taken in the boxes' order.
func matched(original []box.Box, back []dataset.Object) float64 {
	var pairs []uint64 // what the IoU lacks to 1, and the two numbers
	for i := range original {
		for j := range back {
			if v := back[j].IoU(&original[i]); v > 0 {
				pairs = append(pairs, (unit-uint64(math.Round(v*unit)))<<(2*pairBits)|uint64(i)<<pairBits|uint64(j))
			}
		}
	}
	slices.Sort(pairs)
	var sum uint64
	var taken, given [1 << pairBits]bool
	for _, p := range pairs {
		i, j := p>>pairBits&(1<<pairBits-1), p&(1<<pairBits-1)
		if !taken[i] && !given[j] {
			taken[i], given[j] = true, true
			sum += unit - p>>(2*pairBits)
		}
	}
	return mean(float64(sum)/unit, len(original))
}

func reencoded(quality int) func(context.Context, *raster.Image) (*raster.Image, error) {
	return func(_ context.Context, img *raster.Image) (*raster.Image, error) {
		var src image.Image = interleaved(img)
		if img.Space == raster.Gray {
			src = &image.Gray{Pix: img.Pix, Stride: img.Width, Rect: image.Rect(0, 0, img.Width, img.Height)}
		}
		var file bytes.Buffer
		if err := jpeg.Encode(&file, src, &jpeg.Options{Quality: quality}); err != nil {
			return nil, err
		}
		decoded, err := jpeg.Decode(&file)
		if err != nil {
			return nil, err
		}
		dst := image.NewRGBA(decoded.Bounds())
		draw.Draw(dst, dst.Rect, decoded, image.Point{}, draw.Src)
		return planar(dst, img.Space), nil
	}
}

func resized(factor float64) func(context.Context, *raster.Image) (*raster.Image, error) {
	return func(_ context.Context, img *raster.Image) (*raster.Image, error) {
		side := func(n int) int { return max(1, int(math.Round(float64(n)*factor))) }
		src := interleaved(img)
		dst := image.NewRGBA(image.Rect(0, 0, side(img.Width), side(img.Height)))
		draw.CatmullRom.Scale(dst, dst.Rect, src, src.Rect, draw.Src, nil)
		return planar(dst, img.Space), nil
	}
}

func blurred(sigma float64) func(context.Context, *raster.Image) (*raster.Image, error) {
	return func(ctx context.Context, img *raster.Image) (*raster.Image, error) {
		smooth, err := raster.Smooth(ctx, nil, img, sigma)
		if err != nil {
			return nil, err
		}
		dst := raster.New(img.Space, img.Width, img.Height)
		for i, v := range smooth.Pix {
			dst.Pix[i] = uint8(min(max(math.Round(float64(v)), 0), math.MaxUint8))
		}
		return dst, nil
	}
}

// interleaved is a picture as the standard library has it.
func interleaved(img *raster.Image) *image.RGBA {
	dst := image.NewRGBA(image.Rect(0, 0, img.Width, img.Height))
	last := img.Space.Planes() - 1
	for i := range img.Width * img.Height {
		for c := range 3 {
			dst.Pix[4*i+c] = img.Plane(min(c, last))[i]
		}
		dst.Pix[4*i+3] = math.MaxUint8
	}
	return dst
}

// planar is what interleaved was made of.
func planar(src *image.RGBA, space raster.Space) *raster.Image {
	dst := raster.New(space, src.Rect.Dx(), src.Rect.Dy())
	for c := range space.Planes() {
		plane := dst.Plane(c)
		for i := range plane {
			plane[i] = src.Pix[4*i+c]
		}
	}
	return dst
}
