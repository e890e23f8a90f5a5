package web_test

import (
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/proposer/proposer/box"
)

// call evaluates an expression of args in the page, where m is a module of the assets.
func call[T any](p *tab, module, expression string, args any) T {
	p.t.Helper()
	return eval[T](p, fmt.Sprintf(`import(new URL("assets/%s", document.baseURI)).then((m) => ((args) => %s)(%s))`,
		module, expression, must(json.Marshal(args))))
}

type mask struct {
	Size   [2]int `json:"size"`
	Counts string `json:"counts"`
}

// encode is COCO's rleEncode and rleToString, of row-major pixels.
func encode(pixels []bool, width, height int) mask {
	var counts []int
	run, in := 0, false
	for x := range width {
		for y := range height {
			if pixels[y*width+x] != in {
				counts = append(counts, run)
				run, in = 0, !in
			}
			run++
		}
	}
	counts = append(counts, run)
	var text strings.Builder
	for i, v := range counts {
		if i > 2 {
			v -= counts[i-2]
		}
		for more := true; more; {
			group := v & 31
			v >>= 5
			if group&16 != 0 {
				more = v != -1
			} else {
				more = v != 0
			}
			if more {
				group |= 32
			}
			text.WriteByte(byte(group + 48))
		}
	}
	return mask{[2]int{height, width}, text.String()}
}

func TestMasksAreRead(t *testing.T) {
	p := open(t, new(double).serve(t))
	type part struct {
		Mask mask   `json:"mask"`
		Box  [4]int `json:"box"`
	}
	r := rand.New(rand.NewPCG(3, 4))
	var parts []part
	var want [][]int
	for range 200 {
		width, height := 1+r.IntN(70), 1+r.IntN(70)
		pixels := make([]bool, width*height)
		change := 1 + r.IntN(60) // long runs, and short ones
		in := r.IntN(2) == 0
		for i := range pixels {
			if r.IntN(change) == 0 {
				in = !in
			}
			pixels[i] = in
		}
		x0, y0 := r.IntN(width), r.IntN(height)
		x1, y1 := x0+1+r.IntN(width-x0), y0+1+r.IntN(height-y0)
		parts = append(parts, part{encode(pixels, width, height), [4]int{x0, y0, x1, y1}})
		var bits []int
		for y := y0; y < y1; y++ {
			for x := x0; x < x1; x++ {
				bit := 0
				if pixels[y*width+x] {
					bit = 1
				}
				bits = append(bits, bit)
			}
		}
		want = append(want, bits)
	}
	got := call[[][]int](p, "rle.js", `args.map(({ mask, box }) => [...m.crop(mask, box).bits])`, parts)
	if !reflect.DeepEqual(got, want) {
		t.Error("masks are not what was encoded")
	}

	// pycocotools writes a 3 × 2 mask with its last column set so, and long runs in several groups.
	lengths := call[[]int](p, "rle.js", `m.runs("33", 6)`, nil)
	if !slices.Equal(lengths, []int{3, 3}) {
		t.Errorf("runs of 33: %v, want [3 3]", lengths)
	}
	long := encode(make([]bool, 5000*4000), 5000, 4000)
	if got := call[[]int](p, "rle.js", `m.runs(args, 5000 * 4000)`, long.Counts); !slices.Equal(got, []int{5000 * 4000}) {
		t.Errorf("runs of %s: %v, want [20000000]", long.Counts, got)
	}

	broken := []string{"", "3", "333", "P", "3S", "o0", "32\x7f", "PPPPPPPPPPPP0", "2O5", "é"}
	refused := call[[]bool](p, "rle.js", `args.map((counts) => {
		try { m.runs(counts, 6); return false; } catch (e) { return e instanceof RangeError; }
	})`, broken)
	for i, ok := range refused {
		if !ok {
			t.Errorf("the counts %q of 6 pixels are taken", broken[i])
		}
	}

	// A large box is sampled.
	half := make([]bool, 1000*600)
	for i := range half {
		half[i] = i%1000 >= 500
	}
	sides := call[[]int](p, "rle.js", `(() => {
		const { width, height, bits } = m.crop(args, [0, 0, 1000, 600], 6000);
		return [width, height, bits.reduce((a, b) => a + b), bits[width / 2 - 1], bits[width / 2]];
	})()`, encode(half, 1000, 600))
	if want := []int{100, 60, 3000, 0, 1}; !slices.Equal(sides, want) {
		t.Errorf("a sampled mask is %v, want %v", sides, want)
	}
}

