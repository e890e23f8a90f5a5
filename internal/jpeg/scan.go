package jpeg

import (
	"math/bits"
	"slices"
)

// A scanChannel is a component of a scan.
type scanChannel struct {
	*component
	dc, ac *huffman
	last   int32 // DC coefficient
}

// A scan is the parameters of a scan (B.2.3).
type scan struct {
	*decoder
	channels   []scanChannel
	start, end int  // of the coefficients in zigzag order, both included
	high, low  uint // successive approximation: the previous bit position (0: none), and this one
	blocksLeft int32
	checked    [64]int16 // the block that is read in a check
}

// readScan reads the header of a scan and its coded data.
func (d *decoder) readScan(body []byte) error {
	if d.comps == nil {
		return FormatError("pixels before the frame header")
	}
	if len(body) < 1 || body[0] == 0 || int(body[0]) > len(d.comps) || len(body) != 4+2*int(body[0]) {
		return FormatError("scan header of a wrong size")
	}
	s := &scan{decoder: d}
	tail := body[1+2*int(body[0]):]
	s.start, s.end, s.high, s.low = int(tail[0]), int(tail[1]), uint(tail[2]>>4), uint(tail[2]&15)
	if !d.progressive {
		s.start, s.end, s.high, s.low = 0, 63, 0, 0
	}
	if s.start > s.end || s.end > 63 || s.low > 13 || s.high != 0 && s.high != s.low+1 ||
		d.progressive && (s.start == 0) != (s.end == 0) || s.start > 0 && body[0] != 1 {
		return FormatError("scan header with a wrong range")
	}
	blocks := 0
	for i := range int(body[0]) {
		c := s.component(body[1+2*i])
		if c == nil {
			return FormatError("scan of an unknown channel, or of one twice")
		}
		dc, ac := body[2+2*i]>>4, body[2+2*i]&15
		if dc > 3 || ac > 3 {
			return FormatError("scan with a wrong Huffman table")
		}
		if !d.progressive && (d.huff[0][dc] == nil || d.huff[1][ac] == nil) {
			d.useStandardTables()
		}
		channel := scanChannel{component: c, dc: d.huff[0][dc], ac: d.huff[1][ac]}
		if s.start == 0 && s.high == 0 && channel.dc == nil || s.end > 0 && channel.ac == nil {
			return FormatError("scan without its Huffman table")
		}
		s.channels = append(s.channels, channel)
		blocks += c.h * c.v
	}
	if len(s.channels) > 1 && blocks > 10 {
		return FormatError("scan with more than 10 blocks in a unit")
	}
	for _, c := range s.channels {
		if err := d.begin(c.component, s.start == 0); err != nil {
			return err
		}
	}
	if !d.anyScan {
		d.anyScan = true
		d.color = d.colorSpace() // later markers do not change it
	}
	return s.decode()
}

// component returns the first component with a number that the scan does not have yet: in some files several have
// the same.
func (s *scan) component(id uint8) *component {
	for i := range s.comps {
		c := &s.comps[i]
		if c.id == id && !slices.ContainsFunc(s.channels, func(other scanChannel) bool { return other.component == c }) {
			return c
		}
	}
	return nil
}

// begin prepares a component for a scan. Its memory is allocated for its first one.
func (d *decoder) begin(c *component, dc bool) error {
	if !c.scanned {
		if !dc {
			return FormatError("a scan of details before one of levels")
		}
		if d.quant[c.table] == nil {
			return FormatError("no quantization table")
		}
		c.quant = *d.quant[c.table]
		c.scanned = true
		switch {
		case d.check && d.progressive:
			c.set = make([]uint64, c.stride*c.rows)
		case d.check:
		case d.progressive:
			c.coefficients = make([]int16, 64*c.stride*c.rows)
		default:
			c.pix = make([]uint8, 64*c.stride*c.rows)
		}
	}
	return nil
}

// decode reads the coded data.
func (s *scan) decode() error {
	s.bits.reset()
	columns, rows := s.mcusX, s.mcusY
	interleaved := len(s.channels) > 1
	if !interleaved {
		columns, rows = s.channels[0].width, s.channels[0].height
	}
	block, restart := s.blockFunc(), byte(0)
	left := s.interval
	for y := range rows {
		for x := range columns {
			if s.interval > 0 {
				if left == 0 {
					if err := s.restart(restart); err != nil {
						return err
					}
					restart = (restart + 1) & 7
					left = s.interval
				}
				left--
			}
			if !interleaved {
				if err := block(&s.channels[0], x, y); err != nil {
					return err
				}
				continue
			}
			for i := range s.channels {
				c := &s.channels[i]
				for v := range c.v {
					for h := range c.h {
						if err := block(c, x*c.h+h, y*c.v+v); err != nil {
							return err
						}
					}
				}
			}
		}
	}
	return nil
}

// restart begins an interval, after its marker.
func (s *scan) restart(number byte) error {
	s.bits.reset()
	marker, err := s.bits.nextMarker()
	if err != nil {
		return err
	}
	if marker != markerRST0+number {
		return FormatError("wrong restart marker")
	}
	for i := range s.channels {
		s.channels[i].last = 0
	}
	s.blocksLeft = 0
	return nil
}

// blockFunc returns the function that reads block (x, y) of a component.
func (s *scan) blockFunc() func(c *scanChannel, x, y int) error {
	switch {
	case !s.progressive:
		return s.sequential
	case s.start == 0 && s.high == 0:
		return s.firstDC
	case s.start == 0:
		return s.refineDC
	case s.high == 0:
		return s.firstAC
	}
	return s.refineAC
}

const (
	errCode = FormatError("a code that is not in the Huffman table")
	errEnds = FormatError("the coded pixels end early")
	errSize = FormatError("a coefficient that is too large")
)

