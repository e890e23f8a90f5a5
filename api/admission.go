package api

import (
	"context"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/semaphore"

	"github.com/proposer/proposer/internal/fairqueue"
)

// maxInFlight exceeds any number of concurrent requests, so that acquiring all of it waits
// until none is left.
const maxInFlight = 1 << 40

// admission limits concurrent work. A request passes the limits in this order: it is counted
// as in flight, reserves memory as its body arrives, takes a slot in the queue, and waits for a
// worker.
type admission struct {
	inFlight *semaphore.Weighted // requests
	memory   *memory
	queue    *fairqueue.Queue // images that wait for a worker or have one, weighed in pixels

	queueDepth, workPixels prometheus.Gauge
	queueWait              prometheus.Histogram
}

func newAdmission(c Config, m *metrics) *admission {
	return &admission{
		inFlight:   semaphore.NewWeighted(maxInFlight),
		memory:     newMemory(c, m),
		queue:      fairqueue.New(c.Workers+c.Queue, c.Workers, c.WorkPixels),
		queueDepth: m.queueDepth,
		workPixels: m.workPixels,
		queueWait:  m.queueWait,
	}
}

// acquire waits until a search of so many pixels may begin. An image larger than WorkPixels is
// searched alone. The error is fairqueue.ErrFull or the context's.
func (a *admission) acquire(ctx context.Context, r *fairqueue.Request, pixels int64) (release func(), err error) {
	start := time.Now()
	a.queueDepth.Inc()
	end, err := r.Begin(ctx, pixels)
	a.queueDepth.Dec()
	if err != nil {
		return nil, err
	}
	a.queueWait.Observe(time.Since(start).Seconds())
	a.workPixels.Add(float64(pixels))
	return func() {
		a.workPixels.Sub(float64(pixels))
		end()
	}, nil
}
