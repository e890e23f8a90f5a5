package evaluate

import (
	"bytes"
	"fmt"
	"image/png"
	"io"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func reports(t testing.TB, n int) []Named {
	t.Helper()
	var all []Named
	for i := range n {
		all = append(all, Named{fmt.Sprint("set ", i), tally(t, Options{}, rapid.Custom(drawMany).Example(i)).Report()})
	}
	return all
}

func plotted(t testing.TB, format string, all []Named) []byte {
	t.Helper()
	var out bytes.Buffer
	if err := Plot(&out, format, all); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func TestPlot(t *testing.T) {
	for format, head := range map[string]string{"png": "\x89PNG", "svg": "<?xml", "pdf": "%PDF"} {
		for _, n := range []int{0, 1, 2, 30} {
			if got := plotted(t, format, reports(t, n)); !bytes.HasPrefix(got, []byte(head)) {
				t.Errorf("%s of %d reports begins %.20q", format, n, got)
			}
		}
	}
	m, err := png.Decode(bytes.NewReader(plotted(t, "png", reports(t, 1))))
	if err != nil || m.Bounds().Dx() != 1056 || m.Bounds().Dy() != 432 {
		t.Errorf("%v, %v", m.Bounds(), err)
	}
	one := string(plotted(t, "svg", reports(t, 1)))
	for _, text := range []string{">IoU<", ">recall<", ">boxes<", ">AR<", ">all boxes<", ">2000 boxes<", ">10 boxes<", ">1,000<"} {
		if !strings.Contains(one, text) {
			t.Errorf("no %s in the plot of one report", text)
		}
	}
	two := string(plotted(t, "svg", reports(t, 2)))
	for _, text := range []string{">set 0<", ">set 1<", ">Recall over IoU, 1000 boxes<"} {
		if !strings.Contains(two, text) {
			t.Errorf("no %s in the plot of two", text)
		}
	}
	if again := string(plotted(t, "svg", reports(t, 2))); again != two {
		t.Error("equal reports give other bytes")
	}
}

// Names come from files' names, and reports may be of nothing.
func TestPlotTakesAnything(t *testing.T) {
	for _, name := range []string{"", "a\nb", "日本語 ﷽", "\xff\x00\x1b[2J", "$x^2$ <svg>&", strings.Repeat("long ", 300)} {
		nothing := tally(t, Options{Budgets: []int{1}}, nil).Report()
		for _, format := range []string{"png", "svg", "pdf"} {
			plotted(t, format, []Named{{name, nothing}, {name, nothing}})
			plotted(t, format, []Named{{name, nothing}})
		}
	}
}

func TestPlotRefuses(t *testing.T) {
	for _, format := range []string{"", "gif", "PNG", "tex"} {
		if err := Plot(io.Discard, format, nil); err == nil || !strings.Contains(err.Error(), "want png, svg or pdf") {
			t.Errorf("%q: %v", format, err)
		}
	}
	for name, want := range map[string]string{"a.png": "png", "x/b.c.SVG": "svg", ".pdf": "pdf", "png": "", "a.jpg": "", "": ""} {
		if got := PlotFormat(name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
}
