package api

import (
	"errors"
	"io"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

const (
	// requestMemory is reserved for every request: the stacks of its goroutines, the buffers of its
	// connection or stream, and the first buffer of its body.
	requestMemory = 64 << 10
	// headerFieldMemory is reserved for each header field in addition to its bytes.
	headerFieldMemory = 128
	// formMemory is reserved while a multipart form is read: its buffer and the header of a part.
	formMemory = 256 << 10
	// maxRefused is the maximum number of requests without reserved memory, which are answered with
	// 429. The memory for them is set aside.
	maxRefused = 256
)

// errOverloaded reports that there is no memory left for a client.
var errOverloaded = errors.New("the memory for clients is used up")

// memory is the memory that clients can make the service hold. A reservation does not wait, so that two
// requests that hold a part each cannot block each other.
//
// A client has at most two thirds of it: twice as much as is left. n clients that take what they can
// get leave a share of 1/(2n+1) to the others.
type memory struct {
	total int64 // bytes
	gauge prometheus.Gauge

	mu          sync.Mutex
	used        int64
	connections int64            // used bytes that are those of connections
	clients     map[string]int64 // used bytes, if any

	maxRefused int64
	refused    atomic.Int64 // requests
}

func newMemory(c Config, m *metrics) *memory {
	refused := max(min(maxRefused, c.BodyMemory/32/requestMemory), 1)
	return &memory{
		total: c.BodyMemory - refused*requestMemory, gauge: m.bodyBytes,
		clients: map[string]int64{}, maxRefused: refused,
	}
}

// reserve reserves n bytes for a client, or returns errOverloaded.
func (m *memory) reserve(client string, n int64) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.fits(client, n) {
		return errOverloaded
	}
	m.add(client, n)
	return nil
}

func (m *memory) fits(client string, n int64) bool {
	left := m.total - m.used - n
	return left >= 0 && m.clients[client]+n <= 2*left
}

func (m *memory) release(client string, n int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.add(client, -n)
}

// transfer makes bytes that were reserved for one client those of another.
func (m *memory) transfer(from, to string, n int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.add(from, -n)
	m.add(to, n)
}

func (m *memory) add(client string, n int64) {
	m.used += n
	m.gauge.Add(float64(n))
	if held := m.clients[client] + n; held != 0 {
		m.clients[client] = held
	} else {
		delete(m.clients, client)
	}
}

// reserveConnection reserves n bytes for a connection of a client.
func (m *memory) reserveConnection(client string, n int64) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.connections+n > m.total/2 || !m.fits(client, n) {
		return errOverloaded
	}
	m.connections += n
	m.add(client, n)
	return nil
}

func (m *memory) releaseConnection(client string, n int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.connections -= n
	m.add(client, -n)
}

// inUse returns the number of reserved bytes.
func (m *memory) inUse() int64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.used
}

// A reservation is the memory that a request holds. It is a boundedio.Budget.
type reservation struct {
	memory *memory

	mu        sync.Mutex
	client    string
	held      int64
	responses map[*sharedMemory]int // how many times each is held
}

// Reserve reserves n more bytes, or returns errOverloaded.
func (r *reservation) Reserve(n int64) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := r.memory.reserve(r.client, n); err != nil {
		return err
	}
	r.held += n
	return nil
}

// Release returns n reserved bytes.
func (r *reservation) Release(n int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.memory.release(r.client, n)
	r.held -= n
}

// setClient makes the memory that of another client.
func (r *reservation) setClient(client string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.memory.transfer(r.client, client, r.held)
	r.client = client
}

// hold reserves the memory of a response until drop or end, unless another request already has.
func (r *reservation) hold(resp encodedResult) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := resp.shared.acquire(r.memory, r.client, int64(cap(resp.body))); err != nil {
		return err
	}
	if r.responses == nil {
		r.responses = map[*sharedMemory]int{}
	}
	r.responses[resp.shared]++
	return nil
}

