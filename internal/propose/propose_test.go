package propose

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"math"
	"math/rand/v2"
	"reflect"
	"runtime"
	"slices"
	"sync/atomic"
	"testing"

	"pgregory.net/rapid"

	"github.com/proposer/proposer/box"
	"github.com/proposer/proposer/internal/imageio"
	"github.com/proposer/proposer/internal/testutil/scene"
	"github.com/proposer/proposer/raster"
)

func parse(t testing.TB, query string) Options {
	t.Helper()
	o, err := ParseOptions(queryValues(t, query))
	if err != nil {
		t.Fatal(err)
	}
	return o
}

func run(t testing.TB, data []byte, query string) *Result {
	t.Helper()
	r, err := Run(t.Context(), data, parse(t, query))
	if err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	return r
}

// check verifies the invariants of a result.
func check(t rapid.TB, r *Result) {
	t.Helper()
	if len(r.Boxes) != len(r.Scores) {
		t.Fatalf("%d boxes, %d scores", len(r.Boxes), len(r.Scores))
	}
	seen := map[box.Box]bool{}
	for i, b := range r.Boxes {
		if b.Empty() || b.X0 < 0 || b.Y0 < 0 || int(b.X1) > r.Width || int(b.Y1) > r.Height || seen[b] {
			t.Fatalf("box %d is %v, seen before: %t; the image is %d×%d", i, b, seen[b], r.Width, r.Height)
		}
		seen[b] = true
		if i > 0 && r.Scores[i] >= r.Scores[i-1] {
			t.Fatalf("score %d is %v after %v", i, r.Scores[i], r.Scores[i-1])
		}
	}
}

func whole(r *Result) box.Box { return box.Box{X1: int32(r.Width), Y1: int32(r.Height)} }

