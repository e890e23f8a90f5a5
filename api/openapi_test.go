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
)

// described finds the operations of openapi.yaml.
var described = sync.OnceValues(func() (routers.Router, error) {
	for _, media := range []string{"application/x-npy", "application/x-ndjson", "image/png", "image/jpeg"} {
		openapi3filter.RegisterBodyDecoder(media, openapi3filter.FileBodyDecoder)
	}
	openapi3filter.RegisterBodyDecoder("text/csv", openapi3filter.PlainBodyDecoder)
	doc, err := openapi3.NewLoader().LoadFromData(openAPISpec)
	if err != nil {
		return nil, err
	}
	if err := doc.Validate(openapi3.NewLoader().Context); err != nil {
		return nil, err
	}
	return gorillamux.NewRouter(doc)
})

// checkDescribed checks an answer against openapi.yaml: that the path, the method, the
// status, the type and, where it is JSON, all that is in it are described there.
func checkDescribed(t testing.TB, req *http.Request, a response) {
	t.Helper()
	router, err := described()
	if err != nil {
		t.Fatal(err)
	}
	plain, err := http.NewRequest(req.Method, "http://"+req.URL.Host+req.URL.RequestURI(), nil)
	if err != nil {
		return // no path that a client can ask for
	}
	if plain.Method == http.MethodHead {
		plain.Method = http.MethodGet
	}
	route, params, err := router.FindRoute(plain)
	if err != nil {
		if a.status != http.StatusNotFound && a.status != http.StatusMethodNotAllowed && !page(req.URL.Path) {
			t.Errorf("%s %s is not described, and answers %d", req.Method, req.URL, a.status)
		}
		return
	}
	if req.Method == http.MethodHead {
		return
	}
	input := &openapi3filter.ResponseValidationInput{
		RequestValidationInput: &openapi3filter.RequestValidationInput{Request: plain, PathParams: params, Route: route},
		Status:                 a.status,
		Header:                 a.header,
		Body:                   io.NopCloser(bytes.NewReader(a.body)),
		Options:                &openapi3filter.Options{IncludeResponseStatus: true},
	}
	if err := openapi3filter.ValidateResponse(t.Context(), input); err != nil {
		t.Errorf("%s %s: the answer is not as openapi.yaml describes it: %v", req.Method, req.URL, err)
	}
}

// page tells the paths that are for browsers.
func page(path string) bool {
	return path == "/" || path == "/docs" || path == "/openapi.yaml" || strings.HasPrefix(path, "/assets/")
}

// The page names every operation and every object, and needs nothing but itself.
func TestDocs(t *testing.T) {
	s := start(t, nil)
	a := s.do(t, "GET", "/docs", "", nil)
	doc, err := openapi3.NewLoader().LoadFromData(s.do(t, "GET", "/openapi.yaml", "", nil).body)
	if err != nil || a.status != http.StatusOK {
		t.Fatalf("%d %v", a.status, err)
	}
	page := html.UnescapeString(string(a.body))
	for path, item := range doc.Paths.Map() {
		if !strings.Contains(page, "<code>"+path+"</code>") {
			t.Errorf("%s is not on the page", path)
		}
		for _, op := range item.Operations() {
			if !strings.Contains(page, `<article id="`+op.OperationID+`">`) || !strings.Contains(page, op.Summary+".") {
				t.Errorf("%s is not on the page", op.OperationID)
			}
		}
	}
	for name, schema := range doc.Components.Schemas {
		if len(schema.Value.Properties) > 0 && !strings.Contains(page, `<article id="schema-`+name+`">`) {
			t.Errorf("%s is not on the page", name)
		}
	}
	if strings.Contains(page, "<script") || strings.Contains(page, "src=") || !strings.Contains(a.header.Get("Content-Security-Policy"), "default-src 'none'; style-src 'sha256-") {
		t.Errorf("the page asks for more than itself: %v", a.header)
	}
}
