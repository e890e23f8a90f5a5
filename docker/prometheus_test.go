package docker

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/proposer/proposer/internal/testutil/e2e"
	"github.com/proposer/proposer/internal/testutil/scene"
)

// process is a running program.
type process struct {
	cmd  *exec.Cmd
	mu   sync.Mutex
	log  strings.Builder
	done chan struct{} // closed at the end of its standard error
}

// startProcess starts a program and terminates it at the end of the test. It calls onLine for each
// line of the program's standard error, which it logs if the test fails.
func startProcess(t *testing.T, onLine func(string), attr *syscall.SysProcAttr, name string, args ...string) *process {
	t.Helper()
	p := &process{cmd: exec.Command(name, args...), done: make(chan struct{})}
	p.cmd.SysProcAttr = attr
	p.cmd.Env = []string{"PATH=" + os.Getenv("PATH")}
	if attr != nil && attr.Chroot != "" {
		p.cmd.Dir = "/"
	}
	out, err := p.cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(p.done)
		for s := bufio.NewScanner(out); s.Scan(); {
			p.mu.Lock()
			fmt.Fprintln(&p.log, s.Text())
			p.mu.Unlock()
			onLine(s.Text())
		}
	}()
	t.Cleanup(func() {
		_ = p.cmd.Process.Signal(syscall.SIGTERM) // fails if the program has exited already
		<-p.done
		if err := p.cmd.Wait(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if t.Failed() {
			t.Logf("%s:\n%s", name, tail(p.log.String(), 4000))
		}
	})
	return p
}

// tail returns the last n bytes of s.
func tail(s string, n int) string { return s[max(len(s)-n, 0):] }

// untilDeadline returns a context that expires shortly before the deadline of the test binary, so
// that a wait that fails is reported with its cause.
func untilDeadline(t *testing.T) context.Context {
	deadline, ok := t.Deadline()
	if !ok {
		return t.Context()
	}
	ctx, cancel := context.WithDeadline(t.Context(), deadline.Add(-10*time.Second))
	t.Cleanup(cancel)
	return ctx
}

// startService starts the service and returns its public and its admin address.
func startService(t *testing.T, attr *syscall.SysProcAttr, program string, args ...string) (p *process, addr, admin string) {
	t.Helper()
	public, private := make(chan string, 1), make(chan string, 1)
	onLine := func(line string) {
		var record struct{ Msg, Addr string }
		if json.Unmarshal([]byte(line), &record) != nil {
			return
		}
		switch record.Msg {
		case "listening":
			public <- record.Addr
		case "admin listening":
			private <- record.Addr
		}
	}
	flags := []string{"serve", "--addr=127.0.0.1:0", "--admin-addr=127.0.0.1:0", "--log-format=json"}
	p = startProcess(t, onLine, attr, program, append(flags, args...)...)

	receive := func(from <-chan string) string {
		t.Helper()
		select {
		case a := <-from:
			return a
		case <-p.done:
			t.Fatal("the service exited before it listened")
			return ""
		}
	}
	return p, receive(public), receive(private)
}

// prometheusServer is a running Prometheus.
type prometheusServer struct {
	*process

	url     string
	scraped chan struct{} // receives after a scrape of the service
}

// startPrometheus starts a Prometheus with the configuration that compose uses, except for the
// target, the intervals, and whether it stores native histograms. It scrapes the service through a proxy that reports each scrape.
func startPrometheus(t *testing.T, program, admin string, native bool) *prometheusServer {
	t.Helper()
	s := &prometheusServer{scraped: make(chan struct{}, 1)}
	proxy := httputil.NewSingleHostReverseProxy(&url.URL{Scheme: "http", Host: admin})
	target := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		proxy.ServeHTTP(w, r)
		select {
		case s.scraped <- struct{}{}:
		default:
		}
	}))
	t.Cleanup(target.Close)

	cfg := decode[map[string]any](t, "prometheus.yml")
	root := node{t, "prometheus.yml", cfg}
	global := root.at("global").value.(map[string]any)
	global["scrape_interval"] = "1s"
	global["evaluation_interval"] = "1s"
	static := root.at("scrape_configs", 0, "static_configs", 0).value.(map[string]any)
	static["targets"] = []string{target.Listener.Addr().String()}
	rules, err := filepath.Abs("alerts.yml")
	if err != nil {
		t.Fatal(err)
	}
	cfg["rule_files"] = []string{rules}
	dir := t.TempDir()
	// Prometheus does not report the port that it chose, so it gets one that was free just now.
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := ln.Addr().String()
	ln.Close()
	args := []string{"--storage.tsdb.path=" + filepath.Join(dir, "data"), "--web.listen-address=" + addr}
	switch {
	case !native:
	case supportsNativeSetting(t, program):
		global["scrape_native_histograms"] = true
	default:
		args = append(args, "--enable-feature=native-histograms")
	}
	text, err := yaml.Marshal(cfg)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "prometheus.yml")
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}

	s.url = "http://" + addr
	s.process = startProcess(t, func(string) {}, nil, program, append(args, "--config.file="+file)...)
	return s
}

