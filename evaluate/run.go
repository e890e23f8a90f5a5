package evaluate

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/proposer/proposer/box"
	"github.com/proposer/proposer/dataset"
)

// Proposals is the outcome of the search of one image.
type Proposals struct {
	// Boxes holds the proposals, best first.
	Boxes []box.Box
	// Took is the time of the search, or 0 if it is unknown.
	Took time.Duration
	// Repeatability is the result of [Repeatability], or nil if it was not measured.
	Repeatability []float64
}

// Result is the outcome of [Run].
type Result struct {
	Report *Report
	// Repeatability is the mean over the images for which it was measured, or nil if there are
	// none.
	Repeatability []float64
	// Errors holds the error of each image, nil for those that were searched.
	Errors []error
}

// Run searches images on a number of goroutines and evaluates the proposals. The function search
// returns the proposals for images[i]; it is called from several goroutines. If it returns an
// error, Run records the error and evaluates the proposals returned with it, usually none.
//
// The report does not depend on the number of workers. Run returns an error if opts are invalid or
// the context is canceled.
func Run(
	ctx context.Context, images []dataset.Image, opts Options, workers int,
	search func(ctx context.Context, i int) (Proposals, error),
) (*Result, error) {
	evaluators := make([]*Evaluator, max(1, min(workers, len(images))))
	for i := range evaluators {
		var err error
		if evaluators[i], err = New(opts); err != nil {
			return nil, err
		}
	}

	result := &Result{Errors: make([]error, len(images))}
	repeatability := make([][]float64, len(images))
	var next atomic.Int64
	var wg sync.WaitGroup
	for _, e := range evaluators {
		wg.Go(func() {
			for ctx.Err() == nil {
				i := int(next.Add(1)) - 1
				if i >= len(images) {
					return
				}
				p, err := search(ctx, i)
				e.Add(&images[i], p.Boxes, p.Took)
				repeatability[i] = p.Repeatability
				result.Errors[i] = err
			}
		})
	}
	wg.Wait()
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}

	for _, e := range evaluators[1:] {
		if err := evaluators[0].Merge(e); err != nil {
			return nil, err
		}
	}
	result.Report = evaluators[0].Report()
	result.Repeatability = means(repeatability)
	return result, nil
}

// means returns the mean of the rows that are not nil, column by column, or nil if there are none.
func means(rows [][]float64) []float64 {
	var sums []float64
	n := 0
	for _, row := range rows {
		if row == nil {
			continue
		}
		if sums == nil {
			sums = make([]float64, len(row))
		}
		n++
		for i, v := range row {
			sums[i] += v
		}
	}
	for i := range sums {
		sums[i] /= float64(n)
	}
	return sums
}