// drop releases a response.
func (r *reservation) drop(resp encodedResult) {
	r.mu.Lock()
	defer r.mu.Unlock()
	resp.shared.release(r.memory)
	if r.responses[resp.shared]--; r.responses[resp.shared] == 0 {
		delete(r.responses, resp.shared)
	}
}

// end releases all that the request holds.
func (r *reservation) end() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for shared, n := range r.responses {
		for range n {
			shared.release(r.memory)
		}
	}
	r.memory.release(r.client, r.held)
	r.responses, r.held = nil, 0
}

// sharedMemory is the memory of a response that several requests may be writing. It is that of the
// first one's client. What the cache holds is counted there as well.
type sharedMemory struct {
	mu      sync.Mutex
	holders int
	client  string
	bytes   int64
}

func (s *sharedMemory) acquire(m *memory, client string, bytes int64) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.holders == 0 {
		if err := m.reserve(client, bytes); err != nil {
			return err
		}
		s.client, s.bytes = client, bytes
	}
	s.holders++
	return nil
}

func (s *sharedMemory) release(m *memory) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.holders--; s.holders == 0 {
		m.release(s.client, s.bytes)
	}
}

// headerMemory returns the approximate memory of a parsed header.
func headerMemory(h http.Header) (n int64) {
	for name, values := range h {
		n += int64(len(name))
		for _, v := range values {
			n += int64(len(v)) + headerFieldMemory
		}
	}
	return n
}

// reserve reserves the memory of each request before it is handled, and releases all that the
// request holds at its end. If there is none it answers 429, and if too many requests are being
// refused, because their clients do not read the answer, it closes the connection. Probes need no
// reserved memory, so that an overloaded service is not restarted.
func (s *Server) reserve(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		m, handler := s.admission.memory, next
		rec := recordOf(r)
		rec.memory = &reservation{memory: m, client: rec.client}
		defer rec.memory.end()
		conn, _ := r.Context().Value(connectionKey{}).(*connection)
		err := conn.beginRequest(r.ProtoMajor == 2)
		header := headerMemory(r.Header)
		if err != nil {
			w.Header().Set("Connection", "close")
		} else {
			err = rec.memory.Reserve(requestMemory + header)
		}
		if err != nil {
			defer m.refused.Add(-1)
			if m.refused.Add(1) > m.maxRefused || header > requestMemory {
				rec.problem = overloadProblem()
				panic(http.ErrAbortHandler)
			}
			if !isProbe(r.URL.Path) {
				handler = overloaded
			}
		}
		handler.ServeHTTP(w, r)
		// The client may read the end of the response slowly.
		_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(s.cfg.WriteTimeout)) // not supported by recorders
		if r.ProtoMajor == 2 {
			// What has arrived of the body and the rest of the response would be held until the client
			// has read the response.
			_ = r.Body.Close()
			_ = http.NewResponseController(w).Flush()
		}
	})
}

var overloaded = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fail(w, r, overloadProblem()) })

// A requestBody remembers the first error of a body, which a multipart reader may hide.
type requestBody struct {
	io.ReadCloser
	announced int64 // bytes that have not arrived yet; negative if not announced
	allowed   int64 // bytes that may be read before errPartHeader
	err       error
}

var errPartHeader = errors.New("the header of a part is too long")

// allow limits the bytes that are read until the next call of allow.
func (b *requestBody) allow(n int64) { b.allowed = n }

func (b *requestBody) Read(p []byte) (int, error) {
	if b.allowed == 0 && len(p) > 0 {
		b.err = errPartHeader
		return 0, b.err
	}
	n, err := b.ReadCloser.Read(p[:min(int64(len(p)), b.allowed)])
	b.allowed -= int64(n)
	if b.announced > 0 {
		b.announced -= int64(n)
	}
	if err != nil && err != io.EOF && b.err == nil {
		b.err = err
	}
	return n, err
}
