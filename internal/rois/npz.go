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

// ForImage are the options for one picture of many: o with a seed that is mixed with the picture's
// file, the first eight bytes, little-endian, of SHA-256 of the seed's eight, little-endian, and
// the file's name. So the draws of two pictures have nothing to do with one another, and that of
// one stays when others come or go. [Sample] itself takes the seed as it is, as who has one
// picture wants it.
func (o Options) ForImage(file string) Options {
	sum := sha256.Sum256(append(binary.LittleEndian.AppendUint64(nil, o.Seed), file...))
	o.Seed = binary.LittleEndian.Uint64(sum[:])
	return o
}

// Item is a picture with what was drawn from it.
type Item struct {
	// File is the picture's path in its source; ID what the data set calls it.
	File, ID string
	// Width and Height are the upright picture's, in pixels, 0 if they are not known.
	Width, Height int
	// Minibatch is what [Sample] drew, with Truth; nil if there is an Error.
	Minibatch *Minibatch
	// Truth has a class for each box, a place in the names of the classes.
	GroundTruth GroundTruth
	// Error is why there is no minibatch; empty if there is one.
	Error string
}

// check holds lists to one another which the file would mix up.
func (it *Item) check(classes int) error {
	t, m := &it.GroundTruth, it.Minibatch
	wrong := func(format string, args ...any) error {
		return fmt.Errorf("rois: %q: %w", it.File, fmt.Errorf(format, args...))
	}
	n := len(t.Boxes)
	switch {
	case (m == nil) != (it.Error != ""):
		return wrong("a minibatch: %v, an error: %q: want one of them", m != nil, it.Error)
	case min(it.Width, it.Height) < 0 || max(it.Width, it.Height) > math.MaxInt32:
		return wrong("%d × %d pixels: want sides from 0 to %d", it.Width, it.Height, math.MaxInt32)
	case len(t.Classes) != n:
		return wrong("%d classes of %d true boxes: want as many", len(t.Classes), n)
	case t.Crowd != nil && len(t.Crowd) != n:
		return wrong("%d crowd flags of %d true boxes: want as many, or nil", len(t.Crowd), n)
	}
	for _, c := range t.Classes {
		if c < 0 || c >= classes {
			return wrong("class %d: want 0 to %d, as there are %d names", c, classes-1, classes)
		}
	}
	if m == nil {
		return nil
	}
	for _, i := range m.Matches {
		if i >= n {
			return wrong("a RoI of true box %d: want the truth that the minibatch was drawn with, which has %d", i, n)
		}
	}
	return nil
}

// NPZ writes minibatches of many pictures as one archive for numpy.load. Of P pictures with N
// RoIs and T true boxes it holds
//
//	files          (P,)    unicode  in the order of the calls
//	ids            (P,)    unicode  the data set's; empty if it has none
//	errors         (P,)    unicode  why a picture has no RoIs; empty if it may have
//	sizes          (P, 2)  int32    width, height
//	offsets        (P+1,)  int64    picture i has the RoIs offsets[i] to offsets[i+1]
//	rois           (N, 4)  int32    x0 y0 x1 y1, half-open; foreground, then background
//	labels         (N,)    int8     1 foreground, 0 background
//	classes        (N,)    int32    a place in class_names; -1 background
//	truth          (N,)    int32    a place in the picture's own true boxes; -1 background
//	ious           (N,)    float32  the largest with a true box that is no crowd
//	deltas         (N, 4)  float32  dx dy dw dh to the true box; 0 for background
//	class_names    (C,)    unicode  as they were given
//	truth_offsets  (P+1,)  int64    picture i has the true boxes truth_offsets[i] to truth_offsets[i+1]
//	truth_boxes    (T, 4)  int32    x0 y0 x1 y1, half-open
//	truth_classes  (T,)    int32    a place in class_names
//	truth_crowd    (T,)    bool     a region of objects that nobody drew apart
//
// in this order. Equal items are equal bytes. Texts are as in NumPy, all in the length of the
// longest, without NULs at their end; a byte of them that is not valid UTF-8 is U+FFFD. An IoU
// may be rounded to the float32 on the other side of a threshold: the label is what counts.
//
// It is written by Close, until when the pictures are kept, in some 50 bytes a RoI: who has
// more of them than some hundred makes several files. It is not safe for concurrent use.
type NPZ struct {
	w          io.Writer
	classNames []string

	files, ids, errors    []string
	sizes                 []int32
	offsets, truthOffsets []int64

	rois           []int32
	labels         []int8
	classes, truth []int32
	ious, deltas   []float32

	truthBoxes, truthClasses []int32
	truthCrowd               []bool
}

