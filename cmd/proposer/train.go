package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/proposer/proposer/candidate"
	"github.com/proposer/proposer/dataset"
	"github.com/proposer/proposer/evaluate"
	"github.com/proposer/proposer/imbalance"
	"github.com/proposer/proposer/internal/imageio"
	"github.com/proposer/proposer/internal/propose"
	"github.com/proposer/proposer/objectness"
	"github.com/proposer/proposer/selective"
)

type trainCmd struct {
	Data string `required:"" placeholder:"PATH" help:"Data set: a COCO instances file, a folder with one, or a PASCAL VOC folder (Annotations/*.xml) or image set (ImageSets/Main/*.txt)."`
	Out  string `placeholder:"FILE" help:"Where to write the ranker, for --ranker."`

	searchFlags `embed:""`
	limitFlags  `embed:""`

	Loss    string  `enum:"ce,alpha,focal" default:"ce" help:"Loss: ce (cross entropy), alpha (the same, balanced) or focal (Lin et al. 2017)."`
	Gamma   float64 `default:"2" help:"How much focal looks away from what is easy, 0 to 100."`
	Alpha   float64 `default:"0.25" help:"Weight of objects under alpha and focal, in [0,1]; background has the rest."`
	Model   string  `enum:"both,trees,network,linear" default:"both" help:"What to learn: boosted trees, a small neural network, both, whose log-odds are averaged, or a linear model."`
	Trees   int     `default:"${trees}" help:"How many trees to grow."`
	Rate    float64 `default:"${rate}" help:"What part of its step each tree takes, in (0,1]."`
	Epochs  int     `default:"${epochs}" help:"How often the network sees each box."`
	Units   int     `default:"${units}" help:"How many hidden units the network has."`
	Without string  `placeholder:"LIST" help:"Do not ask for these groups of evidence, as in votes,grid: trees, place, votes, inside, around, grid."`
	Folds   int     `placeholder:"N" help:"Cross-validate: learn N times without every N-th picture, and print what that is worth on those left out, as eval does."`
	Judge   string  `placeholder:"PATH" help:"Another data set to judge it by in the end. The figures are printed, and kept in the file."`
	Curve   string  `placeholder:"FILE.csv" help:"Write the training loss as it falls."`
}

// maxFolds is far more than is of use.
const maxFolds = 100

// Help is the text below the flags.
func (*trainCmd) Help() string {
	return `Boxes that lie by half in a crowd, or in an object marked as difficult, are not learned from, unless they are on another object.

A picture that cannot be read is told of on standard error; the others are learned from and the exit code is 1.`
}

// lossOf is the loss that the flags name, and what a ranker's file calls it.
func (c *trainCmd) lossOf() (loss imbalance.Loss, name string) {
	switch c.Loss {
	case "alpha":
		return imbalance.Loss{Alpha: imbalance.Balanced(c.Alpha)}, fmt.Sprintf("alpha(%g)", c.Alpha)
	case "focal":
		return imbalance.Loss{Gamma: c.Gamma, Alpha: imbalance.Balanced(c.Alpha)}, fmt.Sprintf("focal(gamma=%g, alpha=%g)", c.Gamma, c.Alpha)
	}
	return imbalance.CrossEntropy(), c.Loss
}

// recipe is what the flags ask for.
func (c *trainCmd) recipe() objectness.TrainOptions {
	r := objectness.DefaultTrainOptions()
	r.Loss, _ = c.lossOf()
	r.Threads = runtime.GOMAXPROCS(0)
	r.Trees.Trees, r.Trees.Rate, r.Network.Epochs, r.Network.Units = c.Trees, c.Rate, c.Epochs, c.Units
	switch c.Model {
	case "trees":
		r.Network.Epochs = 0
	case "network":
		r.Trees.Trees = 0
	case "linear":
		r.Trees.Trees, r.Network.Units = 0, 0
	}
	return r
}

// Run is the command.
func (c *trainCmd) Run(ctx context.Context, std streams) error {
	opts, err := parseOptions(&c.searchFlags, &rankerFlag{}, &c.limitFlags)
	if err != nil {
		return err
	}
	recipe := c.recipe()
	if err := recipe.Validate(); err != nil {
		return usageError{err}
	}
	switch {
	case c.Folds < 0 || c.Folds == 1 || c.Folds > maxFolds:
		return usageError{fmt.Errorf("--folds %d: want 2 to %d", c.Folds, maxFolds)}
	case c.Folds == 0 && c.Out == "":
		return usageError{errors.New("neither --out nor --folds: want one of them, or both")}
	case c.Out == "" && (c.Judge != "" || c.Curve != ""):
		return usageError{errors.New("--judge and --curve tell of the ranker that --out writes: want that, too")}
	}
	t := training{trainCmd: c, opts: opts, recipe: recipe, trainer: objectness.NewTrainer(1), std: std}
	data, err := t.open(c.Data)
	if err != nil {
		return err
	}
	var other *evaluation
	if c.Judge != "" {
		if other, err = t.open(c.Judge); err != nil {
			return err
		}
	}
	if err := t.look(ctx, data); err != nil {
		return err
	}
	if c.Out != "" {
		if err := t.learn(ctx, other); err != nil {
			return err
		}
	}
	if c.Folds > 0 {
		if err := t.validate(ctx, data); err != nil {
			return err
		}
	}
	if data.failed || other != nil && other.failed {
		return errImagesFailed
	}
	return nil
}

// training is what a command is at.
type training struct {
	*trainCmd
	opts    propose.Options
	recipe  objectness.TrainOptions
	trainer *objectness.Trainer
	std     streams
}

