package batch

import (
	"context"
	"fmt"
	"io"
	"maps"

	"github.com/proposer/proposer/evaluate"
	"github.com/proposer/proposer/internal/batch/source"
	"github.com/proposer/proposer/internal/rois"
)

// TaskRoIs is the name of [RoIs].
const TaskRoIs = "rois"

// RoIs is the task of drawing the RoIs of a data set's pictures that a detector's second
// stage trains on, written as rois.NPZ does. Each picture has its own draw, see
// rois.Options.Of.
func RoIs(s Search, o rois.Options, data *evaluate.Dataset) Task[rois.Item] {
	settings := s.settings()
	maps.Copy(settings, o.Values())
	names := rois.Classes(data)
	classes := make(map[string]int, len(names))
	for i, name := range names {
		classes[name] = i
	}
	index := data.Index()
	return Task[rois.Item]{
		Name: TaskRoIs, Format: "npz", Settings: settings,
		Limit: s.Options.Decode.Limits.MaxBytes, Weigh: s.weigh,
		Do: func(ctx context.Context, p source.Picture, bytes []byte) (rois.Item, Outcome, error) {
			i, ok := index[p.File]
			if !ok {
				return rois.Item{}, Outcome{}, fmt.Errorf("has no annotations: want pictures of the data set")
			}
			result, outcome, err := s.run(ctx, bytes)
			if err != nil {
				return rois.Item{}, Outcome{}, err
			}
			item := rois.Item{File: p.File, ID: p.ID, Width: result.Width, Height: result.Height}
			if item.Truth, err = rois.TruthOf(&data.Images[i], result.Width, result.Height, classes); err != nil {
				return rois.Item{}, Outcome{}, err
			}
			if item.Minibatch, err = rois.Sample(ctx, result.Boxes, item.Truth, o.Of(p.File)); err != nil {
				return rois.Item{}, Outcome{}, err
			}
			return item, outcome, nil
		},
		Failed: func(p source.Picture, reason string) rois.Item {
			return rois.Item{File: p.File, ID: p.ID, Error: reason}
		},
		Form: RoIForm(names),
	}
}

// RoIForm is the form of a task of [RoIs].
func RoIForm(classNames []string) Form[rois.Item] {
	return Form[rois.Item]{
		Extension: ".npz",
		Writer:    func(w io.Writer) Writer[rois.Item] { return rois.NewNPZ(w, classNames) },
	}
}
