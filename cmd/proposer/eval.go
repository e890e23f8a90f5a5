package main

import (
	"bytes"
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"github.com/schollz/progressbar/v3"

	"github.com/proposer/proposer/box"
	"github.com/proposer/proposer/dataset"
	"github.com/proposer/proposer/evaluate"
	"github.com/proposer/proposer/evaluate/plot"
	"github.com/proposer/proposer/internal/codec"
	"github.com/proposer/proposer/internal/imageio"
	"github.com/proposer/proposer/internal/propose"
	"github.com/proposer/proposer/internal/safefs"
	"github.com/proposer/proposer/raster"
	"github.com/proposer/proposer/selective"
)

type evalCmd struct {
	Data      string   `required:"" placeholder:"PATH" help:"Data set: a COCO instances file, a folder with one, or a PASCAL VOC folder (Annotations/*.xml) or image set (ImageSets/Main/*.txt)."`
	Proposals []string `sep:"none" placeholder:"[NAME=]FILE" help:"Judge these, as propose prints them in jsonl, instead of searching; - is standard input. Given several times, they are compared."`

	searchFlags `embed:""`
	rankerFlag  `embed:""`
	limitFlags  `embed:""`

	Budgets       []int  `placeholder:"10,100,300,1000,2000" help:"Judge so many of the best boxes of a picture, beside all of them."`
	Difficult     bool   `help:"Count objects that are marked as difficult, and crowds, too."`
	Pictures      int    `placeholder:"0" help:"Take the first so many pictures of the data set; 0 is all."`
	Repeatability bool   `help:"Also search each picture changed slightly, seven times, and tell how well the best 1000 boxes come back."`
	Classes       bool   `help:"List the classes, too: csv has not the room, json has them anyway."`
	Format        string `enum:"table,json,csv" default:"table" help:"What to print: table, json or csv (a line for each number of boxes, 0 being all)."`
	Plot          string `placeholder:"OUT.png" help:"Draw recall over IoU and AR over the number of boxes, and write that as .png, .svg or .pdf."`
}

func (*evalCmd) Help() string {
	return `A picture that cannot be read, or that the proposals leave out, is told of on standard error: its objects count as missed and the exit code is 1.`
}

// judgement is what one set of proposals is worth.
type judgement struct {
	plot.Result
	repeatability []float64 // by evaluate.Perturbations; nil if it was not asked for
}

// Run is the command.
func (c *evalCmd) Run(ctx context.Context, std streams) error {
	opts, err := c.check()
	if err != nil {
		return err
	}
	if n := opts.Search.Threads; n > 0 {
		defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(n))
	}
	data, err := dataset.Open(c.Data)
	if err != nil {
		return err
	}
	e := &evaluation{data: data, index: data.Index(), std: std, judge: evaluate.Options{Budgets: c.Budgets, Difficult: c.Difficult}}
	if c.Pictures > 0 {
		data.Images = data.Images[:min(c.Pictures, len(data.Images))]
	}
	var all []judgement
	for _, source := range c.Proposals {
		report, err := e.read(ctx, source)
		if err != nil {
			return err
		}
		all = append(all, judgement{plot.Result{Name: label(source), Report: report}, nil})
	}
	if len(c.Proposals) == 0 {
		if data.Folder == "" && len(data.Images) > 0 {
			return noFolder(c.Data)
		}
		j, err := e.search(ctx, opts, c.Repeatability)
		if err != nil {
			return err
		}
		j.Name = c.name(opts)
		all = append(all, *j)
	}
	if err := c.print(std.out, all); err != nil {
		return err
	}
	if c.Plot != "" {
		var drawn bytes.Buffer
		var named []plot.Result
		for _, j := range all {
			named = append(named, j.Result)
		}
		if err := plot.Write(&drawn, plot.FormatOf(c.Plot), named); err != nil {
			return err
		}
		if err := os.WriteFile(c.Plot, drawn.Bytes(), 0o644); err != nil {
			return err
		}
	}
	if e.failed {
		return errImagesFailed
	}
	return nil
}

func noFolder(data string) error {
	return fmt.Errorf("--data %s: its pictures are not there: want them in images or JPEGImages beside the annotations", data)
}

