package hierarchy

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/proposer/proposer/box"
	"github.com/proposer/proposer/internal/testutil/benchmetric"
	"github.com/proposer/proposer/raster"
)

// dense returns the label image of arbitrary labels, renumbered densely in raster order.
func dense(labels []int32, width int) *raster.LabelImage {
	pix := make([]int32, len(labels))
	numbers := map[int32]int32{}
	for i, l := range labels {
		n, ok := numbers[l]
		if !ok {
			n = int32(len(numbers))
			numbers[l] = n
		}
		pix[i] = n
	}
	return raster.NewLabelImage(width, pix)
}

// mosaic returns the Voronoi cells of random points.
func mosaic(rng *rand.Rand, width, height, regions int) *raster.LabelImage {
	xs, ys := make([]int, regions), make([]int, regions)
	for i := range regions {
		xs[i], ys[i] = rng.IntN(width), rng.IntN(height)
	}
	labels := make([]int32, width*height)
	for i := range labels {
		best := math.MaxInt
		for s := range regions {
			dx, dy := i%width-xs[s], i/width-ys[s]
			if d := dx*dx + dy*dy; d < best {
				best, labels[i] = d, int32(s)
			}
		}
	}
	return dense(labels, width)
}

// spots returns a background with random spots of one pixel, some of which touch.
func spots(rng *rand.Rand, width, height, regions int) *raster.LabelImage {
	labels := make([]int32, width*height)
	for i := range regions {
		labels[rng.IntN(len(labels))] = int32(i)
	}
	return dense(labels, width)
}

// comb returns a background with vertical teeth one pixel wide at every other column.
func comb(_ *rand.Rand, width, height, regions int) *raster.LabelImage {
	labels := make([]int32, width*height)
	for i := range labels {
		if x := i % width; x%2 == 1 && x/2+1 < regions && i/width < height-1 {
			labels[i] = int32(x/2 + 1)
		}
	}
	return dense(labels, width)
}

func adjacency(t rapid.TB, l *raster.LabelImage) *Graph {
	t.Helper()
	g := new(Graph)
	if err := g.Build(context.Background(), l); err != nil {
		t.Fatal(err)
	}
	return g
}

// referenceNeighbors compares every pixel to its four neighbors.
func referenceNeighbors(l *raster.LabelImage) []map[int32]bool {
	neighbors := make([]map[int32]bool, l.Regions())
	for i := range neighbors {
		neighbors[i] = map[int32]bool{}
	}
	for y := range l.Height {
		for x := range l.Width {
			for _, d := range [][2]int{{1, 0}, {-1, 0}, {0, 1}, {0, -1}} {
				u, v := x+d[0], y+d[1]
				if u < 0 || v < 0 || u >= l.Width || v >= l.Height {
					continue
				}
				a, b := l.Pix[y*l.Width+x], l.Pix[v*l.Width+u]
				if a != b {
					neighbors[a][b] = true
				}
			}
		}
	}
	return neighbors
}

// vectors is a Measure for tests: regions are points on a line, a union is the mean
// weighted by size. Coarse coordinates make ties common.
type vectors struct {
	at    []float64
	sizes []int32
	steps float64 // similarities are rounded to 1/steps
}

func newVectors(rng *rand.Rand, sizes []int32, steps float64) *vectors {
	v := &vectors{at: make([]float64, len(sizes)), sizes: slices.Clone(sizes), steps: steps}
	for i := range v.at {
		v.at[i] = math.Round(rng.Float64()*steps) / steps
	}
	return v
}

func (v *vectors) clone() *vectors {
	return &vectors{slices.Clone(v.at), slices.Clone(v.sizes), v.steps}
}

func (v *vectors) similarity(a, b int32) float32 {
	return float32(1 - math.Round(math.Abs(v.at[a]-v.at[b])*v.steps)/v.steps)
}

func (v *vectors) Similarities(dst []float32, a int32, others []int32) {
	for i, b := range others {
		dst[i] = v.similarity(a, b)
	}
}

func (v *vectors) Merge(a, b int32) {
	na, nb := float64(v.sizes[a]), float64(v.sizes[b])
	// Symmetric in a and b to the bit, whichever slot the union lands in.
	v.at[a] = (v.at[a]*na + v.at[b]*nb) / (na + nb)
	v.sizes[a] += v.sizes[b]
}

