package codec

import (
	"strconv"

	"github.com/proposer/proposer/internal/propose"
)

// Segments describes the label image of an image.
type Segments struct {
	File string
	*propose.Segmentation
	// Runs adds the labels.
	Runs bool
	// Out and Overlay are the names of the files of the labels and of the image with the boundaries
	// of the regions; empty if there are none.
	Out, Overlay string
}

// AppendJSON appends a JSON object, without a newline:
//
//	{"file":"a.jpg","width":640,"height":480,"seconds":0.02,"decode_seconds":0.01,"regions":310}
//
// Orientation, seconds and warning are as in format jsonl. With Runs the "labels" follow, run-length
// encoded in raster order: alternately a label and the number of consecutive pixels that have it. The
// names of the files are "out" and "overlay".
func (s *Segments) AppendJSON(dst []byte) []byte {
	dst = append(dst, `{"file":`...)
	dst = appendString(dst, s.File)
	dst = appendSearched(dst, &Row{
		Width: s.Width, Height: s.Height, Orientation: s.Orientation,
		SearchTime: s.SegmentTime, DecodeTime: s.DecodeTime, Warning: s.Warning,
	})
	dst = appendField(dst, `,"regions":`, s.Regions)
	if s.Runs {
		dst = append(dst, `,"labels":`...)
		dst = appendList(dst, s.RunLengths(), func(dst []byte, v int32) []byte { return strconv.AppendInt(dst, int64(v), 10) })
	}
	if s.Out != "" {
		dst = append(dst, `,"out":`...)
		dst = appendString(dst, s.Out)
	}
	if s.Overlay != "" {
		dst = append(dst, `,"overlay":`...)
		dst = appendString(dst, s.Overlay)
	}
	return append(dst, '}')
}
