package api

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"image"
	"maps"
	"math"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"pgregory.net/rapid"

	"github.com/proposer/proposer/box"
	"github.com/proposer/proposer/internal/codec"
	"github.com/proposer/proposer/internal/propose"
	"github.com/proposer/proposer/internal/testutil/scene"
	"github.com/proposer/proposer/mask"

	_ "image/jpeg"
	_ "image/png"
)

func TestAccept(t *testing.T) {
	for accept, want := range map[string]string{
		"":                                     "application/json",
		"*/*":                                  "application/json",
		"application/*":                        "application/json",
		"image/*":                              "image/png",
		"image/*, image/jpeg":                  "image/png",
		"image/*;q=0.5, image/jpeg;q=.6":       "image/jpeg",
		"text/html, */*;q=0.1":                 "application/json",
		"application/json;q=0, */*":            "application/x-ndjson",
		"text/csv;q=0.9, application/x-npy":    "application/x-npy",
		"application/json;q=0.2, text/*;q=0.3": "text/csv",
		"APPLICATION/X-NPY":                    "application/x-npy",
		"application/json;q=2, text/csv;q=x, ;;, a/b": "",
		"text/html":                 "",
		"application/json;q=0":      "",
		"application/octet-stream ": "application/octet-stream",
		strings.Repeat("a/b,", maxMediaRanges-1) + "text/csv": "text/csv",
		strings.Repeat("a/b,", maxMediaRanges) + "text/csv":   "",
	} {
		t.Run(accept[:min(len(accept), 60)], func(t *testing.T) {
			r, _ := http.NewRequest("POST", "/", nil)
			if accept != "" {
				r.Header.Set("Accept", accept)
			}
			got := ""
			if i, p := negotiate(r, mediaTypes()); p == nil {
				got = mediaTypes()[i]
			}
			if got != want {
				t.Errorf("got %q, want %q", got, want)
			}
		})
	}
}

// All representations have the same boxes and scores.
func TestRepresentations(t *testing.T) {
	s := start(t, nil)
	img := scene.Render(2, 120, 90, 4).JPEG(90)
	as := func(media string) response {
		r := s.postWith(t, "/v1/proposals?mode=single&max=30", "", img, "Accept: "+media)
		if r.status != http.StatusOK || r.header.Get("Content-Type") != media || r.header.Get("Vary") != "Accept" {
			t.Fatalf("%s: %d %v %.200q", media, r.status, r.header, r.body)
		}
		return r
	}
	var want codec.Row
	for line, err := range codec.ReadJSONL(bytes.NewReader(as("application/json").body)) {
		if err != nil {
			t.Fatal(err)
		}
		want = line.Row
	}
	var flat []float32
	for i, b := range want.Boxes {
		flat = append(flat, float32(b.X0), float32(b.Y0), float32(b.X1), float32(b.Y1), want.Scores[i])
	}
	floats := func(b []byte) []float32 {
		f := make([]float32, len(b)/4)
		for i := range f {
			f[i] = math.Float32frombits(binary.LittleEndian.Uint32(b[4*i:]))
		}
		return f
	}

	b := as("application/octet-stream").body
	if w, h, n := binary.LittleEndian.Uint32(b), binary.LittleEndian.Uint32(b[4:]), binary.LittleEndian.Uint32(b[8:]); w != 120 || h != 90 || int(n) != len(want.Boxes) {
		t.Errorf("octet-stream: got %d×%d and %d boxes, want 120×90 and %d", w, h, n, len(want.Boxes))
	}
	if !slices.Equal(floats(b[12:]), flat) {
		t.Error("octet-stream: the boxes or scores differ from JSON")
	}
	if b := as("application/x-npy").body; !slices.Equal(floats(b[10+int(binary.LittleEndian.Uint16(b[8:])):]), flat) {
		t.Error("npy: the boxes or scores differ from JSON")
	}
	if lines := strings.Count(string(as("text/csv").body), "\n"); lines != len(want.Boxes)+1 {
		t.Errorf("csv: got %d lines, want %d", lines, len(want.Boxes)+1)
	}
	var line struct {
		Index *int     `json:"index"`
		Boxes [][4]int `json:"boxes"`
	}
	if err := json.Unmarshal(as("application/x-ndjson").body, &line); err != nil || line.Index == nil || len(line.Boxes) != len(want.Boxes) {
		t.Errorf("ndjson: got %+v, error %v", line, err)
	}
	for _, media := range []string{"image/png", "image/jpeg"} {
		decoded, format, err := image.Decode(bytes.NewReader(as(media).body))
		if err != nil || "image/"+format != media || decoded.Bounds().Dx() != 120 || decoded.Bounds().Dy() != 90 {
			t.Errorf("%s: got an image of format %v, error %v", media, format, err)
		}
	}
	p := s.postWith(t, "/v1/proposals", "", img, "Accept: text/html").problem(t, http.StatusNotAcceptable, "accept")
	if !strings.Contains(p.Errors[0].Want, "image/png") {
		t.Errorf("got the problem %+v", p)
	}
}

