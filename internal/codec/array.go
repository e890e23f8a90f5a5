package codec

import (
	"encoding/binary"
	"fmt"
	"math"

	"github.com/proposer/proposer/internal/npy"
)

// AppendNPY appends the proposals of a row as a .npy file: a little-endian float32 array of shape
// (n, 5), one box per row,
//
//	x0 y0 x1 y1 score
//
// byte for byte as numpy.save does. Rows are validated as by [Writer], and coordinates above 2^24 are
// errors, because they would be rounded.
func AppendNPY(dst []byte, r *Row) ([]byte, error) {
	if err := r.validateFloats(); err != nil {
		return dst, err
	}
	return appendRows(npy.AppendHeader(dst, "<f4", len(r.Boxes), 5), r), nil
}

// AppendBinary appends the proposals of a row in a simple little-endian format: width, height and
// number of boxes as uint32, then for each box
//
//	x0 y0 x1 y1 score
//
// as float32, 12 + 20·n bytes in total. Rows are validated as by [AppendNPY].
func AppendBinary(dst []byte, r *Row) ([]byte, error) {
	if err := r.validateFloats(); err != nil {
		return dst, err
	}
	for _, v := range []int{r.Width, r.Height, len(r.Boxes)} {
		dst = binary.LittleEndian.AppendUint32(dst, uint32(v))
	}
	return appendRows(dst, r), nil
}

// validateFloats is validate for formats with coordinates of type float32.
func (r *Row) validateFloats() error {
	if err := r.validate(); err != nil {
		return err
	}
	return checkFloats(r)
}

// checkFloats returns an error if a coordinate is too large to be a float32 without rounding.
func checkFloats(r *Row) error {
	const limit = 1 << 24
	for i, b := range r.Boxes {
		if max(b.X0, b.Y0, b.X1, b.Y1) > limit || min(b.X0, b.Y0, b.X1, b.Y1) < -limit {
			return fmt.Errorf("codec: %q: box %d is %v: want coordinates up to %d, which a float32 represents exactly, or a format with integers", r.File, i, b, limit)
		}
	}
	return nil
}

func appendRows(dst []byte, r *Row) []byte {
	for i, b := range r.Boxes {
		for _, v := range []float32{float32(b.X0), float32(b.Y0), float32(b.X1), float32(b.Y1), r.Scores[i]} {
			dst = binary.LittleEndian.AppendUint32(dst, math.Float32bits(v))
		}
	}
	return dst
}
