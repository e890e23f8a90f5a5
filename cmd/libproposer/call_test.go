//go:build cgo && !windows

package main

import (
	"bytes"
	"context"
	"fmt"
	"image/png"
	"math"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/proposer/proposer/box"
	"github.com/proposer/proposer/internal/parallel"
	"github.com/proposer/proposer/internal/propose"
	"github.com/proposer/proposer/internal/testutil/e2e"
	"github.com/proposer/proposer/internal/testutil/photos"
	"github.com/proposer/proposer/internal/testutil/scene"
	"github.com/proposer/proposer/raster"
)

// interleaved returns the pixels of an image in RGB without gaps.
func interleaved(img *raster.Image) []byte {
	pix := make([]byte, 0, 3*img.Width*img.Height)
	for i := range img.Width * img.Height {
		pix = append(pix, img.Plane(0)[i], img.Plane(1)[i], img.Plane(2)[i])
	}
	return pix
}

// imageRequest returns a request with an image in RGB.
func imageRequest(function int32, img *raster.Image, options string) request {
	return request{
		Function: function, Width: int32(img.Width), Height: int32(img.Height), Channels: 3,
		data: interleaved(img), options: options,
	}
}

// values parses options for package propose.
func values(t testing.TB, options string) map[string]string {
	t.Helper()
	all := map[string]string{}
	for field := range strings.FieldsSeq(options) {
		name, value, ok := strings.Cut(field, "=")
		if !ok {
			t.Fatal(field)
		}
		all[name] = value
	}
	return all
}

func toArray(b box.Box) [4]int32 { return [4]int32{b.X0, b.Y0, b.X1, b.Y1} }

// checkSearch compares a response with the result of propose.Run for a file.
func checkSearch(t *testing.T, got response, file []byte, options string) {
	t.Helper()
	if got.status != 0 {
		t.Fatalf("status %d: %s", got.status, got.err)
	}
	given := values(t, options)
	masks := given["masks"] == "rle"
	delete(given, "masks")
	opts, err := propose.ParseOptions(given)
	if err != nil {
		t.Fatal(err)
	}
	opts.Search.KeepRegions = masks
	want, err := propose.Run(t.Context(), file, opts)
	if err != nil {
		t.Fatal(err)
	}
	if got.width != want.Width || got.height != want.Height || got.warning != want.Warning {
		t.Errorf("%d×%d, warning %q, want %d×%d, %q", got.width, got.height, got.warning, want.Width, want.Height, want.Warning)
	}
	if len(want.Boxes) == 0 {
		t.Error("no boxes")
	}
	boxes := make([][4]int32, len(want.Boxes))
	for i, b := range want.Boxes {
		boxes[i] = toArray(b)
	}
	if !slices.Equal(got.boxes, boxes) || !slices.Equal(got.scores, want.Scores) {
		t.Errorf("%d boxes and scores differ from the %d of propose.Run", got.count, len(boxes))
	}
	if !masks {
		if got.masks != nil {
			t.Error("masks that were not requested")
		}
		return
	}
	all, err := want.Masks(t.Context(), math.MaxInt64)
	if err != nil {
		t.Fatal(err)
	}
	texts := make([]string, len(all))
	for i, m := range all {
		texts[i] = m.String()
	}
	if !slices.Equal(got.masks, texts) {
		t.Error("masks differ from those of propose.Run")
	}
}

func TestSearch(t *testing.T) {
	d := startDriver(t)
	s := scene.Render(1, 200, 150, 5)
	options := []string{
		"", "max=20 masks=rle", "max-side=90 masks=rle nms=0.8", "resize-width=260 masks=rle", "order=paper seed=7 max=100",
		"colors=Lab,C k=80 measures=TS,C0.5TS sigma=1.2 min-size=30", "min-side=10 max-aspect=4 min-area=0.001 max-area=0.5", "threads=1 masks=off",
	}
	for _, mode := range propose.Modes() {
		options = append(options, "mode="+mode)
	}
	for _, o := range options {
		t.Run(o, func(t *testing.T) {
			checkSearch(t, d.call(imageRequest(searchFunction, s.Image, o)), s.PNG(), o)
			checkSearch(t, d.call(request{Function: searchFileFunction, data: s.PNG(), options: o}), s.PNG(), o)
		})
	}
}

