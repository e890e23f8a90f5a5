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

// SearchFunc proposes boxes for an image, which is RGB or Gray, best first.
type SearchFunc func(ctx context.Context, img *raster.Image) ([]box.Box, error)

const (
	// maxCompared is the number of best boxes that are compared.
	maxCompared = 1000
	// indexBits is the number of bits of a box's index.
	indexBits = 10
)

// perturbations are slight changes of an image that should not change its proposals.
var perturbations = []struct {
	name  string
	apply func(ctx context.Context, img *raster.Image) (*raster.Image, error)
}{
	{"none", func(_ context.Context, img *raster.Image) (*raster.Image, error) { return img, nil }},
	{"JPEG 90", recompress(90)},
	{"JPEG 50", recompress(50)},
	{"size 0.9", resize(.9)},
	{"size 1.1", resize(1.1)},
	{"blur 1", blur(1)},
	{"blur 2", blur(2)},
}

// Perturbations returns the names of the changes that [Repeatability] applies: none, JPEG
// compression of some quality, scaling by a factor, and Gaussian blur of some pixels.
func Perturbations() []string {
	var names []string
	for _, p := range perturbations {
		names = append(names, p.name)
	}
	return names
}

// Repeatability searches an image and slightly changed versions of it. For each of [Perturbations]
// it returns how well the 1000 best boxes of the original are found again, from 0 to 1. A
// deterministic search scores 1 for no change. An image without boxes scores 0.
//
// The measure is that of Hosang et al. (TPAMI 2016, §3): boxes of the changed image are projected
// back and matched one to one with those of the original, pairs of the highest IoU first. The score
// is the area under recall over IoU from 0 to 1, which equals the mean over the original's boxes of
// the IoU of their match. Unlike the paper, Repeatability does not treat ten sizes of boxes
// separately, and does not rotate or darken images.
//
// Errors are those of search, of the context, and of an image that is too large for JPEG.
func Repeatability(ctx context.Context, img *raster.Image, search SearchFunc) ([]float64, error) {
	original, err := search(ctx, img)
	if err != nil {
		return nil, err
	}
	original = original[:min(len(original), maxCompared)]

	var scores []float64
	for _, p := range perturbations {
		changed, err := p.apply(ctx, img)
		if err != nil {
			return nil, fmt.Errorf("evaluate: %s: %w", p.name, err)
		}
		boxes, err := search(ctx, changed)
		if err != nil {
			return nil, err
		}
		boxes = boxes[:min(len(boxes), maxCompared)]
		back := make([]dataset.Object, len(boxes))
		x, y := float64(img.Width)/float64(changed.Width), float64(img.Height)/float64(changed.Height)
		for i, b := range boxes {
			back[i] = dataset.Object{X0: x * float64(b.X0), Y0: y * float64(b.Y0), X1: x * float64(b.X1), Y1: y * float64(b.Y1)}
		}
		scores = append(scores, meanMatchedIoU(original, back))
	}
	return scores, nil
}

// meanMatchedIoU matches boxes greedily and returns the mean IoU over the originals. Pairs whose
// IoUs are equal in fixed point are matched in the order of the boxes.
func meanMatchedIoU(original []box.Box, back []dataset.Object) float64 {
	var pairs []uint64 // 1−IoU in fixed point, then the indices of the two boxes
	for i := range original {
		for j := range back {
			if v := back[j].IoU(&original[i]); v > 0 {
				pairs = append(pairs, (unit-uint64(math.Round(v*unit)))<<(2*indexBits)|uint64(i)<<indexBits|uint64(j))
			}
		}
	}
	slices.Sort(pairs)
	var sum uint64
	var originalMatched, backMatched [1 << indexBits]bool
	for _, p := range pairs {
		i, j := p>>indexBits&(1<<indexBits-1), p&(1<<indexBits-1)
		if !originalMatched[i] && !backMatched[j] {
			originalMatched[i] = true
			backMatched[j] = true
			sum += unit - p>>(2*indexBits)
		}
	}
	return mean(float64(sum)/unit, len(original))
}

func recompress(quality int) func(context.Context, *raster.Image) (*raster.Image, error) {
	return func(_ context.Context, img *raster.Image) (*raster.Image, error) {
		var file bytes.Buffer
		if err := jpeg.Encode(&file, img.ToImage(), &jpeg.Options{Quality: quality}); err != nil {
			return nil, err
		}
		decoded, err := jpeg.Decode(&file)
		if err != nil {
			return nil, err
		}
		return raster.FromImage(decoded), nil
	}
}

func resize(factor float64) func(context.Context, *raster.Image) (*raster.Image, error) {
	return func(_ context.Context, img *raster.Image) (*raster.Image, error) {
		side := func(n int) int { return max(1, int(math.Round(float64(n)*factor))) }
		src := toRGBA(img.ToImage())
		dst := image.NewRGBA(image.Rect(0, 0, side(img.Width), side(img.Height)))
		draw.CatmullRom.Scale(dst, dst.Rect, src, src.Rect, draw.Src, nil)
		return planes(dst, img.Space), nil
	}
}

func blur(sigma float64) func(context.Context, *raster.Image) (*raster.Image, error) {
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

func toRGBA(src image.Image) *image.RGBA {
	dst := image.NewRGBA(src.Bounds())
	draw.Draw(dst, dst.Rect, src, image.Point{}, draw.Src)
	return dst
}

// planes returns the first planes of an image. It ignores alpha, which scaling may have rounded.
func planes(src *image.RGBA, space raster.Space) *raster.Image {
	dst := raster.New(space, src.Rect.Dx(), src.Rect.Dy())
	for c := range space.Planes() {
		plane := dst.Plane(c)
		for i := range plane {
			plane[i] = src.Pix[4*i+c]
		}
	}
	return dst
}
