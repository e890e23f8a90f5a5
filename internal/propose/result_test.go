package propose

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/proposer/proposer/box"
	"github.com/proposer/proposer/internal/imageio"
	"github.com/proposer/proposer/internal/testutil/scene"
	"github.com/proposer/proposer/mask"
)

// runKept is run with KeepRegions.
func runKept(t rapid.TB, data []byte, o Options) *Result {
	t.Helper()
	o.Search.KeepRegions = true
	r, err := Run(context.Background(), data, o)
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Origins) != len(r.Boxes) || len(r.Strategies) != len(o.Search.Strategies) {
		t.Fatalf("got %d boxes, origins of %d boxes, %d strategies", len(r.Boxes), len(r.Origins), len(r.Strategies))
	}
	return r
}

func masksOf(t rapid.TB, r *Result) []mask.RLE {
	t.Helper()
	masks, err := r.Masks(context.Background(), math.MaxInt64)
	if err != nil || len(masks) != len(r.Boxes) {
		t.Fatalf("%d masks of %d boxes, %v", len(masks), len(r.Boxes), err)
	}
	return masks
}

func treeOf(t rapid.TB, r *Result, strategy int) *Tree {
	t.Helper()
	tree, err := r.Tree(context.Background(), strategy)
	if err != nil {
		t.Fatal(err)
	}
	return tree
}

// sourcePixels returns for each pixel of the original, along an axis, the pixel of the searched image
// between whose scaled edges it lies.
func sourcePixels(searched, original int) []int {
	at := make([]int, original)
	for v := range int32(searched) {
		for i := box.Rescale(v, searched, original); i < box.Rescale(v+1, searched, original); i++ {
			at[i] = int(v)
		}
	}
	return at
}

// checkMasks compares the masks with the trees' labels.
func checkMasks(t rapid.TB, r *Result) {
	t.Helper()
	type loaded struct {
		*Tree
		pix []int32
	}
	var trees []loaded
	for s := range r.Strategies {
		tree := treeOf(t, r, s)
		var pix []int32
		for i := 0; i < len(tree.Labels); i += 2 {
			if tree.Labels[i+1] < 1 || i > 0 && tree.Labels[i] == tree.Labels[i-2] {
				t.Fatalf("strategy %d: labels %v", s, tree.Labels[max(0, i-2):i+2])
			}
			pix = append(pix, slices.Repeat(tree.Labels[i:i+1], int(tree.Labels[i+1]))...)
		}
		if tree.Strategy != s || len(pix) != tree.Width*tree.Height {
			t.Fatalf("strategy %d: a tree of %d with %d labels of %d×%d", s, tree.Strategy, len(pix), tree.Width, tree.Height)
		}
		trees = append(trees, loaded{tree, pix})
	}
	columns, rows := sourcePixels(trees[0].Width, r.Width), sourcePixels(trees[0].Height, r.Height)
	for s, tree := range trees {
		labels, err := r.Labels(context.Background(), s)
		if err != nil || len(labels) != r.Width*r.Height {
			t.Fatalf("strategy %d: %d labels of %d×%d, %v", s, len(labels), r.Width, r.Height, err)
		}
		for i, label := range labels {
			if want := tree.pix[rows[i/r.Width]*tree.Width+columns[i%r.Width]]; label != want {
				t.Fatalf("strategy %d: label %d at pixel %d, want %d", s, label, i, want)
			}
		}
	}
	for i, m := range masksOf(t, r) {
		parts := r.Origins[i][:r.Kinds[i].Parts(len(r.Origins[i]))]
		if m.Box() != r.Boxes[i] {
			t.Fatalf("box %d, %v: a mask in %v", i, r.Boxes[i], m.Box())
		}
		under := make([][]bool, len(parts)) // by part and node
		for k, o := range parts {
			tree := trees[o.Strategy]
			node := len(tree.Nodes) - int(o.Position)
			if tree.Nodes[node].Size != o.Size || len(parts) == 1 && tree.Nodes[node].Box != r.Boxes[i] {
				t.Fatalf("box %d, %v: node %+v, origin %+v", i, r.Boxes[i], tree.Nodes[node], o)
			}
			if len(parts) == 1 && r.Width == tree.Width && r.Height == tree.Height && m.Area() != int(o.Size) {
				t.Fatalf("box %d: a mask of %d pixels, want %d", i, m.Area(), o.Size)
			}
			under[k] = make([]bool, len(tree.Nodes))
			for n := len(tree.Nodes) - 1; n >= 0; n-- {
				parent := tree.Nodes[n].Parent
				under[k][n] = n == node || parent >= 0 && under[k][parent]
			}
		}
		if i%7 > 0 {
			continue // the comparison of all pixels is slow
		}
		e := mask.NewEncoder(r.Width, r.Height)
		for x := range r.Width {
			for y := range r.Height {
				for k, o := range parts {
					tree := trees[o.Strategy]
					if under[k][tree.pix[rows[y]*tree.Width+columns[x]]] {
						e.Run(x*r.Height+y, x*r.Height+y+1)
						break
					}
				}
			}
		}
		if e.RLE() != m {
			t.Fatalf("box %d, %v: the mask is not that of the tree's pixels", i, r.Boxes[i])
		}
	}
}

