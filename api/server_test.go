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
		t.Run(c.method+" "+c.path, func(t *testing.T) {
			r := s.do(t, c.method, c.path, "", nil)
			if r.status != c.status || !strings.Contains(string(r.body), c.want) {
				t.Errorf("got %d %.200q, want %d and %q", r.status, r.body, c.status, c.want)
			}
			if got := r.header.Get("X-Content-Type-Options"); got != "nosniff" {
				t.Errorf("got X-Content-Type-Options %q, want nosniff", got)
			}
		})
	}
}

func TestMethodNotAllowed(t *testing.T) {
	s := start(t, nil)
	for _, c := range []struct{ method, path, allow string }{
		{"GET", "/v1/proposals", "POST"},
		{"PUT", "/v1/proposals", "POST"},
		{"OPTIONS", "/v1/proposals", "POST"},
		{"BREW", "/v1/proposals", "POST"},
		{"POST", "/healthz", "GET, HEAD"},
		{"POST", "/v1/modes", "GET, HEAD"},
		{"POST", "/", "GET, HEAD"},
	} {
		t.Run(c.method+" "+c.path, func(t *testing.T) {
			r := s.do(t, c.method, c.path, "", nil)
			p := r.problem(t, http.StatusMethodNotAllowed, "method")
			if got := r.header.Get("Allow"); got != c.allow || len(p.Errors) != 1 || p.Errors[0].Value != c.method {
				t.Errorf("got Allow %q and %+v, want %q", got, p, c.allow)
			}
		})
	}
}

func TestNotFound(t *testing.T) {
	s := start(t, nil)
	for _, path := range []string{"/metrics", "/debug/pprof/", "/v1", "/v1/proposals//", "/v1/../favicon.ico", "/%00"} {
		t.Run(path, func(t *testing.T) {
			s.do(t, "GET", path, "", nil).problem(t, http.StatusNotFound, "path")
		})
	}
	t.Run("unknown method", func(t *testing.T) {
		s.do(t, "BREW", "/coffee", "", nil).problem(t, http.StatusNotFound, "path")
	})
}

func TestProposals(t *testing.T) {
	const path = "/v1/proposals?mode=single&max=20"
	s := start(t, nil)
	png := small().PNG()
	_, want := s.do(t, "POST", path, "", bytes.NewReader(png)).proposals(t)
	if len(want) > 20 {
		t.Errorf("got %d boxes, want at most 20", len(want))
	}
	for _, contentType := range []string{"image/png", "application/x-www-form-urlencoded", "text/plain; bad;;", "application/octet-stream"} {
		t.Run(contentType, func(t *testing.T) {
			file, boxes := s.do(t, "POST", path, contentType, bytes.NewReader(png)).proposals(t)
			if file != "" || !slices.Equal(boxes, want) {
				t.Errorf("got file %q and boxes %v, want no file and %v", file, boxes, want)
			}
		})
	}
	t.Run("without Content-Length", func(t *testing.T) {
		_, boxes := s.do(t, "POST", path, "", io.MultiReader(bytes.NewReader(png))).proposals(t)
		if !slices.Equal(boxes, want) {
			t.Errorf("got boxes %v, want %v", boxes, want)
		}
	})
	for name, c := range map[string]struct{ sent, want string }{
		"form without file name":     {"", ""},
		"form with file name":        {"a b.png", "a b.png"},
		"form with path in the name": {"../../etc/a.png", "a.png"},
	} {
		t.Run(name, func(t *testing.T) {
			contentType, body := form(t, [3]string{"image", c.sent, string(png)})
			file, boxes := s.do(t, "POST", path, contentType, body).proposals(t)
			if file != c.want || !slices.Equal(boxes, want) {
				t.Errorf("got file %q and boxes %v, want %q and %v", file, boxes, c.want, want)
			}
		})
	}
	t.Run("form with special characters in the name", func(t *testing.T) {
		contentType, body := form(t, [3]string{"image", "../../etc/\x01\"é.png", string(png)})
		file, boxes := s.do(t, "POST", path, contentType, body).proposals(t)
		if strings.Contains(file, "/") || !slices.Equal(boxes, want) {
			t.Errorf("got file %q and boxes %v, want no path and %v", file, boxes, want)
		}
	})
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
		t.Errorf("got %s\nwant %s, error %v", got.body, want, err)
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
	if r := s.post(t, "mode=opencv-single&max=5&seed=8&colors=Lab,HSV&max-side=99", png); r.status != http.StatusOK {
		t.Fatalf("got %d %s", r.status, r.body)
	}
	if o := got.Search; got.Mode != "opencv-single" || o.Max != 5 || o.Seed != 8 || len(o.Strategies) != 2 ||
		got.Decode.LongestSide != 99 || o.Threads != 3 || got.Decode.Limits.MaxPixels != 12345 {
		t.Errorf("the search got the options %+v", got)
	}
}

