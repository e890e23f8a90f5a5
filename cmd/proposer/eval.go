package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"runtime"
	"slices"

	"github.com/proposer/proposer/evaluate"
	"github.com/proposer/proposer/evaluate/plot"
	"github.com/proposer/proposer/internal/propose"
)

type evalCmd struct {
	Data      string   `required:"" placeholder:"PATH" help:"Data set: a COCO instances file, a folder with one, or a PASCAL VOC folder (Annotations/*.xml) or image set (ImageSets/Main/*.txt)."`
	Proposals []string `sep:"none" placeholder:"[NAME=]FILE" help:"Evaluate the proposals in FILE instead of searching: JSON Lines, COCO results, CSV, .npz, .npy, .mat, Parquet, or a pickle of Detectron, Detectron2 or MMDetection; a folder of such files; - is standard input. Repeat the flag to compare several files."`

	searchFlags `embed:""`
	rankerFlag  `embed:""`
	limitFlags  `embed:""`
	dataFlags   `embed:""`

	Budgets       []int  `placeholder:"10,100,300,1000,2000" min:"1" help:"Numbers of best boxes per image to evaluate, in addition to all boxes."`
	Difficult     bool   `help:"Also count objects that are marked as difficult or as a crowd."`
	Pictures      int    `placeholder:"0" min:"0" help:"Evaluate only the first N images of the data set; 0 means all."`
	Repeatability bool   `help:"Also search seven slightly changed versions of each image and report how many of the 1000 best boxes are found again."`
	Classes       bool   `help:"Also print the results of each class (table only; json always contains them)."`
	Format        string `enum:"table,json,csv" default:"table" help:"Output format: table, json or csv (one line per number of boxes; 0 means all)."`
	Plot          string `placeholder:"OUT.png" help:"Plot recall over IoU and AR over the number of boxes to a .png, .svg or .pdf file."`
}

// Help returns the text below the flags.
func (*evalCmd) Help() string {
	return `An image that cannot be read, that the proposals file lacks, or whose size is not the annotated one, is reported on standard error. Its objects count as missed and the exit code is 1.`
}

// Run executes the command.
func (c *evalCmd) Run(ctx context.Context, std streams) error {
	opts, err := c.check()
	if err != nil {
		return err
	}
	if n := opts.Search.Threads; n > 0 {
		defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(n))
	}
	e, err := newEvaluation(std, c.Data, &c.dataFlags, len(c.Proposals) == 0, evaluate.Options{Budgets: c.Budgets, Difficult: c.Difficult})
	if err != nil {
		return err
	}
	defer e.close()
	if c.Pictures > 0 {
		e.data.Images = e.data.Images[:min(c.Pictures, len(e.data.Images))]
	}

	results, err := c.evaluate(ctx, e, opts)
	if err != nil {
		return err
	}
	if err := c.write(std, results); err != nil {
		return err
	}
	if e.failed {
		return errImagesFailed
	}
	return nil
}

// check validates the flags before any work is done.
func (c *evalCmd) check() (propose.Options, error) {
	opts, err := parseOptions(&c.searchFlags, &c.rankerFlag, &c.limitFlags)
	if err != nil {
		return opts, err
	}
	if _, err := evaluate.New(evaluate.Options{Budgets: c.Budgets}); err != nil {
		return opts, usageError{fmt.Errorf("--budgets: %w", err)}
	}
	given := slices.Sorted(maps.Keys(c.values()))
	stdin := 0
	for _, arg := range c.Proposals {
		if proposalsPath(arg) == "-" {
			stdin++
		}
	}
	switch {
	case len(c.Proposals) > 0 && len(given) > 0:
		err = fmt.Errorf("--%s: cannot be used with --proposals, which replaces the search", given[0])
	case len(c.Proposals) > 0 && c.Repeatability:
		err = errors.New("--repeatability: cannot be used with --proposals, which replaces the search")
	case stdin > 1:
		err = errors.New("--proposals -: standard input can be read only once")
	case c.Plot != "" && plot.Format(c.Plot) == "":
		err = fmt.Errorf("--plot %s: want a file name that ends in .png, .svg or .pdf", c.Plot)
	case c.Format == "csv" && (c.Classes || c.Repeatability):
		err = errors.New("--format csv: does not include --classes and --repeatability: want table or json")
	default:
		return opts, nil
	}
	return opts, usageError{err}
}

// evaluate returns the results of each proposals file or, if there are none, of a search.
func (c *evalCmd) evaluate(ctx context.Context, e *evaluation, opts propose.Options) ([]evalResult, error) {
	var results []evalResult
	for _, arg := range c.Proposals {
		report, err := e.read(ctx, proposalsPath(arg))
		if err != nil {
			return nil, err
		}
		results = append(results, evalResult{Result: plot.Result{Name: proposalsName(arg), Report: report}})
	}
	if len(c.Proposals) > 0 {
		return results, nil
	}

	result, err := e.search(ctx, opts, c.Repeatability)
	if err != nil {
		return nil, err
	}
	result.Name = c.searchName(opts)
	return []evalResult{*result}, nil
}

// write prints the results and writes the plot.
func (c *evalCmd) write(std streams, results []evalResult) error {
	r := reporter{format: c.Format, classes: c.Classes}
	if err := r.write(std.out, results); err != nil || c.Plot == "" {
		return err
	}
	var curves []plot.Result
	for _, result := range results {
		curves = append(curves, result.Result)
	}
	var file bytes.Buffer
	if err := plot.Write(&file, plot.Format(c.Plot), curves); err != nil {
		return err
	}
	return os.WriteFile(c.Plot, file.Bytes(), 0o644)
}