// check looks at the flags before any work is done.
func (c *evalCmd) check() (propose.Options, error) {
	opts, err := parseOptions(&c.searchFlags, &c.rankerFlag, &c.limitFlags)
	if err != nil {
		return opts, err
	}
	if _, err := evaluate.New(evaluate.Options{Budgets: c.Budgets}); err != nil {
		return opts, usageError{fmt.Errorf("--budgets: %w", err)}
	}
	given := slices.Sorted(maps.Keys(c.values()))
	inputs := 0
	for _, source := range c.Proposals {
		if file(source) == "-" {
			inputs++
		}
	}
	switch {
	case len(c.Proposals) > 0 && len(given) > 0:
		err = fmt.Errorf("--%s: an option of the search, which --proposals takes the place of: want one of them", given[0])
	case len(c.Proposals) > 0 && c.Repeatability:
		err = errors.New("--repeatability: needs the search, which --proposals takes the place of: want one of them")
	case inputs > 1:
		err = errors.New("--proposals -: standard input can be read once")
	case c.Pictures < 0:
		err = fmt.Errorf("--pictures %d: want 0 or more", c.Pictures)
	case c.Plot != "" && plot.FormatOf(c.Plot) == "":
		err = fmt.Errorf("--plot %s: want a name that ends in .png, .svg or .pdf", c.Plot)
	case c.Format == "csv" && (c.Classes || c.Repeatability):
		err = errors.New("--format csv: has no room for --classes and --repeatability: want table or json")
	default:
		return opts, nil
	}
	return opts, usageError{err}
}

// name is the mode and the options that were given beside it.
func (c *evalCmd) name(opts propose.Options) string {
	name := opts.Mode
	values := c.values()
	for _, option := range propose.OptionNames() {
		if v, ok := values[option]; ok && option != "mode" && option != "threads" {
			name += " " + option + "=" + v
		}
	}
	return name
}

// file is the path in [NAME=]FILE. A path with = in its base name may have its folder.
func file(source string) string {
	if name, path, ok := strings.Cut(source, "="); ok && name != "" && !strings.ContainsRune(name, filepath.Separator) {
		return path
	}
	return source
}

// label is the NAME in [NAME=]FILE, or what the file is called.
func label(source string) string {
	path := file(source)
	if path != source {
		return printable(strings.TrimSuffix(source, "="+path))
	}
	return printable(strings.TrimSuffix(baseName(path), ".jsonl"))
}

// evaluation is a data set and how to judge by it.
type evaluation struct {
	data   *dataset.Dataset
	index  map[string]int // of all its pictures, also those that are not taken
	judge  evaluate.Options
	ranker func(picture int) selective.Ranker // if not the options'
	std    streams
	failed bool
}

// tell says what is wrong with a picture, or some.
func (e *evaluation) tell(format string, args ...any) {
	e.failed = true
	fmt.Fprintf(e.std.err, "proposer: "+format+"\n", args...)
}

// read judges the proposals in a file.
func (e *evaluation) read(ctx context.Context, source string) (*evaluate.Report, error) {
	name := printable(file(source))
	in, end, err := open(ctx, e.std.in, file(source))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, safefs.WithoutPath(err))
	}
	defer end()
	tally, err := evaluate.New(e.judge)
	if err != nil {
		return nil, err
	}
	seen := make([]bool, len(e.data.Images))
	strangers, stranger := 0, ""
	for line, err := range codec.ReadJSONL(in) {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		i, ok := e.index[line.Row.File]
		switch {
		case !ok:
			if strangers++; strangers == 1 {
				stranger = line.Row.File
			}
			continue
		case i >= len(seen):
			continue
		case seen[i]:
			return nil, fmt.Errorf("%s: line %d: %q is there twice: want a picture once", name, line.Number, line.Row.File)
		}
		seen[i] = true
		if line.Row.Error != "" {
			e.tell("%s: line %d: %s: %s", name, line.Number, printable(line.Row.File), printable(line.Row.Error))
		}
		tally.Add(&e.data.Images[i], line.Row.Boxes, line.Row.Search)
	}
	missing, first := 0, ""
	for i, ok := range seen {
		if !ok {
			if missing++; missing == 1 {
				first = e.data.Images[i].File
			}
			tally.Add(&e.data.Images[i], nil, 0)
		}
	}
	if strangers > 0 {
		fmt.Fprintf(e.std.err, "proposer: %s: %d of the pictures are not of the data set and left out, the first is %q\n", name, strangers, stranger)
	}
	if missing > 0 {
		e.tell("%s: %d of the data set's pictures are not there and count as without proposals, the first is %q", name, missing, first)
	}
	return tally.Report(), nil
}

// open is a file's text, or standard input's, which ends with the context: a read of a
// pipe may not.
func open(ctx context.Context, stdin io.Reader, name string) (in io.Reader, end func(), err error) {
	f := io.NopCloser(stdin)
	if name != "-" {
		if f, err = os.Open(name); err != nil {
			return nil, nil, err
		}
	}
	r, w := io.Pipe()
	stop := context.AfterFunc(ctx, func() { w.CloseWithError(ctx.Err()) })
	go func() {
		defer f.Close()
		_, err := io.Copy(w, f)
		w.CloseWithError(err)
	}()
	return r, func() { stop(); r.Close() }, nil
}