// NewNPZ returns a writer to w. The names of the classes are the same for all files of a data
// set, see [Classes].
func NewNPZ(w io.Writer, classNames []string) *NPZ {
	return &NPZ{w: w, classNames: classNames, offsets: []int64{0}, truthOffsets: []int64{0}}
}

// Write takes a picture in. It refuses an item that has both a minibatch and an error, or
// neither, or whose truth is not that of the minibatch or has no class for a box or one
// without a name; then nothing of it is kept.
func (z *NPZ) Write(item Item) error {
	if err := item.check(len(z.classNames)); err != nil {
		return err
	}
	z.files, z.ids, z.errors = append(z.files, item.File), append(z.ids, item.ID), append(z.errors, item.Error)
	z.sizes = append(z.sizes, int32(item.Width), int32(item.Height))

	t := &item.GroundTruth
	z.truthBoxes = appendCorners(z.truthBoxes, t.Boxes)
	for i, c := range t.Classes {
		z.truthClasses = append(z.truthClasses, int32(c))
		z.truthCrowd = append(z.truthCrowd, t.Crowd != nil && t.Crowd[i])
	}
	z.truthOffsets = append(z.truthOffsets, int64(len(z.truthClasses)))

	if m := item.Minibatch; m != nil {
		z.rois = appendCorners(z.rois, m.Boxes)
		for k, i := range m.Matches {
			class, delta := -1, Delta{}
			if i >= 0 {
				class, delta = t.Classes[i], *m.Deltas[k]
			}
			z.labels = append(z.labels, int8(m.Labels[k]))
			z.classes, z.truth = append(z.classes, int32(class)), append(z.truth, int32(i))
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

// Close writes the file. It does not close the writer below.
func (z *NPZ) Close() error {
	pictures, n, truths := len(z.files), len(z.truth), len(z.truthClasses)
	a := npy.NewWriter(z.w)
	for _, write := range []func() error{
		func() error { return a.Strings("files", z.files) },
		func() error { return a.Strings("ids", z.ids) },
		func() error { return a.Strings("errors", z.errors) },
		func() error { return a.Int32s("sizes", []int{pictures, 2}, z.sizes) },
		func() error { return a.Int64s("offsets", nil, z.offsets) },
		func() error { return a.Int32s("rois", []int{n, 4}, z.rois) },
		func() error { return a.Int8s("labels", nil, z.labels) },
		func() error { return a.Int32s("classes", nil, z.classes) },
		func() error { return a.Int32s("truth", nil, z.truth) },
		func() error { return a.Float32s("ious", nil, z.ious) },
		func() error { return a.Float32s("deltas", []int{n, 4}, z.deltas) },
		func() error { return a.Strings("class_names", z.classNames) },
		func() error { return a.Int64s("truth_offsets", nil, z.truthOffsets) },
		func() error { return a.Int32s("truth_boxes", []int{truths, 4}, z.truthBoxes) },
		func() error { return a.Int32s("truth_classes", nil, z.truthClasses) },
		func() error { return a.Bools("truth_crowd", nil, z.truthCrowd) },
		a.Close,
	} {
		if err := write(); err != nil {
			return err
		}
	}
	return nil
}
