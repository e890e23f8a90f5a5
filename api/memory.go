package api

import (
	"errors"
	"io"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/semaphore"
)

// bodyChunk is the step, in bytes, in which memory for bodies is reserved.
const bodyChunk = 64 << 10

// errOverloaded reports that the memory for bodies is used up.
var errOverloaded = errors.New("memory for request bodies is used up")

// memory is the memory for request bodies.
type memory struct {
	bytes *semaphore.Weighted
	gauge prometheus.Gauge // the reserved bytes
}

func newMemory(c Config, m *metrics) *memory {
	return &memory{bytes: semaphore.NewWeighted(c.BodyMemory), gauge: m.bodyBytes}
}

// A requestBody reserves memory for the bytes that have arrived, not for those announced.
// It remembers its first error, which a multipart reader may hide.
type requestBody struct {
	io.ReadCloser
	memory   *memory
	read     int64 // bytes
	reserved int64 // bytes
	err      error
}

func (b *requestBody) Read(p []byte) (int, error) {
	if b.read == b.reserved {
		if !b.memory.bytes.TryAcquire(bodyChunk) {
			b.err = errOverloaded
			return 0, b.err
		}
		b.reserved += bodyChunk
		b.memory.gauge.Add(bodyChunk)
	}
	n, err := b.ReadCloser.Read(p[:min(int64(len(p)), b.reserved-b.read)])
	b.read += int64(n)
	if err != nil && err != io.EOF {
		b.err = err
	}
	return n, err
}

// release returns the reserved memory. It may be called more than once.
func (b *requestBody) release() {
	b.memory.bytes.Release(b.reserved)
	b.memory.gauge.Sub(float64(b.reserved))
	b.read = 0
	b.reserved = 0
}
