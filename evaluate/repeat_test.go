package evaluate

import (
	"context"
	"errors"
	"io"
	"math"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/proposer/proposer/box"
	"github.com/proposer/proposer/dataset"
	"github.com/proposer/proposer/internal/testutil/scene"
	"github.com/proposer/proposer/raster"
	"github.com/proposer/proposer/selective"
)

// search is a small deterministic search.
func search(ctx context.Context, img *raster.Image) ([]box.Box, error) {
	opts, err := selective.Mode("single")
	if err != nil {
		return nil, err
	}
	opts.Order = selective.OrderHierarchy
	r, err := selective.Search(ctx, img, opts)
	if err != nil {
		return nil, err
	}
	var boxes []box.Box
	for _, p := range r.Proposals {
		boxes = append(boxes, p.Box)
	}
	return boxes, nil
}

// gray returns a grayscale version of an image.
func gray(t testing.TB, img *raster.Image) *raster.Image {
	t.Helper()
	g, err := raster.Convert(t.Context(), nil, img, raster.Gray)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

func TestRepeatability(t *testing.T) {
	img := scene.Render(4, 160, 120, 6).Image
	for name, img := range map[string]*raster.Image{"RGB": img, "gray": gray(t, img)} {
		got, err := Repeatability(t.Context(), img, search)
		if err != nil || len(got) != len(Perturbations()) || got[0] != 1 {
			t.Fatalf("%s: %v, %v", name, got, err)
		}
		for i, v := range got[1:] {
			if !(v > .2 && v < 1) {
				t.Errorf("%s, %s: %v", name, Perturbations()[i+1], v)
			}
		}
		again, err := Repeatability(t.Context(), img, search)
		if err != nil || !slices.Equal(got, again) {
			t.Errorf("%s: %v, then %v, %v", name, got, again, err)
		}
	}
}

// TestRepeatabilityProjectsBoxes uses a search that always returns the whole image and its right
// half, which is repeatable at any size.
func TestRepeatabilityProjectsBoxes(t *testing.T) {
	for _, side := range []struct{ w, h int }{{100, 60}, {1, 1}, {7, 300}} {
		got, err := Repeatability(t.Context(), raster.New(raster.RGB, side.w, side.h), func(_ context.Context, img *raster.Image) ([]box.Box, error) {
			w, h := int32(img.Width), int32(img.Height)
			return []box.Box{{X1: w, Y1: h}, {X0: w / 2, X1: w, Y1: h}}, nil
		})
		for i, v := range got {
			if err != nil || math.Abs(v-1) > .1 || i < 3 && v != 1 {
				t.Errorf("%+v, %s: %v, %v", side, Perturbations()[i], v, err)
			}
		}
	}
}

func TestPerturbationsPreserveImage(t *testing.T) {
	img := scene.Render(2, 90, 70, 4).Image
	for name, img := range map[string]*raster.Image{"RGB": img, "gray": gray(t, img)} {
		before := slices.Clone(img.Pix)
		for _, p := range perturbations {
			got, err := p.apply(t.Context(), img)
			if err != nil {
				t.Fatal(err)
			}
			if got.Space != img.Space || len(got.Pix) != got.Space.Planes()*got.Width*got.Height {
				t.Errorf("%s, %s: %d×%d in %v, %d samples", name, p.name, got.Width, got.Height, got.Space, len(got.Pix))
			}
			for c := range got.Space.Planes() {
				// The mean of a plane moves by at most two gray levels.
				if a, b := mean8(img.Plane(c)), mean8(got.Plane(c)); math.Abs(a-b) > 2 {
					t.Errorf("%s, %s: plane %d had a mean of %.1f and has %.1f", name, p.name, c, a, b)
				}
			}
			if p.name != "none" && slices.Equal(got.Pix, img.Pix) {
				t.Errorf("%s: %s changes nothing", name, p.name)
			}
		}
		if !slices.Equal(before, img.Pix) {
			t.Errorf("%s: the input was modified", name)
		}
	}
}

func mean8(plane []uint8) float64 {
	sum := 0.0
	for _, v := range plane {
		sum += float64(v)
	}
	return sum / float64(len(plane))
}

func TestRepeatabilityErrors(t *testing.T) {
	img := raster.New(raster.RGB, 8, 8)
	for after := range 3 {
		_, err := Repeatability(t.Context(), img, func(context.Context, *raster.Image) ([]box.Box, error) {
			if after--; after < 0 {
				return nil, io.ErrNoProgress
			}
			return nil, nil
		})
		if !errors.Is(err, io.ErrNoProgress) {
			t.Error(err)
		}
	}
	nothing := func(context.Context, *raster.Image) ([]box.Box, error) { return nil, nil }
	if got, err := Repeatability(t.Context(), img, nothing); err != nil || slices.Max(got) != 0 {
		t.Errorf("without boxes: %v, %v", got, err)
	}
	if _, err := Repeatability(t.Context(), raster.New(raster.Gray, 1<<16, 1), nothing); err == nil {
		t.Error("got no error for an image wider than JPEG supports")
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Repeatability(ctx, scene.Render(1, 64, 64, 2).Image, search); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

// TestMeanMatchedIoU compares the result with repeated matching of the best remaining pair.
func TestMeanMatchedIoU(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		coordinate := rapid.IntRange(0, 8)
		draw := func(name string) []box.Box {
			var boxes []box.Box
			for range rapid.IntRange(0, 12).Draw(t, name) {
				x, y := coordinate.Draw(t, "x"), coordinate.Draw(t, "y")
				boxes = append(boxes, box.Box{
					X0: int32(x), Y0: int32(y), X1: int32(x + coordinate.Draw(t, "w")), Y1: int32(y + coordinate.Draw(t, "h")),
				})
			}
			return boxes
		}
		original, changed := draw("original"), draw("changed")
		var back []dataset.Object
		for _, b := range changed {
			back = append(back, dataset.Object{X0: float64(b.X0), Y0: float64(b.Y0), X1: float64(b.X1), Y1: float64(b.Y1)})
		}
		sum := 0.0
		left, right := slices.Clone(original), slices.Clone(changed)
		for {
			best, at, to := 0.0, -1, -1
			for i, a := range left {
				for j, b := range right {
					if v := a.IoU(b); v > best {
						best, at, to = v, i, j
					}
				}
			}
			if at < 0 {
				break
			}
			sum += best
			left, right = slices.Delete(left, at, at+1), slices.Delete(right, to, to+1)
		}
		want := sum / float64(max(1, len(original)))
		if got := meanMatchedIoU(original, back); math.Abs(got-want) > 1e-8 {
			t.Fatalf("got %v, want %v", got, want)
		}
	})
}
