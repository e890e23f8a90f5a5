package codec

import (
	"io"

	"github.com/proposer/proposer/internal/npy"
)

// npzWriter writes an archive of arrays for numpy.load, of P images with N boxes in total:
//
//	files    (P,)    str      Row.File
//	ids      (P,)    str      Row.ImageID
//	sizes    (P, 2)  int32    width and height, 0 if unknown
//	offsets  (P+1,)  int64    image i has boxes[offsets[i]:offsets[i+1]]
//	boxes    (N, 4)  int32    x0 y0 x1 y1
//	scores   (N,)    float32
//	errors   (P,)    str      '' if there is none
//
// It does not need allow_pickle. NumPy stores all strings of an array with the length of the longest,
// and drops trailing NULs; so that one string cannot inflate the file, strings are truncated to 4096
// characters. All rows are kept in memory until Close.
type npzWriter struct {
	w                  io.Writer
	files, ids, errors []string
	sizes, boxes       []int32
	offsets            []int64
	scores             []float32
}

// maxText is the maximum number of characters of a string; file systems have no longer paths.
const maxText = 4096

func newNPZ(w io.Writer) *npzWriter { return &npzWriter{w: w, offsets: []int64{0}} }

// Write keeps a row.
func (z *npzWriter) Write(r *Row) error {
	if err := r.validate(); err != nil {
		return err
	}
	z.files = append(z.files, truncate(r.File))
	z.ids = append(z.ids, truncate(r.ImageID()))
	z.errors = append(z.errors, truncate(r.Error))
	z.sizes = append(z.sizes, int32(r.Width), int32(r.Height))
	for _, b := range r.Boxes {
		z.boxes = append(z.boxes, b.X0, b.Y0, b.X1, b.Y1)
	}
	z.scores = append(z.scores, r.Scores...)
	z.offsets = append(z.offsets, int64(len(z.scores)))
	return nil
}

// truncate returns at most the first maxText characters of s.
func truncate(s string) string {
	n := 0
	for i := range s {
		if n == maxText {
			return s[:i]
		}
		n++
	}
	return s
}

// Close writes the archive.
func (z *npzWriter) Close() error {
	out := npy.NewWriter(z.w)
	images, boxes := len(z.files), len(z.scores)
	for _, write := range []func() error{
		func() error { return out.Strings("files", z.files) },
		func() error { return out.Strings("ids", z.ids) },
		func() error { return out.Int32s("sizes", []int{images, 2}, z.sizes) },
		func() error { return out.Int64s("offsets", nil, z.offsets) },
		func() error { return out.Int32s("boxes", []int{boxes, 4}, z.boxes) },
		func() error { return out.Float32s("scores", nil, z.scores) },
		func() error { return out.Strings("errors", z.errors) },
		out.Close,
	} {
		if err := write(); err != nil {
			return err
		}
	}
	return nil
}
