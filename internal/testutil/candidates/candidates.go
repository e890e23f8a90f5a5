// Package candidates collects candidates for tests of packages that package selective
// imports, which can therefore not search.
package candidates

import (
	"testing"

	"github.com/proposer/proposer/candidate"
	"github.com/proposer/proposer/hierarchy"
	"github.com/proposer/proposer/raster"
	"github.com/proposer/proposer/segment"
	"github.com/proposer/proposer/similarity"
)

const maxUnions = 200

// Collect returns the candidates of img, up to 200 unions among them, and their overlaps, for the 8
// trees of mode fast.
func Collect(tb testing.TB, img *raster.Image) *candidate.Set {
	tb.Helper()
	ctx := tb.Context()
	set := &candidate.Set{Image: img}
	for _, space := range []raster.Space{raster.HSV, raster.Lab} {
		converted, err := raster.Convert(ctx, nil, img, space)
		if err != nil {
			tb.Fatal(err)
		}
		for _, k := range []float64{50, 100} {
			var graph segment.Graph
			if err := graph.Build(ctx, converted, segment.Options{Sigma: .8, Connectivity: segment.Eight, MinK: k, SingleScale: true}); err != nil {
				tb.Fatal(err)
			}
			labels, err := graph.Segment(ctx, nil, k, int(k))
			if err != nil {
				tb.Fatal(err)
			}
			var binned similarity.BinnedImage
			if err := binned.Build(ctx, converted, nil); err != nil {
				tb.Fatal(err)
			}
			var regions similarity.Regions
			if err := binned.Describe(ctx, []*similarity.Regions{&regions}, []*raster.LabelImage{labels}, nil); err != nil {
				tb.Fatal(err)
			}
			var adjacency hierarchy.Graph
			if err := adjacency.Build(ctx, labels); err != nil {
				tb.Fatal(err)
			}
			for _, measures := range []string{"CTSF", "TSF"} {
				weights, err := similarity.ParseWeights(measures)
				if err != nil {
					tb.Fatal(err)
				}
				grouper := hierarchy.Grouper{MaxPairs: 1000}
				tree, err := grouper.Group(ctx, nil, &adjacency, labels, regions.WithWeights(nil, weights))
				if err != nil {
					tb.Fatal(err)
				}
				set.Trees = append(set.Trees, tree)
				set.Spaces = append(set.Spaces, space)
			}
		}
	}
	if err := set.Collect(ctx, 0, nil); err != nil {
		tb.Fatal(err)
	}
	if err := set.AddUnions(ctx, maxUnions, 0, nil); err != nil {
		tb.Fatal(err)
	}
	if err := set.FindOverlaps(ctx); err != nil {
		tb.Fatal(err)
	}
	return set
}
