package main

import (
	"bytes"
	"fmt"
	"mime/multipart"
	"net/http"
	"net/textproto"
	"net/url"
	"strconv"
)

const (
	proposalsPath   = "/v1/proposals"
	inferencePath   = "/v2/models/selective_search/infer"
	defaultMaxBoxes = 2000
)

// A request is one request of the workload, for an HTTP client or as raw bytes.
type request struct {
	kind    string
	number  uint64
	hostile bool

	method, path, query string
	header              http.Header
	body                []byte
	raw                 *rawConn // instead of the above, of which method and path say what is described

	want     []int // statuses, besides those of an overloaded service
	mayClose bool  // the service may close the connection without a response
	check    func(*validator, *response) error
	etagKey  string // requests with equal keys have equal ETags; "" means do not compare
	images   int    // number of images that a response of 200 is for
	timed    bool   // the response is JSON of one image, with the times of its search
}

// String describes a request briefly, for failures.
func (r *request) String() string {
	switch {
	case r.raw != nil && len(r.raw.send) > 0:
		return fmt.Sprintf("%.200q…: ", r.raw.send[0])
	case r.method == "":
		return ""
	case len(r.body) > 0:
		return fmt.Sprintf("%s %.200s, %d bytes %.60q: ", r.method, r.path+"?"+r.query, len(r.body), r.body)
	}
	return fmt.Sprintf("%s %.200s: ", r.method, r.path+"?"+r.query)
}

// A search is an image and the options of its search, as in a query.
type search struct {
	image *testImage
	query string
}

// key returns the same for searches that must get the same boxes.
func (s search) key() string {
	values, err := url.ParseQuery(s.query)
	if err != nil {
		panic(err) // the workload's own, or validated
	}
	if values.Get("order") != "paper" {
		values.Del("seed")
	}
	for _, name := range []string{"masks", "evidence", "tree", "strategy"} {
		values.Del(name)
	}
	return s.image.name + "?" + values.Encode()
}

// maxBoxes returns the limit on boxes; 0 means none.
func (s search) maxBoxes() int {
	values, err := url.ParseQuery(s.query)
	if err == nil && values.Has("max") {
		if n, err := strconv.Atoi(values.Get("max")); err == nil {
			return n
		}
	}
	return defaultMaxBoxes
}

// compare returns a check of the boxes in a response's body.
func (s search) compare(parse func([]byte) (*found, error)) func(*validator, *response) error {
	return func(v *validator, res *response) error {
		f, err := parse(res.body)
		if err != nil {
			return err
		}
		return v.compareBoxes(s, f)
	}
}

func post(path, mediaType string, body []byte) *request {
	return &request{method: http.MethodPost, path: path, header: http.Header{"Content-Type": {mediaType}}, body: body}
}

// propose requests the boxes of an image in the accepted media type, "" for the default.
func propose(s search, accept string) *request {
	req := post(proposalsPath, "application/octet-stream", s.image.data)
	req.query, req.images = s.query, 1
	req.etagKey = s.image.name + "?" + s.query + " " + accept
	if accept != "" {
		req.header.Set("Accept", accept)
	}
	return req
}

// proposeJSON requests the boxes of an image in JSON and compares them.
func proposeJSON(s search) *request {
	req := propose(s, "")
	req.check, req.timed = s.compare(parseJSON), true
	return req
}

// A part is a field of a form.
type part struct {
	name, file string
	data       []byte
}

const boundary = "loadtest-7MA4YWxkTrZu0gW"

// form returns a multipart form, the same bytes each time.
func form(parts ...part) (mediaType string, body []byte) {
	var buf bytes.Buffer
	w := multipart.NewWriter(&buf)
	check := func(err error) {
		if err != nil {
			panic(err) // a bytes.Buffer does not fail
		}
	}
	check(w.SetBoundary(boundary))
	for _, p := range parts {
		disposition := fmt.Sprintf("form-data; name=%q", p.name)
		if p.file != "" {
			disposition += fmt.Sprintf("; filename=%q", p.file)
		}
		pw, err := w.CreatePart(textproto.MIMEHeader{"Content-Disposition": {disposition}})
		check(err)
		_, err = pw.Write(p.data)
		check(err)
	}
	check(w.Close())
	return w.FormDataContentType(), buf.Bytes()
}