func TestMasks(t *testing.T) {
	data := scene.Render(5, 151, 103, 6).PNG()
	for _, query := range []string{"", "unions=300", "unions=300&max-side=60", "mode=quality&max=50", "order=paper&nms=0.7", "mode=single&max-side=60", "min-side=30&max-side=77", "max-side=1", "joins=50", "joins=50&unions=100&max-side=120"} {
		r := runKept(t, data, parse(t, query))
		check(t, r)
		checkMasks(t, r)
		// KeepRegions does not change the boxes.
		if plain := run(t, data, query); !slices.Equal(plain.Boxes, r.Boxes) || !slices.Equal(plain.Scores, r.Scores) || plain.Origins != nil {
			t.Errorf("%s: KeepRegions changes the boxes", query)
		}
	}
}

// min-side and max keep the origins of the remaining boxes.
func TestMasksOfShrunkenImages(t *testing.T) {
	data := oriented(scene.Render(5, 101, 73, 5).JPEG(90), 6)
	rapid.Check(t, func(rt *rapid.T) {
		o := parse(t, "mode=single&order=hierarchy")
		o.Decode.LongestSide = rapid.IntRange(1, 110).Draw(rt, "max-side")
		o.Filter.MinSide = rapid.IntRange(0, 40).Draw(rt, "min-side")
		o.Search.Max = rapid.IntRange(0, 40).Draw(rt, "max")
		r := runKept(rt, data, o)
		if r.Width != 73 || r.Height != 101 {
			rt.Fatalf("%d×%d", r.Width, r.Height)
		}
		checkMasks(rt, r)
	})
}

func TestMasksLimit(t *testing.T) {
	r := runKept(t, scene.Render(2, 80, 60, 4).PNG(), parse(t, "mode=single"))
	size := int64(0)
	for _, m := range masksOf(t, r) {
		size += int64(len(m.String()))
	}
	if _, err := r.Masks(t.Context(), size); err != nil {
		t.Errorf("%d bytes of %d: %v", size, size, err)
	}
	masks, err := r.Masks(t.Context(), size-1)
	if e, ok := errors.AsType[*imageio.LimitError](err); !ok || masks != nil || e.What != "bytes of masks" || e.Got != size || e.Max != size-1 {
		t.Errorf("%d bytes of %d: %d masks, %v", size, size-1, len(masks), err)
	}
	canceled, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := r.Masks(canceled, size); !errors.Is(err, context.Canceled) {
		t.Errorf("Masks: %v, want context.Canceled", err)
	}
	if _, err := r.Tree(canceled, 0); !errors.Is(err, context.Canceled) {
		t.Errorf("Tree: %v, want context.Canceled", err)
	}
	if _, err := r.Labels(canceled, 0); !errors.Is(err, context.Canceled) {
		t.Errorf("Labels: %v, want context.Canceled", err)
	}
}

