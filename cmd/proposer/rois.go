package main

import (
	"context"

	"github.com/proposer/proposer/internal/batch/source"
	"github.com/proposer/proposer/internal/batch/tasks"
	"github.com/proposer/proposer/internal/rois"
)

type roisCmd struct {
	Data string `arg:"" help:"Data set: a COCO instances file, a folder with one, or a PASCAL VOC folder or image set."`

	searchFlags `embed:""`
	rankerFlag  `embed:""`
	limitFlags  `embed:""`
	dataFlags   `embed:""`
	jobFlags    `embed:""`

	Sampler      *string `placeholder:"fast-rcnn" help:"How RoIs are labeled and sampled: fast-rcnn, detectron2 or iou-balanced."`
	Size         *string `placeholder:"128" help:"RoIs per image; the default depends on the sampler."`
	Foreground   *string `placeholder:"0.25" help:"Maximum fraction of foreground RoIs."`
	RoisSeed     *string `placeholder:"1" help:"Random seed of the sampling."`
	AppendTruth  *string `placeholder:"true" help:"Add the ground-truth boxes to the proposals before sampling: true or false."`
	DeltaWeights *string `placeholder:"1,1,1,1" help:"Weights of the deltas dx, dy, dw and dh."`
}

func (*roisCmd) Help() string {
	return `Writes, for each image of a data set, the RoIs that the second stage of a detector trains on (labels, classes, deltas) as NPZ shards, like POST /v1/rois. A run that was interrupted is resumed by the same command. See docs/batch.md.`
}

// Run is the command.
func (c *roisCmd) Run(ctx context.Context, std streams) error {
	opts, err := parseOptions(&c.searchFlags, &c.rankerFlag, &c.limitFlags)
	if err != nil {
		return err
	}
	sampling, err := rois.ParseOptions(nonNil(map[string]*string{
		"sampler": c.Sampler, "size": c.Size, "foreground": c.Foreground, "rois-seed": c.RoisSeed,
		"append-truth": c.AppendTruth, "delta-weights": c.DeltaWeights,
	}))
	if err != nil {
		return optionErrors(err)
	}
	data, err := c.open(std, c.Data)
	if err != nil {
		return err
	}
	src, err := source.FromDataset(c.Data, data, c.sourceOptions(std, &c.jobFlags))
	if err != nil {
		return err
	}
	defer src.Close()
	threads := opts.Search.Threads
	opts.Search.Threads = 1
	checked := &sides{decode: opts.Decode}
	defer checked.print(std, "")
	task := tasks.RoIs(tasks.Search{Options: opts, Ranker: c.identity}, sampling, data, checked.orient)
	return runBatch(ctx, std, &c.jobFlags, &c.dataFlags, threads, src, task)
}