func TestNoBoxesAreAnEmptyList(t *testing.T) {
	s := start(t, nil)
	s.run = func(context.Context, []byte, propose.Options) (*propose.Result, error) {
		return &propose.Result{DecodeTime: 1, SearchTime: 1}, nil
	}
	if r := s.post(t, "", small().PNG()); !strings.HasSuffix(string(r.body), `"boxes":[],"scores":[]}`+"\n") {
		t.Errorf("got %s, want empty lists", r.body)
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
		t.Errorf("got %+v, want an error about k", p)
	}
}

func TestDefaultMax(t *testing.T) {
	s := start(t, nil)
	var got int
	s.run = func(ctx context.Context, data []byte, o propose.Options) (*propose.Result, error) {
		got = o.Search.Max
		return runSearch(ctx, data, o)
	}
	for query, want := range map[string]int{"mode=single": DefaultMax, "mode=single&max=0": 0, "mode=single&max=3": 3} {
		t.Run(query, func(t *testing.T) {
			if r := s.post(t, query, small().PNG()); r.status != http.StatusOK || got != want {
				t.Errorf("got status %d and max %d, want max %d", r.status, got, want)
			}
		})
	}
}

func TestInvalidOptions(t *testing.T) {
	s := start(t, nil)
	s.run = func(context.Context, []byte, propose.Options) (*propose.Result, error) {
		t.Error("got a search, want a problem")
		return nil, errors.New("unexpected search")
	}
	for query, want := range map[string]map[string]string{ // the expected errors by name
		"mode=worst":                 {"mode": "one of single, fast"},
		"max=-1&k=0&mode=x":          {"max": "a whole number", "k": "a number above 0", "mode": "one of"},
		"threads=4":                  {"threads": "an option that exists: mode, max, "},
		"colours=HSV":                {"colours": "an option that exists"},
		"max=1&max=2":                {"max": "one value"},
		"Max=1":                      {"Max": "an option that exists"},
		"=x&nms=NaN":                 {"": "an option that exists", "nms": "off, adaptive or a number in (0,1]"},
		"seed=18446744073709551616&": {"seed": "a whole number from 0 to 18446744073709551615"},
	} {
		t.Run(query, func(t *testing.T) {
			p := s.post(t, query, small().PNG()).problem(t, http.StatusBadRequest, "option")
			got := map[string]string{}
			for _, e := range p.Errors {
				got[e.Name] = e.Want
			}
			if !slices.Equal(slices.Sorted(maps.Keys(got)), slices.Sorted(maps.Keys(want))) {
				t.Errorf("got errors %+v, want %v", p.Errors, want)
			}
			for name, prefix := range want {
				if !strings.HasPrefix(got[name], prefix) {
					t.Errorf("%s: got %q, want a text that begins with %q", name, got[name], prefix)
				}
			}
		})
	}
	for _, query := range []string{"max=%zz", "a;b"} {
		t.Run(query, func(t *testing.T) {
			s.post(t, query, nil).problem(t, http.StatusBadRequest, "request")
		})
	}
}

