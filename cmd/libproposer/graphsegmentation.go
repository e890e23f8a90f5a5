package main

/*
#include "proposer.h"
*/
import "C"

import (
	"context"
	"fmt"
	"math"

	"github.com/proposer/proposer/segment/felzenszwalb"
)

//export goGraphSegmentation
func goGraphSegmentation(
	samples *C.proposer_samples, k, sigma C.double, minSize C.int64_t, threads C.int32_t,
	token C.uintptr_t, result **C.proposer_labels,
) C.int {
	return call(token, result, func(ctx context.Context) (*C.proposer_labels, error) {
		if !(sigma > 0 && sigma <= felzenszwalb.MaxSigma) {
			return nil, &argumentError{fmt.Sprintf("sigma %v: want a number above 0, at most %v", sigma, felzenszwalb.MaxSigma)}
		}
		if math.IsNaN(float64(k)) {
			return nil, &argumentError{"k NaN: want a number"}
		}
		scale := float64(k)
		if samples != nil && samples._type != C.PROPOSER_UINT8 {
			scale *= 255 // the segmentation divides it by 255, as it does bytes
		}
		return segmentSamples(ctx, samples, felzenszwalb.Options{
			Scale: scale, MinSize: int(minSize), Kernel: openCVKernel(float64(sigma)), Four: true, Mirror: true,
		}, threads)
	})
}

// openCVKernel returns the weights of the Gaussian of OpenCV's GaussianBlur for float32 images, that of the
// center first.
func openCVKernel(sigma float64) []float64 {
	radius := int(math.RoundToEven(sigma*8+1)) / 2
	kernel := make([]float64, radius+1)
	total := 0.0
	for i := range kernel {
		kernel[i] = math.Exp(float64(i*i) * (-0.5 / (sigma * sigma)))
		if total += kernel[i]; i > 0 {
			total += kernel[i]
		}
	}
	for i, w := range kernel {
		kernel[i] = float64(float32(w / total))
	}
	return kernel
}
