//go:build cgo

package main

import (
	"fmt"
	"slices"
	"testing"
)

// The values are those of cv2.getGaussianKernel(n, sigma, cv2.CV_32F) of OpenCV 4.6.
func TestOpenCVKernel(t *testing.T) {
	for _, test := range []struct {
		sigma float64
		want  []float32
	}{
		{0.001, []float32{1}},
		{0.5, []float32{0.786570728, 0.106450774, 0.000263865077}},
		{0.8, []float32{0.498676449, 0.228310719, 0.0219103135, 0.000440743373}},
		{2, []float32{
			0.199474648, 0.176035762, 0.12098749, 0.0647599399, 0.0269959588,
			0.00876430422, 0.00221596309, 0.000436349015, 6.6916291e-05,
		}},
	} {
		t.Run(fmt.Sprint(test.sigma), func(t *testing.T) {
			var got []float32
			for _, w := range openCVKernel(test.sigma) {
				got = append(got, float32(w))
			}
			if !slices.Equal(got, test.want) {
				t.Errorf("got %v, want %v", got, test.want)
			}
		})
	}
}
