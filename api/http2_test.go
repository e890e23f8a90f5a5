package api

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"github.com/proposer/proposer/internal/propose"
)

// useHTTP2 makes the client of a service speak HTTP/2 without TLS.
func (s *service) useHTTP2() {
	var protocols http.Protocols
	protocols.SetUnencryptedHTTP2(true)
	s.client.Transport.(*http.Transport).Protocols = &protocols
}

func startHTTP2(t testing.TB, change func(*Config)) *service {
	t.Helper()
	s := start(t, func(c *Config) {
		c.UnencryptedHTTP2 = true
		if change != nil {
			change(c)
		}
	})
	s.useHTTP2()
	return s
}

func TestHTTP2WithoutTLS(t *testing.T) {
	s := startHTTP2(t, nil)
	png := small().PNG()
	res, err := s.client.Post(s.url+"/v1/proposals?mode=single", "image/png", bytes.NewReader(png))
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(res.Body)
	res.Body.Close()
	if err != nil || res.StatusCode != http.StatusOK || res.ProtoMajor != 2 || res.Header.Get("Strict-Transport-Security") != "" || !bytes.Contains(body, []byte(`"boxes":[[`)) {
		t.Errorf("%v, %s %s %v %s", err, res.Proto, res.Status, res.Header, body)
	}
	// HTTP/1.1 is spoken as well.
	conn := s.dial(t)
	fmt.Fprintf(conn, "POST /v1/proposals?mode=single HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s", len(png), png)
	if r := readResponse(t, conn); r.status != http.StatusOK {
		t.Errorf("HTTP/1.1: got %d %s", r.status, r.body)
	}
}

func TestHTTP2IsOffByDefault(t *testing.T) {
	s := start(t, nil)
	s.useHTTP2()
	if res, err := s.client.Get(s.url + "/healthz"); err == nil {
		res.Body.Close()
		t.Errorf("got %s %s, want an error", res.Proto, res.Status)
	}
	cfg := testConfig(t)
	cert, _ := certificate(t)
	cfg.UnencryptedHTTP2, cfg.TLSConfig = true, cert.TLSConfig()
	if _, err := New(cfg); err == nil || !strings.Contains(err.Error(), "h2c true: want false with TLS") {
		t.Errorf("with TLS: got %v", err)
	}
	if admin := mustNew(t, func(c *Config) { c.UnencryptedHTTP2 = true }).adminServer(); admin.Protocols != nil {
		t.Errorf("the admin address speaks %v", admin.Protocols)
	}
}

func mustNew(t testing.TB, change func(*Config)) *Server {
	t.Helper()
	return newService(t, change).Server
}

// The limits of a request and of the work in progress do not depend on the protocol.
func TestHTTP2Limits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := startHTTP2(t, func(c *Config) { c.BodyTimeout = 200 * time.Millisecond; c.MaxImageBytes = 90_000 })
		g := newGate(s.Server)
		png := small().PNG()

		// All requests are on one connection: one worker, two waiting.
		working := s.postAsync(t.Context(), png)
		<-g.begun
		waiting := []<-chan any{s.postAsync(t.Context(), png), s.postAsync(t.Context(), png)}
		s.wantInFlight(t, 3)
		s.post(t, "", png).problem(t, http.StatusTooManyRequests, "full")
		g.wantNoSearch(t)
		time.Sleep(2 * s.cfg.BodyTimeout) // of the bubble; it excludes the search
		close(g.open)
		wantOK(t, append(waiting, working)...)

		s.post(t, "", make([]byte, 90_001)).problem(t, http.StatusRequestEntityTooLarge, "size")
		slow, stop := io.Pipe()
		defer stop.Close()
		s.do(t, "POST", "/v1/proposals", "image/png", slow).problem(t, http.StatusRequestTimeout, "slow")

		req, _ := http.NewRequestWithContext(t.Context(), "GET", s.url+"/healthz", nil)
		req.Header.Set("X-Long", strings.Repeat("x", 20<<10))
		if res, err := s.client.Do(req); err == nil {
			res.Body.Close()
			if res.StatusCode != http.StatusRequestHeaderFieldsTooLarge {
				t.Errorf("a long header: got %s, want 431", res.Status)
			}
		}
		s.wantInFlight(t, 0)
	})
}

// A request that its client cancels gives its worker back, and the connection serves others.
func TestHTTP2Cancel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := startHTTP2(t, nil)
		g := newGate(s.Server)
		ctx, cancel := context.WithCancel(t.Context())
		canceled := s.postAsync(ctx, small().PNG())
		search := <-g.begun
		cancel()
		<-search.Done()
		<-canceled
		next := s.postAsync(t.Context(), small().PNG())
		<-g.begun
		close(g.open)
		wantOK(t, next)
		s.wantInFlight(t, 0)
	})
}

