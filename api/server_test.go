package api

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/proposer/proposer/api/openinference"
	"github.com/proposer/proposer/candidate"
	"github.com/proposer/proposer/internal/codec"
	"github.com/proposer/proposer/internal/propose"
	"github.com/proposer/proposer/internal/testutil/scene"
)

func TestRoutes(t *testing.T) {
	s := start(t, nil)
	for _, c := range []struct {
		method, path string
		status       int
		want         string
	}{
		{"GET", "/", 200, "<title>"},
		{"HEAD", "/", 200, ""},
		{"GET", "/assets/app.js", 200, "import"},
		{"GET", "/healthz", 200, "alive"},
		{"HEAD", "/healthz", 200, ""},
		{"GET", "/readyz", 200, "ready"},
		{"GET", "/v1/modes", 200, `"default_mode":"fast"`},
	} {
		a := s.do(t, c.method, c.path, "", nil)
		if a.status != c.status || !strings.Contains(string(a.body), c.want) || a.header.Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("%s %s: %d %v %.200q", c.method, c.path, a.status, a.header, a.body)
		}
	}
	for _, c := range []struct{ method, path, allow string }{
		{"GET", "/v1/proposals", "POST"},
		{"PUT", "/v1/proposals", "POST"},
		{"OPTIONS", "/v1/proposals", "POST"},
		{"BREW", "/v1/proposals", "POST"},
		{"POST", "/healthz", "GET, HEAD"},
		{"POST", "/v1/modes", "GET, HEAD"},
		{"POST", "/", "GET, HEAD"},
	} {
		a := s.do(t, c.method, c.path, "", nil)
		p := a.problem(t, http.StatusMethodNotAllowed, "method")
		if a.header.Get("Allow") != c.allow || len(p.Errors) != 1 || p.Errors[0].Value != c.method {
			t.Errorf("%s %s: Allow %q, %+v", c.method, c.path, a.header.Get("Allow"), p)
		}
	}
	for _, path := range []string{"/metrics", "/debug/pprof/", "/v1", "/v1/proposals/", "/v1/../favicon.ico", "/%00"} {
		s.do(t, "GET", path, "", nil).problem(t, http.StatusNotFound, "path")
	}
	s.do(t, "BREW", "/coffee", "", nil).problem(t, http.StatusNotFound, "path")
}

func TestProposals(t *testing.T) {
	s := start(t, nil)
	png := small().PNG()
	var first [][4]int
	for _, contentType := range []string{"", "image/png", "application/x-www-form-urlencoded", "text/plain; bad;;", "application/octet-stream"} {
		file, boxes := s.do(t, "POST", "/v1/proposals?mode=single&max=20", contentType, bytes.NewReader(png)).proposals(t)
		if first == nil {
			first = boxes
		}
		if file != "" || !slices.Equal(boxes, first) || len(boxes) > 20 {
			t.Errorf("%q: file %q, boxes %v", contentType, file, boxes)
		}
	}
	// A body of unknown length, and forms.
	_, boxes := s.do(t, "POST", "/v1/proposals?mode=single&max=20", "", io.MultiReader(bytes.NewReader(png))).proposals(t)
	if !slices.Equal(boxes, first) {
		t.Error("other boxes without a length")
	}
	for sent, want := range map[string]string{"": "", "a b.png": "a b.png", "../../etc/\x01\"é.png": "\x01\"é.png"} {
		contentType, body := form(t, [3]string{"image", sent, string(png)})
		file, boxes := s.do(t, "POST", "/v1/proposals?mode=single&max=20", contentType, body).proposals(t)
		if !slices.Equal(boxes, first) || sent != "../../etc/\x01\"é.png" && file != want || strings.Contains(file, "/") {
			t.Errorf("form: file %q, want %q", file, want)
		}
	}
}

