package api

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
	"pgregory.net/rapid"

	"github.com/proposer/proposer/api/openinference"
	"github.com/proposer/proposer/box"
	"github.com/proposer/proposer/internal/imageio"
	"github.com/proposer/proposer/internal/propose"
)

func newTestMemory(total int64) *memory {
	return &memory{total: total, gauge: prometheus.NewGauge(prometheus.GaugeOpts{}), clients: map[string]int64{}}
}

// No sequence of calls exceeds the budget, gives a client more than its share, or loses memory.
func TestMemory(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		const total = 1000
		m := newTestMemory(total)
		var requests []*reservation
		responses := make([]encodedResult, 3)
		for i := range responses {
			responses[i] = newEncodedResult(make([]byte, 100*(i+1)), "")
		}
		request := func(t *rapid.T) *reservation {
			if len(requests) == 0 {
				t.Skip("no request")
			}
			return rapid.SampledFrom(requests).Draw(t, "request")
		}
		drawClient := func(t *rapid.T) string { return rapid.SampledFrom([]string{"a", "b", "c"}).Draw(t, "client") }
		t.Repeat(map[string]func(*rapid.T){
			"begin": func(t *rapid.T) { requests = append(requests, &reservation{memory: m, client: drawClient(t)}) },
			"end": func(t *rapid.T) {
				request(t).end() // may be called more than once
			},
			"reserve": func(t *rapid.T) {
				r, n := request(t), rapid.Int64Range(0, total).Draw(t, "n")
				held, left := m.clients[r.client], total-m.used
				err := r.Reserve(n)
				if want := n <= left && held+n <= 2*(left-n); (err == nil) != want {
					t.Fatalf("%d bytes with %d held and %d left: %v", n, held, left, err)
				}
			},
			"release": func(t *rapid.T) {
				r := request(t)
				r.Release(rapid.Int64Range(0, r.held).Draw(t, "n"))
			},
			"client": func(t *rapid.T) { request(t).setClient(drawClient(t)) },
			"hold":   func(t *rapid.T) { _ = request(t).hold(rapid.SampledFrom(responses).Draw(t, "response")) },
			"drop": func(t *rapid.T) {
				r, resp := request(t), rapid.SampledFrom(responses).Draw(t, "response")
				if r.responses[resp.shared] > 0 {
					r.drop(resp)
				}
			},
			"": func(t *rapid.T) {
				want := int64(0)
				for _, r := range requests {
					want += r.held
				}
				for _, resp := range responses {
					if resp.shared.holders > 0 {
						want += int64(len(resp.body))
					}
				}
				sum := int64(0)
				for _, n := range m.clients {
					sum += n
				}
				if m.inUse() != want || sum != want || want > total {
					t.Fatalf("%d bytes are reserved, %d of clients: want %d, at most %d", m.inUse(), sum, want, total)
				}
			},
		})
		for _, r := range requests {
			r.end()
		}
		if m.inUse() != 0 || len(m.clients) != 0 {
			t.Fatalf("%d bytes of %v remain", m.inUse(), m.clients)
		}
	})
}

// A client that takes all it can get leaves a third to the others.
func TestMemoryShares(t *testing.T) {
	m := newTestMemory(27 << 10)
	for i, want := range []int64{18 << 10, 6 << 10, 2 << 10} {
		r := reservation{memory: m, client: fmt.Sprint(i)}
		for r.Reserve(1) == nil {
		}
		if r.held < want-1 || r.held > want+1 {
			t.Errorf("client %d has %d bytes, want %d", i, r.held, want)
		}
	}
}

// A body is rejected if there is no memory for it, whatever the others wait for.
func TestBodyMemory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := start(t, func(c *Config) {
			c.MaxImageBytes, c.BodyMemory = 1<<20, 4<<20
			c.Workers, c.Queue = 1, 8
		})
		g := newGate(s.Server)
		large := append(small().PNG(), make([]byte, 900<<10)...)
		working := s.postAsync(t.Context(), large)
		<-g.begun
		waiting := s.postAsync(t.Context(), large)
		s.wantInFlight(t, 2)
		s.post(t, "", large).problem(t, http.StatusTooManyRequests, "full")
		also := s.postAsync(t.Context(), small().PNG())
		s.wantInFlight(t, 3)
		close(g.open)
		wantOK(t, working, waiting, also)
		s.wantMetric(t, "proposer_body_bytes", 0)
	})
}