func TestSegment(t *testing.T) {
	d := startDriver(t)
	s := scene.Render(2, 200, 150, 5)
	for _, o := range []string{"", "color=Lab k=50 sigma=0.5 min-size=10 connectivity=4", "resize-width=90", "max-side=300"} {
		t.Run(o, func(t *testing.T) {
			opts, err := propose.ParseSegmentOptions(values(t, o))
			if err != nil {
				t.Fatal(err)
			}
			want, err := propose.Segment(t.Context(), s.PNG(), opts)
			if err != nil {
				t.Fatal(err)
			}
			for _, got := range []response{
				d.call(imageRequest(segmentFunction, s.Image, o)),
				d.call(request{Function: segmentFileFunction, data: s.PNG(), options: o}),
			} {
				if got.status != 0 || got.width != 200 || got.height != 150 || got.count != want.Regions || !slices.Equal(got.labels, want.Labels) {
					t.Errorf("status %d %s, %d regions, want %d", got.status, got.err, got.count, want.Regions)
				}
			}
		})
	}
}

func TestTree(t *testing.T) {
	d := startDriver(t)
	s := scene.Render(3, 200, 150, 5)
	for _, c := range []struct {
		options  string
		strategy int
	}{
		{"mode=fast", 0},
		{"mode=fast", 5},
		{"colors=RGB k=100 measures=CTSF sigma=0.5 min-size=20", 0},
		{"mode=single resize-width=110", 0},
		{"mode=single resize-width=300", 0},
	} {
		t.Run(fmt.Sprint(c.options, " ", c.strategy), func(t *testing.T) {
			opts, err := propose.ParseOptions(values(t, c.options))
			if err != nil {
				t.Fatal(err)
			}
			opts.Search.KeepRegions = true
			result, err := propose.Run(t.Context(), s.PNG(), opts)
			if err != nil {
				t.Fatal(err)
			}
			want, err := result.Tree(t.Context(), c.strategy)
			if err != nil {
				t.Fatal(err)
			}
			labels, err := result.Labels(t.Context(), c.strategy)
			if err != nil {
				t.Fatal(err)
			}
			nodes := make([]node, len(want.Nodes))
			for i, n := range want.Nodes {
				nodes[i] = node{toArray(n.Box), n.Size, n.Children, n.Parent, n.Similarity}
			}
			got := d.call(imageRequest(treeFunction, s.Image, fmt.Sprintf("%s strategy=%d", c.options, c.strategy)))
			if got.status != 0 {
				t.Fatalf("status %d: %s", got.status, got.err)
			}
			if got.width != 200 || got.height != 150 || got.leaves != want.Leaves() || got.count != len(nodes) {
				t.Errorf("%d×%d, %d leaves, %d nodes, want 200×150, %d, %d", got.width, got.height, got.leaves, got.count, want.Leaves(), len(nodes))
			}
			if !slices.Equal(got.labels, labels) || !slices.Equal(got.nodes, nodes) {
				t.Error("labels or nodes differ from those of propose.Run")
			}
		})
	}
}

// noise returns an image in which each pixel is a region of its own.
func noise(width, height int) []byte {
	pix := make([]byte, width*height)
	state := uint32(1)
	for i := range pix {
		state = state*1664525 + 1013904223
		pix[i] = byte(state >> 24)
	}
	return pix
}

