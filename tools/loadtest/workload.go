package main

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/proposer/proposer/api/openinference"
)

// Workloads.
const (
	mixed = "mixed"
	plain = "plain"
)

// A kind is a kind of requests.
type kind struct {
	name   string
	weight int
	draw   func(r *rand.Rand, w *workload) *request
}

// A workload draws requests.
type workload struct {
	seed                uint64
	hostile             float64
	query, hostileToken string
	corpus              *corpus
	validator           *validator
	kinds, hostileKinds []kind
}

func newWorkload(c config, images *corpus, v *validator) *workload {
	w := &workload{
		seed: c.seed, hostile: c.hostile, query: strings.Trim(c.query, "&"), hostileToken: c.hostileToken,
		corpus: images, validator: v,
	}
	skipped := strings.Split(c.skip, ",")
	skip := func(k kind) bool { return slices.Contains(skipped, k.name) }
	w.kinds = slices.DeleteFunc(slices.Clone(regularKinds), skip)
	w.hostileKinds = slices.DeleteFunc(slices.Clone(hostileKinds), skip)
	if c.workload == plain {
		w.kinds = []kind{{plain, 1, drawPlain}}
		w.hostile = 0
	}
	return w
}

// request returns request n, which depends only on the seed and n.
func (w *workload) request(n uint64) *request {
	r := rand.New(rand.NewPCG(w.seed, n))
	kinds := w.kinds
	hostile := r.Float64() < w.hostile
	if hostile {
		kinds = w.hostileKinds
	}
	total := 0
	for _, k := range kinds {
		total += k.weight
	}
	at := r.IntN(total)
	i := 0
	for ; at >= kinds[i].weight; i++ {
		at -= kinds[i].weight
	}

	req := kinds[i].draw(r, w)
	req.kind, req.hostile, req.number = kinds[i].name, hostile, n
	if req.want == nil {
		req.want = []int{http.StatusOK}
	}
	return req
}

func pick[T any](r *rand.Rand, all ...T) T { return all[r.IntN(len(all))] }

// uncached adds a seed that makes the request a new one for the service's cache. It changes the boxes
// only in the order paper.
func uncached(r *rand.Rand, query string) string {
	return strings.TrimPrefix(query+"&seed="+strconv.FormatUint(r.Uint64(), 10), "&")
}

func drawPlain(r *rand.Rand, w *workload) *request {
	query := w.query
	if !strings.Contains("&"+query, "&seed=") {
		query = uncached(r, query)
	}
	req := proposeJSON(search{pick(r, w.corpus.jpeg...), query})
	req.etagKey = ""
	return req
}

var queries = []string{
	"", "max=100", "mode=single", "mode=single&max=500&nms=0.8", "order=hierarchy&max=300", "order=paper&seed=7",
	"max-side=200&max=200", "min-side=20&max=50", "mode=rcnn&max=300", "resize-width=200&max-aspect=3&min-area=0.001&max-area=0.9",
}

// drawJSON sends an image alone; every other one is not in the service's cache.
func drawJSON(images func(*corpus) []*testImage) func(*rand.Rand, *workload) *request {
	return func(r *rand.Rand, w *workload) *request {
		img, query := pick(r, images(w.corpus)...), pick(r, queries...)
		if r.IntN(2) == 0 && !strings.Contains(query, "seed") {
			query = uncached(r, query)
		}
		return proposeJSON(search{img, query})
	}
}

// drawAs requests boxes in another media type.
func drawAs(mediaType string, parse func([]byte) (*found, error)) func(*rand.Rand, *workload) *request {
	return func(r *rand.Rand, w *workload) *request {
		s := search{pick(r, w.corpus.png...), pick(r, queries...)}
		req := propose(s, mediaType)
		compare := s.compare(parse)
		req.check = func(v *validator, res *response) error {
			if got := res.header.Get("Content-Type"); got != mediaType {
				return fmt.Errorf("Content-Type %q: want %s", got, mediaType)
			}
			return compare(v, res)
		}
		return req
	}
}

