package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"github.com/alecthomas/kong"

	"github.com/proposer/proposer/internal/batch"
	"github.com/proposer/proposer/internal/boundedio"
	"github.com/proposer/proposer/internal/codec"
	"github.com/proposer/proposer/internal/config"
	"github.com/proposer/proposer/internal/imageio"
	"github.com/proposer/proposer/internal/propose"
	"github.com/proposer/proposer/internal/safefs"
	"github.com/proposer/proposer/objectness"
	"github.com/proposer/proposer/selective"
)

// searchFlags are the options of package pipeline, which reads them: here they
// are texts, nil where not given. A test keeps their names the same.
type searchFlags struct {
	Mode        *string `placeholder:"fast" help:"Strategies to run: single, fast, quality (the paper's), best (ours), opencv-single, opencv-fast or opencv-quality (what OpenCV runs)."`
	Max         *string `placeholder:"0" help:"Most boxes of a picture, the best ones; 0 is all."`
	Order       *string `placeholder:"objectness" help:"Ranking: objectness (learned), paper (position in the tree times a seeded random number) or hierarchy (position alone)."`
	Seed        *string `placeholder:"1" help:"Seed of the paper's random numbers, 0 to 2^64-1."`
	NMS         *string `name:"nms" placeholder:"off" help:"Drop boxes that overlap a better one: off, by more than an IoU as in 0.8, or adaptive."`
	MinSide     *string `placeholder:"0" help:"Drop boxes with a shorter side, in pixels of the picture."`
	MaxSide     *string `aliases:"resize" placeholder:"0" help:"Shrink the picture before the search so that no side is longer; boxes stay in its own pixels. 0 is never."`
	Colors      *string `placeholder:"LIST" help:"Colour spaces instead of the mode's, as in HSV,Lab: RGB, I, rgI, Lab, HSV, H, rgb, C, R-G-I."`
	K           *string `name:"k" placeholder:"LIST" help:"Scales of the first regions instead of the mode's, as in 50,100: larger numbers, larger regions."`
	Measures    *string `placeholder:"LIST" help:"Sets of similarity measures instead of the mode's, as in CTSF,TSF: C colour, T texture, S size, F fill, with a weight as in C0.5TS or without."`
	Sigma       *string `placeholder:"0.8" help:"Gaussian smoothing before the segmentation, in pixels."`
	MinSize     *string `placeholder:"0" help:"Smallest first region, in pixels. 0 is the mode's: k, or 100 in OpenCV's modes."`
	Orientation *string `placeholder:"exif" help:"exif turns the picture as its EXIF data says, ignore takes it as it is stored; the row tells what the data says."`
	Threads     *string `placeholder:"0" help:"Most processor cores to use. 0 is all."`
}

// values are the flags that were given, by their names.
func (f *searchFlags) values() map[string]string {
	return nonNil(map[string]*string{
		"mode": f.Mode, "max": f.Max, "order": f.Order, "seed": f.Seed, "nms": f.NMS,
		"min-side": f.MinSide, "max-side": f.MaxSide, "colors": f.Colors, "k": f.K,
		"measures": f.Measures, "sigma": f.Sigma, "min-size": f.MinSize, "threads": f.Threads,
		"orientation": f.Orientation,
	})
}

// nonNil are the texts that are there.
func nonNil(all map[string]*string) map[string]string {
	given := map[string]string{}
	for name, text := range all {
		if text != nil {
			given[name] = *text
		}
	}
	return given
}

// optionErrors names options as flags are.
func optionErrors(err error) error {
	for _, e := range propose.OptionErrors(err) {
		e.Name = "--" + e.Name
	}
	return usageError{err}
}

// limitFlags bound what is read.
type limitFlags struct {
	MaxBytes  config.ByteSize `default:"${max_bytes}" min:"1" help:"Maximum size of an image file, such as 64MiB."`
	MaxPixels int64           `default:"${max_pixels}" min:"1" help:"Maximum number of pixels of an image."`
}

