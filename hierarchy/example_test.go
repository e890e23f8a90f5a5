package hierarchy_test

import (
	"context"
	"fmt"
	"math"

	"github.com/proposer/proposer/hierarchy"
	"github.com/proposer/proposer/raster"
)

// grayLevels is a simple Measure: each region has a gray level in [0,1].
type grayLevels []float64

func (g grayLevels) Similarities(dst []float32, a int32, others []int32) {
	for i, b := range others {
		dst[i] = float32(1 - math.Abs(g[a]-g[b]))
	}
}

func (g grayLevels) Merge(a, b int32) { g[a] = (g[a] + g[b]) / 2 }

func Example() {
	// Three stripes, the left two of which are similar.
	labels := raster.NewLabelImage(6, []int32{
		0, 0, 1, 2, 2, 2,
		0, 0, 1, 2, 2, 2,
	})
	ctx := context.Background()

	var graph hierarchy.Graph
	if err := graph.Build(ctx, labels); err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println("neighbors of 1:", graph.Neighbors(1))

	var grouper hierarchy.Grouper
	tree, err := grouper.Group(ctx, nil, &graph, labels, grayLevels{0.1, 0.2, 0.9})
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, n := range tree.Nodes[tree.Leaves():] {
		fmt.Println(n.Children, n.Box, n.Size)
	}
	// Output:
	// neighbors of 1: [0 2]
	// [0 1] [0 0 3 2] 6
	// [2 3] [0 0 6 2] 12
}
