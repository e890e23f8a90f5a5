package main

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"mime/multipart"
	"net/http"
	"net/textproto"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/proposer/proposer/api/openinference"
)

// An ask is what is asked: a request that net/http can make, or bytes on a connection.
type ask struct {
	kind    string
	hostile bool
	number  uint64

	method, path, query string
	route               string // the path as the description has it; empty: none
	header              http.Header
	body                []byte
	wire                *wire // instead of the above

	want     []int // statuses, beside those of a full service
	protocol bool  // net/http may answer itself
	mayCut   bool  // or the connection end without an answer
	check    func(*judge, *answer) error
	tag      string // equal asks have equal ETags
	pictures int    // that an answer of 200 is for
	timed    bool   // a JSON answer of one picture, that tells its times
}

// A kind is a sort of request.
type kind struct {
	name   string
	weight int
	draw   func(r *rand.Rand, m *mix) *ask
}

// mix draws requests.
type mix struct {
	settings
	album         *album
	judge         *judge
	good, hostile []kind
}

func newMix(s settings, a *album, j *judge) *mix {
	m := &mix{settings: s, album: a, judge: j, good: goodKinds, hostile: hostileKinds}
	if s.mix == "plain" {
		m.good, m.settings.hostile = []kind{{"plain", 1, drawPlain}}, 0
	}
	return m
}

