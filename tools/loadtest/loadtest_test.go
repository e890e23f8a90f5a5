package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	neturl "net/url"
	"os"
	"reflect"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/proposer/proposer/api"
	"github.com/proposer/proposer/box"
	"github.com/proposer/proposer/internal/codec"
)

// serve starts the service and returns its addresses.
func serve(t *testing.T, change func(*api.Config)) (url, admin string) {
	t.Helper()
	cfg := api.DefaultConfig()
	cfg.Timeout, cfg.HeaderTimeout, cfg.BodyTimeout, cfg.WriteTimeout = patient, patient, patient, patient
	cfg.Logger = slog.New(slog.DiscardHandler)
	if change != nil {
		change(&cfg)
	}
	s, err := api.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	listen := func() net.Listener {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		return ln
	}
	service, operators := listen(), listen()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error)
	go func() { ended <- s.Serve(ctx, api.Listeners{HTTP: service, Admin: operators}) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return "http://" + service.Addr().String(), "http://" + operators.Addr().String()
}

// patient is longer than anything takes on a busy machine: the tests count requests, not time.
const patient = 10 * time.Minute

func testConfig(url, admin string) config {
	return config{
		url: url, admin: admin, workload: mixed, clients: 4, requests: 60, seed: 1, skip: "slow,slow reader,large result",
		duration: time.Hour, patience: patient, quiet: patient, timeout: patient,
	}
}

func TestService(t *testing.T) {
	url, admin := serve(t, nil)
	for _, c := range []struct {
		name   string
		change func(*config)
	}{
		{"mixed", func(c *config) { c.hostile = 0.5 }},
		{"fixed rate", func(c *config) { c.rate, c.hostile, c.seed = 1000, 0.2, 2 }},
		{"plain", func(c *config) { c.workload, c.query = plain, "mode=single&max=10" }},
	} {
		t.Run(c.name, func(t *testing.T) {
			cfg := testConfig(url, admin)
			c.change(&cfg)
			if testing.Short() {
				cfg.requests = 20
				cfg.skip += ",bomb"
			}
			if err := cfg.validate(); err != nil {
				t.Fatal(err)
			}
			rep, err := run(t.Context(), cfg, io.Discard)
			if err != nil {
				t.Fatal(err)
			}
			if rep.Failures > 0 || rep.Load.Images == 0 || rep.Load.Admitted.P50 == 0 || len(rep.Gauges) < 8 {
				t.Errorf("%v", rep)
			}
			if _, err := json.Marshal(rep); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestSlowRequests(t *testing.T) {
	url, _ := serve(t, func(c *api.Config) { c.HeaderTimeout, c.BodyTimeout = 50*time.Millisecond, 50*time.Millisecond })
	cfg := testConfig(url, "")
	images, err := newCorpus("")
	if err != nil {
		t.Fatal(err)
	}
	r := &runner{config: cfg, client: newClient(cfg), stats: newStats(), workload: newWorkload(cfg, images, nil)}
	defer r.client.CloseIdleConnections()
	if r.validator, err = fetchValidator(t.Context(), r.client, url); err != nil {
		t.Fatal(err)
	}
	if r.target, err = neturl.Parse(url); err != nil {
		t.Fatal(err)
	}
	var requests sync.WaitGroup
	for n := range uint64(30) { // each of the ways is among them
		req := drawSlow(rand.New(rand.NewPCG(1, n)), r.workload)
		req.kind, req.hostile = "slow", true
		requests.Go(func() { r.exchange(t.Context(), req) })
	}
	requests.Wait()
	var rep report
	r.stats.finish(&rep)
	if rep.Failures > 0 || rep.Kinds[0].Metrics.Requests != 30 {
		t.Errorf("%d failures: %q", rep.Failures, rep.Examples)
	}
}

func TestToken(t *testing.T) {
	url, _ := serve(t, nil)
	var missing atomic.Int64
	target, err := neturl.Parse(url)
	if err != nil {
		t.Fatal(err)
	}
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/openapi.yaml" && r.Header.Get("Authorization") != "Bearer secret" {
			missing.Add(1)
		}
		(&httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(target) }}).ServeHTTP(w, r)
	}))
	defer proxy.Close()
	cfg := testConfig(proxy.URL, "")
	cfg.token, cfg.requests = "secret", 20
	rep, err := run(t.Context(), cfg, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	if n := missing.Load(); rep.Failures > 0 || n > 0 || rep.Load.Images == 0 {
		t.Errorf("%d requests without the token; %v", n, rep)
	}
}