// supportsNativeSetting reports whether the configuration of this Prometheus can have
// scrape_native_histograms. Up to version 3.7 there is only the flag --enable-feature=native-histograms,
// which has no effect from 3.9 on.
func supportsNativeSetting(t *testing.T, program string) bool {
	t.Helper()
	// The first line on standard output (3) or standard error (2): prometheus, version 3.5.0 (…)
	out, err := exec.CommandContext(t.Context(), program, "--version").CombinedOutput()
	var major, minor int
	if _, scanErr := fmt.Sscanf(string(out), "prometheus, version %d.%d", &major, &minor); err != nil || scanErr != nil {
		t.Fatalf("%s --version: got %s (errors %v, %v), want its version", program, out, err, scanErr)
	}
	return major > 3 || major == 3 && minor >= 8
}

// waitForScrape waits for a scrape that ends after the call.
func (s *prometheusServer) waitForScrape(ctx context.Context) error {
	select {
	case <-s.scraped: // an earlier scrape
	default:
	}
	select {
	case <-s.scraped:
		return nil
	case <-s.done:
		return errors.New("prometheus exited")
	case <-ctx.Done():
		return ctx.Err()
	}
}

// get requests a path of the HTTP API and decodes the data of the response.
func (s *prometheusServer) get(ctx context.Context, path string, data any) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.url+path, nil)
	if err != nil {
		return err
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	var response struct {
		Status, Error string
		Data          json.RawMessage
	}
	if err := json.NewDecoder(res.Body).Decode(&response); err != nil {
		return fmt.Errorf("%s: %w", res.Status, err)
	}
	if response.Status != "success" {
		return fmt.Errorf("%s: %s", res.Status, response.Error)
	}
	return json.Unmarshal(response.Data, data)
}

// checkQuery returns an error unless at least one value of the query's result is a number.
func (s *prometheusServer) checkQuery(ctx context.Context, query string) error {
	var data struct {
		Result []struct {
			Metric map[string]string
			Value  [2]any
		}
	}
	if err := s.get(ctx, "/api/v1/query?query="+url.QueryEscape(query), &data); err != nil {
		return err
	}
	for _, r := range data.Result {
		if text, ok := r.Value[1].(string); ok && text != "NaN" {
			return nil
		}
	}
	return fmt.Errorf("got no numbers: %v", data.Result)
}

// rule is the state of an alerting rule.
type rule struct{ Name, State, Health, LastError string }

// rules returns the alerting rules, or an error if some of them have not been evaluated.
func (s *prometheusServer) rules(ctx context.Context) (all []rule, err error) {
	var data struct {
		Groups []struct{ Rules []rule }
	}
	if err := s.get(ctx, "/api/v1/rules", &data); err != nil {
		return nil, err
	}
	for _, g := range data.Groups {
		all = append(all, g.Rules...)
	}
	for _, r := range all {
		if r.Health == "unknown" {
			return all, fmt.Errorf("%s has not been evaluated", r.Name)
		}
	}
	return all, nil
}

// client sends requests to a service and counts the statuses of the responses.
type client struct {
	t        *testing.T
	addr     string
	round    int
	mu       sync.Mutex
	statuses map[int]int
}

