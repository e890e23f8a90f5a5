package evaluate_test

import (
	"fmt"
	"strings"
	"time"

	"github.com/proposer/proposer/box"
	"github.com/proposer/proposer/dataset"
	"github.com/proposer/proposer/evaluate"
)

func ExampleTally() {
	cat := dataset.Object{X0: 10, Y0: 10, X1: 110, Y1: 110, Class: "cat"}
	dog := dataset.Object{X0: 200, Y0: 50, X1: 300, Y1: 150, Class: "dog"}
	img := dataset.Image{File: "pets.jpg", Objects: []dataset.Object{cat, dog}}
	boxes := []box.Box{ // best first
		{X0: 10, Y0: 10, X1: 110, Y1: 90},
		{X0: 200, Y0: 50, X1: 300, Y1: 150},
	}

	tally, err := evaluate.New(evaluate.Options{Budgets: []int{1}})
	if err != nil {
		fmt.Println(err)
		return
	}
	tally.Add(&img, boxes, 50*time.Millisecond)
	for _, l := range tally.Report().Budgets {
		fmt.Printf("%d: MABO %.2f, AR %.2f, recall at IoU .7 %.2f\n", l.N, l.MABO, l.All.AR, l.All.Recall[70])
	}
	// Output:
	// 1: MABO 0.40, AR 0.30, recall at IoU .7 0.50
	// 0: MABO 0.90, AR 0.80, recall at IoU .7 1.00
}

func ExampleReadVOC() {
	img, err := dataset.ReadVOC(strings.NewReader(`<annotation><filename>000005.jpg</filename><object><name>chair</name>
		<bndbox><xmin>263</xmin><ymin>211</ymin><xmax>324</xmax><ymax>339</ymax></bndbox></object></annotation>`))
	fmt.Printf("%+v %v\n", img.Objects, err)
	// Output: [{X0:262 Y0:210 X1:324 Y1:339 Class:chair Difficult:false}] <nil>
}