// stub starts a server that answers the plain workload.
func stub(t *testing.T, answer func(http.ResponseWriter, *testImage)) string {
	t.Helper()
	openapi, err := os.ReadFile("../../api/openapi.yaml")
	if err != nil {
		t.Fatal(err)
	}
	images, err := newCorpus("")
	if err != nil {
		t.Fatal(err)
	}
	h := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/openapi.yaml" {
			_, _ = w.Write(openapi)
			return
		}
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		i := slices.IndexFunc(images.jpeg, func(img *testImage) bool { return bytes.Equal(img.data, body) })
		answer(w, images.jpeg[i])
	}))
	h.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	h.Start()
	t.Cleanup(h.Close)
	return h.URL
}

// respond sends a valid response, with one change.
func respond(w http.ResponseWriter, img *testImage, old, changed string) {
	w.Header().Set("X-Request-Id", "1")
	w.Header().Set("Content-Type", "application/json")
	_, _ = io.WriteString(w, strings.Replace(validRow(img), old, changed, 1))
}

func validRow(img *testImage) string {
	return fmt.Sprintf(`{"file":"","width":%d,"height":%d,"seconds":0.1,"decode_seconds":0.1,`+
		`"boxes":[[0,0,9,9],[1,1,%[1]d,%[2]d]],"scores":[0.5,0.25]}`, img.width, img.height)
}

func respondProblem(w http.ResponseWriter, status int, mediaType, body string) {
	w.Header().Set("X-Request-Id", "1")
	w.Header().Set("Content-Type", mediaType)
	w.WriteHeader(status)
	_, _ = io.WriteString(w, body)
}

