package propose

import (
	"context"
	"fmt"
	"math"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/proposer/proposer/box"
	"github.com/proposer/proposer/internal/imageio"
	"github.com/proposer/proposer/internal/testutil/scene"
	"github.com/proposer/proposer/selective"
)

// keeps is a literal reading of the options of a filter.
func keeps(f box.Filter, b box.Box, width, height int) bool {
	w, h := float64(b.X1-b.X0), float64(b.Y1-b.Y0)
	area := w * h / float64(width*height)
	return min(w, h) >= float64(f.MinSide) &&
		(f.MaxAspect == 0 || w/h <= f.MaxAspect && h/w <= f.MaxAspect) &&
		area >= f.MinArea && (f.MaxArea == 0 || area <= f.MaxArea)
}

// A filtered result is the result without a filter, filtered, in images of their own size, shrunken
// and enlarged ones. max counts the boxes that are left.
func TestFilters(t *testing.T) {
	data := scene.Render(5, 151, 103, 6).PNG()
	sizes := []string{"", "&max-side=77", "&resize-width=90", "&resize-width=151", "&resize-width=260", "&resize-width=500"}
	all := map[string]*Result{}
	for _, size := range sizes {
		all[size] = run(t, data, "mode=single&order=hierarchy"+size)
	}
	rapid.Check(t, func(rt *rapid.T) {
		size := rapid.SampledFrom(sizes).Draw(rt, "size")
		o := parse(t, "mode=single&order=hierarchy"+size)
		full := all[size]
		o.Filter = box.Filter{
			MinSide:   rapid.SampledFrom([]int{0, 1, 5, 20, 60}).Draw(rt, "min-side"),
			MaxAspect: rapid.SampledFrom([]float64{0, 1, 1.25, 2, 7.5}).Draw(rt, "max-aspect"),
			MinArea:   rapid.SampledFrom([]float64{0, 1e-9, .001, .01, .1}).Draw(rt, "min-area"),
			MaxArea:   rapid.SampledFrom([]float64{0, .1, .3, .99, 1}).Draw(rt, "max-area"),
		}
		o.Search.Max = rapid.IntRange(0, 40).Draw(rt, "max")
		var want []box.Box
		for _, b := range full.Boxes {
			if keeps(o.Filter, b, 151, 103) && (o.Search.Max == 0 || len(want) < o.Search.Max) {
				want = append(want, b)
			}
		}
		got, err := Run(t.Context(), data, o)
		if err != nil {
			rt.Fatal(err)
		}
		check(rt, got)
		if !slices.Equal(got.Boxes, want) {
			rt.Fatalf("%+v: got %v\nwant %v", o.Filter, got.Boxes, want)
		}
	})
	if len(all["&resize-width=500"].Boxes) <= len(all["&resize-width=90"].Boxes) {
		t.Error("an enlarged image has no more boxes than a shrunken one")
	}
}

// min-resized-side is in pixels of the searched image, min-side in those of the original.
func TestMinResizedSide(t *testing.T) {
	data := scene.Render(5, 200, 150, 6).PNG()
	shortest := func(query string) int {
		side := math.MaxInt
		for _, b := range run(t, data, "mode=fast"+query).Boxes {
			side = min(side, int(b.Width()), int(b.Height()))
		}
		return side
	}
	for query, want := range map[string][2]int{ // bounds of the shortest side
		"&min-side=20":                           {20, 29},
		"&min-resized-side=20":                   {20, 29},
		"&resize-width=400&min-resized-side=20":  {9, 14},
		"&resize-width=400&min-side=20":          {20, 29},
		"&resize-width=100&min-resized-side=20":  {39, 59},
		"&max-side=100&min-resized-side=20":      {39, 59},
		"&max-side=100&min-side=20":              {20, 29},
		"&resize-width=1000&min-resized-side=50": {9, 14},
	} {
		t.Run(query, func(t *testing.T) {
			if got := shortest(query); got < want[0] || got > want[1] {
				t.Errorf("the shortest side is %d, want %d to %d", got, want[0], want[1])
			}
		})
	}
}

// matlabBox is a box as R-CNN's code has it: rows and columns from 1 on, inclusive.
type matlabBox [4]float64 // r1 c1 r2 c2

// girshick does what selective_search_boxes.m of R-CNN does with the boxes of all trees: it filters
// by width, removes duplicates and scales, in this order. Its random order is left out.
func girshick(boxes []matlabBox, scale float64) []matlabBox {
	const minBoxWidth = 20
	var unique []matlabBox
	seen := map[matlabBox]bool{}
	for _, b := range boxes {
		rows, columns := b[2]-b[0]+1, b[3]-b[1]+1
		if rows < minBoxWidth || columns < minBoxWidth || seen[b] {
			continue
		}
		seen[b] = true
		for i := range b {
			b[i] = (b[i]-1)*scale + 1
		}
		unique = append(unique, b)
	}
	return unique
}