func encode(t testing.TB, m image.Image) []byte {
	t.Helper()
	var buf bytes.Buffer
	if err := png.Encode(&buf, m); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

func TestRunFindsObjects(t *testing.T) {
	s := scene.Render(3, 320, 240, 6)
	r := run(t, s.JPEG(92), "")
	check(t, r)
	if r.Width != 320 || r.Height != 240 || r.Format != "jpeg" || r.Orientation != 1 {
		t.Errorf("%d×%d %s, orientation %d", r.Width, r.Height, r.Format, r.Orientation)
	}
	if r.DecodeTime <= 0 || r.SearchTime <= 0 || r.Stages.Segment <= 0 || r.Stages.Group <= 0 {
		t.Errorf("times: %v %v %+v", r.DecodeTime, r.SearchTime, r.Stages)
	}
	var sum float64
	for _, object := range s.Boxes {
		best := 0.0
		for _, b := range r.Boxes {
			best = max(best, object.IoU(b))
		}
		sum += best
	}
	if mean := sum / float64(len(s.Boxes)); mean < .6 {
		t.Errorf("the objects' mean best overlap is %.2f, want at least .6", mean)
	}
}

// The boxes of unusual images lie inside, and the whole image is among them.
func TestUnusualImages(t *testing.T) {
	for name, m := range map[string]image.Image{
		"1x1":      image.NewGray(image.Rect(0, 0, 1, 1)),
		"1xN":      image.NewNRGBA(image.Rect(0, 0, 1, 300)),
		"Nx1":      image.NewNRGBA(image.Rect(0, 0, 300, 1)),
		"2x2":      image.NewRGBA(image.Rect(0, 0, 2, 2)),
		"uniform":  image.NewGray(image.Rect(0, 0, 64, 48)),
		"20000x10": image.NewGray(image.Rect(0, 0, 20000, 10)),
		"10x20000": image.NewRGBA(image.Rect(0, 0, 10, 20000)),
		"alpha":    image.NewNRGBA(image.Rect(0, 0, 40, 30)),
		"gray 16":  image.NewGray16(image.Rect(0, 0, 33, 21)),
		"palette":  image.NewPaletted(image.Rect(0, 0, 17, 19), color.Palette{color.Black, color.White, color.Transparent}),
	} {
		if name != "uniform" {
			noise := rand.New(rand.NewPCG(1, 2))
			switch m := m.(type) {
			case *image.Gray:
				for i := range m.Pix {
					m.Pix[i] = uint8(noise.Uint32())
				}
			case *image.NRGBA:
				for i := range m.Pix {
					m.Pix[i] = uint8(noise.Uint32())
				}
			case *image.Gray16:
				for i := range m.Pix {
					m.Pix[i] = uint8(noise.Uint32())
				}
			case *image.Paletted:
				for i := range m.Pix {
					m.Pix[i] = uint8(noise.IntN(3))
				}
			}
		}
		data := encode(t, m)
		for _, query := range []string{
			"mode=single", "mode=fast", "mode=opencv-single&min-size=5", "mode=single&max-side=50&order=hierarchy",
		} {
			t.Run(name+" "+query, func(t *testing.T) {
				r := run(t, data, query)
				check(t, r)
				if !slices.Contains(r.Boxes, whole(r)) {
					t.Errorf("the whole image is not among the %d boxes", len(r.Boxes))
				}
				if r.Width != m.Bounds().Dx() || r.Height != m.Bounds().Dy() {
					t.Errorf("got %d×%d, want %v", r.Width, r.Height, m.Bounds().Size())
				}
			})
		}
	}
}

func TestShrunkenImages(t *testing.T) {
	data := scene.Render(5, 301, 203, 6).PNG()
	rapid.Check(t, func(rt *rapid.T) {
		side := rapid.IntRange(20, 320).Draw(rt, "max-side")
		minSide := rapid.IntRange(0, 120).Draw(rt, "min-side")
		limit := rapid.IntRange(0, 40).Draw(rt, "max")
		o := parse(t, "mode=single&order=hierarchy")
		o.Decode.LongestSide = side
		all, err := Run(t.Context(), data, o)
		if err != nil {
			rt.Fatal(err)
		}
		check(rt, all)
		o.Filter.MinSide, o.Search.Max = minSide, limit
		got, err := Run(t.Context(), data, o)
		if err != nil {
			rt.Fatal(err)
		}
		// min-side and max apply to the boxes in the original.
		var want []box.Box
		for _, b := range all.Boxes {
			if int(min(b.Width(), b.Height())) >= minSide && (limit == 0 || len(want) < limit) {
				want = append(want, b)
			}
		}
		if !slices.Equal(got.Boxes, want) {
			rt.Fatalf("got %v\nwant %v", got.Boxes, want)
		}
	})
}

// oriented returns a JPEG with an EXIF orientation.
func oriented(jpeg []byte, orientation uint16) []byte {
	exif := []byte("\xff\xe1\x00\x22Exif\x00\x00MM\x00*\x00\x00\x00\x08\x00\x01\x01\x12\x00\x03\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00\x00")
	binary.BigEndian.PutUint16(exif[28:], orientation)
	return slices.Concat(jpeg[:2], exif, jpeg[2:])
}

func TestOrientationApplied(t *testing.T) {
	data := oriented(scene.Render(1, 120, 60, 3).JPEG(90), 6)
	for _, query := range []string{"mode=single", "mode=single&max-side=40"} {
		r := run(t, data, query)
		check(t, r)
		if r.Width != 60 || r.Height != 120 || r.Orientation != 6 || !slices.Contains(r.Boxes, whole(r)) {
			t.Errorf("%s: %d×%d, orientation %d, %v", query, r.Width, r.Height, r.Orientation, r.Boxes)
		}
	}
}

func TestOrientationIgnored(t *testing.T) {
	r := run(t, oriented(scene.Render(1, 120, 60, 3).JPEG(90), 6), "mode=single&orientation=ignore")
	check(t, r)
	if r.Width != 120 || r.Height != 60 || r.Orientation != 6 {
		t.Errorf("%d×%d, orientation %d", r.Width, r.Height, r.Orientation)
	}
}

// Results do not depend on the number of threads.
func TestThreads(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(0))
	data := scene.Render(8, 240, 160, 8).JPEG(85)
	line := func(r *Result) string { return fmt.Sprint(r.Width, r.Height, r.Orientation, r.Boxes, r.Scores) }
	var want string
	for _, procs := range []int{1, 2, 8} {
		runtime.GOMAXPROCS(procs)
		for _, query := range []string{"", "&threads=1", "&threads=5"} {
			got := line(run(t, data, "nms=adaptive&max-side=200"+query))
			if want == "" {
				want = got
			}
			if got != want {
				t.Errorf("GOMAXPROCS %d, %s: got another result", procs, query)
			}
		}
	}
	if line(run(t, data, "order=paper&seed=2")) == line(run(t, data, "order=paper")) {
		t.Error("another seed gives the same order")
	}
}