// referenceGroup compares all pairs of nodes at every step. Its regions are sets of leaves;
// two of them are adjacent if any of their leaves are.
func referenceGroup(l *raster.LabelImage, v *vectors) *Tree {
	neighbors := referenceNeighbors(l)
	t := &Tree{}
	leaves := [][]int32{}
	slot := []int32{}
	for i := range l.Regions() {
		t.Nodes = append(t.Nodes, Node{l.Boxes[i], l.Sizes[i], [2]int32{-1, -1}, -1, float32(math.Inf(1))})
		leaves = append(leaves, []int32{int32(i)})
		slot = append(slot, int32(i))
	}
	adjacent := func(a, b int) bool {
		for _, x := range leaves[a] {
			for _, y := range leaves[b] {
				if neighbors[x][y] {
					return true
				}
			}
		}
		return false
	}
	for {
		bestA, bestB, best := -1, -1, float32(-1)
		for b := range t.Nodes {
			for a := range b {
				if t.Nodes[a].Parent >= 0 || t.Nodes[b].Parent >= 0 || !adjacent(a, b) {
					continue
				}
				if s := v.similarity(slot[a], slot[b]); s > best {
					bestA, bestB, best = a, b, s
				}
			}
		}
		if bestA < 0 {
			return t
		}
		id := int32(len(t.Nodes))
		a, b := &t.Nodes[bestA], &t.Nodes[bestB]
		a.Parent, b.Parent = id, id
		union := Node{a.Box.Union(b.Box), a.Size + b.Size, [2]int32{int32(bestA), int32(bestB)}, -1, best}
		v.Merge(slot[bestA], slot[bestB])
		t.Nodes = append(t.Nodes, union)
		leaves = append(leaves, slices.Concat(leaves[bestA], leaves[bestB]))
		slot = append(slot, slot[bestA])
	}
}

var drawings = map[string]func(*rand.Rand, int, int, int) *raster.LabelImage{"mosaic": mosaic, "spots": spots, "comb": comb}

func TestGroupMatchesReference(t *testing.T) {
	// The memory is reused: a result must not depend on the one before.
	var grouper Grouper
	var got *Tree
	rapid.Check(t, func(t *rapid.T) {
		w, h := rapid.IntRange(1, 30).Draw(t, "width"), rapid.IntRange(1, 30).Draw(t, "height")
		regions := rapid.IntRange(1, 50).Draw(t, "regions")
		steps := rapid.SampledFrom([]float64{1, 4, 100, 1e6}).Draw(t, "steps")
		rng := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 0))
		draw := drawings[rapid.SampledFrom([]string{"mosaic", "spots", "comb"}).Draw(t, "drawing")]
		l := draw(rng, w, h, regions)
		v := newVectors(rng, l.Sizes, steps)

		var err error
		if got, err = grouper.Group(context.Background(), got, adjacency(t, l), l, v.clone()); err != nil {
			t.Fatal(err)
		}
		if want := referenceGroup(l, v.clone()); !slices.Equal(got.Nodes, want.Nodes) {
			t.Fatalf("trees differ:\ngot  %v\nwant %v", got.Nodes, want.Nodes)
		}
		checkTree(t, got, l)
	})
}

// checkTree checks that every node is the union of its children and the root the whole image.
func checkTree(t rapid.TB, tree *Tree, l *raster.LabelImage) {
	t.Helper()
	if n, r := len(tree.Nodes), l.Regions(); n != 2*r-1 || tree.Leaves() != r {
		t.Fatalf("got %d nodes and %d leaves, want %d and %d", n, tree.Leaves(), 2*r-1, r)
	}
	for i, n := range tree.Nodes {
		if p := tree.Position(i); p != len(tree.Nodes)-i || tree.At(p) != i {
			t.Fatalf("node %d: got position %d and back %d", i, p, tree.At(p))
		}
		if n.Children[0] < 0 {
			continue
		}
		a, b := tree.Nodes[n.Children[0]], tree.Nodes[n.Children[1]]
		if n.Size != a.Size+b.Size || n.Box != a.Box.Union(b.Box) || a.Parent != int32(i) || b.Parent != int32(i) {
			t.Fatalf("node %d %v is not the union of %v and %v", i, n, a, b)
		}
	}
	root := tree.Nodes[len(tree.Nodes)-1]
	if want := (box.Box{X1: int32(l.Width), Y1: int32(l.Height)}); root.Box != want || int(root.Size) != len(l.Pix) || root.Parent != -1 {
		t.Fatalf("got root %v, want the whole image %v", root, want)
	}
}