func TestInvalidImages(t *testing.T) {
	s := start(t, func(c *Config) { c.MaxImageBytes = 20_000; c.MaxImagePixels = 10_000 })
	png := small().PNG()
	if len(png) > 20_000 {
		t.Fatal("the test image is too large")
	}
	large := scene.Render(1, 101, 100, 1).JPEG(50)
	bomb := slices.Clone(png) // a header of 50,000 × 50,000
	copy(bomb[16:], "\x00\x00\xc3\x50\x00\x00\xc3\x50")
	for name, c := range map[string]struct {
		body  []byte
		kinds []string // alternatives
		field string
	}{
		"empty":                      {nil, []string{"request"}, "image"},
		"text":                       {[]byte("hello"), []string{"format"}, "image"},
		"farbfeld":                   {[]byte("farbfeld\x00\x00\x00\x01"), []string{"format"}, "image"},
		"truncated":                  {png[:len(png)/2], []string{"picture"}, "image"},
		"truncated header":           {png[:20], []string{"picture"}, "image"},
		"too many pixels":            {large, []string{"size"}, "pixels"},
		"too many bytes":             {make([]byte, 20_001), []string{"size"}, "bytes"},
		"bomb with a wrong checksum": {bomb, []string{"size", "picture"}, ""},
	} {
		contentType, body := form(t, [3]string{"image", "x.png", string(c.body)})
		for transfer, post := range map[string]func(t *testing.T) response{
			"raw": func(t *testing.T) response { return s.post(t, "mode=single", c.body) },
			"chunked": func(t *testing.T) response {
				return s.do(t, "POST", "/v1/proposals", "image/png", io.MultiReader(bytes.NewReader(c.body)))
			},
			"form": func(t *testing.T) response { return s.do(t, "POST", "/v1/proposals", contentType, body) },
		} {
			t.Run(name+"/"+transfer, func(t *testing.T) {
				r := post(t)
				status := map[string]int{"request": 400, "format": 415, "picture": 422, "size": 413}
				kind := c.kinds[0]
				if len(c.kinds) > 1 && r.status == status[c.kinds[1]] {
					kind = c.kinds[1]
				}
				p := r.problem(t, status[kind], kind)
				if len(p.Errors) != 1 || c.field != "" && p.Errors[0].Name != c.field || p.Errors[0].Want == "" {
					t.Errorf("got errors %+v, want one about %q", p.Errors, c.field)
				}
			})
		}
	}
}

func TestInvalidForms(t *testing.T) {
	s := start(t, func(c *Config) { c.MaxImageBytes = 20_000 })
	png := string(small().PNG())
	one := [3]string{"image", "a.png", png}
	for name, parts := range map[string][][3]string{
		"unknown field":         {one, {"mode", "", "fast"}},
		"repeated options":      {one, {"options", "", "{}"}, {"options", "", "{}"}},
		"options are not JSON":  {one, {"options", "", "mode=fast"}},
		"null option":           {one, {"options", "", `{"mode":null}`}},
		"object option":         {one, {"options", "", `{"mode":{"fast":1}}`}},
		"data after the object": {one, {"options", "", `{} {}`}},
		"empty image":           {one, {"image", "b.png", ""}},
		"field without a name":  {{"", "", png}},
		"empty form":            {},
	} {
		t.Run(name, func(t *testing.T) {
			contentType, body := form(t, parts...)
			s.do(t, "POST", "/v1/proposals", contentType, body).problem(t, http.StatusBadRequest, "request")
		})
	}
	contentType, body := form(t, one)
	for name, c := range map[string]struct {
		contentType string
		body        []byte
	}{
		"truncated":        {contentType, body.Bytes()[:body.Len()-30]},
		"not a form":       {contentType, []byte("no form")},
		"without boundary": {"multipart/form-data", []byte("no boundary")},
	} {
		t.Run(name, func(t *testing.T) {
			s.do(t, "POST", "/v1/proposals", c.contentType, bytes.NewReader(c.body)).problem(t, http.StatusBadRequest, "request")
		})
	}
	t.Run("too long", func(t *testing.T) {
		contentType, body := form(t, one)
		body.Write(make([]byte, 90_000+maxFieldBytes)) // after the last part
		s.do(t, "POST", "/v1/proposals", contentType, io.MultiReader(body)).problem(t, http.StatusRequestEntityTooLarge, "size")
	})
}

func TestContentLengthTooLarge(t *testing.T) {
	s := start(t, nil)
	conn := s.dial(t)
	fmt.Fprint(conn, "POST /v1/proposals HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999\r\n\r\n")
	readResponse(t, conn).problem(t, http.StatusRequestEntityTooLarge, "size")
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
		s := start(t, nil) // one worker, two waiting
		g := newGate(s.Server)
		png := small().PNG()
		working := s.postAsync(t.Context(), png)
		<-g.begun
		waiting := []<-chan any{s.postAsync(t.Context(), png), s.postAsync(t.Context(), png)}
		s.wantInFlight(t, 3)
		for range 3 {
			s.post(t, "", png).problem(t, http.StatusTooManyRequests, "full")
		}
		g.wantNoSearch(t)
		close(g.open)
		wantOK(t, append(waiting, working)...)
		if r := s.post(t, "", png); r.status != http.StatusOK {
			t.Errorf("once the queue is empty: got %d %s, want 200", r.status, r.body)
		}
		s.wantMetric(t, `proposer_requests_rejected_total{reason="full"}`, 3)
	})
}

