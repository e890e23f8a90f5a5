package propose

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"image"
	"image/png"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/proposer/proposer/internal/imageio"
	"github.com/proposer/proposer/internal/testutil/scene"
	"github.com/proposer/proposer/raster"
	"github.com/proposer/proposer/segment"
)

// checkSegmentation checks that there is a label for each pixel, and that they are numbered in the
// order of their first pixels.
func checkSegmentation(t rapid.TB, s *Segmentation, width, height int) {
	t.Helper()
	if s.Width != width || s.Height != height || len(s.Labels) != width*height {
		t.Fatalf("got %d labels of %d×%d, want %d×%d", len(s.Labels), s.Width, s.Height, width, height)
	}
	next := int32(0)
	for i, label := range s.Labels {
		if label < 0 || label > next {
			t.Fatalf("got label %d at pixel %d, want 0 to %d", label, i, next)
		}
		next = max(next, label+1)
	}
	if s.Regions != int(next) {
		t.Errorf("got %d regions, want %d", s.Regions, next)
	}
}

// The labels of an image are those of segment.Graph, at any number of threads, from a file and from
// pixels.
func TestSegment(t *testing.T) {
	data := scene.Render(5, 151, 103, 6).PNG()
	decoded, err := imageio.Decode(t.Context(), data, imageio.Options{})
	if err != nil {
		t.Fatal(err)
	}
	rapid.Check(t, func(rt *rapid.T) {
		o := DefaultSegmentOptions()
		o.Space = rapid.SampledFrom(raster.Spaces()).Draw(rt, "color")
		o.K = rapid.SampledFrom([]float64{.001, 1, 20, 300, 1e6}).Draw(rt, "k")
		o.Sigma = rapid.SampledFrom([]float64{0, .8, 3}).Draw(rt, "sigma")
		o.MinSize = rapid.SampledFrom([]int{0, 1, 20, 1 << 30}).Draw(rt, "min-size")
		o.Connectivity = rapid.SampledFrom([]segment.Connectivity{segment.Four, segment.Eight}).Draw(rt, "connectivity")
		o.Threads = rapid.IntRange(0, 3).Draw(rt, "threads")
		got, err := Segment(context.Background(), data, o)
		if err != nil {
			rt.Fatal(err)
		}
		checkSegmentation(rt, got, 151, 103)

		img, err := raster.Convert(context.Background(), nil, decoded.Image, o.Space)
		if err != nil {
			rt.Fatal(err)
		}
		var g segment.Graph
		if err := g.Build(context.Background(), img, segment.Options{Sigma: o.Sigma, Connectivity: o.Connectivity, MinK: o.K}); err != nil {
			rt.Fatal(err)
		}
		minSize := o.MinSize
		if minSize == 0 {
			minSize = int(o.K + .5)
		}
		want, err := g.Segment(context.Background(), nil, o.K, minSize)
		if err != nil {
			rt.Fatal(err)
		}
		if !slices.Equal(got.Labels, want.Pix) {
			rt.Fatal("got labels other than those of segment.Graph")
		}
		pixels, err := SegmentImage(context.Background(), decoded.Image, o)
		if err != nil || !slices.Equal(pixels.Labels, want.Pix) || pixels.Regions != got.Regions {
			rt.Fatalf("SegmentImage: got other labels, %v", err)
		}
	})
}

// The label image of a resized image has the size of the original and no empty regions.
func TestSegmentResized(t *testing.T) {
	jpeg := oriented(scene.Render(5, 101, 73, 5).JPEG(90), 6)
	for _, options := range []map[string]string{
		{"max-side": "60"}, {"max-side": "1"}, {"resize-width": "40"}, {"resize-width": "200"}, {"resize-width": "150", "min-size": "1", "k": "1"},
	} {
		t.Run(fmt.Sprint(options), func(t *testing.T) {
			o, err := ParseSegmentOptions(options)
			if err != nil {
				t.Fatal(err)
			}
			s, err := Segment(t.Context(), jpeg, o)
			if err != nil {
				t.Fatal(err)
			}
			checkSegmentation(t, s, 73, 101)
			decoded, err := imageio.Decode(t.Context(), jpeg, imageio.Options{})
			if err != nil {
				t.Fatal(err)
			}
			pixels, err := SegmentImage(t.Context(), decoded.Image, o)
			if err != nil {
				t.Fatal(err)
			}
			if !slices.Equal(pixels.Labels, s.Labels) {
				t.Error("SegmentImage and Segment differ")
			}
		})
	}
}