// The smallest BodyMemory suffices for an image in base64, of any size from about 2 MiB.
func TestMinBodyMemory(t *testing.T) {
	for _, size := range []int64{5 << 19, 3 << 20, 3<<20 + 999, 5 << 20} { // base64 of 3 MiB takes 4 MiB
		s := start(t, func(c *Config) {
			c.MaxImageBytes, c.BodyMemory = size, minBodyMemory(size)
		})
		image := append(small().PNG(), make([]byte, size)...)[:size]
		body := fmt.Sprintf(`{"inputs":[{"name":"image","shape":[1],"datatype":"BYTES","data":[%q]}]}`, base64.StdEncoding.EncodeToString(image))
		if r := s.do(t, "POST", inferPath, "application/json", strings.NewReader(body)); r.status != http.StatusOK {
			t.Errorf("%d bytes: got status %d, %s", size, r.status, r.body)
		}
	}
}

// heap returns the bytes of the heap that are in use.
func heap() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc + m.StackInuse)
}

// attackMemory is the budget of the service under attack, in bytes.
const attackMemory = 16 << 20

// attack calls send on a number of connections to a service, and checks that the service holds no more
// memory than its budget.
func attack(t *testing.T, connections int, send func(t *testing.T, s *service)) {
	synctest.Test(t, func(t *testing.T) {
		s, stop, ended := serve(t, func(c *Config) {
			c.BodyMemory, c.MaxImageBytes = attackMemory, 4<<20
			c.UnencryptedHTTP2 = true
			c.ShutdownTimeout = 0
		})
		before := heap()
		for range connections {
			send(t, s)
		}
		synctest.Wait()
		reserved := s.admission.memory.inUse()
		if got := heap() - before; got > attackMemory || reserved > attackMemory || reserved < attackMemory/8 {
			t.Errorf("the service holds %d bytes, with %d reserved: want at most %d", got, reserved, attackMemory)
		}
		stop()
		<-ended
		time.Sleep(time.Minute) // of the bubble: net/http keeps connections with unread bodies for a while
		synctest.Wait()
		if n := s.admission.memory.inUse(); n != 0 {
			t.Errorf("%d bytes remain reserved", n)
		}
	})
}

// What clients begin and do not end takes no more memory than the budget.
func TestAttacks(t *testing.T) {
	t.Run("bodies of HTTP/1.1", func(t *testing.T) {
		attack(t, 100, func(t *testing.T, s *service) {
			fmt.Fprint(s.dial(t), "POST /v1/proposals HTTP/1.1\r\nHost: x\r\nContent-Length: 4000000\r\n\r\nxyz")
		})
	})
	t.Run("bodies of HTTP/2", func(t *testing.T) {
		attack(t, 10, func(t *testing.T, s *service) {
			c, err := s.tryHTTP2(t, func(http2.Frame) {})
			for i := range maxStreams {
				if err != nil || c.beginPost(uint32(2*i+1), "4000000", []byte("xyz")) != nil {
					return // closed
				}
			}
		})
	})
	t.Run("responses that are not read", func(t *testing.T) {
		const boxes = 50_000 // about 1 MB
		result := &propose.Result{Width: 64, Height: 48, Scores: make([]float32, boxes), DecodeTime: 1, SearchTime: 1}
		result.Boxes = slices.Repeat([]box.Box{{X0: 1, Y0: 2, X1: 63, Y1: 47}}, boxes)
		png := small().PNG()
		attack(t, 50, func(t *testing.T, s *service) {
			s.run = func(context.Context, []byte, propose.Options) (*propose.Result, error) { return result, nil }
			c, err := s.listener.dial(t.Context())
			if err == nil {
				t.Cleanup(func() { c.Close() })
				_, _ = fmt.Fprintf(c, "POST /v1/proposals HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s", len(png), png) // may be closed
			}
			synctest.Wait() // one after another, so that none waits in the queue
		})
	})
	t.Run("headers of HTTP/1.1", func(t *testing.T) {
		var header strings.Builder
		header.WriteString("GET / HTTP/1.1\r\n")
		for i := 0; header.Len() < maxHeaderBytes; i++ {
			fmt.Fprintf(&header, "%s:\r\n", strconv.FormatInt(int64(i), 36))
		}
		attack(t, 100, func(t *testing.T, s *service) {
			_, _ = io.WriteString(s.dial(t), header.String()) // the connection may be closed
		})
	})
}

// beginPost begins a request of announced length and sends the first bytes of its body.
func (c *http2Conn) beginPost(stream uint32, length string, body []byte) error {
	c.header.Reset()
	for _, f := range [][2]string{{":method", "POST"}, {":scheme", "http"}, {":authority", "x"}, {":path", "/v1/proposals"}, {"content-length", length}} {
		if err := c.encode.WriteField(hpack.HeaderField{Name: f[0], Value: f[1]}); err != nil {
			return err
		}
	}
	if err := c.framer.WriteHeaders(http2.HeadersFrameParam{StreamID: stream, BlockFragment: c.header.Bytes(), EndHeaders: true}); err != nil {
		return err
	}
	return c.framer.WriteData(stream, false, body)
}

