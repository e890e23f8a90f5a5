package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"github.com/proposer/proposer/dataset"
	"github.com/proposer/proposer/evaluate"
	"github.com/proposer/proposer/imbalance"
	"github.com/proposer/proposer/internal/imageio"
	"github.com/proposer/proposer/internal/propose"
	"github.com/proposer/proposer/objectness"
	"github.com/proposer/proposer/objectness/train"
	"github.com/proposer/proposer/selective"
)

type trainCmd struct {
	Data string `required:"" placeholder:"PATH" help:"Training data: a COCO instances file, a folder with one, or a PASCAL VOC folder (Annotations/*.xml) or image set (ImageSets/Main/*.txt)."`
	Out  string `placeholder:"FILE" help:"Model file to write, for --ranker."`

	searchFlags `embed:""`
	limitFlags  `embed:""`
	dataFlags   `embed:""`

	Loss    string  `enum:"ce,alpha,focal" default:"ce" help:"Loss function: ce (cross entropy), alpha (class-balanced cross entropy) or focal (Lin et al. 2017)."`
	Gamma   float64 `default:"2" min:"0" max:"100" help:"Focusing parameter of the focal loss, 0 to 100."`
	Alpha   float64 `default:"0.25" min:"0" max:"1" help:"Weight of objects in the losses alpha and focal, 0 to 1. Background has weight 1 - alpha."`
	Model   string  `enum:"both,trees,network,linear" default:"both" help:"Kind of model: trees (boosted trees), network (a small neural network), both (the mean of their log-odds) or linear."`
	Trees   int     `default:"${trees}" min:"0" help:"Number of boosted trees."`
	Rate    float64 `default:"${rate}" help:"Learning rate of the boosted trees, in (0,1]."`
	Epochs  int     `default:"${epochs}" min:"0" help:"Number of epochs of the network."`
	Units   int     `default:"${units}" min:"0" help:"Number of hidden units of the network."`
	Without string  `placeholder:"LIST" help:"Feature groups to leave out, such as votes,grid: ${feature_groups}."`
	Folds   int     `placeholder:"N" help:"Cross-validate with N folds and print the metrics on the images left out, as eval does."`
	Judge   string  `placeholder:"PATH" help:"Data set to evaluate the model on after training. The metrics are printed and stored in the model file."`
	Curve   string  `placeholder:"FILE.csv" help:"File to write the training loss of each step to."`
}

const maxFolds = 100

// Help returns the text below the flags.
func (*trainCmd) Help() string {
	return `Boxes of which half lies in a crowd, or in an object marked as difficult, are excluded from training unless they match another object.

An image that cannot be read, or whose size is not the annotated one, is reported on standard error; training continues with the others and the exit code is 1.`
}

// loss returns the loss function and its name in the model file.
func (c *trainCmd) loss() (loss imbalance.Loss, name string) {
	switch c.Loss {
	case "alpha":
		return imbalance.Loss{Alpha: imbalance.Balanced(c.Alpha)}, fmt.Sprintf("alpha(%g)", c.Alpha)
	case "focal":
		return imbalance.Loss{Gamma: c.Gamma, Alpha: imbalance.Balanced(c.Alpha)}, fmt.Sprintf("focal(gamma=%g, alpha=%g)", c.Gamma, c.Alpha)
	}
	return imbalance.CrossEntropy(), c.Loss
}

