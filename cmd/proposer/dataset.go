package main

import (
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/proposer/proposer/dataset"
	"github.com/proposer/proposer/internal/batch/source"
	"github.com/proposer/proposer/internal/imageio"
)

// dataFlags say how a data set is read.
type dataFlags struct {
	Images      string `placeholder:"DIR" help:"Folder of the images of a COCO or PASCAL VOC data set. By default it is looked for beside the annotations and below them."`
	accessFlags `embed:""`
}

// accessFlags are the flags that apply to all data sets of a command.
type accessFlags struct {
	Strict        bool `help:"Refuse a data set with invalid annotations, which are otherwise left out and counted (batch reads none). batch, rois: exit with code 1 if any image failed, not only if all did."`
	FollowLinks   bool `help:"Follow symbolic links that lead out of the folder of the images."`
	AbsolutePaths bool `help:"Accept absolute file names in a data set."`
}

func (f *dataFlags) options() dataset.Options {
	return dataset.Options{Images: f.Images, Strict: f.Strict, FollowLinks: f.FollowLinks, AbsolutePaths: f.AbsolutePaths}
}

// open opens a data set and prints what is wrong with it.
func (f *dataFlags) open(std streams, path string) (*dataset.Dataset, error) {
	data, err := dataset.Open(path, f.options())
	if err != nil {
		return nil, err
	}
	f.report(std, path, data)
	return data, nil
}

// report prints what was left out of a data set, and what may be wrong with it.
func (*dataFlags) report(std streams, path string, data *dataset.Dataset) {
	for _, s := range data.Skipped {
		fmt.Fprintf(std.err, "proposer: %s: %s\n", printable(path), printable(s.String()))
	}
	for _, w := range data.Warnings {
		fmt.Fprintf(std.err, "proposer: %s: %s\n", printable(path), printable(w.String()))
	}
}

// sourceOptions returns the options of the images' source.
func (f *dataFlags) sourceOptions(std streams, job *jobFlags) source.Options {
	data := f.options()
	data.Strict = false // about images that failed, where annotations are not read
	return source.Options{Include: job.Include, Exclude: job.Exclude, Data: data, LeftOut: func(links int, first string) {
		fmt.Fprintf(std.err, "proposer: left out %s that lead out of the folder, the first is %s: use --follow-links to include them\n",
			plural(links, "link"), printable(first))
	}}
}

// sourceError returns an error in the use of --images as an error in the command line.
func (f *dataFlags) sourceError(err error) error {
	if e, ok := errors.AsType[*source.NotDatasetError](err); ok {
		return usageError{fmt.Errorf("--images %s: %w", f.Images, e)}
	}
	return err
}

// plural returns a count with its noun.
func plural(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

// sides compares the sizes of images with those that their annotations are for, and counts the
// differences. Its methods are safe for concurrent use.
type sides struct {
	decode imageio.Options // of the images

	mu                              sync.Mutex
	turned, wrong, unsure, outlying []string // files
	fractions                       fractionTest
}

// orient returns an image with its objects in pixels of the upright image, given its size and the
// EXIF orientation that was applied. An error reports another size.
func (s *sides) orient(img *dataset.Image, width, height, orientation int) (*dataset.Image, error) {
	objects, turned, err := img.Orient(width, height, orientation)
	s.mu.Lock()
	defer s.mu.Unlock()
	if e, ok := errors.AsType[*dataset.SizeError](err); ok {
		s.wrong = append(s.wrong, img.File)
		return nil, fmt.Errorf("the image has %d × %d pixels, its annotations are for %d × %d", e.Width, e.Height, e.AnnotatedWidth, e.AnnotatedHeight)
	}
	if err != nil {
		return nil, err
	}
	for _, o := range objects {
		s.fractions.add(o.X0, o.Y0, o.X1, o.Y1)
	}
	if len(objects) > 0 && !turned && sizeCannotTell(img, width, height, orientation) {
		s.unsure = append(s.unsure, img.File)
	}
	if slices.ContainsFunc(objects, func(o dataset.Object) bool {
		return o.X0 >= float64(width) || o.Y0 >= float64(height) || o.X1 <= 0 || o.Y1 <= 0
	}) {
		s.outlying = append(s.outlying, img.File)
	}
	if !turned {
		return img, nil
	}
	s.turned = append(s.turned, img.File)
	upright := *img
	upright.Width, upright.Height, upright.Objects = width, height, objects
	return &upright, nil
}

// sizeCannotTell reports whether annotations of the stored image would have the size that those of
// the upright image have; see [dataset.Image.Orient].
func sizeCannotTell(img *dataset.Image, width, height, orientation int) bool {
	if orientation < 5 {
		return orientation > 1
	}
	return (img.Width == 0 || img.Width == height) && (img.Height == 0 || img.Height == width)
}

// orientFile is orient for the bytes of an image file.
func (s *sides) orientFile(img *dataset.Image, data []byte) (*dataset.Image, error) {
	h, err := imageio.Inspect(data, s.decode.Limits)
	if err != nil {
		return nil, err
	}
	width, height, orientation := h.Width, h.Height, 1
	if !s.decode.IgnoreOrientation {
		width, height = h.Upright()
		orientation = h.Orientation
	}
	return s.orient(img, width, height, orientation)
}

// print prints the counts; name tells several results apart and may be empty.
func (s *sides) print(std streams, name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if name != "" {
		name += ": "
	}
	// Images end in any order: the first by name is the same in each run.
	if n := len(s.turned); n > 0 {
		fmt.Fprintf(std.err, "proposer: %sthe annotations of %s are for the stored orientation, so their boxes were turned; the first is %s\n",
			name, plural(n, "image"), printable(slices.Min(s.turned)))
	}
	if s.fractions.failed() {
		fmt.Fprintf(std.err, "proposer: %sthe coordinates of all annotations are between 0 and 1: want pixels, not fractions of the width and height\n", name)
	}
	if n := len(s.unsure); n > 0 {
		fmt.Fprintf(std.err, "proposer: %sthe annotations of %s are taken to be for the upright orientation, the size does not tell it from the stored one; the first is %s\n",
			name, plural(n, "image"), printable(slices.Min(s.unsure)))
	}
	if n := len(s.outlying); n > 0 {
		fmt.Fprintf(std.err, "proposer: %sthe annotations of %s have boxes outside of the image; the first is %s\n",
			name, plural(n, "image"), printable(slices.Min(s.outlying)))
	}
	if n := len(s.wrong); n > 0 {
		fmt.Fprintf(std.err, "proposer: %sthe annotations of %s are for another size; the first is %s\n",
			name, plural(n, "image"), printable(slices.Min(s.wrong)))
	}
}