// flagDefaults are those of flags that other packages know.
func flagDefaults() kong.Vars {
	l := imageio.DefaultLimits()
	r := objectness.DefaultTrainOptions()
	return kong.Vars{
		"max_bytes": config.ByteSize(l.MaxBytes).String(), "max_pixels": fmt.Sprint(l.MaxPixels),
		"formats":    strings.Join(formats(func(codec.Format) bool { return true }), ","),
		"shard_size": fmt.Sprint(batch.DefaultShardSize),
		"trees":      fmt.Sprint(r.Trees.Trees), "rate": fmt.Sprint(r.Trees.Rate),
		"epochs": fmt.Sprint(r.Network.Epochs), "units": fmt.Sprint(r.Network.Units),
	}
}

func (f *limitFlags) limits() imageio.Limits {
	return imageio.Limits{MaxBytes: int64(f.MaxBytes), MaxPixels: f.MaxPixels}
}

// rankerFlag names a ranker other than the one that comes with the program.
type rankerFlag struct {
	Ranker string `placeholder:"FILE" help:"Ranker of --order objectness, as proposer train writes it, instead of the program's own."`

	identity string // of the ranker that was read
}

// load reads the ranker, if there is one.
func (f *rankerFlag) load(r *selective.Ranker) error {
	if f.Ranker == "" {
		return nil
	}
	var err error
	if *r, f.identity, err = readRanker(f.Ranker); err != nil {
		return usageError{fmt.Errorf("--ranker %s: %w", f.Ranker, safefs.WithoutPath(err))}
	}
	return nil
}

// readRanker reads a ranker. Its identity is the file's name and what is in it.
func readRanker(name string) (r selective.Ranker, identity string, err error) {
	file, err := os.Open(name)
	if err != nil {
		return nil, "", err
	}
	defer file.Close()
	sum := sha256.New()
	if r, err = objectness.Read(io.TeeReader(file, sum)); err != nil {
		return nil, "", err
	}
	return r, fmt.Sprintf("%s sha256:%.6x", filepath.Base(name), sum.Sum(nil)), nil
}

// parseOptions reads the flags of a search.
func parseOptions(search *searchFlags, ranker *rankerFlag, limit *limitFlags) (propose.Options, error) {
	opts, err := propose.ParseOptions(search.values())
	if err != nil {
		return opts, optionErrors(err)
	}
	if err := ranker.load(&opts.Search.Ranker); err != nil {
		return opts, err
	}
	opts.Decode.Limits = limit.limits()
	return opts, nil
}

type proposeCmd struct {
	Images []string `arg:"" name:"image" help:"Picture files: JPEG, PNG, WebP, BMP or TIFF; - is standard input."`

	searchFlags `embed:""`
	rankerFlag  `embed:""`
	limitFlags  `embed:""`

	Format     string `enum:"jsonl,csv" default:"jsonl" help:"What to print: jsonl (an object a picture) or csv (a line a box)."`
	Masks      bool   `help:"Tell the pixels of each box's region, too, as a run-length mask that COCO's tools read; jsonl only."`
	Overlay    string `placeholder:"OUT.png" help:"Draw the best boxes on the picture, one picture only, and write that as .png or .jpg."`
	OverlayMax int    `default:"50" help:"How many boxes --overlay draws."`
}

func (*proposeCmd) Help() string {
	return `A picture that cannot be read is an object {"file","error"} in jsonl and nothing in csv, and a message on standard error; the others are done and the exit code is 1.`
}

