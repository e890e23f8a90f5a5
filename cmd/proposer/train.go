package main

import (
	"bytes"
	"context"
	"fmt"
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
	Out  string `required:"" placeholder:"FILE" help:"Where to write the ranker, for --ranker."`

	searchFlags `embed:""`
	limitFlags  `embed:""`

	Loss    string  `enum:"ce,alpha,focal" default:"ce" help:"Loss: ce (cross entropy), alpha (the same, balanced) or focal (Lin et al. 2017)."`
	Gamma   float64 `default:"2" help:"How much focal looks away from what is easy, 0 to 100."`
	Alpha   float64 `default:"0.25" help:"Weight of objects under alpha and focal, in [0,1]; background has the rest."`
	Trees   int     `default:"${trees}" help:"How many trees to grow."`
	Rate    float64 `default:"${rate}" help:"What part of its step each tree takes, in (0,1]."`
	Without string  `placeholder:"LIST" help:"Do not ask for these groups of evidence, as in votes,sides: trees, place, votes, inside, sides, around."`
	Holdout bool    `help:"Leave out every third picture, and print what it is then worth on those, as eval does."`
	Curve   string  `placeholder:"FILE.csv" help:"Write the training loss after each tree."`
}

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

// Run is the command.
func (c *trainCmd) Run(ctx context.Context, std streams) error {
	opts, err := options(&c.searchFlags, &rankerFlag{}, &c.limitFlags)
	if err != nil {
		return err
	}
	boosting := objectness.DefaultBoosting()
	boosting.Loss, boosting.Trees, boosting.Rate = c.lossOf(), c.Trees, c.Rate
	boosting.Threads = runtime.GOMAXPROCS(0)
	if err := boosting.Validate(); err != nil {
		return usageError{err}
	}
	data, err := evaluate.Open(c.Data)
	if err != nil {
		return err
	}
	learned, kept := split(data.Images, c.Holdout)
	trainer := objectness.NewTrainer(1)
	failed := false
	bar := progress(std, len(learned), "looking")
	for i := range learned {
		err := learn(ctx, trainer, data, &learned[i], opts)
		if ctx.Err() != nil {
			bar.Exit()
			return ctx.Err()
		}
		if err != nil {
			failed = true
			fmt.Fprintf(std.err, "proposer: %s: %v\n", printable(learned[i].File), err)
		}
		bar.Add(1) // fails where the terminal does
	}
	bar.Exit()

	curve := bytes.NewBufferString("tree,loss\n")
	bar = progress(std, boosting.Trees, "growing")
	boosting.Progress = func(tree int, loss float64) {
		fmt.Fprintf(curve, "%d,%.6g\n", tree+1, loss)
		bar.Add(1)
	}
	about := objectness.About{Data: base(filepath.Clean(c.Data)), Mode: opts.Mode, Loss: c.Loss}
	if c.Loss == "focal" {
		about.Loss = fmt.Sprintf("focal(gamma=%g, alpha=%g)", c.Gamma, c.Alpha)
	} else if c.Loss == "alpha" {
		about.Loss = fmt.Sprintf("alpha(%g)", c.Alpha)
	}
	ranker, err := trainer.Train(ctx, boosting, about, strings.Split(c.Without, ",")...)
	bar.Exit()
	if err != nil {
		return err
	}
	var file bytes.Buffer
	if err := ranker.Write(&file); err != nil {
		return err
	}
	if err := os.WriteFile(c.Out, file.Bytes(), 0o644); err != nil {
		return err
	}
	if c.Curve != "" {
		if err := os.WriteFile(c.Curve, curve.Bytes(), 0o644); err != nil {
			return err
		}
	}
	fmt.Fprintf(std.err, "%d pictures, %d boxes, of which %d learned from; loss %.4f\n",
		ranker.About.Pictures, ranker.About.Boxes, trainer.Samples(), ranker.About.Value)
	if c.Holdout {
		judge := evalCmd{Format: "table", Budgets: evaluate.DefaultBudgets()}
		e := evaluation{data: &evaluate.Dataset{Images: kept, Folder: data.Folder}, std: std}
		opts.Search.Ranker = ranker
		j, err := e.search(ctx, opts, false)
		if err != nil {
			return err
		}
		j.Name = "held out"
		if err := judge.print(std.out, []judgement{*j}); err != nil {
			return err
		}
		failed = failed || e.failed
	}
	if failed {
		return errPictures
	}
	return nil
}

// split leaves out every third picture, if it is to.
func split(images []evaluate.Image, holdout bool) (learned, kept []evaluate.Image) {
	if !holdout {
		return images, nil
	}
	for i, img := range images {
		if i%3 == 0 {
			kept = append(kept, img)
		} else {
			learned = append(learned, img)
		}
	}
	return learned, kept
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
