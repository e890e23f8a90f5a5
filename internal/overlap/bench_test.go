package overlap

import (
	"context"
	"math/rand/v2"
	"testing"

	"github.com/proposer/proposer/box"
)

// clusteredBoxes returns boxes in clusters, like those of a search in mode quality, and scores.
func clusteredBoxes(n int) ([]box.Box, []float32) {
	rng := rand.New(rand.NewPCG(1, 2))
	boxes, scores := make([]box.Box, n), make([]float32, n)
	var x, y, w, h float64
	for i := range boxes {
		if i%60 == 0 {
			w, h = 20+200*rng.Float64(), 20+200*rng.Float64()
			x, y = (640-w)*rng.Float64(), (480-h)*rng.Float64()
		}
		jitter := func(at, by float64) int32 { return int32(at + by*.12*rng.NormFloat64()) }
		boxes[i] = box.Box{X0: jitter(x, w), Y0: jitter(y, h), X1: jitter(x+w, w), Y1: jitter(y+h, h)}
		scores[i] = rng.Float32() * rng.Float32()
	}
	rng.Shuffle(n, func(i, j int) { boxes[i], boxes[j] = boxes[j], boxes[i] })
	return boxes, scores
}

func BenchmarkBuild(b *testing.B) {
	boxes, _ := clusteredBoxes(20_000)
	var g Graph
	for b.Loop() {
		if err := g.Build(context.Background(), boxes, nil); err != nil {
			b.Fatal(err)
		}
	}
	edges := 0
	for i := range boxes {
		for _, n := range g.Histogram(i) {
			edges += int(n)
		}
	}
	b.ReportMetric(float64(edges), "edges")
}

func BenchmarkCoverageOrder(b *testing.B) {
	boxes, scores := clusteredBoxes(20_000)
	g := build(b, boxes)
	for b.Loop() {
		if _, _, err := CoverageOrder(context.Background(), g, scores, 2000, false); err != nil {
			b.Fatal(err)
		}
	}
}
