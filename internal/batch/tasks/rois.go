package tasks

import (
	"context"
	"errors"
	"io"
	"maps"

	"github.com/proposer/proposer/dataset"
	"github.com/proposer/proposer/internal/batch"
	"github.com/proposer/proposer/internal/batch/source"
	"github.com/proposer/proposer/internal/rois"
)

const roisName = "rois"

// RoIs returns the task of sampling, for each image of a data set, the RoIs that the second stage of
// a detector trains on. Each image has its own random seed, see rois.Options.ForImage.
//
// The function orient returns an image of the data set with its objects in pixels of the image that
// was searched, given the size of that image and the EXIF orientation that was applied to it.
func RoIs(
	s Search, o rois.Options, data *dataset.Dataset,
	orient func(img *dataset.Image, width, height, orientation int) (*dataset.Image, error),
) batch.Task[rois.Item] {
	settings := s.settings()
	maps.Copy(settings, o.Values())
	names := rois.Classes(data)
	classes := make(map[string]int, len(names))
	for i, name := range names {
		classes[name] = i
	}
	index := data.Index()
	return batch.Task[rois.Item]{
		Name: roisName, Format: "npz", Settings: settings,
		Limit: s.Options.Decode.Limits.MaxBytes, Weight: s.weight,
		Process: func(ctx context.Context, img source.Image, bytes []byte) (rois.Item, batch.Stats, error) {
			i, ok := index[img.File]
			if !ok {
				return rois.Item{}, batch.Stats{}, errors.New("has no annotations: want images of the data set")
			}
			result, stats, err := s.run(ctx, bytes)
			if err != nil {
				return rois.Item{}, batch.Stats{}, err
			}
			item := rois.Item{File: img.File, ID: img.ID, Width: result.Width, Height: result.Height}
			orientation := result.Orientation
			if s.Options.Decode.IgnoreOrientation {
				orientation = 1
			}
			upright, err := orient(&data.Images[i], result.Width, result.Height, orientation)
			if err != nil {
				return rois.Item{}, batch.Stats{}, err
			}
			item.GroundTruth = rois.GroundTruthOf(upright.Objects, result.Width, result.Height, classes)
			if item.Minibatch, err = rois.Sample(ctx, result.Boxes, item.GroundTruth, o.ForImage(img.File)); err != nil {
				return rois.Item{}, batch.Stats{}, err
			}
			return item, stats, nil
		},
		Failed: func(img source.Image, reason string) rois.Item {
			return rois.Item{File: img.File, ID: img.ID, Error: reason}
		},
		Output: roisOutput(names),
	}
}

func roisOutput(classNames []string) batch.Output[rois.Item] {
	return batch.Output[rois.Item]{
		Extension: ".npz",
		Writer:    func(w io.Writer) batch.Writer[rois.Item] { return rois.NewNPZ(w, classNames) },
	}
}
