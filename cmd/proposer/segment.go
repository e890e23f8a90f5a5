package main

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/proposer/proposer/internal/codec"
	"github.com/proposer/proposer/internal/imageio"
	"github.com/proposer/proposer/internal/propose"
)

type segmentCmd struct {
	Images []string `arg:"" name:"image" help:"Image files: JPEG, PNG, WebP, GIF, BMP or TIFF. -: standard input."`

	Out     string `placeholder:"PATH" help:"Where to write the labels: a .png or .npy file for one image, or a folder, for any number of images. -, the default for one image: standard output."`
	Format  string `placeholder:"png" help:"png: a gray PNG of 16 bits whose samples are the labels. npy: an int32 array of shape (height, width). Default: that of the extension of --out, or png."`
	Overlay string `placeholder:"PATH" help:"Also write the image with the boundaries of the regions drawn on it: a .png or .jpg file for one image, or a folder."`

	segmentFlags `embed:""`
	limitFlags   `embed:""`
}

// segmentFlags are the options that package propose parses: the flags are texts, nil if they are not
// given. A test holds their names to [propose.SegmentOptionNames].
type segmentFlags struct {
	Color        *string `placeholder:"RGB" help:"Color space: RGB, I, rgI, Lab, HSV, H, rgb, C, R-G-I."`
	K            *string `name:"k" placeholder:"100" help:"Scale: larger values give larger regions."`
	Sigma        *string `placeholder:"0.8" help:"Gaussian smoothing before the segmentation, in pixels."`
	MinSize      *string `placeholder:"0" help:"Minimum size of a region, in pixels. 0: k."`
	Connectivity *string `placeholder:"8" help:"Neighbors of a pixel: 4 or 8."`
	MaxSide      *string `placeholder:"0" help:"Shrink larger images to this longest side before the segmentation. The labels have the size of the original. 0: never."`
	ResizeWidth  *string `placeholder:"0" help:"Shrink or enlarge images to this width before the segmentation. The labels have the size of the original. 0: never."`
	Orientation  *string `placeholder:"exif" help:"exif: apply the image's EXIF orientation. ignore: use the pixels as they are stored."`
	Depth        *string `placeholder:"16" help:"Significant bits of the samples of 16-bit images: 8 to 16, such as 12 for a 12-bit camera, or auto: as many as the image's samples have."`
	Threads      *string `placeholder:"0" help:"Maximum number of processors. 0: all."`
}

// values returns the flags that are given.
func (f *segmentFlags) values() map[string]string {
	return nonNil(map[string]*string{
		"color": f.Color, "k": f.K, "sigma": f.Sigma, "min-size": f.MinSize, "connectivity": f.Connectivity,
		"max-side": f.MaxSide, "resize-width": f.ResizeWidth, "orientation": f.Orientation, "depth": f.Depth,
		"threads": f.Threads,
	})
}

func (*segmentCmd) Help() string {
	return `Regions are numbered from 0 in the order of their first pixels, row by row. In a folder, the files have the base names of the images with another extension.

Unless the labels are written to standard output, a line {"file","width","height","regions","out"} is printed for each image. An image that cannot be read is reported on standard error and as {"file","error"}. The other images are processed, and the exit code is 1.`
}

// segmentFiles are the files of one image. An empty name means none, "-" standard output.
type segmentFiles struct{ image, out, overlay string }

// Run implements the command.
func (c *segmentCmd) Run(ctx context.Context, std streams) error {
	opts, err := propose.ParseSegmentOptions(c.values())
	if err != nil {
		return optionErrors(err)
	}
	opts.Decode.Limits = c.limits()
	files, err := c.plan(std)
	if err != nil {
		return usageError{err}
	}
	if n := opts.Threads; n > 0 {
		defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(n)) // includes the garbage collector's threads
	}

	failed := false
	for _, f := range files {
		line, err := c.segmentFile(ctx, std, f, opts)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if e, ok := errors.AsType[outputError](err); ok {
			return e.error
		}
		if err != nil {
			failed = true
			fmt.Fprintf(std.err, "proposer: %s: %v\n", printable(f.image), err)
			if line, err = codec.AppendJSON(nil, &codec.Row{File: filepath.ToSlash(f.image), Error: err.Error()}); err != nil {
				return err
			}
		}
		if f.out == "-" {
			continue
		}
		if _, err := std.out.Write(append(line, '\n')); err != nil {
			return err
		}
	}
	if failed {
		return errImagesFailed
	}
	return nil
}

