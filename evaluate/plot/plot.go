// Package plot draws reports of package evaluate as diagrams.
package plot

import (
	"fmt"
	"image/color"
	"io"
	"math"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"

	"github.com/proposer/proposer/evaluate"
)

// Result is a named report.
type Result struct {
	Name string
	*evaluate.Report
}

// Format returns the format for a file name by its extension: png, svg or pdf. It returns an empty
// string for other extensions.
func Format(name string) string {
	format := strings.ToLower(strings.TrimPrefix(filepath.Ext(name), "."))
	if slices.Contains([]string{"png", "svg", "pdf"}, format) {
		return format
	}
	return ""
}

// The size of the figure.
const (
	plotWidth  = 11 * vg.Inch
	plotHeight = 4.5 * vg.Inch
)

// colors is the color-blind safe palette of Okabe and Ito, dark colors first.
var colors = []color.RGBA{
	{0x00, 0x72, 0xb2, 0xff},
	{0xd5, 0x5e, 0x00, 0xff},
	{0x00, 0x9e, 0x73, 0xff},
	{0xcc, 0x79, 0xa7, 0xff},
	{0xe6, 0x9f, 0x00, 0xff},
	{0x56, 0xb4, 0xe9, 0xff},
	{0x00, 0x00, 0x00, 0xff},
}

// dashes distinguish curves that share a color.
var dashes = [][]vg.Length{nil, {vg.Points(6), vg.Points(3)}, {vg.Points(1.5), vg.Points(2)}}

// Write draws two diagrams side by side as png, svg or pdf: recall over IoU, and AR over the number
// of boxes. For a single result, the former shows each budget. For several, it shows that of 1000
// boxes or, if no result has it, all boxes.
func Write(w io.Writer, format string, reports []Result) error {
	if format == "" || Format("x."+format) != format {
		return fmt.Errorf("plot: format %q: want png, svg or pdf", format)
	}
	recall, err := recallPlot(reports)
	if err != nil {
		return err
	}
	ar, err := arPlot(reports)
	if err != nil {
		return err
	}
	canvas, err := draw.NewFormattedCanvas(plotWidth, plotHeight, format)
	if err != nil {
		return fmt.Errorf("plot: %w", err)
	}
	all := draw.New(canvas)
	tiles := draw.Tiles{
		Rows: 1, Cols: 2, PadX: vg.Points(24),
		PadLeft: vg.Points(8), PadRight: vg.Points(14), PadTop: vg.Points(8), PadBottom: vg.Points(8),
	}
	plots := []*plot.Plot{recall, ar}
	for i, c := range plot.Align([][]*plot.Plot{plots}, tiles, all)[0] {
		plots[i].Draw(c)
	}
	if _, err := canvas.WriteTo(w); err != nil {
		return fmt.Errorf("plot: %w", err)
	}
	return nil
}

func recallPlot(reports []Result) (*plot.Plot, error) {
	p := newPlot("Recall over IoU", "IoU", "recall")
	p.X.Min, p.X.Max = .5, 1
	p.X.Tick.Marker, p.Y.Tick.Marker = tenths, tenths
	p.Legend.Top = true
	if len(reports) != 1 {
		n := 0
		for _, r := range reports {
			if slices.ContainsFunc(r.Budgets, func(l evaluate.BudgetResult) bool { return l.N == 1000 }) {
				n = 1000
			}
		}
		p.Title.Text += ", " + budgetName(n)
		for i, r := range reports {
			for _, l := range r.Budgets {
				if l.N == n {
					if err := addCurve(p, i, r.Name, recallCurve(&l)); err != nil {
						return nil, err
					}
				}
			}
		}
		return p, nil
	}
	// The legend lists the highest curve first.
	for i, l := range slices.Backward(reports[0].Budgets) {
		if err := addCurve(p, len(reports[0].Budgets)-1-i, budgetName(l.N), recallCurve(&l)); err != nil {
			return nil, err
		}
	}
	return p, nil
}

