package api

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/proposer/proposer/internal/auth"
	"github.com/proposer/proposer/internal/testutil/certs"
)

func write(t testing.TB, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func tokens(t testing.TB) *auth.Tokens {
	t.Helper()
	all, err := auth.LoadTokens(write(t, "tokens", "alice alice-0123456789abcdef\nbob bob-0123456789abcdef\n"))
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func TestTokens(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		s := start(t, func(c *Config) {
			c.Authenticator = tokens(t)
			c.Logger = slog.New(slog.NewJSONHandler(&log, nil))
		})
		png := small().PNG()
		for _, header := range []string{"", "Authorization: Bearer ", "Authorization: Bearer alice", "Authorization: Basic alice-0123456789abcdef", "Authorization: alice-0123456789abcdef"} {
			r := s.postWith(t, "/v1/proposals?mode=single", "", png, header)
			r.problem(t, http.StatusUnauthorized, "token")
			if !strings.HasPrefix(r.header.Get("WWW-Authenticate"), "Bearer") {
				t.Errorf("%v", r.header)
			}
			s.postWith(t, inferPath, "", png, header).failure(t, http.StatusUnauthorized)
		}
		for _, path := range []string{"/healthz", "/readyz", "/v2/health/live", "/v2/health/ready", "/docs", "/openapi.yaml"} {
			if r := s.do(t, "GET", path, "", nil); r.status != http.StatusOK {
				t.Errorf("%s: got status %d", path, r.status)
			}
		}
		time.Sleep(time.Minute) // of the bubble: failed logins are limited
		for _, path := range []string{"/v1/modes", "/v2", "/v2/models/selective_search", "/v2/models/selective_search/ready"} {
			if r := s.do(t, "GET", path, "", nil); r.status != http.StatusUnauthorized {
				t.Errorf("%s: got status %d", path, r.status)
			}
		}
		for _, header := range []string{"Authorization: Bearer alice-0123456789abcdef", "Authorization: bearer bob-0123456789abcdef"} {
			s.postWith(t, "/v1/proposals?mode=single", "", png, header).proposals(t)
		}
		s.wantMetric(t, `proposer_token_requests_total{name="alice"}`, 1)
		s.wantMetric(t, `proposer_token_requests_total{name="bob"}`, 1)
		s.wantInFlight(t, 0)
		if l := log.String(); !strings.Contains(l, `"token":"alice"`) || strings.Contains(l, "0123456789abcdef") {
			t.Errorf("want a log with the name of the token and without the token:\n%s", l)
		}
	})
}

func TestClientAddress(t *testing.T) {
	for remote, want := range map[string]string{
		"192.0.2.1:8080":              "192.0.2.1",
		"[::ffff:192.0.2.1]:8080":     "192.0.2.1",
		"[2001:db8:1:2:3:4:5:6]:8080": "2001:db8:1:2::/64",
		"[2001:db8:1:2:ffff::6]:80":   "2001:db8:1:2::/64",
		"[fe80::1%eth0]:80":           "fe80::/64",
		"@":                           "@",
	} {
		if got := clientAddress(remote); got != want {
			t.Errorf("%s: got %q, want %q", remote, got, want)
		}
	}
}

// Requests without a valid token are limited, but not those with one from the same address.
func TestFailedLogins(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := start(t, func(c *Config) { c.Authenticator = tokens(t) })
		post := func(token string) response {
			return s.postWith(t, "/v1/proposals?mode=single", "", small().PNG(), "Authorization: Bearer "+token)
		}
		for range maxFailedLogins {
			post("wrong").problem(t, http.StatusUnauthorized, "token")
		}
		r := post("wrong")
		r.problem(t, http.StatusTooManyRequests, "rate")
		if got := r.header.Get("Retry-After"); got != "6" {
			t.Errorf("got Retry-After %s, want 6", got)
		}
		post("alice-0123456789abcdef").proposals(t)
		time.Sleep(6 * time.Second)
		post("wrong").problem(t, http.StatusUnauthorized, "token")
	})
}

func TestRateLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := start(t, func(c *Config) { c.RateLimit = 3; c.Authenticator = tokens(t) })
		ask := func(token string) response {
			req, _ := http.NewRequestWithContext(t.Context(), "GET", s.url+"/v1/modes", nil)
			req.Header.Set("Authorization", "Bearer "+token)
			return s.send(t, req)
		}
		for range 3 {
			if r := ask("alice-0123456789abcdef"); r.status != http.StatusOK {
				t.Errorf("%d %s", r.status, r.body)
			}
		}
		ask("alice-0123456789abcdef").problem(t, http.StatusTooManyRequests, "rate")
		if r := ask("bob-0123456789abcdef"); r.status != http.StatusOK {
			t.Errorf("another client: %d %s", r.status, r.body)
		}
		// A form counts as its images, also beyond the limit.
		contentType, body := form(t, slices.Repeat([][3]string{{"image", "a.png", string(small().PNG())}}, 8)...)
		token := "Authorization: Bearer bob-0123456789abcdef"
		if r := s.postWith(t, "/v1/proposals?mode=single", contentType, body.Bytes(), token); r.status != http.StatusOK {
			t.Errorf("a form: %d %s", r.status, r.body)
		}
		r := s.postWith(t, "/v1/proposals?mode=single", "", small().PNG(), token)
		r.problem(t, http.StatusTooManyRequests, "rate")
		if got := r.header.Get("Retry-After"); got != "140" { // one and eight images of three per minute, and one more
			t.Errorf("got Retry-After %s, want 140", got)
		}

		anonymous := start(t, func(c *Config) { c.RateLimit = 1 })
		anonymous.do(t, "GET", "/v1/modes", "", nil)
		anonymous.do(t, "GET", "/v1/modes", "", nil).problem(t, http.StatusTooManyRequests, "rate")
		if r := anonymous.do(t, "GET", "/healthz", "", nil); r.status != http.StatusOK {
			t.Errorf("/healthz: got %d, want 200: health checks are not limited", r.status)
		}
	})
}

func TestCORS(t *testing.T) {
	ask := func(s *service, method, origin string) http.Header {
		req, _ := http.NewRequestWithContext(t.Context(), method, s.url+"/v1/modes", nil)
		req.Header.Set("Origin", origin)
		if method == http.MethodOptions {
			req.Header.Set("Access-Control-Request-Method", "POST")
			req.Header.Set("Access-Control-Request-Headers", "authorization")
		}
		res, err := s.client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		return res.Header
	}
	off := start(t, nil)
	for _, method := range []string{"GET", "OPTIONS"} {
		if h := ask(off, method, "https://a.example"); h.Get("Access-Control-Allow-Origin") != "" {
			t.Errorf("off, %s: %v", method, h)
		}
	}
	on := start(t, func(c *Config) { c.CORSOrigins = []string{"https://a.example"}; c.Authenticator = tokens(t) })
	if h := ask(on, "OPTIONS", "https://a.example"); h.Get("Access-Control-Allow-Origin") != "https://a.example" || h.Get("Access-Control-Allow-Methods") != "POST" {
		t.Errorf("preflight: %v", h)
	}
	if h := ask(on, "GET", "https://a.example"); !strings.Contains(h.Get("Access-Control-Expose-Headers"), "Etag") {
		t.Errorf("%v", h)
	}
	for _, method := range []string{"GET", "OPTIONS"} {
		if h := ask(on, method, "https://b.example"); h.Get("Access-Control-Allow-Origin") != "" {
			t.Errorf("another origin, %s: %v", method, h)
		}
	}
}

func TestSecurityHeaders(t *testing.T) {
	s := start(t, nil)
	for _, path := range []string{"/healthz", "/v1/modes", "/nothing", "/docs"} {
		t.Run(path, func(t *testing.T) {
			h := s.do(t, "GET", path, "", nil).header
			if h.Get("X-Content-Type-Options") != "nosniff" || h.Get("Referrer-Policy") != "no-referrer" ||
				!strings.Contains(h.Get("Content-Security-Policy"), "default-src 'none'") || !strings.Contains(h.Get("Content-Security-Policy"), "frame-ancestors 'none'") ||
				h.Get("Cross-Origin-Resource-Policy") != "same-origin" || h.Get("Strict-Transport-Security") != "" {
				t.Errorf("got header %v", h)
			}
		})
	}
}

