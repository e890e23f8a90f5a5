package box_test

import (
	"context"
	"fmt"

	"github.com/proposer/proposer/box"
)

func ExampleNMS_Keep() {
	boxes := []box.Box{ // best first
		{X0: 0, Y0: 0, X1: 10, Y1: 10},
		{X0: 1, Y0: 0, X1: 10, Y1: 10},
		{X0: 20, Y0: 20, X1: 30, Y1: 30},
	}
	kept, err := box.NMS{Threshold: 0.8}.Keep(context.Background(), boxes, 0)
	fmt.Println(kept, err)
	// Output: [0 2] <nil>
}

func ExampleParseNMS() {
	for _, s := range []string{"off", "0.8", "adaptive", "2"} {
		nms, err := box.ParseNMS(s)
		fmt.Println(nms, err)
	}
	// Output:
	// off <nil>
	// 0.8 <nil>
	// adaptive <nil>
	// off box: NMS "2": want off, adaptive or a number in (0,1]
}

func ExampleBox_IoU() {
	a := box.Box{X0: 0, Y0: 0, X1: 4, Y1: 2}
	b := box.Box{X0: 2, Y0: 0, X1: 6, Y1: 2}
	fmt.Println(a.Intersect(b), a.Union(b))
	fmt.Printf("%.3f\n", a.IoU(b))
	// Output:
	// [2 0 4 2] [0 0 6 2]
	// 0.333
}

func ExampleBox_Rescale() {
	b := box.Box{X0: 10, Y0: 20, X1: 30, Y1: 60}
	fmt.Println(b.Rescale(320, 240, 640, 480))
	// Output: [20 40 60 120]
}