func TestFailures(t *testing.T) {
	const (
		problemType = "application/problem+json"
		full        = `{"type":"urn:proposer:problem:full","title":"t","status":429,"detail":"d"}`
	)
	responses := 0
	changed := func(old, text string) func(http.ResponseWriter, *testImage) {
		return func(w http.ResponseWriter, img *testImage) { respond(w, img, old, text) }
	}
	rejected := func(status int, retry, mediaType, body string) func(http.ResponseWriter, *testImage) {
		return func(w http.ResponseWriter, _ *testImage) {
			if retry != "" {
				w.Header().Set("Retry-After", retry)
			}
			respondProblem(w, status, mediaType, body)
		}
	}
	for _, c := range []struct {
		name   string
		want   string // part of the failure; empty: none
		answer func(http.ResponseWriter, *testImage)
	}{
		{"valid", "", changed("", "")},
		{"rejected", "", rejected(429, "1", problemType, full)},
		{"no Retry-After", `Retry-After ""`, rejected(429, "", problemType, full)},
		{"problem without type", "not as described", rejected(503, "1", problemType, `{"title":"t","status":503,"detail":"d"}`)},
		{"problem as JSON", "not as described", rejected(503, "1", "application/json", full)},
		{"problem as HTML", "not as described", rejected(503, "1", "text/html", "<h1>Service Unavailable</h1>")},
		{"status 500", "status 500: want [200]", rejected(500, "", problemType, full)},
		{"status 201", "status 201: want [200]", func(w http.ResponseWriter, _ *testImage) { w.WriteHeader(201) }},
		{"no X-Request-Id", "without X-Request-Id", func(w http.ResponseWriter, img *testImage) {
			_, _ = io.WriteString(w, validRow(img))
		}},
		{"truncated JSON", "unexpected end of JSON", changed(`]}`, "")},
		{"no boxes", "no boxes", func(w http.ResponseWriter, img *testImage) {
			empty := `{"file":"","width":%d,"height":%d,"seconds":1,"decode_seconds":1,"boxes":[],"scores":[]}`
			respond(w, img, validRow(img), fmt.Sprintf(empty, img.width, img.height))
		}},
		{"missing score", "2 boxes and 1 scores", changed(",0.25]", "]")},
		{"equal scores", "score 1 is 0.5", changed("0.25", "0.5")},
		{"score above 1", "score 0 is 1.5", changed("0.5", "1.5")},
		{"negative coordinate", "box 0 is [-1 0 9 9]", changed("[0,0,9,9]", "[-1,0,9,9]")},
		{"empty box", "box 0 is [9 0 9 9]", changed("[0,0,9,9]", "[9,0,9,9]")},
		{"box outside", "box 0 is [0 0 9999 9]", changed("[0,0,9,9]", "[0,0,9999,9]")},
		{"too many boxes", "3 boxes: want at most 2", func(w http.ResponseWriter, img *testImage) {
			row := strings.Replace(validRow(img), "[[0,0,9,9],", "[[0,0,8,8],[0,0,9,9],", 1)
			respond(w, img, validRow(img), strings.Replace(row, "[0.5,", "[0.75,0.5,", 1))
		}},
		{"no time", "searched in 0 seconds", changed(`"seconds":0.1`, `"seconds":0`)},
		{"boxes differ", "boxes differ from those of an earlier response", func(w http.ResponseWriter, img *testImage) {
			responses++
			respond(w, img, "0.25", fmt.Sprint(0.25/float64(responses)))
		}},
		{"connection closed", "no response", func(http.ResponseWriter, *testImage) { panic(http.ErrAbortHandler) }},
		{"truncated body", "no response: unexpected EOF", func(w http.ResponseWriter, img *testImage) {
			w.Header().Set("Content-Length", "1000")
			respond(w, img, "", "")
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			cfg := testConfig(stub(t, c.answer), "")
			cfg.workload, cfg.clients, cfg.requests, cfg.query = plain, 1, 12, "max=2"
			rep, err := run(t.Context(), cfg, io.Discard)
			if err != nil {
				t.Fatal(err)
			}
			if rep.Load.Requests != 12 {
				t.Errorf("%d requests: want 12", rep.Load.Requests)
			}
			if text := strings.Join(rep.Examples, "\n"); (rep.Failures > 0) != (c.want != "") || !strings.Contains(text, c.want) {
				t.Errorf("%d failures: want %q in\n%s", rep.Failures, c.want, text)
			}
		})
	}
}

