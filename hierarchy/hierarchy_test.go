package hierarchy

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/proposer/proposer/box"
	"github.com/proposer/proposer/internal/testutil/benchmetric"
)

// picture is a label picture with the sizes and boxes of its regions.
type picture struct {
	width, height, regions int
	labels                 []int32
	sizes                  []int32
	boxes                  []box.Box
}

// newPicture numbers the regions of arbitrary labels densely.
func newPicture(labels []int32, width int) *picture {
	p := &picture{width: width, height: len(labels) / width, labels: slices.Clone(labels)}
	numbers := map[int32]int32{}
	for i, l := range labels {
		n, ok := numbers[l]
		if !ok {
			n = int32(p.regions)
			numbers[l] = n
			p.regions++
			p.sizes, p.boxes = append(p.sizes, 0), append(p.boxes, box.Box{})
		}
		x, y := int32(i%width), int32(i/width)
		p.labels[i] = n
		p.sizes[n]++
		p.boxes[n] = p.boxes[n].Union(box.Box{X0: x, Y0: y, X1: x + 1, Y1: y + 1})
	}
	return p
}

// mosaic is a picture of regions grown around random seeds.
func mosaic(rng *rand.Rand, width, height, regions int) *picture {
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
	return newPicture(labels, width)
}

// spots is a picture of one background that spots of one pixel are strewn on; some
// touch each other.
func spots(rng *rand.Rand, width, height, regions int) *picture {
	labels := make([]int32, width*height)
	for i := range regions {
		labels[rng.IntN(len(labels))] = int32(i)
	}
	return newPicture(labels, width)
}

// comb is a picture of teeth of one pixel's width, two apart, that hang in one background.
func comb(_ *rand.Rand, width, height, regions int) *picture {
	labels := make([]int32, width*height)
	for i := range labels {
		if x := i % width; x%2 == 1 && x/2+1 < regions && i/width < height-1 {
			labels[i] = int32(x/2 + 1)
		}
	}
	return newPicture(labels, width)
}