func TestContentEncoding(t *testing.T) {
	s := start(t, nil)
	if r := s.postWith(t, "/v1/proposals?mode=single", "", small().PNG(), "Content-Encoding: identity"); r.status != http.StatusOK {
		t.Errorf("identity: %d %s", r.status, r.body)
	}
	r := s.postWith(t, "/v1/proposals?mode=single", "", small().PNG(), "Content-Encoding: gzip")
	if p := r.problem(t, http.StatusUnsupportedMediaType, "format"); p.Errors[0].Name != "Content-Encoding" || r.header.Get("Accept-Encoding") != "identity" {
		t.Errorf("got the problem %+v, header %v", p, r.header)
	}
	s.postWith(t, inferPath, "", small().PNG(), "Content-Encoding: deflate").failure(t, http.StatusUnsupportedMediaType)
}

func TestOverlayDefaultMax(t *testing.T) {
	s := start(t, nil)
	var got int
	s.run = func(ctx context.Context, data []byte, o propose.Options) (*propose.Result, error) {
		got = o.Search.Max
		return runSearch(ctx, data, o)
	}
	for query, want := range map[string]int{"": defaultOverlayBoxes, "max=7": 7, "max=0": 0} {
		t.Run(query, func(t *testing.T) {
			s.postWith(t, "/v1/proposals?mode=single&"+query, "", small().PNG(), "Accept: image/png")
			if got != want {
				t.Errorf("got max %d, want %d", got, want)
			}
		})
	}
}

func TestMaxBoxes(t *testing.T) {
	s := start(t, func(c *Config) { c.MaxBoxes = 10 })
	if _, boxes := s.post(t, "mode=single", small().PNG()).proposals(t); len(boxes) > 10 {
		t.Errorf("got %d boxes, want at most 10", len(boxes))
	}
	for _, query := range []string{"max=0", "max=11"} {
		t.Run(query, func(t *testing.T) {
			p := s.post(t, query, small().PNG()).problem(t, http.StatusBadRequest, "option")
			if p.Errors[0].Name != "max" || p.Errors[0].Want != "a whole number from 1 to 10" {
				t.Errorf("got %+v, want an error about max", p)
			}
		})
	}
}

// Options in a form have the same meaning as in the query.
func TestFormOptions(t *testing.T) {
	s := start(t, nil)
	png := string(small().PNG())
	_, want := s.post(t, "max=5&colors=HSV,Lab&k=100&measures=CTSF", []byte(png)).proposals(t)
	contentType, body := form(t, [3]string{"options", "", `{"max":5,"colors":["HSV","Lab"],"k":100}`}, [3]string{"image", "a.png", png})
	if _, got := s.do(t, "POST", "/v1/proposals?measures=CTSF", contentType, body).proposals(t); !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	contentType, body = form(t, [3]string{"options", "", ""}, [3]string{"image", "a.png", png})
	if _, got := s.do(t, "POST", "/v1/proposals?max=5&colors=HSV,Lab&k=100&measures=CTSF", contentType, body).proposals(t); !slices.Equal(got, want) {
		t.Errorf("empty options: got %v, want %v", got, want)
	}
	contentType, body = form(t, [3]string{"image", "a.png", png}, [3]string{"options", "", `{"max":5,"mode":"slow"}`})
	p := s.do(t, "POST", "/v1/proposals?max=6", contentType, body).problem(t, http.StatusBadRequest, "option")
	if len(p.Errors) != 2 || p.Errors[0].Value != "6, 5" || p.Errors[1].Name != "mode" {
		t.Errorf("got the problem %+v", p)
	}
}

