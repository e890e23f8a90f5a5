package docker

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/proposer/proposer/internal/testutil/e2e"
	"github.com/proposer/proposer/internal/testutil/scene"
)

// process is a program that a test has started.
type process struct {
	cmd  *exec.Cmd
	mu   sync.Mutex
	log  strings.Builder
	done chan struct{} // closed once its output has ended
}

// launch starts a program that ends with the test. Its output is shown where the test fails;
// lines takes each line of it.
func launch(t *testing.T, lines func(string), attr *syscall.SysProcAttr, name string, args ...string) *process {
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
			lines(s.Text())
		}
	}()
	t.Cleanup(func() {
		_ = p.cmd.Process.Signal(syscall.SIGTERM) // it may have ended by itself
		timer := time.AfterFunc(20*time.Second, func() { _ = p.cmd.Process.Kill() })
		defer timer.Stop()
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

func tail(s string, n int) string { return s[max(len(s)-n, 0):] }

// serve starts the service, and tells where it listens.
func serve(t *testing.T, attr *syscall.SysProcAttr, program string, args ...string) (p *process, addr, admin string) {
	t.Helper()
	service, operators := make(chan string, 1), make(chan string, 1)
	p = launch(t, func(line string) {
		var record struct{ Msg, Addr string }
		if json.Unmarshal([]byte(line), &record) == nil {
			switch record.Msg {
			case "listening":
				service <- record.Addr
			case "admin listening":
				operators <- record.Addr
			}
		}
	}, attr, program, append([]string{"serve", "--addr=127.0.0.1:0", "--admin-addr=127.0.0.1:0", "--log-format=json"}, args...)...)
	for _, c := range []struct {
		from chan string
		to   *string
	}{{service, &addr}, {operators, &admin}} {
		select {
		case *c.to = <-c.from:
		case <-p.done:
			t.Fatal("the service has ended")
		case <-time.After(20 * time.Second):
			t.Fatal("the service does not listen")
		}
	}
	return p, addr, admin
}

// watch starts a Prometheus with the configuration of compose, but for where the service is and
// how often it is asked.
func watch(t *testing.T, program, admin string, args ...string) (base string) {
	t.Helper()
	cfg := decode[map[string]any](t, "prometheus.yml")
	at := tree{t, "prometheus.yml", cfg}
	global := at.at("global").value.(map[string]any)
	global["scrape_interval"], global["evaluation_interval"] = "1s", "1s"
	at.at("scrape_configs", 0, "static_configs", 0).value.(map[string]any)["targets"] = []string{admin}
	rules, err := filepath.Abs("alerts.yml")
	if err != nil {
		t.Fatal(err)
	}
	cfg["rule_files"] = []string{rules}
	text, err := yaml.Marshal(cfg)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	file := filepath.Join(dir, "prometheus.yml")
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := ln.Addr().String()
	ln.Close() // Prometheus cannot say which port it found
	launch(t, func(string) {}, nil, program, append([]string{
		"--config.file=" + file, "--storage.tsdb.path=" + filepath.Join(dir, "data"), "--web.listen-address=" + addr,
	}, args...)...)
	return "http://" + addr
}

// ask decodes the data of an answer of Prometheus.
func ask(ctx context.Context, address string, to any) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return err
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	var answer struct {
		Status, Error string
		Data          json.RawMessage
	}
	if err := json.NewDecoder(res.Body).Decode(&answer); err != nil {
		return fmt.Errorf("%s: %w", res.Status, err)
	}
	if answer.Status != "success" {
		return fmt.Errorf("%s: %s", res.Status, answer.Error)
	}
	return json.Unmarshal(answer.Data, to)
}

// value asks a query. It is an error if not one of the values is a number.
func value(ctx context.Context, base, query string) error {
	var data struct {
		Result []struct {
			Metric map[string]string
			Value  [2]any
		}
	}
	if err := ask(ctx, base+"/api/v1/query?query="+url.QueryEscape(query), &data); err != nil {
		return err
	}
	for _, r := range data.Result {
		if text, ok := r.Value[1].(string); ok && text != "NaN" {
			return nil
		}
	}
	return fmt.Errorf("no numbers: %v", data.Result)
}

// client sends a service requests of every kind.
type client struct {
	t    *testing.T
	addr string
	n    int
	seen map[int]int // statuses
	mu   sync.Mutex
}

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
	_, _ = io.Copy(io.Discard, res.Body) // the status is what counts
	c.mu.Lock()
	defer c.mu.Unlock()
	c.seen[res.StatusCode]++
	return res.StatusCode, res.Header.Get("ETag")
}

