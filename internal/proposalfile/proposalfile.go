// Package proposalfile reads files of box proposals, those that package codec writes and those of other
// programs, for their evaluation:
//
//   - JSON Lines, and JSON lists of such objects
//   - COCO results and COCO annotations, {"name": [[x,y,w,h]]}, {"bbox": [[[x,y,w,h]]]}
//   - CSV with a header
//   - NumPy's .npz and .npy
//   - MAT-files of level 5, as MATLAB, Octave and SciPy write them
//   - pickles of Detectron, Detectron2, MMDetection 2 and 3
//   - Apache Parquet
//
// [Read] recognizes the format by the content. [ReadFolder] reads many files. [Index] finds the images
// in a data set.
//
// Input is not trusted: nothing is executed, and memory is bounded by the size of the file.
package proposalfile

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"math"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/proposer/proposer/evaluate"
	"github.com/proposer/proposer/internal/boundedio"
)

func newBox(x0, y0, x1, y1 float64) evaluate.Box { return evaluate.Box{X0: x0, Y0: y0, X1: x1, Y1: y1} }

// Image is the proposals of an image.
type Image struct {
	// File and ID identify the image, as the file has them. Either may be empty. If both are, the
	// image is identified by its position.
	File, ID string
	// Position counts the images of the file from 0.
	Position int
	// Place says where in the file the image is, for messages, such as "line 3".
	Place string
	// Width and Height are the size of the upright image, 0 if unknown; Orientation is its EXIF
	// orientation, 0 if unknown.
	Width, Height, Orientation int
	// Boxes holds the proposals in pixels of the upright image, best first: in descending order of
	// their scores or, without scores, in the order of the file.
	Boxes []evaluate.Box
	// SearchTime is the time of the search, or 0 if it is unknown.
	SearchTime time.Duration
	// Error is the reason why the program that wrote the file failed on the image, or empty.
	Error string

	scores []float64 // one per box, or nil
	single bool      // the file has only this image, without its name
	base   string    // in a folder: the last element of the path of the file, without the extension
}

// Name returns the name of the image in messages.
func (img *Image) Name() string {
	switch {
	case img.File != "":
		return img.File
	case img.ID != "":
		return img.ID
	}
	return fmt.Sprintf("number %d", img.Position)
}

// Limits on what is read.
const (
	// maxBoxes is the number of boxes of an image.
	maxBoxes = 1 << 20
	// maxBuffer is the number of bytes of an input without random access that is kept in memory
	// for a format that needs random access.
	maxBuffer = 1 << 30
	// maxText is the number of bytes of one line, or of one value of a JSON list.
	maxText = 256 << 20
	// maxCoordinate is the largest coordinate, in pixels.
	maxCoordinate = math.MaxInt32
	// maxSeconds is the longest time of a search.
	maxSeconds = 1e6
)

// randomAccess is an input that need not be read in order: *io.SectionReader, *bytes.Reader.
type randomAccess interface {
	io.ReaderAt
	Size() int64
}

// input is an input of any format.
type input struct {
	*bufio.Reader
	whole randomAccess // nil if it can only be read in order
}

// peekBytes is how much of an input is inspected to recognize its format.
const peekBytes = 1 << 16

// randomAccess returns the whole input, which it reads into memory if necessary.
func (in *input) randomAccess() (randomAccess, error) {
	if in.whole != nil {
		return in.whole, nil
	}
	data, err := boundedio.ReadAll(in.Reader, 0, maxBuffer)
	if _, ok := errors.AsType[*boundedio.LimitError](err); ok {
		return nil, fmt.Errorf("%w from a pipe: want a regular file", err)
	}
	if err != nil {
		return nil, err
	}
	return bytes.NewReader(data), nil
}

// fileFormat is a file format. Its reader yields images in order. Boxes that are yielded need not be valid
// or sorted.
type fileFormat struct {
	name string
	read func(ctx context.Context, in *input, yield func(*Image) error) error
}

