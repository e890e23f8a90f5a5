package box

import (
	"context"
	"math/rand/v2"
	"testing"
)

// crowds are boxes as those of a search in mode quality are: they crowd around some places.
func crowds(n int) ([]Box, []float32) {
	rng := rand.New(rand.NewPCG(1, 2))
	boxes, worths := make([]Box, n), make([]float32, n)
	var x, y, w, h float64
	for i := range boxes {
		if i%60 == 0 {
			w, h = 20+200*rng.Float64(), 20+200*rng.Float64()
			x, y = (640-w)*rng.Float64(), (480-h)*rng.Float64()
		}
		side := func(at, by float64) int32 { return int32(at + by*.12*rng.NormFloat64()) }
		boxes[i] = Box{side(x, w), side(y, h), side(x+w, w), side(y+h, h)}
		worths[i] = rng.Float32() * rng.Float32()
	}
	rng.Shuffle(n, func(i, j int) { boxes[i], boxes[j] = boxes[j], boxes[i] })
	return boxes, worths
}

func BenchmarkJoin(b *testing.B) {
	boxes, _ := crowds(20_000)
	var g Graph
	edges := 0
	for b.Loop() {
		if err := g.Build(context.Background(), boxes, serial); err != nil {
			b.Fatal(err)
		}
	}
	for i := range boxes {
		for _, n := range g.Histogram(i) {
			edges += int(n)
		}
	}
	b.ReportMetric(float64(edges), "edges")
}

func BenchmarkCover(b *testing.B) {
	boxes, worths := crowds(20_000)
	g := new(Graph)
	if err := g.Build(context.Background(), boxes, serial); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if _, _, err := CoverageOrder(context.Background(), g, worths, 2000, false); err != nil {
			b.Fatal(err)
		}
	}
}
