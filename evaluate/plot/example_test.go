package plot_test

import (
	"fmt"
	"log"
	"os"
	"path/filepath"

	"github.com/proposer/proposer/box"
	"github.com/proposer/proposer/dataset"
	"github.com/proposer/proposer/evaluate"
	"github.com/proposer/proposer/evaluate/plot"
)

func ExampleWrite() {
	evaluator, err := evaluate.New(evaluate.Options{})
	if err != nil {
		log.Fatal(err)
	}
	img := &dataset.Image{Objects: []dataset.Object{{X1: 10, Y1: 10, Class: "cat"}}}
	evaluator.Add(img, []box.Box{{X1: 10, Y1: 8}, {X1: 10, Y1: 10}}, 0)

	path := filepath.Join(os.TempDir(), "recall.svg")
	f, err := os.Create(path)
	if err != nil {
		log.Fatal(err)
	}
	defer os.Remove(path)
	err = plot.Write(f, plot.Format(path), []plot.Result{{Name: "search", Report: evaluator.Report()}})
	if err != nil {
		log.Fatal(err)
	}
	if err := f.Close(); err != nil {
		log.Fatal(err)
	}
	fmt.Println(plot.Format(path))
	// Output: svg
}
