package api

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"mime/multipart"
	"net"
	"net/http"
	"net/http/httptest"
	"net/textproto"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/proposer/proposer/internal/propose"
	"github.com/proposer/proposer/internal/testutil/scene"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// memoryListener is an in-memory network. Unlike sockets it lets testing/synctest know when all
// goroutines of a test are blocked, so that tests need no real time.
type memoryListener struct {
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func newMemoryListener() *memoryListener {
	return &memoryListener{conns: make(chan net.Conn), closed: make(chan struct{})}
}

func (l *memoryListener) Accept() (net.Conn, error) {
	select {
	case conn := <-l.conns:
		return conn, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *memoryListener) Close() error {
	l.once.Do(func() { close(l.closed) })
	return nil
}

func (l *memoryListener) Addr() net.Addr { return memoryAddr{} }

type memoryAddr struct{}

func (memoryAddr) Network() string { return "memory" }
func (memoryAddr) String() string  { return "service.test:80" }

// dial connects to the listener.
func (l *memoryListener) dial(ctx context.Context) (net.Conn, error) {
	client, server := net.Pipe()
	select {
	case l.conns <- server:
		return client, nil
	case <-l.closed:
		return nil, net.ErrClosed
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func testConfig(t testing.TB) Config {
	cfg := DefaultConfig()
	cfg.Workers, cfg.Queue = 1, 2
	cfg.CacheBytes = 0
	cfg.Logger = slog.New(slog.NewTextHandler(t.Output(), nil))
	return cfg
}

// runSearch is propose.Run, but its times are positive even by the clock of a synctest bubble.
func runSearch(ctx context.Context, data []byte, o propose.Options) (*propose.Result, error) {
	result, err := propose.Run(ctx, data, o)
	if result != nil {
		result.DecodeTime = max(result.DecodeTime, time.Millisecond)
		result.SearchTime = max(result.SearchTime, time.Millisecond)
	}
	return result, err
}

// service is a server on an in-memory network.
type service struct {
	*Server
	url      string
	listener *memoryListener
	client   *http.Client
}

// newService returns a service that does not listen yet.
func newService(t testing.TB, change func(*Config)) *service {
	t.Helper()
	cfg := testConfig(t)
	if change != nil {
		change(&cfg)
	}
	server, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	server.run = runSearch
	listener := newMemoryListener()
	transport := &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) { return listener.dial(ctx) },
	}
	t.Cleanup(transport.CloseIdleConnections)
	return &service{server, "http://" + listener.Addr().String(), listener, &http.Client{Transport: transport}}
}

// start returns a service that listens until the end of the test.
func start(t testing.TB, change func(*Config)) *service {
	t.Helper()
	s := newService(t, change)
	listen(t, s.cfg.httpServer(s), s.listener)
	return s
}

// listen serves ln until the end of the test.
func listen(t testing.TB, hs *http.Server, ln net.Listener) {
	t.Helper()
	var conns sync.WaitGroup
	hs.ConnState = func(_ net.Conn, state http.ConnState) {
		switch state {
		case http.StateNew:
			conns.Add(1)
		case http.StateClosed, http.StateHijacked:
			conns.Done()
		}
	}
	ended := make(chan error, 1)
	go func() { ended <- hs.Serve(ln) }()
	t.Cleanup(func() {
		hs.Close()
		<-ended
		conns.Wait() // net/http keeps connections with unread bodies for a while
	})
}

// serve returns a service that runs Serve until stop is called.
func serve(t testing.TB, change func(*Config)) (s *service, stop func(), ended <-chan error) {
	t.Helper()
	s = newService(t, change)
	ctx, cancel := context.WithCancel(t.Context())
	end := make(chan error, 1)
	go func() { end <- s.Serve(ctx, Listeners{HTTP: s.listener}) }()
	return s, cancel, end
}

// response is a complete HTTP response.
type response struct {
	status int
	header http.Header
	body   []byte
}

func (s *service) do(t testing.TB, method, path, contentType string, body io.Reader) response {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, s.url+path, body)
	if err != nil {
		t.Fatal(err)
	}
	if contentType != "" {
		req.Header.Set("Content-Type", contentType)
	}
	return s.send(t, req)
}

// send sends a request and validates the response against openapi.yaml.
func (s *service) send(t testing.TB, req *http.Request) response {
	t.Helper()
	res, err := s.client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	r := readAll(t, res)
	checkDescribed(t, req, r)
	return r
}

// readAll reads and closes the body of a response.
func readAll(t testing.TB, res *http.Response) response {
	t.Helper()
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response{res.StatusCode, res.Header, body}
}

func (s *service) post(t testing.TB, query string, body []byte) response {
	t.Helper()
	return s.do(t, http.MethodPost, "/v1/proposals?"+query, "", bytes.NewReader(body))
}

// postWith posts a body with header lines, each "Name: value".
func (s *service) postWith(t testing.TB, path, contentType string, body []byte, headers ...string) response {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.url+path, bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if contentType != "" {
		req.Header.Set("Content-Type", contentType)
	}
	for _, h := range headers {
		if name, value, ok := strings.Cut(h, ": "); ok {
			req.Header.Add(name, value)
		}
	}
	return s.send(t, req)
}

// postAsync posts an image and delivers the response, or the error, later.
func (s *service) postAsync(ctx context.Context, png []byte) <-chan any {
	done := make(chan any, 1)
	go func() {
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.url+"/v1/proposals", bytes.NewReader(png))
		if err != nil {
			done <- err
			return
		}
		res, err := s.client.Do(req)
		if err != nil {
			done <- err
			return
		}
		defer res.Body.Close()
		body, err := io.ReadAll(res.Body)
		if err != nil {
			done <- err
			return
		}
		done <- response{res.StatusCode, res.Header, body}
	}()
	return done
}

