package docs

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

const description = `
openapi: 3.0.3
info: {title: test, version: "1", description: "See <script>alert(1)</script> *this*."}
tags: [{name: Boxes, description: Finds boxes}]
paths:
  /boxes/{id}:
    parameters: [{$ref: "#/components/parameters/id"}]
    get:
      tags: [Boxes]
      operationId: getBox
      summary: One box
      responses:
        "200": {description: The box, content: {application/json: {schema: {$ref: "#/components/schemas/Box"}}}}
components:
  parameters:
    id: {name: id, in: path, required: true, schema: {type: string, enum: [a, b]}}
  schemas:
    Box:
      type: object
      properties:
        corners: {type: array, items: {type: number}, nullable: true, description: x0 y0 x1 y1}
    Line:
      oneOf: [{$ref: "#/components/schemas/Box"}, {type: string}]
`

func TestPage(t *testing.T) {
	page, err := New([]byte(description))
	if err != nil {
		t.Fatal(err)
	}
	w := httptest.NewRecorder()
	page.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/docs", nil))
	body := w.Body.String()
	for _, want := range []string{
		`<article id="getBox">`, "<code>/boxes/{id}</code>", "<em>this</em>", "a | b", "list of number | null", `<article id="schema-Box">`,
		`<article id="schema-Line">`, "Box | string",
	} {
		if !strings.Contains(body, want) {
			t.Errorf("the page has no %q:\n%s", want, body)
		}
	}
	if strings.Contains(body, "<script") {
		t.Error("raw HTML of a description is on the page")
	}
	if policy := w.Header().Get("Content-Security-Policy"); !strings.HasPrefix(policy, "default-src 'none'; style-src 'sha256-") {
		t.Errorf("got policy %q, want one that allows nothing but the page's style", policy)
	}
}

func TestNewRejects(t *testing.T) {
	for name, text := range map[string]string{"no YAML": "a: [", "an empty file": ""} {
		t.Run(name, func(t *testing.T) {
			if page, err := New([]byte(text)); err == nil {
				t.Errorf("got %v, want an error", page)
			}
		})
	}
}
