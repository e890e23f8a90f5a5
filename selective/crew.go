package selective

import (
	"cmp"
	"context"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/semaphore"
)

// crew does work on a bounded number of goroutines, the caller's included. Whoever
// brings work does it himself, and is joined by others as they fall idle, so that work may
// bring more work without waiting for a place. Whoever waits for others leaves his place
// to them.
type crew struct {
	threads int
	places  *semaphore.Weighted
}

// newCrew has a place taken, by the caller.
func newCrew(threads int) *crew {
	c := &crew{threads, semaphore.NewWeighted(int64(threads))}
	c.places.TryAcquire(1)
	return c
}

// each does n pieces of work and returns when all are done, or left out because
// another failed; all others it has started have ended by then. The time that they took
// is added to stage, if that is not nil; the caller's own is not.
func (c *crew) each(n int, stage *atomic.Int64, work func(i int) error) error {
	var (
		next   atomic.Int64
		others sync.WaitGroup
		joined atomic.Bool
		failed = make([]error, n)
		do     func()
	)
	do = func() {
		for {
			i := int(next.Add(1)) - 1
			if i >= n {
				return
			}
			if i < n-1 && c.places.TryAcquire(1) {
				joined.Store(true)
				others.Go(func() {
					defer c.places.Release(1)
					begin := time.Now()
					do()
					if stage != nil {
						stage.Add(int64(time.Since(begin)))
					}
				})
			}
			if failed[i] = work(i); failed[i] != nil {
				next.Store(int64(n))
				return
			}
		}
	}
	do()
	if joined.Load() {
		c.places.Release(1)
		others.Wait()
		// Those who have a place are at work, not waiting: there will be one.
		_ = c.places.Acquire(context.Background(), 1)
	}
	return cmp.Or(failed...)
}
