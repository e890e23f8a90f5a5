// Package tasks defines the tasks of package batch: proposals for all images of a source, files
// of each image, and the RoIs of a data set.
package tasks

import (
	"context"
	"strconv"

	"github.com/proposer/proposer/internal/batch"
	"github.com/proposer/proposer/internal/batch/blobstore"
	"github.com/proposer/proposer/internal/imageio"
	"github.com/proposer/proposer/internal/propose"
)

// Search defines how the images of a task are searched.
type Search struct {
	Options propose.Options
	// Ranker identifies the ranker in the plan; empty means the built-in one.
	Ranker string
}

// settings returns the settings of the plan that affect the boxes.
func (s *Search) settings() map[string]string {
	settings := s.Options.Values()
	delete(settings, "threads") // does not affect the boxes
	settings["ranker"] = s.Ranker
	settings["decoder"] = imageio.Decoder()
	limits := s.Options.Decode.Limits
	settings["max-bytes"] = strconv.FormatInt(limits.MaxBytes, 10)
	settings["max-pixels"] = strconv.FormatInt(limits.MaxPixels, 10)
	return settings
}

// weight implements Task.Weight.
func (s *Search) weight(data []byte) (int64, error) {
	h, err := imageio.Inspect(data, s.Options.Decode.Limits)
	if err != nil {
		return 0, err
	}
	return s.Options.WorkPixels(h)
}

func (s *Search) run(ctx context.Context, data []byte) (*propose.Result, batch.Stats, error) {
	result, err := propose.Run(ctx, data, s.Options)
	if err != nil {
		return nil, batch.Stats{}, err
	}
	return result, batch.Stats{
		Boxes: len(result.Boxes), Pixels: int64(result.Width) * int64(result.Height),
		Decode: result.DecodeTime, Search: result.SearchTime, Warning: result.Warning,
	}, nil
}

// Finalize is [batch.Finalize] with the output that the destination's plan asks for.
func Finalize(ctx context.Context, store blobstore.Store) (*batch.Manifest, error) {
	plan, err := batch.ReadPlan(ctx, store)
	if err != nil {
		return nil, err
	}
	if plan.Task == roisName {
		return batch.Finalize(ctx, store, roisOutput(nil))
	}
	output, err := proposalsOutputOf(plan)
	if err != nil {
		return nil, err
	}
	return batch.Finalize(ctx, store, output)
}