func TestErrorsPassThrough(t *testing.T) {
	good := scene.Render(1, 64, 64, 2).PNG()
	canceled, cancel := context.WithCancel(t.Context())
	cancel()
	for name, c := range map[string]struct {
		ctx  context.Context
		data []byte
		want func(error) bool
	}{
		"not an image": {t.Context(), []byte("hello"), func(err error) bool { return errors.Is(err, imageio.ErrUnsupported) }},
		"broken": {t.Context(), good[:len(good)/2], func(err error) bool {
			e, ok := errors.AsType[*imageio.FormatError](err)
			return ok && e.Format == "png"
		}},
		"large": {t.Context(), good, func(err error) bool {
			e, ok := errors.AsType[*imageio.LimitError](err)
			return ok && e.What == "pixels" && e.Got == 64*64 && e.Max == 1000
		}},
		"canceled": {canceled, good, func(err error) bool { return errors.Is(err, context.Canceled) }},
	} {
		t.Run(name, func(t *testing.T) {
			o := DefaultOptions()
			if name == "large" {
				o.Decode.Limits.MaxPixels = 1000
			}
			if r, err := Run(c.ctx, c.data, o); r != nil || !c.want(err) {
				t.Errorf("got %v, %v", r, err)
			}
		})
	}
}

// cancelingContext is canceled once Err has been called a number of times.
type cancelingContext struct {
	context.Context
	calls, limit atomic.Int64
}

func (c *cancelingContext) Err() error {
	if c.calls.Add(1) > c.limit.Load() {
		return context.Canceled
	}
	return nil
}

// Run polls its context all the time, and stops wherever it is canceled.
func TestCancel(t *testing.T) {
	data := scene.Render(2, 320, 240, 10).JPEG(90)
	o := parse(t, "mode=fast&threads=1") // the number of polls is always the same
	never := &cancelingContext{Context: t.Context()}
	never.limit.Store(math.MaxInt64)
	if _, err := Run(never, data, o); err != nil {
		t.Fatal(err)
	}
	calls := never.calls.Load()
	if calls < 100 {
		t.Fatalf("the context is polled %d times, want at least 100", calls)
	}
	for limit := int64(0); limit < calls; limit += calls/20 + 1 {
		ctx := &cancelingContext{Context: t.Context()}
		ctx.limit.Store(limit)
		if r, err := Run(ctx, data, o); r != nil || !errors.Is(err, context.Canceled) {
			t.Errorf("canceled at poll %d of %d: got %v, %v", limit, calls, r, err)
		}
		// Each goroutine and each caller up the stack may see the cancellation once.
		if polls := ctx.calls.Load() - limit; polls > 50 {
			t.Errorf("canceled at poll %d of %d: polled %d times more", limit, calls, polls)
		}
	}
}

func TestOverlay(t *testing.T) {
	data := oriented(scene.Render(4, 90, 50, 3).JPEG(90), 8)
	o := parse(t, "mode=single&max-side=45&max=5")
	r, err := Run(t.Context(), data, o)
	if err != nil {
		t.Fatal(err)
	}
	var with, without bytes.Buffer
	if err := errors.Join(Overlay(t.Context(), &with, data, o, r.Boxes, "png"), Overlay(t.Context(), &without, data, o, nil, "png")); err != nil {
		t.Fatal(err)
	}
	m, err := png.Decode(&with)
	if err != nil || m.Bounds().Size() != image.Pt(r.Width, r.Height) {
		t.Fatalf("%v, %v, want %d×%d", err, m.Bounds(), r.Width, r.Height)
	}
	plain, _ := png.Decode(&without)
	b := r.Boxes[0]
	if x, y := int(b.X0), int(b.Y0); m.At(x, y) == plain.At(x, y) {
		t.Errorf("nothing is drawn at (%d,%d), the corner of the best box", x, y)
	}
}

// Damaged files give a result or a typed error.
func TestMutatedFiles(t *testing.T) {
	n := 1000
	if testing.Short() {
		n = 100
	}
	s := scene.Render(9, 48, 36, 3)
	originals := [][]byte{s.JPEG(80), s.PNG()}
	r := rand.New(rand.NewPCG(7, 7))
	o := parse(t, "mode=single")
	o.Decode.Limits.MaxPixels = 1 << 16
	results := 0
	for i := range n {
		data := slices.Clone(originals[i%2])
		for range 1 + r.IntN(4) {
			switch at := r.IntN(len(data)); r.IntN(4) {
			case 0:
				data[at] ^= 1 << r.IntN(8)
			case 1:
				data[at] = uint8(r.Uint32())
			case 2:
				data = data[:max(at, 1)]
			default:
				data = slices.Insert(data, at, data[:min(at, 20)]...)
			}
		}
		got, err := Run(t.Context(), data, o)
		if err == nil {
			results++
			check(t, got)
			continue
		}
		_, limit := errors.AsType[*imageio.LimitError](err)
		_, broken := errors.AsType[*imageio.FormatError](err)
		if !limit && !broken && !errors.Is(err, imageio.ErrUnsupported) {
			t.Fatalf("file %d: %v", i, err)
		}
	}
	if results == 0 || results == n {
		t.Errorf("%d of %d mutated files were read: want some of both", results, n)
	}
}

