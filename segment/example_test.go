package segment_test

import (
	"bytes"
	"context"
	"fmt"
	"image"
	"image/color"
	"image/draw"
	"image/png"
	"log"

	"github.com/proposer/proposer/raster"
	"github.com/proposer/proposer/segment"
)

func Example() {
	// An image of 8×4 pixels, dark on the left, light on the right.
	img := raster.New(raster.Gray, 8, 4)
	for i := range img.Pix {
		if i%8 >= 3 {
			img.Pix[i] = 200
		}
	}
	ctx := context.Background()

	var g segment.Graph
	if err := g.Build(ctx, img, segment.Options{Connectivity: segment.Eight, MinK: 100}); err != nil {
		fmt.Println(err)
		return
	}
	for _, k := range []float64{100, 5000} {
		l, err := g.Segment(ctx, nil, k, 0)
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Println(k, l.Sizes, l.Boxes)
	}
	// Output:
	// 100 [12 20] [[0 0 3 4] [3 0 8 4]]
	// 5000 [32] [[0 0 8 4]]
}

// Superpixels: write the region of each pixel as a gray value of a PNG of 16 bits.
func ExampleGraph_Segment() {
	photo := image.NewRGBA(image.Rect(0, 0, 80, 60)) // or jpeg.Decode
	draw.Draw(photo, photo.Bounds(), image.NewUniform(color.RGBA{40, 90, 160, 255}), image.Point{}, draw.Src)
	draw.Draw(photo, image.Rect(20, 15, 60, 45), image.NewUniform(color.RGBA{200, 60, 40, 255}), image.Point{}, draw.Src)

	ctx := context.Background()
	var g segment.Graph
	opts := segment.Options{Connectivity: segment.Eight, MinK: 100, SingleScale: true} // Sigma: 0.8 for photographs
	if err := g.Build(ctx, raster.FromImage(photo), opts); err != nil {
		log.Fatal(err)
	}
	labels, err := g.Segment(ctx, nil, 100, 100)
	if err != nil {
		log.Fatal(err)
	}

	img := image.NewGray16(image.Rect(0, 0, labels.Width, labels.Height))
	for i, region := range labels.Pix { // up to 65,536 regions
		img.SetGray16(i%labels.Width, i/labels.Width, color.Gray16{Y: uint16(region)})
	}
	var file bytes.Buffer // or os.Create
	if err := png.Encode(&file, img); err != nil {
		log.Fatal(err)
	}
	for region := range labels.Regions() {
		fmt.Println(region, labels.Sizes[region], labels.Boxes[region])
	}
	// Output:
	// 0 3600 [0 0 80 60]
	// 1 1200 [20 15 60 45]
}