// Run is the command.
func (c *proposeCmd) Run(ctx context.Context, std streams) (err error) {
	opts, err := parseOptions(&c.searchFlags, &c.rankerFlag, &c.limitFlags)
	if err != nil {
		return err
	}
	if c.Masks && c.Format != "jsonl" {
		return usageError{fmt.Errorf("--masks --format %s: want --format jsonl, the others have no place for masks", c.Format)}
	}
	opts.Search.KeepRegions = c.Masks
	if c.Overlay != "" && len(c.Images) != 1 {
		return usageError{fmt.Errorf("--overlay %s: want one picture, not %d", c.Overlay, len(c.Images))}
	}
	if c.Overlay != "" && imageio.OverlayFormat(c.Overlay) == "" {
		return usageError{fmt.Errorf("--overlay %s: want a name that ends in .png, .jpg or .jpeg", c.Overlay)}
	}
	if c.OverlayMax < 1 {
		return usageError{fmt.Errorf("--overlay-max %d: want 1 or more", c.OverlayMax)}
	}
	if i := slices.Index(c.Images, "-"); i >= 0 && slices.Contains(c.Images[i+1:], "-") {
		return usageError{errors.New("-: standard input can be read once")}
	}
	if n := opts.Search.Threads; n > 0 {
		// The collector's threads count, too.
		defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(n))
	}

	out, err := codec.NewWriter(std.out, c.Format)
	if err != nil {
		return err
	}
	failed := false
	for _, name := range c.Images {
		err := c.proposeFile(ctx, std, out, name, opts)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if e, ok := errors.AsType[outputError](err); ok {
			return e.error
		}
		if err != nil {
			failed = true
			fmt.Fprintf(std.err, "proposer: %s: %v\n", printable(name), err)
			if err := out.Write(&codec.Row{File: baseName(name), Error: err.Error()}); err != nil {
				return err
			}
		}
	}
	if err := out.Close(); err != nil {
		return err
	}
	if failed {
		return errImagesFailed
	}
	return nil
}

// outputError is a failure that the next picture would meet, too.
type outputError struct{ error }

func (c *proposeCmd) proposeFile(ctx context.Context, std streams, out codec.Writer, name string, opts propose.Options) error {
	data, err := readImage(ctx, std.in, name, opts.Decode.Limits.MaxBytes)
	if err != nil {
		return err
	}
	result, err := propose.Run(ctx, data, opts)
	if err != nil {
		return err
	}
	row := codec.NewRow(baseName(name), result)
	if c.Masks {
		row.Strategies = result.Strategies
		if row.Masks, err = result.Masks(ctx, math.MaxInt64); err != nil {
			return err
		}
	}
	if err := out.Write(row); err != nil {
		return outputError{err}
	}
	if c.Overlay == "" {
		return nil
	}
	var drawn bytes.Buffer
	best := result.Boxes[:min(c.OverlayMax, len(result.Boxes))]
	if err := propose.Overlay(ctx, &drawn, data, opts, best, imageio.OverlayFormat(c.Overlay)); err != nil {
		return outputError{err}
	}
	if err := os.WriteFile(c.Overlay, drawn.Bytes(), 0o644); err != nil {
		return outputError{err}
	}
	return nil
}

// readImage reads a file that is not larger than limit. A pipe or a device under a
// file's name might never end, so only - takes those.
func readImage(ctx context.Context, stdin io.Reader, name string, limit int64) ([]byte, error) {
	if name == "-" {
		return readInput(ctx, stdin, limit)
	}
	return readFile(name, limit)
}

func readFile(name string, limit int64) ([]byte, error) {
	data, _, err := boundedio.ReadFile(name, limit)
	if errors.Is(err, safefs.ErrNotRegular) {
		return nil, fmt.Errorf("%w, or - for standard input", safefs.WithoutPath(err))
	}
	return data, safefs.WithoutPath(err)
}

// readInput gives up when the context ends, though the read itself cannot: its
// goroutine lives until the input ends or the process does, which is then soon.
func readInput(ctx context.Context, stdin io.Reader, limit int64) ([]byte, error) {
	type read struct {
		data []byte
		err  error
	}
	done := make(chan read, 1)
	go func() {
		data, err := boundedio.ReadAll(bufio.NewReader(stdin), 0, limit)
		done <- read{data, err}
	}()
	select {
	case r := <-done:
		return r.data, r.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func baseName(name string) string {
	if name == "-" {
		return name
	}
	return filepath.Base(name)
}

// printable keeps a hostile file name from writing to the terminal as it likes.
func printable(name string) string {
	if strings.ContainsFunc(name, func(r rune) bool { return r < ' ' || r == 0x7f || r == '\uFFFD' }) {
		return fmt.Sprintf("%q", name)
	}
	return name
}