func TestDefaultOptionsAreFresh(t *testing.T) {
	a, b := DefaultOptions(), DefaultOptions()
	a.Search.Strategies[0].K = 7
	if !reflect.DeepEqual(b, DefaultOptions()) {
		t.Error("DefaultOptions returns shared strategies")
	}
}

func TestWorkPixels(t *testing.T) {
	// The minimum size of a region is k: mode fast has four trees with a k of 50 and four with 100,
	// opencv-fast twelve with 100.
	const fast = 30*1e6/50 + 8*(4*1e6/50+4*1e6/100)
	for query, want := range map[string]int64{
		"mode=fast":              1e6 + fast + 50*3500,
		"mode=opencv-fast":       1e6 + (30+8*12)*1e6/100,
		"min-size=1":             1e6 + (30+8*8)*262144 + 50*3500,
		"k=20&min-size=0":        1e6 + (30+8*4)*1e6/20 + 50*3500,
		"max-side=500":           1e6 + fast/4 + 50*3500,
		"max-side=500&k=.01":     1e6 + (30+8*4)*250_000 + 50*3500,
		"max-side=5000&k=100,50": 1e6 + fast + 50*3500,
		"mode=rcnn":              1e6 + fast/4,
		"resize-width=2000":      4e6 + fast*4 + 50*3500,
		"unions=0":               1e6 + fast + 50*1500,
		"unions=0&joins=0":       1e6 + fast,
		"unions=9&order=paper":   1e6 + fast,
	} {
		t.Run(query, func(t *testing.T) {
			o := parse(t, query)
			if got, err := o.WorkPixels(imageio.Header{Width: 1000, Height: 1000}); got != want || err != nil {
				t.Errorf("got %d, %v, want %d", got, err, want)
			}
		})
	}
	limited := parse(t, "mode=fast&min-size=1&unions=0&joins=0")
	limited.Search.MaxRegions, limited.Search.MaxTotalRegions = 10_000, 20_000
	if got, err := limited.WorkPixels(imageio.Header{Width: 1000, Height: 1000}); got != 1e6+30*10_000+8*20_000 || err != nil {
		t.Errorf("with limits: got %d, %v", got, err)
	}
}

// The result for an image is that of Run for a file with its pixels.
func TestRunImage(t *testing.T) {
	s := scene.Render(6, 120, 90, 4)
	gray, err := raster.Convert(t.Context(), nil, s.Image, raster.Gray)
	if err != nil {
		t.Fatal(err)
	}
	for _, img := range []*raster.Image{s.Image, gray} {
		for _, query := range []string{"", "mode=rcnn&max=30", "max-side=60&nms=0.7", "orientation=ignore&depth=auto&order=paper"} {
			t.Run(img.Space.String()+" "+query, func(t *testing.T) {
				opts := parse(t, query)
				opts.Search.KeepRegions = true
				want, err := Run(t.Context(), encode(t, img.ToImage()), opts)
				if err != nil {
					t.Fatal(err)
				}
				got, err := RunImage(t.Context(), img, opts)
				if err != nil {
					t.Fatal(err)
				}
				check(t, got)
				if len(got.Boxes) == 0 || got.Format != "" || got.Orientation != 1 {
					t.Errorf("%d boxes, format %q, orientation %d", len(got.Boxes), got.Format, got.Orientation)
				}
				if got.Width != want.Width || got.Height != want.Height || !slices.Equal(got.Boxes, want.Boxes) || !slices.Equal(got.Scores, want.Scores) {
					t.Error("another result than Run's")
				}
				gotMasks, _ := got.Masks(t.Context(), math.MaxInt64)
				wantMasks, _ := want.Masks(t.Context(), math.MaxInt64)
				if !slices.Equal(gotMasks, wantMasks) {
					t.Error("other masks than Run's")
				}
			})
		}
	}
}

func TestRunImageErrors(t *testing.T) {
	img := raster.New(raster.Gray, 30, 20)
	opts := parse(t, "")
	opts.Decode.Limits.MaxPixels = 599
	if _, err := RunImage(t.Context(), img, opts); err == nil || err.Error() != "too large: got 600 pixels, want at most 599 pixels" {
		t.Errorf("image beyond the limit: %v", err)
	}
	canceled, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := RunImage(canceled, img, parse(t, "")); !errors.Is(err, context.Canceled) {
		t.Errorf("canceled: %v", err)
	}
}
