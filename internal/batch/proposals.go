package batch

import (
	"context"
	"io"
	"iter"
	"math"
	"strconv"

	"github.com/proposer/proposer/internal/batch/source"
	"github.com/proposer/proposer/internal/codec"
	"github.com/proposer/proposer/internal/imageio"
	"github.com/proposer/proposer/internal/propose"
)

// Search is what a search depends on.
type Search struct {
	Options propose.Options
	// Ranker tells rankers apart; empty is the program's own.
	Ranker string
}

// settings are those of a search, by which plans differ.
func (s *Search) settings() map[string]string {
	all := s.Options.Values()
	delete(all, "threads") // makes no other boxes
	all["ranker"] = s.Ranker
	all["decoder"] = imageio.Decoder()
	limits := s.Options.Decode.Limits
	all["max-bytes"], all["max-pixels"] = strconv.FormatInt(limits.MaxBytes, 10), strconv.FormatInt(limits.MaxPixels, 10)
	return all
}

// weight is a Task's Weigh.
func (s *Search) weight(data []byte) (int64, error) {
	h, err := imageio.Inspect(data, s.Options.Decode.Limits)
	if err != nil {
		return 0, err
	}
	return s.Options.WorkPixels(h), nil
}

func (s *Search) run(ctx context.Context, data []byte) (*propose.Result, Stats, error) {
	result, err := propose.Run(ctx, data, s.Options)
	if err != nil {
		return nil, Stats{}, err
	}
	return result, Stats{
		Boxes: len(result.Boxes), Pixels: int64(result.Width) * int64(result.Height),
		Decode: result.DecodeTime, Search: result.SearchTime,
	}, nil
}

// Proposals is the task of proposing boxes, written as export.Row. Folder is what the
// pictures' files are below, which some formats have in their names.
func Proposals(s Search, format codec.Format, folder string, masks bool) Task[*codec.Row] {
	s.Options.Search.KeepRegions = masks
	settings := s.settings()
	settings["masks"] = strconv.FormatBool(masks)
	settings[folderSetting] = folder
	var key func(p source.Image) string
	if format.Key != nil {
		key = func(p source.Image) string {
			return format.Key(&codec.Row{File: p.File, ID: p.ID, Folder: folder})
		}
	}
	return Task[*codec.Row]{
		Name: "proposals", Format: format.Name, Settings: settings,
		Limit: s.Options.Decode.Limits.MaxBytes, Weight: s.weight, Key: key,
		Process: func(ctx context.Context, p source.Image, data []byte) (*codec.Row, Stats, error) {
			result, stats, err := s.run(ctx, data)
			if err != nil {
				return nil, Stats{}, err
			}
			row := codec.NewRow(p.File, result)
			row.ID, row.Folder, row.Search, row.Decode = p.ID, folder, 0, 0
			if masks {
				row.Strategies = result.Strategies
				if row.Masks, err = result.Masks(ctx, math.MaxInt64); err != nil {
					return nil, Stats{}, err
				}
			}
			return row, stats, nil
		},
		Failed: func(p source.Image, reason string) *codec.Row {
			return &codec.Row{File: p.File, ID: p.ID, Error: reason}
		},
		Output: proposalOutput(format, folder),
	}
}

// folderSetting is where the plan has the folder of [Proposals].
const folderSetting = "folder"

// ProposalOutput is the form of a task of [Proposals], by its plan. The error is that of an
// unknown format.
func ProposalOutput(p *Plan) (Output[*codec.Row], error) {
	format, err := codec.ParseFormat(p.Format)
	if err != nil {
		return Output[*codec.Row]{}, err
	}
	return proposalOutput(format, p.Settings[folderSetting]), nil
}

func proposalOutput(format codec.Format, folder string) Output[*codec.Row] {
	writer := func(w io.Writer) Writer[*codec.Row] { return format.NewWriter(w) }
	if !format.SingleFile {
		return Output[*codec.Row]{Extension: format.Extension, Writer: writer}
	}
	rows, err := codec.ParseFormat("jsonl")
	if err != nil {
		panic(err)
	}
	return Output[*codec.Row]{
		Extension: rows.Extension,
		Writer:    func(w io.Writer) Writer[*codec.Row] { return rows.NewWriter(w) },
		Merged:    &Merged[*codec.Row]{Extension: format.Extension, Writer: writer, Read: readRows(folder)},
	}
}

// readRows reads JSON Lines, which do not tell the folder.
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