// options returns the training options of the flags.
func (c *trainCmd) options() (train.Options, error) {
	o := train.DefaultOptions()
	o.Loss, _ = c.loss()
	o.Threads = runtime.GOMAXPROCS(0)
	o.Trees.Trees = c.Trees
	o.Trees.Rate = c.Rate
	o.Network.Epochs = c.Epochs
	o.Network.Units = c.Units
	switch c.Model {
	case "trees":
		o.Network.Epochs = 0
	case "network":
		o.Trees.Trees = 0
	case "linear":
		o.Trees.Trees = 0
		o.Network.Units = 0
	}
	if !(c.Rate > 0 && c.Rate <= 1) {
		return o, fmt.Errorf("--rate %v: want a number above 0, at most 1", c.Rate)
	}
	if c.Without != "" {
		o.Exclude = strings.Split(c.Without, ",")
	}
	for _, group := range o.Exclude {
		if known := train.FeatureGroups(); !slices.Contains(known, group) {
			return o, fmt.Errorf("--without: unknown feature group %q: want some of %s", group, strings.Join(known, ", "))
		}
	}
	return o, o.Validate()
}

// Run runs the command.
func (c *trainCmd) Run(ctx context.Context, std streams) error {
	search, err := parseOptions(&c.searchFlags, &rankerFlag{}, &c.limitFlags)
	if err != nil {
		return err
	}
	opts, err := c.options()
	if err != nil {
		return usageError{err}
	}
	switch {
	case c.Folds < 0 || c.Folds == 1 || c.Folds > maxFolds:
		return usageError{fmt.Errorf("--folds %d: want 2 to %d", c.Folds, maxFolds)}
	case c.Folds == 0 && c.Out == "":
		return usageError{errors.New("neither --out nor --folds: want one of them, or both")}
	case c.Out == "" && (c.Judge != "" || c.Curve != ""):
		return usageError{errors.New("--judge or --curve without --out: want --out, as they apply to the model that it writes")}
	}
	t := training{trainCmd: c, search: search, opts: opts, trainer: train.NewTrainer(1), std: std}
	data, err := newEvaluation(std, c.Data, &c.dataFlags, true, evaluate.Options{})
	if err != nil {
		return err
	}
	defer data.close()
	var other *evaluation
	if c.Judge != "" {
		flags := c.dataFlags
		flags.Images = "" // of the training data
		if other, err = newEvaluation(std, c.Judge, &flags, true, evaluate.Options{}); err != nil {
			return err
		}
		defer other.close()
	}

	if err := t.sample(ctx, data); err != nil {
		return err
	}
	if c.Out != "" {
		if err := t.train(ctx, other); err != nil {
			return err
		}
	}
	if c.Folds > 0 {
		if err := t.crossValidate(ctx, data); err != nil {
			return err
		}
	}
	if data.failed || other != nil && other.failed {
		return errImagesFailed
	}
	return nil
}

// training is the state of the command.
type training struct {
	*trainCmd
	search  propose.Options
	opts    train.Options
	trainer *train.Trainer
	std     streams
}

// sample collects the training samples of all images.
func (t *training) sample(ctx context.Context, e *evaluation) error {
	bar := progress(t.std, len(e.data.Images), "searching")
	checked := &sides{decode: t.search.Decode}
	warned := &warnings{}
	for i := range e.data.Images {
		err := t.sampleImage(ctx, e, checked, warned, i)
		if ctx.Err() != nil {
			bar.Exit()
			return ctx.Err()
		}
		if err != nil {
			e.warn("%s: %v", printable(e.data.Images[i].File), err)
		}
		bar.Add(1) // fails only if the terminal does
	}
	bar.Exit()
	checked.print(t.std, "")
	warned.print(t.std)
	return nil
}

// sampleImage searches an image and collects its training samples.
func (t *training) sampleImage(ctx context.Context, e *evaluation, checked *sides, warned *warnings, i int) error {
	opts := t.search
	file, err := e.readImage(ctx, i, opts.Decode.Limits.MaxBytes)
	if err != nil {
		return err
	}
	img, err := checked.orientFile(&e.data.Images[i], file)
	if err != nil {
		return err
	}
	decoded, err := imageio.Decode(ctx, file, opts.Decode)
	if err != nil {
		return err
	}
	if decoded.LowRange != nil {
		warned.add(img.File, decoded.LowRange.String())
	}
	search := opts.SearchOptions(decoded)
	search.Order = selective.OrderObjectness
	search.Max = 1 // proposals are not used
	search.Ranker = t.trainer.Hook(i, searchedObjects(img.Objects, decoded))
	_, err = selective.Search(ctx, decoded.Image, search)
	return err
}

