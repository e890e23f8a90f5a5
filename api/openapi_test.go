package api

import (
	"bytes"
	"html"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
	"github.com/getkin/kin-openapi/routers/gorillamux"

	"github.com/proposer/proposer/internal/testutil/openapi"
)

// described returns a router for the operations of openapi.yaml.
var described = sync.OnceValues(func() (routers.Router, error) {
	openapi.RegisterDecoders()
	doc, err := openapi3.NewLoader().LoadFromData(openAPISpec)
	if err != nil {
		return nil, err
	}
	if err := doc.Validate(openapi3.NewLoader().Context); err != nil {
		return nil, err
	}
	return gorillamux.NewRouter(doc)
})

// checkDescribed validates a response against openapi.yaml: path, method, status, media type and, if it
// is JSON, its schema.
func checkDescribed(t testing.TB, req *http.Request, r response) {
	t.Helper()
	router, err := described()
	if err != nil {
		t.Fatal(err)
	}
	plain, err := http.NewRequest(req.Method, "http://"+req.URL.Host+req.URL.RequestURI(), nil)
	if err != nil {
		return // not a valid URL path
	}
	if len(plain.URL.Path) > 1 {
		plain.URL.Path = strings.TrimSuffix(plain.URL.Path, "/")
	}
	if plain.Method == http.MethodHead {
		plain.Method = http.MethodGet
	}
	route, params, err := router.FindRoute(plain)
	if err != nil {
		if r.status != http.StatusNotFound && r.status != http.StatusMethodNotAllowed && !page(plain.URL.Path) {
			t.Errorf("%s %s: got status %d, but openapi.yaml does not describe it", req.Method, req.URL, r.status)
		}
		return
	}
	if req.Method == http.MethodHead {
		return
	}
	request := &openapi3filter.RequestValidationInput{
		Request: plain, PathParams: params, Route: route,
		Options: &openapi3filter.Options{ExcludeRequestBody: true, SkipSettingDefaults: true, AuthenticationFunc: openapi3filter.NoopAuthenticationFunc},
	}
	if r.status == http.StatusOK {
		if err := openapi3filter.ValidateRequest(t.Context(), request); err != nil {
			t.Errorf("%s %s: got status 200 for a request that does not match openapi.yaml: %v", req.Method, req.URL, err)
		}
	}
	input := &openapi3filter.ResponseValidationInput{
		RequestValidationInput: request,
		Status:                 r.status,
		Header:                 r.header,
		Body:                   io.NopCloser(bytes.NewReader(r.body)),
		Options:                &openapi3filter.Options{IncludeResponseStatus: true},
	}
	if err := openapi3filter.ValidateResponse(t.Context(), input); err != nil {
		t.Errorf("%s %s: the response does not match openapi.yaml: %v", req.Method, req.URL, err)
	}
}

// page reports whether the path is meant for browsers.
func page(path string) bool {
	return path == "/" || path == "/docs" || path == "/openapi.yaml" || strings.HasPrefix(path, "/assets/")
}

// The page shows every operation and every schema and loads nothing else.
func TestDocs(t *testing.T) {
	s := start(t, nil)
	r := s.do(t, "GET", "/docs", "", nil)
	doc, err := openapi3.NewLoader().LoadFromData(s.do(t, "GET", "/openapi.yaml", "", nil).body)
	if err != nil || r.status != http.StatusOK {
		t.Fatalf("%d %v", r.status, err)
	}
	page := html.UnescapeString(string(r.body))
	for path, item := range doc.Paths.Map() {
		if !strings.Contains(page, "<code>"+path+"</code>") {
			t.Errorf("the page does not show %s", path)
		}
		for _, op := range item.Operations() {
			if !strings.Contains(page, `<article id="`+op.OperationID+`">`) || !strings.Contains(page, op.Summary+".") {
				t.Errorf("the page does not show %s", op.OperationID)
			}
		}
	}
	for name, schema := range doc.Components.Schemas {
		if len(schema.Value.Properties)+len(schema.Value.OneOf) > 0 && !strings.Contains(page, `<article id="schema-`+name+`">`) {
			t.Errorf("the page does not show %s", name)
		}
	}
	if strings.Contains(page, "<script") || strings.Contains(page, "src=") || !strings.Contains(r.header.Get("Content-Security-Policy"), "default-src 'none'; style-src 'sha256-") {
		t.Errorf("the page has scripts or loads something; header %v", r.header)
	}
}