func TestResponseEqualsCodecOutput(t *testing.T) {
	s := start(t, nil)
	var result *propose.Result
	s.run = func(ctx context.Context, data []byte, o propose.Options) (*propose.Result, error) {
		var err error
		result, err = runSearch(ctx, data, o)
		return result, err
	}
	got := s.post(t, "mode=single", small().PNG())
	want, err := codec.AppendJSON(nil, codec.NewRow("", result))
	if err != nil || string(got.body) != string(want)+"\n" {
		t.Errorf("%v\n%s\nwant\n%s", err, got.body, want)
	}
}

func TestOptionsAreApplied(t *testing.T) {
	s := start(t, func(c *Config) { c.Threads = 3; c.MaxImagePixels = 12345 })
	var got propose.Options
	s.run = func(_ context.Context, _ []byte, o propose.Options) (*propose.Result, error) {
		got = o
		return &propose.Result{DecodeTime: 1, SearchTime: 1}, nil
	}
	png := small().PNG()
	if a := s.post(t, "mode=opencv-single&max=5&seed=8&colors=Lab,HSV&max-side=99", png); a.status != http.StatusOK {
		t.Fatalf("%s", a.body)
	}
	if o := got.Search; got.Mode != "opencv-single" || o.Max != 5 || o.Seed != 8 || len(o.Strategies) != 2 ||
		got.Decode.LongestSide != 99 || o.Threads != 3 || got.Decode.Limits.MaxPixels != 12345 {
		t.Errorf("%+v", got)
	}
	// No boxes are an empty list.
	if a := s.post(t, "", png); !strings.HasSuffix(string(a.body), `"boxes":[],"scores":[]}`+"\n") {
		t.Errorf("%s", a.body)
	}
}

func TestTooManyRegions(t *testing.T) {
	s := start(t, nil)
	s.run = func(ctx context.Context, data []byte, o propose.Options) (*propose.Result, error) {
		o.Search.MaxRegions = 2
		return runSearch(ctx, data, o)
	}
	p := s.post(t, "mode=single", small().PNG()).problem(t, http.StatusUnprocessableEntity, "regions")
	if len(p.Errors) != 1 || p.Errors[0].Name != "k" || p.Errors[0].Value != "100" || !strings.Contains(p.Errors[0].Want, "2 initial regions") {
		t.Errorf("%+v", p)
	}
}

// An answer has 2,000 boxes at most, unless the request says otherwise.
func TestDefaultMax(t *testing.T) {
	s := start(t, nil)
	var most int
	s.run = func(ctx context.Context, data []byte, o propose.Options) (*propose.Result, error) {
		most = o.Search.Max
		return runSearch(ctx, data, o)
	}
	for query, want := range map[string]int{"mode=single": DefaultMax, "mode=single&max=0": 0, "mode=single&max=3": 3} {
		if res := s.post(t, query, small().PNG()); res.status != http.StatusOK || most != want {
			t.Errorf("%s: status %d, at most %d boxes; want %d", query, res.status, most, want)
		}
	}
}

func TestInvalidOptions(t *testing.T) {
	s := start(t, nil)
	s.run = func(context.Context, []byte, propose.Options) (*propose.Result, error) {
		t.Error("searched")
		return nil, errors.New("searched")
	}
	for query, want := range map[string]map[string]string{ // names, and what is wanted of them
		"mode=worst":                 {"mode": "one of single, fast"},
		"max=-1&k=0&mode=x":          {"max": "a whole number", "k": "a number above 0", "mode": "one of"},
		"threads=4":                  {"threads": "an option that exists: mode, max, "},
		"colours=HSV":                {"colours": "an option that exists"},
		"max=1&max=2":                {"max": "one value"},
		"Max=1":                      {"Max": "an option that exists"},
		"=x&nms=NaN":                 {"": "an option that exists", "nms": "off, adaptive or a number in (0,1]"},
		"seed=18446744073709551616&": {"seed": "a whole number from 0 to 18446744073709551615"},
	} {
		p := s.post(t, query, small().PNG()).problem(t, http.StatusBadRequest, "option")
		got := map[string]string{}
		for _, e := range p.Errors {
			got[e.Name] = e.Want
		}
		if !slices.Equal(slices.Sorted(maps.Keys(got)), slices.Sorted(maps.Keys(want))) {
			t.Errorf("%s: %+v", query, p)
		}
		for name, w := range want {
			if !strings.HasPrefix(got[name], w) {
				t.Errorf("%s: %s: want %q, is told %q", query, name, w, got[name])
			}
		}
	}
	for _, query := range []string{"max=%zz", "a;b"} {
		s.post(t, query, nil).problem(t, http.StatusBadRequest, "request")
	}
}

