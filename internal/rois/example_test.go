package rois_test

import (
	"archive/zip"
	"bytes"
	"context"
	"fmt"
	"log"

	"github.com/proposer/proposer/box"
	"github.com/proposer/proposer/dataset"
	"github.com/proposer/proposer/internal/rois"
)

func ExampleSample() {
	groundTruth, err := rois.ParseGroundTruth([]byte(`{"boxes":[[10,10,30,30]],"classes":[3]}`), 100, 80, 0)
	if err != nil {
		log.Fatal(err)
	}
	proposals := []box.Box{
		{X0: 10, Y0: 10, X1: 30, Y1: 20},
		{X0: 10, Y0: 10, X1: 20, Y1: 20},
		{X0: 60, Y0: 20, X1: 90, Y1: 50},
	}
	o, err := rois.ParseOptions(map[string]string{"sampler": "detectron2", "size": "16", "delta-weights": "10,10,5,5"})
	if err != nil {
		log.Fatal(err)
	}
	m, err := rois.Sample(context.Background(), proposals, groundTruth, o)
	if err != nil {
		log.Fatal(err)
	}
	for i, b := range m.Boxes {
		fmt.Printf("%v label %d, class %d, IoU %.2f", b, m.Labels[i], m.Classes[i], m.IoUs[i])
		if d := m.Deltas[i]; d != nil {
			fmt.Printf(", deltas %.2f", *d)
		}
		fmt.Println()
	}
	fmt.Printf("background to foreground %v, α %.2f\n", m.Ratio, m.Alpha)
	// Output:
	// [10 10 30 20] label 1, class 3, IoU 0.50, deltas [0.00 5.00 0.00 3.47]
	// [10 10 30 30] label 1, class 3, IoU 1.00, deltas [0.00 0.00 0.00 0.00]
	// [10 10 20 20] label 0, class -1, IoU 0.25
	// [60 20 90 50] label 0, class -1, IoU 0.00
	// background to foreground 1, α 0.50
}

func ExampleMinibatch_AppendJSON() {
	groundTruth := rois.GroundTruth{Boxes: []box.Box{{X0: 10, Y0: 10, X1: 30, Y1: 30}}}
	m, err := rois.Sample(context.Background(), []box.Box{{X0: 10, Y0: 10, X1: 20, Y1: 20}}, groundTruth, rois.DefaultOptions())
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%s\n", m.AppendJSON(nil, "a.jpg", 100, 80))
	// Output: {"file":"a.jpg","width":100,"height":80,"sampler":"fast-rcnn","seed":1,"rois":[[10,10,30,30],[10,10,20,20]],"labels":[1,0],"truth":[0,-1],"ious":[1,0.25],"deltas":[[0,0,0,0],null],"foreground":1,"background":1,"missing_foreground":31,"missing":126,"ratio":1,"alpha":0.5,"pool":{"foreground":1,"background":1,"ignored":0}}
}

func ExampleNPZ() {
	data := &dataset.Dataset{Images: []dataset.Image{{
		File: "a.jpg", Width: 100, Height: 80,
		Objects: []dataset.Object{{X0: 9.7, Y0: 10.2, X1: 30, Y1: 29.9, Class: "dog"}, {X0: 60, Y0: 20, X1: 130, Y1: 50, Class: "ant"}},
	}}}
	names := rois.Classes(data)
	classes := map[string]int{}
	for i, name := range names {
		classes[name] = i
	}
	var file bytes.Buffer
	z := rois.NewNPZ(&file, names)
	for i := range data.Images {
		img := &data.Images[i]
		groundTruth := rois.GroundTruthOf(img.Objects, 100, 80, classes)
		fmt.Println(groundTruth)
		proposals := []box.Box{{X0: 10, Y0: 10, X1: 30, Y1: 20}, {X0: 10, Y0: 10, X1: 20, Y1: 20}}
		m, err := rois.Sample(context.Background(), proposals, groundTruth, rois.DefaultOptions().ForImage(img.File))
		if err != nil {
			log.Fatal(err)
		}
		if err := z.Write(rois.Item{File: img.File, Width: 100, Height: 80, Minibatch: m, GroundTruth: groundTruth}); err != nil {
			log.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		log.Fatal(err)
	}
	archive, err := zip.NewReader(bytes.NewReader(file.Bytes()), int64(file.Len()))
	if err != nil {
		log.Fatal(err)
	}
	for _, f := range archive.File[5:9] {
		fmt.Println(f.Name)
	}
	// Output:
	// {[[10 10 30 30] [60 20 100 50]] [1 0] [false false]}
	// rois.npy
	// labels.npy
	// classes.npy
	// truth.npy
}
