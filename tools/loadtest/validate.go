package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"hash/fnv"
	"io"
	"math"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
	"github.com/getkin/kin-openapi/routers/gorillamux"

	"github.com/proposer/proposer/internal/testutil/openapi"
)

// A response is what the service answered.
type response struct {
	status int
	header http.Header
	body   []byte
	took   time.Duration
}

// A validator checks responses against the OpenAPI description and against earlier responses.
// It is safe for concurrent use.
type validator struct {
	router routers.Router

	mu    sync.Mutex
	boxes map[string]uint64 // hash of the boxes by search
	etags map[string]string // ETag by request
}

var registerDecoders = sync.OnceFunc(openapi.RegisterDecoders)

func newValidator(description []byte) (*validator, error) {
	registerDecoders()
	doc, err := openapi3.NewLoader().LoadFromData(description)
	if err == nil && doc.Paths.Find(proposalsPath) == nil {
		err = fmt.Errorf("no path %s", proposalsPath)
	}
	v := &validator{boxes: map[string]uint64{}, etags: map[string]string{}}
	if err == nil {
		v.router, err = gorillamux.NewRouter(doc)
	}
	if err != nil {
		return nil, fmt.Errorf("OpenAPI description: %w", err)
	}
	return v, nil
}

// fetchValidator returns a validator for the description that the service gives.
func fetchValidator(ctx context.Context, client *http.Client, url string) (*validator, error) {
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
		return nil, fmt.Errorf("%s: status %d: want the OpenAPI description", req.URL, res.StatusCode)
	}
	description, err := io.ReadAll(io.LimitReader(res.Body, 4<<20))
	if err != nil {
		return nil, err
	}
	return newValidator(description)
}

// statusClientClosed is the status that the service gives a request whose client went away.
const statusClientClosed = 499

// maxProblemBytes is the maximum size of a response to an invalid request.
const maxProblemBytes = 16 << 10

// overloaded reports whether a status is one that any request may get under load.
func overloaded(status int) bool {
	return status == http.StatusTooManyRequests || status == http.StatusServiceUnavailable
}

// validate returns what is wrong with a response.
func (v *validator) validate(req *request, res *response) (failures []string) {
	fail := func(format string, args ...any) { failures = append(failures, fmt.Sprintf(format, args...)) }
	if !slices.Contains(req.want, res.status) && !overloaded(res.status) {
		fail("status %d: want %v; %.300q", res.status, req.want, res.body)
		return failures
	}
	if res.header.Get("X-Request-Id") == "" {
		if req.raw == nil { // net/http itself answers bytes that are not HTTP
			fail("status %d without X-Request-Id: %.200q", res.status, res.body)
		}
		return failures
	}
	if overloaded(res.status) {
		if n, err := strconv.Atoi(res.header.Get("Retry-After")); err != nil || n < 0 {
			fail("status %d with Retry-After %q: want seconds", res.status, res.header.Get("Retry-After"))
		}
	}
	if res.status >= http.StatusBadRequest && len(res.body) > maxProblemBytes {
		fail("status %d with a body of %d bytes: want at most %d", res.status, len(res.body), maxProblemBytes)
	}
	if err := v.validateSchema(req, res); err != nil {
		fail("%v", err)
	}
	if res.status == http.StatusOK && req.check != nil {
		if err := req.check(v, res); err != nil {
			fail("%v", err)
		}
	}
	if res.status == http.StatusNotModified && len(res.body) > 0 {
		fail("status 304 with a body: %.100q", res.body)
	}
	if etag := res.header.Get("ETag"); req.etagKey != "" && etag != "" {
		if err := v.compareETag(req.etagKey, etag); err != nil {
			fail("%v", err)
		}
	}
	return failures
}

// validateSchema checks status, headers and body against the description.
func (v *validator) validateSchema(req *request, res *response) error {
	if req.path == "" || req.method == http.MethodHead || res.status == statusClientClosed {
		return nil
	}
	plain, err := http.NewRequest(req.method, "http://service"+req.path, nil)
	if err != nil {
		return err
	}
	route, params, err := v.router.FindRoute(plain)
	if err != nil {
		return nil // pages for browsers are not described
	}
	err = openapi3filter.ValidateResponse(context.Background(), &openapi3filter.ResponseValidationInput{
		RequestValidationInput: &openapi3filter.RequestValidationInput{Request: plain, PathParams: params, Route: route},
		Status:                 res.status,
		Header:                 res.header,
		Body:                   io.NopCloser(bytes.NewReader(res.body)),
		Options:                &openapi3filter.Options{IncludeResponseStatus: true},
	})
	if err != nil {
		reason, _, _ := strings.Cut(err.Error(), "\n") // without the schema
		return fmt.Errorf("status %d: not as described: %s", res.status, reason)
	}
	return nil
}

// etag returns the ETag of an earlier response, or "".
func (v *validator) etag(key string) string {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.etags[key]
}

func (v *validator) compareETag(key, etag string) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	if earlier, ok := v.etags[key]; ok && earlier != etag {
		return fmt.Errorf("ETag %s: an equal request had %s", etag, earlier)
	}
	v.etags[key] = etag
	return nil
}

// A found is what a response says about an image: its boxes and, if the format has them, its size.
type found struct {
	width, height int
	boxes         [][4]int
	scores        []float32
}

// compareBoxes checks boxes against the image and against those of earlier responses to the same search
// in any format.
func (v *validator) compareBoxes(s search, f *found) error {
	img := s.image
	if f.width == 0 && f.height == 0 {
		f.width, f.height = img.width, img.height
	}
	limit := s.maxBoxes()
	switch {
	case f.width != img.width || f.height != img.height:
		return fmt.Errorf("%s: %d×%d: want %d×%d", img.name, f.width, f.height, img.width, img.height)
	case len(f.boxes) != len(f.scores):
		return fmt.Errorf("%s: %d boxes and %d scores", img.name, len(f.boxes), len(f.scores))
	case len(f.boxes) == 0:
		return fmt.Errorf("%s: no boxes", img.name)
	case limit > 0 && len(f.boxes) > limit:
		return fmt.Errorf("%s: %d boxes: want at most %d", img.name, len(f.boxes), limit)
	}

	h := fnv.New64a()
	var buf []byte
	for i, b := range f.boxes {
		if b[0] < 0 || b[1] < 0 || b[2] <= b[0] || b[3] <= b[1] || b[2] > img.width || b[3] > img.height {
			return fmt.Errorf("%s: box %d is %v: want it within %d×%d", img.name, i, b, img.width, img.height)
		}
		score := f.scores[i]
		if !(score >= 0 && score <= 1) || i > 0 && score >= f.scores[i-1] {
			return fmt.Errorf("%s: score %d is %v: want it in [0,1] and below the one before", img.name, i, score)
		}
		buf = buf[:0]
		for _, x := range b {
			buf = binary.LittleEndian.AppendUint32(buf, uint32(x))
		}
		_, _ = h.Write(binary.LittleEndian.AppendUint32(buf, math.Float32bits(score))) // never fails
	}

	key := s.key()
	v.mu.Lock()
	defer v.mu.Unlock()
	if hash, ok := v.boxes[key]; ok && hash != h.Sum64() {
		return fmt.Errorf("%s: boxes differ from those of an earlier response", key)
	}
	v.boxes[key] = h.Sum64()
	return nil
}
