package similarity_test

import (
	"context"
	"fmt"

	"github.com/proposer/proposer/raster"
	"github.com/proposer/proposer/similarity"
)

func Example() {
	// Two halves of an image, one black and one white. They have no color in common, but
	// their insides are equally flat, and together they fill their bounding box.
	img := raster.New(raster.Gray, 40, 10)
	labels := make([]int32, 40*10)
	for i := range labels {
		if i%40 >= 20 {
			img.Pix[i], labels[i] = 255, 1
		}
	}
	ctx := context.Background()

	var binned similarity.BinnedImage
	if err := binned.Build(ctx, img, nil); err != nil {
		fmt.Println(err)
		return
	}
	var r similarity.Regions
	segmentations := []*raster.LabelImage{raster.NewLabelImage(40, labels)}
	if err := binned.Describe(ctx, []*similarity.Regions{&r}, segmentations, nil); err != nil {
		fmt.Println(err)
		return
	}
	fmt.Printf("color %.2f, texture %.2f, size %.2f, fill %.2f\n",
		r.Color(0, 1), r.Texture(0, 1), r.Size(0, 1), r.Fill(0, 1))
	// Output: color 0.00, texture 1.00, size 0.00, fill 1.00
}

func ExampleParseWeights() {
	w, err := similarity.ParseWeights("C0.5TS")
	fmt.Println(w.Color, w.Texture, w.Size, w.Fill, err)
	_, err = similarity.ParseWeights("XC")
	fmt.Println(err)
	// Output:
	// 0.5 1 1 0 <nil>
	// measures "XC": unknown measure "X": want one of CTSF
}