func TestMultipleImages(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := start(t, func(c *Config) { c.Workers = 2; c.MaxImages = 4 })
		good, other := string(small().PNG()), string(scene.Render(3, 80, 60, 2).JPEG(90))
		contentType, body := form(t, [3]string{"image", "a.png", good}, [3]string{"image", "b.jpg", good[:100]},
			[3]string{"image", "c.jpg", other}, [3]string{"options", "", `{"mode":"single"}`})
		r := s.do(t, "POST", "/v1/proposals", contentType, body)
		if r.status != http.StatusOK || r.header.Get("Content-Type") != "application/x-ndjson" {
			t.Fatalf("%d %v %s", r.status, r.header, r.body)
		}
		type row struct {
			Index   int      `json:"index"`
			File    string   `json:"file"`
			Width   int      `json:"width"`
			Error   string   `json:"error"`
			Problem *problem `json:"problem"`
		}
		got := map[int]row{}
		for line := range bytes.SplitSeq(bytes.TrimSpace(r.body), []byte("\n")) {
			var r row
			if err := json.Unmarshal(line, &r); err != nil {
				t.Fatalf("%v in %s", err, line)
			}
			got[r.Index] = r
		}
		if !slices.Equal(slices.Sorted(maps.Keys(got)), []int{0, 1, 2}) || got[0].File != "a.png" || got[0].Width != 64 ||
			got[2].File != "c.jpg" || got[2].Width != 80 || got[1].File != "b.jpg" || got[1].Error == "" || got[1].Problem.Status != 422 {
			t.Errorf("got %+v", got)
		}
		s.wantMetric(t, `proposer_requests_rejected_total{reason="picture"}`, 1)

		contentType, body = form(t, slices.Repeat([][3]string{{"image", "a.png", good}}, 5)...)
		s.do(t, "POST", "/v1/proposals", contentType, body).problem(t, http.StatusRequestEntityTooLarge, "size")
		contentType, body = form(t, [3]string{"image", "a.png", good}, [3]string{"image", "b.png", good})
		s.postWith(t, "/v1/proposals", contentType, body.Bytes(), "Accept: text/csv").problem(t, http.StatusNotAcceptable, "accept")
	})
}

// Each line is written as soon as its image is done.
func TestLinesAreStreamed(t *testing.T) {
	s := start(t, func(c *Config) { c.Workers = 2 })
	release := make(chan struct{})
	large := string(scene.Render(3, 80, 60, 2).PNG())
	s.run = func(ctx context.Context, data []byte, _ propose.Options) (*propose.Result, error) {
		if string(data) == large {
			select {
			case <-release:
			case <-ctx.Done():
			}
		}
		return &propose.Result{Width: len(data), DecodeTime: 1, SearchTime: 1}, ctx.Err()
	}
	contentType, body := form(t, [3]string{"image", "a.png", large}, [3]string{"image", "b.png", string(small().PNG())})
	req, err := http.NewRequestWithContext(t.Context(), "POST", s.url+"/v1/proposals", body)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", contentType)
	res, err := s.client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	d := json.NewDecoder(res.Body)
	for _, want := range []int{1, 0} {
		var row struct{ Index int }
		if err := d.Decode(&row); err != nil || row.Index != want {
			t.Fatalf("%v, line %d; want %d", err, row.Index, want)
		}
		if want == 1 {
			close(release)
		}
	}
}

