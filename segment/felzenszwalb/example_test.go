package felzenszwalb_test

import (
	"context"
	"fmt"
	"log"

	"github.com/proposer/proposer/segment/felzenszwalb"
)

func Example() {
	// A dark image with a bright rectangle, in gray.
	const width, height = 8, 4
	img := &felzenszwalb.Image{Width: width, Height: height, Channels: 1, Row: func(dst []float64, _, y int) {
		for x := range dst {
			dst[x] = 0.1
			if x >= 3 && x < 6 && y >= 1 {
				dst[x] = 0.9
			}
		}
	}}
	labels := make([]int32, width*height)
	var s felzenszwalb.Segmenter
	n, err := s.Segment(context.Background(), labels, img, felzenszwalb.Options{Scale: 100, MinSize: 4})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(n, "regions")
	for y := range height {
		fmt.Println(labels[y*width:][:width])
	}
	// Output:
	// 2 regions
	// [0 0 0 0 0 0 0 0]
	// [0 0 0 1 1 1 0 0]
	// [0 0 0 1 1 1 0 0]
	// [0 0 0 1 1 1 0 0]
}