// certificate returns a self-signed certificate for 127.0.0.1 and a pool that trusts it.
func certificate(t testing.TB) (*auth.Certificate, *x509.CertPool) {
	t.Helper()
	folder := t.TempDir()
	cert, key := filepath.Join(folder, "tls.crt"), filepath.Join(folder, "tls.key")
	pool := certs.WriteSelfSigned(t, cert, key, "proposer", time.Now().Add(time.Hour))
	c, err := auth.LoadCertificate(cert, key)
	if err != nil {
		t.Fatal(err)
	}
	return c, pool
}

func TestTLS(t *testing.T) {
	cert, pool := certificate(t)
	s, stop, ended := serve(t, func(c *Config) { c.TLSConfig, c.CertificateExpiry = cert.TLSConfig(), cert.Expires })
	transport := &http.Transport{
		DialContext:       func(ctx context.Context, _, _ string) (net.Conn, error) { return s.listener.dial(ctx) },
		TLSClientConfig:   &tls.Config{RootCAs: pool, ServerName: "127.0.0.1"},
		ForceAttemptHTTP2: true,
	}
	client := &http.Client{Transport: transport}
	address := strings.TrimPrefix(s.url, "http://")
	res, err := client.Post("https://"+address+"/v1/proposals?mode=single", "image/png", bytes.NewReader(small().PNG()))
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(res.Body)
	res.Body.Close()
	if err != nil || res.StatusCode != http.StatusOK || res.ProtoMajor != 2 || res.Header.Get("Strict-Transport-Security") == "" {
		t.Errorf("%v %s %v %s", err, res.Proto, res.Header, body)
	}
	transport.CloseIdleConnections()
	if want := fmt.Sprintf("proposer_certificate_expiry_timestamp_seconds %v\n", float64(cert.Expires().Unix())); !strings.Contains(s.scrape(t), want) {
		t.Errorf("want %q in the metrics", want)
	}
	if res, err := s.client.Get(s.url + "/healthz"); err == nil { // net/http answers plain HTTP with 400
		res.Body.Close()
		if res.StatusCode != http.StatusBadRequest {
			t.Errorf("plain HTTP: %s", res.Status)
		}
	}
	s.client.CloseIdleConnections()
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

func TestAdmin(t *testing.T) {
	s, err := New(testConfig(t))
	if err != nil {
		t.Fatal(err)
	}
	var listeners [2]net.Listener
	for i := range listeners {
		if listeners[i], err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
			t.Fatal(err)
		}
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(ctx, Listeners{HTTP: listeners[0], Admin: listeners[1]}) }()
	url := "http://" + listeners[1].Addr().String()
	for path, want := range map[string]string{
		"/metrics": "proposer_build_info", "/healthz": "alive", "/readyz": "ready",
		"/debug/pprof/": "goroutine", "/debug/pprof/heap?debug=1": "heap profile", "/debug/pprof/cmdline": "test",
	} {
		res, err := http.Get(url + path)
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(res.Body)
		res.Body.Close()
		if res.StatusCode != http.StatusOK || !strings.Contains(string(body), want) {
			t.Errorf("%s: %s %.200q", path, res.Status, body)
		}
	}
	res, err := http.Post(url+"/v1/proposals", "image/png", bytes.NewReader(small().PNG()))
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	if res.StatusCode != http.StatusNotFound {
		t.Errorf("/v1/proposals on the admin listener: got %s, want 404", res.Status)
	}
	s.draining.Store(true)
	w := httptest.NewRecorder()
	s.Admin().ServeHTTP(w, httptest.NewRequest("GET", "/readyz", nil))
	if w.Code != http.StatusServiceUnavailable {
		t.Errorf("/readyz while draining: got %d, want 503", w.Code)
	}
	http.DefaultClient.CloseIdleConnections()
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if _, err := net.Dial("tcp", listeners[1].Addr().String()); err == nil {
		t.Error("the admin listener is still open")
	}
}