// send returns the status and the ETag of the response.
func (c *client) send(method, path, token, etag string, body []byte) (status int, tag string) {
	req, err := http.NewRequestWithContext(c.t.Context(), method, "http://"+c.addr+path, bytes.NewReader(body))
	if err != nil {
		c.t.Error(err)
		return 0, ""
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	if etag != "" {
		req.Header.Set("If-None-Match", etag)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		c.t.Error(err)
		return 0, ""
	}
	defer res.Body.Close()
	_, _ = io.Copy(io.Discard, res.Body) // only the status matters
	c.mu.Lock()
	defer c.mu.Unlock()
	c.statuses[res.StatusCode]++
	return res.StatusCode, res.Header.Get("ETag")
}

// sendAll sends one request of each kind, then enough concurrent ones to fill the queue.
func (c *client) sendAll(small, large []byte) {
	c.round++
	path := fmt.Sprintf("/v1/proposals?mode=single&max=%d", c.round)
	_, tag := c.send(http.MethodPost, path, token, "", small)
	c.send(http.MethodPost, path, token, "", small)
	c.send(http.MethodPost, path, token, tag, small)
	c.send(http.MethodPost, path, token, "", []byte("not an image"))
	c.send(http.MethodPost, path+"&nms=2", token, "", small)
	c.send(http.MethodPost, path, "", "", small)
	c.send(http.MethodGet, "/v1/modes", token, "", nil)
	c.send(http.MethodGet, "/nowhere", token, "", nil)
	c.send(http.MethodGet, "/readyz", "", "", nil)

	var wg sync.WaitGroup
	for i := range 4 {
		wg.Go(func() {
			c.send(http.MethodPost, fmt.Sprintf("/v1/proposals?mode=fast&max=%d", 1000*c.round+i), token, "", large)
		})
	}
	wg.Wait()
}

// TestPrometheus checks that each query of the dashboard and of the adapter has a result, and that
// each alerting rule can be evaluated and does not fire, for a service under load that is scraped
// with native and with classic histograms.
func TestPrometheus(t *testing.T) {
	if testing.Short() {
		t.Skip("runs the service and two Prometheus servers")
	}
	prometheus := e2e.Program(t, "prometheus")
	ctx := untilDeadline(t)
	dir := t.TempDir()
	program := filepath.Join(dir, "proposer")
	build := exec.CommandContext(t.Context(), "go", "build", "-o", program, "./cmd/proposer")
	build.Dir = ".."
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	tokens := filepath.Join(dir, "tokens")
	if err := os.WriteFile(tokens, []byte("alice "+token), 0o600); err != nil {
		t.Fatal(err)
	}
	service, addr, admin := startService(t, nil, program, "--tokens="+tokens, "--workers=1", "--queue=1")
	defer http.DefaultClient.CloseIdleConnections()

	queries := prometheusQueries(t)
	servers := []struct {
		name    string
		server  *prometheusServer
		queries map[string]string
	}{
		{"native", startPrometheus(t, prometheus, admin, true), maps.Clone(queries)},
		{"classic", startPrometheus(t, prometheus, admin, false), maps.Clone(queries)},
	}
	// Each server stores one kind of histogram only.
	servers[0].queries["histograms"] = "histogram_count(proposer_boxes) unless on () proposer_boxes_count"
	servers[1].queries["histograms"] = "proposer_boxes_count unless on () proposer_boxes"

	c := &client{t: t, addr: addr, statuses: map[int]int{}}
	small, large := scene.Render(1, 64, 48, 2).PNG(), scene.Render(2, 640, 480, 5).PNG()
	// pending returns what is still missing, by server and query.
	pending := func() map[string]error {
		missing := map[string]error{}
		for _, s := range servers {
			for name, q := range s.queries {
				if err := s.server.checkQuery(ctx, q); err != nil {
					missing[s.name+"/"+name] = fmt.Errorf("%s: %w", q, err)
				}
			}
			if _, err := s.server.rules(ctx); err != nil {
				missing[s.name+"/rules"] = err
			}
		}
		for _, status := range []int{200, 304, 400, 401, 404, 415, 429} {
			if c.statuses[status] == 0 {
				missing[fmt.Sprint("status ", status)] = fmt.Errorf("got no such response: %v", c.statuses)
			}
		}
		return missing
	}

	var missing map[string]error
	for missing == nil || len(missing) > 0 {
		c.sendAll(small, large)
		if err := service.cmd.Process.Signal(syscall.SIGHUP); err != nil {
			t.Fatal(err)
		}
		for _, s := range servers {
			if err := s.server.waitForScrape(ctx); err != nil {
				for _, name := range slices.Sorted(maps.Keys(missing)) {
					t.Errorf("%s: %v", name, missing[name])
				}
				t.Fatalf("%s: no scrape: %v", s.name, err)
			}
		}
		if t.Failed() {
			return // a request failed
		}
		if found := pending(); ctx.Err() == nil {
			missing = found
		}
	}

	want := len(load(t, "alerts.yml").at("groups", 0, "rules").list())
	for _, s := range servers {
		t.Run(s.name, func(t *testing.T) {
			rules, err := s.server.rules(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if len(rules) != want {
				t.Errorf("got %d rules, want %d", len(rules), want)
			}
			for _, r := range rules {
				t.Run(r.Name, func(t *testing.T) {
					if r.Health != "ok" || r.State == "firing" {
						t.Errorf("got health %s (%s) and state %s, want ok and not firing", r.Health, r.LastError, r.State)
					}
				})
			}
		})
	}
}

// prometheusQueries returns the queries of the dashboard and of the adapter, with values for the
// variables of the dashboard.
func prometheusQueries(t *testing.T) map[string]string {
	t.Helper()
	variables := strings.NewReplacer("$__rate_interval", "15s", "$cluster", ".*", "$namespace", ".*", "$job", "proposer", "$instance", ".*")
	queries := map[string]string{}
	for title, exprs := range panels(t) {
		for i, e := range exprs {
			queries[fmt.Sprintf("%s (%d)", title, i)] = variables.Replace(e)
		}
	}
	for name, e := range expressions(t) {
		if strings.HasPrefix(name, "adapter: ") {
			queries[name] = variables.Replace(e)
		}
	}
	return queries
}