func TestBoxesAreChosen(t *testing.T) {
	p := open(t, new(double).serve(t))
	r := rand.New(rand.NewPCG(5, 6))
	boxes := make([][4]int32, 300)
	scores := make([]float64, len(boxes))
	for i := range boxes {
		x, y := r.Int32N(90), r.Int32N(90)
		boxes[i] = [4]int32{x, y, x + 1 + r.Int32N(40), y + 1 + r.Int32N(40)}
		scores[i] = 1 - float64(i)/float64(len(boxes))
	}
	at := func(i int) box.Box {
		return box.Box{X0: boxes[i][0], Y0: boxes[i][1], X1: boxes[i][2], Y1: boxes[i][3]}
	}
	for _, test := range []struct {
		Count   int     `json:"count"`
		Score   float64 `json:"score"`
		Side    int32   `json:"side"`
		Overlap float64 `json:"overlap"`
	}{
		{300, 0, 0, 1},
		{7, 0, 0, 1},
		{300, 0.5, 0, 1},
		{300, 0, 20, 1},
		{300, 0, 0, 0.5},
		{40, 0.3, 10, 0.3},
		{0, 0, 0, 0.5},
	} {
		want := []int{}
		for i := range boxes {
			b := at(i)
			if len(want) == test.Count || scores[i] < test.Score || min(b.Width(), b.Height()) < test.Side {
				continue
			}
			if !slices.ContainsFunc(want, func(k int) bool { return test.Overlap < 1 && b.IoU(at(k)) > test.Overlap }) {
				want = append(want, i)
			}
		}
		got := call[[]int](p, "boxes.js", `m.select(...args)`, []any{boxes, scores, test})
		if !slices.Equal(got, want) {
			t.Errorf("%+v: %v, want %v", test, got, want)
		}
	}

	type pointer struct {
		X, Y, Reach float64
		Want        []int
	}
	nested := [][4]int{{0, 0, 100, 100}, {10, 10, 50, 50}, {20, 20, 30, 30}, {60, 60, 90, 90}}
	for _, test := range []pointer{
		{25, 25, 1, []int{2, 1, 0}},    // inside three: the smallest first
		{11, 40, 2, []int{1, 0}},       // on a border
		{99, 50, 2, []int{0}},          // on the outermost border
		{10.5, 25, 12, []int{2, 1, 0}}, // a large tolerance: all borders nearby
		{55, 55, 1, []int{0}},
		{105, 50, 2, []int{}},
	} {
		got := call[[]int](p, "boxes.js", `m.boxesAt(args[0], [0, 1, 2, 3], ...args[1])`, []any{nested, []float64{test.X, test.Y, test.Reach}})
		if !slices.Equal(got, test.Want) {
			t.Errorf("boxesAt(%v, %v) with tolerance %v: %v, want %v", test.X, test.Y, test.Reach, got, test.Want)
		}
	}

	colors := call[[][]int](p, "boxes.js", `[m.rankColor(0, 500), m.rankColor(499, 500), m.rankColor(0, 1), m.rankColor(1, 2)]`, nil)
	if want := [][]int{{255, 176, 0}, {100, 143, 255}, {255, 176, 0}, {100, 143, 255}}; !reflect.DeepEqual(colors, want) {
		t.Errorf("colors %v, want %v", colors, want)
	}
	for _, of := range []int{1, 2, 25, 500, 2000} {
		counts := call[[]int](p, "boxes.js", `Array.from({ length: args }, (_, i) => m.countScale.count(m.countScale.t(i + 1, args), args))`, of)
		for i, c := range counts {
			if c != i+1 {
				t.Fatalf("of %d boxes, %d maps to the slider and back to %d", of, i+1, c)
			}
		}
	}
}

// tree is the service's answer; see its contract.
type tree struct {
	Strategy     int        `json:"strategy"`
	Width        int        `json:"width"`
	Height       int        `json:"height"`
	Leaves       int        `json:"leaves"`
	Parents      []int      `json:"parents"`
	Similarities []*float64 `json:"similarities"`
	Sizes        []int      `json:"sizes"`
	Boxes        [][4]int   `json:"boxes"`
	Labels       []int      `json:"labels"`
}

// merged returns the region of each pixel after a number of merges, applying them one by one.
func (tr *tree) merged(merges int) []int {
	var pixels []int
	for i := 0; i < len(tr.Labels); i += 2 {
		pixels = append(pixels, slices.Repeat(tr.Labels[i:i+1], tr.Labels[i+1])...)
	}
	for n := tr.Leaves; n < tr.Leaves+merges; n++ {
		for i, p := range pixels {
			if tr.Parents[p] == n {
				pixels[i] = n
			}
		}
	}
	return pixels
}

