package raster_test

import (
	"context"
	"fmt"

	"github.com/proposer/proposer/raster"
)

func ExampleConvert() {
	img := raster.New(raster.RGB, 2, 1)
	img.Plane(0)[0] = 255 // a red pixel beside a black one

	hsv, err := raster.Convert(context.Background(), nil, img, raster.HSV)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(hsv.Plane(0), hsv.Plane(1), hsv.Plane(2))
	// Output: [0 0] [255 0] [255 0]
}

func ExampleParseSpace() {
	space, err := raster.ParseSpace("hsv")
	fmt.Println(space, err)
	_, err = raster.ParseSpace("CMYK")
	fmt.Println(err)
	// Output:
	// HSV <nil>
	// raster: colour space "CMYK": want one of RGB, I, rgI, Lab, HSV, H, rgb, C, R-G-I
}

func ExampleSmooth() {
	img := raster.New(raster.Gray, 5, 1)
	img.Pix[2] = 200

	smoothed, err := raster.Smooth(context.Background(), nil, img, 0.8)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Printf("%.1f\n", smoothed.Pix)
	// Output: [4.4 45.7 99.7 45.7 4.4]
}

func ExampleGradients() {
	img := raster.New(raster.Gray, 4, 2)
	for i := range img.Pix {
		img.Pix[i] = uint8(i % 4 * 10) // rises by 10 a pixel to the right
	}
	err := raster.Gradients(context.Background(), img, 0, 0, func(y int, gx, gy []float32) {
		fmt.Println(y, gx, gy)
	})
	if err != nil {
		fmt.Println(err)
	}
	// Output:
	// 0 [5 10 10 5] [0 0 0 0]
	// 1 [5 10 10 5] [0 0 0 0]
}
