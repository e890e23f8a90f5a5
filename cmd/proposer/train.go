package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"sync"

	"github.com/proposer/proposer/dataset"
	"github.com/proposer/proposer/evaluate"
	"github.com/proposer/proposer/imbalance"
	"github.com/proposer/proposer/internal/imageio"
	"github.com/proposer/proposer/internal/propose"
	"github.com/proposer/proposer/internal/safefs"
	"github.com/proposer/proposer/objectness"
	"github.com/proposer/proposer/objectness/train"
	"github.com/proposer/proposer/selective"
)

type trainCmd struct {
	Data       []string  `required:"" sep:"none" placeholder:"PATH" help:"Training data: a COCO instances file, a folder with one, or a PASCAL VOC folder (Annotations/*.xml) or image set (ImageSets/Main/*.txt). Repeatable."`
	Images     []string  `sep:"none" placeholder:"DIR" help:"Folder of the images of a data set. By default it is looked for beside the annotations and below them. With several data sets: repeat it in their order; an empty one is looked for."`
	Partial    []int     `placeholder:"LIST" help:"Numbers, from 1, of the data sets in which not every object is annotated, such as 2,3. Boxes that overlap no object are then not taken for background."`
	DataWeight []float64 `placeholder:"LIST" help:"Weight of each data set, such as 1,0.5. By default 1."`
	Out        string    `placeholder:"FILE" help:"Model file to write, for --ranker."`

	searchFlags `embed:""`
	limitFlags  `embed:""`
	accessFlags `embed:""`

	Ranker      string  `placeholder:"FILE" help:"Model by whose scores the candidates that a search joins are chosen, if the mode joins any; they are then samples as well. By default none are joined."`
	Samples     int     `default:"${samples}" help:"Maximum number of boxes of an image to train on, separately of background boxes and of others."`
	Loss        string  `enum:"ce,alpha,focal" default:"ce" help:"Loss function: ce (cross entropy), alpha (class-balanced cross entropy) or focal (Lin et al. 2017)."`
	Gamma       float64 `default:"2" min:"0" max:"100" help:"Focusing parameter of the focal loss, 0 to 100."`
	Alpha       float64 `default:"0.25" min:"0" max:"1" help:"Weight of objects in the losses alpha and focal, 0 to 1. Background has weight 1 - alpha."`
	Model       string  `enum:"both,trees,network,linear" default:"both" help:"Kind of model: trees (boosted trees), network (a small neural network), both (the mean of their log-odds) or linear."`
	Trees       int     `default:"${trees}" help:"Number of boosted trees."`
	Rate        float64 `default:"${rate}" help:"Learning rate of the boosted trees, in (0,1]."`
	TreeSamples int     `default:"${tree_samples}" help:"Maximum number of samples, about, to grow a tree on; a quarter of all if that is less."`
	Epochs      int     `default:"${epochs}" help:"Number of epochs of the network."`
	Units       []int   `default:"${units}" placeholder:"N,..." help:"Numbers of units of the hidden layers of the network, at most two: 128,32."`
	NetRate     float64 `default:"${net_rate}" help:"Highest learning rate of the network, in (0,1]."`
	Dropout     float64 `default:"${dropout}" help:"Fraction of the units of each hidden layer, in [0,1), that are dropped in a step of training."`
	Without     string  `placeholder:"LIST" help:"Feature groups to leave out, such as votes,grid: ${feature_groups}."`
	Folds       int     `placeholder:"N" help:"Cross-validate with N folds of the first data set and print the metrics on the images left out, as eval does. Other data sets train all folds."`
	Judge       string  `placeholder:"PATH" help:"Data set to evaluate the model on after training. The metrics are printed and stored in the model file."`
	Curve       string  `placeholder:"FILE.csv" help:"File to write the training loss of each step to."`
}

const maxFolds = 100