// An overloaded service is not at fault, and a rejected image does not count.
func TestRejectedRequests(t *testing.T) {
	var n atomic.Int64
	url := stub(t, func(w http.ResponseWriter, img *testImage) {
		if n.Add(1)%3 == 0 {
			w.Header().Set("Retry-After", "1")
			respondProblem(w, 503, "application/problem+json", `{"type":"urn:proposer:problem:full","title":"t","status":503,"detail":"d"}`)
			return
		}
		respond(w, img, "", "")
	})
	cfg := testConfig(url, "")
	cfg.workload, cfg.requests, cfg.rate = plain, 30, 1000
	rep, err := run(t.Context(), cfg, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	if l := rep.Load; rep.Failures > 0 || l.Requests != 30 || l.Rejected != 10 || l.Images != 20 {
		t.Errorf("got %d requests, %d rejected, %d images: want 30, 10, 20\n%v", l.Requests, l.Rejected, l.Images, rep)
	}
}

func TestInterruption(t *testing.T) {
	current := goleak.IgnoreCurrent()
	t.Cleanup(func() { goleak.VerifyNone(t, current) }) // after the server has been closed
	ctx, cancel := context.WithCancel(t.Context())
	var n atomic.Int64
	url := stub(t, func(w http.ResponseWriter, img *testImage) {
		if n.Add(1) == 10 {
			cancel()
		}
		respond(w, img, "", "")
	})
	cfg := testConfig(url, "")
	cfg.workload, cfg.requests = plain, 0
	rep, err := run(ctx, cfg, io.Discard)
	if err != nil || rep.Failures > 0 || rep.Load.Requests < 10 {
		t.Errorf("%v, %v", rep, err)
	}
}

func TestParseFormats(t *testing.T) {
	row := &codec.Row{
		File: "a", Width: 30, Height: 20, SearchTime: time.Second, DecodeTime: time.Second,
		Boxes: []box.Box{{X0: 0, Y0: 0, X1: 30, Y1: 20}, {X0: 1, Y0: 2, X1: 3, Y1: 4}}, Scores: []float32{0.5, 0.1},
	}
	want := &found{boxes: [][4]int{{0, 0, 30, 20}, {1, 2, 3, 4}}, scores: []float32{0.5, 0.1}}
	csv := &bytes.Buffer{}
	w, err := codec.NewWriter(csv, "csv")
	if err == nil {
		err = w.Write(row)
	}
	npy, err2 := codec.AppendNPY(nil, row)
	bin, err3 := codec.AppendBinary(nil, row)
	object, err4 := codec.AppendJSON(nil, row)
	if err := errors.Join(err, err2, err3, err4); err != nil {
		t.Fatal(err)
	}
	half := slices.Clone(bin)
	copy(half[12:], []byte{0, 0, 0, 0x3f})
	wrongRank := bytes.Replace(csv.Bytes(), []byte("20,2,"), []byte("20,3,"), 1)
	for _, c := range []struct {
		name    string
		parse   func([]byte) (*found, error)
		data    []byte
		sized   bool
		invalid []byte
	}{
		{"csv", parseCSV, csv.Bytes(), true, wrongRank},
		{"npy", parseNPY, npy, false, nil},
		{"binary", parseBinary, bin, true, half},
		{"json", parseJSON, object, true, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := c.parse(c.data)
			if err != nil || !reflect.DeepEqual(got.boxes, want.boxes) || !reflect.DeepEqual(got.scores, want.scores) {
				t.Fatalf("got %+v, %v: want %+v", got, err, want)
			}
			if c.sized && (got.width != 30 || got.height != 20) {
				t.Errorf("got %d×%d: want 30×20", got.width, got.height)
			}
			for _, bad := range [][]byte{c.invalid, nil, c.data[:len(c.data)-4], c.data[4:], append([]byte("\x00"), c.data...)} {
				if got, err := c.parse(bad); err == nil {
					t.Errorf("got %+v of %q: want an error", got, bad)
				}
			}
		})
	}
}

func TestParseInference(t *testing.T) {
	inline := `{"outputs":[{"name":"boxes","datatype":"FP32","shape":[1,4],"data":[0,0,9,8]},{"name":"scores","datatype":"FP32","shape":[1],"data":[0.5]}]}`
	f, err := parseInference(&response{body: []byte(inline)})
	if err != nil || !reflect.DeepEqual(f.boxes, [][4]int{{0, 0, 9, 8}}) {
		t.Fatalf("%+v %v", f, err)
	}
	for _, bad := range []string{
		"{}}", strings.Replace(inline, "FP32", "FP64", 1), strings.Replace(inline, "[1,4]", "[2,4]", 1), strings.Replace(inline, "9,8", "9", 1),
		strings.Replace(inline, `"data":[0.5]`, `"parameters":{"binary_data_size":4}`, 1),
		strings.Replace(inline, `"name":"scores"`, `"name":"others"`, 1),
	} {
		if f, err := parseInference(&response{body: []byte(bad)}); err == nil {
			t.Errorf("got %+v of %s: want an error", f, bad)
		}
	}
}