// Lists get packed, regions have many neighbors, ties are everywhere or nowhere.
func TestGroupMatchesReferenceOnManyRegions(t *testing.T) {
	var grouper Grouper
	for i, name := range []string{"spots", "mosaic", "comb", "spots"} {
		for _, steps := range []float64{1, 4, 1e6} {
			t.Run(fmt.Sprintf("%s %d steps %g", name, 60+10*i, steps), func(t *testing.T) {
				rng := rand.New(rand.NewPCG(uint64(i), 7))
				l := drawings[name](rng, 130, 20, 60+10*i)
				v := newVectors(rng, l.Sizes, steps)
				got, err := grouper.Group(t.Context(), nil, adjacency(t, l), l, v.clone())
				if err != nil {
					t.Fatal(err)
				}
				if want := referenceGroup(l, v); !slices.Equal(got.Nodes, want.Nodes) {
					t.Error("trees differ")
				}
			})
		}
	}
}

// Pairs are those of regions that touch, with their similarities, from the creation of the younger
// region on, and the last ones if there are more than MaxPairs.
func TestPairs(t *testing.T) {
	for i, name := range []string{"spots", "mosaic", "comb"} {
		t.Run(name, func(t *testing.T) {
			rng := rand.New(rand.NewPCG(uint64(i), 3))
			l := drawings[name](rng, 130, 20, 60)
			graph, v := adjacency(t, l), newVectors(rng, l.Sizes, 20)
			pairs := func(n int) *Tree {
				grouper := Grouper{MaxPairs: n}
				tree, err := grouper.Group(t.Context(), nil, graph, l, v.clone())
				if err != nil {
					t.Fatal(err)
				}
				return tree
			}
			all := pairs(math.MaxInt32)
			neighbors := referenceNeighbors(l)
			leaves := make([]map[int32]bool, len(all.Nodes))
			for n := range all.Nodes {
				leaves[n] = map[int32]bool{int32(n): true}
				if c := all.Nodes[n].Children; c[0] >= 0 {
					leaves[n] = maps.Clone(leaves[c[0]])
					maps.Copy(leaves[n], leaves[c[1]])
				}
			}
			touch := func(a, b int) bool {
				for x := range leaves[a] {
					for y := range leaves[b] {
						if neighbors[x][y] {
							return true
						}
					}
				}
				return false
			}
			got := map[[2]int]float32{}
			for _, p := range all.Pairs {
				got[[2]int{int(p.A), int(p.B)}] = p.Similarity
			}
			want := 0
			for b := range all.Nodes {
				for a := range b {
					parent := int(all.Nodes[a].Parent)
					if parent <= b && b >= l.Regions() || !touch(a, b) { // merged before b
						continue
					}
					want++
					s, ok := got[[2]int{a, b}]
					if !ok || parent == int(all.Nodes[b].Parent) && s != all.Nodes[parent].Similarity {
						t.Fatalf("pair %d, %d: %v, similarity %v", a, b, ok, s)
					}
				}
			}
			if len(all.Pairs) != want || len(got) != want {
				t.Fatalf("got %d pairs, %d different, want %d", len(all.Pairs), len(got), want)
			}
			for _, n := range []int{0, 1, 7, want - 1, want + 1} {
				if got, want := pairs(n).Pairs, all.Pairs[max(want-n, 0):]; !slices.Equal(got, want) {
					t.Errorf("at most %d pairs: got %d others, want %d", n, len(got), len(want))
				}
			}
		})
	}
}

func TestGroupPanicsIfNotConnected(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("got no panic")
		}
	}()
	g := &Graph{starts: []int32{0, 1, 2, 2}, ids: []int32{1, 0}}
	l := &raster.LabelImage{Sizes: make([]int32, 3), Boxes: make([]box.Box, 3)}
	_, _ = new(Grouper).Group(t.Context(), nil, g, l, newVectors(rand.New(rand.NewPCG(1, 1)), l.Sizes, 10))
}

func TestNeighborsMatchReference(t *testing.T) {
	var g Graph // reused: a result must not depend on the one before
	rapid.Check(t, func(t *rapid.T) {
		w, h := rapid.IntRange(1, 40).Draw(t, "width"), rapid.IntRange(1, 20).Draw(t, "height")
		// Regions need not be connected; they consist of bricks.
		labels := make([]int32, w*h)
		rng := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 0))
		n := rapid.IntRange(1, 30).Draw(t, "regions")
		bw, bh := rapid.IntRange(1, 8).Draw(t, "brick width"), rapid.IntRange(1, 4).Draw(t, "brick height")
		for i := range labels {
			x, y := i%w, i/w
			if labels[i] = int32(rng.IntN(n)); y%bh != 0 {
				labels[i] = labels[i-w]
			} else if (x+y/bh)%bw != 0 && x > 0 {
				labels[i] = labels[i-1]
			}
		}
		l := dense(labels, w)
		if err := g.Build(context.Background(), l); err != nil {
			t.Fatal(err)
		}
		if g.Regions() != l.Regions() {
			t.Fatalf("got %d regions, want %d", g.Regions(), l.Regions())
		}
		for r, neighbors := range referenceNeighbors(l) {
			want := slices.Sorted(maps.Keys(neighbors))
			if got := g.Neighbors(r); !slices.Equal(got, want) {
				t.Fatalf("region %d: got neighbors %v, want %v", r, got, want)
			}
		}
	})
}

