package selective

import (
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/proposer/proposer/box"
	"github.com/proposer/proposer/internal/testutil/scene"
	"github.com/proposer/proposer/raster"
	"github.com/proposer/proposer/similarity"
)

// converted returns options that give the color spaces of opts as images.
func converted(t *testing.T, img *raster.Image, opts Options) Options {
	t.Helper()
	var spaces []raster.Space
	opts.Strategies = slices.Clone(opts.Strategies)
	for i := range opts.Strategies {
		s := &opts.Strategies[i]
		at := slices.Index(spaces, s.Space)
		if at < 0 {
			at = len(spaces)
			spaces = append(spaces, s.Space)
			plane, err := raster.Convert(t.Context(), nil, img, s.Space)
			if err != nil {
				t.Fatal(err)
			}
			plane.Space = raster.RGB
			if s.Space.Planes() == 1 {
				plane.Space = raster.Gray
			}
			opts.Images = append(opts.Images, plane)
		}
		s.Space = Given(at)
	}
	return opts
}

func TestGivenImagesEqualColorSpaces(t *testing.T) {
	img := scene.Render(3, 160, 120, 4).Image
	for _, mode := range Modes() {
		t.Run(mode, func(t *testing.T) {
			opts, err := Mode(mode)
			if err != nil {
				t.Fatal(err)
			}
			want := search(t, img, opts)
			given := converted(t, img, opts)
			var before [][]uint8
			for _, m := range given.Images {
				before = append(before, slices.Clone(m.Pix))
			}
			// Twice, as the second search reuses the memory of the first.
			for range 2 {
				if got := search(t, img, given); !reflect.DeepEqual(got, want) {
					t.Fatalf("got %d proposals that differ from the %d of the mode", len(got), len(want))
				}
				if got := search(t, img, opts); !reflect.DeepEqual(got, want) {
					t.Fatal("a search of given images changed a later search")
				}
			}
			for i, m := range given.Images {
				if !slices.Equal(m.Pix, before[i]) {
					t.Errorf("image %d was written to", i)
				}
			}
		})
	}
}

func TestStrategySigma(t *testing.T) {
	img := scene.Render(5, 160, 120, 4).Image
	opts := Single()
	opts.Sigma = 2
	want := search(t, img, opts)
	opts.Sigma, opts.Strategies[0].Sigma = 0.8, 2
	if got := search(t, img, opts); !reflect.DeepEqual(got, want) {
		t.Errorf("a strategy with a sigma of 2: got %d proposals that differ from the %d of sigma 2", len(got), len(want))
	}

	// Strategies of different sigmas have the trees of separate searches.
	var separate []box.Box
	for _, sigma := range []float64{0.8, 2} {
		opts := Single()
		opts.Sigma = sigma
		for _, p := range search(t, img, opts) {
			separate = append(separate, p.Box)
		}
	}
	opts = Single()
	opts.Strategies = append(opts.Strategies, opts.Strategies[0])
	opts.Strategies[1].Sigma = 2
	var together []box.Box
	for _, p := range search(t, img, opts) {
		together = append(together, p.Box)
	}
	if got, want := distinctBoxes(together), distinctBoxes(separate); !slices.Equal(got, want) {
		t.Errorf("got %d boxes of two sigmas, want the %d of two searches", len(got), len(want))
	}
}

func distinctBoxes(boxes []box.Box) []box.Box {
	slices.SortFunc(boxes, func(a, b box.Box) int {
		return slices.Compare([]int32{a.X0, a.Y0, a.X1, a.Y1}, []int32{b.X0, b.Y0, b.X1, b.Y1})
	})
	return slices.Compact(boxes)
}

func TestInvalidImages(t *testing.T) {
	img := raster.New(raster.RGB, 8, 6)
	strategy := func(space raster.Space) Strategy {
		return Strategy{Space: space, K: 100, Weights: similarity.Weights{Color: 1}}
	}
	for _, test := range []struct {
		name   string
		images []*raster.Image
		space  raster.Space
		want   string
	}{
		{"no image", nil, Given(0), "image 0 of 0"},
		{"last image", []*raster.Image{img}, Given(MaxImages - 1), "image 127 of 1"},
		{"other size", []*raster.Image{img, raster.New(raster.Gray, 6, 8)}, Given(0), "image 1 of 6×8: want 8×6"},
		{"space", []*raster.Image{raster.New(raster.Lab, 8, 6)}, Given(0), "image 0: image in Lab"},
		{"samples", []*raster.Image{{Width: 8, Height: 6, Space: raster.RGB}}, Given(0), "with 0 samples: want 144"},
		{"too many", make([]*raster.Image, MaxImages+1), raster.RGB, "129 images: want at most 128"},
	} {
		t.Run(test.name, func(t *testing.T) {
			opts := Single()
			opts.Images, opts.Strategies = test.images, []Strategy{strategy(test.space)}
			if _, err := Search(t.Context(), img, opts); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got error %v, want one with %q", err, test.want)
			}
		})
	}
	for _, i := range []int{-1, MaxImages} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("Given(%d): got no panic", i)
				}
			}()
			Given(i)
		}()
	}
}

func TestTooManyRegionsOfGivenImage(t *testing.T) {
	img := scene.Render(3, 64, 48, 3).Image
	opts := Single()
	opts.Images, opts.MaxRegions = []*raster.Image{img}, 1
	opts.Strategies = []Strategy{{Space: Given(0), K: 1, Weights: similarity.Weights{Fill: 1}}}
	if _, err := Search(t.Context(), img, opts); err == nil || !strings.Contains(err.Error(), "selective: image 0 with k 1 makes") {
		t.Errorf("got error %v, want one that names image 0", err)
	}
}
