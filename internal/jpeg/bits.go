package jpeg

import "encoding/binary"

// A bitReader reads markers, segments, and the bits of coded data.
type bitReader struct {
	data []byte
	pos  int    // of the next byte
	acc  uint64 // the low count bits are those that are read but not used
	n    uint
	pad  uint // bits of zero that follow those of the file
}

// nextMarker skips to the next marker, which begins at or after pos.
func (r *bitReader) nextMarker() (byte, error) {
	for i := r.pos; i+1 < len(r.data); i++ {
		if m := r.data[i+1]; r.data[i] == 0xff && m != 0 && m != 0xff {
			r.pos = i + 2
			return m, nil
		}
	}
	return 0, FormatError("ends early: no end marker")
}

// segment returns the body of a segment, after its marker.
func (r *bitReader) segment() ([]byte, error) {
	rest := r.data[r.pos:]
	if len(rest) < 2 {
		return nil, FormatError("ends early")
	}
	size := int(binary.BigEndian.Uint16(rest))
	if size < 2 || size > len(rest) {
		return nil, FormatError("segment of a wrong size")
	}
	r.pos += size
	return rest[2:size], nil
}

// reset begins with the bits at pos.
func (r *bitReader) reset() { r.acc, r.n, r.pad = 0, 0, 0 }

// exhausted reports whether more bits were used than there are before a marker.
func (r *bitReader) exhausted() bool { return r.n < r.pad }

// fill makes at least 48 bits available. Before a marker they are zeros.
func (r *bitReader) fill() {
	if r.pos+8 <= len(r.data) {
		v := binary.BigEndian.Uint64(r.data[r.pos:])
		const low, high = 0x0101010101010101, 0x8080808080808080
		if (^v-low)&v&high == 0 { // no byte is 0xff
			k := (63 - r.n) / 8
			r.acc = r.acc<<(8*k) | v>>(64-8*k)
			r.n += 8 * k
			r.pos += int(k)
			return
		}
	}
	for r.n <= 48 {
		var b byte
		switch {
		case r.pos < len(r.data) && r.data[r.pos] != 0xff:
			b = r.data[r.pos]
			r.pos++
		case r.pos+1 < len(r.data) && r.data[r.pos+1] == 0:
			b = 0xff
			r.pos += 2
		default:
			r.pad += 8
		}
		r.acc = r.acc<<8 | uint64(b)
		r.n += 8
	}
}

// take returns the next count bits, up to 16.
func (r *bitReader) take(count uint) int32 {
	if r.n < count {
		r.fill()
	}
	r.n -= count
	return int32(r.acc>>r.n) & (1<<count - 1)
}

// extended returns a number of count bits with a sign, up to 16 (F.2.2.1).
func (r *bitReader) extended(count uint) int32 {
	v := r.take(count)
	if count > 0 && v < 1<<(count-1) {
		v += 1 - 1<<count
	}
	return v
}

const lookupBits = 9

// A huffman is a table of codes.
type huffman struct {
	lookup  [1 << lookupBits]uint16 // by the next bits: the value, and the size of its code << 8; 0: a longer code
	values  []uint8
	maxCode [17]int32 // the largest code of each size, -1 if none
	offset  [17]int32 // the index of its value less the code
}

// newHuffman returns the table of codes with these numbers of sizes 1 to 16.
func newHuffman(counts [16]uint8, values []uint8) (*huffman, bool) {
	h := &huffman{values: append([]uint8(nil), values...)}
	code, k := int32(0), int32(0)
	for i, count := range counts {
		size := i + 1
		h.offset[size] = k - code
		h.maxCode[size] = -1
		for range count {
			if code >= 1<<size {
				return nil, false
			}
			if size <= lookupBits {
				entry := uint16(size)<<8 | uint16(values[k])
				first := code << (lookupBits - size)
				for j := range int32(1) << (lookupBits - size) {
					h.lookup[first+j] = entry
				}
			}
			h.maxCode[size] = code
			code++
			k++
		}
		code <<= 1
	}
	return h, true
}

// next returns the next value, and false if there is no such code.
func (r *bitReader) next(h *huffman) (uint8, bool) {
	if r.n < 16 {
		r.fill()
	}
	if e := h.lookup[r.acc>>(r.n-lookupBits)&(1<<lookupBits-1)]; e != 0 {
		r.n -= uint(e >> 8)
		return uint8(e), true
	}
	for size := uint(lookupBits + 1); size <= 16; size++ {
		code := int32(r.acc>>(r.n-size)) & (1<<size - 1)
		if code <= h.maxCode[size] {
			r.n -= size
			return h.values[code+h.offset[size]], true
		}
	}
	return 0, false
}
