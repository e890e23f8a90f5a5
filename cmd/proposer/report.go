package main

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"unicode/utf8"

	"github.com/proposer/proposer/evaluate"
	"github.com/proposer/proposer/evaluate/plot"
)

// evalResult is the evaluation of one set of proposals.
type evalResult struct {
	plot.Result
	repeatability []float64 // by index of evaluate.Perturbations; nil if not requested
}

// reporter prints results.
type reporter struct {
	format  string // table, json or csv
	classes bool   // print a table of the classes
}

func (r reporter) write(w io.Writer, results []evalResult) error {
	var text bytes.Buffer
	var err error
	switch r.format {
	case "json":
		err = writeJSON(&text, results)
	case "csv":
		err = csv.NewWriter(&text).WriteAll(budgetRows(results, csvCells))
	default:
		r.writeTables(&text, results)
	}
	if err != nil {
		return err
	}
	_, err = w.Write(text.Bytes())
	return err
}

func writeJSON(w io.Writer, results []evalResult) error {
	type object struct {
		Name string `json:"name"`
		*evaluate.Report
		Repeatability map[string]float64 `json:"repeatability,omitempty"`
	}
	objects := []object{}
	for _, result := range results {
		o := object{Name: result.Name, Report: result.Report}
		if result.repeatability != nil {
			o.Repeatability = map[string]float64{}
			for i, name := range evaluate.Perturbations() {
				o.Repeatability[name] = result.repeatability[i]
			}
		}
		objects = append(objects, o)
	}
	text, err := json.Marshal(objects)
	if err != nil {
		return err
	}
	_, err = w.Write(append(text, '\n'))
	return err
}

// cells is how a format writes values.
type cells struct {
	allBoxes string // the budget that is all boxes
	none     string // a value that is undefined
	decimals int
}

var (
	tableCells = cells{allBoxes: "all", none: "-", decimals: 4}
	csvCells   = cells{allBoxes: "0", none: "", decimals: 6}
)

func (c cells) number(v float64) string { return strconv.FormatFloat(v, 'f', c.decimals, 64) }

// budgetRows returns a header and a row for each budget of each result.
func budgetRows(results []evalResult, c cells) [][]string {
	rows := [][]string{{
		"proposals", "n", "MABO", "ABO", "AR", "AR_COCO", "R@0.5", "R@0.7", "R@0.8", "AR_small", "AR_medium", "AR_large",
		"images", "objects", "boxes", "seconds", "AR_COCO_small", "AR_COCO_medium", "AR_COCO_large",
	}}
	for _, result := range results {
		for _, b := range result.Budgets {
			n := c.allBoxes
			if b.N > 0 {
				n = strconv.Itoa(b.N)
			}
			seconds := c.none
			if result.Seconds > 0 {
				seconds = c.number(result.Seconds)
			}
			rows = append(rows, []string{
				result.Name, n,
				c.measure(&b.All, b.MABO), c.measure(&b.All, b.ABO), c.measure(&b.All, b.All.AR), c.measure(&b.All, b.All.COCO),
				c.measure(&b.All, b.All.Recall[50]), c.measure(&b.All, b.All.Recall[70]), c.measure(&b.All, b.All.Recall[80]),
				c.measure(&b.Small, b.Small.AR), c.measure(&b.Medium, b.Medium.AR), c.measure(&b.Large, b.Large.AR),
				strconv.Itoa(result.Images), strconv.Itoa(result.Objects), strconv.FormatFloat(result.Boxes, 'f', 1, 64), seconds,
				c.measure(&b.Small, b.Small.COCO), c.measure(&b.Medium, b.Medium.COCO), c.measure(&b.Large, b.Large.COCO),
			})
		}
	}
	return rows
}

// measure formats a measure of the objects of s, which is undefined if there are none.
func (c cells) measure(s *evaluate.Scores, v float64) string {
	if s.Objects == 0 {
		return c.none
	}
	return c.number(v)
}

func (r reporter) writeTables(w *bytes.Buffer, results []evalResult) {
	rows := budgetRows(results, tableCells)
	columns := func(row []string, names ...string) []string {
		var cells []string
		for _, name := range names {
			cells = append(cells, row[slices.Index(rows[0], name)])
		}
		return cells
	}
	var totals, budgets, recalls [][]string
	for i, row := range rows {
		if i == 0 || row[1] == tableCells.allBoxes {
			totals = append(totals, columns(row, "proposals", "images", "objects", "boxes", "seconds"))
		}
		budgets = append(budgets, columns(row, "proposals", "n", "MABO", "ABO", "R@0.5", "R@0.7", "R@0.8"))
		recalls = append(recalls, columns(row, "proposals", "n", "AR", "AR_small", "AR_medium", "AR_large",
			"AR_COCO", "AR_COCO_small", "AR_COCO_medium", "AR_COCO_large"))
	}
	writeTable(w, totals)
	w.WriteByte('\n')
	writeTable(w, budgets)
	w.WriteByte('\n')
	writeTable(w, recalls)

	if len(results) > 0 && results[0].repeatability != nil {
		w.WriteByte('\n')
		writeTable(w, repeatabilityRows(results))
	}
	if r.classes {
		w.WriteByte('\n')
		writeTable(w, classRows(results))
	}
}

func repeatabilityRows(results []evalResult) [][]string {
	rows := [][]string{append([]string{"repeatability"}, evaluate.Perturbations()...)}
	for _, result := range results {
		row := []string{result.Name}
		for _, v := range result.repeatability {
			row = append(row, tableCells.number(v))
		}
		rows = append(rows, row)
	}
	return rows
}

// classRows returns a header and a row for each class. All results are of the same objects and
// hence have the same classes.
func classRows(results []evalResult) [][]string {
	rows := [][]string{{"ABO of all boxes", "objects"}}
	for _, class := range results[0].Classes {
		rows = append(rows, []string{printable(class.Name), strconv.Itoa(class.Objects)})
	}
	for _, result := range results {
		rows[0] = append(rows[0], result.Name)
		for i, class := range result.Classes {
			rows[i+1] = append(rows[i+1], tableCells.number(class.ABO[len(class.ABO)-1]))
		}
	}
	return rows
}

// writeTable writes rows with aligned columns: the first to the left, the others to the right.
func writeTable(w *bytes.Buffer, rows [][]string) {
	// A tabwriter aligns all columns alike, so it gets those after the first.
	var right bytes.Buffer
	tw := tabwriter.NewWriter(&right, 0, 0, 2, ' ', tabwriter.AlignRight)
	width := 0
	for _, row := range rows {
		width = max(width, utf8.RuneCountInString(row[0]))
		fmt.Fprintln(tw, strings.Join(row[1:], "\t")+"\t")
	}
	tw.Flush() // a bytes.Buffer does not fail

	for _, row := range rows {
		line, _ := right.ReadString('\n')
		fmt.Fprintf(w, "%-*s%s", width, row[0], line)
	}
}