// search proposes boxes of the data set's pictures and judges them, a picture a thread:
// that leaves no thread waiting for another.
func (e *evaluation) search(ctx context.Context, opts propose.Options, repeat bool) (*judgement, error) {
	images := e.data.Images
	threads := min(runtime.GOMAXPROCS(0), max(1, len(images)))
	opts.Search.Threads = max(1, runtime.GOMAXPROCS(0)/threads)

	bar := progress(e.std, len(images), "")
	tallies := make([]*evaluate.Evaluator, threads)
	for i := range tallies {
		var err error
		if tallies[i], err = evaluate.New(e.judge); err != nil {
			return nil, err
		}
	}
	failures := make([]error, len(images))
	repeated := make([][]float64, len(images))
	var next atomic.Int64
	var wg sync.WaitGroup
	for _, tally := range tallies {
		wg.Go(func() {
			for i := int(next.Add(1)) - 1; i < len(images) && ctx.Err() == nil; i = int(next.Add(1)) - 1 {
				opts := opts
				if e.ranker != nil {
					opts.Search.Ranker = e.ranker(i)
				}
				repeated[i], failures[i] = e.one(ctx, tally, &images[i], opts, repeat)
				bar.Add(1) // fails where the terminal does
			}
		})
	}
	wg.Wait()
	bar.Exit()
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	for i, err := range failures {
		if err != nil {
			e.tell("%s: %v", printable(images[i].File), err)
		}
	}
	for _, tally := range tallies[1:] {
		if err := tallies[0].Merge(tally); err != nil {
			return nil, err
		}
	}
	j := &judgement{Result: plot.Result{Report: tallies[0].Report()}}
	if repeat {
		j.repeatability = means(repeated)
	}
	return j, nil
}

// progress is a bar on standard error, where that is a terminal.
func progress(std streams, n int, what string, more ...progressbar.Option) *progressbar.ProgressBar {
	if !isTerminal(std.err) {
		return progressbar.DefaultSilent(int64(n))
	}
	return progressbar.NewOptions(n, append(more, progressbar.OptionSetWriter(std.err), progressbar.OptionSetDescription(what),
		progressbar.OptionShowCount(), progressbar.OptionSetPredictTime(true), progressbar.OptionClearOnFinish(),
		progressbar.OptionThrottle(100*time.Millisecond))...)
}

// one judges a picture, and one that fails as without proposals.
func (e *evaluation) one(ctx context.Context, tally *evaluate.Evaluator, img *dataset.Image, opts propose.Options, repeat bool) ([]float64, error) {
	data, err := readFile(e.data.Path(img), opts.Decode.Limits.MaxBytes)
	if err != nil {
		tally.Add(img, nil, 0)
		return nil, err
	}
	result, err := propose.Run(ctx, data, opts)
	if err != nil {
		tally.Add(img, nil, 0)
		return nil, err
	}
	tally.Add(img, result.Boxes, result.SearchTime)
	if !repeat {
		return nil, nil
	}
	picture, err := imageio.Decode(ctx, data, opts.Decode)
	if err != nil {
		return nil, err
	}
	return evaluate.Repeatability(ctx, picture.Image, func(ctx context.Context, img *raster.Image) ([]box.Box, error) {
		found, err := selective.Search(ctx, img, opts.Search)
		if err != nil {
			return nil, err
		}
		boxes := make([]box.Box, len(found.Proposals))
		for i, p := range found.Proposals {
			boxes[i] = p.Box
		}
		return boxes, nil
	})
}

// means are over the pictures that did not fail, of which there may be none.
func means(rows [][]float64) []float64 {
	sums := make([]float64, len(evaluate.Perturbations()))
	n := 0
	for _, row := range rows {
		if row == nil {
			continue
		}
		n++
		for i, v := range row {
			sums[i] += v
		}
	}
	for i := range sums {
		sums[i] /= float64(max(n, 1))
	}
	return sums
}

func (c *evalCmd) print(w io.Writer, all []judgement) error {
	var text []byte
	switch c.Format {
	case "json":
		var err error
		if text, err = jsonOf(all); err != nil {
			return err
		}
	case "csv":
		var buf bytes.Buffer
		out := csv.NewWriter(&buf)
		if err := out.WriteAll(levels(all, "0", "", strconv.Itoa, func(v float64) string { return strconv.FormatFloat(v, 'f', 6, 64) })); err != nil {
			return err
		}
		text = buf.Bytes()
	default:
		text = c.tables(all)
	}
	_, err := w.Write(text)
	return err
}