// round sends one of each kind, and pictures at once until one of them finds no place.
func (c *client) round(small, large []byte) {
	c.n++
	path := fmt.Sprintf("/v1/proposals?mode=single&max=%d", c.n)
	_, tag := c.send(http.MethodPost, path, token, "", small)
	c.send(http.MethodPost, path, token, "", small)
	c.send(http.MethodPost, path, token, tag, small)
	c.send(http.MethodPost, path, token, "", []byte("no picture"))
	c.send(http.MethodPost, path+"&nms=2", token, "", small)
	c.send(http.MethodPost, path, "", "", small)
	c.send(http.MethodGet, "/v1/modes", token, "", nil)
	c.send(http.MethodGet, "/nowhere", token, "", nil)
	c.send(http.MethodGet, "/readyz", "", "", nil)
	var wg sync.WaitGroup
	for i := range 4 {
		wg.Go(func() {
			c.send(http.MethodPost, fmt.Sprintf("/v1/proposals?mode=fast&max=%d", 1000*c.n+i), token, "", large)
		})
	}
	wg.Wait()
}

// Every query of the dashboard, the alerts and the adapter finds something in a Prometheus that
// watches a service at work, with native histograms and without.
func TestPrometheus(t *testing.T) {
	if testing.Short() {
		t.Skip("a service and two Prometheus run for half a minute")
	}
	prometheus := e2e.Program(t, "prometheus")
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
	service, addr, admin := serve(t, nil, program, "--tokens="+tokens, "--workers=1", "--queue=1")
	bases := map[string]string{
		"native":  watch(t, prometheus, admin, "--enable-feature=native-histograms"),
		"classic": watch(t, prometheus, admin),
	}
	defer http.DefaultClient.CloseIdleConnections()

	queries := map[string]string{}
	for title, exprs := range panels(t) {
		for i, e := range exprs {
			queries[fmt.Sprintf("%s (%d)", title, i)] = e
		}
	}
	for where, e := range expressions(t) {
		if strings.HasPrefix(where, "adapter: ") {
			queries[where] = e
		}
	}
	for where, e := range queries {
		queries[where] = strings.NewReplacer("$__rate_interval", "15s", "$job", "proposer", "$instance", ".*").Replace(e)
	}
	missing := map[string]error{}
	look := func() {
		clear(missing)
		for kind, base := range bases {
			all := maps.Clone(queries)
			// That the one has native histograms alone, and the other classic ones.
			all["histograms"] = map[string]string{
				"native":  "histogram_count(proposer_boxes) unless on () proposer_boxes_count",
				"classic": "proposer_boxes_count unless on () proposer_boxes",
			}[kind]
			for where, q := range all {
				if err := value(t.Context(), base, q); err != nil {
					missing[kind+": "+where] = fmt.Errorf("%s: %w", q, err)
				}
			}
		}
	}

	c := &client{t: t, addr: addr, seen: map[int]int{}}
	small, large := scene.Render(1, 64, 48, 2).PNG(), scene.Render(2, 640, 480, 5).PNG()
	for start := time.Now(); ; {
		c.round(small, large)
		if err := service.cmd.Process.Signal(syscall.SIGHUP); err != nil {
			t.Fatal(err)
		}
		time.Sleep(500 * time.Millisecond)
		if time.Since(start) < 6*time.Second {
			continue // two scrapes at least, and some more for rates
		}
		if look(); len(missing) == 0 || time.Since(start) > time.Minute || t.Failed() {
			break
		}
	}
	for _, where := range slices.Sorted(maps.Keys(missing)) {
		t.Errorf("%s: %v", where, missing[where])
	}
	for _, status := range []int{200, 304, 400, 401, 404, 415, 429} {
		if c.seen[status] == 0 {
			t.Errorf("nothing was answered with %s: %v", strconv.Itoa(status), c.seen)
		}
	}

	for kind, base := range bases {
		var data struct {
			Groups []struct {
				Rules []struct{ Name, State, Health, LastError string }
			}
		}
		if err := ask(t.Context(), base+"/api/v1/rules", &data); err != nil {
			t.Error(err)
		}
		n := 0
		for _, g := range data.Groups {
			for _, r := range g.Rules {
				n++
				if r.Health != "ok" || r.State == "firing" {
					t.Errorf("%s: %s is %s (%s) and %s", kind, r.Name, r.Health, r.LastError, r.State)
				}
			}
		}
		if want := len(load(t, "alerts.yml").at("groups", 0, "rules").list()); n != want {
			t.Errorf("%s: %d rules, want %d", kind, n, want)
		}
	}
}
