package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"

	"github.com/proposer/proposer/box"
	"github.com/proposer/proposer/dataset"
	"github.com/proposer/proposer/evaluate"
	"github.com/proposer/proposer/evaluate/plot"
	"github.com/proposer/proposer/internal/batch/source"
	"github.com/proposer/proposer/internal/imageio"
	"github.com/proposer/proposer/internal/proposalfile"
	"github.com/proposer/proposer/internal/propose"
	"github.com/proposer/proposer/internal/safefs"
	"github.com/proposer/proposer/raster"
	"github.com/proposer/proposer/selective"
)

// evaluation evaluates proposals on a data set. The eval and train commands share it.
type evaluation struct {
	data   *dataset.Dataset
	src    *source.Source      // of the images; nil if they were not found
	index  *proposalfile.Index // all images, including those beyond --pictures
	total  int                 // number of all images
	opts   evaluate.Options
	ranker func(i int) selective.Ranker // ranker of data.Images[i]; nil means that of the search options
	std    streams
	failed bool // an image failed
}

// newEvaluation opens a data set. It needs the images only if they are searched.
func newEvaluation(std streams, path string, flags *dataFlags, searched bool, opts evaluate.Options) (*evaluation, error) {
	data, err := flags.open(std, path)
	if err != nil {
		return nil, err
	}
	e := &evaluation{data: data, index: proposalfile.NewIndex(data.Images), total: len(data.Images), std: std, opts: opts}
	if data.Folder == "" && !searched {
		return e, nil
	}
	if e.src, err = source.FromDataset(path, data, source.Options{Data: flags.options()}); err != nil {
		return nil, err
	}
	return e, nil
}

// close releases the images.
func (e *evaluation) close() {
	if e.src != nil {
		e.src.Close()
	}
}

// image returns data.Images[i] as an image of e.src.
func (e *evaluation) image(i int) source.Image {
	return source.Image{File: filepath.ToSlash(e.data.Images[i].File), ID: e.data.Images[i].ID}
}

// readImage reads the file of data.Images[i]. Errors do not contain its name.
func (e *evaluation) readImage(ctx context.Context, i int, limit int64) ([]byte, error) {
	data, err := e.src.Read(ctx, e.image(i), limit)
	if e, ok := errors.AsType[*source.Error](err); ok {
		err = e.Err
	}
	return data, err
}

// warn prints a message about images that failed.
func (e *evaluation) warn(format string, args ...any) {
	e.failed = true
	fmt.Fprintf(e.std.err, "proposer: "+format+"\n", args...)
}

// search proposes boxes for all images and evaluates them. Each image is searched by one thread, so
// that no thread waits for another.
func (e *evaluation) search(ctx context.Context, opts propose.Options, repeatability bool) (*evalResult, error) {
	images := slices.Clone(e.data.Images) // objects may be turned
	checked := &sides{decode: opts.Decode}
	var warned warnings
	workers := min(runtime.GOMAXPROCS(0), max(1, len(images)))
	opts.Search.Threads = max(1, runtime.GOMAXPROCS(0)/workers)

	bar := progress(e.std, len(images), "")
	result, err := evaluate.Run(ctx, images, e.opts, workers, func(ctx context.Context, i int) (evaluate.Proposals, error) {
		defer bar.Add(1) // fails only if the terminal does
		opts := opts
		if e.ranker != nil {
			opts.Search.Ranker = e.ranker(i)
		}
		data, err := e.readImage(ctx, i, opts.Decode.Limits.MaxBytes)
		if err != nil {
			return evaluate.Proposals{}, err
		}
		upright, err := checked.orientFile(&images[i], data)
		if err != nil {
			return evaluate.Proposals{}, err
		}
		images[i] = *upright
		return searchImage(ctx, data, opts, repeatability, func(warning string) { warned.add(images[i].File, warning) })
	})
	bar.Exit()
	if err != nil {
		return nil, err
	}

	for i, err := range result.Errors {
		if err != nil {
			e.warn("%s: %v", printable(images[i].File), err)
		}
	}
	checked.print(e.std, "")
	warned.print(e.std)
	if repeatability && result.Repeatability == nil {
		result.Repeatability = make([]float64, len(evaluate.Perturbations()))
	}
	return &evalResult{plot.Result{Report: result.Report}, result.Repeatability}, nil
}

