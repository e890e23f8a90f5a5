package codec

import (
	"bytes"
	"cmp"
	"encoding/json"
	"math"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/proposer/proposer/box"
	"github.com/proposer/proposer/candidate"
	"github.com/proposer/proposer/hierarchy"
	"github.com/proposer/proposer/internal/propose"
	"github.com/proposer/proposer/internal/testutil/scene"
	"github.com/proposer/proposer/mask"
	"github.com/proposer/proposer/raster"
	"github.com/proposer/proposer/selective"
	"github.com/proposer/proposer/similarity"
)

var inf = float32(math.Inf(1))

// rich is a row with all that is optional.
func rich() Row {
	first, whole := mask.NewEncoder(3, 4), mask.NewEncoder(3, 4)
	first.Run(1, 3)
	first.Run(5, 7)
	whole.Run(0, 12)
	return Row{
		File: "rich.png", Width: 3, Height: 4,
		Boxes:  []box.Box{{X1: 3, Y1: 4}, {Y0: 1, X1: 2, Y1: 3}},
		Scores: []float32{1, .5},
		Strategies: []selective.Strategy{
			{Space: raster.HSV, K: 50.5, Weights: similarity.Weights{Color: 1, Texture: 1, Size: 1, Fill: 1}},
			{Space: raster.Lab, K: 1e6, MinSize: 7, Weights: similarity.Weights{Color: .5, Fill: 1}},
		},
		Masks: []mask.RLE{whole.RLE(), first.RLE()},
		Origins: [][]candidate.Origin{
			{{Strategy: 0, Position: 1, Size: 12, Birth: .1}, {Strategy: 1, Position: 1, Size: 12, Birth: 2}},
			{{Strategy: 1, Position: 3, Size: 4, Birth: inf, Death: 2}},
		},
		Kinds: make([]candidate.Kind, 2),
		Tree: &propose.Tree{
			Strategy: 1, Width: 3, Height: 4,
			Nodes: []hierarchy.Node{
				{Box: box.Box{X1: 3, Y1: 4}, Size: 8, Children: [2]int32{-1, -1}, Parent: 2, Similarity: inf},
				{Box: box.Box{Y0: 1, X1: 2, Y1: 3}, Size: 4, Children: [2]int32{-1, -1}, Parent: 2, Similarity: inf},
				{Box: box.Box{X1: 3, Y1: 4}, Size: 12, Children: [2]int32{0, 1}, Parent: -1, Similarity: 2},
			},
			Labels: []int32{0, 3, 1, 2, 0, 1, 1, 2, 0, 4},
		},
	}
}

// evidence is what a row has beyond its scores, as a consumer reads it.
type evidence struct {
	Strategies []struct {
		Color    string  `json:"color"`
		K        float64 `json:"k"`
		Measures string  `json:"measures"`
		MinSize  int     `json:"min_size"`
	} `json:"strategies"`
	Masks []struct {
		Size   [2]int `json:"size"`
		Counts string `json:"counts"`
	} `json:"masks"`
	Evidence []struct {
		Strategies int      `json:"strategies"`
		Strategy   int32    `json:"strategy"`
		Position   int32    `json:"position"`
		Size       int32    `json:"size"`
		Birth      *float32 `json:"birth"`
		Death      *float32 `json:"death"`
		Kind       string   `json:"kind"`
		Other      *struct {
			Strategy *int32   `json:"strategy"`
			Position int32    `json:"position"`
			Size     int32    `json:"size"`
			Birth    *float32 `json:"birth"`
			Death    *float32 `json:"death"`
		} `json:"other"`
	} `json:"evidence"`
	Tree *struct {
		Strategy     int        `json:"strategy"`
		Width        int        `json:"width"`
		Height       int        `json:"height"`
		Leaves       int        `json:"leaves"`
		Parents      []int32    `json:"parents"`
		Similarities []*float32 `json:"similarities"`
		Sizes        []int32    `json:"sizes"`
		Boxes        []box.Box  `json:"boxes"`
		Labels       []int32    `json:"labels"`
	} `json:"tree"`
}

func drawSimilarity(t *rapid.T, name string) float32 {
	return rapid.OneOf(rapid.Just(inf), rapid.Float32Range(0, 4)).Draw(t, name)
}

