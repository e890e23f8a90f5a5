package evaluate_test

import (
	"context"
	"fmt"
	"log"
	"time"

	"github.com/proposer/proposer/box"
	"github.com/proposer/proposer/dataset"
	"github.com/proposer/proposer/evaluate"
)

func ExampleEvaluator() {
	img := dataset.Image{File: "pets.jpg", Objects: []dataset.Object{
		{X0: 10, Y0: 10, X1: 110, Y1: 110, Class: "cat"},
		{X0: 200, Y0: 50, X1: 300, Y1: 150, Class: "dog"},
	}}
	boxes := []box.Box{ // best first
		{X0: 10, Y0: 10, X1: 110, Y1: 90},
		{X0: 200, Y0: 50, X1: 300, Y1: 150},
	}

	evaluator, err := evaluate.New(evaluate.Options{Budgets: []int{1}})
	if err != nil {
		log.Fatal(err)
	}
	evaluator.Add(&img, boxes, 50*time.Millisecond)
	for _, b := range evaluator.Report().Budgets {
		fmt.Printf("n=%d: MABO %.2f, AR %.2f, recall at IoU .7 %.2f\n", b.N, b.MABO, b.All.AR, b.All.Recall[70])
	}
	// Output:
	// n=1: MABO 0.40, AR 0.30, recall at IoU .7 0.50
	// n=0: MABO 0.90, AR 0.80, recall at IoU .7 1.00
}

func ExampleRun() {
	images := []dataset.Image{
		{File: "cat.jpg", Objects: []dataset.Object{{X0: 0, Y0: 0, X1: 10, Y1: 10, Class: "cat"}}},
		{File: "dog.jpg", Objects: []dataset.Object{{X0: 0, Y0: 0, X1: 10, Y1: 5, Class: "dog"}}},
	}
	search := func(_ context.Context, i int) (evaluate.Proposals, error) {
		// A real search reads images[i].File.
		return evaluate.Proposals{Boxes: []box.Box{{X0: 0, Y0: 0, X1: 10, Y1: 10}}}, nil
	}

	const workers = 2
	result, err := evaluate.Run(context.Background(), images, evaluate.Options{}, workers, search)
	if err != nil {
		log.Fatal(err)
	}
	for _, class := range result.Report.Classes {
		fmt.Printf("%s: ABO %.2f\n", class.Name, class.ABO[0])
	}
	// Output:
	// cat: ABO 1.00
	// dog: ABO 0.50
}
