package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"math"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/proposer/proposer/api"
	"github.com/proposer/proposer/box"
	"github.com/proposer/proposer/internal/codec"
)

// serve is the real service, with little patience.
func serve(t *testing.T, change func(*api.Config)) (url, admin string) {
	t.Helper()
	cfg := api.DefaultConfig()
	cfg.HeaderTimeout, cfg.BodyTimeout = time.Second, 2*time.Second
	cfg.Logger = slog.New(slog.NewTextHandler(io.Discard, nil))
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
	go func() { ended <- s.Serve(ctx, service, operators) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return "http://" + service.Addr().String(), "http://" + operators.Addr().String()
}

func quick(url, admin string) settings {
	return settings{
		url: url, admin: admin, mix: "mixed", clients: 4, hostile: 0.5, seed: 1,
		duration: 2 * time.Second, patience: 10 * time.Second, quiet: 10 * time.Second,
	}
}

// The service does as it should, in each way to ask it.
func TestService(t *testing.T) {
	if testing.Short() {
		t.Skip("it wants a service that is about as fast as usual")
	}
	url, admin := serve(t, nil)
	for _, c := range []struct {
		name   string
		change func(*settings)
	}{
		{"mixed", func(*settings) {}},
		{"rate", func(s *settings) { s.rate, s.duration, s.seed = 40, time.Second, 2 }},
		{"plain", func(s *settings) {
			s.mix, s.query, s.baseline, s.duration = "plain", "mode=single&max=10", 200*time.Millisecond, 300*time.Millisecond
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := quick(url, admin)
			c.change(&s)
			if err := s.check(); err != nil {
				t.Fatal(err)
			}
			sum, err := run(t.Context(), s, io.Discard)
			if err != nil {
				t.Fatal(err)
			}
			if sum.Complaints > 0 || sum.Load.Pictures == 0 || sum.Load.Latency == nil || len(sum.Gauges) < 8 || (sum.Baseline == nil) != (s.baseline == 0) {
				t.Errorf("%v", sum)
			}
			if _, err := json.Marshal(sum); err != nil {
				t.Error(err)
			}
		})
	}
}

// A service that is full is not at fault, and what it turns away is no picture.
func TestFull(t *testing.T) {
	url, admin := serve(t, func(c *api.Config) { c.Workers, c.Queue = 1, 0 })
	s := quick(url, admin)
	s.mix, s.duration, s.clients = "plain", 500*time.Millisecond, 8
	sum, err := run(t.Context(), s, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	if sum.Complaints > 0 || sum.Load.Refused == 0 || sum.Load.Pictures == 0 || sum.Load.Refused+sum.Load.Pictures != sum.Load.Requests {
		t.Errorf("%v", sum)
	}
}

func TestTokens(t *testing.T) {
	var wrong atomic.Int64
	url, _ := serve(t, nil)
	target := strings.TrimPrefix(url, "http://")
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/openapi.yaml" && r.Header.Get("Authorization") != "Bearer secret" {
			wrong.Add(1)
		}
		r.URL.Scheme, r.URL.Host, r.RequestURI = "http", target, ""
		res, err := http.DefaultTransport.RoundTrip(r)
		if err != nil {
			panic(http.ErrAbortHandler)
		}
		defer res.Body.Close()
		for name, values := range res.Header {
			w.Header()[name] = values
		}
		w.WriteHeader(res.StatusCode)
		_, _ = io.Copy(w, res.Body) // the judge sees what is missing
	}))
	defer proxy.Close()
	s := quick(proxy.URL, "")
	s.token, s.hostile, s.duration = "secret", 0, 300*time.Millisecond
	sum, err := run(t.Context(), s, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	if sum.Complaints > 0 || wrong.Load() > 0 || sum.Load.Pictures == 0 {
		t.Errorf("%d without the token; %v", wrong.Load(), sum)
	}
}

// right is what a service would say of a picture of 320 × 240.
const right = `{"file":"","width":%d,"height":%d,"seconds":0.1,"decode_seconds":0.1,"boxes":[[0,0,9,9],[1,1,%d,%d]],"scores":[0.5,0.25]}`