func TestClientDisconnects(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := start(t, func(c *Config) { c.Queue = 1 })
		g := newGate(s.Server)
		png := small().PNG()
		workingCtx, cancelWorking := context.WithCancel(t.Context())
		working := s.postAsync(workingCtx, png)
		search := <-g.begun
		waitingCtx, cancelWaiting := context.WithCancel(t.Context())
		waiting := s.postAsync(waitingCtx, png)
		s.wantInFlight(t, 2)
		s.post(t, "", png).problem(t, http.StatusTooManyRequests, "full")

		// A client in the queue disconnects: its slot is released.
		cancelWaiting()
		if r, ok := (<-waiting).(error); !ok {
			t.Errorf("got the response %v after a disconnect", r)
		}
		s.wantInFlight(t, 1)
		next := s.postAsync(t.Context(), png)
		s.wantInFlight(t, 2)

		// A client disconnects during its search: the search is canceled and the next one begins.
		cancelWorking()
		<-working
		<-search.Done()
		<-g.begun
		close(g.open)
		wantOK(t, next)
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
		time.Sleep(2 * s.cfg.BodyTimeout) // of the bubble
		close(g.open)
		wantOK(t, done)
	})
}

func TestPanic(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		s := start(t, func(c *Config) { c.Logger = slog.New(slog.NewJSONHandler(&log, nil)) })
		s.run = func(context.Context, []byte, propose.Options) (*propose.Result, error) { panic("the sky fell") }
		p := s.post(t, "", small().PNG()).problem(t, http.StatusInternalServerError, "internal")
		if strings.Contains(p.Detail, "sky") {
			t.Errorf("got detail %q, want no internals", p.Detail)
		}
		s.wantMetric(t, `proposer_requests_rejected_total{reason="internal"}`, 1)
		if l := log.String(); !strings.Contains(l, "the sky fell") || !strings.Contains(l, "propose.go") || !strings.Contains(l, `"level":"ERROR"`) {
			t.Errorf("got log %s, want an error with the stack", l)
		}
		// Other handlers; a panic of one of several images is reported in its line.
		png := string(small().PNG())
		contentType, body := form(t, [3]string{"image", "a", png}, [3]string{"truth", "", `{"boxes":[]}`})
		s.do(t, "POST", "/v1/rois", contentType, body).problem(t, http.StatusInternalServerError, "internal")
		s.postWith(t, inferPath, "", []byte(png), openinference.HeaderLength+": 0").failure(t, http.StatusInternalServerError)
		contentType, body = form(t, [3]string{"image", "a", png}, [3]string{"image", "b", png})
		if r := s.do(t, "POST", "/v1/proposals", contentType, body); r.status != http.StatusOK || strings.Count(string(r.body), "urn:proposer:problem:internal") != 2 {
			t.Errorf("several images: got %d %s, want two problems", r.status, r.body)
		}
		s.wantInFlight(t, 0)
		if !s.admission.queue.Idle() || s.admission.memory.inUse() != 0 {
			t.Fatal("workers or memory have not been released")
		}
		// The service keeps working.
		s.run = func(context.Context, []byte, propose.Options) (*propose.Result, error) {
			return &propose.Result{DecodeTime: 1, SearchTime: 1}, nil
		}
		for range 4 {
			if r := s.post(t, "", small().PNG()); r.status != http.StatusOK {
				t.Errorf("after a panic: got %d %s, want 200", r.status, r.body)
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
		t.Errorf("got detail %q, want no internals", p.Detail)
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
			t.Errorf("sent %q: got %q, want it kept: %t", sent, got, kept)
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
			t.Fatalf("got %d lines, want 2:\n%s", len(lines), log.String())
		}
		var good, bad map[string]any
		if err := errors.Join(json.Unmarshal([]byte(lines[0]), &good), json.Unmarshal([]byte(lines[1]), &bad)); err != nil {
			t.Fatal(err)
		}
		if good["status"] != 200. || good["width"] != 64. || good["format"] != "png" || good["id"] == "" || good["boxes"].(float64) < 1 {
			t.Errorf("the line of a search is %v", good)
		}
		if bad["status"] != 400. || bad["problem"] != "option" || !strings.Contains(bad["error"].(string), "mode") {
			t.Errorf("the line of a problem is %v", bad)
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
			t.Errorf("lint: %v %v", problems, err)
		}
		for labels, want := range map[[2]string]float64{
			{"/v1/proposals", "200"}: 1,
			{"/v1/proposals", "415"}: 1,
			{"none", "404"}:          50,
		} {
			if got := testutil.ToFloat64(s.metrics.requests.WithLabelValues(labels[:]...)); got != want {
				t.Errorf("%v: got %v requests, want %v", labels, got, want)
			}
		}
		if n := testutil.CollectAndCount(s.metrics.requests); n != 3 {
			t.Errorf("got %d series of requests, want 3", n)
		}
		if n := testutil.CollectAndCount(s.metrics.stage); n != 6 {
			t.Errorf("got %d stages, want 6", n)
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
				t.Errorf("want %s in\n%s", want, body)
			}
		}
	})
}