// open opens a data set with its pictures.
func (t *training) open(path string) (*evaluation, error) {
	data, err := dataset.Open(path)
	if err != nil {
		return nil, err
	}
	if data.Folder == "" && len(data.Images) > 0 {
		return nil, errNoImages(path)
	}
	return newEvaluation(data, t.std, evaluate.Options{}), nil
}

// look searches the pictures.
func (t *training) look(ctx context.Context, e *evaluation) error {
	bar := progress(t.std, len(e.data.Images), "looking")
	defer bar.Exit()
	for i := range e.data.Images {
		err := t.one(ctx, e.data, i)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil {
			e.warn("%s: %v", printable(e.data.Images[i].File), err)
		}
		bar.Add(1) // fails where the terminal does
	}
	return nil
}

// train learns from some of the pictures.
func (t *training) train(ctx context.Context, recipe objectness.TrainOptions, learned func(picture int) bool) (*objectness.Ranker, error) {
	_, loss := t.lossOf()
	about := objectness.Metadata{Data: baseName(filepath.Clean(t.Data)), Mode: t.opts.Mode, Model: t.Model, Loss: loss}
	return t.trainer.Train(ctx, recipe, about, learned, strings.Split(t.Without, ",")...)
}

// learn learns from all pictures, judges by others, and writes the ranker and the curve.
func (t *training) learn(ctx context.Context, other *evaluation) error {
	curve := bytes.NewBufferString("part,step,loss\n")
	part, bar := "", progress(t.std, 1, "")
	recipe := t.recipe
	recipe.Progress = func(name string, step, steps int, loss float64) {
		if name != part {
			bar.Exit()
			bar, part = progress(t.std, steps, name), name
		}
		fmt.Fprintf(curve, "%s,%d,%.6g\n", name, step+1, loss)
		bar.Add(1)
	}
	ranker, err := t.train(ctx, recipe, nil)
	bar.Exit()
	if err != nil {
		return err
	}
	if other != nil {
		other.ranker = func(int) selective.Ranker { return ranker }
		report, err := t.print(ctx, other, baseName(filepath.Clean(t.Judge)))
		if err != nil {
			return err
		}
		ranker.Metadata.EvaluatedOn = baseName(filepath.Clean(t.Judge))
		for _, l := range report.Budgets {
			ranker.Metadata.Metrics = append(ranker.Metadata.Metrics, objectness.Metric{Boxes: l.N, AR: l.All.AR})
		}
	}
	var file bytes.Buffer
	if err := ranker.Write(&file); err != nil {
		return err
	}
	if err := os.WriteFile(t.Out, file.Bytes(), 0o644); err != nil {
		return err
	}
	fmt.Fprintf(t.std.err, "%d pictures, %d boxes, of which %d learned from\n",
		ranker.Metadata.Pictures, ranker.Metadata.Boxes, t.trainer.Samples())
	if t.Curve == "" {
		return nil
	}
	return os.WriteFile(t.Curve, curve.Bytes(), 0o644)
}

// print judges, and prints a table.
func (t *training) print(ctx context.Context, e *evaluation, name string) (*evaluate.Report, error) {
	j, err := e.search(ctx, t.opts, false)
	if err != nil {
		return nil, err
	}
	j.Name = name
	return j.Report, reporter{format: "table"}.write(t.std.out, []evalResult{*j})
}

// validate prints what rankers are worth on the pictures that they have not learned from.
func (t *training) validate(ctx context.Context, e *evaluation) error {
	bar := progress(t.std, t.Folds, "validating")
	defer bar.Exit()
	rankers := make([]*objectness.Ranker, t.Folds)
	for k := range rankers {
		var err error
		if rankers[k], err = t.train(ctx, t.recipe, func(picture int) bool { return picture%t.Folds != k }); err != nil {
			return err
		}
		bar.Add(1)
	}
	bar.Exit()
	e.ranker = func(picture int) selective.Ranker { return rankers[picture%t.Folds] }
	_, err := t.print(ctx, e, fmt.Sprintf("%d folds", t.Folds))
	return err
}

// pupil stands in for a ranker, and learns.
type pupil struct {
	trainer *objectness.Trainer
	picture int
	objects []dataset.Object
}

// Score is that of selective.Ranker.
func (p *pupil) Score(ctx context.Context, _ []float32, e *candidate.Set) error {
	return p.trainer.Add(ctx, p.picture, e, matches(e.Candidates, p.objects))
}

// matches finds each proposal's object. Of one that lies by half in a crowd, or in an object that is
// too difficult to count, nobody knows whether it holds an object.
func matches(proposals []candidate.Candidate, objects []dataset.Object) []objectness.Match {
	best := make([]objectness.Match, len(proposals))
	for i := range proposals {
		b, m := &proposals[i].Box, &best[i]
		for k := range objects {
			if o := &objects[k]; o.Difficult {
				m.Ignore = m.Ignore || o.IoA(b) >= .5
			} else if v := o.IoU(b); v > m.IoU {
				m.Object, m.IoU = k, v
			}
		}
	}
	return best
}

// one searches a picture, and has the trainer look on.
func (t *training) one(ctx context.Context, data *dataset.Dataset, picture int) error {
	img, opts := &data.Images[picture], t.opts
	file, err := readFile(data.Path(img), opts.Decode.Limits.MaxBytes)
	if err != nil {
		return err
	}
	opts.Decode.LongestSide = 0 // objects are in the picture's own pixels
	decoded, err := imageio.Decode(ctx, file, opts.Decode)
	if err != nil {
		return err
	}
	opts.Search.Order, opts.Search.Max = selective.OrderObjectness, 1
	opts.Search.Ranker = &pupil{t.trainer, picture, img.Objects}
	_, err = selective.Search(ctx, decoded.Image, opts.Search)
	return err
}