// searchedObjects returns objects of an image in pixels of the searched image.
func searchedObjects(objects []dataset.Object, decoded *imageio.Decoded) []dataset.Object {
	if decoded.Image.Width == decoded.Width && decoded.Image.Height == decoded.Height {
		return objects
	}
	x := float64(decoded.Image.Width) / float64(decoded.Width)
	y := float64(decoded.Image.Height) / float64(decoded.Height)
	scaled := slices.Clone(objects)
	for i := range scaled {
		o := &scaled[i]
		o.X0, o.Y0, o.X1, o.Y1 = x*o.X0, y*o.Y0, x*o.X1, y*o.Y1
	}
	return scaled
}

// metadata returns the metadata of the model file.
func (t *training) metadata() objectness.Metadata {
	_, loss := t.loss()
	return objectness.Metadata{Data: filepath.Base(t.Data), Mode: t.search.Mode, Model: t.Model, Loss: loss}
}

// train trains a model on all images, evaluates it on another data set unless that is nil, and
// writes the model file and the loss curve.
func (t *training) train(ctx context.Context, other *evaluation) error {
	curve := bytes.NewBufferString("part,step,loss\n")
	part, bar := "", progress(t.std, 1, "")
	opts := t.opts
	opts.Progress = func(name string, step, steps int, loss float64) {
		if name != part {
			bar.Exit()
			part = name
			bar = progress(t.std, steps, name)
		}
		fmt.Fprintf(curve, "%s,%d,%.6g\n", name, step+1, loss)
		bar.Add(1)
	}
	ranker, err := t.trainer.Train(ctx, opts, t.metadata(), nil)
	bar.Exit()
	if err != nil {
		return err
	}

	if other != nil {
		name := filepath.Base(t.Judge)
		other.ranker = func(int) selective.Ranker { return ranker }
		report, err := t.evaluate(ctx, other, name)
		if err != nil {
			return err
		}
		var metrics []objectness.Metric
		for _, b := range report.Budgets {
			metrics = append(metrics, objectness.Metric{Boxes: b.N, AR: b.All.AR})
		}
		ranker = ranker.WithMetrics(name, metrics)
	}
	var file bytes.Buffer
	if err := ranker.Write(&file); err != nil {
		return err
	}
	if err := os.WriteFile(t.Out, file.Bytes(), 0o644); err != nil {
		return err
	}
	m := ranker.Metadata()
	fmt.Fprintf(t.std.err, "trained on %d of the %d boxes of %d images\n", t.trainer.Samples(), m.Boxes, m.Images)
	if t.Curve == "" {
		return nil
	}
	return os.WriteFile(t.Curve, curve.Bytes(), 0o644)
}

// evaluate evaluates rankers on a data set and prints a table.
func (t *training) evaluate(ctx context.Context, e *evaluation, name string) (*evaluate.Report, error) {
	result, err := e.search(ctx, t.search, false)
	if err != nil {
		return nil, err
	}
	result.Name = name
	return result.Report, reporter{format: "table"}.write(t.std.out, []evalResult{*result})
}

// crossValidate trains a model for each fold and prints the metrics on the images left out.
func (t *training) crossValidate(ctx context.Context, e *evaluation) error {
	bar := progress(t.std, t.Folds, "validating")
	defer bar.Exit()
	rankers, err := t.trainer.CrossValidate(ctx, t.opts, t.metadata(), t.Folds, func() { bar.Add(1) })
	if err != nil {
		return err
	}
	bar.Exit()
	e.ranker = func(i int) selective.Ranker { return rankers[i%t.Folds] }
	_, err = t.evaluate(ctx, e, fmt.Sprintf("%d folds", t.Folds))
	return err
}