func TestNewRejects(t *testing.T) {
	t.Run("empty configuration", func(t *testing.T) {
		if _, err := New(Config{}); err == nil {
			t.Error("got no error")
		}
	})
	t.Run("registry of another server", func(t *testing.T) {
		cfg := testConfig(t)
		if _, err := New(cfg); err != nil {
			t.Fatal(err)
		}
		if _, err := New(cfg); err == nil {
			t.Error("got no error")
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
		// It still listens, but rejects requests.
		if r := s.do(t, "GET", "/healthz", "", nil); r.status != http.StatusOK {
			t.Errorf("/healthz: got %d, want 200", r.status)
		}
		s.do(t, "GET", "/readyz", "", nil).problem(t, http.StatusServiceUnavailable, "draining")
		s.post(t, "", png).problem(t, http.StatusServiceUnavailable, "draining")
		select {
		case err := <-ended:
			t.Fatalf("Serve returned before the admitted requests were answered: %v", err)
		default:
		}
		close(g.open)
		wantOK(t, working, waiting)
		s.client.CloseIdleConnections()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		if _, err := s.listener.dial(t.Context()); err == nil {
			t.Error("the listener is still open")
		}
	})
}

// Under load, every image that was searched is answered completely.
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
		var clients sync.WaitGroup
		for range 16 {
			clients.Go(func() {
				for {
					r, ok := (<-s.postAsync(t.Context(), png)).(response)
					if !ok {
						return // the listener is closed
					}
					switch r.status {
					case http.StatusOK:
						if !json.Valid(r.body) {
							t.Errorf("got a truncated response: %s", r.body)
						}
						if answered.Add(1) == 20 {
							close(enough)
						}
					case http.StatusTooManyRequests, http.StatusServiceUnavailable:
					default:
						t.Errorf("got %d %s", r.status, r.body)
					}
				}
			})
		}
		<-enough
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		clients.Wait()
		if searched.Load() != answered.Load() {
			t.Errorf("got %d responses, want %d, one for each search", answered.Load(), searched.Load())
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
			t.Errorf("got %v, want an error that names the timeout", err)
		}
		<-search.Done()
		if _, ok := (<-working).(error); !ok {
			t.Error("got a response to a request that was aborted")
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
	if err := s.Serve(t.Context(), Listeners{HTTP: ln}); !errors.Is(err, net.ErrClosed) {
		t.Errorf("got %v, want net.ErrClosed", err)
	}
}

// Clients with valid and invalid images, and clients that disconnect, get documented responses, and
// everything they used is released.
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
					if r, ok := (<-s.postAsync(ctx, body)).(response); ok {
						mu.Lock()
						statuses[r.status]++
						mu.Unlock()
					}
					cancel()
				}
			})
		}
		wg.Wait()
		if statuses[200] == 0 {
			t.Errorf("got statuses %v, want some 200", statuses)
		}
		for status := range statuses {
			if !slices.Contains([]int{200, 422, 429}, status) {
				t.Errorf("got status %d %d times", status, statuses[status])
			}
		}
		s.wantInFlight(t, 0)
		a := s.admission
		if !a.queue.Idle() || a.memory.inUse() != 0 || !a.inFlight.TryAcquire(maxInFlight) {
			t.Error("workers or memory have not been released")
		}
	})
}

// Any request gets a documented status and JSON. The search itself is fuzzed elsewhere.
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
			t.Fatalf("got %d %q", w.Code, w.Body)
		}
		for line := range strings.SplitSeq(strings.TrimSuffix(w.Body.String(), "\n"), "\n") {
			if !json.Valid([]byte(line)) {
				t.Fatalf("got %d %q", w.Code, w.Body)
			}
		}
	})
}
