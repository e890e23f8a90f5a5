package codec

import (
	"encoding/json"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/proposer/proposer/box"
	"github.com/proposer/proposer/internal/testutil/e2e"
)

// consumer gives a file of the format to the consumer of that name in testdata/consumers.py,
// with other arguments before it, and reads its answer into v. Without Python that has
// the modules the test is skipped, but for PROPOSER_E2E=1, which fails it.
func consumer(t *testing.T, modules, name string, file []byte, v any, args ...string) {
	t.Helper()
	const program = "testdata/consumers.py"
	if _, err := os.Stat(program); err != nil { // go test then knows that this test hangs on it
		t.Fatal(err)
	}
	python := e2e.Python(t, "import "+modules, modules)
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, file, 0o600); err != nil {
		t.Fatal(err)
	}
	out := e2e.Output(t, exec.CommandContext(t.Context(), python, append(append([]string{program, name}, args...), path)...))
	if err := json.Unmarshal(out, v); err != nil {
		t.Fatalf("%v in %s", err, out)
	}
}

// hostile are rows whose texts or sizes are of the kind that breaks things.
func hostile() []Row {
	rows := append(samples(), Row{File: "broken.jpg", ID: "x-7", Error: "not a\n\"picture\"\x00\xff"}, Row{})
	for _, name := range []string{
		"line\nfeed.jpg", `quote".jpg`, "\xff\xfe bad.jpg", "𝄞🎼.jpg", strings.Repeat("long/", 2000) + "é.jpg",
		"nul\x00inside.jpg", "nul at the end\x00", "\ufeffbom.jpg", "日本/7.jpg", "a\r\nb\u2028c.jpg", "'; drop.jpg", "None", "nan",
	} {
		rows = append(rows, Row{
			File: name, Boxes: []box.Box{{X0: -1, Y0: math.MinInt32, X1: math.MaxInt32, Y1: math.MaxInt32}, {X1: 1}},
			Scores: []float32{math.MaxFloat32, -math.SmallestNonzeroFloat32},
		})
	}
	return rows
}

func TestCOCOConsumer(t *testing.T) {
	rows := hostile()
	rows = append(rows, rich(), Row{ID: "9223372036854775807", Boxes: []box.Box{{X1: 1, Y1: 1}}, Scores: []float32{.5}})
	type image struct {
		ID     any `json:"id"`
		Width  int `json:"width"`
		Height int `json:"height"`
	}
	truth := struct {
		Images     []image          `json:"images"`
		Categories []map[string]int `json:"categories"`
	}{Categories: []map[string]int{{"id": 1}}}
	for _, r := range rows {
		truth.Images = append(truth.Images, image{imageID(&r), r.Width, r.Height})
	}
	truthFile := filepath.Join(t.TempDir(), "truth.json")
	text, err := json.Marshal(truth)
	if err == nil {
		err = os.WriteFile(truthFile, text, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	type answer struct {
		Problem string
		Rows    []struct {
			ID     json.RawMessage
			Boxes  [][4]int64
			Scores []float32
			Masks  [][]int
		}
	}
	var got answer
	consumer(t, "json", "coco", fileOf(t, "coco", rows...), &got, truthFile)
	if len(got.Rows) != len(rows) {
		t.Fatalf("%+v", got)
	}
	for i, r := range rows {
		g := got.Rows[i]
		if !slices.Equal(g.Scores, r.Scores) || len(g.Boxes) != len(r.Boxes) || len(g.Masks) != len(r.Masks) {
			t.Errorf("%.40q: %+v became %+v", r.File, r, g)
			continue
		}
		for k, b := range r.Boxes {
			if want := [4]int64{int64(b.X0), int64(b.Y0), int64(b.X1) - int64(b.X0), int64(b.Y1) - int64(b.Y0)}; g.Boxes[k] != want {
				t.Errorf("%.40q: box %d: %v, want %v", r.File, k, g.Boxes[k], want)
			}
		}
		for k, m := range r.Masks {
			if !slices.Equal(g.Masks[k], m.Counts()) {
				t.Errorf("%.40q: mask %d: %v, want %v", r.File, k, g.Masks[k], m.Counts())
			}
		}
	}
	// Its results for unknown images and for none.
	for want, rows := range map[string][]Row{
		"AssertionError: Results do not correspond to current coco set": {{ID: "8", Boxes: []box.Box{{}}, Scores: []float32{0}}},
		"IndexError: list index out of range":                           {{ID: "139"}},
	} {
		var got answer
		if consumer(t, "json", "coco", fileOf(t, "coco", rows...), &got, truthFile); got.Problem != want {
			t.Errorf("%+v, want %s", got, want)
		}
	}
}