func TestSegmentErrors(t *testing.T) {
	o := DefaultSegmentOptions()
	canceled, cancel := context.WithCancel(t.Context())
	cancel()
	img := raster.New(raster.RGB, 50, 40)
	if _, err := Segment(canceled, scene.Render(1, 50, 40, 2).PNG(), o); !errors.Is(err, context.Canceled) {
		t.Errorf("Segment: got %v, want context.Canceled", err)
	}
	if _, err := SegmentImage(canceled, img, o); !errors.Is(err, context.Canceled) {
		t.Errorf("SegmentImage: got %v, want context.Canceled", err)
	}
	o.Decode.Limits.MaxPixels = 1999
	if _, err := SegmentImage(t.Context(), img, o); err == nil || err.Error() != "too large: got 2000 pixels, want at most 1999 pixels" {
		t.Errorf("SegmentImage of too many pixels: got %v", err)
	}
	o.Decode.Limits.MaxPixels, o.Decode.Width = 2000, 51
	if _, err := SegmentImage(t.Context(), img, o); err == nil || err.Error() != "too large: got 2091 pixels when resized, want at most 2000 pixels when resized" {
		t.Errorf("SegmentImage of an image that becomes too large: got %v", err)
	}
}

func TestParseSegmentOptions(t *testing.T) {
	o, err := ParseSegmentOptions(map[string]string{
		"color": "lab", "k": "12.5", "sigma": "0", "min-size": "7", "connectivity": "4",
		"max-side": "300", "orientation": "ignore", "depth": "12", "threads": "2",
	})
	if err != nil {
		t.Fatal(err)
	}
	want := SegmentOptions{Space: raster.Lab, K: 12.5, MinSize: 7, Connectivity: segment.Four, Threads: 2}
	want.Decode.LongestSide, want.Decode.IgnoreOrientation, want.Decode.Depth = 300, true, o.Decode.Depth
	if o != want || o.Decode.Depth.String() != "12" {
		t.Errorf("got %+v, want %+v", o, want)
	}
	for _, o := range []SegmentOptions{o, DefaultSegmentOptions()} {
		values := o.Values()
		names := SegmentOptionNames()
		if len(values) != len(names) {
			t.Errorf("got %d values of %d options", len(values), len(names))
		}
		if again, err := ParseSegmentOptions(values); err != nil || again != o {
			t.Errorf("got %+v, %v, want %+v", again, err, o)
		}
	}
	for name, want := range map[string]string{
		"colors":       `colors "x": want an option that exists, such as color`,
		"unions":       `unions "x": want an option that exists: color, k, sigma, min-size, connectivity, max-side, resize-width, orientation, depth, threads`,
		"color":        `color "x": want one of RGB, I, rgI, Lab, HSV, H, rgb, C, R-G-I`,
		"k":            `k "x": want a number above 0, at most 1000000`,
		"sigma":        `sigma "x": want a number from 0 to 16`,
		"min-size":     `min-size "x": want a whole number from 0 to 2147483647`,
		"connectivity": `connectivity "x": want 4 or 8`,
		"orientation":  `orientation "x": want exif or ignore`,
	} {
		if _, err := ParseSegmentOptions(map[string]string{name: "x"}); err == nil || err.Error() != want {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}

func TestSegmentWorkPixels(t *testing.T) {
	for value, want := range map[string]int64{"max-side=0": 4e6, "max-side=500": 1e6 + 3*250_000, "resize-width=2000": 16e6} {
		t.Run(value, func(t *testing.T) {
			name, side, _ := strings.Cut(value, "=")
			o, err := ParseSegmentOptions(map[string]string{name: side})
			if err != nil {
				t.Fatal(err)
			}
			if got, err := o.WorkPixels(imageio.Header{Width: 1000, Height: 1000}); got != want || err != nil {
				t.Errorf("got %d, %v, want %d", got, err, want)
			}
		})
	}
	o := DefaultSegmentOptions()
	o.Decode.Width, o.Decode.Limits.MaxPixels = 2000, 3_000_000
	if _, err := o.WorkPixels(imageio.Header{Width: 1000, Height: 1000}); err == nil {
		t.Error("an image that becomes too large: no error")
	}
}

func TestSegmentOverlay(t *testing.T) {
	data := oriented(scene.Render(5, 101, 73, 5).JPEG(90), 6)
	o, err := ParseSegmentOptions(map[string]string{"max-side": "60"})
	if err != nil {
		t.Fatal(err)
	}
	s, err := Segment(t.Context(), data, o)
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := SegmentOverlay(t.Context(), &out, data, o, s, "png"); err != nil {
		t.Fatal(err)
	}
	m, err := png.Decode(&out)
	if err != nil || m.Bounds().Size() != image.Pt(73, 101) {
		t.Errorf("got an image in %v, %v", m.Bounds(), err)
	}
	if err := SegmentOverlay(t.Context(), &out, data[:100], o, s, "png"); err == nil {
		t.Error("a broken image: no error")
	}
}

func FuzzParseSegmentOptions(f *testing.F) {
	f.Add("color", "Lab", "k", "12.5")
	f.Add("max-side", "3", "resize-width", "4")
	f.Add("depth", "auto", "connectivity", "4")
	f.Fuzz(func(t *testing.T, name1, value1, name2, value2 string) {
		o, err := ParseSegmentOptions(map[string]string{name1: value1, name2: value2})
		if err != nil {
			if len(OptionErrors(err)) == 0 {
				t.Fatalf("got %v, which names no option", err)
			}
			return
		}
		if again, err := ParseSegmentOptions(o.Values()); err != nil || again != o {
			t.Fatalf("got %+v, %v, want %+v", again, err, o)
		}
	})
}