func TestInvalidImages(t *testing.T) {
	s := start(t, func(c *Config) { c.MaxImageBytes = 20_000; c.MaxImagePixels = 10_000 })
	png := small().PNG()
	if len(png) > 20_000 {
		t.Fatal("the picture is larger than the test wants it")
	}
	large := scene.Render(1, 101, 100, 1).JPEG(50)
	bomb := slices.Clone(png) // a header of 50,000 × 50,000
	copy(bomb[16:], "\x00\x00\xc3\x50\x00\x00\xc3\x50")
	for name, c := range map[string]struct {
		body   []byte
		status int
		kind   string
		field  string
	}{
		"empty":   {nil, 400, "request", "image"},
		"text":    {[]byte("hello"), 415, "format", "image"},
		"gif":     {[]byte("GIF89a\x01\x00\x01\x00\x00\x00\x00;"), 415, "format", "image"},
		"cut":     {png[:len(png)/2], 422, "picture", "image"},
		"header":  {png[:20], 422, "picture", "image"},
		"pixels":  {large, 413, "size", "pixels"},
		"bytes":   {make([]byte, 20_001), 413, "size", "bytes"},
		"a bomb ": {bomb, 0, "", ""},
	} {
		for form, a := range map[string]response{
			"raw":     s.post(t, "mode=single", c.body),
			"chunked": s.do(t, "POST", "/v1/proposals", "image/png", io.MultiReader(bytes.NewReader(c.body))),
			"form": func() response {
				contentType, body := form(t, [3]string{"image", "x.png", string(c.body)})
				return s.do(t, "POST", "/v1/proposals", contentType, body)
			}(),
		} {
			if c.status == 0 { // its checksum is wrong, too
				if a.status != 413 && a.status != 422 {
					t.Errorf("%s, %s: %d", name, form, a.status)
				}
				continue
			}
			p := a.problem(t, c.status, c.kind)
			if len(p.Errors) != 1 || p.Errors[0].Name != c.field || p.Errors[0].Want == "" {
				t.Errorf("%s, %s: %+v", name, form, p)
			}
		}
	}
}

func TestInvalidForms(t *testing.T) {
	s := start(t, func(c *Config) { c.MaxImageBytes = 20_000 })
	png := string(small().PNG())
	one := [3]string{"image", "a.png", png}
	for _, parts := range [][][3]string{
		{one, {"mode", "", "fast"}},
		{one, {"options", "", "{}"}, {"options", "", "{}"}},
		{one, {"options", "", "mode=fast"}},
		{one, {"options", "", `{"mode":null}`}},
		{one, {"options", "", `{"mode":{"fast":1}}`}},
		{one, {"options", "", `{} {}`}},
		{one, {"image", "b.png", ""}},
		{{"", "", png}},
		{},
	} {
		contentType, body := form(t, parts...)
		s.do(t, "POST", "/v1/proposals", contentType, body).problem(t, http.StatusBadRequest, "request")
	}
	contentType, body := form(t, one)
	cut := body.Bytes()[:body.Len()-30]
	s.do(t, "POST", "/v1/proposals", contentType, bytes.NewReader(cut)).problem(t, http.StatusBadRequest, "request")
	s.do(t, "POST", "/v1/proposals", contentType, strings.NewReader("no form")).problem(t, http.StatusBadRequest, "request")
	s.do(t, "POST", "/v1/proposals", "multipart/form-data", strings.NewReader("no boundary")).problem(t, http.StatusBadRequest, "request")
	// More than a form may add, behind the picture.
	contentType, body = form(t, one)
	body.Write(make([]byte, 90_000+maxFieldBytes))
	s.do(t, "POST", "/v1/proposals", contentType, io.MultiReader(body)).problem(t, http.StatusRequestEntityTooLarge, "size")
}

