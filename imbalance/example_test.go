package imbalance_test

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"

	"github.com/proposer/proposer/box"
	"github.com/proposer/proposer/imbalance"
)

// A million easy negatives and ten hard positives, as the weights of one element each.
func ExampleLoss_Batch() {
	hard := math.Log(0.01 / 0.99) // the logit of p = 0.01: right for a negative, wrong for a positive
	logits, targets, weights := []float64{hard, hard}, []float64{0, 1}, []float64{1e6, 10}
	for _, l := range []imbalance.Loss{imbalance.CrossEntropy(), imbalance.Focal(), {Gamma: 2}} {
		b, err := l.Batch(logits, targets, weights, imbalance.Sum)
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Printf("γ = %v, α = %v: the negatives have %.1f %%\n", l.Gamma, l.Alpha, 100*b.Values[0]/b.Value)
	}
	// The zero Alpha stands for Uniform.

	// Output:
	// γ = 0, α = {1 1}: the negatives have 99.5 %
	// γ = 2, α = {0.25 0.75}: the negatives have 6.3 %
	// γ = 2, α = {0 0}: the negatives have 2.2 %
}

// Newton's method finds the logit that minimizes the loss of one positive and three negatives.
func ExampleLoss_At() {
	loss, targets, x := imbalance.CrossEntropy(), []float64{1, 0, 0, 0}, 0.0
	for range 6 {
		var gradient, hessian float64
		for _, y := range targets {
			_, g, h := loss.At(x, y)
			gradient, hessian = gradient+g, hessian+h
		}
		x -= gradient / max(hessian, 1e-6) // that of the focal loss may be negative
	}
	fmt.Printf("p = %.4f\n", 1/(1+math.Exp(-x)))
	// Output: p = 0.2500
}

func ExampleInverseFrequency() {
	positives, negatives := int64(50), int64(950)
	w := imbalance.InverseFrequency(1e-6, positives, negatives)
	loss := imbalance.Loss{Alpha: imbalance.Alpha{Positive: w[0], Negative: w[1]}}
	fmt.Printf("%.3f\n", loss.Alpha)
	// Output: {20.000 1.053}
}

func ExampleThresholds_Label() {
	objects := []box.Box{{X0: 10, Y0: 10, X1: 50, Y1: 50}}
	rois := []box.Box{
		{X0: 10, Y0: 10, X1: 50, Y1: 40},
		{X0: 30, Y0: 10, X1: 70, Y1: 50},
		{X0: 80, Y0: 80, X1: 90, Y1: 90},
	}
	labeled, err := imbalance.FastRCNNThresholds().Label(context.Background(), rois, objects, nil)
	for _, r := range labeled {
		fmt.Printf("label %d, object %d, IoU %.2f\n", r.Label, r.GroundTruth, r.IoU)
	}
	fmt.Println(err)
	// Output:
	// label 1, object 0, IoU 0.75
	// label 0, object 0, IoU 0.33
	// label -1, object -1, IoU 0.00
	// <nil>
}

func ExampleSampler_Random() {
	rois := make([]imbalance.RoI, 1000) // all of them background
	for i := range 20 {
		rois[i] = imbalance.RoI{Label: imbalance.Foreground, IoU: 0.8}
	}
	s := imbalance.FastRCNNSampler().Random(rand.New(rand.NewPCG(1, 0)), rois)
	fmt.Println(s.Foreground, s.Background, s.MissingForeground, s.Missing)
	// Output: 20 108 12 0
}

func ExampleOHEM() {
	rois := []imbalance.RoI{{Label: imbalance.Foreground}, {Label: imbalance.Foreground}, {}}
	boxes := []box.Box{
		{X0: 10, Y0: 10, X1: 50, Y1: 50},
		{X0: 11, Y0: 10, X1: 50, Y1: 50}, // overlaps the first
		{X0: 80, Y0: 80, X1: 90, Y1: 90},
	}
	losses := []float64{2, 1.5, 0.3}
	s, err := imbalance.OHEM(context.Background(), rois, boxes, losses, 2, imbalance.OHEMNMS())
	fmt.Println(s.Indices, s.Missing, err)
	// Output: [0 2] 0 <nil>
}

// SSD selects three background RoIs for each foreground RoI.
func ExampleHardNegatives() {
	rois := []imbalance.RoI{{}, {}, {Label: imbalance.Foreground}, {}, {}, {}}
	losses := []float64{0.1, 2, 0.5, 0.2, 3, 0.3}
	s, err := imbalance.HardNegatives(rois, losses, 3)
	fmt.Println(s.Indices, s.Missing, err)
	// Output: [2 1 4 5] 0 <nil>
}

// The model of this example is the largest negative that it was trained on. Larger numbers are false
// positives.
func ExampleMining_Run() {
	negatives := []float64{3, 1, 4, 1, 5, 9, 2, 6}
	var model float64
	m := imbalance.Mining{MaxRounds: 10, AddThreshold: 0.5, DropThreshold: -4, MaxAdded: 2}
	mined, err := m.Run(context.Background(), len(negatives), []int32{1},
		func(_ context.Context, cache []int32) error {
			for _, i := range cache {
				model = max(model, negatives[i])
			}
			return nil
		},
		func(_ context.Context, scores []float64) error {
			for i, v := range negatives {
				scores[i] = v - model
			}
			return nil
		})
	for _, r := range mined.Rounds {
		fmt.Printf("%+v\n", r)
	}
	fmt.Println(mined.Cache, mined.Converged, err)
	// Output:
	// {Trained:1 Found:6 Dropped:0 Added:2}
	// {Trained:3 Found:0 Dropped:0 Added:0}
	// [1 5 7] true <nil>
}
