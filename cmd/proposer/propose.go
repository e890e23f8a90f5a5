package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"slices"

	"github.com/proposer/proposer/internal/codec"
	"github.com/proposer/proposer/internal/imageio"
	"github.com/proposer/proposer/internal/propose"
)

type proposeCmd struct {
	Images []string `arg:"" name:"image" help:"Image files: JPEG, PNG, WebP, GIF, BMP or TIFF. -: standard input."`

	searchFlags `embed:""`
	rankerFlag  `embed:""`
	limitFlags  `embed:""`

	Format     string `enum:"jsonl,csv" default:"jsonl" help:"Output format: jsonl (one object per image) or csv (one line per box)."`
	Masks      bool   `help:"Add the region of each box as a run-length mask in COCO's format. jsonl only."`
	Overlay    string `placeholder:"OUT.png" help:"Write the image with its best boxes drawn on it to a .png or .jpg file. One image only."`
	OverlayMax int    `default:"50" min:"1" help:"Maximum number of boxes that --overlay draws."`
}

func (*proposeCmd) Help() string {
	return `Each image is named as it is given, with its folders. An image that cannot be read is reported on standard error and, in jsonl, as an object {"file","error"}. The other images are processed, and the exit code is 1.`
}

// Run implements the command.
func (c *proposeCmd) Run(ctx context.Context, std streams) error {
	opts, err := parseOptions(&c.searchFlags, &c.rankerFlag, &c.limitFlags)
	if err != nil {
		return err
	}
	if err := c.check(); err != nil {
		return usageError{err}
	}
	opts.Search.KeepRegions = c.Masks
	if n := opts.Search.Threads; n > 0 {
		defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(n)) // includes the garbage collector's threads
	}

	out, err := codec.NewWriter(std.out, c.Format)
	if err != nil {
		return err
	}
	c.warnSameNames(std)
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
			if err := out.Write(&codec.Row{File: filepath.ToSlash(name), Error: err.Error()}); err != nil {
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

// check validates combinations of flags.
func (c *proposeCmd) check() error {
	if c.Masks && c.Format != "jsonl" {
		return fmt.Errorf("--masks --format %s: want --format jsonl, the only one with masks", c.Format)
	}
	if c.Overlay != "" && len(c.Images) != 1 {
		return fmt.Errorf("--overlay %s: want one image, not %d", c.Overlay, len(c.Images))
	}
	if c.Overlay != "" && imageio.OverlayFormat(c.Overlay) == "" {
		return fmt.Errorf("--overlay %s: want a name that ends in .png, .jpg or .jpeg", c.Overlay)
	}
	if i := slices.Index(c.Images, "-"); i >= 0 && slices.Contains(c.Images[i+1:], "-") {
		return errors.New("-: standard input can be read only once")
	}
	return nil
}

// warnSameNames reports images whose names differ only in bytes that are not UTF-8, which the output
// cannot represent.
func (c *proposeCmd) warnSameNames(std streams) {
	names := map[string]string{}
	for _, name := range c.Images {
		text := string([]rune(name))
		switch other, ok := names[text]; {
		case !ok:
			names[text] = name
		case other != name:
			fmt.Fprintf(std.err, "proposer: warning: %q and %q are both named %q in the output\n", other, name, text)
		}
	}
}

// outputError is an error that ends the command, because all images would fail with it.
type outputError struct{ error }

// proposeFile searches one image and writes the result.
func (c *proposeCmd) proposeFile(ctx context.Context, std streams, out codec.Writer, name string, opts propose.Options) error {
	data, err := readImage(ctx, std.in, name, opts.Decode.Limits.MaxBytes)
	if err != nil {
		return err
	}
	result, err := propose.Run(ctx, data, opts)
	if err != nil {
		return err
	}
	if result.Warning != "" {
		fmt.Fprintf(std.err, "proposer: %s: warning: %s\n", printable(name), result.Warning)
	}
	row := codec.NewRow(filepath.ToSlash(name), result)
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

	var overlay bytes.Buffer
	best := result.Boxes[:min(c.OverlayMax, len(result.Boxes))]
	if err := propose.Overlay(ctx, &overlay, data, opts, best, imageio.OverlayFormat(c.Overlay)); err != nil {
		return outputError{err}
	}
	if err := os.WriteFile(c.Overlay, overlay.Bytes(), 0o644); err != nil {
		return outputError{err}
	}
	return nil
}