func TestContentLengthTooLarge(t *testing.T) {
	s := start(t, nil)
	conn := s.dial(t)
	fmt.Fprint(conn, "POST /v1/proposals HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999\r\n\r\n")
	a := readResponse(t, conn)
	a.problem(t, http.StatusRequestEntityTooLarge, "size")
}

func TestInvalidBodies(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := start(t, func(c *Config) { c.BodyTimeout = 200 * time.Millisecond })
		conn := s.dial(t)
		fmt.Fprint(conn, "POST /v1/proposals HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n")
		readResponse(t, conn).problem(t, http.StatusBadRequest, "request")

		conn = s.dial(t)
		fmt.Fprint(conn, "POST /v1/proposals HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nslow")
		readResponse(t, conn).problem(t, http.StatusRequestTimeout, "slow")

		conn = s.dial(t)
		fmt.Fprint(conn, "POST /v1/proposals HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\ngone")
		conn.Close()
		s.wantMetric(t, `proposer_requests_rejected_total{reason="request"}`, 2)
	})
}

func TestQueueFull(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := start(t, nil) // one works, two wait
		g := newGate(s.Server)
		png := small().PNG()
		working := s.postAsync(t.Context(), png)
		<-g.begun
		waiting := []<-chan any{s.postAsync(t.Context(), png), s.postAsync(t.Context(), png)}
		s.wantInFlight(t, 3)
		for range 3 {
			s.post(t, "", png).problem(t, http.StatusTooManyRequests, "full")
		}
		// Who waits gets its turn, one at a time.
		select {
		case <-g.begun:
			t.Error("two searches at once")
		default:
		}
		close(g.open)
		for _, done := range append(waiting, working) {
			if a, ok := (<-done).(response); !ok || a.status != http.StatusOK {
				t.Errorf("%+v", a)
			}
		}
		if a := s.post(t, "", png); a.status != http.StatusOK {
			t.Errorf("after the crowd: %d %s", a.status, a.body)
		}
		s.wantMetric(t, `proposer_requests_rejected_total{reason="full"}`, 3)
	})
}

func TestClientDisconnects(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := start(t, func(c *Config) { c.Queue = 1 })
		g := newGate(s.Server)
		png := small().PNG()
		atWork, leave := context.WithCancel(t.Context())
		working := s.postAsync(atWork, png)
		search := <-g.begun
		inQueue, leaveQueue := context.WithCancel(t.Context())
		waiting := s.postAsync(inQueue, png)
		s.wantInFlight(t, 2)
		s.post(t, "", png).problem(t, http.StatusTooManyRequests, "full")

		// From the queue: its place is free at once.
		leaveQueue()
		if err, ok := (<-waiting).(error); !ok {
			t.Errorf("got an answer: %v", err)
		}
		s.wantInFlight(t, 1)
		next := s.postAsync(t.Context(), png)
		s.wantInFlight(t, 2)

		// From work: the search is told and the next one begins.
		leave()
		<-working
		<-search.Done()
		<-g.begun
		close(g.open)
		if a, ok := (<-next).(response); !ok || a.status != http.StatusOK {
			t.Errorf("the next one got %+v", a)
		}
		s.wantMetric(t, `proposer_requests_rejected_total{reason="gone"}`, 2)
		s.wantMetric(t, `proposer_http_requests_total{code="499",route="/v1/proposals"}`, 2)
	})
}

func TestTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := start(t, func(c *Config) { c.Timeout = 30 * time.Millisecond })
		newGate(s.Server)
		s.post(t, "", small().PNG()).problem(t, http.StatusServiceUnavailable, "deadline")
	})
}

// waitingRanker never finishes.
type waitingRanker struct{}

func (waitingRanker) Score(ctx context.Context, _ []float32, _ *candidate.Set) error {
	<-ctx.Done()
	return ctx.Err()
}

// A real search, not only that of a gate, ends at the timeout.
func TestTimeoutStopsSearch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := start(t, func(c *Config) { c.Ranker = waitingRanker{} })
		begin := time.Now() // of the bubble
		s.post(t, "mode=single", small().PNG()).problem(t, http.StatusServiceUnavailable, "deadline")
		if got, want := time.Since(begin), s.cfg.Timeout; got != want {
			t.Errorf("got a response after %v, want %v", got, want)
		}
	})
}

// The body timeout does not limit the search.
func TestBodyTimeoutExcludesSearch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := start(t, func(c *Config) { c.BodyTimeout = 100 * time.Millisecond })
		g := newGate(s.Server)
		done := s.postAsync(t.Context(), small().PNG())
		<-g.begun
		time.Sleep(300 * time.Millisecond)
		close(g.open)
		if a, ok := (<-done).(response); !ok || a.status != http.StatusOK {
			t.Errorf("%+v", a)
		}
	})
}

func TestPanic(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		s := start(t, func(c *Config) { c.Logger = slog.New(slog.NewJSONHandler(&log, nil)) })
		s.run = func(context.Context, []byte, propose.Options) (*propose.Result, error) { panic("the sky fell") }
		p := s.post(t, "", small().PNG()).problem(t, http.StatusInternalServerError, "internal")
		if strings.Contains(p.Detail, "sky") {
			t.Errorf("the client is told %q", p.Detail)
		}
		s.wantMetric(t, `proposer_requests_rejected_total{reason="internal"}`, 1)
		if l := log.String(); !strings.Contains(l, "the sky fell") || !strings.Contains(l, "propose.go") || !strings.Contains(l, `"level":"ERROR"`) {
			t.Errorf("log %s", l)
		}
		// Others that may panic, too: one of several pictures is a line.
		png := string(small().PNG())
		contentType, body := form(t, [3]string{"image", "a", png}, [3]string{"truth", "", `{"boxes":[]}`})
		s.do(t, "POST", "/v1/rois", contentType, body).problem(t, http.StatusInternalServerError, "internal")
		s.postWith(t, inferPath, "", []byte(png), openinference.HeaderLength+": 0").failure(t, http.StatusInternalServerError)
		contentType, body = form(t, [3]string{"image", "a", png}, [3]string{"image", "b", png})
		if a := s.do(t, "POST", "/v1/proposals", contentType, body); a.status != http.StatusOK || strings.Count(string(a.body), "urn:proposer:problem:internal") != 2 {
			t.Errorf("several pictures: %d %s", a.status, a.body)
		}
		s.wantInFlight(t, 0)
		all := int64(s.cfg.Workers + s.cfg.Queue)
		if !s.admission.queue.TryAcquire(all) || !s.admission.work.TryAcquire(s.admission.capacity) || !s.admission.bodies.TryAcquire(s.cfg.BodyMemory) {
			t.Fatal("places, workers or memory are lost")
		}
		s.admission.queue.Release(all)
		s.admission.work.Release(s.admission.capacity)
		s.admission.bodies.Release(s.cfg.BodyMemory)
		// The service goes on.
		s.run = func(context.Context, []byte, propose.Options) (*propose.Result, error) {
			return &propose.Result{DecodeTime: 1, SearchTime: 1}, nil
		}
		for range 4 {
			if a := s.post(t, "", small().PNG()); a.status != http.StatusOK {
				t.Errorf("%d %s", a.status, a.body)
			}
		}
	})
}

