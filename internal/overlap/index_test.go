package overlap

import (
	"math"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

func TestSearchEqualsPairwiseComparison(t *testing.T) {
	const rounding = 1e-6 // at the threshold, a float32 may fall on either side
	rapid.Check(t, func(t *rapid.T) {
		boxes := drawBoxes(t)
		minIoU := rapid.SampledFrom([]float64{.05, .3, .5, .7, .95, 1}).Draw(t, "minIoU")
		x := newIndex(boxes)
		var m matches
		for i, b := range boxes {
			var want []int32
			for j, c := range boxes {
				if iou := b.IoU(c); !b.Empty() && iou >= minIoU && math.Abs(iou-minIoU) > rounding {
					want = append(want, int32(j))
				}
			}
			var got []int32
			x.search(&m, b, minIoU, 0)
			for k, id := range m.ids {
				iou := b.IoU(boxes[id])
				if math.Abs(float64(m.ious[k])-iou) > rounding {
					t.Fatalf("IoU of %v and %v: got %v, want %v", b, boxes[id], m.ious[k], iou)
				}
				if math.Abs(iou-minIoU) > rounding {
					got = append(got, id)
				}
			}
			slices.Sort(got)
			if !slices.Equal(got, want) {
				t.Fatalf("box %d, %v: got matches %v, want %v", i, b, got, want)
			}
		}
	})
}