// checkLines checks NDJSON with one line for each image, in any order. A nil image must have failed.
func checkLines(query string, names []string, images []*testImage) func(*validator, *response) error {
	return func(v *validator, res *response) error {
		if got := res.header.Get("Content-Type"); got != "application/x-ndjson" {
			return fmt.Errorf("Content-Type %q: want NDJSON for several images", got)
		}
		seen := make([]bool, len(images))
		for line := range bytes.Lines(res.body) {
			row, err := parseRow(line)
			if err != nil {
				return err
			}
			i := row.Index
			if i == nil || *i < 0 || *i >= len(images) || seen[*i] || row.File != names[*i] {
				return fmt.Errorf("line with a missing, wrong or repeated index: %.100q", line)
			}
			seen[*i] = true
			img := images[*i]
			switch {
			case img == nil && (row.Error == "" || len(row.Problem) == 0):
				return fmt.Errorf("no error for a broken image: %.100q", line)
			case img != nil && row.Error != "" && !bytes.Contains(row.Problem, []byte(`:full"`)):
				return fmt.Errorf("%s: %s", img.name, row.Error)
			case img != nil && row.Error == "":
				if err := v.compareBoxes(search{img, query}, row.found()); err != nil {
					return err
				}
			}
		}
		if slices.Contains(seen, false) {
			return fmt.Errorf("lines for %v of %d images", seen, len(images))
		}
		return nil
	}
}

// drawForm sends a form with n to 2n-1 images.
func drawForm(n int) func(*rand.Rand, *workload) *request {
	return func(r *rand.Rand, w *workload) *request {
		query := pick(r, "max=100", "mode=single")
		var parts []part
		var names []string
		var images []*testImage
		for i := range n + r.IntN(n) {
			img := pick(r, slices.Concat(w.corpus.png, w.corpus.jpeg)...)
			images = append(images, img)
			names = append(names, fmt.Sprintf("%d %s", i, img.name))
			parts = append(parts, part{"image", names[i], img.data})
		}
		name, value, _ := strings.Cut(query, "=")
		parts = append(parts, part{"options", "", fmt.Appendf(nil, `{%q:%q}`, name, value)})

		mediaType, body := form(parts...)
		req := post(proposalsPath, mediaType, body)
		req.images = len(images)
		if len(images) > 1 {
			req.check = checkLines(query, names, images)
			return req
		}
		req.check, req.timed = search{images[0], query}.compare(parseJSON), true
		return req
	}
}

// drawTensor sends an image as a tensor of the Open Inference Protocol, in JSON or binary.
func drawTensor(binaryInput bool) func(*rand.Rand, *workload) *request {
	return func(r *rand.Rand, w *workload) *request {
		s := search{pick(r, w.corpus.jpeg...), pick(r, "", "max=100", "mode=single")}
		params := map[string]any{}
		switch name, value, _ := strings.Cut(s.query, "="); name {
		case "max":
			params[name] = json.Number(value)
		case "mode":
			params[name] = value
		}
		if r.IntN(2) == 0 {
			params["binary_data_output"] = r.IntN(2) == 0
		}
		input := map[string]any{"name": "image", "datatype": "BYTES", "shape": []int{1}}
		var tail []byte
		if binaryInput {
			tail = append(binary.LittleEndian.AppendUint32(nil, uint32(len(s.image.data))), s.image.data...)
			input["parameters"] = map[string]any{"binary_data_size": len(tail)}
		} else {
			input["data"] = []string{base64.StdEncoding.EncodeToString(s.image.data)}
		}
		head := mustJSON(map[string]any{"id": "7", "inputs": []any{input}, "parameters": params})
		req := infer(s, append(head, tail...))
		if binaryInput {
			req.header.Set("Content-Type", "application/octet-stream")
			req.header.Set(openinference.HeaderLength, strconv.Itoa(len(head)))
		}
		return req
	}
}

func infer(s search, body []byte) *request {
	req := post(inferencePath, "application/json", body)
	req.images = 1
	req.check = func(v *validator, res *response) error {
		f, err := parseInference(res)
		if err != nil {
			return err
		}
		return v.compareBoxes(s, f)
	}
	return req
}