// wantOK waits for the responses of postAsync and checks their status.
func wantOK(t testing.TB, responses ...<-chan any) {
	t.Helper()
	for i, done := range responses {
		if r, ok := (<-done).(response); !ok || r.status != http.StatusOK {
			t.Errorf("request %d: got %+v, want status 200", i, r)
		}
	}
}

// dial opens a raw connection.
func (s *service) dial(t testing.TB) net.Conn {
	t.Helper()
	conn, err := s.listener.dial(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

// readResponse reads a response from a raw connection.
func readResponse(t testing.TB, conn net.Conn) response {
	t.Helper()
	res, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	return readAll(t, res)
}

// problem checks that the response is a problem of a kind and returns it.
func (r response) problem(t testing.TB, status int, kind string) problem {
	t.Helper()
	var p problem
	d := json.NewDecoder(bytes.NewReader(r.body))
	d.DisallowUnknownFields()
	if err := d.Decode(&p); err != nil {
		t.Fatalf("status %d: %v in %q", r.status, err, r.body)
	}
	if r.status != status || p.Status != status || p.Type != "urn:proposer:problem:"+kind || p.Title == "" || p.Detail == "" {
		t.Errorf("got status %d, problem %+v; want %d %s", r.status, p, status, kind)
	}
	if ct := r.header.Get("Content-Type"); ct != "application/problem+json" {
		t.Errorf("%s: got Content-Type %s", kind, ct)
	}
	if r.header.Get("X-Content-Type-Options") != "nosniff" || r.header.Get(requestIDHeader) == "" {
		t.Errorf("%s: got header %v", kind, r.header)
	}
	retry := status == http.StatusServiceUnavailable || status == http.StatusTooManyRequests
	if got := r.header.Get("Retry-After"); retry != (got != "") {
		t.Errorf("%s: got Retry-After %q, want one only with 429 and 503", kind, got)
	}
	return p
}

// proposals checks that the response has proposals and returns the file name and the boxes.
func (r response) proposals(t testing.TB) (file string, boxes [][4]int) {
	t.Helper()
	var row struct {
		Index         int       `json:"index"`
		File          string    `json:"file"`
		Width         int       `json:"width"`
		Height        int       `json:"height"`
		Seconds       float64   `json:"seconds"`
		DecodeSeconds float64   `json:"decode_seconds"`
		Boxes         [][4]int  `json:"boxes"`
		Scores        []float32 `json:"scores"`
	}
	d := json.NewDecoder(bytes.NewReader(r.body))
	d.DisallowUnknownFields()
	if err := d.Decode(&row); err != nil || r.status != http.StatusOK {
		t.Fatalf("status %d: %v in %.300q", r.status, err, r.body)
	}
	if len(row.Boxes) == 0 || len(row.Boxes) != len(row.Scores) || row.Width == 0 || row.Height == 0 || row.Seconds <= 0 {
		t.Errorf("got %+v, want boxes with scores, the size of the image and times", row)
	}
	if ct := r.header.Get("Content-Type"); ct != "application/json" {
		t.Errorf("got Content-Type %s, want application/json", ct)
	}
	return row.File, row.Boxes
}

// form encodes a multipart form. Each part has a name, a file name and a content.
func form(t testing.TB, parts ...[3]string) (contentType string, body *bytes.Buffer) {
	t.Helper()
	body = &bytes.Buffer{}
	w := multipart.NewWriter(body)
	for _, p := range parts {
		h := textproto.MIMEHeader{}
		disposition := fmt.Sprintf("form-data; name=%q", p[0])
		if p[1] != "" {
			disposition += fmt.Sprintf("; filename=%q", p[1])
		}
		h.Set("Content-Disposition", disposition)
		pw, err := w.CreatePart(h)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(pw, p[2]); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return w.FormDataContentType(), body
}

func small() *scene.Scene { return scene.Render(1, 64, 48, 3) }

// scrape returns the metrics in the text format.
func (s *service) scrape(t testing.TB) string {
	t.Helper()
	w := httptest.NewRecorder()
	s.Admin().ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	if w.Code != http.StatusOK {
		t.Fatalf("metrics: %d %s", w.Code, w.Body)
	}
	return w.Body.String()
}

// wantMetric waits until every goroutine of the test is blocked and checks the value of a metric.
// The test must run in a synctest bubble.
func (s *service) wantMetric(t testing.TB, metric string, want int) {
	t.Helper()
	synctest.Wait()
	if line := fmt.Sprintf("%s %d\n", metric, want); !strings.Contains(s.scrape(t), line) {
		t.Fatalf("want %q in\n%s", line, s.scrape(t))
	}
}

func (s *service) wantInFlight(t testing.TB, want int) {
	t.Helper()
	s.wantMetric(t, "proposer_http_requests_in_flight", want)
}

// gate replaces the search by one that ends when the gate is opened or its context is canceled.
type gate struct {
	begun chan context.Context // receives the context of each search
	open  chan struct{}
}

func newGate(s *Server) *gate {
	g := &gate{make(chan context.Context, 16), make(chan struct{})}
	s.run = func(ctx context.Context, _ []byte, _ propose.Options) (*propose.Result, error) {
		g.begun <- ctx
		select {
		case <-g.open:
			return &propose.Result{Width: 1, Height: 1, DecodeTime: 1, SearchTime: 1}, nil
		case <-ctx.Done():
			return nil, fmt.Errorf("search: %w", ctx.Err())
		}
	}
	return g
}

// wantNoSearch waits until every goroutine of the test is blocked and checks that no further
// search has begun.
func (g *gate) wantNoSearch(t testing.TB) {
	t.Helper()
	synctest.Wait()
	select {
	case <-g.begun:
		t.Error("a search has begun beyond the limit")
	default:
	}
}
