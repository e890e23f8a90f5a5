package codec

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"strconv"

	"github.com/proposer/proposer/box"
)

// pickleHead begins a pickle of protocol 4 (Python 3.4), and stores the constituents of all arrays in
// the memo, under names that both NumPy 1 and 2 know. It leaves the stack empty.
const pickleHead = "\x80\x04" +
	// 0 is the function, 1 its arguments: (numpy.ndarray, (0,), b"b")
	"cnumpy.core.multiarray\n_reconstruct\n" + "q\x000" +
	"cnumpy\nndarray\n" + "K\x00\x85" + "C\x01b" + "\x87q\x010" +
	// 2 is numpy.dtype("f4", False, True) in the state (3, "<", None, None, None, -1, -1, 0)
	"cnumpy\ndtype\n" + "\x8c\x02f4\x89\x88\x87R" +
	"(K\x03\x8c\x01<NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb" + "q\x020"

// pickleWriter writes a pickle with one entry per image.
type pickleWriter struct {
	w    io.Writer
	head string // precedes the first image; empty once it is written
	buf  []byte

	key     func(r *Row) string // nil if images are identified by position
	written map[[16]byte]int    // position by hash of the key
	count   int
}

// write writes the opcodes of a row, which entry appends.
func (p *pickleWriter) write(r *Row, entry func(dst []byte, key string) []byte) error {
	if err := r.validateRanked(); err != nil {
		return err
	}
	var key string
	var hash [16]byte
	if p.key != nil {
		key = p.key(r)
		sum := sha256.Sum256([]byte(key))
		hash = [16]byte(sum[:])
		if position, taken := p.written[hash]; taken {
			return fmt.Errorf("codec: %q has the name %q in the file, like image %d: want distinct names", r.File, key, position+1)
		}
	}
	p.buf = entry(append(p.buf[:0], p.head...), key)
	if err := p.flush(); err != nil {
		return err
	}
	if p.key != nil {
		if p.written == nil {
			p.written = map[[16]byte]int{}
		}
		p.written[hash] = p.count
	}
	p.count++
	return nil
}

// validateRanked is validateFloats for formats whose readers sort by score.
func (r *Row) validateRanked() error {
	if err := r.validateFloats(); err != nil {
		return err
	}
	for i := 1; i < len(r.Scores); i++ {
		if !(r.Scores[i-1] > r.Scores[i]) {
			return fmt.Errorf("codec: %q: score %d is %v after %v: want strictly decreasing scores, because readers sort by them",
				r.File, i, r.Scores[i], r.Scores[i-1])
		}
	}
	return nil
}

// Close completes the pickle.
func (p *pickleWriter) Close() error {
	p.buf = append(append(p.buf[:0], p.head...), '.')
	return p.flush()
}

func (p *pickleWriter) flush() error {
	p.head = ""
	_, err := p.w.Write(p.buf)
	return err
}

// appendPickledInt appends a nonnegative int.
func appendPickledInt(dst []byte, n int64) []byte {
	switch {
	case n <= math.MaxUint8:
		return append(dst, 'K', byte(n))
	case n <= math.MaxInt32:
		return binary.LittleEndian.AppendUint32(append(dst, 'J'), uint32(n))
	default:
		return binary.LittleEndian.AppendUint64(append(dst, "\x8a\x08"...), uint64(n))
	}
}

// appendPickledString appends a str.
func appendPickledString(dst []byte, s string) []byte {
	if len(s) <= math.MaxUint8 {
		dst = append(dst, '\x8c', byte(len(s)))
	} else {
		dst = binary.LittleEndian.AppendUint64(append(dst, '\x8d'), uint64(len(s)))
	}
	return append(dst, s...)
}

// appendPickledID appends an int if id is one in canonical form, else a str.
func appendPickledID(dst []byte, id string) []byte {
	if n, err := strconv.ParseInt(id, 10, 64); err == nil && n >= 0 && strconv.FormatInt(n, 10) == id {
		return appendPickledInt(dst, n)
	}
	return appendPickledString(dst, id)
}

// appendPickledArray appends the beginning of a float32 array of shape (n,) or, if columns > 0,
// (n, columns). Its n·max(columns, 1) numbers and pickledArrayEnd have to follow.
func appendPickledArray(dst []byte, n, columns int) []byte {
	dst = appendPickledShape(dst, n, columns)
	// Always bytes with a 64-bit length, for simplicity.
	dst = append(dst, "h\x02\x89\x8e"...)
	return binary.LittleEndian.AppendUint64(dst, uint64(n)*uint64(max(columns, 1))*4)
}

const pickledArrayEnd = "tb"

// appendPickledShape appends an array, and the beginning of its state: version and shape.
func appendPickledShape(dst []byte, n, columns int) []byte {
	dst = append(dst, "h\x00h\x01R"+"(K\x01"...)
	dst = appendPickledInt(dst, int64(n))
	if columns > 0 {
		return append(appendPickledInt(dst, int64(columns)), '\x86')
	}
	return append(dst, '\x85')
}

func appendPickledBoxes(dst []byte, boxes []box.Box) []byte {
	dst = appendPickledArray(dst, len(boxes), 4)
	for _, b := range boxes {
		dst = appendFloat(dst, float32(b.X0))
		dst = appendFloat(dst, float32(b.Y0))
		dst = appendFloat(dst, float32(b.X1))
		dst = appendFloat(dst, float32(b.Y1))
	}
	return append(dst, pickledArrayEnd...)
}

func appendPickledScores(dst []byte, scores []float32) []byte {
	dst = appendPickledArray(dst, len(scores), 0)
	for _, s := range scores {
		dst = appendFloat(dst, s)
	}
	return append(dst, pickledArrayEnd...)
}

func appendFloat(dst []byte, f float32) []byte {
	return binary.LittleEndian.AppendUint32(dst, math.Float32bits(f))
}