func drawRich(t *rapid.T) Row {
	r := drawRow(t)
	r.Width, r.Height = rapid.IntRange(1, 200).Draw(t, "width"), rapid.IntRange(1, 200).Draw(t, "height")
	if rapid.Bool().Draw(t, "strategies") {
		r.Strategies = rich().Strategies[:rapid.IntRange(0, 2).Draw(t, "number")]
	}
	if rapid.Bool().Draw(t, "masks") {
		r.Masks = make([]mask.RLE, len(r.Boxes))
		for i := range r.Masks {
			e, total := mask.NewEncoder(r.Width, r.Height), r.Width*r.Height
			for start := 0; start < total; {
				start = rapid.IntRange(start, total-1).Draw(t, "start")
				end := rapid.IntRange(start+1, total).Draw(t, "end")
				e.Run(start, end)
				start = end
			}
			r.Masks[i] = e.RLE()
		}
	}
	if rapid.Bool().Draw(t, "origins") {
		r.Origins = make([][]candidate.Origin, len(r.Boxes))
		r.Kinds = make([]candidate.Kind, len(r.Boxes))
		for i := range r.Origins {
			r.Kinds[i] = rapid.SampledFrom([]candidate.Kind{candidate.FromTree, candidate.Union, candidate.Joined}).Draw(t, "kind")
			n := rapid.IntRange(1, 3).Draw(t, "nodes")
			if r.Kinds[i] != candidate.FromTree {
				n *= 2
			}
			parts := r.Kinds[i].Parts(n)
			r.Origins[i] = make([]candidate.Origin, n)
			for k := range parts {
				r.Origins[i][k] = candidate.Origin{
					Strategy: rapid.Int32().Draw(t, "strategy"), Position: rapid.Int32().Draw(t, "position"),
					Size: rapid.Int32().Draw(t, "size"), Birth: drawSimilarity(t, "birth"), Death: drawSimilarity(t, "death"),
				}
			}
		}
	}
	if rapid.Bool().Draw(t, "tree") {
		r.Tree = &propose.Tree{
			Strategy: rapid.IntRange(0, 255).Draw(t, "strategy"), Width: r.Width, Height: r.Height,
			Nodes:  make([]hierarchy.Node, 2*rapid.IntRange(1, 4).Draw(t, "leaves")-1),
			Labels: rapid.SliceOfN(rapid.Int32(), 4, 4).Draw(t, "labels"),
		}
		for i := range r.Tree.Nodes {
			r.Tree.Nodes[i] = hierarchy.Node{
				Box: box.Box{X0: rapid.Int32().Draw(t, "x0"), Y1: 9}, Parent: rapid.Int32Range(-1, 9).Draw(t, "parent"),
				Size: rapid.Int32().Draw(t, "size"), Similarity: drawSimilarity(t, "similarity"),
			}
		}
	}
	return r
}

// same reports whether a number that was read is s; null is +Inf.
func same(got *float32, s float32) bool {
	if got == nil {
		return s == inf
	}
	return *got == s
}