func TestInternalErrorIsHidden(t *testing.T) {
	s := start(t, nil)
	s.run = func(context.Context, []byte, propose.Options) (*propose.Result, error) {
		return nil, errors.New("secret")
	}
	p := s.post(t, "", small().PNG()).problem(t, http.StatusInternalServerError, "internal")
	if strings.Contains(p.Detail, "secret") {
		t.Errorf("the client is told %q", p.Detail)
	}
}

func TestRequestIDs(t *testing.T) {
	s := start(t, nil)
	for sent, kept := range map[string]bool{"abc-1.2_Z": true, "": false, strings.Repeat("a", 65): false, "a b": false, "a\tb": false} {
		req, _ := http.NewRequestWithContext(t.Context(), "GET", s.url+"/healthz", nil)
		req.Header.Set(requestIDHeader, sent)
		res, err := s.client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		if got := res.Header.Get(requestIDHeader); got == "" || (got == sent) != kept {
			t.Errorf("sent %q, got %q", sent, got)
		}
	}
}

func TestOneLogLinePerRequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		s := start(t, func(c *Config) { c.Logger = slog.New(slog.NewJSONHandler(&log, nil)) })
		s.post(t, "mode=single", small().PNG())
		s.post(t, "mode=none", small().PNG())
		s.do(t, "GET", "/healthz", "", nil)
		s.wantInFlight(t, 0)
		lines := strings.Split(strings.TrimSpace(log.String()), "\n")
		if len(lines) != 2 {
			t.Fatalf("%d lines:\n%s", len(lines), log.String())
		}
		var good, bad map[string]any
		if err := errors.Join(json.Unmarshal([]byte(lines[0]), &good), json.Unmarshal([]byte(lines[1]), &bad)); err != nil {
			t.Fatal(err)
		}
		if good["status"] != 200. || good["width"] != 64. || good["format"] != "png" || good["id"] == "" || good["boxes"].(float64) < 1 {
			t.Errorf("%v", good)
		}
		if bad["status"] != 400. || bad["problem"] != "option" || !strings.Contains(bad["error"].(string), "mode") {
			t.Errorf("%v", bad)
		}
	})
}

func TestMetrics(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		reg := prometheus.NewRegistry()
		s := start(t, func(c *Config) { c.Registry = reg; c.Version = "v9" })
		s.post(t, "mode=single", small().PNG()).proposals(t)
		s.post(t, "", []byte("x")).problem(t, http.StatusUnsupportedMediaType, "format")
		for i := range 50 {
			s.do(t, "GET", fmt.Sprintf("/nothing/%d", i), "", nil)
		}
		s.wantInFlight(t, 0)
		if problems, err := testutil.GatherAndLint(reg); err != nil || len(problems) > 0 {
			t.Errorf("%v %v", problems, err)
		}
		for labels, want := range map[[2]string]float64{
			{"/v1/proposals", "200"}: 1,
			{"/v1/proposals", "415"}: 1,
			{"none", "404"}:          50,
		} {
			if got := testutil.ToFloat64(s.metrics.requests.WithLabelValues(labels[:]...)); got != want {
				t.Errorf("%v: %v requests, want %v", labels, got, want)
			}
		}
		if n := testutil.CollectAndCount(s.metrics.requests); n != 3 {
			t.Errorf("%d kinds of requests, want 3", n)
		}
		if n := testutil.CollectAndCount(s.metrics.stage); n != 6 {
			t.Errorf("%d stages, want 6", n)
		}
		body := s.scrape(t)
		for _, want := range []string{
			`proposer_stage_duration_seconds_count{stage="decode"} 1`,
			`proposer_stage_duration_seconds_bucket{stage="rank",le="0.001"}`,
			`proposer_stage_duration_seconds_bucket{stage="segment",le="60"}`,
			`proposer_http_request_duration_seconds_count{code="200",route="/v1/proposals"} 1`,
			`proposer_requests_rejected_total{reason="path"} 50`,
			`proposer_stage_duration_seconds_count{stage="encode"} 1`,
			`proposer_pictures_total{format="png",mode="single"} 1`,
			`proposer_decode_failures_total{format="unknown"} 1`,
			"proposer_queue_depth 0", "proposer_work_pixels 0", "proposer_body_bytes 0",
			"proposer_queue_wait_seconds_count 1", "proposer_picture_pixels_sum 3072", "proposer_boxes_count 1",
			`version="v9"`, "go_goroutines ", "process_resident_memory_bytes ",
		} {
			if !strings.Contains(body, want) {
				t.Errorf("no %s in\n%s", want, body)
			}
		}
		if _, err := New(Config{}); err == nil {
			t.Error("an empty configuration is taken")
		}
		cfg := testConfig(t)
		cfg.Registry = reg
		if _, err := New(cfg); err == nil {
			t.Error("a registry is taken twice")
		}
	})
}

