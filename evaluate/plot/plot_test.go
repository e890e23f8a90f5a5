package plot

import (
	"bytes"
	"fmt"
	"image/png"
	"io"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/proposer/proposer/box"
	"github.com/proposer/proposer/dataset"
	"github.com/proposer/proposer/evaluate"
)

// reports evaluates n drawn data sets.
func reports(t testing.TB, n int) []Result {
	t.Helper()
	var all []Result
	for i := range n {
		e := evaluator(t, evaluate.Options{})
		rng := rand.New(rand.NewPCG(uint64(i), 0))
		for range 20 {
			img := &dataset.Image{}
			boxes := make([]box.Box, 3000)
			for range 5 {
				b := randomBox(rng)
				img.Objects = append(img.Objects, dataset.Object{
					X0: float64(b.X0), Y0: float64(b.Y0), X1: float64(b.X1), Y1: float64(b.Y1), Class: "a",
				})
			}
			for j := range boxes {
				boxes[j] = randomBox(rng)
			}
			e.Add(img, boxes, 0)
		}
		all = append(all, Result{fmt.Sprint("set ", i), e.Report()})
	}
	return all
}

func randomBox(rng *rand.Rand) box.Box {
	x, y := rng.Int32N(100), rng.Int32N(100)
	return box.Box{X0: x, Y0: y, X1: x + 1 + rng.Int32N(100), Y1: y + 1 + rng.Int32N(100)}
}

func evaluator(t testing.TB, opts evaluate.Options) *evaluate.Evaluator {
	t.Helper()
	e, err := evaluate.New(opts)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func plotted(t testing.TB, format string, all []Result) []byte {
	t.Helper()
	var out bytes.Buffer
	if err := Write(&out, format, all); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func TestWrite(t *testing.T) {
	for format, head := range map[string]string{"png": "\x89PNG", "svg": "<?xml", "pdf": "%PDF"} {
		for _, n := range []int{0, 1, 2, 30} {
			if got := plotted(t, format, reports(t, n)); !bytes.HasPrefix(got, []byte(head)) {
				t.Errorf("%s of %d reports begins with %.20q, want %q", format, n, got, head)
			}
		}
	}
	m, err := png.Decode(bytes.NewReader(plotted(t, "png", reports(t, 1))))
	if err != nil || m.Bounds().Dx() != 1056 || m.Bounds().Dy() != 432 {
		t.Errorf("size of the PNG: got %v, %v; want 1056 × 432", m.Bounds(), err)
	}
	one := string(plotted(t, "svg", reports(t, 1)))
	for _, text := range []string{">IoU<", ">recall<", ">boxes<", ">AR<", ">all boxes<", ">2000 boxes<", ">10 boxes<", ">1,000<"} {
		if !strings.Contains(one, text) {
			t.Errorf("the plot of one report does not contain %s", text)
		}
	}
	two := string(plotted(t, "svg", reports(t, 2)))
	for _, text := range []string{">set 0<", ">set 1<", ">Recall over IoU, 1000 boxes<"} {
		if !strings.Contains(two, text) {
			t.Errorf("the plot of two reports does not contain %s", text)
		}
	}
	if again := string(plotted(t, "svg", reports(t, 2))); again != two {
		t.Error("equal reports give different bytes")
	}
}

// TestWriteAnyName draws reports of no images, with names that files may have.
func TestWriteAnyName(t *testing.T) {
	for _, name := range []string{"", "a\nb", "日本語 ﷽", "\xff\x00\x1b[2J", "$x^2$ <svg>&", strings.Repeat("long ", 300)} {
		nothing := evaluator(t, evaluate.Options{Budgets: []int{1}}).Report()
		for _, format := range []string{"png", "svg", "pdf"} {
			plotted(t, format, []Result{{name, nothing}, {name, nothing}})
			plotted(t, format, []Result{{name, nothing}})
		}
	}
}

func TestWriteErrors(t *testing.T) {
	for _, format := range []string{"", "gif", "PNG", "tex"} {
		if err := Write(io.Discard, format, nil); err == nil || !strings.Contains(err.Error(), "want png, svg or pdf") {
			t.Errorf("Write as %q: got %v, want an error", format, err)
		}
	}
	for name, want := range map[string]string{"a.png": "png", "x/b.c.SVG": "svg", ".pdf": "pdf", "png": "", "a.jpg": "", "": ""} {
		if got := Format(name); got != want {
			t.Errorf("Format(%q) = %q, want %q", name, got, want)
		}
	}
}
