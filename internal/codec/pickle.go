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

// pickleHead begins a pickle of protocol 4, which Python 3.4 and later read, and puts in the memo what
// all its arrays are made of: numpy writes them so, too, and NumPy 1 and 2 both know that name.
// Nothing stays on the stack.
const pickleHead = "\x80\x04" +
	// 0 is the function, 1 its arguments: (numpy.ndarray, (0,), b"b")
	"cnumpy.core.multiarray\n_reconstruct\n" + "q\x000" +
	"cnumpy\nndarray\n" + "K\x00\x85" + "C\x01b" + "\x87q\x010" +
	// 2 is numpy.dtype("f4", False, True) in the state (3, "<", None, None, None, -1, -1, 0)
	"cnumpy\ndtype\n" + "\x8c\x02f4\x89\x88\x87R" +
	"(K\x03\x8c\x01<NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb" + "q\x020"

// pickleWriter writes a pickle in which each picture has an entry.
type pickleWriter struct {
	w    io.Writer
	head string // what comes before the first picture; empty when it is written
	buf  []byte

	key     func(r *Row) string // nil if pictures are known by their places
	written map[[16]byte]int    // by the keys' hashes, which are shorter than most keys
	count   int
}

// write writes a picture's opcodes, which entry appends.
func (p *pickleWriter) write(r *Row, entry func(dst []byte, key string) []byte) error {
	if err := r.validate(); err != nil {
		return err
	}
	for i := 1; i < len(r.Scores); i++ {
		if !(r.Scores[i-1] > r.Scores[i]) {
			return fmt.Errorf("export: %q: score %d is %v after %v: want each lower than the one before, for who reads pickles sorts by them",
				r.File, i, r.Scores[i], r.Scores[i-1])
		}
	}
	var key string
	var hash [16]byte
	if p.key != nil {
		key = p.key(r)
		sum := sha256.Sum256([]byte(key))
		hash = [16]byte(sum[:])
		if place, taken := p.written[hash]; taken {
			return fmt.Errorf("export: %q is %q in the file, and so is picture %d: want another name for each", r.File, key, place+1)
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

// Close ends the pickle.
func (p *pickleWriter) Close() error {
	p.buf = append(append(p.buf[:0], p.head...), '.')
	return p.flush()
}

func (p *pickleWriter) flush() error {
	p.head = ""
	_, err := p.w.Write(p.buf)
	return err
}

// appendPickledInt appends an int that is not negative.
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

// appendPickledID appends an int where id is one as str writes them, else a str.
func appendPickledID(dst []byte, id string) []byte {
	if n, err := strconv.ParseInt(id, 10, 64); err == nil && n >= 0 && strconv.FormatInt(n, 10) == id {
		return appendPickledInt(dst, n)
	}
	return appendPickledString(dst, id)
}

// appendPickledArray appends an array of float32 of the shape (n,) or, if there are columns,
// (n, columns), but for its n·max(columns, 1) numbers and pickledArrayEnd, which have to follow.
func appendPickledArray(dst []byte, n, columns int) []byte {
	dst = append(dst, "h\x00h\x01R"+"(K\x01"...)
	dst = appendPickledInt(dst, int64(n))
	if columns > 0 {
		dst = append(appendPickledInt(dst, int64(columns)), '\x86')
	} else {
		dst = append(dst, '\x85')
	}
	// Bytes with a length of 64 bits, the shortest arrays' too: one form is enough.
	dst = append(dst, "h\x02\x89\x8e"...)
	return binary.LittleEndian.AppendUint64(dst, uint64(n)*uint64(max(columns, 1))*4)
}

const pickledArrayEnd = "tb"

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
