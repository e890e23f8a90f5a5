package api

import (
	"bytes"
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/proposer/proposer/internal/testutil/scene"
)

func TestRoIs(t *testing.T) {
	s := start(t, nil)
	img := string(scene.Render(5, 160, 120, 4).JPEG(90))
	ask := func(query, truth, options string) response {
		parts := [][3]string{{"image", "a.jpg", img}}
		if truth != "" {
			parts = append(parts, [3]string{"truth", "", truth})
		}
		if options != "" {
			parts = append(parts, [3]string{"options", "", options})
		}
		contentType, body := form(t, parts...)
		return s.do(t, "POST", "/v1/rois?"+query, contentType, body)
	}
	truth := `{"boxes":[[10,20,60,70],[80.4,30,150,110]],"classes":[3,7],"crowd":[false,false]}`
	r := ask("mode=single&sampler=detectron2&rois-seed=7", truth, `{"size":64}`)
	var got struct {
		File, Sampler                   string
		Seed                            uint64
		RoIs                            [][4]int
		Labels, Classes, Truth          []int
		IoUs                            []float64
		Deltas                          [][]float64
		Foreground, Background, Missing int
	}
	if err := json.Unmarshal(r.body, &got); err != nil || r.status != 200 {
		t.Fatalf("%d %v %s", r.status, err, r.body)
	}
	n := len(got.RoIs)
	if got.File != "a.jpg" || got.Sampler != "detectron2" || got.Seed != 7 || n == 0 || n+got.Missing != 64 ||
		got.Foreground < 2 || got.Foreground > 16 || got.Foreground+got.Background != n ||
		len(got.Labels) != n || len(got.Classes) != n || len(got.Truth) != n || len(got.IoUs) != n || len(got.Deltas) != n {
		t.Errorf("got %s", r.body)
	}
	for i, label := range got.Labels {
		if (label == 1) != (got.IoUs[i] >= .5) || (label == 1) != (got.Deltas[i] != nil) {
			t.Errorf("RoI %d: label %d, IoU %v, deltas %v", i, label, got.IoUs[i], got.Deltas[i])
		}
	}
	if again := ask("mode=single&sampler=detectron2&rois-seed=7", truth, `{"size":64}`); !bytes.Equal(again.body, r.body) {
		t.Error("equal requests rerotated different minibatches")
	}
	if other := ask("mode=single&sampler=detectron2&rois-seed=8", truth, `{"size":64}`); bytes.Equal(other.body, r.body) {
		t.Error("different seeds rerotated the same minibatch")
	}

	for _, c := range []struct {
		query, truth, options string
		kind, name            string
	}{
		{"sampler=best", truth, "", "option", "sampler"},
		{"masks=rle", truth, "", "option", "masks"},
		{"size=64", truth, `{"size":65}`, "option", "size"},
		{"mode=x", truth, "", "option", "mode"},
		{"", "", "", "request", "truth"},
		{"", "{}", "", "request", "truth"},
		{"", `{"boxes":[[0,0,161,10]]}`, "", "request", "truth"},
		{"", `{"boxes":[[0,0,0,10]]}`, "", "request", "truth"},
		{"", `{"boxes":[[0,0,10,10]],"classes":[1,2]}`, "", "request", "truth"},
	} {
		t.Run(c.query+" "+c.truth+" "+c.options, func(t *testing.T) {
			p := ask(c.query, c.truth, c.options).problem(t, http.StatusBadRequest, c.kind)
			if len(p.Errors) == 0 || !strings.HasPrefix(p.Errors[0].Name, c.name) {
				t.Errorf("got %+v, want an error about %s", p, c.name)
			}
		})
	}
	contentType, body := form(t, [3]string{"image", "a", img}, [3]string{"image", "b", img}, [3]string{"truth", "", truth})
	s.do(t, "POST", "/v1/rois", contentType, body).problem(t, http.StatusBadRequest, "request")
	contentType, body = form(t, [3]string{"image", "a", "no img"}, [3]string{"truth", "", truth})
	s.do(t, "POST", "/v1/rois", contentType, body).problem(t, http.StatusUnsupportedMediaType, "format")
}

// Ground-truth boxes refer to the upright image, as the boxes of proposals do.
func TestRoIsOfRotatedImage(t *testing.T) {
	s := start(t, nil)
	jpeg := string(scene.Render(5, 160, 120, 4).JPEG(90))
	const exif = "Exif\x00\x00MM\x00*\x00\x00\x00\x08\x00\x01\x01\x12\x00\x03\x00\x00\x00\x01\x00\x06\x00\x00\x00\x00\x00\x00" // orientation 6
	rotated := jpeg[:2] + "\xff\xe1\x00" + string(rune(len(exif)+2)) + exif + jpeg[2:]
	post := func(query string) response {
		contentType, body := form(t, [3]string{"image", "a", rotated}, [3]string{"truth", "", `{"boxes":[[0,130,120,160]]}`})
		return s.do(t, "POST", "/v1/rois?mode=single&"+query, contentType, body)
	}
	if r := post(""); r.status != 200 {
		t.Errorf("upright: %s", r.body)
	}
	post("orientation=ignore").problem(t, http.StatusBadRequest, "request")
}
