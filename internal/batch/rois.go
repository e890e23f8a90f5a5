package batch

import (
	"context"
	"fmt"
	"io"
	"maps"

	"github.com/proposer/proposer/dataset"
	"github.com/proposer/proposer/internal/batch/source"
	"github.com/proposer/proposer/internal/rois"
)

// RoIsName is the name of [RoIs].
const RoIsName = "rois"

// RoIs is the task of drawing the RoIs of a data set's pictures that a detector's second
// stage trains on, written as rois.NPZ does. Each picture has its own draw, see
// rois.Options.Of.
func RoIs(s Search, o rois.Options, data *dataset.Dataset) Task[rois.Item] {
	settings := s.settings()
	maps.Copy(settings, o.Values())
	names := rois.Classes(data)
	classes := make(map[string]int, len(names))
	for i, name := range names {
		classes[name] = i
	}
	index := data.Index()
	return Task[rois.Item]{
		Name: RoIsName, Format: "npz", Settings: settings,
		Limit: s.Options.Decode.Limits.MaxBytes, Weight: s.weight,
		Process: func(ctx context.Context, p source.Image, bytes []byte) (rois.Item, Stats, error) {
			i, ok := index[p.File]
			if !ok {
				return rois.Item{}, Stats{}, fmt.Errorf("has no annotations: want pictures of the data set")
			}
			result, stats, err := s.run(ctx, bytes)
			if err != nil {
				return rois.Item{}, Stats{}, err
			}
			item := rois.Item{File: p.File, ID: p.ID, Width: result.Width, Height: result.Height}
			if item.GroundTruth, err = rois.GroundTruthOf(&data.Images[i], result.Width, result.Height, classes); err != nil {
				return rois.Item{}, Stats{}, err
			}
			if item.Minibatch, err = rois.Sample(ctx, result.Boxes, item.GroundTruth, o.ForImage(p.File)); err != nil {
				return rois.Item{}, Stats{}, err
			}
			return item, stats, nil
		},
		Failed: func(p source.Image, reason string) rois.Item {
			return rois.Item{File: p.File, ID: p.ID, Error: reason}
		},
		Output: RoIOutput(names),
	}
}

// RoIOutput is the form of a task of [RoIs].
func RoIOutput(classNames []string) Output[rois.Item] {
	return Output[rois.Item]{
		Extension: ".npz",
		Writer:    func(w io.Writer) Writer[rois.Item] { return rois.NewNPZ(w, classNames) },
	}
}
