package api

import (
	"context"
	"errors"
	"io"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/semaphore"
)

// maxInFlight is more requests than there can be.
const maxInFlight = 1 << 40

// bodyChunk is how much of the memory for bodies is taken at a time.
const bodyChunk = 64 << 10

// errOverloaded says that there is no place, or no memory for a body.
var errOverloaded = errors.New("the service has as much to do as it may")

// admission is who may go on. In the order in which a request asks: to be admitted at all,
// for memory as its body comes in, for a place in the queue, for a worker.
type admission struct {
	inFlight *semaphore.Weighted // requests that are to be answered
	bodies   *semaphore.Weighted // bytes
	queue    *semaphore.Weighted // requests that wait for a worker or have one
	work     *semaphore.Weighted // pixels
	// least is what the smallest picture takes of work, so that there are at most so many
	// as there are workers; most is all of it.
	minWeight, capacity int64

	bodyBytes, queueDepth, workPixels prometheus.Gauge
	queueWait                         prometheus.Histogram
}

func newAdmission(c Config, m *metrics) *admission {
	least := max(c.WorkPixels/int64(c.Workers), 1)
	return &admission{
		inFlight:  semaphore.NewWeighted(maxInFlight),
		bodies:    semaphore.NewWeighted(c.BodyMemory),
		queue:     semaphore.NewWeighted(int64(c.Workers + c.Queue)),
		work:      semaphore.NewWeighted(least * int64(c.Workers)),
		minWeight: least, capacity: least * int64(c.Workers),
		bodyBytes: m.bodyBytes, queueDepth: m.queueDepth, workPixels: m.workPixels,
		queueWait: m.queueWait,
	}
}

// enqueue takes a place among those that wait or are worked on.
func (a *admission) enqueue() *problem {
	if !a.queue.TryAcquire(1) {
		return overloadProblem()
	}
	return nil
}

// acquire waits until so many pixels may be worked on. First come, first served: a large picture is
// not overtaken by small ones. Who gives up gives its place in the queue back at once.
func (a *admission) acquire(ctx context.Context, pixels int64) (done func(), err error) {
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

// A body is a request's body on its way in. It takes memory for what has come, not for what
// was announced, and remembers why it could not be read to its end, which a form's reader
// may hide.
type body struct {
	io.ReadCloser
	admission *admission
	read      int64
	taken     int64
	err       error
}

func (b *body) Read(p []byte) (int, error) {
	if b.read == b.taken {
		if !b.admission.bodies.TryAcquire(bodyChunk) {
			b.err = errOverloaded
			return 0, b.err
		}
		b.taken += bodyChunk
		b.admission.bodyBytes.Add(bodyChunk)
	}
	n, err := b.ReadCloser.Read(p[:min(int64(len(p)), b.taken-b.read)])
	b.read += int64(n)
	if err != nil && err != io.EOF {
		b.err = err
	}
	return n, err
}

// release gives the memory back.
func (b *body) release() {
	b.admission.bodies.Release(b.taken)
	b.admission.bodyBytes.Sub(float64(b.taken))
	b.read, b.taken = 0, 0
}
