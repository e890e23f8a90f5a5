package raster_test

import (
	"context"
	"fmt"
	"image"
	"image/color"

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
	// raster: color space "CMYK": want one of RGB, I, rgI, Lab, HSV, H, rgb, C, R-G-I
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

func ExampleDifferentiator() {
	img := raster.New(raster.Gray, 4, 2)
	for i := range img.Pix {
		img.Pix[i] = uint8(i % 4 * 10) // rises by 10 per pixel to the right
	}
	var d raster.Differentiator
	d.Reset(img, 0)
	gx, gy := make([]float32, 4), make([]float32, 4)
	for y := range img.Height {
		d.Row(gx, gy, 0, y)
		fmt.Println(y, gx, gy)
	}
	// Output:
	// 0 [5 10 10 5] [0 0 0 0]
	// 1 [5 10 10 5] [0 0 0 0]
}

func ExampleFromImage() {
	m := image.NewNRGBA(image.Rect(10, 10, 12, 11)) // decoded by image.Decode, for example
	m.Set(10, 10, color.NRGBA{R: 255, A: 255})
	m.Set(11, 10, color.NRGBA{R: 255, A: 128}) // half transparent

	img := raster.FromImage(m)
	fmt.Println(img.Width, img.Height, img.Space)
	fmt.Println(img.Plane(0), img.Plane(1), img.Plane(2))
	// Output:
	// 2 1 RGB
	// [255 255] [0 127] [0 127]
}

func ExampleImage_ToImage() {
	img := raster.New(raster.RGB, 1, 1)
	img.Plane(0)[0], img.Plane(1)[0], img.Plane(2)[0] = 255, 128, 0

	m := img.ToImage() // can be encoded by image/png, for example
	fmt.Println(m.Bounds(), m.At(0, 0))
	// Output: (0,0)-(1,1) {255 128 0 255}
}

func ExampleNewLabelImage() {
	l := raster.NewLabelImage(4, []int32{
		0, 0, 1, 1,
		0, 2, 2, 1,
	})
	for i := range l.Regions() {
		fmt.Println(i, l.Sizes[i], l.Boxes[i])
	}
	// Output:
	// 0 3 [0 0 2 2]
	// 1 3 [2 0 4 2]
	// 2 2 [1 1 3 2]
}
