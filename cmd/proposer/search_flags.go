package main

import (
	"crypto/sha256"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/alecthomas/kong"

	"github.com/proposer/proposer/internal/batch"
	"github.com/proposer/proposer/internal/config"
	"github.com/proposer/proposer/internal/imageio"
	"github.com/proposer/proposer/internal/propose"
	"github.com/proposer/proposer/internal/safefs"
	"github.com/proposer/proposer/objectness"
	"github.com/proposer/proposer/objectness/train"
	"github.com/proposer/proposer/selective"
)

// searchFlags are the options that package propose parses: the flags are texts, nil if they are not
// given. A test holds their names to [propose.OptionNames].
type searchFlags struct {
	Mode           *string `placeholder:"fast" help:"Strategies to run: single, fast, quality (the paper's), best (tuned), opencv-single, opencv-fast, opencv-quality (OpenCV's) or rcnn (fast with --resize-width 500 --min-resized-side 20, as R-CNN)."`
	Max            *string `placeholder:"0" help:"Maximum number of boxes per image. 0: all."`
	Order          *string `placeholder:"objectness" help:"Ranking: objectness (learned), paper (position in the merge tree times a seeded random number) or hierarchy (position alone)."`
	Unions         *string `placeholder:"N" help:"Maximum number of unions of two touching regions among the candidates of order objectness, instead of the mode's: 2000 in fast and quality, 1000 in best, 0 in the others."`
	Joins          *string `placeholder:"N" help:"Maximum number of candidates that are joined from two of the best, in order objectness, instead of the mode's: 1500 in fast and best, 3000 in quality, 0 in the others. With --unions 0 --joins 0 every box is that of a region of a merge tree."`
	Seed           *string `placeholder:"1" help:"Seed of order paper, 0 to 2^64-1."`
	NMS            *string `name:"nms" placeholder:"off" help:"Non-maximum suppression: off, an IoU threshold such as 0.8, or adaptive."`
	MinSide        *string `placeholder:"0" help:"Drop boxes with a shorter side, in pixels of the image."`
	MaxAspect      *string `placeholder:"0" help:"Drop boxes whose longer side is more than this many times the shorter one. 0: none."`
	MinArea        *string `placeholder:"0" help:"Drop boxes with a smaller area, as a fraction of the image's, such as 0.001."`
	MaxArea        *string `placeholder:"0" help:"Drop boxes with a larger area, as a fraction of the image's, such as 0.9. 0: none."`
	MaxSide        *string `aliases:"resize" placeholder:"0" help:"Shrink larger images to this longest side before the search. Boxes stay in pixels of the original. 0: never."`
	ResizeWidth    *string `placeholder:"0" help:"Shrink or enlarge images to this width before the search. Boxes stay in pixels of the original. 0: never."`
	MinResizedSide *string `placeholder:"0" help:"Drop boxes with a shorter side, in pixels of the image as --resize-width or --max-side leaves it."`
	Colors         *string `placeholder:"LIST" help:"Color spaces instead of the mode's, such as HSV,Lab: RGB, I, rgI, Lab, HSV, H, rgb, C, R-G-I."`
	K              *string `name:"k" placeholder:"LIST" help:"Scales of the segmentation instead of the mode's, such as 50,100. Larger values give larger initial regions."`
	Measures       *string `placeholder:"LIST" help:"Combinations of similarity measures instead of the mode's, such as CTSF,TSF: C color, T texture, S size, F fill, each with an optional weight, such as C0.5TS."`
	Sigma          *string `placeholder:"0.8" help:"Gaussian smoothing before the segmentation, in pixels."`
	MinSize        *string `placeholder:"0" help:"Minimum size of an initial region, in pixels. 0: the mode's, which is k, or 100 in OpenCV's modes."`
	Orientation    *string `placeholder:"exif" help:"exif: apply the image's EXIF orientation. ignore: use the pixels as they are stored."`
	Depth          *string `placeholder:"16" help:"Significant bits of the samples of 16-bit images: 8 to 16, such as 12 for a 12-bit camera, or auto: as many as the image's samples have."`
	Threads        *string `placeholder:"0" help:"Maximum number of processors. 0: all."`
}

// values returns the flags that are given.
func (f *searchFlags) values() map[string]string {
	return nonNil(map[string]*string{
		"mode": f.Mode, "max": f.Max, "order": f.Order, "unions": f.Unions, "joins": f.Joins, "seed": f.Seed, "nms": f.NMS,
		"min-side": f.MinSide, "max-aspect": f.MaxAspect, "min-area": f.MinArea, "max-area": f.MaxArea,
		"max-side": f.MaxSide, "resize-width": f.ResizeWidth, "min-resized-side": f.MinResizedSide,
		"colors": f.Colors, "k": f.K,
		"measures": f.Measures, "sigma": f.Sigma, "min-size": f.MinSize, "threads": f.Threads,
		"orientation": f.Orientation, "depth": f.Depth,
	})
}

// nonNil returns the texts that are not nil.
func nonNil(texts map[string]*string) map[string]string {
	given := map[string]string{}
	for name, text := range texts {
		if text != nil {
			given[name] = *text
		}
	}
	return given
}

// optionErrors writes the names of options in errors of package propose as flags.
func optionErrors(err error) error {
	for _, e := range propose.OptionErrors(err) {
		e.Name = "--" + e.Name
	}
	return usageError{err}
}

// limitFlags bound the images that are read.
type limitFlags struct {
	MaxBytes  config.ByteSize `default:"${max_bytes}" min:"1" help:"Maximum size of an image file, such as 64MiB."`
	MaxPixels int64           `default:"${max_pixels}" min:"1" help:"Maximum number of pixels of an image."`
}

// flagDefaults returns the defaults of flags that other packages define.
func flagDefaults() kong.Vars {
	l := imageio.DefaultLimits()
	o := train.DefaultOptions()
	return kong.Vars{
		"max_bytes":  config.ByteSize(l.MaxBytes).String(),
		"max_pixels": fmt.Sprint(l.MaxPixels),
		"formats":    strings.Join(batchFormats(), ","),
		"shard_size": fmt.Sprint(batch.DefaultShardSize),

		"samples":        fmt.Sprint(train.DefaultSampling().MaxSamples),
		"trees":          fmt.Sprint(o.Trees.Trees),
		"rate":           fmt.Sprint(o.Trees.Rate),
		"tree_samples":   fmt.Sprint(o.Trees.MaxSamples),
		"epochs":         fmt.Sprint(o.Network.Epochs),
		"units":          joinInts(o.Network.Units),
		"net_rate":       fmt.Sprint(o.Network.Rate),
		"dropout":        fmt.Sprint(o.Network.Dropout),
		"feature_groups": strings.Join(train.FeatureGroups(), ", "),
	}
}

func (f *limitFlags) limits() imageio.Limits {
	return imageio.Limits{MaxBytes: int64(f.MaxBytes), MaxPixels: f.MaxPixels}
}

// rankerFlag replaces the built-in ranking model.
type rankerFlag struct {
	Ranker string `placeholder:"FILE" help:"Ranking model for --order objectness, written by proposer train. By default the built-in model is used."`

	identity string // of the model that was read
}

// load sets *r to the model in the file, if one is given.
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

// readRanker reads a ranking model. Its identity consists of the file's base name and a checksum.
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

// parseOptions parses the flags of a search.
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
