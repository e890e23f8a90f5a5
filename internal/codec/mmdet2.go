package codec

import "io"

// mmdet2Writer writes what MMDetection 2.x loads as a proposal file: a pickle of
//
//	[array, ...]
//
// an array a picture, of float32, of the shape (n, 5): x0 y0 x1 y1 score, the scores strictly decreasing.
// Pictures are known by their places, which have to be those of the data set. A picture with an
// error has no boxes.
//
// It holds one picture at a time. Coordinates are exact to 2^24.
type mmdet2Writer struct{ pickleWriter }

func newMMDet2(w io.Writer) Writer { return &mmdet2Writer{pickleWriter{w: w, head: pickleHead + "]"}} }

// Write writes a picture.
func (m *mmdet2Writer) Write(r *Row) error {
	return m.write(r, func(dst []byte, _ string) []byte {
		dst = appendPickledArray(dst, len(r.Boxes), 5)
		dst = appendRows(dst, r)
		return append(dst, pickledArrayEnd+"a"...)
	})
}
