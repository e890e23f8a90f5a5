package main

import (
	"math"
	"slices"
)

// quantile is that of values, with linear interpolation between two of them.
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

// summary is a comparison over pictures: the medians of the two times, and the
// quartiles of how many times as fast ours was on a picture.
type summary struct {
	oursTime, peerTime float64 // seconds
	low, ratio, high   float64
	pictures, rounds   int
}

// compare takes seconds by picture and round; a picture's time is the median of its rounds.
func compare(ours, peer [][]float64) summary {
	var a, b, ratios []float64
	for i := range ours {
		a, b = append(a, median(ours[i])), append(b, median(peer[i]))
		ratios = append(ratios, b[i]/a[i])
	}
	return summary{
		median(a), median(b),
		quantile(ratios, 0.25), median(ratios), quantile(ratios, 0.75),
		len(ours), len(ours[0]),
	}
}
