package tasks

import (
	"context"
	"io"
	"iter"
	"math"
	"strconv"

	"github.com/proposer/proposer/internal/batch"
	"github.com/proposer/proposer/internal/batch/source"
	"github.com/proposer/proposer/internal/codec"
)

// folderSetting is the setting of the plan that contains the folder of [Proposals].
const folderSetting = "folder"

// Proposals returns the task of proposing boxes. folder is the folder of the images' files, which
// some formats make part of an image's name. masks adds the masks of the boxes' regions.
func Proposals(s Search, format codec.Format, folder string, masks bool) batch.Task[*codec.Row] {
	folder = string([]rune(folder)) // as merge reads it from the plan: in UTF-8
	s.Options.Search.KeepRegions = masks
	settings := s.settings()
	settings["masks"] = strconv.FormatBool(masks)
	settings[folderSetting] = folder
	var key func(img source.Image) (string, error)
	if format.Key != nil {
		key = func(img source.Image) (string, error) {
			row := &codec.Row{File: img.File, Folder: folder}
			setID(row, img, format)
			return format.Key(row)
		}
	}
	return batch.Task[*codec.Row]{
		Name: "proposals", Format: format.Name, Settings: settings,
		Limit: s.Options.Decode.Limits.MaxBytes, Weight: s.weight, Key: key,
		Process: func(ctx context.Context, img source.Image, data []byte) (*codec.Row, batch.Stats, error) {
			result, stats, err := s.run(ctx, data)
			if err != nil {
				return nil, batch.Stats{}, err
			}
			row := codec.NewRow(img.File, result)
			setID(row, img, format)
			row.Folder = folder
			row.SearchTime = 0 // equal proposals are equal bytes
			row.DecodeTime = 0
			if masks {
				row.Strategies = result.Strategies
				if row.Masks, err = result.Masks(ctx, math.MaxInt64); err != nil {
					return nil, batch.Stats{}, err
				}
			}
			return row, stats, nil
		},
		Failed: func(img source.Image, reason string) *codec.Row {
			row := &codec.Row{File: img.File, Error: reason}
			setID(row, img, format)
			return row
		},
		Output: proposalsOutput(format, folder),
	}
}

// setID sets the id of an image. That of a COCO file keeps its type in the formats of COCO.
func setID(row *codec.Row, img source.Image, format codec.Format) {
	row.ID, row.TextID = img.ID, img.TextID
	if !format.COCO {
		return
	}
	if row.TextID = img.OwnTextID; !row.TextID {
		row.ID = codec.CanonicalID(row.ID)
	}
}

// proposalsOutputOf returns the output of a plan of [Proposals] or [ImageFiles].
func proposalsOutputOf(p *batch.Plan) (batch.Output[*codec.Row], error) {
	if format, ok := codec.FindImageFormat(p.Format); ok {
		return imageFilesOutput(format), nil
	}
	format, err := codec.ParseFormat(p.Format)
	if err != nil {
		return batch.Output[*codec.Row]{}, err
	}
	return proposalsOutput(format, p.Settings[folderSetting]), nil
}

// proposalsOutput returns shards of a format or, if all images have to be in a single file, shards
// of JSON Lines that are merged into one.
func proposalsOutput(format codec.Format, folder string) batch.Output[*codec.Row] {
	writer := func(f codec.Format) func(io.Writer) batch.Writer[*codec.Row] {
		return func(w io.Writer) batch.Writer[*codec.Row] { return f.NewWriter(w) }
	}
	if !format.SingleFile {
		return batch.Output[*codec.Row]{Extension: format.Extension, Writer: writer(format)}
	}
	shards, err := codec.ParseFormat("jsonl")
	if err != nil {
		panic(err)
	}
	return batch.Output[*codec.Row]{
		Extension: shards.Extension,
		Writer:    writer(shards),
		Merged:    &batch.Merged[*codec.Row]{Extension: format.Extension, Writer: writer(format), Read: readRows(folder)},
	}
}

// readRows reads JSON Lines, which do not contain the folder.
func readRows(folder string) func(r io.Reader) iter.Seq2[*codec.Row, error] {
	return func(r io.Reader) iter.Seq2[*codec.Row, error] {
		return func(yield func(*codec.Row, error) bool) {
			for line, err := range codec.ReadJSONL(r) {
				if err != nil {
					yield(nil, err)
					return
				}
				line.Row.Folder = folder
				if !yield(&line.Row, nil) {
					return
				}
			}
		}
	}
}