// Help returns the text below the flags.
func (*trainCmd) Help() string {
	return fmt.Sprintf(`Boxes of which half lies in a crowd, or in an object marked as difficult, are excluded from training unless they match another object. In a COCO file, "iscrowd": 1 marks a crowd and "difficult": 1 a difficult object, also one that a detector is not sure of.

With --partial, background boxes are only those that overlap an object by an IoU of at least %g (and below 0.4).

Memory is a byte for each feature of a sample: 1.3 GB for 1,500 samples of 1,000 images with 900 features. For many images lower --samples.

An image that cannot be read, or whose size is not the annotated one, is reported on standard error; training continues with the others and the exit code is 1.`, train.MinPartialIoU)
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
	o.Trees.MaxSamples = c.TreeSamples
	o.Network.Epochs = c.Epochs
	o.Network.Units = c.Units
	o.Network.Rate = c.NetRate
	o.Network.Dropout = c.Dropout
	switch c.Model {
	case "trees":
		o.Network.Epochs = 0
	case "network":
		o.Trees.Trees = 0
	case "linear":
		o.Trees.Trees = 0
		o.Network.Units = nil
	}
	if c.Without != "" {
		o.Exclude = strings.Split(c.Without, ",")
	}
	err := o.Validate()
	if e, ok := errors.AsType[*train.OptionError](err); ok {
		value := e.Value
		if v, ok := value.([]int); ok {
			value = joinInts(v)
		}
		err = fmt.Errorf("%s %v: want %s", trainFlags[e.Option], value, e.Want)
	}
	return o, err
}

// joinInts returns numbers as the flags have them, separated by commas.
func joinInts(values []int) string {
	return strings.Trim(strings.ReplaceAll(fmt.Sprint(values), " ", ","), "[]")
}

// trainFlags are the flags of training options.
var trainFlags = map[string]string{
	"Trees.Trees":      "--trees",
	"Trees.Rate":       "--rate",
	"Trees.MaxSamples": "--tree-samples",
	"Network.Epochs":   "--epochs",
	"Network.Units":    "--units",
	"Network.Rate":     "--net-rate",
	"Network.Dropout":  "--dropout",
	"Exclude":          "--without",
}

// validate reports flags that do not suit each other.
func (c *trainCmd) validate() error {
	switch n := len(c.Data); {
	case c.Samples < 1 || c.Samples > maxSamples:
		return fmt.Errorf("--samples %d: want 1 to %d", c.Samples, maxSamples)
	case len(c.Images) > n:
		return fmt.Errorf("%d --images for %s: want at most one for each", len(c.Images), plural(n, "data set"))
	case len(c.DataWeight) > 0 && len(c.DataWeight) != n:
		return fmt.Errorf("--data-weight: %s for %s: want one for each", plural(len(c.DataWeight), "weight"), plural(n, "data set"))
	case c.Folds < 0 || c.Folds == 1 || c.Folds > maxFolds:
		return fmt.Errorf("--folds %d: want 2 to %d", c.Folds, maxFolds)
	case c.Folds == 0 && c.Out == "":
		return errors.New("neither --out nor --folds: want one of them, or both")
	case c.Out == "" && (c.Judge != "" || c.Curve != ""):
		return errors.New("--judge or --curve without --out: want --out, as they apply to the model that it writes")
	}
	for _, k := range c.Partial {
		if k < 1 || k > len(c.Data) {
			return fmt.Errorf("--partial %d: want the number of a data set, 1 to %d", k, len(c.Data))
		}
	}
	for k, path := range c.Data {
		if i := slices.IndexFunc(c.Data[:k], func(other string) bool { return sameFile(path, other) }); i >= 0 {
			return fmt.Errorf("--data %s: want each data set once, it is number %d as well: weigh it with --data-weight", path, i+1)
		}
	}
	for _, w := range c.DataWeight {
		if !(w >= minDataWeight && w <= maxDataWeight) {
			return fmt.Errorf("--data-weight %v: want a number from %g to %g", w, minDataWeight, maxDataWeight)
		}
	}
	return nil
}

// sameFile reports whether two paths are those of one file or folder.
func sameFile(a, b string) bool {
	x, err := os.Stat(a)
	if err != nil {
		return false // opening it reports the error
	}
	y, err := os.Stat(b)
	return err == nil && os.SameFile(x, y)
}

const (
	maxSamples                   = 1 << 20
	minDataWeight, maxDataWeight = 1e-3, 1e3
)

