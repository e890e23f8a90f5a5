package box

import (
	"context"
	"math"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

func drawBoxes(t *rapid.T) []Box {
	return rapid.SliceOfN(rapid.Custom(func(t *rapid.T) Box {
		x, y := rapid.Int32Range(0, 80).Draw(t, "x"), rapid.Int32Range(0, 80).Draw(t, "y")
		return Box{x, y, x + rapid.Int32Range(0, 60).Draw(t, "w"), y + rapid.Int32Range(0, 60).Draw(t, "h")}
	}), 1, 60).Draw(t, "boxes")
}

// The index finds what a look at every box finds.
func TestNear(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		boxes := drawBoxes(t)
		least := rapid.SampledFrom([]float64{.05, .3, .5, .7, .95, 1}).Draw(t, "least")
		index := NewIndex(boxes)
		var near Overlaps
		for i, b := range boxes {
			var want []int32
			for j, c := range boxes {
				// At the very bound a float32 may fall on either side.
				if iou := b.IoU(c); !b.Empty() && iou >= least && math.Abs(iou-least) > 1e-6 {
					want = append(want, int32(j))
				}
			}
			var got []int32
			index.Near(&near, b, least)
			for k, id := range near.IDs {
				iou := b.IoU(boxes[id])
				if math.Abs(float64(near.IoUs[k])-iou) > 1e-6 {
					t.Fatalf("IoU %v of %v and %v: want %v", near.IoUs[k], b, boxes[id], iou)
				}
				if math.Abs(iou-least) > 1e-6 {
					got = append(got, id)
				}
			}
			slices.Sort(got)
			if !slices.Equal(got, want) {
				t.Fatalf("near box %d %v: %v; want %v", i, b, got, want)
			}
		}
	})
}

// Spread does what its sentence says, one box at a time.
func TestSpreadIsTheLiteralLoop(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		boxes := drawBoxes(t)
		worths := rapid.SliceOfN(rapid.SampledFrom([]float32{0, .1, .25, .5, .9, 1}), len(boxes), len(boxes)).Draw(t, "worths")
		limit := rapid.IntRange(0, len(boxes)+1).Draw(t, "limit")
		first := rapid.IntRange(1, len(boxes)+1).Draw(t, "first")
		order, worth, err := spread(context.Background(), boxes, worths, first, limit, true)
		if err != nil {
			t.Fatal(err)
		}
		if limit == 0 {
			limit = len(boxes)
		}
		now, later := slices.Clone(worths), slices.Clone(worths)
		taken := make([]bool, len(boxes))
		for place, got := range order {
			best := -1
			for i := range boxes {
				if !taken[i] && (best < 0 || now[i] > now[best]) {
					best = i
				}
			}
			if place > 0 && worth[place] > worth[place-1] {
				t.Fatalf("place %d: %v after %v", place, worth[place], worth[place-1])
			}
			if int(got) != best || worth[place] != now[best] {
				t.Fatalf("place %d: box %d worth %v; want %d, %v", place, got, worth[place], best, now[best])
			}
			taken[best] = true
			if place >= limit {
				continue
			}
			var near Overlaps
			NewIndex(boxes).Near(&near, boxes[best], SpreadFrom)
			for k, id := range near.IDs {
				iou := near.IoUs[k]
				square := float32(iou * iou)
				sixth := float32(float32(square*square) * square)
				if place < first {
					now[id] = float32(now[id] * (1 - float32(square*square)))
					later[id] = float32(later[id] * (1 - sixth))
				} else {
					now[id] = float32(now[id] * (1 - sixth))
				}
			}
			if place+1 == first {
				now = slices.Clone(later)
				top := worth[place]
				for i, v := range now {
					if !taken[i] {
						top = max(top, v)
					}
				}
				for i := range now {
					if top > worth[place] {
						now[i] = min(float32(now[i]*worth[place])/top, worth[place])
					}
				}
			}
		}
		if len(order) != len(boxes) {
			t.Fatalf("%d of %d boxes", len(order), len(boxes))
		}
	})
}

func TestSpreadIsCancelled(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, _, err := Spread(ctx, make([]Box, 10), make([]float32, 10), 0, true); err != context.Canceled {
		t.Errorf("%v; want %v", err, context.Canceled)
	}
}
