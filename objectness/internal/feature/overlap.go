package feature

import "slices"

// overlaps are the numbers of candidates that overlap the box by an IoU of at least .5, .6,
// .7, .8 and .9, per tree, and three ratios of them that tell how concentrated they are.
var overlaps = section{
	names: []string{
		"votes.5", "votes.6", "votes.7", "votes.8", "votes.9",
		"votes.96", "votes.85", "votes.75",
	},
	fill: fillOverlaps,
}

func fillOverlaps(e *Extractor, b *Block, dst Columns) {
	for i := range b.candidates {
		histogram := &b.histograms[i]
		var atLeast [len(histogram)]float32
		sum := float32(0)
		for k, n := range slices.Backward(histogram[:]) {
			sum += float32(n)
			atLeast[k] = sum
		}
		for k, n := range atLeast {
			dst[k][i%BlockSize] = log2((n + 1) / float32(len(e.set.Trees)))
		}
		put(dst[len(atLeast):], i, atLeast[4]/(atLeast[1]+1), atLeast[3]/(atLeast[0]+1), atLeast[2]/(atLeast[0]+1))
	}
}