// The label of a pixel is that of the searched pixel in which its center lies; an edge belongs to the
// pixel before it.
func TestLabelsOfResizedImages(t *testing.T) {
	data := scene.Render(3, 61, 47, 4).PNG()
	for _, size := range []string{"max-side=40", "resize-width=25", "resize-width=61", "resize-width=62", "resize-width=122", "resize-width=200"} {
		t.Run(size, func(t *testing.T) {
			r := runKept(t, data, parse(t, "mode=single&k=30&"+size))
			tree := treeOf(t, r, 0)
			var pix []int32
			for i := 0; i < len(tree.Labels); i += 2 {
				pix = append(pix, slices.Repeat(tree.Labels[i:i+1], int(tree.Labels[i+1]))...)
			}
			labels, err := r.Labels(t.Context(), 0)
			if err != nil || len(labels) != 61*47 {
				t.Fatalf("got %d labels (%v), want %d", len(labels), err, 61*47)
			}
			searched := func(v, side, searchedSide int) int {
				last := 0
				for s := range searchedSide {
					if float64(s)*float64(side) < (float64(v)+.5)*float64(searchedSide) {
						last = s
					}
				}
				return last
			}
			for i, label := range labels {
				x, y := searched(i%61, 61, tree.Width), searched(i/61, 47, tree.Height)
				if want := pix[y*tree.Width+x]; label != want {
					t.Fatalf("got label %d at %d, %d, want %d", label, i%61, i/61, want)
				}
			}
		})
	}
}

func TestPanicsWithoutRegions(t *testing.T) {
	r := run(t, scene.Render(2, 40, 30, 2).PNG(), "mode=single")
	for name, f := range map[string]func(){
		"Masks":  func() { _, _ = r.Masks(t.Context(), 1) },
		"Tree":   func() { _, _ = r.Tree(t.Context(), 0) },
		"Labels": func() { _, _ = r.Labels(t.Context(), 0) },
	} {
		t.Run(name, func(t *testing.T) {
			defer func() {
				if recover() == nil {
					t.Error("no panic")
				}
			}()
			f()
		})
	}
}

// Masks and trees do not depend on the number of threads.
func TestMasksThreads(t *testing.T) {
	data := scene.Render(8, 160, 120, 8).JPEG(85)
	var want string
	for _, threads := range []string{"1", "2", "5"} {
		r := runKept(t, data, parse(t, "max-side=130&threads="+threads))
		got := fmt.Sprint(r.Width, r.Height, r.Boxes, r.Scores, r.Strategies, masksOf(t, r), r.Origins, *treeOf(t, r, 5))
		if want == "" {
			want = got
		}
		if got != want {
			t.Errorf("%s threads: got another result", threads)
		}
	}
}

// Masks that exceed their limit by far are not all computed.
func TestMasksSample(t *testing.T) {
	opts := DefaultOptions()
	opts.Search.Max, opts.Search.KeepRegions = 0, true
	opts.Search.Strategies[0].MinSize = 5
	result, err := Run(t.Context(), scene.Render(1, 320, 240, 30).PNG(), opts)
	if err != nil {
		t.Fatal(err)
	}
	masks, err := result.Masks(t.Context(), 1<<30)
	if err != nil || len(masks) < 4*sampledMasks {
		t.Fatalf("%d masks, %v; want at least %d", len(masks), err, 4*sampledMasks)
	}
	size := int64(0)
	for _, m := range masks {
		size += int64(len(m.String()))
	}
	for _, limit := range []int64{size / 10, size - 1, size} {
		got, err := result.Masks(t.Context(), limit)
		e, limited := errors.AsType[*imageio.LimitError](err)
		switch {
		case limit == size && err == nil && len(got) == len(masks):
		case limit < size && limited && e.Max == limit && e.Got > limit && e.Got < 2*size:
		default:
			t.Errorf("limit %d of %d bytes: got %d masks, %v", limit, size, len(got), err)
		}
	}
}