func budgetName(n int) string {
	if n == 0 {
		return "all boxes"
	}
	return strconv.Itoa(n) + " boxes"
}

func recallCurve(l *evaluate.BudgetResult) plotter.XYs {
	var points plotter.XYs
	for i := 100 / 2; i <= 100; i++ {
		points = append(points, plotter.XY{X: float64(i) / 100, Y: l.All.Recall[i]})
	}
	return points
}

func arPlot(reports []Result) (*plot.Plot, error) {
	p := newPlot("Average recall over the number of boxes", "boxes", "AR")
	p.X.Scale, p.X.Min, p.X.Max = plot.LogScale{}, 1, 10
	p.X.Tick.Marker, p.Y.Tick.Marker = decades, tenths
	p.Legend.Left, p.Legend.Top, p.Legend.XOffs = true, true, -p.Legend.XOffs
	highest := 0.0
	for i, r := range reports {
		var points plotter.XYs
		for _, c := range r.Curve {
			points = append(points, plotter.XY{X: float64(c.N), Y: c.AR})
			highest = max(highest, c.AR)
		}
		name := r.Name
		if len(reports) == 1 {
			name = "" // a single curve needs no legend
		}
		if err := addCurve(p, i, name, points); err != nil {
			return nil, err
		}
	}
	p.Y.Max = max(.1, math.Ceil(highest*10+.2)/10)
	return p, nil
}

func newPlot(title, x, y string) *plot.Plot {
	p := plot.New()
	p.Title.Text, p.Title.Padding = title, vg.Points(8)
	p.X.Label.Text, p.Y.Label.Text = x, y
	p.X.Padding, p.Y.Padding = 0, 0
	p.Y.Min, p.Y.Max = 0, 1
	p.Legend.Padding, p.Legend.ThumbnailWidth = vg.Points(3), vg.Points(24)
	p.Legend.XOffs, p.Legend.YOffs = vg.Points(-6), vg.Points(-6)
	grid := plotter.NewGrid()
	for _, line := range []*draw.LineStyle{&grid.Vertical, &grid.Horizontal} {
		line.Color, line.Dashes = color.Gray{Y: 0xcc}, nil
	}
	p.Add(grid)
	return p
}

// addCurve adds curve i to the diagram and, if it has a name, to the legend.
func addCurve(p *plot.Plot, i int, name string, points plotter.XYs) error {
	if len(points) == 0 {
		return nil
	}
	line, err := plotter.NewLine(points)
	if err != nil {
		return fmt.Errorf("plot: %s: %w", name, err)
	}
	line.Color, line.Width = colors[i%len(colors)], vg.Points(1.75)
	line.Dashes = dashes[i/len(colors)%len(dashes)]
	p.Add(line)
	if name != "" {
		p.Legend.Add(name, line)
	}
	return nil
}

// tenths is the ticks of an axis from 0 to 1.
var tenths = plot.TickerFunc(func(lo, hi float64) []plot.Tick {
	var ticks []plot.Tick
	for i := range 11 {
		if v := float64(i) / 10; v >= lo-1e-9 && v <= hi+1e-9 {
			ticks = append(ticks, plot.Tick{Value: v, Label: strconv.FormatFloat(v, 'f', 1, 64)})
		}
	}
	return ticks
})

// decades is the ticks of a logarithmic axis: 1, 10, 100, 1,000, …
var decades = plot.TickerFunc(func(_, hi float64) []plot.Tick {
	var ticks []plot.Tick
	for n := 1; float64(n) <= hi; n *= 10 {
		label := strconv.Itoa(n)
		if len(label) > 3 {
			label = label[:len(label)-3] + "," + label[len(label)-3:]
		}
		ticks = append(ticks, plot.Tick{Value: float64(n), Label: label})
		for i := 2; i < 10 && float64(i*n) <= hi; i++ {
			ticks = append(ticks, plot.Tick{Value: float64(i * n)})
		}
	}
	return ticks
})
