package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"

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

// evaluation evaluates proposals on a data set. The eval and train commands share it.
type evaluation struct {
	data   *dataset.Dataset
	index  map[string]int // images by file name, including those beyond --pictures
	opts   evaluate.Options
	ranker func(i int) selective.Ranker // ranker of data.Images[i]; nil means that of the search options
	std    streams
	failed bool // an image failed
}

func newEvaluation(data *dataset.Dataset, std streams, opts evaluate.Options) *evaluation {
	return &evaluation{data: data, index: data.Index(), std: std, opts: opts}
}

func errNoImages(data string) error {
	return fmt.Errorf("--data %s: images not found: want them in images or JPEGImages beside the annotations", data)
}

// warn prints a message about images that failed.
func (e *evaluation) warn(format string, args ...any) {
	e.failed = true
	fmt.Fprintf(e.std.err, "proposer: "+format+"\n", args...)
}

// search proposes boxes for all images and evaluates them. Each image is searched by one thread, so
// that no thread waits for another.
func (e *evaluation) search(ctx context.Context, opts propose.Options, repeatability bool) (*evalResult, error) {
	images := e.data.Images
	workers := min(runtime.GOMAXPROCS(0), max(1, len(images)))
	opts.Search.Threads = max(1, runtime.GOMAXPROCS(0)/workers)

	bar := progress(e.std, len(images), "")
	result, err := evaluate.Run(ctx, images, e.opts, workers, func(ctx context.Context, i int) (evaluate.Proposals, error) {
		defer bar.Add(1) // fails only if the terminal does
		opts := opts
		if e.ranker != nil {
			opts.Search.Ranker = e.ranker(i)
		}
		return searchFile(ctx, e.data.Path(&images[i]), opts, repeatability)
	})
	bar.Exit()
	if err != nil {
		return nil, err
	}

	for i, err := range result.Errors {
		if err != nil {
			e.warn("%s: %v", printable(images[i].File), err)
		}
	}
	if repeatability && result.Repeatability == nil {
		result.Repeatability = make([]float64, len(evaluate.Perturbations()))
	}
	return &evalResult{plot.Result{Report: result.Report}, result.Repeatability}, nil
}

// searchFile proposes boxes for an image file.
func searchFile(ctx context.Context, path string, opts propose.Options, repeatability bool) (evaluate.Proposals, error) {
	data, err := readFile(path, opts.Decode.Limits.MaxBytes)
	if err != nil {
		return evaluate.Proposals{}, err
	}
	result, err := propose.Run(ctx, data, opts)
	if err != nil {
		return evaluate.Proposals{}, err
	}
	proposals := evaluate.Proposals{Boxes: result.Boxes, Took: result.SearchTime}
	if !repeatability {
		return proposals, nil
	}

	decoded, err := imageio.Decode(ctx, data, opts.Decode)
	if err != nil {
		return proposals, err
	}
	proposals.Repeatability, err = evaluate.Repeatability(ctx, decoded.Image,
		func(ctx context.Context, img *raster.Image) ([]box.Box, error) {
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
	return proposals, err
}

// read evaluates the proposals in a file.
func (e *evaluation) read(ctx context.Context, path string) (*evaluate.Report, error) {
	name := printable(path)
	in, stop, err := openProposals(ctx, e.std.in, path)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, safefs.WithoutPath(err))
	}
	defer stop()
	evaluator, err := evaluate.New(e.opts)
	if err != nil {
		return nil, err
	}

	seen := make([]bool, len(e.data.Images))
	var unknown, missing firstOf
	for line, err := range codec.ReadJSONL(in) {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		row := &line.Row
		i, ok := e.index[row.File]
		switch {
		case !ok:
			unknown.add(row.File)
			continue
		case i >= len(seen):
			continue
		case seen[i]:
			return nil, fmt.Errorf("%s: line %d: duplicate image %q", name, line.Number, row.File)
		}
		seen[i] = true
		if row.Error != "" {
			e.warn("%s: line %d: %s: %s", name, line.Number, printable(row.File), printable(row.Error))
		}
		evaluator.Add(&e.data.Images[i], row.Boxes, row.SearchTime)
	}
	for i, ok := range seen {
		if !ok {
			missing.add(e.data.Images[i].File)
			evaluator.Add(&e.data.Images[i], nil, 0)
		}
	}

	if unknown.n > 0 {
		fmt.Fprintf(e.std.err, "proposer: %s: ignored %d images that are not in the data set, the first is %q\n", name, unknown.n, unknown.first)
	}
	if missing.n > 0 {
		e.warn("%s: no proposals for %d images of the data set, which count as without boxes; the first is %q", name, missing.n, missing.first)
	}
	return evaluator.Report(), nil
}

// firstOf counts names and keeps the first.
type firstOf struct {
	n     int
	first string
}

func (f *firstOf) add(name string) {
	if f.n++; f.n == 1 {
		f.first = name
	}
}

// openProposals opens a file, or stdin if the path is "-". Reading ends when ctx is canceled, even
// if the underlying read blocks, as that of a pipe may.
func openProposals(ctx context.Context, stdin io.Reader, path string) (in io.Reader, stop func(), err error) {
	f := io.NopCloser(stdin)
	if path != "-" {
		if f, err = os.Open(path); err != nil {
			return nil, nil, err
		}
	}
	r, w := io.Pipe()
	stopWatching := context.AfterFunc(ctx, func() { w.CloseWithError(ctx.Err()) })
	go func() {
		defer f.Close()
		_, err := io.Copy(w, f)
		w.CloseWithError(err)
	}()
	return r, func() { stopWatching(); r.Close() }, nil
}

// proposalsPath returns FILE of [NAME=]FILE. A "=" after a path separator belongs to the path.
func proposalsPath(arg string) string {
	if name, path, ok := strings.Cut(arg, "="); ok && name != "" && !strings.ContainsRune(name, filepath.Separator) {
		return path
	}
	return arg
}

// proposalsName returns NAME of [NAME=]FILE. The default is the base name of the file without
// .jsonl.
func proposalsName(arg string) string {
	path := proposalsPath(arg)
	if path != arg {
		return printable(strings.TrimSuffix(arg, "="+path))
	}
	return printable(strings.TrimSuffix(baseName(path), ".jsonl"))
}

// searchName returns the mode followed by the other search options that were given.
func (c *evalCmd) searchName(opts propose.Options) string {
	name := opts.Mode
	values := c.values()
	for _, option := range propose.OptionNames() {
		if v, ok := values[option]; ok && option != "mode" && option != "threads" {
			name += " " + option + "=" + v
		}
	}
	return name
}
