package api

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/proposer/proposer/api/openinference"
	"github.com/proposer/proposer/box"
	"github.com/proposer/proposer/internal/propose"
	"github.com/proposer/proposer/internal/testutil/scene"
)

// Filters and sizes reach the search, whichever way a request has them.
func TestFilterOptions(t *testing.T) {
	s := start(t, nil)
	var got propose.Options
	s.run = func(_ context.Context, _ []byte, o propose.Options) (*propose.Result, error) {
		got = o
		return &propose.Result{DecodeTime: 1, SearchTime: 1}, nil
	}
	want := box.Filter{MinSide: 7, MaxAspect: 2.5, MinArea: .01, MaxArea: .9}
	check := func(r response) {
		t.Helper()
		if r.status != http.StatusOK || got.Filter != want || got.Decode.Width != 300 || got.Search.MinSide != 9 {
			t.Errorf("%d %s: the search got the options %+v", r.status, r.body, got)
		}
		got = propose.Options{}
	}
	png := small().PNG()
	check(s.post(t, "min-side=7&max-aspect=2.5&min-area=1e-2&max-area=.9&resize-width=300&min-resized-side=9", png))
	options := `{"min-side":7,"max-aspect":2.5,"min-area":0.01,"max-area":"0.9","resize-width":300,"min-resized-side":9}`
	contentType, body := form(t, [3]string{"image", "a", string(png)}, [3]string{"options", "", options})
	check(s.do(t, "POST", "/v1/proposals", contentType, body))
	request := fmt.Sprintf(`{"parameters":%s,"inputs":[{"name":"image","datatype":"BYTES","shape":[1],"parameters":{"binary_data_size":%d}}]}`, options, len(png)+4)
	tensor := append([]byte{byte(len(png)), byte(len(png) >> 8), byte(len(png) >> 16), 0}, png...)
	check(s.postWith(t, inferPath, "", append([]byte(request), tensor...), openinference.HeaderLength+": "+fmt.Sprint(len(request))))

	if r := s.post(t, "mode=rcnn", png); r.status != http.StatusOK || got.Decode.Width != 500 || got.Search.MinSide != 20 || got.Filter != (box.Filter{}) {
		t.Errorf("mode rcnn: %d, the search got the options %+v", r.status, got)
	}
	for query, want := range map[string]string{
		"mode=rcnn&max-side=400":     "max-side",
		"min-area=.5&max-area=.4":    "min-area",
		"max-aspect=.5&min-area=NaN": "max-aspect",
	} {
		if p := s.post(t, query, png).problem(t, http.StatusBadRequest, "option"); p.Errors[0].Name != want {
			t.Errorf("%s: got %+v, want an error about %s", query, p, want)
		}
	}
}

// Filters leave max boxes, all of which they keep.
func TestFilteredBoxes(t *testing.T) {
	s := start(t, nil)
	_, boxes := s.post(t, "max=5&max-aspect=1.5&min-area=.02&max-area=.5", scene.Render(3, 160, 120, 6).PNG()).proposals(t)
	if len(boxes) != 5 {
		t.Errorf("got %d boxes, want 5", len(boxes))
	}
	f := box.Filter{MaxAspect: 1.5, MinArea: .02, MaxArea: .5}
	for _, b := range boxes {
		if !f.Keep(box.Box{X0: int32(b[0]), Y0: int32(b[1]), X1: int32(b[2]), Y1: int32(b[3])}, 160, 120) {
			t.Errorf("got box %v", b)
		}
	}
}

// An image that would become too large is refused without a place among the workers, and one that is
// enlarged counts with its enlarged pixels.
func TestEnlargedImages(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := start(t, func(c *Config) { c.Workers, c.Queue, c.WorkPixels, c.MaxImagePixels = 2, 2, 100_000, 50_000 })
		g := newGate(s.Server)
		png := scene.Render(1, 64, 48, 1).PNG()
		p := s.post(t, "resize-width=500", png).problem(t, http.StatusRequestEntityTooLarge, "size")
		if p.Errors[0].Name != "pixels when resized" || p.Errors[0].Value != "187500" || !strings.Contains(p.Detail, "more than 50000 pixels when resized") {
			t.Errorf("got %+v", p)
		}
		g.wantNoSearch(t)

		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan response)
		go func() {
			req, _ := http.NewRequestWithContext(ctx, "POST", s.url+"/v1/proposals?resize-width=200", strings.NewReader(string(png)))
			done <- s.send(t, req)
		}()
		<-g.begun
		s.wantMetric(t, "proposer_work_pixels", 200*150+30*600+8*(4*600+4*300)+50*3500)
		close(g.open)
		if r := <-done; r.status != http.StatusOK {
			t.Errorf("got %d %s", r.status, r.body)
		}
		cancel()
		s.wantMetric(t, "proposer_work_pixels", 0)
	})
}

// /v1/modes says what a mode changes.
func TestModeOptions(t *testing.T) {
	s := start(t, nil)
	var got capabilities
	if err := json.Unmarshal(s.do(t, "GET", "/v1/modes", "", nil).body, &got); err != nil {
		t.Fatal(err)
	}
	for _, mode := range got.Modes {
		want := map[string]string{"unions": "0", "joins": "0"}
		switch mode.Name {
		case "fast":
			want = nil
		case "best":
			want = map[string]string{"unions": "1000"}
		case "quality":
			want = map[string]string{"joins": "3000"}
		case "rcnn":
			want = map[string]string{"unions": "0", "joins": "0", "resize-width": "500", "min-resized-side": "20"}
		}
		if fmt.Sprint(mode.Options) != fmt.Sprint(want) {
			t.Errorf("%s: got options %v, want %v", mode.Name, mode.Options, want)
		}
	}
}