// Whatever is wrong with an answer is found.
func TestComplaints(t *testing.T) {
	openapi, err := os.ReadFile("../../api/openapi.yaml")
	if err != nil {
		t.Fatal(err)
	}
	answer := func(w http.ResponseWriter, p *picture, old, now string) {
		w.Header().Set("X-Request-Id", "1")
		text := fmt.Sprintf(right, p.width, p.height, p.width, p.height)
		_, _ = io.WriteString(w, strings.Replace(text, old, now, 1))
	}
	problem := func(w http.ResponseWriter, status int, media, body string) {
		w.Header().Set("X-Request-Id", "1")
		w.Header().Set("Content-Type", media)
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}
	n := 0
	for _, c := range []struct {
		want   string // part of the complaint; empty: there is none
		answer func(http.ResponseWriter, *picture)
	}{
		{"", func(w http.ResponseWriter, p *picture) { answer(w, p, "", "") }},
		{"", func(w http.ResponseWriter, p *picture) {
			w.Header().Set("Retry-After", "1")
			problem(w, 429, "application/problem+json", `{"type":"urn:proposer:problem:full","title":"t","status":429,"detail":"d"}`)
		}},
		{`Retry-After ""`, func(w http.ResponseWriter, p *picture) {
			problem(w, 429, "application/problem+json", `{"type":"urn:proposer:problem:full","title":"t","status":429,"detail":"d"}`)
		}},
		{"not a problem", func(w http.ResponseWriter, p *picture) {
			w.Header().Set("Retry-After", "1")
			problem(w, 503, "application/problem+json", `{"title":"t","status":503,"detail":"d"}`)
		}},
		{"not a problem", func(w http.ResponseWriter, p *picture) {
			w.Header().Set("Retry-After", "1")
			problem(w, 503, "application/json", `{"type":"urn:proposer:problem:full","title":"t","status":503,"detail":"d"}`)
		}},
		{"invalid character", func(w http.ResponseWriter, p *picture) {
			w.Header().Set("Retry-After", "1")
			problem(w, 503, "text/html", "<h1>Service Unavailable</h1>")
		}},
		{"status 500: want [200]", func(w http.ResponseWriter, p *picture) {
			problem(w, 500, "application/problem+json", `{"type":"urn:proposer:problem:internal","title":"t","status":500,"detail":"d"}`)
		}},
		{"status 201: want [200]", func(w http.ResponseWriter, p *picture) { w.WriteHeader(201) }},
		{"without X-Request-Id", func(w http.ResponseWriter, p *picture) { fmt.Fprintf(w, right, p.width, p.height, p.width, p.height) }},
		{"unexpected EOF", func(w http.ResponseWriter, p *picture) { answer(w, p, `,"scores":[0.5,0.25]}`, "") }},
		{"no boxes", func(w http.ResponseWriter, p *picture) {
			problem(w, 200, "application/json", fmt.Sprintf(`{"width":%d,"height":%d,"seconds":1,"decode_seconds":1,"boxes":[],"scores":[]}`, p.width, p.height))
		}},
		{"2 boxes and 1 scores", func(w http.ResponseWriter, p *picture) { answer(w, p, ",0.25]", "]") }},
		{"score 1 is 0.5", func(w http.ResponseWriter, p *picture) { answer(w, p, "0.25", "0.5") }},
		{"score 0 is 1.5", func(w http.ResponseWriter, p *picture) { answer(w, p, "0.5", "1.5") }},
		{"box 0 is [-1 0 9 9]", func(w http.ResponseWriter, p *picture) { answer(w, p, "[0,0,9,9]", "[-1,0,9,9]") }},
		{"box 0 is [9 0 9 9]", func(w http.ResponseWriter, p *picture) { answer(w, p, "[0,0,9,9]", "[9,0,9,9]") }},
		{"box 0 is [0 0 9999 9]", func(w http.ResponseWriter, p *picture) { answer(w, p, "[0,0,9,9]", "[0,0,9999,9]") }},
		{"want at most 1", func(w http.ResponseWriter, p *picture) {
			answer(w, p, "", "")
		}},
		{"took 0.1 and 0 seconds", func(w http.ResponseWriter, p *picture) { answer(w, p, `"seconds":0.1`, `"seconds":0`) }},
		{"other boxes than when it was asked before", func(w http.ResponseWriter, p *picture) {
			n++
			answer(w, p, "0.25", fmt.Sprint(0.25/float64(n)))
		}},
		{"no answer", func(w http.ResponseWriter, p *picture) { panic(http.ErrAbortHandler) }},
		{"status 200, then unexpected EOF", func(w http.ResponseWriter, p *picture) {
			w.Header().Set("Content-Length", "1000")
			answer(w, p, "", "")
		}},
	} {
		t.Run(c.want, func(t *testing.T) {
			album, err := newAlbum("")
			if err != nil {
				t.Fatal(err)
			}
			h := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path == "/openapi.yaml" {
					_, _ = w.Write(openapi)
					return
				}
				body, _ := io.ReadAll(r.Body)
				i := slices.IndexFunc(album.jpeg, func(p *picture) bool { return bytes.Equal(p.data, body) })
				c.answer(w, album.jpeg[i])
			}))
			h.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
			h.Start()
			defer h.Close()
			s := quick(h.URL, "")
			s.mix, s.clients, s.duration, s.query = "plain", 1, 30*time.Millisecond, "max=2"
			if c.want == "want at most 1" {
				s.query = "max=1"
			}
			sum, err := run(t.Context(), s, io.Discard)
			if err != nil {
				t.Fatal(err)
			}
			told := strings.Join(sum.Examples, "\n")
			if sum.Load.Requests == 0 || (sum.Complaints > 0) != (c.want != "") || !strings.Contains(told, c.want) {
				t.Errorf("%v", sum)
			}
		})
	}
}