func (p *picture) graph(t interface{ Fatal(...any) }) *Graph {
	g, err := NewGraph(context.Background(), nil, p.labels, p.width, p.regions)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

// literalNeighbours asks every pixel and its four neighbours.
func (p *picture) literalNeighbours() []map[int32]bool {
	near := make([]map[int32]bool, p.regions)
	for i := range near {
		near[i] = map[int32]bool{}
	}
	for y := range p.height {
		for x := range p.width {
			for _, d := range [][2]int{{1, 0}, {-1, 0}, {0, 1}, {0, -1}} {
				u, v := x+d[0], y+d[1]
				if u < 0 || v < 0 || u >= p.width || v >= p.height {
					continue
				}
				a, b := p.labels[y*p.width+x], p.labels[v*p.width+u]
				if a != b {
					near[a][b] = true
				}
			}
		}
	}
	return near
}

// vectors is a Measure for tests: regions are points whose union is the mean
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

// literal groups by looking at all pairs at every step. Its regions are sets of leaves,
// and two of them are adjacent when any of their leaves are.
func literal(p *picture, v *vectors) *Tree {
	near := p.literalNeighbours()
	t := &Tree{}
	leaves := [][]int32{}
	slot := []int32{}
	for i := range p.regions {
		t.Nodes = append(t.Nodes, Node{p.boxes[i], p.sizes[i], [2]int32{-1, -1}, -1, float32(math.Inf(1))})
		leaves = append(leaves, []int32{int32(i)})
		slot = append(slot, int32(i))
	}
	adjacent := func(a, b int) bool {
		for _, x := range leaves[a] {
			for _, y := range leaves[b] {
				if near[x][y] {
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
		u := Node{a.Box.Union(b.Box), a.Size + b.Size, [2]int32{int32(bestA), int32(bestB)}, -1, best}
		v.Merge(slot[bestA], slot[bestB])
		t.Nodes = append(t.Nodes, u)
		leaves = append(leaves, slices.Concat(leaves[bestA], leaves[bestB]))
		slot = append(slot, slot[bestA])
	}
}

func TestGroup(t *testing.T) {
	var grouper Grouper // and tree: the next grouping must find nothing of the last
	var got *Tree
	rapid.Check(t, func(t *rapid.T) {
		w, h := rapid.IntRange(1, 30).Draw(t, "width"), rapid.IntRange(1, 30).Draw(t, "height")
		seeds := rapid.IntRange(1, 50).Draw(t, "seeds")
		steps := rapid.SampledFrom([]float64{1, 4, 100, 1e6}).Draw(t, "steps")
		rng := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 0))
		draw := rapid.SampledFrom([]func(*rand.Rand, int, int, int) *picture{mosaic, spots, comb}).Draw(t, "picture")
		p := draw(rng, w, h, seeds)
		v := newVectors(rng, p.sizes, steps)

		var err error
		if got, err = grouper.Group(context.Background(), got, p.graph(t), p.sizes, p.boxes, v.clone()); err != nil {
			t.Fatal(err)
		}
		if want := literal(p, v.clone()); !slices.Equal(got.Nodes, want.Nodes) {
			t.Fatalf("tree differs from the literal implementation:\ngot  %v\nwant %v", got.Nodes, want.Nodes)
		}

		if n := len(got.Nodes); n != 2*p.regions-1 || got.Leaves() != p.regions {
			t.Fatalf("%d nodes and %d leaves of %d regions", n, got.Leaves(), p.regions)
		}
		for i, n := range got.Nodes {
			if got.Position(i) != len(got.Nodes)-i {
				t.Fatalf("position of node %d: %d", i, got.Position(i))
			}
			if n.Children[0] < 0 {
				continue
			}
			a, b := got.Nodes[n.Children[0]], got.Nodes[n.Children[1]]
			if n.Size != a.Size+b.Size || n.Box != a.Box.Union(b.Box) || a.Parent != int32(i) || b.Parent != int32(i) {
				t.Fatalf("node %d %v is not the union of %v and %v", i, n, a, b)
			}
		}
		root := got.Nodes[len(got.Nodes)-1]
		if want := (box.Box{X1: int32(w), Y1: int32(h)}); root.Box != want || int(root.Size) != w*h || root.Parent != -1 {
			t.Fatalf("root %v, want the whole picture %v", root, want)
		}
	})
}

// TestGroupLarge: lists get packed, regions have many neighbours, ties are everywhere or nowhere.
func TestGroupLarge(t *testing.T) {
	var grouper Grouper
	for i, draw := range []func(*rand.Rand, int, int, int) *picture{spots, mosaic, comb, spots} {
		for _, steps := range []float64{1, 4, 1e6} {
			rng := rand.New(rand.NewPCG(uint64(i), 7))
			p := draw(rng, 130, 20, 60+10*i)
			v := newVectors(rng, p.sizes, steps)
			got, err := grouper.Group(t.Context(), nil, p.graph(t), p.sizes, p.boxes, v.clone())
			if err != nil {
				t.Fatal(err)
			}
			if want := literal(p, v); !slices.Equal(got.Nodes, want.Nodes) {
				t.Errorf("picture %d in %v steps: tree differs from the literal implementation", i, steps)
			}
		}
	}
}

func TestNotConnected(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("no panic")
		}
	}()
	g := &Graph{starts: []int32{0, 1, 2, 2}, ids: []int32{1, 0}}
	_, _ = new(Grouper).Group(t.Context(), nil, g, make([]int32, 3), make([]box.Box, 3), make(shades, 3))
}

func TestGraph(t *testing.T) {
	var g *Graph // the next must find nothing of the last
	rapid.Check(t, func(t *rapid.T) {
		w, h := rapid.IntRange(1, 40).Draw(t, "width"), rapid.IntRange(1, 20).Draw(t, "height")
		// Any labels, not connected either, in bricks of any size.
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
		p := newPicture(labels, w)
		var err error
		if g, err = NewGraph(context.Background(), g, p.labels, w, p.regions); err != nil {
			t.Fatal(err)
		}
		if g.Regions() != p.regions {
			t.Fatalf("%d regions, want %d", g.Regions(), p.regions)
		}
		for r, want := range p.literalNeighbours() {
			got := g.Neighbors(r)
			if !slices.IsSorted(got) || len(got) != len(want) {
				t.Fatalf("region %d: neighbours %v, want %v", r, got, want)
			}
			for _, x := range got {
				if !want[x] {
					t.Fatalf("region %d: neighbours %v, want %v", r, got, want)
				}
			}
		}
	})
}

// TestFirstRowAndColumn: contacts along the picture's edge count like any other.
func TestFirstRowAndColumn(t *testing.T) {
	p := newPicture([]int32{
		0, 1, 2,
		3, 4, 4,
		5, 4, 4,
	}, 3)
	want := [][]int32{{1, 3}, {0, 2, 4}, {1, 4}, {0, 4, 5}, {1, 2, 3, 5}, {3, 4}}
	g := p.graph(t)
	for r := range want {
		if got := g.Neighbors(r); !slices.Equal(got, want[r]) {
			t.Errorf("region %d: neighbours %v, want %v", r, got, want[r])
		}
	}
}