// Read yields the images of a proposals file in the order of the file. The first error ends the
// iteration. Images and their boxes are not reused.
//
// Some formats need random access. If r lacks the methods ReadAt and Size, Read keeps the contents of
// such a format in memory, up to 1 GiB.
func Read(ctx context.Context, r io.Reader) iter.Seq2[*Image, error] {
	return func(yield func(*Image, error) bool) {
		in := &input{Reader: bufio.NewReaderSize(r, peekBytes)}
		in.whole, _ = r.(randomAccess)
		f, err := recognize(in)
		if err != nil {
			yield(nil, err)
			return
		}
		position := 0
		err = f.read(ctx, in, func(img *Image) error {
			if err := ctx.Err(); err != nil {
				return err
			}
			img.Position = position
			position++
			if err := img.finish(); err != nil {
				return err
			}
			if !yield(img, nil) {
				return errStopped
			}
			return nil
		})
		switch {
		case err == nil || errors.Is(err, errStopped):
		case ctx.Err() != nil:
			yield(nil, ctx.Err())
		default:
			yield(nil, fmt.Errorf("%s: %w", f.name, err))
		}
	}
}

// errStopped ends a reader whose caller wants no more images.
var errStopped = errors.New("stopped")

// want lists the formats in messages.
const want = "want JSON Lines, COCO results, CSV with a header, .npz, .npy, a MAT-file of version 5 to 7, " +
	"a pickle of Detectron, Detectron2 or MMDetection, or Parquet"

// recognize returns the format of an input by its content.
func recognize(in *input) (fileFormat, error) {
	head, err := in.Peek(peekBytes)
	if err != nil && !errors.Is(err, io.EOF) {
		return fileFormat{}, err
	}
	if bytes.HasPrefix(head, []byte("\xef\xbb\xbf")) {
		head = head[3:]
		in.whole = nil // it includes the byte order mark
		if _, err := in.Discard(3); err != nil {
			return fileFormat{}, err
		}
	}
	text := bytes.TrimLeft(head, " \t\r\n")
	switch {
	case bytes.HasPrefix(head, []byte("PK\x03\x04")), bytes.HasPrefix(head, []byte("PK\x05\x06")):
		return fileFormat{"NumPy archive", readNPZ}, nil
	case bytes.HasPrefix(head, []byte("\x93NUMPY")):
		return fileFormat{"NumPy array", readNPY}, nil
	case bytes.HasPrefix(head, []byte("\x89HDF\r\n\x1a\n")), bytes.HasPrefix(head, []byte("MATLAB 7.3 MAT-file")):
		return fileFormat{}, errHDF5
	case len(head) >= matHeadBytes && (string(head[126:128]) == "IM" || string(head[126:128]) == "MI") && head[0] >= ' ':
		return fileFormat{"MAT-file", readMAT}, nil
	case bytes.HasPrefix(head, []byte("PAR1")):
		return fileFormat{"Parquet", readParquet}, nil
	case isPickle(head):
		return fileFormat{"pickle", readPickle}, nil
	case len(text) == 0:
		return fileFormat{"JSON Lines", readLines}, nil // of no images
	case text[0] == '[':
		return fileFormat{"JSON", readList}, nil
	case text[0] == '{':
		return recognizeObject(text), nil
	}
	if header, ok := csvHeaderOf(head); ok {
		return fileFormat{"CSV", header.read}, nil
	}
	return fileFormat{}, fmt.Errorf("%s: %s", describe(head), want)
}

// describe says what a file is that cannot be read.
func describe(head []byte) string {
	for _, known := range []struct{ start, what string }{
		{"\xff\xfe", "text in UTF-16"},
		{"\xfe\xff", "text in UTF-16"},
		{"\x1f\x8b", "compressed with gzip"},
		{"BZh", "compressed with bzip2"},
		{"\xfd7zXZ\x00", "compressed with xz"},
		{"\x28\xb5\x2f\xfd", "compressed with zstd"},
		{"version https://git-lfs", "a Git LFS pointer (git lfs pull fetches the file)"},
		{"# Created by Octave", "Octave's text format (save with -v7)"},
	} {
		if bytes.HasPrefix(head, []byte(known.start)) {
			return known.what
		}
	}
	kind, _, _ := strings.Cut(http.DetectContentType(head), ";")
	switch {
	case strings.HasPrefix(kind, "image/"):
		return "an image (" + kind + ")"
	case kind == "text/html":
		return "an HTML page"
	case kind == "text/plain":
		return "text of an unknown form"
	}
	return "unknown format"
}