func TestETag(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := start(t, func(c *Config) { c.CacheBytes = 1 << 20; c.Version = "v1" })
		searches := 0
		s.run = func(ctx context.Context, data []byte, o propose.Options) (*propose.Result, error) {
			searches++
			return runSearch(ctx, data, o)
		}
		png := small().PNG()
		first := s.post(t, "mode=single&max=9", png)
		tag := first.header.Get("ETag")
		if !strings.HasPrefix(tag, `W/"`) || first.header.Get("X-Cache") != "miss" || first.header.Get("Cache-Control") != "private, no-cache" {
			t.Fatalf("%v", first.header)
		}
		again := s.post(t, "max=9&mode=single&nms=off", png) // an equivalent query
		if again.header.Get("ETag") != tag || again.header.Get("X-Cache") != "hit" || !bytes.Equal(again.body, first.body) || searches != 1 {
			t.Errorf("%v, %d searches", again.header, searches)
		}
		for _, value := range []string{tag, `"x", ` + tag, strings.TrimPrefix(tag, "W/")} {
			r := s.postWith(t, "/v1/proposals?mode=single&max=9", "", png, "If-None-Match: "+value)
			if r.status != http.StatusNotModified || r.header.Get("ETag") != tag || len(r.body) > 0 {
				t.Errorf("If-None-Match %s: %d %v", value, r.status, r.header)
			}
		}
		for _, value := range []string{`W/"x"`, "*"} {
			if r := s.postWith(t, "/v1/proposals?mode=single&max=9", "", png, "If-None-Match: "+value); r.status != http.StatusOK {
				t.Errorf("If-None-Match %s: %d", value, r.status)
			}
		}
		// Whatever changes the response changes its ETag.
		tags := map[string]string{tag: "first"}
		for name, r := range map[string]response{
			"options": s.post(t, "mode=single&max=8", png),
			"image":   s.post(t, "mode=single&max=9", scene.Render(2, 64, 48, 3).PNG()),
			"accept":  s.postWith(t, "/v1/proposals?mode=single&max=9", "", png, "Accept: text/csv"),
		} {
			if was, ok := tags[r.header.Get("ETag")]; ok {
				t.Errorf("another %s: got the ETag of %s", name, was)
			}
			tags[r.header.Get("ETag")] = name
		}
		other := start(t, func(c *Config) { c.Version = "v2" })
		if r := other.post(t, "mode=single&max=9", png); r.header.Get("ETag") == tag || r.header.Get("X-Cache") != "miss" {
			t.Errorf("another version: %v", r.header)
		}
		// Errors are not cached.
		for range 2 {
			s.post(t, "mode=single", png[:100]).problem(t, http.StatusUnprocessableEntity, "picture")
		}
		s.wantMetric(t, "proposer_not_modified_total", 3)
		s.wantMetric(t, `proposer_cache_requests_total{result="hit"}`, 3)
	})
}

func TestCacheSizeLimit(t *testing.T) {
	s := start(t, func(c *Config) { c.CacheBytes = 1 << 14 })
	for seed := range 40 {
		s.post(t, "mode=single&max=0", scene.Render(uint64(seed), 64, 48, 3).PNG())
	}
	s.cache.cache.CleanUp()
	if size := s.cache.cache.WeightedSize(); size > 1<<14 || size == 0 {
		t.Errorf("got a cache of %d bytes, want at most %d", size, 1<<14)
	}
}

func TestCanonicalOptions(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		values := rapid.MapOf(rapid.String(), rapid.String())
		a, b := values.Draw(t, "a"), values.Draw(t, "b")
		if (canonicalOptions(a) == canonicalOptions(b)) != maps.Equal(a, b) {
			t.Fatalf("%q and %q: equal texts for different options, or different texts for equal ones", a, b)
		}
	})
}

