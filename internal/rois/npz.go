package rois

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"io"
	"math"

	"github.com/proposer/proposer/box"
	"github.com/proposer/proposer/internal/npy"
)

// ForImage returns the options for one image of a data set: o with a seed derived from o.Seed and
// the file name. Samples of different images are thus independent, and that of an image does not
// change if other images are added or removed. The derived seed is the first eight bytes,
// little-endian, of the SHA-256 hash of o.Seed as eight bytes, little-endian, followed by the file
// name.
func (o Options) ForImage(file string) Options {
	sum := sha256.Sum256(append(binary.LittleEndian.AppendUint64(nil, o.Seed), file...))
	o.Seed = binary.LittleEndian.Uint64(sum[:])
	return o
}

// Item is an image of a data set with its minibatch.
type Item struct {
	// File is the path of the image in its source, ID its id in the data set.
	File, ID string
	// Width and Height are the size of the upright image in pixels, 0 if unknown.
	Width, Height int
	// Minibatch is the result of [Sample] for GroundTruth; nil if there is an Error.
	Minibatch *Minibatch
	// GroundTruth has a class for each box, which is an index of the class names.
	GroundTruth GroundTruth
	// Error is the reason why there is no minibatch; empty if there is one.
	Error string
}

// check returns an error if the parts of the item are inconsistent.
func (it *Item) check(classes int) error {
	t, m := &it.GroundTruth, it.Minibatch
	invalid := func(format string, args ...any) error {
		return fmt.Errorf("rois: %q: %w", it.File, fmt.Errorf(format, args...))
	}
	n := len(t.Boxes)
	switch {
	case (m == nil) != (it.Error != ""):
		return invalid("minibatch present: %v, error %q: want either a minibatch or an error", m != nil, it.Error)
	case min(it.Width, it.Height) < 0 || max(it.Width, it.Height) > math.MaxInt32:
		return invalid("%d × %d pixels: want sides from 0 to %d", it.Width, it.Height, math.MaxInt32)
	case len(t.Classes) != n:
		return invalid("%d classes for %d ground-truth boxes: want equal numbers", len(t.Classes), n)
	case t.Crowd != nil && len(t.Crowd) != n:
		return invalid("%d crowd flags for %d ground-truth boxes: want equal numbers, or nil", len(t.Crowd), n)
	}
	for _, c := range t.Classes {
		if c < 0 || c >= classes {
			return invalid("class %d: want 0 to %d (%d class names)", c, classes-1, classes)
		}
	}
	if m == nil {
		return nil
	}
	for _, i := range m.Matches {
		if i >= n {
			return invalid("match with ground-truth box %d of %d: want the ground truth of the minibatch", i, n)
		}
	}
	return nil
}

// NPZ writes the minibatches of images as one archive for numpy.load. For P images with N RoIs and
// T ground-truth boxes the archive contains, in this order,
//
//	files          (P,)    unicode  file names, in the order of the calls of Write
//	ids            (P,)    unicode  ids of the data set; empty if it has none
//	errors         (P,)    unicode  why the image has no RoIs; empty if there is no error
//	sizes          (P, 2)  int32    width, height
//	offsets        (P+1,)  int64    image i has the RoIs offsets[i]:offsets[i+1]
//	rois           (N, 4)  int32    x0 y0 x1 y1, half-open; foreground, then background
//	labels         (N,)    int64    1 foreground, 0 background
//	classes        (N,)    int64    index of class_names; C, their number, for background
//	truth          (N,)    int64    index of the image's ground-truth boxes; -1 for background
//	ious           (N,)    float32  highest IoU with a ground-truth box that is not a crowd
//	deltas         (N, 4)  float32  dx dy dw dh to the ground-truth box; 0 for background
//	class_names    (C,)    unicode  names of the classes
//	truth_offsets  (P+1,)  int64    image i has the ground-truth boxes truth_offsets[i]:truth_offsets[i+1]
//	truth_boxes    (T, 4)  int32    x0 y0 x1 y1, half-open
//	truth_classes  (T,)    int64    index of class_names
//	truth_crowd    (T,)    bool     whether the box is a crowd
//
// Labels and classes are targets of a cross entropy, which has C+1 classes. As in Detectron2 and
// MMDetection, the last of them is background. In torchvision it is the first: (classes + 1) % (C + 1).
//
// Equal items give equal bytes. As usual in NumPy, all texts of an array have the length of the
// longest, and trailing NULs are lost; bytes that are not valid UTF-8 become U+FFFD. An IoU may be
// rounded to the other side of a threshold; the label is that of the unrounded value.
//
// Close writes the file. Until then the NPZ keeps about 60 bytes per RoI in memory, so use several
// files for more than a few hundred images. An NPZ is not safe for concurrent use.
type NPZ struct {
	w          io.Writer
	classNames []string

	files, ids, errors    []string
	sizes                 []int32
	offsets, truthOffsets []int64

	rois                   []int32
	labels, classes, truth []int64
	ious, deltas           []float32

	truthBoxes   []int32
	truthClasses []int64
	truthCrowd   []bool
}

