package codec

import (
	"encoding/binary"
	"math"

	"github.com/proposer/proposer/internal/npy"
)

// AppendNPY appends a picture's proposals as a file of NumPy: a matrix of float32,
// little-endian, a row a box,
//
//	x0 y0 x1 y1 score
//
// byte for byte as numpy.save does. Coordinates are exact to 2^24. It refuses what [Writer] does.
func AppendNPY(dst []byte, r *Row) ([]byte, error) {
	if err := r.validate(); err != nil {
		return dst, err
	}
	return appendRows(npy.AppendHeader(dst, "<f4", len(r.Boxes), 5), r), nil
}

// AppendBinary appends a picture's proposals in the plainest form, little-endian: its width,
// its height and the number of boxes as uint32, then of each box
//
//	x0 y0 x1 y1 score
//
// as float32, 12 + 20·n bytes in all. It refuses what [Writer] does.
func AppendBinary(dst []byte, r *Row) ([]byte, error) {
	if err := r.validate(); err != nil {
		return dst, err
	}
	for _, v := range []int{r.Width, r.Height, len(r.Boxes)} {
		dst = binary.LittleEndian.AppendUint32(dst, uint32(v))
	}
	return appendRows(dst, r), nil
}

func appendRows(dst []byte, r *Row) []byte {
	for i, b := range r.Boxes {
		for _, v := range []float32{float32(b.X0), float32(b.Y0), float32(b.X1), float32(b.Y1), r.Scores[i]} {
			dst = binary.LittleEndian.AppendUint32(dst, math.Float32bits(v))
		}
	}
	return dst
}