// warnings counts images with a warning, and keeps that of the first by name: images end in any
// order.
type warnings struct {
	mu             sync.Mutex
	n              int
	first, warning string
}

func (w *warnings) add(file, warning string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.n++; w.n == 1 || file < w.first {
		w.first, w.warning = file, warning
	}
}

func (w *warnings) print(std streams) {
	if w.n > 0 {
		fmt.Fprintf(std.err, "proposer: warning: %s may lose detail; the first is %s: %s\n", plural(w.n, "image"), printable(w.first), w.warning)
	}
}

// searchImage proposes boxes for an image file.
func searchImage(ctx context.Context, data []byte, opts propose.Options, repeatability bool, warn func(string)) (evaluate.Proposals, error) {
	result, err := propose.Run(ctx, data, opts)
	if err != nil {
		return evaluate.Proposals{}, err
	}
	if result.Warning != "" {
		warn(result.Warning)
	}
	proposals := evaluate.Proposals{Boxes: result.Boxes, Took: result.SearchTime}
	if !repeatability {
		return proposals, nil
	}

	decoded, err := imageio.Decode(ctx, data, opts.Decode)
	if err != nil {
		return proposals, err
	}
	proposals.Repeatability, err = evaluate.Repeatability(ctx, decoded.Image,
		func(ctx context.Context, img *raster.Image) ([]box.Box, error) {
			changed := *decoded // of the same original
			changed.Image = img
			found, err := selective.Search(ctx, img, opts.SearchOptions(&changed))
			if err != nil {
				return nil, err
			}
			boxes := make([]box.Box, len(found.Proposals))
			for i, p := range found.Proposals {
				boxes[i] = p.Box
			}
			return boxes, nil
		})
	return proposals, err
}

// read evaluates the proposals in a file.
func (e *evaluation) read(ctx context.Context, path string) (*evaluate.Report, error) {
	name := printable(path)
	proposals, stop, err := openProposals(ctx, e.std.in, path)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, safefs.WithoutPath(err))
	}
	defer stop()
	evaluator, err := evaluate.New(e.opts)
	if err != nil {
		return nil, err
	}

	seen := make([]bool, e.total)
	var unknown, missing, outside firstOf
	positions := 0
	var fractions fractionTest
	checked := &sides{}
	for img, err := range proposals {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		i := img.Position
		if img.File == "" && img.ID == "" {
			positions = i + 1
		} else if i, err = e.index.Find(img); err != nil {
			return nil, fmt.Errorf("%s: %s%w", name, placeOf(img), err)
		}
		switch {
		case i < 0 || i >= e.total:
			unknown.add(img.Name())
			continue
		case seen[i]:
			return nil, fmt.Errorf("%s: %sduplicate image %q", name, placeOf(img), img.Name())
		}
		seen[i] = true
		if i >= len(e.data.Images) {
			continue
		}
		for i := 0; i < len(img.Boxes) && !fractions.whole; i++ {
			b := &img.Boxes[i]
			fractions.add(b.X0, b.Y0, b.X1, b.Y1)
		}
		truth := &e.data.Images[i]
		if img.Error != "" {
			e.warn("%s: %s%s: %s", name, placeOf(img), printable(img.Name()), printable(img.Error))
		} else if truth, err = e.annotated(ctx, checked, i, img.Width, img.Height, img.Orientation); err != nil {
			e.warn("%s: %s%s: %v", name, placeOf(img), printable(img.Name()), err)
			evaluator.Add(&e.data.Images[i], nil, 0)
			continue
		}
		if truth == &e.data.Images[i] { // not turned
			if box := boxOutside(img, truth); box != "" {
				outside.add(fmt.Sprintf("%s, %s", printable(img.Name()), box))
			}
		}
		evaluator.AddBoxes(truth, img.Boxes, img.SearchTime)
	}
	known := 0
	for i, ok := range seen {
		if ok {
			known++
		} else if i < len(e.data.Images) {
			missing.add(e.data.Images[i].File)
			evaluator.Add(&e.data.Images[i], nil, 0)
		}
	}
	if err := e.checkImages(positions, known, unknown); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}

	if fractions.failed() {
		return nil, fmt.Errorf("%s: all coordinates are between 0 and 1: want pixels, not fractions of the width and height", name)
	}

	checked.print(e.std, name)
	if unknown.n > 0 {
		fmt.Fprintf(e.std.err, "proposer: %s: ignored %d images that are not in the data set, the first is %q\n", name, unknown.n, unknown.first)
	}
	if outside.n > 0 {
		fmt.Fprintf(e.std.err, "proposer: %s: %d images have boxes that reach outside of the image, the first is %s: check the form of the boxes\n", name, outside.n, outside.first)
	}
	if missing.n > 0 {
		e.warn("%s: no proposals for %d images of the data set, which count as without boxes; the first is %q", name, missing.n, missing.first)
	}
	return evaluator.Report(), nil
}

