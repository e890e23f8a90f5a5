package codec

import (
	"testing"
	"time"

	"github.com/proposer/proposer/internal/propose"
)

func TestSegmentsJSON(t *testing.T) {
	s := &propose.Segmentation{
		Width: 3, Height: 2, Labels: []int32{0, 0, 1, 1, 1, 0}, Regions: 2,
		DecodeTime: 1500 * time.Microsecond, SegmentTime: 2 * time.Second,
	}
	for _, c := range []struct {
		name     string
		segments Segments
		want     string
	}{
		{"plain", Segments{File: "a.jpg", Segmentation: s}, `{"file":"a.jpg","width":3,"height":2,"seconds":2,"decode_seconds":0.0015,"regions":2}`},
		{"runs", Segments{Segmentation: s, Runs: true}, `{"file":"","width":3,"height":2,"seconds":2,"decode_seconds":0.0015,"regions":2,"labels":[0,2,1,3,0,1]}`},
		{
			"files",
			Segments{File: "<\xff>.jpg", Segmentation: &propose.Segmentation{Width: 3, Height: 2, Orientation: 6, Warning: "dark"}, Out: "a\"b", Overlay: "c"},
			`{"file":"<\ufffd>.jpg","width":3,"height":2,"orientation":6,"warning":"dark","regions":0,"out":"a\"b","overlay":"c"}`,
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := string(c.segments.AppendJSON(nil)); got != c.want {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
		})
	}
}
