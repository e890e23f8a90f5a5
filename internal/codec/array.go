package codec

import (
	"encoding/binary"
	"math"

	"github.com/proposer/proposer/internal/npy"
)

// AppendNPY appends the proposals of a row as a .npy file: a little-endian float32 array of shape
// (n, 5), one box per row,
//
//	x0 y0 x1 y1 score
//
// byte for byte as numpy.save does. Coordinates are exact up to 2^24. Rows are validated as by
// [Writer].
func AppendNPY(dst []byte, r *Row) ([]byte, error) {
	if err := r.validate(); err != nil {
		return dst, err
	}
	return appendRows(npy.AppendHeader(dst, "<f4", len(r.Boxes), 5), r), nil
}

// AppendBinary appends the proposals of a row in a simple little-endian format: width, height and
// number of boxes as uint32, then for each box
//
//	x0 y0 x1 y1 score
//
// as float32, 12 + 20·n bytes in total. Rows are validated as by [Writer].
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
