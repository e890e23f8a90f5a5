package felzenszwalb

import (
	"math"
	"sort"
)

// reference is scikit-image's program, operation by operation, with a stable sort.
func reference(img *Image, opts Options) []int32 {
	w, h, channels := img.Width, img.Height, img.Channels
	kernel := opts.Kernel
	if kernel == nil {
		kernel = gaussian(opts.Sigma)
	}
	pix := make([][][]float64, channels)
	for c := range pix {
		pix[c] = make([][]float64, h)
		for y := range pix[c] {
			pix[c][y] = make([]float64, w)
			img.Row(pix[c][y], c, y)
		}
		if len(kernel) == 1 && kernel[0] == 1 {
			continue
		}
		correlate(h, w, kernel, opts.Mirror, func(line, i int) *float64 { return &pix[c][i][line] })
		correlate(w, h, kernel, opts.Mirror, func(line, i int) *float64 { return &pix[c][line][i] })
	}

	type edge struct {
		a, b   int
		weight float64
	}
	var edges []edge
	add := func(ax, ay, bx, by int) {
		squares := make([]float64, channels)
		for c := range squares {
			d := pix[c][ay][ax] - pix[c][by][bx]
			squares[c] = d * d
		}
		edges = append(edges, edge{ay*w + ax, by*w + bx, math.Sqrt(sum(squares))})
	}
	for y := range h {
		for x := 1; x < w; x++ {
			add(x, y, x-1, y)
		}
	}
	for y := 1; y < h; y++ {
		for x := range w {
			add(x, y, x, y-1)
		}
	}
	for y := 1; y < h && !opts.Four; y++ {
		for x := 1; x < w; x++ {
			add(x, y, x-1, y-1)
		}
	}
	for y := 1; y < h && !opts.Four; y++ {
		for x := 1; x < w; x++ {
			add(x, y-1, x-1, y)
		}
	}
	sort.SliceStable(edges, func(i, j int) bool {
		a, b := edges[i].weight, edges[j].weight
		return a < b || b != b && a == a
	})

	parents, sizes, internal := make([]int, w*h), make([]int, w*h), make([]float64, w*h)
	for i := range parents {
		parents[i], sizes[i] = i, 1
	}
	find := func(i int) int {
		for parents[i] != i {
			i = parents[i]
		}
		return i
	}
	join := func(a, b int) int {
		root, other := min(a, b), max(a, b)
		parents[other] = root
		sizes[root] = sizes[a] + sizes[b]
		return root
	}
	scale := opts.Scale / 255
	limit := func(i int) float64 { return float64(float32(internal[i] + scale/float64(sizes[i]))) }
	for _, e := range edges {
		a, b := find(e.a), find(e.b)
		if a == b {
			continue
		}
		la, lb := limit(a), limit(b)
		if lb < la {
			la = lb
		}
		if e.weight < la {
			internal[join(a, b)] = e.weight
		}
	}
	for _, e := range edges {
		a, b := find(e.a), find(e.b)
		if a != b && (sizes[a] < opts.MinSize || sizes[b] < opts.MinSize) {
			join(a, b)
		}
	}

	labels, regions := make([]int32, w*h), map[int]int32{}
	for i := range labels {
		root := find(i) // the first pixel of the region
		if _, ok := regions[root]; !ok {
			regions[root] = int32(len(regions))
		}
		labels[i] = regions[root]
	}
	return labels
}

// correlate filters lines of n samples with a symmetric kernel.
func correlate(n, lines int, kernel []float64, mirrored bool, at func(line, i int) *float64) {
	repeated := 1 // pixels that are repeated at a border
	if mirrored {
		repeated = 0
	}
	mirror := func(i int) int {
		for n > 1 && (i < 0 || i >= n) {
			if i < 0 {
				i = -repeated - i
			} else {
				i = 2*n - 2 + repeated - i
			}
		}
		return max(0, min(i, n-1))
	}
	in := make([]float64, n)
	for line := range lines {
		for i := range in {
			in[i] = *at(line, i)
		}
		for i := range in {
			sum := in[i] * kernel[0]
			for j := len(kernel) - 1; j > 0; j-- {
				sum += float64((in[mirror(i-j)] + in[mirror(i+j)]) * kernel[j])
			}
			*at(line, i) = sum
		}
	}
}