// Mode rcnn gives the boxes that R-CNN's code makes of the same trees, but for the rounding of edges.
func TestRCNN(t *testing.T) {
	for _, size := range [][2]int{{640, 427}, {500, 375}, {333, 500}, {250, 188}, {1000, 300}} {
		t.Run(fmt.Sprintf("%d×%d", size[0], size[1]), func(t *testing.T) {
			data := scene.Render(7, size[0], size[1], 8).PNG()
			o := parse(t, "mode=rcnn")
			got, err := Run(t.Context(), data, o)
			if err != nil {
				t.Fatal(err)
			}
			check(t, got)

			// The trees of the image at a width of 500.
			decoded, err := imageio.Decode(t.Context(), data, imageio.Options{Width: 500})
			if err != nil {
				t.Fatal(err)
			}
			search := selective.Fast()
			search.KeepRegions = true
			found, err := selective.Search(t.Context(), decoded.Image, search)
			if err != nil {
				t.Fatal(err)
			}
			var pool []matlabBox
			for _, tree := range found.Regions.Trees {
				for _, n := range tree.Nodes {
					pool = append(pool, matlabBox{float64(n.Box.Y0 + 1), float64(n.Box.X0 + 1), float64(n.Box.Y1), float64(n.Box.X1)})
				}
			}
			scale := float64(size[0]) / 500
			want := girshick(pool, scale)

			// Each box of R-CNN is within a pixel of one of ours, and there are no others.
			matched := map[box.Box]bool{}
			for _, b := range want {
				// The edges of the box in the image of width 500, half-open and from 0 on.
				edge := func(v float64) int32 { return int32(math.Round((v - 1) / scale)) }
				original := decoded.ToOriginal(box.Box{X0: edge(b[1]), Y0: edge(b[0]), X1: edge(b[3]) + 1, Y1: edge(b[2]) + 1})
				if !slices.Contains(got.Boxes, original) {
					t.Fatalf("R-CNN's box %v, ours %v, is missing", b, original)
				}
				matched[original] = true
				// Half a pixel of rounding, what a pixel is larger or smaller than before at the
				// inclusive edges, and half a pixel of rounding of the height.
				off := max(math.Abs(float64(original.X0)-(b[1]-1)), math.Abs(float64(original.Y0)-(b[0]-1)),
					math.Abs(float64(original.X1)-b[3]), math.Abs(float64(original.Y1)-b[2]))
				if bound := .5 + math.Abs(scale-1) + scale/2 + 1e-9; off > bound {
					t.Fatalf("R-CNN's box %v, ours %v: %v pixels apart, want at most %v", b, original, off, bound)
				}
			}
			if len(got.Boxes) != len(matched) {
				t.Errorf("%d boxes, R-CNN has %d, %d of them at whole pixels", len(got.Boxes), len(want), len(matched))
			}
			if scale >= 1 && len(got.Boxes) != len(want) {
				t.Errorf("%d boxes, R-CNN has %d", len(got.Boxes), len(want))
			}
			t.Logf("%d boxes, R-CNN has %d", len(got.Boxes), len(want))
		})
	}
}

// The masks of an enlarged image lie in their boxes.
func TestMasksOfEnlargedImages(t *testing.T) {
	data := scene.Render(5, 91, 63, 5).PNG()
	for _, query := range []string{"mode=single&resize-width=120", "mode=single&resize-width=333&max=30", "mode=rcnn&max=50"} {
		t.Run(query, func(t *testing.T) {
			r := runKept(t, data, parse(t, query))
			check(t, r)
			area, boxes := 0, int64(0)
			for i, m := range masksOf(t, r) {
				if b := r.Boxes[i]; b.Union(m.Box()) != b || m.Width != 91 || m.Height != 63 {
					t.Fatalf("box %v: mask in %v of %d×%d", b, m.Box(), m.Width, m.Height)
				}
				area += m.Area()
				boxes += r.Boxes[i].Area()
			}
			if int64(area) < boxes/4 {
				t.Errorf("masks of %d pixels in boxes of %d", area, boxes)
			}
			tree := treeOf(t, r, 0)
			if tree.Width <= 91 || tree.Nodes[len(tree.Nodes)-1].Box != whole(r) {
				t.Errorf("the tree is of %d×%d, its root %+v", tree.Width, tree.Height, tree.Nodes[len(tree.Nodes)-1])
			}
			// KeepRegions does not change the boxes.
			if plain := run(t, data, query); !slices.Equal(plain.Boxes, r.Boxes) {
				t.Error("KeepRegions changes the boxes")
			}
		})
	}
}

// An image that would become too large is refused with the limit, before a search begins.
func TestEnlargedImagesAreLimited(t *testing.T) {
	data := scene.Render(1, 40, 600, 1).PNG()
	o := parse(t, "mode=rcnn")
	o.Decode.Limits.MaxPixels = 3_000_000
	if pixels, err := o.WorkPixels(imageio.Header{Width: 40, Height: 400}); err != nil || pixels != 2_500_000+30*50_000+8*(4*50_000+4*25_000) {
		t.Errorf("got %d pixels, %v", pixels, err)
	}
	_, err := Run(context.Background(), data, o)
	if err == nil || err.Error() != "too large: got 3750000 pixels when resized, want at most 3000000 pixels when resized" {
		t.Errorf("got %v", err)
	}
	if _, err := o.WorkPixels(imageio.Header{Width: 40, Height: 600}); err == nil {
		t.Error("WorkPixels: no error")
	}
}