func TestDrain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, stop, ended := serve(t, nil)
		g := newGate(s.Server)
		png := small().PNG()
		working := s.postAsync(t.Context(), png)
		<-g.begun
		waiting := s.postAsync(t.Context(), png)
		s.wantInFlight(t, 2)
		stop()
		synctest.Wait()
		// It lives and listens, but takes no more.
		if a := s.do(t, "GET", "/healthz", "", nil); a.status != http.StatusOK {
			t.Errorf("healthz: %d", a.status)
		}
		s.do(t, "GET", "/readyz", "", nil).problem(t, http.StatusServiceUnavailable, "draining")
		s.post(t, "", png).problem(t, http.StatusServiceUnavailable, "draining")
		select {
		case err := <-ended:
			t.Fatalf("it ended before its answers: %v", err)
		default:
		}
		close(g.open)
		for _, done := range []<-chan any{working, waiting} {
			if a, ok := (<-done).(response); !ok || a.status != http.StatusOK {
				t.Errorf("an admitted request got %+v", a)
			}
		}
		s.client.CloseIdleConnections()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		if _, err := s.listener.dial(t.Context()); err == nil {
			t.Error("it still listens")
		}
	})
}

// Told to stop in the midst of a crowd it answers all who were searched for, to the last byte.
func TestDrainUnderLoad(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, stop, ended := serve(t, func(c *Config) { c.Workers, c.Queue = 2, 6 })
		var searched, answered atomic.Int64
		enough := make(chan struct{})
		s.run = func(ctx context.Context, data []byte, o propose.Options) (*propose.Result, error) {
			searched.Add(1)
			return runSearch(ctx, data, o)
		}
		png := small().PNG()
		var crowd sync.WaitGroup
		for range 16 {
			crowd.Go(func() {
				for {
					a, ok := (<-s.postAsync(t.Context(), png)).(response)
					if !ok {
						return // it listens no more
					}
					switch a.status {
					case http.StatusOK:
						if !json.Valid(a.body) {
							t.Errorf("half an answer: %s", a.body)
						}
						if answered.Add(1) == 20 {
							close(enough)
						}
					case http.StatusTooManyRequests, http.StatusServiceUnavailable:
					default:
						t.Errorf("%d %s", a.status, a.body)
					}
				}
			})
		}
		<-enough
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		crowd.Wait()
		if searched.Load() != answered.Load() {
			t.Errorf("%d pictures were searched, %d answered", searched.Load(), answered.Load())
		}
		s.client.CloseIdleConnections()
	})
}

func TestShutdownTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, stop, ended := serve(t, func(c *Config) { c.ShutdownTimeout = 50 * time.Millisecond })
		g := newGate(s.Server)
		working := s.postAsync(t.Context(), small().PNG())
		search := <-g.begun
		stop()
		if err := <-ended; err == nil || !strings.Contains(err.Error(), "50ms") {
			t.Errorf("ended with %v", err)
		}
		<-search.Done()
		if _, ok := (<-working).(error); !ok {
			t.Error("the request that was cut off got an answer")
		}
	})
}

