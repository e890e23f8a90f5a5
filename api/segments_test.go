package api

import (
	"bytes"
	"encoding/json"
	"image"
	"image/png"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/proposer/proposer/internal/codec"
	"github.com/proposer/proposer/internal/propose"
	"github.com/proposer/proposer/internal/testutil/scene"
)

// segmented returns the label image that the service should return.
func segmented(t testing.TB, data []byte, options map[string]string) *propose.Segmentation {
	t.Helper()
	o, err := propose.ParseSegmentOptions(options)
	if err != nil {
		t.Fatal(err)
	}
	s, err := propose.Segment(t.Context(), data, o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// All representations have the labels of package propose.
func TestSegments(t *testing.T) {
	s := start(t, nil)
	img := scene.Render(2, 120, 90, 4).JPEG(90)
	want := segmented(t, img, map[string]string{"k": "40", "color": "Lab"})
	wantPNG, err := codec.EncodeLabelsPNG(120, 90, want.Labels)
	if err != nil {
		t.Fatal(err)
	}
	ask := func(query, accept, media string) response {
		t.Helper()
		r := s.postWith(t, "/v1/segments?k=40&color=lab"+query, "", img, "Accept: "+accept)
		if r.status != http.StatusOK || r.header.Get("Content-Type") != media || r.header.Get("Vary") != "Accept" {
			t.Fatalf("%s: %d %v %.200q", accept, r.status, r.header, r.body)
		}
		return r
	}
	if got := ask("", "*/*", "image/png").body; !bytes.Equal(got, wantPNG) {
		t.Error("image/png: got other labels")
	}
	if got := ask("&max-side=500", "application/x-npy, image/png;q=.9", "application/x-npy").body; !bytes.Equal(got, codec.AppendLabelsNPY(nil, 120, 90, want.Labels)) {
		t.Error("application/x-npy: got other labels")
	}
	var got struct {
		Width, Height, Regions int
		Labels                 []int32
	}
	if err := json.Unmarshal(ask("", "application/json", "application/json").body, &got); err != nil ||
		got.Width != 120 || got.Height != 90 || got.Regions != want.Regions || !slices.Equal(got.Labels, want.RunLengths()) {
		t.Errorf("application/json: got %+v, %v", got, err)
	}
	for _, c := range []struct{ query, accept, media string }{
		{"&overlay=1", "image/png", "image/png"},
		{"&overlay=true", "image/*", "image/png"},
		{"", "image/jpeg", "image/jpeg"},
		{"&overlay=1", "image/jpeg", "image/jpeg"},
	} {
		body := ask(c.query, c.accept, c.media).body
		m, format, err := image.Decode(bytes.NewReader(body))
		if err != nil || "image/"+format != c.media || m.Bounds() != image.Rect(0, 0, 120, 90) || bytes.Equal(body, wantPNG) {
			t.Errorf("%s as %s: got an image of format %s, %v", c.query, c.accept, format, err)
		}
	}

	contentType, body := form(t, [3]string{"image", "a.jpg", string(img)}, [3]string{"options", "", `{"k":40,"color":"Lab"}`})
	if r := s.do(t, "POST", "/v1/segments", contentType, body); r.status != http.StatusOK || !bytes.Equal(r.body, wantPNG) {
		t.Errorf("a form: %d, or other labels", r.status)
	}
}

func TestSegmentsProblems(t *testing.T) {
	s := start(t, func(c *Config) { c.MaxImagePixels = 70_000 })
	png := small().PNG()
	for _, c := range []struct {
		query, accept string
		status        int
		kind, field   string
	}{
		{"", "text/csv", http.StatusNotAcceptable, "accept", "Accept"},
		{"k=0", "", http.StatusBadRequest, "option", "k"},
		{"k=50,100", "", http.StatusBadRequest, "option", "k"},
		{"k=50&k=100", "", http.StatusBadRequest, "option", "k"},
		{"mode=fast", "", http.StatusBadRequest, "option", "mode"},
		{"max=1", "", http.StatusBadRequest, "option", "max"},
		{"threads=1", "", http.StatusBadRequest, "option", "threads"},
		{"connectivity=6", "", http.StatusBadRequest, "option", "connectivity"},
		{"max-side=5&resize-width=5", "", http.StatusBadRequest, "option", "max-side"},
		{"overlay=2", "", http.StatusBadRequest, "option", "overlay"},
		{"overlay=1", "application/json", http.StatusBadRequest, "option", "overlay"},
		{"overlay=1", "application/x-npy", http.StatusBadRequest, "option", "overlay"},
		{"overlay=0", "image/jpeg", http.StatusBadRequest, "option", "overlay"},
		{"k=%", "", http.StatusBadRequest, "request", "query"},
		{"resize-width=1000", "", http.StatusRequestEntityTooLarge, "size", "pixels when resized"},
	} {
		t.Run(c.query+" "+c.accept, func(t *testing.T) {
			p := s.postWith(t, "/v1/segments?"+c.query, "", png, "Accept: "+c.accept).problem(t, c.status, c.kind)
			if len(p.Errors) != 1 || p.Errors[0].Name != c.field {
				t.Errorf("got %+v, want an error about %s", p, c.field)
			}
		})
	}
	post := func(contentType string, body []byte) response {
		return s.do(t, "POST", "/v1/segments", contentType, bytes.NewReader(body))
	}
	post("", png[:100]).problem(t, http.StatusUnprocessableEntity, "picture")
	post("", []byte("text")).problem(t, http.StatusUnsupportedMediaType, "format")
	post("", nil).problem(t, http.StatusBadRequest, "request")
	contentType, body := form(t, [3]string{"image", "a", string(png)}, [3]string{"image", "b", string(png)})
	if p := post(contentType, body.Bytes()).problem(t, http.StatusBadRequest, "request"); p.Errors[0].Value != "b" {
		t.Errorf("two images: got %+v", p)
	}
	contentType, body = form(t, [3]string{"image", "a", string(png)}, [3]string{"options", "", `{"k":-1}`})
	post(contentType, body.Bytes()).problem(t, http.StatusBadRequest, "option")
}

func TestSegmentsTooManyRegions(t *testing.T) {
	noise := image.NewGray(image.Rect(0, 0, 300, 300))
	for i := range noise.Pix {
		noise.Pix[i] = uint8(i * i >> 3 * 37)
	}
	var file bytes.Buffer
	if err := png.Encode(&file, noise); err != nil {
		t.Fatal(err)
	}
	s := start(t, nil)
	const path = "/v1/segments?k=.001&min-size=1&sigma=0"
	p := s.postWith(t, path, "", file.Bytes()).problem(t, http.StatusUnprocessableEntity, "regions")
	if !strings.HasSuffix(p.Detail, " regions: a PNG has at most 65536") || p.Errors[0].Want != "application/x-npy, application/json, or a larger k or min-size" {
		t.Errorf("got %+v", p)
	}
	if r := s.postWith(t, path, "", file.Bytes(), "Accept: application/x-npy"); r.status != http.StatusOK {
		t.Errorf("npy: got %d %s", r.status, r.body)
	}
}

// Segmentations share the cache, the queue and the metrics with searches.
func TestSegmentsService(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		s := start(t, func(c *Config) {
			c.CacheBytes, c.Workers, c.Queue = 1<<20, 1, 0
			c.Logger = slog.New(slog.NewJSONHandler(&log, nil))
		})
		img := small().PNG()
		first := s.postWith(t, "/v1/segments?k=100", "", img)
		tag := first.header.Get("ETag")
		if first.status != http.StatusOK || !strings.HasPrefix(tag, `W/"`) || first.header.Get("X-Cache") != "miss" {
			t.Fatalf("%d %v", first.status, first.header)
		}
		if again := s.postWith(t, "/v1/segments?color=RGB", "", img); again.header.Get("X-Cache") != "hit" || again.header.Get("ETag") != tag || !bytes.Equal(again.body, first.body) {
			t.Errorf("an equivalent query: %v", again.header)
		}
		if r := s.postWith(t, "/v1/segments", "", img, "If-None-Match: "+tag); r.status != http.StatusNotModified || len(r.body) > 0 {
			t.Errorf("If-None-Match: %d", r.status)
		}
		tags := []string{tag}
		for _, r := range []response{
			s.postWith(t, "/v1/segments?k=99", "", img),
			s.postWith(t, "/v1/segments?overlay=1", "", img),
			s.postWith(t, "/v1/segments", "", img, "Accept: application/x-npy"),
			s.postWith(t, "/v1/segments", "", scene.Render(2, 64, 48, 3).PNG()),
		} {
			if slices.Contains(tags, r.header.Get("ETag")) {
				t.Error("different responses have the same ETag")
			}
			tags = append(tags, r.header.Get("ETag"))
		}
		s.wantInFlight(t, 0)
		metrics := s.scrape(t)
		for _, want := range []string{
			`proposer_pictures_total{format="png",mode="segments"} 5`,
			`proposer_http_requests_total{code="200",route="/v1/segments"} 6`,
			`proposer_stage_duration_seconds_count{stage="segment"} 5`,
			"proposer_boxes_count 0", "proposer_work_pixels 0", "proposer_not_modified_total 1",
		} {
			if !strings.Contains(metrics, want+"\n") {
				t.Errorf("want %s in\n%s", want, metrics)
			}
		}
		var line map[string]any
		if err := json.Unmarshal(log.Bytes()[:bytes.IndexByte(log.Bytes(), '\n')], &line); err != nil || line["mode"] != "segments" || line["regions"].(float64) < 1 {
			t.Errorf("got log line %v, %v", line, err)
		}

		// A search occupies the only worker.
		g := newGate(s.Server)
		search := s.postAsync(t.Context(), small().PNG())
		<-g.begun
		s.postWith(t, "/v1/segments?k=98", "", img).problem(t, http.StatusTooManyRequests, "full")
		close(g.open)
		wantOK(t, search)
	})
}

func FuzzSegments(f *testing.F) {
	png := string(scene.Render(1, 2, 2, 0).PNG())
	contentType, body := form(f, [3]string{"image", "a.png", png}, [3]string{"options", "", `{"k":3,"overlay":true}`})
	f.Add("k=1&min-size=1", "", "image/png", []byte(png))
	f.Add("connectivity=4", "application/json", contentType, body.Bytes())
	f.Add("overlay=1&max-side=1", "image/jpeg", "", []byte(png))
	cfg := testConfig(f)
	cfg.Logger = slog.New(slog.DiscardHandler)
	cfg.MaxImageBytes = 1 << 12
	cfg.MaxImagePixels = 1 << 12
	s, err := New(cfg)
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, query, accept, contentType string, body []byte) {
		r := httptest.NewRequest("POST", "/v1/segments", bytes.NewReader(body))
		r.URL.RawQuery = query
		r.Header.Set("Accept", accept)
		r.Header.Set("Content-Type", contentType)
		w := httptest.NewRecorder()
		s.ServeHTTP(w, r)
		if !slices.Contains([]int{200, 400, 406, 413, 415, 422}, w.Code) {
			t.Fatalf("got %d %q", w.Code, w.Body)
		}
	})
}