func TestNeighborsInFirstRowAndColumn(t *testing.T) {
	l := dense([]int32{
		0, 1, 2,
		3, 4, 4,
		5, 4, 4,
	}, 3)
	want := [][]int32{{1, 3}, {0, 2, 4}, {1, 4}, {0, 4, 5}, {1, 2, 3, 5}, {3, 4}}
	g := adjacency(t, l)
	for r := range want {
		if got := g.Neighbors(r); !slices.Equal(got, want[r]) {
			t.Errorf("region %d: got neighbors %v, want %v", r, got, want[r])
		}
	}
}

// The contact is where the scan of a row checks the context.
func TestNeighborsInWideRows(t *testing.T) {
	const width = pollPixels + 3
	for y := range 2 {
		t.Run(fmt.Sprintf("row %d", y), func(t *testing.T) {
			labels := make([]int32, 2*width)
			row := labels[y*width:][:width]
			for x := range row {
				if row[x] = 1; x >= pollPixels {
					row[x] = 2
				}
			}
			g := adjacency(t, raster.NewLabelImage(width, labels))
			if got, want := g.Neighbors(1), []int32{0, 2}; !slices.Equal(got, want) {
				t.Errorf("got neighbors %v, want %v", got, want)
			}
		})
	}
}

func TestCancel(t *testing.T) {
	l := mosaic(rand.New(rand.NewPCG(1, 1)), 40, 40, 30)
	g := adjacency(t, l)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	v := newVectors(rand.New(rand.NewPCG(1, 1)), l.Sizes, 10)
	if _, err := new(Grouper).Group(ctx, nil, g, l, v); !errors.Is(err, context.Canceled) {
		t.Errorf("Group: got error %v, want context.Canceled", err)
	}
	large := raster.NewLabelImage(1<<16, make([]int32, 1<<17))
	if err := new(Graph).Build(ctx, large); !errors.Is(err, context.Canceled) {
		t.Errorf("Build: got error %v, want context.Canceled", err)
	}
}

// countdown is a context that is canceled after a number of checks.
type countdown struct {
	context.Context
	checks int
}

func (c *countdown) Err() error {
	if c.checks--; c.checks < 0 {
		return context.Canceled
	}
	return nil
}

func TestCancelAtEveryCheck(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	l := mosaic(rng, 200, 200, 3000)
	g, v := adjacency(t, l), newVectors(rng, l.Sizes, 1e6)
	never := &countdown{t.Context(), math.MaxInt}
	if _, err := new(Grouper).Group(never, nil, g, l, v.clone()); err != nil {
		t.Fatal(err)
	}
	checks := math.MaxInt - never.checks
	if checks < 10 {
		t.Errorf("got %d checks of the context, want at least 10", checks)
	}
	for n := range checks {
		if _, err := new(Grouper).Group(&countdown{t.Context(), n}, nil, g, l, v.clone()); !errors.Is(err, context.Canceled) {
			t.Errorf("canceled at check %d: got error %v, want context.Canceled", n, err)
		}
	}
}

func BenchmarkBuild(b *testing.B) {
	l := mosaic(rand.New(rand.NewPCG(1, 2)), 640, 480, 800)
	var g Graph
	benchmetric.ReportMegapixels(b, 640*480)
	for b.Loop() {
		if err := g.Build(b.Context(), l); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkGroup measures the bookkeeping: its measure costs next to nothing.
func BenchmarkGroup(b *testing.B) {
	rng := rand.New(rand.NewPCG(1, 2))
	l := mosaic(rng, 640, 480, 800)
	g, v := adjacency(b, l), newVectors(rng, l.Sizes, 1e6)
	var grouper Grouper
	var tree *Tree
	benchmetric.ReportMegapixels(b, 640*480)
	for b.Loop() {
		var err error
		if tree, err = grouper.Group(b.Context(), tree, g, l, v.clone()); err != nil {
			b.Fatal(err)
		}
	}
}
