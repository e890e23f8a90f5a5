package tasks

import (
	"context"

	"github.com/proposer/proposer/box"
	"github.com/proposer/proposer/internal/batch"
	"github.com/proposer/proposer/internal/batch/source"
	"github.com/proposer/proposer/internal/codec"
	"github.com/proposer/proposer/selective"
)

// ImageFiles returns the task of writing a file for each image: its boxes or, in a format of labels,
// the initial regions of the first strategy.
func ImageFiles(s Search, format codec.ImageFormat) batch.Task[*codec.Row] {
	name, settings := "proposals", s.settings()
	if format.Labels {
		name = "labels"
		s.labelsOnly()
	}
	return batch.Task[*codec.Row]{
		Name: name, Format: format.Name, Settings: settings,
		Limit: s.Options.Decode.Limits.MaxBytes, Weight: s.weight,
		Process: func(ctx context.Context, img source.Image, data []byte) (*codec.Row, batch.Stats, error) {
			result, stats, err := s.run(ctx, data)
			if err != nil {
				return nil, batch.Stats{}, err
			}
			if !format.Labels {
				row := codec.NewRow(img.File, result)
				row.ID = img.ID
				return row, stats, nil
			}
			stats.Boxes = 0
			row := &codec.Row{File: img.File, ID: img.ID, Width: result.Width, Height: result.Height}
			row.Labels, err = result.Labels(ctx, 0)
			return row, stats, err
		},
		Failed: failedRow,
		Output: imageFilesOutput(format),
	}
}

// labelsOnly drops all of the search that the initial regions of the first strategy do not need.
func (s *Search) labelsOnly() {
	o := &s.Options.Search
	o.KeepRegions = true
	o.Strategies = o.Strategies[:1]
	o.Order, o.Max, o.NMS = selective.OrderHierarchy, 1, box.NMS{}
}

func failedRow(img source.Image, reason string) *codec.Row {
	return &codec.Row{File: img.File, ID: img.ID, TextID: img.TextID, Error: reason}
}

func imageFilesOutput(format codec.ImageFormat) batch.Output[*codec.Row] {
	return batch.Output[*codec.Row]{Files: &batch.ImageFiles[*codec.Row]{
		Name: func(img source.Image) string {
			return format.FileName(&codec.Row{File: img.File, ID: img.ID})
		},
		Encode: format.Encode,
	}}
}