// draw is request number n: the seed and n alone say what it is.
func (m *mix) draw(n uint64) *ask {
	r := rand.New(rand.NewPCG(m.seed, n))
	kinds, hostile := m.good, r.Float64() < m.settings.hostile
	if hostile {
		kinds = m.hostile
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
	a := kinds[i].draw(r, m)
	a.kind, a.hostile, a.number = kinds[i].name, hostile, n
	if a.want == nil {
		a.want = []int{http.StatusOK}
	}
	return a
}

const (
	proposalsPath = "/v1/proposals"
	inferPath     = "/v2/models/selective_search/infer"
	inferRoute    = "/v2/models/{model}/infer"
	defaultMax    = 2000
)

func pick[T any](r *rand.Rand, all ...T) T { return all[r.IntN(len(all))] }

// propose asks for the boxes of a picture, sent as it is.
func propose(p *picture, query, accept string) *ask {
	a := &ask{
		method: http.MethodPost, path: proposalsPath, route: proposalsPath, query: query,
		header: http.Header{"Content-Type": {"application/octet-stream"}}, body: p.data, pictures: 1,
		tag: p.name + "?" + query + " " + accept,
	}
	if accept != "" {
		a.header.Set("Accept", accept)
	}
	return a
}

// fresh adds a seed that nothing was asked with, so that there is no answer to it yet. Where
// the order is not the paper's, the boxes are the same with any.
func fresh(r *rand.Rand, query string) string {
	return strings.TrimPrefix(query+"&seed="+strconv.FormatUint(r.Uint64(), 10), "&")
}

// keyOf names the boxes that a query gets of a picture.
func keyOf(p *picture, query string) string {
	values, err := url.ParseQuery(query)
	if err != nil {
		panic(err) // they are ours, or looked at
	}
	if values.Get("order") != "paper" {
		values.Del("seed")
	}
	for _, name := range []string{"masks", "evidence", "tree", "strategy"} {
		values.Del(name)
	}
	return p.name + "?" + values.Encode()
}

func mostOf(query string) int {
	values, _ := url.ParseQuery(query) // looked at
	if n, err := strconv.Atoi(values.Get("max")); err == nil {
		return n
	}
	return defaultMax
}

// boxesAs checks boxes of a form.
func boxesAs(p *picture, query string, parse func([]byte) (*found, error)) func(*judge, *answer) error {
	return func(j *judge, got *answer) error {
		f, err := parse(got.body)
		if err != nil {
			return err
		}
		return j.agree(p, keyOf(p, query), mostOf(query), f)
	}
}

func parseJSON(data []byte) (*found, error) {
	r, err := parseRow(data)
	if err != nil {
		return nil, err
	}
	return r.found(), nil
}

func drawPlain(r *rand.Rand, m *mix) *ask {
	p := pick(r, m.album.jpeg...)
	query := strings.Trim(m.settings.query, "&")
	if !strings.Contains("&"+query, "&seed=") {
		query = fresh(r, query)
	}
	a := propose(p, query, "")
	a.check, a.timed, a.tag = boxesAs(p, query, parseJSON), true, ""
	return a
}

var queries = []string{"", "max=100", "mode=single", "mode=single&max=500&nms=0.8", "order=hierarchy&max=300", "order=paper&seed=7", "max-side=200&max=200", "min-side=20&max=50"}

// a raw picture, which half of the time nobody has asked for yet.
func rawAsk(r *rand.Rand, p *picture) *ask {
	query := pick(r, queries...)
	if r.IntN(2) == 0 && !strings.Contains(query, "seed") {
		query = fresh(r, query)
	}
	a := propose(p, query, "")
	a.check, a.timed = boxesAs(p, query, parseJSON), true
	return a
}

// as draws requests whose answer is of a media type.
func as(media string, parse func([]byte) (*found, error)) func(*rand.Rand, *mix) *ask {
	return func(r *rand.Rand, m *mix) *ask {
		p, query := pick(r, m.album.png...), pick(r, queries...)
		a := propose(p, query, media)
		a.check = func(j *judge, got *answer) error {
			if ct := got.header.Get("Content-Type"); ct != media {
				return fmt.Errorf("an answer of type %q: want %s", ct, media)
			}
			return boxesAs(p, query, parse)(j, got)
		}
		return a
	}
}

func drawn(format string) func(*rand.Rand, *mix) *ask {
	return func(r *rand.Rand, m *mix) *ask {
		p := pick(r, m.album.png...)
		a := propose(p, pick(r, "", "max=5", "mode=single"), "image/"+format)
		a.check = func(_ *judge, got *answer) error { return checkDrawing(p, got.body, format) }
		return a
	}
}

// part is a field of a form.
type part struct {
	name, file string
	data       []byte
}

func form(parts ...part) (media string, body []byte) {
	var buf bytes.Buffer
	w := multipart.NewWriter(&buf)
	if err := w.SetBoundary("load-7MA4YWxkTrZu0gW"); err != nil { // the same bytes each time
		panic(err)
	}
	for _, p := range parts {
		h := textproto.MIMEHeader{}
		disposition := fmt.Sprintf("form-data; name=%q", p.name)
		if p.file != "" {
			disposition += fmt.Sprintf("; filename=%q", p.file)
		}
		h.Set("Content-Disposition", disposition)
		pw, err := w.CreatePart(h)
		if err == nil {
			_, err = pw.Write(p.data)
		}
		if err != nil {
			panic(err) // memory takes all
		}
	}
	if err := w.Close(); err != nil {
		panic(err)
	}
	return w.FormDataContentType(), buf.Bytes()
}

func post(path string, media string, body []byte) *ask {
	return &ask{method: http.MethodPost, path: path, route: path, header: http.Header{"Content-Type": {media}}, body: body}
}

// checkLines checks NDJSON: a line for each picture, in any order; nil ones must fail.
func checkLines(query string, names []string, pictures []*picture) func(*judge, *answer) error {
	return func(j *judge, got *answer) error {
		if ct := got.header.Get("Content-Type"); ct != "application/x-ndjson" {
			return fmt.Errorf("several pictures are answered with %q", ct)
		}
		seen := make([]bool, len(pictures))
		for line := range bytes.Lines(got.body) {
			r, err := parseRow(line)
			if err != nil {
				return err
			}
			if r.Index == nil || *r.Index < 0 || *r.Index >= len(pictures) || seen[*r.Index] || r.File != names[*r.Index] {
				return fmt.Errorf("a line has no index, a wrong or a known one: %.100q", line)
			}
			p := pictures[*r.Index]
			seen[*r.Index] = true
			switch {
			case p == nil && (r.Error == "" || len(r.Problem) == 0):
				return fmt.Errorf("a broken picture has boxes: %.100q", line)
			case p != nil && r.Error != "" && !bytes.Contains(r.Problem, []byte(`:full"`)):
				return fmt.Errorf("%s has an error: %s", p.name, r.Error)
			case p != nil && r.Error == "":
				if err := j.agree(p, keyOf(p, query), mostOf(query), r.found()); err != nil {
					return err
				}
			}
		}
		if slices.Contains(seen, false) {
			return fmt.Errorf("of %d pictures there are lines %v", len(pictures), seen)
		}
		return nil
	}
}

func tensor(r *rand.Rand, p *picture, binaryInput bool) *ask {
	query := pick(r, "", "max=100", "mode=single")
	params := map[string]any{}
	if values, _ := url.ParseQuery(query); len(values) > 0 { // ours
		for name := range values {
			params[name] = values.Get(name)
			if n, err := strconv.Atoi(values.Get(name)); err == nil {
				params[name] = n
			}
		}
	}
	if r.IntN(2) == 0 {
		params["binary_data_output"] = r.IntN(2) == 0
	}
	input := map[string]any{"name": "image", "datatype": "BYTES", "shape": []int{1}}
	var tail []byte
	if binaryInput {
		tail = append(binary.LittleEndian.AppendUint32(nil, uint32(len(p.data))), p.data...)
		input["parameters"] = map[string]any{"binary_data_size": len(tail)}
	} else {
		input["data"] = []string{base64.StdEncoding.EncodeToString(p.data)}
	}
	head, err := json.Marshal(map[string]any{"id": "7", "inputs": []any{input}, "parameters": params})
	if err != nil {
		panic(err)
	}
	a := post(inferPath, "application/json", append(head, tail...))
	if binaryInput {
		a.header.Set("Content-Type", "application/octet-stream")
		a.header.Set(openinference.HeaderLength, strconv.Itoa(len(head)))
	}
	return inference(a, p, query)
}

func inference(a *ask, p *picture, query string) *ask {
	a.route, a.pictures = inferRoute, 1
	a.check = func(j *judge, got *answer) error {
		f, err := parseInference(got)
		if err != nil {
			return err
		}
		return j.agree(p, keyOf(p, query), mostOf(query), f)
	}
	return a
}

func drawRoIs(r *rand.Rand, m *mix) *ask {
	p := pick(r, m.album.png...)
	n := 1 + r.IntN(4)
	truth := make([][4]int, n)
	for i := range truth {
		x, y := r.IntN(p.width/2), r.IntN(p.height/2)
		truth[i] = [4]int{x, y, x + 20 + r.IntN(p.width/2-20), y + 20 + r.IntN(p.height/2-20)}
	}
	text, err := json.Marshal(map[string]any{"boxes": truth})
	if err != nil {
		panic(err)
	}
	media, body := form(part{"image", p.name, p.data}, part{"truth", "", text})
	a := post("/v1/rois", media, body)
	a.query = "mode=single&sampler=" + pick(r, "fast-rcnn", "detectron2", "iou-balanced")
	a.pictures = 1
	a.check = func(_ *judge, got *answer) error { return checkRoIs(p, got.body, n) }
	return a
}

func drawForm(n int) func(*rand.Rand, *mix) *ask {
	return func(r *rand.Rand, m *mix) *ask {
		query := pick(r, "max=100", "mode=single")
		var parts []part
		var names []string
		var pictures []*picture
		for i := range n + r.IntN(n) {
			p := pick(r, pick(r, m.album.png...), pick(r, m.album.jpeg...))
			pictures = append(pictures, p)
			names = append(names, fmt.Sprintf("%d %s", i, p.name))
			parts = append(parts, part{"image", names[i], p.data})
		}
		name, value, _ := strings.Cut(query, "=")
		parts = append(parts, part{"options", "", fmt.Appendf(nil, `{%q:%q}`, name, value)})
		media, body := form(parts...)
		a := post(proposalsPath, media, body)
		a.pictures = len(pictures)
		if len(pictures) > 1 {
			a.check = checkLines(query, names, pictures)
			return a
		}
		a.timed = true
		a.check = func(j *judge, got *answer) error {
			row, err := parseRow(got.body)
			if err == nil && row.File != names[0] {
				err = fmt.Errorf("the file is called %q: want %q", row.File, names[0])
			}
			if err != nil {
				return err
			}
			return j.agree(pictures[0], keyOf(pictures[0], query), mostOf(query), row.found())
		}
		return a
	}
}

// drawKnown asks for what the client has.
func drawKnown(r *rand.Rand, m *mix) *ask {
	p := m.album.png[r.IntN(2)]
	a := propose(p, "mode=single&max=10", "")
	a.check, a.timed = boxesAs(p, a.query, parseJSON), true
	if tag := m.judge.tagOf(a.tag); tag != "" {
		a.header.Set("If-None-Match", pick(r, tag, `"other", `+tag, strings.TrimPrefix(tag, "W/")))
		a.want = []int{http.StatusNotModified}
	}
	return a
}

func drawRich(r *rand.Rand, m *mix) *ask {
	p := pick(r, m.album.png...)
	query := pick(r, "mode=single&max=50", "mode=fast&max=20") + "&masks=rle&evidence=1&tree=1"
	a := propose(p, query, "application/json")
	a.timed = true
	a.check = func(j *judge, got *answer) error {
		row, err := parseRow(got.body)
		if err == nil {
			err = row.checkRich()
		}
		if err != nil {
			return err
		}
		return j.agree(p, keyOf(p, query), mostOf(query), row.found())
	}
	return a
}

func drawInfo(r *rand.Rand, _ *mix) *ask {
	path := pick(r, "/v1/modes", "/v2", "/v2/health/live", "/v2/health/ready", "/healthz", "/readyz", "/docs", "/openapi.yaml", "/")
	a := &ask{method: pick(r, http.MethodGet, http.MethodGet, http.MethodHead), path: path, route: path, header: http.Header{}}
	if r.IntN(8) == 0 {
		a.method, a.path, a.route = http.MethodGet, "/v2/models/selective_search", "/v2/models/{model}"
	}
	if a.method == http.MethodGet {
		a.check = func(_ *judge, got *answer) error {
			if len(got.body) == 0 {
				return errors.New("an empty answer")
			}
			return nil
		}
	}
	return a
}

var goodKinds = []kind{
	{"raw jpeg", 30, func(r *rand.Rand, m *mix) *ask { return rawAsk(r, pick(r, m.album.jpeg...)) }},
	{"raw png", 10, func(r *rand.Rand, m *mix) *ask { return rawAsk(r, pick(r, m.album.png...)) }},
	{"raw other", 3, func(r *rand.Rand, m *mix) *ask {
		p := pick(r, m.album.whole...)
		a := propose(p, "mode=single", "")
		a.check, a.timed = boxesAs(p, a.query, parseJSON), true
		return a
	}},
	{"form", 8, drawForm(1)},
	{"form many", 4, drawForm(2)},
	{"ndjson", 3, as("application/x-ndjson", parseJSON)},
	{"csv", 3, as("text/csv", parseCSV)},
	{"npy", 3, as("application/x-npy", parseNPY)},
	{"binary", 3, as("application/octet-stream", parseBinary)},
	{"drawn png", 2, drawn("png")},
	{"drawn jpeg", 2, drawn("jpeg")},
	{"rich", 4, drawRich},
	{"v2 json", 3, func(r *rand.Rand, m *mix) *ask { return tensor(r, pick(r, m.album.png...), false) }},
	{"v2 binary", 3, func(r *rand.Rand, m *mix) *ask { return tensor(r, pick(r, m.album.jpeg...), true) }},
	{"v2 raw", 3, func(r *rand.Rand, m *mix) *ask {
		p := pick(r, m.album.jpeg...)
		a := post(inferPath, "application/octet-stream", p.data)
		a.header.Set(openinference.HeaderLength, "0")
		return inference(a, p, "")
	}},
	{"rois", 3, drawRoIs},
	{"known", 5, drawKnown},
	{"info", 4, drawInfo},
}