// Run runs the command.
func (c *trainCmd) Run(ctx context.Context, std streams) error {
	search, err := parseOptions(&c.searchFlags, &rankerFlag{}, &c.limitFlags)
	if err != nil {
		return err
	}
	if n := search.Search.Threads; n > 0 {
		defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(n))
	}
	// The samples are most of the memory. They hold no pointers, so that it costs little to collect the
	// garbage of the searches before it is as large.
	defer debug.SetGCPercent(debug.SetGCPercent(25))
	opts, err := c.options()
	if err != nil {
		return usageError{err}
	}
	if err := c.validate(); err != nil {
		return usageError{err}
	}
	sampling := train.DefaultSampling()
	sampling.MaxSamples = c.Samples
	if c.Ranker != "" {
		r, _, err := readRanker(c.Ranker)
		if err != nil {
			return usageError{fmt.Errorf("--ranker %s: %w", c.Ranker, safefs.WithoutPath(err))}
		}
		sampling.Ranker = r.(*objectness.Ranker)
	}
	t := training{trainCmd: c, search: search, opts: opts, trainer: train.NewTrainer(sampling), std: std}
	var sets []*evaluation
	for i, path := range c.Data {
		flags := dataFlags{accessFlags: c.accessFlags}
		if i < len(c.Images) {
			flags.Images = c.Images[i]
		}
		set, err := newEvaluation(std, path, &flags, true, evaluate.Options{})
		if err != nil {
			return err
		}
		defer set.close()
		sets = append(sets, set)
	}
	var other *evaluation
	if c.Judge != "" {
		if other, err = newEvaluation(std, c.Judge, &dataFlags{accessFlags: c.accessFlags}, true, evaluate.Options{}); err != nil {
			return err
		}
		defer other.close()
	}

	if err := t.sample(ctx, sets); err != nil {
		return err
	}
	if c.Out != "" {
		if err := t.train(ctx, other); err != nil {
			return err
		}
	}
	if c.Folds > 0 {
		if err := t.crossValidate(ctx, sets[0]); err != nil {
			return err
		}
	}
	failed := func(e *evaluation) bool { return e.failed }
	if slices.ContainsFunc(sets, failed) || other != nil && other.failed {
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

// labeledImage is an image to train on.
type labeledImage struct {
	set     *evaluation
	index   int // of its data in set
	number  int // in all data sets, one after another
	partial bool
	weight  float64
}

// images returns the images of all data sets in random order, which the standardization of the
// features needs.
func (t *training) images(sets []*evaluation) (all []labeledImage) {
	for k, set := range sets {
		img := labeledImage{set: set, partial: slices.Contains(t.Partial, k+1), weight: 1}
		if len(t.DataWeight) > 0 {
			img.weight = t.DataWeight[k]
		}
		for i := range set.data.Images {
			img.index = i
			img.number = len(all)
			all = append(all, img)
		}
	}
	rng := rand.New(rand.NewPCG(1, uint64(len(all))))
	rng.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	return all
}

// sample collects the training samples of all images. Each image is searched by one thread, and the
// samples are added in the order of the images.
func (t *training) sample(ctx context.Context, sets []*evaluation) error {
	images := t.images(sets)
	bar := progress(t.std, len(images), "searching")
	defer bar.Exit()
	checked := make(map[*evaluation]*sides, len(sets))
	for _, set := range sets {
		checked[set] = &sides{decode: t.search.Decode}
	}
	warned := &warnings{}

	type result struct {
		hook *train.Hook
		err  error
	}
	workers := runtime.GOMAXPROCS(0)
	pending := make(chan chan result, 2*workers) // in order; bounds the memory of samples that wait
	slots := make(chan struct{}, workers)
	var wg sync.WaitGroup
	defer wg.Wait()
	wg.Go(func() {
		defer close(pending)
		for _, img := range images {
			done := make(chan result, 1)
			select {
			case pending <- done:
			case <-ctx.Done():
				return
			}
			slots <- struct{}{}
			wg.Go(func() {
				defer func() { <-slots }()
				hook, err := t.sampleImage(ctx, img, checked[img.set], warned)
				done <- result{hook, err}
			})
		}
	})
	next, failed := 0, 0
	for done := range pending {
		r, img := <-done, images[next]
		next++
		if ctx.Err() != nil {
			continue // the workers end
		}
		if r.err != nil {
			failed++
			img.set.warn("%s: %v", printable(img.set.data.Images[img.index].File), r.err)
		} else {
			t.trainer.Add(r.hook)
		}
		bar.Add(1) // fails only if the terminal does
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	bar.Exit()
	for k, set := range sets {
		name := ""
		if len(sets) > 1 {
			name = t.Data[k]
			t.reportNoObjects(k, set)
		}
		checked[set].print(t.std, name)
	}
	warned.print(t.std)
	if failed == len(images) {
		return fmt.Errorf("none of %s could be searched: want images to train on", plural(failed, "image"))
	}
	return nil
}

// reportNoObjects prints a message if data set k has no objects.
func (t *training) reportNoObjects(k int, set *evaluation) {
	for i := range set.data.Images {
		if slices.ContainsFunc(set.data.Images[i].Objects, func(o dataset.Object) bool { return !o.Difficult }) {
			return
		}
	}
	effect := "all its boxes are background"
	if slices.Contains(t.Partial, k+1) {
		effect = "with --partial it has no samples"
	}
	fmt.Fprintf(t.std.err, "proposer: %s: the data set has no objects: %s\n", printable(t.Data[k]), effect)
}

// sampleImage searches an image and returns its training samples.
func (t *training) sampleImage(ctx context.Context, l labeledImage, checked *sides, warned *warnings) (*train.Hook, error) {
	opts := t.search
	file, err := l.set.readImage(ctx, l.index, opts.Decode.Limits.MaxBytes)
	if err != nil {
		return nil, err
	}
	img, err := checked.orientFile(&l.set.data.Images[l.index], file)
	if err != nil {
		return nil, err
	}
	decoded, err := imageio.Decode(ctx, file, opts.Decode)
	if err != nil {
		return nil, err
	}
	if decoded.LowRange != nil {
		warned.add(img.File, decoded.LowRange.String())
	}
	hook := t.trainer.Hook(l.number, train.Labels{
		Objects: searchedObjects(img.Objects, decoded), Partial: l.partial, Weight: l.weight,
	})
	search := opts.SearchOptions(decoded)
	search.Order = selective.OrderObjectness
	search.Max = 1 // proposals are not used
	if t.Ranker == "" {
		search.Joins = 0
	}
	search.Threads = 1
	search.Ranker = hook
	if _, err := selective.Search(ctx, decoded.Image, search); err != nil {
		return nil, err
	}
	return hook, nil
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
	var data []string
	for k, path := range t.Data {
		var notes []string
		if slices.Contains(t.Partial, k+1) {
			notes = append(notes, "partial")
		}
		if len(t.DataWeight) > 0 {
			notes = append(notes, fmt.Sprintf("weight %g", t.DataWeight[k]))
		}
		name := filepath.Base(path)
		if len(notes) > 0 {
			name += " (" + strings.Join(notes, ", ") + ")"
		}
		data = append(data, name)
	}
	_, loss := t.loss()
	return objectness.Metadata{Data: strings.Join(data, ", "), Mode: t.search.Mode, Model: t.Model, Loss: loss}
}

// train trains a model on all images and writes the model file and the loss curve. Then it evaluates
// the model on another data set, unless that is nil, and adds the metrics to the file.
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

	if err := t.write(ranker); err != nil {
		return err
	}
	m := ranker.Metadata()
	fmt.Fprintf(t.std.err, "trained on %d of the %d boxes of %d images\n", t.trainer.Samples(), m.Boxes, m.Images)
	if t.Curve != "" {
		if err := os.WriteFile(t.Curve, curve.Bytes(), 0o644); err != nil {
			return err
		}
	}
	if other == nil {
		return nil
	}

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
	return t.write(ranker.WithMetrics(name, metrics))
}

// write writes the model file.
func (t *training) write(ranker *objectness.Ranker) error {
	var file bytes.Buffer
	if err := ranker.Write(&file); err != nil {
		return err
	}
	return os.WriteFile(t.Out, file.Bytes(), 0o644)
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
	rankers, err := t.trainer.CrossValidate(ctx, t.opts, t.metadata(), len(e.data.Images), t.Folds, func() { bar.Add(1) })
	if err != nil {
		return err
	}
	bar.Exit()
	e.ranker = func(i int) selective.Ranker { return rankers[i%t.Folds] }
	_, err = t.evaluate(ctx, e, fmt.Sprintf("%d folds", t.Folds))
	return err
}