// TestWideRows: a contact where the scan of a row pauses to look at the context is found.
func TestWideRows(t *testing.T) {
	const width = pollPixels + 3
	for _, first := range []bool{true, false} {
		labels := make([]int32, 2*width)
		row := labels[width:]
		if first {
			row = labels[:width]
		}
		for x := range row {
			if row[x] = 1; x >= pollPixels {
				row[x] = 2
			}
		}
		g, err := NewGraph(t.Context(), nil, labels, width, 3)
		if err != nil {
			t.Fatal(err)
		}
		if got := g.Neighbors(1); !slices.Equal(got, []int32{0, 2}) {
			t.Errorf("first row %v: neighbours %v, want [0 2]", first, got)
		}
	}
}

func TestCancel(t *testing.T) {
	p := mosaic(rand.New(rand.NewPCG(1, 1)), 40, 40, 30)
	g := p.graph(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := new(Grouper).Group(ctx, nil, g, p.sizes, p.boxes, newVectors(rand.New(rand.NewPCG(1, 1)), p.sizes, 10)); !errors.Is(err, context.Canceled) {
		t.Errorf("Group: %v, want context.Canceled", err)
	}
	if _, err := NewGraph(ctx, nil, make([]int32, 1<<17), 1<<16, 1); !errors.Is(err, context.Canceled) {
		t.Errorf("NewGraph: %v, want context.Canceled", err)
	}
}

// impatient ends after some looks.
type impatient struct {
	context.Context
	looks int
}

func (c *impatient) Err() error {
	if c.looks--; c.looks < 0 {
		return context.Canceled
	}
	return nil
}

// TestCancelLater: the context is looked at in the midst, too.
func TestCancelLater(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	p := mosaic(rng, 200, 200, 3000)
	g, v := p.graph(t), newVectors(rng, p.sizes, 1e6)
	all := &impatient{t.Context(), math.MaxInt}
	if _, err := new(Grouper).Group(all, nil, g, p.sizes, p.boxes, v.clone()); err != nil {
		t.Fatal(err)
	}
	looks := math.MaxInt - all.looks
	if looks < 10 {
		t.Errorf("%d looks at the context", looks)
	}
	for n := range looks {
		if _, err := new(Grouper).Group(&impatient{t.Context(), n}, nil, g, p.sizes, p.boxes, v.clone()); !errors.Is(err, context.Canceled) {
			t.Errorf("canceled at look %d: %v", n, err)
		}
	}
}

// shades is the simplest Measure: regions have a grey level.
type shades []float64

func (s shades) Similarities(dst []float32, a int32, others []int32) {
	for i, b := range others {
		dst[i] = float32(1 - math.Abs(s[a]-s[b]))
	}
}

func (s shades) Merge(a, b int32) { s[a] = (s[a] + s[b]) / 2 }

func ExampleGrouper() {
	// Three stripes, of which the left two are alike.
	labels := []int32{
		0, 0, 1, 2, 2, 2,
		0, 0, 1, 2, 2, 2,
	}
	ctx := context.Background()
	g, err := NewGraph(ctx, nil, labels, 6, 3)
	if err != nil {
		panic(err)
	}
	sizes := []int32{4, 2, 6}
	boxes := []box.Box{{X0: 0, Y0: 0, X1: 2, Y1: 2}, {X0: 2, Y0: 0, X1: 3, Y1: 2}, {X0: 3, Y0: 0, X1: 6, Y1: 2}}
	tree, err := new(Grouper).Group(ctx, nil, g, sizes, boxes, shades{0.1, 0.2, 0.9})
	if err != nil {
		panic(err)
	}
	for _, n := range tree.Nodes[tree.Leaves():] {
		fmt.Println(n.Children, n.Box, n.Size)
	}
	// Output:
	// [0 1] [0 0 3 2] 6
	// [2 3] [0 0 6 2] 12
}

func BenchmarkGraph(b *testing.B) {
	p := mosaic(rand.New(rand.NewPCG(1, 2)), 640, 480, 800)
	var g *Graph
	benchmetric.ReportMegapixels(b, 640*480)
	for b.Loop() {
		var err error
		if g, err = NewGraph(b.Context(), g, p.labels, p.width, p.regions); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkGroup measures the bookkeeping alone: its measure costs next to nothing.
func BenchmarkGroup(b *testing.B) {
	rng := rand.New(rand.NewPCG(1, 2))
	p := mosaic(rng, 640, 480, 800)
	g, v := p.graph(b), newVectors(rng, p.sizes, 1e6)
	var grouper Grouper
	var tree *Tree
	benchmetric.ReportMegapixels(b, 640*480)
	for b.Loop() {
		var err error
		if tree, err = grouper.Group(b.Context(), tree, g, p.sizes, p.boxes, v.clone()); err != nil {
			b.Fatal(err)
		}
	}
}
