package codec

import "io"

// mmdet2Writer writes the proposal file that MMDetection 2.x loads: a pickle of
//
//	[array, ...]
//
// with one float32 array of shape (n, 5) per image: x0 y0 x1 y1 score, the scores strictly decreasing.
// Images are identified by their positions, which have to be those of the data set. An image with an
// error has no boxes.
//
// It keeps one image in memory.
type mmdet2Writer struct{ pickleWriter }

func newMMDet2(w io.Writer) Writer { return &mmdet2Writer{pickleWriter{w: w, head: pickleHead + "]"}} }

// Write writes a row.
func (m *mmdet2Writer) Write(r *Row) error {
	return m.write(r, func(dst []byte, _ string) []byte {
		dst = appendPickledArray(dst, len(r.Boxes), 5)
		dst = appendRows(dst, r)
		return append(dst, pickledArrayEnd+"a"...)
	})
}