func TestRequestsAreDeterministic(t *testing.T) {
	images, err := newCorpus("")
	if err != nil {
		t.Fatal(err)
	}
	cfg := testConfig("http://127.0.0.1:1", "")
	cfg.hostile, cfg.skip = 0.5, ""
	one, two := newWorkload(cfg, images, &validator{}), newWorkload(cfg, images, &validator{})
	kinds := map[string]bool{}
	hostile := 0
	for n := range uint64(1000) {
		a, b := one.request(n), two.request(n)
		a.check, b.check = nil, nil // functions are not comparable
		if !reflect.DeepEqual(a, b) {
			t.Fatalf("request %d is %+v and %+v", n, a, b)
		}
		kinds[a.kind] = true
		if a.hostile {
			hostile++
		}
	}
	if want := len(regularKinds) + len(hostileKinds); len(kinds) != want || math.Abs(float64(hostile)-500) > 80 {
		t.Errorf("%d of 1000 hostile; got %d kinds, want %d: %v", hostile, len(kinds), want, kinds)
	}
}

func TestLeakCheck(t *testing.T) {
	metrics := map[string]float64{}
	for _, g := range watched {
		metrics[g.name] = 0
	}
	h := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/metrics" {
			for name, v := range metrics {
				fmt.Fprintf(w, "# TYPE %s gauge\n%s %g\n", name, name, v)
			}
		}
	}))
	defer h.Close()
	for _, c := range []struct {
		name  string
		value float64
		leaks int
	}{
		{"go_goroutines", spareGoroutines, 0},
		{"go_goroutines", spareGoroutines + 1, 1},
		{"proposer_body_bytes", 1, 1},
		{"proposer_work_pixels", -1, 1},
		{"proposer_cache_bytes", 9, 0},
	} {
		t.Run(fmt.Sprintf("%s=%g", c.name, c.value), func(t *testing.T) {
			l, err := newLeakCheck(t.Context(), h.URL)
			if err != nil {
				t.Fatal(err)
			}
			defer l.close()
			metrics[c.name] = c.value
			defer func() { metrics[c.name] = 0 }()
			gauges, failures := l.finish(t.Context(), time.Nanosecond)
			if len(failures) != c.leaks || len(gauges) != len(watched) {
				t.Errorf("got %q and %d gauges: want %d failures and %d gauges", failures, len(gauges), c.leaks, len(watched))
			}
		})
	}
	delete(metrics, "proposer_queue_depth")
	if _, err := newLeakCheck(t.Context(), h.URL); err == nil || !strings.Contains(err.Error(), "proposer_queue_depth") {
		t.Errorf("got error %v: want one about proposer_queue_depth", err)
	}
}

func TestConfig(t *testing.T) {
	valid := testConfig("http://h:1", "")
	if err := valid.validate(); err != nil {
		t.Fatal(err)
	}
	for want, change := range map[string]func(*config){
		"-url ":      func(c *config) { c.url = "h:1" },
		"-admin ":    func(c *config) { c.admin = "http://h/metrics" },
		"-query ":    func(c *config) { c.query = "%zz" },
		"-mix ":      func(c *config) { c.workload = "wild" },
		"-skip ":     func(c *config) { c.skip = "slow,fast" },
		"-clients ":  func(c *config) { c.clients = 0 },
		"-requests ": func(c *config) { c.requests = -1 },
		"-rate ":     func(c *config) { c.rate = -1 },
		"-hostile ":  func(c *config) { c.hostile = math.NaN() },
		"-timeout ":  func(c *config) { c.timeout = 0 },
	} {
		t.Run(want, func(t *testing.T) {
			c := valid
			change(&c)
			if err := c.validate(); err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("got error %v: want one about %s", err, want)
			}
		})
	}
}