// The size of a response is estimated before the search: what photographs usually make is tried.
func TestCheckSize(t *testing.T) {
	s := mustNew(t, nil)
	for _, c := range []struct {
		query         string
		width, height int
		want          string // of the problem; empty if the size is accepted
	}{
		{"", 10000, 5000, ""},
		{"max=0", 10000, 5000, ""},
		{"masks=rle&evidence=1&tree=1", 5400, 3600, ""},
		{"max=0&masks=rle&evidence=1&tree=1", 640, 480, ""},
		{"max=0&masks=rle&evidence=1&tree=1&mode=quality", 500, 375, ""},
		{"max=0&masks=rle&mode=quality", 640, 480, ""},
		{"max=0&masks=rle", 2048, 1536, ""},
		{"max=0&evidence=1&tree=1", 4000, 3000, ""},
		{"max=0&masks=rle&evidence=1&tree=1", 5400, 3600, "max 0: want a whole number from 1 to 40000, or a smaller max-side"},
		{"max=100000&masks=rle&mode=quality", 5400, 3600, "max 100000: want a whole number from 1 to 80000, or a smaller max-side"},
		{"max=0&masks=rle&evidence=1&tree=1&max-side=640", 5400, 3600, ""},
		{"max=0&masks=rle&min-area=0.1", 5400, 3600, ""}, // few boxes may be left
		{"tree=1", 10000, 5000, "tree 1: want 0, or a max-side of at most 6853"},
	} {
		q, p := s.parseQuery(c.query, nil, representations[0])
		if p != nil {
			t.Fatal(c.query, p.Detail)
		}
		got := ""
		if e, ok := errors.AsType[*responseSizeError](q.checkSize(imageio.Header{Width: c.width, Height: c.height})); ok {
			got = fmt.Sprintf("%s %s: want %s", e.field.Name, e.field.Value, e.field.Want)
		}
		if got != c.want {
			t.Errorf("%s at %d×%d: got %q, want %q", c.query, c.width, c.height, got, c.want)
		}
	}
}

// A response that would be too large is not encoded.
func TestResponseSize(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := start(t, nil)
		s.run = func(context.Context, []byte, propose.Options) (*propose.Result, error) {
			n := 2_000_000
			return &propose.Result{Width: 64, Height: 48, Boxes: make([]box.Box, n), Scores: make([]float32, n), DecodeTime: 1, SearchTime: 1}, nil
		}
		for _, media := range []string{"application/json", "text/csv", "application/x-npy", "application/octet-stream"} {
			p := s.postWith(t, "/v1/proposals?max=0", "", small().PNG(), "Accept: "+media).problem(t, http.StatusRequestEntityTooLarge, "size")
			if len(p.Errors) != 1 || p.Errors[0].Name != "max" || !strings.HasPrefix(p.Detail, "the response would have about") {
				t.Errorf("%s: got %+v", media, p)
			}
		}
		s.postWith(t, inferPath, "application/octet-stream", small().PNG(), openinference.HeaderLength+": 0").failure(t, http.StatusRequestEntityTooLarge)
		s.wantMetric(t, "proposer_body_bytes", 0)
	})
}

// Connections have half of the memory. An HTTP/2 connection beyond that is refused with its first request.
func TestConnectionMemory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, stop, ended := serve(t, func(c *Config) {
			c.BodyMemory, c.MaxImageBytes = attackMemory, 4<<20
			c.UnencryptedHTTP2 = true
			c.ShutdownTimeout = 0
		})
		var refused atomic.Int64
		most := int(s.admission.memory.total / 2 / (connectionMemory + http2Memory))
		for i := range most + 1 {
			c := s.dialHTTP2(t, func(frame http2.Frame) {
				if _, ok := frame.(*http2.GoAwayFrame); ok {
					refused.Add(1)
				}
			})
			if err := c.beginPost(1, "4000000", []byte("xyz")); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
			if n := refused.Load(); n != int64(i/most) {
				t.Fatalf("%d of %d connections are refused, want those after %d", n, i+1, most)
			}
		}
		time.Sleep(5 * time.Second) // of the bubble: the refused connection is closed
		if r := s.do(t, "GET", "/healthz", "", nil); r.status != http.StatusOK {
			t.Errorf("got %d, want 200", r.status)
		}
		s.client.CloseIdleConnections()
		stop()
		<-ended
		time.Sleep(time.Minute) // of the bubble
		synctest.Wait()
		if m := s.admission.memory; m.inUse() != 0 || m.connections != 0 {
			t.Errorf("%d bytes remain reserved, %d for connections", m.inUse(), m.connections)
		}
	})
}