func TestErrors(t *testing.T) {
	// The status codes of proposer.h.
	const invalidOption, invalidImage, limit, canceled = 1, 2, 3, 4
	d := startDriver(t)
	s := scene.Render(4, 60, 40, 3)
	pixels := func(change func(*request)) request {
		q := imageRequest(searchFunction, s.Image, "mode=single")
		change(&q)
		return q
	}
	file := func(function int32, data []byte, options string) request {
		return request{Function: function, data: data, options: options}
	}
	png := s.PNG()
	for _, c := range []struct {
		name   string
		q      request
		status int
		want   string
	}{
		{"option", pixels(func(q *request) { q.options = "mode=slow" }), invalidOption, `mode "slow": want one of single, fast`},
		{"not UTF-8", pixels(func(q *request) { q.options = "mode=\xff" }), invalidOption, `mode "\xff": want one of`},
		{"segment option", pixels(func(q *request) { q.Function, q.options = segmentFunction, "k=0" }), invalidOption, `k "0": want a number above 0`},
		{"tree option", pixels(func(q *request) { q.Function, q.options = treeFunction, "nms=1" }), invalidOption, `nms "1": want an option that exists`},
		{"no options", pixels(func(q *request) { q.Null = nullOptions }), 0, ""},
		{"no image", pixels(func(q *request) { q.Null = nullImage }), invalidImage, "image: NULL, want a pointer to an image"},
		{"no pixels", pixels(func(q *request) { q.Null = nullData }), invalidImage, "image with pixels NULL"},
		{"no result", pixels(func(q *request) { q.Null = nullResult }), invalidOption, "result: NULL, want a pointer"},
		{"no result of labels", pixels(func(q *request) { q.Function, q.Null = segmentFunction, nullResult }), invalidOption, "result: NULL"},
		{"freed token", pixels(func(q *request) { q.Null = freedToken }), invalidOption, "token: it was freed"},
		{"canceled token", pixels(func(q *request) { q.Null = canceledToken }), canceled, "the call was canceled"},
		{"canceled file", request{Function: segmentFileFunction, Null: canceledToken, data: png}, canceled, "the call was canceled"},
		{"no width", pixels(func(q *request) { q.Width = 0 }), invalidImage, "image of 0×40 pixels: want sides above 0"},
		{"most negative", pixels(func(q *request) { q.Height = math.MinInt32 }), invalidImage, "image of 60×-2147483648 pixels"},
		{"two channels", pixels(func(q *request) { q.Channels = 2 }), invalidImage, "image with channels 2: want 1 (gray), 3"},
		{"order", pixels(func(q *request) { q.Order = -1 }), invalidImage, "image with channel_order -1"},
		{"wide", pixels(func(q *request) { q.Width = math.MaxInt32 }), limit, "too large: got 2147483647 pixels wide"},
		{"many pixels", pixels(func(q *request) { q.Width, q.Height = 60000, 60000 }), limit, "too large: got 3600000000 pixels, want at most 50000000"},
		{"limit", pixels(func(q *request) { q.options = "max-pixels=2399" }), limit, "too large: got 2400 pixels, want at most 2399"},
		{"enlarged", pixels(func(q *request) { q.options = "resize-width=65535" }), limit, "pixels when resized"},
		{"strides", pixels(func(q *request) { q.Row = math.MinInt64 }), invalidImage, "want pixels within the memory of the process"},
		{"stride into nothing", pixels(func(q *request) { q.Row, q.Pixel, q.Channel = 1<<40, 3, 1 }), invalidImage, "its pixels are not in the memory of the process"},
		{"stride into nothing before", pixels(func(q *request) { q.Row, q.Pixel, q.Channel = 180, 3, -1<<44 }), invalidImage, "of the process"},
		{"unmapped pixels", pixels(func(q *request) { q.Null = unmappedData }), invalidImage, "its pixels are not in the memory of the process"},
		{"unmapped file", request{Function: searchFileFunction, Null: unmappedData, data: png}, invalidImage, "they are not in the memory of the process"},
		{"regions", request{
			Width: 800, Height: 600, Channels: 1, data: noise(800, 600), options: "k=0.01 min-size=1 mode=single",
		}, limit, "regions"},
		{"empty file", file(searchFileFunction, nil, ""), invalidImage, "want"},
		{"no file", request{Function: searchFileFunction, Null: nullData, data: png}, invalidImage, "data: NULL, want a pointer to the bytes of an image file"},
		{"text", file(searchFileFunction, []byte("<html>"), ""), invalidImage, "HTML"},
		{"truncated", file(segmentFileFunction, png[:len(png)/2], ""), invalidImage, "broken png"},
		{"large file", file(searchFileFunction, png, "max-bytes=100"), limit, "bytes, want at most 100 bytes"},
		{"large image", file(segmentFileFunction, png, "max-pixels=100"), limit, "too large: got 2400 pixels"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := d.call(c.q)
			if got.status != c.status || !strings.Contains(got.err, c.want) {
				t.Errorf("status %d: %q, want %d: %q", got.status, got.err, c.status, c.want)
			}
			if strings.ContainsAny(got.err, "\n") || strings.Contains(got.err, "imageio") {
				t.Errorf("%q: want one line in the words of the user", got.err)
			}
		})
	}
	checkSearch(t, d.call(imageRequest(searchFunction, s.Image, "")), png, "")
}