// What is optional is read as it was, and written if and only if it is there.
func TestEvidenceRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := drawRich(t)
		line, err := AppendJSON(nil, &r)
		if err != nil {
			t.Fatal(err)
		}
		var got evidence
		if err := json.Unmarshal(line, &got); err != nil {
			t.Fatalf("%v in %s", err, line)
		}
		if (got.Strategies == nil) != (r.Strategies == nil) || (got.Masks == nil) != (r.Masks == nil) ||
			(got.Evidence == nil) != (r.Origins == nil) || (got.Tree == nil) != (r.Tree == nil) {
			t.Fatalf("%+v became %s", r, line)
		}
		for i, s := range r.Strategies {
			g := got.Strategies[i]
			w, err := similarity.ParseWeights(g.Measures)
			space, err2 := raster.ParseSpace(g.Color)
			if err != nil || err2 != nil || w != s.Weights || space != s.Space || g.K != s.K || g.MinSize != s.EffectiveMinSize() {
				t.Fatalf("strategy %d: %+v became %+v", i, s, g)
			}
		}
		for i, m := range r.Masks {
			g := got.Masks[i]
			again, err := mask.Parse(g.Counts, g.Size[1], g.Size[0])
			if err != nil || again != m {
				t.Fatalf("mask %d: %v, %+v became %+v", i, err, m, g)
			}
		}
		for i, all := range r.Origins {
			g, o, kind := got.Evidence[i], all[0], r.Kinds[i]
			if text := cmp.Or(g.Kind, "tree"); text != kind.String() || (g.Other != nil) != (kind.Parts(len(all)) > 1) {
				t.Fatalf("kind %v became %+v", kind, g)
			}
			last := all[kind.Parts(len(all))-1]
			if p := g.Other; p != nil && ((p.Strategy != nil) != (kind == candidate.Joined) || p.Strategy != nil && *p.Strategy != last.Strategy ||
				p.Position != last.Position || p.Size != last.Size || !same(p.Birth, last.Birth) || !same(p.Death, last.Death)) {
				t.Fatalf("origin %d: %+v became %+v", i, last, p)
			}
			if g.Strategies != len(all)/kind.Parts(len(all)) || g.Strategy != o.Strategy || g.Position != o.Position || g.Size != o.Size ||
				!same(g.Birth, o.Birth) || !same(g.Death, o.Death) {
				t.Fatalf("origin %d: %+v became %+v", i, o, g)
			}
		}
		if r.Tree != nil {
			g := got.Tree
			if g.Strategy != r.Tree.Strategy || g.Width != r.Tree.Width || g.Height != r.Tree.Height || g.Leaves != r.Tree.Leaves() ||
				!slices.Equal(g.Labels, r.Tree.Labels) || len(g.Parents) != len(r.Tree.Nodes) || len(g.Sizes) != len(g.Parents) ||
				len(g.Boxes) != len(g.Parents) || len(g.Similarities) != len(g.Parents) {
				t.Fatalf("%+v became %s", r.Tree, line)
			}
			for i, n := range r.Tree.Nodes {
				if g.Parents[i] != n.Parent || g.Sizes[i] != n.Size || g.Boxes[i] != n.Box || !same(g.Similarities[i], n.Similarity) {
					t.Fatalf("node %d: %+v in %s", i, n, line)
				}
			}
		}
		// The reader takes the masks, and passes the rest over.
		lines, err := read(bytes.NewReader(line))
		plain := r
		plain.Strategies, plain.Origins, plain.Kinds, plain.Tree = nil, nil, nil, nil
		plain.File = string([]rune(r.File))
		plain.SearchTime, plain.DecodeTime = r.SearchTime.Round(time.Microsecond), r.DecodeTime.Round(time.Microsecond)
		if err != nil || len(lines) != 1 || !reflect.DeepEqual(lines[0].Row, plain) {
			t.Fatalf("%v, read %+v, want %+v", err, lines, plain)
		}
	})
}

// The text is as it is documented.
func TestEvidenceText(t *testing.T) {
	r := rich()
	line, err := AppendJSON(nil, &r)
	want := `"scores":[1,0.5],` +
		`"strategies":[{"color":"HSV","k":50.5,"measures":"CTSF","min_size":51},{"color":"Lab","k":1000000,"measures":"C0.5F","min_size":7}],` +
		`"masks":[{"size":[4,3],"counts":"0<"},{"size":[4,3],"counts":"12203"}],` +
		`"evidence":[{"strategies":2,"strategy":0,"position":1,"size":12,"birth":0.1,"death":0},` +
		`{"strategies":1,"strategy":1,"position":3,"size":4,"birth":null,"death":2}],` +
		`"tree":{"strategy":1,"width":3,"height":4,"leaves":2,"parents":[2,2,-1],"similarities":[null,null,2],"sizes":[8,4,12],` +
		`"boxes":[[0,0,3,4],[0,1,2,3],[0,0,3,4]],"labels":[0,3,1,2,0,1,1,2,0,4]}}`
	if err != nil || !strings.HasSuffix(string(line), want) {
		t.Errorf("%v\n%s\nwant an end of\n%s", err, line, want)
	}
	// A union has a second node.
	r.Kinds[0], r.Strategies, r.Masks, r.Tree = candidate.Union, nil, nil, nil
	line, err = AppendJSON(nil, &r)
	want = `"evidence":[{"strategies":1,"strategy":0,"kind":"union","position":1,"size":12,"birth":0.1,"death":0,` +
		`"other":{"position":1,"size":12,"birth":2,"death":0}},` +
		`{"strategies":1,"strategy":1,"position":3,"size":4,"birth":null,"death":2}]}`
	if err != nil || !strings.HasSuffix(string(line), want) {
		t.Errorf("%v\n%s\nwant an end of\n%s", err, line, want)
	}
	r = rich()
	// A backslash is escaped in JSON.
	e := mask.NewEncoder(100, 100)
	e.Run(44, 45) // 44 is "\1"
	r.Masks[0], r.Width, r.Height, r.Masks, r.Boxes, r.Scores, r.Origins = e.RLE(), 100, 100, r.Masks[:1], r.Boxes[:1], r.Scores[:1], nil
	r.Kinds = nil
	if line, err = AppendJSON(nil, &r); err != nil || !bytes.Contains(line, []byte(`"counts":"\\11`)) {
		t.Errorf("%v, %s", err, line)
	}
}