// The other forms of an answer are read as package export writes them, and not otherwise.
func TestForms(t *testing.T) {
	row := &codec.Row{
		File: "a", Width: 30, Height: 20, Search: time.Second, Decode: time.Second,
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
	for _, err := range []error{err, err2, err3, err4} {
		if err != nil {
			t.Fatal(err)
		}
	}
	for name, c := range map[string]struct {
		parse func([]byte) (*found, error)
		data  []byte
	}{"csv": {parseCSV, csv.Bytes()}, "npy": {parseNPY, npy}, "binary": {parseBinary, bin}, "json": {parseJSON, object}} {
		got, err := c.parse(c.data)
		if err != nil || !reflect.DeepEqual(got.boxes, want.boxes) || !reflect.DeepEqual(got.scores, want.scores) {
			t.Errorf("%s: %+v %v", name, got, err)
		}
		if name != "npy" && (got.width != 30 || got.height != 20) {
			t.Errorf("%s: %d×%d", name, got.width, got.height)
		}
		for _, bad := range [][]byte{nil, c.data[:len(c.data)-4], c.data[4:], append([]byte("\x00"), c.data...)} {
			if got, err := c.parse(bad); err == nil {
				t.Errorf("%s: %q is %+v", name, bad, got)
			}
		}
	}
	half := slices.Clone(bin)
	copy(half[12:], []byte{0, 0, 0, 0x3f})
	if f, err := parseBinary(half); err == nil {
		t.Errorf("half a pixel is taken: %+v", f)
	}
	if f, err := parseCSV(bytes.Replace(csv.Bytes(), []byte("20,2,"), []byte("20,3,"), 1)); err == nil {
		t.Errorf("a wrong rank is taken: %+v", f)
	}
}

func TestInferenceForms(t *testing.T) {
	inline := `{"outputs":[{"name":"boxes","datatype":"FP32","shape":[1,4],"data":[0,0,9,8]},{"name":"scores","datatype":"FP32","shape":[1],"data":[0.5]}]}`
	f, err := parseInference(&answer{body: []byte(inline)})
	if err != nil || !reflect.DeepEqual(f.boxes, [][4]int{{0, 0, 9, 8}}) {
		t.Fatalf("%+v %v", f, err)
	}
	for _, bad := range []string{
		"{}}", strings.Replace(inline, "FP32", "FP64", 1), strings.Replace(inline, "[1,4]", "[2,4]", 1), strings.Replace(inline, "9,8", "9", 1),
		strings.Replace(inline, `"data":[0.5]`, `"parameters":{"binary_data_size":4}`, 1),
		strings.Replace(inline, `"name":"scores"`, `"name":"others"`, 1),
	} {
		if f, err := parseInference(&answer{body: []byte(bad)}); err == nil {
			t.Errorf("%s is taken: %+v", bad, f)
		}
	}
}

// Masks, evidence, trees and minibatches that do not agree with themselves are found: each
// change makes a right one wrong.
func TestRichForms(t *testing.T) {
	// Two pixels side by side, of two regions.
	text := `{"file":"a","width":2,"height":1,"seconds":1,"decode_seconds":1,"boxes":[[0,0,2,1]],"scores":[0.5],"strategies":[{}],` +
		`"masks":[{"size":[1,2],"counts":"02"}],"evidence":[{"strategies":1,"strategy":0,"position":1,"size":2,"birth":1,"death":0}],` +
		`"tree":{"strategy":0,"width":2,"height":1,"leaves":2,"parents":[2,2,-1],"similarities":[null,null,1],"sizes":[1,1,2],` +
		`"boxes":[[0,0,1,1],[1,0,2,1],[0,0,2,1]],"labels":[0,1,1,1]}}`
	check := func(text string) error {
		r, err := parseRow([]byte(text))
		if err != nil {
			t.Fatal(err)
		}
		return r.checkRich()
	}
	if err := check(text); err != nil {
		t.Fatal(err)
	}
	for _, c := range [][2]string{
		{`"counts":"02"`, `"counts":"11"`},
		{`"counts":"02"`, `"counts":"0"`},
		{`"position":1`, `"position":0`},
		{`"size":2,"birth"`, `"size":1,"birth"`},
		{`"parents":[2,2,-1]`, `"parents":[2,1,-1]`},
		{`"parents":[2,2,-1]`, `"parents":[2,2,0]`},
		{`[null,null,1]`, `[null,1,1]`},
		{`"sizes":[1,1,2]`, `"sizes":[1,1,3]`},
		{`"labels":[0,1,1,1]`, `"labels":[0,2]`},
		{`"labels":[0,1,1,1]`, `"labels":[0,1,5,1]`},
		{`"strategies":[{}]`, `"strategies":[]`},
	} {
		if check(strings.Replace(text, c[0], c[1], 1)) == nil {
			t.Errorf("%s is taken", c[1])
		}
	}

	p := &picture{name: "a", width: 10, height: 10}
	batch := `{"width":10,"height":10,"rois":[[0,0,5,5],[1,1,9,9]],"labels":[1,0],"truth":[0,-1],"ious":[0.9,0.2],"deltas":[[0,0,0,0],null],"foreground":1,"background":1}`
	if err := checkRoIs(p, []byte(batch), 1); err != nil {
		t.Fatal(err)
	}
	for _, c := range [][2]string{
		{`[1,1,9,9]`, `[1,1,11,9]`},
		{`"labels":[1,0]`, `"labels":[1,1]`},
		{`"labels":[1,0]`, `"labels":[1]`},
		{`"truth":[0,-1]`, `"truth":[1,-1]`},
		{`"foreground":1`, `"foreground":2`},
		{`0.9`, `1.9`},
		{`"width":10`, `"width":9`},
	} {
		if checkRoIs(p, []byte(strings.Replace(batch, c[0], c[1], 1)), 1) == nil {
			t.Errorf("%s is taken", c[1])
		}
	}
}

// What is asked depends on the seed and the number alone.
func TestDrawIsDeterministic(t *testing.T) {
	album, err := newAlbum("")
	if err != nil {
		t.Fatal(err)
	}
	s := quick("http://127.0.0.1:1", "")
	one, two := newMix(s, album, &judge{}), newMix(s, album, &judge{})
	kinds := map[string]bool{}
	hostile := 0
	for n := range uint64(1000) {
		a, b := one.draw(n), two.draw(n)
		a.check, b.check = nil, nil
		if !reflect.DeepEqual(a, b) {
			t.Fatalf("request %d is %+v and %+v", n, a, b)
		}
		kinds[a.kind] = true
		if a.hostile {
			hostile++
		}
	}
	if len(kinds) != len(goodKinds)+len(hostileKinds) || math.Abs(float64(hostile)-500) > 80 {
		t.Errorf("%d of 1000 are hostile; of %d kinds there are %v", hostile, len(goodKinds)+len(hostileKinds), kinds)
	}
}

// A service that keeps what it should give back, and one that is no service, are told of.
func TestWatch(t *testing.T) {
	metrics := map[string]float64{}
	for _, g := range watched {
		metrics[g.name] = 0
	}
	h := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/metrics" {
			for name, v := range metrics {
				fmt.Fprintf(w, "# HELP %s\n%s %g\n", name, name, v)
			}
		}
	}))
	defer h.Close()
	for _, c := range []struct {
		name  string
		value float64
		want  int
	}{{"go_goroutines", spare, 0}, {"go_goroutines", spare + 1, 1}, {"proposer_body_bytes", 1, 1}, {"proposer_work_pixels", -1, 1}, {"proposer_cache_bytes", 9, 0}} {
		w, err := newWatch(t.Context(), h.URL)
		if err == nil {
			err = w.start(t.Context())
		}
		if err != nil {
			t.Fatal(err)
		}
		w.cancel()
		w.ended.Wait()
		metrics[c.name] = c.value
		gauges, complaints := w.stop(t.Context(), time.Millisecond)
		if metrics[c.name] = 0; len(complaints) != c.want || len(gauges) != len(watched) {
			t.Errorf("%s %v: %q", c.name, c.value, complaints)
		}
		w.close()
	}
	delete(metrics, "proposer_queue_depth")
	if _, err := newWatch(t.Context(), h.URL); err == nil || !strings.Contains(err.Error(), "proposer_queue_depth") {
		t.Errorf("%v", err)
	}
}