func (s *scan) sequential(c *scanChannel, x, y int) error {
	var b [64]int32
	if err := s.level(c, &b[0]); err != nil {
		return err
	}
	r := &s.bits
	b[0] *= c.quant[0]
	k := 1
	for k < 64 {
		code, ok := r.next(c.ac)
		if !ok {
			return errCode
		}
		run, size := int(code>>4), uint(code&15)
		if size == 0 {
			if run != 15 {
				break
			}
			k += 16
			continue
		}
		k += run
		v := r.extended(size)
		if k > 63 {
			break
		}
		at := zigzag[k]
		b[at] = v * c.quant[at]
		k++
	}
	if r.exhausted() {
		return errEnds
	}
	if !s.check {
		transform(c.pix[64*y*c.stride+8*x:], 8*c.stride, &b)
	}
	return nil
}

// level reads the difference of the DC coefficient to that of the last block.
func (s *scan) level(c *scanChannel, dst *int32) error {
	size, ok := s.bits.next(c.dc)
	switch {
	case !ok:
		return errCode
	case size > 15:
		return errSize
	}
	c.last += s.bits.extended(uint(size))
	*dst = c.last
	return nil
}

// coefficientsOf returns the block (x, y) of a component. In a check all that are not 0 are 1.
func (s *scan) coefficientsOf(c *scanChannel, x, y int) *[64]int16 {
	if s.check {
		clear(s.checked[:])
		for set := c.set[y*c.stride+x]; set != 0; set &= set - 1 {
			s.checked[bits.TrailingZeros64(set)] = 1
		}
		return &s.checked
	}
	return (*[64]int16)(c.coefficients[64*(y*c.stride+x):])
}

func (s *scan) firstDC(c *scanChannel, x, y int) error {
	var v int32
	if err := s.level(c, &v); err != nil {
		return err
	}
	s.coefficientsOf(c, x, y)[0] = int16(v << s.low)
	if s.bits.exhausted() {
		return errEnds
	}
	return nil
}

func (s *scan) refineDC(c *scanChannel, x, y int) error {
	if s.bits.take(1) != 0 {
		s.coefficientsOf(c, x, y)[0] |= 1 << s.low
	}
	if s.bits.exhausted() {
		return errEnds
	}
	return nil
}

// keep keeps which coefficients of block (x, y) are not 0, in a check.
func (s *scan) keep(c *scanChannel, x, y int) {
	if !s.check {
		return
	}
	set := &c.set[y*c.stride+x]
	for _, at := range zigzag[s.start : s.end+1] {
		if s.checked[at] != 0 {
			*set |= 1 << at
		}
	}
}

// firstAC reads the first bits of AC coefficients (G.1.2.2).
func (s *scan) firstAC(c *scanChannel, x, y int) error {
	if s.blocksLeft > 0 {
		s.blocksLeft--
		return nil
	}
	r, b := &s.bits, s.coefficientsOf(c, x, y)
	for k := s.start; k <= s.end; k++ {
		code, ok := r.next(c.ac)
		if !ok {
			return errCode
		}
		run, size := int(code>>4), uint(code&15)
		if size == 0 {
			if run < 15 {
				s.blocksLeft = 1<<run - 1 + r.take(uint(run))
				break
			}
			k += 15
			continue
		}
		k += run
		v := r.extended(size)
		if k > s.end {
			break
		}
		b[zigzag[k]] = int16(v << s.low)
	}
	s.keep(c, x, y)
	if r.exhausted() {
		return errEnds
	}
	return nil
}

// refineAC reads one more bit of AC coefficients (G.1.2.3).
func (s *scan) refineAC(c *scanChannel, x, y int) error {
	r, b := &s.bits, s.coefficientsOf(c, x, y)
	k := s.start
	for s.blocksLeft == 0 && k <= s.end {
		code, ok := r.next(c.ac)
		if !ok {
			return errCode
		}
		run, size := int(code>>4), uint(code&15)
		var v int16
		switch {
		case size > 1:
			return errSize
		case size == 1:
			v = 1 << s.low
			if r.take(1) == 0 {
				v = -v
			}
		case run < 15:
			s.blocksLeft = 1<<run + r.take(uint(run))
			continue // the loop ends
		}
		k = s.refine(b, k, run)
		if v != 0 && k <= s.end {
			b[zigzag[k]] = v
		}
		k++
	}
	if s.blocksLeft > 0 {
		s.blocksLeft--
		s.refine(b, k, 64)
	}
	s.keep(c, x, y)
	if r.exhausted() {
		return errEnds
	}
	return nil
}

// refine reads a bit of each coefficient that is not zero, from the k-th to the one after run zeros, which it
// returns, or to the last.
func (s *scan) refine(b *[64]int16, k, run int) int {
	for ; k <= s.end; k++ {
		v := &b[zigzag[k]]
		if *v == 0 {
			if run == 0 {
				break
			}
			run--
			continue
		}
		if s.bits.take(1) != 0 && *v>>s.low&1 == 0 {
			if *v > 0 {
				*v += 1 << s.low
			} else {
				*v -= 1 << s.low
			}
		}
	}
	return k
}

// transformAll decodes the coefficients of a progressive file to pixels.
func (c *component) transformAll() {
	c.pix = make([]uint8, len(c.coefficients))
	var b [64]int32
	for y := range c.rows {
		for x := range c.stride {
			for i, v := range c.coefficients[64*(y*c.stride+x):][:64] {
				b[i] = int32(v) * c.quant[i]
			}
			transform(c.pix[64*y*c.stride+8*x:], 8*c.stride, &b)
		}
	}
	c.coefficients = nil
}
