package codec

import (
	"bytes"
	"encoding/binary"
	"math"
	"testing"

	"github.com/proposer/proposer/box"
)

func TestAppendNPYAndBinary(t *testing.T) {
	row := &Row{Width: 640, Height: 480, Boxes: []box.Box{{X0: 1, Y0: 2, X1: 640, Y1: 480}, {X0: 3, Y0: 4, X1: 16777215, Y1: 6}}, Scores: []float32{.75, .5}}
	floats := []float32{1, 2, 640, 480, .75, 3, 4, 16777215, 6, .5}
	want, err := binary.Append(nil, binary.LittleEndian, floats)
	if err != nil {
		t.Fatal(err)
	}

	b, err := AppendBinary([]byte("x"), row)
	if err != nil || !bytes.Equal(b, append([]byte("x\x80\x02\x00\x00\xe0\x01\x00\x00\x02\x00\x00\x00"), want...)) {
		t.Errorf("%v %q", err, b)
	}
	// As numpy.save writes it.
	header := "\x93NUMPY\x01\x00v\x00{'descr': '<f4', 'fortran_order': False, 'shape': (2, 5), }                                                          \n"
	b, err = AppendNPY(nil, row)
	if err != nil || len(header) != 128 || !bytes.Equal(b, append([]byte(header), want...)) {
		t.Errorf("%v %q", err, b)
	}
	for _, n := range []int{0, 9, 10, 99, 100, 999, 1000, 12345, 123456} { // wherever the header ends
		many := &Row{Boxes: make([]box.Box, n), Scores: make([]float32, n)}
		b, err := AppendNPY(nil, many)
		size := int(binary.LittleEndian.Uint16(b[8:]))
		if err != nil || (size+10)%64 != 0 || b[size+9] != '\n' || len(b) != 10+size+20*n {
			t.Fatalf("%d boxes: %v, a header of %d bytes", n, err, size)
		}
	}
	for _, bad := range []*Row{{Boxes: make([]box.Box, 1)}, {Boxes: []box.Box{{X1: 1<<24 + 1}}, Scores: []float32{1}}, {Boxes: make([]box.Box, 1), Scores: []float32{float32(math.NaN())}}} {
		if b, err := AppendNPY(nil, bad); err == nil || len(b) > 0 {
			t.Errorf("%+v is taken", bad)
		}
		if b, err := AppendBinary(nil, bad); err == nil || len(b) > 0 {
			t.Errorf("%+v is taken", bad)
		}
	}
}