// A large image counts as several; one that exceeds the limit is searched alone.
func TestWorkPixels(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := start(t, func(c *Config) { c.Workers, c.Queue, c.WorkPixels = 4, 8, 371_000 })
		g := newGate(s.Server)
		// Images of 3,072, 4,800 and 80,000 pixels. Four trees have at most one initial region for 50 pixels,
		// and four for 100. There are 2,000 unions and 1,500 joined boxes.
		little, large, huge := small().PNG(), scene.Render(1, 80, 60, 2).PNG(), scene.Render(1, 400, 200, 2).PNG()
		const littleWork, largeWork = 3072 + 30*61 + 8*(4*61+4*30) + 50*3500, 4800 + 30*96 + 8*(4*96+4*48) + 50*3500
		var all []<-chan any
		post := func(png []byte) { all = append(all, s.postAsync(t.Context(), png)) }
		post(little)
		<-g.begun
		post(large)
		<-g.begun
		post(little)
		s.wantMetric(t, "proposer_queue_depth", 1)
		s.wantMetric(t, "proposer_work_pixels", littleWork+largeWork)
		post(huge)
		s.wantMetric(t, "proposer_queue_depth", 2)
		g.wantNoSearch(t)
		close(g.open)
		wantOK(t, all...)
		s.wantMetric(t, "proposer_work_pixels", 0)
	})
}

// Masks, evidence and the tree do not change the boxes.
func TestDetails(t *testing.T) {
	s := start(t, nil)
	img := scene.Render(2, 120, 90, 4).JPEG(90)
	_, plain := s.post(t, "max=40", img).proposals(t)
	r := s.post(t, "max=40&masks=rle&evidence=1&tree=1&strategy=2", img)
	var got struct {
		Boxes      [][4]int
		Strategies []struct{ Color string }
		Masks      []struct {
			Size   [2]int
			Counts string
		}
		Evidence []struct {
			Strategies, Strategy, Position, Size int
			Kind                                 string
		}
		Tree struct {
			Strategy, Width, Height, Leaves int
			Parents, Labels                 []int
			Boxes                           [][4]int
		}
	}
	if err := json.Unmarshal(r.body, &got); err != nil || r.status != 200 {
		t.Fatalf("%d %v %.300s", r.status, err, r.body)
	}
	if !slices.Equal(got.Boxes, plain) || len(got.Strategies) != 8 || len(got.Masks) != 40 || len(got.Evidence) != 40 {
		t.Errorf("got %d boxes, %d strategies, %d masks, %d items of evidence", len(got.Boxes), len(got.Strategies), len(got.Masks), len(got.Evidence))
	}
	for i, m := range got.Masks {
		rle, err := mask.Parse(m.Counts, m.Size[1], m.Size[0])
		if err != nil || rle.Box() != (box.Box{X0: int32(plain[i][0]), Y0: int32(plain[i][1]), X1: int32(plain[i][2]), Y1: int32(plain[i][3])}) ||
			got.Evidence[i].Kind == "" && rle.Area() != got.Evidence[i].Size {
			t.Errorf("mask %d: %v, %v", i, err, rle.Box())
		}
	}
	if tree := got.Tree; tree.Strategy != 2 || tree.Width != 120 || tree.Height != 90 || len(tree.Parents) != 2*tree.Leaves-1 || len(tree.Boxes) != len(tree.Parents) || tree.Parents[len(tree.Parents)-1] != -1 {
		t.Errorf("tree %+v", tree)
	}
	for query, name := range map[string]string{
		"masks=png": "masks", "evidence=2": "evidence", "tree=x": "tree", "tree=1&strategy=8": "strategy", "strategy=-1": "strategy",
	} {
		t.Run(query, func(t *testing.T) {
			if p := s.post(t, query, img).problem(t, http.StatusBadRequest, "option"); len(p.Errors) != 1 || p.Errors[0].Name != name {
				t.Errorf("got %+v, want an error about %s", p, name)
			}
		})
	}
	p := s.postWith(t, "/v1/proposals?masks=rle&tree=1", "", img, "Accept: text/csv").problem(t, http.StatusBadRequest, "option")
	if len(p.Errors) != 2 {
		t.Errorf("got the problem %+v", p)
	}
}