func TestServeListenerError(t *testing.T) {
	s, err := New(testConfig(t))
	if err != nil {
		t.Fatal(err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ln.Close()
	if err := s.Serve(t.Context(), ln, nil); !errors.Is(err, net.ErrClosed) {
		t.Errorf("%v", err)
	}
}

// Many clients, good, bad and impatient: every answer is one of the documented ones.
func TestConcurrentClients(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := start(t, func(c *Config) { c.Workers, c.Queue = 2, 2 })
		png := small().PNG()
		var wg sync.WaitGroup
		var mu sync.Mutex
		statuses := map[int]int{}
		for i := range 8 {
			wg.Go(func() {
				for j := range 6 {
					ctx, cancel := t.Context(), func() {}
					body := png
					switch (i + j) % 4 {
					case 1:
						body = png[:100]
					case 2:
						ctx, cancel = context.WithCancel(ctx)
						go cancel() // at any time
					}
					if a, ok := (<-s.postAsync(ctx, body)).(response); ok {
						mu.Lock()
						statuses[a.status]++
						mu.Unlock()
					}
					cancel()
				}
			})
		}
		wg.Wait()
		if statuses[200] == 0 {
			t.Errorf("nobody was served: %v", statuses)
		}
		for status := range statuses {
			if !slices.Contains([]int{200, 422, 429}, status) {
				t.Errorf("%d answers of status %d", statuses[status], status)
			}
		}
		s.wantInFlight(t, 0)
		a := s.admission
		if !a.queue.TryAcquire(4) || !a.work.TryAcquire(a.capacity) || !a.bodies.TryAcquire(s.cfg.BodyMemory) || !a.inFlight.TryAcquire(maxInFlight) {
			t.Error("places or workers are lost")
		}
	})
}

// Whatever is asked, the answer is documented, and is JSON. The search itself is
// fuzzed elsewhere.
func FuzzRequest(f *testing.F) {
	png := string(scene.Render(1, 2, 2, 0).PNG())
	contentType, body := form(f, [3]string{"image", "a.png", png})
	f.Add("mode=single", "image/png", []byte(png))
	f.Add("max=1", contentType, body.Bytes())
	contentType, body = form(f, [3]string{"image", "a.png", png}, [3]string{"options", "", `{"max":3,"masks":"rle"}`}, [3]string{"image", "b.png", png[:20]})
	f.Add("evidence=1", contentType, body.Bytes())
	f.Add("max=%", "multipart/form-data; boundary=x", []byte("--x\r\nContent-Disposition: form-data; name=image\r\n\r\n\r\n--x--"))
	cfg := testConfig(f)
	cfg.Logger = slog.New(slog.DiscardHandler)
	cfg.MaxImageBytes = 1 << 12
	cfg.MaxImagePixels = 1 << 12
	s, err := New(cfg)
	if err != nil {
		f.Fatal(err)
	}
	s.run = func(ctx context.Context, data []byte, o propose.Options) (*propose.Result, error) {
		if o.Search.KeepRegions {
			return runSearch(ctx, data, o)
		}
		return &propose.Result{Width: 1, Height: 1, DecodeTime: 1, SearchTime: 1}, nil
	}
	f.Fuzz(func(t *testing.T, query, contentType string, body []byte) {
		r := httptest.NewRequest("POST", "/v1/proposals", bytes.NewReader(body))
		r.URL.RawQuery = query
		r.Header.Set("Content-Type", contentType)
		w := httptest.NewRecorder()
		s.ServeHTTP(w, r)
		if !slices.Contains([]int{200, 400, 413, 415, 422}, w.Code) {
			t.Fatalf("%d %q", w.Code, w.Body)
		}
		for line := range strings.SplitSeq(strings.TrimSuffix(w.Body.String(), "\n"), "\n") {
			if !json.Valid([]byte(line)) {
				t.Fatalf("%d %q", w.Code, w.Body)
			}
		}
	})
}
