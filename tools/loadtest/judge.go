package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"hash/fnv"
	"io"
	"maps"
	"math"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"go.yaml.in/yaml/v3"
)

// An answer is what came back.
type answer struct {
	status int
	header http.Header
	body   []byte
	took   time.Duration
}

// A judge knows what may be answered, and what was.
type judge struct {
	documented map[string]map[string][]int // statuses by path and method

	mu    sync.Mutex
	seen  map[string]uint64 // digests of boxes by what was asked
	etags map[string]string
}

func newJudge(description []byte) (*judge, error) {
	var doc struct {
		Paths map[string]map[string]yaml.Node `yaml:"paths"`
	}
	if err := yaml.Unmarshal(description, &doc); err != nil {
		return nil, fmt.Errorf("the service's description: %w", err)
	}
	j := &judge{documented: map[string]map[string][]int{}, seen: map[string]uint64{}, etags: map[string]string{}}
	for path, item := range doc.Paths {
		j.documented[path] = map[string][]int{}
		for method, node := range item {
			if method == "parameters" {
				continue
			}
			var operation struct {
				Responses map[string]yaml.Node `yaml:"responses"`
			}
			if err := node.Decode(&operation); err != nil {
				return nil, fmt.Errorf("the service's description: %s %s: %w", method, path, err)
			}
			for text := range operation.Responses {
				status, err := strconv.Atoi(text)
				if err != nil {
					return nil, fmt.Errorf("the service's description: %s %s: %w", method, path, err)
				}
				method := strings.ToUpper(method)
				j.documented[path][method] = append(j.documented[path][method], status)
			}
		}
	}
	if j.documented["/v1/proposals"]["POST"] == nil {
		return nil, fmt.Errorf("the service's description has no POST /v1/proposals, but %q", slices.Sorted(maps.Keys(j.documented)))
	}
	return j, nil
}

// statusGone is the service's word for a client that went away.
const statusGone = 499

// full tells the statuses that any request may get where there is much to do.
func full(status int) bool {
	return status == http.StatusTooManyRequests || status == http.StatusServiceUnavailable
}

// judge is all that is wrong with an answer.
func (j *judge) judge(a *ask, got *answer) (complaints []string) {
	complain := func(format string, args ...any) { complaints = append(complaints, fmt.Sprintf(format, args...)) }
	if !slices.Contains(a.want, got.status) && !full(got.status) {
		complain("status %d: want %v; %.300q", got.status, a.want, got.body)
		return complaints
	}
	if got.header.Get("X-Request-Id") == "" {
		// net/http answers itself what is no HTTP.
		if !a.protocol {
			complain("status %d without X-Request-Id: %.200q", got.status, got.body)
		}
		return complaints
	}
	if statuses := j.documented[a.route][a.method]; statuses != nil && got.status != statusGone && !slices.Contains(statuses, got.status) {
		complain("status %d of %s %s is not documented: %v are", got.status, a.method, a.route, statuses)
	}
	if full(got.status) {
		if n, err := strconv.Atoi(got.header.Get("Retry-After")); err != nil || n < 0 {
			complain("status %d with Retry-After %q: want seconds", got.status, got.header.Get("Retry-After"))
		}
	}
	switch {
	case got.status == statusGone: // it has no body
	case got.status >= 400 && a.method != http.MethodHead:
		if err := checkError(got, strings.HasPrefix(a.path, "/v2/") || a.path == "/v2"); err != nil {
			complain("%v", err)
		}
	case got.status == http.StatusOK && a.check != nil:
		if err := a.check(j, got); err != nil {
			complain("%v", err)
		}
	case got.status == http.StatusNotModified && len(got.body) > 0:
		complain("status 304 with a body: %.100q", got.body)
	}
	if tag := got.header.Get("ETag"); a.tag != "" && tag != "" {
		if err := j.keepTag(a.tag, tag); err != nil {
			complain("%v", err)
		}
	}
	return complaints
}

