package evaluate_test

import (
	"fmt"
	"time"

	"github.com/proposer/proposer/box"
	"github.com/proposer/proposer/dataset"
	"github.com/proposer/proposer/evaluate"
)

func ExampleEvaluator() {
	cat := dataset.Object{X0: 10, Y0: 10, X1: 110, Y1: 110, Class: "cat"}
	dog := dataset.Object{X0: 200, Y0: 50, X1: 300, Y1: 150, Class: "dog"}
	img := dataset.Image{File: "pets.jpg", Objects: []dataset.Object{cat, dog}}
	boxes := []box.Box{ // best first
		{X0: 10, Y0: 10, X1: 110, Y1: 90},
		{X0: 200, Y0: 50, X1: 300, Y1: 150},
	}

	evaluator, err := evaluate.New(evaluate.Options{Budgets: []int{1}})
	if err != nil {
		fmt.Println(err)
		return
	}
	evaluator.Add(&img, boxes, 50*time.Millisecond)
	for _, l := range evaluator.Report().Budgets {
		fmt.Printf("%d: MABO %.2f, AR %.2f, recall at IoU .7 %.2f\n", l.N, l.MABO, l.All.AR, l.All.Recall[70])
	}
	// Output:
	// 1: MABO 0.40, AR 0.30, recall at IoU .7 0.50 0: MABO 0.90, AR 0.80, recall at IoU .7 1.00
}
