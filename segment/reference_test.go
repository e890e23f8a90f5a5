package segment

import (
	"math"
	"sort"

	"github.com/proposer/proposer/raster"
)

// referenceSegment is the algorithm as published (Felzenszwalb and Huttenlocher, §4.1), with
// the second pass over small regions: slow, and without any of the steps of the package. It
// is the best place to begin reading.
//
// weight returns the weight of an edge whose ends differ by d, in steps of 1/unit gray level.
func referenceSegment(
	img *raster.Planes, c Connectivity, k float64, minSize int, weight func(d [3]float32) float64, unit float64,
) []int32 {
	type edge struct {
		from, to int
		weight   float64
	}
	var edges []edge
	add := func(x, y, dx, dy int) {
		if x+dx < 0 || x+dx >= img.Width || y+dy >= img.Height {
			return
		}
		from, to := y*img.Width+x, (y+dy)*img.Width+x+dx
		var d [3]float32
		for p := range img.N {
			d[p] = img.Plane(p)[from] - img.Plane(p)[to]
		}
		edges = append(edges, edge{from, to, weight(d)})
	}
	for y := range img.Height {
		for x := range img.Width {
			add(x, y, 1, 0)
			add(x, y, 0, 1)
			if c == Eight {
				add(x, y, 1, 1)
				add(x, y, -1, 1)
			}
		}
	}
	sort.SliceStable(edges, func(i, j int) bool { return edges[i].weight < edges[j].weight })

	component := make([]int, img.Width*img.Height)
	members := make([][]int, len(component))
	internal := make([]float64, len(component))
	for i := range component {
		component[i], members[i] = i, []int{i}
	}
	join := func(a, b int, w float64) {
		if len(members[a]) < len(members[b]) {
			a, b = b, a
		}
		for _, m := range members[b] {
			component[m] = a
		}
		members[a] = append(members[a], members[b]...)
		members[b] = nil
		internal[a] = w
	}
	for _, e := range edges {
		a, b := component[e.from], component[e.to]
		tau := func(c int) float64 { return k * unit / float64(len(members[c])) }
		if a != b && e.weight <= min(internal[a]+tau(a), internal[b]+tau(b)) {
			join(a, b, e.weight)
		}
	}
	for _, e := range edges {
		a, b := component[e.from], component[e.to]
		if a != b && (len(members[a]) < minSize || len(members[b]) < minSize) {
			join(a, b, 0)
		}
	}

	// Number the regions in the order of their first pixels.
	labels := make([]int32, len(component))
	numbers := map[int]int32{}
	for i, c := range component {
		if _, ok := numbers[c]; !ok {
			numbers[c] = int32(len(numbers))
		}
		labels[i] = numbers[c]
	}
	return labels
}

// roundedWeight is the weight that the package uses, in steps of 1/weightScale.
func roundedWeight(d [3]float32) float64 {
	length := float32(math.Sqrt(float64(float32(d[0]*d[0]) + float32(d[1]*d[1]) + float32(d[2]*d[2]))))
	return math.Floor(float64(float32(length*weightScale) + 0.5))
}

// exactWeight is the paper's weight, in gray levels.
func exactWeight(d [3]float32) float64 {
	x, y, z := float64(d[0]), float64(d[1]), float64(d[2])
	return math.Sqrt(x*x + y*y + z*z)
}