// Photographs have the same boxes, scores and masks as files and as pixels: one in the default mode, or
// fifty in every mode with PROPOSER_E2E=1.
func TestPhotographs(t *testing.T) {
	paths, modes := photos.Paths(t)[:1], []string{propose.DefaultMode}
	if e2e.Enabled() {
		paths, modes = photos.Paths(t), propose.Modes()
	}
	d := startDriver(t)
	for _, path := range paths[:min(50, len(paths))] {
		img := photos.Read(t, path)
		var file bytes.Buffer
		if err := png.Encode(&file, img.ToImage()); err != nil {
			t.Fatal(err)
		}
		for _, mode := range modes {
			t.Run(filepath.Base(path)+" "+mode, func(t *testing.T) {
				options := "masks=rle mode=" + mode
				checkSearch(t, d.call(imageRequest(searchFunction, img, options)), file.Bytes(), options)
			})
		}
	}
}

// No panic reaches C, on whichever goroutine it happens.
func TestPanicBecomesStatus(t *testing.T) {
	const internal = 6
	for name, f := range map[string]func() error{
		"call":  func() error { panic("oops") },
		"index": func() error { return []error{nil}[len(t.Name())] },
		"worker": func() error {
			block := make(chan struct{})
			return parallel.NewPool(2).Run(2, func(i int) error {
				if i == 0 {
					<-block
					return nil
				}
				defer close(block)
				panic("oops")
			})
		},
	} {
		t.Run(name, func(t *testing.T) {
			unset := new(int)
			result := unset
			status := call(0, &result, func(context.Context) (*int, error) { return unset, f() })
			if status != internal || result != nil {
				t.Errorf("status %d, result %v, want %d, nil", status, result, internal)
			}
		})
	}
}

func TestNotEnoughMemory(t *testing.T) {
	if _, err := newArena(math.MaxInt); err != errNoMemory {
		t.Errorf("%v, want %v", err, errNoMemory)
	}
	if status := statusOf(errNoMemory); status != 5 {
		t.Errorf("status %d, want PROPOSER_NO_MEMORY", status)
	}
}

func TestTokens(t *testing.T) {
	number := goTokenNew()
	ctx, err := tokenContext(uintptr(number))
	if err != nil || ctx.Err() != nil {
		t.Fatal(err, ctx)
	}
	goTokenFree(number)
	goTokenFree(number)
	goTokenCancel(number)
	goTokenCancel(0)
	if ctx.Err() != nil {
		t.Error("the token was canceled after it had been freed")
	}
	if _, err := tokenContext(uintptr(number)); err == nil {
		t.Error("no error about a freed token")
	}
	for range tokens.Range {
		t.Error("a token is left")
	}
}