// NewNPZ returns an NPZ that writes to w. Use the same class names for all files of a data set, see
// [Classes].
func NewNPZ(w io.Writer, classNames []string) *NPZ {
	return &NPZ{w: w, classNames: classNames, offsets: []int64{0}, truthOffsets: []int64{0}}
}

// Write adds an image. It returns an error, and adds nothing, if the item has both a minibatch and
// an error or neither, if its ground truth is not that of the minibatch, or if a box has no class
// or a class without a name.
func (z *NPZ) Write(item Item) error {
	if err := item.check(len(z.classNames)); err != nil {
		return err
	}

	z.files = append(z.files, item.File)
	z.ids = append(z.ids, item.ID)
	z.errors = append(z.errors, item.Error)
	z.sizes = append(z.sizes, int32(item.Width), int32(item.Height))

	t := &item.GroundTruth
	z.truthBoxes = appendCorners(z.truthBoxes, t.Boxes)
	for i, c := range t.Classes {
		z.truthClasses = append(z.truthClasses, int64(c))
		z.truthCrowd = append(z.truthCrowd, t.Crowd != nil && t.Crowd[i])
	}
	z.truthOffsets = append(z.truthOffsets, int64(len(z.truthClasses)))

	if m := item.Minibatch; m != nil {
		z.rois = appendCorners(z.rois, m.Boxes)
		for k, i := range m.Matches {
			class := len(z.classNames)
			var delta Delta
			if i >= 0 {
				class = t.Classes[i]
				delta = *m.Deltas[k]
			}
			z.labels = append(z.labels, int64(m.Labels[k]))
			z.classes = append(z.classes, int64(class))
			z.truth = append(z.truth, int64(i))
			z.ious = append(z.ious, float32(m.IoUs[k]))
			for _, v := range delta {
				z.deltas = append(z.deltas, float32(v))
			}
		}
	}
	z.offsets = append(z.offsets, int64(len(z.truth)))
	return nil
}

func appendCorners(dst []int32, boxes []box.Box) []int32 {
	for _, b := range boxes {
		dst = append(dst, b.X0, b.Y0, b.X1, b.Y1)
	}
	return dst
}

// Close writes the file. It does not close the underlying writer.
func (z *NPZ) Close() error {
	images, n, objects := len(z.files), len(z.truth), len(z.truthClasses)
	a := npy.NewWriter(z.w)
	for _, write := range []func() error{
		func() error { return a.Strings("files", z.files) },
		func() error { return a.Strings("ids", z.ids) },
		func() error { return a.Strings("errors", z.errors) },
		func() error { return a.Int32s("sizes", []int{images, 2}, z.sizes) },
		func() error { return a.Int64s("offsets", nil, z.offsets) },
		func() error { return a.Int32s("rois", []int{n, 4}, z.rois) },
		func() error { return a.Int64s("labels", nil, z.labels) },
		func() error { return a.Int64s("classes", nil, z.classes) },
		func() error { return a.Int64s("truth", nil, z.truth) },
		func() error { return a.Float32s("ious", nil, z.ious) },
		func() error { return a.Float32s("deltas", []int{n, 4}, z.deltas) },
		func() error { return a.Strings("class_names", z.classNames) },
		func() error { return a.Int64s("truth_offsets", nil, z.truthOffsets) },
		func() error { return a.Int32s("truth_boxes", []int{objects, 4}, z.truthBoxes) },
		func() error { return a.Int64s("truth_classes", nil, z.truthClasses) },
		func() error { return a.Bools("truth_crowd", nil, z.truthCrowd) },
		a.Close,
	} {
		if err := write(); err != nil {
			return err
		}
	}
	return nil
}
