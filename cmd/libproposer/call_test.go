//go:build cgo && !windows

package main

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/proposer/proposer/box"
	"github.com/proposer/proposer/internal/propose"
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