// Shutdown waits for the requests of a connection, and closes it.
func TestHTTP2Drain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, stop, ended := serve(t, func(c *Config) { c.UnencryptedHTTP2 = true })
		s.useHTTP2()
		g := newGate(s.Server)
		working := s.postAsync(t.Context(), small().PNG())
		<-g.begun
		stop()
		synctest.Wait()
		s.post(t, "", small().PNG()).problem(t, http.StatusServiceUnavailable, "draining")
		close(g.open)
		wantOK(t, working)
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

// http2Conn is a raw connection.
type http2Conn struct {
	net.Conn
	framer *http2.Framer
	header bytes.Buffer
	encode *hpack.Encoder
	ended  chan error // why reading ended
}

// dialHTTP2 opens a raw connection that calls read with each frame of the service.
func (s *service) dialHTTP2(t testing.TB, read func(http2.Frame)) *http2Conn {
	t.Helper()
	c, err := s.tryHTTP2(t, read)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// tryHTTP2 is dialHTTP2, but the service may close the connection.
func (s *service) tryHTTP2(t testing.TB, read func(http2.Frame)) (*http2Conn, error) {
	t.Helper()
	c := &http2Conn{Conn: s.dial(t), ended: make(chan error, 1)}
	c.framer = http2.NewFramer(c, c)
	c.encode = hpack.NewEncoder(&c.header)
	go func() {
		for {
			frame, err := c.framer.ReadFrame()
			if err != nil {
				c.ended <- err
				return
			}
			read(frame)
		}
	}()
	if _, err := io.WriteString(c, http2.ClientPreface); err != nil {
		return nil, err
	}
	return c, c.framer.WriteSettings()
}

// postAndCancel begins a request and cancels it.
func (c *http2Conn) postAndCancel(stream uint32, body []byte) error {
	c.header.Reset()
	for _, f := range [][2]string{{":method", "POST"}, {":scheme", "http"}, {":authority", "x"}, {":path", "/v1/proposals"}} {
		if err := c.encode.WriteField(hpack.HeaderField{Name: f[0], Value: f[1]}); err != nil {
			return err
		}
	}
	if err := c.framer.WriteHeaders(http2.HeadersFrameParam{StreamID: stream, BlockFragment: c.header.Bytes(), EndHeaders: true}); err != nil {
		return err
	}
	if err := c.framer.WriteData(stream, true, body); err != nil {
		return err
	}
	return c.framer.WriteRSTStream(stream, http2.ErrCodeCancel)
}

// The service announces its limits.
func TestHTTP2Settings(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := startHTTP2(t, nil)
		got := map[http2.SettingID]uint32{}
		c := s.dialHTTP2(t, func(frame http2.Frame) {
			if settings, ok := frame.(*http2.SettingsFrame); ok {
				_ = settings.ForeachSetting(func(setting http2.Setting) error { got[setting.ID] = setting.Val; return nil })
			}
		})
		synctest.Wait()
		if got[http2.SettingMaxConcurrentStreams] != maxStreams || got[http2.SettingInitialWindowSize] != receiveBuffer ||
			got[http2.SettingMaxHeaderListSize] > 20<<10 {
			t.Errorf("got settings %v", got)
		}
		// An idle connection is closed.
		time.Sleep(time.Minute) // of the bubble
		<-c.ended
	})
}

// A client that opens and cancels requests without end, faster than they end, loses its connection.
// Others are served meanwhile.
func TestHTTP2RapidReset(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := startHTTP2(t, func(c *Config) { c.Workers = 1000 })
		stuck := make(chan struct{})
		var searches atomic.Int64
		s.run = func(ctx context.Context, _ []byte, _ propose.Options) (*propose.Result, error) {
			searches.Add(1)
			<-stuck // a decoder cannot be interrupted
			return nil, ctx.Err()
		}
		image := small().PNG()
		reason := make(chan http2.ErrCode, 1)
		c := s.dialHTTP2(t, func(frame http2.Frame) {
			if away, ok := frame.(*http2.GoAwayFrame); ok && away.ErrCode != http2.ErrCodeNo {
				reason <- away.ErrCode
			}
		})
		requests := 0
		for ; requests < 1000*maxStreams; requests++ {
			if c.postAndCancel(uint32(2*requests+1), image) != nil {
				break
			}
		}
		if got := <-reason; got != http2.ErrCodeEnhanceYourCalm {
			t.Errorf("closed with %v after %d canceled requests", got, requests)
		}
		<-c.ended
		synctest.Wait()
		if n := searches.Load(); n > maxStreams {
			t.Errorf("%d searches of one connection, want at most %d", n, maxStreams)
		}
		if r := s.do(t, "GET", "/healthz", "", nil); r.status != http.StatusOK {
			t.Errorf("another connection: got %d", r.status)
		}
		close(stuck)
		s.wantInFlight(t, 0)
	})
}
