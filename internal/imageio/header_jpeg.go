package imageio

import (
	"bytes"
	"encoding/binary"
	"errors"

	"github.com/proposer/proposer/internal/jpeg"
)

const jpegMagic = "\xff\xd8\xff"

// Markers of JPEG (ITU-T T.81, table B.1).
const (
	markerTEM   = 0x01
	markerSOF0  = 0xc0 // baseline
	markerSOF2  = 0xc2 // progressive
	markerDHT   = 0xc4
	markerJPG   = 0xc8
	markerDAC   = 0xcc
	markerSOF15 = 0xcf
	markerRST0  = 0xd0
	markerRST7  = 0xd7
	markerSOI   = 0xd8
	markerEOI   = 0xd9
	markerSOS   = 0xda
	markerAPP1  = 0xe1 // EXIF
	markerAPP14 = 0xee // Adobe
	maxScans    = 100  // encoders write about ten
)

// nextSegment returns the first segment at or after b[i:]. Like decoders it skips coded data,
// restart markers and garbage. SOI and EOI have no body. next is the offset after the segment; it
// is 0 if the file ends before that.
func nextSegment(b []byte, i int) (marker byte, body []byte, next int) {
	for {
		n := bytes.IndexByte(b[i:], 0xff)
		if n < 0 {
			return 0, nil, 0
		}
		for i += n; i < len(b) && b[i] == 0xff; {
			i++
		}
		if i == len(b) {
			return 0, nil, 0
		}
		m := b[i]
		i++
		switch {
		case m <= markerTEM || m >= markerRST0 && m <= markerRST7: // 0 is a stuffed byte
			continue
		case m == markerSOI || m == markerEOI:
			return m, nil, i
		}
		if len(b)-i < 2 {
			return 0, nil, 0
		}
		size := int(binary.BigEndian.Uint16(b[i:]))
		if size < 2 || size > len(b)-i {
			return 0, nil, 0
		}
		return m, b[i+2 : i+size], i + size
	}
}

func (h *Header) parseJPEG(b []byte) error {
	channels, hasAdobe, hasEXIF := 0, false, false
	for i := 2; ; { // after SOI
		marker, body, next := nextSegment(b, i)
		if next == 0 {
			return h.broken("ends early: no pixels")
		}
		i = next
		switch {
		case marker >= markerSOF0 && marker <= markerSOF2:
			if channels != 0 {
				return h.broken("two frames")
			}
			var err error
			if channels, err = h.parseFrame(body, len(b)); err != nil {
				return err
			}
		case isUnsupportedFrame(marker):
			return h.unsupported("lossless, hierarchical or arithmetic coding")
		case marker == markerAPP1 && !hasEXIF:
			if hasEXIF = bytes.HasPrefix(body, []byte(exifPrefix)); hasEXIF {
				h.Orientation = exifOrientation(body)
			}
		case marker == markerAPP14 && bytes.HasPrefix(body, []byte("Adobe")) && len(body) >= 12:
			hasAdobe = true
		case marker == markerSOI || marker == markerEOI:
			return h.broken("no pixels")
		case marker == markerSOS:
			if channels == 0 {
				return h.broken("pixels before the frame header")
			}
			if channels == 4 && !hasAdobe {
				return h.unsupported("four channels of unknown meaning")
			}
			return nil
		}
	}
}

func isUnsupportedFrame(marker byte) bool {
	return marker > markerSOF2 && marker <= markerSOF15 &&
		marker != markerDHT && marker != markerJPG && marker != markerDAC
}

// parseFrame reads a frame header of a file of n bytes.
func (h *Header) parseFrame(body []byte, n int) (channels int, err error) {
	if len(body) < 6 {
		return 0, h.broken("short frame header")
	}
	if body[0] != 8 {
		return 0, h.unsupported("%d bits a sample", body[0])
	}
	height := int64(binary.BigEndian.Uint16(body[1:]))
	width := int64(binary.BigEndian.Uint16(body[3:]))
	if err := h.setSize(width, height); err != nil {
		return 0, err
	}
	// A block of 8×8 takes at least one bit.
	if err := h.checkDataSize(n, width*height, 512); err != nil {
		return 0, err
	}
	channels = int(body[5])
	if channels != 1 && channels != 3 && channels != 4 {
		return 0, h.unsupported("%d channels", channels)
	}
	h.Gray = channels == 1
	return channels, nil
}

// checkScans reads the markers of a JPEG to its end. It refuses a file that ends early, which
// OpenCV fills with gray without an error, and one with many scans: each can cost a pass over the
// image for a few bytes.
func (h *Header) checkScans(b []byte) error {
	scans := 0
	for i := 2; ; { // after SOI
		marker, _, next := nextSegment(b, i)
		switch {
		case next == 0:
			return h.broken("ends early: no end marker")
		case marker == markerEOI:
			return nil
		case marker == markerSOS:
			if scans++; scans > maxScans {
				return h.unsupported("more than %d scans", maxScans)
			}
		}
		i = next
	}
}

// jpegError returns the error of this package for one of package jpeg.
func (h *Header) jpegError(err error) error {
	if _, ok := errors.AsType[jpeg.UnsupportedError](err); ok {
		return h.unsupported("%v", err)
	}
	return h.broken("%w", err)
}
