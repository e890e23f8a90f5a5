package api

import (
	"bytes"
	"encoding/json"
	"image"
	"image/color"
	"image/png"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
)

// TestDepth checks that the service reports 16-bit images that use little of their range, and the
// option that scales them.
func TestDepth(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		gray := image.NewGray16(image.Rect(0, 0, 64, 48))
		for y := range 48 {
			for x := range 64 {
				gray.SetGray16(x, y, color.Gray16{Y: uint16(x/16*300 + y/16*40)})
			}
		}
		var b bytes.Buffer
		if err := png.Encode(&b, gray); err != nil {
			t.Fatal(err)
		}
		s := start(t, nil)
		warning := func(query string) string {
			r := s.post(t, "mode=single&"+query, b.Bytes())
			var got struct{ Warning string }
			if err := json.Unmarshal(r.body, &got); err != nil || r.status != http.StatusOK {
				t.Fatalf("%d, %v: %s", r.status, err, r.body)
			}
			return got.Warning
		}
		if got := warning("depth=16"); !strings.Contains(got, "set the option depth to 10 or auto") {
			t.Errorf("got warning %q", got)
		}
		for _, depth := range []string{"10", "auto"} {
			if got := warning("depth=" + depth); got != "" {
				t.Errorf("depth %s: got warning %q", depth, got)
			}
		}
		for _, accept := range []string{"application/json", "text/csv", "application/x-npy", "image/png"} {
			for range 2 { // the second response is from the cache
				r := s.postWith(t, "/v1/proposals?mode=single", "", b.Bytes(), "Accept: "+accept)
				if got := r.header.Get("X-Warning"); r.status != http.StatusOK || !strings.Contains(got, "set the option depth to 10 or auto") {
					t.Errorf("%s: %d, got warning %q", accept, r.status, got)
				}
			}
		}
		contentType, body := form(t, [3]string{"image", "a", b.String()}, [3]string{"truth", "", `{"boxes":[]}`})
		if got := s.do(t, "POST", "/v1/rois", contentType, body).header.Get("X-Warning"); got == "" {
			t.Error("/v1/rois: got no warning")
		}
		if got := s.postWith(t, "/v1/segments", "", b.Bytes()).header.Get("X-Warning"); got == "" {
			t.Error("/v1/segments: got no warning")
		}
		p := s.post(t, "depth=8", b.Bytes()).problem(t, http.StatusUnprocessableEntity, "depth")
		if p.Errors[0] != (fieldError{"depth", "8", "10 or more, or auto"}) {
			t.Errorf("got %+v", p.Errors)
		}
	})
}

// TestUnsupportedImage checks that the problem says what a file is, without names of packages.
func TestUnsupportedImage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := start(t, nil).post(t, "", []byte("farbfeld")).problem(t, http.StatusUnsupportedMediaType, "format")
		if p.Detail != "a farbfeld image: convert it to PNG" || p.Errors[0] != (fieldError{"image", "a farbfeld image", "convert it to PNG"}) {
			t.Errorf("got %q, %+v", p.Detail, p.Errors)
		}
	})
}