// plan checks the flags and returns the files of each image.
func (c *segmentCmd) plan(std streams) ([]segmentFiles, error) {
	if c.Out == "" && c.Overlay == "" {
		c.Out = "-"
	}
	extension := strings.ToLower(filepath.Ext(c.Out))
	outIsFile := extension == ".png" || extension == ".npy"
	if outIsFile && c.Format == "" {
		c.Format = extension[1:]
	}
	c.Format = cmp.Or(c.Format, "png")
	overlayIsFile := imageio.OverlayFormat(c.Overlay) != ""
	switch {
	case c.Format != "png" && c.Format != "npy":
		return nil, fmt.Errorf("--format %q: want png or npy", c.Format)
	case outIsFile && extension[1:] != c.Format:
		return nil, fmt.Errorf("--format %s --out %s: want a name that ends in .%s", c.Format, c.Out, c.Format)
	case !outIsFile && isOtherFile(c.Out, len(c.Images)):
		return nil, fmt.Errorf("--out %s: want a name that ends in .png or .npy or, for a folder, in /", c.Out)
	case !overlayIsFile && isOtherFile(c.Overlay, len(c.Images)):
		return nil, fmt.Errorf("--overlay %s: want a name that ends in .png, .jpg or .jpeg or, for a folder, in /", c.Overlay)
	case c.Out == "-" && len(c.Images) > 1:
		return nil, fmt.Errorf("%d images: want --out FOLDER", len(c.Images))
	case c.Out == "-" && isTerminal(std.out):
		return nil, errors.New("standard output is a terminal: want --out FILE.png or FILE.npy, or a redirection")
	case outIsFile && len(c.Images) > 1:
		return nil, fmt.Errorf("--out %s: want a folder for %d images", c.Out, len(c.Images))
	case c.Overlay == "-":
		return nil, errors.New("--overlay -: want a name that ends in .png, .jpg or .jpeg, or a folder")
	case overlayIsFile && len(c.Images) > 1:
		return nil, fmt.Errorf("--overlay %s: want a folder for %d images", c.Overlay, len(c.Images))
	}

	outputs := map[string]string{} // image by real path of output
	files := make([]segmentFiles, len(c.Images))
	for i, image := range c.Images {
		f := segmentFiles{image: image, out: c.Out, overlay: c.Overlay}
		base := strings.TrimSuffix(filepath.Base(image), filepath.Ext(image))
		if c.Out != "" && c.Out != "-" && !outIsFile {
			f.out = filepath.Join(c.Out, base+"."+c.Format)
		}
		if c.Overlay != "" && !overlayIsFile {
			f.overlay = filepath.Join(c.Overlay, base+".png")
		}
		if image == "-" && (f.out != c.Out || f.overlay != c.Overlay) {
			return nil, errors.New("-: standard input has no name: want files, not folders, for --out and --overlay")
		}
		for _, name := range []string{f.out, f.overlay} {
			if name == "" || name == "-" {
				continue
			}
			target := outputPath(name)
			if other, ok := outputs[target]; ok {
				return nil, fmt.Errorf("%s of %s and of %s: want images of different base names and different folders for --out and --overlay", name, other, image)
			}
			outputs[target] = image
		}
		files[i] = f
	}
	return files, checkOverwritten(c.Images, outputs)
}

// isOtherFile reports whether the name of an output for a number of images, which has no extension of an
// output, is that of a file. For one image, a name with another extension seems to be meant for a file.
func isOtherFile(name string, images int) bool {
	if name == "" || name == "-" {
		return false
	}
	if info, err := os.Stat(name); err == nil {
		return !info.IsDir()
	}
	return images == 1 && filepath.Ext(name) != "" && !strings.HasSuffix(name, string(filepath.Separator))
}

// checkOverwritten returns an error if an output is one of the images.
func checkOverwritten(images []string, outputs map[string]string) error {
	for _, image := range images {
		name, err := realPath(image)
		if _, ok := outputs[name]; ok && err == nil {
			return fmt.Errorf("%s: would be overwritten: want another --out or --overlay", image)
		}
	}
	return nil
}

// outputPath returns the absolute path of a file that may not exist, without the symbolic links on it that do.
func outputPath(name string) string {
	if path, err := realPath(name); err == nil {
		return path
	}
	if folder := filepath.Dir(name); folder != name {
		return filepath.Join(outputPath(folder), filepath.Base(name))
	}
	return name
}

// realPath returns the absolute path of a file without symbolic links.
func realPath(name string) (string, error) {
	name, err := filepath.EvalSymlinks(name)
	if err != nil {
		return "", err
	}
	return filepath.Abs(name)
}

// segmentFile segments one image, writes its files and returns the line about it.
func (c *segmentCmd) segmentFile(ctx context.Context, std streams, f segmentFiles, opts propose.SegmentOptions) ([]byte, error) {
	data, err := readImage(ctx, std.in, f.image, opts.Decode.Limits.MaxBytes)
	if err != nil {
		return nil, err
	}
	s, err := propose.Segment(ctx, data, opts)
	if err != nil {
		return nil, err
	}
	if s.Warning != "" {
		fmt.Fprintf(std.err, "proposer: %s: warning: %s\n", printable(f.image), s.Warning)
	}
	if f.out != "" {
		labels, err := c.encode(s)
		if err != nil {
			return nil, err
		}
		if f.out == "-" {
			_, err = std.out.Write(labels)
		} else {
			err = writeOutput(ctx, f.out, labels)
		}
		if err != nil {
			return nil, outputError{err}
		}
	}
	if f.overlay != "" {
		var overlay bytes.Buffer
		if err := propose.SegmentOverlay(ctx, &overlay, data, opts, s, imageio.OverlayFormat(f.overlay)); err != nil {
			return nil, err
		}
		if err := writeOutput(ctx, f.overlay, overlay.Bytes()); err != nil {
			return nil, outputError{err}
		}
	}
	line := codec.Segments{
		File: filepath.ToSlash(f.image), Segmentation: s,
		Out: filepath.ToSlash(f.out), Overlay: filepath.ToSlash(f.overlay),
	}
	return line.AppendJSON(nil), nil
}

// encode encodes the labels.
func (c *segmentCmd) encode(s *propose.Segmentation) ([]byte, error) {
	if c.Format == "npy" {
		return codec.AppendLabelsNPY(nil, s.Width, s.Height, s.Labels), nil
	}
	data, err := codec.EncodeLabelsPNG(s.Width, s.Height, s.Labels)
	if err != nil {
		err = fmt.Errorf("%w: want --format npy, or a larger --k or --min-size", err)
	}
	return data, err
}