// jsonOf is all that is known.
func jsonOf(all []judgement) ([]byte, error) {
	type object struct {
		Name string `json:"name"`
		*evaluate.Report
		Repeatability map[string]float64 `json:"repeatability,omitempty"`
	}
	objects := []object{}
	for _, j := range all {
		o := object{j.Name, j.Report, nil}
		if j.repeatability != nil {
			o.Repeatability = map[string]float64{}
			for i, name := range evaluate.Perturbations() {
				o.Repeatability[name] = j.repeatability[i]
			}
		}
		objects = append(objects, o)
	}
	text, err := json.Marshal(objects)
	return append(text, '\n'), err
}

// levels are a row for each number of boxes.
func levels(all []judgement, every, none string, whole func(int) string, number func(float64) string) [][]string {
	rows := [][]string{{
		"proposals", "n", "MABO", "ABO", "AR", "AR_COCO", "R@0.5", "R@0.7", "R@0.8", "AR_small", "AR_medium", "AR_large",
		"images", "objects", "boxes", "seconds",
	}}
	for _, j := range all {
		for _, l := range j.Budgets {
			n := every
			if l.N > 0 {
				n = whole(l.N)
			}
			row := []string{j.Name, n}
			for _, v := range []struct {
				objects int
				value   float64
			}{
				{l.All.Objects, l.MABO},
				{l.All.Objects, l.ABO},
				{l.All.Objects, l.All.AR},
				{l.All.Objects, l.All.COCO},
				{l.All.Objects, l.All.Recall[50]},
				{l.All.Objects, l.All.Recall[70]},
				{l.All.Objects, l.All.Recall[80]},
				{l.Small.Objects, l.Small.AR},
				{l.Medium.Objects, l.Medium.AR},
				{l.Large.Objects, l.Large.AR},
			} {
				text := none
				if v.objects > 0 {
					text = number(v.value)
				}
				row = append(row, text)
			}
			seconds := none
			if j.Seconds > 0 {
				seconds = number(j.Seconds)
			}
			rows = append(rows, append(row, whole(j.Images), whole(j.Objects), strconv.FormatFloat(j.Boxes, 'f', 1, 64), seconds))
		}
	}
	return rows
}

// tables are what a person reads.
func (c *evalCmd) tables(all []judgement) []byte {
	number := func(v float64) string { return strconv.FormatFloat(v, 'f', 4, 64) }
	const about = 12 // columns that differ from level to level; the rest is of the whole
	rows := levels(all, "all", "-", strconv.Itoa, number)
	var heads, whole [][]string
	for i, row := range rows {
		heads = append(heads, row[:about])
		if i == 0 || row[1] == "all" {
			whole = append(whole, append([]string{row[0]}, row[about:]...))
		}
	}
	text := aligned(nil, whole)
	text = aligned(append(text, '\n'), heads)
	if c.Repeatability {
		rows := [][]string{append([]string{"repeatability"}, evaluate.Perturbations()...)}
		for _, j := range all {
			row := []string{j.Name}
			for _, v := range j.repeatability {
				row = append(row, number(v))
			}
			rows = append(rows, row)
		}
		text = aligned(append(text, '\n'), rows)
	}
	if c.Classes {
		rows := [][]string{{"ABO of all boxes", "objects"}}
		for _, class := range all[0].Classes {
			rows = append(rows, []string{printable(class.Name), strconv.Itoa(class.Objects)})
		}
		for _, j := range all { // every one of the same objects
			rows[0] = append(rows[0], j.Name)
			for i, class := range j.Classes {
				rows[i+1] = append(rows[i+1], number(class.ABO[len(class.ABO)-1]))
			}
		}
		text = aligned(append(text, '\n'), rows)
	}
	return text
}

// aligned appends rows with their columns under each other, the first flush left.
func aligned(text []byte, rows [][]string) []byte {
	widths := make([]int, len(rows[0]))
	for _, row := range rows {
		for i, cell := range row {
			widths[i] = max(widths[i], utf8.RuneCountInString(cell))
		}
	}
	for _, row := range rows {
		for i, cell := range row {
			space := strings.Repeat(" ", widths[i]-utf8.RuneCountInString(cell))
			if i == 0 {
				text = append(text, cell+space...)
			} else {
				text = append(text, "  "+space+cell...)
			}
		}
		text = append(text, '\n')
	}
	return text
}
