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

func ExampleDeltaWeights_Encode() {
	proposal, truth := box.Box{X0: 10, Y0: 20, X1: 30, Y1: 60}, box.Box{X0: 15, Y0: 40, X1: 55, Y1: 60}
	delta := box.Detectron2Weights.Encode(proposal, truth)
	fmt.Printf("%.3f\n", delta)
	fmt.Println(box.Detectron2Weights.Decode(proposal, delta))
	// Output:
	// [7.500 2.500 3.466 -3.466]
	// [15 40 55 60]
}