func TestTree(t *testing.T) {
	p := open(t, new(double).serve(t))
	var answer struct{ Tree tree }
	if err := json.Unmarshal(treeJSON, &answer); err != nil {
		t.Fatal(err)
	}
	tr := answer.Tree
	if tr.Leaves < 10 {
		t.Fatalf("the recorded tree has %d initial regions", tr.Leaves)
	}
	for _, merges := range []int{0, 1, tr.Leaves / 2, tr.Leaves - 2, tr.Leaves - 1} {
		want := tr.merged(merges)
		got := call[[]int](p, "tree.js", `(() => {
			const tree = new m.Tree(args[0]);
			const ancestors = tree.ancestorsAfter(args[1]);
			const found = [...tree.labels].map((l) => ancestors[l]);
			for (let i = 0; i < found.length; i += 97) {
				const x = i % tree.width, y = Math.floor(i / tree.width);
				if (tree.nodeAt(x, y, args[1]) !== found[i]) throw new Error("nodeAt and ancestorsAfter differ");
			}
			return found;
		})()`, []any{tr, merges})
		if !slices.Equal(got, want) {
			t.Errorf("after %d merges the pixels' regions are not those of merging one by one", merges)
		}
	}

	// Mean colors, of an image whose red channel is the pixel's column.
	want := tr.merged(tr.Leaves - 3)
	sum, count := map[int]float64{}, map[int]float64{}
	for i, n := range want {
		sum[n] += float64(i % tr.Width)
		count[n]++
	}
	painted := call[[]int](p, "tree.js", `(() => {
		const tree = new m.Tree(args[0]);
		const rgba = new Uint8ClampedArray(4 * tree.labels.length);
		tree.labels.forEach((_, i) => { rgba[4 * i] = i % tree.width; });
		tree.computeColors(rgba);
		const out = new Uint32Array(tree.labels.length);
		tree.paint(out, args[1], "mean", -1);
		return [...out].map((v) => v & 255);
	})()`, []any{tr, tr.Leaves - 3})
	for i, n := range want {
		if mean := int(math.Round(sum[n] / count[n])); painted[i] != mean {
			t.Fatalf("pixel %d of region %d is %d: want the mean %d", i, n, painted[i], mean)
		}
	}

	// Outlines and the highlighted region.
	lines := call[[]int](p, "tree.js", `(() => {
		const tree = new m.Tree(args[0]);
		const out = new Uint32Array(tree.labels.length);
		const alphas = (merges, focus) => {
			tree.paint(out, merges, "outline", focus);
			return out.reduce((n, v) => n + ((v >>> 24) > 0), 0);
		};
		return [alphas(0, -1), alphas(args[0].leaves - 2, -1), alphas(args[0].leaves - 1, -1), alphas(args[0].leaves - 1, tree.nodes - 1)];
	})()`, []any{tr})
	if lines[0] <= lines[1] || lines[1] == 0 || lines[2] != 0 || lines[3] != tr.Width*tr.Height {
		t.Errorf("outlines have %v pixels: want a decreasing number, none, and the whole image highlighted", lines)
	}

	// A large image is subsampled.
	sampled := call[[]int](p, "tree.js", `(() => {
		const tree = new m.Tree(args[0], 5400);
		const whole = new m.Tree(args[0]);
		const same = tree.labels.every((l, i) => {
			const x = i % tree.width, y = Math.floor(i / tree.width);
			return l === whole.labels[(2 * y + 1) * whole.width + 2 * x + 1];
		});
		return [tree.width, tree.height, Number(same)];
	})()`, []any{tr})
	if !slices.Equal(sampled, []int{90, 60, 1}) {
		t.Errorf("the subsampled tree is %v: want 90 × 60, each the center of four", sampled)
	}

	for _, leaves := range []int{1, 2, 36, 5000} {
		back := call[bool](p, "tree.js", `Array.from({ length: args }, (_, i) => i).every((i) => m.mergeScale.merges(m.mergeScale.t(i, args), args) === i)`, leaves)
		if !back {
			t.Errorf("with %d initial regions some number of merges does not map to the slider and back", leaves)
		}
	}
}

func TestInvalidTrees(t *testing.T) {
	p := open(t, new(double).serve(t))
	// Three initial regions in a row of four pixels: 0 and 1 merge, then 2.
	whole := func() *tree {
		return &tree{
			Width: 4, Height: 1, Leaves: 3, Parents: []int{3, 3, 4, 4, -1},
			Similarities: []*float64{nil, nil, nil, new(float64), new(float64)},
			Sizes:        []int{2, 1, 1, 3, 4}, Boxes: make([][4]int, 5), Labels: []int{0, 2, 1, 1, 2, 1},
		}
	}
	tests := map[string]func(*tree){
		"":                   func(*tree) {},
		"a parent too few":   func(t *tree) { t.Parents = t.Parents[:4] },
		"no root":            func(t *tree) { t.Parents[4] = 3 },
		"two roots":          func(t *tree) { t.Parents[3] = -1 },
		"an earlier parent":  func(t *tree) { t.Parents[3] = 3 },
		"a leaf as a parent": func(t *tree) { t.Parents[0] = 2 },
		"a later parent":     func(t *tree) { t.Parents[0] = 5 },
		"a label too large":  func(t *tree) { t.Labels[4] = 3 },
		"a negative label":   func(t *tree) { t.Labels[0] = -1 },
		"an empty run":       func(t *tree) { t.Labels[1] = 0 },
		"a pixel too few":    func(t *tree) { t.Labels[1] = 1 },
		"a pixel too many":   func(t *tree) { t.Labels[5] = 2 },
		"half a run":         func(t *tree) { t.Labels = t.Labels[:5] },
		"too few runs":       func(t *tree) { t.Labels = t.Labels[:4] },
	}
	for name, change := range tests {
		tr := whole()
		change(tr)
		refused := call[bool](p, "tree.js", `(() => {
			try { new m.Tree(args); return false; } catch (e) { if (e instanceof RangeError) return true; throw e; }
		})()`, tr)
		if refused != (name != "") {
			t.Errorf("a tree with %q: refused %v", name, refused)
		}
	}
}