func TestInvalidEvidenceIsRejected(t *testing.T) {
	nan := float32(math.NaN())
	for want, spoil := range map[string]func(*Row){
		"2 boxes and 1 masks":          func(r *Row) { r.Masks = r.Masks[:1] },
		"mask 0 is of an image of":     func(r *Row) { r.Width = 4 },
		"and origins of 1":             func(r *Row) { r.Origins = r.Origins[:1] },
		"and kinds of 1":               func(r *Row) { r.Kinds = r.Kinds[:1] },
		"box 1 of kind tree has 0":     func(r *Row) { r.Origins[1] = nil },
		"box 1 of kind union has 1":    func(r *Row) { r.Kinds[1] = candidate.Union },
		"similarities NaN and 2":       func(r *Row) { r.Origins[1][0].Birth = nan },
		"similarities +Inf and -Inf":   func(r *Row) { r.Origins[1][0].Death = -inf },
		"2 nodes and 10 labels":        func(r *Row) { r.Tree.Nodes = r.Tree.Nodes[:2] },
		"3 nodes and 9 labels":         func(r *Row) { r.Tree.Labels = r.Tree.Labels[:9] },
		"node 2 has similarity NaN":    func(r *Row) { r.Tree.Nodes[2].Similarity = nan },
		"has 1 boxes and 2 scores":     func(r *Row) { r.Boxes = r.Boxes[:1] },
		"has a tree of 0 nodes and 10": func(r *Row) { r.Tree.Nodes = nil },
	} {
		r := rich()
		spoil(&r)
		if got, err := AppendJSON([]byte("x"), &r); err == nil || !strings.Contains(err.Error(), want) || string(got) != "x" {
			t.Errorf("%s: %v, %s", want, err, got)
		}
	}
}

func TestNewRow(t *testing.T) {
	r := propose.Result{
		Width: 3, Height: 4, Orientation: 6, SearchTime: time.Second, DecodeTime: time.Minute,
		Boxes: []box.Box{{X1: 3, Y1: 4}}, Scores: []float32{1},
	}
	got, want := NewRow("a.jpg", &r), &Row{
		File: "a.jpg", Width: 3, Height: 4, Orientation: 6, SearchTime: time.Second, DecodeTime: time.Minute,
		Boxes: r.Boxes, Scores: r.Scores,
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

func TestResultWithoutBoxesHasNoNulls(t *testing.T) {
	opts, err := propose.ParseOptions(map[string]string{"mode": "single", "min-side": "5000"})
	if err != nil {
		t.Fatal(err)
	}
	opts.Search.KeepRegions = true
	r, err := propose.Run(t.Context(), scene.Render(2, 80, 60, 4).PNG(), opts)
	if err != nil {
		t.Fatal(err)
	}
	row := NewRow("x", r)
	row.Strategies, row.Origins, row.Kinds = r.Strategies, r.Origins, r.Kinds
	if row.Masks, err = r.Masks(t.Context(), math.MaxInt64); err != nil {
		t.Fatal(err)
	}
	if row.Tree, err = r.Tree(t.Context(), 0); err != nil {
		t.Fatal(err)
	}
	line, err := AppendJSON(nil, row)
	if err != nil {
		t.Fatal(err)
	}
	var got map[string]json.RawMessage
	if err := json.Unmarshal(line, &got); err != nil || string(got["masks"]) != "[]" || string(got["evidence"]) != "[]" || len(got["tree"]) < 100 {
		t.Errorf("got %s (%v), want empty masks and evidence, and a tree", line, err)
	}
}