// checkImages returns an error if the images of a file are not those of the data set.
func (e *evaluation) checkImages(positions, known int, unknown firstOf) error {
	if positions > 0 && positions != e.total {
		return fmt.Errorf("%d images without names: want the %d of the data set, in its order", positions, e.total)
	}
	if unknown.n == 0 || known > 0 || e.total == 0 {
		return nil
	}
	first := &e.data.Images[0]
	return fmt.Errorf("none of its %d images is in the data set: the first is %q, that of the data set is %q with the id %q: want these names or ids",
		unknown.n, unknown.first, first.File, first.ID)
}

// fractionTest tells coordinates that are fractions of the width and height of images, as many
// detectors return them, from pixels.
type fractionTest struct{ whole, any bool }

func (f *fractionTest) add(x0, y0, x1, y1 float64) {
	// The reader of a format whose corners are inclusive adds 1.
	const most = 2
	f.whole = f.whole || max(x1, y1) > most || min(x0, y0) < -most
	for _, v := range []float64{x0, y0, x1, y1} {
		f.any = f.any || v != math.Trunc(v)
	}
}

// failed reports whether all coordinates were fractions.
func (f *fractionTest) failed() bool { return f.any && !f.whole }

// boxOutside describes the first box that reaches further outside of its image than rounding explains: it
// may be of another form than it was read as, such as corners for a width and height. It returns "" if
// there is none.
func boxOutside(img *proposalfile.Image, truth *dataset.Image) string {
	const tolerance = 2 // pixels
	if truth.Width == 0 || truth.Height == 0 {
		return ""
	}
	width, height := float64(truth.Width), float64(truth.Height)
	for i, b := range img.Boxes {
		if b.X0 < -tolerance || b.Y0 < -tolerance || b.X1 > width+tolerance || b.Y1 > height+tolerance {
			return fmt.Sprintf("box %d [%g %g %g %g] of an image of %g × %g pixels", i, b.X0, b.Y0, b.X1, b.Y1, width, height)
		}
	}
	return ""
}

// placeOf returns where in its file an image is, for a message.
func placeOf(img *proposalfile.Image) string {
	if img.Place == "" {
		return ""
	}
	return img.Place + ": "
}