func mustJSON(v any) []byte {
	data, err := json.Marshal(v)
	if err != nil {
		panic(err) // the values are the workload's own
	}
	return data
}

// drawRawInference sends an image as it is to the inference endpoint.
func drawRawInference(r *rand.Rand, w *workload) *request {
	s := search{pick(r, w.corpus.jpeg...), ""}
	req := infer(s, s.image.data)
	req.header = http.Header{"Content-Type": {"application/octet-stream"}, openinference.HeaderLength: {"0"}}
	return req
}

func drawRoIs(r *rand.Rand, w *workload) *request {
	img := pick(r, w.corpus.png...)
	boxes := make([][4]int, 1+r.IntN(4))
	for i := range boxes {
		x, y := r.IntN(img.width/2), r.IntN(img.height/2)
		boxes[i] = [4]int{x, y, x + 20 + r.IntN(img.width/2-20), y + 20 + r.IntN(img.height/2-20)}
	}
	truth := mustJSON(map[string]any{"boxes": boxes})
	mediaType, body := form(part{"image", img.name, img.data}, part{"truth", "", truth})
	req := post("/v1/rois", mediaType, body)
	req.query = "mode=single&sampler=" + pick(r, "fast-rcnn", "detectron2", "iou-balanced")
	req.images = 1
	return req
}

// drawConditional sends the ETag of an earlier response.
func drawConditional(r *rand.Rand, w *workload) *request {
	req := proposeJSON(search{w.corpus.png[r.IntN(2)], "mode=single&max=10"})
	if etag := w.validator.etag(req.etagKey); etag != "" {
		req.header.Set("If-None-Match", pick(r, etag, `"other", `+etag, strings.TrimPrefix(etag, "W/")))
		req.want = []int{http.StatusNotModified}
	}
	return req
}

// drawDetails requests masks, evidence and a merge tree with the boxes.
func drawDetails(r *rand.Rand, w *workload) *request {
	query := pick(r, "mode=single&max=50", "mode=fast&max=20") + "&masks=rle&evidence=1&tree=1"
	return proposeJSON(search{pick(r, w.corpus.png...), query})
}

// drawInfo requests what is not a search.
func drawInfo(r *rand.Rand, _ *workload) *request {
	path := pick(r, "/v1/modes", "/v2", "/v2/health/live", "/v2/health/ready", "/v2/models/selective_search",
		"/healthz", "/readyz", "/docs", "/openapi.yaml", "/")
	req := &request{method: http.MethodGet, path: path, header: http.Header{}}
	if r.IntN(3) == 0 && path != "/v2/models/selective_search" {
		req.method = http.MethodHead
		return req
	}
	req.check = func(_ *validator, res *response) error {
		if len(res.body) == 0 {
			return errors.New("empty body")
		}
		return nil
	}
	return req
}

var regularKinds = []kind{
	{"jpeg", 30, drawJSON(func(c *corpus) []*testImage { return c.jpeg })},
	{"png", 10, drawJSON(func(c *corpus) []*testImage { return c.png })},
	{"formats", 3, func(r *rand.Rand, w *workload) *request {
		return proposeJSON(search{pick(r, w.corpus.formats...), "mode=single"})
	}},
	{"form", 8, drawForm(1)},
	{"form several", 4, drawForm(2)},
	{"ndjson", 3, drawAs("application/x-ndjson", parseJSON)},
	{"csv", 3, drawAs("text/csv", parseCSV)},
	{"npy", 3, drawAs("application/x-npy", parseNPY)},
	{"binary", 3, drawAs("application/octet-stream", parseBinary)},
	{"overlay", 4, func(r *rand.Rand, w *workload) *request {
		return propose(search{pick(r, w.corpus.png...), "max=5"}, pick(r, "image/png", "image/jpeg"))
	}},
	{"details", 4, drawDetails},
	{"v2 json", 3, drawTensor(false)},
	{"v2 binary", 3, drawTensor(true)},
	{"v2 raw", 3, drawRawInference},
	{"rois", 3, drawRoIs},
	{"conditional", 5, drawConditional},
	{"info", 4, drawInfo},
}