// checkError looks at a problem, or an error of the inference protocol.
func checkError(got *answer, inference bool) error {
	var p struct {
		Type, Title, Detail, Error string
		Status                     int
		Errors                     []struct{ Name, Value, Want string }
	}
	d := json.NewDecoder(bytes.NewReader(got.body))
	d.DisallowUnknownFields()
	err := d.Decode(&p)
	media := got.header.Get("Content-Type")
	switch {
	case err != nil:
		return fmt.Errorf("status %d: %w in %.200q", got.status, err, got.body)
	case inference && (media != "application/json" || p.Error == "" || p.Type != ""):
		return fmt.Errorf("status %d: not an error of the protocol: %s %.200q", got.status, media, got.body)
	case !inference && (media != "application/problem+json" || !strings.HasPrefix(p.Type, "urn:proposer:problem:") ||
		p.Title == "" || p.Detail == "" || p.Status != got.status || p.Error != ""):
		return fmt.Errorf("status %d: not a problem: %s %.200q", got.status, media, got.body)
	}
	return nil
}

// tag is the ETag of what was asked before.
func (j *judge) tagOf(what string) string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.etags[what]
}

func (j *judge) keepTag(what, tag string) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	if old, ok := j.etags[what]; ok && old != tag {
		return fmt.Errorf("ETag %s: of an equal request it was %s", tag, old)
	}
	j.etags[what] = tag
	return nil
}

// found is what an answer says of a picture. A width of 0 is not told.
type found struct {
	file          string
	width, height int
	boxes         [][4]int
	scores        []float32
}

// agree checks what was found against the picture, and against what was found when the same
// was asked before, in whatever form.
func (j *judge) agree(p *picture, key string, most int, f *found) error {
	if f.width == 0 && f.height == 0 {
		f.width, f.height = p.width, p.height
	}
	switch {
	case f.width != p.width || f.height != p.height:
		return fmt.Errorf("%s: %d×%d: want %d×%d", p.name, f.width, f.height, p.width, p.height)
	case len(f.boxes) != len(f.scores):
		return fmt.Errorf("%s: %d boxes and %d scores", p.name, len(f.boxes), len(f.scores))
	case len(f.boxes) == 0:
		return fmt.Errorf("%s: no boxes", p.name)
	case most > 0 && len(f.boxes) > most:
		return fmt.Errorf("%s: %d boxes: want at most %d", p.name, len(f.boxes), most)
	}
	h := fnv.New64a()
	for i, b := range f.boxes {
		if b[0] < 0 || b[1] < 0 || b[2] <= b[0] || b[3] <= b[1] || b[2] > p.width || b[3] > p.height {
			return fmt.Errorf("%s: box %d is %v: want it in %d×%d", p.name, i, b, p.width, p.height)
		}
		s := f.scores[i]
		if !(s >= 0 && s <= 1) || i > 0 && s >= f.scores[i-1] {
			return fmt.Errorf("%s: score %d is %v: want it in [0,1] and below the one before", p.name, i, s)
		}
		_ = writeAll(h, b[0], b[1], b[2], b[3], int(math.Float32bits(s))) // a hash has no errors
	}
	if key == "" {
		return nil
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	digest, ok := j.seen[key]
	if ok && digest != h.Sum64() {
		return fmt.Errorf("%s: other boxes than when it was asked before", key)
	}
	j.seen[key] = h.Sum64()
	return nil
}

func writeAll(w io.Writer, all ...int) error {
	for _, n := range all {
		if _, err := fmt.Fprintf(w, "%d ", n); err != nil {
			return err
		}
	}
	return nil
}

// description asks the service for its own.
func description(ctx context.Context, client *http.Client, url string) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url+"/openapi.yaml", nil)
	if err != nil {
		return nil, err
	}
	res, err := client.Do(req)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s: status %d: want the service's description", req.URL, res.StatusCode)
	}
	return io.ReadAll(io.LimitReader(res.Body, 4<<20))
}