// writerFunc is called for what is written.
type writerFunc func([]byte)

func (f writerFunc) Write(p []byte) (int, error) { f(p); return len(p), nil }

// When it is told to stop it stops, sums up, and leaves nothing behind.
func TestInterrupted(t *testing.T) {
	url, admin := serve(t, nil)
	before := runtime.NumGoroutine()
	ctx, cancel := context.WithCancel(t.Context())
	s := quick(url, admin)
	s.duration = time.Hour
	start := time.Now()
	sum, err := run(ctx, s, writerFunc(func([]byte) { start = time.Now(); time.AfterFunc(300*time.Millisecond, cancel) }))
	if err != nil || sum.Complaints > 0 || sum.Load.Requests == 0 {
		t.Errorf("%v %v", sum, err)
	}
	if took := time.Since(start); took > 5*time.Second {
		t.Errorf("it took %v", took)
	}
	for deadline := time.Now().Add(5 * time.Second); runtime.NumGoroutine() > before+2; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%d goroutines, before there were %d", runtime.NumGoroutine(), before)
		}
	}
}

func TestSettings(t *testing.T) {
	good := quick("http://h:1", "")
	if err := good.check(); err != nil {
		t.Fatal(err)
	}
	for want, change := range map[string]func(*settings){
		"-url ":     func(s *settings) { s.url = "h:1" },
		"-admin ":   func(s *settings) { s.admin = "http://h/metrics" },
		"-query ":   func(s *settings) { s.query = "%zz" },
		"-mix ":     func(s *settings) { s.mix = "wild" },
		"-clients ": func(s *settings) { s.clients = 0 },
		"-rate ":    func(s *settings) { s.rate = -1 },
		"-hostile ": func(s *settings) { s.hostile = math.NaN() },
	} {
		s := good
		change(&s)
		if err := s.check(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", want, err)
		}
	}
}
