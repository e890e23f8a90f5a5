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