// annotated returns data.Images[i] with its objects in pixels of the image that was searched, given
// the size of that image and the orientation of its file, as far as the proposals tell them. If they
// do not, or if they differ from the annotations, it looks into the file, which is needed to tell
// whether the orientation was applied; without the file, it trusts the proposals.
func (e *evaluation) annotated(ctx context.Context, s *sides, i, width, height, orientation int) (*dataset.Image, error) {
	img := &e.data.Images[i]
	known := width > 0 && height > 0
	annotated := img.Width > 0 || img.Height > 0
	if known && (!annotated || img.Width == width && img.Height == height) {
		return s.orient(img, width, height, orientation)
	}
	if !annotated {
		return img, nil
	}
	if h, err := e.header(ctx, i); err == nil {
		w1, h1 := h.Upright()
		if !known {
			width, height = w1, h1
		}
		switch {
		case width == w1 && height == h1:
			orientation = h.Orientation
		case width == h.Width && height == h.Height:
			orientation = 1 // was not applied
		}
	} else if !known {
		return img, nil
	}
	return s.orient(img, width, height, orientation)
}

// header returns the header of the file of data.Images[i].
func (e *evaluation) header(ctx context.Context, i int) (imageio.Header, error) {
	if e.src == nil {
		return imageio.Header{}, fs.ErrNotExist
	}
	limits := imageio.MaxLimits()
	// Most headers are at the start of the file.
	data, err := e.src.ReadStart(e.image(i), 64<<10)
	if err != nil {
		return imageio.Header{}, err
	}
	if h, err := imageio.Inspect(data, limits); err == nil {
		return h, nil
	}
	if data, err = e.readImage(ctx, i, limits.MaxBytes); err != nil {
		return imageio.Header{}, err
	}
	return imageio.Inspect(data, limits)
}

// firstOf counts names and keeps the first.
type firstOf struct {
	n     int
	first string
}

func (f *firstOf) add(name string) {
	if f.n++; f.n == 1 {
		f.first = name
	}
}

// openProposals opens a file, a folder, or stdin if the path is "-". Reading ends when ctx is canceled,
// even if the underlying read blocks, as that of a pipe may.
func openProposals(ctx context.Context, stdin io.Reader, path string) (images iter.Seq2[*proposalfile.Image, error], stop func(), err error) {
	f := io.NopCloser(stdin)
	if path != "-" {
		file, err := os.Open(path)
		if err != nil {
			return nil, nil, err
		}
		info, err := file.Stat()
		if err != nil {
			file.Close()
			return nil, nil, err
		}
		if info.IsDir() {
			file.Close()
			return proposalfile.ReadFolder(ctx, path), func() {}, nil
		}
		if info.Mode().IsRegular() {
			return proposalfile.Read(ctx, io.NewSectionReader(file, 0, info.Size())), func() { file.Close() }, nil
		}
		f = file
	}
	r, w := io.Pipe()
	stopWatching := context.AfterFunc(ctx, func() { w.CloseWithError(ctx.Err()) })
	go func() {
		defer f.Close()
		_, err := io.Copy(w, f)
		w.CloseWithError(err)
	}()
	return proposalfile.Read(ctx, r), func() { stopWatching(); r.Close() }, nil
}

// proposalsPath returns FILE of [NAME=]FILE. A "=" after a path separator belongs to the path.
func proposalsPath(arg string) string {
	if name, path, ok := strings.Cut(arg, "="); ok && name != "" && !strings.ContainsRune(name, filepath.Separator) {
		return path
	}
	return arg
}

// proposalsName returns NAME of [NAME=]FILE. The default is the base name of the file without the
// extension.
func proposalsName(arg string) string {
	path := proposalsPath(arg)
	if path != arg {
		return printable(strings.TrimSuffix(arg, "="+path))
	}
	name := filepath.Base(path)
	switch ext := filepath.Ext(name); strings.ToLower(ext) {
	case ".jsonl", ".json", ".csv", ".npz", ".npy", ".mat", ".pkl", ".pickle", ".parquet":
		name = strings.TrimSuffix(name, ext)
	}
	return printable(name)
}

// searchName returns the mode followed by the other search options that were given.
func (c *evalCmd) searchName(opts propose.Options) string {
	name := opts.Mode
	values := c.values()
	for _, option := range propose.OptionNames() {
		if v, ok := values[option]; ok && option != "mode" && option != "threads" {
			name += " " + option + "=" + v
		}
	}
	return name
}
