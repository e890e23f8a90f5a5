package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/proposer/proposer/evaluate"
	"github.com/proposer/proposer/imageio"
	"github.com/proposer/proposer/imbalance"
	"github.com/proposer/proposer/objectness"
	"github.com/proposer/proposer/pipeline"
	"github.com/proposer/proposer/selective"
)

type trainCmd struct {
	Data string `required:"" placeholder:"PATH" help:"Data set: a COCO instances file, a folder with one, or a PASCAL VOC folder (Annotations/*.xml)."`
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
	Without string  `placeholder:"LIST" help:"Do not ask for these groups of evidence, as in votes,sides: trees, place, votes, inside, sides, around, grid."`
	Folds   int     `placeholder:"N" help:"Cross-validate: learn N times without every N-th picture, and print what that is worth on those left out, as eval does."`
	Curve   string  `placeholder:"FILE.csv" help:"Write the training loss as it falls."`
}

// maxFolds is far more than is of use.
const maxFolds = 100

// Help is the text below the flags.
func (*trainCmd) Help() string {
	return `A picture that cannot be read is told of on standard error; the others are learned from and the exit code is 1.`
}

// lossOf is the loss that the flags name.
func (c *trainCmd) lossOf() imbalance.Loss {
	switch c.Loss {
	case "alpha":
		return imbalance.Loss{Alpha: imbalance.Balanced(c.Alpha)}
	case "focal":
		return imbalance.Loss{Gamma: c.Gamma, Alpha: imbalance.Balanced(c.Alpha)}
	}
	return imbalance.CrossEntropy()
}

// recipe is what the flags ask for.
func (c *trainCmd) recipe() objectness.Recipe {
	r := objectness.DefaultRecipe()
	r.Loss, r.Threads = c.lossOf(), runtime.GOMAXPROCS(0)
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
	opts, err := options(&c.searchFlags, &rankerFlag{}, &c.limitFlags)
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
	}
	data, err := evaluate.Open(c.Data)
	if err != nil {
		return err
	}
	if data.Folder == "" && len(data.Images) > 0 {
		return noFolder(c.Data)
	}
	trainer := objectness.NewTrainer(1)
	e := evaluation{data: data, std: std, judge: evaluate.Options{Budgets: evaluate.DefaultBudgets()}}
	bar := progress(std, len(data.Images), "looking")
	for i := range data.Images {
		err := learn(ctx, trainer, data, &data.Images[i], opts)
		if ctx.Err() != nil {
			bar.Exit()
			return ctx.Err()
		}
		if err != nil {
			e.tell("%s: %v", printable(data.Images[i].File), err)
			trainer.Skip()
		}
		bar.Add(1) // fails where the terminal does
	}
	bar.Exit()

	curve := bytes.NewBufferString("part,step,loss\n")
	part := ""
	recipe.Progress = func(name string, step, steps int, loss float64) {
		if name != part {
			bar.Exit()
			bar, part = progress(std, steps, name), name
		}
		fmt.Fprintf(curve, "%s,%d,%.6g\n", name, step+1, loss)
		bar.Add(1)
	}
	about := objectness.About{Data: base(filepath.Clean(c.Data)), Mode: opts.Mode, Model: c.Model, Loss: c.Loss}
	if c.Loss == "focal" {
		about.Loss = fmt.Sprintf("focal(gamma=%g, alpha=%g)", c.Gamma, c.Alpha)
	} else if c.Loss == "alpha" {
		about.Loss = fmt.Sprintf("alpha(%g)", c.Alpha)
	}
	without := strings.Split(c.Without, ",")
	if c.Out != "" {
		ranker, err := trainer.Train(ctx, recipe, about, nil, without...)
		bar.Exit()
		if err != nil {
			return err
		}
		if err := save(c.Out, ranker.Write); err != nil {
			return err
		}
		fmt.Fprintf(std.err, "%d pictures, %d boxes, of which %d learned from\n",
			ranker.About.Pictures, ranker.About.Boxes, trainer.Samples())
	}
	if c.Curve != "" {
		if err := os.WriteFile(c.Curve, curve.Bytes(), 0o644); err != nil {
			return err
		}
	}
	if c.Folds > 0 {
		if err := c.validate(ctx, trainer, recipe, about, opts, &e); err != nil {
			return err
		}
	}
	if e.failed {
		return errPictures
	}
	return nil
}

// validate prints what rankers are worth on the pictures that they have not learned from.
func (c *trainCmd) validate(ctx context.Context, trainer *objectness.Trainer, recipe objectness.Recipe, about objectness.About, opts pipeline.Options, e *evaluation) error {
	bar := progress(e.std, c.Folds, "validating")
	recipe.Progress = nil
	rankers := make([]*objectness.Ranker, c.Folds)
	for k := range rankers {
		var err error
		learned := func(picture int) bool { return picture%c.Folds != k }
		if rankers[k], err = trainer.Train(ctx, recipe, about, learned, strings.Split(c.Without, ",")...); err != nil {
			bar.Exit()
			return err
		}
		bar.Add(1)
	}
	bar.Exit()
	e.ranker = func(picture int) selective.Ranker { return rankers[picture%c.Folds] }
	j, err := e.search(ctx, opts, false)
	if err != nil {
		return err
	}
	j.Name = fmt.Sprintf("%d folds", c.Folds)
	judge := evalCmd{Format: "table", Budgets: evaluate.DefaultBudgets()}
	return judge.print(e.std.out, []judgement{*j})
}

// save writes a file.
func save(name string, write func(io.Writer) error) error {
	var file bytes.Buffer
	if err := write(&file); err != nil {
		return err
	}
	return os.WriteFile(name, file.Bytes(), 0o644)
}

// pupil stands in for a ranker, and learns.
type pupil struct {
	trainer *objectness.Trainer
	objects []evaluate.Object
}

// Score is that of selective.Ranker.
func (p *pupil) Score(ctx context.Context, _ []float32, e *selective.Evidence) error {
	best := make([]objectness.Match, len(e.Proposals))
	for i := range e.Proposals {
		for k := range p.objects {
			if o := &p.objects[k]; !o.Difficult {
				if v := o.IoU(&e.Proposals[i].Box); v > best[i].IoU {
					best[i] = objectness.Match{Object: k, IoU: v}
				}
			}
		}
	}
	return p.trainer.Add(ctx, e, best)
}

func learn(ctx context.Context, t *objectness.Trainer, data *evaluate.Dataset, img *evaluate.Image, opts pipeline.Options) error {
	file, err := readFile(data.Path(img), opts.Decode.Limits.MaxBytes)
	if err != nil {
		return err
	}
	opts.Decode.LongestSide = 0 // objects are in the picture's own pixels
	picture, err := imageio.Decode(ctx, file, opts.Decode)
	if err != nil {
		return err
	}
	opts.Search.Order, opts.Search.Max = selective.OrderObjectness, 1
	opts.Search.Ranker = &pupil{trainer: t, objects: img.Objects}
	_, err = selective.Search(ctx, picture.Image, opts.Search)
	return err
}
