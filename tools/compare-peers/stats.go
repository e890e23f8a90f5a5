package main

import (
	"math"
	"slices"
)

// quantile returns a quantile of values, with linear interpolation; NaN if there are none.
func quantile(values []float64, q float64) float64 {
	if len(values) == 0 {
		return math.NaN()
	}
	s := slices.Sorted(slices.Values(values))
	whole, part := math.Modf(q * float64(len(s)-1))
	i := int(whole)
	return s[i] + part*(s[min(i+1, len(s)-1)]-s[i])
}

func median(values []float64) float64 { return quantile(values, 0.5) }

// A summary summarizes a comparison over images: the medians of both times, and the quartiles of the
// images' speed ratios, peer time / our time.
type summary struct {
	oursTime, peerTime float64 // seconds
	low, ratio, high   float64
	images, rounds     int
}

// compare summarizes seconds by image and round. The time of an image is the median of its rounds.
func compare(ours, peer [][]float64) summary {
	var a, b, ratios []float64
	for i := range ours {
		a = append(a, median(ours[i]))
		b = append(b, median(peer[i]))
		ratios = append(ratios, b[i]/a[i])
	}
	return summary{
		median(a), median(b),
		quantile(ratios, 0.25), median(ratios), quantile(ratios, 0.75),
		len(ours), len(ours[0]),
	}
}
