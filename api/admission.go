package api

import (
	"context"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/semaphore"
)

// maxInFlight exceeds any number of concurrent requests, so that acquiring all of it waits
// until none is left.
const maxInFlight = 1 << 40

// admission limits concurrent work. A request passes the limits in this order: it is counted
// as in flight, reserves memory as its body arrives, takes a slot in the queue, and acquires
// pixels for the search.
type admission struct {
	inFlight *semaphore.Weighted // requests
	memory   *memory
	queue    *semaphore.Weighted // images that wait for a worker or have one
	work     *semaphore.Weighted // pixels

	// minWeight is what an image takes of work at least, so that there are never more searches
	// than workers. capacity is all of work.
	minWeight, capacity int64

	queueDepth, workPixels prometheus.Gauge
	queueWait              prometheus.Histogram
}

func newAdmission(c Config, m *metrics) *admission {
	minWeight := max(c.WorkPixels/int64(c.Workers), 1)
	capacity := minWeight * int64(c.Workers)
	return &admission{
		inFlight:   semaphore.NewWeighted(maxInFlight),
		memory:     newMemory(c, m),
		queue:      semaphore.NewWeighted(int64(c.Workers + c.Queue)),
		work:       semaphore.NewWeighted(capacity),
		minWeight:  minWeight,
		capacity:   capacity,
		queueDepth: m.queueDepth,
		workPixels: m.workPixels,
		queueWait:  m.queueWait,
	}
}

// enqueue takes a slot in the queue, or returns a problem if there is none. The caller
// releases the slot with dequeue.
func (a *admission) enqueue() *problem {
	if !a.queue.TryAcquire(1) {
		return overloadProblem()
	}
	return nil
}

func (a *admission) dequeue() { a.queue.Release(1) }

// acquire waits until a search of so many pixels may begin, in FIFO order: small images do
// not overtake a large one. An image larger than the capacity is searched alone. The only
// error is the context's.
func (a *admission) acquire(ctx context.Context, pixels int64) (release func(), err error) {
	weight := min(max(pixels, a.minWeight), a.capacity)
	start := time.Now()
	if !a.work.TryAcquire(weight) {
		a.queueDepth.Inc()
		err := a.work.Acquire(ctx, weight)
		a.queueDepth.Dec()
		if err != nil {
			return nil, err
		}
	}
	a.queueWait.Observe(time.Since(start).Seconds())
	a.workPixels.Add(float64(pixels))
	return func() {
		a.workPixels.Sub(float64(pixels))
		a.work.Release(weight)
	}, nil
}