// finish checks the boxes and sorts them by score.
func (img *Image) finish() error {
	fail := func(form string, args ...any) error {
		err := fmt.Errorf(form, args...)
		if img.Place != "" {
			return fmt.Errorf("%s: image %q: %w", img.Place, img.Name(), err)
		}
		return fmt.Errorf("image %q: %w", img.Name(), err)
	}
	if img.Width < 0 || img.Height < 0 || img.Width > maxCoordinate || img.Height > maxCoordinate {
		return fail("%d × %d pixels: want sides from 0 to %d", img.Width, img.Height, maxCoordinate)
	}
	if img.Orientation < 0 || img.Orientation > 8 {
		return fail("orientation %d: want 0 to 8", img.Orientation)
	}
	if len(img.Boxes) > maxBoxes {
		return fail("%d boxes: want at most %d", len(img.Boxes), maxBoxes)
	}
	for i, b := range img.Boxes {
		for _, v := range []float64{b.X0, b.Y0, b.X1, b.Y1} {
			if !(math.Abs(v) <= maxCoordinate) {
				return fail("box %d: coordinate %g: want a number of pixels, at most %d", i, v, maxCoordinate)
			}
		}
		if b.X1 < b.X0 || b.Y1 < b.Y0 {
			return fail("box %d: corners (%g, %g) and (%g, %g): want the upper left corner first", i, b.X0, b.Y0, b.X1, b.Y1)
		}
	}
	if img.scores == nil {
		return nil
	}
	if len(img.scores) != len(img.Boxes) {
		return fail("%d boxes and %d scores: want equal numbers, or no scores", len(img.Boxes), len(img.scores))
	}
	for i, s := range img.scores {
		if math.IsNaN(s) {
			return fail("box %d: score NaN: want a number", i)
		}
	}
	img.sort()
	return nil
}

// sort sorts the boxes by score, the best first. Boxes of equal scores keep their order.
func (img *Image) sort() {
	if slices.IsSortedFunc(img.scores, func(a, b float64) int { return cmp.Compare(b, a) }) {
		return
	}
	order := make([]int32, len(img.Boxes))
	for i := range order {
		order[i] = int32(i)
	}
	slices.SortStableFunc(order, func(i, j int32) int { return cmp.Compare(img.scores[j], img.scores[i]) })
	boxes, scores := make([]evaluate.Box, len(order)), make([]float64, len(order))
	for k, i := range order {
		boxes[k], scores[k] = img.Boxes[i], img.scores[i]
	}
	img.Boxes, img.scores = boxes, scores
}

// duration returns a time of a search in seconds.
func duration(s float64) (time.Duration, error) {
	if !(s >= 0 && s <= maxSeconds) {
		return 0, fmt.Errorf("search of %v seconds: want 0 to %.0f", s, maxSeconds)
	}
	return time.Duration(math.Round(s*1e6)) * time.Microsecond, nil
}

// groups collects the boxes of images whose boxes may be anywhere in the file.
type groups struct {
	images []*Image
	index  map[[2]string]*Image // by file and id
}

// image returns the image with a file name and an id, either of which may be empty. It copies them if
// they are new.
func (g *groups) image(file, id string) *Image {
	if img := g.index[[2]string{file, id}]; img != nil {
		return img
	}
	if g.index == nil {
		g.index = map[[2]string]*Image{}
	}
	img := &Image{File: strings.Clone(file), ID: strings.Clone(id)}
	g.index[[2]string{img.File, img.ID}] = img
	g.images = append(g.images, img)
	return img
}

// yieldAll yields the images in the order of their first boxes.
func (g *groups) yieldAll(yield func(*Image) error) error {
	for i, img := range g.images {
		g.images[i] = nil
		if err := yield(img); err != nil {
			return err
		}
	}
	return nil
}
